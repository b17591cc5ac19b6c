"""``minict-oci`` as an engine calls it: a process for each step, with a state directory of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from minict.engine.images.image import Image
from minict.runtime import paths
from tests.integration.runtime.test_bundle import Bundle
from tests.support.command_line import PATIENCE, wait_until

OCI = [sys.executable, "-m", "minict.oci"]


class Runtime:
    """The command line with ``--root`` and ``--log``, and one bundle."""

    def __init__(self, bundle: Bundle, place: str):
        self.bundle, self.log = bundle, f"{place}/log.json"
        self.words = [*OCI, "--root", f"{place}/root", "--log", self.log, "--log-format", "json"]
        self.process, self.linux, self.config = bundle.process, bundle.linux, bundle.config
        self.place, self.count = place, 0
        self.linux["cgroupsPath"] = f"/{paths.cgroup_parent()}/box"

    def __call__(self, *words: str, **options) -> subprocess.CompletedProcess:
        settings = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": PATIENCE}
        return subprocess.run([*self.words, *words], **{**settings, "cwd": self.bundle.path, **options})

    def do(self, *words: str, **options) -> str:
        """The output of a call that must succeed without an error message."""
        done = self(*words, **options)
        assert (done.returncode, done.stderr or "") == (0, ""), done
        return done.stdout or ""

    def refused(self, *words: str, told: str, status: int = 1, **options) -> str:
        """A call must fail with one sentence, in which *told* is found, also as the last line of the log."""
        done = self(*words, **options)
        assert done.returncode == status and told in done.stderr and done.stderr.count("\n") == 1, done
        assert "Traceback" not in done.stderr and "internal error" not in done.stderr, done
        with open(self.log) as file:
            entry = json.loads(file.read().splitlines()[-1])
        assert (entry["level"], entry["msg"]) == ("error", done.stderr.strip())
        return done.stderr

    def create(self, *args: str, id: str = "box", options: tuple[str, ...] = (), **more) -> str:
        """Create a container; its output goes to the file ``out``."""
        self.bundle.load(*args)
        with open(f"{self.place}/out", "w") as out:
            self.do("create", *options, id, **{"capture_output": False, "stdout": out, "stderr": out, **more})
        return id

    def begin(self, *args: str, id: str = "box", **more) -> str:
        """A container whose command runs."""
        self.do("start", self.create(*args, id=id, **more))
        return id

    def run(self, script: str, status: int = 0) -> str:
        """What the shell *script* writes inside, by ``run``."""
        self.bundle.load("sh", "-c", script)
        self.count += 1
        done = self("run", f"run{self.count}")
        assert done.returncode == status, done
        return done.stdout.strip()

    def output(self) -> str:
        with open(f"{self.place}/out") as file:
            return file.read()

    def state(self, id: str = "box") -> dict:
        return json.loads(self.do("state", id))

    def stopped(self, id: str = "box") -> None:
        wait_until(lambda: self.state(id)["status"] == "stopped")


@pytest.fixture
def oci(image):
    """The command line, and a bundle; what is left of its containers afterwards is deleted."""
    place = f"{paths.data_root()}/oci"
    os.makedirs(place)
    runtime = Runtime(Bundle(f"{place}/bundle", Image.find(image).layers[0]), place)
    yield runtime
    for id in runtime.do("list", "--quiet").split():
        runtime("delete", "--force", id)
    subprocess.run(["rm", "-rf", place], check=True)
