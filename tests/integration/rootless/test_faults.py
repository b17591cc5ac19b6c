"""What ends at the wrong moment: the keeper, a monitor, everything at a reboot; two commands at once; a second login."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest

from minict.runtime.state import begin_time
from tests.support.command_line import wait_until
from tests.support.in_child import forked
from tests.support.ordinary_user import UID
from tests.support.registry_server import free_port

from .test_network import SERVE, ask


def kill(pid: int) -> None:
    """Kill the process, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: begin_time(pid) is None)


def namespaces(ada) -> str:
    return ada.output("unshare", "readlink", "/proc/self/ns/user", "/proc/self/ns/mnt")


def test_containers_outlive_the_keeper_and_the_next_one_is_in_the_same_namespaces(ada):
    port = free_port()
    ada.output("run", "-d", "--name", "web", "-p", f"{port}:80", "tiny", "sh", "-c", SERVE)
    wait_until(lambda: ask("127.0.0.1", port) == b"served\n")
    before, first = namespaces(ada), ada.keeper
    kill(first)
    wait_until(lambda: ask("127.0.0.1", port) == b"served\n")
    assert ada.output("exec", "web", "echo", "there") == "there"
    assert namespaces(ada) == before and ada.keeper != first
    second = free_port()
    ada.output("run", "-d", "--name", "next", "-p", f"{second}:80", "tiny", "sh", "-c", SERVE)
    wait_until(lambda: ask("127.0.0.1", second) == b"served\n")
    address = ada.output("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "web")
    assert ada.run(f"until nc {address} 80 < /dev/null 2> /dev/null | grep served; do :; done") == "served"


def test_a_killed_keeper_without_containers_leaves_nothing(ada):
    before, first = namespaces(ada), ada.keeper
    kill(first)
    assert namespaces(ada) != before and ada.keeper != first
    assert ada.run("echo works") == "works"


@pytest.mark.parametrize("moment", ["monitor", "everything"])
def test_a_killed_monitor_takes_its_container_along_and_prune_the_rest(ada, moment):
    ada.output("run", "-d", "--name", "one", "-p", str(free_port()), "tiny", "sleep", "1000")
    pid = int(ada.output("inspect", "--format", "{{.State.Pid}}", "one"))
    with open(f"/proc/{pid}/stat") as file:
        monitor = int(file.read().rpartition(")")[2].split()[1])
    kill(monitor)
    if moment == "everything":
        ada.kill_all()
    wait_until(lambda: begin_time(pid) is None)
    assert "removed" in ada.output("prune")
    assert "Exited (137)" in ada.output("ps", "-a")
    assert ada.output("start", "one") == "one"
    assert ada.output("rm", "-f", "one") == "one"


def test_two_first_commands_at_once_make_one_set_of_namespaces(ada):
    words = ada.words(*ada.program, "unshare", "readlink", "/proc/self/ns/user", "/proc/self/ns/mnt")
    started = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ada.home) for _ in range(4)]
    said = {process.communicate()[0] for process in started}
    assert len(said) == 1 and not [process for process in started if process.returncode]


def test_a_second_login_sees_the_same_containers(ada):
    """By ssh, with its own session and environment."""
    ada.output("run", "-d", "--name", "one", "--network", "none", "tiny", "sleep", "1000")
    done = subprocess.run(
        ["setsid", *ada.words(*ada.program, "ps", "--format", "{{.Names}}")], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("one\n", "")


def test_a_reboot_loses_what_ran_and_nothing_else(ada):
    ada.output("volume", "create", "data")
    ada.output(
        "run", "-d", "--name", "one", "-v", "data:/data", "tiny", "sh", "-c", "echo kept > /data/word; sleep 1000"
    )
    ada.output("run", "-d", "--name", "gone", "--rm", "tiny", "sleep", "1000")
    wait_until(lambda: ada.output("exec", "one", "cat", "/data/word") == "kept")
    ada.kill_all()
    shutil.rmtree(f"{ada.runtime}/minict")
    assert "removed" in ada.output("prune")
    assert ada.output("ps", "-a", "--format", "{{.Names}}") == "one"
    assert ada.output("start", "one") == "one"
    assert ada.output("exec", "one", "cat", "/data/word") == "kept"
    assert ada.output("rm", "-f", "one") == "one" and ada.output("volume", "rm", "data") == "data"


def test_a_state_directory_of_somebody_else_is_not_used(ada):
    """Without a login by systemd the state is in /tmp, where others might have been first."""
    place, shelter = f"/tmp/minict-{UID}", dict(ada.environment)
    del ada.environment["XDG_RUNTIME_DIR"]
    os.mkdir(place)
    try:
        done = ada.minict("images")
        assert done.returncode == 1 and f"{place} is not a private directory of yours" in done.stderr
        os.chmod(place, 0o700)
        os.chown(place, UID, UID)
        assert "tiny" in ada.output("images")
        ada.output("unshare", "--stop")
    finally:
        ada.environment = shelter
        shutil.rmtree(place)


def test_a_machine_that_allows_no_user_namespaces_is_told_from_one_that_does(ada):
    def sentence() -> str:
        from minict.kernel import namespaces as ns

        made, tell = os.pipe()
        wait, go = os.pipe()
        said, say = os.pipe()
        pid = os.fork()
        if pid == 0:  # a user namespace in which no other may be made
            try:
                ns.unshare(ns.CLONE_NEWUSER)
                os.write(tell, b"x")
                os.read(wait, 1)
                with open("/proc/sys/user/max_user_namespaces", "w") as file:
                    file.write("0")
                os.dup2(say, 2)
                os.execvp("setpriv", ada.words(*ada.program, "images"))
            finally:
                os._exit(99)
        os.read(made, 1)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{pid}/{name}", "w") as file:
                file.write("0 0 4294967295")
        os.write(go, b"x")
        os.close(say)
        with open(said) as text:
            return f"{text.read()}{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}"

    told = forked(sentence)
    assert "the kernel refuses namespaces to this user (No space left on device): an administrator runs" in told
    assert "user.max_user_namespaces" in told and told.endswith("\n1")
