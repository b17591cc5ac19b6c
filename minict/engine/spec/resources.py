"""Resource limits in the form of the OCI spec: ``--memory``, ``--cpus``, ``--ulimit`` and related options.

The numbers are those of cgroup v1, as everywhere in the spec; :mod:`minict.runtime.cgroup.limits` converts them on
machines with version 2.
"""

from __future__ import annotations

import os

from minict.engine.util import units
from minict.runtime import spec
from minict.runtime.errors import ContainerError

LEAST_MEMORY = 6 << 20  # bytes: Docker's minimum, below which no process starts
PERIOD = 100_000  # microseconds: the period to which --cpus refers, as in Docker
_ULIMITS = (
    "core",
    "cpu",
    "data",
    "fsize",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
    "as",
)  # setrlimit(2)


DEFAULT_PIDS = 2048  # as Podman: a fork bomb takes the container, and not the machine


def resources(settings) -> spec.Resources:
    """The limits of the control group. Raises :class:`ContainerError` for an invalid value."""
    pids = None
    if settings.pids_limit is not None:
        pids = spec.Pids(limit=units.whole(settings.pids_limit, "--pids-limit", -1) or -1)
    elif grants("pids"):
        pids = spec.Pids(limit=DEFAULT_PIDS)
    return spec.Resources(memory=memory(settings), cpu=cpu(settings), pids=pids, blockIO=disks(settings))


def cgroup_path(settings, id: str) -> str | None:
    """``--cgroup-parent``: the control group of the container *id*; None for the default one."""
    if settings.cgroup_parent is None:
        return None
    names = settings.cgroup_parent.strip("/").split("/")
    if not {"", ".", ".."}.isdisjoint(names):
        raise ContainerError(
            f"invalid --cgroup-parent {settings.cgroup_parent}: use a path such as /class/ada, without '.', '..' or "
            f"an empty name"
        )
    return f"/{'/'.join(names)}/{id}"


def memory(settings) -> spec.Memory | None:
    """``--memory`` and related options.

    Without ``--memory-swap`` a container may use as much swap as memory, as in Docker.
    """
    result = spec.Memory()
    if settings.memory is not None:
        result.limit = units.bytes_of(settings.memory, "--memory")
        if result.limit < LEAST_MEMORY:
            raise ContainerError(f"invalid --memory {settings.memory}: the minimum is 6m")
        if swap_is_counted():
            result.swap = 2 * result.limit
    if settings.memory_swap not in (None, "0"):
        result.swap = _swap(settings, result.limit)
    if settings.memory_reservation is not None:
        result.reservation = units.bytes_of(settings.memory_reservation, "--memory-reservation")
        if result.limit and result.reservation > result.limit:
            raise ContainerError(
                f"invalid --memory-reservation {settings.memory_reservation}: use at most --memory {settings.memory}"
            )
    if settings.memory_swappiness not in (None, "-1"):
        result.swappiness = units.whole(settings.memory_swappiness, "--memory-swappiness", 0, 100)
    if settings.oom_kill_disable:
        result.disableOOMKiller = True
    return result if vars(result) else None


def _swap(settings, limit: int | None) -> int:
    """``--memory-swap``: memory and swap together."""
    if settings.memory_swap == "-1":
        return -1
    swap = units.bytes_of(settings.memory_swap, "--memory-swap")
    if limit is None:
        raise ContainerError("--memory-swap is memory and swap together: add --memory")
    if swap < limit:
        raise ContainerError(
            f"invalid --memory-swap {settings.memory_swap}: it is memory and swap together, so use at least "
            f"--memory {settings.memory}; the same number means no swap, -1 unlimited swap"
        )
    return swap


def grants(name: str) -> bool:
    """Whether a container can have the controller *name* here. Inside another container that is not certain."""
    from minict.runtime.cgroup import delegation
    from minict.runtime.cgroup.hierarchy import find_hierarchies

    controllers, unified = find_hierarchies()
    place = controllers.get(name)
    return place is not None and (place != unified or delegation.grants(place, name))


def swap_is_counted() -> bool:
    """Whether this kernel can limit swap: version 1 unless booted with swapaccount=0, version 2 if there is swap."""
    from minict.runtime.cgroup.hierarchy import find_hierarchies

    controllers, unified = find_hierarchies()
    place = controllers.get("memory")
    return os.path.exists(f"{place}/memory.memsw.limit_in_bytes") or (
        place is not None and place == unified and os.path.exists("/proc/swaps")
    )


