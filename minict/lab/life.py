"""Chapter 01's pictures: two processes from fork to wait, measured, and the 16 bits of a wait status."""

from __future__ import annotations

import html
import os
import select
import time

from minict.runtime import process
from minict.runtime.errors import ContainerError
from minict.runtime.process import exit_status, find, spawn

from .figures import BUILT, BUILT_EDGE, CARD, FAINT, HUES, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

# ---- chapter 01 put together -----------------------------------------------------------------------------------


def run(words, prepare):
    """Call prepare() in a child, execute the command words there, and return how it ended, as a shell reports it."""

    def work():
        prepare()
        try:
            os.execv(find(words[0], []), words)
        except ContainerError as error:
            os._exit(error.status)

    return exit_status(os.waitpid(spawn(work), 0)[1])


# ---- lives -----------------------------------------------------------------------------------------------------

_TRIES = 12  # the fastest is drawn: the others also show what else the machine was doing
_NAP = 0.002  # seconds before the parent waits for the ended child

# How the steps of a container's birth begin -> the part of the course that builds them.  The first that fits counts.
_PARTS = (
    (("join the cgroup", "unshare the cgroup"), "cgroups · 08", HUES[2]),
    (("begin a session", "wait for start", "open the terminal"), "session · 13", HUES[5]),
    (("mask", "make /proc"), "hide and protect · 05", HUES[4]),
    (("set the host name", "set the domain name"), "host name · 02", HUES[8]),
    (("bring the loopback", "wait for the network", "sysctl"), "network · 09", HUES[6]),
    (("set limits", "drop cap", "install the seccomp", "become user"), "security · 12", HUES[9]),
    (("execve",), "exec · 01", LIT),
    (("",), "root file system · 04, 05", HUES[7]),
)
_PROGRAM = "#0f172a"


class Life:
    """One child: the moments of its life in nanoseconds of one clock, and what it did until its execve was done."""

    def __init__(self, title: str, call: str, born: int, executed: int, ended: int, waited: int, parts: list):
        self.title, self.call, self.born, self.executed = title, call, born, executed
        self.ended, self.waited, self.parts = ended, waited, parts  # parts: (name, colour, begin, end)

    @property
    def gap(self) -> float:
        """Milliseconds from the child's first moment to its execve."""
        return (self.executed - self.born) / 1e6


def lifelines(image: str = "tiny") -> Picture:
    """The timelines of two processes that execute ``true``, an ordinary one and one in a container, measured now."""
    lives = [
        min((make() for _ in range(_TRIES)), key=lambda life: life.waited - life.born)
        for make in (_ordinary, lambda: _contained(image))
    ]
    return _draw(lives)


def _ordinary() -> Life:
    told, tell = os.pipe2(os.O_CLOEXEC)  # close-on-exec: its end is the moment of a successful execve

    def work():
        os.write(tell, b"%d" % time.monotonic_ns())
        os.execv("/bin/true", ["true"])

    pid = process.spawn(work)
    os.close(tell)
    with open(told, "rb") as pipe:
        born = int(pipe.read())
    executed = time.monotonic_ns()
    pidfd = os.pidfd_open(pid)
    ended = _end_of(pidfd)
    os.close(pidfd)
    time.sleep(_NAP)
    waited = time.monotonic_ns()
    os.waitpid(pid, 0)
    return Life("an ordinary command", "fork", born, executed, ended, waited, [(*_part_of("execve"), born, executed)])


def _contained(image: str) -> Life:
    from minict.engine import api

    running = api.run(image, "true", network="none", detach=True, trace=True)
    ended = _end_of(running._container.pidfd)
    time.sleep(_NAP)
    waited = time.monotonic_ns()
    running.wait()
    steps = {trace.who: trace.steps for trace in running._container.traces}
    parent, child = steps["parent"], steps["child"]
    executed = next(end for name, _, end in parent if name == "wait for execve")
    parts: list[Any] = []
    # the child can't report when its execve has succeeded
    for name, begin, end in [*child[:-1], (*child[-1][:2], executed)]:
        words, colour = _part_of(name)
        if parts and parts[-1][0] == words:
            parts[-1] = (words, colour, parts[-1][2], end)
        else:
            parts.append((words, colour, begin, end))
    return Life("the same in a container", "clone", child[0][1], executed, ended, waited, parts)


