"""The steps of a container's start: the current one, and how long each took.

A step has a name for two reasons: the error of a failed start says in which step it happened, and
``minict run --trace`` shows where the milliseconds go.
"""

from __future__ import annotations

from time import monotonic_ns


class Trace:
    """The steps of one process, in order. ``trace("mount /proc")`` ends the previous step and begins this one.

    Source: clock_gettime(2), CLOCK_MONOTONIC, which both processes read.
    """

    def __init__(self, who: str) -> None:
        self.who = who  # "parent" or "child"
        self.step: str | None = None
        self.steps: list[tuple[str, int, int]] = []  # name, begin and end in nanoseconds of the monotonic clock
        self._begin = 0

    def __call__(self, step: str | None) -> None:
        now = monotonic_ns()
        if self.step is not None:
            self.steps.append((self.step, self._begin, now))
        self.step, self._begin = step, now


def format_traces(traces: list[Trace]) -> str:
    """All steps of both processes, in the order in which they began: milliseconds since the first one, and duration.

    Parent and child work at the same time, so the durations overlap. Source: clock_gettime(2).
    """
    rows = sorted((begin, end, trace.who, name) for trace in traces for name, begin, end in trace.steps)
    if not rows:
        return ""
    first = rows[0][0]
    lines = [f"{'at ms':>7} {'took ms':>8}  {'who':<7} step"]
    for begin, end, who, name in rows:
        lines.append(f"{(begin - first) / 1e6:7.2f} {(end - begin) / 1e6:8.2f}  {who:<7} {name}")
    return "\n".join(lines)
