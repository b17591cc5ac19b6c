"""Chapter 01: make a process, hear how it ended, and know which file a command is."""
from __future__ import annotations

import os
import select
import signal
import sys

from minict.runtime import process
from minict.runtime.errors import ContainerError

from ..exercise import Exercise, Feedback


# ---- proc-1 ----------------------------------------------------------------------------------------------------

def check_spawn(spawn):
    """Three children: one that waits for us before it ends, one that raises, one that calls sys.exit()."""
    told, tell = os.pipe()
    gate, opener = os.pipe()

    def work():
        os.write(tell, b"%d\n" % os.getpid())
        if not select.select([gate], [], [], 1)[0]:
            os.write(tell, b"late\n")  # spawn() has not come back within a second

    returned = spawn(work)
    os.write(opener, b"!")
    ends = _wait_for_all()
    os.write(tell, b"end\n")
    callers = os.read(told, 1000).decode().split()[:-1]
    was_late = "late" in callers
    callers = [int(word) for word in callers if word != "late"]
    if not callers:
        raise Feedback("spawn(function) never called function(): the child must call it.")
    if callers == [os.getpid()]:
        raise Feedback("function() ran in the very process that called spawn(): only where os.fork() gave 0 is the "
                       "child.")
    if len(callers) > 1:
        raise Feedback(f"function() ran {len(callers)} times: in the child and in its parent too. Only where os.fork() "
                       "gave 0 is the child.")
    child = callers[0]
    if was_late:
        raise Feedback("spawn() came back only when its child had ended. It must not wait: a parent wants to go on, "
                       "and to wait when it chooses.")
    if returned != child:
        raise Feedback(f"spawn() returned {returned!r}, and its child is process {child}. Return what os.fork() gave "
                       "the parent.")
    if child not in ends:
        raise Feedback(f"process {child} ran function(), but it is not a child of the process that called spawn(). "
                       "Fork once.")
    if ends[child] != 0:
        raise Feedback(f"function() ended without an error, and its process with {_ending(ends[child])}. Expected: "
                       "status 0.")
    check_failing_child(getattr(spawn, "function", spawn))


def check_failing_child(spawn):
    """What becomes of a child whose function raises: it must not come out of *spawn*, and must tell by its status."""
    def fail():
        raise OSError("the child has a bad day")

    ending = _ending_of(spawn, fail)
    if ending == _CAME_OUT:
        raise Feedback("when function() raised an exception, a child process that you forked came back out of spawn(): "
                       "an exception leaves a function too. What runs whatever happens is finally.")
    if ending == 0:
        raise Feedback("function() raised an exception, and its process ended with status 0, as if all were well. "
                       "Expected: status 1.")
    if ending != 1:
        raise Feedback(f"function() raised an exception, and its process ended with {_ending(ending)}. Expected: "
                       "status 1.")
    if _ending_of(spawn, lambda: sys.exit(0)) == _CAME_OUT:
        raise Feedback("when function() called sys.exit(), a child process that you forked came back out of spawn(): "
                       "sys.exit() only raises SystemExit, which `except Exception` lets through. finally stops "
                       "everything.")


_CAME_OUT = 99


def _ending_of(spawn, function) -> int:
    """How the child of ``spawn(function)`` ends, as subprocess tells it; _CAME_OUT when it comes out of *spawn*."""
    caller = os.getpid()
    try:
        pid = spawn(function)
    finally:
        if os.getpid() != caller:
            os._exit(_CAME_OUT)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _wait_for_all() -> dict[int, int]:
    """Wait for every child; how each has ended."""
    ends = {}
    try:
        while True:
            pid, status = os.wait()
            ends[pid] = os.waitstatus_to_exitcode(status)
    except ChildProcessError:
        return ends


def _ending(code: int) -> str:
    return f"status {code}" if code >= 0 else f"signal {-code}"


