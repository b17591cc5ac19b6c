"""The warm-up of a chapter: three questions from the quizzes of earlier chapters, missed ones first.

Recalling something after a while makes it stick. The order: questions answered wrongly the last time, then those
answered longest ago, then those never asked; questions answered correctly within the last hour come last. Without a
record the three are fixed, so that each run shows the same.
"""

from __future__ import annotations

import time

from . import record
from .quiz import Question, Quiz, quizzes

_COUNT = 3
_FRESH = 3600  # seconds after an answer in which asking again would be pointless


def warm_up(chapter: int) -> Quiz:
    """Three questions of the chapters before *chapter*, to be answered like a quiz."""
    return Recall(chapter, pick(chapter))


class Recall(Quiz):
    """A temporary quiz with questions of other quizzes."""

    def __init__(self, chapter: int, places: list[tuple[str, int]]):
        self.id, self.chapter, self.places = f"warm-up-{chapter:02}", f"ch{chapter:02}", places
        self.questions = tuple(_question(place) for place in places)

    def heading(self) -> str:
        """The line above the questions."""
        if not self.places:
            return "Nothing to warm up with: this is the first chapter."
        quiz, number = self.places[0]
        count = len(self.places)
        return (
            f'Warm-up: {count} questions of earlier chapters. Answer with, for example, answer("{quiz}", {number}, "b")'
        )

    def title(self, number: int) -> str:
        """What stands before the question *number*, counted from 1."""
        quiz, place = self.places[number - 1]
        return f"{quiz} {place}."

    def place(self, number: int) -> tuple[str, int]:
        """The quiz and the number there of the question *number*, counted from 1."""
        return self.places[number - 1]


def pick(chapter: int) -> list[tuple[str, int]]:
    """The questions that are asked in the warm-up of *chapter*: (quiz, number of the question)."""
    known = record.section("quizzes")
    earlier = [(quiz.id, number) for quiz in _before(chapter) for number in range(1, len(quiz.questions) + 1)]
    entry = {place: known.get(f"{place[0]}/{place[1]}") for place in earlier}
    missed = [place for place in earlier if entry[place] and entry[place].get("missed")]
    oldest = sorted(
        (place for place in earlier if entry[place] and place not in missed), key=lambda each: entry[each]["at"]
    )
    before = time.time() - _FRESH
    faded = [place for place in oldest if entry[place]["at"] < before]
    # With a record, at most two questions are repeated, and one is new.
    new = [place for place in _fixed(chapter) if not entry[place]]
    chosen = [*missed[:_COUNT], *faded[: _COUNT - 1]][:_COUNT]
    return list(dict.fromkeys([*chosen, *new, *oldest, *_fixed(chapter)]))[:_COUNT]


def _fixed(chapter: int) -> list[tuple[str, int]]:
    """One question from each of the three previous chapters, then more from the first chapter on; a question appended
    to a quiz changes nothing."""
    quizzes = _before(chapter)
    last = reversed(quizzes[-_COUNT:])
    first = [(quiz.id, 1 + (chapter + distance) % 3) for distance, quiz in enumerate(last)]
    more = [(quiz.id, number) for quiz in quizzes for number in range(1, len(quiz.questions) + 1)]
    return list(dict.fromkeys([*first, *more]))


def _before(chapter: int) -> list[Quiz]:
    return sorted(
        (quiz for quiz in quizzes().values() if int(quiz.chapter.removeprefix("ch")) < chapter),
        key=lambda each: each.chapter,
    )


def _question(place: tuple[str, int]) -> Question:
    return quizzes()[place[0]].questions[place[1] - 1]
