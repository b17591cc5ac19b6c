"""For chapter 15: the survival table. Five places of a container are written to, three things happen to it, and then
each place is looked into.

:func:`survival` does that with real containers; the drawing shows what was found, and the learner's guesses beside it.
"""

from __future__ import annotations

import os
import tempfile

import minict
from minict.engine.volumes import store
from minict.runtime.errors import ContainerError

from .figures import CARD, FAINT, HUES, INK, LINE, LIT_EDGE, MUTED, Picture, _Sheet

# what is written to -> its path in the container
PLACES = {
    "own files": "/own",
    "tmpfs": "/fast",
    "anonymous volume": "/anonymous",
    "named volume": "/named",
    "bind mount": "/bind",
}
EVENTS = ("killed and started again", "stopped and started again", "removed, and a new one made")
_SHORT = ("kill -9, start", "stop, start", "remove, new one")
_WRITE = "for place in {}; do mkdir -p $place && echo written > $place/note; done".format(" ".join(PLACES.values()))
_LOOK = "for place in {}; do test -e $place/note && echo $place; done; true".format(" ".join(PLACES.values()))


def survival(guesses: dict[str, str] | None = None) -> Survival:
    """Write into each of :data:`PLACES`, let each of :data:`EVENTS` happen, and look what is left.

    *guesses*: for each place three words, such as ``"yes yes no"``; ``?`` does not count.
    Raises :class:`ValueError` for others.
    """
    words = {name: _three(name, (guesses or {}).get(name, "? ? ?")) for name in PLACES}
    for name in guesses or {}:
        if name not in PLACES:
            raise ValueError(f"there is no row {name!r}: the rows are {', '.join(PLACES)}")
    return Survival(words, _experiment())


def _three(name: str, text: str) -> list[str]:
    words = str(text).lower().split()
    if len(words) != len(EVENTS) or not set(words) <= {"yes", "no", "?"}:
        raise ValueError(
            f"the guess for {name!r} is {text!r}: write three words, each yes, no or ?, as in 'yes yes no'"
        )
    return words


def _experiment() -> list[set[str]]:
    """The places in which the note was found, after each event."""
    name = f"survival-{os.urandom(4).hex()}"
    found, anonymous = [], []
    with tempfile.TemporaryDirectory(prefix="survival-") as directory:
        options = {
            "volume": ["/anonymous", f"{name}:/named", f"{directory}:/bind"],
            "tmpfs": ["/fast"],
            "network": "none",
        }
        box = minict.create("tiny", "sleep 100000", **options)
        try:
            anonymous = [mount["name"] for mount in box._record.mounts or [] if mount.get("anonymous")]
            box.start()
            for event in (_kill, _stop):
                box.exec(["sh", "-c", _WRITE])
                event(box)
                found.append(_look(box))
            box.remove(force=True)
            with minict.run("tiny", "sleep 100000", detach=True, **options) as new:
                found.append(_look(new))
        finally:
            _remove(box, [name, *anonymous])
    return found


def _kill(box) -> None:
    box.kill(9)
    box.wait()
    box.start()


def _stop(box) -> None:
    box.restart(timeout=0)


def _look(box) -> set[str]:
    paths = box.exec(["sh", "-c", _LOOK]).output.split()
    return {name for name, path in PLACES.items() if path in paths}


def _remove(box, volumes: list[str]) -> None:
    for remove, what in ((lambda _: box.remove(force=True), ""), *((store.remove, name) for name in volumes)):
        try:
            remove(what)
        except ContainerError:
            pass  # it is gone, or was never made


class Survival:
    """The table: the *guesses*, three words for each place, and what was *found* after each event. ``len()``: how many
    events."""

    def __init__(self, guesses: dict[str, list[str]], found: list[set[str]]):
        self.guesses, self.found = guesses, found

    def __len__(self):
        return len(self.found)

    def __repr__(self):
        return repr(self.picture())

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture()._repr_mimebundle_()

    @property
    def score(self) -> tuple[int, int]:
        """How many guesses were right, and how many there were."""
        pairs = [
            (word == "yes", name in found)
            for name, words in self.guesses.items()
            for word, found in zip(words, self.found)
            if word != "?"
        ]
        return sum(guess == truth for guess, truth in pairs), len(pairs)

    def draw(self, events: int) -> str:
        """HTML: the table after so many *events*, for :func:`minict.lab.live`."""
        return self.picture(events).as_html()

    def picture(self, events: int | None = None) -> Picture:
        """The first *events* columns as a picture; all of them without a number."""
        shown = len(self) if events is None else events
        left, width, row = 200, 224, 52
        sheet = _Sheet(left + width * len(EVENTS) + 30, 84 + row * len(PLACES) + 44)
        for column, title in enumerate(_SHORT):
            ink = LIT_EDGE if column < shown else MUTED
            sheet.text(left + width * (column + 0.5), 36, title, 12.5, ink, "bold", "center", True)
        for number, (name, path) in enumerate(PLACES.items()):
            y = 64 + row * number
            sheet.text(24, y + 15, name, 12.5, INK, "bold")
            sheet.text(24, y + 33, path, 11, MUTED, mono=True)
            for column, found in enumerate(self.found):
                x = left + width * column
                sheet.box(x + 6, y, width - 12, row - 8, FAINT, LINE, 7)
                self._draw_cell(sheet, x, y, width, row - 8, name in found if column < shown else None, name, column)
        right, count = self.score
        told = f"your guesses: {right} of {count} right" if count else "no guesses yet"
        sheet.text(24, 64 + row * len(PLACES) + 20, told if shown == len(self) else "", 12, INK, "bold")
        return sheet.picture(self.in_words(shown))

    def _draw_cell(self, sheet, x, y, width, height, survived, name, column) -> None:
        middle, guess = y + height / 2, self.guesses[name][column]
        if survived is not None:
            sheet.box(x + 12, y + 6, 92, height - 12, HUES[2] if survived else "#475569", radius=6)
            sheet.text(x + 58, middle, "still there" if survived else "gone", 11.5, CARD, "bold", "center")
        if guess == "?":
            return
        sheet.text(x + 114, middle, f"you: {guess}", 11.5, MUTED)
        if survived is not None:
            hit = (guess == "yes") is survived
            sheet.text(x + width - 36, middle, "✓" if hit else "✗", 14, HUES[2] if hit else HUES[9], "bold", "center")

    def in_words(self, events: int | None = None) -> str:
        """What the picture shows, as text for a screen reader."""
        shown = self.found if events is None else self.found[:events]
        told = [
            f"{event}: {', '.join(name for name in PLACES if name in found) or 'nothing'}"
            for event, found in zip(EVENTS, shown)
        ]
        return "what is still there after a container was " + "; ".join(told) if told else "nothing has happened yet"
