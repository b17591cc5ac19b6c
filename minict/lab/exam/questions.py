"""Twenty questions about a container that somebody else has started; an exam asks fifteen of them.

Each question knows where the kernel shows its answer: it looks there when an answer is checked, not before.
"""

from __future__ import annotations

import os
import re

from minict.runtime.cgroup import Cgroup, hierarchy
from minict.runtime.namespaces import identify

from .. import groups, host
from ..child import supervise

_KINDS = ("cgroup", "ipc", "mount", "network", "pid", "uts")
_LONG_NAMES = {"mnt": "mount", "net": "network"}  # the kernel's file -> the word
_SIGNALS = {1: "HUP", 2: "INT", 3: "QUIT", 10: "USR1", 12: "USR2", 15: "TERM"}


class Question:
    """A question: its *text*, the *place* where the kernel shows the answer, and the function *look* that reads it.

    *look* gets the :class:`.stranger.Stranger`: its ``pid`` and ``directory``, and the ``nap`` of one of its processes.
    *kind* says how an answer is read: int, float, str, bool, or set for several words.
    """

    def __init__(self, kind: type, text: str, place: str, look):
        self.kind, self.text, self.place, self.look = kind, text, place, look

    def is_answered_by(self, answer: object, stranger) -> bool:
        """Whether *answer* is what the kernel shows now.  Raises :class:`ValueError` for one that can't be read."""
        return read(self.kind, answer) == self.look(stranger)


def read(kind: type, answer: object) -> object:
    """*answer*, as a learner has typed it, as a value of *kind*.  Raises :class:`ValueError` with a sentence."""
    if kind is set:
        if not isinstance(answer, (str, list, tuple, set)):
            raise ValueError(f"{answer!r} is not a text with words")
        words = answer.replace(",", " ").split() if isinstance(answer, str) else answer
        plain = [str(word).lower().removeprefix("sig") for word in words]
        return {_LONG_NAMES.get(word, word) for word in plain} - {"none", "and"}
    text = str(answer).strip()
    if kind is str:  # as readlink, environ, or a shell that completes paths show it
        text = text.removesuffix(" (deleted)").removeprefix("COLOUR=")
        return text.rstrip("/") or text
    if kind is bool:
        if text.lower() not in ("yes", "no", "true", "false"):
            raise ValueError(f"{answer!r} is neither 'yes' nor 'no'")
        return text.lower() in ("yes", "true")
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{answer!r} is not a number: leave out units and words") from None
    return int(text) if kind is int and text.isdecimal() else number  # 3.0 is 3, too


# ---- looking ---------------------------------------------------------------------------------------------------------


