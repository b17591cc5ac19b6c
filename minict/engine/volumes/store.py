"""Named volumes: directories that outlive containers.

Below ``MINICT_ROOT/volumes``, which only root may enter:

====================  =======================================================================================
``NAME/volume.json``  ``created`` (seconds since 1970), ``labels``, ``options``, and ``anonymous``
``NAME/_data``        the content, which containers see
``NAME/filled``       the image's content on its way into an empty volume: see :mod:`.populate`
``.X``                a volume that is being created or removed
====================  =======================================================================================

A volume appears and disappears by one rename, so no process ever finds half of one.  The directory ``volumes`` itself
is the lock (flock(2)) for these changes.

How containers use volumes: :mod:`.mounts`.
"""

from __future__ import annotations

import errno
import os
import time

from minict.engine.util import events
from minict.runtime import jsonfile, locks, paths
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in, remove_tree

TYPE_CHECKING = False  # true for type checkers only: at run time this import would cost start-up time
if TYPE_CHECKING:
    from typing import Any

# ---- the store -----------------------------------------------------------------------------------------------------


class Volume:
    """One volume: ``name``, ``created`` (seconds since 1970), ``labels``, ``options``, ``anonymous``, and
    ``mountpoint``, the directory of the host with its content."""

    def __init__(self, name: str, document: dict):
        self.name = name
        self.created, self.labels = document["created"], document["labels"]
        self.options, self.anonymous = document["options"], document["anonymous"]

    def __repr__(self):
        return f"<Volume {self.name}>"

    def _repr_html_(self) -> str:
        from minict.engine.util import table

        return table.html_object(
            {
                "created": table.ago(self.created),
                "place": self.source,
                "labels": self.labels or "",
                "without a name": "yes" if self.anonymous else "no",
            },
            f"volume {self.name}",
        )

    @classmethod
    def find(cls, name: str) -> Volume:
        """The volume *name*. Raises :class:`ContainerError` if there is none."""
        from . import options as volume_options

        volume_options.check_name(name)
        path = f"{directory()}/{name}/volume.json"
        try:
            return cls(name, jsonfile.read(path))
        except (FileNotFoundError, NotADirectoryError):
            raise ContainerError(
                f"no such volume: {name}; 'minict volume ls' lists all volumes", errno=errno.ENOENT
            ) from None
        except (ValueError, KeyError, TypeError):
            raise ContainerError(
                f"{path} is damaged: write it again like that of another volume; the content in _data is unaffected"
            ) from None

    @property
    def directory(self) -> str:
        return f"{directory()}/{self.name}"

    @property
    def mountpoint(self) -> str:
        return f"{self.directory}/_data"

    @property
    def file_system(self) -> str:
        """The file system type of the volume; empty for a directory of the host."""
        kind = self.options.get("type", "none") if self.options else "none"
        return "" if kind in ("none", "bind") or _binds(self.options) else kind

    @property
    def source(self) -> str:
        """The source of a container's mount: the content, or the path that the volume stands for."""
        if not self.options or self.file_system:
            return self.mountpoint
        if not os.path.exists(self.options["device"]):
            raise ContainerError(
                f"the volume {self.name} stands for {self.options['device']}, which does not exist: create it"
            )
        return self.options["device"]

    def users(self) -> list[str]:
        """The ids of the containers that use it, running or not."""
        from minict.engine.containers.store import records

        return [record.id for record in records() if self.name in {mount.get("name") for mount in record.mounts or []}]

    def inspect(self) -> dict[str, Any]:
        """The fields of ``volume inspect``, with Docker's names."""
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.created))
        labels = {**self.labels, "com.docker.volume.anonymous": ""} if self.anonymous else self.labels
        return {
            "CreatedAt": created,
            "Driver": "local",
            "Labels": labels or None,
            "Mountpoint": self.mountpoint,
            "Name": self.name,
            "Options": self.options or None,
            "Scope": "local",
        }


def volumes() -> list[Volume]:
    """All volumes, by name."""
    found = []
    for name in sorted(names_in(directory())):
        if not name.startswith("."):
            try:
                found.append(Volume.find(name))
            except ContainerError:
                pass  # just removed
    return found


