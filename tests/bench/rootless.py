"""How long an ordinary user's containers take to start, beside podman's of the same user: ``python -m
tests.bench.rootless``.

Both have their storage in the user's home, and have run once: the namespaces and their keeper (podman's pause process)
are there, and so is the way out.
"""

from __future__ import annotations

import argparse
import os
import sys

from minict.kernel import mount
from tests.support import world  # it moves this process into mount and network namespaces of its own
from tests.support.network_world import uplink
from tests.support.ordinary_user import User

from .contenders import Program
from .measure import Rounds
from .report import prepare, print_goals, print_table

UNIFIED = "/sys/fs/cgroup/unified"
GOALS = [("minict run", "podman run", 0.5), ("minict run, network", "podman run, network", 0.5)]
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]


def contenders(user: User) -> list[Program]:
    """minict and podman, without a network and with one."""
    minict = [f"{os.path.dirname(sys.executable)}/minict", "run", "--rm"]
    podman = ["podman", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "run", "--rm", *LIMITS]
    found = []
    for name, words, image in (("minict", minict, "tiny"), ("podman", podman, "tiny")):
        alone = user.words(*words, "--network", "none", image, "true")
        found.append(Program(f"{name} run", "as an ordinary user, no network", alone))
        found.append(Program(f"{name} run, network", "the same, and a way out", user.words(*words, image, "true")))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rootless", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=25, help="samples of each (default: 25)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("An ordinary user is made for this, so type: sudo make bench")
    rounds = Rounds()
    if os.path.ismount(UNIFIED):
        mount.umount2(UNIFIED, mount.MNT_DETACH)  # crun refuses a machine with both versions of cgroups
    with uplink():
        user = User(f"{world.WORLD}/ada")
        try:
            user.minict("run", "--rm", "tiny", "true", check=True)
            user.minict("save", "-o", "tiny.tar", "tiny", check=True)
            user.execute("podman", "load", "-q", "-i", "tiny.tar")
            ready, missing = prepare(contenders(user))
            table = rounds.measure(ready, options.rounds)
        finally:
            user.close()
    print_table("Without root", table, options.rounds, {each.name: each.does for each in ready})
    for name, reason in missing.items():
        print(f"{name} did not take part: {reason}")
    print_goals("Goals", GOALS, table)
    print(f"\n{rounds.restless} of {rounds.samples} samples had no calm moment before them.")


if __name__ == "__main__":
    main()
