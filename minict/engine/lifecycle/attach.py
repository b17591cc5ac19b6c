"""A person, or a pipe, at the other end of a container's monitor: ``minict attach``, ``start -a``, ``run -it``.

The messages on the socket are described in :mod:`.monitor`.  A terminal is in raw mode meanwhile: Ctrl-C is a byte
for the container's terminal, not a signal for us; and it is as before whatever happens.
"""

from __future__ import annotations

import _signal
import _socket
import os
import select

from minict.engine.containers.store import Record
from minict.engine.util.daemonize import HANDED_ON, write_all
from minict.runtime import terminal
from minict.runtime.errors import ContainerError

from .protocol import END_OF_INPUT, ERR, EXIT, OUT, SIGNAL, SIZE, TYPED, Wake

_CHUNK = 65536
_DETACH = "ctrl-p,ctrl-q"
KILLED = 137  # nobody is left to tell the exit status: the monitor was killed, and the kernel has killed its container


class Detached(Exception):
    """The person has typed the detach keys: the container goes on without them."""


def connect(record: Record):
    """A socket to the monitor of a running container.  Raises :class:`ContainerError`."""
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        directory = os.open(record.state.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            channel.connect(f"/proc/self/fd/{directory}/attach")  # the path itself may be too long: see monitor.listen
        finally:
            os.close(directory)
    except OSError:
        channel.close()
        raise ContainerError(
            f"the container {record.name} is not running, or nobody looks after it who could be spoken to: "
            "see 'minict ps -a'"
        ) from None
    return channel


def attach(
    channel,
    *,
    tty: bool,
    stdin: bool = True,
    signals: bool = True,
    detach_keys: str | None = None,
    screen: tuple[int, int] = (1, 2),
) -> int:
    """Join our own streams to the container behind *channel* until it ends; return its exit status.

    *stdin*: what we read goes to it.  *signals*: so do signals that are sent to us.  *detach_keys*: a sequence such
    as ``ctrl-p,ctrl-q`` that leaves the container alone; for terminals only.  *screen*: the descriptors of our output
    and error. Raises :class:`Detached`, and :class:`ContainerError` when *detach_keys* are none.
    """
    keys = DetachKeys(detach_keys)
    typed = stdin and tty and os.isatty(0)
    wake = Wake()
    handlers = {number: _signal.getsignal(number) for number in HANDED_ON}
    joined = None
    try:
        if signals:
            for number in HANDED_ON:
                _signal.signal(number, lambda number, frame: _send(channel, SIGNAL + str(number).encode()))
        if tty:
            joined = terminal.Screen(typed, lambda rows, columns: _send(channel, SIZE + f"{rows} {columns}".encode()))
        return _relay(channel, wake, stdin, keys if typed else DetachKeys(""), screen)
    finally:
        if joined:
            joined.leave()
        for number, handler in handlers.items():
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)
        wake.close()
        channel.close()


def attach_or_leave(channel, **options) -> int:
    """The same; 0 when the person has left by the detach keys."""
    try:
        return attach(channel, **options)
    except Detached:
        os.write(2, b"\r\n")
        return 0


def _relay(channel, wake: Wake, stdin: bool, keys: DetachKeys, screen: tuple[int, int]) -> int:
    """Until the container ends, or its monitor: what comes goes to our output, what is typed goes there."""
    while True:
        poll = select.poll()
        for fd in (channel.fileno(), wake.fd, *((0,) if stdin else ())):
            poll.register(fd, select.POLLIN)
        ready = dict(poll.poll())
        if wake.fd in ready:
            wake.clear()
        if channel.fileno() in ready:
            message = _receive(channel)
            kind, data = message[:1], message[1:]
            if kind in (OUT, ERR):
                write_all(screen[kind == ERR], data)
            elif kind == EXIT:
                return int(data)
            elif not kind:
                return KILLED
        if stdin and 0 in ready:
            data = os.read(0, _CHUNK)
            if not data:
                stdin = False
                _send(channel, END_OF_INPUT)
                continue
            keys.typed(data, lambda data: _send(channel, TYPED + data))


def _receive(channel) -> bytes:
    """The monitor's next message; nothing at its end.

    If it ends before it has read all that we have sent, we are told that first, and once (ECONNRESET): what it said
    last, such as the exit status, is still there to be read.
    """
    try:
        return channel.recv(_CHUNK + 1)
    except ConnectionResetError:
        return channel.recv(_CHUNK + 1)


def wait(channel) -> int | None:
    """Wait for the exit status of one life; None when the monitor ended without telling it."""
    try:
        while message := _receive(channel):
            if message[:1] == EXIT:
                return int(message[1:])
        return None
    finally:
        channel.close()


class DetachKeys:
    """What a person types to leave a container alone: *text* as ``ctrl-p,ctrl-q``, which is the default, and nothing
    for no keys.

    Raises :class:`ContainerError` for what are no keys.
    """

    def __init__(self, text: str | None = None):
        self._keys = parse_keys(_DETACH if text is None else text)
        self._held = b""  # of the keys, what was typed so far

    def typed(self, data: bytes, pass_on) -> None:
        """Call *pass_on* with what of the *data* typed is for the container; raise :class:`Detached` when all keys are
        there."""
        data, self._held = find_keys(self._held + data, self._keys)
        if data:
            pass_on(data)
        if self._keys and self._held == self._keys:
            raise Detached


def find_keys(typed: bytes, keys: bytes) -> tuple[bytes, bytes]:
    """Split what was typed: (what goes to the container, what may become, or is, the detach sequence at its end)."""
    if keys and keys in typed:
        return typed[: typed.index(keys)], keys
    for length in range(min(len(keys) - 1, len(typed)), 0, -1):
        if typed.endswith(keys[:length]):
            return typed[:-length], typed[-length:]
    return typed, b""


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as the bytes that a keyboard sends; the empty text for no sequence at all.

    Raises :class:`ContainerError`.  Source: docker-attach(1), ``--detach-keys``.
    """
    keys = b""
    for word in text.split(",") if text else ():
        letter = word.lower().removeprefix("ctrl-")
        if len(word) == 1 and word.isascii():
            keys += word.encode()
        elif word.lower().startswith("ctrl-") and len(letter) == 1 and letter in "abcdefghijklmnopqrstuvwxyz@[\\]^_":
            keys += bytes([ord(letter.upper()) & 0x1F])
        else:
            raise ContainerError(
                f"--detach-keys {text!r}: {word!r} is no key: write letters, or ctrl- and a letter, "
                f"separated by commas, such as {_DETACH}"
            )
    return keys


def _send(channel, message: bytes) -> None:
    """Say something to the monitor.  When it has gone, what it says last will tell us."""
    try:
        channel.send(message)
    except OSError:
        pass
