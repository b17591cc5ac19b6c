"""Chapter 14: a name that one of many gets, a process that leaves its caller, the lines of a log that grows."""

from __future__ import annotations

import builtins
import fcntl
import json
import linecache
import os
import select
import signal
import sys
import time

from minict.engine.containers import names
from minict.engine.lifecycle import logreader
from minict.engine.util import daemonize

from .. import host
from ..challenge import Challenge
from ..diagnosis import failing_line
from ..exercise import Exercise
from ..feedback import Feedback

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

_IMPORTS = """
    import os
    import signal
    from minict.engine.util.daemonize import leave
    from minict.runtime.process import exit_status
"""

# ---- many-1 ----------------------------------------------------------------------------------------------------------


def check_leave(leave):
    """Call it in a fork that has a pipe and two files open, and let that process say where it is afterwards."""
    for low in (True, False):
        told, tell = os.pipe()
        other = _moved(os.open("/dev/null", os.O_RDONLY), 40 if low else 200)
        keep = sorted([tell, other], reverse=low)
        loose = [_moved(os.open("/dev/null", os.O_RDONLY), 90), *os.pipe()]
        call = f"leave({keep!r})"
        pid = os.fork()
        if not pid:
            _leave_and_tell(leave, keep, tell)
        for fd in {*keep, *loose}:
            os.close(fd)
        with open(told, "rb") as pipe:
            data = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status < 0:
            os.kill(os.getpid(), -status)
        if status != _CAME_BACK:
            os._exit(status)
        if not data:
            raise Feedback(
                f"after {call} the descriptor {tell} is closed: nothing arrived through it. Those in keep stay open. They "
                "are numbers, in any order; a name in /proc/self/fd is text, and never equal to a number."
            )
        _judge_place(json.loads(data), call, keep, pid)


_CAME_BACK = 77  # the status of a process in which the function has returned or raised


def _moved(fd: int, to: int) -> int:
    """The open file *fd* under the number *to*."""
    os.dup2(fd, to)
    os.close(fd)
    return to


def _leave_and_tell(leave, keep: list[int], tell: int) -> None:
    """In the fork: call the function, tell through *tell* where this process is now, and end."""
    own = [leave.reader, leave.writer] if hasattr(leave, "reader") else []  # those of the guard around an answer
    place: dict[str, Any] = {"error": []}
    status = 1
    try:
        try:
            leave([*keep, *own])
        except Exception as error:
            place["error"] = [type(error).__name__, str(error), getattr(error, "learners_line", "")]
        status = _CAME_BACK
        open_now = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                open_now[int(name)] = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                pass  # that of the listing itself
        modes = [fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE if fd in open_now else None for fd in range(3)]
        place |= {"session": os.getsid(0), "directory": os.getcwd(), "open": open_now, "own": own, "modes": modes}
        os.write(tell, json.dumps(place).encode())
    finally:
        os._exit(status)


def _judge_place(place: dict, call: str, keep: list[int], pid: int) -> None:
    """Raises :class:`Feedback` when the process *pid* has not left everything."""
    open_now = {int(fd): what for fd, what in place["open"].items()}
    if place["error"]:
        kind, text, line = place["error"]
        if "Errno 9]" in text:
            raise Feedback(
                f"{call} raised {kind}: {text}\n  in your line: {line}\nOnly what is open can be closed, and the "
                "descriptor of a listing of /proc/self/fd is closed when you have the list. os.closerange(fd, fd + 1) "
                "does not mind."
            )
        error = getattr(builtins, kind, RuntimeError)(text)
        error.learners_call, error.learners_line = call, line
        raise error
    if place["session"] != pid:
        raise Feedback(
            f"after {call} the process is still in the session of its caller. When that one's terminal is closed, the "
            "kernel sends SIGHUP to the session's processes. os.setsid() makes a new session."
        )
    if place["directory"] != "/":
        raise Feedback(
            f"after {call} the process is still in the directory of its caller, and nobody can unmount the disk with "
            "it. / is a directory that is always there."
        )
    for fd in range(3):
        if open_now.get(fd) != "/dev/null":
            what = open_now.get(fd)
            raise Feedback(
                f"after {call} the descriptor {fd} is {what or 'closed'}, and should be /dev/null. "
                + (
                    "It still belongs to the caller: os.dup2(null, fd) puts an open /dev/null in its place."
                    if what
                    else "The next file that the process opens would get this number, and print() or an error would be "
                    "written into it. os.dup2(null, fd) opens /dev/null there."
                )
            )
        if place["modes"][fd] == (os.O_WRONLY if fd == 0 else os.O_RDONLY):
            raise Feedback(
                f"after {call} the descriptor {fd} is /dev/null, opened for {'writing' if fd == 0 else 'reading'} only: "
                f"a program that {'reads from' if fd == 0 else 'writes into'} it gets an error. Open it with os.O_RDWR."
            )
    if missing := [fd for fd in keep if fd not in open_now]:
        raise Feedback(f"after {call} the descriptor {missing[0]} is closed, and keep has it.")
    if left := sorted(set(open_now) - {0, 1, 2, *keep, *place["own"]}):
        what = open_now[left[0]]
        why = (
            "Its reader waits for an end of file until this process ends too."
            if what.startswith("pipe:")
            else "Close every one that is not in keep, whatever its number, your own /dev/null too."
        )
        raise Feedback(f"after {call} the descriptor {left[0]}, {what}, is still open. {why}")


