"""Parse ``-v``, ``--mount``, ``--tmpfs`` and ``--volumes-from``: each becomes a *mount*, a plain dictionary.

A mount is stored in the container's record, so it contains only JSON values:

===============  =================================================================================================
``type``         ``bind`` (a path of the host), ``volume`` (see :mod:`.store`) or ``tmpfs`` (a file system in memory)
``source``       of a bind: the absolute path
``name``         of a volume
``destination``  the path inside the container: absolute, without ``..``
``options``      further options of the mount, such as ``rslave`` or ``size=64m``
``read_only``    nothing can be written; this includes mounts inside it, unless ``writable_inside``
``alone``        without the mounts inside the source
``create``       of a bind: create a missing directory on the host.  ``-v`` does, ``--mount`` refuses, as in Docker
``copy``         of a volume: an empty one gets the image's content
``subpath``      of a volume: only this part of it is mounted
``anonymous``    of a volume: it has no user-given name, and is removed with its container
``labels``       of a volume that is created here
``driver_opts``  of a volume that is created here: see :func:`minict.engine.volumes.store.create`
===============  =================================================================================================

Default values are left out.  Source: docker-run(1), and Docker's reference on bind mounts, volumes and tmpfs.
"""

from __future__ import annotations

import os

from minict.engine.util import units
from minict.runtime import mounts as runtime
from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

# Each option of -v SOURCE:DESTINATION:OPTIONS belongs to a group, and excludes the others of its group.
_ACCESS = {"ro", "rw"}
_LABELS = {"z", "Z"}  # SELinux labels, which are not used here
_COPY = {"nocopy"}
_CONSISTENCY = {"consistent", "cached", "delegated"}  # for other systems than Linux; Docker accepts and ignores them
_PROPAGATION = {"private", "rprivate", "shared", "rshared", "slave", "rslave"}
_GROUPS = (_ACCESS, _LABELS, _COPY, _CONSISTENCY, _PROPAGATION)

_TMPFS_DEFAULT = ["nosuid", "nodev", "noexec"]
_TMPFS_DATA = {"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"}
_TRUE, _FALSE = {"", "1", "t", "T", "true", "True", "TRUE"}, {"0", "f", "F", "false", "False", "FALSE"}


def volume(text: str) -> dict[str, Any]:
    """``-v``: ``DESTINATION`` (an anonymous volume), ``NAME:DESTINATION[:OPTIONS]`` or ``PATH:DESTINATION[:OPTIONS]``.

    Raises :class:`ContainerError`.
    """
    what = f"-v {text}"
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise ContainerError(
            f"{what}: use SOURCE:DESTINATION[:ro], or only a DESTINATION; a path with a colon needs --mount"
        )
    source = parts[0] if len(parts) > 1 else ""
    mount: dict[str, Any] = {"type": "volume", "destination": destination(parts[1] if source else parts[0], what)}
    if not source:
        return mount | {"anonymous": True, "copy": True}
    if "/" in source or source in (".", ".."):
        mount |= {"type": "bind", "source": os.path.abspath(source), "create": True}
    else:
        mount |= {"name": check_name(source), "copy": True}
    return mount | _words(parts[2] if len(parts) == 3 else "", mount["type"], what)


def _words(text: str, type: str, what: str) -> dict[str, Any]:
    """The part of the mount after the second colon."""
    words = [word for word in text.split(",") if word]
    for word in words:
        group = next((group for group in _GROUPS if word in group), None)
        if group is None:
            raise ContainerError(f"{what}: unknown mount option {word!r}; common ones are ro and rw")
        if sum(each in group for each in words) > 1:
            raise ContainerError(f"{what}: the options {', '.join(sorted(group))} exclude each other")
    if type == "volume" and (wrong := _PROPAGATION.intersection(words)):
        raise ContainerError(f"{what}: {wrong.pop()} is for paths of the host: volumes are always private")
    if type == "bind" and "nocopy" in words:
        raise ContainerError(f"{what}: nocopy is for volumes: nothing is copied to a path of the host anyway")
    result = {"options": [word for word in words if word in _PROPAGATION]} if _PROPAGATION.intersection(words) else {}
    return result | ({"read_only": True} if "ro" in words else {}) | ({"copy": False} if "nocopy" in words else {})


