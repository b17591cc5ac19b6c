"""The seam between a container and its networks: what it wishes, what it takes from the host, and what it gives back.

Everything else in the engine knows of networks only this: a :class:`Wiring` is made of the wish, and its
methods are called in the order in which they stand.  What came of it is in the file ``network.json`` of the
container's life, for whoever asks (:func:`describe`) or changes it while the container runs (:func:`join`, :func:`leave`).
"""
from __future__ import annotations

import os

from minict.runtime import jsonfile, paths, spec
from minict.runtime.errors import ContainerError
from minict.runtime.state import State

from . import address as addresses
from . import network, networks, ports

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
_GUEST = "guest-"  # and an id: a file in a container's state, for each that has joined its network namespace


class Joint:
    """A container's place on one network, *net*: the interface eth*number*, its *address* and *mac*, and its *aliases* there.

    *wanted* and *mac* are what the user asked for.
    """

    def __init__(self, net: network.Network, number: int, wanted: str | None = None, aliases: list[str] = (),
                 mac: str | None = None):
        self.net, self.number, self.wanted, self.aliases, self.mac = net, number, wanted, list(aliases), mac
        self.address = None

    def to_dict(self) -> dict:
        net = self.net
        return {"network": net.name, "key": net.key, "id": net.id, "number": self.number, "address": self.address,
                "mac": self.mac or network.mac(self.address), "aliases": self.aliases, "gateway": net.gateway,
                "prefix": net.subnet.prefix, "internal": net.internal}


class Wiring:
    """The networks of the container *id*, as *settings* wish them.  To make the object takes nothing from the host.

    *hostname*: the name by which it knows itself.  *exposed*: the ports that its image names, such as ``80/tcp``.
    *name*: by which the others on its networks know it, if that is not the settings'.
    Raises :class:`ContainerError` for all that can be wrong with the wish.
    """

    def __init__(self, settings, id: str, hostname: str, exposed: list[str] = (), name: str | None = None):
        self.id, self.hostname, self.name = id, hostname, name or settings.name
        self.mode = find_mode(settings.network)
        self.partner = find_partner(self.mode) if self.mode.startswith("container:") else None
        refuse_contradictions(settings, self.mode)
        self.joints = find_joints(settings) if self.mode == "bridge" else []
        self.ports = ports.wished(settings.publish, settings.publish_all, settings.expose, exposed)
        self.links = [find_link(text) for text in settings.link]
        self.added = [find_host(text, self.joints[0].net.gateway if self.joints else None) for text in settings.add_host]
        self.resolver = {"servers": [check_server(text) for text in settings.dns],
                         "search": [check_word("--dns-search", text) for text in settings.dns_search],
                         "options": [check_word("--dns-option", text) for text in settings.dns_option]}
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


# ---- the wish --------------------------------------------------------------------------------------------------

def find_mode(words: list[str]) -> str:
    """What ``--network`` means as a whole: ``host``, ``none``, ``container:NAME``, or ``bridge`` for any number of networks.

    Raises :class:`ContainerError`.
    """
    alone = [word for word in words if word in ("host", "none") or word.startswith("container:")]
    for word in words:
        if word not in alone:
            networks.find(parse_network(word)[0])
    if alone and len(words) > 1:
        raise ContainerError(f"--network {alone[0]} can't be combined with another --network: leave one of the two out")
    return alone[0] if alone else "bridge"


def refuse_contradictions(settings, mode: str) -> None:
    """Options that say something about a network, for a container that has none of its own.  Raises :class:`ContainerError`."""
    given = {"-p": settings.publish, "-P": settings.publish_all, "--ip": settings.ip, "--network-alias": settings.network_alias,
             "--mac-address": settings.mac_address, "--link": settings.link}
    if mode.startswith("container:"):
        given.update({"--dns": settings.dns, "--dns-search": settings.dns_search, "--dns-option": settings.dns_option,
                      "--add-host": settings.add_host, "--expose": settings.expose, "--hostname": settings.hostname})
    if mode == "host":
        del given["-p"], given["-P"]
    wrong = next((option for option, value in given.items() if value), None)
    if mode != "bridge" and wrong:
        whose = {"host": "that is the host's network", "none": "there is no network"}.get(mode, "that is the other container's")
        raise ContainerError(f"{wrong} with --network {mode}: {whose}; leave one of the two out")


def find_partner(mode: str) -> State:
    """The container of ``container:NAME``.  Raises :class:`ContainerError` when there is none."""
    from .record import Record
    try:
        return Record.find(mode.partition(":")[2]).state
    except ContainerError as error:
        raise ContainerError(f"--network {mode}: {error}") from None


def find_joints(settings) -> list[Joint]:
    """The places on networks: ``--network NAME``, or ``--network name=NAME,ip=ADDRESS,alias=NAME,mac-address=MAC``, each.

    Raises :class:`ContainerError`.
    """
    wishes = [parse_network(text) for text in settings.network]
    if len(wishes) > 1 and (settings.ip or settings.mac_address):
        raise ContainerError("--ip and --mac-address: there are several networks: write --network "
                             "name=NETWORK,ip=ADDRESS for each")
    joints = []
    for number, (name, wanted, aliases, mac) in enumerate(wishes):
        joints.append(find_joint(name, number, settings.ip or wanted, [*settings.network_alias, *aliases],
                                 settings.mac_address or mac))
        if joints[-1].net.key in [joint.net.key for joint in joints[:-1]]:
            raise ContainerError(f"--network {name} is given twice")
    return joints


