"""The part of chapter 19 that runs inside of ``minict-oci``: functions of a learner in place of the package's.

An engine starts this as a program of its own, by the script that :class:`.ociruntime.MyRuntime` writes. So it imports
nothing of the lab, and nothing slow. In *directory* it finds ``functions.json``, and leaves ``counts``, a byte for each
function that says how often it was called, and in ``calls`` a line of JSON for each call of the command line.
"""

from __future__ import annotations

import os
import sys
from time import monotonic_ns

from minict.runtime import jsonfile

MOST = 255  # calls of one function that are counted
_LAUNCH, _SECCOMP = "minict.runtime.launch", "minict.runtime.seccomp"


def main(directory: str) -> None:
    """Run minict's OCI command line, with the functions that *directory* names in their places."""
    began = monotonic_ns()
    functions = jsonfile.read(f"{directory}/functions.json")
    by_module: dict[str, list] = {}
    for number, entry in enumerate(functions):
        by_module.setdefault(entry["module"], []).append((number, entry))
    counts = _shared(f"{directory}/counts", len(functions))
    sys.meta_path.insert(0, _Finder(by_module, counts, directory))
    _note_the_end(directory, began)
    from minict.oci.main import main as command_line

    command_line()


def _shared(path: str, size: int) -> memoryview:
    """The bytes of a file that this process shares with its children, whatever these close, and wherever they go."""
    from mmap import mmap

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.fstat(fd).st_size < size:
        os.ftruncate(fd, size)
    view = memoryview(mmap(fd, size))
    os.close(fd)
    return view


class _Finder:
    """Changes a module right after it is loaded, so that all who import a function from it get the other one."""

    def __init__(self, by_module: dict[str, list], counts: memoryview, directory: str) -> None:
        self.by_module, self.counts, self.directory = by_module, counts, directory

    def find_spec(self, name: str, path=None, target=None):
        """The module's loader, with our work after it. Source: importlib, the import protocol."""
        if name not in self.by_module and name not in (_LAUNCH, _SECCOMP):
            return None
        finders = [each for each in sys.meta_path if each is not self]
        found = next(filter(None, (each.find_spec(name, path, target) for each in finders)))
        load = found.loader.exec_module

        def load_and_change(module) -> None:
            load(module)
            if name == _LAUNCH:  # fork from this process: no other has the learner's functions
                module.replaced.update(self.by_module)
            elif name == _SECCOMP:  # a program that another function has compiled would not tell whether this one works
                module.keeps_programs = False
            for number, entry in self.by_module.get(name, ()):
                function = vars(module)[entry["name"]]
                if entry["file"]:
                    function = learners(f"{self.directory}/{entry['file']}", entry["name"], vars(module))
                setattr(module, entry["name"], counted(function, self.counts, number))

        found.loader.exec_module = load_and_change
        return found


def learners(path: str, name: str, home: dict):
    """The function *name* of the file *path*, which knows the names of the module *home* as well."""
    with open(path) as file:
        code = compile(file.read(), path, "exec")
    names = dict(home)
    exec(code, names)
    return names[name]


def counted(function, counts: memoryview, number: int):
    """*function*, which also counts its calls."""

    def call(*arguments, **options):
        counts[number] = min(MOST, counts[number] + 1)
        return function(*arguments, **options)

    return call


def _note_the_end(directory: str, began: int) -> None:
    """Write a line into ``calls`` when this process ends: :func:`minict.oci.main.main` does that by os._exit."""
    mine, end, words = os.getpid(), os._exit, sys.argv[1:]
    calls = {"words": words, "caller": _name(os.getppid()), "caller_pid": os.getppid(), "began": began}

    def note_and_exit(status: int) -> None:
        if os.getpid() == mine:
            made = {"pid": _made(words), "spec": _specification(words), "files": _files(words)}
            entry = {**calls, **made, "status": status, "ended": monotonic_ns()}
            with open(f"{directory}/calls", "a") as file:
                file.write(jsonfile.dumps(entry, compact=True) + "\n")
        end(status)

    os._exit = note_and_exit


def _specification(words: list[str]):
    """The config.json that was handed over, for create and run."""
    try:
        return jsonfile.read(f"{_value(words, '--bundle', '-b')}/config.json")
    except (OSError, ValueError):
        return None


def _files(words: list[str]) -> list[str]:
    """The names in the bundle's directory."""
    try:
        return sorted(os.listdir(_value(words, "--bundle", "-b")))
    except OSError:
        return []


def _made(words: list[str]) -> int:
    """The number of the new process, as ``--pid-file`` has it; 0 without one."""
    try:
        with open(_value(words, "--pid-file")) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _value(words: list[str], *options: str) -> str:
    """The word behind one of these *options*; empty without them."""
    places = [words.index(option) + 1 for option in options if option in words[:-1]]
    return words[places[0]] if places else ""


def _name(pid: int) -> str:
    """The name of a process. Source: proc_pid_comm(5)."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""
