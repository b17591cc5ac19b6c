"""minict.engine.images.importer"""

from __future__ import annotations

import os

from minict.engine.distribution.reference import full_name
from minict.engine.util import events
from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError

from . import ingest
from .image import DEFAULT, Image


def from_host(name: str, commands: list[str] = ()) -> Image:
    """Make the image *name* of the host's own programs *commands*; without any, of a shell and the usual small tools.

    The same programs make the same image, to the last bit of its id.  Raises :class:`ContainerError`.
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
    """Make the embedded image.  Raises :class:`ContainerError`."""
    return from_host(name)


def import_archive(source, name: str | None, message: str = "", change: list[str] = (), **limits: int) -> Image:
    """Make the image *name* (None: one without a name) of a root file system's tar archive: a path, ``-`` for standard
    input, or an open file.  *message* is what its history says, *change* are instructions of a Dockerfile, see
    :mod:`.config`.

    *limits* are ``max_bytes`` and ``max_entries`` of :func:`minict.engine.archive.extract.unpack`.
    Raises :class:`ContainerError`; nothing is then left behind.
    """
    from minict.engine.archive import extract

    from . import config as image_config
    from . import hostimage

    full = None if name is None else full_name(name)
    config = {"Env": [f"PATH={hostimage.ROOT_PATH}"], "Cmd": ["/bin/sh"]}
    image_config.apply(config, change)
    archive, label = _open_archive(source)
    try:
        with ingest.Making(full) as making:
            directory = making.new_layer()
            if extract.unpack(archive, f"{directory}/diff", name=label, **limits).entries == 0:
                raise ContainerError(f"{label} holds no files: a root file system has at least a program")
            contents = _packed(directory)
            making.place(directory, contents)
            made = making.finish(_config([contents.digest], config, message))
        events.record("image", "import", f"sha256:{made.id}", {"name": name or ""})
        return made
    finally:
        if isinstance(source, str) and source != "-":
            archive.close()


def _packed(directory: str):
    """What the layer in *directory* is as an archive of our own, which can be made of its files again at any time."""
    from . import diff

    with open(os.devnull, "wb") as nowhere:
        return diff.pack(f"{directory}/diff", nowhere)


def _open_archive(source) -> tuple:
    """The archive as a binary file, and what messages call it."""
    if not isinstance(source, str):
        return source, "the archive"
    if source == "-":
        import sys

        if sys.stdin.isatty():
            raise ContainerError("standard input is a terminal: pipe an archive into it, or name a file")
        return sys.stdin.buffer, "the archive on standard input"
    try:
        return open(source, "rb"), source
    except OSError as error:
        raise ContainerError(f"{source} can't be opened: {error.strerror}", errno=error.errno) from None


def _config(diff_ids: list[str], config: dict, message: str = "") -> bytes:
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
