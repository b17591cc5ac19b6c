"""Chapter 15: the survival table tells the truth, counts guesses, and leaves nothing; its functions serve containers."""

from __future__ import annotations

import os

import pytest

import minict
from minict.engine.volumes import mounts
from minict.lab.exercise import exercises
from minict.lab.scenarios import ch15
from minict.lab.survival import EVENTS, PLACES, survival
from tests.support.notebook_kernel import Kernel

LASTING = {"own files", "anonymous volume", "named volume", "bind mount"}


def test_the_table_says_what_is_left(tiny):
    before = [volume.name for volume in minict.volumes()], len(minict.containers())
    table = survival({"own files": "yes no NO", "tmpfs": "? no yes"})
    assert table.found == [LASTING, LASTING, {"named volume", "bind mount"}]
    assert table.score == (3, 5)
    assert "removed, and a new one made: named volume, bind mount" in repr(table)
    assert table.picture(0).sentence == "nothing has happened yet" and EVENTS[1] not in table.picture(1).sentence
    assert before == ([volume.name for volume in minict.volumes()], len(minict.containers()))


@pytest.mark.parametrize(
    "guesses, words",
    [
        ({"tmpfs": "yes no"}, "three words"),
        ({"tmpfs": "yes no maybe"}, "three words"),
        ({"disk": "? ? ?"}, "no row 'disk'"),
    ],
)
def test_a_guess_that_is_none_gets_a_reason(guesses, words):
    with pytest.raises(ValueError, match=words):
        survival(guesses)
    assert set(PLACES) > LASTING


@pytest.mark.parametrize("id", ["volumes-1", "volumes-2", "volumes-3"])
def test_a_container_goes_through_the_learners_function(id, tiny, tmp_path):
    task, volume = exercises()[id], f"test-{os.urandom(4).hex()}"
    first = task.solution.index("\n", task.solution.rindex('"""')) + 1
    with Kernel() as kernel:
        kernel.run(f"{task.imports}\nimport minict\nfrom minict.engine.volumes import store")
        theirs = f"{task.solution[:first]}    print('through mine')\n{task.solution[first:]}"
        assert "YOUR" in kernel.run(f'@exercise("{id}")\n{theirs}')
        told = kernel.run(
            f"print(minict.run('tiny', 'true', network='none', volume=['{volume}:/etc', '{tmp_path}:/data:ro']).output)\n"
            f"store.remove('{volume}')"
        )
    assert "through mine" in told


def test_the_seen_and_the_covered_by_a_wrong_order(tiny, tmp_path, monkeypatch):
    for name in ("outer", "inner"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("")
    volume = [f"{tmp_path}/inner:/data/inner", f"{tmp_path}/outer:/data"]
    look = ["ls", "/data/inner"]
    assert minict.run("tiny", look, network="none", volume=volume).output.split() == ["inner"]
    monkeypatch.setattr(mounts, "in_order", lambda places: sorted(places, reverse=True))
    assert "inner" not in minict.run("tiny", look, network="none", volume=volume).output.split()


def test_the_collector_reads_nothing_outside_of_the_depot(tmp_path):
    (tmp_path / "secret").write_text("of the host")
    os.mkdir(tmp_path / "depot")
    depot = ch15.Depot(str(tmp_path / "depot"), "otter")
    os.symlink(f"{tmp_path}/secret", f"{depot.directory}/out/report")
    with pytest.raises(FileNotFoundError):
        depot.collect()
