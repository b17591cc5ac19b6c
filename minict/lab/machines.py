"""Three machines on one: the world, a host, and a box behind it, each of them a network namespace.

::

    world                     host                                  box
    203.0.113.9 ── veth ── 203.0.113.1 · br0 10.99.0.1 ── veth ── 10.99.0.2

:func:`three_machines` makes them.  The host stands for a machine on which containers run, and its bridge for theirs; it
forwards nothing and has no rules.  The world is a machine on the internet: it has no route to the private addresses
behind the host.  Your own machine takes no part: the three go when nothing refers to them any more.

A client's call does not fail by the clock.  It is *silence* when the kernel has sent the first packet a second time,
a second later, and that got no answer either.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shlex
import socket
import struct
import subprocess
import threading
import time

from minict.engine.networks import bridge as bridges
from minict.engine.networks import ipam, nftables
from minict.kernel import namespaces
from minict.kernel.netlink import Rtnetlink

SILENCE, REFUSED, NO_ROUTE, RESET = "silence", "refused", "no route", "reset"
_RETRANSMISSIONS = 1  # further tries of the kernel, a second after the first, that stay without an answer
_AFTER_THE_LAST = 0.3  # seconds after the last of them: its answer comes within the call that sends it
_TCP_INFO_RETRANS = 100  # where tcpi_total_retrans is in struct tcp_info: linux/tcp.h
_PATIENCE = 30  # seconds for an answer of a program, which the kernel may let wait on a busy machine
_QUESTIONS = 8  # to a name server, one a second
_HEARD = 100  # first packets that a machine remembers


class Machine:
    """A network namespace with a *name*, and *address*: where the others reach it."""

    def __init__(self, name: str, address: str):
        self.name, self.address = name, address
        self.namespace = _new_namespace()
        self._servers: list[socket.socket] = []
        self._connections: set[socket.socket] = set()  # that callers have not closed yet
        with Rtnetlink(namespace=self.namespace) as netlink:
            netlink.set_up(netlink.index("lo"))

    def __repr__(self):
        return f"<machine {self.name}>"

    def inside(self):
        """For ``with``: this thread is in the machine's network."""
        return namespaces.inside(self.namespace)

    def do(self, line: str) -> None:
        """Run a command in the machine's network, and print what it prints.  Raises :class:`RuntimeError`."""
        with self.inside():
            done = subprocess.run(shlex.split(line), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise RuntimeError(f"on {self.name}: {line}: {done.stdout.strip()}")
        print(done.stdout, end="")

    def nft(self, commands: str) -> None:
        """Change the machine's packet rules: *commands* in the language of nft(8), in one transaction.

        Raises :class:`minict.runtime.errors.ContainerError` with what nftables does not like.
        """
        with self.inside():
            nftables.apply(commands)

    def rules(self, name: str = "ip lab", kind: str = "table") -> str:
        """A table, or another *kind* of thing such as a set, as nft prints it; "" when it does not exist."""
        with self.inside():
            return nftables.listing(f"list {kind} {name}")

    def setting(self, name: str, value: int | None = None) -> int:
        """A setting of the machine's network, such as ``net.ipv4.ip_forward``; with *value* it is changed first."""
        *directory, last = name.split("/") if "/" in name else name.split(".")
        path = "/".join(["/proc/sys", *directory, last])
        with self.inside():
            if value is not None:
                with open(path, "w") as file:
                    file.write(str(value))
            with open(path) as file:
                return int(file.read())

    # ---- calls -------------------------------------------------------------------------------------------------

    def serve(self, port: int, address: str = "0.0.0.0") -> None:
        """Answer each connection to *port*: who speaks, and from which address the caller seems to come.

        Nothing happens when the machine does that already.  Raises :class:`OSError`, such as EADDRINUSE.
        """
        if (address, port) in [server.getsockname() for server in self._servers]:
            return
        with self.inside():
            server = socket.create_server((address, port))
        self._servers.append(server)
        threading.Thread(target=self._answer, args=(server,), daemon=True).start()

    def _answer(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = server.accept()
                self._connections.add(connection)
                threading.Thread(target=self._talk, args=(connection, peer[0]), daemon=True).start()

    def _talk(self, connection: socket.socket, peer: str) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rw") as lines:
            print(f"{self.name} sees {peer}", file=lines, flush=True)
            for line in lines:
                print(f"{self.name} heard {line.strip()}", file=lines, flush=True)
        self._connections.discard(connection)

    def call(self, address: str, port: int = 80, source: str = "") -> str:
        """Connect to *address* and return the first line of the answer, or why there is none.

        *source*: the address of this machine from which to call, when it has several.
        """
        with self._connect(address, port, source) as line:
            return line.first

    def open(self, address: str, port: int = 80) -> Line:
        """Connect to *address*, and keep the connection."""
        return self._connect(address, port)

    def _connect(self, address: str, port: int, source: str = "") -> Line:
        with self.inside():
            caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if source:
            caller.bind((source, 0))
        return Line(caller, address, port)

    # ---- what arrives --------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """From now on, remember the first packets of connections that arrive here, even if the kernel then drops them:
        :meth:`heard`."""
        self.nft(
            "add table ip heard\n"
            f"add set ip heard first {{ type ipv4_addr . inet_service; flags dynamic; size {_HEARD}; }}\n"
            "add chain ip heard prerouting { type filter hook prerouting priority raw; }\n"
            "flush chain ip heard prerouting\nflush set ip heard first\n"
            "add rule ip heard prerouting tcp flags & (syn | ack) == syn update @first { ip saddr . tcp dport }"
        )

    def heard(self) -> list[str]:
        """Whom the machine has heard since :meth:`listen`: the sender's address and the port, ``10.0.0.2 → 80``."""
        return [f"{source} → {port}" for source, port in elements(self.rules("ip heard first", "set"))]

    # ---- names ---------------------------------------------------------------------------------------------------

    def serve_names(self, names: dict[str, str], address: str = "0.0.0.0") -> None:
        """Be a name server, with these *names* and their addresses; nothing happens when it is one already."""
        if (address, 53) in [server.getsockname() for server in self._servers]:
            return
        with self.inside():
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((address, 53))
        self._servers.append(server)
        threading.Thread(target=_serve_names, args=(server, names), daemon=True).start()

    def look_up(self, name: str, server: str) -> str:
        """Ask the name server at the address *server* for the address of *name*; or why there is no answer."""
        from dnslib import DNSRecord

        try:
            with self.inside():
                kind = socket.AF_INET6 if ":" in server else socket.AF_INET
                asker = socket.socket(kind, socket.SOCK_DGRAM)
            with asker:
                asker.connect((server, 53))
                for _ in range(_QUESTIONS):
                    asker.send(DNSRecord.question(name).pack())
                    if select.select([asker], [], [], 1)[0]:
                        answer = DNSRecord.parse(asker.recv(512))
                        return str(answer.a.rdata) if answer.rr else "no such name"
            return SILENCE
        except OSError as error:
            return _why(error)

    def close(self) -> None:
        """End the machine's servers, and let its network go."""
        for each in (*self._servers, *list(self._connections)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # it wakes the thread that waits here
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1


class Line:
    """A connection to a server of :meth:`Machine.serve`, or the attempt; *first* is the first thing that was said."""

    def __init__(self, caller: socket.socket, address: str, port: int):
        self._socket, self.first = caller, ""
        try:
            self._connect(address, port)
        except OSError as error:
            self.first = _why(error)
        else:
            self.first = self._hear()

    def _connect(self, address: str, port: int) -> None:
        error = self._socket.connect_ex((address, port))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
        while not select.select([], [self._socket], [], _AFTER_THE_LAST)[1]:
            repeated = self._tries_again() >= _RETRANSMISSIONS
            if repeated and not select.select([], [self._socket], [], _AFTER_THE_LAST)[1]:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))

    def _tries_again(self) -> int:
        """How often the kernel has sent something again.  Source: tcp(7), TCP_INFO."""
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_RETRANS + 4)
        return struct.unpack_from("I", info, _TCP_INFO_RETRANS)[0]

    def ask(self, words: str) -> str:
        """Say *words* and return the answer, or why there is none."""
        try:
            self._socket.send(f"{words}\n".encode())
            return self._hear()
        except OSError as error:
            return _why(error)

    def _hear(self) -> str:
        """The next line; silence when the kernel repeats what we said, and nothing comes."""
        line, end = b"", time.monotonic() + _PATIENCE
        try:
            while not line.endswith(b"\n"):
                if not select.select([self._socket], [], [], _AFTER_THE_LAST)[0]:
                    if self._unanswered() or time.monotonic() > end:
                        return SILENCE
                    continue
                data = self._socket.recv(200)
                if not data:
                    return RESET
                line += data
        except OSError as error:
            return _why(error)
        return line.decode().strip()

    def _unanswered(self) -> bool:
        """Whether the kernel has sent what we said four times more, and the other side has confirmed nothing."""
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_RETRANS + 4)
        return info[2] >= 4  # tcpi_retransmits: tries for the oldest byte that is not confirmed

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self):
        return self.first


