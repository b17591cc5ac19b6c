"""Chapter 00's challenge: write a file that a process with another root directory sees."""

from __future__ import annotations

import errno
import os
import select

from minict.kernel import mount, namespaces
from minict.runtime import process
from minict.runtime.errors import ContainerError

from ..challenge import Challenge
from ..feedback import Feedback

_TEXT = "It was me.\nAnd no copy.\n"


def check_leave_note(leave_note):
    """A process with a root file system and a mount namespace of its own, as a container has them: what is in its
    /note?"""
    os.mkdir("room")
    mount.mount(
        None, "/", None, mount.MS_BIND | mount.MS_REMOUNT | mount.MS_RDONLY
    )  # nothing lands in the host's own /
    told, tell = os.pipe()
    orders, order = os.pipe()
    pid = process.spawn(lambda: _read_note(tell, orders))
    os.read(told, 1)
    root = os.open("/", os.O_PATH)
    try:
        _call(leave_note, pid, root)
    except ContainerError as error:
        raise Feedback(
            f"leave_note(PID, text) raised ContainerError: {error}. The process of this check is in no container of "
            "yours, and your containers can't be reached from here: use pid, and nothing else."
        ) from None
    except OSError as error:
        if error.errno == errno.EROFS:
            raise Feedback(
                f"leave_note(PID, text) tried to write {error.filename}, and that is not below the root directory of "
                "the process. Which file in /proc/PID leads to its root directory? (Put it into the path. What "
                "os.readlink() shows of it is the path that the process sees, /.)"
            ) from None
        if error.errno == errno.ENOENT:
            raise Feedback(f"leave_note(PID, text) raised {error}. {_why_nothing(error.filename, pid)}") from None
        raise
    in_its_directory = os.path.exists(f"/proc/{pid}/cwd/note")
    os.write(order, b"!")
    select.select([told], [], [])
    found = os.read(told, 1000).decode()
    os.waitpid(pid, 0)
    if found == _TEXT:
        return
    if found == "none":
        elsewhere = " There is one in its working directory, /inside." if in_its_directory else ""
        raise Feedback(
            f"after leave_note(PID, text) the process found no /note.{elsewhere} What it calls / is /proc/PID/root out "
            "here."
        )
    if found == "empty":
        raise Feedback(
            f"after leave_note(PID, text) the process has a /note, and it is empty. Expected: {_TEXT!r}. Did you write "
            "the text, and close the file? Until then Python may keep the text: with closes the file in any case."
        )
    raise Feedback(
        f"after leave_note(PID, text) the process read {found!r} in its /note. Expected: {_TEXT!r}.{_why_other(found)}"
    )


def _why_other(found: str) -> str:
    """Why the note is *found*, and not the text."""
    if found == _TEXT + "\n":
        return " That is one line end more: print() and echo add one, write() does not."
    if found == "text":
        return ' That is the word between the quotes: the parameter is text, without quotes, and not "text".'
    return ""


def _why_nothing(path: str, pid: int) -> str:
    """Why there is nothing at *path*, which the answer has tried to open."""
    if path == f"/proc/{pid}/root/note":
        return "The path is right, but the process has no note yet. open(path) only reads: open(path, 'w') writes."
    if not path.startswith(f"/proc/{pid}"):
        return "The path lacks the number of the process."
    return "Process PID is there: look at the path. Its files are not in /proc/PID itself."


def _call(leave_note, pid: int, root: int) -> None:
    """Call it; whatever comes of that, the caller must keep its root directory, the one that is open as *root*."""
    try:
        leave_note(pid, _TEXT)
    finally:
        if not os.path.samestat(os.stat("/"), os.stat(root)):
            raise Feedback(
                "leave_note(PID, text) changed the root directory of the process that called it, and it can't come "
                "back. Leave the root where it is: a path through /proc/PID/root is enough."
            )


def _read_note(tell: int, orders: int) -> None:
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
    mount.mount("room", "room", "tmpfs")
    os.chdir("room")
    os.mkdir("inside")
    mount.pivot_root(".", ".")
    mount.umount2(".", mount.MNT_DETACH)
    os.chdir("/inside")
    os.write(tell, b"!")
    os.read(orders, 1)
    try:
        with open("/note") as file:
            os.write(tell, file.read().encode() or b"empty")
    except FileNotFoundError:
        os.write(tell, b"none")


