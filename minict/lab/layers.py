"""For chapter 06: room for layers, and the picture of which layer provides what is seen.

:func:`layer_table` mounts an overlay, runs shell commands in it, and looks into every layer after each. Its drawings
show what was found there.
"""

from __future__ import annotations

import os
import subprocess
import tempfile

from minict.engine.images import diff, overlay
from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNS, unshare

from . import host
from .child import run_in_child
from .figures import CARD, FAINT, HUES, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet, _short

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

_GONE = "#94a3b8"
_LEFT, _ROW = 176, 44  # where the columns begin, and how high a row is


def room_for_layers() -> str:
    """A directory that can hold upper layers: that of temporary files, or ``/dev/shm`` where temporary files lie on
    another overlay, as in a dev container.

    Raises :class:`OSError` where neither can. Source: overlayfs.rst.
    """
    usual = tempfile.gettempdir()
    for directory in (usual, "/dev/shm"):
        if os.path.isdir(directory) and overlay.works_in(directory):
            return directory
    raise OSError(
        f"overlayfs can't be used in {usual} or /dev/shm: let TMPDIR name a directory on ext4, xfs, btrfs or tmpfs; "
        "`minict doctor` says more"
    )


def upper_of(container) -> str:
    """The directory on the host that takes all changes of a running *container*: what the kernel says in its mount
    table.

    Raises :class:`LookupError` if its root is a copy of the image. Source: proc_pid_mountinfo(5).
    """
    root = next(entry for entry in host.mount_table(container.pid) if entry["point"] == "/")
    for option in root["superoptions"].split(","):
        name, _, value = option.partition("=")
        if name == "upperdir" and root["root"] == "/":  # and no directory of another overlay, with a copy in it
            return value
    raise LookupError(
        f"the root of {container.name} is a copy of its image, without an upper layer, because overlayfs can't be used "
        f"there: {overlay.remedy()}"
    )


def disk_usage(directory: str) -> int:
    """The bytes that all files below *directory* take on the disk, each once, as ``du`` counts."""
    sizes = {}
    for parent, _, names in os.walk(directory):
        for name in names:
            status = os.lstat(f"{parent}/{name}")
            sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


# ---- looks at layers -----------------------------------------------------------------------------------------------


def layer_table(lowers: Sequence[str], place: str, commands: Sequence[str] = ()) -> Table:
    """Run shell *commands* in an overlay of the directories *lowers*, the top one first, and look into all layers after
    each.

    *place*: a directory with the empty directories ``upper``, ``work`` and ``merged``.  It happens in a child with
    mounts of its own.
    """
    return Table(list(lowers), list(commands), run_in_child(_look_after_each, list(lowers), place, list(commands)))


def _look_after_each(lowers: list[str], place: str, commands: list[str]) -> list[dict]:
    unshare(CLONE_NEWNS)
    k.mount(None, "/", None, k.MS_PRIVATE | k.MS_REC)
    upper, merged = f"{place}/upper", f"{place}/merged"
    options = [*overlay.overlay_options(lowers, upper, f"{place}/work"), *overlay.WHOLE]
    k.mount("overlay", merged, "overlay", 0, ",".join(options))
    looks = [_look([upper, *lowers], merged)]
    for command in commands:
        subprocess.run(command, shell=True, cwd=merged, check=False)
        looks.append(_look([upper, *lowers], merged))
    return looks


def _look(layers: list[str], merged: str) -> dict:
    """What each layer contains, and what the kernel shows of it: path -> kind."""
    return {"layers": [_contents(layer) for layer in layers], "merged": _contents(merged)}


def _contents(directory: str) -> dict[str, str]:
    found = {}
    for parent, names, files in os.walk(directory):
        for name in [*names, *files]:
            path = f"{parent}/{name}"
            found[os.path.relpath(path, directory)] = _kind(path)
    return found


def _kind(path: str) -> str:
    if diff.is_whiteout(os.lstat(path)):
        return "whiteout"
    if os.path.isdir(path) and not os.path.islink(path):
        return "opaque" if diff.is_opaque(path) else "directory"
    return "file"


def _ancestors(path: str) -> list[str]:
    """``["a", "a/b"]`` for ``a/b/c``."""
    names = path.split("/")
    return ["/".join(names[:end]) for end in range(1, len(names))]


# ---- drawings ------------------------------------------------------------------------------------------------------


