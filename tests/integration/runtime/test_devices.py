"""minict.runtime.devices: what the kernel lets a process of a restricted cgroup do, in each cgroup version of this
machine."""

from __future__ import annotations

import errno
import os
import stat
import subprocess

import pytest

from minict.kernel.capability import capset
from minict.runtime import cgroup, devicefilter, devices, paths
from minict.runtime.errors import ContainerError
from minict.runtime.spec import DeviceCgroup
from tests.support.in_child import errno_of, forked

R, W, RW = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
KMSG, ZERO, FULL = (1, 11), (1, 5), (1, 7)
GRANTED, REFUSED = 0, errno.EPERM


def _worlds() -> dict:
    """The mount point and the function for each kind of cgroup that can restrict devices here."""
    found = {}
    if "devices" in cgroup.controllers():
        found["v1"] = cgroup.controllers()["devices"], devices.write_v1
    unified = cgroup.Cgroup("/any").v2_directory()
    if unified:
        found["v2"] = (
            unified.removesuffix("/any"),
            lambda directory, rules: devicefilter.attach(directory, devices.decisions(rules)),
        )
    return found


WORLDS = _worlds()


class Group:
    """A cgroup in one of the versions."""

    def __init__(self, world: str):
        self.mount, self.restrict = WORLDS[world]
        self.world = world
        self.directory = f"{self.mount}/{paths.cgroup_parent()}/devices"
        os.makedirs(self.directory)

    def inside(self, function, *arguments, directory=None):
        """What *function* returns in a process of this group."""

        def child():
            with open(f"{directory or self.directory}/cgroup.procs", "w") as file:
                file.write("0")
            return function(*arguments)

        return forked(child)


@pytest.fixture(params=list(WORLDS))
def group(request):
    group = Group(request.param)
    yield group
    for directory, _, _ in os.walk(os.path.dirname(group.directory), topdown=False):
        os.rmdir(directory)


@pytest.fixture
def place():
    """A directory whose file system takes device nodes."""
    directory = f"{paths.run_root()}/nodes"
    os.makedirs(directory)
    yield directory
    for name in os.listdir(directory):
        os.unlink(f"{directory}/{name}")
    os.rmdir(directory)


@pytest.fixture
def disk(tmp_path):
    """The numbers of a disk of the host's: a file of the test behind a loop device, so that no other files are at
    risk."""
    if not os.path.exists("/dev/loop-control"):
        subprocess.run(["modprobe", "loop"], check=True)  # where loop devices are a module
    (tmp_path / "image").write_bytes(b"the host's secret".ljust(65536, b"."))
    attach = ["losetup", "--find", "--show", tmp_path / "image"]
    device = subprocess.run(attach, capture_output=True, text=True, check=True).stdout.strip()
    numbers = os.stat(device).st_rdev
    yield os.major(numbers), os.minor(numbers)
    subprocess.run(["losetup", "--detach", device], check=True)


def node(place, numbers, kind=stat.S_IFCHR):
    path = f"{place}/{kind}-{numbers[0]}-{numbers[1]}"
    if not os.path.exists(path):
        os.mknod(path, kind | 0o600, os.makedev(*numbers))
    return path


def opened(path, flags) -> int:
    """The errno of an attempt to open *path*."""
    return errno_of(lambda: os.close(os.open(path, flags | os.O_NONBLOCK)))


def allow(type=None, major=None, minor=None, access="rwm"):
    return DeviceCgroup(allow=True, type=type, major=major, minor=minor, access=access)


def deny(type=None, major=None, minor=None, access="rwm"):
    return DeviceCgroup(allow=False, type=type, major=major, minor=minor, access=access)


def test_this_machine_has_a_device_controller_to_test():
    assert WORLDS


# ---- what the rules are for ------------------------------------------------------------------------------------


def test_the_hosts_disk_can_be_named_but_not_read(group, place, disk):
    """mknod itself is allowed, as in Docker; without the rules the same attack reads the disk."""

    def attack():
        path = f"{place}/disk"
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(*disk))
        try:
            with open(path, "rb") as file:
                return file.read(17).decode()
        except OSError:
            return [opened(path, flags) for flags in (R, W, RW)]
        finally:
            os.unlink(path)

    assert group.inside(attack) == "the host's secret"
    group.restrict(group.directory, devices.DEFAULT_RULES)
    assert group.inside(attack) == [REFUSED] * 3


