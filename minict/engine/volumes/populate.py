"""An empty volume gets what the image has in its place: once, and all of it.

The content is first copied to ``filling`` beside the volume's ``_data``, then ``filling`` is renamed to ``filled``,
and then each thing in it is renamed into ``_data``.  Whoever is killed before the second step leaves an empty volume,
which the next one fills; whoever is killed after it leaves ``filled``, which the next one empties into ``_data``.  Why
not one rename of the whole?  A container may have the empty ``_data`` mounted: it would go on with a directory that
nobody finds any more.

A lock (flock) on the volume's directory makes two containers that start at once take turns.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from minict.runtime.errors import ContainerError
from minict.runtime.files import remove_tree


def fill(volume, image, path: str) -> None:
    """Copy what *image* has in the directory *path* into the *volume*, if that is empty.  Raises
    :class:`ContainerError`."""
    if not _may_want(volume) or not _may_have(image, path):  # most often: then not even the lock is taken
        return finish(volume)
    lock = os.open(volume.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _finish(volume)
        if not os.listdir(volume.mountpoint):
            _copy(volume, image, path)
            _finish(volume)
    finally:
        os.close(lock)


def finish(volume) -> None:
    """Complete a filling whose maker was killed after the point of no return.  Raises :class:`OSError`."""
    if os.path.isdir(f"{volume.directory}/filled"):
        lock = os.open(volume.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _finish(volume)
        finally:
            os.close(lock)


def _may_want(volume) -> bool:
    return os.path.isdir(f"{volume.directory}/filled") or not os.listdir(volume.mountpoint)


def _may_have(image, path: str) -> bool:
    """Whether a layer of the image has *path*, or a link on the way there; if none has, the image has not."""
    for layer in image.layers:
        place = layer
        for name in path.split("/")[1:]:
            place = f"{place}/{name}"  # all above is a directory: no link is followed here
            try:
                mode = os.lstat(place).st_mode
            except (FileNotFoundError, NotADirectoryError):
                break
            if stat.S_ISLNK(mode):
                return True
        else:
            return True
    return False


def _copy(volume, image, path: str) -> None:
    """Bring what the image has there to ``filled``; nothing, when it has no directory there."""
    from minict.engine.archive import fsview, transfer
    from minict.engine.images import overlay

    filling = f"{volume.directory}/filling"
    remove_tree(filling)
    os.mkdir(filling, 0o755)
    source = transfer.End(overlay.of_image(image, volume.directory), f"{path}/.", f"{path} of the image {image.name}")
    try:
        transfer.copy(source, transfer.End(fsview.Host(), f"{filling}/.", f"the volume {volume.name}"), adopt=True)
    except ContainerError as error:
        remove_tree(filling)
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return
        raise
    os.rename(filling, f"{volume.directory}/filled")


def _finish(volume) -> None:
    """Empty ``filled`` into the volume.  What a container has written there meanwhile stays."""
    filled, target = f"{volume.directory}/filled", volume.mountpoint
    if not os.path.isdir(filled):
        return
    for name in os.listdir(filled):
        if not os.path.lexists(f"{target}/{name}"):
            os.rename(f"{filled}/{name}", f"{target}/{name}")
    import shutil

    status = os.stat(filled)
    os.chown(target, status.st_uid, status.st_gid)
    shutil.copystat(filled, target)  # mode, times and attributes
    remove_tree(filled)
