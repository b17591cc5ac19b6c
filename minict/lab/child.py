"""Run a cell, or a function, in a disposable child process.

The kernel of a notebook never enters a namespace, another root directory or a control group: only one of its dozen
threads would go there, and the next cell would not work. A forked child does it instead, and ends::

    %%child
    unshare(CLONE_NEWUTS)
    sethostname("box")

:func:`supervise` makes the child so that nothing it does can harm the notebook: it has a session of its
own, dies with the kernel, is killed with all that it started when it takes too long, and can't return into
the notebook's code.  What it and its children write comes back through a pipe and is printed by the
parent: what children write to the kernel's own descriptor 1 is lost, or lands in another cell.
"""

from __future__ import annotations

import ast
import builtins
import codecs
import contextlib
import fcntl
import io
import linecache
import os
import pickle
import resource
import select
import signal
import socket
import struct
import sys
import termios
import time
import traceback
import warnings

from minict.kernel import mount, namespaces, process

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

TIME_LIMIT = 30.0  # seconds that a child may take unless its cell says otherwise
_MOST_SHOWN = 100_000  # characters of a child's output: JupyterLab drops whatever comes faster than 1 MB a second
_ASK = signal.SIGRTMIN + 7  # not one of the first 31, which exercises use
_OUR_FILES = ("minict/lab/child.py", "minict/lab/guard.py")
_CELL = "<this cell>"
_SCREEN = (24, 80)  # rows and columns of the terminal of %%child --tty


class ChildError(Exception):
    """The child raised an exception, ended with a status other than 0, or was killed."""

    def __init__(self, message: str, lines: Sequence[str] = ()):
        super().__init__(message)
        self.lines = list(lines)

    def _render_traceback_(self):
        """IPython's hook: the child's own traceback, not that of the machinery around it."""
        return self.lines or [f"ChildError: {self}"]


class Outcome:
    """How a supervised child ended."""

    value: object = None  # what the function returned, or the variables that a cell returned
    error: BaseException | None = None  # the exception that it raised, if it can be pickled
    error_text: str = ""  # "FileNotFoundError: …"
    error_lines: list[str] = ()  # the traceback, from the learner's own first line on
    error_call: str = ""  # the call of the learner's function that raised it
    error_line: str = ""  # the last line of the learner's own code that was running
    status: int = 0  # exit status, or minus the number of the signal, as in subprocess
    timed_out: bool = False
    stray: bool = False  # a process that the child had forked came out of the function as well
    stuck: list = ()  # what *ask* found out about each process that had not ended in time
    output: str = ""  # what was written, if it was not shown at once


def run_in_child(
    function,
    *arguments,
    timeout: float = TIME_LIMIT,
    tty: bool = False,
    stdin: str | None = None,
    any_status: bool = False,
):
    """Call ``function(*arguments)`` in a forked child, show what it prints, and return what it returns.

    The child may unshare, chroot and exec as it likes: the caller stays as it is.  The value comes back
    by pickle.  After *timeout* seconds the child and all processes of its session are killed.  With *tty*
    it has a terminal of its own; *stdin* is what it finds to read.

    Raises :class:`ChildError` when the child raised, was killed, took too long, or, unless *any_status*,
    ended with a status other than 0.
    """
    outcome = supervise(
        lambda: function(*arguments), timeout=timeout, tty=tty, stdin=stdin, show=_print, on_display=_display
    )
    _raise_for(outcome, timeout, any_status)
    return outcome.value


def _raise_for(outcome: Outcome, timeout: float, any_status: bool) -> None:
    if outcome.timed_out:
        raise ChildError(f"the child was still running after {timeout:g} s and was killed")
    if outcome.error_text:
        raise ChildError(f"the child raised {outcome.error_text}", outcome.error_lines)
    if outcome.stray:
        raise ChildError("a process that the child had forked ran on to the end of the cell: end it with os._exit()")
    if outcome.status < 0 and not any_status:
        raise ChildError(f"the child was killed by {signal.Signals(-outcome.status).name}")
    if outcome.status > 0 and not any_status:
        raise ChildError(f"the child ended with status {outcome.status}")


# ---- the parent's side -----------------------------------------------------------------------------------------


