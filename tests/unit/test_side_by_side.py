"""Tests in two halves side by side, as `make test-v2` runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from minict.runtime.state import begin_time
from tests.support import side_by_side
from tests.support.command_line import wait_until


def test_the_halves_take_equally_long_and_keep_the_order():
    weights = {"tests/slow.py": 60, "notebooks/*.ipynb": 20, "tests/quick.py": 5}
    notebooks = [f"notebooks/{number}.ipynb" for number in range(4)]
    named = [*notebooks, "tests/quick.py", "tests/slow.py"]
    first, second = side_by_side.halves(named, weights)
    assert sorted(first + second) == sorted(named)
    assert all(half == sorted(half, key=named.index) for half in (first, second))
    both = sorted(sum(side_by_side.weight(test, weights) for test in half) for half in (first, second))
    assert both == [65, 80]


def test_what_is_not_listed_takes_as_long_as_the_middle_one():
    assert side_by_side.weight("tests/new.py", {"a": 1, "b": 7, "c": 100}) == 7
    assert side_by_side.weight("tests/a.py::test_it[x]", {"tests/*.py": 3}) == 3


def test_folders_and_patterns_stand_for_their_files(tmp_path):
    for name in ("test_b.py", "test_a.py", "support.py", "c.ipynb"):
        (tmp_path / name).write_text("")
    assert [os.path.basename(name) for name in side_by_side.files(str(tmp_path))] == [
        "c.ipynb",
        "test_a.py",
        "test_b.py",
    ]
    assert [os.path.basename(name) for name in side_by_side.files(f"{tmp_path}/test_*")] == ["test_a.py", "test_b.py"]
    assert side_by_side.files("test_a.py::test_it") == ["test_a.py::test_it"]


def start(tmp_path, script: str, *tests: str) -> subprocess.Popen:
    (tmp_path / "list").write_text("1 first\n1 second\n")
    command = [sys.executable, side_by_side.__file__, str(tmp_path / "list"), *tests, "--", "sh", "-c", script, "sh"]
    environment = {**os.environ, "MINICT_VM_CACHE": str(tmp_path / "cache")}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment)


def test_each_half_is_given_to_a_command_and_its_output_shown(tmp_path):
    both = start(tmp_path, "echo this is $1", "first", "second")
    said = both.communicate()[0]
    assert said.startswith("this is first\n\n----") and "\nthis is second\n----" in said and both.returncode == 0


def test_one_test_needs_one_command(tmp_path):
    assert start(tmp_path, "echo this is $1", "second").communicate()[0] == "this is second\n"


def test_with_an_option_they_are_not_split(tmp_path):
    assert start(tmp_path, "echo $*", "first", "second", "-k", "this").communicate()[0] == "first second -k this\n"


def test_the_exit_status_is_that_of_the_half_that_failed(tmp_path):
    for failing in ("first", "second"):
        both = start(tmp_path, f"[ $1 != {failing} ] || exit 3", "first", "second")
        both.communicate()
        assert both.returncode == 3


def test_both_commands_end_with_a_script_that_is_killed(tmp_path):
    both = start(tmp_path, f"echo $$ > {tmp_path}/$1; exec sleep 1000", "first", "second")
    files = [tmp_path / "first", tmp_path / "second"]
    wait_until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in files))
    pids = [int(file.read_text()) for file in files]
    both.send_signal(signal.SIGKILL)
    both.communicate()
    wait_until(lambda: not any(begin_time(pid) for pid in pids))


def test_what_tests_took_counts_the_next_time(tmp_path):
    script = "for test in $*; do [ $test = first ] && echo 9 first || echo 2 $test; done > $MINICT_TEST_SECONDS"
    start(tmp_path, script, "first", "second").communicate()
    assert side_by_side.read_list(str(tmp_path / "cache" / "test-seconds.txt")) == {"first": 9, "second": 2}
    assert "at the same time: second third\n" in start(tmp_path, "true", "first", "second", "third").communicate()[0]
