"""Chapter 19: minict-oci with a learner's functions in it, Podman that calls it, and what the pictures are drawn from."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time

import pytest

from minict.lab import callers, engines, host, ociruntime
from minict.lab import podman as engine
from minict.lab.daemons import Enclosure
from minict.lab.exercise import exercises
from minict.lab.ociruntime import Bundle, MyRuntime, smallest
from minict.lab.podman import Absent, Podman
from minict.lab.scenario import judge, scenarios
from minict.runtime.errors import ContainerError
from tests.support.notebook_kernel import Kernel
from tests.support.notebook_rules import Page
from tests.support.paths import ROOT

REFUSES = 'def check_version(version):\n    raise ContainerError("not on a Sunday")\n'


@pytest.fixture
def mine(tiny):
    runtime = MyRuntime()
    yield runtime
    runtime.close()


@pytest.fixture
def bundle(tiny):
    bundle = Bundle(smallest(["sh", "-c", "echo hello; exit 3"]))
    yield bundle
    bundle.remove()


@pytest.fixture
def podman(tiny):
    podman = Podman()
    podman.add_image("tiny")
    yield podman
    podman.close()


# ---- the runtime -----------------------------------------------------------------------------------------------------


def test_the_four_statuses_of_a_container(mine, bundle):
    assert mine(f"create --bundle {bundle} box").status == 0 and mine.state("box")["status"] == "created"
    assert mine("start box").status == 0 and mine.wait("box") == "hello\n"
    assert mine.state("box")["pid"] == 0 and mine("delete box").status == 0
    told = mine("state box")
    assert told.status == 1 and "does not exist" in told.output


def test_calls_and_counts(mine, bundle):
    assert mine(f"run --bundle {bundle} box").status == 3
    (call,) = mine.calls
    assert (call.command, call.status) == ("run", 3) and call.began < call.ended
    assert call.spec["process"]["args"][0] == "sh" and repr(call).endswith("minict-oci --root … run --bundle … box")
    counts = mine.counts
    assert counts["pivot-1"] == counts["private-1"] == counts["oci-2"] == 1, "those of the child count, too"
    assert counts["oci-3"] == 0 and mine.spec == call.spec
    mine.forget_calls()
    assert mine.calls == [] and set(mine.counts.values()) == {0} and mine.spec == {}


def test_a_function_is_used_as_long_as_it_is_put_in(mine, bundle):
    with mine.instead("oci-2", REFUSES):
        told = mine(f"run --bundle {bundle} box")
    assert (told.status, told.output) == (1, "not on a Sunday\n")
    assert mine(f"run --bundle {bundle} box").status == 3


def test_only_answers_that_stand_alone_leave_their_notebook(mine, monkeypatch):
    alone = '@exercise("oci-2")\ndef check_version(version):\n    os.getpid(), json.dumps(version), ContainerError\n'
    task = exercises()["oci-2"]
    assert ociruntime.unknown_names(task, alone) == set()
    assert ociruntime.unknown_names(task, f"{alone}    helper(version)\n") == {"helper"}
    for source, file in ((alone, "check_version.py"), (f"{alone}    helper(version)\n", "")):
        monkeypatch.setattr(ociruntime, "my_sources", lambda source=source: {"oci-2": source})
        entries = {entry["name"]: entry["file"] for entry in mine.refresh()}
        assert entries["check_version"] == file
    with open(f"{mine.directory}/check_version.py") as file:
        assert "@exercise" not in file.read()


def test_a_passed_function_is_called_at_once(tiny):
    task = exercises()["oci-2"]
    with Kernel() as kernel:
        kernel.run(f"{task.imports}\nfrom minict.lab.ociruntime import *\nfrom minict.lab.ociruntime import my_runtime")
        kernel.run("mine = my_runtime(); bundle = Bundle({**smallest(['true']), 'ociVersion': '7.0.0'})")
        theirs = task.solution.replace('f"ociVersion is', 'f"I read')
        assert "YOUR" in kernel.run(f'@exercise("oci-2")\n{theirs}')
        told = kernel.run("print(mine(f'run --bundle {bundle} box'), mine)\nmine.close(); bundle.remove()")
    assert "I read '7.0.0'" in told


# ---- Podman ------------------------------------------------------------------------------------------------------------


def test_podman_goes_through_the_functions_and_shows_their_errors(podman, mine):
    told = podman(f"--runtime {mine} run --rm tiny sh -c 'echo hello; exit 3'")
    assert (told.status, told.output) == (3, "hello\n")
    assert [call.command for call in mine.calls] == ["create", "start", "delete"]
    assert mine.calls[0].caller == "conmon" and mine.counts["oci-3"] == mine.counts["pivot-1"] == 1
    assert mine.roll_call().sentence == repr(mine.roll_call())[10:-1]
    with mine.instead("oci-2", REFUSES):
        told = podman(f"--runtime {mine} run --rm tiny true")
    assert told.status == 126 and told.output == "Error: OCI runtime error: minict-oci: not on a Sunday\n"


def test_podman_leaves_nothing(tiny):
    places = ("/run", "/dev/shm", "/var/lib")
    before = {place: sorted(os.listdir(place)) for place in places}
    podman = Podman()
    podman.add_image("tiny")
    assert podman("--runtime runc run --detach --name box tiny sleep 1000").status == 0
    assert podman.monitor("box") and podman.monitor("nobody") is None
    podman.close()
    assert {place: sorted(os.listdir(place)) for place in places} == before
    assert not os.path.exists(podman.place) and podman.closed
    assert host.cgroup_trees() == []


def test_the_notebook_runs_without_engines(tiny):
    page = Page(f"{ROOT}/notebooks/19-the-real-thing.ipynb")
    hidden = "import shutil; which = shutil.which; shutil.which = lambda name, *more, **options: None if name in "
    hidden += "('podman', 'runc', 'crun', 'dockerd') else which(name, *more, **options)"
    with Kernel(hello=None, time_limit=120) as kernel:
        assert kernel.cell(hidden).outputs == []
        outputs = [output for cell in page.code for output in kernel.cell(cell.source).outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    for told in ("Podman is not on this machine", "Docker or containerd is not on this machine"):
        lines = [output.text for output in outputs if told in output.get("text", "")]
        assert len(lines) == 1 and lines[0].count("\n") == 1
    assert "left no trace on the host" in str(outputs)


# ---- containerd and Docker -------------------------------------------------------------------------------------------


@pytest.fixture
def pair(mine):
    ctr, docker = engines.open_engines(mine)
    yield ctr, docker
    ctr.close()


def test_two_engines_share_a_containerd_and_go_through_the_functions(pair, mine):
    ctr, docker = pair
    again = engines.open_engines(mine)
    assert again == pair and ctr.daemons() == ["containerd"] and docker.daemons() == ["dockerd", "containerd"]
    lines = {ctr: f"run --rm --runc-binary {mine} tiny box", docker: "run --rm --runtime minict tiny"}
    for call, line in lines.items():
        told = call(f"{line} sh -c 'echo hello; exit 3'")
        assert (told.status, told.output) == (3, "hello\n")
        with mine.instead("oci-2", REFUSES):
            told = call(f"{line} true")
        assert told.status and "not on a Sunday" in told.output
    found = mine.bundles
    assert list(found) == ["containerd", "Docker"] and mine.counts["oci-3"] == 2
    assert {call.caller for call in found.values()} == {"containerd-shim"}
    assert {call.spec["root"]["path"] == "rootfs" for call in found.values()} == {True, False}
    assert all("config.json" in call.files and call.bundle for call in found.values())
    assert all(call.spec["linux"]["cgroupsPath"].startswith(f"/{ctr.enclosure.group}/") for call in found.values())


def test_no_daemon_is_above_a_container(pair, mine, podman):
    ctr, docker = pair
    assert podman(f"--runtime {mine} run --detach --name box tiny sleep 1000").status == 0
    assert ctr(f"run --detach --runc-binary {mine} tiny box sleep 1000").status == 0
    assert docker("run --detach --runtime minict --name box tiny sleep 1000").status == 0
    picture = callers.ancestors({"Podman": podman, "containerd": ctr, "Docker": docker})
    shim = "containerd-shim-runc-v2"
    assert picture.sentence.endswith(f"Podman: conmon, containerd: {shim}, Docker: {shim}")
    table = host.process_table()
    for each in (ctr, docker):
        pid = each.pid("box")
        assert table[pid].name == "sleep" and each.pid("nobody") == 0
        assert table[table[pid].parent].parent == ctr.enclosure.init
    assert list(mine.bundles) == ["Podman", "containerd", "Docker"]
    facts = {name: callers._facts(call) for name, call in mine.bundles.items()}
    assert facts["containerd"]["root.path"] == "rootfs" and facts["containerd"]["annotations"] == "none"
    assert facts["Podman"]["the bundle"] == "…/overlay-containers/ID/userdata"
    assert callers.look_into(mine.bundles).width == callers.look_into({}).width


NOTEBOOK = """
import os
from minict.lab.ociruntime import my_runtime
from minict.lab.engines import open_engines
mine = my_runtime()
ctr, docker = open_engines(mine)
assert docker("run --detach --runtime minict tiny sleep 1000").status == 0
assert ctr(f"run --detach --runc-binary {mine} tiny box sleep 1000").status == 0
print(os.getpid(), ctr.enclosure.init, ctr.enclosure.place, ctr.enclosure.group)
"""


def test_the_daemons_end_with_a_kernel_that_is_killed(tiny):
    with Kernel() as kernel:
        pid, init, place, group = kernel.run(NOTEBOOK).split()
        table = host.process_table()
        names = {table[each].name for each in host.descendants(table, int(pid))}
        assert {"dockerd", "containerd", "containerd-shim", "sleep"} <= names
        os.kill(int(pid), signal.SIGKILL)
    end = time.monotonic() + 60
    while os.path.exists(place) or os.path.exists(f"/proc/{init}"):
        assert time.monotonic() < end, "it is still there"
        time.sleep(0.05)
    assert not [tree for tree in host.cgroup_trees() if os.path.exists(f"{tree}/{os.path.basename(group)}")]


def test_an_interrupt_leaves_no_daemon_that_is_half_started(mine, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engines, "_opened", None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(engines, "add_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engines.open_engines(mine)
    assert os.listdir(tmp_path) == []


def test_what_a_daemon_says_before_it_ends(tiny):
    with Enclosure() as enclosure:
        with pytest.raises(ContainerError, match="sh does not start: no luck"):
            enclosure.start(["sh", "-c", "echo no luck; exit 1"], "/run/nothing")
        assert enclosure.running() == [] and enclosure.on_the_host(10**6) == 0
        assert enclosure.on_the_host(1) == enclosure.init
        written = enclosure.write("file", "text")
        assert enclosure.run("cat", written, stdin=None, capture_output=True).stdout == b"text"
        enclosure.run("sh", "-c", "touch /etc/by-minict /run/by-minict", check=True)
    assert not os.path.exists("/etc/by-minict") and not os.path.exists("/run/by-minict")


# ---- the pictures ------------------------------------------------------------------------------------------------------


def test_the_relay_is_in_order(podman, mine):
    relay = callers.relay(podman, mine)
    bars = {name: (begin, end) for _, name, begin, end in relay.bars}
    assert bars["create"][1] <= bars["start"][0] < bars["start"][1] <= bars["delete"][0]
    assert bars["podman run --detach"][1] < bars["conmon"][1] and bars["sleep"][1] < bars["conmon"][1]
    assert "minict-oci" in relay.draw(int(bars["create"][0]) + 1) and relay.end == bars["conmon"][1]


def test_what_is_counted_in_a_specification():
    rules = [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["bpf"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["write"], "action": "SCMP_ACT_ALLOW"},
    ]
    spec = {**smallest(["true"]), "linux": {"maskedPaths": ["/a"], "seccomp": {"syscalls": rules}}}
    found = callers._summary(spec)
    assert (found["system calls allowed"], found["masked paths"], found["mounts"], found["namespaces"]) == (2, 1, 1, 0)


def test_the_verdicts_and_the_stopwatch(bundle, monkeypatch):
    seen = {}
    monkeypatch.setattr(callers, "_draw_verdicts", lambda names, table: seen.update(table))
    monkeypatch.setattr(callers, "_TRIES", 1)
    bundle.write(smallest(["true"]))
    callers.verdicts(bundle, Absent())
    refused = [mistake for mistake, verdicts in seen.items() if verdicts[-1] == "refuses it"]  # minict-oci is the last
    assert refused == ["ociVersion 9.0.0", "no ociVersion", "no root", 'a memory limit of "64m"']
    assert seen["an unknown capability, CAP_FLY"][-1] == "warns, and runs it"
    assert callers.stopwatch(bundle, Absent()).width
    assert callers.run_by("nosuch", bundle, Absent()) == "is not on this machine"
    assert callers.run_by("minict-oci", bundle, Absent()) == ""


@pytest.mark.parametrize("last", ["delete", "delete night-job", "delete --force"])
def test_the_night_job_may_be_repaired_with_or_without_its_name(tiny, last):
    task = scenarios()["night"]
    office = task.start()
    try:
        office.oci("delete night-job")
        office.calls.append(last)
        assert judge(task, office) == ""
        office.calls = ["run"]
        assert judge(task, office) == ""
    finally:
        task.end(office)


def test_a_machine_without_podman_says_so_once(monkeypatch, capsys):
    monkeypatch.setattr(engine, "_opened", None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    first = engine.open_podman()
    assert engine.open_podman() is first and first("run tiny true").status == 0 and first.monitor("box") is None
    assert capsys.readouterr().out.count("sudo apt install podman") == 1
    first.close()
    assert callers.Relay([]).picture().sentence
