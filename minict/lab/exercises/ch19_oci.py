"""Chapter 19: a specification of a few lines, its version, and the byte that lets a created container go."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import subprocess
import sys

from minict.oci import bundle
from minict.runtime import jsonfile, paths, start
from minict.runtime.errors import ContainerError

from .. import ociruntime
from ..answers import edited
from ..challenge import Challenge
from ..exercise import Exercise, same_fate
from ..feedback import Feedback

_IMPORTS = """
    import json
    import os
    import stat
    from minict.kernel import process as kernel
    from minict.runtime.errors import ContainerError
"""
_PATIENCE = 8  # seconds for one call of minict-oci
_KINDS = {"pid": "pid", "mnt": "mount", "net": "network", "uts": "uts", "ipc": "ipc"}  # the kernel's name -> the spec's


def _call(*words: str, **options) -> subprocess.CompletedProcess:
    """minict's own command line, with its state in the working directory."""
    command = [sys.executable, "-m", "minict.oci", "--root", os.path.abspath("state"), *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL, text=True, timeout=_PATIENCE, **options)


def _make_bundle(spec: dict, name: str = "bundle", programs: tuple[str, ...] = ("sh", "readlink", "echo")) -> str:
    """A bundle in the working directory, with *programs*; its path."""
    for directory in ("bin", "proc"):
        os.makedirs(f"{name}/rootfs/{directory}", exist_ok=True)
    for program in programs:
        shutil.copy(shutil.which("busybox") or "busybox", f"{name}/rootfs/bin/{program}")
    group = f"/{paths.cgroup_parent()}/exercise-{os.path.basename(os.getcwd())}"
    linux = spec.get("linux", {})
    if isinstance(linux, dict):
        spec = {**spec, "linux": {"cgroupsPath": group, **linux}}
    jsonfile.write(f"{name}/config.json", spec)
    return os.path.abspath(name)


# ---- oci-1 -----------------------------------------------------------------------------------------------------------

_LOOK = (
    'echo "$0"; for kind in pid mnt net uts ipc; do echo $kind $(readlink /proc/self/ns/$kind); done; '
    "echo first $(readlink /proc/1/ns/pid)"
)
_PLACES = {"args": "process", "cwd": "process", "env": "process", "namespaces": "linux", "mounts": ""}  # key -> of what


def check_smallest(smallest):
    """Run what was returned: are the words those that were wanted, and which namespaces does the process see?"""
    words = ["sh", "-c", _LOOK, "two words"]
    call = "smallest(words)"
    spec = smallest(list(words))
    if isinstance(spec, str):
        raise Feedback(f"{call} returned a text. Expected: a dictionary; the lab writes it into config.json.")
    if not isinstance(spec, dict):
        raise Feedback(f"{call} returned {spec!r}. Expected: a dictionary.")
    _judge_keys(spec)
    try:
        json.dumps(spec)
    except (TypeError, ValueError) as error:
        raise Feedback(f"{call} returned something that JSON does not have: {error}. A set, for one.") from None
    place = _make_bundle(spec)
    done = _call("run", "--bundle", place, "box", capture_output=True)
    lines = done.stdout.splitlines()
    process = spec.get("process")
    args = process.get("args") if isinstance(process, dict) else None
    if not lines and (args is None or args in (words, tuple(words))):
        raise Feedback(
            f"minict-oci refuses what {call} returned: {done.stderr.strip()}. {_why_refused(done.stderr, spec)}"
        )
    if not lines or lines[0] != "two words":
        told = repr(args).replace(_LOOK, "…")
        raise Feedback(
            f"words was ['sh', '-c', '…', 'two words'], and process.args is {told}. It must be that list itself, word by "
            "word: no text, and no other words."
        )
    seen = dict(line.split(" ", 1) for line in lines[1:] if " " in line)
    seen = {kind: link for kind, link in seen.items() if link}
    if not seen:
        raise Feedback(
            "the container finds no /proc: ps, and much else, can't work. It takes a mount with the destination /proc, "
            'the type "proc" and the source "proc", and for that a mount namespace.'
        )
    for kind, name in _KINDS.items():
        if seen.get(kind) == os.readlink(f"/proc/self/ns/{kind}"):
            raise Feedback(
                f"the container is in the {name} namespace of this machine. What linux.namespaces does not list is not "
                f'made: {{"type": "{name}"}} is missing.'
            )
    if seen.get("first") != seen["pid"]:
        raise Feedback(
            "process 1 in the container's /proc is not the container's process 1: that is a /proc from outside. A new one, "
            'for its own pid namespace, takes the type "proc".'
        )
    _judge_portability(spec)


