"""Chapter 13: the size of a terminal, the controlling terminal of a session, and a terminal that passes everything on."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import struct
import termios

from minict.runtime import process, terminal

from ..challenge import Challenge
from ..exercise import Exercise
from ..feedback import Feedback

_IMPORTS = """
    import fcntl
    import os
    import select
    import signal
    import struct
    import subprocess
    import termios
    import tty
    from subprocess import Popen
    from minict.runtime.process import spawn
    from minict.runtime.terminal import attach, set_size
"""
_PATIENCE = 5.0  # seconds for what should be there at once


def _arrives(fd: int, count: int) -> bytes:
    """The next *count* bytes that can be read at *fd*; fewer if no more come."""
    data = b""
    while len(data) < count and select.select([fd], [], [], _PATIENCE if not data else 0.3)[0]:
        data += os.read(fd, count - len(data))
    return data


def _end(pid: int) -> int:
    """Kill the process *pid* if it still runs; return how it ended, as a number below 0 for a signal."""
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# ---- tty-1 -----------------------------------------------------------------------------------------------------------


def _size(fd: int) -> tuple[int, int]:
    return struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))[:2]


def check_set_size(set_size):
    """Set the size at either end, ask the kernel for it, and count the signals in a program in the foreground."""
    master, slave = os.openpty()
    for fd, rows, columns in ((master, 40, 132), (slave, 50, 300), (slave, 24, 80)):
        call = f"set_size(fd, {rows}, {columns})"
        before = _size(slave)
        try:
            set_size(fd, rows, columns)
        except (struct.error, OverflowError) as error:
            raise Feedback(
                f"{call} raised {type(error).__name__}: {error}. Each of the numbers takes two bytes: the format is "
                f'"HHHH".'
            ) from None
        now = _size(slave)
        if now == (rows, columns):
            continue
        told = f"after {call} the kernel says {now[0]} rows and {now[1]} columns."
        if now == (columns, rows):
            raise Feedback(f"{told} The rows come first.")
        if now == (rows << 8 & 0xFFFF | rows >> 8, columns << 8 & 0xFFFF | columns >> 8):
            raise Feedback(f"{told} The bytes of each number are in the wrong order: this machine is little endian.")
        if now == before:
            raise Feedback(f"{told} That was its size before. The request that sets it is termios.TIOCSWINSZ.")
        raise Feedback(
            f"{told} The kernel wants four numbers of two bytes each, and the first two are rows and columns."
        )
    _check_signal(set_size, slave)


def _check_signal(set_size, slave: int) -> None:
    begun, begins = os.pipe()

    def program():
        os.setsid()
        signal.signal(signal.SIGWINCH, lambda *_: os._exit(28))
        terminal.attach(os.dup(slave))
        os.write(begins, b".")
        while True:
            signal.pause()

    pid = process.spawn(program)
    os.read(begun, 1)
    set_size(slave, 33, 99)
    pidfd = os.pidfd_open(pid)
    heard = bool(select.select([pidfd], [], [], _PATIENCE)[0])
    _end(pid)
    if not heard:
        raise Feedback("set_size(fd, 33, 99) has sent no SIGWINCH to the program in the foreground.")


Exercise(
    "tty-1",
    "How large is the window?",
    minutes=6,
    difficulty=1,
    reference=terminal.set_size,
    check=check_set_size,
    imports=_IMPORTS,
    starter='''
        def set_size(fd, rows, columns):
            """Set the size of the terminal to which the descriptor fd belongs; rows and columns: in characters."""
            ...
    ''',
    hints=[
        "Two steps: pack four numbers into eight bytes, and hand them to the kernel. The last two numbers are 0.",
        'struct.pack("HHHH", …) returns the eight bytes. Which number does the kernel want first?',
        "fcntl.ioctl(fd, termios.TIOCSWINSZ, the_bytes)",
    ],
    right={
        "byte by byte": """
            def set_size(fd, rows, columns):
                data = bytearray(8)
                data[0:2], data[2:4] = rows.to_bytes(2, "little"), columns.to_bytes(2, "little")
                fcntl.ioctl(fd, termios.TIOCSWINSZ, data)
        """,
        "by Python's own call": """
            def set_size(fd, rows, columns):
                termios.tcsetwinsize(fd, (rows, columns))
        """,
        "with a command": """
            def set_size(fd, rows, columns):
                copy = os.dup(fd)
                subprocess.run(["stty", "rows", str(rows), "cols", str(columns)], stdin=copy, check=True)
                os.close(copy)
        """,
        "the pixels as they were": """
            def set_size(fd, rows, columns):
                old = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("=4H", rows, columns, *old[2:]))
        """,
    },
    wrong={
        "columns first": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", columns, rows, 0, 0))
        """,
            "The rows come first",
        ),
        "big endian": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack(">HHHH", rows, columns, 0, 0))
        """,
            "little endian",
        ),
        "one byte each": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("BBBB", rows, columns, 0, 0))
        """,
            "two bytes each",
        ),
        "four bytes each": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("IIII", rows, columns, 0, 0))
        """,
            "two bytes each",
        ),
        "asks instead": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCGWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        """,
            "termios.TIOCSWINSZ",
        ),
        "bytes of one each": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, bytes([0, rows, 0, columns, 0, 0, 0, 0]))
        """,
            "little endian",
        ),
    },
)


# ---- tty-2 -----------------------------------------------------------------------------------------------------------


_PLACES = (9, 3, 0, 2)  # the slave's descriptor: not one of the three, just above them, the first, the last


def check_attach(attach):
    """A session of its own calls it: what does the kernel say of the session, and where does Ctrl-C go?"""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # comes when a session gives its terminal back
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    used = [fd for fd in {0, 1, 2, *_PLACES} if os.path.exists(f"/proc/self/fd/{fd}")]
    copies = {fd: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 60) for fd in used}
    for place in _PLACES:
        try:
            _check_session(attach, place)
        finally:
            for fd, copy in copies.items():
                os.dup2(copy, fd)


def _check_session(attach, place: int) -> None:
    """Call ``attach(place)`` in a session without a terminal, *place* being one, and look at what came of it."""
    master, slave = map(_far_away, os.openpty())
    call = f"attach({place})"
    os.dup2(slave, place)
    device = os.fstat(slave).st_rdev
    try:
        attach(place)
    except OSError as error:
        raise Feedback(f"{call} raised {type(error).__name__}: {error}. {_why_not_attached(error)}") from None
    _judge_session(call, place, device)
    os.write(master, b"\x03")
    if not signal.sigtimedwait({signal.SIGINT}, _PATIENCE):
        raise Feedback(f"after {call} the byte 3 (Ctrl-C) became no signal for the program in the foreground.")
    fcntl.ioctl(slave, termios.TIOCNOTTY)
    os.close(slave)
    os.close(master)


def _far_away(fd: int) -> int:
    """Move a descriptor out of the way of those that are looked at."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 50)
    os.close(fd)
    return copy


