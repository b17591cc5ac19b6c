"""Killed at any instant: ``minict prune`` releases everything that a container has taken, and nothing else."""

from __future__ import annotations

import glob
import os
import signal
import subprocess
import sys
import time

import pytest

import minict as package
from minict.engine.system.prune import prune
from minict.kernel import mount
from minict.lab import host
from minict.runtime import files, paths, state
from minict.runtime.cgroup import Cgroup
from tests.support.command_line import (
    PATIENCE,
    begin,
    containers,
    interrupted,
    minict,
    output,
    run,
    wait_until,
)
from tests.support.kill_at_step import Doomed, bury, chosen

COMMAND = [
    "--hostname",
    "doomed",
    "--name",
    "doomed",
    "--memory",
    "64m",
    "--user",
    "nobody",
]  # to change the user is to lose PDEATHSIG


class Life(Doomed):
    """A ``minict run`` that stops at a *step* of its child.  Its command leaves a file behind as a witness."""

    def __init__(self, image: str, step: str | None, *flags: str):
        super().__init__(
            "child", step, "run", "--rm", "--network", "none", *flags, *COMMAND, image, "touch", "/tmp/alive"
        )

    def kill_parent(self) -> bool:
        """Kill the command while its child is at the step; return whether the container's command was executed
        nevertheless."""
        os.kill(self.pid, signal.SIGKILL)
        while state.begin_time(self.pid):
            time.sleep(0.001)
        self.end()
        return bool(glob.glob(f"{paths.data_root()}/containers/*/upper/tmp/alive"))


def steps(image: str, *flags: str) -> list[list[str]]:
    """The steps of the child in a run without a fault."""
    one = Life(image, None, *flags)
    one.end()
    assert one.status == 0, "its command can't leave the witness"
    return one.points


@pytest.mark.parametrize("flags", [(), ("--userns", "private")], ids=["root's", "users of its own"])
def test_parent_killed_at_any_step_of_the_child(image, flags):
    """The child notices, and does not execute its command."""
    wrong, found = [], chosen(steps(image, *flags))
    prune()
    before = host.snapshot()
    for id, name, _ in found:
        one = Life(image, id, *flags)
        if not one.points:
            wrong.append(f"{id} {name}: was never reached")
        if one.kill_parent():
            wrong.append(f"{id} {name}: the command was executed without a parent")
        prune()
        wrong += [f"{id} {name}: {left}" for left in host.settle(before, PATIENCE, bury)]
        if again := prune():
            wrong.append(f"{id} {name}: the second prune found {again}")
    assert len(found) > 10 and wrong == []


def test_afterwards_a_new_container_takes_the_same_name(image):
    one = Life(image, steps(image)[-1][0])
    one.kill_parent()
    bury()
    assert containers() != []
    assert run(image, "true", flags=["--name", "doomed"]).returncode == 0, "taking the name cleans up"
    assert containers() == []


# ---- killed while it runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_killed_while_the_container_runs(image, network):
    before = host.snapshot()
    one = begin("run", "--rm", "--network", network, *COMMAND, image, "sh", "-c", "sleep 1000 & echo ready; sleep 1000")
    assert one.stdout.readline() == "ready\n"
    assert interrupted(one, signal.SIGKILL) == -9
    assert [line for line in prune() if line.startswith("container")]
    assert host.settle(before, PATIENCE, bury) == []


