"""``--filter KEY=VALUE``: what the lists of things, and what removes those that nobody uses, have in common.

Source: docker image ls, docker system prune.
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

PRUNE = ("label", "label!", "until")  # the keys that every prune has


def parse(texts: list[str], known) -> dict[str, list[str]]:
    """The values by their keys.  Raises :class:`ContainerError` for a key that is not among the *known* ones."""
    given: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in known:
            raise ContainerError(f"--filter {text}: write one of {', '.join(known)}, then = and a value")
        given.setdefault(key, []).append(value)
    return given


def is_true(given: dict[str, list[str]], key: str) -> bool | None:
    """What is said of *key*, true or false; None for nothing.  Raises :class:`ContainerError` for another word."""
    for value in given.get(key, []):
        if value not in ("true", "1", "false", "0"):
            raise ContainerError(f"--filter {key}={value}: write true or false")
    return given[key][-1] in ("true", "1") if key in given else None


def until(given: dict[str, list[str]]) -> float:
    """Before which moment a thing has to be made, in seconds since 1970.  Raises :class:`ContainerError` for what is
    no time."""
    from .timestamps import SECOND, moment_of

    return min((moment_of(text, "--filter until") / SECOND for text in given.get("until", [])), default=float("inf"))


def labelled(labels: dict[str, str], given: dict[str, list[str]]) -> bool:
    """Whether something with these *labels* has all that ``label`` demands, and nothing that ``label!`` does."""
    return all(has_label(labels, text) for text in given.get("label", [])) and not any(
        has_label(labels, text) for text in given.get("label!", [])
    )


def has_label(labels: dict[str, str], text: str) -> bool:
    """Whether there is the label ``KEY``, or ``KEY=VALUE`` with just this value."""
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)
