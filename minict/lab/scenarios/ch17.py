"""Chapter 17: a menu that is built every day, and has never shown the dish of the day."""

from __future__ import annotations

import minict

from ..builds import Kitchen
from ..feedback import Feedback
from ..scenario import Scenario

_DOCKERFILE = """
FROM larder
COPY always /dishes/always
RUN cat /dishes/* > /menu
COPY today /dishes/today
CMD ["cat", "/menu"]
"""
_ALWAYS, _TOMORROW = "always: bread", "today: cherry pie"


class Board:
    """A menu board: its *kitchen* has the Dockerfile, and the files ``always`` and ``today``."""

    def __init__(self):
        self.kitchen = Kitchen("larder")
        self.kitchen.write("always", _ALWAYS)
        self.kitchen.write("Dockerfile", _DOCKERFILE)
        self.cook("today: onion soup")
        self.build()

    def __repr__(self):
        return f"<a menu board; stuck.kitchen is {self.kitchen!r}>"

    @property
    def dockerfile(self) -> str:
        """The Dockerfile as it is now."""
        with open(f"{self.kitchen.directory}/Dockerfile") as file:
            return file.read()

    def cook(self, dish: str) -> None:
        """Write the dish of the day into the file ``today``."""
        self.kitchen.write("today", dish)

    def build(self, dockerfile: str | None = None, **options):
        """Build the image ``board``, with a new *dockerfile* if there is one; *options*: of :func:`minict.build`."""
        return self.kitchen.build(dockerfile, tag=["board"], **options)

    def menu(self) -> str:
        """What a new container of the image shows."""
        return minict.run("board", network="none").output


def start() -> Board:
    """The board on its first day."""
    return Board()


def end(board: Board) -> None:
    """Its image and its kitchen go."""
    board.kitchen.close()


def check(board: Board) -> None:
    """Tomorrow's dish: written, built with the cache, and shown by a new container."""
    with open(f"{board.kitchen.directory}/today") as file:
        today = file.read()
    board.cook(_TOMORROW)
    try:
        board.build()
        shown = board.menu()
    except minict.ContainerError as error:
        raise Feedback(f"With tomorrow's dish it can't be built or run: {error}.") from None
    finally:
        board.cook(today)
        board.build()
    if _ALWAYS not in shown:
        raise Feedback(f"The bread, which belongs on the menu every day, is gone. The menu says {shown!r}.")
    if _TOMORROW not in shown:
        raise Feedback(
            f"Another day: the cook wrote {_TOMORROW!r} into the file today, and built. The menu says {shown!r}."
        )


def repair(board):
    """First everything that the menu is made of, then the menu."""
    board.build('FROM larder\nCOPY always today /dishes/\nRUN cat /dishes/* > /menu\nCMD ["cat", "/menu"]')


def _without_cache(board):
    board.build(use_cache=False)


def _by_hand(board):
    with minict.run("board", "sleep 100000", network="none", detach=True) as box:
        box.exec(["sh", "-c", "cat /dishes/* > /menu"])
        box.commit("board")


def _in_the_dockerfile(board):
    board.build(
        'FROM larder\nRUN echo "always: bread" > /menu; echo "today: onion soup" >> /menu\nCMD ["cat", "/menu"]'
    )


def _today_alone(board):
    board.build('FROM larder\nCOPY today /dishes/today\nRUN cat /dishes/* > /menu\nCMD ["cat", "/menu"]')


Scenario(
    "stuck",
    "Every day the cook writes the dish of the day into a file and builds the menu anew, and no menu has ever shown "
    "that dish, with the cache or without it.",
    minutes=6,
    start=start,
    check=check,
    end=end,
    clues=[
        "print(stuck.dockerfile), and read it from top to bottom. What is in /dishes when /menu is made?",
        "Each line sees what the lines above it have made. The cache has nothing to do with it: without it, the order "
        "is the same.",
        "Everything that a RUN reads has to be copied before it. stuck.build(text) builds with another Dockerfile.",
    ],
    solution=repair,
    wrong={
        "builds without the cache": (_without_cache, "Another day"),
        "makes the menu by hand": (_by_hand, "Another day"),
        "writes the dish into the Dockerfile": (_in_the_dockerfile, "Another day"),
        "leaves out the bread": (_today_alone, "is gone"),
    },
)
