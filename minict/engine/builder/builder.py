"""Step after step, from the base image to the new one.

An instruction that changes files makes a layer, and with it an image without a name, which the cache remembers.  RUN
makes it of what a container has changed, COPY and ADD of what was copied into a container that was never started: they
come in by the same door as ``minict cp``, and can no more than that lead out of it.  All others only change what the
image says of itself, and wait for the next layer, or the end.
"""

from __future__ import annotations

import os
import posixpath

from minict.engine.archive import extract, fsview, transfer
from minict.engine.containers.options import Settings
from minict.engine.distribution.manifest import architecture
from minict.engine.distribution.reference import full_name
from minict.engine.images import buildcache, overlay, pull, store
from minict.engine.images import config as image_config
from minict.engine.images.image import Image
from minict.engine.lifecycle import commit, task
from minict.engine.networks import sandbox
from minict.engine.spec import user as users
from minict.engine.util import streams
from minict.runtime.errors import ContainerError

from . import dockerfile
from .context import Context
from .copy_archive import Archive, opened
from .dockerfile import Document, Instruction, Stage

_SUBSTITUTED = ("ADD", "COPY", "ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR")
_SCRIPT = "/dev/pipes/script"  # below it, Docker has what here-documents say to be executed
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")  # ARGs that need no ARG


class Builder:
    """Makes an image of a recipe.

    *args*: the values of ARGs; *options* of :func:`build`.  *say* is called with each line for the person who waits.
    """

    def __init__(
        self,
        text: str,
        context: Context,
        *,
        args: dict[str, str],
        target: str | None,
        use_cache: bool,
        pull_policy: str,
        settings: dict,
        say,
        output: int,
    ):
        self.context, self.args, self.use_cache, self.pull_policy = context, args, use_cache, pull_policy
        self.settings, self.say, self.output = settings, say, output
        given, self.stages = dockerfile.parse(text)
        self.globals = {"TARGETPLATFORM": f"linux/{architecture()}", "TARGETOS": "linux", "TARGETARCH": architecture()}
        for each in given:
            name, value = self._argument(each.text, self.globals)
            self.globals[name] = value or ""
        if target is not None:
            names = [stage.name for stage in self.stages]
            if target.lower() not in names:
                raise ContainerError(
                    f"--target {target}: the Dockerfile has no stage of that name; it has {', '.join(names)}"
                )
            self.stages = self.stages[: names.index(target.lower()) + 1]
        self.done: dict[str, _Stage] = {}

    def build(self, names: list[str], labels: dict[str, str]) -> Image:
        """Do all steps, and give the image of the last stage its *names* and *labels*."""
        for number, stage in enumerate(self.stages):
            self.done[str(number)] = self.done[stage.name] = self._stage(stage)
        return self.done[self.stages[-1].name].finish(names, labels)

    def _stage(self, stage: Stage) -> _Stage:
        base = dockerfile.substitute(stage.base, self.globals)
        self.say(f"FROM {base}")
        if not base:
            raise ContainerError(f"FROM {stage.base}: nothing is left of it; give the ARG a value with --build-arg")
        state = _Stage(self, self.find_base(base))
        for each in state.triggers():
            state.do(each)
        for each in stage.instructions:
            state.do(each)
        return state

    def find_base(self, name: str) -> Image | None:
        """The image of FROM, or of --from: a stage's, or any other; None for ``scratch``, which is nothing."""
        if name in self.done:
            return self.done[name].image_now()
        return None if name == "scratch" else pull.ensure(name, self.pull_policy)

    def _argument(self, text: str, variables: dict[str, str]) -> tuple[str, str | None]:
        """``ARG NAME=DEFAULT``: the name and the value that it has here."""
        name, given, default = text.strip().partition("=")
        default = dockerfile.substitute(default.strip("\"'"), variables) if given else None
        return name, self.args.get(name, default)


