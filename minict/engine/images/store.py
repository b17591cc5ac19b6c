"""The image store: what images are made of, held by the digest of what it is, each thing once.

Below ``MINICT_ROOT/images``:

=======================  =========================================================================================
``names/NAME``           the id of the image that has this name, or this name and digest; ``/`` in it is ``%2F``
``configs/ID.json``      an image: its configuration, to the last byte as it came (config.md of the OCI image-spec).
                         ID is the sha256 of this very file
``manifests/ID.json``    the manifest with which it came, to the last byte; none for what was made here
``layers/DIFFID/``       a layer, held once however many images share it.  DIFFID is the sha256 of the layer as a
                         tar archive.  ``diff``: its files.  ``layer.json``: their ``size`` and number (``entries``),
                         ``link``, and of the ``blob``, if there is one, ``mediaType``, ``digest``, ``blob_size``;
                         ``implied``: directories that the archive did not list, until an image has the layer
``links/LINK``           a short symbolic link to a layer's ``diff``: what mount(2) is told fits on a page of 4096 bytes
``partial/DIGEST``       a blob on its way, by its own digest: its maker holds a lock (flock) on it. What an interrupted
                         pull has left is where the next one goes on
``making/X/``            what is not finished yet; its maker holds a lock (flock) on the directory as long as it lives.
                         ``uses/DIFFID`` are layers that it is going to need: nobody may remove them meanwhile
``lock``                 held for the moment of a change
=======================  =========================================================================================

A thing is made in ``making`` and then renamed to its place, the layers first and the name last.  So whoever
finds a name finds all of the image; whoever is killed leaves a directory without a lock, which :func:`prune` removes.

Nothing but root may look into the store (mode 0700): layers hold set-user-ID programs and devices of anyone's making.

**A layer's blob is kept** as it came, beside its files, as containerd does it; compressed here when it came plain.
That costs a third more of disk, and for it ``push`` and ``save`` give back what came, bit for bit, with the same
digests, so that the other side knows what it has already; no archive has to be put together again from a directory,
which is slow and goes wrong for odd archives (Docker keeps each header for that, in "tar-split").  A layer that was
made here has no blob until it is asked for (:func:`minict.engine.images.ingest.layer_blob`):
:func:`minict.engine.images.diff.pack` makes of the same files always the same archive.

How a pull uses it::

    with store.Making(full_name) as making:              # several threads may call layer() at once
        for descriptor, diff_id in zip(manifest.layers, config["rootfs"]["diff_ids"]):
            making.layer(descriptor, diff_id, fetch)     # fetch(offset) -> a binary file with the blob from there on;
                                                         # it is not called when the layer is there already
        image = making.finish(config_bytes, manifest, digest)
"""

from __future__ import annotations

import os

from minict.runtime import jsonfile, paths

_CHUNK = 1 << 20


def store() -> str:
    """The directory of all images."""
    return f"{paths.data_root()}/images"


def name_file(full: str) -> str:
    """The file that holds the id of the image called *full*."""
    return f"{store()}/names/{full.replace('/', '%2F')}"


def config_file(id: str) -> str:
    """The configuration of the image *id*."""
    return f"{store()}/configs/{id}.json"


def manifest_file(id: str) -> str:
    """The manifest with which the image *id* came, if it came with one."""
    return f"{store()}/manifests/{id}.json"


def layer_directory(diff_id: str) -> str:
    """Where the layer *diff_id* (64 hex digits) lies, when it is there."""
    return f"{store()}/layers/{diff_id}"


def has_layer(diff_id: str) -> bool:
    """Whether the layer with this DiffID (64 hex digits) is in the store, whole."""
    return os.path.exists(layer_directory(diff_id))


def ids() -> list[str]:
    """The ids of all images."""
    return [name.removesuffix(".json") for name in entries(f"{store()}/configs")]


def names() -> dict[str, list[str]]:
    """The full names of every image that has one, by its id, in alphabetical order."""
    found = {}
    for name in sorted(entries(f"{store()}/names")):
        try:
            with open(f"{store()}/names/{name}", encoding="utf-8") as file:
                found.setdefault(file.read(), []).append(name.replace("%2F", "/"))
        except FileNotFoundError:  # removed in this moment
            pass
    return found


