"""Which namespaces a container gets: its own, the host's, or another container's.

Each of ``--pid``, ``--uts``, ``--ipc``, ``--userns`` and ``--cgroupns`` decides about one namespace;
:mod:`minict.engine.networks.sandbox` decides about the network's.
"""

from __future__ import annotations

import os

from minict.engine.containers import names
from minict.engine.containers.store import Record
from minict.runtime import paths, place, spec
from minict.runtime.errors import ContainerError
from minict.runtime.state import State

_HOST_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
# The values of each option; the first is the default.
MODES = {
    "pid": ("private", "host", "container:NAME"),
    "uts": ("private", "host", "container:NAME"),
    "ipc": ("private", "shareable", "host", "none", "container:NAME"),
    "userns": ("host", "private", "auto"),
    "cgroupns": ("private", "host"),
}


def mode(settings, option: str) -> str:
    """The value of ``--pid``, ``--uts`` and so on, or its default. Raises :class:`ContainerError`."""
    default, *others = MODES[option]
    word = getattr(settings, option)
    word = default if word is None else word
    kind, _, name = word.partition(":")
    known = word in (default, *others) and word != "container:NAME"
    if not known and (kind != "container" or not name or "container:NAME" not in others):
        raise ContainerError(f"invalid --{option} {word}: use {', '.join(others)} or {default} (the default)")
    return "private" if word == "auto" else word  # Podman's name for it


