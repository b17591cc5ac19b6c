"""Layers of build steps: the changes that a step makes to the files of an image become an image with one more layer.

Nothing is executed here, and no container is made. A killed build leaves a directory in the store without a lock, which
``minict prune`` removes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from minict.engine.archive import fsview
from minict.engine.images import ingest, overlay
from minict.engine.images.image import Image


def changed(parent: Image | None, work, keep: Sequence[int] = (), apart: bool = False) -> Image:
    """Make a new image: *work* changes the files of *parent*, which are the root directory of its process.

    *keep*: descriptors that *work* needs.  *apart*: *work* sees an empty directory instead, and its content becomes the
    new layer; the same is done without a parent.  Raises :class:`ContainerError`.
    """
    with ingest.Making(None) as making:
        for digest in parent.digests if parent else ():
            making.use(digest)
        if parent is None or not parent.layers or apart:
            upper = f"{making.path}/upper"
            make_directory(upper)
            run(fsview.Directories({"upper": upper}, writable="upper"), lambda: _from_root("/upper", work), keep)
            return commit(parent, upper)
        for name in ("upper", "work", "root"):
            make_directory(f"{making.path}/{name}")
        overlay.prepare(parent, making.path)
        files = fsview.Mounted(overlay.root(parent, making.path), f"{making.path}/root")
        run(files, work, keep)
        with overlay.Changes(parent, making.path) as upper:
            return commit(parent, upper)


def run(files, work, keep: Sequence[int] = ()) -> str:
    """Call *work* in a process that has entered *files*, and return the text that it returns.  Raises
    :class:`ContainerError`."""
    child = fsview.Child(files, work, list(keep))
    try:
        return child.wait()
    finally:
        child.stop()


def _from_root(directory: str, work) -> str:
    os.chroot(directory)
    os.chdir("/")
    return work()


def commit(parent: Image | None, upper: str, ignore: frozenset[str] = frozenset()) -> Image:
    """Make an image without a name or a configuration of its own, from the layers of *parent* and the content of
    *upper*."""
    bare = Image(parent.id, {**parent.document, "history": []}, parent.name) if parent else None
    return ingest.commit(bare, upper, {}, {"created_by": "a step of a build"}, ignore=ignore)


def is_directory(image: Image, path: str) -> bool:
    """Whether *path* in *image* is a directory, or a link to one."""
    with ingest.Making(None) as place:
        return bool(run(overlay.of_image(image, place.path), lambda: "yes" if os.path.isdir(path) else ""))


def make_directory(path: str) -> None:
    """Make the directory *path* with the mode 755, whatever the umask."""
    os.mkdir(path)
    os.chmod(path, 0o755)
