"""The container's process, from privileged to its own: limits, user, capabilities, and which file it executes."""

from __future__ import annotations

import errno
import os
import sys

from ..kernel import mount as k
from ..kernel import process as kernel
from .errors import NOT_EXECUTABLE, NOT_FOUND, ContainerError
from .mounts import refuse_loop

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable

    from .spec import Rlimit, User

# Python ignores these two, and a signal that is ignored stays ignored through execve: a program that
# was born that way would never end when its reader is gone.  The module signal costs 5 ms, so by number.
_SIGPIPE, _SIGXFSZ = 13, 25
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def spawn(function: Callable[[], object]) -> int:
    """Fork; the child calls *function* and ends; return the child's pid.

    The child must never return from here: there would be two of the program that called us, each of which
    believes that it is the only one.  So it ends whatever happens, with status 1 if *function* raises.
    Source: fork(2), _exit(2).
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        except Exception as error:  # or a mistake in function() would be silent
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    return pid


def exit_status(status: int) -> int:
    """The wait *status* of a process as a shell tells it: an exit status, or 128 + n after signal n.

    Source: waitpid(2); POSIX, Shell Command Language, 2.8.2.
    """
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def restore_signals() -> None:
    """Undo what Python has done to its signals: nothing ignored, nothing handled, nothing blocked."""
    import _signal

    for number in range(1, 32):
        if number not in (9, 19) and _signal.getsignal(number) != _signal.SIG_DFL:
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def set_rlimits(rlimits: list[Rlimit]) -> None:
    """Set the limits of setrlimit(2), by their names there (``RLIMIT_NOFILE``).

    Raises :class:`ContainerError`; a limit above our own hard one needs CAP_SYS_RESOURCE.
    """
    if not rlimits:
        return
    import resource

    for limit in rlimits:
        number = getattr(resource, limit.type or "", None)
        if number is None:
            raise ContainerError(f"there is no resource limit {limit.type}")
        try:
            resource.setrlimit(number, (_rlimit(limit.soft), _rlimit(limit.hard)))
        except (OSError, ValueError) as error:
            raise ContainerError(
                f"can't set {limit.type} to {limit.soft}:{limit.hard}: {error}; its hard limit here is "
                f"{resource.getrlimit(number)[1]}"
            ) from None


def _rlimit(value: int) -> int:
    return -1 if value < 0 or value >= 2**63 - 1 else value  # RLIM_INFINITY


def set_user(user: User) -> None:
    """Become the process's user.  The groups come first: afterwards we have no right to change them.

    Raises :class:`OSError`.  Source: credentials(7).
    """
    try:
        os.setgroups(list(user.additionalGids))
    except PermissionError:
        if not _groups_are_fixed():
            raise
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def _groups_are_fixed() -> bool:
    """A user namespace that was mapped without privilege has lost setgroups(2): user_namespaces(7)."""
    with open("/proc/self/setgroups") as file:
        return file.read().strip() == "deny"


def enter_directory(path: str) -> None:
    """Go to the process's working directory.

    Raises :class:`OSError`, or :class:`ContainerError` when the path leads out of the container, which an open
    descriptor of the host would allow (CVE-2024-21626).
    """
    try:
        directory = k.openat2(k.AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, 0, k.RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        refuse_loop(path, error)
        raise ContainerError(
            f"the working directory {path} can't be entered: {os.strerror(error.errno or 0)}", errno=error.errno
        ) from None
    os.fchdir(directory)
    os.close(directory)
    if not os.getcwd().startswith("/"):
        raise ContainerError(f"the working directory {path} is outside of the container")


def find(command: str, env: list[str]) -> str:
    """The file that *command* stands for: the first of its :func:`candidates` that may be executed.

    Raises :class:`ContainerError`: with status 126 when something is there that may not be, else 127.
    """
    forbidden, files = None, candidates(command, env)
    for file in files:
        if os.path.isfile(file) and os.access(file, os.X_OK):
            return file
        if os.path.exists(file):
            forbidden = file
    if forbidden:
        raise ContainerError(f"{forbidden} is not an executable file", status=NOT_EXECUTABLE)
    looked = ", ".join(files)
    raise ContainerError(f"there is no command {command!r} in the container: looked for {looked}", status=NOT_FOUND)


def candidates(command: str, env: list[str]) -> list[str]:
    """The files that *command* may stand for: itself when it has a slash, else one in each directory of *env*'s PATH.

    Source: execvp(3).  Raises :class:`ContainerError` when *command* is empty.
    """
    if not command:
        raise ContainerError("the command is empty", status=NOT_FOUND)
    if "/" in command:
        return [command]
    path = next((each[5:] for each in env if each.startswith("PATH=")), PATH)
    return [os.path.join(directory or ".", command) for directory in path.split(":")]


def refuse_magic_link(path: str) -> None:
    """Refuse a command, or a script's interpreter, that is a magic link of /proc, such as ``/proc/self/exe``.

    Until execve is done, that link leads to our own interpreter, a file of the host; a hostile image could
    start it inside and then write to it (CVE-2019-5736).  Raises :class:`ContainerError`.
    """
    for _ in range(5):  # the kernel follows no more interpreters of interpreters
        try:
            fd = k.openat2(k.AT_FDCWD, path, os.O_RDONLY, 0, k.RESOLVE_NO_MAGICLINKS)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ContainerError(
                    f"the command leads through {path}, a link out of the container", status=NOT_EXECUTABLE
                ) from None
            return  # not readable, or not there: execve has the better words
        try:
            first = os.read(fd, 256)
        finally:
            os.close(fd)
        if first[:2] != b"#!":
            return
        words = first[2:].split(b"\n")[0].split()
        if not words:
            return
        path = os.fsdecode(words[0])


def execute(path: str, args: list[str], env: list[str]) -> None:
    """Become the program *path*.  Does not return.

    Raises :class:`ContainerError`: status 127 when a part of it is missing, else 126.  Source: execve(2).
    """
    try:
        os.execve(path, args, dict(each.split("=", 1) for each in env if "=" in each))
    except OSError as error:
        if error.errno == errno.ENOENT:  # the file was there a moment ago
            raise ContainerError(
                f"{path} is there, but the interpreter or loader that it names is not",
                errno=error.errno,
                status=NOT_FOUND,
            ) from None
        why = {
            errno.EACCES: "permission denied",
            errno.ENOEXEC: "it is neither a program of this processor nor a script that begins with #!",
        }.get(error.errno or 0, error.strerror or "")
        raise ContainerError(f"can't execute {path}: {why}", errno=error.errno, status=NOT_EXECUTABLE) from None


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the one that made it ends, and end now if it already has.

    Source: prctl(2), PR_SET_PDEATHSIG.  Must come after set_user, which would switch it off again.
    """
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    if os.getppid() != parent:
        os._exit(1)
