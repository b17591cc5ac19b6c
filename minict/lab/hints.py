"""Hints: one more each time, and the solution last."""

from __future__ import annotations

from minict.lab.exercise import _hints_shown, find
from minict.lab.verdict import readable


def hint(id: str = "") -> None:
    """Show one more hint for the exercise or the challenge *id*; after the last one, the solution."""
    if not id:
        print('Which one? Give its id, which stands in the heading: hint("pivot-1")')
        return
    from .challenge import challenges

    task = challenges().get(id) or find(id)
    shown = _hints_shown.get(id, 0)
    _hints_shown[id] = shown + 1
    if shown < len(task.hints):
        left = len(task.hints) - shown - 1
        more = f"{left} more" if left else "the next one is the solution"
        print(f"Hint {shown + 1} of {len(task.hints)} for {id} ({more}):\n{readable(task.hints[shown])}")
    else:
        print(f"One solution of {id}{task.origin}:\n\n{task.shown}")
