"""Control groups: how much of the processors, the memory, the disks and the process table a container may use.

A control group (cgroup) is a directory in a file system that the kernel makes up.  ``mkdir`` makes a
group, a process number written into one of its files moves a process in, a number written into
another sets a limit, and ``rmdir`` ends the group once it is empty.  What counts and limits one
resource is a controller: ``cpu``, ``memory``, ``pids``...  There are two worlds of them:

==========  ==========================================================================================
cgroup v1   a tree for each controller: /sys/fs/cgroup/memory/minict/ID, /sys/fs/cgroup/pids/minict/ID...
cgroup v2   one tree for all: /sys/fs/cgroup/minict/ID; a group has the controllers that its parent hands down
hybrid      both are mounted; a controller works in one of the two worlds at a time
==========  ==========================================================================================

The OCI specification speaks the language of v1.  :data:`FILES` says which file of either world
holds each of its settings; functions such as :func:`weight_from_shares` translate the numbers.

Sources: cgroups(7); the kernel's Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst; OCI
runtime-spec, config-linux.md, Control groups.
"""
from __future__ import annotations

import errno
import os
import time

from . import paths, spec
from .errors import ContainerError

# Mount options of cgroup v1 that are names of controllers, and not, say, "rw" or "name=systemd".
_V1_CONTROLLERS = {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls",
                   "net_prio", "perf_event", "rdma", "misc"}

# Where each setting of the specification lives: (the file of cgroup v1, the file of cgroup v2).
# The word before the first dot of a file's name is its controller.  None: that world has no such thing.
FILES = {
    "cpu.shares":              ("cpu.shares",                  "cpu.weight"),
    "cpu.period":              ("cpu.cfs_period_us",           "cpu.max"),
    "cpu.quota":               ("cpu.cfs_quota_us",            "cpu.max"),
    "cpu.burst":               ("cpu.cfs_burst_us",            "cpu.max.burst"),
    "cpu.idle":                ("cpu.idle",                    "cpu.idle"),
    "cpu.realtimePeriod":      ("cpu.rt_period_us",            None),
    "cpu.realtimeRuntime":     ("cpu.rt_runtime_us",           None),
    "cpu.cpus":                ("cpuset.cpus",                 "cpuset.cpus"),
    "cpu.mems":                ("cpuset.mems",                 "cpuset.mems"),
    "memory.limit":            ("memory.limit_in_bytes",       "memory.max"),
    "memory.swap":             ("memory.memsw.limit_in_bytes", "memory.swap.max"),
    "memory.reservation":      ("memory.soft_limit_in_bytes",  "memory.low"),
    "memory.kernelTCP":        ("memory.kmem.tcp.limit_in_bytes", None),
    "memory.swappiness":       ("memory.swappiness",           None),
    "memory.disableOOMKiller": ("memory.oom_control",          None),
    "pids.limit":              ("pids.max",                    "pids.max"),
}
# memory.kernel and memory.useHierarchy are left out on purpose: the specification lets a runtime
# ignore the first, and since Linux 5.11 every hierarchy behaves as the second asked for.

# In these settings 0 is a value; in all others it means "not given", as it does for runc.
_ZERO_COUNTS = {"cpu.burst", "cpu.idle", "cpu.realtimeRuntime", "memory.swappiness", "memory.disableOOMKiller",
                "pids.limit"}

