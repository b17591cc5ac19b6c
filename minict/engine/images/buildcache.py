"""Which image a step of a build has made before.

The key of a step is a digest of the key of the step before it, of the instruction, and of all else that it depends on:
the content of the files that it copies, the values of the ARGs that a RUN can see.  So a key stands for the whole
history, and two recipes that begin alike share what they have in common.

``MINICT_ROOT/images/cache/KEY`` holds the id of the image that was made.  It is a memory and no more: when the image
is gone, so is what it remembers.
"""

from __future__ import annotations

import hashlib
import os

from . import store
from .image import Image


def key(*parts: object) -> str:
    """The key of what depends on *parts* and on nothing else."""
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()


def recall(key: str) -> Image | None:
    """The image that was made under *key*, if it is still there."""
    try:
        with open(f"{directory()}/{key}", encoding="utf-8") as file:
            id = file.read()
    except FileNotFoundError:
        return None
    return Image.load(id) if os.path.exists(store.config_file(id)) else None


def remember(key: str, image: Image) -> None:
    os.makedirs(directory(), exist_ok=True)
    temporary = f"{directory()}/.{key}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(image.id)
    os.replace(temporary, f"{directory()}/{key}")


def images() -> set[str]:
    """The ids of the images that the cache remembers."""
    found = set()
    for name in store.entries(directory()):
        try:
            with open(f"{directory()}/{name}", encoding="utf-8") as file:
                found.add(file.read())
        except FileNotFoundError:
            pass
    return found


def forget() -> int:
    """Forget everything; how many steps that were.  Their images, if they have no name, are then images without a
    name."""
    names = store.entries(directory())
    for name in names:
        try:
            os.unlink(f"{directory()}/{name}")
        except FileNotFoundError:
            pass
    return len(names)


def directory() -> str:
    return f"{store.store()}/cache"
