"""Chapter 17: the key of a build step, what the cache knows of a file, and .dockerignore."""

from __future__ import annotations

import builtins
import contextlib
import os
import stat
import tarfile

from minict.engine.builder import copy_archive, patterns
from minict.engine.images import buildcache, diff, importer
from minict.runtime.errors import ContainerError

from ..answers import edited
from ..builds import CACHED, build
from ..challenge import Challenge
from ..exercise import Exercise
from ..feedback import Feedback

_SECONDS = 180.0  # a dozen real builds; an emulated machine under load needs more than 60
_IMPORTS = """
    import hashlib
    import json
    import os
    import stat
    import tarfile
    from minict.engine.images.image import Image
"""


@contextlib.contextmanager
def _instead(module, name: str, function):
    """Builds use *function* in the place of a function of the package, and a store of their own.

    A build calls it in processes that close all descriptors, those of the exercise's guard too: it is called unguarded.
    """
    own = getattr(module, name)
    setattr(module, name, getattr(function, "function", function))
    os.environ["MINICT_ROOT"] = os.path.abspath("store")  # of this process, which ends with the check
    try:
        yield
    finally:
        setattr(module, name, own)


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def _built(call: str, directory: str):
    """Build *directory*; an error of the learner's function, in whichever process, is the feedback."""
    try:
        return build(directory)
    except ContainerError as error:
        raise Feedback(f"The build that uses your function failed in {call}: {error}") from None


def _in_words(states: list[str]) -> str:
    return ", ".join("from the cache" if state == CACHED else "executed" for state in states)


# ---- build-1 ---------------------------------------------------------------------------------------------------------

_DIGESTS_STAY = "A digest of hashlib is the same everywhere, forever."
_MANY = 2000
_MUST_DIFFER = (
    (
        ("4f1d", "RUN", ["cat", "/menu"]),
        ("4f1d", "RUN", ["cat", "/menus"]),
        "The steps are different: every part counts, the lists too.",
    ),
    (
        ("4f1d", "RUN", ["make"]),
        ("77ae", "RUN", ["make"]),
        "The first part is the key of the step before. Without it, a step does not notice that something above it has "
        "changed.",
    ),
    (
        ("4f1d", "COPY", "soup", "cake"),
        ("4f1d", "COPY", "cake", "soup"),
        "The order counts: COPY soup /cake is not COPY cake /soup.",
    ),
    (
        ("4f1d", "COPY", "ab", "c"),
        ("4f1d", "COPY", "a", "bc"),
        "Glued together, both are the same text. Something has to show where one part ends and the next one begins.",
    ),
    (
        ("4f1d", "RUN", ["echo", "a b"]),
        ("4f1d", "RUN", ["echo", "a", "b"]),
        "One word with a blank in it is not two words. repr() and json.dumps() show the difference; join and str.split "
        "lose it.",
    ),
    (
        ("4f1d", "RUN", 4, 2),
        ("4f1d", "RUN", 42),
        "Quotes do not separate numbers. Something has to show where one part ends and the next one begins.",
    ),
    *(
        (
            ("4f1d", "COPY", f"soup{mark}cake", "tea"),
            ("4f1d", "COPY", "soup", f"cake{mark}tea"),
            f"Joined with {mark!r}, both are the same text, for a part may have {mark!r} in it. repr() and json.dumps() "
            "put each part in quotes.",
        )
        for mark in (" ", "\n", ",", ", ", ":", "|", "-", "_", "/", ";", "\0")
    ),
    (
        ("4f1d", "RUN", "rm a b"),
        ("4f1d", "RUN", "rm ab"),
        "A blank counts: take the text as it is.",
    ),
    (
        ("4f1d", "RUN", ["cat"]),
        ("4f1d", "RUN", "['cat']"),
        "One is a list, the other a text that looks like it: section 1 has shown that they do different things. str() "
        "of both is the same; repr() puts quotes around the text.",
    ),
    (
        ("4f1d" * 50, "RUN", ["make"]),
        ("4f1d" * 50, "RUN", ["bake"]),
        "They begin alike for 200 characters. A text that is cut off does not show the end; a digest takes all of it in.",
    ),
    (
        ("4f1d", "COPY", "plumless"),
        ("4f1d", "COPY", "buckeroo"),
        "A checksum such as CRC-32 finds errors of a wire. It has 32 bits, and two texts with the same one are easy to "
        "make. A digest of hashlib withstands that.",
    ),
)
_COPIES = "FROM scratch\nCOPY soup /soup\nCOPY cake /cake\nCOPY tea /tea\n"
# what happens to the context -> how many of its three steps still come from the cache
_EDITS = (
    ("nothing was changed", "", "", 3),
    ("one letter of the second file was changed", "cake", "plumb", 1),
    ("one letter of the first file was changed", "soup", "leak", 0),
    ("the destination of the third COPY was changed", "Dockerfile", _COPIES.replace("/tea", "/pot"), 2),
)


def check_key(key):
    """Equal parts, unequal parts; then builds without containers, whose cache has only these keys."""
    _check_keys(key)
    with _instead(buildcache, "key", key):
        _states_after("first")
        for number, (what, file, text, cached) in enumerate(_EDITS):
            states = _states_after(f"kitchen-{number}", file, text)
            _compare(what, states, cached)