Exercise(
    "proc-1", "A child that never comes back", minutes=8, difficulty=2, reference=process.spawn, check=check_spawn,
    imports="import os, sys",
    starter='''
        def spawn(function):
            """Call function() in a new process, and return its number.

            The child ends with status 0, or with 1 when function() raises. It never leaves the block below.
            """
            pid = os.fork()
            if pid == 0:
                ...
            return pid
    ''',
    hints=[
        "The child has two things to do: call function(), and end with os._exit(…). What if function() raises before "
        "that?",
        "try: … finally: os._exit(status). What is below finally runs after a good end and after any exception.",
        "Say status = 1 before the try, and status = 0 behind function(): who gets that far has raised nothing.",
    ],
    wrong={
        "falls through": ("""
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    function()
                return pid
        """, "a child process that you forked came back out of spawn()"),
        "no finally": ("""
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    function()
                    os._exit(0)
                return pid
        """, "an exception leaves a function too"),
        "except Exception": ("""
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    except Exception:
                        os._exit(1)
                    os._exit(0)
                return pid
        """, "sys.exit() only raises SystemExit"),
        "sys.exit": ("""
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    function()
                    sys.exit(0)
                return pid
        """, "a child process that you forked came back out of spawn()"),
        "always 0": ("""
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    finally:
                        os._exit(0)
                return pid
        """, "as if all were well"),
        "always 1": ("""
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    finally:
                        os._exit(1)
                return pid
        """, "ended without an error"),
        "no fork": ("""
            def spawn(function):
                function()
                return os.getpid()
        """, "ran in the very process"),
        "both call it": ("""
            def spawn(function):
                pid = os.fork()
                try:
                    function()
                finally:
                    if pid == 0:
                        os._exit(0)
                return pid
        """, "in its parent too"),
        "waits": ("""
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                    finally:
                        os._exit(0)
                os.waitpid(pid, 0)
                return pid
        """, "must not wait"),
        "calls nothing": ("""
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                return pid
        """, "never called function()"),
        "forgets to return": ("""
            def spawn(function):
                pid = os.fork()
                if pid == 0:
                    try:
                        function()
                        os._exit(0)
                    finally:
                        os._exit(1)
        """, "returned None"),
    })


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