def status(pid: int, name: str) -> str:
    """The value of the line *name* in /proc/PID/status, or "" if the process is gone.  Source: proc_pid_status(5)."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith(f"{name}:"))
    except (FileNotFoundError, ProcessLookupError):
        return ""


def members(pid: int) -> list[int]:
    """The pids, as this machine counts, of all processes in the pid namespace of *pid*."""
    wanted, found = os.stat(f"/proc/{pid}/ns/pid").st_ino, []
    for each in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{each}/ns/pid").st_ino == wanted:
                found.append(int(each))
        except OSError:
            pass  # it has ended meanwhile
    return sorted(found)


def zombies(pid: int) -> list[int]:
    """Those of :func:`members` that have ended, and for which nobody has waited."""
    return [each for each in members(pid) if status(each, "State").startswith("Z")]


def limit(pid: int, name: str) -> str:
    """What the file *name*, as version 2 calls it, of the control group of *pid* says."""
    return _GroupOf(pid).read(name)


class _GroupOf(groups.Group):
    """The control group of a process, which somebody else has made."""

    def __init__(self, pid: int):
        with open(f"/proc/{pid}/cgroup") as file:
            lines = [line.strip().split(":", 2) for line in file]
        Cgroup.__init__(
            self, next(path for _, names, path in lines if "pids" in names.split(",") or hierarchy.mode() == "v2")
        )


def _processors(stranger) -> float:
    quota, period = limit(stranger.pid, "cpu.max").split()
    return int(quota) / int(period)


def _host_name(stranger) -> str:
    from minict.runtime.namespaces import enter

    def inside() -> str:
        enter(f"/proc/{stranger.pid}/ns/uts", "uts")
        return os.uname().nodename

    return str(supervise(inside).value)


def _mounts_of(stranger) -> dict[str, list[str]]:
    """Where it has mounts, and with which options: the last one of each place.  Source: proc_pid_mountinfo(5)."""
    with open(f"/proc/{stranger.pid}/mountinfo") as file:
        rows = [line.split() for line in file]
    return {row[4]: row[5].split(",") for row in rows}


def _volume(stranger) -> str:
    def is_it(point: str) -> bool:
        try:
            return os.path.samefile(f"/proc/{stranger.pid}/root{point}", stranger.directory)
        except OSError:
            return False

    return next(point for point in _mounts_of(stranger) if is_it(point))


def _inner_pid(stranger) -> int:
    wanted = f"sleep\0{stranger.nap}\0".encode()
    return next(
        int(status(pid, "NSpid").split()[-1])
        for pid in members(stranger.pid)
        if host.process_table()[pid].read("cmdline") == wanted
    )


def _deleted(stranger) -> str:
    folder = f"/proc/{stranger.pid}/fd"
    targets = [os.readlink(f"{folder}/{each}") for each in os.listdir(folder)]
    return next(each.removesuffix(" (deleted)") for each in targets if re.match(r"/tmp/.* \(deleted\)$", each))


def _variable(stranger) -> str:
    with open(f"/proc/{stranger.pid}/environ") as file:
        return dict(each.split("=", 1) for each in file.read().split("\0") if each)["COLOUR"]


def _shared(stranger) -> set[str]:
    ours, theirs = identify(), identify(stranger.pid)
    return {kind for kind in _KINDS if ours[kind] == theirs[kind]}


def _ignored(stranger) -> set[str]:
    bits = int(status(stranger.pid, "SigIgn"), 16)
    return {name.lower() for number, name in _SIGNALS.items() if bits >> number - 1 & 1}


def _line(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


QUESTIONS = [
    Question(
        set,
        f"Which of these namespaces does it share with this notebook: {', '.join(_KINDS)}? (words, or 'none')",
        "the links in /proc/PID/ns, beside those in /proc/self/ns",
        _shared,
    ),
    Question(
        int,
        "How many bytes of memory may it use?",
        "memory.max of its control group, whose path is in /proc/PID/cgroup (version 1 has memory.limit_in_bytes)",
        lambda it: int(limit(it.pid, "memory.max")),
    ),
    Question(
        int,
        "How many processes may it have at the same time?",
        "pids.max of its control group",
        lambda it: int(limit(it.pid, "pids.max")),
    ),
    Question(
        float,
        "How much of a processor may it use? (1.0 is a whole one)",
        "cpu.max of its control group: the quota, divided by the period (version 1 has a file for each)",
        _processors,
    ),
    Question(
        int,
        "Which process is the parent of its process 1? (the pid out here)",
        "the line PPid of /proc/PID/status",
        lambda it: int(status(it.pid, "PPid")),
    ),
    Question(
        int,
        "How many processes are in it, zombies counted?",
        "the children of PID, and their children; or all whose /proc/…/ns/pid is the same",
        lambda it: len(members(it.pid)),
    ),
    Question(
        int,
        "How many zombies are in it?",
        "the line State in /proc/…/status of each of its processes",
        lambda it: len(zombies(it.pid)),
    ),
    Question(
        int,
        "One of its processes is 'sleep {nap}'. Which pid does it have inside?",
        "the line NSpid of its /proc/…/status",
        _inner_pid,
    ),
    Question(
        str, "Which host name does it see?", "its uts namespace: enter it in a %%child, and ask os.uname()", _host_name
    ),
    Question(
        str,
        "One directory of the host is mounted in it as a volume. At which path?",
        "/proc/PID/mountinfo: the fourth field is a directory in the file system of the host, the fifth the path",
        _volume,
    ),
    Question(
        bool,
        "Is that volume mounted read-only? (yes or no)",
        "the options, the sixth field, of that line in /proc/PID/mountinfo",
        lambda it: "ro" in _mounts_of(it)[_volume(it)],
    ),
    Question(
        bool,
        "Is its root file system mounted read-only? (yes or no)",
        "the options of / in /proc/PID/mountinfo",
        lambda it: "ro" in _mounts_of(it)["/"],
    ),
    Question(
        int,
        "Which user id does its process 1 have?",
        "the line Uid of /proc/PID/status",
        lambda it: int(status(it.pid, "Uid").split()[0]),
    ),
    Question(
        int,
        "How many capabilities are in its bounding set?",
        "the line CapBnd of /proc/PID/status: a bit for each",
        lambda it: int(status(it.pid, "CapBnd"), 16).bit_count(),
    ),
    Question(
        int,
        "How many filters judge its system calls? (0: none)",
        "the line Seccomp_filters of /proc/PID/status",
        lambda it: int(status(it.pid, "Seccomp_filters")),
    ),
    Question(
        str,
        "Its process 1 has a file open that was deleted. What was its path inside?",
        "the links in /proc/PID/fd",
        _deleted,
    ),
    Question(str, "What does its environment say that COLOUR is?", "/proc/PID/environ", _variable),
    Question(
        set,
        f"Which of these signals does its process 1 ignore: {', '.join(_SIGNALS.values())}? (words, or 'none')",
        "the line SigIgn of /proc/PID/status: the lowest bit is signal 1",
        _ignored,
    ),
    Question(
        int,
        "How many points are added when the kernel looks for somebody to kill, because memory is short?",
        "/proc/PID/oom_score_adj",
        lambda it: int(_line(f"/proc/{it.pid}/oom_score_adj")),
    ),
    Question(
        str,
        "In which directory does its process 1 work?",
        "the link /proc/PID/cwd",
        lambda it: os.readlink(f"/proc/{it.pid}/cwd"),
    ),
]
