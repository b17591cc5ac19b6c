"""The quantities that people write: ``128m``, ``0.5``, ``1000:1000``."""
from __future__ import annotations

from minict.runtime.errors import ContainerError

_FACTORS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def bytes_of(text: str, what: str) -> int:
    """``128m`` in bytes; the units are b, k, m, g and t, each 1024 times the one before, with or without a b behind.

    Raises :class:`ContainerError` that names *what*.
    """
    word = str(text).strip().lower()
    number = word.rstrip("bkmgti")
    unit = word[len(number):]
    unit = unit.removesuffix("ib").removesuffix("b") if len(unit) > 1 else unit
    try:
        if unit not in _FACTORS or not number[:1].isdigit():
            raise ValueError
        return int(float(number) * _FACTORS[unit])
    except (ValueError, OverflowError):
        raise ContainerError(f"{what}: {text!r} is no size: write a number and b, k, m or g, such as 128m") from None


def microseconds_of_cpus(text: str | float, period: int) -> int:
    """How many microseconds of every *period* are ``0.5`` processors.  Raises :class:`ContainerError`."""
    import os
    available = os.cpu_count() or 1
    try:
        cpus = float(text)
    except ValueError:
        raise ContainerError(f"--cpus: {text!r} is no number of processors: write one such as 0.5") from None
    if not 0.01 <= cpus <= available:
        raise ContainerError(f"--cpus: {text} must be from 0.01 to {available}, the number of processors here")
    return int(cpus * period)


def whole(text: str | int, what: str) -> int:
    """A whole number.  Raises :class:`ContainerError` that names *what*."""
    try:
        return int(text)
    except ValueError:
        raise ContainerError(f"{what}: {text!r} is no whole number") from None
