"""What the containers on a network do for each other: no address and no port twice, and each knows the others' names.

Loaded by those alone that have a network: see :mod:`.sandbox`.  For all that changes anything the lock of the networks
must be held (:func:`.bridge.lock`), but for what ends a life, which takes it.
"""

from __future__ import annotations

import os

from minict.runtime import paths
from minict.runtime.errors import ContainerError
from minict.runtime.state import State

from . import bridge, dns, store
from . import ipam as addresses
from .options import NAME, Joint
from .state import GUEST, read


def reserve(id: str, joint: Joint) -> None:
    """Take an address for the container *id*.  Raises :class:`ContainerError`."""
    if not store.still_there(joint.net):
        raise ContainerError(f"the network {joint.net.name} has just been removed")
    joint.address = joint.net.reserve(id, joint.wanted)


# ---- names -------------------------------------------------------------------------------------------------------


def names_of(id: str, wired: dict, joint: dict) -> list[str]:
    """The names under which others on that network find the container *id*, in lower case; none on the default
    network."""
    if not joint["id"]:
        return []
    hostname = wired["hostname"]
    names = [wired.get("name"), id[:12], *joint["aliases"], hostname, hostname.partition(".")[0]]
    return list(dict.fromkeys(name.lower() for name in names if name))


def introduce(id: str, wired: dict) -> None:
    """Let others find the container *id* as *wired* says, which must be written already (:func:`.sandbox.write`).

    On a user-defined network an index, ``networks/KEY/names/NAME/ID``, leads the DNS servers to it.  It is a hint and
    never the truth: :func:`addresses_of` believes only what the container's own state says.  On the default network
    only those that were made with ``--link`` know a name, by their /etc/hosts.
    """
    for joint in wired["joints"]:
        for name in names_of(id, wired, joint) or [link for link, _ in wired["links"]]:
            _enter(joint["key"], name, id)
        if not joint["id"]:
            _tell_linked(joint["key"], id)


def withdraw(id: str, wired: dict, keys: list[str]) -> None:
    """Undo :func:`introduce` on the networks *keys*."""
    for joint in wired.get("joints", ()):
        if joint["key"] in keys:
            for name in names_of(id, wired, joint) or [link for link, _ in wired["links"]]:
                _strike(joint["key"], name, id)


def addresses_of(id: str, wired: dict, name: str) -> list[str] | None:
    """The addresses of the containers that the container *id*, which is *wired* so, reaches by *name*; None when there
    is none.

    A name is a container's, an alias, a host name or a short id, also with ``.NETWORK`` behind it, on any of its
    networks; or the alias of a ``--link``.
    """
    found: list[str] = []
    for linked, alias in wired.get("links", ()):
        if alias.lower() == name:
            found += _shared(wired, linked, read(linked))
    for joint in wired.get("joints", ()) if not found else ():
        if joint["id"]:
            short = name.removesuffix(f".{joint['network'].lower()}")
            for each in {name, short}:
                found += _members(joint["key"], each)
    return list(dict.fromkeys(found)) or None


def name_at(wired: dict, address: str) -> str | None:
    """``NAME.NETWORK`` of the container that has the *address* on a user-defined network of a container *wired* so."""
    for joint in wired.get("joints", ()):
        if joint["id"] and (holder := addresses.holder(joint["key"], address)):
            other = read(holder)
            if any(each["key"] == joint["key"] and each["address"] == address for each in other.get("joints", ())):
                return f"{other['name'] or holder[:12]}.{joint['network']}"
    return None


def hosts_lines(wired: dict) -> list[tuple[str, list[str]]]:
    """(address, names) for /etc/hosts: the container's own host name, and on the default network what it is linked
    to."""
    lines = [(joint["address"], dns.full_names(wired)) for joint in wired["joints"]]
    default = [joint for joint in wired["joints"] if not joint["id"]]
    for linked, alias in wired["links"] if default else ():
        other = read(linked)
        for address in _shared({"joints": default}, linked, other):
            lines.append((address, [alias, other["hostname"], *([other["name"]] if other["name"] else [])]))
    return lines


def _shared(wired: dict, id: str, other: dict) -> list[str]:
    """The addresses that the container *id*, wired as *other*, has on networks of a container *wired* so."""
    keys = [joint["key"] for joint in wired["joints"]]
    return [
        joint["address"]
        for joint in other.get("joints", ())
        if joint["key"] in keys and addresses.holder(joint["key"], joint["address"]) == id
    ]  # or it is just ending


