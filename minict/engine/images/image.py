"""Images: root file systems that containers begin with, and what is said of them.

An image is a stack of layers, each a directory of files, and a configuration.  Where they lie, and how they come
there whole or not at all: :mod:`minict.engine.images.store`.
"""

from __future__ import annotations

import errno
import os

from minict.engine.distribution.reference import full_name, is_id, may_be_id, short_name, split
from minict.engine.util import events
from minict.runtime import jsonfile, paths
from minict.runtime.errors import ContainerError

from . import store

DEFAULT = "tiny"  # the embedded image, made of the host's own programs


class Image:
    """An image of the store.

    ``id``: 64 hex digits, the sha256 of its configuration; ``name``: what it was asked for by; ``document``: all of the
    configuration; ``config``: the part that is about containers made from it (``Env``, ``Cmd``, ``Entrypoint``,
    ``WorkingDir``, ``User``: the ``config`` of the image-spec); ``digests``: its layers' DiffIDs, the lowest first;
    ``layers``: the directories of its files, the top one first, as overlayfs wants them.
    """

    def __init__(self, id: str, document: dict, name: str = ""):
        self.id = id
        self.name = name or id[:12]
        self.document = document
        self.config = document.get("config") or {}
        self.digests = [digest.removeprefix("sha256:") for digest in document["rootfs"]["diff_ids"]]
        # overlayfs takes no directory twice, and what a layer holds hides its own copy further down
        self.layers = [f"{store.layer_directory(digest)}/diff" for digest in dict.fromkeys(reversed(self.digests))]

    def __repr__(self):
        return f"<Image {', '.join(self.names) or 'without a name'}: {self.id[:12]}>"

    def _repr_html_(self):
        from minict.engine.util import table

        command = [*(self.config.get("Entrypoint") or []), *(self.config.get("Cmd") or [])]
        return table.html_object(
            {
                "names": ", ".join(self.names),
                "id": self.id[:12],
                "created": table.ago(self.created),
                "for": self.platform,
                "size": table.size(self.size),
                "layers": len(self.layers),
                "command": " ".join(command),
            },
            f"image {self.name}",
        )

    @classmethod
    def find(cls, name: str) -> Image:
        """The image that is called *name*, or whose id begins with it.

        Raises :class:`ContainerError` when there is none.
        """
        start = name.removeprefix("sha256:")
        if is_id(start):
            if os.path.exists(store.config_file(start)):
                return cls.load(start, name)
            raise _no_image(name)
        try:
            with open(store.name_file(full_name(name)), encoding="utf-8") as file:
                return cls.load(file.read(), name)
        except FileNotFoundError:
            pass
        ids = [id for id in store.ids() if id.startswith(start)] if may_be_id(start) else []
        if len(ids) != 1:
            raise _no_image(name, many=bool(ids))
        return cls.load(ids[0], name)

    @classmethod
    def load(cls, id: str, name: str = "") -> Image:
        """The image with this whole *id*.  Raises :class:`ContainerError` when it is not there or not readable."""
        path = store.config_file(id)
        try:
            return cls(id, jsonfile.read(path), name)
        except FileNotFoundError:
            raise ContainerError(f"the image {id[:12]} has been removed: make it again") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ContainerError(f"{path} is damaged: remove this file and make the image again") from None

    @property
    def links(self) -> list[str]:
        """Short names of :attr:`layers`, below the store's directory ``links``.

        Raises :class:`ContainerError` when a layer is not there any more.
        """
        found = []
        for layer in self.layers:
            if not os.path.isdir(layer):
                raise ContainerError(
                    f"the image {self.name} is damaged, {layer} is missing: remove the image and get it again"
                )
            found.append(store.layer_record(os.path.basename(os.path.dirname(layer))).get("link") or layer)
        return found

    @property
    def full_names(self) -> list[str]:
        """All its names, ``docker.io/library/tiny:latest``, in alphabetical order; those with digests not."""
        return [name for name in store.names().get(self.id, []) if "@" not in name]

    @property
    def names(self) -> list[str]:
        """All its names as a person says them, ``tiny:latest`` (Docker's RepoTags)."""
        return [short_name(name) for name in self.full_names]

    @property
    def repo_digests(self) -> list[str]:
        """What registries call it: ``debian@sha256:…`` (Docker's RepoDigests)."""
        return [short_name(name) for name in store.names().get(self.id, []) if "@" in name]

    @property
    def size(self) -> int:
        """Of all files of all layers, in bytes."""
        return sum(store.layer_record(digest)["size"] for digest in self.digests)

    @property
    def created(self) -> float:
        """When it was made, in seconds since 1970: as its configuration says, else when it came into the store."""
        from minict.engine.util.timestamps import SECOND, moment_of

        said = self.document.get("created")
        return moment_of(said, self.name) / SECOND if said else os.stat(store.config_file(self.id)).st_mtime

    @property
    def platform(self) -> str:
        """What it is for: ``linux/amd64``."""
        from minict.engine.distribution.manifest import platform_name

        return platform_name(self.document)

    @property
    def manifest(self):
        """The :class:`minict.engine.distribution.manifest.Manifest` with which it came; None for an image that was
        made here."""
        from minict.engine.distribution.manifest import parse_manifest

        try:
            with open(store.manifest_file(self.id), "rb") as file:
                return parse_manifest(file.read(), f"the manifest of {self.name}")
        except FileNotFoundError:
            return None

    @property
    def history(self) -> list[dict]:
        """How it came to be, a step after the other, as the standard has it (``created_by``, ``empty_layer`` …), and
        of each step the ``size`` of its layer in bytes.  Layers of which nothing is said are the lowest ones: what was
        built on knows of itself."""
        digests = iter(self.digests)
        steps = self.document.get("history") or []
        steps = [{}] * (len(self.digests) - sum(not step.get("empty_layer") for step in steps)) + steps
        layers = ("" if step.get("empty_layer") else next(digests, "") for step in steps)
        return [
            {**step, "size": store.layer_record(digest)["size"] if digest else 0} for step, digest in zip(steps, layers)
        ]


