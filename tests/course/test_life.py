"""Chapter 01's pictures: they show the truth, and leave no process behind."""

from __future__ import annotations

import os

import pytest

from minict.lab import life
from minict.runtime.process import spawn


@pytest.mark.parametrize(
    "end, said",
    [
        (lambda: os._exit(7), "exit status 7"),
        (lambda: os._exit(256), "exit status 0"),
        (lambda: 1 / 0, "exit status 1"),
        (lambda: os.kill(os.getpid(), 9), "signal 9"),
    ],
)
def test_the_bits_of_a_wait_status(end, said):
    status = os.waitpid(spawn(end), 0)[1]
    picture = life.wait_statuses({"it": status})
    assert repr(picture) == f"[Picture: the bits of some wait statuses: it: {status}, {said}]"
    svg = life.wait_status("<it>", status)
    assert f">{said}</text>" in svg and f">{status}</text>" in svg and "&lt;it&gt;" in svg
    assert "".join(part[0] for part in svg.split("font-family='monospace'>")[1:17]) == f"{status:016b}"


def test_the_core_dump_bit_is_not_part_of_the_signal():
    assert "signal 11]" in repr(life.wait_statuses({"it": 11 | 0x80}))


@pytest.mark.parametrize("live", [life._ordinary, lambda: life._contained("tiny")])
def test_a_life_goes_from_fork_to_wait(live, tiny):
    one = live()
    assert one.born < one.executed <= one.ended < one.waited
    begins = [begin for _, _, begin, _ in one.parts]
    assert begins == sorted(begins) and begins[0] == one.born and one.parts[-1][3] == one.executed
    assert one.parts[-1][0] == "exec · 01"


def test_the_gap_of_a_container_holds_the_course(tiny):
    parts = {name for name, *_ in life._contained(tiny).parts}
    assert {"root file system · 04, 05", "host name · 02", "network · 09", "security · 12"} <= parts
    assert life.lifelines(tiny).png.startswith(b"\x89PNG")
