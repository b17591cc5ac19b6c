"""``minict completion``."""

from __future__ import annotations

from minict.engine.cli.parser import Command, by_name


def completion(fields: dict, arguments: list[str]) -> None:
    from minict.engine.cli.completion import script

    print(script(arguments[0]), end="")


def complete(fields: dict, arguments: list[str]) -> None:
    """Print the candidates for the shell's script, and no errors: the Tab key is the wrong place for them."""
    from minict.engine.cli import completion
    from minict.runtime.errors import ContainerError

    try:
        print(*completion.complete(*arguments), sep="\n")
    except (PermissionError, ContainerError):
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
        "SHELL LINE",
        "List what the last word of a line can become.",
        "minict __complete bash 'minict run ti'",
        complete,
        arguments=(2, 2),
        needs_root=False,
    ),
)
