"""The host's name server on loopback, for what runs in the containers' network, such as a notebook's kernel.

::

    the containers' network                         the host's
    ───────────────────────                         ───────────────────────────────────────────────
    getaddrinfo ──► 127.0.0.53:53 ── this process ──► 127.0.0.53:53, systemd-resolved

Each network namespace has a loopback of its own, and /etc/resolv.conf is the same file in all of them. So this process
listens at the server's address in the one, and asks the server in the other. The containers do not reach it: they get
the servers that the host's server asks (:mod:`minict.engine.networks.dns`).

Source: network_namespaces(7); systemd-resolved(8), 127.0.0.53; RFC 7766, DNS over TCP.
"""

from __future__ import annotations

import _signal  # and not signal, and not socket: see keeper
import _socket
import os
import select

from minict.kernel import namespaces as ns
from minict.kernel import process as kernel
from minict.runtime.process import spawn

from . import home

_FILE = "/etc/resolv.conf"
_PORT = 53
_LARGEST = 65535  # bytes of a message; over TCP two more for its length
_PATIENCE = 15.0  # seconds for an answer: more than resolv.conf(5) lets a program wait


def on_loopback(text: str) -> list[str]:
    """The addresses of the name servers on IPv4's loopback, in the *text* of a resolv.conf."""
    words = [line.split() for line in text.splitlines()]
    return [line[1] for line in words if line[:1] == ["nameserver"] and len(line) > 1 and line[1].startswith("127.")]


def begin() -> list[int]:
    """Start a process for each of the host's name servers on loopback; their pids. They end with this process."""
    try:
        with open(_FILE, encoding="utf-8", errors="replace") as file:
            servers = on_loopback(file.read())
    except OSError:
        return []
    return [spawn(lambda: _serve(server)) for server in servers]


def _serve(server: str) -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    udp, tcp = _listen(server)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # the kernel buries the processes below
    poll = select.poll()
    for each in (udp, tcp):
        poll.register(each.fileno(), select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == udp.fileno():
                question, sender = udp.recvfrom(_LARGEST)
                spawn(lambda: _ask(server, question, udp, sender))
            else:
                accepted, _ = tcp._accept()
                spawn(lambda: _copy(server, accepted))
                os.close(accepted)


def _listen(server: str):
    """Sockets for UDP and TCP at the server's address in the containers' network, made by a process that is there."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)

    def make() -> None:
        fd = os.open(home.path("net"), os.O_RDONLY | os.O_CLOEXEC)
        ns.setns(fd, ns.CLONE_NEWNET)
        made = [_socket.socket(_socket.AF_INET, kind) for kind in (_socket.SOCK_DGRAM, _socket.SOCK_STREAM)]
        for each in made:
            each.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            each.bind((server, _PORT))
        made[1].listen(16)
        fds = b"".join(each.fileno().to_bytes(4, "little") for each in made)
        theirs.sendmsg([b"!"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])

    pid = spawn(make)
    theirs.close()
    _, rights, _, _ = ours.recvmsg(1, 64, _socket.MSG_CMSG_CLOEXEC)
    ours.close()
    os.waitpid(pid, 0)
    data = rights[0][2]
    return [_socket.socket(fileno=int.from_bytes(data[at : at + 4], "little")) for at in (0, 4)]


def _ask(server: str, question: bytes, udp, sender) -> None:
    """Ask the host's *server*, and answer the *sender*. Without an answer the sender asks again."""
    channel = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    channel.settimeout(_PATIENCE)
    channel.connect((server, _PORT))
    channel.send(question)
    udp.sendto(channel.recv(_LARGEST), sender)


def _copy(server: str, accepted: int) -> None:
    """Copy what comes over the connection *accepted* to the host's *server*, and its answers back."""
    ends = [_socket.socket(fileno=accepted), _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)]
    ends[1].connect((server, _PORT))
    other = {ends[0].fileno(): ends[1], ends[1].fileno(): ends[0]}
    poll = select.poll()
    for each in other:
        poll.register(each, select.POLLIN)
    while other and (ready := poll.poll(_PATIENCE * 1000)):
        for fd, _ in ready:
            if data := os.read(fd, _LARGEST):
                other[fd].sendall(data)
            else:
                other.pop(fd).shutdown(_socket.SHUT_WR)
                poll.unregister(fd)
