"""Chapter 03: process numbers, and what number 1 has to do."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "init",
    Question(
        "After `unshare(CLONE_NEWPID)` a program starts `ls`, waits for it, and starts `date`. What happens?",
        wrong(
            "`ls` and `date` both run, as 1 and 2",
            "They would, if 1 still lived when `date` is to be born. But `ls` was number 1, and it has ended.",
        ),
        right(
            "`ls` runs; `date` can't be started: Cannot allocate memory",
            "Yes. `ls` was number 1, its end was the end of the namespace, and nobody is born into a namespace that has ended.",
        ),
        wrong(
            "Nothing runs: the program itself is number 1 now",
            "`unshare` moves nobody. The program keeps its number; only its children are born inside.",
        ),
    ),
    Question(
        "Which number has the first process of a container?",
        wrong("1", "In there. The host has a number for it, too, and it is the one that `kill` on the host wants."),
        wrong(
            "The one that the host gives it; the 1 is only a display of `ps`",
            "`getpid` says 1 as well: the kernel itself has both numbers.",
        ),
        right(
            "Two at once: 1 inside, and another one on the host",
            "Yes: one for each pid namespace from its own up to the host's. `NSpid` in `/proc/PID/status` lists them.",
        ),
    ),
    Question(
        "In a new pid namespace, but with the `/proc` of the host, `ps` shows all processes of the host. Why?",
        right(
            "`/proc` shows the pid namespace of whoever mounted it",
            "Yes. So a container mounts its own, and must have a mount namespace to do that unseen.",
        ),
        wrong(
            "The namespace has not begun yet",
            "It has: `getpid` says 1. But `ps` does not ask the kernel for numbers; it reads files.",
        ),
        wrong(
            "`ps` runs as root, and root sees everything",
            "Root in the container, with a `/proc` of its own, sees only the container.",
        ),
    ),
    Question(
        "A web server in a container starts helpers that start helpers. After a week there are thousands of zombies. Whose fault is it?",
        wrong(
            "The helpers': they should have ended properly",
            "They have. A zombie is somebody who has ended, by whatever way, and was not waited for.",
        ),
        wrong(
            "The kernel's: it forgets to remove them",
            "It keeps them on purpose: their parent may still ask how they ended.",
        ),
        wrong(
            "The host's number 1: it should reap all orphans",
            "The orphans of a pid namespace go to the number 1 of that namespace. The host's never sees them.",
        ),
        right(
            "That of the container's number 1, which never waits for those it adopted",
            "Yes. And that is the web server itself, which nobody told about its second job. `--init` gives the job to somebody else.",
        ),
    ),
    Question(
        "`docker stop` takes ten seconds for some containers. What happens in these seconds?",
        wrong("The program writes its files to disk", "It might, had it noticed anything. It has not."),
        right(
            "Nothing: number 1 has no handler for SIGTERM, so the signal was thrown away; then SIGKILL follows",
            "Yes. The kernel spares number 1 the signals that it does not handle, and from outside only SIGKILL and SIGSTOP are sure to work.",
        ),
        wrong("The kernel takes the namespaces apart", "That takes milliseconds, as you saw when `stop` met an init."),
    ),
    Question(
        "Root in a container types `kill -9 1`. What happens?",
        right("Nothing", "Yes: not even SIGKILL reaches number 1 from inside its own namespace."),
        wrong(
            "The container ends",
            "That would be so from the host. From inside, the kernel protects number 1 from everybody.",
        ),
        wrong(
            "It ends, and the next process becomes number 1",
            "Numbers never change, and a namespace without its number 1 ends.",
        ),
    ),
    Question(
        "Why does `minict` write down not only a container's number but also when that process began?",
        wrong(
            "To show how long it has been running",
            "It could be used for that. But something would go wrong without it.",
        ),
        wrong(
            "The kernel asks for both when one sends a signal",
            "`kill` takes the number alone. That is just the danger.",
        ),
        right(
            "Numbers are given out again: the same one may mean a stranger tomorrow",
            "Yes, and then `stop` would kill the stranger. The number and the time together mean one process only.",
        ),
    ),
)
