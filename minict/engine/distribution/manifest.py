"""The three JSON documents that describe an image, parsed with suspicion: anybody may have written them.

::

    index      one image for many machines: the digest of a manifest for each platform
    manifest   the digests of the configuration and of each layer's blob: the compressed archive
    config     defaults for containers, and each layer's DiffID: the digest of the uncompressed archive

The OCI's formats and Docker's own (version 2, schema 2) differ only in their media types.  Each function raises
:class:`ContainerError` with a message that begins with *name*, which is how messages call the document.

Sources: OCI image specification, image-index.md, manifest.md, config.md; Docker's "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

import os

from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError

from .reference import is_digest, is_tag

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP, LAYER_ZSTD = f"{LAYER}+gzip", f"{LAYER}+zstd"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
# Docker 1.10 and some registries of its time wrote these; such images still exist.  Source: moby, pull_v2.go.
_OLD_CONFIGS = ("application/octet-stream", "application/json", "text/html", "")
DOCKER_LAYER, DOCKER_LAYER_GZIP = (
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
INDEXES, MANIFESTS = (INDEX, DOCKER_INDEX), (MANIFEST, DOCKER_MANIFEST)
PLAIN_LAYERS = (LAYER, DOCKER_LAYER)  # not compressed
LAYERS = (*PLAIN_LAYERS, LAYER_GZIP, LAYER_ZSTD, DOCKER_LAYER_GZIP, "application/vnd.docker.image.rootfs.diff.tar.zstd")

MAX_DOCUMENT = 4 << 20  # bytes, the limit of registries and other runtimes
MAX_LAYERS = 400  # so many fit into the 4096 bytes that mount(2) takes; Docker builds at most 127
MAX_BLOB = 128 << 30


class Descriptor:
    """A blob that may not be here yet: ``media_type``, ``digest`` (``sha256:…``), ``size`` in bytes; in an index
    also ``platform``, a dictionary of the standard. Source: OCI image specification, descriptor.md."""

    def __init__(
        self,
        media_type: str,
        digest: str,
        size: int,
        platform: dict[str, Any] | None = None,
        annotations: dict[str, str] | None = None,
    ):
        self.media_type, self.digest, self.size = media_type, digest, size
        self.platform, self.annotations = platform or {}, annotations or {}

    def __repr__(self) -> str:
        return f"<Descriptor {self.digest[7:19]}: {self.media_type}, {self.size} bytes>"

    def as_dict(self) -> dict[str, object]:
        """The form in a document."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


class Manifest:
    """``config``, a :class:`Descriptor`; ``layers``, one per layer, the lowest first; ``media_type``; ``data``, its
    bytes; ``digest``, theirs."""

    def __init__(self, data: bytes, media_type: str, config: Descriptor, layers: list[Descriptor]):
        self.data, self.media_type, self.config, self.layers = data, media_type, config, layers

    @property
    def digest(self) -> str:
        return digest_of(self.data)

    @classmethod
    def of(cls, config: Descriptor, layers: list[Descriptor]) -> Manifest:
        """A new manifest in the OCI's format."""
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


def verify(data: bytes, digest: str, name: str) -> None:
    """Raise :class:`ContainerError` unless *data* has the digest *digest*; *name* is how the message calls it."""
    if digest_of(data) != digest:
        raise ContainerError(f"{name} does not match its digest ({digest[:19]}…): it was changed on the way; try again")


def kind(data: bytes, name: str) -> str:
    """``index`` or ``manifest``: the kind of the document *data*, by its media type, or else by its content."""
    document = _object(data, name)
    media_type = document.get("mediaType")
    if media_type in INDEXES or (media_type is None and "manifests" in document):
        return "index"
    if media_type in MANIFESTS or (media_type is None and "layers" in document):
        return "manifest"
    if document.get("schemaVersion") == 1:
        raise ContainerError(
            f"{name} has Docker's old format (schema 1), deprecated in 2017: push the image again with a newer tool"
        )
    raise ContainerError(f"{name} has the unknown type {str(media_type)[:100]!r}: minict reads OCI and Docker images")


def parse_index(data: bytes, name: str = "the index") -> list[Descriptor]:
    """The manifests of an index, in its order."""
    manifests = _object(data, name).get("manifests")
    if not isinstance(manifests, list):
        raise _invalid(name, "it has no list of manifests")
    return [_descriptor(each, f"{name}, manifest {number}") for number, each in enumerate(manifests)]


def choose(manifests: list[Descriptor], platform: str | None = None, name: str = "the index") -> Descriptor:
    """The one of an index's *manifests* that is for *platform* (``linux/arm64/v8``), or for this machine."""
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
    # of several variants the requested one, else the first
    return next((each for each in fitting if each.platform.get("variant") == wanted.get("variant")), fitting[0])


def parse_tags(data: bytes, name: str = "the list of tags") -> list[str]:
    """The tags of a repository, as the registry lists them. Source: OCI distribution specification, listing tags."""
    tags = _object(data, name).get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in tags):
        raise _invalid(name, "it has invalid tags")
    return tags


