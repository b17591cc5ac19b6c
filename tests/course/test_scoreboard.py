"""The scoreboard of chapter 12: which wall stops which attack, asked of the kernel; and what is drawn of it."""

from __future__ import annotations

import sys

import pytest

import minict.lab.exercise  # noqa: F401
from minict.lab import scoreboard
from minict.runtime import capabilities, libseccomp, seccomp
from minict.runtime.spec import Seccomp

exercise = sys.modules["minict.lab.exercise"]

# The attacks that one wall alone stops.  The other three are stopped twice.
BY_ONE = {
    "capabilities": ["be_more_important", "link_down"],
    "filter": ["unshare_user", "personality"],
    "no_new_privs": ["become_root"],
    "read_only": ["leave_a_program"],
    "masks": ["open_a_setting", "count_interrupts"],
    "devices": ["open_a_device"],
}


@pytest.fixture(scope="module")
def board(tiny):
    return scoreboard.scoreboard()


@pytest.fixture
def nothing_predicted():
    scoreboard._predicted.clear()
    yield scoreboard._predicted
    scoreboard._predicted.clear()


def test_each_wall_stops_what_it_is_for(board):
    assert {wall: board.through(wall) for wall in scoreboard.WALLS} == BY_ONE
    assert board.through("") == []
    assert board.through("all") == list(scoreboard.ATTACKS)


def test_two_walls_missing(tiny):
    with scoreboard.Arsenal() as arsenal:
        told = arsenal.attack({"capabilities", "filter"})
    assert {"mount_tmpfs", "sethostname", "reboot"} <= {
        name for name, said in told.items() if scoreboard.is_through(said)
    }
    drawn = scoreboard.draw({"devices"})
    assert drawn.count(": through<") == 1 and "open a device of the host: through" in drawn


def test_predictions_are_counted_and_marked(board, nothing_predicted):
    assert board.score() == (0, 0) and repr(board) == repr(board.picture())
    plain = board.picture().png
    assert len(set(scoreboard.TEN)) == 10
    for cell in scoreboard.TEN:
        scoreboard._choose(cell, scoreboard.THROUGH)
    right = [cell for cell in scoreboard.TEN if cell[1] == "all" or cell[0] in BY_ONE[cell[1]]]
    assert board.score() == (len(right), 10) and 3 < len(right) < 7, "a guess of one kind gets about half of them"
    assert board.picture().png != plain
    scoreboard._choose(scoreboard.TEN[0], "?")
    assert board.score()[1] == 9


def test_one_capability_at_a_time():
    opened = scoreboard.opened_by_each()
    assert (
        max(opened.calls, key=lambda name: len(opened[name])) == "CAP_SYS_ADMIN" and len(opened["CAP_SYS_ADMIN"]) > 15
    )
    assert [name for name in capabilities.DEFAULT if opened[name]] == []
    assert "link_down" in opened["CAP_NET_ADMIN"] and "reboot" in opened["CAP_SYS_BOOT"]


def test_what_a_learner_compiles_is_not_kept(monkeypatch):
    """Else a container would go on with the program of the package's own function, or another notebook with theirs."""
    task, called = exercise.exercises()["powers-3"], []
    profile = Seccomp.from_dict(
        {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}
    )
    before = seccomp.cached(profile)

    def answer_newer_calls(architecture, newest):
        called.append(newest)
        return task.reference(architecture, newest)

    exercise._replace(task, answer_newer_calls)
    try:
        assert seccomp.cached(profile) == before and called == [libseccomp.call_number("read")]
    finally:
        exercise._replace(task, task.reference)
    assert seccomp.cached(profile) == before and len(called) == 1
