"""Chapter 03: process numbers, and what number 1 has to do."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "init",
    Question(
        "After `unshare(CLONE_NEWPID)` a program starts `ls`, waits for it, and starts `date`. What happens?",
        wrong(
            "`ls` and `date` both run, as 1 and 2",
            "They would, if 1 were still running when `date` is to be born. But `ls` was number 1, and it has ended.",
        ),
        right(
            "`ls` runs; `date` can't be started",
            "Yes: Cannot allocate memory. `ls` was number 1, its end was the end of the namespace, and no process can "
            "be born there any more.",
        ),
        wrong(
            "Nothing runs: the program itself is number 1 now",
            "`unshare` moves nobody. The program keeps its number; only its children are born inside.",
        ),
    ),
    Question(
        "Which number does the first process of a container have?",
        wrong("1", "Inside. The host has a number for it too, and `kill` on the host needs that one."),
        wrong(
            "The one that the host gives it; `ps` only displays it as 1",
            "`getpid` says 1 as well: the kernel itself keeps both numbers.",
        ),
        right(
            "Two at once: 1 inside, another one on the host",
            "Yes: one for each pid namespace from its own up to the host's. `NSpid` in `/proc/PID/status` lists them.",
        ),
    ),
    Question(
        "In a new pid namespace, but with the `/proc` of the host, `ps` shows all processes of the host. Why?",
        right(
            "`/proc` shows the namespace of the process that mounted it",
            "Yes. So a container mounts its own, and needs a mount namespace to keep that to itself.",
        ),
        wrong(
            "The namespace has not begun yet, because nothing was born in it",
            "It has: `getpid` says 1. But `ps` does not ask the kernel for numbers; it reads files.",
        ),
        wrong(
            "`ps` runs as root, and root sees everything",
            "Root in the container, with a `/proc` of its own, sees only the container.",
        ),
    ),
    Question(
        "A web server in a container starts helpers that start helpers. After a week there are thousands of zombies. "
        "Which process should have waited?",
        wrong(
            "Each helper: it should have ended properly",
            "They have ended. A zombie has ended, in whatever way, and nobody waited for it.",
        ),
        wrong(
            "The kernel, which forgets to remove them",
            "It keeps them on purpose: their parent may still ask how they ended.",
        ),
        wrong(
            "The host's number 1, which adopts all orphans",
            "The orphans of a pid namespace go to the number 1 of that namespace. The host's never gets them.",
        ),
        right(
            "The container's number 1",
            "Yes: it adopted them. It is the web server itself, which knows nothing of that duty. `--init` gives the "
            "duty to another program.",
        ),
    ),
    Question(
        "`docker stop` takes ten seconds for some containers. What happens in these seconds?",
        wrong("The program writes its files to disk", "It might, if it had noticed anything. It has not."),
        right(
            "Nothing: the signal was not delivered",
            "Yes. Number 1 has no handler for SIGTERM, and the kernel spares it such signals. After ten seconds "
            "SIGKILL follows, from outside.",
        ),
        wrong(
            "The kernel takes the namespaces apart, one after the other",
            "That takes milliseconds, as you saw when `stop` met an init.",
        ),
    ),
    Question(
        "Root in a container types `kill -9 1`. What happens?",
        right("Nothing", "Yes: not even SIGKILL reaches number 1 from inside its own namespace."),
        wrong(
            "The container ends", "From the host it would. From inside, the kernel protects number 1 from everybody."
        ),
        wrong(
            "It ends, and the next process becomes number 1",
            "Numbers never change, and a namespace without its number 1 ends.",
        ),
    ),
    Question(
        "Why does `minict` write down when a container's number 1 began, and not only its number?",
        wrong(
            "To show how long the container has been running",
            "It could be used for that. But something would go wrong without it.",
        ),
        wrong(
            "The kernel asks for both when you send a signal", "`kill` takes the number alone. That is just the danger."
        ),
        right(
            "Numbers are used again",
            "Yes: tomorrow the same number may be another process, and `stop` would kill that one. Number and time "
            "together mean one process only.",
        ),
    ),
)
