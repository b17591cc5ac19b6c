"""The escape of chapters 04 and 05: it leaves a chroot, is the same in both, and its picture shows what happened."""

from __future__ import annotations

import ast
import inspect
import os

import nbformat

from minict.lab.child import run_in_child
from minict.lab.escape import escape, escape_map, follow
from minict.lab.exercises import ch05_pivot_root
from minict.lab.needs import needs_map
from tests.support.paths import ROOT


def body(function: str) -> list[str]:
    """The statements of a function's source, without comments."""
    return [ast.unparse(statement) for statement in ast.parse(function).body[0].body]


def go_in(room):
    os.chroot(room)
    os.chdir("/")


def test_it_leaves_a_chroot(tmp_path):
    (tmp_path / "secret").write_text("the host's")
    room = tmp_path / "room"
    room.mkdir()

    def inside(leave):
        go_in(room)
        leave()
        return os.path.exists(tmp_path / "secret")

    assert not run_in_child(inside, lambda: None)
    assert run_in_child(inside, escape)


def test_the_picture_follows_the_real_thing(tmp_path):
    room = os.path.realpath(tmp_path)
    steps = follow(room)
    deeper = f"{room}/etc/deeper"
    assert steps[0] == ("", room, room)
    assert steps[1] == ('os.chroot("/etc/deeper")', deeper, room)
    assert steps[-2] == ('os.chdir("..")', deeper, "/")
    assert steps[-1] == ('os.chroot(".")', "/", "/")
    above = [os.path.normpath(room + "/.." * up) for up in range(1, room.count("/") + 1)]
    assert [here for _, _, here in steps[1:-1]] == [room, *above]
    assert "root the host's /" in repr(escape_map(room)) and room not in repr(escape_map(room))


def test_chapter_05_has_the_same():
    assert body(inspect.getsource(ch05_pivot_root.escape)) == body(inspect.getsource(escape))
    cells = nbformat.read(f"{ROOT}/notebooks/05-pivot-root.ipynb", as_version=4).cells
    defined = [cell.source for cell in cells if cell.source.startswith("def escape")]
    taken = [cell.source for cell in cells if "from minict.lab.escape import escape" in cell.source]
    assert defined or taken
    for source in defined:
        assert body(source) == body(inspect.getsource(escape))


def test_what_a_script_needs_is_drawn_once_for_each_file(tmp_path):
    script = tmp_path / "greet"
    script.write_text("#!/usr/bin/env bash\n")
    told = "[Picture: what greet needs: bash, env, libc.so.6, libtinfo.so.6, the loader]"
    assert repr(needs_map(str(script))) == told