def test_the_default_devices_work_and_no_others(group, place):
    group.restrict(group.directory, devices.DEFAULT_RULES)

    def use():
        nodes = {
            numbers: node(place, numbers) for numbers in [(1, 3), ZERO, FULL, (1, 8), (1, 9), KMSG, (1, 1), (10, 229)]
        }
        answers = {numbers: opened(path, R) for numbers, path in nodes.items()}
        _, slave = os.openpty()
        with open(nodes[ZERO], "rb") as zero, open(nodes[1, 3], "wb") as null:
            null.write(zero.read(10))
        return answers, os.isatty(slave), opened("/dev/tty", R), opened(node(place, (136, 4000)), R)

    answers, terminal, tty, other_terminal = group.inside(use)
    assert answers == {
        **dict.fromkeys([(1, 3), ZERO, FULL, (1, 8), (1, 9)], GRANTED),
        **dict.fromkeys([KMSG, (1, 1), (10, 229)], REFUSED),
    }
    assert terminal
    assert other_terminal not in (GRANTED, REFUSED)  # there is none of this number: the driver says so, not the cgroup
    assert tty in (GRANTED, errno.ENXIO)  # ENXIO: the process has no terminal; it was not the cgroup that said no


def test_limit_uses_this_machines_cgroup_version(place, disk):
    group = cgroup.Cgroup(f"/{paths.cgroup_parent()}/limited")
    group.create()
    try:
        devices.limit(group, devices.with_defaults([allow("c", *KMSG, "r")]))

        def child():
            for directory in filter(None, [group.directories.get("devices"), group.v2_directory()]):
                with open(f"{directory}/cgroup.procs", "w") as file:
                    file.write("0")
            kmsg = node(place, KMSG)
            return [opened(kmsg, R), opened(kmsg, W), opened(node(place, disk, stat.S_IFBLK), R)]

        assert forked(child) == [GRANTED, REFUSED, REFUSED]
    finally:
        group.remove()
        cgroup.Cgroup(f"/{paths.cgroup_parent()}").remove()


# ---- every form of rule, asked of the kernel -------------------------------------------------------------------