def find_joint(name: str, number: int, wanted: str | None, aliases: list[str], mac: str | None = None) -> Joint:
    """A place on the network *name*, checked.  Raises :class:`ContainerError`."""
    net = networks.find(name)
    if wanted and (not net.subnet.is_machine(wanted) or wanted == net.gateway):
        raise ContainerError(f"--ip {wanted}: a container on the network {net.name} has an address of {net.subnet}, and not "
                             f"{net.gateway}, which is the host's")
    if mac and (not all(len(word) == 2 and set(word) <= set("0123456789abcdefABCDEF") for word in mac.split(":"))
                or mac.count(":") != 5 or int(mac[:2], 16) & 1):
        raise ContainerError(f"--mac-address {mac}: write six bytes, the first one even, as in 02:42:ac:11:00:02")
    for alias in aliases:
        check_name("--network-alias", alias)
    return Joint(net, number, wanted, aliases, mac)


def parse_network(text: str) -> tuple[str, str | None, list[str], str | None]:
    """(name, address, aliases, mac) of one ``--network``.  Raises :class:`ContainerError`."""
    if "=" not in text:
        return text, None, [], None
    name, wanted, aliases, mac = None, None, [], None
    for word in text.split(","):
        key, _, value = word.partition("=")
        if key == "name":
            name = value
        elif key in ("ip", "ip4"):
            wanted = value
        elif key == "alias":
            aliases.append(value)
        elif key == "mac-address":
            mac = value
        else:
            raise ContainerError(f"--network {text}: there is no {key!r}: write "
                                 "name=NETWORK,ip=ADDRESS,alias=NAME,mac-address=MAC")
    if not name:
        raise ContainerError(f"--network {text}: the network's name is missing: name=NETWORK")
    return name, wanted, aliases, mac


def find_host(text: str, gateway: str | None) -> tuple[str, str]:
    """``NAME:ADDRESS`` or ``NAME=ADDRESS`` as (address, name); ``host-gateway`` is the host.  Raises :class:`ContainerError`."""
    cut = next((place for place, letter in enumerate(text) if letter in ":="), len(text))
    name, address = text[:cut], text[cut + 1:]
    if address == "host-gateway":
        if gateway is None:
            raise ContainerError(f"--add-host {text}: without a network of its own the container has no gateway")
        address = gateway
    check_name("--add-host", name)
    return check_address(f"--add-host {text!r}", address), name


def find_link(text: str) -> list[str]:
    """``NAME[:ALIAS]`` of ``--link`` as [id, alias].  Raises :class:`ContainerError`."""
    from .record import Record
    name, _, alias = text.partition(":")
    return [Record.find(name).id, check_name("--link", alias or name)]


def check_name(option: str, name: str) -> str:
    if not name or not set(name) <= _NAME or len(name) > 253:
        raise ContainerError(f"{option} {name!r}: a machine's name has letters, digits, '-', '_' and '.'")
    return name


def check_word(option: str, text: str) -> str:
    if not text or not text.isprintable() or " " in text:
        raise ContainerError(f"{option} {text!r} is not one word")
    return text


def check_server(text: str) -> str:
    return check_address("--dns", text)


def check_address(what: str, text: str) -> str:
    """An IPv4 or IPv6 address.  Raises :class:`ContainerError`."""
    try:
        if ":" in text:
            import socket
            socket.inet_pton(socket.AF_INET6, text)
        else:
            addresses.to_number(text)
    except (ValueError, OSError):
        raise ContainerError(f"{what}: {text!r} is no address, such as 192.0.2.53") from None
    return text


# ---- what all on a network do for each other.  The lock of the networks must be held. -----------------------------

def reserve(id: str, joint: Joint) -> None:
    """Take an address for the container *id*.  Raises :class:`ContainerError`."""
    if not networks.still_there(joint.net):
        raise ContainerError(f"the network {joint.net.name} has just been removed")
    joint.address = joint.net.reserve(id, joint.wanted)


def introduce(keys: list[str]) -> None:
    """Tell the containers on the networks *keys* of each other, by the names that they have there."""
    from . import dns
    members = _Members()
    for id in {id for key in keys for id in members.on(key)}:
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


# ---- changed afterwards ------------------------------------------------------------------------------------------

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


def names_of_networks(words: list[str]) -> list[str]:
    """The names of the networks in the words of ``--network``, one for each."""
    known = {each.id: each.name for each in networks.made_by_people()}
    found = []
    for word in words:
        name = parse_network(word)[0]
        ids = [id for id in known if id.startswith(name)]
        found.append("bridge" if name == "default" else known[ids[0]] if len(ids) == 1 and name not in known.values() else name)
    return found


def join(id: str, name: str, wanted: str | None = None, aliases: list[str] = ()) -> None:
    """Put the running container *id* on one more network.  Raises :class:`ContainerError`; then it is not on it."""
    state, wired = State(id), read(id)
    pid = state.pid()
    if pid is None or not wired:
        raise ContainerError(f"the container {id} has no network of its own that could be changed: it is not running, or "
                             "shares another's")
    joint = find_joint(name, 1 + max([each["number"] for each in wired["joints"]], default=-1), wanted, aliases)
    if joint.net.key in keys(id):
        raise ContainerError(f"the container {id} is on the network {joint.net.name} already")
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
            raise ContainerError(f"the container {id} has just ended") from None
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
            from . import dns
            dns.rewrite_hosts(State(id).path("hosts"), _Members().lines_for(id))
            introduce([net.key])


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
