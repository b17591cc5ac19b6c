"""Part one of the exam: a ``mini_docker.py`` with five faults out of forty.

The dozen checks say what the kernel shows, and never which line is to blame.
"""

from __future__ import annotations

from .. import witnesses
from ..verdict import readable, tell
from . import faults
from .paper import Paper
from .results import note


class Repair(Paper):
    """The file with five faults.  :meth:`check` runs the dozen checks."""

    part = "faults"

    def __init__(self, seed: int):
        self.faults = faults.choose(seed)
        super().__init__("exam_faults.py", seed, faults.plant(self.faults, faults.whole()))

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
        """How many of the faults are repaired: the check that finds one passes now."""
        return sum(not examination[fault.check] for fault in self.faults)

    def report(self, examination: witnesses.Examination, points: int) -> str:
        """What the checks saw, in words."""
        most, failed = len(self.faults), examination.failed
        if not failed:
            return f"● faults: all {most} are repaired, and all {len(examination)} checks pass."
        state = "○ faults: nothing is changed yet"
        if not self.is_untouched:
            state = f"✗ faults: {points} of {most} faults are repaired"
        reasons = [f"The check {name!r} says: {examination[name].strip()}" for name in failed]
        return "\n".join([f"{state}. {len(failed)} of {len(examination)} checks fall:", *reasons])

    def is_no_python(self) -> str:
        """Why Python can't read the file; an empty text if it can."""
        try:
            compile(self.text, self.name, "exec")
        except SyntaxError as error:
            return f"{error.msg}, line {error.lineno}"
        return ""
