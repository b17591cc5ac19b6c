"""Which ids of the host are which ids in a user's namespace.

::

    inside      outside
    0           the user
    1 to 65536  the range that /etc/subuid gives to the user, such as 100000 to 165535

Only a privileged process may map ids that are not its own. The programs newuidmap and newgidmap have this right, and
ask /etc/subuid and /etc/subgid, where useradd(8) reserves a range for each user. Without them the user's own id is the
only one, which is enough for images whose files all belong to root.

Source: user_namespaces(7), "Defining user and group ID mappings"; newuidmap(1); subuid(5).
"""

from __future__ import annotations

import os

from minict.runtime.errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Ranges = list[tuple[int, int]]  # first id on the host, how many

_TOOLS = ("newuidmap", "newgidmap")
_PLACES = "/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"


def ranges(file: str, user: str, uid: int) -> Ranges:
    """The ranges that *file*, /etc/subuid or /etc/subgid, gives to a user; a line that makes no sense is left out.

    Source: subuid(5): ``NAME:FIRST:COUNT``, with a name or a number.
    """
    try:
        with open(file, encoding="utf-8", errors="replace") as lines:
            rows = [line.strip().split(":") for line in lines]
    except OSError:
        return []
    mine = [row for row in rows if len(row) == 3 and row[0] in (user, str(uid))]
    return [(int(row[1]), int(row[2])) for row in mine if row[1].isdecimal() and row[2].isdecimal() and int(row[2])]


def mapping(own: int, others: Ranges) -> list[tuple[int, int, int]]:
    """The map of a user's id and *others*: (first id inside, first id outside, how many)."""
    rows, inside = [(0, own, 1)], 1
    for first, count in others:
        rows.append((inside, first, count))
        inside += count
    return rows


def write(pid: int, uid: int, gid: int) -> None:
    """Map the ids of the user *uid* in the new user namespace of the process *pid*, which the caller is outside of.

    Raises :class:`ContainerError` when a program refuses. Source: newuidmap(1), newgidmap(1).
    """
    user = name(uid)
    others = [ranges(file, user, uid) for file in ("/etc/subuid", "/etc/subgid")]
    tools = [find(tool) for tool in _TOOLS]
    if not all(tools) or not all(others):
        return _write_one(pid, uid, gid)
    import subprocess

    for tool, own, ids in zip(tools, (uid, gid), others):
        numbers = [str(number) for row in mapping(own, ids) for number in row]
        done = subprocess.run([str(tool), str(pid), *numbers], capture_output=True, text=True)
        if done.returncode:
            raise ContainerError(f"{tool} refuses the ids of {user}: {' '.join(done.stderr.split())}")
    return None


def _write_one(pid: int, uid: int, gid: int) -> None:
    """The map that every user may write: one's own id alone, without the right to change groups."""
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/{pid}/{file}", "w") as map_file:
            map_file.write(text)


def name(uid: int) -> str:
    """The name of the user *uid*, or its number. Source: getpwuid(3)."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def find(program: str) -> str | None:
    """The path of *program*, also where an ordinary user's PATH does not lead. Source: environ(7)."""
    places = [*os.environ.get("PATH", "").split(":"), *_PLACES]
    return next((f"{place}/{program}" for place in places if place and os.access(f"{place}/{program}", os.X_OK)), None)


def remedy() -> str:
    """What gives a user more ids than one: packages, and a line that an administrator adds."""
    with open("/proc/self/uid_map") as lines:
        uid = int(lines.readline().split()[1])
    user = name(uid)
    return (
        f"an administrator installs uidmap and runs: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
        f"{user}; then end the old namespaces with 'minict unshare --stop'"
    )
