"""Quizzes: a few questions at the end of a chapter, with an explanation of every answer, above all of the wrong ones.

``quiz("pivot-root")`` shows the questions: as text where a notebook is only displayed, and as buttons in a running one.
``answer("pivot-root", 2, "b")`` is for learners who prefer to type.

The questions are in :mod:`minict.lab.quizzes`, a module for each chapter, such as ``ch05.py``::

    Quiz("pivot-root",
         Question("Why …?",
                  wrong("Because …", "No: …"),
                  right("Because …", "Yes: …"),
                  wrong("Because …", "That would …")),
         …)
"""

from __future__ import annotations

import html
import importlib
import pkgutil
import re
import sys
import textwrap

from . import gone, record

_quizzes: dict[str, Quiz] = {}


class Option:
    """One possible answer, and the feedback for it."""

    def __init__(self, text: str, feedback: str, is_right: bool):
        self.text, self.feedback, self.is_right = text, feedback, is_right


def right(text: str, feedback: str) -> Option:
    return Option(text, feedback, True)


def wrong(text: str, feedback: str) -> Option:
    return Option(text, feedback, False)


class Question:
    """A question with three or four options, one of them right.  `Words in backticks` are shown as code."""

    def __init__(self, text: str, *options: Option):
        if sum(option.is_right for option in options) != 1:
            raise ValueError(f"one answer must be right: {text}")
        self.text, self.options = text, options

    def answer(self, letter: str) -> Option:
        """The option a, b, c…  Raises :class:`ValueError`."""
        number = ord(letter.lower()) - ord("a") if len(letter) == 1 else -1
        if not 0 <= number < len(self.options):
            raise ValueError(f"the answers are {', '.join(_letters(self))}, and not {letter!r}")
        return self.options[number]


class Quiz:
    """The questions of one chapter.  It is registered by being made."""

    def __init__(self, id: str, *questions: Question):
        if id in _quizzes:
            raise ValueError(f"there are two quizzes {id}")
        self.id, self.questions = id, questions
        self.chapter = sys._getframe(1).f_globals["__name__"].rpartition(".")[2].partition("_")[0]  # ch05
        _quizzes[id] = self

    def heading(self) -> str:
        """The line above the questions."""
        return f'{len(self.questions)} questions. Answer with, for example, answer("{self.id}", 1, "b")'

    def title(self, number: int) -> str:
        """The heading of the question *number*, counted from 1."""
        return f"{number}."

    def place(self, number: int) -> tuple[str, int]:
        """The quiz of the question *number*, and its number there: answers are recorded under these."""
        return self.id, number

    def __repr__(self):
        lines = [self.heading()]
        for number, question in enumerate(self.questions, 1):
            lines += ["", *_wrapped(f"{self.title(number)} ", question.text)]
            for letter, option in zip(_letters(question), question.options):
                lines += _wrapped(f"   {letter}) ", option.text)
        return "\n".join(lines)

    def _repr_mimebundle_(self, include=None, exclude=None):
        """The text for all readers; the buttons for a running notebook. Only the text is saved and compared."""
        bundle = {"text/plain": repr(self)}
        try:
            bundle.update(
                {kind: view for kind, view in _buttons(self)._repr_mimebundle_().items() if kind != "text/plain"}
            )
        except ImportError:
            pass  # without ipywidgets the text remains
        return bundle


def quizzes() -> dict[str, Quiz]:
    """All quizzes of the course, by their ids."""
    from . import quizzes as package

    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _quizzes


def find(id: str) -> Quiz:
    """The quiz *id*.  Raises :class:`KeyError` with a sentence when there is none."""
    if id not in _quizzes and id not in quizzes():
        raise KeyError(f"there is no quiz {id!r}: there are {', '.join(_quizzes)}")
    return _quizzes[id]


def quiz(id: str) -> Quiz:
    """The questions of the quiz *id*, to be answered by clicking, or with :func:`answer`."""
    return find(id)


