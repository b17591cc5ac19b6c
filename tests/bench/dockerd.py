"""Docker, for the duration of a benchmark and in its namespaces, so that the machine itself gets no daemon.

Debian's package would start one at once and permanently, with a bridge and rules in the machine's own network. So,
where Docker is not installed, its packages are only downloaded and unpacked.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

from .world import IMAGE, NAME, Failed, World

_PACKAGES = ["docker.io", "containerd", "tini"]
_PATIENCE = 30  # seconds


class Docker:
    """To be made before the :class:`World`, where nothing can be fetched; *why*: why it does not take part, else
    empty."""

    def __init__(self) -> None:
        self.why = ""
        self._path = os.environ["PATH"]
        self._place = tempfile.mkdtemp(prefix=f"{NAME}-docker")
        if not shutil.which("dockerd"):
            fetched = subprocess.run(
                ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *_PACKAGES],
                cwd=self._place,
                capture_output=True,
                text=True,
            )
            self.why = "" if fetched.returncode == 0 else f"its packages can't be fetched: {fetched.stderr.strip()}"
            for package in glob.glob(f"{self._place}/*.deb"):
                subprocess.run(["dpkg-deb", "--extract", package, self._place], check=True)
            self._path = f"{self._place}/usr/sbin:{self._place}/usr/bin:{self._path}"

    @contextmanager
    def running(self, world: World):
        """``with docker.running(world) as words:`` *words* is the command line of Docker, which has our image; None
        when Docker does not take part."""
        process = None
        try:
            if not self.why:
                process = self._start(world)
            yield self._words if process else []
        finally:
            if process:
                process.terminate()
                process.wait()
            shutil.rmtree(self._place)

    def _start(self, world: World) -> subprocess.Popen | None:
        socket = f"unix://{world.path('docker.sock')}"
        self._words = [shutil.which("docker", path=self._path), "--host", socket]
        with open(world.path("docker.log"), "w") as log:
            process = subprocess.Popen(
                [
                    "dockerd",
                    "--host",
                    socket,
                    "--data-root",
                    world.path("docker"),
                    "--add-runtime",
                    f"minict={os.path.dirname(sys.executable)}/minict-oci",
                    "--exec-root",
                    "/run/docker-bench",
                    "--pidfile",
                    world.path("docker.pid"),
                    "--cgroup-parent",
                    f"/{NAME}-docker",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": self._path},
            )
        try:
            self._wait(process, world)
            return process
        except Failed as error:
            self.why = str(error)
            process.kill()
            process.wait()
            return None

    def _wait(self, process: subprocess.Popen, world: World) -> None:
        end = time.monotonic() + _PATIENCE
        while subprocess.run([*self._words, "version"], capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > end:
                with open(world.path("docker.log")) as log:
                    raise Failed(f"its daemon does not start here: {' '.join(log.read().splitlines()[-1:])}")
            time.sleep(0.1)
        if subprocess.run([*self._words, "import", world.archive, IMAGE], capture_output=True).returncode:
            raise Failed("its daemon takes no image here")
