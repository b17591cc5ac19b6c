"""What the containers on a network do for each other: no address and no port twice, and each knows the others' names.

Loaded by those alone that have a network: see :mod:`.sandbox`.  For all that changes anything the lock of the networks
must be held (:func:`.bridge.lock`), but for what ends a life, which takes it.
"""

from __future__ import annotations

import os

from minict.runtime import paths
from minict.runtime.errors import ContainerError
from minict.runtime.state import State

from . import bridge, store
from . import ipam as addresses
from .options import Joint
from .sandbox import GUEST, read


def reserve(id: str, joint: Joint) -> None:
    """Take an address for the container *id*.  Raises :class:`ContainerError`."""
    if not store.still_there(joint.net):
        raise ContainerError(f"the network {joint.net.name} has just been removed")
    joint.address = joint.net.reserve(id, joint.wanted)


def introduce(keys: list[str], *others: str) -> None:
    """Tell the containers on the networks *keys*, and *others*, of all whom they reach, by the names that these have
    there."""
    from . import dns

    members = _Members()
    for id in {*others, *(id for key in keys for id in members.on(key))}:
        if members.wired(id):  # or it has just ended
            dns.rewrite_hosts(State(id).path("hosts"), members.lines_for(id))


class _Members:
    """Who is on which network, read once."""

    def __init__(self):
        self._wired, self._on = {}, {}

    def on(self, key: str) -> dict[str, dict]:
        """The joints of those on a network, by their ids; one that has an address, but is not connected yet, is left
        out."""
        if key not in self._on:
            joints = {
                id: next((joint for joint in self.wired(id).get("joints", ()) if joint["key"] == key), None)
                for id in addresses.holders(key).values()
            }
            self._on[key] = {id: joint for id, joint in sorted(joints.items()) if joint}
        return self._on[key]

    def wired(self, id: str) -> dict:
        if id not in self._wired:
            self._wired[id] = read(id)
        return self._wired[id]

    def lines_for(self, id: str) -> list[tuple[str, list[str]]]:
        """(address, names) of the container itself, then of all that it reaches."""
        own, lines = self.wired(id), []
        for joint in own["joints"]:
            lines.append((joint["address"], [own["hostname"], *self._names(id, joint)]))
        for joint in own["joints"]:
            for other, place in self.on(joint["key"]).items():
                if other != id:
                    lines.append(
                        (
                            place["address"],
                            [alias for linked, alias in own["links"] if linked == other] + self._names(other, place),
                        )
                    )
        return lines

    def _names(self, id: str, joint: dict) -> list[str]:
        return [*filter(None, [self.wired(id).get("name")]), id[:12], *joint["aliases"]]


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
    bridge.undo("address", value)
    key = value.partition("/")[0]
    if addresses.holders(key):
        with bridge.lock():
            introduce([key])


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