def _judge_keys(spec: dict) -> None:
    """Refuse the known keys at other places, which all runtimes ignore."""
    for dotted in (key for key in spec if "." in str(key)):
        outer, _, inner = dotted.partition(".")
        raise Feedback(
            f"{dotted!r} is one key here, which no runtime knows. The dot in the table stands for a dictionary in a "
            f'dictionary: spec["{outer}"] = {{"{inner}": …}}.'
        )
    for place, keys in {"": spec, **{key: value for key, value in spec.items() if isinstance(value, dict)}}.items():
        for key in keys:
            if _PLACES.get(key, place) != place:
                wanted = f'spec["{_PLACES[key]}"]' if _PLACES[key] else "spec"
                raise Feedback(
                    f"{key!r} stands in {place or 'spec'}, where every runtime ignores it: it belongs into {wanted}."
                )


def _judge_portability(spec: dict) -> None:
    """Refuse what minict-oci takes, and runc or crun do not: one bundle is for any runtime."""
    cwd, env = spec["process"].get("cwd"), spec["process"].get("env") or []
    if not isinstance(cwd, str) or not cwd.startswith("/"):
        raise Feedback(
            f"process.cwd is {cwd!r}. minict-oci takes / then, but the specification demands an absolute path, and runc "
            "refuses a container without one."
        )
    if not any(each.startswith("PATH=") for each in env):
        raise Feedback(
            f"process.env is {env!r}. Without PATH, minict-oci looks in the usual directories, but runc and crun do not "
            "find a program such as sh."
        )
    for each in spec["mounts"]:
        if not each["destination"].startswith("/"):
            raise Feedback(
                f"a mount has the destination {each['destination']!r}. minict-oci takes it for /{each['destination']}, "
                "but the specification demands an absolute path."
            )


def _why_refused(text: str, spec: dict) -> str:
    if "namespace" in text and ("mnt" in str(spec.get("linux")) or "'net'" in str(spec.get("linux"))):
        return "The specification has names of its own: mount and network, where /proc says mnt and net."
    if "mount namespace" in text:
        return "Nothing may be mounted on the host: the container needs a mount namespace."
    return "The table above has the fields and their forms."


_SMALLEST = """
    def smallest(words):
        spec = {"ociVersion": "1.0.2", "root": {"path": "rootfs"}}
        spec["process"] = {"args": words, "cwd": "/", "env": ["PATH=/usr/bin:/bin"]}
        spec["mounts"] = [{"destination": "/proc", "type": "proc", "source": "proc"}]
        spec["linux"] = {"namespaces": [{"type": kind} for kind in ("pid", "mount", "network", "uts", "ipc")]}
        return spec
"""

