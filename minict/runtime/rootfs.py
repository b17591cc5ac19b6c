"""The container's root file system: the operations that build it, and pivot_root, which moves into it."""

from __future__ import annotations

import os

from ..kernel import mount as k
from . import mounts, place
from .errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .spec import Device, Mount, Spec

# What every container has in /dev (OCI runtime-spec, config-linux.md, "Default Devices"); null(4), random(4), tty(4).
DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)


def operations(spec: Spec, bundle: str, cgroups: dict[str, str], cgroup_v2: str | None) -> list[mounts.Operation]:
    """Everything that has to be mounted or created below the new root, in order.

    *bundle* is where relative paths of the spec begin; *cgroups* maps each controller to the container's directory, and
    *cgroup_v2* is the one of them in the tree of version 2.
    Raises :class:`ContainerError`. Source: OCI runtime-spec, config.md, "Mounts"; config-linux.md, "Devices".
    """
    linux = spec.linux
    kinds = {each.type for each in linux.namespaces}
    in_user_namespace = place.in_user_namespace() or "user" in kinds
    found: list[mounts.Operation] = []
    for mount in spec.mounts:
        if mount.type == "cgroup":
            found += cgroup_mounts(mount, cgroups, cgroup_v2, bind="cgroup" not in kinds)
        elif mount.destination != "/":  # that is the root itself: enter_root
            found.append(mounts.operation(mount, bundle, linux.mountLabel))
    if not any(isinstance(each, mounts.Bind) and each.destination == "/dev" for each in found):
        found += devices(linux.devices, bind=in_user_namespace)  # never create nodes in a directory of the host
    return found


def devices(more: list[Device], bind: bool) -> list[mounts.Operation]:
    """The nodes of DEVICES, those of the spec (*more*), and the links. *bind*: bind the host's nodes instead of mknod.

    Source: OCI runtime-spec, config-linux.md, "Default Devices"; mknod(2).
    """
    nodes = [mounts.Device(f"/dev/{name}", "c", major, minor, bind=bind) for name, major, minor in DEVICES]
    for each in more:
        mode = 0o666 if each.fileMode is None else each.fileMode
        nodes.append(
            mounts.Device(
                each.path.rstrip("/"), each.type, each.major, each.minor, mode, each.uid or 0, each.gid or 0, bind
            )
        )
    return [*nodes, *(mounts.Link(path, target) for path, target in LINKS)]


def cgroup_mounts(
    mount: Mount, cgroups: dict[str, str], cgroup_v2: str | None, bind: bool = False
) -> list[mounts.Operation]:
    """What the mount type ``cgroup`` of the specification means on this machine.

    In version 2 it is one mount; in version 1 a tmpfs with one mount for each hierarchy. Their root is the container's
    own cgroup, because they are mounted inside its cgroup namespace. Without such a namespace a mount would show the
    groups of the whole machine: then the container's own directories are bound instead (*bind*).
    Source: cgroups(7), cgroup_namespaces(7); config.md, "Mounts".
    """
    destination, options = mount.destination, [word for word in mount.options if word not in mounts.PROPAGATION]
    if not cgroups and not cgroup_v2:
        return []

    def one(directory: str | None, place: str, type: str, *data: str) -> mounts.Operation:
        if bind and directory:
            return mounts.Bind(directory, place, ["bind", *options])
        return mounts.FileSystem(type, place, [*options, *data], "cgroup")

    if set(cgroups.values()) <= {cgroup_v2}:
        return [one(cgroup_v2, destination, "cgroup2")]
    hierarchies: dict[str, list[str]] = {}  # several controllers may share one: cpu,cpuacct
    for controller, directory in cgroups.items():
        hierarchies.setdefault(directory, []).append(controller)
    flags = [option for option in options if option != "ro"]
    found: list[mounts.Operation] = [mounts.FileSystem("tmpfs", destination, [*flags, "mode=755"], "tmpfs")]
    for directory, controllers in hierarchies.items():
        if directory != cgroup_v2:
            name = ",".join(controllers)
            found.append(one(directory, f"{destination}/{name}", "cgroup", name))
            found += [mounts.Link(f"{destination}/{each}", name) for each in controllers if each != name]
    if cgroup_v2:
        found.append(one(cgroup_v2, f"{destination}/unified", "cgroup2"))
    if "ro" in options:
        found.append(mounts.ReadOnly(destination, mounted=True))
    return found


def protections(spec: Spec) -> list[mounts.Operation]:
    """What is done last, when nothing has to be created or written below the root any more.

    Read-only paths first: then even a mask that fails leaves nothing writable behind.
    Source: OCI runtime-spec, config-linux.md, "Masked Paths", "Readonly Paths".
    """
    found: list[mounts.Operation] = [mounts.ReadOnly(path) for path in spec.linux.readonlyPaths]
    found += [mounts.Mask(path) for path in spec.linux.maskedPaths]
    if spec.root.readonly:
        found.append(mounts.ReadOnly("/", mounted=True))
    return found


def enter_root(spec: Spec, rootfs: str) -> None:
    """Make the directory *rootfs* a mount point, which pivot_root demands, and go there.

    It is either the mount of the spec whose destination is ``/`` (minict's overlay of the image's layers), or
    the directory bound to itself, or what :mod:`.idmap` has prepared. In the container's own mount namespace it is
    never visible on the host and needs no umount: it goes with the last process inside.

    The layers of an overlay may be named relative to the directory that is its source, which the kernel ignores.
    Raises :class:`OSError`. Source: pivot_root(2); mount(2); the kernel's Documentation/filesystems/overlayfs.rst.
    """
    if mounts.has_idmapped(spec):
        from . import idmap  # in memory: the stage has called its prepare()

        return idmap.enter_root()
    overlay = next((mount for mount in spec.mounts if mount.destination == "/"), None)
    if overlay:
        options = mounts.Options(overlay.options)
        if overlay.type == "overlay" and overlay.source and overlay.source.startswith("/"):
            os.chdir(overlay.source)
        k.mount(overlay.source, rootfs, overlay.type, options.set, options.data)
    else:
        k.mount(rootfs, rootfs, None, k.MS_BIND | k.MS_REC)
    os.chdir(rootfs)


def pivot_root(rootfs: str) -> None:
    """Make the mount point *rootfs* this mount namespace's root and detach the old one: the host is gone.

    ``pivot_root(".", ".")`` puts the old root on top of the new one, so no directory is needed to keep it in.
    Raises :class:`OSError`, :class:`ContainerError`. Source: pivot_root(2), "NOTES".
    """
    old_root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(rootfs)
    try:
        k.pivot_root(".", ".")
    except PermissionError:
        raise place.refused_pivot_root() from None
    # As runc, crun and bwrap do: go to the old root by its descriptor, so that "." can mean nothing else; and make it a
    # slave, because unmounting a shared mount would unmount its peers on the host too. Callers have done that already
    # (mounts.isolate); should one forget it, its host survives.
    os.fchdir(old_root)
    k.mount(None, ".", None, k.MS_SLAVE | k.MS_REC)
    k.umount2(".", k.MNT_DETACH)
    os.close(old_root)
    os.chdir("/")


def check_rootfs(rootfs: str) -> None:
    """Verify that *rootfs* is a directory. Raises :class:`ContainerError`. Source: config.md, "Root"."""
    if not os.path.isdir(rootfs):
        raise ContainerError(f"the root file system {rootfs} is not a directory: unpack an image there (root.path)")
