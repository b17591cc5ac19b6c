"""Podman, with a storage that leaves nothing on this machine."""

from __future__ import annotations

import subprocess

import pytest

from minict.lab.podman import Podman


@pytest.fixture
def podman():
    """Calls podman with its storage in memory.  It must succeed, and the result is its output; without *check*, the
    result is that of subprocess.run."""
    engine = Podman()

    def call(*words: str, check: bool = True) -> str | subprocess.CompletedProcess:
        done = engine.run(*words, capture_output=True, text=True)
        if not check:
            return done
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield call
    engine.close()
