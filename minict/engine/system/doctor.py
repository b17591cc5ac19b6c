"""``minict doctor``: what this machine can do for containers, and what to do where it cannot.

Each check is one small function that tries the thing itself, in a child process, instead of comparing versions: a
kernel may have been built without it, or a security module may forbid it.
"""

from __future__ import annotations

import os
import sys

from minict.engine.rootless import enter, outside
from minict.kernel import mount as k
from minict.kernel import namespaces as ns
from minict.kernel import process as kernel
from minict.runtime import cgroup, namespaces, paths, place
from minict.runtime.cgroup.hierarchy import REMEDY
from minict.runtime.errors import ContainerError
from minict.runtime.process import exit_status, spawn

OK = "ok"
WARNING = "warn"  # a chapter of the course, or an option, will not work
MISSING = "no"  # no container will start


class Finding:
    """The result of one check: one of :data:`OK`, :data:`WARNING` and :data:`MISSING`, the *fact*, and the *remedy*."""

    def __init__(self, name: str, word: str, fact: str, remedy: str = ""):
        self.name, self.word, self.fact, self.remedy = name, word, fact, remedy

    def __repr__(self):
        return f"{self.word:<5}{self.name:<20}{self.fact}" + (f"\n{'':25}-> {self.remedy}" if self.remedy else "")


class Findings(list):
    """All findings; in a notebook a table."""

    def __repr__(self):
        return "\n".join(map(repr, self))

    def _repr_html_(self):
        from minict.engine.util.table import html

        return html([{"": each.word, "what": each.name, "found": each.fact, "remedy": each.remedy} for each in self])


def attempt(function) -> str | None:
    """Call *function* in a child; None when it succeeds, otherwise the reason in words."""
    reading, writing = os.pipe2(os.O_CLOEXEC)

    def tell() -> None:
        try:
            function()
        except OSError as error:
            os.write(writing, (error.strerror or str(error)).encode())
        except Exception as error:
            os.write(writing, str(error).encode())

    pid = spawn(tell)
    os.close(writing)
    with open(reading, encoding="utf-8", errors="replace") as pipe:
        reason = pipe.read()
    status = exit_status(os.waitpid(pid, 0)[1])
    return reason.split(": ")[0] if reason else None if status == 0 else f"exit status {status}"


def tried(name: str, function, remedy: str, word: str = MISSING, fact: str = "works") -> Finding:
    """The finding of a check that consists of trying *function*."""
    reason = attempt(function)
    return Finding(name, word, f"refused: {reason}", remedy) if reason else Finding(name, OK, fact)


# ---- the checks --------------------------------------------------------------------------------------------------


def root() -> Finding:
    """Whether this is root, or an ordinary user with namespaces of one's own: :mod:`minict.engine.rootless`."""
    if os.geteuid() == 0 and not outside.is_inside():
        return Finding("root", OK, "user 0")
    if os.geteuid() == 0:
        return Finding("root", OK, "an ordinary user, who is root in namespaces of one's own")
    try:
        enter.enter()
    except ContainerError as error:
        return Finding("root", MISSING, str(error), "or run it as root, with sudo")
    return root()


def ids() -> Finding:
    """How many ids an ordinary user's containers have."""
    from minict.engine.rootless import idmaps

    with open("/proc/self/uid_map") as lines:
        count = sum(int(line.split()[2]) for line in lines)
    if count >= 65536:
        return Finding("ids", OK, f"{count} users are mapped")
    return Finding("ids", WARNING, f"{count} mapped: images with files of other users are refused", idmaps.remedy())


def way_out() -> Finding:
    """Whether an ordinary user's containers reach the world."""
    why = outside.open_way_out()
    return (
        Finding("way out", WARNING, why, "see also /dev/net/tun, which everybody must be able to open")
        if why
        else (Finding("way out", OK, "the containers reach the world"))
    )


def without_root() -> Finding:
    """What works for this user, and which chapters of the course: tests/integration/rootless runs them."""
    from minict.runtime.cgroup.hierarchy import find_hierarchies

    delegated = "memory" in find_hierarchies()[0]
    limits = "limits work" if delegated else "limits, and chapter 00, need delegated cgroups"
    chapters = f"chapters {'00' if delegated else '01'} to 07, 09, 10, 13 to 15 and 17 of the course run"
    return Finding(
        "without root",
        OK,
        f"containers, images, volumes and networks work, and {chapters}; {limits}; ports below 1024 and --userns "
        "private need root",
    )


