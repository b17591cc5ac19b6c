"""Where an ordinary user's images, containers and state are: the XDG directories.

Source: XDG Base Directory Specification; pam_systemd(8), XDG_RUNTIME_DIR.
"""

from __future__ import annotations

import os
import stat

from minict.runtime import paths
from minict.runtime.errors import ContainerError

_REMEDY = "set MINICT_ROOT and MINICT_RUN to directories of yours, or run minict as root, with sudo"


def settle(uid: int) -> None:
    """Set MINICT_ROOT and MINICT_RUN for this process and its children, unless the user *uid* has set them.

    Raises :class:`ContainerError` for a directory that belongs to somebody else.
    """
    if not os.environ.get("MINICT_ROOT"):
        data = os.environ.get("XDG_DATA_HOME") or f"{os.path.expanduser('~')}/.local/share"
        os.environ["MINICT_ROOT"] = f"{data}/minict"
    if not os.environ.get("MINICT_RUN"):
        os.environ["MINICT_RUN"] = f"{_runtime_directory(uid)}/minict"
    for path in (paths.data_root(), paths.run_root()):
        try:
            os.makedirs(path, 0o700, exist_ok=True)
            owner = os.stat(path).st_uid
        except OSError as error:
            raise ContainerError(f"{path}: {error.strerror}; {_REMEDY}", errno=error.errno) from None
        if owner != uid:
            raise ContainerError(f"{path} belongs to another user: {_REMEDY}")


def _runtime_directory(uid: int) -> str:
    """XDG_RUNTIME_DIR; without a login by systemd, as after ``su``, a private directory in /tmp."""
    for path in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{uid}"):
        if path and os.path.isdir(path) and os.stat(path).st_uid == uid:
            return path
    path = f"/tmp/minict-{uid}"
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    status = os.lstat(path)
    if status.st_uid != uid or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise ContainerError(f"{path} is not a private directory of yours: remove it, or set XDG_RUNTIME_DIR")
    return path


def path(name: str) -> str:
    """The path of the file *name* of this user's namespaces: ``keeper``, ``socket``, ``net``, ``lock``."""
    return f"{paths.run_root()}/rootless/{name}"
