"""seccomp: the list of system calls that the container's processes may make, enforced by the kernel.

A filter is a program of classic BPF, the virtual machine that tcpdump uses too: the kernel runs it before each system
call with the number of the call, the processor's calling convention and the six arguments as input, and does what it
returns: allow, fail with an errno, kill. The program cannot follow a pointer, so it can check the flags of
a clone, which are a number, but not the path of an open.

The OCI specification defines such a list as JSON (config-linux.md, "Seccomp"), and :mod:`.libseccomp` compiles it to a
program. That takes some 15 ms, so :func:`cached` keeps the result. :func:`install` is the last step of the container's
first process before execve: a filter cannot be removed, applies to all children, and may forbid the calls of the steps
before it.

The kernel accepts a filter from a process with no_new_privs, or with CAP_SYS_ADMIN. Without no_new_privs the filter
must be installed before the capabilities are dropped, and has to allow capset, prctl, setgid, setuid and setgroups.
"""

from __future__ import annotations

import os

from ..kernel.seccomp import (
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_SET_MODE_FILTER,
    seccomp,
)
from . import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .spec import Seccomp

_COMPILER = f"{os.path.dirname(__file__)}/libseccomp.py"

#: Whether compiled programs are kept. Not while a function of the compiler is a learner's: see :mod:`minict.lab`.
keeps_programs = True


# ---- in the container's first process --------------------------------------------------------------------------


def install(program: bytes, flags: int = 0, listen: bool = False) -> int:
    """Apply the filter *program* to the calling process and to every process that it starts. One system call.

    *listen*: return a descriptor for the agent that decides about some calls.
    Raises :class:`OSError`: EACCES with neither no_new_privs nor CAP_SYS_ADMIN, EINVAL for an invalid program.
    Source: seccomp(2).
    """
    if listen:  # our process has one thread: there is nothing for TSYNC to do, and the two exclude each other
        flags = flags & ~SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER
    return seccomp(SECCOMP_SET_MODE_FILTER, flags, program)


# ---- before it -------------------------------------------------------------------------------------------------


def flags(profile: Seccomp) -> int:
    """The *flags* of a profile, as a number for :func:`install`. Raises :class:`ContainerError`. Source: seccomp(2)."""
    if not profile.flags:
        return 0
    from . import libseccomp

    return libseccomp.flags(profile)


def cached(profile: Seccomp) -> bytes:
    """The result of :func:`.libseccomp.compile` for *profile*, from the cache if an earlier call has left it there.

    Raises :class:`ContainerError`. Source: config-linux.md, "Seccomp".
    """
    return remembered(profile, lambda: compile(profile))


def compile(profile: Seccomp) -> bytes:
    """See :func:`.libseccomp.compile`, which is loaded only where a program is not in the cache.

    Raises :class:`ContainerError`. Source: config-linux.md, "Seccomp".
    """
    from . import libseccomp

    return libseccomp.compile(profile)


def remembered(source: object, make: Callable[[], bytes]) -> bytes:
    """The program that *make* returns, from the cache if an earlier call has left it there.

    *source* is everything that the program depends on, besides the processor and the kernel; its repr must be complete.
    The name in the cache is a cryptographic hash of it: no profile can be made up to get another one's program.
    Source: seccomp(2); RFC 7693 (BLAKE2).
    """
    if not keeps_programs:
        return make()
    directory = f"{paths.run_root()}/seccomp"
    path = f"{directory}/{_key(source)}"
    try:
        with open(path, "rb", buffering=0) as file:
            program = file.read()
    except OSError:
        program = b""
    if not program:
        program = make()
        _keep(directory, path, program)
    return program


def _key(source: object) -> str:
    """A hash of the source, the processor, the kernel, which defines the available actions, and the compiler's age.

    The version of libseccomp is not in it: asking for it means loading it. A newer one knows more calls; until
    the next boot, which empties the run directory, those still fail with ENOSYS.
    """
    try:
        from _blake2 import blake2b  # the C function beneath hashlib, whose import takes 4 ms
    except ImportError:
        from hashlib import blake2b
    kernel = os.uname()
    depends_on = kernel.machine, kernel.release, os.stat(_COMPILER).st_mtime_ns, source
    return blake2b(repr(depends_on).encode(), digest_size=20).hexdigest()


def _keep(directory: str, path: str, program: bytes) -> None:
    """Write *program* to the file *path*, completely or not at all. If that fails, only time is lost."""
    temporary = f"{path}.{id(program)}.{os.getpid()}"
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(program)
        os.replace(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)
