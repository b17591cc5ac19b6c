"""The course as a learner uses it: in JupyterLab, in a browser, with a mouse and a keyboard."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import nbformat
import pytest

from tests.course.test_three_states import texts
from tests.support.browser import Browser, Lab
from tests.support.notebook_rules import Page
from tests.support.paths import ROOT

CHAPTER = os.path.join(ROOT, "notebooks", "05-pivot-root.ipynb")


@pytest.fixture
def lab(tmp_path, tiny):
    with Lab(tmp_path) as lab:
        yield lab


def test_a_learner_works_through_chapter_05(lab):
    page = lab.open(CHAPTER)
    page.run_all()
    shown = page.cells()
    for before, now in zip(Page(CHAPTER).code, shown, strict=True):
        outputs = [nbformat.from_dict(output) for output in now["outputs"]]
        assert texts(outputs) == texts(before.outputs), before.source

    # an exercise: a wrong answer, then a right one that leaves a mark
    exercise, hello = page.cell('@exercise("pivot-1")'), page.cell('"echo hello"')
    exercise.shows("○ pivot-1: not attempted yet.")
    exercise.replace("...    # now the old root", ['k.pivot_root(".", ".")'])
    exercise.replace("...    # and now it is gone", ['k.umount2(".", 0)'])
    exercise.run()
    exercise.shows("✗ pivot-1: ", "busy", 'Stuck? hint("pivot-1")')
    exercise.replace("k.umount2", ['k.umount2(".", k.MNT_DETACH)', 'print("through my own pivot_root")'])
    exercise.run()
    exercise.shows("● pivot-1: correct. From here on minict uses YOUR pivot_root().")
    hello.run()
    hello.shows("through my own pivot_root", "hello")

    # the quiz: a wrong answer, then the right one
    quiz = page.cell('quiz("pivot-root")')
    quiz.place.get_by_role("button", name="It forbids .. in paths").click()
    quiz.shows("✗ .. still works inside. It only has nowhere to lead.")
    quiz.place.get_by_role("button", name="It moves the root mount of the whole namespace").click()
    quiz.shows("✓ Yes, and so the old one can be unmounted.")

    # the figure: moved by hand, then it moves by itself
    figure = page.cell("live(steps.draw")
    figure.shows("the table: 0 of 17 done")
    figure.place.locator(".noUi-handle").focus()
    for _ in range(3):
        page.tab.keyboard.press("ArrowRight")
    figure.shows("the table: 3 of 17 done")
    figure.place.locator(".jupyter-widgets.widget-play button").first.click()
    figure.shows("the table: 5 of 17 done")

    # a narrow window, as beside another one: nothing is cut off on the right
    page.tab.set_viewport_size({"width": 820, "height": 900})
    page.tab.wait_for_function(
        """() => ![...document.querySelectorAll('.jp-OutputArea-output, .jp-MarkdownOutput, .cm-scroller')].some(
             each => each.scrollWidth > each.clientWidth + 1)"""
    )


def notebook(path, *cells: str) -> str:
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        ),
        path,
    )
    return str(path)


def test_nothing_that_a_cell_forks_can_hang_the_kernel(lab, tmp_path):
    page = lab.open(
        notebook(
            tmp_path / "forks.ipynb",
            "from minict.lab import *\nimport os",
            "pid = os.fork()  # both go on\nif pid:\n    _ = os.waitpid(pid, 0)",
            "if os.fork() == 0:\n    raise ValueError('oh dear')\n_ = os.wait()",
            "if os.fork() == 0:\n    while True: pass  # and the parent waits for it\n_ = os.wait()",
            "%%child --timeout 1\nwhile True: pass  # in a supervised child",
            "kernel = os.getpid()\nkernel, 6 * 7",
        )
    )
    page.cell("import os").run()
    answer = page.cell("6 * 7")

    def survives():
        answer.run()
        answer.shows("42)")
        numbers.append(answer.output.last.inner_text())
        assert len(set(numbers)) == 1, "another kernel answers now"

    numbers = []
    survives()
    naive = page.cell("# both go on")
    naive.run()
    naive.shows("reached the end of the cell. It ends here")
    survives()
    raising = page.cell("oh dear")
    raising.run()
    raising.shows("raised ValueError: oh dear. It ends here")
    survives()
    endless = page.cell("the parent waits")
    endless.start()
    page.tab.wait_for_timeout(1000)
    page.menu("Kernel", "Interrupt Kernel")
    endless.shows("KeyboardInterrupt")
    survives()
    watched = page.cell("supervised child")
    watched.run()
    watched.shows("ChildError: the child was still running after 1 s and was killed")
    survives()


@pytest.fixture
def course(tmp_path, tiny):
    """The address of chapter 02 as `make lab` opens it: a copy below the checkout, which the test removes."""
    os.makedirs(f"{ROOT}/work", exist_ok=True)
    work = tempfile.mkdtemp(prefix="test-", dir=f"{ROOT}/work")
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "MINICT_WORK": work, "PYTHONPATH": ROOT}
    environment.pop("PYTEST_CURRENT_TEST")  # see conftest
    os.makedirs(environment["HOME"])
    server = subprocess.Popen(
        [sys.executable, "-m", "minict.lab"], env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        line = next(line for line in server.stdout if line.startswith("The course:"))
        yield line.split()[-1].replace("00-what-is-a-container", "02-namespaces")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
        shutil.rmtree(work)
        with contextlib.suppress(OSError):
            os.rmdir(f"{ROOT}/work")


def test_a_copy_spoils_nothing_its_map_is_links_and_its_quiz_knows_when_the_kernel_is_gone(course, tmp_path):
    with Browser(tmp_path) as browser:
        page = browser.open(course)
        assert all(not cell["outputs"] for cell in page.cells())
        for words in ("from minict.lab import", "runtime_map(", 'quiz("'):
            page.cell(words).run()
        page.cell("runtime_map(").replace("runtime_map(", ["process_tree()"])
        page.cell("process_tree()").run()
        page.tab.wait_for_function(
            "() => document.querySelector(\".jp-RenderedImage img[alt='one process without children']\")"
        )
        page.cell("process_tree()").replace("process_tree(", ["runtime_map(2)"])
        page.cell("runtime_map(").run()
        page.tab.locator("a[aria-label*='chapter 01']").first.click()
        page.tab.wait_for_function(
            "window.jupyterapp.shell.currentWidget.title.label === '01-a-process-of-its-own.ipynb'"
        )
        path = course.partition("/lab/tree/")[2].partition("?")[0]
        page.tab.evaluate(f"() => {{ window.jupyterapp.commands.execute('docmanager:open', {{path: '{path}'}}); }}")
        page.tab.wait_for_function("window.jupyterapp.shell.currentWidget.title.label === '02-namespaces.ipynb'")
        page.tab.evaluate("() => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }")
        page.tab.wait_for_function(
            """() => [...document.querySelectorAll('.minict-quiz')].some(
                 quiz => getComputedStyle(quiz, '::after').content.includes('run this cell again'))"""
        )
        page.wait_until_idle()
        # opened again with another kernel: saved outputs replace those that need the old one
        page.tab.evaluate("async () => { await window.jupyterapp.shell.currentWidget.context.save(); }")
        page.tab.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")
        page.tab.close()
        page = browser.open(course)
        page.tab.wait_for_function(
            """() => [...document.querySelectorAll('.jp-OutputArea-output')].some(
                 output => output.textContent.includes('run this cell again') && output.querySelector('img, pre'))"""
        )
