"""``minict completion``."""

from __future__ import annotations

from minict.engine.cli.parser import Command, by_name


def completion(fields: dict, arguments: list[str]) -> None:
    from minict.engine.cli.completion import script

    print(script(arguments[0]))


def complete(fields: dict, arguments: list[str]) -> None:
    """Print the names for the shell's script; errors print nothing, because the Tab key is the wrong place for them."""
    from minict.engine.cli.completion import names

    try:
        print("\n".join(names(arguments[0])))
    except PermissionError:
        pass


COMMANDS = by_name(
    Command(
        "completion",
        "bash|zsh|fish",
        "Generate the completion script for bash, zsh or fish.  To use it now:\n\n"
        '  bash   eval "$(minict completion bash)"\n'
        '  zsh    eval "$(minict completion zsh)"          after compinit\n'
        "  fish   minict completion fish | source",
        "minict completion bash",
        completion,
        arguments=(1, 1),
        needs_root=False,
    ),
    Command(
        "__complete",
        "KIND",
        "List the names of all containers, images, networks or volumes.",
        "minict __complete images",
        complete,
        arguments=(1, 1),
        needs_root=False,
    ),
)
