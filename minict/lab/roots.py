"""The pictures of chapter 05: what happens to the mount table when a container gets a new root, and how a root is
furnished.

:func:`mount_moments` draws what happens to the mount table when a container moves in; :func:`furnish` carries out the
table of operations of :mod:`minict.runtime.rootfs` one by one, looks at the root after each, and draws what it saw.
"""

from __future__ import annotations

import html
import os

from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, unshare
from minict.runtime import rootfs
from minict.runtime.state import State

from .child import run_in_child
from .figures import _TYPES, CARD, FAINT, HOST, INK, LINE, LIT, MUTED, Picture, _Sheet, _short
from .host import mount_table

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

_FREE, _DEVICE, _LINK, _PLAIN = "#059669", "#2563eb", "#0f766e", "#475569"

# ---- moments of a mount table ----------------------------------------------------------------------------------


class _Row:
    """A mount that is drawn: its *level* in the tree, the *name* that the picture gives it, its mount point, and how
    many *more* of the host's mounts hang there without being drawn."""

    def __init__(self, level: int, name: str, entry: dict):
        self.level, self.name, self.type, self.point, self.more = level, name, entry["type"], entry["point"], 0


def mount_moments(moments: dict[str, list[dict]], new: str = "the room") -> Picture:
    """One process's mount table at several *moments*: a title for each, and what :func:`.host.mount_table` said then.

    The mounts of the first moment are grey: they are the host's, of which only the root is drawn. *new* is the name of
    the mounts that appear later.
    """
    hosts = {entry["id"] for entry in next(iter(moments.values()))}
    trees = {title: _rows(table, hosts, new) for title, table in moments.items()}
    width = 880 / len(moments)
    sheet = _Sheet(920, 104 + 58 * max(len(rows) for rows in trees.values()))
    for number, (title, rows) in enumerate(trees.items()):
        if number:
            sheet.arrow(20 + number * width - 13, 31, 20 + number * width - 1, 31, LIT)
        _draw_moment(sheet, 20 + number * width, width - 16, number + 1, title, rows)
    told = [f"{title}: {_in_words(rows)}" for title, rows in trees.items()]
    return sheet.picture("what is mounted at / and below it. " + "; ".join(told))


def _rows(table: list[dict], hosts: set[int], new: str) -> list[_Row]:
    """The mounts to draw, each below the mount that contains it."""
    rows, ids = [], {entry["id"] for entry in table}

    def add(entry, level, above):
        if entry["id"] in hosts and entry["point"] != "/":
            above.more += 1  # not drawn; but something that is may hang there, such as a room in a /tmp of its own
        else:
            name = "the host" if entry["id"] in hosts else "proc" if entry["type"] == "proc" else new
            above = _Row(level, name, entry)
            rows.append(above)
        children = [each for each in table if each["parent"] == entry["id"] and each is not entry]
        for child in sorted(children, key=lambda each: (each["point"] == "/", each["point"])):
            add(child, above.level + 1, above)

    for entry in table:
        if entry["parent"] not in ids or entry["parent"] == entry["id"]:
            add(entry, 0, None)
    return rows


def _in_words(rows: list[_Row]) -> str:
    return ", ".join(row.name + (" on top" if row.level and row.point == "/" else "") for row in rows)


def _draw_moment(sheet: _Sheet, x: float, width: float, number: int, title: str, rows: list[_Row]) -> None:
    sheet.text(x + 2, 31, str(number), 15, LIT, "bold")
    sheet.text(x + 19, 31, title, 10, INK, "bold", mono="(" in title)
    sheet.box(x, 48, width, sheet.height - 86, FAINT, LINE, 8)
    last_at: dict[str, Any] = {}
    for place, row in enumerate(rows):
        left, y = x + 9 + 22 * row.level, 58 + 58 * place
        if row.level:
            sheet.line([(left - 12, last_at[row.level - 1] + 46), (left - 12, y + 23), (left - 1, y + 23)], HOST, 1.5)
        last_at[row.level] = y
        face, ink, second = {"the host": ("#d5dde6", INK, "#475569"), "proc": (_TYPES["proc"], CARD, "#f3e8ff")}.get(
            row.name, (LIT, CARD, "#ffedd5")
        )
        sheet.box(left, y, x + width - 9 - left, 46, face, "none", 7)
        sheet.text(left + 11, y + 15, row.name, 11.5, ink, "bold")
        if row.level and row.point == "/":
            sheet.text(left + 11, y + 33, "at / too: on top of it", 9, second)
        else:
            sheet.text(
                left + 11, y + 33, "at " + _short(row.point, (x + width - left - 52) / 5.6), 9, second, mono=True
            )
        if row.more:
            sheet.text(x + width - 18, y + 15, f"+ {row.more} more", 9, second, align="right")
    hosts = sum(row.more + 1 for row in rows if row.name == "the host")
    words = f"{hosts} of the host's mounts" if hosts else "none of the host's mounts"
    sheet.text(x + width / 2, sheet.height - 21, words, 10, MUTED if hosts else _FREE, "bold", "center")


