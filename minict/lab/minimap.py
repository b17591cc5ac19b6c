"""Chapter 16's picture of a mini_docker.py: every line of it as a stroke, in the colour of its author."""

from __future__ import annotations

import html

from .assembly import OURS, YOURS, Program
from .exercise import exercises
from .figures import HOST, INK, LINE, LIT, Picture, _Sheet

_COLUMNS = 4
_COLOURS = {YOURS: LIT, OURS: "#2563eb", "": HOST}
_WORDS = {YOURS: "yours", OURS: "the course's, in place of yours", "": "what joins them"}


class Stroke:
    """One line of the file: its *indent* and *length* in letters, *whose* it is, and of which *chapter*."""

    def __init__(self, line: str, whose: str, chapter: int):
        self.indent, self.length = len(line) - len(line.lstrip()), len(line.strip())
        self.whose, self.chapter = whose, chapter
        self.is_heading = line.startswith("# ----")


def strokes(program: Program) -> list[Stroke]:
    """A stroke for each line of *program*."""
    found = [Stroke(line, "", 0) for line in program.text.splitlines()]
    for id, part in program.parts.items():
        first = program.line_of(part) - 1
        chapter = int(exercises()[id].chapter.removeprefix("ch"))
        for number in range(first, first + len(part.source.splitlines())):
            found[number].whose, found[number].chapter = part.whose, chapter
    return found


def file_map(program: Program) -> Picture:
    """The whole file on one page, a stroke for each line."""
    all, per = strokes(program), -(-len(program.text.splitlines()) // _COLUMNS)
    sheet = _Sheet(920, 70 + 2.6 * per)
    for place, (whose, words) in enumerate(_WORDS.items()):
        sheet.line([(26 + 210 * place, 24), (46 + 210 * place, 24)], _COLOURS[whose], 3)
        sheet.text(54 + 210 * place, 24, words, 11, INK)
    for number, stroke in enumerate(all):
        x, y = 26 + 222 * (number // per), 46 + 2.6 * (number % per)
        if stroke.is_heading:
            sheet.line([(x, y), (x + 196, y)], LINE, 0.8)
        elif stroke.length:
            left = x + 1.6 * stroke.indent
            sheet.line([(left, y), (left + 1.6 * stroke.length, y)], _COLOURS[stroke.whose], 1.6)
    mine = sum(stroke.whose == YOURS for stroke in all)
    functions = len(program.parts)
    return sheet.picture(
        f"the file as strokes, one a line: {functions} functions of the chapters, and the lines that join them; "
        f"{mine} lines are yours"
    )


def growing(program: Program):
    """A function that draws the file as it was after a chapter, as SVG: for :func:`.figures.live`."""
    all, per = strokes(program), -(-len(program.text.splitlines()) // _COLUMNS)

    def draw(chapter: int) -> str:
        parts = [
            f"<svg width='860' height='{60 + 2.2 * per}' viewBox='0 0 860 {60 + 2.2 * per}' font-family='sans-serif'>"
        ]
        names = [f"{part.name}()" for id, part in program.parts.items() if exercises()[id].chapter == f"ch{chapter:02}"]
        words = f"chapter {chapter:02}: {', '.join(names) or 'nothing for this file'}"
        parts.append(f"<text x='6' y='22' font-size='14' fill='{INK}'>{html.escape(words)}</text>")
        for number, stroke in enumerate(all):
            if not stroke.length or stroke.is_heading:
                continue
            x, y = 6 + 214 * (number // per) + 1.5 * stroke.indent, 44 + 2.2 * (number % per)
            new, there = stroke.chapter == chapter, 0 < stroke.chapter <= chapter
            colour = LIT if new else "#2563eb" if there else LINE
            parts.append(
                f"<rect x='{x:.1f}' y='{y:.1f}' width='{1.5 * stroke.length:.1f}' height='1.5' fill='{colour}'/>"
            )
        return "".join([*parts, "</svg>"])

    return draw
