"""Chapter 03's family: what number 1 does decides what is left of the orphans."""

from __future__ import annotations

import os

import pytest

from minict.lab import family
from minict.runtime.init import reap
from minict.runtime.process import spawn
from tests.support.notebook_kernel import Kernel


def naive(pid):
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize("wait_for, zombies", [(naive, "0, 0, 1, 6"), (reap, "0, 0, 0, 0")])
def test_album(wait_for, zombies):
    picture = family.family_album(wait_for)
    assert repr(picture).endswith(f"an orphan comes to number 1; zombies: {zombies}]")
    assert picture.png.startswith(b"\x89PNG")


def test_a_process_1_that_ends_too_early_is_an_error(monkeypatch):
    monkeypatch.setattr(family, "_LIMIT", 0.3)
    with pytest.raises(Exception, match="number 1 has ended"):
        family.family_album(lambda pid: None)


def test_zombies_are_counted():
    children = [spawn(lambda: None) for _ in range(3)]
    assert family.zombies(os.getpid()) == 3
    for pid in children:
        os.waitpid(pid, 0)
    assert family.zombies(os.getpid()) == 0


def test_a_mistake_in_number_one_is_shown_and_not_where_we_noticed_it(tiny):
    with Kernel() as kernel:
        kernel.run("from minict.lab.family import family_album")
        words = kernel.run("def reap(pid):\n    raise ValueError('mine')\nfamily_album(reap)")
        assert "ValueError: mine" in words and "number 1 has ended" in words and "lab/family.py" not in words
