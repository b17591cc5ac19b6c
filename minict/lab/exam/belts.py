"""The certificate: which belts the chapters have earned, and what was reached in the exam.  Nothing in it is about
time."""

from __future__ import annotations

import html
import os

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
    return course.Page(
        f"<pre>{html.escape(text)}</pre>", text, "Your certificate: the belts of the chapters, and the exam"
    )


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
    lines = ["# Containers, from the kernel up", "", f"{name or 'The owner of this record'} has, on this machine,", ""]
    for belt, (done, most) in belts().items():
        state = "earned" if most and done == most else f"{done} of {most}"
        chapters = BELTS[belt]
        more = " and the exam" if belt == "black" else ""
        lines.append(f"* {belt} belt, chapters {chapters[0]:02} to {chapters[-1]:02}{more}: {state}")
    lines += ["", "In the exam:", ""]
    for part in PARTS:
        best = part.best
        result = f"{best['points']} of {best['most']} (exam {best['seed']})" if best else "not tried yet"
        lines.append(f"* {part.title}: {result}")
    return "\n".join(lines) + "\n"
