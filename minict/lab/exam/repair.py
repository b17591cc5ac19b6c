"""Part one of the exam: a ``mini_docker.py`` with five faults out of forty.

The dozen checks say what the kernel shows, and never which line is to blame.
"""

from __future__ import annotations

from .. import witnesses
from ..verdict import readable, tell
from . import faults
from .paper import Paper
from .results import note

_LONG = 300  # characters of a reason that are shown


class Repair(Paper):
    """The file with five faults.  :meth:`check` runs the dozen checks."""

    part = "faults"

    def __init__(self, seed: int):
        self.faults = faults.choose(seed)
        super().__init__("exam_faults", seed, faults.plant(self.faults, faults.whole()))

    def check(self) -> None:
        """Show which of the dozen checks fall and what each saw; record how many faults are repaired."""
        if self.tell_if_missing():
            return
        if broken := self.is_no_python():
            tell(f"✗ faults: the file is not Python any more: {broken}.")
            return
        examination = self.examine()
        points = self.points(examination)
        note(self.part, self.seed, points, len(self.faults))
        tell(readable(self.report(examination, points)))

    def examine(self) -> witnesses.Examination:
        """The dozen checks, each in a room of its own: what one leaves behind when it fails is not another's fault."""
        text = self.text
        alone = [witnesses.examine(text, [name]) for name in witnesses.CHECKS]
        return witnesses.Examination({name: why for each in alone for name, why in each.items()})

    def points(self, examination: witnesses.Examination) -> int:
        """How many of the faults are repaired: the check that finds one passes now, or would without the others."""
        return sum(not examination[fault.check] or self._is_hidden(fault) for fault in self.faults)

    def _is_hidden(self, fault: faults.Fault) -> bool:
        """Whether *fault* is repaired, and its check falls because of the other faults that are still there."""
        if self._without(fault, self.text) != self.text:
            return False
        alone = self.text
        for other in self.faults:
            alone = self._without(other, alone)
        return alone != self.text and not witnesses.examine(alone, [fault.check])[fault.check]

    def _without(self, fault: faults.Fault, text: str) -> str:
        """*text* without *fault*, where its lines are still those of the beginning; else the same *text*."""
        others = [other for other in self.faults if other is not fault]
        right = f"# exam {self.seed}\n{faults.plant(others, faults.whole())}".splitlines(keepends=True)
        wrong = self.start.splitlines(keepends=True)
        first = next(n for n, pair in enumerate(zip(wrong, right)) if pair[0] != pair[1])
        last = next(n for n, pair in enumerate(zip(reversed(wrong), reversed(right))) if pair[0] != pair[1])
        for context in (0, 1):  # a line such as "pass" may be there more than once
            start = first - context
            old, new = ("".join(lines[start : len(lines) - last + context]) for lines in (wrong, right))
            if old and text.count(old) == 1:
                return text.replace(old, new)
        return text

    def report(self, examination: witnesses.Examination, points: int) -> str:
        """What the checks saw, in words."""
        most, failed = len(self.faults), examination.failed
        if not failed:
            return f"● faults: all {most} are repaired, and all {len(examination)} checks pass."
        state = "○ faults: nothing is changed yet"
        if not self.is_untouched:
            state = f"✗ faults: {points} of {most} faults are repaired"
        lines = [f"{state}. {len(failed)} of {len(examination)} checks fall:"]
        errors = {name: _error(examination[name]) for name in failed}
        for name, error in errors.items():
            same = [other for other in errors if error and errors[other] == error]
            if len(same) < 3:
                lines.append(f"The check {name!r} says: {_short(examination[name])}")
            elif name == same[0]:
                lines.append(f"The checks {', '.join(map(repr, same))} say: {error}")
        if len(failed) > most - points:
            lines.append("One fault can make several checks fall, and hide another fault.")
        return "\n".join(lines)


def _error(reason: str) -> str:
    """The error of the file itself with which *reason* ends, or ""."""
    _, mark, error = reason.partition("mini_docker: ")
    return _short(mark + error) if mark else ""


def _short(reason: str) -> str:
    """*reason* in one paragraph: the beginning and the end of a long one."""
    text = " ".join(reason.split()).rstrip(":")
    return text if len(text) <= _LONG else f"{text[: _LONG // 2]} … {text[-_LONG // 2 :]}"
