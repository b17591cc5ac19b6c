"""Whose processes, host name, memory segments, users and cgroups a container sees: its own, the host's, another
container's.

Each of ``--pid``, ``--uts``, ``--ipc``, ``--userns`` and ``--cgroupns`` decides about one namespace; the network's is
decided in :mod:`minict.engine.networks.sandbox`.
"""

from __future__ import annotations

import os

from minict.engine.containers import names
from minict.engine.containers.store import Record
from minict.runtime import paths, spec
from minict.runtime.errors import ContainerError
from minict.runtime.state import State

_HOST_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
# Which words each option takes; the first is the default.
MODES = {
    "pid": ("private", "host", "container:NAME"),
    "uts": ("private", "host", "container:NAME"),
    "ipc": ("private", "shareable", "host", "none", "container:NAME"),
    "userns": ("host", "private", "auto"),
    "cgroupns": ("private", "host"),
}


def mode(settings, option: str) -> str:
    """What ``--pid``, ``--uts``… says, or its default.  Raises :class:`ContainerError`."""
    default, *others = MODES[option]
    word = getattr(settings, option)
    word = default if word is None else word
    kind, _, name = word.partition(":")
    known = word in (default, *others) and word != "container:NAME"
    if not known and (kind != "container" or not name or "container:NAME" not in others):
        raise ContainerError(f"--{option} {word}: write {', '.join(others)} or {default}, which is the default")
    return "private" if word == "auto" else word  # Podman's word for it


def namespaces(settings) -> list[spec.Namespace]:
    """The namespaces of a container but its network's: to be made, or, with a path, to be joined.

    Raises :class:`ContainerError`.
    """
    result = [spec.Namespace(type="mount")]
    for option, kind in (("pid", "pid"), ("uts", "uts"), ("ipc", "ipc")):
        word = mode(settings, option)
        if word.startswith("container:"):
            result.append(spec.Namespace(type=kind, path=f"/proc/{find_partner(option, word).pid}/ns/{kind}"))
        elif word != "host":
            result.append(spec.Namespace(type=kind))
    if mode(settings, "cgroupns") == "private":
        result.append(spec.Namespace(type="cgroup"))
    if mode(settings, "userns") == "private":
        check_users(settings)
        result.append(spec.Namespace(type="user"))
    return result


def check_users(settings) -> None:
    """A root that is root only over its own namespaces can share none of the host's.  Raises
    :class:`ContainerError`."""
    if settings.privileged:
        raise ContainerError(
            "--privileged and --userns private: who may do everything is the host's root; leave one of the two out"
        )
    for option in ("pid", "uts", "ipc"):
        if mode(settings, option) == "host" or mode(settings, option).startswith("container:"):
            raise ContainerError(
                f"--{option} {mode(settings, option)} and --userns private: the users of the container have no rights "
                f"in that namespace; leave one of the two out"
            )
    network = settings.network[-1] if settings.network else ""
    if network == "host" or network.startswith("container:"):
        raise ContainerError(
            f"--network {network} and --userns private: the users of the container have no rights in that "
            "namespace; leave one of the two out"
        )
    if mode(settings, "cgroupns") == "host":
        raise ContainerError(
            "--cgroupns host and --userns private: the users of the container have no rights in that namespace; "
            "leave one of the two out"
        )


# Each container with users of its own gets a range of ids on the host that no other has.  They begin where those end
# that useradd(8) gives to people (SUB_UID_MAX in login.defs(5)).
IDS = 65536
_RANGES = range(1 << 31, 0xF000_0000, IDS)


def reserve(state: State, settings, config: spec.Spec) -> None:
    """With ``--userns private``: take a range of ids for a life of the container, and let its mounts translate to them.

    The files keep their own ids on the disk, so the next life may have another range.  Raises :class:`ContainerError`.
    """
    if mode(settings, "userns") != "private":
        return
    first = _take_ids(state)
    for mappings in ("uidMappings", "gidMappings"):
        setattr(config.linux, mappings, [spec.IDMapping(containerID=0, hostID=first, size=IDS)])
    files = state.path("")
    for mount in config.mounts:
        if mount.destination == "/" or (mount.type == "bind" and not mount.destination.startswith("/dev/")):
            if mount.source.startswith(files) and not _tmpfs_maps():
                continue  # our own /etc/hosts can be read by everybody
            mount.options = [*mount.options, "ridmap" if "rbind" in mount.options else "idmap"]


