"""Make images of the host's own programs, and of archives of root file systems."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from minict.engine.distribution.reference import full_name
from minict.engine.util import events
from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError

from . import ingest
from .image import DEFAULT, Image


def from_host(name: str, commands: Sequence[str] = ()) -> Image:
    """Make the image *name* from the host's own programs *commands*; by default a shell and the usual small tools.

    The same programs make the same image, with the same id.  Raises :class:`ContainerError`.
    """
    from . import hostimage

    commands = list(commands) or hostimage.default_commands()
    with ingest.Making(full_name(name)) as making:
        directory = making.new_layer()
        hostimage.make_rootfs(f"{directory}/diff", commands)
        contents = _packed(directory)
        shell = "/bin/sh" if os.path.lexists(f"{directory}/diff/bin/sh") else os.path.basename(commands[0])
        making.place(directory, contents)
        return making.finish(_config([contents.digest], {"Env": [f"PATH={hostimage.ROOT_PATH}"], "Cmd": [shell]}))


def default_image(name: str = DEFAULT) -> Image:
    """Make the default image. Raises :class:`ContainerError`."""
    return from_host(name)


def import_archive(
    source: Any, name: str | None, message: str = "", change: Sequence[str] = (), **limits: Any
) -> Image:
    """Make the image *name* (None: without a name) from a tar archive of a root file system.

    *source*: a path, ``-`` for standard input, or an open file.  *message*: the comment in its history.  *change*:
    instructions of a Dockerfile, see :mod:`.config`.  *limits*: ``max_bytes`` and ``max_entries`` of
    :func:`minict.engine.archive.extract.unpack`. Raises :class:`ContainerError`; then nothing is left behind.
    """
    from minict.engine.archive import extract

    from . import config as image_config
    from . import hostimage

    full = None if name is None else full_name(name)
    config: dict[str, Any] = {"Env": [f"PATH={hostimage.ROOT_PATH}"], "Cmd": ["/bin/sh"]}
    image_config.apply(config, list(change))
    archive, label = _open_archive(source)
    try:
        with ingest.Making(full) as making:
            directory = making.new_layer()
            if extract.unpack(archive, f"{directory}/diff", name=label, **limits).entries == 0:
                raise ContainerError(f"{label} is empty: a root file system needs at least one program")
            contents = _packed(directory)
            making.place(directory, contents)
            made = making.finish(_config([contents.digest], config, message))
        events.emit("image", "import", f"sha256:{made.id}", {"name": name or ""})
        return made
    finally:
        if isinstance(source, str) and source != "-":
            archive.close()


def _packed(directory: str) -> Any:
    """The contents of the layer in *directory* as minict's own archive, which can be made again from its files."""
    from . import diff

    with open(os.devnull, "wb") as nowhere:
        return diff.pack(f"{directory}/diff", nowhere)


def _open_archive(source: Any) -> tuple[Any, str]:
    """The archive as a binary file, and how messages call it."""
    if not isinstance(source, str):
        return source, "the archive"
    if source == "-":
        import sys

        if sys.stdin.isatty():
            raise ContainerError("standard input is a terminal: pipe an archive into it, or give a file")
        return sys.stdin.buffer, "the archive on standard input"
    try:
        return open(source, "rb"), source
    except OSError as error:
        raise ContainerError(f"{source} can't be opened: {error.strerror}", errno=error.errno) from None


def _config(diff_ids: list[str], config: dict[str, Any], message: str = "") -> bytes:
    """The configuration of an image for this machine, as it is stored."""
    from minict.engine.distribution.manifest import architecture

    history = {"history": [{"comment": message}]} if message else {}
    return jsonfile.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": config,
            **history,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in diff_ids]},
        }
    ).encode()
