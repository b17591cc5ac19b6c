"""``--filter KEY=VALUE``, for all lists and all prune commands.

Source: docker image ls, docker system prune.
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Collection

PRUNE = ("label", "label!", "until")  # the keys of all prune commands


def parse(texts: list[str], known: Collection[str]) -> dict[str, list[str]]:
    """The values of each key. Raises :class:`ContainerError` for a key that is not in *known*."""
    given: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in known:
            raise ContainerError(
                f"--filter {text}: invalid filter: use KEY=VALUE with one of the keys {', '.join(known)}"
            )
        given.setdefault(key, []).append(value)
    return given


def is_true(given: dict[str, list[str]], key: str) -> bool | None:
    """The boolean value of *key*; None if it was not given. Raises :class:`ContainerError` for other values."""
    for value in given.get(key, []):
        if value not in ("true", "1", "false", "0"):
            raise ContainerError(f"--filter {key}={value}: invalid value: use true or false")
    return given[key][-1] in ("true", "1") if key in given else None


def until(given: dict[str, list[str]]) -> float:
    """The latest creation time that ``until`` allows, in seconds since 1970. Raises :class:`ContainerError`."""
    from .timestamps import SECOND, moment_of

    return min((moment_of(text, "--filter until") / SECOND for text in given.get("until", [])), default=float("inf"))


def labelled(labels: dict[str, str], given: dict[str, list[str]]) -> bool:
    """Whether *labels* match all ``label`` filters and no ``label!`` filter."""
    return all(has_label(labels, text) for text in given.get("label", [])) and not any(
        has_label(labels, text) for text in given.get("label!", [])
    )


def has_label(labels: dict[str, str], text: str) -> bool:
    """Whether the label ``KEY`` exists, or has exactly this value if *text* is ``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)
