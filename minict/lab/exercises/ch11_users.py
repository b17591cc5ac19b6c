"""Chapter 11: translate an id, write the maps of a user namespace, become the user of a container; and a small container
that an ordinary user starts."""

from __future__ import annotations

import errno
import io
import os

from minict.kernel.process import prctl
from minict.runtime import namespaces, process
from minict.runtime.errors import ContainerError
from minict.runtime.spec import IDMapping, User

from ..answers import edited
from ..challenge import Challenge
from ..exercise import Exercise, same_fate
from ..feedback import Feedback
from ..ordinary import ADA, become_ada
from ..rulers import inside

_IMPORTS = """
    import os
    from minict.kernel import mount as k
    from minict.kernel.namespaces import CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, unshare
    from minict.kernel.process import sethostname
    from minict.runtime.process import exit_status, spawn
"""


def _mappings(lines) -> list[IDMapping]:
    return [IDMapping(containerID=inside, hostID=outside, size=size) for inside, outside, size in lines]


def _text(lines) -> str:
    return ", ".join(f"{inside} {outside} {size}" for inside, outside, size in lines)


# ---- users-1 ---------------------------------------------------------------------------------------------------------

_MAPS = (
    [(0, 500_000, 10)],
    [(0, ADA, 1), (1, 300_000, 65_536)],
    [(5, 700, 3), (0, 9_000, 2)],
)
# with this bit of capabilities(7), "The securebits flags", a process that becomes another user keeps its capabilities
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 28, 1 << 2
_OVERFLOW = 65_534
_IDS = (0, 1, 2, 4, 5, 7, 8, 9, 10, 33, 65_536, 65_537)


def check_host_id(host_id):
    """A process inside makes a file as the user *id*; the host's stat tells whose it is."""
    os.chmod(".", 0o777)
    for lines in _MAPS:
        owners = _owners(lines)
        for id, owner in zip(_IDS, owners):
            call = f"with the map {_text(lines)}, host_id({id}, mappings)"
            _compare_id(call, id, lines, host_id(id, _mappings(lines)), None if owner < 0 else owner)


def _owners(lines) -> list[int]:
    """The owners on the host of files that the users :data:`_IDS` of a namespace make; -1 where there is no such
    user."""

    def make(id: int) -> int:
        try:
            os.setresuid(id, id, id)
        except OSError:
            return -1  # EINVAL: the namespace has no such id
        with open(f"file-{id}", "w"):
            return id

    def all_of_them() -> list[int]:
        prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP)
        return [make(id) for id in _IDS]

    with inside(lines, all_of_them) as box:
        made = box.numbers()
    found = []
    for id in made:
        found.append(-1 if id < 0 else os.stat(f"file-{id}").st_uid)
        if id >= 0:
            os.remove(f"file-{id}")
    return found


def _compare_id(call: str, id: int, lines, found, owner: int | None) -> None:
    if found == owner and not isinstance(found, bool):
        return
    told = f"{call} returned {found!r}."
    if owner is None and found == _OVERFLOW:
        raise Feedback(
            f"{told} The kernel shows {_OVERFLOW} where an id has no translation, and no id outside belongs to it. "
            "Expected: None."
        )
    if owner is None:
        raise Feedback(
            f"{told} The kernel says: there is no user {id} in there, setresuid fails with EINVAL. A line has places for "
            "the ids from its first on, size of them, and the last is containerID + size - 1. Expected: None."
        )
    truth = f"User {id} made a file in there, and on the host it belongs to {owner}."
    place = next(line for line in lines if line[0] <= id < line[0] + line[2])
    if found in [host + id - first for first, host, size in lines]:
        raise Feedback(
            f"{told} {truth} It has its place in the line {_text([place])}, and in no other. A line has places "
            "for the ids from containerID to containerID + size - 1."
        )
    if found is None and place == lines[0] and id == place[0]:
        raise Feedback(
            f"{told} {truth} It is the first id of the first line, {_text([place])}: containerID is the side inside, "
            "hostID the side outside, and the first id has its place in the line too."
        )
    last = place[0] + place[2] - 1
    if found is None and id == last:
        raise Feedback(
            f"{told} {truth} The last id that the line {_text([place])} translates is containerID + size - 1, here {last}."
        )
    if found is None and place == lines[0]:
        raise Feedback(
            f"{told} {truth} The line {_text([place])} translates more than its first id: all from {place[0]} to {last}."
        )
    if found is None:
        raise Feedback(
            f"{told} {truth} The line that translates it is one of several. Look at all lines before you give up."
        )
    if found in [host for _, host, _ in lines] or found in [host + id for _, host, _ in lines]:
        raise Feedback(
            f"{told} {truth} The first id inside, containerID, is hostID outside; an id that is n above the first is "
            "n above hostID."
        )
    raise Feedback(f"{told} {truth}")


