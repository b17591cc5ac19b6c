"""Chapter 01: start a process, read how it ended, and find the file of a command."""

from __future__ import annotations

import inspect
import os
import select
import signal
import sys
import time

from minict.runtime import process
from minict.runtime.errors import ContainerError

from .. import life
from ..answers import edited
from ..challenge import Challenge
from ..exercise import Exercise
from ..feedback import Feedback

# ---- proc-1 ----------------------------------------------------------------------------------------------------


def check_spawn(spawn):
    """Three children: one that waits for us before it ends, one that raises, one that calls sys.exit()."""
    told, tell = os.pipe()
    gate, opener = os.pipe()
    caller = os.getpid()

    def work():
        os.write(tell, b"%d\n" % os.getpid())
        if os.getpid() != caller and not select.select([gate], [], [], _PATIENCE)[0]:
            os.write(tell, b"late\n")  # spawn() waits for us, and we wait for it

    returned = spawn(work)
    os.write(opener, b"!")
    ends = _ends_of_children()
    os.write(tell, b"end\n")
    callers = os.read(told, 1000).decode().split()[:-1]
    was_late = "late" in callers
    callers = [int(word) for word in callers if word != "late"]
    if not callers:
        raise Feedback("spawn(function) never called function(). The child, where os.fork() returned 0, must call it.")
    if callers == [os.getpid()]:
        raise Feedback(
            "function() ran in the very process that called spawn(). Only the process in which os.fork() "
            "returned 0 is the child."
        )
    if len(callers) > 1:
        raise Feedback(
            f"function() ran {len(callers)} times: in the child and in its parent too. Only the process in "
            "which os.fork() returned 0 is the child."
        )
    child = callers[0]
    if was_late:
        raise Feedback(
            "spawn() returned only after its child had ended. It must not wait: the caller has other work "
            "to do, and waits when it chooses."
        )
    if returned != child:
        raise Feedback(
            f"spawn() returned {returned!r}, and its child is process {child}. Return the number that "
            "os.fork() returned in the parent."
        )
    if child not in ends and os.path.exists(f"/proc/{child}"):
        raise Feedback(
            f"function() has returned, but the child, process {child}, is still running: it loops, sleeps or "
            "waits after that call. End it with os._exit()."
        )
    if child not in ends:
        raise Feedback(
            f"process {child} ran function(), but it is not a child of the process that called spawn(). Fork once."
        )
    if ends[child] != 0:
        raise Feedback(
            f"function() ended without an error, but its process ended with {_ending(ends[child])}. Expected: status 0, "
            "whatever function() returns."
        )
    ending = _ending_of(getattr(spawn, "function", spawn), lambda: 7)
    if ending not in (0, _CAME_OUT):
        raise Feedback(
            f"function() returned 7, and its process ended with {_ending(ending)}. Expected: status 0, whatever "
            "function() returns."
        )
    check_failing_child(getattr(spawn, "function", spawn))


def check_failing_child(spawn):
    """A child whose function raises must not return from *spawn*, and its status must report the failure."""

    def fail():
        raise OSError("the child has a bad day")

    ending = _ending_of(spawn, fail)
    if ending == _CAME_OUT:
        raise Feedback(
            "when function() raised an exception, a child process that you forked came back out of spawn(): "
            "an exception leaves a function too. A finally block runs in every case."
        )
    if ending == 0:
        raise Feedback(
            "function() raised an exception, but its process ended with status 0, which reports success. "
            "Expected: status 1."
        )
    if ending != 1:
        raise Feedback(
            f"function() raised an exception, and its process ended with {_ending(ending)}. Expected: status 1."
        )
    if _ending_of(spawn, lambda: sys.exit(0)) == _CAME_OUT:
        raise Feedback(
            "when function() called sys.exit(), a child process that you forked came back out of spawn(): "
            "sys.exit() only raises SystemExit, which `except Exception` lets through. A finally "
            "block runs whatever was raised, and an os._exit() in it ends the child there."
        )
    if _ending_of(spawn, lambda: sys.exit("the child gives up")) == _CAME_OUT:
        raise Feedback(
            'when function() called sys.exit("the child gives up"), a child process that you forked came back out of '
            "spawn(): what sys.exit() gets may be a text or nothing, and os._exit() takes only a number. Report every "
            "exception as 1, this one too."
        )
    if _ending_of(spawn, _interrupted) == _CAME_OUT:
        raise Feedback(
            "when function() was interrupted (KeyboardInterrupt), a child process that you forked came back out of "
            "spawn(): a list of exceptions is never complete. Put the os._exit() into a finally block, which runs "
            "whatever was raised."
        )


