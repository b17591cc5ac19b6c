"""Chapter 12: five rooms with one weakness each; and a container that can't write what it should."""

from __future__ import annotations

import os
import shutil
import tempfile
import time

import minict
from minict.kernel import mount, namespaces

from .. import attacks, host
from ..child import run_in_child
from ..feedback import Feedback
from ..flag import Flag
from ..scenario import Scenario

_SOMEBODY, _FOREVER = "1000", "sleep 100000"
_PATIENCE = 10  # seconds in which, on a busy machine too, a script runs once more


class Room:
    """A container, or two, in which somebody may run commands as an ordinary user."""

    def __init__(self, directory: str, *boxes):
        self.directory, self.boxes = directory, boxes

    def __repr__(self):
        return '<a container; .sh("…") runs a line of shell in it, as user 1000>'

    def sh(self, line: str) -> str:
        """What a *line* of shell says, as user 1000. Raises :class:`ContainerError` when the container has ended."""
        if self.boxes[0].status != "running":
            raise minict.ContainerError("this container has ended: run the cell with its flag(…) again")
        return self.boxes[0].exec(["sh", "-c", line], user=_SOMEBODY).output

    def remove(self) -> None:
        """End the containers, and remove the directory of the host that they had."""
        for box in self.boxes:
            box.stop(timeout=0)
        shutil.rmtree(self.directory, ignore_errors=True)


