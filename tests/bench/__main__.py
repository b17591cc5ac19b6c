"""How long a container takes, beside runc, crun, bwrap, unshare, podman and docker: ``make bench``.

Wall time is measured, from just before the process is started (or the function called) until it has ended and
everything is removed. contenders.py says what takes part, and measure.py how it is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys

from .contenders import all_contenders
from .dockerd import Docker
from .measure import Rounds
from .report import prepare, print_goals, print_table
from .world import World

AT_ONCE = 50
# the goals: (contender, reference, the highest allowed ratio; None: only reported)
GOALS = [
    ("minict run", "runc run", 0.75),
    ("minict run", "crun run", 1.4),
    ("minict.run, notebook", "crun run", 0.3),
    ("minict.run, notebook", "bwrap", 1.0),
    ("minict run, bridge", "podman run, bridge", 0.5),
    ("minict run, bridge", "docker run, bridge", 0.5),
    ("minict-oci, five steps", "runc, five steps", 2.2),
    ("minict-oci state", "runc state", 2.5),
    ("minict-oci kill", "runc kill", 2.5),
    ("podman run, minict", "podman run, runc", 1.15),
    ("docker run, minict", "docker run, bridge", 1.15),
    ("minict-oci, five steps", "crun, five steps", None),
    ("minict run", "runc run, plain", None),
    ("minict run", "crun run, plain", None),
    ("minict.run, notebook", "crun run, plain", None),
    ("minict run", "podman run", None),
]
GOALS_AT_ONCE = [("minict.run, notebook", "crun run", 0.5), ("minict.run, notebook", "crun run, plain", None)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=25, help="samples of each contender (default: 25)")
    parser.add_argument("--rounds-at-once", type=int, default=7, help=f"samples with {AT_ONCE} at once (default: 7)")
    parser.add_argument(
        "--only", metavar="NAME,…", help="only the contenders with these names (a comma and a blank belong to a name)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write all samples there, in seconds")
    options = parser.parse_args()
    if min(options.rounds, options.rounds_at_once) < 2:
        parser.error("one sample is not a measurement: use at least 2 rounds")
    if os.geteuid() != 0:
        sys.exit("Containers need root, so type: sudo make bench")
    os.nice(-20)  # every process started here inherits it

    rounds = Rounds()
    docker = Docker()
    with World() as world, docker.running(world) as words:
        contenders = all_contenders(world, words)
        if options.only:
            contenders = [each for each in contenders if each.name in re.split(",(?! )", options.only)]
        ready, missing = prepare(contenders)
        try:
            alone = rounds.measure(ready, options.rounds)
            names = [name for goal in GOALS_AT_ONCE for name in goal[:2]]
            together = rounds.measure([each for each in ready if each.name in names], options.rounds_at_once, AT_ONCE)
        finally:
            for each in ready:
                each.close()

    print(
        f"Python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} processors; "
        f"{rounds.restless} of {rounds.samples} samples began in a restless moment.\n"
    )
    print_table("One container", alone, options.rounds, {each.name: each.does for each in ready})
    print_table(f"{AT_ONCE} at once", together, options.rounds_at_once, {})
    for name, reason in {**missing, **({"docker": docker.why} if docker.why else {})}.items():
        print(f"{name} did not take part: {reason}")
    print_goals("Goals", GOALS, alone)
    print_goals(f"Goals, {AT_ONCE} at once", GOALS_AT_ONCE, together)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(
                {
                    title: {name: vars(samples) for name, samples in table.items()}
                    for title, table in (("alone", alone), ("at once", together))
                },
                file,
                indent=1,
            )


main()
