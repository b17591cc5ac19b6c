"""``--help``: one screen for each command, with an example.

``docker run --help`` has more than a hundred lines. Here a screen has at most 50 lines of at most 100 columns: the
options of every day have a line each, the others are listed by group. ``--help all`` shows every option with its text.
A command with few options has no groups.
"""

from __future__ import annotations

from . import commands
from .parser import Command, Option

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

WIDTH = 100  # columns
FURTHEST = 34  # the rightmost column at which a text may begin

# The groups in the overview, one for each module of commands, and the commands that have a line of their own.
GROUPS = {
    "run": "New containers",
    "containers": "Containers",
    "images": "Images",
    "build": "Building",
    "registry": "Registries",
    "networks": "Networks",
    "files": "Container files",
    "volumes": "Volumes",
    "inspect": "Inspection",
    "system": "System",
    "rootless": "Without root",
    "completion": "Shell",
}
OFTEN = (
    "run",
    "start",
    "stop",
    "rm",
    "exec",
    "images",
    "build",
    "pull",
    "push",
    "network create",
    "cp",
    "volume create",
    "ps",
    "logs",
    "inspect",
    "stats",
    "doctor",
    "prune",
)


def command_page(command: Command, everything: bool = False) -> str:
    """The help of a *command*; with *everything*, all of its options."""
    shown: dict[str, Any] = {}
    folded: dict[str, Any] = {}
    for option in command.options:
        if everything:
            shown.setdefault(option.heading, []).append(_row(option))
        elif option.often or not option.heading:
            shown.setdefault("", []).append(_row(option))
        else:
            folded.setdefault(option.heading, []).append(option.names[-1])
    usage = f"usage: minict {command.name} {command.usage}".rstrip()
    return _page(usage, command.help, shown, folded, f"minict {command.name} --help all", "", command.example)


def overview(everything: bool = False) -> str:
    """The list of commands; with *everything*, each has a line."""
    shown: dict[str, Any] = {}
    folded: dict[str, Any] = {}
    for module, names in commands.MODULES.items():
        for name in (name for name in names if name[0] != "_"):
            if everything or name in OFTEN:
                shown.setdefault(GROUPS[module] if everything else "", []).append((name, summary(name)))
            else:
                folded.setdefault(GROUPS[module], []).append(name)
    return _page(
        "usage: minict [--debug] COMMAND …",
        "A container runtime in readable Python.",
        shown,
        folded,
        "minict --help all",
        "Run 'minict COMMAND --help' for more about a command.  --debug shows the traceback of an error.",
        commands.load("run").example,
    )


def group(word: str) -> str:
    """The commands that begin with *word*, such as ``container``."""
    own = [name for name in commands.INDEX if name.startswith(f"{word} ")]
    shown = {"": [(name.removeprefix(f"{word} "), summary(name)) for name in own]}
    if word in commands.LONGER:
        shown[f"The same without {word}"] = [(name, summary(name)) for name in commands.LONGER[word]]
    return _page(
        f"usage: minict {word} COMMAND …",
        f"Manage {subject(word)}.",
        shown,
        {},
        "",
        f"Run 'minict {word} COMMAND --help' for more information on a command.",
        commands.load(own[0]).example,
    )


def subject(word: str) -> str:
    """What the commands that begin with *word* manage."""
    return {"builder": "the build cache", "system": "minict"}.get(word, f"{word}s")


def summary(name: str) -> str:
    """The command's purpose in one line."""
    return commands.load(name).help.split(".  ")[0].split("\n")[0].rstrip(".")


def _page(
    usage: str, about: str, shown: dict[str, list], folded: dict[str, list], whole: str, further: str, example: str
) -> str:
    """Lay out a page: *shown* are rows of two cells by group, *folded* are names by group, *whole* is the command that
    shows all of them.
    """
    paragraphs = [usage, "\n".join(row for line in about.splitlines() for row in _wrap(line, WIDTH) or [""])]
    width = min(FURTHEST, max((len(left) for rows in shown.values() for left, _ in rows), default=0) + 4)
    for heading, rows in shown.items():
        paragraphs.append(
            "\n".join([*[f"{heading}:"] * bool(heading), *(_fill(right, f"  {left}", width) for left, right in rows)])
        )
    if folded:
        width = max(map(len, folded)) + 4
        paragraphs.append(
            "\n".join(
                [
                    f"More options, explained by '{whole}':",
                    *(_fill(", ".join(names), f"  {heading}", width) for heading, names in folded.items()),
                ]
            )
        )
    return "\n\n".join([*paragraphs, *[further] * bool(further), f"example: {example}"])


def _row(option: Option) -> tuple[str, str]:
    return ", ".join(option.names) + (f" {option.value}" if option.value else ""), option.help


def _fill(text: str, left: str, width: int) -> str:
    """Put *text* beside *left*, from column *width* on, in as many lines as it takes."""
    lines = _wrap(text, WIDTH - width) or [""]
    if len(left) > width - 2 and left:
        lines.insert(0, "")
    return "\n".join((first.ljust(width) + line).rstrip() for first, line in zip([left, *[""] * len(lines)], lines))


def _wrap(text: str, width: int) -> list[str]:
    """Break *text* into lines of at most *width* columns, between words. Importing textwrap would take 5 ms."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
