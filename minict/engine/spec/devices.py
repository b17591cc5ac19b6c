"""The host's devices in a container: ``--device``, ``--device-cgroup-rule``, and all of them with ``--privileged``.

A device needs two things: a node in the container's /dev, and a rule that lets its control group use it
(:mod:`minict.runtime.devices`).
"""

from __future__ import annotations

import os

from minict.runtime import place, spec
from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

_KINDS = {0o020000: "c", 0o060000: "b"}  # inode(7)
# The nodes in /dev that a container has of its own, or that are the host's terminals: not part of "all devices".
_OWN = {
    "/dev/pts",
    "/dev/shm",
    "/dev/fd",
    "/dev/mqueue",
    "/dev/console",
    "/dev/ptmx",
    "/dev/tty",
    "/dev/.udev",
    "/dev/.lxc",
}


def devices(settings) -> tuple[list[spec.Device], list[spec.DeviceCgroup], dict[str, str]]:
    """The nodes to make, the rules for their use, and where each node is on the host, by its path inside.

    Raises :class:`ContainerError` for an invalid text or a missing device.
    """
    nodes: list[Any] = []
    rules: list[Any] = []
    places: dict[str, Any] = {}
    if settings.privileged:
        rules.append(spec.DeviceCgroup(allow=True, access="rwm"))
        found = [(path, path, "rwm") for path in nodes_below("/dev")]
    else:
        found = []
    for word in settings.device:
        found += _parse(word)
    for source, path, access in found:
        status = os.stat(source)
        kind, numbers = _KINDS[status.st_mode & 0o170000], (os.major(status.st_rdev), os.minor(status.st_rdev))
        places[path] = source
        nodes = [node for node in nodes if node.path != path]  # the last value counts
        nodes.append(
            spec.Device(
                path=path,
                type=kind,
                major=numbers[0],
                minor=numbers[1],
                fileMode=status.st_mode & 0o777,
                uid=status.st_uid,
                gid=status.st_gid,
            )
        )
        if not settings.privileged:
            rules.append(spec.DeviceCgroup(allow=True, type=kind, major=numbers[0], minor=numbers[1], access=access))
    if settings.device_cgroup_rule and place.in_user_namespace():
        raise ContainerError(
            "--device-cgroup-rule needs root: without it the rights of your user decide which devices a container opens"
        )
    return nodes, rules + [_rule(word) for word in settings.device_cgroup_rule], places


def _parse(word: str) -> list[tuple[str, str, str]]:
    """Parse ``HOST[:INSIDE][:rwm]`` into (path on the host, path inside, rights), one for each device of a
    directory."""
    source, *more = word.split(":")
    access = more.pop() if more and more[-1] and set(more[-1]) <= set("rwm") else "rwm"
    path = more.pop() if more else source
    if more or not source.startswith("/") or not path.startswith("/"):
        raise ContainerError(
            f"invalid --device {word}: use HOST[:INSIDE][:rwm], with absolute paths, as in /dev/fuse or "
            "/dev/ttyUSB0:/dev/modem:rw"
        )
    if os.path.isdir(source):
        below = nodes_below(source)
        if not below:
            raise ContainerError(f"--device {word}: the directory {source} contains no device")
        return [(each, path.rstrip("/") + each[len(source.rstrip("/")) :], access) for each in below]
    try:
        is_device = os.stat(source).st_mode & 0o170000 in _KINDS
    except OSError as error:
        raise ContainerError(f"--device {word}: {source}: {error.strerror}") from None
    if not is_device:
        raise ContainerError(
            f"--device {word}: {source} is not a device: mount a file or directory with -v {source}:{path}"
        )
    return [(source, path, access)]


def nodes_below(directory: str) -> list[str]:
    """The device nodes in *directory* and below, except those in :data:`_OWN`."""
    found = []
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.path in _OWN or entry.is_symlink():
                continue
            if entry.is_dir():
                found += nodes_below(entry.path)
            elif entry.stat().st_mode & 0o170000 in _KINDS:
                found.append(entry.path)
    return found


def _rule(word: str) -> spec.DeviceCgroup:
    """``--device-cgroup-rule 'c 188:* rw'``: a type, two numbers or ``*``, rights."""
    parts = word.split(" ")
    numbers = parts[1].split(":") if len(parts) == 3 else []
    if not (
        len(numbers) == 2
        and parts[0] in ("a", "b", "c")
        and parts[2]
        and set(parts[2]) <= set("rwm")
        and all(
            number == "*" or (number.isascii() and number.isdecimal() and int(number) < 1 << 32) for number in numbers
        )
    ):
        raise ContainerError(
            f"invalid --device-cgroup-rule {word!r}: use a type a, b or c, two numbers or *, and rights, as in 'c "
            f"188:* rw'"
        )
    major, minor = (None if number == "*" else int(number) for number in numbers)
    return spec.DeviceCgroup(allow=True, type=parts[0], major=major, minor=minor, access=parts[2])
