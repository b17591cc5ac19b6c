"""Chapter 04: what a program needs, and what chroot is worth."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "root",
    Question(
        'In a new root `/bin/sh` is there, executable and intact. Starting it fails with "No such file or directory". '
        "What is missing?",
        wrong(
            "`/bin/sh` itself: the directory listing is wrong",
            "The listing is right. The message is about a file that you did not name.",
        ),
        wrong(
            "A library, such as libc.so.6",
            "The loader looks for libraries, and names the one that it can't find. Here the loader never began.",
        ),
        right(
            "The dynamic loader",
            "Yes. The program names it, the kernel can't find it, and the message does not say which file it was. With "
            "a script it is the interpreter after `#!`.",
        ),
    ),
    Question(
        "What finds the shared libraries of a dynamic program, and puts them into memory?",
        right(
            "The dynamic loader, in the new process",
            "Yes, before the program's own first line. That is why it is the one to ask.",
        ),
        wrong(
            "The kernel, during `execve`",
            "The kernel maps two files at most: the program and its loader. It knows nothing about libraries.",
        ),
        wrong(
            "The shell that starts the program",
            "The shell only calls `execve`, as you did. In a container there may be no shell at all.",
        ),
    ),
    Question(
        "Why is it wrong to copy /bin, /lib, /lib64 and /usr into the new root?",
        wrong(
            "It does not work: programs refuse to run from another place",
            "It does work, if the disk is large enough. A root with everything in it is a root.",
        ),
        wrong(
            "A program may not be in two places at once",
            "It may. Your room held a copy of the host's bash all the time.",
        ),
        right(
            "It is far too much, and some of it comes twice",
            "Yes: gigabytes for one program. And an attacker inside can use every program that is there.",
        ),
    ),
    Question(
        "A program is *static*. What must be in the new root for it to start?",
        wrong("The program and the loader", "A static program names no loader: its libraries are built into it."),
        right("Only the program", "Yes. That is why images of Go programs may consist of one file."),
        wrong("The program and libc.so.6", "libc's code is in the program itself. It does not look for the file."),
    ),
    Question(
        "A script begins with `#!/usr/bin/env python3 -u`. Which words does the kernel pass to `env` in front of the "
        "script's path?",
        wrong("`python3` and `-u`", "The kernel splits the line only once, after the interpreter."),
        right(
            "One: `python3 -u`",
            "Yes, blank included. `env` finds no program of that name; `env -S` was made to split it.",
        ),
        wrong(
            "None: the kernel starts python3 itself",
            "The kernel starts the interpreter that the line names, and that is `env`.",
        ),
    ),
    Question(
        "What does `os.chroot(path)` change?",
        wrong("It moves the files of `path` to `/`", "Not one file moves, and the host does not notice."),
        right(
            "For this process, where paths that begin with `/` begin",
            "Yes, and for its children to come. Its working directory and its open files stay where they are.",
        ),
        wrong(
            "It forbids the process to leave `path`",
            "It only makes paths begin elsewhere. You have left it with five lines.",
        ),
    ),
    Question(
        "Why does the escape work?",
        wrong(
            "`..` is not allowed to go above `/`, but Python allows it",
            "Python only asks the kernel. The kernel stops `..` at the root, if it passes there.",
        ),
        right(
            "The working directory was left outside of the root",
            "Yes. The kernel stops `..` only at the root, and going up from out there the process never passes it.",
        ),
        wrong(
            "The directory `deeper` was a link to the host",
            "It was an ordinary empty directory. What counted is that the working directory was not in it.",
        ),
    ),
    Question(
        "Who can use this escape?",
        right(
            "A process with the capability CAP_SYS_CHROOT",
            "Yes: it may call `chroot`. An ordinary user has no such capability, but most containers run as root, and "
            "Docker leaves them this one.",
        ),
        wrong(
            "Every user, from Python or from a shell",
            "The kernel refuses `chroot` to ordinary users, and the escape needs it twice.",
        ),
        wrong("Only the kernel", "It is five lines of Python, without any secret."),
    ),
)