_HOST_ID = """
    def host_id(id, mappings):
        for each in mappings:
            if each.containerID <= id < each.containerID + each.size:
                return each.hostID + id - each.containerID
        return None
"""

Exercise(
    "users-1",
    "What do they call you out there?",
    minutes=6,
    difficulty=1,
    reference=namespaces.host_id,
    check=check_host_id,
    imports=_IMPORTS,
    starter='''
        def host_id(id, mappings):
            """The id outside for the id inside; None where no mapping (containerID, hostID, size) has a place for it."""
            for each in mappings:
                ...
            return None
    ''',
    hints=[
        "A mapping has a place for the ids from containerID to containerID + size - 1. Is id one of them? Python "
        "understands low <= id < high.",
        "How far is id from the first id of its mapping? It is as far from hostID outside.",
        "if each.containerID <= id < each.containerID + each.size: return each.hostID + (id - each.containerID)",
    ],
    right={
        "with a range": """
            def host_id(id, mappings):
                for each in mappings:
                    if id in range(each.containerID, each.containerID + each.size):
                        return range(each.hostID, each.hostID + each.size)[id - each.containerID]
        """,
        "by the distance": """
            def host_id(id, mappings):
                found = None
                for each in mappings:
                    distance = id - each.containerID
                    if 0 <= distance < each.size:
                        found = each.hostID + distance
                return found
        """,
        "in one expression": """
            def host_id(id, mappings):
                return next((m.hostID - m.containerID + id for m in mappings
                             if m.containerID <= id <= m.containerID + m.size - 1), None)
        """,
    },
    wrong={
        "one too many": (edited(_HOST_ID, ("each.size:", "each.size + 1:")), "containerID + size - 1"),
        "up to and with": (edited(_HOST_ID, ("<= id < each", "<= id <= each")), "containerID + size - 1"),
        "one too few": (edited(_HOST_ID, ("each.size:", "each.size - 1:")), "size - 1, here 9"),
        "the wrong way round": (
            """
            def host_id(id, mappings):
                for each in mappings:
                    if each.hostID <= id < each.hostID + each.size:
                        return each.containerID + id - each.hostID
                return None
        """,
            "containerID is the side inside",
        ),
        "without the first": (edited(_HOST_ID, ("<= id", "< id")), "the first id has its place"),
        "no lower end": (
            edited(_HOST_ID, ("each.containerID <= id <", "id <")),
            "from containerID to containerID + size - 1",
        ),
        "forgets where the line begins": (
            edited(_HOST_ID, ("each.hostID + id - each.containerID", "each.hostID + id")),
            "n above hostID",
        ),
        "always the first id": (edited(_HOST_ID, ("each.hostID + id - each.containerID", "each.hostID")), "n above"),
        "the first line alone": (
            edited(_HOST_ID, ("                return each", "                return each"), ("        return None", "            return None")),
            "Look at all lines",
        ),
        "itself without a place": (edited(_HOST_ID, ("return None", "return id")), "Expected: None"),
        "the first id alone": (edited(_HOST_ID, ("<= id < each.containerID + each.size", "== id")), "more than its first id"),
        "size for the end": (edited(_HOST_ID, ("< each.containerID + each.size", "< each.size")), "size - 1, here 65536"),
        "a mapping as a list": (
            """
            def host_id(id, mappings):
                for each in mappings:
                    if each[0] <= id < each[0] + each[2]:
                        return each[1] + id - each[0]
                return None
        """,
            "its fields are .containerID",
        ),
        "a mapping taken apart": (
            """
            def host_id(id, mappings):
                for first, host, size in mappings:
                    if first <= id < first + size:
                        return host + id - first
                return None
        """,
            "its fields are .containerID",
        ),
        "nobody without a place": (edited(_HOST_ID, ("return None", "return 65534")), "where an id has no translation"),
    },
)  # fmt: skip


# ---- users-2 ---------------------------------------------------------------------------------------------------------

_UIDS = [(0, ADA, 1), (1, 300_000, 65_536)]
_GIDS = [(0, 500, 2), (7, 400_000, 3)]


