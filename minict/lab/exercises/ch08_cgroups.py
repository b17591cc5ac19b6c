"""Chapter 08: the counters of a group, its limit on processor time, the end of all its processes, and room below it."""

from __future__ import annotations

import errno
import os
import select
import signal
import time

from minict.runtime import process
from minict.runtime.cgroup import files, limits
from minict.runtime.cgroup import group as cgroup_group

from ..challenge import Challenge
from ..exercise import Exercise
from ..feedback import Feedback
from ..groups import Group

_ENOUGH = 6  # looks at a list that has grown each time, after which another look does not help
_IN_VAIN = 300  # looks at frozen processes, which do not die in version 1
_PATIENCE = 5  # seconds in which the kernel, on a busy machine, ends what was killed


def _until(condition) -> bool:
    """Wait for a state; whether it has come."""
    end, pause = time.monotonic() + _PATIENCE, 0.001
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True


def _start(group: Group, work, deaf: bool = False) -> int:
    """A process in *group* that calls work(); returns its number when it is in there.

    *deaf*: it ignores every signal that can be ignored.
    """
    ready, told = os.pipe()

    def begin():
        os.setpgid(0, 0)  # else killpg() would end the check itself
        for number in range(1, 32) if deaf else ():
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_IGN)
        group.write("cgroup.procs", 0)
        os.write(told, b"!")
        os.close(told)
        work()

    pid = process.spawn(begin)
    os.close(told)
    os.read(ready, 1)
    os.close(ready)
    return pid


# ---- cgroups-1 -------------------------------------------------------------------------------------------------


def check_read_flat_keyed(read_flat_keyed):
    """The counters of a group in which nothing runs, so that they stand still; one with a number; and no group."""
    group = Group("exercise")
    try:
        pid = _start(group, lambda: os._exit(0))
        os.waitpid(pid, 0)
        group.write("pids.max", 1)
        for name in ("cpu.stat", "memory.stat", "memory.events", "pids.events"):
            path = group.file(name)
            expected = dict(line.split() for line in files.read(path).splitlines())
            _compare(read_flat_keyed(path), expected, os.path.basename(path))
    finally:
        group.remove()
    try:
        gone = read_flat_keyed(path)
    except (FileNotFoundError, OSError) as error:
        raise Feedback(
            f"the group was removed, and read_flat_keyed() of one of its files raised {type(error).__name__}. A "
            "container may end at any time, and then there is nothing to count: return an empty dictionary."
        ) from None
    if gone != {}:
        raise Feedback(f"the group was removed, and read_flat_keyed() returned {gone!r}. Expected: {{}}.")


def _compare(found, expected: dict[str, str], name: str) -> None:
    if not isinstance(found, dict):
        raise Feedback(f"read_flat_keyed() of {name} returned {found!r:.80}, and not a dictionary.")
    if found == expected:
        raise Feedback(
            f"the numbers of {name} are still text, such as {next(iter(found.values()))!r}, and you can't calculate "
            "with text. int() turns it into a number."
        )
    right = {key: int(value) for key, value in expected.items()}
    if found == right:
        if strange := [value for value in found.values() if type(value) is not int]:
            raise Feedback(f"{name} has whole numbers, and the dictionary has {strange[0]!r}: use int().")
        return
    if len(right) > 1 and list(found.items()) == list(right.items())[-1:]:
        raise Feedback(
            f"of the {len(right)} lines of {name}, the dictionary has only the last one. Does each round of the loop "
            "make a new dictionary? Put the numbers into the one that is there: counters[name] = …"
        )
    if missing := [key for key in right if key not in found]:
        many = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        strange = [key for key in found if key not in right]
        look = f" It has {strange[0]!r} instead, which is not in the file." if strange else ""
        raise Feedback(f"{name} has a line for {missing[0]}{many}, which the dictionary lacks.{look}")
    key = next((key for key in right if found[key] != right[key]), None)
    if key is None:
        raise Feedback(f"{name} has no line for {next(key for key in found if key not in right)!r}.")
    raise Feedback(f"{name} says {key} {right[key]}, and the dictionary {found[key]!r}.")


