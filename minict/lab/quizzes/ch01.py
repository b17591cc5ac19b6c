"""Chapter 01: fork, exec, wait, and what a process leaves behind."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "process",
    Question(
        "A program calls `os.fork()` three times, one after the other, and nothing else. How many processes are there "
        "then?",
        wrong("3", "The first call alone makes two of one, and both of them go on to the second."),
        wrong(
            "4",
            "That would be right if only the first process forked. But each copy goes on with the same program, and "
            "forks as well.",
        ),
        right(
            "8",
            "Yes: each call doubles them, 2 x 2 x 2. A copy goes on where its parent does, unless something ends it.",
        ),
    ),
    Question(
        'In the gap between fork and exec, a child calls `os.chroot("/srv/box")`. What is the root directory of its '
        "parent now?",
        right(
            "The same as before",
            "Yes. Since the fork they are two processes, and what one of them does to itself does not touch the other.",
        ),
        wrong(
            "`/srv/box`, for parent and child",
            "The child has a copy of everything, its root directory included. It changes the copy.",
        ),
        wrong(
            "`/srv/box`, until the child has ended",
            "The parent never moves. That is why a child can give up so much without harm.",
        ),
    ),
    Question(
        "Why does a child end with `os._exit(1)`, and not with `sys.exit(1)`?",
        wrong(
            "`sys.exit` would end the parent as well",
            "It ends no other process. It raises an exception in the process that calls it.",
        ),
        wrong(
            "`sys.exit` can't give an exit status",
            "It can, in the end, if nothing catches the exception on its way up.",
        ),
        wrong(
            "`os._exit` is faster, because it skips the clean-up",
            "It is, a little. But speed is not what goes wrong with the other one.",
        ),
        right(
            "The parent's code around it could catch `sys.exit`",
            "Yes: `sys.exit` only raises an exception. The caller's `except`, `finally` and `with` would run in the "
            "child too. `os._exit` runs none of them.",
        ),
    ),
    Question(
        'A process calls `os.execv("/bin/ls", ["ls"])`, and that succeeds. What is the same as before?',
        wrong(
            "The values of its variables",
            "The memory is the first thing to go: a new program begins with an empty one.",
        ),
        right(
            "Its number and its working directory",
            "Yes, and its parent: these belong to the process. exec replaces program and memory; the process stays.",
        ),
        wrong(
            "Nothing: it is a new process, which begins with `ls`",
            "fork makes processes. exec changes the program in one.",
        ),
        wrong(
            "The line below it, which runs when `ls` is done",
            "The program with that line is gone. exec returns only when it fails.",
        ),
    ),
    Question(
        "`os.waitpid` gives you the wait status 256. What has happened?",
        wrong(
            "The child has called `exit(256)`",
            "That leaves 0: an exit status has eight bits, and those of 256 are all zeros.",
        ),
        wrong(
            "Signal 256 has ended the child",
            "A signal is in the lower seven bits, which are all zeros here. And there are only 64 signals.",
        ),
        right(
            "The child has ended with exit status 1",
            "Yes: the exit status is in the upper eight bits, and 1 x 256 is 256.",
        ),
    ),
    Question(
        "A container has ended with status 143, and its log is empty. What is the most likely explanation?",
        wrong("Its command was not found", "That is 127."),
        right(
            "Somebody asked it to stop",
            "Yes: 143 is 128 + 15, and 15 is SIGTERM. `docker stop` sends it first, and SIGKILL (137) after ten "
            "seconds.",
        ),
        wrong(
            "Its program called `exit(143)` because of an error",
            "It could, and nobody could tell. But most programs avoid numbers above 125 for just that reason.",
        ),
        wrong("It has used too much memory", "Then the kernel kills it with signal 9: 137."),
    ),
    Question(
        "A zombie is in the list of processes. How can you get rid of it?",
        wrong(
            "`kill -9`, as root",
            "A zombie has ended already, and a signal does nothing to it. Only its number and status are left.",
        ),
        wrong(
            "It goes by itself after a while",
            "It stays as long as its parent lives and does not ask. The status might still be wanted.",
        ),
        right(
            "Its parent has to wait for it, or to end",
            "Yes. If the parent ends, another process becomes the parent, and waits. Which one that is in a container: "
            "chapter 03.",
        ),
    ),
    Question(
        "Docker says `exec /entrypoint.sh: no such file or directory`, and `ls` shows the file. What would you look at "
        "first?",
        wrong(
            "The permission to execute it", "Without that the message would be `permission denied`, and the status 126."
        ),
        wrong("Whether its directory is in PATH", "A command with a slash names a file, and PATH plays no part."),
        right(
            "Its first line",
            "Yes. The missing file is the program after `#!`. A Windows line end turns `/bin/sh` into `/bin/sh\\r`; or "
            "the image has no bash.",
        ),
    ),
)
