"""Part two of the exam: a ``mini_docker.py`` in which six functions have lost their bodies."""

from __future__ import annotations

import ast
import inspect
import random
import textwrap

from .. import assembly, mini_docker, witnesses
from ..exercise import exercises, judge
from ..verdict import readable, tell
from .paper import Paper
from .results import note

# Of each row one function.  Two of a row may need each other; two of different rows never do.
GROUPS = (
    ("proc-1", "proc-2", "proc-3"),
    ("init-1", "init-2", "init-3"),
    ("ns-1", "ns-2", "ns-3"),
    ("private-1", "pivot-1", "hide-1", "lookup-1"),
    ("root-1", "root-2", "root-3", "images-1", "layers-1", "volumes-1", "volumes-3"),
    ("cgroups-1", "cgroups-2", "net-1", "world-1", "world-2", "world-3"),
)
# What the starter of an exercise gives away in code, in words.
_GIVEN = {"init-3": "\nAfter spawn() it closes all that only the command needs: a pipe ends with its last writer."}


def choose(seed: int) -> list[str]:
    """The ids of six exercises for the number *seed* of an exam: always the same ones."""
    chance = random.Random(f"bodies {seed}")
    return [chance.choice(group) for group in GROUPS]


def emptied(program: assembly.Program, ids: list[str]) -> str:
    """The text of *program*, in which the functions of these exercises have only a docstring and ``...``."""
    text = program.text
    for id in ids:
        part = program.parts[id]
        text = text.replace(part.text, f"# {id}: write it from memory\n{_empty(id, part.source)}")
    return text


def _empty(id: str, source: str) -> str:
    """The first line of the function *source*, with the docstring of the exercise's starter."""
    function = ast.parse(source).body[0]
    function.body = [ast.Expr(ast.Constant(...))]
    head, _, _ = ast.unparse(function).rpartition("\n")
    told = ast.get_docstring(ast.parse(exercises()[id].starter).body[0]) or exercises()[id].title
    told = textwrap.indent(f"{told}{_GIVEN.get(id, '')}", "    ", lambda line: bool(line.strip())).strip()
    end = "\n    " if "\n" in told else ""
    return f'{head}\n    """{told}{end}"""\n    ...\n'  # with room below it


class Bodies(Paper):
    """The file with six empty functions.  :meth:`check` judges each by the check of its exercise, and then the file."""

    part = "bodies"

    def __init__(self, seed: int):
        self.ids = choose(seed)
        super().__init__("exam_bodies", seed, emptied(assembly.assemble({}), self.ids))

    def check(self) -> None:
        """Show which of the six functions do what they should; with all six, whether the dozen checks pass as well."""
        if self.tell_if_missing():
            return
        if broken := self.is_no_python():
            tell(f"✗ bodies: the file is not Python any more: {broken}.")
            return
        verdicts = {id: self.judge(id) for id in self.ids}
        points, most = sum(state == "mine" for state, _ in verdicts.values()), len(verdicts)
        note(self.part, self.seed, points, most)
        lines = [self._line(id, *verdict) for id, verdict in verdicts.items()]
        is_whole = points == most and not (failed := witnesses.examine(self.text).failed)
        if is_whole:
            lines.append("The file works: all 12 checks pass.")
        elif points == most:
            lines.append(f"But in the file, these checks fall: {', '.join(failed)}. Was something else changed?")
        sign = "●" if is_whole else "○" if self.is_untouched else "✗"
        tell(readable("\n".join([f"{sign} bodies: {points} of {most} functions are right.", *lines])))

    def judge(self, id: str) -> tuple[str, str]:
        """The verdict on the function of the exercise *id*, as in its chapter: (todo, mine or failing; why)."""
        task = exercises()[id]
        try:
            source = assembly.definition(self.text, task.name)
        except SyntaxError as error:
            return "failing", f"the file is not Python: {error.msg}, line {error.lineno}"
        except StopIteration:
            return "failing", f"the file has no function {task.name}() any more."
        if _is_empty(source):
            return "todo", ""
        try:
            function = task.function(source)
        except Exception as error:  # such as a default value that does not exist
            return "failing", f"Python can't define it: {type(error).__name__}: {error}"
        for name, value in _helpers().items():
            function.__globals__.setdefault(name, value)
        return judge(task, function)

    def _line(self, id: str, state: str, why: str) -> str:
        name = f"{exercises()[id].name}()"
        return {"mine": f"{name}: right.", "todo": f"{name}: its body is still empty."}.get(state, f"{name}: {why}")


def _helpers() -> dict[str, object]:
    """What the file itself imports, and defines beside its functions of exercises: an answer may use it, too."""
    own = (mini_docker.__name__, "contextlib")
    return {
        name: value
        for name, value in vars(mini_docker).items()
        if inspect.ismodule(value) or getattr(value, "__module__", "") in own
    }


def _is_empty(source: str) -> bool:
    """Whether the function *source* does nothing: a docstring, ``...`` and ``pass``."""
    body = ast.parse(source).body[0].body
    return all(
        isinstance(each, ast.Pass) or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for each in body
    )
