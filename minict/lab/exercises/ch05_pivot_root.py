"""Chapter 05: mounts that nobody else sees, a root with no way out, and covers for what must not be seen."""

from __future__ import annotations

import errno
import fcntl
import os
import signal

from minict.engine.images import hostimage
from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNS, setns, unshare
from minict.runtime import mounts, process, rootfs

from .. import host
from ..answers import edited
from ..challenge import Challenge
from ..escape import escape
from ..exercise import Exercise, same_fate
from ..feedback import Feedback

_IMPORTS = "import os\nfrom minict.kernel import mount as k"


# ---- private-1 -------------------------------------------------------------------------------------------------


def check_make_private(make_private):
    """A host whose mounts are shared, as systemd's are: what a second namespace then mounts must not be seen here."""
    os.mkdir("disk")
    k.mount("disk", "disk", "tmpfs")
    os.mkdir("disk/inner")
    k.mount(None, "/", None, k.MS_SHARED | k.MS_REC)
    before = host.mount_table()

    def second():
        unshare(CLONE_NEWNS)
        try:
            make_private()
        except (TypeError, OSError) as error:
            if getattr(error, "errno", 0) == errno.EINVAL:
                raise Feedback(
                    f"make_private() raised {error}. Only what is a mount point has a propagation, and the tree of all "
                    "mounts begins at /. The flags are one propagation with k.MS_REC, and no other: k.MS_BIND, for one, "
                    "asks for another kind of mount."
                ) from None
            if getattr(error, "errno", errno.EFAULT) not in (errno.EFAULT, errno.ENOENT):
                raise
            raise Feedback(
                f"make_private() raised {type(error).__name__}: {error}. Are the arguments in their places? The mount "
                "to change is the "
                'second one: k.mount(None, "/", None, flags).'
            ) from None
        k.mount("ours", "/mnt", "tmpfs")
        k.mount("ours", "disk/inner", "tmpfs")
        return _whom_it_hears("disk")

    hears = same_fate(second)
    known = {entry["id"] for entry in before}
    if made := [each["point"] for each in host.mount_table() if each["id"] not in known and each["source"] != "ours"]:
        raise Feedback(
            f"make_private() itself has mounted something on {made[0]}, and the host's mount table shows it too. It is to "
            "change the mounts that are there, before the first new one."
        )
    seen = [entry["point"] for entry in host.mount_table() if entry["source"] == "ours"]
    if "/mnt" in seen:
        raise Feedback(
            "in a new mount namespace, make_private() was called and then a tmpfs mounted on /mnt: the "
            "host's mount table shows it too. The root mount is still shared with the host."
        )
    if seen:
        raise Feedback(
            "/mnt stays in its namespace now, but a mount inside another file system than / still reached "
            "the host. Each mount has its own propagation: change them all, with MS_REC."
        )
    if not hears:
        raise Feedback(
            "nothing reaches the host now, but nothing comes from it either: after make_private() the "
            "mounts are private. The default of the argument asks for a slave: pass the argument on."
        )

    def third():
        unshare(CLONE_NEWNS)
        make_private(k.MS_PRIVATE | k.MS_REC)
        return not _whom_it_hears("disk")

    if not same_fate(third):
        raise Feedback(
            "after make_private(k.MS_PRIVATE | k.MS_REC) the mounts are still slaves of the host's. "
            "The flags are the function's argument: use it."
        )


def _whom_it_hears(name: str) -> bool:
    """Whether the mount on *name* is a slave of another: mountinfo then says ``master:N``."""
    entries = [entry for entry in host.mount_table() if entry["point"] == os.path.abspath(name)]
    return any(tag.startswith("master:") for entry in entries for tag in entry["tags"])