def supervise(
    function,
    *,
    timeout: float = TIME_LIMIT,
    tty: bool = False,
    stdin: str | None = None,
    show=None,
    on_display=None,
    filename: str | None = None,
    apart: bool = False,
    ask=None,
) -> Outcome:
    """Call ``function()`` in a forked child, and return within *timeout* seconds, whatever the child does.

    *show* gets the text that the child's session writes, as it comes; without it the text is collected in
    ``Outcome.output``.  *on_display* gets (data, metadata) of what the child wants to display.  *filename*
    is the file whose lines a traceback should start with.  *apart*: in mount and pid namespaces of its own, where it
    sees no other process, and where no signal can reach one.  *ask*: what each process calls, with the frame that it
    was in, and whether it is the child itself, when the time is over; what it returns comes into ``Outcome.stuck``.
    """
    talk, child_talk = socket.socketpair()  # pickled frames: values, exceptions, displays
    stray_reader, stray_writer = os.pipe()  # one byte from each forked process that returns from the function
    reader, writer = _open_terminal() if tty else os.pipe()
    source = _open_input(stdin, tty, reader)
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork while there are threads
        pid = os.fork()
    if pid == 0:
        _child(function, child_talk, stray_writer, writer, source, tty, filename, apart, ask)
    for descriptor in (stray_writer, writer, source):
        os.close(descriptor)
    child_talk.close()
    try:
        return _Watch(pid, talk, reader, tty, show, on_display, bool(ask)).until_the_end(timeout, stray_reader)
    finally:
        talk.close()
        os.close(reader)
        os.close(stray_reader)


def _open_terminal() -> tuple[int, int]:
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", *_SCREEN, 0, 0))
    return reader, writer


def _open_input(text: str | None, tty: bool, terminal: int) -> int:
    """A descriptor from which the child can read *text*; a terminal is typed into instead."""
    if text is None or tty:
        if text:
            os.write(terminal, text.encode())
        return os.open("/dev/null", os.O_RDONLY)
    memory = os.memfd_create("stdin")
    os.write(memory, text.encode())
    os.lseek(memory, 0, os.SEEK_SET)
    return memory


class _Watch:
    """The parent's view of one child: its output, its frames, its end."""

    def __init__(self, pid: int, talk: socket.socket, reader: int, tty: bool, show, on_display, asks=False):
        self.pid, self.talk, self.reader, self.tty = pid, talk, reader, tty
        self.on_display, self.asks = on_display, asks
        self.outcome = Outcome()
        self.print = show or self._collect
        self.written = 0
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.frames = bytearray()
        self.open = {reader, talk.fileno()}

    def until_the_end(self, timeout: float, stray: int) -> Outcome:
        # The end is the child's exit and not the end of its output, which a process left behind may keep open.
        pidfd = os.pidfd_open(self.pid)
        end = time.monotonic() + timeout
        try:
            while pidfd not in select.select([*self.open, pidfd], [], [], max(0, end - time.monotonic()))[0]:
                self._listen()
                if time.monotonic() > end:
                    self.outcome.timed_out = True
                    self._ask()
                    break
        finally:  # also when the learner interrupts the cell
            self._kill_session()
            status = os.waitpid(self.pid, 0)[1]
            os.close(pidfd)
        end = time.monotonic() + 1  # a process in another session may go on writing forever
        while self.open and self._listen() and time.monotonic() < end:
            pass
        self._end_output()
        self.outcome.status = os.waitstatus_to_exitcode(status)
        self.outcome.stray = bool(select.select([stray], [], [], 0)[0] and os.read(stray, 1))
        return self.outcome

    def _ask(self) -> None:
        """Ask every process of the session what it is doing, and wait a moment for the answers."""
        if not self.asks:
            return
        self.outcome.stuck = []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, _ASK)
        end = time.monotonic() + 1
        while (left := end - time.monotonic()) > 0 and select.select(list(self.open), [], [], min(left, 0.3))[0]:
            self._listen()

    def _kill_session(self) -> None:
        """Kill the child and the processes it started, while the kernel can't have given its pid to another process."""
        for kill in (os.killpg, os.kill):  # os.kill: it may not have become the leader of a session yet
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)

    def show(self, text: str) -> None:
        """Pass *text* on, up to a limit; the rest is only counted, so that the child can go on."""
        room = max(0, _MOST_SHOWN - self.written)
        self.written += len(text)
        if room:
            self.print(text[:room])

    def _end_output(self) -> None:
        if self.written > _MOST_SHOWN:
            self.print(f"\n[… and {self.written - _MOST_SHOWN:,} more characters, which are not shown]\n")

    def _listen(self) -> bool:
        """Handle what has arrived; text before frames, so that a picture comes after the text printed before it."""
        ready = select.select(list(self.open), [], [], 0)[0]
        if self.reader in ready:
            try:
                data = os.read(self.reader, 1 << 16)
            except OSError:  # EIO: no process has the terminal open any more
                data = b""
            if data:
                text = self.decoder.decode(data)
                self.show(text.replace("\r\n", "\n") if self.tty else text)
            else:
                self.open.discard(self.reader)
        elif self.talk.fileno() in ready:
            try:
                data = self.talk.recv(1 << 16)
            except OSError:  # reset: the child was killed before it had read our answer
                data = b""
            self.frames.extend(data)
            if not data:
                self.open.discard(self.talk.fileno())
            self._take_frames()
        return bool(ready)

    def _take_frames(self) -> None:
        while len(self.frames) >= 4 and len(self.frames) >= 4 + (size := struct.unpack("!I", self.frames[:4])[0]):
            kind, value = pickle.loads(self.frames[4 : 4 + size])
            del self.frames[: 4 + size]
            if kind == "display":
                if self.on_display:
                    self.on_display(*value)
                with contextlib.suppress(OSError):
                    self.talk.send(b".")  # now the child may go on to print
            elif kind == "stuck":
                self.outcome.stuck.append(value)
            elif kind == "value":
                self.outcome.value = value
            else:
                text, lines, line, error, self.outcome.error_call = value
                self.outcome.error_text, self.outcome.error_lines, self.outcome.error_line = text, lines, line
                with contextlib.suppress(Exception):  # an exception class of the learner's may not unpickle
                    self.outcome.error = pickle.loads(error)

    def _collect(self, text: str) -> None:
        self.outcome.output += text


