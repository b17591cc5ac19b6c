"""Chapter 18: servers in containers, ready and healthy, and what a kill and a power cut lose."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "applications",
    Question(
        "`docker run IMAGE nginx` ends at once, with status 0, and no error is in the log. Why?",
        wrong(
            "Nobody has published a port, so nginx has nothing to do",
            "A server waits for requests, published or not. Look at who is process 1.",
        ),
        right(
            "nginx went to the background, and its parent, process 1, has ended",
            "Yes: when process 1 ends, the kernel kills the rest. `daemon off;` keeps it in the foreground.",
        ),
        wrong(
            "The health check has failed",
            "There was none, and an unhealthy container would go on running.",
        ),
    ),
    Question(
        "A container's script ends with the line `mariadbd`. What should be different?",
        right(
            "`exec mariadbd`: then MariaDB itself is process 1, and gets the signal of a stop",
            "Yes. Otherwise the shell gets it, does nothing, and after the timeout everybody is killed.",
        ),
        wrong(
            "`mariadbd &`: a server belongs in the background",
            "Then the script ends, and with it process 1, and the whole container.",
        ),
        wrong("Nothing: a stop sends SIGTERM to all processes of a container", "It goes to process 1 alone."),
    ),
    Question(
        "A connection to port 3306 succeeds. What is certain?",
        wrong("The database answers queries", "It may be frozen, or still be reading its files."),
        wrong("The database has taken the connection", "It need not have called accept: the kernel keeps a queue."),
        right(
            "Some program has asked the kernel to listen there",
            "Yes, and that is all. To know more, read what the program says.",
        ),
    ),
    Question(
        "A script waits until `mariadb -e 'SELECT 1'` works inside the container, and the app's first query fails "
        "at the first start. What has happened?",
        wrong("The volume was full", "Then the database itself would not have come up."),
        right(
            "A temporary server had answered through the socket file, and was stopped again",
            "Yes: it makes users and tables, without a network. Ask by the network, as the app does.",
        ),
        wrong("`SELECT 1` is too simple to fail", "It fails well enough, as long as no server runs."),
    ),
    Question(
        "A container is unhealthy. What does `docker run` do about it?",
        wrong("It restarts the container", "A restart policy looks at the end of the process, and not at its health."),
        wrong("It stops sending requests to it", "Published ports do not know of health checks."),
        right(
            "It shows the word in `docker ps`, and that is all",
            "Yes. Acting on it is the business of others: Swarm, Kubernetes, or you.",
        ),
    ),
    Question(
        "A program calls `file.write()` and `file.flush()`, and is killed by SIGKILL. What is in the file?",
        right(
            "Everything: the kernel has it, and the kernel goes on",
            "Yes. Only a crash of the whole machine could take it now; fsync is against that.",
        ),
        wrong("Nothing: without fsync it never reached the disk", "The file is read from the page cache, too."),
        wrong("It depends on how long ago the flush was", "Time matters for the disk, not for the kernel's memory."),
    ),
    Question(
        "Somebody sets `innodb_flush_log_at_trx_commit = 2` to be faster. When are committed orders lost?",
        wrong("When the database is killed with -9", "The log was written to the kernel at each commit."),
        right(
            "When the machine loses power within a second after the commit",
            "Yes: fsync comes once a second. For many shops this is acceptable, for a bank it is not.",
        ),
        wrong("When the container is removed", "The log is on the volume, which outlives the container."),
    ),
    Question(
        "The database was away for a minute, and is back. The app shows errors until it is restarted. Whose fault?",
        wrong("The database's: it must not be away", "Every part fails one day. The others have to cope."),
        wrong("The runtime's: it started them in the wrong order", "Order matters at the start alone."),
        right(
            "The app's: it connected once, and never again",
            "Yes. A program that asks must be able to ask again, with longer and longer pauses.",
        ),
    ),
)
