"""``minict inspect``: any object by its name, as JSON or through a template."""

from __future__ import annotations

from minict.runtime.errors import ContainerError

KINDS = ("container", "image", "network", "volume")  # the order in which a name is looked up


def show(names: list[str], kinds: list[str] | None = None, *, format: str | None = None, size: bool = False) -> None:
    """Print the objects with these *names* as a JSON list, or each of them through the template *format*.

    *kinds*: where to look; by default everywhere. *size*: see :func:`minict.engine.lifecycle.inspect.container`. Raises
    :class:`ContainerError` for a name that does not exist, after all others were printed.
    """
    import json

    for kind in kinds or ():
        if kind not in KINDS:
            raise ContainerError(f"invalid --type {kind!r}: use one of {', '.join(KINDS)}")
    template = None
    if format and format != "json":
        from minict.engine.util.gotemplate import Template

        template = Template(format)
    found, errors = [], []
    for name in names:
        try:
            found.append(find(name, kinds or list(KINDS), size))
        except ContainerError as error:
            errors.append(error)
    if template:
        for each in found:
            print(template.render(each))
    else:
        print(
            json.dumps(
                found, indent=None if format else 4, ensure_ascii=False, separators=(",", ":" if format else ": ")
            )
        )
    if errors:
        raise ContainerError(str(errors[0]), status=1)


def find(name: str, kinds: list[str], size: bool = False) -> dict:
    """Describe the first object of these *kinds* with this *name*. Raises :class:`ContainerError`."""
    errors = []
    for kind in kinds:
        try:
            return _describe(kind, name, size)
        except ContainerError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    raise ContainerError(f"no such container, image, network or volume: {name}")


def _describe(kind: str, name: str, size: bool) -> dict:
    if kind == "container":
        from minict.engine.containers.store import Record
        from minict.engine.lifecycle.inspect import container

        return container(Record.find(name), size=size)
    if kind == "image":
        from minict.engine.images.image import Image
        from minict.engine.images.inspect import image

        return image(Image.find(name))
    if kind == "volume":
        from minict.engine.volumes.store import Volume

        return Volume.find(name).inspect()
    from minict.engine.networks import store

    found = store.inspect_predefined(name) if name in ("host", "none") else store.inspect(store.find(name))
    return {key: value for key, value in found.items() if key != "created"}  # the form for lists
