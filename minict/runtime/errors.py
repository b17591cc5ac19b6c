"""The one exception of the runtime, and the exit statuses that Docker's users know."""

from __future__ import annotations

OUR_ERROR = 125  # the runtime itself failed
NOT_EXECUTABLE = 126  # the command exists and cannot be executed
NOT_FOUND = 127  # the command does not exist


class ContainerError(Exception):
    """A container could not be created or changed.

    Its text is one sentence that names the object, the cause and the remedy. *step* is the step of
    the container's start that failed (None outside of one), *errno* the kernel's error number (None
    if the kernel did not refuse anything), *status* the exit status that a command should end with.
    Source: Docker's documentation, "docker run", exit status.
    """

    def __init__(
        self, message: str, *, step: str | None = None, errno: int | None = None, status: int = OUR_ERROR
    ) -> None:
        super().__init__(message)
        self.step = step
        self.errno = errno
        self.status = status