def _is(fd: int, device: int) -> bool:
    try:
        return os.fstat(fd).st_rdev == device
    except OSError:
        return False


def _judge_session(call: str, place: int, device: int) -> None:
    with open("/proc/self/stat") as file:
        controlling = int(file.read().rpartition(")")[2].split()[4])
    if not controlling:
        raise Feedback(
            f"after {call} the session has no controlling terminal: tty_nr in /proc/self/stat is 0. Descriptors alone "
            "do not make one. Which request does?"
        )
    missing = [fd for fd in (0, 1, 2) if not _is(fd, device)]
    if missing:
        why = (
            f" It was {place} from the beginning: close it only when it is above 2."
            if missing == [place]
            else " os.dup2(slave, fd) makes fd a copy of slave."
        )
        raise Feedback(f"after {call} descriptor {', '.join(map(str, missing))} is not the terminal.{why}")
    left = [fd for fd in range(3, 50) if _is(fd, device)]
    if left:
        raise Feedback(
            f"after {call} descriptor {', '.join(map(str, left))} still has the terminal open, beside 0, 1 and 2. The "
            "program would inherit it, and the other end would never see the end. Close it."
        )


def _why_not_attached(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return (
            "The caller has begun a session already (os.setsid), and a leader can't begin another. TIOCSCTTY is what is "
            "left to do."
        )
    if error.errno == errno.ENOTTY:
        return "The request was sent to a descriptor that is not a terminal. Use slave, at least for the first step."
    if error.errno == errno.EBADF:
        return "It used a descriptor that was closed already: is slave still open, and was it 0, 1 or 2?"
    return "Which of the steps was it?"


Exercise(
    "tty-2",
    "Take the chair at the terminal",
    minutes=9,
    difficulty=2,
    reference=terminal.attach,
    check=check_attach,
    imports=_IMPORTS,
    starter='''
        def attach(slave):
            """Make slave the controlling terminal of this session, and its descriptors 0, 1 and 2.

            The caller has begun the session. Close slave, unless it is one of the three itself.
            """
            ...
    ''',
    hints=[
        "Three steps: the controlling terminal, the three descriptors, and the original closed.",
        "fcntl.ioctl(slave, termios.TIOCSCTTY, 0) is the first. For the second, os.dup2 in a loop over 0, 1, 2.",
        "The last step needs an if: when slave is 0, closing it would close the standard input.",
    ],
    right={
        "the descriptors first": """
            def attach(slave):
                os.dup2(slave, 0)
                os.dup2(slave, 1)
                os.dup2(slave, 2)
                if slave not in (0, 1, 2):
                    os.close(slave)
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        """,
        "as login does": """
            def attach(slave):
                os.login_tty(slave)
        """,
        "by opening it again": """
            def attach(slave):
                other = os.open(os.ttyname(slave), os.O_RDWR)    # the first terminal that a leader opens
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
                for fd in {slave, other} - {0, 1, 2}:
                    os.close(fd)
        """,
        "with a name for each": """
            def attach(slave):
                fcntl.ioctl(slave, termios.TIOCSCTTY)
                [os.dup2(slave, each, inheritable=True) for each in range(3)]
                if slave >= 3: os.close(slave)
        """,
    },
    wrong={
        "descriptors alone": (
            """
            def attach(slave):
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
                if slave > 2:
                    os.close(slave)
        """,
            "Descriptors alone",
        ),
        "another session": (
            """
            def attach(slave):
                os.setsid()
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
                if slave > 2:
                    os.close(slave)
        """,
            "begun a session already",
        ),
        "one descriptor left over": (
            """
            def attach(slave):
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
        """,
            "never see the end",
        ),
        "always closes": (
            """
            def attach(slave):
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
                os.close(slave)
        """,
            "only when it is above 2",
        ),
        "no errors shown": (
            """
            def attach(slave):
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for fd in (0, 1):
                    os.dup2(slave, fd)
                if slave > 2:
                    os.close(slave)
        """,
            "descriptor 2 is not the terminal",
        ),
        "the other way round": (
            """
            def attach(slave):
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    os.dup2(fd, slave)
        """,
            "is not the terminal",
        ),
        "asks the standard input": (
            """
            def attach(slave):
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
                if slave > 2:
                    os.close(slave)
        """,
            "is not a terminal",
        ),
        "becomes the program": (
            """
            def attach(slave):
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
                os.execvp("true", ["true"])
        """,
            "never came back",
        ),
    },
)


# ---- tty-3 -----------------------------------------------------------------------------------------------------------

_TYPED = b"l\x03\r\x1a\x04\x7f\x11"


def check_raw(raw):
    """A terminal in a session of nobody: what comes out at either end, and do the old settings come back?"""
    master, slave = os.openpty()
    mode = termios.tcgetattr(slave)
    mode[3] &= ~termios.ECHOK  # no program's default, so that nobody returns a fresh terminal's settings by chance
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    before = termios.tcgetattr(slave)
    returned = raw(slave)
    os.write(master, _TYPED)
    got = _arrives(slave, len(_TYPED))
    if got != _TYPED:
        raise Feedback(f"after raw(fd), {_TYPED!r} was typed, and the program has read {got!r}. {_what_is_left(got)}")
    os.write(slave, b"one\ntwo\n")
    shown = _arrives(master, 8)
    if shown != b"one\ntwo\n":
        why = (
            "what is typed still comes back (the echo)"
            if shown.startswith(b"l")
            else "the terminal adds \\r to each \\n"
        )
        raise Feedback(f"after raw(fd) the program wrote b'one\\ntwo\\n', and the screen got {shown!r}: {why}.")
    if not isinstance(returned, list):
        raise Feedback(
            f"raw(fd) returned {returned!r}. Expected: the settings as they were, what termios.tcgetattr gave."
        )
    if returned != before:
        raise Feedback(
            "raw(fd) returned settings, but not those from before: with them the terminal would stay raw. Is it the same "
            "list that was changed afterwards, or was it asked for too late?"
        )
    try:
        terminal.restore(slave, returned)
    except (termios.error, TypeError) as error:
        raise Feedback(f"with what raw(fd) returned the settings can't be restored: {error}.") from None


def _what_is_left(got: bytes) -> str:
    if not got:
        return "Nothing: it still waits for a whole line, or the line discipline has taken the byte for a signal."
    if b"\x03" not in got:
        return "Byte 3 is missing: it still becomes a signal (ISIG)."
    if b"\r" not in got:
        return "The Enter key, \\r, has become \\n (ICRNL)."
    return "Every byte should arrive as it was typed."


Exercise(
    "tty-3",
    "Take nothing for yourself",
    minutes=6,
    difficulty=1,
    reference=terminal.raw,
    check=check_raw,
    imports=_IMPORTS,
    starter='''
        def raw(fd):
            """Let the terminal fd pass on every byte as it is typed, Ctrl-C too; return its settings from before."""
            ...
    ''',
    hints=[
        "Two calls and a return: remember the settings, change them, return what you have remembered.",
        "tty.setraw(fd) changes all that is needed. In which order?",
        "before = termios.tcgetattr(fd) comes first, return before last.",
    ],
    right={
        "bit by bit": """
            def raw(fd):
                before, mode = termios.tcgetattr(fd), termios.tcgetattr(fd)
                mode[0] &= ~(termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON)
                mode[1] &= ~termios.OPOST
                mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
                termios.tcsetattr(fd, termios.TCSANOW, mode)
                return before
        """,
        "with a command": """
            def raw(fd):
                before = termios.tcgetattr(fd)
                subprocess.run(["stty", "raw", "-echo"], stdin=fd, check=True)
                return before
        """,
        "restored by an exception": """
            def raw(fd):
                before = termios.tcgetattr(fd)
                try:
                    tty.setraw(fd, when=termios.TCSANOW)
                finally:
                    return before
        """,
    },
    wrong={
        "too late": (
            """
            def raw(fd):
                tty.setraw(fd)
                return termios.tcgetattr(fd)
        """,
            "too late",
        ),
        "the same list": (
            """
            def raw(fd):
                before = mode = termios.tcgetattr(fd)
                mode[0] &= ~(termios.ICRNL | termios.IXON)
                mode[1] &= ~termios.OPOST
                mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
                termios.tcsetattr(fd, termios.TCSANOW, mode)
                return before
        """,
            "the same list",
        ),
        "cbreak": (
            """
            def raw(fd):
                before = termios.tcgetattr(fd)
                tty.setcbreak(fd)
                return before
        """,
            "was typed, and the program has read",
        ),
        "the echo alone": (
            """
            def raw(fd):
                before, mode = termios.tcgetattr(fd), termios.tcgetattr(fd)
                mode[3] &= ~termios.ECHO
                termios.tcsetattr(fd, termios.TCSANOW, mode)
                return before
        """,
            "waits for a whole line",
        ),
        "Enter is changed": (
            """
            def raw(fd):
                before, mode = termios.tcgetattr(fd), termios.tcgetattr(fd)
                mode[0] &= ~termios.IXON
                mode[1] &= ~termios.OPOST
                mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
                termios.tcsetattr(fd, termios.TCSANOW, mode)
                return before
        """,
            "(ICRNL)",
        ),
        "the output is changed": (
            """
            def raw(fd):
                before, mode = termios.tcgetattr(fd), termios.tcgetattr(fd)
                mode[0] &= ~(termios.ICRNL | termios.IXON)
                mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
                termios.tcsetattr(fd, termios.TCSANOW, mode)
                return before
        """,
            "adds",
        ),
    },
)


# ---- the challenge ---------------------------------------------------------------------------------------------------

_PAGE = "head -c 100000 /dev/zero | tr '\\0' x"


def check_converse(converse):
    """Programs that ask for a terminal, echo, end by Ctrl-C, or write a lot."""
    before = sorted(os.listdir("/proc/self/fd"))
    size = _call(converse, ["stty", "size"], b"")
    if size[0].strip() != b"24 80":
        raise Feedback(f'converse(["stty", "size"], b"") returned {size!r}. Expected: 24 rows and 80 columns.')
    chat = _call(converse, ["cat"], b"hi\n\x04")
    if chat != (b"hi\r\nhi\r\n", 0):
        raise Feedback(
            f'converse(["cat"], b"hi\\n\\x04") returned {chat!r}. Expected: the echo, then what cat wrote, and status 0.'
        )
    shown, status = _call(converse, ["sleep", "4"], b"\x03")
    if (shown, status) != (b"^C", -signal.SIGINT):
        slept = " It slept on: byte 3 became no signal. Is this the controlling terminal of its session?"
        raise Feedback(
            f'converse(["sleep", "4"], b"\\x03") returned {(shown, status)!r}. Expected: {(b"^C", -2)!r}, ended by '
            f"signal 2.{slept * (status == 0)}"
        )
    shown, status = _call(converse, ["sh", "-c", f"{_PAGE}; exit 7"], b"")
    if (len(shown), status) != (100000, 7):
        raise Feedback(
            f"of a program that writes 100,000 bytes and ends with 7, converse() returned {len(shown):,} bytes and "
            f"{status!r}. Read until the end, then wait."
        )
    left = [fd for fd in os.listdir("/proc/self/fd") if fd not in before]
    if len(os.listdir("/proc/self/fd")) > len(before):
        raise Feedback(
            f"after four calls of converse() descriptors are still open that were not before: {sorted(left)}."
        )
    try:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        raise Feedback(f"converse() has left a {'zombie' if pid else 'process that runs'}: wait for the program.")
    except ChildProcessError:
        pass


def _call(converse, words: list[str], typed: bytes) -> tuple[bytes, int]:
    call = f"converse({words[:2]!r}, {typed!r})"
    try:
        answer = converse(words, typed)
    except OSError as error:
        if error.errno == errno.EIO:
            raise Feedback(
                f"{call} raised {error}. That is how the master says that nobody has the terminal open any more: take it "
                "for the end."
            ) from None
        raise
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[0], bytes):
        raise Feedback(f"{call} returned {answer!r}. Expected: a pair, the bytes that were shown and the exit status.")
    if answer[1] == -signal.SIGHUP:
        raise Feedback(
            f"{call} returned {answer!r}: signal 1, SIGHUP. When the master is closed, the terminal hangs up, and that ends "
            "a program which has not quite ended yet. Wait first, then close."
        )
    return answer


