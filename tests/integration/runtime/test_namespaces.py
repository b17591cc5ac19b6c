"""Which namespaces a process is in, how flags are made of kinds, and how others' namespaces are entered."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager

import pytest

from minict.kernel import mount as k
from minict.kernel.namespaces import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    unshare,
)
from minict.kernel.process import PR_SET_DUMPABLE, prctl, sethostname
from minict.runtime import namespaces
from minict.runtime.errors import ContainerError
from minict.runtime.namespaces import FILES, FLAGS, enter, flags, identify, join, unshare_time
from minict.runtime.spec import Namespace
from tests.support.in_child import errno_of, forked


@contextmanager
def stranger(flags: int, prepare=lambda: None):
    """The pid of a process with new namespaces, as *flags* say, that has called *prepare*."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            unshare(flags)
            prepare()
            os.write(told, b"!")
            signal.pause()
        finally:
            os._exit(1)
    os.close(told)
    assert os.read(ready, 1) == b"!"
    os.close(ready)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def path(pid: int, kind: str) -> str:
    return f"/proc/{pid}/ns/{FILES[kind]}"


def wanted(pid: int, *kinds: str) -> list[Namespace]:
    return [Namespace(type=kind, path=path(pid, kind)) for kind in kinds]


def after_joining(namespaces: list, pid: int) -> list[str]:
    """The kinds of which a child shares the namespace with *pid*, and not with us, after join()."""
    own, theirs = identify(), identify(pid)

    def child():
        me = os.open("/proc/self", os.O_RDONLY)  # in another mount namespace there may be another /proc, or none
        join(namespaces)
        return {kind: os.stat(f"ns/{file}", dir_fd=me).st_ino for kind, file in FILES.items()}

    now = forked(child)
    return sorted(kind for kind in FILES if now[kind] == theirs[kind] != own[kind])


class TestIdentify:
    def test_identify_agrees_with_the_links(self):
        assert identify() == {kind: int(os.readlink(path("self", kind)).partition("[")[2][:-1]) for kind in FILES}

    def test_another_process(self):
        with stranger(CLONE_NEWUTS | CLONE_NEWIPC) as pid:
            own, theirs = identify(), identify(pid)
            assert {kind for kind in FILES if own[kind] != theirs[kind]} == {"uts", "ipc"}

    def test_nobody(self):
        assert identify(2**22 + 1) == {}


def test_flags_are_the_sum_of_their_kinds_however_often():
    assert flags([]) == 0
    assert flags(["uts", "ipc", "uts"]) == CLONE_NEWUTS | CLONE_NEWIPC
    assert flags(list(FLAGS)) == sum(FLAGS.values())
    with pytest.raises(ContainerError, match="unknown kind of namespace 'disk': use one of user, mount"):
        flags(["uts", "disk"])


class TestEnter:
    def test_the_namespace_of_another_process_is_joined_and_no_file_stays_open(self):
        def child():
            files = os.listdir("/proc/self/fd")
            enter(path(pid, "uts"), "uts")
            return identify()["uts"] == identify(pid)["uts"], os.uname().nodename, os.listdir("/proc/self/fd") == files

        with stranger(CLONE_NEWUTS, lambda: sethostname("stranger")) as pid:
            assert forked(child) == (True, "stranger", True)

    def test_a_path_of_another_kind_is_refused(self):
        with stranger(CLONE_NEWIPC) as pid:
            assert forked(lambda: errno_of(enter, path(pid, "ipc"), "uts")) == 22  # EINVAL


class TestJoin:
    """Each of the orders in which a specification may list them."""

    @pytest.mark.parametrize(
        "kinds", [("mount", "uts", "network"), ("uts", "mount", "network"), ("network", "uts", "mount")]
    )
    def test_the_mount_namespace_hides_the_paths_of_the_others(self, kinds):
        def hide_proc():
            k.mount(None, "/", None, k.MS_REC | k.MS_PRIVATE)
            k.mount("nothing", "/proc", "tmpfs")

        with stranger(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET, hide_proc) as pid:
            assert after_joining(wanted(pid, *kinds), pid) == ["mount", "network", "uts"]

    @pytest.mark.parametrize("kinds", [("user", "network", "mount"), ("mount", "network", "user")])
    def test_a_user_namespace_and_what_belongs_to_it(self, kinds):
        with stranger(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) as pid:
            assert after_joining(wanted(pid, *kinds), pid) == ["mount", "network", "user"]

    def test_a_user_namespace_gives_the_right_that_was_missing(self):
        def visible():
            prctl(PR_SET_DUMPABLE, 1)  # a change of user takes /proc/PID from its owner: proc_pid(5)

        def child():
            me = os.open("/proc/self", os.O_RDONLY)
            os.setresgid(4242, 4242, 4242)
            os.setresuid(4242, 4242, 4242)  # root no more, but the creator of a user namespace has all rights in it
            visible()
            with stranger(CLONE_NEWUSER | CLONE_NEWUTS, visible) as pid:
                join(wanted(pid, "uts", "user"))
                return os.stat("ns/uts", dir_fd=me).st_ino == os.stat(path(pid, "uts")).st_ino

        assert forked(child)

    def test_a_user_namespace_takes_away_the_right_to_the_hosts(self):
        with stranger(CLONE_NEWNET) as net, stranger(CLONE_NEWUSER) as user:
            namespaces = wanted(user, "user") + wanted(net, "network")
            assert after_joining(namespaces, net) == ["network"]
            assert after_joining(namespaces, user) == ["user"]

    def test_the_path_that_fails_is_named(self):
        with pytest.raises(AssertionError, match="cannot join the network namespace /nowhere: No such file"):
            forked(join, [Namespace(type="network", path="/nowhere"), Namespace(type="uts", path="/proc/self/ns/uts")])
        with pytest.raises(AssertionError, match="cannot join the uts namespace /proc/self/ns/ipc: Invalid argument"):
            forked(join, [Namespace(type="uts", path="/proc/self/ns/ipc")])

    def test_a_namespace_without_a_path_is_created_and_not_joined(self):
        assert namespaces.new_kinds([Namespace(type="uts"), *wanted(1, "ipc")]) == ["uts"]
        assert forked(lambda: join([Namespace(type="uts"), Namespace(type="cgroup", path="/nowhere")])) is None


class TestTime:
    def test_the_children_get_the_offset(self):
        def child():
            unshare_time({"monotonic": {"secs": 1000}, "boottime": {"secs": 2000, "nanosecs": 500}})
            mine = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
            childs = forked(lambda: (time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)))
            return [round(theirs - own, -1) for own, theirs in zip(mine, childs)]

        assert forked(child) == [1000, 2000]

    def test_without_an_offset_the_clocks_agree(self):
        def child():
            unshare_time(None)
            return abs(forked(time.monotonic) - time.monotonic()) < 10, identify()["time"]

        agree, own = forked(child)
        assert agree and own == identify()["time"], "the caller stays where it is"


def test_a_new_pid_namespace_is_for_the_children():
    def child():
        before = os.getpid()
        unshare(CLONE_NEWPID)
        return os.getpid() == before, forked(os.getpid)

    assert forked(child) == (True, 1)
