"""Docker with minict-oci as its runtime, beside Docker with runc: ``make test-docker``."""

from __future__ import annotations

import os
import shlex
import shutil

import pytest

from minict.lab import engines
from minict.lab.daemons import Enclosure
from minict.lab.ociruntime import plain_program
from minict.runtime import paths
from tests.engines.comparison import PATIENCE, RUNTIMES, Session, titles  # noqa: F401, other tests take the patience

SCRIPT = """
run --rm tiny sh -c 'echo hello; id; pwd; hostname | wc -c'
run --rm tiny sh -c 'env | grep -v HOSTNAME | sort'
run --rm tiny sh -c 'exit 5'
run --rm tiny sh -c 'echo to stderr >&2; kill -9 $$'
~ run --rm tiny nosuch
~ run --rm tiny /no/such
~ run --rm tiny /etc/hosts
~ run --rm tiny /etc
~ run --rm -w /etc/hosts tiny pwd
run --rm -w /new/dir tiny pwd
run --rm -u 12:13 --group-add 14 tiny sh -c 'id; echo $HOME'
run --rm --tmpfs /t tiny sh -c 'stat -c %a /t; cut -d" " -f2,4 /proc/mounts | grep "^/t "'
run --rm --read-only --tmpfs /tmp tiny sh -c 'touch /x 2>/dev/null || echo no; touch /tmp/x && echo yes'
run --rm -m 64m --memory-swap 64m --pids-limit 20 --cpus 0.5 --cpu-shares 512 tiny sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us cpu/cpu.shares || cat memory.max pids.max cpu.max cpu.weight'
run --rm --cpuset-cpus 0 tiny grep Cpus_allowed_list /proc/self/status
run --rm --ulimit core=5:6 tiny sh -c 'ulimit -c'
run --rm -e A=b -e C= tiny sh -c 'echo $A-${C-none}-${D-none}'
run --rm -t tiny sh -c 'tty; stty size; echo done'
run --rm --cap-drop all tiny grep Cap /proc/self/status
run --rm --cap-add sys_admin tiny grep Cap /proc/self/status
run --rm -u 5 --cap-add net_raw tiny grep Cap /proc/self/status
run --rm tiny grep -e Cap -e Seccomp: -e NoNew /proc/self/status
run --rm --security-opt seccomp=unconfined --security-opt no-new-privileges tiny grep -e Seccomp: -e NoNew /proc/self/status
run --rm -v /usr/share/misc:/m:ro tiny sh -c 'ls -A /m | wc -l; touch /m/x 2>/dev/null || echo no'
run --rm -v PLACE/volume:/m tiny sh -c 'echo text > /m/file; cat /m/file'
run --rm -v named:/m tiny sh -c 'echo text > /m/file'
run --rm -v named:/m tiny cat /m/file
run --rm --mount type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1770 tiny sh -c 'df -k /t | tail -1; stat -c %a /t'
run --rm --pid host tiny sh -c 'echo $$ | grep -c ^1$'
run --rm --ipc host tiny echo ok
run --rm --uts host tiny sh -c 'hostname | wc -c | grep -c 13'
run --rm --network host tiny sh -c 'ls /sys/class/net | grep -c docker0'
run --rm --network none tiny ls /sys/class/net
run --rm --hostname other --domainname example.org tiny sh -c 'hostname; cat /proc/sys/kernel/domainname'
run --rm --cgroupns private tiny sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u | tail -1'
run --rm --cgroupns host tiny sh -c 'ls /sys/fs/cgroup | grep -v -e systemd -e unified | sort'
run --rm --sysctl kernel.shmmax=12345 --sysctl net.ipv4.ip_forward=1 tiny sh -c 'cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_forward'
run --rm --device /dev/null:/dev/mine tiny sh -c 'echo x > /dev/mine; stat -c %t:%T /dev/mine'
run --rm --oom-score-adj 100 tiny cat /proc/self/oom_score_adj
run --rm --shm-size 1m tiny df -k /dev/shm
run --rm --init tiny sh -c 'cat /proc/1/comm'
run --rm tiny sh -c 'ls /dev; ls -l /dev/stdin /dev/fd /dev/ptmx | cut -d/ -f2-'
run --rm tiny sh -c 'cut -d" " -f1,2,3 /proc/mounts | grep -v -e overlay -e cgroup -e devtmpfs -e /proc/keys -e /proc/timer_list -e /etc/ | sort'
run --rm tiny sh -c 'exec 2>/dev/null; echo x > /proc/sys/kernel/hostname || echo no; cat /proc/kcore | wc -c; ls -A /sys/firmware | wc -l'
run --rm tiny sh -c 'ls /proc/self/fd'
run --rm tiny sh -c 'hostname -i; cat /sys/class/net/eth0/operstate; ip route 2>/dev/null | head -1'
run --rm --add-host some:1.2.3.4 tiny grep some /etc/hosts
run -d --name box tiny sh -c 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.05; done'
* exec box sh -c 'kill -0 1'
exec box sh -c 'echo in; id; exit 4'
exec -e X=1 -w /tmp -u 7 box sh -c 'pwd; id; echo $X'
exec -t box sh -c 'tty; echo ok'
exec -d box sh -c 'touch /tmp/by-exec; exec sleep 1000'
* exec box test -e /tmp/by-exec
~ exec box nosuch
~ exec -w /nowhere box pwd
logs box
top box -eo args
run --rm --pid container:box tiny sh -c 'test $(ls -d /proc/[0-9]* | wc -l) -gt 2; tr "\\0" " " < /proc/1/cmdline | cut -c1-10'
run --rm --network container:box tiny sh -c 'ls /sys/class/net'
pause box
ps -a --format '{{.Names}} {{.State}}'
exec box true
unpause box
update --memory 70m --memory-swap 70m box
exec box sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max'
stats --no-stream --format '{{.Name}} {{.PIDs}}' box
kill -s USR1 box
cp box:/tmp/by-exec PLACE/volume/copied
diff box
stop box
inspect --format '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' box
start box
* exec box sh -c 'kill -0 1 && echo again'
restart -t 1 box
kill box
wait box
rm box
run -d --name re --restart on-failure:2 tiny sh -c 'exit 3'
* $ENGINE inspect --format '{{.RestartCount}} {{.State.Running}}' re | grep '^2 false'
rm re
run -d --name hc --health-cmd 'test -e /ok' --health-interval 100ms --health-retries 2 tiny sleep 1000
* $ENGINE inspect --format '{{.State.Health.Status}}' hc | grep ^unhealthy
exec hc touch /ok
* $ENGINE inspect --format '{{.State.Health.Status}}' hc | grep ^healthy
rm -f hc
run -d --name web -p 127.0.0.1:18080:80 -v /usr/bin/busybox:/busybox:ro tiny sh -c 'mkdir /www; echo page > /www/index.html; exec /busybox httpd -f -p 80 -h /www'
* $INSIDE curl -s http://127.0.0.1:18080/ | grep page
port web
rm -f web
network create other
run -d --name n1 --network other tiny sleep 1000
run --rm --network other -v /usr/bin/busybox:/busybox:ro tiny sh -c '/busybox ping -c 1 -w 5 n1 >/dev/null && echo reached'
rm -f n1
network rm other
run --name oom -m 16m --memory-swap 16m tiny sh -c 'x=0123456789; while :; do x=$x$x; done'
inspect --format '{{.State.OOMKilled}} {{.State.ExitCode}}' oom
rm oom
create --name cc tiny sh -c 'echo started; exit 2'
start -a cc
commit cc made
rm cc
run --rm made
$ENGINE build -q -t built PLACE/volume | cut -c1-7
run --rm built
run --rm --log-driver none tiny echo not logged
ps -a -q
"""

