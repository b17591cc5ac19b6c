"""The exception by which every check of the course says what is not right yet."""

from __future__ import annotations


class Feedback(Exception):
    """What a check has to say: what was called or looked at, what came of it, what was expected, and the likely
    cause."""
