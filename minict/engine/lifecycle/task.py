"""One container from an image: made, born, ended.

Read :func:`create`, :func:`begin` and :func:`end`, in this order.  What a life takes from the host is written into its
ledger before it is taken, and given back by :func:`end`; or, when the process that looked after the container was
killed, by :func:`settle`, which whoever comes next calls: ``start``, ``rm``, ``prune``.
"""

from __future__ import annotations

import os

from minict.engine.containers import names, policies
from minict.engine.containers.options import Settings
from minict.engine.containers.store import Record, now
from minict.engine.images import overlay
from minict.engine.images.image import Image
from minict.engine.networks import sandbox
from minict.engine.spec import namespaces, seccomp
from minict.engine.spec.spec import specify
from minict.engine.volumes import store
from minict.runtime import spec
from minict.runtime.container import UNDO as RUNTIME_UNDO
from minict.runtime.container import Container
from minict.runtime.errors import OUR_ERROR, ContainerError
from minict.runtime.state import begin_time

# How each kind of thing in a ledger is given back; "attached" only says that the container must not outlive its
# monitor.
UNDO = {**RUNTIME_UNDO, **sandbox.UNDO, **namespaces.UNDO, "attached": lambda pid: None}


def create(
    image_name: str, args: list[str], settings: Settings, *, found: Image | None = None, starting: bool = False
) -> Record:
    """Make a container, up to the point where nothing of it runs yet.

    *found*: what :func:`find_image` has found.  With *starting* the caller goes on to :func:`begin` at once, and the
    record stays locked until it unlocks it: should the caller be killed before, a container that removes itself does
    not stay.  Raises :class:`ContainerError`; then nothing is left.
    """
    image = found or find_image(image_name, settings)
    settings = settings.resolved()  # it may be started again by somebody with other variables, in another directory
    if settings.name is not None:
        names.check(settings.name)
    record = Record(
        names.new_id(),
        name=settings.name,
        image=image.id,
        image_name=image_name,
        created=now(),
        args=list(args),
        settings=settings.to_dict(),
        mounts=store.plan(settings, image),
    )
    wished = wish(record, image)  # all that can be wrong with it is found before anything is taken
    record.make()
    try:
        if settings.name:
            names.take(settings.name, record.id)
        else:
            record.name = names.make_up(record.id)
        for name in ("upper", "work", "root"):
            os.mkdir(f"{record.data}/{name}", 0o755)
        if starting:
            record.wished = wished
            record.write_life(started=now(), monitor=[os.getpid(), begin_time(os.getpid())])
        record.save()
        Image.load(image.id)  # as from now on nobody removes it, it is enough to look once
        store.prepare(record.mounts, image, record.id)  # now that the record names them, nobody removes them
        if settings.cidfile is not None:
            write_id(settings.cidfile, record.id)
    except BaseException:
        record.remove()
        store.release(record.mounts, record.id)
        raise
    if not starting:
        record.unlock()
    return record


def find_image(name: str, settings: Settings, quiet: bool = False) -> Image:
    """The image of a new container, fetched from its registry as ``--pull`` and ``--platform`` say, *quiet* without a
    word.

    Raises :class:`ContainerError`, also when the one that is here is for another platform.
    """
    platform, wanted = settings.platform, policies.pull(settings)
    if platform is None and wanted == "missing":
        try:
            return Image.find(name)  # most often: then nothing about registries is loaded
        except ContainerError:
            pass
    from minict.engine.distribution import manifest
    from minict.engine.images import pull

    if platform is not None and manifest.parse_platform(platform)["os"] != "linux":
        raise ContainerError(
            f"--platform {platform}: only images for Linux run here, such as linux/{manifest.architecture()}"
        )
    image = pull.ensure(name, wanted, platform=platform, quiet=quiet)
    if platform is not None and not manifest.fits(image.document, manifest.parse_platform(platform)):
        raise ContainerError(
            f"--platform {platform}: the image {name} that is here is for {image.platform}: fetch the other one with "
            "--pull missing"
        )
    return image


def write_id(path: str, id: str) -> None:
    """``--cidfile``: write the container's *id* into the new file *path*.  Raises :class:`ContainerError`."""
    try:
        with open(path, "x") as file:
            file.write(id)
    except FileExistsError:
        raise ContainerError(
            f"--cidfile {path}: there is such a file already: remove it, or choose another name"
        ) from None
    except OSError as error:
        raise ContainerError(f"--cidfile {path}: {error.strerror}", errno=error.errno) from None


def wish(record: Record, image: Image) -> tuple[spec.Spec, sandbox.Wiring]:
    """What the runtime is to make of the container, and how it is connected.  Raises :class:`ContainerError`."""
    settings = record.settings_object()
    wires = sandbox.Wiring(
        settings,
        record.id,
        namespaces.host_name(settings, record.id),
        list(image.config.get("ExposedPorts") or []),
        record.name,
        namespaces.domain_name(settings),
    )
    root = overlay.root(image, record.data, once=record.removes_itself)
    wished = specify(settings, record.id, image, record.args, f"{record.data}/root", root, etc_files(record))
    wished.linux.namespaces += wires.namespaces()
    return wished, wires


