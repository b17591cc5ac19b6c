"""Create a container: everything up to the point where a process starts."""

from __future__ import annotations

import os
import stat

from minict.engine.containers import names, policies
from minict.engine.containers.options import ContainerOptions
from minict.engine.containers.store import Record, now
from minict.engine.images.image import Image
from minict.engine.volumes import mounts
from minict.runtime.errors import ContainerError

from .bundle import prepare


def create(
    image_name: str, args: list[str], settings: ContainerOptions, *, found: Image | None = None, starting: bool = False
) -> Record:
    """Create a container without starting it.

    *found*: the result of :func:`find_image`. With *starting*, the caller continues with :func:`.task.begin` and
    unlocks the record: if the caller is killed before, a container with ``--rm`` does not stay. Raises
    :class:`ContainerError`; then nothing is left.
    """
    image = found or find_image(image_name, settings)
    settings = settings.resolved()  # it may be started again with another environment, in another directory
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
    prepared = prepare(record, image)  # every invalid option is found before anything is taken
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
        link_mtab(image.layers, f"{record.data}/upper")
        if starting:
            record.prepared = (image, *prepared, os.getpid())
            record.start_run()
        record.save()
        image.check_exists()  # from now on the record protects the image
        mounts.prepare(record.mounts, image, record.id)  # the record names the volumes now, which protects them
        if settings.cidfile is not None:
            write_id(settings.cidfile, record.id)
    except BaseException:
        record.remove()
        mounts.release(record.mounts, record.id)
        raise
    record.event("create")
    if not starting:
        record.unlock()
    return record


def link_mtab(layers: list[str], upper: str) -> None:
    """Make /etc/mtab a link to /proc/mounts in the new container's own layer, unless the image has something there.

    Docker does the same, and df and mount of old images read it.  *layers*: the image's, the top one first.  diff and
    commit leave the link out: see :func:`minict.engine.images.diff.changes`.
    """
    above = None  # the uppermost layer that has /etc says how it is
    for layer in layers:
        try:
            status = os.lstat(f"{layer}/etc")
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(status.st_mode) or os.path.lexists(f"{layer}/etc/mtab"):
            return
        above = above or status
    if above:
        os.mkdir(f"{upper}/etc")
        os.symlink("/proc/mounts", f"{upper}/etc/mtab")
        os.chown(f"{upper}/etc", above.st_uid, above.st_gid)
        os.chmod(f"{upper}/etc", stat.S_IMODE(above.st_mode))
        os.utime(f"{upper}/etc", ns=(above.st_atime_ns, above.st_mtime_ns))


def find_image(name: str, settings: ContainerOptions, quiet: bool = False) -> Image:
    """The image of a new container, pulled as ``--pull`` and ``--platform`` say; *quiet* suppresses the progress.

    Raises :class:`ContainerError`, also when the local image is for another platform.
    """
    platform, wanted = settings.platform, policies.pull(settings)
    if platform is None and wanted == "missing":
        try:
            return Image.find(name)  # the usual case: nothing about registries is loaded
        except ContainerError:
            pass
    from minict.engine.distribution import manifest
    from minict.engine.images import pull

    if platform is not None and manifest.parse_platform(platform)["os"] != "linux":
        raise ContainerError(
            f"unsupported --platform {platform}: only Linux images run here, such as linux/{manifest.architecture()}"
        )
    image = pull.ensure(name, wanted, platform=platform, quiet=quiet)
    if platform is not None and not manifest.fits(image.document, manifest.parse_platform(platform)):
        raise ContainerError(
            f"--platform {platform}: the local image {name} is for {image.platform}: pull the other one with "
            "--pull missing"
        )
    return image


def write_id(path: str, id: str) -> None:
    """``--cidfile``: write the *id* of the container into the new file *path*. Raises :class:`ContainerError`."""
    try:
        with open(path, "x") as file:
            file.write(id)
    except FileExistsError:
        raise ContainerError(f"--cidfile {path}: the file already exists: remove it, or choose another name") from None
    except OSError as error:
        raise ContainerError(f"--cidfile {path}: {error.strerror}", errno=error.errno) from None