def _states_after(place: str, file: str = "", text: str = "") -> list[str]:
    """Build three files from a new directory, in which *file* has another *text*; return the states of the steps."""
    files = {"soup": "leek", "cake": "plum", "tea": "mint", "Dockerfile": _COPIES} | ({file: text} if file else {})
    for name, content in files.items():
        _write(f"{place}/{name}", content)
    return _built("key(…)", place).states


def _compare(what: str, states: list[str], cached: int) -> None:
    expected = [CACHED] * cached + ["executed"] * (3 - cached)
    if states != expected:
        raise Feedback(
            f"A Dockerfile with three COPY lines was built with your key(); then {what}, and it was built again. Its "
            f"steps: {_in_words(states)}. Expected: {_in_words(expected)}."
        )


def _calls_hash(function, *arguments) -> tuple:
    """What *function* returns, and whether it has called hash()."""
    used, own = [], builtins.hash

    def watched(value):
        used.append(value)
        return own(value)

    builtins.hash = watched
    try:
        return function(*arguments), bool(used)
    except TypeError:
        if used:
            raise Feedback(
                f"hash() takes no list. And for a text it gives another number in each Python process. {_DIGESTS_STAY}"
            ) from None
        raise
    finally:
        builtins.hash = own


def _check_keys(key) -> None:
    first, hashes = _calls_hash(key, "4f1d", "RUN", ["cat", "/menu"], None)
    call = "key('4f1d', 'RUN', ['cat', '/menu'], None)"
    if isinstance(first, (bytes, bytearray)) or not isinstance(first, str):
        raise Feedback(
            f"{call} returned {first!r}. Expected: a text, which becomes the name of a file in the cache. hexdigest() "
            "gives one."
        )
    if hashes:
        raise Feedback(
            f"{call} uses hash(), and for the same text that gives another number in each Python process: tomorrow's "
            f"build would find nothing. {_DIGESTS_STAY}"
        )
    for text, parts in ((first, call), (key("4f1d", "RUN", ["leek"] * 99), "key('4f1d', 'RUN', ['leek'] * 99)")):
        if "/" in text:
            raise Feedback(
                f"{parts} returned {text[:70]!r}, with a slash in it. It becomes the name of a file, so it can have no "
                "slash. hexdigest() has only 0 to 9 and a to f."
            )
        if not text or len(text.encode()) > 200:
            raise Feedback(
                f"{parts} returned {text[:70]!r}, {len(text)} characters. It becomes the name of a file: at least one "
                "character, at most 200. A digest has the same length for everything."
            )
    word, its_twin = "soup", b"soup".decode()  # equal, and not the same object
    if key(word, word, ["a", "b"]) != key(word, its_twin, list("ab")):
        raise Feedback(
            "key('soup', 'soup', ['a', 'b']) gave two different keys for equal parts. Only what the parts *say* may "
            "count: no time, no random number, no address in memory. (pickle counts how often the same object occurs.)"
        )
    for one, other, why in _MUST_DIFFER:
        if key(*one) == key(*other):
            shown = [", ".join(map(repr, parts)) for parts in (one, other)]
            raise Feedback(f"key({shown[0]}) and key({shown[1]}) are equal. {why}")
    if (left := len({key("4f1d", "RUN", f"make {number}") for number in range(_MANY)})) < _MANY:
        raise Feedback(
            f"Of {_MANY} different steps, {_MANY - left} have the key of another step: the key is too short. Take the "
            "whole digest, or at least 16 of its characters."
        )


_KEY = """
    def key(*parts):
        return hashlib.sha256(repr(parts).encode()).hexdigest()
"""

