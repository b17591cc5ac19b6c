"""The seam between a container and its networks: what it wishes, what it takes from the host, and what it gives back.

Everything else in the engine knows of networks only this: a :class:`Wiring` is made of the wish (:mod:`.networkwords`), and
its methods are called in the order in which they stand.  What came of it is in the file ``network.json`` of the container's
life, for whoever asks (:func:`describe`) or changes it while the container runs (:mod:`.rewiring`).
"""
from __future__ import annotations

import os

from minict.runtime import jsonfile, paths, spec
from minict.runtime.errors import ContainerError
from minict.runtime.state import State

from . import address as addresses
from . import network, networks, networkwords, ports

_GUEST = "guest-"  # and an id: a file in a container's state, for each that has joined its network namespace


class Wiring:
    """The networks of the container *id*, as *settings* wish them.  To make the object takes nothing from the host.

    *hostname*: the name by which it knows itself.  *exposed*: the ports that its image names, such as ``80/tcp``.
    *name*: by which the others on its networks know it, if that is not the settings'.
    Raises :class:`ContainerError` for all that can be wrong with the wish.
    """

    def __init__(self, settings, id: str, hostname: str, exposed: list[str] = (), name: str | None = None):
        self.id, self.hostname, self.name = id, hostname, name or settings.name
        self.mode = networkwords.find_mode(settings.network)
        self.partner = networkwords.find_partner(self.mode) if self.mode.startswith("container:") else None
        networkwords.refuse_contradictions(settings, self.mode)
        self.joints = networkwords.find_joints(settings) if self.mode == "bridge" else []
        self.ports = ports.wished(settings.publish, settings.publish_all, settings.expose, exposed)
        self.links = [networkwords.find_link(text) for text in settings.link]
        gateway = self.joints[0].net.gateway if self.joints else None
        self.added = [networkwords.find_host(text, gateway) for text in settings.add_host]
        self.resolver = networkwords.find_resolver(settings)
        if self.mode == "host":
            self.ports = []  # as in Docker: whatever it listens at is the host's port already
        if self.ports and self.joints and all(joint.net.internal for joint in self.joints):
            raise ContainerError(f"-p: the network {self.joints[0].net.name} is internal, and nobody outside reaches it: "
                                 "add another network, or leave -p out")

    # ---- a life, in this order

    def namespaces(self) -> list[spec.Namespace]:
        """The network namespace for the specification: one to make, one to join, or none, which is the host's."""
        if self.partner:
            pid = self.partner.pid()
            if pid is None:
                raise ContainerError(f"--network {self.mode}: that container is not running: start it first")
            return [spec.Namespace(type="network", path=f"/proc/{pid}/ns/net")]
        return [] if self.mode == "host" else [spec.Namespace(type="network")]

    @property
    def waits(self) -> bool:
        """Whether the child has to wait for :meth:`connect`."""
        return self.mode == "bridge"

    def ledger(self) -> list:
        """What :meth:`reserve` and :meth:`connect` are going to take, to be recorded before."""
        entries = [entry for joint in self.joints for entry in joint.net.ledger(self.id, joint.number)]
        return entries + [["ports", self.id]] * bool(self.ports)

    def reserve(self) -> None:
        """Take ports and addresses, in the process that will look after the container.  Raises :class:`ContainerError`."""
        ports.hold(self.id, self.ports)
        if self.partner:
            self._share()
        if self.joints:
            with network.lock():
                for joint in self.joints:
                    reserve(self.id, joint)

    def files(self) -> dict[str, str]:
        """The texts of the container's /etc/hosts and /etc/resolv.conf, as far as they are its own."""
        from . import dns
        if self.partner:
            return {}  # they are there: see _share
        if self.mode == "host":
            text = dns.hosts_of_the_host(self.hostname, self.added)
        elif self.joints:
            text = dns.hosts([(joint.address, [self.hostname]) for joint in self.joints], self.added)
        else:
            text = dns.hosts([], [("127.0.1.1", self.hostname), *self.added])
        return {"hosts": text, "resolv.conf": dns.resolv_conf(self.mode != "host", **self.resolver)}

    def connect(self, pid: int) -> None:
        """Give the process *pid*, which is in its new namespace, its interfaces, and publish its ports.

        Raises :class:`ContainerError`.
        """
        for joint in self.joints:
            joint.net.ensure_bridge()
            joint.net.connect(self.id, pid, joint.address, joint.number, joint.mac)
        wired = {"name": self.name, "hostname": self.hostname, "links": self.links,
                 "ports": [[port.protocol, port.address, port.outside, port.inside] for port in self.ports],
                 "joints": [joint.to_dict() for joint in self.joints]}
        if not self.joints:
            return write(self.id, wired)
        with network.lock():
            publish(self.id, wired)
            write(self.id, wired)
            introduce([joint.net.key for joint in self.joints])
        return None

    def disconnect(self) -> None:
        """The container has ended: give back what it had.  May be repeated."""
        for kind, value in reversed(State(self.id).ledger()):
            if kind in ("address", "ports"):
                UNDO[kind](value)

    def describe(self) -> dict:
        """See :func:`describe`."""
        return describe(self.id)

    def _share(self) -> None:
        """The partner's files and ours are one and the same: so they stay alike, whoever writes to them."""
        try:
            for name in ("hosts", "resolv.conf"):
                os.link(self.partner.path(name), State(self.id).path(name))
            open(self.partner.path(_GUEST + self.id), "w").close()  # see _undo_cable
        except FileNotFoundError:
            raise ContainerError(f"--network {self.mode}: that container has just ended") from None


