"""The learner's own copies of the chapters: without outputs, kept across updates, recreated on demand."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from minict.lab import copies
from tests.support.notebook_kernel import Kernel
from tests.support.paths import ROOT


@pytest.fixture
def course(monkeypatch, tmp_path):
    """A checkout with two chapters; yields a function that changes the second."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(copies, "CHECKOUT", str(tmp_path))
    monkeypatch.delenv("MINICT_WORK", raising=False)
    (tmp_path / "notebooks/glossary.md").write_text("# Glossary\n")

    def write(name: str, source: str) -> None:
        cells = [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# What?\n", "Text."]},
            {
                "cell_type": "code",
                "id": "b",
                "metadata": {"tags": ["short"]},
                "source": source,
                "execution_count": 3,
                "outputs": [{"output_type": "stream", "name": "stdout", "text": "the answer"}],
            },
        ]
        (tmp_path / "notebooks" / name).write_text(
            json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
        )

    write("00-first.ipynb", "print(1)")
    write("01-second.ipynb", "print(2)")
    return write


def saved(number: int) -> dict:
    with open(copies.copies()[number].path, encoding="utf-8") as file:
        return json.load(file)


def save(number: int, notebook: dict) -> None:
    with open(copies.copies()[number].path, "w", encoding="utf-8") as file:
        json.dump(notebook, file)


def test_a_copy_has_everything_but_outputs(course):
    assert copies.prepare() == [] and sorted(os.listdir(copies.folder())) == [
        "00-first.ipynb",
        "01-second.ipynb",
        "glossary.md",
    ]
    text, code = saved(1)["cells"]
    assert (text["source"], code["source"], code["outputs"], code["execution_count"]) == (
        ["# What?\n", "Text."],
        "print(2)",
        [],
        None,
    )
    assert code["metadata"] == {"tags": ["short"]} and code["id"] == "b"


def test_a_changed_or_run_copy_is_kept_and_an_untouched_one_renewed(course):
    copies.prepare()
    mine = saved(1)
    mine["cells"][1]["source"] = ["print(", "2 + 2)"]
    save(1, mine)
    course("00-first.ipynb", "print(10)")
    course("01-second.ipynb", "print(20)")
    assert [copy.number for copy in copies.prepare()] == [1]
    assert saved(0)["cells"][1]["source"] == "print(10)" and saved(1)["cells"][1]["source"] == ["print(", "2 + 2)"]
    ran = saved(0)
    ran["cells"][1]["execution_count"] = 1
    save(0, ran)
    course("00-first.ipynb", "print(100)")
    assert [copy.number for copy in copies.prepare()] == [0, 1]


def test_changed_outputs_upstream_are_not_a_change(course, tmp_path):
    copies.prepare()
    path = tmp_path / "notebooks/01-second.ipynb"
    path.write_text(path.read_text().replace("the answer", "another answer"))
    assert not copies.copies()[1].is_stale


def test_reset_makes_a_new_one_and_keeps_the_old_ones_aside(course):
    copies.prepare()
    for number in (1, 2):
        mine = saved(1)
        mine["cells"][1]["source"] = f"mine = {number}"
        save(1, mine)
        _, kept = copies.reset(1)
        assert kept.endswith(f"01-second.old-{number}.ipynb") and saved(1)["cells"][1]["source"] == "print(2)"
        with open(kept, encoding="utf-8") as file:
            assert f"mine = {number}" in file.read()
    with pytest.raises(KeyError, match="there is no chapter 07: there are 00, 01"):
        copies.reset(7)


def test_a_copy_that_is_not_a_notebook_any_more_is_kept(course):
    copies.prepare()
    for text in ("{", "[]", ""):
        with open(copies.copies()[1].path, "w") as file:
            file.write(text)
        assert [copy.number for copy in copies.prepare()] == [1]
    assert copies.reset(1)[1]


def test_a_chapter_that_changed_says_so_in_the_copy_alone(course, monkeypatch):
    copies.prepare()
    course("01-second.ipynb", "print(20)")
    assert copies.warning(1) == "", "this is not the copy"
    monkeypatch.chdir(copies.folder())
    assert "minict lab --reset 01" in copies.warning(1) and copies.warning(0) == "" and copies.warning(9) == ""


def test_jupyterlab_trusts_a_copy(course, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    copies.prepare()
    import nbformat
    from nbformat.sign import NotebookNotary

    assert NotebookNotary().check_signature(nbformat.read(copies.copies()[1].path, as_version=4))


def test_root_makes_copies_for_the_learner(course):
    os.makedirs(copies.folder())
    os.chown(copies.folder(), 1234, 1234)
    copies.prepare()
    assert {os.stat(entry.path).st_uid for entry in os.scandir(copies.folder())} == {1234}


def test_the_command(tmp_path):
    work = {**os.environ, "MINICT_WORK": str(tmp_path), "PYTHONPATH": ROOT}

    def lab(*words):
        return subprocess.run([sys.executable, "-m", "minict.lab", *words], env=work, capture_output=True, text=True)

    assert lab("--reset", "02").stdout.endswith("02-namespaces.ipynb is new.\n")
    assert "Your old copy is" in lab("--reset", "2").stdout
    assert lab("--reset", "99").stderr.startswith("minict: there is no chapter 99: there are 00, 01, ")
    assert lab("--reset", "x").stderr == "minict: invalid chapter 'x': use a number such as 02\n"


def test_no_prediction_is_spoiled(tmp_path, monkeypatch):
    """The course's own chapters: nothing that a cell shows is in the copies."""
    monkeypatch.setenv("MINICT_WORK", str(tmp_path))
    assert copies.prepare() == [] and len(copies.copies()) >= 6
    for copy in copies.copies():
        with open(copy.path, encoding="utf-8") as file:
            assert all(not cell.get("outputs") for cell in json.load(file)["cells"])


def test_the_lab_in_a_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICT_WORK", str(tmp_path))
    copies.prepare()
    with open(copies.copies()[2].path, encoding="utf-8") as file:
        mine = json.load(file)
    mine["metadata"]["minict"]["made_from"] = "an older chapter"
    with open(copies.copies()[2].path, "w", encoding="utf-8") as file:
        json.dump(mine, file)
    with Kernel() as kernel:
        kernel.run(f"import os; os.chdir({str(tmp_path)!r})")
        assert "Chapter 02 has changed since this copy of yours was made" in kernel.run("runtime_map(2)")
        assert kernel.run("runtime_map(3)").startswith("[Picture")


def test_minict_lab_is_the_same(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "minict", "lab", "--reset", "00"],
        env={**os.environ, "MINICT_WORK": str(tmp_path), "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("00-what-is-a-container.ipynb is new.\n") and done.stderr == ""


def test_the_course_without_jupyterlab_says_what_to_do(tmp_path):
    os.makedirs(tmp_path / "jupyter_core")
    (tmp_path / "jupyter_core/__init__.py").write_text("raise ModuleNotFoundError('no', name='jupyter_core')")
    done = subprocess.run(
        [sys.executable, "-m", "minict.lab"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr == "minict: the course needs the Python package jupyter_core: run 'sudo make lab'\n"
