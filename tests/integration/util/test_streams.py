"""A command in a container has pipes or a terminal of its own, and never a descriptor of its caller's."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from minict.engine import api
from tests.support.command_line import (
    MINICT,
    PATIENCE,
    Terminal,
    begin,
    containers,
    minict,
    wait_until,
)

_SHOW = 'links=$(for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done); echo "$links" > /seen'
_HARMLESS = ("pipe:[", "/dev/null", "/dev/pts/")


@pytest.fixture(autouse=True)
def all_removed(image):
    yield
    for id in containers():
        minict("rm", "-f", id)


@pytest.fixture
def box(image):
    assert minict("run", "-d", "--network", "none", "--name", "box", image, "sleep", "1000").returncode == 0
    return "box"


def seen(name: str = "box") -> list[str]:
    """What the command of the container *name* has found behind its descriptors."""
    return minict("exec", name, "cat", "/seen").stdout.split()


def assert_harmless(links: list[str], devices: tuple[str, ...] = _HARMLESS) -> None:
    assert len(links) == 3 and all(link.startswith(devices) for link in links), links


@pytest.mark.parametrize("options", [[], ["-i"], ["-d"], ["-t"], ["-it"]])
def test_exec_passes_no_terminal_on(box, options):
    with Terminal("exec", *options, box, "sh", "-c", _SHOW) as screen:
        name = os.ttyname(screen.slave)
        assert screen.status() == 0
    wait_until(lambda: len(seen()) == 3)
    if "-t" not in options and "-it" not in options:
        assert_harmless(seen(), ("pipe:[", "/dev/null"))
    assert name not in seen() or "t" in "".join(options)  # the container's own pts may have the same number


@pytest.mark.parametrize("options", [[], ["-i"], ["-d"]])
def test_exec_passes_no_file_on(box, tmp_path, options):
    (tmp_path / "in").write_text("secret")
    with open(tmp_path / "in") as stdin, open(tmp_path / "out", "w") as out:
        minict("exec", *options, box, "sh", "-c", _SHOW, stdin=stdin, stdout=out, stderr=out, capture_output=False)
    wait_until(lambda: len(seen()) == 3)
    assert_harmless(seen(), ("pipe:[", "/dev/null"))


@pytest.mark.parametrize("options", [[], ["-i"]])
@pytest.mark.parametrize("volume", [False, True])
def test_run_passes_no_file_on(image, tmp_path, options, volume):
    (tmp_path / "in").write_text("read through\n")
    flags = [*options, *(["-v", f"{tmp_path}:/v"] if volume else [])]  # then a zygote makes the container
    with open(tmp_path / "in") as stdin:
        script = "for fd in 0 1 2; do readlink /proc/self/fd/$fd; done; cat"
        done = minict("run", "--rm", "--network", "none", *flags, image, "sh", "-c", script, stdin=stdin)
    lines = done.stdout.splitlines()
    assert_harmless(lines[:3], ("pipe:[", "/dev/null"))
    assert lines[3:] == (["read through"] if options else [])


def test_run_without_input_leaves_its_callers_input_alone(image):
    line = "IFS= read -r a; " + " ".join(MINICT) + f" run --rm --network none {image} cat; cat"
    assert subprocess.run(["sh", "-c", line], input="1\n2\n", capture_output=True, text=True).stdout == "2\n"


def test_a_build_passes_no_terminal_on(image, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nRUN {_SHOW}\n")
    with Terminal("build", "--network", "none", "--no-cache", "-t", "seen", str(tmp_path)) as screen:
        assert screen.status() == 0
    done = minict("run", "--rm", "--network", "none", "seen", "cat", "/seen")
    minict("rmi", "-f", "seen")
    assert_harmless(done.stdout.split(), ("pipe:[", "/dev/null"))


def test_a_notebooks_container_has_pipes(image):
    assert_harmless(
        api.run(image, ["sh", "-c", _SHOW + "; cat /seen"], network="none", input="x").output.split(), ("pipe:[",)
    )


def test_a_health_check_has_pipes(image):
    script = _SHOW
    minict(
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        "--health-cmd",
        script,
        "--health-interval",
        "50ms",
        image,
        "sleep",
        "1000",
    )
    wait_until(lambda: len(seen()) >= 3)
    assert_harmless(seen()[:3], ("pipe:[", "/dev/null"))


def test_a_fifo_in_place_of_dev_null_blocks_nothing(box):
    minict("exec", box, "sh", "-c", "rm /dev/null; mkfifo /dev/null")
    assert minict("exec", box, "cat").stdout == ""


def test_much_goes_through_exec(box):
    data = os.urandom(1 << 20) * 8
    done = subprocess.run([*MINICT, "exec", "-i", box, "cat"], input=data, capture_output=True)
    assert (done.returncode, done.stdout == data) == (0, True)
    done = minict("exec", box, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


@pytest.mark.parametrize("words", [["exec", "-i", "box"], ["run", "-i", "--rm", "--network", "none", "tiny"]])
def test_input_without_end_is_not_waited_for(box, words):
    reader, writer = os.pipe()
    with begin(*words, "head", "-n1", stdin=reader) as process:
        os.close(reader)
        os.write(writer, b"one\ntwo\n")
        assert process.communicate(timeout=PATIENCE)[0] == "one\n"
        os.close(writer)


def test_a_background_process_of_exec_can_still_write(box):
    script = "(while [ ! -e /go ]; do sleep 0.05; done; echo on; echo on; echo done > /done) & echo back"
    assert minict("exec", box, "sh", "-c", script).stdout == "back\n"
    minict("exec", box, "touch", "/go")
    wait_until(lambda: minict("exec", box, "cat", "/done").stdout == "done\n")


def test_a_full_disk_is_reported(box):
    with open("/dev/full", "w") as full:
        done = minict("exec", box, "echo", "x", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and "No space left on device" in done.stderr


def test_an_exec_that_the_container_stops_can_be_left(box):
    with begin("exec", box, "sh", "-c", "echo ready; kill -STOP $$") as process:
        assert process.stdout.readline() == "ready\n"
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        assert process.returncode == 137 or process.returncode == 143