Exercise(
    "cgroups-1",
    "Read the meters",
    minutes=6,
    difficulty=1,
    reference=files.read_flat_keyed,
    check=check_read_flat_keyed,
    imports="import os",
    starter='''
        def read_flat_keyed(path):
            """The counters in this file, as {name: number}; {} when the file is gone."""
            counters = {}
            try:
                with open(path) as file:
                    lines = file.read().splitlines()
            except FileNotFoundError:
                return counters
            ...    # each line is a name, a blank, and a number
            return counters
    ''',
    hints=[
        "Go through the lines one by one, with for.",
        "line.split() gives two words. Python can name both at once: name, number = line.split().",
        "The number is still text. int(number) turns it into a number, which belongs in counters[name].",
    ],
    right={
        "looks first": """
            def read_flat_keyed(path):
                if not os.path.exists(path):
                    return {}
                with open(path) as file:
                    return {name: int(number) for name, number in map(str.split, file)}
        """,
        "one expression": """
            def read_flat_keyed(path):
                try:
                    with open(path) as file:
                        return {name: int(number) for name, number in map(str.split, file)}
                except FileNotFoundError:
                    return {}
        """,
        "asks first": """
            def read_flat_keyed(path):
                if not os.path.exists(path):
                    return {}
                words = open(path).read().split()
                return dict(zip(words[::2], map(int, words[1::2])))
        """,
        "with a pattern": r"""
            def read_flat_keyed(path):
                import re
                try:
                    text = os.popen(f"cat {path} 2>/dev/null").read()
                except OSError:
                    text = ""
                return {m[1]: int(m[2]) for m in re.finditer(r"^(\S+) (\d+)$", text, re.M)}
        """,
    },
    wrong={
        "text": (
            """
            def read_flat_keyed(path):
                if not os.path.exists(path):
                    return {}
                with open(path) as file:
                    return dict(line.split() for line in file)
        """,
            "are still text",
        ),
        "the first line only": (
            """
            def read_flat_keyed(path):
                counters = {}
                if os.path.exists(path):
                    with open(path) as file:
                        name, number = file.readline().split()
                    counters[name] = int(number)
                return counters
        """,
            "which the dictionary lacks",
        ),
        "the last line only": (
            """
            def read_flat_keyed(path):
                counters = {}
                if os.path.exists(path):
                    for line in open(path):
                        counters = {line.split()[0]: int(line.split()[1])}
                return counters
        """,
            "only the last one",
        ),
        "not whole": (
            """
            def read_flat_keyed(path):
                if not os.path.exists(path):
                    return {}
                return {name: float(number) for name, number in map(str.split, open(path))}
        """,
            "whole numbers",
        ),
        "the other way round": (
            """
            def read_flat_keyed(path):
                counters = {}
                if os.path.exists(path):
                    for line in open(path):
                        name, number = line.split()
                        counters[int(number)] = name
                return counters
        """,
            "which is not in the file",
        ),
        "raises when the group is gone": (
            """
            def read_flat_keyed(path):
                with open(path) as file:
                    return {name: int(number) for name, number in map(str.split, file)}
        """,
            "return an empty dictionary",
        ),
        "None when the group is gone": (
            """
            def read_flat_keyed(path):
                try:
                    with open(path) as file:
                        return {name: int(number) for name, number in map(str.split, file)}
                except FileNotFoundError:
                    return None
        """,
            "Expected: {}",
        ),
        "a list of pairs": (
            """
            def read_flat_keyed(path):
                return [line.split() for line in open(path)]
        """,
            "not a dictionary",
        ),
    },
)


# ---- cgroups-2 -------------------------------------------------------------------------------------------------

# (quota, period, what the file then has): one after the other in one group, which begins with "max 100000"
_CPU_CASES = (
    (30000, None, "30000 100000"),
    (50000, 100000, "50000 100000"),
    (20000, None, "20000 100000"),
    (None, 50000, "20000 50000"),
    (0, 40000, "20000 40000"),
    (-1, None, "max 40000"),
    (-5, 50000, "max 50000"),
    (None, 100000, "max 100000"),
    (200000, 0, "200000 100000"),
)


