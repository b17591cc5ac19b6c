"""The disk space that a directory takes."""

from __future__ import annotations

import os

_LONGEST = 2048  # characters of a path that is opened at once; the kernel takes 4096


class _Base:
    """A directory from which paths begin. It stays open as long as it is needed."""

    def __init__(self, fd: int):
        self.fd = fd

    def __del__(self):
        os.close(self.fd)


def usage(directory: str) -> int:
    """The bytes of all files below *directory*, a file with many names counted once; 0 when it is not there.

    Files that vanish meanwhile, or cannot be opened, are not counted. Paths may be longer than the kernel accepts: one
    container with such paths must not spoil the figures of all.
    """
    total, seen = 0, set()
    try:
        waiting = [(_Base(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)), ".")]
    except OSError:
        return 0
    while waiting:
        base, path = waiting.pop()
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=base.fd)
        except OSError:  # it has vanished, or is not a directory any more
            continue
        try:
            if len(path) > _LONGEST:
                base, path = _Base(os.dup(fd)), "."
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((base, f"{path}/{entry.name}"))
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink == 1 or (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        total += status.st_size
        except OSError:
            pass
        finally:
            os.close(fd)
    return total
