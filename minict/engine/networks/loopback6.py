"""Published ports at [::1], the host's other loopback: a browser that is told ``localhost`` asks there first.

The containers' networks have IPv4 alone, and the kernel translates no IPv6 address into one of IPv4.  So what comes to
[::1] is copied, by the container's monitor: this is enough for a person at this machine; the host's other IPv6
addresses are not served.

Source: https://docs.docker.com/engine/network/port-publishing/ (docker-proxy).
"""

from __future__ import annotations

import _socket  # instead of socket, which would cost 9 ms at each start

from minict.engine.rootless.outside import host_socket
from minict.engine.util.eventloop import READ, WRITE, EventLoop, has_failed

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

ADDRESS = "::1"
_CHUNK = 65536
_MOST = 200  # connections, and senders of datagrams, of one port
_SILENT = 60.0  # seconds after which a sender of datagrams is forgotten


def bind(protocol: str, number: int):
    """A socket at the port *number* of [::1], which no other process has; None on a host without IPv6.

    Raises :class:`OSError`: EADDRINUSE when another program has the port.
    """
    import errno

    kind = _socket.SOCK_STREAM if protocol == "tcp" else _socket.SOCK_DGRAM
    try:
        made = host_socket(_socket.AF_INET6, kind)
    except OSError:
        return None
    try:
        made.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            made.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        made.bind((ADDRESS, number))
        if protocol == "tcp":
            made.listen(128)
        made.setblocking(False)
        return made
    except OSError as error:
        made.close()
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return None
        raise


class TCP:
    """Forwards the connections that come to *listener* to what *target* returns, an address, at the port *inside*."""

    def __init__(self, loop: EventLoop, listener, target, inside: int):
        self._loop, self._listener, self._target, self._inside = loop, listener, target, inside
        self._pairs: set[_Pair] = set()
        loop.watch(listener.fileno(), READ, self._accept)
        loop.add(self)

    def close(self) -> None:
        for pair in list(self._pairs):
            pair.close()
        self._loop.forget(self._listener.fileno())

    def _accept(self, events: int) -> None:
        try:
            fd, _ = self._listener._accept()
        except OSError:
            return
        client, address = _socket.socket(fileno=fd), self._target()
        server = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        for each in (client, server):
            each.setblocking(False)
        try:
            if address is None or len(self._pairs) >= _MOST:
                raise OSError
            server.connect((address, self._inside))
        except BlockingIOError:
            pass
        except OSError:
            client.close()
            server.close()
            return
        self._pairs.add(_Pair(self._loop, client, server, self._pairs))


class _Pair:
    """Two connected sockets: what comes out of the one goes into the other."""

    def __init__(self, loop: EventLoop, client, server, pairs: set):
        self._loop, self._pairs = loop, pairs
        self._other = {client: server, server: client}
        self._waiting = {client: b"", server: b""}  # for which the socket has no room yet
        self._ended = {client: False, server: False}  # whether nothing more comes out of it
        self._connecting = server
        for each in self._other:
            self._watch(each)

    def close(self) -> None:
        if self in self._pairs:
            self._pairs.discard(self)
            for each in self._other:
                self._loop.forget(each.fileno())
                each.close()

    def _watch(self, end) -> None:
        """Read from *end* while the other one takes it, and write what waits for it."""
        reads = not self._ended[end] and not self._waiting[self._other[end]] and self._connecting is None
        writes = bool(self._waiting[end]) or end is self._connecting
        if reads or writes:
            self._loop.watch(end.fileno(), READ * reads | WRITE * writes, lambda events: self._ready(end, events))
        else:  # epoll would report again and again that it has hung up
            self._loop.forget(end.fileno())

    def _ready(self, end, events: int) -> None:
        try:
            if end is self._connecting and events & WRITE:
                if error := end.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR):
                    raise OSError(error, "connect")
                self._connecting = None
            elif self._waiting[end] and events & WRITE:
                self._write(end)
            elif events & READ:
                self._read(end)
            elif has_failed(events):
                raise OSError("hung up")
        except BlockingIOError:
            pass
        except OSError:
            return self.close()
        if all(self._ended.values()) and not any(self._waiting.values()):
            return self.close()
        for each in self._other:
            self._watch(each)
        return None

    def _read(self, end) -> None:
        data = end.recv(_CHUNK)
        other = self._other[end]
        if data:
            self._waiting[other] = data
        else:
            self._ended[end] = True
        self._write(other)

    def _write(self, end) -> None:
        while self._waiting[end]:
            self._waiting[end] = self._waiting[end][end.send(self._waiting[end]) :]
        if self._ended[self._other[end]]:
            end.shutdown(_socket.SHUT_WR)


class UDP:
    """The same for datagrams: each sender has a socket of its own, by which the answers come back."""

    def __init__(self, loop: EventLoop, listener, target, inside: int):
        self._loop, self._listener, self._target, self._inside = loop, listener, target, inside
        self._senders: dict[tuple, Any] = {}
        loop.watch(listener.fileno(), READ, self._take)
        loop.add(self)

    def close(self) -> None:
        for sender in list(self._senders):
            self._forget(sender)
        self._loop.forget(self._listener.fileno())

    def _forget(self, sender: tuple) -> None:
        channel = self._senders.pop(sender)
        self._loop.cancel(channel)
        self._loop.forget(channel.fileno())
        channel.close()

    def _take(self, events: int) -> None:
        try:
            data, sender = self._listener.recvfrom(_CHUNK)
            channel = self._senders.get(sender) or self._begin(sender)
            if channel:
                self._loop.later(channel, _SILENT, lambda: self._forget(sender))
                channel.send(data)
        except OSError:
            pass  # no receiver: a datagram may be lost

    def _begin(self, sender: tuple):
        address = self._target()
        if address is None or len(self._senders) >= _MOST:
            return None
        channel = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        channel.setblocking(False)
        channel.connect((address, self._inside))
        self._senders[sender] = channel
        self._loop.watch(channel.fileno(), READ, lambda events: self._answer(sender))
        return channel

    def _answer(self, sender: tuple) -> None:
        try:
            self._listener.sendto(self._senders[sender].recv(_CHUNK), sender)
        except OSError:
            pass
