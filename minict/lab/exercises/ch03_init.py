"""Chapter 03: what process 1 owes its container."""

from __future__ import annotations

import errno
import os
import pickle
import select
import signal
import sys
import time
import traceback
from contextlib import contextmanager

from minict.kernel.mount import MS_REC, MS_SHARED, mount
from minict.kernel.namespaces import CLONE_NEWPID, unshare
from minict.kernel.process import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl
from minict.runtime import init, process

from .. import host
from ..answers import edited
from ..challenge import Challenge
from ..exercise import Exercise, same_fate
from ..feedback import Feedback

_PATIENCE = 3  # seconds after which something that should happen at once is taken for something that never will
_ORPHANS = 3
_ORPHANS_STATUS = 3  # of the one that ends before the command: neither 0 nor a signal
_GUARDS_FILE = sys.modules[Exercise.__module__].__file__


# ---- a small container: process 1, its command, and orphans ----------------------------------------------------


class _Container:
    """A new pid namespace in which ``number_one(command)`` is process 1; to be used with ``with``, in a child of its
    own.

    The *command* leaves three orphans, which end.  It ends with *status* when :meth:`end_command` says so, while one
    more orphan sleeps on.  SIGTERM ends it.
    """

    def __init__(self, number_one, status: int = 7):
        self.number_one, self.status = number_one, status
        self.told, self.tell = os.pipe()
        self.orders, self.order = os.pipe()
        self.only, self.commands = os.pipe()  # what only the command needs

    def __enter__(self):
        unshare(CLONE_NEWPID)
        self.pid = process.spawn(self._process_1)
        self.pidfd = os.pidfd_open(self.pid)
        os.close(self.commands)
        self.has_begun = self.told in select.select([self.told, self.pidfd], [], [], _PATIENCE)[0]
        self.beginning = os.read(self.told, 1) if self.has_begun else b""
        return self

    def __exit__(self, *exception):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def _process_1(self) -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it must not outlive a check that ran out of time
        self.number_one(self._command)

    def _command(self) -> None:
        group = b"+" if os.getpgrp() == os.getpid() else b"-"  # begin() makes one
        beginning = b"1" if os.getpid() == 1 else group
        process.restore_signals()
        os.close(self.commands)  # as exec closes it
        for _ in range(_ORPHANS):
            os.waitpid(_leave_orphan(lambda: None), 0)
        os.write(self.tell, beginning)
        os.read(self.orders, 1)
        os.waitpid(_leave_orphan(signal.pause), 0)
        os._exit(self.status)

    def zombies(self) -> int:
        """How many orphans are left as zombies, once process 1 had time to wait for them; 0 as soon as none is."""
        limit = time.monotonic() + _PATIENCE
        while time.monotonic() < limit:
            children = [each for each in host.process_table().values() if each.parent == self.pid]
            if len(children) <= 1:  # the command
                return 0
            time.sleep(0.01)
        return sum(each.state == "Z" for each in children)

    def sleeps(self) -> bool:
        """Whether process 1 sleeps on, as one does that waits.  A loop that asks again and again runs nearly always;
        inside of the system call it can look asleep for a moment."""
        limit = time.monotonic() + _PATIENCE
        in_a_row = 0
        while in_a_row < 10 and time.monotonic() < limit:
            in_a_row = in_a_row + 1 if host.process_table()[self.pid].state == "S" else 0
            time.sleep(0.01)
        return in_a_row == 10

    def has_closed(self) -> bool:
        """Whether process 1 has closed what only the command needs: then who reads there meets the end of the file."""
        return bool(select.select([self.only], [], [], _PATIENCE)[0])

    def end_command(self) -> None:
        os.write(self.order, b"!")

    def ending(self) -> int | None:
        """The exit status of process 1, as a shell reports it; None when it does not end."""
        if not select.select([self.pidfd], [], [], _PATIENCE)[0]:
            return None
        result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)
        return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


def _leave_orphan(work) -> int:
    """Start a worker that starts a helper, which does *work*, and ends without waiting for it.  The worker's pid."""

    def worker():
        process.spawn(work)

    return process.spawn(worker)


# ---- init-1 ----------------------------------------------------------------------------------------------------


