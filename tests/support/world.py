"""The environment of every test: a mount and a network namespace of its own, fresh names, and the proof that nothing is
left.

The whole session, with the kernels of the notebooks that nbval runs in it, lives in new mount and network
namespaces, made here before any test module is imported: what a test breaks, it breaks for itself.  Images,
state and control groups have names that no other session has.  After each test the host is compared with what
it was before: a test that leaves a mount, a link, a control group, a firewall rule, a process or a file fails.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
from collections import Counter

import pytest

from tests.support.paths import ROOT

sys.path.insert(0, ROOT)
for name in [name for name in os.environ if name.startswith("PYTHON")]:
    del os.environ[name]  # PYTHONUNBUFFERED, for one, would hide output that is never flushed
# for the kernels of notebooks, and for `python -m minict`; where pytest is not the interpreter's own, so are the others
os.environ["PYTHONPATH"] = ":".join([ROOT, os.path.dirname(pytest.__path__[0])][: 1 + (sys.prefix == sys.base_prefix)])

from minict.kernel import mount, namespaces, process  # noqa: E402
from minict.lab import host  # noqa: E402
from minict.runtime import locks  # noqa: E402
from tests.support import users_world  # noqa: E402

TINY = "tiny"  # the default image: a shell and the usual small tools, made from the host's own files
_PREFIX = "minict-test-"
_PATIENCE = 30  # seconds in which even a slow machine has removed what a test has left
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


# ---- the session's own world -----------------------------------------------------------------------------------


def _enter_own_world() -> str:
    """Move this process, and so all that it will start, into namespaces and names of its own; return the directory.

    Namespaces belong to threads: this runs while pytest loads, in the main thread, before there is another.
    """
    # a caller that starts us in the background, or nohup, makes us ignore them, and our children would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    global _machines_network
    _machines_network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    namespaces.unshare(namespaces.CLONE_NEWNS | namespaces.CLONE_NEWNET)
    mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # the kernels of notebooks talk over lo
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
    # Orphans come to this process, and not to the machine's pid 1, so that the proof below sees them.
    process.prctl(process.PR_SET_CHILD_SUBREAPER, 1)
    _remove_dead_worlds()
    name = _PREFIX + os.urandom(4).hex()  # and not the pid: a session in another pid namespace may have the same
    world, unborn = f"{tempfile.gettempdir()}/{name}", f"{tempfile.gettempdir()}/.{name}"
    os.makedirs(f"{unborn}/run")
    os.makedirs(f"{unborn}/data")
    _lock(unborn)
    os.rename(unborn, world)
    mount.mount("minict-test", f"{world}/run", "tmpfs", 0, "mode=0755")
    if _file_system(world) == "overlay":  # inside a container: an overlay can't be made of an overlay
        mount.mount("minict-test", f"{world}/data", "tmpfs", 0, "mode=0755")
    os.environ["MINICT_RUN"] = f"{world}/run"
    os.environ["MINICT_ROOT"] = f"{world}/data"
    os.environ["MINICT_CGROUP"] = name
    os.environ.setdefault("CI", "1")  # no test writes to the user's own progress
    return world


@contextlib.contextmanager
def host_network():
    """In a ``with`` statement: programs that are started now have the machine's own network, to fetch packages."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.setns(_machines_network, namespaces.CLONE_NEWNET)
        yield
    finally:
        namespaces.setns(own, namespaces.CLONE_NEWNET)
        os.close(own)