Exercise(
    "oci-1",
    "The smallest contract",
    minutes=8,
    difficulty=2,
    reference=ociruntime.smallest,
    check=check_smallest,
    imports=_IMPORTS,
    starter='''
        def smallest(words):
            """Return a specification: words in namespaces of their own (pid, mount, network, uts, ipc), with a /proc."""
            spec = {"ociVersion": "1.0.2", "root": {"path": "rootfs"}}
            ...
            return spec
    ''',
    hints=[
        "Three keys are missing: process, mounts and linux. The table above shows one value of each.",
        'spec["process"] = {"args": words, "cwd": "/", "env": [...]}: without PATH in env, runc and crun do not find sh.',
        'linux.namespaces is a list of dictionaries: [{"type": kind} for kind in ("pid", "mount", …)]',
    ],
    right={
        "the example, made smaller": """
            def smallest(words):
                from minict.oci.bundle import example
                spec = example()
                spec["process"].update(args=words, terminal=False)
                return spec
        """,
        "by dict()": """
            def smallest(words):
                spec = dict(ociVersion="1.3.0", root=dict(path="rootfs", readonly=True))
                spec["process"] = dict(args=list(words), cwd="/", user=dict(uid=0, gid=0), env=["PATH=/bin:/usr/bin"])
                spec["mounts"] = [dict(destination="/proc", type="proc", source="proc", options=["nosuid"])]
                spec["linux"] = dict(namespaces=[dict(type=kind) for kind in "pid mount network uts ipc cgroup".split()])
                return spec
        """,
        "out of a text": """
            def smallest(words):
                spec = json.loads('''{"ociVersion": "1.0.0", "root": {"path": "rootfs"}, "process": {"cwd": "/tmp",
                    "env": ["PATH=/bin"]}, "mounts": [{"destination": "/proc", "type": "proc", "source": "none"}],
                    "linux": {"namespaces": [{"type": "uts"}, {"type": "ipc"}, {"type": "network"}, {"type": "mount"},
                    {"type": "pid"}]}}''')
                spec["process"]["args"] = words
                return spec
        """,
    },
    wrong={
        "no namespaces": (edited(_SMALLEST, ('        spec["linux"]', "        linux")), "a mount namespace"),
        "not the network": (edited(_SMALLEST, ('"network", ', "")), "network namespace of this machine"),
        "not the messages": (edited(_SMALLEST, ('"uts", "ipc"', '"uts"')), "ipc namespace of this machine"),
        "not the host name": (edited(_SMALLEST, ('"uts", ', "")), "uts namespace of this machine"),
        "not the processes": (edited(_SMALLEST, ('"pid", ', "")), "pid namespace of this machine"),
        "the kernel's names": (edited(_SMALLEST, ('"mount", "network"', '"mnt", "net"')), "names of its own"),
        "names without a dictionary": (edited(_SMALLEST, ('{"type": kind}', "kind")), "refuses what smallest(words)"),
        "one text": (edited(_SMALLEST, ('"args": words', '"args": " ".join(words)')), "word by word"),
        "a list in a list": (edited(_SMALLEST, ('"args": words', '"args": [words]')), "word by word"),
        "other words": (edited(_SMALLEST, ('"args": words', '"args": ["echo", "hello"]')), "word by word"),
        "no /proc": (edited(_SMALLEST, ('        spec["mounts"]', "        mounts")), "finds no /proc"),
        "words of the table": (edited(_SMALLEST, ('"args": words', '"args": ["sleep", "9"]')), "word by word"),
        "namespaces at the top": (
            edited(_SMALLEST, ('spec["linux"] = {"namespaces":', 'spec["namespaces"] = ('), (")]}", ")])")),
            'belongs into spec["linux"]',
        ),
        "mounts of the process": (
            edited(_SMALLEST, ('spec["mounts"] =', 'spec["process"]["mounts"] =')),
            "belongs into spec.",
        ),
        "dots": (
            edited(_SMALLEST, ('spec["linux"] = {"namespaces":', 'spec["linux.namespaces"] = ('), (")]}", ")])")),
            "a dictionary in a dictionary",
        ),
        "the machine's /proc": (
            edited(
                _SMALLEST,
                ('"type": "proc", "source": "proc"', '"type": "bind", "source": "/proc", "options": ["rbind"]'),
            ),
            "a /proc from outside",
        ),
        "no variables": (edited(_SMALLEST, (', "env": ["PATH=/usr/bin:/bin"]', "")), "Without PATH"),
        "no PATH": (edited(_SMALLEST, ("PATH=/usr/bin:/bin", "TERM=xterm")), "Without PATH"),
        "a relative destination": (edited(_SMALLEST, ('"/proc"', '"proc"')), "demands an absolute path"),
        "another root": (edited(_SMALLEST, ('"path": "rootfs"', '"path": "/nowhere"')), "refuses what smallest(words)"),
        "no directory": (edited(_SMALLEST, ('"cwd": "/", ', "")), "demands an absolute path"),
        "text": (edited(_SMALLEST, ("return spec", "return json.dumps(spec)")), "returned a text"),
        "a set": (edited(_SMALLEST, ('["PATH=/usr/bin:/bin"]', '{"PATH=/usr/bin:/bin"}')), "JSON does not have"),
    },
)


# ---- oci-2 -----------------------------------------------------------------------------------------------------------

_OURS = ("1.0.0", "1.3.0", "1.0.2-dev", "1.12.40", "1.1.0-rc.1", "1.2.0+build.5")
_MAJORS = ("9.0.0", "2.0.0", "0.9.0", "10.1.0")  # of other major versions
_OTHERS = (*_MAJORS, "1", "1.3", "1.x.0", "one", "", None, 1.3)


