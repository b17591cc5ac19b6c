"""The session keyring: keys and passwords that the kernel keeps for a login session and everything started in it."""

from __future__ import annotations

import errno

from .syscall import syscall

_KEYCTL_JOIN_SESSION_KEYRING = 1  # linux/keyctl.h


def begin_session_keyring() -> None:
    """Replace the inherited session keyring of the calling process by a new, empty one.

    Does nothing where keys cannot be used at all: the kernel lacks them, or a seccomp filter forbids keyctl.
    Raises :class:`OSError`, EDQUOT when this user has too many keys.
    Source: keyctl_join_session_keyring(3), session-keyring(7).
    """
    try:
        syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
