"""Chapters that an ordinary user can work through: their notebooks show the same as root's."""

from __future__ import annotations

import os
import sys

import pytest


@pytest.mark.parametrize("name", ["13-terminals-and-signals"])
def test_a_chapter_shows_the_same_without_root(ada, name):
    ada.environment["CI"] = "true"  # without a learner's record
    words = ["pytest", "-q", "-p", "no:cacheprovider", f"notebooks/{name}.ipynb"]
    python = os.path.realpath(sys.executable)
    done = ada.minict("unshare", python, "-m", *words, cwd=ada.course, timeout=600)
    del ada.environment["CI"]
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