def check_write_id_maps(write_id_maps):
    """A child in a new user namespace waits; then its maps are read."""
    for uids, gids in ((_UIDS, _GIDS), ([(0, 100_000, 10)], [(0, 200_000, 20)])):
        with inside((), list) as box:
            call = f"write_id_maps(pid, uids, gids), uids: {_text(uids)}; gids: {_text(gids)}"
            try:
                write_id_maps(box.pid, _mappings(uids), _mappings(gids))
            except (OSError, ContainerError) as error:
                raise Feedback(f"{call} raised {error}. {_why_refused(error, box.pid, uids)}".strip()) from None
            for file, wanted, other in (("uid_map", uids, gids), ("gid_map", gids, uids)):
                _compare_map(call, file, _lines(box.pid, file), wanted, other)
            with open(f"/proc/{box.pid}/setgroups") as file:
                if file.read().strip() != "allow":
                    raise Feedback(
                        f"{call} has written to setgroups. Only an ordinary user has to. Root maps all groups that the "
                        "container needs, and with deny no program in there could become another user any more."
                    )


def _lines(pid: int, file: str) -> list[tuple[int, ...]]:
    with open(f"/proc/{pid}/{file}") as lines:
        return [tuple(map(int, line.split())) for line in lines]


def _why_refused(error: OSError, pid: int, uids) -> str:
    if isinstance(error, io.UnsupportedOperation):
        return 'open(path) opens a file for reading. To write, it wants "w": open(path, "w").'
    if error.errno == errno.EPERM and not _lines(pid, "uid_map"):
        return (
            f"The map of the process pid, {pid}, is still empty: another file was written. /proc/self is the process "
            "that writes; the one that waits for its map is /proc/PID, with the number pid."
        )
    if error.errno in (errno.EPERM, errno.EINVAL) and len(_lines(pid, "uid_map")) == 1 and len(uids) > 1:
        return (
            "After the first line the map is finished: each write() is a whole map, and the kernel takes one. Join the "
            "lines to one text. (file.write() twice is one write() for the kernel unless you close or flush in between.)"
        )
    if error.errno == errno.EPERM:
        return "Was the file written twice? The kernel takes one write for each map."
    if error.errno == errno.EINVAL:
        return (
            'The kernel does not understand the text. It wants a line for each mapping, such as "0 1815 1\\n": first id '
            "inside, first id outside, how many. Ids may not overlap."
        )
    if error.errno == errno.ENOENT:
        return "The files are /proc/PID/uid_map and /proc/PID/gid_map, with the number of the process for PID."
    return ""


def _compare_map(call: str, file: str, found, wanted, other) -> None:
    if sorted(found) == sorted(wanted):  # the order of the lines means nothing
        return
    told = f"after {call} the kernel shows in {file}: {_text(found) or 'nothing'}."
    if not found:
        raise Feedback(f"{told} Expected: {_text(wanted)}. Both files are to be written.")
    if found == other:
        raise Feedback(f"{told} That is the map of the other kind: users into uid_map, groups into gid_map.")
    if found == [(host, first, size) for first, host, size in wanted]:
        raise Feedback(f"{told} The columns are the other way round: inside first, then outside, then how many.")
    if len(found) < len(wanted):
        raise Feedback(f"{told} Expected: {_text(wanted)}. One write has to hold all lines.")
    raise Feedback(f"{told} Expected: {_text(wanted)}.")


_WRITE_MAPS = """
    def write_id_maps(pid, uids, gids):
        for file, mappings in (("uid_map", uids), ("gid_map", gids)):
            text = "".join(f"{each.containerID} {each.hostID} {each.size}\\n" for each in mappings)
            with open(f"/proc/{pid}/{file}", "w") as map_file:
                map_file.write(text)
"""

