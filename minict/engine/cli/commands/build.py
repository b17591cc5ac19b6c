"""``minict build``, and its cache."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, by_name, under
from minict.runtime.errors import ContainerError

from .run import SETTINGS
from .system import FORCE, NAMELESS_IMAGES, agreed, report


def build(fields: dict, arguments: list[str]) -> None:
    import sys

    from minict.engine.builder import builder, outputs, secrets
    from minict.engine.containers import env

    _check(fields)
    if fields.get("iidfile"):
        _remove(fields["iidfile"])  # a failed build must not leave the id of an older one
    wanted = [outputs.parse(text) for text in fields.get("output", ())]
    exports = [each for each in wanted if each.type in ("local", "tar") or each.destination]
    names = [*fields.get("tag", ()), *(each.name for each in wanted if each.name)]
    quiet = fields.get("quiet", False) or fields.get("progress") == "quiet"
    to_stdout = any(each.destination == "-" for each in exports)
    sys.stdout.flush()
    said = _Said(quiet, 2 if to_stdout else 1)
    try:
        image = builder.build(
            arguments[0],
            file=fields.get("file"),
            tag=names,
            args=_arguments(fields.get("build_arg", ())),
            labels=env.pairs(fields.get("label", ()), "--label"),
            target=fields.get("target"),
            use_cache=not fields.get("no_cache"),
            fresh_stages=[name for text in fields.get("no_cache_filter", ()) for name in text.split(",")],
            pull=fields.get("pull", False),
            settings=_settings(fields),
            platform=fields.get("platform"),
            contexts=_contexts(fields.get("build_context", ())),
            secrets=secrets.read(fields.get("secret", ())),
            say=said.line,
            output=said.output,
            check_only=bool(fields.get("check") or fields.get("call")),
        )
    except ContainerError:
        said.show()
        raise
    if image is None:
        print("Check complete, no errors found.")
        return
    for each in exports:
        outputs.write(each, image)
    _push(fields, wanted, names)
    _write_files(fields, image, names)
    if not to_stdout:
        print(f"sha256:{image.id}" if quiet else f"built {image.id[:12]}{''.join(f', {name}' for name in image.names)}")


class _Said:
    """The output of a build: its lines and the output of its commands go to the descriptor *fd*; *quiet*: only if it
    fails.
    """

    _MOST = 1 << 20  # bytes that a quiet build keeps

    def __init__(self, quiet: bool, fd: int):
        self._quiet, self._kept, self._fd = quiet, bytearray(), fd

    @property
    def output(self):
        """The destination for the output of RUN: a descriptor, or a function."""
        return self._keep if self._quiet else self._fd

    def line(self, text: str) -> None:
        data = f"{text}\n".encode(errors="surrogateescape")
        if not self._quiet:
            from minict.runtime.files import write_all

            write_all(self._fd, data)
        else:
            self._keep(data)

    def _keep(self, data: bytes) -> None:
        self._kept += data
        del self._kept[: -self._MOST]

    def show(self) -> None:
        """Print what a quiet build has kept to standard error."""
        import os

        if self._kept:
            os.write(2, bytes(self._kept))


def _arguments(words: list[str]) -> dict[str, str]:
    """``NAME=VALUE``, or ``NAME`` for the caller's own variable, if there is one."""
    import os

    found = {}
    for word in words:
        name, given, value = word.partition("=")
        if not name:
            raise ContainerError(f"invalid --build-arg {word}: use NAME=VALUE")
        if given or name in os.environ:
            found[name] = value if given else os.environ[name]
    return found


def _contexts(words: list[str]) -> dict[str, str]:
    for word in words:
        if not all(word.partition("=")):
            raise ContainerError(f"invalid --build-context {word}: use NAME=DIRECTORY or NAME=docker-image://IMAGE")
    return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def _settings(fields: dict) -> dict:
    """The options for RUN steps; the network "default" is the containers' default network."""
    found = {name: fields[name] for name in _OF_RUN if name in fields}
    if found.get("network") in ("default", ["default"]):
        del found["network"]
    return found


def _check(fields: dict) -> None:
    """Refuse options that are not supported, and note those that have no effect.  Raises :class:`ContainerError`."""
    import os

    for field, reason in _REFUSED.items():
        if fields.get(field):
            raise ContainerError(f"--{field.replace('_', '-')} is not supported: {reason}")
    platform = fields.get("platform", "")
    if "," in platform:
        raise ContainerError(f"invalid --platform {platform}: build for one platform at a time")
    if fields.get("progress", "auto") not in ("auto", "plain", "tty", "quiet", "rawjson"):
        raise ContainerError(f"invalid --progress {fields['progress']}: use auto, plain, tty, quiet or rawjson")
    if fields.get("isolation", "default") not in ("default", ""):
        raise ContainerError(f"invalid --isolation {fields['isolation']}: use default")
    if fields.get("call", "check") not in ("build", "check"):
        raise ContainerError(f"invalid --call {fields['call']}: use build or check")
    if fields.get("call") == "build":
        del fields["call"]
    if "security.insecure" in fields.get("allow", ()):
        raise ContainerError("--allow security.insecure is not supported: leave it out")
    for field, reason in _IGNORED.items():
        if fields.get(field) and fields[field] not in ("false", "0", "max", "min"):
            os.write(2, f"note: --{field.replace('_', '-')} is ignored: {reason}\n".encode())


def _push(fields: dict, wanted: list, names: list[str]) -> None:
    if fields.get("push") or any(each.push for each in wanted):
        from minict.engine.images import push

        if not names:
            raise ContainerError("--push requires a name: use -t")
        for name in names:
            push.push(name)


