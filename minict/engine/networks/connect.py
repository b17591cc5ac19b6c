"""Change the networks of an existing container: connect, disconnect, rename.

The state of a running container (:mod:`.state`) changes with them. Source: docker-network-connect(1).
"""

from __future__ import annotations

import os

from minict.runtime import paths
from minict.runtime.errors import ContainerError
from minict.runtime.state import State

from . import bridge, dns, endpoints, store
from .endpoints import hosts_lines, introduce, publish, reserve, serve_names, withdraw
from .options import Endpoint, find_endpoint, find_mode, find_resolver, names_of_networks
from .state import read, write

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_MARK = "changing"  # a file in the state of a container while its networks are changing


class Changing:
    """For ``with``: the networks of a container, whose *record* must be locked, are changing.

    A file in its state says so. A killed process leaves the file behind, and :func:`mend` finds it. After an error the
    networks are mended at once; if the container ends meanwhile, that is a :class:`ContainerError`.
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
    """Repair the networks of a running container after a change was killed; return whether there was anything to do.

    Its *record* must be locked. The container's own record decides, because connect writes it last and disconnect
    first. Raises :class:`ContainerError`.
    """
    mark = record.state.path(_MARK)
    if not os.path.exists(mark):
        return False
    try:
        record, network_state = record.load(record.id), read(record.id)
        if network_state:
            requested = names_of_networks(record.settings_object().network)
            arrange(
                record.id,
                {
                    **network_state,
                    "name": record.name,
                    "endpoints": [
                        endpoint for endpoint in network_state["endpoints"] if endpoint["network"] in requested
                    ],
                },
            )
    except FileNotFoundError:
        pass  # it has just ended, and its networks with it
    unmark(mark)
    return True


def unmark(mark: str) -> None:
    try:
        os.unlink(mark)
    except FileNotFoundError:
        pass


def connect(record, name: str, wanted: str | None = None, aliases: Sequence[str] = ()) -> None:
    """Connect a container to one more network, now if it runs, and for all later starts; its *record* must be locked.

    Raises :class:`ContainerError`.
    """
    refuse_others(record)
    endpoint = find_endpoint(name, 0, wanted, list(aliases))
    before = record.settings_object().network
    if endpoint.net.name in names_of_networks(before):
        raise ContainerError(
            f"the container {record.name or record.id} is already connected to the network {endpoint.net.name}"
        )
    with Changing(record):
        if record.pid is not None:
            join(record.id, endpoint, find_resolver(record.settings_object()))
        words = [
            f"name={endpoint.net.name}",
            *([f"ip={wanted}"] if wanted else []),
            *(f"alias={alias}" for alias in aliases),
        ]
        record.settings["network"] = [*before, ",".join(words)]
        record.save()


def disconnect(record, name: str) -> None:
    """Undo :func:`connect`, or a ``--network`` of the container. Raises :class:`ContainerError`."""
    refuse_others(record)
    mend(record)
    words = record.settings_object().network
    known = names_of_networks(words)
    if name not in known:
        # The record may name the network by its id, or by a name that the network no longer has.
        name = store.find(name).name
    if name not in known:
        raise ContainerError(f"the container {record.name or record.id} is not connected to the network {name}")
    with Changing(record):
        record.settings["network"] = [word for word, each in zip(words, known) if each != name]
        record.save()
        leave(record.id, name)


def refuse_others(record) -> None:
    """Raise :class:`ContainerError` for a container without networks of its own."""
    mode = find_mode(record.settings_object().network)
    if mode != "bridge":
        raise ContainerError(
            f"cannot change the networks of {record.name or record.id}, which was created with --network {mode}: "
            "create the container again"
        )


def join(id: str, endpoint: Endpoint, resolver: dict[str, Any]) -> None:
    """Connect the running container *id* to one more network. *resolver*: see :func:`.options.find_resolver`.

    Raises :class:`ContainerError`.
    """
    state, network_state = State(id), read(id)
    pid = state.pid()
    if pid is None or not network_state:
        raise ContainerError(
            f"the container {id[:12]} has no network of its own: it is not running, or shares another container's"
        )
    endpoint.number = 1 + max([each["number"] for each in network_state["endpoints"]], default=-1)
    entries = endpoint.net.ledger(id, endpoint.number)
    try:
        state.add_to_ledger(entries)
        with bridge.lock():
            reserve(id, endpoint)
        endpoint.net.ensure_bridge()
        endpoint.net.add_interface(id, pid, endpoint.address, endpoint.number)
        if endpoint.net.id and not network_state["resolver"]:
            serve_apart(id, pid, resolver)
            network_state["resolver"] = True
        arrange(id, {**network_state, "endpoints": [*network_state["endpoints"], endpoint.to_dict()]})
        endpoints.emit("connect", id, endpoint.net.id, endpoint.net.name)
    except BaseException:
        take_back(entries)
        raise


def serve_apart(id: str, pid: int, resolver: dict[str, Any]) -> None:
    """Serve DNS to a container that started without it, in a process that ends with the container.

    Its /etc/resolv.conf names the server from now on, unless the container has changed the file. Raises
    :class:`ContainerError`.
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
    """Disconnect the container *id*, if it runs, from a network. Raises :class:`ContainerError`."""
    if network_state := read(id):
        arrange(
            id,
            {
                **network_state,
                "endpoints": [endpoint for endpoint in network_state["endpoints"] if endpoint["network"] != name],
            },
        )
        for endpoint in network_state["endpoints"]:
            if endpoint["network"] == name:
                endpoints.emit("disconnect", id, endpoint["id"], name)


def arrange(id: str, network_state: dict) -> None:
    """Give the running container *id* exactly the endpoints in *network_state*, and remove all others that it ever had.

    The state is written first, so that it never promises less than the container has. May be repeated. Raises
    :class:`ContainerError`.
    """
    before, left = read(id), {endpoint["key"] for endpoint in network_state["endpoints"]}
    withdraw(id, before, [endpoint["key"] for endpoint in before.get("endpoints", ()) if endpoint["key"] not in left])
    write(id, network_state)
    had = [entry for entry in dict.fromkeys(State(id).ledger()) if entry[0] in ("address", "veth")]
    has = [
        entry
        for endpoint in network_state["endpoints"]
        for entry in (("address", f"{endpoint['key']}/{id}"), ("veth", bridge.host_end(id, endpoint["number"])))
    ]
    with bridge.lock():
        publish(id, network_state)
    take_back([entry for entry in had if entry not in has])
    way, pid = (
        next((endpoint for endpoint in network_state["endpoints"] if not endpoint["internal"]), None),
        State(id).pid(),
    )
    if way and pid:
        store.find(way["id"] or "bridge").route_through(id, pid)
    introduce(id, network_state)
    dns.rewrite_hosts(f"{paths.container_data(id)}/hosts", hosts_lines(network_state))


def take_back(entries: list) -> None:
    """Undo part of the ledger of a container that goes on running."""
    for kind, value in reversed(entries):
        bridge.undo(kind, value)


def rename(id: str, name: str) -> None:
    """Let other containers find the container *id* by its new name."""
    if network_state := read(id):
        withdraw(id, network_state, [endpoint["key"] for endpoint in network_state["endpoints"]])
        write(id, {**network_state, "name": name})
        introduce(id, {**network_state, "name": name})