def tmpfs(text: str) -> dict[str, Any]:
    """``--tmpfs DESTINATION[:OPTIONS]`` with the options of mount(8) for a tmpfs.  Raises :class:`ContainerError`."""
    what = f"--tmpfs {text}"
    place, _, options = text.partition(":")
    words = [word for word in options.split(",") if word]
    for word in words:
        name, given, value = word.partition("=")
        if name in _TMPFS_DATA and value and (name != "size" or _is_size(value)):
            continue
        if given or word not in {*runtime.FLAGS, *runtime.PROPAGATION} - {"bind", "rbind", "remount"}:
            raise ContainerError(
                f"{what}: unknown tmpfs option {word!r}; common ones are size=64m, mode=700, ro and exec"
            )
    return {"type": "tmpfs", "destination": destination(place, what), "options": [*_TMPFS_DEFAULT, *words]}


def _is_size(text: str) -> bool:
    return text.rstrip("kKmMgG%").isdecimal()


def mount(text: str) -> dict[str, Any]:
    """``--mount type=…,source=…,target=…``, with Docker's keys. Raises :class:`ContainerError`."""
    what = f"--mount {text}"
    type = "volume"
    values: dict[str, Any] = {}
    for key, value, given in _pairs(text, what):
        if key == "type":
            type = value
        elif key in _MANY:
            values.setdefault(key, []).append(value)
        else:
            values[_SAME.get(key, key)] = value if given else ""
    if type not in _KEYS:
        raise ContainerError(f"{what}: unknown type {type!r}: use bind, volume or tmpfs")
    for key in values:
        if key not in _KEYS[type] | _KEYS["all"]:
            known = next((each for each in ("bind", "volume", "tmpfs") if key in _KEYS[each]), None)
            keys = ", ".join(sorted(_KEYS[type] | _KEYS["all"]))
            reason = f"is for type={known}" if known else f"is not a key; a {type} mount has {keys}"
            raise ContainerError(f"{what}: {key} {reason}")
    if not values.get("target"):
        raise ContainerError(f"{what}: the target is missing: use target=/path/in/the/container")
    result: dict[str, Any] = {"type": type, "destination": destination(values["target"], what)}
    if _is_true(values, "readonly", what):
        result["read_only"] = True
    return result | {"bind": _bind, "volume": _volume, "tmpfs": _tmpfs}[type](values, what)


_SAME = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_MANY = {"volume-label", "volume-opt"}
_KEYS = {
    "all": {"target", "readonly", "consistency"},
    "bind": {"source", "bind-propagation", "bind-nonrecursive", "bind-recursive", "bind-create-src"},
    "volume": {"source", "volume-nocopy", "volume-label", "volume-driver", "volume-opt", "volume-subpath"},
    "tmpfs": {"tmpfs-size", "tmpfs-mode"},
}


def _pairs(text: str, what: str) -> list[tuple[str, str, bool]]:
    """The keys with their values, and whether there was a value. A value with a comma is quoted, as in a CSV file."""
    fields = text.split(",")
    if '"' in text:
        import csv

        fields = next(csv.reader([text]))
    pairs = []
    for field in fields:
        key, given, value = field.partition("=")
        if not given and key not in ("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"):
            raise ContainerError(
                f"{what}: invalid field {field!r}: use KEY=VALUE as in type=bind,source=/srv,target=/data,readonly"
            )
        pairs.append((key.strip().lower(), value, bool(given)))
    return pairs


def _is_true(values: dict[str, Any], key: str, what: str) -> bool:
    if key not in values or values[key] in _FALSE:
        return False
    if values[key] not in _TRUE:
        raise ContainerError(f"{what}: invalid value {key}={values[key]}: use true or false")
    return True


def _bind(values: dict[str, Any], what: str) -> dict[str, Any]:
    source = values.get("source")
    if not source:
        raise ContainerError(f"{what}: a bind mount needs a path of the host: use source=/path")
    result = {"source": os.path.abspath(source)}
    if _is_true(values, "bind-create-src", what):
        result["create"] = True
    if "bind-propagation" in values:
        if values["bind-propagation"] not in _PROPAGATION:
            raise ContainerError(
                f"{what}: unknown propagation {values['bind-propagation']!r}: use one of "
                f"{', '.join(sorted(_PROPAGATION))}"
            )
        result["options"] = [values["bind-propagation"]]
    reach = values.get("bind-recursive", "enabled")
    if reach not in ("enabled", "disabled", "writable", "readonly"):
        raise ContainerError(f"{what}: invalid bind-recursive {reach!r}: use enabled, disabled, writable or readonly")
    if reach == "disabled" or _is_true(values, "bind-nonrecursive", what):
        result["alone"] = True
    if reach == "writable":
        result["writable_inside"] = True
    return result