def check_cpu_max(cpu_max):
    """Write what it returns into a real cpu.max, and look at what the kernel has there then."""
    group = Group("exercise")
    try:
        for quota, period, expected in _CPU_CASES:
            current = group.read("cpu.max")
            arguments = (quota, period, current) if current != "max 100000" else (quota, period)  # that is the default
            call = f"cpu_max({', '.join(map(repr, arguments))})"
            text = _text_for(cpu_max, arguments, call)
            if not isinstance(text, str):
                raise Feedback(f"{call} returned {text!r}. The file wants a text, such as '50000 100000'.")
            try:
                group.write("cpu.max", text)
            except OSError as error:
                raise Feedback(
                    f"{call} returned {text!r}, and the kernel refuses that for cpu.max: {error.strerror}. {_why(text)}"
                ) from None
            _judge_cpu_max(call, text, group.read("cpu.max"), expected, quota, period, current)
    finally:
        group.remove()


def _text_for(cpu_max, arguments: tuple, call: str):
    try:
        return cpu_max(*arguments)
    except TypeError as error:
        if "NoneType" not in str(error):
            raise
        line = getattr(error, "learners_line", "")
        missing = " and ".join(name for name, value in zip(("quota", "period"), arguments) if value is None)
        raise Feedback(
            f"{call} raised TypeError: {error}\n  in your line: {line}\n  Here {missing} is None, because it was not "
            "given, and you can't compare None or calculate with it: ask for that first, with if."
        ) from None


def _why(text: str) -> str:
    words = text.split()
    if "None" in words:
        return "None means that this part stays as it is: take it from current."
    if words and words[0].startswith("-"):
        return "A quota below 0 means unlimited; the file has the word max for that."
    if words and words[0].isdigit() and int(words[0]) < 1000:
        return "Both numbers are microseconds, and a quota is at least 1000 of them."
    return "It wants two words: a number or max, and a number."


def _judge_cpu_max(call: str, text: str, found: str, expected: str, quota, period, current: str) -> None:
    if found == expected:
        return
    told = f"{call} returned {text!r}, which makes cpu.max {found!r}. Expected: {expected!r}."
    if found.split() == expected.split()[::-1]:
        raise Feedback(f"{told} The quota comes first, the period second.")
    if not quota and found.split(maxsplit=1)[0] != expected.split(maxsplit=1)[0]:
        raise Feedback(f"{told} No quota was given, so the one in {current!r} stays.")
    if not period and found.split()[1] != expected.split()[1]:
        raise Feedback(f"{told} No period was given, so the one in {current!r} stays.")
    if period and found.split()[1] != expected.split()[1]:
        raise Feedback(f"{told} The period {period} was given, and the kernel did not get it.")
    raise Feedback(told)