def cpu(settings) -> spec.CPU | None:
    """``--cpus``, ``--cpu-shares``, ``--cpuset-cpus`` and related options."""
    result = spec.CPU()
    if settings.cpus is not None:
        if settings.cpu_quota is not None or settings.cpu_period is not None:
            raise ContainerError(
                "--cpus conflicts with --cpu-quota and --cpu-period: it sets a quota for a period of 100000 "
                "microseconds; "
                "use one form"
            )
        result.period, result.quota = PERIOD, units.microseconds_of_cpus(settings.cpus, PERIOD)
    if settings.cpu_period is not None:
        result.period = units.whole(settings.cpu_period, "--cpu-period", 1000, 1_000_000)
    if settings.cpu_quota is not None:
        result.quota = units.whole(settings.cpu_quota, "--cpu-quota", -1)
        if 0 < result.quota < 1000:
            raise ContainerError(f"invalid --cpu-quota {settings.cpu_quota}: the minimum is 1000 microseconds")
    if settings.cpu_shares not in (None, "0"):
        result.shares = units.whole(settings.cpu_shares, "--cpu-shares", 2, 262_144)
    if settings.cpuset_cpus is not None:
        result.cpus = units.numbers(settings.cpuset_cpus, "--cpuset-cpus", "/sys/devices/system/cpu/online")
    if settings.cpuset_mems is not None:
        nodes = "/sys/devices/system/node/online"
        if not os.path.exists(nodes):
            raise ContainerError(
                f"--cpuset-mems {settings.cpuset_mems}: this machine has a single memory node: leave the option out"
            )
        result.mems = units.numbers(settings.cpuset_mems, "--cpuset-mems", nodes)
    return result if vars(result) else None


def disks(settings) -> spec.BlockIO | None:
    """``--blkio-weight``, and the rates of single disks."""
    result = spec.BlockIO()
    if settings.blkio_weight not in (None, "0"):
        result.weight = units.whole(settings.blkio_weight, "--blkio-weight", 10, 1000)
    for field, name in (
        ("throttleReadBpsDevice", "device_read_bps"),
        ("throttleWriteBpsDevice", "device_write_bps"),
        ("throttleReadIOPSDevice", "device_read_iops"),
        ("throttleWriteIOPSDevice", "device_write_iops"),
    ):
        words = getattr(settings, name)
        if words:
            setattr(result, field, [_throttle(word, "--" + name.replace("_", "-")) for word in words])
    return result if vars(result) else None


def _throttle(word: str, flag: str) -> spec.ThrottleDevice:
    """Parse ``/dev/sda:1m``: a disk and its limit for one second."""
    path, colon, rate = word.rpartition(":")
    if not colon or not path.startswith("/"):
        raise ContainerError(
            f"invalid {flag} {word}: use a disk and a rate, as in /dev/sda:{'1m' if 'bps' in flag else '100'}"
        )
    try:
        status = os.stat(path)
    except OSError as error:
        raise ContainerError(f"{flag} {word}: {path}: {error.strerror}") from None
    if status.st_mode & 0o170000 != 0o060000:
        raise ContainerError(f"{flag} {word}: {path} is not a disk (block device); 'lsblk -p' lists them")
    number = units.bytes_of(rate, flag) if "bps" in flag else units.whole(rate, flag, 0)
    return spec.ThrottleDevice(major=os.major(status.st_rdev), minor=os.minor(status.st_rdev), rate=number)


def oom_score(settings) -> int | None:
    """``--oom-score-adj``: proc_pid_oom_score_adj(5)."""
    return (
        None if settings.oom_score_adj is None else units.whole(settings.oom_score_adj, "--oom-score-adj", -1000, 1000)
    )


def rlimits(settings) -> list[spec.Rlimit]:
    """``--ulimit NAME=SOFT[:HARD]``; -1 is unlimited; the last value of a name counts."""
    result = {}
    for word in settings.ulimit:
        name, given, values = word.partition("=")
        if name not in _ULIMITS or not given:
            raise ContainerError(
                f"invalid --ulimit {word}: use NAME=SOFT[:HARD], as in nofile=1024:4096, with one of the names "
                f"{', '.join(sorted(_ULIMITS))}"
            )
        soft, colon, hard = values.partition(":")
        soft = units.whole(soft, f"--ulimit {word}", -1)
        hard = units.whole(hard, f"--ulimit {word}", -1) if colon else soft
        if hard != -1 and (soft == -1 or soft > hard):
            raise ContainerError(f"invalid --ulimit {word}: the soft limit must not exceed the hard limit")
        result[name] = spec.Rlimit(type=f"RLIMIT_{name.upper()}", soft=soft, hard=hard)
    return list(result.values())


def shm_size(settings) -> int:
    """``--shm-size``: the size of /dev/shm in bytes."""
    if settings.shm_size is None:
        return 64 << 20
    size = units.bytes_of(settings.shm_size, "--shm-size")
    if not size:
        raise ContainerError("invalid --shm-size 0: it would be unlimited; use a size such as 64m")
    return size
