"""Chapter 07: an image that greets on its author's machine and says nothing on this one."""

from __future__ import annotations

import minict
from minict.engine.distribution import manifest as documents
from minict.engine.images import image

from .. import postcard
from ..feedback import Feedback
from ..registry import Registry
from ..scenario import Scenario

_CARD = "The author says hello.\n"


class Delivery:
    """An image that somebody has pulled: its name, and the registry that it comes from."""

    def __init__(self, registry: Registry):
        self.registry, self.image = registry, registry.name("author/greeter")

    def __repr__(self):
        return f"<the image {self.image}>"


def _other() -> str:
    """A processor that this machine does not have."""
    return next(each for each in postcard.PROCESSORS if each != documents.architecture())


def start() -> Delivery:
    """The image is there, and it is the one for another processor."""
    box = Delivery(Registry())
    try:
        images = [postcard.postcard(_CARD, each) for each in postcard.PROCESSORS]
        postcard.put(box.registry, "author/greeter", "latest", images)
        minict.pull(box.image, platform=f"linux/{_other()}")
    except BaseException:
        box.registry.close()
        raise
    return box


def end(box: Delivery) -> None:
    """The image and its registry go."""
    postcard.remove_postcards("greeter")  # the one for another processor, too, which has lost its name
    box.registry.close()


def check(box: Delivery) -> None:
    """The author's program, for this processor, greets."""
    try:
        found = image.Image.find(box.image)
    except minict.ContainerError:
        raise Feedback(f"There is no image {box.image} any more, and customers start it by that name.") from None
    authors = [postcard.postcard(_CARD, each) for each in postcard.PROCESSORS]
    if f"sha256:{found.id}" not in [documents.digest_of(each.config) for each in authors]:
        raise Feedback(f"{box.image} is not the author's image any more: other files are in it.")
    try:
        said = minict.run(box.image, network="none").output
    except minict.ContainerError as error:
        raise Feedback(f"{box.image} does not greet: {error}.") from None
    if said != _CARD:
        raise Feedback(f"{box.image} runs, and says {said!r} instead of {_CARD!r}.")


def repair(box):
    """Pull it again, for this machine."""
    minict.pull(box.image)


def _pull_the_same_again(box):
    minict.pull(box.image, platform=f"linux/{_other()}")


def _take_another_image(box):
    image.tag("tiny", box.image)


def _remove_it(box):
    image.remove(box.image)


Scenario(
    "foreign",
    "On the author's laptop this image greets, and on this machine it can't even be started.",
    minutes=6,
    start=start,
    check=check,
    end=end,
    clues=[
        "minict.run(foreign.image) says why it does not start. What is the image for (minict.image(foreign.image)), "
        "and what is this machine (architecture())?",
        "The registry has an index: foreign.registry.read('/v2/author/greeter/manifests/latest'). Is an image for this "
        "machine in it?",
        "Somebody has pulled it for another machine, with platform=…. A pull without that takes what fits this one.",
    ],
    solution=repair,
    wrong={
        "pulls the same again": (_pull_the_same_again, "does not greet"),
        "takes another image": (_take_another_image, "not the author's image any more"),
        "removes it": (_remove_it, "customers start it by that name"),
    },
)
