"""Podman for chapter 19, in a mount namespace of its own: whatever it stores and mounts is gone when that is.

::

    podman = open_podman()                          # one for each notebook; called again, the same
    podman("--runtime runc run --rm tiny echo hi")  # as in a terminal, without the first word
    podman.close()

Podman keeps files in a dozen places, whatever its options say. So ``/run``, ``/dev/shm``, ``/var/lib/containers`` and
the directory of its storage are memory here that no other process sees. The image ``tiny`` is imported from minict's.
On a machine without Podman, :func:`open_podman` says so in one line, and what it returns does nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import resource
import shlex
import shutil
import subprocess
import tempfile
import threading
import time

from minict.engine.api import Finished
from minict.engine.images.image import Image
from minict.kernel import mount as k
from minict.kernel import namespaces
from minict.runtime import mounts, paths

from . import host, leftovers

_PATIENCE = 120  # seconds for one command, on a busy machine
_PRIVATE = ("/run", "/dev/shm", "/var/lib/containers")
_MISSING = "Podman is not on this machine, so the cells that call it do nothing: sudo apt install podman runc crun"
_CONFIGURATION = """
[containers]
netns = "none"
cgroups = "no-conmon"
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
"""

_opened: Podman | Absent | None = None  # this notebook's


def open_podman() -> Podman | Absent:
    """This notebook's Podman, with the image ``tiny``. Another call returns the same one, as long as it is open."""
    global _opened
    if _opened is None or _opened.closed:
        if shutil.which("podman"):
            _opened = Podman()
            _opened.add_image("tiny")
        else:
            print(_MISSING)
            _opened = Absent()
    return _opened


