"""The DNS server of user-defined networks: asked from inside real containers, by sockets that are opened in there.

The questions are made and the answers read by dnslib; the servers outside are real ones on a machine of their own.
"""

from __future__ import annotations

import os
import socket
import threading

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from minict.engine import api
from minict.engine.containers.store import Record
from minict.engine.networks import resolver, sandbox
from minict.runtime.state import State
from tests.integration.networks.test_networks import Box, bare, boxes, done  # noqa: F401
from tests.support.command_line import PATIENCE, image, minict, wait_until  # noqa: F401
from tests.support.network_world import HOST, WORLD, datagrams, host, world  # noqa: F401

SERVER = ("127.0.0.11", 53)


def ask(box: Box, name: str, kind: str = "A", tcp: bool = False, server: tuple = SERVER) -> DNSRecord:
    """Ask the container's server from inside, in a thread of this process."""
    query = DNSRecord.question(name, kind)
    return DNSRecord.parse(exchange(box, bytes(query.pack()), tcp, server))


def exchange(box: Box, query: bytes, tcp: bool = False, server: tuple = SERVER) -> bytes:
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with box.do(lambda: socket.socket(socket.AF_INET, kind)) as channel:
        channel.settimeout(30)
        channel.connect(server)
        if not tcp:
            channel.send(query)
            return channel.recv(65535)
        channel.sendall(len(query).to_bytes(2, "big") + query)
        return read_message(channel)


def read_message(channel) -> bytes:
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
        received = channel.recv(65536)
        assert received, "the server hung up"
        data += received
    return data[2:]


