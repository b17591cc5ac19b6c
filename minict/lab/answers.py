"""Answers to an exercise that differ in one place: the mistakes that learners make, beside the right answer."""

from __future__ import annotations


def edited(answer: str, *changes: tuple[str, str]) -> str:
    """The *answer* with each of the *changes*, pairs of an old text that it contains once and the new one.

    Raises :class:`ValueError` for an old text that it does not contain, or more than once.
    """
    for old, new in changes:
        if answer.count(old) != 1:
            raise ValueError(f"the answer contains {old!r} {answer.count(old)} times, not once:\n{answer}")
        answer = answer.replace(old, new)
    return answer
