"""Every committed notebook keeps the rules of :mod:`hygiene`, and each rule finds what it should."""

from __future__ import annotations

import glob
import os
import re

import nbformat
import pytest

from minict.lab.challenge import challenges
from minict.lab.exercise import exercises
from minict.lab.quiz import quizzes
from tests.support import notebook_rules
from tests.support.notebook_rules import Page, problems, problems_of_the_course

PATHS = sorted(glob.glob(os.path.join(notebook_rules.ROOT, "notebooks", "*.ipynb")))


def test_every_notebook():
    pages = [Page(path) for path in PATHS]
    assert [words for page in pages for words in problems(page)] + problems_of_the_course(pages) == []


def test_the_readmes_table_links_each_chapter_in_order():
    with open(f"{notebook_rules.ROOT}/README.md", encoding="utf-8") as file:
        rows = re.findall(
            r"^\| (\d\d) \| \[([^]]+)\]\(notebooks/(\S+)\.ipynb\) \| [^|]+ \|$", file.read(), re.MULTILINE
        )
    assert [name for _, _, name in rows] == [os.path.basename(path).removesuffix(".ipynb") for path in PATHS]
    assert [f"{number} {title}".lower() for number, title, _ in rows] == [name.replace("-", " ") for _, _, name in rows]


# ---- each rule can fail ----------------------------------------------------------------------------------------

TASK = exercises()["pivot-1"]
CHALLENGE = next(task for task in challenges().values() if task.chapter == "ch05")


def code(source, count=None, outputs=(), tags=()):
    return nbformat.v4.new_code_cell(
        source, execution_count=count, outputs=list(outputs), metadata={"tags": list(tags)} if tags else {}
    )


def text(source):
    return nbformat.v4.new_markdown_cell(source)


def printed(words, name="stdout"):
    return nbformat.v4.new_output("stream", text=words, name=name)


def good() -> list:
    """A chapter without a fault."""
    cells = [
        text("# Who is number one?\n\nA story.\n\n**You will be able to** …\n\n**Before you start** … 45 min"),
        code("from minict.lab import *", tags=["short"]),
        code("runtime_map(5)", tags=["short"]),
        code("warm_up(5)"),
        text(TASK.box),
        code(f'@exercise("pivot-1")\n{TASK.starter}'.rstrip()),
        code('# hint("pivot-1")'),
        text("## The real thing\n\n## What you built"),
        code("source(print)"),
        text("## Lessons learned\n\n## Quiz"),
        code('quiz("pivot-root")'),
        text(f"## Go further\n\n{CHALLENGE.box}"),
        code(f'challenge("{CHALLENGE.id}")'),
        text("## Clean up"),
        code("leave_no_trace()", outputs=[printed("This notebook left no trace on the host.")], tags=["short"]),
        text("## Next"),
        code("course_map()"),
    ]
    cells[0].metadata["tags"] = ["short"]
    return cells


def page(cells, name="05-x.ipynb") -> Page:
    number = 0
    for cell in cells:
        if cell.cell_type == "code" and cell.execution_count is None:
            number += 1
            cell.execution_count = number
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    return Page(os.path.join(notebook_rules.ROOT, "notebooks", name), notebook)


def test_a_good_chapter_has_no_fault_but_too_few_exercises():
    assert problems(page(good())) == ["05-x.ipynb: it has 1 exercises, and should have three or more"]
    untagged = good()
    for cell in untagged:
        cell.metadata["tags"] = []
    assert any("it has no short path" in words for words in problems(page(untagged)))


@pytest.mark.parametrize(
    "cell, words",
    [
        (code("1", count=7), "not executed from first to last"),
        (
            code("1/0", outputs=[nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="", traceback=[])]),
            "no tag raises-exception",
        ),
        (code("1", tags=["raises-exception"]), "raises none"),
        (code("1", outputs=[printed("oh", "stderr")]), "writes to stderr"),
        (code("f();"), "semicolon"),
        (code("import os\nos.fork()"), "forks outside"),
        (code("from minict.runtime.init import begin\nfor begin in (1, 2): pass"), "begin is a function"),
        (code("with open('x') as answer: pass"), "answer is a function of minict.lab"),
        (code("def check(): pass"), "check is a function of minict.lab"),
        (code("!ls\nfrom os import fork\nif fork() == 0: pass"), "forks outside"),
        (code("1", tags=["nbval-ignore-output"]), "no reason"),
        (code("1", tags=["cgroup-v2"]), "has the tag cgroup-v2 and no reason"),
        (code("1", tags=["cgroup-v2"]), "no cell with the tag cgroup-v2 shows that mode() was 'v2'"),
        (code("# NBVAL_IGNORE_OUTPUT\n1"), "comment for nbval"),
        (code("1", outputs=[printed("/root/x")]), "somewhere else on another machine"),
        (
            code(
                "1",
                outputs=[nbformat.v4.new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}})],
            ),
            "view of a widget",
        ),
        (code("x = '" + "x" * notebook_rules.LARGEST + "'"), "bytes, more than"),
        (text("[x](nowhere.ipynb)"), "leads to nothing"),
        (text("[x](#Nowhere)"), "no heading"),
        (code('@exercise("pivot-1")\ndef pivot_root(rootfs):\n    ...'), "is not the registry's"),
        (code('@exercise("pivot-9")\ndef f():\n    ...'), "no exercise pivot-9"),
        (code(f'x = 1\n@exercise("pivot-1")\n{TASK.starter}'), "the only thing in its cell"),
    ],
)
def test_a_fault_is_found(cell, words):
    cells = good()
    cells.insert(3, cell)
    assert any(words in problem for problem in problems(page(cells))), problems(page(cells))


