"""The lines of a Dockerfile: what belongs together, without comments and continuation, and with its here-documents.

* ``# escape=`` and a backtick, in the first lines, makes that the escape character; ``# syntax=`` and ``# check=`` are
  read over.
* A line that ends with the escape character goes on in the next one.  Comments and empty lines in between count for
  nothing.
* ``<<NAME`` in RUN, COPY and ADD takes the lines that follow, up to one with NAME alone.

Bytes that are not UTF-8 come through unchanged (as surrogates).
Source: the Dockerfile reference, "Format" and "Here-Documents"; BuildKit's package frontend/dockerfile/parser.
"""

from __future__ import annotations

import collections
import re

from minict.runtime.errors import ContainerError

from . import substitution, words

#: A line of instructions: the *number* of its first line, its *text*, and its here-*documents* in their order.
Line = collections.namedtuple("Line", "number text documents")

#: A here-document: its *name*, its *text* with the tabs that ``<<-`` takes away (*strips_tabs*), and whether variables
#: in it have values (*expands*): not with quotes around the name.
Document = collections.namedtuple("Document", "name text expands strips_tabs")

#: All *lines*, and the *escape* character.
Source = collections.namedtuple("Source", "lines escape")

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_DIRECTIVES = ("syntax", "escape", "check")
_HERE_DOCUMENT = re.compile(r"(\d*)<<(-?)\s*([^<]*)")
_WITH_DOCUMENTS = ("RUN", "COPY", "ADD")


def read(data: bytes) -> Source:
    """The lines of the Dockerfile *data*.  Raises :class:`ContainerError`, naming the line."""
    return _Reader(data).read()


def wrong(number: int, what: str) -> ContainerError:
    """The error *what* in the line *number*."""
    return ContainerError(f"line {number} of the Dockerfile: {what}")


def here_document(word: str) -> Document | None:
    """The here-document that *word* announces, without its text; None when it announces none."""
    match = _HERE_DOCUMENT.fullmatch(word)
    if not match or not match[3]:
        return None
    try:
        names = substitution.unquoted_words(match[3])
    except ContainerError:
        return None
    if len(names) != 1:
        return None
    quotes = sum(match[3].count(quote) - names[0].count(quote) for quote in "'\"")
    return Document(names[0], "", not quotes, bool(match[2]))


def without_tabs(text: str) -> str:
    """*text* as ``<<-`` wants it: without the tabs at the beginning of its lines."""
    return re.sub(r"^\t+", "", text, flags=re.MULTILINE)


class _Reader:
    def __init__(self, data: bytes):
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        self.rows = re.findall(r"[^\n]*\n|[^\n]+$", text)
        self.place = 0
        self.lines: list[Line] = []
        self.set_escape("\\")

    def set_escape(self, escape: str) -> None:
        self.escape = escape
        character = re.escape(escape)
        self.goes_on = re.compile(rf"(?:(?<=[^{character}])|^){character}[ \t]*$")

    def read(self) -> Source:
        self.directives()
        while self.place < len(self.rows):
            number = self.place + 1
            text = self.instruction()
            if text:
                self.lines.append(Line(number, text, self.documents(number, text)))
        return Source(self.lines, self.escape)

    def directives(self) -> None:
        """``# escape=``, ``# syntax=`` and ``# check=``, as long as nothing else has come."""
        seen = set()
        for number, row in enumerate(self.rows, 1):
            match = _DIRECTIVE.match(row.strip("\r\n").lstrip())
            name = match[1].lower() if match else ""
            if not match or name not in _DIRECTIVES:
                return
            if name in seen:
                raise wrong(number, f"the directive {name} is given twice: use it once")
            seen.add(name)
            if name == "escape":
                if match[2] not in ("\\", "`"):
                    raise wrong(number, f"invalid escape character {match[2]!r}: use \\ or `")
                self.set_escape(match[2])

    def instruction(self) -> str:
        """The next line with all that continue it; empty for a comment or an empty line."""
        text, goes_on = self.piece(self.take().lstrip())
        while goes_on and self.place < len(self.rows):
            row = self.take()
            if row.strip():
                more, goes_on = self.piece(row)
                text += more
        return text if text.strip() else ""

    def take(self) -> str:
        """The next row without its end; empty for a comment."""
        row = self.rows[self.place].rstrip("\r\n")
        self.place += 1
        return "" if row.lstrip().startswith("#") else row

    def piece(self, row: str) -> tuple[str, bool]:
        """*row* without the escape character at its end, and whether there was one."""
        match = self.goes_on.search(row)
        return (row[: match.start()], True) if match else (row, False)

    def documents(self, number: int, text: str) -> list[Document]:
        """The here-documents that the instruction *text* announces, taken from the rows that follow."""
        if "<<" not in text or not self.may_announce(text):
            return []
        return [self.document(number, found) for word in substitution.raw_words(text) if (found := here_document(word))]

    def may_announce(self, text: str) -> bool:
        """Whether here-documents can follow: after RUN, COPY and ADD, unless a list in JSON follows; also behind
        ONBUILD."""
        name, _, rest = words.split_instruction(text, self.escape)
        if name.upper() == "ONBUILD":
            name, _, rest = words.split_instruction(rest, self.escape)
        try:
            return name.upper() in _WITH_DOCUMENTS and words.json_words(rest) is None
        except ContainerError:  # a mistake that is told when the instruction is read
            return False

    def document(self, number: int, document: Document) -> Document:
        rows: list[str] = []
        while self.place < len(self.rows):
            row = self.rows[self.place]
            self.place += 1
            end = row.rstrip("\r\n")
            if (end.lstrip("\t") if document.strips_tabs else end) == document.name:
                return document._replace(text="".join(rows))
            rows.append(row)
        raise wrong(
            number,
            f"the here-document {document.name} has no end: add a line with {document.name} alone",
        )