Exercise(
    "build-1",
    "The name of a step",
    minutes=6,
    difficulty=1,
    reference=buildcache.key,
    seconds=_SECONDS,
    check=check_key,
    imports=_IMPORTS,
    starter='''
        def key(*parts):
            """Return a short text: equal for equal parts, today and tomorrow, different for others."""
            ...
    ''',
    hints=[
        "Two things: one text that says everything about the parts, and a digest of that text.",
        "parts is a tuple, with texts and lists in it. repr(parts) is a text that shows each part, in its order, in "
        "quotes.",
        "hashlib.sha256(repr(parts).encode()).hexdigest()",
    ],
    right={
        "as JSON": """
            def key(*parts):
                return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        """,
        "part by part": """
            def key(*parts):
                digest = hashlib.blake2b()
                for part in parts:
                    digest.update(hashlib.sha256(repr(part).encode()).digest())
                return digest.hexdigest()
        """,
        "sixteen characters": """
            def key(*parts):
                return "step-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        """,
        "with lengths": """
            def key(*parts):
                text = "".join(f"{len(repr(part))}:{part!r}" for part in parts)
                return hashlib.md5(text.encode()).hexdigest()
        """,
    },
    wrong={
        "glued together": (edited(_KEY, ("repr(parts)", '"".join(map(str, parts))')), "where one part ends"),
        "without the step before": (edited(_KEY, ("repr(parts)", "repr(parts[1:])")), "the key of the step before"),
        "sorted": (edited(_KEY, ("repr(parts)", "repr(sorted(map(repr, parts)))")), "The order counts"),
        "the hash of Python": (
            """
            def key(*parts):
                return f"{hash(repr(parts)):x}"
        """,
            "another number in each Python process",
        ),
        "joined words": (
            edited(
                _KEY, ("repr(parts)", 'repr([" ".join(part) if isinstance(part, list) else part for part in parts])')
            ),
            "One word with a blank",
        ),
        "no digest": (
            """
            def key(*parts):
                return repr(parts)
        """,
            "with a slash in it",
        ),
        "base64": (
            """
            def key(*parts):
                import base64
                return base64.b64encode(hashlib.sha256(repr(parts).encode()).digest()).decode() + "/"
        """,
            "with a slash in it",
        ),
        "a checksum": (
            """
            def key(*parts):
                import zlib
                return f"{zlib.crc32(repr(parts).encode()):08x}"
        """,
            "easy to make",
        ),
        "cut off": (
            """
            def key(*parts):
                return repr(parts)[:64].replace("/", "_")
        """,
            "does not show the end",
        ),
        "as long as the parts": (
            """
            def key(*parts):
                return "|".join(map(repr, parts)).replace("/", "_")
        """,
            "the same length for everything",
        ),
        "shown and glued together": (
            edited(_KEY, ("repr(parts)", '"".join(map(repr, parts))')),
            "Quotes do not separate numbers",
        ),
        "joined with blanks": (edited(_KEY, ("repr(parts)", '" ".join(map(str, parts))')), "Joined with ' '"),
        "joined with newlines": (
            edited(_KEY, ("repr(parts)", '"\\n".join(str(part) for part in parts)')),
            "Joined with '\\n'",
        ),
        "texts of the parts": (edited(_KEY, ("repr(parts)", "repr([str(part) for part in parts])")), "looks like it"),
        "without blanks": (edited(_KEY, ("repr(parts)", 'repr(parts).replace(" ", "")')), "A blank counts"),
        "four characters": (edited(_KEY, ("hexdigest()", "hexdigest()[:4]")), "the key is too short"),
        "the hash of a tuple": (
            edited(_KEY, ("hashlib.sha256(repr(parts).encode()).hexdigest()", "str(hash(parts))")),
            "takes no list",
        ),
        "bytes": (edited(_KEY, ("hexdigest", "digest")), "hexdigest() gives one"),
        "with the time": (
            """
            def key(*parts):
                import time
                return hashlib.sha256(repr((time.time_ns(), parts)).encode()).hexdigest()
        """,
            "for equal parts",
        ),
        "pickled": (
            """
            def key(*parts):
                import pickle
                return hashlib.sha256(pickle.dumps(parts)).hexdigest()
        """,
            "pickle counts",
        ),
        "the last part": (edited(_KEY, ("repr(parts)", "repr(parts[-1])")), "the key of the step before"),
    },
)


# ---- build-2 ---------------------------------------------------------------------------------------------------------

_LOOKS_ELSEWHERE = (
    "identity(member), where only the member is known: its name is one in the archive, and no path that can be opened"
)
_TREE = "FROM scratch\nCOPY dishes /dishes\n"
_TAKEN = "FROM scratch AS first\nCOPY --chown=1:17 dishes /dishes\nFROM scratch\nCOPY --from=first /dishes /dishes\n"


def _touch(place: str) -> None:
    os.utime(f"{place}/dishes/soup", (1_000_000_000, 1_000_000_000))


def _write_again(place: str) -> None:
    os.remove(f"{place}/dishes/soup")
    _write(f"{place}/dishes/soup", "leek")
    os.chmod(f"{place}/dishes/soup", 0o644)


def _chmod(place: str) -> None:
    os.chmod(f"{place}/dishes/soup", 0o600)


def _one_bit(place: str) -> None:
    os.chmod(f"{place}/dishes/cake", 0o4755)


def _edit(place: str) -> None:
    with open(f"{place}/dishes/soup", "r+") as file:
        file.write("leak")


def _rename(place: str) -> None:
    os.rename(f"{place}/dishes/soup", f"{place}/dishes/stew")


def _move_up(place: str) -> None:
    os.rename(f"{place}/dishes/cold/dip", f"{place}/dishes/dip")


def _point_elsewhere(place: str) -> None:
    os.remove(f"{place}/dishes/today")
    os.symlink("cake", f"{place}/dishes/today")


def _directory_for_file(place: str) -> None:
    os.remove(f"{place}/dishes/empty")
    os.mkdir(f"{place}/dishes/empty")
    os.chmod(f"{place}/dishes/empty", 0o755)


def _fifo_for_file(place: str) -> None:
    os.remove(f"{place}/dishes/empty")
    os.mkfifo(f"{place}/dishes/empty", 0o755)


def _fifo_for_directory(place: str) -> None:
    os.rmdir(f"{place}/dishes/none")
    os.mkfifo(f"{place}/dishes/none", 0o755)


def _other_owner(place: str) -> None:
    _write(f"{place}/Dockerfile", _TAKEN.replace("1:17", "2:17"))


def _other_group(place: str) -> None:
    _write(f"{place}/Dockerfile", _TAKEN.replace("1:17", "1:18"))


def _other_pair(place: str) -> None:
    _write(f"{place}/Dockerfile", _TAKEN.replace("1:17", "11:7"))


