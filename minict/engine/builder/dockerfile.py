"""The Dockerfile: its stages, and their instructions with options and arguments, checked as far as possible without
variables.

Why not a library: dockerfile-parse does not read quotes and here-documents as Docker does, and the package dockerfile
is Docker's own parser in Go, built for few platforms.  Source: the Dockerfile reference; BuildKit's package
frontend/dockerfile/instructions.
"""

from __future__ import annotations

import collections
import re

from minict.engine.util import units
from minict.runtime.errors import ContainerError

from . import lexer, modes, mounts, words
from .lexer import wrong

#: One instruction.  *number*: its line; *name*: such as ``COPY``; *flags*: its options, ``{"from": "base"}``, as texts,
#: True, or lists; *args*: its arguments, pairs of name and value for ENV, LABEL and ARG; *is_list*: whether they were a
#: JSON list; *documents*: its here-documents; *text*: the line as it was written.
Instruction = collections.namedtuple("Instruction", "number name flags args is_list documents text")

#: A stage: its *number* from 0 on, its *name* or "", the *base* and the *platform* as written,
#: its *instructions*, and its *line*.
Stage = collections.namedtuple("Stage", "number name base platform instructions line")

#: A whole Dockerfile: the ARGs before the first FROM, the stages, and the escape character.
Dockerfile = collections.namedtuple("Dockerfile", "args stages escape")

_ONE, _SWITCH, _MANY = "one", "switch", "many"
FLAGS = {
    "ADD": {
        "chown": _ONE,
        "chmod": _ONE,
        "link": _SWITCH,
        "keep-git-dir": _SWITCH,
        "checksum": _ONE,
        "unpack": _SWITCH,
        "exclude": _MANY,
    },
    "COPY": {"from": _ONE, "chown": _ONE, "chmod": _ONE, "link": _SWITCH, "parents": _SWITCH, "exclude": _MANY},
    "FROM": {"platform": _ONE},
    "HEALTHCHECK": {"interval": _ONE, "timeout": _ONE, "start-period": _ONE, "start-interval": _ONE, "retries": _ONE},
    "RUN": {"mount": _MANY, "network": _ONE, "security": _ONE, "device": _MANY},
}
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


def parse(source: lexer.Source) -> Dockerfile:
    """Parse the Dockerfile *source*.  Raises :class:`ContainerError`, naming the line."""
    args: list[Instruction] = []
    stages: list[Stage] = []
    for line in source.lines:
        each = instruction(line, source.escape)
        if each.name == "FROM":
            stages.append(_stage(each, len(stages)))
        elif stages:
            stages[-1].instructions.append(each)
        elif each.name == "ARG":
            args.append(each)
        else:
            raise wrong(each.number, f"{each.name} comes before the first FROM, where only ARG is allowed")
    if not stages:
        raise ContainerError("the Dockerfile has no FROM: start it with a base image, such as FROM debian")
    return Dockerfile(args, stages, source.escape)


def triggers(text: str, number: int) -> list[Instruction]:
    """Parse the instructions that ONBUILD has stored in *text*; all get the line *number*.  Raises
    :class:`ContainerError`."""
    source = lexer.read(text.encode("utf-8", "surrogateescape"))
    return [instruction(line._replace(number=number), source.escape) for line in source.lines]


def instruction(line: lexer.Line, escape: str) -> Instruction:
    """Parse the instruction in *line*.  Raises :class:`ContainerError`, naming the line."""
    try:
        return _instruction(line, escape)
    except ContainerError as error:
        if str(error).startswith("line "):
            raise
        raise wrong(line.number, str(error)) from None


def _instruction(line: lexer.Line, escape: str) -> Instruction:
    written, options, rest = words.split_instruction(line.text, escape)
    name = written.upper()
    if name not in _FORMS:
        raise ContainerError(f"unknown instruction {written}{_similar(name)}")
    read, check = _FORMS[name]
    args, is_list = read(rest, escape)
    if not args and not (is_list and name in ("CMD", "ENTRYPOINT")):
        raise ContainerError(f"{name} requires an argument")
    each = Instruction(line.number, name, _flags(name, options), args, is_list, line.documents, line.text)
    if check:
        check(each)
    return each


