"""``images`` and ``history``: the rows that :mod:`minict.engine.util.table` shows.

Source: docker image ls, docker image history.
"""

from __future__ import annotations

from minict.engine.distribution.reference import full_name, short_name, split
from minict.engine.util import table

from .image import Image, images

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

HEADINGS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "SIZE",
    "Containers": "CONTAINERS",
}
HISTORY_HEADINGS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_NONE = "<none>"
FILTERS = ("before", "dangling", "label", "label!", "reference", "since", "until")


def rows(
    pattern: str | None = None, filters: Sequence[str] = (), *, all: bool = False, whole_ids: bool = False
) -> list[dict]:
    """A row for each name of each image, the newest image first.

    *pattern*: only this repository, or this name.  *filters*: see :func:`wanted`.  *all*: also images without a name on
    which others are built, and those of the build cache.  Raises :class:`ContainerError`.
    """
    from . import buildcache

    found, fits = images(), wanted(list(filters))
    steps = buildcache.images()
    built_on = {tuple(image.digests[:length]) for image in found for length in range(len(image.digests))}
    shown = []
    for image in sorted(found, key=lambda image: -image.created):
        if not fits(image) or (
            not all and not image.full_names and (tuple(image.digests) in built_on or image.id in steps)
        ):
            continue
        shown += [
            _row(image, *names, whole_ids)
            for names in _names(image)
            if _is_asked(*names, pattern) and _has_reference(*names, filters)
        ]
    return shown


def _names(image: Image) -> list[tuple[str, str, str]]:
    """Repository, tag and digest for each row of the image."""
    digests = dict(name.split("@") for name in reversed(image.repo_digests))
    tagged = [tuple(split(name)) for name in image.names]
    found = [(repository, tag, digests.get(repository, _NONE)) for repository, tag in tagged]
    repositories = {repository for repository, _ in tagged}
    found += [
        (repository, _NONE, digest) for repository, digest in sorted(digests.items()) if repository not in repositories
    ]
    return found or [(_NONE, _NONE, _NONE)]


def _is_asked(repository: str, tag: str, digest: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    if "*" in pattern or "?" in pattern or "[" in pattern:
        return _matches(repository, tag, pattern)
    asked, wanted_tag = split(short_name(full_name(pattern)))
    return repository == asked and (
        wanted_tag in (tag, digest) or (":" not in pattern.rpartition("/")[2] and "@" not in pattern)
    )


def _has_reference(repository: str, tag: str, digest: str, filters: Sequence[str]) -> bool:
    patterns = [text.partition("=")[2] for text in filters if text.startswith("reference=")]
    return not patterns or any(_matches(repository, tag, pattern) for pattern in patterns)


def _matches(repository: str, tag: str, pattern: str) -> bool:
    """Whether the name matches, as Docker's path.Match: ``*`` matches no slash."""
    import fnmatch

    name = f"{repository}:{tag}" if ":" in pattern.rpartition("/")[2] else repository
    pieces, wanted_pieces = name.split("/"), pattern.split("/")
    return len(pieces) == len(wanted_pieces) and all(map(fnmatch.fnmatchcase, pieces, wanted_pieces))


def _row(image: Image, repository: str, tag: str, digest: str, whole_ids: bool) -> dict:
    from .image import used_by

    return {
        "Repository": repository,
        "Tag": tag,
        "Digest": digest,
        "ID": f"sha256:{image.id}" if whole_ids else image.id[:12],
        "CreatedSince": table.ago(image.created),
        "CreatedAt": table.date(image.created),
        "Size": lambda: table.size(image.size),
        "VirtualSize": lambda: table.size(image.size),
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Containers": lambda: str(len(used_by(image))),
    }


def wanted(texts: list[str]):
    """``--filter KEY=VALUE`` as a function that takes an image. Raises :class:`ContainerError`."""
    from minict.engine.util.filters import is_true, labelled, parse, until

    given = parse(texts, FILTERS)
    dangling, before = is_true(given, "dangling"), until(given)
    older = min((Image.find(name).created for name in given.get("before", [])), default=None)
    younger = max((Image.find(name).created for name in given.get("since", [])), default=None)

    def fits(image: Image) -> bool:
        return (
            (older is None or image.created < older)
            and (younger is None or image.created > younger)
            and image.created < before
            and labelled(image.config.get("Labels") or {}, given)
            and (dangling is None or dangling == (not image.full_names))
        )

    return fits


def history_rows(image: Image, *, human: bool = True, whole: bool = False) -> list[dict]:
    """The history of *image*, the last step first. *human*: sizes and times in words. *whole*: nothing is shortened."""
    from minict.engine.util.timestamps import SECOND, moment_of

    shown = []
    for number, step in enumerate(reversed(image.history)):
        created = (
            moment_of(step["created"], image.name) / SECOND if isinstance(step.get("created"), str) else image.created
        )
        by = str(step.get("created_by") or "").replace("\t", " ")
        id = (f"sha256:{image.id}" if whole else image.id[:12]) if number == 0 else "<missing>"
        shown.append(
            {
                "ID": id,
                "CreatedSince": table.ago(created) if human else table.date(created),
                "CreatedAt": table.date(created),
                "CreatedBy": by if whole else table.shortened(by, 45),
                "Comment": str(step.get("comment") or ""),
                "Size": table.size(step["size"]) if human else str(step["size"]),
            }
        )
    return shown
