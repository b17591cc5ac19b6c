"""The one exception of the runtime, and the exit statuses that a user of Docker knows."""

from __future__ import annotations

OUR_ERROR = 125  # the runtime itself failed
NOT_EXECUTABLE = 126  # the command is there and can't be executed
NOT_FOUND = 127  # the command is not there
SIGNALLED = 128  # + n: the command was ended by signal n


class ContainerError(Exception):
    """Something kept a container from being made or changed.

    Its text is one sentence that names the thing, the cause and the remedy.  *step* is the step of
    the container's birth that failed (None outside one), *errno* the kernel's error number (None
    when it was not the kernel who said no), *status* the exit status that a command should end with.
    """

    def __init__(self, message: str, *, step: str | None = None, errno: int | None = None, status: int = OUR_ERROR):
        super().__init__(message)
        self.step = step
        self.errno = errno
        self.status = status
