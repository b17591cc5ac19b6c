"""The plan of a build, made before its first step: the stages that are needed, and their steps with all values.

So every mistake is an error before the first step. Variables depend on the configuration of base images, but not on
their files: these images are fetched here.
"""

from __future__ import annotations

import collections
import posixpath
import re

from minict.engine.distribution import manifest
from minict.engine.images import pull
from minict.engine.images.image import Image
from minict.runtime.errors import ContainerError

from . import configuration, dockerfile, lexer, modes, mounts, scopes, substitution
from .context import Context
from .dockerfile import Instruction, Stage

#: An instruction that changes no files: its text in the *history*.
Note = collections.namedtuple("Note", "number name shown history")

#: RUN.  *command*: its words; *script*: the text of a here-document that is executed as a file, with its name;
#: *environment*, *user*, *directory*: for the command; *mounts*: each with its origin; *network*: of --network,
#: or "default".
Run = collections.namedtuple(
    "Run", "number name shown history command script environment user directory mounts network"
)

#: COPY and ADD.  *origin*: where the *sources* are; *documents*: here-documents, (name, text); *path*: the destination;
#: *chown*, *chmod*: as they were written, or ""; *checksum*, *excludes*, *unpack* and *unpack_remote* (of what the web
#: gives), *parents*, *link*: the options.
Copy = collections.namedtuple(
    "Copy",
    "number name shown history origin sources documents path chown chmod checksum excludes unpack unpack_remote "
    "parents link",
)

#: WORKDIR: *path* is made for *user* if it is not there.
Workdir = collections.namedtuple("Workdir", "number name shown history path user")

_REMOTE = ("http://", "https://")
_GIT = re.compile(r"(git://|git@|ssh://)|https?://.*\.git(#.*)?$")


class Planned:
    """A stage with its steps.

    *base*: the :class:`Image` or the stage that it begins with, or None.  *config*: the configuration of its
    image; *author*: from MAINTAINER. *scope*: its variables. *platform*: its platform, or None. *has_cmd*: whether it
    has a CMD of its own.
    """

    def __init__(
        self, stage: Stage, base, shown: str, config: dict, scope: scopes.Scope, author: str, platform: str | None
    ):
        self.number, self.name, self.base, self.shown = stage.number, stage.name, base, shown
        self.config, self.scope, self.author, self.platform = config, scope, author, platform
        self.steps: list = []
        self.has_cmd = False


