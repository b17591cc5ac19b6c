"""The changes of a container (``minict diff``), and an image made from them (``minict commit``)."""

from __future__ import annotations

import contextlib
import os

from minict.engine.containers.store import Record
from minict.engine.images import config as image_config
from minict.engine.images import diff, ingest, overlay
from minict.engine.images.image import Image
from minict.engine.spec import spec
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError

from . import attach, inspect, operations, protocol

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

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
    if not _has_changed_etc(record):
        places.add("/etc/mtab")  # see create.link_mtab
    return frozenset(places | {mount["destination"] for mount in record.mounts or []} | {"/proc", "/sys", "/dev"})


def _has_changed_etc(record: Record) -> bool:
    """Whether /etc itself has another owner or mode than in the image: it then belongs to the changes, as a whole."""

    def seen(directory: str) -> tuple | None:
        try:
            status = os.lstat(f"{directory}/etc")
            return status.st_mode, status.st_uid, status.st_gid
        except OSError:
            return None

    own = seen(f"{record.data}/upper")
    lower = next(filter(None, map(seen, Image.load(record.image).layers)), None)
    return own is not None and own != lower


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
    change: Sequence[str] = (),
    pause: bool = True,
) -> Image:
    """Make an image from a container: the layers of its image and one with its changes, without volumes.

    *change*: Dockerfile instructions, see :mod:`minict.engine.images.config`. *pause*: freeze the container meanwhile,
    where this machine can. Raises :class:`ContainerError`.
    """
    image = Image.load(record.image, record.image_name)
    config = config_of(record, image)
    image_config.apply(config, list(change))
    history = {"created_by": " ".join(inspect.command_of(record, image)), "author": author, "comment": message}
    can_freeze = record.status == "running" and RuntimeContainer(record.id).cgroup.can_freeze
    frozen = _Frozen(record) if pause and can_freeze else contextlib.nullcontext()
    with frozen, overlay.Changes(image, record.data) as upper:
        made = ingest.commit(
            image,
            upper,
            config,
            {key: value for key, value in history.items() if value},
            name,
            ignore=mounted(record),
        )
    record.event("commit", imageID=f"sha256:{made.id}", imageRef=name or "")
    return made


_PATIENCE = 15.0  # seconds for the monitor to thaw it


class _Frozen:
    """For ``with``: the container of *record* is frozen. Its monitor does that, and thaws it when the connection ends,
    so that a killed ``commit`` leaves nothing frozen.  Raises :class:`ContainerError`."""

    def __init__(self, record: Record):
        self.record = record

    def __enter__(self) -> None:
        try:
            self._channel = attach.open_channel(self.record)
        except ContainerError:  # its monitor is a Python program, which serves no clients
            self._channel = None
            operations.pause(self.record)
            return
        self._channel.send(protocol.FREEZE)
        while (message := self._channel.recv(1 << 17))[:1] != protocol.FROZEN:  # before it, what the container writes
            if not message:
                raise ContainerError(f"the container {self.record.name} has just ended: try again")
        if message[1:]:
            raise ContainerError(message[1:].decode(errors="replace"))

    def __exit__(self, *exception: object) -> None:
        if self._channel:
            self._channel.settimeout(_PATIENCE)
            with contextlib.suppress(OSError), contextlib.closing(self._channel):
                self._channel.shutdown(1)
                while self._channel.recv(1 << 17):  # until the monitor has thawed it, and closes its end
                    pass
        else:
            operations.unpause(self.record)


def config_of(record: Record, image: Image) -> dict:
    """The configuration of the new image: the container's own on top of its image's."""
    settings = record.settings_object()
    whole = {**image.config, **inspect.config(record, settings, image)}
    if not (settings.stop_signal or image.config.get("StopSignal")):
        whole.pop("StopSignal")
    return {key: whole[key] for key in _FIELDS if whole.get(key)}
