"""Mistakes that occur in every exercise: the first layer of all feedback.

A check knows its exercise, and says what the kernel showed. Before that come the mistakes that all exercises have in
common: a ``...`` that was left, a result that is printed and not returned, a ``return`` inside of a loop, a call with
its arguments in the wrong order, the package's own function called for help, a process that never ends.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import re
import textwrap
import time

from .feedback import Feedback

_NOT_A_SEQUENCE = re.compile(r"'(\w+)' object is not subscriptable|cannot unpack non-iterable (\w+) object")
_LONGEST = 60  # characters of a value that is shown


# ---- before the answer runs --------------------------------------------------------------------------------------


def wrong_name(task, function) -> str:
    """The message for a function whose name differs from the one that the cells below call; empty if the name is
    right."""
    if function.__name__ in (task.name, "<lambda>"):
        return ""
    return f"the function is called {function.__name__}() here, and the cells below call {task.name}(): keep its name."


# ---- when a check has refused it ---------------------------------------------------------------------------------


def first_layer(task, function, why: str) -> str:
    """The reason *why* an answer fails, preceded by what its source shows."""
    tree = _tree(function)
    if tree is None:
        return why
    found = [
        *_left_over(tree),
        *_swapped_parameters(task, tree),
        *_not_returned(task, tree, why),
        *_called_too_early(tree),
        *_without_f(tree),
    ]
    return "\n".join([*found, why, *_returns_too_early(tree)])


def _tree(function) -> ast.FunctionDef | None:
    try:
        last = ast.parse(textwrap.dedent(inspect.getsource(function))).body[-1]
    except (OSError, SyntaxError, TypeError, IndexError):
        return None
    return last if isinstance(last, ast.FunctionDef) else None  # a lambda's line is an assignment


def _left_over(tree: ast.FunctionDef):
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or isinstance(node, _COMPOUND):
            continue
        if any(isinstance(part, ast.Constant) and part.value is ... for part in ast.walk(node)):
            yield f"a ... is still there: `{ast.unparse(node)}`. Put code in its place."
            return


_COMPOUND = (ast.FunctionDef, ast.If, ast.For, ast.While, ast.Try, ast.With)


def _swapped_parameters(task, tree: ast.FunctionDef):
    """The right names in another order: each caller passes its values by their places."""
    try:
        model = ast.parse(task.starter or task.solution).body[-1]
    except (SyntaxError, AttributeError):
        return
    names, wanted = ([each.arg for each in function.args.args] for function in (tree, model))
    if names != wanted and sorted(names) == sorted(wanted):
        yield f"the parameters stand in another order: it is called as {task.name}({', '.join(wanted)})."


def _not_returned(task, tree: ast.FunctionDef, why: str):
    if task.reference is None or _returns_a_value(tree) or not _returns_a_value(_tree(task.reference)):
        return
    prints = any(isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print" for node in ast.walk(tree))
    if prints:
        yield f"{task.name}() prints what it has found: it must be returned, with return."
    elif "returned None" not in why:
        yield f"{task.name}() returned None: it has no return with a value."


def _returns_a_value(tree: ast.AST | None) -> bool:
    if tree is None:
        return False
    inner = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda)) and node is not tree]
    hidden = {id(each) for node in inner for each in ast.walk(node)}
    returns = [node for node in ast.walk(tree) if isinstance(node, (ast.Return, ast.Yield)) and id(node) not in hidden]
    return any(getattr(node, "value", None) is not None for node in returns)


def _returns_too_early(tree: ast.FunctionDef):
    """A ``return`` without an ``if``, in a loop that has no ``continue`` either: no second round is possible."""
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.For, ast.While))
            and any(isinstance(each, ast.Return) for each in node.body)
            and not any(isinstance(each, ast.Continue) for each in ast.walk(node))
        ):
            yield "And the return stands inside the loop, which therefore ends in its first round."
            return


def _called_too_early(tree: ast.FunctionDef):
    """``spawn(work())`` for an inner function that is to be handed over."""
    inner = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node is not tree}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        for each in node.args:
            name = getattr(each.func, "id", "") if isinstance(each, ast.Call) and not each.args else ""
            if name in inner and node.func.id in _TAKES_A_FUNCTION:
                yield (
                    f"{ast.unparse(node)} calls {name}() at once, in this process. Hand the function over, without "
                    f"the second parentheses: {node.func.id}({name})."
                )
                return


_TAKES_A_FUNCTION = ("spawn", "run_in_child")


def _without_f(tree: ast.FunctionDef):
    """A text with ``{name}`` of a variable, but without the f that puts its value there."""
    if any(isinstance(node, ast.Attribute) and node.attr in ("format", "format_map") for node in ast.walk(tree)):
        return
    names = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    parts = {
        id(each)
        for node in ast.walk(tree)
        if isinstance(node, (ast.JoinedStr, ast.Expr))  # what has its f; and docstrings
        for each in ast.walk(node)
        if isinstance(node, ast.JoinedStr) or each is getattr(node, "value", None)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            for name in re.findall(r"\{(\w+)[}!.:]", node.value):
                if name in names:
                    yield f"put an f before the text {_short(node.value)}: without it {{{name}}} stays as it is."
                    return


# ---- delegation --------------------------------------------------------------------------------------------------


def trap(task, notebook: dict, modules: list, filename: str) -> None:
    """Refuse the answer when it calls the package's own function: in this process, for good."""
    import sys

    reference = task.reference

    def instead(*arguments, **options):
        if sys._getframe(1).f_code.co_filename == filename:
            raise Feedback(
                f"{task.name}() calls the package's own {task.name}(), which is the function that you write "
                "here: do its work yourself."
            )
        return reference(*arguments, **options)

    for names in [notebook, *map(vars, modules)]:
        for name, value in list(names.items()):
            if value is reference:
                names[name] = instead