def begin(
    record: Record,
    *,
    streams: tuple = (0, 1, 2),
    console: int = -1,
    size: tuple[int, int] | None = None,
    trace: bool = False,
) -> Container:
    """Begin a life of the container: execute its command, and return as soon as it runs.

    The calling process looks after it from then on: it is the parent of the container's first process, and when it
    ends, so does the container.  *streams* and *console*: see :meth:`minict.runtime.container.Container._bear`.
    *size*: rows and columns of its terminal.
    Raises :class:`ContainerError`; then the life has ended before it began, as if the command had failed.
    """
    try:
        return _begin(record, streams, console, size, trace)
    except BaseException as error:
        record.write_life(finished=now(), exit_code=getattr(error, "status", OUR_ERROR), error=str(error))
        raise


def _begin(record: Record, streams: tuple, console: int, size, trace: bool) -> Container:
    settings = record.settings_object()
    image = Image.load(record.image, record.image_name)
    wished, wires = record.wished or wish(record, image)
    record.wished = None  # the next life may find another host
    overlay.prepare(image, record.data)
    store.prepare([mount for mount in record.mounts if store.is_missing(mount)], image, record.id)
    if size:
        wished.process.consoleSize = spec.Box(height=size[0], width=size[1])
    wished.mounts = store.arranged(wished.mounts, store.spec_mounts(record.mounts))
    wished.linux.rootfsPropagation = store.root_propagation(record.mounts)
    container = Container(record.id, UNDO)
    container.state.make()
    try:
        container.state.record([("attached", os.getpid()), *wires.ledger()])
        record.write_life(
            started=now(),
            finished=None,
            exit_code=None,
            oom_killed=False,
            error="",
            restarting=False,
            monitor=[os.getpid(), begin_time(os.getpid())],
        )
        wires.reserve()
        set_variables(wished.process, wires.variables())
        namespaces.reserve(container.state, settings, wished)
        for name, text in {"hostname": wires.hostname + "\n", **wires.files()}.items():
            write_etc(record, name, text)
        container.run(
            wished,
            streams=streams,
            console=console,
            init=settings.init,
            die_with_parent=True,
            trace=trace,
            seccomp_filter=seccomp.program(settings, wished),
            prepare=wires.connect if wires.waits else None,
        )
        return container
    except BaseException:
        container.delete(force=True)
        raise


def set_variables(process: spec.Process, given: list[str]) -> None:
    """Add variables to the environment of *process*, but those that it has."""
    there = {word.partition("=")[0] for word in process.env}
    process.env = [*process.env, *(word for word in given if word.partition("=")[0] not in there)]


def end(record: Record, container: Container, status: int, restarting: bool = False) -> None:
    """The container's first process has ended with *status*: write that down, and give back what its life held.

    *restarting*: another life follows.  A container that was made with ``--rm`` goes.
    """
    memory = container.cgroup.stats("memory").get("memory") or {}
    try:
        record.write_life(
            finished=now(), exit_code=status, oom_killed=bool(memory.get("oom_kills")), restarting=restarting
        )
    except OSError:
        pass  # a full disk: then its end has no date and no cause, but all the same everything is given back
    container.delete(force=True)
    if record.removes_itself and not restarting:
        forget(record)


def forget(record: Record, with_volumes: bool = True) -> None:
    """Remove a container whose life has ended, unless somebody else just has; and its anonymous volumes, if so
    wished."""
    if record.locked or record.lock():
        mounts = record.mounts if with_volumes else []
        record.remove()
        store.release(mounts, record.id)


def settle(record: Record) -> bool:
    """Put in order what is left of a life whose monitor was killed; whether there was such a life.

    A monitor that lives holds the life's lock, and is left alone.
    """
    container = Container(record.id, UNDO)
    if not container.state.lock():
        return False
    if container.pid is not None and not any(kind == "attached" for kind, _ in container.state.ledger()):
        container.state.unlock()  # it is the OCI runtime's: nobody need look after it
        return False
    if record.life.get("started") and not record.life.get("finished"):
        record.write_life(
            finished=now(), exit_code=137, error="the process that looked after it was killed", restarting=False
        )
    container.delete(force=True)
    return True


def etc_files(record: Record) -> list[spec.Mount]:
    """The files that the engine writes and the container sees in its /etc: they are not the image's to know.

    The container may write to them, unless its root is read-only, as in Docker.  So they lie with its other files on
    the disk, and not in MINICT_RUN, which is memory that the whole machine shares.
    """
    options = ["bind", "nosuid", "nodev", "noexec", *["ro"] * bool(record.settings.get("read_only"))]
    return [
        spec.Mount(destination=f"/etc/{name}", type="bind", source=f"{record.data}/{name}", options=options)
        for name in ("hosts", "hostname", "resolv.conf")
    ]


def write_etc(record: Record, name: str, text: str) -> None:
    """Write one of them anew: what the last life has left may be open in another container."""
    path = f"{record.data}/{name}"
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)
