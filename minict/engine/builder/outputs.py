"""``--output``: exports of an image, besides the one in the store: a directory, or an archive.

Source: docker-buildx-build(1), "--output".
"""

from __future__ import annotations

import collections
import os

from minict.engine.archive import fsview, transfer
from minict.engine.images import ingest, overlay, tarexport
from minict.engine.images.image import Image
from minict.runtime.errors import ContainerError

#: One output: its *type*, the path *destination* ("-": standard output), a further *name* for the image, and whether to
#: *push* it.
Output = collections.namedtuple("Output", "type destination name push")

_TYPES = ("local", "tar", "oci", "docker", "image", "registry", "cacheonly")
_TRUE = ("true", "1")


def parse(text: str) -> Output:
    """``DIRECTORY``, ``-``, or ``type=…,dest=…``.  Raises :class:`ContainerError`."""
    if "=" not in text:
        return Output("tar" if text == "-" else "local", text, "", False)
    values = dict(field.partition("=")[::2] for field in text.split(","))
    kind, destination = values.get("type", ""), values.get("dest", "")
    if kind not in _TYPES:
        raise ContainerError(f"invalid --output {text}: use type=local, tar, oci, docker, image, registry or cacheonly")
    if kind in ("local", "tar", "oci") and not destination:
        if kind == "local":
            raise ContainerError(f"invalid --output {text}: add dest= and a directory")
        destination = "-"
    return Output(kind, destination, values.get("name", ""), kind == "registry" or values.get("push") in _TRUE)


def write(output: Output, image: Image) -> None:
    """Write *image* to the destination that *output* names.  Raises :class:`ContainerError`."""
    if output.type == "local":
        _to_directory(image, output.destination)
    elif output.type == "tar":
        _to_file(output.destination, lambda fd: _send(image, fd))
    elif output.type in ("oci", "docker") and output.destination:
        _to_file(output.destination, lambda fd: _save(image, fd))


def _to_directory(image: Image, directory: str) -> None:
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise ContainerError(f"--output {directory}: {error.strerror}") from None
    with ingest.Making(None) as place:
        source = transfer.End(overlay.of_image(image, place.path), "/.", "the image")
        transfer.copy(source, transfer.End(fsview.Host(), f"{os.path.abspath(directory)}/.", directory))


def _to_file(path: str, write) -> None:
    if path == "-":
        if os.isatty(1):
            raise ContainerError("--output -: standard output is a terminal: redirect it, or use dest=FILE")
        write(1)
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise ContainerError(f"--output {path}: {error.strerror}") from None
    try:
        write(fd)
    finally:
        os.close(fd)


def _send(image: Image, fd: int) -> None:
    with ingest.Making(None) as place:
        source = transfer.End(overlay.of_image(image, place.path), "/.", "the image")
        transfer.send(source, fd, content_of=True)


def _save(image: Image, fd: int) -> None:
    with open(fd, "wb", closefd=False) as file:
        tarexport.save([image.names[0] if image.names else image.id], file)
