"""Chapter 14: monitors, exit statuses, output, names, and many containers at once."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "many-containers",
    Question(
        "You start a container with `-d`, log out, and ask for its exit status a week later. Where does the "
        "answer come from?",
        wrong(
            "From the kernel, which keeps the status of each process until a reboot",
            "The kernel keeps it until the parent has asked once. Then the process is gone without a trace.",
        ),
        right(
            "From a file that the container's monitor has written",
            "Yes: the monitor was the parent, it asked once, and it wrote the answer down.",
        ),
        wrong(
            "From the shell in which you started it",
            "Your shell was not the parent of the container's first process, and it ended when you logged out.",
        ),
    ),
    Question(
        "The monitor of a running `minict` container is killed with `kill -9`. What happens to the container?",
        right(
            "The kernel kills it: it has asked for that, with PR_SET_PDEATHSIG",
            "Yes: nobody would read its output or keep its status. Other runtimes let it run on, unattended.",
        ),
        wrong(
            "It becomes an orphan, and `minict` starts a new monitor for it at once",
            "A new monitor could never become its parent: only the process that forks is one.",
        ),
        wrong(
            "Nothing: a container needs no parent",
            "Each process has one. Without a monitor its pipes have no reader, and its status no keeper.",
        ),
    ),
    Question(
        "A program prints a lot, into a pipe that nobody reads. What happens when the pipe is full?",
        wrong(
            "The kernel drops the oldest bytes, to make room for the new ones",
            "A pipe never loses a byte. That is why it has to do something else.",
        ),
        wrong(
            "The program gets SIGPIPE and ends",
            "That is what it gets when the last reader has *closed* the pipe. Here somebody has it open, and sleeps.",
        ),
        right(
            "The program sleeps in its next write, until somebody reads",
            "Yes: 65,536 bytes fit in, and then the container hangs, though nothing is wrong with it.",
        ),
    ),
    Question(
        "Twenty processes want to be the only one that has the name `web`. Which of these is safe?",
        wrong(
            "Each checks whether the file `web` exists, and creates it if not",
            "Between the two steps another process can do the same. Then both believe that they have the name.",
        ),
        wrong(
            "Each writes its own name into the file `web`, and the last one wins",
            "Then nineteen of them have already used a name that they lose.",
        ),
        right(
            "Each calls `os.symlink()`, and gives up at FileExistsError",
            "Yes: the kernel checks and creates in one step, so exactly one of them succeeds.",
        ),
    ),
    Question(
        '`subprocess.run("sleep 60 & echo done", shell=True, capture_output=True)` prints nothing for a minute. Why?',
        wrong(
            "The shell waits for its child",
            "With & it does not: the shell ended at once.",
        ),
        right(
            "`sleep` has inherited the pipe, and Python waits for its end",
            "Yes: a pipe ends when the *last* process that can write into it has closed it.",
        ),
        wrong(
            "Python runs one process at a time",
            "It runs both at the same time. Here Python waits for the end of the pipe.",
        ),
    ),
    Question(
        "Fifty containers of one image have an RSS of 1.3 MB each. How much memory do they need together?",
        wrong(
            "50 × 1.3 MB: each has a memory of its own, which the others can't see",
            "RSS counts a page that fifty processes share fifty times.",
        ),
        right(
            "Much less: they share the pages of their program and its libraries",
            "Yes: the files are the same files of one image layer. PSS divides each page by those who share it.",
        ),
        wrong(
            "More: the runtime needs a copy of the image for each",
            "There is one image; each container adds an upper layer, which is nearly empty.",
        ),
    ),
    Question(
        "A container with `--restart always` fails a second after each start. What does `ps` show after an hour?",
        wrong(
            "`exited`, with the status of the first failure",
            "The policy says always: it is never left like that.",
        ),
        right(
            "`restarting`, most of the time",
            "Yes: the wait is doubled after each failure, up to a minute. Now and then it is up for a second.",
        ),
        wrong(
            "That it has been up for an hour",
            "Each run begins anew, and so does the time that ps shows.",
        ),
    ),
)
