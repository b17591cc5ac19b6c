"""Connection tracking: the kernel's table of connections, by which it translates the packets after the first one.

A connection in that table stays translated as it was, even when the rule changes. For a new rule to apply to a
connection that goes on, its entry has to be deleted.

Sources: linux/netfilter/nfnetlink_conntrack.h; conntrack(8), which does the same.
"""

from __future__ import annotations

import errno
import struct

from .netlink import NLA_F_NESTED, NLM_F_DUMP, Netlink, attribute, attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nfnetlink_conntrack.h, linux/in.h
NETLINK_NETFILTER = 12
NFNL_SUBSYS_CTNETLINK = 1
IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1, 2
CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE, CTA_FILTER = 1, 12, 18, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_DST = 2
CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 1, 3
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
CTA_FILTER_F_CTA_PROTO_NUM = 1 << 3  # net/netfilter/nf_conntrack_internal.h
IPPROTO_TCP, IPPROTO_UDP = 6, 17
AF_INET = 2

_NFGENMSG = struct.pack("=BBH", AF_INET, 0, 0)  # struct nfgenmsg: family, version, resource


class Conntrack(Netlink):
    """Requests about the connections that pass through the caller's network namespace. Source: conntrack(8)."""

    def __init__(self) -> None:
        super().__init__(NETLINK_NETFILTER)

    def forget(self, protocol: int, ports: Iterable[int], addressed_to: Callable[[bytes], bool]) -> int:
        """Delete the entries of connections that began with a packet to one of *ports* and to an address (four bytes)
        for which *addressed_to(address)* is true; return how many there were.

        *protocol*: IPPROTO_TCP or IPPROTO_UDP. The kernel searches its whole table, which may take 10 ms.
        Raises :class:`OSError`. Source: linux/netfilter/nfnetlink_conntrack.h; conntrack(8), ``-D``.
        """
        wanted = {port.to_bytes(2, "big") for port in ports}
        count = 0
        for body in self._connections(protocol):
            parts = attributes(body[len(_NFGENMSG) :])
            first = attributes(parts[CTA_TUPLE_ORIG])
            transport = attributes(first.get(CTA_TUPLE_PROTO, b""))
            address = attributes(first.get(CTA_TUPLE_IP, b"")).get(CTA_IP_V4_DST)
            matches = transport.get(CTA_PROTO_NUM) == bytes([protocol]) and transport.get(CTA_PROTO_DST_PORT) in wanted
            if matches and address and addressed_to(address):
                count += self._forget(parts)
        return count

    def _connections(self, protocol: int) -> list[bytes]:
        """The connections of *protocol*; a kernel before 5.8 has no filter and lists all."""
        original = attribute(CTA_TUPLE_PROTO | NLA_F_NESTED, attribute(CTA_PROTO_NUM, bytes([protocol])))
        filter = attribute(CTA_FILTER_ORIG_FLAGS, CTA_FILTER_F_CTA_PROTO_NUM) + attribute(CTA_FILTER_REPLY_FLAGS, 0)
        return self.request(
            NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
            _NFGENMSG
            + attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, original)
            + attribute(CTA_FILTER | NLA_F_NESTED, filter),
            NLM_F_DUMP,
            "list the connections",
        )

    def _forget(self, parts: dict[int, bytes]) -> bool:
        same = b"".join(
            attribute(kind | (NLA_F_NESTED if kind == CTA_TUPLE_ORIG else 0), parts[kind])
            for kind in (CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE)
            if kind in parts
        )
        try:
            self.request(
                NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
                _NFGENMSG + same,
                what="delete the entry of a connection",
            )
            return True
        except OSError as error:
            if error.errno != errno.ENOENT:  # the connection has just ended
                raise
            return False
