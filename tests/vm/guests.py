"""The guest of `make test-v2` itself: its exit status, output and deadline, and that nothing is left of it.

Not a part of the suite, because it needs the kernel and the disk of `make test-v2`. Run it as root::

    python -m pytest --noconftest tests/vm/guests.py
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UML = f"{ROOT}/tests/vm/uml.sh"
PATIENCE = 60


def start(*command: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [UML, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def descendants(pid: int) -> list[int]:
    """Find the processes below *pid*.  Source: proc_pid_task_children(5)."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = list(map(int, file.read().split()))
    except OSError:
        return []
    return [each for child in children for each in (child, *descendants(child))]


def remains(folder: str, pids: list[int]) -> list[str]:
    """Find what is left of a guest, whose TMPDIR is *folder*, once it had time to go: its files, and the processes
    *pids*."""
    end = time.monotonic() + PATIENCE
    while (
        found := [*os.listdir(folder), *filter(os.path.exists, (f"/proc/{pid}/exe" for pid in pids))]
    ) and time.monotonic() < end:
        time.sleep(0.1)
    return found


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="minict-guest-") as folder:
        yield folder


def test_output_and_exit_status_are_the_commands(folder):
    guest = start("sh", "-c", "echo one; echo two >&2; stat -f -c %T /sys/fs/cgroup; pwd; exit 7", TMPDIR=folder)
    assert guest.communicate() == ("one\ntwo\ncgroup2fs\n/course\n", "")
    assert guest.returncode == 7
    assert remains(folder, []) == []


def test_a_guest_that_hangs_is_ended(folder):
    guest = start("sleep", "1000", MINICT_VM_TIMEOUT="15", TMPDIR=folder)
    assert "no end after 15 s (MINICT_VM_TIMEOUT)" in guest.communicate()[1]
    assert guest.returncode == 124
    assert remains(folder, []) == []


def test_a_guest_ends_with_its_script(folder):
    guest = start("sh", "-c", "echo ready; sleep 1000", TMPDIR=folder)
    assert guest.stdout.readline() == "ready\n"
    pids = descendants(guest.pid)
    assert len(pids) > 5 and os.listdir(folder)
    guest.send_signal(signal.SIGKILL)
    assert guest.wait() == -signal.SIGKILL
    assert remains(folder, pids) == []


def test_two_guests_end_with_their_script(folder):
    words = [f"{ROOT}/tests/vm/v2.sh", "tests/unit/util", "tests/unit/volumes"]
    null = subprocess.DEVNULL
    both = subprocess.Popen(words, stdin=null, stdout=null, stderr=null, env={**os.environ, "TMPDIR": folder})
    while sum(os.path.getsize(path) > 0 for path in glob.glob(f"{folder}/*/console")) < 2:
        assert both.poll() is None
        time.sleep(0.1)
    pids = descendants(both.pid)
    both.send_signal(signal.SIGKILL)
    both.wait()
    assert len(pids) > 10 and remains(folder, pids) == []


def test_what_a_guest_that_died_wrote_is_shown(folder):
    guest = start("true", MINICT_UML_KERNEL=shutil.which("ls"), TMPDIR=folder)
    assert re.search("cannot access 'mem=.*it died", guest.communicate()[1], re.DOTALL)
    assert guest.returncode == 125
    assert remains(folder, []) == []


def test_a_notebook_comes_out_with_what_it_shows_on_version_2():
    """And one that fails stays as it is: tests/vm/notebooks.sh."""
    path = f"tests/vm/guest-{os.getpid()}.ipynb"

    def make(source: str) -> subprocess.CompletedProcess:
        cell = {
            "cell_type": "code",
            "id": "one",
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        with open(f"{ROOT}/{path}", "w") as file:
            json.dump(notebook, file)
        return subprocess.run([f"{ROOT}/tests/vm/notebooks.sh", path], capture_output=True, text=True)

    try:
        assert make("from minict.runtime.cgroup import mode\nmode()").returncode == 0
        with open(f"{ROOT}/{path}") as file:
            assert json.load(file)["cells"][0]["outputs"][0]["data"]["text/plain"] == ["'v2'"]
        failed = make("1 / 0")
        assert failed.returncode == 1 and "ZeroDivisionError" in failed.stderr
        with open(f"{ROOT}/{path}") as file:
            assert json.load(file)["cells"][0]["outputs"] == []
    finally:
        os.remove(f"{ROOT}/{path}")
