"""The limits of a group: from the specification to numbers in files of either cgroup version.

The OCI specification uses the units of v1. :data:`FILES` says which file of either version holds each of its
settings; functions such as :func:`weight_from_shares` convert the numbers.
"""

from __future__ import annotations

import errno
import os

from .. import place, spec
from ..errors import ContainerError
from . import files
from .hierarchy import missing, mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .files import Group

# Where each setting of the specification lives: (the file of cgroup v1, the file of cgroup v2).
# The word before the first dot of a file's name is its controller. None: that version has no such setting.
FILES = {
    "cpu.shares": ("cpu.shares", "cpu.weight"),
    "cpu.period": ("cpu.cfs_period_us", "cpu.max"),
    "cpu.quota": ("cpu.cfs_quota_us", "cpu.max"),
    "cpu.burst": ("cpu.cfs_burst_us", "cpu.max.burst"),
    "cpu.idle": ("cpu.idle", "cpu.idle"),
    "cpu.realtimePeriod": ("cpu.rt_period_us", None),
    "cpu.realtimeRuntime": ("cpu.rt_runtime_us", None),
    "cpu.cpus": ("cpuset.cpus", "cpuset.cpus"),
    "cpu.mems": ("cpuset.mems", "cpuset.mems"),
    "memory.limit": ("memory.limit_in_bytes", "memory.max"),
    "memory.swap": ("memory.memsw.limit_in_bytes", "memory.swap.max"),
    "memory.reservation": ("memory.soft_limit_in_bytes", "memory.low"),
    "memory.kernelTCP": ("memory.kmem.tcp.limit_in_bytes", None),
    "memory.swappiness": ("memory.swappiness", None),
    "memory.disableOOMKiller": ("memory.oom_control", None),
    "pids.limit": ("pids.max", "pids.max"),
}
# memory.kernel and memory.useHierarchy are left out on purpose: the specification lets a runtime
# ignore the first, and since Linux 5.11 every hierarchy behaves as the second asked for.

# In these settings 0 is a value; in all others it means "not given", as it does for runc.
_ZERO_COUNTS = {
    "cpu.burst",
    "cpu.idle",
    "cpu.realtimeRuntime",
    "memory.swappiness",
    "memory.disableOOMKiller",
    "pids.limit",
}

# The same for the rates of block devices: the file of v1, and the key in the one file io.max of v2.
THROTTLES = {
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}

# The remedy when the kernel refuses a number for a file.
_REMEDIES = {
    "cpu.cfs_quota_us": "a quota is at least 1000 microseconds, and not less than the burst",
    "cpu.cfs_period_us": "a period is 1000 to 1000000 microseconds",
    "cpu.max": "a quota is at least 1000 microseconds, a period 1000 to 1000000",
    "cpu.cfs_burst_us": "a burst is at most the quota",
    "cpu.max.burst": "a burst is at most the quota",
    "cpu.idle": "it is 0 or 1",
    "cpu.shares": "shares are 2 to 262144, and an idle group has none",
    "cpu.weight": "an idle group has no weight",
    "cpuset.cpus": "write numbers of existing processors, as in 0-1,3",
    "cpuset.mems": "write numbers of existing memory nodes, as in 0 or 0-1",
    "memory.limit_in_bytes": "a limit cannot exceed that of memory and swap together (raise memory.swap with it), "
    "nor fall below what cannot be freed now",
    "memory.memsw.limit_in_bytes": "memory and swap together are at least the limit of the memory",
    "memory.swappiness": "it is 0 to 100",
}


# ---- the numbers of v1 in the units of v2 -----------------------------------------------------------------------


