"""``python -m minict.lab``: the course in the browser; ``--reset 02``: a fresh copy of a chapter.  ``minict lab`` is
the same."""

from __future__ import annotations

import argparse
import os
import sys

from . import copies


def main(words: list[str]) -> int:
    """Run the command line *words*; return the exit status."""
    parser = argparse.ArgumentParser("minict lab", description="Open the course in the browser.")
    parser.add_argument(
        "--reset", metavar="CHAPTER", help="make a new copy of a chapter, such as 02, and keep the old one aside"
    )
    options = parser.parse_args(words)
    if options.reset is None:
        try:
            from . import server
        except ModuleNotFoundError as error:
            print(f"minict: the course needs the Python package {error.name}: run 'sudo make lab'", file=sys.stderr)
            return 1
        return server.main([])
    if not options.reset.isdecimal():
        print(f"minict: invalid chapter {options.reset!r}: use a number such as 02", file=sys.stderr)
        return 1
    try:
        copy, kept = copies.reset(int(options.reset))
    except KeyError as error:
        print(f"minict: {error.args[0]}", file=sys.stderr)
        return 1
    print(f"{os.path.relpath(copy.path, copies.CHECKOUT)} is new.")
    if kept:
        print(f"Your old copy is {os.path.relpath(kept, copies.CHECKOUT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
