"""Idmapped mounts: files have other owners in a mount than they have on the disk.

In a container with a user namespace (user_namespaces(7)), root has an id such as 2147483648 on the host. The files
of its image belong to user 0, which does not exist inside. Changing their owners would take a copy of the image.
Instead the *mount* translates the owner of a file when it is read, and back when it is written (mount_setattr(2),
"ID-mapped mounts"). So on the disk the container's files have the owners that they have inside, and the next run may
use other ids.

Only the host's root may create such a mount, and only from a mount that is attached nowhere. The container's child
is not the host's root. So its stage (:mod:`.stage`) prepares the mounts here, and the child inherits them.
"""

from __future__ import annotations

import errno
import os

from ..kernel import mount as k
from ..kernel import process as kernel
from ..kernel.namespaces import CLONE_NEWNS, CLONE_NEWUSER, unshare
from . import mounts
from .errors import ContainerError
from .namespaces import host_id, write_id_maps
from .process import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .spec import IDMapping, Mount, Spec

    class Birth(Protocol):
        """The part of :class:`.birth.Birth` that is used here; birth imports this module."""

        spec: Spec
        rootfs: str
        operations: list[mounts.Operation]


def prepare(birth: Birth) -> None:
    """In the stage, before it clones: mount the root file system, go there, and open all sources of bind mounts.

    From here on the stage has its own mount namespace, of which the child gets a copy.
    Raises :class:`ContainerError`, :class:`OSError`. Source: mount_setattr(2), "ID-mapped mounts".
    """
    linux = birth.spec.linux
    binds = [operation for operation in birth.operations if isinstance(operation, mounts.Bind)]
    root_mapped = any(set(mounts.IDMAP) & set(each.options) for each in birth.spec.mounts if each.destination == "/")
    has_users = bool(linux.uidMappings) and any(each.type == "user" for each in linux.namespaces)
    if not has_users and (root_mapped or any(bind.options.idmap and not bind.maps for bind in binds)):
        raise ContainerError(
            "a mount with the option idmap needs a user namespace with uidMappings and gidMappings, or its own"
        )
    unshare(CLONE_NEWNS)
    mounts.make_private()
    users = user_namespace(linux.uidMappings, linux.gidMappings) if linux.uidMappings else -1
    root = next((mount for mount in birth.spec.mounts if mount.destination == "/"), None)
    if root and root.type != "overlay":
        attach(root.source or "", birth.rootfs, users)
        os.chdir(birth.rootfs)
    elif root:
        mount_overlay(root, birth.rootfs, users, _root_of(linux.uidMappings), _root_of(linux.gidMappings))
    else:
        os.chdir(birth.rootfs)
    birth.rootfs = "."  # the child may not pass through the host's directories
    for bind in binds:
        bind.tree = bind.open_tree()
        if bind.maps:
            own = user_namespace(*bind.maps)
            map_ids(bind.tree, own, bind.source, recursive=bind.options.idmap == "ridmap")
            os.close(own)
        elif bind.options.idmap:
            map_ids(bind.tree, users, bind.source, recursive=bind.options.idmap == "ridmap")
    if users >= 0:
        os.close(users)


def _root_of(mappings: list[IDMapping]) -> int:
    """The host's id for root in a container with these *mappings*; without a root, that of the first id there is."""
    root = host_id(0, mappings)
    return mappings[0].hostID if root is None else root


def user_namespace(uids: list[IDMapping], gids: list[IDMapping]) -> int:
    """A descriptor of a new user namespace with these maps, from which a mount takes its translation.

    No call creates a namespace without a process in it: so there is one for a moment.
    Raises :class:`OSError`, :class:`ContainerError`. Source: user_namespaces(7), mount_setattr(2).
    """
    created, report = os.pipe2(os.O_CLOEXEC)
    wait, end = os.pipe2(os.O_CLOEXEC)

    def inside() -> None:
        os.close(end)
        try:
            unshare(CLONE_NEWUSER)
        except OSError:
            return  # the parent reports the missing byte
        os.write(report, b"!")
        os.read(wait, 1)

    pid = spawn(inside)
    os.close(report)
    os.close(wait)
    try:
        if not os.read(created, 1):
            raise ContainerError("the kernel refuses a user namespace: see /proc/sys/user/max_user_namespaces")
        write_id_maps(pid, uids, gids)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(created)
        os.close(end)
        os.waitpid(pid, 0)


