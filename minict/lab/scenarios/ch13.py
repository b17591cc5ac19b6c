"""Chapter 13: a kiosk whose server never hears that it is to stop, and a password typed into a shared terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time

import minict

from .. import host, keyboard
from ..feedback import Feedback
from ..flag import Flag, prepared_file
from ..scenario import Scenario

_PATIENCE = 30.0  # seconds for anything that should be there at once, on a very busy machine
_LOOKS = 50  # so often at rest, one after the other: nobody is on the way any more

# ---- the flag ----------------------------------------------------------------------------------------------------

_DOOR = """
while :; do
    stty -echo
    printf 'Password: '
    read -r word
    echo
    echo 'wrong password'
done
"""


class Sentry:
    """A container of user 1000 with a terminal, in which a program asks for a password without showing it."""

    def __init__(self, file: str, user: str = "1000"):
        self._file, self._user = file, user
        self.box = minict.run("tiny", ["sh", "-c", _DOOR], user="1000", tty=True, network="none", detach=True)
        self._screen = keyboard.press(self.box.terminal, "", "Password: ")

    def __repr__(self):
        return "<a container with a terminal, at which a sentry types a password: sh(), relief()>"

    def sh(self, command: str) -> str:
        """What the shell *command* says in the container, as the user of the program at the terminal."""
        return self.box.exec(["sh", "-c", command], user=self._user).output

    def relief(self) -> str:
        """The sentry comes and types the password; return what the screen has shown since then."""
        with open(self._file) as file:
            word = file.read()
        return "Password: " + keyboard.press(self.box.terminal, word + "\n", "Password: ")


def place(word: str) -> Sentry:
    """The sentry's terminal; the word is in a file of the host that only root can read."""
    return Sentry(prepared_file("13", word))


def solution(room: Sentry) -> str:
    """Switch the echo of the shared terminal on again, from another process, and wait for the sentry."""
    room.sh("stty echo < /dev/console")
    return _word_on(room.relief())


def _word_on(screen: str) -> str:
    found = re.search(r"Password: ([\w-]+)", screen)
    return found[1] if found else "nothing was shown"


def closed(room: Sentry) -> str:
    """The same, as a user who does not own the terminal."""
    mended = Sentry(prepared_file("13", "none"), user="1001")
    try:
        mended.sh("stty echo < /dev/console")
        return _word_on(mended.relief())
    finally:
        remove(mended)


def remove(room: Sentry) -> None:
    """The container goes."""
    room.box.stop(timeout=0)


Flag(
    "13",
    "You are user 1000 in a container, room.sh('…') runs a line of shell there, and returns what it prints. At the "
    "terminal of this container, /dev/console, another program of the same user asks for a password, and has "
    "switched off the echo. room.relief(): a sentry comes, types the word, and you get what the screen has shown. Make "
    "the screen show the word. Whose setting is the echo: the program's, or the terminal's?",
    place=place,
    solution=solution,
    closed=closed,
    remove=remove,
)


# ---- a broken container ------------------------------------------------------------------------------------------

_SERVER = """trap 'echo closed in good order > /kiosk/book; exit 0' TERM
while :; do sleep 100000 & wait; done
"""
_COMMAND = ["sh", "-c", "echo opening; sh /kiosk/server; echo closing"]


