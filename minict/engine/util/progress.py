"""Progress of layers: on a terminal one line per layer with a growing bar, elsewhere one line per change.

The words are Docker's, so that people and scripts know them.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

_BAR = 40  # characters at most


def printable(text: object) -> str:
    """*text* without control characters: it may come from others, and a terminal would obey it."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


class Progress:
    """*stream*: standard output or error. *quiet*: print nothing."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False):
        self._stream = stream or sys.stdout
        self._quiet = quiet
        self._lines: dict[str, str | tuple[str, int, int]] = {}  # a text, or verb, done and total of a bar
        self._drawn = 0
        self._next = 0.0
        self._live = not quiet and self._stream.isatty()

    def say(self, text: str) -> None:
        """Print a line of its own, above the layers."""
        if self._quiet:
            return
        self._erase()
        print(printable(text), file=self._stream)
        self._draw(now=True)
        self._stream.flush()

    def state(self, name: str, text: str) -> None:
        """Set the state of the layer *name*."""
        if self._quiet or self._lines.get(name) == text:
            return
        self._lines[name] = text
        if self._live:
            self._draw(now=True)
        else:
            print(f"{name}: {text}", file=self._stream, flush=True)

    def bar(self, name: str, verb: str, done: int, total: int) -> None:
        """Show that *done* of *total* bytes of the layer *name* are processed."""
        if self._live:
            self._lines[name] = verb, done, total
            self._draw()
        else:
            self.state(name, verb)

    def tell(self, name: str, verb: str, told: int | str, total: int) -> None:
        """Show a report of the worker of layer *name*: the number of bytes so far, or a message."""
        if isinstance(told, str):
            self.say(f"{name}: {told}")
        else:
            self.bar(name, verb, told, total)

    def close(self) -> None:
        """Keep what is on the terminal, and continue below it."""
        if self._live:
            self._draw(now=True)
            self._lines, self._drawn = {}, 0

    def _draw(self, now: bool = False) -> None:
        """Draw all lines, at most ten times per second unless *now*."""
        if not self._live or not self._lines or (not now and time.monotonic() < self._next):
            return
        self._next = time.monotonic() + 0.1
        columns, rows = self._size()
        lines = [_line(name, text, columns - 1) for name, text in self._lines.items()]
        if len(lines) >= rows:  # lines that scrolled off the screen can't be redrawn, and only the last ones change
            lines = lines[-(rows - 1) :]
        self._erase()
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()
        self._drawn = len(lines)

    def _erase(self) -> None:
        """Move to the first line and erase everything below it (ECMA-48: CPL and ED)."""
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _size(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            columns = rows = 0
        return columns or 80, rows or 24


def _line(name: str, text: str | tuple[str, int, int], width: int) -> str:
    """One line of at most *width* characters, with a bar that fills the available space."""
    if isinstance(text, str):
        return f"{name}: {text}"[:width]
    verb, done, total = text
    left, right = f"{name}: {verb} [", f"] {done / 1e6:.1f} of {total / 1e6:.1f} MB"
    room = max(0, min(_BAR, width - len(left) - len(right)))
    filled = room * done // max(total, 1)
    return f"{left}{'=' * filled}{'>' * (filled < room)}{' ' * (room - 1 - filled)}{right}"[:width]
