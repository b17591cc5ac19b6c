"""How fast a published port is, beside a bare veth pair: ``python -m tests.bench.ports``.

Four hosts in network namespaces of their own, each with a peer and a server that is published as a port of the host::

    peer --- veth --- host --- bridge --- veth --- server

* ``bare``: no bridge, no rule, no port; the client uses the server's own address. The kernel does not inspect the
  packets.
* ``by hand``: the fewest rules with which a port is published: the inherent cost of connection tracking and
  translation.
* ``podman``: its default network, where podman runs.
* ``minict``.

iperf3 measures each contender over TCP once per round, in a different order each time: the data that a connection
carries in a second, and in a second of processor time of both ends, which other load disturbs less. Sender and receiver
have a processor each, because the result depends on whether the scheduler puts them on one or two; and Reno is the
congestion control, because BBR estimates the speed of the network, and does so differently each time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time

from minict.kernel import namespaces

from .contenders import podman_words
from .measure import calm
from .world import IMAGE, NAME, World

GOAL = 0.95
PORT = 5201
NEIGHBOUR, HOST, GATEWAY, SERVER = "198.51.100.2", "198.51.100.1", "192.0.2.1", "192.0.2.2"
BY_HAND = f"""
add table ip hand
add chain ip hand prerouting {{ type nat hook prerouting priority dstnat; }}
add chain ip hand output {{ type nat hook output priority -100; }}
add chain ip hand postrouting {{ type nat hook postrouting priority srcnat; }}
add rule ip hand prerouting fib daddr type local tcp dport {PORT} dnat to {SERVER}
add rule ip hand output fib daddr type local tcp dport {PORT} dnat to {SERVER}
add rule ip hand postrouting ip saddr 127.0.0.0/8 oifname "bridge0" masquerade
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ports", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=11, help="samples of each way (default: 11)")
    parser.add_argument("--seconds", type=int, default=1, help="how long each is (default: 1)")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("one sample is not a measurement: use at least 2 rounds")
    if os.geteuid() != 0:
        sys.exit("Containers need root, so type: sudo python -m tests.bench.ports")
    os.nice(-20)  # all that is started here inherits it
    with World() as world:
        processes, undo = [], []
        try:
            hosts = {
                "bare": bare(processes),
                "by hand": by_hand(processes),
                "podman": podman(world, processes, undo),
                "minict": minict(processes, undo),
            }
            time.sleep(1)
            ways = {way: host[way] for host in hosts.values() for way in host}
            found = measure(ways, options.rounds, options.seconds)
        finally:
            for words in undo:
                subprocess.run(words, capture_output=True)
            for process in processes:
                process.kill()
                process.wait()
    report(found, options.rounds)


# ---- the hosts: what each way is called, and the words before iperf3's and the address ---------------------


def bare(processes: list) -> dict:
    host, server = machine(processes), machine(processes)
    plug("cable", GATEWAY, server, SERVER, host)
    serve(processes, server)
    return {
        "from the host, bare veth": (inside(host), SERVER),
        "from outside, routed": (inside(peer(processes, host)), SERVER),
    }


def by_hand(processes: list) -> dict:
    host, server = machine(processes), machine(processes)
    sh(*inside(host), "ip", "link", "add", "bridge0", "type", "bridge")
    plug("cable", None, server, SERVER, host)
    for words in (
        ["link", "set", "cable", "master", "bridge0"],
        ["address", "add", f"{GATEWAY}/24", "dev", "bridge0"],
        ["link", "set", "bridge0", "up"],
    ):
        sh(*inside(host), "ip", *words)
    sh(*inside(host), "sysctl", "-qw", "net.ipv4.conf.bridge0.route_localnet=1")
    sh(*inside(host), "nft", "-f", "-", input=BY_HAND)
    serve(processes, server)
    return published(processes, host, "by hand")


def podman(world: World, processes: list, undo: list) -> dict:
    """The way through a container of podman; empty when podman does not run here."""
    host = machine(processes)
    words = [*inside(host), *podman_words(world)]
    done = [
        subprocess.run([*words, *more], capture_output=True, text=True)
        for more in (
            ["import", world.archive, IMAGE],
            [
                "run",
                "-d",
                "--name",
                "server",
                "--cgroup-parent",
                f"/{NAME}",
                "--ulimit",
                "nofile=1024:1024",
                "--ulimit",
                "nproc=1024:1024",
                "-p",
                f"{PORT}:{PORT}",
                IMAGE,
                "sleep",
                "100000",
            ],
            ["inspect", "-f", "{{.State.Pid}}", "server"],
        )
    ]
    undo.append([*words, "rm", "-f", "-t", "0", "server"])
    if any(each.returncode for each in done):
        print(f"podman did not take part: {next(each.stderr for each in done if each.returncode).strip()}")
        return {}
    serve(processes, int(done[-1].stdout))
    return published(processes, host, "podman")


def minict(processes: list, undo: list) -> dict:
    command = f"{os.path.dirname(sys.executable)}/minict"
    id = sh(command, "run", "-d", "-p", f"{PORT}:{PORT}", IMAGE, "sleep", "100000").strip()
    undo += [[command, "rm", "-f", id], [command, "prune"]]
    serve(processes, int(sh(command, "inspect", "-f", "{{.State.Pid}}", id)))
    return published(processes, os.getpid(), "minict")


