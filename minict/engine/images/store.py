"""The image store: everything that images consist of, by digest, each thing once.

Below ``MINICT_ROOT/images``:

=======================  ===============================================================================================
``names/NAME``           the id of the image with this name, or this name and digest; ``/`` in it is ``%2F``
``configs/ID.json``      an image: its configuration, byte for byte as it came (config.md of the OCI image
                         specification).  ID is the sha256 of this file
``manifests/ID.json``    the manifest with which it was pulled, byte for byte; images made here have none
``layers/DIFFID/``       a layer, stored once however many images share it.  DIFFID is the sha256 of the layer as a
                         tar archive.  ``diff``: its files.  ``layer.json``: their ``size`` and number (``entries``),
                         ``link``, and of the ``blob``, if there is one, ``mediaType``, ``digest``, ``blob_size``;
                         ``implied``: directories that the archive did not list, until an image has the layer
``links/LINK``           a short symbolic link to a layer's ``diff``, because mount(2) takes 4096 bytes of options
``partial/DIGEST``       a blob that is being downloaded, by its own digest, locked (flock(2)) by its process; the
                         next pull resumes it
``making/X/``            unfinished work, locked (flock(2)) by its process.  ``uses/DIFFID`` are layers that it is going
                         to need: they must not be removed meanwhile
``lock``                 held for the moment of a change
=======================  ===============================================================================================

Things are made in ``making`` and then renamed to their places, the layers first and the name last.  So a name always
leads to a complete image, and a killed process leaves a directory without a lock, which :func:`prune` removes.

Only root may look into the store (mode 0700): layers contain set-user-ID programs and devices of unknown origin.

**A layer's blob is kept** as it came, beside its files, as in containerd; a plain one is compressed here.  That takes a
third more space.  In return, ``push`` and ``save`` write the same bytes with the same digests, so that the other
side recognizes what it has already, and no archive has to be assembled again from a directory, which is slow and goes
wrong for unusual archives (Docker keeps each header for that, in "tar-split").  A layer that was made here gets a blob
on demand (:func:`minict.engine.images.ingest.layer_blob`): :func:`minict.engine.images.diff.pack` always makes the same
archive from the same files.

How a pull uses it::

    with ingest.Making(full_name) as making:             # several processes may call layer() at once
        for descriptor, diff_id in zip(manifest.layers, config["rootfs"]["diff_ids"]):
            making.layer(descriptor, diff_id, fetch)     # fetch(offset) -> a binary file with the blob from there on;
                                                         # it is not called if the layer is there already
        image = making.finish(config_bytes, manifest, digest)
"""

from __future__ import annotations

import os

from minict.runtime import jsonfile, locks, paths
from minict.runtime.files import names_in

_CHUNK = 1 << 20


def store() -> str:
    """The directory of all images."""
    return f"{paths.data_root()}/images"


def name_file(full: str) -> str:
    """The file that contains the id of the image called *full*."""
    return f"{store()}/names/{full.replace('/', '%2F')}"


def config_file(id: str) -> str:
    """The configuration of the image *id*."""
    return f"{store()}/configs/{id}.json"


def manifest_file(id: str) -> str:
    """The manifest with which the image *id* was pulled, if it was."""
    return f"{store()}/manifests/{id}.json"


def layer_directory(diff_id: str) -> str:
    """The directory of the layer *diff_id* (64 hex digits), whether it exists or not."""
    return f"{store()}/layers/{diff_id}"


def has_layer(diff_id: str) -> bool:
    """Whether the complete layer with this DiffID (64 hex digits) is in the store."""
    return os.path.exists(layer_directory(diff_id))


def ids() -> list[str]:
    """The ids of all images."""
    return [name.removesuffix(".json") for name in names_in(f"{store()}/configs")]


def names() -> dict[str, list[str]]:
    """The full names of all images that have some, by id, in alphabetical order."""
    found: dict[str, list[str]] = {}
    for name in sorted(names_in(f"{store()}/names")):
        try:
            with open(f"{store()}/names/{name}", encoding="utf-8") as file:
                found.setdefault(file.read(), []).append(name.replace("%2F", "/"))
        except FileNotFoundError:  # just removed
            pass
    return found


