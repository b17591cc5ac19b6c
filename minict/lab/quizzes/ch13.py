"""Chapter 13: pseudo terminals, Ctrl-C, job control, stop and exec."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "terminals",
    Question(
        "You press Ctrl-C in `docker run -it`. What leaves your terminal?",
        wrong(
            "The signal SIGINT, which Docker forwards into the container",
            "Your own terminal is raw, and makes no signal. There is nothing to forward.",
        ),
        right(
            "A byte with the value 3",
            "Yes: it travels like any other key. The container's terminal makes a signal of it.",
        ),
        wrong(
            "Nothing: the keyboard tells the kernel, and the kernel tells the program",
            "In a terminal window, or through ssh, this machine has no keyboard at all. Bytes are all there is.",
        ),
    ),
    Question(
        "A program has a terminal as its descriptors 0, 1 and 2, and does not react to Ctrl-C: only `^C` appears. Why?",
        right(
            "It is not the controlling terminal of the program's session",
            "Yes: the signal goes to the foreground group of the session that the terminal controls. There is none.",
        ),
        wrong(
            "The terminal is raw",
            "A raw terminal would hand out the byte, and show nothing. `^C` is the echo of a terminal that is not.",
        ),
        wrong(
            "The program has opened the master and not the slave",
            "The echo comes from the line discipline of the slave's side, so the program does have the slave.",
        ),
    ),
    Question(
        "A shell runs a `sleep`, and you press Ctrl-Z. What does the shell do to get the terminal back?",
        wrong(
            "It kills the sleep",
            "It is only stopped: `fg` lets it go on.",
        ),
        wrong(
            "It opens the terminal a second time",
            "It had it open all the time. What changes is who is in the foreground.",
        ),
        right(
            "It makes its own process group the one in the foreground",
            "Yes, with tcsetpgrp. The same call gave the terminal to the sleep before.",
        ),
    ),
    Question(
        "`docker run -t alpine cat picture.png > copy.png`, and the copy is damaged. Why?",
        wrong(
            "Without `-i` the input is closed too early",
            "`cat` reads from the file, and not from its input.",
        ),
        right(
            "The terminal has put a `\\r` before each `\\n`",
            "Yes: with `-t` the output goes through a terminal, and that changes the ends of lines.",
        ),
        wrong(
            "The terminal has a size of 0 × 0, so the lines are broken",
            "A terminal breaks no lines: programs do, when they ask for its size. `cat` does not ask.",
        ),
    ),
    Question(
        "A program's log is empty, although it has printed for an hour; with `-t` everything appears at once. What "
        "helps without `-t`?",
        right(
            "Let it flush: `PYTHONUNBUFFERED=1`, `flush=True`, `stdbuf -oL`",
            "Yes: into a pipe the program's library collects several thousand bytes before it writes.",
        ),
        wrong(
            "A larger pipe",
            "The words have not reached the pipe. They are in the program's own memory.",
        ),
        wrong(
            "`docker logs --follow`",
            "It can show only what the program has written, and it has written nothing so far.",
        ),
    ),
    Question(
        "`docker stop` took ten seconds and the status is 137. What happened?",
        wrong(
            "The program has handled SIGTERM, which took it ten seconds",
            "Then the status would be its own, or 143. 137 is 128 + 9: SIGKILL.",
        ),
        wrong(
            "`stop` sends SIGKILL at once, and the rest was cleaning up",
            "It sends SIGTERM first, and kills only when the time is over.",
        ),
        right(
            "Number 1 had no handler for SIGTERM, and was killed when the time was over",
            "Yes. It often is a shell that waits for the real program, and hands nothing on.",
        ),
    ),
    Question(
        "`docker exec web sh`: what has this shell to do with number 1 of the container?",
        wrong(
            "It is a child of number 1",
            "Its parent is a process of the host; inside, that one has the number 0.",
        ),
        right(
            "It shares the namespaces and the limits, and nothing else",
            "Yes: it has entered the same namespaces and the same control group, in a session of its own.",
        ),
        wrong(
            "It is a copy of number 1 that executes another program",
            "Then it would have its environment, its files and its place in the tree. It has come from outside.",
        ),
    ),
)