def _similar(name: str) -> str:
    import difflib

    found = difflib.get_close_matches(name, _FORMS, 1, 0.7)
    return f": did you mean {found[0]}?" if found else ""


def _flags(name: str, options: list[str]) -> dict:
    known = FLAGS.get(name, {})
    flags: dict = {}
    for option in options:
        key, given, value = option.removeprefix("--").partition("=")
        kind = known.get(key)
        if kind is None:
            have = ", ".join(f"--{each}" for each in known)
            raise ContainerError(f"{name}: unknown option --{key}: use {have or 'none'}")
        if kind != _MANY and key in flags:
            raise ContainerError(f"--{key} is given twice: use it once")
        if kind == _SWITCH:
            if value.lower() not in ("true", "false") and (given or value):
                raise ContainerError(f"invalid --{key}={value}: use true or false")
            flags[key] = value.lower() != "false"
        elif not given:
            raise ContainerError(f"--{key} requires a value: use --{key}=VALUE")
        elif kind == _MANY:
            flags.setdefault(key, []).append(value)
        else:
            flags[key] = value
    return flags


def _stage(each: Instruction, number: int) -> Stage:
    args = each.args
    if len(args) not in (1, 3) or (len(args) == 3 and args[1].upper() != "AS"):
        raise wrong(each.number, f"invalid FROM: use FROM IMAGE or FROM IMAGE AS NAME, not FROM {' '.join(args)}")
    name = args[2].lower() if len(args) == 3 else ""
    if name and not _STAGE_NAME.fullmatch(name):
        raise wrong(
            each.number,
            f"invalid stage name {args[2]!r}: start with a letter, and use letters, digits, -, _ and .",
        )
    return Stage(number, name, args[0], each.flags.get("platform"), [], each.number)


# ---- how the arguments of each instruction are read ----------------------------------------------------------------


def _whole(rest: str, escape: str) -> tuple[list, bool]:
    return [rest] if rest else [], False


def _blank_separated(rest: str, escape: str) -> tuple[list, bool]:
    return words.blank_separated(rest), False


def _list_or_blank_separated(rest: str, escape: str) -> tuple[list, bool]:
    found = words.json_words(rest)
    return (words.blank_separated(rest), False) if found is None else (found, True)


def _list_or_whole(rest: str, escape: str) -> tuple[list, bool]:
    found = words.json_words(rest)
    return ([rest] if rest else [], False) if found is None else (found, True)


def _pairs(rest: str, escape: str) -> tuple[list, bool]:
    """``A=b C="d e"``, or the old form ``A all the rest``."""
    found = words.quoted_words(rest, escape)
    if found and "=" not in found[0]:
        key, value = words.key_and_rest(rest)
        if value is None:
            raise ContainerError(f"{key!r} has no value: use NAME=VALUE")
        return [(key, value)], False
    pairs = []
    for word in found:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ContainerError(f"invalid {word!r}: use NAME=VALUE, with quotes around a value with spaces")
        pairs.append((key, value))
    return pairs, False


def _declarations(rest: str, escape: str) -> tuple[list, bool]:
    """Split ``A=b C`` into pairs of name and value. A name without ``=`` has the value None."""
    pairs = []
    for word in words.quoted_words(rest, escape):
        key, equals, value = word.partition("=")
        if not key:
            raise ContainerError(f"invalid {word!r}: use NAME or NAME=DEFAULT")
        pairs.append((key, value if equals else None))
    return pairs, False


def _health(rest: str, escape: str) -> tuple[list, bool]:
    """``NONE``, or ``CMD`` and a command, as arguments that begin with this word."""
    if not rest:
        return [], False
    word, command = words.first_word(rest)
    found, is_list = _list_or_whole(command, escape)
    return [word.upper(), *found], is_list


