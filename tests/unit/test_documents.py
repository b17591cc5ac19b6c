"""What the documents of the top level say about the repository is true: the places that they name exist."""

from __future__ import annotations

import ast
import glob
import os
import re

import pytest

from tests.support.paths import ROOT

DOCUMENTS = [*(os.path.basename(path) for path in glob.glob(f"{ROOT}/*.md")), "vagrant/README.md"]


def text_of(name: str) -> str:
    with open(f"{ROOT}/{name}", encoding="utf-8") as file:
        return file.read()


def names_in(path: str) -> set[str]:
    """The names that the module at *path* defines, those of classes as ``Class.method``."""
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_each_place_in_the_architecture_exists():
    places = re.findall(r"`((?:kernel|runtime|engine|lab)/[\w/]+\.py):([\w.]+)`", text_of("ARCHITECTURE.md"))
    assert len(places) > 50
    assert [f"{path}:{name}" for path, name in places if name not in names_in(f"{ROOT}/minict/{path}")] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_file_that_a_document_names_exists(document):
    text = text_of(document)
    named = re.findall(
        r"(?<![\w/.])((?:minict|tests|notebooks|docs|vagrant|kernel|runtime|engine|lab)/[\w/.-]+\.\w+)", text
    )
    named = [name for name in named if "NN" not in name]  # a placeholder
    named = [name if os.path.exists(f"{ROOT}/{name}") else f"minict/{name}" for name in named]
    links = re.findall(r"\]\(([\w/.-]+)\)", text)
    folder = os.path.dirname(document)
    missing = [name for name in named if not os.path.exists(f"{ROOT}/{name}") and not name.endswith("docs/course.png")]
    missing += [name for name in links if not os.path.exists(os.path.join(ROOT, folder, name))]
    assert missing == []
