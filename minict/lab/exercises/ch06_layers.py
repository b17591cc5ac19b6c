"""Chapter 06: the options of an overlay, whiteouts, which names a stack of layers shows, and what has changed."""

from __future__ import annotations

import errno
import os
import shutil
import stat

from minict.engine.images import diff, overlay
from minict.kernel import mount as k

from ..challenge import Challenge
from ..exercise import Exercise
from ..feedback import Feedback

_IMPORTS = """
    import os
    import stat
    from minict.engine.images.diff import is_opaque, is_whiteout, merged_names, stack
    from minict.engine.images.overlay import WHOLE, overlay_options
    from minict.kernel import mount as k
"""

# ---- what the checks share -------------------------------------------------------------------------------------------


def _layer(name: str, files: dict[str, str]) -> str:
    """Make the directory *name* with *files*, and return its path."""
    os.makedirs(name)
    for path, text in files.items():
        os.makedirs(os.path.dirname(f"{name}/{path}"), exist_ok=True)
        with open(f"{name}/{path}", "w") as file:
            file.write(text)
    return os.path.abspath(name)


def _make_room() -> None:
    """Let the scratch directory hold layers where temporary files lie on another overlay, as in a dev container."""
    if not overlay.works_in("."):
        k.mount("tmpfs", ".", "tmpfs", 0, "mode=0755")  # in the mount namespace of this check
        os.chdir(os.getcwd())


def _answer(call: str, function, *arguments):
    """What the learner's *function* returns; a path that it looks for in vain is explained. *call*: how it is shown."""
    try:
        return function(*arguments)
    except FileNotFoundError as error:
        path = str(error.filename)
        if os.path.islink(path):
            raise Feedback(
                f"{call} raised FileNotFoundError: {os.path.basename(path)!r} is a symbolic link to a file that is not "
                "there. os.stat() follows links; os.lstat() looks at the link itself."
            ) from None
        if error.filename and not path.startswith(f"{os.getcwd()}/"):
            raise Feedback(
                f"{call} raised FileNotFoundError for {path!r}: that does not say which layer it is in. Put the layer's "
                "directory before the name."
            ) from None
        raise


class _Stacked:
    """``with _Stacked(lowers) as merged:`` an overlay of the course's own making; its upper layer is *upper*."""

    def __init__(self, lowers: list[str], upper: str | None = None):
        place = os.path.dirname(lowers[0])
        self.upper = upper or f"{place}/upper"
        for directory in (self.upper, f"{place}/work", f"{place}/merged"):
            os.makedirs(directory, exist_ok=True)
        self.merged = f"{place}/merged"
        options = [f"lowerdir={':'.join(lowers)}", f"upperdir={self.upper}", f"workdir={place}/work", *overlay.WHOLE]
        self.options = ",".join(options)

    def __enter__(self) -> str:
        k.mount("overlay", self.merged, "overlay", 0, self.options)
        return self.merged

    def __exit__(self, *exception) -> None:
        k.umount2(self.merged, k.MNT_DETACH)
        shutil.rmtree(f"{os.path.dirname(self.merged)}/work")


# ---- layers-1 --------------------------------------------------------------------------------------------------------

_THREE = ("lowerdir", "upperdir", "workdir")


def check_overlay_options(overlay_options):
    """Layers that hold files of the same name, mounted: which one is read, and where does a write land?"""
    _make_room()
    for lowers, upper, work in (
        (["top", "middle", "bottom"], "upper", "work"),
        ([os.path.abspath("alone")], os.path.abspath("changes"), os.path.abspath("scratch")),
    ):
        for lower in lowers:
            name = os.path.basename(lower)
            _layer(lower, {"who": name, f"only-in-{name}": name})
        os.makedirs(upper)
        os.makedirs(work)
        os.makedirs("merged", exist_ok=True)
        call = f"overlay_options({lowers!r}, {upper!r}, {work!r})"
        options = _list_of(overlay_options(list(lowers), upper, work), call)
        _mount(options, lowers, call)
        _read(options, lowers, call)
        _write(upper, call)
        k.umount2("merged", k.MNT_DETACH)


