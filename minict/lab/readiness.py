"""For chapter 18: when is a server ready?

:func:`ready` and :func:`until` are the references of two exercises, and what the chapter's cells use. :func:`lanes`
asks several questions again and again while a server starts, and draws when each was answered with yes.
:class:`Doctor` makes a container's health checks when the notebook asks, with the class that does it for minict run.
"""

from __future__ import annotations

import select
import socket
import time

import minict
from minict.engine.lifecycle import healthcheck

from .figures import FAINT, HUES, INK, LINE, MUTED, Picture, _Sheet

_DAY = 86400 * 10**9  # nanoseconds


def ready(address, port, seconds=1):
    """Whether a server at address:port says something within so many seconds. It never raises OSError."""
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            return connection.recv(1) != b""
    except OSError:
        return False


def until(question, seconds):
    """The first true answer of question(), asked after pauses of 0.01, 0.02, 0.04 … s, at most 1 s.

    Raises TimeoutError instead of a pause that would end after so many seconds.
    """
    pause, end = 0.01, time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() + pause > end:
            raise TimeoutError(f"no answer in {seconds} seconds")
        time.sleep(pause)
        pause = min(2 * pause, 1)
    return answer


def is_open(address: str, port: int) -> bool:
    """Whether a connection to address:port can be opened. It says nothing about a program behind the port."""
    try:
        socket.create_connection((address, port), timeout=1).close()
        return True
    except OSError:
        return False


# ---- lanes -----------------------------------------------------------------------------------------------------


def lanes(questions: dict, seconds: float = 100) -> Lanes:
    """Ask all *questions*, {name: function}, in turn, until all have said yes three times in a row, or for *seconds*.

    The last question is asked first in each turn: if it is yes, then those before it were yes for longer.
    """
    begin, asked = time.monotonic(), []
    while not (len(asked) >= 3 and all(all(answers.values()) for _, answers in asked[-3:])):
        now = time.monotonic() - begin
        if now > seconds:
            break
        answers = {name: bool(questions[name]()) for name in reversed(questions)}
        asked.append((now, {name: answers[name] for name in questions}))
        time.sleep(0.02)
    return Lanes(asked)


class Lanes:
    """What was answered when: *asked* is a list of (seconds, {question: bool}). It shows itself as a picture."""

    def __init__(self, asked: list):
        self.asked = asked

    def spans(self, name: str) -> list[tuple[float, float]]:
        """The times (from, to) in which the question *name* was answered with yes, in seconds."""
        found, since = [], None
        for at, answers in [*self.asked, (self.asked[-1][0] + 0.02, {})]:
            if answers.get(name) and since is None:
                since = at
            elif not answers.get(name) and since is not None:
                found.append((since, at))
                since = None
        return found

    @property
    def sentence(self) -> str:
        """What is drawn, in words; not how often the answer has changed, which depends on the machine."""
        names = list(self.asked[0][1])
        never = [name for name in names if not self.spans(name)]
        told = f"; never: {', '.join(never)}" if never else ""
        return f"when a server that starts says yes to each question: {', '.join(names)}{told}"

    def picture(self, until_second: float | None = None) -> Picture:
        """The lanes, up to *until_second*, or all."""
        names, end = list(self.asked[0][1]), self.asked[-1][0] + 0.02
        shown = end if until_second is None else until_second
        left, width = 250, 630
        sheet = _Sheet(920, 70 + 42 * len(names))
        for row, name in enumerate(names):
            y = 20 + 42 * row
            sheet.text(26, y + 14, name, 12, INK, "bold")
            sheet.box(left, y, width, 28, FAINT, LINE, 5)
            for since, to in self.spans(name):
                if since < shown:
                    x, till = left + width * since / end, left + width * min(to, shown) / end
                    sheet.box(x, y + 2, max(till - x, 4), 24, HUES[row % len(HUES)], radius=2)
        y = 20 + 42 * len(names)
        sheet.line([(left + width * shown / end, 14), (left + width * shown / end, y - 8)], INK, 1.2, "--")
        sheet.text(left, y + 12, "0 s: the container starts", 11, MUTED)
        sheet.text(left + width, y + 12, f"{end:.1f} s", 11, MUTED, align="right")
        return sheet.picture(self.sentence)

    @property
    def moments(self) -> list[float]:
        """Twenty moments between the start and the end, in seconds, for :func:`minict.lab.live`."""
        return [round(self.asked[-1][0] * number / 20, 2) for number in range(1, 21)]

    def draw(self, until_second: float) -> str:
        """HTML: the lanes up to this second, for :func:`minict.lab.live`."""
        return self.picture(until_second).as_html()

    def __repr__(self):
        return repr(self.picture())

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture()._repr_mimebundle_()


# ---- health ----------------------------------------------------------------------------------------------------


class Doctor:
    """The health checks of the container *box*: the shell *command* is run in it each time :meth:`examine` is called.

    *retries*: so many failures in a row make the container unhealthy.
    """

    def __init__(self, box: minict.engine.api.Running, command: str, retries: int = 3):
        times = dict.fromkeys(("Interval", "StartInterval", "Timeout"), _DAY)  # never by itself
        policy = {**times, "Test": ["CMD-SHELL", command], "StartPeriod": 0, "Retries": retries}
        self._health = healthcheck.Health(box._record, policy)

    def examine(self) -> str:
        """Run the check once; its exit status, the failures in a row, and the status of the container, in words."""
        health = self._health
        health.next = 0
        health.look(False)
        select.select([health.fd], [], [])
        health.look(True)
        return f"exit status {health.results[-1]['ExitCode']}, failures in a row: {health.failures}: {health.status}"