class _Stage:
    """What has become of a stage so far.

    *image*: the last one that was made, None while there is nothing.  *config*: what the next one will say of containers.
    *pending*: the history of instructions since.  *key*: what the cache calls all of it.  *doing*: the instruction at work.
    """

    def __init__(self, builder: Builder, image: Image | None):
        self.builder, self.image = builder, image
        self.config = dict(image.config) if image else {"Env": []}
        self.key = buildcache.key("FROM", image.id if image else "scratch")
        self.pending: list[str] = []
        self.arguments: dict[str, str] = {}
        self.doing = ""

    def triggers(self) -> list[Instruction]:
        """The ONBUILD instructions of the base image: they are for us, and not for who builds on us."""
        return [each for text in self.config.pop("OnBuild", None) or [] for each in dockerfile.instructions(text)]

    # ---- one instruction

    def do(self, each: Instruction) -> None:
        """Do one instruction.  Raises :class:`ContainerError`, naming its line."""
        self.doing = " ".join([each.name, *(f"--{key}={value}" for key, value in each.flags.items()), each.text])
        self.builder.say(self.doing)
        try:
            text = dockerfile.substitute(each.text, self.variables()) if each.name in _SUBSTITUTED else each.text
            flags = {key: dockerfile.substitute(value, self.variables()) for key, value in each.flags.items()}
            if each.name == "ARG":
                self.declare(text)
            elif each.name == "RUN":
                self.run(text, each.documents)
            elif each.name in ("COPY", "ADD"):
                self.copy(each.name, flags, text, each.documents)
            elif each.name == "MAINTAINER":
                self.note(each.name, f"LABEL maintainer={text!r}")
            else:
                options = "".join(f"--{key}={value} " for key, value in flags.items())  # of HEALTHCHECK
                self.note(each.name, f"{each.name} {options}{text}")
        except ContainerError as error:
            raise ContainerError(
                f"line {each.number} of the Dockerfile, {each.name}: {error}", errno=error.errno, status=error.status
            ) from error

    def variables(self) -> dict[str, str]:
        """What ``$NAME`` stands for: ARGs, and the variables of the image, which are stronger."""
        return {**self.arguments, **dict(word.split("=", 1) for word in self.config.get("Env") or [] if "=" in word)}

    def declare(self, text: str) -> None:
        for word in text.split() if "=" not in text.split(maxsplit=1)[0] else [text]:
            name, value = self.builder._argument(word, self.variables())
            value = self.builder.globals.get(name) if value is None else value
            if value is not None:
                self.arguments[name] = value
        self.key = buildcache.key(self.key, "ARG", text)
        self.pending.append(f"ARG {text}")

    def note(self, name: str, text: str) -> None:
        """An instruction that only says something; WORKDIR also sees that the directory is there."""
        image_config.apply(self.config, [text])
        self.key = buildcache.key(self.key, text)
        if name != "WORKDIR" or not self.make_directory(self.config["WorkingDir"]):
            self.pending.append(text)

    def run(self, text: str, documents: dict[str, Document]) -> None:
        """A command, or in a here-document that stands alone a whole script for the shell; others are the shell's own
        matter."""
        script = documents[text].text if text in documents else ""
        text = script or "\n".join([text, *(f"{each.text}{each.name}" for each in documents.values())])
        words = None if script else image_config.words_of(text)
        command = [*(self.config.get("Shell") or ["/bin/sh", "-c"]), text] if words is None else words
        # not in the key, as in Docker
        proxies = {name: value for name, value in self.builder.args.items() if name.upper() in _PROXIES}
        # all ARGs count: nobody knows which of them the command looks at
        self.layer(
            buildcache.key(self.key, "RUN", command, sorted(self.arguments.items())),
            lambda: self.changed_by(command, {**proxies, **self.arguments}, script if script.startswith("#!") else ""),
        )

    def copy(self, name: str, flags: dict, text: str, documents: dict[str, Document]) -> None:
        words = image_config.words_of(text)
        *sources, target = text.split() if words is None else words
        if not sources:
            raise ContainerError("write at least one source and the destination")
        place = posixpath.normpath(posixpath.join("/", self.config.get("WorkingDir") or "/", target))
        archive = Archive(self.owner(flags.get("chown")), _mode(flags.get("chmod")))
        several = len(sources) > 1 or target.endswith("/") or target in (".", "..")
        if len(sources) > 1 and not target.endswith("/") and target not in (".", ".."):
            raise ContainerError(f"of several sources the destination is a directory: write {target}/")
        directory, file = (place, None) if several else posixpath.split(place)
        for source in sources:
            if source in documents:
                inner = documents[source]
                content = dockerfile.substitute(inner.text, self.variables()) if inner.expands else inner.text
                archive.add_bytes(content.encode("utf-8", "surrogateescape"), file or inner.name, mode=0o644)
            elif "from" in flags:
                self._from_image(archive, flags["from"], source, file)
            elif name == "ADD" and source.startswith(("http://", "https://")):
                archive.add_bytes(_fetched(source), file or posixpath.basename(source.rstrip("/")))
            else:
                for path in self.builder.context.find(source):
                    self._from_context(archive, path, file, unpacked=name == "ADD")
        digest = archive.finish()
        self.layer(buildcache.key(self.key, name, directory, digest), lambda: self.placed(archive, directory))

    def _from_context(self, archive: Archive, path: str, file: str | None, unpacked: bool) -> None:
        """A directory's content, an archive's content, or a file, below the name that it is to have."""
        context = self.builder.context
        found = list(context.walk(path))
        top = context._inside(path)
        if os.path.isdir(top) and not os.path.islink(top):
            if file:
                archive.add(top, file)
            for full, below in found:
                if below:
                    archive.add(full, posixpath.join(file or "", below))
        elif unpacked and (inner := opened(top)):
            with inner:
                archive.add_archive(
                    inner, lambda name: posixpath.join(file or "", posixpath.normpath("/" + name).lstrip("/")) or "."
                )
        else:
            archive.add(top, file or posixpath.basename(path))

    def _from_image(self, archive: Archive, name: str, source: str, file: str | None) -> None:
        """The same from a stage that was done before, or from any other image."""
        import tarfile
        import tempfile

        image = self.builder.find_base(name.lower() if name.lower() in self.builder.done else name)
        if image is None:
            raise ContainerError(f"--from={name}: there is nothing in it")
        with store.Making(None) as place, tempfile.TemporaryFile() as stream:
            files = fsview.of_image(image, place.path)
            path = posixpath.normpath(posixpath.join("/", source))
            kind = fsview.Child(files, lambda: "directory" if os.path.isdir(path) else "file").wait()
            transfer.send(
                transfer.End(files, path + "/." * (kind == "directory"), f"{source} in {name}"),
                stream.fileno(),
                follow=kind == "file",
                content_of=kind == "directory",
            )
            stream.seek(0)
            with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as inner:
                if kind == "file":
                    archive.add_archive(inner, lambda each: file or posixpath.basename(path))
                else:
                    archive.add_archive(
                        inner,
                        lambda each: posixpath.join(file or "", posixpath.normpath("/" + each).lstrip("/")) or file,
                    )

    def owner(self, text: str | None) -> tuple[int, int]:
        """``--chown=USER[:GROUP]`` by the image's own tables; a user alone has the group of the same number, as in
        Docker."""
        if not text:
            return 0, 0
        user, _, group = text.partition(":")
        if self.image is None:
            if not (user.isdecimal() and (group or user).isdecimal()):
                raise ContainerError(
                    f"--chown={text}: there is no /etc/passwd in which these names could stand: write numbers"
                )
            return int(user), int(group or user)
        found, _ = users.find_user(text, self.image_now())
        return found.uid, found.gid if group or not user.isdecimal() else found.uid

    # ---- layers

    def layer(self, key: str, make) -> None:
        """The layer that *make* makes, or that the cache has: *make* returns the new image."""
        found = buildcache.recall(key) if self.builder.use_cache else None
        if found is None:
            found = make()
            buildcache.remember(key, found)
        else:
            self.builder.say("  (from the cache)")
        self.image, self.key, self.pending = found, key, []

    def changed_by(self, command: list[str], variables: dict[str, str], script: str = "") -> Image:
        """Run *command* in a container of what there is so far, and make an image of what it has changed.

        A *script* that names its own program (``#!``) is executed instead: it is mounted as a file, where Docker has
        it.
        """
        if script:
            import tempfile

            with tempfile.TemporaryDirectory() as directory:
                with open(f"{directory}/script", "w", encoding="utf-8", errors="surrogateescape") as file:
                    file.write(script)
                os.chmod(file.name, 0o755)
                return self._changed_by([_SCRIPT], variables, [f"{file.name}:{_SCRIPT}:ro"])
        return self._changed_by(command, variables)

    def _changed_by(self, command: list[str], variables: dict[str, str], volume: list[str] = ()) -> Image:
        config = self.config
        settings = Settings(
            entrypoint="",
            env=[*(config.get("Env") or []), *(f"{name}={value}" for name, value in variables.items())],
            user=config.get("User"),
            workdir=config.get("WorkingDir"),
            no_healthcheck=True,
            rm=True,
            volume=volume,
            **self.builder.settings,
        )
        record = task.create(self.image_now().id, command, settings, starting=True)
        try:
            with streams.Relay(stdout=self.builder.output, stderr=self.builder.output) as relay:
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
                            f"the command ended with the status {status}", status=status if status < 126 else 125
                        )
                    return self.committed(record)
                finally:
                    task.end(record, container, status)
        finally:
            if os.path.isdir(record.data) and record.pid is None:
                task.forget(record)

    def placed(self, archive: Archive, directory: str) -> Image:
        """Unpack *archive* into *directory* of what there is so far, and make an image of that."""
        if self.image is None:
            return self._first_layer(archive, directory)
        return self._in_container(lambda files: self._unpack(files, archive, directory))

    def _unpack(self, files, archive: Archive, directory: str) -> None:
        fsview.Child(files, lambda: os.makedirs(directory, 0o755, exist_ok=True) or "").wait()
        transfer.receive(archive.file, transfer.End(files, directory, directory))

    def _in_container(self, work) -> Image:
        """Let *work* change the files of a container that is never started, and make an image of that."""
        record = task.create(
            self.image_now().id, ["-"], Settings(entrypoint="", network="none", rm=True), starting=True
        )
        try:
            work(fsview.of_container(record))
            return self.committed(record)
        finally:
            task.forget(record)

    def _first_layer(self, archive: Archive, directory: str) -> Image:
        """From scratch: there is nothing to copy into, so the archive itself is the layer."""
        with store.Making(None) as making:
            layer = making.new_layer()
            if directory != "/":
                os.makedirs(f"{layer}/diff{posixpath.normpath(directory)}", 0o755)
            inner = fsview.Directories({"layer": f"{layer}/diff"}, writable="layer")
            transfer.receive(
                archive.file, transfer.End(inner, posixpath.join("/layer", directory.lstrip("/")), directory)
            )
            return store.commit(None, f"{layer}/diff", self.config, {"created_by": self.doing})

    def make_directory(self, path: str) -> bool:
        """WORKDIR: the directory is made if it is not there; whether that was a layer."""
        if self.image is None:
            archive = Archive()
            archive.finish()
            self.layer(buildcache.key(self.key, "mkdir"), lambda: self._first_layer(archive, path))
            return True
        made = f"if {path} is not there"
        found = buildcache.recall(buildcache.key(self.key, made)) if self.builder.use_cache else None
        if found is None:
            with store.Making(None) as place:
                files = fsview.of_image(self.image_now(), place.path)
                there = fsview.Child(files, lambda: "yes" if os.path.isdir(path) else "").wait()
            if there:
                return False
        self.layer(
            buildcache.key(self.key, made),
            lambda: self._in_container(
                lambda files: fsview.Child(files, lambda: os.makedirs(path, 0o755) or "").wait()
            ),
        )
        return True

    def committed(self, record) -> Image:
        """An image of what the container *record* has changed."""
        parent = self._with_history()
        with overlay.Changes(parent, record.data) as upper:
            return store.commit(parent, upper, self.config, {"created_by": self.doing}, ignore=commit.mounted(record))

    def image_now(self) -> Image:
        """The image as it is by now, to run or copy in; raises :class:`ContainerError` when there is nothing yet."""
        if self.image is None:
            raise ContainerError("there is nothing yet to run or to look into: COPY something into it first")
        return self.finish([], {}) if self.pending else self.image

    def _with_history(self) -> Image:
        """The last image, with the instructions since then in its history."""
        document = dict(self.image.document)
        notes = [{"created": document.get("created"), "created_by": text, "empty_layer": True} for text in self.pending]
        return Image(
            self.image.id, {**document, "history": [*(document.get("history") or []), *notes]}, self.image.name
        )

    def finish(self, names: list[str], labels: dict[str, str]) -> Image:
        """The image of all that was done, with these *names* and further *labels*."""
        if labels:
            self.config["Labels"] = {**(self.config.get("Labels") or {}), **labels}
            text = f"LABEL {' '.join(f'{key}={value}' for key, value in labels.items())}"
            self.key = buildcache.key(self.key, text)
            self.pending.append(text)
        if self.image is None:
            raise ContainerError("the Dockerfile puts nothing into the image: it has neither a base nor a COPY")
        key = buildcache.key(self.key, "is done")
        image = buildcache.recall(key) if self.builder.use_cache else None
        if image is None:
            image = self.image
            if self.pending:
                *before, last = self.pending
                self.pending = before
                image = store.commit(self._with_history(), None, self.config, {"created_by": last})
                self.pending = [*before, last]
            buildcache.remember(key, image)
        from minict.engine.images import image as images

        for name in names:
            images.tag(image.id, name)
        return image