Exercise(
    "many-1",
    "Leave, and take nothing along",
    minutes=10,
    difficulty=2,
    reference=daemonize.leave,
    check=check_leave,
    imports="import os",
    starter='''
        def leave(keep):
            """Leave the caller's session, go to /, and close all descriptors but those in keep.

            0, 1 and 2 are /dev/null afterwards.
            """
            ...
    ''',
    hints=[
        "Four things in any order, but each of them: a session, a directory, the three standard streams, and the others.",
        "null = os.open(os.devnull, os.O_RDWR) opens /dev/null; os.dup2(null, fd) puts it in the place of fd, and closes "
        "what was there.",
        "The open ones are the names in /proc/self/fd. Make a list of numbers first, and close those above 2 that are "
        "not in keep; that of the listing itself is closed already, so use suppress(OSError) or os.closerange(fd, fd + 1).",
    ],
    plain="""
        def leave(keep):
            os.setsid()
            os.chdir("/")
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
                if fd > 2 and fd not in keep:
                    os.closerange(fd, fd + 1)
    """,
    right={
        "one mode for each": """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                for fd, mode in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
                    null = os.open("/dev/null", mode)
                    os.dup2(null, fd)
                    if null > 2 and null not in keep:
                        os.close(null)
                for fd in map(int, os.listdir("/proc/self/fd")):
                    if fd > 2 and fd not in keep:
                        os.closerange(fd, fd + 1)
        """,
        "gap by gap": """
            def leave(keep):
                os.chdir("/")
                lowest = 0
                for fd in sorted(keep):
                    os.closerange(lowest, fd)
                    lowest = fd + 1
                os.closerange(lowest, 5000)
                for fd in range(3):
                    os.open("/dev/null", os.O_RDWR)
                os.setsid()
        """,
        "one after another, with errors": """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                with open("/dev/null", "r+b", buffering=0) as null:
                    for stream in (0, 1, 2):
                        os.dup2(null.fileno(), stream)
                for fd in range(3, 1024):
                    try:
                        if fd not in keep:
                            os.close(fd)
                    except OSError:
                        continue
        """,
    },
    wrong={
        "the session alone": (
            """
            def leave(keep):
                os.setsid()
        """,
            "still in the directory of its caller",
        ),
        "a process group": (
            """
            def leave(keep):
                os.setpgid(0, 0)
                os.chdir("/")
        """,
            "still in the session of its caller",
        ),
        "the standard streams are closed": (
            """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                for fd in range(0, 1024):
                    if fd not in keep:
                        os.closerange(fd, fd + 1)
        """,
            "would get this number",
        ),
        "the standard streams stay": (
            """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                for fd in range(3, 1024):
                    if fd not in keep:
                        os.closerange(fd, fd + 1)
        """,
            "still belongs to the caller",
        ),
        "the others stay": (
            """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                null = os.open("/dev/null", os.O_RDWR)
                for fd in range(3):
                    os.dup2(null, fd)
        """,
            "is still open",
        ),
        "the first few": (
            """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                null = os.open("/dev/null", os.O_RDWR)
                for fd in range(3):
                    os.dup2(null, fd)
                for fd in range(3, 80):
                    if fd not in keep:
                        os.closerange(fd, fd + 1)
        """,
            "whatever its number",
        ),
        "everything": (
            """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                os.closerange(0, 1024)
                for fd in range(3):
                    os.open("/dev/null", os.O_RDWR)
        """,
            "nothing arrived through it",
        ),
        "names and numbers": (
            """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                null = os.open("/dev/null", os.O_RDWR)
                for fd in range(3):
                    os.dup2(null, fd)
                for fd in os.listdir("/proc/self/fd"):
                    if fd not in keep and int(fd) > 2:
                        os.closerange(int(fd), int(fd) + 1)
        """,
            "never equal to a number",
        ),
        "gaps in the order of keep": (
            """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                for fd in range(3):
                    os.dup2(os.open("/dev/null", os.O_RDWR), fd)
                lowest = 3
                for fd in keep:
                    os.closerange(lowest, fd)
                    lowest = fd + 1
                os.closerange(lowest, 1024)
        """,
            "in any order",
        ),
        "for reading only": (
            """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                null = os.open("/dev/null", os.O_RDONLY)
                for fd in range(3):
                    os.dup2(null, fd)
                for fd in range(3, 1024):
                    if fd not in keep:
                        os.closerange(fd, fd + 1)
        """,
            "opened for reading only",
        ),
        "stumbles over a closed one": (
            """
            def leave(keep):
                os.setsid()
                os.chdir("/")
                for fd in range(3, 1024):
                    if fd not in keep:
                        os.close(fd)
        """,
            "does not mind",
        ),
    },
)

