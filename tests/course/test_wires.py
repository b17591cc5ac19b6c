"""The pictures of chapter 09 show what the kernel has: cables, switches, who reaches whom, and each way to fail."""

from __future__ import annotations

import os
import signal
import socket
import sys

import pytest
from pyroute2 import IPRoute

from minict.kernel.namespaces import CLONE_NEWNET, inside, unshare
from minict.kernel.network import loopback_up
from minict.lab import wires
from minict.lab.scenarios import ch09
from minict.lab.switch import plug
from minict.runtime.process import spawn
from tests.support.in_child import forked
from tests.support.notebook_kernel import Kernel


def place() -> int:
    """The number of a process in a network namespace of its own, whose loopback is up."""
    ready, told = os.pipe()

    def live():
        unshare(CLONE_NEWNET)
        loopback_up()
        os.write(told, b"!")
        signal.pause()

    pid = spawn(live)
    os.read(ready, 1)
    for descriptor in (ready, told):
        os.close(descriptor)
    return pid


@pytest.fixture
def places():
    """A host with a switch, and two guests; a server listens on port 80 of the first guest."""
    pids = {name: place() for name in ("host", "one", "two")}

    def wire_up():
        namespace = os.open(f"/proc/{pids['host']}/ns/net", os.O_RDONLY)
        with inside(namespace):
            with IPRoute() as host:
                host.link("add", ifname="switch", kind="bridge")
                switch = host.link_lookup(ifname="switch")[0]
                host.addr("add", index=switch, address="10.9.0.1", prefixlen=24)
                host.link("set", index=switch, state="up")
            plug(pids["one"], "cable1", "10.9.0.2")
            plug(pids["two"], "cable2", "10.9.0.3")

    forked(wire_up)
    with wires.look({"one": pids["one"]}) as (one,), inside(one.fd):
        server = socket.create_server(("0.0.0.0", 80))
    yield pids
    server.close()
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_map_has_the_cables_and_the_switch(places):
    words = repr(wires.network_map(places))
    assert words == (
        "[Picture: the network namespaces host, one, two; cables between host and one through a switch; host and two "
        "through a switch]"
    )
    assert wires.interfaces(places["two"]) == ["lo: on, 127.0.0.1/8", "eth0: on, 10.9.0.3/24"]
    assert "no cable between them" in repr(wires.network_map({"one": places["one"], "two": places["two"]}))


def test_a_map_has_cables_without_a_host_and_pairs_at_home():
    one, two = place(), place()
    try:

        def tie():
            with IPRoute(netns=f"/proc/{one}/ns/net") as first:
                first.link("add", ifname="can", kind="veth", peer={"ifname": "can", "net_ns_pid": two})
                first.link("add", ifname="left", kind="veth", peer="right")

        forked(tie)
        words = repr(wires.network_map({"one": one, "two": two}))
        assert "one and two, switched off" in words and "one and one, switched off" in words
        assert "two and one" not in words
        words = repr(wires.network_map({"host": None, "one": one, "two": two}))
        assert "one and two, switched off" in words
    finally:
        for pid in (one, two):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_each_way_to_fail_has_its_word(places):
    with wires.look(places) as (_, one, two):
        ways = {
            "a server": (two.fd, "10.9.0.2"),
            "no server": (one.fd, "10.9.0.3"),
            "nobody": (one.fd, "10.9.0.77"),
            "no route": (one.fd, "203.0.113.9"),
        }
        assert list(wires.knock_all(ways).values()) == ["connected", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"]
        with IPRoute(netns=f"/proc/{places['two']}/ns/net") as guest:
            guest.link("set", index=1, state="down")
        assert wires.knock_all({"itself, without lo": (two.fd, "10.9.0.3")}, seconds=1) == {
            "itself, without lo": "time-out"
        }


def test_a_pulled_cable_takes_its_place_away_from_all_others(places):
    pulled = wires.pull_cables(places)
    assert pulled.names == ["none", "one", "two"]
    for name in pulled.names:
        for (here, there), answer in pulled.answers[name].items():
            reached = here == there or name not in (here, there)
            assert answer == (("connected" if there == "one" else "ECONNREFUSED") if reached else "EHOSTUNREACH")
        assert pulled.draw(name).startswith("<svg") and pulled.draw(name).count("EHOSTUNREACH") == (name != "none") * 4
        assert ("switched off" in repr(pulled.picture(name))) is (name != "none")
    assert "switched off" not in repr(wires.network_map(places)), "all cables are on again"
    assert "two: host ECONNREFUSED, one connected, two ECONNREFUSED" in repr(wires.reach_map(places))


def test_a_message_is_shown_with_its_padding(monkeypatch):
    shown = []
    monkeypatch.setattr(wires._Sheet, "text", lambda self, x, y, words, *_, **__: shown.append(words))
    body = bytes(16) + wires.attribute(3, "switch") + wires.attribute(18, wires.attribute(1, "bridge"))
    wires.message_map(wires._HEADER.pack(16 + len(body), 16, 0x605, 1, 0) + body)
    assert shown.count("1 of padding: the next attribute begins at a multiple of 4") == 2
    assert "attribute: length 11, kind 3 IFLA_IFNAME" in shown and "73 s" in shown
    assert "attribute in it: length 11, kind 1 IFLA_INFO_KIND" in shown


@pytest.mark.parametrize("fault", ch09.FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_each_fault_of_the_shop_is_repaired_by_the_solution(fault, tiny):
    judge, task = sys.modules["minict.lab.scenario"].judge, sys.modules["minict.lab.scenario"].find("parted")
    shop = ch09.start(fault)
    try:
        assert "still fails" in judge(task, shop)
        ch09.repair(shop)
        assert judge(task, shop) == ""
    finally:
        ch09.end(shop)


def test_the_answers_of_chapter_09_carry_the_network_of_a_container(tiny):
    """minict.run() sends its messages to the kernel through the learner's functions."""
    tasks = sys.modules["minict.lab.exercise"].exercises()
    with Kernel() as kernel:
        kernel.run("import struct, minict\ncalls = []")
        for id in ("net-1", "net-3"):
            first, rest = tasks[id].solution.split('"""', 1)
            docstring, body = rest.split('"""', 1)
            source = f'{first}"""{docstring}"""\n    calls.append("{id}"){body}'
            assert "From here on minict uses YOUR" in kernel.run(f'@exercise("{id}")\n{source}')
        kernel.run("calls.clear()")
        assert "eth0" in kernel.run('minict.run("tiny", "ip address")')
        assert "{'net-1', 'net-3'}" in kernel.run("set(calls)")
        kernel.run("minict.prune()")
