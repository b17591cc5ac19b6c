"""The command line: ``minict run -it tiny sh``.

What can be typed, and what it does, is in the modules of :mod:`minict.engine.cli.commands`, one for each concern.
Only the one that is needed is loaded, and it imports what its command needs inside the function: ``minict run`` starts
four times as fast that way.
"""

from __future__ import annotations

import os
import sys

from minict.runtime.errors import ContainerError

from . import caller
from .errors import status_of, tell
from .table import find, groups, load

HELP = ("-h", "--help", "help")


def main(words: list[str] | None = None) -> None:
    """The command ``minict``.  Ends the process with an exit status as Docker's: see :func:`status_of`."""
    words = list(sys.argv[1:] if words is None else words)
    open_streams()
    debug = bool(words) and words[0] in ("--debug", "-D")
    try:
        try:
            status = dispatch(words[debug:])
        finally:  # what was found before an error is shown before it
            if sys.stdout:  # there is none when the caller has closed it
                sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # whoever read our output has left
        status = 141
    except SystemExit:
        raise
    except BaseException as error:
        if debug:
            raise
        tell(error)
        status = status_of(error, words[debug:])
    os._exit(status)  # nothing is left to be tidied up, and the interpreter's own end takes 2 ms


def open_streams() -> None:
    """Put /dev/null into the place of each standard stream that the caller has closed: or else the next file that we
    open would get its number, and with it what the container's command writes."""
    while (fd := os.open("/dev/null", os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def dispatch(words: list[str]) -> int:
    """Find the command, and do it; its exit status."""
    if not words or words[0] in HELP:
        return helped(words[1:])
    if words[0] in groups() and words[1:2] and words[1] in HELP:
        return helped([words[0], *words[2:]])
    name, rest = find(words)
    command = load(name)
    fields, arguments = command.parse(rest)
    if "help" in fields:
        return helped([*name.split(), *["all"] * fields["help"]])
    if command.needs_root and os.geteuid() != 0:
        raise ContainerError("to make namespaces, mounts and cgroups takes root: run it with sudo")
    if command.needs_root:
        caller.disregard()
    return command.function(fields, arguments) or 0


def helped(words: list[str]) -> int:
    """Print the help of the command or group that *words* name, or the overview; ``all`` after them unfolds it."""
    from . import help

    everything = words[-1:] == ["all"]
    words = words[: len(words) - everything]
    if not words:
        page = help.overview(everything)
    elif len(words) == 1 and words[0] in groups():
        page = help.group(words[0])
    else:
        page = help.describe(load(find(words)[0]), everything)
    print(page)
    return 0
