"""Add images to the store: layers from registries and archives, new layers of containers and builds."""

from __future__ import annotations

import os

from minict.runtime import jsonfile, locks
from minict.runtime.errors import ContainerError

from .store import (
    Locked,
    config_file,
    has_layer,
    layer_directory,
    layer_record,
    manifest_file,
    store,
    write_name,
)


class Making:
    """A new image under construction, with the name *full* or without a name. At the end it is complete, or removed.

    Use it in a ``with`` statement.  All methods raise :class:`ContainerError`.
    """

    def __init__(self, full: str | None):
        self.full = full
        self.path = f"{store()}/making/{os.urandom(6).hex()}"
        self.stopped = False
        self._fd = -1

    def __enter__(self) -> Making:
        try:
            with Locked():  # so that prune can't run between the directory and its lock
                os.mkdir(self.path, 0o700)
                self._fd = locks.acquire(self.path)
                os.mkdir(f"{self.path}/uses")
        except OSError as error:
            self._remove()
            raise self._explained(error) from error
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self.stop()
        self._remove()
        if isinstance(error, OSError):
            raise self._explained(error) from error

    def stop(self) -> None:
        """Make all calls of :meth:`layer` in other threads fail soon; then wait for these threads."""
        self.stopped = True

    def _remove(self) -> None:
        import shutil

        shutil.rmtree(self.path, ignore_errors=True)
        if self._fd >= 0:
            os.close(self._fd)

    def _explained(self, error: OSError) -> ContainerError:
        import errno

        from minict.engine.distribution.reference import short_name

        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            text = f"the disk that holds {store()} is full: free some space there (minict prune) and do it again"
        else:
            text = f"{error.filename or store()}: {error.strerror}"
        return ContainerError(
            f"the image {short_name(self.full or 'without a name')} can't be made: {text}", errno=error.errno
        )

    def layer(self, descriptor, diff_id: str, fetch, **limits: int) -> bool:
        """Make sure that the layer *diff_id* is in the store; return whether its blob had to be downloaded.

        *descriptor* (:class:`minict.engine.distribution.manifest.Descriptor`) is the blob in the manifest.  *fetch* is
        called with the number of bytes that are here already, and returns a binary file (``read(size)``, and
        ``close()``) with the rest; its exceptions are passed on.  Blob and archive are verified while they stream.  If
        another process downloads the same layer, this one waits.  What was downloaded before an error is kept.

        *limits*: ``max_bytes`` and ``max_entries`` of :func:`minict.engine.archive.extract.unpack`. Raises
        :class:`ContainerError`.
        """
        from minict.engine.distribution.manifest import PLAIN_LAYERS

        from .blob import Blob

        digest = diff_id.removeprefix("sha256:")
        try:
            self.use(digest)
            if has_layer(digest):
                return False
            with Blob(descriptor, self) as blob:
                if has_layer(digest):  # the previous holder of the lock made the same layer
                    return False
                directory = self.new_layer()
                contents = blob.unpack(fetch, directory, digest, **limits)
                if descriptor.media_type in PLAIN_LAYERS:
                    descriptor = compress(f"{directory}/blob", blob.copy)
                else:
                    blob.keep(f"{directory}/blob")
                self.place(directory, contents, descriptor)
                return True
        except OSError as error:
            raise self._explained(error) from error

    def new_layer(self) -> str:
        """A directory for a new layer, with an empty ``diff``; call :meth:`place` when it is complete."""
        directory = f"{self.path}/{os.urandom(6).hex()}"
        os.makedirs(f"{directory}/diff")
        os.chmod(f"{directory}/diff", 0o755)
        return directory

    def use(self, digest: str) -> None:
        """Protect the layer *digest*, if it exists, from removal while this image is under construction."""
        with Locked(), open(f"{self.path}/uses/{digest}", "w"):
            pass

    def place(self, directory: str, contents, descriptor=None) -> None:
        """Move the complete layer in *directory* to its place. *contents* describes it."""
        with Locked():
            with open(f"{self.path}/uses/{contents.digest}", "w"):
                pass
            if has_layer(contents.digest):
                return
            record = {"size": contents.size, "entries": contents.entries, "link": _make_link(contents.digest)}
            record |= _blob_record(descriptor) if descriptor else {}
            if contents.implied:
                record["implied"] = list(contents.implied)
            jsonfile.write(f"{directory}/layer.json", record)
            os.rename(directory, layer_directory(contents.digest))

    def finish(self, config: bytes, manifest=None, digest: str | None = None):
        """Make the :class:`minict.engine.images.image.Image` with the configuration *config*, whose layers are all
        there.

        *manifest* (:class:`minict.engine.distribution.manifest.Manifest`) is the one it was pulled with; *digest* is
        its digest in the registry, that of the index if it was pulled through one (Docker's RepoDigests). Raises
        :class:`ContainerError`.
        """
        from minict.engine.distribution import manifest as documents
        from minict.engine.distribution import reference

        from .image import Image

        document = documents.parse_config(
            config, f"the configuration of {reference.short_name(self.full or 'the image')}"
        )
        id = documents.digest_of(config).removeprefix("sha256:")
        full_names = [self.full] if self.full else []
        if digest and self.full:
            full_names.append(f"{reference.split(self.full)[0]}@{digest}")
        try:
            self._write("config", config)
            if manifest:
                self._write("manifest", manifest.data)
            with Locked():
                for diff_id in document["rootfs"]["diff_ids"]:
                    if not has_layer(diff_id.removeprefix("sha256:")):
                        raise ContainerError(
                            f"the image {reference.short_name(self.full or id[:12])} can't be made: its layer "
                            f"{diff_id[7:19]} is missing"
                        )
                _adopt([diff_id.removeprefix("sha256:") for diff_id in document["rootfs"]["diff_ids"]])
                if manifest:
                    os.replace(f"{self.path}/manifest", manifest_file(id))
                os.replace(f"{self.path}/config", config_file(id))
                for full in reversed(full_names):
                    write_name(full, id)
        except OSError as error:
            raise self._explained(error) from error
        return Image(id, document, reference.short_name(self.full) if self.full else "")

    def _write(self, name: str, data: bytes) -> None:
        with open(f"{self.path}/{name}", "wb") as file:
            file.write(data)


