"""Netlink: the socket through which a program asks the kernel to create and list interfaces, addresses and routes.

Requests and answers have the same form::

    struct nlmsghdr              for links: struct ifinfomsg     attributes, each padded to a multiple of 4
    +--------+------+-------+    +--------+-------+-------+    +--------+------+-------+--------+------+----
    | length | kind | flags …|   | family | index | flags |    | length | kind | value | length | kind | …
    +--------+------+-------+    +--------+-------+-------+    +--------+------+-------+--------+------+----

The kernel answers each request with an acknowledgement: an errno, 0 for success, and since Linux 4.12 often a message.
The command ``ip`` and the library pyroute2 do the same; importing pyroute2 takes longer than starting a container.

Sources: netlink(7), rtnetlink(7); linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/veth.h.
"""

from __future__ import annotations

import os
import struct
import sys

from . import native
from .namespaces import inside
from .syscall import failure, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

# bits/socket.h, linux/netlink.h
AF_INET = 2
AF_BRIDGE = 7
AF_NETLINK = 16
SOCK_RAW = 3
SOCK_CLOEXEC = 0o2000000
SOL_NETLINK = 270
NETLINK_ROUTE = 0
NETLINK_CAP_ACK = 10  # do not return the request together with its error
NETLINK_EXT_ACK = 11  # add a message to an error

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x2, 0x4, 0x10
NLM_F_DUMP = 0x300
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
NLMSGERR_ATTR_MSG = 1
NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

# linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/veth.h, linux/if.h
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_PROTINFO, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 4, 10, 12, 18, 28
IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 4, 33
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST = 254, 3, 0, 1
IFF_UP, IFF_RUNNING = 0x1, 0x40

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, kind, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, kind
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, prefix, source's, tos, table, protocol, scope, type, flags

_LARGEST = 1 << 16  # no message of the kernel is larger; a read must take a whole one


