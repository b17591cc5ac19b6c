"""``minict events``: each event is reported in order, once, also to a waiting reader."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from minict.engine.system import journal as journals
from minict.engine.util import events
from tests.support.command_line import PATIENCE, begin, image, interrupted, minict, refused, wait_until  # noqa: F401


def told(since: int, *flags: str) -> list[dict]:
    """What has happened since a time in nanoseconds, as JSON."""
    done = minict(
        "events", "--since", f"{since // 10**9}.{since % 10**9:09}", "--until", "0s", "--format", "json", *flags
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return [json.loads(line) for line in done.stdout.splitlines()]


def actions(since: int, *flags: str) -> list[str]:
    return [f"{each['Type']} {each['Action']}" for each in told(since, *flags)]


def test_the_events_of_a_containers_life_cycle(image):
    since = time.time_ns()
    done = minict(
        "run",
        "--rm",
        "--network",
        "none",
        "--name",
        "web",
        "--label",
        "a=b",
        "-v",
        "cache:/cache",
        image,
        "sh",
        "-c",
        "exit 3",
    )
    assert done.returncode == 3
    found = told(since)
    assert [f"{each['Type']} {each['Action']}" for each in found] == [
        "volume create",
        "container create",
        "volume mount",
        "container start",
        "container die",
        "volume unmount",
        "container destroy",
    ]
    (end,) = [each for each in found if each["Action"] == "die"]
    attributes = end["Actor"]["Attributes"]
    assert 0 <= int(attributes.pop("execDuration")) <= (time.time_ns() - since) // 10**9  # a busy machine is slow
    assert attributes == {"image": image, "name": "web", "a": "b", "exitCode": "3"}
    assert (end["status"], end["id"], end["from"]) == ("die", end["Actor"]["ID"], image)
    assert end["time"] == end["timeNano"] // 10**9 and since < end["timeNano"] < time.time_ns()
    minict("volume", "rm", "cache")
    assert actions(since, "--filter", "volume=cache")[-1] == "volume destroy"


def test_commands_on_a_container_are_events(image):
    since = time.time_ns()
    run = ["run", "-d", "--network", "none", "--name", "web", image, "sleep", "1000"]
    steps = [
        (run, ["create", "start"]),
        (["pause", "web"], ["pause"]),
        (["unpause", "web"], ["unpause"]),
        (["exec", "web", "false"], ["exec_create: false", "exec_start: false", "exec_die"]),
        (["rename", "web", "shop"], ["rename"]),
        (["update", "--pids-limit", "50", "shop"], ["update"]),
        (["commit", "shop", "copy"], ["commit"]),
        (["kill", "-s", "WINCH", "shop"], ["kill"]),
        (["restart", "-t", "0", "shop"], ["kill", "kill", "die", "stop", "start", "restart"]),
        (["stop", "-t", "0", "shop"], ["kill", "kill", "die", "stop"]),
        (["start", "shop"], ["start"]),
        (["rm", "-f", "shop"], ["kill", "kill", "die", "stop", "destroy"]),
    ]
    for words, expected in steps:
        before = time.time_ns()
        minict(*words)
        seen = [each["Action"] for each in told(before, "--filter", "type=container")]
        if words[0] == "commit":  # the container stands still meanwhile
            seen = [action for action in seen if action not in ("pause", "unpause")]
        assert seen == expected, words
    found = told(since, "--filter", "type=container")
    assert [each["Actor"]["Attributes"].get("oldName") for each in found if each["Action"] == "rename"] == ["/web"]
    assert "28" in [each["Actor"]["Attributes"].get("signal") for each in found if each["Action"] == "kill"]
    minict("rmi", "copy")


def test_networks_and_images_have_events(image, tmp_path):
    since = time.time_ns()
    minict("network", "create", "back")
    minict("network", "rm", "back")
    minict("tag", image, "other:1")
    minict("save", "-o", str(tmp_path / "a.tar"), "other:1")
    minict("rmi", "other:1")
    minict("load", "-i", str(tmp_path / "a.tar"))
    assert actions(since, "--filter", "type=network") == ["network create", "network destroy"]
    assert actions(since, "--filter", "type=image") == ["image tag", "image save", "image untag", "image load"]
    assert [each["Actor"]["Attributes"]["name"] for each in told(since, "--filter", "event=untag")] == ["other:1"]
    minict("rmi", "other:1")


def test_out_of_memory_and_health_have_events(image):
    since = time.time_ns()
    flags = ["--network", "none", "--name", "web", "--health-cmd", "true", "--health-interval", "0.1s"]
    minict("run", "-d", *flags, image, "sleep", "1000")
    wait_until(lambda: actions(since, "--filter", "event=health_status") == ["container health_status: healthy"])
    minict("rm", "-f", "web")


def test_a_waiting_reader_gets_new_events(image):
    begin("events", "--since", "0", "--until", "0s").communicate()
    process = begin(
        "events", "--filter", "container=web", "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(line.strip() for line in process.stdout))
    reader.start()

    def again() -> bool:
        minict("run", "--rm", "--network", "none", "--name", "web", image, "true")
        return lines.count("container destroy web") > 1

    wait_until(again)  # the first time it may have begun to listen in the middle
    process.terminate()
    process.wait()
    reader.join()
    assert {"container create web", "container start web", "container die web", "container destroy web"} <= set(lines)


def test_until_ends_the_wait(image):
    done = minict("events", "--until", str(int(time.time()) + 1), "--format", "{{.Action}}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words, said",
    [
        (["--filter", "colour=red"], ["colour=red", "container"]),
        (["--since", "yesterday"], ["--since", "yesterday"]),
        (["--format", "{{.Colour}}", "--since", "0", "--until", "0s"], ["Colour"]),
        (["x"], ["usage"]),
    ],
)
def test_an_error_is_one_sentence(image, words, said):
    minict("tag", image, "other:1")
    minict("rmi", "other:1")
    refused(minict("events", *words), *said)


def test_the_journal_is_rotated_and_a_reader_misses_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))
    monkeypatch.setattr(events, "_LARGEST", 10_000)
    seen: list[str] = []
    with journals.Journal() as journal:
        for first in range(0, 2000, 100):  # as much as turns it over once, or twice
            writers = [threading.Thread(target=write, args=(start, 25)) for start in range(first, first + 100, 25)]
            for each in writers:
                each.start()
            for each in writers:
                each.join()
            seen += [event["id"] for event in journal.look()]
    assert sorted(map(int, seen)) == list(range(2000))
    assert sorted(os.listdir(tmp_path / "run/events")) == ["journal", "journal.1"]
    assert os.path.getsize(tmp_path / "run/events/journal.1") < 15_000


def write(first: int, count: int) -> None:
    for number in range(first, first + count):
        events.emit("container", "create", f"{number}")


def test_a_full_disk_or_a_damaged_line_stops_no_command(monkeypatch, tmp_path):
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))
    events.emit("container", "create", "1")
    with open(tmp_path / "run/events/journal", "ab") as file:
        file.write(b'{"time": 12, "ki\n[]\n\xff\xfe\n{"time": "x"}\n')
    events.emit("container", "create", "2")
    assert [each["id"] for each in journals.read(0, time.time_ns())] == ["1", "2"]
    monkeypatch.setenv("MINICT_RUN", "/proc/nowhere")
    events.emit("container", "create", "3")