Exercise(
    "private-1",
    "Tell nobody",
    minutes=6,
    difficulty=1,
    reference=mounts.make_private,
    check=check_make_private,
    imports=_IMPORTS,
    starter='''
        def make_private(propagation=k.MS_SLAVE | k.MS_REC):
            """Give every mount of this namespace this propagation: from now on the host sees no mount of ours."""
            ...
    ''',
    hints=[
        "mount(2) can change a mount instead of making one. play_host() above does exactly that, with other flags.",
        'There is no source and no file system type then: both are None. The tree of all mounts begins at "/".',
        'k.mount(None, "/", None, …): and the flags? They are the function\'s argument.',
    ],
    right={
        "by keywords": """
            def make_private(propagation=k.MS_SLAVE | k.MS_REC):
                k.mount(source=None, target="/", mountflags=propagation)
        """,
        "mount by mount": """
            def make_private(propagation=k.MS_SLAVE | k.MS_REC):
                from minict.lab.host import mount_table
                for point in [entry["point"] for entry in mount_table()]:
                    try:
                        k.mount(None, point, None, propagation)
                    except OSError:
                        pass
        """,
        "the command mount": """
            def make_private(propagation=k.MS_SLAVE | k.MS_REC):
                import subprocess
                word = "--make-rslave" if propagation & k.MS_SLAVE else "--make-rprivate"
                subprocess.run(["mount", word, "/"], check=True)
        """,
    },
    wrong={
        "the arguments of another call": (
            """
            def make_private(propagation=k.MS_SLAVE | k.MS_REC):
                k.mount("/", None, None, propagation)
        """,
            "in their places",
        ),
        "only the root": (
            """
            def make_private(propagation=k.MS_SLAVE):
                k.mount(None, "/", None, propagation)
        """,
            "with MS_REC",
        ),
        "shared": (
            """
            def make_private(propagation=k.MS_SHARED | k.MS_REC):
                k.mount(None, "/", None, propagation)
        """,
            "still shared",
        ),
        "another mount": (
            """
            def make_private(propagation=k.MS_SLAVE | k.MS_REC):
                k.mount(None, "/proc", None, propagation)
        """,
            "still shared",
        ),
        "no mount point": (
            """
            def make_private(propagation=k.MS_SLAVE | k.MS_REC):
                k.mount(None, "/etc", None, propagation)
        """,
            "Only what is a mount point has a propagation",
        ),
        "two kinds at once": (
            """
            def make_private(propagation=k.MS_SLAVE | k.MS_REC):
                k.mount(None, "/", None, propagation | k.MS_PRIVATE)
        """,
            "one propagation with k.MS_REC, and no other",
        ),
        "mounts first": (
            """
            def make_private(propagation=k.MS_SLAVE | k.MS_REC):
                k.mount("/", "/", None, k.MS_BIND)
                k.mount(None, "/", None, propagation)
        """,
            "itself has mounted something",
        ),
        "private, whatever is asked": (
            """
            def make_private(propagation=k.MS_SLAVE | k.MS_REC):
                k.mount(None, "/", None, k.MS_PRIVATE | k.MS_REC)
        """,
            "pass the argument on",
        ),
        "slave, whatever is asked": (
            """
            def make_private(propagation=k.MS_SLAVE | k.MS_REC):
                k.mount(None, "/", None, k.MS_SLAVE | k.MS_REC)
        """,
            "use it",
        ),
    },
)


# ---- pivot-1 ---------------------------------------------------------------------------------------------------


def check_pivot_root(pivot_root):
    """A small root with a /proc of its own: what is / afterwards, what is mounted, does chapter 04's escape work?"""
    os.mkdir("root")
    k.mount("root", "root", "tmpfs")
    for name in ("root/inside", "root/proc", "root/etc"):
        os.mkdir(name)
    k.mount("proc", "root/proc", "proc")
    root = os.path.abspath("root")
    try:
        pivot_root(root)
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        raise Feedback(
            f"pivot_root(root) raised TypeError: {error}. Inside of your function the name pivot_root means your "
            "function. The "
            "system call is k.pivot_root(new_root, put_old)."
        ) from None
    except OSError as error:
        if error.errno == errno.EBUSY and "umount2" in error.strerror:
            raise Feedback(
                "umount2() refuses: the old root is busy, because this very process uses it. Which flag "
                "takes a mount from sight now, and from memory when nobody uses it any more?"
            ) from None
        if error.errno == errno.ENOENT and "pivot_root(" in error.strerror:
            raise Feedback(
                f"pivot_root(root) raised {error}. What you stood in has been taken off before. First k.pivot_root(), which "
                "puts the old root on top; then k.umount2(), which takes off what is on top."
            ) from None
        if error.errno == errno.ENOENT and "umount2(" in error.strerror:
            raise Feedback(
                f"pivot_root(root) raised {error}. After k.pivot_root() all paths begin in the new root, and this one is not "
                'in there. The old root lies on top of where you stand, and that is ".".'
            ) from None
        raise
    if not os.path.exists("/inside"):
        raise Feedback("after pivot_root(root) the directory / still holds the host's files and not those of root.")
    if os.getcwd() != "/":
        raise Feedback(
            f"after pivot_root(root) the working directory is {os.getcwd()} and not /: through it a process "
            'is still where it was. os.chdir("/") goes inside.'
        )
    if not os.path.exists("/proc/self"):
        raise Feedback(
            "after pivot_root(root) the /proc that was mounted in root is gone: umount2() took off the new root. chroot moves "
            "no mount; only after k.pivot_root() the old root is the one on top."
        )
    mounted = [entry["point"] for entry in host.mount_table() if entry["source"] not in ("root", "proc")]
    if mounted:
        raise Feedback(
            f"/ is the new root, but the old one is still mounted: {len(mounted)} mounts of the host are in "
            "the mount table. Take it off with umount2, and with MNT_DETACH, because it is in use."
        )
    escape()
    if not os.path.exists("/inside"):
        raise Feedback(
            "the escape of chapter 04 (chroot deeper, then cd .. again and again) still leads to the host. "
            "chroot hides the old root; pivot_root with an umount takes it away."
        )


