"""minict.engine.images.ingest"""

from __future__ import annotations

import os

from minict.runtime import jsonfile
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
    """A new image on its way into the store, under the name *full*, or under none.  With its end it is whole, or gone.

    Use it in a ``with`` statement.  Every method raises :class:`ContainerError` with a sentence for a person.
    """

    def __init__(self, full: str | None):
        self.full = full
        self.path = f"{store()}/making/{os.urandom(6).hex()}"
        self.stopped = False
        self._fd = -1

    def __enter__(self) -> Making:
        import fcntl

        try:
            with Locked():  # so that prune can't come between the directory and its lock
                os.mkdir(self.path, 0o700)
                self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(self._fd, fcntl.LOCK_EX)
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
        """Make every call of :meth:`layer` in other threads end soon, with an error: wait for them then."""
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
        """See that the layer *diff_id* is in the store; whether its blob had to be fetched for that.

        *descriptor* (:class:`minict.engine.distribution.manifest.Descriptor`) is the blob as the manifest has it.
        *fetch* is called with the number of bytes that are here already and returns a binary file (``read(size)``, and
        ``close()``) with the rest; what it raises comes out here.  Blob and archive are verified while they stream.
        Who fetches the same layer at the same time is waited for.  What was fetched before an error stays for the next
        time.

        *limits*: ``max_bytes`` and ``max_entries`` of :func:`minict.engine.archive.extract.unpack`.
        Raises :class:`ContainerError`.
        """
        from minict.engine.distribution.manifest import PLAIN_LAYERS

        from .blob import Blob

        digest = diff_id.removeprefix("sha256:")
        try:
            self.use(digest)
            if has_layer(digest):
                return False
            with Blob(descriptor, self) as blob:
                if has_layer(digest):  # who had the lock before us was after the same
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
        """A directory in which a layer is made, with an empty ``diff``; :meth:`place` it then."""
        directory = f"{self.path}/{os.urandom(6).hex()}"
        os.makedirs(f"{directory}/diff")
        os.chmod(f"{directory}/diff", 0o755)
        return directory

    def use(self, digest: str) -> None:
        """From now on nobody removes the layer *digest*, if it is there, as long as this image is being made."""
        with Locked(), open(f"{self.path}/uses/{digest}", "w"):
            pass

    def place(self, directory: str, contents, descriptor=None) -> None:
        """Move the finished layer in *directory* to its place.  *contents* says what is in it."""
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
        there by now.

        *manifest* (:class:`minict.engine.distribution.manifest.Manifest`) is what it came with; *digest* is what the
        registry calls it, that is the index's when it came by an index (Docker's RepoDigests). Raises
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
    """Directories that a layer's archive did not list take after those below them, as the image *digests* has it,
    lowest first.

    That is done for the first image that has the layer: those of others may be in use.
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
    """A short name, not taken yet, for the files of the layer *digest*.

    It is chance and not the begin of the digest: two layers whose digests begin alike are easily made.
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
    """Make an image of *parent* (an Image, or None: of nothing) and one layer more: what is in the directory *upper*.

    *upper* is a layer as overlayfs has it, and is only read; None when the step changes no file. *config*: the whole
    new ``config`` of the image.  *history*: the new entry (``created_by``, ``author``, ``comment``; ``created`` is
    added). *ignore*: see :func:`minict.engine.images.diff.changes`.  Returns the Image.  Raises
    :class:`ContainerError`.
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
    """The blob of the layer *diff_id* (64 hex digits): its :class:`minict.engine.distribution.manifest.Descriptor`,
    and its path.

    The blob of a layer that was made here is made now, and kept.  Hold the layer by :meth:`Making.use`, if its image
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
                f"the layer {diff_id[:12]} is not any more what it was when it was made: something has changed the "
                f"files in {layer_directory(diff_id)}; make the image again"
            )
        with Locked():
            os.replace(temporary, path)
            jsonfile.write(f"{layer_directory(diff_id)}/layer.json", record | _blob_record(descriptor))
    return descriptor, path


def compress(path: str, write):
    """Make the new file *path* of what *write(file)* writes, gzipped; its
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
