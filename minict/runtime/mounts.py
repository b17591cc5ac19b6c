"""Mounts as data: each step in building a root file system is an :class:`Operation` with describe() and execute().

The description is the step's name in the trace and in an error, and the label in the course's figures.
All paths of a container are opened with :func:`open_in_root`: a symbolic link in a hostile image
must not lead a mount, or a directory that we create, to the host.
"""

from __future__ import annotations

import errno
import os
import stat

from ..kernel import mount as k
from ..kernel.namespaces import CLONE_NEWNS, setns
from . import place
from .errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .spec import IDMapping, Mount, Spec

# The options that are flags of mount(2), as mount(8) spells them: the one that sets it, the one that clears it.
_SWITCHES = (
    ("ro", "rw", k.MS_RDONLY),
    ("nosuid", "suid", k.MS_NOSUID),
    ("nodev", "dev", k.MS_NODEV),
    ("noexec", "exec", k.MS_NOEXEC),
    ("sync", "async", k.MS_SYNCHRONOUS),
    ("mand", "nomand", k.MS_MANDLOCK),
    ("noatime", "atime", k.MS_NOATIME),
    ("nodiratime", "diratime", k.MS_NODIRATIME),
    ("relatime", "norelatime", k.MS_RELATIME),
    ("strictatime", "nostrictatime", k.MS_STRICTATIME),
)
# (flags to set, flags to clear)
FLAGS = {
    "defaults": (0, 0),
    **{on: (flag, 0) for on, _, flag in _SWITCHES},
    **{off: (0, flag) for _, off, flag in _SWITCHES},
    "dirsync": (k.MS_DIRSYNC, 0),
    "remount": (k.MS_REMOUNT, 0),
    "nosymfollow": (k.MS_NOSYMFOLLOW, 0),
    "symfollow": (0, k.MS_NOSYMFOLLOW),
    "lazytime": (k.MS_LAZYTIME, 0),
    "nolazytime": (0, k.MS_LAZYTIME),
    "iversion": (k.MS_I_VERSION, 0),
    "noiversion": (0, k.MS_I_VERSION),
    "silent": (k.MS_SILENT, 0),
    "loud": (0, k.MS_SILENT),
    "acl": (k.MS_POSIXACL, 0),
    "noacl": (0, k.MS_POSIXACL),
    "bind": (k.MS_BIND, 0),
    "rbind": (k.MS_BIND | k.MS_REC, 0),
}
PROPAGATION = {
    "private": k.MS_PRIVATE,
    "rprivate": k.MS_PRIVATE | k.MS_REC,
    "shared": k.MS_SHARED,
    "rshared": k.MS_SHARED | k.MS_REC,
    "slave": k.MS_SLAVE,
    "rslave": k.MS_SLAVE | k.MS_REC,
    "unbindable": k.MS_UNBINDABLE,
    "runbindable": k.MS_UNBINDABLE | k.MS_REC,
}
# What mount_setattr calls the flags that a bind mount can have for itself.
ATTRIBUTES = {
    k.MS_RDONLY: k.MOUNT_ATTR_RDONLY,
    k.MS_NOSUID: k.MOUNT_ATTR_NOSUID,
    k.MS_NODEV: k.MOUNT_ATTR_NODEV,
    k.MS_NOEXEC: k.MOUNT_ATTR_NOEXEC,
    k.MS_NODIRATIME: k.MOUNT_ATTR_NODIRATIME,
    k.MS_NOSYMFOLLOW: k.MOUNT_ATTR_NOSYMFOLLOW,
}

# Files of /proc that may be covered: see check_target.
STAND_INS = frozenset(
    (
        "/cpuinfo",
        "/diskstats",
        "/meminfo",
        "/stat",
        "/swaps",
        "/uptime",
        "/loadavg",
        "/slabinfo",
        "/sys/kernel/ns_last_pid",
        "/sys/crypto/fips_enabled",
    )
)

