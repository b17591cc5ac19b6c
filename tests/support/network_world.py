"""A small internet of real network namespaces.

Each test has a "host" of its own: the test's process moves into a new network namespace and back.
Behind a veth pair lies the "world", a machine without a route to the containers' private addresses.  Connections are
made by sockets that are opened inside a namespace; ``ip``, ``nft`` and ``iptables`` are the witnesses.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from minict.kernel import namespaces
from minict.kernel import network as kernel_network

HOST, WORLD = "198.51.100.1", "198.51.100.2"


# ---- machines --------------------------------------------------------------------------------------------------


class Machine:
    """A process in a network namespace of its own that does nothing else. To the network it is a container."""

    def __init__(self):
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                namespaces.unshare(namespaces.CLONE_NEWNET)
                os.write(writer, b"x")
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        assert os.read(reader, 1) == b"x"
        os.close(reader)
        os.close(writer)

    def do(self, function):
        """Call *function* inside the namespace, in a thread that ends there, and return what it returned."""
        outcome = []

        def visit():
            fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
            try:
                namespaces.setns(fd, namespaces.CLONE_NEWNET)
                outcome.append(function())
            except OSError as error:
                outcome.append(error)
            finally:
                os.close(fd)

        thread = threading.Thread(target=visit)
        thread.start()
        thread.join()
        if isinstance(outcome[0], OSError):
            raise outcome[0]
        return outcome[0]

    def sh(self, *words: str) -> str:
        return sh("nsenter", "-t", str(self.pid), "-n", *words)

    def end(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


class Here:
    """The host: the namespace of the test itself."""

    @staticmethod
    def do(function):
        return function()


def sh(*words: str) -> str:
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0, f"{words}: {result.stderr}"
    return result.stdout


def reach(client, server, ip: str, port: int = 4000, inside: tuple[str, int] | None = None, udp: bool = False) -> str:
    """Send from *client* to *ip* of *server*; return the address that the server sees as the client's.

    *inside*: the server's real address, if it differs from the one that the client uses.
    """
    if udp:
        return _reach_by_udp(client, server, (ip, port), inside or (ip, port))
    with server.do(lambda: socket.create_server(inside or (ip, port))) as listener:
        listener.settimeout(3)
        with client.do(lambda: socket.create_connection((ip, port), timeout=3)) as outgoing:
            incoming, (source, _) = listener.accept()
            with incoming:
                outgoing.sendall(b"hello")
                incoming.settimeout(3)
                assert incoming.recv(5) == b"hello"
                incoming.sendall(b"welcome")
                assert outgoing.recv(7) == b"welcome"
    return source


def datagrams(where, address: tuple[str, int] = ("", 0)) -> socket.socket:
    """A UDP socket of the machine *where*."""

    def make():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(address)
        made.settimeout(3)
        return made

    return where.do(make)


def _reach_by_udp(client, server, there: tuple[str, int], inside: tuple[str, int]) -> str:
    with datagrams(server, inside) as listener, datagrams(client) as sender:
        sender.sendto(b"hello", there)
        words, source = listener.recvfrom(100)
        listener.sendto(words + b" welcome", source)
        answer, answering = sender.recvfrom(100)
        assert (answer, answering) == (b"hello welcome", there)  # the client must not see another address
    return source[0]


def unreachable(client, server, ip: str, port: int = 4000) -> bool:
    """Whether *client* gets no answer from *ip*, although *server* listens there."""
    with server.do(lambda: socket.create_server((ip, port))):
        try:
            client.do(lambda: socket.create_connection((ip, port), timeout=0.5)).close()
        except OSError:
            return True
    return False


def host_state() -> list[str]:
    """The network state of the host: links, addresses, routes, the rules of all firewalls, forwarding."""
    links = sorted(line.split(": ")[1].split("@")[0] for line in sh("ip", "-o", "link").splitlines())
    with open("/proc/sys/net/ipv4/ip_forward") as file:
        forwarding = file.read()
    return [*links, sh("ip", "-4", "-br", "address"), sh("ip", "route"), sh("nft", "-s", "list", "ruleset"), forwarding]


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A fresh host: this process's network namespace until the end of the test."""
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))
    monkeypatch.delenv("MINICT_BRIDGE", raising=False)
    monkeypatch.delenv("MINICT_SUBNET", raising=False)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    namespaces.unshare(namespaces.CLONE_NEWNET)
    kernel_network.loopback_up()
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write("0")
    yield Here
    namespaces.setns(home, namespaces.CLONE_NEWNET)
    os.close(home)


@contextlib.contextmanager
def uplink():
    """In a ``with`` statement: this network namespace has a way out, ``uplink0``, to the machine behind it."""
    machine = Machine()
    sh("ip", "link", "add", "uplink0", "type", "veth", "peer", "name", "eth0", "netns", str(machine.pid))
    sh("ip", "address", "add", f"{HOST}/24", "dev", "uplink0")
    sh("ip", "link", "set", "uplink0", "up")
    sh("ip", "route", "add", "default", "via", WORLD)
    machine.sh("ip", "address", "add", f"{WORLD}/24", "dev", "eth0")
    machine.sh("ip", "link", "set", "eth0", "up")
    machine.sh("ip", "link", "set", "lo", "up")
    for _ in range(200):  # the kernel notices a little later that the cable has two ends
        if " UP " in sh("ip", "-br", "link", "show", "uplink0"):
            break
        time.sleep(0.01)
    try:
        yield machine
    finally:
        machine.end()
        subprocess.run(["ip", "link", "del", "uplink0"], capture_output=True)  # unless it has gone with its other end


@pytest.fixture
def world(host):
    """The machine behind the host's uplink, which is named as on most hosts."""
    with uplink() as machine:
        yield machine
