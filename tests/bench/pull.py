"""How long a pull takes, beside podman and skopeo with umoci: ``python -m tests.bench.pull``, a part of ``make bench``.

The image is a Debian of about 200 MB in five layers, in a docker-registry on loopback.  Each time the store is empty,
and everything is in memory: this measures the work without a network or a disk.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
from time import perf_counter

from tests.support.registry_server import Layout, RegistryServer, debian

from .contenders import podman_words
from .measure import Rounds
from .world import World

LAYERS = 5
PACKAGES = ("nginx-light", "perl", "python3-minimal")
# the goal: the highest allowed ratio to the faster of the others
GOAL = 0.8


class Commands:
    """A contender: *commands*, one after the other, and the directories that they fill, which are removed each time."""

    def __init__(self, name: str, does: str, commands: list[list[str]], fills: list[str]):
        self.name, self.does, self._commands, self._fills = name, does, commands, fills

    def run(self, count: int = 1) -> tuple[float, list[str]]:
        """Return the seconds that it took, and the errors."""
        begin = perf_counter()
        done = [
            subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True) for words in self._commands
        ]
        seconds = perf_counter() - begin
        for path in self._fills:
            shutil.rmtree(path, ignore_errors=True)
        return seconds, [each.stderr.strip() for each in done if each.returncode]


def contenders(world: World, name: str) -> list[Commands]:
    minict = f"{os.path.dirname(sys.executable)}/minict"
    copy, unpacked = world.path("skopeo"), world.path("unpacked")
    return [
        Commands(
            "minict pull", "verified, unpacked, in the store", [[minict, "pull", "--quiet", name]], [world.path("data")]
        ),
        Commands(
            "podman pull",
            "the same",
            [[*podman_words(world), "pull", "--quiet", "--tls-verify=false", name]],
            [world.path("podman")],
        ),
        Commands(
            "skopeo copy, umoci unpack",
            "verified and unpacked, one directory for all layers",
            [
                ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{name}", f"oci:{copy}:image"],
                ["umoci", "unpack", "--image", f"{copy}:image", unpacked],
            ],
            [copy, unpacked],
        ),
    ]


def split(archive: str, directory: str) -> list[str]:
    """Split a tar archive into archives of about the same size, one per layer; hard links stay with their first
    name."""
    size = os.path.getsize(archive)
    paths = [f"{directory}/{number}.tar" for number in range(LAYERS)]
    parts = [tarfile.open(path, "w", format=tarfile.PAX_FORMAT) for path in paths]
    place = {}
    with tarfile.open(archive) as whole:
        for member in whole:
            if member.isdev():
                continue
            number = place.get(member.linkname) if member.islnk() else min(LAYERS - 1, member.offset * LAYERS // size)
            place[member.name] = number
            parts[number].addfile(member, whole.extractfile(member) if member.isreg() else None)
    for part in parts:
        part.close()
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pull", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="samples of each contender (default: 5)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("Containers need root, so type: sudo make bench")
    archive, rounds = debian(*PACKAGES), Rounds()
    with World() as world:
        for name in ("parts", "registry"):
            os.mkdir(world.path(name))
        layout = Layout(pathlib.Path(world.path("layout")))
        layout.image("image", split(archive, world.path("parts")), cmd="/bin/sh")
        shutil.rmtree(world.path("parts"))
        with RegistryServer(pathlib.Path(world.path("registry"))) as registry:
            everybody = contenders(world, registry.push(layout, "image"))
            for contender in everybody:  # once, to warm the caches
                if errors := contender.run()[1]:
                    sys.exit(f"{contender.name} failed: {errors[0]}")
            table = rounds.measure(everybody, options.rounds)
    print(
        f"\nA pull of {os.path.getsize(archive) / 1e6:.0f} MB in {LAYERS} layers, {options.rounds} rounds; "
        f"{rounds.restless} of {rounds.samples} samples began in a restless moment.\n"
    )
    print(f"{'':<30}{'median':>8} {'p25':>8} {'min':>8}   s")
    for contender in everybody:
        samples = table[contender.name]
        failed = f"   {len(samples.errors)} FAILED: {samples.errors[0]}" if samples.errors else ""
        times = " ".join(f"{seconds:8.2f}" for seconds in (samples.median, samples.quartile, samples.least))
        print(f"  {contender.name:<28}{times}   {contender.does}{failed}")
    minict, *others = (table[each.name] for each in everybody)
    ratios = [
        getattr(minict, word) / min(getattr(each, word) for each in others) for word in ("median", "quartile", "least")
    ]
    print(
        f"\n  {'minict pull / the faster':<28}{' '.join(f'{ratio:8.2f}' for ratio in ratios)}   at most {GOAL}: "
        f"{'reached' if ratios[0] <= GOAL and not minict.errors else 'not reached'}"
    )


if __name__ == "__main__":
    main()