def ask_again(box: Box, name: str) -> list[str]:
    """The same as a program does: a question that is lost is asked again."""
    with box.do(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as channel:
        channel.settimeout(1)
        for _ in range(PATIENCE):
            channel.sendto(bytes(DNSRecord.question(name).pack()), SERVER)
            try:
                return found(DNSRecord.parse(channel.recv(65535)))
            except TimeoutError:
                pass
    raise AssertionError(f"no answer about {name}")


def found(answer: DNSRecord) -> list[str]:
    return [str(each.rdata) for each in answer.rr]


class Outside:
    """A DNS server on the *machine*, which knows all names of ``.example``, and records the queries, and how they
    came."""

    def __init__(self, machine, address: str = WORLD, rcode: int = 0):
        self.asked, self.rcode = [], rcode
        self.udp = machine.do(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.udp.bind((address, 53))
        self.tcp = machine.do(lambda: socket.create_server((address, 53)))
        for function in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=function, daemon=True).start()

    def answer(self, query: bytes, how: str) -> bytes:
        asked = DNSRecord.parse(query)
        self.asked.append((str(asked.q.qname), how))
        reply = asked.reply()
        reply.header.rcode = self.rcode
        if str(asked.q.qname).endswith(".example."):
            reply.add_answer(*(RR(asked.q.qname, QTYPE.A, rdata=A(f"192.0.2.{number}")) for number in range(1, 81)))
        elif not self.rcode:
            reply.header.rcode = RCODE.NXDOMAIN
        return bytes(reply.pack() if how == "tcp" or len(reply.pack()) < 512 else reply.truncate().pack())

    def _serve_udp(self) -> None:
        try:
            while True:
                query, client = self.udp.recvfrom(65535)
                if not query:  # the end, by shutdown
                    return
                self.udp.sendto(self.answer(query, "udp"), client)
        except OSError:
            pass

    def _serve_tcp(self) -> None:
        try:
            while True:
                channel, _ = self.tcp.accept()
                with channel:
                    reply = self.answer(read_message(channel), "tcp")
                    channel.sendall(len(reply).to_bytes(2, "big") + reply)
        except OSError:
            pass

    def close(self) -> None:
        for each in (self.udp, self.tcp):
            try:
                each.shutdown(socket.SHUT_RDWR)  # wakes its thread
            except OSError:
                pass
            each.close()


@pytest.fixture
def outside(world):
    made = []

    def make(*options, **more) -> Outside:
        made.append(Outside(*options, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("tcp", [False, True])
def test_a_container_is_found_by_udp_and_by_tcp(boxes, tcp):
    done("network", "create", "back")
    one, two = boxes("--network", "back", "--name", "one"), boxes("--network", "back", "--name", "two")
    answer = ask(one, "Two", tcp=tcp)
    assert (found(answer), answer.header.rcode, answer.header.ra, answer.header.qr) == ([two.ip], 0, 1, 1)
    assert answer.rr[0].ttl == resolver.TTL and str(answer.q.qname) == "Two."
    for kind in ("AAAA", "MX", "TXT"):  # its name is known, and it has nothing of that kind
        answer = ask(one, "two", kind, tcp=tcp)
        assert (found(answer), answer.header.rcode) == ([], 0), kind
    reverse = ".".join(reversed(two.ip.split("."))) + ".in-addr.arpa"
    assert found(ask(one, reverse, "PTR", tcp=tcp)) == ["two.back."]


def test_the_tools_of_an_image_find_a_container(boxes):
    done("network", "create", "back")
    one, two = boxes("--network", "back"), boxes("--network", "back", "--name", "two")
    assert two.ip in one.says("nslookup", "two").partition("Name:")[2]
    assert "two.back" in one.says("nslookup", two.ip)
    assert one.says("cat", "/etc/resolv.conf") == "options ndots:0\nnameserver 127.0.0.11"


def test_containers_that_share_an_alias_are_each_found_and_many_by_tcp(boxes):
    done("network", "create", "back")
    one = boxes("--network", "back")
    shared = {boxes("--network", "back", "--network-alias", "web").ip for _ in range(2)}
    assert set(found(ask(one, "web"))) == shared
    wait_until(lambda: found(ask(one, "web"))[0] == min(shared))  # now the one is the first, now the other
    wait_until(lambda: found(ask(one, "web"))[0] == max(shared))
    query = bytes(DNSRecord.question("web").pack())
    many = [f"10.9.{number}.1" for number in range(100)]
    short, whole = (
        DNSRecord.parse(resolver.local_answer(query, lambda name, kind: many, tcp)) for tcp in (False, True)
    )
    assert (short.header.tc, found(short)) == (1, []) and (whole.header.tc, found(whole)) == (0, many)


def test_other_names_are_forwarded_to_the_hosts_servers(boxes, world, outside):
    server = outside(world)
    done("network", "create", "back")
    one = boxes("--network", "back", "--dns", WORLD)
    assert ask(one, "www.example").header.tc == 1
    assert len(found(ask(one, "www.example", tcp=True))) == 80
    assert ask(one, "nobody.invalid").header.rcode == RCODE.NXDOMAIN
    assert server.asked == [("www.example.", "udp"), ("www.example.", "tcp"), ("nobody.invalid.", "udp")]
    assert one.knows("nobody") is None and one.knows(one.id[:12]) == one.ip


def test_the_next_server_is_asked_when_one_can_not_answer(boxes, world, outside):
    world.sh("ip", "address", "add", "198.51.100.3/24", "dev", "eth0")
    failing, good = outside(world, "198.51.100.3", rcode=RCODE.SERVFAIL), outside(world)
    done("network", "create", "back")
    # no server at the first address, and the second one fails
    one = boxes("--network", "back", "--dns", HOST, "--dns", "198.51.100.3", "--dns", WORLD)
    assert len(found(ask(one, "www.example", tcp=True))) == 80
    assert ("www.example.", "tcp") in failing.asked and ("www.example.", "tcp") in good.asked
    two = boxes("--network", "back", "--dns", HOST, "--dns", "198.51.100.3")
    assert ask(two, "nobody.invalid").header.rcode == RCODE.SERVFAIL


def test_a_container_on_an_internal_network_reaches_no_server_outside(boxes, world, outside):
    server = outside(world)
    done("network", "create", "--internal", "inside")
    one, two = (boxes("--network", "inside", "--dns", WORLD, "--name", name) for name in ("one", "two"))
    assert ask(one, "www.example").header.rcode == RCODE.SERVFAIL and server.asked == []
    assert found(ask(one, "two")) == [two.ip]


def test_a_server_in_the_container_can_use_port_53(boxes, outside):
    done("network", "create", "back")
    one = boxes("--network", "back", "--dns", "127.0.0.1")
    server = outside(one, "0.0.0.0")  # the program in the container that listens at port 53 of all its addresses
    assert len(found(ask(one, "www.example", tcp=True))) == 80
    assert len(found(ask(one, "www.example", tcp=True, server=(one.ip, 53)))) == 80
    assert server.asked == [("www.example.", "tcp")] * 2
    assert ask(one, one.id[:12]).header.rcode == 0 and len(server.asked) == 2


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"\0",
        b"\0" * 11,
        b"\xff" * 12,
        b"\xff" * 600,
        b"\0\1\1\0\0\1\0\0\0\0\0\0",
        b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1",
        b"\0\1\1\0\0\2\0\0\0\0\0\0\3two\0\0\1\0\1",
        b"\0\1\1\0\0\1\0\0\0\0\0\0\x3ftwo",
        b"\0\1\x81\0\0\1\0\0\0\0\0\0\3two\0\0\1\0\1",
        b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"\1a" * 200 + b"\0\0\1\0\1",
    ],
)
def test_the_server_ignores_invalid_queries(query):
    with pytest.raises(ValueError):
        resolver.local_answer(query, lambda name, kind: pytest.fail(name))


def test_a_name_is_never_a_path(boxes):
    done("network", "create", "back")
    one = boxes("--network", "back", "--name", "one", "--dns", HOST)
    for name in (b"..", b"../names/one", b".", b"one/../one", b"\0", b"..." * 20, b"one\n"):
        label = b"\0\1\1\0\0\1\0\0\0\0\0\0" + bytes([len(name)]) + name + b"\0\0\1\0\1"
        for tcp in (False, True):
            answer = DNSRecord.parse(exchange(one, label, tcp))
            assert (answer.rr, answer.header.rcode) == ([], RCODE.SERVFAIL), name
    assert found(ask(one, "one")) == [one.ip]


def test_a_flood_of_questions_and_connections_does_not_stop_it(boxes, world):
    done("network", "create", "back")
    silent = datagrams(world, (WORLD, 53))  # a server that never answers
    one = boxes("--network", "back", "--name", "one", "--dns", WORLD)
    channels = [one.do(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)) for _ in range(100)]
    for channel in channels:
        channel.connect(SERVER)
    with one.do(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        for number in range(1000):
            sender.sendto(bytes(DNSRecord.question(f"n{number}.example").pack()), SERVER)
    assert ask_again(one, "one") == [one.ip]
    assert len(os.listdir(f"/proc/{Record.find(one.id).monitor}/fd")) < 450
    for channel in [*channels, silent]:
        channel.close()
    assert found(ask(one, "one", tcp=True)) == [one.ip]


def test_a_container_that_is_connected_later_gets_the_server_too(boxes):
    done("network", "create", "back")
    done("network", "create", "front")
    one, db = boxes("--name", "one"), boxes("--name", "db", "--network", "back")
    with pytest.raises(OSError):
        ask(one, "db")
    for network in ("back", "front"):
        done("network", "connect", network, "one")
    assert one.knows("db") == db.ip and db.knows("one") == one.on("back")["IPAddress"]
    assert "nameserver 127.0.0.11" in one.says("cat", "/etc/resolv.conf")
    done("network", "disconnect", "back", "one")
    assert one.knows("db") is None
    done("network", "connect", "back", "one")
    assert one.knows("db") == db.ip


def test_a_file_that_the_container_has_changed_stays(boxes):
    done("network", "create", "back")
    one = boxes("--name", "one")
    one.says("sh", "-c", "echo nameserver 192.0.2.1 >/etc/resolv.conf")
    done("network", "connect", "back", "one")
    assert one.says("cat", "/etc/resolv.conf") == "nameserver 192.0.2.1"


def test_the_containers_of_a_python_have_it_too(boxes, image, world):
    done("network", "create", "back")
    two = boxes("--network", "back", "--name", "two")
    with api.run(image, "sleep 1000", detach=True, network="back", name="one", dns="127.0.0.1") as one:
        assert two.knows("one") == one.address
        assert two.ip in one.exec("nslookup two").output
        assert threading.active_count() > 1
    assert two.knows("one") is None
    assert two.ip in api.run(image, "nslookup two", network="back", dns="127.0.0.1").output
    assert sandbox._serving == {} and not [each for each in threading.enumerate() if each.name == "minict-network"]


def test_a_killed_monitor_leaves_no_server(boxes):
    done("network", "create", "back")
    one, two = boxes("--network", "back", "--name", "one"), boxes("--network", "back")
    os.kill(Record.find("one").monitor, 9)
    wait_until(lambda: State(one.id).pid() is None)
    assert minict("start", "one").returncode == 0
    assert two.knows("one") == one.ip and one.knows(two.id[:12]) == two.ip
