"""Published ports: which clients reach a container through a port of its host, and that this ends with the container.

The servers are sockets opened inside a real container's namespace, the clients in that of the world behind the host, of
the host itself, and of other containers.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading

import pytest

from minict.engine.containers.store import Record
from minict.engine.networks import portmapper, state
from minict.kernel import conntrack
from minict.kernel.netlink import Rtnetlink
from minict.runtime.errors import ContainerError
from tests.integration.networks.test_networks import Box, bare, boxes, done  # noqa: F401  fixtures
from tests.support.command_line import image, minict, refused, wait_until  # noqa: F401
from tests.support.network_world import (
    HOST,
    WORLD,
    Here,
    datagrams,
    reach,
    sh,
)

GATEWAY = "10.210.0.1"


def published(box: Box) -> dict:
    return state.network_settings(box.id)["Ports"]


def rules() -> str:
    return sh("nft", "list", "map", "inet", "minict", "ports") + sh("nft", "list", "map", "inet", "minict", "ports-at")


# ---- who reaches it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
def test_a_published_port_answers_from_everywhere_and_stops_with_the_container(boxes, world, udp):
    done("network", "create", "other")
    one, other, stranger = boxes("-p", f"8080:80/{'udp' if udp else 'tcp'}"), boxes(), boxes("--network", "other")
    inside = (one.ip, 80)

    def seen_from(client, address: str) -> str:
        return reach(client, one, address, 8080, inside, udp)

    assert seen_from(world, HOST) == WORLD  # the container sees the real client
    assert seen_from(Here, HOST) == HOST and seen_from(Here, GATEWAY) == GATEWAY
    assert seen_from(Here, "127.0.0.1") == seen_from(Here, "127.1.2.3") == GATEWAY
    assert seen_from(one, HOST) == GATEWAY == seen_from(one, GATEWAY)
    assert seen_from(other, HOST) == seen_from(other, GATEWAY) == GATEWAY
    assert seen_from(stranger, HOST) == GATEWAY  # its network hides it, as from all others outside
    one.end()
    if not udp:
        for client, address in ((world, HOST), (Here, "127.0.0.1"), (Here, HOST)):
            with pytest.raises(ConnectionRefusedError):
                client.do(lambda: socket.create_connection((address, 8080), timeout=3))
        with socket.create_server((HOST, 8080)):
            pass  # and the port is free again
    assert "8080" not in rules()


def test_a_port_at_one_address_is_reached_there_alone(boxes, world):
    one = boxes("-p", f"{HOST}:8080:80", "-p", "127.0.0.1:9090:90")
    assert reach(world, one, HOST, 8080, (one.ip, 80)) == WORLD and reach(Here, one, HOST, 8080, (one.ip, 80)) == HOST
    assert reach(Here, one, "127.0.0.1", 9090, (one.ip, 90)) == GATEWAY
    for client, address, port in ((Here, "127.0.0.1", 8080), (world, HOST, 9090), (Here, HOST, 9090)):
        with pytest.raises(ConnectionRefusedError):
            client.do(lambda: socket.create_connection((address, port), timeout=3))
    assert published(one) == {
        "80/tcp": [{"HostIp": HOST, "HostPort": "8080"}],
        "90/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9090"}],
    }


def test_the_hosts_own_loopback_stays_its_own(boxes, world):
    """CVE-2020-8558 and moby #45610: neither a container nor a machine on the host's link reaches the host's
    127.0.0.1."""
    one = boxes("-p", "127.0.0.1:9090:90", "-p", "8080:80")
    with (
        socket.create_server(("127.0.0.1", 7000)),
        one.do(lambda: socket.create_server((one.ip, 90))),
        one.do(lambda: socket.create_server((one.ip, 80))),
    ):
        for machine, router in ((one, GATEWAY), (world, HOST)):
            machine.do(lambda: crooked("eth0", router))
            assert [machine.do(lambda: answers(port)) for port in (7000, 9090, 8080)] == [False] * 3
            machine.do(lambda: socket.create_connection((HOST, 8080), timeout=3)).close()
        sh("nft", "flush", "chain", "inet", "minict", "loopback-minict0")
        assert not one.do(lambda: answers(7000)), "a flush of the rules opens the host's loopback"
        with Rtnetlink() as host:
            cables = [link.name for link in host.links() if link.name.startswith("veth")]
        for cable in cables:
            subprocess.run(["tc", "qdisc", "del", "dev", cable, "clsact"], capture_output=True)
        assert one.do(lambda: answers(7000)), "it was this filter that has kept it out"


def crooked(interface: str, router: str) -> None:
    """Make a machine send packets for 127.0.0.1 to the *router*, as any machine with raw sockets can."""
    with open(f"/proc/sys/net/ipv4/conf/{interface}/route_localnet", "w") as file:  # of the thread's own namespace
        file.write("1")
    sh("ip", "address", "del", "127.0.0.1/8", "dev", "lo")
    sh("ip", "route", "flush", "table", "local", "127.0.0.0/8")
    sh("ip", "route", "add", "127.0.0.0/8", "via", router, "dev", interface)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def test_the_bridge_passes_loopback_packets_only_as_long_as_a_port_needs_it(boxes):
    def switch() -> str:
        with open("/proc/sys/net/ipv4/conf/minict0/route_localnet") as file:
            return file.read().strip()

    one = boxes()
    assert switch() == "0"
    two, three = boxes("-p", "8080:80"), boxes("-p", "8081:80")
    assert switch() == "1"
    two.end()
    assert switch() == "1"
    three.end()
    assert switch() == "0" and one.pid


def test_it_works_beside_a_firewall_that_drops_what_is_forwarded(boxes, world):
    for words in ("-P FORWARD DROP", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER"):
        sh("iptables", *words.split())
    one = boxes("-p", "8080:80")
    assert reach(world, one, HOST, 8080, (one.ip, 80)) == WORLD and reach(one, one, HOST, 8080, (one.ip, 80)) == GATEWAY
    one.end()
    done("prune")
    sh("nft", "delete", "table", "ip", "filter")


def test_a_sender_of_datagrams_that_goes_on_is_heard_by_the_next_container(boxes, world):
    with datagrams(world) as sender, datagrams(Here) as near:

        def says(words: bytes, box: Box) -> list[bytes]:
            with datagrams(box, (box.ip, 53)) as listener:
                sender.sendto(words, (HOST, 5353))
                near.sendto(words, ("127.0.0.1", 5353))
                return [listener.recv(100) for _ in range(2)]

        one = boxes("-p", "5353:53/udp")
        assert says(b"first", one) == [b"first"] * 2
        one.end()
        for _ in range(3):  # now without a receiver: the kernel would remember that too
            sender.sendto(b"lost", (HOST, 5353))
            near.sendto(b"lost", ("127.0.0.1", 5353))
        two = boxes("-p", "5353:53/udp")
        assert two.ip != one.ip if one.pid else True
        assert says(b"second", two) == [b"second"] * 2


# ---- which ports -------------------------------------------------------------------------------------------------


def test_ports_of_the_kernels_choice_ranges_and_all_that_are_exposed(boxes):
    one = boxes(
        "-p",
        "80",
        "-p",
        "127.0.0.1::81/udp",
        "-p",
        "7000-7002:90-92",
        "-p",
        "7001-7009:99",
        "-P",
        "--expose",
        "80",
        "--expose",
        "100-101/udp",
    )
    found = {inside: (each["HostIp"], int(each["HostPort"])) for inside, (each,) in published(one).items()}
    assert set(found) == {"80/tcp", "81/udp", "90/tcp", "91/tcp", "92/tcp", "99/tcp", "100/udp", "101/udp"}
    assert [found[f"{port}/tcp"][1] for port in (90, 91, 92, 99)] == [7000, 7001, 7002, 7003]
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low, high = map(int, file.read().split())
    assert (
        all(low <= found[port][1] <= high for port in ("80/tcp", "81/udp", "100/udp", "101/udp"))
        and found["81/udp"][0] == "127.0.0.1"
    )
    for inside, (address, outside) in found.items():
        number, protocol = inside.split("/")
        assert reach(Here, one, "127.0.0.1", outside, (one.ip, int(number)), protocol == "udp") == GATEWAY
    assert sorted(done("port", one.id).splitlines()) == sorted(
        f"{inside} -> {address}:{outside}" for inside, (address, outside) in found.items()
    )


def test_publish_all_publishes_the_images_ports(boxes, image):
    from minict.engine.containers.options import ContainerOptions
    from minict.engine.networks.sandbox import Sandbox

    network_sandbox = Sandbox(
        ContainerOptions(publish_all=True, publish="8080:80"),
        "0123456789ab",
        "web",
        {"80/tcp": {}, "443/tcp": {}, "53/udp": {}},
    )
    assert [repr(port) for port in network_sandbox.ports] == [
        "0.0.0.0:(8080, 8080)->80/tcp",
        "0.0.0.0:(0, 0)->443/tcp",
        "0.0.0.0:(0, 0)->53/udp",
    ]
    assert Sandbox(ContainerOptions(), "0123456789ab", "web", {"rubbish": {}}).ports == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "80:x",
        "0",
        "65536",
        "80:0:1:2",
        "8080:80/sctp",
        "[::]:80:80",
        "[::1]80:80",
        "[2001:db8::1]:80:80",
        "[::1]:1:80:80",
        "1.2.3:80:80",
        "80-79",
        "8000-8002:80-81",
        "1-501",
        "-1",
        "80-",
        "²",
        "8080:80/",
        ":",
        "1.2.3.4:80",
    ],
)
def test_an_invalid_port_is_refused_in_one_sentence(text):
    with pytest.raises(ContainerError, match="-p ") as refusal:
        portmapper.parse(text)
    assert "\n" not in str(refusal.value) and text in str(refusal.value)


def test_a_port_published_twice_is_refused(image, bare):
    for flags in (["-p", "80:1", "-p", "80:2"], ["-p", "80:1", "-p", "127.0.0.1:80:2"]):
        refused(minict("run", *flags, image, "true"), "80/tcp")


# ---- held --------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_refused_before_anything_is_made(boxes, image, world):
    one = boxes("-p", "8080:80", "-p", "8081:81/udp")
    before = rules()
    refused(
        minict("run", "--rm", "-p", "9999:1", "-p", "8080:80", image, "true"),
        "8080/tcp",
        f"container {one.id[:12]}:",
        "OTHER:80",
    )
    refused(minict("run", "--rm", "-p", "127.0.0.1:8081:80/udp", image, "true"), "8081/udp")
    with socket.create_server(("127.0.0.1", 7070)), datagrams(Here, ("0.0.0.0", 7071)):
        refused(minict("run", "--rm", "-p", "7070:80", image, "true"), "7070/tcp", "ss -lntup")
        refused(minict("run", "--rm", "-p", "7071:80/udp", image, "true"), "7071/udp")
        refused(minict("run", "--rm", "-p", "7070-7070:80", image, "true"), "7070")
    refused(minict("run", "--rm", "-p", "192.0.2.1:80:80", image, "true"), "192.0.2.1", "ip address")
    assert rules() == before and sh("ip", "-o", "link").count("veth") == 1
    done("run", "--rm", "-p", "7070:80", image, "true")


def test_no_other_process_can_take_the_port_and_tools_show_its_owner(boxes):
    one = boxes("-p", "8080:80", "-p", "8081:81/udp")
    for kind, port in ((socket.SOCK_STREAM, 8080), (socket.SOCK_DGRAM, 8081)):
        with socket.socket(socket.AF_INET, kind) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
                other.listen()
    shown = sh("ss", "-lntupH")
    assert shown.count(f"pid={Record.find(one.id).monitor},") == 4 and "0.0.0.0:8080" in shown and "[::1]:8080" in shown


def test_connections_left_by_an_ended_server_do_not_block_the_port(boxes, world):
    with socket.create_server((HOST, 8080)) as listener:
        client = world.do(lambda: socket.create_connection((HOST, 8080), timeout=3))
        incoming, _ = listener.accept()
        incoming.close()  # the end that closes first keeps the connection in TIME_WAIT
        client.close()
    wait_until(lambda: "TIME-WAIT" in sh("ss", "-tanH"))
    one = boxes("-p", "8080:80")
    assert reach(world, one, HOST, 8080, (one.ip, 80)) == WORLD


def test_the_same_port_serves_again_after_a_restart_and_by_policy(boxes, world):
    one = boxes("-p", "8080:80", "--restart", "always")
    for _ in range(2):
        before = one.pid
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: one.pid not in (None, before) and published(one))
        assert reach(world, one, HOST, 8080, (one.ip, 80)) == WORLD
    done("restart", "-t", "0", one.id)
    assert reach(world, one, HOST, 8080, (one.ip, 80)) == WORLD
    assert rules().count("8080") == 1


def test_after_a_killed_monitor_the_next_owner_of_the_port_gets_its_packets(boxes, world):
    one = boxes("-p", "8080:80")
    os.kill(Record.find(one.id).monitor, signal.SIGKILL)
    wait_until(lambda: one.pid is None)
    assert "8080" in rules(), "nobody was left to withdraw it"
    two = boxes("-p", "8080:80")
    assert reach(world, two, HOST, 8080, (two.ip, 80)) == WORLD
    done("prune")
    assert reach(world, two, HOST, 8080, (two.ip, 80)) == WORLD, "prune must not take what is another's by now"


def test_in_a_notebook_the_port_is_free_when_the_container_has_ended(image, bare, world):
    import minict as package

    one = package.run(image, "sleep 1000", detach=True, publish=["8080:80"])
    with pytest.raises(OSError):
        socket.create_server(("0.0.0.0", 8080))
    one.kill()
    one.wait()
    socket.create_server(("0.0.0.0", 8080)).close()


# ---- the kernel's memory -----------------------------------------------------------------------------------------


def test_only_the_conversations_of_the_port_are_forgotten(host):
    with datagrams(Here, ("127.0.0.1", 6000)), datagrams(Here) as sender:
        sh(
            "nft",
            "add table ip t; add chain ip t c { type nat hook output priority -100; }; add rule ip t c udp dport "
            "5000 redirect to :6000",
        )
        for port in (5000, 6000):
            for address in ("127.0.0.1", "127.0.0.2"):
                sender.sendto(b"x", (address, port))
        with conntrack.Conntrack() as memory:
            assert memory.forget(conntrack.IPPROTO_TCP, {5000}, lambda address: True) == 0
            assert memory.forget(conntrack.IPPROTO_UDP, {5000}, lambda address: address == bytes([127, 0, 0, 1])) == 1
            assert memory.forget(conntrack.IPPROTO_UDP, {5000}, lambda address: True) == 1
            assert memory.forget(conntrack.IPPROTO_UDP, {5000, 6000}, lambda address: True) == 2
    sh("nft", "delete", "table", "ip", "t")


def test_with_the_hosts_network_a_published_port_is_said_to_have_no_effect(image):
    done = minict("run", "--rm", "--network", "host", "-p", "80:80", image, "echo", "fine")
    assert (done.returncode, done.stdout) == (0, "fine\n") and "no effect" in done.stderr


# ---- [::1] -------------------------------------------------------------------------------------------------------


def at_v6(port: int, kind=socket.SOCK_STREAM) -> socket.socket:
    """A socket that is connected to a port of [::1] in the test's own namespace."""
    made = socket.socket(socket.AF_INET6, kind)
    made.settimeout(30)
    made.connect(("::1", port))
    return made


