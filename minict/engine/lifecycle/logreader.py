"""Readers of the log of a container, which :mod:`.jsonlog` writes: from the beginning or the end, and as it grows."""

from __future__ import annotations

import os
import time

from minict.engine.util import timestamps

from .jsonlog import STREAMS, numbers, path_of


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
                    file = open(path_of(directory, number), "rb")
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
            file = open(path_of(directory, number), "rb")
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
