"""Chapter 16: a mini_docker.py whose exec finds nothing, though the container is there."""

from __future__ import annotations

import ast
import difflib

from .. import assembly, witnesses
from ..feedback import Feedback
from ..scenario import Scenario
from ..verdict import readable

_SORTED = (
    "FLAGS = dict(mount=1 << 17, cgroup=1 << 25, uts=1 << 26, ipc=1 << 27, user=1 << 28, pid=1 << 29, network=1 << 30)"
)


_WHY = "  # mount last: then /proc is another"  # would give it away


class Workshop:
    """A mini_docker.py that somebody has tidied up: ``text`` is the file, and replace(old, new) edits it."""

    def __init__(self):
        self.text = assembly.assemble({}).text
        first = next(line for line in self.text.splitlines() if line.startswith("FLAGS = "))
        self.text = self.text.replace(first, _SORTED).replace(_WHY, "")

    def __repr__(self):
        return f"<a mini_docker.py of {len(self.text.splitlines())} lines, in its attribute text>"

    def show(self, name: str = "") -> None:
        """Print the function, the class, the method or the constant *name* of the file; without a name all names."""
        try:
            places = _places(self.text)
        except SyntaxError as error:
            print(f"the file is not Python any more: {error.msg}, line {error.lineno}:")
            places = {name: ((error.lineno or 1) - 2, (error.lineno or 1) + 1)}
        found = name if name in places else next((each for each in places if each.endswith(f".{name}")), "")
        if name and found:
            first, last = places[found]
            print("\n".join(self.text.splitlines()[max(first - 1, 0) : last]))
            return
        near = difflib.get_close_matches(name, places, 3)
        said = f"there is no {name} in the file; it has" if name else "the file has"
        print(readable(f"{said} {', '.join(near or (each for each in places if '.' not in each))}"))

    def replace(self, old: str, new: str) -> None:
        """Put the text *new* in the place of *old*.  Raises :class:`ValueError` unless *old* is there once."""
        if not (count := self.text.count(old)):
            raise ValueError(f"{old!r} is not in the file")
        if count > 1:
            raise ValueError(f"{old!r} is in the file {count} times: add some of what stands before or after it")
        self.text = self.text.replace(old, new)


def _places(text: str) -> dict[str, tuple[int, int]]:
    """The first and the last line of all that *text* defines, by its name; what is in a class has that in front.

    Raises :class:`SyntaxError`.
    """
    found: dict[str, tuple[int, int]] = {}
    pending = [("", node) for node in ast.parse(text).body]
    while pending:
        prefix, node = pending.pop(0)
        names = [node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []
        if isinstance(node, ast.Assign):
            targets = [each for target in node.targets for each in ast.walk(target)]
            names = [each.id for each in targets if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
        found.update((f"{prefix}{name}", (node.lineno, node.end_lineno or node.lineno)) for name in names)
        if isinstance(node, ast.ClassDef):
            pending += [(f"{node.name}.", each) for each in node.body]
    return found


def check(shop) -> None:
    """Of the twelve checks, the one about exec, and the one about statuses."""
    found = witnesses.examine(shop.text, ["status", "exec"])
    if found.failed:
        raise Feedback(f"The check {found.failed[0]} says: {found[found.failed[0]]}.")


def repair(shop):
    """Enter the mount namespace last: put its entry at the end."""
    shop.replace("dict(mount=1 << 17, ", "dict(")
    shop.replace("network=1 << 30)", "network=1 << 30, mount=1 << 17)")


def _leaves_it_out(shop):
    shop.replace("if there[kind] != here[kind]", 'if there[kind] != here[kind] and kind != "mount"')


def _looks_away(shop):
    shop.replace(
        "enter(f\"/proc/{state['pid']}/ns/{FILES[kind]}\", kind)",
        "enter(f\"/proc/{state['pid']}/ns/mnt\", kind) if kind == 'mount' else None",
    )


Scenario(
    "locked-out",
    "A colleague has put a table of your mini_docker.py into a nicer order. Since then exec says: No such file or "
    "directory. But the container is running, and its process is in /proc.",
    minutes=8,
    start=Workshop,
    check=check,
    clues=[
        'shop.show("exec_in") shows where it goes in. Which file does it not find, and in whose /proc does it look at '
        "that moment?",
        "A path leads through the mount namespace of the process that opens it. Which of the namespaces does exec_in "
        'enter first? shop.show("FLAGS")',
        'shop.replace("mount=1 << 17, ", "") takes the entry out; a second replace puts it at the end.',
    ],
    solution=repair,
    wrong={
        "leaves the mount namespace out": (_leaves_it_out, "another mnt namespace"),
        "enters that one alone": (_looks_away, "The check exec says"),
    },
    end=lambda shop: None,
)
