"""Podman with minict-oci as its runtime, beside Podman with runc: ``make test-podman``."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from minict.engine.images.image import Image
from minict.lab import host
from minict.lab.ociruntime import plain_program
from minict.runtime import paths
from tests.engines.comparison import RUNTIMES, Session, titles

OPTIONS = "--network none --cgroup-parent PARENT"
CONFIGURATION = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]  # for machines that may not raise them
"""

SCRIPT = """
run --rm OPTIONS tiny sh -c 'echo hello; id; pwd; hostname | wc -c'
run --rm OPTIONS tiny sh -c 'env | grep -v HOSTNAME | sort'
run --rm OPTIONS tiny sh -c 'exit 5'
run --rm OPTIONS tiny sh -c 'echo to stderr >&2; kill -9 $$'
~ run --rm OPTIONS tiny nosuch
~ run --rm OPTIONS tiny /no/such
~ run --rm OPTIONS tiny /etc/hosts
~ run --rm OPTIONS tiny /etc
run --rm OPTIONS -w /nodir tiny pwd
run --rm OPTIONS -w /tmp tiny pwd
run --rm OPTIONS -u 12:13 tiny sh -c 'id; echo $HOME'
run --rm OPTIONS -u 12:13 --group-add 14 tiny id
run --rm OPTIONS --tmpfs /etc tiny ls -A /etc
run --rm OPTIONS --tmpfs /etc:size=1m,mode=700 tiny stat -c %a /etc
run --rm OPTIONS --read-only tiny sh -c 'touch /x 2>/dev/null || echo no; touch /tmp/x /run/x && echo yes'
run --rm OPTIONS --read-only --read-only-tmpfs=false tiny sh -c 'touch /tmp/x 2>/dev/null || echo no'
run --rm OPTIONS -m 64m --pids-limit 20 --cpus 0.5 --cpu-shares 512 tiny sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us cpu/cpu.shares || cat memory.max pids.max cpu.max cpu.weight'
run --rm OPTIONS --cpuset-cpus 0 tiny grep Cpus_allowed_list /proc/self/status
run --rm OPTIONS --ulimit core=5:6 --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 tiny sh -c 'ulimit -c'
run --rm OPTIONS --umask 0077 tiny sh -c umask
run --rm OPTIONS -e A=b -e C= tiny sh -c 'echo $A-${C-none}-${D-none}'
run --rm OPTIONS -t tiny sh -c 'tty; stty size; echo done'
run --rm OPTIONS -i tiny cat
run --rm OPTIONS --cap-drop all tiny grep Cap /proc/self/status
run --rm OPTIONS --cap-add sys_admin tiny grep Cap /proc/self/status
run --rm OPTIONS -u 5 --cap-add net_raw tiny grep Cap /proc/self/status
run --rm OPTIONS --privileged tiny grep Cap /proc/self/status
run --rm OPTIONS --privileged tiny sh -c 'mount | grep -c "type sysfs (rw"'
run --rm OPTIONS tiny grep -e Seccomp: -e NoNew /proc/self/status
run --rm OPTIONS --security-opt seccomp=unconfined --security-opt no-new-privileges tiny grep -e Seccomp: -e NoNew /proc/self/status
run --rm OPTIONS -v /usr/share/misc:/m:ro tiny sh -c 'ls -A /m | wc -l; touch /m/x 2>/dev/null || echo no'
run --rm OPTIONS -v VOLUME:/m tiny sh -c 'echo text > /m/file; cat /m/file'
run --rm OPTIONS -v VOLUME:/m:rslave,noexec tiny sh -c 'grep " /m " /proc/mounts | cut -d" " -f4 | tr , "\\n" | grep noexec'
run --rm OPTIONS --mount type=tmpfs,destination=/t,tmpfs-size=1m tiny df -k /t
run --rm OPTIONS --pid host tiny sh -c 'echo $$ | grep -c ^1$'
run --rm OPTIONS --ipc host tiny echo ok
run --rm OPTIONS --uts host tiny hostname
run --rm OPTIONS --hostname other tiny hostname
run --rm OPTIONS --cgroupns private tiny sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u | tail -1'
run --rm OPTIONS --sysctl kernel.shmmax=12345 tiny cat /proc/sys/kernel/shmmax
run --rm OPTIONS --sysctl net.ipv4.ip_forward=1 tiny cat /proc/sys/net/ipv4/ip_forward
run --rm OPTIONS --device /dev/null:/dev/mine tiny sh -c 'echo x > /dev/mine; stat -c %t:%T /dev/mine'
run --rm OPTIONS --oom-score-adj 100 tiny cat /proc/self/oom_score_adj
run --rm OPTIONS --uidmap 0:100000:65536 tiny sh -c 'id -u; cat /proc/self/uid_map; stat -c %u /etc'
run --rm OPTIONS --shm-size 1m tiny df -k /dev/shm
run --rm OPTIONS tiny sh -c 'ls /dev; ls -l /dev/stdin /dev/fd /dev/ptmx | cut -d/ -f2-'
run --rm OPTIONS tiny sh -c 'cut -d" " -f1,2,3 /proc/mounts | grep -v -e overlay -e cgroup -e devtmpfs -e /proc/keys -e /proc/timer_list | sort'
run --rm OPTIONS tiny sh -c 'exec 2>/dev/null; echo x > /proc/sys/kernel/hostname || echo no; cat /proc/kcore | wc -c; ls -A /sys/firmware | wc -l'
run --rm OPTIONS tiny sh -c 'ls -l /proc/self/fd 2>/dev/null | wc -l'
$ exec 3</etc/hostname 4<&3; ENGINE run --rm OPTIONS --preserve-fds 2 tiny sh -c 'ls /proc/self/fd'
run -d --name a OPTIONS tiny sh -c 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.05; done'
* exec a sh -c 'kill -0 1'
exec a sh -c 'echo in; id; exit 4'
exec -e X=1 -w /tmp -u 7 a sh -c 'pwd; id; echo $X'
exec -t a sh -c 'tty; echo ok'
exec -d a sh -c 'touch /tmp/by-exec; exec sleep 1000'
* exec a test -e /tmp/by-exec
~ exec a nosuch
exec --privileged a grep CapEff /proc/self/status
$ exec 3</etc/hostname; ENGINE exec --preserve-fds 1 a sh -c 'ls /proc/self/fd'
logs a
top a args
pause a
ps -a --format '{{.Names}} {{.State}} paused'
exec a true
unpause a
update --memory 70m a
exec a sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max'
stats --no-stream --format '{{.Name}} {{.PIDs}}' a
kill -s USR1 a
cp a:/tmp/by-exec VOLUME/copied
stop a
ps -a --format '{{.Names}} {{.ExitCode}} stopped'
start a
* exec a sh -c 'kill -0 1' again
restart -t 1 a
container checkpoint a
kill -s KILL a
wait a
rm a
create --name c OPTIONS tiny sh -c 'echo started; exit 2'
start -a c
rm c
create --name d OPTIONS tiny sleep 1000
rm -f d
run -d --name h OPTIONS --health-cmd 'true' --health-interval disable tiny sleep 1000
healthcheck run h
rm -f -t 0 h
pod create --name p --network none --infra-image tiny --infra-command 'sleep 1000' --cgroup-parent PARENT
run --pod p --name in --cgroup-parent PARENT tiny sh -c 'hostname; id -u'
run --pod p --name in2 --cgroup-parent PARENT --ipc container:in tiny true
pod ps --format '{{.Name}} {{.NumberOfContainers}}'
pod stop -t 1 p 2>/dev/null
pod rm -f p
$ ENGINE play kube VOLUME/pod.yaml --network none >VOLUME/out 2>&1; echo $?; grep -c . VOLUME/out
* exec web-main test -e /shared/ready
logs web-main
exec web-main sh -c 'cat /shared/ready; id -u; env | grep GREETING'
$ ENGINE play kube --down VOLUME/pod.yaml >/dev/null; echo $?
ps -a -q
"""

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  hostNetwork: true
  initContainers:
  - name: init
    image: localhost/tiny:latest
    command: [sh, -c, "echo from init > /shared/ready"]
    env: [{name: PATH, value: "/usr/bin:/bin"}]
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: main
    image: localhost/tiny:latest
    command: [sh, -c, "cat /shared/ready; exec sleep 1000"]
    env: [{name: PATH, value: "/usr/bin:/bin"}, {name: GREETING, value: hello}]
    resources: {limits: {memory: 64Mi, cpu: 500m}}
    securityContext: {capabilities: {drop: [ALL]}}
    volumeMounts: [{name: shared, mountPath: /shared}]
  volumes: [{name: shared, emptyDir: {}}]
