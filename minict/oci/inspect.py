"""``state``, ``list`` and ``ps``: show the containers and their processes."""

from __future__ import annotations

import os

from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError

from . import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .log import Log


def state(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``state``: the state document as JSON. Source: runtime.md, "Query State"."""
    print(jsonfile.dumps(record.document(record.find(operands[0]))))


def list_all(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``list``: a table, JSON, or only the ids. Source: runc-list(8)."""
    documents = []
    for container in record.all_containers():
        try:
            documents.append(record.document(container))
        except ContainerError:
            pass  # deleted meanwhile
    if options["quiet"]:
        print("".join(f"{each['id']}\n" for each in documents), end="")
    elif check_format(options["format"]) == "json":
        print(jsonfile.dumps(documents or None, compact=True))
    else:
        names = ("id", "pid", "status", "bundle", "created", "owner")
        rows = [[name.upper() for name in names], *([str(each[name]) for name in names] for each in documents)]
        print(table(rows), end="")


def check_format(format: str | None) -> str:
    """``table`` or ``json``. Raises :class:`ContainerError` for another *format*."""
    if format not in (None, "table", "json"):
        raise ContainerError(f"invalid format {format!r}: use table or json")
    return format or "table"


def table(rows: list[list[str]]) -> str:
    """*rows* as columns, as Go's tabwriter aligns them in runc: at least 12 wide, with three blanks between."""
    widths = [max(12, *(len(row[column]) + 3 for row in rows)) for column in range(len(rows[0]) - 1)]
    lines = ["".join(f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0])) for row in rows]
    return "\n".join(lines) + "\n"


def ps(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``ps``: the pids as JSON, or the lines of ps(1) for them. Source: runc-ps(8)."""
    container = record.find_whole(operands[0])
    pids = sorted(container.cgroup.processes())
    if check_format(options["format"]) == "json":
        return print(jsonfile.dumps(pids or None, compact=True))
    import subprocess

    done = subprocess.run(["ps", *(operands[1:] or ["-ef"])], capture_output=True, text=True, env={**os.environ})
    head, *lines = done.stdout.splitlines() or [""]
    if done.returncode or "PID" not in head.split():
        raise ContainerError(f"ps {' '.join(operands[1:])} fails, or prints no column PID: {done.stderr.strip()}")
    column = head.split().index("PID")
    print(head)
    for line in lines:
        if int(line.split()[column]) in pids:
            print(line)
