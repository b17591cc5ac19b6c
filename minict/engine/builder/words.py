"""Split a line of a Dockerfile: the instruction, its options, and the arguments, as words or as a JSON list.

Source: BuildKit's package frontend/dockerfile/parser, split_command.go and line_parsers.go.
"""

from __future__ import annotations

import re

from minict.runtime.errors import ContainerError

from .substitution import is_space

_BLANKS = re.compile(r"[\t\v\f\r ]+")


def split_instruction(text: str, escape: str) -> tuple[str, list[str], str]:
    """The instruction's name, its options such as ``--from=base``, and the rest of the line *text*."""
    name, *rest = _BLANKS.split(text.strip(), maxsplit=1)
    options, arguments = _split_options(rest[0], escape) if rest else ([], "")
    return name, options, arguments.strip()


def _split_options(text: str, escape: str) -> tuple[list[str], str]:
    """The words that begin with ``--``, without their quotes, and the rest. ``--`` alone ends them."""
    options: list[str] = []
    place = 0
    while True:
        while place < len(text) and is_space(text[place]):
            place += 1
        if not text.startswith("--", place):
            return options, text[place:]
        word, place = _option(text, place, escape)
        if word == "--":
            return options, text[place:]
        options.append(word)


def _option(text: str, place: int, escape: str) -> tuple[str, int]:
    """The word that begins at *place*, without its quotes and escapes, and the place after it."""
    word, quote = "", ""
    while place < len(text) and (quote or not is_space(text[place])):
        character = text[place]
        place += 1
        if quote and character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        elif character == escape:
            word += text[place : place + 1]
            place += 1
        else:
            word += character
    return word, place


def blank_separated(text: str) -> list[str]:
    """The words of *text* between blanks; quotes have no meaning here."""
    return _BLANKS.split(text) if text else []


def quoted_words(text: str, escape: str) -> list[str]:
    """The words of *text*, which can have quoted or escaped blanks; the quotes and escapes stay."""
    words, word, quote, found = [], "", "", False
    characters = iter(text)
    for character in characters:
        if not quote and is_space(character):
            if found:
                words.append(word)
            word, found = "", False
            continue
        found = True
        if character == escape and quote != "'":
            following = next(characters, "")
            word += character + following if following else ""
            continue
        if not quote and character in "'\"":
            quote = character
        elif character == quote:
            quote = ""
        word += character
    return [*words, word] if found and word else words


def json_words(text: str) -> list[str] | None:
    """The words of a JSON list, ``["a", "b"]``; None if *text* is not one.

    Raises :class:`ContainerError` for a list with anything but strings.
    """
    import json

    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(word, str) for word in value):
        raise ContainerError(f"the list {text.strip()} may only contain strings, in double quotes")
    return value


def first_word(text: str) -> tuple[str, str]:
    """The first word of *text*, and the rest."""
    word, *rest = text.split(None, 1)
    return word, rest[0] if rest else ""


def key_and_rest(text: str) -> tuple[str, str | None]:
    """``NAME all the rest``: the name, and the rest, or None."""
    key, *rest = _BLANKS.split(text, maxsplit=1)
    return key, rest[0] if rest else None
