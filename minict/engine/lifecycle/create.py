"""minict.engine.lifecycle.create"""

from __future__ import annotations

import os

from minict.engine.containers import names, policies
from minict.engine.containers.options import ContainerOptions
from minict.engine.containers.store import Record, now
from minict.engine.images.image import Image
from minict.engine.volumes import mounts
from minict.runtime.errors import ContainerError
from minict.runtime.state import begin_time

from .bundle import prepare


def create(
    image_name: str, args: list[str], settings: ContainerOptions, *, found: Image | None = None, starting: bool = False
) -> Record:
    """Make a container, up to the point where nothing of it runs yet.

    *found*: what :func:`find_image` has found.  With *starting* the caller goes on to :func:`minict.engine.lifecycle.task.begin` at once, and the
    record stays locked until it unlocks it: should the caller be killed before, a container that removes itself does
    not stay.  Raises :class:`ContainerError`; then nothing is left.
    """
    image = found or find_image(image_name, settings)
    settings = settings.resolved()  # it may be started again by somebody with other variables, in another directory
    if settings.name is not None:
        settings.name = settings.name.removeprefix("/")  # as inspect shows it
        names.check(settings.name)
    record = Record(
        names.new_id(),
        name=settings.name,
        image=image.id,
        image_name=image_name,
        created=now(),
        args=list(args),
        settings=settings.to_dict(),
        mounts=mounts.plan(settings, image),
    )
    prepared = prepare(record, image)  # all that can be wrong with it is found before anything is taken
    record.make()
    try:
        if settings.name:
            from . import recovery  # loaded only when a name is asked for

            names.take(settings.name, record.id, recovery.prune_container)
        else:
            record.name = names.make_up(record.id)
        for name in ("upper", "work", "root"):
            os.mkdir(f"{record.data}/{name}")
            os.chmod(f"{record.data}/{name}", 0o755)  # whatever the umask
        if starting:
            record.prepared = prepared
            record.write_last_run(started=now(), monitor=[os.getpid(), begin_time(os.getpid())])
        record.save()
        Image.load(image.id)  # as from now on nobody removes it, it is enough to look once
        mounts.prepare(record.mounts, image, record.id)  # now that the record names them, nobody removes them
        if settings.cidfile is not None:
            write_id(settings.cidfile, record.id)
    except BaseException:
        record.remove()
        mounts.release(record.mounts, record.id)
        raise
    if not starting:
        record.unlock()
    return record


def find_image(name: str, settings: ContainerOptions, quiet: bool = False) -> Image:
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
