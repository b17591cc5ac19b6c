"""Programs with one small fault in them: a dropped statement, another constant, the opposite comparison, one flag less.

``mutants(source)`` makes them all; ``survivors(task)`` lists those that pass an exercise's check.
"""

from __future__ import annotations

import ast
import copy

from .exercise import Exercise, judge

_OPPOSITE = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def mutants(source: str):
    """(what was changed, the changed source) for each small fault."""
    original = ast.parse(source)
    for place, node in enumerate(ast.walk(original)):
        for name, change in faults(node):
            tree = copy.deepcopy(original)
            change(list(ast.walk(tree))[place])
            yield f"{name} in {ast.unparse(node).splitlines()[0][:70]!r}", ast.unparse(ast.fix_missing_locations(tree))


def faults(node):
    """(name, function that makes it in a copy of *node*) for each fault that *node* can have."""
    for field in ("body", "orelse", "finalbody"):
        for index, statement in enumerate(
            getattr(node, field, ()) if isinstance(getattr(node, field, ()), list) else ()
        ):
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not is_text and not isinstance(node, ast.Module):

                def drop(copy, field=field, index=index):
                    getattr(copy, field)[index] = ast.Pass()

                yield f"without {ast.unparse(statement).splitlines()[0][:50]!r}", drop
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        yield "another number", lambda copy: setattr(copy, "value", copy.value + 1)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "the opposite", lambda copy: setattr(copy, "value", not copy.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 40:
        yield "another text", lambda copy: setattr(copy, "value", copy.value + "x")
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OPPOSITE:
        yield "the opposite", lambda copy: copy.ops.__setitem__(0, _OPPOSITE[type(copy.ops[0])]())
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):

        def one_flag(copy):
            copy.right = copy.left

        yield "one flag less", one_flag


def survivors(task: Exercise) -> tuple[int, list[str]]:
    """The number of mutants of *task*'s solution, and the names of those that pass its check."""
    total, taken = 0, []
    for name, source in mutants(task.solution):
        total += 1
        try:
            function = task.function(source)
        except Exception:
            continue  # it is not valid Python
        if judge(task, function, seconds=3)[0] == "mine":
            taken.append(name)
    return total, taken
