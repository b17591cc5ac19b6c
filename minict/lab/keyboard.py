"""For chapter 13: to type into a terminal from a notebook, to see who is in front, and to follow a byte on its way.

========================  =============================================================================
:func:`press`             types into a terminal, and returns what its screen shows
:func:`read_to_end`       every byte that comes out of a terminal, until nobody has it open any more
:func:`in_front`          the program in the foreground of a terminal
:func:`until_in_front`    waits until a program is there
:func:`until_asleep`      waits until a container's programs have nothing to do but wait
:func:`keystrokes`        types into two terminals in a row, and records each byte at each station
========================  =============================================================================

A terminal is given by the descriptor of its master, such as ``box.terminal``.
"""

from __future__ import annotations

import os
import re
import select
import tempfile
import time

import minict
from minict.runtime import terminal

from . import host
from .figures import BUILT, BUILT_EDGE, CARD, FAINT, HOST, HUES, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet

_LIMIT = 30.0  # seconds for anything that should be there at once, on a very busy machine
# what a shell says to the terminal and not to the person: where is the cursor, in which colour, how wide
_ORDERS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def press(master: int, keys: str, until: str = "") -> str:
    """Type *keys*, and return what the screen shows from then on until it has shown *until*, or the terminal's end.

    Without *until*, only what is there after the last key. Orders to the screen and ``\\\\r`` are left out. Raises
    :class:`TimeoutError` with what was shown, if *until* never comes.
    """
    if keys:
        os.write(master, keys.encode())
    shown, end = b"", time.monotonic() + _LIMIT
    while not until or until.encode() not in _plain(shown):
        ready = select.select([master], [], [], 0.2 if until else 0)[0]
        data = _read(master) if ready else b""
        shown += data
        if not data and (ready or not until):
            break
        if time.monotonic() > end:
            raise TimeoutError(
                f"the terminal has never shown {until!r}, but: {_plain(shown).decode(errors='replace')!r}"
            )
    return _plain(shown).decode(errors="replace")


def _plain(shown: bytes) -> bytes:
    return _ORDERS.sub(b"", shown).replace(b"\r", b"")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # EIO: nobody has the terminal open any more
        return b""


def read_to_end(master: int) -> bytes:
    """Every byte that the screen shows, until no process has the terminal open any more. Source: pty(7)."""
    shown = b""
    while data := _read(master):
        shown += data
    return shown


