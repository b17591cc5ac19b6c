"""Chapter 05: a mount namespace that tells nobody, and a root that nothing leads out of."""
from __future__ import annotations

import os

from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNS, unshare
from minict.runtime import mounts, rootfs

from .. import host
from ..exercise import Exercise, Feedback, same_fate


def check_make_private(make_private):
    """Two mount namespaces as systemd's: shared.  What the second mounts after make_private() must not be in the first."""
    os.mkdir("disk")
    k.mount("disk", "disk", "tmpfs")
    os.mkdir("disk/inner")
    k.mount(None, "/", None, k.MS_SHARED | k.MS_REC)

    def second():
        unshare(CLONE_NEWNS)
        make_private()
        k.mount("ours", "/mnt", "tmpfs")
        k.mount("ours", "disk/inner", "tmpfs")
        return True

    same_fate(second)
    seen = [entry["point"] for entry in host.mount_table() if entry["source"] == "ours"]
    if any(point == "/mnt" for point in seen):
        raise Feedback("in a new mount namespace, make_private() was called and then /mnt mounted: the host's mount table shows "
                       "it too. The root mount is still shared with the host.")
    if seen:
        raise Feedback("/mnt stays in its namespace now, but a mount inside another file system than / still reached the host. "
                       "Each mount has its own propagation: change them all, with MS_REC.")


Exercise(
    "private-1", "Tell nobody", minutes=5, difficulty=1, reference=mounts.make_private, check=check_make_private,
    imports="import os\nfrom minict.kernel import mount as k",
    starter='''
        def make_private(propagation=k.MS_SLAVE | k.MS_REC):
            """From now on nothing that this mount namespace mounts is seen outside."""
            ...
    ''',
    hints=[
        "mount(2) can change a mount instead of making one: then source and type are None.",
        "The flags say what to change, and the root of all mounts is at \"/\".",
        "k.mount(None, \"/\", None, …): which flags? Look at the function's argument.",
    ],
    wrong={
        "only the root": ("""
            def make_private(propagation=k.MS_PRIVATE):
                k.mount(None, "/", None, propagation)
        """, "with MS_REC"),
        "shared": ("""
            def make_private(propagation=k.MS_SHARED | k.MS_REC):
                k.mount(None, "/", None, propagation)
        """, "still shared"),
        "another mount": ("""
            def make_private(propagation=k.MS_PRIVATE):
                k.mount(None, "/proc", None, propagation)
        """, "still shared"),
        "no mount point": ("""
            def make_private(propagation=k.MS_PRIVATE):
                k.mount(None, "/etc", None, propagation)
        """, "Invalid argument"),
    })


def check_pivot_root(pivot_root):
    """A small root with a /proc of its own; afterwards what is /, what is mounted, and does chapter 04's escape work?"""
    os.mkdir("root")
    k.mount("root", "root", "tmpfs")
    for name in ("root/inside", "root/proc", "root/etc"):
        os.mkdir(name)
    k.mount("proc", "root/proc", "proc")
    root = os.path.abspath("root")
    pivot_root(root)
    if not os.path.exists("/inside"):
        raise Feedback("after pivot_root(root) the directory / still holds the host's files and not those of root.")
    if os.getcwd() != "/":
        raise Feedback(f"after pivot_root(root) the working directory is {os.getcwd()} and not /: through it a process is still "
                       "where it was. os.chdir(\"/\") goes inside.")
    mounted = [entry["point"] for entry in host.mount_table() if entry["source"] not in ("root", "proc")]
    if mounted:
        raise Feedback(f"/ is the new root, but the old one is still mounted: {len(mounted)} mounts of the host are in the mount "
                       "table. Unmount it, with MNT_DETACH because it is in use.")
    escape()
    if not os.path.exists("/inside"):
        raise Feedback("the escape of chapter 04 (chroot deeper, then cd .. again and again) still leads to the host. A chroot hides "
                       "the old root; pivot_root with an umount takes it away.")


def escape() -> None:
    """Leave a chroot: the working directory stays outside of the second root, and ``..`` leads on from there."""
    os.makedirs("/etc/deeper", exist_ok=True)
    os.chroot("/etc/deeper")
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")


Exercise(
    "pivot-1", "Move in, and let the host go", minutes=10, difficulty=2, reference=rootfs.pivot_root, check=check_pivot_root,
    imports="import os\nfrom minict.kernel import mount as k",
    starter='''
        def pivot_root(rootfs):
            """Make the mount point rootfs the root of this mount namespace, and forget the old one."""
            os.chdir(rootfs)
            ...    # the old root comes to lie on top of the new one
            ...    # and goes
            os.chdir("/")
    ''',
    hints=[
        "The system call wants two directories: the new root, and a place below it for the old root. After os.chdir(rootfs) "
        "both can be \".\".",
        "The old root is in use by this very process, so a plain umount2 is refused as busy. Which flag takes it from sight now?",
        "k.pivot_root(\".\", \".\") and then k.umount2(\".\", k.MNT_DETACH).",
    ],
    wrong={
        "chroot": ("""
            def pivot_root(rootfs):
                os.chroot(rootfs)
                os.chdir("/")
        """, "escape of chapter 04"),
        "keeps the old root": ("""
            def pivot_root(rootfs):
                os.chdir(rootfs)
                k.pivot_root(".", ".")
                os.chdir("/")
        """, "still mounted"),
        "busy": ("""
            def pivot_root(rootfs):
                os.chdir(rootfs)
                k.pivot_root(".", ".")
                k.umount2(".")
                os.chdir("/")
        """, "busy"),
        "from elsewhere": ("""
            def pivot_root(rootfs):
                k.pivot_root(".", ".")
                k.umount2(".", k.MNT_DETACH)
        """, "busy"),
    })
