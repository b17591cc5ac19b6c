"""A container's root file system: an image's layers, read-only, below a layer of the container's own (overlayfs).

Below the container's directory:

=========  ===================================================================================================
``upper``  what the container has changed
``work``   overlayfs's working directory
``root``   where the whole is mounted
``copy``   all files of the image, where overlayfs can't be used: on a file system that can't hold an upper layer,
           as inside another container, or with a kernel without overlayfs
=========  ===================================================================================================

The options of mount(2) must fit into a page of 4096 bytes.  So layers are named by short links, relative to the
directory of all links, which :func:`minict.runtime.rootfs.enter_root` enters before it mounts.

Source: overlayfs.rst of the kernel.
"""

from __future__ import annotations

import os

from minict.runtime import paths, spec
from minict.runtime.errors import ContainerError
from minict.runtime.place import CHROOT, check_rights, in_chroot, in_user_namespace, own_namespaces

from . import store

#: An upper layer that `diff` and `commit` read must hold whole files and directories, and no references into those
#: below. In a user namespace overlayfs keeps its notes in attributes called user.overlay, because "trusted" ones are
#: the host's; the first two features are off then, and may not be named.
WHOLE = ["userxattr", "index=off"] if in_user_namespace() else ["redirect_dir=off", "metacopy=off", "index=off"]
_PAGE = 4096


def root(image, directory: str, once: bool = False) -> spec.Mount:
    """The mount that is the root file system of a container of *image* with the files in *directory*.

    *once*: it is never mounted again.  Raises :class:`ContainerError`.
    """
    if usable():
        return mount(image, directory, once)
    return spec.Mount(destination="/", type="bind", source=f"{directory}/copy", options=["bind"])


def prepare(image, directory: str) -> None:
    """Before a start: copy the image where overlayfs can't be used, with a message. Raises :class:`ContainerError`."""
    if usable() or os.path.isdir(f"{directory}/copy"):
        return
    check_rights()
    from . import diff

    os.write(
        2,
        f"minict: overlayfs can't be used in {directory}: all files of the image are copied, which takes time and room "
        f"({remedy()})\n".encode(errors="replace"),
    )
    unfinished = f"{directory}/copy.{os.getpid()}"
    os.mkdir(unfinished, 0o755)
    diff.copy_merged(image.layers, unfinished)
    os.rename(unfinished, f"{directory}/copy")


def mount(image, directory: str, once: bool = False) -> spec.Mount:
    """The overlay of *image* with ``upper`` and ``work`` in *directory*.

    *once*: the option ``volatile`` saves the sync to disk at its end; the kernel refuses to mount such an
    upper layer again after a crash.  Raises :class:`ContainerError`.
    """
    place = directory.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
    options = [
        *overlay_options(image.links, f"{place}/upper", f"{place}/work"),
        *WHOLE,
        *["volatile"] * once,
    ]
    if len(",".join(options)) >= _PAGE:
        raise ContainerError(
            f"the image {image.name} has too many layers, {len(image.layers)}, for overlayfs, or the path {directory} "
            "is too long: build it with fewer steps"
        )
    return spec.Mount(destination="/", type="overlay", source=f"{store.store()}/links", options=options)


def overlay_options(lowers: list[str], upper: str, work: str) -> list[str]:
    """The options of mount(2) for the layers *lowers*, the top one first, below *upper*.

    *upper* takes all changes; *work* is an empty directory on the same file system.  In all paths a
    backslash precedes each colon, comma and backslash.  Source: overlayfs.rst.
    """
    return [f"lowerdir={':'.join(lowers)}", f"upperdir={upper}", f"workdir={work}"]


def usable() -> bool:
    """Whether overlayfs works for containers. It is tried once per kernel and file system; success is remembered."""
    path = f"{store.store()}/overlayfs"
    known = f"{os.uname().release} {_device()}"
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == known:
                return True
    except FileNotFoundError:
        pass
    if not _try():
        if in_chroot():
            raise ContainerError(CHROOT)
        return False
    with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
        file.write(known)
    os.replace(f"{path}.{os.getpid()}", path)
    return True


def remedy() -> str:
    """What helps where :func:`usable` is False."""
    if in_chroot():
        return CHROOT
    if own_namespaces():
        return (
            f"inside a container, {paths.data_root()} must be a volume or a tmpfs, and no overlay itself: start the "
            f"outer container with -v minict:{paths.data_root()}"
        )
    return "'modprobe overlay', or set MINICT_ROOT to a directory on ext4, xfs, btrfs or tmpfs"


def _device() -> int:
    return os.stat(store.store()).st_dev


def _try() -> bool:
    from .ingest import Making

    with Making(None) as making:
        return works_in(making.path)


def works_in(directory: str) -> bool:
    """Whether *directory* can hold the upper layer of an overlay: one is mounted there briefly, in a mount namespace of
    a child process, and what that needs is removed.

    Another overlay can't, and neither can NFS.  Raises :class:`OSError`. Source: overlayfs.rst.
    """
    import shutil
    import tempfile

    from minict.kernel import mount as k
    from minict.kernel.namespaces import CLONE_NEWNS, unshare

    place = tempfile.mkdtemp(prefix=".overlay-", dir=os.path.abspath(directory))
    try:
        for name in ("lower", "upper", "work", "root"):
            os.mkdir(f"{place}/{name}")
        options = ",".join([*overlay_options(["lower"], "upper", "work"), *WHOLE])
        pid = os.fork()
        if pid == 0:
            try:
                unshare(CLONE_NEWNS)
                k.mount(None, "/", None, k.MS_PRIVATE | k.MS_REC)
                os.chdir(place)
                k.mount("overlay", "root", "overlay", 0, options)
                os.mkdir("root/works")
                os._exit(0)
            finally:
                os._exit(1)
        return os.waitpid(pid, 0)[1] == 0
    finally:
        shutil.rmtree(place)


# ---- what a container has changed ----------------------------------------------------------------------------------


class Changes:
    """``with Changes(image, directory) as upper:`` a directory with a container's changes, in the form of an upper
    layer.

    With overlayfs it exists already; where the image was copied, the copy is compared with the image.
    """

    def __init__(self, image, directory: str):
        self._image, self._directory, self._made = image, directory, ""

    def __enter__(self) -> str:
        if not os.path.isdir(f"{self._directory}/copy"):
            return f"{self._directory}/upper"
        from minict.engine.archive import fsview

        from . import diff

        self._made = f"{self._directory}/changes.{os.getpid()}"
        os.mkdir(self._made, 0o755)
        lowers = {str(number): layer for number, layer in enumerate(self._image.layers)}
        # the container may be running and make links: the comparing process sees only these directories
        files = fsview.Directories({"upper": self._made, "copy": f"{self._directory}/copy", **lowers}, writable="upper")

        def compare() -> str:
            diff.compare("/copy", [f"/{name}" for name in lowers], "/upper")
            return ""

        fsview.Child(files, compare).wait()
        return self._made

    def __exit__(self, *exception) -> None:
        if self._made:
            from minict.runtime.files import remove_tree

            remove_tree(self._made)


def of_image(image, place: str):
    """The files of an *image* as a :class:`minict.engine.archive.fsview.Mounted`.

    *place*: any directory of the host, to mount them on.
    """
    from minict.engine.archive.fsview import Mounted

    scratch = [f"{place}/{name}" for name in ("upper", "work", "root")]
    return Mounted(mount(image, place), f"{place}/root", tmpfs=scratch)
