"""Chapter 03: what process 1 owes its container."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time

from minict.kernel.process import PR_SET_CHILD_SUBREAPER, PR_SET_NAME, prctl
from minict.runtime import init, process, state

from ..exercise import Exercise, Feedback


def check_reap(reap):
    """A small family: an orphan that ends first, then the child that is waited for, which is killed by a signal."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans come to us, as they come to process 1
    gate, opened = os.pipe()
    command = os.fork()
    if command == 0:
        if os.fork() == 0:
            if os.fork() == 0:
                os._exit(0)  # the orphan: its parent ends without waiting for it
            os._exit(0)
        os.wait()
        _wait_for_end_of(int(os.read(gate, 16)), 2)  # or even a right answer could meet us before the orphan
        os.kill(os.getpid(), 15)
    orphan = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT).si_pid  # it has ended by now, and is a zombie
    os.write(opened, str(orphan).encode())
    status = reap(command)
    if status is None:
        raise Feedback(
            f"reap({command}) returned None. Return the wait status of process {command}: the second of "
            "the two values that os.wait() returns."
        )
    if isinstance(status, tuple):
        raise Feedback(f"reap() returned {status!r}, all that os.wait() returns. Only the status was asked for.")
    if status == 0:
        raise Feedback(
            "reap() returned the status of another child: 0. An orphan had ended before. os.wait() returns whichever "
            "child has ended: go on until it is the one that was asked for."
        )
    if status != 15:
        raise Feedback(
            f"process {command} was killed by signal 15, so its wait status is 15, and reap() returned {status}: "
            "return the status as it is, without decoding it."
        )
    try:
        left = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return
    raise Feedback(
        f"process {left[0]}, an orphan, is still a zombie: reap() waited for process {command} alone. os.wait() takes "
        "any child, also one that is only adopted."
    )


def _wait_for_end_of(pid: int, seconds: float) -> None:
    """Wait until even the zombie *pid* is gone, but not longer than *seconds*."""
    end = time.monotonic() + seconds
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
        time.sleep(0.002)


Exercise(
    "init-1",
    "Wait for everybody",
    minutes=6,
    difficulty=2,
    reference=init.reap,
    check=check_reap,
    imports="import os",
    starter='''
        def reap(pid):
            """Wait for children, adopted ones too, until pid is among them; return its wait status."""
            while True:
                child, status = ...
                ...
    ''',
    hints=[
        "os.waitpid(pid, 0) waits for one child. Which call waits for whichever child ends first?",
        "os.wait() returns two values: whose end it was, and its status. Compare the first with pid.",
        "child, status = os.wait(), and then: if child == pid, return status. Else go round again.",
    ],
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
            """
            def reap(pid):
                while True:
                    child, status = os.wait()
                    if child == pid:
                        return child, status
        """,
            "Only the status",
        ),
        "decodes": (
            """
            def reap(pid):
                while True:
                    child, status = os.wait()
                    if child == pid:
                        return os.waitstatus_to_exitcode(status)
        """,
            "without decoding",
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


def check_forward_signals(forward_signals):
    """This process is the init, a child of it the command, which tells of each signal that comes."""
    for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)  # also what was not set by Python, such as faulthandler's and readline's
    told, tell = os.pipe()
    command = process.spawn(lambda: _tell_of_signals(tell))
    os.read(told, 1)  # from here on it listens
    forward_signals(command)
    caught = _caught()
    for number in range(1, 32):
        if number in init.NOT_FORWARDED:
            if number in caught:
                raise Feedback(
                    f"after forward_signals({command}) {_named(number)} is caught as well. It is about init itself, and "
                    "one of NOT_FORWARDED: leave it alone."
                )
            continue
        if number not in caught:
            raise Feedback(
                f"after forward_signals({command}) {_named(number)} is still not caught: see SigCgt in "
                f"/proc/self/status. Call signal.signal({number}, forward), and so for each number."
            )
        _expect(command, number, told)
    os.kill(command, signal.SIGKILL)
    os.waitpid(command, 0)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except ProcessLookupError:
        raise Feedback(
            "a signal came when the command had just ended: os.kill() raised ProcessLookupError, and init would end with "
            "an error. There is nobody left to tell: catch it."
        ) from None


def _tell_of_signals(tell: int) -> None:
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, lambda number, frame: os.write(tell, bytes([number])))
    os.write(tell, b"!")
    while True:
        signal.pause()


def _caught() -> set[int]:
    """The signals for which this process has a handler, as the kernel knows them.  Source: proc_pid_status(5),
    SigCgt."""
    with open("/proc/self/status") as file:
        bits = int(next(line for line in file if line.startswith("SigCgt")).split()[1], 16)
    return {number for number in range(1, 32) if bits >> number - 1 & 1}


def _named(number: int) -> str:
    return f"{signal.Signals(number).name} (signal {number})"


def _expect(command: int, number: int, told: int) -> None:
    """Send us the signal *number*; the *command* must get just that."""
    os.kill(os.getpid(), number)
    if not select.select([told], [], [], 0.5)[0]:
        raise Feedback(
            f"init got {_named(number)}, and its handler ran, but the command, process {command}, got nothing. "
            f"os.kill(pid, number) sends a signal on."
        )
    got = os.read(told, 16)
    if got != bytes([number]):
        raise Feedback(
            f"init got {_named(number)}, and the command got {', '.join(_named(each) for each in got)}. Send on the "
            "number that came: it is the handler's first argument."
        )


