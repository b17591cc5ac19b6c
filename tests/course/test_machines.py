"""The three machines of chapter 10, and the recorded way of a packet: what the notebook shows, asked of the kernel."""

from __future__ import annotations

import os
import threading

import pytest

from minict.lab import packets
from minict.lab.machines import three_machines
from minict.runtime.errors import ContainerError
from tests.support.notebook_kernel import Kernel

CHAINS = """
    add table ip lab
    add chain ip lab postrouting { type nat hook postrouting priority srcnat; }
    add chain ip lab prerouting { type nat hook prerouting priority dstnat; }
    add chain ip lab output { type nat hook output priority -100; }
"""
TO_BOX = "fib daddr type local tcp dport 8080 dnat to 10.99.0.2:80"


@pytest.fixture
def machines():
    made = three_machines()
    yield made
    for machine in made:
        machine.close()


def ways_in(world, host, box) -> list[str]:
    """What the world, the host at its address, the host at localhost, and the box get at port 8080."""
    return [
        world.call(host.address, 8080),
        host.call(host.address, 8080),
        host.call("127.0.0.1", 8080),
        box.call(host.address, 8080),
    ]


def test_the_way_out_takes_a_route_forwarding_and_a_known_sender(machines):
    world, host, box = machines
    world.serve(80)
    assert host.call(world.address) == "world sees 203.0.113.1"
    assert box.call(world.address) == "no route"
    box.do("ip route add default via 10.99.0.1")
    world.listen()
    assert (host.setting("net.ipv4.ip_forward"), box.call(world.address), world.heard()) == (0, "silence", [])
    assert host.setting("net.ipv4.ip_forward", 1) == 1
    assert (box.call(world.address), world.heard()) == ("silence", ["10.99.0.2 → 80"])
    host.nft(CHAINS + 'add rule ip lab postrouting ip saddr 10.99.0.0/24 oifname != "br0" masquerade')
    assert box.call(world.address) == "world sees 203.0.113.1"


@pytest.fixture
def ladder(machines):
    """The machines with forwarding, routes and empty chains, and a server in the box."""
    _, host, box = machines
    box.do("ip route add default via 10.99.0.1")
    host.setting("net.ipv4.ip_forward", 1)
    host.nft(CHAINS)
    box.serve(80)
    return machines


def test_each_rung_of_the_way_in_lets_one_more_caller_in(ladder):
    _, host, box = ladder
    from_outside, own = "box sees 203.0.113.9", "box sees 203.0.113.1"
    assert ways_in(*ladder) == ["refused"] * 4
    host.nft(f"add rule ip lab prerouting {TO_BOX}")
    assert ways_in(*ladder) == [from_outside, "refused", "refused", "silence"]
    host.nft(f"add rule ip lab output {TO_BOX}")
    box.listen()
    assert ways_in(*ladder)[:3] == [from_outside, own, "silence"]
    assert box.heard() == ["10.99.0.2 → 80", "203.0.113.1 → 80", "203.0.113.9 → 80"]
    host.setting("net.ipv4.conf.br0.route_localnet", 1)
    assert ways_in(*ladder)[:3] == [from_outside, own, "silence"]
    assert "127.0.0.1 → 80" in box.heard()  # it comes in, and the box drops it
    host.nft('add rule ip lab postrouting ip saddr 127.0.0.0/8 oifname "br0" masquerade')
    assert ways_in(*ladder) == [from_outside, own, "box sees 10.99.0.1", "silence"]
    host.nft('add rule ip lab postrouting ip saddr 10.99.0.0/24 oifname "br0" ct status dnat masquerade')
    assert ways_in(*ladder) == [from_outside, own, "box sees 10.99.0.1", "box sees 10.99.0.1"]


def test_an_open_line_survives_its_rule_and_not_the_table(ladder):
    world, host, _ = ladder
    host.nft('add rule ip lab postrouting ip saddr 10.99.0.0/24 oifname != "br0" masquerade')  # needs the same tracking
    host.nft(f"add rule ip lab prerouting {TO_BOX}")
    with world.open(host.address, 8080) as line:
        assert (repr(line), line.ask("one")) == ("box sees 203.0.113.9", "box heard one")
        host.nft("flush chain ip lab prerouting")
        assert (world.call(host.address, 8080), line.ask("two")) == ("refused", "box heard two")
        host.serve(8080)
        assert world.call(host.address, 8080) == "host sees 203.0.113.9"
        host.nft(f"add rule ip lab prerouting {TO_BOX}")
        assert world.call(host.address, 8080) == "box sees 203.0.113.9"
        host.nft("delete table ip lab")
        assert line.ask("three") == "reset"


