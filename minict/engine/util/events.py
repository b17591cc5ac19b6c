"""What happens to containers, images, volumes and networks: a journal, as there is no daemon to ask.

Each command appends a line for what it does to ``MINICT_RUN/events/journal``; ``minict events`` reads it.  A reboot
forgets it.  When the journal has a megabyte, it becomes ``journal.1``, and what that was is forgotten.  An event that
can't be written down, on a full disk say, is lost: no command fails for that.

Source: docker system events.
"""

from __future__ import annotations

import os
import time

from minict.runtime import jsonfile, locks, paths

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader

_LARGEST = 1 << 20  # bytes
_LONGEST = 1.0  # seconds until a reader looks again, whatever inotify says


def directory() -> str:
    return f"{paths.run_root()}/events"


def emit(kind: str, action: str, id: str, attributes: dict | None = None) -> None:
    """Note that *action* has happened to the object *id* of a *kind*: container, image, volume, network or builder."""
    event = {"time": time.time_ns(), "kind": kind, "action": action, "id": id, "attributes": attributes or {}}
    line = jsonfile.dumps(event).replace("\n", "").encode() + b"\n"  # in texts a newline is escaped
    try:
        fd = _open()
        try:
            os.write(fd, line)  # in one write to the end: lines of two processes do not mix
            if os.fstat(fd).st_size > _LARGEST:
                _rotate(fd)
        finally:
            os.close(fd)
    except OSError:
        pass


def _open() -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(f"{directory()}/journal", flags, 0o600)
    except FileNotFoundError:
        make_directory()
        return os.open(f"{directory()}/journal", flags, 0o600)


def make_directory() -> None:
    """Make the journal's directory.  Raises :class:`OSError`."""
    os.makedirs(directory(), 0o711, exist_ok=True)


def _rotate(fd: int) -> None:
    """Begin a new journal, unless another process has just done so."""
    path = f"{directory()}/journal"
    if locks.lock(fd, path):
        os.rename(path, f"{path}.1")


# ---- reading -------------------------------------------------------------------------------------------------------


def read(since: int | None, until: int | None, now: Callable[[], int] = time.time_ns) -> Iterator[dict]:
    """Yield the events from *since* to *until*, in nanoseconds since 1970, in their order.

    Without *since* from now on; without *until*, or with one that is to come, what happens meanwhile too.
    """
    start = now() if since is None else since
    with _Journal() as journal:
        while True:
            late = until is not None and now() > until  # before the look: what is written after it is late, too
            for event in journal.look():
                if start <= event["time"] and (until is None or event["time"] <= until):
                    yield event
            if late:
                return
            journal.wait(_LONGEST if until is None else min(_LONGEST, max(0.0, (until - now()) / 1e9) + 0.001))


class _Journal:
    """The journal, read from its beginning and then as it grows."""

    def __enter__(self) -> _Journal:
        import select

        from minict.kernel import inotify

        make_directory()
        self._file: BufferedReader | None = None
        self._rest = b""
        self._poll, self._fd = select.poll(), -1
        try:
            self._fd = inotify.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
            mask = inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO
            inotify.inotify_add_watch(self._fd, directory(), mask)
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
            replaced = self._is_replaced()  # before the last look: then nothing is written to it any more
            yield from self._events(self._file)
            if not replaced or not self._advance():
                return

    def _advance(self) -> bool:
        """Go on to the file after this one; whether there is one.  This one stays open until then: no other file can be
        taken for it."""
        assert self._file
        following = self._opened("journal.1")  # another one than ours was written, and turned over, in between
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
            return not os.path.samestat(os.fstat(self._file.fileno()), os.stat(f"{directory()}/journal"))
        except FileNotFoundError:
            return True

    def _opened(self, name: str):
        try:
            return open(f"{directory()}/{name}", "rb")
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
