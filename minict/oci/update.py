"""``update``: other limits for a container, by options or by a part of a specification."""

from __future__ import annotations

import sys

from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError
from minict.runtime.spec import Resources

from . import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .log import Log

# option -> section and field of linux.resources; the option's value is a number, BYTES, or a list of processors
_FIELDS = {
    "blkio_weight": ("blockIO", "weight"),
    "cpu_period": ("cpu", "period"),
    "cpu_quota": ("cpu", "quota"),
    "cpu_burst": ("cpu", "burst"),
    "cpu_rt_period": ("cpu", "realtimePeriod"),
    "cpu_rt_runtime": ("cpu", "realtimeRuntime"),
    "cpu_share": ("cpu", "shares"),
    "cpu_idle": ("cpu", "idle"),
    "cpuset_cpus": ("cpu", "cpus"),
    "cpuset_mems": ("cpu", "mems"),
    "kernel_memory": ("memory", "kernel"),
    "kernel_memory_tcp": ("memory", "kernelTCP"),
    "memory": ("memory", "limit"),
    "memory_reservation": ("memory", "reservation"),
    "memory_swap": ("memory", "swap"),
    "pids_limit": ("pids", "limit"),
}
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def update(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``update``: write the limits that are given; others stay. Source: runc-update(8)."""
    container = record.find_whole(operands[0])
    if record.status(container.state) == "stopped":
        raise ContainerError(f"container not running: {container.id}")
    if options["l3_cache_schema"] or options["mem_bw_schema"]:
        raise ContainerError("minict-oci does not change shares of the cache (Intel RDT): write to /sys/fs/resctrl")
    if options["resources"]:
        values = (
            jsonfile.loads(sys.stdin.read()) if options["resources"] == "-" else jsonfile.read(options["resources"])
        )
    else:
        values = from_options(options)
    resources = Resources.from_dict(values)
    container.cgroup.limit(resources)
    if "scope" in dict(container.state.ledger()):
        from minict.runtime import systemd

        systemd.keep_limits(container.cgroup)
    remember(container, values)


def from_options(options: dict[str, Any]) -> dict[str, Any]:
    """The *options* as the object linux.resources of a specification. Raises :class:`ContainerError`."""
    values: dict[str, Any] = {}
    for name, (section, field) in _FIELDS.items():
        if options[name] is not None:
            word = options[name]
            value = word if field in ("cpus", "mems") else number(name, word, in_bytes=section == "memory")
            values.setdefault(section, {})[field] = value
    if options["memory_check_before_update"]:
        values.setdefault("memory", {})["checkBeforeUpdate"] = True
    return values


def number(name: str, word: str, in_bytes: bool) -> int:
    """The *word* behind an option: -1, 4096, 64m. Raises :class:`ContainerError`. Source: go-units."""
    digits = word.lower().removesuffix("b").removesuffix("i") if in_bytes else word
    unit = digits[-1:] if in_bytes and digits[-1:].isalpha() else ""
    digits = digits.removesuffix(unit).strip()
    if not digits.removeprefix("-").isdigit() or unit not in _UNITS:
        raise ContainerError(f"invalid value --{name.replace('_', '-')} {word!r}: write a whole number")
    return int(digits) * _UNITS[unit]


def remember(container: Any, values: dict[str, Any]) -> None:
    """Keep the new limits in the container's spec, section by section, for those who read it later."""
    path = container.state.path("config.json")
    spec = jsonfile.read(path)
    kept = spec.setdefault("linux", {}).setdefault("resources", {})
    for section, fields in values.items():
        kept[section] = {**kept.get(section, {}), **fields} if isinstance(fields, dict) else fields
    jsonfile.write(path, spec)