class Table:
    """What all layers held before the first and after each of some *commands*; ``len()``: how many looks."""

    def __init__(self, lowers: list[str], commands: list[str], looks: list[dict]):
        self.names = ["upper", *(os.path.basename(lower) for lower in lowers)]
        self.commands, self.looks = commands, looks
        held = [contents for look in looks for contents in look["layers"]]
        self.paths = sorted({path for contents in held for path in contents}, key=lambda each: each.split("/"))

    def __len__(self):
        return len(self.looks)

    def __repr__(self):
        return repr(self.picture())

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture()._repr_mimebundle_()

    def draw(self, step: int) -> str:
        """HTML: the picture of the look *step*, for :func:`minict.lab.live`."""
        return self.picture(step).as_html()

    def picture(self, step: int = -1) -> Picture:
        """The look *step*, counted from 0, as a picture: a row for each layer, a column for each name."""
        look = self.looks[step]
        width = max(78.0, min(112.0, (920 - _LEFT - 24) / max(1, len(self.paths))))
        sheet = _Sheet(_LEFT + width * len(self.paths) + 24, 138 + _ROW * (len(self.names) + 1))
        title = self.commands[step % len(self.looks) - 1] if step % len(self.looks) else "nothing has been done yet"
        sheet.text(24, 28, "after:" if step % len(self.looks) else "", 11, MUTED)
        sheet.text(72 if step % len(self.looks) else 24, 28, title, 12.5, LIT_EDGE, "bold", mono=title in self.commands)
        top = 84
        for row, name in enumerate(["what you see", *self.names]):
            y = top + _ROW * row + (8 if row else 0)
            sheet.text(24, y + 17, _short(name, 18), 12, INK, "bold")
            sheet.box(_LEFT - 4, y, width * len(self.paths) + 8, _ROW - 8, CARD if row else "#f1f5f9", LINE, 7)
        for column, path in enumerate(self.paths):
            self._draw_column(sheet, look, path, _LEFT + width * column, width, top)
        self._draw_legend(sheet, top + _ROW * (len(self.names) + 1) + 26)
        return sheet.picture(self.in_words(step))

    def _draw_column(self, sheet: _Sheet, look: dict, path: str, x: float, width: float, top: float) -> None:
        directory, _, name = path.rpartition("/")
        if directory:
            sheet.text(x + width / 2, top - 28, f"{directory}/", 11, MUTED, align="center", mono=True)
        sheet.text(x + width / 2, top - 13, _short(name, width / 7.2), 11, INK, "bold", "center", mono=True)
        seen = self.seen_in(look, path)
        if seen:
            sheet.box(x + 3, top + 4, width - 6, _ROW - 16, self._colour(seen[0]), radius=6)
            words = self.names[seen[0]]
            sheet.text(x + width / 2, top + 18, _short(words, width / 7), 11, CARD, "bold", "center")
        for row, contents in enumerate(look["layers"]):
            if path in contents:
                y = top + _ROW * (row + 1) + 12
                self._draw_cell(sheet, contents[path], row, row in seen, x + 3, y, width - 6)

    def _draw_cell(self, sheet: _Sheet, kind: str, row: int, lit: bool, x: float, y: float, width: float) -> None:
        height = _ROW - 16
        if kind == "whiteout":
            sheet.box(x, y, width, height, CARD, INK, 6, 1.4)
            sheet.line([(x + 7, y + 6), (x + width - 7, y + height - 6)], INK, 1.6)
            sheet.line([(x + 7, y + height - 6), (x + width - 7, y + 6)], INK, 1.6)
            return
        face, ink = (self._colour(row), CARD) if lit else (FAINT, _GONE)
        sheet.box(x, y, width, height, face, "none" if lit else LINE, 6, 1, "-" if lit else "--")
        words = {"file": "file", "directory": "directory", "opaque": "opaque"}[kind]
        sheet.text(x + width / 2, y + height / 2, words, 11, ink, "bold" if lit else "normal", "center")

    def _colour(self, row: int) -> str:
        return LIT if row == 0 else (HUES[0], HUES[2], HUES[3])[(row - 1) % 3]

    def _draw_legend(self, sheet: _Sheet, y: float) -> None:
        x = 24.0
        for words, draw in (
            ("is seen", lambda x: sheet.box(x, y - 7, 22, 14, HUES[0], radius=4)),
            ("is hidden", lambda x: sheet.box(x, y - 7, 22, 14, FAINT, LINE, 4, 1, "--")),
            ("whiteout", lambda x: self._draw_cross(sheet, x, y - 7)),
        ):
            draw(x)
            sheet.text(x + 30, y, words, 11, MUTED)
            x += 56 + 6.6 * len(words)

    def _draw_cross(self, sheet: _Sheet, x: float, y: float) -> None:
        sheet.box(x, y, 22, 14, CARD, INK, 4, 1.2)
        sheet.line([(x + 5, y + 3), (x + 17, y + 11)], INK, 1.2)
        sheet.line([(x + 5, y + 11), (x + 17, y + 3)], INK, 1.2)

    def seen_in(self, look: dict, path: str) -> list[int]:
        """The numbers of the layers, 0 for the upper one, in which *path* is seen; several for a directory that is
        merged, none if the kernel does not show it."""
        if path not in look["merged"]:
            return []
        found: list[int] = []
        for row, contents in enumerate(look["layers"]):
            kind = contents.get(path)
            if kind == "whiteout":
                break
            found += [row] * (kind is not None)
            if kind not in (None, "directory") or any(
                contents.get(above, "directory") != "directory" for above in _ancestors(path)
            ):
                break  # this layer's entry hides those of all layers below
        return found

    def in_words(self, step: int = -1) -> str:
        """What the picture shows, as text for a screen reader: ``cake: nothing, a whiteout in upper``."""
        look, told = self.looks[step], []
        for path in self.paths:
            names = [self.names[row] for row in self.seen_in(look, path)]
            words = f"{path}: " + (f"from {' and '.join(names)}" if names else "nothing")
            kinds = [contents.get(path, "") for contents in look["layers"]]
            marks = [f"{kind} in {name}" for kind, name in zip(kinds, self.names) if kind in ("whiteout", "opaque")]
            told.append(", ".join([words, *marks]))
        return "what is seen, and from which layer. " + "; ".join(told)
