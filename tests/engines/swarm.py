"""Docker Swarm on two nodes with minict-oci as their runtime, beside runc: ``make test-swarm``.

A node is a dockerd in network, mount and UTS namespaces of its own; a veth pair connects the two. The services have the
endpoint mode ``dnsrr``: their name resolves to the addresses of all tasks. The default mode, a virtual address, needs
a kernel with IP_VS.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time

import pytest

from minict.engine.images.image import Image
from minict.lab import host
from minict.lab.ociruntime import plain_program
from minict.runtime import paths
from tests.engines.comparison import RUNTIMES, Session, Undertaker, titles
from tests.engines.docker import PATIENCE, programs  # noqa: F401
from tests.engines.nodes import Node, connect

NODES = {"node1": "10.77.0.1", "node2": "10.77.0.2"}  # the first one is the manager

# NODE1 and NODE2 call the client of a node. ASK prints what each task of the service web answers, PLACES on which node
# its tasks run. CUT and JOIN are about the cable.
SCRIPT = """
$ NODE1 node ls --format '{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}' | sort
network create --driver overlay --attachable mesh
CREATE --name web --network mesh --replicas 4 --env VERSION=1 --env NODE={{.Node.Hostname}} --env SLOT={{.Task.Slot}} tiny SERVE
* $ NODE1 service ls --format '{{.Name}} {{.Replicas}}' | grep 'web 4/4'
* $ PLACES
* $ ASK | grep -c . | grep 4
$ ASK | cut -d' ' -f1-4
$ ASK | cut -d' ' -f6 | sort | uniq -c
$ NODE2 run --rm --network mesh -v /usr/bin/busybox:/busybox:ro tiny /busybox ping -c 1 -w 5 web | grep -c '1 packets received'
$ NODE2 kill $(NODE2 ps -q | head -1) | wc -l
* $ NODE1 service ps web --no-trunc --format '{{.Error}}' | grep -o 'non-zero exit (137)'
* $ NODE1 service ls --format 'after the kill: {{.Name}} {{.Replicas}}' | grep 'web 4/4'
* $ ASK | cut -d' ' -f1-4 | sed 's/^/after the kill: /' | grep -c . | grep 4
UPDATE --update-parallelism 1 --update-monitor 100ms --env-add VERSION=2 web
* $ NODE1 service inspect --format '{{.UpdateStatus.State}}' web | grep completed
* $ ASK | cut -d' ' -f1-2 | uniq -c | grep '4 version 2'
$ ASK | cut -d' ' -f1-4 | sed 's/^/after the update: /'
UPDATE --update-failure-action rollback --update-monitor 5s --args nosuch web
* $ NODE1 service inspect --format '{{.UpdateStatus.State}}' web | grep rollback_completed
$ NODE1 service ps --no-trunc --format '{{.Error}}' web | grep -o 'executable file not found in $PATH' | sort -u
* $ ASK | cut -d' ' -f1-2 | uniq -c | sed 's/^/after the rollback: /' | grep '4 version 2'
service scale --detach web=6
* $ NODE1 service ls --format '{{.Name}} {{.Replicas}}' | grep 'web 6/6'
* $ PLACES | grep '3 node1 Running'
* $ PLACES | grep '3 node2 Running'
CREATE --name each --mode global --network mesh --limit-memory 64m --limit-pids 20 --limit-cpu 0.5 --user 12:13 --read-only --hostname {{.Node.Hostname}}-each tiny sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us || cat memory.max pids.max cpu.max; id; hostname; touch /x 2>/dev/null || echo read only; exec sleep 1000'
* $ NODE1 service ls --format '{{.Name}} {{.Replicas}}' | grep 'each 2/2'
* $ NODE1 service logs --raw each | grep -c 'read only' | grep 2
$ NODE1 service logs --raw each 2>&1 | sort
service rm each
$ echo secret | NODE1 secret create word - | wc -l
$ echo configuration | NODE1 config create setting - | wc -l
CREATE --name keeper --constraint node.hostname==node2 --secret source=word,mode=0400 --config source=setting,target=/etc/setting --health-cmd 'test -e /run/secrets/word' --health-interval 100ms tiny sh -c 'cat /run/secrets/word /etc/setting; stat -c %a /run/secrets/word; grep -c /run/secrets /proc/mounts; echo end; exec sleep 1000'
* $ NODE2 ps --filter name=keeper --format '{{.Status}}' | grep -o healthy
* $ NODE1 service logs --raw keeper | grep end
$ NODE1 service logs --raw keeper
service rm keeper
CREATE --name once --mode replicated-job --replicas 2 --restart-condition none tiny sh -c 'echo done'
* $ NODE1 service ls --format '{{.Name}} {{.Replicas}}' | grep '2/2 completed'
service rm once
CREATE --name retry --restart-condition on-failure --restart-max-attempts 2 tiny sh -c 'exit 3'
* $ NODE1 service ps retry --no-trunc --format '{{.Error}}' | grep -c 'non-zero exit (3)' | grep 3
service rm retry
CREATE --name port --publish mode=host,published=18080,target=80 --constraint node.hostname==node2 --env VERSION=published tiny SERVE
* $ NODE1 run --rm --network host -v /usr/bin/busybox:/busybox:ro tiny /busybox wget -qO- http://10.77.0.2:18080/
service rm port
node update --availability drain node2
* $ PLACES | grep '6 node1 Running'
* $ NODE2 ps --quiet | wc -l | grep -x 0
* $ ASK | cut -d' ' -f3-6 | grep -c 'node1$' | grep 6
node update --availability active node2
UPDATE --force --update-parallelism 0 --update-monitor 100ms web
* $ PLACES | sed 's/^/active again: /' | grep '3 node2 Running'
$ CUT
* $ NODE1 node ls --format '{{.Hostname}} {{.Status}}' | grep 'node2 Down'
* $ PLACES | sed 's/^/without the cable: /' | grep '6 node1 Running'
$ NODE2 ps --quiet | wc -l
$ JOIN
* $ NODE1 node ls --format '{{.Hostname}} {{.Status}}' | grep 'node2 Ready'
* $ NODE2 ps --quiet | wc -l | sed 's/^/with the cable: /' | grep ' 0$'
service rm web
* $ NODE1 ps --quiet | wc -l | grep -x 0
* network rm mesh
"""

SMOKE = """
network create --driver overlay --attachable mesh
CREATE --name web --network mesh --replicas 2 --env SLOT={{.Task.Slot}} tiny SERVE
* $ ASK | grep -c . | grep 2
service rm web
"""

CREATE = (
    "service create --detach --no-resolve-image --endpoint-mode dnsrr --stop-signal KILL --restart-delay 0s"
    " --mount type=bind,source=/usr/bin/busybox,target=/busybox,readonly"
)
SERVE = """sh -c 'mkdir /www
echo version $VERSION slot $SLOT on $NODE > /www/index.html; exec /busybox httpd -f -p 80 -h /www'"""
ASK = """#!/bin/sh
CALL run --rm --network mesh -v /usr/bin/busybox:/busybox:ro tiny sh -c '
for address in $(/busybox nslookup web 127.0.0.11 2>/dev/null | /busybox awk "/^Name/ {on = 1} on && /^Address/ {print \\$NF}" | sort -u)
do printf "GET / HTTP/1.0\\r\\n\\r\\n" | /busybox nc -w 5 $address 80 | tail -1; done' | sort
"""
PLACES = (
    "NODE1 service ps web --filter desired-state=running --format '{{.Node}} {{.CurrentState}}'"
    " | cut -d' ' -f1,2 | sort | uniq -c"
)


