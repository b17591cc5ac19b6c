"""Root runs all tests, in a world of their own (:mod:`tests.support.world`); an ordinary user runs ``tests/unit``."""

from __future__ import annotations

import os

import pytest

_ROOT = os.geteuid() == 0
pytest_plugins = (
    [
        "tests.support.world",
        "tests.support.command_line",
        "tests.support.network_world",
        "tests.support.registry_server",
        "tests.support.podman",
        "tests.support.ordinary_user",
    ]
    if _ROOT
    else []
)


def pytest_configure(config):
    unit = os.path.join(os.path.dirname(os.path.abspath(__file__)), "unit")
    others = [word for word in config.args if not os.path.abspath(word.partition("::")[0]).startswith(unit)]
    if others and not _ROOT:
        pytest.exit("these tests make containers and need root: sudo make test (without root: make test-unit)", 1)