def published(processes: list, host: int, whose: str) -> dict:
    return {
        f"from the host, {whose}": (inside(host), HOST),
        f"from 127.0.0.1, {whose}": (inside(host), "127.0.0.1"),
        f"from outside, {whose}": (inside(peer(processes, host)), HOST),
    }


def machine(processes: list) -> int:
    """Create a network namespace with an idle process in it; return the process's pid."""
    processes.append(
        subprocess.Popen(["sleep", "100000"], preexec_fn=lambda: namespaces.unshare(namespaces.CLONE_NEWNET))
    )
    pid = processes[-1].pid
    sh(*inside(pid), "ip", "link", "set", "lo", "up")
    sh(*inside(pid), "sysctl", "-qw", "net.ipv4.ip_forward=1")
    return pid


def peer(processes: list, host: int) -> int:
    pid = machine(processes)
    plug("outside", HOST, pid, NEIGHBOUR, host)
    return pid


def plug(name: str, here: str | None, pid: int, there: str, host: int) -> None:
    """Connect the machine *pid* to a host by a veth pair, whose end on the host has the address *here*."""
    sh(*inside(host), "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    if here:
        sh(*inside(host), "ip", "address", "add", f"{here}/24", "dev", name)
    sh(*inside(host), "ip", "link", "set", name, "up")
    sh(*inside(pid), "ip", "address", "add", f"{there}/24", "dev", "eth0")
    sh(*inside(pid), "ip", "link", "set", "eth0", "up")
    sh(*inside(pid), "ip", "route", "add", "default", "via", HOST if name == "outside" else GATEWAY)


def serve(processes: list, pid: int) -> None:
    processes.append(subprocess.Popen([*inside(pid), "iperf3", "-s", "-p", str(PORT)], stdout=subprocess.DEVNULL))


def inside(pid: int) -> list[str]:
    return ["nsenter", "-t", str(pid), "-n"]


# ---- measured, and reported ----------------------------------------------------------------------------------------


def measure(ways: dict, rounds: int, seconds: int) -> dict[str, list[tuple[float, float]]]:
    """Of each way in each round: see :func:`gigabits`."""
    found = {name: [] for name in ways}
    for number in range(rounds):
        for name in random.Random(number).sample(list(ways), len(ways)):
            calm()
            found[name].append(gigabits(*ways[name], seconds))
    return found


def gigabits(prefix: list[str], address: str, seconds: int) -> tuple[float, float]:
    """Measure one TCP connection at its receiver: Gbit per second, and per second of processor time."""
    processors = sorted(os.sched_getaffinity(0))
    done = sh(
        *prefix,
        "iperf3",
        "-c",
        address,
        "-p",
        str(PORT),
        "-t",
        str(seconds),
        "-C",
        "reno",
        "-A",
        f"{processors[0]},{processors[-1]}",
        "--json",
    )
    end = json.loads(done)["end"]
    rate = end["sum_received"]["bits_per_second"] / 1e9
    return rate, rate / sum(end["cpu_utilization_percent"][side] / 100 for side in ("host_total", "remote_total"))


def report(found: dict[str, list[tuple[float, float]]], rounds: int) -> None:
    """The median of a ratio is that of the ratios in each round: measurements close in time are disturbed equally.

    The upper quartile consists of the samples that were disturbed least.
    """
    print(f"{f'TCP, {rounds} rounds':<50}{'median':>8} {'p75':>8} {'best':>8} {'p75, by processor time':>24}   Gbit/s")
    for name, samples in found.items():
        rates, efficiencies = zip(*samples)
        print(
            f"  {name:<48}{statistics.median(rates):8.2f} {quartile(rates):8.2f} {max(rates):8.2f} "
            f"{quartile(efficiencies):24.2f}"
        )
    print(f"\n{'Goals':<50}{'median':>8} {'p75':>8} {'best':>8} {'p75, by processor time':>24}   at least")
    for name, other, goal in goals(found):
        (rates, efficiencies), (others, their_efficiencies) = zip(*found[name]), zip(*found[other])
        ratio = statistics.median(ours / theirs for ours, theirs in zip(rates, others))
        verdict = "reached" if goal and ratio >= goal else "not reached" if goal else ""
        print(
            f"  {f'{name} / {other}':<48}{ratio:8.2f} {quartile(rates) / quartile(others):8.2f} "
            f"{max(rates) / max(others):8.2f} {quartile(efficiencies) / quartile(their_efficiencies):24.2f}   "
            f"{goal or '-':<5} {verdict}"
        )


def quartile(samples) -> float:
    return statistics.quantiles(samples, n=4, method="inclusive")[2]


def goals(found: dict) -> list[tuple[str, str, float | None]]:
    """(contender, reference, the lowest allowed ratio): minict compared with the bare way, and with the kernel's share
    of the work."""
    ways = {
        "from the host": "from the host, bare veth",
        "from 127.0.0.1": "from the host, bare veth",
        "from outside": "from outside, routed",
    }
    return [
        *((f"{way}, minict", other, GOAL) for way, other in ways.items()),
        *((f"{way}, minict", f"{way}, by hand", GOAL) for way in ways),
        *(
            (f"{way}, {whose}", other, None)
            for whose in ("by hand", "podman")
            for way, other in ways.items()
            if f"{way}, {whose}" in found
        ),
    ]


def sh(*words: str, input: str | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, input=input)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr or done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