def check_from_outside(pivot_root):
    """A process that calls pivot_root(), and a visitor in its mount namespace: can that one still reach the host?"""
    os.mkdir("other")
    k.mount("root", "other", "tmpfs")
    os.mkdir("other/inside")
    marker = os.path.abspath("marker")
    open(marker, "w").close()
    ready, told = os.pipe()

    def inhabitant():
        unshare(CLONE_NEWNS)
        k.mount(None, "/", None, k.MS_PRIVATE | k.MS_REC)
        pivot_root(os.path.abspath("other"))
        os.write(told, b"!")
        signal.pause()

    pid = process.spawn(inhabitant)
    try:
        os.close(told)
        if not os.read(ready, 1):
            return  # pivot_root() has failed: the look from the inside says why
        namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
        same_fate(lambda: _visit(namespace, marker, "pivot_root(root)"))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _visit(namespace: int, marker: str, call: str) -> bool:
    """Enter, take off whatever is mounted on /, and look again; three times, for there may be layers."""
    for taken_off in range(3):
        setns(namespace, CLONE_NEWNS)
        if os.path.exists(marker):
            raise Feedback(
                f"{call} hides the host, and does not remove it: a visitor in this mount namespace "
                + (
                    "finds the host's files."
                    if not taken_off
                    else "took off what is mounted on /, and beneath it was the host."
                )
                + " Turn the tree over with k.pivot_root(), so that the old root is on top, and take that off."
            )
        try:
            k.umount2("/", k.MNT_DETACH)
        except OSError:
            break
    return True


def check_pivot(pivot_root):
    """From the inside, and as a visitor from outside."""

    def inside():
        unshare(CLONE_NEWNS)  # private as ours are; the second look needs a host that is still there
        check_pivot_root(pivot_root)
        return True

    same_fate(inside)
    check_from_outside(getattr(pivot_root, "function", pivot_root))


Exercise(
    "pivot-1",
    "Move in, and let the host go",
    minutes=12,
    difficulty=2,
    reference=rootfs.pivot_root,
    check=check_pivot,
    imports=_IMPORTS,
    starter='''
        def pivot_root(rootfs):
            """Make the mount point rootfs the root of this mount namespace, and take the old root off."""
            os.chdir(rootfs)
            ...    # now the old root lies on top of the new one
            ...    # and now it is gone
            os.chdir("/")
    ''',
    hints=[
        "The system call wants two directories: the new root, and a place below it for the old root. After "
        'os.chdir(rootfs) both can be ".".',
        "The old root is in use by this very process, so a plain umount2 is refused as busy. Which flag takes it from "
        "sight now?",
        'k.pivot_root(".", ".") and then k.umount2(".", k.MNT_DETACH).',
    ],
    right={
        "by descriptors": """
            def pivot_root(rootfs):
                old = os.open("/", os.O_RDONLY)
                new = os.open(rootfs, os.O_RDONLY)
                os.fchdir(new)
                k.pivot_root(".", ".")
                os.fchdir(old)
                k.mount(None, ".", None, k.MS_SLAVE | k.MS_REC)
                k.umount2(".", k.MNT_DETACH)
                os.chdir("/")
                os.close(old)
                os.close(new)
        """,
        "the older recipe": """
            def pivot_root(rootfs):
                os.makedirs(rootfs + "/old", exist_ok=True)
                k.pivot_root(rootfs, rootfs + "/old")
                os.chdir("/")
                k.umount2("/old", k.MNT_DETACH)
                os.rmdir("/old")
        """,
        "umounts the root by name": """
            def pivot_root(rootfs):
                os.chdir(rootfs)
                k.pivot_root(rootfs, rootfs)
                k.umount2("/", flags=k.MNT_DETACH)
                os.chdir("/")
        """,
    },
    wrong={
        "calls itself": (
            """
            def pivot_root(rootfs):
                os.chdir(rootfs)
                pivot_root(".", ".")
                k.umount2(".", k.MNT_DETACH)
                os.chdir("/")
        """,
            "means your function",
        ),
        "moves the mount": (
            """
            def pivot_root(rootfs):
                os.chdir(rootfs)
                k.mount(rootfs, "/", None, k.MS_MOVE)
                os.chroot(".")
                os.chdir("/")
        """,
            "beneath it was the host",
        ),
        "chroot": (
            """
            def pivot_root(rootfs):
                os.chroot(rootfs)
                os.chdir("/")
        """,
            "escape of chapter 04",
        ),
        "chroot and umount2": (
            """
            def pivot_root(rootfs):
                os.chdir(rootfs)
                os.chroot(".")
                k.umount2("/", k.MNT_DETACH)
                os.chdir("/")
        """,
            "umount2() took off the new root",
        ),
        "umount2 first": (
            """
            def pivot_root(rootfs):
                os.chdir(rootfs)
                k.umount2(".", k.MNT_DETACH)
                k.pivot_root(".", ".")
                os.chdir("/")
        """,
            "First k.pivot_root()",
        ),
        "by its old path": (
            """
            def pivot_root(rootfs):
                os.chdir(rootfs)
                k.pivot_root(".", ".")
                k.umount2(rootfs, k.MNT_DETACH)
                os.chdir("/")
        """,
            "all paths begin in the new root",
        ),
        "keeps the old root": (
            """
            def pivot_root(rootfs):
                os.chdir(rootfs)
                k.pivot_root(".", ".")
                os.chdir("/")
        """,
            "still mounted",
        ),
        "busy": (
            """
            def pivot_root(rootfs):
                os.chdir(rootfs)
                k.pivot_root(".", ".")
                k.umount2(".")
                os.chdir("/")
        """,
            "busy",
        ),
        "from elsewhere": (
            """
            def pivot_root(rootfs):
                k.pivot_root(".", ".")
                k.umount2(".", k.MNT_DETACH)
        """,
            "raised OSError",
        ),  # busy or an invalid argument, as the scratch directory is on / or not
        "the old root in a directory": (
            """
            def pivot_root(rootfs):
                os.makedirs(rootfs + "/old", exist_ok=True)
                k.pivot_root(rootfs, rootfs + "/old")
                os.chdir("/")
        """,
            "still mounted",
        ),
    },
)


