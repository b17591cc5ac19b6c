"""Errors as the user sees them: one sentence, and the exit status that Docker would use."""

from __future__ import annotations

import os

from minict.runtime.errors import OUR_ERROR, ContainerError


def tell(error: BaseException) -> None:
    """Print *error* as one sentence on standard error."""
    from minict.engine.util.progress import printable

    os.write(2, f"minict: {printable(sentence(error))}\n".encode(errors="replace"))


def status_of(error: BaseException, words: list[str]) -> int:
    """The exit status for *error*: 125 for ``run``, where 1 may be the container's own status; otherwise 1."""
    status = getattr(error, "status", OUR_ERROR)
    return 1 if status == OUR_ERROR and "run" not in (words[:1], words[1:2])[words[:1] == ["container"]] else status


def sentence(error: BaseException) -> str:
    """*error* as one sentence: a :class:`ContainerError` is one already, an error of the system becomes one."""
    if isinstance(error, ContainerError):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        path = f"{error.filename}: " if error.filename else ""
        remedy = {
            28: "; make room, or set MINICT_ROOT and MINICT_RUN to another disk",
            30: "; set MINICT_ROOT and MINICT_RUN to a writable directory",
        }.get(error.errno, "")
        return f"{path}{error.strerror}{remedy}"
    return (
        f"internal error: {type(error).__name__}: {error}; please report this bug with the output of 'minict --debug …'"
    )