def _file_system(path: str) -> str:
    """The type of the file system that holds *path*."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    return next((m["type"] for m in host.mount_table() if m["device"] == wanted), "unknown")


def _remove_dead_worlds() -> None:
    """Remove what an earlier session left behind when it was killed: its mounts died with it, the rest did not.

    A session is dead if no process holds its lock. Its pid says nothing about a session in another pid namespace.
    """
    points = [m["point"] for m in host.mount_table() if m["type"] in ("cgroup", "cgroup2")]
    for name in os.listdir(tempfile.gettempdir()):
        world = f"{tempfile.gettempdir()}/{name}"
        if name.startswith(_PREFIX) and os.path.isdir(world) and _lock(world):
            host.remove_cgroups([f"{point}/{name}" for point in points if os.path.isdir(f"{point}/{name}")])
            shutil.rmtree(world, ignore_errors=True)


def _lock(world: str) -> bool:
    """Hold the lock of *world* as long as this process lives; False when another one does."""
    return locks.acquire(f"{world}/lock", locks.FILE, wait=False) >= 0


def _leave_own_world(world: str, owner: int) -> None:
    if os.getpid() != owner:  # a forked child that ran to the interpreter's end
        return
    for pid in host.descendants(host.process_table(), owner):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    host.remove_cgroups(host.cgroup_trees())
    for entry in reversed(host.mount_table()):
        if entry["point"].startswith(f"{world}/"):
            mount.umount2(entry["point"], mount.MNT_DETACH)
    shutil.rmtree(world, ignore_errors=True)


if os.geteuid() == 0:
    WORLD = _enter_own_world()
    atexit.register(_leave_own_world, WORLD, os.getpid())
else:
    WORLD = users_world.begin()


# ---- each test leaves nothing ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_trace():
    """Fail a test that leaves the host in another state than before."""
    look = host.snapshot if os.geteuid() == 0 else users_world.snapshot
    before = look()
    yield
    left = host.settle(before, _PATIENCE, _bury_orphans, look)
    if left:
        pytest.fail("the test left on the host:\n  " + "\n  ".join(left), pytrace=False)


def _bury_orphans() -> None:
    """Wait for the zombies that this process inherited, as the machine's pid 1 would have done.

    A zombie of its own process group is a child that the test did not wait for: it stays, and is reported.
    """
    for pid, entry in host.process_table().items():
        if entry.parent == os.getpid() and entry.state == "Z" and entry.group != os.getpgrp():
            os.waitpid(pid, os.WNOHANG)


def pytest_terminal_summary(terminalreporter):
    """Write how long each file and each function of tests took, for tests/support/side_by_side.py."""
    if path := os.environ.get("MINICT_TEST_SECONDS"):
        seconds = Counter()
        for report in (
            each for those in terminalreporter.stats.values() for each in those if hasattr(each, "duration")
        ):
            for name in (report.nodeid.partition("::")[0], report.nodeid.partition("[")[0]):
                seconds[name] += report.duration
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{took:.1f} {name}\n" for name, took in seconds.items() if " " not in name)


# ---- the default image -----------------------------------------------------------------------------------------


def make_tiny() -> str:
    """Make the image ``tiny``, unless this session has it; return its name."""
    from minict.engine.images import importer

    if not _made and os.geteuid() == 0:  # an ordinary user's first command has made it
        importer.default_image(TINY)
        _made.append(TINY)
    return TINY


_made: list[str] = []


@pytest.fixture(scope="session")
def tiny() -> str:
    """The name of an image with a shell and the usual small tools."""
    return make_tiny()


# ---- notebooks -------------------------------------------------------------------------------------------------


def pytest_configure(config):
    if config.pluginmanager.hasplugin("nbval"):
        _prepare_kernels()


def pytest_collection_modifyitems(items):
    """On a machine with version 1, what is that of version 2 is not compared: see notebook_rules."""
    for item in items:
        if hasattr(item, "cell") and "cgroup-v2" in item.cell.metadata.get("tags", ()):
            from tests.support.notebook_rules import is_compared

            item.options["check"] = item.options["check"] and is_compared(item.cell)


def _prepare_kernels() -> None:
    """Give the kernels that nbval starts what a learner's kernel has.

    * the image ``tiny``, which ``make lab`` makes for a learner;
    * no PYTEST_CURRENT_TEST: with it, ipykernel does not capture descriptors 1 and 2, and the output of a cell such as
      ``!ls`` would be lost.
    """
    import nbval.kernel

    class Manager(nbval.kernel.KernelManager):
        def start_kernel(self, **options):
            make_tiny()
            environment = dict(options.pop("env", None) or os.environ)
            environment.pop("PYTEST_CURRENT_TEST", None)
            return super().start_kernel(env=environment, **options)

    nbval.kernel.KernelManager = Manager