# ---- the operations of one container -----------------------------------------------------------------------------


def operations(container) -> list:
    """The table of operations that was made for a running *container*, without the mounts that have chapters of their
    own: its overlay, its binds and its cgroups."""
    spec = State(container.id).read_spec()
    spec.mounts = [mount for mount in spec.mounts if mount.type not in ("overlay", "bind", "cgroup")]
    return rootfs.operations(spec, "/", {}, None)


# ---- a root, furnished step by step ------------------------------------------------------------------------------

_SHELVES = ("dev", "proc", "sys")  # the directories of a root that are not the image's
# What is drawn of the two that hold a hundred things; the rest is counted.
_KNOWN = {
    "proc": ("self", "mounts", "cpuinfo", "meminfo", "uptime", "version", "sys"),
    "sys": ("block", "bus", "class", "devices", "fs", "kernel", "module"),
}
_LEFT, _RIGHT = 412, 870  # where the contents of a directory's row begin and end


class Furnishing:
    """The state of a root directory before and after each operation of a table; ``len()``: the number of states."""

    def __init__(self, done: list[str], looks: list[dict]):
        self.done, self.looks = done, looks

    def __len__(self):
        return len(self.looks)

    def draw(self, step: int) -> str:
        """SVG: the operations on the left, *step* of them done; on the right the root as it was then."""
        parts, before, y = [], self.looks[max(0, step - 1)], 36
        for shelf in _SHELVES:
            # as high as it will be in the end: a drawing that jumps is hard to follow
            height = 38 + 30 * max(_places(_labels(shelf, look))[-1][1] for look in self.looks)
            parts.append(_draw_shelf(shelf, self.looks[step], before, y, height))
            y += height + 12
        height = max(y + 30, 46 + 19 * len(self.done))
        head = (
            f"<svg width='880' height='{height}' viewBox='0 0 880 {height}' font-family='sans-serif' "
            f"font-size='12' fill='{INK}'>"
            + _text(10, 20, f"the table: {step} of {len(self.done)} done", "font-weight='bold' font-size='13'")
            + _text(312, 20, "the root, as it is then", "font-weight='bold' font-size='13'")
        )
        return head + self._draw_table(step) + "".join(parts) + _legend(y + 2) + "</svg>"

    def _draw_table(self, step: int) -> str:
        parts = []
        for number, words in enumerate(self.done, 1):
            y = 30 + 19 * number
            if number == step:
                parts.append(f"<rect x='4' y='{y - 14}' width='288' height='19' rx='5' fill='{LIT}'/>")
            ink = CARD if number == step else INK if number < step else "#64748b"
            parts.append(
                _text(12, y, "✓" if number <= step else "", f"fill='{ink}' font-size='11'")
                + _text(28, y, words, f"fill='{ink}' {_MONO}")
            )
        return "".join(parts)


_MONO = "font-family='monospace' font-size='11.5'"


def _labels(shelf: str, look: dict) -> list[tuple[str, str, str | None]]:
    """(words, kind, what is mounted there) of each thing on the shelf."""
    labels = []
    for name, kind in look[shelf]:
        mounted = look["mounts"].get(f"{shelf}/{name}")
        words = name + {"link": " →", "directory": "/"}.get(kind, "") + (f" {mounted}" if mounted else "")
        labels.append((words, kind, mounted))
    return labels


def _places(labels: list) -> list[tuple[float, int, float]]:
    """(x, line, width) for each label, in lines that are full from left to right, and of the place after the last."""
    places, x, line = [], _LEFT, 0
    for words, _, _ in labels:
        width = 7.1 * len(words) + 16
        if x + width > _RIGHT:
            x, line = _LEFT, line + 1
        places.append((x, line, width))
        x += width + 6
    return [*places, (x, line, 0)]


