"""``--chmod``: a mode as octal digits, or in the form of chmod(1): ``u=rwX,go-w``.

Source: chmod(1); BuildKit's COPY --chmod.
"""

from __future__ import annotations

import re

from minict.runtime.errors import ContainerError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_BITS = {"u": 0o700, "g": 0o070, "o": 0o007}
_SHIFT = {"u": 6, "g": 3, "o": 0}
_PERMISSIONS = {"r": 0o444, "w": 0o222, "x": 0o111}


def parse(text: str):
    """The function that returns a file's new mode for its old one, ``new(mode, is_directory)``.  Raises
    :class:`ContainerError`."""
    if re.fullmatch(r"[0-7]+", text):
        number = int(text, 8)
        if number > 0o7777:
            raise wrong(text)
        return lambda mode, is_directory: number
    found = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    clauses = [clause for clause in found if clause]
    if len(clauses) < len(found):
        raise wrong(text)
    actions = [(clause[1], *action) for clause in clauses for action in _ACTION.findall(clause[2])]

    def change(mode: int, is_directory: bool) -> int:
        for who, operator, permissions in actions:
            mode = _apply(mode, who, operator, permissions, is_directory)
        return mode

    return change


def wrong(text: str) -> ContainerError:
    return ContainerError(f"invalid --chmod={text}: use octal digits up to 7777, such as 755, or u=rwX,go=rX")


def _apply(mode: int, who: str, operator: str, permissions: str, is_directory: bool) -> int:
    classes = set("ugo") if not who or "a" in who else set(who)
    mask = sum(_BITS[each] for each in classes)
    if permissions in _SHIFT and permissions:
        copied = mode >> _SHIFT[permissions] & 7
        bits = (copied << 6 | copied << 3 | copied) & mask
    else:
        bits = sum(_PERMISSIONS[each] for each in set(permissions) if each in _PERMISSIONS) & mask
        if "X" in permissions and (is_directory or mode & 0o111):
            bits |= 0o111 & mask
    special = 0
    if "s" in permissions:
        special |= 0o4000 * ("u" in classes) | 0o2000 * ("g" in classes)
    if "t" in permissions:
        special |= 0o1000
    if operator == "-":
        return mode & ~(bits | special)
    if operator == "+":
        return mode | bits | special
    cleared = mask | 0o4000 * ("u" in classes) | 0o2000 * ("g" in classes) | 0o1000 * (not who or "a" in who)
    return mode & ~cleared | bits | special