Exercise(
    "cgroups-2",
    "So much, and in which time",
    minutes=8,
    difficulty=2,
    reference=limits.cpu_max,
    check=check_cpu_max,
    imports="import os",
    starter='''
        def cpu_max(quota, period, current="max 100000"):
            """What to write into cpu.max. None or 0: this number stays as in current. A quota below 0: no limit."""
            old_quota, old_period = current.split()
            ...
    ''',
    hints=[
        "Begin with the old values, and replace what is given: if quota: …",
        'The quota has three cases: not given, below 0 (then it becomes the word "max"), and a number.',
        "period or old_period is period, unless that is None or 0.",
    ],
    right={
        "case by case": """
            def cpu_max(quota, period, current="max 100000"):
                parts = current.split()
                if quota is not None and quota > 0:
                    parts[0] = str(quota)
                elif quota is not None and quota < 0:
                    parts[0] = "max"
                if period:
                    parts[1] = str(period)
                return " ".join(parts)
        """,
        "the kernel keeps the period": """
            def cpu_max(quota, period, current="max 100000"):
                first = ("max" if quota < 0 else quota) if quota else current.split()[0]
                return f"{first} {period}" if period else f"{first}"
        """,
        "with a line end": """
            def cpu_max(quota, period, current="max 100000"):
                q, p = current.split()
                return "{} {}".format({True: "max"}.get((quota or 0) < 0, quota or q), period or p)
        """,
    },
    wrong={
        "percent": (
            """
            def cpu_max(quota, period, current="max 100000"):
                old_quota, old_period = current.split()
                period = period or int(old_period)
                return f"{100 * quota // period} {period}" if quota else f"{old_quota} {period}"
        """,
            "at least 1000 of them",
        ),
        "minus one": (
            """
            def cpu_max(quota, period, current="max 100000"):
                old_quota, old_period = current.split()
                return f"{quota or old_quota} {period or old_period}"
        """,
            "the word max",
        ),
        "forgets the period": (
            """
            def cpu_max(quota, period, current="max 100000"):
                old_quota, old_period = current.split()
                first = ("max" if quota < 0 else quota) if quota else old_quota
                return f"{first} {period or 100000}"
        """,
            "so the one in",
        ),
        "no quota, no limit": (
            """
            def cpu_max(quota, period, current="max 100000"):
                old_quota, old_period = current.split()
                return f"{quota if quota and quota > 0 else 'max'} {period or old_period}"
        """,
            "No quota was given",
        ),
        "writes None": (
            """
            def cpu_max(quota, period, current="max 100000"):
                return f"{'max' if quota and quota < 0 else quota} {period}"
        """,
            "take it from current",
        ),
        "turned round": (
            """
            def cpu_max(quota, period, current="max 100000"):
                old_quota, old_period = current.split()
                first = ("max" if quota < 0 else quota) if quota else old_quota
                return f"{period or old_period} {first}"
        """,
            "The quota comes first",
        ),
        "only minus one": (
            """
            def cpu_max(quota, period, current="max 100000"):
                old_quota, old_period = current.split()
                return f"{'max' if quota == -1 else quota or old_quota} {period or old_period}"
        """,
            "A quota below 0",
        ),
        "no limit, no period": (
            """
            def cpu_max(quota, period, current="max 100000"):
                old_quota, old_period = current.split()
                return "max" if quota and quota < 0 else f"{quota or old_quota} {period or old_period}"
        """,
            "the kernel did not get it",
        ),
        "compares None": (
            """
            def cpu_max(quota, period, current="max 100000"):
                old_quota, old_period = current.split()
                if quota < 0:
                    quota = "max"
                return f"{quota or old_quota} {period or old_period}"
        """,
            "Here quota is None",
        ),
        "two values": (
            """
            def cpu_max(quota, period, current="max 100000"):
                return quota, period
        """,
            "The file wants a text",
        ),
    },
)


# ---- cgroups-3 -------------------------------------------------------------------------------------------------


