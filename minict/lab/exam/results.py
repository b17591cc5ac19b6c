"""What was reached in the exam: the best result of each part, in the learner's record."""

from __future__ import annotations

import os
import random

from .. import record

FIXED = 10  # the number of the exam where CI is set: what the notebook shows is then always the same
SECTION = "exam"  # of the record
_ENOUGH = 2 / 3  # of the points of a part


class Part:
    """A part of the exam: its *id*, what its points are in words, and the *minutes* that it should take."""

    def __init__(self, id: str, title: str, minutes: int):
        self.id, self.title, self.minutes = id, title, minutes

    @property
    def best(self) -> dict:
        """The best result so far: ``points``, ``most`` and the ``seed`` of that exam; empty before the first."""
        return record.section(SECTION).get(self.id, {})

    @property
    def is_passed(self) -> bool:
        """Whether two thirds of its points were reached once."""
        return bool(self.best) and self.best["points"] >= _ENOUGH * self.best["most"]


PARTS = (
    Part("faults", "faults repaired", 60),
    Part("bodies", "functions written from memory", 40),
    Part("stranger", "questions answered by looking", 40),
)


def own_number() -> int:
    """The number of the learner's own exam, which is drawn once and then stays."""
    if os.environ.get("CI"):
        return FIXED
    entry = record.section(SECTION).get("own")
    if not entry:
        record.note(SECTION, "own", seed=random.SystemRandom().randrange(1000, 10000))
        entry = record.section(SECTION)["own"]
    return entry["seed"]


def note(part: str, seed: int, points: int, most: int) -> None:
    """Record that *points* of *most* were reached in a part of the exam; the best result stays."""
    before = record.section(SECTION).get(part, {})
    if points > before.get("points", -1):
        record.note(SECTION, part, seed=seed, points=points, most=most)
