"""Terminals: a pseudo terminal of the container's own, and the person's terminal joined to it.

The pair is made inside, from the container's own /dev/pts, so that its name is right there.  The
slave end becomes the process's terminal; the master end travels to whoever holds the other end of a Unix
socket (runtime-spec: runc's ``--console-socket``; ``minict run -t`` is its own receiver).  See pty(7), tty_ioctl(4).
"""

from __future__ import annotations

import fcntl
import os
import termios

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # gets what was read, and a function that passes data on
    Through = Callable[[bytes, Callable[[bytes], object]], object]

# ioctl_tty(2); the module termios knows them from Python 3.13 on
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441


def open_pair() -> tuple[int, int]:
    """A new pseudo terminal of the /dev/pts that is mounted here: (master, slave).  Raises :class:`OSError`."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, TIOCSPTLCK, b"\0\0\0\0")  # a new one is locked
    slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    return master, slave


def set_size(fd: int, rows: int, columns: int) -> None:
    """Tell a terminal its size, in characters; a change sends SIGWINCH to who runs in it."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, b"".join(n.to_bytes(2, "little") for n in (rows, columns, 0, 0)))


def size(fd: int) -> tuple[int, int]:
    """The size of the terminal *fd*: (rows, columns)."""
    answer = fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))
    return int.from_bytes(answer[0:2], "little"), int.from_bytes(answer[2:4], "little")


def screen() -> int:
    """The descriptor of the person's terminal, standard input or else output; -1 when there is none."""
    return next((fd for fd in (0, 1) if os.isatty(fd)), -1)


def attach(slave: int) -> None:
    """Make *slave* the controlling terminal of this session, and its standard input, output and error."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    if slave > 2:
        os.close(slave)


def send(console: int, master: int) -> None:
    """Send the descriptor *master* over the Unix socket *console*: unix(7), SCM_RIGHTS."""
    import _socket

    channel = _socket.socket(fileno=console)
    channel.sendmsg([b"/dev/ptmx"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, master.to_bytes(4, "little"))])
    channel.detach()


def receive(console: int) -> int:
    """The descriptor that comes over the Unix socket *console*, or -1 when its other end was closed without one."""
    import _socket

    channel = _socket.socket(fileno=console)
    try:
        _, messages, _, _ = channel.recvmsg(64, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    finally:
        channel.detach()
    return int.from_bytes(messages[0][2][:4], "little") if messages else -1


def raw(fd: int) -> list[Any]:
    """Let the terminal *fd* pass on every byte as it is typed, Ctrl-C too; return its settings from before.

    In the background this stops us, until it is our turn: the shell uses the terminal then, in its own way.
    Sources: termios(3), raw mode; credentials(7).
    """
    import signal

    try:
        if os.tcgetpgrp(fd) != os.getpgrp():
            os.killpg(0, signal.SIGTTOU)
    except OSError:
        pass  # not the terminal that controls our session: nobody's job control is in the way
    before = termios.tcgetattr(fd)
    import tty

    tty.setraw(fd, termios.TCSADRAIN)
    return before


def restore(fd: int, before: list[Any]) -> None:
    """Give the terminal *fd* the settings back that :func:`raw` has returned."""
    termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Screen:
    """The person's terminal while it is joined to a container's.

    With *typed*, what is typed is for the container, byte by byte (raw mode: Ctrl-C is a byte for the container's
    terminal, not a signal for us), also after the shell's fg.  *resized* is called with rows and columns, now and
    after each change.
    """

    def __init__(self, typed: bool, resized: Callable[[int, int], object]) -> None:
        import signal

        self._fd = screen()
        self._resized = resized
        self._before = raw(0) if typed else None
        handlers: dict[int, Any] = {signal.SIGWINCH: self._resize} if self._fd >= 0 else {}
        if typed:
            handlers |= {signal.SIGCONT: self._go_on, signal.SIGTSTP: signal.SIG_DFL}
        self._handlers = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        self._resize()

    def _resize(self, *_: object) -> None:
        if self._fd >= 0:
            self._resized(*size(self._fd))

    def _go_on(self, *_: object) -> None:
        """We were stopped, and the shell has used the terminal in the meantime, in its own way."""
        raw(0)
        self._resize()

    def leave(self) -> None:
        """Make the terminal as it was before."""
        import signal

        for number, handler in self._handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if self._before:
            restore(0, self._before)


def relay(master: int, pidfd: int, stdin: int = 0, stdout: int = 1, typed: Through | None = None) -> None:
    """Join the person's terminal to the container's until its process ends: see :class:`Screen`.

    What is written comes out.  The person's terminal is as before whatever happens.  *typed*: a function that gets
    what was typed, and what to do with that which is for the container; what it raises ends this.
    """
    import select
    import signal

    screen = None
    woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    # or a signal just before select would wait for what comes next
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        screen = Screen(stdin >= 0 and os.isatty(stdin), lambda rows, columns: set_size(master, rows, columns))
        sources = [master, pidfd, woken] + [stdin] * (stdin >= 0)
        while True:
            ready = select.select(sources, [], [])[0]
            if woken in ready:
                os.read(woken, 64)  # Python has called the handler by now
            if master in ready and not pass_on(master, stdout):
                return
            if stdin in ready and not pass_on(stdin, master, typed):
                sources.remove(stdin)
                os.write(master, b"\x04")  # the terminal's way to say end of file
            if pidfd in ready and master not in select.select([master], [], [], 0)[0]:
                return
    finally:
        signal.set_wakeup_fd(-1)
        os.close(woken)
        os.close(wake)
        if screen:
            screen.leave()


def pass_on(source: int, target: int, through: Through | None = None) -> bool:
    """Pass on to *target* (-1: to nobody) what *source* has now; False at its end (which a terminal tells as EIO).

    *through*: a function that is called with the data, and with another that writes them to *target*.
    """
    try:
        data = os.read(source, 65536)
    except OSError:
        return False

    def write(data: bytes) -> None:
        while data and target >= 0:
            data = data[os.write(target, data) :]

    if data:
        (through or (lambda data, write: write(data)))(data, write)
    return bool(data)
