"""The three JSON documents that an image is described by, read with suspicion: anybody may have written them.

::

    index      one image for many machines: a manifest's digest for each platform
    manifest   the digest of the configuration, and of each layer's blob: the archive as it travels, compressed
    config     what a container of the image is to be, and each layer's DiffID: the digest of the archive, not
               compressed

The OCI's forms and Docker's own (version 2, schema 2) differ in their media types alone.  Each function raises
:class:`ContainerError` with a sentence that begins with *name*, which is what messages call the document.

Source: OCI image-spec, image-index.md, manifest.md, config.md; Docker's "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

import os

from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError

from .reference import is_digest, is_tag

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP, LAYER_ZSTD = f"{LAYER}+gzip", f"{LAYER}+zstd"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
# What Docker 1.10 and some registries of its time wrote; such images are still there.  Source: moby,
# distribution/pull_v2.go.
_OLD_CONFIGS = ("application/octet-stream", "application/json", "text/html", "")
DOCKER_LAYER, DOCKER_LAYER_GZIP = (
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
INDEXES, MANIFESTS = (INDEX, DOCKER_INDEX), (MANIFEST, DOCKER_MANIFEST)
PLAIN_LAYERS = (LAYER, DOCKER_LAYER)  # not compressed
LAYERS = (*PLAIN_LAYERS, LAYER_GZIP, LAYER_ZSTD, DOCKER_LAYER_GZIP, "application/vnd.docker.image.rootfs.diff.tar.zstd")

MAX_DOCUMENT = 4 << 20  # bytes, as registries and other runtimes have it
MAX_LAYERS = 400  # so many fit on the page that mount(2) takes; Docker builds no more than 127
MAX_BLOB = 128 << 30


class Descriptor:
    """What is known of a blob before it comes: ``media_type``, ``digest`` (``sha256:…``), ``size`` in bytes; in an
    index ``platform``, the dictionary of the standard, too.  Source: image-spec, descriptor.md."""

    def __init__(
        self, media_type: str, digest: str, size: int, platform: dict | None = None, annotations: dict | None = None
    ):
        self.media_type, self.digest, self.size = media_type, digest, size
        self.platform, self.annotations = platform or {}, annotations or {}

    def __repr__(self):
        return f"<Descriptor {self.digest[7:19]}: {self.media_type}, {self.size} bytes>"

    def as_dict(self) -> dict:
        """As it stands in a document."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


class Manifest:
    """``config``, a :class:`Descriptor`; ``layers``, one for each layer, the lowest first; ``media_type``; ``data``,
    the bytes themselves; ``digest``, theirs."""

    def __init__(self, data: bytes, media_type: str, config: Descriptor, layers: list[Descriptor]):
        self.data, self.media_type, self.config, self.layers = data, media_type, config, layers

    @property
    def digest(self) -> str:
        return digest_of(self.data)

    @classmethod
    def of(cls, config: Descriptor, layers: list[Descriptor]) -> Manifest:
        """A new manifest, in the OCI's form."""
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.as_dict(),
            "layers": [each.as_dict() for each in layers],
        }
        return cls(jsonfile.dumps(document).encode(), MANIFEST, config, layers)


def digest_of(data: bytes) -> str:
    """The digest of *data*, as ``sha256:…``."""
    import hashlib

    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def check(data: bytes, digest: str, name: str) -> None:
    """Refuse *data* that is not what *digest* says."""
    if digest_of(data) != digest:
        raise ContainerError(
            f"{name} is not what its digest says ({digest[:19]}…): it was changed on its way; get it again"
        )


def kind(data: bytes, name: str) -> str:
    """``index`` or ``manifest``: what the document *data* is, by its media type, or where it says none by what it
    holds."""
    document = _object(data, name)
    media_type = document.get("mediaType")
    if media_type in INDEXES or (media_type is None and "manifests" in document):
        return "index"
    if media_type in MANIFESTS or (media_type is None and "layers" in document):
        return "manifest"
    if document.get("schemaVersion") == 1:
        raise ContainerError(
            f"{name} is of Docker's first kind (schema 1), given up in 2017: push the image anew with a newer tool"
        )
    raise ContainerError(f"{name} is of the kind {str(media_type)[:100]!r}: minict reads OCI and Docker images")


