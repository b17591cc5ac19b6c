"""``RUN --mount``: files that a command can use while it runs, and that do not become part of the layer.

Source: the Dockerfile reference, "RUN --mount"; BuildKit's package frontend/dockerfile/instructions,
commands_runmount.go.
"""

from __future__ import annotations

import collections

from minict.runtime.errors import ContainerError

#: One mount.  *type*: bind, cache, tmpfs or secret; *source*: a path in the stage, image or context *origin* ("" is the
#: context); *target*: the mount point, relative to the working directory; *read_only*; *size* of a tmpfs, in bytes;
#: *id* of a cache or a secret; *sharing* of a cache; *required* and *variable* of a secret; *mode*, *uid* and *gid*, or
#: None.
Mount = collections.namedtuple(
    "Mount", "type origin source target read_only size id sharing required variable mode uid gid"
)

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SAME = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_KEYS = (
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "readwrite",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "env",
)
_FOR = {
    "required": ("secret",),
    "size": ("tmpfs",),
    "sharing": ("cache",),
    "mode": ("secret", "cache"),
    "uid": ("secret", "cache"),
    "gid": ("secret", "cache"),
    "env": ("secret",),
}
_TRUE, _FALSE = ("1", "t", "true", ""), ("0", "f", "false")


def check(text: str) -> None:
    """Raise :class:`ContainerError` for an error in *text* that does not depend on its variables."""
    values = _values(text)
    if not any("$" in value for value in values.values()):
        _checked(text, values)


def expanded(text: str, expand) -> Mount:
    """The mount that *text* describes; *expand* expands the variables in each value.  Raises
    :class:`ContainerError`."""
    values = _values(text)
    return _checked(text, {key: value if key == "from" else expand(value) for key, value in values.items()})


def _values(text: str) -> dict[str, str]:
    import csv

    fields = next(csv.reader([text])) if '"' in text else text.split(",")
    values = {}
    for field in fields:
        key, given, value = field.partition("=")
        key = _SAME.get(key.lower(), key.lower())
        if key not in _KEYS:
            raise _wrong(text, f"unknown key {key!r}: use {', '.join(_KEYS)}")
        if not given and key not in ("readonly", "readwrite", "required"):
            raise _wrong(text, f"{field!r} requires a value")
        values[key] = value
    if "$" in values.get("from", ""):
        raise _wrong(text, "from= does not expand variables: add a stage, FROM $NAME AS stage, and use from=stage")
    return values


def _checked(text: str, values: dict[str, str]) -> Mount:
    kind = values.get("type", "bind").lower()
    if kind not in _TYPES:
        raise _wrong(text, f"unknown type {kind!r}: use bind, cache, tmpfs or secret")
    if kind == "ssh":
        raise _wrong(text, "type=ssh is not supported: give the key as a secret, or fetch what needs it outside")
    for key, kinds in _FOR.items():
        if key in values and kind not in kinds:
            raise _wrong(text, f"{key} requires type={' or type='.join(kinds)}")
    sharing = values.get("sharing", "shared").lower()
    if sharing not in ("shared", "private", "locked"):
        raise _wrong(text, f"invalid sharing={sharing}: use shared, private or locked")
    if kind == "secret":
        if "from" in values:
            raise _wrong(text, "a secret has no from=: leave from= out")
        if not any(values.get(key) for key in ("source", "target", "id")):
            raise _wrong(text, "use id=NAME or target=PATH")
        if values.get("source") and values.get("id"):
            raise _wrong(text, "source and id are the same for a secret: leave one out")
    return Mount(
        kind,
        values.get("from", ""),
        values.get("source", ""),
        values.get("target", ""),
        _read_only(text, values, kind),
        _size(text, values),
        values.get("id", ""),
        sharing,
        "required" in values and _is_true(text, values, "required"),
        values.get("env"),
        _number(text, values, "mode", 8),
        _number(text, values, "uid"),
        _number(text, values, "gid"),
    )


def _read_only(text: str, values: dict[str, str], kind: str) -> bool:
    if "readwrite" in values:
        return not _is_true(text, values, "readwrite")
    if "readonly" in values:
        return _is_true(text, values, "readonly")
    return kind in ("bind", "secret")


def _is_true(text: str, values: dict[str, str], key: str) -> bool:
    if values[key].lower() not in _TRUE + _FALSE:
        raise _wrong(text, f"invalid {key}={values[key]}: use true or false")
    return values[key].lower() in _TRUE


def _size(text: str, values: dict[str, str]) -> int:
    from minict.engine.util import units

    return units.bytes_of(values["size"], f"--mount={text}: size") if "size" in values else 0


def _number(text: str, values: dict[str, str], key: str, base: int = 10) -> int | None:
    try:
        return int(values[key], base) if key in values else None
    except ValueError:
        raise _wrong(text, f"invalid {key}={values[key]}: use a number") from None


def _wrong(text: str, what: str) -> ContainerError:
    return ContainerError(f"invalid --mount={text}: {what}")