_CHANGES = (
    (_touch, "touch dishes/soup", True, "A time says nothing about the content: leave mtime out."),
    (_write_again, "dishes/soup was written again, with the same content", True, "Only the time differs."),
    (_chmod, "chmod 600 dishes/soup", False, "The mode lands in the image: it has to count."),
    (_one_bit, "chmod 4755 dishes/cake", False, "The first digit of a mode counts, too: see chapter 12."),
    (_edit, "one letter of dishes/soup was changed", False, "The content is read after the member: do not empty it."),
    (_rename, "mv dishes/soup dishes/stew", False, "The name has to count."),
    (
        _move_up,
        "mv dishes/cold/dip dishes/dip",
        False,
        "The last name of the path is the same, the directory is another one: the whole name has to count.",
    ),
    (
        _point_elsewhere,
        "the link dishes/today was made to lead to cake instead of soup",
        False,
        "A link has no content: its target is in member.linkname.",
    ),
    (
        _directory_for_file,
        "the empty file dishes/empty was replaced by an empty directory",
        False,
        "Name, mode and size are the same. What a member is, is its type.",
    ),
    (
        _fifo_for_directory,
        "the empty directory dishes/none was replaced by a named pipe (mkfifo)",
        False,
        "Neither is a file, so isfile() is False for both. The field member.type tells all kinds apart.",
    ),
    (
        _fifo_for_file,
        "the empty file dishes/empty was replaced by a named pipe (mkfifo)",
        False,
        "A member is a file, a directory, a link, a pipe, a device …: isdir() or issym() tells one kind from all others. "
        "The field member.type tells all of them apart.",
    ),
    (_other_owner, "in the stage that they come from, the files got another owner", False, "Is uid in it?"),
    (_other_group, "in the stage that they come from, the files got another group", False, "Is gid in it?"),
    (
        _other_pair,
        "in the stage that they come from, the files got the owner 11 and the group 7, and no longer 1 and 17",
        False,
        "Glued together, or added up, both are the same. Return each field for itself, as a tuple.",
    ),
)
_TAKES = (_other_owner, _other_group, _other_pair)


def check_identity(identity):
    """Fourteen changes of a directory, each between two real builds: does the last COPY come from the cache?"""
    os.umask(0o022)
    _check_one(identity)
    with _instead(copy_archive, "identity", identity):
        for name, dockerfile in (("tree", _TREE), ("taken", _TAKEN)):
            _prepare(name, dockerfile)
            _built(_LOOKS_ELSEWHERE, name)
        for number, (change, what, cached, why) in enumerate(_CHANGES):
            place = f"kitchen-{number}"
            _prepare(place, _TAKEN if change in _TAKES else _TREE)
            change(place)
            state = _built(_LOOKS_ELSEWHERE, place).states[-1]
            if (state == CACHED) != cached:
                seen = "was executed again" if cached else "came from the cache, and the image has the old files"
                raise Feedback(f"COPY dishes /dishes was built; then {what}. Built again, it {seen}. {why}")


def _prepare(place: str, dockerfile: str) -> None:
    _write(f"{place}/Dockerfile", dockerfile)
    for name, text in (("soup", "leek"), ("cake", "plum"), ("empty", ""), ("cold/dip", "dill")):
        _write(f"{place}/dishes/{name}", text)
    os.chmod(f"{place}/dishes/cake", 0o755)
    os.chmod(f"{place}/dishes/empty", 0o755)
    os.mkdir(f"{place}/dishes/none")
    os.chmod(f"{place}/dishes/none", 0o755)
    os.symlink("soup", f"{place}/dishes/today")


def _check_one(identity) -> None:
    """One call in this process, where an error of the learner's has its line."""
    _prepare("look", _TREE)
    with tarfile.open("look.tar", "w") as tar:
        members = [tar.gettarinfo("look/dishes/soup") for _ in range(2)]
    second, hashes = _calls_hash(identity, members[1])
    answers = [identity(members[0]), second]
    call = "identity(member)"
    if answers[0] is None:
        raise Feedback(f"{call} returned None. Return the fields that count, as a tuple.")
    if isinstance(answers[0], (set, frozenset)):
        raise Feedback(
            f"{call} returned a set, whose order is another one in each Python process. Return a tuple: (…, …)."
        )
    if repr(answers[0]) != repr(answers[1]):
        raise Feedback(
            f"{call} was called for one file twice, and the answers differ: {repr(answers[0])[:60]} and "
            f"{repr(answers[1])[:60]}. Return what the fields say, and not the object itself. (And a method answers only "
            "with parentheses: member.isfile().)"
        )
    if hashes:
        raise Feedback(
            f"{call} uses hash(), which gives another number for the same text in each Python process: tomorrow every "
            "file would seem to be new. Return the fields themselves."
        )


_IDENTITY = """
    def identity(member):
        return (member.name, member.type, member.mode, member.uid, member.gid, member.linkname)
"""

