"""The changes of a container (``minict diff``), and an image made from them (``minict commit``)."""

from __future__ import annotations

from minict.engine.containers.store import Record
from minict.engine.images import config as image_config
from minict.engine.images import diff, ingest, overlay
from minict.engine.images.image import Image
from minict.engine.spec import spec

from . import inspect, operations

# The fields of an image's configuration that concern containers (config.md of the OCI image-spec, and Docker's
# additions).
_FIELDS = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "OnBuild",
    "Shell",
)
_ETC = ("hosts", "hostname", "resolv.conf")


def mounted(record: Record) -> frozenset[str]:
    """Mount points, and the files and directories that exist only as mount points."""
    places = {destination for destination, _, _ in spec.MOUNTS} | {f"/etc/{name}" for name in _ETC}
    return frozenset(places | {mount["destination"] for mount in record.mounts or []} | {"/proc", "/sys", "/dev"})


def changes(record: Record) -> list[tuple[str, str]]:
    """What the container has added, changed and deleted: ``("A", "/new")``, by name. Raises :class:`ContainerError`."""
    image = Image.load(record.image, record.image_name)
    with overlay.Changes(image, record.data) as upper:
        return diff.changes_now(upper, image.layers, mounted(record))


def commit(
    record: Record,
    name: str | None = None,
    *,
    message: str = "",
    author: str = "",
    change: list[str] = (),
    pause: bool = True,
) -> Image:
    """Make an image from a container: the layers of its image and one with its changes, without volumes.

    *change*: Dockerfile instructions, see :mod:`minict.engine.images.config`. *pause*: freeze the container meanwhile.
    Raises :class:`ContainerError`.
    """
    image = Image.load(record.image, record.image_name)
    config = config_of(record, image)
    image_config.apply(config, change)
    history = {"created_by": " ".join(inspect.command_of(record, image)), "author": author, "comment": message}
    frozen = pause and record.status == "running"
    if frozen:
        operations.pause(record)
    try:
        with overlay.Changes(image, record.data) as upper:
            return ingest.commit(
                image,
                upper,
                config,
                {key: value for key, value in history.items() if value},
                name,
                ignore=mounted(record),
            )
    finally:
        if frozen:
            operations.unpause(record)


def config_of(record: Record, image: Image) -> dict:
    """The configuration of the new image: the container's own on top of its image's."""
    settings = record.settings_object()
    whole = {**image.config, **inspect.config(record, settings, image)}
    if not (settings.stop_signal or image.config.get("StopSignal")):
        whole.pop("StopSignal")
    return {key: whole[key] for key in _FIELDS if whole.get(key)}
