"""containerd's ctr with minict-oci as its runtime, beside runc: ``make test-containerd``."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil

import pytest

from minict.lab import engines, host
from minict.lab.daemons import Enclosure
from minict.lab.ociruntime import plain_program
from minict.runtime import paths
from tests.engines.comparison import RUNTIMES, Session, titles

SCRIPT = """
run --rm RUNTIME IMAGE c1 sh -c 'echo hello; id; pwd; exit 5'
run --rm RUNTIME IMAGE c2 sh -c 'env | sort'
~ run --rm RUNTIME IMAGE c3 nosuch
~ run --rm RUNTIME IMAGE c4 /etc
run --rm RUNTIME --cwd /tmp --env A=b IMAGE c5 sh -c 'pwd; echo $A'
run --rm RUNTIME --user 12:13 IMAGE c6 sh -c 'id; echo $HOME'
run --rm RUNTIME --read-only IMAGE c7 sh -c 'touch /x 2>/dev/null || echo no'
run --rm RUNTIME --memory-limit 64000000 --cpus 0.5 IMAGE c8 sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us || cat memory.max cpu.max'
run --rm RUNTIME IMAGE c9 grep -e Cap -e Seccomp: -e NoNew /proc/self/status
run --rm RUNTIME --seccomp IMAGE c10 grep Seccomp: /proc/self/status
run --rm RUNTIME --cap-add CAP_SYS_ADMIN --cap-drop CAP_CHOWN IMAGE c11 grep CapEff /proc/self/status
run --rm RUNTIME --privileged IMAGE c12 grep CapEff /proc/self/status
run --rm RUNTIME --mount type=bind,src=/usr/share/misc,dst=/m,options=rbind:ro IMAGE c13 sh -c 'ls -A /m | wc -l; touch /m/x 2>/dev/null || echo no'
run --rm RUNTIME --net-host IMAGE c14 ls /sys/class/net
~ run --rm RUNTIME --with-ns pid:/proc/1/ns/pid IMAGE c15 sh -c 'echo $$ | grep -c ^1$'
run --rm RUNTIME --device /dev/full IMAGE c16 sh -c 'stat -c %t:%T /dev/full'
run --rm RUNTIME --cgroup /PARENT/chosen IMAGE c17 sh -c 'grep -v name=systemd /proc/self/cgroup | grep -c chosen'
run --rm RUNTIME IMAGE c18 sh -c 'ls /proc/self/fd; cut -d" " -f1,2,3 /proc/mounts | grep -v -e overlay -e cgroup -e devtmpfs -e /proc/keys -e /proc/timer_list | sort'
run -d RUNTIME --cgroup /PARENT/box IMAGE box sh -c 'trap "exit 3" TERM; while :; do sleep 0.05; done'
* tasks exec --exec-id e0 box sh -c 'kill -0 1'
tasks exec --exec-id e1 box sh -c 'echo in; id -u; exit 4'
tasks exec --exec-id e2 --cwd /tmp --user 7 box sh -c 'pwd; id -u'
~ tasks exec --exec-id e3 box nosuch
$ENGINE tasks ls | tr -s ' ' | cut -d' ' -f1,3
tasks pause box
$ENGINE tasks ls | tr -s ' ' | cut -d' ' -f1,3 | cat
tasks resume box
$ENGINE tasks ps box | head -1 | tr -s ' '
$ENGINE tasks metrics box | grep -c pids.current
tasks kill box
* $ENGINE tasks ls | tr -s ' ' | cut -d' ' -f1,3 | grep STOPPED
tasks rm box
containers rm box
containers ls -q
"""

SMOKE = """
run --rm RUNTIME IMAGE c1 sh -c 'echo hello; id; exit 5'
~ run --rm RUNTIME IMAGE c2 nosuch
"""


def outputs(script: str, image: str) -> dict[str, dict[str, tuple[int, str]]]:
    """runtime -> line -> (exit status, output)."""
    found = {}
    for runtime in RUNTIMES:
        place = f"{paths.data_root()}/containerd-{runtime}"
        os.makedirs(place)
        try:
            with Enclosure() as enclosure:
                ctr = engines.containerd(enclosure)
                engines.add_image(image, ctr)
                binary = plain_program(place) if runtime == "minict" else shutil.which("runc")
                words = {
                    "IMAGE": image,
                    "RUNTIME": f"--runc-binary {binary} --runc-root {place}/runc",
                    "ENGINE": shlex.join(ctr.words()),
                    "PARENT": enclosure.group,
                }
                found[runtime] = Session(ctr.words(), words, enclosure.environment()).run(script)
                states = f"{place}/runc/default"
                left = sorted(os.listdir(states)) if os.path.isdir(states) else []
                found[runtime]["left"] = (0, " ".join(left))
        finally:
            shutil.rmtree(place)
            remove_default_groups()
    return found


def remove_default_groups() -> None:
    """Remove the control group in which ctr puts a container that names no other one, unless somebody uses it."""
    for entry in host.mount_table():
        if entry["type"] in ("cgroup", "cgroup2"):
            with contextlib.suppress(OSError):
                os.rmdir(f"{entry['point']}/default")


@pytest.fixture(scope="module")
def whole(image):
    return outputs(SCRIPT, image)


@pytest.mark.parametrize("line", titles(SCRIPT))
def test_ctr_prints_the_same(whole, line):
    assert whole["minict"][line] == whole["runc"][line]
    assert line[0] != "*" or not whole["minict"][line][0], "the state has never come"


def test_ctr_smoke(image):
    found = outputs(SMOKE, image)
    assert {**found["minict"], "left": ""} == {**found["runc"], "left": ""}
    assert [status for status, _ in found["runc"].values()][:1] == [5]
