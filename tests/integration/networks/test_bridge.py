"""Containers' networks on a small internet of real network namespaces.

The internet is that of :mod:`internet`.  Containers are idle processes in namespaces of their own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from minict.engine.containers.options import ContainerOptions
from minict.engine.networks import bridge as network
from minict.engine.networks import dns, ipam, nftables  # noqa: F401
from minict.engine.networks.sandbox import Sandbox
from minict.kernel import namespaces
from minict.kernel import network as kernel_network
from minict.runtime import paths
from minict.runtime.errors import ContainerError
from tests.support.in_child import exit_code, forked
from tests.support.network_world import (
    HOST,
    WORLD,
    Here,
    Machine,
    host_state,
    reach,
    sh,
    unreachable,
)


class Container(Machine):
    """What an engine does with a container's network, in the same order."""

    _count = 0

    def __init__(self, net: network.Network, connect: bool = True):
        super().__init__()
        Container._count += 1
        self.net, self.id = net, f"{Container._count:08x}{os.getpid() & 0xFFFF:04x}"
        os.makedirs(paths.container_state(self.id))
        self.ledger = net.ledger(self.id)
        self.address = net.reserve(self.id)
        net.ensure_bridge()
        if connect:
            net.add_interface(self.id, self.pid, self.address)

    def end(self):
        super().end()
        ipam.release(self.net.key, self.id)
        if os.path.isdir(paths.container_state(self.id)):
            os.rmdir(paths.container_state(self.id))


@pytest.fixture
def net(host):
    """The default network, and the proof that its removal leaves the host as it was."""
    before = host_state()
    default = network.Network()
    yield default
    default.remove_bridge_if_unused()
    assert host_state() == before
    assert not os.path.exists(f"{paths.run_root()}/networks")