SUBPATH = "x-minict.subpath="  # an option for us and not for the kernel; see x-* in mount(8)
_LINKS = 40  # how many links may follow each other, as in path_resolution(7)
_ATTEMPTS = 1000  # how often a path is tried again that another process is changing
ATIMES = {k.MS_RELATIME: 0, k.MS_NOATIME: k.MOUNT_ATTR_NOATIME, k.MS_STRICTATIME: k.MOUNT_ATTR_STRICTATIME}


IDMAP = ("idmap", "ridmap")  # config.md, "Linux mount options": a mount, or with the mounts inside it


class Options:
    """A list such as ``["ro", "nosuid", "size=64m", "rslave"]``, sorted by purpose.

    *set* and *clear* are flags of mount(2), *recursive* and *recursive_clear* those that also apply to the mounts
    inside (``rro``, ``rrw``), *propagation* is a list of flags, *idmap* is ``idmap``, ``ridmap`` or empty, *copy_up* is
    :func:`.copyup.copy` or None, and *data* is the rest, for the file system.
    Source: mount(8); OCI runtime-spec, config.md, "Linux mount options".
    """

    def __init__(self, options: Iterable[str]) -> None:
        self.set = self.clear = self.recursive = self.recursive_clear = 0
        self.propagation: list[int] = []
        self.idmap = ""
        self.copy_up: Callable[[int, int], None] | None = None
        data = []
        for option in options:
            if option in FLAGS:
                on, off = FLAGS[option]
                self.set, self.clear = self.set & ~off | on, self.clear & ~on | off
            elif option in PROPAGATION:
                self.propagation.append(PROPAGATION[option])
            elif option in IDMAP:
                self.idmap = option
            elif option[:1] == "r" and option[1:] in FLAGS:  # rro, rnosuid
                on, off = FLAGS[option[1:]]
                self.recursive = self.recursive & ~off | on
                self.recursive_clear = self.recursive_clear & ~on | off
            elif option == "tmpcopyup":
                from . import copyup  # here, because the child imports nothing

                self.copy_up = copyup.copy
            elif option.startswith(SUBPATH):
                pass  # for Bind
            else:
                data.append(option)
        self.data = ",".join(data)


def has_idmapped(spec: Spec) -> bool:
    """Whether a mount of *spec* is idmapped: see :mod:`.idmap`. Source: config.md, "Linux mount options"."""
    return any(mount.uidMappings or set(IDMAP) & set(mount.options) for mount in spec.mounts)


def make_private(propagation: int = k.MS_SLAVE | k.MS_REC) -> None:
    """From now on, mounts in this mount namespace are not visible outside.

    A new mount namespace is a copy, but where the host's mounts are shared, as systemd makes them, each change
    in one of the copies propagates to the others. A slave receives the host's changes and sends none.
    This must come before any other mount. Raises :class:`OSError`, :class:`ContainerError` in a chroot.
    Source: mount_namespaces(7), "SHARED SUBTREES".
    """
    try:
        k.mount(None, "/", None, propagation)
    except OSError as error:
        if error.errno == errno.EINVAL and place.in_chroot():
            raise ContainerError(place.CHROOT, errno=error.errno) from None
        raise


def isolate(propagation: int, operations: list[Operation]) -> None:
    """:func:`make_private` with the *propagation* of a spec; if that is shared, :func:`share` does the rest later.

    Even then the mounts of the new root must not propagate to the host. But volumes whose mounts shall propagate
    have to be copied while they are still peers of the host's: a slave's copy is a slave.
    Raises :class:`OSError`. Source: mount_namespaces(7); config-linux.md, "Rootfs Mount Propagation".
    """
    if propagation & k.MS_SHARED:
        for operation in operations:
            operation.open()
        propagation = k.MS_SLAVE | k.MS_REC
    make_private(propagation)


