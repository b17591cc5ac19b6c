"""A container's networks, changed after it was made: on one more, off one, known by another name.

What is written down of a container that runs (:mod:`.sandbox`) changes with it.  Source: docker-network-connect(1).
"""

from __future__ import annotations

import os

from minict.runtime import paths
from minict.runtime.errors import ContainerError
from minict.runtime.state import State

from . import bridge, dns, store
from .endpoints import hosts_lines, introduce, publish, reserve, serve_names, withdraw
from .options import Joint, find_joint, find_mode, find_resolver, names_of_networks
from .state import read, write

_MARK = "changing"  # a file in the state of a container, while its networks are changed


class Changing:
    """For ``with``: the networks of a container that may run are changed; its *record* must be locked.

    Meanwhile a file in its state says so.  Who is killed leaves it behind, and by it :func:`mend` knows that there is
    something to be done.  After an error that is done at once; that the container ends meanwhile is a
    :class:`ContainerError`.
    """

    def __init__(self, record):
        self.record, self._mark = record, record.state.path(_MARK)

    def __enter__(self) -> None:
        mend(self.record)
        if self.record.pid is not None:
            open(self._mark, "w").close()

    def __exit__(self, kind, error, traceback) -> None:
        if error:
            mend(self.record)
        unmark(self._mark)
        if isinstance(error, FileNotFoundError):
            raise ContainerError(f"the container {self.record.id[:12]} has just ended") from None


def mend(record) -> bool:
    """Put in order the networks of a running container whose changer was killed; whether that was needed.  Its
    *record* must be locked.

    What the container wishes decides, for it is written last by who connects, and first by who disconnects.
    Raises :class:`ContainerError`.
    """
    mark = record.state.path(_MARK)
    if not os.path.exists(mark):
        return False
    try:
        record, wired = record.load(record.id), read(record.id)
        if wired:
            wished = names_of_networks(record.settings_object().network)
            arrange(
                record.id,
                {
                    **wired,
                    "name": record.name,
                    "joints": [joint for joint in wired["joints"] if joint["network"] in wished],
                },
            )
    except FileNotFoundError:
        pass  # it has just ended, and all of this with it
    unmark(mark)
    return True


def unmark(mark: str) -> None:
    try:
        os.unlink(mark)
    except FileNotFoundError:
        pass


def connect(record, name: str, wanted: str | None = None, aliases: list[str] = ()) -> None:
    """Put a container on one more network, for this life, if it runs, and all later ones; its *record* must be locked.

    Raises :class:`ContainerError`.
    """
    refuse_others(record)
    joint = find_joint(name, 0, wanted, aliases)
    before = record.settings_object().network
    if joint.net.name in names_of_networks(before):
        raise ContainerError(f"the container {record.name or record.id} is on the network {joint.net.name} already")
    with Changing(record):
        if record.pid is not None:
            join(record.id, joint, find_resolver(record.settings_object()))
        words = [
            f"name={joint.net.name}",
            *([f"ip={wanted}"] if wanted else []),
            *(f"alias={alias}" for alias in aliases),
        ]
        record.settings["network"] = [*before, ",".join(words)]
        record.save()


def disconnect(record, name: str) -> None:
    """Undo :func:`connect`, or a ``--network`` that the container was made with.  Raises :class:`ContainerError`."""
    refuse_others(record)
    mend(record)
    words = record.settings_object().network
    known = names_of_networks(words)
    if name not in known:
        # written as an id; and it may have been removed, as long as it is called by its name
        name = store.find(name).name
    if name not in known:
        raise ContainerError(f"the container {record.name or record.id} is not on the network {name}")
    with Changing(record):
        record.settings["network"] = [word for word, each in zip(words, known) if each != name]
        record.save()
        leave(record.id, name)


def refuse_others(record) -> None:
    """Raises :class:`ContainerError` for a container that has no networks to be changed."""
    mode = find_mode(record.settings_object().network)
    if mode != "bridge":
        raise ContainerError(
            f"the container {record.name or record.id} was made with --network {mode}: that can't be changed, "
            "make it anew"
        )


