"""Run in a forked child what a process cannot undo: entering namespaces, dropping capabilities, installing filters."""

from __future__ import annotations

import marshal
import os


def forked(function, *arguments):
    """Call *function* in a child and return what it returned, a value that :mod:`marshal` knows.

    An exception of the child is an AssertionError here; a child that is killed is one too.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = True, function(*arguments)
        except BaseException as error:
            answer = False, f"{type(error).__name__}: {error}"
        try:
            os.write(writer, marshal.dumps(answer))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"the child was ended by {os.waitstatus_to_exitcode(status)}"
    returned, value = marshal.loads(text)
    assert returned, value
    return value


def exit_code(function, *arguments) -> int:
    """Call *function* in a child and return the child's exit status; -n when signal n ended it, 99 when it raised."""
    pid = os.fork()
    if pid == 0:
        try:
            function(*arguments)
            os._exit(0)
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def errno_of(function, *arguments) -> int:
    """The errno with which *function* fails, 0 when it does not."""
    try:
        function(*arguments)
    except OSError as error:
        return error.errno
    return 0
