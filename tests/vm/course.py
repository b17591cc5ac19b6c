"""The course in a virtual machine, used from outside: what a learner has after `make vm`, or `vagrant up`.

Slow, and no part of the suite; as root::

    make test-course        # boots the machine of `make vm`, with a disk of its own

    # a machine that runs: the address that it has printed
    MINICT_COURSE=ADDRESS python -m pytest --noconftest tests/vm/course.py

By emulation it takes some ten minutes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from tests.support.browser import Browser  # noqa: E402
from tests.support.jupyter_client import Died, Remote  # noqa: E402

ADDRESS = os.environ.get("MINICT_COURSE")
CHAPTER = "work/00-what-is-a-container.ipynb"


class Machine:
    """The machine of `make vm`, with a disk of its own."""

    def start(self) -> None:
        cache = os.environ.get("MINICT_VM_CACHE", os.path.expanduser("~/.cache/minict"))
        self.process = subprocess.Popen(
            [f"{ROOT}/vagrant/vm.sh"],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "MINICT_VM_CACHE": f"{cache}/test-course"},
        )
        for line in self.process.stdout:
            print(line, end="")
            if found := re.search(r"The course:  (\S+)", line):
                self.address = found[1]
                return
        raise AssertionError(f"it ended with status {self.process.wait()}")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(120) == 0


@pytest.fixture(scope="module")
def machine():
    """The machine that the tests have started; None when the caller has named another one."""
    if ADDRESS:
        yield None
    else:
        machine = Machine()
        machine.start()
        yield machine
        machine.stop()


@pytest.fixture
def address(machine) -> str:
    return machine.address if machine else ADDRESS


@pytest.fixture
def lab(address) -> Remote:
    return Remote(*parts(address))


def parts(address: str) -> tuple[str, str]:
    """The beginning of an address, and its token."""
    return re.fullmatch(r"(http://[^/]+)/lab\S*\?token=(\w+)", address).groups()


def test_the_printed_address_is_chapter_00_and_it_runs_to_its_end(address, tmp_path):
    with Browser(tmp_path) as browser:
        page = browser.open(address)
        page.run_all()
        cells = page.cells()
        page.screenshot("chapter")
        assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
        with open(f"{ROOT}/notebooks/{os.path.basename(CHAPTER)}") as file:
            committed = [cell for cell in json.load(file)["cells"] if cell["cell_type"] == "code"]
        assert errors(cells) == errors(committed)


def errors(cells: list[dict]) -> list[tuple[int, str]]:
    """The exceptions shown, by cell: some cells are meant to raise."""
    return [
        (cell["execution_count"], output["ename"])
        for cell in cells
        for output in cell["outputs"]
        if output["output_type"] == "error"
    ]


def test_the_kernel_is_root_on_cgroup_v2_and_the_server_is_not(lab):
    with pytest.raises(urllib.error.HTTPError, match="403"):
        Remote(lab.address, "another token")("GET", "kernels")
    kernel = lab.kernel()
    assert kernel.run("import os; print(os.getuid(), os.stat(f'/proc/{os.getppid()}').st_uid >= 1000)") == "0 True\n"
    assert kernel.run("!stat -f -c %T /sys/fs/cgroup").strip() == "cgroup2fs"
    assert "can run containers" in kernel.run("!minict doctor")
    assert kernel.run("!minict run --rm tiny hostname -i").startswith("10.210.")
    assert kernel.run("!minict run --rm --memory 64m tiny tail /dev/zero; echo $?").strip() == "137"
    kernel.end()


def test_interrupt_and_restart_also_of_a_kernel_that_hangs(lab):
    kernel = lab.kernel()
    kernel.run("import ctypes, time")
    running = kernel.start("time.sleep(600)")
    kernel.interrupt()
    assert kernel.finish(running) == "KeyboardInterrupt"
    kernel.start(
        "time.sleep(1); ctypes.PyDLL(None).sleep(3600)  # holds the interpreter's lock: nothing but a signal ends it"
    )
    time.sleep(3)
    kernel.restart()
    assert kernel.run("print(6 * 7)") == "42\n"
    kernel.end()


def test_a_terminal_runs_a_container_with_a_terminal(lab):
    terminal = lab.terminal()
    terminal.type("echo I am $(id -u); minict run -it --rm tiny sh -c 'tty; id -u'; echo status $?; minict prune")
    assert terminal.wait_for(r"I am (\d+)")[1] != "0"
    assert terminal.wait_for(r"/dev/\S+\r\n0\r\nstatus 0")
    terminal.end()


def test_a_kernel_that_takes_all_memory_dies_alone(lab):
    kernel = lab.kernel()
    with pytest.raises(Died):
        kernel.run("eaten = []\nwhile True: eaten.append(b'x' * 10 ** 7)")
    kernel.channels.close()  # JupyterLab is just starting another process for it
    other = lab.kernel()
    assert other.run("print(6 * 7)") == "42\n"
    other.end()


if not ADDRESS:  # otherwise the machine belongs to the caller, and must not be restarted

    def test_saved_work_survives_a_restart(machine, lab):
        notebook = lab("GET", f"contents/{CHAPTER}")
        notebook["content"]["cells"][0]["source"] = "a learner was here"
        lab("PUT", f"contents/{CHAPTER}", {"type": "notebook", "format": "json", "content": notebook["content"]})
        machine.stop()
        machine.start()
        again = Remote(*parts(machine.address))("GET", f"contents/{CHAPTER}")
        assert again["content"]["cells"][0]["source"] == "a learner was here"
