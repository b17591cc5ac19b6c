"""The DNS server that a container on a user-defined network finds at 127.0.0.11.

::

    the container's network namespace                                the host's
    ─────────────────────────────────────────                       ─────────────────────────────────────────────
    program ──► 127.0.0.11:53 ──nftables──► 127.0.0.11:PORT ──────►  the container's monitor
                                            (a socket in here)       ├─ names of containers: networks/KEY/names
                                      ◄── sockets in here ────────── └─ all others: the host's resolvers, or --dns

The sockets are in the container's namespace, and the process behind them is the container's monitor: no further process
starts, and none is left behind. The server listens at a port of the kernel's choice and nftables redirects port 53 to
it, as in Docker, so that the container's own port 53 stays free.

Sources: RFC 1035, RFC 7766 (TCP); https://docs.docker.com/engine/network/#dns-services; moby, libnetwork/resolver.go.
"""

from __future__ import annotations

import _socket  # instead of socket, which would cost 9 ms at each start
import os

from minict.engine.util.eventloop import READ, WRITE, EventLoop, has_failed
from minict.kernel.namespaces import inside

from . import nftables

ADDRESS = "127.0.0.11"
PORT = 53
TTL = 5  # seconds; Docker's 600 would outlive a container that starts again with another address
_LARGEST_UDP = 512  # bytes of an answer: a client that gets a truncated one asks again by TCP
_TIMEOUT = 4.0  # seconds for one of the host's resolvers
_IDLE = 10.0  # seconds for which a TCP connection may be silent
_MOST_FORWARDED = 256  # questions of one container that wait for an answer from outside
_MOST_CONNECTIONS = 64
SERVFAIL, REFUSED = 2, 5


class Resolver:
    """The server in the network *namespace* (a descriptor, which it takes over) of one container.

    *find* answers a question about a container: see :func:`.endpoints.answer`. *upstreams* returns the addresses of the
    servers to ask about everything else. Raises :class:`OSError`, and :class:`ContainerError` from nftables.
    """

    def __init__(self, loop: EventLoop, namespace: int, find, upstreams):
        self._loop, self._namespace, self._find, self._upstreams = loop, namespace, find, upstreams
        self._pending: set = set()  # of Question
        self._connections: set = set()  # of Connection
        with inside(namespace):
            self._udp = open_socket(_socket.SOCK_DGRAM)
            self._tcp = open_socket(_socket.SOCK_STREAM)
        loop.watch(self._udp.fileno(), READ, self._take_datagram)
        loop.watch(self._tcp.fileno(), READ, self._take_connection)
        loop.add(self)
        for each in (self._udp, self._tcp):
            each.bind((ADDRESS, 0))
        self._tcp.listen(16)
        with inside(namespace):
            nftables.apply(rules(udp=self._udp.getsockname()[1], tcp=self._tcp.getsockname()[1]))

    def close(self) -> None:
        """Close all sockets: they would keep the network namespace of a container that has ended, and its veth pair."""
        for each in [*self._pending, *self._connections]:
            each.close()
        for each in (self._udp, self._tcp):
            self._loop.forget(each.fileno())
            each.close()
        os.close(self._namespace)

    def answer(self, query: bytes, reply, by_tcp: bool = False) -> None:
        """Call *reply* with the answer to *query*, now or later; ignore what is not a query."""
        try:
            known = local_answer(query, self._find, by_tcp)
        except ValueError:
            return
        if known:
            reply(known)
        elif len(self._pending) >= _MOST_FORWARDED:
            reply(failure(query))
        else:
            Question(self, query, reply, by_tcp)

    def _take_datagram(self, events: int) -> None:
        try:
            query, client = self._udp.recvfrom(65535)
        except OSError:
            return

        def reply(answer: bytes) -> None:
            try:
                self._udp.sendto(answer, client)
            except OSError:
                pass  # the client has left, or its queue is full: it asks again

        self.answer(query, reply)

    def _take_connection(self, events: int) -> None:
        try:
            fd, _ = self._tcp._accept()
        except OSError:
            return
        channel = _socket.socket(fileno=fd)
        channel.setblocking(False)
        if len(self._connections) < _MOST_CONNECTIONS:
            Connection(self, channel)
        else:
            channel.close()


