"""The zygote: a small process that creates containers for a large one.

A request is a message on a Unix socket: the plain values of a birth (marshal), and its descriptors. The zygote
clones with CLONE_PARENT, so that the container is a child of the process that asked, which can wait for it.
The zygote ends when the socket is closed, and so with its owner.

It executes a sealed copy of the interpreter in memory. Processes in a container can see the process that enters it, and
``/proc/PID/exe`` would be a way to overwrite the host's interpreter (CVE-2019-5736): a sealed file cannot be written
to. Its environment is empty, because the container must not see the caller's.
"""

from __future__ import annotations

import _thread
import ctypes
import marshal
import os
import sys

from ..kernel import process as kernel
from . import birth as births
from . import messages, stage
from .errors import ContainerError
from .process import kill_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_shared: Zygote | None = None  # of this process, for any number of requests
_deciding = _thread.allocate_lock()  # held while shared_zygote() decides whether to start one


def _forget() -> None:
    """In a fork: the zygote is the parent's, and so is the thread that may have held the lock."""
    global _shared, _deciding
    _shared, _deciding = None, _thread.allocate_lock()


os.register_at_fork(after_in_child=_forget)


def clone(birth: births.Birth) -> tuple[int, int]:
    """Let a zygote clone the container's first process, which is still our own child.

    The first call starts a zygote (20 to 40 ms). A birth that joins namespaces gets a zygote for itself alone,
    because there may be no way back from them; and so does one for a process without threads, such as the command line,
    which does not ask again.
    Returns (pid, pidfd), or (-1, -1) when the reason is in the birth's report. Raises :class:`ContainerError`.
    Source: clone(2), CLONE_PARENT.
    """
    if stage.needs_stage(birth) or not stage.has_threads():
        zygote = Zygote()
        try:
            pid = zygote.ask(birth)
        finally:
            zygote.end()
    else:
        pid = shared_zygote().ask(birth)
    return pid, kernel.pidfd_open(pid) if pid > 0 else -1


class Zygote:
    """Our end of a zygote: its socket and its pid. Making the object starts it. Source: unix(7), SCM_RIGHTS."""

    def __init__(self) -> None:
        import socket

        self.lock = _thread.allocate_lock()  # one request at a time
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.pid = start(theirs.fileno())
        self.pidfd = kernel.pidfd_open(self.pid)

    def ask(self, birth: births.Birth) -> int:
        """Have a process cloned; its pid, or -1 when the reason is in the birth's report.

        Raises :class:`ContainerError` when the zygote does not answer. Source: unix(7), memfd_create(2).
        """
        import socket

        with self.lock:
            fds = birth.descriptors.open()
            values = os.memfd_create("birth", os.MFD_CLOEXEC)  # a file too: the size of a message is limited
            try:
                with open(values, "wb", closefd=False) as file:
                    marshal.dump({"birth": birth.to_wire(), "descriptors": list(fds)}, file)
                socket.send_fds(self.channel, [b"!"], [values, *fds.values(), *birth.preserved])
                messages.wait_readable(self.channel.fileno(), "clone")
                answer = self.channel.recv(32)
            except ConnectionError:
                answer = b""
            except BaseException:
                self.end()  # or its late answer would be taken for the one to the next request
                raise
            finally:
                os.close(values)
        if not answer:  # it may have cloned before it died: the caller ends every process in the container's cgroup
            raise ContainerError("the process that creates containers (minict-zygote) was killed: try again")
        return int(answer)

    def is_dead(self) -> bool:
        """Whether the other end of the socket is closed. Source: poll(2), POLLHUP."""
        import select

        if self.pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self.channel, 0)  # POLLHUP is always reported; an answer for another thread is not
        return bool(poll.poll(0))

    def end(self) -> None:
        """Close the socket, and end the zygote if it still works on a request. Source: waitpid(2)."""
        if self.pidfd < 0:
            return
        self.channel.close()
        kill_child(self.pid, self.pidfd)
        self.pidfd = -1


def shared_zygote() -> Zygote:
    """This process's zygote, started when there is none or the last one has died. Source: fork(2)."""
    global _shared
    with _deciding:
        if _shared and _shared.is_dead():
            _shared.end()
            _shared = None
        if not _shared:
            _shared = Zygote()
        return _shared


def start(channel: int) -> int:
    """Start a zygote that serves the other end of the socket *channel*; return its pid.

    Raises :class:`OSError`. Source: posix_spawn(3).
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    code = f"import sys; sys.path.insert(0, {package!r}); from minict.runtime import zygote; zygote.serve(3)"
    environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    interpreter = sealed_interpreter()
    try:
        # argv[0] tells Python where its standard library is, and a person what this process is
        return in_lasting_thread(
            lambda: os.posix_spawn(
                f"/proc/self/fd/{interpreter}",
                [sys.executable, "-IS", "-c", code, "minict.runtime.zygote"],
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, channel, 3)],
                setpgroup=0,  # Ctrl-C at the terminal is meant for its owner
            )
        )
    finally:
        os.close(interpreter)


def in_lasting_thread(function: Callable[[], int]) -> int:
    """Call *function*, which creates a process, in a thread that lives as long as we do; return its result.

    To the kernel, a process's parent is the thread that created it, and PR_SET_PDEATHSIG refers to the end of that
    thread: containers must not end with the thread of a pool that happened to ask for the first of them.
    Source: prctl(2).
    """
    if _thread.get_native_id() == os.getpid():  # the main thread
        return function()
    result: list[int] = []
    errors: list[BaseException] = []
    done, never = _thread.allocate_lock(), _thread.allocate_lock()

    def work() -> None:
        try:
            result.append(function())
        except BaseException as error:
            errors.append(error)
        done.release()
        never.acquire()

    done.acquire()
    never.acquire()
    _thread.start_new_thread(work, ())
    done.acquire()
    if errors:
        raise errors[0]
    return result[0]


def sealed_interpreter() -> int:
    """A copy of our interpreter in memory that can never be changed again; a file descriptor.

    Raises :class:`OSError`. Source: memfd_create(2), fcntl(2) F_ADD_SEALS.
    """
    import fcntl

    copy = os.memfd_create("minict", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    original = os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC)
    while os.sendfile(copy, original, None, 1 << 24):
        pass
    os.close(original)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
    return copy


# ---- inside the zygote -------------------------------------------------------------------------------------------


def serve(channel: int) -> None:
    """The zygote's main loop: take a request, clone, answer with the pid, until the socket ends.

    Source: unix(7), SCM_RIGHTS; clone(2), CLONE_PARENT.
    """
    import socket

    name = ctypes.create_string_buffer(b"minict-zygote")
    kernel.prctl(kernel.PR_SET_NAME, ctypes.addressof(name))  # or ps shows the number in /proc/self/fd/NUMBER
    os.set_inheritable(channel, False)
    requests: socket.socket = socket.socket(fileno=channel)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1, 253)  # SCM_MAX_FD
        if not message:
            os._exit(0)
        file, *descriptors = descriptors
        values = marshal.loads(os.pread(file, os.fstat(file).st_size, 0))
        os.close(file)
        named = dict(zip(values["descriptors"], descriptors))
        birth = births.Birth.from_wire(values["birth"], named, descriptors[len(named) :])
        try:
            births.preload(birth)
            pid = stage.enter_and_clone(birth)
        except BaseException as error:
            messages.report_error(birth.descriptors.report, "make the process", error)
            pid = -1
        for fd in descriptors:
            os.close(fd)
        requests.send(str(pid).encode())
