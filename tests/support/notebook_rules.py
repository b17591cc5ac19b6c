"""The rules for a committed notebook.  Each is a function that gets a :class:`Page` and tells what is wrong, in words.

nbval alone would pass a notebook that was never executed, and one whose exercises have become impossible to solve.
"""

from __future__ import annotations

import ast
import json
import os
import re

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from minict import lab
from minict.lab.challenge import challenges
from minict.lab.exercise import exercises
from minict.lab.flag import flags
from minict.lab.quiz import quizzes
from minict.lab.scenario import scenarios
from minict.runtime.cgroup import hierarchy
from tests.support.paths import ROOT

# "notebook: first line of the cell" -> why nothing better than an ignore tag is possible.  Keep it short: make
# values deterministic instead (print "another inode: True", not the inode).
REASONS_TO_IGNORE: dict[str, str] = {}
# The same for a cell that forks outside of %%child: chapter 01 may show once what happens then.
REASONS_TO_FORK: dict[str, str] = {}

# The same for a cell with the tag `cgroup-v2`: what differs on a machine with version 1.  Its committed output is that of
# version 2, which readers have, and is compared there; with version 1 the cell only has to run (is_compared).
REASONS_FOR_V2: dict[str, str] = {
    "08-cgroups.ipynb: from minict.runtime.cgroup import mode": "the version itself",
    "08-cgroups.ipynb: stand_in(trial)": "code for version 1 fails with version 2, and works with version 1",
    '08-cgroups.ipynb: directory = os.path.dirname(trial.file("memory.max"))': "version 1 has a file tasks",
    '08-cgroups.ipynb: sleeper = start(demo, ["sleep", "1000"])': "frozen by version 1, a process does not die",
    '08-cgroups.ipynb: hand_on = "+memory"': "version 1 has no subtree_control, and no rule",
}
V2_TAG = "cgroup-v2"
# The same for a cell with the tag `real-root`: what an ordinary user's root may not do, or does otherwise. The tests of the
# chapters without root do not compare it, and the chapter says in a line what differs.
REASONS_FOR_ROOT: dict[str, str] = {
    "05-pivot-root.ipynb: unshare(CLONE_NEWNS)": "a user's mount is refused by an earlier check of pivot_root, with EINVAL",
    '05-pivot-root.ipynb: print("on the host, timer_list has", len(open("/proc/timer_list").read()), "bytes")': "root's file",
    "15-volumes.ipynb: unshare(CLONE_NEWNS)": "a remount must keep the flags that /tmp has from the machine",
    "10-reaching-the-world.ipynb: import minict, socket": "the user's network has ports of its own",
    "10-reaching-the-world.ipynb: leave_no_trace()": "the container that was not refused has made the bridge",
    "14-many-containers.ipynb: for box in fleet[3::5]:": "only a group that is delegated to the user can be frozen",
}
ROOT_TAG = "real-root"

IGNORING_TAGS = {"nbval-ignore-output", "nbval-skip", "skip-execution", "nbval-check-output"}
OPENING = ("You will be able to", "Before you start")
CLOSING = ("The real thing", "What you built", "Lessons learned", "Quiz", "Go further", "Clean up", "Next")
LARGEST = 1_500_000  # bytes


class Page:
    """A notebook, with the properties that the rules check."""

    def __init__(self, path: str, notebook: nbformat.NotebookNode | None = None):
        self.path, self.name = path, os.path.basename(path)
        self.notebook = notebook or nbformat.read(path, as_version=4)
        self.cells = self.notebook.cells
        self.code = [cell for cell in self.cells if cell.cell_type == "code"]
        self.text = "\n\n".join(cell.source for cell in self.cells if cell.cell_type == "markdown")
        self.chapter = int(self.name[:2]) if self.name[:2].isdigit() else -1

    def key(self, cell) -> str:
        """What the reasons above call *cell*: its first line, after that of ``%%child``."""
        return f"{self.name}: {re.sub(r'^%%.*', '', cell.source).lstrip().partition(chr(10))[0]}"

    def outputs(self):
        return [(cell, output) for cell in self.code for output in cell.outputs]

    def exercises(self) -> list[tuple]:
        """(cell, id) of each cell that is an exercise."""
        return [(cell, match[1]) for cell in self.code if (match := re.match(r'@exercise\("([^"]+)"\)\n', cell.source))]

    def headings(self) -> list[str]:
        return re.findall(r"^#+ (.*)$", self.text, re.M)