class Connection:
    """A client's TCP connection: messages, each after two bytes that say how long it is (RFC 1035, 4.2.2)."""

    def __init__(self, server: Resolver, channel):
        self._server, self._loop, self._channel = server, server._loop, channel
        self._read, self._unsent = b"", b""
        server._connections.add(self)
        self._loop.watch(channel.fileno(), READ, self._ready)
        self._loop.later(self, _IDLE, self.close)

    def close(self) -> None:
        if self in self._server._connections:
            self._server._connections.discard(self)
            self._loop.cancel(self)
            self._loop.forget(self._channel.fileno())
            self._channel.close()

    def _ready(self, events: int) -> None:
        self._loop.later(self, _IDLE, self.close)
        try:
            if events & READ:
                received = self._channel.recv(65536)
                if not received:
                    return self.close()
                self._read += received
            elif has_failed(events):
                return self.close()
        except BlockingIOError:
            pass
        except OSError:
            return self.close()
        self._take_messages()
        return self._send()

    def _take_messages(self) -> None:
        while len(self._read) >= 2 and len(self._read) >= 2 + (length := int.from_bytes(self._read[:2], "big")):
            query, self._read = self._read[2 : 2 + length], self._read[2 + length :]
            self._server.answer(query, self._reply, by_tcp=True)

    def _reply(self, answer: bytes) -> None:
        if self in self._server._connections:
            self._unsent += len(answer).to_bytes(2, "big") + answer
            self._send()

    def _send(self) -> None:
        if self not in self._server._connections:
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[self._channel.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            return self.close()
        # while answers wait, no further question is read
        self._loop.watch(self._channel.fileno(), WRITE if self._unsent else READ, self._ready)


class Question:
    """A *query* for other servers, asked one after the other; *reply* is called with the first good answer, or a
    failure.

    Sockets to the servers are opened in the container's namespace: a container can only ask what it can reach, so a
    question from an internal network goes nowhere.
    """

    def __init__(self, server: Resolver, query: bytes, reply, by_tcp: bool):
        self._server, self._loop, self._query, self._reply, self._by_tcp = server, server._loop, query, reply, by_tcp
        self._servers = list(server._upstreams())
        self._channel, self._received, self._unsent, self._refusal = None, b"", b"", b""
        server._pending.add(self)
        self._ask_next()

    def close(self) -> None:
        """Stop asking."""
        self._server._pending.discard(self)
        self._hang_up()

    def _hang_up(self) -> None:
        self._loop.cancel(self)
        if self._channel:
            self._loop.forget(self._channel.fileno())
            self._channel.close()
            self._channel = None

    def _ask_next(self) -> None:
        self._hang_up()
        while self._servers:
            try:
                return self._ask(self._servers.pop(0))
            except OSError:
                self._hang_up()
        return self._finish(self._refusal or failure(self._query))

    def _ask(self, address: str) -> None:
        with inside(self._server._namespace):
            self._channel = channel = open_socket(_socket.SOCK_STREAM if self._by_tcp else _socket.SOCK_DGRAM)
        try:
            channel.connect((address, PORT))
        except BlockingIOError:
            pass
        self._received = b""
        self._unsent = (len(self._query).to_bytes(2, "big") if self._by_tcp else b"") + self._query
        self._loop.watch(channel.fileno(), WRITE, self._ready)
        self._loop.later(self, _TIMEOUT, self._ask_next)

    def _ready(self, events: int) -> None:
        assert self._channel
        try:
            if self._unsent:
                self._unsent = self._unsent[self._channel.send(self._unsent) :]
                if not self._unsent:
                    self._loop.watch(self._channel.fileno(), READ, self._ready)
                return
            received = self._channel.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            return self._ask_next()
        if not self._by_tcp:
            return self._take(received)
        self._received += received
        if not received:
            return self._ask_next()
        if len(self._received) >= 2 + int.from_bytes(self._received[:2], "big"):
            return self._take(self._received[2:])
        return None

    def _take(self, answer: bytes) -> None:
        """Ignore an answer with another id; ask the next server after one that reports failure."""
        if len(answer) < 12 or answer[:2] != self._query[:2] or not answer[2] & 0x80:
            return
        if answer[3] & 0xF in (SERVFAIL, REFUSED):
            self._refusal = answer
            self._ask_next()
        else:
            self._finish(answer)

    def _finish(self, answer: bytes) -> None:
        self.close()
        self._reply(answer)


def open_socket(kind: int):
    """A non-blocking IPv4 socket in the namespace of the calling thread."""
    made = _socket.socket(_socket.AF_INET, kind | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    made.setblocking(False)
    return made


def rules(**ports: int) -> str:
    """The nftables commands that redirect port 53 of :data:`ADDRESS` to the *ports* of the server."""
    lines = ["add table ip minict", "add chain ip minict resolver { type nat hook output priority -100; }"]
    lines += [
        f"add rule ip minict resolver ip daddr {ADDRESS} {protocol} dport {PORT} dnat to {ADDRESS}:{port}"
        for protocol, port in ports.items()
    ]
    return "\n".join(lines)


# ---- messages ----------------------------------------------------------------------------------------------------


def local_answer(query: bytes, find, by_tcp: bool = False) -> bytes | None:
    """The answer to a *query* about a container, or to one that is malformed; None for a question to other servers.

    *find(name, type)* returns a list of answers (addresses for ``A``, a name for ``PTR``), or None for a name that no
    container has. Raises :class:`ValueError` for something other than a query.
    """
    from dnslib import PTR, QTYPE, RR, A, DNSHeader, DNSQuestion, DNSRecord
    from dnslib.label import DNSBuffer

    buffer = DNSBuffer(query)
    try:
        header, question = DNSHeader.parse(buffer), DNSQuestion.parse(buffer)
        name = b".".join(question.qname.label).decode("ascii").lower()
    except Exception:  # the library raises four exceptions of its own, and a hostile message may find a fifth
        raise ValueError("not a DNS query") from None
    if header.qr or header.q != 1 or header.opcode or len(name) > 253:
        raise ValueError("not a DNS query with one question")
    kind = {QTYPE.PTR: "PTR", QTYPE.A: "A"}.get(question.qtype, "")
    found = find(name, kind) if question.qclass == 1 else None
    if found is None:
        return None
    answer = DNSRecord(DNSHeader(id=header.id, qr=1, aa=0, ra=1, rd=header.rd), q=question)
    make = PTR if kind == "PTR" else A
    answer.add_answer(*(RR(question.qname, question.qtype, ttl=TTL, rdata=make(value)) for value in found))
    packed = bytes(answer.pack())
    if len(packed) > _LARGEST_UDP and not by_tcp:
        answer.rr, answer.header.tc = [], 1
        packed = bytes(answer.pack())
    return packed


def failure(query: bytes) -> bytes:
    """The answer "server failure" to *query*: its header and question, without what follows."""
    end = 12
    while end < len(query) and query[end]:
        end += 1 + query[end]
    flags = bytes([query[2] & 0x79 | 0x80, 0x80 | SERVFAIL])
    return query[:2] + flags + b"\0\1\0\0\0\0\0\0" + query[12 : end + 5]
