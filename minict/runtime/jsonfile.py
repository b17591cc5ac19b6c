"""JSON without importing :mod:`json`, which takes 10 ms because it loads the regular expressions.

The two functions beneath :mod:`json` that are written in C do the work. They have no public name:
where they are missing, :mod:`json` itself is used, and only time is lost.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _Defaults:
    """The attributes of json.JSONDecoder() that the scanner reads: plain JSON, no extensions."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float
    memo: dict[str, str] = {}  # noqa: RUF012  the scanner's cache of keys


def loads(text: str) -> Any:
    """The value of the JSON *text*. Raises :class:`ValueError` when it is invalid. Source: RFC 8259."""
    try:
        from _json import make_scanner

        value, end = make_scanner(_Defaults)(text.strip(" \t\r\n"), 0)  # type: ignore[arg-type]
    except Exception:
        value, end = None, -1
    if end == len(text.strip(" \t\r\n")):
        return value
    import json  # it also has the better error messages

    return json.loads(text)


def dumps(value: object, compact: bool = False) -> str:
    """*value* as JSON text, indented by two spaces or on one line (*compact*), the keys in their given order.

    Source: RFC 8259.
    """
    from _json import encode_basestring_ascii

    return _dump(value, "" if compact else "\n", encode_basestring_ascii)


def _dump(value: object, newline: str, quoted: Callable[[str], str]) -> str:
    if isinstance(value, str):
        return quoted(value)
    if value is None or value is True or value is False:
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    inner, colon = (newline + "  ", ": ") if newline else ("", ":")
    if isinstance(value, dict):
        items = [f"{quoted(str(key))}{colon}{_dump(item, inner, quoted)}" for key, item in value.items()]
        return "{" + inner + ("," + inner).join(items) + newline + "}" if items else "{}"
    elements: Any = value
    items = [_dump(item, inner, quoted) for item in elements]
    return "[" + inner + ("," + inner).join(items) + newline + "]" if items else "[]"


def read(path: str) -> Any:
    """The value in the JSON file *path*. Raises :class:`OSError`, or :class:`ValueError` with the file's name.

    Source: RFC 8259.
    """
    with open(path, "rb", buffering=0) as file:
        data = file.read()
    try:
        return loads(data.decode())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None


def write(path: str, value: object) -> None:
    """Write *value* to the file *path*, completely or not at all: a reader never sees half of it.

    Raises :class:`OSError`. Source: rename(2), which replaces a file in one step.
    """
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(f"{dumps(value)}\n".encode())
    os.replace(temporary, path)
