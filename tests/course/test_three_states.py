"""Every notebook as three learners leave it: one skips the exercises, one solves them all, one gets them all wrong.

The first is the committed notebook itself, and nbval runs that cell by cell.  These tests cover the other two, and the
short path: each runs to its last cell without an unannounced error, and leaves nothing on the host. With all exercises
solved, the learner's own functions make the containers, and everything below shows what the committed notebook shows.
"""

from __future__ import annotations

import glob
import os
import re

import pytest

from minict.lab.exercise import exercises
from tests.support.notebook_kernel import Kernel, text_of
from tests.support.notebook_rules import Page, is_compared, tags
from tests.support.paths import ROOT

PATHS = {os.path.basename(path)[:-6]: path for path in sorted(glob.glob(os.path.join(ROOT, "notebooks", "*.ipynb")))}


def run(page: Page, answers: dict[str, str], cells=None) -> list[list[str]]:
    """Run the notebook, or these *cells* of it, with *answers* to its exercises; the text of each output of each code
    cell."""
    ids = {cell.id: id for cell, id in page.exercises()}
    shown = []
    with Kernel(hello=None, time_limit=120) as kernel:
        for cell in page.code if cells is None else cells:
            answer = answers.get(ids.get(cell.id))
            source = f'@exercise("{ids[cell.id]}")\n{answer}' if answer else cell.source
            outputs = kernel.cell(source).outputs
            errors = [text_of(output) for output in outputs if output.output_type == "error"]
            assert not errors or "raises-exception" in tags(cell), f"{cell.source}\n{errors}"
            shown.append(texts(outputs))
    return shown


def texts(outputs) -> list[str]:
    """What a reader sees, without what differs from run to run (tests/support/sanitize.cfg), the words of one stream
    joined."""
    joined = "".join(output.text for output in outputs if output.output_type == "stream")
    others = [
        f"{output.ename}: {output.evalue}" if output.output_type == "error" else text_of(output)
        for output in outputs
        if output.output_type != "stream"
    ]
    return [sanitized(text) for text in [joined, *others] if text]


def sanitized(text: str) -> str:
    with open(os.path.join(ROOT, "tests", "support", "sanitize.cfg"), encoding="utf-8") as file:
        for pattern, replacement in re.findall(r"^regex: (.*)$\n^replace: (.*)$", file.read(), re.M):
            text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize("name", PATHS)
def test_all_solved_shows_the_same(name, tiny):
    page = Page(PATHS[name])
    shown = run(page, {id: exercises()[id].solution for _, id in page.exercises()})
    ids = {cell.id: id for cell, id in page.exercises()}
    for cell, outputs in zip(page.code, shown):
        if cell.id in ids:
            assert outputs == [f"{exercises()[ids[cell.id]].praise}\n"]
        elif is_compared(cell):
            assert outputs == texts(cell.outputs), cell.source


@pytest.mark.parametrize("name", PATHS)
def test_all_wrong_runs_to_its_end(name, tiny):
    page = Page(PATHS[name])
    mistakes = {id: next(iter(exercises()[id].wrong.values())) for _, id in page.exercises()}
    shown = run(page, {id: source for id, (source, _) in mistakes.items()})
    ids = {cell.id: id for cell, id in page.exercises()}
    for cell, outputs in zip(page.code, shown):
        if cell.id in ids:
            words = " ".join(outputs[0].split())
            assert words.startswith(f"✗ {ids[cell.id]}: ") and mistakes[ids[cell.id]][1] in words
        elif cell.source.strip() == "leave_no_trace()":
            assert "left no trace on the host" in outputs[0]


@pytest.mark.parametrize("name", PATHS)
def test_the_short_path_runs_alone(name, tiny):
    page = Page(PATHS[name])
    short = [cell for cell in page.code if "short" in tags(cell)]
    shown = run(page, {}, short)
    for cell, outputs in zip(short, shown):
        if cell.source.strip() == "leave_no_trace()":
            assert "left no trace on the host" in outputs[0]


@pytest.mark.parametrize("name", [name for name in PATHS if name >= "03"])  # the others give containers names
def test_each_cell_can_be_run_twice(name, tiny):
    """Also without a front end that sends the ids of cells, so that nothing stops the containers of the previous
    run."""
    page = Page(PATHS[name])
    cells = [cell for cell in page.code for _ in range(2)]
    for cell, outputs in zip(cells, run(page, {}, cells)):
        if cell.source.strip() == "leave_no_trace()":
            assert "left no trace on the host" in outputs[0]
