"""Parse and check ``--network`` and the options that belong to it.

Every error is reported here, before :class:`.sandbox.Sandbox` takes anything. Source: docker-run(1), and its reference
on networks.
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError
from minict.runtime.state import State

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")


class Endpoint:
    """A container's endpoint on one network, *net*: the interface eth*number*, its *address*, *mac* and *aliases*.

    *wanted* and *mac* are what the user asked for.
    """

    def __init__(
        self, net, number: int, wanted: str | None = None, aliases: Sequence[str] = (), mac: str | None = None
    ):
        self.net, self.number, self.wanted, self.aliases, self.mac = net, number, wanted, list(aliases), mac
        self.address: str | None = None

    def to_dict(self) -> dict:
        from . import bridge

        net = self.net
        return {
            "network": net.name,
            "key": net.key,
            "id": net.id,
            "number": self.number,
            "address": self.address,
            "mac": self.mac or bridge.mac(self.address or ""),
            "aliases": self.aliases,
            "gateway": net.gateway,
            "prefix": net.subnet.prefix,
            "internal": net.internal,
        }


def find_mode(words: list[str]) -> str:
    """The mode of ``--network``: ``host``, ``none``, ``container:NAME``, or ``bridge`` for any number of networks.

    Raises :class:`ContainerError`.
    """
    alone = [word for word in words if word in ("host", "none") or word.startswith("container:")]
    for word in words:
        if word not in alone:
            from . import store

            store.find(parse_network(word)[0])
    if alone and len(words) > 1:
        raise ContainerError(f"--network {alone[0]} cannot be combined with another --network: remove one of the two")
    return alone[0] if alone else "bridge"


def refuse_contradictions(settings, mode: str) -> None:
    """Raise :class:`ContainerError` for options that configure a network the container does not have."""
    given = {
        "-p": settings.publish,
        "-P": settings.publish_all,
        "--ip": settings.ip,
        "--network-alias": settings.network_alias,
        "--mac-address": settings.mac_address,
        "--link": settings.link,
    }
    if mode.startswith("container:"):
        given.update(
            {
                "--dns": settings.dns,
                "--dns-search": settings.dns_search,
                "--dns-option": settings.dns_option,
                "--add-host": settings.add_host,
                "--expose": settings.expose,
                "--hostname": settings.hostname,
            }
        )
    if mode == "host":
        del given["-p"], given["-P"]
    wrong = next((option for option, value in given.items() if value), None)
    if mode != "bridge" and wrong:
        whose = {"host": "the host configures that network", "none": "there is no network"}.get(
            mode, "the other container configures that network"
        )
        raise ContainerError(f"{wrong} conflicts with --network {mode}: {whose}; remove one of the two")


def find_partner(mode: str) -> State:
    """The container of ``container:NAME``. Raises :class:`ContainerError` when it does not exist."""
    from minict.engine.containers.store import Record

    try:
        return Record.find(mode.partition(":")[2]).state
    except ContainerError as error:
        raise ContainerError(f"--network {mode}: {error}") from None


def find_endpoints(settings) -> list[Endpoint]:
    """The endpoints of ``--network NAME`` and ``--network name=NAME,ip=ADDRESS,alias=NAME,mac-address=MAC``.

    Raises :class:`ContainerError`.
    """
    requested = [parse_network(text) for text in settings.network]
    if len(requested) > 1 and (settings.ip or settings.mac_address):
        raise ContainerError(
            "--ip and --mac-address are ambiguous with several networks: write --network name=NETWORK,ip=ADDRESS for "
            "each"
        )
    endpoints = []
    for number, (name, wanted, aliases, mac) in enumerate(requested):
        endpoints.append(
            find_endpoint(
                name, number, settings.ip or wanted, [*settings.network_alias, *aliases], settings.mac_address or mac
            )
        )
        if endpoints[-1].net.key in [endpoint.net.key for endpoint in endpoints[:-1]]:
            raise ContainerError(f"--network {name} is given twice: remove one of the two")
    return endpoints


def find_endpoint(name: str, number: int, wanted: str | None, aliases: list[str], mac: str | None = None) -> Endpoint:
    """An endpoint on the network *name*, checked. Raises :class:`ContainerError`."""
    from . import store

    net = store.find(name)
    if wanted and (not net.subnet.is_machine(wanted) or wanted == net.gateway):
        raise ContainerError(
            f"invalid --ip {wanted}: use an address of {net.subnet}, the subnet of {net.name}, other than the gateway "
            f"{net.gateway}"
        )
    if mac and (
        not all(len(word) == 2 and set(word) <= set("0123456789abcdefABCDEF") for word in mac.split(":"))
        or mac.count(":") != 5
        or int(mac[:2], 16) & 1
    ):
        raise ContainerError(
            f"invalid --mac-address {mac}: use six bytes, the first of them even, as in 02:42:ac:11:00:02"
        )
    for alias in aliases:
        check_name("--network-alias", alias)
    return Endpoint(net, number, wanted, aliases, mac)


def parse_network(text: str) -> tuple[str, str | None, list[str], str | None]:
    """Parse one ``--network`` into (name, address, aliases, mac). Raises :class:`ContainerError`."""
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
            raise ContainerError(
                f"--network {text}: unknown key {key!r}: use name=NETWORK,ip=ADDRESS,alias=NAME,mac-address=MAC"
            )
    if not name:
        raise ContainerError(f"--network {text}: the name of the network is missing: add name=NETWORK")
    return name, wanted, aliases, mac


def find_host(text: str, gateway: str | None) -> tuple[str, str]:
    """Parse ``NAME:ADDRESS`` or ``NAME=ADDRESS`` into (address, name); ``host-gateway`` is the host.

    Raises :class:`ContainerError`.
    """
    cut = next((place for place, letter in enumerate(text) if letter in ":="), len(text))
    name, address = text[:cut], text[cut + 1 :]
    if address == "host-gateway":
        if gateway is None:
            raise ContainerError(f"--add-host {text}: host-gateway needs a network of the container's own")
        address = gateway
    if address[:1] + address[-1:] == "[]":
        address = address[1:-1]
    check_name("--add-host", name)
    return check_address(f"--add-host {text!r}", address), name


def find_link(text: str) -> list[str]:
    """Parse ``NAME[:ALIAS]`` of ``--link`` into [id, alias]. Raises :class:`ContainerError`."""
    from minict.engine.containers.store import Record

    name, _, alias = text.partition(":")
    return [Record.find(name).id, check_name("--link", alias or name)]


def find_resolver(settings) -> dict[str, list[str]]:
    """Parse ``--dns``, ``--dns-search`` and ``--dns-option`` for :func:`.dns.resolv_conf`.

    Raises :class:`ContainerError`.
    """
    return {
        "servers": [check_address("--dns", text) for text in settings.dns],
        "search": [check_word("--dns-search", text) for text in settings.dns_search],
        "options": [check_word("--dns-option", text) for text in settings.dns_option],
    }


def check_name(option: str, name: str) -> str:
    if not name or not set(name) <= NAME or name.startswith(".") or len(name) > 253:
        raise ContainerError(f"invalid {option} {name!r}: use letters, digits, '-', '_' and '.'")
    return name


def check_word(option: str, text: str) -> str:
    if not text or not text.isprintable() or " " in text:
        raise ContainerError(f"invalid {option} {text!r}: use one word")
    return text


def check_address(what: str, text: str) -> str:
    """Check an IPv4 or IPv6 address. Raises :class:`ContainerError`."""
    try:
        if ":" in text:
            import socket

            socket.inet_pton(socket.AF_INET6, text)
        else:
            from . import ipam

            ipam.to_number(text)
    except (ValueError, OSError):
        raise ContainerError(f"{what}: invalid address {text!r}: write it as in 192.0.2.53") from None
    return text


def names_of_networks(words: list[str]) -> list[str]:
    """The names of the networks in the values of ``--network``."""
    from . import store

    known = {each.id: each.name for each in store.user_defined()}
    found = []
    for word in words:
        name = parse_network(word)[0]
        ids = [id for id in known if id.startswith(name)]
        found.append(
            "bridge" if name == "default" else known[ids[0]] if len(ids) == 1 and name not in known.values() else name
        )
    return found
