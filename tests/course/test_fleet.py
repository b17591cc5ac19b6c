"""Chapter 14: the lifelines say what has happened, a race has the winners it should, and its functions serve
containers."""

from __future__ import annotations

import os
import signal
import time

import pytest

import minict
from minict.engine.containers import names
from minict.lab.challenge import challenges
from minict.lab.exercise import exercises, judge
from minict.lab.fleet import Lifelines, colour_of, lifelines, race
from tests.support.notebook_kernel import Kernel


def test_lifelines_of_three_ends(tiny):
    def begin(script):
        return minict.run("tiny", ["sh", "-c", script], network="none", detach=True)

    boxes = [begin("exit 0"), begin("exit 3"), begin("exec sleep 1000")]
    assert [box.wait() for box in boxes[:2]] == [0, 3]
    boxes[2].pause()
    assert repr(lifelines(boxes)).endswith("1 ended with status 0, 1 ended with status 3, 1 paused]")
    boxes[2].unpause()
    boxes[2].kill()
    boxes[2].wait()
    chart = lifelines(boxes)
    assert [name for name, _ in chart.lives] == [box.name for box in boxes]
    assert [state for _, state, _ in chart.lives[2][1]] == ["created", "running", "paused", "running", "waiting"]
    assert "1 ended with status 137" in repr(chart)
    assert chart.picture(chart.begin - 1).sentence == "lifelines of 3 containers: none begun"
    assert all(
        f"alt='lifelines of 3 containers: {words}" in chart.draw(step) for step, words in ((0, "1 c"), (40, "1 e"))
    )


def test_each_run_of_a_container_that_is_started_again(tiny):
    box = minict.create("tiny", ["sh", "-c", "exit 1"], network="none", restart="on-failure:2").start()
    try:
        assert box.wait() == 1
        assert repr(lifelines([box])) == "[Picture: lifelines of 1 container: 1 ended with status 1, after 3 runs]"
    finally:
        box.remove(force=True)


def test_no_lives_are_a_picture_too():
    assert Lifelines([]).picture().sentence == "lifelines of 0 containers: none begun"
    assert len({colour_of(status) for status in (0, 3, 125)}) == 2 and colour_of(137) not in (
        colour_of(0),
        colour_of(3),
    )


def look_then_make(path, id):
    if os.path.lexists(path):
        return False
    time.sleep(0.3)
    return names.claim(path + id, id)


def test_a_race_has_one_winner_or_many():
    assert race(names.claim) == 1
    assert race(look_then_make, processes=5) > 1
    assert race(lambda path, id: "True") == 0


@pytest.mark.parametrize(
    "id, cell",
    [
        ("many-1", "%%child\nfrom minict.engine.lifecycle import operations\noperations.start(box._record)"),
        ("many-2", "print(box.logs())"),
        ("many-3", "print(minict.run('tiny', 'true', network='none').status)"),
    ],
)
def test_a_container_goes_through_the_learners_function(id, cell, tiny, tmp_path):
    task = exercises()[id]
    first = task.solution.index("\n", task.solution.rindex('"""')) + 1
    mark = f"    open('{tmp_path}/mark', 'w').close()\n"
    with Kernel() as kernel:
        kernel.run(f"{task.imports}\nimport minict\nbox = minict.create('tiny', 'echo hello', network='none')")
        try:
            assert "YOUR" in kernel.run(f'@exercise("{id}")\n{task.solution[:first]}{mark}{task.solution[first:]}')
            os.unlink(tmp_path / "mark") if os.path.exists(tmp_path / "mark") else None
            kernel.run("box.start().wait()")
            assert not os.path.exists(tmp_path / "mark")
            kernel.run(cell)
            assert os.path.exists(tmp_path / "mark")
        finally:
            kernel.run("box.remove(force=True)")


def test_a_monitor_that_stays_in_the_session_is_found_under_nohup_too():
    task = challenges()["watch-over"]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        state, why = judge(task, task.function(task.wrong["stays in the session"][0]))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert state == "failing" and "its terminal was closed" in why
