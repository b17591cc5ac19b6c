"""Published ports: packets to a port of the host go on to a port of a container.

::

    198.51.100.1:8080  --- nftables: dnat --->  10.210.0.2:80     from outside, from other containers, from itself
    127.0.0.1:8080     --- dnat, masquerade ->  10.210.0.2:80     from the host; the container sees its gateway

The kernel does this packet by packet, without a process in between. The container's monitor still has a socket bound to
the port for as long as the container lives: no other program can take the port, and ``ss -lntup`` shows its owner.

An ordinary user's containers are behind a network of the user, and not of the host. There the monitor copies what comes
to its sockets, which are the host's (:mod:`minict.engine.rootless.outside`); the container sees its gateway.

Sources: nft(8), NAT STATEMENTS; https://docs.docker.com/engine/network/port-publishing/; ip-sysctl (route_localnet).
"""

from __future__ import annotations

import errno

from minict.engine.rootless.outside import host_socket, is_inside, join_network
from minict.kernel.netlink import Rtnetlink
from minict.runtime.errors import ContainerError

from . import ipam as addresses
from . import nftables

ANY = "0.0.0.0"
_MOST = 500  # ports of one container: each needs a socket, and a process may have 1024

_MOST_V6 = 200  # of them that are served at [::1] too

_held: dict[str, list] = {}  # container's id -> the sockets that this process has bound for it
# container's id -> (port, socket) for each whose data this process copies: at [::1], and without root at all addresses
_copied: dict[str, list] = {}


class Port:
    """A port mapping: a port of the container, *inside*, and the port of the host, *outside*, which is 0 until
    :func:`hold`.

    *protocol* is ``tcp`` or ``udp``; *address* is the host's address at which it is published, 0.0.0.0 for all of them;
    *choices* are the first and last port that may be taken: (0, 0) leaves the choice to the kernel.
    """

    def __init__(
        self, protocol: str, inside: int, address: str = ANY, choices: tuple[int, int] = (0, 0), outside: int = 0
    ):
        self.protocol, self.inside, self.address, self.choices, self.outside = (
            protocol,
            inside,
            address,
            choices,
            outside,
        )

    def __repr__(self):
        return f"{self.address}:{self.outside or self.choices}->{self.inside}/{self.protocol}"

    @property
    def key(self) -> tuple[str, str]:
        """The map that contains the mapping, and its key there: see :mod:`.firewall`."""
        if self.address == ANY:
            return "ports", f"{self.protocol} . {self.outside}"
        return "ports-at", f"{self.address} . {self.protocol} . {self.outside}"


# ---- options -----------------------------------------------------------------------------------------------------


def parse(text: str) -> list[Port]:
    """Parse ``[[IP:][HOST]:]CONTAINER[/PROTOCOL]``, with ``FIRST-LAST`` for ranges. Raises :class:`ContainerError`."""
    where, slash, protocol = text.partition("/")
    at_v6 = where.startswith("[::1]:")
    where = where.removeprefix("[::1]:")
    if "[" in where or where.count(":") > 2 - at_v6:
        raise ContainerError(
            f"-p {text}: the only IPv6 address for a port is [::1]: use that, an IPv4 address like 127.0.0.1, or none"
        )
    if slash and protocol not in ("tcp", "udp"):
        raise ContainerError(f"-p {text}: unknown protocol {protocol!r}: use tcp or udp")
    address, outside, inside = ["", "", *where.split(":")][-3:]
    if address:
        try:
            addresses.to_number(address)
        except ValueError:
            raise ContainerError(f"-p {text}: invalid host address {address!r}: write it as in 127.0.0.1") from None
    if at_v6:
        address = "::1"
    first, last = _range(inside, text)
    low, high = _range(outside, text) if outside else (0, 0)
    if outside and high - low != last - first and first != last:
        raise ContainerError(f"-p {text}: the ranges {outside} and {inside} have different lengths")
    numbers = range(first, last + 1)
    if len(numbers) > _MOST:
        raise ContainerError(f"-p {text}: a container can publish at most {_MOST} ports")
    one_of_many = first == last and low != high
    return [
        Port(
            protocol or "tcp",
            number,
            address or ANY,
            (low, high) if one_of_many or not outside else (low + number - first,) * 2,
        )
        for number in numbers
    ]


