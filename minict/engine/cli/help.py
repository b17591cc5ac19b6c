"""What ``--help`` shows: one screen a command, with an example.

``docker run --help`` has more than a hundred lines, in which nobody finds anything.  Here a screen has at most 50
lines of at most 100 columns: what is used every day has a line each, and the rest is named by the concerns that it
belongs to.  ``--help all`` unfolds that.  A command with few options has no concerns, and a line for each of them.
"""

from __future__ import annotations

import textwrap

from . import table
from .parser import Command, Option

WIDTH = 100  # columns
FURTHEST = 34  # the column at which explanations begin at the latest

# The modules of commands as concerns, and the commands that the overview explains.
CONCERNS = {
    "run": "New containers",
    "containers": "Containers",
    "images": "Images",
    "build": "Building",
    "registry": "Registries",
    "networks": "Networks",
    "files": "Their files",
    "volumes": "Volumes",
    "inspect": "Looking",
    "system": "This machine",
    "completion": "Your shell",
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


def describe(command: Command, everything: bool = False) -> str:
    """The help of a *command*; with *everything* no option is folded."""
    shown, folded = {}, {}
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
    """All commands; with *everything* none is folded."""
    shown, folded = {}, {}
    for module, names in table.MODULES.items():
        for name in (name for name in names if name[0] != "_"):
            if everything or name in OFTEN:
                shown.setdefault(CONCERNS[module] if everything else "", []).append((name, _summary(name)))
            else:
                folded.setdefault(CONCERNS[module], []).append(name)
    return _page(
        "usage: minict [--debug] COMMAND …",
        "A container runtime in Python that can be read.",
        shown,
        folded,
        "minict --help all",
        "minict COMMAND --help says more.  --debug shows the traceback of an error.",
        table.load("run").example,
    )


def group(word: str) -> str:
    """The commands that begin with *word*, such as ``container``."""
    own = [name for name in table.INDEX if name.startswith(f"{word} ")]
    shown = {"": [(name.removeprefix(f"{word} "), _summary(name)) for name in own]}
    if word in table.LONGER:
        shown[f"The same without the word {word}"] = [(name, _summary(name)) for name in table.LONGER[word]]
    return _page(
        f"usage: minict {word} COMMAND …",
        f"Commands about {subject(word)}.",
        shown,
        {},
        "",
        f"minict {word} COMMAND --help says more.",
        table.load(own[0]).example,
    )


def subject(word: str) -> str:
    """What the commands that begin with *word* are about."""
    return {"builder": "the build cache", "system": "this machine"}.get(word, f"{word}s")


def _summary(name: str) -> str:
    """What the command is good for, in one line."""
    return table.load(name).help.split(".  ")[0].split("\n")[0].rstrip(".")


def _page(
    usage: str, about: str, shown: dict[str, list], folded: dict[str, list], whole: str, further: str, example: str
) -> str:
    """The page: *shown* are rows of two cells, *folded* names, both by their concern; *whole* shows all of them."""
    paragraphs = [usage, "\n".join(textwrap.fill(line, WIDTH) for line in about.splitlines())]
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
                    f"More, explained by '{whole}':",
                    *(_fill(", ".join(names), f"  {heading}", width) for heading, names in folded.items()),
                ]
            )
        )
    return "\n\n".join([*paragraphs, *[further] * bool(further), f"example: {example}"])


def _row(option: Option) -> tuple[str, str]:
    return ", ".join(option.names) + (f" {option.value}" if option.value else ""), option.help


def _fill(text: str, left: str, width: int) -> str:
    """*left*, and *text* from the column *width* on, in as many lines as it takes."""
    lines = textwrap.wrap(text, WIDTH - width, break_on_hyphens=False) or [""]
    if len(left) > width - 2 and left:
        lines.insert(0, "")
    return "\n".join((first.ljust(width) + line).rstrip() for first, line in zip([left, *[""] * len(lines)], lines))