class _Restless(Group):
    """A group in which one more process is born each time somebody has just read the list, unless it is frozen.

    On a real machine that depends on luck; here it always happens.
    """

    def __init__(self, name: str):
        super().__init__(name)
        self.orders, self.order = os.pipe()
        self.births, self.birth = os.pipe()
        self.quiet: set[int] = set()  # the members that never fork
        self.listed: set[int] = set()
        self.grown, self.in_vain = 0, 0
        self.answering, self.checking = False, False

    def breed(self) -> None:
        """In a member: fork whenever that is ordered."""
        while True:
            os.read(self.orders, 1)
            if os.fork() == 0:
                os.write(self.birth, b"!")

    def processes(self) -> list[int]:
        """The list; when the caller has it, it is out of date."""
        found = super().processes()
        if found and not self.checking:
            frozen = self.frozen
            self.grown += self._grow(set(found))
            if self.grown > _ENOUGH:
                raise Feedback(
                    f"kill_all(group) has read the list {_ENOUGH} times, and each time one more process was born "
                    "meanwhile. They must stand still before you read it."
                )
            self.in_vain += frozen and "freezer" in self.directories
            if self.in_vain > _IN_VAIN:
                raise Feedback(
                    "kill_all(group) waits until the list is empty while the group is frozen, and in version 1 a frozen "
                    "process does not die. You need not wait: thaw the group after the last signal, and return."
                )
        return found

    def _grow(self, found: set[int]) -> bool:
        """Order births until there is a process that is not in *found*, or nobody is left who could obey.

        Returns whether there is one.
        """
        while not self.frozen:
            now = set(super().processes())
            if now - found or not now - self.quiet:
                return bool(now - found)
            os.write(self.order, b"!")  # again: one who was just dying may have taken the order along
            if select.select([self.births], [], [], 0.1)[0]:
                os.read(self.births, 4096)
        if not self.listed:
            os.write(self.order, b"!")  # for an answer that thaws them too early
        self.listed = found
        return False

    def thaw(self) -> None:
        """Let them go on.  A member that was ordered to fork while it was frozen, and was not killed, forks now."""
        super().thaw()
        if self.listed and not self.checking:
            _until(lambda: self.listed - set(super(_Restless, self).processes()) or self._has_grown())
            self.listed = set()

    def _has_grown(self) -> bool:
        return bool(set(super().processes()) - self.listed)

    def file(self, name: str) -> str:
        """Not for an answer, as read() and write(), which call this: a container's group has none of the three."""
        if self.answering:
            raise Feedback(
                "group.file(), read() and write() are made for this chapter's groups. minict calls kill_all() with the "
                "groups of all containers, and these have freeze(), thaw() and processes()."
            )
        return super().file(name)

    def kill(self) -> None:
        """What an answer must not call."""
        if not self.checking:
            raise Feedback("group.kill() calls kill_all(): that goes round in a circle. Send the signals yourself.")
        super().kill()

    def remove(self, kill: bool = True) -> None:
        """As kill()."""
        if not self.checking:
            raise Feedback("group.remove() kills by calling kill_all(): that goes round in a circle.")
        super().remove(kill)


def check_kill_all(kill_all):
    """A group with a process that forks, one that ignores signals, and one in a group below; and a stranger."""
    group = _Restless("exercise")
    stranger = process.spawn(signal.pause)
    try:
        _start(group, group.breed)
        deaf = _start(group, signal.pause, deaf=True)
        below = f"{group.v2_directory() or os.path.dirname(group.file('pids.max'))}/below"
        os.mkdir(below)
        low = process.spawn(lambda: (os.setpgid(0, 0), signal.pause()))
        files.write(f"{below}/cgroup.procs", str(low))
        group.quiet = {deaf, low}
        group.answering = True
        kill_all(group)
        group.answering, group.checking = False, True
        _judge_end(group, deaf, low, stranger)
    finally:
        group.answering, group.checking = False, True
        group.thaw()
        group.remove()


def _judge_end(group: _Restless, deaf: int, low: int, stranger: int) -> None:
    _until(lambda: all(_lives_on(pid, group.frozen) for pid in group.processes()))
    if not group.processes():
        if group.frozen:
            raise Feedback(
                "all processes are dead, but the group is still frozen: the next process that joins would stand still "
                "at once. Thaw it at the end."
            )
        if os.waitpid(stranger, os.WNOHANG)[0]:
            raise Feedback(
                "a process outside the group was killed as well: send signals to the group's processes only."
            )
        return
    if group.frozen:
        raise Feedback(
            f"{_count(group)}, frozen. In version 1 a frozen process does not even die, until it is "
            "thawed; and in version 2 the group stays frozen for the next process that joins."
        )
    left = group.processes()
    if {deaf, low} <= set(left):
        raise Feedback(f"{_count(group)}. Send SIGKILL, which is 9, to each process in the list.")
    if deaf in left:
        raise Feedback(
            f"{_count(group)}: one that ignores every signal that can be ignored, such as SIGTERM. SIGKILL, which is 9, "
            "can't be ignored."
        )
    if low in left:
        raise Feedback(f"{_count(group)}, in a group below this one. group.processes() lists those too.")
    raise Feedback(
        f"{_count(group)}: it was forked after the list had been read, so it got no signal. No process "
        "may fork between your look at the list and the last signal: freeze first, thaw last."
    )


