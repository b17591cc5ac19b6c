"""Errors as engines read them: one sentence on standard error, and a line in the log, as text or as JSON.

containerd shows the last line of the JSON log to its user, conmon what was written to standard error. Both, and Docker
and Podman above them, look for certain words to find out what went wrong: :func:`sentence` adds them where the runtime
says it in other words. Sources: go-runc, runc.go; moby, daemon/errors.go; libpod, oci_conmon_common.go.
"""

from __future__ import annotations

import fcntl
import os
import time

from minict.runtime import jsonfile
from minict.runtime.errors import NOT_EXECUTABLE, NOT_FOUND, ContainerError

_OUT_OF_THE_WAY = 100  # the lowest number of our descriptor: those from 3 on may be for the container, if they are open


class Log:
    """The log of one call: *path* is the file, or empty for none; *format* is ``text`` or ``json``."""

    def __init__(self, path: str = "", format: str = "text") -> None:
        if format not in ("text", "json"):
            raise ContainerError(f"unknown log format {format!r}: use text or json")
        self.format = format
        self.fd = -1
        if path:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self.fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
            os.close(fd)

    def write(self, level: str, text: str) -> None:
        """Append one line. *level* is ``error``, ``warning`` or ``debug``. Source: go-runc, getLastRuntimeError."""
        if self.fd < 0:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.format == "json":
            line = jsonfile.dumps({"level": level, "msg": text, "time": now}, compact=True)
        else:
            line = f"time={jsonfile.dumps(now)} level={level} msg={jsonfile.dumps(text)}"
        os.write(self.fd, f"{line}\n".encode())

    def tell(self, error: BaseException) -> None:
        """Write *error* to the log and, in one call, to standard error: conmon reads only once."""
        text = sentence(error)
        self.write("error", text)
        try:
            os.write(2, f"{text}\n".encode(errors="replace"))
        except OSError:
            pass  # the reader has gone

    def warn(self, text: str) -> None:
        """Write a warning to the log and to standard error."""
        self.write("warning", text)
        os.write(2, f"warning: {text}\n".encode(errors="replace"))


def sentence(error: BaseException) -> str:
    """*error* in one line, with the words that engines look for. Source: moby, translateContainerdStartErr."""
    if isinstance(error, (ContainerError, ValueError)):
        text = str(error)
    elif isinstance(error, OSError) and error.errno:
        text = (f"{error.filename}: " if error.filename else "") + str(error.strerror)
    elif isinstance(error, KeyboardInterrupt):
        text = "interrupted"
    else:
        text = f"internal error: {type(error).__name__}: {error}; please report this bug"
    status, lower = getattr(error, "status", 0), text.lower()
    if status == NOT_FOUND and "no such file or directory" not in lower:
        text += " (no such file or directory)" if "/" in _quoted(text) else " (executable file not found in $PATH)"
    if status == NOT_EXECUTABLE and "permission denied" not in lower:
        text += " (permission denied)"
    return text.replace("\n", " ")


def _quoted(text: str) -> str:
    """The first word in quotes: the command."""
    return text.split("'")[1] if text.count("'") > 1 else ""