# ---- hide-1 ----------------------------------------------------------------------------------------------------


def check_hide(hide):
    """A file and a directory with secrets: when covered, nothing can be read or written there, and nothing is lost."""
    secrets = {"letter": "letter", "closet": "closet/letter"}
    os.mkdir("closet")
    for path in secrets.values():
        with open(path, "w") as file:
            file.write("dear diary")
    beneath = {covered: os.open(path, os.O_RDONLY) for covered, path in secrets.items()}
    _call_hide(hide, "letter")
    _is_kept(beneath["letter"], "file")
    _is_covered_file("letter", "hide() was called with the path of a file")
    _call_hide(hide, "closet")
    _is_kept(beneath["closet"], "directory")
    _is_covered_directory("closet", "hide() was called with the path of a directory")
    for covered, path in secrets.items():
        try:
            k.umount2(covered)
            with open(path) as file:
                kept = file.read() == "dear diary"
        except OSError:
            kept = False
        if not kept:
            _has_changed("file" if covered == path else "directory")


def _is_kept(descriptor: int, kind: str) -> None:
    """The file behind *descriptor*, which lies beneath the cover, has a name and its old content."""
    if not os.fstat(descriptor).st_nlink or os.pread(descriptor, 16, 0) != b"dear diary":
        _has_changed(kind)


def _has_changed(kind: str) -> None:
    raise Feedback(
        f"hide() has changed the {kind} itself: without its cover it is not what it was. An image is shared by many "
        "containers: mount something on top, and leave what is beneath alone."
    )


def _call_hide(hide, path: str) -> None:
    kind = "file" if path == "letter" else "directory"
    try:
        hide(os.path.abspath(path))
    except TypeError as error:
        if "not int" not in str(error):
            raise
        raise Feedback(
            f"hide() with the path of a {kind} raised TypeError: {error}. The third argument of k.mount() is the type of "
            "the file system, or None; the flags are the fourth."
        ) from None
    except OSError as error:
        if error.errno == errno.ENODEV:
            why = "There is no file system of this type. A bind mount has no type: k.mount(source, target, None, k.MS_BIND)."
        elif error.errno == errno.ENOTDIR:
            why = "A directory needs a directory as its cover, a file needs a file."
        elif error.errno == errno.EINVAL:
            why = (
                "Without the flag k.MS_BIND the kernel wants the type of a new file system."
                if kind == "file"
                else "The cover of a directory is a new file system, and the kernel wants its type: 'tmpfs'."
            )
        else:
            raise
        raise Feedback(f"hide() with the path of a {kind} raised {error}. {why}") from None


def _is_covered_file(path: str, call: str) -> None:
    try:
        with open(path) as file:
            text = file.read()
    except OSError as error:
        raise Feedback(
            f"{call}, and then it could not be opened any more ({error.strerror}). A process that looks there "
            "should find an empty file: bind /dev/null to its place."
        ) from None
    if text and os.path.ismount("/dev/null"):
        raise Feedback(
            f"{call}, and now /dev/null shows that file, the other way round. k.mount(a, b, None, k.MS_BIND) shows a at b: "
            "what covers comes first, then what is covered."
        )
    if text:
        raise Feedback(f"{call}, and its text can still be read by root: {text!r}. Mount something on top of it.")
    if os.stat(path).st_rdev != os.makedev(1, 3):
        raise Feedback(
            f"{call}: it is empty now, but it is not /dev/null. /dev/null is there already, takes no room, "
            "and swallows whatever is written to it."
        )


def _is_covered_directory(path: str, call: str) -> None:
    try:
        names = os.listdir(path)
    except OSError as error:
        raise Feedback(
            f"{call}, and then it could not be listed any more ({error.strerror}). A process that looks there "
            "should find an empty directory."
        ) from None
    if names:
        raise Feedback(
            f"{call}, and it still lists {', '.join(names)}. Mount an empty file system on top of it: a tmpfs."
        )
    try:
        os.mkdir(f"{path}/new")
    except OSError:
        return
    raise Feedback(
        f"{call}: it is empty now, but new files can be written into the cover, and a tmpfs takes memory of "
        "the host. Make it read-only."
    )


