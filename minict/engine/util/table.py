"""Output for people: aligned tables, sizes and ages in words, as Docker writes them.

A list of things is a list of rows, each a dictionary with the field names of Docker's ``--format``.  A value that is
expensive to find out may be a function without arguments; it is called when the field is shown.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def show(
    rows: list[dict],
    headings: Mapping[str, object],
    columns: list[str],
    format: str | None = None,
    quiet: str | None = None,
) -> str:
    """Format a list.

    *headings*: the heading of each field; for a field that is a method, a function of its argument. *columns*: the
    fields that are shown by default.  *quiet*: the only field that is shown (``-q``). *format*: the value of
    ``--format``: ``json``, ``table``, or a template (:mod:`minict.engine.util.gotemplate`), with ``table`` before it
    for aligned columns.

    Raises :class:`minict.runtime.errors.ContainerError` for an invalid template.
    """
    if format == "json":
        import json

        fields = [key for key, heading in headings.items() if isinstance(heading, str)]  # the other fields are methods
        return "".join(json.dumps({key: value_of(row[key]) for key in fields}) + "\n" for row in rows)
    words = (format or "table").strip(" ")
    if quiet and words == "table":
        return "".join(f"{value_of(row[quiet])}\n" for row in rows)
    if words == "table":
        return aligned(
            [
                [str(headings[column]) for column in columns],
                *([str(value_of(row[column])) for column in columns] for row in rows),
            ]
        )
    from .gotemplate import Template

    as_table = words.startswith("table ")
    template = Template(words.removeprefix("table ").strip(" ").replace("\\t", "\t").replace("\\n", "\n"))
    lines = [template.render(row) for row in rows]
    if as_table:
        return aligned([line.split("\t") for line in [template.render(headings), *lines]])
    return "".join(f"{line}\n" for line in lines)


def value_of(value: Any) -> Any:
    """The value of a field: call it if it is a function."""
    return value() if callable(value) else value


def aligned(lines: list[list[str]], least: int = 10) -> str:
    """Columns that are three characters wider than their widest cell, and at least *least*; the last one is not
    padded."""
    widths: dict[int, int] = {}
    for line in lines:
        for number, cell in enumerate(line[:-1]):
            widths[number] = max(widths.get(number, least), len(cell) + 3)
    return "".join(
        "".join([*(f"{cell:<{widths[n]}}" for n, cell in enumerate(line[:-1])), *line[-1:]]) + "\n" for line in lines
    )


# ---- quantities in words -----------------------------------------------------------------------------------------


def size(number: float, digits: int = 3) -> str:
    """Bytes with decimal units and *digits* digits: ``187MB``, ``1.02kB``. Source: docker/go-units, HumanSize."""
    return _scaled(number, 1000, _DECIMAL, digits)


def binary_size(number: float, digits: int = 4) -> str:
    """Bytes with binary units, as memory is counted: ``1.445MiB``.  Source: docker/go-units, BytesSize."""
    return _scaled(number, 1024, _BINARY, digits)


def _scaled(number: float, base: int, units: tuple[str, ...], digits: int) -> str:
    power = 0
    while number >= base and power < len(units) - 1:
        number, power = number / base, power + 1
    text = f"{number:.{digits}g}"
    return (f"{number:.0f}" if "e" in text else text) + units[power]  # %g formats 999.9 with three digits as 1e+03


def duration(seconds: float) -> str:
    """A duration in words: ``About a minute``, ``3 hours``. Source: docker/go-units, HumanDuration."""
    if seconds < 1:
        return "Less than a second"
    minutes, hours = int(seconds / 60), int(seconds / 3600 + 0.5)
    if seconds < 60:
        return f"{int(seconds)} second" + "s" * (seconds >= 2)
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for unit, days, limit in (("days", 1, 14), ("weeks", 7, 60), ("months", 30, 2 * 365)):
        if hours < 24 * limit:
            return f"{hours // (24 * days)} {unit}"
    return f"{hours // (24 * 365)} years"


def ago(moment: float, now: float | None = None) -> str:
    """How long before *now* (seconds since 1970) *moment* was: ``3 minutes ago``."""
    return f"{duration((time.time() if now is None else now) - moment)} ago"


def date(moment: float) -> str:
    """A point in time in the format of ``CreatedAt``: ``2026-11-25 15:26:00 +0000 UTC``, in the zone of this
    machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(moment))


def status(
    word: str,
    *,
    started: float = 0,
    finished: float = 0,
    exit_code: int = 0,
    health: str | None = None,
    now: float | None = None,
) -> str:
    """The status that ``ps`` shows for a container in state *word*: ``Up 2 hours (healthy)``, ``Exited (137) 5 seconds
    ago``.

    *started* and *finished*: seconds since 1970.  *health*: starting, healthy, unhealthy or None.
    """
    if word in ("running", "paused"):
        since = duration((time.time() if now is None else now) - started)
        note = "Paused" if word == "paused" else "health: starting" if health == "starting" else health
        return f"Up {since}" + (f" ({note})" if note and note != "none" else "")
    if word in ("exited", "restarting"):  # if the monitor was killed, the time of the end is unknown
        return f"{word.title()} ({exit_code})" + (f" {ago(finished, now)}" if finished else "")
    return word.title()


def shortened(text: str, length: int) -> str:
    """*text*, cut to at most *length* characters, with an ellipsis if it was longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def quoted(text: str) -> str:
    """*text* in double quotes on one line, with everything else escaped: a command that others wrote must not move
    the cursor."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    letters = (escapes.get(letter) or (letter if letter.isprintable() else _escape(ord(letter))) for letter in text)
    return f'"{"".join(letters)}"'


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


# ---- in a notebook -----------------------------------------------------------------------------------------------


def html(rows: list[dict], caption: str = "") -> str:
    """The rows as an HTML table for ``_repr_html_``: one column per key, every value escaped."""
    from html import escape

    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"<caption>{escape(caption)}</caption>"] if caption else []
    lines += ["<tr>" + "".join(f"<th>{escape(str(column))}</th>" for column in columns) + "</tr>"]
    for row in rows:
        cells = (str(value_of(row.get(column, ""))) for column in columns)
        lines.append("<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in cells) + "</tr>")
    return f"<table>{''.join(lines)}</table>"


def html_object(fields: dict, caption: str = "") -> str:
    """One object for ``_repr_html_``: a line for each of its *fields*, under the *caption*; every value escaped."""
    return html([{"": key, caption or " ": value} for key, value in fields.items()])
