"""How sharp are the checks?  Every reference solution with one small fault in it, given as an answer.

``python -m tests.support.mutants [ID…]`` lists the mutants that pass a check.  Some do: their change has no effect.
"""

from __future__ import annotations

import sys

from minict.lab.exercise import exercises
from minict.lab.mutants import survivors
from tests.support import world  # noqa: F401  enters the world of its own


def main(ids: list[str]) -> None:
    all_caught = everything = 0
    for id in ids or exercises():
        total, taken = survivors(exercises()[id])
        all_caught, everything = all_caught + total - len(taken), everything + total
        print(
            f"{id:<14} {total - len(taken)} of {total} caught",
            *[f"    taken for right: {name}" for name in taken],
            sep="\n",
            flush=True,
        )
    print(f"{all_caught} of {everything} mutants caught")


if __name__ == "__main__":
    main(sys.argv[1:])
