"""``minict`` that stops at one point of what it does: for test_faults.py and test_faults_commands.py, which kill it there.

``python dying.py SAID GO POINT run …``: SAID and GO are descriptors of pipes.  With the POINT ``list`` the command is
done as usual, and all points are written into SAID.  With ``parent:17``, ``monitor:9`` or ``child:4`` it writes the point, its
name and its pid when it is there, and waits for the end of file of GO.

The points are found, not listed: in the command and in a monitor each call that changes something outside of the process, in a
container's child each step of its trace.  What is added to them is found too.
"""

from __future__ import annotations

import os
import sys
import threading

from minict.engine import cli
from minict.kernel import process
from minict.runtime import trace

# Functions of the standard library that change the world, or wait for it.
CHANGES = {
    "mkdir",
    "rmdir",
    "unlink",
    "symlink",
    "rename",
    "replace",
    "write",
    "pwrite",
    "mkfifo",
    "fork",
    "fork_exec",
    "pipe2",
    "posix_spawn",
    "sendto",
    "sendmsg",
    "send",
    "truncate",
    "flock",
    "kill",
    "waitpid",
    "bind",
    "link",
}
# Modules of which each function is a point, for they call what the profiler does not see; and those that only look.
MODULES = (
    "/minict/kernel/",
    *("/minict/engine/network.py", "/minict/engine/nft.py", "/minict/engine/firewall.py", "/minict/engine/ports.py"),
)
ONLY_LOOK = {
    *("failure", "syscall", "openat2", "prctl", "host_end", "mac", "ledger", "find", "gateway", "capget", "is_default"),
    *("attribute", "attributes", "messages", "text", "_link", "link", "links", "addresses", "routes", "_answers"),
    *("__init__", "__enter__", "__exit__", "close", "_chains", "_transaction", "_handles", "_library", "_bridges"),
    *("key", "parse", "parse_exposed", "wished", "_range", "published", "_conversations", "wait_for_carrier"),
}

said, go, wanted = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
pids = {"parent": os.getpid()}
passed = {"parent": 0, "monitor": 0, "child": 0}
begun = False  # nothing has been taken before the first directory, lock or pipe


def point(who: str, name: str) -> None:
    id = f"{who}:{passed[who]}"
    passed[who] += 1
    if wanted in ("list", id):
        os.write(said, f"{id}\t{name}\t{os.getpid()}\n".encode())
    if wanted == id:
        os.read(go, 1)


def profile(frame, event, argument) -> None:
    global begun
    code = frame.f_code
    if event == "c_call" and argument.__name__ in CHANGES and not isinstance(argument.__self__, (str, bytes)):
        name = f"{argument.__name__} in {code.co_name}"
    elif event == "call" and any(each in code.co_filename for each in MODULES) and code.co_name[0] != "<":
        name = code.co_name
    elif event == "call" and code.co_name == "_go_away":
        pids["monitor"], name = os.getpid(), "begin"
    else:
        return
    begun = begun or name.startswith(("mkdir", "flock", "pipe2"))
    who = next((who for who, pid in pids.items() if pid == os.getpid()), None)
    if begun and who and name not in ONLY_LOOK:
        point(who, name)


class Stepping(trace.Trace):
    def __call__(self, step):
        if self.who == "child" and step:
            point("child", step)
        super().__call__(step)


def close_others(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """Whoever closes all that is not needed leaves our two pipes open, unless it is for the command's execve."""
    if flags:
        return close_range(first, last, flags)
    for begin, end in zip((first, *(fd + 1 for fd in sorted((said, go)))), (*(fd - 1 for fd in sorted((said, go))), last)):
        if max(begin, first) <= min(end, last):
            close_range(max(begin, first), min(end, last))


trace.Trace = Stepping
close_range, process.close_range = process.close_range, close_others
from minict.runtime import birth  # noqa: E402, F401, it takes the name Trace with it

sys.setprofile(profile)
threading.setprofile(profile)
cli.main(sys.argv[4:])
