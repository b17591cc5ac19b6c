"""One container from an image, from the user's wish to its exit status: ``minict run``.

Read :func:`start` first.  What it takes from the host is written into the container's ledger before it is
taken, and :meth:`Container.delete` gives it back: at the container's end, or in ``minict prune`` when nobody was left to do it.
"""
from __future__ import annotations

import os

from minict.runtime import paths, spec
from minict.runtime.container import UNDO as RUNTIME_UNDO
from minict.runtime.container import Container
from minict.runtime.errors import ContainerError

from . import names, network, seccomp
from .image import Image
from .settings import Settings, host_name, specify

# How each kind of thing in a ledger is given back; "attached" only says that the container must not outlive its maker.
UNDO = {**RUNTIME_UNDO, "attached": lambda pid: None, "name": names.release,
        "address": lambda value: network.undo("address", value), "veth": lambda value: network.undo("veth", value)}


def start(image_name: str, args: list[str], settings: Settings, *, streams: tuple = (0, 1, 2), console: int = -1,
          launcher=None, trace: bool = False) -> Container:
    """Make a container and execute its command; return as soon as it runs.

    *streams* and *console*: see :meth:`minict.runtime.container.Container._bear`.
    Raises :class:`ContainerError`; then nothing is left.
    """
    image = Image.find(image_name)
    id = names.new_id()
    if settings.name is not None:
        names.check(settings.name)
    wire = network.find(settings.network)
    # all that can be wrong with the wish itself is found before anything is taken
    container = Container(id, UNDO)
    data = paths.container_data(id)
    wished = specify(settings, id, image, args, f"{data}/root", overlay(image, data), etc_files(container))
    container.state.make()
    try:
        container.state.record(entries(container, settings, wire, data))
        if settings.name:
            names.take(settings.name, id)
        address = wire.reserve(id) if wire else None
        make_directories(data)
        write_etc_files(container, host_name(settings, id), address, own_network=settings.network != "host")
        container.run(wished, streams=streams, console=console, launcher=launcher, init=settings.init,
                      die_with_parent=True, trace=trace,
                      seccomp_filter=seccomp.default_program(wished.process.capabilities.bounding),
                      prepare=(lambda pid: plug_in(wire, id, pid, address)) if wire else None)
        return container
    except BaseException:
        container.delete(force=True)
        raise


def plug_in(wire, id: str, pid: int, address: str) -> None:
    """Connect the network namespace of *pid*; pyroute2 is imported only here, while the child builds its root."""
    wire.ensure_bridge()
    wire.connect(id, pid, address)


def entries(container: Container, settings: Settings, wire, data: str) -> list:
    """The ledger: everything that the engine is going to take for this container."""
    result = [("attached", os.getpid()), ("directory", data)]
    if settings.name:
        result.append(("name", f"{settings.name}/{container.id}"))
    return result + (wire.ledger(container.id) if wire else [])


def overlay(image: Image, data: str) -> spec.Mount:
    """The root file system: the image's layers, read only, below a layer of the container's own (overlayfs).

    ``volatile`` spares the sync to the disk at its end: the upper layer goes with the container.
    """
    layers = ":".join(layer.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,") for layer in image.layers)
    options = [f"lowerdir={layers}", f"upperdir={data}/upper", f"workdir={data}/work", "volatile"]
    return spec.Mount(destination="/", type="overlay", source="overlay", options=options)


def make_directories(data: str) -> None:
    """The directories that an overlay needs, and the one that it is mounted on."""
    os.makedirs(data, 0o710)
    for name in ("upper", "work", "root"):
        os.mkdir(f"{data}/{name}", 0o755)


def etc_files(container: Container) -> list[spec.Mount]:
    """The files that the engine writes and the container sees in its /etc: they are not the image's to know."""
    return [spec.Mount(destination=f"/etc/{name}", type="bind", source=container.state.path(name), options=["bind"])
            for name in ("hosts", "hostname", "resolv.conf")]


def write_etc_files(container: Container, hostname: str, address: str | None, own_network: bool) -> None:
    from . import dns
    for name, text in (("hosts", dns.hosts(hostname, address)), ("hostname", hostname + "\n"),
                       ("resolv.conf", dns.resolv_conf(own_network))):
        with open(container.state.path(name), "w") as file:
            file.write(text)