def three_machines(
    *,
    host: str = "203.0.113.1",
    world: str = "203.0.113.9",
    subnet: str = "10.99.0",
    bridge: str = "br0",
    outward: str = "eth0",
    boxes: int = 1,
) -> list[Machine]:
    """The world, the host and the box, with their cables and addresses, and no route, no rule, no forwarding.

    The other arguments are for checks: other addresses (/24), other names for the bridge and for the
    host's interface *outward*, several *boxes*.
    """
    outside, middle = Machine("world", world), Machine("host", host)
    _plug(middle, outside, outward, host)
    _address(outside, "eth0", world)
    with Rtnetlink(namespace=middle.namespace) as netlink:
        netlink.add_bridge(bridge, bridges.mac(f"{subnet}.1"))
    _address(middle, bridge, f"{subnet}.1")
    inner = []
    for number in range(boxes):
        box = Machine("box" if not number else f"box{number + 1}", f"{subnet}.{number + 2}")
        _plug(middle, box, f"veth{number}", bridge=bridge)
        _address(box, "eth0", box.address)
        inner.append(box)
    for name, value in (("net.ipv4.ip_forward", 0), ("net.bridge.bridge-nf-call-iptables", 0)):
        with contextlib.suppress(FileNotFoundError):  # without Docker there is no br_netfilter
            middle.setting(name, value)
    return [outside, middle, *inner]


