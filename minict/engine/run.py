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

from . import names, seccomp, wiring
from .image import Image
from .settings import Settings, host_name, specify

# How each kind of thing in a ledger is given back; "attached" only says that the container must not outlive its maker.
UNDO = {**RUNTIME_UNDO, **wiring.UNDO, "attached": lambda pid: None, "name": names.release}


def start(image_name: str, args: list[str], settings: Settings, *, streams: tuple = (0, 1, 2), console: int = -1,
          launcher=None, trace: bool = False) -> Container:
    """Make a container and execute its command; return as soon as it runs.

    *streams* and *console*: see :meth:`minict.runtime.container.Container._bear`.
    Raises :class:`ContainerError`; then nothing is left.
    """
    image = Image.find(image_name)
    settings = settings.resolved()
    id = names.new_id()
    if settings.name is not None:
        names.check(settings.name)
    # all that can be wrong with the wish itself is found before anything is taken
    container = Container(id, UNDO)
    data = paths.container_data(id)
    wires = wiring.Wiring(settings, id, host_name(settings, id), image.config.get("ExposedPorts") or [])
    wished = specify(settings, id, image, args, f"{data}/root", overlay(image, data), etc_files(container))
    wished.linux.namespaces += wires.namespaces()
    container.state.make()
    try:
        container.state.record(entries(container, settings, wires, data))
        if settings.name:
            names.take(settings.name, id)
        wires.reserve()
        make_directories(data)
        write_etc_files(container, wires)
        container.run(wished, streams=streams, console=console, launcher=launcher, init=settings.init,
                      die_with_parent=True, trace=trace,
                      seccomp_filter=seccomp.program(settings, wished),
                      prepare=wires.connect if wires.waits else None)
        return container
    except BaseException:
        container.delete(force=True)
        raise


def entries(container: Container, settings: Settings, wires: wiring.Wiring, data: str) -> list:
    """The ledger: everything that the engine is going to take for this container."""
    result = [("attached", os.getpid()), ("directory", data)]
    if settings.name:
        result.append(("name", f"{settings.name}/{container.id}"))
    return result + wires.ledger()


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


def write_etc_files(container: Container, wires: wiring.Wiring) -> None:
    for name, text in {"hostname": wires.hostname + "\n", **wires.files()}.items():
        with open(container.state.path(name), "w") as file:
            file.write(text)
