"""The output of ``image inspect``."""

from __future__ import annotations

from minict.engine.util.timestamps import stamp_of

from .image import Image


def image(found: Image) -> dict:
    """The fields of ``image inspect``. Source: Docker Engine API, ImageInspect."""
    document, names = found.document, found.names
    return {
        "Id": f"sha256:{found.id}",
        "RepoTags": names,
        "RepoDigests": found.repo_digests,
        "Comment": (found.history or [{}])[-1].get("comment", ""),
        "Created": stamp_of(found.created),
        "Author": document.get("author", ""),
        "Config": found.config,
        "Architecture": document.get("architecture", ""),
        "Variant": document.get("variant", ""),
        "Os": document.get("os", "linux"),
        "Size": found.size,
        "GraphDriver": {"Name": "overlay", "Data": {"LowerDir": ":".join(found.layers)}},
        "RootFS": {"Type": "layers", "Layers": [f"sha256:{digest}" for digest in found.digests]},
    }