def check_reap(reap):
    """A small family: an orphan that ends first, then the command, which a signal kills.  Then a real process 1."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans come to us, as they come to process 1
    gate, opened = os.pipe()
    command = os.fork()
    if command == 0:
        os.setpgid(0, 0)  # as begin() does in a container
        if os.fork() == 0:
            if os.fork() == 0:
                os._exit(_ORPHANS_STATUS)  # the orphan: its parent ends without waiting for it
            os._exit(0)
        os.wait()
        _wait_for_end_of(int(os.read(gate, 16)), 2)  # or even a right answer could meet us before the orphan
        os.kill(os.getpid(), 15)
    orphan = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT).si_pid  # it has ended by now, and is a zombie
    os.write(opened, str(orphan).encode())
    _check_status(_status_of(reap, command), command)
    try:
        left = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        left = None
    if left:
        raise Feedback(
            f"process {left[0]}, an orphan, is still a zombie: reap() waited for process {command} alone. "
            "os.wait() takes any child, an adopted one too."
        )
    reap = getattr(reap, "function", reap)
    same_fate(lambda: _check_process_1(reap))


def _status_of(reap, command: int):
    try:
        return reap(command)
    except ChildProcessError:
        if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
            raise Feedback(
                f"reap({command}) got ChildProcessError: while SIGCHLD is ignored, the kernel itself removes each child that "
                "ends, and its status is lost. Leave SIGCHLD alone, and take the children with os.wait()."
            ) from None
        if host.descendants(host.process_table(), os.getpid()):
            raise Feedback(
                f"reap({command}) got ChildProcessError, although there are children. waitpid(0, …) takes only those of "
                "the caller's process group, and a container's command has a group of its own. os.wait() takes any "
                "child, and so does waitpid(-1, …)."
            ) from None
        raise Feedback(
            f"reap({command}) went on until os.wait() raised ChildProcessError: no child is left. Process "
            f"{command} was among the children that had ended, and the loop missed it. os.wait() returns two "
            "values, first the pid, then the status: compare the first one with pid."
        ) from None


def _check_status(status, command: int) -> None:
    if status is None:
        raise Feedback(
            f"reap({command}) returned None. Return the wait status of process {command}: the second of "
            "the two values that os.wait() returns."
        )
    if isinstance(status, tuple):
        raise Feedback(f"reap({command}) returned {status!r}, all that os.wait() returns. Return the status alone.")
    if status == command:
        raise Feedback(
            f"reap({command}) returned {status}, the pid itself. The status is the second of the two values "
            "that os.wait() returns."
        )
    if status == _ORPHANS_STATUS << 8:
        raise Feedback(
            f"reap({command}) returned the status of another child: {status}. An orphan had ended before. os.wait() "
            "returns whichever child has ended, so repeat it until pid is the one."
        )
    if status != 15:
        raise Feedback(
            f"signal 15 killed process {command}, so its wait status is 15, and reap({command}) returned "
            f"{status!r}. Return the status unchanged, without decoding it."
        )


def _check_process_1(reap) -> bool:
    """In a child: process 1 of a new pid namespace calls *reap*, while orphans end, and when the command ends."""
    with _Container(
        lambda command: os._exit(process.exit_status(reap(process.spawn(lambda: init.begin(command)))))
    ) as box:
        if zombies := box.zombies():
            raise Feedback(
                f"in a new pid namespace process 1 called reap(pid). While the command goes on, {zombies} orphans "
                "have ended and are still zombies: reap() has to wait for them now, not when the command has "
                "ended. os.wait() takes whichever child ends first."
            )
        if not box.sleeps():
            raise Feedback(
                "in a new pid namespace process 1 called reap(pid). While the command goes on, process 1 never sleeps: "
                "its loop asks again and again, and keeps a processor busy. os.wait() sleeps until a child has ended."
            )
        box.end_command()
        status = box.ending()
        if status is None:
            raise Feedback(
                "in a new pid namespace process 1 called reap(pid). The command has ended while an orphan sleeps "
                "on, and reap() still has not returned: a container's init would never end. Return as soon as "
                "pid itself is among the ended."
            )
        if status != box.status:
            raise Feedback(
                f"in a new pid namespace the command ended with status {box.status}, and by what reap() returned "
                f"process 1 ended with {status}."
            )
    return True


def _wait_for_end_of(pid: int, seconds: float) -> None:
    """Wait until even the zombie *pid* is gone, but not longer than *seconds*."""
    end = time.monotonic() + seconds
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
        time.sleep(0.002)


_REAP = """
def reap(pid):
    while True:
        child, status = os.wait()
        if child == pid:
            return status