Exercise(
    "users-2",
    "A number on each side",
    minutes=8,
    difficulty=2,
    reference=namespaces.write_id_maps,
    check=check_write_id_maps,
    imports=_IMPORTS,
    starter='''
        def write_id_maps(pid, uids, gids):
            """Write the maps of the user namespace of the process pid; each mapping has containerID, hostID, size."""
            for file, mappings in (("uid_map", uids), ("gid_map", gids)):
                ...
    ''',
    hints=[
        "For each mapping one line: containerID, hostID and size, with spaces between, and \\n at its end. Build the "
        "whole text before you open the file.",
        '"".join(f"…\\n" for each in mappings) makes one text of all lines.',
        'with open(f"/proc/{pid}/{file}", "w") as map_file: map_file.write(text), once for each file.',
    ],
    right={
        "the lines in another order": edited(_WRITE_MAPS, ("for each in mappings", "for each in reversed(mappings)")),
        "with os.write": """
            def write_id_maps(pid, uids, gids):
                for file, mappings in (("uid_map", uids), ("gid_map", gids)):
                    lines = [" ".join(map(str, (m.containerID, m.hostID, m.size))) for m in mappings]
                    fd = os.open(f"/proc/{pid}/{file}", os.O_WRONLY)
                    os.write(fd, "\\n".join(lines).encode())
                    os.close(fd)
        """,
        "line by line into one buffer": """
            def write_id_maps(pid, uids, gids):
                for file, mappings in (("gid_map", gids), ("uid_map", uids)):
                    with open(f"/proc/{pid}/{file}", "w") as map_file:
                        for m in mappings:
                            print(m.containerID, m.hostID, m.size, file=map_file)
        """,
        "with pathlib": """
            def write_id_maps(pid, uids, gids):
                from pathlib import Path
                def text(mappings):
                    return "".join(f"{m.containerID:>10} {m.hostID:>10} {m.size:>10}\\n" for m in mappings)
                Path(f"/proc/{pid}/uid_map").write_text(text(uids))
                Path(f"/proc/{pid}/gid_map").write_text(text(gids))
        """,
    },
    wrong={
        "the columns exchanged": (
            edited(_WRITE_MAPS, ("{each.containerID} {each.hostID}", "{each.hostID} {each.containerID}")),
            "inside first, then outside",
        ),
        "a write for each line": (
            """
            def write_id_maps(pid, uids, gids):
                for file, mappings in (("uid_map", uids), ("gid_map", gids)):
                    for m in mappings:
                        with open(f"/proc/{pid}/{file}", "w") as map_file:
                            map_file.write(f"{m.containerID} {m.hostID} {m.size}\\n")
        """,
            "each write() is a whole map",
        ),
        "a flush for each line": (
            """
            def write_id_maps(pid, uids, gids):
                for file, mappings in (("uid_map", uids), ("gid_map", gids)):
                    with open(f"/proc/{pid}/{file}", "w") as map_file:
                        for m in mappings:
                            print(m.containerID, m.hostID, m.size, file=map_file, flush=True)
        """,
            "each write() is a whole map",
        ),
        "users alone": (
            edited(_WRITE_MAPS, (', ("gid_map", gids))', ",)")),
            "Both files are to be written",
        ),
        "the same map twice": (edited(_WRITE_MAPS, ('("gid_map", gids)', '("gid_map", uids)')), "of the other kind"),
        "no end of line": (edited(_WRITE_MAPS, ("{each.size}\\n", "{each.size}")), "for each mapping"),
        "with commas": (
            edited(_WRITE_MAPS, ("{each.containerID} {each.hostID} {each.size}", "{each.containerID},{each.hostID},{each.size}")),
            "does not understand the text",
        ),
        "the first line alone": (edited(_WRITE_MAPS, ("each in mappings)", "each in mappings[:1])")), "has to hold all lines"),
        "denies setgroups": (
            edited(_WRITE_MAPS, ("for file, mappings", "open(f'/proc/{pid}/setgroups', 'w').write('deny')\n        for file, mappings")),
            "Only an ordinary user has to",
        ),
        "its own map": (edited(_WRITE_MAPS, ("/proc/{pid}/", "/proc/self/")), "another file was written"),
        "opened for reading": (edited(_WRITE_MAPS, (', "w")', ")")), "opens a file for reading"),
        "an end instead of a size": (
            edited(_WRITE_MAPS, ("{each.size}", "{each.hostID + each.size}")),
            "first id inside, first id outside, how many",
        ),
    },
)  # fmt: skip


# ---- users-3 ---------------------------------------------------------------------------------------------------------

_ROOTS_GROUPS = [0, 4, 27]  # those of somebody who administers a machine


def check_set_user(set_user):
    """A process of root, in groups of root, becomes the user; then the kernel says who it is."""
    for uid, gid, groups in ((ADA, 1816, [4242, 4243]), (33, 34, []), (0, 0, [])):
        user = User(uid=uid, gid=gid, additionalGids=groups)
        call = f"set_user(user), user: uid {uid}, gid {gid}, additionalGids {groups},"
        status = same_fate(lambda user=user, call=call: _become(set_user, user, call))
        _compare_user(call, status, uid, gid, groups)


