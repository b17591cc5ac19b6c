"""The chapters without root: their kernels are root in an ordinary user's namespaces, as in ``make lab`` without root.

With cgroup v2 a control group is delegated to the user. Chapter 00, whose container has limits, needs that.
"""

from __future__ import annotations

import contextlib
import os

import pytest

from minict.runtime import cgroup
from tests.support.command_line import PATIENCE
from tests.support.paths import ROOT

V2 = cgroup.mode() == "v2"
NEED_ROOT = {
    "08": "makes groups in the machine's own tree",
    "11": "has an ordinary user of its own",
    "12": "rules for devices",
    "16": "mini_docker.py makes groups and device nodes",
    "18": "databases whose files belong to several users, and counters of the machine",
    "19": "an engine that root starts",
    "20": "mini_docker.py again",
}
NEED_DELEGATION = {"00"}
CHAPTERS = [
    name
    for name in sorted(os.listdir(f"{ROOT}/notebooks"))
    if name.endswith(".ipynb") and name[:2] not in NEED_ROOT and (V2 or name[:2] not in NEED_DELEGATION)
]


FIRST = [name for name in CHAPTERS if name < "06"]


@pytest.mark.parametrize("notebook", FIRST)
def test_one_of_the_first_chapters(ada, notebook):
    run(ada, notebook)


@pytest.mark.parametrize("notebook", CHAPTERS[len(FIRST) :])
def test_a_later_chapter(ada, notebook):
    run(ada, notebook)


def run(ada, notebook: str) -> None:
    """Run the notebook in the namespaces of the user's containers, cell by cell, and compare what it shows."""
    inside = [*ada.program, "unshare", "--network", ada.program[0], "-m", "pytest", "--noconftest", "--tb=short"]
    inside += ["-q", "-p", "no:cacheprovider", "-p", "tests.support.without_root", f"--nbval-cell-timeout={PATIENCE}"]
    ada.environment["CI"] = "1"
    with ada.delegated_group() if V2 else contextlib.nullcontext():
        done = ada.execute(*inside, f"notebooks/{notebook}", cwd=ada.course, timeout=10 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
