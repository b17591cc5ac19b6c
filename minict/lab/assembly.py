"""Chapter 16's ``mini_docker.py``: one file, put together of the functions that a learner has passed.

::

    program = assemble()    # of the functions in this machine's record; where one is missing, the course's
    program.save()          # mini_docker.py, in the directory of the notebook
    provenance(program)     # which function is whose

The text around the functions is the module :mod:`.mini_docker`.  In it, a comment ``# + proc-1 proc-2`` says where the
functions of these exercises belong, and what stands between ``# [package`` and ``# package]`` is left out.
"""

from __future__ import annotations

import ast
import builtins
import html
import inspect
import itertools
import os
import re
import symtable
import sys
import textwrap

from minict.runtime import paths

from . import copies, mini_docker
from .course import _STYLE, Page
from .exercise import exercises, my_sources

NAME = "mini_docker.py"
MOST_LINES = 400
_WIDTH = 118  # columns up to which a block of one line stands behind its colon

# The package's functions have to know what one file need not: a chroot, old kernels, hostile processes.  Here the file
# has another answer of the course, by its name in the exercise's list: each of them passes the same check.
_SIMPLER = {
    "proc-1": "the parent goes first",
    "proc-3": "two comprehensions",
    "init-1": "waits until it is the one",
    "init-2": "a difference of sets",
    "ns-1": "by stat",
    "ns-2": "a sum of a set",
    "ns-3": "with open",
    "root-2": "in one call",
    "images-1": "searches for signs",
    "private-1": "by keywords",
    "pivot-1": "umounts the root by name",
    "hide-1": "as the package has it",
    "lookup-1": "two rules in one call",
    "volumes-1": "one call",
    "volumes-3": "counts slashes",
    "cgroups-1": "looks first",
    "cgroups-2": "the kernel keeps the period",
    "net-1": "by ipaddress",
    "world-2": "in one line",
    "world-3": "match and rule",
}


class Part:
    """One function of the file: of which exercise, *whose* it is, and *why* it is not the learner's."""

    def __init__(self, id: str, source: str, whose: str, why: str = ""):
        self.id, self.source, self.whose, self.why = id, source, whose, why
        self.name = exercises()[id].name

    @property
    def label(self) -> str:
        """The comment that says whose it is."""
        return f"# {self.id}: {self.whose}"

    @property
    def text(self) -> str:
        """The function with its label: at the end of its first line, or above it if there is no room."""
        first, line_end, rest = self.source.partition("\n")
        has_room = "#" not in first and len(f"{first}  {self.label}") <= _WIDTH
        if has_room and (first.endswith(":") or not rest):
            return f"{first}  {self.label}{line_end}{rest}"
        return f"{self.label}\n{self.source}"


class Program:
    """An assembled file: its *text*, and its *parts*, by the exercises' ids in the order of the file."""

    def __init__(self, text: str, parts: dict[str, Part]):
        self.text, self.parts = text, parts

    def __repr__(self):
        mine = sum(part.whose == YOURS for part in self.parts.values())
        return f"<{NAME}: {self.length}; {mine} of {len(self.parts)} functions are yours>"

    @property
    def length(self) -> str:
        """How many lines it has; where they are too many, how many of them the learner's functions need more."""
        lines = self.text.count("\n")
        if lines <= MOST_LINES:
            return f"{lines} lines, of at most {MOST_LINES}"
        more = lines - assemble({}).text.count("\n")
        return f"{lines} lines, more than {MOST_LINES}, because your functions have {more} more than the course's"

    def save(self, path: str = "") -> str:
        """Write the file, unless it says the same already; return its path.

        The default is beside the learner's copy of the notebook, and elsewhere among the data of minict.
        """
        if not path:
            is_copy = os.path.realpath(os.getcwd()) == os.path.realpath(copies.folder())
            path = f"{copies.folder() if is_copy else paths.data_root()}/{NAME}"
        if not os.path.exists(path) or _read(path) != self.text:
            with open(path, "w", encoding="utf-8") as file:
                file.write(self.text)
        return path

    def line_of(self, part: Part) -> int:
        """The number of the line in which the function of *part* begins."""
        above = self.text[: self.text.index(part.text)].count("\n") + 1
        return above + part.text.startswith("#")

    def without(self, text: str) -> str:
        """The file without the one line that contains *text*; a block that loses its only line gets a ``pass``.

        Raises :class:`ValueError` where no line contains it, or several do.
        """
        lines = self.text.splitlines()
        found = [number for number, line in enumerate(lines) if text in line]
        if len(found) != 1:
            raise ValueError(f"{len(found)} lines of the file contain {text!r}: give a piece that only one has")
        line = lines[found[0]]
        kept = re.match(r"( *)((?:def|for|if|with|while|else|try|finally|except)\b.*?:) \S", line)
        indent = kept[0][:-1] if kept and text not in kept[2] else line[: len(line) - len(line.lstrip())]
        lines[found[0]] = f"{indent}pass"
        return "\n".join(lines) + "\n"


