"""Idmapped mounts: files that show other owners in a mount than they have on the disk.

A container in a user namespace (user_namespaces(7)) has a root whose id out here is, say, 2147483648.  The files of
its image belong to user 0, and so to nobody in there.  To change their owners would take a copy of the image.  Instead
the
*mount* translates: who owns a file is mapped on the way up, and back on the way down (mount_setattr(2), "ID-mapped mounts").
So what the container writes belongs on the disk to whom it belongs inside, and the next life may have other ids.

Only the root of the host may make such a mount, and only of a mount that nobody sees yet.  The container's child is
neither of the two.  So its stage (:mod:`.launch`) does here what the child then finds done, or inherits as open
descriptors.
"""

from __future__ import annotations

import errno
import os

from ..kernel import mount as k
from ..kernel import process as kernel
from ..kernel.namespaces import CLONE_NEWNS, CLONE_NEWUSER, unshare
from . import mounts
from .errors import ContainerError
from .namespaces import write_id_maps
from .process import spawn

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from .birth import Birth
    from .spec import IDMapping, Mount, Spec

_WORDS = ("idmap", "ridmap")  # the options of runtime-spec, config.md, mounts: for a mount, and with those inside it


def wanted(spec: Spec) -> bool:
    """Whether a mount of *spec* is to be idmapped."""
    return any(word in mount.options for mount in spec.mounts for word in _WORDS)


def prepare(birth: Birth) -> None:
    """In the stage, before it clones: mount the root file system, go there, and open all sources of bind mounts.

    From here on the stage has a mount namespace of its own, of which the child's will be a copy.
    Raises :class:`ContainerError`, :class:`OSError`.
    """
    linux = birth.spec.linux
    if "user" not in [each.type for each in linux.namespaces] or not linux.uidMappings:
        raise ContainerError("a mount with the option idmap needs a user namespace, with uidMappings and gidMappings")
    unshare(CLONE_NEWNS)
    mounts.make_private()
    users = user_namespace(linux.uidMappings, linux.gidMappings)
    root = next((mount for mount in birth.spec.mounts if mount.destination == "/"), None)
    if root and root.type != "overlay":
        attach(root.source or "", birth.rootfs, users)
        os.chdir(birth.rootfs)
    elif root:
        mount_overlay(root, birth.rootfs, users, linux.uidMappings[0].hostID, linux.gidMappings[0].hostID)
    else:
        os.chdir(birth.rootfs)
    birth.rootfs = "."  # the child may not walk there by the host's directories
    for number, bind in enumerate(operation for operation in birth.table if isinstance(operation, mounts.Bind)):
        bind.tree = birth.descriptors[f"tree {number}"] = bind.open_tree()
        if bind.options.idmap:
            map_ids(bind.tree, users, bind.source, recursive=bind.options.idmap == "ridmap")
    os.close(users)


def user_namespace(uids: list[IDMapping], gids: list[IDMapping]) -> int:
    """A descriptor of a new user namespace with these maps.  A mount takes its translation from one, and nothing else
    of it.

    There is no call that makes a namespace without a process in it: so one lives for a moment.
    Raises :class:`OSError`, :class:`ContainerError`.
    """
    made, told = os.pipe2(os.O_CLOEXEC)
    wait, end = os.pipe2(os.O_CLOEXEC)

    def inside() -> None:
        os.close(end)
        try:
            unshare(CLONE_NEWUSER)
        except OSError:
            return  # who waits for the byte says so
        os.write(told, b"!")
        os.read(wait, 1)

    pid = spawn(inside)
    os.close(told)
    os.close(wait)
    try:
        if not os.read(made, 1):
            raise ContainerError("this kernel makes no user namespace: see /proc/sys/user/max_user_namespaces")
        write_id_maps(pid, uids, gids)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(made)
        os.close(end)
        os.waitpid(pid, 0)


