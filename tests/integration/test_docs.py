"""The API reference builds, and each reference in a docstring leads to something that exists."""

from __future__ import annotations

import shutil
import subprocess
import sys

from tests.support.paths import ROOT


def test_the_reference_builds_without_warnings(tmp_path):
    for name in ("conf.py", "index.rst"):
        shutil.copy(f"{ROOT}/docs/{name}", tmp_path)
    words = ("--quiet", "--fail-on-warning", "--keep-going", "--builder", "dummy", tmp_path, tmp_path / "out")
    done = subprocess.run([sys.executable, "-m", "sphinx", *words], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
