"""The whole course on one page: :func:`course_map` and :func:`progress`.

Both are drawn from the learner's record when the cell runs.  Only one sentence is saved with the notebook and compared
by tests: a learner's record is private.
"""

from __future__ import annotations

import glob
import html
import json
import os

from . import record

_CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_KINDS = ("exercise", "challenge", "quiz", "repair", "flag", "exam")


class Thing:
    """Something to do in a chapter: its *kind*, its *id*, a *title*, the *minutes* it takes, and whether it
    *is_done*."""

    def __init__(self, kind: str, id: str, title: str, minutes: int, is_done: bool):
        self.kind, self.id, self.title, self.minutes, self.is_done = kind, id, title, minutes, is_done


class Chapter:
    """One notebook: its *number*, its file's *name*, and the *things* to do in it."""

    def __init__(self, number: int, name: str, things: list[Thing]):
        self.number, self.name, self.things = number, name, things

    @property
    def title(self) -> str:
        """The name in words: ``a root file system``."""
        return self.name[3:].removesuffix(".ipynb").replace("-", " ")

    @property
    def is_opened(self) -> bool:
        """Whether it was ever run here."""
        return f"{self.number:02}" in record.section("chapters")

    @property
    def left(self) -> list[Thing]:
        """What is left to do in it."""
        return [thing for thing in self.things if not thing.is_done]


def chapters() -> list[Chapter]:
    """Every chapter that has a notebook, with its tasks, in the order of the course."""
    found = []
    for path in sorted(glob.glob(f"{_CHECKOUT}/notebooks/[0-9][0-9]-*.ipynb")):
        number = int(os.path.basename(path)[:2])
        found.append(Chapter(number, os.path.basename(path), [thing for each, thing in things() if each == number]))
    return found


def things() -> list[tuple[int, Thing]]:
    """(chapter, thing) for every task of the course."""
    from .challenge import challenges
    from .exam.results import PARTS
    from .exercise import exercises
    from .flag import flags
    from .quiz import quizzes
    from .scenario import scenarios

    solved, found = {kind: record.section(kind) for kind in ("exercises", "challenges", "scenarios", "flags")}, []

    def add(kind, task, title, minutes, is_done):
        found.append((int(task.chapter.removeprefix("ch")), Thing(kind, task.id, title, minutes, is_done)))

    for task in exercises().values():
        add("exercise", task, task.title, task.minutes, task.id in solved["exercises"])
    for task in challenges().values():
        add("challenge", task, task.title, task.minutes, task.id in solved["challenges"])
    answered = record.section("quizzes")
    for quiz in quizzes().values():
        places = [f"{quiz.id}/{number}" for number in range(1, len(quiz.questions) + 1)]
        add("quiz", quiz, f"{len(places)} questions", len(places), all(place in answered for place in places))
    for scenario in scenarios().values():
        add("repair", scenario, scenario.symptom, scenario.minutes, scenario.id in solved["scenarios"])
    for flag in flags().values():
        add("flag", flag, "capture the flag", 10, bool(solved["flags"].get(flag.id, {}).get("captured")))
    for part in PARTS:
        found.append((20, Thing("exam", part.id, part.title, part.minutes, part.is_passed)))
    return found


def next_thing(course: list[Chapter]) -> tuple[Chapter, Thing | None] | None:
    """Where to continue: in the chapter opened last, or else in the first chapter with something left to do."""
    opened = record.section("chapters")
    last = max(opened, key=lambda each: opened[each]["at"], default="00")
    ahead = [chapter for chapter in course if chapter.number >= int(last)]
    for chapter in [*ahead, *course]:
        if not chapter.is_opened or chapter.left:
            return chapter, next(iter(chapter.left), None) if chapter.is_opened else None
    return None


def open_chapter(number: int) -> None:
    """Remember that the chapter *number* was run here."""
    record.note("chapters", f"{number:02}")


# ---- pages -----------------------------------------------------------------------------------------------------


class Page:
    """HTML for JupyterLab, a sentence for the saved notebook; ``print()`` shows it as text."""

    def __init__(self, page: str, text: str, sentence: str):
        self.page, self.text, self.sentence = page, text, sentence

    def __str__(self):
        return self.text

    def __repr__(self):
        return f"[{self.sentence}]"

    def _repr_mimebundle_(self, include=None, exclude=None):
        import ipywidgets

        return {**ipywidgets.HTML(self.page)._repr_mimebundle_(), "text/plain": repr(self)}