NOTHING = deny()
CASES = {  # rules -> may a process read, write, read and write, make what has /dev/zero's numbers? Read /dev/full's?
    "none": ([], "no no no no no"),
    "nothing": ([NOTHING], "no no no no no"),
    "everything": ([NOTHING, allow()], "yes yes yes yes yes"),
    "everything, by the type a": ([NOTHING, allow("a", -1, -1, None)], "yes yes yes yes yes"),
    "one device": ([NOTHING, allow("c", *ZERO)], "yes yes yes yes no"),
    "its reading": ([NOTHING, allow("c", *ZERO, "r")], "yes no no no no"),
    "its making": ([NOTHING, allow("c", *ZERO, "m")], "no no no yes no"),
    "its reading, then its writing": ([NOTHING, allow("c", *ZERO, "r"), allow("c", *ZERO, "w")], "yes yes yes no no"),
    "all with its major number": ([NOTHING, allow("c", 1, None, "r")], "yes no no no yes"),
    "all with its minor number": ([NOTHING, allow("c", -1, 5, "rw")], "yes yes yes no no"),
    "the block device of these numbers": ([NOTHING, allow("b", *ZERO)], "no no no no no"),
    "both of these numbers": ([NOTHING, allow(None, *ZERO, "rw")], "yes yes yes no no"),
    "both, by the type a": ([NOTHING, allow("a", *ZERO, "rw")], "yes yes yes no no"),
    "reading of everything": ([NOTHING, allow(access="r")], "yes no no no yes"),
    "its writing taken back": ([NOTHING, allow("c", *ZERO), deny("c", *ZERO, "w")], "yes no no yes no"),
    "taken back and given again": (
        [NOTHING, allow("c", *ZERO), deny("c", *ZERO), allow("c", *ZERO, "r")],
        "yes no no no no",
    ),
    "everything but one": ([NOTHING, allow(), deny("c", *ZERO)], "no no no no yes"),
    "everything but its writing": ([NOTHING, allow(), deny("c", *ZERO, "w")], "yes no no yes yes"),
    "an old list is forgotten": ([NOTHING, allow("c", *ZERO), NOTHING, allow("c", *FULL)], "no no no no yes"),
    "an old wide rule is forgotten": (
        [NOTHING, allow("c", 1, None), NOTHING, allow("c", *ZERO, "rw"), deny("c", *ZERO, "w")],
        "yes no no no no",
    ),
    "an unbuffered device, which is a character device": ([NOTHING, allow("u", *ZERO, "r")], "yes no no no no"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_decides_as_the_rules_say(group, place, case):
    rules, expected = CASES[case]
    zero, full = node(place, ZERO), node(place, FULL)
    group.restrict(group.directory, rules)

    def answers():
        make = errno_of(os.mknod, f"{place}/made", stat.S_IFCHR | 0o600, os.makedev(*ZERO))
        return [opened(zero, R), opened(zero, W), opened(zero, RW), make, opened(full, R)]

    assert [{GRANTED: "yes", REFUSED: "no"}[answer] for answer in group.inside(answers)] == expected.split()


PARTLY = {
    "of one device, all devices' writing": [NOTHING, allow("c", *ZERO), deny("c", None, None, "w")],
    "of a wide rule, one device": [NOTHING, allow("c", 1, None), deny("c", *ZERO, "w")],
    "of a wide denial, one device": [NOTHING, allow(), deny("c", 1, None, "w"), allow("c", *FULL)],
}


@pytest.mark.parametrize("case", PARTLY)
def test_a_rule_that_revokes_a_part_is_obeyed_or_refused(group, place, case):
    """v1 cannot express it, and ignoring it silently would leave a device open."""
    zero = node(place, ZERO)
    if group.world == "v1":
        with pytest.raises(ContainerError, match="cgroup v1 cannot express.*or use cgroup v2"):
            group.restrict(group.directory, PARTLY[case])
    else:
        group.restrict(group.directory, PARTLY[case])
        assert group.inside(lambda: [opened(zero, flags) for flags in (R, W, RW)]) == [GRANTED, REFUSED, REFUSED]


@pytest.mark.parametrize(
    "rule", [allow("d"), allow("c", 1, 5, "rx"), allow("c", -2, 5), allow("c", 1 << 32, 5), allow("c", "1", 5)]
)
def test_an_invalid_rule_is_refused(group, rule):
    with pytest.raises(ContainerError, match="invalid device rule"):
        group.restrict(group.directory, [rule])


def test_a_group_cannot_allow_more_than_its_parent(group, place):
    """v1 refuses the rule; v2 takes it, and asks both."""
    group.restrict(group.directory, devices.DEFAULT_RULES)
    inner = f"{group.directory}/inner"
    os.mkdir(inner)
    if group.world == "v1":
        with pytest.raises(ContainerError, match="what its parent does not"):
            group.restrict(inner, [NOTHING, allow("c", *KMSG, "r")])
    else:
        group.restrict(inner, [NOTHING, allow("c", *KMSG, "r"), allow("c", *ZERO, "r")])
        kmsg, zero = node(place, KMSG), node(place, ZERO)
        assert group.inside(lambda: [opened(kmsg, R), opened(zero, R), opened(zero, W)], directory=inner) == [
            REFUSED,
            GRANTED,
            REFUSED,
        ]


# ---- what can't be done ----------------------------------------------------------------------------------------


def test_a_directory_that_is_no_cgroup_is_refused(group, tmp_path):
    with pytest.raises(ContainerError, match=str(tmp_path)):
        group.restrict(str(tmp_path), devices.DEFAULT_RULES)
    with pytest.raises(ContainerError, match="nowhere"):
        group.restrict(f"{tmp_path}/nowhere", devices.DEFAULT_RULES)


def test_a_kernel_that_refuses_the_filter_is_an_error_with_a_remedy(tmp_path):
    """Here the kernel refuses for lack of privileges."""

    def child():
        os.setgid(65534)
        os.setuid(65534)
        capset(0, 0, 0)
        with pytest.raises(ContainerError, match="CONFIG_CGROUP_BPF") as refusal:
            devicefilter.attach(str(tmp_path), devices.decisions(devices.DEFAULT_RULES))
        return refusal.value.errno

    assert forked(child) == errno.EPERM


def test_the_rules_of_a_specification_come_between_the_defaults():
    own = [NOTHING, allow("c", *KMSG, "r")]
    rules = devices.with_defaults(own)
    assert rules[0] == NOTHING and rules[1:3] == own and rules[3:] == devices.DEFAULT_RULES[1:]
    assert devices.with_defaults([]) == devices.DEFAULT_RULES
