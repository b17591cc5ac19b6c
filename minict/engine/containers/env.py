"""``NAME=VALUE`` words: environment variables, labels and annotations, on the command line and in files."""

from __future__ import annotations

import os

from minict.runtime import process
from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

    from .options import ContainerOptions


def environment(settings: ContainerOptions, config: dict[str, Any], hostname: str, home: str) -> list[str]:
    """The environment variables: those of every container, then the image's, then the user's; the last definition wins.

    A name without a value removes the variable.
    """
    variables = {"PATH": process.PATH, "HOSTNAME": hostname, "HOME": home}
    if settings.tty:
        variables["TERM"] = "xterm"
    for word in [*(config.get("Env") or []), *handed_on(settings)]:
        name, given, value = word.partition("=")
        if not name:  # of an image: execve(2) would take it, and no program could ask for it
            continue
        if given:
            variables[name] = value
        else:
            variables.pop(name, None)
    return [f"{name}={value}" for name, value in variables.items()]


def handed_on(settings: ContainerOptions) -> list[str]:
    """The words of ``--env-file`` and ``-e``, where a name without a value gets the caller's value if there is one.

    Raises :class:`ContainerError`.
    """
    words = [word for path in settings.env_file for word in read(path, "--env-file")]
    for word in settings.env:
        if not word.partition("=")[0]:
            raise ContainerError(f"-e {word!r}: invalid variable: use NAME=VALUE")
        words.append(word)
    return [f"{word}={os.environ[word]}" if "=" not in word and word in os.environ else word for word in words]


def labels(settings: ContainerOptions, config: dict[str, Any]) -> dict[str, str]:
    """The image's labels, then those of ``--label-file``, then those of ``--label``; the last definition wins."""
    given = [word for path in settings.label_file for word in read(path, "--label-file")]
    return {**(config.get("Labels") or {}), **pairs([*given, *settings.label], "--label")}


def pairs(words: list[str], flag: str) -> dict[str, str]:
    """``NAME=VALUE`` words as a dictionary; without ``=`` the value is empty. Raises :class:`ContainerError`
    without a name."""
    for word in words:
        if not word.partition("=")[0]:
            raise ContainerError(f"{flag} {word!r}: use NAME=VALUE")
    return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def read(path: str, flag: str) -> list[str]:
    """The words in a file, one per line, as Docker reads it: no quoting, and only whole lines are comments.

    Raises :class:`ContainerError`.  Source: docker/cli, pkg/kvfile.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise ContainerError(f"{flag} {path}: {error.strerror}") from None
    words = []
    for number, line in enumerate(lines, 1):
        try:
            word = line.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError:
            raise ContainerError(f"{flag} {path}: line {number} is not UTF-8 text") from None
        name = word.partition("=")[0]
        if not word or word.startswith("#"):
            continue
        if not name or " " in name or "\t" in name or "\0" in word:
            raise ContainerError(f"{flag} {path}: line {number}, {word!r}: use NAME=VALUE, without a blank in the name")
        words.append(word)
    return words
