"""The manifest of an image for ``push`` and ``save``."""

from __future__ import annotations

import os

from minict.engine.distribution.manifest import CONFIG, Descriptor, Manifest

from . import store
from .image import Image
from .ingest import layer_blob


def make_manifest(image: Image) -> Manifest:
    """The manifest with which *image* was pulled, if its layers' blobs are the same; else a new one.

    Makes missing blobs.  Raises :class:`ContainerError`. Source: image manifest of the OCI image specification.
    """
    blobs = [layer_blob(digest)[0] for digest in image.digests]
    came = image.manifest
    if came and [each.digest for each in came.layers] == [blob.digest for blob in blobs]:
        return came
    config = Descriptor(CONFIG, f"sha256:{image.id}", os.path.getsize(store.config_file(image.id)))
    return Manifest.of(config, blobs)