# ---- many-2 ----------------------------------------------------------------------------------------------------------


def check_whole_lines(whole_lines):
    """A writer that writes in pieces, and a reader that reads after each piece."""
    pieces = (
        (b"one\ntw", False, [b"one"], ""),
        (b"o\nthree\n\n  indented ", False, [b"two", b"three", b""], ""),
        (b"\n10%\r20%\nend\r\nhalf", False, [b"  indented ", b"10%\r20%", b"end\r"], ""),
        (b"", False, [], ""),
        (b" a line", False, [], ""),
        (b"", True, [b"half a line"], "to_the_end is true: nothing more will come. "),
    )
    with open("log", "wb", buffering=0) as writer, open("log", "rb") as file:
        written, seen = b"", []
        for piece, to_the_end, wanted, why in pieces:
            writer.write(piece)
            written += piece
            call = f"whole_lines(file, {to_the_end})"
            found = whole_lines(file, to_the_end)
            if not hasattr(found, "__iter__"):
                raise Feedback(f"{call} returned {found!r}. Expected: a list of lines, or yield each of them.")
            try:
                found = list(found)
            except TypeError as error:
                line = failing_line(error, whole_lines.function.__code__.co_filename)
                raise Feedback(
                    f"{call} raised TypeError: {error}\n  in your line: {line}\n"
                    'A line is bytes here, not text: its newline is b"\\n".'
                ) from None
            if found == wanted:
                seen += found
                continue
            raise Feedback(
                f"The file has got {piece!r} now, after {written[: len(written) - len(piece)]!r}.\n"
                f"{call} gave {found!r}. {why}Expected: {wanted!r}.\n{_why_lines(found, wanted)}"
            )


def _why_lines(found: list, wanted: list) -> str:
    """The likely cause of lines that are not those that were wanted."""
    if any(isinstance(line, str) for line in found):
        return "The lines stay bytes: the file was opened with rb, and programs print what they like."
    if [line.rstrip(b"\n") for line in found] == wanted:
        return "The newline at the end of a line is not a part of it."
    if b"".join(found).replace(b"\r", b"") == b"".join(wanted).replace(b"\r", b"") and len(found) > len(wanted):
        return "Only \\n ends a line; splitlines() breaks at \\r and others too."
    if [line.split(b"\r")[0] for line in wanted] == found != [line.rstrip(b"\r") for line in wanted]:
        return "Only \\n ends a line; splitlines() breaks at \\r and others too."
    if found in ([line.strip() for line in wanted], [line.rstrip(b"\r") for line in wanted]):
        return "A blank or a \\r at the end of a line belongs to it: remove the newline alone."
    if found and wanted and found[:-1] == wanted[:-1] and found[-1] == wanted[-1][:-1]:
        return "Its last byte is missing: this line has no newline at its end that [:-1] could cut off."
    if [line for line in wanted if line] == found:
        return "An empty line is a line too; at the end of the file readline() gives b'', without a newline."
    if not found and wanted:
        return (
            "Has an earlier call read too much? Where an unfinished line begins, file.seek() has to go back to, or the "
            "next call can't read it."
        )
    if found and found == wanted[1:]:
        return (
            "The line that was unfinished before is lost: file.seek(-n, os.SEEK_CUR) goes back by n bytes, and without "
            "the minus it goes forward."
        )
    if found and wanted and found[0] != wanted[0] and wanted[0].endswith(found[0]):
        return "Its beginning was read before, and given to nobody: go back to where the unfinished line begins."
    return "A line without a newline at its end is not finished: leave it for a later call, and give none twice."