def _draw_shelf(shelf: str, look: dict, before: dict, y: float, height: float) -> str:
    """SVG of one directory.  What was not there *before* is lit."""
    kind, labels = look["mounts"].get(shelf), _labels(shelf, look)
    known, parts, colours = _labels(shelf, before), [], {"device": _DEVICE, "link": _LINK, "more": MUTED}
    for label, (x, line, width) in zip(labels, _places(labels)):
        colour = LIT if label not in known else _TYPES.get(label[2]) or colours.get(label[1], _PLAIN)
        top = y + 8 + 30 * line
        parts.append(
            f"<rect x='{x:.1f}' y='{top}' width='{width:.1f}' height='22' rx='6' fill='{colour}'/>"
            + _text(x + 8, top + 15, label[0], f"fill='{CARD}' {_MONO}")
        )
    edge = LIT if kind != before["mounts"].get(shelf) else _TYPES.get(kind, LINE)
    frame = (
        f"<rect x='304' y='{y}' width='572' height='{height}' rx='9' fill='{FAINT}' stroke='{edge}' "
        "stroke-width='1.6'" + ("/>" if kind else " stroke-dasharray='5 4'/>")
    )
    words = kind or ("image" if labels else "empty")
    return (
        frame
        + _text(318, y + 24, f"/{shelf}", "font-family='monospace' font-weight='bold' font-size='14'")
        + _text(364, y + 24, words, f"fill='{edge if kind else MUTED}' font-size='11'")
        + "".join(parts)
    )


def _legend(y: float) -> str:
    parts, x, mounted = [], 312, _TYPES["tmpfs"]
    for words, colour in (("new", LIT), ("a mount of its own", mounted), ("device", _DEVICE), ("symbolic link", _LINK)):
        parts.append(
            f"<rect x='{x}' y='{y}' width='13' height='13' rx='4' fill='{colour}'/>"
            + _text(x + 19, y + 11, words, f"fill='{MUTED}' font-size='11.5'")
        )
        x += 48 + 6.4 * len(words)
    return "".join(parts)


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y}' {more}>{html.escape(words)}</text>"


def furnish(root: str, table: list) -> Furnishing:
    """Carry out the operations of *table* below the directory *root*, and look at the root after each.

    All this happens in a child with mounts of its own, which disappear when it ends. It has process numbers and message
    queues of its own too, without which an ordinary user may not mount /proc and /dev/mqueue.
    """
    return Furnishing([operation.describe() for operation in table], run_in_child(_furnish, root, table))


def _furnish(root: str, table: list) -> list[dict]:
    unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC)
    return run_in_child(_carry_out, root, table)


def _carry_out(root: str, table: list) -> list[dict]:
    k.mount(None, "/", None, k.MS_PRIVATE | k.MS_REC)
    k.mount(root, root, None, k.MS_BIND)  # so that only mounts of this child are there
    place = os.open(root, os.O_PATH | os.O_DIRECTORY)
    looks = [_look(root)]
    for operation in table:
        operation.execute(place)
        looks.append(_look(root))
    return looks


def _look(root: str) -> dict:
    """What is mounted where below *root*, by type, and what each of the shelves holds: (name, kind)."""
    begin = os.path.realpath(root) + "/"
    entries = [entry for entry in mount_table() if entry["point"].startswith(begin)]
    mounts = {entry["point"].removeprefix(begin): entry["type"] for entry in entries}
    return {"mounts": mounts, **{shelf: _contents(f"{root}/{shelf}", _KNOWN.get(shelf)) for shelf in _SHELVES}}


def _contents(directory: str, known: tuple | None) -> list[tuple[str, str]]:
    names = os.listdir(directory)
    shown = sorted(names) if known is None else [name for name in known if name in names]
    kinds = [(name, _kind(f"{directory}/{name}")) for name in shown]
    if known is None:
        kinds.sort(key=lambda each: ("directory", "device", "link", "file").index(each[1]))
    return kinds + ([("and more", "more")] if len(names) > len(shown) else [])


def _kind(path: str) -> str:
    if os.path.islink(path):
        return "link"
    return "directory" if os.path.isdir(path) else "file" if os.path.isfile(path) else "device"
