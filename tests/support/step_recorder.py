"""A ``minict`` that reports its steps, or stops at one of them to be killed there: see kill_at_step.py.

A step is anything that changes something outside of the process, or waits for it. The steps are found, not listed: in
the command, in a monitor and in a worker of a pull each call of a function in CHANGES, each call into the modules
MODULES, and each file opened for writing; in a container's child each step of its trace. So new steps are found too.

A step has an id: which process makes it, at which place, and how often it has reached that place. A place is a line of
minict's source that makes a step, with the two lines that led to it.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import zlib
from collections import Counter

import minict
from minict.engine.cli import main
from minict.kernel import process
from minict.runtime import birth, trace

# Functions of the standard library that change the world, or wait for it.
CHANGES = {
    *("mkdir", "rmdir", "unlink", "remove", "symlink", "link", "rename", "replace", "mkfifo", "mknod"),
    *("write", "pwrite", "writev", "sendfile", "copy_file_range", "truncate", "ftruncate"),
    *("chmod", "fchmod", "chown", "lchown", "fchown", "utime", "setxattr", "removexattr", "flock", "ioctl"),
    *("fork", "fork_exec", "posix_spawn", "kill", "killpg", "waitpid", "pipe2"),
    *("bind", "listen", "connect", "sendto", "sendmsg", "send", "sendall"),
}
# Modules of which each function is a step, for they call what the profiler does not see; and those that only look.
MODULES = (
    "/minict/kernel/",
    *(
        "/minict/engine/networks/bridge.py",
        "/minict/engine/networks/nftables.py",
        "/minict/engine/networks/firewall.py",
        "/minict/engine/networks/portmapper.py",
    ),
)
ONLY_LOOK = {
    *("failure", "syscall", "openat2", "prctl", "host_end", "mac", "ledger", "find", "gateway", "capget", "is_default"),
    *("attribute", "attributes", "messages", "text", "_link", "link", "links", "addresses", "routes", "_answers"),
    *(
        "__init__",
        "__enter__",
        "__exit__",
        "close",
        "bridge_chains",
        "port_chains",
        "masquerade",
        "transaction",
        "_handles",
        "_library",
        "_bridges",
    ),
    *(
        "key",
        "parse",
        "parse_exposed",
        "mappings",
        "_range",
        "published",
        "elements",
        "_connections",
        "wait_for_carrier",
    ),
}
# The functions in which forked processes begin, and the names of these processes.
BEGINNINGS = {("daemonize.py", "_go_away"): "monitor", ("workerpool.py", "_work"): "worker"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
SOURCE = os.path.dirname(minict.__file__) + "/"


class Steps:
    """The steps of the process *who*: all are written to the descriptor *said*, or only the *wanted* one.

    The process that reaches the wanted step then waits for the end of file of *go*.
    """

    def __init__(self, said: int, go: int, who: str, wanted: str | None):
        self.said, self.go, self.who, self.wanted = said, go, who, wanted
        self.pipes = sorted((said, go))
        self.am, self.pid = "parent", os.getpid()
        self.passed = Counter()
        self.begun = False  # nothing has been taken before the first directory, lock or pipe

    def step(self, what: str, frame) -> None:
        """Reach a step of this process; *frame* is the place."""
        if os.getpid() != self.pid or self.am != self.who or what in ONLY_LOOK:
            return
        lines, what = self.lines(frame), re.sub(r"\b[0-9a-f]{12,64}\b", "ID", what)
        place = f"{zlib.crc32(' '.join([what, *lines[:3]]).encode()):08x}"
        id = f"{self.who}:{place}:{self.passed[place]}"
        self.passed[place] += 1
        if self.wanted in (None, id):
            os.write(self.said, f"{id}\t{what}: {' < '.join(lines)}\t{os.getpid()}\n".encode())
        if self.wanted == id:
            os.read(self.go, 1)

    def lines(self, frame) -> list[str]:
        """The lines of minict's source that are at work, the innermost first."""
        found = []
        while frame:
            if frame.f_code.co_filename.startswith(SOURCE):
                found.append(f"{frame.f_code.co_filename.removeprefix(SOURCE)}:{frame.f_lineno}")
            frame = frame.f_back
        return found

    def become(self, who: str) -> None:
        """This process, which was just forked, is *who*. If its steps do not count, it closes the pipes."""
        if self.pid != os.getpid():
            self.am, self.pid, self.passed = who, os.getpid(), Counter()
            if who != self.who:
                for fd in self.pipes:
                    os.close(fd)
                self.pipes = []

    def profile(self, frame, event: str, argument) -> None:
        """Called by Python at each call.  Source: sys.setprofile."""
        code = frame.f_code
        if event == "c_call" and argument.__name__ in CHANGES and not isinstance(argument.__self__, (str, bytes)):
            what = f"{argument.__name__} in {code.co_name}"
            self.begun = self.begun or argument.__name__ in ("mkdir", "flock", "pipe2")
        elif event == "call" and any(each in code.co_filename for each in MODULES) and code.co_name[0] != "<":
            what = code.co_name
        elif event == "call" and (who := BEGINNINGS.get((os.path.basename(code.co_filename), code.co_name))):
            self.become(who)
            what = "begin"
        else:
            return
        if self.begun and self.am != "child":
            self.step(what, frame)

    def audit(self, event: str, arguments: tuple) -> None:
        """Called by Python, too: :func:`open` is the only function of which the arguments say whether it changes
        something."""
        if (
            event == "open"
            and self.am != "child"
            and isinstance(arguments[0], str)
            and arguments[2] & WRITING
            and arguments[0] != "/dev/null"
        ):
            self.begun = True
            frame = sys._getframe(1)
            self.step(f"open in {frame.f_code.co_name}", frame)


def live(said: int, go: int, who: str, wanted: str | None, words: list[str]) -> None:
    """Run ``minict WORDS…`` and report its steps: see :class:`Steps`. Must be called in a fork; does not return."""
    steps = Steps(said, go, who, wanted)
    close_range = process.close_range

    class Stepping(trace.Trace):
        def __call__(self, step):
            if self.who == "child" and step:
                steps.become("child")
                steps.step(step, sys._getframe(1))
            super().__call__(step)

    def close_others(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
        """A function that closes all other descriptors must leave our two pipes open, except before the command's
        execve."""
        if flags:
            return close_range(first, last, flags)
        for begin, end in zip((first, *(fd + 1 for fd in steps.pipes)), (*(fd - 1 for fd in steps.pipes), last)):
            if max(begin, first) <= min(end, last):
                close_range(max(begin, first), min(end, last))
        return None

    birth.Trace, process.close_range = Stepping, close_others
    sys.addaudithook(steps.audit)
    sys.setprofile(steps.profile)
    threading.setprofile(steps.profile)
    main.main(words)
