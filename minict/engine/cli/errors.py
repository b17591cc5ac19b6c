"""minict.engine.cli.errors"""

from __future__ import annotations

import os

from minict.runtime.errors import OUR_ERROR, ContainerError


def tell(error: BaseException) -> None:
    """Say on the error output what went wrong."""
    from minict.engine.util.progress import printable

    os.write(2, f"minict: {printable(sentence(error))}\n".encode(errors="replace"))


def status_of(error: BaseException, words: list[str]) -> int:
    """The exit status for an *error* of our own: 125 for ``run``, where 1 would be the container's, and else 1."""
    status = getattr(error, "status", OUR_ERROR)
    return 1 if status == OUR_ERROR and "run" not in (words[:1], words[1:2])[words[:1] == ["container"]] else status


def sentence(error: BaseException) -> str:
    """What a person is told: our own errors are sentences already, the system's become one."""
    if isinstance(error, ContainerError):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        path = f"{error.filename}: " if error.filename else ""
        remedy = {
            28: "; make room, or set MINICT_ROOT and MINICT_RUN to another disk",
            30: "; set MINICT_ROOT and MINICT_RUN to a place that can be written to",
        }.get(error.errno, "")
        return f"{path}{error.strerror}{remedy}"
    return f"{type(error).__name__}: {error} (this is a mistake of minict's: 'minict --debug …' shows where)"