"""

Exercise(
    "init-1",
    "Wait for everybody",
    minutes=8,
    difficulty=2,
    reference=init.reap,
    check=check_reap,
    seconds=30,
    imports="import os",
    starter='''
        def reap(pid):
            """Wait for children, adopted ones too, until pid has ended; return the wait status of pid."""
            while True:
                child, status = ...
                ...
    ''',
    hints=[
        "os.waitpid(pid, 0) waits for one child. Which call waits for whichever child ends first?",
        "os.wait() returns two values: the pid of the child that ended, and its status. Compare the first with pid.",
        "child, status = os.wait(), and then: if child == pid, return status. Otherwise the loop goes on.",
    ],
    right={
        "waits until it is the one": """
            def reap(pid):
                while (ended := os.wait())[0] != pid:
                    pass
                return ended[1]
        """,
        "waitpid for any": """
            def reap(pid):
                child = None
                while child != pid:
                    child, status = os.waitpid(-1, 0)
                return status
        """,
        "recursion": """
            def reap(pid):
                child, status = os.wait()
                return status if child == pid else reap(pid)
        """,
        "with output": """
            def reap(pid):
                for child, status in iter(os.wait, None):
                    print("reaped", child)
                    if child == pid:
                        return status
        """,
        "looks first": """
            def reap(pid):
                while True:
                    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT).si_pid
                    _, status = os.waitpid(ended, 0)
                    if ended == pid:
                        return status
        """,
    },
    wrong={
        "waits for one": (
            """
            def reap(pid):
                return os.waitpid(pid, 0)[1]
        """,
            "still a zombie",
        ),
        "takes the first": (
            """
            def reap(pid):
                child, status = os.wait()
                return status
        """,
            "the status of another child",
        ),
        "gives all": (
            edited(_REAP, ("return status", "return child, status")),
            "Return the status alone",
        ),
        "the pid": (
            edited(_REAP, ("return status", "return child")),
            "the pid itself",
        ),
        "the other way round": (
            edited(_REAP, ("child, status", "status, child")),
            "first the pid, then the status",
        ),
        "decodes": (
            edited(_REAP, ("return status", "return os.waitstatus_to_exitcode(status)")),
            "without decoding",
        ),
        "decodes what is not there": (
            edited(_REAP, ("return status", "return os.WEXITSTATUS(status)")),
            "without decoding",
        ),
        "ignores SIGCHLD": (
            """
            def reap(pid):
                import signal
                signal.signal(signal.SIGCHLD, signal.SIG_IGN)
                return os.waitpid(pid, 0)[1]
        """,
            "while SIGCHLD is ignored",
        ),
        "the command first, the others later": (
            """
            def reap(pid):
                status = os.waitpid(pid, 0)[1]
                try:
                    while True:
                        os.wait()
                except ChildProcessError:
                    return status
        """,
            "not when the command has ended",
        ),
        "its own process group": (
            edited(_REAP, ("os.wait()", "os.waitpid(0, 0)")),
            "a group of its own",
        ),
        "asks again and again": (
            """
            def reap(pid):
                while True:
                    child, status = os.waitpid(-1, os.WNOHANG)
                    if child == pid:
                        return status
        """,
            "never sleeps",
        ),
        "until nobody is left": (
            """
            def reap(pid):
                result = 0
                try:
                    while True:
                        child, status = os.wait()
                        if child == pid:
                            result = status
                except ChildProcessError:
                    return result
        """,
            "would never end",
        ),
        "forgets to return": (
            """
            def reap(pid):
                while True:
                    child, status = os.wait()
                    if child == pid:
                        break
        """,
            "returned None",
        ),
    },
)


# ---- init-2 ----------------------------------------------------------------------------------------------------


def check_forward_signals(forward_signals):
    """This process is the init.  Its child, the command, reports each signal that it gets."""
    for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)  # also what was not set by Python, such as faulthandler's and readline's
    told, tell = os.pipe()
    command = process.spawn(lambda: _report_signals(tell))
    os.read(told, 1)  # from here on it listens, in a group of its own
    bystander = _Bystander(command)
    _call_forward_signals(forward_signals, command)
    caught = _caught()
    for number in range(1, 32):
        if number in init.NOT_FORWARDED:
            if number in caught:
                raise Feedback(
                    f"after forward_signals({command}) {_named(number)} is caught as well. It concerns init "
                    "itself and is in NOT_FORWARDED: leave it alone."
                )
            continue
        if number not in caught:
            raise Feedback(
                f"after forward_signals({command}) {_named(number)} is still not caught (SigCgt in "
                f"/proc/self/status). Call signal.signal({number}, forward), and the same for each number."
            )
        with _no_end():
            _expect(command, number, told)
    if got := bystander.got():
        raise Feedback(
            f"init got {_named(got[0])}, and the command got it, but so did another process. The signal is for the process "
            f"{command} alone: os.kill({command}, number) reaches no other. (A number below 0 stands for many processes, "
            "and os.killpg() sends to a whole process group.)"
        )
    os.kill(command, signal.SIGKILL)
    os.waitpid(command, 0)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except ProcessLookupError:
        raise Feedback(
            "a signal came when the command had just ended: os.kill() raised ProcessLookupError, and init would "
            "end with an error. Nobody is left to get the signal: catch the error."
        ) from None


def _call_forward_signals(forward_signals, command: int) -> None:
    call = f"forward_signals({command})"
    try:
        forward_signals(command)
    except TypeError as error:
        if "signal.signal(" not in getattr(error, "learners_line", ""):
            raise
        if "interpreted as an integer" in str(error):
            raise Feedback(
                f"{call} raised TypeError: {error}. signal.signal() takes the number first, then the function: "
                "signal.signal(number, forward)."
            ) from None
        raise Feedback(
            f"{call} raised TypeError: {error}. forward(…), with brackets, calls the function at once. Pass "
            "the function itself, and Python calls it when the signal comes: signal.signal(number, forward)."
        ) from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Feedback(
            f"{call} raised {error}: signal 9 or 19, which can't be caught. The numbers in NOT_FORWARDED are those to "
            "leave alone: `not in`."
        ) from None


def _report_signals(tell: int) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # in its own group nobody else ends it
    os.setpgid(0, 0)  # as begin() does in a container
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, lambda number, frame: os.write(tell, bytes([number])))
    os.write(tell, b"!")
    while True:
        signal.pause()


class _Bystander:
    """A process in the process group of the *command*.  It lets no signal through, and so keeps whatever comes."""

    def __init__(self, command: int):
        self.command = command
        self.told, self.tell = os.pipe()
        self.end, self.gate = os.pipe()
        self.pid = process.spawn(self._wait)
        os.read(self.told, 1)

    def _wait(self) -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(self.gate)
        os.setpgid(0, self.command)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        os.write(self.tell, b"!")
        os.read(self.end, 1)
        os.write(self.tell, bytes(sorted(signal.sigpending())) or b"\0")

    def got(self) -> list[int]:
        """The signals that have come; it ends."""
        os.close(self.gate)
        got = os.read(self.told, 64)
        os.waitpid(self.pid, 0)
        return [number for number in got if number]


@contextmanager
def _no_end():
    """In a ``with`` statement: os._exit() says what is wrong with it in init's handler, whose process runs this check."""
    init_itself, end = os.getpid(), os._exit

    def watched(status: int) -> None:
        if os.getpid() == init_itself:
            raise Feedback(
                f"os._exit({status}) ran in init itself, in the handler: its end is the end of the container, before the "
                "command can close its files. Forward the signal, and go on."
            )
        end(status)

    os._exit = watched
    try:
        yield
    finally:
        os._exit = end