Exercise(
    "hide-1",
    "Put a cover on it",
    minutes=7,
    difficulty=1,
    reference=mounts.hide,
    check=check_hide,
    imports=_IMPORTS,
    starter='''
        def hide(path):
            """Cover what is at path: a directory with an empty, read-only one; a file with /dev/null."""
            if os.path.isdir(path):
                ...
            else:
                ...
    ''',
    hints=[
        "Both are one mount. What is beneath stays as it is; it can only not be reached any more.",
        "A new tmpfs is empty. The flag that makes a mount read-only is k.MS_RDONLY.",
        "A file is covered by another file, as the room was by itself: k.mount(source, target, None, k.MS_BIND).",
    ],
    adapt=lambda function, path: function(os.readlink(path) if path.startswith("/proc/self/fd/") else path),
    right={
        "read-only in a second step": """
            def hide(path):
                if os.path.isdir(path):
                    k.mount("tmpfs", path, "tmpfs")
                    k.mount(None, path, None, k.MS_REMOUNT | k.MS_RDONLY)
                else:
                    k.mount("/dev/null", path, None, k.MS_BIND)
        """,
        "the command mount": """
            def hide(path):
                import subprocess
                if os.path.isdir(path):
                    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", path], check=True)
                else:
                    subprocess.run(["mount", "--bind", "/dev/null", path], check=True)
        """,
        "as the package has it": """
            def hide(path):
                cover = ("none", path, "tmpfs", k.MS_RDONLY | k.MS_NOEXEC, "size=0,nr_inodes=1")
                k.mount(*cover if os.path.isdir(path) else ("/dev/null", path, "", k.MS_BIND))
        """,
    },
    wrong={
        "deletes it": (
            """
            def hide(path):
                import shutil
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        """,
            "has changed the file itself",
        ),
        "empties it": (
            """
            def hide(path):
                if os.path.isdir(path):
                    k.mount("tmpfs", path, "tmpfs", k.MS_RDONLY)
                else:
                    open(path, "w").close()
        """,
            "has changed the file itself",
        ),
        "makes it anew": (
            """
            def hide(path):
                import shutil
                if os.path.isdir(path):
                    shutil.rmtree(path)
                    os.mkdir(path)
                else:
                    k.mount("/dev/null", path, None, k.MS_BIND)
        """,
            "has changed the directory itself",
        ),
        "the flags as the type": (
            """
            def hide(path):
                if os.path.isdir(path):
                    k.mount("tmpfs", path, k.MS_RDONLY)
                else:
                    k.mount("/dev/null", path, k.MS_BIND)
        """,
            "the flags are the fourth",
        ),
        "no flag at all": (
            """
            def hide(path):
                if os.path.isdir(path):
                    k.mount("tmpfs", path, "tmpfs", k.MS_RDONLY)
                else:
                    k.mount("/dev/null", path, None)
        """,
            "Without the flag k.MS_BIND",
        ),
        "the other way round": (
            """
            def hide(path):
                if os.path.isdir(path):
                    k.mount("tmpfs", path, "tmpfs", k.MS_RDONLY)
                else:
                    k.mount(path, "/dev/null", None, k.MS_BIND)
        """,
            "what covers comes first",
        ),
        "a directory without a type": (
            """
            def hide(path):
                if os.path.isdir(path):
                    k.mount(None, path, None, k.MS_RDONLY)
                else:
                    k.mount("/dev/null", path, None, k.MS_BIND)
        """,
            "the kernel wants its type",
        ),
        "takes the permissions": (
            """
            def hide(path):
                os.chmod(path, 0)
        """,
            "can still be read by root",
        ),
        "a tmpfs for both": (
            """
            def hide(path):
                k.mount("tmpfs", path, "tmpfs", k.MS_RDONLY)
        """,
            "Not a directory",
        ),
        "/dev/null for both": (
            """
            def hide(path):
                k.mount("/dev/null", path, None, k.MS_BIND)
        """,
            "Not a directory",
        ),
        "bind as a type": (
            """
            def hide(path):
                if os.path.isdir(path):
                    k.mount("tmpfs", path, "tmpfs", k.MS_RDONLY)
                else:
                    k.mount("/dev/null", path, "bind")
        """,
            "A bind mount has no type",
        ),
        "writable": (
            """
            def hide(path):
                if os.path.isdir(path):
                    k.mount("tmpfs", path, "tmpfs")
                else:
                    k.mount("/dev/null", path, None, k.MS_BIND)
        """,
            "Make it read-only",
        ),
        "files alone": (
            """
            def hide(path):
                if not os.path.isdir(path):
                    k.mount("/dev/null", path, None, k.MS_BIND)
        """,
            "still lists",
        ),
    },
)


# ---- lookup-1 --------------------------------------------------------------------------------------------------


def check_look_up(look_up):
    """A root directory with honest links and hostile ones.  Every path must end where a process inside would end."""
    for directory in ("root/etc", "root/usr/bin", "root/proc"):
        os.makedirs(directory)
    for file in ("root/etc/inside", "root/usr/bin/inside"):
        open(file, "w").close()
    for link, target in (("bin", "/usr/bin"), ("dev", "/etc"), ("up", "../../../../../../../../etc"), ("chain", "dev")):
        os.symlink(target, f"root/{link}")
    k.mount("proc", "root/proc", "proc")
    root = os.open("root", os.O_PATH | os.O_DIRECTORY)

    def expect(path, place, why):
        descriptor = _opened(look_up, root, path, why)
        if not os.path.sameopenfile(descriptor, os.open(f"root{place}", os.O_PATH)):
            raise Feedback(
                f"look_up(root, {path!r}) opened {os.readlink(f'/proc/self/fd/{descriptor}')} of the HOST. {why}"
            )
        if not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_PATH:
            raise Feedback(
                "the descriptor must be one of O_PATH: only to know where a thing is. To really open a "
                "device or a pipe of somebody's image may do something."
            )

    expect(
        "/etc/inside",
        "/etc/inside",
        "An absolute path begins at the host's /, whatever root is, unless RESOLVE_IN_ROOT says otherwise. (Rules are "
        "joined with |. With & nothing is left of them.)",
    )
    expect(
        "/bin/inside",
        "/usr/bin/inside",
        "/bin is a link to /usr/bin, and a process inside would find the one below root.",
    )
    expect("/dev", "/etc", "The image's /dev is a link to /etc: an absolute link must begin at root too.")
    expect("/chain", "/etc", "The image's /chain is a link to a link to /etc.")
    expect("/up", "/etc", "The image's /up is a link that climbs up by dots: above root there must be nothing.")
    expect("../../../../../../../../etc", "/etc", "The dots lead out of root.")
    expect("/proc/version", "/proc/version", "What is mounted below root is a part of it.")
    try:
        look_up(root, "/proc/self/root")
    except OSError:
        return
    raise Feedback("look_up(root, '/proc/self/root') led to the host's / through a magic link of /proc.")