def _part_of(step: str) -> tuple[str, str]:
    return next((words, colour) for starts, words, colour in _PARTS if step.startswith(starts))


def _end_of(pidfd: int) -> int:
    select.select([pidfd], [], [])  # readable once the process has ended, even if nobody has waited for it yet
    return time.monotonic_ns()


def _draw(lives: list[Life]) -> Picture:
    sheet = _Sheet(920, 46 + 176 * len(lives) + 52)
    unit = 620 / max(life.waited - life.born for life in lives)
    for number, life in enumerate(lives):
        _draw_life(sheet, life, 40 + 176 * number, unit)
    _legend(sheet, lives, sheet.height - 48)
    return sheet.picture(
        "the lives of two processes from fork to wait, an ordinary command and the same in a "
        "container: there the gap between fork and execve is full of steps"
    )


def _draw_life(sheet: _Sheet, life: Life, y: float, unit: float) -> None:
    """The parent above, the child below.  To scale from the child's first moment on; *unit*: length of a nanosecond."""
    left, right, start = 130, 894, 206

    def x(moment):
        return start + (moment - life.born) * unit

    executed, ended, waited = x(life.executed), x(life.ended), x(life.waited)
    sheet.text(24, y - 14, life.title, 12.5, INK, "bold")
    sheet.text(24, y + 28, "this notebook", 10.5, MUTED)
    sheet.text(24, y + 98, "its child", 10.5, MUTED)
    sheet.box(left, y + 15, right - left, 26, BUILT, BUILT_EDGE, 5)
    for words, place in ((life.call, start - 34), ("waitpid", waited)):
        sheet.text(place, y + 4, words, 10, LIT_EDGE, "bold", "center")
        sheet.line([(place, y + 11), (place, y + 45)], LIT_EDGE, 2)
    sheet.line([(start - 34, y + 45), (start - 34, y + 98), (start, y + 98)], MUTED, 1.6)
    sheet.line([(waited, y + 84), (waited, y + 45)], MUTED, 1.6)
    for _, colour, begin, end in life.parts:
        sheet.box(x(begin), y + 84, max(1.4, x(end) - x(begin)), 28, colour, "none", 0)
    sheet.box(ended, y + 84, waited - ended, 28, FAINT, MUTED, 0, 1.4, "--")
    sheet.box(executed, y + 84, max(2, ended - executed), 28, _PROGRAM, "none", 0)
    if waited - ended > 44:
        sheet.text((ended + waited) / 2, y + 98, "zombie", 10, MUTED, align="center")
    else:  # too narrow for the word
        sheet.text(waited + 6, y + 98, "zombie", 10, MUTED)
    sheet.line([(executed, y + 66), (executed, y + 116)], LIT_EDGE, 2)
    sheet.text(executed - 5, y + 72, "execve", 10, LIT_EDGE, "bold", "right")
    sheet.text(executed + 6, y + 72, "true", 10, _PROGRAM, "bold", mono=True)
    sheet.line([(start, y + 121), (start, y + 126), (executed, y + 126), (executed, y + 121)], MUTED, 1.4)
    sheet.text(start, y + 138, f"the gap: {life.gap:.1f} ms", 10.5, INK, "bold")


def _legend(sheet: _Sheet, lives: list[Life], y: float) -> None:
    """A chip for each part of the gap, in order of appearance; the number is the chapter's."""
    place = 24
    for name, colour in dict.fromkeys((name, colour) for life in lives for name, colour, _, _ in life.parts):
        width = 44 + 5.4 * len(name)
        if place + width > 900:
            place, y = 24, y + 22
        sheet.box(place, y - 6, 12, 12, colour, "none", 2)
        sheet.text(place + 18, y, name, 9.5, INK)
        place += width


# ---- sixteen bits ------------------------------------------------------------------------------------------------

_FIELDS = (("exit status", 8, 16, HUES[0]), ("core dump", 7, 8, MUTED), ("signal", 0, 7, LIT))  # name, from bit, to bit