def _become(set_user, user: User, call: str) -> dict[str, list[int]]:
    os.setgroups(_ROOTS_GROUPS)
    try:
        set_user(user)
    except PermissionError as error:
        raise Feedback(
            f"{call} raised {error}. The process is user {os.geteuid()} by then, and has no right left to change its "
            "groups. The calls that need root's rights come first, and the call that gives them up comes last."
        ) from None
    with open("/proc/self/status") as file:
        fields = (line.split(":\t", 1) for line in file if ":\t" in line)
        return {
            name: [int(word) for word in value.split()] for name, value in fields if name in ("Uid", "Gid", "Groups")
        }


def _compare_user(call: str, status: dict[str, list[int]], uid: int, gid: int, groups: list[int]) -> None:
    told = f"after {call} /proc/self/status says"
    for field, id in (("Uid", uid), ("Gid", gid)):
        ids, what = status[field], {"Uid": "user", "Gid": "group"}[field]
        if ids[1] == id and ids != [id] * 4:
            raise Feedback(
                f"{told} {field}: {' '.join(map(str, ids))} (real, effective, saved, for files). Only a part of them is "
                f"{id}: the process can go back to the old {what}. os.setres{what[0]}id() sets all, and "
                "leaves one as it was where its argument is -1."
            )
        if uid != gid and ids == [gid if field == "Uid" else uid] * 4:
            raise Feedback(
                f"{told} {field}: {' '.join(map(str, ids))}. Expected: the {what} {id}. user.uid and user.gid have "
                "changed places."
            )
        if ids != [id] * 4:
            raise Feedback(f"{told} {field}: {' '.join(map(str, ids))}. Expected: the {what} {id}.")
    have = status["Groups"]
    if set(have) - {gid} != set(groups) - {gid}:  # its own group in the list adds nothing
        kept = sorted(set(have) & set(_ROOTS_GROUPS) - set(groups))
        why = (
            f" Groups {', '.join(map(str, kept))} are those that root was in: whatever they may read, this user can. "
            "os.setgroups() replaces the list."
            if kept
            else ""
        )
        shown = " ".join(map(str, have)) or "(none)"
        raise Feedback(f"{told} Groups: {shown}. Expected: {' '.join(map(str, groups)) or '(none)'}.{why}")


def _where_groups_are_fixed(function, user):
    """A learner's ``set_user`` in a user namespace that does not allow setgroups(2): there the groups stay."""
    try:
        return function(user)
    except PermissionError:
        if not process._groups_are_fixed():
            raise
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        return None


_SET_USER = """
    def set_user(user):
        os.setgroups(user.additionalGids)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
"""
_THE_GROUPS, _THE_GROUP, _THE_USER = (line.strip() for line in _SET_USER.strip().splitlines()[1:])


def _in_order(*lines: str) -> str:
    return "def set_user(user):\n" + "".join(f"    {line}\n" for line in lines)


