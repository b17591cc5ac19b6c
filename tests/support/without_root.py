"""For a session of pytest inside an ordinary user's namespaces: cells with the tag real-root may fail there."""

from __future__ import annotations

import pytest

from tests.support.notebook_rules import ROOT_TAG


def pytest_collection_modifyitems(items):
    for item in items:
        if hasattr(item, "cell") and ROOT_TAG in item.cell.metadata.get("tags", ()):
            item.add_marker(pytest.mark.xfail(reason="needs the machine's root", strict=False))