def _mode(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text, 8)
    except ValueError:
        raise ContainerError(f"--chmod={text}: write the mode as octal digits, such as 755") from None


def _fetched(address: str) -> bytes:
    """What is at *address*.  Raises :class:`ContainerError`."""
    import urllib.request

    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            data = answer.read(extract.MAX_HEADER * 64 + 1)
    except OSError as error:
        raise ContainerError(f"{address} can't be fetched: {error}") from None
    if len(data) > extract.MAX_HEADER * 64:
        raise ContainerError(f"{address} is larger than 1 GiB: fetch it in a RUN step")
    return data


def build(
    directory: str,
    *,
    file: str | None = None,
    tag: list[str] = (),
    args: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    target: str | None = None,
    use_cache: bool = True,
    pull: bool = False,
    settings: dict | None = None,
    say=print,
    output: int = 1,
) -> Image:
    """Make the image that the Dockerfile of *directory* describes, and call it by the names *tag*.  ``-`` is a
    directory without files, and a Dockerfile on standard input.

    *file*: the Dockerfile, if it is another one; ``-`` is standard input.  *args*: values for its ARGs.  *target*: the stage to
    end with.  *use_cache*: take what the same steps have made before.  *pull*: fetch base images anew.  *settings*:
    fields of :class:`minict.engine.containers.options.Settings` for the containers of RUN, such as ``network``.
    *say* is called with a line for each step; what RUN writes goes to the descriptor *output*.
    Raises :class:`ContainerError`.
    """
    for name in tag:
        full_name(name)
    if directory == "-":
        import tempfile

        with tempfile.TemporaryDirectory() as empty:
            return build(
                empty,
                file="-",
                tag=tag,
                args=args,
                labels=labels,
                target=target,
                use_cache=use_cache,
                pull=pull,
                settings=settings,
                say=say,
                output=output,
            )
    context = Context(directory)
    builder = Builder(
        _read(directory, file),
        context,
        args=args or {},
        target=target,
        use_cache=use_cache,
        pull_policy="always" if pull else "missing",
        settings=settings or {},
        say=say,
        output=output,
    )
    return builder.build(list(tag), labels or {})


def _read(directory: str, file: str | None) -> str:
    """The text of the Dockerfile.  Raises :class:`ContainerError`."""
    import sys

    if file == "-":
        return sys.stdin.read()
    paths = [file] if file else [os.path.join(directory, name) for name in ("Dockerfile", "Containerfile")]
    for path in paths:
        try:
            with open(path, encoding="utf-8") as lines:
                return lines.read()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ContainerError(
                f"{path} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}"
            ) from None
    raise ContainerError(f"there is no {paths[0]}: write one, or name it with -f")