Challenge(
    "converse",
    "Be the person at the terminal",
    name="converse",
    minutes=12,
    difficulty=3,
    check=check_converse,
    imports=_IMPORTS,
    solution='''
        def converse(command, typed):
            """Run command at a new terminal, type the bytes; return all that it shows, and its exit status."""
            master, slave = os.openpty()
            set_size(master, 24, 80)
            program = Popen(command, start_new_session=True, preexec_fn=lambda: attach(slave))
            os.close(slave)
            os.write(master, typed)
            shown = b""
            try:
                while data := os.read(master, 65536):
                    shown += data
            except OSError:    # EIO: nobody has the terminal open any more
                pass
            status = program.wait()    # before the master is closed: that hangs up
            os.close(master)
            return shown, status
    ''',
    hints=[
        "In this order: a pair of ends, a size, the program with the slave, your own copy of the slave closed, the keys "
        "typed, read to the end, wait, and the master closed.",
        "Popen(command, start_new_session=True, preexec_fn=lambda: attach(slave)) returns when the program has begun.",
        "The end of the reading is an OSError (EIO), and it comes only if you have closed your own slave. Wait for the "
        "program before you close the master: closing it hangs up.",
    ],
    right={
        "by spawn": """
            def converse(command, typed):
                master, slave = os.openpty()
                set_size(slave, 24, 80)
                begun, begins = os.pipe()
                def program():
                    os.setsid()
                    attach(slave)
                    os.execvp(command[0], command)    # closes begins, as os.pipe() has made it so
                pid = spawn(program)
                os.close(slave)
                os.close(begins)
                os.read(begun, 1)
                os.close(begun)
                os.write(master, typed)
                parts = []
                while True:
                    try:
                        parts.append(os.read(master, 1000))
                    except OSError:
                        break
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.close(master)
                return b"".join(parts), status
        """,
        "without attach": """
            def converse(command, typed):
                master, slave = os.openpty()
                set_size(slave, 24, 80)
                program = Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
                os.close(slave)
                os.write(master, typed)
                shown = bytearray()
                with open(master, "rb", buffering=0) as screen:
                    try:
                        while True:
                            shown += screen.read(4096)
                    except OSError:
                        return bytes(shown), program.wait()
        """,
        "as login does": """
            def converse(command, typed):
                master, slave = os.openpty()
                set_size(master, 24, 80)
                program = Popen(command, preexec_fn=lambda: os.login_tty(slave))
                os.close(slave)
                shown = b""
                while True:
                    if select.select([master], [master] if typed else [], [])[1]:
                        typed = typed[os.write(master, typed):]
                        continue
                    try:
                        shown += os.read(master, 512)
                    except OSError:
                        break
                program.wait()
                os.close(master)
                return shown, program.returncode
        """,
    },
    wrong={
        "no size": (
            """
            def converse(command, typed):
                master, slave = os.openpty()
                program = Popen(command, start_new_session=True, preexec_fn=lambda: attach(slave))
                os.close(slave)
                os.write(master, typed)
                shown = b""
                try:
                    while data := os.read(master, 65536):
                        shown += data
                except OSError:
                    pass
                status = program.wait()
                os.close(master)
                return shown, status
        """,
            "24 rows and 80 columns",
        ),
        "EIO is an error": (
            """
            def converse(command, typed):
                master, slave = os.openpty()
                set_size(master, 24, 80)
                program = Popen(command, start_new_session=True, preexec_fn=lambda: attach(slave))
                os.close(slave)
                os.write(master, typed)
                shown = b""
                while data := os.read(master, 65536):
                    shown += data
                return shown, program.wait()
        """,
            "take it for the end",
        ),
        "its own slave left open": (
            """
            def converse(command, typed):
                master, slave = os.openpty()
                set_size(master, 24, 80)
                program = Popen(command, start_new_session=True, preexec_fn=lambda: attach(slave))
                os.write(master, typed)
                shown = b""
                try:
                    while data := os.read(master, 65536):
                        shown += data
                except OSError:
                    pass
                return shown, program.wait()
        """,
            "no answer within",
        ),
        "waits before it reads": (
            """
            def converse(command, typed):
                master, slave = os.openpty()
                set_size(master, 24, 80)
                program = Popen(command, start_new_session=True, preexec_fn=lambda: attach(slave))
                os.close(slave)
                os.write(master, typed)
                status, shown = program.wait(), b""
                try:
                    while data := os.read(master, 65536):
                        shown += data
                except OSError:
                    pass
                os.close(master)
                return shown, status
        """,
            "no answer within",
        ),
        "one read": (
            """
            def converse(command, typed):
                master, slave = os.openpty()
                set_size(master, 24, 80)
                program = Popen(command, start_new_session=True, preexec_fn=lambda: attach(slave))
                os.close(slave)
                os.write(master, typed)
                shown = os.read(master, 65536)
                program.kill()
                status = program.wait()
                os.close(master)
                return shown, status
        """,
            "returned",
        ),
        "descriptors alone": (
            """
            def converse(command, typed):
                master, slave = os.openpty()
                set_size(master, 24, 80)
                program = Popen(command, stdin=slave, stdout=slave, stderr=slave)
                os.close(slave)
                os.write(master, typed)
                shown = b""
                try:
                    while data := os.read(master, 65536):
                        shown += data
                except OSError:
                    pass
                status = program.wait()
                os.close(master)
                return shown, status
        """,
            "It slept on",
        ),
        "text": (
            """
            def converse(command, typed):
                done = subprocess.run(command, input=typed, capture_output=True, text=False)
                return done.stdout.decode(), done.returncode
        """,
            "Expected: a pair",
        ),
        "leaves the master open": (
            """
            def converse(command, typed):
                master, slave = os.openpty()
                set_size(master, 24, 80)
                program = Popen(command, start_new_session=True, preexec_fn=lambda: attach(slave))
                os.close(slave)
                os.write(master, typed)
                shown = b""
                try:
                    while data := os.read(master, 65536):
                        shown += data
                except OSError:
                    pass
                return shown, program.wait()
        """,
            "descriptors are still open",
        ),
    },
)