def _lives_on(pid: int, frozen: bool) -> bool:
    """Whether the process *pid* is not about to die: it sleeps or is *frozen*, and no SIGKILL is on its way to it.

    Where a frozen process does not die (version 1), that signal does not count. Source: proc_pid_status(5).
    """
    fields = dict(
        line.split(":\t", 1) for line in (files.read_if_there(f"/proc/{pid}/status", errno.ESRCH) or "").splitlines()
    )
    pending = int(fields.get("SigPnd", "0"), 16) | int(fields.get("ShdPnd", "0"), 16)
    killed = bool(pending & 1 << signal.SIGKILL - 1)
    state = fields.get("State", "X")[0]
    return state == "D" if frozen and killed else state in "SDT" and not killed


def _count(group: _Restless) -> str:
    left = len(group.processes())
    return f"after kill_all(group) {left} process{'es are' if left > 1 else ' is'} left"


Exercise(
    "cgroups-3",
    "Everybody, at once",
    minutes=9,
    difficulty=2,
    reference=cgroup_group.kill_all,
    check=check_kill_all,
    imports="import os, signal",
    starter='''
        def kill_all(group):
            """Send SIGKILL to every process of group, even to one that is just being forked."""
            ...
    ''',
    hints=[
        "The list of processes is out of date as soon as you have it, because they go on forking. What would stop that?",
        "Freeze, read the list, send os.kill(pid, 9) to each, thaw.",
        "A process may have ended between the list and your signal: then os.kill raises ProcessLookupError, and that is "
        "all right.",
    ],
    right={
        "the file of version 2, or by hand": """
            def kill_all(group):
                directory = group.v2_directory()
                try:
                    with open(f"{directory}/cgroup.kill", "w") as file:
                        file.write("1")
                except OSError:
                    group.freeze()
                    for pid in group.processes():
                        os.kill(pid, signal.SIGKILL)
                    group.thaw()
        """,
        "always thaws": """
            def kill_all(group):
                group.freeze()
                try:
                    for pid in sorted(group.processes()):
                        try:
                            os.kill(pid, 9)
                        except ProcessLookupError:
                            pass
                finally:
                    group.thaw()
        """,
        "again, until the list is empty": """
            def kill_all(group):
                while group.processes():
                    group.freeze()
                    for pid in group.processes():
                        try:
                            os.kill(pid, 9)
                        except ProcessLookupError:
                            pass
                    group.thaw()
        """,
        "forbids forks": """
            def kill_all(group):
                with open(group.directories["pids"] + "/pids.max", "w") as file:
                    file.write("0")
                for pid in group.processes():
                    try:
                        os.kill(pid, 9)
                    except ProcessLookupError:
                        pass
        """,
        "by pidfd": """
            def kill_all(group):
                group.freeze()
                for pid in group.processes():
                    fd = os.pidfd_open(pid)
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                    os.close(fd)
                group.thaw()
        """,
    },
    wrong={
        "one pass": (
            """
            def kill_all(group):
                for pid in group.processes():
                    os.kill(pid, 9)
        """,
            "freeze first, thaw last",
        ),
        "pass after pass": (
            """
            def kill_all(group):
                while group.processes():
                    for pid in group.processes():
                        try:
                            os.kill(pid, 9)
                        except ProcessLookupError:
                            pass
        """,
            "They must stand still",
        ),
        "reads too early": (
            """
            def kill_all(group):
                pids = group.processes()
                group.freeze()
                for pid in pids:
                    os.kill(pid, 9)
                group.thaw()
        """,
            "freeze first, thaw last",
        ),
        "does not thaw": (
            """
            def kill_all(group):
                group.freeze()
                for pid in group.processes():
                    os.kill(pid, 9)
        """,
            "frozen",
        ),
        "thaws too early": (
            """
            def kill_all(group):
                group.freeze()
                pids = group.processes()
                group.thaw()
                for pid in pids:
                    os.kill(pid, 9)
        """,
            "freeze first, thaw last",
        ),
        "asks politely": (
            """
            def kill_all(group):
                group.freeze()
                for pid in group.processes():
                    os.kill(pid, signal.SIGTERM)
                group.thaw()
        """,
            "such as SIGTERM",
        ),
        "another signal": (
            """
            def kill_all(group):
                group.freeze()
                for pid in group.processes():
                    os.kill(pid, signal.SIGUSR1)
                group.thaw()
        """,
            "such as SIGTERM",
        ),
        "by the method": (
            """
            def kill_all(group):
                group.kill()
        """,
            "round in a circle",
        ),
        "with what containers do not have": (
            """
            def kill_all(group):
                group.write("cgroup.kill", 1)
        """,
            "these have freeze(), thaw() and processes()",
        ),
        "waits before it thaws": (
            """
            def kill_all(group):
                group.freeze()
                for pid in group.processes():
                    os.kill(pid, signal.SIGKILL)
                if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
                    return    # version 2: they are dead, and the group stays frozen
                while group.processes():
                    pass
                group.thaw()
        """,
            "frozen",
        ),
        "the process group": (
            """
            def kill_all(group):
                group.freeze()
                os.killpg(os.getpgid(group.processes()[0]), signal.SIGKILL)
                group.thaw()
        """,
            "left",
        ),
        "itself, while they are frozen": (
            """
            def kill_all(group):
                group.freeze()
                os.kill(0, signal.SIGKILL)
                group.thaw()
        """,
            "SIGKILL",
        ),
        "only the first": (
            """
            def kill_all(group):
                group.freeze()
                for pid in group.processes()[:1]:
                    os.kill(pid, 9)
                group.thaw()
        """,
            "left",
        ),
    },
)