def _adopt(digests: list[str]) -> None:
    """Give directories that a layer's archive did not list the metadata of those below them in the image *digests*,
    lowest first.

    This happens for the first image with the layer: layers of others may be in use.
    """
    lowers: list[str] = []
    for digest in digests:
        record, layer = layer_record(digest), f"{layer_directory(digest)}/diff"
        if implied := record.pop("implied", None):
            from . import diff

            diff.adopt(layer, lowers, implied)
            jsonfile.write(f"{layer_directory(digest)}/layer.json", record)
        lowers.insert(0, layer)


def _make_link(digest: str) -> str:
    """A short, unused name for the files of the layer *digest*.

    It is random and not the beginning of the digest, because layers whose digests begin alike are easy to make.
    """
    while True:
        name = os.urandom(4).hex()
        try:
            os.symlink(f"../layers/{digest}/diff", f"{store()}/links/{name}")
            return name
        except FileExistsError:
            pass


def commit(
    parent,
    upper: str | None,
    config: dict,
    history: dict,
    name: str | None = None,
    *,
    ignore: frozenset[str] = frozenset(),
):
    """Make an image from *parent* (an Image, or None for an empty one) and one more layer, the content of the directory
    *upper*.

    *upper* is a layer of overlayfs, and is only read; None if the step changes no files.  *config*: the new image's
    ``config``.  *history*: the new entry (``created_by``, ``author``, ``comment``; ``created`` is added). *ignore*: see
    :func:`minict.engine.images.diff.changes`.  Returns the Image.  Raises :class:`ContainerError`.
    """
    import time

    from minict.engine.distribution.manifest import architecture
    from minict.engine.distribution.reference import full_name
    from minict.engine.util import timestamps

    from . import diff

    document = dict(parent.document) if parent else {"architecture": architecture(), "os": "linux"}
    digests = list(parent.digests) if parent else []
    with Making(full_name(name) if name else None) as making:
        for digest in digests:
            making.use(digest)
        if upper is not None:
            directory = making.new_layer()
            contents = diff.copy_layer(upper, f"{directory}/diff", ignore)
            making.place(directory, contents)
            digests.append(contents.digest)
        now = timestamps.stamp(time.time_ns())
        entry = {"created": now, **history, **({} if upper is not None else {"empty_layer": True})}
        if "author" in entry:
            document["author"] = entry["author"]
        document |= {
            "created": entry["created"],
            "config": config,
            "history": [*(document.get("history") or []), entry],
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        }
        return making.finish(jsonfile.dumps(document).encode())


def layer_blob(diff_id: str) -> tuple:
    """The blob of the layer *diff_id* (64 hex digits): its :class:`minict.engine.distribution.manifest.Descriptor` and
    its path.

    A layer that was made here gets its blob now, which is kept.  Protect the layer with :meth:`Making.use` if its image
    might be removed meanwhile.  Raises :class:`ContainerError`.
    """
    from minict.engine.distribution.manifest import Descriptor

    from . import diff

    path = f"{layer_directory(diff_id)}/blob"
    record = layer_record(diff_id)
    if "digest" in record:
        return Descriptor(record["mediaType"], record["digest"], record["blob_size"]), path
    with Making(None) as making:
        temporary = f"{making.path}/blob"
        contents = []
        descriptor = compress(
            temporary, lambda file: contents.append(diff.pack(f"{layer_directory(diff_id)}/diff", file))
        )
        if contents[0].digest != diff_id:
            raise ContainerError(
                f"the layer {diff_id[:12]} has been modified since it was made: something has changed the "
                f"files in {layer_directory(diff_id)}; pull or build the image again"
            )
        with Locked():
            os.replace(temporary, path)
            jsonfile.write(f"{layer_directory(diff_id)}/layer.json", record | _blob_record(descriptor))
    return descriptor, path


def compress(path: str, write):
    """Make the new file *path* from the output of *write(file)*, with gzip; return its
    :class:`minict.engine.distribution.manifest.Descriptor`."""
    import hashlib

    from minict.engine.archive.compression import gzip_into
    from minict.engine.distribution.manifest import LAYER_GZIP, Descriptor

    with gzip_into(path) as file:
        write(file)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Descriptor(LAYER_GZIP, f"sha256:{digest}", os.path.getsize(path))


def _blob_record(descriptor) -> dict:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "blob_size": descriptor.size}
