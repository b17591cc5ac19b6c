"""Capture the flag: a secret word in a prepared file, which can be read only through a weakness.

::

    room = flag("04")          # prepares the file and the place with the weakness, and tells the story
    capture("04", "…")         # is that the word?

The word differs on every machine, so that it cannot be copied from another learner. The file is made for this purpose,
below ``MINICT_RUN``: the weakness leads there, and to no file of the host.  A :class:`Flag` is registered in
``minict/lab/scenarios/chNN.py``.
"""

from __future__ import annotations

import os
import secrets
import sys

from . import leftovers, record
from .verdict import readable, tell

_flags: dict[str, Flag] = {}
_placed: dict[str, object] = {}  # id -> what place() returned, in this notebook
_ANIMALS = """adder badger beaver bison crane dingo eagle ferret gecko heron ibis jackal koala lemur lynx marmot newt
otter panda puffin quail raven seal stork tapir viper walrus wombat yak zebra""".split()
_THINGS = """anchor anvil basket beacon bottle bridge candle compass feather fiddle hammer kettle ladder lantern mirror
needle paddle pepper pillow quiver ribbon saddle shovel spindle teapot thimble trumpet whistle window zipper""".split()


class Flag:
    """A word to capture.  It is registered by being made.

    *id*: the chapter, such as ``04``.  *story*: where the learner starts and what they may use, without the way.
    *place*: a function that gets the word, puts it into a file and returns what the learner starts from.  *solution*: a
    function that gets what *place* returned and returns the word, through the weakness.  *closed*: a function like
    *solution* that tries the same way where the weakness is mended, and raises :class:`OSError` or returns another
    word. *remove*: a function that removes what *place* made.
    """

    def __init__(self, id: str, story: str, *, place, solution, closed, remove):
        if id in _flags:
            raise ValueError(f"there are two flags {id}")
        self.id, self.story, self.place, self.solution, self.closed, self.remove = (
            id,
            story,
            place,
            solution,
            closed,
            remove,
        )
        self.chapter = sys._getframe(1).f_globals["__name__"].rpartition(".")[2].partition("_")[0]  # ch05
        _flags[id] = self


def flags() -> dict[str, Flag]:
    """All flags of the course, by their ids."""
    from .scenario import load

    load()
    return _flags


def find(id: str) -> Flag:
    """The flag *id*.  Raises :class:`KeyError` with a sentence when there is none."""
    if id not in _flags and id not in flags():
        raise KeyError(f"there is no flag {id!r}: there are {', '.join(_flags)}")
    return _flags[id]


def flag(id: str):
    """Prepare the flag *id*, tell its story, and return what the learner starts from. Another call prepares everything
    again."""
    game = find(id)
    remove(id)
    start = _placed[id] = game.place(word(id))
    print(readable(f'{game.story}\nGot the word? capture("{id}", "the-word")'))
    return start


def capture(id: str, guess: str) -> None:
    """Say whether *guess* is the word of the flag *id*."""
    find(id)
    if str(guess).strip().lower() == word(id):
        record.note("flags", id, captured=True)
        tell(f"● flag {id}: captured.")
    else:
        tell(f"✗ flag {id}: that is not the word.")


def word(id: str) -> str:
    """The word of the flag *id* on this machine, created by the first call."""
    known = record.section("flags").get(id, {}).get("word")
    if not known:
        known = f"{secrets.choice(_ANIMALS)}-{secrets.choice(_THINGS)}-{secrets.randbelow(90) + 10}"
        record.note("flags", id, word=known)
    return known


def prepared_file(id: str, text: str) -> str:
    """Write *text* to a file of the host that only root can read, and return its path: for a flag's *place*."""
    from minict.runtime import paths

    directory = f"{paths.run_root()}/flags"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = f"{directory}/{id}-{os.getpid()}"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)
    leftovers.note(path)
    return path


def remove(id: str) -> None:
    """Remove what the flag *id* has made, if this notebook has prepared it."""
    if id in _placed:
        find(id).remove(_placed.pop(id))
    from minict.runtime import paths

    path = f"{paths.run_root()}/flags/{id}-{os.getpid()}"
    if os.path.exists(path):
        os.remove(path)


def remove_all() -> None:
    """Remove what the flags of this notebook have made."""
    for id in list(_placed):
        remove(id)
