"""The steps of a container's birth: which one is being done now, and how long each took.

A step has a name for two reasons: the error of a failed birth says which step it was, and
``minict run --trace`` shows where the milliseconds go.
"""

from __future__ import annotations

from time import monotonic_ns


class Trace:
    """The steps of one process, in order.  ``trace("mount /proc")`` ends the step before and begins this one."""

    def __init__(self, who: str):
        self.who = who
        self.step: str | None = None
        self.steps: list[tuple[str, int, int]] = []  # name, begin and end in nanoseconds of the monotonic clock
        self._begin = 0

    def __call__(self, step: str | None) -> None:
        now = monotonic_ns()
        if self.step is not None:
            self.steps.append((self.step, self._begin, now))
        self.step, self._begin = step, now


def table(traces: list[Trace]) -> str:
    """All steps of both processes by the time they began: milliseconds from the first one, and how long it took.

    Parent and child work at the same time, which is why the times do not add up.
    """
    rows = sorted((begin, end, trace.who, name) for trace in traces for name, begin, end in trace.steps)
    if not rows:
        return ""
    first = rows[0][0]
    lines = [f"{'at ms':>7} {'took ms':>8}  {'who':<7} step"]
    lines += [
        f"{(begin - first) / 1e6:7.2f} {(end - begin) / 1e6:8.2f}  {who:<7} {name}" for begin, end, who, name in rows
    ]
    return "\n".join(lines)
