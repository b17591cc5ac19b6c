"""The last cell of every chapter: what this notebook has left on the host, if anything.

:mod:`.host` compares everything; a learner wants to know what belongs to them, and how to remove it. So a container is
one line, with the command that removes it; things of another notebook or terminal are not mentioned; and things that
have disappeared do not count.
"""

from __future__ import annotations

import atexit
import os
import time

from minict.engine.containers.store import records
from minict.runtime import paths

from . import host, leftovers

_PATIENCE = 3.0  # seconds for things that are just being removed

_beginning: dict = {}
_temporary: list[str] = []  # the temporary directories that this process has created


def begin() -> None:
    """Remember how the host looks now, as the state that :func:`leave_no_trace` compares with."""
    host.mark_what_we_start()
    leftovers.begin(_temporary.append)
    _beginning.update(look())
    atexit.register(leftovers.end)


def look() -> dict:
    """The host as it is now: a snapshot, the propagation of its mounts, its name, and its containers."""
    return {
        "snapshot": host.snapshot(),
        "propagation": {(m["point"], m["id"]): _propagation(m) for m in host.mount_table()},
        "name": os.uname().nodename,
        "containers": {record.id for record in records()},
    }


def _propagation(entry: dict) -> str:
    return ", ".join(sorted(tag.partition(":")[0] for tag in entry["tags"])) or "private"


def leave_no_trace() -> None:
    """Show that the host is as it was when this notebook began: the last cell of every chapter.

    What this notebook has left is named, with the way to remove it.
    """
    if not _beginning:
        raise RuntimeError("nobody looked at the host when this notebook began: start with `from minict.lab import *`")
    from .flag import remove_all
    from .scenario import end_all

    end_all()  # the course ends broken containers and flags itself: a chapter need not
    remove_all()
    leftovers.remove()
    end, pause = time.monotonic() + _PATIENCE, 0.005
    while (left := traces(_beginning, look())) and time.monotonic() < end:
        time.sleep(pause)  # the kernel takes a dying network namespace apart in the background
        pause = min(pause * 2, 0.2)
    for words in [*host.KINDS.values(), *(each for each in left if each not in host.KINDS.values())]:
        print(f"{words:<20} {'CHANGED' if words in left else 'as before'}")
        for line in left.get(words, ()):
            print(f"{'':<20}   {line}")
    if left:
        print("\nSomething is left: do what stands behind each line, and run this cell again.")
    else:
        print("\nThis notebook left no trace on the host.")


def traces(before: dict, now: dict) -> dict[str, list[str]]:
    """What is new and belongs to this notebook, by kind; each line ends with what to do about it."""
    found = {
        "containers": _containers(before, now),
        "host name": _name(before, now),
        "temporary directories": _directories(),
    }
    table = host.process_table()
    others = _others_containers(table)
    known = {record.id: record.pid for record in records()}
    mine, inside = set(known) - before["containers"] - others, set(known.values()) - {None}
    for kind, words in host.KINDS.items():
        new = before["snapshot"].kinds[kind], now["snapshot"].kinds[kind]
        lines = [
            _line(kind, thing, table, inside)
            for thing in sorted((new[1] - new[0]).elements())
            if not _of(thing, mine | others)
        ]
        found[words] = [line for line in lines if line]
    found["mounts"] += _changed_propagation(before, now)
    _fold_the_network(found, bool(mine | others))
    return {words: lines for words, lines in found.items() if lines}


def _of(thing: str, ids: set[str]) -> bool:
    """Whether *thing* belongs to one of the containers *ids*: paths hold whole ids, cables their first eight
    characters."""
    return any(id in thing or thing.startswith(f"veth{id[:8]}") for id in ids)


def _containers(before: dict, now: dict) -> list[str]:
    others = _others_containers(host.process_table())
    lines = []
    for record in records():
        if record.id not in before["containers"] | others:
            state = "still runs" if record.pid is not None else f"is {record.status}"
            lines.append(f"{record.name} of {record.image_name} {state}: minict rm -f {record.name}")
    return lines


def _others_containers(table: dict) -> set[str]:
    """The running containers that are supervised neither by this notebook nor by a process that it has started."""
    return {record.id for record in records() if record.pid in table and not _is_ours(record.pid, table)}


def _is_ours(pid: int, table: dict) -> bool:
    """Whether *pid* is this notebook, a process that it has started, or a descendant of these."""
    while pid in table:
        if pid == os.getpid() or host.is_marked(table[pid]):
            return True
        pid = table[pid].parent
    return False


def _ancestors(pid: int, table: dict) -> set[int]:
    """*pid* and its ancestors."""
    found = set()
    while pid in table:
        found.add(pid)
        pid = table[pid].parent
    return found


def _line(kind: str, thing: str, table: dict, inside: set[int]) -> str:
    """The line about one new thing, with what to do about it; empty if it is not this notebook's, or is *inside* a
    container."""
    if kind == "processes":
        pid = int(thing.split(maxsplit=1)[0])
        if pid not in table or not _is_ours(pid, table) or _ancestors(pid, table) & inside:
            return ""
        if table[pid].state == "Z":
            return f"{thing}: wait for it, with os.waitpid({pid}, 0)"
        return f"{thing}: os.kill({pid}, 9), and wait for it if it is a child of this notebook"
    if kind == "mounts":
        return f"{thing}: umount {thing.split(' on ')[1].rsplit(' (', 1)[0]}"
    if kind == "links":
        return f"{thing}: ip link delete {thing}"
    if kind == "cgroups":
        return f"{thing}: minict prune"
    if kind == "files":
        return f"{thing}: minict prune" if thing.startswith(paths.run_root()) else f"{thing}: rm -r {thing}"
    return f"{thing}: minict prune"


def _fold_the_network(found: dict, is_in_use: bool) -> None:
    """Fold the bridges and rules that containers share into one line, or none while running containers need them."""
    shared = [line for words in ("network links", "firewall rules") for line in found[words] if _is_shared(line)]
    found["firewall rules"] = [line for line in found["firewall rules"] if not _is_shared(line)]
    found["network links"] = [line for line in found["network links"] if not _is_shared(line)]
    networks = f"{paths.run_root()}/networks/"
    notes = [line for line in found["files of containers"] if line.startswith(networks)]
    found["files of containers"] = [line for line in found["files of containers"] if line not in notes]
    if (shared or notes) and not is_in_use:
        found["network links"].append("the bridge of the containers' network, and its firewall rules: minict prune")


def _is_shared(line: str) -> bool:
    return line.startswith(("table inet minict", "minict", "br-"))


def _changed_propagation(before: dict, now: dict) -> list[str]:
    changed = []
    for mount, after in now["propagation"].items():
        was = before["propagation"].get(mount, after)
        if was != after:
            changed.append(f"{mount[0]} is {after} now, and was {was}: mount --make-{_word(was)} {mount[0]}")
    return changed if len(changed) < 4 else [f"the propagation of {len(changed)} mounts; {changed[0]}, and so on"]


def _word(propagation: str) -> str:
    return {"master": "slave"}.get(propagation, propagation.partition(", ")[0])


def _name(before: dict, now: dict) -> list[str]:
    return (
        []
        if before["name"] == now["name"]
        else [f"{now['name']}, and it was {before['name']}: hostname {before['name']}"]
    )


def _directories() -> list[str]:
    return [f"{path}: shutil.rmtree({path!r})" for path in _temporary if os.path.isdir(path)]