def _list_of(answer, call: str) -> list[str]:
    expected = "Expected: a list of three strings, such as ['lowerdir=…', 'upperdir=…', 'workdir=…']."
    if isinstance(answer, str):
        raise Feedback(f"{call} returned one string, {answer!r}. {expected} The caller joins them with commas.")
    if isinstance(answer, dict):
        raise Feedback(
            f"{call} returned the dictionary {answer!r}. {expected} Each string is a name, the sign = and a value."
        )
    try:
        options = list(answer)
    except TypeError:
        raise Feedback(f"{call} returned {answer!r}. {expected}") from None
    if not all(isinstance(option, str) for option in options):
        raise Feedback(f"{call} returned {answer!r}. {expected}")
    for option in options:
        name, sign, _ = option.partition("=")
        if name not in _THREE or not sign:
            hint = (
                " Each string is a name, the sign = and a value."
                if not sign
                else " Leave no space around the sign =."
                if name.strip() in _THREE
                else ""
            )
            raise Feedback(
                f"{call} returned {options!r}, and only lowerdir=, upperdir= and workdir= belong here. "
                f"{option!r} is something else.{hint}"
            )
        if any(f",{other}=" in option for other in _THREE):
            raise Feedback(f"{call} returned several options in one string, {option!r}. {expected}")
    names = [option.partition("=")[0] for option in options]
    if len(set(names)) < len(names):
        raise Feedback(f"{call} returned {options!r}: an option that is there twice counts once. {expected}")
    return options


def _mount(options: list[str], lowers: list[str], call: str) -> None:
    given = dict(option.split("=", 1) for option in options)
    try:
        k.mount("overlay", "merged", "overlay", 0, ",".join([*options, *overlay.WHOLE]))
    except OSError as error:
        raise Feedback(
            f"{call} returned {options!r}, and the kernel refuses to mount that: "
            f"{errno.errorcode[error.errno or 0]}. {_why(given, lowers)}"
        ) from None


def _why(given: dict[str, str], lowers: list[str]) -> str:
    if given.get("lowerdir", "").startswith(("[", "(")):
        return "A list in an f-string keeps its brackets and quotes: ':'.join(lowers) makes one string of the paths."
    if "," in given.get("lowerdir", ""):
        return "A comma ends an option: put colons between the layers."
    if missing := [name for name in _THREE if name not in given]:
        return f"{missing[0]}= is missing."
    if given["upperdir"] == given["workdir"]:
        return "upperdir and workdir must be two different directories."
    for path in given["lowerdir"].split(":"):
        if not os.path.isdir(path):
            return f"There is no layer {path!r}. After lowerdir= come the paths, with colons between them."
        if path not in lowers:
            return f"{path!r} must not be among the lower layers."
    return "Does each path follow its own name?"


def _read(options: list[str], lowers: list[str], call: str) -> None:
    top = os.path.basename(lowers[0])
    used = next(option for option in options if option.startswith("lowerdir=")).partition("=")[2].split(":")
    if strangers := [path for path in used if path not in lowers]:
        raise Feedback(
            f"{call} returned {options!r}, and {strangers[0]!r} is not one of the paths in lowers. Each call brings other "
            "paths: use the arguments."
        )
    with open("merged/who") as file:
        found = file.read()
    missing = [lower for lower in lowers if not os.path.exists(f"merged/only-in-{os.path.basename(lower)}")]
    if missing:
        raise Feedback(
            f"{call}: the overlay shows nothing of the layer {missing[0]!r}. All lowers belong after lowerdir=, with "
            "colons between them."
        )
    if found != top:
        raise Feedback(
            f"{call}: each layer holds a file who, and the overlay shows that of {found!r}. Expected: that of {top!r}, "
            "the first in lowers. For the kernel, too, the first path after lowerdir= is the top one."
        )


def _write(upper: str, call: str) -> None:
    try:
        with open("merged/new", "w") as file:
            file.write("new")
    except OSError as error:
        raise Feedback(
            f"{call}: the overlay can be read, but a write to it fails with {errno.errorcode[error.errno or 0]}. "
            "Without an upperdir there is no layer that could take it."
        ) from None
    if not os.path.exists(f"{upper}/new"):
        raise Feedback(
            f"{call}: a new file did not land in {upper!r}. Does upperdir= name the directory upper, and workdir= work?"
        )


