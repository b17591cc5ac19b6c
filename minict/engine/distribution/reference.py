"""Image references: what a user types, completed as in Docker.

A reference is a *repository* and a tag, ``docker.io/library/tiny`` and ``latest``, or a repository and a digest,
``docker.io/library/tiny@sha256:…``, which always means the same image.  Source: the grammar of the OCI distribution
specification.
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

_SMALL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_HEX = frozenset("0123456789abcdef")
_WORD = _SMALL | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")


def full_name(name: str) -> str:
    """*name* as Docker completes it: ``tiny`` is ``docker.io/library/tiny:latest``. With a digest the tag is ignored.

    Raises :class:`ContainerError` for an invalid reference.  Valid are words of lower case letters and digits, with
    ``.``, ``_``, ``__`` or dashes inside, separated by ``/``; then optionally ``:`` and a tag, or ``@`` and a digest.
    """
    full = complete(name)
    found, reference = split(full)
    host, _, path = found.partition("/")
    _, colon, tag = name.partition("@")[0].rpartition("/")[2].partition(":")
    if not (
        _is_host(host)
        and all(map(_is_component, path.split("/")))
        and (is_digest(reference) if "@" in full else is_tag(reference))
        and (is_tag(tag) or not colon)
    ):
        raise ContainerError(f"invalid image name {name!r}: use lower case letters and digits, as in my-app:1.0")
    if len(full.replace("/", "%2F")) > 250:  # it is also a file name
        raise ContainerError(f"invalid image name {name!r}: it is about {len(full) - 230} characters too long")
    return full


def complete(name: str) -> str:
    """*name* with everything that Docker lets people leave out: HOST/PATH:TAG, or HOST/PATH@DIGEST; not checked.

    The first word is a host only if it looks like one: with a dot or a port, or ``localhost``.  Source: Docker's
    reference documentation of ``docker image tag``.
    """
    path, at, digest = name.partition("@")
    tag = "latest"
    if ":" in path.rpartition("/")[2]:
        path, _, tag = path.rpartition(":")
    host, slash, rest = path.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, rest = "docker.io", path
    if host == "docker.io" and "/" not in rest:
        rest = f"library/{rest}"
    return f"{host}/{rest}@{digest}" if at else f"{host}/{rest}:{tag}"


def short_name(full: str) -> str:
    """The familiar form: ``docker.io/library/tiny:latest`` is ``tiny:latest``."""
    return full.removeprefix("docker.io/").removeprefix("library/")


def split(full: str) -> tuple[str, str]:
    """The repository of the *full* name, and its tag or its digest (``sha256:…``)."""
    repository, at, digest = full.partition("@")
    if at:
        return repository, digest
    repository, _, tag = full.rpartition(":")
    return repository, tag


def repository(name: str) -> str:
    """The repository *name*, for all of its tags. Raises :class:`ContainerError` if there is a tag."""
    found, tag = split(full_name(name))
    if name.endswith((f":{tag}", f"@{tag}")):
        raise ContainerError(f"{name!r} has a tag: with --all-tags, give the repository only")
    return found


def is_digest(text: object) -> bool:
    """Whether *text* is ``sha256:`` and 64 hexadecimal digits, the only kind of digest in use."""
    return isinstance(text, str) and text.startswith("sha256:") and is_id(text[7:])


def is_id(text: str) -> bool:
    """Whether *text* is 64 hexadecimal digits: the full id of an image, or a digest without its algorithm."""
    return len(text) == 64 and _HEX.issuperset(text)


def may_be_id(text: str) -> bool:
    """Whether *text* can be the beginning of an image's id."""
    return 4 <= len(text) <= 64 and _HEX.issuperset(text)


def _is_component(word: str) -> bool:
    """Whether *word* is a valid path component: separators only between letters or digits."""
    word = word.replace("__", ".").replace("_", ".")
    while "--" in word:
        word = word.replace("--", "-")
    return all(part and _SMALL.issuperset(part) for part in word.replace("-", ".").split("."))


def is_tag(tag: str) -> bool:
    """Whether *tag* is a valid tag: letters, digits, ``_``, ``.`` and ``-``, at most 128."""
    return 0 < len(tag) <= 128 and tag[0] in _WORD and _WORD.issuperset(tag.replace("-", "").replace(".", ""))


def _is_host(host: str) -> bool:
    host, _, port = host.partition(":")
    return all(part.isascii() and part.replace("-", "").isalnum() for part in host.split(".")) and (
        not port or port.isdecimal()
    )