def join(id: str, joint: Joint, resolver: dict[str, list[str]]) -> None:
    """Put the running container *id* on one more network.  *resolver*: see :func:`.options.find_resolver`.

    Raises :class:`ContainerError`.
    """
    state, wired = State(id), read(id)
    pid = state.pid()
    if pid is None or not wired:
        raise ContainerError(
            f"the container {id[:12]} has no network of its own that could be changed: it is not running, or "
            "shares another's"
        )
    joint.number = 1 + max([each["number"] for each in wired["joints"]], default=-1)
    entries = joint.net.ledger(id, joint.number)
    try:
        state.record(entries)
        with bridge.lock():
            reserve(id, joint)
        joint.net.ensure_bridge()
        joint.net.connect(id, pid, joint.address, joint.number)
        if joint.net.id and not wired["resolver"]:
            serve_apart(id, pid, resolver)
            wired["resolver"] = True
        arrange(id, {**wired, "joints": [*wired["joints"], joint.to_dict()]})
    except BaseException:
        take_back(entries)
        raise


def serve_apart(id: str, pid: int, resolver: dict[str, list[str]]) -> None:
    """Serve DNS to a container that began without: in a process of its own, which ends with the container.

    Its /etc/resolv.conf says so from now on, unless the container has changed it.  Raises :class:`ContainerError`.
    """
    from minict.engine.util.daemonize import fork_away
    from minict.engine.util.eventloop import EventLoop
    from minict.kernel.process import pidfd_open

    def work(told) -> None:
        loop = EventLoop()
        try:
            end = pidfd_open(pid)
            serve_names(loop, id, pid, resolver["servers"])
        except (ContainerError, OSError) as error:
            return told(error)
        told(None)
        return loop.serve(until=end)

    fork_away(b"minict-resolver", work)
    dns.replace(
        f"{paths.container_data(id)}/resolv.conf",
        dns.resolv_conf(**resolver),
        dns.resolv_conf(**{**resolver, "servers": [dns.EMBEDDED]}),
    )


def leave(id: str, name: str) -> None:
    """Take the container *id* off a network, if it runs.  Raises :class:`ContainerError`."""
    if wired := read(id):
        arrange(id, {**wired, "joints": [joint for joint in wired["joints"] if joint["network"] != name]})


def arrange(id: str, wired: dict) -> None:
    """Let the running container *id* have what *wired* says, and of all that it has ever had on networks nothing else.

    It is written down first: what is told of a container, it has.  May be repeated.  Raises :class:`ContainerError`.
    """
    before, left = read(id), {joint["key"] for joint in wired["joints"]}
    withdraw(id, before, [joint["key"] for joint in before.get("joints", ()) if joint["key"] not in left])
    write(id, wired)
    had = [entry for entry in dict.fromkeys(State(id).ledger()) if entry[0] in ("address", "veth")]
    has = [
        entry
        for joint in wired["joints"]
        for entry in (("address", f"{joint['key']}/{id}"), ("veth", bridge.host_end(id, joint["number"])))
    ]
    with bridge.lock():
        publish(id, wired)
    take_back([entry for entry in had if entry not in has])
    way, pid = next((joint for joint in wired["joints"] if not joint["internal"]), None), State(id).pid()
    if way and pid:
        store.find(way["id"] or "bridge").route_through(id, pid)
    introduce(id, wired)
    dns.rewrite_hosts(f"{paths.container_data(id)}/hosts", hosts_lines(wired))


def take_back(entries: list) -> None:
    """Undo part of a ledger, by hand, because the container lives."""
    for kind, value in reversed(entries):
        bridge.undo(kind, value)


def rename(id: str, name: str) -> None:
    """The container *id* has another name: let others find it by that one."""
    if wired := read(id):
        withdraw(id, wired, [joint["key"] for joint in wired["joints"]])
        write(id, {**wired, "name": name})
        introduce(id, {**wired, "name": name})
