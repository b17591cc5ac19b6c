"""Devices: for which of the machine's devices the container's processes may create nodes, and which they may open.

A device node is a file that holds two numbers, and opening it means talking to the driver of these numbers. The host's
disk is just "block 8:0" or "block 254:0", and a container has CAP_MKNOD, because package managers
use it: ``mknod disk b 254 0`` and ``cat disk`` would read every file of the host, past all
namespaces. So the cgroup has a list of permissions, which the kernel checks at each mknod and each open:

* cgroup v1 has a controller for it: lines such as ``c 1:3 rwm`` written into devices.allow and devices.deny;
* cgroup v2 has none: the runtime attaches a small eBPF program to the cgroup: see :mod:`.devicefilter`.

The specification's rules (config-linux.md, "Allowed Device list") are the same for both: a type, two
numbers, a sum of the rights ``r`` read, ``w`` write, ``m`` mknod, and whether it allows or denies. A later rule
takes precedence over an earlier one, and a device without a rule is denied.
"""

from __future__ import annotations

import os

from . import place
from .errors import ContainerError
from .spec import DeviceCgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cgroup import Cgroup

    Rule = tuple[str, int | None, int | None, str]  # b or c, major, minor, rights

_EVERYTHING = DeviceCgroup(allow=False, access="rwm")


def _allow(type: str, major: int | None, minor: int | None, access: str = "rwm") -> DeviceCgroup:
    return DeviceCgroup(allow=True, type=type, major=major, minor=minor, access=access)


# First nothing; then the devices that hold no data, which the specification promises to every container
# (config-linux.md, "Default Devices"); the numbers are in the kernel's Documentation/admin-guide/devices.txt.
DEFAULT_RULES: list[DeviceCgroup] = [
    _EVERYTHING,
    _allow("c", None, None, "m"),  # a node is only a file with two numbers: package managers make and copy them,
    _allow("b", None, None, "m"),  # and opening it takes another rule
    _allow("c", 1, 3),  # /dev/null
    _allow("c", 1, 5),  # /dev/zero
    _allow("c", 1, 7),  # /dev/full
    _allow("c", 1, 8),  # /dev/random
    _allow("c", 1, 9),  # /dev/urandom
    _allow("c", 5, 0),  # /dev/tty, the opening process's terminal
    _allow("c", 5, 2),  # /dev/ptmx, which makes a pseudo-terminal
    _allow("c", 136, None),  # /dev/pts/*, the pseudo-terminals that are in the container's own devpts
]


def with_defaults(rules: list[DeviceCgroup]) -> list[DeviceCgroup]:
    """The *rules* of a specification amid :data:`DEFAULT_RULES`: after "deny all", before what every container gets.

    Source: config-linux.md, "Default Devices".
    """
    return [DEFAULT_RULES[0], *rules, *DEFAULT_RULES[1:]]


def limit(group: Cgroup, rules: list[DeviceCgroup]) -> None:
    """Apply the *rules* to the cgroup *group*, by the means of this machine's cgroup version.

    To be called before a process is in it. In a user namespace there is nothing to limit: the kernel refuses device
    nodes there, and the filter too. Raises :class:`ContainerError`. Source: config-linux.md, "Allowed Device list".
    """
    if place.in_user_namespace():
        return
    if "devices" in group.directories:
        write_v1(group.directories["devices"], rules)
    elif directory := group.v2_directory():
        from . import devicefilter

        devicefilter.attach(directory, decisions(rules))
    else:
        raise ContainerError(
            "this machine has neither the devices controller of cgroup v1 nor cgroup v2, without "
            "which a container could read the host's disks: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        )


def decisions(rules: list[DeviceCgroup]) -> list[tuple[Rule, bool]]:
    """Each of the *rules* with whether it allows; one for all types becomes two. Raises :class:`ContainerError`.

    Source: config-linux.md, "Allowed Device list".
    """
    return [(part, bool(rule.allow)) for rule in rules for part in _parts(rule)]


def _parts(rule: DeviceCgroup) -> list[Rule]:
    """The *rule* as (b or c, major, minor, rights): a rule for all types becomes two. None is any number.

    Raises :class:`ContainerError` for an unknown type or right.
    """
    types = {"": "bc", "a": "bc", "b": "b", "c": "c", "u": "c"}.get(rule.type or "")
    access = rule.access or "rwm"
    major, minor = (None if number == -1 else number for number in (rule.major, rule.minor))
    in_range = all(number is None or (isinstance(number, int) and 0 <= number < 1 << 32) for number in (major, minor))
    if types is None or set(access) - set("rwm") or not in_range:
        raise ContainerError(
            f"invalid device rule {rule}: its type is a, b, c or u, its access some of r, w and "
            "m, its numbers are 0 to 4294967295, or -1 for any"
        )
    return [(type, major, minor, access) for type in types]


# ---- cgroup v1 -------------------------------------------------------------------------------------------------


def write_v1(directory: str, rules: list[DeviceCgroup]) -> None:
    """Write the *rules* into the v1 cgroup *directory* of the devices controller.

    The kernel keeps a default and a list of exceptions, and removes an exception only as a whole. A rule that takes
    back a part of an earlier, wider one cannot be expressed that way; the kernel would silently ignore it.
    Raises :class:`ContainerError` for such a rule, and when the kernel refuses one.
    Source: Documentation/admin-guide/cgroup-v1/devices.rst.
    """
    line = ""
    descriptors: dict[str, int] = {}
    try:
        for file, line in _lines(rules):
            if file not in descriptors:
                descriptors[file] = os.open(f"{directory}/{file}", os.O_WRONLY | os.O_CLOEXEC)
            os.write(descriptors[file], line.encode())
    except OSError as error:
        raise ContainerError(
            f"the kernel refuses the device rule {line!r} for {directory} ({error.strerror}): a "
            "cgroup cannot allow what its parent does not allow",
            errno=error.errno,
        ) from None
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def _lines(rules: list[DeviceCgroup]) -> list[tuple[str, str]]:
    """(file, line) for each rule. The first line denies everything and drops what the parent handed down."""
    lines, default = [("devices.deny", "a")], False
    exceptions: list[Rule] = []
    for rule in rules:
        each_type = _parts(rule)
        if len(each_type) == 2 and each_type[0][1:] == (None, None, "rwm"):  # all devices: the list starts over
            lines.append(("devices.allow" if rule.allow else "devices.deny", "a"))
            default, exceptions = bool(rule.allow), []
            continue
        for part in each_type:
            if bool(rule.allow) != default:
                exceptions.append(part)
            elif any(_overlap(part, other) and part[:3] != other[:3] for other in exceptions):
                raise ContainerError(
                    f"cgroup v1 cannot express the device rule {rule}, which takes back a part of "
                    "an earlier, wider rule: list the devices of that one, or use cgroup v2"
                )
            type, major, minor, access = part
            numbers = ":".join("*" if number is None else str(number) for number in (major, minor))
            lines.append(("devices.allow" if rule.allow else "devices.deny", f"{type} {numbers} {access}"))
    return lines


def _overlap(one: Rule, other: Rule) -> bool:
    """Whether both apply to some right to some device."""
    return (
        one[0] == other[0]
        and bool(set(one[3]) & set(other[3]))
        and all(None in pair or pair[0] == pair[1] for pair in zip(one[1:3], other[1:3]))
    )
