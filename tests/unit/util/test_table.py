"""Output for people: tables, sizes, ages and points in time as Docker writes them."""

from __future__ import annotations

import json
import time

import pytest

from minict.engine.util import table, timestamps
from minict.runtime.errors import ContainerError

HEADINGS = {"ID": "CONTAINER ID", "Names": "NAMES", "Size": "SIZE"}


def rows() -> list[dict]:
    return [
        {"ID": "0123456789ab", "Names": "web", "Size": lambda: "9kB"},
        {"ID": "b", "Names": "a-long-name", "Size": "0B"},
    ]


def show(**options) -> str:
    return table.show(rows(), HEADINGS, ["ID", "Names"], **options)


def test_a_table_is_aligned_as_dockers():
    assert show() == ("CONTAINER ID   NAMES\n0123456789ab   web\nb              a-long-name\n")
    assert table.aligned([["A", "B"], ["1", "2"]]) == "A         B\n1         2\n"


def test_format_and_quiet():
    assert show(quiet="ID") == "0123456789ab\nb\n"
    assert show(format="{{.Names}}\\t{{.Size}}") == "web\t9kB\na-long-name\t0B\n"
    assert show(format="table {{.Names}}\\t{{.Size}}") == "NAMES         SIZE\nweb           9kB\na-long-name   0B\n"
    assert show(format="table") == show()
    first, *_ = show(format="json").splitlines()
    assert json.loads(first) == {"ID": "0123456789ab", "Names": "web", "Size": "9kB"}
    assert table.show([], HEADINGS, ["ID"], format="{{.ID}}") == ""


def test_expensive_fields_are_computed_only_when_shown():
    def dear():
        raise AssertionError("nobody wanted to see it")

    assert table.show([{"ID": "b", "Names": "n", "Size": dear}], HEADINGS, ["ID", "Names"], format="{{.ID}}") == "b\n"


@pytest.mark.parametrize(
    "number, expected",
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1024, "1.02kB"),
        (187_123_456, "187MB"),
        (13_256, "13.3kB"),
        (999_999, "1000kB"),
        (1_500_000_000, "1.5GB"),
        (10**30, "1000000000000EB"),
    ],
)
def test_sizes_are_dockers(number, expected):
    assert table.size(number) == expected


@pytest.mark.parametrize(
    "number, expected", [(0, "0B"), (1 << 20, "1MiB"), (1515520, "1.445MiB"), (1023, "1023B"), (2 << 30, "2GiB")]
)
def test_sizes_of_memory_are_dockers(number, expected):
    assert table.binary_size(number) == expected


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_ages_are_dockers(seconds, expected):
    assert table.duration(seconds) == expected


def test_a_status_names_the_state_and_its_age():
    now = 1_000_000.0
    assert table.status("running", started=now - 7200, now=now) == "Up 2 hours"
    assert table.status("running", started=now - 5, health="healthy", now=now) == "Up 5 seconds (healthy)"
    assert table.status("running", started=now - 5, health="starting", now=now) == "Up 5 seconds (health: starting)"
    assert table.status("paused", started=now - 5, health="healthy", now=now) == "Up 5 seconds (Paused)"
    assert table.status("exited", finished=now - 5, exit_code=137, now=now) == "Exited (137) 5 seconds ago"
    assert table.status("restarting", finished=now - 1, exit_code=1, now=now) == "Restarting (1) 1 second ago"
    assert table.status("exited", exit_code=137) == "Exited (137)"
    assert table.status("created") == "Created"


def test_a_command_can_not_write_over_the_table():
    assert table.quoted('sh -c "a\nb\x1b[2J"\\') == '"sh -c \\"a\\nb\\x1b[2J\\"\\\\"'
    assert table.shortened("0123456789", 10) == "0123456789"
    assert table.shortened("01234567890", 10) == "012345678…"


def test_html_is_escaped():
    text = table.html([{"name": "<b>x</b>", "size": lambda: 1}, {"name": "y", "more": "&"}], "a < b")
    assert "<b>" not in text and "&lt;b&gt;x" in text and "<caption>a &lt; b" in text and "&amp;" in text
    assert "<script" not in table.html_object({"Name": "<script>"}, "it")


def test_a_stamp_is_rfc_3339_and_sorts_as_time_does():
    assert timestamps.stamp(0) == "1970-01-01T00:00:00.000000000Z"
    assert timestamps.stamp(1_795_620_360_123_456_789) == "2026-11-25T15:26:00.123456789Z"
    moments = [0, 1, 10**9 - 1, 10**9, 951_782_400 * 10**9, time.time_ns()]
    assert sorted(map(timestamps.stamp, moments)) == list(map(timestamps.stamp, moments))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2026-11-25T15:26:00.123456789Z", 1_795_620_360_123_456_789),
        ("2026-11-25T15:26:00Z", 1_795_620_360_000_000_000),
        ("2026-11-25T16:26:00.5+01:00", 1_795_620_360_500_000_000),
        ("1795620360", 1_795_620_360_000_000_000),
        ("1795620360.25", 1_795_620_360_250_000_000),
        ("10m", 1_795_620_360_000_000_000 - 600 * timestamps.SECOND),
        ("1h30m", 1_795_620_360_000_000_000 - 5400 * timestamps.SECOND),
        ("1.5s", 1_795_620_360_000_000_000 - 1_500_000_000),
        ("100ms", 1_795_620_360_000_000_000 - 100_000_000),
    ],
)
def test_a_point_in_time_in_each_of_dockers_formats(text, expected):
    assert timestamps.moment_of(text, "--since", now=1_795_620_360_000_000_000) == expected


def test_a_time_without_a_zone_is_local():
    assert (
        timestamps.moment_of("2026-11-25T15:26", "--since")
        == int(time.mktime((2026, 11, 25, 15, 26, 0, 0, 0, -1))) * timestamps.SECOND
    )
    assert (
        timestamps.moment_of("2026-11-25", "--since")
        == int(time.mktime((2026, 11, 25, 0, 0, 0, 0, 0, -1))) * timestamps.SECOND
    )


@pytest.mark.parametrize(
    "text", ["", "yesterday", "10x", "2026-13-01", "2026-11-25T15:26:00.Z", "1.2.3", "-", "m", "9" * 5000]
)
def test_an_invalid_point_in_time_is_refused(text):
    with pytest.raises(ContainerError, match="--since.*invalid time .*: write 2026"):
        timestamps.moment_of(text, "--since")
