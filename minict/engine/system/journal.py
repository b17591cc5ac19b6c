"""Reads the journal of events that :mod:`minict.engine.util.events` writes, also while it grows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from io import BufferedReader

from minict.engine.util import events
from minict.runtime import jsonfile

_LONGEST = 1.0  # seconds until a reader looks again, whatever inotify says


def read(since: int | None, until: int | None, now: Callable[[], int] = time.time_ns) -> Iterator[dict]:
    """Yield the events from *since* to *until*, in nanoseconds since 1970, in their order.

    Without *since*, from now on. Without *until*, or with one in the future, future events too.
    """
    start = now() if since is None else since
    with Journal() as journal:
        while True:
            late = until is not None and now() > until  # before the look: anything written after it is later too
            for event in journal.look():
                if start <= event["time"] and (until is None or event["time"] <= until):
                    yield event
            if late:
                return
            journal.wait(_LONGEST if until is None else min(_LONGEST, max(0.0, (until - now()) / 1e9) + 0.001))


class Journal:
    """The journal, read from its beginning and then as it grows."""

    def __enter__(self) -> Journal:
        import select

        from minict.kernel import inotify

        events.make_directory()
        self._file: BufferedReader | None = None
        self._rest = b""
        self._poll, self._fd = select.poll(), -1
        try:
            self._fd = inotify.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
            mask = inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO
            inotify.inotify_add_watch(self._fd, events.directory(), mask)
            self._poll.register(self._fd, select.POLLIN)
        except OSError:  # the user has no inotify instance left: the timeout has to do
            pass
        return self

    def __exit__(self, *exception) -> None:
        if self._file:
            self._file.close()
        if self._fd >= 0:
            os.close(self._fd)

    def look(self) -> Iterator[dict]:
        """Yield what is new."""
        self._file = self._file or self._opened("journal.1") or self._opened("journal")
        while self._file:
            replaced = self._is_replaced()  # before the last look: afterwards it is not written to any more
            yield from self._events(self._file)
            if not replaced or not self._advance():
                return

    def _advance(self) -> bool:
        """Go on to the next file; return whether there is one. The present file stays open until then, so that no other
        file is mistaken for it."""
        assert self._file
        following = self._opened("journal.1")  # another file was written and rotated in between
        if following and os.path.samestat(os.fstat(following.fileno()), os.fstat(self._file.fileno())):
            following.close()
            following = self._opened("journal")
        if following:
            self._file.close()
            self._file, self._rest = following, b""
        return bool(following)

    def wait(self, seconds: float) -> None:
        """Wait until something has been written, at most so many *seconds*."""
        if self._poll.poll(seconds * 1000):
            os.read(self._fd, 65536)

    def _is_replaced(self) -> bool:
        assert self._file
        try:
            return not os.path.samestat(os.fstat(self._file.fileno()), os.stat(f"{events.directory()}/journal"))
        except FileNotFoundError:
            return True

    def _opened(self, name: str):
        try:
            return open(f"{events.directory()}/{name}", "rb")
        except FileNotFoundError:
            return None

    def _events(self, file) -> Iterator[dict]:
        *lines, self._rest = (self._rest + file.read()).split(b"\n")
        for line in lines:
            try:
                event = jsonfile.loads(line.decode())
            except ValueError:  # its writer's disk was full
                continue
            if isinstance(event, dict) and isinstance(event.get("time"), int):
                yield event