def check_check_version(check_version):
    """Versions that minict-oci must take, and others: is each of them refused, or not?"""
    for version in (*_OURS, *_OTHERS):
        call = f"check_version({version!r})"
        try:
            result = check_version(version)
        except ContainerError as error:
            if version in _OURS:
                raise Feedback(f"{call} raised ContainerError: {error}. {_why_ours(version)}") from None
            if not str(error).strip():
                raise Feedback(f"{call} raised ContainerError without a sentence: what does its caller read?") from None
            continue
        except (TypeError, AttributeError, ValueError, IndexError) as error:
            raise Feedback(f"{call} raised {type(error).__name__}: {error}. {_why_error(version)}") from None
        if version in _OTHERS:
            told = f" It returned {result!r}, which nobody looks at: raise." if result is not None else ""
            raise Feedback(f"{call} raised nothing.{told} {_why_others(version)}")


def _why_error(version: object) -> str:
    if version in _OURS:
        return "A dash or a plus begins a label, such as dev or rc.1: cut it off first. int() can't read it."
    if version in _MAJORS:
        return 'The way to refuse a bundle is ContainerError("…") with a sentence: that is what minict-oci expects.'
    return (
        "Anything may stand in the file: the version may be missing (None), a number, or one word. str(version) makes a "
        "text of it, and isdigit() tells which parts are numbers."
    )


def _why_ours(version: str) -> str:
    if "-" in version or "+" in version:
        return "A label after a dash, or a plus, does not matter: every engine of Debian 12 says 1.0.2-dev."
    return (
        "Version 1 promises: what was right in 1.0 stays right. So every 1.x.y must be taken. (A part of a text is a "
        'text: "1" == 1 is False.)'
    )


def _why_others(version: object) -> str:
    if version in _MAJORS:
        return "Only the first number counts, and it must be 1, and not just begin with that digit."
    return "Expected: ContainerError, because this is not three numbers with dots between them."


_CHECK_VERSION = """
    def check_version(version):
        numbers = str(version).split("-")[0].split("+")[0].split(".")
        if len(numbers) != 3 or not all(each.isdigit() for each in numbers) or numbers[0] != "1":
            raise ContainerError(f"{version!r} is not a version 1")
"""

Exercise(
    "oci-2",
    "Which contracts we sign",
    minutes=6,
    difficulty=1,
    reference=bundle.check_version,
    check=check_check_version,
    imports=_IMPORTS,
    starter='''
        def check_version(version):
            """Raise ContainerError with a sentence, unless version is 1.x.y, with or without a label such as -dev."""
            ...
    ''',
    hints=[
        "Three questions: are there three parts, is each of them a number, and is the first of them 1?",
        'str(version).split("-")[0].split("+")[0].split(".") are the parts, without a label.',
        'if len(parts) != 3 or … or parts[0] != "1": raise ContainerError(f"…")',
    ],
    right={
        "a regular expression": r"""
            def check_version(version):
                import re
                if not re.fullmatch(r"1\.\d+\.\d+([-+].*)?", str(version)):
                    raise ContainerError(f"not mine: {version}")
        """,
        "by partition": """
            def check_version(version):
                core = str(version).partition("-")[0].partition("+")[0]
                major, _, rest = core.partition(".")
                minor, dot, patch = rest.partition(".")
                if major == "1" and dot and minor.isdigit() and patch.isdigit():
                    return
                raise ContainerError("no")
        """,
        "try and except": """
            def check_version(version):
                try:
                    major, minor, patch = map(int, version.split("-")[0].split("+")[0].split("."))
                except (ValueError, AttributeError):
                    raise ContainerError("three numbers, please") from None
                if major != 1:
                    raise ContainerError("version 1, please")
        """,
    },
    wrong={
        "the first digit": (
            """
            def check_version(version):
                if not str(version).startswith("1"):
                    raise ContainerError("no")
        """,
            "begin with that digit",
        ),
        "the first letters": (
            """
            def check_version(version):
                if not str(version).startswith("1."):
                    raise ContainerError("no")
        """,
            "not three numbers",
        ),
        "one version": (
            """
            def check_version(version):
                if version != "1.0.0":
                    raise ContainerError("no")
        """,
            "every 1.x.y must be taken",
        ),
        "a number of two parts": (
            """
            def check_version(version):
                if not 1 <= float(version) < 2:
                    raise ContainerError("no")
        """,
            "int() can't read it",
        ),
        "no labels": (edited(_CHECK_VERSION, ('.split("-")[0].split("+")[0]', "")), "does not matter"),
        "no plus": (edited(_CHECK_VERSION, ('.split("+")[0]', "")), "does not matter"),
        "no None": (edited(_CHECK_VERSION, ("str(version)", "version")), "Anything may stand in the file"),
        "another exception": (
            edited(_CHECK_VERSION, ("raise ContainerError", "raise ValueError")),
            "The way to refuse",
        ),
        "no sentence": (edited(_CHECK_VERSION, ('f"{version!r} is not a version 1"', '""')), "without a sentence"),
        "no argument": (edited(_CHECK_VERSION, ('f"{version!r} is not a version 1"', "")), "The way to refuse"),
        "a text and a number": (edited(_CHECK_VERSION, ('numbers[0] != "1"', "numbers[0] != 1")), '"1" == 1'),
        "returns": (edited(_CHECK_VERSION, ("raise ContainerError", "return print")), "raised nothing"),
        "true or false": (
            """
            def check_version(version):
                return str(version).startswith("1.")
        """,
            "which nobody looks at",
        ),
        "any number of parts": (edited(_CHECK_VERSION, ("len(numbers) != 3 or ", "")), "not three numbers"),
    },
)