def test_few_cells_may_be_of_version_2_and_they_are_compared_there(monkeypatch):
    tagged = [code(f"{number}", tags=["cgroup-v2"]) for number in range(5)]
    assert any("more than a fifth" in problem for problem in problems(page(good() + tagged)))
    proof = code(
        "mode()", tags=["cgroup-v2"], outputs=[nbformat.v4.new_output("execute_result", data={"text/plain": "'v2'"})]
    )
    assert not any("shows that mode()" in problem for problem in problems(page(good() + [proof])))
    for version, is_compared in (("v2", True), ("hybrid", False), ("v1", False)):
        monkeypatch.setattr(notebook_rules.hierarchy, "mode", lambda version=version: version)
        assert notebook_rules.is_compared(proof) is is_compared and notebook_rules.is_compared(code("1"))


@pytest.mark.parametrize(
    "words, fault",
    [
        ("**You will be able to** …", "opening lacks: You will"),
        ("45 min", "how many minutes"),
        ("number one?", "not a question"),
        ("## Quiz", "closing lacks the heading: Quiz"),
        ("## Next", "closing lacks the heading: Next"),
        ("runtime_map(5)", "lacks the map"),
        ("leave_no_trace()", "last cell is not"),
        ("left no trace", "leaves traces"),
        ("source(print)", "shows nothing of the package"),
        ('quiz("pivot-root")', "has no quiz"),
        (TASK.box, "this line is missing"),
        ('# hint("pivot-1")', "after pivot-1"),
        ("warm_up(5)", "lacks warm_up(5)"),
        ("course_map()", "lacks course_map()"),
        (f'challenge("{CHALLENGE.id}")', "lacks challenge("),
        (CHALLENGE.box, "above the challenge"),
    ],
)
def test_a_missing_part_is_found(words, fault):
    cells = good()
    for cell in cells:
        cell.source = cell.source.replace(words, "1")
        for output in cell.get("outputs", ()):
            output.text = output.text.replace(words, "")
    assert any(fault in problem for problem in problems(page(cells))), problems(page(cells))


def test_chapter_00_has_no_form_to_keep():
    assert problems(page([text("# Hello"), code("1")], "00-x.ipynb")) == []
    assert problems(page([text("# Hello"), code("1")], "01-x.ipynb")) != []


EXAM = """paper = exam()
repair = paper.faults()
repair.check()
bodies = paper.bodies()
bodies.check()
stranger = paper.stranger()
stranger.check({})
certificate()
course_map()"""


@pytest.mark.parametrize(
    "words, fault",
    [
        ("", ""),
        ("paper.faults()", "lacks .faults()"),
        ("certificate()", "lacks certificate("),
        ("bodies.check()", "does not check each"),
        ("## Part two: bodies · 40 min", "no heading with the minutes"),
        ("left no trace", "leaves traces"),
    ],
)
def test_the_exam_has_a_form_of_its_own(words, fault):
    headings = "## Part one: faults · 60 min\n\n## Part two: bodies · 40 min\n\n## Part three: a stranger · 40 min"
    ended = printed("This notebook left no trace on the host.".replace(words or "-", "1"))
    cells = [code(line) for line in EXAM.replace(words or "-", "1").splitlines()]
    cells += [text(headings.replace(words or "-", "1")), code("leave_no_trace()", outputs=[ended])]
    found = problems(page(cells, "20-x.ipynb"))
    assert any(fault in problem for problem in found) if fault else found == [], found


def test_an_exercise_and_a_quiz_have_one_place():
    words = " ".join(problems_of_the_course([page(good()), page(good())]))
    assert (
        "exercise pivot-1 of chapter ch05 is in 2 notebooks" in words
        and "quiz pivot-root of chapter ch05 is in 2" in words
    )
    assert "exercise private-1 of chapter ch05 is in 0 notebooks" in words


def test_a_word_of_a_later_chapter_is_found_unless_it_is_linked():
    cells = good()
    cells[0].source = cells[0].source.replace("number one", "the zombie")
    assert any("uses 'zombie', which chapter 01" in words for words in problems(page(cells, "00-x.ipynb")))
    cells[0].source += " What is [a zombie](glossary.md#zombie)?"
    assert not any("zombie" in words for words in problems(page(cells, "00-x.ipynb")))
    cells[0].source += " What is [a vampire](glossary.md#vampire)?"
    assert any("no word of the glossary" in words for words in problems(page(cells, "00-x.ipynb")))
    assert "'zombie' is in the glossary as a word of chapter 01, and does not occur there" in problems_of_the_course(
        [page(good(), "01-x.ipynb")]
    )
    assert "chapter 21 has no word in notebooks/glossary.md" in problems_of_the_course([page(good(), "21-x.ipynb")])


def test_a_short_path_is_whole():
    cells = good()
    for cell in cells:
        cell.metadata["tags"] = ["short"] if cell is cells[1] else []
    found = " ".join(problems(page(cells)))
    assert (
        "short path lacks leave_no_trace()" in found
        and "short path has no text" in found
        and "lacks from minict.lab" not in found
    )


def test_long_cells_are_found():
    cells = good()
    for _ in range(10):
        cells.insert(3, code("\n".join(["1"] * 16)))
    assert sum("lines" in problem or "median" in problem for problem in problems(page(cells))) == 2


# ---- quizzes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", quizzes())
def test_quiz(id):
    quiz = quizzes()[id]
    assert 5 <= len(quiz.questions) <= 8
    places = set()
    for question in quiz.questions:
        assert 3 <= len(question.options) <= 4, question.text
        assert all(option.feedback.strip() and option.text.strip() for option in question.options), question.text
        assert len({option.feedback for option in question.options}) == len(question.options), question.text
        places.add(next(place for place, option in enumerate(question.options) if option.is_right))
    assert len(places) > 1, "the right answer is always in the same place"
