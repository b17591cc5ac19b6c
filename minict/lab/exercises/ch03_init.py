"""Chapter 03: what process 1 owes its container."""
from __future__ import annotations

import os

from minict.kernel.process import PR_SET_CHILD_SUBREAPER, prctl
from minict.runtime import init

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
        os.read(gate, 1)
        os.kill(os.getpid(), 15)
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # until the orphan has ended, which leaves it a zombie
    os.write(opened, b"!")
    status = reap(command)
    if status is None:
        raise Feedback(f"reap({command}) returned None. Return the wait status of process {command}: the second of "
                       "the two values that os.wait() returns.")
    if isinstance(status, tuple):
        raise Feedback(f"reap() returned {status!r}, all that os.wait() returns. Only the status was asked for.")
    if status == 0:
        raise Feedback("reap() returned the status of another child: 0. An orphan had ended before. os.wait() returns whichever "
                       "child has ended: go on until it is the one that was asked for.")
    if status != 15:
        raise Feedback(f"process {command} was killed by signal 15, so its wait status is 15, and reap() returned {status}: "
                       "return the status as it is, without decoding it.")
    try:
        left = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return
    raise Feedback(f"process {left[0]}, an orphan, is still a zombie: reap() waited for process {command} alone. os.wait() takes "
                   "any child, also one that is only adopted.")


Exercise(
    "init-1", "Wait for everybody", minutes=10, difficulty=2, reference=init.reap, check=check_reap,
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
        "waits for one": ("""
            def reap(pid):
                return os.waitpid(pid, 0)[1]
        """, "still a zombie"),
        "takes the first": ("""
            def reap(pid):
                child, status = os.wait()
                return status
        """, "the status of another child"),
        "gives all": ("""
            def reap(pid):
                while True:
                    child, status = os.wait()
                    if child == pid:
                        return child, status
        """, "Only the status"),
        "decodes": ("""
            def reap(pid):
                while True:
                    child, status = os.wait()
                    if child == pid:
                        return os.waitstatus_to_exitcode(status)
        """, "without decoding"),
        "forgets to return": ("""
            def reap(pid):
                while True:
                    child, status = os.wait()
                    if child == pid:
                        break
        """, "returned None"),
    })
