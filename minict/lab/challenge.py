"""Challenges: one function that a learner writes into an empty cell at the end of a chapter, and that the kernel
checks.

The cell above is empty but for a comment; ``challenge("run")`` then looks for the function of that name in the
notebook::

    # Write run(words) here.

    challenge("run")

A :class:`Challenge` is registered beside the chapter's exercises, in ``minict/lab/exercises/chNN_….py``, by being
made, and checked as an exercise is.  It has no starter, and its solution is not in the package.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
import types

from . import record
from .exercise import TIME_LIMIT, _function_of, exercises, judge
from .verdict import readable, tell

_challenges: dict[str, Challenge] = {}


class Challenge:
    """One challenge.  It is registered by being made.

    *id*, *title*, *minutes*, *difficulty*, *check*, *hints*, *imports*, *seconds*: as of an exercise.  *name*: the
    function's name.  *solution*: its source.  *wrong*: for each of at least two typical mistakes its name, the source
    of a function that makes it, and a phrase that the feedback must contain.  *right*: for each unusual right answer
    its name and source.  *moves*: whether the function is to move the process that calls it into other namespaces or
    to another root; otherwise an answer that does so is refused.
    """

    starter, reference = "", None

    def __init__(
        self,
        id: str,
        title: str,
        *,
        name: str,
        minutes: int,
        difficulty: int,
        check,
        hints: list[str],
        solution: str,
        wrong: dict[str, tuple[str, str]],
        right: dict[str, str] | None = None,
        imports: str = "",
        seconds: float = TIME_LIMIT,
        moves: bool = False,
    ):
        if id in _challenges:
            raise ValueError(f"there are two challenges {id}")
        self.id, self.title, self.name, self.minutes, self.difficulty = id, title, name, minutes, difficulty
        self.check, self.hints, self.seconds, self.moves = check, list(hints), seconds, moves
        self.solution = _tidy(solution)
        self.imports = _tidy(imports)
        self.wrong = {mistake: (_tidy(source), phrase) for mistake, (source, phrase) in wrong.items()}
        self.right = {answer: _tidy(source) for answer, source in (right or {}).items()}
        self.chapter = sys._getframe(1).f_globals["__name__"].rpartition(".")[2].partition("_")[0]  # ch05
        _challenges[id] = self

    origin = ""  # of an exercise: where the solution comes from

    @property
    def shown(self) -> str:
        """The solution, as the last hint shows it."""
        return self.solution

    @property
    def box(self) -> str:
        """The heading in Markdown that stands above the challenge in its notebook."""
        dots = "●" * self.difficulty + "○" * (3 - self.difficulty)
        return f"### Challenge `{self.id}`: {self.title} · {self.minutes} min · {dots}"

    def function(self, source: str) -> types.FunctionType:
        """The function that *source* defines, as a notebook with :attr:`imports` would have it."""
        return _function_of(self.imports + source, self.name)


def _tidy(source: str) -> str:
    return textwrap.dedent(source).strip() + "\n"


def challenges() -> dict[str, Challenge]:
    """All challenges of the course, by their ids."""
    exercises()  # they are registered in the same modules
    return _challenges


def find(id: str) -> Challenge:
    """The challenge *id*.  Raises :class:`KeyError` with a sentence when there is none."""
    if id not in challenges():
        raise KeyError(f"there is no challenge {id!r}: there are {', '.join(_challenges)}")
    return _challenges[id]


def challenge(id: str) -> None:
    """Check the function that the learner has written for the challenge *id*, and show whether it is right."""
    task = find(id)
    function = _learners_function(task.name)
    if function is None:
        tell(f"○ {id}: not attempted yet. Write {task.name}() in the cell above, run that, then this.")
        return
    state, feedback = judge(task, function)
    if state == "mine":
        record.note("challenges", id, source=inspect.getsource(function))
        tell(f"● {id}: correct. You wrote {task.name}() from an empty cell.")
    else:
        tell(readable(f"✗ {id}: {feedback}") + f'\n  Stuck? hint("{id}")')


def _learners_function(name: str) -> types.FunctionType | None:
    """The function *name* that a cell of this notebook has defined; None when there is none, or it is the course's."""
    from IPython import get_ipython

    shell = get_ipython()
    function = shell and shell.user_ns.get(name)
    if isinstance(function, types.FunctionType) and function.__globals__ is shell.user_ns:
        return function
    return None
