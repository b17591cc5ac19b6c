"""Broken containers: one sentence of symptom, and a learner who finds the cause and repairs it by any means.

::

    box = sad("deaf")          # starts the broken container, and prints the symptom
    check("deaf")              # what the kernel shows now: repaired, or what is still wrong
    clue("deaf")               # one more clue, the last one is the solution

A :class:`Scenario` is registered in ``minict/lab/scenarios/chNN.py`` by being made.  Rules that
``tests/integration/test_lab_scenario.py`` holds: the untouched scenario fails its check, the solution passes, and each
of at least two wrong repairs fails with a phrase that is known.  A check looks at the state (files, /proc, what a
program answers) and never at how it was reached.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import textwrap

from . import record
from .feedback import Feedback
from .verdict import readable, tell

_scenarios: dict[str, Scenario] = {}
_running: dict[str, object] = {}  # id -> what start() returned, in this notebook
_clues_shown: dict[str, int] = {}


class Scenario:
    """A broken container.  It is registered by being made.

    *id*: a word or two, such as ``deaf``.  *symptom*: one sentence, as a user of the container would put it.
    *start*: a function that starts the broken thing and returns it, usually a container of
    ``minict.run(…, detach=True)``. *check*: a function that gets what *start* returned and raises :class:`Feedback`
    with what is still wrong; it only looks. *clues*: one to three, from where to look to almost the repair.
    *solution*: a function that gets what *start* returned and repairs it; its source is the last clue.  *wrong*: for
    each of at least two repairs that do not help its name, a function like *solution*, and a phrase of the feedback.
    *end*: a function that removes what *start* made; without one a container is stopped.
    """

    def __init__(
        self, id: str, symptom: str, *, minutes: int, start, check, clues: list[str], solution, wrong: dict, end=None
    ):
        if id in _scenarios:
            raise ValueError(f"there are two scenarios {id}")
        self.id, self.symptom, self.minutes = id, symptom, minutes
        self.start, self.check, self.clues, self.solution, self.wrong = start, check, list(clues), solution, wrong
        self.end = end or _stop
        self.chapter = sys._getframe(1).f_globals["__name__"].rpartition(".")[2].partition("_")[0]  # ch05
        _scenarios[id] = self


def _stop(box) -> None:
    if hasattr(box, "stop"):
        box.stop(timeout=0)


def scenarios() -> dict[str, Scenario]:
    """All broken containers of the course, by their ids."""
    load()
    return _scenarios


def load() -> None:
    """Import every module of ``minict/lab/scenarios``: the flags are registered there too."""
    from . import scenarios as package

    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name):
        importlib.import_module(f"{package.__name__}.{module.name}")


def find(id: str) -> Scenario:
    """The scenario *id*.  Raises :class:`KeyError` with a sentence when there is none."""
    if id not in _scenarios and id not in scenarios():
        raise KeyError(f"there is no broken container {id!r}: there are {', '.join(_scenarios)}")
    return _scenarios[id]


def sad(id: str):
    """Start the broken container *id*, print its symptom, and return the container.  Called again, it starts a new
    one."""
    scenario = find(id)
    end(id)
    box = _running[id] = scenario.start()
    print(readable(f'{scenario.symptom}\nRepair it by any means, then: check("{id}"). Stuck? clue("{id}")'))
    return box


def check(id: str) -> None:
    """Show whether the broken container *id* is repaired; if not, what the kernel still shows."""
    scenario = find(id)
    if id not in _running:
        tell(f'○ {id}: not started yet. Run the cell with sad("{id}") first.')
        return
    why = judge(scenario, _running[id])
    if not why:
        record.note("scenarios", id, clues=_clues_shown.get(id, 0))
        tell(f"● {id}: repaired.")
    elif id in record.section("scenarios"):
        tell(readable(f"● {id}: repaired before. Now it is broken again: {why}"))
    else:
        tell(readable(f"○ {id}: not repaired yet. {why}"))


def judge(scenario: Scenario, box) -> str:
    """What is still wrong with *box*; an empty text if nothing is."""
    try:
        scenario.check(box)
    except Feedback as feedback:
        return str(feedback)
    except Exception as error:  # the repair has removed what the check inspects
        return f"The check could not look: {type(error).__name__}: {error}"
    return ""


def clue(id: str) -> None:
    """Print one more clue for the broken container *id*; after the last one, the solution."""
    scenario = find(id)
    shown = _clues_shown.get(id, 0)
    _clues_shown[id] = shown + 1
    if shown < len(scenario.clues):
        left = len(scenario.clues) - shown - 1
        more = f"{left} more" if left else "the next one is the solution"
        print(f"Clue {shown + 1} of {len(scenario.clues)} for {id} ({more}):\n{readable(scenario.clues[shown])}")
    else:
        print(f"One repair of {id}:\n\n{textwrap.dedent(inspect.getsource(scenario.solution))}")


def end(id: str) -> None:
    """End the broken container *id*, if this notebook has started it."""
    if id in _running:
        find(id).end(_running.pop(id))


def end_all() -> None:
    """End every broken container that this notebook has started."""
    for id in list(_running):
        end(id)