def namespaces(settings) -> list[spec.Namespace]:
    """The namespaces of a container except the network's: to be made, or, with a path, to be joined.

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
    """Raise :class:`ContainerError` for options that share a host namespace with --userns private."""
    if place.in_user_namespace():
        raise ContainerError(
            "--userns private needs root: without it all your containers are in one user namespace, and their files "
            "cannot be shown with other owners; leave the option out"
        )
    if settings.privileged:
        raise ContainerError(
            "--privileged conflicts with --userns private: only the host's root has all privileges; remove one of "
            "the two"
        )
    for option in ("pid", "uts", "ipc"):
        if mode(settings, option) == "host" or mode(settings, option).startswith("container:"):
            raise ContainerError(
                f"--{option} {mode(settings, option)} conflicts with --userns private: the container's users have no "
                f"rights "
                f"in that namespace; remove one of the two"
            )
    network = settings.network[-1] if settings.network else ""
    if network == "host" or network.startswith("container:"):
        raise ContainerError(
            f"--network {network} conflicts with --userns private: the container's users have no rights in that "
            "namespace; remove one of the two"
        )
    if mode(settings, "cgroupns") == "host":
        raise ContainerError(
            "--cgroupns host conflicts with --userns private: the container's users have no rights in that namespace; "
            "remove one of the two"
        )


# Each container with users of its own gets a range of ids on the host that no other container has. The ranges begin
# where those of useradd(8) end (SUB_UID_MAX in login.defs(5)).
IDS = 65536
_RANGES = range(1 << 31, 0xF000_0000, IDS)


def reserve(state: State, settings, config: spec.Spec) -> None:
    """With ``--userns private``: take a range of ids for this run, and map the ids of the container's mounts.

    Files keep their ids on the disk, so the next run may have another range. Raises :class:`ContainerError`.
    """
    if mode(settings, "userns") != "private":
        return
    first = _take_ids(state)
    for mappings in ("uidMappings", "gidMappings"):
        setattr(config.linux, mappings, [spec.IDMapping(containerID=0, hostID=first, size=IDS)])
    files = state.path("")
    for mount in config.mounts:
        if mount.destination == "/" or (mount.type == "bind" and not mount.destination.startswith("/dev/")):
            if mount.source and mount.source.startswith(files) and not _tmpfs_maps():
                continue  # minict's own /etc/hosts is readable by every user
            mount.options = [*mount.options, "ridmap" if "rbind" in mount.options else "idmap"]


def _take_ids(state: State) -> int:
    """Take a free range of ids; return its first id. The link ``ids/FIRST -> ID`` can be made only once."""
    while True:
        paths.make_directory(_ids())
        try:
            taken = set(os.listdir(_ids()))
        except FileNotFoundError:  # another process has just released the last range, and removed the directory
            continue
        first = next((first for first in _RANGES if str(first) not in taken), None)
        if first is None:
            raise ContainerError(
                f"all {len(_RANGES)} ranges of ids for --userns private are in use: 'minict prune' releases those of "
                "containers that are gone"
            )
        state.add_to_ledger([("ids", f"{first}/{state.id}")])
        try:
            os.symlink(state.id, f"{_ids()}/{first}")
            return first
        except (FileExistsError, FileNotFoundError):
            continue  # another process was faster


def release_ids(value: str) -> None:
    """Undo :func:`_take_ids`: *value* is ``FIRST/ID``, so that a range taken by another container since stays."""
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
    """Whether a tmpfs, such as /run, can show files with other owners: Linux 6.3 and later."""
    return tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 3)


# How each kind of entry in the ledger is undone.
UNDO = {"ids": release_ids}


def find_partner(option: str, word: str) -> Record:
    """The running container of ``container:NAME``; an id works too. Raises :class:`ContainerError`."""
    name = word.partition(":")[2].removeprefix("/")
    names.check(name)
    partner = Record.find(name)
    if partner.pid is None:
        raise ContainerError(f"--{option} {word}: the container {name} is not running: start it first")
    if option == "ipc" and partner.settings.get("ipc") in (None, "private", "none"):
        raise ContainerError(
            f"--ipc {word}: the container {name} does not share its memory: start it with --ipc shareable"
        )
    return partner


def host_name(settings, id: str) -> str:
    """The host name that the container *id* sees: its own, or that of the namespace it shares.

    Raises :class:`ContainerError` for a name of its own in a shared namespace.
    """
    if settings.hostname is not None and (
        not set(settings.hostname).issubset(_HOST_NAME) or len(settings.hostname) > 64
    ):
        # it also goes into /etc/hosts, where a newline would begin another line
        raise ContainerError(
            f"invalid --hostname {settings.hostname!r}: use letters, digits, '-' and '.', at most 64 of them"
        )
    word = mode(settings, "uts")
    if word == "private":
        network = settings.network[-1] if settings.network else ""
        if network.startswith("container:"):  # as in Docker: one network, one host name
            from minict.engine.networks import options

            return _name_of(options.find_partner(network))
        shares = settings.network[-1:] == ["host"]  # as in Docker: the host's name leads to it then
        return settings.hostname or (os.uname().nodename if shares else id[:12])
    if settings.hostname:
        raise ContainerError(f"--hostname conflicts with --uts {word}: that host name is shared; remove one of the two")
    return os.uname().nodename if word == "host" else _name_of(find_partner("uts", word).state)


def _name_of(partner: State) -> str:
    """The host name with which another container began; the host's for one that does not run."""
    try:
        started = partner.read_spec()
    except FileNotFoundError:
        return os.uname().nodename
    # the spec of one that shares a name has none, but its variables have
    words = [word.partition("=")[2] for word in started.process.env if word.startswith("HOSTNAME=")]
    return started.hostname or (words[0] if words else os.uname().nodename)


def domain_name(settings) -> str | None:
    """``--domainname``.  Raises :class:`ContainerError`."""
    if settings.domainname is None:
        return None
    if not settings.domainname or not set(settings.domainname).issubset(_HOST_NAME) or len(settings.domainname) > 64:
        raise ContainerError(
            f"invalid --domainname {settings.domainname!r}: use letters, digits, '-' and '.', at most 64 of them"
        )
    if mode(settings, "uts") != "private":
        raise ContainerError(
            f"--domainname conflicts with --uts {settings.uts}: that domain name is shared; remove one of the two"
        )
    return settings.domainname
