"""Chapter 09: a web server and its database, which both run, and the one cannot reach the other."""

from __future__ import annotations

import itertools
import os
import socket
import struct

import minict
from minict.kernel import netlink
from minict.kernel.namespaces import CLONE_NEWNET, setns
from minict.kernel.netlink import Rtnetlink

from .. import wires, words
from ..child import run_in_child
from ..feedback import Feedback
from ..scenario import Scenario

_DATABASE, _PORT = "10.9.0.3", 3306


class Shop:
    """Three containers: *host* has the switch, *web* and *db* are to be connected through it."""

    def __init__(self, fault):
        self.host, self.web, self.db = self.boxes = [
            minict.run("tiny", "sleep 100000", network="none", detach=True) for _ in range(3)
        ]
        run_in_child(self._wire_up)
        with wires.look({"web": self.web, "db": self.db}) as places:
            wires.hurry(places)
        self.servers = [words.start_database(self.db)]
        self.homes = [os.readlink(f"/proc/{box.pid}/ns/net") for box in self.boxes]
        fault(self)

    def __repr__(self):
        return "<a shop: host, web and db>"

    def _wire_up(self) -> None:
        from ..switch import plug

        setns(os.open(f"/proc/{self.host.pid}/ns/net", os.O_RDONLY), CLONE_NEWNET)
        for name, mac in (("switch", "02:00:00:00:00:01"), ("attic", "02:00:00:00:00:02")):
            with Rtnetlink() as host:
                host.add_bridge(name, mac)
                host.set_up(host.index(name))
        plug(self.web.pid, "cable-web", "10.9.0.2")
        plug(self.db.pid, "cable-db", _DATABASE)

    def kernel(self, box) -> Rtnetlink:
        """Netlink in the network namespace of one of the three."""
        namespace = os.open(f"/proc/{box.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return Rtnetlink(namespace=namespace)
        finally:
            os.close(namespace)


def _in_the_attic(shop: Shop) -> None:
    with shop.kernel(shop.host) as host:
        _change(host, "cable-db", 0, netlink.attribute(netlink.IFLA_MASTER, host.index("attic")))


def _alone(shop: Shop) -> None:
    with shop.kernel(shop.db) as guest:
        body = struct.pack("=BBBBI", netlink.AF_INET, 24, 0, 0, guest.index("eth0"))
        guest.request(21, body + netlink.attribute(netlink.IFA_LOCAL, socket.inet_aton(_DATABASE)))  # RTM_DELADDR
        guest.add_address(guest.index("eth0"), socket.inet_aton(_DATABASE), 32)


def _switched_off(shop: Shop) -> None:
    with shop.kernel(shop.db) as guest:
        _change(guest, "eth0", netlink.IFF_UP)


def _change(kernel: Rtnetlink, name: str, flags: int, attributes: bytes = b"") -> None:
    """Clear *flags* of an interface, and set *attributes*."""
    kernel.request(netlink.RTM_NEWLINK, struct.pack("=BxHiII", 0, 0, kernel.index(name), 0, flags) + attributes)


#: One symptom, and three causes: each new start has the next one.
FAULTS = (_in_the_attic, _alone, _switched_off)
_turns = itertools.cycle(FAULTS)


def start(fault=None) -> Shop:
    """The shop, with the next *fault*."""
    return Shop(fault or next(_turns))


def end(shop: Shop) -> None:
    """End all that runs in it."""
    for thing in (*shop.servers, *shop.boxes):
        thing.stop(**({} if thing in shop.servers else {"timeout": 0}))


def check(shop: Shop) -> None:
    """The three run, with the networks that they began with, and web reaches the database in db."""
    if any(box.status != "running" for box in shop.boxes):
        raise Feedback("One of the containers has ended. They must go on: repair the network while they run.")
    if [os.readlink(f"/proc/{box.pid}/ns/net") for box in shop.boxes] != shop.homes:
        raise Feedback("One of the containers is in another network namespace than before.")
    with wires.look({"web": shop.web, "db": shop.db}) as (web, db):
        if not any(each.startswith(f"{_DATABASE}/") for found in db.interfaces for each in found.addresses):
            raise Feedback(f"db no longer has the address {_DATABASE}, by which its clients know it.")
        if any(each.startswith(f"{_DATABASE}/") for found in web.interfaces for each in found.addresses):
            raise Feedback(f"web itself has the address {_DATABASE} now: so it talks to itself, and not to db.")
        answer = wires.knock_all({"web": (web.fd, _DATABASE)}, _PORT)["web"]
    if answer != "connected":
        raise Feedback(f"A connection from web to port {_PORT} of {_DATABASE} still fails: {answer}.")


def repair(shop):
    """Make the database's cable a port of the switch, switch both its ends on, and give eth0 the prefix of the others.
    (One of these was wrong; the others change nothing.)"""
    from pyroute2 import IPRoute

    def mend():
        with (
            IPRoute(netns=f"/proc/{shop.host.pid}/ns/net") as host,
            IPRoute(netns=f"/proc/{shop.db.pid}/ns/net") as guest,
        ):
            cable, switch = (host.link_lookup(ifname=name)[0] for name in ("cable-db", "switch"))
            host.link("set", index=cable, master=switch, state="up")
            eth0 = guest.link_lookup(ifname="eth0")[0]
            guest.flush_addr(index=eth0)
            guest.addr("add", index=eth0, address="10.9.0.3", prefixlen=24)
            guest.link("set", index=eth0, state="up")

    run_in_child(mend)


def _stop_the_database(shop):
    shop.db.stop(timeout=0)


def _take_its_address(shop):
    with shop.kernel(shop.web) as guest:
        guest.add_address(guest.index("eth0"), socket.inet_aton(_DATABASE), 24)


def _switch_on_the_web(shop):
    with shop.kernel(shop.web) as guest:
        _change(guest, "eth0", netlink.IFF_UP)
        guest.set_up(guest.index("eth0"))


def _give_another_address(shop):
    with shop.kernel(shop.db) as guest:
        index = guest.index("eth0")
        for address, prefix in guest.addresses(index):
            body = struct.pack("=BBBBI", netlink.AF_INET, prefix, 0, 0, index)
            guest.request(21, body + netlink.attribute(netlink.IFA_LOCAL, address))
        guest.add_address(index, socket.inet_aton("10.9.0.4"), 24)


Scenario(
    "parted",
    "The web server runs and the database runs, but the web server cannot reach its database.",
    minutes=8,
    start=start,
    check=check,
    clues=[
        'network_map({"host": parted.host, "web": parted.web, "db": parted.db}) draws the three. Compare the two '
        "containers from top to bottom: what is different?",
        "A connection needs both ends of each cable on, both cables in one switch, and addresses with a prefix that "
        "includes the other. For the database one of these is wrong. (In the next shop it is another one.)",
        'In a %%child, IPRoute(netns=f"/proc/{parted.db.pid}/ns/net") speaks in the database\'s namespace; '
        'parted.host.pid is for the host\'s. link("set", …) has state= and master=; addr("add", …) has prefixlen=24.',
    ],
    solution=repair,
    wrong={
        "stops the database": (_stop_the_database, "They must go on"),
        "takes the address over": (_take_its_address, "talks to itself"),
        "switches web off and on": (_switch_on_the_web, "still fails"),
        "gives the database another address": (_give_another_address, "no longer has the address"),
    },
    end=end,
)
