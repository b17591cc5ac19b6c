"""minict.runtime.capabilities: names and masks, Docker's rules, and what the kernel then lets a process do."""

from __future__ import annotations

import errno
import os

from minict.kernel.capability import capget, capset
from minict.kernel.process import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_IS_SET,
    PR_CAPBSET_READ,
    PR_SET_KEEPCAPS,
    prctl,
    sethostname,
)
from minict.runtime import capabilities
from minict.runtime.spec import Capabilities
from tests.support.in_child import errno_of, forked

OWN = capabilities.names(capget()[1])


def five(names, **changed):
    sets = dict(bounding=names, effective=names, permitted=names, inheritable=(), ambient=())
    return Capabilities(**{**sets, **changed})


def become(sets, uid=0):
    """The steps of a container's init that concern capabilities."""
    capabilities.drop_bounding(sets)
    prctl(PR_SET_KEEPCAPS, 1)
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    capabilities.apply(sets)


def status_of_program():
    """What a program that this process executes would find of the five sets in /proc."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.dup2(writer, 1)
        os.execv("/bin/cat", ["cat", "/proc/self/status"])
    os.close(writer)
    with open(reader) as pipe:
        lines = [line.split() for line in pipe]
    os.wait()
    return {words[0]: int(words[1], 16) for words in lines if words[0].startswith("Cap")}


# ---- names -----------------------------------------------------------------------------------------------------


# ---- the kernel ------------------------------------------------------------------------------------------------


def test_a_program_of_root_gets_exactly_the_default_set():
    def child():
        become(five(capabilities.DEFAULT))
        return status_of_program()

    sets = forked(child)
    assert sets["CapBnd:"] == sets["CapPrm:"] == sets["CapEff:"] == 0xA80425FB
    assert sets["CapInh:"] == sets["CapAmb:"] == 0


def test_a_dropped_capability_cannot_be_regained():
    def child():
        become(five(["CAP_CHOWN", "CAP_SETUID"]))
        sys_admin = capabilities.mask(["CAP_SYS_ADMIN"])
        return [
            errno_of(sethostname, "x"),
            errno_of(os.chroot, "/"),
            errno_of(capabilities.drop_bounding, five([])),  # CAP_SETPCAP itself is gone
            errno_of(capset, sys_admin, sys_admin, 0),
        ]

    assert forked(child) == [errno.EPERM] * 4


def test_the_bounding_set_includes_unnamed_capabilities(monkeypatch):
    """A kernel newer than the table: a capability without a name here can't be requested, and must not stay."""
    monkeypatch.setattr(capabilities, "_NUMBERS", {"CAP_CHOWN": 0})
    sets = five(["CAP_CHOWN"])

    def child():
        capabilities.drop_bounding(sets)
        return [number for number in range(len(capabilities.known())) if prctl(PR_CAPBSET_READ, number)]

    assert forked(child) == [0]


def test_another_user_keeps_the_ambient_set():
    names = ["CAP_NET_BIND_SERVICE", "CAP_KILL"]

    def child(ambient):
        become(five(names, inheritable=ambient, ambient=ambient), uid=65534)
        return capget()[1], status_of_program()

    own, program = forked(child, ["CAP_NET_BIND_SERVICE"])
    assert own == capabilities.mask(names)
    assert program["CapEff:"] == program["CapAmb:"] == capabilities.mask(["CAP_NET_BIND_SERVICE"])
    own, program = forked(child, [])
    assert own == capabilities.mask(names)
    assert program["CapEff:"] == program["CapPrm:"] == 0


def test_effective_may_be_less_than_permitted():
    def child():
        become(five(["CAP_CHOWN", "CAP_KILL"], effective=["CAP_KILL"]))
        return capget()

    assert forked(child) == (1 << 5, 0b100001, 0)


def test_dropping_nothing_needs_no_privilege():
    """A runtime that is itself in a container, under the same ceiling, may have no CAP_SETPCAP."""

    def child():
        sets = five(["CAP_CHOWN"])
        become(sets)
        return errno_of(capabilities.drop_bounding, sets)

    assert forked(child) == 0


def test_an_old_ambient_set_does_not_survive():
    def child():
        names = ["CAP_CHOWN", "CAP_KILL", "CAP_SETPCAP"]
        become(five(names, inheritable=names, ambient=names))
        capabilities.apply(five(names, inheritable=names, ambient=["CAP_KILL"]))
        return [prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number) for number in (0, 5)]

    assert forked(child) == [0, 1]


def test_capabilities_that_the_runtime_lacks_are_left_out():
    """As on a host without CAP_SYS_RESOURCE: all capabilities are requested, and the available ones arrive."""
    everything = capabilities.known()
    most = [name for name in OWN if name not in ("CAP_SYS_RESOURCE", "CAP_SYSLOG")]

    def child():
        become(five(most))
        become(five(everything, inheritable=everything, ambient=everything))
        return capabilities.names(capget()[0])

    assert forked(child) == most


def test_the_child_needs_system_calls_only(tmp_path):
    """After pivot_root there is no /proc and no standard library."""

    def child():
        os.chroot(tmp_path)
        os.chdir("/")
        become(five(capabilities.DEFAULT, inheritable=["CAP_KILL"], ambient=["CAP_KILL"]), uid=65534)
        return capabilities.names(capget()[0])

    assert forked(child) == capabilities.names(0xA80425FB)