def _opened(look_up, root: int, path: str, why: str) -> int:
    """The descriptor that ``look_up(root, path)`` returns."""
    try:
        descriptor = look_up(root, path)
    except OSError as error:
        reason = f"{errno.errorcode.get(error.errno)}: {os.strerror(error.errno)}"
        call = f"look_up(root, {path!r}) was refused or found nothing ({reason})."
        if error.errno == errno.ELOOP:
            raise Feedback(
                f"{call} {why} That is an honest link, such as most images have: not every link is hostile."
            ) from None
        if error.errno == errno.EINVAL:
            raise Feedback(
                f"{call} These rules contradict each other, and the kernel wants none of them: RESOLVE_BENEATH forbids "
                "what "
                "RESOLVE_IN_ROOT redirects. Choose one of the two."
            ) from None
        if error.errno == errno.EXDEV:
            raise Feedback(f"{call} {why} Do not forbid what would lead out: let it end inside.") from None
        raise Feedback(f"{call} {why}") from None
    if not isinstance(descriptor, int):
        raise Feedback(
            f"look_up(root, {path!r}) returned {descriptor!r}. Expected: the descriptor that openat2 returns."
        )
    try:
        os.fstat(descriptor)
    except OSError:
        raise Feedback(f"look_up(root, {path!r}) returned {descriptor}, and no file is open by that number.") from None
    return descriptor


Exercise(
    "lookup-1",
    "Follow the links, but inside",
    minutes=6,
    difficulty=1,
    reference=mounts.look_up,
    check=check_look_up,
    imports=_IMPORTS,
    starter='''
        def look_up(root, path):
            """Open path as a process would find it whose / is the directory root (a descriptor)."""
            resolve = ...    # which rules?
            return k.openat2(root, path, os.O_PATH, 0, resolve)
    ''',
    hints=[
        "Most images have absolute links, such as /bin -> /usr/bin, and containers must find what is behind them. So "
        "the rule can't be that links are forbidden.",
        "One of the rules makes of root what chroot would make of it, but only for this one path.",
        "k.RESOLVE_IN_ROOT is the main one. Which other one is about /proc? Flags are joined by |.",
    ],
    right={
        "two rules in one call": """
            def look_up(root, path):
                return k.openat2(root, path, os.O_PATH, resolve=k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS)
        """,
        "one rule": """
            def look_up(root, path):
                return k.openat2(root, path, os.O_PATH, 0, k.RESOLVE_IN_ROOT)
        """,
        "from the inside": """
            def look_up(root, path):
                import socket
                ours, theirs = socket.socketpair()
                child = os.fork()
                if child == 0:
                    try:
                        os.fchdir(root)
                        os.chroot(".")
                        if "/self/" not in path:
                            found = os.open("/" + path, os.O_PATH)
                            socket.send_fds(theirs, [b"!"], [found])
                    finally:
                        theirs.close()
                        os._exit(0)
                theirs.close()
                os.waitpid(child, 0)
                found = socket.recv_fds(ours, 1, 1)[1]
                ours.close()
                if not found:
                    raise FileNotFoundError(path)
                return found[0]
        """,
        "by keywords": """
            def look_up(root, path):
                rules = k.RESOLVE_IN_ROOT + k.RESOLVE_NO_MAGICLINKS
                return k.openat2(root, path=path, flags=os.O_PATH | os.O_CLOEXEC, resolve=rules)
        """,
    },
    wrong={
        "no rule": (
            """
            def look_up(root, path):
                return k.openat2(root, path, os.O_PATH)
        """,
            "begins at the host's /",
        ),
        "and for or": (
            """
            def look_up(root, path):
                return k.openat2(root, path, os.O_PATH, 0, k.RESOLVE_IN_ROOT & k.RESOLVE_NO_MAGICLINKS)
        """,
            "joined with |",
        ),
        "relative to root": (
            """
            def look_up(root, path):
                return os.open(path, os.O_PATH, dir_fd=root)
        """,
            "begins at the host's /",
        ),
        "without the first slash": (
            """
            def look_up(root, path):
                return os.open(path.lstrip("/"), os.O_PATH, dir_fd=root)
        """,
            "would find the one below root",
        ),
        "joined": (
            """
            def look_up(root, path):
                return os.open(f"/proc/self/fd/{root}/{path}", os.O_PATH)
        """,
            "would find the one below root",
        ),
        "no links": (
            """
            def look_up(root, path):
                return k.openat2(root, path, os.O_PATH, 0, k.RESOLVE_IN_ROOT | k.RESOLVE_NO_SYMLINKS)
        """,
            "not every link is hostile",
        ),
        "beneath": (
            """
            def look_up(root, path):
                return k.openat2(root, path, os.O_PATH, 0, k.RESOLVE_BENEATH)
        """,
            "let it end inside",
        ),
        "both at once": (
            """
            def look_up(root, path):
                return k.openat2(root, path, os.O_PATH, 0, k.RESOLVE_IN_ROOT | k.RESOLVE_BENEATH)
        """,
            "contradict each other",
        ),
        "one file system": (
            """
            def look_up(root, path):
                return k.openat2(root, path, os.O_PATH, 0, k.RESOLVE_IN_ROOT | k.RESOLVE_NO_XDEV)
        """,
            "What is mounted below root",
        ),
        "forgets to return": (
            """
            def look_up(root, path):
                k.openat2(root, path, os.O_PATH, 0, k.RESOLVE_IN_ROOT)
        """,
            "returned None",
        ),
    },
)