def test_what_the_witnesses_of_a_packet_write_down(ladder):
    world, host, box = ladder
    world.serve(80)
    host.setting("net.ipv4.conf.br0.route_localnet", 1)
    host.nft(f"""
        add rule ip lab prerouting {TO_BOX}
        add rule ip lab output {TO_BOX}
        add rule ip lab postrouting ip saddr 10.99.0.0/24 oifname != "br0" masquerade
        add rule ip lab postrouting ip saddr 127.0.0.0/8 oifname "br0" masquerade
    """)
    ways = packets.record(
        host,
        {
            "out": lambda: box.call(world.address),
            "in": lambda: world.call(host.address, 8080),
            "own": lambda: host.call("127.0.0.1", 8080),
            "to the host": lambda: world.call(host.address, 99),
        },
    )
    told = {way.title: [(stop.hook, stop.before != stop.after) for stop in way.stops] for way in ways}
    assert told == {
        "out": [("prerouting", False), ("forward", False), ("postrouting", True)],
        "in": [("prerouting", True), ("forward", False), ("postrouting", False)],
        "own": [("output", True), ("postrouting", True)],
        "to the host": [("prerouting", False), ("input", False)],
    }
    assert [way.answer for way in ways][2:] == ["box sees 10.99.0.1", "refused"]
    assert "output 127.0.0.1 → 10.99.0.2:80 · postrouting 10.99.0.1 → 10.99.0.2:80" in repr(ways.picture())
    drawn = [ways.draw(step) for step in range(len(ways))]
    assert len(drawn) == 10 and all(each.startswith("<svg") for each in drawn) and "line-through" in drawn[2]
    assert host.rules("inet witness") == ""


def test_names_and_who_can_ask_for_them(ladder):
    world, host, box = ladder
    for machine, address in ((host, "10.99.0.1"), (host, "127.0.0.53")):
        machine.serve_names({"shop.example": world.address}, address)
    assert box.look_up("shop.example", "10.99.0.1") == world.address
    assert box.look_up("other.example", "10.99.0.1") == "no such name"
    assert host.look_up("shop.example", "127.0.0.53") == world.address
    assert box.look_up("shop.example", "127.0.0.53") == "refused"
    assert box.look_up("shop.example", "2001:db8::53") == "no route"


def test_errors_name_what_was_asked(machines):
    _, host, box = machines
    with pytest.raises(RuntimeError, match="on box: ip route add default via 192.0.2.1: ."):
        box.do("ip route add default via 192.0.2.1")
    with pytest.raises(ContainerError, match="syntax error"):
        host.nft("add nonsense")
    with pytest.raises(PermissionError if os.geteuid() else FileNotFoundError):
        host.setting("net.ipv4.conf.no-such-interface.forwarding")


def test_nothing_is_the_machines_own_and_nothing_stays():
    before = (os.readlink("/proc/thread-self/ns/net"), len(os.listdir("/proc/self/fd")), threading.active_count())
    made = three_machines(boxes=2)
    for machine in made:
        machine.serve(80)
        machine.serve(80)  # a cell that is run twice
        assert machine.setting("net.ipv4.ip_unprivileged_port_start") >= 0
    assert made[2].call(made[3].address) == "box2 sees 10.99.0.2"
    for machine in made:
        machine.close()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(30)
    assert before[0] == os.readlink("/proc/thread-self/ns/net")
    assert before[1:] == (len(os.listdir("/proc/self/fd")), threading.active_count())


def test_in_a_notebook_the_machines_need_no_child():
    with Kernel() as kernel:
        kernel.run("from minict.lab.machines import three_machines")
        kernel.run("world, host, box = three_machines()\nworld.serve(80)")
        assert kernel.run("host.call(world.address)") == "'world sees 203.0.113.1'\n"
