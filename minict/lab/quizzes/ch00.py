"""Chapter 00: the six pieces of a container, seen from outside."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "what-is-a-container",
    Question(
        "`sleep` is number 1 in its container. The host runs `kill -9` on the number that it has outside. What happens?",
        wrong(
            "Nothing: a process in a container can't be seen from outside",
            "It is in the host's list like any other. Namespaces hide the host from the container, and not the container from the host.",
        ),
        wrong("The container goes on without a process", "A container without a process is nothing that could go on."),
        right(
            "The container is over, with all its processes",
            "Yes: the kernel ends every process of a pid namespace together with its number 1.",
        ),
    ),
    Question(
        "What is the difference between a container and a virtual machine?",
        right(
            "A virtual machine boots a kernel of its own; a container's programs call the host's",
            "Yes. That is why a container starts in milliseconds, and why its kernel can't be another than the host's.",
        ),
        wrong(
            "A container starts a small kernel of its own",
            "`uname -r` said the same inside and outside: there is one kernel for both.",
        ),
        wrong(
            "Only the size: a container is a small virtual machine",
            "No machine was made at all. The host's own kernel runs the programs; a virtual machine brings a second one.",
        ),
    ),
    Question(
        "Two processes have different numbers in `/proc/PID/ns/net`. What do you know?",
        wrong(
            "They run different programs",
            "Two copies of one program can be in two namespaces, and strangers in the same.",
        ),
        wrong(
            "They have different limits of what they may send",
            "Limits are the business of cgroups. A namespace says what can be seen.",
        ),
        wrong(
            "One of them is in the other's container",
            "They may be in two containers, or in none: one namespace says nothing of the others.",
        ),
        right(
            "They see different network interfaces",
            "Yes: the number stands for the namespace, and `net` is the one of interfaces, addresses and ports.",
        ),
    ),
    Question(
        "Where is the limit that `--pids-limit 20` sets?",
        wrong(
            "In the memory of the process, which counts its children",
            "A program that must limit itself could change its mind. The kernel counts, and the process is not asked.",
        ),
        right(
            "In a file of the container's cgroup, where it can be changed while the container runs",
            "Yes, `pids.max`. What is written there counts from that moment on.",
        ),
        wrong("In the image", "An image holds files and a default command. Limits belong to one container."),
    ),
    Question(
        "Root in the container is user 0, as on the host. Why could it not change the host name?",
        wrong("Because `hostname` is not in the image", "It is: without an argument it told us the name."),
        right(
            "Because it lacks the capability that this needs", "Yes, `CAP_SYS_ADMIN`. With it, the same command worked."
        ),
        wrong("Because of its cgroup", "A cgroup says how much a process may use, and not what it may do."),
        wrong(
            "Because a host name can't be changed while the machine runs",
            "It can: the last container of section 8 did it, in its own uts namespace.",
        ),
    ),
)