class Planner:
    """Plans the stages of *recipe* that are needed.

    *context*: the :class:`Context`.  *contexts*: of --build-context, by name: a Context, or the name of an image or a
    stage. *args*: of --build-arg.  *platform*: of --platform, or None.  *pull_policy*: ``missing`` or ``always``.
    *check*: called with each COPY and ADD, to find missing files early.
    """

    def __init__(
        self,
        recipe: dockerfile.Dockerfile,
        context: Context,
        *,
        contexts: dict,
        args: dict[str, str],
        platform: str | None,
        target: str | None,
        pull_policy: str,
        check=lambda step: None,
    ):
        self.recipe, self.context, self.contexts, self.args = recipe, context, contexts, args
        self.platform, self.pull_policy, self.check = platform, pull_policy, check
        here = manifest.parse_platform(f"linux/{manifest.architecture()}")
        wanted = manifest.parse_platform(platform) if platform else here
        if wanted["os"] != "linux":
            raise ContainerError(
                f"invalid --platform {platform}: only images for Linux are built: use linux/{manifest.architecture()}"
            )
        self.target = self._target(target)
        standard = scopes.platform_arguments(here, wanted, self.target.name, args)
        self.globals = scopes.global_arguments(recipe.args, standard, args, recipe.escape)
        self.done: dict[int, Planned] = {}
        self.under_way: list[int] = []
        self.images: dict = {}

    def _target(self, name: str | None) -> Stage:
        if name is None:
            return self.recipe.stages[-1]
        found = self._stage_called(name, len(self.recipe.stages))
        if found is None:
            names = ", ".join(stage.name or str(stage.number) for stage in self.recipe.stages)
            raise ContainerError(f"--target {name}: no such stage: use one of {names}")
        return found

    def plan(self) -> Planned:
        """Plan the stage to build, after the stages that it needs: :attr:`done`.  Raises :class:`ContainerError`."""
        for stage in self.recipe.stages:  # unneeded stages must be valid too
            for each in stage.instructions:
                self._check_origins(stage, each)
        return self._planned(self.target)

    def _check_origins(self, stage: Stage, each: Instruction) -> None:
        names = [each.flags["from"]] if "from" in each.flags else []
        for name in names:
            found = self._stage_called(name, len(self.recipe.stages))
            if name.isdecimal() and found is None:
                raise lexer.wrong(each.number, f"--from={name}: no stage has that number")
            if found and found.number >= stage.number:
                raise lexer.wrong(each.number, f"--from={name}: the stage is not defined before this one: move it up")

    # ---- stages

    def _stage_called(self, name: str, before: int) -> Stage | None:
        """The last stage with this *name* or number among the stages before the number *before*."""
        stages = self.recipe.stages[:before]
        found = [stage for stage in stages if stage.name and stage.name == name.lower()]
        if not found and name.isascii() and name.isdecimal() and len(name) < 10 and int(name) < len(stages):
            found = [stages[int(name)]]
        return found[-1] if found else None

    def _planned(self, stage: Stage) -> Planned:
        if stage.number not in self.done:
            self.done[stage.number] = self._plan_stage(stage)
        return self.done[stage.number]

    def _plan_stage(self, stage: Stage) -> Planned:
        try:
            planned = self._begin(stage)
        except ContainerError as error:
            raise _at(stage.line, "FROM", error) from error
        for text in planned.config.pop("OnBuild", None) or []:
            for each in dockerfile.triggers(text, stage.line):
                self._add(planned, stage, each)
        for each in stage.instructions:
            self._add(planned, stage, each)
        return planned

    def _begin(self, stage: Stage) -> Planned:
        """A new stage without steps, with the configuration and the variables of its base."""
        name = substitution.expand(stage.base, self.globals, self.recipe.escape)
        if not name:
            raise ContainerError(f"{stage.base} expands to nothing: set the ARG with --build-arg")
        platform = self._platform(stage)
        base = None if name == "scratch" else self._base(name, stage, platform)
        if isinstance(base, Context):
            raise ContainerError(f"{name} is a directory, not an image: use COPY --from={name} to copy from it")
        if isinstance(base, Planned):
            return Planned(
                stage, base, name, dict(base.config), base.scope.inherited(), base.author, platform or base.platform
            )
        config = dict(base.config) if base else {}
        variables = dict(word.split("=", 1) for word in config.get("Env") or [] if "=" in word)
        if "PATH" not in variables:
            variables["PATH"] = scopes.DEFAULT_PATH
            config["Env"] = [*(config.get("Env") or []), f"PATH={scopes.DEFAULT_PATH}"]
        scope = scopes.Scope(variables, {}, self.args, self.globals, self.recipe.escape)
        return Planned(stage, base, name, config, scope, base.document.get("author", "") if base else "", platform)

    def _platform(self, stage: Stage) -> str | None:
        if not stage.platform:
            return self.platform
        platform = substitution.expand(stage.platform, self.globals, self.recipe.escape)
        if not platform:
            raise ContainerError(f"--platform={stage.platform} expands to nothing: set the ARG with --build-arg")
        manifest.parse_platform(platform)
        return platform

    def _base(self, name: str, stage: Stage, platform: str | None):
        found = self._named(name)
        if found is not None:
            return found
        earlier = self._stage_called(name, stage.number)
        if earlier and not name.isdecimal():
            return self._planned(earlier)
        return self._image(name, platform)

    def _named(self, name: str):
        """The value of --build-context for *name*: a Context, an image or a stage; or None."""
        value = self.contexts.get(name) or self.contexts.get(name.removesuffix(":latest"))
        if value is None or isinstance(value, Context):
            return value
        stage = self._stage_called(value, len(self.recipe.stages))
        return self._planned(stage) if stage else self._image(value, self.platform)

    def _image(self, name: str, platform: str | None) -> Image:
        if (name, platform) not in self.images:
            self.images[name, platform] = pull.ensure(name, self.pull_policy, platform=platform)
        return self.images[name, platform]

    def _origin(self, name: str, stage: Stage):
        """Resolve --from=NAME, or from=NAME of a mount, to a Context, a Planned stage, an Image, or None for
        scratch."""
        found = self._named(name)
        if found is not None:
            return found
        earlier = self._stage_called(name, len(self.recipe.stages))
        if earlier and earlier.number >= stage.number:
            raise ContainerError(f"from={name}: the stage is not defined before this one: move it up")
        if earlier:
            return self._planned(earlier)
        return None if name == "scratch" else self._image(name, self.platform)

    # ---- steps

    def _add(self, planned: Planned, stage: Stage, each: Instruction) -> None:
        try:
            make = {"RUN": self._run, "COPY": self._copy, "ADD": self._copy, "WORKDIR": self._workdir}.get(each.name)
            if make:
                planned.steps.append(make(planned, stage, each))
            else:
                planned.steps.append(
                    Note(each.number, each.name, each.text.strip(), configuration.apply(planned, each))
                )
        except ContainerError as error:
            raise _at(each.number, each.name, error) from error

    def _workdir(self, planned: Planned, stage: Stage, each: Instruction) -> Workdir:
        current = planned.config.get("WorkingDir") or "/"
        path = "/" + posixpath.normpath(posixpath.join("/", current, planned.scope.expand(each.args[0]))).lstrip("/")
        planned.config["WorkingDir"] = path
        return Workdir(
            each.number, each.name, each.text.strip(), f"WORKDIR {path}", path, planned.config.get("User") or ""
        )

    def _run(self, planned: Planned, stage: Stage, each: Instruction) -> Run:
        config, scope = planned.config, planned.scope
        command, script = _command(config, each)
        found = []
        for text in each.flags.get("mount", ()):
            mount = mounts.expanded(text, scope.expand)
            target = mount.target
            if target or mount.type != "secret":
                target = posixpath.normpath(posixpath.join("/", config.get("WorkingDir") or "/", target))
            if target == "/":
                raise ContainerError(f"invalid --mount={text}: the target is /: use target=DIRECTORY")
            origin = self._mount_origin(mount, stage)
            found.append((mount._replace(target=target), origin))
        declared = [f"{name}={scope.variables.get(name, value)}" for name, value in scope.declared.items()]
        history = " ".join(["RUN", *([f"|{len(declared)}", *declared] if declared else []), *command])
        return Run(
            number=each.number,
            name=each.name,
            shown=each.text.strip(),
            history=history,
            command=command,
            script=script,
            environment=dict(scope.variables),
            user=config.get("User") or "",
            directory=config.get("WorkingDir") or "",
            mounts=found,
            network=each.flags.get("network", "default"),
        )

    def _mount_origin(self, mount: mounts.Mount, stage: Stage):
        if mount.origin:
            return self._origin(mount.origin, stage)
        return self.context if mount.type == "bind" else None

    def _copy(self, planned: Planned, stage: Stage, each: Instruction) -> Copy:
        flags, expand = each.flags, planned.scope.expand
        sources, texts = self._sources(planned, each)
        path = _joined(planned.config.get("WorkingDir") or "/", expand(each.args[-1]))
        chmod, checksum = expand(flags.get("chmod", "")), expand(flags.get("checksum", ""))
        if chmod:
            modes.parse(chmod)
        if checksum and not re.fullmatch(r"sha256:[0-9a-f]{64}", checksum):
            raise ContainerError(f"invalid --checksum={checksum}: use sha256: and 64 hexadecimal digits")
        self._check_sources(each, sources, flags)
        options = "".join(f" --{key}={flags[key]}" for key in ("from", "chown", "chmod") if key in flags)
        step = Copy(
            number=each.number,
            name=each.name,
            shown=each.text.strip(),
            history=f"{each.name}{options} {' '.join([*sources, *(name for name, _ in texts)])} {path}",
            origin=self._origin(flags["from"], stage) if "from" in flags else self.context,
            sources=sources,
            documents=texts,
            path=path,
            chown=expand(flags.get("chown", "")),
            chmod=chmod,
            checksum=checksum,
            excludes=flags.get("exclude", []),
            unpack=flags.get("unpack", each.name == "ADD"),
            unpack_remote=flags.get("unpack", False),
            parents=flags.get("parents", False),
            link=flags.get("link", False),
        )
        self.check(step)
        return step

    def _sources(self, planned: Planned, each: Instruction) -> tuple[list[str], list[tuple[str, str]]]:
        """The sources of COPY and ADD: paths and URLs, and here-documents as (name, text)."""
        sources, texts = [], []
        for word in each.args[:-1]:
            found = lexer.here_document(word)
            document = next((document for document in each.documents if found and document.name == found.name), None)
            if document:
                texts.append((document.name, _document_text(document, planned.scope.variables)))
            else:
                sources.append(planned.scope.expand(word))
        return sources, texts

    def _check_sources(self, each: Instruction, sources: list[str], flags: dict) -> None:
        for source in sources:
            remote = source.startswith(_REMOTE)
            if _GIT.match(source):
                raise ContainerError(
                    f"{source} is a git repository, which is not supported: clone it into the context, or in a RUN step"
                )
            if remote and each.name == "COPY":
                raise ContainerError(f"{source}: COPY does not support URLs: use ADD")
        if "checksum" in flags and not (len(sources) == 1 and sources[0].startswith(_REMOTE)):
            raise ContainerError("--checksum requires exactly one source, a URL")
        if "keep-git-dir" in flags:
            raise ContainerError("--keep-git-dir is not supported: git repositories are not fetched")


