"""Chapter 01: fork, exec, wait, and what a process leaves behind."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "process",
    Question(
        "A program says `os.fork()` three times, one after the other, and nothing else. How many processes are there then?",
        wrong("3", "The first call alone makes two of one, and both of them go on to the second."),
        wrong(
            "4",
            "So it would be if only the first process forked. But each copy goes on with the same program, and forks as well.",
        ),
        right(
            "8",
            "Yes: each call doubles them, 2 x 2 x 2. A copy goes on wherever its parent goes on, if nobody ends it.",
        ),
    ),
    Question(
        'In the gap between fork and exec, a child calls `os.chroot("/srv/box")`. What is the root directory of its parent now?',
        right(
            "The same as before",
            "Yes. Since the fork they are two processes, and what one of them does to itself stays its own.",
        ),
        wrong(
            "`/srv/box`, for parent and child", "The child is a copy, also of its root directory. It changes the copy."
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
            "It ends nobody. It raises an exception, in the process that calls it.",
        ),
        wrong(
            "`sys.exit` can't give an exit status", "It can, in the end, if nobody catches the exception on its way up."
        ),
        wrong("`os._exit` is faster", "It is, a little. But that is not what goes wrong with the other one."),
        right(
            "`sys.exit` only raises an exception, and the parent's code around it may catch that",
            "Yes: `except`, `finally` and `with` of whoever called us would run in the child too. `os._exit` runs nothing.",
        ),
    ),
    Question(
        'A process calls `os.execv("/bin/ls", ["ls"])`, and that succeeds. What is the same as before?',
        wrong(
            "The values of its variables", "The memory is the first thing to go: a new program begins in an empty one."
        ),
        right(
            "Its number, its parent and its working directory",
            "Yes: these belong to the process. Program and memory are exchanged, the process stays.",
        ),
        wrong(
            "Nothing: it is a new process, which begins with `ls`",
            "fork makes processes. exec changes what runs in one.",
        ),
        wrong(
            "The line below it, which runs when `ls` is done",
            "There is nobody left to run it. exec comes back only when it fails.",
        ),
    ),
    Question(
        "`os.waitpid` gives you the wait status 256. What has happened?",
        wrong(
            "The child has called `exit(256)`",
            "That leaves 0: an exit status has eight bits, and those of 256 are all zeros.",
        ),
        wrong(
            "The child was ended by signal 256",
            "Signals have the lower seven bits, which are all zeros here. And there are only 64 of them.",
        ),
        right(
            "The child has ended with exit status 1",
            "Yes: the exit status is in the upper eight bits, and 1 x 256 is 256.",
        ),
    ),
    Question(
        "A container has ended with status 143, and nothing is in its log. What is the most likely story?",
        wrong("Its command was not found", "That is 127."),
        right(
            "Somebody asked it to stop, with SIGTERM",
            "Yes: 143 is 128 + 15, and 15 is SIGTERM. `docker stop` sends it first, and SIGKILL, 137, after ten seconds.",
        ),
        wrong(
            "Its program called `exit(143)` because of an error",
            "It could, and nobody could tell. But programs stay away from what is above 125, for just that reason.",
        ),
        wrong("It has used too much memory", "Then the kernel kills it with signal 9: 137."),
    ),
    Question(
        "A zombie is in the list of processes. How does one get rid of it?",
        wrong(
            "`kill -9`, as root",
            "A signal is for the living. This one has ended, and what is left is only its number and status.",
        ),
        wrong(
            "It goes by itself after a while",
            "It stays as long as its parent lives and does not ask. The status might still be wanted.",
        ),
        right(
            "Its parent has to wait for it, or to end",
            "Yes. If the parent ends, somebody else becomes the parent, and waits: who that is in a container is chapter 03.",
        ),
    ),
    Question(
        "Docker says `exec /entrypoint.sh: no such file or directory`, and `ls` shows the file. What would you look at first?",
        wrong("The right to execute it", "Without that the words would be `permission denied`, and the status 126."),
        wrong("Whether its directory is in PATH", "A command with a slash is a file, and PATH is not asked."),
        right(
            "Its first line: the interpreter that it names, and how the line ends",
            "Yes. What is missing is the program after `#!`. A Windows line end makes `/bin/sh` into `/bin/sh\\r`; or the image has no bash.",
        ),
    ),
)