# ---- the challenge ---------------------------------------------------------------------------------------------


def check_make_room(make_room):
    """A group with three processes, then a second call, and, with version 2, what the empty group can now do."""
    group = Group("exercise")
    try:
        directory = os.path.dirname(group.file("memory.max"))
        pids = [_start(group, signal.pause) for _ in range(3)]
        gone = _start(group, lambda: os._exit(0))
        _call(make_room, directory)
        _judge_room(directory, pids)
        os.waitpid(gone, 0)
        _call(make_room, directory)
        _judge_room(directory, pids)
        if group.is_v2(directory):
            files.write(f"{directory}/cgroup.subtree_control", "+memory")
            if "memory" not in files.read(f"{directory}/others/cgroup.controllers").split():
                raise Feedback("the group below has no controller memory, though its parent hands it down.")
    finally:
        group.remove()


def _call(make_room, directory: str) -> None:
    try:
        make_room(directory)
    except OSError as error:
        if error.errno != errno.EINVAL or error.filename:
            raise
        raise Feedback(
            "a write to cgroup.procs failed: Invalid argument. The kernel takes one number in each write, and a Python "
            "file collects what you write, and sends it all at once when it is closed: open the file of the group below "
            "anew for each number."
        ) from None


def _judge_room(directory: str, pids: list[int]) -> None:
    left = files.read(f"{directory}/cgroup.procs").split()
    below = (files.read_if_there(f"{directory}/others/cgroup.procs") or "").split()
    if not os.path.isdir(f"{directory}/others"):
        raise Feedback(
            "after make_room(directory) there is no group others below it. A directory is a group: os.mkdir."
        )
    if set(map(str, pids)) & set(left):
        many = f"{len(left)} of the {len(pids)} processes are" if len(left) > 1 else "one process is"
        raise Feedback(
            f"after make_room(directory) {many} still in the group itself. Each is moved by its number, in a write of "
            "its own, to cgroup.procs of the group below."
        )
    if not set(map(str, pids)) <= set(below):
        raise Feedback("the group is empty, but its processes are not in the group others below it: where are they?")