# ---- the child's side ------------------------------------------------------------------------------------------


def _child(
    function, talk: socket.socket, stray: int, output: int, source: int, tty: bool, filename: str | None, apart, ask
):
    """The forked child: calls the function, reports, and never returns."""
    status, me = 1, os.getpid()
    try:
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        signal.signal(_ASK, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(-1)  # else a signal here would wake the kernel's event loop
        if tty:
            fcntl.ioctl(output, termios.TIOCSCTTY, 0)
        _stand_on(output, output if tty else source)
        if apart:
            _enter_pid_namespace()
            me = os.getpid()
            _stand_on(output, output if tty else source)
        _show_through(talk)
        if ask:
            _listen_to_questions(talk, ask)
        value = function()
        if os.getpid() == me and value is not None:
            _send(talk, "value", value)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code)
    except BaseException as error:
        if os.getpid() == me:
            with contextlib.suppress(OSError):
                _send(talk, "error", _describe(error, filename))
        else:
            traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        if os.getpid() != me:
            with contextlib.suppress(OSError):
                os.write(stray, b"!")
        os._exit(status & 0xFF)


def _listen_to_questions(talk: socket.socket, ask) -> None:
    """Answer the parent's signal, which asks what this process, and each process that it forks, is doing."""
    me = os.getpid()

    def answer(number, frame):
        with contextlib.suppress(Exception):
            told = ask(frame, os.getpid() == me)
            if told is not None:
                _send(talk, "stuck", told)

    signal.signal(_ASK, answer)


def _enter_pid_namespace() -> None:
    """Go on as process 2 of a new pid namespace with its own /proc, whose process 1 waits for orphans.

    The caller itself does not return: it stays outside, and ends as process 2 ends.  With process 1 all others end.
    """
    namespaces.unshare(namespaces.CLONE_NEWPID | namespaces.CLONE_NEWNS)
    mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
    told, tell = os.pipe()
    first = os.fork()
    if first:
        os.close(tell)
        with open(told) as pipe:
            status = pipe.read()
        os.waitpid(first, 0)
        _end_like(int(status or 9))
    os.close(told)
    process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
    second = os.fork()
    if second:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while (ended := os.wait())[0] != second:
            pass
        os.write(tell, str(ended[1]).encode())
        os._exit(0)
    os.close(tell)
    mount.mount("proc", "/proc", "proc", mount.MS_NOSUID | mount.MS_NODEV | mount.MS_NOEXEC)


def _end_like(status: int) -> None:
    """End this process with the wait *status* of another."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def _stand_on(output: int, source: int) -> None:
    """Make *source* the standard input and *output* the standard output and error, also for Python's own objects."""
    os.dup2(source, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)  # one pipe for both: they stay in the order in which they were written
    sys.stdin = sys.__stdin__ = open(0, closefd=False)
    builtins.input = _input  # a kernel's own asks the browser
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = io.TextIOWrapper(
        io.FileIO(1, "w", closefd=False), "utf-8", "replace", write_through=True
    )


def _input(prompt: str = "") -> str:
    print(prompt, end="")
    line = sys.stdin.readline()
    if not line:
        raise EOFError("there is nothing to read: give the cell --stdin")
    return line.rstrip("\n")


