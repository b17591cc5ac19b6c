"""``make test-dockerfiles``: the builds of ``tests/support/dockerfile_cases.py`` on Debian's Docker with BuildKit, in
namespaces of their own.

The results must equal ``tests/data/dockerfile_cases.json``; ``--record`` rewrites that file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from minict.engine.images import tarexport
from minict.engine.images.importer import default_image
from tests.support import dockerfile_cases
from tests.support.dockerfile_cases import CASES, Case

from . import public_dockerfiles
from .dockerd import Docker
from .world import World

_PATIENCE = 120


def observe(words: list[str], case: Case, options: tuple = ()) -> dict:
    """Build *case* with *words*, a command such as ``docker``; return the ``status`` of the build (0 or 1), and what
    the image then shows."""
    with tempfile.TemporaryDirectory() as directory:
        dockerfile_cases.write(case, directory)
        given = [option.replace("{context}", directory) for option in case.options]
        built = _call([*words, "build", *options, *given, "-t", "case", directory])
        if built.returncode:
            return {"status": 1}
        output = ""
        if case.look:
            looked = _call(
                [*words, "run", "--rm", "--network", "none", "--entrypoint", "", "case", "sh", "-c", case.look]
            )
            output += looked.stdout + (f"status {looked.returncode}\n" if looked.returncode else "")
        if case.say:
            output += dockerfile_cases.said(case, _call([*words, "image", "inspect", "case"]).stdout)
        return {"status": 0, "output": output}


def _call(words: list[str]) -> subprocess.CompletedProcess:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    return subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE, env=environment, errors="replace")


def differences(words: list[str], options: tuple = ()) -> tuple[dict, list[str]]:
    """Return the observations of all cases, and a sentence for each that differs from the recorded one."""
    recorded = dockerfile_cases.recorded() if os.path.exists(dockerfile_cases.RECORD) else {}
    seen, told = {}, []
    for case in CASES:
        if case.seen:
            seen[case.name] = observe(words, case, options)
            if seen[case.name] != recorded.get(case.name):
                told.append(f"{case.name}: {seen[case.name]}, and recorded is {recorded.get(case.name)}")
    return seen, told


def load_tiny(words: list[str]) -> None:
    """Give Docker the image ``tiny``."""
    default_image()
    with tempfile.NamedTemporaryFile() as file:
        tarexport.save(["tiny"], file)
        file.flush()
        subprocess.run([*words, "load", "-i", file.name], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    docker = Docker()
    with World() as world, docker.running(world) as words:
        if not words:
            sys.exit(f"Docker is not to be had here: {docker.why}")
        load_tiny(words)
        seen, told = differences(words)
        further = [word for word in sys.argv[1:] if not word.startswith("--")]
        read = [line for directory in further for line in public_dockerfiles.compare(words, (), directory)]
    if "--record" in sys.argv:
        with open(dockerfile_cases.RECORD, "w", encoding="utf-8") as file:
            json.dump(seen, file, indent=1, sort_keys=True)
            file.write("\n")
        return
    print("\n".join([*read, *told, f"{len(seen)} builds, {len(told)} differ from what was recorded"]))
    sys.exit(bool(told))


if __name__ == "__main__":
    main()