class Podman:
    """Podman's command line, with a storage of its own, until :meth:`close`. Raises :class:`OSError`."""

    def __init__(self) -> None:
        self.place = tempfile.mkdtemp(prefix="minict-")  # it takes no path of more than 50 letters
        self.closed, self._made = False, [path for path in _PRIVATE if not os.path.isdir(path)]
        for path in self._made:
            os.mkdir(path)
        self.namespace = _mount_namespace([self.place, *_PRIVATE])
        atexit.register(self.close)
        self.configuration = f"{self.place}.conf"
        with open(self.configuration, "w") as file:
            file.write(_CONFIGURATION.format(**_limits()))
        leftovers.note(self.configuration)

    def enter(self) -> list[str]:
        """The words in front of a command that is to run in the namespace."""
        return ["nsenter", f"--mount=/proc/{os.getpid()}/fd/{self.namespace}"]

    def words(self, *words: str) -> list[str]:
        """The command that calls Podman with these *words*, in its namespace."""
        places = ["--root", f"{self.place}/root", "--runroot", f"{self.place}/run", "--tmpdir", f"{self.place}/tmp"]
        return [*self.enter(), "podman", *places, "--log-level", "fatal", *words]

    def environment(self) -> dict[str, str]:
        """Its variables: the places in which it would else leave files."""
        return {**os.environ, "CONTAINERS_CONF": self.configuration, "TMPDIR": self.place}

    def run(self, *words: str, **options) -> subprocess.CompletedProcess:
        """Call it with *words*; *options* are those of subprocess.run."""
        settings = {"stdin": subprocess.DEVNULL, "timeout": _PATIENCE, "env": self.environment()}
        return subprocess.run(self.words(*words), **{**settings, **options})

    def __call__(self, line: str) -> Finished:
        """What it prints, and its exit status. Containers get a control group below that of the lab.

        The path of a runtime, which is another one each time, is shortened to its name.
        """
        words = shlex.split(line)
        for command in ("run", "create"):
            if command in words:
                place = words.index(command) + 1
                words[place:place] = ["--cgroup-parent", f"/{paths.cgroup_parent()}"]
                break
        done = self.run(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = re.sub(r"/\S*/minict-oci\b", "minict-oci", done.stdout.decode(errors="replace"))
        return Finished(done.returncode, text, [])

    def add_image(self, name: str) -> None:
        """Import minict's image *name*, which has one layer. Raises :class:`subprocess.CalledProcessError`."""
        layer = Image.find(name).layers[0]
        with subprocess.Popen(["tar", "-C", layer, "-cf", "-", "."], stdout=subprocess.PIPE) as tar:
            self.run("import", "-", name, stdin=tar.stdout, check=True, capture_output=True)

    def monitor(self, name: str) -> int | None:
        """The pid of the process that stays with the container *name*: conmon."""
        return self._inspected(name, "ConmonPid") or None

    def pid(self, name: str) -> int:
        """The number of the first process of the container *name*; 0 when it does not run."""
        return self._inspected(name, "Pid")

    def daemons(self) -> list[str]:
        """None: Podman has no daemon."""
        return []

    def _inspected(self, name: str, field: str) -> int:
        said = self(f"container inspect --format {{{{.State.{field}}}}} {name}")
        return int(said.output) if said.status == 0 and said.output.strip().isdigit() else 0

    def _wait_for_the_others(self) -> None:
        """Wait until nothing runs in the namespace: conmon calls Podman once more, which would make the place again."""
        namespace, end = os.fstat(self.namespace).st_ino, time.monotonic() + _PATIENCE
        while any(_mount_namespace_of(pid) == namespace for pid in host.process_table()) and time.monotonic() < end:
            time.sleep(0.02)

    def close(self) -> None:
        """Remove its containers, and give its namespace up."""
        if self.closed:
            return
        self.closed = True
        ids = self("ps --all --quiet --no-trunc").output.split()
        self("rm --force --time 0 --all")
        self._wait_for_the_others()
        os.close(self.namespace)
        os.remove(self.configuration)
        os.rmdir(self.place)
        host.remove_cgroups([f"{tree}/libpod-{id}" for tree in host.cgroup_trees() for id in ids])
        for tree in host.cgroup_trees():  # runc and crun also make one where minict has none, and leave the parent
            with contextlib.suppress(OSError):
                os.rmdir(tree)
        for path in self._made:
            os.rmdir(path)


class Absent:
    """What stands for an engine that is not installed: it does nothing."""

    closed = False

    def __call__(self, line: str) -> Finished:
        """Nothing."""
        return Finished(0, "", [])

    def monitor(self, name: str) -> int | None:
        """Nobody."""
        return None

    def pid(self, name: str) -> int:
        """No process."""
        return 0

    def daemons(self) -> list[str]:
        """None."""
        return []

    def close(self) -> None:
        """Nothing to close."""
        self.closed = True


def _limits() -> dict[str, int]:
    """The hard limits of this process: a machine may refuse higher ones, and Podman asks for a million files."""
    pairs = {"files": resource.RLIMIT_NOFILE, "processes": resource.RLIMIT_NPROC}
    hard = {name: resource.getrlimit(number)[1] for name, number in pairs.items()}
    return {name: 1024 if value < 0 else min(value, 1024) for name, value in hard.items()}


def _mount_namespace_of(pid: int) -> int:
    """The inode of a process's mount namespace; 0 when it has ended, or is none of our business."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return 0


def _mount_namespace(in_memory: list[str]) -> int:
    """A new mount namespace in which each of these directories is an empty tmpfs; a descriptor of it.

    A unified hierarchy beside those of version 1 is left out: crun refuses such a machine.
    """
    made: list[int] = []
    error: list[OSError] = []

    def make() -> None:
        try:
            namespaces.unshare(namespaces.CLONE_NEWNS)
            mounts.make_private(k.MS_PRIVATE | k.MS_REC)
            for directory in in_memory:
                k.mount("podman", directory, "tmpfs")
            if os.path.ismount("/sys/fs/cgroup/unified"):
                k.umount2("/sys/fs/cgroup/unified", k.MNT_DETACH)
            made.append(os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
        except OSError as reason:
            error.append(reason)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if error:
        raise error[0]
    return made[0]
