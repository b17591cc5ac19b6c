"""For chapter 17: builds that tell which steps were executed, and the string of beads.

A :class:`Kitchen` is a build context in a temporary directory. Its base image, ``pantry``, is new each time, so that no
earlier build has left anything in the cache for it.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import subprocess
import tempfile
import threading
import time

import minict
from minict.engine.images import buildcache, store
from minict.engine.images import image as images
from minict.runtime.errors import ContainerError

from .figures import BUILT, BUILT_EDGE, CARD, FAINT, HUES, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet, _short
from .layers import disk_usage

PANTRY = "pantry"
CACHED, EXECUTED, NOTED = "cached", "executed", "noted"
_LAYER_MAKERS = ("RUN", "COPY", "ADD", "WORKDIR")


class Step:
    """A line of a Dockerfile that was built: its *text*, its *state* (``cached``, ``executed``, or ``noted`` for a line
    that makes no layer) and when it began, in *seconds*."""

    def __init__(self, text: str, state: str, seconds: float):
        self.text, self.state, self.seconds = text, state, seconds


class Built:
    """A finished build: its *steps*, the *image*, and the *output* of its commands."""

    def __init__(self, steps: list[Step], image: images.Image, output: str, seconds: float):
        self.steps, self.image, self.output, self.seconds = steps, image, output, seconds

    def __repr__(self):
        return "\n".join(f"{'' if each.state == NOTED else each.state:10}{each.text}" for each in self.steps)

    @property
    def states(self) -> list[str]:
        """The state of each step that makes a layer."""
        return [each.state for each in self.steps if each.state != NOTED]


def build(directory: str, **options) -> Built:
    """Do what :func:`minict.build` does, and return what happened, step by step.  Its commands have no network.

    Raises :class:`ContainerError`.
    """
    steps: list[Step] = []

    def say(line: str) -> None:
        if line.startswith("  "):
            steps[-1].state = CACHED
        else:
            name = line.split(maxsplit=1)[0].upper()
            steps.append(Step(line, EXECUTED if name in _LAYER_MAKERS else NOTED, time.monotonic()))

    begin = time.monotonic()
    with tempfile.TemporaryFile() as output:
        try:
            image = minict.build(directory, say=say, output=output.fileno(), settings={"network": ["none"]}, **options)
        except ContainerError as error:
            output.seek(0)
            told = output.read().decode(errors="replace").strip()
            raise ContainerError(f"{error}{f': {told}' if told else ''}", status=error.status) from None
        output.seek(0)
        return Built(steps, image, output.read().decode(errors="replace"), time.monotonic() - begin)


_open: dict[str, Kitchen] = {}  # by the names of their base images


class Kitchen:
    """A build context: :attr:`directory`, with the files that :meth:`write` makes; and *base*, a new image.

    :meth:`close` removes the directory, and the images that have been built here. A new kitchen with the same *base*
    closes the one before it.
    """

    def __init__(self, base: str = PANTRY):
        if base in _open:  # its cell was run again
            _open[base].close()
        self.base, self.before = base, set(store.ids())
        self._place = tempfile.TemporaryDirectory(prefix="minict-kitchen-")
        self.directory = self._place.name
        self.built: list[str] = []
        _open[base] = self
        new = os.urandom(16).hex()  # no two pantries are equal
        with minict.run("tiny", "sleep 100000", network="none", detach=True) as box:
            box.exec(["sh", "-c", f"echo {new} > /etc/pantry"])
            self.pantry = box.commit(base)

    def __repr__(self):
        return f"<a kitchen with {', '.join(sorted(os.listdir(self.directory))) or 'nothing in it'}>"

    def write(self, path: str, text: str | bytes) -> None:
        """Write a file of the context, with a newline at its end."""
        full = os.path.join(self.directory, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.strip("\n").encode() + b"\n")

    def sh(self, command: str) -> None:
        """Run a shell *command* in the directory.  Raises :class:`subprocess.CalledProcessError`."""
        subprocess.run(command, shell=True, check=True, cwd=self.directory)

    def build(self, dockerfile: str | None = None, **options) -> Built:
        """Build what the *dockerfile* says, or the one in the directory.  *options*: of :func:`minict.build`."""
        if dockerfile is not None:
            self.write("Dockerfile", dockerfile)
        built = build(self.directory, **options)
        self.built.append(built.image.id)
        return built

    def close(self) -> None:
        """Remove the directory, and every image that is based on the pantry or was built here."""
        self._place.cleanup()
        _open.pop(self.base, None)
        for id in set(store.ids()) - self.before:
            _remove(id, self.pantry.digests, {*self.built, *_without_names(buildcache.images())})
        forget_lost_steps()


def _without_names(ids: set[str]) -> set[str]:
    return ids - set(store.names())


def _remove(id: str, base: list[str], built: set[str]) -> None:
    try:
        image = images.Image.load(id)
        if id in built or image.digests[: len(base)] == base:
            images.remove(id, force=True)
    except (ContainerError, FileNotFoundError):
        pass  # another notebook has removed it, or a container of its own runs it


def forget_lost_steps() -> None:
    """Remove the entries of the build cache whose images are gone."""
    for name in os.listdir(buildcache.directory()) if os.path.isdir(buildcache.directory()) else ():
        if not name.startswith(".") and buildcache.recall(name) is None:
            try:
                os.unlink(f"{buildcache.directory()}/{name}")
            except FileNotFoundError:
                pass


class Market:
    """A web server on loopback whose one page is :attr:`prices`. :attr:`url` is its address."""

    def __init__(self, prices: str):
        market, self.prices = self, prices

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                data = market.prices.encode() + b"\n"
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *words):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/prices"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()


def layer_sizes(image: images.Image, base: images.Image) -> list[int]:
    """The bytes on the disk of each layer of *image* above *base*, the lowest first."""
    own = image.layers[: len(image.layers) - len(base.layers)]
    return [disk_usage(layer) for layer in reversed(own)]


# ---- the string of beads -----------------------------------------------------------------------------------------


def beads(
    kitchen: Kitchen, dockerfile: str, changes: dict[str, str], guesses: dict[str, int | str] | None = None
) -> Beads:
    """Build the *dockerfile* in copies of the *kitchen*, without its .dockerignore, one after each of the *changes*,
    titles with shell commands.

    *guesses*: for each title the number of the first step that is executed again, 0 for none, as a number or a text;
    ``?`` does not count. What was built earlier does not count either: beads that are made twice are the same.
    Raises :class:`ValueError` for other guesses, and :class:`ContainerError`.
    """
    if unknown := [title for title in guesses or {} if title not in changes]:
        raise ValueError(f"there is no change {unknown[0]!r}: there are {', '.join(changes)}")
    with _an_empty_cache():
        first = _after(kitchen, dockerfile)
        numbers = {title: _number(title, guess, len(first.states)) for title, guess in (guesses or {}).items()}
        return Beads(first, {title: _after(kitchen, dockerfile, each) for title, each in changes.items()}, numbers)


def _number(title: str, guess: int | str, count: int) -> int | str:
    """A *guess* as a number, or ``?``.  A reader who leaves the quotes around it is right, too."""
    text = str(guess).strip()
    if text == "?":
        return text
    if not text.isdecimal() or int(text) > count:
        raise ValueError(f"the guess for {title!r} is {guess!r}: use a number from 0 (none) to {count}, or '?'")
    return int(text)


@contextlib.contextmanager
def _an_empty_cache():
    """In a ``with`` statement: the keys of all steps differ from those of every other build, as in an empty cache."""
    own, new = buildcache.key, os.urandom(16).hex()
    buildcache.key = lambda *parts: own(new, *parts)
    try:
        yield
    finally:
        buildcache.key = own


def _after(kitchen: Kitchen, dockerfile: str, command: str = ":") -> Built:
    """Build a copy of the *kitchen* in which the shell *command* has changed something."""
    with tempfile.TemporaryDirectory(prefix="minict-kitchen-") as place:
        copy = f"{place}/copy"
        shutil.copytree(kitchen.directory, copy, symlinks=True, ignore=shutil.ignore_patterns(".dockerignore"))
        with open(f"{copy}/Dockerfile", "w") as file:
            file.write(dockerfile)
        subprocess.run(command, shell=True, check=True, cwd=copy)
        built = build(copy)
        kitchen.built.append(built.image.id)
        return built


class Beads:
    """The builds after each change: *builds* by title, beside the *guesses*.  ``len()``: how many changes."""

    def __init__(self, first: Built, builds: dict[str, Built], guesses: dict[str, int | str]):
        self.first, self.builds, self.guesses = first, builds, guesses

    def __len__(self):
        return len(self.builds)

    def __repr__(self):
        return repr(self.picture())

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture()._repr_mimebundle_()

    def first_executed(self, title: str) -> int:
        """The number of the first step that was executed again, from 1 on; 0 for none."""
        states = self.builds[title].states
        return states.index(EXECUTED) + 1 if EXECUTED in states else 0

    @property
    def score(self) -> tuple[int, int]:
        """How many guesses were right, and how many there were."""
        told = {title: guess for title, guess in self.guesses.items() if guess != "?"}
        return sum(self.first_executed(title) == guess for title, guess in told.items()), len(told)

    def draw(self, changes: int) -> str:
        """HTML: the first so many *changes*, for :func:`minict.lab.live`."""
        return self.picture(changes).as_html()

    def picture(self, changes: int | None = None) -> Picture:
        """The first *changes* rows as a picture; all of them without a number."""
        shown = len(self) if changes is None else changes
        steps = [each.text for each in self.first.steps if each.state != NOTED]
        left, width, row, top = 250, 118, 40, 92
        right = left + width * len(steps)
        sheet = _Sheet(right + 150, top + row * len(self) + 40)
        for column, text in enumerate(steps):
            name, _, rest = text.partition(" ")
            x = left + width * (column + 0.5)
            sheet.text(x, 24, f"step {column + 1}", 11, MUTED, align="center")
            sheet.text(x, 44, name, 12, INK, "bold", "center", True)
            sheet.text(x, 62, _short(rest, width / 7.6), 10.5, MUTED, align="center", mono=True)
        sheet.text(right + 14, 44, "seconds", 12, INK, "bold")
        for number, (title, built) in enumerate(self.builds.items()):
            y = top + row * number
            sheet.text(24, y, title, 12, INK if number < shown else MUTED, "bold")
            self._draw_string(sheet, left, width, y, built if number < shown else None)
            if number < shown:
                self._draw_verdict(sheet, right + 14, y, title, built)
        hits, count = self.score
        told = f"your guesses: {hits} of {count} right" if count else "no guesses yet"
        sheet.text(24, top + row * len(self) + 8, told if shown == len(self) else "", 12, INK, "bold")
        return sheet.picture(self.in_words(shown))

    def _draw_string(self, sheet, left, width, y, built: Built | None) -> None:
        states = built.states if built else [None] * len(self.first.states)
        sheet.line([(left + width / 2, y), (left + width * (len(states) - 0.5), y)], LINE, 3)
        for column, state in enumerate(states):
            x = left + width * (column + 0.5)
            face, edge, says = {
                CACHED: (BUILT, BUILT_EDGE, "cache"),
                EXECUTED: (LIT, LIT_EDGE, "again"),
                None: (FAINT, LINE, ""),
            }[state]
            sheet.box(x - 30, y - 13, 60, 26, face, edge, 13, 1.4)
            sheet.text(x, y, says, 11, CARD if state == EXECUTED else INK, "bold", "center")

    def _draw_verdict(self, sheet, x, y, title: str, built: Built) -> None:
        sheet.text(x, y, f"{built.seconds:.2f}", 12, INK, mono=True)
        guess = self.guesses.get(title, "?")
        if guess != "?":
            hit = guess == self.first_executed(title)
            sheet.text(x + 48, y, f"you: {guess}", 11, MUTED)
            sheet.text(x + 100, y, "✓" if hit else "✗", 14, HUES[2] if hit else HUES[9], "bold")

    def in_words(self, changes: int | None = None) -> str:
        """What the picture shows, as text for a screen reader."""
        titles = list(self.builds)[:changes]
        told = [
            f"{title}: {f'executed again from step {first}' if (first := self.first_executed(title)) else 'all cached'}"
            for title in titles
        ]
        return "; ".join(told) if told else "nothing has been changed yet"
