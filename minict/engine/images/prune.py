"""Remove unused images."""

from __future__ import annotations

import os
from collections.abc import Callable

from minict.runtime.errors import ContainerError

from . import store
from .image import Image, images, remove, used_by


def remove_unused(named_too: bool = False, wanted: Callable[[Image], bool] = lambda image: True) -> list[str]:
    """Remove the images without a name that no container uses, with *named_too* also those with names; return Docker's
    messages.

    *wanted*: a function that decides for each image.  Raises the first error after all have been tried.
    """
    from . import buildcache

    done: list[str] = []
    errors: list[ContainerError] = []
    if named_too:
        buildcache.forget()
    steps = buildcache.images()  # they have no names, but the next build needs them
    for image in images():
        try:
            if (named_too or (not image.names and image.id not in steps)) and wanted(image) and not used_by(image):
                done += remove(image.id, force=True)
        except ContainerError as error:  # a container has just been created from it, or it has just been removed
            if os.path.exists(store.config_file(image.id)) and not used_by(image):
                errors.append(error)
    if errors:
        raise errors[0]
    return done