# ---- a call that failed ------------------------------------------------------------------------------------------


def call_text(name: str, arguments: tuple, options: dict) -> str:
    """A call as it would be typed, with its values: ``kill(15, 4711)``."""
    words = [_short(value) for value in arguments] + [f"{key}={_short(value)}" for key, value in options.items()]
    return f"{name}({', '.join(words)})"


def _short(value: object) -> str:
    if inspect.isroutine(value) or inspect.isclass(value):
        return getattr(value, "__name__", "…").replace("<lambda>", "function")
    if isinstance(value, bytes) and len(value) > _LONGEST // 4:
        return f"<{len(value)} bytes>"
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def failing_line(error: BaseException, filename: str) -> str:
    """The learner's line that raised *error*, with the values in its call, and the arguments that the call expects."""
    trace, last = error.__traceback__, None
    while trace:
        if trace.tb_frame.f_code.co_filename == filename:
            last = trace
        trace = trace.tb_next
    if last is None:
        return ""
    line = linecache.getline(filename, last.tb_lineno).strip()
    more = (
        *_fields_in_words(last, error),
        *_value_in_words(error),
        *_sum_in_words(error),
        *_call_in_words(last, filename, error),
    )
    return "\n  ".join([line, *more])


def _fields_in_words(trace, error: BaseException):
    """The names of the fields of an object that the learner has used as if it were a list or a dictionary."""
    found = isinstance(error, TypeError) and _NOT_A_SEQUENCE.search(str(error))
    if not found:
        return
    values = list(trace.tb_frame.f_locals.values())
    for value in values + [each for some in values if isinstance(some, (list, tuple)) for each in some]:
        names = list(getattr(value, "__dict__", ()))
        if type(value).__name__ in found.groups() and names:
            yield f"it has no places and no keys: its fields are {', '.join('.' + name for name in names)}"
            return


def _value_in_words(error: BaseException):
    """What the value is whose attribute is missing: a number, say, where the learner expected an object."""
    if isinstance(error, AttributeError) and type(error.obj) in _KINDS:
        yield f"what stands before .{error.name} is {_KINDS[type(error.obj)]}: {_short(error.obj)}"


_KINDS = {int: "a number", str: "a text", list: "a list", tuple: "a tuple", dict: "a dictionary"}


def _sum_in_words(error: BaseException):
    """A text and a number with a + between them."""
    if isinstance(error, TypeError) and _TEXT_AND_NUMBER.search(str(error)):
        yield '+ joins two texts or adds two numbers: str(number) makes a text, and so does f"{number}"'


_TEXT_AND_NUMBER = re.compile(r"""only concatenate str \(not "int"\)|for \+=?: 'int' and 'str'""")