def map_ids(tree: int, users: int, path: str, recursive: bool = False) -> None:
    """Let the mount *tree*, which is attached nowhere yet, translate by the maps of the user namespace *users*.

    *path* is the source of the mount, for the error. Raises :class:`ContainerError` where the file system lacks this.
    Source: mount_setattr(2), MOUNT_ATTR_IDMAP.
    """
    reach = k.AT_RECURSIVE if recursive else 0
    try:
        k.mount_setattr(tree, "", k.AT_EMPTY_PATH | reach, k.MOUNT_ATTR_IDMAP, userns_fd=users)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise
        raise ContainerError(
            f"the files of {path} cannot be used in a user namespace: their file system, or Linux "
            f"{os.uname().release}, lacks idmapped mounts (ext4 and xfs have them, tmpfs from Linux 6.3 on); move "
            "them, or do without a user namespace",
            errno=error.errno,
        ) from None


def mount_overlay(root: Mount, rootfs: str, users: int, uid: int, gid: int) -> None:
    """Mount the overlay *root* of the spec on *rootfs*, with its layers idmapped, and go there.

    The layers are mounted in a tmpfs on *rootfs*, which the overlay then covers. Overlayfs does its own work, such as
    creating the directory "work", with the ids and capabilities of the process that mounted it. The ids have to be
    *uid* and *gid*, those of the container's root, because others have no owner on the disk. The capabilities have to
    be the host's, for the extended attributes "trusted.overlay". Raises :class:`OSError`, :class:`ContainerError`.
    Source: the kernel's Documentation/filesystems/overlayfs.rst, "Permission model"; mount_setattr(2).
    """
    options = mounts.Options(
        [
            word
            for word in root.options
            if not word.startswith(("lowerdir=", "upperdir=", "workdir=")) and word not in mounts.IDMAP
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
    kernel.prctl(kernel.PR_SET_SECUREBITS, kernel.SECBIT_NO_SETUID_FIXUP)  # change the ids, keep the capabilities
    os.setresgid(-1, gid, -1)
    os.setresuid(-1, uid, -1)
    try:
        k.mount("overlay", rootfs, "overlay", options.set, ",".join(data))
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise ContainerError(
                f"overlayfs refuses idmapped layers (Linux {os.uname().release}): use Linux 5.19 or newer, or do "
                "without a user namespace",
                errno=error.errno,
            ) from None
        raise
    finally:
        os.setresuid(-1, 0, -1)
        os.setresgid(-1, 0, -1)
        kernel.prctl(kernel.PR_SET_SECUREBITS, 0)
    os.chdir(rootfs)


def attach(source: str, target: str, users: int) -> None:
    """An idmapped bind mount of the directory *source* on the directory *target*. Raises as :func:`map_ids`.

    Source: open_tree(2), move_mount(2).
    """
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
    """The paths in an overlay's ``lowerdir=``, where a backslash escapes a colon, a comma and a backslash.

    Source: the kernel's Documentation/filesystems/overlayfs.rst, "Multiple lower layers".
    """
    layers, escaped = [""], False
    for letter in text:
        if letter == ":" and not escaped:
            layers.append("")
        elif escaped or letter != "\\":
            layers[-1] += letter
        escaped = letter == "\\" and not escaped
    return layers


def enter_root() -> None:
    """In the child: make our working directory, the root that :func:`prepare` mounted, ready for pivot_root.

    Mounts that were copied from a mount namespace with more privileges are locked. A new copy on top of it
    is not. All is done by descriptors, because we may not pass through the host's directories any more.
    Raises :class:`OSError`. Source: mount_namespaces(7), "Restrictions on mount namespaces".
    """
    place = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    tree = k.open_tree(place, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE | k.AT_RECURSIVE)
    k.move_mount(tree, place)
    os.fchdir(tree)
    os.close(tree)
    os.close(place)
