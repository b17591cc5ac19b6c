"""Push an image: the blobs that the registry lacks, then the manifest."""

from __future__ import annotations

from minict.engine.distribution import reference
from minict.engine.util import events
from minict.runtime.errors import ContainerError

from . import ingest, store
from .export import make_manifest
from .image import Image

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minict.engine.distribution.manifest import Descriptor
    from minict.engine.distribution.registry import Registry
    from minict.engine.util.progress import Progress

_AT_ONCE = 4  # layers
_SAID = {"there": "Layer already exists", "sent": "Pushed"}


def push(name: str, *, tls_verify: bool | None = None, progress: Progress | None = None) -> str:
    """Push the image *name* to its registry; return its digest there.

    An image that was pulled is pushed with the same digests.  Layers that another image of this registry has are
    mounted from there.  *tls_verify*: see :func:`minict.engine.distribution.registry.insecure`. *progress*: a
    :class:`minict.engine.util.progress.Progress`; None prints nothing.  Raises :class:`ContainerError`.
    """
    from minict.engine.distribution import registry
    from minict.engine.util import workerpool
    from minict.engine.util.progress import Progress

    progress = progress or Progress(quiet=True)
    full = reference.full_name(name)
    if "@" in full:
        raise ContainerError(f"{name!r} is a digest: push the image by a name with a tag")
    repository, tag = reference.split(full)
    host, _, path = repository.partition("/")
    image = Image.find(full)
    server = registry.Registry(host, tls_verify, progress.say)
    progress.say(f"The push refers to repository [{repository}]")
    with ingest.Making(None) as making:
        for digest in image.digests:  # so that no other command removes them meanwhile
            making.use(digest)
        manifest = make_manifest(image)
        with open(store.config_file(image.id), "rb") as file:  # first, because it also shows whether pushing is allowed
            server.upload(path, manifest.config, file)
        layers = dict(zip((layer.digest for layer in manifest.layers), image.digests))
        sizes = {layer.digest: layer.size for layer in manifest.layers}

        def sending(descriptor: Descriptor) -> Callable[[Any], str]:
            diff_id = layers[descriptor.digest]
            return lambda report: _send(
                server, path, descriptor, diff_id, _other_repository(host, path, diff_id), report
            )

        def finished(digest: str, how: str) -> None:
            progress.state(digest[7:19], _SAID.get(how) or f"Mounted from {how}")

        workerpool.run(
            {layer.digest: sending(layer) for layer in manifest.layers},
            _AT_ONCE,
            finished=finished,
            heard=lambda digest, told: progress.tell(digest[7:19], "Pushing", told, sizes[digest]),
        )
        progress.close()
        server.put_manifest(path, tag, manifest.data, manifest.media_type)
    events.emit("image", "push", reference.short_name(full), {"name": reference.short_name(repository)})
    progress.say(f"{tag}: digest: {manifest.digest} size: {len(manifest.data)}")
    return manifest.digest


def all_tags(name: str) -> list[str]:
    """The names of all local images in the repository *name*. Raises :class:`ContainerError` if there are none."""
    repository = reference.repository(name)
    found = sorted(
        full
        for names in store.names().values()
        for full in names
        if reference.split(full)[0] == repository and "@" not in full
    )
    if not found:
        raise ContainerError(f"no such image: {name}; 'minict images' lists all images")
    return found


def _send(
    server: Registry, path: str, descriptor: Descriptor, diff_id: str, other: str | None, report: Callable[[Any], None]
) -> str:
    """Make sure that the registry has one layer; return how it got there."""
    server.say = report
    with open(ingest.layer_blob(diff_id)[1], "rb") as file:
        how = server.upload(path, descriptor, file, report, mount_from=other)
    return other or "" if how == "mounted" else how


def _other_repository(host: str, path: str, diff_id: str) -> str | None:
    """Another repository of the same registry with a local image that has this layer."""
    for id, names in store.names().items():
        for name in names:
            repository = reference.split(name)[0]
            if repository.startswith(f"{host}/") and repository != f"{host}/{path}" and diff_id in store.diff_ids(id):
                return repository.removeprefix(f"{host}/")
    return None
