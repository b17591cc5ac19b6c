"""The package alone, installed from its wheel in a fresh environment, away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> str:
    """The folder with the commands of a new environment, into which the wheel was installed.

    The dependencies are those of the environment that runs the tests: nothing is downloaded.
    """
    place = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(f"{ROOT}/{name}", place)
    shutil.copytree(f"{ROOT}/minict", place / "minict", ignore=shutil.ignore_patterns("__pycache__"))
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", f"{place}/dist", str(place)]
    run(sys.executable, *build)
    (wheel,) = os.listdir(place / "dist")
    run(sys.executable, "-m", "venv", str(place / "venv"))
    python = f"{place}/venv/bin/python"
    run(python, *pip, "install", "--no-deps", "--no-index", f"{place}/dist/{wheel}")
    own, borrowed = (run(each, "-c", _SITE_PACKAGES).strip() for each in (python, sys.executable))
    with open(f"{own}/dependencies.pth", "w") as file:
        file.write(f"{borrowed}\n")
    return f"{place}/venv/bin"


_SITE_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def do(*words: str, data: str) -> subprocess.CompletedProcess:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(words, env={**variables, "MINICT_ROOT": data}, cwd="/", capture_output=True, text=True)


def test_the_wheel_works_by_itself(installed, bridge, tmp_path):
    data = str(tmp_path)
    assert do(f"{installed}/minict", "version", data=data).stdout.startswith("minict 0.")
    assert do(f"{installed}/mini-docker", "version", data=data).stdout.startswith("minict 0.")
    assert do(f"{installed}/minict-oci", "--version", data=data).stdout.startswith("minict-oci version 0.")
    doctor = do(f"{installed}/minict", "doctor", data=data)
    assert (doctor.returncode, doctor.stderr) == (0, "")
    assert "This machine can run containers." in doctor.stdout
    done = do(f"{installed}/minict", "run", "--rm", "tiny", "hostname", data=data)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 12
    assert "creating it from this machine's own tools" in done.stderr


def test_the_wheel_has_all_files(installed):
    code = "import minict; print(minict.__path__[0])"
    place = do(f"{installed}/python", "-c", code, data="/").stdout.strip()
    assert not place.startswith(ROOT)
    for directory, _, names in os.walk(f"{ROOT}/minict"):
        if directory.endswith("__pycache__"):
            continue
        for name in names:
            path = os.path.relpath(os.path.join(directory, name), f"{ROOT}/minict")
            assert os.path.exists(f"{place}/{path}"), path


def test_the_default_image_is_not_created_with_pull_never(installed, tmp_path):
    done = do(f"{installed}/minict", "run", "--pull", "never", "tiny", "true", data=str(tmp_path))
    assert done.returncode == 125 and "tiny" in done.stderr
    assert not os.path.exists(f"{tmp_path}/images")
