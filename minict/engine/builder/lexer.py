"""The logical lines of a Dockerfile: joined where a line continues, without comments, and with their here-documents.

* ``# escape=`` and a backtick, in the first lines, makes the backtick the escape character; ``# syntax=`` and
  ``# check=`` are ignored.
* A line that ends with the escape character continues in the next one. Comments and empty lines in between are ignored.
* ``<<NAME`` in RUN, COPY and ADD takes the following lines, up to a line that is exactly NAME.

Bytes that are not UTF-8 are kept (as surrogates).
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
    """Split the Dockerfile *data* into logical lines.  Raises :class:`ContainerError`, naming the line."""
    return _Reader(data).read()


def wrong(number: int, what: str) -> ContainerError:
    """The error *what* in the line *number*."""
    return ContainerError(f"line {number} of the Dockerfile: {what}")


def here_document(word: str) -> Document | None:
    """The here-document that *word* begins, without its text; None if it does not begin one."""
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
    """*text* without the tabs at the beginning of its lines, as ``<<-`` demands."""
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
        """Read ``# escape=``, ``# syntax=`` and ``# check=``, which come before everything else."""
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
        """The next line with its continuation lines; empty for a comment or an empty line."""
        text, goes_on = self.piece(self.take().lstrip())
        while goes_on and self.place < len(self.rows):
            row = self.take()
            if row.strip():
                more, goes_on = self.piece(row)
                text += more
        return text if text.strip() else ""

    def take(self) -> str:
        """The next physical line without its newline; empty for a comment."""
        row = self.rows[self.place].rstrip("\r\n")
        self.place += 1
        return "" if row.lstrip().startswith("#") else row

    def piece(self, row: str) -> tuple[str, bool]:
        """*row* without the escape character at its end, and whether there was one."""
        match = self.goes_on.search(row)
        return (row[: match.start()], True) if match else (row, False)

    def documents(self, number: int, text: str) -> list[Document]:
        """The here-documents that the instruction *text* begins, taken from the following lines."""
        if "<<" not in text or not self.may_announce(text):
            return []
        return [self.document(number, found) for word in substitution.raw_words(text) if (found := here_document(word))]

    def may_announce(self, text: str) -> bool:
        """Whether here-documents can follow: after RUN, COPY and ADD, also in ONBUILD, unless the arguments are a JSON
        list."""
        name, _, rest = words.split_instruction(text, self.escape)
        if name.upper() == "ONBUILD":
            name, _, rest = words.split_instruction(rest, self.escape)
        try:
            return name.upper() in _WITH_DOCUMENTS and words.json_words(rest) is None
        except ContainerError:  # an error that is reported when the instruction is parsed
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
