"""For chapter 14: many containers at once, and many processes that want one thing.

:func:`lifelines` draws the lives of containers from the journal that ``minict events`` reads; :func:`race` lets
processes take one name at the same moment.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter

from minict.engine.system.journal import Journal

from .child import run_in_child
from .figures import CARD, FAINT, HUES, INK, LINE, MUTED, Picture, _Sheet

# what a container is -> the colour of its line
_COLOURS = {"created": "#94a3b8", "running": HUES[0], "paused": HUES[6], "waiting": "#e2e8f0"}
_NEXT = {"create": "created", "start": "running", "pause": "paused", "unpause": "running", "die": "waiting"}
_LEFT, _RIGHT, _TOP = 132, 60, 46


def race(take, processes: int = 20) -> int:
    """Let so many *processes* call ``take(path, id)`` with one path at the same moment; how many got True."""

    def run():
        with tempfile.TemporaryDirectory(prefix="race-") as directory:
            gate, opener = os.pipe()
            pids = [_racer(take, f"{directory}/name", str(number), gate, opener) for number in range(processes)]
            os.close(opener)  # the last one that is open: now all read the end of file, and run
            return sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1 for pid in pids)

    return run_in_child(run, timeout=120)


def _racer(take, path: str, id: str, gate: int, opener: int) -> int:
    """Fork a process that waits at the *gate* and ends with 1 when it has got the path; its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 2
    try:
        os.close(opener)
        os.read(gate, 1)
        status = int(take(path, id) is True)
    finally:
        os._exit(status)


def lifelines(boxes) -> Lifelines:
    """The lives of *boxes*, containers of :mod:`minict`, up to now: a line for each, in their order."""
    names, lives = {box.id: box.name for box in boxes}, {box.id: [] for box in boxes}
    with Journal() as journal:
        for event in journal.look():
            if event["id"] in lives and event["action"] in _NEXT:
                status = event["attributes"].get("exitCode")
                moment = event["time"] / 1e9
                lives[event["id"]].append((moment, _NEXT[event["action"]], None if status is None else int(status)))
    return Lifelines([(names[id], life) for id, life in lives.items() if life])


class Lifelines:
    """*lives*: for each container its name and what it became: (seconds since 1970, state, exit status or None).

    ``len()``: how many steps the drawing that moves has.
    """

    def __init__(self, lives: list[tuple[str, list[tuple[float, str, int | None]]]]):
        self.lives = lives
        moments = [moment for _, life in lives for moment, _, _ in life]
        self.begin, self.end = min(moments, default=0.0), max(moments, default=1.0)

    def __len__(self):
        return 40

    def __repr__(self):
        return repr(self.picture())

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture()._repr_mimebundle_()

    def draw(self, step: int) -> str:
        """HTML: what had happened after *step* of ``len()`` steps, for :func:`minict.lab.live`."""
        return self.picture(self.begin + (self.end - self.begin) * step / len(self)).as_html()

    def picture(self, until: float | None = None) -> Picture:
        """The lives up to the moment *until*, in seconds since 1970; the whole of them without it."""
        now, few = self.end if until is None else until, len(self.lives) <= 12
        row = 30 if few else 10
        sheet = _Sheet(920, _TOP + row * len(self.lives) + 74)
        self._draw_axis(sheet, _TOP + row * len(self.lives))
        for number, (name, life) in enumerate(self.lives):
            y = _TOP + row * (number + 0.5)
            if few or number % 5 == 0:
                sheet.text(_LEFT - 12, y, name, 11, INK, align="right", mono=True)
            self._draw_life(sheet, [each for each in life if each[0] <= now], y, now, 10 if few else 6)
        if now < self.end:
            x = self._x(now)
            sheet.line([(x, _TOP - 6), (x, _TOP + row * len(self.lives) + 6)], MUTED, 1.2, ":")
        return sheet.picture(self.in_words(now))

    def _x(self, moment: float) -> float:
        span = max(self.end - self.begin, 0.001)
        return _LEFT + (920 - _LEFT - _RIGHT) * (moment - self.begin) / span

    def _draw_axis(self, sheet: _Sheet, bottom: float) -> None:
        span = self.end - self.begin
        step = next((each for each in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60) if span / each <= 8), span / 8)
        second = 0.0
        while second <= span:
            x = self._x(self.begin + second)
            sheet.line([(x, _TOP - 8), (x, bottom + 4)], FAINT if second else LINE, 1)
            sheet.text(x, _TOP - 20, f"{second:g} s", 11, MUTED, align="center")
            second = round(second + step, 6)
        x = 24.0
        for name, colour in [(name, _COLOURS[name]) for name in _COLOURS] + [
            ("ended: 0", HUES[2]),
            ("1 to 125", HUES[1]),
            ("by a signal", HUES[9]),
        ]:
            if name in _COLOURS:
                sheet.box(x, bottom + 36, 22, 8, colour, radius=3)
            else:
                sheet.dot(x + 14, bottom + 40, 6, colour)
            sheet.text(x + 28, bottom + 40, name, 11, INK)
            x += 46 + 7.6 * len(name)

    def _draw_life(self, sheet: _Sheet, life: list, y: float, now: float, width: float) -> None:
        for number, (moment, state, _) in enumerate(life):
            last = number + 1 == len(life)
            if not (last and state == "waiting"):
                x, end = self._x(moment), self._x(now if last else life[number + 1][0])
                sheet.box(x, y - width / 2, max(end - x, 2), width, _COLOURS[state], radius=1)
        for moment, state, status in life:
            if state == "waiting":
                sheet.dot(self._x(moment), y, width / 2 + 1, colour_of(status))
        if life and life[-1][1] == "waiting" and width > 8:
            sheet.text(self._x(life[-1][0]) + 12, y, str(life[-1][2]), 11, INK, "bold", mono=True)

    def in_words(self, now: float) -> str:
        """What the picture shows, for a screen reader."""
        last = [[each for each in life if each[0] <= now][-1:] for _, life in self.lives]
        ended = Counter(each[0][2] for each in last if each and each[0][1] == "waiting")
        others = Counter(each[0][1] for each in last if each and each[0][1] != "waiting")
        told = [f"{count} ended with status {status}" for status, count in sorted(ended.items())]
        told += [f"{count} {state}" for state, count in sorted(others.items())]
        runs = sum(state == "running" for _, life in self.lives for _, state, _ in life) if len(self.lives) == 1 else 0
        more = f", after {runs} runs" if runs > 1 else ""
        count = f"{len(self.lives)} container{'' if len(self.lives) == 1 else 's'}"
        return f"lifelines of {count}: {', '.join(told) or 'none begun'}{more}"


def colour_of(status: int | None) -> str:
    """The colour of an end: green, orange for a program's own failure, red for one that a signal ended."""
    return CARD if status is None else HUES[2] if status == 0 else HUES[9] if status > 128 else HUES[1]
