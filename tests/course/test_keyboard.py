"""Chapter 13: the way of each key is what the kernel did, and a container with a terminal goes through the learner's
function."""

from __future__ import annotations

import os
import subprocess

import pytest

import minict
from minict.lab import keyboard
from minict.lab.exercise import exercises
from tests.support.notebook_kernel import Kernel


def test_the_way_of_each_key(tiny):
    keyboard.keystrokes("\x03")  # the first container leaves its helpers
    before = sorted(os.listdir("/proc/self/fd"))
    way = keyboard.keystrokes("ls\r\x03never")
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert [each.name for each in way.pressed] == ["l", "s", "Enter", "Ctrl-C"], "the program has ended by then"
    assert [each.bytes["program"] for each in way.pressed] == [b"", b"", b"ls\n", None]
    assert [each.bytes["screen"] for each in way.pressed] == [b"l", b"s", b"\r\nls\r\n", b"^C"]
    assert way.picture(0).sentence == "no key was pressed yet" and "Enter" not in way.picture(2).sentence


def test_a_line_is_edited_before_the_program_sees_it(tiny):
    way = keyboard.keystrokes("a\x7fb\r\x04")
    assert [each.bytes["program"] for each in way.pressed] == [b"", b"", b"", b"b\n", b""]
    assert way.pressed[1].bytes["screen"] == b"\x08 \x08"


def test_other_keys_have_their_names_and_bytes_are_keys_too(tiny):
    way = keyboard.keystrokes(b"\x1a")
    assert [each.name for each in way.pressed] == ["Ctrl-Z"] and way.pressed[0].bytes["screen"] == b"^Z"


def test_what_never_appears_is_told_with_what_did(monkeypatch):
    monkeypatch.setattr(keyboard, "_LIMIT", 0.1)
    master, slave = os.openpty()
    with pytest.raises(TimeoutError, match="'word', but: 'wrong"):
        keyboard.press(master, "wrong\r", until="word")
    with pytest.raises(TimeoutError, match="nobody, and never came sh"):
        keyboard.until_in_front(master, "sh")
    os.close(slave)
    assert keyboard.read_to_end(master) == b""
    os.close(master)


def test_a_container_at_rest(tiny, monkeypatch):
    with minict.run("tiny", "sleep 100000", network="none", detach=True) as box:
        keyboard.until_asleep(box.pid)
        assert box.terminal == -1
    monkeypatch.setattr(keyboard, "_LIMIT", 0.1)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as busy:
        with pytest.raises(TimeoutError):
            keyboard.until_asleep(busy.pid)


def test_a_container_goes_through_the_learners_function(tiny):
    task = exercises()["tty-2"]
    first = task.solution.index("\n", task.solution.rindex('"""')) + 1
    with Kernel() as kernel:
        kernel.run(f"{task.imports}\nimport minict\nfrom minict.lab.keyboard import read_to_end")
        theirs = f"{task.solution[:first]}    os.write(slave, b'through mine')\n{task.solution[first:]}"
        assert "YOUR" in kernel.run(f'@exercise("tty-2")\n{theirs}')
        told = kernel.run(
            "with minict.run('tiny', 'tty', network='none', tty=True, detach=True) as box:\n"
            "    print(read_to_end(box.terminal))"
        )
    assert "through mine/dev/pts/0" in told


def test_the_keys_go_through_the_learners_raw(tiny):
    task = exercises()["tty-3"]
    with Kernel() as kernel:
        kernel.run(f"{task.imports}\nfrom minict.lab.keyboard import keystrokes")
        theirs = task.right["with a command"].replace("    before", "    print('made raw')\n    before", 1)
        assert "YOUR" in kernel.run(f'@exercise("tty-3")\n{theirs}')
        assert "made raw" in kernel.run("_ = keystrokes('a')")
