"""Chapter 04: what a program needs, and what chroot is worth."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "root",
    Question(
        'In a new root `/bin/sh` is there, may be executed, and is intact. To start it fails with "No such file or '
        'directory". What is missing?',
        wrong(
            "`/bin/sh` itself: the directory listing is wrong",
            "The listing is right. The message is about a file that you did not name.",
        ),
        wrong(
            "A library, such as libc.so.6",
            "Libraries are looked for by the loader, and it names the one that it can't find. Here the loader never "
            "began.",
        ),
        right(
            "The file that the kernel has to start in its place: the dynamic loader",
            "Yes. The program names it, the kernel can't find it, and the message does not say which file it was. "
            "With a script "
            "it is the interpreter after `#!`.",
        ),
    ),
    Question(
        "Who finds the shared libraries of a dynamic program, and puts them into memory?",
        right(
            "The dynamic loader, in the new process, before the program's first own line",
            "Yes. The kernel starts it in the place of the program. That is why it is the one to ask.",
        ),
        wrong(
            "The kernel, during `execve`",
            "The kernel maps two files at most: the program and its loader. It knows nothing of libraries.",
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
            "It does work, if the disk is large enough. A root of everything is a root.",
        ),
        wrong(
            "A program may not be in two places at once",
            "It may. Your room held copies of the host's bash all the time.",
        ),
        right(
            "It copies thousands of programs that nobody asked for, and some directories twice",
            "Yes: gigabytes for one program. And each of them is something that an attacker finds inside.",
        ),
    ),
    Question(
        "A program is *static*. What must be in the new root for it to start?",
        wrong("The program and the loader", "A static program names no loader: its libraries are built into it."),
        right("Only the program", "Yes. That is why images of Go programs may consist of one file."),
        wrong("The program and libc.so.6", "libc's code is in the program itself. It does not look for the file."),
    ),
    Question(
        "What does `os.chroot(path)` change?",
        wrong("It moves the files of `path` to `/`", "Not one file moves. The host goes on as if nothing were."),
        right(
            "For this process, and the children to come, where paths that begin with `/` begin",
            "Yes: one pointer of the process. Its working directory and its open files stay where they are.",
        ),
        wrong(
            "It forbids the process to leave `path`",
            "It only makes the paths begin elsewhere. You have left it with five lines.",
        ),
    ),
    Question(
        "Why does the escape work?",
        wrong(
            "`..` is not allowed to go above `/`, but Python allows it",
            "Python only asks the kernel. And the kernel stops `..` at the root, if it passes there.",
        ),
        right(
            "The kernel stops `..` only at the root, and the working directory was left outside of it",
            "Yes. Going up from there, the process never comes by its root, until it is at the host's.",
        ),
        wrong(
            "The directory `deeper` was a link to the host",
            "It was an ordinary empty directory. What counted is that the working directory was not in it.",
        ),
    ),
    Question(
        "Who can use this escape?",
        right(
            "Whoever may call `chroot`: root, or a process with the capability CAP_SYS_CHROOT",
            "Yes. An ordinary user can't. But most containers run as root, and Docker leaves them this capability.",
        ),
        wrong("Every user", "`chroot` itself is refused to ordinary users, and the escape needs it twice."),
        wrong("Only the kernel", "It is five lines of Python, without any secret."),
    ),
)