# ---- the challenge: contain ------------------------------------------------------------------------------------

# 1: no mount on /; 2: something of the host is still mounted
_LOOK_AT_MOUNTS = (
    "found=1; while read source point rest; do case $point in /) found=0;; /proc) ;; *) exit 2;; esac; done "
    "< /proc/self/mounts; exit $found"
)


def check_contain(contain):
    """A room with a shell, a host whose mounts are shared: what does the shell see, and what has reached the host?"""
    shell = hostimage.find_program("sh")
    os.makedirs("room/proc")
    hostimage.copy_program(shell, os.path.abspath("room"))
    open("room/inside", "w").close()
    k.mount(None, "/", None, k.MS_SHARED | k.MS_REC)
    before = [entry["point"] for entry in host.mount_table()]
    for script, expected, why in (
        ("exit 7", 7, "It is the exit status of the command."),
        ("test -e /inside", 0, "There is a file /inside in the room: is the room the root?"),
        ("test $$ = 1", 0, "The command is not number 1: after unshare() with CLONE_NEWPID it takes one more child."),
        (
            "test -e /proc/self",
            0,
            "There is nothing in /proc: mount a proc on rootfs + '/proc', in number 1, before pivot_root().",
        ),
        (
            'cd /proc; test "$(echo [0-9]*)" = "1 2" || test "$(echo [0-9]*)" = 1',
            0,
            "/proc shows other processes: a proc shows the pid namespace of the process that mounts it, so number 1 has to "
            "mount it.",
        ),
        (
            _LOOK_AT_MOUNTS,
            0,
            "1 means that / is not a mount (a chroot?), 2 that mounts of the host are left. pivot_root(rootfs) does "
            "both.",
        ),
    ):
        call = f"contain(rootfs, ['sh', '-c', {script!r}])"
        status = contain(os.path.abspath("room"), [shell, "-c", script])
        after = [entry["point"] for entry in host.mount_table()]
        if leaked := [point for point in after if point not in before]:
            raise Feedback(
                f"{call} left a mount on the host, on {leaked[0]}: make_private() comes before the first mount."
            )
        if status is None:
            raise Feedback(f"{call} returned None. Return the exit status.")
        if status != expected:
            bind = (
                " (Is rootfs a mount? pivot_root moves mounts: bind it to itself.)"
                if status == 1 and expected == 7
                else ""
            )
            raise Feedback(f"{call} returned {status!r}. Expected: {expected}. {why}{bind}")
    _visit_container(getattr(contain, "function", contain), shell)


def _visit_container(contain, shell: str) -> None:
    """While its command waits: can a visitor in the container's mount namespace still reach the host?"""
    marker = os.path.abspath("marker")
    open(marker, "w").close()
    os.mkfifo("room/gate")
    ours = os.stat("/proc/self/ns/mnt").st_ino
    pid = process.spawn(lambda: contain(os.path.abspath("room"), [shell, "-c", "read word < /gate"]))
    gate = os.open("room/gate", os.O_WRONLY)  # returns when the command has opened it, too
    doors = [os.open(f"/proc/{each}/ns/mnt", os.O_RDONLY) for each in host.descendants(host.process_table(), pid)]
    for door in doors:
        if os.fstat(door).st_ino != ours:
            same_fate(lambda door=door: _visit(door, marker, "contain(rootfs, words)"))
    os.close(gate)
    os.waitpid(pid, 0)


_CONTAIN = '''
def contain(rootfs, words):
    """Run the command words as number 1 of a container with the root rootfs; return its exit status."""
    def number_one():
        k.mount("proc", f"{rootfs}/proc", "proc")
        pivot_root(rootfs)
        os.execvp(words[0], words)
    def parent():
        unshare(CLONE_NEWNS | CLONE_NEWPID)
        make_private()
        k.mount(rootfs, rootfs, None, k.MS_BIND)
        os._exit(exit_status(os.waitpid(spawn(number_one), 0)[1]))
    return exit_status(os.waitpid(spawn(parent), 0)[1])
'''