Exercise(
    "build-2",
    "The same file?",
    minutes=7,
    difficulty=2,
    reference=copy_archive.identity,
    seconds=_SECONDS,
    check=check_identity,
    imports=_IMPORTS,
    starter='''
        def identity(member):
            """Return what counts of a file, beside its content, as a tuple; member: a TarInfo."""
            ...
    ''',
    hints=[
        "Go through the table row by row. If this field alone differs, will the image be different in a way that a "
        "program can notice and somebody cares about?",
        "One field is to be left out. For a link there is no content: what says where it leads?",
        "(member.name, member.type, member.mode, member.uid, …)",
    ],
    right={
        "the fields that are needed": _IDENTITY,
        "as text": """
            def identity(member):
                fields = ("name", "mode", "type", "uid", "gid", "linkname", "size")
                return " ".join(repr(getattr(member, field)) for field in fields)
        """,
        "all but the time": """
            def identity(member):
                info = member.get_info()
                del info["mtime"]
                return sorted(info.items())
        """,
        "kinds by their questions": """
            def identity(member):
                kind = [member.isdir(), member.issym(), member.islnk(), member.isfile()]
                return kind, member.name, stat.S_IMODE(member.mode), (member.uid, member.gid), member.linkname
        """,
    },
    wrong={
        "with the time": (edited(_IDENTITY, ("member.linkname", "member.linkname, member.mtime")), "leave mtime out"),
        "without the mode": (edited(_IDENTITY, ("member.mode, ", "")), "The mode lands in the image"),
        "three digits of the mode": (edited(_IDENTITY, ("member.mode", "member.mode & 0o777")), "The first digit"),
        "without the name": (edited(_IDENTITY, ("member.name, ", "")), "The name has to count"),
        "the last name of the path": (
            edited(_IDENTITY, ("member.name,", "os.path.basename(member.name),")),
            "the whole name has to count",
        ),
        "without the target": (edited(_IDENTITY, (", member.linkname", "")), "its target is in member.linkname"),
        "without the type": (edited(_IDENTITY, ("member.type, ", "")), "is its type"),
        "whether it is a file": (edited(_IDENTITY, ("member.type", "member.isfile()")), "isfile() is False for both"),
        "whether it is a directory": (edited(_IDENTITY, ("member.type", "member.isdir()")), "one kind from all others"),
        "a file or a link": (
            edited(_IDENTITY, ("member.type", "member.isreg(), member.issym()")),
            "isfile() is False for both",
        ),
        "glued together": (
            """
            def identity(member):
                return f"{member.name}{member.mode}{member.type}{member.linkname}{member.uid}{member.gid}"
        """,
            "Glued together",
        ),
        "without the owner": (edited(_IDENTITY, ("member.uid, ", "")), "Is uid in it?"),
        "without the group": (edited(_IDENTITY, ("member.gid, ", "")), "Is gid in it?"),
        "the member": (
            """
            def identity(member):
                return (member,)
        """,
            "not the object itself",
        ),
        "a hash": (
            """
            def identity(member):
                return hash((member.name, member.type, member.mode, member.uid, member.gid, member.linkname))
        """,
            "tomorrow every file",
        ),
        "looks on the disk": (
            """
            def identity(member):
                status = os.stat(member.name)
                return (member.name, status.st_mode, status.st_uid, status.st_gid)
        """,
            "no path that can be opened",
        ),
        "a method without parentheses": (
            """
            def identity(member):
                return (member.name, member.isfile, member.mode)
        """,
            "with parentheses",
        ),
        "a set": (
            """
            def identity(member):
                return {member.name, member.mode, member.uid}
        """,
            "a set, whose order",
        ),
        "name and size": (
            """
            def identity(member):
                return member.name, member.size
        """,
            "The mode lands in the image",
        ),
    },
)


# ---- build-3 ---------------------------------------------------------------------------------------------------------

_IGNORE = """
# what the guests need not see
*.tmp
notes
!notes/today
secrets/*
!secrets/public
photos
!photos/menu
photos/menu/draft
!cellar/wine
cellar
"""
_FILES = {  # the simple ones first: the first surprise is what the learner reads
    "menu": "No line matches it.",
    "cake.tmp": "*.tmp matches it, and has no !, so keeps is False.",
    "secrets/key": "secrets/* matches it.",
    "notes/monday": "notes matches the directory above it, and with it all that is inside.",
    "notes/old/sunday": "notes matches a directory above it, two steps up.",
    "notes/today": "notes excludes it, and the later line !notes/today brings it back: the last line that matches "
    "decides.",
    "secrets/public": "!secrets/public comes after secrets/*: the last line that matches decides.",
    "photos/soup": "photos matches the directory above it.",
    "photos/menu/front": "!photos/menu matches the directory above it, and comes later than photos.",
    "photos/menu/draft": "photos/menu/draft comes after !photos/menu: the last line that matches decides.",
    "cellar/wine": "!cellar/wine matches it. But cellar matches the directory above it, and comes later: the last line "
    "that matches decides, however deep its path is.",
}
_ARRIVE = {"menu", "notes/today", "secrets/public", "photos/menu/front"}


