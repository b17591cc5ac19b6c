"""What the containers on a network share: addresses, names and ports.

Only containers with a network load this module: see :mod:`.sandbox`. Every change needs the lock of the networks
(:func:`.bridge.lock`); the functions at the end of a container take it themselves.
"""

from __future__ import annotations

import os

from minict.engine.util import events
from minict.runtime import paths
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in
from minict.runtime.state import State

from . import bridge, dns, store
from . import ipam as addresses
from .options import NAME, Endpoint
from .state import GUEST, read


def reserve(id: str, endpoint: Endpoint) -> None:
    """Take an address for the container *id*.  Raises :class:`ContainerError`."""
    if not store.still_there(endpoint.net):
        raise ContainerError(f"the network {endpoint.net.name} has just been removed")
    endpoint.address = endpoint.net.reserve(id, endpoint.wanted)


# ---- names -------------------------------------------------------------------------------------------------------


def names_of(id: str, network_state: dict, endpoint: dict) -> list[str]:
    """The names of the container *id* on that network, in lower case; none on the default network."""
    if not endpoint["id"]:
        return []
    hostname = network_state["hostname"]
    names = [network_state.get("name"), id[:12], *endpoint["aliases"], hostname, hostname.partition(".")[0]]
    return list(dict.fromkeys(name.lower() for name in names if name))


def introduce(id: str, network_state: dict) -> None:
    """Let others find the container *id*, whose *network_state* must be written already (:func:`.state.write`).

    On a user-defined network an index, ``networks/KEY/names/NAME/ID``, leads the DNS servers to it. The index is only a
    hint: :func:`addresses_of` believes the container's own state. On the default network only containers created with
    ``--link`` know a name, through their /etc/hosts.
    """
    for endpoint in network_state["endpoints"]:
        for name in names_of(id, network_state, endpoint) or [link for link, _ in network_state["links"]]:
            _enter(endpoint["key"], name, id)
        if not endpoint["id"]:
            _tell_linked(endpoint["key"], id)


def withdraw(id: str, network_state: dict, keys: list[str]) -> None:
    """Undo :func:`introduce` on the networks *keys*."""
    for endpoint in network_state.get("endpoints", ()):
        if endpoint["key"] in keys:
            for name in names_of(id, network_state, endpoint) or [link for link, _ in network_state["links"]]:
                _strike(endpoint["key"], name, id)


def addresses_of(id: str, network_state: dict, name: str) -> list[str] | None:
    """The addresses that *name* has for the container *id*, whose state is *network_state*; None for an unknown name.

    A name is a container's name, alias, host name or short id on any of its networks, also followed by ``.NETWORK``; or
    the alias of a ``--link``.
    """
    found: list[str] = []
    for linked, alias in network_state.get("links", ()):
        if alias.lower() == name:
            found += _shared(network_state, linked, read(linked))
    for endpoint in network_state.get("endpoints", ()) if not found else ():
        if endpoint["id"]:
            short = name.removesuffix(f".{endpoint['network'].lower()}")
            for each in {name, short}:
                found += _members(endpoint["key"], each)
    return list(dict.fromkeys(found)) or None


def name_at(network_state: dict, address: str) -> str | None:
    """``NAME.NETWORK`` of the container with this *address* on a user-defined network of the asking container."""
    for endpoint in network_state.get("endpoints", ()):
        if endpoint["id"] and (holder := addresses.holder(endpoint["key"], address)):
            other = read(holder)
            if any(
                each["key"] == endpoint["key"] and each["address"] == address for each in other.get("endpoints", ())
            ):
                return f"{other['name'] or holder[:12]}.{endpoint['network']}"
    return None


def hosts_lines(network_state: dict) -> list[tuple[str, list[str]]]:
    """(address, names) for /etc/hosts: the container's host name, and its links on the default network."""
    lines = [(endpoint["address"], dns.full_names(network_state)) for endpoint in network_state["endpoints"]]
    default = [endpoint for endpoint in network_state["endpoints"] if not endpoint["id"]]
    for linked, alias in network_state["links"] if default else ():
        other = read(linked)
        for address in _shared({"endpoints": default}, linked, other):
            lines.append((address, [alias, other["hostname"], *([other["name"]] if other["name"] else [])]))
    return lines


def _shared(network_state: dict, id: str, other: dict) -> list[str]:
    """The addresses of the container *id*, in state *other*, on the networks that it shares with the asking
    container."""
    keys = [endpoint["key"] for endpoint in network_state["endpoints"]]
    return [
        endpoint["address"]
        for endpoint in other.get("endpoints", ())
        if endpoint["key"] in keys and addresses.holder(endpoint["key"], endpoint["address"]) == id
    ]  # or it is just ending


def _tell_linked(key: str, id: str) -> None:
    """Update /etc/hosts of the containers on the default network that are linked to the container *id*."""
    for other in _entries(key, id):
        if network_state := read(other):
            dns.rewrite_hosts(f"{paths.container_data(other)}/hosts", hosts_lines(network_state))


def _members(key: str, name: str) -> list[str]:
    """The current addresses of the endpoints with this *name*."""
    found = []
    for id in _entries(key, name):
        network_state = read(id)
        found += [
            endpoint["address"]
            for endpoint in network_state.get("endpoints", ())
            if endpoint["key"] == key and name in names_of(id, network_state, endpoint)
        ]
    return found


