"""JSON without the import of :mod:`json`, which loads the regular expressions and takes 10 ms, twice a container's
birth.

The two functions beneath :mod:`json` that are written in C do the work.  They have no public name:
where they are missing, :mod:`json` itself is used, and only the time is lost.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _Defaults:
    """What json.JSONDecoder() would tell the scanner: plain JSON, nothing special."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float
    memo: dict[str, str] = {}  # noqa: RUF012  the name and the type that the scanner asks for


# make_scanner() takes any object with these attributes
_SETTINGS: Any = _Defaults


def loads(text: str) -> Any:
    """The value that the JSON *text* stands for.  Raises :class:`ValueError` when it is no JSON."""
    try:
        from _json import make_scanner

        value, end = make_scanner(_SETTINGS)(text.strip(" \t\r\n"), 0)
    except Exception:
        value, end = None, -1
    if end == len(text.strip(" \t\r\n")):
        return value
    import json  # it also has the better words for what is wrong with the text

    return json.loads(text)


def dumps(value: object) -> str:
    """*value* as JSON text, indented by two spaces, the keys in their own order."""
    from _json import encode_basestring_ascii

    return _dump(value, "\n", encode_basestring_ascii)


def _dump(value: Any, newline: str, quoted: Callable[[str], str]) -> str:
    if isinstance(value, str):
        return quoted(value)
    if value is None or value is True or value is False:
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    inner = newline + "  "
    if isinstance(value, dict):
        items = [f"{quoted(str(key))}: {_dump(item, inner, quoted)}" for key, item in value.items()]
        return "{" + inner + ("," + inner).join(items) + newline + "}" if items else "{}"
    items = [_dump(item, inner, quoted) for item in value]
    return "[" + inner + ("," + inner).join(items) + newline + "]" if items else "[]"


def read(path: str) -> Any:
    """The value in the JSON file *path*.  Raises :class:`OSError`, or :class:`ValueError` naming the file."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        return loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None


def write(path: str, value: object) -> None:
    """Put *value* into the file *path*, all of it or, whatever happens, nothing: a reader never sees a half."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(dumps(value) + "\n")
    os.replace(temporary, path)
