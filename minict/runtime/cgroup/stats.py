"""What a group has used: the counters of both cgroup versions under the same names."""

from __future__ import annotations

import os

from . import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .files import Group

    Counters = dict[str, int | None]


def stats(group: Group, *controllers: str) -> dict[str, Counters]:
    """What the group has used: one dictionary for each controller, or for these *controllers* only.

    The keys are the same in both versions. Times are in microseconds, sizes in bytes. A ``limit`` of None means
    unlimited. A missing controller has no key, and a number that this kernel does not count is None.
    Source: cgroup-v2.rst; the kernel's Documentation/admin-guide/cgroup-v1/.
    """
    counters = {"cpu": _cpu_stats, "memory": _memory_stats, "pids": _pids_stats, "io": _io_stats}
    found = {name: counters[name](group) for name in controllers or counters}
    return {name: values for name, values in found.items() if values is not None}


def _directory(group: Group, controller: str) -> tuple[str | None, bool]:
    """(the controller's directory or None, whether it is of cgroup v2)."""
    directory = group.directories.get(controller)
    if directory is not None and not os.path.isdir(directory):
        directory = None
    return directory, directory is not None and group.is_v2(directory)


def _cpu_stats(group: Group) -> Counters | None:
    """v2 has all in one file. v1 counts the time in the controller cpuacct, and the effect of the quota in cpu."""
    directory, v2 = _directory(group, "cpu")
    if directory is None:
        return None
    stat = files.read_flat_keyed(f"{directory}/cpu.stat")
    if v2:
        times = {f"{key}_us": stat.get(f"{key}_usec") for key in ("usage", "user", "system", "throttled")}
    else:
        accounts, _ = _directory(group, "cpuacct")
        names = [f"{accounts}/cpuacct.usage{side}" for side in ("", "_user", "_sys")]
        clocks = [files.number(files.read_if_there(name)) for name in names]
        times = {**_cpu_times(*clocks), "throttled_us": stat.get("throttled_time", 0) // 1000}
    return {**times, "periods": stat.get("nr_periods"), "throttled_periods": stat.get("nr_throttled")}


def _memory_stats(group: Group) -> Counters | None:
    """usage: all memory, including the file cache; other tools subtract ``inactive_file``."""
    directory, v2 = _directory(group, "memory")
    if directory is None:
        return None
    stat = files.read_flat_keyed(f"{directory}/memory.stat")

    def number(file: str) -> int | None:
        return files.number(files.read_if_there(f"{directory}/memory.{file}"))

    if v2:
        result = {
            "usage": number("current"),
            "limit": number("max"),
            "peak": number("peak"),
            "oom_kills": group.oom_kills(),
            "swap": number("swap.current"),
            "swap_limit": number("swap.max"),
        }
        return {**result, **{key: stat.get(key) for key in ("anon", "file", "inactive_file")}}
    limit, together = _v1_limit(number("limit_in_bytes")), _v1_limit(number("memsw.limit_in_bytes"))
    return {
        "usage": number("usage_in_bytes"),
        "limit": limit,
        "peak": number("max_usage_in_bytes"),
        "oom_kills": group.oom_kills(),
        "swap": stat.get("total_swap"),
        "swap_limit": None if limit is None or together is None else together - limit,
        "anon": stat.get("total_rss"),
        "file": stat.get("total_cache"),
        "inactive_file": stat.get("total_inactive_file"),
    }


def _pids_stats(group: Group) -> Counters | None:
    directory, _ = _directory(group, "pids")
    if directory is None:
        return None
    return {
        "current": files.number(files.read_if_there(f"{directory}/pids.current")),
        "limit": files.number(files.read_if_there(f"{directory}/pids.max")),
    }


def _io_stats(group: Group) -> Counters | None:
    """The sum over all block devices. v1: a line for each number; v2: a line for each device with all its numbers.

    v1 counts only what a process itself reads or writes (reads, O_DIRECT, fsync); what the page
    cache writes later is charged to the root group. Since Linux 6.10 it counts only on disks for which some
    group has a throttle. v2 charges every page to its owner.
    """
    directory, v2 = _directory(group, "io" if "io" in group.directories else "blkio")
    if directory is None:
        return None
    read_bytes = write_bytes = 0
    if v2:
        for line in (files.read_if_there(f"{directory}/io.stat") or "").splitlines():
            values = dict(word.split("=") for word in line.split() if "=" in word)
            read_bytes += int(values.get("rbytes", 0))
            write_bytes += int(values.get("wbytes", 0))
    else:
        for line in (files.read_if_there(f"{directory}/blkio.throttle.io_service_bytes_recursive") or "").splitlines():
            words = line.split()
            if words[1:2] == ["Read"]:
                read_bytes += int(words[2])
            elif words[1:2] == ["Write"]:
                write_bytes += int(words[2])
    return {"read_bytes": read_bytes, "write_bytes": write_bytes}


def _v1_limit(number: int | None) -> int | None:
    """v1 writes "no limit" as the largest number of whole pages: 9223372036854771712 with pages of 4 KiB."""
    return None if number is None or number >= 1 << 62 else number


def _cpu_times(usage: int | None, user: int | None, system: int | None) -> Counters:
    """v1 only: nanoseconds into microseconds, and *user* and *system* into shares of *usage*.

    *usage* is exact. The other two are estimates: each tick of the clock (4 ms) is added to
    the mode in which the processor is at that moment. In v2 the kernel itself scales them like this.
    """
    if usage is None or user is None or system is None:
        return {"usage_us": usage if usage is None else usage // 1000, "user_us": None, "system_us": None}
    usage_us = usage // 1000
    user_us = usage_us * user // (user + system) if user + system else usage_us
    return {"usage_us": usage_us, "user_us": user_us, "system_us": usage_us - user_us}
