"""Chapter 15: read-only with all that is inside, the owner of a new volume, and the order of nested mounts."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import stat

from minict.engine.volumes import mounts as volumes
from minict.engine.volumes import populate
from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNS, unshare
from minict.runtime import mounts, process, rootfs

from .. import host
from ..challenge import Challenge
from ..child import ChildError
from ..exercise import Exercise
from ..feedback import Feedback

_IMPORTS = """
    import os
    import shutil
    import stat
    from minict.kernel import mount as k
    from minict.kernel.namespaces import CLONE_NEWNS, setns, unshare
    from minict.lab import run_in_child
"""


def _can_write(directory: str) -> bool:
    """Whether a file can be made in *directory*: that of a read-only mount refuses it with EROFS."""
    try:
        with open(f"{directory}/trial", "w"):
            pass
    except OSError as error:
        if error.errno == errno.EROFS:
            return False
        raise
    os.remove(f"{directory}/trial")
    return True


# ---- volumes-1 -------------------------------------------------------------------------------------------------------


def check_make_read_only(make_read_only):
    """A copy of a mount that has another mount inside: attached afterwards, where can be written?"""
    os.mkdir("source")
    k.mount("source", "source", "tmpfs")
    os.mkdir("source/inner")
    k.mount("inner", "source/inner", "tmpfs")
    for inside in (True, False):
        place = f"seen-{inside}"
        os.mkdir(place)
        target = os.open(place, os.O_PATH)
        call = f"make_read_only(tree, {inside})"
        tree = k.open_tree(k.AT_FDCWD, "source", k.OPEN_TREE_CLONE | k.AT_RECURSIVE)
        try:
            make_read_only(tree, inside)
        except OSError as error:
            raise Feedback(f"{call} raised {error}. {_why_refused(error)}") from None
        except TypeError as error:
            if "os.PathLike" not in str(error):
                raise
            raise Feedback(
                f"{call} raised TypeError: {error}. The mount is a descriptor, a number: it is the first argument of "
                'k.mount_setattr(), and the path after it is "".'
            ) from None
        try:
            k.move_mount(tree, target)
        except OSError as error:
            raise Feedback(
                f"after {call} the tree can't be attached any more: {error}. Leave the descriptor open, and the mount "
                "where it is: the caller attaches it."
            ) from None
        if not _can_write("source"):
            raise Feedback(f"after {call} the source is read-only too. Only the copy, tree, was to be changed.")
        outer, inner = _can_write(place), _can_write(f"{place}/inner")
        if outer:
            raise Feedback(
                f"after {call} a file can still be made through the copy: nothing has set k.MOUNT_ATTR_RDONLY on it. "
                "This mount itself is made read-only whatever inside is."
            )
        if inside and inner:
            raise Feedback(
                f"after {call} the copy is read-only, but the mount inside it can still be written to: it has flags of "
                "its own. When inside is true, say k.AT_RECURSIVE too."
            )
        if not inside and not inner:
            raise Feedback(
                f"after {call} the mount inside the copy is read-only too. Expected: this mount alone. k.AT_RECURSIVE "
                "only when inside is true."
            )


def _why_refused(error: OSError) -> str:
    text = str(error)
    if "mount_setattr(" not in text:
        return (
            "The copy is attached nowhere yet, so no path leads to it, and k.mount() can't change it. "
            "k.mount_setattr() takes the descriptor."
        )
    if error.errno == errno.ENOENT:
        return (
            "The path is empty, and that means the descriptor itself only with the flag k.AT_EMPTY_PATH. (Without "
            "parentheses, a | b if inside else 0 is either a | b or 0.)"
        )
    if error.errno == errno.EINVAL:
        return (
            "The arguments are: the descriptor, the path, the flags (those that begin with AT_), and what to set (those "
            "that begin with MOUNT_ATTR_). Is each in its place?"
        )
    return "Is each argument in its place?"


Exercise(
    "volumes-1",
    "Read-only, all the way down",
    minutes=6,
    difficulty=1,
    reference=mounts.make_read_only,
    check=check_make_read_only,
    imports=_IMPORTS,
    starter='''
        def make_read_only(mount, inside):
            """Make a mount read-only; mount: its descriptor. If inside is true, also every mount inside it."""
            ...
    ''',
    hints=[
        "One call of k.mount_setattr() is enough: the table above has its arguments. Which of the two AT_ flags depends "
        "on inside?",
        "Flags are joined with |, and 0 adds nothing: k.AT_RECURSIVE if inside else 0 is one of the two.",
        'k.mount_setattr(mount, "", k.AT_EMPTY_PATH | …, k.MOUNT_ATTR_RDONLY)',
    ],
    right={
        "one call": """
            def make_read_only(mount, inside):
                k.mount_setattr(mount, "", k.AT_EMPTY_PATH | (k.AT_RECURSIVE if inside else 0), k.MOUNT_ATTR_RDONLY)
        """,
        "in two calls": """
            def make_read_only(mount, inside):
                if inside:
                    k.mount_setattr(mount, "", k.AT_EMPTY_PATH | k.AT_RECURSIVE, attr_set=k.MOUNT_ATTR_RDONLY)
                else:
                    k.mount_setattr(mount, "", k.AT_EMPTY_PATH, attr_set=k.MOUNT_ATTR_RDONLY)
        """,
        "by a path to the descriptor": """
            def make_read_only(mount, inside):
                k.mount_setattr(k.AT_FDCWD, f"/proc/self/fd/{mount}", k.AT_RECURSIVE * bool(inside), k.MOUNT_ATTR_RDONLY)
        """,
        "with the flag of mount(2)": """
            def make_read_only(mount, inside):
                flags = k.AT_EMPTY_PATH
                if inside:
                    flags |= k.AT_RECURSIVE
                k.mount_setattr(mount, "", flags, k.MS_RDONLY)
        """,
    },
    wrong={
        "this mount alone": (
            """
            def make_read_only(mount, inside):
                k.mount_setattr(mount, "", k.AT_EMPTY_PATH, k.MOUNT_ATTR_RDONLY)
        """,
            "say k.AT_RECURSIVE too",
        ),
        "always all": (
            """
            def make_read_only(mount, inside):
                k.mount_setattr(mount, "", k.AT_EMPTY_PATH | k.AT_RECURSIVE, k.MOUNT_ATTR_RDONLY)
        """,
            "only when inside is true",
        ),
        "no AT_EMPTY_PATH": (
            """
            def make_read_only(mount, inside):
                k.mount_setattr(mount, "", k.AT_RECURSIVE if inside else 0, k.MOUNT_ATTR_RDONLY)
        """,
            "only with the flag k.AT_EMPTY_PATH",
        ),
        "a condition that takes too much": (
            """
            def make_read_only(mount, inside):
                k.mount_setattr(mount, "", k.AT_EMPTY_PATH | k.AT_RECURSIVE if inside else 0, k.MOUNT_ATTR_RDONLY)
        """,
            "Without parentheses",
        ),
        "flags in each other's places": (
            """
            def make_read_only(mount, inside):
                k.mount_setattr(mount, "", k.MOUNT_ATTR_RDONLY, k.AT_EMPTY_PATH | k.AT_RECURSIVE)
        """,
            "Is each in its place?",
        ),
        "clears it": (
            """
            def make_read_only(mount, inside):
                reach = k.AT_RECURSIVE if inside else 0
                k.mount_setattr(mount, "", k.AT_EMPTY_PATH | reach, attr_clr=k.MOUNT_ATTR_RDONLY)
        """,
            "nothing has set k.MOUNT_ATTR_RDONLY",
        ),
        "only with what is inside": (
            """
            def make_read_only(mount, inside):
                if inside:
                    k.mount_setattr(mount, "", k.AT_EMPTY_PATH | k.AT_RECURSIVE, k.MOUNT_ATTR_RDONLY)
        """,
            "whatever inside is",
        ),
        "the old call": (
            """
            def make_read_only(mount, inside):
                k.mount(None, f"/proc/self/fd/{mount}", None, k.MS_BIND | k.MS_REMOUNT | k.MS_RDONLY)
        """,
            "attached nowhere yet",
        ),
        "the descriptor as a path": (
            """
            def make_read_only(mount, inside):
                k.mount(None, mount, None, k.MS_BIND | k.MS_REMOUNT | k.MS_RDONLY)
        """,
            "it is the first argument of",
        ),
        "closes it": (
            """
            def make_read_only(mount, inside):
                reach = k.AT_RECURSIVE if inside else 0
                k.mount_setattr(mount, "", k.AT_EMPTY_PATH | reach, k.MOUNT_ATTR_RDONLY)
                os.close(mount)
        """,
            "Leave the descriptor open",
        ),
    },
)


# ---- volumes-2 -------------------------------------------------------------------------------------------------------

_FILE = (7, 8, 0o640)  # of a file that was copied already
_OWNERS = ((999, 998, 0o750, "a database's"), (33, 50, 0o1777, "everybody's"), (1000, 100, 0o2775, "a group's"))


def check_take_over(take_over):
    """Directories of several owners, as images have them: owner, group, mode, and can their user write there?"""
    os.chmod(".", 0o755)
    os.umask(0o022)
    for number, (user, group, mode, whose) in enumerate(_OWNERS):
        source, target = os.path.abspath(f"image-{number}"), os.path.abspath(f"volume-{number}")
        os.mkdir(source)
        os.mkdir(target, 0o755)
        os.chown(source, user, group)
        os.chmod(source, mode)
        for directory in (source, target):
            _make_file(f"{directory}/rows")
        call = "take_over(source, target)"
        take_over(source, target)
        try:
            before, now, rows = os.stat(source), os.stat(target), os.stat(f"{target}/rows")
        except FileNotFoundError as error:
            raise Feedback(f"after {call} {os.path.relpath(error.filename)} is gone. Nothing has to move.") from None
        wanted = f"{call}: source, {whose} directory, has owner {user}, group {group} and mode {mode:o}."
        if (before.st_uid, before.st_gid, stat.S_IMODE(before.st_mode)) != (user, group, mode):
            raise Feedback(f"{wanted} Afterwards source has changed: only target was to change. Have you swapped them?")
        if now.st_uid != user:
            raise Feedback(f"{wanted} target has owner {now.st_uid}. {_why_owner(now, user, group)}")
        if now.st_gid != group:
            raise Feedback(
                f"{wanted} target has group {now.st_gid}. os.chown(path, user, group) sets both; -1 leaves one as it is."
            )
        if stat.S_IMODE(now.st_mode) != mode:
            lost = (
                " The first digit is the part that & 0o777 cuts off; stat.S_IMODE(status.st_mode) keeps all four."
                if stat.S_IMODE(now.st_mode) == mode & 0o777
                else " os.chmod() sets the mode, and shutil.copystat() copies it."
            )
            raise Feedback(f"{wanted} target has mode {stat.S_IMODE(now.st_mode):o}.{lost}")
        if (rows.st_uid, rows.st_gid, stat.S_IMODE(rows.st_mode)) != _FILE:
            raise Feedback(
                f"{call}: a file in target had owner {_FILE[0]}, group {_FILE[1]} and mode {_FILE[2]:o}, as in the "
                f"image. Afterwards it has owner {rows.st_uid}, group {rows.st_gid} and mode "
                f"{stat.S_IMODE(rows.st_mode):o}. What is in a directory has owners of its own: change the directory "
                "alone."
            )


def _make_file(path: str) -> None:
    with open(path, "w") as file:
        file.write("two pies")
    os.chown(path, *_FILE[:2])
    os.chmod(path, _FILE[2])


def _why_owner(now: os.stat_result, user: int, group: int) -> str:
    if (now.st_uid, now.st_gid) == (group, user):
        return "Owner and group are in each other's place: os.chown(path, user, group)."
    if now.st_uid == 0:
        return "No copying function of shutil copies the owner: os.chown() sets it."
    return "os.stat(source).st_uid is the owner that is wanted."


Exercise(
    "volumes-2",
    "Hand over the keys",
    minutes=6,
    difficulty=2,
    reference=populate.take_over,
    check=check_take_over,
    imports=_IMPORTS,
    starter='''
        def take_over(source, target):
            """Give the directory target the owner, the group and the mode of the directory source."""
            ...
    ''',
    hints=[
        "os.stat(source) knows all three: st_uid, st_gid, and st_mode.",
        "os.chown() sets owner and group. For the mode, os.chmod() or shutil.copystat() will do.",
        "os.chown(target, status.st_uid, status.st_gid), and then the mode.",
    ],
    right={
        "by os.chmod": """
            def take_over(source, target):
                status = os.stat(source)
                os.chmod(target, stat.S_IMODE(status.st_mode))
                os.chown(target, status.st_uid, status.st_gid)
        """,
        "the whole st_mode": """
            def take_over(source, target):
                status = os.stat(source)
                os.chown(target, status.st_uid, status.st_gid)
                os.chmod(target, status.st_mode)
        """,
        "by shutil": """
            def take_over(source, target):
                status = os.stat(source)
                shutil.chown(target, user=status.st_uid, group=status.st_gid)
                shutil.copymode(source, target)
        """,
        "with commands": """
            def take_over(source, target):
                import subprocess
                subprocess.run(["chown", f"--reference={source}", target], check=True)
                subprocess.run(["chmod", f"--reference={source}", target], check=True)
        """,
    },
    wrong={
        "copystat alone": (
            """
            def take_over(source, target):
                shutil.copystat(source, target)
        """,
            "No copying function of shutil",
        ),
        "the owner alone": (
            """
            def take_over(source, target):
                status = os.stat(source)
                os.chown(target, status.st_uid, status.st_gid)
        """,
            "os.chmod() sets the mode",
        ),
        "no group": (
            """
            def take_over(source, target):
                os.chown(target, os.stat(source).st_uid, -1)
                shutil.copystat(source, target)
        """,
            "sets both",
        ),
        "three digits": (
            """
            def take_over(source, target):
                status = os.stat(source)
                os.chown(target, status.st_uid, status.st_gid)
                os.chmod(target, status.st_mode & 0o777)
        """,
            "keeps all four",
        ),
        "swapped": (
            """
            def take_over(source, target):
                status = os.stat(target)
                os.chown(source, status.st_uid, status.st_gid)
                shutil.copystat(target, source)
        """,
            "Have you swapped them?",
        ),
        "owner and group turned round": (
            """
            def take_over(source, target):
                status = os.stat(source)
                os.chown(target, status.st_gid, status.st_uid)
                os.chmod(target, status.st_mode)
        """,
            "in each other's place",
        ),
        "1000 for everybody": (
            """
            def take_over(source, target):
                os.chown(target, 1000, 1000)
                shutil.copymode(source, target)
        """,
            "the owner that is wanted",
        ),
        "all files too": (
            """
            def take_over(source, target):
                status = os.stat(source)
                os.chmod(target, status.st_mode)
                for directory, _, files in os.walk(target):
                    for name in ("", *files):
                        os.chown(os.path.join(directory, name), status.st_uid, status.st_gid)
        """,
            "change the directory alone",
        ),
        "the mode of all files too": (
            """
            def take_over(source, target):
                status = os.stat(source)
                os.chown(target, status.st_uid, status.st_gid)
                for directory, _, files in os.walk(target):
                    for name in ("", *files):
                        os.chmod(os.path.join(directory, name), status.st_mode)
        """,
            "change the directory alone",
        ),
        "moves it": (
            """
            def take_over(source, target):
                shutil.rmtree(target)
                os.rename(source, target)
        """,
            "Nothing has to move",
        ),
        "open to everybody": (
            """
            def take_over(source, target):
                status = os.stat(source)
                os.chown(target, status.st_uid, status.st_gid)
                os.chmod(target, 0o777)
        """,
            "os.chmod() sets the mode",
        ),
    },
)


# ---- volumes-3 -------------------------------------------------------------------------------------------------------

_CASES = (
    ["/data/cache", "/data", "/data/cache/tmp"],
    ["/www", "/a/z", "/a-b", "/a", "/a/z/m"],
    ["/srv/x", "/b", "/", "/srv"],
)


def check_in_order(in_order):
    """Mount a tmpfs on each in the order that was returned, and look which of them are still to be seen."""
    for number, places in enumerate(_CASES):
        call = f"in_order({places!r})"
        order = in_order(list(places))
        if isinstance(order, (set, frozenset)):
            raise Feedback(f"{call} returned a set, {order!r}: sets have no order. Return a list.")
        try:
            order = list(order)
        except TypeError:
            raise Feedback(f"{call} returned {order!r}. Expected: a list of the same paths.") from None
        told = f"{call} returned {order!r}."
        if sorted(order, key=str) != sorted(places):
            raise Feedback(f"{told} Expected: a list of the same paths, each once, in another order.")
        root = f"root-{number}"
        os.mkdir(root)
        for place in order:
            os.makedirs(root + place, exist_ok=True)
            k.mount("tmpfs", root + place, "tmpfs")
            with open(f"{root}{place}/name", "w") as file:
                file.write(place)
        for place in places:
            if _read(f"{root}{place}/name") != place:
                cover = next(each for each in order[order.index(place) + 1 :] if _is_inside(place, each))
                why = " (/ has as many slashes as /srv, and is the outermost of all.)" if cover == "/" else ""
                raise Feedback(
                    f"{told} Mounted in this order, {cover} comes after {place} and covers it: what was mounted there "
                    f"can't be seen. The outer one comes first.{why}"
                )


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _is_inside(place: str, outer: str) -> bool:
    return place.startswith(outer.rstrip("/") + "/")


Exercise(
    "volumes-3",
    "First the shelf, then the box on it",
    minutes=6,
    difficulty=1,
    reference=volumes.in_order,
    check=check_in_order,
    imports=_IMPORTS,
    starter='''
        def in_order(destinations):
            """Return the paths in an order in which no mount covers another one; each path is absolute, "/" may be one."""
            ...
    ''',
    hints=[
        "Of two paths of which one leads through the other, the shorter one is the outer one. What can you sort by?",
        'sorted(paths, key=…) calls key for each path, and sorts by the answers. "/data/cache".split("/") is a list; its '
        'length grows with every name. Watch out for "/".',
        "Several keys will do: the length of the path, or the path itself. Why does alphabetical order never put "
        "/data/cache before /data?",
    ],
    right={
        "counts slashes": """
            def in_order(destinations):
                return sorted(destinations, key=lambda place: place.rstrip("/").count("/"))
        """,
        "alphabetically": """
            def in_order(destinations):
                return sorted(destinations)
        """,
        "by length": """
            def in_order(destinations):
                destinations.sort(key=len)
                return destinations
        """,
        "one after the other": """
            def in_order(destinations):
                left, order = list(destinations), []
                while left:
                    for place in left:
                        if not any(other != place and place.startswith(other.rstrip("/") + "/") for other in left):
                            break
                    left.remove(place)
                    order.append(place)
                return order
        """,
        "name by name": """
            def in_order(destinations):
                return tuple(sorted(destinations, key=lambda place: [name for name in place.split("/") if name]))
        """,
    },
    wrong={
        "as they come": (
            """
            def in_order(destinations):
                return destinations
        """,
            "The outer one comes first",
        ),
        "the longest first": (
            """
            def in_order(destinations):
                return sorted(destinations, key=len, reverse=True)
        """,
            "covers it",
        ),
        "by the slashes": (
            """
            def in_order(destinations):
                return sorted(destinations, key=lambda place: place.count("/"))
        """,
            "as many slashes as",
        ),
        "by the last name": (
            """
            def in_order(destinations):
                return sorted(destinations, key=lambda place: place.split("/")[-1])
        """,
            "covers it",
        ),
        "upside down": (
            """
            def in_order(destinations):
                return list(reversed(destinations))
        """,
            "covers it",
        ),
        "a set": (
            """
            def in_order(destinations):
                return set(destinations)
        """,
            "sets have no order",
        ),
        "without the inner ones": (
            """
            def in_order(destinations):
                return [place for place in sorted(destinations) if place.count("/") == 1]
        """,
            "each once",
        ),
    },
)


# ---- the challenge ---------------------------------------------------------------------------------------------------


class _Box:
    """A process with a root of its own, as a container has it: a tmpfs, with an empty directory /data."""

    def __enter__(self) -> int:
        begun, begins = os.pipe()

        def live():
            os.close(begun)
            unshare(CLONE_NEWNS)
            k.mount(None, "/", None, k.MS_PRIVATE | k.MS_REC)
            os.mkdir("box")
            k.mount("box", "box", "tmpfs")
            os.mkdir("box/data")
            rootfs.pivot_root(os.path.abspath("box"))
            os.close(begins)
            signal.pause()

        self.pid = process.spawn(live)
        os.close(begins)
        os.read(begun, 1)  # returns when the last writer has closed it
        os.close(begun)
        return self.pid

    def __exit__(self, *exception) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def check_mount_into(mount_into):
    """A running process with a root of its own: what does it see at /data, and what does the host see?"""
    os.mkdir("late")
    with open("late/guest", "w") as file:
        file.write("good evening")
    source = os.path.abspath("late")
    home, before = os.stat("/"), len(host.mount_table())
    with _Box() as pid:
        call = 'mount_into(pid, source, "/data")'
        try:
            mount_into(pid, source, "/data")
        except (OSError, TypeError, ChildError) as error:
            _stay(home, call)
            line = f"\n  in your line: {line}" if (line := _own_line(error, mount_into)) else ""
            raise Feedback(
                f"{call} raised {type(error).__name__}: {error}. {_why_not_inside(str(error))}{line}"
            ) from None
        _stay(home, call)
        if len(host.mount_table()) > before:
            raise Feedback(f"after {call} the host's own mount table has one mount more: it has to be in the box only.")
        points = [entry["point"] for entry in host.mount_table(pid)]
        if "/data" not in points:
            why = (
                "A copy of the files is not a mount."
                if _read(f"/proc/{pid}/root/data/guest")
                else "Is your function called, in a child, and is the tree attached in the namespace of pid itself?"
            )
            raise Feedback(f"after {call} the box has mounts at {', '.join(points)}, and none at /data. {why}")
        if _read(f"/proc/{pid}/root/data/guest") != "good evening":
            raise Feedback(f"after {call} something is mounted at /data in the box, but it is not what is in source.")
        with open("late/second", "w") as file:
            file.write("me too")
        if _read(f"/proc/{pid}/root/data/second") != "me too":
            raise Feedback(f"{call} has made a copy: what the host writes into source later is not seen in the box.")
        if not _can_write(f"/proc/{pid}/root/data"):
            raise Feedback(f"after {call} the mount in the box is read-only. A volume can be written to.")


def _own_line(error: BaseException, mount_into) -> str:
    """The line of the answer that raised *error*, here or in a child of its own; empty if it is not known."""
    lines = [*getattr(error, "lines", ()), ""]
    begin = f'  File "{mount_into.function.__code__.co_filename}"'
    own = [text for place, text in itertools.pairwise(lines) if place.startswith(begin)]
    return own[-1].strip() if own else getattr(error, "learners_line", "").partition("\n")[0]


def _stay(home: os.stat_result, call: str) -> None:
    """Raise :class:`Feedback` when this process has another root than before, *home*."""
    if not os.path.samestat(os.stat("/"), home):
        raise Feedback(
            f"{call} moved the process that called it into the box's mount namespace, and left it there. Go in "
            "with a child: run_in_child(function)."
        )


def _why_not_inside(text: str) -> str:
    if "open_tree(" in text and "No such file" in text:
        return (
            "In the box's mount namespace no path leads to source any more. Take the copy of its mount before you go in: "
            "the descriptor stays open."
        )
    if "setns" in text:
        return "setns() wants a descriptor of /proc/PID/ns/mnt, and CLONE_NEWNS."
    if "mount(" in text and "move_mount(" not in text:
        return (
            "k.mount() can't reach from one mount namespace into another: half of the work is to be done on each side."
        )
    if "move_mount(" in text:
        return (
            "k.move_mount() wants two descriptors: a copy that is attached nowhere (k.OPEN_TREE_CLONE), and a "
            "target in the mount namespace that the caller is in."
        )
    if "'/data'" in text:
        return (
            "target is a path of the box: it is opened in there, after setns() has entered the mount namespace of pid."
        )
    return "A step has failed."


Challenge(
    "mount-into",
    "A volume for a container that is running",
    name="mount_into",
    minutes=12,
    difficulty=3,
    check=check_mount_into,
    imports=_IMPORTS,
    solution='''
        def mount_into(pid, source, target):
            """Mount the directory source of the host at target in the mount namespace of the process pid."""
            tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)

            def inside():
                setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                k.move_mount(tree, os.open(target, os.O_PATH))

            run_in_child(inside)
            os.close(tree)
    ''',
    hints=[
        "Two halves: the copy of the mount is made where source is, and attached where target is. A descriptor survives "
        "the way between the two.",
        'In the middle, a child enters the mount namespace: setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), '
        "CLONE_NEWNS).",
        "tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE) before; k.move_mount(tree, os.open(target, "
        "os.O_PATH)) inside, in a function for run_in_child().",
    ],
    right={
        "with the mounts inside": """
            def mount_into(pid, source, target):
                tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE | k.AT_RECURSIVE)
                namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
                def go():
                    setns(namespace, CLONE_NEWNS)
                    k.move_mount(tree, os.open(target, os.O_PATH | os.O_DIRECTORY))
                run_in_child(go)
        """,
        "by a pidfd": """
            def mount_into(pid, source, target):
                tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)
                def go():
                    setns(os.pidfd_open(pid), CLONE_NEWNS)
                    k.move_mount(tree, os.open(target, os.O_PATH))
                run_in_child(go)
        """,
        "in and out again": """
            def mount_into(pid, source, target):
                tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)
                home, here = os.open("/proc/self/ns/mnt", os.O_RDONLY), os.open(".", os.O_PATH)
                setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                try:
                    k.move_mount(tree, os.open(target, os.O_PATH))
                finally:
                    setns(home, CLONE_NEWNS)
                    os.fchdir(here)
        """,
    },
    wrong={
        "copies too late": (
            """
            def mount_into(pid, source, target):
                def inside():
                    setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                    tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)
                    k.move_mount(tree, os.open(target, os.O_PATH))
                run_in_child(inside)
        """,
            "before you go in",
        ),
        "moves the caller": (
            """
            def mount_into(pid, source, target):
                tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)
                setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                k.move_mount(tree, os.open(target, os.O_PATH))
        """,
            "moved the process that called it",
        ),
        "from outside": (
            """
            def mount_into(pid, source, target):
                k.mount(source, f"/proc/{pid}/root{target}", None, k.MS_BIND)
        """,
            "can't reach from one mount namespace",
        ),
        "no clone": (
            """
            def mount_into(pid, source, target):
                tree = k.open_tree(k.AT_FDCWD, source, 0)
                def inside():
                    setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                    k.move_mount(tree, os.open(target, os.O_PATH))
                run_in_child(inside)
        """,
            "attached nowhere (k.OPEN_TREE_CLONE)",
        ),
        "copies the files": (
            """
            def mount_into(pid, source, target):
                shutil.copytree(source, f"/proc/{pid}/root{target}", dirs_exist_ok=True)
        """,
            "A copy of the files is not a mount",
        ),
        "never called": (
            """
            def mount_into(pid, source, target):
                tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)
                def inside():
                    setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                    k.move_mount(tree, os.open(target, os.O_PATH))
        """,
            "Is your function called, in a child",
        ),
        "a namespace of its own after that": (
            """
            def mount_into(pid, source, target):
                tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)
                def inside():
                    setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                    unshare(CLONE_NEWNS)
                    k.move_mount(tree, os.open(target, os.O_PATH))
                run_in_child(inside)
        """,
            "in the namespace of pid itself",
        ),
        "opens the place too early": (
            """
            def mount_into(pid, source, target):
                tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)
                place = os.open(target, os.O_PATH)
                def inside():
                    setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                    k.move_mount(tree, place)
                run_in_child(inside)
        """,
            "of pid.\n  in your line: place = os.open(target, os.O_PATH)",
        ),
        "into the notebook's namespace": (
            """
            def mount_into(pid, source, target):
                tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)
                def inside():
                    setns(os.open("/proc/self/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                    k.move_mount(tree, os.open(target, os.O_PATH))
                run_in_child(inside)
        """,
            "  in your line: k.move_mount(tree, os.open(target, os.O_PATH))",
        ),
        "read-only": (
            """
            def mount_into(pid, source, target):
                tree = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE)
                k.mount_setattr(tree, "", k.AT_EMPTY_PATH, k.MOUNT_ATTR_RDONLY)
                def inside():
                    setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                    k.move_mount(tree, os.open(target, os.O_PATH))
                run_in_child(inside)
        """,
            "the mount in the box is read-only",
        ),
        "on the host": (
            """
            def mount_into(pid, source, target):
                k.mount(source, "/mnt", None, k.MS_BIND)
        """,
            "has one mount more",
        ),
        "something empty": (
            """
            def mount_into(pid, source, target):
                def inside():
                    setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
                    k.mount("tmpfs", target, "tmpfs")
                run_in_child(inside)
        """,
            "it is not what is in source",
        ),
    },
)
