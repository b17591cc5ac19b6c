"""From create to rm: what Docker's verbs do to a container, and its state in between."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import termios
import threading
import time

import pytest

from minict.engine.containers import names
from minict.engine.containers.store import Record
from minict.engine.lifecycle import attach, logreader
from minict.lab import host
from minict.runtime import paths, state
from minict.runtime.cgroup import Cgroup
from tests.support.command_line import (
    MINICT,
    PATIENCE,
    Terminal,
    begin,
    catches,
    comes_to_rest,
    containers,
    interrupted,
    minict,
    refused,
    run,
    wait_until,
)


@pytest.fixture(autouse=True)
def all_removed(image):
    """After each test no container is left, whatever the test did."""
    yield
    for id in containers():
        minict("rm", "-f", id)
    minict("prune")
    assert containers() == []


def made(*words: str) -> str:
    """A container in the background, by its id."""
    done = minict("run", "-d", "--network", "none", *words)
    assert done.returncode == 0, done
    return done.stdout.strip()


def words_of(name: str) -> str:
    """What the container has written."""
    return b"".join(text for _, _, text in logreader.read(Record.find(name).data)).decode()


# ---- made, started, ended ------------------------------------------------------------------------------------------


def test_what_is_created_does_not_run_until_it_is_started(image):
    id = minict("create", "--network", "none", "--name", "box", image, "sh", "-c", "echo here; exit 3").stdout.strip()
    record = Record.find("box")
    assert (record.id, record.status, record.pid) == (id, "created", None)
    assert minict("start", "-a", "box").returncode == 3
    assert (record.status, record.exit_code) == ("exited", 3)
    assert minict("start", "-a", "box").stdout == "here\n", "and as often as one likes"
    assert words_of("box") == "here\nhere\n"


def test_an_ended_container_keeps_its_files_and_its_log(image):
    assert (
        minict("run", "--network", "none", "--name", "box", image, "sh", "-c", "echo more >> /file; cat /file").stdout
        == "more\n"
    )
    assert minict("start", "-a", "box").stdout == "more\nmore\n"
    assert words_of("box") == "more\nmore\nmore\n"
    assert minict("rm", "box").stdout == "box\n"
    refused(minict("start", "-a", "box"), "box")


def test_a_background_container_outlives_its_command(image):
    id = made("--name", "box", image, "sh", "-c", "echo $PPID; sleep 1000")
    record = Record.load(id)
    assert record.status == "running" and record.monitor
    monitor = host.process_table()[record.monitor]
    assert monitor.name == "minict-monitor" and host.process_table()[record.pid].parent == record.monitor
    assert os.readlink(f"/proc/{record.monitor}/cwd") == "/"
    open_files = {os.readlink(f"/proc/{record.monitor}/fd/{fd}") for fd in os.listdir(f"/proc/{record.monitor}/fd")}
    assert not [path for path in open_files if path.startswith("/dev/pts")], "the terminal may be closed"
    assert minict("stop", "-t", "0", "box").stdout == "box\n"
    assert (record.status, record.exit_code) == ("exited", 137)
    wait_until(lambda: record.monitor is None)


def test_a_background_container_that_cannot_start_is_reported_at_once(image):
    refused(minict("run", "-d", "--network", "none", "--name", "box", image, "nowhere"), "nowhere", status=127)
    assert (Record.find("box").status, Record.find("box").exit_code) == ("exited", 127)
    refused(minict("run", "-d", "--rm", "--network", "none", image, "nowhere"), "nowhere", status=127)
    assert containers() == [Record.find("box").id]


def test_with_rm_it_is_removed_at_its_end(image):
    id = made("--rm", image, "sleep", "0.1")
    wait_until(lambda: not os.path.isdir(paths.container_data(id)))
    assert containers() == []


@pytest.mark.parametrize("how", ["here", "background"])
def test_the_exit_status_and_the_time_are_written_down(image, how):
    began = time.time()
    if how == "here":
        assert (
            minict("run", "--network", "none", "--name", "box", image, "sh", "-c", "sleep 0.1; exit 7").returncode == 7
        )
    else:
        made("--name", "box", image, "sh", "-c", "sleep 0.1; exit 7")
        assert minict("wait", "box").stdout == "7\n"
    life = Record.find("box").last_run
    assert life["exit_code"] == 7 and began <= life["started"] <= life["finished"] - 0.1 <= time.time()


def test_out_of_memory_is_known_as_the_cause(image):
    assert (
        minict("run", "--network", "none", "--name", "box", "-m", "32m", image, "tail", "/dev/zero").returncode == 137
    )
    assert Record.find("box").last_run["oom_killed"] is True


# ---- names and ids -------------------------------------------------------------------------------------------------


def test_a_container_is_found_by_name_and_by_the_beginning_of_its_id(image):
    id = made("--name", "web", image, "sleep", "1000")
    assert Record.find("web").id == Record.find(id[:4]).id == id
    for wrong in ("we", "", "nobody", "../web", "web/x"):
        with pytest.raises(Exception, match="no such container"):
            Record.find(wrong)


def test_a_name_may_be_written_as_inspect_shows_it(image):
    assert minict("create", "--name", "/web", "--network", "none", image, "true").returncode == 0
    try:
        assert (
            minict("inspect", "-f", "{{.Name}}", "/web").stdout
            == minict("inspect", "-f", "{{.Name}}", "web").stdout
            == "/web\n"
        )
        refused(minict("create", "--name", "/web", image), "'web' is in use")
        refused(minict("create", "--name", "//web", image), "'/web'")
        assert minict("rename", "/web", "/shop").returncode == 0
    finally:
        assert minict("rm", "/shop").stdout == "/shop\n"


def test_without_a_name_it_gets_a_readable_one(image):
    first, second = (Record.load(made(image, "true")) for _ in range(2))
    assert first.name != second.name and first.name.replace("_", "").isalnum()
    assert Record.find(first.name).id == first.id


def test_renamed_it_is_found_by_the_new_name_alone(image):
    id = made("--name", "old", image, "sleep", "1000")
    assert minict("rename", "old", "new").returncode == 0
    assert Record.find("new").id == id
    refused(minict("rename", "old", "x"), "old")
    made("--name", "old", image, "true")
    refused(minict("rename", "old", "new"), "new", "in use")
    assert Record.find("old").id != id, "a name that could not be changed stays"


# ---- stop, kill, restart -------------------------------------------------------------------------------------------


def test_stop_uses_the_given_signal_and_timeout(image):
    script = "trap 'echo asked; exit 5' USR1; trap 'echo wrong' TERM; echo ready; while :; do sleep 0.02; done"
    made("--name", "box", "--stop-signal", "USR1", image, "sh", "-c", script)
    wait_until(lambda: "ready" in words_of("box"))
    assert minict("stop", "box").returncode == 0
    assert words_of("box") == "ready\nasked\n" and Record.find("box").exit_code == 5
    made("--name", "deaf", "--stop-timeout", "0", image, "sleep", "1000")
    began = time.monotonic()
    minict("stop", "deaf")
    assert Record.find("deaf").exit_code == 137 and time.monotonic() - began < 5


def test_kill_sends_any_signal_by_name_or_number(image):
    script = "trap 'echo hup' HUP; trap 'echo usr' USR1; echo ready; while :; do sleep 0.02; done"
    made("--name", "box", image, "sh", "-c", script)
    wait_until(lambda: "ready" in words_of("box"))
    for name in ("HUP", "10"):
        assert minict("kill", "-s", name, "box").returncode == 0
    wait_until(lambda: {"hup", "usr"} <= set(words_of("box").split()))
    assert minict("kill", "-s", "FLY", "box").returncode == 1
    assert minict("kill", "box").returncode == 0
    assert (Record.find("box").status, Record.find("box").exit_code) == ("exited", 137)
    assert "not running" in minict("kill", "box").stderr


def test_restart_makes_a_new_process_with_the_same_files(image):
    made("--name", "box", image, "sh", "-c", "echo x >> /count; wc -l < /count; sleep 1000")
    first = Record.find("box").pid
    assert minict("restart", "-t", "0", "box").returncode == 0
    assert Record.find("box").pid not in (None, first)
    wait_until(lambda: words_of("box") == "1\n2\n")


def test_many_at_once_and_the_error_of_one_is_reported(image):
    for name in ("a", "b", "c"):
        made("--name", name, image, "sleep", "1000")
    done = minict("stop", "-t", "0", "a", "nobody", "c")
    assert (done.returncode, done.stdout) == (1, "a\nc\n") and "no such container: nobody" in done.stderr
    assert [Record.find(name).status for name in "abc"] == ["exited", "running", "exited"]


def test_a_running_container_is_removed_only_by_force(image):
    made("--name", "box", image, "sleep", "1000")
    done = minict("rm", "box")
    assert done.returncode == 1 and "stop it first, or use -f" in done.stderr
    assert minict("rm", "-f", "box").stdout == "box\n"
    assert containers() == []


@pytest.mark.parametrize("words", [["rm"], ["rmi"], ["network", "rm"], ["volume", "rm"]])
def test_force_ignores_a_missing_container(image, words):
    refused(minict(*words, "nowhere"), "no such", "nowhere", status=1)
    assert minict(*words, "-f", "nowhere").returncode == 0


def test_paused_it_stands_still_and_can_be_stopped(image):
    made("--name", "box", image, "sh", "-c", "while :; do echo x; sleep 0.01; done")
    wait_until(lambda: words_of("box"))
    assert minict("pause", "box").returncode == 0 and Record.find("box").status == "paused"
    comes_to_rest(lambda: len(words_of("box")))
    size = len(words_of("box"))
    assert "is paused" in minict("pause", "box").stderr
    assert "is paused" in minict("exec", "box", "true").stderr
    assert minict("unpause", "box").returncode == 0 and Record.find("box").status == "running"
    wait_until(lambda: len(words_of("box")) > size)
    minict("pause", "box")
    assert minict("stop", "-t", "0", "box").returncode == 0 and Record.find("box").status == "exited"


def test_wait_waits_for_the_last_run_while_the_monitor_has_not_decided_yet(image):
    """In the moment after the first run nothing says that there is another one."""
    minict("run", "-d", "--name", "c", "--restart", "on-failure:2", image, "sh", "-c", "sleep 0.3; exit 7")
    record = Record.find("c")
    os.kill(record.monitor, signal.SIGSTOP)
    wait_until(lambda: record.pid is None)
    threading.Timer(0.5, os.kill, (record.monitor, signal.SIGCONT)).start()
    assert minict("wait", "c").stdout == "7\n"
    assert (record.status, record.last_run["restarts"]) == ("exited", 2)


def test_wait_returns_the_status_of_an_ended_container_too(image):
    made("--name", "box", image, "sh", "-c", "sleep 0.2; exit 4")
    waiting = [begin("wait", "box") for _ in range(3)]
    assert [each.communicate(timeout=PATIENCE)[0] for each in waiting] == ["4\n"] * 3
    assert minict("wait", "box").stdout == "4\n"


def test_limits_change_while_it_runs_and_stay_changed(image):
    made("--name", "box", "-m", "64m", image, "sleep", "1000")
    assert minict("update", "-m", "48m", "--pids-limit", "7", "box").returncode == 0

    def limit() -> str:
        script = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"
        return minict("exec", "box", "sh", "-c", script).stdout

    assert limit() == "7\n"
    minict("restart", "-t", "0", "box")
    assert limit() == "7\n"
    assert minict("update", "-m", "1k", "box").returncode == 1
    refused(minict("update", "box"), "update")


# ---- restart policies ----------------------------------------------------------------------------------------------


def test_on_failure_it_begins_again_as_often_as_it_may(image):
    made("--name", "box", "--restart", "on-failure:2", image, "sh", "-c", "echo once more; exit 9")
    assert minict("wait", "box").stdout == "9\n"
    assert words_of("box") == "once more\n" * 3
    assert Record.find("box").last_run["restarts"] == 2


def test_success_is_not_a_failure(image):
    made("--name", "box", "--restart", "on-failure", image, "true")
    assert minict("wait", "box").stdout == "0\n"
    assert not Record.find("box").last_run.get("restarts")


def test_always_goes_on_until_a_person_stops_it(image):
    made("--name", "box", "--restart", "always", image, "sh", "-c", "echo again; sleep 0.05")
    wait_until(lambda: words_of("box").count("again") > 2)
    assert minict("stop", "-t", "0", "box").returncode == 0
    assert Record.find("box").status == "exited"
    wait_until(lambda: Record.find("box").monitor is None)
    count = words_of("box").count("again")
    time.sleep(0.5)
    assert words_of("box").count("again") == count
    assert minict("start", "box").returncode == 0
    wait_until(lambda: words_of("box").count("again") > count + 1)


def test_killed_by_another_program_it_restarts(image):
    made("--name", "box", "--restart", "unless-stopped", image, "sleep", "1000")
    first = Record.find("box").pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: Record.find("box").pid not in (None, first))
    minict("kill", "box")
    assert Record.find("box").status == "exited", "killed by a person it stays"


# ---- terminals and attach ------------------------------------------------------------------------------------------


def test_the_detach_keys_leave_it_running_for_a_later_attach(image):
    with Terminal("run", "-it", "--network", "none", "--name", "box", image, "sh") as screen:
        screen.type("PS1='$ '; x=kept\r")
        screen.type("echo here-$((1+1))\r")
        screen.expect("here-2")
        screen.type("\x10\x11")
        assert screen.status() == 0
    assert Record.find("box").status == "running"
    with Terminal("attach", "box") as screen:
        screen.type("echo still-$x\r")
        screen.expect("still-kept")
        screen.type("exit 6\r")
        assert screen.status() == 6
    assert "still-kept" in words_of("box")


def test_below_a_chosen_control_group(image):
    parent = f"/{paths.cgroup_parent()}/class/ada"
    id = made("--name", "box", "--cgroup-parent", parent, "--memory", "64m", image, "sleep", "1000")
    record = Record.find("box")
    groups = Cgroup(f"{parent}/{id}").directories
    try:
        for group in groups.values():
            with open(f"{group}/cgroup.procs") as file:
                assert file.read().split() == [str(record.pid)]
        assert not any(map(os.path.exists, Cgroup(f"/{paths.cgroup_parent()}/{id}").directories.values()))
        assert (
            minict("pause", "box").returncode == 0
            and record.status == "paused"
            and minict("unpause", "box").returncode == 0
        )
        assert "sleep 1000" in minict("top", "box").stdout
        assert " / 64MiB" in minict("stats", "--no-stream", "box").stdout
        assert minict("exec", "-d", "box", "sleep", "2000").returncode == 0
        wait_until(lambda: "sleep 2000" in minict("top", "box").stdout)
        assert minict("inspect", "-f", "{{.HostConfig.CgroupParent}}", "box").stdout == f"{parent}\n"
        assert minict("restart", "-t", "0", "box").returncode == 0 and minict("rm", "-f", "box").returncode == 0
        assert not any(map(os.path.exists, groups.values()))
    finally:
        host.remove_cgroups(list({group.removesuffix(f"/ada/{id}") for group in groups.values()}))


def test_only_the_requested_streams_are_attached(image):
    def streams(*flags: str) -> tuple[str, str]:
        done = minict(
            "run",
            "--name",
            "box",
            "--network",
            "none",
            *flags,
            image,
            "sh",
            "-c",
            "echo out; echo err >&2; cat",
            input="in\n",
        )
        assert done.returncode == 0 and sorted(words_of("box").split()) == sorted(
            ["out", "err", *["in"] * ("-i" in flags)]
        )
        id = Record.find("box").id
        assert minict("rm", "box").returncode == 0
        return done.stdout.replace(id, "ID"), done.stderr

    assert streams("-a", "stdout") == ("out\n", "") and streams("-a", "STDERR") == ("", "err\n")
    assert streams("-i", "-a", "stdin", "-a", "stdout") == ("out\nin\n", "") and streams("-i", "-a", "stdin") == (
        "ID\n",
        "",
    )
    for flags, words in (
        (["-a", "stdlog"], ["stdin, stdout or stderr"]),
        (["-d", "-a", "stdout"], ["-a conflicts with -d"]),
    ):
        refused(minict("run", "--network", "none", *flags, image, "true"), *words)


def test_without_sig_proxy_a_signal_ends_only_the_command(image):
    with Terminal(
        "run",
        "--sig-proxy=false",
        "--network",
        "none",
        "--name",
        "box",
        image,
        "sh",
        "-c",
        "echo ready; exec sleep 1000",
    ) as screen:
        screen.expect("ready")
        screen.type("\x03")
        assert screen.status() == 130 and Record.find("box").status == "running"


def test_a_quiet_run_hides_the_pull(image):
    for command in ("run", "create"):
        done = minict(command, "--network", "none", "127.0.0.1:9/nothing", "true")
        assert "Unable to find image '127.0.0.1:9/nothing:latest' locally" in done.stderr
        refused(minict(command, "-q", "--network", "none", "127.0.0.1:9/nothing", "true"), "127.0.0.1:9/nothing")


def test_the_detach_keys_leave_an_exec_running(image):
    made("--name", "box", image, "sleep", "1000")
    script = (
        "stty -echo; echo ready; read word; while :; do echo $word; printf %01000d 0; echo >> /said; sleep 0.01; done"
    )
    with Terminal("exec", "-it", "--detach-keys", "ctrl-x,y", "box", "sh", "-c", script) as screen:
        screen.expect("ready")
        screen.type("here\n")
        screen.expect("here")
        screen.type("\x18y")
        assert screen.status() == 0
    size = len(minict("exec", "box", "cat", "/said").stdout)
    # 20 kB: more than a terminal holds
    wait_until(lambda: len(minict("exec", "box", "cat", "/said").stdout) > size + 20)
    refused(minict("exec", "-t", "--detach-keys", "ctrl-ä", "box", "true"), "ctrl-ä", status=1)


def test_an_exec_whose_window_is_closed_is_hung_up(image):
    made("--name", "box", image, "sleep", "1000")
    with Terminal(
        "exec", "-it", "box", "sh", "-c", "trap 'echo over > /over; exit' HUP; echo ready; while :; do sleep 0.01; done"
    ) as screen:
        screen.expect("ready")
        screen.process.kill()
        wait_until(lambda: minict("exec", "box", "cat", "/over").stdout == "over\n")
    with Terminal("exec", "-t", "box", "sh", "-c", "echo once; exit 3") as screen:
        screen.expect("once")
        assert screen.status() == 3


def test_other_detach_keys(image):
    with Terminal(
        "run", "-it", "--rm", "--detach-keys", "ctrl-x,y", "--network", "none", "--name", "box", image, "sh"
    ) as screen:
        screen.type("echo \x10\x11here-$((1+1))\r")
        screen.expect("here-2")
        screen.type("\x18y")
        assert screen.status() == 0
    minict("rm", "-f", "box")
    refused(minict("run", "--rm", "-t", "--detach-keys", "ctrl-ä", "--network", "none", image, "true"), "ctrl-ä")


def test_the_sequence_is_found_wherever_it_is_torn():
    keys = attach.parse_keys("ctrl-p,ctrl-q")
    assert keys == b"\x10\x11" and attach.parse_keys("") == b"" and attach.parse_keys("a,ctrl-@") == b"a\0"
    assert attach.find_keys(b"ab", keys) == (b"ab", b"")
    assert attach.find_keys(b"ab\x10", keys) == (b"ab", b"\x10")
    assert attach.find_keys(b"\x10\x10", keys) == (b"\x10", b"\x10")
    assert attach.find_keys(b"ab\x10\x11cd", keys) == (b"ab", keys)
    assert attach.find_keys(b"anything", b"") == (b"anything", b"")


def test_several_look_on_and_one_types(image):
    made("-i", "--name", "box", image, "sh")
    lookers = [begin("attach", "--no-stdin", "box") for _ in range(2)]
    typing = begin("attach", "box", stdin=subprocess.PIPE)
    for each in (*lookers, typing):
        while not select.select([each.stdout], [], [], 0.1)[0]:  # a client that attaches later misses earlier output
            typing.stdin.write("echo all of you\n")
            typing.stdin.flush()
        assert each.stdout.readline() == "all of you\n"
    typing.stdin.write("exit 3\n")
    typing.stdin.flush()
    assert [each.wait(PATIENCE) for each in (*lookers, typing)] == [3, 3, 3]
    for each in (*lookers, typing):
        each.communicate()


def test_a_stopped_client_does_not_block_the_container_forever(image):
    much = "until [ -e /go ]; do sleep 0.02; done; yes $(seq 200) | head -c 3000000; echo end > /end; sleep 1000"
    made("--name", "box", image, "sh", "-c", much)  # much more than the capacity of the pipe and the socket
    monitor = Record.find("box").monitor
    alone = len(os.listdir(f"/proc/{monitor}/fd"))
    stopped = begin("attach", "--no-stdin", "box")
    try:
        wait_until(lambda: len(os.listdir(f"/proc/{monitor}/fd")) > alone)
        stopped.send_signal(signal.SIGSTOP)
        assert minict("exec", "box", "touch", "/go").returncode == 0
        wait_until(lambda: minict("exec", "box", "cat", "/end").returncode == 0)
    finally:
        stopped.kill()
        stopped.communicate()


def test_large_data_pass_through_a_monitor_and_back(image):
    """Both directions are full at the same time, and the end of one ends the other."""
    text = "".join(f"{number}\n" for number in range(300000))
    assert minict("create", "-i", "--rm", "--network", "none", "--name", "box", image, "cat").returncode == 0
    done = minict("start", "-a", "-i", "box", input=text)
    assert (done.returncode, done.stdout == text) == (0, True)


def test_attach_to_nothing_is_a_sentence(image):
    made("--name", "box", image, "true")
    minict("wait", "box")
    refused(minict("attach", "box"), "box", "not running")


def test_signals_go_through_attach(image):
    made(
        "--name", "box", image, "sh", "-c", "trap 'echo got it; exit 8' USR1; echo ready; while :; do sleep 0.02; done"
    )
    one = begin("attach", "box")
    wait_until(lambda: "ready" in words_of("box"))
    wait_until(lambda: catches(one.pid, signal.SIGUSR1))
    assert interrupted(one, signal.SIGUSR1) == 8


def test_the_terminal_has_its_size_from_the_first_moment_also_when_nothing_is_typed(image):
    with Terminal(
        "run", "-t", "--rm", "--network", "none", image, "stty", "size", "-F", "/dev/console", rows=21, columns=77
    ) as screen:
        screen.expect("21 77")
        assert screen.status() == 0


@pytest.fixture
def shell():
    """A shell with job control."""
    with Terminal(command=["bash", "--norc", "-i"]) as screen:
        screen.type(
            f"PS1='$ '; bind 'set enable-bracketed-paste off'; minict() {{ {' '.join(MINICT)} \"$@\"; }}; echo "
            "be''gin\n"
        )
        screen.expect("begin\r\n")
        yield screen


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGSTOP])
def test_a_command_at_a_terminal_that_was_stopped_goes_on_with_fg(image, shell, number):
    minict("create", "-it", "--network", "none", "--name", "box", image, "sh")
    shell.type("minict start -ai box\n")
    wait_until(lambda: Record.find("box").pid)
    shell.type("PS1='% '; echo here-$((1+1))\n")
    shell.expect("here-2")
    shell.expect("% ")  # only now does the container's shell itself show what is typed
    os.kill(foreground(shell), number)
    shell.expect("Stopped")
    shell.expect("$ ")
    shell.type("fg\n")
    shell.expect('minict "$@"')
    wait_until(lambda: not termios.tcgetattr(shell.slave)[3] & termios.ICANON)
    shell.type("echo back-$((3*4))\n")
    seen = shell.expect("back-12")
    assert seen.count("echo") == 1, f"raw again: the container's terminal alone shows what is typed: {seen}"
    shell.type("exit\n")
    shell.expect("$ ")
    shell.type("echo status-$?\n")
    shell.expect("status-0")


def test_in_the_background_it_waits_for_the_terminal(image, shell):
    shell.type(f"minict run -it --rm --network none --name box {image} sh &\n")
    shell.expect("] ")
    job = int(shell.expect("\r\n"))
    wait_until(lambda: stat(job)[0] == "T")
    shell.type("\njobs\n")
    shell.expect("Stopped")
    shell.expect("$ ")
    shell.type("fg\n")
    shell.expect("sh\r\n")
    wait_until(lambda: not termios.tcgetattr(shell.slave)[3] & termios.ICANON)
    shell.type("echo here-$((1+1)); exit 3\n")
    shell.expect("here-2")
    shell.expect("$ ")
    shell.type("echo status-$?\n")
    shell.expect("status-3")


def foreground(screen: Terminal) -> int:
    """The process group that is in the foreground of the terminal."""
    return int(stat(screen.process.pid)[5])


def stat(pid: int) -> list[str]:
    """What proc_pid_stat(5) has after the process's name: state, parent, group, session, terminal, its foreground
    group…"""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def test_attach_with_a_pipe_is_refused_by_a_container_with_a_terminal(image):
    """Otherwise the end of the pipe would act as Ctrl-D on the shell inside, and end it."""
    made("-it", "--name", "box", image, "sh")
    refused(minict("attach", "box", stdin=subprocess.DEVNULL), "box", "--no-stdin")
    assert Record.find("box").status == "running"


def test_output_that_cannot_be_written_is_reported(image):
    with open("/dev/full", "w") as full:
        done = run(image, "echo", "lost", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 125 and "No space left on device" in done.stderr and done.stderr.count("\n") == 1, done


# ---- exec ----------------------------------------------------------------------------------------------------------


def test_exec_in_a_missing_directory(image):
    made("--name", "box", image, "sleep", "1000")
    refused(
        minict("exec", "-w", "/nowhere", "box", "true"),
        "the working directory /nowhere cannot be entered: No such file or directory\n",
        status=126,
    )
    refused(minict("exec", "-u", "stranger", "box", "true"), "stranger", status=126)


def test_exec_has_the_environment_of_the_container(image):
    made("--name", "box", "-e", "A=1", "-w", "/tmp", "-u", "1000", image, "sleep", "1000")
    done = minict("exec", "-e", "B=2", "box", "sh", "-c", "echo $A $B; pwd; id -u")
    assert done.stdout == "1 2\n/tmp\n1000\n", done
    assert minict("exec", "-u", "0", "-w", "/", "box", "sh", "-c", "pwd; id -u").stdout == "/\n0\n"
    assert minict("exec", "box", "sh", "-c", "exit 9").returncode == 9
    assert minict("exec", "-i", "box", "cat", input="through\n").stdout == "through\n"
    refused(minict("exec", "box", "nowhere"), "nowhere", status=127)
    refused(minict("exec", "nobody", "true"), "nobody")


def test_exec_in_the_background(image):
    made("--name", "box", image, "sleep", "1000")
    assert minict("exec", "-d", "box", "sh", "-c", "sleep 0.2; echo done > /tmp/done").returncode == 0
    wait_until(lambda: minict("exec", "box", "cat", "/tmp/done").stdout == "done\n")


def test_exec_with_a_terminal(image):
    made("--name", "box", image, "sleep", "1000")
    with Terminal("exec", "-it", "box", "sh") as screen:
        screen.type("tty; exit 4\r")
        screen.expect("/dev/pts/")
        assert screen.status() == 4


# ---- what goes wrong -----------------------------------------------------------------------------------------------


def test_a_killed_monitor_ends_the_container_and_every_command_shows_it(image):
    made("--name", "box", image, "sleep", "1000")
    record = Record.find("box")
    pid, waiting = record.pid, begin("wait", "box")
    os.kill(record.monitor, signal.SIGKILL)
    wait_until(lambda: state.begin_time(pid) is None)
    assert waiting.communicate(timeout=PATIENCE)[0] == "137\n"
    assert (record.status, record.exit_code) == ("exited", 137)
    assert minict("start", "box").returncode == 0, "and it can be started again"
    assert record.status == "running"


def test_a_log_is_bounded(image):
    made("--name", "box", "--log-opt", "max-size=20k", "--log-opt", "max-file=2", image, "seq", "1", "20000")
    minict("wait", "box")
    sizes = [
        os.path.getsize(f"{Record.find('box').data}/{name}")
        for name in os.listdir(Record.find("box").data)
        if "log" in name
    ]
    assert len(sizes) <= 2 and max(sizes) <= 20 << 10
    assert words_of("box").endswith("\n19999\n20000\n")


def test_two_commands_start_the_same_container_once(image):
    minict("create", "--network", "none", "--name", "box", image, "sh", "-c", "echo begun; sleep 1000")
    both = [begin("start", "box") for _ in range(6)]
    assert [each.communicate(timeout=PATIENCE)[0] for each in both] == ["box\n"] * 6
    wait_until(lambda: words_of("box"))
    assert words_of("box") == "begun\n"


def test_the_record_is_plain_json(image):
    id = made("--name", "box", "-e", "A=1", "--memory", "64m", image, "sleep", "1000")
    with open(f"{paths.container_data(id)}/container.json") as file:
        values = json.load(file)
    assert values["name"] == "box" and values["args"] == ["sleep", "1000"] and values["settings"]["memory"] == "64m"


def test_several_are_stopped_and_removed_at_once_and_reported_in_order(image, tmp_path):
    """Each ends only when all have got the signal; one after the other they would be killed."""
    names = [f"box{number}" for number in range(5)]
    end = "touch /asked/$NAME; while [ $(ls /asked | wc -l) -lt 5 ]; do sleep 0.05; done; exit 7"
    for name in names:
        flags = ["--name", name, "-e", f"NAME={name}", "-v", f"{tmp_path}:/asked"]
        made(*flags, image, "sh", "-c", f"trap '{end}' TERM; echo ready; while :; do sleep 0.05; done")
        wait_until(lambda name=name: minict("logs", name).stdout == "ready\n")
    done = minict("stop", "-t", "100", *names, "nobody")
    assert (done.stdout.split(), done.returncode) == (names, 1) and "nobody" in done.stderr
    assert [Record.find(name).exit_code for name in names] == [7] * 5
    done = minict("rm", *names, "nobody")
    assert (done.stdout.split(), done.returncode) == (names, 1)
    assert containers() == []


@pytest.mark.parametrize("words", [["rm"], ["wait"], ["stop"], ["volume", "rm"], ["network", "rm"], ["rmi"]])
def test_each_wrong_name_is_reported_and_the_others_are_handled(image, words):
    """The status is 1, as Docker's; 125 is for run alone."""
    made = {
        "volume": ["volume", "create", "good"],
        "network": ["network", "create", "good"],
        "rmi": ["tag", image, "good"],
    }
    assert minict(*made.get(words[0], ["create", "--name", "good", "--network", "none", image, "true"])).returncode == 0
    try:
        done = minict(*words, "bad1", "good", "bad2")
        assert done.returncode == 1 and len(done.stdout.splitlines()) == 1, done
        assert [line.split()[:3] + line.split()[4:5] for line in done.stderr.splitlines()] == [
            ["minict:", "no", "such", f"{name};"] for name in ("bad1", "bad2")
        ], done.stderr
    finally:
        minict("rm", "good")


def test_pause_waits_for_a_start(image):
    """Otherwise the starting process would wait forever for its frozen child, and every other command for the lock."""
    minict("create", "--name", "box", "--network", "none", image, "sleep", "1000")
    for _ in range(4):
        everybody = [begin(word, "box") for word in ("start", "pause", "pause", "pause", "unpause")]
        statuses = [each.wait(timeout=30) for each in everybody]
        assert statuses[0] == 0
        for each in everybody:
            each.communicate()
        minict("unpause", "box")
        assert minict("stop", "-t", "0", "box").returncode == 0


def test_no_id_begins_like_an_address(monkeypatch):
    """``hostname -i`` in a container called 044427226704 would not look into /etc/hosts: that is a number."""
    numbers = [bytes.fromhex(digits + "00" * 26) for digits in ("044427226704", "04442722670a")]
    monkeypatch.setattr(os, "urandom", lambda size: numbers.pop(0))
    assert names.new_id()[:12] == "04442722670a"