@pytest.fixture
def container(world, net):
    """A function that makes connected containers, which end with the test, before the network does."""
    made = []

    def make(**options) -> Container:
        made.append(Container(net, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()


# ---- what a container reaches, and who reaches it ----------------------------------------------------------------


def test_a_container_reaches_itself_the_gateway_other_containers_and_the_world(container, host, world, net):
    one, two = container(), container()
    assert (one.address, two.address) == ("10.210.0.2", "10.210.0.3")
    assert reach(one, one, "127.0.0.1") == "127.0.0.1"
    assert reach(one, host, net.gateway) == one.address
    assert reach(host, one, one.address) == net.gateway
    assert reach(one, two, two.address) == one.address  # another container is seen with its own address
    assert reach(two, one, one.address) == two.address
    assert reach(one, world, WORLD) == HOST  # the world sees the host


def test_the_container_has_exactly_lo_and_eth0(container):
    links = [line.split()[:3] for line in container().sh("ip", "-br", "link").splitlines()]
    assert [(name.split("@")[0], state, ether) for name, state, ether in links] == [
        ("lo", "UNKNOWN", "00:00:00:00:00:00"),
        ("eth0", "UP", "02:00:0a:d2:00:02"),
    ]


def test_the_world_cannot_begin_a_conversation_with_a_container(container, world):
    one = container()
    # a machine on the host's link that knows the containers' addresses
    world.sh("ip", "route", "add", "10.210.0.0/16", "via", HOST)
    assert unreachable(world, one, one.address)
    sh("nft", "flush", "chain", "inet", "minict", "forward-minict0")
    assert reach(world, one, one.address) == WORLD  # it was that chain, and nothing else


def test_what_is_translated_to_a_container_comes_in(container, world):
    one = container()
    sh(
        "nft",
        "add table ip test; add chain ip test pre { type nat hook prerouting priority dstnat; };"
        f"add rule ip test pre tcp dport 8080 dnat to {one.address}:80",
    )
    with one.do(lambda: socket.create_server((one.address, 80))):
        world.do(lambda: socket.create_connection((HOST, 8080), timeout=3)).close()
    sh("nft", "delete table ip test")


def test_segments_fit_through_a_narrow_way_out(container, world):
    sh("ip", "link", "set", "uplink0", "mtu", "1300")
    one = container()
    with world.do(lambda: socket.create_server((WORLD, 4000))) as listener:
        with one.do(lambda: socket.create_connection((WORLD, 4000), timeout=3)):
            incoming, _ = listener.accept()
            with incoming:
                assert incoming.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1300 - 40
    sh("ip", "link", "set", "uplink0", "mtu", "1500")


def test_a_gateway_keeps_its_ethernet_address_when_containers_come_and_go(container):
    def gateway_mac():
        return sh("ip", "-br", "link", "show", "minict0").split()[2]

    for _ in range(4):  # a bridge without its own would take the lowest of its ports' random addresses
        container()
        assert gateway_mac() == "02:00:0a:d2:00:01"


def test_a_container_cannot_become_the_hosts_ipv6_router(net):
    net.ensure_bridge()
    settings = "/proc/sys/net/ipv6/conf"
    with open(f"{settings}/minict0/accept_ra") as bridge, open(f"{settings}/default/accept_ra") as others:
        assert (bridge.read(), others.read()) == ("0\n", "1\n")


def test_bridge_and_subnet_can_be_moved(world, host, monkeypatch):
    monkeypatch.setenv("MINICT_BRIDGE", "br-elsewhere")
    monkeypatch.setenv("MINICT_SUBNET", "192.168.77.0/24")
    before = host_state()
    net = network.Network()
    one = Container(net)
    assert one.address == "192.168.77.2" and reach(one, world, WORLD) == HOST
    assert "br-elsewhere" in sh("ip", "link") and "minict0" not in sh("ip", "link")
    one.end()
    assert net.remove_bridge_if_unused() and host_state() == before


# ---- beside other firewalls --------------------------------------------------------------------------------------


def docker_like():
    for words in (
        "-P FORWARD DROP",
        "-N DOCKER-USER",
        "-A DOCKER-USER -s 203.0.113.0/24 -j DROP",
        "-A FORWARD -j DOCKER-USER",
        "-A FORWARD -o docker0 -j ACCEPT",
    ):
        sh("iptables", *words.split())


def ufw_like():
    for words in ("-P FORWARD DROP", "-N ufw-before-forward", "-A FORWARD -j ufw-before-forward"):
        sh("iptables", *words.split())


def legacy_docker_like():
    for words in (
        "-P FORWARD DROP",
        "-N DOCKER-USER",
        "-A DOCKER-USER -s 203.0.113.0/24 -j DROP",
        "-A FORWARD -j DOCKER-USER",
    ):
        sh("iptables-legacy", *words.split())


@pytest.mark.parametrize(
    "firewall, command, chain",
    [
        (docker_like, "iptables", "DOCKER-USER"),
        (ufw_like, "iptables", "FORWARD"),
        (legacy_docker_like, "iptables-legacy", "DOCKER-USER"),
    ],
)
def test_a_firewall_that_drops_what_is_forwarded_lets_containers_pass(world, host, firewall, command, chain):
    firewall()
    before, rules = host_state(), sh(command, "-S")
    net = network.Network()
    one, two = Container(net), Container(net)
    ours = [line for line in sh(command, "-S", chain).splitlines() if "minict0" in line]
    assert reach(one, world, WORLD) == HOST and reach(one, two, two.address) == one.address
    net.ensure_bridge()
    assert [line for line in sh(command, "-S", chain).splitlines() if "minict0" in line] == ours and len(ours) == 2
    for line in ours:  # without them it does drop: the test's firewall is a real one
        sh(command, "-D", *line.replace('"', "").split()[1:])
    assert unreachable(one, world, WORLD)
    net.ensure_bridge()
    assert reach(two, world, WORLD) == HOST
    one.end()
    two.end()
    assert net.remove_bridge_if_unused()
    assert sh(command, "-S") == rules and host_state() == before
    if command == "iptables-legacy":
        for words in ("-P FORWARD ACCEPT", "-F", "-X"):
            sh(command, *words.split())


def firewalld_like(directory) -> None:
    """The chains of firewalld 1.3 that decide about our packets, and a firewall-cmd that changes them as the real one
    does.

    (The real one would take over the firewall of the machine on which it is installed.)
    """
    sh(
        "nft",
        """add table inet firewalld
        add chain inet firewalld filter_FORWARD { type filter hook forward priority filter + 10; policy accept; }
        add chain inet firewalld filter_FORWARD_ZONES
        add chain inet firewalld filter_INPUT_ZONES
        add chain inet firewalld filter_FWD_trusted
        add chain inet firewalld filter_IN_trusted
        add rule inet firewalld filter_FWD_trusted accept
        add rule inet firewalld filter_FORWARD ct state { established, related } accept
        add rule inet firewalld filter_FORWARD ct status dnat accept
        add rule inet firewalld filter_FORWARD jump filter_FORWARD_ZONES
        add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited""",
    )
    command = directory / "firewall-cmd"
    command.write_text("""#!/bin/sh
        [ "$1" = --zone=trusted ] || exit 2
        interface=${2#*=}
        case $2 in
        --change-interface=*)
            nft add rule inet firewalld filter_FORWARD_ZONES iifname "$interface" goto filter_FWD_trusted
            nft add rule inet firewalld filter_INPUT_ZONES iifname "$interface" goto filter_IN_trusted ;;
        --remove-interface=*)
            nft flush chain inet firewalld filter_FORWARD_ZONES
            nft flush chain inet firewalld filter_INPUT_ZONES ;;
        esac\n""")
    command.chmod(0o755)


def test_firewalld_takes_the_bridge_into_its_zone_trusted(world, host, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    firewalld_like(tmp_path)
    before = host_state()
    net = network.Network()
    one, two = Container(net), Container(net)
    assert reach(one, world, WORLD) == HOST and reach(one, two, two.address) == one.address
    rules = sh("nft", "list", "table", "inet", "firewalld")
    net.ensure_bridge()
    assert sh("nft", "list", "table", "inet", "firewalld") == rules and rules.count("minict0") == 2
    sh("firewall-cmd", "--zone=trusted", "--remove-interface=minict0")
    assert unreachable(one, world, WORLD)
    (tmp_path / "firewall-cmd").write_text("#!/bin/sh\necho INVALID_ZONE >&2; exit 1\n")
    assert "INVALID_ZONE" in refusal(net.ensure_bridge)
    sh("nft", 'add rule inet firewalld filter_INPUT_ZONES iifname "minict0" goto filter_IN_trusted')
    net.ensure_bridge()  # an administrator has put it into a zone
    sh("nft", "flush chain inet firewalld filter_INPUT_ZONES")
    one.end()
    two.end()
    assert net.remove_bridge_if_unused() and host_state() == before


def test_our_rules_are_found_again_after_others_saved_and_restored_theirs(container, net, host):
    docker_like()
    before = sh("iptables", "-S")
    net.ensure_bridge()
    subprocess.run(["iptables-restore"], input=sh("iptables-save"), text=True, check=True)
    with_ours = sh("iptables", "-S")
    net.ensure_bridge()
    assert sh("iptables", "-S") == with_ours != before
    assert net.remove_bridge_if_unused()
    assert sh("iptables", "-S") == before
    sh("nft", "delete", "table", "ip", "filter")


def test_an_administrators_own_rules_about_the_bridge_are_neither_counted_nor_removed(net, host):
    docker_like()
    own = ("-A DOCKER-USER -i minict0 -p tcp -m tcp --dport 25 -j ACCEPT", "-A DOCKER-USER -o minict0 -j DROP")
    for words in own:
        sh("iptables", *words.split())
    net.ensure_bridge()
    assert sum("minict0" in line for line in sh("iptables", "-S", "DOCKER-USER").splitlines()) == 4
    assert net.remove_bridge_if_unused()
    assert [line for line in sh("iptables", "-S", "DOCKER-USER").splitlines() if "minict0" in line] == list(own)
    sh("nft", "delete", "table", "ip", "filter")


def test_a_foreign_table_is_left_alone(host, world):
    sh(
        "nft",
        "add table inet foreign; add chain inet foreign forward { type filter hook forward priority -5; };"
        "add rule inet foreign forward tcp dport 4001 drop; add rule inet foreign forward tcp dport 4000 accept",
    )
    before, foreign = host_state(), sh("nft", "-a", "list", "table", "inet", "foreign")
    net = network.Network()
    one = Container(net)
    assert reach(one, world, WORLD) == HOST
    assert unreachable(one, world, WORLD, 4001)
    assert sh("nft", "-a", "list", "table", "inet", "foreign") == foreign
    one.end()
    assert net.remove_bridge_if_unused() and host_state() == before


def test_flushed_rules_are_back_for_the_next_container(container, world):
    one = container()
    sh("nft", "flush", "ruleset")
    assert unreachable(one, world, WORLD)
    two = container()
    assert reach(two, world, WORLD) == HOST and reach(one, world, WORLD) == HOST


def test_a_chain_that_lost_a_rule_is_repaired(net):
    net.ensure_bridge()
    whole = sh("nft", "list", "table", "inet", "minict")
    sh("nft", "flush", "chain", "inet", "minict", "postrouting-minict0")
    net.ensure_bridge()
    assert sh("nft", "list", "table", "inet", "minict") == whole


# ---- the end ---------------------------------------------------------------------------------------------------


def test_a_bridge_in_use_is_not_removed(container, net):
    one = container()
    assert not net.remove_bridge_if_unused()
    assert "minict0" in sh("ip", "link") and "minict" in sh("nft", "list", "tables")
    one.end()
    assert net.remove_bridge_if_unused()
    assert "minict0" not in sh("ip", "link") and "minict" not in sh("nft", "list", "tables")
    assert not net.remove_bridge_if_unused()  # nothing to do is not an error


def test_a_bridge_goes_before_the_kernel_has_taken_the_namespaces_of_its_containers_apart(container, net):
    """The kernel does that some time after the container's end, once the last process has left the namespace."""
    one, two = container(), container()
    namespace = os.open(f"/proc/{one.pid}/ns/net", os.O_RDONLY)
    Machine.end(one)
    two.end()
    ipam.release(net.key, one.id)
    assert network.host_end(one.id) in sh("ip", "link")
    assert net.remove_bridge_if_unused()
    assert "minict0" not in sh("ip", "link") and network.host_end(one.id) not in sh("ip", "link")
    os.close(namespace)


def test_a_bridge_with_a_foreign_port_is_not_removed(net, host):
    net.ensure_bridge()
    sh("ip", "link", "add", "stranger", "type", "veth", "peer", "name", "stranger-end")
    sh("ip", "link", "set", "stranger", "master", "minict0")
    assert not net.remove_bridge_if_unused() and "minict0" in sh("ip", "link")
    sh("ip", "link", "del", "stranger")


def forwarding() -> str:
    with open("/proc/sys/net/ipv4/ip_forward") as file:
        return file.read().strip()


def test_forwarding_is_switched_on_and_back_off(net):
    net.ensure_bridge()
    net.ensure_bridge()
    assert forwarding() == "1"
    assert net.remove_bridge_if_unused() and forwarding() == "0"


def test_forwarding_that_was_on_stays_on(host):
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write("1")
    net = network.Network()
    net.ensure_bridge()
    assert net.remove_bridge_if_unused() and forwarding() == "1"


def test_forwarding_stays_on_for_a_bridge_that_came_later(host):
    net = network.Network()
    net.ensure_bridge()
    sh("ip", "link", "add", "docker0", "type", "bridge")
    assert net.remove_bridge_if_unused() and forwarding() == "1"


def test_two_networks_live_beside_each_other(host, world):
    before = host_state()
    one = network.Network("one", "br-one", ipam.Subnet("10.1.0.0/24"))
    two = network.Network("two", "br-two", ipam.Subnet("10.2.0.0/24"))
    a, b = Container(one), Container(two)
    assert (a.address, b.address) == ("10.1.0.2", "10.2.0.2")
    assert reach(a, world, WORLD) == reach(b, world, WORLD) == HOST
    assert unreachable(a, b, b.address) and unreachable(b, a, a.address)
    a.end()
    assert one.remove_bridge_if_unused() and forwarding() == "1"
    assert reach(b, world, WORLD) == HOST
    b.end()
    assert two.remove_bridge_if_unused() and host_state() == before


def test_undo_releases_everything_in_the_ledger_of_a_running_container_and_may_be_repeated(container, net):
    one = container()
    assert network.host_end(one.id) in sh("ip", "link")
    for _ in range(2):
        for kind, value in one.ledger:
            network.undo(kind, value)
        assert network.host_end(one.id) not in sh("ip", "link") and ipam.holders("bridge") == {}
    assert "eth0" not in one.sh("ip", "link")


def test_the_ledger_names_the_container_before_anything_is_taken(net):
    assert net.ledger("0123456789ab") == [["address", "bridge/0123456789ab"], ["veth", "veth01234567"]]
    assert not os.path.exists(ipam.network_state("bridge"))


# ---- many at once, notebooks, killed makers ------------------------------------------------------------------------


def test_eight_processes_at_once_make_one_bridge_and_eight_connected_containers(world, net, host):
    machines = [Machine() for _ in range(8)]
    ids = [f"{number:08x}beef" for number in range(8)]
    gate, open_gate = os.pipe()
    children = []
    for machine, id in zip(machines, ids):
        os.makedirs(paths.container_state(id))
        pid = os.fork()
        if pid == 0:
            try:
                os.close(open_gate)
                os.read(gate, 1)
                ip = net.reserve(id)
                net.ensure_bridge()
                net.add_interface(id, machine.pid, ip)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    os.close(gate)
    os.close(open_gate)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 8
    held = ipam.holders("bridge")
    assert len(held) == 8
    for ip, id in held.items():
        assert reach(machines[ids.index(id)], world, WORLD) == HOST
        assert reach(host, machines[ids.index(id)], ip) == net.gateway
    for machine, id in zip(machines, ids):
        machine.end()
        ipam.release(net.key, id)


def test_it_works_where_an_event_loop_runs_as_in_a_notebook(world, net):
    async def cell():
        one = Container(net)
        try:
            return reach(one, world, WORLD)
        finally:
            one.end()

    assert asyncio.run(cell()) == HOST


def test_no_thread_no_descriptor_and_no_other_namespace_is_left_in_the_caller(container, host):
    container()  # libraries open what they keep open

    def own():
        return os.listdir("/proc/self/task"), len(os.listdir("/proc/self/fd")), os.readlink("/proc/self/ns/net")

    before = own()
    container()
    assert own() == before


def die_at_line(number: int, function) -> None:
    """Call *function*; this process is killed when it comes to the *number*-th distinct line of the network's
    modules."""
    modules = {
        f"{os.path.dirname(network.__file__)}/{name}.py"
        for name in (
            "bridge",
            "store",
            "options",
            "ipam",
            "firewall",
            "nftables",
            "portmapper",
            "sandbox",
            "endpoints",
            "connect",
            "dns",
        )
    }
    seen = set()

    def trace(frame, event, argument):
        if frame.f_code.co_filename not in modules:
            return None
        if event == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
            if len(seen) == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
    function()
    sys.settrace(None)
    threading.settrace(None)


def test_undo_and_prune_clean_up_after_a_creator_killed_at_any_line(host):
    docker_like()
    net, machine, id = network.Network(), Machine(), "0123456789ab"
    before, ledger = host_state(), net.ledger(id)

    def make():
        ip = net.reserve(id)
        net.ensure_bridge()
        net.add_interface(id, machine.pid, ip)

    def clean_up():
        for kind, value in ledger:
            network.undo(kind, value)
        net.remove_bridge_if_unused()
        assert host_state() == before and not os.path.exists(f"{paths.run_root()}/networks")
        machine.end()

    os.makedirs(paths.container_state(id))
    number = 1
    while exit_code(die_at_line, number, make) == -signal.SIGKILL:
        clean_up()
        machine, number = Machine(), number + 1
    assert number > 100 and ipam.holders("bridge") and "eth0" in machine.sh("ip", "link")  # the last one came through
    clean_up()


def test_the_next_removal_completes_one_killed_at_any_line(host):
    docker_like()
    net, id = network.Network(), "0123456789ab"
    before = host_state()

    def make():
        net.reserve(id)
        net.ensure_bridge()
        ipam.release("bridge", id)

    make()
    number = 1
    while exit_code(die_at_line, number, net.remove_bridge_if_unused) == -signal.SIGKILL:
        net.remove_bridge_if_unused()
        assert host_state() == before and not os.path.exists(f"{paths.run_root()}/networks"), number
        make()
        number += 1
    assert number > 70 and host_state() == before


# ---- what can't be, in one sentence ------------------------------------------------------------------------------


def refusal(function, *arguments) -> str:
    with pytest.raises(ContainerError) as caught:
        function(*arguments)
    assert caught.value.status == 125 and "\n" not in str(caught.value)
    return str(caught.value)


def test_the_default_network_keeps_out_of_the_way_of_the_hosts_routes(world, host):
    sh("ip", "route", "add", "10.210.0.0/16", "via", WORLD)  # inside a container of minict
    moved = network.Network()
    moved.ensure_bridge()
    assert str(moved.subnet) == "172.16.210.0/24" and "172.16.210.1/24" in sh("ip", "address", "show", "minict0")
    sh("ip", "route", "del", "10.210.0.0/16")
    assert str(network.Network().subnet) == "172.16.210.0/24"  # as long as the bridge is there
    assert moved.remove_bridge()
    assert str(network.Network().subnet) == "10.210.0.0/16"


def test_a_subnet_that_the_host_uses_is_refused_with_a_free_one(world, host, monkeypatch):
    monkeypatch.setenv("MINICT_SUBNET", "10.210.0.0/16")
    before = host_state()
    sh("ip", "route", "add", "10.0.0.0/8", "via", WORLD)  # a VPN of a large company
    text = refusal(network.Network().ensure_bridge)
    assert "10.210.0.0/16" in text and "uplink0" in text and "MINICT_SUBNET" in text and "172.16.210.0/24" in text
    sh("ip", "route", "del", "10.0.0.0/8")
    assert host_state() == before


def test_a_default_route_does_not_overlap(world, net):
    net.ensure_bridge()


def test_an_interface_of_that_name_that_is_not_a_bridge_is_refused(host):
    sh("ip", "link", "add", "minict0", "type", "veth", "peer", "name", "minict0-end")
    assert "is not a bridge" in refusal(network.Network().ensure_bridge)


def test_a_bridge_with_another_address_is_refused(net, monkeypatch):
    net.ensure_bridge()
    monkeypatch.setenv("MINICT_SUBNET", "10.33.0.0/16")
    text = refusal(network.Network().ensure_bridge)
    assert "10.210.0.1" in text and "minict prune" in text


@pytest.mark.parametrize("name", ["sixteen-letters-", "a b", "a/b", "a;b", 'a"b', "."])
def test_an_invalid_name_of_a_bridge_is_refused(host, monkeypatch, name):
    monkeypatch.setenv("MINICT_BRIDGE", name)
    assert "MINICT_BRIDGE" in refusal(network.Network)


def test_a_container_that_has_ended_is_an_error(container, net):
    one = container(connect=False)
    pid, id, ip = one.pid, one.id, one.address
    one.end()
    assert "ended before" in refusal(net.add_interface, id, pid, ip)


def test_a_process_of_the_hosts_namespace_gets_no_eth0(net):
    net.ensure_bridge()
    assert "host's network namespace" in refusal(net.add_interface, "0123456789ab", os.getpid(), "10.210.0.2")


def test_the_next_run_waits_while_the_kernel_removes_the_last_cable(container, net):
    one, world = container(), Machine()
    try:
        net.add_interface(one.id, world.pid, "10.210.0.9")  # the same name, for another namespace
        assert "10.210.0.9" in world.sh("ip", "address") and "eth0" not in one.sh("ip", "link")
    finally:
        world.end()


def test_an_unknown_network_is_refused():
    assert "nonesuch" in refusal(Sandbox, ContainerOptions(network="nonesuch"), "0123456789ab", "web")


def test_forwarding_that_cannot_be_switched_on_is_an_error(host):
    def on_a_host_with_read_only_settings():
        from minict.kernel import mount

        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
        mount.mount("/proc/sys", "/proc/sys", None, mount.MS_BIND)
        mount.mount(None, "/proc/sys", None, mount.MS_REMOUNT | mount.MS_BIND | mount.MS_RDONLY)
        return refusal(network.Network().ensure_bridge)

    assert "ip_forward" in forked(on_a_host_with_read_only_settings)


# ---- nftables ----------------------------------------------------------------------------------------------------


def test_a_transaction_is_carried_out_as_a_whole_or_not_at_all(host):
    text = refusal(nftables.apply, "add table inet t\nadd chain inet t c\nadd rule inet nonesuch c accept\n")
    assert "No such file or directory" in text and "nft list ruleset" in text
    assert sh("nft", "list", "ruleset") == ""
    nftables.apply("add table inet t\nadd chain inet t c\n")
    assert "chain c" in sh("nft", "list", "ruleset")


def test_a_missing_object_has_an_empty_listing(host):
    assert nftables.listing("list table inet nonesuch") == ""


def test_without_the_library_the_command_does_the_same(container, world, net, monkeypatch):
    monkeypatch.setattr(nftables, "_LIBRARY", "libnftables-that-is-not-installed.so")
    monkeypatch.setattr(nftables, "_loaded", None)
    one = container()
    assert reach(one, world, WORLD) == HOST
    assert "nonesuch" in refusal(nftables.apply, "add rule inet nonesuch c accept")
    one.end()
    assert net.remove_bridge_if_unused() and sh("nft", "list", "ruleset") == ""


def test_with_neither_the_remedy_is_named(host, monkeypatch):
    monkeypatch.setattr(nftables, "_LIBRARY", "libnftables-that-is-not-installed.so")
    monkeypatch.setattr(nftables, "_loaded", None)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "install the package nftables" in refusal(nftables.apply, "add table inet t")


# ---- lo alone ----------------------------------------------------------------------------------------------------


def test_loopback_up_lets_a_process_talk_to_itself():
    def alone():
        namespaces.unshare(namespaces.CLONE_NEWNET)
        before = unreachable(Here, Here, "127.0.0.1"), len(os.listdir("/proc/self/fd"))
        kernel_network.loopback_up()
        return before, (reach(Here, Here, "127.0.0.1") != "127.0.0.1", len(os.listdir("/proc/self/fd")))

    (off_before, fds_before), (off_after, fds_after) = forked(alone)
    assert (off_before, off_after) == (True, False) and fds_before == fds_after


def test_loopback_up_needs_the_capability():
    def powerless():
        namespaces.unshare(namespaces.CLONE_NEWNET)
        os.setgid(65534)
        os.setuid(65534)
        try:
            kernel_network.loopback_up()
        except PermissionError as error:
            return str(error)

    assert "ioctl" in forked(powerless) and "lo" in forked(powerless)