def test_the_owner_of_a_zygote_is_killed(image):
    code = (
        f"import minict, threading, time; threading.Thread(target=time.sleep, args=[1000], daemon=True).start()\n"
        f"those = [minict.run({image!r}, 'sleep 1000', detach=True, network='none') for _ in range(3)]\n"
        f"print(*[each.pid for each in those], flush=True); time.sleep(1000)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pids = list(map(int, owner.stdout.readline().split()))
    children = [pid for pid, each in host.process_table().items() if each.parent == owner.pid]
    assert set(pids) < set(children) and len(children) == 4, "three containers and the zygote"
    interrupted(owner, signal.SIGKILL)
    wait_until(lambda: all(state.begin_time(pid) is None for pid in children))
    assert len(prune()) == 3
    bury()


def test_a_stopped_process_inside_is_ended_too(image):
    one = begin("run", "--rm", "--network", "none", image, "sh", "-c", "sleep 1000 & kill -STOP $!; echo ready; wait")
    one.stdout.readline()
    interrupted(one, signal.SIGKILL)
    assert len(prune()) == 1
    bury()


def test_a_frozen_container_is_released_too(image):
    one = begin("run", "--rm", "--network", "none", image, "sh", "-c", "echo ready; sleep 1000")
    one.stdout.readline()
    Cgroup(f"/{paths.cgroup_parent()}/{containers()[0]}").freeze()
    one.kill()
    one.wait()
    assert len(prune()) == 1
    one.communicate()
    bury()


# ---- prune touches nothing of the living ---------------------------------------------------------------------------


def test_prune_spares_running_containers(image, bridge):
    script = (
        "echo ready; read line; ip -4 -o addr show eth0 | wc -l; ping -c 1 -W 2 10.210.0.1 >/dev/null && echo $line"
    )
    living = begin(
        "run", "--rm", "-i", "--name", "living", "--memory", "64m", image, "sh", "-c", script, stdin=subprocess.PIPE
    )
    assert living.stdout.readline() == "ready\n"
    ours = package.run(image, "sleep 1000", detach=True, network="none", name="ours")
    dead = begin("run", "--rm", "--name", "dead", image, "sh", "-c", "echo ready; sleep 1000")
    dead.stdout.readline()
    there = containers()
    interrupted(dead, signal.SIGKILL)
    removed = minict("prune").stdout.splitlines()
    assert len(removed) == 1 and removed[0].removeprefix("removed container ") in there
    assert minict("prune").stdout == ""
    assert sorted(os.listdir(f"{paths.data_root()}/names")) == ["living", "ours"]
    assert ours.status == "running" and ours.stats()
    assert living.communicate("still here\n", timeout=PATIENCE)[0] == "1\nstill here\n"
    ours.stop(timeout=0)
    bury()


def test_prune_harms_no_container_that_is_being_started(image):
    """A process that creates a container holds its lock from the first moment."""
    those = []
    for number in range(24):
        those.append(begin("run", "--rm", "--network", "none", image, "echo", str(number)))
        prune()
    while any(each.poll() is None for each in those):
        prune()
    assert [each.communicate() for each in those] == [(f"{number}\n", "") for number in range(24)]


def test_two_prunes_at_once(image):
    for _ in range(4):
        one = begin("run", "--rm", "--network", "none", "--init", image, "sh", "-c", "echo ready; sleep 1000")
        one.stdout.readline()
        interrupted(one, signal.SIGKILL)
    both = [begin("prune") for _ in range(4)]
    told = [each.communicate() for each in both]
    assert [(each.returncode, errors) for each, (_, errors) in zip(both, told, strict=True)] == [(0, "")] * 4
    assert len({line for lines, _ in told for line in lines.splitlines()}) == 4 and containers() == []
    bury()


def test_prune_says_nothing_when_there_is_nothing():
    done = minict("prune")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- a reboot ------------------------------------------------------------------------------------------------------


def test_after_a_reboot_only_files_are_left_and_prune_removes_them(image, bridge):
    """Processes, cgroups, links, rules and the state in /run are removed; files on the disk stay."""
    one = begin("run", "--rm", "--name", "before", image, "sh", "-c", "echo much > /file; echo ready; sleep 1000")
    one.stdout.readline()
    id = containers()[0]
    interrupted(one, signal.SIGKILL)
    bury()
    Cgroup(f"/{paths.cgroup_parent()}/{id}").remove()
    subprocess.run(["ip", "link", "del", "minict0"], check=True)
    subprocess.run(["nft", "delete", "table", "inet", "minict"], check=True)
    kept = f"{paths.run_root()}/seccomp"
    for name in os.listdir(paths.run_root()):
        if f"{paths.run_root()}/{name}" != kept:
            files.remove_tree(f"{paths.run_root()}/{name}")
    assert containers() == [id]
    assert minict("prune").stdout == f"removed container {id}\n"
    assert output(image, "hostname", "--hostname", "after", "--name", "before", network="bridge") == "after"


def test_files_that_a_container_made_hard_to_remove_are_removed(image, bridge):
    """Directories deeper than a path is long, odd names, files without permissions, links to the host."""
    script = (
        "cd /; i=0; while [ $i -lt 1500 ]; do mkdir ddddddddd; cd -P ddddddddd; i=$((i+1)); done; mkdir /locked; "
        "touch /locked/file; chmod 0 /locked /locked/file; ln -s / /root-of-all; ln -s /etc/passwd /passwd; "
        "touch '/a b\\n'; mkfifo /fifo; rm -r /home; mkdir /home; echo ready; sleep 1000"
    )
    one = begin("run", "--rm", "--network", "none", image, "sh", "-c", script)
    assert one.stdout.readline() == "ready\n"
    interrupted(one, signal.SIGKILL)
    assert minict("prune").returncode == 0
    assert containers() == [] and os.path.exists("/etc/passwd")
    bury()


def test_a_mount_in_a_containers_files_does_not_endanger_other_files(image, tmp_path):
    """An administrator has mounted something there: prune refuses, in a sentence, and continues with the others."""
    (tmp_path / "precious").write_text("mine")
    dead = []
    for _ in range(2):
        one = begin("run", "--rm", "--network", "none", image, "sh", "-c", "echo ready; sleep 1000")
        one.stdout.readline()
        interrupted(one, signal.SIGKILL)
    dead = containers()
    place = f"{paths.container_data(dead[0])}/upper"
    mount.mount(str(tmp_path), place, None, mount.MS_BIND)
    try:
        done = minict("prune")
        assert (tmp_path / "precious").read_text() == "mine"
        assert done.returncode == 1 and "something is mounted in it" in done.stderr and done.stderr.count("\n") == 1, (
            done
        )
        assert containers() == dead[:1], "the other one is gone"
    finally:
        mount.umount2(place)
    assert minict("prune").stdout == f"removed container {dead[0]}\n"
    bury()


def test_a_half_written_ledger_is_understood(image):
    """Killed in the middle of a write: its last line is ignored, because nothing had been taken yet."""
    broken = state.State("0123456789ab")
    broken.make()
    broken.add_to_ledger([("attached", 1)])
    with open(broken.path("ledger"), "a") as file:
        file.write("directory\t/et")
    broken.unlock()
    began = time.monotonic()
    assert prune() == ["container 0123456789ab"] and os.path.isdir("/etc")
    assert time.monotonic() - began < 5
