"""The mounts of a container: planned at creation, made at start, released with the container.

Most containers have none: then the other modules of volumes are not loaded.
"""

from __future__ import annotations

import os

from minict.runtime import spec
from minict.runtime.errors import ContainerError
from minict.runtime.mounts import SUBPATH

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any


def plan(settings, image) -> list[dict]:
    """The mounts of a container with these *settings* of this *image*, in the form of
    :mod:`minict.engine.volumes.options`.

    Nothing is created.  Raises :class:`ContainerError`.
    """
    if not any([settings.volumes_from, settings.volume, settings.mount, settings.tmpfs, image.config.get("Volumes")]):
        return []
    from . import options as volume_options

    found: dict[str, dict[str, Any]] = {}
    for text in settings.volumes_from:
        found.update((mount["destination"], mount) for mount in volume_options.volumes_from(text))
    own = {}
    for option, read in (
        ("volume", volume_options.volume),
        ("mount", volume_options.mount),
        ("tmpfs", volume_options.tmpfs),
    ):
        for mount in map(read, getattr(settings, option)):
            if mount["destination"] in own:
                raise ContainerError(
                    f"two mounts have the destination {mount['destination']}: leave out one of the two"
                )
            own[mount["destination"]] = mount
    found.update(own)
    for path in image.config.get("Volumes") or {}:
        place = volume_options.destination(path, f"the image {image.name} wants a volume")
        found.setdefault(place, {"type": "volume", "destination": place, "anonymous": True, "copy": True})
    for mount in found.values():
        if mount.get("anonymous"):
            mount.setdefault("name", os.urandom(32).hex())
        if mount["type"] == "bind":
            _check_source(mount)
    return [found[place] for place in in_order(list(found))]


def prepare(mounts: list[dict], image, id: str) -> None:
    """Create what the *mounts* of the container *id* need and the host lacks: volumes, and directories for ``-v``.

    An empty volume gets the *image*'s content at its destination.  Raises :class:`ContainerError`.
    """
    for mount in mounts:
        if mount["type"] == "bind":
            _make_source(mount)
        elif mount["type"] == "volume":
            from . import store

            volume = store.create(
                mount["name"],
                labels=mount.get("labels"),
                options=mount.get("driver_opts"),
                anonymous=mount.get("anonymous", False),
            )
            if mount.get("copy") and not volume.options:
                from . import populate

                populate.fill(volume, image, mount["destination"])


def is_missing(mount: dict) -> bool:
    """Whether a volume of a container is missing: the creating process was killed before it created the volume."""
    if mount["type"] != "volume":
        return False
    from . import store

    return not os.path.isdir(f"{store.directory()}/{mount['name']}")


def spec_mounts(mounts: list[dict]) -> list[spec.Mount]:
    """The *mounts* as OCI mounts; called at each start, because the host may have changed.

    Raises :class:`ContainerError` for something that no longer exists.
    """
    return [_spec_mount(mount) for mount in mounts]


def arranged(standard: list[spec.Mount], own: list[spec.Mount]) -> list[spec.Mount]:
    """All mounts of a container in order: its root, and nested mounts after the outer ones.

    Where the user mounts something of their *own*, the *standard* mount is left out; a user's /dev is taken unchanged.
    Source: moby, daemon/oci_linux.go, withMounts.
    """
    places = {mount.destination for mount in own}
    kept = [
        mount
        for mount in standard
        if mount.destination not in places and not ("/dev" in places and mount.destination.startswith("/dev/"))
    ]
    every = [*kept, *own]
    rank = {place: number for number, place in enumerate(in_order([mount.destination for mount in every]))}
    return sorted(every, key=lambda mount: rank[mount.destination])


def in_order(destinations: list[str]) -> list[str]:
    """The *destinations* of mounts, in an order in which no mount covers another: the outer ones first.

    Source: moby, daemon/volumes_unix.go, sortMounts.
    """
    return sorted(destinations, key=lambda place: len(place.rstrip("/").split("/")))


