"""containerd and Docker for chapter 19, which run containers with the learner's ``minict-oci``.

::

    ctr, docker = open_engines(mine)                # one pair for each notebook; called again, the same
    ctr(f"run --rm --runc-binary {mine} tiny box echo hello")
    docker("run --rm --runtime minict tiny echo hello")
    ctr.close()                                     # both end

Both daemons are in an :class:`.Enclosure`: with sockets, storage and a network of their own. A Docker that already runs
on this machine is not asked, and does not notice. Docker uses the same containerd as ctr, as on any Debian.
The image ``tiny`` is imported from minict's. On a machine without these programs :func:`open_engines` says so in one
line, and what it returns does nothing.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

from minict.engine.api import Finished
from minict.engine.images import tarexport
from minict.runtime.errors import ContainerError

from .daemons import Enclosure
from .ociruntime import MyRuntime
from .podman import Absent

PROGRAMS = ("dockerd", "docker", "containerd", "ctr")
_MISSING = (
    "Docker or containerd is not on this machine, so the cells that call them do nothing: "
    "sudo apt install docker.io containerd"
)
_CONTAINERD, _DOCKER = "/run/containerd/containerd.sock", "/run/docker.sock"  # inside
# Without the plugin for Kubernetes, and with a place of our own for what is in /opt/containerd otherwise.
_CONFIGURATION = """version = 2
root = "{place}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{place}/opt"
"""
_NO_FIREWALL = ("--iptables=false", "--ip6tables=false")

_opened: tuple[Ctr, Docker] | tuple[Absent, Absent] | None = None  # this notebook's


def open_engines(runtime: MyRuntime) -> tuple[Ctr, Docker] | tuple[Absent, Absent]:
    """This notebook's containerd and Docker, with the image ``tiny``, and *runtime* as Docker's runtime ``minict``."""
    global _opened
    if _opened is None or _opened[0].closed:
        if not all(map(shutil.which, PROGRAMS)):
            print(_MISSING)
            _opened = Absent(), Absent()
            return _opened
        enclosure = Enclosure()
        try:
            ctr, docker = containerd(enclosure), dockerd(enclosure, {"minict": runtime.path})
            add_image("tiny", ctr, docker)
        except BaseException:
            enclosure.close()
            raise
        ctr.runtime = docker.runtime = runtime
        _opened = ctr, docker
    return _opened


def containerd(enclosure: Enclosure) -> Ctr:
    """Start containerd inside. Raises :class:`ContainerError` when it does not start."""
    settings = _CONFIGURATION.format(place=enclosure.place, socket=_CONTAINERD)
    enclosure.start(["containerd", "--config", enclosure.write("containerd.toml", settings)], _CONTAINERD)
    return Ctr(enclosure)


def dockerd(enclosure: Enclosure, runtimes: dict[str, str], *options: str, firewall: bool = False) -> Docker:
    """Start dockerd inside, beside containerd, with these *runtimes*, a name and a path each.

    Its bridge is in the network of the enclosure; *firewall*: whether it makes rules there. It uses no slices of
    systemd, which are outside. Raises :class:`ContainerError` when it does not start.
    """
    words = ["dockerd", "--host", f"unix://{_DOCKER}", "--containerd", _CONTAINERD]
    words += ["--config-file", enclosure.write("daemon.json", "{}"), "--data-root", f"{enclosure.place}/docker"]
    words += ["--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"]
    words += ["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{enclosure.group}"]
    for name, path in runtimes.items():
        words += ["--add-runtime", f"{name}={path}"]
    enclosure.start([*words, *(() if firewall else _NO_FIREWALL), *options], _DOCKER)
    return Docker(enclosure)


def add_image(name: str, *engines: Ctr | Docker) -> None:
    """Give minict's image *name* to *engines* of one enclosure. Raises :class:`ContainerError` when one refuses it."""
    archive = f"{engines[0].enclosure.place}.tar"  # beside the place, where both sides can see it
    try:
        tarexport.save_file([name], archive)
        for engine in engines:
            for words in engine.import_words(name, archive):
                done = engine.run(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                if done.returncode:
                    raise ContainerError(f"{words[0]} of {name}: {done.stdout.decode(errors='replace').strip()}")
    finally:
        if os.path.exists(archive):
            os.remove(archive)


class _Engine:
    """The command line of an engine in an enclosure."""

    COMMAND: tuple[str, ...]
    DAEMONS: tuple[str, ...]

    def __init__(self, enclosure: Enclosure):
        self.enclosure, self.runtime = enclosure, None

    @property
    def closed(self) -> bool:
        """Whether its daemons have ended."""
        return self.enclosure.closed

    def daemons(self) -> list[str]:
        """Those of its daemons that run."""
        return [name for name in self.DAEMONS if name in self.enclosure.running()]

    def words(self, *words: str) -> list[str]:
        """The command that calls it with *words*."""
        return self.enclosure.words(*self.COMMAND, *words)

    def run(self, *words: str, **options) -> subprocess.CompletedProcess:
        """Call it with *words*; *options* are those of subprocess.run."""
        return self.enclosure.run(*self.COMMAND, *words, **options)

    def __call__(self, line: str) -> Finished:
        """What it prints, and its exit status. The path of a runtime is shortened to its name."""
        if self.runtime:
            self.runtime.refresh()  # a function may have been passed since
        done = self.run(*self._changed(shlex.split(line)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = re.sub(r"/\S*/minict-oci\b", "minict-oci", done.stdout.decode(errors="replace"))
        return Finished(done.returncode, text, [])

    def _changed(self, words: list[str]) -> list[str]:
        return words

    def close(self) -> None:
        """End the daemons of both engines, and remove what they have."""
        self.enclosure.close()


class Ctr(_Engine):
    """containerd's command line."""

    COMMAND, DAEMONS = ("ctr", "--address", _CONTAINERD), ("containerd",)

    def _changed(self, words: list[str]) -> list[str]:
        """A container gets a control group below the enclosure's."""
        if words[:1] == ["run"]:
            words[1:1] = ["--cgroup", f"/{self.enclosure.group}/{os.urandom(8).hex()}"]
        return words

    def import_words(self, name: str, archive: str) -> list[list[str]]:
        """The commands that make an *archive* its image *name*."""
        return [["images", "import", archive], ["images", "tag", f"docker.io/library/{name}:latest", name]]

    def pid(self, name: str) -> int:
        """The number, on this machine, of the first process of the container *name*; 0 when it does not run."""
        lines = [line.split() for line in self("tasks ls").output.splitlines()]
        return next((self.enclosure.on_the_host(int(words[1])) for words in lines if words[0] == name), 0)


class Docker(_Engine):
    """Docker's command line."""

    COMMAND, DAEMONS = ("docker", "--host", f"unix://{_DOCKER}"), ("dockerd", "containerd")

    def import_words(self, name: str, archive: str) -> list[list[str]]:
        """The commands that make an *archive* its image *name*."""
        return [["load", "--input", archive]]

    def pid(self, name: str) -> int:
        """The number, on this machine, of the first process of the container *name*; 0 when it does not run."""
        said = self(f"inspect --format {{{{.State.Pid}}}} {name}")
        return self.enclosure.on_the_host(int(said.output)) if said.status == 0 else 0