def _show_through(talk: socket.socket) -> None:
    """Send what the child wants to display to the parent: the connection to the browser belongs to the parent."""
    if "IPython" not in sys.modules:
        return
    from IPython.core.interactiveshell import InteractiveShell

    if not InteractiveShell.initialized():
        return

    me = os.getpid()

    def publish(self, data, metadata=None, **options):
        if os.getpid() != me:  # a child of the child: the socket belongs to its parent
            return print(data.get("text/plain", ""))
        _send(talk, "display", (data, metadata))
        talk.recv(1)  # the parent has shown it: what we print next comes below it

    publisher = type(InteractiveShell.instance().display_pub)
    publisher.publish = publish
    publisher.clear_output = lambda self, wait=False: None


def _send(talk: socket.socket, kind: str, value: object) -> None:
    data = pickle.dumps((kind, value))
    talk.sendall(struct.pack("!I", len(data)) + data)


def _describe(error: BaseException, filename: str | None) -> tuple:
    """What the parent should know of *error*: text, traceback from *filename* on, last line there, the object."""
    if filename == _CELL:
        from .guard import add_remedy

        add_remedy(error)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename]
    trace = error.__traceback__
    while filename and trace and trace.tb_frame.f_code.co_filename != filename:
        trace = trace.tb_next  # leave our own frames out
    told = traceback.TracebackException(type(error), error, trace)
    told.stack[:] = [frame for frame in told.stack if not frame.filename.endswith(_OUR_FILES)]  # nor those of a guard
    lines = "".join(told.format()).splitlines()
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    try:
        packed = pickle.dumps(error)
    except Exception:
        packed = b""
    line = getattr(error, "learners_line", own[-1].line if own else "")
    return text, lines, line, packed, getattr(error, "learners_call", "")


# ---- the cell magic --------------------------------------------------------------------------------------------


def _print(text: str) -> None:
    sys.stdout.write(text)


def _display(data: dict, metadata: dict | None) -> None:
    from IPython.display import display

    display(data, metadata=metadata, raw=True)


def child(line: str, cell: str) -> None:
    """Run this cell in a child process of its own: %%child [--timeout S] [--tty] [--stdin TEXT] [--any] [--return a,b]

    The cell sees all variables of the notebook. Its changes are lost when it ends, except the variables that --return
    names.  --tty gives it a terminal; --stdin TEXT is typed into it (\\n is Enter); --any takes any exit status as
    good; --timeout S sets another time limit than 30 seconds.
    """
    import argparse
    import shlex

    from IPython import get_ipython

    class Parser(argparse.ArgumentParser):
        def error(self, message):
            raise ValueError(f"%%child does not understand {line!r}: {message}")

    parser = Parser("%%child", add_help=False, allow_abbrev=False)
    parser.add_argument("--timeout", type=float, default=TIME_LIMIT)
    parser.add_argument("--tty", action="store_true")
    parser.add_argument("--stdin")
    parser.add_argument("--any", action="store_true")
    parser.add_argument("--return", dest="names", default="")
    options = parser.parse_args(shlex.split(line.replace(", ", ",")))
    shell = get_ipython()
    typed = None if options.stdin is None else options.stdin.replace("\\n", "\n")
    names = [name.strip() for name in options.names.split(",") if name.strip()]
    source = shell.transform_cell(cell)
    linecache.cache[_CELL] = (len(source), None, source.splitlines(True), _CELL)  # tracebacks find its lines here
    outcome = supervise(
        lambda: _run_cell(shell, source, names),
        timeout=options.timeout,
        tty=options.tty,
        stdin=typed,
        show=_print,
        on_display=_display,
        filename=_CELL,
    )
    _raise_for(outcome, options.timeout, options.any)
    shell.user_ns.update(outcome.value or {})


def _run_cell(shell, source: str, names: list[str]) -> dict:
    """In the child: run the cell as IPython would, show the value of a last expression, return the variables
    *names*."""
    from IPython.display import display

    me, space, tree = os.getpid(), shell.user_ns, ast.parse(source, _CELL)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, _CELL, "exec"), space)
    value = last and eval(compile(ast.Expression(last.value), _CELL, "eval"), space)
    if value is not None and os.getpid() == me:
        display(value)
    missing = [name for name in names if name not in space]
    if missing:
        raise NameError(f"--return {','.join(missing)}: the cell has no variable of that name")
    return {name: space[name] for name in names}


def load_ipython_extension(shell) -> None:
    """``%load_ext minict.lab.child``; ``import minict.lab`` does the same."""
    from .guard import protect_kernel

    shell.register_magic_function(child, "cell")
    protect_kernel(shell)