Challenge(
    "note",
    "A note for a process",
    name="leave_note",
    minutes=4,
    difficulty=1,
    check=check_leave_note,
    imports="import os",
    solution='''
        def leave_note(pid, text):
            """Write text into the file /note that the process pid sees."""
            with open(f"/proc/{pid}/root/note", "w") as file:
                file.write(text)
    ''',
    hints=[
        "In section 5 you opened the root directory of the container's process. What did its path in /proc look like?",
        'The file is f"/proc/{pid}/root/note". Open it for writing, with "w".',
    ],
    right={
        "by pathlib": """
            def leave_note(pid, text):
                import pathlib
                (pathlib.Path("/proc") / str(pid) / "root" / "note").write_text(text)
        """,
        "a lambda": """
            leave_note = lambda pid, text: open(f"/proc/{pid}/root/note", "w").write(text)
        """,
        "by tee": """
            def leave_note(pid, text):
                import subprocess
                subprocess.run(["tee", f"/proc/{pid}/root/note"], input=text, text=True, check=True)
        """,
        "by a descriptor": """
            def leave_note(pid, text):
                root = os.open(f"/proc/{pid}/root", os.O_PATH)
                fd = os.open("note", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=root)
                os.write(fd, text.encode())
                os.close(fd)
        """,
        "from the inside": """
            def leave_note(pid, text):
                child = os.fork()
                if child == 0:
                    try:
                        os.chroot(f"/proc/{pid}/root")
                        with open("/note", "w") as file:
                            file.write(text)
                    finally:
                        os._exit(0)
                os.waitpid(child, 0)
        """,
    },
    wrong={
        "the host's own": (
            """
            def leave_note(pid, text):
                with open("/note", "w") as file:
                    file.write(text)
        """,
            "Which file in /proc/PID leads to its root directory?",
        ),
        "the working directory": (
            """
            def leave_note(pid, text):
                with open(f"/proc/{pid}/cwd/note", "w") as file:
                    file.write(text)
        """,
            "in its working directory",
        ),
        "an empty file": (
            """
            def leave_note(pid, text):
                open(f"/proc/{pid}/root/note", "w").close()
        """,
            "it is empty",
        ),
        "does not close": (
            """
            kept = []
            def leave_note(pid, text):
                kept.append(open(f"/proc/{pid}/root/note", "w"))
                kept[0].write(text)
        """,
            "close the file?",
        ),
        "prints into it": (
            """
            def leave_note(pid, text):
                with open(f"/proc/{pid}/root/note", "w") as file:
                    print(text, file=file)
        """,
            "one line end more",
        ),
        "the word text": (
            """
            def leave_note(pid, text):
                with open(f"/proc/{pid}/root/note", "w") as file:
                    file.write("text")
        """,
            "without quotes",
        ),
        "in /proc itself": (
            """
            def leave_note(pid, text):
                with open(f"/proc/{pid}/note", "w") as file:
                    file.write(text)
        """,
            "look at the path",
        ),
        "without the f": (
            """
            def leave_note(pid, text):
                with open("/proc/{pid}/root/note", "w") as file:
                    file.write(text)
        """,
            "put an f before the text",
        ),
        "reads the link": (
            """
            def leave_note(pid, text):
                with open(os.readlink(f"/proc/{pid}/root") + "/note", "w") as file:
                    file.write(text)
        """,
            "is the path that the process sees",
        ),
        "of a container": (
            """
            def leave_note(pid, text):
                with open(pid.root + "/note", "w") as file:
                    file.write(text)
        """,
            "what stands before .root is a number",
        ),
        "reads": (
            """
            def leave_note(pid, text):
                with open(f"/proc/{pid}/root/note") as file:
                    file.write(text)
        """,
            "The path is right",
        ),
        "the other way round": (
            """
            def leave_note(text, pid):
                with open(f"/proc/{pid}/root/note", "w") as file:
                    file.write(text)
        """,
            "it is called as leave_note(pid, text)",
        ),
        "moves the caller": (
            """
            def leave_note(pid, text):
                os.chroot(f"/proc/{pid}/root")
                with open("/note", "w") as file:
                    file.write(text)
        """,
            "changed the root directory of the process that called it",
        ),
        "by a container": (
            """
            def leave_note(pid, text):
                from minict import ContainerError
                raise ContainerError("the container box is not running")  # as box.exec() does here
        """,
            "use pid, and nothing else",
        ),
    },
)