def where() -> Finding:
    """Whether this is the host, a container or a chroot: see :mod:`minict.runtime.place`."""
    if place.in_chroot():
        return Finding("place", MISSING, "a chroot", place.CHROOT)
    kinds = place.own_namespaces()
    if not kinds or (kinds == ["user"] and outside.is_inside()):
        return Finding("place", OK, "the host")
    return Finding("place", OK, f"inside a container, or namespaces of one's own ({', '.join(kinds)})")


def linux() -> Finding:
    release = os.uname().release
    numbers = [int(part) for part in release.replace("-", ".").split(".")[:2] if part.isdigit()]
    return (
        Finding("Linux", OK, release)
        if numbers >= [5, 12]
        else Finding(
            "Linux",
            MISSING,
            release,
            "5.12 or later is needed (mount_setattr): upgrade, or use the course's virtual machine",
        )
    )


def processor() -> Finding:
    machine = os.uname().machine
    return (
        Finding("processor", OK, f"{machine}, {os.cpu_count()} of them")
        if machine in ("x86_64", "aarch64")
        else Finding("processor", MISSING, machine, "minict knows the system calls of x86_64 and aarch64")
    )


def python() -> Finding:
    version = sys.version.split()[0]
    return Finding(
        "Python",
        OK if sys.version_info >= (3, 11) else MISSING,
        version,
        "" if sys.version_info >= (3, 11) else "3.11 or later is needed",
    )


def namespace(kind: str):
    def check() -> Finding:
        word = WARNING if kind in ("user", "time") else MISSING
        remedy = f"the kernel was built without it, or max_{kind}_namespaces in /proc/sys/user is 0"
        if kind == "user":
            remedy += "; or a chroot, a seccomp filter or a security module forbids it"
        return tried(f"{kind} namespace", lambda: ns.unshare(namespaces.FLAGS[kind]), remedy, word)

    return check


def apparmor() -> Finding:
    """Whether AppArmor confines containers, and whether it restricts user namespaces. Source: apparmor(7)."""
    from shutil import which

    from minict.runtime.apparmor import is_enabled

    if not is_enabled():
        return Finding("AppArmor", OK, "this kernel has none: no LSM stands behind the seccomp filter")
    if not which("apparmor_parser"):
        return Finding("AppArmor", WARNING, "the profile of containers cannot be loaded", "apt-get install apparmor")
    try:
        with open("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") as file:
            restricted = file.read().strip() == "1"
    except OSError:
        restricted = False
    return (
        Finding(
            "AppArmor",
            WARNING,
            "restricts user namespaces of ordinary users",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (for the chapter on rootless containers)",
        )
        if restricted
        else Finding("AppArmor", OK, "confines containers, does not restrict user namespaces")
    )


def proc() -> Finding:
    read_only = os.statvfs("/proc").f_flag & os.ST_RDONLY
    return (
        Finding(
            "/proc",
            WARNING,
            "mounted read-only: no id maps, no sysctls, no forwarding of packets",
            "mount -o remount,rw /proc",
        )
        if read_only
        else Finding("/proc", OK, "can be written to")
    )


def cgroups() -> Finding:
    if not has_cgroups():
        return Finding(
            "cgroups",
            WARNING,
            "none is delegated to this user: containers run without limits, statistics and pause",
            f"have systemd delegate one: {REMEDY}",
        )
    words = {"v1": "version 1", "hybrid": "versions 1 and 2 side by side (hybrid)", "v2": "version 2"}
    try:
        return Finding("cgroups", OK, words[cgroup.mode()])
    except (ContainerError, KeyError, OSError) as error:
        return Finding("cgroups", MISSING, str(error) or "none is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")


def controller(name: str):
    def check() -> Finding:
        there = cgroup.controllers()
        own_name = "blkio" if name == "io" and "blkio" in there else name  # its name in version 1
        if own_name in there:
            return Finding(f"cgroup {name}", OK, there[own_name])
        flag = {"memory": "--memory", "cpu": "--cpus", "pids": "--pids-limit"}.get(name, "a limit of it")
        return Finding(
            f"cgroup {name}",
            WARNING,
            f"missing: {flag} cannot be set",
            "boot with cgroup_enable=memory"
            if name == "memory"
            else "see /proc/cgroups and /sys/fs/cgroup/cgroup.controllers",
        )

    return check