def weight_from_shares(shares: int) -> int:
    """The ``cpu.weight`` of cgroup v2 (1 to 10000, default 100) for v1's ``cpu.shares`` (2 to 262144, default 1024).

    With l = log2(shares): weight = ceil(10 ** ((l*l + 125*l) / 612 - 7/34)). The curve passes through
    the three points (2, 1), (1024, 100) and (262144, 10000), so a group with the default shares has
    the default weight. (The straight line that was used until 2025 mapped 1024 to 39.)
    Source: runc from 1.3.2 and crun from 1.23 on; opencontainers/cgroups, ConvertCPUSharesToCgroupV2Value.
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2

    log = log2(shares)
    # Rounded first: 1024 shares are exactly 100, and must not become 101 by a floating-point error.
    return ceil(round(10 ** ((log * log + 125 * log) / 612 - 7 / 34), 6))


def cpu_max(quota: int | None, period: int | None, current: str = "max 100000") -> str:
    """The content of v2's ``cpu.max``: in each *period* (microseconds), this many microseconds of processor time.

    A quota of twice the period is the time of two processors; a negative one means unlimited. v1
    has a file for each of the two numbers, v2 one file for both: what is not given stays as in *current*.
    Source: cgroup-v2.rst, "CPU Interface Files".
    """
    current_quota, current_period = current.split()
    if quota:
        current_quota = "max" if quota < 0 else str(quota)
    return f"{current_quota} {period or current_period}"


def swap_max(swap: int, limit: int | None) -> str:
    """The content of v2's ``memory.swap.max``, which limits the swap alone; *limit* is that of the memory.

    v1, and with it the specification, count memory and swap together: 100 MB of memory and a
    *swap* of 150 MB leave 50 MB on the disk. A negative one means unlimited.
    Raises :class:`ContainerError` for an impossible combination. Source: cgroup-v2.rst, "Memory Interface Files".
    """
    if swap < 0:
        return "max"
    if limit is None or limit < 0:
        raise ContainerError(
            "memory.swap counts memory and swap together, so it cannot be limited without a limit of "
            "the memory: set memory.limit too"
        )
    _check_swap(swap, limit)
    return str(swap - limit)


def _check_swap(swap: int, limit: int) -> None:
    if 0 < swap < limit:
        raise ContainerError(
            f"memory.swap ({swap}) counts memory and swap together, so it cannot be less than "
            f"memory.limit ({limit}): make it {limit} for no swap, or -1 for any amount"
        )


def io_weight(weight: int) -> int:
    """The ``io.weight`` of cgroup v2 (1 to 10000) for the specification's weight (10 to 1000).

    A straight line: 1 + (weight - 10) * 9999 / 990.
    Source: cgroup-v2.rst, "IO Interface Files"; opencontainers/cgroups, ConvertBlkIOToIOWeightValue.
    """
    return 1 + (min(max(weight, 10), 1000) - 10) * 9999 // 990


def number_or_max(number: int) -> str:
    """A limit as v2 (and, for pids, also v1) writes it: ``max`` below 0. Source: cgroup-v2.rst, "Conventions"."""
    return "max" if number < 0 else str(number)


# ---- writing them -----------------------------------------------------------------------------------------------


def limit(group: Group, resources: spec.Resources) -> None:
    """Write the limits in *resources*; other limits stay. This also works while the container runs.

    (Except ``devices``, which are not numbers in files: see :mod:`minict.runtime.devices`.)
    Raises :class:`ContainerError` for a controller that this machine lacks, and for a value that the
    kernel refuses; then what was written before it stays. Source: config-linux.md, "Control groups".
    """
    writes = {(path, text): setting for setting, path, text in _settings(group, resources)}
    # Some numbers depend on each other: in v1, memory never exceeds memory and swap together, and a burst never
    # its quota. Raising such a pair has to begin with one of them, lowering with the other. So what
    # the kernel refuses is tried again when the rest is written, as long as that helps.
    while writes:
        refused: dict[tuple[str, str], tuple[str, OSError]] = {}
        for (path, text), setting in writes.items():
            try:
                files.write(path, text)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EBUSY):
                    raise _refusal(group, setting, path, text, error) from error
                refused[path, text] = setting, error
        if len(refused) == len(writes):
            (path, text), (setting, first) = next(iter(refused.items()))
            raise _refusal(group, setting, path, text, first) from first
        writes = {key: setting for key, (setting, _) in refused.items()}


def controllers(resources: spec.Resources) -> set[str]:
    """The controllers that the limits in *resources* need, by their names in v2. Source: config-linux.md."""
    found = {"io"} if resources.blockIO is not None else set()
    for setting, (_, v2_file) in FILES.items():
        part, _, field = setting.partition(".")
        section = getattr(resources, part)
        if v2_file and section is not None and getattr(section, field) is not None:
            found.add(v2_file.partition(".")[0])
    found |= {"hugetlb"} if resources.hugepageLimits else set()
    return found | {key.partition(".")[0] for key in resources.unified or {}}


def _settings(group: Group, resources: spec.Resources) -> Iterator[tuple[str, str, str]]:
    """Each (setting, path, content) that *resources* asks for."""
    for setting, (v1_file, v2_file) in FILES.items():
        part, _, field = setting.partition(".")
        section: Any = getattr(resources, part)
        value: Any = getattr(section, field) if section is not None else None
        if setting == "memory.swap" and section is not None and not value and section.limit == -1:
            value = -1  # or the limit of memory and swap together would still limit the memory
        if value in (None, "") or (value == 0 and setting not in _ZERO_COUNTS) or (value is False and v2_file is None):
            continue
        is_list = field in ("cpus", "mems")
        if not isinstance(value, str if is_list else int):
            name = "a list such as '0-3,5'" if is_list else "a whole number"
            raise ContainerError(f"{setting} cannot be {value!r}: write {name}")
        if not is_list and int(value) < -1:  # v1's kernel refuses it; in v2 it would mean no limit
            raise ContainerError(f"{setting} cannot be {value}: write a number from 0 on, or -1 for no limit")
        path = _path(group, setting, v1_file, v2_file)
        text = _text(group, path, value, section)
        if setting == "memory.swap" and text in ("max", "0", "-1", str(section.limit)) and not os.path.exists(path):
            continue  # no limit beyond that of the memory, and a kernel that does not count swap
        yield setting, path, text
    if resources.blockIO is not None:
        yield from _io_files(group, resources.blockIO)
    for huge in resources.hugepageLimits:
        yield from _hugetlb_settings(group, huge)
    for rdma, handles in (resources.rdma or {}).items():
        path = _path(group, f"rdma {rdma}", "rdma.max", "rdma.max")
        numbers = {"hca_handle": handles.hcaHandles, "hca_object": handles.hcaObjects}
        yield f"rdma {rdma}", path, " ".join([rdma, *(f"{key}={n}" for key, n in numbers.items() if n is not None)])
    if resources.network is not None:
        yield from _network_settings(group, resources.network)
    for key, value in (resources.unified or {}).items():
        yield f"unified {key}", _unified_path(group, key), str(value)


def _path(group: Group, setting: str, v1_file: str | None, v2_file: str | None) -> str:
    """The file that holds *setting* here. Raises :class:`ContainerError` when this machine lacks it."""
    for file, v2 in (v1_file, False), (v2_file, True):
        directory = group.directories.get(file.partition(".")[0]) if file else None
        if directory and group.is_v2(directory) == v2:
            return f"{directory}/{file}"
    if not group.directories and place.in_user_namespace():
        raise missing(setting, (v2_file or v1_file or "").partition(".")[0])
    file = v2_file if mode() == "v2" and v2_file else v1_file or v2_file
    controller = (file or "").partition(".")[0]
    if controller in group.directories:
        here, other = ("v2", "v1") if v2_file is None else ("v1", "v2")
        raise ContainerError(
            f"{setting} cannot be set: it exists in cgroup {other} only, and the controller "
            f"{controller} is mounted as cgroup {here} here; leave this setting out"
        )
    raise missing(setting, controller)


def _text(group: Group, path: str, value: Any, section: Any) -> str:
    """What to write into the file *path* for the *value* in a *section* of the specification."""
    directory, _, file = path.rpartition("/")
    if file == "pids.max":
        return number_or_max(value or 1)  # 0 would forbid the container's own first process
    if file == "cpu.weight":
        return str(weight_from_shares(value))
    if file == "cpu.max":
        return cpu_max(section.quota, section.period, files.read_if_there(path) or "max 100000")
    if file == "memory.max":
        _check_before_update(path, value, section)
    if file in ("memory.max", "memory.low"):
        return number_or_max(value)
    if file == "memory.swap.max":
        current = files.number(files.read_if_there(f"{directory}/memory.max"), -1)
        return swap_max(value, section.limit or current)
    if file == "memory.memsw.limit_in_bytes":
        _check_swap(value, section.limit or 0)
    return value if isinstance(value, str) else str(int(value))


def _check_before_update(path: str, limit: int, memory: spec.Memory) -> None:
    """v2 only: refuse a limit below the current usage, when the specification asks for this check.

    v1's kernel itself refuses a limit if it cannot free the memory. v2's accepts it and kills.
    """
    if memory.checkBeforeUpdate and limit >= 0:
        usage = files.number(files.read_if_there(path.removesuffix("max") + "current"), 0) or 0
        if usage > limit:
            raise ContainerError(
                f"memory.limit cannot be lowered to {limit}: the container uses {usage} bytes and "
                "would be killed; stop a process in it first, or leave checkBeforeUpdate out"
            )


def _io_files(group: Group, io: spec.BlockIO) -> Iterator[tuple[str, str, str]]:
    """v1 has a file for each kind of limit, v2 one line of ``io.max`` for each device."""
    for field, (v1_file, key) in THROTTLES.items():
        for device in getattr(io, field):
            path = _path(group, f"blockIO.{field}", v1_file, "io.max")
            number, v2 = f"{device.major}:{device.minor}", path.endswith("/io.max")
            text = f"{key}={device.rate or 'max'}" if v2 else device.rate
            yield f"blockIO.{field}", path, f"{number} {text}"
    if io.leafWeight or any(device.leafWeight for device in io.weightDevice):
        raise ContainerError("blockIO.leafWeight cannot be set: Linux 5.0 has removed it with the scheduler CFQ")
    weights = [(f"{device.major}:{device.minor} ", device.weight) for device in io.weightDevice] + [("", io.weight)]
    for number, weight in weights:
        if weight:
            # The disk scheduler BFQ has its own weights, in the specification's range, also in v2.
            v1_suffix = "_device" if number else ""
            path = _path(group, "blockIO.weight", f"blkio.bfq.weight{v1_suffix}", "io.bfq.weight")
            if not os.path.exists(path):
                path = _path(group, "blockIO.weight", f"blkio.weight{v1_suffix}", "io.weight")
            yield "blockIO.weight", path, f"{number}{io_weight(weight) if path.endswith('/io.weight') else weight}"


def _hugetlb_settings(group: Group, huge: spec.HugepageLimit) -> Iterator[tuple[str, str, str]]:
    """Pages in use, and, from Linux 5.7 on, pages that are only reserved."""
    size = str(huge.pageSize)
    if "/" in size:
        raise ContainerError(f"invalid page size {size!r} in hugepageLimits: write a size such as 2MB")
    setting = f"hugepageLimits {size}"
    yield setting, _path(group, setting, f"hugetlb.{size}.limit_in_bytes", f"hugetlb.{size}.max"), str(huge.limit)
    reserved = _path(group, setting, f"hugetlb.{size}.rsvd.limit_in_bytes", f"hugetlb.{size}.rsvd.max")
    if os.path.exists(reserved):
        yield setting, reserved, str(huge.limit)


def _network_settings(group: Group, network: spec.Network) -> Iterator[tuple[str, str, str]]:
    """v1 only: the class of the container's packets for tc(8), and their priority on each interface."""
    if network.classID:
        yield "network.classID", _path(group, "network.classID", "net_cls.classid", None), str(network.classID)
    for each in network.priorities:
        path = _path(group, "network.priorities", "net_prio.ifpriomap", None)
        yield "network.priorities", path, f"{each.name} {each.priority}"