YOURS, OURS = "yours", "the course's"


def assemble(sources: dict[str, str] | None = None) -> Program:
    """Put the file together.  *sources*: the learner's functions by exercise; the default is the record's."""
    sources = my_sources() if sources is None else sources
    text = re.sub(r"# \[package.*?# package\]\n\n", "", inspect.getsource(mini_docker), flags=re.S)
    text = re.sub(r"# fmt: .*\n", "", text)
    modules = ", ".join(re.findall(r"^import (\w+)$", text, re.M))
    text = re.sub(r"(?:^import \w+\n)+", f"import {modules}\n", text, flags=re.M)
    ids = re.findall(r"[a-z]+-\d", " ".join(re.findall(r"^# \+ (.*)$", text, re.M)))
    known = _names_of(text) | {exercises()[id].name for id in ids}
    parts = {id: _part(id, sources.get(id), known) for id in ids}

    def paste(place: re.Match) -> str:
        return "\n\n".join(parts[id].text for id in place[1].split())

    text = compact(text)
    for id in _OF_THIS_CHAPTER:
        course = definition(text, exercises()[id].name)
        parts[id] = _part(id, sources.get(id), known, course)
        text = text.replace(course, parts[id].text)
    text = re.sub(r"^# \+ (.*)$", paste, text, flags=re.M)
    return Program(with_short_ones_together(text), parts)


_OF_THIS_CHAPTER = ("own-1", "own-2", "own-3")  # what they replace stands in the text itself


def definition(text: str, name: str) -> str:
    """The lines of *text* that define the function *name*."""
    node = next(node for node in ast.parse(text).body if getattr(node, "name", "") == name)
    return "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])


def _part(id: str, source: str | None, known: set[str], course: str = "") -> Part:
    """The learner's function *source* for the exercise, or the course's where it is missing, or can't work here."""
    course = compact(without_help(course or answer(id)), len(f"  # {id}: {OURS}")).strip()
    if source is None:
        return Part(id, course, OURS, "not passed yet")
    own = _undecorated(source)
    if strangers := sorted(_globals_of(own) - known):
        return Part(id, course, OURS, f"yours uses {', '.join(strangers)}, which the file lacks")
    if _docstring(own) == _docstring(exercises()[id].starter):
        own = without_docstring(own)  # the chapter's words, as in the course's functions
    return Part(id, own.strip(), YOURS)


def _docstring(source: str) -> str | None:
    return ast.get_docstring(ast.parse(source).body[0])


def without_docstring(source: str) -> str:
    """The function *source* without its docstring."""
    lines, function = source.splitlines(keepends=True), ast.parse(source).body[0]
    if ast.get_docstring(function):
        del lines[function.body[0].lineno - 1 : function.body[0].end_lineno]
    return "".join(lines)


def answer(id: str) -> str:
    """The course's function for the exercise *id* in the file."""
    task = exercises()[id]
    source = task.right[_SIMPLER[id]] if id in _SIMPLER else task.solution
    return re.sub(r"\b_signal\.", "signal.", source)


def without_help(source: str) -> str:
    """The function *source* without its docstring, blank lines, and imports that the file has at its top."""
    lines = without_docstring(source).splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() and not re.fullmatch(rf"\s+({_IMPORTED})\n", line))


_IMPORTED = "import (re|ipaddress)|from contextlib import suppress"


def _undecorated(source: str) -> str:
    """*source* of a function in a notebook without the lines of its decorators."""
    source = textwrap.dedent(source)
    first = ast.parse(source).body[0]
    return "".join(source.splitlines(keepends=True)[first.lineno - 1 :]) if hasattr(first, "decorator_list") else source


def _names_of(text: str) -> set[str]:
    """The names that the file itself knows at its top, and, as ``k.mount``, those of its class k."""
    found = set(dir(builtins))
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(each.name for each in node.names)
        elif isinstance(node, ast.Assign):
            found.update(each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name))
        if isinstance(node, ast.ClassDef) and node.name == "k":
            names = [each for line in node.body for each in ast.walk(line)]
            found.update(f"k.{each.name}" for each in names if isinstance(each, ast.FunctionDef))
            found.update(f"k.{each.id}" for each in names if isinstance(each, ast.Name))
    return found


def _globals_of(source: str) -> set[str]:
    """The names that the function *source* takes from around it, with what it takes from k."""
    found, tables = set(), [symtable.symtable(source, NAME, "exec")]
    own = {symbol.get_name() for symbol in tables[0].get_symbols() if symbol.is_assigned()}
    for table in tables:  # the list grows meanwhile
        tables += table.get_children()
        is_top = table is tables[0]
        used = [each for each in table.get_symbols() if each.is_referenced() and (is_top or each.is_global())]
        found.update(each.get_name() for each in used)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "k":
            found.add(f"k.{node.attr}")
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        for name in [node.module or ""] if isinstance(node, ast.ImportFrom) else names:
            if name.partition(".")[0] not in sys.stdlib_module_names:
                found.add(f"the module {name}")
    return found - own


