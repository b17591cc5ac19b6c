"""The resources that containers use now: ``minict stats`` and ``minict top``.

The kernel counts them: in the control group (:mod:`minict.runtime.cgroup`, with the same names for versions 1 and 2),
and at the interfaces of the container's network namespace (/proc/PID/net/dev).
"""

from __future__ import annotations

import os
import time

from minict.engine.containers.store import Record
from minict.engine.util import table
from minict.runtime.cgroup.hierarchy import missing
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

HEADINGS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
COLUMNS = [name for name in HEADINGS if name != "Container"]


class Sample:
    """What a container has used up to one moment; all zero when it does not run."""

    def __init__(self, record: Record):
        self.record, self.pid = record, record.pid
        self.time = time.monotonic()
        group = RuntimeContainer(record.id).cgroup
        if self.pid and not group.directories:
            raise missing("stats", "memory")
        self.stats = group.stats() if self.pid else {}
        self.received, self.sent = traffic(self.pid) if self.pid else (0, 0)

    def row(self, before: Sample | None, *, whole: bool = False) -> dict:
        """The row of ``stats``; CPU time counts from the sample *before*.

        100 % is one CPU. Memory leaves out file cache that is not in active use (inactive_file), as Docker's does.
        """
        memory, pids, disks = (self.stats.get(name) or {} for name in ("memory", "pids", "io"))
        limit = min(memory.get("limit") or 1 << 62, memory_of_the_host()) if memory else 0
        used = max(0, (memory.get("usage") or 0) - (memory.get("inactive_file") or 0))
        return {
            "Container": self.record.name,
            "ID": self.record.id if whole else self.record.id[:12],
            "Name": self.record.name,
            "CPUPerc": f"{self.processors(before):.2f}%",
            "MemUsage": f"{table.binary_size(used)} / {table.binary_size(limit)}",
            "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
            "NetIO": f"{table.size(self.received)} / {table.size(self.sent)}",
            "BlockIO": f"{table.size(disks.get('read_bytes') or 0)} / {table.size(disks.get('write_bytes') or 0)}",
            "PIDs": str(pids.get("current") or 0),
        }

    def processors(self, before: Sample | None) -> float:
        """CPU time since the sample *before*, in percent of one CPU."""
        now, then = ((sample.stats.get("cpu") or {}).get("usage_us") or 0 if sample else 0 for sample in (self, before))
        if not before or before.pid != self.pid or self.time <= before.time:
            return 0.0
        return max(0, now - then) / 1e4 / (self.time - before.time)


def traffic(pid: int) -> tuple[int, int]:
    """The bytes received and sent in the network namespace of *pid*, without loopback.

    For a container in the host's network they are the host's. Source: proc_pid_net(5), dev.
    """
    received = sent = 0
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            for line in file.readlines()[2:]:
                name, _, numbers = line.partition(":")
                if name.strip() != "lo":
                    received += int(numbers.split()[0])
                    sent += int(numbers.split()[8])
    except (FileNotFoundError, ProcessLookupError, OSError):
        pass  # it has just ended
    return received, sent


def memory_of_the_host() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def follow(find, show, *, interval: float = 1.0, once: bool = False, whole: bool = False) -> None:
    """Show the resource usage of containers again and again until interrupted; with *once* a single time.

    *find* returns the records, and is called each time, so that new containers appear; *show* gets their rows. *whole*:
    full ids (``--no-trunc``).
    """
    before = {record.id: Sample(record) for record in find()}
    time.sleep(min(interval, 0.5))
    while True:
        samples = [Sample(record) for record in find()]
        show([sample.row(before.get(sample.record.id), whole=whole) for sample in samples])
        if once:
            return
        before = {sample.record.id: sample for sample in samples}
        time.sleep(interval)


def processes(record: Record, options: Sequence[str] = ()) -> str:
    """The processes of the container in the words of the host's ps(1) with *options* (``-ef``).

    The image may have no ps; the numbers are the host's. Raises :class:`ContainerError`.
    """
    import subprocess

    if record.pid is None:
        raise ContainerError(f"the container {record.name} is not running")
    try:
        done = subprocess.run(
            ["ps", *(options or ["-ef"])],
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "10000"},
        )
    except FileNotFoundError:
        raise ContainerError("this host has no ps: install procps") from None
    if done.returncode:
        reason = next(iter(done.stderr.strip().splitlines()), "")
        raise ContainerError(f"top: 'ps {' '.join(options)}' failed: {reason.removeprefix('error: ')}")
    heading, *lines = done.stdout.splitlines() or [""]
    titles = heading.split()
    if "PID" not in titles:
        raise ContainerError("top: the output of ps must contain the PID: add -o pid")
    column, ours = titles.index("PID"), set(RuntimeContainer(record.id).processes())
    rows = [row for row in (line.split(None, len(titles) - 1) for line in lines) if len(row) > column]
    return table.aligned(
        [titles, *(row for row in rows if row[column].isdecimal() and int(row[column]) in ours)], least=20
    )
