"""A container's networks, changed after it was made: on one more, off one, known by another name.

What is written down of a container that runs (:mod:`.wiring`) changes with it.  Source: docker-network-connect(1).
"""
from __future__ import annotations

from minict.runtime.errors import ContainerError
from minict.runtime.state import State

from . import network, networks
from .neighbours import introduce, publish, reserve
from .networkwords import find_joint, find_mode, names_of_networks
from .wiring import read, write


def connect(record, name: str, wanted: str | None = None, aliases: list[str] = ()) -> None:
    """Put a container on one more network, for this life, if it runs, and all later ones; its *record* must be locked.

    Raises :class:`ContainerError`.
    """
    refuse_others(record)
    joint = find_joint(name, 0, wanted, aliases)
    before = record.settings_object().network
    if joint.net.name in names_of_networks(before):
        raise ContainerError(f"the container {record.name or record.id} is on the network {joint.net.name} already")
    if record.pid is not None and joint.net.key in keys(record.id):  # whoever did it before us was killed before the end
        with network.lock():
            introduce([joint.net.key])
    elif record.pid is not None:
        join(record.id, name, wanted, aliases)
    words = [f"name={joint.net.name}", *([f"ip={wanted}"] if wanted else []), *(f"alias={alias}" for alias in aliases)]
    record.settings["network"] = [*before, ",".join(words)]
    record.save()


def disconnect(record, name: str) -> None:
    """Undo :func:`connect`, or a ``--network`` that the container was made with.  Raises :class:`ContainerError`."""
    refuse_others(record)
    words = record.settings_object().network
    known = names_of_networks(words)
    if name not in known:
        name = networks.find(name).name  # written as an id; and it may have been removed, as long as it is called by its name
    if name not in known:
        raise ContainerError(f"the container {record.name or record.id} is not on the network {name}")
    if record.pid is not None:
        leave(record.id, name)
    record.settings["network"] = [word for word, each in zip(words, known) if each != name]
    record.save()


def refuse_others(record) -> None:
    """Raises :class:`ContainerError` for a container that has no networks to be changed."""
    mode = find_mode(record.settings_object().network)
    if mode != "bridge":
        raise ContainerError(f"the container {record.name or record.id} was made with --network {mode}: that can't be changed, "
                             "make it anew")


def join(id: str, name: str, wanted: str | None = None, aliases: list[str] = ()) -> None:
    """Put the running container *id* on one more network.  Raises :class:`ContainerError`; then it is not on it."""
    state, wired = State(id), read(id)
    pid = state.pid()
    if pid is None or not wired:
        raise ContainerError(f"the container {id[:12]} has no network of its own that could be changed: it is not running, or "
                             "shares another's")
    joint = find_joint(name, 1 + max([each["number"] for each in wired["joints"]], default=-1), wanted, aliases)
    if joint.net.key in keys(id):
        raise ContainerError(f"the container {id[:12]} is on the network {joint.net.name} already")
    entries = joint.net.ledger(id, joint.number)
    take_back(entries)  # whoever began the same was killed in the midst of it
    try:
        state.record(entries)
        with network.lock():
            reserve(id, joint)
        joint.net.ensure_bridge()
        joint.net.connect(id, pid, joint.address, joint.number)
        wired["joints"].append(joint.to_dict())
        with network.lock():
            publish(id, wired)
            write(id, wired)
            introduce([joint.net.key])
    except BaseException as error:
        take_back(entries)
        if isinstance(error, FileNotFoundError):
            raise ContainerError(f"the container {id[:12]} has just ended") from None
        raise


def leave(id: str, name: str) -> None:
    """Take the running container *id* off a network; one that it is not on is no error.  Raises :class:`ContainerError`.

    What is written of it changes late: who is killed before can do it once more.
    """
    wired, net = read(id), networks.find(name)
    gone = [joint for joint in wired.get("joints", ()) if joint["key"] == net.key]
    if gone:
        wired["joints"].remove(gone[0])
        with network.lock():
            publish(id, wired)
        take_back(net.ledger(id, gone[0]["number"]))
        way, pid = next((joint for joint in wired["joints"] if not joint["internal"]), None), State(id).pid()
        if way and pid:
            networks.find(way["id"] or "bridge").route_through(id, pid)
        write(id, wired)
    if wired:
        with network.lock():
            introduce([net.key], id)


def take_back(entries: list) -> None:
    """Undo part of a ledger, by hand, because the container lives."""
    for kind, value in reversed(entries):
        network.undo(kind, value)


def keys(id: str) -> list[str]:
    """The networks that a running container is on."""
    return [joint["key"] for joint in read(id).get("joints", ())]


def rename(id: str, name: str) -> None:
    """The container *id* has another name: let its neighbours know."""
    with network.lock():
        wired = read(id)
        if wired:
            write(id, {**wired, "name": name})
            introduce([joint["key"] for joint in wired["joints"]])
