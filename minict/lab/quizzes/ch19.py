"""Chapter 19: engines, the process that stays, bundles, create and start, and where the time goes."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "the-real-thing",
    Question(
        "`docker run -d nginx`, and nginx runs. Which program made its namespaces and its root?",
        wrong(
            "The Docker daemon, `dockerd`",
            "`dockerd` only asks containerd for a container. It does not make one single namespace.",
        ),
        right("A runtime, such as `runc`", "Yes: it was called with a bundle, made the container, and ended."),
        wrong(
            "containerd's shim",
            "The shim calls the runtime, and then it stays with the container. It makes none itself.",
        ),
    ),
    Question(
        "A container has been running for an hour. What is its runtime doing?",
        right(
            "Nothing: it ended an hour ago",
            "Yes. `create` and `start` are short calls. conmon or a shim is what stays.",
        ),
        wrong(
            "It waits for the program, to report its exit status",
            "That is what conmon, or the shim, does: the container was made its child.",
        ),
        wrong(
            "It watches over the limits",
            "The kernel does. The limits are numbers in files of a control group.",
        ),
    ),
    Question(
        "What does `state` say between `create` and `start`, and what runs then?",
        wrong(
            "`creating`, and nothing runs",
            "After `create` has returned, everything is made, and a process is there. It waits.",
        ),
        wrong("`running`, and your program runs", "Your program has not been executed yet: that is what `start` does."),
        right(
            "`created`, and the runtime's own process waits in the container",
            "Yes: all namespaces, the root and the group are there, and the program is not yet.",
        ),
    ),
    Question(
        "What is that pause good for?",
        right(
            "An engine can work on the finished container, such as give it a network, before the program sees it",
            "Yes: Docker connects its network to the container in that moment.",
        ),
        wrong(
            "It gives the kernel the time to make the namespaces", "They are made when clone returns: a millisecond."
        ),
        wrong(
            "You can still change the command",
            "The specification is fixed with `create`. Later changes of config.json have no effect.",
        ),
    ),
    Question(
        "Why can Podman use runc, crun and `minict-oci` alike?",
        wrong(
            "They share a library that makes containers",
            "They are written in Go, C and Python, and share no code.",
        ),
        right(
            "They read the same config.json, and have the same command line",
            "Yes. The first is a standard; the second is only a habit, runc's.",
        ),
        wrong(
            "The OCI specification defines the command line `runc`",
            "It defines the operations, and not how they are typed. Everybody follows runc's habit.",
        ),
    ),
    Question(
        "A config.json says `ociVersion` 1.3.0. May a runtime that was written for 1.0.2 take it?",
        right(
            "Yes. It ignores what it does not know",
            "Yes, that is the rule. So a new field may have no effect: look at the kernel whether a limit is there.",
        ),
        wrong("No: the numbers differ", "Then each new engine would need a new runtime on the same day."),
        wrong(
            "Yes, and it refuses each field that it does not know",
            "The standard forbids that: unknown fields are ignored, so that newer files work with older runtimes.",
        ),
    ),
    Question(
        "You stopped a container an hour ago, and its name is still taken. Why?",
        wrong("Its first process is a zombie", "Its monitor has waited for it. No process is left."),
        right(
            "Nobody has called `delete`",
            "Yes: stopped is a state. The name, the directory of state and the group wait for `delete`.",
        ),
        wrong("The kernel keeps names for a while", "The kernel does not know names of containers at all."),
    ),
    Question(
        "`minict-oci` takes longer than crun for the same container. Where does most of that go?",
        wrong(
            "Python makes system calls more slowly", "A system call takes the kernel equally long for each language."
        ),
        wrong(
            "Its root file system is built differently", "The mounts are the same: they are in the same config.json."
        ),
        right(
            "Python has to start, for each of the calls",
            "Yes: an interpreter and its modules, three times, for some milliseconds of work of the kernel.",
        ),
    ),
)