@pytest.mark.parametrize("flag", ["8080:80", "[::1]:8080:80"])
def test_a_connection_to_the_other_loopback_comes_through_whole(boxes, flag):
    one = boxes("-p", flag)
    size = 3_000_000
    with one.do(lambda: socket.create_server((one.ip, 80))) as listener:
        listener.settimeout(30)
        with at_v6(8080) as client:
            server, (source, _) = listener.accept()
            assert source == "10.210.0.1"
            with server:
                received = []
                reader = threading.Thread(target=lambda: received.append(read_to_the_end(server)))
                reader.start()
                client.sendall(b"q" * size)
                client.shutdown(socket.SHUT_WR)
                reader.join()
                assert len(received[0]) == size
                writer = threading.Thread(target=lambda: (server.sendall(b"a" * size), server.shutdown(socket.SHUT_WR)))
                writer.start()
                # also data that arrive after it has closed its sending side
                assert read_to_the_end(client) == b"a" * size
                writer.join()
    assert minict("port", one.id).stdout == f"80/tcp -> {'[::1]' if flag[0] == '[' else '0.0.0.0'}:8080\n"


def read_to_the_end(channel) -> bytes:
    channel.settimeout(30)
    data = b""
    while received := channel.recv(65536):
        data += received
    return data


def test_datagrams_too_and_each_sender_gets_its_own_answer(boxes):
    one = boxes("-p", "8080:80/udp")
    with datagrams(one, (one.ip, 80)) as listener:
        senders = [at_v6(8080, socket.SOCK_DGRAM) for _ in range(3)]
        for number, sender in enumerate(senders):
            sender.send(b"%d" % number)
        for _ in senders:
            words, client = listener.recvfrom(100)
            listener.sendto(words + b" heard", client)
        assert [sender.recv(100) for sender in senders] == [b"0 heard", b"1 heard", b"2 heard"]
        for sender in senders:
            sender.close()


def test_a_port_without_a_listener_refuses_and_a_taken_port_is_an_error(boxes, image):
    one = boxes("-p", "8080:80", "--name", "one")
    with at_v6(8080) as client:
        assert client.recv(1) == b""  # without a listener inside
    refused(minict("run", "--rm", "-p", "[::1]:8080:80", image, "true"), "8080/tcp")
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::1", 8081))
        other.listen()
        refused(minict("run", "--rm", "-p", "8081:80", image, "true"), "8081/tcp", "in use")
    done("restart", "-t", "0", "one")
    with one.do(lambda: socket.create_server((one.ip, 80))) as listener, at_v6(8080):
        listener.settimeout(30)
        listener.accept()[0].close()
    done("rm", "-f", "one")
    with pytest.raises(ConnectionRefusedError):
        at_v6(8080)


def test_a_port_of_one_address_is_not_at_the_other_loopback(boxes):
    boxes("-p", "127.0.0.1:8080:80")
    with pytest.raises(ConnectionRefusedError):
        at_v6(8080)
