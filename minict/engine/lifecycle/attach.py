"""The client of a container's monitor: ``minict attach``, ``start -a``, ``run -it``.

:mod:`.protocol` describes the messages on the socket. The terminal is in raw mode meanwhile, so that Ctrl-C is a byte
for the container's terminal and not a signal for minict; it is restored whatever happens.
"""

from __future__ import annotations

import _signal
import _socket
import os
import select

from minict.engine.containers.store import Record
from minict.engine.util.daemonize import HANDED_ON
from minict.runtime import terminal
from minict.runtime.errors import ContainerError
from minict.runtime.files import write_all

from .protocol import END_OF_INPUT, ERR, EXIT, OUT, SIGNAL, SIZE, TYPED, Wake

_CHUNK = 65536
_DETACH = "ctrl-p,ctrl-q"
KILLED = 137  # the monitor was killed, and the kernel has killed its container: no process can report the exit status


class Detached(Exception):
    """The user has typed the detach keys: the container goes on."""


def open_channel(record: Record):
    """Open a socket to the monitor of a running container. Raises :class:`ContainerError`."""
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
            f"cannot attach to {record.name}: it is not running, or its monitor cannot be reached: see 'minict ps -a'"
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
    """Attach our streams to the container behind *channel* until it ends; return its exit status.

    *stdin*: forward standard input. *signals*: forward the signals that we receive. *detach_keys*: a sequence such as
    ``ctrl-p,ctrl-q`` that detaches; for terminals only. *screen*: the descriptors of our output and error. Raises
    :class:`Detached`, and :class:`ContainerError` for invalid *detach_keys*.
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
    """The same; 0 when the user has detached."""
    try:
        return attach(channel, **options)
    except Detached:
        os.write(2, b"\r\n")
        return 0


def _relay(channel, wake: Wake, stdin: bool, keys: DetachKeys, screen: tuple[int, int]) -> int:
    """Copy in both directions until the container or its monitor ends."""
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
    """The monitor's next message; empty at its end.

    If the monitor ends before it has read everything, the kernel reports ECONNRESET first, and once: its last messages,
    such as the exit status, can still be read.
    """
    try:
        return channel.recv(_CHUNK + 1)
    except ConnectionResetError:
        return channel.recv(_CHUNK + 1)


def wait(channel) -> int | None:
    """Wait for the exit status of one run; None when the monitor ended without reporting it."""
    try:
        while message := _receive(channel):
            if message[:1] == EXIT:
                return int(message[1:])
        return None
    finally:
        channel.close()


class DetachKeys:
    """The detach keys as *text*: ``ctrl-p,ctrl-q`` by default, and empty for none.

    Raises :class:`ContainerError` for an invalid sequence.
    """

    def __init__(self, text: str | None = None):
        self._keys = parse_keys(_DETACH if text is None else text)
        self._held = b""  # the part of the sequence that has been typed so far

    def typed(self, data: bytes, pass_on) -> None:
        """Call *pass_on* with the part of *data* that is for the container; raise :class:`Detached` after the last
        key."""
        data, self._held = find_keys(self._held + data, self._keys)
        if data:
            pass_on(data)
        if self._keys and self._held == self._keys:
            raise Detached


def find_keys(typed: bytes, keys: bytes) -> tuple[bytes, bytes]:
    """Split *data* into what goes to the container and what may be the detach sequence at its end."""
    if keys and keys in typed:
        return typed[: typed.index(keys)], keys
    for length in range(min(len(keys) - 1, len(typed)), 0, -1):
        if typed.endswith(keys[:length]):
            return typed[:-length], typed[-length:]
    return typed, b""


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as the bytes that a keyboard sends; empty text stands for no sequence.

    Raises :class:`ContainerError`. Source: docker-attach(1), ``--detach-keys``.
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
                f"invalid --detach-keys {text!r}: {word!r} is not a key: use letters, or ctrl- and a letter, "
                f"separated by commas, as in {_DETACH}"
            )
    return keys


def _send(channel, message: bytes) -> None:
    """Send a message to the monitor. If it has gone, its last message explains why."""
    try:
        channel.send(message)
    except OSError:
        pass
