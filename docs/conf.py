"""How Sphinx makes the API reference from the docstrings: ``make docs``."""

from __future__ import annotations

import os
import pkgutil
import sys
import types
from typing import Any

from sphinx import addnodes

sys.path.insert(0, os.getcwd())  # the checkout: `make docs` and the tests run there

import minict
import minict.runtime.errors

project = "minict"
release = version = minict.__version__
html_theme = "furo"
html_title = f"minict {version}"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.apidoc"]
apidoc_modules = [
    {
        "path": os.path.dirname(minict.__file__),
        "destination": "api",
        "exclude_patterns": ["**/__main__.py", "**/lab/exercises/*", "**/lab/quizzes/*"],
        "separate_modules": True,
        "module_first": True,
    }
]
exclude_patterns = ["_build", "api/modules.rst"]
autodoc_default_options = {"ignore-module-all": True}  # a package's list of names repeats what its modules define
autodoc_member_order = "bysource"
nitpicky = True  # a reference to something that does not exist is a warning, and a warning fails the build
nitpick_ignore_regex = [
    ("py:attr", ".*"),  # an instance's attributes are not documented one by one
    ("py:class", r".*[\[\]].*"),  # a part of an annotation such as dict[str, int]
]


def name_targets(app: Any, doctree: Any) -> None:
    """Give each reference the full name of what it means in the module around it, so that no two targets fit.

    Names count as in that module, imported ones too; ``.state`` is the module beside it.  In a signature, a name that
    exists for type checkers only becomes plain text.
    """
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node.get("refdomain") != "py":
            continue
        found = _find(node["reftarget"], node.get("py:module") or "", node.get("py:class"))
        if found is not None:
            node["reftarget"] = _full_name(found) or node["reftarget"].lstrip(".")
            node["refspecific"] = False
            node["found_by_python"] = True
        elif _is_in_signature(node):
            node.replace_self(node.children)


def resolve(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """What Python finds is not a dead reference: without a page here, it is plain text."""
    return contnode if node.get("found_by_python") else None


def _find(target: str, module: str, owner: str | None) -> Any:
    """The object that *target* means in the class *owner* of *module*; None if there is none."""
    scope: Any = sys.modules.get(module)
    places = [getattr(scope, owner.split(".")[-1], None) if owner else None, scope, minict.runtime.errors]
    for found in places:
        for part in target.lstrip(".").split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found
    package = module if hasattr(scope, "__path__") else module.rpartition(".")[0]
    for name in (f"{package}.{target.lstrip('.')}", target):
        try:
            return pkgutil.resolve_name(name)
        except (AttributeError, ImportError, ValueError):
            pass
    return None


def _full_name(found: Any) -> str:
    if isinstance(found, types.ModuleType):
        return found.__name__
    return f"{found.__module__}.{found.__qualname__}" if hasattr(found, "__qualname__") else ""


def _is_in_signature(node: Any) -> bool:
    while node is not None and not isinstance(node, addnodes.desc_signature):
        node = node.parent
    return node is not None


def setup(app: Any) -> None:
    app.connect("doctree-read", name_targets)
    app.connect("missing-reference", resolve)