def parse_manifest(data: bytes, name: str = "the manifest") -> Manifest:
    """A manifest with all relevant fields checked."""
    document = _object(data, name)
    layers = document.get("layers")
    if not isinstance(layers, list):
        raise _invalid(name, "it has no list of layers")
    if len(layers) > MAX_LAYERS:
        raise _invalid(name, f"it has {len(layers)} layers: the limit is {MAX_LAYERS}")
    config = _descriptor(document.get("config"), f"{name}, config")
    if config.media_type not in (CONFIG, DOCKER_CONFIG, *_OLD_CONFIGS):
        raise ContainerError(
            f"{name} describes {config.media_type[:100]!r} and not an image: it can't become a container"
        )
    if config.size > MAX_DOCUMENT:
        raise _invalid(name, f"its configuration has {config.size} bytes: the limit is {MAX_DOCUMENT}")
    layers = [_descriptor(layer, f"{name}, layer {number}") for number, layer in enumerate(layers)]
    for layer in layers:
        if layer.media_type.replace(".foreign", "").replace(".nondistributable", "") not in LAYERS:
            raise ContainerError(f"{name} has a layer of the unsupported type {layer.media_type[:100]!r}")
    media_type = document.get("mediaType") or (MANIFEST if config.media_type == CONFIG else DOCKER_MANIFEST)
    return Manifest(data, media_type, config, layers)


def parse_config(data: bytes, name: str = "the configuration") -> dict[str, Any]:
    """An image's configuration; the fields that minict uses have the types of the standard."""
    document = _object(data, name)
    rootfs = document.get("rootfs")
    digests = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(digests, list) or not all(map(is_digest, digests)):
        raise _invalid(name, "its rootfs has no list of the layers' digests (diff_ids)")
    if len(digests) > MAX_LAYERS:
        raise _invalid(name, f"it has {len(digests)} layers: the limit is {MAX_LAYERS}")
    for field in ("architecture", "os", "variant", "created", "author", "comment"):
        if not isinstance(document.get(field, ""), (str, type(None))):
            raise _invalid(name, f"its {field} is not a text")
    history = document.get("history")
    if history is not None and not (isinstance(history, list) and all(isinstance(each, dict) for each in history)):
        raise _invalid(name, "its history is not a list of objects")
    config = document.get("config")
    if config is not None and not isinstance(config, dict):
        raise _invalid(name, "its config is not an object")
    for field, value in (config or {}).items():
        if field in _CONFIG_TYPES and value is not None and not _CONFIG_TYPES[field](value):
            raise _invalid(name, f"{field} in its config is {str(value)[:60]!r}")
    return document


def _is_text(value: object) -> bool:
    """Whether *value* is a text that can be passed to the kernel: without zero bytes, and encodable."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which JSON allows
        return False
    return True


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_set(value: object) -> bool:
    """Whether *value* is a set as Go writes it: an object whose values are empty."""
    return isinstance(value, dict) and all(map(_is_text, value))


def _is_text_map(value: object) -> bool:
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
    "Labels": _is_text_map,
    "Healthcheck": lambda value: isinstance(value, dict),
}


# ---- platforms -----------------------------------------------------------------------------------------------------


def architecture() -> str:
    """This machine's processor by its name in images (the names of the Go language)."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def parse_platform(text: str | None) -> dict[str, str]:
    """``linux/arm64/v8``, ``arm64``, or None for this machine, as a dictionary of the standard.

    Raises :class:`ContainerError` if it is invalid.
    """
    words = text.split("/") if text is not None else []
    words = ["linux", *words] if len(words) == 1 and words != ["linux"] else words
    if not all(word.isascii() and word.replace(".", "").replace("_", "").isalnum() for word in words) or len(words) > 3:
        raise ContainerError(f"invalid platform {text!r}: use OS/ARCHITECTURE such as linux/amd64, or linux/arm/v7")
    os_, machine, *variant = [*words, *["linux", architecture()][len(words) :]]
    return {
        "os": os_,
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        **({"variant": variant[0]} if variant else {}),
    }


def platform_name(platform: dict[str, Any]) -> str:
    """The dictionary *platform* as people write it: ``linux/arm64/v8``."""
    return "/".join(str(platform[field])[:40] for field in ("os", "architecture", "variant") if platform.get(field))


def fits(platform: dict[str, Any], wanted: dict[str, str]) -> bool:
    """Whether *platform* fits. Variants are compared if both have one: an image for arm/v7 does not run on arm/v6."""
    return all(platform.get(field) == wanted[field] for field in ("os", "architecture")) and (
        not platform.get("variant") or "variant" not in wanted or platform["variant"] == wanted["variant"]
    )


# ---- reading -------------------------------------------------------------------------------------------------------


def _object(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object *data*."""
    if len(data) > MAX_DOCUMENT:
        raise _invalid(name, f"it has {len(data)} bytes: the limit is {MAX_DOCUMENT}")
    try:
        value = jsonfile.loads(data.decode("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return value
    except (ValueError, RecursionError) as error:
        raise ContainerError(
            f"{name} can't be read ({type(error).__name__ if isinstance(error, RecursionError) else str(error)[:80]}): "
            "it is not a JSON object; try again"
        ) from None


def _descriptor(value: object, name: str) -> Descriptor:
    if not isinstance(value, dict):
        raise _invalid(name, "it is missing")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str):
        raise _invalid(name, "its mediaType is missing")
    if not isinstance(digest, str) or not is_digest(digest):
        raise _invalid(name, f"its digest {str(digest)[:80]!r} is not a sha256")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BLOB:
        raise _invalid(name, f"its size is {str(size)[:40]}")
    platform, annotations = value.get("platform") or {}, value.get("annotations") or {}
    if not isinstance(platform, dict) or not isinstance(annotations, dict):
        raise _invalid(name, "its platform or annotations are not objects")
    return Descriptor(media_type, digest, size, platform, annotations)


def _invalid(name: str, what: str) -> ContainerError:
    return ContainerError(f"{name} violates the standard: {what}")
