"""The container's process: what it inherits, its limits and its user, and the file that it executes."""

from __future__ import annotations

import _signal  # importing signal would add 5 ms to each start
import errno
import os
import select
import sys

from ..kernel import mount as k
from ..kernel import process as kernel
from . import procfs
from .errors import NOT_EXECUTABLE, NOT_FOUND, ContainerError
from .mounts import refuse_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from .spec import Rlimit, User

_LAST_BREATH = 10.0  # seconds that a killed process has to end: a frozen one does not
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def spawn(function: Callable[[], object]) -> int:
    """Fork; the child calls *function* and ends; return the child's pid.

    The child must never return from here: the program that called us would then run twice. So it ends in
    any case, with status 1 if *function* raises.
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


def kill_child(pid: int, pidfd: int) -> None:
    """Kill a child, and wait until it is gone, but not for a frozen one; close its *pidfd*.

    Source: pidfd_send_signal(2), waitpid(2).
    """
    try:
        kernel.pidfd_send_signal(pidfd, 9)
    except ProcessLookupError:
        pass
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    ended = poll.poll(_LAST_BREATH * 1000)
    os.close(pidfd)
    try:
        os.waitpid(pid, 0 if ended else os.WNOHANG)
    except ChildProcessError:
        pass  # another part of this process, such as an event loop, has waited for it


def close_streams() -> None:
    """Open /dev/null in place of the standard streams. Raises :class:`OSError`. Source: null(4), dup(2)."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)


def close_all_except(keep: Iterable[int]) -> None:
    """Close every descriptor above 2 that is not in *keep*. Raises :class:`OSError`. Source: close_range(2)."""
    lowest = 3
    for fd in sorted(fd for fd in set(keep) if fd > 2):
        if fd > lowest:
            kernel.close_range(lowest, fd - 1)
        lowest = fd + 1
    kernel.close_range(lowest)


def exit_status(status: int) -> int:
    """The wait *status* of a process as a shell reports it: an exit status, or 128 + n after signal n.

    Source: waitpid(2); POSIX, Shell Command Language, 2.8.2.
    """
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def restore_signals() -> None:
    """Undo what Python has done to its signals: none ignored, none handled, none blocked.

    Python ignores SIGPIPE, and an ignored signal stays ignored through execve: a program that is started that way
    would not end when its reader is gone. Source: signal(7), execve(2).
    """
    for number in range(1, 32):
        if number not in (9, 19) and _signal.getsignal(number) != _signal.SIG_DFL:
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def reset_inherited(pid: int = 0) -> None:
    """Let the process *pid* (0: the caller) run as if init had started it, and not the person at the terminal.

    Scheduling policy and nice value are the normal ones, all processors are allowed (the cpuset still applies), and the
    umask is 022. What we may not change stays. Source: sched(7), sched_setaffinity(2), setpriority(2), umask(2).
    """
    try:
        if os.sched_getscheduler(pid) != os.SCHED_OTHER:
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
        if os.getpriority(os.PRIO_PROCESS, pid):
            os.setpriority(os.PRIO_PROCESS, pid, 0)
        processors = os.sysconf("SC_NPROCESSORS_CONF")
        if len(os.sched_getaffinity(pid)) < processors:
            os.sched_setaffinity(pid, range(processors))
    except OSError:
        pass
    if not pid:
        os.umask(0o022)


def set_rlimits(rlimits: list[Rlimit]) -> None:
    """Set the limits of setrlimit(2), by their names there (``RLIMIT_NOFILE``).

    Raises :class:`ContainerError`; a limit above our own hard one needs CAP_SYS_RESOURCE. Source: setrlimit(2).
    """
    if not rlimits:
        return
    import resource

    names = [limit.type for limit in rlimits]
    if len(set(names)) < len(names):
        raise ContainerError(f"process.rlimits has two limits of one type: {', '.join(map(str, names))}")
    for limit in rlimits:
        number = getattr(resource, limit.type or "", None)
        if number is None:
            raise ContainerError(f"unknown resource limit {limit.type!r}: see setrlimit(2), such as RLIMIT_NOFILE")
        try:
            resource.setrlimit(number, (_rlimit(limit.soft), _rlimit(limit.hard)))
        except (OSError, ValueError):  # what EPERM is in Python
            raise ContainerError(
                f"cannot set {limit.type} to {limit.soft}:{limit.hard}: operation not permitted; its hard limit is "
                f"{resource.getrlimit(number)[1]}, and raising that needs CAP_SYS_RESOURCE"
            ) from None


