"""The log of a container: bounded files on disk, their writer and their readers.

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
            _path(self.directory, self._number), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
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
                os.unlink(_path(self.directory, number))


def numbers(directory: str) -> list[int]:
    """The numbers of the log's files, the oldest first."""
    return sorted(int(name[4:]) for name in names_in(directory) if name.startswith("log.") and name[4:].isdecimal())


def current(directory: str) -> str:
    """The path of the file that is being written."""
    return _path(directory, max(numbers(directory), default=1))


def _path(directory: str, number: int) -> str:
    return f"{directory}/log.{number}"


# ---- the readers -------------------------------------------------------------------------------------------------


def read(
    directory: str,
    *,
    follow: bool = False,
    tail: int | None = None,
    since: int | None = None,
    until: int | None = None,
    streams: tuple = STREAMS,
    ended=lambda: False,
):
    """Yield the records of the log in *directory* as (time, stream, text).

    The time is RFC 3339; the text ends with a newline unless it is a part of a line. *tail*: only this number of last
    lines. *since* and *until*: nanoseconds since 1970, both included. *follow*: continue until the function *ended*
    returns True. Damaged records, such as a line torn by a crash of the machine, are skipped.
    """
    first, last = (None if moment is None else timestamps.stamp(max(0, moment)).encode() for moment in (since, until))

    def wanted(line: bytes) -> bool:
        return (first is None or line[:30] >= first) and (last is None or line[:30] <= last)

    number, place = min(numbers(directory), default=1), 0
    if tail is not None:
        lines, number, place = _last_lines(directory, tail, wanted, streams)
        yield from (record for record in map(_record, lines) if record)
    stop = ended if until is None else lambda: ended() or time.time_ns() > until
    for line in _lines(directory, number, place, stop if follow else None):
        record = _record(line) if wanted(line) else None
        if record and record[1] in streams:
            yield record


def _record(line: bytes) -> tuple[str, str, bytes] | None:
    """Split a line of the log into time, stream and text; None for a damaged line."""
    words = line.split(b" ", 3)
    if len(words) < 4 or len(words[0]) != 30 or words[2] not in (b"F", b"P"):
        return None
    return words[0].decode(errors="replace"), words[1].decode(errors="replace"), words[3] + b"\n" * (words[2] == b"F")


def _lines(directory: str, number: int, place: int, ended=None):
    """The lines of the files from *number* on, beginning at the byte *place*; with *ended* also those to come."""
    watch = _Watch(directory) if ended else None
    file = None
    try:
        while True:
            # ask before reading: everything that the writer wrote before its end is then read
            over = ended is None or ended()
            # then this file is complete
            later = next((each for each in numbers(directory) if each > number), None)
            if file is None:
                try:
                    file = open(_path(directory, number), "rb")
                    file.seek(place)
                except FileNotFoundError:
                    pass
            if file:
                yield from whole_lines(file, to_the_end=over or later is not None)
            if later is not None:
                number, place = later, 0
                if file:
                    file.close()
                    file = None
            elif over:
                return
            elif watch:
                watch.wait()
    finally:
        for each in (file, watch):
            if each:
                each.close()


def whole_lines(file, to_the_end: bool):
    """The complete lines from here on, without their newlines; an unfinished line stays for the next call."""
    while line := file.readline():
        if line[-1:] != b"\n" and not to_the_end:
            file.seek(-len(line), 1)
            return
        yield line.rstrip(b"\n")


class _Watch:
    """Wait until something is written, for a second at most: the writer may have been killed."""

    def __init__(self, directory: str):
        import select

        from minict.kernel import inotify

        self._poll, self._fd = select.poll(), -1
        try:
            self._fd = inotify.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
            inotify.inotify_add_watch(self._fd, directory, inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO)
            self._poll.register(self._fd, select.POLLIN)
        except OSError:  # the user has no inotify instance left: look ten times a second
            self.close()

    def wait(self) -> None:
        if self._fd < 0:
            time.sleep(0.1)
        elif self._poll.poll(1000):
            os.read(self._fd, 65536)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _last_lines(directory: str, count: int, wanted, streams: tuple) -> tuple[list[bytes], int, int]:
    """The records of the last *count* lines, and where the log continues: the number of the file and the place in it.

    A line may be several records, its parts first, with records of the other stream between them. Read backwards, a
    full record begins a line, and the parts before it belong to it, until the next full record of its stream.
    """
    found: list[bytes] = []
    lines = 0
    unfinished: set[bytes] = set()  # streams with a counted line whose parts may still come
    seen: set[bytes] = set()
    number, place = 0, 0
    for each, line, end in _lines_backwards(directory):
        number, place = (number, place) if number else (each, end)
        words = line.split(b" ", 3)
        if len(words) < 4 or not wanted(line) or words[1].decode(errors="replace") not in streams:
            continue
        stream, tag = words[1], words[2]
        if tag == b"F" or stream not in seen:
            unfinished.discard(stream)
            if lines < count:
                lines += 1
                unfinished.add(stream)
            seen.add(stream)
        if stream in unfinished:
            found.append(line)
        if lines >= count and not unfinished:
            break
    return found[::-1], number or min(numbers(directory), default=1), place


def _lines_backwards(directory: str):
    """The complete lines of all files, the last one first, as (number of the file, line, end of the file's last
    line)."""
    for number in reversed(numbers(directory)):
        try:
            file = open(_path(directory, number), "rb")
        except FileNotFoundError:  # it was the oldest, and has been removed
            continue
        with file:
            begin, rest, end = file.seek(0, 2), b"", 0
            while begin > 0:
                length = min(begin, 65536)
                begin = file.seek(begin - length)
                block = file.read(length)
                if not end:  # the text after the last newline is still being written
                    end = begin + block.rfind(b"\n") + 1 if b"\n" in block else 0
                    block = block[: max(0, end - begin - 1)]
                if end:
                    rest, *lines = (block + rest).split(b"\n")
                    for line in reversed(lines):
                        yield number, line, end
            if end:
                yield number, rest, end
