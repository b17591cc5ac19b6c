"""A picture for chapter 04: the files that one program needs, what asks for each, and their sizes."""

from __future__ import annotations

import os

from minict.engine.images import hostimage

from .figures import CARD, FAINT, HOST, INK, LINE, LIT, MUTED, Picture, _Sheet, _short

_COLOURS = {"script": "#9333ea", "program": "#2563eb", "loader": LIT, "library": "#059669"}


class _Row:
    """A needed file: its *level* in the tree, its *path*, its *kind*, and what asks for it, in words."""

    def __init__(self, level: int, path: str, kind: str, why: str):
        self.level, self.path, self.kind, self.why = level, path, kind, why
        self.file = os.path.realpath(path)
        self.size = os.stat(path).st_size

    @property
    def name(self) -> str:
        return "the loader" if self.kind == "loader" else os.path.basename(self.path)


def needs_map(program: str) -> Picture:
    """The tree of the files that *program* needs to start, with their sizes; a file that is needed twice is drawn
    dashed."""
    rows = _rows(program, 0, "you start it")
    largest, seen = max(row.size for row in rows), set()
    sheet, last_at = _Sheet(920, 62 + 40 * len(rows)), {}
    for x, words in ((26, "file"), (360, "who asks for it"), (620, "size")):
        sheet.text(x, 26, words, 10, MUTED)
    for number, row in enumerate(rows):
        x, y, again = 24 + 34 * row.level, 44 + 40 * number, row.file in seen
        seen.add(row.file)
        if row.level:
            sheet.line([(x - 20, last_at[row.level - 1] + 30), (x - 20, y + 15), (x - 2, y + 15)], HOST, 1.6)
        last_at[row.level] = y
        colour = _COLOURS[row.kind]
        sheet.box(x, y, 200, 30, FAINT if again else CARD, LINE if again else colour, 7, 1.6, "--" if again else "-")
        sheet.dot(x + 16, y + 15, 5, HOST if again else colour)
        sheet.text(x + 30, y + 15, _short(row.name, 22), 11, MUTED if again else INK, "bold")
        sheet.text(360, y + 15, row.why, 10, MUTED)
        if again:
            sheet.text(620, y + 15, "is there already", 10, MUTED)
        else:
            width = max(3, 200 * row.size / largest)
            sheet.box(620, y + 8, width, 14, colour, "none", min(4, width / 2))
            sheet.text(628 + width, y + 15, _in_words(row.size), 10, INK)
    names = list(dict.fromkeys(row.name for row in rows[1:]))
    return sheet.picture(f"what {rows[0].name} needs: {', '.join(sorted(names))}")


def _rows(program: str, level: int, why: str) -> list[_Row]:
    if words := hostimage.shebang(program):
        rows = [_Row(level, program, "script", why)]
        for number, name in enumerate(hostimage.programs_named(words)):
            asks = f"{os.path.basename(words[0])} looks for it" if number else "the kernel, for the script"
            rows += _rows(hostimage.find_program(name), level + 1, asks)
        return rows
    rows, loader = [_Row(level, program, "program", why)], hostimage.interpreter(program)
    if loader:
        rows.append(_Row(level + 1, loader, "loader", "the kernel, for the program"))
        rows += [
            _Row(level + 2, path, "library", "the loader, for the program")
            for path in sorted(hostimage.ask_loader(loader, program), key=os.path.basename)
            if not os.path.samefile(path, loader)
        ]
    return rows


def _in_words(size: int) -> str:
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"
