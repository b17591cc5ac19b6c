"""Dockerfiles mean the same as in Docker: ``tests/support/dockerfile_cases.py``."""

from __future__ import annotations

import subprocess

import pytest

from minict.engine.images import buildcache
from minict.engine.images import image as images
from tests.support import dockerfile_cases
from tests.support.command_line import containers, image, minict  # noqa: F401
from tests.support.dockerfile_cases import CASES, Case

RECORDED = dockerfile_cases.recorded()


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(image):
    yield
    assert containers() == []
    assert minict("builder", "prune", "-f").returncode == 0
    buildcache.forget()
    for each in images.images():
        if each.names != ["tiny:latest"]:
            images.remove(each.id, force=True)
    minict("prune")


def built(case: Case, directory: str) -> subprocess.CompletedProcess:
    dockerfile_cases.write(case, directory)
    options = [option.replace("{context}", directory) for option in case.options]
    return minict("build", "--network", "none", *options, "-t", "case", directory, errors="replace")


def observed(case: Case) -> str:
    """What the image shows."""
    output = ""
    if case.look:
        looked = minict("run", "--rm", "--network", "none", "--entrypoint", "", "case", "sh", "-c", case.look)
        output += looked.stdout + (f"status {looked.returncode}\n" if looked.returncode else "")
    if case.say:
        output += dockerfile_cases.said(case, minict("image", "inspect", "case").stdout)
    return output


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_dockerfile_means_the_same_as_in_docker(case, tmp_path):
    done = built(case, str(tmp_path))
    status = (1 if case.fails else 0) if not case.seen else RECORDED[case.name]["status"]
    assert min(done.returncode, 1) == status, done
    if status == 0:
        expected = RECORDED[case.name]["output"] if case.seen else case.expect
        assert observed(case) == expected
    else:
        last = done.stderr.splitlines()[-1]
        assert last.startswith("minict: ") and "Traceback" not in done.stderr and "internal error" not in done.stderr
        assert not [word for word in (*case.words, *case.fails) if word not in last], last


def test_each_case_has_an_expectation():
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.name for case in CASES if case.seen} == set(RECORDED)
    assert not [case.name for case in CASES if not case.seen and not case.why]