Exercise(
    "layers-1",
    "Stack them",
    minutes=5,
    difficulty=1,
    reference=overlay.overlay_options,
    check=check_overlay_options,
    imports=_IMPORTS,
    starter='''
        def overlay_options(lowers, upper, work):
            """Return the three options, as a list of strings. lowers: the paths of the layers, the top one first."""
            ...
    ''',
    hints=[
        "Three strings in a list. Each is a name, the sign =, and one or more paths.",
        'f"upperdir={upper}" is one of them. For lowers you need one string made of a list: ":".join(lowers).',
        "The top layer comes first in lowers, and the kernel wants it first as well: do not turn anything round.",
    ],
    right={
        "a tuple by format": """
            def overlay_options(lowers, upper, work):
                return ("lowerdir=" + ":".join(lowers), "upperdir={}".format(upper), "workdir=%s" % work)
        """,
        "from a dictionary": """
            def overlay_options(lowers, upper, work):
                values = dict(workdir=work, upperdir=upper, lowerdir=":".join(lowers))
                return [f"{name}={value}" for name, value in values.items()]
        """,
        "piece by piece": """
            def overlay_options(lowers, upper, work):
                lower = ""
                for each in lowers:
                    lower += (":" if lower else "lowerdir=") + each
                yield lower
                yield "upperdir=" + upper
                yield "workdir=" + work
        """,
    },
    wrong={
        "upside down": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir={':'.join(reversed(lowers))}", f"upperdir={upper}", f"workdir={work}"]
        """,
            "the first path after lowerdir= is the top one",
        ),
        "one string": (
            """
            def overlay_options(lowers, upper, work):
                return f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work}"
        """,
            "joins them with commas",
        ),
        "no upper layer": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir={':'.join(lowers)}"]
        """,
            "no layer that could take it",
        ),
        "work is upper": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir={':'.join(lowers)}", f"upperdir={upper}", f"workdir={upper}"]
        """,
            "two different directories",
        ),
        "exchanged": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir={':'.join(lowers)}", f"upperdir={work}", f"workdir={upper}"]
        """,
            "did not land in",
        ),
        "the top one alone": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir={lowers[0]}", f"upperdir={upper}", f"workdir={work}"]
        """,
            "shows nothing of the layer 'middle'",
        ),
        "commas between": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir={','.join(lowers)}", f"upperdir={upper}", f"workdir={work}"]
        """,
            "put colons between the layers",
        ),
        "a list in an f-string": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir={lowers}", f"upperdir={upper}", f"workdir={work}"]
        """,
            "keeps its brackets and quotes",
        ),
        "without work": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir={':'.join(lowers)}", f"upperdir={upper}"]
        """,
            "workdir= is missing",
        ),
        "the upper among the lowers": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir={':'.join([upper, *lowers])}", f"upperdir={upper}", f"workdir={work}"]
        """,
            "must not be among the lower layers",
        ),
        "all in one": (
            """
            def overlay_options(lowers, upper, work):
                return [",".join([f"lowerdir={':'.join(lowers)}", f"upperdir={upper}", f"workdir={work}"])]
        """,
            "several options in one string",
        ),
        "a dictionary": (
            """
            def overlay_options(lowers, upper, work):
                return {"lowerdir": ":".join(lowers), "upperdir": upper, "workdir": work}
        """,
            "a name, the sign = and a value",
        ),
        "fixed names": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir={':'.join(lowers)}", "upperdir=upper", "workdir=work"]
        """,
            "did not land in",
        ),
        "the book's own paths": (
            """
            def overlay_options(lowers, upper, work):
                os.makedirs("/tmp/book", exist_ok=True)
                return ["lowerdir=/tmp/book", f"upperdir={upper}", f"workdir={work}"]
        """,
            "use the arguments",
        ),
        "spaces around the sign": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lowerdir = {':'.join(lowers)}", f"upperdir = {upper}", f"workdir = {work}"]
        """,
            "Leave no space",
        ),
        "another name": (
            """
            def overlay_options(lowers, upper, work):
                return [f"lower={':'.join(lowers)}", f"upper={upper}", f"work={work}"]
        """,
            "is something else",
        ),
        "prints": (
            """
            def overlay_options(lowers, upper, work):
                print(f"lowerdir={':'.join(lowers)}", f"upperdir={upper}", f"workdir={work}")
        """,
            "must be returned",
        ),
    },
)


# ---- layers-2 --------------------------------------------------------------------------------------------------------


def _make_entries(layer: str) -> dict[str, str]:
    """Things that look like a whiteout, and some that are: name -> what it is."""
    os.mknod(f"{layer}/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(f"{layer}/zero-one", stat.S_IFCHR, os.makedev(0, 1))
    os.mknod(f"{layer}/readable", 0o644 | stat.S_IFCHR, os.makedev(0, 0))
    os.mknod(f"{layer}/block", stat.S_IFBLK, os.makedev(0, 0))
    os.mkfifo(f"{layer}/fifo")
    os.mkdir(f"{layer}/directory")
    os.symlink("nowhere", f"{layer}/link")
    for name, mode in (("empty", 0o644), ("locked", 0), (".wh.soup", 0)):
        open(f"{layer}/{name}", "w").close()
        os.chmod(f"{layer}/{name}", mode)
    return {
        "removed": "what the kernel has made in upper when a lower file was removed",
        "readable": "a character device 0, 0 that somebody has made with mode 644",
        "null": "the character device 1, 3, which is /dev/null",
        "zero-one": "the character device 0, 1",
        "block": "the block device 0, 0",
        "fifo": "a named pipe",
        "directory": "a directory",
        "link": "a symbolic link",
        "empty": "an empty file",
        "locked": "an empty file that nobody may read",
        ".wh.soup": "an empty file whose name begins with .wh., as in archives of layers",
    }


def check_is_whiteout(is_whiteout):
    """A layer with all sorts of things in it: the kernel hides what is below a whiteout, and nothing else."""
    _make_room()
    bottom, top = _layer("bottom", {"removed": "file"}), os.path.abspath("top")
    with _Stacked([bottom], top) as merged:
        os.remove(f"{merged}/removed")
    entries = _make_entries(top)
    for name in entries:
        open(f"{bottom}/{name}", "w").close()
    with _Stacked([top, bottom]) as merged:
        shown = os.listdir(merged)
    for name, words in entries.items():
        answer = is_whiteout(os.lstat(f"{top}/{name}"))
        expected = name not in shown
        call = f"is_whiteout(STATUS), for {words},"
        if answer is None:
            raise Feedback(f"{call} returned None. Return True or False in every case.")
        if isinstance(answer, str):
            raise Feedback(f"{call} returned the string {answer!r}. Any string but '' is true: return True or False.")
        if bool(answer) != expected:
            raise Feedback(f"{call} returned {answer!r}. The kernel {_whiteout_because(expected, name)}")


def _whiteout_because(hides: bool, name: str) -> str:
    if name == "removed":
        return "hides the file below it: this is a whiteout, a character device whose st_rdev is the number 0."
    if hides:
        return "hides the file below it: this is a whiteout, whatever its permissions are."
    if name in ("null", "zero-one"):
        return (
            "shows it as what it is: a character device, but with another number than 0, 0. st_rdev holds both numbers."
        )
    if name == "block":
        return "shows it: a whiteout is a character device, and stat.S_ISCHR(status.st_mode) asks for that."
    return "shows it: it is not a device at all. stat.S_ISCHR(status.st_mode) asks what kind of file it is."


Exercise(
    "layers-2",
    "Spot the whiteout",
    minutes=5,
    difficulty=1,
    reference=diff.is_whiteout,
    check=check_is_whiteout,
    imports=_IMPORTS,
    starter='''
        def is_whiteout(status):
            """Whether this is the status of a whiteout; status is what os.lstat() returns."""
            ...
    ''',
    hints=[
        "Two things must be true: what kind of file it is, and which device.",
        "stat.S_ISCHR(status.st_mode) is the first. A file that is not a device has the number 0 too, so the second is "
        "not enough.",
        "The device 0, 0 is os.makedev(0, 0), which is plain 0: compare status.st_rdev with it, and join both with and.",
    ],
    right={
        "by major and minor": """
            def is_whiteout(status):
                device = os.major(status.st_rdev), os.minor(status.st_rdev)
                return stat.S_IFMT(status.st_mode) == stat.S_IFCHR and device == (0, 0)
        """,
        "by the letter of ls": """
            def is_whiteout(status):
                if stat.filemode(status.st_mode)[0] != "c":
                    return False
                return not status.st_rdev
        """,
        "by bits": """
            def is_whiteout(status):
                return int(status.st_mode >> 12 == 2 and status.st_rdev == os.makedev(0, 0))
        """,
    },
    wrong={
        "any character device": (
            """
            def is_whiteout(status):
                return stat.S_ISCHR(status.st_mode)
        """,
            "another number than 0, 0",
        ),
        "the number alone": (
            """
            def is_whiteout(status):
                return status.st_rdev == 0
        """,
            "is a character device, and stat.S_ISCHR",
        ),
        "empty": (
            """
            def is_whiteout(status):
                return status.st_size == 0
        """,
            "another number than 0, 0",
        ),
        "nobody may read it": (
            """
            def is_whiteout(status):
                return stat.S_IMODE(status.st_mode) == 0
        """,
            "whatever its permissions are",
        ),
        "the major number": (
            """
            def is_whiteout(status):
                return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == 0
        """,
            "for the character device 0, 1",
        ),
        "the disk it is on": (
            """
            def is_whiteout(status):
                return stat.S_ISCHR(status.st_mode) and status.st_dev == 0
        """,
            "the kernel has made in upper when a lower file was removed",
        ),
        "a pair": (
            """
            def is_whiteout(status):
                return stat.S_ISCHR(status.st_mode) and status.st_rdev == (0, 0)
        """,
            "st_rdev is the number 0",
        ),
        "only one way out": (
            """
            def is_whiteout(status):
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                    return True
        """,
            "returned None",
        ),
        "a word": (
            """
            def is_whiteout(status):
                return "yes" if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0 else "no"
        """,
            "Any string but '' is true",
        ),
        "either": (
            """
            def is_whiteout(status):
                return stat.S_ISCHR(status.st_mode) or status.st_rdev == 0
        """,
            "another number than 0, 0",
        ),
    },
)


# ---- layers-3 --------------------------------------------------------------------------------------------------------

_BASE = {
    "bread": "1",
    "cake": "1",
    "soup": "1",
    "tart": "1",
    "attic/old": "1",
    "cellar/wine": "1",
    "cellar/dust": "1",
    "flan": "1",
    "sauces/pesto": "1",
    "sauces/tomato": "1",
    "shelf/cup": "1",
    "wall": "1",
}


def _first_changes(merged: str) -> None:
    os.remove(f"{merged}/cake")
    os.remove(f"{merged}/tart")
    os.remove(f"{merged}/sauces/pesto")
    shutil.rmtree(f"{merged}/attic")
    shutil.rmtree(f"{merged}/cellar")
    os.mkdir(f"{merged}/cellar")
    _write_to(f"{merged}/cellar/cheese", "2")
    _write_to(f"{merged}/soup", "2")
    _write_to(f"{merged}/rice", "2")
    _write_to(f"{merged}/shelf/plate", "2")
    os.symlink("nowhere", f"{merged}/link")


def _second_changes(merged: str) -> None:
    _write_to(f"{merged}/cake", "3")
    _write_to(f"{merged}/sauces/aioli", "3")
    _write_to(f"{merged}/cellar/jam", "3")
    os.remove(f"{merged}/rice")
    os.remove(f"{merged}/wall")
    os.mkdir(f"{merged}/wall")
    _write_to(f"{merged}/wall/hook", "3")


def _write_to(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


_WHY = {
    "cake": "The middle layer has a whiteout for it, and the top layer has the file again: the topmost layer decides.",
    "tart": "The middle layer has a whiteout for it, which also hides the file in the layer below.",
    "rice": "The top layer has a whiteout for it, and what is below that does not count.",
    "pesto": "The middle layer has a whiteout for it.",
    "wine": "The middle layer's directory is opaque, so nothing of the layer below is seen in it. stack() knows that.",
    "dust": "The middle layer's directory is opaque, so nothing of the layer below is seen in it. stack() knows that.",
    "attic": "The middle layer has a whiteout for it, which also hides the directory in the layer below.",
    "old": "The directory that it is in was removed: stack() knows that.",
}


def check_merged_names(merged_names):
    """Three layers, two of them made through a mount: are the names those that the kernel shows?"""
    _make_room()
    bottom, middle, top = _layer("bottom", _BASE), os.path.abspath("middle"), os.path.abspath("top")
    with _Stacked([bottom], middle) as merged:
        _first_changes(merged)
    with _Stacked([middle, bottom], top) as merged:
        _second_changes(merged)
    lowers = [top, middle, bottom]
    with _Stacked(lowers) as merged:
        shown = {path: _list_if_there(merged + path) for path in ("/", "/sauces", "/cellar", "/wall", "/shelf", "/old")}
    for names, layers, path, expected in (
        *(("TOP, MIDDLE, BOTTOM", lowers, path, expected) for path, expected in shown.items()),
        ("BOTTOM", [bottom], "/", set(os.listdir(bottom))),
    ):
        call = f"merged_names([{names}], {path!r})"
        _compare_names(_answer(call, merged_names, list(layers), path), expected, call)


def _list_if_there(directory: str) -> set[str]:
    return set(os.listdir(directory)) if os.path.isdir(directory) else set()


def _compare_names(answer, expected: set[str], call: str) -> None:
    if answer is None:
        raise Feedback(f"{call} returned None. Expected: a set of names.")
    if not isinstance(answer, (set, frozenset)):
        raise Feedback(f"{call} returned {answer!r}, a {type(answer).__name__}. Expected: a set, as set(…) makes one.")
    shown = "the mounted overlay shows"
    for name in sorted(answer - expected, key=str):
        none = (
            "Return the names alone, without a directory." if "/" in str(name) else "It is in none of the directories."
        )
        why = _WHY.get(name, none)
        raise Feedback(f"{call} has {name!r} in it, and {shown} only {_list(expected)}. {why}")
    for name in sorted(expected - answer):
        why = _WHY.get(name, "The names in all directories that stack() returns belong together.")
        raise Feedback(f"{call} returned {_list(answer)}, and {shown} {name!r} as well. {why}")


def _list(names) -> str:
    return ", ".join(sorted(map(str, names))) or "nothing"


Exercise(
    "layers-3",
    "What the kernel would show",
    minutes=10,
    difficulty=2,
    reference=diff.merged_names,
    check=check_merged_names,
    imports=_IMPORTS,
    starter='''
        def merged_names(lowers, directory):
            """Return the set of names that are seen in directory; lowers: the layers, the top one first."""
            for each in stack(lowers, directory):
                for name in os.listdir(each):
                    ...
    ''',
    hints=[
        "For each name the topmost layer that has it decides, with a file or with a whiteout. So remember what was "
        "decided already.",
        "Two sets: names that are seen, and names that are decided. Or a dictionary, from the name to whether it is "
        "seen.",
        'is_whiteout(os.lstat(f"{each}/{name}")) tells which it is. If the name is known from a layer above, skip it; '
        "in the end return the names that are seen.",
    ],
    right={
        "from the bottom up": """
            def merged_names(lowers, directory):
                names = set()
                for each in reversed(stack(lowers, directory)):
                    for name in os.listdir(each):
                        if is_whiteout(os.lstat(os.path.join(each, name))):
                            names.discard(name)
                        else:
                            names.add(name)
                return names
        """,
        "two sets": """
            def merged_names(lowers, directory):
                seen, hidden = set(), set()
                for each in stack(lowers, directory):
                    with os.scandir(each) as entries:
                        for entry in entries:
                            if entry.name in seen | hidden:
                                continue
                            target = hidden if is_whiteout(entry.stat(follow_symlinks=False)) else seen
                            target.add(entry.name)
                return seen
        """,
        "one layer after the other": """
            def merged_names(lowers, directory):
                def of(directories):
                    if not directories:
                        return frozenset()
                    first, *rest = directories
                    here = frozenset(os.listdir(first))
                    gone = {name for name in here if is_whiteout(os.lstat(first + "/" + name))}
                    return (of(rest) | here) - gone
                return of(stack(lowers, directory))
        """,
    },
    wrong={
        "sees whiteouts": (
            """
            def merged_names(lowers, directory):
                names = set()
                for each in stack(lowers, directory):
                    names |= set(os.listdir(each))
                return names
        """,
            "whiteout",
        ),
        "a whiteout hides only itself": (
            """
            def merged_names(lowers, directory):
                names = set()
                for each in stack(lowers, directory):
                    for name in os.listdir(each):
                        if not is_whiteout(os.lstat(f"{each}/{name}")):
                            names.add(name)
                return names
        """,
            "whiteout for",
        ),
        "a whiteout hides all": (
            """
            def merged_names(lowers, directory):
                names, gone = set(), set()
                for each in stack(lowers, directory):
                    for name in os.listdir(each):
                        names.add(name)
                        if is_whiteout(os.lstat(f"{each}/{name}")):
                            gone.add(name)
                return names - gone
        """,
            "the topmost layer decides",
        ),
        "the bottom decides": (
            """
            def merged_names(lowers, directory):
                names = {}
                for each in stack(lowers, directory):
                    for name in os.listdir(each):
                        names[name] = not is_whiteout(os.lstat(f"{each}/{name}"))
                return {name for name in names if names[name]}
        """,
            "whiteout for",
        ),
        "without stack": (
            """
            def merged_names(lowers, directory):
                names = {}
                for each in lowers:
                    if os.path.isdir(each + directory):
                        for name in os.listdir(each + directory):
                            names.setdefault(name, not is_whiteout(os.lstat(f"{each}{directory}/{name}")))
                return {name for name in names if names[name]}
        """,
            "directory is opaque",
        ),
        "the top layer only": (
            """
            def merged_names(lowers, directory):
                each = stack(lowers, directory)[0]
                return {name for name in os.listdir(each) if not is_whiteout(os.lstat(f"{each}/{name}"))}
        """,
            "belong together",
        ),
        "a list": (
            """
            def merged_names(lowers, directory):
                names = {}
                for each in stack(lowers, directory):
                    for name in os.listdir(each):
                        names.setdefault(name, not is_whiteout(os.lstat(f"{each}/{name}")))
                return [name for name in names if names[name]]
        """,
            "Expected: a set",
        ),
        "with the directory": (
            """
            def merged_names(lowers, directory):
                names = set()
                for each in stack(lowers, directory):
                    names |= {f"{each}/{name}" for name in os.listdir(each)}
                return names
        """,
            "without a directory",
        ),
        "follows links": (
            """
            def merged_names(lowers, directory):
                names = {}
                for each in stack(lowers, directory):
                    for name in os.listdir(each):
                        names.setdefault(name, not is_whiteout(os.stat(f"{each}/{name}")))
                return {name for name in names if names[name]}
        """,
            "os.lstat() looks at the link itself",
        ),
        "the name without its layer": (
            """
            def merged_names(lowers, directory):
                names = {}
                for each in stack(lowers, directory):
                    for name in os.listdir(each):
                        names.setdefault(name, not is_whiteout(os.lstat(name)))
                return {name for name in names if names[name]}
        """,
            "does not say which layer",
        ),
        "the directory without its layer": (
            """
            def merged_names(lowers, directory):
                names = {}
                for each in stack(lowers, directory):
                    for name in os.listdir(each):
                        names.setdefault(name, not is_whiteout(os.lstat(os.path.join(directory, name))))
                return {name for name in names if names[name]}
        """,
            "does not say which layer",
        ),
        "only the last directory": (
            """
            def merged_names(lowers, directory):
                for each in stack(lowers, directory):
                    names = {name for name in os.listdir(each) if not is_whiteout(os.lstat(f"{each}/{name}"))}
                return names
        """,
            "whiteout for it",
        ),
    },
)


# ---- the challenge: changed ------------------------------------------------------------------------------------------


def _live(merged: str) -> None:
    """A few minutes in a container's life, at the top of its root."""
    _write_to(f"{merged}/curry", "new")
    os.mkdir(f"{merged}/drawer")
    _write_to(f"{merged}/bread", "more")
    os.chmod(f"{merged}/wall", 0o600)
    os.remove(f"{merged}/soup")
    shutil.rmtree(f"{merged}/attic")
    shutil.rmtree(f"{merged}/cellar")
    os.mkdir(f"{merged}/cellar")
    _write_to(f"{merged}/sauces/aioli", "new")
    os.remove(f"{merged}/cake")
    _write_to(f"{merged}/cake", "again")
    _write_to(f"{merged}/draft", "new")
    os.remove(f"{merged}/draft")
    os.rename(f"{merged}/rice", f"{merged}/risotto")
    _write_to(f"{merged}/flan", "new")
    os.symlink("nowhere", f"{merged}/link")