Exercise(
    "users-3",
    "The last thing that root does",
    minutes=6,
    difficulty=2,
    reference=process.set_user,
    check=check_set_user,
    imports=_IMPORTS,
    adapt=_where_groups_are_fixed,
    starter='''
        def set_user(user):
            """Become the user user.uid, of the group user.gid, with the further groups user.additionalGids, for good."""
            ...
    ''',
    hints=[
        "Three calls, one for each of the three values. Each of them needs a right of root. Which one takes these rights "
        "away?",
        "os.setgroups(list) replaces the further groups. os.setresgid(real, effective, saved) and os.setresuid(…) take the "
        "same number three times.",
        "First os.setgroups(user.additionalGids), then the group, the user last.",
    ],
    right={
        "the group first": _in_order(_THE_GROUP, _THE_GROUPS, _THE_USER),
        "its own group in the list too": _in_order(
            "os.setgroups([user.gid, *user.additionalGids])", _THE_GROUP, _THE_USER
        ),
        "with setgid and setuid": _in_order(_THE_GROUPS, "os.setgid(user.gid)", "os.setuid(user.uid)"),
        "with setregid and setreuid": """
            def set_user(user):
                groups = [] + list(user.additionalGids)
                os.setregid(user.gid, user.gid)
                os.setgroups(groups)
                os.setreuid(user.uid, user.uid)
        """,
    },
    wrong={
        "the user first": (_in_order(_THE_USER, _THE_GROUP, _THE_GROUPS), "the call that gives them up comes last"),
        "the groups last": (_in_order(_THE_GROUP, _THE_USER, _THE_GROUPS), "the call that gives them up comes last"),
        "keeps root's groups": (_in_order(_THE_GROUP, _THE_USER), "are those that root was in"),
        "adds to root's groups": (
            _in_order("os.setgroups(os.getgroups() + user.additionalGids)", _THE_GROUP, _THE_USER),
            "os.setgroups() replaces the list",
        ),
        "no groups at all": (_in_order("os.setgroups([])", _THE_GROUP, _THE_USER), "Expected: 4242 4243"),
        "keeps root's group": (_in_order(_THE_GROUPS, _THE_USER), "Expected: the group 1816"),
        "for the moment": (
            _in_order(_THE_GROUPS, _THE_GROUP, "os.seteuid(user.uid)"),
            "can go back to the old user",
        ),
        "the group for the moment": (
            _in_order(_THE_GROUPS, "os.setegid(user.gid)", _THE_USER),
            "can go back to the old group",
        ),
        "the user's number for the group": (
            _in_order(_THE_GROUPS, "os.setgid(user.uid)", "os.setuid(user.uid)"),
            "Expected: the group 1816",
        ),
        "the user and the group exchanged": (
            _in_order(_THE_GROUPS, "os.setgid(user.uid)", "os.setuid(user.gid)"),
            "have changed places",
        ),
        "the saved one as it was": (
            _in_order(_THE_GROUPS, _THE_GROUP, "os.setresuid(user.uid, user.uid, -1)"),
            "where its argument is -1",
        ),
    },
)


# ---- the challenge ---------------------------------------------------------------------------------------------------


def check_as_root(as_root):
    """Ada calls it. What does the function that it calls find, and what status comes back?"""
    os.chmod(".", 0o777)
    home = {kind: os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("user", "mnt", "pid", "uts")}
    for status in (0, 7):
        told = _as_ada(as_root, status)
        call = "as_root(function), called by Ada,"
        if told is None:
            raise Feedback(f"{call} has not called the function: a child has ended before. {_obstacle(home)}")
        returned, found = told
        for kind, what in (("user", "user"), ("mnt", "mount"), ("pid", "pid"), ("uts", "host name")):
            if found[kind] == home[kind]:
                raise Feedback(
                    f"{call} called the function in the host's {what} namespace. Expected: new user, mount, pid and host "
                    "name namespaces."
                    + (" Only children of the process that called unshare() are in the new pid namespace." if kind == "pid" else "")
                )  # fmt: skip
        if found["uid"] or found["gid"]:
            raise Feedback(
                f"{call} called the function as user {found['uid']} of group {found['gid']}. Expected: 0 and 0. Both "
                "maps are needed."
            )
        if found["me"] != 1:
            raise Feedback(f"{call} called the function in process {found['me']} of its pid namespace. Expected: 1.")
        if found["name"] != "box":
            raise Feedback(f"in the function the host name is {found['name']!r}. Expected: 'box'.")
        if found["processes"] != [1]:
            raise Feedback(
                f"in the function /proc has the processes {found['processes'][:6]}. Expected: number 1 alone, in a new "
                "/proc, mounted by the process that is number 1."
            )
        if returned != status:
            why = ""
            if returned == status << 8:
                why = " That is the wait status: exit_status() finds the exit status in it."
            elif returned == 0:
                why = (
                    " Each process in between ends with a status of its own, 0, unless it hands on what it waited for."
                )
            raise Feedback(
                f"the function ended its process with status {status}, and as_root() returned {returned!r}.{why}"
            )


def _as_ada(as_root, status: int):
    """What ``as_root`` returned to Ada, and what the function has found; None when it was not called."""

    def function():
        found = {kind: os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("user", "mnt", "pid", "uts")}
        found.update(uid=os.getuid(), gid=os.getgid(), me=os.getpid(), name=os.uname().nodename)
        found["processes"] = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
        with open("found", "w") as file:
            file.write(repr(found))
        if status:
            os._exit(status)

    def call():
        become_ada()
        names = as_root.function.__globals__
        if names.get("spawn") is process.spawn:
            names["spawn"] = lambda function: process.spawn(lambda: _witnessed(function))
        try:
            return ("returned", as_root(function))
        except OSError as error:
            raise Feedback(f"as_root(function), called by Ada, raised {error}. {_HURDLES}") from None

    returned = same_fate(call)[1]
    try:
        with open("found") as file:
            found = eval(file.read(), {"__builtins__": {}})  # our own repr
    except FileNotFoundError:
        return None
    os.remove("found")
    return returned, found