# The same for the rates of block devices: the file of v1, and the key in the one file io.max of v2.
THROTTLES = {
    "throttleReadBpsDevice":   ("blkio.throttle.read_bps_device",   "rbps"),
    "throttleWriteBpsDevice":  ("blkio.throttle.write_bps_device",  "wbps"),
    "throttleReadIOPSDevice":  ("blkio.throttle.read_iops_device",  "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}

# What a person should do when the kernel takes no such number for a file.
_REMEDIES = {
    "cpu.cfs_quota_us": "a quota is at least 1000 microseconds, and not less than the burst",
    "cpu.cfs_period_us": "a period is 1000 to 1000000 microseconds",
    "cpu.max": "a quota is at least 1000 microseconds, a period 1000 to 1000000",
    "cpu.cfs_burst_us": "a burst is at most the quota",
    "cpu.max.burst": "a burst is at most the quota",
    "cpu.idle": "it is 0 or 1",
    "cpu.shares": "shares are 2 to 262144, and an idle group has none",
    "cpu.weight": "an idle group has no weight",
    "cpuset.cpus": "write numbers of processors that are there, as in 0-1,3",
    "cpuset.mems": "write numbers of memory nodes that are there, as in 0 or 0-1",
    "memory.limit_in_bytes": "a limit can't exceed that of memory and swap together (raise memory.swap with it), "
                             "nor fall below what can't be given up now",
    "memory.memsw.limit_in_bytes": "memory and swap together are at least the limit of the memory",
    "memory.swappiness": "it is 0 to 100",
}

_PATIENCE = 10.0  # seconds for the kernel to freeze or to end processes: it takes milliseconds, unless a disk is stuck


# --- what this machine has -------------------------------------------------------------------------

_hierarchies: tuple[dict[str, str], str | None] | None = None  # of this process's mount namespace, read once


def _find_hierarchies() -> tuple[dict[str, str], str | None]:
    """(controller -> mount point, mount point of the cgroup v2 tree or None), from /proc/self/mountinfo."""
    global _hierarchies
    if _hierarchies is None:
        mounts = {}
        for line in _read("/proc/self/mountinfo").splitlines():
            mount, _, filesystem = line.partition(" - ")
            kind, _, options = filesystem.split(" ", 2)
            if kind in ("cgroup", "cgroup2"):
                # A later mount on the same directory hides the earlier one.
                mounts[_unescape(mount.split(" ")[4])] = kind, options.split(",")
        found, unified = {}, None
        for point, (kind, options) in mounts.items():
            if kind == "cgroup2":
                unified = unified or point
                names = (_read_if_there(f"{point}/cgroup.controllers") or "").split()
            else:
                names = [option for option in options if option in _V1_CONTROLLERS]
            for name in names:
                found.setdefault(name, point)
        _hierarchies = found, unified
    return _hierarchies


def _unescape(word: str) -> str:
    """A path as mountinfo writes it: blanks and backslashes are octal there, such as ``\\040``.  Source: proc(5)."""
    first, *others = word.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in others)


def controllers() -> dict[str, str]:
    """Each controller that this machine has, and where it is mounted.

    The names are the kernel's: block devices are ``blkio`` in v1 and ``io`` in v2.
    """
    return dict(_find_hierarchies()[0])


def mode() -> str:
    """The world of this machine: ``v1``, ``hybrid`` or ``v2``.

    It is ``hybrid`` when some controller is mounted as v1 and the v2 tree is mounted too.
    Raises :class:`ContainerError` when neither is mounted.
    """
    found, unified = _find_hierarchies()
    if not found and not unified:
        raise ContainerError("this machine has no control groups mounted, so a container's processes can be neither "
                             "limited nor found again: mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    if unified and all(point == unified for point in found.values()):
        return "v2"
    return "hybrid" if unified else "v1"


# --- the numbers of v1 in the units of v2 ----------------------------------------------------------

def weight_from_shares(shares: int) -> int:
    """The ``cpu.weight`` of cgroup v2 (1 to 10000, default 100) for v1's ``cpu.shares`` (2 to 262144, default 1024).

    With l = log2(shares):  weight = ceil(10 ** ((l*l + 125*l) / 612 - 7/34)).  The curve leads through
    the three pairs (2, 1), (1024, 100) and (262144, 10000), so a group with the default shares weighs
    as much as one that nobody touched.  (The straight line that was used until 2025 made 39 of 1024.)
    Source: runc from 1.3.2 and crun from 1.23 on; opencontainers/cgroups, ConvertCPUSharesToCgroupV2Value.
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2
    l = log2(shares)
    # Rounded first: 1024 shares are exactly 100, and must not become 101 by a digit far behind the point.
    return ceil(round(10 ** ((l * l + 125 * l) / 612 - 7 / 34), 6))


def cpu_max(quota: int | None, period: int | None, current: str = "max 100000") -> str:
    """The content of v2's ``cpu.max``: in each *period* (microseconds), this many microseconds of processor time.

    Two processors' worth of time is a quota of twice the period; a quota below 0 is no limit.  v1
    has a file for each of the two numbers, v2 one file for both: what is not given stays as *current*.
    """
    current_quota, current_period = current.split()
    if quota:
        current_quota = "max" if quota < 0 else str(quota)
    return f"{current_quota} {period or current_period}"


def swap_max(swap: int, limit: int) -> str:
    """The content of v2's ``memory.swap.max``, which limits the swap alone; *limit* is that of the memory.

    v1, and with it the specification, count memory and swap together: 100 MB of memory and a
    *swap* of 150 MB leave 50 MB on the disk.  Below 0 is no limit.
    Raises :class:`ContainerError` when there is no such number.
    """
    if swap < 0:
        return "max"
    if limit < 0:
        raise ContainerError("memory.swap counts memory and swap together, so it can't be limited without a limit of "
                             "the memory: set memory.limit too")
    _check_swap(swap, limit)
    return str(swap - limit)


def _check_swap(swap: int, limit: int) -> None:
    if 0 < swap < limit:
        raise ContainerError(f"memory.swap ({swap}) counts memory and swap together, so it can't be less than "
                             f"memory.limit ({limit}): make it {limit} for no swap, or -1 for any amount")


def io_weight(weight: int) -> int:
    """The ``io.weight`` of cgroup v2 (1 to 10000) for the specification's weight (10 to 1000).

    A straight line: 1 + (weight - 10) * 9999 / 990.  Source: opencontainers/cgroups, ConvertBlkIOToIOWeightValue.
    """
    return 1 + (min(max(weight, 10), 1000) - 10) * 9999 // 990


def number_or_max(number: int) -> str:
    """How v2 (and, for pids, v1 too) writes a limit: a number below 0 means none, which is ``max``."""
    return "max" if number < 0 else str(number)


# --- one group -------------------------------------------------------------------------------------

class Cgroup:
    """The cgroup of one container, wherever this machine keeps its controllers.

    *path* is its place below each hierarchy's mount, such as ``/minict/0123456789ab``.  An object is
    only a name: nothing is made before :meth:`create`, and another process can use the same group
    through another object.  ``directories`` maps each controller to the group's directory there.
    """

    def __init__(self, path: str):
        names = path.split("/")
        if names[0] or len(names) < 2 or not all(names[1:]) or "." in names or ".." in names:
            raise ContainerError(f"{path!r} can't be the path of a cgroup: write it as /{paths.cgroup_parent()}/NAME, "
                                 "without '.', '..' or an empty name")
        found, unified = _find_hierarchies()
        self.path = path
        self.directories = {name: point + path for name, point in found.items()}
        self._unified = unified

    def v2_directory(self) -> str | None:
        """The directory in the tree of cgroup v2, for clone3 to give birth into (CLONE_INTO_CGROUP); None on pure v1.

        A hybrid machine has one too: even without a controller in it, it gives us ``cgroup.kill``.
        """
        return self._unified + self.path if self._unified else None

    def _all(self) -> list[str]:
        """Each directory once: v1 may mount two controllers together (cpu,cpuacct), v2 mounts all so."""
        unified = [self.v2_directory()] if self._unified else []
        return list(dict.fromkeys([*self.directories.values(), *unified]))

    def _is_v2(self, directory: str) -> bool:
        return directory == self.v2_directory()

    # --- making it

    def create(self) -> None:
        """Make the group in every hierarchy, ready for limits and for processes.  No error if it is there.

        Raises :class:`ContainerError`.
        """
        mode()  # says so when there is nothing at all
        mounts = dict.fromkeys(directory[:-len(self.path)] for directory in self._all())
        try:
            for mount in mounts:
                make_directory(mount, self.path)
            # From here on our own directory keeps the parent from being removed by others.
            if "cpuset" in self.directories and not self._is_v2(self.directories["cpuset"]):
                inherit_cpuset(self.directories["cpuset"])
            if self._unified:
                enable_controllers(self._unified, self.path)
        except OSError as error:
            raise _failure(f"the cgroup {self.path} can't be made", error) from error

    def join_files(self) -> list[str]:
        """v1: the ``tasks`` files into which a new child writes ``0`` (itself) as its first act.  v2: none, see clone3.

        Why ``tasks``: it moves one thread, and a thread that moves itself needs no lock.  Every write to
        ``cgroup.procs`` waits until all processors have passed a quiet point (RCU), some 10 ms.
        """
        return [f"{directory}/tasks" for directory in self._all() if not self._is_v2(directory)]

    def add(self, pid: int) -> None:
        """Move the running process *pid*, with all its threads, into the group.

        Slow (some 10 ms), for the reason that :meth:`join_files` gives.
        Raises :class:`ContainerError`.
        """
        for directory in self._all():
            try:
                _write(f"{directory}/cgroup.procs", str(pid))
            except OSError as error:
                if error.errno == errno.EBUSY and self._is_v2(directory):
                    raise _internal_processes(directory) from error
                raise _failure(f"process {pid} can't be moved into the cgroup {self.path}", error) from error

    # --- limits

    def limit(self, resources: spec.Resources) -> None:
        """Write the limits that *resources* gives; what it does not give stays.  Also while the container runs.

        (Except ``devices``, which are no numbers in files, but a program: see :mod:`.devices`.)
        Raises :class:`ContainerError` for a controller that this machine lacks, and for a value that the
        kernel refuses; then what was written before it stays.  Source: config-linux.md, Control groups.
        """
        writes = {(path, text): setting for setting, path, text in self._files(resources)}
        # Some numbers bind each other: in v1, memory never exceeds memory and swap together, and a burst never
        # its quota.  To raise such a pair one must begin at one end, to lower it at the other.  So what
        # the kernel refuses gets another try when the rest is written, as long as that helps.
        while writes:
            refused = {}
            for (path, text), setting in writes.items():
                try:
                    _write(path, text)
                except OSError as error:
                    if error.errno not in (errno.EINVAL, errno.EBUSY):
                        raise self._refusal(setting, path, text, error) from error
                    refused[path, text] = setting, error
            if len(refused) == len(writes):
                (path, text), (setting, error) = next(iter(refused.items()))
                raise self._refusal(setting, path, text, error) from error
            writes = {key: setting for key, (setting, _) in refused.items()}

    def _files(self, resources: spec.Resources):
        """Each (setting, path, content) that *resources* asks for."""
        for setting, (v1_file, v2_file) in FILES.items():
            part, _, field = setting.partition(".")
            record = getattr(resources, part)
            value = getattr(record, field) if record is not None else None
            if setting == "memory.swap" and record is not None and not value and record.limit == -1:
                value = -1  # no limit on the memory, but one on memory and swap, would be one on the memory after all
            if value in (None, "") or value == 0 and setting not in _ZERO_COUNTS or value is False and v2_file is None:
                continue
            kind, name = (str, "a list such as '0-3,5'") if field in ("cpus", "mems") else (int, "a whole number")
            if not isinstance(value, kind):
                raise ContainerError(f"{setting} can't be {value!r}: write {name}")
            path = self._path(setting, v1_file, v2_file)
            text = self._text(path, value, record)
            if setting == "memory.swap" and text in ("max", "0", "-1", str(record.limit)) and not os.path.exists(path):
                continue  # no swap wanted or any amount, and a kernel that does not count it: nothing to do
            yield setting, path, text
        if resources.blockIO is not None:
            yield from self._io_files(resources.blockIO)
        for huge in resources.hugepageLimits:
            yield from self._hugetlb_files(huge)
        for key, value in (resources.unified or {}).items():
            yield f"unified {key}", self._unified_path(key), str(value)

    def _path(self, setting: str, v1_file: str | None, v2_file: str | None) -> str:
        """The file that holds *setting* here.  Raises :class:`ContainerError` when this machine has none."""
        for file, v2 in (v1_file, False), (v2_file, True):
            directory = self.directories.get(file.partition(".")[0]) if file else None
            if directory and self._is_v2(directory) == v2:
                return f"{directory}/{file}"
        controller = (v2_file if mode() == "v2" and v2_file else v1_file or v2_file).partition(".")[0]
        if controller in self.directories:
            world, other = ("v2", "v1") if v2_file is None else ("v1", "v2")
            raise ContainerError(f"{setting} can't be set: it is a thing of cgroup {other}, and the controller "
                                 f"{controller} is mounted as cgroup {world} here; leave this setting out")
        raise _missing(setting, controller)

    def _text(self, path: str, value: int | str, record: spec.Record) -> str:
        """What to write into the file *path* for the specification's *value*; *record* is what it stands in."""
        directory, _, file = path.rpartition("/")
        if file == "pids.max":
            return number_or_max(value or 1)  # 0 would forbid the container's own first process
        if file == "cpu.weight":
            return str(weight_from_shares(value))
        if file == "cpu.max":
            return cpu_max(record.quota, record.period, _read_if_there(path) or "max 100000")
        if file == "memory.max":
            self._check_before_update(path, value, record)
        if file in ("memory.max", "memory.low"):
            return number_or_max(value)
        if file == "memory.swap.max":
            return swap_max(value, record.limit or _number(_read_if_there(f"{directory}/memory.max"), -1))
        if file == "memory.memsw.limit_in_bytes":
            _check_swap(value, record.limit or 0)
        return value if isinstance(value, str) else str(int(value))

    def _check_before_update(self, path: str, limit: int, memory: spec.Memory) -> None:
        """v2 only: refuse, when the specification asks for that, a limit below what is in use now.

        v1's kernel refuses by itself, when it can't get the memory back.  v2's takes the limit and kills.
        """
        if memory.checkBeforeUpdate and limit >= 0:
            usage = _number(_read_if_there(path.removesuffix("max") + "current"), 0)
            if usage > limit:
                raise ContainerError(f"memory.limit can't be lowered to {limit}: the container uses {usage} bytes and "
                                     "would be killed; stop something in it first, or leave checkBeforeUpdate out")

    def _io_files(self, io: spec.BlockIO):
        """v1 has a file for each kind of limit, v2 one line of ``io.max`` for each device."""
        for field, (v1_file, key) in THROTTLES.items():
            for device in getattr(io, field):
                path = self._path(f"blockIO.{field}", v1_file, "io.max")
                number, v2 = f"{device.major}:{device.minor}", path.endswith("/io.max")
                text = f"{key}={device.rate or 'max'}" if v2 else device.rate
                yield f"blockIO.{field}", path, f"{number} {text}"
        weights = [(f"{device.major}:{device.minor} ", device.weight) for device in io.weightDevice] + [("", io.weight)]
        for number, weight in weights:
            if weight:
                # The disk scheduler BFQ has weights of its own, in the specification's range, also in v2.
                v1_suffix = "_device" if number else ""
                path = self._path("blockIO.weight", f"blkio.bfq.weight{v1_suffix}", "io.bfq.weight")
                if not os.path.exists(path):
                    path = self._path("blockIO.weight", f"blkio.weight{v1_suffix}", "io.weight")
                yield "blockIO.weight", path, f"{number}{io_weight(weight) if path.endswith('/io.weight') else weight}"

    def _hugetlb_files(self, huge: spec.HugepageLimit):
        """Pages that are in use, and, where the kernel knows it (5.7), pages that are only reserved."""
        size = str(huge.pageSize)
        if "/" in size:
            raise ContainerError(f"hugepageLimits can't be for pages of {size!r}: write a size such as 2MB")
        setting = f"hugepageLimits {size}"
        yield setting, self._path(setting, f"hugetlb.{size}.limit_in_bytes", f"hugetlb.{size}.max"), str(huge.limit)
        reserved = self._path(setting, f"hugetlb.{size}.rsvd.limit_in_bytes", f"hugetlb.{size}.rsvd.max")
        if os.path.exists(reserved):
            yield setting, reserved, str(huge.limit)

    def _unified_path(self, key: str) -> str:
        """v2 only: the file that the specification's ``unified`` names directly.

        A specification may come from a stranger: a key with a slash would reach any file of the host,
        and ``cgroup.procs`` would move processes.  So a key is a controller's file, or a limit of the tree.
        """
        controller, _, name = key.partition(".")
        forbidden = "/" in key or "\0" in key or controller == "cgroup" and not name.startswith("max.")
        if forbidden or not controller or not name:
            raise ContainerError(f"unified has the key {key!r}, which is no limit: write the name of a controller's "
                                 "file, such as memory.high")
        directory = self.v2_directory() if controller == "cgroup" else self.directories.get(controller)
        if directory is None:
            raise _missing(f"unified {key}", controller)
        if not self._is_v2(directory):
            raise ContainerError(f"unified {key} can't be set: unified is for cgroup v2, and the controller "
                                 f"{controller} is mounted as cgroup v1 here; use the settings of {controller} instead")
        return f"{directory}/{key}"

    def _refusal(self, setting: str, path: str, text: str, error: OSError) -> ContainerError:
        """The sentence for a limit that could not be written."""
        directory, _, file = path.rpartition("/")
        beginning = f"{setting} can't be {text!r}" if error.errno != errno.ENOENT else f"{setting} can't be set"
        if error.errno == errno.ENOENT:
            controller = file.partition(".")[0]
            handed_down = (_read_if_there(f"{directory}/cgroup.controllers") or controller).split()  # v1: no such file
            if not os.path.isdir(directory):
                remedy = f"the cgroup {self.path} is not there any more; start the container again"
            elif controller in self.directories and controller not in handed_down:
                remedy = f"the controller {controller} is not handed down to {directory}; write +{controller} to the " \
                         "file cgroup.subtree_control of the directories above it"
            else:
                remedy = f"Linux {os.uname().release} has no file {file} here; leave it out, or use a newer kernel"
        elif error.errno == errno.ENODEV and text.partition(" ")[0].count(":") == 1:
            remedy = f"there is no block device {text.partition(' ')[0]}; see lsblk"
        else:
            remedy = _REMEDIES.get(file) or "see the kernel's documentation of this file"
            remedy = f"the kernel refuses it for the file {file} ({os.strerror(error.errno)}); {remedy}"
        return ContainerError(f"{beginning}: {remedy}", errno=error.errno)

    # --- what is in it

    def processes(self) -> list[int]:
        """The processes of this group and of those below it, in no order.  Zombies do not count."""
        found = set()
        for top in self._all():
            for directory in tree(top):
                # A group that the container made "threaded" can't be read; its processes are listed above it.
                found.update(map(int, (_read_if_there(f"{directory}/cgroup.procs", errno.EOPNOTSUPP) or "").split()))
        return list(found - {0})  # 0: it lives in a pid namespace that we can't see into

    def freeze(self) -> None:
        """Stop all processes where they are, so that they can't even notice it; wait until the last one stands.

        Raises :class:`ContainerError` when one does not, and then lets the others go on.
        """
        if not self._set_frozen(True):
            self._set_frozen(False)
            raise ContainerError(f"the cgroup {self.path} can't be frozen: one of its processes waits for a device and "
                                 f"has not stopped within {_PATIENCE:.0f} s; look for state D in ps, and try again")

    def thaw(self) -> None:
        """Let the processes go on.  Raises :class:`ContainerError` when a group above this one is frozen."""
        if not self._set_frozen(False):
            raise ContainerError(f"the cgroup {self.path} stays frozen: a cgroup above it is frozen too; thaw that one "
                                 "first")

    def _set_frozen(self, frozen: bool) -> bool:
        """Write what we want, and wait until the kernel says that it is so.

        v1 has a controller for it: write FROZEN to ``freezer.state``, which reads FREEZING for a while.
        In v2 every group can: write 1 to ``cgroup.freeze``, and ``cgroup.events`` says ``frozen 1`` when it is done.
        """
        if "freezer" in self.directories:
            file = f"{self.directories['freezer']}/freezer.state"
            word = wanted = "FROZEN" if frozen else "THAWED"
            state_file = file
        elif self._unified:
            file = f"{self.v2_directory()}/cgroup.freeze"
            word, wanted = str(int(frozen)), f"frozen {int(frozen)}"
            state_file = f"{self.v2_directory()}/cgroup.events"
        else:
            raise _missing("freezing", "freezer")
        try:
            _write(file, word)
        except OSError as error:
            raise _failure(f"the cgroup {self.path} can't be {'frozen' if frozen else 'thawed'}", error) from error
        return _wait_until(lambda: wanted in (_read_if_there(state_file) or wanted).splitlines())

    def kill(self) -> None:
        """End every process of the group and of those below it, and wait until they are gone.

        v2 has a file for it: ``cgroup.kill`` reaches all at once, the child that is born this moment
        too.  v1 has none, and a list of processes is out of date before it is read to its end.  So
        they are frozen first: then none can fork, and no number can pass to an innocent process.
        Raises :class:`ContainerError` when one survives.
        """
        unified = self.v2_directory()
        if unified and _attempt(f"{unified}/cgroup.kill", "1"):
            self._thaw_quietly()  # who was frozen by v1's freezer can't even die
            _wait_until(lambda: "populated 1" not in (_read_if_there(f"{unified}/cgroup.events") or ""), seconds=1.0)
        # The kernel is older than 5.14, or there is no v2, or somebody joined the trees of v1 alone.
        if not _wait_until(self._kill_each):
            left = ", ".join(map(str, sorted(self.processes())))
            raise ContainerError(f"processes {left} of the cgroup {self.path} do not end: they wait for a device "
                                 "(state D in ps), or a cgroup above is frozen; end that and try again")

    def _kill_each(self) -> bool:
        """One round of killing them one by one.  Are there none left?"""
        if not self.processes():
            return True
        try:
            self.freeze()
        except ContainerError:
            pass  # without a freezer the next round meets those who were born in this one
        for pid in self.processes():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self._thaw_quietly()
        return False

    def _thaw_quietly(self) -> None:
        try:
            self._set_frozen(False)
        except ContainerError:
            pass

    # --- its counters

    def stats(self) -> dict:
        """What the group has used: one dictionary for each controller, with the same keys in both worlds.

        Times are microseconds, sizes bytes; a ``limit`` of None is no limit.  A controller that is not
        here has no key, and a number that this kernel does not count is None.
        """
        found = {"cpu": self._cpu_stats(), "memory": self._memory_stats(), "pids": self._pids_stats(),
                 "io": self._io_stats()}
        return {name: values for name, values in found.items() if values is not None}

    def _directory(self, controller: str) -> tuple[str | None, bool]:
        """(the controller's directory or None, whether it is of cgroup v2)."""
        directory = self.directories.get(controller)
        if directory is not None and not os.path.isdir(directory):
            directory = None
        return directory, directory is not None and self._is_v2(directory)

    def _cpu_stats(self) -> dict | None:
        """v2 counts all in one file.  v1 counts the time in the controller cpuacct, and what the quota did in cpu."""
        directory, v2 = self._directory("cpu")
        if directory is None:
            return None
        stat = _table(f"{directory}/cpu.stat")
        if v2:
            times = {f"{key}_us": stat.get(f"{key}_usec") for key in ("usage", "user", "system", "throttled")}
        else:
            accounts, _ = self._directory("cpuacct")
            clocks = [_number(_read_if_there(f"{accounts}/cpuacct.usage{side}")) for side in ("", "_user", "_sys")]
            times = {**_cpu_times(*clocks), "throttled_us": stat.get("throttled_time", 0) // 1000}
        return {**times, "periods": stat.get("nr_periods"), "throttled_periods": stat.get("nr_throttled")}

    def _memory_stats(self) -> dict | None:
        """usage: all memory, file cache included; without ``inactive_file`` it is what other tools show as used."""
        directory, v2 = self._directory("memory")
        if directory is None:
            return None
        stat = _table(f"{directory}/memory.stat")

        def number(file: str) -> int | None:
            return _number(_read_if_there(f"{directory}/memory.{file}"))

        if v2:
            result = {"usage": number("current"), "limit": number("max"), "peak": number("peak"),
                      "oom_kills": _table(f"{directory}/memory.events").get("oom_kill"),
                      "swap": number("swap.current"), "swap_limit": number("swap.max")}
            return {**result, **{key: stat.get(key) for key in ("anon", "file", "inactive_file")}}
        limit, together = _v1_limit(number("limit_in_bytes")), _v1_limit(number("memsw.limit_in_bytes"))
        return {"usage": number("usage_in_bytes"), "limit": limit, "peak": number("max_usage_in_bytes"),
                "oom_kills": _table(f"{directory}/memory.oom_control").get("oom_kill"),
                "swap": stat.get("total_swap"), "swap_limit": None if None in (limit, together) else together - limit,
                "anon": stat.get("total_rss"), "file": stat.get("total_cache"),
                "inactive_file": stat.get("total_inactive_file")}

    def _pids_stats(self) -> dict | None:
        directory, _ = self._directory("pids")
        if directory is None:
            return None
        return {"current": _number(_read_if_there(f"{directory}/pids.current")),
                "limit": _number(_read_if_there(f"{directory}/pids.max"))}

    def _io_stats(self) -> dict | None:
        """The sum over all block devices.  v1: a line for each number; v2: a line for each device, all numbers in it.

        v1 counts only what reaches the disk in the process's own name (reads, O_DIRECT, fsync); what the page
        cache writes later is charged to the root.  Since Linux 6.10 it counts only on disks for which some
        group has a throttle.  v2 knows whose every page is.
        """
        directory, v2 = self._directory("io" if "io" in self.directories else "blkio")
        if directory is None:
            return None
        read_bytes = write_bytes = 0
        if v2:
            for line in (_read_if_there(f"{directory}/io.stat") or "").splitlines():
                values = dict(word.split("=") for word in line.split() if "=" in word)
                read_bytes += int(values.get("rbytes", 0))
                write_bytes += int(values.get("wbytes", 0))
        else:
            for line in (_read_if_there(f"{directory}/blkio.throttle.io_service_bytes_recursive") or "").splitlines():
                words = line.split()
                if words[1:2] == ["Read"]:
                    read_bytes += int(words[2])
                elif words[1:2] == ["Write"]:
                    write_bytes += int(words[2])
        return {"read_bytes": read_bytes, "write_bytes": write_bytes}

    # --- its end

    def remove(self) -> None:
        """End what still runs in the group and remove it, the groups below it, and the common parent if it is empty.

        No error if it is gone already.  Raises :class:`ContainerError` when a process survives its end.
        """
        parent = self.path.rpartition("/")[0]
        try:
            for directory in self._all():
                if not remove_directory(directory):
                    self.kill()
                    # What has just ended may keep its group busy for a moment longer.
                    if not _wait_until(lambda: all([remove_directory(below) for below in tree(directory)])):
                        raise ContainerError(f"the cgroup {directory} can't be removed: something still uses it; see "
                                             f"{directory}/cgroup.procs, end that and try again")
                if parent == f"/{paths.cgroup_parent()}":  # ours; another parent belongs to who chose it
                    remove_directory(directory.rpartition("/")[0])
        except OSError as error:
            raise _failure(f"the cgroup {self.path} can't be removed", error) from error


# --- steps of the above that are worth a name ------------------------------------------------------

def make_directory(mount: str, path: str) -> None:
    """Make the group *path* below *mount* with all the groups above it, while others remove those when they are empty.

    Raises :class:`OSError`.
    """
    for _ in range(1000):
        try:
            return os.mkdir(mount + path)
        except FileExistsError:
            return None
        except OSError as error:
            # ENOENT: there is no parent yet.  ENODEV: there is one that is just being removed.
            if error.errno not in (errno.ENOENT, errno.ENODEV) or path.rfind("/") < 1:
                raise
            make_directory(mount, path.rpartition("/")[0])
    raise OSError(errno.EBUSY, "the cgroup above it is removed again and again", mount + path)


def remove_directory(directory: str) -> bool:
    """rmdir: is the group gone?  It is not while it has processes or groups below it.  Raises :class:`OSError`."""
    try:
        os.rmdir(directory)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
    return True


def tree(directory: str):
    """The group *directory* and all groups below it, the lowest first, as one has to remove them."""
    try:
        with os.scandir(directory) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for child in below:
        yield from tree(child)
    yield directory


def inherit_cpuset(directory: str) -> None:
    """v1 only: give a new group the processors and memory nodes of its parent.

    A new group of v1 has none, and nobody can join it.  In v2 an empty file means "as the parent".
    Raises :class:`OSError`.
    """
    parent = directory.rpartition("/")[0]
    for file in "cpuset.cpus", "cpuset.mems":
        if _read(f"{directory}/{file}").strip():
            continue
        if not _read(f"{parent}/{file}").strip():
            inherit_cpuset(parent)  # whoever made the parent has not come so far yet
        _write(f"{directory}/{file}", _read(f"{parent}/{file}").strip())


def enable_controllers(mount: str, path: str) -> None:
    """v2 only: let each group on the way from *mount* down to *path* hand its controllers to the groups below it.

    In v1 every group has its tree's controller.  In v2 a group has only those that its parent lists in
    ``cgroup.subtree_control``, and a parent that does so may hold no process of its own (the
    no-internal-processes rule; only the real root of the tree is free of it), because the processes
    would compete with the groups beside them and have no weight to do it by.
    Raises :class:`ContainerError`, :class:`OSError`.
    """
    directory = mount
    parent = mount + path.rpartition("/")[0]
    for name in path.split("/")[1:]:
        there = _read(f"{directory}/cgroup.controllers").split()
        enabled = _read(f"{directory}/cgroup.subtree_control").split()
        # The file lists a controller from the moment when somebody begins to enable it; the group below may not
        # have its files yet.  A write waits for the other's to end, so to our own parent we always write.
        if there and (directory == parent or not set(there) <= set(enabled)):
            hand_down(directory, there)
        directory += f"/{name}"


def hand_down(directory: str, names: list[str]) -> None:
    """v2 only: enable the controllers *names* for the groups below *directory*.  Raises :class:`ContainerError`."""
    words = [f"+{name}" for name in names]
    try:
        _write(f"{directory}/cgroup.subtree_control", " ".join(words))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise _internal_processes(directory) from error
        # One of them can't be had (cpu, with real-time processes about): the others can.
        for word in words:
            _attempt(f"{directory}/cgroup.subtree_control", word)


# --- errors, files, waiting ------------------------------------------------------------------------

def _internal_processes(directory: str) -> ContainerError:
    return ContainerError(f"the cgroup {directory} has processes of its own, so it can't hand controllers on to the "
                          "groups below it (the no-internal-processes rule of cgroup v2): move them into a group "
                          f"below, such as {directory}/others", errno=errno.EBUSY)


def _missing(setting: str, controller: str) -> ContainerError:
    """The sentence for a controller that is not here: why it is not, and how one gets it."""
    kernel = {}  # controller -> whether it was enabled at boot, as far as v1 knows it; cgroups(7), /proc/cgroups
    for line in (_read_if_there("/proc/cgroups") or "").splitlines():
        name, _, _, enabled = line.split()
        kernel[name] = enabled
    v1_name = "blkio" if controller == "io" else controller
    if kernel.get(v1_name) == "0":
        remedy = f"it was switched off at boot; boot with cgroup_enable={v1_name} on the kernel's command line"
    elif v1_name not in kernel:
        remedy = "the kernel does not have it; use another kernel, or leave this setting out"
    elif mode() == "v2":
        remedy = f"the group above does not hand it down; write +{controller} to its cgroup.subtree_control, or " \
                 "start minict outside of the container that it runs in"
    else:
        remedy = f"it is not mounted; mount -t cgroup -o {v1_name} cgroup /sys/fs/cgroup/{v1_name}"
    return ContainerError(f"{setting} needs the cgroup controller {controller}, which this machine lacks: {remedy}")


def _failure(what: str, error: OSError) -> ContainerError:
    """The sentence for a directory or a process that the kernel did not take."""
    remedies = {
        errno.EROFS: "the cgroup file system is mounted read-only; remount it with mount -o remount,rw, or start "
                     "minict outside of the container that it runs in",
        errno.EACCES: "you are not its owner; become root",
        errno.EPERM: "you are not its owner; become root",
        errno.ENOENT: "there is no such group; start the container again",
        errno.ENODEV: "there is no such group; start the container again",
        errno.ESRCH: "there is no such process any more; start it again",
        errno.EAGAIN: "a limit on the number of cgroups is reached; see cgroup.max.descendants in the groups above",
        errno.ENOSPC: "no more cgroups fit in, or its cpuset is empty; remove some with minict prune",
    }
    remedy = remedies.get(error.errno, "see the kernel's documentation of cgroups")
    return ContainerError(f"{what}: {os.strerror(error.errno)}, {error.filename}; {remedy}", errno=error.errno)


def _write(path: str, text: str) -> None:
    """Write *text* in one call, as the kernel wants it.  Raises :class:`OSError` with the path."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        error.filename = path  # os.write knows only a number
        raise


def _attempt(path: str, text: str) -> bool:
    """Write *text*, if that can be done: could it?"""
    try:
        _write(path, text)
    except OSError:
        return False
    return True


def _read(path: str) -> str:
    """The whole file.  Raises :class:`OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts).decode(errors="surrogateescape")


def _read_if_there(path: str, *also: int) -> str | None:
    """The whole file; None when this kernel has none, or the group is gone (or for the errors *also*)."""
    try:
        return _read(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV, *also):
            raise
        return None


def _number(text: str | None, default: int | None = None) -> int | None:
    """The number in *text*; *default* for ``max`` and for no text."""
    return default if text is None or text.strip() == "max" else int(text)


def _v1_limit(number: int | None) -> int | None:
    """v1 writes "no limit" as the greatest number of whole pages: 9223372036854771712 with pages of 4 KiB."""
    return None if number is None or number >= 1 << 62 else number


def _cpu_times(usage: int | None, user: int | None, system: int | None) -> dict:
    """v1 only: nanoseconds into microseconds, and *user* and *system* into shares of *usage*.

    *usage* is exact.  The other two are guesses: at each tick of the clock (4 ms) the whole tick goes to
    the side on which the processor happens to be.  In v2 the kernel itself scales them like this.
    """
    if usage is None or user is None or system is None:
        return {"usage_us": usage if usage is None else usage // 1000, "user_us": None, "system_us": None}
    usage_us = usage // 1000
    user_us = usage_us * user // (user + system) if user + system else usage_us
    return {"usage_us": usage_us, "user_us": user_us, "system_us": usage_us - user_us}


def _table(path: str) -> dict[str, int]:
    """A file of lines such as ``nr_periods 17``."""
    pairs = [line.split() for line in (_read_if_there(path) or "").splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _wait_until(condition, seconds: float = _PATIENCE) -> bool:
    """Ask again and again, ever less often, until *condition* holds.  Did it?"""
    deadline, pause = time.monotonic() + seconds, 0.0005
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True
