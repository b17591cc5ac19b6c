"""What the runtime gets for a container: its OCI spec, its network sandbox, and its files in /etc."""

from __future__ import annotations

from minict.engine.containers.store import Record
from minict.engine.images import overlay
from minict.engine.images.image import Image
from minict.engine.networks import sandbox
from minict.engine.spec import namespaces
from minict.engine.spec.spec import specify
from minict.runtime import spec


def prepare(record: Record, image: Image) -> tuple[spec.Spec, sandbox.Sandbox]:
    """Build the spec and the network sandbox of a container; every invalid option is found here. Raises
    :class:`ContainerError`.
    """
    settings = record.settings_object()
    network_sandbox = sandbox.Sandbox(
        settings,
        record.id,
        namespaces.host_name(settings, record.id),
        list(image.config.get("ExposedPorts") or []),
        record.name,
        namespaces.domain_name(settings),
    )
    root = overlay.root(image, record.data, once=record.removes_itself)
    config = specify(settings, record.id, image, record.args, f"{record.data}/root", root, etc_files(record))
    config.linux.namespaces += network_sandbox.namespaces()
    return config, network_sandbox


def etc_files(record: Record) -> list[spec.Mount]:
    """The mounts for the files in /etc that the engine writes: hosts, hostname, resolv.conf.

    The container may write to them unless its root is read-only, as in Docker. So they are on the disk with its other
    files, and not in MINICT_RUN, which is memory that the whole machine shares.
    """
    options = ["bind", "nosuid", "nodev", "noexec", *["ro"] * bool(record.settings.get("read_only"))]
    return [
        spec.Mount(destination=f"/etc/{name}", type="bind", source=f"{record.data}/{name}", options=options)
        for name in ("hosts", "hostname", "resolv.conf")
    ]
