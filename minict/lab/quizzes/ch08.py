"""Chapter 08: control groups, their limits, and who is killed when and why."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "cgroups",
    Question(
        "A group has `50000 100000` in `cpu.max`. Two busy processes run in it, on a machine with two idle processors. "
        "What do you see in each period?",
        wrong(
            "Each process runs on its processor all the time, at half its speed",
            "A processor has no slower gear for that. A process runs at full speed or stands still.",
        ),
        right(
            "Both run for 25 ms, then both stand still for 75",
            "Yes: together they have used up the 50 ms by then. The quota is one stopwatch for the whole group.",
        ),
        wrong(
            "One runs for 50 ms, then the other one does",
            "Nothing makes one wait for the other: there is a processor for each. The quota only runs out sooner.",
        ),
    ),
    Question(
        "A process in a group with `memory.max` of 32 MB reads a file of 1 GB from end to end. What happens?",
        right(
            "Nothing bad: the group stays at its limit",
            "Yes: what it reads is charged as file cache, and the kernel drops the oldest part when it needs room.",
        ),
        wrong(
            "It is killed when it has read 32 MB",
            "It is charged for what it reads, but the kernel can drop these pages at any time: they are on the disk as "
            "well. It only kills when there is nothing left to drop.",
        ),
        wrong(
            "The read fails with the error ENOMEM",
            "The memory is charged to the group page by page, and pages of a file can be dropped to make room.",
        ),
        wrong(
            "Nothing is charged: the file cache belongs to the kernel",
            "It is charged to the group that first touched the page. That is why a container's usage can look high.",
        ),
    ),
    Question(
        "A container ends with exit status 137. What do you know?",
        wrong(
            "It needed more memory than its limit allows",
            "That is one possibility. `docker kill` and a `stop` whose timeout is over end with 137 too.",
        ),
        wrong(
            "Its program called `exit(137)`",
            "It could have, but hardly any program does. 128 + 9 has another usual meaning.",
        ),
        right(
            "Its first process was ended by SIGKILL; by whom, other files say",
            "Yes. `memory.events` of its group counts the kills for memory; `minict inspect` has `OOMKilled`.",
        ),
    ),
    Question(
        "In a container, a shell is process 1 and starts a program that takes too much memory. What does the OOM "
        "killer do, with the usual settings?",
        wrong(
            "It ends the container with all its processes",
            "Only if it picks process 1, or if `memory.oom.group` is 1. It kills processes, not containers.",
        ),
        wrong(
            "It pauses the program until there is memory again",
            "That could take forever: perhaps no other process releases any. (`memory.high` slows a group down.)",
        ),
        right(
            "It kills the program; the shell goes on",
            "Yes: it picks the process whose end frees the most. The shell sees that its child ended with 137.",
        ),
    ),
    Question(
        "A runtime writes the limits into a new group, and then its *own* number into `cgroup.procs`. What is wrong?",
        right(
            "The runtime is limited as well, and so is everything that it starts later",
            "Yes: the snippet does that. The child must join, between fork and exec, or be born in the group.",
        ),
        wrong(
            "Limits must be written after a process has joined",
            "The other way round: a process that joins before the limits are there runs without them at first.",
        ),
        wrong(
            "A process can't move itself, only a parent can",
            "It can, and `0` even means *myself*. The question is which process should.",
        ),
    ),
    Question(
        "Why is it not enough to read `cgroup.procs` once, and send SIGKILL to each process in it?",
        wrong(
            "The processes of a container ignore SIGKILL",
            "No process can ignore SIGKILL, except process 1 of a pid namespace when the signal comes from inside.",
        ),
        wrong(
            "The file lists numbers of the container's pid namespace, not the host's",
            "A reader in the host's pid namespace gets the host's numbers.",
        ),
        right(
            "A process may fork after you have read the list",
            "Yes. So freeze the group first, or let the kernel do it all at once: `cgroup.kill`.",
        ),
    ),
    Question(
        "In version 2, `echo +memory > cgroup.subtree_control` fails with *Device or resource busy*. Why?",
        wrong(
            "The controller is in use by another group",
            "A controller serves all groups of the tree at the same time.",
        ),
        right(
            "There are processes in this very group",
            "Yes: a group that hands memory down to others has no processes of its own. Move them into a group below.",
        ),
        wrong(
            "The group is frozen",
            "A frozen group can be configured like any other.",
        ),
        wrong(
            "Another program has the file open",
            "That does not matter: these files are read and written by many.",
        ),
    ),
    Question(
        "A tutorial writes `os.getpid()` into `/sys/fs/cgroup/memory/…/tasks`. On a machine with version 1 that works. "
        "What does it move?",
        wrong(
            "The process with all its threads",
            "That is what `cgroup.procs` does, in both versions.",
        ),
        wrong(
            "The process and all its children",
            "Children that already exist stay where they are. Only those born later are in the group.",
        ),
        right(
            "One thread, the first one of the process",
            "Yes: `tasks` takes threads. The others stay outside, without a limit. Version 2 has no such file.",
        ),
    ),
)