def _take_ids(state: State) -> int:
    """The first id of a range that nobody has: the link ``ids/FIRST -> ID`` can be made only once."""
    while True:
        paths.make_directory(_ids())
        try:
            taken = set(os.listdir(_ids()))
        except FileNotFoundError:  # the last one has just been given back, and the directory with it
            continue
        first = next((first for first in _RANGES if str(first) not in taken), None)
        if first is None:
            raise ContainerError(
                f"all {len(_RANGES)} ranges of ids for --userns private are in use: 'minict prune' gives back those "
                "that nobody uses any more"
            )
        state.record([("ids", f"{first}/{state.id}")])
        try:
            os.symlink(state.id, f"{_ids()}/{first}")
            return first
        except (FileExistsError, FileNotFoundError):
            continue  # somebody was faster


def release_ids(value: str) -> None:
    """Undo :func:`_take_ids`: *value* is ``FIRST/ID``, so that a range which another container has taken since
    stays."""
    first, id = value.split("/")
    try:
        if os.readlink(f"{_ids()}/{first}") == id:
            os.unlink(f"{_ids()}/{first}")
    except FileNotFoundError:
        pass
    for directory in (_ids(), paths.run_root()):
        try:
            os.rmdir(directory)
        except OSError:
            break


def _ids() -> str:
    return f"{paths.run_root()}/ids"


def _tmpfs_maps() -> bool:
    """Whether files in a tmpfs, as /run is one, can be shown with other owners: from Linux 6.3 on."""
    return tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 3)


# How the kinds of entries in the ledger are given back.
UNDO = {"ids": release_ids}


def find_partner(option: str, word: str) -> Record:
    """The running container of ``--uts container:NAME``; an id is a name too.  Raises :class:`ContainerError`."""
    name = word.partition(":")[2].removeprefix("/")
    names.check(name)
    partner = Record.find(name)
    if partner.pid is None:
        raise ContainerError(f"--{option} {word}: the container {name} is not running: start it first")
    if option == "ipc" and partner.settings.get("ipc") in (None, "private", "none"):
        raise ContainerError(
            f"--ipc {word}: the memory of the container {name} is its own: start it with --ipc shareable"
        )
    return partner


def host_name(settings, id: str) -> str:
    """The name that the container *id* will find: its own, or that of those with whom it shares one.

    Raises :class:`ContainerError` when it is to have a name of its own and somebody else's.
    """
    if settings.hostname is not None and (
        not set(settings.hostname).issubset(_HOST_NAME) or len(settings.hostname) > 64
    ):
        # it also goes into /etc/hosts, where a newline would begin a line of its own
        raise ContainerError(
            f"--hostname {settings.hostname!r}: a host name has letters, digits, '-' and '.', at most 64 of them"
        )
    word = mode(settings, "uts")
    if word == "private":
        network = settings.network[-1] if settings.network else ""
        if network.startswith("container:"):  # as in Docker: one network, one host name
            from minict.engine.networks import options

            return _name_of(options.find_partner(network))
        shares = settings.network[-1:] == ["host"]  # then it is reached by the host's name, as in Docker
        return settings.hostname or (os.uname().nodename if shares else id[:12])
    if settings.hostname:
        raise ContainerError(f"--hostname and --uts {word}: others have that host name too; leave one of the two out")
    return os.uname().nodename if word == "host" else _name_of(find_partner("uts", word).state)


def _name_of(partner: State) -> str:
    """The host name of another container; one that has none, or does not run, has the host's."""
    try:
        return partner.read_spec().hostname or os.uname().nodename
    except FileNotFoundError:
        return os.uname().nodename


def domain_name(settings) -> str | None:
    """``--domainname``.  Raises :class:`ContainerError`."""
    if settings.domainname is None:
        return None
    if not settings.domainname or not set(settings.domainname).issubset(_HOST_NAME) or len(settings.domainname) > 64:
        raise ContainerError(
            f"--domainname {settings.domainname!r}: a domain name has letters, digits, '-' and '.', at most 64 of them"
        )
    if mode(settings, "uts") != "private":
        raise ContainerError(
            f"--domainname and --uts {settings.uts}: others have that domain name too; leave one of the two out"
        )
    return settings.domainname
