"""What the host looks like: mounts, links, control groups, firewall rules, processes, files of containers.

A container takes all of these from its host, and must release all of them.  :func:`snapshot` writes
them down, and :func:`difference` says in words what two snapshots do not share.  For what
a notebook has left, and how to remove it, see :mod:`.trace`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections import Counter

from minict.runtime import paths

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

#: The kinds of things that are compared, and their names in messages to a learner.
KINDS = {
    "mounts": "mounts",
    "links": "network links",
    "cgroups": "control groups",
    "rules": "firewall rules",
    "processes": "processes",
    "files": "files of containers",
}

# Processes that the first container may start and that serve all later ones: no container left them behind.
_SERVANTS = ("minict.runtime.zygote", "minict/runtime/zygote", "multiprocessing.resource_tracker")

# Directories below MINICT_RUN whose files serve future containers, as the lock files do.
_KEPT = ("seccomp", "events")

# Every process that a notebook starts inherits this variable, even one whose parent has died (see _processes).
_MARK = "MINICT_STARTED_BY"


class Snapshot:
    """The state of the host at one moment: for each of :data:`KINDS`, how often each thing was there."""

    def __init__(self, **kinds: Counter):
        self.kinds = kinds

    def __eq__(self, other):
        return isinstance(other, Snapshot) and self.kinds == other.kinds

    def __repr__(self):
        counts = ", ".join(f"{words} {self.kinds[kind].total()}" for kind, words in KINDS.items())
        return f"<Snapshot: {counts}>"


def snapshot() -> Snapshot:
    """The mounts, links, control groups, firewall rules, processes and files of containers that are there now.

    Mounts and links are those of the caller's namespaces.  Control groups are those below
    ``MINICT_CGROUP``, in every hierarchy.  Processes are this one's descendants and whatever runs in
    one of those control groups.  Takes 10 to 30 milliseconds, most of them for ``nft``.
    """
    return Snapshot(
        mounts=_mounts(), links=_links(), cgroups=_cgroups(), rules=_rules(), processes=_processes(), files=_files()
    )


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """What differs between two snapshots, a sentence each; an empty list when nothing does."""
    sentences = []
    for kind, words in KINDS.items():
        old, new = before.kinds[kind], after.kinds[kind]
        sentences += [f"{words}: new: {thing}" for thing in sorted((new - old).elements())]
        # A process that ended does not count; anything else that has disappeared belonged to another program.
        if kind != "processes":
            sentences += [f"{words}: gone: {thing}" for thing in sorted((old - new).elements())]
    return sentences


def settle(before: Snapshot, seconds: float = 3.0, meanwhile=lambda: None, look=snapshot) -> list[str]:
    """The difference between *before* and now, after waiting at most *seconds* for things that are just being removed.

    The kernel takes a dying network namespace apart in the background, and a killed process needs a moment.
    *meanwhile* is called before each *look*.
    """
    end = time.monotonic() + seconds
    pause = 0.005
    while True:
        meanwhile()
        left = difference(before, look())
        if not left or time.monotonic() > end:
            return left
        time.sleep(pause)
        pause = min(pause * 2, 0.2)


# ---- the six kinds ---------------------------------------------------------------------------------------------


def mount_table(pid: int | str = "thread-self") -> list[dict]:
    """The mounts that the process *pid* sees, in the kernel's order.  Source: proc_pid_mountinfo(5)."""
    table = []
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.rstrip("\n").partition(" - ")
            id, parent, device, root, point, options, *tags = left.split(" ")
            fstype, source, superoptions = right.split(" ", 2)
            table.append(
                {
                    "id": int(id),
                    "parent": int(parent),
                    "device": device,
                    "root": _unescape(root),
                    "point": _unescape(point),
                    "options": options,
                    "tags": tags,
                    "type": fstype,
                    "source": _unescape(source),
                    "superoptions": superoptions,
                }
            )
    return table


