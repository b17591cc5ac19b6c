"""Chapter 00: the six pieces of a container, seen from outside."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "what-is-a-container",
    Question(
        "`sleep` is number 1 in its container. The host runs `kill -9` on the number that `sleep` has outside. What "
        "happens?",
        wrong(
            "Nothing: a process in a container can't be seen from outside",
            "It is in the host's list like any other. Namespaces hide the host from the container, and not the "
            "container from the host.",
        ),
        wrong(
            "The container goes on without this process",
            "Number 1 is special: without it the kernel lets nothing run in its pid namespace.",
        ),
        right(
            "The container is over, with all its processes",
            "Yes: the kernel ends every process of a pid namespace together with its number 1.",
        ),
    ),
    Question(
        "What is the difference between a container and a virtual machine?",
        right(
            "Only the virtual machine boots a kernel of its own",
            "Yes. A container's programs call the host's kernel. That is why it starts in milliseconds, and why it "
            "can't have another kernel.",
        ),
        wrong(
            "A container starts a small kernel of its own, a virtual machine a large one",
            "`uname -r` said the same inside and outside: one kernel serves both.",
        ),
        wrong(
            "Only the size: a container is a small virtual machine",
            "No machine was made at all. The host's own kernel runs the programs; a virtual machine brings a second "
            "one.",
        ),
    ),
    Question(
        "Two processes have different numbers in `/proc/PID/ns/net`. What do you know?",
        wrong(
            "They run different programs",
            "Two copies of one program can be in two namespaces, and two different programs in the same one.",
        ),
        wrong(
            "They may send different amounts of data over the network",
            "Limits are the business of cgroups. A namespace says what a process sees.",
        ),
        wrong(
            "They are in two different containers",
            "Perhaps, but a process without any container can have a network namespace of its own too.",
        ),
        right(
            "They see different network interfaces",
            "Yes: the number stands for the namespace, and `net` is the kind for interfaces, addresses and ports.",
        ),
    ),
    Question(
        "Where is the limit that `--pids-limit 20` sets?",
        wrong(
            "In the memory of the process, which counts its children",
            "A program that limits itself could change its mind. The kernel counts, and does not ask the process.",
        ),
        right(
            "In a file of the container's cgroup",
            "Yes, in `pids.max`. Root can write there, and so change the limit while the container runs.",
        ),
        wrong(
            "In the image, next to its default command",
            "An image holds files and a default command. Limits belong to one container.",
        ),
    ),
    Question(
        "Root in the container is user 0, as on the host. Why could it not change the host name?",
        wrong("Because `hostname` is not in the image", "It is: without an argument it printed the name."),
        right("Because it lacks the capability for that", "Yes, `CAP_SYS_ADMIN`. With it, the same command worked."),
        wrong("Because of its cgroup", "A cgroup says how much a process may use, and not what it may do."),
        wrong(
            "Because a host name can't change while the machine runs",
            "It can: the last container of section 8 did it, in its own uts namespace.",
        ),
    ),
)
