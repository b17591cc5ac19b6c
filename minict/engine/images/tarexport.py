"""``save`` and ``load``: images as one archive, for a machine without a registry.

The archives have two formats at once, and both can be loaded:

* an **OCI layout** (image-layout.md of the OCI image specification): ``oci-layout``, ``index.json``, and each blob by
  its digest in ``blobs/sha256``; skopeo and podman call it ``oci-archive:``
* the format of ``docker save``: ``manifest.json`` with the names of the configuration and of the layers;
  ``docker-archive:``

An archive is read in place, through a table of its members.  A compressed one, or one from a pipe, is first written to
a file of the store.  Sources: docker save; the OCI image specification, annotations.md, for the names in an index.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from typing import Any

from minict.engine.archive import compression, reader
from minict.engine.distribution import manifest as documents
from minict.engine.distribution import reference
from minict.engine.distribution.manifest import Descriptor
from minict.engine.util import events
from minict.runtime.errors import ContainerError

from . import ingest, store
from .export import make_manifest
from .image import Image
from .image import images as all_images

MAX_MEMBERS = 100_000
_MAX_NAMES = 16 << 20
_NAME = "io.containerd.image.name"  # the full name of an image, as annotation in an index
_REF = "org.opencontainers.image.ref.name"
_LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'


# ---- save ----------------------------------------------------------------------------------------------------------


def save(names: list[str], file) -> None:
    """Write the images *names* to the binary *file*; each gets the name that was given, or all its names if an id was
    given. A name without a tag means all tags of that repository.

    Raises :class:`ContainerError`.
    """
    images: dict[str, Any] = {}  # by id: several names may refer to one image
    for name in names:
        for image, full_names in _asked(name):
            images.setdefault(image.id, (image, []))[1].extend(full_names)
    with (
        ingest.Making(None) as making,
        tarfile.open(mode="w|", fileobj=file, format=tarfile.PAX_FORMAT, bufsize=1 << 20) as archive,
    ):
        for image, _ in images.values():
            for digest in image.digests:  # no other command removes them meanwhile
                making.use(digest)
        written: set[str] = set()
        index, docker = [], []
        _add(archive, "oci-layout", _LAYOUT)
        for image, full_names in images.values():
            manifest = make_manifest(image)
            layers = [ingest.layer_blob(digest) for digest in image.digests]
            for descriptor, path in [*layers, (manifest.config, store.config_file(image.id))]:
                if descriptor.digest not in written:
                    written.add(descriptor.digest)
                    with open(path, "rb") as blob:
                        archive.addfile(_member(_blob_name(descriptor.digest), os.fstat(blob.fileno()).st_size), blob)
            if manifest.digest not in written:
                written.add(manifest.digest)
                _add(archive, _blob_name(manifest.digest), manifest.data)
            index += _index_entries(manifest, image, full_names)
            docker.append(
                {
                    "Config": _blob_name(f"sha256:{image.id}"),
                    "RepoTags": full_names,
                    "Layers": [_blob_name(descriptor.digest) for descriptor, _ in layers],
                }
            )
        _add(
            archive,
            "index.json",
            json.dumps({"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": index}).encode(),
        )
        _add(archive, "manifest.json", json.dumps(docker).encode())
    for image, full_names in images.values():
        events.emit("image", "save", f"sha256:{image.id}", {"name": ", ".join(map(reference.short_name, full_names))})


def save_file(names: list[str], path: str) -> None:
    """Write the images *names* to the file *path*, atomically. Raises :class:`ContainerError`."""
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe, or a device
        with open(path, "wb") as file:
            return save(names, file)
    unfinished = f"{path}.{os.getpid()}"
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            save(names, file)
        os.rename(unfinished, path)
    except OSError as error:
        raise ContainerError(f"{path} can't be written: {error.strerror}", errno=error.errno) from None
    finally:
        if os.path.exists(unfinished):
            os.unlink(unfinished)


def _asked(name: str) -> list[tuple[Image, list[str]]]:
    """The images that *name* refers to, each with its full names in the archive. Raises :class:`ContainerError`."""
    start = name.removeprefix("sha256:")
    if not (reference.is_id(start) or "@" in name or ":" in name.rpartition("/")[2]):
        wanted = reference.repository(name)
        found = [
            (each, [full for full in each.full_names if reference.split(full)[0] == wanted]) for each in all_images()
        ]
        if any(full_names for _, full_names in found):
            return [(each, full_names) for each, full_names in found if full_names]
    image = Image.find(name)
    return [(image, _asked_names(name, image))]


def _asked_names(name: str, image: Image) -> list[str]:
    """The full names of *image* in the archive if it was given as *name*, without those with a digest."""
    start = name.removeprefix("sha256:")
    if reference.is_id(start) or (reference.may_be_id(start) and image.id.startswith(start)):
        return image.full_names
    full = reference.full_name(name)
    return [] if "@" in full else [full]


def _index_entries(manifest, image: Image, full_names: list[str]) -> list[dict]:
    entry = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.data),
        "platform": {
            "os": image.document.get("os") or "linux",
            "architecture": image.document.get("architecture") or "",
        },
    }
    return [{**entry, "annotations": {_NAME: full, _REF: reference.split(full)[1]}} for full in full_names] or [entry]


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    archive.addfile(_member(name, len(data)), io.BytesIO(data))


# ---- load ----------------------------------------------------------------------------------------------------------


def load(file, name: str = "the archive", platform: str | None = None, tell=lambda image, names: None) -> list[Image]:
    """Load all images of the archive *file*, a binary file or pipe, into the store. *name* is how messages call it.

    Of an image for several platforms, the one for this machine is loaded, or that for *platform*.  *tell* is called
    with each image and its names in the archive.  Raises :class:`ContainerError`; images that were complete by then
    stay.
    """
    with ingest.Making(None) as making, contextlib.ExitStack() as stack:
        archive = Archive(_seekable(file, making, name, stack), name)
        if "index.json" in archive.members:
            found = [_from_index(archive, descriptor, platform) for descriptor in _manifests(archive, platform)]
            names = _docker_names(archive)
            for each in found:
                each.names += [tag for tag in names.get(each.id, []) if tag not in each.names]
        elif "manifest.json" in archive.members:
            found = _from_docker(archive)
        else:
            raise ContainerError(
                f"{name} is not an archive of images as save writes them: minict import makes an image from the "
                "archive of a root file system"
            )
        images = []
        for each in _merged(found):
            images.append(each.store())
            for loaded in each.names or [""]:
                events.emit("image", "load", f"sha256:{images[-1].id}", {"name": reference.short_name(loaded)})
            tell(images[-1], [reference.short_name(name) for name in each.names])
        return images


class Found:
    """One image of an archive: its *config*, as bytes, the *layers* with their places, the *manifest* if it has
    one, its full *names*."""

    def __init__(
        self, archive: Archive, config: bytes, layers: Sequence[tuple[Descriptor, object]], manifest, names: list[str]
    ):
        self.archive, self.config, self.layers, self.manifest, self.names = archive, config, layers, manifest, names
        self.id = hashlib.sha256(config).hexdigest()
        self.diff_ids = documents.parse_config(config, f"{archive.name}, the configuration {self.id[:12]}")["rootfs"][
            "diff_ids"
        ]
        if len(self.diff_ids) != len(layers):
            raise ContainerError(
                f"{archive.name} violates the standard: the image {self.id[:12]} has {len(self.diff_ids)} layers in "
                f"its configuration, and {len(layers)} in its manifest"
            )

    def store(self) -> Image:
        """Store it, with all its names."""
        with ingest.Making(self.names[0] if self.names else None) as making:
            for (descriptor, member), diff_id in zip(self.layers, self.diff_ids):
                making.layer(descriptor, diff_id, lambda offset, member=member: self.archive.part(member, offset))
            image = making.finish(self.config, self.manifest)
        for name in self.names[1:]:
            with store.Locked():
                store.write_name(name, image.id)
        return image


def _merged(found: list[Found]) -> list[Found]:
    """Merge the entries of an image that is listed once for each of its names."""
    by_id: dict[str, Found] = {}
    for each in found:
        first = by_id.setdefault(each.id, each)
        first.names += [name for name in each.names if name not in first.names]
    return list(by_id.values())


def _manifests(archive: Archive, platform: str | None) -> list[Descriptor]:
    """The manifests in ``index.json`` for the wanted platform, each with the annotations that name it."""
    listed = documents.parse_index(archive.read("index.json"), f"{archive.name}, index.json")
    found = []
    for descriptor in listed:
        for _ in range(4):  # an index may list indexes; honest ones are not nested deeper
            if descriptor.media_type not in documents.INDEXES:
                break
            inner = documents.parse_index(
                archive.blob(descriptor), f"{archive.name}, the index {descriptor.digest[7:19]}"
            )
            chosen = documents.choose(inner, platform, f"{archive.name}, the index {descriptor.digest[7:19]}")
            chosen.annotations = descriptor.annotations | chosen.annotations
            descriptor = chosen
        if not descriptor.platform or documents.fits(descriptor.platform, documents.parse_platform(platform)):
            found.append(descriptor)
    if not found:
        documents.choose(listed, platform, archive.name)  # raises with a list of the platforms
        raise ContainerError(f"{archive.name} contains no image")
    return found


def _from_index(archive: Archive, descriptor: Descriptor, platform: str | None) -> Found:
    label = f"{archive.name}, the manifest {descriptor.digest[7:19]}"
    manifest = documents.parse_manifest(archive.blob(descriptor), label)
    layers = [(layer, archive.member(_blob_name(layer.digest))) for layer in manifest.layers]
    for name in (descriptor.annotations.get(_NAME), descriptor.annotations.get(_REF)):
        if isinstance(name, str) and (":" in name or "/" in name):  # a tag alone is not a name
            return Found(archive, archive.blob(manifest.config), layers, manifest, [reference.full_name(name)])
    return Found(archive, archive.blob(manifest.config), layers, manifest, [])


def _docker_list(archive: Archive) -> list[dict]:
    """``manifest.json``, checked."""
    label = f"{archive.name}, manifest.json"
    try:
        entries = json.loads(archive.read("manifest.json"))
    except (ValueError, RecursionError):
        raise ContainerError(f"{label} is not JSON") from None
    if not (
        isinstance(entries, list)
        and all(
            isinstance(entry, dict)
            and isinstance(entry.get("Config"), str)
            and _is_texts(entry.get("Layers"))
            and _is_texts(entry.get("RepoTags") or [])
            and len(entry["Layers"]) <= documents.MAX_LAYERS
            for entry in entries
        )
    ):
        raise ContainerError(
            f"{label} is not a list of images with Config, RepoTags and Layers, as docker save writes it"
        )
    return entries


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _docker_names(archive: Archive) -> dict[str, list[str]]:
    """The full names in ``manifest.json``, if it exists, by the ids of the images."""
    if "manifest.json" not in archive.members:
        return {}
    return {
        os.path.basename(entry["Config"]).removesuffix(".json"): [
            reference.full_name(tag) for tag in entry.get("RepoTags") or []
        ]
        for entry in _docker_list(archive)
    }


def _from_docker(archive: Archive) -> list[Found]:
    return [
        Found(
            archive,
            archive.read(entry["Config"]),
            [archive.described(path) for path in entry["Layers"]],
            None,
            [reference.full_name(tag) for tag in entry.get("RepoTags") or []],
        )
        for entry in _docker_list(archive)
    ]


class Archive:
    """A tar archive in the file *file* with random access. ``members``: its files, by name.

    Raises :class:`ContainerError` for something that is not an archive, or too large.
    """

    def __init__(self, file, name: str):
        self.file, self.name, self.members = file, name, {}
        self._described: dict[int, tuple[Descriptor, tarfile.TarInfo]] = {}
        names = 0
        try:
            for member in reader.members(reader.Seekable(file), MAX_MEMBERS):
                names += len(member.name) + len(member.linkname)
                if names > _MAX_NAMES:
                    raise reader.Refused(f"the names in it have more than {_MAX_NAMES} characters, which is the limit")
                member.pax_headers = {}  # not used here, and they may be large
                self.members[os.path.normpath(member.name)] = member
        except (tarfile.TarError, reader.NoTar) as error:
            raise ContainerError(
                f"{name} is not an archive of images, or truncated ({error}): download or create it again"
            ) from None
        except reader.Refused as error:
            raise ContainerError(f"{name} can't be read: {error}") from None

    def member(self, path: str) -> tarfile.TarInfo:
        """The file *path*. Old versions of docker save link to a layer that several images share."""
        name = os.path.normpath(path)
        for _ in range(10):
            member = self.members.get(name)
            if member is not None and member.issym():
                name = os.path.normpath(os.path.join(os.path.dirname(name), member.linkname))
            elif member is not None and member.islnk():
                name = os.path.normpath(member.linkname)
            elif member is not None and member.isreg() and not member.sparse:
                return member
            else:
                break
        raise ContainerError(f"{self.name} is incomplete: {path[:100]!r} is missing; create it again")

    def part(self, member: tarfile.TarInfo, offset: int = 0):
        """The content of *member* from *offset* on, as a file."""
        return _Part(self.file, member.offset_data + offset, member.size - offset)

    def read(self, path: str) -> bytes:
        """The whole document *path*."""
        member = self.member(path)
        if member.size > documents.MAX_DOCUMENT:
            raise ContainerError(f"{self.name}: {path} has {member.size} bytes: the limit is {documents.MAX_DOCUMENT}")
        return self.part(member).read(member.size)

    def blob(self, descriptor: Descriptor) -> bytes:
        """The document *descriptor*, verified."""
        data = self.read(_blob_name(descriptor.digest))
        documents.verify(data, descriptor.digest, f"{self.name}, the document {descriptor.digest[7:19]}")
        return data

    def described(self, path: str) -> tuple[Descriptor, tarfile.TarInfo]:
        """A layer of which only the path is known."""
        member = self.member(path)
        if member.offset_data in self._described:  # several images have it
            return self._described[member.offset_data]
        digest = hashlib.sha256()
        part = self.part(member)
        start = part.read(6)
        digest.update(start)
        while chunk := part.read(1 << 20):
            digest.update(chunk)
        kind = (
            documents.LAYER_GZIP
            if start.startswith(b"\x1f\x8b")
            else documents.LAYER_ZSTD
            if start.startswith(b"\x28\xb5\x2f\xfd")
            else documents.LAYER
        )
        found = Descriptor(kind, f"sha256:{digest.hexdigest()}", member.size), member
        self._described[member.offset_data] = found
        return found


class _Part:
    """A part of a file, as a file; it is read by offset, so that several parts can be read at once."""

    def __init__(self, file, offset: int, size: int):
        self._fd, self._offset, self._end = file.fileno(), offset, offset + size

    def read(self, size: int) -> bytes:
        chunk = os.pread(self._fd, max(0, min(size, self._end - self._offset)), self._offset)
        self._offset += len(chunk)
        return chunk

    def close(self) -> None:
        """Nothing: the file is shared."""


def _seekable(file, making: ingest.Making, name: str, stack: contextlib.ExitStack):
    """*file* itself if it is plain and has random access, else its content in a file of the store."""
    start = b""
    while len(start) < 6 and (chunk := file.read(6 - len(start))):
        start += chunk
    make = compression.decompressor(start, name)
    try:
        if make is None and file.seekable():
            file.fileno()
            return file
    except OSError:
        pass
    pieces = [start]
    spool = stack.enter_context(open(f"{making.path}/archive", "w+b"))
    total = 0
    try:
        for chunk in compression.decompressed(lambda size: pieces.pop() if pieces else file.read(size), make):
            total += len(chunk)
            if total > reader.MAX_BYTES:
                raise ContainerError(f"{name} has more than {reader.MAX_BYTES} bytes: the limit")
            spool.write(chunk)
        spool.flush()
    except (ContainerError, OSError):
        raise
    except Exception as error:  # each decompressor has its own exceptions
        raise ContainerError(f"{name} is damaged or truncated ({error}): download or create it again") from None
    return spool