def has_cgroups() -> bool:
    """Whether there are control groups that this process may use."""
    return bool(cgroup.controllers()) or not place.in_user_namespace()


def cgroup_made() -> Finding:
    """Make a group, limit it and remove it: delegation and the no-internal-processes rule show only then."""

    def make() -> None:
        group = cgroup.Cgroup(f"/{paths.cgroup_parent()}/doctor-{os.getpid()}")
        try:
            group.create()
        finally:
            group.remove()

    return tried("make a cgroup", make, "run outside of a container, or give it a cgroup of its own to manage")


def overlay() -> Finding:
    """Mount an overlay on the file system of the containers' layers: not every file system can be an upper layer."""
    from minict.engine.images.overlay import remedy

    def mount(lower: str, upper: str, work: str, root: str) -> None:
        k.mount("overlay", root, "overlay", 0, f"lowerdir={lower},upperdir={upper},workdir={work}")

    return tried(
        "overlayfs",
        lambda: among_layers(mount),
        remedy(),
        fact=f"works on {nearest(paths.data_root())}",
    )


def users() -> Finding:
    """Mount an overlay whose layers show other owners, as a container with --userns private does."""
    if outside.is_inside():
        return Finding("idmapped layers", OK, "not needed: all containers are in one user namespace")

    def mount(lower: str, upper: str, work: str, root: str) -> None:
        from minict.runtime import idmap
        from minict.runtime.spec import IDMapping, Mount

        maps = [IDMapping(containerID=0, hostID=1 << 31, size=65536)]
        options = [f"lowerdir={lower}", f"upperdir={upper}", f"workdir={work}"]
        idmap.mount_overlay(
            Mount(type="overlay", source="overlay", options=options),
            root,
            idmap.user_namespace(maps, maps),
            1 << 31,
            1 << 31,
        )
        os.chdir("/")

    return tried(
        "idmapped layers",
        lambda: among_layers(mount),
        place.CHROOT
        if place.in_chroot()
        else "--userns private does not work: it needs Linux 5.19, and ext4, xfs or btrfs below MINICT_ROOT",
        WARNING,
    )


def among_layers(mount) -> None:
    """Call *mount* with four new directories on the file system of the containers' layers, in a mount namespace of its
    own.
    """
    ns.unshare(ns.CLONE_NEWNS)
    k.mount(None, "/", None, k.MS_PRIVATE | k.MS_REC)
    place = f"{nearest(paths.data_root())}/.minict-doctor-{os.getpid()}"
    names = [f"{place}/{name}" for name in ("lower", "upper", "work", "root")]
    try:
        for name in names:
            os.makedirs(name)
        mount(*names)
    finally:
        while os.path.ismount(names[3]):
            k.umount2(names[3], k.MNT_DETACH)
        from minict.runtime.files import remove_tree

        remove_tree(place)


