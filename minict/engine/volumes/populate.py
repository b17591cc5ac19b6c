"""Copy the image's content into an empty volume: once, and completely.

The content is first copied to ``filling`` beside the volume's ``_data``, then ``filling`` is renamed to ``filled``, and
then everything in it is renamed into ``_data``.  A process killed before the first rename leaves an empty volume, which
the next one fills; a process killed after it leaves ``filled``, which the next one moves into ``_data``.  Renaming the
whole directory instead would not work: a container may have the empty ``_data`` mounted, and would keep a directory
that no other process can find.

A lock (flock(2)) on the volume's directory serializes containers that start at the same time.
"""

from __future__ import annotations

import errno
import os
import stat

from minict.runtime import locks
from minict.runtime.errors import ContainerError
from minict.runtime.files import remove_tree


def fill(volume, image, path: str) -> None:
    """Copy the directory *path* of *image* into the *volume*, if it is empty. Raises :class:`ContainerError`."""
    if not _may_want(volume) or not _may_have(image, path):  # usually: then the lock is not needed
        return finish(volume)
    with locks.Held(volume.directory):
        _finish(volume)
        if not os.listdir(volume.mountpoint):
            _copy(volume, image, path)
            _finish(volume)


def finish(volume) -> None:
    """Complete the work of a process that was killed after the first rename. Raises :class:`OSError`."""
    if os.path.isdir(f"{volume.directory}/filled"):
        with locks.Held(volume.directory):
            _finish(volume)


def _may_want(volume) -> bool:
    return os.path.isdir(f"{volume.directory}/filled") or not os.listdir(volume.mountpoint)


def _may_have(image, path: str) -> bool:
    """Whether a layer of the image has *path*, or a link on the way; otherwise the image has nothing there."""
    for layer in image.layers:
        place = layer
        for name in path.split("/")[1:]:
            place = f"{place}/{name}"  # everything above is a directory: no link is followed here
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
    """Copy the image's content to ``filled``; nothing if it has no directory there."""
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
    """Move ``filled`` into the volume. What a container has written there meanwhile stays."""
    filled, target = f"{volume.directory}/filled", volume.mountpoint
    if not os.path.isdir(filled):
        return
    for name in os.listdir(filled):
        if not os.path.lexists(f"{target}/{name}"):
            os.rename(f"{filled}/{name}", f"{target}/{name}")
    take_over(filled, target)
    remove_tree(filled)


def take_over(source: str, target: str) -> None:
    """Give the directory *target* the owner, the group, the mode, the times and the attributes of *source*.

    Raises :class:`OSError`. Source: chown(2), chmod(2).
    """
    import shutil

    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid)
    shutil.copystat(source, target)  # all but the owner and the group
