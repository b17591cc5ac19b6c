"""The tracks of docs/teaching.md: their times add up, and each runs from its first cell to its last, as a class does it.

A learner of a track runs the short path of each chapter, and solves the exercises that the track names.
"""

from __future__ import annotations

import re

import pytest

from minict.lab.exercise import exercises
from tests.course.test_three_states import PATHS, run
from tests.support.notebook_rules import Page, tags
from tests.support.paths import ROOT

TEXT = open(f"{ROOT}/docs/teaching.md", encoding="utf-8").read()
LENGTHS = {"Three hours": [180], "One day": [450], "Two days": [420, 435]}  # minutes from the first row to the end
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))


def days(track: str) -> list[list[list[str]]]:
    """The rows of each day: at, minutes, chapter, show, let them do."""
    found: list[list[list[str]]] = [[]]
    for line in SECTIONS[track].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].startswith("**Day"):
            found.append([])
        elif re.fullmatch(r"\d:\d\d", cells[0]):
            found[-1].append(cells)
    return [day for day in found if day]


def chapters(track: str) -> list[tuple[str, set[str]]]:
    """The notebook of each row that has one, and the exercises that the row names."""
    rows = [row for day in days(track) for row in day if row[2]]
    names = [re.search(r"notebooks/(.*)\.ipynb", row[2]).group(1) for row in rows]
    return [(name, set(re.findall(r"`([a-z]+-\d)`", row[4]))) for name, row in zip(names, rows)]


@pytest.mark.parametrize("track", LENGTHS)
def test_the_minutes_of_a_track_add_up(track):
    for day, length in zip(days(track), LENGTHS[track], strict=True):
        now = 0
        for at, minutes, *_ in day:
            assert at == f"{now // 60}:{now % 60:02}"
            now += int(minutes)
        assert now == length


@pytest.mark.parametrize("track", LENGTHS)
def test_a_track_names_exercises_of_its_short_paths(track):
    for name, ids in chapters(track):
        page = Page(PATHS[name])
        assert ids <= {id for cell, id in page.exercises() if "short" in tags(cell)}, name


@pytest.mark.parametrize("track, name, ids", [(t, n, i) for t in LENGTHS for n, i in chapters(t)])
def test_a_class_gets_from_the_first_cell_to_the_last(track, name, ids, tiny):
    page = Page(PATHS[name])
    short = [cell for cell in page.code if "short" in tags(cell)]
    shown = run(page, {id: exercises()[id].solution for id in ids}, short)
    last = next(outputs for cell, outputs in zip(short, shown) if cell.source.strip() == "leave_no_trace()")
    assert "left no trace on the host" in last[0]


def test_each_ready_chapter_has_a_question_that_helps():
    rows = SECTIONS["Where they get stuck, and the question that helps"]
    used = {name[:2] for track in LENGTHS for name, _ in chapters(track)}
    assert used <= set(re.findall(r"^\| (\d\d) \|", rows, re.M))
