"""Control groups that systemd creates: ``make test-systemd``, in User Mode Linux with systemd."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from minict.engine.images.image import Image
from minict.lab.ociruntime import plain_program
from minict.runtime import paths
from minict.runtime.systemd import slices
from tests.engines.comparison import RUNTIMES, Session, Undertaker, titles
from tests.support.command_line import wait_until
from tests.support.oci import Runtime, oci  # noqa: F401

TOP = "/sys/fs/cgroup"


def show(unit: str, *names: str) -> list[str]:
    """Properties of a unit, in the order of *names*."""
    words = ["systemctl", "show", unit, *(f"--property={name}" for name in names)]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    values = dict(line.split("=", 1) for line in told.splitlines())
    return [values[name] for name in names]


class Managed:
    """A container whose scope is in slices of the test's own."""

    def __init__(self, runtime: Runtime) -> None:
        self.oci, self.slice = runtime, f"{paths.cgroup_parent()}.slice"
        self.unit = f"engine-{paths.cgroup_parent()}.scope"
        self.path = "/" + "/".join([*slices(self.slice), self.unit])
        runtime.words.append("--systemd-cgroup")
        runtime.linux["cgroupsPath"] = f"{self.slice}:engine:{paths.cgroup_parent()}"

    def file(self, name: str) -> str:
        with open(f"{TOP}{self.path}/{name}") as file:
            return file.read().strip()

    def limits(self) -> list[str]:
        return [self.file(name) for name in ("memory.max", "pids.max", "cpu.max", "cpu.weight")]

    def is_gone(self) -> bool:
        return show(self.unit, "LoadState") == ["not-found"] and not os.path.exists(TOP + self.path)


@pytest.fixture
def managed(oci):
    yield Managed(oci)
    for id in oci.do("list", "--quiet").split():
        oci("delete", "--force", id)
    subprocess.run(["systemctl", "stop", slices(f"{paths.cgroup_parent()}.slice")[-1]], check=True)


RESOURCES = {
    "memory": {"limit": 64 << 20},
    "pids": {"limit": 20},
    "cpu": {"quota": 50000, "period": 100000, "shares": 512},
}


def test_a_container_is_in_a_scope_with_its_limits_and_both_are_gone_with_it(managed):
    managed.oci.linux["resources"] = RESOURCES
    managed.oci.begin("sleep", "1000")
    pid = managed.oci.state()["pid"]
    with open(f"/proc/{pid}/cgroup") as file:
        assert file.read() == f"0::{managed.path}\n"
    assert managed.file("cgroup.procs") == str(pid), "nothing else is in it"
    assert show(managed.unit, "ActiveState", "Slice", "Delegate") == ["active", managed.slice, "yes"]
    assert managed.limits()[:3] == [str(64 << 20), "20", "50000 100000"]
    names = "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec", "CPUWeight"
    assert show(managed.unit, *names) == [str(64 << 20), "20", "500ms", managed.file("cpu.weight")]
    managed.oci.do("kill", "box", "KILL")
    managed.oci.stopped()
    managed.oci.do("delete", "box")
    managed.oci.begin("sleep", "1000")  # at once again, whether or not systemd has noticed the end of the first
    managed.oci.do("delete", "--force", "box")
    wait_until(managed.is_gone)


def test_limits_and_updates_outlive_a_reload_of_systemd(managed):
    managed.oci.linux["resources"] = RESOURCES
    managed.oci.begin("sleep", "1000")
    for words in ([], ["--memory", "70m", "--pids-limit", "30", "--cpu-quota", "-1"]):
        if words:
            managed.oci.do("update", *words, "box")
        before = managed.limits()
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        assert managed.limits() == before
    assert before[:3] == [str(70 << 20), "30", "max 100000"]


def test_one_process_may_be_the_limit(managed):
    managed.oci.linux["resources"] = {"pids": {"limit": 1}}
    assert managed.oci.run("exec cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids.current") == "1\n1"
    wait_until(managed.is_gone)


def test_exec_joins_the_scope(managed):
    with Undertaker():  # a pid namespace ends when somebody has waited for what exec began
        managed.oci.begin("sleep", "1000")
        words = ["exec", "--detach", "box", "sleep", "1001"]
        managed.oci.do(*words, capture_output=False, start_new_session=True)
        assert len(managed.file("cgroup.procs").split()) == 2
        managed.oci.do("delete", "--force", "box")
        wait_until(managed.is_gone)