def share(propagation: int) -> None:
    """Make the mounts of the new root shared, if that is the *propagation* of the spec.

    Raises :class:`OSError`. Source: mount_namespaces(7); config-linux.md, "Rootfs Mount Propagation".
    """
    if propagation & k.MS_SHARED:
        k.mount(None, "/", None, propagation)


def look_up(root: int, path: str) -> int:
    """Open *path* as a process would find it whose ``/`` is the directory *root*; an O_PATH descriptor.

    ``..`` and absolute links end at *root*; a magic link of /proc, which could lead elsewhere, is refused.
    Raises :class:`OSError`. Source: openat2(2), path_resolution(7).
    """
    resolve = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS
    for _ in range(_ATTEMPTS):
        try:
            return k.openat2(root, path, os.O_PATH, 0, resolve)
        except BlockingIOError:  # EAGAIN: a directory was renamed while the kernel followed a ".."
            continue
    return k.openat2(root, path, os.O_PATH, 0, resolve)


def open_in_root(root: int, path: str, make: str | None = None, links: int = _LINKS) -> int:
    """Like :func:`look_up`, but *make* ``"directory"`` or ``"file"`` creates what is missing on the way there.

    A dangling link is followed, and its target is created, inside *root*: Debian's /etc/resolv.conf is such
    a link where systemd-resolved does not run. *links*: how many may follow each other.
    Raises :class:`OSError`, or :class:`ContainerError` for a magic link. Source: openat2(2), mkdirat(2).
    """
    try:
        return look_up(root, path)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        refuse_loop(path, error)
        raise
    parent, name = os.path.split(os.path.normpath(path))
    above = open_in_root(root, parent or "/", "directory", links)
    try:
        if make == "directory":
            os.mkdir(name, 0o755, dir_fd=above)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=above))
    except FileExistsError:  # a dangling link, or one that leads through one
        if not links:
            raise OSError(errno.ELOOP, "too many symbolic links follow each other there", path) from None
        return open_in_root(root, link_target(root, above, name), make, links - 1)
    finally:
        os.close(above)
    return look_up(root, path)


def link_target(root: int, directory: int, name: str) -> str:
    """The target of the symbolic link *name* in *directory*, as a path below *root*. Source: readlinkat(2)."""
    inside = os.readlink(f"/proc/self/fd/{directory}").removeprefix(os.readlink(f"/proc/self/fd/{root}").rstrip("/"))
    return os.path.join(inside or "/", os.readlink(name, dir_fd=directory))


def refuse_loop(path: str, error: OSError) -> None:
    """Explain the *error* that *path* leads through a link such as /proc/self/fd/7 (CVE-2024-21626).

    Raises :class:`ContainerError` if that is the error. Source: openat2(2), ELOOP.
    """
    if error.errno == errno.ELOOP:
        raise ContainerError(
            f"{path} leads through a link of /proc, which may lead out of the container, or through "
            "a circle of links: write the path without the link",
            errno=error.errno,
        ) from None


def check_target(root: int, target: int, destination: str, is_proc: bool = False) -> None:
    """Refuse to mount over the container's root, or anything but procfs (*is_proc*) over a part of its /proc.

    What we read and write there for the container must be the kernel's (CVE-2019-16884). As with runc, some files
    may be covered: LXCFS has replacements that show the container's own memory. A link in a volume may lead to /.
    Raises :class:`ContainerError`. Source: proc(5); runc, libcontainer/rootfs_linux.go, checkProcMount.
    """
    if os.path.samestat(os.fstat(target), os.fstat(root)):
        raise ContainerError(f"{destination} leads to the container's root: choose another destination")
    if is_proc:
        return
    try:
        proc = look_up(root, "/proc")
    except OSError:
        return
    devices = [os.fstat(fd).st_dev for fd in (target, proc, root)]
    inside = os.readlink(f"/proc/self/fd/{target}").removeprefix(os.readlink(f"/proc/self/fd/{proc}"))
    os.close(proc)
    if devices[0] == devices[1] != devices[2] and inside not in STAND_INS:
        raise ContainerError(
            f"{destination} is in the container's /proc, which belongs to the kernel: choose another destination"
        )