def parse_index(data: bytes, name: str = "the index") -> list[Descriptor]:
    """The manifests of an index, in its order."""
    manifests = _object(data, name).get("manifests")
    if not isinstance(manifests, list):
        raise _lies(name, "it lists no manifests")
    return [_descriptor(each, f"{name}, manifest {number}") for number, each in enumerate(manifests)]


def choose(manifests: list[Descriptor], platform: str | None = None, name: str = "the index") -> Descriptor:
    """That of an index's *manifests* that is for *platform* (``linux/arm64/v8``), or for this machine."""
    wanted = parse_platform(platform)
    manifests = [each for each in manifests if each.media_type in (*MANIFESTS, *INDEXES)]
    fitting = [each for each in manifests if fits(each.platform, wanted)] or [
        each for each in manifests if not each.platform
    ]
    if not fitting:
        there = ", ".join(
            sorted({platform_name(each.platform) for each in manifests if each.platform.get("os") != "unknown"})
        )
        raise ContainerError(
            f"{name} has no image for {platform_name(wanted)}, only for {there[:300] or 'no platform'}"
        )
    # of several variants the one that is asked for, else the first
    return next((each for each in fitting if each.platform.get("variant") == wanted.get("variant")), fitting[0])


def parse_tags(data: bytes, name: str = "the list of tags") -> list[str]:
    """The tags of a repository, as the registry lists them (distribution-spec, listing tags)."""
    tags = _object(data, name).get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in tags):
        raise _lies(name, "what it lists are no tags")
    return tags


def parse_manifest(data: bytes, name: str = "the manifest") -> Manifest:
    """A manifest, of which every field that counts has been looked at."""
    document = _object(data, name)
    layers = document.get("layers")
    if not isinstance(layers, list):
        raise _lies(name, "it lists no layers")
    if len(layers) > MAX_LAYERS:
        raise _lies(name, f"it has {len(layers)} layers, and {MAX_LAYERS} is the limit")
    config = _descriptor(document.get("config"), f"{name}, config")
    if config.media_type not in (CONFIG, DOCKER_CONFIG, *_OLD_CONFIGS):
        raise ContainerError(
            f"{name} is of no image but of {config.media_type[:100]!r}: no container can be made of that"
        )
    if config.size > MAX_DOCUMENT:
        raise _lies(name, f"its configuration has {config.size} bytes, and {MAX_DOCUMENT} is the limit")
    layers = [_descriptor(layer, f"{name}, layer {number}") for number, layer in enumerate(layers)]
    for layer in layers:
        if layer.media_type.replace(".foreign", "").replace(".nondistributable", "") not in LAYERS:
            raise ContainerError(
                f"{name} has a layer of the kind {layer.media_type[:100]!r}, which is no archive of files"
            )
    media_type = document.get("mediaType") or (MANIFEST if config.media_type == CONFIG else DOCKER_MANIFEST)
    return Manifest(data, media_type, config, layers)


def parse_config(data: bytes, name: str = "the configuration") -> dict:
    """An image's configuration, of which what minict uses has the types that the standard demands."""
    document = _object(data, name)
    rootfs = document.get("rootfs")
    digests = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(digests, list) or not all(map(is_digest, digests)):
        raise _lies(name, "its rootfs has no list of the layers' digests (diff_ids)")
    if len(digests) > MAX_LAYERS:
        raise _lies(name, f"it has {len(digests)} layers, and {MAX_LAYERS} is the limit")
    for field in ("architecture", "os", "variant", "created", "author", "comment"):
        if not isinstance(document.get(field, ""), (str, type(None))):
            raise _lies(name, f"its {field} is no text")
    history = document.get("history")
    if history is not None and not (isinstance(history, list) and all(isinstance(each, dict) for each in history)):
        raise _lies(name, "its history is no list of objects")
    config = document.get("config")
    if config is not None and not isinstance(config, dict):
        raise _lies(name, "its config is no object")
    for field, value in (config or {}).items():
        if field in _CONFIG_TYPES and value is not None and not _CONFIG_TYPES[field](value):
            raise _lies(name, f"{field} in its config is {str(value)[:60]!r}")
    return document