def _remove(path: str) -> None:
    import contextlib
    import os

    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _write_files(fields: dict, image, names: list[str]) -> None:
    """``--iidfile`` and ``--metadata-file``.  Raises :class:`ContainerError`."""
    from minict.runtime import jsonfile

    metadata = {"containerimage.config.digest": f"sha256:{image.id}", "containerimage.digest": f"sha256:{image.id}"}
    if names:
        metadata["image.name"] = ",".join(names)
    texts = {"iidfile": f"sha256:{image.id}", "metadata_file": jsonfile.dumps(metadata)}
    for field, text in texts.items():
        if fields.get(field):
            try:
                with open(fields[field], "w") as file:
                    file.write(text)
            except OSError as error:
                raise ContainerError(f"--{field.replace('_', '-')} {fields[field]}: {error.strerror}") from None


def prune(fields: dict, arguments: list[str]) -> None:
    from minict.engine.builder import mounting
    from minict.engine.images import buildcache
    from minict.engine.images.prune import remove_unused

    if fields.get("force") or agreed(["the build cache", NAMELESS_IMAGES]):
        print(f"Removed {buildcache.forget()} steps and {mounting.forget()} cache mounts")
        report("Images", remove_unused())


# The options of `run` that RUN steps support.
_OF_RUN = (
    "memory",
    "memory_swap",
    "cpu_shares",
    "cpu_quota",
    "cpu_period",
    "cpuset_cpus",
    "cpuset_mems",
    "ulimit",
    "shm_size",
    "cgroup_parent",
    "network",
    "add_host",
    "security_opt",
)

_REFUSED = {
    "ssh": "pass the key with --secret, or fetch the sources before the build",
    "squash": "use FROM scratch and COPY --from=STAGE / / for one layer",
    "attest": "attestations are not created",
    "annotation": "use --label",
}
_NO_DAEMON = "the build runs in this process"
_IGNORED = {
    "cache_from": "the build cache of this machine is used",
    "cache_to": "the build cache of this machine is used",
    "sbom": "attestations are not created",
    "builder": _NO_DAEMON,
    "stream": _NO_DAEMON,
}

COMMANDS = by_name(
    Command(
        "build",
        "[OPTION…] DIRECTORY|-",
        "Build an image from a Dockerfile.  With - the context, or the Dockerfile alone, is read from STDIN.",
        "minict build -t my-app .",
        build,
        [
            Option("-t --tag", "Name and optionally a tag for the image", "NAME[:TAG]", many=True),
            Option("-f --file", "Name of the Dockerfile (DIRECTORY/Dockerfile); - reads STDIN", "FILE"),
            Option(
                "--build-arg", "Set build-time variables; NAME alone takes its current value", "NAME=VALUE", many=True
            ),
            Option("--build-context", "Additional build contexts", "NAME=DIRECTORY", many=True),
            Option("--target", "Set the target build stage to build", "NAME"),
            Option("--platform", "Set target platform for build", "PLATFORM"),
            Option("--label", "Set metadata for an image", "NAME=VALUE", many=True),
            Option("--secret", "Secret to expose to the build", "id=NAME,src=FILE", many=True),
            Option("--no-cache", "Do not use cache when building the image"),
            Option("--no-cache-filter", "Do not cache specified stages", "STAGE", many=True),
            Option("--pull", "Always attempt to pull all referenced images"),
            Option(
                "-o --output",
                "Output destination",
                "DIRECTORY|type=TYPE,dest=PATH",
                many=True,
            ),
            Option("--push", "Push the image after the build"),
            Option("--load", "Load the image into the store (always done)"),
            Option("--check", "Check the Dockerfile without building"),
            Option("--call", "Set method for evaluating build (build, check)", "NAME"),
            Option("--iidfile", "Write the image ID to a file", "FILE"),
            Option("--metadata-file", "Write build result metadata to a file", "FILE"),
            *under(
                "Compatibility",
                Option("--force-rm --rm", "Always remove intermediate containers (always done)"),
                Option("-q --quiet", "Suppress the build output and print the image ID on success"),
                Option("--progress", "Set type of progress output (plain, quiet)", "KIND"),
                Option("--allow", "Allow extra privileged entitlement (network.host)", "RIGHT", many=True),
                Option("--compress", "Compress the build context (no effect)"),
                Option("--disable-content-trust", "Skip image verification (no effect)"),
                Option("--provenance", "Provenance attestation (no effect)", "KIND"),
                Option("--isolation", "Container isolation technology (default)", "KIND"),
                Option("--cache-from", "External cache sources (ignored with a note)", "CACHE", many=True),
                Option("--cache-to", "Cache export destinations (ignored with a note)", "CACHE", many=True),
                Option("--sbom", "SBOM attestation (ignored with a note)", "KIND"),
                Option("--builder", "Builder instance (ignored with a note)", "NAME"),
                Option("--stream", "Stream the build context (ignored with a note)"),
                Option("--ssh", "SSH agent or keys to expose (refused)", "VALUE", many=True),
                Option("--attest", "Attestation parameters (refused)", "VALUE", many=True),
                Option("--annotation", "Annotations for the image (refused)", "VALUE", many=True),
                Option("--squash", "Squash new layers into one (refused)"),
            ),
            *(option for option in SETTINGS if option.field in _OF_RUN),
        ],
        (1, 1),
    ),
    Command(
        "builder prune",
        "[OPTION…]",
        "Remove the build cache, and images without a name.",
        "minict builder prune -f",
        prune,
        [FORCE],
    ),
)
