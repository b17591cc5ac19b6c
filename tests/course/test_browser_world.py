"""The page of chapter 10, opened by the browser in which the learner reads the chapter."""

from __future__ import annotations

import os

import nbformat
from playwright.sync_api import expect

from tests.support.browser import PATIENCE, Lab
from tests.support.paths import ROOT

CHAPTER = os.path.join(ROOT, "notebooks", "10-reaching-the-world.ipynb")


def test_the_published_page_opens_and_the_packets_move(tmp_path, tiny):
    notebook = nbformat.read(CHAPTER, as_version=4)
    link = next(number for number, cell in enumerate(notebook.cells) if "](http://127.0.0.1:8010/)" in cell.source)
    del notebook.cells[link + 1 :]  # what is below it removes the containers
    path = str(tmp_path / os.path.basename(CHAPTER))
    nbformat.write(notebook, path)
    with Lab(tmp_path) as lab:
        page = lab.open(path)
        page.run_all()
        page.cell("start_front(").shows("a curious container knocks at port 80")
        with page.tab.expect_popup() as opened:
            page.tab.get_by_role("link", name="127.0.0.1:8010").click()
        expect(opened.value.locator("h1")).to_have_text(
            "a polite penguin listens to the kernel", timeout=PATIENCE * 1000
        )
        assert opened.value.url == "http://127.0.0.1:8010/"
        opened.value.close()

        figure = page.cell("live(ways.draw")
        figure.shows("box calls world", "203.0.113.9:80", "on to the next hook")
        figure.place.locator(".noUi-handle").focus()
        for _ in range(2):
            page.tab.keyboard.press("ArrowRight")
        figure.shows("→ 203.0.113.1", "the answer: world sees 203.0.113.1")

        clean_up = page.cell("start_front(")
        clean_up.replace(
            "print(",
            [
                "for each in servers: each.stop()",
                "for each in (front, middle, db): each.stop(timeout=0)",
                "store.remove('town')",
            ],
        )
        clean_up.run()