# ---- what all on a network do for each other.  The lock of the networks must be held. -----------------------------

def reserve(id: str, joint: networkwords.Joint) -> None:
    """Take an address for the container *id*.  Raises :class:`ContainerError`."""
    if not networks.still_there(joint.net):
        raise ContainerError(f"the network {joint.net.name} has just been removed")
    joint.address = joint.net.reserve(id, joint.wanted)


def introduce(keys: list[str], *others: str) -> None:
    """Tell the containers on the networks *keys*, and *others*, of all whom they reach, by the names that these have there."""
    from . import dns
    members = _Members()
    for id in {*others, *(id for key in keys for id in members.on(key))}:
        dns.rewrite_hosts(State(id).path("hosts"), members.lines_for(id))


class _Members:
    """Who is on which network, read once."""

    def __init__(self):
        self._wired, self._on = {}, {}

    def on(self, key: str) -> dict[str, dict]:
        """The joints of those on a network, by their ids; one that has an address, but is not connected yet, is left out."""
        if key not in self._on:
            joints = {id: next((joint for joint in self.wired(id).get("joints", ()) if joint["key"] == key), None)
                      for id in addresses.holders(key).values()}
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
                    lines.append((place["address"], [alias for linked, alias in own["links"] if linked == other]
                                  + self._names(other, place)))
        return lines

    def _names(self, id: str, joint: dict) -> list[str]:
        return [*filter(None, [self.wired(id).get("name")]), id[:12], *joint["aliases"]]


def publish(id: str, wired: dict) -> None:
    """Send what comes to the ports of the container *id* to its first address that the world may reach, of those in *wired*.

    Raises :class:`ContainerError`.
    """
    if State(id).pid() is None:
        return  # it is just ending: whoever looks after it withdraws them
    ports.withdraw(id)
    way = next((joint for joint in wired["joints"] if not joint["internal"]), None)
    if way and wired["ports"]:
        ports.publish(id, way["address"], networks.find(way["id"] or "bridge").bridge, network.host_end(id, way["number"]),
                      [ports.Port(protocol, inside, address, outside=outside)
                       for protocol, address, outside, inside in wired["ports"]])


# ---- what is known of it -----------------------------------------------------------------------------------------

def describe(id: str) -> dict:
    """The container's networks and ports, in the words of Docker's NetworkSettings.

    Both are empty when it does not run, or has none of its own.
    """
    wired = read(id)
    networks = {joint["network"]: {
        "IPAddress": joint["address"], "IPPrefixLen": joint["prefix"], "Gateway": joint["gateway"], "MacAddress": joint["mac"],
        "Aliases": joint["aliases"], "NetworkID": joint["id"]} for joint in wired.get("joints", ())}
    published = {}
    for protocol, address, outside, inside in wired.get("ports", ()):
        published.setdefault(f"{inside}/{protocol}", []).append({"HostIp": address, "HostPort": str(outside)})
    first = next(iter(networks.values()), {})
    return {"Networks": networks, "Ports": published, "IPAddress": first.get("IPAddress", ""),
            "IPPrefixLen": first.get("IPPrefixLen", 0), "Gateway": first.get("Gateway", ""),
            "MacAddress": first.get("MacAddress", "")}


def read(id: str) -> dict:
    """What :meth:`Wiring.connect` wrote of the container *id*; empty when there is nothing."""
    try:
        return jsonfile.read(State(id).path("network.json"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}


def write(id: str, wired: dict) -> None:
    jsonfile.write(State(id).path("network.json"), wired)


# ---- the end -----------------------------------------------------------------------------------------------------

def _undo_address(value: str) -> None:
    network.undo("address", value)
    key = value.partition("/")[0]
    if addresses.holders(key):
        with network.lock():
            introduce([key])


def _undo_ports(id: str) -> None:
    with network.lock() as held:
        ports.withdraw(id)
        network.remove_lock_if_alone(held)
    ports.let_go(id)


def _undo_cable(name: str) -> None:
    """A cable goes with the namespace that its other end is in; to remove it by hand would be to wait for the kernel, 7 to 19 ms.

    But that namespace stays when another container has joined it: that one would keep an address that is not its own.
    """
    directory = f"{paths.run_root()}/containers"
    for id in os.listdir(directory) if os.path.isdir(directory) else ():
        if network.host_end(id) == name.partition(".")[0]:
            guests = [file.removeprefix(_GUEST) for file in os.listdir(f"{directory}/{id}") if file.startswith(_GUEST)]
            if any(State(one).pid() is not None for one in [id, *guests]):
                network.undo("veth", name)


# How the kinds of entries in :meth:`Wiring.ledger` are given back.
UNDO = {"address": _undo_address, "veth": _undo_cable, "ports": _undo_ports}
