"""``system df``: the disk space that images, containers, volumes and the build cache take."""

from __future__ import annotations

from minict.engine.util import table
from minict.engine.util.diskusage import usage

# ---- system df ---------------------------------------------------------------------------------------------------


class Part:
    """One kind of object on the disk: a row for each, and their size and use together.

    ``size`` is the space that all of them take: images share layers, so it is less than the sum of their sizes.
    """

    def __init__(self, name: str, rows: list[dict], columns: dict[str, str], size: int, active: int, free: int):
        self.name, self.rows, self.columns = name, rows, columns
        self.size, self.active, self.free = size, active, free

    @property
    def summary(self) -> dict:
        share = f" ({100 * self.free // self.size}%)" if self.size else ""
        return {
            "Type": self.name,
            "TotalCount": str(len(self.rows)),
            "Active": str(self.active),
            "Size": table.size(self.size),
            "Reclaimable": table.size(self.free) + share,
        }


SUMMARY = {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}


def parts() -> list[Part]:
    """The kinds of objects that take disk space: images, containers, volumes, and the build cache."""
    from minict.engine.containers.store import records

    containers = records()
    images, cache = _images(containers)
    return [images, _containers(containers), _volumes(containers), cache]


def _images(containers: list) -> list[Part]:
    """The images, and those that are only steps of builds: the build cache."""
    from minict.engine.images import buildcache
    from minict.engine.images.image import images

    found, remembered = images(), buildcache.images()
    users = {image.id: sum(record.image == image.id for record in containers) for image in found}
    steps = [image for image in found if image.id in remembered and not image.names and not users[image.id]]
    kept = [image for image in found if image not in steps]
    owners: dict[str, list] = {}
    for image in found:
        for digest in set(image.digests):
            owners.setdefault(digest, []).append(image)
    layers = {digest: _layer(digest) for digest in owners}
    # with the compressed copy for push
    taken = {digest: layer["size"] + layer.get("blob_size", 0) for digest, layer in layers.items()}
    rows = []
    for image in kept:
        whole = sum(layers[digest]["size"] for digest in set(image.digests))
        own = sum(layers[digest]["size"] for digest in set(image.digests) if len(owners[digest]) == 1)
        rows.append(
            {
                "Image": (image.names or ["<none>"])[0],
                "ID": image.id[:12],
                "Created": table.ago(image.created),
                "Size": table.size(whole),
                "SharedSize": table.size(whole - own),
                "UniqueSize": table.size(own),
                "Containers": str(users[image.id]),
            }
        )
    columns = {
        "Image": "IMAGE",
        "ID": "IMAGE ID",
        "Created": "CREATED",
        "Size": "SIZE",
        "SharedSize": "SHARED SIZE",
        "UniqueSize": "UNIQUE SIZE",
        "Containers": "CONTAINERS",
    }
    of_images = [digest for digest in owners if any(image in kept for image in owners[digest])]
    free = sum(taken[digest] for digest in of_images if not any(users[image.id] for image in owners[digest]))
    active = sum(bool(users[image.id]) for image in kept)
    of_steps = sum(taken[digest] for digest in owners if digest not in of_images)
    return [
        Part("Images", rows, columns, sum(taken[digest] for digest in of_images), active, free),
        Part(
            "Build Cache",
            [{"ID": step.id[:12], "Created": table.ago(step.created)} for step in steps],
            {"ID": "IMAGE ID", "Created": "CREATED"},
            of_steps,
            0,
            of_steps,
        ),
    ]


def _layer(digest: str) -> dict:
    """The store's record of a layer; empty for one that is being removed."""
    from minict.engine.images.store import layer_record

    try:
        return layer_record(digest)
    except FileNotFoundError:
        return {"size": 0}


def _containers(containers: list) -> Part:
    from minict.engine.containers.store import ACTIVE
    from minict.engine.lifecycle.listing import row

    rows, size, free = [], 0, 0
    for record in containers:
        written = usage(f"{record.data}/upper")
        size += written
        free += written * (record.status not in ACTIVE)
        rows.append({**row(record), "Size": table.size(written)})
    columns = {
        "ID": "CONTAINER ID",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "LocalVolumes": "LOCAL VOLUMES",
        "Size": "SIZE",
        "RunningFor": "CREATED",
        "Status": "STATUS",
        "Names": "NAMES",
    }
    return Part("Containers", rows, columns, size, sum(record.status in ACTIVE for record in containers), free)


def _volumes(containers: list) -> Part:
    from minict.engine.volumes.store import volumes

    links: dict[str, int] = {}
    for record in containers:
        for name in {mount.get("name") for mount in record.mounts or []}:
            links[name] = links.get(name, 0) + 1
    rows, size, free = [], 0, 0
    for volume in volumes():
        bytes = 0 if volume.options else usage(volume.mountpoint)  # a bind to a host directory does not count
        size += bytes
        free += bytes * (volume.name not in links)
        rows.append({"Name": volume.name, "Links": str(links.get(volume.name, 0)), "Size": table.size(bytes)})
    columns = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
    return Part("Local Volumes", rows, columns, size, sum(row["Links"] != "0" for row in rows), free)


# ---- prune -------------------------------------------------------------------------------------------------------


def total() -> int:
    """The bytes of images, containers, volumes and build cache together."""
    return sum(part.size for part in parts())
