"""Patterns for paths: those of COPY, which are Go's filepath.Match, and those of .dockerignore, which are moby's
patternmatcher.

In both, ``*`` matches any part of a name, ``?`` one character, ``[a-z]`` and ``[^a-z]`` a character in or outside a
range, and a backslash escapes. Only in .dockerignore, ``**`` matches any number of directories, and ``!`` includes a
path again.

Source: Go's path/filepath, Match; github.com/moby/patternmatcher.
"""

from __future__ import annotations

import posixpath
import re

from minict.runtime.errors import ContainerError


def has_wildcards(text: str) -> bool:
    """Whether *text* is a pattern and not a plain name."""
    return re.search(r"(?:^|[^\\])(?:\\\\)*[*?\[]", text) is not None


def unescaped(text: str) -> str:
    """The plain name *text* without its escaping backslashes."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


class Match:
    """Go's filepath.Match for one pattern."""

    def __init__(self, matches):
        self.fullmatch = matches


def compile_match(pattern: str) -> Match:
    """Go's filepath.Match for *pattern*, as a function of whole paths.  Raises :class:`ContainerError`."""
    result, place = [], 0
    while place < len(pattern):
        character = pattern[place]
        if character == "[":
            part, place = _bracket(pattern, place)
            result.append(part)
            continue
        if character == "\\":
            place += 1
            if place == len(pattern):
                raise _bad(pattern)
            result.append(re.escape(pattern[place]))
        else:
            result.append({"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character))
        place += 1
    return Match(_matching(result))


def _bracket(pattern: str, place: int) -> tuple[str, int]:
    """The character class that begins at *place*, as a regular expression, and the position after it."""
    place += 1
    negated = pattern.startswith("^", place)
    place += negated
    ranges: list[str] = []
    while not (ranges and pattern.startswith("]", place)):
        low, place = _bracket_character(pattern, place)
        high = low
        if pattern.startswith("-", place):
            high, place = _bracket_character(pattern, place + 1)
        ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
    inner = "".join(ranges)
    if not inner:  # nothing is from z to a
        return ("[^/]" if negated else "(?!)"), place + 1
    return (f"[^/{inner}]" if negated else f"(?!/)[{inner}]"), place + 1


def _bracket_character(pattern: str, place: int) -> tuple[str, int]:
    if place < len(pattern) and pattern[place] == "\\":
        place += 1
    elif place < len(pattern) and pattern[place] in "-]":
        raise _bad(pattern)
    if place >= len(pattern) - 1:  # the closing bracket may follow
        raise _bad(pattern)
    return pattern[place], place + 1


def _bad(pattern: str) -> ContainerError:
    return ContainerError(
        f"invalid pattern {pattern!r}: each [ needs characters and a ], and a backslash something to protect"
    )


class Matcher:
    """The lines of a .dockerignore, or the patterns of --exclude.  Raises :class:`ContainerError` for an invalid
    pattern."""

    def __init__(self, patterns: list[str]):
        self._patterns = []
        for text in patterns:
            if not (text := text.strip()):
                continue
            text = clean(text)
            keeps = text.startswith("!")
            if keeps and len(text) == 1:
                raise ContainerError("invalid pattern '!': add the path to keep")
            text = text[keeps:]
            compile_match(text)
            self._patterns.append((_compile(text), keeps))
        self.has_exceptions = any(keeps for _, keeps in self._patterns)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def matches(self, path: str) -> bool:
        """Whether the patterns exclude *path*."""
        return is_ignored(path, self._patterns)


def is_ignored(path: str, rules: list[tuple]) -> bool:
    """Whether the last of the *rules* that matches *path* or a directory above it has no ``!``.

    A rule is a pair: a function that says whether a path matches, and whether the rule begins with ``!``.
    Source: github.com/moby/patternmatcher, MatchesOrParentMatches.
    """
    parts = path.split("/")
    above = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
    ignored = False
    for match, keeps in rules:
        if keeps == ignored and any(map(match, above)):
            ignored = not keeps
    return ignored


def clean(path: str) -> str:
    """Go's filepath.Clean: the shortest name of the same path."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _compile(pattern: str):
    """A function that tests whether a path matches *pattern*, as moby's patternmatcher does."""
    result, place, kind = [], 0, "exact"
    while place < len(pattern):
        first = place == 0
        character = pattern[place]
        place += 1
        if character == "*" and pattern.startswith("*", place):
            place += 1
            place += pattern.startswith("/", place)
            if place == len(pattern):
                kind = "prefix" if kind == "exact" else "regex"
                result.append(".*")
            else:
                kind = "regex"
                result.append("(?:.*/)?")
            kind = "suffix" if first else kind
        elif character in "*?":
            result.append("[^/]*" if character == "*" else "[^/]")
            kind = "regex"
        elif character == "\\":
            result.append(re.escape(pattern[place : place + 1] or "\\"))
            place += 1
            kind = "regex"
        elif character == "[":
            part, place = _bracket(pattern, place - 1)
            result.append(part)
            kind = "regex"
        else:
            result.append(re.escape(character))
    if kind == "suffix":
        suffix = pattern[2:]
        return lambda path: path.endswith(suffix) or (suffix.startswith("/") and path == suffix[1:])
    if kind == "prefix":
        return lambda path: path.startswith(pattern[:-2])
    if kind == "exact":
        return lambda path: path == pattern
    return _matching(result)


_WILDCARDS = ("[^/]*", ".*", "(?:.*/)?")
# the most wildcards in an expression for the module re, whose time grows with the path's length to this power
_MOST_WILDCARDS = 3


def _matching(parts: list[str]):
    """A function that tests whether a whole path matches the expressions *parts*, each of which is one of
    :data:`_WILDCARDS` or stands for one character."""
    parts = [part for place, part in enumerate(parts) if part not in _WILDCARDS or parts[place - 1 : place] != [part]]
    if sum(part in _WILDCARDS for part in parts) <= _MOST_WILDCARDS:
        regex = re.compile("".join(parts))
        return lambda path: regex.fullmatch(path) is not None
    steps = [part if part in _WILDCARDS else re.compile(part).fullmatch for part in parts]
    return lambda path: _simulate(steps, path)


def _simulate(steps: list, path: str) -> bool:
    """The same in time proportional to the length of *path* times the number of *steps*: all possible positions are
    tracked at once."""
    places = {0}
    for step in steps:
        if not places:
            return False
        if step == "[^/]*":
            reached = set()
            for place in sorted(places):
                while place not in reached:
                    reached.add(place)
                    if place == len(path) or path[place] == "/":
                        break
                    place += 1
            places = reached
        elif step == ".*":
            places = set(range(min(places), len(path) + 1))
        elif step == "(?:.*/)?":
            places |= {place + 1 for place in range(min(places), len(path)) if path[place] == "/"}
        else:
            places = {place + 1 for place in places if place < len(path) and step(path[place])}
    return len(path) in places


def ignore_lines(text: str) -> list[str]:
    """The patterns in *text*, the content of a .dockerignore: without comments, and as paths below the context."""
    found = []
    for row in text.removeprefix("\ufeff").split("\n"):
        if row.startswith("#") or not (pattern := row.strip()):
            continue
        keeps = pattern.startswith("!")
        if pattern := pattern[keeps:].strip():
            pattern = clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
        found.append("!" * keeps + pattern)
    return found
