"""COPY and ADD: the sources become an archive with a digest, and the archive becomes a layer."""

from __future__ import annotations

import json
import os
import tempfile

from minict.engine.images import ingest, overlay
from minict.engine.images.image import Image
from minict.engine.spec import user as users
from minict.runtime.errors import ContainerError

from . import filesystem, modes, patterns, remote, sources
from .context import Context
from .copy_archive import Archive
from .destination import Destination
from .plan import Copy


class Collected:
    """An archive in an unnamed *file* on the disk, with the *digest* of its content. It must be closed."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(prefix="minict-build-")
        self.digest, self.parts = "", 0

    def end(self, said: str) -> None:
        """Set the digest that the process writing the file has reported."""
        self.digest, parts = said.split()
        self.parts = int(parts)

    def __enter__(self) -> Collected:
        return self

    def __exit__(self, *exception) -> None:
        self.file.close()


def collect(step: Copy, origin, owner: tuple[int, int] | None) -> list[Collected]:
    """Collect the sources of *step*, as archives in their order.  *origin*: a Context, an Image, or None.

    *owner*: from --chown, or None.  Raises :class:`ContainerError`.
    """
    collected: list[Collected] = []
    try:
        local = [source for source in step.sources if not remote.is_remote(source)]
        if local:
            options = sources.Options(patterns.Matcher(step.excludes), step.unpack, step.parents)
            collected.append(_local(local, origin, owner, step.chmod, options))
        for source in step.sources:
            if remote.is_remote(source):
                collected.append(_remote(source, step, owner))
        if step.documents:
            collected.append(_documents(step, owner))
        return collected
    except BaseException:
        close(collected)
        raise


def close(collected: list[Collected]) -> None:
    for each in collected:
        each.file.close()


def check(step: Copy) -> None:
    """Raise :class:`ContainerError` when a source in the context is not there: before the build begins."""
    if isinstance(step.origin, Context):
        local = [source for source in step.sources if not remote.is_remote(source)]
        options = sources.Options(patterns.Matcher(step.excludes), step.unpack, step.parents)
        if local:
            context = step.origin
            filesystem.run(context.files(), lambda: _check(local, context, options))


def _check(local: list[str], context: Context, options: sources.Options) -> str:
    finder = sources.Finder(None, context.directory, context.matcher, options)
    for source in local:
        finder.check(source)
    return ""


def _local(paths: list[str], origin, owner: tuple[int, int] | None, chmod: str, options: sources.Options) -> Collected:
    """Collect *paths* of a context or an image."""
    collected = Collected()
    mode = modes.parse(chmod) if chmod else None
    sources.load_decompressors()

    def work() -> str:
        with open(collected.file.fileno(), "wb", closefd=False) as file:
            archive = Archive(file, own if owner is None else owner, mode)
            finder = sources.Finder(archive, label, ignore, options)
            for path in paths:
                finder.add(path)
            return f"{archive.finish()} {archive.parts}"

    if isinstance(origin, Context):
        own, label, ignore = origin.owner, origin.directory, origin.matcher
        collected.end(filesystem.run(origin.files(), work, [collected.file.fileno()]))
    elif origin is None:
        raise ContainerError(f"no {paths[0]} in scratch, which is empty")
    else:
        own, label, ignore = None, f"the image {origin.name}", patterns.Matcher([])
        with ingest.Making(None) as place:
            collected.end(filesystem.run(overlay.of_image(origin, place.path), work, [collected.file.fileno()]))
    return collected


def collected_path(path: str, origin) -> Collected:
    """Collect one *path* of a Context or an Image for a mount; an empty one means everything.  Raises
    :class:`ContainerError`."""
    return _local([path or "/"], origin, None, "", sources.Options())


def _remote(address: str, step: Copy, owner: tuple[int, int] | None) -> Collected:
    """Collect the file at a URL, *address*."""
    collected = Collected()
    archive = Archive(collected.file, owner or (0, 0), modes.parse(step.chmod) if step.chmod else None)
    with remote.fetched(address, step.checksum) as found:
        unpacked = step.unpack_remote and sources.first_member(found.file.fileno(), address) is not None
        found.file.seek(0)
        archive.begin("archive" if unpacked else "file", found.name)
        archive.add_file(found.file, found.name, found.size, 0o600, found.time)
    collected.end(f"{archive.finish()} {archive.parts}")
    return collected


def _documents(step: Copy, owner: tuple[int, int] | None) -> Collected:
    """The here-documents."""
    collected = Collected()
    archive = Archive(collected.file, owner or (0, 0), modes.parse(step.chmod) if step.chmod else None)
    for name, text in step.documents:
        archive.begin("file", name)
        archive.add_bytes(text.encode("utf-8", "surrogateescape"), name, 0o644)
    collected.end(f"{archive.finish()} {archive.parts}")
    return collected


def placed(parent: Image | None, collected: list[Collected], step: Copy, owner: tuple[int, int] | None) -> Image:
    """The image *parent* with the *collected* files at their destination.  Raises :class:`ContainerError`."""
    several = sum(each.parts for each in collected) > 1
    sources.load_decompressors()

    def work() -> str:
        for each in collected:
            os.lseek(each.file.fileno(), 0, os.SEEK_SET)
            with open(each.file.fileno(), "rb", 0, closefd=False) as file:
                Destination(file, step.path, owner, several).run()
        return ""

    return filesystem.changed(parent, work, [each.file.fileno() for each in collected], apart=step.link)


def owner(text: str, image: Image | None, option: str = "--chown") -> tuple[int, int] | None:
    """Resolve ``USER[:GROUP]`` with the image's own tables; a numeric user alone is the group too. None for an empty
    text.

    Raises :class:`ContainerError`.
    """
    if not text:
        return None
    user, _, group = text.partition(":")
    uid, gid = _user(user, image, option) if user else (0, 0)
    if group:
        gid = int(group) if users.is_id(group) else _by_name(group, "group", image, option)[0]
    if max(uid, gid) >= users.LAST_ID:
        raise ContainerError(f"{option}={text}: the largest id is {users.LAST_ID - 1}")
    return uid, gid


def _user(text: str, image: Image | None, option: str) -> tuple[int, int]:
    if users.is_id(text):
        return int(text), int(text)
    uid, gid = _by_name(text, "user", image, option)
    return uid, gid


def _by_name(name: str, kind: str, image: Image | None, option: str) -> tuple[int, int]:
    file, columns = ("etc/passwd", 7) if kind == "user" else ("etc/group", 4)
    for row in users.entries(image, file, columns) if image else ():
        if row[0] == name:
            return int(row[2]), int(row[3]) if kind == "user" else 0
    where = (
        f"the image has no {kind} {name!r}: see its /{file}"
        if image
        else f"there is no /{file} in which {name!r} could stand"
    )
    raise ContainerError(f"{option}={name}: {where}, or use numbers")


def fingerprint(step: Copy, collected: list[Collected], who: tuple[int, int] | None) -> str:
    """What the layer depends on besides the files below it."""
    return json.dumps([step.name, step.path, step.chmod, who, step.link, [each.digest for each in collected]])
