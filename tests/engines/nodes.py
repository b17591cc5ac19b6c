"""Nodes of a cluster on one machine: network, mount and UTS namespaces, with a /run of their own, joined by a veth pair."""

from __future__ import annotations

import os
import subprocess

# The first line is told when the namespaces are there; the cable can come then. A resolver that does not answer fails at
# once, and not after the time for an answer.
_BEGIN = """
hostname "$1"
mount -t tmpfs node /run
echo nameserver 127.0.0.1 >/run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
echo ready
read -r _
ip link set lo up
ip address add "$2/24" dev eth0
ip link set eth0 up
log=$3
shift 3
exec "$@" >"$log" 2>&1
"""


class Node:
    """A node *name* with an *address*, whose first process is *command*; its output goes to the file *log*."""

    def __init__(self, name: str, address: str, log: str, command: list[str], environment: dict[str, str]) -> None:
        self.name, self.log, self.environment = name, log, {**os.environ, **environment}
        unshare = ["unshare", "--net", "--uts", "--mount", "--propagation", "private", "sh", "-ec", _BEGIN, "sh"]
        self.process = subprocess.Popen(
            [*unshare, name, address, log, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
        )
        assert self.process.stdout.readline() == b"ready\n"

    def inside(self) -> list[str]:
        """The words before a command that is to run on this node."""
        return ["nsenter", "--target", str(self.process.pid), "--net", "--uts", "--mount"]

    def close(self) -> None:
        """End its first process."""
        self.process.terminate()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def connect(first: Node, second: Node) -> None:
    """Lay the cable, and let the first processes of both begin."""
    ends = [str(node.process.pid) for node in (first, second)]
    cable = ["ip", "link", "add", "eth0", "netns", ends[0], "type", "veth", "peer", "name", "eth0", "netns", ends[1]]
    subprocess.run(cable, check=True)
    for node in (first, second):
        node.process.stdin.write(b"\n")
        node.process.stdin.flush()