def emit(action: str, id: str, network: str, name: str) -> None:
    """Note in the journal that the container *id* was connected to, or disconnected from, the *network* (its id)."""
    events.emit("network", action, network or name, {"container": id, "name": name, "type": "bridge"})


# ---- the DNS server ----------------------------------------------------------------------------------------------


def serve_names(loop, id: str, pid: int, servers: list[str]) -> None:
    """Serve DNS in *loop* to the container *id*, whose first process is *pid*; *servers*: those of ``--dns``.

    Raises :class:`ContainerError`.
    """
    from .resolver import Resolver

    namespace = bridge.open_namespace(id, pid)
    try:
        Resolver(loop, namespace, lambda name, kind: answer(id, name, kind), lambda: servers or dns.upstreams())
    except OSError as error:
        raise ContainerError(
            f"cannot start the DNS server of the container {id[:12]}: {error.strerror}", errno=error.errno
        ) from None


def answer(id: str, name: str, kind: str) -> list[str] | None:
    """Answer a question about *name* from the container *id*: addresses for the *kind* ``A``, a name for ``PTR``.

    An empty list for other kinds, None for a name that no container has.
    """
    network_state = read(id)
    if kind == "PTR":
        address = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
        host = name_at(network_state, address) if name.endswith(".in-addr.arpa") and set(address) <= NAME else None
        return [host] if host else None
    found = addresses_of(id, network_state, name)
    if not found:
        return None
    first = os.urandom(1)[0] % len(found)  # containers that share an alias take turns
    return found[first:] + found[:first] if kind == "A" else []


# ---- the index ---------------------------------------------------------------------------------------------------


def _index(key: str, name: str) -> str:
    return f"{addresses.network_state(key)}/names/{name}"


def _entries(key: str, name: str) -> list[str]:
    """The ids in the index for *name*, which may be any text."""
    if not name or not set(name) <= NAME or name.startswith(".") or len(name) > 253:
        return []
    try:
        return os.listdir(_index(key, name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _enter(key: str, name: str, id: str) -> None:
    while True:
        try:
            os.symlink(f"../../../../containers/{id}", f"{_index(key, name)}/{id}")
            return
        except FileExistsError:
            return
        except FileNotFoundError:  # the first entry, or the last one has just been removed
            os.makedirs(_index(key, name), exist_ok=True)


def _strike(key: str, name: str, id: str) -> None:
    for remove, path in (os.unlink, f"{_index(key, name)}/{id}"), (os.rmdir, _index(key, name)):
        try:
            remove(path)
        except OSError:  # it is gone, or other containers have that name too
            pass


# ---- ports -------------------------------------------------------------------------------------------------------


def publish(id: str, network_state: dict) -> None:
    """Direct the published ports of the container *id* to its first address that the world may reach.

    Raises :class:`ContainerError`.
    """
    if not network_state["ports"] or State(id).pid() is None:
        return  # or it is just ending: its monitor withdraws them
    from . import portmapper

    portmapper.withdraw(id)
    way = next((endpoint for endpoint in network_state["endpoints"] if not endpoint["internal"]), None)
    if way:
        portmapper.publish(
            id,
            way["address"],
            store.find(way["id"] or "bridge").bridge,
            bridge.host_end(id, way["number"]),
            [
                portmapper.Port(protocol, inside, address, outside=outside)
                for protocol, address, outside, inside in network_state["ports"]
            ],
        )


def forward(loop, id: str) -> None:
    """Serve the published ports of the container *id* at [::1] in *loop*."""
    from . import portmapper

    def target() -> str | None:
        ways = (endpoint["address"] for endpoint in read(id).get("endpoints", ()) if not endpoint["internal"])
        return next(ways, None)

    portmapper.serve(id, loop, target)


# ---- the end of a container --------------------------------------------------------------------------------------


def _undo_address(value: str) -> None:
    key, _, id = value.partition("/")
    network_state = read(id)
    withdraw(id, network_state, [key])
    mine = [endpoint for endpoint in network_state.get("endpoints", ()) if endpoint["key"] == key]
    held = [endpoint for endpoint in mine if addresses.holder(key, endpoint["address"]) == id]
    addresses.release(key, id, mine[0]["address"] if mine else None)
    for endpoint in held:
        emit("disconnect", id, endpoint["id"], endpoint["network"])
    _tell_linked(key, id)


def _undo_ports(id: str) -> None:
    from . import portmapper

    with bridge.lock() as held:
        portmapper.withdraw(id)
        bridge.remove_lock_if_alone(held)
    portmapper.let_go(id)


def _undo_cable(name: str) -> None:
    """Remove a veth pair only if another container keeps its namespace: it disappears with the namespace otherwise.

    Removing it always would mean waiting 7 to 19 ms for the kernel. A container that has joined the namespace would
    keep an address that has been released.
    """
    directory = f"{paths.run_root()}/containers"
    for id in names_in(directory):
        if bridge.host_end(id) == name.partition(".")[0]:
            guests = [file.removeprefix(GUEST) for file in names_in(f"{directory}/{id}") if file.startswith(GUEST)]
            if any(State(one).pid() is not None for one in [id, *guests]):
                bridge.undo("veth", name)


# How each kind of entry in a ledger is undone: see :meth:`.sandbox.Sandbox.ledger`.
UNDO = {"address": _undo_address, "veth": _undo_cable, "ports": _undo_ports}