Exercise(
    "many-2",
    "Whole lines, please",
    minutes=8,
    difficulty=2,
    reference=logreader.whole_lines,
    check=check_whole_lines,
    imports="import os",
    starter='''
        def whole_lines(file, to_the_end):
            """Yield the lines from here on, without their newlines.

            An unfinished line stays for the next call, unless to_the_end is true.
            """
            while line := file.readline():
                ...
    ''',
    hints=[
        "readline() returns a line with its newline. Without one it is the beginning of a line that is still being "
        "written.",
        "Then go back: file.seek(-len(line), os.SEEK_CUR) makes the next readline() begin where this one began.",
        'if not line.endswith(b"\\n") and not to_the_end: go back, and return. Otherwise yield line.rstrip(b"\\n").',
    ],
    right={
        "as a list": """
            def whole_lines(file, to_the_end):
                begin = file.tell()
                data = file.read()
                *lines, rest = data.split(b"\\n")
                if to_the_end:
                    return lines + [rest] * bool(rest)
                file.seek(begin + len(data) - len(rest))
                return lines
        """,
        "by tell": """
            def whole_lines(file, to_the_end):
                place = file.tell()
                for line in iter(file.readline, b""):
                    if line.endswith(b"\\n"):
                        yield line[:-1]
                    elif to_the_end:
                        yield line
                    else:
                        file.seek(place)
                        break
                    place = file.tell()
        """,
        "by iterating": """
            def whole_lines(file, to_the_end):
                rest = b""
                for line in file:
                    if line[-1:] == b"\\n" or to_the_end:
                        yield line.removesuffix(b"\\n")
                    else:
                        rest = line
                file.seek(-len(rest), os.SEEK_CUR)
        """,
    },
    wrong={
        "half a line": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    yield line.rstrip(b"\\n")
        """,
            "leave it for a later call",
        ),
        "forgets the half": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if line.endswith(b"\\n") or to_the_end:
                        yield line.rstrip(b"\\n")
        """,
            "go back to where",
        ),
        "never gives the last": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if not line.endswith(b"\\n"):
                        file.seek(-len(line), os.SEEK_CUR)
                        return
                    yield line.rstrip(b"\\n")
        """,
            "nothing more will come",
        ),
        "with the newline": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if not line.endswith(b"\\n") and not to_the_end:
                        file.seek(-len(line), os.SEEK_CUR)
                        return
                    yield line
        """,
            "is not a part of it",
        ),
        "strips too much": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if not line.endswith(b"\\n") and not to_the_end:
                        file.seek(-len(line), os.SEEK_CUR)
                        return
                    yield line.strip()
        """,
            "remove the newline alone",
        ),
        "as text": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if not line.endswith(b"\\n") and not to_the_end:
                        file.seek(-len(line), os.SEEK_CUR)
                        return
                    yield line.decode().rstrip("\\n")
        """,
            "stay bytes",
        ),
        "compares with text": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if not line.endswith("\\n") and not to_the_end:
                        file.seek(-len(line), os.SEEK_CUR)
                        return
                    yield line.rstrip(b"\\n")
        """,
            "bytes here, not text",
        ),
        "cuts the last byte": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if line.endswith(b"\\n") or to_the_end:
                        yield line[:-1]
                    else:
                        file.seek(-len(line), os.SEEK_CUR)
                        return
        """,
            "last byte is missing",
        ),
        "forward": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if not line.endswith(b"\\n") and not to_the_end:
                        file.seek(len(line), os.SEEK_CUR)
                        return
                    yield line.rstrip(b"\\n")
        """,
            "without the minus",
        ),
        "both ends of a line": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if not line.endswith(b"\\n") and not to_the_end:
                        file.seek(-len(line), os.SEEK_CUR)
                        return
                    yield line.rstrip(b"\\r\\n")
        """,
            "remove the newline alone",
        ),
        "splits each line": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if not line.endswith(b"\\n") and not to_the_end:
                        file.seek(-len(line), os.SEEK_CUR)
                        return
                    yield line.splitlines()[0]
        """,
            "breaks at",
        ),
        "splitlines": (
            """
            def whole_lines(file, to_the_end):
                data = file.read()
                done = data if to_the_end else data[:data.rfind(b"\\n") + 1]
                file.seek(len(done) - len(data), os.SEEK_CUR)
                return done.splitlines()
        """,
            "breaks at",
        ),
        "from the beginning again": (
            """
            def whole_lines(file, to_the_end):
                file.seek(0)
                lines = file.read().split(b"\\n")
                return lines if to_the_end else lines[:-1]
        """,
            "give none twice",
        ),
        "ends at an empty line": (
            """
            def whole_lines(file, to_the_end):
                while line := file.readline():
                    if not line.endswith(b"\\n") and not to_the_end:
                        file.seek(-len(line), os.SEEK_CUR)
                        return
                    if line.strip():
                        yield line.rstrip(b"\\n")
        """,
            "An empty line is a line too",
        ),
    },
)

# ---- many-3 ----------------------------------------------------------------------------------------------------------


def check_claim(claim):
    """One call, a second one, and then a rival who comes between any two lines of the first."""
    path = os.path.abspath("web")
    call = f"claim({path!r}, 'first')"
    _expect(claim(path, "first"), True, call, "nobody has had the path before")
    if not os.path.islink(path):
        why = "The first argument of os.symlink() is what the link contains, the second is where it is."
        if os.path.islink("first"):
            why = f"The link is at the other end: {why}"
        elif os.path.isfile(path):
            why = (
                "It is an ordinary file. To create one is a single step too, but a process that reads it before it is "
                "written finds it empty; a link has its contents from the beginning."
            )
        raise Feedback(f"after {call} there is no symbolic link at the path. {why}")
    if (held := os.readlink(path)) != "first":
        raise Feedback(f"after {call} the link contains {held!r}.")
    call = f"claim({path!r}, 'second')"
    try:
        _expect(claim(path, "second"), False, call, "the path belongs to first")
    except FileExistsError as error:
        raise Feedback(
            f"{call} raised FileExistsError: {error}. That is how the kernel says that the path is taken: return False. "
            "(os.path.exists() follows the link, to a file that is not there.)"
        ) from None
    if os.readlink(path) != "first":
        raise Feedback(f"{call} returned False, and yet the link contains {os.readlink(path)!r} afterwards.")
    call = f"claim({path!r}, 'first')"
    _expect(claim(path, "first"), False, f"the second {call}", "the path exists, whatever it contains")
    _expect_an_error(claim)
    for number in range(100):
        if not _interrupted(claim, f"{path}-{number}", number):
            return


def _expect(result, wanted: bool, call: str, why: str) -> None:
    if result is not wanted:
        raise Feedback(f"{call} returned {result!r}. Expected: {wanted}, because {why}.")


def _expect_an_error(claim) -> None:
    """A directory that is missing is another matter than a path that is taken."""
    try:
        result = claim("/nowhere/web", "first")
    except OSError:
        return
    raise Feedback(
        f"claim('/nowhere/web', 'first') returned {result!r}, and there is no directory /nowhere. That the path is "
        "taken is what FileExistsError says; every other error has to reach the caller."
    )


def _interrupted(claim, path: str, number: int) -> bool:
    """Call it, and before its line *number* let another process call it too; return whether there was such a line."""
    file, line, passed = claim.function.__code__.co_filename, "", 0
    rival = _Rival(claim.function, path)

    def trace(frame, event, argument):
        nonlocal line, passed
        if frame.f_code.co_filename != file:
            return None
        if event == "line":
            if passed == number:
                line = linecache.getline(file, frame.f_lineno).strip()
                rival.go()
            passed += 1
        return trace

    mine, error = None, None
    sys.settrace(trace)
    try:
        mine = claim.function(path, "first")
    except OSError as raised:
        error = raised
    finally:
        sys.settrace(None)
    theirs = rival.result()
    came_between = passed > number
    if came_between:
        _judge_race(path, line, mine, error, theirs)
    return came_between


class _Rival:
    """Another process that will call *function* for *path*.  It is forked before the first call: a fork in the middle
    would hold that one's locks."""

    def __init__(self, function, path: str):
        gate, self.gate = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            status = 2
            try:
                os.close(self.gate)
                status = int(bool(os.read(gate, 1)) and function(path, "rival") is True)
            finally:
                os._exit(status)
        os.close(gate)

    def go(self) -> None:
        """Let it call the function, and wait until it has ended, or sleeps: then it may wait for a lock."""
        os.write(self.gate, b"!")
        pidfd, asleep = os.pidfd_open(self.pid), 0
        while asleep < 3 and not select.select([pidfd], [], [], 0.05)[0]:
            asleep = asleep + 1 if host.Process(self.pid).state == "S" else 0
        os.close(pidfd)

    def result(self) -> bool | None:
        """What it got; None if its call raised an error."""
        os.close(self.gate)
        return {0: False, 1: True}.get(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))