def _rlimit(value: int) -> int:
    return -1 if value < 0 or value >= 2**63 - 1 else value  # RLIM_INFINITY


def set_user(user: User) -> None:
    """Become the process's user. The groups come first: afterwards we lack the right to change them.

    Raises :class:`OSError`. Source: credentials(7).
    """
    try:
        os.setgroups(list(user.additionalGids))
    except PermissionError:
        if not _groups_are_fixed():
            raise
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def _groups_are_fixed() -> bool:
    """A user namespace that was mapped without privileges does not allow setgroups(2): user_namespaces(7)."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    proc = procfs.open_root(root)
    file = procfs.open_file(proc, "self/setgroups", os.O_RDONLY)
    answer = os.read(file, 16)
    for fd in (file, proc, root):
        os.close(fd)
    return answer.strip() == b"deny"


def with_home(env: list[str], uid: int) -> list[str]:
    """*env*, with the HOME of the user *uid* of the container if it has none: by its /etc/passwd, else ``/``.

    The file is the container's: only the beginning of a regular one is read. Source: passwd(5); runc, crun.
    """
    if any(each.startswith("HOME=") for each in env):
        return list(env)
    try:
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return [*env, "HOME=/"]
    try:
        text = os.read(fd, 1 << 20) if os.fstat(fd).st_mode & 0o170000 == 0o100000 else b""
    except OSError:
        text = b""
    os.close(fd)
    entries = [line.split(":") for line in text.decode(errors="surrogateescape").splitlines()]
    home = next((each[5] for each in entries if len(each) > 5 and each[2] == str(uid)), "")
    return [*env, f"HOME={home or '/'}"]


def enter_directory(path: str) -> None:
    """Go to the process's working directory.

    Raises :class:`ContainerError` when that is impossible, or when the path leads out of the container, as an
    open descriptor of the host would allow (CVE-2024-21626). Source: openat2(2), getcwd(2).
    """
    try:
        directory = k.openat2(k.AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, 0, k.RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        refuse_loop(path, error)
        raise ContainerError(
            f"the working directory {path} cannot be entered: {os.strerror(error.errno or 0)}", errno=error.errno
        ) from None
    os.fchdir(directory)
    os.close(directory)
    if not os.getcwd().startswith("/"):
        raise ContainerError(f"the working directory {path} is outside of the container: choose another")


def find(command: str, env: list[str]) -> str:
    """The file that *command* refers to: the first of its :func:`candidates` that may be executed.

    Raises :class:`ContainerError`: with status 126 when there is only a file that may not be executed, else with 127.
    Source: execvp(3); POSIX, Shell Command Language, 2.8.2.
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
    """The files that *command* may refer to: itself if it contains a slash, else one in each directory of *env*'s PATH.

    Raises :class:`ContainerError` when *command* is empty. Source: execvp(3).
    """
    if not command:
        raise ContainerError("the command is empty", status=NOT_FOUND)
    if "/" in command:
        return [command]
    path = next((each[5:] for each in env if each.startswith("PATH=")), PATH)
    return [os.path.join(directory or ".", command) for directory in path.split(":")]


