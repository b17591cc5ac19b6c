"""Slurm on two nodes, whose jobs are OCI bundles: ``srun --container`` by minict-oci, beside runc: ``make test-slurm``."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import subprocess
import time

import pytest

from minict.engine.images.image import Image
from minict.lab import host
from minict.lab.ociruntime import plain_program, smallest
from minict.runtime import paths
from tests.engines.comparison import PATIENCE, RUNTIMES, Session, Undertaker, titles
from tests.engines.nodes import Node, connect
from tests.support.world import host_network

PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"]
NODES = {"node1": "10.78.0.1", "node2": "10.78.0.2"}  # the first one is the controller

CONFIGURATION = """
ClusterName=test
SlurmctldHost=node1(10.78.0.1)
SlurmUser=root
SlurmdUser=root
AuthInfo=socket=/run/munge/socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
PluginDir={plugins}
StateSaveLocation=/run/slurmctld
SlurmdSpoolDir=/run/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
ReturnToService=2
NodeName=node1 NodeHostname=node1 NodeAddr=10.78.0.1 State=UNKNOWN
NodeName=node2 NodeHostname=node2 NodeAddr=10.78.0.2 State=UNKNOWN
PartitionName=all Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
"""

# the lines of README.md, with a directory for the state that each node has for itself
OCI = """
RunTimeQuery="{runtime} --root=/run/oci state %n.%u.%j.%s.%t"
RunTimeRun="{runtime} --root=/run/oci run %n.%u.%j.%s.%t -b %b"
RunTimeKill="{runtime} --root=/run/oci kill -a %n.%u.%j.%s.%t"
RunTimeDelete="{runtime} --root=/run/oci delete --force %n.%u.%j.%s.%t"
"""

# A line without $ goes to srun. FIRST and SECOND are a shell on a node, BUNDLE the option for the bundle.
SCRIPT = """
-N2 hostname
-N2 BUNDLE sh -c 'echo hello; hostname; id; pwd; tr "\\0" " " </proc/1/cmdline; echo; exit 5'
-N2 BUNDLE sh -c 'echo node $SLURM_NODEID of $SLURM_JOB_NUM_NODES, task $SLURM_PROCID'
-N1 BUNDLE sh -c 'cat /proc/1/comm; grep -e Cap -e NoNew /proc/self/status; cut -d" " -f2,3 /proc/mounts'
-N1 BUNDLE sh -c 'touch /x 2>/dev/null || echo read only; ulimit -c; ls /proc/self/fd'
-N1 BUNDLE sh -c 'echo to stderr >&2; sh -c "kill -9 \\$\\$"; echo $?'
$ FIRST 'srun -Q -N1 BUNDLE nosuch 2>&1' | grep -o 'executable file not found in $PATH'
$ FIRST 'srun -Q -N1 --container=/run/nowhere true 2>&1' | grep -c .
$ FIRST 'echo text | srun -Q -N1 BUNDLE cat'
$ FIRST 'salloc -Q -N2 sh -c "srun -Q -l BUNDLE hostname | sort; srun -Q -l -N1 BUNDLE hostname"'
$ FIRST 'setsid srun -Q -N2 --job-name=long BUNDLE /loop >/run/out 2>&1 & echo'
* $ FIRST 'squeue -h -n long -o %T | grep RUNNING'
* $ FIRST 'RUNTIME --root=/run/oci list -q | wc -l | grep -x 1 && echo first'
* $ SECOND 'RUNTIME --root=/run/oci list -q | wc -l | grep -x 1 && echo second'
$ FIRST 'scancel -n long'
* $ FIRST 'squeue -h | wc -l | grep -x 0'
* $ FIRST 'RUNTIME --root=/run/oci list -q | wc -l | grep -x 0 && echo first'
* $ SECOND 'RUNTIME --root=/run/oci list -q | wc -l | grep -x 0 && echo second'
* $ FIRST 'sinfo -h -o %D%t | grep 2idle'
"""

SMOKE = """
-N2 BUNDLE sh -c 'echo hello; hostname; exit 5'
"""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> dict[str, str]:
    """The variables with which Slurm's programs are found. They are only unpacked: installed, they would run for good."""
    place = str(tmp_path_factory.mktemp("slurm"))
    os.makedirs(f"{place}/partial")
    if not shutil.which("slurmctld"):
        options = ["APT::Sandbox::User=root", "Debug::NoLocking=1", f"Dir::Cache::Archives={place}"]
        words = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
        with host_network():
            subprocess.run(
                [*words, "--no-install-recommends", "--download-only", "install", *PACKAGES],
                check=True,
                capture_output=True,
            )
    for package in glob.glob(f"{place}/*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, place], check=True)
    plugins = [*glob.glob(f"{place}/usr/lib/*/slurm-wlm"), *glob.glob("/usr/lib/*/slurm-wlm")][0]
    return {
        "PATH": f"{place}/usr/sbin:{place}/usr/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{os.path.dirname(plugins)}:{plugins}",
        "PLUGINS": plugins,
    }


def begin(node: Node, place: str, bundle: dict, rootfs: str) -> None:
    """Give the *node* what Slurm needs before its daemons: a bundle, directories, and munge, which vouches for users."""
    os.makedirs(f"{place}/{node.name}")
    with open(f"{place}/{node.name}/config.json", "w") as file:
        json.dump(bundle, file)
    script = f"""
mkdir -p /run/munge /run/slurmctld /run/slurmd /run/bundle/rootfs
cp {place}/{node.name}/config.json /run/bundle
cp -a {rootfs}/. /run/bundle/rootfs
printf '#!/bin/sh\ntrap "exit 3" TERM\nwhile :; do sleep 0.05; done\n' >/run/bundle/rootfs/loop
chmod +x /run/bundle/rootfs/loop
cd /run/munge
munged --force --key-file {place}/key --socket /run/munge/socket --pid-file pid --log-file log --seed-file seed
"""
    done = subprocess.run([*node.inside(), "sh", "-ec", script], env=node.environment, capture_output=True)
    assert done.returncode == 0, done


@contextlib.contextmanager
def cluster(runtime: str, place: str, image: str, programs: dict[str, str]):
    """``with cluster(…) as nodes``: the controller, which computes too, and another node."""
    environment = {**programs, "SLURM_CONF": f"{place}/slurm.conf"}
    with open(f"{place}/slurm.conf", "w") as file:
        file.write(CONFIGURATION.format(plugins=programs["PLUGINS"]))
    with open(f"{place}/oci.conf", "w") as file:
        file.write(OCI.format(runtime=runtime))
    with open(f"{place}/key", "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(os.urandom(1024))
    with contextlib.ExitStack() as stack:
        stack.enter_context(Undertaker())
        nodes = []
        for name, address in NODES.items():
            nodes.append(Node(name, address, f"{place}/{name}.log", ["sleep", "infinity"], environment))
            stack.callback(nodes[-1].close)
        connect(*nodes)
        for node in nodes:
            bundle = smallest(["sh"])
            bundle |= {"hostname": f"{node.name}-box", "root": {"path": "rootfs", "readonly": True}}
            bundle["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 5, "hard": 6}]
            bundle["process"]["user"] = {"uid": 0, "gid": 0}
            bundle["linux"]["cgroupsPath"] = f"/{paths.cgroup_parent()}/{node.name}"
            begin(node, place, bundle, Image.find(image).layers[0])
            stack.callback(subprocess.run, [*node.inside(), "sh", "-c", "kill $(cat /run/munge/pid)"], check=True)
        stepd = shutil.which("slurmstepd-wlm", path=programs["PATH"])
        daemons = [(nodes[0], ["slurmctld-wlm", "-D", "-i"])]
        daemons += [(node, ["slurmd-wlm", "-D", "-N", node.name, "-d", stepd]) for node in nodes]
        for node, words in daemons:
            with open(f"{place}/{words[0]}-{node.name}.log", "w") as log:
                daemon = subprocess.Popen([*node.inside(), *words], env=node.environment, stdout=log, stderr=log)
            stack.callback(daemon.wait)
            stack.callback(daemon.terminate)
        end = time.monotonic() + PATIENCE
        ready = [*nodes[0].inside(), "sh", "-c", "sinfo -h -o %D%t | grep 2idle"]
        while subprocess.run(ready, env=nodes[0].environment, capture_output=True).returncode:
            assert time.monotonic() < end, [open(name).read()[-2000:] for name in glob.glob(f"{place}/slurm*.log")]
            time.sleep(0.1)
        yield nodes


OWN_GROUP = ["setsid", "--wait"]  # srun leaves a child behind, which the undertaker takes for ours otherwise
JOB = """#!/bin/sh
# a job, and its lines in the order of the tasks' numbers
"$@" >OUT 2>&1
status=$?
sort OUT
exit $status
"""


def outputs(script: str, image: str, programs: dict[str, str]) -> dict[str, dict[str, tuple[int, str]]]:
    """runtime -> line -> (exit status, output)."""
    found = {}
    for name in RUNTIMES:
        place = f"{paths.data_root()}/slurm-{name}"
        os.makedirs(place)
        runtime = plain_program(place) if name == "minict" else shutil.which("runc")
        with open(f"{place}/job", "w") as file:
            file.write(JOB.replace("OUT", f"{place}/out"))
        try:
            with cluster(runtime, place, image, programs) as (first, second):
                words = {"BUNDLE": "--container=/run/bundle", "RUNTIME": runtime}
                for word, node in (("FIRST", first), ("SECOND", second)):
                    words[word] = " ".join([*OWN_GROUP, *node.inside(), "sh", "-c"])
                engine = ["sh", f"{place}/job", *OWN_GROUP, *first.inside(), "srun", "-Q", "-l"]
                found[name] = Session(engine, words, first.environment).run(script)
        finally:
            shutil.rmtree(place)
            host.remove_cgroups(host.cgroup_trees())
    return found


@pytest.fixture(scope="module")
def whole(image, slurm):
    return outputs(SCRIPT, image, slurm)


@pytest.mark.parametrize("line", titles(SCRIPT))
def test_slurm_does_the_same(whole, line):
    assert whole["minict"][line] == whole["runc"][line]
    assert line[0] != "*" or not whole["minict"][line][0], "the state has never come"


def test_slurm_smoke(image, slurm):
    found = outputs(SMOKE, image, slurm)
    assert found["minict"] == found["runc"]
    assert [status for status, _ in found["runc"].values()] == [5]