def _volume(values: dict[str, Any], what: str) -> dict[str, Any]:
    if values.get("volume-driver", "local") not in ("", "local"):
        raise ContainerError(f"{what}: unknown driver {values['volume-driver']!r}: the only one is local")
    result: dict[str, Any] = {"copy": not _is_true(values, "volume-nocopy", what)}
    result |= {"name": check_name(values["source"])} if values.get("source") else {"anonymous": True}
    if "volume-subpath" in values:
        part = values["volume-subpath"]
        if not part or part.startswith("/") or ".." in part.split("/"):
            raise ContainerError(f"{what}: invalid volume-subpath={part}: use a relative path such as data/2026")
        result |= {"subpath": part, "copy": False}
    if "volume-label" in values:
        result["labels"] = labels(values["volume-label"], what)
    if "volume-opt" in values:
        result["driver_opts"] = labels(values["volume-opt"], what)
    return result


def _tmpfs(values: dict[str, Any], what: str) -> dict[str, Any]:
    options = list(_TMPFS_DEFAULT)
    if "tmpfs-size" in values:
        options.append(f"size={units.bytes_of(values['tmpfs-size'], f'{what}: tmpfs-size')}")
    if "tmpfs-mode" in values:
        mode = values["tmpfs-mode"]
        if not mode or not set(mode) <= set("01234567") or int(mode, 8) > 0o7777:
            raise ContainerError(f"{what}: invalid tmpfs-mode={mode}: use octal digits, as in 1777")
        options.append(f"mode={mode}")
    return {"options": options}


def volumes_from(text: str) -> list[dict[str, Any]]:
    """``--volumes-from NAME[:ro|rw]``: the volumes and binds of another container.  Raises :class:`ContainerError`."""
    from minict.engine.containers.store import Record

    name, colon, word = text.partition(":")
    if colon and word not in _ACCESS:
        raise ContainerError(f"--volumes-from {text}: invalid mode: use NAME, NAME:ro or NAME:rw")
    shared = [each for each in Record.find(name).mounts or [] if each["type"] != "tmpfs"]
    return [{**each, "copy": False, "read_only": word == "ro" or each.get("read_only", False)} for each in shared]


def labels(texts: list[str], what: str) -> dict[str, str]:
    """``KEY=VALUE`` words as a dictionary. Raises :class:`ContainerError` without a key."""
    pairs = [text.partition("=") for text in texts]
    if not all(key for key, _, _ in pairs):
        raise ContainerError(f"{what}: use KEY=VALUE")
    return {key: value for key, _, value in pairs}


def destination(path: str, what: str) -> str:
    """Check *path* as a mount point inside the container. Raises :class:`ContainerError`."""
    if not path.startswith("/"):
        raise ContainerError(f"{what}: the destination {path} is not an absolute path, such as /{path}")
    if "\0" in path:
        raise ContainerError(f"{what.encode('unicode_escape').decode()}: the destination contains a zero byte")
    place = "/" + os.path.normpath(path).strip("/")
    if place == "/":
        raise ContainerError(f"{what}: a volume can't replace the root directory: choose a destination below it")
    if (place + "/").startswith("/proc/") and place.removeprefix("/proc") not in runtime.STAND_INS:
        raise ContainerError(f"{what}: /proc belongs to the kernel, and can't be a destination: choose another one")
    return place


_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def check_name(name: str) -> str:
    """Check *name* as the name of a volume, which is a directory name. Raises :class:`ContainerError`."""
    if (
        len(name) < 2
        or name[0] not in _LETTERS
        or not _LETTERS.issuperset(name.translate(_PUNCTUATION))
        or len(name) > 255
    ):
        raise ContainerError(
            f"invalid volume name {name!r}: use 2 to 255 letters, digits and _.-, beginning with a letter or a "
            "digit; a path of the host begins with / or ./"
        )
    return name


_PUNCTUATION = {ord(character): None for character in "_.-"}