def check_is_ignored(is_ignored):
    """A real .dockerignore, a real build: which files arrive in the image?"""
    rules = patterns.Matcher(patterns.ignore_lines(_IGNORE))._patterns
    for path in _FILES:
        asked: list[str] = []
        answer = is_ignored(path, [(_asked_for(match, asked), keeps) for match, keeps in rules])
        for each in asked:
            if each and each != path and not path.startswith(f"{each}/"):
                dot = " (The last of pathlib's parents is '.': leave it out.)" if each == "." else ""
                raise Feedback(
                    f"is_ignored({path!r}, rules) asked match({each!r}). Lines are about whole paths from the context "
                    f"on, without a slash at their end: {path!r}, and the directories above it.{dot}"
                )
        if not isinstance(answer, bool) and answer not in (0, 1):
            raise Feedback(f"is_ignored({path!r}, rules) returned {answer!r}. Expected: True or False.")
    _write("kitchen/Dockerfile", "FROM scratch\nCOPY . /\n")
    _write("kitchen/.dockerignore", _IGNORE)
    for path in _FILES:
        _write(f"kitchen/{path}", "x")
    with _instead(patterns, "is_ignored", is_ignored):
        built = _built("is_ignored(path, rules)", "kitchen")
        arrived = {path for path in _FILES if diff.find(built.image.layers, f"/{path}")}
    for path, why in _FILES.items():
        if (path in arrived) != (path in _ARRIVE):
            seen = "is in the image" if path in arrived else "is missing"
            raise Feedback(
                f"After COPY . / with your is_ignored(), {path} {seen}. {why}\nThe .dockerignore:\n{_IGNORE.strip()}"
            )


def _asked_for(match, asked: list[str]):
    """*match*, which also writes down the paths that it is asked for."""

    def asks(path):
        asked.append(path)
        return match(path)

    return asks


_IS_IGNORED = """
    def is_ignored(path, rules):
        parts = path.split("/")
        paths = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        ignored = False
        for match, keeps in rules:
            if any(match(each) for each in paths):
                ignored = not keeps
        return ignored
"""

Exercise(
    "build-3",
    "What stays at home",
    minutes=9,
    difficulty=2,
    reference=patterns.is_ignored,
    seconds=_SECONDS,
    check=check_is_ignored,
    imports=_IMPORTS,
    starter='''
        def is_ignored(path, rules):
            """Whether the last rule that matches path, or a directory above it, has no "!"."""
            ...
    ''',
    hints=[
        "Begin with ignored = False, and go through the rules in their order. Each rule that matches sets it anew.",
        'A path "notes/old/monday" has the directories "notes" and "notes/old" above it: ask match() for all three.',
        "for match, keeps in rules: if any(match(each) for each in paths): ignored = not keeps",
    ],
    right={
        "the plain way": _IS_IGNORED,
        "from the end": """
            def is_ignored(path, rules):
                above = [path]
                while "/" in above[-1]:
                    above.append(above[-1].rpartition("/")[0])
                for match, keeps in reversed(rules):
                    if any(map(match, above)):
                        return not keeps
                return False
        """,
        "by itself": """
            def is_ignored(path, rules):
                found = 0
                for match, keeps in rules:
                    place = path
                    while place:
                        if match(place):
                            found = 0 if keeps else 1
                        place = os.path.dirname(place)
                return found
        """,
    },
    wrong={
        "the first line decides": (
            """
            def is_ignored(path, rules):
                parts = path.split("/")
                paths = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
                for match, keeps in rules:
                    if any(match(each) for each in paths):
                        return not keeps
                return False
        """,
            "the last line that matches decides",
        ),
        "the path alone": (
            edited(_IS_IGNORED, ("any(match(each) for each in paths)", "match(path)")),
            "the directory above it",
        ),
        "the directory next above alone": (
            edited(_IS_IGNORED, ("for count in range(1, len(parts) + 1)", "for count in (len(parts), len(parts) - 1)")),
            "two steps up",
        ),
        "! excludes": (edited(_IS_IGNORED, ("ignored = not keeps", "ignored = keeps")), "is in the image"),
        "no exceptions": (edited(_IS_IGNORED, ("ignored = not keeps", "ignored = True")), "is missing"),
        "any rule without !": (
            """
            def is_ignored(path, rules):
                return any(match(path) and not keeps for match, keeps in rules)
        """,
            "the directory above it",
        ),
        "the other way round": (edited(_IS_IGNORED, ("return ignored", "return not ignored")), "No line matches it"),
        "names instead of paths": (
            edited(_IS_IGNORED, ('"/".join(parts[:count])', "parts[count - 1]")),
            "whole paths from the context",
        ),
        "the deepest path decides": (
            """
            def is_ignored(path, rules):
                parts, ignored = path.split("/"), False
                for count in range(1, len(parts) + 1):
                    for match, keeps in rules:
                        if match("/".join(parts[:count])):
                            ignored = not keeps
                return ignored
        """,
            "however deep its path is",
        ),
        "once excluded, always excluded": (
            """
            def is_ignored(path, rules):
                parts = path.split("/")
                for count in range(1, len(parts) + 1):
                    ignored = False
                    for match, keeps in rules:
                        if match("/".join(parts[:count])):
                            ignored = not keeps
                    if ignored:
                        return True
                return False
        """,
            "the later line !notes/today brings it back",
        ),
        "pathlib's parents": (
            """
            def is_ignored(path, rules):
                from pathlib import PurePosixPath
                ignored = False
                for match, keeps in rules:
                    if match(path) or any(match(str(each)) for each in PurePosixPath(path).parents):
                        ignored = not keeps
                return ignored
        """,
            "leave it out",
        ),
        "the pair": (edited(_IS_IGNORED, ("return ignored", "return path, ignored")), "True or False"),
    },
)


