"""The container's root file system: the table of operations that builds it, and pivot_root, which moves in."""

from __future__ import annotations

import os

from ..kernel import mount as k
from . import idmap, mounts
from .errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from .spec import Device, Mount, Spec

# What every container finds in /dev (runtime-spec, config-linux.md, default devices); see null(4), random(4), tty(4).
DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)


def table(spec: Spec, bundle: str, cgroups: dict[str, str], cgroup_v2: str | None) -> list[mounts.Operation]:
    """Everything that has to be done below the new root, in order.

    *bundle* is where relative paths of the spec begin; *cgroups* the container's directories by controller, and
    *cgroup_v2* the one of them that is of version 2.
    """
    linux = spec.linux
    in_user_namespace = any(each.type == "user" for each in linux.namespaces)
    operations = []
    for mount in spec.mounts:
        if mount.type == "cgroup":
            operations += cgroup_mounts(mount, cgroups, cgroup_v2)
        elif mount.destination != "/":  # that one is the root itself: enter_root
            operations.append(mounts.operation(mount, bundle))
    if not any(isinstance(each, mounts.Bind) and each.destination == "/dev" for each in operations):
        # else nodes would be made where the host keeps something
        operations += devices(linux.devices, bind=in_user_namespace)
    return operations


def devices(more: list[Device], bind: bool) -> list[mounts.Operation]:
    """The nodes of DEVICES and the spec's own, and the links; bound from the host where mknod is not allowed."""
    nodes = [mounts.Device(f"/dev/{name}", "c", major, minor, bind=bind) for name, major, minor in DEVICES]
    nodes += [
        mounts.Device(
            each.path,
            each.type,
            each.major,
            each.minor,
            0o666 if each.fileMode is None else each.fileMode,
            each.uid or 0,
            each.gid or 0,
            bind,
        )
        for each in more
    ]
    return nodes + [mounts.Link(path, target) for path, target in LINKS]


def cgroup_mounts(mount: Mount, cgroups: dict[str, str], cgroup_v2: str | None) -> list[mounts.Operation]:
    """What the type ``cgroup`` of the specification stands for.

    In version 2 it is one mount; in version 1 a tmpfs with one mount for each hierarchy.  What is seen in
    them begins at the container's own cgroup, because they are mounted inside its cgroup namespace.
    """
    destination, options = mount.destination, list(mount.options)
    if set(cgroups.values()) <= {cgroup_v2}:
        return [mounts.FileSystem("cgroup2", destination, options, "cgroup")]
    hierarchies: dict[str, list[str]] = {}  # several controllers may share one: cpu,cpuacct
    for controller, directory in cgroups.items():
        hierarchies.setdefault(directory, []).append(controller)
    if cgroup_v2:
        hierarchies[cgroup_v2] = ["unified"]
    flags = [option for option in options if option != "ro"]
    operations = [mounts.FileSystem("tmpfs", destination, [*flags, "mode=755"], "tmpfs")]
    for controllers in hierarchies.values():
        if controllers == ["unified"]:
            operations.append(mounts.FileSystem("cgroup2", f"{destination}/unified", options, "cgroup"))
        else:
            name = ",".join(controllers)
            operations.append(mounts.FileSystem("cgroup", f"{destination}/{name}", [*options, name], "cgroup"))
    return operations + ([mounts.ReadOnly(destination, mounted=True)] if "ro" in options else [])


def closing(spec: Spec) -> list[mounts.Operation]:
    """What is done last, when nothing has to be made or written below the root any more."""
    operations: list[mounts.Operation] = [mounts.Mask(path) for path in spec.linux.maskedPaths]
    operations += [mounts.ReadOnly(path) for path in spec.linux.readonlyPaths]
    return operations + ([mounts.ReadOnly("/", mounted=True)] if spec.root.readonly else [])


def enter_root(spec: Spec, rootfs: str) -> None:
    """Make the directory *rootfs* a mount point, which pivot_root demands, and go there.

    It is either the mount of the spec whose destination is ``/`` (minict's overlay of the image's layers), or the
    directory bound to itself, or what :mod:`.idmap` has prepared.  Being made in the container's own mount namespace,
    it is never seen on the host and needs no umount: it goes with the last process that is inside.

    The layers of an overlay may be named relative to the directory that is its source: the kernel itself has no use
    for that.
    """
    if idmap.wanted(spec):
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
    """Make the mount point *rootfs* this mount namespace's root and forget the old one: the host is gone.

    ``pivot_root(".", ".")`` puts the old root on top of the new one, so that no directory is needed to keep it in;
    the umount that follows takes it away.  Raises :class:`OSError`.
    Source: pivot_root(2), notes.
    """
    os.chdir(rootfs)
    k.pivot_root(".", ".")
    k.umount2(".", k.MNT_DETACH)
    os.chdir("/")


def check_rootfs(rootfs: str) -> None:
    """Refuse a root that is no directory.  Raises :class:`ContainerError`."""
    if not os.path.isdir(rootfs):
        raise ContainerError(f"the root file system {rootfs} is not a directory")
