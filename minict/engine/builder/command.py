"""RUN: a command in a container, and a layer with its changes."""

from __future__ import annotations

import os

from minict.engine.containers.options import ContainerOptions
from minict.engine.images import overlay
from minict.engine.images.image import Image
from minict.engine.lifecycle import commit, create, task
from minict.engine.networks import sandbox
from minict.engine.util import streams
from minict.runtime.errors import ContainerError

from . import filesystem, scopes
from .mounting import Mounting
from .plan import Run
from .watcher import Watcher


def changed(image: Image, step: Run, mounts: list, build) -> Image:
    """Run the command of *step* in a container of *image*; return the image with its changes.  *build*: its settings,
    secrets, arguments and output.

    Raises :class:`ContainerError`.
    """
    with Mounting(mounts, step.script, build.secrets) as mounting:
        settings = _settings(step, mounting, build)
        record = create.create(image.id, step.command, settings, found=_without_volumes(image), starting=True)
        try:
            with Watcher(record):
                return _executed(image, record, build.output)
        finally:
            if os.path.isdir(record.data) and record.pid is None:
                task.forget(record)


def _settings(step: Run, mounting: Mounting, build) -> ContainerOptions:
    """The options of the container. It has no volumes: what a command writes below a VOLUME is in the image, as with
    BuildKit."""
    variables = {**scopes.proxies(build.args), **step.environment, **mounting.environment}
    network = {} if step.network == "default" else {"network": [step.network]}
    return ContainerOptions(
        **{
            **build.settings,
            **network,
            "entrypoint": "",
            "env": [f"{name}={value}" for name, value in variables.items()],
            "user": step.user or "0",
            "workdir": step.directory or "/",
            "no_healthcheck": True,
            "rm": True,
            **mounting.settings,
        }
    )


def _without_volumes(image: Image) -> Image:
    """*image* without its settings for containers: the step has its own."""
    return Image(image.id, {**image.document, "config": {}}, image.name)


def _executed(image: Image, record, output: int) -> Image:
    """Execute the command of the new container *record*; return the image with its changes to *image*."""
    with streams.Relay(stdout=output, stderr=output) as relay:
        container = task.begin(record, streams=relay.theirs)
        sandbox.serve_in_background(record.id)
        record.unlock()
        status = 137
        try:
            relay.begun()
            relay.run(container.pidfd)
            status = container.wait()
            if status:
                raise ContainerError(
                    f"the command failed with exit status {status}", status=status if status < 126 else 125
                )
            with overlay.Changes(image, record.data) as upper:
                return filesystem.commit(image, upper, ignore=commit.mounted(record))
        finally:
            task.end(record, container, status)
