"""How long an exec and a start in the background take, and what a monitor costs: ``python -m
tests.bench.engine``.

* ``exec true`` in a container that runs, beside runc, crun, podman and docker;
* fifty starts in the background at once, until the last of the commands has come back;
* the private memory of the process that monitors an idle container, beside podman's conmon;
* the 500th start on a user-defined network beside the 10th, and ``rm -f`` of 200 containers with and without a network.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from statistics import median

from .contenders import Failed, Program, podman_words
from .dockerd import Docker
from .measure import Rounds
from .world import IMAGE, NAME, World

AT_ONCE = 50
GOAL_MEMORY = 12  # MB
CROWD, FEW = 500, 10  # containers on one network
GOAL_CROWD = 1.2  # how many times as long the last start of many may take as one of the first
REMOVED = 200
GOAL_REMOVED = 1.5  # times as long as without a network
ASLEEP = ["sleep", "100000"]
# podman's limits are for machines that may raise them
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
# (contender, reference, the highest allowed ratio; None: only reported)
GOALS = [("minict exec", f"{peer} exec", None) for peer in ("podman", "docker", "runc", "crun")]
GOALS_AT_ONCE = [("minict run -d", f"{peer} run -d", None) for peer in ("podman", "docker")]


class Exec(Program):
    """A command in a container that *start* starts and *stop* removes; neither is measured."""

    def __init__(self, name: str, words: list[str], start: list[str], stop: list[str]):
        super().__init__(name, "true in a container that runs", words)
        self._start, self._stop = start, stop

    def open(self) -> None:
        super().open()
        call(self._start)

    def close(self) -> None:
        call(self._stop)
        super().close()


class Detached(Program):
    """Starts in the background. *stop* removes the containers after each sample, which is not measured."""

    def __init__(self, name: str, words: list[str], stop: list[str]):
        super().__init__(name, "until the command comes back", words)
        self._stop = stop

    def run(self, count: int = 1) -> tuple[float, list[str]]:
        try:
            return super().run(count)
        finally:
            subprocess.run(["sh", "-c", " ".join(self._stop)], capture_output=True)


def call(words: list[str]) -> str:
    """Run a program. Its output goes into a file, because processes that it leaves in the background may keep a pipe
    open."""
    with open(os.memfd_create("output"), "w+b") as output:
        if subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode:
            output.seek(0)
            raise Failed(f"{' '.join(words)}: {output.read().decode(errors='replace').strip()}")
        output.seek(0)
        return output.read().decode().strip()


def contenders(world: World, docker: list[str]) -> tuple[list, list]:
    """The contenders for ``exec``, and those for starts in the background. *docker*: Docker's command line, if it takes
    part."""
    minict = f"{os.path.dirname(sys.executable)}/minict"
    podman = podman_words(world)
    podman_run = [*podman, "run", "-d", "--network", "none", "--cgroup-parent", f"/{NAME}", *LIMITS]
    execs = [
        Exec(
            "minict exec",
            [minict, "exec", "idle", "true"],
            [minict, "run", "-d", "--name", "idle", "--network", "none", IMAGE, *ASLEEP],
            [minict, "rm", "-f", "idle"],
        )
    ]
    for runtime in ("runc", "crun"):
        if shutil.which(runtime):
            config = world.same_config()
            words = [runtime, "--root", world.path(f"{runtime}-state")]
            bundle = world.bundle(f"{runtime}-idle", config)
            config["process"]["args"] = ASLEEP
            with open(f"{bundle}/config.json", "w") as file:
                json.dump(config, file)
            execs.append(
                Exec(
                    f"{runtime} exec",
                    [*words, "exec", f"{NAME}-{runtime}", "true"],
                    [*words, "run", "--detach", "--bundle", bundle, f"{NAME}-{runtime}"],
                    [*words, "delete", "--force", f"{NAME}-{runtime}"],
                )
            )
    if shutil.which("podman"):
        call([*podman, "import", world.archive, IMAGE])
        execs.append(
            Exec(
                "podman exec",
                [*podman, "exec", "idle", "true"],
                [*podman_run, "--name", "idle", IMAGE, *ASLEEP],
                [*podman, "rm", "-f", "-t", "0", "idle"],
            )
        )
    detached = [
        Detached(
            "minict run -d",
            [minict, "run", "-d", "--network", "none", IMAGE, *ASLEEP],
            [minict, "rm", "-f", f"$({minict} ps -a -q)"],
        ),
        Detached("podman run -d", [*podman_run, IMAGE, *ASLEEP], [*podman, "rm", "-f", "-t", "0", "-a"]),
    ]
    if docker:
        docker_run = [*docker, "run", "-d", "--network", "none"]
        execs.append(
            Exec(
                "docker exec",
                [*docker, "exec", "idle", "true"],
                [*docker_run, "--name", "idle", IMAGE, *ASLEEP],
                [*docker, "rm", "-f", "idle"],
            )
        )
        detached.append(
            Detached(
                "docker run -d", [*docker_run, IMAGE, *ASLEEP], [*docker, "rm", "-f", f"$({' '.join(docker)} ps -a -q)"]
            )
        )
    return execs, detached


def private_memory(name: str) -> float:
    """The memory, in MB, that only the process with this *name* uses: smaps_rollup in proc_pid_smaps(5)."""
    pid = int(subprocess.run(["pgrep", "-n", "-x", name], capture_output=True, text=True, check=True).stdout)
    with open(f"/proc/{pid}/smaps_rollup") as file:
        sizes = [int(line.split()[1]) for line in file if line.startswith("Private_")]
    return sum(sizes) * 1024 / 1e6


def measure_memory(detached: list) -> dict[str, float]:
    """The monitors' private memory, by their names."""
    found = {}
    for contender, monitor in zip(detached, ("minict-monitor", "conmon")):
        try:
            contender.open()
            call(contender.words)
            found[monitor] = private_memory(monitor)
        except (Failed, subprocess.CalledProcessError) as error:
            print(f"the memory of {monitor} was not measured: {error}")
        finally:
            contender.run(0)
    return found


