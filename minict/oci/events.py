"""``events``: what a container uses, as lines of JSON, now and then or once."""

from __future__ import annotations

import time

from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError

from . import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minict.runtime.container import RuntimeContainer

    from .log import Log

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def events(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``events``: a line of numbers each interval until the container stops, and a line when it is out of memory.

    Source: runc-events(8).
    """
    container = record.find_whole(operands[0])
    interval = seconds(options["interval"] or "5s")
    if record.status(container.state) == "stopped":
        raise ContainerError(f"container not running: {container.id}")
    if options["stats"]:
        return tell("stats", container, numbers(container))
    kills = out_of_memory(container)
    while container.pid is not None:
        tell("stats", container, numbers(container))
        end = time.monotonic() + interval
        while container.pid is not None and time.monotonic() < end:
            time.sleep(min(0.1, interval))
            if out_of_memory(container) > kills:
                kills = out_of_memory(container)
                tell("oom", container, None)


def seconds(word: str) -> float:
    """The duration *word*, such as ``5s`` or ``100ms``. Raises :class:`ContainerError`. Source: Go's ParseDuration."""
    for unit in ("ms", "s", "m", "h"):
        digits = word.removesuffix(unit)
        if digits != word and digits.replace(".", "", 1).isdigit() and float(digits) > 0:
            return float(digits) * _UNITS[unit]
    raise ContainerError(f"invalid duration {word!r}: write a number above 0 and a unit, such as 5s or 100ms")


def tell(type: str, container: RuntimeContainer, data: dict[str, Any] | None) -> None:
    """Print one event."""
    event = {"type": type, "id": container.id, **({"data": data} if data is not None else {})}
    print(jsonfile.dumps(event, compact=True), flush=True)


def out_of_memory(container: RuntimeContainer) -> int:
    """How often the kernel has killed a process in it because its memory ran out. Source: cgroup-v2.rst, oom_kill."""
    return container.cgroup.stats("memory").get("memory", {}).get("oom_kills") or 0


def numbers(container: RuntimeContainer) -> dict[str, Any]:
    """The counters of the container's cgroup, named as in runc; times in nanoseconds. Source: runc, types/events.go."""
    found = container.cgroup.stats()
    cpu, memory, pids, io = (found.get(name, {}) for name in ("cpu", "memory", "pids", "io"))
    usage, kernel, user = (1000 * (cpu.get(f"{name}_us") or 0) for name in ("usage", "system", "user"))
    throttling = {
        "periods": cpu.get("periods") or 0,
        "throttledPeriods": cpu.get("throttled_periods") or 0,
        "throttledTime": 1000 * (cpu.get("throttled_us") or 0),
    }
    return {
        "cpu": {"usage": {"total": usage, "kernel": kernel, "user": user}, "throttling": throttling},
        "memory": {
            "cache": memory.get("file") or 0,
            "usage": {
                "limit": memory.get("limit") or 2**64 - 1,
                "usage": memory.get("usage") or 0,
                "max": memory.get("peak") or 0,
            },
            "swap": {"usage": memory.get("swap") or 0},
        },
        "pids": {"current": pids.get("current") or 0, "limit": pids.get("limit") or 0},
        "blkio": {"readBytes": io.get("read_bytes") or 0, "writeBytes": io.get("write_bytes") or 0},
    }