def create(
    name: str | None = None, *, labels: dict | None = None, options: dict | None = None, anonymous: bool = False
) -> Volume:
    """The volume *name*, created if it does not exist; without a name, a new anonymous volume.

    *options* are Docker's for the driver ``local``: none; or ``o=bind`` and ``device=PATH``, and the volume stands for
    that path; or ``type=``, ``device=`` and ``o=`` of a file system: see :mod:`.filesystems`.  Raises
    :class:`ContainerError`, also if the volume exists with other options.
    """
    from . import options as volume_options

    anonymous = anonymous or not name
    name = volume_options.check_name(name) if name else os.urandom(32).hex()
    options = _check_options(options or {}, name)
    with Locked():
        if os.path.isdir(f"{directory()}/{name}"):
            volume = Volume.find(name)
            if options and volume.options != options:
                raise ContainerError(f"the volume {name} exists with other options: remove it, or choose another name")
            return volume
        unborn = f"{directory()}/.{os.urandom(6).hex()}"
        os.makedirs(f"{unborn}/_data")
        os.chmod(f"{unborn}/_data", 0o755)  # whatever the umask
        jsonfile.write(
            f"{unborn}/volume.json",
            {"created": time.time(), "labels": labels or {}, "options": options, "anonymous": anonymous},
        )
        os.rename(unborn, f"{directory()}/{name}")
    events.emit("volume", "create", name, {"driver": "local"})
    return Volume.find(name)


def _binds(options: dict) -> bool:
    return bool({"bind", "rbind"} & set(options.get("o", "").split(",")))


def _check_options(options: dict, name: str) -> dict:
    if not options:
        return {}
    kind, device = options.get("type", "none"), options.get("device", "")
    unknown = sorted(set(options) - {"type", "o", "device"})
    if unknown:
        raise ContainerError(
            f"the volume {name}: the local driver has no option {unknown[0]!r}: use type, o and device"
        )
    if kind not in ("none", "bind") and not _binds(options):
        if not device and kind != "tmpfs":
            raise ContainerError(f"the volume {name}: type={kind} needs device=, and often o=")
        if not kind.isascii() or not kind.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise ContainerError(f"the volume {name}: invalid file system type {kind!r}: use one such as tmpfs or nfs")
        return options
    if not _binds(options):
        raise ContainerError(f"the volume {name}: type=none needs o=bind, for a directory of the host")
    if not os.path.isabs(device) or not os.path.isdir(device):
        raise ContainerError(f"the volume {name}: device={device} is not a directory of the host: use an absolute path")
    return options


def remove(name: str, but: str | None = None) -> None:
    """Remove the volume *name* with its content.

    Raises :class:`ContainerError` if it does not exist, or a container uses it, running or not (except *but*, which is
    being removed).
    """
    with Locked():
        volume = Volume.find(name)
        users = [id for id in volume.users() if id != but]
        if users:
            raise ContainerError(
                f"the volume {name} is used by the container {', '.join(id[:12] for id in users)}: remove it first"
            )
        doomed = f"{directory()}/.{os.urandom(6).hex()}"
        os.rename(volume.directory, doomed)
    remove_tree(doomed)
    events.emit("volume", "destroy", name, {"driver": "local"})


def prune(all: bool = False, wanted=lambda volume: True) -> list[Volume]:
    """Remove unused anonymous volumes, with *all* also named ones; return them. *wanted* decides for each."""
    sweep()
    removed = []
    for volume in volumes():
        if (all or volume.anonymous) and wanted(volume):
            try:
                remove(volume.name)
                removed.append(volume)
            except ContainerError:
                pass  # a container has it
    return removed


def sweep() -> list[str]:
    """Remove what killed processes have left of volumes that were being created or removed; return the temporary
    names."""
    if not os.path.isdir(directory()):
        return []
    with Locked():  # a process that makes one holds the lock
        rubbish = [name for name in os.listdir(directory()) if name.startswith(".")]
    for name in rubbish:
        remove_tree(f"{directory()}/{name}")
    return rubbish


def directory() -> str:
    """The directory of all volumes."""
    return f"{paths.data_root()}/volumes"


class Locked(locks.Held):
    """The lock on the directory of all volumes, for the moment in which one comes or goes."""

    def __init__(self) -> None:
        super().__init__(directory())

    def __enter__(self) -> Locked:
        os.makedirs(directory(), exist_ok=True)
        os.chmod(directory(), 0o700)  # it may contain set-user-ID programs and devices of unknown origin
        super().__enter__()
        return self
