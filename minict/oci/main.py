"""The entry point of ``minict-oci``: from the words of the command line to a function, and to an exit status.

Begin here; :mod:`.commands` is the table of everything that can be typed. Only the module of the command at hand is
loaded: an engine calls us five times for each container.
"""

from __future__ import annotations

import os
import sys

from minict.runtime.errors import ContainerError

from .commands import COMMANDS, GLOBAL
from .log import Log
from .options import Command, Option, UsageError, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPEC_VERSION = "1.3.0"  # the newest version of the OCI runtime specification that we know
_ERROR, _UNKNOWN_COMMAND, _EXEC_ERROR = 1, 3, 255  # runc's


def main(words: list[str] | None = None) -> None:
    """Run the command line and end the process: with runc's exit statuses. Source: runc(8)."""
    words = sys.argv[1:] if words is None else words
    log, name = Log(), ""
    try:
        settings, rest = read(GLOBAL, words, stops=True)
        log = Log(settings["log"] or "", settings["log_format"] or "text")
        name = rest[0] if rest else ""
        status = dispatch(settings, rest, log)
    except BaseException as error:  # an engine must never read a traceback
        if settings_debug(words):
            log.write("debug", where(error))
        log.tell(error)
        status = _EXEC_ERROR if name == "exec" and not isinstance(error, UsageError) else _ERROR
    if sys.stdout:
        sys.stdout.flush()
    os._exit(status)  # without taking the interpreter apart, which takes 3 ms


def dispatch(settings: dict[str, Any], words: list[str], log: Log) -> int:
    """Find the command and call it; its exit status. Raises what it raises. Source: runc(8)."""
    if settings["version"]:
        return version()
    name = words[0] if words else "help"
    if settings["help"] or name in ("help", "h"):
        return help_all()
    if name not in COMMANDS:
        log.tell(ContainerError(f"there is no command {name!r}: see minict-oci --help"))
        return _UNKNOWN_COMMAND
    command = COMMANDS[name]
    help = Option("help h", "", "print this list")
    options, operands = read([*command.options, help], words[1:], command.stops)
    if options["help"]:
        return help_one(name, command)
    command.check(name, operands)
    choose_root(settings["root"])
    module, _, function = command.function.partition(":")
    loaded = __import__(f"minict.oci.{module}", fromlist=[function])
    result: int | None = getattr(loaded, function)({**settings, **options}, operands, log)
    return result or 0


def choose_root(root: str | None) -> None:
    """Keep the state of containers in the directory *root*, by default in a place for this user.

    Source: XDG Base Directory Specification, XDG_RUNTIME_DIR; runc(8), --root.
    """
    user = os.environ.get("XDG_RUNTIME_DIR")
    default = f"{user}/minict-oci" if user and not os.access("/run", os.W_OK) else "/run/minict-oci"
    os.environ["MINICT_RUN"] = os.path.abspath(root or default)


def version() -> int:
    """Print the version as runc does: ``docker info`` reads it."""
    package = sys.modules["minict"]
    print(f"minict-oci version {package.__version__}\nspec: {SPEC_VERSION}")
    return 0


def help_all() -> int:
    """Print the commands and the global options."""
    print("usage: minict-oci [OPTION...] COMMAND [OPTION...] [OPERAND...]\n\nAn OCI runtime in readable Python.\n")
    for name, command in COMMANDS.items():
        print(f"  {name:<12} {command.help}")
    return print_options(GLOBAL)


def help_one(name: str, command: Command) -> int:
    """Print the options of one command."""
    print(f"usage: minict-oci {name} [OPTION...] {command.usage}\n\n{command.help}")
    return print_options(command.options)


def print_options(options: list[Option]) -> int:
    """Print a line for each of *options*."""
    print()
    for each in options:
        names = ", ".join(f"-{name}" if len(name) == 1 else f"--{name}" for name in each.names)
        print(f"  {names + (' ' + each.value if each.value else ''):<32} {each.help}")
    return 0


def settings_debug(words: list[str]) -> bool:
    """Whether ``--debug`` is among the global options in *words*, which may be wrong otherwise."""
    return "--debug" in words or "-debug" in words


def where(error: BaseException) -> str:
    """The places in the source that led to *error*, on one line: for the log, by ``--debug``."""
    import traceback

    return " <- ".join(
        f"{each.filename}:{each.lineno} {each.name}" for each in traceback.extract_tb(error.__traceback__)[::-1]
    )