def course_map() -> Page:
    """All chapters with what is done in each, links, and the next thing to do.  No chapter is locked."""
    course = chapters()
    rows, lines = [], []
    for chapter in course:
        done = len(chapter.things) - len(chapter.left)
        state = "●" if chapter.things and not chapter.left else "◐" if done else "◦" if chapter.is_opened else "○"
        dots = "".join("●" if thing.is_done else "○" for thing in chapter.things)
        rows.append(
            f"<tr><td>{state}</td><td>{chapter.number:02}</td><td>{link(chapter.name, chapter.title)}</td>"
            f"<td><span title='{html.escape(_in_words(chapter), quote=True)}'>{dots}</span></td></tr>"
        )
        lines.append(f"{state} {chapter.number:02} {chapter.title:<28} {dots}")
    ahead = _next_in_words(course)
    page = (
        f"{_STYLE}<table class='minict-course'>{''.join(rows)}</table><p class='minict-next'>{ahead[0]}</p>"
        "<p class='minict-legend'>● all done · ◐ some · ◦ opened · ○ not opened yet; a dot for each exercise, "
        "challenge, quiz, repair, flag and part of the exam</p>"
    )
    return Page(
        page, "\n".join([*lines, "", ahead[1]]), "The course map: every chapter, what is done in it, and where to go on"
    )


def _in_words(chapter: Chapter) -> str:
    return ", ".join(f"{thing.kind} {thing.id}{' ✓' if thing.is_done else ''}" for thing in chapter.things)


def _next_in_words(course: list[Chapter]) -> tuple[str, str]:
    """The next thing to do, as HTML and as text."""
    found = next_thing(course)
    if not found:
        return "Everything is done.", "Everything is done."
    chapter, thing = found
    what = f"{thing.kind} {thing.id}, {thing.minutes} min" if thing else "begin to read"
    words = f"chapter {chapter.number:02}, {chapter.title}"
    return f"Next: {link(chapter.name, words)}: {html.escape(what)}", f"Next: {words}: {what}"


def progress() -> Page:
    """Every task, chapter by chapter, and which of them are done on this machine."""
    everything = things()
    rows, lines, before = [], [], None
    for chapter, thing in sorted(everything, key=lambda each: (each[0], _KINDS.index(each[1].kind))):
        if chapter != before:
            rows.append(f"<tr><th colspan='4'>chapter {chapter:02}</th></tr>")
            lines.append(f"chapter {chapter:02}")
            before = chapter
        sign = "●" if thing.is_done else "○"
        rows.append(
            f"<tr><td>{sign}</td><td>{thing.kind}</td><td><code>{html.escape(thing.id)}</code></td><td>{html.escape(thing.title)}</td></tr>"
        )
        lines.append(f"  {sign} {thing.kind:<9} {thing.id:<14} {thing.title}")
    done = f"{sum(thing.is_done for _, thing in everything)} of {len(everything)} done"
    page = f"{_STYLE}<table class='minict-course'>{''.join(rows)}</table><p class='minict-next'>{done}</p>"
    return Page(
        page, "\n".join([*lines, done]), "Your progress: everything that there is to do, and what of it is done"
    )


_STYLE = """<style>
.minict-course td, .minict-course th { padding: .1em .6em; text-align: left; vertical-align: top; line-height: 1.5 }
.minict-course th { padding-top: .6em }
.minict-course a, .minict-next a { color: var(--jp-content-link-color, #1976d2); text-decoration: underline;
  cursor: pointer }
.minict-next { margin: .6em; font-weight: 600 }
.minict-legend { margin: .6em; color: var(--jp-ui-font-color2, #616161) }
</style>"""


def solved_chapters() -> set[int]:
    """The chapters of which every exercise was solved on this machine."""
    exercises = [(chapter, thing) for chapter, thing in things() if thing.kind == "exercise"]
    return {chapter for chapter, _ in exercises} - {chapter for chapter, thing in exercises if not thing.is_done}


def link(name: str, words: str) -> str:
    """HTML: a link that opens the notebook *name* beside this one in JupyterLab, or in a new tab elsewhere."""
    return f"<a {link_attributes(name)}>{html.escape(words)}</a>"


def link_attributes(name: str) -> str:
    """The attributes that turn an HTML element into such a link."""
    path = os.path.relpath(os.path.join(os.getcwd(), name), _CHECKOUT)
    arguments = html.escape(json.dumps({"path": path}), quote=True)
    return (
        f"href='/lab/tree/{html.escape(path, quote=True)}' target='_blank' "
        f"data-commandlinker-command='docmanager:open' data-commandlinker-args='{arguments}'"
    )