# ---- the challenge: leaks --------------------------------------------------------------------------------------------

_SECRET = "swordfish"
_IMAGES = (
    (
        "argument",
        "FROM scratch\nARG TOKEN\nCOPY menu /menu\n",
        {"history"},
        "The value of an ARG is in image.document['history'], in the created_by of its entry.",
    ),
    (
        "overwritten",
        "FROM scratch\nCOPY shop /etc/shop\nCOPY menu /etc/shop/door/key\n",
        {"/etc/shop/door/key"},
        "A later layer covers the file, and the first layer still has it: look into every directory of image.layers.",
    ),
    (
        "variable",
        f"FROM scratch\nCOPY menu /menu\nENV PASSWORD={_SECRET}\n",
        {"history", "config"},
        "An ENV is in image.config, and its line is in the history too.",
    ),
    (
        "command",
        f'FROM scratch\nCOPY menu /menu\nCMD ["/log-in", "{_SECRET}"]\n',
        {"history", "config"},
        "The config has more than variables: here the CMD tells it.",
    ),
    (
        "picture",
        "FROM scratch\nCOPY picture /picture\n",
        {"/picture"},
        "The word stands between bytes that are not text. To read it as text raises an error, and an except that passes "
        "over the error passes over the file: open it with 'rb', and look for secret.encode().",
    ),
    (
        "deleted",
        "FROM scratch\nCOPY shop /shop\nCOPY menu /menu\n",
        {"/shop/door/key"},
        "Files can be deleted in a later layer, and the first one still has them.",
    ),
    (
        "stages",
        "FROM scratch AS first\nCOPY shop /shop\nCOPY menu /menu\nFROM scratch\nCOPY --from=first /menu /menu\n",
        set(),
        "Nothing of the first stage is in this image but the menu.",
    ),
)
_IMPORTED = f"ENV PASSWORD={_SECRET}"


def check_leaks(leaks):
    """Eight real images: an ARG, a variable, a command, a picture, a file that was overwritten, one that was deleted,
    two stages; and one that was imported, whose history says nothing."""
    os.environ["MINICT_ROOT"] = os.path.abspath("store")  # of this process, which ends with the check
    _write("kitchen/menu", "soup\n")
    _write("kitchen/shop/door/key", f"the word is {_SECRET}\n")
    _write("kitchen/shop/door/cake", "plum\n")
    os.symlink("nowhere", "kitchen/shop/door/lost")
    _write("host/diary", f"the host's own word is {_SECRET}\n")
    os.symlink(os.path.abspath("host/diary"), "kitchen/shop/door/host")
    for place, data in (("shop/picture", bytes(range(256))), ("picture", bytes(range(256)) + _SECRET.encode())):
        with open(f"kitchen/{place}", "wb") as file:
            file.write(data)
    for name, dockerfile, expected, why in _IMAGES:
        _write("kitchen/Dockerfile", dockerfile)
        image = build("kitchen", tag=[name], args={"TOKEN": _SECRET}).image
        if name == "deleted":  # what RUN rm leaves; a RUN would need an image with a shell
            os.makedirs(f"{image.layers[0]}/shop/door")
            os.mknod(f"{image.layers[0]}/shop/door/key", stat.S_IFCHR, 0)
        _look(leaks, name, dockerfile.strip(), expected, why)
    with tarfile.open("menu.tar", "w") as tar:
        tar.add("kitchen/menu", "menu")
    importer.import_archive("menu.tar", "imported", "a tar archive", [_IMPORTED])
    _look(
        leaks,
        "imported",
        f"docker import --change '{_IMPORTED}' menu.tar",
        {"config"},
        "Its history says nothing. str(image.document) is more than the history: the config is in it, too.",
    )


def _look(leaks, name: str, shown: str, expected: set[str], why: str) -> None:
    """Call *leaks* with one image; *shown*: how it was made."""
    call = f"leaks({name!r}, {_SECRET!r})"
    try:
        found = leaks(name, _SECRET)
    except FileNotFoundError as error:
        if "lost" not in str(error):
            raise
        raise Feedback(
            f"{call} raised {error}. The layer has a link that leads nowhere: os.path.isfile() and os.path.islink() "
            "tell."
        ) from None
    except OSError as error:
        if not (isinstance(error.filename, str) and stat.S_ISCHR(os.lstat(error.filename).st_mode)):
            raise  # ENXIO; or EACCES, where the mount has nodev
        raise Feedback(
            f"{call} raised {error}. It is a whiteout of chapter 06: a device with the number 0:0, which nothing can "
            "open. Open plain files only: os.path.isfile() tells."
        ) from None
    except UnicodeDecodeError as error:
        raise Feedback(
            f"{call} raised UnicodeDecodeError: {error}. A file need not be text: open it with 'rb', and look for "
            "secret.encode()."
        ) from None
    if not isinstance(found, (set, frozenset, list, tuple)):
        raise Feedback(f"{call} returned {found!r}. Expected: a set, such as {{'history', '/key'}}; empty for none.")
    for place in sorted(set(map(str, found)) - expected):
        if place.endswith("/host"):
            raise Feedback(
                f"{call} has {place!r} in it. That is a link, open() followed it, and in a layer it leads to a file "
                "of the HOST. The image's maker chose the target: leave links out, os.path.islink() tells."
            )
        long = place.endswith("/key") and not place.startswith("/etc/shop")
        kind = " Paths are those of the container: without the layer's own directory." if long else ""
        raise Feedback(f"{call} has {place!r} in it. Expected: {sorted(expected)}. {why}{kind}\nThe image is\n{shown}")
    for place in sorted(expected - set(found)):
        raise Feedback(f"{call} lacks {place!r}. {why}\nThe image is\n{shown}")


