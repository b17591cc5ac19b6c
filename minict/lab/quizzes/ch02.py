"""Chapter 02: unshare, setns, and who is in which namespace."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "namespaces",
    Question(
        "A child calls `unshare(CLONE_NEWUTS)` and nothing else. Which host name does it read?",
        wrong(
            "None: its new namespace is empty",
            "Mailboxes begin empty, a host name does not. Each kind has its own way to begin.",
        ),
        wrong(
            "A random one, as containers have",
            "The kernel makes up no names. A container has one because the runtime calls `sethostname` for it.",
        ),
        right(
            "The same as before",
            "Yes: a new uts namespace begins as a copy. Only a change shows that the copy is private.",
        ),
    ),
    Question(
        "`/proc/700/ns/net` and `/proc/800/ns/net` have the same inode number. What does that mean?",
        right(
            "The two see the same network interfaces",
            "Yes. The same number is the same namespace. So they can't both listen on port 80 of one address either.",
        ),
        wrong(
            "The two are in the same container",
            "Not necessarily: two containers may share a network, and a process without any container may have a "
            "network of its own.",
        ),
        wrong(
            "One of the two is a copy of the other",
            "Copies would have numbers of their own. It is one and the same namespace.",
        ),
        wrong(
            "The same process has started both of them",
            "Children do begin where their parent is. But any two processes can meet in a namespace, by `setns`.",
        ),
    ),
    Question(
        "Why does `flags` join the bits with `|` and not with `+`?",
        wrong(
            "`+` is not allowed for flags",
            "They are plain numbers, and for different kinds `+` gives the very same result.",
        ),
        right(
            "A kind that is asked for twice would become another kind",
            "Yes: 0b0100 + 0b0100 is 0b1000, which is the next flag. Setting a bit that is set changes nothing.",
        ),
        wrong(
            "`|` is faster than `+`, and containers are made often",
            "You could not measure that. Look at what happens to ['uts', 'uts'].",
        ),
    ),
    Question(
        'A visitor enters the uts namespace of `box` by `setns`, calls `sethostname("castle")`, and ends. What is the '
        "result?",
        wrong(
            "The name is lost with the visitor", "What it changed is the namespace, and that goes on: `box` is in it."
        ),
        wrong(
            "The visitor had a copy, so `box` has noticed nothing",
            "That is `unshare`. `setns` enters the namespace itself.",
        ),
        wrong("The host is called castle as well", "The host is in another uts namespace."),
        right(
            "`box` is called castle",
            "Yes: that namespace has one name, for everybody in it, whichever process has set it.",
        ),
    ),
    Question(
        "A process calls `unshare(CLONE_NEWPID)` and then prints `os.getpid()`. What has changed?",
        wrong("It is number 1 now", "The number of a process never changes. Its next child will be number 1."),
        right(
            "Nothing: only its later children are in the new namespace",
            "Yes, as with clocks. `pid_for_children` in /proc/PID/ns says where they will be born. Chapter 03 begins "
            "there.",
        ),
        wrong(
            "It gets an error, because `pid` needs `clone3`",
            "`unshare` accepts the flag, as the snippet's line did. It only means something else than most people "
            "expect.",
        ),
    ),
    Question(
        "runc is written in Go, but a piece of C enters the namespaces, before Go starts. Why?",
        right(
            "A Go program has several threads from its beginning",
            "Yes: and a namespace belongs to a thread. One of them would move and the others stay; for mounts and "
            "users the kernel refuses altogether.",
        ),
        wrong(
            "Go can't make system calls",
            "It can. `unshare` and `setns` can be called from Go, and then move one thread of several.",
        ),
        wrong(
            "C is faster, and a container should start quickly", "The calls take the same time from either language."
        ),
    ),
    Question(
        "A visitor enters the mount namespace of a container first, and then opens `/proc/PID/ns/uts` for the second "
        "door. What happens?",
        wrong(
            "It works: a path is a path", "The mount namespace of the process that looks decides what a path leads to."
        ),
        wrong(
            "It enters the host's uts namespace",
            "It does not get that far. Which directory is `/proc` for the visitor by now?",
        ),
        right(
            "No such file or directory",
            "Yes: the container has another /proc, which does not know that number. So `mount` comes last, or all "
            "files are opened before the first `setns`, as runc does it.",
        ),
    ),
)
