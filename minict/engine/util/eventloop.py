"""An event loop inside another one: a few sockets, served by a process that has other work.

The monitor of a container also answers the container's DNS queries and forwards connections to it.  It waits for one
descriptor, :attr:`EventLoop.fd`, which is readable when any socket of the loop is, and then calls
:meth:`EventLoop.look`.  A process that can't wait, such as a notebook's kernel, gives the loop a thread.

Source: epoll(7).  (asyncio would cost each monitor 30 ms and 6 MB.)
"""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from typing import Any

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
_GONE = select.EPOLLERR | select.EPOLLHUP


class EventLoop:
    """Sockets with a handler each, and functions that are called at a given time. Must be closed."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], object]] = {}
        self._due: dict[object, tuple[float, Callable[[], object]]] = {}
        self._services: list[Any] = []
        self._thread: Thread | None = None
        self._wake = -1

    @property
    def fd(self) -> int:
        """A descriptor that is readable when :meth:`look` has something to do."""
        return self._epoll.fileno()

    def add(self, service: Any) -> None:
        """Close *service*, an object with a method ``close()``, together with the loop."""
        self._services.append(service)

    def watch(self, fd: int, events: int, handler: Callable[[int], object]) -> None:
        """Call *handler* with the events whenever *fd* is ready for *events* (READ, WRITE), or has failed."""
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Stop watching *fd*. Call it before *fd* is closed, because a fork may keep it open."""
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def later(self, key: object, seconds: float, function: Callable[[], object]) -> None:
        """Call *function* once after *seconds*, unless :meth:`cancel` is called with *key*. A second call replaces
        the first."""
        self._due[key] = (time.monotonic() + seconds, function)

    def cancel(self, key: object) -> None:
        self._due.pop(key, None)

    def timeout(self) -> float | None:
        """Milliseconds until the next function is due; None if there is none."""
        if not self._due:
            return None
        return max(0.0, (min(moment for moment, _ in self._due.values()) - time.monotonic()) * 1000)

    def look(self) -> None:
        """Call the handlers of ready sockets, and the functions that are due. Never waits."""
        for fd, events in self._epoll.poll(0):
            handler = self._handlers.get(fd)  # an earlier handler may have closed it
            if handler:
                handler(events)
        now = time.monotonic()
        for key, (moment, function) in list(self._due.items()):
            if moment <= now and key in self._due:  # an earlier function may have cancelled it
                del self._due[key]
                function()

    def serve_in_background(self) -> None:
        """Serve in a thread of this process until :meth:`close`."""
        import threading

        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.watch(self._wake, READ, lambda events: None)
        self._thread = threading.Thread(target=self.serve, name="minict-network", daemon=True)
        self._thread.start()

    def serve(self, until: int = -1) -> None:
        """Serve until the loop is closed, or until the descriptor *until* is readable."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        if until >= 0:
            poll.register(until, select.POLLIN)
        while True:
            ready = dict(poll.poll(self.timeout()))
            if until in ready or (self._wake >= 0 and _is_set(self._wake)):
                return
            self.look()

    def close(self) -> None:
        """Close all services, and end the thread if there is one."""
        if self._thread:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            self._thread = None
        for service in self._services:
            service.close()
        if self._wake >= 0:
            self.forget(self._wake)
            os.close(self._wake)
            self._wake = -1
        self._epoll.close()


def _is_set(fd: int) -> bool:
    try:
        os.eventfd_read(fd)
        return True
    except BlockingIOError:
        return False


def has_failed(events: int) -> bool:
    """Whether *events* report that the other end is gone."""
    return bool(events & _GONE)