def _unified_path(group: Group, key: str) -> str:
    """v2 only: the file that the specification's ``unified`` names directly.

    A specification may be hostile: a key with a slash would reach any file of the host,
    and ``cgroup.procs`` would move processes. So a key is a controller's file, or a limit of the tree.
    """
    controller, _, name = key.partition(".")
    forbidden = "/" in key or "\0" in key or (controller == "cgroup" and not name.startswith("max."))
    if forbidden or not controller or not name:
        raise ContainerError(
            f"unified has the key {key!r}, which is not a limit: write the name of a controller's "
            "file, such as memory.high"
        )
    directory = group.v2_directory() if controller == "cgroup" else group.directories.get(controller)
    if directory is None:
        raise missing(f"unified {key}", controller)
    if not group.is_v2(directory):
        raise ContainerError(
            f"unified {key} cannot be set: unified is for cgroup v2, and the controller "
            f"{controller} is mounted as cgroup v1 here; use the settings of {controller} instead"
        )
    return f"{directory}/{key}"


def _refusal(group: Group, setting: str, path: str, text: str, error: OSError) -> ContainerError:
    """The error for a limit that could not be written."""
    directory, _, file = path.rpartition("/")
    beginning = f"{setting} cannot be {text!r}" if error.errno != errno.ENOENT else f"{setting} cannot be set"
    if error.errno == errno.ENOENT:
        controller = file.partition(".")[0]
        handed_down = (files.read_if_there(f"{directory}/cgroup.controllers") or controller).split()  # v1: no such file
        if not os.path.isdir(directory):
            remedy = f"the cgroup {group.path} is gone; start the container again"
        elif controller in group.directories and controller not in handed_down:
            remedy = (
                f"the controller {controller} is not handed down to {directory}; write +{controller} to the "
                "file cgroup.subtree_control of the directories above it"
            )
        else:
            remedy = f"Linux {os.uname().release} lacks the file {file}; leave it out, or use a newer kernel"
    elif error.errno == errno.ENODEV and text.partition(" ")[0].count(":") == 1:
        remedy = f"there is no block device {text.partition(' ')[0]}; see lsblk"
    else:
        remedy = _REMEDIES.get(file) or "see the kernel's documentation of this file"
        remedy = f"the kernel refuses it for the file {file} ({os.strerror(error.errno or 0)}); {remedy}"
    return ContainerError(f"{beginning}: {remedy}", errno=error.errno)