class Operation:
    """One step in building a root file system. Source: OCI runtime-spec, config.md, "Mounts"."""

    def open(self) -> None:
        """Do what has to be done while the host's mounts are still shared."""

    def execute(self, root: int) -> None:
        """Do it. *root* is a descriptor of the container's root directory. Raises OSError, ContainerError."""
        raise NotImplementedError

    def describe(self) -> str:
        """What it does, in a few words: the name of the step."""
        raise NotImplementedError


class FileSystem(Operation):
    """Mount a new file system: proc, tmpfs, sysfs, devpts, mqueue, overlay… Source: mount(2)."""

    def __init__(self, type: str, destination: str, options: Iterable[str] = (), source: str | None = None) -> None:
        self.type, self.destination, self.options, self.source = type, destination, Options(options), source or type

    def describe(self) -> str:
        return f"mount {self.type} on {self.destination}"

    def execute(self, root: int) -> None:
        mode = (
            existing_mode(root, self.destination) if self.type == "tmpfs" and "mode=" not in self.options.data else None
        )
        target = open_in_root(root, self.destination, make="directory")
        try:
            check_target(root, target, self.destination, is_proc=self.type == "proc")
            place = f"/proc/self/fd/{target}"
            k.mount(self.source, place, self.type, self.options.set, self.options.data or None)
            mounted = open_in_root(root, self.destination)  # target is the directory beneath
            try:
                if mode is not None and not self.options.set & k.MS_RDONLY:
                    os.chmod(f"/proc/self/fd/{mounted}", mode)
                if self.options.copy_up:
                    self.options.copy_up(target, mounted)
                for flags in self.options.propagation:
                    k.mount(None, f"/proc/self/fd/{mounted}", None, flags)
            finally:
                os.close(mounted)
        finally:
            os.close(target)


def existing_mode(root: int, path: str) -> int | None:
    """The mode of the directory *path* below *root*, or None when there is none. Source: inode(7)."""
    try:
        fd = look_up(root, path)
    except OSError:
        return None
    mode = os.fstat(fd).st_mode & 0o7777
    os.close(fd)
    return mode


