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
            "Yes: a new uts namespace begins as a copy. That the copy is private shows only when somebody writes "
            "into it.",
        ),
    ),
    Question(
        "`/proc/700/ns/net` and `/proc/800/ns/net` have the same inode number. What does that tell?",
        right(
            "The two see the same network interfaces, and can't both listen on port 80",
            "Yes. The same number is the same namespace, and for the kind `net` that means one set of interfaces "
            "and ports.",
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
            "Both were started by the same process",
            "Children do begin where their parent is. But strangers can meet in a namespace too, by `setns`.",
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
        wrong("`|` is faster", "Nobody could measure that. Look at what happens to ['uts', 'uts']."),
    ),
    Question(
        'A visitor enters the uts namespace of `box` by `setns`, calls `sethostname("castle")`, and ends. And then?',
        wrong(
            "The name is lost with the visitor", "What it changed is the namespace, and that lives on: `box` is in it."
        ),
        wrong(
            "The visitor had a copy, so `box` has noticed nothing",
            "That is `unshare`. By `setns` one enters the namespace itself.",
        ),
        wrong("The host is called castle as well", "The host is in another uts namespace."),
        right(
            "`box` is called castle",
            "Yes: there is one name in that namespace, for everybody who is in it, whoever wrote it.",
        ),
    ),
    Question(
        "A process calls `unshare(CLONE_NEWPID)` and then prints `os.getpid()`. What has changed?",
        wrong(
            "It is number 1 now", "No process's number ever changes while it lives. Its next child will be number 1."
        ),
        right(
            "Nothing: only its later children are in the new namespace",
            "Yes, as with clocks. `pid_for_children` in /proc/PID/ns says where they will be born. Chapter 03 "
            "begins there.",
        ),
        wrong(
            "It gets an error, because `pid` needs `clone3`",
            "`unshare` accepts the flag, as the snippet's line did. It only means something else than most people "
            "expect.",
        ),
    ),
    Question(
        "runc is written in Go, yet it enters namespaces in a piece of C that runs first. Why?",
        right(
            "A Go program has several threads from its beginning, and a namespace belongs to a thread",
            "Yes: one of them would move and the others stay; and for mounts and users the kernel refuses altogether.",
        ),
        wrong(
            "Go can't make system calls",
            "It can. `unshare` and `setns` can be called from Go, and do then move one thread of several.",
        ),
        wrong(
            "C is faster, and a container should start quickly", "The calls take the same time from either language."
        ),
    ),
    Question(
        "A visitor enters the mount namespace of a container first, and then opens `/proc/PID/ns/uts` for the second "
        "door. What happens?",
        wrong("It works: a path is a path", "What a path leads to is decided by the mount namespace of whoever looks."),
        wrong(
            "It enters the host's uts namespace",
            "It does not come that far. Which directory is `/proc` for the visitor by now?",
        ),
        right(
            "No such file: in there lies another /proc, in which that number is unknown",
            "Yes. So `mount` comes last, or all files are opened before the first `setns`, as runc does it.",
        ),
    ),
)
