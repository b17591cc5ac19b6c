"""Health checks of a container."""

from __future__ import annotations

import os
import signal
import time

import pytest

from minict.engine.containers.store import Record
from minict.kernel import mount
from minict.runtime import state
from tests.support.command_line import comes_to_rest, containers, minict, wait_until


@pytest.fixture
def box(image):
    """Run ``box`` in the background with these flags; it is removed afterwards."""

    def start(*flags: str) -> Record:
        done = minict("run", "-d", "--name", "box", "--network", "none", *flags, image, "sleep", "1000")
        assert done.returncode == 0, done
        return Record.find("box")

    yield start
    minict("rm", "-f", "box")
    assert containers() == []


def health(record: Record) -> dict:
    return record.last_run.get("health") or {}


def test_without_a_command_there_are_no_checks(box):
    assert box().last_run.get("health") is None


def test_health_goes_from_starting_to_healthy_to_unhealthy_and_back(box):
    record = box("--health-cmd", "cat /ok", "--health-interval", "50ms", "--health-retries", "2")
    assert health(record)["Status"] in ("starting", "unhealthy")
    wait_until(lambda: health(record)["Status"] == "unhealthy")
    assert health(record)["FailingStreak"] >= 2 and "No such file" in health(record)["Log"][-1]["Output"]
    assert "(unhealthy)" in minict("ps").stdout
    minict("exec", "box", "touch", "/ok")
    wait_until(lambda: health(record)["Status"] == "healthy")
    assert health(record)["FailingStreak"] == 0 and health(record)["Log"][-1]["ExitCode"] == 0
    assert minict("inspect", "--format", "{{.State.Health.Status}}", "box").stdout == "healthy\n"
    wait_until(lambda: len(health(record)["Log"]) == 5)
    latest = health(record)["Log"][-1]
    wait_until(lambda: health(record)["Log"][-1] != latest)
    assert len(health(record)["Log"]) == 5, "and no more are kept"


def test_a_command_in_one_string_is_given_to_the_shell_of_the_image(box, image):
    box()
    assert (
        minict(
            "commit",
            "-c",
            'SHELL ["/bin/sh", "-c", "echo given $0"]',
            "-c",
            "HEALTHCHECK --interval=20ms CMD all of it",
            "box",
            "with-shell",
        ).returncode
        == 0
    )
    try:
        assert (
            minict("run", "-d", "--name", "asked", "--network", "none", "with-shell", "sleep", "1000").returncode == 0
        )
        record = Record.find("asked")
        wait_until(lambda: health(record)["Log"])
        assert health(record)["Log"][0]["Output"] == "given all of it\n" and health(record)["Status"] == "healthy"
    finally:
        minict("rm", "-f", "asked")
        minict("rmi", "-f", "with-shell")


def test_a_check_that_hangs_is_killed_and_counts_as_a_failure(box):
    record = box(
        "--health-cmd",
        "echo begun; sleep 1000",
        "--health-interval",
        "20ms",
        "--health-timeout",
        "200ms",
        "--health-retries",
        "1",
    )
    wait_until(lambda: health(record)["Status"] == "unhealthy")
    assert "took longer" in health(record)["Log"][-1]["Output"]
    wait_until(lambda: len(health(record)["Log"]) > 2)
    assert minict("top", "box").stdout.count("sleep 1000") <= 3, "the commands before it are gone"


def test_failures_while_it_starts_do_not_count(box):
    record = box(
        "--health-cmd",
        "false",
        "--health-interval",
        "20ms",
        "--health-retries",
        "1",
        "--health-start-period",
        "100s",
        "--health-start-interval",
        "20ms",
    )
    wait_until(lambda: len(health(record)["Log"]) > 2)
    assert health(record)["Status"] == "starting"


def test_the_container_ends_while_a_check_is_under_way(box):
    record = box("--health-cmd", "sleep 1000", "--health-interval", "10ms")
    wait_until(lambda: minict("top", "box").stdout.count("sleep 1000") == 2)
    monitor = record.monitor
    assert minict("stop", "-t", "0", "box").returncode == 0
    wait_until(lambda: state.begin_time(monitor) is None)
    assert record.status == "exited"


def test_a_paused_container_is_not_checked(box):
    record = box("--health-cmd", "true", "--health-interval", "100ms", "--health-retries", "1")
    wait_until(lambda: health(record)["Status"] == "healthy")
    assert minict("pause", record.name).returncode == 0
    comes_to_rest(lambda: health(record)["Log"][-1]["End"])  # an answer that was on its way
    asked = health(record)["Log"][-1]["End"]
    time.sleep(0.5)
    assert health(record)["Log"][-1]["End"] == asked and health(record)["Status"] == "healthy"
    assert minict("unpause", record.name).returncode == 0
    wait_until(lambda: health(record)["Log"][-1]["End"] > asked)


def test_a_check_that_a_pause_overtakes_does_not_count(box):
    waits = "test ! -e /ask || { touch /asked; until test -e /answer; do sleep 0.05; done; rm /ask; exit 1; }"
    record = box("--health-cmd", waits, "--health-interval", "50ms", "--health-timeout", "1h", "--health-retries", "1")
    wait_until(lambda: health(record)["Status"] == "healthy")
    inside = f"/proc/{record.pid}/root"
    open(f"{inside}/ask", "w").close()
    wait_until(lambda: os.path.exists(f"{inside}/asked"))
    assert minict("pause", record.name).returncode == 0
    open(f"{inside}/answer", "w").close()
    asked = health(record)["Log"][-1]["End"]
    assert minict("unpause", record.name).returncode == 0
    wait_until(lambda: health(record)["Log"][-1]["End"] > asked)
    seen = minict("events", "--since", "0", "--until", "0s", "--filter", f"container={record.id}").stdout
    assert "pause" in seen and "health_status: healthy" in seen and "unhealthy" not in seen
    assert {result["ExitCode"] for result in health(record)["Log"]} == {0}


def test_a_check_that_hangs_keeps_nothing_when_the_monitor_was_killed(box):
    record = box("--health-cmd", "sleep 1000", "--health-interval", "50ms", "--health-timeout", "1h")
    wait_until(lambda: "sleep 1000" in minict("top", record.name, "-o", "pid,args").stdout.split("\n", 2)[2])
    os.kill(record.monitor, signal.SIGKILL)
    wait_until(lambda: record.pid is None)
    assert minict("prune").returncode == 0
    assert not os.path.isdir(record.state.directory)


def test_a_full_disk_does_not_end_the_container(box):
    record = box("--health-cmd", "true", "--health-interval", "100ms")
    wait_until(lambda: health(record)["Status"] == "healthy")
    # as seen by the monitor: nothing can be written
    mount.mount("minict-test", record.data, "tmpfs", mount.MS_RDONLY, "size=4k")
    try:
        time.sleep(0.5)
        assert record.pid is not None
    finally:
        mount.umount2(record.data, mount.MNT_DETACH)
    before = health(record)["Log"][-1]["End"]
    wait_until(lambda: health(record)["Log"][-1]["End"] > before)
