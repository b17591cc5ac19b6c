"""Chapter 16: what a container is made of, who does what at its birth, and what is left to others."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "own-docker",
    Question(
        "Which system call makes a container?",
        wrong("`clone3`, with the right flags", "It makes a process in new namespaces. Its root is still the host's."),
        wrong("`pivot_root`", "It exchanges the root, and nothing else."),
        right(
            "None: a dozen calls change one process, bit by bit",
            "Yes: the kernel has no object called container. Your file makes some twenty calls, and each adds a wall.",
        ),
    ),
    Question(
        "A container runs in the background, and somebody kills its `mini_docker.py` with `kill -9`. What happens to "
        "the container?",
        right(
            "It goes on, isolated as before; only nobody cleans up at its end",
            "Yes: the kernel isolates it. The process that asked for that may be gone; its record helps `rm` later.",
        ),
        wrong(
            "It ends with it",
            "It would if it had asked for that (PR_SET_PDEATHSIG). A process does not end with its parent.",
        ),
        wrong("Its limits and namespaces are gone", "They belong to the processes inside, and to the control group."),
    ),
    Question(
        "Why does the step `limits` have to come before `pivot`?",
        wrong(
            "Limits count only for what is started after pivot_root",
            "Membership of a group has nothing to do with the root.",
        ),
        right(
            "A process joins a group by a file, and after `pivot` the host's `/sys/fs/cgroup` is out of reach",
            "Yes. All that needs a file or a program of the host comes before the border.",
        ),
        wrong("`pivot_root` needs memory", "Not enough to matter."),
    ),
    Question(
        "`unshare` with CLONE_NEWPID, fork, and then your parent enters `/proc/self/ns/pid`. What for?",
        wrong(
            "To leave the new pid namespace, in which it was",
            "It never was inside: unshare moves only later children.",
        ),
        right(
            "So that its next children, `ip` and `nft`, are not born in the container",
            "Yes: from unshare on every child would be. When process 1 has ended, such a fork even fails.",
        ),
        wrong("To become the parent of process 1", "It is already: it has forked it."),
    ),
    Question(
        "`mini_docker.py exec` enters six namespaces. Why the mount namespace last?",
        right(
            "The others are opened by paths in the host's `/proc`, and these lead elsewhere once it has entered",
            "Yes. A pidfd would do as well: `setns` takes all kinds at once from it.",
        ),
        wrong("It takes the most time", "Each of them takes microseconds."),
        wrong("The kernel demands this order", "It takes them in any order, as long as the files can be opened."),
    ),
    Question(
        "Your file has 400 lines, Docker and what it calls have more than a million. Does yours isolate less for that "
        "reason?",
        wrong(
            "Yes: isolation is most of what Docker does",
            "Count it: namespaces, mounts and groups are a few thousand lines of runc.",
        ),
        wrong(
            "No: it isolates just as well",
            "The attacks of chapter 12 say otherwise: no limit on capabilities, no filter, no users of its own.",
        ),
        right(
            "Some walls are missing, but most of the million is images, networks, an API, plugins",
            "Yes. The missing walls are about forty lines: chapters 11 and 12.",
        ),
    ),
    Question(
        "A line of `mini_docker.py` is deleted, and all twelve checks still pass. What do you know?",
        wrong("The line was superfluous", "Perhaps. Or no check looks where it matters."),
        wrong("The checks are wrong", "What they say is true. But they say only what they look at."),
        right(
            "Nothing yet: it is dead code, or a check is missing",
            "Yes. Find out which, and you have learned something about the line or about the checks.",
        ),
    ),
)
