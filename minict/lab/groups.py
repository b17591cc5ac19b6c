"""Chapter 08's control groups: made by hand, with the files of version 2 whatever the machine has.

:class:`Group` is a control group for experiments.  On a machine with version 1 it translates the names of the files,
and the two numbers of ``cpu.max``; the kernel does the rest.  :func:`stand_in` is a ``/sys/fs/cgroup`` in which code
from a tutorial may write wherever it likes.
"""

from __future__ import annotations

import errno
import os

from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNS, unshare
from minict.runtime import paths
from minict.runtime.cgroup import Cgroup, files, hierarchy

from . import guard

# The file of version 2 -> the one of version 1 with the same content, where the name differs.
_V1_NAMES = {
    "memory.max": "memory.limit_in_bytes",
    "memory.current": "memory.usage_in_bytes",
    "memory.events": "memory.oom_control",
}
_ROOT = "/sys/fs/cgroup"
_NO_LIMIT = 1 << 62  # bytes: version 1 shows no limit as the largest number of memory pages


class Group(Cgroup):
    """A control group below the containers' parent, made at once, with the names of version 2 for its files.

    A group of the same *name* that this process has made before is removed first, so that a cell can be run twice.
    """

    def __init__(self, name: str):
        if name in _made:
            _made[name].remove()
        super().__init__(f"/{paths.cgroup_parent()}/{name}-{os.urandom(4).hex()}")
        self.name, self._home = name, _groups_of_caller()
        self.create()
        _made[name] = self

    def __repr__(self):
        return f"<control group {self.name}>"

    def file(self, name: str) -> str:
        """The path of the file *name* of version 2, or of the one that takes its place here."""
        controller = name.partition(".")[0]
        directory = self.directories.get(controller) or self.v2_directory() or self._all()[0]
        return f"{directory}/{name if self.is_v2(directory) else _V1_NAMES.get(name, name)}"

    def read(self, name: str) -> str:
        """What is in the file *name*, without the line end.  Raises :class:`OSError`."""
        if name == "cpu.max" and not self._is_v2("cpu"):
            quota, period = (files.read(f"{self.directories['cpu']}/{file}").strip() for file in _V1_CPU)
            return f"{'max' if quota == '-1' else quota} {period}"
        found = files.read(self.file(name)).strip()
        if name == "memory.max" and not self._is_v2("memory") and int(found) >= _NO_LIMIT:
            return "max"
        return found

    def write(self, name: str, text: str | int) -> None:
        """Write *text* into the file *name*.  Raises :class:`OSError` as the kernel does."""
        text = str(text)
        if name == "cgroup.procs":
            self._move(text)
        elif name == "memory.swap.max" and not os.path.exists(self.file(name)):
            return  # version 1 counts memory and swap together; or this kernel does not count swap
        elif name == "cpu.max" and not self._is_v2("cpu"):
            self._write_cpu_max(text)
        elif name == "memory.max" and text == "max" and not self._is_v2("memory"):
            files.write(self.file(name), "-1")
        else:
            files.write(self.file(name), text)

    def remove(self, kill: bool = True) -> None:
        """Kill its processes, and remove it and the groups below it.  A caller that is inside is moved out first."""
        if os.getpid() in self.processes():
            for directory in self._home:
                files.attempt(f"{directory}/cgroup.procs", str(os.getpid()))
        super().remove(kill)
        if _made.get(self.name) is self:
            del _made[self.name]

    def _is_v2(self, controller: str) -> bool:
        return self.is_v2(self.directories[controller])

    def _move(self, pid: str) -> None:
        if pid in ("0", str(guard.notebook)) and os.getpid() == guard.notebook:
            raise RuntimeError("this would limit the notebook itself: start the cell with %%child")
        for directory in self._all():
            files.write(f"{directory}/cgroup.procs", pid)

    def _write_cpu_max(self, text: str) -> None:
        """Version 1: the two numbers have a file each.  What version 2 would refuse is refused here as well."""
        quota, period, *_ = [*text.split(), "", ""]  # version 2 takes no notice of further words
        number = -1 if quota == "max" else int(quota) if quota.isdigit() else 0
        if not number or (period and not period.isdigit()):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.file("cpu.max"))
        directory, (quota_file, period_file) = self.directories["cpu"], _V1_CPU
        if period:
            files.write(f"{directory}/{period_file}", period)
        files.write(f"{directory}/{quota_file}", str(number))


_made: dict[str, Group] = {}  # by their names: those of this process
_V1_CPU = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


def _groups_of_caller() -> list[str]:
    """The directories of the control groups that the caller is in.  Source: cgroups(7), /proc/PID/cgroup."""
    points, unified = hierarchy.find_hierarchies()
    found = []
    for line in files.read("/proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        point = points.get(names.split(",")[0]) if names else unified
        if point:
            found.append(point + path)
    return found


def stand_in(group: Group) -> None:
    """Give the caller a ``/sys/fs/cgroup`` of its own, that of a machine in which *group* is the top of each tree.

    For a ``%%child``: what a program from a tutorial makes there is made below *group*, and goes with it.
    """
    guard.stay_here("stand_in()")
    unshare(CLONE_NEWNS)
    k.mount(None, "/", None, k.MS_PRIVATE | k.MS_REC)
    opened = {controller: os.open(directory, os.O_PATH) for controller, directory in group.directories.items()}
    if hierarchy.mode() != "v2":
        k.mount("cgroups", _ROOT, "tmpfs")
    for controller, descriptor in opened.items():
        point = _ROOT if hierarchy.mode() == "v2" else f"{_ROOT}/{controller}"
        os.makedirs(point, exist_ok=True)
        k.mount(f"/proc/self/fd/{descriptor}", point, None, k.MS_BIND)
        os.close(descriptor)
        if hierarchy.mode() == "v2":
            break
