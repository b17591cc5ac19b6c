"""Chapter 12: capabilities, the bounding set, set-uid programs, filters of system calls, and which wall stops what."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "fewer-powers",
    Question(
        "A process is user 0, and all of its capability sets are empty. What can it do with a file that belongs to "
        "root and has mode 0600?",
        wrong(
            "Nothing: without capabilities it is an ordinary user",
            "It has no privilege, but the number 0 is still the number of the file's owner.",
        ),
        right(
            "Read and write it, as any owner could",
            "Yes. That is why a container should not only have few capabilities, but also another user.",
        ),
        wrong(
            "Read it, but not write it",
            "Mode 0600 gives the owner both, and there is no difference between the two here.",
        ),
    ),
    Question(
        "Root empties its effective and permitted sets with `capset`, and then executes a program. What does the "
        "program have?",
        wrong(
            "Nothing: what was given up is gone",
            "That is so until the next exec. There, user 0 is given the sets anew.",
        ),
        wrong(
            "What stands in the inheritable set",
            "That is the rule for other users, and for files that have the same capabilities.",
        ),
        right(
            "Everything in the bounding set",
            "Yes: for user 0 only the bounding set limits what an exec gives.",
        ),
    ),
    Question(
        "What does `no_new_privs` change?",
        right(
            "No exec gives more privileges than the process has, not even one of a set-uid program",
            "Yes. The program runs, but as the user who has called it. It holds for all children, and can't be undone.",
        ),
        wrong(
            "The process loses its capabilities",
            "It keeps all that it has. It only gets no more.",
        ),
        wrong(
            "Set-uid programs can't be executed any more",
            "They can. They run with the rights of their caller, and most of them are of little use then.",
        ),
    ),
    Question(
        "A filter should forbid `open` for `/etc/shadow`, and nothing else. Why can't a seccomp filter do that?",
        wrong(
            "A filter sees only the number of the call",
            "It sees the six arguments as well. One of them is the question here.",
        ),
        right(
            "It sees the address of the path, and can't look at what is there",
            "Yes: it has the registers alone. For paths there are mounts, and modules such as AppArmor.",
        ),
        wrong(
            "`open` is always allowed, or no program could start",
            "A filter may forbid any call; a program that needs it then fails.",
        ),
    ),
    Question(
        "A filter answers `clone3` with EPERM. Programs that start a thread fail; with ENOSYS they would work. Why?",
        right(
            "ENOSYS says that this kernel has no such call, and the C library then tries an older one",
            "Yes. EPERM says that the call is there and forbidden: trying something else makes no sense.",
        ),
        wrong(
            "ENOSYS lets the call through the filter",
            "Both are answers of the filter; the kernel does not make the call in either case.",
        ),
        wrong(
            "EPERM ends the process",
            "It is an error like any other. It is the C library that gives up.",
        ),
    ),
    Question(
        "A container has all capabilities, and the filter of a container that has the default ones. Can it mount a "
        "file system?",
        wrong(
            "Yes: CAP_SYS_ADMIN is all that it takes",
            "The kernel would allow it, but the call does not reach that part of the kernel.",
        ),
        right(
            "No: the filter stops the call before the kernel looks at capabilities",
            "Yes. Most attacks are stopped twice. The filter of `--cap-add SYS_ADMIN`, though, opens along with it.",
        ),
        wrong(
            "No: nobody in a mount namespace of their own can mount",
            "With the capability, and without the filter, that works.",
        ),
    ),
    Question(
        "`/proc/interrupts` is masked in a container. What has the runtime done?",
        wrong(
            "Removed the file from the container's `/proc`",
            "Nobody can remove anything there: the kernel makes these files up.",
        ),
        wrong(
            "Changed its mode so that nobody may read it",
            "Root of the container could change it back, and the host would see the change too.",
        ),
        right(
            "Mounted `/dev/null` on it",
            "Yes. To take the mount off takes CAP_SYS_ADMIN, and a call that the filter refuses.",
        ),
    ),
    Question(
        "In a container you create a node of the host's disk with `mknod`, and that works. Why is this not the end?",
        right(
            "To open it takes a rule that allows that device, and there is none",
            "Yes. The node is a file with two numbers; the rules of the control group are asked when it is opened.",
        ),
        wrong(
            "The node leads to a disk of the container's own",
            "There is no such thing. The two numbers mean the same driver as on the host.",
        ),
        wrong(
            "Reading a disk takes CAP_SYS_RAWIO",
            "An open disk can be read like a file. That is why it must not be opened.",
        ),
    ),
)
