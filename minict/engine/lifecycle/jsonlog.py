"""The log of a container: bounded files on disk, and their writer. :mod:`.logreader` reads them.

A line of the log is a line of the container, with its time and stream::

    2026-11-25T15:26:00.123456789Z stdout F the text of the line

``F`` is a full line; ``P`` is a part of one, which continues in the next record of the same stream. The files are
``log.1``, ``log.2`` and so on; the one with the highest number is being written. When it is full, the next one is begun
and the oldest removed. Files are never renamed, so that a reader who follows cannot be overtaken.

The writer is the container's monitor, which lives as long as the container and therefore imports little. Source: the
format of Kubernetes' container logs (CRI).
"""

from __future__ import annotations

import os
import time

from minict.engine.util import timestamps
from minict.runtime.files import names_in

MAX_SIZE = 10 << 20  # bytes of a file
MAX_FILE = 3  # files
STREAMS = ("stdout", "stderr")
_LONGEST = 16384  # bytes of text in one record: an endless line becomes many parts


class Log:
    """The log in *directory*: at most *max_file* files of *max_size* bytes each, or of one record that is longer.

    One process at a time writes. :meth:`write` never fails: bytes that cannot be written, because the disk is full, are
    counted in ``lost``, and the log reports them when there is room again.
    """

    def __init__(self, directory: str, max_size: int = MAX_SIZE, max_file: int = MAX_FILE):
        self.directory, self.max_size, self.max_file = directory, max_size, max(1, max_file)
        self.lost, self._why = 0, ""  # bytes of the container that are in no file, and the reason
        self._number = max(numbers(directory), default=1)
        self._fd, self._size = -1, 0  # the file is opened when there is something to write
        self._waiting: list[bytes] = []
        self._waiting_size = 0

    def write(self, stream: str, data: bytes, moment: int | None = None) -> None:
        """Add *data* from *stream* (``stdout`` or ``stderr``) with the time *moment*, in nanoseconds since 1970
        (default: now).
        """
        if not self._ready():
            self.lost += len(data)
            return
        head = f"{timestamps.stamp(time.time_ns() if moment is None else moment)} {stream} ".encode()
        *lines, rest = data.split(b"\n")
        for line in lines:
            while len(line) > _LONGEST:
                self._add(head + b"P " + line[:_LONGEST])
                line = line[_LONGEST:]
            self._add(head + b"F " + line)
        for start in range(0, len(rest), _LONGEST):
            self._add(head + b"P " + rest[start : start + _LONGEST])
        self._flush()

    def close(self) -> None:
        """Close the file. A later :meth:`write`, or another log in this directory, continues it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _ready(self) -> bool:
        """Whether a file is open and all losses are reported in it."""
        try:
            if self._fd < 0:
                self._open()
        except OSError as error:
            self._why = error.strerror or str(error)
            return False
        if self.lost:
            lost, self.lost = self.lost, 0
            text = f"[minict: {lost} bytes are missing here, which could not be written: {self._why}]"
            self._add(f"{timestamps.stamp(time.time_ns())} stderr F {text}".encode())
            self._flush()
            self.lost = lost if self.lost else 0
        return not self.lost

    def _open(self) -> None:
        """Continue the file with the highest number. Raises :class:`OSError`.

        A line that its writer could not finish, because it was killed or the disk was full, ends there.
        """
        self._fd = os.open(
            path_of(self.directory, self._number), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._size = os.fstat(self._fd).st_size
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            try:
                self._size += os.write(self._fd, b"\n")
            except OSError:
                self.close()
                raise

    def _add(self, record: bytes) -> None:
        """Queue *record*; begin the next file first if this one has no room for it."""
        filled = self._size + self._waiting_size
        if filled and filled + len(record) + 1 > self.max_size:
            self._flush()
            self._rotate()
        self._waiting.append(record + b"\n")
        self._waiting_size += len(record) + 1

    def _flush(self) -> None:
        """Write the queued records in one call."""
        data, self._waiting, self._waiting_size = b"".join(self._waiting), [], 0
        written = 0
        try:
            if data and self._fd < 0:
                self._open()
            while written < len(data):
                written += os.write(self._fd, data[written:])
            self._size += written
        except OSError as error:
            missing = data[data.rfind(b"\n", 0, written) + 1 :]
            self.lost += sum(len(record.split(b" ", 3)[3]) for record in missing.split(b"\n")[:-1])
            self._why = error.strerror or str(error)
            self.close()

    def _rotate(self) -> None:
        """Begin the next file; the oldest is removed first, to make room."""
        self.close()
        self._number, self._size = self._number + 1, 0
        for number in numbers(self.directory):
            if number <= self._number - self.max_file:
                os.unlink(path_of(self.directory, number))


def numbers(directory: str) -> list[int]:
    """The numbers of the log's files, the oldest first."""
    return sorted(int(name[4:]) for name in names_in(directory) if name.startswith("log.") and name[4:].isdecimal())


def current(directory: str) -> str:
    """The path of the file that is being written."""
    return path_of(directory, max(numbers(directory), default=1))


def path_of(directory: str, number: int) -> str:
    """The path of the file with this *number*."""
    return f"{directory}/log.{number}"