def in_front(master: int) -> str:
    """The name of the program that leads the foreground group of the terminal; empty if there is none.

    Source: tcgetpgrp(3), proc_pid_comm(5).
    """
    try:
        with open(f"/proc/{os.tcgetpgrp(master)}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def until_in_front(master: int, name: str) -> None:
    """Wait until the program *name* is in the foreground. Raises :class:`TimeoutError` after half a minute."""
    end = time.monotonic() + _LIMIT
    while in_front(master) != name:
        if time.monotonic() > end:
            raise TimeoutError(f"in the foreground is {in_front(master) or 'nobody'}, and never came {name}")
        time.sleep(0.01)


def until_asleep(pid: int) -> None:
    """Wait until the process *pid* has a ``sleep`` below it, or is one, and waits itself: no handler is missing then.

    Raises :class:`TimeoutError` after half a minute.
    """
    end = time.monotonic() + _LIMIT
    while time.monotonic() < end:
        table = host.process_table()
        family = [table[each] for each in {pid, *host.descendants(table, pid)} if each in table]
        if any(each.name == "sleep" for each in family) and all(each.state == "S" for each in family):
            return
        time.sleep(0.01)
    raise TimeoutError("the container has never come to rest")


# ---- the way of one byte -------------------------------------------------------------------------------------------

_NAMES = {"\r": "Enter", "\x03": "Ctrl-C", "\x04": "Ctrl-D", "\x7f": "Backspace", " ": "Space"}
STATIONS = ("keyboard", "client", "master", "program", "screen")
_UNDER = ("sends", "passes on", "hands out", "reads", "shows")


class Press:
    """One key: the bytes at each of :data:`STATIONS`; ``program`` is None where it has got a signal instead."""

    def __init__(self, key: str, client: bytes, master: bytes, program: bytes | None, screen: bytes):
        control = f"Ctrl-{chr(ord(key) + 64)}" if key < " " else key
        self.key, self.name = key, _NAMES.get(key, control)
        self.bytes = dict(zip(STATIONS, (key.encode(), client, master, program, screen)))


def keystrokes(keys: str | bytes = "ls\r\x03") -> Keystrokes:
    """Press *keys* at a terminal whose client runs ``tee`` in a container, and record what passes where.

    Your terminal is one pseudo terminal, made raw by :func:`minict.runtime.terminal.raw`; the container's is another.
    What ``tee`` reads it writes to a file as well, which we look into. Keys that end the program come last.
    """
    recorded = []
    keys = keys.decode() if isinstance(keys, bytes) else keys
    with tempfile.TemporaryDirectory(prefix="keystrokes-") as directory:
        hands, yours = os.openpty()  # hands: the side of your keyboard and your screen
        before = terminal.raw(yours)
        options = {"volume": [f"{directory}:/seen"], "network": "none", "tty": True, "init": True, "detach": True}
        try:
            with minict.run("tiny", "tee /seen/log", **options) as box:
                until_in_front(box.terminal, "tee")
                for key in keys:
                    recorded.append(_follow(key, hands, yours, box, f"{directory}/log"))
                    if box.status != "running":
                        break
            terminal.restore(yours, before)
        finally:
            os.close(hands)
            os.close(yours)
    return Keystrokes(recorded)


def _follow(key: str, hands: int, yours: int, box, log: str) -> Press:
    """Press one key, be the client for it, and wait until its effect is complete: see :func:`_is_complete`."""
    known = os.path.getsize(log) if os.path.exists(log) else 0
    os.write(hands, key.encode())
    passed = os.read(yours, 64)  # the client reads from your terminal
    os.write(box.terminal, passed)
    out, fresh, end = b"", b"", time.monotonic() + _LIMIT
    while not _is_complete(key, out, fresh, box.status == "running") and time.monotonic() < end:
        if select.select([box.terminal], [], [], 0.01)[0]:
            out += _read(box.terminal)
        fresh = _from(log, known)
    if select.select([box.terminal], [], [], 0)[0]:
        out += _read(box.terminal)
    os.write(yours, out)
    screen = os.read(hands, 65536) if out else b""
    return Press(key, passed, out, None if key == "\x03" and not fresh else fresh, screen)


def _is_complete(key: str, out: bytes, fresh: bytes, runs: bool) -> bool:
    """Whether *out* of the terminal, and the *fresh* bytes that tee has read, are all that comes of the key."""
    if not runs:
        return True
    if key in ("\r", "\n"):
        return bool(fresh) and out == b"\r\n" + fresh.replace(b"\n", b"\r\n")
    if key == "\x04":
        return bool(fresh) and out == fresh
    return bool(out) and key != "\x03"


def _from(path: str, place: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(place)
            return file.read()
    except FileNotFoundError:
        return b""


class Keystrokes:
    """The record of several keys, as a picture; ``draw(n)`` is that after *n* keys. ``len()``: how many."""

    def __init__(self, pressed: list[Press]):
        self.pressed = pressed

    def __len__(self):
        return len(self.pressed)

    def __repr__(self):
        return repr(self.picture())

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture()._repr_mimebundle_()

    def draw(self, count: int) -> str:
        """HTML: the picture after *count* keys, for :func:`minict.lab.live`."""
        return self.picture(count).as_html()

    def picture(self, count: int | None = None) -> Picture:
        """The first *count* keys as a picture; all of them without a number."""
        shown = self.pressed if count is None else self.pressed[:count]
        sheet, row = _Sheet(920, 168 + 46 * len(self.pressed)), 46
        last = shown[-1] if count and shown else None
        self._draw_stations(sheet, last)
        places = (110, 262, 580, 428, 746)  # where the columns stand: the bytes go in, turn round, and come back
        for number, press in enumerate(self.pressed):
            y = 160 + row * number
            lit, done = press is last, press in shown
            sheet.box(14, y, 892, row - 8, "#fff7ed" if lit else FAINT, LIT if lit else LINE, 7)
            sheet.text(28, y + 19, press.name, 12, INK if done else HOST, "bold")
            for x, station in zip(places, STATIONS if done else ()):
                self._draw_bytes(sheet, x, y + 19, press.bytes[station])
        return sheet.picture(self.in_words(count))

    @staticmethod
    def _draw_bytes(sheet, x, y, data: bytes | None) -> None:
        if data is None:
            sheet.box(x, y - 12, 128, 24, HUES[9], radius=6)
            return sheet.text(x + 64, y, "signal SIGINT", 11, CARD, "bold", "center")
        words = repr(data)[1:] if data else "nothing yet"
        return sheet.text(x, y, words, 11, INK if data else MUTED, "bold" if data else "normal", mono=bool(data))

    @staticmethod
    def _draw_stations(sheet, last: Press | None) -> None:
        """The stations as boxes, and the way in and back between them."""
        boxes = (
            (110, "your keyboard", "sends"),
            (262, "client", "passes on"),
            (428, "program", "has read"),
            (580, "master", "hands out"),
            (746, "your screen", "shows"),
        )
        for x, name, detail in boxes:
            kernel = name == "program"
            sheet.box(x - 8, 84, 142, 52, BUILT if not kernel else "#fff7ed", LIT if kernel else BUILT_EDGE, 8, 1.5)
            sheet.text(x + 63, 102, name, 12, LIT_EDGE if kernel else INK, "bold", "center")
            sheet.text(x + 63, 121, detail, 11, MUTED, align="center")
        for x, to_x in ((246, 253), (398, 419), (564, 571), (716, 737)):
            sheet.arrow(x, 110, to_x, 110, MUTED)
        sheet.box(396, 20, 200, 44, "#1e293b", radius=7)
        sheet.text(496, 34, "the container's terminal", 11, CARD, "bold", "center")
        sheet.text(496, 51, "line discipline: echo, lines, signals", 11, "#cbd5e1", align="center")
        sheet.arrow(470, 66, 470, 82, LIT_EDGE)
        sheet.arrow(525, 82, 525, 66, LIT_EDGE)
        sheet.box(150, 20, 200, 44, "#1e293b", radius=7)
        sheet.text(250, 34, "your own terminal", 11, CARD, "bold", "center")
        sheet.text(250, 51, "raw: it changes nothing", 11, "#cbd5e1", align="center")

    def in_words(self, count: int | None = None) -> str:
        """What the picture shows, as text for a screen reader."""
        shown = self.pressed if count is None else self.pressed[:count]
        told = [
            f"{each.name}: the program gets "
            + (
                "a signal"
                if each.bytes["program"] is None
                else repr(each.bytes["program"])[1:]
                if each.bytes["program"]
                else "nothing"
            )
            + f", the screen {repr(each.bytes['screen'])[1:]}"
            for each in shown
        ]
        return "the way of each key: " + "; ".join(told) if told else "no key was pressed yet"
