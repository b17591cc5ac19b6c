"""Chapter 13: the size of a terminal, the controlling terminal of a session, and a terminal that passes everything on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios

from minict.runtime import process, terminal

from ..answers import edited
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


def _raised(call: str, error: BaseException, why: str) -> Feedback:
    """What *call* has raised, in which line of the learner's, and *why*."""
    line = getattr(error, "learners_line", "")
    where = f"\n  in your line: {line}" if line else ""
    what = str(error).rstrip(".")
    return Feedback(f"{call} raised {type(error).__name__}: {what}. {why}{where}")


def _must_be_open(call: str, fd: int) -> None:
    try:
        os.fstat(fd)
    except OSError:
        raise Feedback(f"{call} has closed fd. The caller goes on with it: leave it open.") from None


# ---- tty-1 -----------------------------------------------------------------------------------------------------------


def _size(fd: int) -> tuple[int, int]:
    return struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))[:2]


def check_set_size(set_size):
    """Set the size at either end, ask the kernel for it, and count the signals in a program in the foreground."""
    master, slave = os.openpty()
    for fd, rows, columns in ((master, 40, 132), (slave, 50, 300), (slave, 24, 80)):
        call = f"set_size(fd, {rows}, {columns})"
        before = _size(slave)
        with _requests() as sent:
            try:
                set_size(fd, rows, columns)
            except (struct.error, OverflowError, OSError, TypeError) as error:
                raise _raised(call, error, _why_no_size(error)) from None
        _must_be_open(call, fd)
        now = _size(slave)
        short = [len(data) for _, request, data in sent if request == termios.TIOCSWINSZ and len(data) < 8]
        if now == (rows, columns) and not short:
            continue
        told = f"after {call} the kernel says {now[0]} rows and {now[1]} columns."
        if now == (columns, rows):
            raise Feedback(f"{told} The rows come first.")
        if now == (rows << 8 & 0xFFFF | rows >> 8, columns << 8 & 0xFFFF | columns >> 8):
            raise Feedback(f"{told} The bytes of each number are in the wrong order: this machine is little endian.")
        raise Feedback(f"{told} {_what_was_sent(sent, fd, now == before, (rows, columns, 0, 0))}")
    _check_signal(set_size, slave)


@contextlib.contextmanager
def _requests():
    """In a ``with`` statement: a list of the calls of ``fcntl.ioctl``, as (descriptor, request, data)."""
    real, sent = fcntl.ioctl, []

    def ioctl(fd, request, data=0, *rest):
        sent.append((fd, request, bytes(data) if not isinstance(data, (int, str)) else str(data).encode()))
        return real(fd, request, data, *rest)

    fcntl.ioctl = ioctl
    try:
        yield sent
    finally:
        fcntl.ioctl = real


def _why_no_size(error: BaseException) -> str:
    if isinstance(error, (struct.error, OverflowError)):
        return 'There are four numbers, and each takes two bytes: the format is "HHHH".'
    if isinstance(error, TypeError):
        return 'The kernel takes bytes, not Python\'s numbers: struct.pack("HHHH", …) makes them.'
    return {
        errno.ENOTTY: "That descriptor is not a terminal: use fd.",
        errno.EFAULT: 'The kernel takes the number for the address of the data: pack the four with struct.pack("HHHH", …).',
    }.get(error.errno, "Which of the arguments was it?")


