"""Terminals: the container's own pseudo terminal, connected to the user's terminal.

The pair is created inside, from the container's own /dev/pts, so that its name is valid there. The
slave end becomes the process's terminal; the master end is sent over a Unix socket
(runc's ``--console-socket``; ``minict run -t`` receives it itself). See pty(7), tty_ioctl(4).
"""

from __future__ import annotations

import fcntl
import os
import termios

from .errors import ContainerError
from .files import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Filter = Callable[[bytes, Callable[[bytes], None]], object]

# ioctl_tty(2); the module termios knows them from Python 3.13 on
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441


def open_pair() -> tuple[int, int]:
    """A new pseudo terminal of the /dev/pts that is mounted here: (master, slave).

    /dev may be the container's: so /dev/ptmx is opened without waiting, and what was opened has to be the right device.
    Raises :class:`OSError`, :class:`ContainerError`. Source: pty(7), ioctl_tty(2), TIOCGPTPEER.
    """
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(master)
    if status.st_mode & 0o170000 != 0o020000 or status.st_rdev != os.makedev(5, 2):
        os.close(master)
        raise ContainerError("the container's /dev/ptmx is not the device for new terminals: mount devpts on /dev/pts")
    os.set_blocking(master, True)
    fcntl.ioctl(master, TIOCSPTLCK, b"\0\0\0\0")  # a new one is locked
    slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)  # by the descriptor: no path can mislead it
    return master, slave


def set_size(fd: int, rows: int, columns: int) -> None:
    """Set a terminal's size, in characters; a change sends SIGWINCH to its foreground process group.

    Raises :class:`OSError`. Source: ioctl_tty(2), TIOCSWINSZ.
    """
    fcntl.ioctl(fd, termios.TIOCSWINSZ, b"".join(n.to_bytes(2, "little") for n in (rows, columns, 0, 0)))


def size(fd: int) -> tuple[int, int]:
    """The size of the terminal *fd*: (rows, columns). Raises :class:`OSError`. Source: ioctl_tty(2), TIOCGWINSZ."""
    answer = fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))
    return int.from_bytes(answer[0:2], "little"), int.from_bytes(answer[2:4], "little")


def screen() -> int:
    """The descriptor of the user's terminal, standard input or output; -1 when there is none. Source: isatty(3)."""
    return next((fd for fd in (0, 1) if os.isatty(fd)), -1)


def attach(slave: int) -> None:
    """Make *slave* the controlling terminal of this session, and its standard input, output and error.

    Raises :class:`OSError`. Source: ioctl_tty(2), TIOCSCTTY.
    """
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    if slave > 2:
        os.close(slave)


def send(console: int, master: int) -> None:
    """Send the descriptor *master* over the Unix socket *console*. Raises :class:`OSError`.

    Source: unix(7), SCM_RIGHTS.
    """
    import _socket

    channel = _socket.socket(fileno=console)
    channel.sendmsg([b"/dev/ptmx"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, master.to_bytes(4, "little"))])
    channel.detach()


def receive(console: int) -> int:
    """Receive a descriptor over the Unix socket *console*; -1 when its other end was closed without sending one.

    Raises :class:`OSError`. Source: unix(7), SCM_RIGHTS.
    """
    import _socket

    channel = _socket.socket(fileno=console)
    try:
        _, messages, _, _ = channel.recvmsg(64, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    finally:
        channel.detach()
    return int.from_bytes(messages[0][2][:4], "little") if messages else -1


def raw(fd: int) -> list[Any]:
    """Let the terminal *fd* pass on every byte as it is typed, Ctrl-C too; return its previous settings.

    In the background this stops us, until we are in the foreground: until then the shell uses the terminal.
    Raises :class:`OSError`. Source: termios(3), "Raw mode"; credentials(7).
    """
    import signal

    try:
        if os.tcgetpgrp(fd) != os.getpgrp():
            os.killpg(0, signal.SIGTTOU)
    except OSError:
        pass  # not the terminal that controls our session: there is no job control
    before = termios.tcgetattr(fd)
    import tty

    tty.setraw(fd, termios.TCSADRAIN)
    return before


def restore(fd: int, before: list[Any]) -> None:
    """Give the terminal *fd* the settings back that :func:`raw` has returned. Source: termios(3)."""
    termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Screen:
    """The user's terminal while it is connected to a container's.

    With *typed*, the container gets what is typed, byte by byte (raw mode: Ctrl-C is a byte for the container's
    terminal, not a signal for us), also after the shell's fg. *resized* is called with rows and columns, now and
    after each change. Source: termios(3); signal(7), SIGWINCH, SIGCONT.
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
        """We were stopped, and the shell has changed the terminal's settings in the meantime."""
        raw(0)
        self._resize()

    def leave(self) -> None:
        """Restore the terminal's previous settings."""
        import signal

        for number, handler in self._handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if self._before:
            restore(0, self._before)


def relay(master: int, pidfd: int, stdin: int = 0, stdout: int = 1, typed: Filter | None = None) -> None:
    """Connect the user's terminal to the container's until its process ends: see :class:`Screen`.

    The user's terminal gets its settings back in any case. *typed*: a function that gets what was typed, and another
    that writes to the container; an exception of it ends the connection. Source: select(2), pty(7).
    """
    import select
    import signal

    screen = None
    woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)  # or a signal just before select would have to wait
    try:
        screen = Screen(stdin >= 0 and os.isatty(stdin), lambda rows, columns: set_size(master, rows, columns))
        sources = [master, pidfd, woken, *([stdin] if stdin >= 0 else [])]
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


def pass_on(source: int, target: int, through: Filter | None = None) -> bool:
    """Copy to *target* (-1: discard) what can be read from *source* now; False at its end, for a terminal EIO.

    *through*: a function that is called with the data, and with another that writes them to *target*.
    Raises :class:`OSError`. Source: read(2), pty(7).
    """
    try:
        data = os.read(source, 65536)
    except OSError:
        return False

    def write(data: bytes) -> None:
        if target >= 0:
            write_all(target, data)

    if data and through:
        through(data, write)
    elif data:
        write(data)
    return bool(data)