def first_line(cell) -> str:
    return cell.source.split("\n")[0]


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def is_compared(cell) -> bool:
    """Whether the output of *cell* is compared with the committed one, on this machine."""
    if V2_TAG in tags(cell) and hierarchy.mode() != "v2":
        return False
    return "nbval-ignore-output" not in tags(cell)


# ---- rules for every notebook ----------------------------------------------------------------------------------


def executed_in_order(page):
    counts = [cell.execution_count for cell in page.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"its cells were not executed from first to last: the counts are {counts}; run make notebooks"
    for cell in page.code:
        if not cell.source.strip():
            yield "it has an empty cell"


def errors_are_announced(page):
    for cell, output in page.outputs():
        if output.output_type == "error" and "raises-exception" not in tags(cell):
            yield f"{first_line(cell)!r} ends with {output.ename} and has no tag raises-exception"
    for cell in page.code:
        if "raises-exception" in tags(cell) and not any(output.output_type == "error" for output in cell.outputs):
            yield f"{first_line(cell)!r} has the tag raises-exception and raises none"


def no_words_of_warning(page):
    for cell, output in page.outputs():
        if output.output_type == "stream" and output.name == "stderr":
            yield f"{first_line(cell)!r} writes to stderr: {output.text[:80]!r}"


def no_semicolons(page):
    for cell in page.code:
        if cell.source.rstrip().endswith(";") and not cell.source.startswith("%%"):
            yield f"{first_line(cell)!r} ends with a semicolon, which nbval ignores: write _ = … instead"


def forks_are_in_children(page):
    for cell in page.code:
        if cell.source.startswith("%%") or cell.source.startswith("@exercise("):
            continue
        tree = ast.parse(TransformerManager().transform_cell(cell.source))
        if any(_is_fork(node) for node in ast.walk(tree)) and page.key(cell) not in REASONS_TO_FORK:
            yield f"{first_line(cell)!r} forks outside of %%child"


def _is_fork(node) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("fork", "forkpty", "clone3")


_SCOPES = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def no_name_has_two_meanings(page):
    """A name may not have two meanings: a cell that is run again later would find a number in place of a function."""
    imported, defined, values = _names(page)
    for name in sorted((imported | defined) & values):
        yield f"{name} is a function or a module in one cell, and a variable in another"


def no_name_of_the_lab_is_taken(page):
    """With ``answer = …`` in a cell, ``answer("images", 1, "b")``, which the quiz asks for, would fail."""
    _, defined, values = _names(page)
    for name in sorted((defined | values) & set(lab.__all__)):
        yield f"{name} is a function of minict.lab, and a cell gives the name to something else"


def _names(page) -> tuple[set[str], set[str], set[str]]:
    """The names of the notebook, not those inside of functions: imported; functions and classes; variables."""
    imported, defined, values = set(), set(), set()
    for cell in page.code:
        if cell.source.startswith("%%"):
            continue
        nodes = ast.parse(TransformerManager().transform_cell(cell.source)).body
        for node in nodes:  # it grows
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imported.update((name.asname or name.name).partition(".")[0] for name in node.names)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                values.add(node.id)
            if not isinstance(node, _SCOPES):
                nodes.extend(ast.iter_child_nodes(node))
    return imported, defined, values


def nothing_is_ignored_without_a_reason(page):
    for cell in page.code:
        if re.search(r"NBVAL_|PYTEST_VALIDATE", cell.source):
            yield f"{first_line(cell)!r} has a comment for nbval: use a tag, which readers do not see"
        if tags(cell) & IGNORING_TAGS and page.key(cell) not in REASONS_TO_IGNORE:
            yield (
                f"{first_line(cell)!r} has the tag {', '.join(tags(cell) & IGNORING_TAGS)} and no reason in "
                "tests/support/notebook_rules.py"
            )


def outputs_of_v2_are_few_and_proven(page):
    """What is compared on version 2 only; and the notebook itself says that its outputs come from there."""
    tagged = [cell for cell in page.code if V2_TAG in tags(cell)]
    for cell in tagged:
        if page.key(cell) not in REASONS_FOR_V2:
            yield f"{first_line(cell)!r} has the tag {V2_TAG} and no reason in tests/support/notebook_rules.py"
    if 5 * len(tagged) > len(page.code):
        yield f"{len(tagged)} of its {len(page.code)} cells have the tag {V2_TAG}, more than a fifth"
    if tagged and not any("mode()" in cell.source and "'v2'" in str(cell.outputs) for cell in tagged):
        yield f"no cell with the tag {V2_TAG} shows that mode() was 'v2': run make notebooks"


def what_needs_root_is_few_and_said(page):
    """What the tests without root do not compare; and the notebook tells its reader."""
    tagged = [cell for cell in page.code if ROOT_TAG in tags(cell)]
    for cell in tagged:
        if page.key(cell) not in REASONS_FOR_ROOT:
            yield f"{first_line(cell)!r} has the tag {ROOT_TAG} and no reason in tests/support/notebook_rules.py"
    if 5 * len(tagged) > len(page.code):
        yield f"{len(tagged)} of its {len(page.code)} cells have the tag {ROOT_TAG}, more than a fifth"
    if tagged and "**Without root**" not in page.text:
        yield f"cells have the tag {ROOT_TAG}, and no line begins with **Without root**"


def no_state_of_widgets(page):
    if "widgets" in page.notebook.metadata:
        yield "it holds the state of widgets"
    for cell, output in page.outputs():
        if any("widget-view" in kind for kind in output.get("data", {})):
            yield f"{first_line(cell)!r} holds the view of a widget that is gone: run make notebooks"


def same_metadata(page):
    kernel = page.notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield f"its kernel is {kernel!r} and not 'python3'"


def nothing_of_this_machine(page):
    for cell, output in page.outputs():
        text = json.dumps(
            {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
        )
        text += output.get("text", "") + "\n".join(output.get("traceback", []))
        for path in (ROOT, "/root/", "/home/", "/tmp/", "ipykernel_"):
            if path in text:
                yield f"{first_line(cell)!r} shows {path}, which is somewhere else on another machine"


def not_too_large(page):
    size = len(json.dumps(page.notebook))
    if size > LARGEST:
        yield f"it has {size} bytes, more than {LARGEST}"


def links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(page.path), path)) if path else page.path
        if file != page.path and not os.path.exists(file):
            yield f"the link {target} leads to nothing"
        elif anchor and file.endswith("glossary.md"):
            if anchor not in [term.anchor.partition("#")[2] for term in glossary()]:
                yield f"the link {target} leads to no word of the glossary"
        elif anchor and file.endswith(".ipynb"):
            other = page if file == page.path else Page(file)
            if anchor not in [heading.replace(" ", "-") for heading in other.headings()]:
                yield f"the link {target} leads to no heading"


