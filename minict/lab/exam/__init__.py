"""The final exam, in three parts, each judged by the kernel.

::

    paper = exam()                      # the learner's own; exam(7) is number 7, the same for everybody
    repair = paper.faults()             # a mini_docker.py with five faults      repair.check()
    bodies = paper.bodies()             # one with six empty functions           bodies.check()
    stranger = paper.stranger()         # a container, and fifteen questions     stranger.check({1: …})
    certificate("Ada")                  # what was reached, as a file beside the record

==================  ==========================================================================
:mod:`.faults`      forty faults, and the check that finds each
:mod:`.repair`      part one
:mod:`.bodies`      part two
:mod:`.stranger`    part three: the container
:mod:`.questions`   part three: the questions, and where the kernel shows their answers
:mod:`.paper`       a file of the exam, kept as the learner has left it
:mod:`.results`     the number of an exam, and the best result of each part
:mod:`.belts`       the belts of the chapters, and the certificate
==================  ==========================================================================
"""

from __future__ import annotations

import contextlib
import os

from minict.runtime import paths

from .. import course
from .belts import certificate
from .bodies import Bodies
from .paper import Paper
from .repair import Repair
from .results import own_number
from .stranger import Stranger

__all__ = ["Exam", "certificate", "exam"]

_strangers: list[Stranger] = []


class Exam:
    """An exam with a number, from which all that is in it follows."""

    def __init__(self, seed: int):
        self.seed = seed
        self._papers: list[Paper] = []
        course.open_chapter(20)

    def __repr__(self):
        return f"<exam {self.seed}: five faults, six empty bodies, fifteen questions>"

    def faults(self) -> Repair:
        """Part one: write the file with five faults, unless it is there already."""
        return self._handed_out(Repair(self.seed))

    def bodies(self) -> Bodies:
        """Part two: write the file with six empty bodies, unless it is there already."""
        return self._handed_out(Bodies(self.seed))

    def _handed_out(self, paper):
        self._papers.append(paper)
        return paper

    def stranger(self) -> Stranger:
        """Part three: start the container.  One that was started before ends."""
        _end_strangers()
        _strangers.append(Stranger(self.seed))
        return _strangers[-1]

    def end(self) -> None:
        """End the container of part three.  The files stay if they are beside the learner's own notebooks."""
        _end_strangers()
        for paper in self._papers:
            if not paper.is_kept:
                paper.remove()
        with contextlib.suppress(OSError):
            os.rmdir(f"{paths.data_root()}/mini_docker")  # the checks have made it; it is not empty if others use it


def _end_strangers() -> None:
    while _strangers:
        _strangers.pop().end()


def exam(seed: int | None = None) -> Exam:
    """The exam number *seed*; the default is the learner's own, which is drawn once and then stays."""
    return Exam(own_number() if seed is None else int(seed))
