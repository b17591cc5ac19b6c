"""The certificate: which belts the chapters have earned, and what was reached in the exam.  Nothing in it is about
time."""

from __future__ import annotations

import html
import os
import re

from .. import course, record
from .results import PARTS

NAME = "certificate.md"
BELTS = {"white": range(6), "green": range(6, 11), "brown": range(11, 16), "black": range(16, 20)}


def certificate(name: str = "") -> course.Page:
    """Write the certificate beside the learner's record, and show it.  *name*: the person whose it is.

    Where the variable CI is set nothing is written, as with the record itself.
    """
    text = _text(name)
    if not os.environ.get("CI"):
        os.makedirs(os.path.dirname(path()), exist_ok=True)
        with open(path(), "w", encoding="utf-8") as file:
            file.write(text)
    return course.Page(_page(text), text, "Your certificate: the belts of the chapters, and the exam")


def _page(text: str) -> str:
    """The Markdown *text* of a certificate, which has a title, sentences and lists, as HTML."""
    page = []
    for line in text.splitlines():
        mark, _, words = line.partition(" ")
        kind = {"#": "h2", "*": "li"}.get(mark, "p")
        if line:
            page.append(f"<{kind}>{html.escape(line if kind == 'p' else words)}</{kind}>")
    body = re.sub("(?:<li>.*?</li>)+", lambda items: f"<ul>{items[0]}</ul>", "".join(page))
    return f"<div class='jp-RenderedHTMLCommon'>{body}</div>"


def path() -> str:
    """The file of the certificate."""
    return f"{os.path.dirname(record.path())}/{NAME}"


def belts() -> dict[str, tuple[int, int]]:
    """For each belt how many of its exercises are solved, and how many there are; the exam's parts count as black."""
    tasks = [(chapter, thing) for chapter, thing in course.things() if thing.kind == "exercise"]
    found = {}
    for belt, chapters in BELTS.items():
        done = [thing.is_done for chapter, thing in tasks if chapter in chapters]
        found[belt] = (sum(done), len(done))
    passed = sum(part.is_passed for part in PARTS)
    found["black"] = (found["black"][0] + passed, found["black"][1] + len(PARTS))
    return found


def _text(name: str) -> str:
    who = " ".join(str(name).split()) or "the owner of this record"
    lines = ["# Containers, from the kernel up", "", f"What {who} has done on this machine:", ""]
    for belt, (done, most) in belts().items():
        state = "earned" if most and done == most else f"not yet ({done} of {most})"
        chapters = BELTS[belt]
        more = " and the exam" if belt == "black" else ""
        lines.append(f"* {belt} belt, chapters {chapters[0]:02} to {chapters[-1]:02}{more}: {state}")
    lines += ["", "In the exam:", ""]
    for part in PARTS:
        best = part.best
        result = f"{best['points']} of {best['most']} (exam {best['seed']})" if best else "not tried yet"
        lines.append(f"* {part.title}: {result}")
    return "\n".join(lines) + "\n"
