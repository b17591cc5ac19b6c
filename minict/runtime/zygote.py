"""The zygote: a small process that makes containers for a large one.

A request travels over a Unix socket: the birth's plain values (marshal), and with them its descriptors.  The zygote
clones with CLONE_PARENT, so that the container is a child of the process that asked, which can wait for it.
It ends when the socket does, that is, with its owner.

It executes a sealed copy of the interpreter that lies in memory.  A process that enters a container can
be seen there, and ``/proc/PID/exe`` would be a way to overwrite the host's interpreter (CVE-2019-5736): a sealed
file can't be written to.
"""

from __future__ import annotations

import _thread
import ctypes
import marshal
import os
import sys

from ..kernel.process import PR_SET_NAME, prctl
from . import birth as births
from .errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

_own: tuple[socket, int, _thread.LockType] | None = None  # this process's zygote: (socket, pid, lock)
_looking = _thread.allocate_lock()  # held while own() decides whether there has to be a new one


def _forget() -> None:
    """In a fork: the zygote is the parent's, and so is the thread that may have held the lock."""
    global _own, _looking
    _own, _looking = None, _thread.allocate_lock()


os.register_at_fork(after_in_child=_forget)


def request(birth: births.Birth) -> int:
    """Have a container made; return the pid of its first process, or -1 when the reason is in the birth's report.

    The first call starts the zygote (20 to 40 ms).  A birth that joins namespaces gets a zygote for itself alone,
    because there may be no way back from them; and so does one for a process without threads, such as the command line,
    which will not ask again.
    """
    from .launch import has_threads, needs_stage

    if needs_stage(birth) or not has_threads():
        channel, pid = start()
        try:
            return ask(channel, birth)
        finally:
            channel.close()
            os.waitpid(pid, 0)
    channel, lock = own()
    with lock:
        return ask(channel, birth)


def own() -> tuple[socket, _thread.LockType]:
    """This process's zygote, its socket and its lock; started when there is none, or the one that was has died."""
    global _own
    with _looking:
        if _own and _ended(_own[0]):
            try:
                os.waitpid(_own[1], 0)
            except ChildProcessError:
                pass  # somebody else has waited for it
            _own = None
        if not _own:
            _own = (*start(), _thread.allocate_lock())
        return _own[0], _own[2]


def _ended(channel: socket) -> bool:
    """Whether nobody is at the other end."""
    import select

    poll = select.poll()
    poll.register(channel, 0)  # POLLHUP is always told; an answer that another thread is about to read is no end
    return bool(poll.poll(0))


def start() -> tuple[socket, int]:
    """Start a zygote; return our end of its socket, and its pid."""
    import socket

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    code = f"import sys; sys.path.insert(0, {package!r}); from minict.runtime import zygote; zygote.serve(3)"
    interpreter = sealed_interpreter()
    with theirs:
        # argv[0] tells Python where its standard library is, and a person what this process is
        pid = by_lasting_thread(
            lambda: os.posix_spawn(
                f"/proc/self/fd/{interpreter}",
                [sys.executable, "-IS", "-c", code, "minict.runtime.zygote"],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)],
                setpgroup=0,
            )
        )  # Ctrl-C at the terminal is meant for its owner
    os.close(interpreter)
    return ours, pid


def by_lasting_thread(function: Callable[[], int]) -> int:
    """Call *function*, which makes a process, in a thread that lives as long as we do; return its result.

    For the kernel a process's parent is the thread that made it, and PR_SET_PDEATHSIG speaks of that thread's end:
    containers must not end with the thread of a pool that happened to ask for the first of them.
    Source: prctl(2).
    """
    if _thread.get_native_id() == os.getpid():  # the main thread
        return function()
    result: list[tuple[int, BaseException | None]] = []
    done, never = _thread.allocate_lock(), _thread.allocate_lock()

    def work() -> None:
        try:
            result.append((function(), None))
        except BaseException as error:
            result.append((-1, error))
        done.release()
        never.acquire()

    done.acquire()
    never.acquire()
    _thread.start_new_thread(work, ())
    done.acquire()
    value, error = result[0]
    if error:
        raise error
    return value


def ask(channel: socket, birth: births.Birth) -> int:
    import socket

    names = [name for name, fd in birth.descriptors.items() if fd >= 0]
    values = os.memfd_create("birth", os.MFD_CLOEXEC)  # the values too go as a file: a message has a largest size
    try:
        with open(values, "wb", closefd=False) as file:
            marshal.dump({"birth": birth.to_wire(), "descriptors": names}, file)
        socket.send_fds(channel, [b"!"], [values, *(birth.descriptors[name] for name in names)])
        answer = channel.recv(32)
    except ConnectionError:
        answer = b""
    finally:
        os.close(values)
    if not answer:  # perhaps it had cloned before it died: the caller ends whoever is in the container's cgroup
        raise ContainerError("the process that makes the containers (zygote) was killed at its work: try again")
    return int(answer)


def sealed_interpreter() -> int:
    """A copy of our interpreter in memory that nobody can change any more; a file descriptor.

    Source: memfd_create(2), fcntl(2) F_ADD_SEALS.
    """
    import fcntl

    copy = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    original = os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC)
    while os.sendfile(copy, original, None, 1 << 24):
        pass
    os.close(original)
    fcntl.fcntl(
        copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    )
    return copy


# ---- inside the zygote -------------------------------------------------------------------------------------------


def serve(channel: int) -> None:
    """The zygote's whole life: take a request, clone, answer with the pid, until the socket ends."""
    import socket

    from . import launch

    name = ctypes.create_string_buffer(b"minict-zygote")
    prctl(PR_SET_NAME, ctypes.addressof(name))  # else it would be called by the number in /proc/self/fd/NUMBER
    os.set_inheritable(channel, False)
    requests = socket.socket(fileno=channel)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1, 16)
        if not message:
            os._exit(0)
        file, *descriptors = descriptors
        values = marshal.loads(os.pread(file, os.fstat(file).st_size, 0))
        os.close(file)
        birth = births.Birth.from_wire(values["birth"], dict(zip(values["descriptors"], descriptors)))
        try:
            births.preload(birth)
            pid = launch.enter_and_clone(birth)
        except BaseException as error:
            births.report_error(birth, "make the process", error)
            pid = -1
        for fd in descriptors:
            os.close(fd)
        requests.send(str(pid).encode())