def _caught() -> set[int]:
    """The signals for which this process has a handler, as the kernel knows them.  Source: proc_pid_status(5),
    SigCgt."""
    with open("/proc/self/status") as file:
        bits = int(next(line for line in file if line.startswith("SigCgt")).split()[1], 16)
    return {number for number in range(1, 32) if bits >> number - 1 & 1}


def _named(number: int) -> str:
    return f"{signal.Signals(number).name} (signal {number})"


def _expect(command: int, number: int, told: int) -> None:
    """Send us the signal *number*; the *command* must get the same."""
    try:
        os.kill(os.getpid(), number)
    except RecursionError:
        raise Feedback(
            f"init got {_named(number)}, and its handler sent the signal to init itself, where the handler ran again, and "
            f"so on without end. The command is process {command}: that is the argument pid."
        ) from None
    except TypeError as error:
        if "but 2 were given" not in str(error) and "required positional" not in str(error):
            raise
        raise Feedback(
            f"init got {_named(number)}, and its handler raised TypeError: {error}. Python calls a handler with two "
            "arguments, the number of the signal and a frame: it needs a parameter for each."
        ) from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Feedback(
            f"init got {_named(number)}, and its handler called os.kill() with an invalid argument (EINVAL). "
            "The pid comes first, then the signal: os.kill(pid, number)."
        ) from None
    if not select.select([told], [], [], _PATIENCE)[0]:
        ended = os.waitid(os.P_PID, command, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended:
            raise Feedback(
                f"init got {_named(number)}, and then {_named(ended.si_status)} ended the command. Forward the number "
                "that came: it is the handler's first argument."
            )
        raise Feedback(
            f"init got {_named(number)}, and its handler ran, but the command, process {command}, got nothing. "
            f"os.kill(pid, number) sends a signal: first the pid, then the signal. Here pid is {command}, the argument of "
            "forward_signals()."
        )
    got = os.read(told, 16)
    if got != bytes([number]):
        raise Feedback(
            f"init got {_named(number)}, and the command got {', '.join(_named(each) for each in got)}. Forward "
            "the number that came: it is the handler's first argument."
        )


_FORWARD = """
def forward_signals(pid):
    def forward(number, frame):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
    for number in range(1, 32):
        if number not in NOT_FORWARDED:
            signal.signal(number, forward)
"""

Exercise(
    "init-2",
    "Pass it on",
    minutes=8,
    difficulty=2,
    reference=init.forward_signals,
    check=check_forward_signals,
    imports="import os\nimport signal\nfrom minict.runtime.init import NOT_FORWARDED",
    starter='''
        def forward_signals(pid):
            """Forward every signal that arrives here to the process pid."""
            def forward(number, frame):
                try:
                    ...    # send signal number to pid
                except ProcessLookupError:
                    pass   # pid has just ended
            for number in range(1, 32):
                if number not in NOT_FORWARDED:
                    ...    # from now on, call forward when this signal comes
    ''',
    hints=[
        "Two calls are missing. One sends a signal, and has the name of the shell's command for that. The other sets "
        "the "
        "function to call when a signal comes.",
        "signal.signal(number, function): from now on Python calls function(number, frame) when that signal comes.",
        "In the handler: os.kill(pid, number). In the loop: signal.signal(number, forward), without ( ) after forward.",
    ],
    right={
        "a difference of sets": """
            def forward_signals(pid):
                from contextlib import suppress
                def forward(number, frame):
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                for number in set(range(1, 32)) - set(NOT_FORWARDED):
                    signal.signal(number, forward)
        """,
        "a lambda with the number": """
            def forward_signals(pid):
                import contextlib
                for number in sorted(set(range(1, 32)).difference(NOT_FORWARDED)):
                    def handler(*ignored, number=number):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, number)
                    signal.signal(number, handler)
        """,
        "by a pidfd": """
            def forward_signals(pid):
                fd = os.pidfd_open(pid)
                def forward(number, frame):
                    try:
                        signal.pidfd_send_signal(fd, number)
                    except OSError:
                        pass
                for number in signal.valid_signals() - set(NOT_FORWARDED):
                    if number < signal.SIGRTMIN:
                        signal.signal(number, forward)
        """,
        "with output": """
            def forward_signals(pid):
                def forward(number, frame):
                    print("forwarding", number)
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        pass
                for number in range(1, 32):
                    if number in NOT_FORWARDED:
                        continue
                    signal.signal(number, forward)
        """,
    },
    wrong={
        "sends SIGTERM": (
            """
            def forward_signals(pid):
                def forward(number, frame):
                    os.kill(pid, signal.SIGTERM)
                for number in range(1, 32):
                    if number not in NOT_FORWARDED:
                        signal.signal(number, forward)
        """,
            "Forward the number that came",
        ),
        "to the container's number 1": (
            edited(_FORWARD, ("os.kill(pid, number)", "os.kill(1, number)")),
            "the argument of forward_signals()",
        ),
        "a handler without parameters": (
            """
            def forward_signals(pid):
                for number in range(1, 32):
                    if number not in NOT_FORWARDED:
                        signal.signal(number, lambda: os.kill(pid, number))
        """,
            "it needs a parameter for each",
        ),
        "only the polite one": (
            """
            def forward_signals(pid):
                def forward(number, frame):
                    os.kill(pid, number)
                signal.signal(signal.SIGTERM, forward)
        """,
            "is still not caught",
        ),
        "calls the handler": (
            """
            def forward_signals(pid):
                def forward(number, frame):
                    os.kill(pid, number)
                for number in range(1, 32):
                    if number not in NOT_FORWARDED:
                        signal.signal(number, forward(number, None))
        """,
            "with brackets, calls the function at once",
        ),
        "only those to leave alone": (
            """
            def forward_signals(pid):
                def forward(number, frame):
                    os.kill(pid, number)
                for number in range(1, 32):
                    if number in NOT_FORWARDED:
                        signal.signal(number, forward)
        """,
            "`not in`",
        ),
        "a handler that does nothing": (
            """
            def forward_signals(pid):
                def forward(number, frame):
                    pass
                for number in range(1, 32):
                    if number not in NOT_FORWARDED:
                        signal.signal(number, forward)
        """,
            "got nothing",
        ),
        "kills it": (
            edited(_FORWARD, ("os.kill(pid, number)", "os.kill(pid, signal.SIGKILL)")),
            "SIGKILL (signal 9) ended the command",
        ),
        "to itself": (
            edited(_FORWARD, ("os.kill(pid, number)", "os.kill(os.getpid(), number)")),
            "sent the signal to init itself",
        ),
        "to everybody": (
            edited(_FORWARD, ("os.kill(pid, number)", "os.kill(-1, number)")),
            "so did another process",
        ),
        "to the process group": (
            edited(_FORWARD, ("os.kill(pid, number)", "os.killpg(pid, number)")),
            "so did another process",
        ),
        "ends in the handler": (
            edited(_FORWARD, ("os.kill(pid, number)", "os.kill(pid, number)\n            os._exit(128 + number)")),
            "Forward the signal, and go on",
        ),
        "calls the handler with nothing": (
            edited(_FORWARD, ("signal.signal(number, forward)", "signal.signal(number, forward())")),
            "with brackets, calls the function at once",
        ),
        "the function first": (
            edited(_FORWARD, ("signal.signal(number, forward)", "signal.signal(forward, number)")),
            "takes the number first",
        ),
        "the last number": (
            """
            def forward_signals(pid):
                for number in range(1, 32):
                    if number not in NOT_FORWARDED:
                        signal.signal(number, lambda *ignored: os.kill(pid, number))
        """,
            "Forward the number that came",
        ),
        "everything that can be caught": (
            """
            def forward_signals(pid):
                def forward(number, frame):
                    os.kill(pid, number)
                for number in range(1, 32):
                    if number not in (signal.SIGKILL, signal.SIGSTOP):
                        signal.signal(number, forward)
        """,
            "leave it alone",
        ),
        "nobody is left": (
            """
            def forward_signals(pid):
                def forward(number, frame):
                    os.kill(pid, number)
                for number in range(1, 32):
                    if number not in NOT_FORWARDED:
                        signal.signal(number, forward)
        """,
            "Nobody is left",
        ),
    },
)


# ---- init-3 ----------------------------------------------------------------------------------------------------


def check_run(run):
    """A real process 1: orphans that end, a command that ends in two ways, a SIGTERM from outside."""
    same_fate(lambda: _check_ending(run))
    same_fate(lambda: _check_signal(run))
    same_fate(lambda: _check_failure(run))


class _Process1:
    """What process 1 of the check does: it calls *run*, and reports by a status of its own when that returns or
    raises."""

    CAME_OUT, RETURNED, RAISED = 97, 98, 99

    def __init__(self, run):
        self.run = run
        self.reader, self.writer = os.pipe()

    def __call__(self, command) -> None:
        try:
            self.run(command)
        except Exception as error:
            if os.getpid() != 1:
                os._exit(self.CAME_OUT)
            if isinstance(error, OSError) and traceback.extract_tb(error.__traceback__)[-1].filename == _GUARDS_FILE:
                # the look for stray children needs files that run() has closed
                if not isinstance(error.__context__, Exception):
                    os._exit(self.RETURNED)
                error = error.__context__
            try:
                os.write(self.writer, pickle.dumps(error))
            except OSError:  # run() has closed it, as it should
                os.write(1, f"run(command) raised {type(error).__name__}: {error}\n".encode())
            os._exit(self.RAISED)
        os._exit(self.RETURNED)

    def error(self) -> Exception:
        """What *run* raised in process 1."""
        os.close(self.writer)
        told = os.read(self.reader, 1 << 16)
        return pickle.loads(told) if told else Feedback("process 1 called run(command), and that raised an exception.")


def _check_begun(box: _Container) -> None:
    if box.beginning == b"1":
        raise Feedback(
            "the command ran in process 1 itself. With spawn(begin(command)) process 1 calls begin(command) at once, and "
            "spawn() would get its result. Pass a function that the child is to call: spawn(lambda: begin(command))."
        )
    if box.beginning == b"-":
        raise Feedback(
            "the child called command() without begin(command): it has no process group of its own, and a terminal's "
            "Ctrl-C would not reach it. The child calls begin(command): spawn(lambda: begin(command))."
        )
    if box.has_begun:
        return
    status = box.ending()
    if status == _Process1.RAISED:
        raise box.number_one.error()
    if status == _Process1.RETURNED:
        raise Feedback(
            "process 1 called run(command), and that returned before the command did anything. Start it with spawn(), "
            "then wait for it with reap()."
        )
    if status is None:
        raise Feedback(
            "process 1 called run(command), and command() was never called. spawn(lambda: begin(command)) starts it "
            "in a child."
        )
    raise Feedback(
        f"process 1 called run(command) and ended with status {status} before the command did anything. Start it with "
        "spawn(), then wait for it with reap()."
    )


def _check_ending(run) -> bool:
    with _Container(_Process1(run)) as box:
        _check_begun(box)
        if not box.has_closed():
            raise Feedback(
                "process 1 keeps a pipe open that only the command needs. The program at its other end waits until the "
                "last copy is "
                "closed: for as long as the container runs. Keep os.closerange(3, 1024), after spawn()."
            )
        if zombies := box.zombies():
            raise Feedback(
                f"{zombies} orphans have ended and are still zombies, while the command goes on. reap(pid) waits for "
                "them "
                "too: call it once, with the pid of the command."
            )
        box.end_command()
        status = box.ending()
    if status is None:
        raise Feedback("the command has ended, and process 1 has not. Its last line must end the process: os._exit(…).")
    if status == _Process1.RETURNED:
        raise Feedback("run(command) returned. Process 1 has nothing more to do then: end it with os._exit(…).")
    if status == _Process1.RAISED:
        raise box.number_one.error()
    if status != box.status:
        raise Feedback(
            f"the command ended with status {box.status}, and process 1 with {status}. The container's status is that "
            "of "
            "process 1: reap() returns a wait status, exit_status() translates it for os._exit()."
        )
    return True


def _check_signal(run) -> bool:
    with _Container(_Process1(run)) as box:
        _check_begun(box)
        _wait_for_handler(box.pid)
        os.kill(box.pid, signal.SIGTERM)
        status = box.ending()
    if status is None:
        raise Feedback(
            "process 1 got SIGTERM, and nothing happened: the command goes on. forward_signals(pid) hands signals on; "
            "call "
            "it before reap(), which does not return before the command's end."
        )
    if status == _Process1.RAISED:
        raise Feedback(
            "process 1 got SIGTERM, and run(command) raised an exception then. forward_signals(pid) wants the pid of the "
            "command, which spawn() returns: with that of process 1 itself the signal comes back again and again."
        )
    if status != 143:
        raise Feedback(
            f"process 1 got SIGTERM, the command ended by it, and process 1 ended with status {status}. Expected: 143, "
            "which is "
            "128 + 15: exit_status() makes it of what reap() returns."
        )
    return True


class _Broken(_Container):
    """One whose command raises an exception, as exec does when there is no such program."""

    def _command(self) -> None:
        raise FileNotFoundError(errno.ENOENT, "there is no such command")


def _check_failure(run) -> bool:
    with _Broken(_Process1(getattr(run, "function", run))) as box:
        status = box.ending()
    if status == _Process1.CAME_OUT:
        raise Feedback(
            "when command() raised an exception, the child came back out of run(command). A child must end in every case: "
            "spawn() sees to that, and so does a finally with os._exit()."
        )
    return True


def _wait_for_handler(pid: int) -> None:
    """Wait until process *pid* catches SIGTERM; for one that never will, no longer than the patience lasts."""
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit:
        with open(f"/proc/{pid}/status") as file:
            caught = [line for line in file if line.startswith("SigCgt")]
        if caught and int(caught[0].split()[1], 16) >> signal.SIGTERM - 1 & 1:
            return
        time.sleep(0.01)


Exercise(
    "init-3",
    "Be number 1",
    minutes=8,
    difficulty=2,
    reference=init.run,
    check=check_run,
    seconds=40,
    imports="""
        import os
        from minict.runtime.init import begin, forward_signals, reap
        from minict.runtime.process import exit_status, spawn
    """,
    starter='''
        def run(command):
            """Be process 1: start command in a child, supervise it, and end with its status.

            The child calls begin(command). This function does not return.
            """
            ...                       # start the command
            os.closerange(3, 1024)    # what is open here and not needed, such as the command's pipes
            ...                       # supervise it, and end
    ''',
    hints=[
        "You have a function for each step: start the child, forward signals to it, wait for everybody, end.",
        "pid = spawn(lambda: begin(command)) starts the child. reap(pid) returns how it ended, as a wait status.",
        "The last line is os._exit(exit_status(reap(pid))). The line with os.closerange() may stand before or after "
        "forward_signals(pid), but after spawn(). (The package closes the first three files too: its number 1 prints "
        "nothing.)",
    ],
    right={
        "a function with a name": """
            def run(command):
                def work():
                    begin(command)
                child = spawn(work)
                forward_signals(child)
                os.closerange(0, 1024)
                os._exit(exit_status(reap(child)))
        """,
        "a fork by hand": """
            def run(command):
                pid = os.fork()
                if not pid:
                    try:
                        begin(command)
                    finally:
                        os._exit(1)
                os.closerange(3, 1 << 16)
                forward_signals(pid)
                status = reap(pid)
                os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
        """,
        "everything by hand": """
            def run(command):
                import signal
                pid = spawn(lambda: begin(command))
                for descriptor in os.listdir("/proc/self/fd"):
                    if int(descriptor) > 2:
                        try:
                            os.close(int(descriptor))
                        except OSError:
                            pass
                for number in (1, 2, 3, 10, 12, 15):
                    signal.signal(number, lambda number, frame: os.kill(pid, number))
                while True:
                    child, status = os.wait()
                    if child == pid:
                        os._exit(exit_status(status))
        """,
    },
    wrong={
        "signals for itself": (
            """
            def run(command):
                pid = spawn(lambda: begin(command))
                os.closerange(3, 1024)
                forward_signals(os.getpid())
                os._exit(exit_status(reap(pid)))
        """,
            "wants the pid of the command",
        ),
        "a name that is not there": (
            """
            def run(command):
                pid = spawn(lambda: begin(command))
                os.closerange(3, 1024)
                forward_signals(pid)
                sys.exit(exit_status(reap(pid)))
        """,
            "name 'sys' is not defined",
        ),
        "no signals": (
            """
            def run(command):
                pid = spawn(lambda: begin(command))
                os.closerange(3, 1024)
                os._exit(exit_status(reap(pid)))
        """,
            "got SIGTERM, and nothing happened",
        ),
        "keeps it open": (
            """
            def run(command):
                pid = spawn(lambda: begin(command))
                forward_signals(pid)
                os._exit(exit_status(reap(pid)))
        """,
            "keeps a pipe open",
        ),
        "too late": (
            """
            def run(command):
                pid = spawn(lambda: begin(command))
                os.closerange(3, 1024)
                status = reap(pid)
                forward_signals(pid)
                os._exit(exit_status(status))
        """,
            "got SIGTERM, and nothing happened",
        ),
        "waits for one": (
            """
            def run(command):
                pid = spawn(lambda: begin(command))
                os.closerange(3, 1024)
                forward_signals(pid)
                os._exit(exit_status(os.waitpid(pid, 0)[1]))
        """,
            "still zombies",
        ),
        "returns": (
            """
            def run(command):
                pid = spawn(lambda: begin(command))
                os.closerange(3, 1024)
                forward_signals(pid)
                return exit_status(reap(pid))
        """,
            "run(command) returned",
        ),
        "the raw status": (
            """
            def run(command):
                pid = spawn(lambda: begin(command))
                os.closerange(3, 1024)
                forward_signals(pid)
                os._exit(reap(pid) & 0xff)
        """,
            "exit_status() translates it",
        ),
        "always 0": (
            """
            def run(command):
                pid = spawn(lambda: begin(command))
                os.closerange(3, 1024)
                forward_signals(pid)
                reap(pid)
                os._exit(0)
        """,
            "exit_status() translates it",
        ),
        "a child that comes out": (
            """
            def run(command):
                pid = os.fork()
                if pid == 0:
                    begin(command)
                os.closerange(3, 1024)
                forward_signals(pid)
                os._exit(exit_status(reap(pid)))
        """,
            "A child must end in every case",
        ),
        "becomes the command": (
            """
            def run(command):
                begin(command)
        """,
            "ran in process 1 itself",
        ),
        "calls, and does not pass": (
            """
            def run(command):
                pid = spawn(begin(command))
                os.closerange(3, 1024)
                forward_signals(pid)
                os._exit(exit_status(reap(pid)))
        """,
            "Pass a function that the child is to call",
        ),
        "without begin": (
            """
            def run(command):
                child = spawn(command)
                os.closerange(3, 1024)
                forward_signals(child)
                os._exit(exit_status(reap(child)))
        """,
            "without begin(command)",
        ),
    },
)


# ---- the challenge: first --------------------------------------------------------------------------------------


def check_first(first):
    """A host whose mounts are shared, as systemd's are; commands that look at their own number and at /proc; and what
    has become of the caller."""
    mount(None, "/", None, MS_SHARED | MS_REC)
    mounted = len(host.mount_table())
    ours = os.path.abspath("ours")
    open(ours, "w").close()
    for words, expected, why in (
        (
            ["sh", "-c", "exit 7"],
            7,
            "It is the exit status of the command. (A child's return value is lost: it ends with os._exit(status).)",
        ),
        (
            ["sh", "-c", "test $$ = 1"],
            0,
            "The command is not number 1. unshare() moves nobody: fork after it, and let the child execute.",
        ),
        (
            ["sh", "-c", 'cd /proc; test "$(echo [0-9]*)" = "1 2" || test "$(echo [0-9]*)" = 1'],
            0,
            "/proc shows other processes: number 1 has to mount its own, before exec.",
        ),
        (
            ["sh", "-c", f"test -e {ours}"],
            0,
            "The command sees other files than you do. It needs namespaces for processes and for mounts, and no other "
            "root: a whole container is too much.",
        ),
    ):
        call = f"first({words})"
        status = first(list(words))
        if status is None:
            raise Feedback(f"{call} returned None. Return the exit status.")
        if not os.path.exists(f"/proc/{os.getpid()}/stat") or len(host.mount_table()) != mounted:
            raise Feedback(
                f"{call} has mounted something in the namespace of its caller: the child that mounts needs mounts of "
                "its own, with "
                "CLONE_NEWNS and make_private()."
            )
        if status != expected:
            raw = " That is the raw wait status." if status == expected << 8 else ""
            raise Feedback(f"{call} returned {status!r}. Expected: {expected}. {why}{raw}")


Challenge(
    "first",
    "Number 1, made right",
    name="first",
    minutes=10,
    difficulty=3,
    check=check_first,
    seconds=20,
    imports="""
        import os
        from minict.kernel.mount import mount
        from minict.kernel.namespaces import CLONE_NEWNS, CLONE_NEWPID, unshare
        from minict.runtime.mounts import make_private
        from minict.runtime.process import exit_status, spawn
    """,
    solution='''
        def first(words):
            """Run words as number 1 of a new pid namespace, with its own /proc; return its exit status."""
            def number_one():
                mount("proc", "/proc", "proc")
                os.execvp(words[0], words)
            def parent():
                unshare(CLONE_NEWPID | CLONE_NEWNS)
                make_private()
                os._exit(exit_status(os.waitpid(spawn(number_one), 0)[1]))
            return exit_status(os.waitpid(spawn(parent), 0)[1])
    ''',
    hints=[
        "You need two children: one that calls unshare(), so that you stay as you are, and its child, which is number "
        "1.",
        "The first: unshare(CLONE_NEWPID | CLONE_NEWNS), make_private(), spawn the second, wait for it, end with its "
        "status.",
        'The second: mount("proc", "/proc", "proc"), then os.execvp(words[0], words).',
    ],
    right={
        "forks by hand": """
            def first(words):
                child = os.fork()
                if child == 0:
                    try:
                        unshare(CLONE_NEWPID | CLONE_NEWNS)
                        make_private()
                        if os.fork() == 0:
                            mount("proc", "/proc", "proc")
                            os.execvp(words[0], words)
                        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
                    finally:
                        os._exit(1)
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        """,
        "the command unshare": """
            def first(words):
                import subprocess
                return subprocess.run(["unshare", "--fork", "--pid", "--mount-proc", "--", *words]).returncode
        """,
        "run_in_child": """
            def first(words):
                from minict.lab.child import run_in_child
                def number_one():
                    mount("proc", "/proc", "proc")
                    os.execvp(words[0], words)
                def parent():
                    unshare(CLONE_NEWPID)
                    unshare(CLONE_NEWNS)
                    make_private()
                    return os.waitpid(spawn(number_one), 0)[1]
                return exit_status(run_in_child(parent))
        """,
    },
    wrong={
        "a whole container": (
            """
            def first(words):
                import minict
                return minict.run("tiny", words, network="none").status
        """,
            "a whole container is too much",
        ),
        "one child": (
            """
            def first(words):
                def work():
                    unshare(CLONE_NEWPID | CLONE_NEWNS)
                    make_private()
                    os.execvp(words[0], words)
                return exit_status(os.waitpid(spawn(work), 0)[1])
        """,
            "unshare() moves nobody",
        ),
        "in the caller": (
            """
            def first(words):
                unshare(CLONE_NEWPID)
                return exit_status(os.waitpid(spawn(lambda: os.execvp(words[0], words)), 0)[1])
        """,
            "moved the process that called it",
        ),
        "all of it in the caller": (
            """
            def first(words):
                def number_one():
                    make_private()
                    mount("proc", "/proc", "proc")
                    os.execvp(words[0], words)
                unshare(CLONE_NEWPID | CLONE_NEWNS)
                return exit_status(os.waitpid(spawn(number_one), 0)[1])
        """,
            "moved the process that called it",
        ),
        "the host's /proc": (
            """
            def first(words):
                def parent():
                    unshare(CLONE_NEWPID)
                    os._exit(exit_status(os.waitpid(spawn(lambda: os.execvp(words[0], words)), 0)[1]))
                return exit_status(os.waitpid(spawn(parent), 0)[1])
        """,
            "has to mount its own",
        ),
        "loses the status": (
            """
            def first(words):
                def parent():
                    unshare(CLONE_NEWPID)
                    os.waitpid(spawn(lambda: os.execvp(words[0], words)), 0)
                return exit_status(os.waitpid(spawn(parent), 0)[1])
        """,
            "It is the exit status of the command",
        ),
        "mounts for everybody": (
            """
            def first(words):
                def number_one():
                    mount("proc", "/proc", "proc")
                    os.execvp(words[0], words)
                def parent():
                    unshare(CLONE_NEWPID)
                    os._exit(exit_status(os.waitpid(spawn(number_one), 0)[1]))
                return exit_status(os.waitpid(spawn(parent), 0)[1])
        """,
            "mounts of its own",
        ),
        "mounts that are shared": (
            """
            def first(words):
                def number_one():
                    mount("proc", "/proc", "proc")
                    os.execvp(words[0], words)
                def parent():
                    unshare(CLONE_NEWPID | CLONE_NEWNS)
                    os._exit(exit_status(os.waitpid(spawn(number_one), 0)[1]))
                return exit_status(os.waitpid(spawn(parent), 0)[1])
        """,
            "and make_private()",
        ),
    },
)