def nearest(path: str) -> str:
    """The closest existing directory to *path*."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def pivot() -> Finding:
    def pivot_root() -> None:
        ns.unshare(ns.CLONE_NEWNS)
        k.mount(None, "/", None, k.MS_PRIVATE | k.MS_REC)
        k.mount("tmpfs", "/mnt", "tmpfs")
        os.chdir("/mnt")
        k.pivot_root(".", ".")

    remedy = place.CHROOT if place.in_chroot() else "it fails on an initramfs: boot from a real root file system"
    return tried("pivot_root", pivot_root, remedy)


def bridge() -> Finding:
    """Make a bridge and a veth pair, in a network namespace that is gone a moment later."""

    def plug() -> None:
        from minict.kernel.netlink import Rtnetlink

        ns.unshare(ns.CLONE_NEWNET)
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        with Rtnetlink() as links:
            links.add_bridge("doctor0", "02:00:00:00:00:01")
            links.add_veth("doctor1", "doctor2", "02:00:00:00:00:02", here, links.index("doctor0"))

    return tried("bridge and veth", plug, "modprobe bridge veth", WARNING)


def firewall() -> Finding:
    def rule() -> None:
        ns.unshare(ns.CLONE_NEWNET)
        from minict.engine.networks import nftables

        nftables.apply(
            "add table inet doctor\nadd chain inet doctor nat { type nat hook postrouting priority srcnat; }\n"
            "add rule inet doctor nat masquerade\n"
        )

    return tried(
        "nftables with NAT", rule, "apt install nftables libnftables1; modprobe nft_chain_nat nft_masq", WARNING
    )


def filters() -> Finding:
    """Compile and install the default seccomp profile, as for every container."""

    def install() -> None:
        from minict.engine.spec.seccomp import default
        from minict.runtime import capabilities, seccomp

        seccomp.install(seccomp.compile(default(list(capabilities.DEFAULT))))

    return tried("seccomp", install, "apt install libseccomp2; the kernel needs CONFIG_SECCOMP_FILTER")


def handles() -> Finding:
    def open_own() -> None:
        os.close(kernel.pidfd_open(os.getpid()))

    return tried("pidfd", open_own, "Linux 5.3 or later is needed, and a security module that allows it")


def room() -> Finding:
    disk = os.statvfs(nearest(paths.data_root()))
    free = disk.f_bavail * disk.f_frsize / 1e9
    return Finding(
        "disk",
        OK if free > 2 else WARNING,
        f"{free:.1f} GB free for {paths.data_root()}",
        "" if free > 2 else "make room, or set MINICT_ROOT to another disk",
    )


def memory() -> Finding:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    return Finding(
        "memory", OK if free > 300 else WARNING, f"{free:.0f} MB free", "" if free > 300 else "close something"
    )


def default_image() -> Finding:
    from minict.engine.images import image

    try:
        image.Image.find(image.DEFAULT)
        return Finding("default image", OK, image.DEFAULT)
    except (ContainerError, PermissionError) as error:
        return Finding("default image", WARNING, f"{image.DEFAULT}: {error}", "the first minict run creates it")


def jupyter() -> Finding:
    import importlib.util

    there = importlib.util.find_spec("jupyterlab") is not None
    return Finding(
        "JupyterLab",
        OK if there else WARNING,
        "installed" if there else "not installed",
        "" if there else "make lab, or pip install -r requirements.txt",
    )


def leftovers() -> Finding:
    """Find containers whose monitor or creator was killed."""
    from minict.runtime import state

    dead = 0
    for id in state.all_ids():
        each = state.State(id)
        if each.lock():
            dead += each.pid() is None
            each.unlock()
    return Finding(
        "leftovers",
        WARNING if dead else OK,
        f"{dead} containers without a monitor" if dead else "none",
        "minict prune releases what they hold" if dead else "",
    )


CHECKS = (
    root,  # first: an ordinary user enters the namespaces, in which all others are made
    where,
    linux,
    processor,
    python,
    proc,
    *map(namespace, namespaces.FLAGS),
    apparmor,
    cgroups,
    *map(controller, ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")),
    cgroup_made,
    overlay,
    users,
    pivot,
    handles,
    filters,
    bridge,
    firewall,
    room,
    memory,
    default_image,
    jupyter,
    leftovers,
)
_WITHOUT_ROOT = (ids, way_out, without_root)
# These checks need root.
_NEED_ROOT = (cgroup_made, overlay, users, pivot, bridge, firewall, leftovers)


def checks() -> Findings:
    """Run all checks, which take less than a second together and leave nothing behind."""
    findings = Findings()
    for check in (*CHECKS, *(_WITHOUT_ROOT if os.geteuid() or outside.is_inside() else ())):
        if check in _WITHOUT_ROOT and not outside.is_inside():
            continue
        if os.geteuid() != 0 and (check in _NEED_ROOT or check.__qualname__.startswith("namespace.")):
            continue
        if (check is cgroup_made or check.__qualname__.startswith("controller.")) and not has_cgroups():
            continue
        findings.append(check())
    return findings


def main() -> int:
    """Print the findings; 0 when this machine can run containers, otherwise 1."""
    findings = checks()
    for finding in findings:
        print(finding)
    missing = [finding.name for finding in findings if finding.word == MISSING]
    print("\nThis machine " + (f"cannot run containers: {', '.join(missing)}." if missing else "can run containers."))
    return 1 if missing else 0