def _what_was_sent(sent: list, fd: int, is_unchanged: bool, expected: tuple) -> str:
    """Why the size is not what it should be, from the requests that were made."""
    sizes = [(place, data) for place, request, data in sent if request == termios.TIOCSWINSZ]
    if not sizes:
        return "That was its size before. The request that sets it, with fcntl.ioctl(fd, …), is termios.TIOCSWINSZ."
    place, data = sizes[-1]
    if is_unchanged and place != fd:
        return f"That was its size before: your request went to descriptor {place}, and not to fd, which is {fd}."
    if len(data) != 8:
        return (
            f"Your data were {len(data)} bytes. The kernel wants four numbers of two bytes each, and reads eight bytes, "
            "whatever is in them."
        )
    return f"Your request carried {struct.unpack('HHHH', data)}. Expected, in this order: {expected}."


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
    plain="""
        def set_size(fd, rows, columns):
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    """,
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
        "two numbers alone": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HH", rows, columns))
        """,
            "Your data were 4 bytes",
        ),
        "the zeros first": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, rows, columns))
        """,
            "Your request carried (0, 0, 40, 132)",
        ),
        "one size for all": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        """,
            "Your request carried (24, 80, 0, 0)",
        ),
        "another terminal": (
            """
            def set_size(fd, rows, columns):
                master, slave = os.openpty()
                fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        """,
            "and not to fd",
        ),
        "not packed": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, rows, columns)
        """,
            "the address of the data",
        ),
        "a tuple": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, (rows, columns, 0, 0))
        """,
            "The kernel takes bytes",
        ),
        "the standard input": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        """,
            "use fd",
        ),
        "closes it": (
            """
            def set_size(fd, rows, columns):
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.close(fd)
        """,
            "has closed fd",
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
        raise _raised(call, error, _why_not_attached(error)) from None
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
    if (controlling >> 8 & 0xFFF, controlling & 0xFF | controlling >> 12 & 0xFFF00) != (
        os.major(device),
        os.minor(device),
    ):
        raise Feedback(f"after {call} another terminal controls the session: TIOCSCTTY was sent to another descriptor.")
    missing = [fd for fd in (0, 1, 2) if not _is(fd, device)]
    if missing:
        why = (
            f" It was {place} from the beginning: close it only when it is above 2."
            if missing == [place]
            else " os.dup2(slave, fd) makes fd a copy of slave."
        )
        raise Feedback(f"after {call} descriptor {', '.join(map(str, missing))} is not the terminal.{why}")
    lost = [fd for fd in (0, 1, 2) if not os.get_inheritable(fd)]
    if lost:
        raise Feedback(
            f"after {call} descriptor {', '.join(map(str, lost))} is closed as soon as the program begins: "
            "inheritable=False says so. Leave it out."
        )
    left = [fd for fd in range(3, 50) if _is(fd, device)]
    if left:
        raise Feedback(
            f"after {call} descriptor {', '.join(map(str, left))} still has the terminal open, beside 0, 1 and 2. The "
            "program would inherit it, and the other end would never see the end. Close it."
        )


def _why_not_attached(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return (
            "The caller has begun a session already (os.setsid), and is its leader: it can begin neither another session "
            "nor another group. TIOCSCTTY is what is left to do."
        )
    if error.errno == errno.ENOTTY:
        return (
            "Either this descriptor is not a terminal (use slave, at least for the first step), or it does not control "
            "the session yet: TIOCSCTTY comes first."
        )
    if error.errno == errno.EBADF:
        return "It used a descriptor that was closed already: is slave still open, and was it 0, 1 or 2?"
    if error.errno == errno.EFAULT:
        return "Another request than termios.TIOCSCTTY: the kernel takes the 0 for the address of data."
    return "The session has no terminal yet. fcntl.ioctl(slave, termios.TIOCSCTTY, 0) makes slave its own."


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
        "a group of its own": (
            """
            def attach(slave):
                os.setpgid(0, 0)
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
                if slave > 2:
                    os.close(slave)
        """,
            "nor another group",
        ),
        "in front, and nothing else": (
            """
            def attach(slave):
                os.tcsetpgrp(slave, os.getpid())
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
                if slave > 2:
                    os.close(slave)
        """,
            "TIOCSCTTY comes first",
        ),
        "another request": (
            """
            def attach(slave):
                fcntl.ioctl(slave, termios.TIOCSWINSZ, 0)
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
        """,
            "Another request than termios.TIOCSCTTY",
        ),
        "by the name of all": (
            """
            def attach(slave):
                os.open("/dev/tty", os.O_RDWR)
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
        """,
            "The session has no terminal yet",
        ),
        "another terminal": (
            """
            def attach(slave):
                master, other = os.openpty()
                fcntl.ioctl(other, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    os.dup2(slave, fd)
                if slave > 2:
                    os.close(slave)
        """,
            "another terminal controls the session",
        ),
        "closed by the exec": (
            """
            def attach(slave):
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    if fd != slave:
                        os.dup2(slave, fd, inheritable=False)
                if slave > 2:
                    os.close(slave)
        """,
            "as soon as the program begins",
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
    try:
        returned = raw(slave)
    except (OSError, termios.error) as error:
        why = "That descriptor is not a terminal: use fd." if error.args[0] == errno.ENOTTY else "Which call was it?"
        raise _raised("raw(fd)", error, why) from None
    _must_be_open("raw(fd)", slave)
    now = termios.tcgetattr(slave)
    os.write(master, _TYPED)
    got = _arrives(slave, len(_TYPED))
    if got != _TYPED:
        why = _what_is_left(now, before)
        raise Feedback(f"after raw(fd), {_TYPED!r} was typed, and the program has read {got!r}. {why}")
    _check_screen(master, slave)
    if now[6][termios.VMIN] in (0, b"\0"):
        raise Feedback(
            "after raw(fd) a read returns at once, with nothing, when no key is pressed (VMIN is 0). The client would take "
            "that for the end."
        )
    _check_returned(returned, before, slave)


def _check_screen(master: int, slave: int) -> None:
    os.write(slave, b"one\ntwo\n")
    shown = _arrives(master, 8)
    if shown == b"one\ntwo\n":
        return
    echo, cr = "what is typed still comes back (the echo)", "the terminal adds \\r to each \\n (OPOST)"
    why = echo if shown.startswith(b"l") else cr
    raise Feedback(f"after raw(fd) the program wrote b'one\\ntwo\\n', and the screen got {shown!r}: {why}.")


def _check_returned(returned, before: list, slave: int) -> None:
    if not isinstance(returned, list):
        why = " It must be the list: termios.tcsetattr takes nothing else." if isinstance(returned, tuple) else ""
        raise Feedback(
            f"raw(fd) returned {returned!r}. Expected: the settings as they were, what termios.tcgetattr gave.{why}"
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


_MODES = (  # (place in the settings, flag, what it does to keys)
    (3, "ICANON", "it still waits for a whole line, which Backspace and Ctrl-D edit"),
    (3, "ISIG", "some keys still become signals"),
    (0, "ICRNL", "the Enter key, \\r, still becomes \\n"),
    (0, "IXON", "Ctrl-S and Ctrl-Q still stop and start the output"),
)


def _what_is_left(now: list, before: list) -> str:
    """Which of the settings *now* keep bytes from arriving as they were typed."""
    if now == before:
        return (
            "The settings are the same as before: nothing was changed, or raw() has put them back already (the caller does "
            "that, later)."
        )
    left = [f"{told} ({flag})" for place, flag, told in _MODES if now[place] & getattr(termios, flag)]
    return f"Left over: {'; '.join(left)}." if left else "Every byte should arrive as it was typed."


Exercise(
    "tty-3",
    "Take nothing for yourself",
    minutes=6,
    difficulty=1,
    reference=terminal.raw,
    check=check_raw,
    imports=_IMPORTS,
    plain="""
        def raw(fd):
            before = termios.tcgetattr(fd)
            tty.setraw(fd)
            return before
    """,
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
        "puts them back": (
            """
            def raw(fd):
                before = termios.tcgetattr(fd)
                tty.setraw(fd)
                termios.tcsetattr(fd, termios.TCSADRAIN, before)
                return before
        """,
            "has put them back already",
        ),
        "nothing changed": (
            """
            def raw(fd):
                return termios.tcgetattr(fd)
        """,
            "nothing was changed",
        ),
        "lines are left": (
            """
            def raw(fd):
                before, mode = termios.tcgetattr(fd), termios.tcgetattr(fd)
                mode[0] = mode[1] = 0
                mode[3] &= ~(termios.ECHO | termios.ISIG)
                termios.tcsetattr(fd, termios.TCSANOW, mode)
                return before
        """,
            "(ICANON)",
        ),
        "a tuple": (
            """
            def raw(fd):
                before = termios.tcgetattr(fd)
                tty.setraw(fd)
                return tuple(before)
        """,
            "It must be the list",
        ),
        "does not wait": (
            """
            def raw(fd):
                before = termios.tcgetattr(fd)
                tty.setraw(fd)
                mode = termios.tcgetattr(fd)
                mode[6][termios.VMIN] = 0
                termios.tcsetattr(fd, termios.TCSANOW, mode)
                return before
        """,
            "VMIN is 0",
        ),
        "the standard input": (
            """
            def raw(fd):
                before = termios.tcgetattr(fd)
                tty.setraw(0)
                return before
        """,
            "use fd",
        ),
        "closes it": (
            """
            def raw(fd):
                before = termios.tcgetattr(fd)
                tty.setraw(fd)
                os.close(fd)
                return before
        """,
            "has closed fd",
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


_LINGERS = "echo bye; exec <&- >&- 2>&-; sleep 0.3; exit 3"  # leaves the terminal, and lives a little longer
_LONG = 8.0  # seconds for one conversation


def check_converse(converse):
    """Programs that ask for a terminal, echo, end by Ctrl-C, write a lot, or leave the terminal before they end."""
    before = os.listdir("/proc/self/fd")
    size = _call(converse, ["stty", "size"], b"")
    if size[0].strip() != b"24 80":
        raise Feedback(f'converse(["stty", "size"], b"") returned {size!r}. Expected: 24 rows and 80 columns.')
    _check_chat(_call(converse, ["cat"], b"hi\n\x04"))
    answer = _call(converse, ["sleep", "4"], b"\x03")
    if answer != (b"^C", -signal.SIGINT):
        slept = (
            " It slept on: byte 3 became no signal. Does this terminal control the program's session, and did it when the "
            "key was typed?"
        )
        raise Feedback(
            f'converse(["sleep", "4"], b"\\x03") returned {answer!r}. Expected: {(b"^C", -2)!r}, ended by '
            f"signal 2.{slept * (answer[1] == 0)}"
        )
    shown, status = _call(converse, ["sh", "-c", f"{_PAGE}; exit 7"], b"")
    if (len(shown), status) != (100000, 7):
        raise Feedback(
            f"of a program that writes 100,000 bytes and ends with 7, converse() returned {len(shown):,} bytes and "
            f"{status!r}. Read until the end, then wait."
        )
    answer = _call(converse, ["sh", "-c", _LINGERS], b"")
    if answer != (b"bye\r\n", 3):
        raise Feedback(
            "of a program that writes bye, closes the terminal, and ends with 3 a little later, converse() returned "
            f"{answer!r}. Expected: {(b'bye' + bytes((13, 10)), 3)!r}."
        )
    _check_left(before)


def _check_chat(chat: tuple) -> None:
    if chat == (b"hi\r\nhi\r\n", 0):
        return
    why = ""
    if chat[0] == b"hi\r\n":
        why = " One read returns what is there at the moment: read, and keep, until the end."
    elif chat[0] == b"hi\nhi\n":
        why = " All the bytes, \\r too."
    raise Feedback(
        f'converse(["cat"], b"hi\\n\\x04") returned {chat!r}. Expected: the echo, then what cat wrote, and status 0.{why}'
    )


def _check_left(before: list[str]) -> None:
    now = os.listdir("/proc/self/fd")
    if len(now) > len(before):
        left = {f"{fd} ({link})" for fd in now if fd not in before and (link := _open_as(fd))}
        raise Feedback(
            f"after five calls of converse() descriptors are still open that were not before: {', '.join(sorted(left))}. "
            "/dev/pts/… with a number is a slave, /dev/ptmx or /dev/pts/ptmx a master. Close the master too, after the wait."
        )
    try:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        raise Feedback(f"converse() has left a {'zombie' if pid else 'process that runs'}: wait for the program.")
    except ChildProcessError:
        pass


def _open_as(fd: str) -> str:
    """What the descriptor is, as /proc names it; empty for one that is closed."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


class _TooLate(Feedback):
    """A conversation never comes to an end."""


def _call(converse, words: list[str], typed: bytes) -> tuple[bytes, int]:
    """What ``converse(words, typed)`` returns, if it comes back in time with a pair of bytes and a status."""
    call = f"converse({words[:2]!r}, {typed!r})"
    before = os.listdir("/proc/self/fd")

    def too_late(*_):
        raise _TooLate(_why_too_late(before))

    signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, _LONG)
    try:
        answer = converse(words, typed)
    except _TooLate as late:
        where = f"\n  it waits in your line: {late.learners_line}"
        raise Feedback(f"{call} gave no answer within {_LONG:g} s. {late}{where}") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise _raised(call, error, _why_no_talk(error)) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if (
        not isinstance(answer, (tuple, list))
        or len(answer) != 2
        or not isinstance(answer[0], (bytes, bytearray))
        or not isinstance(answer[1], (int, type(None)))
    ):
        raise Feedback(f"{call} returned {answer!r}. Expected: a pair, the bytes that were shown and the exit status.")
    if answer[1] is None:
        raise Feedback(
            f"{call} returned {answer!r}. None is the status of a program that nobody has waited for: call its wait()."
        )
    if answer[1] == -signal.SIGHUP:
        raise Feedback(
            f"{call} returned {answer!r}: signal 1, SIGHUP. When the master is closed, the terminal hangs up, and that ends "
            "a program which has not quite ended yet. Wait first, then close."
        )
    return bytes(answer[0]), answer[1]


def _why_too_late(before: list[str]) -> str:
    """What the conversation waits for."""
    own = [fd for fd in os.listdir("/proc/self/fd") if fd not in before and re.match(r"/dev/pts/\d", _open_as(fd))]
    if own:
        return (
            f"Your own descriptor {own[0]} is a slave of the terminal too, and as long as it is open, the end never comes. "
            "Close it when the program has begun."
        )
    return (
        "The program still runs. Either it waits for keys (is all of it typed, at the master?), or for somebody to read "
        "what it writes: first read to the end, then wait."
    )


def _why_no_talk(error: BaseException) -> str:
    if isinstance(error, subprocess.SubprocessError):
        return (
            "Python does not tell what went wrong in there. Is it a function without arguments (lambda: attach(slave)), "
            "has the session begun (start_new_session=True), and is the slave still open at this moment?"
        )
    if error.errno == errno.EIO:
        return "That is how the master says that nobody has the terminal open any more: take it for the end."
    if error.errno == errno.EPERM:
        return (
            "The notebook's own process has called it, and it leads no session. preexec_fn=lambda: attach(slave) is a "
            "function, which Popen calls in the child."
        )
    return "Which of the two ends was it?"


_CONVERSE = """
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
    status = program.wait()
    os.close(master)
    return shown, status
"""

Challenge(
    "converse",
    "Be the person at the terminal",
    name="converse",
    minutes=12,
    difficulty=3,
    check=check_converse,
    imports=_IMPORTS,
    seconds=60,  # a conversation that never ends is told after _LONG
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
        "a list, and a bytearray": edited(_CONVERSE, ("return shown, status", "return [bytearray(shown), status]")),
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
        "attach is called at once": (
            edited(_CONVERSE, ("lambda: attach(slave)", "attach(slave)")),
            "is a function, which Popen calls in the child",
        ),
        "a function with an argument": (
            edited(_CONVERSE, ("lambda: attach(slave)", "attach")),
            "a function without arguments",
        ),
        "no session": (
            edited(_CONVERSE, ("start_new_session=True, ", "")),
            "start_new_session=True",
        ),
        "never waits": (
            edited(_CONVERSE, ("program.wait()", "program.returncode")),
            "nobody has waited for",
        ),
        "the ends of lines as Python has them": (
            edited(_CONVERSE, ("return shown, ", 'return shown.replace(b"\\r", b""), ')),
            "All the bytes",
        ),
        "keeps the last read": (
            edited(_CONVERSE, ("shown += data", "shown = data")),
            "returned",
        ),
        "types nothing": (
            edited(_CONVERSE, ("    os.write(master, typed)\n", "")),
            "it waits for keys",
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