def _is_text(value: object) -> bool:
    """Whether it is a text that can be given to the kernel: without zero bytes, and of characters that there are."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a character, as JSON can write it
        return False
    return True


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_set(value: object) -> bool:
    """A set, as Go writes one: an object whose values are empty."""
    return isinstance(value, dict) and all(map(_is_text, value))


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(each) for pair in value.items() for each in pair)


_CONFIG_TYPES = {
    "Env": _is_words,
    "Cmd": _is_words,
    "Entrypoint": _is_words,
    "Shell": _is_words,
    "OnBuild": _is_words,
    "WorkingDir": _is_text,
    "User": _is_text,
    "StopSignal": _is_text,
    "Volumes": _is_set,
    "ExposedPorts": _is_set,
    "Labels": _is_table,
    "Healthcheck": lambda value: isinstance(value, dict),
}


# ---- platforms -----------------------------------------------------------------------------------------------------


def architecture() -> str:
    """This machine's processor by the name that images use (the names of the Go language)."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def parse_platform(text: str | None) -> dict:
    """``linux/arm64/v8``, ``arm64`` or None, which is this machine, as the dictionary of the standard.

    Raises :class:`ContainerError` when it is none.
    """
    words = text.split("/") if text is not None else []
    words = ["linux", *words] if len(words) == 1 and words != ["linux"] else words
    if not all(word.isascii() and word.replace(".", "").replace("_", "").isalnum() for word in words) or len(words) > 3:
        raise ContainerError(f"{text!r} is no platform: write it as linux/amd64, or linux/arm/v7")
    os_, machine, *variant = [*words, *["linux", architecture()][len(words) :]]
    return {
        "os": os_,
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        **({"variant": variant[0]} if variant else {}),
    }


def platform_name(platform: dict) -> str:
    """The dictionary *platform* as people write it: ``linux/arm64/v8``."""
    return "/".join(str(platform[field])[:40] for field in ("os", "architecture", "variant") if platform.get(field))


def fits(platform: dict, wanted: dict) -> bool:
    """A variant counts when both name one: what is made for arm/v7 runs on no arm/v6."""
    return all(platform.get(field) == wanted[field] for field in ("os", "architecture")) and (
        not platform.get("variant") or "variant" not in wanted or platform["variant"] == wanted["variant"]
    )


# ---- reading -------------------------------------------------------------------------------------------------------


def _object(data: bytes, name: str) -> dict:
    """The JSON object *data*."""
    if len(data) > MAX_DOCUMENT:
        raise _lies(name, f"it has {len(data)} bytes, and {MAX_DOCUMENT} is the limit")
    try:
        value = jsonfile.loads(data.decode("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
        return value
    except (ValueError, RecursionError) as error:
        raise ContainerError(
            f"{name} can't be read ({type(error).__name__ if isinstance(error, RecursionError) else str(error)[:80]}): "
            "it is no JSON object; get it again"
        ) from None


def _descriptor(value: object, name: str) -> Descriptor:
    if not isinstance(value, dict):
        raise _lies(name, "it is missing")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str):
        raise _lies(name, "its mediaType is missing")
    if not is_digest(digest):
        raise _lies(name, f"its digest is {str(digest)[:80]!r}, and no sha256")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BLOB:
        raise _lies(name, f"its size is {str(size)[:40]}")
    platform, annotations = value.get("platform") or {}, value.get("annotations") or {}
    if not isinstance(platform, dict) or not isinstance(annotations, dict):
        raise _lies(name, "its platform or annotations are no objects")
    return Descriptor(media_type, digest, size, platform, annotations)


def _lies(name: str, what: str) -> ContainerError:
    return ContainerError(f"{name} is not as the standard demands: {what}")
