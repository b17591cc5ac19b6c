"""minict/oci/README.md says what becomes of each field of the specification, and of no other."""

from __future__ import annotations

import os
import re

import pytest

from minict.runtime import spec
from tests.support.paths import ROOT


def rows() -> list[tuple[list[str], str, str, str]]:
    """The table: (fields, word, reason, test)."""
    with open(os.path.join(ROOT, "minict/oci/README.md"), encoding="utf-8") as file:
        cells = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in file if line.startswith("| `")]
    assert cells and all(len(row) == 4 and row[1] in ("obeyed", "refused", "ignored") for row in cells)
    return [(expand(names), *others) for names, *others in cells]


def expand(word: str) -> list[str]:
    """``a.{b,c}`` as ``a.b`` and ``a.c``."""
    before, brace, rest = word.partition("{")
    if not brace:
        return [word]
    names, _, after = rest.partition("}")
    return [field for name in names.split(",") for field in expand(f"{before}{name}{after}")]


def known(field: str) -> bool:
    """Whether the classes of the runtime have the *field*: then it is read."""
    cls = spec.Spec
    for name in field.split("."):
        name = name.removesuffix("[]")
        kinds = cls.__annotations__
        kind = kinds.get(name) or kinds.get(f"{name}_")
        if kind is None:
            return False
        inner = re.sub(r"^(list\[|dict\[str, )|\]$", "", kind.removesuffix(" | None"))
        cls = getattr(spec, inner, None) if inner.isidentifier() else None
        if cls is None:
            return True
    return True


def test_the_table_has_every_field_once():
    with open(os.path.join(ROOT, "tests/data/runtime-spec-1.3.txt")) as file:
        fields = file.read().split()
    assert sorted(field for names, *_ in rows() for field in names) == fields


@pytest.mark.parametrize(
    "names,word,reason,test", rows(), ids=lambda value: value[0] if isinstance(value, list) else ""
)
def test_a_row_says_what_happens_and_where_that_is_seen(names, word, reason, test):
    if word == "ignored":
        assert reason and not test
        return
    assert all(map(known, names))
    file, _, function = test.partition("::")
    places = [f"tests/integration/{place}/{file}" for place in ("oci", "runtime")] + [f"tests/unit/runtime/{file}"]
    found = [os.path.join(ROOT, place) for place in places if os.path.exists(os.path.join(ROOT, place))]
    assert found, file
    assert not function or any(f"\ndef {function}(" in open(path).read() for path in found), test
