"""Docker's ``--format``: the part of Go's templates that people use.

``{{.Name}}: {{range .Mounts}}{{.Source}} {{end}}`` is text with actions in braces.  A template is parsed into a tree of
small functions, each of which takes a :class:`Scope` (the current value of ``.`` and of the variables). A template is
never executed as Python.  The data are JSON values and functions: a function without parameters is called for its
value, one with parameters is a method, as in ``{{.Label "version"}}``.

Sources: Go's text/template; Docker's "Format command and log output".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from minict.runtime.errors import ContainerError

_ACTION = re.compile(r"""\{\{(-\s)?((?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|[^"`])*?)(\s-)?\}\}""")
_TOKEN = re.compile(
    r"""\s*(?: (?P<text>"(?:[^"\\\n]|\\.)*" | `[^`]*`) | (?P<number>[-+]?\d+(?:\.\d+)?(?![\w.]))
                        | (?P<variable>\$\w*) | (?P<field>\.[^\W\d]\w*) | (?P<dot>\.) | (?P<word>[^\W\d]\w*)
                        | (?P<sign>:=|[=|(),]) )""",
    re.VERBOSE,
)
_CONSTANTS = {"true": True, "false": False, "nil": None}


class Template:
    """A template. Raises :class:`ContainerError` for a syntax error."""

    def __init__(self, text: str):
        try:
            self._blocks = _Parser(text).parse()
        except RecursionError:
            raise mistake("blocks or brackets are nested too deeply") from None

    def render(self, data: Any) -> str:
        """The template filled with *data*. Raises :class:`ContainerError` if it uses something that does not exist."""
        scope = Scope(data)
        scope.variables["$"] = data
        return _body(self._blocks, scope)


class _Leave(Exception):
    """``break`` or ``continue``: ends a round of the innermost range; *text*: what the round has written so far."""

    def __init__(self, breaks: bool):
        super().__init__()
        self.breaks, self.text = breaks, ""


def _leave(breaks: bool):
    def run(scope: Scope) -> str:
        raise _Leave(breaks)

    return run


class Scope:
    """The value of ``.`` at a place of the template, and the variables declared there; *around* is the enclosing
    scope."""

    def __init__(self, dot: Any, around: Scope | None = None):
        self.dot, self.around = dot, around
        self.variables: dict[str, Any] = {}

    def holder(self, name: str) -> dict[str, Any]:
        """The dictionary that contains the variable *name*. Raises :class:`ContainerError`."""
        scope: Scope | None = self
        while scope:
            if name in scope.variables:
                return scope.variables
            scope = scope.around
        raise mistake(f"undefined variable {name}: declare it with {{{{{name} := …}}}}")

    def set(self, name: str, declares: bool, value: Any) -> str:
        """Declare the variable *name* here, or assign to it where it was declared. Returns the output of the
        action: nothing."""
        (self.variables if declares else self.holder(name))[name] = value
        return ""


def mistake(reason: str) -> ContainerError:
    return ContainerError("--format: " + reason.replace("\n", "\\n"))


# ---- from text to functions --------------------------------------------------------------------------------------


class _Parser:
    """Parses text and actions into a list of functions Scope -> str."""

    def __init__(self, text: str):
        self.pieces = self._split(text)
        self.place = 0
        self.ranges = 0  # how many of them are open at this place
        self.templates: dict[str, list] = {}  # those of define and block

    @staticmethod
    def _split(text: str) -> list[tuple[str, str]]:
        """("text", …) and ("action", …). A dash at a brace removes the white space outside."""
        pieces, end, trim = [], 0, False
        for found in _ACTION.finditer(text):
            before = text[end : found.start()]
            before = before.lstrip() if trim else before
            pieces.append(("text", before.rstrip() if found[1] else before))
            pieces.append(("action", found[2].strip()))
            end, trim = found.end(), bool(found[3])
        rest = text[end:].lstrip() if trim else text[end:]
        for piece in [rest, *(content for kind, content in pieces if kind == "text")]:
            if "{{" in piece:
                raise mistake(f"{piece[piece.index('{{') :][:40]!r} is an action without a closing '}}}}'")
        return [*pieces, ("text", rest)]

    def parse(self) -> list:
        blocks, end = self._blocks()
        if end:
            raise mistake(f"unexpected {{{{{end}}}}}")
        return blocks

    def _blocks(self, inside: str = "") -> tuple[list, str]:
        """Everything up to an ``end`` or ``else``, and that action; *inside*: the action that it belongs to."""
        blocks = []
        while self.place < len(self.pieces):
            kind, content = self.pieces[self.place]
            self.place += 1
            if kind == "text":
                blocks.append(lambda scope, content=content: content)
                continue
            if content.startswith("/*") and content.endswith("*/"):
                continue
            word = _first_word(content)
            if word in ("end", "else"):
                return blocks, content
            blocks.append(self._block(word, content))
        if inside:
            raise mistake(f"{{{{{inside}}}}} has no {{{{end}}}}")
        return blocks, ""

    def _block(self, word: str, content: str):
        """The action *content*, with everything up to its end."""
        if word in ("if", "with", "range"):
            return self._control(word, content.removeprefix(word), content)
        if word in ("break", "continue"):
            if content != word or not self.ranges:
                raise mistake(f"{{{{{content}}}}} is not inside a range")
            return _leave(word == "break")
        if word in ("define", "template", "block"):
            return self._named(word, content)
        names, declares, value = _Action(content, content).statement()
        if not names:
            return lambda scope: text_of(value(scope))
        return lambda scope: scope.set(names[0], declares, value(scope))

    def _named(self, word: str, content: str):
        """``define "name"``, ``template "name" .A``, and ``block "name" .A``, which is both."""
        found = _TOKEN.match(content, len(word))
        if not found or found.lastgroup != "text":
            raise mistake(f"{{{{{content}}}}}: the name of a template is missing, in quotes")
        action = _Action(content[found.end() :], content)
        name = _unquoted(found["text"], action)
        value = action.statement()[2] if len(action.tokens) > 1 else lambda scope: None
        if word != "template":
            around, self.ranges = self.ranges, 0
            body, end = self._blocks(content)
            self.ranges = around
            if end != "end":
                raise mistake(f"{{{{{content}}}}} has an {{{{{end}}}}}")
            self.templates[name] = body
        if word == "define":
            return lambda scope: ""

        def run(scope: Scope) -> str:
            if name not in self.templates:
                raise mistake(f"there is no template {name!r}: {{{{define}}}} makes one")
            inner = Scope(value(scope))
            inner.variables["$"] = inner.dot
            return _body(self.templates[name], inner)

        return run

    def _control(self, word: str, head: str, content: str):
        """``if``, ``with`` and ``range``, with their ``else``."""
        names, declares, value = _Action(head, content).statement(2 if word == "range" else 1)
        self.ranges += word == "range"
        body, end = self._blocks(content)
        self.ranges -= word == "range"
        otherwise: list = []
        if end.startswith("else "):  # {{else if …}} is an if inside the else, with the same end
            inner = end.removeprefix("else ").strip()
            otherwise = [self._block(_first_word(inner), inner)]
        elif end == "else":
            otherwise, end = self._blocks(content)
            if end != "end":
                raise mistake(f"{{{{{content}}}}} has two {{{{else}}}}")
        run = {"if": _if, "with": _with, "range": _range}[word]
        return lambda scope: run(scope, names, declares, value, body, otherwise)


def _first_word(content: str) -> str:
    """``range`` in ``range .Mounts``, and also in ``range.Mounts``."""
    return content[: len(content) - len(content.lstrip("abcdefghijklmnopqrstuvwxyz"))]


class _Action:
    """The tokens of one action: ``$x := .A | join ","``."""

    def __init__(self, text: str, whole: str):
        self.whole = whole
        self.tokens: list[tuple[str, str, bool]] = []
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if not found:
                raise mistake(f"{text[place:].strip()[:30]!r} in {{{{{whole}}}}} is not valid syntax")
            blank = found[0][:1].isspace() or place == 0
            kind = found.lastgroup or ""
            self.tokens.append((kind, found[kind], blank))
            place = found.end()
        self.tokens.append(("end", "", True))

    def next(self, *values: str) -> str | None:
        """Take the next token if it is one of *values*."""
        return self.tokens.pop(0)[1] if self.tokens[0][0] in ("sign", "word") and self.tokens[0][1] in values else None

    def wrong(self, reason: str) -> ContainerError:
        return mistake(f"{{{{{self.whole}}}}}: {reason}")

    def statement(self, most: int = 1):
        """(variables, whether they are declared, the pipeline) of ``$k, $v := .Labels``, or of ``.Labels`` alone."""
        names = []
        kinds = [(kind, value) for kind, value, _ in self.tokens]
        for count in range(most, 0, -1):
            shape = [kind if kind == "variable" else value for kind, value in kinds[: 2 * count]]
            if shape[:-1] == ["variable", ","] * (count - 1) + ["variable"] and shape[-1] in (":=", "="):
                names, declares = [value for kind, value in kinds[: 2 * count] if kind == "variable"], shape[-1] == ":="
                del self.tokens[: 2 * count]
                break
        value = self.pipeline()
        if self.tokens[0][0] != "end":
            raise self.wrong(f"unexpected {self.tokens[0][1]!r}")
        return names, bool(names) and declares, value

    def pipeline(self):
        """``A | f x | g``: each value becomes the last argument of the next function."""
        value = self.command(None)
        while self.next("|"):
            value = self.command(value)
        return value

    def command(self, piped):
        """An operand, or a function with its arguments."""
        kind, name, _ = self.tokens[0]
        if kind == "word" and name not in _CONSTANTS:
            self.tokens.pop(0)
            if name not in FUNCTIONS:
                raise self.wrong(f"unknown function {name!r}: use one of {', '.join(sorted(FUNCTIONS))}")
            arguments = self.arguments() + ([piped] if piped else [])
            return lambda scope: call(name, arguments, scope)
        operand = self.operand()
        arguments = self.arguments() + ([piped] if piped else [])
        if not arguments:
            return lambda scope: operand(scope, [])
        if kind not in ("field", "variable", "sign"):
            raise self.wrong(f"{name!r} is a value and takes no arguments: begin with a function")
        return lambda scope: operand(scope, [argument(scope) for argument in arguments])

    def arguments(self) -> list:
        found = []
        while self.tokens[0][0] != "end" and not (self.tokens[0][0] == "sign" and self.tokens[0][1] != "("):
            operand = self.operand()
            found.append(lambda scope, operand=operand: operand(scope, []))
        return found

    def operand(self):
        """``.A.B``, ``$x.A``, ``"text"``, ``12``, ``(pipeline).A``: a function of the scope and of the last field's
        arguments."""
        fields = [self.tokens[0][1][1:]] if self.tokens[0][0] == "field" else []
        start = self._start()
        while self.tokens[0][0] == "field" and not self.tokens[0][2]:
            fields.append(self.tokens.pop(0)[1][1:])
        return lambda scope, arguments: follow(start(scope), fields, arguments)

    def _start(self):
        """The beginning of an operand, before its fields."""
        kind, word, _ = self.tokens.pop(0)
        if kind in ("dot", "field"):
            return lambda scope: scope.dot
        if kind == "variable":
            return lambda scope: scope.holder(word)[word]
        if word == "(":
            return self._bracket()
        if kind == "text":
            constant = _unquoted(word, self)
        elif kind == "number":
            constant = float(word) if "." in word else int(word)
        elif word in _CONSTANTS:
            constant = _CONSTANTS[word]
        elif word in FUNCTIONS:
            raise self.wrong(f"put {word} and its arguments into parentheses")
        else:
            raise self.wrong(f"unexpected {word!r}" if word else "a value is missing")
        return lambda scope: constant

    def _bracket(self):
        inner = self.pipeline()
        if not self.next(")"):
            raise self.wrong("a ')' is missing")
        return inner


def _unquoted(word: str, action: _Action) -> str:
    if word[0] == "`":
        return word[1:-1]
    try:
        return json.loads(word)
    except ValueError:
        raise action.wrong(f"{word} has an unknown escape sequence") from None


# ---- what the actions do -----------------------------------------------------------------------------------------


def _body(blocks: list, scope: Scope) -> str:
    texts = []
    try:
        for block in blocks:
            texts.append(block(scope))
    except _Leave as leave:
        leave.text = "".join(texts) + leave.text
        raise
    except RecursionError:
        raise mistake("a template calls itself without an end") from None
    return "".join(texts)


def _inner(scope: Scope, names: list, declares: bool, values: tuple) -> Scope:
    """The scope of a block: variables declared in it are unknown after it, assignments to outer ones last."""
    inner = Scope(scope.dot, scope)
    for name, value in zip(names, values):
        inner.set(name, declares, value)
    return inner


def _if(scope, names, declares, value, body, otherwise) -> str:
    found = value(scope)
    return _body(body if found else otherwise, _inner(scope, names, declares, (found,)))


def _with(scope, names, declares, value, body, otherwise) -> str:
    found = value(scope)
    inner = _inner(scope, names, declares, (found,))
    return _body(body, Scope(found, inner)) if found else _body(otherwise, inner)


def _range(scope, names, declares, value, body, otherwise) -> str:
    found = value(scope)
    if isinstance(found, dict):
        pairs = sorted(found.items())
    elif isinstance(found, (list, tuple)):
        pairs = list(enumerate(found))
    elif found is None:
        pairs = []
    else:
        raise mistake(f"range needs a list or a map, not {text_of(found)[:30]!r}")
    lines = []
    for key, item in pairs:
        item = _called(item, [], str(key))
        inner = _inner(scope, names, declares, (key, item) if len(names) == 2 else (item,))
        try:
            lines.append(_body(body, Scope(item, inner)))
        except _Leave as leave:
            lines.append(leave.text)
            if leave.breaks:
                break
    return "".join(lines) if pairs else _body(otherwise, _inner(scope, [], False, ()))


class _NoList(list):
    """null in JSON: for Go's templates an empty list, unless the field is in :data:`_MAPS` or :data:`_POINTERS`."""


class _NoMap(dict):
    """null in JSON, for a field in :data:`_MAPS`: an empty map."""


_MAPS = frozenset(("ExposedPorts", "Labels", "Options", "Tmpfs", "Volumes"))
_POINTERS = frozenset(("Health", "Healthcheck", "MemorySwappiness", "PidsLimit"))


def follow(value: Any, fields: list[str], arguments: list[Any]) -> Any:
    """``value.A.B``; *arguments* go to the last of the *fields*, which is then a method.

    Raises :class:`ContainerError` if a field does not exist.  Where users choose the keys, such as names of labels,
    ``index .Labels "name"`` finds nothing without an error.
    """
    for number, field in enumerate(fields):
        if value is None:
            raise mistake(f"there is no value before .{field}: test for it with 'if' or 'with'")
        if not isinstance(value, dict):
            raise mistake(f"{text_of(value)[:40]!r} has no fields, such as .{field}")
        if field not in value and field in getattr(value, "optional", ()):
            value = None
            continue
        if field not in value:
            known = ", ".join(sorted(map(str, value))) or "no fields"
            raise mistake(f"unknown field .{field}: use one of {known}")
        value = _called(value[field], arguments if number == len(fields) - 1 else [], field)
    if value is None and fields and fields[-1] not in _POINTERS:
        value = _NoMap() if fields[-1] in _MAPS else _NoList()
    if arguments and not fields:
        raise mistake(f"{text_of(value)[:40]!r} is a value and takes no arguments")
    return value


def _called(value, arguments: list, name: str):
    if not callable(value):
        if arguments:
            raise mistake(f".{name} is a value and takes no arguments")
        return value
    try:
        return value(*arguments)
    except TypeError:
        raise mistake(f".{name} can't be called with {len(arguments)} arguments") from None


def text_of(value: Any) -> str:
    """A value as Go prints it: ``true``, ``[a b]``, ``map[k:v]``."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return (
            "map["
            + " ".join(
                f"{key}:{text_of(_called(item, [], key))}"
                for key, item in sorted(value.items())
                if not _is_method(item)
            )
            + "]"
        )
    if isinstance(value, (list, tuple)):
        return "[" + " ".join("<nil>" if item is None else text_of(item) for item in value) + "]"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else repr(value)
    return str(value)


# ---- the functions -----------------------------------------------------------------------------------------------


def call(name: str, arguments: list[Callable[[Scope], Any]], scope: Scope) -> Any:
    """Call a function of :data:`FUNCTIONS`. ``and`` and ``or`` evaluate no more arguments than they need."""
    if name in ("and", "or"):
        if not arguments:
            raise mistake(f"{name} needs arguments")
        for argument in arguments:
            result = argument(scope)
            if bool(result) == (name == "or"):
                break
        return result
    values = [argument(scope) for argument in arguments]
    try:
        return FUNCTIONS[name](*values)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        shown = ", ".join(text_of(value)[:30] for value in values)
        reason = f": {error}" if isinstance(error, IndexError) else ""
        raise mistake(f"{name} can't be called with ({shown}){reason}") from None


def _is_method(value) -> bool:
    """Whether *value* is a function with parameters, as in ``{{.Label "x"}}``, and so can't be shown as a field."""
    return callable(value) and (not hasattr(value, "__code__") or value.__code__.co_argcount > 0)


def plain(value: Any) -> Any:
    """*value* without functions, for JSON."""
    if callable(value):
        return plain(value())
    if isinstance(value, (_NoList, _NoMap)):
        return None
    if hasattr(value, "as_json"):  # it has other names in JSON
        return plain(value.as_json)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if not _is_method(item)}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _index(value, *keys):
    """An element of a list or a map; a missing key of a map is empty and not an error."""
    for key in keys:
        if isinstance(value, dict):
            value = _called(value.get(key), [], str(key))
        elif value is not None:
            if isinstance(key, bool) or not isinstance(key, int) or not 0 <= key < len(value):
                raise IndexError(f"index out of range: it has {len(value)} elements, counted from 0")
            value = value[key]
    return "" if value is None else value


def _slice(value, first: int = 0, end: int | None = None):
    return value[first:end]


def _comparable(one, other) -> None:
    kinds = [
        bool if isinstance(each, bool) else float if isinstance(each, (int, float)) else type(each)
        for each in (one, other)
    ]
    if kinds[0] is not kinds[1] and None not in (one, other):
        raise TypeError


def _equal(one, other, *others) -> bool:
    """Whether *one* equals any of the others."""
    for each in (other, *others):
        _comparable(one, each)
    return one in (other, *others)


def _ordered(test):
    def compare(one, other):
        _comparable(one, other)
        return test(one, other)

    return compare


def _printf(form: str, *values) -> str:
    """Go's printf with its verbs: s, v, q, x, X, t, T, d, b, o, c, U, e, E, f, F, g, G and %%."""
    waiting = list(values)

    def one(found) -> str:
        flags, verb = found[1], found[2]
        if verb == "%":
            return "%"
        if not waiting:
            return f"%!{verb}(MISSING)"
        value = waiting.pop(0)
        if verb in "sv":
            return f"%{flags}s" % text_of(value)
        if verb == "T":
            return f"%{flags}s" % _type_of(value)
        if verb in "xX" and isinstance(value, str):
            digits = value.encode().hex()
            return f"%{flags}s" % (digits.upper() if verb == "X" else digits)
        if verb in "bcU":
            shown = {"b": "{:b}", "c": "{:c}", "U": "U+{:04X}"}[verb].format(int(value))
            return f"%{flags}s" % shown
        if verb == "t":
            return f"%{flags}s" % text_of(bool(value))
        return (
            f"%{flags}s" % json.dumps(text_of(value), ensure_ascii=False) if verb == "q" else f"%{flags}{verb}" % value
        )

    result = re.sub(r"%([-+# 0]*\d{0,3}(?:\.\d{1,3})?)([sqdvtTxXbocUeEfFgG%])", one, form)
    return result + (f"%!(EXTRA {', '.join(map(text_of, waiting))})" if waiting else "")


def _print(*values) -> str:
    """The values side by side, with a blank between two values if neither is a text."""
    result = ""
    for number, value in enumerate(values):
        blank = number and not isinstance(value, str) and not isinstance(values[number - 1], str)
        result += " " * bool(blank) + text_of(value)
    return result


def _type_of(value: Any) -> str:
    """The name of its type in Go."""
    if value is None:
        return "<nil>"
    kinds = {bool: "bool", int: "int", float: "float64", str: "string"}
    return kinds.get(type(value)) or ("map[string]interface {}" if isinstance(value, dict) else "[]interface {}")


def _escaped(letters: dict[str, str]):
    """A function that writes its values side by side, as print does, with *letters* replaced."""
    return lambda *values: "".join(letters.get(letter, letter) for letter in _print(*values))


def _js(*values) -> str:
    """The text as it stands in a string of JavaScript."""
    plain_letters = {"\\": "\\\\", "'": "\\'", '"': '\\"'}

    def one(letter: str) -> str:
        if letter in plain_letters:
            return plain_letters[letter]
        return f"\\u{ord(letter):04X}" if letter in "<>&=" or not letter.isprintable() else letter

    return "".join(map(one, _print(*values)))


def _urlquery(*values) -> str:
    from urllib.parse import quote_plus

    return quote_plus(_print(*values))


def _call(function, *values):
    if not callable(function):
        raise IndexError(f"{text_of(function)[:30]!r} is not a function")
    return function(*values)


FUNCTIONS: dict[str, Any] = {
    "json": lambda value: json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")),
    "and": None,
    "or": None,  # see call
    "not": lambda value: not value,
    "index": _index,
    "slice": _slice,
    "len": len,
    "eq": _equal,
    "ne": lambda one, other: not _equal(one, other),
    "lt": _ordered(lambda one, other: one < other),
    "le": _ordered(lambda one, other: one <= other),
    "gt": _ordered(lambda one, other: one > other),
    "ge": _ordered(lambda one, other: one >= other),
    "join": lambda items, separator: separator.join(map(text_of, items)),
    "split": lambda text, separator: text.split(separator),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text.title(),
    "pad": lambda text, before, after: " " * before + text + " " * after if text else text,
    "truncate": lambda text, length: text[:length],
    "html": _escaped({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"}),
    "js": _js,
    "urlquery": _urlquery,
    "call": _call,
    "print": _print,
    "printf": _printf,
    "println": lambda *values: " ".join(map(text_of, values)) + "\n",
}
