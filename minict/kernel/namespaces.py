"""Namespaces: create new ones (unshare), enter existing ones (setns), start a child in new ones (clone3)."""

from __future__ import annotations

import os

from . import native
from .syscall import syscall

# linux/sched.h; clone(2), unshare(2), namespaces(7)
CLONE_NEWTIME = 0x00000080
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

_SIGCHLD = 17  # importing the module signal would add 5 ms to each start


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces; *flags* (``CLONE_NEW…``) say which kinds.

    CLONE_NEWPID and CLONE_NEWTIME leave the caller where it is: its later children are in the new namespace.
    (Linux also moves a process into its new time namespace when it calls execve.)
    Raises :class:`OSError`, EPERM without CAP_SYS_ADMIN. Source: unshare(2).
    (Python has ``os.unshare`` from 3.12 on; this function also works on 3.11.)
    """
    syscall("unshare", flags)


def setns(fd: int, nstype: int = 0) -> None:
    """Enter the namespace that *fd* refers to: an open ``/proc/PID/ns/…`` file, or a pidfd.

    With a pidfd, *nstype* names the kinds of namespaces to enter, all in one step.
    With a namespace file, *nstype* is the expected kind; 0 accepts any.
    Raises :class:`OSError`. Source: setns(2).
    """
    syscall("setns", fd, nstype)


class inside:
    """In a ``with`` statement: the calling thread is in the namespace that *fd* refers to.

    *kind*: ``net`` or another file of ``/proc/thread-self/ns``. A thread has its own network namespace, so the other
    threads of a notebook stay where they are. What is opened inside, such as a socket, stays bound to the namespace.
    Raises :class:`OSError`. Source: setns(2).
    """

    def __init__(self, fd: int, kind: str = "net") -> None:
        self._fd, self._kind, self._home = fd, kind, -1

    def __enter__(self) -> None:
        self._home = os.open(f"/proc/thread-self/ns/{self._kind}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(self._fd)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            try:
                setns(self._home)
            except KeyboardInterrupt:  # Ctrl-C must not keep this thread from returning
                setns(self._home)
                raise
        finally:
            os.close(self._home)


class _CloneArgs(native.Structure):
    """struct clone_args of linux/sched.h, up to the last member that clone3 has in Linux 5.7."""

    _fields_ = [
        (name, native.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    ]


def clone3(flags: int, cgroup: int = -1) -> tuple[int, int]:
    """Make a child process, as fork does, that starts inside new namespaces and, if asked, a cgroup.

    *flags* are ``CLONE_NEW…`` and CLONE_PARENT; *cgroup* is an open directory of the cgroup v2
    tree, or -1. Returns (pid, pidfd) in the parent and (0, -1) in the child.

    The caller must have one thread only: unlike ``os.fork`` this skips what libc and Python
    prepare for a fork with threads. Raises :class:`OSError`. Source: clone3(2).
    """
    pidfd = native.c_int(-1)
    args = _CloneArgs(flags=flags | CLONE_PIDFD, pidfd=native.addressof(pidfd))
    if not flags & CLONE_PARENT:  # with CLONE_PARENT the child inherits the exit signal of the caller
        args.exit_signal = _SIGCHLD
    if cgroup >= 0:
        args.flags |= CLONE_INTO_CGROUP
        args.cgroup = cgroup
    pid = syscall("clone3", native.byref(args), native.sizeof(args))
    if pid:
        os.set_inheritable(pidfd.value, False)
    return pid, pidfd.value if pid else -1