def mappings(publish: list[str], publish_all: bool = False, expose=(), exposed=(), default: str = ANY) -> list[Port]:
    """The port mappings of ``-p`` and, with *publish_all* (``-P``), of the ports of ``--expose`` and the image
    (*exposed*).

    *default*: the host address for mappings that name none. Raises :class:`ContainerError`.
    """
    ports = [port for text in publish for port in parse(str(text))]
    more = [port for text in expose for port in parse_exposed(str(text))]
    if publish_all:
        more += [port for text in exposed for port in parse_exposed(str(text))]
        for port in more:
            if (port.protocol, port.inside) not in [(other.protocol, other.inside) for other in ports]:
                ports.append(port)
    for port in ports:
        port.address = default if port.address == ANY else port.address
    fixed = [(port.protocol, port.address, port.choices[0]) for port in ports if 0 < port.choices[0] == port.choices[1]]
    for protocol, address, number in fixed:
        if fixed.count((protocol, address, number)) > 1 or (address != ANY and (protocol, ANY, number) in fixed):
            raise ContainerError(
                f"host port {number}/{protocol} is published twice: give each port of the container its own"
            )
    if len(ports) > _MOST:
        raise ContainerError(f"a container can publish at most {_MOST} ports, not {len(ports)}")
    return ports


def parse_exposed(text: str) -> list[Port]:
    """Parse ``PORT[-LAST][/PROTOCOL]``, the form of an image's ExposedPorts and ``--expose``. Raises
    :class:`ContainerError`.
    """
    if ":" in text:
        raise ContainerError(f"invalid --expose {text}: use PORT[/udp]; -p publishes a port to the host")
    return parse(text)