def _witnessed(function) -> None:
    """Call *function*; where the kernel refuses something, write down where this process is."""
    try:
        function()
    except OSError as error:
        trace, ada_again = error.__traceback__, False
        while trace:
            ada_again |= trace.tb_frame.f_code is become_ada.__code__
            trace = trace.tb_next
        where = {kind: os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("user", "mnt", "uts")}
        for name in ("uid_map", "gid_map", "setgroups"):
            with open(f"/proc/self/{name}") as file:
                where[name] = file.read().strip()
        with open("refused", "w") as file:
            file.write(repr(where | {"me": os.getpid(), "ada_again": ada_again, "error": str(error)}))
        raise


def _obstacle(home: dict[str, int]) -> str:
    """Why the kernel has refused something to a child, told from where the child was; else all that it may be."""
    try:
        with open("refused") as file:
            where = eval(file.read(), {"__builtins__": {}})  # our own repr
    except FileNotFoundError:
        return _HURDLES
    if where["ada_again"]:
        return "Ada calls as_root(): become_ada(), which new_root() calls too, needs root's rights, and she has none."
    if where["user"] == home["user"]:
        return "An ordinary user gets the other namespaces only together with, or after, a new user namespace."
    if where["uid_map"] and not where["gid_map"] and where["setgroups"] == "allow":
        return 'The kernel has refused gid_map: an ordinary user writes "deny" into setgroups first.'
    if not where["uid_map"] or not where["gid_map"]:
        return (
            "The kernel has refused a map. Ada may map her own number alone, and that is what os.getuid() says before "
            'unshare(): afterwards it says 65534. And gid_map wants "deny" in setgroups first.'
        )
    if "sethostname" in where["error"] and where["uts"] == home["uts"]:
        return "The host name is still the host's: a new host name namespace, CLONE_NEWUTS, is missing."
    if where["mnt"] == home["mnt"]:
        return "The mounts are still the host's: a new mount namespace, CLONE_NEWNS, is missing."
    if where["me"] != 1:
        return (
            "A new /proc is mounted by a process that is in the new pid namespace itself: CLONE_NEWPID, and then one more "
            "child, which is number 1."
        )
    return _HURDLES


_HURDLES = (
    "An ordinary user gets the other namespaces only together with, or after, a new user namespace; may map no "
    "number but their own, which os.getuid() tells only before unshare(); and has to give up setgroups before gid_map. "
    "A new /proc is mounted by a process that is in the new pid namespace itself."
)

_AS_ROOT = '''
    def as_root(function):
        """Call function as root, as process 1, with a new /proc and the host name box; return its exit status."""
        uid, gid = os.getuid(), os.getgid()

        def inside():
            k.mount("proc", "/proc", "proc")
            function()

        def box():
            unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS)
            for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
                with open(f"/proc/self/{file}", "w") as opened:
                    opened.write(text)
            sethostname("box")
            os._exit(exit_status(os.waitpid(spawn(inside), 0)[1]))

        return exit_status(os.waitpid(spawn(box), 0)[1])
'''

