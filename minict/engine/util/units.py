"""Parse the quantities that people write: ``128m``, ``0.5``, ``1h30m``, ``0-3,5``, ``SIGTERM``.

Each function raises :class:`ContainerError` with a message that begins with *what*, the name of the option such as
``--memory``.
"""

from __future__ import annotations

import os

from minict.runtime.errors import ContainerError

_FACTORS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_LARGEST = 1 << 63  # the kernel counts bytes in 63 bits


def bytes_of(text: str, what: str) -> int:
    """``128m`` in bytes. The units are b, k, m, g, t and p, each 1024 times the one before; a trailing b is allowed."""
    word = str(text).strip().lower()
    number = word.rstrip("bkmgtpi")
    unit = word[len(number) :]
    unit = unit.removesuffix("ib").removesuffix("b") if len(unit) > 1 else unit
    try:
        if unit not in _FACTORS or not number[:1].isdigit():
            raise ValueError
        size = int(float(number) * _FACTORS[unit])
        if size >= _LARGEST:
            raise OverflowError
        return size
    except (ValueError, OverflowError):
        raise ContainerError(f"{what}: invalid size {text!r}: use a number with b, k, m or g, such as 128m") from None


def microseconds_of_cpus(text: str | float, period: int) -> int:
    """The microseconds in each *period* that ``0.5`` processors correspond to."""
    available = os.cpu_count() or 1
    try:
        cpus = float(text)
    except ValueError:
        raise ContainerError(f"--cpus: invalid number of processors {text!r}: use a number such as 0.5") from None
    if not 0.01 <= cpus <= available:
        raise ContainerError(f"--cpus: {text} must be from 0.01 to {available}, the number of processors here")
    return int(cpus * period)


def whole(text: str | int, what: str, least: int | None = None, most: int | None = None) -> int:
    """Parse a whole number, at least *least* and at most *most* if they are given."""
    try:
        number = int(text)
    except (ValueError, TypeError):
        raise ContainerError(f"{what}: invalid number {text!r}: use a whole number") from None
    if (least is not None and number < least) or (most is not None and number > most):
        wanted = f"from {least} to {most}" if most is not None else f"{least} or more"
        raise ContainerError(f"{what}: {text} must be {wanted}")
    return number


def nanoseconds(text: str, what: str) -> int:
    """Parse a duration such as ``1m30s``; return nanoseconds."""
    from .timestamps import duration_of

    try:
        length = duration_of(text)
    except ValueError:
        length = 0 if text == "0" else -1
    if length < 0:
        raise ContainerError(f"{what}: invalid duration {text!r}: use one such as 30s, 1m30s or 500ms")
    return length


def numbers(text: str, what: str, available: str) -> str:
    """Check a list such as ``0-3,5``: each number must be in the list in the file *available*. Returns *text*."""
    wanted = _numbers(text)
    with open(available) as file:
        there = file.read().strip()
    if not wanted:
        raise ContainerError(f"{what}: invalid list {text!r}: use numbers and ranges such as 0-1,3")
    if not wanted <= _numbers(there):
        raise ContainerError(f"{what}: {text} is out of range: this machine has {there}")
    return text


def _numbers(text: str) -> set[int]:
    """The numbers of a list such as ``0-3,5``; the empty set if it is invalid. Source: cpuset(7), list format."""
    found: set[int] = set()
    for part in str(text).split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isascii() and first.isdecimal() and last.isascii() and last.isdecimal()):
            return set()
        if len(first) > 5 or len(last) > 5:
            return set()
        if int(first) > int(last):
            return set()
        found.update(range(int(first), int(last) + 1))
    return found


def signal_of(text: str | int, what: str) -> int:
    """The number of a signal, given as number or name: ``15``, ``SIGTERM``, ``term``, ``RTMIN+3``. Source:
    signal(7)."""
    import _signal  # instead of signal, whose import takes 5 ms

    word = str(text).upper().removeprefix("SIG")
    name, plus, more = word.partition("+")
    if len(word) > 12:  # int() refuses thousands of digits
        number = 0
    elif word.isascii() and word.isdecimal():
        number = int(word)
    elif plus and name == "RTMIN" and more.isascii() and more.isdecimal():
        number = _signal.SIGRTMIN + int(more)
    else:
        number = getattr(_signal, f"SIG{word}", 0) if word.isalnum() else 0
    if not 0 < number <= 64:
        raise ContainerError(f"{what}: unknown signal {text!r}: use a name such as SIGTERM, or a number from 1 to 64")
    return number