_REASONS = {
    "curry": "It is in no layer below: it was added.",
    "drawer": "It is in no layer below: it was added.",
    "flan": "An image layer has a whiteout for it, so it was not there before: it was added.",
    "link": "It is in no layer below: it was added, and is a symbolic link.",
    "risotto": "rice was renamed: that is one name deleted and one added.",
    "rice": "rice was renamed: that is one name deleted and one added.",
    "soup": "It was deleted: upper has a whiteout for it.",
    "attic": "It was deleted, with all that was in it: upper has a whiteout for it.",
    "bread": "Something was appended to it: upper has a copy, and it was there before.",
    "wall": "Its mode was changed: upper has a copy, and it was there before.",
    "cake": "It was removed and made again: it was there before, and is there now.",
    "cellar": "It was removed and made again, as a directory: it was there before, and is there now.",
    "sauces": "Something in it was added, so upper has this directory too.",
    "draft": "It was made and removed again: nothing is left of it, not even a whiteout.",
    "tart": "An image layer has a whiteout for it: it was not there before either.",
    "shelf": "Nobody has touched it, and upper does not have it.",
}


def check_changed(changed):
    """What was done through a mount: names before and after, by the kernel, and what upper holds."""
    _make_room()
    bottom, middle, upper = _layer("bottom", _BASE), os.path.abspath("middle"), os.path.abspath("upper")
    with _Stacked([bottom], middle) as merged:
        os.remove(f"{merged}/tart")
        os.remove(f"{merged}/flan")
        _write_to(f"{merged}/rice", "2")
        _write_to(f"{merged}/bread", "2")
    with _Stacked([middle, bottom], upper) as merged:
        before = set(os.listdir(merged))
        _live(merged)
        after = set(os.listdir(merged))
    expected = {("A", name) for name in after - before} | {("D", name) for name in before - after}
    expected |= {("C", name) for name in set(os.listdir(upper)) & before & after}
    call = "changed(UPPER, [MIDDLE, BOTTOM])"
    answer = _answer(call, changed, upper, [middle, bottom])
    if answer is None:
        raise Feedback(f"{call} returned None. Return a set of pairs such as ('A', 'curry').")
    try:
        found = {(letter, name) for letter, name in answer}
    except (TypeError, ValueError):
        raise Feedback(
            f"{call} returned {answer!r}. Expected: a set of pairs of a letter and a name, such as ('A', 'curry')."
        ) from None
    for letter, name in sorted(found - expected, key=str):
        right = next((each for each, other in expected if other == name), "")
        wanted = f"Expected: {(right, name)!r}." if right else "It does not belong there."
        why = (
            "The letter comes first, then the name."
            if letter in _REASONS
            else "Return the names alone, without a slash."
            if "/" in str(name)
            else _REASONS.get(name, "There is no such name.")
        )
        raise Feedback(f"{call} has {(letter, name)!r} in it. {wanted} {why}")
    for letter, name in sorted(expected - found):
        raise Feedback(f"{call} lacks {(letter, name)!r}. {_REASONS[name]}")