def layer_record(diff_id: str) -> dict:
    """What ``layer.json`` says of the layer *diff_id* (64 hex digits)."""
    return jsonfile.read(f"{layer_directory(diff_id)}/layer.json")


def size() -> int:
    """What all layers take of the disk, in bytes: their files, and their blobs."""
    total = 0
    for digest in entries(f"{store()}/layers"):
        try:
            record = layer_record(digest)
            total += record["size"] + record.get("blob_size", 0)
        except FileNotFoundError:  # removed in this moment
            pass
    return total


def write_name(full: str, id: str) -> None:
    """Call the image *id* by the name *full*, whoever had that until now.  Hold the lock."""
    temporary = f"{store()}/making/name"  # there is but one holder of the lock
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(id)
    os.replace(temporary, name_file(full))


def diff_ids(id: str) -> list[str]:
    """The layers of the image *id*, lowest first."""
    return [digest.removeprefix("sha256:") for digest in jsonfile.read(config_file(id))["rootfs"]["diff_ids"]]


def entries(directory: str) -> list[str]:
    """What is in *directory*; nothing when there is none."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


class Locked:
    """The store's lock, for the moment in which several of its files change together."""

    def __enter__(self):
        import fcntl

        for name in ("names", "configs", "manifests", "layers", "links", "partial", "making"):
            os.makedirs(f"{store()}/{name}", exist_ok=True)
        os.chmod(store(), 0o700)
        self._fd = os.open(f"{store()}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *exception):
        os.close(self._fd)


# ---- making --------------------------------------------------------------------------------------------------------


# ---- blobs ---------------------------------------------------------------------------------------------------------


# ---- removing ------------------------------------------------------------------------------------------------------


def used_layers() -> set[str]:
    """The DiffIDs of all layers that an image has, or that somebody who makes one relies on.  Hold the lock."""
    used = {digest for id in ids() for digest in diff_ids(id)}
    for name in entries(f"{store()}/making"):
        if not is_abandoned(path := f"{store()}/making/{name}"):
            used.update(entries(f"{path}/uses"))
    return used


def set_aside_layers(digests) -> dict[str, str]:
    """Move those of *digests* that are unused to ``making``, to be deleted once the lock is free: {path there:
    digest}."""
    moved, used = {}, used_layers()
    for digest in set(digests) - used:
        if not has_layer(digest):
            continue
        path = f"{store()}/making/{os.urandom(6).hex()}"
        os.rename(layer_directory(digest), path)
        moved[path] = digest
    return moved


def delete(paths) -> None:
    """Remove what was set aside, directories and single files, with what points to them."""
    import shutil

    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.exists(path):
            os.unlink(path)
    with Locked():
        for name in entries(f"{store()}/links"):
            if not os.path.exists(f"{store()}/links/{name}"):
                os.unlink(f"{store()}/links/{name}")


def prune() -> list[str]:
    """Remove what makers left that were killed: things half made, blobs half fetched, layers of no image.  Return
    them, as words.

    What a living process works at is left alone.  Raises :class:`ContainerError`, :class:`OSError`.
    """
    from minict.runtime import files

    if not os.path.isdir(store()):
        return []
    with Locked():
        layers = set_aside_layers(entries(f"{store()}/layers"))
        unfinished = {f"{store()}/making/{name}": name for name in entries(f"{store()}/making")}
        abandoned = {path: name for path, name in unfinished.items() if path not in layers and is_abandoned(path)}
        partial = [
            name for name in entries(f"{store()}/partial") if is_abandoned(f"{store()}/partial/{name}", os.unlink)
        ]
        for directory in (store(), f"{store()}/cache", *map(layer_directory, entries(f"{store()}/layers"))):
            files.remove_unfinished(directory)
    delete([*layers, *abandoned])
    return (
        [f"layer {digest[:12]}" for digest in layers.values()]
        + [f"unfinished image {name}" for name in abandoned.values()]
        + [f"part of layer {name[:12]}" for name in partial]
    )


def is_abandoned(path: str, then=None) -> bool:
    """Whether nobody holds the lock of *path*; *then* is called with it while the lock is ours, so that nobody takes
    it."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # finished in this moment
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.exists(path):
            return False
        if then:
            then(path)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
