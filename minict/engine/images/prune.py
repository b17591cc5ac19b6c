"""minict.engine.images.prune"""

from __future__ import annotations

import os

from minict.runtime.errors import ContainerError

from . import store
from .image import images, remove, used_by


def remove_unused(named_too: bool = False, wanted=lambda image: True) -> list[str]:
    """Remove the images that no container stands on and that have no name, with *named_too* all of them; Docker's
    words for it.

    *wanted*: a function that says of an image whether it may go.  Raises the first error, after all has been tried.
    """
    from . import buildcache

    done, errors = [], []
    if named_too:
        buildcache.forget()
    steps = buildcache.images()  # they have no name, but the next build needs them
    for image in images():
        try:
            if (named_too or (not image.names and image.id not in steps)) and wanted(image) and not used_by(image):
                done += remove(image.id, force=True)
        except ContainerError as error:  # a container has been made of it in this moment, or it has been removed
            if os.path.exists(store.config_file(image.id)) and not used_by(image):
                errors.append(error)
    if errors:
        raise errors[0]
    return done