def starters_are_the_registrys(page):
    for cell, id in page.exercises():
        if id not in exercises():
            yield f"there is no exercise {id}"
        elif cell.source.split("\n", 1)[1].strip() != exercises()[id].starter.strip():
            yield f"the starter of {id} is not the registry's"
        elif not {exercises()[id].box, _line_of(exercises()[id])} & set(page.text.splitlines()):
            yield f"above {id} this line is missing: {exercises()[id].box}"
        elif f'# hint("{id}")' not in [first_line(other)[: len(f'# hint("{id}")')] for other in page.code]:
            yield f'after {id} the cell # hint("{id}") is missing'
    for cell in page.code:
        if match := re.match(r'challenge\("([^"]+)"\)', cell.source):
            if match[1] not in challenges():
                yield f"there is no challenge {match[1]}"
            elif challenges()[match[1]].box not in page.text.splitlines():
                yield f"above the challenge {match[1]} this line is missing: {challenges()[match[1]].box}"
        if "@exercise(" in cell.source and not cell.source.startswith('@exercise("'):
            yield f"{first_line(cell)!r}: an exercise is the only thing in its cell"


def _line_of(task) -> str:
    """The exercise's box as a line in bold, which was the form before headings."""
    title, _, rest = task.box.removeprefix("### ").partition(" · ")
    return f"**{title}** · {rest}"


class Term:
    """An entry of notebooks/glossary.md: the *word*, the *chapter* that explains it, and its explanation."""

    def __init__(self, word: str, chapter: int, text: str):
        self.word, self.chapter, self.text = word, chapter, text

    @property
    def anchor(self) -> str:
        return f"glossary.md#{self.word.replace(' ', '-')}"

    def is_in(self, prose: str) -> bool:
        word = re.escape(self.word)
        return bool(re.search(rf"\b({word}(s|es)?|{word.removesuffix('y')}ies)\b", prose, re.I))