# ---- what is checked -----------------------------------------------------------------------------------------------


def _check_copy(each: Instruction) -> None:
    if len(each.args) < 2:
        raise ContainerError(f"{each.name} requires at least one source and a destination")
    if lexer.here_document(each.args[-1]):
        raise ContainerError(f"{each.name}: the destination cannot be a here-document")
    if "$" in each.flags.get("from", ""):
        raise ContainerError("--from does not expand variables: add a stage, FROM $NAME AS stage, and use --from=stage")
    if "$" not in each.flags.get("chmod", "$"):
        modes.parse(each.flags["chmod"])


def _check_run(each: Instruction) -> None:
    network, security = each.flags.get("network", "default"), each.flags.get("security", "sandbox")
    if network not in ("default", "none", "host"):
        raise ContainerError(f"invalid --network={network}: use default, none or host")
    if security != "sandbox":
        raise ContainerError(f"--security={security} is not supported: use sandbox, or leave the option out")
    if "device" in each.flags:
        raise ContainerError("--device is not supported: RUN has no devices of the host")
    for text in each.flags.get("mount", ()):
        mounts.check(text)


def _check_health(each: Instruction) -> None:
    kind, *command = each.args
    if kind not in ("NONE", "CMD") or (kind == "CMD") != bool(command):
        raise ContainerError("invalid HEALTHCHECK: use HEALTHCHECK NONE, or HEALTHCHECK CMD and a command")
    for key, value in each.flags.items():
        if key == "retries":
            if not (value.isascii() and value.isdecimal() and len(value) < 10):
                raise ContainerError(f"invalid --retries={value}: use a number")
        elif units.nanoseconds(value, f"--{key}") and units.nanoseconds(value, f"--{key}") < 1_000_000:
            raise ContainerError(f"invalid --{key}={value}: the minimum is 1ms")


def _check_shell(each: Instruction) -> None:
    if not each.is_list:
        raise ContainerError('SHELL requires a JSON list, such as ["/bin/bash", "-c"]')


def _check_volume(each: Instruction) -> None:
    if not all(path.strip() for path in each.args):
        raise ContainerError("VOLUME: a path is empty: name a directory")


def _check_onbuild(each: Instruction) -> None:
    first = words.first_word(each.args[0])[0].upper()
    if first in ("ONBUILD", "FROM", "MAINTAINER"):
        raise ContainerError(f"ONBUILD {first} is not allowed: use another instruction")
    triggers(trigger_text(each), each.number)


def trigger_text(each: Instruction) -> str:
    """The text of an ONBUILD instruction that the image stores: the instruction, and its here-documents."""
    text = re.sub(r"^\s*ONBUILD\s*", "", each.text, flags=re.IGNORECASE)
    return "\n".join([text, *(f"{document.text}{document.name}" for document in each.documents)])


_FORMS = {
    "ADD": (_list_or_blank_separated, _check_copy),
    "ARG": (_declarations, None),
    "CMD": (_list_or_whole, None),
    "COPY": (_list_or_blank_separated, _check_copy),
    "ENTRYPOINT": (_list_or_whole, None),
    "ENV": (_pairs, None),
    "EXPOSE": (_blank_separated, None),
    "FROM": (_blank_separated, None),
    "HEALTHCHECK": (_health, _check_health),
    "LABEL": (_pairs, None),
    "MAINTAINER": (_whole, None),
    "ONBUILD": (_whole, _check_onbuild),
    "RUN": (_list_or_whole, _check_run),
    "SHELL": (_list_or_whole, _check_shell),
    "STOPSIGNAL": (_whole, None),
    "USER": (_whole, None),
    "VOLUME": (_list_or_blank_separated, _check_volume),
    "WORKDIR": (_whole, None),
}
NAMES = tuple(_FORMS)
