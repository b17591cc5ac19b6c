"""Daemons in namespaces of their own: what they mount, start, link and write is gone when those are.

An :class:`Enclosure` is a mount, a network and a pid namespace. Its first process is a shell that waits for orphans, as
process 1 of a machine does, until a pipe from this process is closed: by :meth:`Enclosure.close`, or by the kernel when
this process ends, whatever has ended it. Then the kernel kills all that runs in the pid namespace. A second shell,
outside, removes what is not in a namespace: control groups, and an empty directory.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time

from minict.runtime import paths
from minict.runtime.errors import ContainerError

from . import host

_PATIENCE = 120  # seconds for a daemon to listen, on a busy machine

# $1: the place, $2: what is to run in the namespaces; then the control groups
_OUTSIDE = """
place=$1 inside=$2
shift 2
unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private sh -c "$inside" sh "$place"
for group; do
    tries=0
    while [ -d "$group" ] && ! find "$group" -depth -type d -exec rmdir {} + 2> /dev/null && [ $tries -lt 50 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
done
rm -rf "$place"
"""
# Daemons write into /run and /etc, whatever their options say: here /run is memory, and /etc a layer of memory over the
# machine's. Without /sys/kernel/security they load no AppArmor profile, which would be one of the whole machine.
_INSIDE = """
set -e
place=$1
mount -t tmpfs -o mode=755 lab "$place"
mkdir "$place/etc" "$place/work" "$place/tmp"
mount -t overlay -o "lowerdir=/etc,upperdir=$place/etc,workdir=$place/work" lab /etc
mount -t tmpfs -o mode=755 lab /run
[ ! -d /sys/kernel/security ] || mount -t tmpfs lab /sys/kernel/security
ip link set lo up
echo ready
exec > /dev/null 2>&1
cat
"""


class Enclosure:
    """Namespaces for daemons, until :meth:`close` or the end of this process. Raises :class:`ContainerError`.

    ``place``: a directory that is memory inside. ``group``: a control group for their containers, for the option of an
    engine. *programs*: the PATH of the daemons.
    """

    def __init__(self, programs: str | None = None):
        self.programs, self.closed, self._owner = programs or os.environ["PATH"], False, os.getpid()
        self.place = tempfile.mkdtemp(prefix="minict-daemons-")
        self.group = f"{paths.cgroup_parent()}/{os.path.basename(self.place)}"
        points = dict.fromkeys(m["point"] for m in host.mount_table() if m["type"] in ("cgroup", "cgroup2"))
        self._keeper = subprocess.Popen(
            ["sh", "-c", _OUTSIDE, "sh", self.place, _INSIDE, *(f"{point}/{self.group}" for point in points)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # an interrupt of the notebook is not for them
        )
        atexit.register(self.close)
        self._daemons: dict[str, subprocess.Popen] = {}
        try:
            told = self._keeper.stdout.readline()
            if told != "ready\n":
                raise ContainerError(f"no namespaces for daemons: {told.strip()}")
            self._keeper.stdout.close()
            self.init = self._find_init()
        except BaseException:
            self.close()
            raise

    def _find_init(self) -> int:
        """The first process inside: it is in another pid namespace than its parent, unshare(1)."""
        table = host.process_table()
        family = host.descendants(table, self._keeper.pid)
        depths = {pid: len(host.numbers(table[pid])) for pid in family}
        return next(pid for pid in family if depths[pid] > depths.get(table[pid].parent, depths[pid]))

    def __enter__(self) -> Enclosure:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def environment(self) -> dict[str, str]:
        """The variables of what runs inside."""
        return {**os.environ, "PATH": self.programs, "TMPDIR": f"{self.place}/tmp", "HOME": self.place}

    def words(self, *words: str) -> list[str]:
        """The command that runs *words* inside. Source: nsenter(1)."""
        return ["nsenter", "--target", str(self.init), "--mount", "--net", "--pid", *words]

    def run(self, *words: str, **options) -> subprocess.CompletedProcess:
        """Run *words* inside; *options* are those of subprocess.run."""
        settings = {"stdin": subprocess.DEVNULL, "timeout": _PATIENCE, "env": self.environment()}
        return subprocess.run(self.words(*words), **{**settings, **options})

    def write(self, name: str, text: str) -> str:
        """Write *text* into the file *name* of the place; its path, which only processes inside can use."""
        path = f"{self.place}/{name}"
        self.run("sh", "-c", f"cat > {path}", stdin=None, input=text.encode(), check=True)
        return path

    def start(self, words: list[str], listens: str) -> None:
        """Start a daemon, and wait until it listens at the socket *listens*. Raises :class:`ContainerError`."""
        with tempfile.TemporaryFile("w+") as log:
            daemon = subprocess.Popen(
                self.words(*words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                start_new_session=True,
            )
            self._daemons[words[0]] = daemon
            end = time.monotonic() + _PATIENCE
            while not self._listens(listens):
                if daemon.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise ContainerError(f"{words[0]} does not start: {log.read()[-2000:].strip()}")
                time.sleep(0.02)

    def running(self) -> list[str]:
        """The names of the daemons that run."""
        return [name for name, daemon in self._daemons.items() if daemon.poll() is None]

    def _listens(self, path: str) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(f"/proc/{self.init}/root{path}")
            except OSError:
                return False
        return True

    def on_the_host(self, pid: int) -> int:
        """The number outside of the process *pid*; 0 when there is none. Source: proc_pid_status(5), NSpid."""
        table = host.process_table()
        depth = len(host.numbers(table[self.init])) - 1
        family = {self.init, *host.descendants(table, self.init)}
        return next((each for each in family if host.numbers(table[each])[depth : depth + 1] == [pid]), 0)

    def close(self) -> None:
        """End everything inside, and wait until nothing is left."""
        if self.closed or os.getpid() != self._owner:
            return
        self.closed = True
        self._keeper.stdin.close()
        self._keeper.wait()
        for daemon in self._daemons.values():
            daemon.wait()
        shutil.rmtree(self.place, ignore_errors=True)
