"""The build cache: which image an earlier build has made for a step.

The key of a step is a digest of the previous step's key, of the instruction, and of everything else that it depends on:
the content of files that it copies, the values of ARGs that a RUN can see.  So a key stands for the whole history, and
two Dockerfiles that begin alike share these steps.

``MINICT_ROOT/images/cache/KEY`` holds the id of the image.  When the image is removed, the entry is useless.
"""

from __future__ import annotations

import os

from minict.runtime.files import names_in

from . import store
from .image import Image


def key(*parts: object) -> str:
    """The key of a result that depends on *parts* only."""
    import hashlib

    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()


def recall(key: str) -> Image | None:
    """The image that was made for *key*, if it still exists."""
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
    """The ids of the images in the cache."""
    found = set()
    for name in names_in(directory()):
        try:
            with open(f"{directory()}/{name}", encoding="utf-8") as file:
                found.add(file.read())
        except FileNotFoundError:
            pass
    return found


def forget() -> int:
    """Forget everything; return the number of steps. Their images without names are then dangling."""
    names = names_in(directory())
    for name in names:
        try:
            os.unlink(f"{directory()}/{name}")
        except FileNotFoundError:
            pass
    return len(names)


def directory() -> str:
    return f"{store.store()}/cache"