def _interrupted():
    raise KeyboardInterrupt


_CAME_OUT = 99
_PATIENCE = 3  # seconds after which a child that should act at once is taken for one that never will


def _ending_of(spawn, function) -> int:
    """How the child of ``spawn(function)`` ends, as subprocess tells it; _CAME_OUT when it comes out of *spawn*."""
    caller = os.getpid()
    try:
        pid = spawn(function)
    finally:
        if os.getpid() != caller:
            os._exit(_CAME_OUT)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _ends_of_children() -> dict[int, int]:
    """Wait for every child; how each has ended.  A child that never ends is left out."""
    ends, limit = {}, time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < limit:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                ends[pid] = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.005)
    except ChildProcessError:
        pass
    return ends


def _ending(code: int) -> str:
    return f"status {code}" if code >= 0 else f"signal {-code}"


Exercise(
    "proc-1",
    "A child that never returns",
    minutes=10,
    difficulty=2,
    reference=process.spawn,
    check=check_spawn,
    imports="import os, sys",
    starter='''
        def spawn(function):
            """Call function() in a new process and return its pid.

            The child ends with status 0, or with 1 when function() raises. It never leaves the if block.
            """
            pid = os.fork()
            if pid == 0:
                ...
            return pid
    ''',
    hints=[
        "The child has two things to do: call function(), then end with os._exit(…). What happens if function() raises "
        "in between?",
        "try: … finally: os._exit(status). The finally block runs after a normal end and after any exception.",
        "Set status = 1 before the try, and status = 0 in the line after function(). That line runs only if nothing "
        "was raised.",
    ],
    right={
        "the parent goes first": """
            def spawn(function):
                if pid := os.fork():
                    return pid
                try:
                    function()
                except BaseException:
                    os._exit(1)
                os._exit(0)
        """,
        "BaseException": """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    except BaseException:
                        os._exit(1)
                    os._exit(0)
                return pid
        """,
        "an ExitStack": """
            def spawn(function):
                import contextlib
                pid = os.fork()
                if pid == 0:
                    with contextlib.ExitStack() as stack:
                        status = [1]
                        stack.callback(lambda: os._exit(status[0]))
                        function()
                        status[0] = 0
                return pid
        """,
        "the parent leaves first": """
            def spawn(function):
                child = os.fork()
                if child:
                    return child
                code = True
                try:
                    function()
                    code = False
                finally:
                    os._exit(int(code))
        """,
        "with output": """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    status = 1
                    try:
                        print("spawned by me")
                        function()
                        status = 0
                    finally:
                        os._exit(status)
                return pid
        """,
    },
    wrong={
        "its result as the status": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        os._exit(function() or 0)
                    finally:
                        os._exit(1)
                return pid
        """,
            "whatever function() returns",
        ),
        "falls through": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    function()
                return pid
        """,
            "a child process that you forked came back out of spawn()",
        ),
        "no finally": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    function()
                    os._exit(0)
                return pid
        """,
            "an exception leaves a function too",
        ),
        "except Exception": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    except Exception:
                        os._exit(1)
                    os._exit(0)
                return pid
        """,
            "sys.exit() only raises SystemExit",
        ),
        "the code of SystemExit": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    except SystemExit as error:
                        os._exit(error.code)
                    except BaseException:
                        os._exit(1)
                    os._exit(0)
                return pid
        """,
            "Report every exception as 1",
        ),
        "what function() returns": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    os._exit(function())
                return pid
        """,
            "in your line: os._exit(function())",
        ),
        "except SystemExit too": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    except Exception:
                        os._exit(1)
                    except SystemExit:
                        os._exit(1)
                    os._exit(0)
                return pid
        """,
            "KeyboardInterrupt",
        ),
        "sys.exit": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    function()
                    sys.exit(0)
                return pid
        """,
            "a child process that you forked came back out of spawn()",
        ),
        "always 0": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    finally:
                        os._exit(0)
                return pid
        """,
            "which reports success",
        ),
        "always 1": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    finally:
                        os._exit(1)
                return pid
        """,
            "ended without an error",
        ),
        "no fork": (
            """
            def spawn(function):
                function()
                return os.getpid()
        """,
            "ran in the very process",
        ),
        "both call it": (
            """
            def spawn(function):
                pid = os.fork()
                try:
                    function()
                finally:
                    if pid == 0:
                        os._exit(0)
                return pid
        """,
            "in its parent too",
        ),
        "waits": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    finally:
                        os._exit(0)
                os.waitpid(pid, 0)
                return pid
        """,
            "must not wait",
        ),
        "sleeps in the child": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                        os.read(os.pipe()[0], 1)
                    finally:
                        os._exit(0)
                return pid
        """,
            "is still running",
        ),
        "calls nothing": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                return pid
        """,
            "never called function()",
        ),
        "forgets to return": (
            """
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                        os._exit(0)
                    finally:
                        os._exit(1)
        """,
            "returned None",
        ),
    },
)


# ---- proc-2 ----------------------------------------------------------------------------------------------------


def check_exit_status(exit_status):
    """Real children that end in different ways, and one wait status with the bit for a core dump."""
    for words, end, expected in _ENDS:
        _compare(exit_status, words, _wait_status(end), expected)
    # a real core dump could land in the machine's own collector of crashes, so this one is as wait(2) describes it
    _compare(exit_status, "was killed by signal 11 (SIGSEGV) and left a core dump", 11 | 0x80, 139)


def _killed_by(number: int):
    def end():
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    return end


_ENDS = [  # what it did, how, and what a shell reports
    ("called os._exit(7)", lambda: os._exit(7), 7),
    ("was killed by signal 15 (SIGTERM)", _killed_by(15), 143),
    ("called os._exit(0)", lambda: os._exit(0), 0),
    ("was killed by signal 9 (SIGKILL)", _killed_by(9), 137),
    ("called os._exit(255)", lambda: os._exit(255), 255),
    ("was killed by signal 1 (SIGHUP)", _killed_by(1), 129),
    ("called os._exit(143)", lambda: os._exit(143), 143),
]


def _wait_status(end) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            end()
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def _compare(exit_status, words: str, status: int, expected: int) -> None:
    told = exit_status(status)
    if type(told) is int and told == expected:
        return
    number = status & 0x7F
    signal_ended = number != 0
    why = ""
    if told is None:
        why = "Return the number."
    elif signal_ended and told == 0:
        why = "0 means success. This process was killed before it could exit."
    elif signal_ended and told == -number:
        why = f"That is how Python writes signal {number}. A shell has no negative numbers: it writes 128 + {number}."
    elif signal_ended and told == 128 - number:
        why = f"That is 128 - {number}. The code is already {-number}: subtract it from 128 instead of adding it."
    elif signal_ended and told == number:
        why = f"A program that calls exit({number}) gives the same number. For a signal, return 128 + {number}."
    elif told == status:
        why = "That is the raw wait status: an exit status is in its upper 8 bits, a signal in its lower 7."
    elif status & 0x80:
        why = "The bit 0x80 reports a core dump. It is not part of the signal's number."
    elif isinstance(told, str):
        why = "That is a text. Return a number."
    elif signal_ended and told == (256 - number) % 256:
        why = f"That is {-number} in eight bits. A shell writes 128 + {number} instead."
    elif not signal_ended and told == 128 - expected:
        why = "128 comes in only when the code is below 0, and this process called exit."
    elif not signal_ended and told == expected + 128:
        why = "128 + n is for signals only, and no signal killed this process."
    raise Feedback(
        f"a process {words}. Its wait status is {status}, and exit_status({status}) returned {told!r}. "
        f"Expected: {expected}. {why}".rstrip()
    )


Exercise(
    "proc-2",
    "How it ended, in a shell's numbers",
    minutes=6,
    difficulty=1,
    reference=process.exit_status,
    check=check_exit_status,
    imports="import os",
    starter='''
        def exit_status(status):
            """Translate a wait status to a shell's number: the exit status, or 128 + n after signal n."""
            code = os.waitstatus_to_exitcode(status)
            ...
    ''',
    hints=[
        "What is code when a signal ended the process? A cell above shows it for signal 15.",
        "If code is 0 or more, it is the exit status. If it is below 0, the signal's number is -code.",
        "128 + n, with n = -code, is 128 - code.",
    ],
    right={
        "by the macros of wait(2)": """
            def exit_status(status):
                if os.WIFEXITED(status):
                    return os.WEXITSTATUS(status)
                return 128 + os.WTERMSIG(status)
        """,
        "by bits": """
            def exit_status(status):
                number = status & 0x7f
                return number + 128 if number else status >> 8
        """,
        "by a dictionary": """
            def exit_status(status):
                code = os.waitstatus_to_exitcode(status)
                return {True: code, False: 128 + abs(code)}[code >= 0]
        """,
    },
    wrong={
        "as it came": (
            """
            def exit_status(status):
                return status
        """,
            "upper 8 bits",
        ),
        "Python's way": (
            """
            def exit_status(status):
                return os.waitstatus_to_exitcode(status)
        """,
            "how Python writes signal 15",
        ),
        "only the exit status": (
            """
            def exit_status(status):
                return status >> 8
        """,
            "0 means success",
        ),
        "adds": (
            """
            def exit_status(status):
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 + code
        """,
            "subtract it from 128",
        ),
        "the bare signal": (
            """
            def exit_status(status):
                return abs(os.waitstatus_to_exitcode(status))
        """,
            "For a signal, return 128 + 15",
        ),
        "every end": (
            """
            def exit_status(status):
                return 128 + abs(os.waitstatus_to_exitcode(status))
        """,
            "no signal killed this process",
        ),
        "core dump": (
            """
            def exit_status(status):
                return 128 + status if status < 256 and status else status >> 8
        """,
            "reports a core dump",
        ),
        "always subtracts": (
            """
            def exit_status(status):
                return 128 - os.waitstatus_to_exitcode(status)
        """,
            "only when the code is below 0",
        ),
        "eight bits": (
            """
            def exit_status(status):
                return os.waitstatus_to_exitcode(status) % 256
        """,
            "in eight bits",
        ),
        "a text": (
            """
            def exit_status(status):
                code = os.waitstatus_to_exitcode(status)
                return str(code if code >= 0 else 128 - code)
        """,
            "That is a text",
        ),
        "forgets to return": (
            """
            def exit_status(status):
                code = os.waitstatus_to_exitcode(status)
                code if code >= 0 else 128 - code
        """,
            "Return the number",
        ),
    },
)


# ---- proc-3 ----------------------------------------------------------------------------------------------------

_PATH = ["LANG=C", "PATH=a:b"]
_TREE = {"a/tool": 0o755, "b/tool": 0o755, "a/script": 0o644, "b/script": 0o755, "a/notes": 0o644, "b/late": 0o755}


def check_find(find):
    """Two directories on a PATH, with files that may be executed, files that may not, and a directory of that name."""
    os.makedirs("a/late")
    os.mkdir("b")
    for name, mode in _TREE.items():
        os.close(os.open(name, os.O_CREAT, mode))
        os.chmod(name, mode)
    _expect_file(find, "tool", "a/tool", "a/tool and b/tool are both executable, and the first one counts.")
    _expect_file(find, "script", "b/script", "a/script is not executable, b/script is: go on to the next candidate.")
    _expect_file(
        find,
        "late",
        "b/late",
        "a/late is a directory, which has the permission x too. os.path.isfile() tells the two apart.",
    )
    _expect_file(
        find, "b/tool", "b/tool", "a command with a slash names the file itself: candidates() returns just that."
    )
    _expect_status(find, "nothing", 127, "neither a nor b has such a file.")
    _expect_status(find, "notes", 126, "a/notes exists, but it is not executable.")
    _expect_status(find, "a/late", 126, "it exists, but it is a directory, and nobody can execute a directory.")


def _expect_file(find, command: str, expected: str, why: str) -> None:
    call = f"find({command!r}, {_PATH})"
    try:
        found = find(command, _PATH)
    except ContainerError as error:
        raise Feedback(f"{call} raised ContainerError: {error}. Expected: {expected!r}; {why}") from None
    if found is None:
        raise Feedback(f"{call} returned None. Expected: {expected!r}. Return the file.")
    if found != expected:
        raise Feedback(f"{call} returned {found!r}. Expected: {expected!r}; {why}")


def _expect_status(find, command: str, status: int, why: str) -> None:
    call = f"find({command!r}, {_PATH})"
    try:
        found = find(command, _PATH)
    except ContainerError as error:
        if error.status == 125:
            raise Feedback(
                f"{call} raised a ContainerError with status 125, which means that minict itself failed. "
                f"Write ContainerError(…, status={status}): {why}"
            ) from None
        if error.status != status:
            raise Feedback(
                f"{call} raised a ContainerError with status {error.status}. Expected: {status}; {why}"
            ) from None
    except OSError as error:
        raise Feedback(
            f"{call} raised {type(error).__name__}. Expected: a ContainerError, which carries an exit status, "
            f"here {status}."
        ) from None
    else:
        raise Feedback(f"{call} returned {found!r}. Expected: a ContainerError with status {status}; {why}")


Exercise(
    "proc-3",
    "Find the file",
    minutes=10,
    difficulty=2,
    reference=process.find,
    check=check_find,
    imports="import os\nfrom minict import ContainerError\nfrom minict.runtime.process import candidates",
    starter='''
        def find(command, env):
            """Return the first of candidates(command, env) that is an executable file.

            If none is: ContainerError, with status 126 if at least one candidate exists, else with 127.
            """
            for file in candidates(command, env):
                ...
            raise ContainerError(f"there is no command {command!r}", status=127)
    ''',
    hints=[
        "os.path.isfile(file) asks whether it is a file, os.access(file, os.X_OK) whether it is executable. If "
        "both: return it.",
        "If it exists (os.path.exists) but does not qualify, remember it in a variable and go on: the next one "
        "may be good.",
        'After the loop: if you remembered a file, raise ContainerError(f"{forbidden} is not executable", status=126).',
    ],
    right={
        "by stat": """
            def find(command, env):
                import stat
                seen = False
                for file in candidates(command, env):
                    try:
                        mode = os.stat(file).st_mode
                    except FileNotFoundError:
                        continue
                    seen = True
                    if stat.S_ISREG(mode) and mode & 0o111:
                        return file
                status, what = (126, "cannot be executed") if seen else (127, "does not exist")
                raise ContainerError(f"{command} {what}", status=status)
        """,
        "by pathlib": """
            def find(command, env):
                from pathlib import Path
                there = [Path(each) for each in candidates(command, env) if Path(each).exists()]
                for path in there:
                    if path.is_file() and os.access(path, os.X_OK):
                        return str(path)
                raise ContainerError(command, status=126 if there else 127)
        """,
        "two comprehensions": """
            def find(command, env):
                there = [file for file in candidates(command, env) if os.path.lexists(file)]
                good = [file for file in there if os.path.isfile(file) and os.access(file, os.X_OK)]
                if good:
                    return good[0]
                raise ContainerError(f"cannot run {command}", status=127 - bool(there))
        """,
    },
    wrong={
        "whatever is there": (
            """
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.exists(file):
                        return file
                raise ContainerError(f"there is no command {command!r}", status=127)
        """,
            "go on to the next candidate",
        ),
        "a directory": (
            """
            def find(command, env):
                for file in candidates(command, env):
                    if os.access(file, os.X_OK):
                        return file
                raise ContainerError(f"there is no command {command!r}", status=127)
        """,
            "os.path.isfile() tells",
        ),
        "gives up": (
            """
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.exists(file):
                        if os.path.isfile(file) and os.access(file, os.X_OK):
                            return file
                        raise ContainerError(f"{file} is not executable", status=126)
                raise ContainerError(f"there is no command {command!r}", status=127)
        """,
            "go on to the next candidate",
        ),
        "no 126": (
            """
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.isfile(file) and os.access(file, os.X_OK):
                        return file
                raise ContainerError(f"there is no command {command!r}", status=127)
        """,
            "Expected: 126",
        ),
        "the last one": (
            """
            def find(command, env):
                found = None
                for file in candidates(command, env):
                    if os.path.isfile(file) and os.access(file, os.X_OK):
                        found = file
                return found
        """,
            "the first one counts",
        ),
        "returns None": (
            """
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.isfile(file) and os.access(file, os.X_OK):
                        return file
        """,
            "returned None",
        ),
        "without a status": (
            """
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.isfile(file) and os.access(file, os.X_OK):
                        return file
                raise ContainerError(f"there is no command {command!r}")
        """,
            "minict itself failed",
        ),
        "an error of Python's": (
            """
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.isfile(file) and os.access(file, os.X_OK):
                        return file
                raise FileNotFoundError(command)
        """,
            "carries an exit status",
        ),
        "files only": (
            """
            def find(command, env):
                forbidden = None
                for file in candidates(command, env):
                    if os.path.isfile(file):
                        if os.access(file, os.X_OK):
                            return file
                        forbidden = file
                if forbidden:
                    raise ContainerError(f"{forbidden} is not executable", status=126)
                raise ContainerError(f"there is no command {command!r}", status=127)
        """,
            "nobody can execute a directory",
        ),
    },
)


# ---- the challenge: run ----------------------------------------------------------------------------------------


def check_run(run):
    """Five commands with five endings; prepare() must run in the child, and in the child alone."""
    os.mkdir("there")
    here = os.getcwd()
    told, tell = os.pipe()

    def prepare():
        os.chdir("there")
        os.write(tell, b"%d\n" % os.getpid())

    for words, expected, why in (
        (["sh", "-c", "exit 7"], 7, "An exit status stays as it is."),
        (
            ["sh", "-c", "test -d ../there"],
            0,
            "prepare() changes the child's working directory before the command begins.",
        ),
        (["sh", "-c", "kill -9 $$"], 137, "Signal 9 has ended it: 128 + 9."),
        (["no-such-thing"], 127, _END_WITH_ITS_STATUS),
        (["/etc/passwd"], 126, _END_WITH_ITS_STATUS),
    ):
        call = f"run({words}, prepare)"
        try:
            status = run(list(words), prepare)
        except ContainerError as error:
            raise Feedback(
                f"{call} raised ContainerError: {error}. Look for the file in the child, and end the child with "
                "os._exit(error.status)."
            ) from None
        if status is None:
            raise Feedback(f"{call} returned None. Return the number.")
        if status != expected:
            raw = " That is the raw wait status: exit_status() translates it." if status == expected << 8 else ""
            if words[-1] == "exit 7" and status in (2, 127):
                why = (
                    "The shell did not get all of its words. os.execv(file, words) takes the whole list: words[0], the "
                    "program's own name, belongs to it."
                )
            if words[-1] in ("exit 7", "kill -9 $$") and status == 1:
                why = (
                    "The child has not become the shell. With 1 spawn() ends a child whose function raised an exception: "
                    "is it prepare(), then os.execv(find(words[0], []), words)?"
                )
            if expected in (126, 127) and status == 1:
                why += (
                    " (1 is what spawn() makes of any exception, and sys.exit() raises one too. If you use os.execvp() "
                    "instead of find(): it raises FileNotFoundError or PermissionError.)"
                )
            if _left_a_child():
                why = "Its child has not been waited for: exit_status() translates what os.waitpid(pid, 0)[1] returns."
            raise Feedback(f"{call} returned {status!r}. Expected: {expected}. {why}{raw}")
        _check_prepared(told, call, here)
    _check_failing_prepare(getattr(run, "function", run))
    check_nothing_left()


def _check_failing_prepare(run) -> None:
    """When prepare() raises what nobody expects, the child must end inside of run() all the same."""
    caller = os.getpid()

    def prepare():
        raise OSError("prepare() has a bad day")

    status = None
    try:
        status = run(["true"], prepare)
    except Exception:
        pass  # so its caller learns of it, as it does of a status
    finally:
        if os.getpid() != caller:
            os._exit(_CAME_OUT)
    if status == _CAME_OUT:
        raise Feedback(
            "when prepare() raised an OSError, a child process that you forked came back out of run(). A child must end "
            "in every case: spawn() sees to that, and so does a finally with os._exit()."
        )
    if status == 0:
        raise Feedback("prepare() raised an OSError, and run() returned 0, which reports success.")


def _check_prepared(told: int, call: str, here: str) -> None:
    if not select.select([told], [], [], 0)[0]:
        raise Feedback(f"{call} never called prepare(). Call it in the child, before anything else.")
    callers = [int(word) for word in os.read(told, 1000).split()]
    if os.getcwd() != here or os.getpid() in callers:
        raise Feedback(
            f"{call} called prepare() in the process that called run(): it has changed the working directory of the "
            "parent. Call it in the child."
        )
    if len(callers) > 1:
        raise Feedback(f"{call} called prepare() {len(callers)} times. Once is enough.")


def check_nothing_left() -> None:
    """Every child that was started must have been waited for."""
    if _left_a_child():
        raise Feedback("run() has returned, and a child that it started is still there: wait for it with os.waitpid().")


def _left_a_child() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


_END_WITH_ITS_STATUS = "find() raises a ContainerError: end the child with its status, by os._exit(error.status)."


_RUN = """
def run(words, prepare):
    def work():
        prepare()
        os.execv(find(words[0], []), words)
    return exit_status(os.waitpid(spawn(work), 0)[1])
"""

Challenge(
    "run",
    "Run a command",
    name="run",
    minutes=8,
    difficulty=2,
    check=check_run,
    imports="""
        import os
        from minict import ContainerError
        from minict.runtime.process import exit_status, find, spawn
    """,
    solution=inspect.getsource(life.run),
    hints=[
        "Begin with an inner function work() for the child: prepare, find, exec. Then: spawn it, wait for it, "
        "translate.",
        "os.execv(find(words[0], []), words) finds the file and executes it. Around it: try and except ContainerError "
        "as error.",
        "In the except: os._exit(error.status). The last line: return exit_status(os.waitpid(spawn(work), 0)[1]).",
    ],
    right={
        "a fork by hand": """
            def run(words, prepare):
                pid = os.fork()
                if pid == 0:
                    status = 1
                    try:
                        prepare()
                        os.execv(find(words[0], []), words)
                    except ContainerError as error:
                        status = error.status
                    finally:
                        os._exit(status)
                _, status = os.waitpid(pid, 0)
                return exit_status(status)
        """,
        "execvp and errors": """
            def run(words, prepare):
                def child():
                    prepare()
                    try:
                        os.execvp(words[0], words)
                    except FileNotFoundError:
                        os._exit(127)
                    except PermissionError:
                        os._exit(126)
                status = os.waitpid(spawn(child), 0)[1]
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        """,
        "subprocess": """
            def run(words, prepare):
                import subprocess
                def in_child():
                    prepare()
                    try:
                        find(words[0], [])
                    except ContainerError as error:
                        os._exit(error.status)
                try:
                    code = subprocess.run(words, preexec_fn=in_child).returncode
                except FileNotFoundError:
                    return 127
                return code if code >= 0 else 128 - code
        """,
    },
    wrong={
        "looks in the parent": (
            """
            def run(words, prepare):
                file = find(words[0], [])
                def work():
                    prepare()
                    os.execv(file, words)
                return exit_status(os.waitpid(spawn(work), 0)[1])
        """,
            "Look for the file in the child",
        ),
        "prepares in the parent": (
            """
            def run(words, prepare):
                prepare()
                def work():
                    try:
                        os.execv(find(words[0], []), words)
                    except ContainerError as error:
                        os._exit(error.status)
                return exit_status(os.waitpid(spawn(work), 0)[1])
        """,
            "Call it in the child",
        ),
        "does not prepare": (
            edited(_RUN, ("        prepare()\n", "")),
            "never called prepare()",
        ),
        "the raw status": (
            edited(_RUN, ("exit_status(os.waitpid(spawn(work), 0)[1])", "os.waitpid(spawn(work), 0)[1]")),
            "exit_status() translates it",
        ),
        "without its name": (
            """
            def run(words, prepare):
                def work():
                    prepare()
                    try:
                        os.execv(find(words[0], []), words[1:])
                    except ContainerError as error:
                        os._exit(error.status)
                return exit_status(os.waitpid(spawn(work), 0)[1])
        """,
            "words[0], the program's own name, belongs to it",
        ),
        "loses 126 and 127": (
            _RUN,
            "end the child with its status",
        ),
        "a child that comes out": (
            """
            def run(words, prepare):
                pid = os.fork()
                if pid == 0:
                    try:
                        prepare()
                        os.execv(find(words[0], []), words)
                    except ContainerError as error:
                        os._exit(error.status)
                return exit_status(os.waitpid(pid, 0)[1])
        """,
            "when prepare() raised",
        ),
        "the list as a file": (
            edited(_RUN, ("find(words[0], [])", "find(words, [])")),
            "The child has not become the shell",
        ),
        "does not wait": (
            edited(_RUN, ("exit_status(os.waitpid(spawn(work), 0)[1])", "spawn(work)")),
            "has not been waited for",
        ),
        "translates the number of the child": (
            edited(_RUN, ("os.waitpid(spawn(work), 0)[1]", "spawn(work)")),
            "has not been waited for",
        ),
        "calls the child's work": (
            edited(_RUN, ("spawn(work)", "spawn(work())")),
            "Hand the function over",
        ),
        "sys.exit with its status": (
            """
            def run(words, prepare):
                import sys
                def work():
                    prepare()
                    try:
                        os.execv(find(words[0], []), words)
                    except ContainerError as error:
                        sys.exit(error.status)
                return exit_status(os.waitpid(spawn(work), 0)[1])
        """,
            "sys.exit() raises one too",
        ),
        "execvp alone": (
            edited(_RUN, ("os.execv(find(words[0], []), words)", "os.execvp(words[0], words)")),
            "FileNotFoundError or PermissionError",
        ),
    },
)