def _unescape(word: str) -> str:
    """mountinfo writes a space, a tab, a newline and a backslash in octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, character)
    return word


def _mounts() -> Counter:
    return Counter(f"{m['type']} on {m['point']} ({m['options']})" for m in mount_table())


def _links() -> Counter:
    # Not from /sys/class/net: that shows the network namespace in which /sys was mounted, not the caller's.
    return Counter(name for _, name in socket.if_nameindex())


def cgroup_trees() -> list[str]:
    """``MOUNT/MINICT_CGROUP`` of every control group hierarchy in which that directory exists."""
    points = [m["point"] for m in mount_table() if m["type"] in ("cgroup", "cgroup2")]
    trees = [f"{point}/{paths.cgroup_parent()}" for point in dict.fromkeys(points)]
    return [tree for tree in trees if os.path.isdir(tree)]


def remove_cgroups(directories: list[str], seconds: float = 3.0) -> None:
    """Kill all processes in these control groups and below them, frozen or not, and remove the groups, within
    *seconds*."""
    below = [directory for each in directories for directory, _, _ in os.walk(each, topdown=False)]
    end = time.monotonic() + seconds
    while below and time.monotonic() < end:
        for directory in below:
            for file, text in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):  # a frozen process does not die
                _write_if_there(f"{directory}/{file}", text)
            for pid in _read_if_there(f"{directory}/cgroup.procs").split():
                if pid == "0":
                    # 0: a process in a pid namespace that we can't see into; kill(0) would signal our own group
                    continue
                try:
                    os.kill(int(pid), 9)
                except ProcessLookupError:
                    pass
        below = [directory for directory in below if not _removed(directory)]
        if below:
            time.sleep(0.02)


def _removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        pass
    except OSError:
        return False  # a killed process has not quite ended
    return True


def _write_if_there(path: str, text: str) -> None:
    if os.path.exists(path):
        try:
            with open(path, "w") as file:
                file.write(text)
        except OSError:
            pass


def _read_if_there(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""  # the directory has just been removed, or the hierarchy forbids reading (threaded)


def _cgroups() -> Counter:
    """Only what is below ``MINICT_CGROUP``: the directory itself stays for the next container."""
    return Counter(
        os.path.join(directory, name)
        for tree in cgroup_trees()
        for directory, names, _ in os.walk(tree)
        for name in names
    )


def _rules() -> Counter:
    """Every line of the firewall's rules, preceded by its headings; -s leaves the packet counters out."""
    if not shutil.which("nft"):
        return Counter()
    result = subprocess.run(["nft", "-s", "list", "ruleset"], capture_output=True, text=True, timeout=30)
    rules, headings = Counter(), []
    for line in map(str.strip, result.stdout.splitlines()):
        if line.endswith("{"):
            headings.append(line[:-1].strip())
            rules[" / ".join(headings)] += 1
        elif line == "}":
            headings.pop()
        elif line:
            rules[" / ".join([*headings, line])] += 1
    return rules


class Process:
    """/proc/PID/stat: the command, the parent, the process group, and the state: running (R, S, D) or a zombie (Z).
    Source: proc_pid_stat(5)."""

    def __init__(self, pid: int):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
        self.pid = pid
        self.name = text[text.index("(") + 1 : text.rindex(")")]
        rest = text[text.rindex(")") + 2 :].split()
        self.state, self.parent, self.group = rest[0], int(rest[1]), int(rest[2])

    def read(self, file: str) -> bytes:
        """The bytes of ``/proc/PID/file``; none when the process has just ended."""
        try:
            with open(f"/proc/{self.pid}/{file}", "rb") as stream:
                return stream.read()
        except OSError:
            return b""


def process_table() -> dict[int, Process]:
    """Every process that /proc shows, by its number."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                table[int(name)] = Process(int(name))
            except OSError:
                pass  # ended since the directory was read
    return table


def numbers(process: Process) -> list[int]:
    """The process's number in each pid namespace from ours to its own.  Source: proc_pid_status(5), NSpid."""
    for line in process.read("status").decode().splitlines():
        if line.startswith("NSpid:"):
            return [int(word) for word in line.split()[1:]]
    return [process.pid]


def descendants(table: dict[int, Process], ancestor: int) -> set[int]:
    """The pids of all descendants of *ancestor* in *table*."""
    children: dict[str, Any] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    found, new = set(), [ancestor]
    while new:
        new = [child for parent in new for child in children.get(parent, ()) if child not in found]
        found.update(new)
    return found


def is_servant(process: Process) -> bool:
    """Whether *process* serves all containers of this notebook and belongs to none, as the zygote does."""
    return any(servant in process.read("cmdline").decode(errors="replace") for servant in _SERVANTS)


def _processes() -> Counter:
    """This process's descendants, those in our control groups, and orphans that were started from here."""
    table = process_table()
    inside = set()
    for tree in cgroup_trees():
        for directory, _, _ in os.walk(tree):
            inside.update(map(int, _read_if_there(f"{directory}/cgroup.procs").split()))
    family = descendants(table, os.getpid())
    mark = f"{_MARK}={os.environ.get(_MARK)}".encode()
    own_command = table[os.getpid()].read("cmdline")
    found = Counter()
    for pid, process in table.items():
        if pid == os.getpid():
            continue
        command = process.read("cmdline")
        orphan = command == own_command or mark in process.read("environ").split(b"\0")
        words = command.replace(b"\0", b" ").decode(errors="replace").strip() or process.name
        if (pid in family or pid in inside or orphan) and not is_servant(process):
            zombie = " (ended, nobody waited for it)" if process.state == "Z" else ""
            found[f"{pid} {words}{zombie}"] += 1
    return found


def _files() -> Counter:
    """All below ``MINICT_RUN``, and the directories of containers and volumes below ``MINICT_ROOT``."""
    found = Counter(
        os.path.join(directory, name)
        for directory, _, files in os.walk(paths.run_root())
        if os.path.basename(directory) not in _KEPT
        for name in files
        if not name.endswith("lock")
    )
    for holder in (f"{paths.run_root()}/containers", f"{paths.data_root()}/containers", f"{paths.data_root()}/volumes"):
        if os.path.isdir(holder):
            found.update(entry.path for entry in os.scandir(holder) if not entry.name.endswith("lock"))
    return found


# ---- whose a process is --------------------------------------------------------------------------------------------


def mark_what_we_start() -> None:
    """Mark everything that this process starts from now on, descendants included."""
    os.environ[_MARK] = str(os.getpid())


def is_marked(process: Process) -> bool:
    """Whether *process* was started by this process or one of its descendants."""
    return f"{_MARK}={os.environ.get(_MARK)}".encode() in process.read("environ").split(b"\0")