Exercise(
    "init-2",
    "Pass it on",
    minutes=6,
    difficulty=2,
    reference=init.forward_signals,
    check=check_forward_signals,
    imports="import os\nimport signal\nfrom minict.runtime.init import NOT_FORWARDED",
    starter='''
        def forward_signals(pid):
            """Hand every signal that arrives here on to the process pid."""
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
        "Two calls are missing. One sends a signal, and is called like the command that does it in a shell; the other says what "
        "shall happen when a signal comes.",
        "signal.signal(number, function): from now on Python calls function(number, frame) when that signal comes.",
        "In the handler: os.kill(pid, number). In the loop: signal.signal(number, forward), without ( ) after forward.",
    ],
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
            "Send on the number that came",
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
            "signal handler must be",
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
            "There is nobody left to tell",
        ),
    },
)


def check_begin_time(begin_time):
    """Processes with names that are made to mislead, a zombie, and nobody."""
    for name in ("sleep", "my program", ") Z 1 2 3 4 5 6", "a) R (b) Z", "(("):
        pid = process.spawn(lambda name=name: _pause_as(name))
        _wait_for_name(pid, name)
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
        expected = text.replace(f"({name})", "", 1).split()[20]  # 21 others before field 22, and the name is away
        _expect_time(begin_time(pid), expected, pid, text)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie until waitpid
        _expect_nothing(begin_time, pid, f"process {pid} has ended and is a zombie, state Z")
        os.waitpid(pid, 0)
        _expect_nothing(begin_time, pid, f"there is no process {pid}")


def _pause_as(name: str) -> None:
    text = ctypes.create_string_buffer(name.encode())
    prctl(PR_SET_NAME, ctypes.addressof(text))
    while True:
        signal.pause()


def _wait_for_name(pid: int, name: str) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with open(f"/proc/{pid}/comm") as file:
            if file.read() == f"{name}\n":
                return
        time.sleep(0.001)
    raise RuntimeError(f"process {pid} does not take the name {name}")


def _expect_time(got: object, expected: str, pid: int, text: str) -> None:
    name = text[text.index("(") : text.rindex(")") + 1]
    if got == expected:
        return
    if got is None:
        raise Feedback(
            f"begin_time({pid}) returned None for a process that lives. Its name in /proc/{pid}/stat is {name}: the words "
            "that you look at begin after its LAST ), and with the state."
        )
    if str(got) == expected:
        raise Feedback(
            f"begin_time({pid}) returned {got!r}, a number. The state directory holds texts, and {got!r} == {expected!r} "
            "is False in Python: return the text."
        )
    raise Feedback(
        f"begin_time({pid}) returned {got!r}. The name of this process is {name}, and what follows the last ) of its "
        f"stat is {text.rpartition(')')[2].split()[:3]} and so on; word 19 of that, counted from 0, is {expected!r}."
    )


def _expect_nothing(begin_time, pid: int, why: str) -> None:
    got = begin_time(pid)
    if got is not None:
        raise Feedback(
            f"{why}, and begin_time({pid}) returned {got!r}. Whoever has ended is nobody's container: None was expected."
        )


Exercise(
    "init-3",
    "Is it still the same one?",
    minutes=7,
    difficulty=2,
    reference=state.begin_time,
    check=check_begin_time,
    starter='''
        def begin_time(pid):
            """When process pid began, as text; None when there is none, or only its zombie."""
            try:
                with open(f"/proc/{pid}/stat") as file:
                    text = file.read()
            except (FileNotFoundError, ProcessLookupError):
                return None
            fields = ...   # the words after the name: first the state, such as S or Z
            ...            # None for a zombie; else word 19, counted from 0
    ''',
    hints=[
        "The name may contain anything, and so may end too early for you. What in the line is sure to be its end?",
        'After the last ) come only single letters and numbers. text.rpartition(")") cuts a text at its last ).',
        'fields = text.rpartition(")")[2].split(); then fields[0] is the state and fields[19] the time.',
    ],
    wrong={
        "splits at blanks": (
            """
            def begin_time(pid):
                try:
                    with open(f"/proc/{pid}/stat") as file:
                        fields = file.read().split()
                except (FileNotFoundError, ProcessLookupError):
                    return None
                return None if fields[2] == "Z" else fields[21]
        """,
            "The name of this process is",
        ),
        "the first bracket": (
            """
            def begin_time(pid):
                try:
                    with open(f"/proc/{pid}/stat") as file:
                        fields = file.read().partition(")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    return None
                return None if fields[0] == "Z" else fields[19]
        """,
            "after its LAST )",
        ),
        "zombies live": (
            """
            def begin_time(pid):
                try:
                    with open(f"/proc/{pid}/stat") as file:
                        fields = file.read().rpartition(")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    return None
                return fields[19]
        """,
            "is a zombie, state Z",
        ),
        "a number": (
            """
            def begin_time(pid):
                try:
                    with open(f"/proc/{pid}/stat") as file:
                        fields = file.read().rpartition(")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    return None
                return None if fields[0] == "Z" else int(fields[19])
        """,
            "return the text",
        ),
        "the manual's number": (
            """
            def begin_time(pid):
                try:
                    with open(f"/proc/{pid}/stat") as file:
                        fields = file.read().rpartition(")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    return None
                return None if fields[0] == "Z" else fields[22]
        """,
            "counted from 0",
        ),
        "nobody is an error": (
            """
            def begin_time(pid):
                with open(f"/proc/{pid}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
                return None if fields[0] == "Z" else fields[19]
        """,
            "FileNotFoundError",
        ),
    },
)
