"""Points in time as logs and people write them: ``2026-11-25T15:26:00.123456789Z``, or ``10m`` for ten minutes ago.

A point in time is a number of nanoseconds since 1970, as in :func:`time.time_ns`; a float would not be precise enough.
"""

from __future__ import annotations

import time

from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import NoReturn

SECOND = 1_000_000_000
ZERO = "0001-01-01T00:00:00Z"  # what Docker writes for "never"

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_last = (-1, "")  # the last whole second and its text: a log writes many lines per second


def stamp(moment: int) -> str:
    """The point in time *moment* in RFC 3339 format, in UTC, with nine decimal places. The text always has 30
    characters, so sorting the texts sorts the times."""
    global _last
    seconds, rest = divmod(moment, SECOND)
    if seconds != _last[0]:
        now = time.gmtime(seconds)
        _last = seconds, f"{now[0]:04}-{now[1]:02}-{now[2]:02}T{now[3]:02}:{now[4]:02}:{now[5]:02}"
    return f"{_last[1]}.{rest:09}Z"


def moment_of(text: str, what: str, now: int | None = None) -> int:
    """Parse a point in time: ``2026-11-25T15:26:00Z``, ``2026-11-25``, seconds since 1970, or a duration before *now*
    such as ``10m``. A time without a zone is local.

    Raises :class:`ContainerError`; its message begins with *what*.  Source: docker logs --since.
    """
    word = text.strip()
    whole, _, fraction = word.partition(".")
    if whole.isdecimal() and len(whole) < 12 and (not fraction or fraction.isdecimal()):
        return int(whole) * SECOND + int(f"{fraction[:9]:0<9}")
    try:
        return (time.time_ns() if now is None else now) - duration_of(word)
    except ValueError:
        pass
    from datetime import datetime

    try:
        seconds, digits, zone = _without_fraction(word)
        date = datetime.fromisoformat(seconds + zone)
        return int(date.timestamp()) * SECOND + int(f"{digits[:9]:0<9}")
    except (ValueError, OverflowError, OSError):
        raise ContainerError(
            f"{what}: invalid time {text!r}: write 2026-11-25T15:26:00Z, the seconds since 1970, or 10m for "
            "ten minutes ago"
        ) from None


def _without_fraction(word: str) -> tuple[str, str, str]:
    """Split ``…:00.25+01:00`` into ``…:00``, ``25`` and ``+01:00``: datetime has six decimal places, we need nine."""
    before, dot, after = word.partition(".")
    if not dot:
        return word, "", ""
    digits = after[: len(after) - len(after.lstrip("0123456789"))]
    if not digits:
        raise ValueError(word)
    return before, digits, after[len(digits) :]


def duration_of(text: str) -> int:
    """``1h30m`` in nanoseconds; the units are h, m, s, ms, us and ns. Raises :class:`ValueError`.

    Source: time.ParseDuration of Go, which Docker uses.
    """
    total, rest = 0, text.removeprefix("-")
    while rest:
        unit = rest.lstrip("0123456789.")
        number, name = rest[: len(rest) - len(unit)], unit[: len(unit) - len(unit.lstrip("nuµmsh"))]
        total += int(float(number) * _UNITS[name]) if name in _UNITS else _no_duration(text)
        rest = unit[len(name) :]
    return (-total if text.startswith("-") else total) if text.strip("-") else _no_duration(text)


def _no_duration(text: str) -> NoReturn:
    raise ValueError(f"invalid duration {text!r}: write one such as 1h30m")


def stamp_of(seconds: float | None) -> str:
    """Seconds since 1970 in RFC 3339 format; None, for something that has not happened, gives the year 1, as in Go."""
    return stamp(int(seconds * SECOND)) if seconds else ZERO
