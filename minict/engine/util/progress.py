"""What a person sees while layers travel: on a terminal a line a layer with a bar that grows, elsewhere a line a
change.

The words are Docker's, so that whoever reads them, a person or a script, knows them.
"""

from __future__ import annotations

import os
import sys
import time

_BAR = 40  # letters at most


def printable(text: object) -> str:
    """*text* without what a terminal would obey: others may have written it."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


class Progress:
    """*stream*: where to, standard output or error; *quiet*: nowhere."""

    def __init__(self, stream=None, quiet: bool = False):
        self._stream = stream or sys.stdout
        self._quiet = quiet
        self._lines: dict[str, str | tuple] = {}  # a text, or what is behind a bar
        self._drawn = 0
        self._next = 0.0
        self._live = not quiet and self._stream.isatty()

    def say(self, text: str) -> None:
        """A line of its own, above the layers."""
        if self._quiet:
            return
        self._erase()
        print(printable(text), file=self._stream)
        self._draw(now=True)
        self._stream.flush()

    def state(self, name: str, text: str) -> None:
        """The layer *name* is in a new state."""
        if self._quiet or self._lines.get(name) == text:
            return
        self._lines[name] = text
        if self._live:
            self._draw(now=True)
        else:
            print(f"{name}: {text}", file=self._stream, flush=True)

    def bar(self, name: str, verb: str, done: int, total: int) -> None:
        """The layer *name* has got to *done* of *total* bytes."""
        if self._live:
            self._lines[name] = verb, done, total
            self._draw()
        else:
            self.state(name, verb)

    def tell(self, name: str, verb: str, told: int | str, total: int) -> None:
        """What the worker at the layer *name* has told: how far it is, or a sentence."""
        if isinstance(told, str):
            self.say(f"{name}: {told}")
        else:
            self.bar(name, verb, told, total)

    def close(self) -> None:
        """What is on the terminal stays there."""
        if self._live:
            self._draw(now=True)
            self._lines, self._drawn = {}, 0

    def _draw(self, now: bool = False) -> None:
        """All lines anew, ten times a second at most."""
        if not self._live or not self._lines or (not now and time.monotonic() < self._next):
            return
        self._next = time.monotonic() + 0.1
        columns, rows = self._size()
        lines = [_line(name, text, columns - 1) for name, text in self._lines.items()]
        if len(lines) >= rows:  # what has left the screen upwards can't be drawn anew: the last are those that move
            lines = lines[-(rows - 1) :]
        self._erase()
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()
        self._drawn = len(lines)

    def _erase(self) -> None:
        """Back to the first line, and everything below it away (ECMA-48: CPL and ED)."""
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _size(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            columns = rows = 0
        return columns or 80, rows or 24


def _line(name: str, text: str | tuple, width: int) -> str:
    """One line of *width* letters at most, with the bar as long as there is room."""
    if isinstance(text, str):
        return f"{name}: {text}"[:width]
    verb, done, total = text
    left, right = f"{name}: {verb} [", f"] {done / 1e6:.1f} of {total / 1e6:.1f} MB"
    room = max(0, min(_BAR, width - len(left) - len(right)))
    filled = room * done // max(total, 1)
    return f"{left}{'=' * filled}{'>' * (filled < room)}{' ' * (room - 1 - filled)}{right}"[:width]