def root_propagation(mounts: list[dict]) -> str | None:
    """The propagation that the root needs, so that mounts shared with the host stay shared."""
    return (
        "shared"
        if any(word in ("shared", "rshared") for mount in mounts for word in mount.get("options", ()))
        else None
    )


def release(mounts: list[dict], id: str) -> None:
    """Remove the anonymous volumes among the *mounts* of the container *id*, unless another container uses them."""
    for mount in mounts:
        if mount.get("anonymous"):
            from . import store

            try:
                store.remove(mount["name"], but=id)
            except ContainerError:
                pass  # used by a container with --volumes-from, or gone


def _spec_mount(mount: dict) -> spec.Mount:
    options = list(mount.get("options", ()))
    if mount["type"] == "tmpfs":
        options += ["ro"] if mount.get("read_only") else []
        return spec.Mount(destination=mount["destination"], type="tmpfs", source="tmpfs", options=options)
    if mount["type"] == "bind":
        source = _make_source(mount)
        _check_propagation(source, options)
    else:
        from . import populate, store

        volume = store.Volume.find(mount["name"])
        populate.finish(volume)
        source = volume.source
        if "subpath" in mount:
            options.append(SUBPATH + mount["subpath"])
    if mount.get("read_only"):
        options += ["ro"] if mount.get("writable_inside") else ["ro", "rro"]
    return spec.Mount(
        destination=mount["destination"],
        type="bind",
        source=source,
        options=["bind" if mount.get("alone") else "rbind", *options],
    )


def _check_source(mount: dict) -> None:
    if not mount.get("create") and not os.path.exists(mount["source"]):
        raise ContainerError(
            f"{mount['source']} does not exist on the host: create it, or use -v, which creates a directory"
        )


def _make_source(mount: dict) -> str:
    """The path of a bind mount on the host; ``-v`` creates a missing directory."""
    _check_source(mount)
    if not os.path.exists(mount["source"]):
        try:
            os.makedirs(mount["source"], exist_ok=True)
        except OSError as error:
            raise ContainerError(
                f"{mount['source']} does not exist on the host and can't be created ({error.strerror}): "
                "choose another path",
                errno=error.errno,
            ) from None
    return os.path.realpath(mount["source"])


def _check_propagation(source: str, words: list[str]) -> None:
    """Check that a mount that shares with the host, or is its slave, is shared there. Source: Docker's reference on
    bind mounts."""
    wanted = next((word for word in words if word.removeprefix("r") in ("shared", "slave")), None)
    if wanted is None:
        return
    fd = os.open(source, os.O_PATH | os.O_CLOEXEC)
    with open(f"/proc/self/fdinfo/{fd}") as file:
        mount_id = next(line.split()[1] for line in file if line.startswith("mnt_id:"))
    os.close(fd)
    with open("/proc/self/mountinfo") as file:
        words = next(line.split(" - ")[0].split() for line in file if line.split(" ", 1)[0] == mount_id)
    kinds = {word.partition(":")[0] for word in words[6:]}
    if not kinds & ({"shared"} if wanted.endswith("shared") else {"shared", "master"}):
        raise ContainerError(
            f"{source} can't be mounted as {wanted}: it is in {words[4]}, which is not a shared mount; "
            f"run  mount --make-shared {words[4]}"
        )


# ---- volumes that are file systems: see filesystems, which few runs need -------------------------------------------


def file_systems(mounts: list[dict], id: str) -> list[tuple[str, str]]:
    """The entries in a ledger for the file systems among the *mounts* of the container *id*."""
    if not any(mount["type"] == "volume" for mount in mounts or ()):
        return []
    from . import filesystems

    return filesystems.ledger(mounts, id)


def mount_file_systems(entries: list[tuple[str, str]]) -> None:
    """Mount them.  Raises :class:`ContainerError`."""
    if entries:
        from . import filesystems

        filesystems.mount(entries)


def _unmount(value: str) -> None:
    from . import filesystems

    filesystems.unmount(value)


UNDO = {"volume": _unmount}