def map_ids(tree: int, users: int, path: str, recursive: bool = False) -> None:
    """Let the mount *tree*, which is attached nowhere yet, translate by the maps of the user namespace *users*.

    *path* is what it is a mount of, for the error.  Raises :class:`ContainerError` where the file system can't do that.
    """
    reach = k.AT_RECURSIVE if recursive else 0
    try:
        k.mount_setattr(tree, "", k.AT_EMPTY_PATH | reach, k.MOUNT_ATTR_IDMAP, userns_fd=users)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise
        raise ContainerError(
            f"the files of {path} can't be shown with the ids of a user namespace: its file system, or Linux "
            f"{os.uname().release}, has no idmapped mounts (ext4 and xfs have them, tmpfs from Linux 6.3 on); move "
            "it there, or do without a user namespace",
            errno=error.errno,
        ) from None


def mount_overlay(root: Mount, rootfs: str, users: int, uid: int, gid: int) -> None:
    """Mount the overlay *root* of the spec on *rootfs*, with its layers idmapped, and go there.

    The layers' mounts lie for that moment in a tmpfs on *rootfs*, which the overlay then covers.  Overlayfs does its
    own work, such as making the directory "work", as whoever has mounted it: with *uid* and *gid*, the root of the
    container out here, because for others there is no owner on the disk.  But it keeps the host's rights, which its
    notes in the extended attributes "trusted.overlay" take.
    """
    options = mounts.Options(
        [
            word
            for word in root.options
            if not word.startswith(("lowerdir=", "upperdir=", "workdir=")) and word not in _WORDS
        ]
    )
    given = {
        name: [os.path.join(root.source or "", path) for path in split_layers(value)]
        for name, _, value in (word.partition("=") for word in root.options)
        if name in ("lowerdir", "upperdir", "workdir")
    }
    (upper,), (work,), layers = given["upperdir"], given["workdir"], given["lowerdir"]
    own = os.path.dirname(upper)
    if own != os.path.dirname(work):
        raise ContainerError("the upperdir and the workdir of an idmapped overlay must lie in the same directory")
    k.mount("layers", rootfs, "tmpfs", 0, "mode=755")
    os.chdir(rootfs)
    for name, path in [("own", own), *((str(number), layer) for number, layer in enumerate(layers))]:
        os.mkdir(name)
        attach(path, name, users)
    data = [
        f"lowerdir={':'.join(map(str, range(len(layers))))}",
        f"upperdir=own/{os.path.basename(upper)}",
        f"workdir=own/{os.path.basename(work)}",
        *([options.data] if options.data else []),
    ]
    kernel.prctl(kernel.PR_SET_SECUREBITS, kernel.SECBIT_NO_SETUID_FIXUP)  # another id, and all capabilities
    os.setresgid(-1, gid, -1)
    os.setresuid(-1, uid, -1)
    try:
        k.mount("overlay", rootfs, "overlay", options.set, ",".join(data))
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise ContainerError(
                f"overlayfs refuses idmapped layers (Linux {os.uname().release}): they take Linux 5.19; do without "
                "a user namespace",
                errno=error.errno,
            ) from None
        raise
    finally:
        os.setresuid(-1, 0, -1)
        os.setresgid(-1, 0, -1)
        kernel.prctl(kernel.PR_SET_SECUREBITS, 0)
    os.chdir(rootfs)


def attach(source: str, target: str, users: int) -> None:
    """An idmapped bind mount of the directory *source* on the directory *target*.  Raises as :func:`map_ids`."""
    tree, place = (
        k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE),
        os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC),
    )
    try:
        map_ids(tree, users, source)
        k.move_mount(tree, place)
    finally:
        os.close(tree)
        os.close(place)


def split_layers(text: str) -> list[str]:
    """The paths in an overlay's ``lowerdir=``, in which a colon, a comma and a backslash of a path have a backslash
    before them."""
    layers, escaped = [""], False
    for letter in text:
        if letter == ":" and not escaped:
            layers.append("")
        elif escaped or letter != "\\":
            layers[-1] += letter
        escaped = letter == "\\" and not escaped
    return layers


def enter_root() -> None:
    """In the child: the root that :func:`prepare` has mounted is where we are; make it one that we may pivot into.

    What comes with a copy of a mount namespace of more powerful users is locked (mount_namespaces(7)).  A copy of our
    own on top of it is not; and we go by descriptors, because we may not walk the host's directories any more.
    """
    place = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    tree = k.open_tree(place, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE | k.AT_RECURSIVE)
    k.move_mount(tree, place)
    os.fchdir(tree)
    os.close(tree)
    os.close(place)