# ---- whose it is ---------------------------------------------------------------------------------------------------


def provenance(program: Program | None = None) -> Page:
    """Each function of the file: of which chapter and exercise, in which lines, and whose; the rest is the lab's."""
    program = program or assemble()
    rows, lines, total = [], [], program.text.count("\n")
    owners = dict.fromkeys(_SIGNS, 0)
    for id, part in program.parts.items():
        chapter = int(exercises()[id].chapter.removeprefix("ch"))
        owners[part.whose] += len(part.source.splitlines())
        first = program.line_of(part)
        place = f"{first}-{first + len(part.source.splitlines()) - 1}"
        whose = f"{part.whose}: {part.why}" if part.why else part.whose
        cells = (_SIGNS[part.whose], f"{part.name}()", f"{chapter:02}", id, place, whose)
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
        lines.append("{} {:<18} chapter {}  {:<10} lines {:<8} {}".format(*cells))
    sentence = (
        f"{program.length}: {owners[YOURS]} are yours, {owners[OURS]} the course's in place of yours, and "
        f"{total - sum(owners.values())} join them"
    )
    head = "".join(f"<th>{each}</th>" for each in ("", "function", "chapter", "exercise", "lines", "whose"))
    page = f"{_STYLE}<table class='minict-course'><tr>{head}</tr>{''.join(rows)}</table>"
    page += f"<p class='minict-next'>{sentence}</p>"
    return Page(page, "\n".join([*lines, sentence]), f"provenance of {NAME}: {len(rows)} functions, and whose each is")


_SIGNS = {YOURS: "●", OURS: "○"}


# ---- the form of the file ------------------------------------------------------------------------------------------


def compact(source: str, room: int = 0) -> str:
    """*source* with fewer lines: a call on one line where it fits, and a block of one line behind its colon.

    The first line keeps *room* columns free.
    """
    lines = source.splitlines()
    for node in sorted(filter(_is_simple, ast.walk(ast.parse(source))), key=lambda node: -node.lineno):
        piece = [line.strip() for line in lines[node.lineno - 1 : node.end_lineno]]
        if len(piece) > 1 and not any('"""' in line or "#" in line for line in piece):
            indent = lines[node.lineno - 1][: node.col_offset]
            joined = re.sub(r"(?<=[(\[{]) |,? (?=[)\]}])", "", indent + " ".join(piece))
            if len(joined) <= _WIDTH:
                lines[node.lineno - 1 : node.end_lineno] = [joined]
    blocks = {
        block[0].lineno: block[0].col_offset
        for node in ast.walk(ast.parse("\n".join(lines)))
        if not isinstance(node, (ast.Module, ast.ClassDef))
        for field in ("body", "orelse", "finalbody")
        if isinstance(block := getattr(node, field, None), list) and len(block) == 1 and _is_simple(block[0])
    }
    for number, column in sorted(blocks.items(), reverse=True):
        head, line = lines[number - 2].rstrip(), lines[number - 1].strip()
        is_alone = not lines[number - 1][:column].strip()
        width = _WIDTH - room if number == 2 else _WIDTH
        if is_alone and head.endswith(":") and len(head) + len(line) < width:
            lines[number - 2 : number] = [f"{head} {line}"]
    return "\n".join(lines) + "\n"


def with_short_ones_together(text: str) -> str:
    """*text* with a blank line between a chapter's function and one of the file's, and around a long one; else none."""
    lines, gone = text.splitlines(), set()
    for before, after in itertools.pairwise(ast.parse(text).body):
        between = range(before.end_lineno, after.lineno - 1)
        blank = [number for number in between if not lines[number].strip()]
        is_near = len(blank) == len(between) and _kind(before, lines) == _kind(after, lines) != "long"
        gone.update(blank if is_near else blank[1:])
    for node in filter(lambda node: isinstance(node, ast.ClassDef), ast.parse(text).body):
        gone.update(number for number in range(node.lineno, node.end_lineno) if not lines[number].strip())
    return "\n".join(line for number, line in enumerate(lines) if number not in gone) + "\n"


_LONG = 8  # lines of a definition


def _kind(node: ast.stmt, lines: list[str]) -> str:
    """What may stand beside *node* without a blank line: its own kind, unless it is long."""
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Assign)) or node.end_lineno - node.lineno + 1 >= _LONG:
        return "long"
    return "of a chapter" if re.search(r"  # [a-z]+-\d: ", lines[node.lineno - 1]) else "of the file"


def _is_simple(node: ast.AST) -> bool:
    return isinstance(node, ast.stmt) and not hasattr(node, "body")


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    assemble({}).save(sys.argv[1])
