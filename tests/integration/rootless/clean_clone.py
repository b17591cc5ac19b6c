"""``make lab`` without root, as a whole: a clone in the user's home, the packages, JupyterLab, and chapters to their end.

The user has this machine's network. ``make test-rootless`` runs it; it takes minutes, most of them for pip.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

from tests.support.command_line import wait_until
from tests.support.jupyter_client import Kernel, Remote
from tests.support.notebook_rules import ROOT_TAG
from tests.support.ordinary_user import UID
from tests.support.paths import ROOT
from tests.support.world import host_network

CHAPTERS = ["02-namespaces.ipynb", "05-pivot-root.ipynb"]


@pytest.fixture
def clone(ada) -> str:
    """The files of this checkout in a folder of the user's, and nothing else."""
    place = f"{ada.home}/minict"
    files = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True).stdout
    archive = subprocess.run(
        ["tar", "-C", ROOT, "--null", "-T", "-", "-c"], input=files, capture_output=True, check=True
    ).stdout
    os.mkdir(place)
    os.chown(place, UID, UID)
    made = ada.execute("tar", "-x", "--no-same-owner", input=archive, cwd=place, text=False)
    assert made.returncode == 0, made.stderr
    return place


@pytest.mark.timeout(3600)
def test_the_course_without_root_from_nothing(ada, clone):
    python_path = ada.environment.pop("PYTHONPATH")
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    ada.environment |= settings
    with host_network():
        server = subprocess.Popen(
            ada.words("make", "lab"), cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            told = []
            for line in server.stdout:
                told.append(line)
                if "Ctrl-C here" in line:
                    break
            said = "".join(told)
            assert "I am process 1\n" in said, said
            address, token = re.search(r"(http://127\.0\.0\.1:\d+)/.*token=(\w+)", said).groups()
            lab = Remote(address, token)
            for chapter in CHAPTERS:
                assert unexpected(lab, f"work/{chapter}") == [], chapter
        finally:
            os.killpg(server.pid, signal.SIGINT)
            server.communicate(timeout=60)
            ada.environment["PYTHONPATH"] = python_path
            for name in settings:
                del ada.environment[name]
    assert os.stat(f"{clone}/.venv/bin/minict").st_uid == UID
    wait_until(lambda: not [pid for pid in ada.processes() if b"ipykernel" in read(f"/proc/{pid}/cmdline")])


def read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def unexpected(lab: Remote, path: str) -> list[str]:
    """Run all cells of the learner's copy at *path*, as the page does; what fails although it should not."""
    cells = lab("GET", f"contents/{path}")["content"]["cells"]
    session = lab("POST", "sessions", {"path": path, "name": "", "type": "notebook", "kernel": {"name": "python3"}})
    kernel = Kernel(lab, session["kernel"]["id"])
    found = []
    try:
        assert (
            kernel.run("import os; print(os.geteuid(), open('/proc/self/uid_map').read().split()[1])") == f"0 {UID}\n"
        )
        for cell in cells:
            if cell["cell_type"] == "code":
                printed, error = kernel.cell("".join(cell["source"]))
                if error and not {"raises-exception", ROOT_TAG} & set(cell["metadata"].get("tags", ())):
                    found.append(f"{cell['source']}\n{printed}{error}")
    finally:
        kernel.end()
    return found