def measure_crowd(crowd: int) -> dict[str, tuple[float, float]]:
    """Starts on a network with few and with many containers, and the removal of many: {what: (seconds, its base)}.

    Around the 10th and the last start the median of some starts is taken, because a single one says nothing.
    """
    minict = f"{os.path.dirname(sys.executable)}/minict"
    call([minict, "network", "create", "--subnet", "10.240.0.0/16", "crowd"])
    try:
        times = _start_many(minict, "crowd", crowd)
        first, last = median(times[FEW - 5 : FEW + 5]), median(times[-10:])
        with_network = _remove_many(minict)
        _start_many(minict, "none", min(crowd, REMOVED))
        return {
            f"start number {crowd} on a network, beside number {FEW}": (last, first),
            f"rm -f of {min(crowd, REMOVED)}, with and without": (with_network, _remove_many(minict)),
        }
    finally:
        subprocess.run([minict, "rm", "-f", *call([minict, "ps", "-aq"]).split(), "-"], capture_output=True)
        call([minict, "network", "rm", "crowd"])


def _start_many(minict: str, network: str, count: int) -> list[float]:
    """Return the seconds that each of *count* starts took."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        call([minict, "run", "-d", "--network", network, "--name", f"{network}{number}", IMAGE, *ASLEEP])
        times.append(time.perf_counter() - began)
    return times


def _remove_many(minict: str) -> float:
    """Remove the newest :data:`REMOVED` containers, and return the seconds that this took. The others are removed
    unmeasured."""
    ids = call([minict, "ps", "-aq"]).split()
    began = time.perf_counter()
    call([minict, "rm", "-f", *ids[:REMOVED]])
    seconds = time.perf_counter() - began
    if ids[REMOVED:]:
        call([minict, "rm", "-f", *ids[REMOVED:]])
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engine", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=25, help="samples of each exec (default: 25)")
    parser.add_argument(
        "--rounds-at-once", type=int, default=5, help=f"samples with {AT_ONCE} starts at once (default: 5)"
    )
    parser.add_argument("--crowd", type=int, default=CROWD, help=f"containers on one network (default: {CROWD})")
    options = parser.parse_args()
    if options.crowd < 2 * FEW:
        parser.error(f"a crowd is at least {2 * FEW} containers")
    if os.geteuid() != 0:
        sys.exit("Containers need root, so type: sudo make bench")
    from .report import prepare, print_goals, print_table

    rounds = Rounds()
    docker = Docker()
    with World() as world, docker.running(world) as words:
        execs, detached = contenders(world, words)
        memory = measure_memory(detached)
        ready, missing = prepare(execs)
        try:
            alone = rounds.measure(ready, options.rounds)
        finally:
            for each in ready:
                each.close()
        able, unable = prepare(detached)
        together = rounds.measure(able, options.rounds_at_once, AT_ONCE)
        crowd = measure_crowd(options.crowd)
    print_table("A further command", alone, options.rounds, {each.name: each.does for each in ready})
    print_table(
        f"{AT_ONCE} starts in the background at once",
        together,
        options.rounds_at_once,
        {each.name: each.does for each in able},
    )
    print("Private memory of the process that monitors an idle container")
    for name, megabytes in memory.items():
        print(f"  {name:<32}{megabytes:8.1f} MB")
    print("Many containers on one network")
    for what, goal in zip(crowd, (GOAL_CROWD, GOAL_REMOVED)):
        seconds, base = crowd[what]
        word = "reached" if seconds <= goal * base else "not reached"
        print(f"  {what:<50}{seconds * 1000:8.0f} ms {base * 1000:8.0f} ms {seconds / base:6.2f}   {goal:<5} {word}")
    for name, reason in {**missing, **unable, **({"docker": docker.why} if docker.why else {})}.items():
        print(f"{name} did not take part: {reason}")
    print_goals("Goals", GOALS, alone)
    print_goals(f"Goals, {AT_ONCE} at once", GOALS_AT_ONCE, together)
    if "minict-monitor" in memory:
        reached = "reached" if memory["minict-monitor"] <= GOAL_MEMORY else "not reached"
        print(
            f"  {'private memory of a monitor, in MB':<50}{memory['minict-monitor']:8.1f}{'':18}   {GOAL_MEMORY:<5} "
            f"{reached}"
        )


if __name__ == "__main__":
    main()
