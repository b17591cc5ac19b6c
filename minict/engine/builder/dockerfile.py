"""The Dockerfile: read by the library dockerfile-parse, and what is then made of its lines.

That library is pure Python, so that it is the same on every machine.  (The package ``dockerfile`` has Docker's own
parser, but in Go, and none for arm64.)  It knows no here-documents: they are taken out before it reads.
"""

from __future__ import annotations

import collections
import re

from minict.runtime.errors import ContainerError

# : One line of a recipe: its *number*; its *name*, such as ``COPY``; its *flags*, ``{"from": "base"}``; the *text*
# after them; and its : here-*documents*, by the words ``<<NAME`` that stand for them in the text.
Instruction = collections.namedtuple("Instruction", "number name flags text documents")

# : A here-document: its *name*, its *text*, and whether variables in it have values (*expands*): not with quotes
# around the name.
Document = collections.namedtuple("Document", "name text expands")

#: What begins with FROM: its *name*, the text of its *base*, and its *instructions*.
Stage = collections.namedtuple("Stage", "name base instructions")

NAMES = (
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)
_FLAGS = {
    "ADD": {"chown", "chmod"},
    "COPY": {"from", "chown", "chmod", "link"},
    "FROM": {"platform"},
    "HEALTHCHECK": {"interval", "timeout", "retries", "start-period", "start-interval"},
}
# <<NAME, <<-NAME or <<"NAME"; or what is only quoted, in which it would mean nothing
_HERE_DOCUMENT = re.compile(
    r"""(?:(?<=\s)|^)<<(?P<tabs>-?)(?P<quote>["']?)(?P<name>[\w.][\w.-]*)(?P=quote)(?=[\s;&|)>]|$)"""
    r"""|\\.|'[^']*'|"(?:\\.|[^"\\])*\""""
)
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

    text, documents = _documents(text, first)
    # it overlooks a last line without an end
    parsed = DockerfileParser(fileobj=io.BytesIO(f"{text}\n".encode())).structure
    found = []
    for line in parsed:
        name, number = line["instruction"], first + line["startline"] + 1
        if name == "COMMENT":
            continue
        if name not in NAMES:
            raise _wrong(number, f"there is no instruction {name}")
        flags, rest = _flags(number, name, line["value"].strip())
        if not rest:
            raise _wrong(number, f"{name} needs something after it")
        found.append(Instruction(number, name, flags, rest, documents.get(line["startline"], {})))
    return found


def _documents(text: str, first: int) -> tuple[str, dict[int, dict[str, Document]]]:
    """*text* with empty lines in the place of its here-documents; and these, by the line in which their instruction
    begins.

    They follow the instruction in whose text they are named, one after the other.  Source: the Dockerfile reference.
    """
    lines, found, place = text.split("\n"), {}, 0
    while place < len(lines):
        begin, line, goes_on = place, "", True
        while goes_on and place < len(lines):
            piece, place = lines[place].strip(), place + 1
            if piece and not piece.startswith("#"):  # these count for nothing, also in the midst of an instruction
                begin = begin if line else place - 1
                line, goes_on = line + piece.removesuffix("\\"), piece.endswith("\\")
        if line.split(" ")[0].upper() not in ("RUN", "COPY", "ADD"):
            continue
        for match in _HERE_DOCUMENT.finditer(line):
            name = match["name"]
            if not name:
                continue
            end = next(
                (n for n in range(place, len(lines)) if (lines[n].lstrip("\t") if match["tabs"] else lines[n]) == name),
                None,
            )
            if end is None:
                raise _wrong(
                    first + begin + 1,
                    f"the here-document {name} has no end, which is a line with {name} and nothing else",
                )
            inner = [each.lstrip("\t") if match["tabs"] else each for each in lines[place:end]]
            found.setdefault(begin, {})[match.group()] = Document(
                name, "".join(f"{each}\n" for each in inner), not match["quote"]
            )
            lines[place : end + 1] = [""] * (end + 1 - place)
            place = end + 1
    return "\n".join(lines), found


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
    """*text* with the values of its ``$NAME``, ``${NAME}``, ``${NAME:-default}`` and ``${NAME:+instead}``; a backslash
    protects.

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
