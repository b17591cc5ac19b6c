"""The command line: ``minict run -it tiny sh``.

Each command is an entry of COMMANDS, which says what can be typed, and a function ``_NAME``, which does it.
What a command needs is imported inside its function: ``minict run`` starts four times as fast that way.
"""
from __future__ import annotations

import os
import sys

from minict.runtime.errors import OUR_ERROR, ContainerError

from .options import Command, Option

HELP = Option("-h --help", "show this help")

COMMANDS = {command.name: command for command in (
    Command("run", "[OPTION…] IMAGE [COMMAND [ARGUMENT…]]",
            "Run a command in a new container of an image.  The container is removed when its command ends.",
            "minict run -it --memory 128m tiny sh", [
                Option("-i --interactive", "the command reads our standard input"),
                Option("-t --tty", "the container gets a terminal, joined to ours"),
                Option("--name", "give the container a name", "NAME"),
                Option("-h --hostname", "its host name (else its id)", "NAME"),
                Option("-m --memory", "limit of memory, such as 128m", "BYTES"),
                Option("--cpus", "limit of processors, such as 0.5", "NUMBER"),
                Option("--pids-limit", "limit of processes; 0 for none", "NUMBER"),
                Option("-v --volume", "a directory of the host inside: SRC:DST[:ro]", "SRC:DST", many=True),
                Option("-e --env", "a variable: NAME=VALUE, or NAME for our own", "NAME=VALUE", many=True),
                Option("-w --workdir", "where the command begins", "DIRECTORY"),
                Option("-u --user", "who it runs as: UID or NAME, and :GID", "USER[:GROUP]"),
                Option("--entrypoint", "run this instead of the image's entry point", "COMMAND"),
                Option("--network", "bridge (the default), none or host", "MODE"),
                Option("--uts", "whose host name: private (the default), host or container:NAME", "MODE"),
                Option("--read-only", "the root file system can't be written to"),
                Option("--cap-add", "give it a capability, or ALL", "NAME", many=True),
                Option("--cap-drop", "take a capability from it, or ALL", "NAME", many=True),
                Option("--init", "a tiny init as process 1, which reaps and hands on signals"),
                Option("--rm", "remove it at its end (always so)"),
                Option("--trace", "show the steps of its birth, with their times"),
                Option("--help", "show this help"),
            ], (1, None)),
    Command("images", "", "List the images.", "minict images", [HELP]),
    Command("image", "from-host NAME COMMAND… | ls | rm NAME…",
            "Make an image of the host's own programs, with exactly the libraries that they need; list images; remove them.",
            "minict image from-host small bash ls cat", [HELP], (1, None)),
    Command("import", "FILE.tar NAME", "Make an image of the archive of a root file system (- for standard input).",
            "minict import debian.tar.gz debian", [HELP], (2, 2)),
    Command("doctor", "", "Say what this machine can do for containers, and what to do about what it can't.",
            "minict doctor", [HELP]),
    Command("prune", "", "Give back to the host what containers hold whose makers are gone.", "minict prune", [HELP]),
    Command("version", "", "Say which version this is.", "minict version", [HELP]),
)}


def main(words: list[str] | None = None) -> None:
    """The command ``minict``.  Ends the process with an exit status as Docker's: 125 for an error of our own."""
    words = list(sys.argv[1:] if words is None else words)
    open_streams()
    debug = bool(words) and words[0] == "--debug"
    try:
        status = dispatch(words[debug:])
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
        status = getattr(error, "status", OUR_ERROR)
        os.write(2, f"minict: {sentence(error)}\n".encode(errors="replace"))
    os._exit(status)  # nothing is left to be tidied up, and the interpreter's own end takes 2 ms


def open_streams() -> None:
    """Put /dev/null into the place of each standard stream that the caller has closed: or else the next file that we
    open would get its number, and with it what the container's command writes."""
    while (fd := os.open("/dev/null", os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def dispatch(words: list[str]) -> int:
    """Find the command, and do it; its exit status."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview() if len(words) < 2 or words[1] not in COMMANDS else COMMANDS[words[1]].describe())
        return 0
    if words[0] in ("-v", "--version"):
        words[0] = "version"
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise ContainerError(f"there is no command {name!r}: 'minict --help' lists them")
    command = COMMANDS[name]
    if "--help" in rest[:1] or name != "run" and rest[:1] == ["-h"]:
        print(command.describe())
        return 0
    fields, arguments = command.parse(rest)
    if fields.pop("help", False):
        print(command.describe())
        return 0
    if os.geteuid() != 0 and name not in ("version", "doctor"):
        raise ContainerError("to make namespaces, mounts and cgroups takes root: run it with sudo")
    return globals()[f"_{name}"](fields, arguments) or 0


def overview() -> str:
    width = max(map(len, COMMANDS))
    lines = ["usage: minict [--debug] COMMAND …", "", "A container runtime in Python that can be read.", ""]
    lines += [f"  {name:<{width}}  {command.help.split('.  ')[0].rstrip('.')}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "minict COMMAND --help says more.  --debug shows the traceback of an error."])


def sentence(error: BaseException) -> str:
    """What a person is told: our own errors are sentences already, the system's become one."""
    if isinstance(error, ContainerError):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        path = f"{error.filename}: " if error.filename else ""
        remedy = {28: "; make room, or set MINICT_ROOT and MINICT_RUN to another disk",
                  30: "; set MINICT_ROOT and MINICT_RUN to a place that can be written to"}.get(error.errno, "")
        return f"{path}{error.strerror}{remedy}"
    return f"{type(error).__name__}: {error} (this is a mistake of minict's: 'minict --debug …' shows where)"


def _run(fields: dict, arguments: list[str]) -> int:
    import gc
    gc.disable()  # to look for garbage in modules that are just being loaded takes 1 ms, and finds none
    from .foreground import run_attached
    from .settings import Settings
    trace = fields.pop("trace", False)
    image, *command = arguments
    return run_attached(image, command, Settings(**fields), trace=trace)


def _image(fields: dict, arguments: list[str]) -> int:
    from . import image
    action, *rest = arguments
    if action == "from-host" and len(rest) >= 2:
        made = image.from_host(rest[0], rest[1:])
        print(f"{rest[0]}: {made.id[:12]}")
    elif action == "ls" and not rest:
        return _images({}, [])
    elif action == "rm" and rest:
        for name in rest:
            for line in image.remove(name):
                print(f"removed {line}")
    else:
        raise ContainerError(f"usage: minict image {COMMANDS['image'].usage}")
    return 0


def _images(fields: dict, arguments: list[str]) -> int:
    from . import image
    rows = [("NAME", "ID", "SIZE")]
    rows += [(", ".join(each.names), each.id[:12], f"{each.size / 1e6:.1f} MB") for each in image.images()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip())
    return 0


def _import(fields: dict, arguments: list[str]) -> int:
    from . import image
    made = image.import_archive(arguments[0], arguments[1])
    print(f"{arguments[1]}: {made.id[:12]}")
    return 0


def _doctor(fields: dict, arguments: list[str]) -> int:
    from . import doctor
    return doctor.main()


def _prune(fields: dict, arguments: list[str]) -> int:
    from .prune import prune
    for line in prune():
        print(f"removed {line}")
    return 0


def _version(fields: dict, arguments: list[str]) -> int:
    import minict
    print(f"minict {minict.__version__}, Python {sys.version.split()[0]}, Linux {os.uname().release}")
    return 0