def _directory(word: str) -> str:
    """A directory that only root of the host can enter, with a directory *srv* for a container in it: the word."""
    directory = tempfile.mkdtemp(prefix="minict-flag-", dir="/var/tmp")  # /tmp may be without set-uid programs
    os.mkdir(f"{directory}/srv")
    with open(os.open(f"{directory}/srv/word", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(word + "\n")
    return directory


def _remove(room: Room) -> None:
    room.remove()


# ---- a program that is root's --------------------------------------------------------------------------------------


def _place_reader(word: str, **options) -> Room:
    """A container with a set-uid program that shows files.  No user of the host but root can reach it."""
    directory = _directory(word)
    shutil.copy(attacks.program(), f"{directory}/srv/reader")
    os.chmod(f"{directory}/srv/reader", 0o4755)
    volume = [f"{directory}/srv:/srv:ro"]
    return Room(directory, minict.run("tiny", _FOREVER, volume=volume, network="none", detach=True, **options))


def _by_the_reader(room: Room) -> str:
    if "denied" not in room.sh("cat /srv/word"):
        return "the file is open to everybody"
    found = room.sh("find / -perm -4000 -type f 2>/dev/null").split()[0]
    return room.sh(f"{found} /srv/word").strip()


def _without_new_privileges(room: Room) -> str:
    mended = _place_reader("none", security_opt=["no-new-privileges"])
    try:
        return _by_the_reader(mended)
    finally:
        mended.remove()


Flag(
    "12-1",
    "The word is in /srv/word, which belongs to root, and you are user 1000. room1.sh('…') runs a line of shell in the "
    "container. This container lacks no_new_privs. find / -perm -4000 finds what that may be good for.",
    place=_place_reader,
    solution=_by_the_reader,
    closed=_without_new_privileges,
    remove=_remove,
)


# ---- another container's processes ---------------------------------------------------------------------------------


def _place_neighbour(word: str, shared: bool = True) -> Room:
    """A container that is in the pid namespace of another one, which has the word in its environment."""
    vault = minict.run("tiny", _FOREVER, user=_SOMEBODY, env=[f"WORD={word}"], network="none", detach=True)
    pid = f"container:{vault.name}" if shared else None
    box = minict.run("tiny", _FOREVER, user=_SOMEBODY, pid=pid, network="none", detach=True)
    return Room(tempfile.mkdtemp(prefix="minict-flag-"), box, vault)


def _in_an_environment(room: Room) -> str:
    text = room.sh("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\000' '\\n' | grep ^WORD=")
    return text.strip().removeprefix("WORD=")


def _in_a_pid_namespace_of_its_own(room: Room) -> str:
    mended = _place_neighbour("none", shared=False)
    try:
        return _in_an_environment(mended) or "no process has it"
    finally:
        mended.remove()


Flag(
    "12-2",
    "Another container has the word in its environment, as the variable WORD; and somebody has started yours in the "
    "pid namespace of the other one, to watch it. Both run as user 1000. "
    "room2.sh('…') runs a line of shell in your container. proc_pid_environ(5) knows a file.",
    place=_place_neighbour,
    solution=_in_an_environment,
    closed=_in_a_pid_namespace_of_its_own,
    remove=_remove,
)


# ---- an errand of root's -------------------------------------------------------------------------------------------

_ERRANDS = "while :; do sh /job/errand >/dev/null 2>&1; sleep 0.1; done"


def _place_errand(word: str, mode: str = "rw") -> Room:
    """A container whose first process, root's, runs a script again and again that anybody may change."""
    directory = _directory(word)
    os.mkdir(f"{directory}/job")
    with open(f"{directory}/job/errand", "w") as file:
        file.write("date > /tmp/last\n")
    os.chmod(f"{directory}/job/errand", 0o666)
    volume = [f"{directory}/srv:/srv:ro", f"{directory}/job:/job:{mode}"]
    box = minict.run("tiny", ["sh", "-c", _ERRANDS], volume=volume, network="none", detach=True)
    return Room(directory, box)


def _by_the_errand(room: Room) -> str:
    room.sh("echo 'cat /srv/word > /tmp/new; chmod 644 /tmp/new; mv /tmp/new /tmp/found' > /job/errand")
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if word := room.sh("cat /tmp/found 2>/dev/null"):
            return word.strip()
        if "can't" in room.sh("echo >> /job/errand"):
            break
        time.sleep(0.05)
    return "nobody has run my errand"


def _on_a_read_only_volume(room: Room) -> str:
    mended = _place_errand("none", mode="ro")
    try:
        return _by_the_errand(mended)
    finally:
        mended.remove()


Flag(
    "12-3",
    "The word is in /srv/word, which belongs to root, and you are user 1000. room3.sh('…') runs a line of shell in the "
    "container. Its first process is root's and does the same thing again and again: room3.sh('ps') shows what. Which "
    "volume has somebody forgotten to mount read-only?",
    place=_place_errand,
    solution=_by_the_errand,
    closed=_on_a_read_only_volume,
    remove=_remove,
)


# ---- shared memory -------------------------------------------------------------------------------------------------


def _place_memory(word: str, shared: bool = True) -> Room:
    """A container that has the shared memory of another one, in which the word is."""
    vault = minict.run("tiny", _FOREVER, ipc="shareable", network="none", detach=True)
    with open(f"{vault.root}/dev/shm/word", "w") as file:
        file.write(word + "\n")
    os.chmod(file.name, 0o644)
    ipc = f"container:{vault.name}" if shared else None
    box = minict.run("tiny", _FOREVER, user=_SOMEBODY, ipc=ipc, network="none", detach=True)
    return Room(tempfile.mkdtemp(prefix="minict-flag-"), box, vault)


def _in_shared_memory(room: Room) -> str:
    return room.sh("cat /dev/shm/* 2>/dev/null").strip()


def _in_an_ipc_namespace_of_its_own(room: Room) -> str:
    mended = _place_memory("none", shared=False)
    try:
        return _in_shared_memory(mended) or "nobody has left anything in this memory"
    finally:
        mended.remove()


Flag(
    "12-4",
    "Another container keeps the word in shared memory, and somebody has started yours with ipc='container:…', in the "
    "IPC namespace of the other one. You don't see its processes. room4.sh('…') runs a line of shell in your "
    "container, as user 1000. shm_overview(7) says where shared memory shows as files.",
    place=_place_memory,
    solution=_in_shared_memory,
    closed=_in_an_ipc_namespace_of_its_own,
    remove=_remove,
)


# ---- a helper that follows -----------------------------------------------------------------------------------------

_COPIES = "while :; do cp /inbox/* /outbox/ 2>/dev/null; chmod 644 /outbox/* 2>/dev/null; sleep 0.1; done"


def _place_helper(word: str, user: str = "0") -> Room:
    """A container whose first process, the *user*'s, copies all that anybody puts into a directory."""
    directory = _directory(word)
    for name in ("inbox", "outbox"):
        os.mkdir(f"{directory}/{name}")
        os.chmod(f"{directory}/{name}", 0o777)
    volume = [f"{directory}/srv:/srv:ro", f"{directory}/inbox:/inbox", f"{directory}/outbox:/outbox"]
    box = minict.run("tiny", ["sh", "-c", _COPIES], volume=volume, user=user, network="none", detach=True)
    return Room(directory, box)


def _by_a_link(room: Room) -> str:
    room.sh("ln -s /srv/word /inbox/mine; echo hello > /inbox/note")
    end = time.monotonic() + _PATIENCE
    while "note" not in room.sh("ls /outbox") and time.monotonic() < end:
        time.sleep(0.05)  # in the order of the alphabet: the link's turn is over when the note is there
    return room.sh("cat /outbox/mine 2>/dev/null").strip() or "it did not copy what is not mine"


def _by_a_helper_without_rights(room: Room) -> str:
    mended = _place_helper("none", user=_SOMEBODY)
    try:
        return _by_a_link(mended)
    finally:
        mended.remove()


Flag(
    "12-5",
    "The word is in /srv/word, which belongs to root, and you are user 1000. No wall is missing, and no file of root's "
    "can be changed. But the first process is root's and puts copies of all that is in /inbox, where you may write, "
    "into /outbox, where you may read: room5.sh('ps') shows how. room5.sh('…') runs a line of shell in the container.",
    place=_place_helper,
    solution=_by_a_link,
    closed=_by_a_helper_without_rights,
    remove=_remove,
)


# ---- a broken container --------------------------------------------------------------------------------------------

_RECEIPTS = "srv"
_WORK = """
number=0
while :; do
    number=$((number + 1))
    echo "thank you, customer $number" 2>/dev/null > /srv/last.new && mv /srv/last.new \\
        /srv/last
    sleep 0.05
done 2>/dev/null
"""


def start():
    """The container whose root is read-only, the place for its receipts included."""
    return minict.run("tiny", ["sh", "-c", f"cd /tmp; {_WORK}"], read_only=True, network="none", detach=True)


def _last(box) -> str:
    try:
        with open(f"/proc/{box.pid}/root/{_RECEIPTS}/last") as file:
            return file.read()
    except (OSError, minict.ContainerError):
        return ""


def _is_writable(box) -> bool:
    """Whether the place for receipts is on a mount of its own that is not read-only, as the root is."""
    own = [entry for entry in host.mount_table(box.pid) if entry["point"] == f"/{_RECEIPTS}"]
    return bool(own) and "rw" in own[-1]["options"].split(",")


def _new_receipts(box) -> bool:
    """Whether two more receipts come."""
    for _ in range(2):
        before, end = _last(box), time.monotonic() + _PATIENCE
        while _last(box) in ("", before):
            if time.monotonic() > end or box.status != "running":
                return False
            time.sleep(0.01)
    return True


def check(box) -> None:
    """It runs, it writes receipts, and the rest of its root is still read-only."""
    if box.status != "running":
        raise Feedback("The container has ended. It must go on working: help it while it runs.")
    root = [entry for entry in host.mount_table(box.pid) if entry["point"] == "/"][-1]
    if "ro" not in root["options"].split(","):
        raise Feedback("Now every file of the container can be changed. The auditors want that only for receipts.")
    if not _is_writable(box) or not _new_receipts(box):
        raise Feedback(f"No new receipt comes into /{_RECEIPTS}.")


def repair(box):
    """Mount a file system in memory at the one place where it must write, in its mount namespace, from outside."""

    def help_it():
        namespaces.setns(os.open(f"/proc/{box.pid}/ns/mnt", os.O_RDONLY), namespaces.CLONE_NEWNS)
        mount.mount("tmpfs", "/srv", "tmpfs", 0, "size=1m")

    run_in_child(help_it)


def _change_the_mode(box):
    box.exec(f"chmod 777 /{_RECEIPTS}")


def _all_of_it(box):
    def remount():
        namespaces.setns(os.open(f"/proc/{box.pid}/ns/mnt", os.O_RDONLY), namespaces.CLONE_NEWNS)
        mount.mount(None, "/", None, mount.MS_REMOUNT | mount.MS_BIND)

    run_in_child(remount)


def _by_the_containers_root(box):
    box.exec(f"mount -t tmpfs tmpfs /{_RECEIPTS}")


Scenario(
    "tight",
    "This shop should write a receipt for every customer into /srv, and since the auditors came to visit, "
    "customers get none.",
    minutes=6,
    start=start,
    check=check,
    clues=[
        'tight.exec("touch /srv/test") does what the shop does. What is the reason?',
        "mount_tree(tight.pid) shows what is read-only. A file system of its own, in memory, at the right place, "
        "would help; root of the container may not mount one, but you can do it from outside.",
        "In a %%child: setns() on /proc/PID/ns/mnt with tight.pid, and then mount a tmpfs at /srv.",
    ],
    solution=repair,
    wrong={
        "changes the mode": (_change_the_mode, "No new receipt"),
        "makes everything writable": (_all_of_it, "only for receipts"),
        "asks the container's root": (_by_the_containers_root, "No new receipt"),
    },
)
