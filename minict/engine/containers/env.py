"""Words such as ``NAME=VALUE``: a container's variables, labels and annotations, on the command line and in files."""

from __future__ import annotations

import os

from minict.runtime import process
from minict.runtime.errors import ContainerError


def environment(settings, config: dict, hostname: str, home: str) -> list[str]:
    """The variables: those that every container has, then the image's, then the user's; the last word counts.

    A name without a value takes the variable away.
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


def handed_on(settings) -> list[str]:
    """The words of ``--env-file`` and ``-e``, in which a name without a value has got that of the caller, if there is
    one.

    Raises :class:`ContainerError`.
    """
    words = [word for path in settings.env_file for word in read(path, "--env-file")]
    for word in settings.env:
        if not word.partition("=")[0]:
            raise ContainerError(f"-e {word!r}: a variable is written NAME=VALUE")
        words.append(word)
    return [f"{word}={os.environ[word]}" if "=" not in word and word in os.environ else word for word in words]


def labels(settings, config: dict) -> dict[str, str]:
    """The image's labels, then those of ``--label-file``, then those of ``--label``; the last word counts."""
    given = [word for path in settings.label_file for word in read(path, "--label-file")]
    return {**(config.get("Labels") or {}), **pairs([*given, *settings.label], "--label")}


def pairs(words: list[str], flag: str) -> dict[str, str]:
    """``NAME=VALUE`` words as a dictionary; without ``=`` the value is empty.  Raises :class:`ContainerError` without
    a name."""
    for word in words:
        if not word.partition("=")[0]:
            raise ContainerError(f"{flag} {word!r}: write NAME=VALUE")
    return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def read(path: str, flag: str) -> list[str]:
    """The words in a file, one in each line, as Docker reads it: nothing is quoted, and nothing is a comment but a
    whole line.

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
            raise ContainerError(f"{flag} {path}: line {number} is no text in UTF-8") from None
        name = word.partition("=")[0]
        if not word or word.startswith("#"):
            continue
        if not name or " " in name or "\t" in name or "\0" in word:
            raise ContainerError(f"{flag} {path}: line {number}, {word!r}: write NAME=VALUE, with no blank in the name")
        words.append(word)
    return words
