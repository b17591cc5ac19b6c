"""How fast a published port is, beside a bare veth pair: ``python -m tests.bench.ports``.

Everything is measured by iperf3, over TCP, in turns.  Two ways lead to a container:

* from the host: beside a veth pair from the host to a namespace, with nothing but addresses on it;
* from outside: beside the same packets routed by the host, without a bridge, a rule, or a translation.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from minict.kernel import namespaces

from .measure import calm
from .world import IMAGE, World

GOAL = 0.95
PORT = 5201
OUTSIDE, HOST, BARE = "198.51.100.2", "198.51.100.1", "192.0.2.2"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ports", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="samples of each way (default: 7)")
    parser.add_argument("--seconds", type=float, default=2, help="how long each is (default: 2)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("Containers need root, so type: sudo python -m tests.bench.ports")
    with World():
        servers = []
        try:
            measure(servers, options.rounds, options.seconds)
        finally:
            for server in servers:
                server.kill()
                server.wait()
            minict("prune")


def measure(servers: list, rounds: int, seconds: float) -> None:
    outside, bare = machine(servers), machine(servers)
    plug("outside0", HOST, outside, OUTSIDE)
    plug("bare0", "192.0.2.1", bare, BARE)
    sh(*inside(outside), "ip", "route", "add", "default", "via", HOST)
    sh(*inside(bare), "ip", "route", "add", "default", "via", "192.0.2.1")
    id = minict("run", "-d", "-p", f"{PORT}:{PORT}", IMAGE, "sleep", "100000")
    try:
        container = int(minict("inspect", "-f", "{{.State.Pid}}", id))
        for pid in (bare, container):
            servers.append(subprocess.Popen([*inside(pid), "iperf3", "-s", "-p", str(PORT)], stdout=subprocess.DEVNULL))
        time.sleep(1)
        ways = {"from the host, bare veth": ([], BARE), "from the host, published": ([], HOST),
                "from the host, 127.0.0.1": ([], "127.0.0.1"),
                "from outside, routed": (inside(outside), BARE), "from outside, published": (inside(outside), HOST)}
        found = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (prefix, address) in ways.items():
                calm()
                found[name].append(gigabits(prefix, address, seconds))
    finally:
        minict("rm", "-f", id)
    print(f"{'TCP through a published port, ' + str(rounds) + ' rounds':<40}{'median':>8} {'best':>8}   Gbit/s")
    for name, samples in found.items():
        print(f"  {name:<38}{statistics.median(samples):8.2f} {max(samples):8.2f}")
    print(f"\n{'Goals':<52}{'median':>8} {'best':>8}   at least")
    for name, other in (("from the host, published", "from the host, bare veth"), ("from the host, 127.0.0.1", "from the host, bare veth"),
                        ("from outside, published", "from outside, routed")):
        ratio = statistics.median(found[name]) / statistics.median(found[other])
        print(f"  {f'{name} / {other}':<50}{ratio:8.2f} {max(found[name]) / max(found[other]):8.2f}   {GOAL}  "
              f"{'reached' if ratio >= GOAL else 'not reached'}")


def machine(servers: list) -> int:
    """A network namespace with a process that does nothing in it; its pid."""
    servers.append(subprocess.Popen(["sleep", "100000"], preexec_fn=lambda: namespaces.unshare(namespaces.CLONE_NEWNET)))
    return servers[-1].pid


def inside(pid: int) -> list[str]:
    return ["nsenter", "-t", str(pid), "-n"]


def plug(name: str, here: str, pid: int, there: str) -> None:
    """A veth pair from the host to a machine."""
    sh("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    sh("ip", "address", "add", f"{here}/24", "dev", name)
    sh("ip", "link", "set", name, "up")
    sh(*inside(pid), "ip", "address", "add", f"{there}/24", "dev", "eth0")
    sh(*inside(pid), "ip", "link", "set", "eth0", "up")


def gigabits(prefix: list[str], address: str, seconds: float) -> float:
    """What one TCP connection carries, in Gbit/s, as its receiver counts it."""
    done = sh(*prefix, "iperf3", "-c", address, "-p", str(PORT), "-t", str(seconds), "-O", "0.5", "--json")
    return json.loads(done)["end"]["sum_received"]["bits_per_second"] / 1e9


def minict(*words: str) -> str:
    return sh(f"{os.path.dirname(sys.executable)}/minict", *words).strip()


def sh(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr or done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
