"""Netlink by hand; pyroute2 asks the kernel for the result."""

from __future__ import annotations

import errno
import os

import pytest
from pyroute2 import IPRoute

from minict.kernel import netlink
from minict.kernel.netlink import Rtnetlink
from tests.support.network_world import Machine, sh

BRIDGE, ETHERNET = "02:00:0a:09:08:01", "02:00:0a:09:08:02"
ADDRESS, GATEWAY = bytes([10, 9, 8, 2]), bytes([10, 9, 8, 1])


def seen(name: str) -> dict:
    """What pyroute2 reports about an interface in the present namespace."""
    with IPRoute() as kernel:
        link = next(each for each in kernel.get_links() if each.get("ifname") == name)
        addresses = [
            (each.get("IFA_LOCAL"), each["prefixlen"], each.get("IFA_BROADCAST"))
            for each in kernel.get_addr(index=link["index"], family=2)
        ]
        return {
            "index": link["index"],
            "kind": link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND"),
            "mac": link.get("address"),
            "master": link.get("master"),
            "up": link["state"] == "up",
            "addresses": addresses,
        }


def namespace_of(machine: Machine) -> int:
    return os.open(f"/proc/{machine.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@pytest.fixture
def pair(host):
    """A bridge, and a machine with a cable to it."""
    machine = Machine()
    namespace = namespace_of(machine)
    with Rtnetlink() as here:
        here.add_bridge("br0", BRIDGE)
        here.set_up(here.link("br0").index)
        here.add_veth("veth0", "eth7", ETHERNET, namespace, here.link("br0").index)
    yield machine, namespace
    os.close(namespace)
    machine.end()


def test_a_bridge_and_a_cable_are_what_the_kernel_has(pair):
    machine, namespace = pair
    bridge, cable = seen("br0"), seen("veth0")
    assert (bridge["kind"], bridge["mac"], bridge["up"]) == ("bridge", BRIDGE, True)
    assert (cable["kind"], cable["master"], cable["up"]) == ("veth", bridge["index"], True)
    with Rtnetlink(namespace=namespace) as there:
        end = there.link("eth7")
        there.add_address(end.index, ADDRESS, 24)
        there.set_up(end.index)
        there.add_default_route(GATEWAY)
        assert there.addresses(end.index) == [(ADDRESS, 24)]
        assert sorted((route.prefix, route.destination, route.index) for route in there.routes()) == [
            (0, bytes(4), end.index),
            (24, bytes([10, 9, 8, 0]), end.index),
        ]
    inside = machine.do(lambda: seen("eth7"))
    assert (inside["mac"], inside["up"], inside["addresses"]) == (ETHERNET, True, [("10.9.8.2", 24, "10.9.8.255")])
    assert "default via 10.9.8.1 dev eth7" in machine.sh("ip", "route")


def test_lists_agree_with_the_command_ip(pair):
    with Rtnetlink() as here, IPRoute() as kernel:
        found = {link.name: (link.index, link.kind, link.master, link.up) for link in here.links()}
        assert found == {
            each.get("ifname"): (
                each["index"],
                each.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "",
                each.get("master") or 0,
                each["state"] == "up",
            )
            for each in kernel.get_links()
        }
        assert here.link("nonesuch") is None


def test_hundreds_of_interfaces_come_in_many_datagrams(host):
    with Rtnetlink() as here:
        for number in range(300):
            here.add_bridge(f"many{number}", BRIDGE)
        assert {link.name for link in here.links()} == {"lo", *(f"many{number}" for number in range(300))}


def test_hairpin_and_removal(pair):
    with Rtnetlink() as here:
        here.set_hairpin(here.link("veth0").index)
        assert "hairpin on" in sh("bridge", "-d", "link", "show", "dev", "veth0")
        here.remove_link("veth0")
        assert here.link("veth0") is None and "eth7" not in pair[0].sh("ip", "link")


@pytest.mark.parametrize(
    "wrong, number, told",
    [
        (lambda here, fd: here.add_bridge("br0", BRIDGE), errno.EEXIST, "create the bridge br0"),
        (lambda here, fd: here.add_bridge("sixteen-letters-", BRIDGE), errno.ERANGE, "sixteen-letters-"),
        (lambda here, fd: here.add_veth("a", "eth7", ETHERNET, fd, here.link("br0").index), errno.EEXIST, "eth7"),
        (lambda here, fd: here.add_veth("a", "b", ETHERNET, fd, 999), errno.EINVAL, "veth pair a, b"),
        (lambda here, fd: here.remove_link("nonesuch"), errno.ENODEV, "nonesuch"),
        (lambda here, fd: here.set_up(999), errno.ENODEV, "999"),
        (lambda here, fd: here.add_address(999, ADDRESS, 24), errno.ENODEV, "10.9.8.2/24"),
        (lambda here, fd: here.add_default_route(bytes([192, 0, 2, 99])), errno.ENETUNREACH, "invalid gateway"),
    ],
)
def test_a_refusal_has_the_kernels_errno_and_message(pair, wrong, number, told):
    with Rtnetlink() as here:
        with pytest.raises(OSError) as refusal:
            wrong(here, pair[1])
        assert refusal.value.errno == number and told in str(refusal.value)
        assert here.link("br0").name == "br0"  # the conversation goes on


def test_a_stale_answer_is_skipped(host):
    with Rtnetlink() as here:
        body = netlink._HEADER.pack(
            netlink._HEADER.size + 16, netlink.RTM_GETLINK, netlink.NLM_F_REQUEST | netlink.NLM_F_DUMP, 77, 0
        ) + bytes(16)
        os.write(here._fd, body)  # as if an interrupt had come before it was read
        assert here.link("lo").index == 1 and here.link("nonesuch") is None


def test_the_caller_stays_where_it_is_and_nothing_stays_open(pair):
    def own() -> tuple:
        return os.readlink("/proc/thread-self/ns/net"), sorted(os.listdir("/proc/self/fd"))

    before = own()
    with Rtnetlink(namespace=pair[1]) as there:
        assert own()[0] == before[0] and there.link("eth7") and not there.link("br0")
    assert own() == before
    with open("/dev/null") as wrong, pytest.raises(OSError):
        Rtnetlink(namespace=wrong.fileno())
    assert own() == before
