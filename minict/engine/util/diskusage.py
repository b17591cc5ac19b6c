"""minict.engine.util.diskusage"""

from __future__ import annotations

import os


def usage(directory: str) -> int:
    """The bytes of all files below *directory*, a file with many names counted once; 0 when it is not there.

    It may be changing meanwhile: what vanishes before it is counted is not counted.
    """
    total, seen, waiting = 0, set(), [directory]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink == 1 or (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        total += status.st_size
        except (FileNotFoundError, NotADirectoryError):
            pass
    return total
