"""Chapter 06: an image that is as large after its clean-up as it was before."""

from __future__ import annotations

import os
import shutil

import minict
from minict.engine.images import image as images
from minict.engine.images.diff import find
from minict.engine.images.image import Image

from ..feedback import Feedback
from ..scenario import Scenario

_NAME, _BASE, _CACHE = "bloated", "tiny", "/var/cache/packages"
_MEGABYTES = 8


class Recipe:
    """How the image *name* is made: shell commands, each of which adds one layer to the image *base*."""

    def __init__(self, name: str, base: str, steps: list[str]):
        self.name, self.base, self.steps = name, base, steps

    def __repr__(self):
        steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(self.steps, 1))
        return f"the image {self.name}, made from {self.base}:\n{steps}"

    def build(self, steps: list[str]) -> None:
        """Make the image again by these *steps*: each runs in a container, and its changes become a layer."""
        source = self.base
        for step in steps:
            replaced = self._id()
            with minict.run(source, "sleep 100000", network="none", detach=True) as box:
                told = box.exec(["sh", "-e", "-c", step])
                if told.status:
                    raise minict.ContainerError(f"the step {step!r} ended with {told.status}: {told.output.strip()}")
                box.commit(self.name)
            if replaced and replaced != self._id():
                images.remove(replaced)  # it has lost its name: nobody would find it, or its 8 MB, again
            source = self.name

    def _id(self) -> str | None:
        try:
            return Image.find(self.name).id
        except minict.ContainerError:
            return None

    def sizes(self) -> dict[str, str]:
        """The size of each layer of the image, the lowest first."""
        found = minict.image(self.name)
        return {f"layer {number}": f"{each['size'] / 1e6:.1f} MB" for number, each in enumerate(found.history, 1)}


def start():
    """The image as its author built it."""
    recipe = Recipe(
        _NAME,
        _BASE,
        [
            f"mkdir -p {_CACHE} && head -c {_MEGABYTES}000000 /dev/urandom > {_CACHE}/greet.pkg",
            "mkdir -p /opt && echo 'echo Good morning' > /opt/greet && chmod 755 /opt/greet",
            f"rm -r {_CACHE}",
        ],
    )
    recipe.build(recipe.steps)
    return recipe


def end(recipe) -> None:
    """Remove the image."""
    try:
        images.remove(recipe.name, force=True)
    except minict.ContainerError:
        pass  # somebody has removed it


def check(recipe) -> None:
    """The image greets, and no layer of it holds the cache."""
    try:
        found = Image.find(recipe.name)
    except minict.ContainerError:
        raise Feedback(f"There is no image {recipe.name} any more: customers ask for it by that name.") from None
    told = minict.run(recipe.name, "sh /opt/greet", network="none")
    if told.output.strip() != "Good morning":
        raise Feedback(
            f"A container of the image {recipe.name} does not greet any more: it says {told.output.strip()!r}."
        )
    extra = found.size - Image.find(recipe.base).size
    if find(found.layers, _CACHE):
        raise Feedback(f"{_CACHE} can be seen in a container of the image: the packages are still there.")
    holding = [layer for layer in found.layers if os.path.isdir(layer + _CACHE) and os.listdir(layer + _CACHE)]
    if extra > 1_000_000 and not holding:
        raise Feedback(
            f"No layer's directory holds the packages any more, but the image still counts {extra / 1e6:.0f} MB more "
            f"than {recipe.base}: a finished layer never changes, and other images may share it. Make the image again."
        )
    if holding:
        count = len(found.layers) - 1
        raise Feedback(
            f"The image has {count} {'layer' if count == 1 else 'layers'} more than {recipe.base}, and they hold "
            f"{extra / 1e6:.0f} MB. Nothing of the packages is seen, but a layer below still has them: what a later "
            "step removes, it only hides."
        )


def repair(recipe):
    """Fetch, install and remove in one step: the one layer that it adds never had the packages."""
    recipe.build([" && ".join(recipe.steps)])


def _clean_twice(recipe):
    recipe.build([*recipe.steps, "rm -rf /var/cache/packages /tmp/*"])


def _clean_first(recipe):
    fetch, install, remove = recipe.steps
    recipe.build([f"{remove} || true", fetch, install])


def _two_steps(recipe):
    fetch, install, remove = recipe.steps
    recipe.build([fetch, f"{install} && {remove}"])


def _reach_into_the_layer(recipe):
    for layer in Image.find(recipe.name).layers:
        if os.path.isdir(layer + _CACHE):
            shutil.rmtree(layer + _CACHE)


def _fetch_nothing(recipe):
    recipe.build(["true"])


Scenario(
    "bloated",
    "The last step of this image's recipe removes 8 MB of packages, and the image is as large as before.",
    minutes=7,
    start=start,
    check=check,
    clues=[
        "bloated shows the recipe, and bloated.sizes() the size of each layer. Which layer holds the packages?",
        "A layer is finished when its step ends. A later step can put a whiteout above a file, and that is all.",
        'bloated.build(["…", "…"]) makes the image again, by other steps. What must be removed in the step that has '
        "made it? The shell's && joins commands.",
    ],
    solution=repair,
    wrong={
        "cleans once more": (_clean_twice, "it only hides"),
        "installs and cleans in one": (_two_steps, "a layer below still has them"),
        "empties the layer's directory": (_reach_into_the_layer, "a finished layer never changes"),
        "cleans first": (_clean_first, "can be seen in a container"),
        "makes an empty one": (_fetch_nothing, "does not greet any more"),
    },
    end=end,
)
