"""The files of a control group: read and written in one call each, as the kernel requires."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Group(Protocol):
        """The part of :class:`.group.Cgroup` that the modules imported by it use."""

        path: str
        directories: dict[str, str]

        def v2_directory(self) -> str | None: ...

        def is_v2(self, directory: str) -> bool: ...

        def oom_kills(self) -> int | None: ...


def write(path: str, text: str) -> None:
    """Write *text* in one call, as the kernel requires. Raises :class:`OSError` with the path. Source: cgroups(7)."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        error.filename = path  # os.write knows only a number
        raise


def attempt(path: str, text: str) -> bool:
    """Write *text*; return whether that succeeded. Source: cgroups(7)."""
    try:
        write(path, text)
    except OSError:
        return False
    return True


def read(path: str) -> str:
    """The whole file. Raises :class:`OSError`. Source: cgroups(7)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts).decode(errors="surrogateescape")


def read_if_there(path: str, *also: int) -> str | None:
    """The whole file; None when this kernel lacks it, or the group is gone (or for the errnos *also*).

    Raises :class:`OSError`. Source: cgroups(7).
    """
    try:
        return read(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV, *also):
            raise
        return None


def number(text: str | None, default: int | None = None) -> int | None:
    """The number in *text*; *default* for ``max`` and for None. Source: cgroup-v2.rst, "Conventions"."""
    return default if text is None or text.strip() == "max" else int(text)


def read_flat_keyed(path: str) -> dict[str, int]:
    """A file of lines such as ``nr_periods 17``. Raises :class:`OSError`. Source: cgroup-v2.rst, "Flat keyed"."""
    pairs = [line.split() for line in (read_if_there(path) or "").splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
