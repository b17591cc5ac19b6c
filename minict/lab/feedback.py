"""The exception with which every check of the course says what is not right yet."""

from __future__ import annotations


class Feedback(Exception):
    """What a check reports: what was called or inspected, what happened, what was expected, and the likely cause."""
