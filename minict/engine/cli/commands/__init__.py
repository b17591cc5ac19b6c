"""The commands: a module for each group, with a table COMMANDS and the functions behind it.

A function gets the options as a dictionary and the arguments as a list, prints what the user wants to know, and leaves
the work to another package of :mod:`minict.engine`, which it imports inside the function.
"""

from __future__ import annotations


def each(names: list[str], do, missing_ok: bool = False) -> int:
    """Call *do* with each of the *names* and print what it returns; return the exit status.

    An error is printed and does not stop the others; the exit status is then 1, as Docker's. *missing_ok*: an object
    that does not exist does not count as an error, as with ``rm --force``.
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