def _document_text(document: lexer.Document, variables: dict[str, str]) -> str:
    text = lexer.without_tabs(document.text) if document.strips_tabs else document.text
    return substitution.expand_document(text, variables) if document.expands else text


def _joined(directory: str, path: str) -> str:
    """*path* relative to *directory*; a slash at its end stays, and ``.`` is a directory too."""
    joined = posixpath.normpath(posixpath.join("/", directory, path))
    joined = "/" + joined.lstrip("/")
    is_directory = path in ("", ".") or path.endswith(("/", "/."))
    return f"{joined.rstrip('/')}/" if is_directory else joined


def _command(config: dict, each: Instruction) -> tuple[list[str], tuple[str, str] | None]:
    """The arguments of RUN, and its script if a here-document names its own interpreter (``#!``)."""
    if not each.documents:
        return configuration.shell_command(config, each), None
    text, first = each.args[0], each.documents[0]
    if lexer.here_document(text):
        text = lexer.without_tabs(first.text) if first.strips_tabs else first.text
        if text.startswith("#!"):
            return [f"/dev/pipes/{first.name}"], (first.name, text)
    else:
        text = "\n".join([text, *(f"{document.text}{document.name}" for document in each.documents)])
    return configuration.shell_command(config, each._replace(args=[text])), None


def _at(number: int, name: str, error: ContainerError) -> ContainerError:
    """*error* with the line and the instruction that caused it."""
    if str(error).startswith("line "):
        return error
    return ContainerError(f"line {number} of the Dockerfile, {name}: {error}", errno=error.errno, status=error.status)