class DockerNode(Node):
    """One dockerd; ``words`` call its client."""

    def __init__(self, name: str, runtime: str, place: str, programs: str) -> None:
        os.mkdir(place)
        socket = f"unix://{place}/docker.sock"
        self.words = [shutil.which("docker", path=programs), "--host", socket]
        daemon = [
            *("dockerd", "--host", socket, "--data-root", f"{place}/data", "--exec-root", "/run/docker-test"),
            *("--pidfile", f"{place}/docker.pid", "--cgroup-parent", f"/{paths.cgroup_parent()}"),
            *("--add-runtime", f"minict={plain_program(place)}", "--default-runtime", runtime),
        ]
        super().__init__(name, NODES[name], f"{place}/log", daemon, {"PATH": programs})

    def wait(self, image: str) -> None:
        """Wait for the daemon, and give it the image."""
        end = time.monotonic() + PATIENCE
        while subprocess.run([*self.words, "version"], capture_output=True).returncode:
            assert self.process.poll() is None and time.monotonic() < end, open(self.log).read()[-3000:]
            time.sleep(0.1)
        self.do("import", image, "tiny")

    def do(self, *words: str) -> str:
        done = subprocess.run([*self.words, *words], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done
        return done.stdout.strip()

    def end(self) -> None:
        left = subprocess.run([*self.words, "ps", "-aq"], capture_output=True, text=True).stdout.split()
        subprocess.run([*self.words, "rm", "-f", *left], capture_output=True)
        self.close()


@contextlib.contextmanager
def swarm(runtime: str, place: str, image: str, programs: str):
    """``with swarm(…) as nodes``: the manager and a worker."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(Undertaker())
        nodes = []
        for name in NODES:
            nodes.append(DockerNode(name, runtime, f"{place}/{name}", programs))
            stack.callback(nodes[-1].end)
        connect(*nodes)
        for node in nodes:
            node.wait(image)
        nodes[0].do("swarm", "init", "--advertise-addr", NODES["node1"], "--dispatcher-heartbeat", "1s")
        token = nodes[0].do("swarm", "join-token", "--quiet", "worker")
        nodes[1].do("swarm", "join", "--token", token, f"{NODES['node1']}:2377")
        stack.callback(nodes[0].do, "swarm", "leave", "--force")
        stack.callback(nodes[1].do, "swarm", "leave", "--force")
        yield nodes


def outputs(script: str, image: str, programs: str) -> dict[str, dict[str, tuple[int, str]]]:
    """runtime -> line -> (exit status, output)."""
    found = {}
    for runtime in RUNTIMES:
        place = f"{paths.data_root()}/swarm-{runtime}"
        os.mkdir(place)
        archive = shutil.make_archive(f"{place}/image", "tar", Image.find(image).layers[0])
        try:
            with swarm(runtime, place, archive, programs) as (first, second):
                with open(f"{place}/ask", "w") as file:
                    file.write(ASK.replace("CALL", " ".join(first.words)))
                words = {"CREATE": CREATE, "UPDATE": "service update --detach --no-resolve-image", "SERVE": SERVE}
                words |= {"ASK": f"sh {place}/ask", "PLACES": PLACES}
                cable = " ".join([*second.inside(), "ip link set eth0"])
                words |= {"CUT": f"{cable} down", "JOIN": f"{cable} up"}
                words |= {"NODE1": " ".join(first.words), "NODE2": " ".join(second.words)}
                found[runtime] = Session(first.words, words).run(script)
        finally:
            shutil.rmtree(place)
            host.remove_cgroups(host.cgroup_trees())
    return found


@pytest.fixture(scope="module")
def whole(image, programs):
    return outputs(SCRIPT, image, programs)


@pytest.mark.parametrize("line", titles(SCRIPT))
def test_swarm_does_the_same(whole, line):
    assert whole["minict"][line] == whole["runc"][line]
    assert whole["minict"][line][0] == 0


def test_swarm_smoke(image, programs):
    found = outputs(SMOKE, image, programs)
    assert found["minict"] == found["runc"]
    assert [status for status, _ in found["runc"].values()] == [0, 0, 0, 0]
