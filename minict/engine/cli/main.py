"""The entry point of ``minict``.

The commands are in :mod:`minict.engine.cli.commands`, a module for each group. Only the module of the command at hand
is loaded, and it imports what the command needs inside its function: ``minict run`` starts four times as fast that way.
"""

from __future__ import annotations

import gc
import os
import sys

from .commands import INDEX, STARTING, find, groups, load

HELP = ("-h", "--help", "help")


def main(words: list[str] | None = None) -> None:
    """Run the command line and end the process, with Docker's exit statuses: see :func:`.errors.status_of`."""
    gc.set_threshold(50_000)  # not 700: a collection while modules load takes 1 ms and finds nothing
    words = list(sys.argv[1:] if words is None else words)
    open_streams()
    debug = bool(words) and words[0] in ("--debug", "-D")
    try:
        try:
            status = dispatch(words[debug:])
        finally:  # output that came before an error is printed before it
            if sys.stdout:  # None when the caller has closed it
                sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # the reader of our output has ended
        status = 141
    except SystemExit:
        raise
    except BaseException as error:
        if debug:
            raise
        from .errors import status_of, tell

        tell(error)
        status = status_of(error, words[debug:])
    os._exit(status)  # nothing is left to clean up, and the interpreter's own exit takes 2 ms


def open_streams() -> None:
    """Open /dev/null in place of each standard stream that the caller has closed.

    Otherwise the next file that minict opens would get the stream's number, and with it the output of the container.
    """
    while (fd := os.open("/dev/null", os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def dispatch(words: list[str]) -> int:
    """Find the command and run it; return its exit status."""
    if not words or words[0] in HELP:
        return helped(words[1:])
    if words[0] in groups() and words[1:2] and words[1] in HELP:
        return helped([words[0], *words[2:]])
    name, rest = find(words)
    command = load(name)
    fields, arguments = command.parse(rest)
    if "help" in fields:
        return helped([*name.split(), *["all"] * fields["help"]])
    if command.needs_root:
        from minict.runtime import place

        place.check_proc()
        if os.geteuid() != 0:
            from minict.engine.rootless.enter import enter

            enter(to_start=name in STARTING)
    if command.needs_root and INDEX[name] != "inspect":  # those commands only read
        from . import caller

        caller.disregard()
    return command.function(fields, arguments) or 0


def helped(words: list[str]) -> int:
    """Print the help of the command or group that *words* name, or the overview; a final ``all`` shows everything."""
    from . import help

    everything = words[-1:] == ["all"]
    words = words[: len(words) - everything]
    if not words:
        page = help.overview(everything)
    elif len(words) == 1 and words[0] in groups():
        page = help.group(words[0])
    else:
        page = help.command_page(load(find(words)[0]), everything)
    print(page)
    return 0