Challenge(
    "make-room",
    "Room at the top",
    name="make_room",
    minutes=9,
    difficulty=2,
    check=check_make_room,
    imports="import os",
    solution='''
        def make_room(directory):
            """Move every process of the control group directory into a group below it, others."""
            others = f"{directory}/others"
            os.makedirs(others, exist_ok=True)
            with open(f"{directory}/cgroup.procs") as file:
                pids = file.read().split()
            for pid in pids:
                try:
                    with open(f"{others}/cgroup.procs", "w") as file:
                        file.write(pid)
                except ProcessLookupError:
                    pass    # it has just ended
    ''',
    hints=[
        "The group below is a directory: os.makedirs(…, exist_ok=True) does not mind when it is there.",
        "The file cgroup.procs of the group lists its processes, a number in each line. Writing a number into "
        "cgroup.procs of another group moves that process there.",
        "One number at a time: open the file of the group below for each of them. A process that has just ended makes "
        "the write fail with ProcessLookupError.",
    ],
    right={
        "by descriptors": """
            def make_room(directory):
                try:
                    os.mkdir(directory + "/others")
                except FileExistsError:
                    pass
                fd = os.open(directory + "/others/cgroup.procs", os.O_WRONLY)
                for line in open(directory + "/cgroup.procs").readlines():
                    try:
                        os.write(fd, line.encode())
                    except ProcessLookupError:
                        continue
                os.close(fd)
        """,
        "until it is empty": """
            def make_room(directory):
                import pathlib
                top = pathlib.Path(directory)
                (top / "others").mkdir(exist_ok=True)
                for _ in range(100):
                    pids = [p for p in (top / "cgroup.procs").read_text().split() if os.path.exists(f"/proc/{p}/exe")]
                    if not pids:
                        break
                    for pid in pids:
                        try:
                            (top / "others" / "cgroup.procs").write_text(pid)
                        except OSError:
                            pass
        """,
        "by a shell": """
            def make_room(directory):
                os.system(f"cd {directory}; mkdir -p others; "
                          "for p in $(cat cgroup.procs); do echo $p > others/cgroup.procs; done 2>/dev/null")
        """,
    },
    wrong={
        "all in one write": (
            """
            def make_room(directory):
                os.makedirs(f"{directory}/others", exist_ok=True)
                with open(f"{directory}/cgroup.procs") as file:
                    pids = file.read()
                with open(f"{directory}/others/cgroup.procs", "w") as file:
                    file.write(pids)
        """,
            "one number in each write",
        ),
        "all by one open file": (
            """
            def make_room(directory):
                os.makedirs(f"{directory}/others", exist_ok=True)
                with open(f"{directory}/others/cgroup.procs", "w") as file:
                    for pid in open(f"{directory}/cgroup.procs"):
                        file.write(pid)
        """,
            "one number in each write",
        ),
        "only the first": (
            """
            def make_room(directory):
                os.makedirs(f"{directory}/others", exist_ok=True)
                with open(f"{directory}/cgroup.procs") as file:
                    pid = file.readline()
                with open(f"{directory}/others/cgroup.procs", "w") as file:
                    file.write(pid)
        """,
            "in a write of its own",
        ),
        "makes a group, and moves nobody": (
            """
            def make_room(directory):
                os.makedirs(f"{directory}/others", exist_ok=True)
        """,
            "still in the group itself",
        ),
        "beside it": (
            """
            def make_room(directory):
                os.makedirs(f"{directory}/../others", exist_ok=True)
                for pid in open(f"{directory}/cgroup.procs").read().split():
                    open(f"{directory}/../others/cgroup.procs", "w").write(pid)
        """,
            "there is no group others below it",
        ),
        "itself": (
            """
            def make_room(directory):
                os.makedirs(f"{directory}/others", exist_ok=True)
                with open(f"{directory}/others/cgroup.procs", "w") as file:
                    file.write("0")
        """,
            "still in the group itself",
        ),
    },
)