def test_without_a_path_the_scope_is_named_after_the_container(managed):
    del managed.oci.linux["cgroupsPath"]
    id = paths.cgroup_parent()
    managed.oci.begin("sleep", "1000", id=id)
    assert show(f"minict-{id}.scope", "ActiveState", "Slice") == ["active", "system.slice"]
    managed.oci.do("delete", "--force", id)
    wait_until(lambda: show(f"minict-{id}.scope", "LoadState") == ["not-found"])


def test_a_scope_belongs_to_one_container(managed):
    managed.oci.begin("sleep", "1000")
    managed.oci.bundle.load("true")
    managed.oci.refused("create", "second", told="is not empty")
    managed.oci.linux["cgroupsPath"] = f"system.slice:engine:{paths.cgroup_parent()}"
    managed.oci.bundle.load("true")
    managed.oci.refused("create", "second", told="already")  # in the words of systemd
    assert show(managed.unit, "ActiveState") == ["active"]


def test_names_that_systemd_cannot_have(managed):
    for path in ("/absolute", "a.slice:b", "noslice:b:c", "a--b.slice:c:d", "a.slice:b:", "a.slice:b:c.slice"):
        managed.oci.linux["cgroupsPath"] = path
        managed.oci.bundle.load("true")
        managed.oci.refused("create", "box", told="linux.cgroupsPath")
    assert managed.oci.do("list", "-q") == ""


def test_a_creator_that_is_killed_leaves_no_scope(managed):
    managed.oci.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"]}]}
    managed.oci.bundle.load("true")
    assert managed.oci("create", "box", start_new_session=True).returncode == -9
    managed.oci.do("delete", "--force", "box")
    wait_until(managed.is_gone)


# ---- Podman, whose cgroup manager is systemd by default -----------------------------------------------------------

OPTIONS = "--network none"
SCRIPT = """
run --rm OPTIONS -m 64m --pids-limit 20 --cpus 0.5 tiny sh -c 'cd /sys/fs/cgroup; cat memory.max pids.max cpu.max'
run -d --name a OPTIONS tiny sh -c 'trap "exit 3" TERM; echo up; while :; do sleep 0.05; done'
* exec a sh -c 'kill -0 1'
$ sed 's/libpod-.*scope/SCOPE/' /proc/$(ENGINE inspect --format '{{.State.Pid}}' a)/cgroup
$ systemctl show --property=Slice --property=ActiveState --property=Delegate libpod-$(ENGINE inspect --format '{{.Id}}' a).scope
exec a sh -c 'cat /proc/self/cgroup; exit 4'
update --memory 70m a
exec a cat /sys/fs/cgroup/memory.max
pause a
ps -a --format '{{.Names}} {{.State}}'
unpause a
stop a
ps -a --format '{{.Names}} {{.ExitCode}}'
rm a
* $ systemctl list-units --all --plain --no-legend 'libpod-*' | wc -l | grep -x 0
"""


@pytest.fixture(scope="module")
def podman(image) -> dict[str, dict[str, tuple[int, str]]]:
    """runtime -> line -> (exit status, output)."""
    found = {}
    for runtime in RUNTIMES:
        place = f"{paths.data_root()}/{runtime}"
        os.makedirs(place)
        words = ["podman", "--root", f"{place}/storage", "--runroot", f"{place}/run", "--tmpdir", f"{place}/tmp"]
        words += ["--cgroup-manager", "systemd", "--events-backend", "none"]
        words += ["--runtime", plain_program(place) if runtime == "minict" else shutil.which("runc")]
        archive = shutil.make_archive(f"{place}/image", "tar", Image.find(image).layers[0])
        try:
            subprocess.run([*words, "import", archive, "tiny"], check=True, capture_output=True)
            info = subprocess.run([*words, "info", "--format", "json"], check=True, capture_output=True).stdout
            assert json.loads(info)["host"]["cgroupManager"] == "systemd"
            found[runtime] = Session(words, {"OPTIONS": OPTIONS, "ENGINE": " ".join(words)}).run(SCRIPT)
        finally:
            subprocess.run([*words, "rm", "-f", "-t", "0", "-a"], capture_output=True)
            subprocess.run(["umount", "-R", "-l", f"{place}/storage/overlay"], capture_output=True)
            shutil.rmtree(place)
    return found


@pytest.mark.parametrize("line", titles(SCRIPT))
def test_podman_does_the_same_with_systemd(podman, line):
    assert podman["minict"][line] == podman["runc"][line]
    assert line[0] != "*" or not podman["minict"][line][0], "the state has never come"