Challenge(
    "changed",
    "docker diff, one directory deep",
    name="changed",
    minutes=10,
    difficulty=3,
    check=check_changed,
    imports=_IMPORTS,
    solution='''
        def changed(upper, lowers):
            """What a container has added (A), changed (C) and deleted (D) at the top of its root: pairs (letter, name)."""
            before = merged_names(lowers, "/")
            after = merged_names([upper, *lowers], "/")
            found = {("A", name) for name in after - before} | {("D", name) for name in before - after}
            return found | {("C", name) for name in set(os.listdir(upper)) & before & after}
    ''',
    hints=[
        "Which names were seen before there was an upper layer, and which are seen with it? merged_names() answers "
        "both.",
        "What is seen only after is A, only before is D. Sets can be subtracted: after - before.",
        "C is what upper holds, and what is in both: set(os.listdir(upper)) & before & after.",
    ],
    right={
        "entry by entry": """
            def changed(upper, lowers):
                below, found = merged_names(lowers, "/"), []
                for entry in os.scandir(upper):
                    gone = is_whiteout(entry.stat(follow_symlinks=False))
                    if gone and entry.name in below:
                        found.append(("D", entry.name))
                    elif not gone:
                        found.append(("C" if entry.name in below else "A", entry.name))
                return found
        """,
        "with find": """
            def changed(upper, lowers):
                from minict.engine.images.diff import find
                found = set()
                for name in os.listdir(upper):
                    below = find(lowers, "/" + name)
                    now = find([upper, *lowers], f"/{name}")
                    if below or now:
                        found.add(("C" if below and now else "A" if now else "D", name))
                return found
        """,
        "as a dictionary": """
            def changed(upper, lowers):
                letters = {}
                for name in merged_names(lowers, "/"):
                    letters[name] = "D"
                for name in merged_names([upper] + lowers, "/"):
                    letters[name] = "C" if name in letters else "A"
                return [(letters[name], name) for name in sorted(os.listdir(upper)) if name in letters]
        """,
    },
    wrong={
        "all that is in upper": (
            """
            def changed(upper, lowers):
                return {("C" if name in merged_names(lowers, "/") else "A", name) for name in os.listdir(upper)}
        """,
            "It was deleted",
        ),
        "looks into the layers itself": (
            """
            def changed(upper, lowers):
                found = set()
                for name in os.listdir(upper):
                    below = any(os.path.lexists(f"{lower}/{name}") for lower in lowers)
                    gone = is_whiteout(os.lstat(f"{upper}/{name}"))
                    found.add(("D" if gone else "C" if below else "A", name))
                return found | {("D", name) for name in os.listdir(lowers[0]) if is_whiteout(os.lstat(f"{lowers[0]}/{name}"))}
        """,
            "An image layer has a whiteout",
        ),
        "a name in any layer": (
            """
            def changed(upper, lowers):
                found = set()
                for name in os.listdir(upper):
                    below = any(os.path.lexists(f"{lower}/{name}") for lower in lowers)
                    gone = is_whiteout(os.lstat(f"{upper}/{name}"))
                    found.add(("D" if gone else "C" if below else "A", name))
                return found
        """,
            "it was not there before: it was added",
        ),
        "follows links": (
            """
            def changed(upper, lowers):
                below = merged_names(lowers, "/")
                gone = {name for name in os.listdir(upper) if is_whiteout(os.stat(f"{upper}/{name}"))}
                added = {("C" if name in below else "A", name) for name in os.listdir(upper) if name not in gone}
                return added | {("D", name) for name in gone}
        """,
            "os.lstat() looks at the link itself",
        ),
        "no changes": (
            """
            def changed(upper, lowers):
                before, after = merged_names(lowers, "/"), merged_names([upper, *lowers], "/")
                return {("A", name) for name in after - before} | {("D", name) for name in before - after}
        """,
            "lacks ('C', 'bread')",
        ),
        "everything else changed": (
            """
            def changed(upper, lowers):
                before, after = merged_names(lowers, "/"), merged_names([upper, *lowers], "/")
                found = {("A", name) for name in after - before} | {("D", name) for name in before - after}
                return found | {("C", name) for name in before & after}
        """,
            "Nobody has touched it",
        ),
        "the bottom layer alone": (
            """
            def changed(upper, lowers):
                before, after = set(os.listdir(lowers[-1])), merged_names([upper, *lowers], "/")
                found = {("A", name) for name in after - before} | {("D", name) for name in before - after}
                return found | {("C", name) for name in set(os.listdir(upper)) & before & after}
        """,
            "so it was not there before",
        ),
        "the name first": (
            """
            def changed(upper, lowers):
                return {(name, "C" if name in merged_names(lowers, "/") else "A") for name in os.listdir(upper)}
        """,
            "The letter comes first",
        ),
        "as paths": (
            """
            def changed(upper, lowers):
                return {("C" if name in merged_names(lowers, "/") else "A", f"/{name}") for name in os.listdir(upper)}
        """,
            "without a slash",
        ),
        "names only": (
            """
            def changed(upper, lowers):
                return set(os.listdir(upper))
        """,
            "a set of pairs",
        ),
    },
)