class Netlink:
    """A netlink socket. It stays bound to the network namespace in which it was opened.

    *namespace*: a descriptor of that namespace, such as ``/proc/PID/ns/net``; the default is the caller's.
    Close it, or use it in a ``with`` statement. Raises :class:`OSError`. Source: netlink(7).
    """

    def __init__(self, protocol: int = NETLINK_ROUTE, namespace: int = -1) -> None:
        if namespace < 0:
            self._fd = _open(protocol)
        else:
            with inside(namespace):
                self._fd = _open(protocol)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def request(self, kind: int, body: bytes, flags: int = 0, what: str = "") -> list[bytes]:
        """Send one request and return the bodies of the kernel's answers: any number of them for NLM_F_DUMP.

        Raises :class:`OSError` with the kernel's errno and message, and with *what* was asked for.
        """
        while True:
            self._sequence += 1
            flags |= NLM_F_REQUEST | NLM_F_ACK
            os.write(self._fd, _HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
            whole, answers = self._answers(what)
            if whole:
                return answers

    def _answers(self, what: str) -> tuple[bool, list[bytes]]:
        """(whether the list is consistent, the bodies of the answers). NLM_F_DUMP_INTR: something changed meanwhile."""
        whole = True
        bodies: list[bytes] = []
        while True:
            for kind, flags, sequence, body in messages(os.read(self._fd, _LARGEST)):
                if sequence != self._sequence:
                    continue  # an answer to an earlier request that a signal interrupted
                whole = whole and not flags & NLM_F_DUMP_INTR
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    errno = -int.from_bytes(body[:4], sys.byteorder, signed=True) if body else 0
                    if errno:
                        details = attributes(body[4 + _HEADER.size :] if kind == NLMSG_ERROR else body[4:])
                        words = text(details.get(NLMSGERR_ATTR_MSG, b""))
                        raise OSError(errno, ": ".join(filter(None, (os.strerror(errno), what, words))))
                    return whole, bodies
                bodies.append(body)


class Rtnetlink(Netlink):
    """Requests about interfaces ("links"), addresses and routes. Each raises :class:`OSError`. Source: rtnetlink(7)."""

    def add_bridge(self, name: str, mac: str, mtu: int = 0) -> None:
        """Create a bridge with the Ethernet address *mac*. It is down. *mtu*: its largest packet in bytes, or 0."""
        info = attribute(IFLA_INFO_KIND, b"bridge")
        self.request(
            RTM_NEWLINK,
            _link()
            + attribute(IFLA_IFNAME, name)
            + attribute(IFLA_ADDRESS, _ethernet(mac))
            + _mtu(mtu)
            + attribute(IFLA_LINKINFO | NLA_F_NESTED, info),
            NLM_F_CREATE | NLM_F_EXCL,
            f"create the bridge {name}",
        )

    def add_veth(self, name: str, peer: str, mac: str, namespace: int, master: int, mtu: int = 0) -> None:
        """Create a veth pair: *name* here, *peer* with the address *mac* in *namespace*.

        *name* is up, and a port of the bridge with the index *master*. *mtu*: the largest packet in bytes, 0 for the
        default. One request creates both ends in place, so no half of it can be left behind.
        """
        other = (
            _link()
            + attribute(IFLA_IFNAME, peer)
            + attribute(IFLA_ADDRESS, _ethernet(mac))
            + _mtu(mtu)
            + attribute(IFLA_NET_NS_FD, namespace)
        )
        info = attribute(IFLA_INFO_KIND, b"veth") + attribute(
            IFLA_INFO_DATA | NLA_F_NESTED, attribute(VETH_INFO_PEER | NLA_F_NESTED, other)
        )
        self.request(
            RTM_NEWLINK,
            _link(flags=IFF_UP)
            + attribute(IFLA_IFNAME, name)
            + _mtu(mtu)
            + attribute(IFLA_MASTER, master)
            + attribute(IFLA_LINKINFO | NLA_F_NESTED, info),
            NLM_F_CREATE | NLM_F_EXCL,
            f"create the veth pair {name}, {peer}",
        )

    def move_link(self, index: int, namespace: int, name: str) -> None:
        """Move the interface to *namespace*, a descriptor, where it is called *name*; it is switched off by that."""
        self.request(
            RTM_NEWLINK,
            _LINK.pack(0, 0, index, 0, IFF_UP) + attribute(IFLA_NET_NS_FD, namespace) + attribute(IFLA_IFNAME, name),
            what=f"move the interface {name}",
        )

    def set_up(self, index: int) -> None:
        """Switch the interface on."""
        self.request(RTM_NEWLINK, _link(index, IFF_UP), what=f"switch on the interface {index}")

    def set_hairpin(self, index: int) -> None:
        """Let the bridge send packets out of the port through which they came in."""
        self._set_port(index, IFLA_BRPORT_MODE, f"set the hairpin mode of the interface {index}")

    def isolate(self, index: int) -> None:
        """Let the bridge send no packets from this port to another isolated one."""
        self._set_port(index, IFLA_BRPORT_ISOLATED, f"isolate the interface {index}")

    def _set_port(self, index: int, kind: int, what: str) -> None:
        body = _LINK.pack(AF_BRIDGE, 0, index, 0, 0)
        self.request(RTM_SETLINK, body + attribute(IFLA_PROTINFO | NLA_F_NESTED, attribute(kind, b"\1")), what=what)

    def remove_link(self, name: str) -> None:
        """Remove an interface; removing one end of a veth pair removes both. ENODEV when it does not exist."""
        self.request(RTM_DELLINK, _link() + attribute(IFLA_IFNAME, name), what=f"remove the interface {name}")

    def add_address(self, index: int, address: bytes, prefix: int) -> None:
        """Add the IPv4 *address*, four bytes, to an interface; the kernel adds a route to its network."""
        broadcast = int.from_bytes(address, "big") | (1 << 32 - prefix) - 1
        self.request(
            RTM_NEWADDR,
            _ADDRESS.pack(AF_INET, prefix, 0, 0, index)
            + attribute(IFA_LOCAL, address)
            + attribute(IFA_ADDRESS, address)
            + attribute(IFA_BROADCAST, broadcast.to_bytes(4, "big")),
            NLM_F_CREATE | NLM_F_EXCL,
            f"add the address {'.'.join(map(str, address))}/{prefix}",
        )

    def add_default_route(self, gateway: bytes) -> None:
        """Send packets without another route to the IPv4 address *gateway*, four bytes."""
        self.request(
            RTM_NEWROUTE,
            _ROUTE.pack(AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0)
            + attribute(RTA_GATEWAY, gateway),
            NLM_F_CREATE | NLM_F_EXCL,
            f"add the route via {'.'.join(map(str, gateway))}",
        )

    def link(self, name: str) -> Link | None:
        """The interface with this *name*, or None when there is none."""
        try:
            return Link(
                self.request(RTM_GETLINK, _link() + attribute(IFLA_IFNAME, name), what=f"find the interface {name}")[0]
            )
        except OSError as error:
            if error.errno != 19:  # ENODEV
                raise
            return None

    def index(self, name: str) -> int:
        """The number of the interface with this *name*.  Raises :class:`OSError` (ENODEV)."""
        found = self.link(name)
        if found is None:
            raise OSError(19, f"{os.strerror(19)}: {name}")
        return found.index

    def links(self) -> list[Link]:
        """All interfaces."""
        return [Link(body) for body in self.request(RTM_GETLINK, _link(), NLM_F_DUMP, "list the interfaces")]

    def addresses(self, index: int = 0) -> list[tuple[bytes, int]]:
        """The IPv4 addresses of the interface with this *index*, or of all, as (four bytes, prefix)."""
        found = []
        for body in self.request(RTM_GETADDR, _ADDRESS.pack(AF_INET, 0, 0, 0, 0), NLM_F_DUMP, "list the addresses"):
            _, prefix, _, _, owner = _ADDRESS.unpack_from(body)
            parts = attributes(body[_ADDRESS.size :])
            if index in (0, owner):
                found.append((parts.get(IFA_LOCAL) or parts[IFA_ADDRESS], prefix))
        return found

    def routes(self) -> list[Route]:
        """The IPv4 routes to other machines, from all routing tables."""
        bodies = self.request(RTM_GETROUTE, _ROUTE.pack(AF_INET, *[0] * 8), NLM_F_DUMP, "list the routes")
        return [Route(body) for body in bodies if _ROUTE.unpack_from(body)[7] == RTN_UNICAST]


class Link:
    """An interface, from the body of an RTM_NEWLINK message. Source: rtnetlink(7).

    *index*, *name*, *kind* ("bridge", "veth", or "" for hardware), *master* (the index of its bridge, or 0),
    *up* (whether it is switched on), *running* (whether it carries packets: for a veth, whether its peer is up too).
    """

    index: int

    def __init__(self, body: bytes) -> None:
        _, _, self.index, flags, _ = _LINK.unpack_from(body)
        parts = attributes(body[_LINK.size :])
        self.name = text(parts[IFLA_IFNAME])
        self.kind = text(attributes(parts.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b""))
        self.master = int.from_bytes(parts.get(IFLA_MASTER, b""), sys.byteorder)
        self.up, self.running = bool(flags & IFF_UP), bool(flags & IFF_RUNNING)


class Route:
    """A route, from the body of an RTM_NEWROUTE message. Source: rtnetlink(7).

    It leads to the network of *prefix* bits at the address *destination* (four bytes), through the interface with
    the number *index*, or 0 if it has several next hops.
    """

    def __init__(self, body: bytes) -> None:
        self.prefix: int = _ROUTE.unpack_from(body)[1]
        parts = attributes(body[_ROUTE.size :])
        self.destination = parts.get(RTA_DST, bytes(4))
        self.index = int.from_bytes(parts.get(RTA_OIF, b""), sys.byteorder)


# ---- the format of messages --------------------------------------------------------------------------------------


def attribute(kind: int, value: bytes | str | int) -> bytes:
    """One attribute (struct nlattr): a number has 32 bits in native byte order, a text ends with a zero byte.

    Source: netlink(7).
    """
    if isinstance(value, int):
        value = struct.pack("=I", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in *data*: kind -> value. Source: netlink(7)."""
    found: dict[int, bytes] = {}
    place = 0
    while place + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, place)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _NLA_TYPE_MASK] = data[place + _ATTRIBUTE.size : place + length]
        place += length + -length % 4
    return found


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages in one datagram, each as (kind, flags, sequence, body). Source: netlink(7), struct nlmsghdr."""
    place = 0
    while place + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, place)
        yield kind, flags, sequence, data[place + _HEADER.size : place + length]
        place += max(length, _HEADER.size) + -length % 4


def text(value: bytes) -> str:
    """The text of an attribute, without the zero byte at its end. Source: netlink(7)."""
    return value.rstrip(b"\0").decode(errors="replace")


def _link(index: int = 0, flags: int = 0) -> bytes:
    """struct ifinfomsg; of the flags of an interface only IFF_UP is changed here."""
    return _LINK.pack(0, 0, index, flags, flags)


def _mtu(size: int) -> bytes:
    return attribute(IFLA_MTU, size) if size else b""


def _ethernet(mac: str) -> bytes:
    """``02:00:0a:d2:00:02`` as six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


# ---- the socket ------------------------------------------------------------------------------------------------


def _open(protocol: int) -> int:
    # importing the module socket would add 9 ms to each start
    fd: int = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
    if fd == -1:
        raise failure("socket", AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
    for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
        libc.setsockopt(fd, SOL_NETLINK, option, native.byref(native.c_int(1)), 4)  # an old kernel lacks them
    return fd