"""

SMOKE = """
run --rm OPTIONS --tmpfs /etc tiny sh -c 'echo hello; ls -A /etc; exit 5'
~ run --rm OPTIONS tiny nosuch
run -d --name a OPTIONS tiny sleep 1000
exec a sh -c 'id; exit 4'
rm -f -t 0 a
"""


def session(runtime: str, place: str, image: Image) -> Session:
    """Podman with its storage in *place*, and an image."""
    words = ["podman", "--root", f"{place}/storage", "--runroot", f"{place}/run", "--tmpdir", f"{place}/tmp"]
    words += ["--cgroup-manager", "cgroupfs", "--events-backend", "none"]
    words += ["--runtime", plain_program(place) if runtime == "minict" else shutil.which("runc")]
    archive = shutil.make_archive(f"{place}/image", "tar", image.layers[0])
    subprocess.run([*words, "import", archive, "tiny"], check=True, capture_output=True)
    os.makedirs(f"{place}/volume")
    with open(f"{place}/volume/pod.yaml", "w") as file:
        file.write(POD)
    with open(f"{place}/containers.conf", "w") as file:
        file.write(CONFIGURATION)
    parent = f"/{paths.cgroup_parent()}"
    replaced = {"OPTIONS": OPTIONS, "VOLUME": f"{place}/volume", "ENGINE": " ".join(words), "PARENT": parent}
    return Session(words, replaced, {"CONTAINERS_CONF": f"{place}/containers.conf"})


def outputs(script: str, image: str) -> dict[str, dict[str, tuple[int, str]]]:
    """runtime -> line -> (exit status, output)."""
    found = {}
    for runtime in RUNTIMES:
        place = f"{paths.data_root()}/{runtime}"
        os.makedirs(place)
        subprocess.run(["mount", "-t", "tmpfs", "podman", "/run"], check=True)
        try:
            here = session(runtime, place, Image.find(image))
            found[runtime] = here.run(script)
            found[runtime]["left"] = here.call("ps -a -q")
        finally:
            subprocess.run([*here.engine, "rm", "-f", "-t", "0", "-a"], capture_output=True)
            subprocess.run(["umount", "-R", "-l", f"{place}/storage/overlay", "/run"], capture_output=True)
            shutil.rmtree(place)
            host.remove_cgroups(host.cgroup_trees())  # Podman keeps one for its monitors
    return found


@pytest.fixture(scope="module")
def whole(image):
    return outputs(SCRIPT, image)


@pytest.mark.parametrize("line", [*titles(SCRIPT), "left"])
def test_podman_prints_the_same(whole, line):
    assert whole["minict"][line] == whole["runc"][line]
    assert line[0] != "*" or not whole["minict"][line][0], "the state has never come"


def test_podman_smoke(image):
    found = outputs(SMOKE, image)
    assert found["minict"] == found["runc"]
    statuses = [status for status, _ in found["runc"].values()]
    assert statuses == [5, 127, 0, 4, 0, 0]