def glossary() -> list[Term]:
    """All terms of the glossary, in its order."""
    with open(os.path.join(ROOT, "notebooks", "glossary.md"), encoding="utf-8") as file:
        text = file.read()
    terms = []
    for number, part in re.findall(r"^## Chapter (\d\d)\n(.*?)(?=^## |\Z)", text, re.M | re.S):
        terms += [
            Term(word, int(number), words.strip())
            for word, words in re.findall(r"^### (.*)\n((?:(?!#).*\n?)*)", part, re.M)
        ]
    return terms


def prose_of(text: str) -> str:
    """*text* of Markdown without code and without the targets of its links."""
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)))


def no_word_before_its_explanation(page):
    prose = prose_of(page.text)
    for term in glossary():
        if page.chapter < term.chapter and term.is_in(prose) and term.anchor not in page.text:
            yield (
                f"it uses {term.word!r}, which chapter {term.chapter:02} explains: link to {term.anchor}, or write "
                "another word"
            )


# ---- rules for a chapter ---------------------------------------------------------------------------------------


def opening_and_closing(page):
    title = page.headings()[0] if page.headings() else ""
    if not title.endswith("?"):
        yield f"its title is not a question: {title!r}"
    for words in OPENING:
        if words not in page.text:
            yield f"its opening lacks: {words}"
    before_map = next((place for place, cell in enumerate(page.cells) if "runtime_map(" in cell.source), 1)
    if not any(re.search(r"\b\d+ min", cell.source) for cell in page.cells[:before_map]):
        yield "its opening does not say how many minutes it takes"
    if not any(f"runtime_map({page.chapter})" in cell.source for cell in page.code[:3]):
        yield f"its opening lacks the map: runtime_map({page.chapter})"
    places = [
        next((place for place, heading in enumerate(page.headings()) if heading.startswith(words)), -1)
        for words in CLOSING
    ]
    for words, place in zip(CLOSING, places):
        if place < 0:
            yield f"its closing lacks the heading: {words}"
    if -1 not in places and places != sorted(places):
        yield f"the parts of its closing are not in the order {', '.join(CLOSING)}"
    last = [cell for cell in page.code if cell.source.strip() != "course_map()"][-1:]
    if not last or last[0].source.strip() != "leave_no_trace()":
        yield "its last cell is not leave_no_trace(), with at most course_map() after it"
    elif "left no trace on the host" not in str(last[0].outputs):
        yield "it leaves traces on the host"


def a_short_path(page):
    """The cells with the tag `short` are a chapter of their own; a test runs them alone."""
    short = [cell for cell in page.code if "short" in tags(cell)]
    if not short:
        yield "it has no short path: tag its cells with short"
        return
    for words in ("from minict.lab import *", f"runtime_map({page.chapter})", "leave_no_trace()"):
        if not any(words in cell.source for cell in short):
            yield f"its short path lacks {words}"
    if not any(cell.cell_type == "markdown" and "short" in tags(cell) for cell in page.cells):
        yield "its short path has no text: tag the Markdown cells as well"
    if 2 * len(short) > 1.5 * len(page.code):
        yield f"its short path has {len(short)} of {len(page.code)} cells, more than three quarters"


def recall_and_challenge(page):
    """What goes on through the whole course: see the docstring of minict.lab."""
    calls = [f"warm_up({page.chapter})"] * (page.chapter >= 2) + ["course_map()", "challenge("]
    for call in calls:
        if not any(re.search(rf"^{re.escape(call)}", cell.source, re.M) for cell in page.code):
            yield f"it lacks {call}"


def enough_to_do(page):
    if len(page.exercises()) < 3:
        yield f"it has {len(page.exercises())} exercises, and should have three or more"
    if not any(re.match(r"quiz\(", cell.source) for cell in page.code):
        yield "it has no quiz"
    if not any("source(" in cell.source for cell in page.code):
        yield "it shows nothing of the package with source(…)"


