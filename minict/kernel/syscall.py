"""How Python reaches a system call that its standard library lacks.

Most functions of :mod:`minict.kernel` make one system call. They have the name and the argument
order of its man page, and they fail as the standard library does: with an
:class:`OSError` that carries the errno, the call with its arguments, and the path.
"""

from __future__ import annotations

import os

from . import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _ctypes import _CArgObject

# A call keeps the global interpreter lock, as with ctypes.PyDLL and not with ctypes.CDLL. A child made by
# clone3 has one thread, the caller. If another thread took the lock at that moment, the child would
# wait forever for a thread that exists only in its parent.
libc = native.CLibrary(None, use_errno=True)

# Most numbers differ between processors; the calls added since 2019 have the same number everywhere.
# See asm/unistd_64.h and asm-generic/unistd.h.
_NUMBERS = {
    "x86_64": {
        "pivot_root": 155,
        "seccomp": 317,
        "bpf": 321,
        "execveat": 322,
        "capget": 125,
        "capset": 126,
        "setns": 308,
        "unshare": 272,
        "keyctl": 250,
        "ioprio_set": 251,
        "set_mempolicy": 238,
        "sched_setattr": 314,
    },
    "aarch64": {
        "pivot_root": 41,
        "seccomp": 277,
        "bpf": 280,
        "execveat": 281,
        "capget": 90,
        "capset": 91,
        "setns": 268,
        "unshare": 97,
        "keyctl": 219,
        "ioprio_set": 30,
        "set_mempolicy": 237,
        "sched_setattr": 274,
    },
}
_EVERYWHERE = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}

_machine = os.uname().machine
NUMBERS = {**_EVERYWHERE, **_NUMBERS.get(_machine, {})}

_syscall = libc.syscall
_syscall.restype = native.c_long


def syscall(name: str, *arguments: int | bytes | native.Structure | _CArgObject | None, path: str | None = None) -> int:
    """Call the kernel by the system call's *name* and return its result.

    Integers and addresses are passed as 64-bit words, ``bytes`` as pointers to them.
    Raises :class:`OSError` with the errno, the call and its arguments, and *path* if the call is about a
    file; :class:`NotImplementedError` on a processor other than x86-64 and arm64.
    Source: syscall(2).
    """
    if name not in NUMBERS:
        raise NotImplementedError(f"the number of {name}(2) on {_machine} is unknown: minict runs on x86-64 and arm64")
    words = [native.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result: int = _syscall(native.c_long(NUMBERS[name]), *words)
    if result == -1:
        raise failure(name, *arguments, path=path)
    return result


def failure(name: str, *arguments: object, path: str | None = None) -> OSError:
    """The :class:`OSError` for the call that has just failed: the errno's text, then the call as strace shows it.

    Source: errno(3).
    """
    errno = native.get_errno()
    shown = ", ".join(_readable(argument) for argument in arguments)
    return OSError(errno, f"{os.strerror(errno)}: {name}({shown})", path)


def _readable(argument: object) -> str:
    if argument is None:
        return "NULL"
    if isinstance(argument, bytes):
        return '"' + argument.decode(errors="replace") + '"'
    if isinstance(argument, int):
        return str(argument) if -10 < argument < 1024 else hex(argument)
    return "…"
