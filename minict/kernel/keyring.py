"""The session keyring: keys and passwords that the kernel keeps for a login session and all that is started in it."""

from __future__ import annotations

import errno

from .syscall import syscall

_KEYCTL_JOIN_SESSION_KEYRING = 1  # linux/keyctl.h


def begin_session_keyring() -> None:
    """Give the calling process an empty session keyring in place of the one that it has inherited.

    Does nothing where keys can't be used at all: a kernel without them, or a filter that forbids keyctl to us and all
    children. Raises :class:`OSError`, EDQUOT when this user has too many keys. Source: keyctl_join_session_keyring(3),
    session-keyring(7).
    """
    try:
        syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