def layer_record(diff_id: str) -> dict:
    """The content of ``layer.json`` of the layer *diff_id* (64 hex digits)."""
    return jsonfile.read(f"{layer_directory(diff_id)}/layer.json")


def size() -> int:
    """The disk space of all layers in bytes: their files and their blobs."""
    total = 0
    for digest in names_in(f"{store()}/layers"):
        try:
            record = layer_record(digest)
            total += record["size"] + record.get("blob_size", 0)
        except FileNotFoundError:  # just removed
            pass
    return total


def write_name(full: str, id: str) -> None:
    """Give the image *id* the name *full*, which another image loses. Hold the lock."""
    temporary = f"{store()}/making/name"  # the lock has only one holder
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(id)
    os.replace(temporary, name_file(full))


def diff_ids(id: str) -> list[str]:
    """The layers of the image *id*, lowest first."""
    return [digest.removeprefix("sha256:") for digest in jsonfile.read(config_file(id))["rootfs"]["diff_ids"]]


class Locked(locks.Held):
    """The store's lock, for changes of several files at once."""

    def __init__(self) -> None:
        super().__init__(f"{store()}/lock", locks.FILE)

    def __enter__(self) -> Locked:
        for name in ("names", "configs", "manifests", "layers", "links", "partial", "making"):
            os.makedirs(f"{store()}/{name}", exist_ok=True)
        os.chmod(store(), 0o700)
        super().__enter__()
        return self


# ---- removing ------------------------------------------------------------------------------------------------------


def used_layers() -> set[str]:
    """The DiffIDs of all layers that an image has, or that a process needs for a new one. Hold the lock."""
    used = {digest for id in ids() for digest in diff_ids(id)}
    for name in names_in(f"{store()}/making"):
        if not is_abandoned(path := f"{store()}/making/{name}"):
            used.update(names_in(f"{path}/uses"))
    return used


def set_aside_layers(digests) -> dict[str, str]:
    """Move the unused ones of *digests* to ``making``, to be deleted when the lock is free: {path there: digest}."""
    moved, used = {}, used_layers()
    for digest in set(digests) - used:
        if not has_layer(digest):
            continue
        path = f"{store()}/making/{os.urandom(6).hex()}"
        os.rename(layer_directory(digest), path)
        moved[path] = digest
    return moved


def delete(paths) -> None:
    """Remove what was set aside, directories and files, with the links to them."""
    import shutil

    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.exists(path):
            os.unlink(path)
    with Locked():
        for name in names_in(f"{store()}/links"):
            if not os.path.exists(f"{store()}/links/{name}"):
                os.unlink(f"{store()}/links/{name}")


def prune() -> list[str]:
    """Remove what killed processes have left: unfinished work, partial blobs, layers without an image. Return a list of
    descriptions.

    The work of running processes is left alone.  Raises :class:`ContainerError`, :class:`OSError`.
    """
    from minict.runtime import files

    if not os.path.isdir(store()):
        return []
    with Locked():
        layers = set_aside_layers(names_in(f"{store()}/layers"))
        unfinished = {f"{store()}/making/{name}": name for name in names_in(f"{store()}/making")}
        abandoned = {path: name for path, name in unfinished.items() if path not in layers and is_abandoned(path)}
        partial = [
            name for name in names_in(f"{store()}/partial") if is_abandoned(f"{store()}/partial/{name}", os.unlink)
        ]
        for directory in (store(), f"{store()}/cache", *map(layer_directory, names_in(f"{store()}/layers"))):
            files.remove_unfinished(directory)
    delete([*layers, *abandoned])
    return (
        [f"layer {digest[:12]}" for digest in layers.values()]
        + [f"unfinished image {name}" for name in abandoned.values()]
        + [f"part of layer {name[:12]}" for name in partial]
    )


def is_abandoned(path: str, then=None) -> bool:
    """Whether no process holds the lock of *path*; *then* is called with it while the lock is held here."""
    fd = locks.acquire(path, os.O_RDONLY, wait=False)
    if fd < 0:  # in use, or just finished
        return False
    try:
        if then:
            then(path)
    finally:
        os.close(fd)
    return True
