"""The messages between a container's monitor and its clients: one letter, then the data."""

from __future__ import annotations

import _signal
import os

# The first byte of each message on the socket.
TYPED, END_OF_INPUT, SIZE, SIGNAL = b"i", b"e", b"s", b"k"  # from a client
FREEZE = b"f"  # from a client: freeze the container as long as I am connected
OUT, ERR, EXIT = b"o", b"r", b"x"  # to a client
FROZEN = b"z"  # to a client: it is frozen; or, with data, why it is not


class Wake:
    """A descriptor that becomes readable after a signal, so that a signal just before poll(2) is not missed."""

    def __init__(self):
        self.fd, self._end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        _signal.set_wakeup_fd(self._end, warn_on_full_buffer=False)

    def clear(self) -> None:
        os.read(self.fd, 512)

    def close(self) -> None:
        _signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._end)