class Kiosk:
    """A server in a container, which writes into the ``book`` of its *directory* when it is asked to stop."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="minict-kiosk-")
        os.chmod(self.directory, 0o755)
        with open(f"{self.directory}/server", "w") as file:
            file.write(_SERVER)
        self.open(_COMMAND)

    def __repr__(self):
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"a kiosk: its container was started by open({self.command}{options})"

    def open(self, command: list[str] = _COMMAND, **options) -> None:
        """Replace the container by a new one that runs *command*, with *options* of ``minict.run``; without a command,
        as in the beginning."""
        if "box" in vars(self):
            self.box.stop(timeout=0)
        self.command, self.options = command, options
        volume = [f"{self.directory}:/kiosk"]
        self.box = minict.run("tiny", command, volume=volume, network="none", detach=True, **options)

    def ps(self) -> minict.engine.api.Finished:
        """The processes inside, with their numbers and those of their parents."""
        return self.box.exec(["ps", "-o", "pid,ppid,args"])


def end(kiosk) -> None:
    """Close it."""
    kiosk.box.stop(timeout=0)
    shutil.rmtree(kiosk.directory, ignore_errors=True)


def _serves(box) -> bool:
    """Whether the server has begun: its sleep runs. Waits until it does, or until everybody in there only waits."""
    end, at_rest = time.monotonic() + _PATIENCE, 0
    while box.status == "running" and time.monotonic() < end and at_rest < _LOOKS:
        table = host.process_table()
        family = [table[pid] for pid in {box.pid, *host.descendants(table, box.pid)} if pid in table]
        if any(each.name == "sleep" and each.pid != box.pid for each in family):
            return True
        at_rest = at_rest + 1 if all(each.state == "S" for each in family) else 0
        time.sleep(0.02)
    return False


def _catches(pid: int, number: int) -> bool:
    """Whether the process *pid* has a handler for the signal. Source: proc_pid_status(5), SigCgt."""
    with open(f"/proc/{pid}/status") as file:
        mask = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def check(kiosk) -> None:
    """Asked to stop, number 1 hears it, and so does the server, which closes its book."""
    if kiosk.box.status != "running" or not _serves(kiosk.box):
        raise Feedback("The server does not run: the kiosk is closed. stubborn.open([…]) starts a new container.")
    if not _catches(kiosk.box.pid, signal.SIGTERM):
        name = " ".join(kiosk.command[:2])
        raise Feedback(
            f"Number 1 of the container, {name} …, has no handler for SIGTERM, so it would not hear it: stop would "
            "wait until the time is over, and kill the server in the middle of its work."
        )
    book = f"{kiosk.directory}/book"
    if os.path.exists(book):
        os.remove(book)
    status = kiosk.box.stop(timeout=_PATIENCE)
    is_closed = os.path.exists(book)
    kiosk.open(kiosk.command, **kiosk.options)  # and on it goes
    if not is_closed:
        raise Feedback(
            f"It stopped at once, with status {status}. But the server has not heard of it, and its book was not "
            "closed: who has got the signal, and who has not?"
        )


def repair(kiosk):
    """Let the server itself be number 1: it has a handler."""
    kiosk.open(["sh", "/kiosk/server"])


def _add_an_init(kiosk):
    kiosk.open(kiosk.command, init=True)


def _open_again(kiosk):
    kiosk.open(kiosk.command)


def _open_something_else(kiosk):
    kiosk.open(["sleep", "1000"])


def _close(kiosk):
    kiosk.box.stop(timeout=0)


def _write_the_book(kiosk):
    with open(f"{kiosk.directory}/book", "w") as file:
        file.write("closed in good order\n")


Scenario(
    "stubborn",
    "When the kiosk closes, stop takes ten seconds, and the next morning its book has not been closed.",
    minutes=7,
    start=Kiosk,
    check=check,
    clues=[
        "print(stubborn.ps()): who is number 1, and who is the server? Which one gets the signal of stop?",
        "Number 1 is a shell that waits for the server. It has no handler, and hands nothing on. An init hands a "
        "signal on to its child, and that would be the same shell.",
        'The server has a handler: let it be number 1 itself, stubborn.open(["sh", "/kiosk/server"]), or let the shell '
        "become it (exec).",
    ],
    solution=repair,
    wrong={
        "opens it again": (_open_again, "has no handler for SIGTERM"),
        "adds an init": (_add_an_init, "the server has not heard of it"),
        "closes": (_close, "does not run"),
        "opens something else": (_open_something_else, "does not run"),
        "writes the book": (_write_the_book, "has no handler"),
    },
    end=end,
)
