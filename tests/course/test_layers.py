"""The picture of chapter 06 says what the kernel shows, and what a learner writes there mounts real containers."""

from __future__ import annotations

import os
import tempfile

import pytest

import minict
from minict.engine.images import importer, overlay, store
from minict.engine.images.diff import merged_names
from minict.kernel import mount as k
from minict.lab.exercise import exercises, judge
from minict.lab.layers import disk_usage, layer_table, room_for_layers, upper_of
from minict.lab.scenario import judge as judge_scenario
from minict.lab.scenario import scenarios
from minict.lab.verdict import readable
from tests.support.notebook_kernel import Kernel

DAY = ["echo salt >> bread", "rm cake", "rm -r sauces", "mkdir sauces", "echo garlic > sauces/aioli", "touch shelf/jar"]


@pytest.fixture
def place(tmp_path):
    for path in ("book/bread", "book/cake", "book/sauces/pesto", "book/shelf/cup", "errata/bread", "errata/shelf/can"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("text")
    for name in ("upper", "work", "merged"):
        (tmp_path / "cook" / name).mkdir(parents=True)
    return tmp_path


def test_the_table_shows_what_the_kernel_shows_and_from_where(place):
    lowers = [f"{place}/errata", f"{place}/book"]
    table = layer_table(lowers, f"{place}/cook", DAY)
    assert len(table) == len(DAY) + 1
    for look in table.looks:
        assert {path for path in table.paths if table.seen_in(look, path)} == set(look["merged"])
    first, last = table.looks[0], table.looks[-1]
    names = {path for path in last["merged"] if "/" not in path}
    assert names == merged_names([f"{place}/cook/upper", *lowers], "/")
    assert table.seen_in(first, "bread") == [1] and table.seen_in(last, "bread") == [0]
    assert table.seen_in(first, "shelf") == [1, 2] and table.seen_in(last, "shelf") == [0, 1, 2]
    assert table.seen_in(first, "sauces") == [2] and table.seen_in(last, "sauces") == [0]
    assert table.seen_in(last, "cake") == table.seen_in(last, "sauces/pesto") == []
    assert "cake: nothing, whiteout in upper" in table.in_words() and "sauces: from upper, opaque in upper" in repr(
        table
    )
    assert "alt='what is seen" in table.draw(0) and table.draw(0) != table.draw(1)
    assert sorted(os.listdir(place / "book")) == ["bread", "cake", "sauces", "shelf"], "a lower layer was changed"


def test_the_upper_layer_of_a_container_is_where_the_kernel_says(tiny):
    with minict.run(tiny, "sleep 100000", network="none", detach=True) as box:
        before = disk_usage(upper_of(box))
        box.exec(["sh", "-c", "head -c 100000 /dev/zero > /zeros; ln /zeros /twins"])
        with open(f"{upper_of(box)}/zeros", "rb") as file:
            assert file.read() == bytes(100_000)
        assert 100_000 <= disk_usage(upper_of(box)) - before < 200_000, "a file with two names counts once"


def test_the_bloated_image_leaves_nothing_in_the_store(tiny):
    task = scenarios()["bloated"]
    before = set(store.ids()), set(os.listdir(f"{store.store()}/layers"))
    recipe = task.start()
    task.solution(recipe)
    assert judge_scenario(task, recipe) == ""
    task.end(recipe)
    assert (set(store.ids()), set(os.listdir(f"{store.store()}/layers"))) == before


@pytest.fixture
def overlay_tmp(tmp_path, monkeypatch):
    """A directory for temporary files that lies on an overlay, as in a dev container."""
    for name in ("lower", "upper", "work", "tmp"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    k.mount("overlay", f"{tmp_path}/tmp", "overlay", 0, options)
    monkeypatch.setattr(tempfile, "tempdir", f"{tmp_path}/tmp")
    yield f"{tmp_path}/tmp"
    k.umount2(f"{tmp_path}/tmp", k.MNT_DETACH)


def test_an_overlay_can_not_hold_upper_layers_and_a_tmpfs_can(overlay_tmp):
    assert not overlay.works_in(overlay_tmp) and room_for_layers() == "/dev/shm"
    assert os.listdir(overlay_tmp) == [], "the trial left something behind"


def test_a_copy_of_the_image_on_an_overlay_has_no_upper_layer(overlay_tmp, monkeypatch):
    monkeypatch.setenv("MINICT_ROOT", overlay_tmp)
    importer.default_image("tiny")
    with minict.run("tiny", "sleep 100000", network="none", detach=True) as box:
        with pytest.raises(LookupError, match="is a copy of its image"):
            upper_of(box)


def test_where_overlays_work_layers_lie_with_the_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert room_for_layers() == str(tmp_path)


@pytest.mark.parametrize("id", ["layers-1", "layers-2", "layers-3"])
def test_exercises_can_be_done_where_temporary_files_lie_on_an_overlay(id, overlay_tmp):
    task = exercises()[id]
    source, phrase = next(iter(task.wrong.values()))
    verdict, words = judge(task, task.function(source))
    assert verdict == "failing" and phrase in readable(words)
    for source in task.right.values():
        assert judge(task, task.function(source)) == ("mine", "")


RUN = 'with minict.run("tiny", "sleep 100000", network="none", detach=True) as box:\n'
TRAP = "    if os.environ.get('LATER'):\n        raise ValueError('through mine')\n"


@pytest.mark.parametrize(
    "id, mark, lines",
    [
        ("layers-1", "    return [", "    pass"),
        ("layers-2", "    return stat.", '    box.exec("rm /etc/group")\n    box.diff()'),
        ("layers-3", "    names = ", '    box.exec(["sh", "-c", "rm -r /tmp; mkdir /tmp"])\n    box.diff()'),
    ],
)
def test_a_right_answer_works_for_the_containers_below(id, mark, lines, tiny):
    """The proof: the learner's function raises, once it is told to, what only its own code could raise."""
    task = exercises()[id]
    assert mark in task.solution
    with Kernel() as kernel:
        kernel.run(task.imports)
        assert "YOUR" in kernel.run(f'@exercise("{id}")\n{task.solution.replace(mark, TRAP + mark, 1)}')
        assert "through mine" not in kernel.run(f"import minict\n{RUN}{lines}")
        assert "through mine" in kernel.run(f"os.environ['LATER'] = 'yes'\n{RUN}{lines}")
