"""minict's OCI command line for chapter 19, run by the functions that the learner has passed.

::

    mine = my_runtime()                                      # one for each notebook; called again, the same
    podman(f"--runtime {mine} run --rm tiny echo hello")     # str(mine) is the path of its program
    mine("create --bundle … box")                            # or called here, without an engine
    mine.calls                                               # with which words, by whom, when, and with what bundle
    mine.roll_call()                                         # a picture: which functions were called, and whose

The program is a script of a few lines that belongs to root. It loads :mod:`.substitute`, which puts the learner's
functions in their places; each is a file beside the script. All others are the package's.
"""

from __future__ import annotations

import ast
import atexit
import builtins
import contextlib
import dis
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import types

from minict.engine.api import Finished
from minict.engine.images.image import Image
from minict.runtime import jsonfile, paths
from minict.runtime.errors import ContainerError

from .exercise import Exercise, exercises, my_sources
from .figures import CARD, FAINT, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_SCRIPT = """#!{python} -IS
# minict-oci, with the functions of functions.json in place of the package's; written by the lab
import sys
sys.path += [{root!r}, {lab!r}]
from substitute import main
main({directory!r})
"""
_PLAIN = """#!{python} -IS
import sys
sys.path += [{root!r}]
from minict.oci.main import main
main()
"""
_PATIENCE = 60  # seconds for a program, on a busy machine
_opened: MyRuntime | None = None  # this notebook's


def plain_program(directory: str) -> str:
    """A program ``minict-oci`` in *directory*, as provision.sh installs it; its path."""
    path = f"{directory}/minict-oci"
    with open(path, "w") as file:
        file.write(_PLAIN.format(python=sys.executable, root=ROOT))
    os.chmod(path, 0o755)
    return path


def my_runtime() -> MyRuntime:
    """This notebook's runtime. Another call returns the same one, as long as it is open."""
    global _opened
    if _opened is None or _opened.closed:
        _opened = MyRuntime()
    return _opened


class Call:
    """One call of the command line: its *words*, the *caller*'s name and *caller_pid*, its exit *status*, when it
    *began* and *ended* in nanoseconds of the monotonic clock, and for ``create`` the *spec* in the bundle, the names of
    the *files* there, and the *pid* of the new process, or 0."""

    def __init__(self, entry: dict):
        self.words, self.caller, self.status = entry["words"], entry["caller"], entry["status"]
        self.began, self.ended, self.spec = entry["began"], entry["ended"], entry["spec"]
        self.caller_pid, self.pid, self.files = entry["caller_pid"], entry["pid"], entry["files"]

    @property
    def command(self) -> str:
        """create, start, kill, …"""
        return next((word for word in self.words if word in _COMMANDS), "?")

    @property
    def bundle(self) -> str:
        """The directory that was handed over; empty when there was none."""
        words = dict(zip(self.words, self.words[1:]))
        return words.get("--bundle") or words.get("-b") or ""

    @property
    def engine(self) -> str:
        """Whose bundle it is, by its place: containerd keeps Docker's in a namespace of that name, moby."""
        parts = self.bundle.split("/")
        return next((name for part, name in _PLACES.items() if part in parts), "")

    def __repr__(self):
        words = ["…" if "/" in word else "ID" if len(word) == 64 else word for word in self.words]
        return f"{self.caller}: minict-oci {' '.join(words)}"


_PLACES = {"overlay-containers": "Podman", "moby": "Docker", "default": "containerd"}
_COMMANDS = ("create", "start", "run", "state", "kill", "delete", "exec", "pause", "resume", "update", "ps", "list")


