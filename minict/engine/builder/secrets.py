"""``--secret``: values for RUN --mount=type=secret, from the caller's files or environment.

Source: docker-buildx-build(1), "--secret".
"""

from __future__ import annotations

import os

from minict.runtime.errors import ContainerError

_MAX_BYTES = 500 << 10  # as BuildKit
_SAME = {"src": "source"}


def read(texts: list[str]) -> dict[str, bytes]:
    """The values of the secrets ``id=NAME,src=FILE`` or ``id=NAME,env=VARIABLE``, by their ids.  Raises
    :class:`ContainerError`.
    """
    return dict(_read(text) for text in texts)


def _read(text: str) -> tuple[str, bytes]:
    values = {}
    for field in text.split(","):
        key, given, value = field.partition("=")
        key = _SAME.get(key, key)
        if not given or key not in ("id", "source", "env", "type"):
            raise ContainerError(f"invalid --secret {text}: use id=NAME,src=FILE or id=NAME,env=VARIABLE")
        values[key] = value
    id, kind = (
        values.get("id", ""),
        values.get("type", "env" if "env" in values else "file" if "source" in values else ""),
    )
    if not id or kind not in ("", "env", "file"):
        raise ContainerError(f"invalid --secret {text}: use id=NAME,src=FILE or id=NAME,env=VARIABLE")
    variable = values.get("env") or values.get("source") or id
    if kind == "env" or (not kind and id in os.environ):
        if variable not in os.environ:
            raise ContainerError(f"--secret {text}: the variable {variable} is not set")
        return id, os.environb[os.fsencode(variable)]
    path = values.get("source") or id
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ContainerError(f"--secret {text}: cannot read {path}: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise ContainerError(f"--secret {text}: {path} is larger than {_MAX_BYTES >> 10} KiB, which is the limit")
    return id, data
