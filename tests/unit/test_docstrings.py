"""Each public function and class of the kernel and the runtime names its source, as the README says.

A source is a man page with its section, a document of the kernel, a section of an OCI specification, a standard, or a
file of a peer that does the same. The methods of a class have the source of the class.
"""

from __future__ import annotations

import ast
import os
import re

import pytest

from tests.support.paths import ROOT

SOURCE = re.compile(
    r"[a-z_0-9-]+\([1-8]\)"  # a man page
    r"|Documentation/|[a-z0-9-]+\.rst|linux/[a-z_/]+\.h"  # the kernel
    r"|(config|config-linux|runtime|features)\.md|OCI [a-z]+-spec"
    r"|RFC \d+|POSIX|moby|runc|Docker's documentation"
)
# Exceptions to the rule: they do not do what a document describes.
WITHOUT = {"minict/runtime/spec.py": "the fields of config.json, which the module's docstring says"}


def modules(*floors: str) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(directory, file), ROOT)
        for floor in floors
        for directory, _, files in os.walk(os.path.join(ROOT, "minict", floor))
        for file in files
        if file.endswith(".py")
    )


def definitions(path: str) -> list[ast.FunctionDef | ast.ClassDef]:
    """The public functions and classes of a module."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    return [
        node
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]


@pytest.mark.parametrize("path", modules("kernel", "runtime"))
def test_what_is_public_names_its_source(path):
    if path in WITHOUT:
        return
    found = {node.name: ast.get_docstring(node) or "" for node in definitions(path)}
    assert [name for name, text in found.items() if not SOURCE.search(text)] == []


@pytest.mark.parametrize("path", modules("kernel", "runtime", "oci"))
def test_what_is_public_has_a_docstring(path):
    for node in definitions(path):
        if path not in WITHOUT:
            assert ast.get_docstring(node), node.name
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name[0] != "_"]
            base = {ast.unparse(each) for each in node.bases}
            told = "Operation" in base  # its methods are described there
            assert told or [each.name for each in methods if not ast.get_docstring(each)] == [], node.name


def test_there_are_modules():
    assert {"minict/kernel/mount.py", "minict/runtime/birth.py", "minict/runtime/cgroup/group.py"} <= set(
        modules("kernel", "runtime")
    )