def _field_of(bit: int):
    return next(field for field in _FIELDS if field[1] <= bit < field[2])


def _value(status: int, field) -> int:
    _, low, high, _ = field
    return status >> low & (1 << high - low) - 1


def wait_statuses(statuses: dict[str, int]) -> Picture:
    """The bits of some wait statuses, a row each, by the names of the ends that they report.  Source: wait(2)."""
    sheet = _Sheet(920, 76 + 40 * len(statuses))
    left, step = 250, 27

    def x(bit):
        return left + (15 - bit) * step + (8 if bit < 8 else 0) + (8 if bit < 7 else 0)

    for name, low, high, colour in _FIELDS:
        middle = (x(high - 1) + x(low) + 22) / 2
        sheet.text(middle, 30, name.replace(" ", "\n") if high - low == 1 else name, 10, colour, "bold", "center")
    sheet.text(left - 24, 30, "number", 10, MUTED, align="right")
    sheet.text(24, 30, "the child", 10, MUTED)
    sheet.text(x(0) + 44, 30, "says", 10, MUTED)
    for row, (words, status) in enumerate(statuses.items()):
        y = 56 + 40 * row
        sheet.text(24, y + 11, words, 11.5, INK, mono=True)
        sheet.text(left - 24, y + 11, str(status), 12, INK, "bold", "right", True)
        for bit in reversed(range(16)):
            colour, is_set = _field_of(bit)[3], status >> bit & 1
            sheet.box(x(bit), y, 22, 22, colour if is_set else FAINT, colour if is_set else LINE, 4)
            sheet.text(x(bit) + 11, y + 11, str(is_set), 10, CARD if is_set else MUTED, align="center", mono=True)
        said, colour = _said(status)
        sheet.text(x(0) + 44, y + 11, said, 11.5, colour, "bold")
    return sheet.picture(
        "the bits of some wait statuses: "
        + "; ".join(f"{words}: {status}, {_said(status)[0]}" for words, status in statuses.items())
    )


def _said(status: int) -> tuple[str, str]:
    signal, code = _value(status, _FIELDS[2]), _value(status, _FIELDS[0])
    return (f"signal {signal}", LIT_EDGE) if signal else (f"exit status {code}", HUES[0])


def wait_status(words: str, status: int) -> str:
    """The bits of one wait status as SVG, for :func:`minict.lab.live`: the highest first, as they are read."""
    size, step, parts = 26, 31, []

    def x(bit):
        return 14 + (15 - bit) * step + (10 if bit < 8 else 0) + (10 if bit < 7 else 0)

    def text(x, y, words, colour, more=""):
        parts.append(f"<text x='{x}' y='{y}' fill='{colour}' {more}>{html.escape(str(words))}</text>")

    for bit in reversed(range(16)):
        colour, is_set = _field_of(bit)[3], status >> bit & 1
        parts.append(
            f"<rect x='{x(bit)}' y='52' width='{size}' height='{size}' rx='5' "
            f"fill='{colour if is_set else FAINT}' stroke='{colour if is_set else LINE}'/>"
        )
        text(x(bit) + size / 2, 70, is_set, CARD if is_set else MUTED, "text-anchor='middle' font-family='monospace'")
    for field in _FIELDS:
        name, low, high, colour = field
        begin, end = x(high - 1), x(low) + size
        parts.append(f"<line x1='{begin}' x2='{end}' y1='86' y2='86' stroke='{colour}' stroke-width='2'/>")
        shown = "core" if high - low == 1 else f"{name} {_value(status, field)}"
        text((begin + end) / 2, 104, shown, colour, "text-anchor='middle' font-weight='bold'")
    said, colour = _said(status)
    text(14, 26, words, INK, "font-family='monospace' font-size='15'")
    text(318, 26, "wait status", MUTED, "text-anchor='end'")
    text(326, 26, status, INK, "font-weight='bold' font-size='15'")
    text(x(0) + size, 26, said, colour, "text-anchor='end' font-weight='bold' font-size='15'")
    return (
        "<svg width='560' height='116' viewBox='0 0 560 116' font-family='sans-serif' font-size='13'>"
        + "".join(parts)
        + "</svg>"
    )