def _call_in_words(trace, filename: str, error: BaseException):
    node = _call_at(trace, filename)
    if node is None:
        return
    function = _value(node.func, trace.tb_frame)
    values = [_value(each, trace.tb_frame) for each in node.args]
    if _UNKNOWN not in values and not any(isinstance(each, ast.Starred) for each in node.args) and values:
        called = f"{ast.unparse(node.func)}({', '.join(map(_short, values))}{', …' if node.keywords else ''})"
        if called != ast.unparse(node):
            yield f"that is {called}"
    if function is _UNKNOWN or isinstance(error, Feedback):
        return
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return
    parameters = list(signature.parameters)
    if len(parameters) > 1 and (_in_another_order(node, parameters) or not _fits(node, signature)):
        keywords = {name for name, each in signature.parameters.items() if each.kind is each.KEYWORD_ONLY}
        wanted = ", ".join(f"{name}=…" if name in keywords else name for name in parameters)
        yield f"{ast.unparse(node.func)}() wants ({wanted})" + (
            ": write the name of each value that has a = here" if keywords else ", in this order"
        )


def _fits(node: ast.Call, signature: inspect.Signature) -> bool:
    """Whether the call has as many arguments as the function takes, whatever their types."""
    if any(isinstance(each, ast.Starred) for each in node.args) or any(each.arg is None for each in node.keywords):
        return True  # that can't be told from the source
    try:
        signature.bind(*node.args, **{each.arg: each.value for each in node.keywords})
    except TypeError:
        return False
    return True


def _in_another_order(node: ast.Call, parameters: list[str]) -> bool:
    """Whether an argument has the name of a parameter at another position."""
    names = [getattr(each, "id", getattr(each, "attr", "")) for each in node.args]
    return any(name in parameters and parameters.index(name) != place for place, name in enumerate(names))


def _call_at(trace, filename: str) -> ast.Call | None:
    """The call that the traceback entry *trace* was in, found by its place in the source."""
    positions = list(trace.tb_frame.f_code.co_positions())[trace.tb_lasti // 2]
    if None in positions:
        return None
    first, last, begin, end = positions
    lines = [linecache.getline(filename, number).encode() for number in range(first, last + 1)]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    try:
        node = ast.parse(b"".join(lines).decode().strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    return node if isinstance(node, ast.Call) else None


_UNKNOWN = object()


def _value(node: ast.expr, frame) -> object:
    """What *node* was in *frame*, if that can be found out without calling anything."""
    if any(isinstance(each, (ast.Call, ast.Await, ast.Yield, ast.NamedExpr, ast.Lambda)) for each in ast.walk(node)):
        return _UNKNOWN
    try:
        return eval(compile(ast.Expression(node), "<argument>", "eval"), {}, _NamesOf(frame))
    except Exception:
        return _UNKNOWN


class _NamesOf(dict):
    """The names visible in *frame*; its globals may be a mapping that looks further, which eval() would ignore."""

    def __init__(self, frame):
        super().__init__(frame.f_locals)
        self.further = frame.f_globals

    def __missing__(self, name):
        try:
            return self.further[name]
        except KeyError:
            return getattr(builtins, name)


# ---- what never ends ---------------------------------------------------------------------------------------------


class Stuck:
    """One process that had not ended in time: the *caller* of the answer or its child, and the *line* that it was
    in."""

    def __init__(self, is_caller: bool, loops: bool, line: str):
        self.is_caller, self.loops, self.line = is_caller, loops, line

    def in_words(self) -> str:
        """Such as: the caller waits in your line: os.wait()."""
        who = "the process that called it" if self.is_caller else "a child that it has forked"
        return f"{who} still {'runs' if self.loops else 'waits'} in your line: {self.line}"


def stuck_at(frame, filename: str, is_caller: bool, since: float) -> Stuck | None:
    """What this process is doing, according to the *frame* that a signal interrupted; None if that is not a line of
    *filename*."""
    while frame and frame.f_code.co_filename != filename:
        frame = frame.f_back
    if frame is None:
        return None
    used, passed = time.process_time(), time.monotonic() - since
    return Stuck(is_caller, used > max(0.05, 0.02 * passed), linecache.getline(filename, frame.f_lineno).strip())


def no_answer(call: str, seconds: float, stuck: list[Stuck]) -> str:
    """The sentence for an answer that took too long."""
    if not stuck:
        return f"{call} gave no answer within {seconds:g} s: does somebody wait for what never comes?"
    told = list(dict.fromkeys(each.in_words() for each in stuck))
    return f"{call} gave no answer within {seconds:g} s:\n  " + "\n  ".join(told[:4])
