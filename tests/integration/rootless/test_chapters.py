"""The chapters without root: their kernels are root in an ordinary user's namespaces, as in ``make lab`` without root."""

from __future__ import annotations

import glob
import os

import pytest

from tests.support.paths import ROOT

CHAPTERS = sorted(glob.glob(f"{ROOT}/notebooks/[0-9]*.ipynb"))


@pytest.mark.parametrize("notebook", [os.path.basename(chapter) for chapter in CHAPTERS])
def test_a_chapter_runs_in_the_users_namespaces(ada, notebook):
    inside = [*ada.program, "unshare", ada.program[0], "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "--nbval-cell-timeout=40", "--tb=short"]
    ada.environment["CI"] = "1"
    done = ada.execute(*inside, f"notebooks/{notebook}", cwd=ada.course, timeout=600)
    assert done.returncode == 0, done.stdout[-60000:] + done.stderr[-2000:]
