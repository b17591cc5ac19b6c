"""Root runs all tests, in a world of their own (:mod:`tests.support.world`); an ordinary user runs ``tests/unit``.

The tests of what minict does run without root, too: tests/integration/rootless/behaviour.py starts such sessions.
"""

from __future__ import annotations

import os

import pytest

_ROOT = os.geteuid() == 0
_WITHOUT_ROOT = "MINICT_WITHOUT_ROOT" in os.environ  # set by behaviour.py
pytest_plugins = [
    "tests.support.world",
    "tests.support.command_line",
    "tests.support.network_world",
    "tests.support.registry_server",
    "tests.support.podman",
]
if _WITHOUT_ROOT:
    pytest_plugins += ["tests.support.as_user"]
elif _ROOT:
    pytest_plugins += ["tests.support.ordinary_user"]
else:
    pytest_plugins = []


def pytest_configure(config):
    unit = os.path.join(os.path.dirname(os.path.abspath(__file__)), "unit")
    others = [word for word in config.args if not os.path.abspath(word.partition("::")[0]).startswith(unit)]
    if others and not _ROOT and not _WITHOUT_ROOT:
        pytest.exit("these tests make containers and need root: sudo make test (without root: make test-unit)", 1)