def _no_image(name: str, many: bool = False) -> ContainerError:
    remedy = (
        "more than one has an id that begins so"
        if many
        else "'minict pull' gets one, and 'minict images' lists those that are there"
    )
    return ContainerError(f"no such image: {name}; {remedy}", errno=None if many else errno.ENOENT)


# ---- what the commands do ------------------------------------------------------------------------------------------


def images() -> list[Image]:
    """All images, by name; those without one at the end."""
    names = store.names()
    return [Image.load(id) for id in sorted(store.ids(), key=lambda id: (id not in names, names.get(id), id))]


def tag(name: str, new: str) -> None:
    """Give the image *name* the name *new* as well; whatever had that name loses it.  Raises
    :class:`ContainerError`."""
    full = full_name(new)
    if "@" in full:
        raise ContainerError(
            f"{new!r} is a digest, and that is the image's own: take a name with a tag, as in my-app:1.0"
        )
    with store.Locked():
        id = Image.find(name).id
        store.write_name(full, id)
    events.record("image", "tag", f"sha256:{id}", {"name": short_name(full)})


def remove(name: str, force: bool = False) -> list[str]:
    """Take the name away from an image, and with its last name the image; return what was done, in Docker's words.

    With an id the image goes with its name; has it several, that takes *force*.  An image that a container stands on
    stays, running or not; with *force* it loses its names, unless the container runs. Raises :class:`ContainerError`
    when there is no such image, or it can't go.  Source: docker image rm.
    """
    with store.Locked():
        image = Image.find(name)
        all_names = store.names().get(image.id, [])
        tags = [each for each in all_names if "@" not in each]
        asked = None if is_id(name.removeprefix("sha256:")) else full_name(name)
        if asked in tags and len(tags) > 1:
            return _untag(image.id, [asked, *_digests_of_lost_repositories(all_names, asked)])
        if asked not in all_names and len(tags) > 1 and not force:
            raise ContainerError(
                f"the image {image.id[:12]} has {len(tags)} names, {', '.join(image.names)}: "
                "remove them one by one, or all with --force"
            )
        users = used_by(image)
        running = [id for id, runs in users if runs]
        if running or (users and not force):
            raise ContainerError(
                f"the image {image.id[:12]} is used by the container {(running[0] if running else users[0][0])[:12]}: "
                "remove that first"
            )
        done = _untag(image.id, all_names)
        if users:
            return done
        for path in (store.config_file(image.id), store.manifest_file(image.id)):
            if os.path.exists(path):
                os.unlink(path)
        doomed = store.set_aside_layers(image.digests)
    store.delete(doomed)
    events.record("image", "delete", f"sha256:{image.id}", {"name": f"sha256:{image.id}"})
    return [*done, f"Deleted: sha256:{image.id}", *(f"Deleted: sha256:{digest}" for digest in doomed.values())]


def _untag(id: str, full_names: list[str]) -> list[str]:
    for full in full_names:
        os.unlink(store.name_file(full))
        events.record("image", "untag", f"sha256:{id}", {"name": short_name(full)})
    return [f"Untagged: {short_name(full)}" for full in full_names]


def _digests_of_lost_repositories(all_names: list[str], gone: str) -> list[str]:
    """The names with a digest in the repository of *gone*, when there is no other tag of it."""
    left = {split(each)[0] for each in all_names if "@" not in each and each != gone}
    return [
        each for each in all_names if "@" in each and split(each)[0] not in left and split(each)[0] == split(gone)[0]
    ]


def used_by(image: Image) -> list[tuple[str, bool]]:
    """The containers that stand on the image's layers: their ids, and whether they run, or at least have a life
    begun."""
    found = []
    for id in store.entries(f"{paths.data_root()}/containers"):
        record = _read(f"{paths.container_data(id)}/container.json")
        if record.get("image") == image.id:
            found.append((id, os.path.isdir(paths.container_state(id))))
    return found


def _read(path: str) -> dict:
    try:
        return jsonfile.read(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
