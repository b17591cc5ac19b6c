"""The context: the directory whose files a recipe may use, and no others; ``.dockerignore`` leaves some of them out.

Source: docker-build(1); moby/patternmatcher, for what a pattern means.
"""

from __future__ import annotations

import os
import re

from minict.runtime.errors import ContainerError


class Context:
    """The *directory*.  Paths in it are relative, and a link in it is a link: it is copied, never followed out of
    it."""

    def __init__(self, directory: str):
        if not os.path.isdir(directory):
            raise ContainerError(f"{directory} is no directory: name the one with the files for the build, such as .")
        self.directory = os.path.realpath(directory)
        self._patterns = _patterns(f"{self.directory}/.dockerignore")

    def find(self, source: str) -> list[str]:
        """The paths that *source* means, a name or a pattern.  Raises :class:`ContainerError` when there is none."""
        import glob

        path = os.path.normpath("/" + source).lstrip("/") or "."  # "..", at the top, stays there
        if glob.has_magic(path):
            found = sorted(each for each in glob.glob(path, root_dir=self.directory) if not self.ignores(each))
        else:
            found = [path] if os.path.lexists(self._inside(path)) and not self.ignores(path) else []
        if not found:
            raise ContainerError(f"there is no {source} in {self.directory}, or .dockerignore leaves it out")
        return found

    def _inside(self, path: str) -> str:
        """*path* on the host, provided that no link on the way to it leads out of the context."""
        above = os.path.realpath(os.path.join(self.directory, os.path.dirname(path)))
        if above != self.directory and not above.startswith(f"{self.directory}/"):
            raise ContainerError(
                f"{path} leads out of {self.directory} by a link: a build may use only what is in there"
            )
        return os.path.join(above, os.path.basename(path))

    def walk(self, path: str):
        """Yield (the path on the host, the path below *path*) of *path* itself and of all in it that is not left
        out."""
        top = self._inside(path)
        if path == "." or not self.ignores(path):
            yield top, ""
        if os.path.isdir(top) and not os.path.islink(top):
            yield from self._below(top, os.path.normpath(path), "")

    def _below(self, top: str, path: str, below: str):
        for name in sorted(os.listdir(os.path.join(top, below))):
            inner = os.path.join(below, name)
            full = os.path.join(top, inner)
            relative = os.path.normpath(os.path.join(path, inner))
            if not self.ignores(relative):
                yield full, inner
            if (
                os.path.isdir(full)
                and not os.path.islink(full)
                and (not self.ignores(relative) or self._may_come_back())
            ):
                yield from self._below(top, path, inner)

    def ignores(self, path: str) -> bool:
        """Whether ``.dockerignore`` leaves *path* out: the last pattern counts that matches it, or a directory above
        it."""
        parts = path.split("/")
        above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        ignored = False
        for pattern, keeps in self._patterns:
            if any(pattern.fullmatch(each) for each in above):
                ignored = not keeps
        return ignored

    def _may_come_back(self) -> bool:
        return any(keeps for _, keeps in self._patterns)


def _patterns(file: str) -> list[tuple]:
    """The lines of a ``.dockerignore``: (what a path must match, whether it is then kept)."""
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as lines:
            words = [line.strip() for line in lines.read().removeprefix("\ufeff").splitlines()]
    except FileNotFoundError:
        return []
    found = []
    for word in words:
        if not word or word.startswith("#"):
            continue
        keeps, word = word.startswith("!"), word.removeprefix("!").strip()
        path = os.path.normpath("/" + word).lstrip("/")
        if path:
            found.append((_expression(path), keeps))
    return found


def _expression(pattern: str) -> re.Pattern:
    """``*`` is any part of a name, ``?`` a letter, ``[a-z]`` one of these, and ``**`` any number of directories."""
    result, place = "", 0
    while place < len(pattern):
        letter = pattern[place]
        if pattern.startswith("**/", place):
            result, place = result + "(?:.*/)?", place + 3
        elif pattern.startswith("**", place):
            result, place = result + ".*", place + 2
        elif letter == "[" and "]" in pattern[place + 1 :]:
            end = pattern.index("]", place + 1)
            inner = pattern[place + 1 : end].replace("\\", "\\\\")
            result, place = result + f"[{inner}]", end + 1
        else:
            result += {"*": "[^/]*", "?": "[^/]"}.get(letter, re.escape(letter))
            place += 1
    try:
        return re.compile(result, re.DOTALL)
    except re.error:
        raise ContainerError(f".dockerignore: {pattern!r} is no pattern") from None
