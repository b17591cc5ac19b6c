"""Images: finding, naming and removing them.

An image is a stack of layers, each a directory of files, and a configuration.  :mod:`minict.engine.images.store` says
where they are stored.
"""

from __future__ import annotations

import errno
import os

from minict.engine.distribution.reference import full_name, is_id, may_be_id, short_name, split
from minict.engine.util import events
from minict.runtime import jsonfile, paths
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in

from . import store

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

    from minict.engine.distribution.manifest import Manifest

DEFAULT = "tiny"  # the default image, made from the host's own programs


class Image:
    """An image of the store.

    ``id``: 64 hex digits, the sha256 of its configuration; ``name``: the name by which it was found; ``document``: the
    whole configuration; ``config``: its part for containers (``Env``, ``Cmd``, ``Entrypoint``, ``WorkingDir``,
    ``User``); ``digests``: the DiffIDs of its layers, the lowest first; ``layers``: the directories of its files, the
    top one first, as for overlayfs.
    """

    def __init__(self, id: str, document: dict[str, Any], name: str = ""):
        self.id = id
        self.name = name or id[:12]
        self.document = document
        self.config = document.get("config") or {}
        self.digests = [digest.removeprefix("sha256:") for digest in document["rootfs"]["diff_ids"]]
        # overlayfs refuses a directory twice; the lower copy of a layer would be hidden anyway
        self.layers = [f"{store.layer_directory(digest)}/diff" for digest in dict.fromkeys(reversed(self.digests))]

    def __repr__(self) -> str:
        return f"<Image {', '.join(self.names) or 'without a name'}: {self.id[:12]}>"

    def _repr_html_(self) -> str:
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
        """The image with the name *name*, or whose id begins with it.

        Raises :class:`ContainerError` if there is none.
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
        """The image with this full *id*. Raises :class:`ContainerError` if it is missing or unreadable."""
        path = store.config_file(id)
        try:
            return cls(id, jsonfile.read(path), name)
        except FileNotFoundError:
            raise _removed(id) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ContainerError(f"{path} is damaged: remove this file, then pull or build the image again") from None

    def check_exists(self) -> None:
        """Raise :class:`ContainerError` if the image has been removed since it was loaded."""
        if not os.path.exists(store.config_file(self.id)):
            raise _removed(self.id)

    @property
    def links(self) -> list[str]:
        """Short names of :attr:`layers`, below the store's directory ``links``.

        Raises :class:`ContainerError` if a layer is missing.
        """
        found = []
        for layer in self.layers:
            if not os.path.isdir(layer):
                raise ContainerError(
                    f"the image {self.name} is damaged, {layer} is missing: remove it, then pull or build it again"
                )
            found.append(store.layer_record(os.path.basename(os.path.dirname(layer))).get("link") or layer)
        return found

    @property
    def full_names(self) -> list[str]:
        """All its names, ``docker.io/library/tiny:latest``, in alphabetical order, without those with digests."""
        return [name for name in store.names().get(self.id, []) if "@" not in name]

    @property
    def names(self) -> list[str]:
        """All its names in short form, ``tiny:latest`` (Docker's RepoTags)."""
        return [short_name(name) for name in self.full_names]

    @property
    def repo_digests(self) -> list[str]:
        """Its names in registries: ``debian@sha256:…`` (Docker's RepoDigests)."""
        return [short_name(name) for name in store.names().get(self.id, []) if "@" in name]

    @property
    def size(self) -> int:
        """The size of all files of all layers, in bytes."""
        return sum(store.layer_record(digest)["size"] for digest in self.digests)

    @property
    def created(self) -> float:
        """When it was created, in seconds since 1970: from its configuration, else when it was stored."""
        from minict.engine.util.timestamps import SECOND, moment_of

        said = self.document.get("created")
        return moment_of(said, self.name) / SECOND if said else os.stat(store.config_file(self.id)).st_mtime

    @property
    def platform(self) -> str:
        """Its platform: ``linux/amd64``."""
        from minict.engine.distribution.manifest import platform_name

        return platform_name(self.document)

    @property
    def manifest(self) -> Manifest | None:
        """The :class:`minict.engine.distribution.manifest.Manifest` with which it was pulled; None for an image
        made here."""
        from minict.engine.distribution.manifest import parse_manifest

        try:
            with open(store.manifest_file(self.id), "rb") as file:
                return parse_manifest(file.read(), f"the manifest of {self.name}")
        except FileNotFoundError:
            return None

    @property
    def history(self) -> list[dict[str, Any]]:
        """Its history, step by step, as in the standard (``created_by``, ``empty_layer`` …), and the ``size`` of
        each step's layer in bytes. Layers without an entry are the lowest ones."""
        digests = iter(self.digests)
        steps = self.document.get("history") or []
        steps = [{}] * (len(self.digests) - sum(not step.get("empty_layer") for step in steps)) + steps
        layers = ("" if step.get("empty_layer") else next(digests, "") for step in steps)
        return [
            {**step, "size": store.layer_record(digest)["size"] if digest else 0} for step, digest in zip(steps, layers)
        ]


def _removed(id: str) -> ContainerError:
    return ContainerError(f"the image {id[:12]} has been removed: pull or build it again")


def _no_image(name: str, many: bool = False) -> ContainerError:
    remedy = (
        "several ids begin with it"
        if many
        else "'minict pull' gets one, and 'minict images' lists those that are there"
    )
    return ContainerError(f"no such image: {name}; {remedy}", errno=None if many else errno.ENOENT)


# ---- what the commands do ------------------------------------------------------------------------------------------


def images() -> list[Image]:
    """All images, by name; those without names at the end."""
    names = store.names()
    return [Image.load(id) for id in sorted(store.ids(), key=lambda id: (id not in names, names.get(id), id))]


def tag(name: str, new: str) -> None:
    """Give the image *name* another name *new*; an image that had it loses it. Raises :class:`ContainerError`."""
    full = full_name(new)
    if "@" in full:
        raise ContainerError(f"{new!r} is a digest: use a name with a tag, as in my-app:1.0")
    with store.Locked():
        id = Image.find(name).id
        store.write_name(full, id)
    events.emit("image", "tag", f"sha256:{id}", {"name": short_name(full)})


def remove(name: str, force: bool = False) -> list[str]:
    """Remove a name, and with the last name the image; return Docker's messages.

    By its id, an image is removed with its name; with several names, that needs *force*.  An image that a container
    uses is kept; with *force* it loses its names, unless the container runs. Raises :class:`ContainerError` if there is
    no such image, or it can't be removed.  Source: docker image rm.
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
                "remove the container first"
            )
        done = _untag(image.id, all_names)
        if users:
            return done
        for path in (store.config_file(image.id), store.manifest_file(image.id)):
            if os.path.exists(path):
                os.unlink(path)
        doomed = store.set_aside_layers(image.digests)
    store.delete(doomed)
    events.emit("image", "delete", f"sha256:{image.id}", {"name": f"sha256:{image.id}"})
    return [*done, f"Deleted: sha256:{image.id}", *(f"Deleted: sha256:{digest}" for digest in doomed.values())]


def _untag(id: str, full_names: list[str]) -> list[str]:
    for full in full_names:
        os.unlink(store.name_file(full))
        events.emit("image", "untag", f"sha256:{id}", {"name": short_name(full)})
    return [f"Untagged: {short_name(full)}" for full in full_names]


def _digests_of_lost_repositories(all_names: list[str], gone: str) -> list[str]:
    """The names with a digest in the repository of *gone*, if it has no other tag."""
    left = {split(each)[0] for each in all_names if "@" not in each and each != gone}
    return [
        each for each in all_names if "@" in each and split(each)[0] not in left and split(each)[0] == split(gone)[0]
    ]


def used_by(image: Image) -> list[tuple[str, bool]]:
    """The containers that use the image's layers: their ids, and whether they run or are starting."""
    found = []
    for id in names_in(f"{paths.data_root()}/containers"):
        record = _read(f"{paths.container_data(id)}/container.json")
        if record.get("image") == image.id:
            found.append((id, os.path.isdir(paths.container_state(id))))
    return found


def _read(path: str) -> dict[str, Any]:
    try:
        return jsonfile.read(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
