"""The pictures of chapter 05 show what the kernel has done, and leave nothing behind."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree

import pytest

from minict.engine.spec import spec
from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNS, unshare
from minict.lab.host import mount_table
from minict.lab.roots import furnish, mount_moments
from minict.runtime import mounts, rootfs
from minict.runtime.spec import Linux, Mount, Spec
from tests.support.in_child import forked


@pytest.fixture
def room(tmp_path) -> str:
    for name in ("dev", "proc", "sys"):
        os.mkdir(tmp_path / name)
    return str(tmp_path)


@pytest.fixture
def table() -> list:
    wanted = [
        Mount(destination=destination, type=type, source=type, options=list(options))
        for destination, type, options in spec.MOUNTS
        if type != "cgroup"
    ]
    return rootfs.operations(Spec(linux=Linux(), mounts=wanted), "/", {}, None)


def words(svg: str) -> list[str]:
    """All the text that a drawing shows."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def test_a_root_is_looked_at_after_each_operation(room, table):
    steps = furnish(room, table)
    assert len(steps) == len(table) + 1 and steps.done == [operation.describe() for operation in table]
    for step in range(len(steps)):
        shown = words(steps.draw(step))
        assert f"the table: {step} of {len(table)} done" in shown and shown.count("✓") == step
        assert ("null" in shown) == (step > steps.done.index("device /dev/null"))
        assert ("pts/ devpts" in shown) == (step > steps.done.index("mount devpts on /dev/pts"))
    assert shown.count("empty") == 0 and words(steps.draw(0)).count("empty") == 3
    assert ("stdin", "link") in steps.looks[-1]["dev"] and ("null", "device") in steps.looks[-1]["dev"]


def test_a_furnished_root_is_bare_again(room, table):
    furnish(room, table)
    assert [os.listdir(f"{room}/{name}") for name in ("dev", "proc", "sys")] == [[], [], []]


def test_files_of_the_image_are_distinguished_from_mounts(room, table):
    open(f"{room}/dev/null", "w").close()
    looks = furnish(room, table).looks
    assert looks[0]["dev"] == [("null", "file")] and looks[2]["dev"] == [] and ("null", "device") in looks[-1]["dev"]


def test_the_host_comes_to_lie_on_the_room_and_goes(room):
    def move_in():
        unshare(CLONE_NEWNS)
        mounts.make_private()
        moments = {"first": mount_table()}
        k.mount(room, room, None, k.MS_BIND)
        k.mount("proc", f"{room}/proc", "proc")
        moments["second"] = mount_table()
        os.chdir(room)
        k.pivot_root(".", ".")
        moments["third"] = mount_table()
        k.umount2(".", k.MNT_DETACH)
        return {**moments, "fourth": mount_table()}

    picture = mount_moments(forked(move_in))
    assert picture.png.startswith(b"\x89PNG")
    assert picture.sentence.endswith(
        "first: the host; second: the host, the room, proc; "
        "third: the room, proc, the host on top; fourth: the room, proc"
    )