def short_cells(page):
    lines = sorted(len(cell.source.split("\n")) for cell in page.code if not cell.source.startswith("@exercise("))
    if lines and lines[int(len(lines) * 0.9)] > 15:
        yield f"more than a tenth of its cells have over 15 lines: {lines[-4:]}"
    if lines and lines[len(lines) // 2] > 5:
        yield f"half of its cells have over 5 lines: the median is {lines[len(lines) // 2]}"


FOR_ALL = (
    executed_in_order,
    errors_are_announced,
    no_words_of_warning,
    no_semicolons,
    forks_are_in_children,
    no_name_has_two_meanings,
    no_name_of_the_lab_is_taken,
    nothing_is_ignored_without_a_reason,
    outputs_of_v2_are_few_and_proven,
    what_needs_root_is_few_and_said,
    no_state_of_widgets,
    same_metadata,
    nothing_of_this_machine,
    not_too_large,
    links_resolve,
    starters_are_the_registrys,
    no_word_before_its_explanation,
)
EXAM = 20


def an_exam(page):
    """The exam has no exercises, quiz and sections of a chapter: it has three parts, and leaves no trace either."""
    calls = ("exam()", ".faults()", ".bodies()", ".stranger()", "certificate(", "course_map()")
    for call in calls:
        if not any(call in cell.source for cell in page.code):
            yield f"the exam lacks {call}"
    if sum(".check(" in cell.source for cell in page.code) < 3:
        yield "the exam does not check each of its three parts"
    if sum(bool(re.match(r"Part .* · \d+ min$", heading)) for heading in page.headings()) != 3:
        yield "the exam has no heading with the minutes for each of its three parts"
    traces = [str(cell.outputs) for cell in page.code if cell.source.strip() == "leave_no_trace()"]
    if not traces or "left no trace on the host" not in traces[0]:
        yield "the exam leaves traces on the host"


FOR_CHAPTERS = (opening_and_closing, a_short_path, recall_and_challenge, enough_to_do, short_cells)


def problems(page: Page) -> list[str]:
    """All that is wrong with one notebook.  Chapter 00 is a look ahead, and has no form to keep; the exam has its own."""
    form = {0: (), -1: (), EXAM: (an_exam, short_cells)}.get(page.chapter, FOR_CHAPTERS)
    rules = FOR_ALL + form
    return [f"{page.name}: {words}" for rule in rules for words in rule(page)]


def problems_of_the_course(pages: list[Page]) -> list[str]:
    """Find problems that no single notebook can show, such as an exercise or a quiz that has no place, or two."""
    found, chapters = [], {page.chapter for page in pages}
    used = [id for page in pages for _, id in page.exercises()]
    for id, task in exercises().items():
        if int(task.chapter.removeprefix("ch")) in chapters and used.count(id) != 1:
            found.append(f"the exercise {id} of chapter {task.chapter} is in {used.count(id)} notebooks")
    asked = [match[1] for page in pages for cell in page.code if (match := re.match(r'quiz\("([^"]+)"\)', cell.source))]
    for id, quiz in quizzes().items():
        if int(quiz.chapter.removeprefix("ch")) in chapters and asked.count(id) != 1:
            found.append(f"the quiz {id} of chapter {quiz.chapter} is in {asked.count(id)} notebooks")
    for call, registry in (("challenge", challenges()), ("sad", scenarios()), ("flag", flags())):
        used = [
            id
            for page in pages
            for cell in page.code
            for id in re.findall(rf'^(?:\w+ = )?{call}\("([^"]+)"\)', cell.source, re.M)
        ]
        for id in used:
            if id not in registry:
                found.append(f'{call}("{id}") is in a notebook, and there is none')
    for number in chapters:
        if not any(term.chapter == number for term in glossary()):
            found.append(f"chapter {number:02} has no word in notebooks/glossary.md")
    texts = {number: "\n".join(page.text for page in pages if page.chapter == number) for number in chapters}
    found += [
        f"{term.word!r} is in the glossary as a word of chapter {term.chapter:02}, and does not occur there"
        for term in glossary()
        if term.chapter in texts and not term.is_in(texts[term.chapter])
    ]
    names = {page.chapter: page.name for page in pages}
    found += [
        f"{page.name}: its last text does not link {names[page.chapter + 1]}"
        for page in pages
        if page.chapter + 1 in names and f"({names[page.chapter + 1]})" not in page.text.split("## Next")[-1]
    ]
    keys = {page.key(cell) for page in pages for cell in page.code}
    found += [
        f"no cell any more needs the reason for {key!r}"
        for key in {**REASONS_TO_IGNORE, **REASONS_TO_FORK, **REASONS_FOR_V2, **REASONS_FOR_ROOT}
        if key not in keys
    ]
    return found
