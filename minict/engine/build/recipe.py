"""The Dockerfile: read by the library dockerfile-parse, and what is then made of its lines.

That library is pure Python, so that it is the same on every machine.  (The package ``dockerfile`` has Docker's own parser,
but in Go, and none for arm64.)  It knows no here-documents, which are refused.
"""
from __future__ import annotations

import collections
import re

from minict.runtime.errors import ContainerError

#: One line of a recipe: its *number*; its *name*, such as ``COPY``; its *flags*, ``{"from": "base"}``; the *text* after them.
Instruction = collections.namedtuple("Instruction", "number name flags text")

#: What begins with FROM: its *name*, the text of its *base*, and its *instructions*.
Stage = collections.namedtuple("Stage", "name base instructions")

NAMES = ("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "RUN",
         "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR")
_FLAGS = {"ADD": {"chown", "chmod"}, "COPY": {"from", "chown", "chmod", "link"}, "FROM": {"platform"},
          "HEALTHCHECK": {"interval", "timeout", "retries", "start-period", "start-interval"}}
_HERE_DOCUMENT = re.compile(r"(^|\s)<<-?[\"']?\w+[\"']?(\s|$)")
_VARIABLE = re.compile(r"\\(.)|\$(?:(\w+)|\{(\w+)(?:(:?[-+?])((?:[^{}]|\{[^{}]*\})*))?\})")


def parse(text: str) -> tuple[list[Instruction], list[Stage]]:
    """The ARGs before the first FROM, and the stages.  Raises :class:`ContainerError`, naming the line."""
    globals_, stages = [], []
    for each in instructions(text):
        if each.name == "FROM":
            stages.append(_stage(each, len(stages)))
        elif stages:
            stages[-1].instructions.append(each)
        elif each.name == "ARG":
            globals_.append(each)
        else:
            raise _wrong(each.number, f"{each.name} stands before the first FROM, where only ARG can stand")
    if not stages:
        raise ContainerError("the Dockerfile has no FROM: it begins with the image to build on, such as FROM debian")
    return globals_, stages


def instructions(text: str, first: int = 0) -> list[Instruction]:
    """The instructions in *text*, whose first line has the number *first* + 1.  Raises :class:`ContainerError`."""
    import io

    from dockerfile_parse import DockerfileParser
    parsed = DockerfileParser(fileobj=io.BytesIO(f"{text}\n".encode())).structure  # it overlooks a last line without an end
    found = []
    for line in parsed:
        name, number = line["instruction"], first + line["startline"] + 1
        if name == "COMMENT":
            continue
        if name not in NAMES:
            raise _wrong(number, f"there is no instruction {name}")
        if name in ("RUN", "COPY", "ADD") and _HERE_DOCUMENT.search(line["value"]):
            raise _wrong(number, "here-documents (<<) are not understood: write the lines into a file, or join them with && and \\")
        flags, rest = _flags(number, name, line["value"].strip())
        if not rest:
            raise _wrong(number, f"{name} needs something after it")
        found.append(Instruction(number, name, flags, rest))
    return found


def _flags(number: int, name: str, text: str) -> tuple[dict, str]:
    flags = {}
    while text.startswith("--"):
        word, _, text = text.partition(" ")
        key, _, value = word[2:].partition("=")
        if key not in _FLAGS.get(name, ()):
            raise _wrong(number, f"{name} has no option --{key} here")
        flags[key], text = value, text.lstrip()
    return flags, text


def _stage(each: Instruction, number: int) -> Stage:
    words = each.text.split()
    if len(words) == 3 and words[1].upper() == "AS":
        return Stage(words[2].lower(), words[0], [])
    if len(words) != 1:
        raise _wrong(each.number, f"write FROM IMAGE, or FROM IMAGE AS NAME, and not FROM {each.text}")
    return Stage(str(number), words[0], [])


def _wrong(number: int, what: str) -> ContainerError:
    return ContainerError(f"line {number} of the Dockerfile: {what}")


def substitute(text: str, variables: dict[str, str]) -> str:
    """*text* with the values of its ``$NAME``, ``${NAME}``, ``${NAME:-default}`` and ``${NAME:+instead}``; a backslash protects.

    Raises :class:`ContainerError` for ``${NAME:?message}`` without a value.
    """
    def value(match) -> str:
        protected, plain, name, operator, word = match.groups()
        if protected is not None:
            return protected if protected == "$" else match.group()
        found = variables.get(plain or name)
        if operator is None:
            return found or ""
        there = bool(found) if operator[0] == ":" else found is not None
        if operator[-1] == "?" and not there:
            raise ContainerError(f"the variable {name} has no value: {word or 'it must have one'}")
        word = substitute(word, variables)
        return (word if there else "") if operator[-1] == "+" else (found if there else word)
    return _VARIABLE.sub(value, text)
