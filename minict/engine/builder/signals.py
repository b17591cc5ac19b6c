"""A build that receives a signal cleans up first, and then ends by that signal."""

from __future__ import annotations

import os
import signal
import threading

_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The signal *number* has come."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class Interruptible:
    """``with Interruptible():`` a terminating signal raises :class:`Interrupted`, once; at the end this process ends by
    it.

    Only in the main thread: Python delivers signals to no other.
    """

    def __enter__(self) -> Interruptible:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = signal.signal(number, self._raise)
        return self

    def _raise(self, number: int, frame) -> None:
        for each in self._before:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    def __exit__(self, kind, error, traceback) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, Interrupted):
            signal.signal(error.number, signal.SIG_DFL)
            os.kill(os.getpid(), error.number)
