"""The command line: ``minict run -it tiny sh``.

What can be typed, and what it does, is in the modules of :mod:`minict.engine.cli.commands`, one for each concern.
Only the one that is needed is loaded, and it imports what its command needs inside the function: ``minict run`` starts
four times as fast that way.
"""

from __future__ import annotations

import os
import sys

from minict.runtime.errors import OUR_ERROR, ContainerError

# The modules, in the order of the overview, with the commands of each.
MODULES = {
    "run": ("run", "create"),
    "containers": (
        "start",
        "stop",
        "restart",
        "kill",
        "rm",
        "pause",
        "unpause",
        "wait",
        "rename",
        "update",
        "attach",
        "exec",
    ),
    "images": (
        "images",
        "history",
        "tag",
        "rmi",
        "image rm",
        "image prune",
        "image from-host",
        "import",
        "save",
        "load",
    ),
    "build": ("build", "builder prune"),
    "registry": ("pull", "push", "login", "logout"),
    "networks": (
        "network ls",
        "network create",
        "network inspect",
        "network connect",
        "network disconnect",
        "network rm",
        "network prune",
    ),
    "files": ("cp", "diff", "commit", "export"),
    "volumes": ("volume create", "volume ls", "volume inspect", "volume rm", "volume prune"),
    "inspect": ("ps", "logs", "inspect", "container inspect", "image inspect", "stats", "top", "port"),
    "system": ("info", "system df", "system prune", "container prune", "doctor", "lab", "prune", "version"),
    "completion": ("completion", "__complete"),
}
INDEX = {name: module for module, names in MODULES.items() for name in names}

# What has a longer name as well: `container start` is start.
LONGER = {
    "container": (*MODULES["run"], *MODULES["containers"], *MODULES["files"], "ps", "logs", "stats", "top", "port"),
    "image": ("images", "history", "tag", "import", "save", "load", "build", "pull", "push"),
    "system": ("info",),
}

# Second names.
ALIASES = {
    "container ls": "ps",
    "container list": "ps",
    "image ls": "images",
    "image list": "images",
    "network list": "network ls",
    "network remove": "network rm",
    "-v": "version",
    "--version": "version",
}

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


def find(words: list[str]) -> tuple[str, list[str]]:
    """The command that *words* begin with, and the words after it.  Raises :class:`ContainerError` when there is
    none."""
    pair, single = (ALIASES.get(name, name) for name in (" ".join(words[:2]), words[0]))
    if pair in INDEX and len(words) > 1:
        return pair, words[2:]
    if single in INDEX:
        return single, words[1:]
    if words[1:2] and words[1] in LONGER.get(words[0], ()):
        return words[1], words[2:]
    if words[0] in groups():
        known = ", ".join(
            [*LONGER.get(words[0], ()), *(name.partition(" ")[2] for name in INDEX if name.startswith(f"{words[0]} "))]
        )
        raise ContainerError(f"usage: minict {words[0]} COMMAND: {known}; 'minict {words[0]} --help' says more")
    raise ContainerError(f"there is no command {words[0]!r}: 'minict --help' lists them")


def groups() -> set[str]:
    """The first words of commands of two words."""
    return {name.split()[0] for name in INDEX if " " in name}


def load(name: str):
    """The :class:`minict.engine.cli.parser.Command` with this *name*."""
    module = INDEX[name]
    return __import__(f"minict.engine.cli.commands.{module}", fromlist=["COMMANDS"]).COMMANDS[name]


def tell(error: BaseException) -> None:
    """Say on the error output what went wrong."""
    from minict.engine.util.progress import printable

    os.write(2, f"minict: {printable(sentence(error))}\n".encode(errors="replace"))


def status_of(error: BaseException, words: list[str]) -> int:
    """The exit status for an *error* of our own: 125 for ``run``, where 1 would be the container's, and else 1."""
    status = getattr(error, "status", OUR_ERROR)
    return 1 if status == OUR_ERROR and "run" not in (words[:1], words[1:2])[words[:1] == ["container"]] else status


def sentence(error: BaseException) -> str:
    """What a person is told: our own errors are sentences already, the system's become one."""
    if isinstance(error, ContainerError):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        path = f"{error.filename}: " if error.filename else ""
        remedy = {
            28: "; make room, or set MINICT_ROOT and MINICT_RUN to another disk",
            30: "; set MINICT_ROOT and MINICT_RUN to a place that can be written to",
        }.get(error.errno, "")
        return f"{path}{error.strerror}{remedy}"
    return f"{type(error).__name__}: {error} (this is a mistake of minict's: 'minict --debug …' shows where)"
