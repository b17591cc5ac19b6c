"""Small helpers on files, without :mod:`shutil` and :mod:`tempfile`, whose import takes longer than a container's birth."""
from __future__ import annotations

import os


def remove_tree(path: str) -> None:
    """Remove the directory *path* with all that is in it, never following a link and never crossing into a mount.

    What is not there any more is no error: two may remove at once.
    """
    try:
        device = os.lstat(path).st_dev
    except FileNotFoundError:
        return
    for directory, names, files, here in os.fwalk(path, topdown=False, follow_symlinks=False):
        if os.fstat(here).st_dev != device:
            raise OSError(f"{directory} is a mount: it is not removed")
        for name in files:
            _quietly(os.unlink, name, here)
        for name in names:
            try:
                os.rmdir(name, dir_fd=here)
            except NotADirectoryError:  # a link to a directory counts as one
                _quietly(os.unlink, name, here)
            except FileNotFoundError:
                pass
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass


def _quietly(remove, name: str, directory: int) -> None:
    try:
        remove(name, dir_fd=directory)
    except FileNotFoundError:
        pass
