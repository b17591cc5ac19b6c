"""The small functions of the process: how a command is found, and how its end is reported."""

from __future__ import annotations

import os

import pytest

from minict.runtime import process
from minict.runtime.errors import ContainerError


def test_a_command_without_a_slash_may_be_in_each_directory_of_the_path():
    assert process.candidates("ls", ["HOME=/", "PATH=/a:/b"]) == ["/a/ls", "/b/ls"]
    assert process.candidates("ls", ["PATH=/a:"]) == ["/a/ls", "./ls"]  # empty is the working directory: POSIX, 8.3
    assert process.candidates("ls", []) == [f"{each}/ls" for each in process.PATH.split(":")]


def test_a_command_with_a_slash_is_a_file():
    assert process.candidates("bin/ls", ["PATH=/a:/b"]) == ["bin/ls"]


def test_no_command_at_all():
    with pytest.raises(ContainerError, match="is empty") as error:
        process.candidates("", [])
    assert error.value.status == 127


@pytest.fixture
def env(tmp_path):
    """A PATH of two directories: ``tool`` is plain in the first and executable in the second."""
    for name, mode in {"a/tool": 0o644, "b/tool": 0o755, "a/notes": 0o644, "b/late": 0o755}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch(mode)
    (tmp_path / "a/late").mkdir()
    return [f"PATH={tmp_path}/a:{tmp_path}/b"]


def test_files_that_cannot_be_executed_are_skipped(env, tmp_path):
    assert process.find("tool", env) == f"{tmp_path}/b/tool"
    assert process.find("late", env) == f"{tmp_path}/b/late"


def test_126_and_127(env, tmp_path):
    with pytest.raises(ContainerError, match=f"{tmp_path}/a/notes is not an executable file") as error:
        process.find("notes", env)
    assert error.value.status == 126
    with pytest.raises(ContainerError, match=f"looked for {tmp_path}/a/nothing, {tmp_path}/b/nothing") as error:
        process.find("nothing", env)
    assert error.value.status == 127


@pytest.mark.parametrize(
    "end, told",
    [
        (lambda: None, 0),
        (lambda: os._exit(7), 7),
        (lambda: 1 / 0, 1),
        (lambda: os.kill(os.getpid(), 15), 143),
        (lambda: os.kill(os.getpid(), 9), 137),
    ],
)
def test_how_a_process_has_ended(end, told):
    assert process.exit_status(os.waitpid(process.spawn(end), 0)[1]) == told