def _judge_race(path: str, line: str, mine, error: OSError | None, theirs: bool | None) -> None:
    """Raises :class:`Feedback` unless exactly one got True, and is in the link. *theirs*: None if it raised."""
    story = (
        f"While claim({path!r}, 'first') ran, another process called claim() for the same path, just before your line: "
        f"{line}\n"
    )
    if error or theirs is None:
        who = f"yours raised {type(error).__name__}: {error}" if error else "that one's call raised an error"
        raise Feedback(
            f"{story}Then {who}. Between a check and the next step there is always a gap: make the link without a check, "
            "and catch FileExistsError."
        )
    if mine and theirs:
        raise Feedback(
            f"{story}Both got True: two containers have one name. Between a check and the next step there is always a "
            "gap; the call that makes the link must be the one that checks."
        )
    held = os.readlink(path) if os.path.islink(path) else None
    if held != ("first" if mine else "rival" if theirs else None) or held is None:
        raise Feedback(
            f"{story}It got {theirs}, yours {mine}, and the link contains {held!r}. Expected: one True, and that one's "
            "id in the link."
        )


Exercise(
    "many-3",
    "One of twenty",
    minutes=5,
    difficulty=1,
    reference=names.claim,
    check=check_claim,
    imports="import os",
    starter='''
        def claim(path, id):
            """Make path a symbolic link that contains id, and return True; if path exists, return False."""
            ...
    ''',
    hints=[
        "Don't check first. Try to make the link, and see whether the kernel refuses.",
        "os.symlink(id, path) raises FileExistsError when path exists.",
        "try: os.symlink(…), except FileExistsError: return False. And after it, return True.",
    ],
    right={
        "by suppress": """
            def claim(path, id):
                from contextlib import suppress
                with suppress(FileExistsError):
                    os.symlink(id, path)
                    return True
                return False
        """,
        "by pathlib": """
            def claim(path, id):
                import pathlib
                try:
                    pathlib.Path(path).symlink_to(id)
                except FileExistsError:
                    return False
                else:
                    return True
        """,
        "by a hard link to a link": """
            def claim(path, id):
                own = f"{path}.{id}.{os.getpid()}"
                os.symlink(id, own)
                try:
                    os.link(own, path, follow_symlinks=False)
                    return True
                except FileExistsError:
                    return False
                finally:
                    os.unlink(own)
        """,
        "with a lock": """
            def claim(path, id):
                import fcntl
                with open(os.path.dirname(path) + "/lock", "a") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    if os.path.lexists(path):
                        return False
                    os.symlink(id, path)
                    return True
        """,
        "looks, and tries all the same": """
            def claim(path, id):
                if os.path.lexists(path):
                    return False
                try:
                    os.symlink(id, path)
                except FileExistsError:
                    return False
                return True
        """,
    },
    wrong={
        "looks, then makes": (
            """
            def claim(path, id):
                if os.path.lexists(path):
                    return False
                os.symlink(id, path)
                return True
        """,
            "make the link without a check",
        ),
        "looks, then renames": (
            """
            def claim(path, id):
                if os.path.lexists(path):
                    return False
                os.symlink(id, path + id)
                os.rename(path + id, path)
                return True
        """,
            "Both got True",
        ),
        "looks through the link": (
            """
            def claim(path, id):
                if os.path.exists(path):
                    return False
                os.symlink(id, path)
                return True
        """,
            "follows the link",
        ),
        "swapped": (
            """
            def claim(path, id):
                try:
                    os.symlink(path, id)
                except FileExistsError:
                    return False
                return True
        """,
            "is what the link contains",
        ),
        "a file": (
            """
            def claim(path, id):
                try:
                    with open(path, "x") as file:
                        file.write(id)
                except FileExistsError:
                    return False
                return True
        """,
            "finds it empty",
        ),
        "owns it already": (
            """
            def claim(path, id):
                try:
                    os.symlink(id, path)
                except FileExistsError:
                    return os.readlink(path) == id
                return True
        """,
            "whatever it contains",
        ),
        "steals": (
            """
            def claim(path, id):
                try:
                    os.unlink(path)
                except FileNotFoundError:
                    pass
                os.symlink(id, path)
                return True
        """,
            "belongs to first",
        ),
        "every error": (
            """
            def claim(path, id):
                try:
                    os.symlink(id, path)
                except OSError:
                    return False
                return True
        """,
            "every other error",
        ),
        "nothing for no": (
            """
            def claim(path, id):
                try:
                    os.symlink(id, path)
                    return True
                except FileExistsError:
                    pass
        """,
            "Expected: False",
        ),
    },
)

