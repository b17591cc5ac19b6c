"""``minict`` that stops at one point of a container's life: for test_faults.py, which kills it there.

``python dying.py SAID GO POINT run …``: SAID and GO are descriptors of pipes.  With the POINT ``list`` the command is
done as usual, and all points are written into SAID.  With ``parent:17`` or ``child:4`` it writes the point when it is
there, and waits for the end of file of GO.

The points are found, not listed: in the parent each call that changes something outside of the process, in the child
each step of its trace.  What is added to the birth is found too.
"""

from __future__ import annotations

import os
import sys
import threading

from minict.engine import cli
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
    *("key", "parse", "parse_exposed", "wished", "_range", "published", "_conversations"),
}

said, go, wanted = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
parent = os.getpid()
passed = {"parent": 0, "child": 0}
begun = False  # nothing has been taken before the first directory is made


def point(who: str, name: str) -> None:
    id = f"{who}:{passed[who]}"
    passed[who] += 1
    if wanted in ("list", id):
        os.write(said, f"{id}\t{name}\n".encode())
    if wanted == id:
        os.read(go, 1)


def profile(frame, event, argument) -> None:
    global begun
    code = frame.f_code
    if event == "c_call" and argument.__name__ in CHANGES and not isinstance(argument.__self__, (str, bytes)):
        name = f"{argument.__name__} in {code.co_name}"
    elif event == "call" and any(each in code.co_filename for each in MODULES) and code.co_name[0] != "<":
        name = code.co_name
    else:
        return
    begun = begun or name.startswith("mkdir")
    if begun and name not in ONLY_LOOK and os.getpid() == parent:
        point("parent", name)


class Stepping(trace.Trace):
    def __call__(self, step):
        if self.who == "child" and step:
            point("child", step)
        super().__call__(step)


trace.Trace = Stepping
from minict.runtime import birth  # noqa: E402, it takes the name Trace with it

construct = birth.Birth.__init__


def with_our_pipes(self, *arguments, **options) -> None:
    """The child closes all but the descriptors of its birth."""
    construct(self, *arguments, **options)
    self.descriptors.update(said=said, go=go)


birth.Birth.__init__ = with_our_pipes
sys.setprofile(profile)
threading.setprofile(profile)
cli.main(sys.argv[4:])