# ---- oci-3 -----------------------------------------------------------------------------------------------------------


def check_let_go(let_go):
    """Three doors: one with somebody behind it, one with nobody, one that is not there; then a real container."""
    call = "let_go(fifo)"
    os.mkfifo("door")
    reader = os.open("door", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        result = let_go("door")
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        raise Feedback(
            f"{call} raised {error}: the fifo is not open for writing. Without os.O_WRONLY, os.open opens for reading."
        ) from None
    try:
        told = os.read(reader, 16)
    except BlockingIOError:
        told = b""
    os.close(reader)
    if not told:
        raise Feedback(
            f"a process has the fifo open, and waits for a byte. {call} returned {result!r}, and there is none to read."
        )
    if result is not True:
        raise Feedback(f"a process waited behind the fifo, and was let go. {call} returned {result!r}. Expected: True.")
    if os.path.exists("door"):
        raise Feedback(
            f"{call} has left the fifo. As long as it is there, state says created, and a second start would be tried: "
            "remove it."
        )
    os.mkfifo("lonely")
    try:
        result = let_go("lonely")
    except OSError as error:
        raise Feedback(
            f"nobody waits behind the fifo, and {call} raised {error}. That is how the kernel says it, with "
            f"{errno.errorcode.get(error.errno or 0, '?')}. Expected: False."
        ) from None
    if result is not False:
        raise Feedback(
            f"nobody waits behind the fifo, and {call} returned {result!r}. Expected: False. (With O_RDWR, open() "
            "always succeeds: the caller is then a reader, too.)"
        )
    try:
        result = let_go("nowhere")
    except FileNotFoundError as error:
        raise Feedback(
            f"the fifo is gone already: another start has been faster. {call} raised {error}. Expected: False."
        ) from None
    if result is not False:
        raise Feedback(
            f"the fifo is gone already, and {call} returned {result!r}. Expected: False. (O_CREAT would make a file of "
            "that name.)"
        )
    _let_a_container_go(let_go)


def _let_a_container_go(let_go) -> None:
    place = _make_bundle(ociruntime.smallest(["sh", "-c", "echo let go"]))
    with open("said", "w") as said:
        made = _call("create", "--bundle", place, "box", stdout=said, stderr=said)
    try:
        state = jsonfile.loads(_call("state", "box", capture_output=True).stdout or "{}")
        if made.returncode or state.get("status") != "created":
            raise Feedback(f"the container could not be created: {open('said').read()}")
        ended = os.pidfd_open(state["pid"])
        let_go(os.path.abspath("state/containers/box/start"))
        if not select.select([ended], [], [], _PATIENCE)[0] or open("said").read() != "let go\n":
            raise Feedback(
                f"a created container of minict-oci still waits after let_go(): it printed {open('said').read()!r}"
            )
    finally:
        _call("delete", "--force", "box", capture_output=True)


_LET_GO = """
    def let_go(fifo):
        try:
            door = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        os.write(door, b"!")
        os.close(door)
        os.unlink(fifo)
        return True
"""

Exercise(
    "oci-3",
    "One byte",
    minutes=8,
    difficulty=2,
    reference=start.let_go,
    check=check_let_go,
    imports=_IMPORTS,
    starter='''
        def let_go(fifo):
            """Write a byte into the fifo, remove it, and return True; return False if nobody waits behind it."""
            ...
    ''',
    hints=[
        "os.open(fifo, …) needs two flags: for writing, and not to wait for a reader.",
        "Without a reader, such an open fails with OSError: that is the answer to whether somebody waits.",
        "os.open(fifo, os.O_WRONLY | os.O_NONBLOCK) in a try; then os.write, os.close, os.unlink.",
    ],
    right={
        "with pathlib": """
            def let_go(fifo):
                from pathlib import Path
                try:
                    door = os.open(fifo, os.O_NONBLOCK | os.O_WRONLY | os.O_CLOEXEC)
                except (FileNotFoundError, OSError):
                    return False
                with open(door, "wb") as file:
                    file.write(b"go")
                Path(fifo).unlink()
                return True
        """,
        "with an opener": """
            def let_go(fifo):
                try:
                    with open(fifo, "wb", buffering=0, opener=lambda path, flags: os.open(path, 1 | os.O_NONBLOCK)) as door:
                        door.write(b"x")
                        os.remove(fifo)
                        return True
                except OSError:
                    return False
        """,
        "removes it first": """
            def let_go(fifo):
                try:
                    door = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
                    os.unlink(fifo)
                except OSError:
                    return False
                return os.write(door, b"1") == 1
        """,
    },
    wrong={
        "waits": (edited(_LET_GO, (" | os.O_NONBLOCK", "")), "gave no answer within"),
        "both ways": (edited(_LET_GO, ("os.O_WRONLY", "os.O_RDWR")), "With O_RDWR"),
        "opens it for reading": (edited(_LET_GO, ("os.O_WRONLY | ", "")), "Without os.O_WRONLY"),
        "leaves it": (edited(_LET_GO, ("        os.unlink(fifo)\n", "")), "has left the fifo"),
        "says nothing": (edited(_LET_GO, ('        os.write(door, b"!")\n', "")), "there is none to read"),
        "raises": (
            """
            def let_go(fifo):
                door = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
                os.write(door, b"!")
                os.unlink(fifo)
                return True
        """,
            "with ENXIO",
        ),
        "nobody alone": (edited(_LET_GO, ("except OSError", "except FileNotFoundError")), "with ENXIO"),
        "no file alone": (
            edited(_LET_GO, ("except OSError:", "except OSError as error:\n            if error.errno == 2: raise")),
            "another start has been faster",
        ),
        "never true": (edited(_LET_GO, ("        return True\n", "")), "Expected: True"),
        "always true": (edited(_LET_GO, ("return False", "return True")), "Expected: False"),
        "makes one": (
            edited(_LET_GO, ("os.O_WRONLY", "os.O_CREAT | os.O_WRONLY")),
            "O_CREAT would make",
        ),
    },
)


# ---- the challenge ---------------------------------------------------------------------------------------------------

_ENDS = {0: "exit 0", 7: "sleep 1; exit 7"}  # status -> the program: one is quick, one is not


def check_stay(stay):
    """Two containers that end with different statuses: are these returned, and is nothing left?"""
    # not in process 1 of the check, to which all orphans come by themselves
    same_fate(lambda: _check_stay(stay), "stay()", seconds=30)


def _check_stay(stay) -> bool:
    for status, program in _ENDS.items():
        place = _make_bundle(ociruntime.smallest(["sh", "-c", program]), f"bundle-{status}", ("sh", "sleep"))
        called: list[str] = []

        def runtime(*words: str, called: list[str] = called) -> str:
            called.append(next((word for word in words if not word.startswith("-")), ""))
            if called[-2:] == ["start", "delete"] and "--force" in words and _alive():
                raise Feedback(
                    f"stay() called {', '.join(called)} --force while the program was still running: that kills it. "
                    "Wait for its end first."
                )
            with open("streams", "w") as streams, open("said", "w") as said:
                own = called[-1] in ("create", "run")  # the streams are the container's
                done = _call(*map(str, words), stdout=streams if own else said, stderr=streams if own else said)
            with open("streams" if own else "said") as file:
                text = file.read()
            if done.returncode and called[-1] != "run":
                raise RuntimeError(f"minict-oci {called[-1]}: {text.strip()}")
            return text

        try:
            result = stay(runtime, place)
        except ChildProcessError:
            raise Feedback(
                f"after {', '.join(called)}: wait says ChildProcessError, the container is not a child of this process. "
                "Its parent was minict-oci, which has ended; who gets the orphan? prctl can make that you."
            ) from None
        _judge_stay(status, result, called)
    return True


def _alive() -> bool:
    """Whether the first process of the container is there, and not a zombie."""
    try:
        for id in os.listdir("state/containers"):
            with open(f"state/containers/{id}/pid") as pid, open(f"/proc/{pid.read().split()[0]}/stat") as status:
                return status.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        pass
    return False


def _judge_stay(status: int, result: object, called: list[str]) -> None:
    told = f"stay() called {', '.join(called) or 'nothing'} for a container that ends with status {status}"
    if "run" in called:
        raise Feedback(
            f"{told}. run keeps minict-oci itself there until the end: create and start do not, and you stay."
        )
    if "start" not in called:
        raise Feedback(f"{told}: its program was never started.")
    left = _call("list", "--quiet", capture_output=True).stdout.split()
    if left:
        _call("delete", "--force", *left[:1], capture_output=True)
        raise Feedback(
            f"{told}. The container {left[0]} is still there: delete it, or its name and its group stay taken."
        )
    if result != status:
        why = " That is what wait returns, undecoded." if result == status << 8 else ""
        raise Feedback(f"{told}, and returned {result!r}. Expected: {status}.{why}")


_STAY = """
    def stay(runtime, bundle):
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        runtime("create", "--bundle", bundle, "--pid-file", "pid", "box")
        runtime("start", "box")
        with open("pid") as file:
            _, status = os.waitpid(int(file.read()), 0)
        runtime("delete", "box")
        return os.waitstatus_to_exitcode(status)
"""

Challenge(
    "be-conmon",
    "Somebody has to stay",
    name="stay",
    minutes=15,
    difficulty=3,
    seconds=40,
    check=check_stay,
    imports=_IMPORTS,
    hints=[
        "Three calls of runtime(…): create, start, delete, and a wait before the last. --pid-file FILE makes create write the pid into FILE.",
        "kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1), before create: from then on, orphans below you become your "
        "children.",
        "os.waitpid(pid, 0) returns (pid, status); os.waitstatus_to_exitcode(status) decodes it.",
    ],
    solution=_STAY,
    right={
        "by the state": """
            def stay(runtime, bundle):
                kernel.prctl(36, 1)
                runtime("create", "-b", bundle, "mine")
                pid = json.loads(runtime("state", "mine"))["pid"]
                runtime("start", "mine")
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                runtime("delete", "mine")
                return status
        """,
        "waits for anybody": """
            def stay(runtime, bundle):
                kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
                runtime("create", f"--bundle={bundle}", "x")
                runtime("start", "x")
                pid, status = os.wait()
                runtime("delete", "--force", "x")
                return os.WEXITSTATUS(status)
        """,
        "with a pidfd": """
            def stay(runtime, bundle):
                kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
                runtime("create", "--bundle", bundle, "--pid-file", "p", "y")
                handle = os.pidfd_open(int(open("p").read()))
                runtime("start", "y")
                ended = os.waitid(os.P_PIDFD, handle, os.WEXITED)
                runtime("delete", "y")
                return ended.si_status
        """,
    },
    wrong={
        "nobody's child": (
            edited(_STAY, ("        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)\n", "")),
            "who gets the orphan?",
        ),
        "leaves it": (edited(_STAY, ('        runtime("delete", "box")\n', "")), "is still there"),
        "deletes it too early": (
            edited(
                _STAY,
                ('        runtime("delete", "box")\n', ""),
                ('        with open("pid")', '        runtime("delete", "--force", "box")\n        with open("pid")'),
            ),
            "Wait for its end first",
        ),
        "undecoded": (edited(_STAY, ("os.waitstatus_to_exitcode(status)", "status")), "undecoded"),
        "never starts": (
            edited(_STAY, ('        runtime("start", "box")\n', '        runtime("kill", "box", "KILL")\n')),
            "was never started",
        ),
        "run": (
            """
            def stay(runtime, bundle):
                runtime("run", "--bundle", bundle, "box")
                return 0
        """,
            "run keeps minict-oci itself",
        ),
        "always 0": (edited(_STAY, ("os.waitstatus_to_exitcode(status)", "0")), "Expected: 7"),
    },
)
