"""How a command of an ordinary user gets into the user's namespaces.

The keeper's pid is in a file, with the time at which it began. A command opens a handle of that process and enters its
namespaces: two system calls. Only the first command of all waits, for a new keeper.

Source: setns(2), pidfd_open(2); user_namespaces(7): the creator of a user namespace has all capabilities in it.
"""

from __future__ import annotations

import fcntl
import os

from minict.kernel import namespaces as ns
from minict.kernel import process as kernel
from minict.runtime import place
from minict.runtime.errors import ContainerError
from minict.runtime.state import State, all_ids, begin_time

from . import delegated, home, scope


def enter(to_start: bool = True) -> None:
    """Enter this user's namespaces, which are made if there are none. Nothing happens for root.

    *to_start*: this process will start others in containers, so it must be where control groups are delegated.
    This process must have one thread. Raises :class:`ContainerError`.
    """
    if os.geteuid() == 0:
        return
    home.settle(os.getuid())
    group = delegated.root()
    if to_start and not group and scope.socket_path():
        scope.begin()
        group = delegated.root()
    keeper, here = find_keeper(), _working_directory()
    if keeper < 0:
        keeper = _begin_keeper()
    try:
        ns.setns(keeper, ns.CLONE_NEWUSER | ns.CLONE_NEWNS)
    except OSError as error:
        raise ContainerError(
            f"cannot enter this user's namespaces: {error.strerror}; 'kill {_keeper()[0]}' ends them", errno=error.errno
        ) from None
    finally:
        os.close(keeper)
    delegated.show(group)
    if here:
        os.chdir(here)  # setns has moved us to the root directory
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or /proc/self would belong to the host's root
    try:
        os.setgroups([])
    except OSError:
        pass  # with a single id nobody may change groups


def _working_directory() -> str:
    """The path of the working directory; empty when it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def find_keeper() -> int:
    """A pidfd of the keeper; -1 when there is none."""
    pid, began = _keeper()
    return open_process(pid, began) if pid else -1


def open_process(pid: int, began: str) -> int:
    """A pidfd of the process *pid* that began at *began* (:func:`.state.begin_time`); -1 when it has ended."""
    try:
        pidfd = kernel.pidfd_open(pid)
    except OSError:
        return -1
    if begin_time(pid) == began:
        return pidfd
    os.close(pidfd)
    return -1


def _keeper() -> tuple[int, str]:
    try:
        with open(home.path("keeper")) as file:
            pid, began = file.read().split()
        return int(pid), began
    except (FileNotFoundError, ValueError):
        return 0, ""


def _begin_keeper() -> int:
    """Start a keeper, unless another command has just done so; a pidfd of it. Raises :class:`ContainerError`."""
    from . import keeper

    os.makedirs(os.path.dirname(home.path("lock")), 0o700, exist_ok=True)
    lock = os.open(home.path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (found := find_keeper()) >= 0:
            return found
        relative = _find_relative()
        try:
            keeper.begin(relative)
        finally:
            if relative >= 0:
                os.close(relative)
        found = find_keeper()
        if found < 0:
            raise ContainerError("the process that keeps this user's namespaces has just ended: try again")
        return found
    finally:
        os.close(lock)


def _find_relative() -> int:
    """A pidfd of a container's process, from the user's namespaces of a keeper that was killed; -1 without one.

    The first process of a container may have namespaces of its own. Its monitor, the parent, has not.
    """
    for id in all_ids():
        pid = State(id).pid()
        parent = place.parent(pid) if pid else 0
        began = begin_time(parent) if parent else None
        if parent and began and _is_inside(parent):
            return open_process(parent, began)
    return -1


def _is_inside(pid: int) -> bool:
    """Whether the process is in another user namespace than this one."""
    try:
        return os.stat(f"/proc/{pid}/ns/user").st_ino != os.stat("/proc/self/ns/user").st_ino
    except OSError:
        return False


def stop() -> bool:
    """End the keeper, from inside, and with it the namespaces; False when containers still run in them."""
    from .outside import _ask

    if any(State(id).pid() for id in all_ids()):
        return False
    _ask("end")
    return True