class Bind(Operation):
    """Make a directory or a file of the host visible inside: with ``rbind`` together with the mounts in it.

    A copy of the mount is created (open_tree), gets its attributes while it is attached nowhere (mount_setattr) and is
    then attached (move_mount). The older way, mount and remount, leaves a moment in which ``ro`` does not hold.

    With the option ``x-minict.subpath=PATH`` only a part of the source is shown. Another container may have written the
    source: so its links cannot lead out of it. Source: open_tree(2), mount_setattr(2), move_mount(2).
    """

    def __init__(self, source: str, destination: str, options: Iterable[str] = ("bind",)) -> None:
        options = list(options)
        self.source, self.destination, self.options = source, destination, Options(options)
        self.subpath = next((word.removeprefix(SUBPATH) for word in options if word.startswith(SUBPATH)), None)
        self.maps: tuple[list[IDMapping], list[IDMapping]] | None = None  # those of this mount alone: see idmap.prepare
        self.tree = -1  # a descriptor of the copy, if it exists already: see open, and idmap.prepare

    def describe(self) -> str:
        return f"bind {self.source} to {self.destination}"

    def open(self) -> None:
        """Copy a mount that stays shared: now its copy is a peer, but later we are a slave, whose copy is a slave."""
        if self.tree < 0 and any(flags & k.MS_SHARED for flags in self.options.propagation):
            self.tree = self.open_tree()

    def execute(self, root: int) -> None:
        tree = self.tree if self.tree >= 0 else self.open_tree()
        try:
            self.set_attributes(tree)
            is_directory = os.fstat(tree).st_mode & 0o170000 == 0o040000
            target = open_in_root(root, self.destination, make="directory" if is_directory else "file")
            try:
                is_proc = os.path.samestat(os.fstat(tree), os.stat("/proc"))
                check_target(root, target, self.destination, is_proc)
                if is_directory != (os.fstat(target).st_mode & 0o170000 == 0o040000):
                    source, place = ("a directory", "a file") if is_directory else ("a file", "a directory")
                    raise ContainerError(
                        f"{self.source} is {source}, and {self.destination} in the container is {place}: "
                        "choose another destination"
                    )
                k.move_mount(tree, target)
            finally:
                os.close(target)
        finally:
            os.close(tree)

    def open_tree(self) -> int:
        """A copy of the source's mount, attached nowhere; a descriptor. Raises :class:`OSError`.

        ``/proc/PID/root/PATH`` is the PATH that the process PID sees: mounts in its mount namespace can be
        copied only from inside (open_tree(2), EINVAL).
        """
        recursive = k.AT_RECURSIVE if self.options.set & k.MS_REC else 0
        words = self.source.split("/", 4)
        if words[1:2] + words[3:4] == ["proc", "root"] and words[2].isdecimal() and len(words) == 5:
            return open_elsewhere(int(words[2]), "/" + words[4], recursive)
        if self.subpath is None:
            return k.open_tree(k.AT_FDCWD, self.source, k.OPEN_TREE_CLONE | recursive)
        source = os.open(self.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            part = look_up(source, self.subpath)
        except OSError as error:
            os.close(source)
            why = os.strerror(error.errno or 0)
            raise ContainerError(
                f"the subpath {self.subpath} cannot be opened in {self.source} ({why}): create it first",
                errno=error.errno,
            ) from None
        try:
            return k.open_tree(part, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE | recursive)
        finally:
            os.close(part)
            os.close(source)

    def set_attributes(self, tree: int) -> None:
        """Give the copy *tree* the attributes that the options name. Raises :class:`OSError`."""
        options = self.options
        for on, off, reach in (
            (options.set, 0, 0),
            (options.recursive, options.recursive_clear, k.AT_RECURSIVE),
        ):
            for flag, attribute in ATIMES.items():  # a mount has exactly one of these
                if on & flag or off & flag:  # "not this one" is the kernel's default, relatime
                    k.mount_setattr(tree, "", k.AT_EMPTY_PATH | reach, attribute * bool(on & flag), k.MOUNT_ATTR__ATIME)
            if on & k.MS_RDONLY:
                make_read_only(tree, reach != 0)
            added, removed = (
                sum(attribute for flag, attribute in ATTRIBUTES.items() if flags & flag)
                for flags in (on & ~k.MS_RDONLY, off)
            )
            if added or removed:
                k.mount_setattr(tree, "", k.AT_EMPTY_PATH | reach, added, removed)
        for flags in options.propagation or [k.MS_PRIVATE | k.MS_REC]:
            reach = k.AT_RECURSIVE if flags & k.MS_REC else 0
            k.mount_setattr(tree, "", k.AT_EMPTY_PATH | reach, propagation=flags & ~k.MS_REC)


def open_elsewhere(pid: int, path: str, recursive: int = 0) -> int:
    """A copy of the mount at *path* in the mount namespace of the process *pid*; a descriptor.

    We enter that namespace and return: entering changes the root and the working directory. Symbolic links
    there belong to a container and are not followed. Raises :class:`OSError`. Source: setns(2), open_tree(2).
    """
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    own, other = (os.open(f"/proc/{each}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC) for each in ("self", pid))
    try:
        setns(other, CLONE_NEWNS)
        try:
            place = k.openat2(k.AT_FDCWD, path, os.O_PATH, 0, k.RESOLVE_NO_SYMLINKS)
            try:
                return k.open_tree(place, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE | recursive)
            finally:
                os.close(place)
        finally:
            setns(own, CLONE_NEWNS)
            os.fchdir(here)
    finally:
        for fd in (here, own, other):
            os.close(fd)


_DEVICE_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


class Device(Operation):
    """A device node; in a user namespace, where mknod is forbidden, a bind mount of the host's node.

    Source: mknod(2); config-linux.md, "Devices".
    """

    def __init__(
        self,
        path: str,
        kind: str,
        major: int,
        minor: int,
        mode: int = 0o666,
        uid: int = 0,
        gid: int = 0,
        bind: bool = False,
    ) -> None:
        self.path, self.kind, self.device, self.mode = path, kind, os.makedev(major, minor), mode
        self.uid, self.gid, self.bind = uid, gid, bind

    def describe(self) -> str:
        return f"device {self.path}"

    def execute(self, root: int) -> None:
        if self.bind:
            if os.stat(self.path).st_rdev != self.device:
                raise ContainerError(f"{self.path} is another device on this machine, and mknod is forbidden here")
            return Bind(self.path, self.path).execute(root)
        directory, name = os.path.split(self.path)
        above = open_in_root(root, directory, make="directory")
        try:
            os.mknod(name, self.mode | _DEVICE_KINDS[self.kind], self.device, dir_fd=above)
            os.chmod(name, self.mode, dir_fd=above, follow_symlinks=True)  # mknod has applied the umask
            if self.uid or self.gid:
                os.chown(name, self.uid, self.gid, dir_fd=above, follow_symlinks=False)
        except FileExistsError:
            self.check_existing(name, above)
        finally:
            os.close(above)

    def check_existing(self, name: str, directory: int) -> None:
        """Verify that the file that is there already is the same device. Raises :class:`ContainerError`."""
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        same = stat.S_IFMT(status.st_mode) == _DEVICE_KINDS[self.kind] and status.st_rdev == self.device
        if not same and not (stat.S_ISFIFO(status.st_mode) and self.kind == "p"):
            raise ContainerError(f"{self.path} exists already, and is another file than the device: remove it")


class Link(Operation):
    """A symbolic link, such as /dev/stdin -> /proc/self/fd/0.

    Source: symlink(2); config-linux.md, "Dev symbolic links".
    """

    def __init__(self, path: str, target: str) -> None:
        self.path, self.target = path, target

    def describe(self) -> str:
        return f"link {self.path} to {self.target}"

    def execute(self, root: int) -> None:
        directory, name = os.path.split(self.path)
        above = open_in_root(root, directory, make="directory")
        try:
            os.symlink(self.target, name, dir_fd=above)
        except FileExistsError:
            pass
        finally:
            os.close(above)


def hide(path: str) -> None:
    """Cover *path* for every process in this mount namespace: a directory by an empty one, a file by /dev/null.

    What lies beneath does not change, and is out of reach until the cover is unmounted, which takes CAP_SYS_ADMIN.
    Call it while /dev is the host's: a container may have put another file in the place of its /dev/null
    (CVE-2025-31133). The cover is read-only, so that root in the container cannot change the mode of /dev/null.
    Raises :class:`OSError`. Source: mount(2); config-linux.md, "Masked Paths".
    """
    if os.path.isdir(path):
        k.mount("tmpfs", path, "tmpfs", k.MS_RDONLY | k.MS_NOSUID | k.MS_NODEV | k.MS_NOEXEC, "size=0,nr_inodes=1")
    else:
        bind_read_only("/dev/null", path)


def make_read_only(mount: int, inside: bool) -> None:
    """Make the mount that the descriptor *mount* stands for read-only; *inside*: and every mount inside it.

    Each mount has flags of its own: the same files stay writable through another mount. Raises :class:`OSError`.
    Source: mount_setattr(2).
    """
    reach = k.AT_RECURSIVE if inside else 0
    k.mount_setattr(mount, "", k.AT_EMPTY_PATH | reach, k.MOUNT_ATTR_RDONLY)


def bind_read_only(source: str, path: str) -> None:
    """Make the file *source* visible at *path*, read-only: neither its content nor its mode can be changed there.

    (A device can still be written to.) Raises :class:`OSError`. Source: open_tree(2), mount_setattr(2), move_mount(2).
    """
    tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    make_read_only(tree, False)
    k.move_mount(tree, target)
    os.close(target)
    os.close(tree)


def mount_console(terminal: int) -> None:
    """Mount the open *terminal* on /dev/console, which is created if it is missing.

    Both ends are descriptors: a path could lead elsewhere by the time it is used (CVE-2025-52565).
    Raises :class:`OSError`, :class:`ContainerError`. Source: config.md, "process.terminal"; console(4).
    """
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    directory = open_in_root(root, "/dev", make="directory")
    try:
        os.close(os.open("console", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=directory))
    except FileExistsError:
        pass
    target = os.open("console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    tree = k.open_tree(terminal, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE)
    try:
        if os.fstat(target).st_mode & 0o170000 not in (0o100000, 0o020000):
            raise ContainerError("the container's /dev/console is neither a file nor a device: remove it")
        check_target(root, target, "/dev/console")
        k.move_mount(tree, target)
    finally:
        for fd in (tree, target, directory, root):
            os.close(fd)


class Mask(Operation):
    """Hide what the container must not see: a file behind /dev/null, a directory behind an empty one.

    Source: config-linux.md, "Masked Paths".
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def describe(self) -> str:
        return f"mask {self.path}"

    def execute(self, root: int) -> None:
        try:
            target = open_in_root(root, self.path)
        except (FileNotFoundError, NotADirectoryError):
            return  # this kernel has no such file
        try:
            hide(f"/proc/self/fd/{target}")
        finally:
            os.close(target)


class ReadOnly(Operation):
    """Make a part of the file system read-only, with the mounts in it: a bind mount of it on itself.

    With *mounted*, the path is a mount already and needs no second one on top.
    Source: mount_setattr(2); config-linux.md, "Readonly Paths".
    """

    def __init__(self, path: str, mounted: bool = False) -> None:
        self.path, self.mounted = path, mounted

    def describe(self) -> str:
        return f"make {self.path} read-only"

    def execute(self, root: int) -> None:
        try:
            target = open_in_root(root, self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        tree = -1
        try:
            if not self.mounted:
                tree = k.open_tree(target, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE | k.AT_RECURSIVE)
            # volumes in a read-only root stay writable
            make_read_only(target if tree < 0 else tree, self.path != "/")
            if tree >= 0:
                k.move_mount(tree, target)
        finally:
            os.close(target)
            if tree >= 0:
                os.close(tree)


def is_bind(mount: Mount) -> bool:
    """Whether *mount* shows something that exists. Source: config.md, "Mounts"."""
    return mount.type == "bind" or bool({"bind", "rbind"} & set(mount.options))


def operation(mount: Mount, place: str = "", label: str | None = None) -> Operation:
    """The operation for a mount of the spec; *place* is where the spec's relative paths begin.

    *label*: the SELinux label of the files in a new file system that has none of its own.
    Raises :class:`ContainerError` for a mount without a destination or a type. Source: config.md, "Mounts".
    """
    if not mount.destination:
        raise ContainerError("a mount of the specification lacks a destination: add it")
    options = list(mount.options)
    if is_bind(mount):
        if "bind" not in options and "rbind" not in options:
            options.append("rbind")
        bind = Bind(os.path.join(place, mount.source or ""), mount.destination, options)
        if mount.uidMappings:
            bind.maps = mount.uidMappings, mount.gidMappings
        return bind
    if not mount.type:
        raise ContainerError(f"the mount on {mount.destination} lacks a type: add one, such as tmpfs or bind")
    if label and mount.type in ("tmpfs", "devpts"):
        options.append(f'context="{label}"')
    return FileSystem(mount.type, mount.destination, options, mount.source)
