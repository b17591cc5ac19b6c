"""A switch made of software, and cables into it: chapter 09, with the library pyroute2.

The package has functions of its own for this, in :mod:`minict.kernel.netlink`.  Here they are written as most Python
programs would write them.
"""

from __future__ import annotations


def plug(pid: int, cable: str, address: str, bridge: str = "switch") -> None:
    """Connect the network namespace of the process *pid* with *bridge*, which is in the caller's.

    The caller's end of the veth pair is the interface *cable*, a port of the bridge.  The other end is ``eth0`` in the
    namespace, with *address* and a prefix of 24 bits.  Both, and ``lo`` there, are up.
    Raises pyroute2's NetlinkError.  Sources: veth(4), bridge(8), https://docs.pyroute2.org/iproute_linux.html
    """
    from pyroute2 import IPRoute  # late: importing it takes longer than starting a container

    with IPRoute() as host, IPRoute(netns=f"/proc/{pid}/ns/net") as guest:
        host.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})
        port, switch = (host.link_lookup(ifname=name)[0] for name in (cable, bridge))
        host.link("set", index=port, master=switch, state="up")
        lo, eth0 = (guest.link_lookup(ifname=name)[0] for name in ("lo", "eth0"))
        guest.addr("add", index=eth0, address=address, prefixlen=24)
        for index in (lo, eth0):
            guest.link("set", index=index, state="up")