def answer(id: str, question: int, letter: str) -> None:
    """Answer one question of a quiz; print whether that is right, and why."""
    questions = find(id).questions
    if not str(question).isdecimal():
        raise ValueError(f"invalid question {question!r}: use its number, as in answer({id!r}, 1, 'b')")
    question = int(question)
    if not 1 <= question <= len(questions):
        raise ValueError(f"the quiz {id} has the questions 1 to {len(questions)}, and not {question}")
    option = questions[question - 1].answer(letter)
    _remember((id, question), option)
    print(f"{'✓' if option.is_right else '✗'} {option.feedback}")


def _remember(place: tuple[str, int], option: Option) -> None:
    """Record whether this notebook's first answer to the question at *place* was right."""
    if place in _answered:
        return
    _answered.add(place)
    record.note("quizzes", f"{place[0]}/{place[1]}", missed=not option.is_right)


_answered: set[tuple[str, int]] = set()  # the questions that this notebook has answered


def _letters(question: Question) -> str:
    return "abcdefgh"[: len(question.options)]


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(text, 96, initial_indent=start, subsequent_indent=" " * len(start))


# ---- the buttons -----------------------------------------------------------------------------------------------

# JupyterLab's own colours, so that it looks right in its light and its dark theme.
_STYLE = """<style>
.minict-quiz { max-width: 52em }
.minict-quiz .minict-option { height: auto; min-height: 2.2em; line-height: 1.35; padding: .35em .9em; text-align: left;
  white-space: normal; width: 100%; margin: 2px 0; border-radius: 6px }
.minict-quiz .minict-question { font-weight: 600; margin: .9em 0 .2em; line-height: 1.4 }
.minict-quiz .minict-feedback { border-left: 4px solid; padding: .25em .8em; margin: .2em 0 .4em; line-height: 1.4 }
.minict-quiz .minict-yes { border-color: var(--jp-success-color1, #388e3c) }
.minict-quiz .minict-no { border-color: var(--jp-error-color1, #d32f2f) }
.minict-quiz code { font-size: .95em }
</style>"""


def _buttons(quiz: Quiz):
    """The quiz as widgets.  A click changes widgets and prints nothing: printed text would not belong to a cell."""
    import ipywidgets

    score = ipywidgets.HTML()
    solved: dict[int, bool] = {}  # question -> whether the first click was right

    def tell_score():
        if len(solved) == len(quiz.questions):
            first = sum(solved.values())
            score.value = f"<p class='minict-question'>{first} of {len(quiz.questions)} right at the first click.</p>"

    rows = [ipywidgets.HTML(_STYLE + gone.STYLE)]
    for number, question in enumerate(quiz.questions, 1):
        rows += _question(ipywidgets, quiz, number, question, solved, tell_score)
    box = ipywidgets.VBox([*rows, score])
    box.add_class("minict-quiz")
    box.add_class(gone.CLASS)
    return box


def _question(widgets, quiz: Quiz, number: int, question: Question, solved: dict, tell_score) -> list:
    feedback = widgets.HTML()
    tried = []

    def clicked(button, option):
        tried.append(option)
        _remember(quiz.place(number), option)
        button.button_style = "success" if option.is_right else "danger"
        button.icon = "check" if option.is_right else "times"
        kind, sign = ("minict-yes", "✓") if option.is_right else ("minict-no", "✗")
        feedback.value = f"<div class='minict-feedback {kind}'>{sign} {_html(option.feedback)}</div>"
        if option.is_right and number not in solved:
            solved[number] = len(tried) == 1
            tell_score()

    buttons = []
    for letter, option in zip(_letters(question), question.options):
        button = widgets.Button(description=f"{letter})  {option.text.replace('`', '')}", tooltip="")
        button.add_class("minict-option")
        button.on_click(lambda button, option=option: clicked(button, option))
        buttons.append(button)
    text = widgets.HTML(f"<div class='minict-question'>{quiz.title(number)} {_html(question.text)}</div>")
    return [text, *buttons, feedback]


def _html(text: str) -> str:
    """*text* with what is between backticks as code, and what is between asterisks emphasized."""
    parts = html.escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if number % 2 else re.sub(r"\*([^*]+)\*", r"<em>\1</em>", part)
        for number, part in enumerate(parts)
    )