class MyRuntime:
    """A program that is called like runc. *with_answers*: with the learner's functions, not the package's alone."""

    def __init__(self, with_answers: bool = True):
        self.with_answers, self.closed = with_answers, False
        self.directory = tempfile.mkdtemp(prefix="minict-oci-")
        self.path = f"{self.directory}/minict-oci"
        self._instead: dict[str, str] = {}  # target -> source, for a moment
        with open(self.path, "w") as file:
            place = {"python": sys.executable, "root": ROOT, "lab": os.path.dirname(os.path.abspath(__file__))}
            file.write(_SCRIPT.format(directory=self.directory, **place))
        os.chmod(self.path, 0o755)
        self.refresh()
        atexit.register(self.close)

    def __str__(self):
        self.refresh()  # a function may have been passed since
        return self.path

    def __repr__(self):
        yours = sorted(entry["name"] for entry in self.refresh() if entry["file"])
        return (
            f"<minict-oci with {f'your functions {chr(44).join(yours)}' if yours else 'the functions of the package'}>"
        )

    # ---- whose functions

    def refresh(self) -> list[dict]:
        """Write the learner's functions as they are now; the list that the program reads."""
        sources, entries = my_sources() if self.with_answers else {}, []
        for task in of_the_runtime():
            text = self._instead.get(task.target) or sources.get(task.id, "")
            if text and task.target not in self._instead:
                text = "" if unknown_names(task, text) else text
            entries.append({"module": task.reference.__module__, "name": task.name, "file": self._keep(task, text)})
        jsonfile.write(f"{self.directory}/functions.json", entries)
        return entries

    def _keep(self, task: Exercise, text: str) -> str:
        """Write *text*, an answer to *task*, as a file of its own; the file's name, or "" without an answer."""
        if not text:
            return ""
        head = f"# {task.id}: in place of {task.target}\n"
        with open(f"{self.directory}/{task.name}.py", "w") as file:
            file.write(head + usable_imports(task) + "\n" + without_decorators(text))
        return f"{task.name}.py"

    @contextlib.contextmanager
    def instead(self, id: str, source: str):
        """``with``: the function *source* answers the exercise *id*, whether it is right or not."""
        task = exercises()[id]
        self._instead[task.target] = source
        try:
            yield self
        finally:
            del self._instead[task.target]
            self.refresh()

    # ---- calls

    def __call__(self, line: str) -> Finished:
        """Call the command line as an engine does, with a directory of its own for the state.

        Returns what the command itself prints, and its exit status. What a container writes goes to :meth:`output`.
        """
        with open(f"{self.directory}/said", "w+b") as said, open(f"{self.directory}/output", "ab") as output:
            words = [str(self), "--root", f"{self.directory}/state", *shlex.split(line)]
            begins = "create" in words or "run" in words  # then the streams are those of the container
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output if begins else said,
                stderr=said if not begins else output,
                timeout=_PATIENCE,
            )
            said.seek(0)
            text = said.read().decode(errors="replace")
        return Finished(done.returncode, text or (self.output() if done.returncode and begins else ""), [])

    def output(self) -> str:
        """What containers of :meth:`__call__` have written since the last look."""
        path = f"{self.directory}/output"
        with open(path, "r+b") as file:
            text = file.read().decode(errors="replace")
            file.truncate(0)
        return text

    def state(self, id: str) -> dict:
        """The state document of the container *id*. Raises :class:`ContainerError` when there is none."""
        said = self(f"state {id}")
        if said.status:
            raise ContainerError(said.output.strip())
        return jsonfile.loads(said.output)

    def wait(self, id: str) -> str:
        """Wait until the container *id* has stopped; what it has written."""
        end = time.monotonic() + _PATIENCE
        while self.state(id)["status"] != "stopped":
            if time.monotonic() > end:
                raise ContainerError(f"the container {id} still runs after {_PATIENCE} s")
            time.sleep(0.02)
        return self.output()

    @property
    def calls(self) -> list[Call]:
        """All calls so far, in the order in which they ended."""
        try:
            with open(f"{self.directory}/calls") as file:
                return [Call(jsonfile.loads(line)) for line in file]
        except FileNotFoundError:
            return []

    @property
    def spec(self) -> dict:
        """The specification in the bundle that was handed over last; empty when there was none."""
        return next((call.spec for call in reversed(self.calls) if call.spec), {})

    @property
    def bundles(self) -> dict[str, Call]:
        """By the name of the engine: the call with which it handed over its last bundle."""
        found = {call.engine: call for call in self.calls if call.engine}
        return {name: found[name] for name in ("Podman", "containerd", "Docker") if name in found}

    def forget_calls(self) -> None:
        """Begin the list of calls, and the counts, anew."""
        for name in ("calls", "counts"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(f"{self.directory}/{name}")

    @property
    def counts(self) -> dict[str, int]:
        """How often each function was called, by the id of its exercise."""
        try:
            with open(f"{self.directory}/counts", "rb") as file:
                counts = file.read()
        except FileNotFoundError:
            counts = b""
        return {task.id: count for task, count in zip(of_the_runtime(), counts.ljust(len(of_the_runtime()), b"\0"))}

    def roll_call(self) -> Picture:
        """A picture: the functions of the course that were called, how often, and whose each was."""
        yours = {entry["name"] for entry in self.refresh() if entry["file"]}
        tasks = [task for task in of_the_runtime() if self.counts[task.id]]
        rows = -(-len(tasks) // 3) or 1
        sheet = _Sheet(920, 84 + 50 * rows)
        sheet.text(26, 28, "functions of yours and of the course that this container went through", 13, INK, "bold")
        for number, task in enumerate(tasks):
            x, y, mine = 24 + 296 * (number // rows), 54 + 50 * (number % rows), task.name in yours
            sheet.box(x, y, 280, 40, LIT if mine else FAINT, LIT_EDGE if mine else LINE, 7)
            ink, second = (CARD, "#ffedd5") if mine else (INK, MUTED)
            sheet.text(x + 14, y + 20, f"{task.name}()", 12, ink, "bold", mono=True)
            sheet.text(x + 268, y + 12, f"chapter {task.chapter[2:]}", 11, second, align="right")
            sheet.text(x + 268, y + 28, "yours" if mine else "the course's", 11, second, align="right")
        words = "the functions of earlier chapters that Podman's container went through, and whose each was"
        return sheet.picture(words)

    # ---- the end

    def close(self) -> None:
        """Remove its containers and its files."""
        if self.closed:
            return
        for id in self("list --quiet").output.split():
            self(f"delete --force {id}")
        shutil.rmtree(self.directory, ignore_errors=True)
        self.closed = True


# ---- answers as files --------------------------------------------------------------------------------------------


def of_the_runtime() -> list[Exercise]:
    """The exercises whose function is in the packages that ``minict-oci`` consists of, in the order of the chapters."""
    floors = ("minict.kernel.", "minict.runtime.", "minict.oci.")
    return [task for task in exercises().values() if task.target.startswith(floors) and task.adapt is None]


def without_decorators(source: str) -> str:
    """The function's *source* from its ``def`` on. Raises :class:`SyntaxError`."""
    node = ast.parse(source).body[0]
    return "".join(source.splitlines(keepends=True)[node.lineno - 1 :])


def usable_imports(task: Exercise) -> str:
    """The lines of a notebook's imports that ``minict-oci`` can import, too: not those of the lab."""
    return "".join(line for line in task.imports.splitlines(keepends=True) if "minict.lab" not in line)


def unknown_names(task: Exercise, source: str) -> set[str]:
    """The names in an answer that only its notebook knows: such an answer can't leave it."""
    space: dict = {}
    exec(usable_imports(task), space)
    known = {*vars(builtins), *vars(sys.modules[task.reference.__module__]), *space, task.name}
    return _globals_of(compile(without_decorators(source), "<answer>", "exec")) - known


def _globals_of(code: types.CodeType) -> set[str]:
    found = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _globals_of(constant)
    return found


# ---- bundles -----------------------------------------------------------------------------------------------------

_bundle: Bundle | None = None  # this notebook's


def my_bundle(spec: dict) -> Bundle:
    """This notebook's bundle, with this *spec* as its config.json."""
    global _bundle
    if _bundle is None or not os.path.isdir(str(_bundle)):
        _bundle = Bundle(spec)
    _bundle.write(spec)
    return _bundle


class Bundle:
    """A directory with a config.json, the *spec*, and a root file system, a copy of the image's *image*."""

    def __init__(self, spec: dict, image: str = "tiny"):
        # not in /tmp, which often is mounted nodev: runc makes the container's /dev/null in this very root
        self.path = tempfile.mkdtemp(prefix="minict-bundle-", dir="/var/tmp")
        atexit.register(self.remove)
        shutil.copytree(Image.find(image).layers[0], f"{self.path}/rootfs", symlinks=True)
        self.write(spec)

    def __str__(self):
        return self.path

    def __repr__(self):
        return f"<a bundle with {' and '.join(sorted(os.listdir(self.path)))}>"

    def write(self, spec: dict) -> None:
        """Replace its config.json. Its control group is below the lab's, whatever the runtime's default."""
        linux = {"cgroupsPath": f"/{paths.cgroup_parent()}/{os.path.basename(self.path)}", **spec.get("linux", {})}
        jsonfile.write(f"{self.path}/config.json", {**spec, "linux": linux})

    def remove(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)


def smallest(words):
    """The smallest specification worth the name: *words* in the bundle's root, with namespaces and a /proc of its own.

    Source: OCI runtime-spec, config.md.
    """
    kinds = ("pid", "mount", "network", "uts", "ipc")
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {"args": words, "cwd": "/", "env": ["PATH=/usr/bin:/bin"]},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": kind} for kind in kinds]},
    }
