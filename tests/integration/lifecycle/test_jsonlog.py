"""The log of a container: read back, bounded, followed, and intact after any failure."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from minict.engine.lifecycle import jsonlog, logreader
from minict.engine.util import timestamps
from minict.kernel import mount
from tests.support.command_line import PATIENCE, wait_until
from tests.support.paths import ROOT

NOON = 1_795_608_000_000_000_000  # 2026-11-25T12:00:00Z


def texts(directory, **options) -> str:
    """All that is read, both streams in their order, as one text."""
    return b"".join(text for _, _, text in logreader.read(str(directory), **options)).decode()


def test_a_record_is_as_kubernetes_has_it(tmp_path):
    log = jsonlog.Log(str(tmp_path))
    log.write("stdout", b"hello\nwor", NOON + 5)
    log.write("stderr", b"oh\n", NOON + timestamps.SECOND)
    log.write("stdout", b"ld\n\n", NOON + timestamps.SECOND)
    log.close()
    assert (tmp_path / "log.1").read_text() == (
        "2026-11-25T12:00:00.000000005Z stdout F hello\n"
        "2026-11-25T12:00:00.000000005Z stdout P wor\n"
        "2026-11-25T12:00:01.000000000Z stderr F oh\n"
        "2026-11-25T12:00:01.000000000Z stdout F ld\n"
        "2026-11-25T12:00:01.000000000Z stdout F \n"
    )
    assert list(logreader.read(str(tmp_path)))[:3] == [
        ("2026-11-25T12:00:00.000000005Z", "stdout", b"hello\n"),
        ("2026-11-25T12:00:00.000000005Z", "stdout", b"wor"),
        ("2026-11-25T12:00:01.000000000Z", "stderr", b"oh\n"),
    ]
    assert texts(tmp_path, streams=("stdout",)) == "hello\nworld\n\n"


def test_any_bytes_in_any_pieces_are_read_back(tmp_path):
    chance = random.Random(7)
    log, expected = jsonlog.Log(str(tmp_path)), {"stdout": b"", "stderr": b""}
    for _ in range(300):
        stream = chance.choice(jsonlog.STREAMS)
        piece = bytes(chance.choices(b"ab \r\n\x00\xff", k=chance.choice((0, 1, 3, 50, 40000))))
        log.write(stream, piece)
        expected[stream] += piece
    log.close()
    for stream in jsonlog.STREAMS:
        assert b"".join(text for _, _, text in logreader.read(str(tmp_path), streams=(stream,))) == expected[stream]


def test_the_log_is_bounded_and_keeps_the_newest(tmp_path):
    log = jsonlog.Log(str(tmp_path), max_size=1000, max_file=3)
    for number in range(500):
        log.write("stdout", f"line {number}\n".encode())
        assert len(jsonlog.numbers(str(tmp_path))) <= 3
        assert all(os.path.getsize(tmp_path / name) <= 1000 for name in os.listdir(tmp_path))
    log.write("stdout", b"".join(b"line %d\n" % number for number in range(500, 1000)))
    assert len(jsonlog.numbers(str(tmp_path))) == 3
    assert all(os.path.getsize(tmp_path / name) <= 1000 for name in os.listdir(tmp_path))
    lines = texts(tmp_path).splitlines()
    assert lines[-1] == "line 999" and 30 < len(lines) < 70
    assert lines == [f"line {number}" for number in range(1000 - len(lines), 1000)]
    assert jsonlog.current(str(tmp_path)) == f"{tmp_path}/log.{max(jsonlog.numbers(str(tmp_path)))}"


def test_one_file_is_enough(tmp_path):
    log = jsonlog.Log(str(tmp_path), max_size=200, max_file=1)
    for number in range(100):
        log.write("stdout", f"{number}\n".encode())
    assert len(os.listdir(tmp_path)) == 1 and texts(tmp_path).splitlines()[-1] == "99"


def test_a_new_run_continues_the_log(tmp_path):
    for number in range(50):
        log = jsonlog.Log(str(tmp_path), max_size=300)
        log.write("stdout", f"life {number}\n".encode())
        log.close()
    lines = texts(tmp_path).splitlines()
    assert (
        lines == [f"life {number}" for number in range(50 - len(lines), 50)]
        and len(jsonlog.numbers(str(tmp_path))) == 3
    )


@pytest.mark.parametrize(
    "torn", [b"2026-11-25T12:00:00.00000", b"2026-11-25T12:00:00.000000000Z stdout F hal", b"\0\0\0\0"]
)
def test_a_torn_line_spoils_none_after_it(tmp_path, torn):
    (tmp_path / "log.1").write_bytes(b"2026-11-25T12:00:00.000000000Z stdout F before\n" + torn)
    log = jsonlog.Log(str(tmp_path))
    log.write("stdout", b"after\n")
    assert texts(tmp_path) == "before\n" + ("hal\n" if b"F" in torn else "") + "after\n"
    assert texts(tmp_path, tail=1) == "after\n"


def test_a_writer_killed_at_any_moment_leaves_a_log_that_can_be_read(tmp_path):
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\nfrom minict.engine.lifecycle.jsonlog import Log\n"
        "log = Log(sys.argv[2], max_size=4000)\nnumber = 0\nwhile True:\n"
        "    log.write('stdout', b'%d\\n' % number)\n    number += 1\n"
    )
    for _ in range(5):
        directory = tmp_path / str(_)
        directory.mkdir()
        writer = subprocess.Popen([sys.executable, "-I", "-S", "-c", program, ROOT, str(directory)])
        wait_until(lambda: len(jsonlog.numbers(str(directory))) == 3)
        time.sleep(random.random() / 50)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        lines = [int(line) for line in texts(directory).splitlines()]
        assert lines and lines == list(range(lines[0], lines[0] + len(lines)))


def test_a_full_disk_loses_what_does_not_fit_and_says_so(tmp_path):
    mount.mount("minict-test", str(tmp_path), "tmpfs", 0, "size=64k")
    try:
        log = jsonlog.Log(str(tmp_path), max_size=1 << 20)
        log.write("stdout", b"first\n")
        (tmp_path / "filler").write_bytes(b"")
        with pytest.raises(OSError) as caught, open(tmp_path / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        assert caught.value.errno == errno.ENOSPC
        for number in range(200):
            log.write("stdout", b"%0100d\n" % number)
        assert log.lost > 10_000
        lost_then = log.lost
        os.unlink(tmp_path / "filler")
        log.write("stdout", b"last\n")
        assert log.lost == 0
        lines = texts(tmp_path).splitlines()
        assert lines[0] == "first" and lines[-1] == "last"
        assert (
            lines[-2]
            == f"[minict: {lost_then} bytes are missing here, which could not be written: No space left on device]"
        )
        kept = [line for line in lines[1:-2] if len(line) == 100]
        assert [int(line) for line in kept] == list(range(len(kept)))
        log.close()
    finally:
        mount.umount2(str(tmp_path), 0)


def test_a_removed_directory_stops_no_writer(tmp_path):
    log = jsonlog.Log(str(tmp_path / "gone"))
    log.write("stdout", b"x\n")
    assert log.lost == 2
    (tmp_path / "gone").mkdir()
    log.write("stdout", b"y\n")
    assert texts(tmp_path / "gone").splitlines()[-1] == "y" and "2 bytes are missing" in texts(tmp_path / "gone")
    assert texts(tmp_path / "nowhere") == "" == texts(tmp_path / "nowhere", tail=5)


# ---- parts of it -------------------------------------------------------------------------------------------------


@pytest.fixture
def hundred(tmp_path):
    """A hundred lines over several files, a second between two."""
    log = jsonlog.Log(str(tmp_path), max_size=2000, max_file=9)
    for number in range(100):
        log.write("stderr" if number % 10 == 0 else "stdout", f"{number}\n".encode(), NOON + number * timestamps.SECOND)
    log.close()
    assert len(jsonlog.numbers(str(tmp_path))) > 2
    return tmp_path


@pytest.mark.parametrize("count", [0, 1, 2, 50, 99, 100, 1000])
def test_the_last_lines(hundred, count):
    assert texts(hundred, tail=count).split() == [str(number) for number in range(100)][100 - min(count, 100) :]


def test_the_last_lines_of_one_stream_and_of_a_time(hundred):
    assert texts(hundred, tail=2, streams=("stderr",)).split() == ["80", "90"]
    assert texts(hundred, tail=3, until=NOON + 50 * timestamps.SECOND).split() == ["48", "49", "50"]


def test_since_and_until(hundred):
    assert texts(hundred, since=NOON + 98 * timestamps.SECOND).split() == ["98", "99"]
    assert texts(hundred, until=NOON + timestamps.SECOND).split() == ["0", "1"]
    assert texts(hundred, since=NOON + 5 * timestamps.SECOND, until=NOON + 6 * timestamps.SECOND).split() == ["5", "6"]
    assert texts(hundred, since=NOON + 10**12) == ""


def test_the_last_line_is_whole_however_many_parts_it_has(tmp_path):
    log = jsonlog.Log(str(tmp_path))
    log.write("stdout", b"one\nt")
    log.write("stderr", b"oh\n")
    log.write("stdout", b"w")
    log.write("stdout", b"o\n")
    log.write("stdout", b"$ ")
    assert texts(tmp_path, tail=1) == "$ "
    assert texts(tmp_path, tail=2) == "two\n$ "
    assert texts(tmp_path, tail=3) == "toh\nwo\n$ "  # the three records of "two", with "oh" among them
    assert texts(tmp_path, tail=2, streams=("stdout",)) == "two\n$ "


# ---- to follow ---------------------------------------------------------------------------------------------------


def follower(directory, **options):
    """(what was read so far, the thread that reads on, the switch that ends it)."""
    got, over = [], threading.Event()

    def run():
        for _, _, text in logreader.read(str(directory), follow=True, ended=over.is_set, **options):
            got.append(text)

    thread = threading.Thread(target=run)
    thread.start()
    return got, thread, over


def test_a_follower_sees_what_comes_at_once_and_ends_with_the_writer(tmp_path):
    log = jsonlog.Log(str(tmp_path))
    log.write("stdout", b"old\n")
    got, thread, over = follower(tmp_path)
    wait_until(lambda: got == [b"old\n"])
    log.write("stdout", b"new")
    begin = time.monotonic()
    wait_until(lambda: got == [b"old\n", b"new"])
    assert time.monotonic() - begin < 0.5  # notified by the kernel: it does not poll once a second
    log.write("stdout", b"er\nlast\n")
    over.set()
    thread.join(PATIENCE)
    assert not thread.is_alive() and b"".join(got) == b"old\nnewer\nlast\n"


def test_a_follower_loses_nothing_over_many_rotations(tmp_path):
    log = jsonlog.Log(str(tmp_path), max_size=20_000, max_file=50)
    got, thread, over = follower(tmp_path)
    for number in range(20_000):
        log.write("stdout", f"{number}\n".encode())
        if number % 1000 == 0:
            # not so far ahead that the files are gone before they are read
            wait_until(lambda: len(got) > number - 1000)
    over.set()
    thread.join(PATIENCE)
    assert not thread.is_alive() and b"".join(got).split() == [b"%d" % number for number in range(20_000)]


def test_a_follower_may_come_before_the_first_line(tmp_path):
    got, thread, over = follower(tmp_path, tail=10)
    time.sleep(0.05)
    log = jsonlog.Log(str(tmp_path))
    log.write("stdout", b"first\n")
    wait_until(lambda: got == [b"first\n"])
    over.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_following_ends_at_a_point_in_time(tmp_path):
    jsonlog.Log(str(tmp_path)).write("stdout", b"now\n")
    got, thread, over = follower(tmp_path, until=time.time_ns() + timestamps.SECOND // 2)
    thread.join(PATIENCE)
    assert not thread.is_alive() and got == [b"now\n"] and not over.is_set()


def test_the_writer_is_small(tmp_path):
    """The monitor of each container loads it: it imports no slow module, and takes at most a megabyte."""
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "def private():\n"
        "    return sum(int(l.split()[1]) for l in open('/proc/self/smaps_rollup') if l.startswith('Private_'))\n"
        "before = private()\nfrom minict.engine.lifecycle.jsonlog import Log\nlog = Log(sys.argv[2])\n"
        "for n in range(2000):\n    log.write('stdout', b'x' * 100 + b'\\n')\n"
        "slow = {'re', 'json', 'logging', 'datetime', 'collections', 'contextlib'}\n"
        "print(private() - before, *(set(sys.modules) & slow))\n"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, ROOT, str(tmp_path)], capture_output=True, text=True
    )
    words = result.stdout.split()
    assert len(words) == 1 and int(words[0]) < 1500, result
