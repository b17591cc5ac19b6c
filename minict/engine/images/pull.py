"""Pull an image: index, manifest, configuration and layers, each verified by the digest in the one before."""

from __future__ import annotations

import os

from minict.engine.distribution import manifest as documents
from minict.engine.distribution import reference as imagename
from minict.engine.util import events
from minict.runtime.errors import ContainerError

from . import importer, ingest, store
from .image import DEFAULT, Image

_AT_ONCE = 3  # layers, as in Docker
_DEPTH = 4  # an index may list indexes; honest ones are not nested deeper


def ensure(name: str, policy: str = "missing", *, platform: str | None = None, quiet: bool = False) -> Image:
    """The image *name* for a new container, pulled according to *policy*: ``missing`` (if it is not here, or not for
    *platform*), ``always`` or ``never``.

    Progress is printed to standard error.  Raises :class:`ContainerError`.
    """
    if policy == "always" and not imagename.may_be_id(name):
        return pull(name, platform=platform, progress=_progress(quiet))
    try:
        image = Image.find(name)
        if policy == "never" or not platform or documents.fits(image.document, documents.parse_platform(platform)):
            return image
    except ContainerError:
        if policy == "never" or not _is_missing(name):
            raise
    progress = _progress(quiet)
    missing = f"Unable to find image '{imagename.short_name(imagename.full_name(name))}' locally"
    if imagename.full_name(name) == imagename.full_name(DEFAULT) and platform is None:
        progress.say(f"{missing}: creating it from this machine's own tools")
        return importer.default_image()
    progress.say(missing)
    try:
        return pull(name, platform=platform, progress=progress)
    except ContainerError as error:
        raise ContainerError(f"the image {name} is not here and can't be pulled: {error}", errno=error.errno) from None


def _progress(quiet: bool):
    import sys

    from minict.engine.util.progress import Progress

    return Progress(sys.stderr, quiet)


def _is_missing(name: str) -> bool:
    """Whether *name* refers to nothing here; otherwise it is damaged, or an ambiguous id."""
    start = name.removeprefix("sha256:")
    if imagename.may_be_id(start) and (imagename.is_id(start) or any(id.startswith(start) for id in store.ids())):
        return False
    return not os.path.exists(store.name_file(imagename.full_name(name)))


def pull(name: str, *, platform: str | None = None, tls_verify: bool | None = None, progress=None) -> Image:
    """Pull the image *name* from its registry, as far as it is missing here.

    *platform*: another one than this machine's, such as ``linux/arm64``.  *tls_verify*: see
    :func:`minict.engine.distribution.registry.insecure`.  *progress*: a :class:`minict.engine.util.progress.Progress`;
    None prints nothing. Raises :class:`ContainerError`; then what has arrived is kept, and the next pull resumes.
    """
    from minict.engine.distribution import registry
    from minict.engine.util.progress import Progress

    progress = progress or Progress(quiet=True)
    documents.parse_platform(platform)
    full = imagename.full_name(name)
    repository, reference = imagename.split(full)
    host, _, path = repository.partition("/")
    source = Source(registry.servers(host, tls_verify, progress.say), path, imagename.short_name(full), progress)
    progress.say(f"{reference}: Pulling from {path}")
    try:
        manifest, digest = source.manifest(reference, platform)
        config = source.configuration(manifest, platform)
        with ingest.Making(full) as making:
            changed = _fetch_layers(making, source, manifest, config, progress)
            before = _id_of(full)
            image = making.finish(config, manifest, digest)
    finally:
        progress.close()
    events.emit("image", "pull", imagename.short_name(full), {"name": imagename.short_name(repository)})
    progress.say(f"Digest: {digest}")
    progress.say(
        f"Status: {'Downloaded newer image' if changed or before != image.id else 'Image is up to date'} "
        f"for {imagename.short_name(full)}"
    )
    return image


def all_tags(name: str, *, tls_verify: bool | None = None, progress=None) -> list[str]:
    """The names of all images in the repository *name* of its registry. Raises :class:`ContainerError`."""
    from minict.engine.distribution import registry
    from minict.engine.util.progress import Progress

    progress = progress or Progress(quiet=True)
    repository = imagename.repository(name)
    host, _, path = repository.partition("/")
    source = Source(registry.servers(host, tls_verify, progress.say), path, imagename.short_name(repository), progress)
    return [f"{repository}:{tag}" for tag in source.tags()]


