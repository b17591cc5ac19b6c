"""Imports point one way, lab -> engine -> oci -> runtime -> kernel, and a start of a container loads no slow module."""

from __future__ import annotations

import ast
import os
import sys

from tests.support.paths import ROOT

_FLOORS = {"kernel": 0, "runtime": 1, "oci": 2, "engine": 3, "lab": 4}
# Each costs 2 to 20 ms at each start of a container, as much as the kernel's own work for it.
SLOW = {
    "argparse",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "re",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "typing",
    "pyroute2",
}


def modules() -> dict[str, ast.Module]:
    """Every module of the package with its syntax tree."""
    found = {}
    for directory, _, files in os.walk(os.path.join(ROOT, "minict")):
        for file in files:
            if file.endswith(".py"):
                path = os.path.join(directory, file)
                name = os.path.relpath(path, ROOT)[:-3].replace("/", ".").removesuffix(".__init__")
                with open(path, encoding="utf-8") as stream:
                    found[name] = ast.parse(stream.read(), path)
    return found


def imports(name: str, tree: ast.Module, at_once: bool = False, for_types: bool = True) -> set[str]:
    """The modules that module *name* imports, by their full names; *at_once*: only those at its top level.

    *for_types*: also what stands below ``if TYPE_CHECKING``, which is never executed.
    """
    package = name if name in PACKAGES else name.rpartition(".")[0]
    found = set()
    skipped = set()
    if not for_types:
        for node in tree.body:
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                skipped.update(ast.walk(node))
    for node in tree.body if at_once else ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found.update(
                f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in MODULES else origin for alias in node.names
            )
    return found - {"__future__"}


MODULES = modules()
PACKAGES = {name.rpartition(".")[0] for name in MODULES}


def test_imports_point_one_way():
    wrong = []
    for name, tree in MODULES.items():
        floor = _FLOORS.get((name.split(".") + [""])[1])
        if floor is None:
            continue  # minict and minict.__main__, the doors to all of it
        for other in imports(name, tree):
            words = other.split(".")
            # minict itself: the version, the API
            above = _FLOORS.get(words[1], -1) if len(words) > 1 else _FLOORS["engine"]
            if words[0] == "minict" and above > floor:
                wrong.append(f"{name} imports {other}")
    assert not wrong


# Each package of the engine may import those to its left, and no other.
_ENGINE = (
    "util rootless archive containers distribution images volumes networks spec lifecycle builder system cli".split()
)


def place(module: str) -> int | None:
    """Where *module* stands in the order of the engine; None for what is not in one of its packages."""
    words = module.split(".")
    if words[:2] != ["minict", "engine"] or len(words) < 3:
        return None
    return _ENGINE.index("cli" if words[2] == "api" else words[2])  # api.py stands beside the command line


def test_each_package_of_the_engine_imports_those_to_its_left():
    wrong = [
        f"{name} imports {other}"
        for name, tree in MODULES.items()
        if place(name) is not None
        for other in imports(name, tree)
        if (place(other) or 0) > place(name)
    ]
    assert wrong == []


def test_there_is_no_circle_of_imports():
    """Imports inside functions count: a circle that only they close is a circle for the reader.

    Imports for types do not: two classes may name each other in their annotations.
    """
    arrows = {name: imports(name, tree, for_types=False) & set(MODULES) - {name} for name, tree in MODULES.items()}
    while True:
        imported = set().union(*arrows.values()) if arrows else set()
        free = [name for name, others in arrows.items() if name not in imported or not others]
        if not free:
            break
        arrows = {name: others - set(free) for name, others in arrows.items() if name not in free}
    assert {name: sorted(others) for name, others in arrows.items()} == {}


def test_kernel_runtime_and_oci_need_the_standard_library_alone():
    known = set(sys.stdlib_module_names) | {"minict"}
    assert [
        f"{name} imports {other}"
        for name, tree in MODULES.items()
        if name.split(".")[1:2] in (["kernel"], ["runtime"], ["oci"])
        for other in imports(name, tree)
        if other.split(".")[0] not in known
    ] == []


def test_kernel_runtime_and_oci_import_nothing_slow_at_once():
    assert [
        f"{name} imports {other}"
        for name, tree in MODULES.items()
        if name.split(".")[1:2] in (["kernel"], ["runtime"], ["oci"])
        for other in imports(name, tree, at_once=True)
        if other.split(".")[0] in SLOW
    ] == []


def test_the_walk_sees_what_it_should():
    """The rules above would pass if the walk found nothing: these imports are known to exist."""
    assert "minict.kernel.syscall" in imports("minict.kernel.mount", MODULES["minict.kernel.mount"])
    assert "minict.kernel.mount" in imports("minict.runtime.rootfs", MODULES["minict.runtime.rootfs"])
    assert "minict.lab.exercise" in imports(
        "minict.lab.exercises.ch05_pivot_root", MODULES["minict.lab.exercises.ch05_pivot_root"]
    )
    assert "os" in imports("minict.lab.host", MODULES["minict.lab.host"], at_once=True)
