"""The route of a build, from top to bottom.

::

    build      the context and the Dockerfile are read, and the whole build is planned: every mistake is found here
    Build      stage after stage: each step has a key, by which the cache knows the image that the same step has made
    before
    command    RUN executes a command in a container
    copying    COPY and ADD, as WORKDIR, change files without one

Steps that change no file wait in the history: they make no layer, and nothing later depends on them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from minict.engine.containers.options import ContainerOptions
from minict.engine.distribution import manifest
from minict.engine.distribution.reference import full_name
from minict.engine.images import buildcache, ingest
from minict.engine.images import image as images
from minict.engine.images.image import Image
from minict.engine.util import timestamps
from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError

from . import command, copying, dockerfile, filesystem, lexer, mounting, plan, signals
from .context import Context, Given
from .destination import make_directories

_EMPTY = "FROM scratch"


def build(
    directory: str,
    *,
    file: str | None = None,
    tag: Sequence[str] = (),
    args: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    target: str | None = None,
    use_cache: bool = True,
    pull: bool = False,
    settings: dict | None = None,
    say=print,
    output: int = 1,
    platform: str | None = None,
    contexts: dict[str, str] | None = None,
    secrets: dict[str, bytes] | None = None,
    fresh_stages: Sequence[str] = (),
    check_only: bool = False,
) -> Image | None:
    """Build the image that the Dockerfile in *directory* describes, and give it the names *tag*.

    *directory*: ``-`` is standard input, an archive with the files or a Dockerfile alone.  *file*: the Dockerfile, if
    it is another one; ``-`` is standard input.  *args*: values for its ARGs.  *target*: the stage to end with.
    *use_cache*: use the results of earlier builds, except in *fresh_stages*. *pull*: fetch the base images again.
    *settings*: fields of :class:`minict.engine.containers.options.ContainerOptions` for the containers of RUN, such as
    ``network``. *platform*: the platform of the image. *contexts*: further directories or images, by the names that the
    Dockerfile has for them.  *secrets*: values by id. *say* is called with a line for each step; the output of RUN goes
    to the descriptor *output*.  *check_only*: only plan the build, and return None. Raises
    :class:`ContainerError`.
    """
    for name in tag:
        full_name(name)
    settings = ContainerOptions(**(settings or {})).to_dict()  # their errors are found now
    with signals.Interruptible(), Given(directory, file) as given:
        recipe = dockerfile.parse(lexer.read(given.text))
        planner = plan.Planner(
            recipe,
            given.context,
            contexts=_contexts(contexts or {}),
            args=args or {},
            platform=platform,
            target=target,
            pull_policy="always" if pull else "missing",
            check=copying.check,
        )
        last = planner.plan()
        if check_only:
            return None
        work = Build(
            use_cache=use_cache,
            fresh_stages=list(fresh_stages),
            settings=settings,
            secrets=secrets or {},
            args=args or {},
            say=say,
            output=output,
        )
        for number in sorted(planner.done):
            work.do_stage(planner.done[number])
        last.config["Labels"] = {**(last.config.get("Labels") or {}), **(labels or {})}
        image = finished(work.states[last.number], last)
        for name in tag:
            images.tag(image.id, name)
        return image


def _contexts(given: dict[str, str]) -> dict:
    """Resolve the values of --build-context: directories and images.  Raises :class:`ContainerError`."""
    found: dict = {}
    for name, value in given.items():
        kind, separator, rest = value.partition("://")
        if separator and kind not in ("docker-image", "target"):
            raise ContainerError(f"invalid --build-context {name}={value}: use a directory, or docker-image://IMAGE")
        found[name] = rest if separator else Context(value)
    return found


class State:
    """The progress of a stage.  *image*: its layers, None while there are none.  *key*: its key in the cache.

    *history*: the entries so far; *created*: when its last layer was made.
    """

    def __init__(self, image: Image | None, key: str, history: list[dict], created: str | None):
        self.image, self.key, self.history, self.created = image, key, list(history), created


class Build:
    """Carries out the plan: :attr:`states` has the completed stages, by number."""

    def __init__(
        self,
        *,
        use_cache: bool,
        fresh_stages: list[str],
        settings: dict,
        secrets: dict[str, bytes],
        args: dict[str, str],
        say,
        output: int,
    ):
        self.use_cache, self.settings, self.secrets, self.args = use_cache, settings, secrets, args
        self.fresh_stages = {name.lower() for name in fresh_stages}
        self.say, self.output = say, output
        self.states: dict[int, State] = {}
        self.ready: dict[int, Image] = {}

    def do_stage(self, stage: plan.Planned) -> None:
        """Carry out all steps of *stage*; its base and the stages that it copies from are complete."""
        self.say(f"FROM {stage.shown}")
        self.cached = self.use_cache and stage.name not in self.fresh_stages
        self.states[stage.number] = state = self._begin(stage)
        for step in stage.steps:
            self.say(step.shown)
            try:
                self._do(state, step)
            except ContainerError as error:
                raise ContainerError(
                    f"line {step.number} of the Dockerfile, {step.name}: {error}",
                    errno=error.errno,
                    status=error.status,
                ) from error

    def _begin(self, stage: plan.Planned) -> State:
        base = stage.base
        if isinstance(base, plan.Planned):
            before = self.states[base.number]
            return State(before.image, before.key, before.history, before.created)
        if base is None:
            return State(None, buildcache.key(_EMPTY), [], None)
        document = base.document
        return State(base, buildcache.key("FROM", base.digests), document.get("history") or [], document.get("created"))

    def _do(self, state: State, step) -> None:
        if isinstance(step, plan.Note):
            state.history.append({"created_by": step.history, "empty_layer": True, "created": state.created})
        elif isinstance(step, plan.Run):
            self._run(state, step)
        elif isinstance(step, plan.Workdir):
            self._workdir(state, step)
        else:
            self._copy(state, step)

    def _run(self, state: State, step: plan.Run) -> None:
        if state.image is None:
            raise ContainerError("the image has no files yet: COPY a program into it first")
        mounts = [(mount, self._origin(origin)) for mount, origin in step.mounts]
        key = buildcache.key(
            state.key,
            "RUN",
            step.command,
            step.script,
            sorted(step.environment.items()),
            step.user,
            step.directory,
            step.network,
            mounting.key(mounts),
        )
        self._layer(state, step, key, lambda: command.changed(state.image, step, mounts, self))

    def _copy(self, state: State, step: plan.Copy) -> None:
        owner = copying.owner(step.chown, state.image)
        collected = copying.collect(step, self._origin(step.origin), owner)
        try:
            key = buildcache.key(state.key, copying.fingerprint(step, collected, owner))
            self._layer(state, step, key, lambda: copying.placed(state.image, collected, step, owner))
        finally:
            copying.close(collected)

    def _workdir(self, state: State, step: plan.Workdir) -> None:
        """Make the directory if it is missing; that is a layer then."""
        owner = copying.owner(step.user, state.image, "USER") or (0, 0)
        key = buildcache.key(state.key, "mkdir", step.path, owner)
        remembered = self.cached and buildcache.recall(key)
        if not remembered and state.image is not None and filesystem.is_directory(state.image, step.path):
            state.history.append({"created_by": step.history, "empty_layer": True, "created": state.created})
            return

        def work() -> str:
            make_directories(os.path.realpath(step.path), owner)
            return ""

        self._layer(state, step, key, lambda: filesystem.changed(state.image, work))

    def _origin(self, origin):
        """Replace a completed stage by its image."""
        if not isinstance(origin, plan.Planned):
            return origin
        return self.states[origin.number].image

    def _layer(self, state: State, step, key: str, make) -> None:
        """The image with one more layer, from the cache or from *make*."""
        found = buildcache.recall(key) if self.cached else None
        if found is None:
            found = make()
            buildcache.remember(key, found)
        else:
            self.say("  (from the cache)")
        state.image, state.key, state.created = found, key, found.document.get("created")
        state.history.append({"created": state.created, "created_by": step.history})


def finished(state: State, stage: plan.Planned) -> Image:
    """The image of a completed *stage*: the same layers, history and configuration always give the same image."""
    if state.image is None:
        raise ContainerError("the image has no files: use a base image, or COPY")
    document = {
        key: value
        for key, value in state.image.document.items()
        if key not in ("author", "container", "container_config", "id")
    }
    if stage.platform:
        document |= manifest.parse_platform(stage.platform)
    config = {
        key: value
        for key, value in stage.config.items()
        if value or (key in ("Cmd", "Entrypoint") and value is not None)
    }
    history = [{key: value for key, value in entry.items() if value is not None} for entry in state.history]
    document |= {"created": state.created or timestamps.stamp(0), "config": config, "history": history}
    if stage.author:
        document["author"] = stage.author
    with ingest.Making(None) as making:
        for digest in state.image.digests:
            making.use(digest)
        return making.finish(jsonfile.dumps(_text(document)).encode())


def _text(value):
    """*value* with the bytes replaced that are not UTF-8: JSON cannot represent them."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_text(key): _text(each) for key, each in value.items()}
    return [_text(each) for each in value] if isinstance(value, (list, tuple)) else value