def _range(text: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    for number in (first, last) if dash else (first,):
        if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
            raise ContainerError(
                f"-p {whole}: invalid port {number!r}: use [IP:][HOST:]CONTAINER[/udp] with numbers from 1 to 65535"
            )
    if int(last or first) < int(first):
        raise ContainerError(f"-p {whole}: the range {text} ends before it begins")
    return int(first), int(last or first)


# ---- the sockets that hold the ports -----------------------------------------------------------------------------


def hold(id: str, ports: list[Port]) -> None:
    """Bind the host's side of *ports* in this process, and record which ports were taken.

    Raises :class:`ContainerError` when one is in use; then none is held.
    """
    _held.setdefault(id, [])
    _copied.setdefault(id, [])
    try:
        for port in ports:
            socket, socket_v6 = _bind(port, len(_copied[id]) < _MOST_V6)
            if socket and is_inside():
                socket.setblocking(False)
                _copied[id].append((port, socket))
            elif socket:
                _held[id].append(socket)
            _copied[id] += [(port, socket_v6)] if socket_v6 else []
    except BaseException:
        let_go(id)
        raise


def let_go(id: str) -> None:
    """Close the sockets that :func:`hold` has bound in this process."""
    for socket in [*_held.pop(id, []), *(socket for _, socket in _copied.pop(id, []))]:
        socket.close()


def serve(id: str, loop, target) -> None:
    """Forward in *loop* what comes to the copied ports to the container *id*; *target* returns its address, or None."""
    from . import loopback6

    for port, socket in _copied.get(id, ()):
        kind = loopback6.TCP if port.protocol == "tcp" else loopback6.UDP
        kind(loop, socket, target, port.inside)


def _bind(port: Port, at_v6: bool) -> tuple:
    """The sockets that hold the port: one at its address, and with *at_v6* one at [::1], if it is published there."""
    import _socket  # instead of socket, which would cost 9 ms at each start

    from . import loopback6

    copied = is_inside()  # the kernel translates no packet of the host for us
    low, high = port.choices
    if low == 0:
        low, high = -9, 0  # ten choices of the kernel: one may be free at one of the two addresses only
    if port.address == loopback6.ADDRESS:
        return _bind_v6(port, low, high)
    for number in range(low, high + 1):
        number = max(number, 0)
        kind = _socket.SOCK_STREAM if port.protocol == "tcp" else _socket.SOCK_DGRAM
        socket = host_socket(_socket.AF_INET, kind)
        try:
            if port.protocol == "tcp":
                # connections that an ended server has left in TIME_WAIT do not block the port; another listener does
                socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            socket.bind((port.address, number))
            if port.protocol == "tcp":
                socket.listen(128 if copied else 0)
            port.outside = socket.getsockname()[1]
            return socket, loopback6.bind(port.protocol, port.outside) if at_v6 and port.address == ANY else None
        except OSError as error:
            socket.close()
            if error.errno != errno.EADDRINUSE or number == high > 0:
                raise _why(port, error) from None
    raise _why(port, OSError(errno.EADDRINUSE, "in use"))


def _bind_v6(port: Port, low: int, high: int) -> tuple:
    from . import loopback6

    for number in range(low, high + 1):
        try:
            socket = loopback6.bind(port.protocol, max(number, 0))
            if socket is None:
                raise OSError(errno.EADDRNOTAVAIL, "no IPv6")
            port.outside = socket.getsockname()[1]
            return None, socket
        except OSError as error:
            if error.errno != errno.EADDRINUSE or number == high:
                raise _why(port, error) from None
    return None, None


def _why(port: Port, error: OSError) -> ContainerError:
    low, high = port.choices
    numbers = f"port {low}" if low == high else f"ports {low} to {high}"
    if error.errno == errno.EADDRNOTAVAIL:
        return ContainerError(
            f"cannot publish at {port.address}: the host has no such address; 'ip address' lists its addresses"
        )
    if error.errno == errno.EACCES and is_inside():
        return ContainerError(
            f"host {numbers}/{port.protocol} needs root: publish at a port from 1024 on, or an administrator runs "
            f"sysctl net.ipv4.ip_unprivileged_port_start={low}",
            errno=error.errno,
        )
    if error.errno != errno.EADDRINUSE:
        return ContainerError(f"cannot bind host {numbers}/{port.protocol}: {error.strerror}", errno=error.errno)
    owner = next(
        (id for id, other, _ in published() if low == high == other.outside and other.protocol == port.protocol), None
    )
    by = f"published by the container {owner[:12]}" if owner else "in use on the host ('ss -lntup' shows the process)"
    other = f"{'' if port.address == ANY else port.address + ':'}OTHER:{port.inside}"
    return ContainerError(
        f"host {numbers}/{port.protocol} {'is' if low == high else 'are'} {by}: stop its owner, or "
        f"publish at another port: -p {other}",
        errno=error.errno,
    )


# ---- in the kernel ---------------------------------------------------------------------------------------------


def publish(id: str, address: str, bridge: str, cable: str, ports: list[Port]) -> None:
    """Direct packets for *ports* of the host to the container *id*, which has *address* on *bridge*, through its
    *cable*.

    Call it with the networks' lock held (:func:`.bridge.lock`), in the process that holds the ports or on its behalf.
    Raises :class:`ContainerError`.
    """
    ports = [port for port in ports if ":" not in port.address]
    if not ports:
        return
    stale = {port.key for _, port, _ in published()}  # left by a killed process: the port belongs to its present holder
    lines = [f"delete element inet minict {map} {{ {key} }}" for map, key in stale & {port.key for port in ports}]
    for port in ports:
        map, key = port.key
        lines.append(f'add element inet minict {map} {{ {key} comment "{id} {bridge}" : {address} . {port.inside} }}')
    nftables.apply("\n".join(lines))
    _route_loopback(bridge, True)
    _reflect(cable)
    _forget_conversations(ports)


def withdraw(id: str) -> None:
    """Undo :func:`publish`, with the networks' lock held. Idempotent; callable from any process."""
    there = published()
    mine = [(port, bridge) for owner, port, bridge in there if owner == id]
    if not mine:
        return
    nftables.apply("\n".join("delete element inet minict {} {{ {} }}".format(*port.key) for port, _ in mine))
    for bridge in {bridge for _, bridge in mine} - {bridge for owner, _, bridge in there if owner != id}:
        _route_loopback(bridge, False)
    _forget_conversations([port for port, _ in mine])


def published() -> list[tuple[str, Port, str]]:
    """The mappings in the kernel now, each as (id of the container, port, bridge)."""
    join_network()
    found = []
    for name in ("ports", "ports-at"):
        for key, comment, (_, inside) in nftables.elements(name):
            *address, protocol, outside = key
            id, _, bridge = comment.partition(" ")
            found.append((id, Port(protocol, inside, (address or [ANY])[0], outside=outside), bridge))
    return found


def _reflect(cable: str) -> None:
    """Let a container reach itself through the host's port (hairpin mode).

    Where the bridge itself calls nftables (br_netfilter), the packet turns round there and never reaches the host.
    """
    with Rtnetlink() as host:
        link = host.link(cable)
        if link:  # otherwise it has just ended
            host.set_hairpin(link.index)


def _route_loopback(bridge: str, on: bool) -> None:
    """Let packets with the address 127.0.0.1 pass *bridge*: the answers to the host itself would be dropped otherwise.

    This lasts only while a port needs it. Packets from a container to 127.0.0.1 never pass: see :mod:`.firewall`.
    """
    try:
        with open(f"/proc/sys/net/ipv4/conf/{bridge}/route_localnet", "w") as file:
            file.write("1" if on else "0")
    except FileNotFoundError:
        if on:
            raise ContainerError(f"the bridge {bridge} has just been removed by another program") from None
    except OSError as error:
        raise ContainerError(
            f"cannot route the host's own packets to {bridge}: {error.strerror}", errno=error.errno
        ) from None


def _forget_conversations(ports: list[Port]) -> None:
    """Let the kernel decide afresh about the senders of UDP to *ports*.

    UDP has no beginning: the kernel considers a continuing sender still in conversation with the earlier receiver, such
    as a container that has ended. (A TCP client opens a new connection.)
    """
    numbers = {port.outside for port in ports if port.protocol == "udp"}
    if not numbers:
        return
    from minict.kernel.conntrack import IPPROTO_UDP, Conntrack

    try:
        with Rtnetlink() as host, Conntrack() as memory:
            own = {address for address, _ in host.addresses()}
            memory.forget(IPPROTO_UDP, numbers, lambda address: address in own or address[0] == 127)
    except OSError:
        pass  # a kernel without nf_conntrack_netlink forgets by itself after 30 to 120 silent seconds