_LEAKS = '''
    def leaks(name, secret):
        """Where an image shows the secret: "history", "config", and paths of files in its layers, as a set."""
        image, found = Image.find(name), set()
        if secret in str(image.document["history"]):
            found.add("history")
        if secret in str(image.config):
            found.add("config")
        for layer in image.layers:
            for directory, _, names in os.walk(layer):
                for each in names:
                    path = f"{directory}/{each}"
                    if os.path.isfile(path) and not os.path.islink(path):
                        with open(path, "rb") as file:
                            if secret.encode() in file.read():
                                found.add(path.removeprefix(layer))
        return found
'''

Challenge(
    "leaks",
    "Who told?",
    name="leaks",
    minutes=12,
    difficulty=2,
    check=check_leaks,
    seconds=_SECONDS,
    imports=_IMPORTS,
    solution=_LEAKS,
    hints=[
        "Three places: Image.find(name).document['history'], .config, and the files below each directory of .layers.",
        "str(…) of the first two is a text in which you can look. os.walk(layer) leads through all files of a layer.",
        "open(path, 'rb').read() for plain files only; path.removeprefix(layer) is the path in the container.",
    ],
    right={
        "by grep": """
            def leaks(name, secret):
                import subprocess
                image, found = Image.find(name), []
                found += ["history"] * any(secret in each.get("created_by", "") for each in image.document["history"])
                found += ["config"] * (secret in json.dumps(image.config))
                for layer in image.layers:
                    lines = subprocess.run(["grep", "-rlF", secret, layer], capture_output=True, text=True).stdout
                    found += [line.removeprefix(layer) for line in lines.splitlines()]
                return found
        """,
        "with pathlib": """
            def leaks(name, secret):
                from pathlib import Path
                image = Image.find(name)
                found = {part for part, text in (("history", image.document["history"]), ("config", image.config))
                         if secret in repr(text)}
                for layer in map(Path, image.layers):
                    for path in layer.rglob("*"):
                        if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes():
                            found.add("/" + str(path.relative_to(layer)))
                return found
        """,
        "by the API": """
            def leaks(name, secret):
                import minict
                image = minict.image(name)
                found = {"history"} if secret in str(image.document["history"]) else set()
                found |= {"config"} if secret in str(image.config) else set()
                for layer in image.layers:
                    for directory, _, names in os.walk(layer):
                        for each in names:
                            try:
                                place = os.open(os.path.join(directory, each), os.O_RDONLY | os.O_NOFOLLOW)
                            except OSError:
                                continue
                            with open(place, "rb") as file:
                                data = file.read()
                            if secret.encode() in data:
                                found.add(os.path.join(directory, each)[len(layer):])
                return found
        """,
    },
    wrong={
        "the top layer alone": (
            edited(_LEAKS, ("in image.layers:", "in image.layers[:1]:")),
            "look into every directory of image.layers",
        ),
        "no history": (edited(_LEAKS, ('found.add("history")', "pass")), "in the created_by of its entry"),
        "no config": (edited(_LEAKS, ('found.add("config")', "pass")), "An ENV is in image.config"),
        "paths of the host": (
            edited(_LEAKS, ("path.removeprefix(layer)", "path")),
            "without the layer's own directory",
        ),
        "as text": (
            edited(_LEAKS, ('open(path, "rb")', 'open(path, encoding="utf-8")'), ("secret.encode()", "secret")),
            "A file need not be text",
        ),
        "opens everything": (
            edited(_LEAKS, ("os.path.isfile(path) and not os.path.islink(path)", "True")),
            "a link that leads nowhere",
        ),
        "follows links": (edited(_LEAKS, (" and not os.path.islink(path)", "")), "a file of the HOST"),
        "opens whiteouts": (edited(_LEAKS, ("os.path.isfile(path) and ", "")), "It is a whiteout"),
        "variables alone": (
            edited(_LEAKS, ("str(image.config)", 'str(image.config.get("Env"))')),
            "more than variables",
        ),
        "the whole document": (
            edited(_LEAKS, ('str(image.document["history"])', "str(image.document)")),
            "the config is in it, too",
        ),
        "passes over what is not text": (
            """
            def leaks(name, secret):
                image = Image.find(name)
                found = {"history"} if secret in str(image.document["history"]) else set()
                found |= {"config"} if secret in str(image.config) else set()
                for layer in image.layers:
                    for directory, _, names in os.walk(layer):
                        for each in names:
                            path = f"{directory}/{each}"
                            try:
                                if not os.path.islink(path) and secret in open(path, encoding="utf-8").read():
                                    found.add(path.removeprefix(layer))
                            except (OSError, UnicodeDecodeError):
                                pass
                return found
        """,
            "passes over the file",
        ),
        "yes or no": (edited(_LEAKS, ("return found", "return bool(found)")), "a set, such as"),
    },
)