Challenge(
    "as-root",
    "Ada's own container",
    name="as_root",
    minutes=15,
    difficulty=3,
    check=check_as_root,
    imports=_IMPORTS,
    solution=_AS_ROOT,
    hints=[
        "Two children, one in the other: spawn(box) calls unshare() for all four kinds at once and writes the maps; "
        "from in there spawn(inside) is process 1, which mounts /proc and calls function.",
        'After unshare(), the process itself may write into its own /proc/self: "deny" into setgroups, then one line into '
        "each of uid_map and gid_map. Ask for os.getuid() before unshare(): afterwards it is 65534.",
        "os.waitpid(pid, 0)[1] is the wait status, exit_status(…) makes a status of it. The outer child hands it on "
        "with os._exit().",
    ],
    right={
        "one kind after the other": """
            def as_root(function):
                uid, gid = os.getuid(), os.getgid()
                def outer():
                    unshare(CLONE_NEWUSER)
                    for file, text in (("uid_map", f"0 {uid} 1"), ("setgroups", "deny"), ("gid_map", f"0 {gid} 1")):
                        with open("/proc/self/" + file, "w") as opened:
                            opened.write(text)
                    unshare(CLONE_NEWUTS)
                    unshare(CLONE_NEWPID | CLONE_NEWNS)
                    def inner():
                        sethostname("box")
                        k.mount("proc", "/proc", "proc", k.MS_NOSUID)
                        function()
                    os._exit(os.waitstatus_to_exitcode(os.waitpid(spawn(inner), 0)[1]))
                return os.waitstatus_to_exitcode(os.waitpid(spawn(outer), 0)[1])
        """,
        "with fork": """
            def as_root(function):
                uid, gid = os.getuid(), os.getgid()
                if outer := os.fork():
                    return exit_status(os.waitpid(outer, 0)[1])
                try:
                    unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS)
                    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
                        open(f"/proc/self/{file}", "w").write(text)
                    sethostname("box")
                    inner = os.fork()
                    if inner == 0:
                        k.mount("proc", "/proc", "proc")
                        function()
                        os._exit(0)
                    os._exit(exit_status(os.waitpid(inner, 0)[1]))
                finally:
                    os._exit(99)
        """,
        "the maps from outside": """
            def as_root(function):
                uid, gid = os.getuid(), os.getgid()
                ready, tell = os.pipe()
                go, start = os.pipe()
                def outer():
                    os.close(start)
                    unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS)
                    os.write(tell, b"!")
                    os.read(go, 1)
                    sethostname("box")
                    def inner():
                        k.mount("proc", "/proc", "proc")
                        function()
                    os._exit(exit_status(os.waitpid(spawn(inner), 0)[1]))
                pid = spawn(outer)
                os.read(ready, 1)
                for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
                    with open(f"/proc/{pid}/{file}", "w") as opened:
                        opened.write(text)
                os.close(start)
                return exit_status(os.waitpid(pid, 0)[1])
        """,
    },
    wrong={
        "no word about setgroups": (edited(_AS_ROOT, ('("setgroups", "deny"), ', "")), 'writes "deny" into setgroups first'),
        "asks too late": (
            edited(_AS_ROOT, ('f"0 {uid} 1"', 'f"0 {os.getuid()} 1"')),
            "afterwards it says 65534",
        ),
        "no user namespace": (edited(_AS_ROOT, ("CLONE_NEWUSER | ", "")), "only together with, or after"),
        "no group": (edited(_AS_ROOT, (', ("gid_map", f"0 {gid} 1")', "")), "Both maps are needed"),
        "no child inside": (
            edited(_AS_ROOT, ('k.mount("proc", "/proc", "proc")', "pass"), ("os._exit(exit_status(os.waitpid(spawn(inside), 0)[1]))", "inside()")),
            "Only children of the process that called unshare()",
        ),
        "the host's /proc": (edited(_AS_ROOT, ('k.mount("proc", "/proc", "proc")', "pass")), "number 1 alone"),
        "the host's mounts": (edited(_AS_ROOT, ("CLONE_NEWNS | ", "")), "CLONE_NEWNS, is missing"),
        "the host's name": (edited(_AS_ROOT, (" | CLONE_NEWUTS", "")), "CLONE_NEWUTS, is missing"),
        "the host's processes": (edited(_AS_ROOT, ("CLONE_NEWPID | ", "")), "which is number 1"),
        "Ada once more": (
            edited(_AS_ROOT, ("            unshare(", "            become_ada()\n            unshare(")).replace(
                "def as_root", "from minict.lab.ordinary import become_ada\n    def as_root", 1
            ),
            "needs root's rights",
        ),
        "nameless": (edited(_AS_ROOT, ('sethostname("box")', "pass")), "Expected: 'box'"),
        "the /proc of the parent": (
            edited(
                _AS_ROOT,
                ('k.mount("proc", "/proc", "proc")', "pass"),
                ('sethostname("box")', 'sethostname("box"); k.mount("proc", "/proc", "proc")'),
            ),
            "by a process that is in the new pid namespace",
        ),
        "the wait status": (
            edited(_AS_ROOT, ("return exit_status(os.waitpid(spawn(box), 0)[1])", "return os.waitpid(spawn(box), 0)[1]")),
            "That is the wait status",
        ),
        "the outer child's own status": (
            edited(_AS_ROOT, ("os._exit(exit_status(os.waitpid(spawn(inside), 0)[1]))", "os.waitpid(spawn(inside), 0)")),
            "unless it hands on",
        ),
        "moves Ada": (
            """
            def as_root(function):
                unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS)
                function()
                return 0
        """,
            "moved the process that called it",
        ),
    },
)  # fmt: skip