def refuse_magic_link(path: str, on_root: bool) -> None:
    """Refuse a command, or an interpreter that it needs, that is a magic link of /proc, such as ``/proc/self/exe``.

    Until execve is done, that link leads to our own interpreter, a file of the host. A hostile image could
    execute it inside and then write to it (CVE-2019-5736). The container owns these files: so they are opened without
    waiting for them, and only a regular file is read. *on_root*: refuse what is not on the root file system, too.
    Raises :class:`ContainerError`.
    Source: execve(2), "Interpreter scripts"; elf(5), PT_INTERP; openat2(2), RESOLVE_NO_MAGICLINKS.
    """
    for _ in range(6):  # the kernel follows at most five interpreters
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        try:
            fd = k.openat2(k.AT_FDCWD, path, flags, 0, k.RESOLVE_NO_MAGICLINKS)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ContainerError(
                    f"the command leads through {path}, a link out of the container: name the program itself",
                    status=NOT_EXECUTABLE,
                ) from None
            if error.errno == errno.EWOULDBLOCK:  # fcntl(2), "Leases": it would be exchanged after this check
                raise ContainerError(
                    f"{path} cannot be executed: a process in the container holds a lease on it", status=NOT_EXECUTABLE
                ) from None
            return  # unreadable or missing: execve has the better error
        try:
            if os.fstat(fd).st_mode & 0o170000 != 0o100000:
                return  # execve refuses what is not a regular file
            if on_root:
                refuse_mounted(path)
            interpreter = _script_interpreter(fd) or _elf_interpreter(fd)
        finally:
            os.close(fd)
        if not interpreter:
            return
        path = os.fsdecode(interpreter)


def refuse_mounted(path: str) -> None:
    """Refuse a program that is reached through a mount, where another container could exchange it after this check.

    The parent has seen none there: see :func:`.launch.may_hold_programs`. Raises :class:`ContainerError`.
    Source: openat2(2), RESOLVE_NO_XDEV.
    """
    try:
        os.close(k.openat2(k.AT_FDCWD, path, os.O_PATH, 0, k.RESOLVE_NO_XDEV | k.RESOLVE_NO_MAGICLINKS))
    except OSError:
        raise ContainerError(
            f"{path} became a program while the container started, and others may write to it: try again",
            status=NOT_EXECUTABLE,
        ) from None


def _script_interpreter(fd: int) -> bytes | None:
    """The program behind ``#!`` in the first line of a script. Source: execve(2)."""
    first = os.pread(fd, 256, 0)
    words = first[2:].split(b"\n")[0].split() if first[:2] == b"#!" else []
    return words[0] if words else None


def _elf_interpreter(fd: int) -> bytes | None:
    """The dynamic loader that an ELF program names in its segment PT_INTERP. Source: elf(5)."""
    header = os.pread(fd, 64, 0)
    if header[:4] != b"\x7fELF" or len(header) < 64:
        return None
    wide = header[4] == 2  # ELFCLASS64
    offset = int.from_bytes(header[32:40] if wide else header[28:32], "little")
    size, count = (int.from_bytes(header[place : place + 2], "little") for place in ((54, 56) if wide else (42, 44)))
    table = _pread(fd, size * min(count, 256), offset)
    for place in range(0, len(table) - size + 1, size or len(table) + 1):
        entry = table[place : place + size]
        if entry[:4] == b"\3\0\0\0":  # PT_INTERP
            start = int.from_bytes(entry[8:16] if wide else entry[4:8], "little")
            length = int.from_bytes(entry[32:40] if wide else entry[16:20], "little")
            return _pread(fd, min(length, 4096), start).split(b"\0")[0]
    return None


def _pread(fd: int, size: int, offset: int) -> bytes:
    """pread(2), but nothing for an offset that a hostile file has made up."""
    return os.pread(fd, size, offset) if offset < 1 << 62 else b""


def execute(path: str, args: list[str], env: list[str]) -> NoReturn:
    """Become the program *path*.

    Raises :class:`ContainerError`: status 127 when its interpreter or loader is missing, else 126. Source: execve(2).
    """
    try:
        os.execve(path, args, dict(each.split("=", 1) for each in env if each.find("=") > 0))
    except OSError as error:
        if error.errno == errno.ENOENT:  # the file existed a moment ago
            raise ContainerError(
                f"{path} exists, but the interpreter or loader that it names does not",
                errno=error.errno,
                status=NOT_FOUND,
            ) from None
        reasons = {
            errno.EACCES: "permission denied",
            errno.ENOEXEC: "it is neither a program for this processor nor a script that begins with #!",
        }
        why = reasons.get(error.errno or 0, error.strerror)
        raise ContainerError(f"cannot execute {path}: {why}", errno=error.errno, status=NOT_EXECUTABLE) from None
