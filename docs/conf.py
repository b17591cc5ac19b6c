"""How Sphinx makes the API reference from the docstrings: ``make docs``."""

from __future__ import annotations

import os
import pkgutil
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import minict

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


def resolve(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Resolve a reference that Sphinx can't: names count as in the module around the docstring, imported ones too.

    What Python finds is never a dead reference: without a page here (the standard library, a private name) it is plain
    text.
    """
    if node.get("refdomain") != "py":
        return None
    try:
        found = _find(node["reftarget"], node.get("py:module"), node.get("py:class"))
    except (AttributeError, ImportError, ValueError):
        return None
    name = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    page = env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)
    return page or contnode


def _find(target: str, module: str | None, owner: str | None) -> Any:
    scope: Any = sys.modules.get(module or "")
    for place in (getattr(scope, owner.split(".")[-1], None) if owner else None, scope):
        found = place
        for part in target.lstrip(".").split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found
    return pkgutil.resolve_name(target)


def setup(app: Any) -> None:
    app.connect("missing-reference", resolve)
