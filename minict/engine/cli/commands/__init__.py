"""What can be typed: one module for each concern, each with a table COMMANDS and the functions behind it.

A function gets the options as a dictionary and the arguments as a list, says what a person wants to
know, and leaves the work to the module of :mod:`minict.engine` that does it.  What it needs is imported inside of it.
"""

from __future__ import annotations


def each(names: list[str], do, missing_ok: bool = False) -> int:
    """Call *do* with each of the *names*, and print what it returns; the exit status.

    What goes wrong with one is said, and does not keep the others from it; the exit status is then 1, as Docker's.
    *missing_ok*: not so for what is not there, as with ``rm --force``.
    """
    from errno import ENOENT

    from minict.engine.cli.errors import tell
    from minict.runtime.errors import ContainerError

    status = 0
    for name in names:
        try:
            print(do(name), flush=True)
        except ContainerError as error:
            tell(error)
            status = status if missing_ok and error.errno == ENOENT else 1
    return status
