"""The commands: a module for each group, with a table COMMANDS and the functions behind it.

This module lists the commands of each module, and the other names of commands; only the module of the requested command
is loaded. A function gets the options as a dictionary and the arguments as a list, prints what the user wants to know,
and leaves the work to another package of :mod:`minict.engine`, which it imports inside the function.
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

# The modules in the order of the overview, with the commands of each.
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
    "registry": ("pull", "push", "search", "login", "logout"),
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
    "inspect": ("ps", "logs", "inspect", "container inspect", "image inspect", "stats", "top", "port", "events"),
    "system": ("info", "system df", "system prune", "container prune", "doctor", "lab", "prune", "version"),
    "rootless": ("unshare",),
    "completion": ("completion", "__complete"),
}
INDEX = {name: module for module, names in MODULES.items() for name in names}
# Commands that start processes in containers, or say what those may do.
STARTING = {"run", "start", "restart", "exec", "build", "unshare", "doctor"}
# Commands that also have a long name: `container start` is start.
LONGER = {
    "container": (*MODULES["run"], *MODULES["containers"], *MODULES["files"], "ps", "logs", "stats", "top", "port"),
    "image": ("images", "history", "tag", "import", "save", "load", "build", "pull", "push"),
    "system": ("info", "events"),
}
# Aliases.
ALIASES = {
    "buildx build": "build",
    "builder build": "build",
    "container ls": "ps",
    "container list": "ps",
    "image ls": "images",
    "image list": "images",
    "network list": "network ls",
    "network remove": "network rm",
    "-v": "version",
    "--version": "version",
}


def find(words: list[str]) -> tuple[str, list[str]]:
    """Split *words* into the name of the command and its own words. Raises :class:`ContainerError` for an unknown
    command.
    """
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
    raise ContainerError(f"unknown command {words[0]!r}: 'minict --help' lists the commands")


def groups() -> set[str]:
    """The first words of the commands with two words."""
    return {name.split()[0] for name in INDEX if " " in name}


def load(name: str):
    """The :class:`minict.engine.cli.parser.Command` with this *name*."""
    module = INDEX[name]
    return __import__(f"minict.engine.cli.commands.{module}", fromlist=["COMMANDS"]).COMMANDS[name]
