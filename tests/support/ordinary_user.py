"""An ordinary user of this machine, for the tests of minict without root: ``ada``, with 65536 ids in /etc/subuid.

The session has a mount namespace of its own: what is mounted on /etc/passwd and its like is there alone. Behind the veth
pair ``uplink0`` lies the world, a machine with a registry's and a browser's view of the host.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from minict.kernel import mount
from minict.lab import host
from minict.runtime import paths
from tests.support import network_world
from tests.support.command_line import PATIENCE
from tests.support.paths import ROOT
from tests.support.world import WORLD as WORLD_DIRECTORY

# ids that nobody else has, also not another session of tests: their processes are killed at the end
UID = 1_200_000_000 + os.getpid() % 4_000_000
FIRST, COUNT = 1_400_000_000 + os.getpid() % 10_000 * 65536, 65536
NAME = "ada"
_FILES = {
    "/etc/passwd": f"{NAME}:x:{UID}:{UID}::HOME:/bin/sh\n",
    "/etc/group": f"{NAME}:x:{UID}:\n",
    "/etc/subuid": f"{NAME}:{FIRST}:{COUNT}\n",
    "/etc/subgid": f"{NAME}:{FIRST}:{COUNT}\n",
}


class User:
    """The user, whose files are in *directory*. *alone*: without ids besides the user's own."""

    def __init__(self, directory: str, alone: bool = False):
        self.directory, self.mounts = directory, []
        self.group = ""  # the control group in which the user's commands begin; empty: in that of the tests
        self.home, self.runtime = f"{directory}/home", f"{directory}/runtime"
        for path in (self.home, self.runtime):
            os.makedirs(path)
            os.chown(path, UID, UID)
            os.chmod(path, 0o700)
        os.chmod(directory, 0o755)
        for path, line in _FILES.items():
            with open(path) as file:
                text = file.read() if not path.startswith("/etc/sub") else ""
            text += "" if alone and path.startswith("/etc/sub") else line.replace("HOME", self.home)
            self._cover(path, text)
        os.mkdir(f"{directory}/dev")  # in /tmp, devices may be forbidden
        mount.mount("ada", f"{directory}/dev", "tmpfs", 0, "mode=755")
        self.mounts.append(f"{directory}/dev")
        os.mknod(f"{directory}/dev/tun", 0o020666, os.makedev(10, 200))
        os.chmod(f"{directory}/dev/tun", 0o666)  # as udev makes it
        self._mount(f"{directory}/dev/tun", "/dev/net/tun")
        # a checkout in root's home is shown where everybody may go
        self.course, self.library = f"{directory}/course", f"{directory}/library"
        for source, place in ((ROOT, self.course), (os.path.dirname(pytest.__path__[0]), self.library)):
            os.mkdir(place)
            self._mount(source, place)
        self.environment = {
            "HOME": self.home,
            "XDG_RUNTIME_DIR": self.runtime,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": f"{self.course}:{self.library}",
            "LANG": "C.UTF-8",
        }

    def _cover(self, path: str, text: str) -> None:
        mine = f"{self.directory}/{os.path.basename(path)}"
        with open(mine, "w") as file:
            file.write(text)
        self._mount(mine, path)

    def _mount(self, source: str, place: str) -> None:
        mount.mount(source, place, None, mount.MS_BIND)
        self.mounts.append(place)

    def words(self, *words: str) -> list[str]:
        """How root lets the user execute *words*."""
        join = ["sh", "-c", f'echo 0 > {self.group}/cgroup.procs; exec "$@"', "sh"] if self.group else []
        return [*join, "setpriv", f"--reuid={UID}", f"--regid={UID}", "--init-groups", "--reset-env", "env", "-i",
                *(f"{name}={value}" for name, value in self.environment.items()), *words]  # fmt: skip

    def execute(self, *words: str, **options) -> subprocess.CompletedProcess:
        """What the user's *words* do; output and error are text."""
        options = {"capture_output": True, "text": True, "timeout": PATIENCE, "cwd": self.home, **options}
        return subprocess.run(self.words(*words), **options)

    @contextlib.contextmanager
    def delegated_group(self):
        """In a ``with`` statement, on cgroup v2: the user's commands begin in a group that belongs to the user, as
        systemd's user@UID.service does."""
        top = f"/sys/fs/cgroup/{paths.cgroup_parent()}"
        try:
            os.makedirs(f"{top}/session")
            with open(f"{top}/cgroup.subtree_control", "w") as file:
                file.write("+cpu +memory +pids")
            for path in (top, f"{top}/session"):
                for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
                    os.chown(f"{path}/{name}", UID, UID)
            self.group = f"{top}/session"
            yield
        finally:
            self.stop()
            self.group = ""
            host.remove_cgroups(host.cgroup_trees())

    @property
    def program(self) -> list[str]:
        return [os.path.realpath(sys.executable), "-m", "minict"]

    def minict(self, *words: str, **options) -> subprocess.CompletedProcess:
        """``minict WORDS…``, as the user types it."""
        return self.execute(*self.program, *words, **options)

    def output(self, *words: str, **options) -> str:
        """What ``minict WORDS…`` writes; it must succeed, and have no error to tell of."""
        done = self.minict(*words, **options)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout.strip()

    def run(self, script: str, *flags: str, image: str = "tiny", **options) -> str:
        """What the shell *script* says in a container."""
        return self.output("run", "--rm", *flags, image, "sh", "-c", script, **options)

    @property
    def keeper(self) -> int:
        """The pid of the process that keeps the namespaces."""
        with open(f"{self.runtime}/minict/rootless/keeper") as file:
            return int(file.read().split()[0])

    def processes(self) -> list[int]:
        """All processes that the user has."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/status") as file:
                    uids = next(line for line in file if line.startswith("Uid:")).split()[1:]
            except (OSError, StopIteration):
                continue
            if str(UID) in uids or any(FIRST <= int(uid) < FIRST + COUNT for uid in uids):
                found.append(int(pid))
        return found

    def stop(self) -> None:
        """Remove the containers, and end the namespaces."""
        self.minict("prune")
        ids = self.minict("ps", "-aq").stdout.split()
        self.minict("rm", "-fv", *ids) if ids else None
        assert self.output("unshare", "--stop") == ""

    def kill_all(self) -> None:
        """What a reboot does to the user's processes."""
        end = time.monotonic() + PATIENCE
        while pids := self.processes():
            assert time.monotonic() < end, f"processes of the user stay: {pids}"
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    pass
            time.sleep(0.01)

    def close(self) -> None:
        self.kill_all()
        for place in reversed(self.mounts):
            mount.umount2(place, mount.MNT_DETACH)
        shutil.rmtree(self.directory)


@pytest.fixture(scope="module")
def uplink():
    """The host's way to the world, for a session whose network namespace has loopback alone."""
    before = host.snapshot()
    with network_world.uplink() as machine:
        yield machine
    assert not host.settle(before, PATIENCE)


@pytest.fixture(scope="module")
def account(uplink):
    """The user, with the image ``tiny``, and without a process."""
    yield from _account("ada", alone=False)


@pytest.fixture(scope="module")
def lonely_account(uplink):
    """The same without ids in /etc/subuid."""
    yield from _account("lonely", alone=True)


def _account(directory: str, alone: bool):
    user = User(f"{WORLD_DIRECTORY}/{directory}", alone)
    try:
        made = user.minict("run", "--rm", "--network", "none", "tiny", "true")
        assert made.returncode == 0, made.stderr
        user.stop()
        yield user
    finally:
        user.close()


@pytest.fixture
def ada(account):
    """The user, whose containers and namespaces end with the test."""
    yield account
    account.stop()


@pytest.fixture
def lonely(lonely_account):
    """The user with one id, whose containers and namespaces end with the test."""
    yield lonely_account
    lonely_account.stop()