DOCKERFILE = """
FROM tiny
RUN echo built > /file && id -u >> /file
USER 5
ENV NAME=value
CMD cat /file; id -u; echo $NAME
"""

SMOKE = """
run --rm tiny sh -c 'echo hello; hostname -i; exit 5'
~ run --rm tiny nosuch
run -d --name box tiny sleep 1000
exec box sh -c 'id; exit 4'
rm -f box
"""


@pytest.fixture(scope="session")
def programs() -> str:
    """The PATH with Docker's programs, which provision.sh installs."""
    return os.environ["PATH"]


def outputs(script: str, image: str) -> dict[str, dict[str, tuple[int, str]]]:
    """runtime -> line -> (exit status, output)."""
    found = {}
    for runtime in RUNTIMES:
        place = f"{paths.data_root()}/docker-{runtime}"
        os.makedirs(f"{place}/volume")
        with open(f"{place}/volume/Dockerfile", "w") as file:
            file.write(DOCKERFILE)
        try:
            with Enclosure() as enclosure:
                engines.containerd(enclosure)
                known = {"minict": plain_program(place)}
                docker = engines.dockerd(enclosure, known, "--default-runtime", runtime, firewall=True)
                engines.add_image(image, docker)
                words = {"PLACE": place, "ENGINE": shlex.join(docker.words()), "INSIDE": shlex.join(enclosure.words())}
                environment = {**enclosure.environment(), "DOCKER_BUILDKIT": "0"}
                found[runtime] = Session(docker.words(), words, environment).run(script)
        finally:
            shutil.rmtree(place)
    return found


@pytest.fixture(scope="module")
def whole(image):
    return outputs(SCRIPT, image)


@pytest.mark.parametrize("line", titles(SCRIPT))
def test_docker_prints_the_same(whole, line):
    assert whole["minict"][line] == whole["runc"][line]
    assert line[0] != "*" or not whole["minict"][line][0], "the state has never come"


def test_docker_smoke(image):
    found = outputs(SMOKE, image)
    assert found["minict"] == found["runc"]
    assert [status for status, _ in found["runc"].values()] == [5, 127, 0, 4, 0]