def _tell_linked(key: str, id: str) -> None:
    """The container *id* has come or gone: those that are linked to it on the default network have its address in
    /etc/hosts."""
    for other in _entries(key, id):
        if wired := read(other):
            dns.rewrite_hosts(f"{paths.container_data(other)}/hosts", hosts_lines(wired))


def _members(key: str, name: str) -> list[str]:
    """The addresses of those on the network that have the *name* now."""
    found = []
    for id in _entries(key, name):
        wired = read(id)
        found += [
            joint["address"]
            for joint in wired.get("joints", ())
            if joint["key"] == key and name in names_of(id, wired, joint)
        ]
    return found


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
            f"the DNS server of the container {id[:12]} can't begin: {error.strerror}", errno=error.errno
        ) from None


def answer(id: str, name: str, kind: str) -> list[str] | None:
    """What the container *id* is told about *name*: addresses for the *kind* ``A``, a name for ``PTR``, nothing for
    others.

    None for a name that no container has.
    """
    wired = read(id)
    if kind == "PTR":
        address = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
        found = name_at(wired, address) if name.endswith(".in-addr.arpa") and set(address) <= NAME else None
        return [found] if found else None
    found = addresses_of(id, wired, name)
    if not found:
        return None
    first = os.urandom(1)[0] % len(found)  # of several that share an alias, each is the first in its turn
    return found[first:] + found[:first] if kind == "A" else []


# ---- the index ---------------------------------------------------------------------------------------------------


def _index(key: str, name: str) -> str:
    return f"{addresses.network_state(key)}/names/{name}"


def _entries(key: str, name: str) -> list[str]:
    """The ids that the index has for *name*, which may have come from anywhere."""
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
        except FileNotFoundError:  # its first entry, or its last one has just been struck
            os.makedirs(_index(key, name), exist_ok=True)


def _strike(key: str, name: str, id: str) -> None:
    for remove, path in (os.unlink, f"{_index(key, name)}/{id}"), (os.rmdir, _index(key, name)):
        try:
            remove(path)
        except OSError:  # it is gone, or others have that name too
            pass


# ---- ports -------------------------------------------------------------------------------------------------------


def publish(id: str, wired: dict) -> None:
    """Send what comes to the ports of the container *id* to its first address that the world may reach, of those in
    *wired*.

    Raises :class:`ContainerError`.
    """
    if not wired["ports"] or State(id).pid() is None:
        return  # or it is just ending: whoever looks after it withdraws them
    from . import portmapper

    portmapper.withdraw(id)
    way = next((joint for joint in wired["joints"] if not joint["internal"]), None)
    if way:
        portmapper.publish(
            id,
            way["address"],
            store.find(way["id"] or "bridge").bridge,
            bridge.host_end(id, way["number"]),
            [
                portmapper.Port(protocol, inside, address, outside=outside)
                for protocol, address, outside, inside in wired["ports"]
            ],
        )


# ---- the end of a life ----------------------------------------------------------------------------------------------


def _undo_address(value: str) -> None:
    key, _, id = value.partition("/")
    wired = read(id)
    withdraw(id, wired, [key])
    address = next((joint["address"] for joint in wired.get("joints", ()) if joint["key"] == key), None)
    addresses.release(key, id, address)
    _tell_linked(key, id)


def _undo_ports(id: str) -> None:
    from . import portmapper

    with bridge.lock() as held:
        portmapper.withdraw(id)
        bridge.remove_lock_if_alone(held)
    portmapper.let_go(id)


def _undo_cable(name: str) -> None:
    """A cable goes with the namespace that its other end is in; to remove it by hand would be to wait for the kernel,
    7 to 19 ms.

    But that namespace stays when another container has joined it: that one would keep an address that is not its own.
    """
    directory = f"{paths.run_root()}/containers"
    for id in os.listdir(directory) if os.path.isdir(directory) else ():
        if bridge.host_end(id) == name.partition(".")[0]:
            guests = [file.removeprefix(GUEST) for file in os.listdir(f"{directory}/{id}") if file.startswith(GUEST)]
            if any(State(one).pid() is not None for one in [id, *guests]):
                bridge.undo("veth", name)


# How the kinds of entries in a ledger are given back: see :meth:`.sandbox.Wiring.ledger`.
UNDO = {"address": _undo_address, "veth": _undo_cable, "ports": _undo_ports}