_ENDS = [  # what it did, how, and what a shell says then
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
    number = status & 0x7f
    signal_ended = number != 0
    why = ""
    if told is None:
        why = "Return the number."
    elif signal_ended and told == 0:
        why = "0 says that all went well. Who is killed by a signal never comes to its exit."
    elif signal_ended and told == -number:
        why = f"That is Python's way to say signal {number}. A shell knows no numbers below 0: 128 + {number}."
    elif signal_ended and told == 128 - number:
        why = f"That is 128 - {number}: the code is {-number} already, so take it away from 128, and do not add it."
    elif signal_ended and told == number:
        why = f"So says a program, too, that calls exit({number}). A signal is told as 128 + {number}."
    elif told == status:
        why = "That is the wait status as it came: an exit status is in its upper 8 bits, a signal in its lower 7."
    elif status & 0x80:
        why = "The bit 0x80 says that there is a core dump, and not which signal it was."
    elif not signal_ended and told == expected + 128:
        why = "Only a signal is told as 128 + n, and this process was not killed by one."
    raise Feedback(f"a process {words}, its wait status is {status}, and exit_status({status}) returned {told!r}. "
                   f"Expected: {expected}. {why}".rstrip())


Exercise(
    "proc-2", "How it ended, as a shell tells it", minutes=5, difficulty=1, reference=process.exit_status,
    check=check_exit_status,
    imports="import os",
    starter='''
        def exit_status(status):
            """The wait status as a shell tells it: an exit status, or 128 + n after signal n."""
            code = os.waitstatus_to_exitcode(status)
            ...
    ''',
    hints=[
        "What is code when a signal has ended the process? The cell above shows it for signal 15.",
        "If code is 0 or more, it is the exit status. If it is less, the signal's number is -code.",
        "128 + n, with n = -code, is 128 - code.",
    ],
    wrong={
        "as it came": ("""
            def exit_status(status):
                return status
        """, "upper 8 bits"),
        "Python's way": ("""
            def exit_status(status):
                return os.waitstatus_to_exitcode(status)
        """, "Python's way to say signal 15"),
        "only the exit status": ("""
            def exit_status(status):
                return status >> 8
        """, "0 says that all went well"),
        "adds": ("""
            def exit_status(status):
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 + code
        """, "take it away from 128"),
        "the bare signal": ("""
            def exit_status(status):
                return abs(os.waitstatus_to_exitcode(status))
        """, "A signal is told as 128 + 15"),
        "every end": ("""
            def exit_status(status):
                return 128 + abs(os.waitstatus_to_exitcode(status))
        """, "was not killed by one"),
        "core dump": ("""
            def exit_status(status):
                return 128 + status if status < 256 and status else status >> 8
        """, "there is a core dump"),
        "forgets to return": ("""
            def exit_status(status):
                code = os.waitstatus_to_exitcode(status)
                code if code >= 0 else 128 - code
        """, "Return the number"),
    })


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
    _expect_file(find, "tool", "a/tool", "a/tool and b/tool may both be executed, and the first one counts.")
    _expect_file(find, "script", "b/script", "a/script may not be executed, b/script may: pass over what may not.")
    _expect_file(find, "late", "b/late", "a/late is a directory. It has the permission x too: ask os.path.isfile().")
    _expect_file(find, "b/tool", "b/tool", "a command with a slash is that very file, as candidates() knows.")
    _expect_status(find, "nothing", 127, "there is no such file, neither in a nor in b.")
    _expect_status(find, "notes", 126, "a/notes is there, but it may not be executed.")
    _expect_status(find, "a/late", 126, "it is there, but it is a directory, which can't be executed.")


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
            raise Feedback(f"{call} raised a ContainerError with the status 125, which says that minict itself has "
                           f"failed. Say ContainerError(…, status={status}): {why}") from None
        if error.status != status:
            raise Feedback(f"{call} raised a ContainerError with the status {error.status}. "
                           f"Expected: {status}; {why}") from None
    except OSError as error:
        raise Feedback(f"{call} raised {type(error).__name__}. Expected: a ContainerError, which has room for the exit "
                       f"status, here {status}.") from None
    else:
        raise Feedback(f"{call} returned {found!r}. Expected: a ContainerError with the status {status}; {why}")


Exercise(
    "proc-3", "Which file is that?", minutes=8, difficulty=2, reference=process.find, check=check_find,
    imports="import os\nfrom minict import ContainerError\nfrom minict.runtime.process import candidates",
    starter='''
        def find(command, env):
            """The first of candidates(command, env) that is a file and may be executed.

            Without one: ContainerError, with status 126 if something was there all the same, else with 127.
            """
            for file in candidates(command, env):
                ...
            raise ContainerError(f"there is no command {command!r}", status=127)
    ''',
    hints=[
        "os.path.isfile(file) tells whether it is a file, os.access(file, os.X_OK) whether it may be executed. If "
        "both: return it.",
        "If it is there (os.path.exists) but not good enough, remember that in a variable, and look on: the next one "
        "may be good.",
        "After the loop: if you remember something, raise ContainerError(f\"{forbidden} is not executable\", "
        "status=126).",
    ],
    wrong={
        "whatever is there": ("""
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.exists(file):
                        return file
                raise ContainerError(f"there is no command {command!r}", status=127)
        """, "pass over what may not"),
        "a directory": ("""
            def find(command, env):
                for file in candidates(command, env):
                    if os.access(file, os.X_OK):
                        return file
                raise ContainerError(f"there is no command {command!r}", status=127)
        """, "ask os.path.isfile()"),
        "gives up": ("""
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.exists(file):
                        if os.path.isfile(file) and os.access(file, os.X_OK):
                            return file
                        raise ContainerError(f"{file} is not executable", status=126)
                raise ContainerError(f"there is no command {command!r}", status=127)
        """, "pass over what may not"),
        "no 126": ("""
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.isfile(file) and os.access(file, os.X_OK):
                        return file
                raise ContainerError(f"there is no command {command!r}", status=127)
        """, "Expected: 126"),
        "the last one": ("""
            def find(command, env):
                found = None
                for file in candidates(command, env):
                    if os.path.isfile(file) and os.access(file, os.X_OK):
                        found = file
                return found
        """, "the first one counts"),
        "returns None": ("""
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.isfile(file) and os.access(file, os.X_OK):
                        return file
        """, "returned None"),
        "without a status": ("""
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.isfile(file) and os.access(file, os.X_OK):
                        return file
                raise ContainerError(f"there is no command {command!r}")
        """, "minict itself has failed"),
        "an error of Python's": ("""
            def find(command, env):
                for file in candidates(command, env):
                    if os.path.isfile(file) and os.access(file, os.X_OK):
                        return file
                raise FileNotFoundError(command)
        """, "room for the exit status"),
        "files only": ("""
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
        """, "it is a directory, which can't be executed"),
    })