def _new_namespace() -> int:
    """A descriptor of a new network namespace.  A thread makes it: the caller stays where it is."""
    made = []

    def move():
        namespaces.unshare(namespaces.CLONE_NEWNET)
        made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=move)
    thread.start()
    thread.join()
    if not made:
        raise PermissionError(errno.EPERM, "a new network namespace needs root")
    return made[0]


def _plug(near: Machine, far: Machine, name: str, address: str = "", bridge: str = "") -> None:
    """A cable from *near*, where it is called *name* and is a port of *bridge* or has *address*, to eth0 of *far*."""
    with Rtnetlink(namespace=near.namespace) as netlink:
        port = netlink.index(bridge) if bridge else 0
        netlink.add_veth(name, "eth0", bridges.mac(far.address), far.namespace, port)
    with Rtnetlink(namespace=far.namespace) as netlink:
        netlink.set_up(netlink.index("eth0"))
    if address:
        _address(near, name, address)
    for machine, link in ((near, name), (far, "eth0")):
        with Rtnetlink(namespace=machine.namespace) as netlink:
            bridges.wait_for_carrier(netlink, link)


def _address(machine: Machine, name: str, address: str) -> None:
    with Rtnetlink(namespace=machine.namespace) as netlink:
        index = netlink.index(name)
        netlink.add_address(index, ipam.to_bytes(address), 24)
        netlink.set_up(index)


def elements(listing: str) -> list[list[str]]:
    """The elements of a set as nft lists it, sorted, each as a list of its concatenated parts."""
    _, _, rest = listing.partition("elements = {")
    words = [each.strip() for each in rest.partition("}")[0].split(",")]
    return sorted(each.split(" . ") for each in words if each)


def _serve_names(server: socket.socket, names: dict[str, str]) -> None:
    from dnslib import RR, A, DNSRecord

    with contextlib.suppress(OSError):
        while True:
            question, asker = server.recvfrom(512)
            if not question:  # close() has shut it down
                return
            query = DNSRecord.parse(question)
            name = str(query.q.qname).rstrip(".")
            answer = query.reply()
            if name in names:
                answer.add_answer(RR(name, rdata=A(names[name])))
            server.sendto(answer.pack(), asker)


def _why(error: OSError) -> str:
    """The word for an errno of a call: see the table of chapter 09."""
    return {
        errno.ENETUNREACH: NO_ROUTE,
        errno.EHOSTUNREACH: "nobody there",
        errno.ECONNREFUSED: REFUSED,
        errno.ECONNRESET: RESET,
        errno.EPIPE: RESET,
        errno.ETIMEDOUT: SILENCE,
    }.get(error.errno, os.strerror(error.errno or 0))
