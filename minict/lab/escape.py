"""The way out of a chroot, and a picture of it: what chapters 04 and 05 do with the same few lines.

:func:`escape` is the one function that both chapters call, and show with ``source(escape)``.  :func:`follow` calls it
in a room and writes down, after each of its calls, where the process has its root and its working directory;
:func:`escape_map` draws that.
"""

from __future__ import annotations

import os

from .child import run_in_child
from .figures import CARD, FAINT, HOST, INK, LINE, LIT, MUTED, Picture, _Sheet, _short

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any


def escape():
    os.makedirs("/etc/deeper", exist_ok=True)
    os.chroot("/etc/deeper")
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")


# ---- the picture -----------------------------------------------------------------------------------------------

_HERE, _BELOW = "#2563eb", "#ffedd5"  # the working directory, and what is below the root
_STEPS_UP = 64  # how often escape() climbs


def follow(room: str) -> list[tuple[str, str, str]]:
    """Let a child escape from *room*: (the call, its root, its working directory) whenever one of the two has changed.

    Both are paths of the host.  The first entry is how it begins, and has no call.
    """
    return run_in_child(_follow, room)


def _follow(room: str) -> list[tuple[str, str, str]]:
    os.makedirs(f"{room}/etc/deeper", exist_ok=True)
    places = {}  # a directory is known by its device and inode: the process can ask for these wherever it is
    for path in _chain(room):
        status = os.stat(path)
        places[status.st_dev, status.st_ino] = path
    steps: list[Any] = []

    def look(line: str) -> None:
        root, here = (places[status.st_dev, status.st_ino] for status in map(os.stat, ("/", ".")))
        if not steps or steps[-1][1:] != (root, here):
            steps.append((line, root, here))

    def watched(name: str):
        call = getattr(os, name)

        def call_and_look(path: str) -> None:
            call(path)
            look(f'os.{name}("{path}")')

        return call_and_look

    os.chroot(room)
    os.chdir("/")
    look("")
    os.chroot, os.chdir = watched("chroot"), watched("chdir")  # in this child alone
    escape()
    return steps


def _chain(room: str) -> list[str]:
    """The directories from the host's root down to the deepest one of the room."""
    path, chain = os.path.realpath(f"{room}/etc/deeper"), []
    while path != "/":
        chain.insert(0, path)
        path = os.path.dirname(path)
    return ["/", *chain]


def escape_map(room: str) -> Picture:
    """The escape from *room*, as it just happened: the same directories in each column, and where the process was."""
    steps, chain, room = follow(room), _chain(room), os.path.realpath(room)
    # of the climb only the last step
    moments = steps[:1] + [step for step, after in zip(steps[1:], [*steps[2:], ("", "", "")]) if step[0] != after[0]]
    width = 896 / len(moments)
    sheet = _Sheet(920, 112 + 56 * len(chain))
    for number, (line, root, here) in enumerate(moments):
        x = 20 + number * width
        if number:
            sheet.arrow(x - 14, 31, x - 2, 31, LIT)
        sheet.text(x + 4, 31, _label(line), 10.5, INK, "bold", mono=bool(line))
        _draw_chain(sheet, x, width - 16, chain, room, root, here)
    y = sheet.height - 26
    for x, colour, words in (
        (26, LIT, "root: where its paths begin"),
        (300, _HERE, "its working directory"),
        (540, _BELOW, "what is below its root"),
    ):
        sheet.box(x, y - 7, 14, 14, colour, LINE, 4)
        sheet.text(x + 22, y, words, 10, MUTED)
    told = ["root " + _name(root, room) + ", working directory " + _name(here, room) for _, root, here in moments]
    return sheet.picture("the escape; " + "; ".join(told))


def _label(line: str) -> str:
    """The title of a column: the call, and how often it was made."""
    times = f"{_STEPS_UP} × " if line == 'os.chdir("..")' else ""
    return times + line or "in the room"


def _name(path: str, room: str) -> str:
    if path == room or path.startswith(f"{room}/"):
        return "the room" + path.removeprefix(room)
    return f"the host's {path}"


def _draw_chain(sheet: _Sheet, x: float, width: float, chain: list[str], room: str, root: str, here: str) -> None:
    sheet.box(x, 48, width, sheet.height - 98, FAINT, LINE, 8)
    for level, path in enumerate(chain):
        left, y = x + 10 + 13 * level, 58 + 56 * level
        if level:
            sheet.line([(left - 6, y - 12), (left - 6, y + 20), (left, y + 20)], HOST, 1.5)
        seen = path == root or path.startswith(root.rstrip("/") + "/")
        edge, line = (LIT, 2) if path == root else (LINE, 1)
        sheet.box(left, y, x + width - 10 - left, 42, _BELOW if seen else CARD, edge, 7, line)
        name = "the host's /" if path == "/" else "the room" if path == room else os.path.basename(path)
        sheet.text(left + 10, y + 14, _short(name, (width - 60) / 7), 11, INK if seen else MUTED, "bold")
        tags = [(LIT, "root")] * (path == root) + [(_HERE, "here")] * (path == here)
        for number, (colour, word) in enumerate(tags):
            sheet.box(left + 10 + 46 * number, y + 24, 40, 14, colour, "none", 5)
            sheet.text(left + 30 + 46 * number, y + 31, word, 9, CARD, "bold", "center")