def _id_of(full: str) -> str | None:
    try:
        with open(store.name_file(full), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _fetch_layers(making, source: Source, manifest, config: bytes, progress) -> bool:
    """Get all layers into the store, several in parallel; return whether any had to be downloaded. Each is
    extracted as it arrives."""
    from minict.engine.util import workerpool

    diff_ids = documents.parse_config(config)["rootfs"]["diff_ids"]
    if len(diff_ids) != len(manifest.layers):
        raise ContainerError(
            f"{source.name} can't be pulled: it has {len(manifest.layers)} layers in its manifest and "
            f"{len(diff_ids)} in its configuration: the image is broken"
        )
    layers = dict(zip(diff_ids, manifest.layers))
    missing = [layer for diff_id, layer in layers.items() if not store.has_layer(diff_id.removeprefix("sha256:"))]
    _check_room(sum(layer.size for layer in missing), source.name)
    came = []

    def fetching(diff_id: str):
        layer = layers[diff_id]
        return lambda report: making.layer(layer, diff_id, lambda offset: source.layer(layer, offset, report))

    def heard(diff_id: str, told: int | str) -> None:
        progress.tell(layers[diff_id].digest[7:19], "Downloading", told, layers[diff_id].size)

    def finished(diff_id: str, fetched: bool) -> None:
        came.append(fetched)
        progress.state(layers[diff_id].digest[7:19], "Pull complete" if fetched else "Already exists")

    for layer in layers.values():
        progress.state(layer.digest[7:19], "Pulling fs layer")
    workerpool.run({diff_id: fetching(diff_id) for diff_id in layers}, _AT_ONCE, heard, finished)
    return any(came)


def _check_room(size: int, name: str) -> None:
    """Refuse a download that can't fit: extracted layers need more than the *size* of their blobs."""
    disk = os.statvfs(store.store())
    room = disk.f_bavail * disk.f_frsize
    if size > room:
        raise ContainerError(
            f"{name} can't be pulled: its layers have {size / 1e9:.1f} GB, and the disk of {store.store()} "
            f"has {room / 1e9:.1f} GB free: free some space, or set MINICT_ROOT to another disk"
        )


class Source:
    """One repository, on all *servers* that may have it: mirrors first. *name* is how messages call the image."""

    def __init__(self, servers: list, path: str, name: str, progress):
        self.name, self._servers, self._path, self._progress = name, servers, path, progress

    def manifest(self, reference: str, platform: str | None) -> tuple:
        """The manifest for *reference* and *platform*, and the digest by which the registry knows it."""
        data = self._first(lambda server: server.manifest(self._path, reference))
        digest, name = documents.digest_of(data), f"the manifest of {self.name}"
        for _ in range(_DEPTH):
            if documents.kind(data, name) == "manifest":
                return documents.parse_manifest(data, name), digest
            chosen = documents.choose(documents.parse_index(data, name), platform, self.name)
            data = self._first(lambda server: server.manifest(self._path, chosen.digest))
            if len(data) != chosen.size:
                raise ContainerError(f"size mismatch: {name} has {len(data)} bytes, and {chosen.size} in its index")
        raise ContainerError(f"{self.name} can't be pulled: it is an index of indexes of indexes, which no image is")

    def tags(self) -> list[str]:
        """All tags of the repository."""
        return self._first(lambda server: server.tags(self._path))

    def _first(self, ask):
        """The answer of the first server that has one: a mirror may not have the image, or be down."""
        for number, server in enumerate(self._servers):
            try:
                answer = ask(server)
                self._servers = self._servers[number:]
                return answer
            except ContainerError as error:
                if number == len(self._servers) - 1:
                    raise
                self._progress.say(f"{error}; asking {self._servers[number + 1].host}")

    def configuration(self, manifest, platform: str | None) -> bytes:
        """The image's configuration. Its platform is checked, because an index only claims it."""
        name = f"the configuration of {self.name}"
        data = self._first(lambda server: server.document(self._path, manifest.config, name))
        document, wanted = documents.parse_config(data, name), documents.parse_platform(platform)
        if any(document.get(field) and document[field] != wanted[field] for field in ("os", "architecture")):
            found, asked = documents.platform_name(document), documents.platform_name(wanted)
            if platform or document["os"] != "linux":
                raise ContainerError(f"{self.name} is for {found} and not for {asked}")
            self._progress.say(
                f"WARNING: {self.name} is for {found}, and this machine is {asked}: what is in it may not run here"
            )
        return data

    def layer(self, descriptor, offset: int, report):
        """The layer's blob from *offset* on, as a file, in a worker process; *report* gets the number of bytes."""
        from minict.engine.distribution.registry import Stream

        for server in self._servers:
            server.say = report
        stream = Stream(self._servers, self._path, descriptor, f"the layer {descriptor.digest[7:19]}", offset)
        return _Told(stream, offset, report)


class _Told:
    """A file that reports how much of it has been read."""

    def __init__(self, file, offset: int, report):
        self._file, self._position, self._report, self.close = file, offset, report, file.close

    def read(self, size: int) -> bytes:
        chunk = self._file.read(size)
        self._position += len(chunk)
        self._report(self._position)
        return chunk
