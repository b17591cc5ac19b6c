"""The forty faults of the final exam: each a short replacement in the course's ``mini_docker.py``.

::

    faults = choose(20)                # five of them, by the number of an exam
    text = plant(faults, whole())      # the file with these five

Each fault has a name, and the one of the dozen checks (:mod:`minict.lab.witnesses`) that always finds it; others may
fall with it.  None of them harms the host, even where somebody runs the file outside of the checks: no fault writes
into an image, changes a setting of the machine, or signals a process outside of the container.
"""

from __future__ import annotations

import random

from .. import assembly

HOW_MANY = 5


class Fault:
    """A fault: its *name*, the *check* that finds it, and the text *old*, in whose place *new* stands."""

    def __init__(self, check: str, name: str, old: str, new: str):
        self.check, self.name, self.old, self.new = check, name, old, new

    def __repr__(self):
        return f"<{self.name}: {self.check} falls>"

    def apply(self, text: str) -> str:
        """*text* with this fault.  Raises :class:`ValueError` unless the place for it is there once."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.old!r} is {text.count(self.old)} times in the file")
        return text.replace(self.old, self.new)


def whole() -> str:
    """The course's ``mini_docker.py``, without a fault and without functions of the learner."""
    return assembly.assemble({}).text


def plant(faults: list[Fault], text: str) -> str:
    """*text* with all these *faults*.  Raises :class:`ValueError` where two of them want the same place."""
    for fault in faults:
        text = fault.apply(text)
    return text


def choose(seed: int) -> list[Fault]:
    """Five faults for the number *seed* of an exam: always the same ones, and each falls to a check of its own."""
    chosen: dict[str, Fault] = {}
    for fault in random.Random(f"faults {seed}").sample(FAULTS, len(FAULTS)):
        if len(chosen) < HOW_MANY:
            chosen.setdefault(fault.check, fault)
    return list(chosen.values())


FAULTS = [
    # ---- exit statuses
    Fault("status", "signals count down", "else 128 - code", "else 128 + code"),
    Fault("status", "the status of wait, undecoded", "os._exit(exit_status(reap(pid)))", "os._exit(reap(pid))"),
    Fault("status", "all ends well", 'return state["status"]', "return 0"),
    Fault("status", "not found is not allowed", "status=127 - bool(there)", "status=126 + bool(there)"),
    # ---- namespaces
    Fault("namespaces", "the host's message queues", '"uts", "ipc", "network"', '"uts", "network"'),
    Fault("namespaces", "the host's tree of groups", 'unshare(flags(["cgroup"]))', "pass"),
    Fault("namespaces", "all have one name", 'socket.sethostname(state["name"])', 'socket.sethostname("mini")'),
    # ---- process 1
    Fault("process 1", "only one child counts", "ended := os.wait()", "ended := os.waitpid(pid, 0)"),
    Fault("process 1", "every signal is the last", "os.kill(pid, number)", "os.kill(pid, signal.SIGKILL)"),
    Fault("process 1", "stop does not ask", "signals=(signal.SIGTERM, signal.SIGKILL)", "signals=(signal.SIGKILL,)"),
    # ---- the root
    Fault("root", "the old root stays", 'k.umount2("/", flags=k.MNT_DETACH)', "pass"),
    Fault("root", "programs without libraries", "for path in [program, *libraries(program)]", "for path in [program]"),
    Fault(
        "root",
        "copies in a directory",
        'k.mount("tmpfs", root, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=0755")',
        "os.chmod(root, 0o755)",
    ),
    # ---- /proc, /sys, /dev, /etc
    Fault("places", "a list of timers", '"/proc/timer_list", ', ""),
    Fault("places", "zero is null", '"zero": (1, 5)', '"zero": (1, 3)'),
    Fault("places", "null is full", '"null": (1, 3)', '"null": (1, 7)'),
    Fault("places", "nobody is localhost", "127.0.0.1 localhost {", "127.0.0.1 {"),
    Fault("places", "hidden too early", '"system", "hide"]', '"hide", "system"]'),
    # ---- layers
    Fault(
        "layers",
        "one sheet of paper for all",
        """for name in ("upper", "work"): os.mkdir(f"{root}/{name}", 0o755)
        options = overlay_options(state["layers"], f"{root}/upper", f"{root}/work")""",
        """for name in ("upper", "work"): os.makedirs(f"{HOME}/{name}", 0o755, exist_ok=True)
        options = overlay_options(state["layers"], f"{HOME}/upper", f"{HOME}/work")""",
    ),
    # ---- limits
    Fault("limits", "ten times the processor", "* 100000), 100000)", "* 1000000), 100000)"),
    Fault(
        "limits",
        "two limits change places",
        '{"memory": "memory.max memory.limit_in_bytes", "cpus": "cpu.max cpu.cfs_quota_us", "pids": "pids.max"}',
        '{"pids": "memory.max memory.limit_in_bytes", "cpus": "cpu.max cpu.cfs_quota_us", "memory": "pids.max"}',
    ),
    Fault(
        "limits",
        "a group without members",
        'def limits(state):\n        Group(state["group"]).join()',
        'def limits(state):\n        Group(state["group"])',
    ),
    # ---- the network
    Fault("network", "no way out", ', f"route add default via {host}"]', "]"),
    Fault("network", "another protocol", "{{ tcp . {at}", "{{ udp . {at}"),
    Fault("network", "anybody is on the loopback", '"ip daddr != 127.0.0.0/8 "', '""'),
    Fault("network", "not for the host itself", '"), ("output", "")):', '"),):'),
    Fault("network", "ports of a broadcast", 'TO_PORT = "fib daddr type local', 'TO_PORT = "fib daddr type broadcast'),
    # ---- volumes
    Fault("volumes", "in the order of the command line", '.rstrip("/").count("/")', '.rstrip("/").count("//")'),
    Fault(
        "volumes",
        "a volume in the container's drawer",
        'f"{HOME}/volumes/{source}"',
        "f\"{directory(state['name'])}/{source}\"",
    ),
    Fault("volumes", "another attribute", "-100, 0x1000, 0x8000, 1\n", "-100, 0x1000, 0x8000, 2\n"),
    Fault("volumes", "below, not in the root", "1 << 18, 1 << 19, 2, 2, 16", "1 << 18, 1 << 19, 2, 2, 8"),
    Fault("volumes", "volumes before the root", '"root", "volumes",', '"volumes", "root",'),
    # ---- exec
    Fault("exec", "the mount namespace first", "for kind in FILES if there", "for kind in reversed(FILES) if there"),
    Fault(
        "exec", "a network left out", "there[kind] != here[kind]]", 'there[kind] != here[kind] and kind != "network"]'
    ),
    Fault("exec", "exec always ends well", "take_terminal()\n    return status", "take_terminal()\n    return 0"),
    Fault("exec", "an error like any other", 'return getattr(error, "status", 125)', "return 1"),
    # ---- the end
    Fault("clean", "an end that nobody knows", 'state["status"] = 125 if', 'state["status"] = 1 if'),
    Fault("clean", "groups stay", 'Group(state["group"]).remove()', 'Group(state["group"])'),
    Fault("clean", "rules stay", "; nft delete table inet mini{pid}", ""),
    Fault("clean", "run forgets the drawer", 'shutil.rmtree(directory(state["name"]))', "pass"),
]
