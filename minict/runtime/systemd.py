"""A control group that systemd creates: a transient scope, for engines whose cgroup manager is systemd.

systemd owns the tree of control groups on its machines. Others ask it for a part of the tree, a scope with
``Delegate=yes``. ``systemd-run`` and ``systemctl`` ask here: they come with systemd, make the D-Bus call
(``StartTransientUnit``), and wait for its job, so that this package needs no D-Bus client.

A scope ends with its last process. So a process that does nothing, ``cat``, keeps it until the container's first
process is in it; when we are killed, ``cat`` reads the end of its input, and the scope is gone.

Source: https://systemd.io/CGROUP_DELEGATION; systemd-run(1); systemd.scope(5); runc, docs/systemd.md.
"""

from __future__ import annotations

import os

from .cgroup import Cgroup, files
from .cgroup.hierarchy import mode
from .errors import ContainerError
from .place import in_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

# property of a unit -> the file of cgroup v2 that has its value. Source: systemd.resource-control(5)
_PROPERTIES = {
    "MemoryMax": "memory.max",
    "MemoryLow": "memory.low",
    "MemorySwapMax": "memory.swap.max",
    "TasksMax": "pids.max",
    "CPUWeight": "cpu.weight",
    "AllowedCPUs": "cpuset.cpus",
    "AllowedMemoryNodes": "cpuset.mems",
}


class Scope:
    """The scope that a cgroupsPath of the form ``SLICE:PREFIX:NAME`` names; without one it is named after the *id*.

    Raises :class:`ContainerError` for another form, and where systemd cannot do it. Source: runc(8), --systemd-cgroup.
    """

    def __init__(self, notation: str, id: str) -> None:
        if notation and notation.count(":") != 2:
            raise ContainerError(
                f"the cgroup {notation} is not named as systemd needs it (linux.cgroupsPath): write "
                "SLICE:PREFIX:NAME, or leave out --systemd-cgroup"
            )
        slice, prefix, name = (notation or f":minict:{id}").split(":")
        self.slice = slice or "system.slice"
        self.unit = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
        if not name or "/" in notation or name.endswith(".slice"):
            raise ContainerError(f"invalid name of a scope {notation!r} (linux.cgroupsPath): write SLICE:PREFIX:NAME")
        if mode() != "v2" or in_user_namespace() or not os.path.isdir("/run/systemd/system"):
            raise ContainerError(
                "control groups by systemd need a machine with systemd and cgroup v2, and root: set the engine's "
                "cgroup manager to cgroupfs (Podman: cgroup_manager, Docker: native.cgroupdriver, containerd: "
                "SystemdCgroup)"
            )
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def path(self) -> str:
        """The path of its control group, such as ``/machine.slice/libpod-0123.scope``."""
        return "/".join(["", *slices(self.slice), self.unit])

    def start(self) -> None:
        """Create the scope; its first process is our own. Raises :class:`ContainerError` with systemd's reason."""
        import subprocess  # slow, as in the functions below

        properties = ["Delegate=yes", "TasksMax=infinity"]
        words = ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={self.unit}", f"--slice={self.slice}"]
        words += [*(f"--property={each}" for each in properties), "--", "cat"]
        try:
            keeper = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        except FileNotFoundError:
            raise ContainerError("systemd-run is not there: set the engine's cgroup manager to cgroupfs") from None
        assert keeper.stdin and keeper.stdout
        try:
            keeper.stdin.write(b"\n")
        except BrokenPipeError:
            pass
        if not keeper.stdout.read(1):  # cat would have answered
            why = keeper.communicate()[1].decode(errors="replace").strip()
            raise ContainerError(f"systemd has not created the scope {self.unit}: {why}")
        self._keeper = keeper

    def release(self) -> None:
        """End our own process in the scope. It may have none."""
        if self._keeper is not None:
            self._keeper.communicate()  # closes its input
            self._keeper = None


def slices(name: str) -> list[str]:
    """A slice and those that it is part of: ``a-b.slice`` is in ``a.slice``; ``-.slice`` is the root.

    Raises :class:`ContainerError`. Source: systemd.slice(5).
    """
    stem, dot, suffix = name.rpartition(".")
    parts = stem.split("-")
    if name == "-.slice":
        return []
    if dot + suffix != ".slice" or not all(parts) or "/" in name:
        raise ContainerError(f"invalid name of a slice {name!r} (linux.cgroupsPath): write one such as machine.slice")
    return ["-".join(parts[: number + 1]) + ".slice" for number in range(len(parts))]


def keep_limits(group: Cgroup) -> None:
    """Tell systemd the limits that *group*, a scope, has: at its next ``daemon-reload`` it writes all that it knows.

    Raises :class:`ContainerError`. Source: systemctl(1), set-property; systemd.resource-control(5).
    """
    import subprocess

    directory = group.v2_directory()
    unit = group.path.rpartition("/")[2]
    words = ["systemctl", "set-property", "--runtime", unit]
    for name, file in _PROPERTIES.items():
        value = files.read_if_there(f"{directory}/{file}")
        if value is not None:
            words.append(f"{name}={value.strip().replace('max', 'infinity')}")
    quota, period = (files.read_if_there(f"{directory}/cpu.max") or "max 100000").split()
    percent = "" if quota == "max" else f"{int(quota) * 100 / int(period):.2f}%"
    done = subprocess.run([*words, f"CPUQuota={percent}", f"CPUQuotaPeriodSec={period}us"], capture_output=True)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip()
        raise ContainerError(f"systemd has not accepted the limits of the scope {unit}: {why}")


def stop(path: str) -> None:
    """Let systemd forget the scope with the control group *path*, whose processes have ended; it may have done so.

    A scope of that name with another control group is somebody else's. Source: systemctl(1), stop.
    """
    import subprocess

    unit = path.rpartition("/")[2]
    shown = subprocess.run(["systemctl", "show", "--value", "--property=ControlGroup", unit], capture_output=True)
    if shown.stdout.decode().strip() == path:
        subprocess.run(["systemctl", "stop", "--quiet", unit], capture_output=True)