# ---- the challenge ---------------------------------------------------------------------------------------------------

_PATIENCE = 4.0  # seconds for what an answer should do at once
_PRINTS = 200_000  # bytes: three times what fits into a pipe


def check_watch_over(watch_over):
    """A program that waits for a word, prints much and fails: its caller ends before it, and is hung up."""
    here = os.path.abspath("kept")
    os.mkdir(here)
    os.mkfifo("go")
    words = ["sh", "-c", f"echo begun; read word < {os.getcwd()}/go; head -c {_PRINTS} /dev/zero; echo oh >&2; exit 3"]
    call = "watch_over(['sh', '-c', …], directory)"
    errors = os.path.abspath("errors")
    caller = _in_a_session(lambda: _noting_errors(watch_over, errors)(words, here))
    if not _until(lambda: _has_ended(caller)):
        raise Feedback(
            f"{call} has not returned while the program runs. It must return at once: what waits for the program has to "
            "be a process of its own."
        )
    status = os.waitpid(caller, 0)[1]
    if status:
        raise Feedback(f"the process that called {call} ended with the wait status {status}, before it could return.")
    if not _until(lambda: b"begun" in _read(f"{here}/log")):
        raise Feedback(
            f"after {call} the program has printed 'begun', and directory/log has {_read(f'{here}/log')[:60]!r}. Does it "
            f"run, and is the log its descriptor 1?{_first_error(errors)}"
        )
    try:
        os.killpg(caller, signal.SIGHUP)
        _until(lambda: os.killpg(caller, 0))
    except ProcessLookupError:
        pass  # nobody is left in the caller's process group
    try:
        go = os.open("go", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        raise Feedback(
            f"after {call} the caller ended, and its terminal was closed: its session got SIGHUP, and the program has "
            "ended with it. What goes on has to be in a session of its own."
        ) from None
    os.write(go, b"now\n")
    if not _until(lambda: _read(f"{here}/status").strip() != b""):
        printed = len(_read(f"{here}/log"))
        raise Feedback(
            f"the program ended after {printed} bytes of {_PRINTS + 9} were in the log, and directory/status is "
            "empty or missing. A process of yours has to wait for the program, when the caller has ended too, and to "
            f"write the status down.{_first_error(errors)}"
        )
    _expect_status(here, 3)
    log = _read(f"{here}/log")
    if len(log) != _PRINTS + 9 or not log.endswith(b"oh\n"):
        raise Feedback(
            f"the program printed {_PRINTS + 9} bytes, 'oh' last, on descriptor 2; directory/log has {len(log)} and "
            f"ends with {log[-3:]!r}. Is the log the program's descriptor 2 too?"
        )
    again = os.path.abspath("killed")
    os.mkdir(again)
    pid = _in_a_session(lambda: watch_over(["sh", "-c", "kill -9 $$"], again))
    _until(lambda: _read(f"{again}/status").strip() != b"")
    os.waitpid(pid, 0)
    _expect_status(again, 137)


def _expect_status(directory: str, wanted: int) -> None:
    found = _read(f"{directory}/status").strip().decode(errors="replace")
    if found != str(wanted):
        how = "exit 3" if wanted == 3 else "kill -9 $$, so with signal 9"
        raise Feedback(
            f"a program that ended by {how}: directory/status says {found!r}, and should say '{wanted}'. "
            "exit_status() makes this number of a wait status."
        )


def _in_a_session(function) -> int:
    """Call *function* in a fork with a session of its own, which ends then; its pid.

    It does not ignore SIGHUP, even where the whole notebook does, as under nohup.
    """
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        function()
        status = 0
    finally:
        os._exit(status)


def _noting_errors(function, path: str):
    """*function*, with each error that a line of the learner's raises noted in the file *path*, in its forks too: there
    the standard error is /dev/null, and a ``finally`` with ``os._exit()`` shows nothing."""
    file = function.function.__code__.co_filename

    def trace(frame, event, argument):
        if frame.f_code.co_filename != file:
            return None
        if event == "exception":
            line = linecache.getline(file, frame.f_lineno).strip()
            with open(path, "a") as note:
                note.write(f"{argument[0].__name__}: {argument[1]}\n  in your line: {line}\0")
        return trace

    def call(*arguments):
        sys.settrace(trace)
        try:
            return function(*arguments)
        finally:
            sys.settrace(None)

    return call


def _first_error(path: str) -> str:
    """The first error in the file of :func:`_noting_errors`, as a sentence to add; empty if there is none."""
    first = _read(path).decode(errors="replace").partition("\0")[0]
    return f"\nOne of your processes raised {first}" if first else ""


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _until(condition) -> bool:
    """Wait until *condition* holds; whether it did in time."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


Challenge(
    "watch-over",
    "Your own monitor",
    name="watch_over",
    minutes=16,
    difficulty=3,
    check=check_watch_over,
    seconds=20.0,
    imports=_IMPORTS,
    solution='''
        def watch_over(words, directory):
            """Run words in the background; its output goes to directory/log, its exit status to directory/status."""
            if os.fork():
                return
            try:
                leave([])
                log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                pid = os.fork()
                if not pid:
                    os.dup2(log, 1)
                    os.dup2(log, 2)
                    os.execvp(words[0], words)
                status = os.waitpid(pid, 0)[1]
                with open(f"{directory}/status", "w") as file:
                    file.write(str(exit_status(status)))
            finally:
                os._exit(0)
    ''',
    hints=[
        "Two forks: the caller forks the monitor and returns; the monitor forks the program and waits for it.",
        "The monitor calls leave([]), opens the log, and forks. The program's process puts the log in the place of 1 and "
        "2 with os.dup2(), and then os.execvp(words[0], words).",
        "Afterwards the monitor writes str(exit_status(os.waitpid(pid, 0)[1])) into directory/status, and ends with "
        "os._exit(0), in a finally.",
    ],
    right={
        "with subprocess": """
            def watch_over(words, directory):
                import subprocess
                if os.fork() == 0:
                    try:
                        os.setsid()
                        with open(f"{directory}/log", "wb") as log:
                            done = subprocess.run(words, stdout=log, stderr=log)
                        code = done.returncode
                        with open(f"{directory}/status", "w") as file:
                            print(code if code >= 0 else 128 - code, file=file)
                    finally:
                        os._exit(0)
        """,
        "a shell as the monitor": """
            def watch_over(words, directory):
                import subprocess
                script = '"$@" > "$0/log" 2>&1; echo $? > "$0/status"'
                subprocess.Popen(["setsid", "sh", "-c", script, directory, *words])
        """,
        "copies a pipe": """
            def watch_over(words, directory):
                if os.fork():
                    return
                try:
                    leave([])
                    reader, writer = os.pipe()
                    pid = os.fork()
                    if not pid:
                        os.dup2(writer, 1)
                        os.dup2(writer, 2)
                        os.execvp(words[0], words)
                    os.close(writer)
                    with open(f"{directory}/log", "wb", buffering=0) as log:
                        while data := os.read(reader, 65536):
                            log.write(data)
                    with open(f"{directory}/status", "w") as file:
                        file.write(str(exit_status(os.waitpid(pid, 0)[1])))
                finally:
                    os._exit(0)
        """,
    },
    wrong={
        "waits itself": (
            """
            def watch_over(words, directory):
                import subprocess
                with open(f"{directory}/log", "wb") as log:
                    done = subprocess.run(words, stdout=log, stderr=log)
                with open(f"{directory}/status", "w") as file:
                    file.write(str(done.returncode))
        """,
            "has not returned",
        ),
        "nobody waits": (
            """
            def watch_over(words, directory):
                import subprocess
                log = open(f"{directory}/log", "wb")
                subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        """,
            "has to wait for the program",
        ),
        "a thread waits": (
            """
            def watch_over(words, directory):
                import subprocess, threading
                def work():
                    with open(f"{directory}/log", "wb") as log:
                        done = subprocess.run(words, stdout=log, stderr=log, start_new_session=True)
                    with open(f"{directory}/status", "w") as file:
                        file.write(str(done.returncode))
                threading.Thread(target=work, daemon=True).start()
                import time; time.sleep(0.3)
        """,
            "has to wait for the program",
        ),
        "stays in the session": (
            """
            def watch_over(words, directory):
                import subprocess
                if os.fork() == 0:
                    try:
                        with open(f"{directory}/log", "wb") as log:
                            done = subprocess.run(words, stdout=log, stderr=log)
                        with open(f"{directory}/status", "w") as file:
                            file.write(str(done.returncode))
                    finally:
                        os._exit(0)
        """,
            "its terminal was closed",
        ),
        "the wait status as it is": (
            """
            def watch_over(words, directory):
                if os.fork():
                    return
                try:
                    leave([])
                    log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT)
                    pid = os.fork()
                    if not pid:
                        os.dup2(log, 1)
                        os.dup2(log, 2)
                        os.execvp(words[0], words)
                    with open(f"{directory}/status", "w") as file:
                        file.write(str(os.waitpid(pid, 0)[1]))
                finally:
                    os._exit(0)
        """,
            "exit_status() makes this number",
        ),
        "an error in the monitor": (
            """
            def watch_over(words, directory):
                if os.fork():
                    return
                try:
                    leave([])
                    log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT)
                    pid = os.fork()
                    if not pid:
                        os.dup2(log, 1)
                        os.dup2(log, 2)
                        os.execvp(words[0], words)
                    status = os.waitpid(pid, 0)[1]
                    with open(f"{directory}/status", "w") as file:
                        file.write(exit_status(status))
                finally:
                    os._exit(0)
        """,
            "raised TypeError",
        ),
        "an error in the program's process": (
            """
            def watch_over(words, directory):
                if os.fork():
                    return
                leave([])
                log = open(f"{directory}/log", "wb")
                pid = os.fork()
                if not pid:
                    os.dup2(log, 1)
                    os.execvp(words[0], words)
                os.waitpid(pid, 0)
                os._exit(0)
        """,
            "raised TypeError",
        ),
        "a full pipe": (
            """
            def watch_over(words, directory):
                if os.fork():
                    return
                try:
                    leave([])
                    reader, writer = os.pipe()
                    pid = os.fork()
                    if not pid:
                        os.dup2(writer, 1)
                        os.dup2(writer, 2)
                        os.execvp(words[0], words)
                    status = os.waitpid(pid, 0)[1]
                    with open(f"{directory}/log", "wb") as log:
                        log.write(os.read(reader, 1000000))
                    with open(f"{directory}/status", "w") as file:
                        file.write(str(exit_status(status)))
                finally:
                    os._exit(0)
        """,
            "directory/log has b''",
        ),
        "the errors are lost": (
            """
            def watch_over(words, directory):
                if os.fork():
                    return
                try:
                    leave([])
                    log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT)
                    pid = os.fork()
                    if not pid:
                        os.dup2(log, 1)
                        os.execvp(words[0], words)
                    status = os.waitpid(pid, 0)[1]
                    with open(f"{directory}/status", "w") as file:
                        file.write(str(exit_status(status)))
                finally:
                    os._exit(0)
        """,
            "on descriptor 2",
        ),
    },
)
