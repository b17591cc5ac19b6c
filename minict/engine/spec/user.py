"""Resolve ``--user`` and ``--group-add`` with the image's own /etc/passwd and /etc/group."""

from __future__ import annotations

import os
import stat

from minict.runtime import spec
from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

LAST_ID = 2**32 - 1  # ids have 32 bits
_LARGEST = 1 << 20  # bytes: the rest of a larger file is not read


def find_user(text: str, image, more: Sequence[str] = ()) -> tuple[spec.User, str]:
    """Resolve ``UID[:GID]`` or ``NAME[:GROUP]`` with the image's /etc/passwd and /etc/group; also find the home
    directory.

    A number needs no entry there; without one its group is 0 and its home ``/``, as in Docker. *more*: additional
    groups. Raises :class:`ContainerError` for an unknown name.
    """
    name, _, group = (text or "0").partition(":")
    name = name or "0"  # ":GID" is root with another group, as in Docker
    passwd = next((line for line in entries(image, "etc/passwd", 7) if name in (line[0], line[2])), None)
    if passwd is None and not is_id(name):
        raise ContainerError(
            f"unable to find user {name[:100]!r} in {image.name}: see its /etc/passwd, or use a number"
        )
    uid, gid, home = (int(passwd[2]), int(passwd[3]), passwd[5]) if passwd else (int(name), 0, "/")
    groups = entries(image, "etc/group", 4)
    further = set()
    if group:
        gid = find_group(group, groups, image)
    elif passwd:
        further = {int(line[2]) for line in groups if passwd[0] in line[3].split(",")}
    further |= {find_group(each, groups, image) for each in more}
    for number in (uid, gid, *further):
        if number >= LAST_ID:  # the last one means "as it is" to setresuid(2): root would stay root
            raise ContainerError(f"invalid -u {text}: {number} is too large: the largest id is {LAST_ID - 1}")
    # the primary group is among the additional groups too: a process that could drop it would count as one of the
    # "others" for a file that denies its group what it allows others (CVE-2022-36109)
    return spec.User(uid=uid, gid=gid, additionalGids=sorted(further | {gid})), home or "/"


def find_group(text: str, groups: list[list[str]], image) -> int:
    """The number of a group given by number or name. Raises :class:`ContainerError`."""
    entry = next((line for line in groups if text in (line[0], line[2])), None)
    if entry is None and not is_id(text):
        raise ContainerError(
            f"unable to find group {text[:100]!r} in {image.name}: see its /etc/group, or use a number"
        )
    return int(entry[2]) if entry else int(text)


def is_id(text: str) -> bool:
    """Whether *text* is a number that may be an id: a hostile one has more digits than Python converts."""
    return text.isascii() and text.isdecimal() and len(text) <= 20


def entries(image, path: str, columns: int) -> list[list[str]]:
    """The lines of a file such as etc/passwd in the image's topmost layer that has it, with their numbers checked."""
    for layer in image.layers:
        try:
            file = _open_in(layer, path)
        except OSError:
            continue
        if file < 0:
            return []
        with open(file, "rb", buffering=0) as lines:
            text = lines.read(min(os.fstat(file).st_size, _LARGEST)).decode(errors="replace")
        rows = [line.split(":") for line in text.split("\n")]
        return [row for row in rows if len(row) >= columns and is_id(row[2]) and (columns < 7 or is_id(row[3]))]
    return []


def _open_in(layer: str, path: str) -> int:
    """Open the file *path* of the directory *layer*; -1 if it is something else, such as a device.

    The image may be hostile: its links must not lead to a file of the host, and to open its device would be to use one
    of the host: opening 10:130, the watchdog, is enough to reset the machine.  A whiteout, which deletes the file of
    the layers below, is a device, too.  Raises :class:`OSError`.
    """
    from minict.kernel import mount as k

    resolve = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS
    root = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    place = -1
    try:
        place = k.openat2(root, os.path.dirname(path), os.O_PATH | os.O_DIRECTORY, 0, resolve)
        name = os.path.basename(path)
        mode = os.stat(name, dir_fd=place, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            os.close(place)
            place, name = k.openat2(root, path, os.O_PATH, 0, resolve), ""
            mode = os.fstat(place).st_mode
        if not stat.S_ISREG(mode):
            return -1
        if not name:
            return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    finally:
        os.close(root)
        if place >= 0:
            os.close(place)