Challenge(
    "contain",
    "A container in a dozen lines",
    name="contain",
    minutes=12,
    difficulty=3,
    check=check_contain,
    seconds=20,
    imports="""
        import os
        from minict.kernel import mount as k
        from minict.kernel.namespaces import CLONE_NEWNS, CLONE_NEWPID, unshare
        from minict.runtime.mounts import make_private
        from minict.runtime.process import exit_status, spawn
        from minict.runtime.rootfs import pivot_root
    """,
    solution=_CONTAIN,
    hints=[
        "Two children, as in chapter 03: the first one unshares, the second one is number 1.",
        "The first: unshare(CLONE_NEWNS | CLONE_NEWPID), make_private(), bind rootfs to itself, spawn number 1, end "
        "with its status.",
        "Number 1: mount a proc on rootfs + '/proc', pivot_root(rootfs), os.execvp(words[0], words).",
    ],
    right={
        "forks by hand": """
            def contain(rootfs, words):
                child = os.fork()
                if child == 0:
                    try:
                        unshare(CLONE_NEWPID)
                        if os.fork() == 0:
                            unshare(CLONE_NEWNS)
                            k.mount(None, "/", None, k.MS_PRIVATE | k.MS_REC)
                            k.mount(rootfs, rootfs, None, k.MS_BIND)
                            os.chdir(rootfs)
                            k.mount("proc", "proc", "proc")
                            k.pivot_root(".", ".")
                            k.umount2(".", k.MNT_DETACH)
                            os.execvp(words[0], words)
                        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
                    finally:
                        os._exit(1)
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        """,
        "all in number 1": """
            def contain(rootfs, words):
                def number_one():
                    unshare(CLONE_NEWNS)
                    make_private()
                    k.mount(rootfs, rootfs, "", k.MS_BIND | k.MS_REC)
                    k.mount("none", rootfs + "/proc", "proc")
                    pivot_root(rootfs)
                    os.execv(words[0], words)
                def parent():
                    unshare(CLONE_NEWPID)
                    os._exit(exit_status(os.waitpid(spawn(number_one), 0)[1]))
                return exit_status(os.waitpid(spawn(parent), 0)[1])
        """,
        "with unshare(1)": """
            def contain(rootfs, words):
                import subprocess
                def move_in():
                    k.mount(rootfs, rootfs, None, k.MS_BIND)
                    k.mount("proc", rootfs + "/proc", "proc")
                    pivot_root(rootfs)
                def parent():
                    unshare(CLONE_NEWNS | CLONE_NEWPID)
                    make_private()
                    def first():
                        move_in()
                        os.execv(words[0], words)
                    os._exit(os.waitstatus_to_exitcode(os.waitpid(spawn(first), 0)[1]))
                return os.waitstatus_to_exitcode(os.waitpid(spawn(parent), 0)[1])
        """,
    },
    wrong={
        "leaks": (
            edited(
                _CONTAIN, ('        k.mount("proc", f"{rootfs}/proc", "proc")\n', ""), ("        make_private()\n", "")
            ),
            "make_private() comes before the first mount",
        ),
        "in the caller": (
            edited(
                _CONTAIN,
                (
                    "    def parent():\n        unshare(CLONE_NEWNS | CLONE_NEWPID)",
                    "    unshare(CLONE_NEWNS | CLONE_NEWPID)\n    def parent():",
                ),
            ),
            "moved the process that called it",
        ),
        "no bind": (
            edited(
                _CONTAIN,
                ('        k.mount("proc", f"{rootfs}/proc", "proc")\n', ""),
                ("        k.mount(rootfs, rootfs, None, k.MS_BIND)\n", ""),
            ),
            "bind it to itself",
        ),
        "chroot": (
            edited(
                _CONTAIN,
                ("        pivot_root(rootfs)", '        os.chroot(rootfs)\n        os.chdir("/")'),
                ("        k.mount(rootfs, rootfs, None, k.MS_BIND)\n", ""),
            ),
            "(a chroot?)",
        ),
        "chroot to a mount": (
            edited(_CONTAIN, ("        pivot_root(rootfs)", '        os.chroot(rootfs)\n        os.chdir("/")')),
            "finds the host's files",
        ),
        "not number 1": (
            """
            def contain(rootfs, words):
                def work():
                    unshare(CLONE_NEWNS | CLONE_NEWPID)
                    make_private()
                    k.mount(rootfs, rootfs, None, k.MS_BIND)
                    pivot_root(rootfs)
                    os.execvp(words[0], words)
                return exit_status(os.waitpid(spawn(work), 0)[1])
        """,
            "one more child",
        ),
        "no proc": (
            edited(_CONTAIN, ('        k.mount("proc", f"{rootfs}/proc", "proc")\n', "")),
            "There is nothing in /proc",
        ),
        "proc in the outer child": (
            edited(
                _CONTAIN,
                ('        k.mount("proc", f"{rootfs}/proc", "proc")\n', ""),
                (
                    "        os._exit(exit_status(os.waitpid(spawn(number_one), 0)[1]))",
                    '        k.mount("proc", f"{rootfs}/proc", "proc")\n        os._exit(exit_status(os.waitpid(spawn(number_one), 0)[1]))',
                ),
            ),
            "/proc shows other processes",
        ),
    },
)
