"""One container: from a spec to a process, and from the process to nothing.

The life cycle is the one of the OCI specification (runtime.md): create, start, kill, delete.  Between create
and start everything is there but the user's command; who calls start may be another process than who created.
:meth:`Container.run` does both in one breath.
"""

from __future__ import annotations

import os
import time

from ..kernel import process as kernel
from . import birth as births
from . import devices, launch, mounts, namespaces, paths, rootfs, seccomp
from .cgroup import Cgroup
from .errors import ContainerError
from .files import remove_tree
from .process import exit_status
from .spec import Resources
from .state import State
from .trace import Trace

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .spec import Spec

    Handler = Callable[[str], object]  # undoes what one line of the ledger says


class Container:
    """A container by its id.  Making the object touches nothing: :meth:`create` and :meth:`run` make the container.

    *handlers* says how each kind of thing in its ledger is given back; who adds kinds to the ledger adds to :data:`UNDO`.
    """

    def __init__(self, id: str, handlers: dict[str, Handler] | None = None) -> None:
        self.id = id
        self.handlers = handlers or UNDO
        self.state = State(id)
        self._cgroup: Cgroup | None = None
        self.pidfd = -1
        self._child = -1  # the first process's pid, for the process that made it
        self.traces: list[Trace] = []

    @property
    def cgroup(self) -> Cgroup:
        """Its control group: the one in its ledger; before its birth the one below the common parent."""
        if self._cgroup is None:
            found = dict(self.state.ledger()).get("cgroup")
            if found is None:
                return Cgroup(f"/{paths.cgroup_parent()}/{self.id}")
            self._cgroup = Cgroup(found)
        return self._cgroup

    # ---- birth

    def run(self, spec: Spec, **options: Any) -> None:
        """Make the container and execute its command.  Returns as soon as the command runs.

        *options* are those of :meth:`_bear`.  Raises :class:`ContainerError`.
        """
        self._bear(spec, hold=False, **options)

    def create(self, spec: Spec, **options: Any) -> None:
        """Make the container up to the point where only its command is missing.  Raises :class:`ContainerError`."""
        self._bear(spec, hold=True, **options)
        self.state.unlock()

    def start(self) -> None:
        """Let a created container execute its command.  Raises :class:`ContainerError`, also when that fails."""
        if self.state.status() != "created":
            raise ContainerError(f"the container {self.id} is {self.state.status()}: only a created one can be started")
        error = os.open(self.state.path("error"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            pid = self.state.pid()
            try:
                go = os.open(self.state.path("start"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:  # nobody waits at its other end any more
                raise ContainerError(f"the container {self.id} was started or has ended in this moment") from None
            os.write(go, b"!")
            os.close(go)
            os.unlink(self.state.path("start"))  # it is not "created" any more, whatever becomes of it
            os.set_blocking(error, True)
            try:
                births.read_report(error)  # to its end, which is execve: the child has it open until then
            except ContainerError:
                while pid and self.state.pid() == pid:  # it has said its last word, and is on its way out
                    time.sleep(0.001)
                raise
        finally:
            os.close(error)

    def _bear(
        self,
        spec: Spec,
        *,
        hold: bool,
        rootfs_path: str | None = None,
        bundle: str = "/",
        prepare: Callable[[int], object] | None = None,
        streams: tuple[int, int, int] = (0, 1, 2),
        console: int = -1,
        seccomp_filter: bytes | None = None,
        init: bool = False,
        die_with_parent: bool = False,
        trace: bool = False,
    ) -> None:
        """Make the container of *spec*; when that fails, give back what it has taken so far.

        *rootfs_path*: its root, if not the spec's.  *bundle*: where the spec's relative paths begin.
        *prepare*: called with the pid, to connect the network.
        *streams*: standard input (-1: nothing to read), output and error.  *console*: a Unix socket that gets the
        terminal.  *seccomp_filter*: the compiled program, if it is not to be made from the spec.  *init*: run a tiny
        init as process 1.  *die_with_parent*: the kernel kills the container when this process ends.
        """
        step = Trace("parent")
        step("check the specification")
        check(spec)
        root = rootfs_path or os.path.join(bundle, spec.root.path)
        rootfs.check_rootfs(root)
        wished = spec.linux.cgroupsPath or ""  # absolute, or in a way of systemd's, which is not ours (config-linux.md)
        self._cgroup = Cgroup(wished) if wished.startswith("/") else self.cgroup
        step("write the state")
        if self.state.lock_fd < 0:  # else the engine has made it: it has things of its own to record
            self.state.make()
        fifos = {}
        try:
            self.state.record([("cgroup", self.cgroup.path)])
            self.state.write_spec(spec)
            fifos = self._make_fifos() if hold else {}
            step("make the cgroup")
            self.cgroup.create()
            resources = spec.linux.resources or Resources()
            step("set its limits")
            self.cgroup.limit(resources)
            step("set its devices")
            devices.limit(self.cgroup, devices.with_defaults(resources.devices))
            if seccomp_filter is None and spec.linux.seccomp:
                step("compile the seccomp filter")
                seccomp_filter = seccomp.cached(spec.linux.seccomp)
            birth = births.Birth(
                spec,
                root,
                bundle=bundle,
                cgroups=self.cgroup.directories,
                tasks=self.cgroup.join_files(),
                cgroup_v2=self.cgroup.v2_directory(),
                seccomp_filter=seccomp_filter or b"",
                seccomp_flags=seccomp.flags(spec.linux.seccomp) if spec.linux.seccomp else 0,
                wait_for_network=prepare is not None,
                init=init,
                die_with_parent=die_with_parent,
                traced=trace,
                descriptors={
                    "stdin": streams[0],
                    "stdout": streams[1],
                    "stderr": streams[2],
                    "console": console,
                    **fifos,
                },
            )
            self._child, self.pidfd, child = births.bear(
                birth, launch.choose(birth), prepare, step, self.state.write_pid
            )
            self.traces = [step, child]
        except BaseException:
            self.delete(force=True)
            raise
        finally:
            for fd in fifos.values():
                os.close(fd)

    def _make_fifos(self) -> dict[str, int]:
        """The two FIFOs between create and start, open for both directions: see birth.wait_for_start."""
        fifos = {}
        for name in ("start", "error"):
            os.mkfifo(self.state.path(name), 0o600)
            fifos[name] = os.open(self.state.path(name), os.O_RDWR | os.O_CLOEXEC)
        return fifos

    # ---- life

    @property
    def pid(self) -> int | None:
        """The first process, as the host numbers it; None when there is none any more."""
        return self.state.pid()

    def kill(self, signal: int) -> None:
        """Send *signal* to the first process.  Raises :class:`ContainerError` when there is none."""
        pid = self.state.pid()
        if pid is None:
            raise ContainerError(f"the container {self.id} is not running")
        pidfd = kernel.pidfd_open(pid)
        try:
            if self.state.pid() == pid:  # the handle is on the process that was meant, and on no later one
                kernel.pidfd_send_signal(pidfd, signal)
        finally:
            os.close(pidfd)

    def wait(self) -> int:
        """Wait until the first process, our child, has ended; its exit status, 128 + n for signal n."""
        return exit_status(os.waitpid(self._child, 0)[1])

    # ---- end

    def delete(self, force: bool = False) -> None:
        """Give everything back to the host.  A container that still runs is an error, or killed with *force*.

        Does nothing when there is no such container.
        Raises :class:`ContainerError`, or, after all has been tried, the first error of giving back.
        """
        if not force and self.state.pid() is not None:
            raise ContainerError(f"the container {self.id} is running: stop it first")
        try:
            undo(self.state.ledger(), self.handlers)
            self.state.remove()
        finally:  # what could not be given back is left to 'prune', which needs the lock
            self.close()
            self.state.unlock()

    def close(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def check(spec: Spec) -> None:
    """Refuse a spec that says too little, in words.  Raises :class:`ContainerError`."""
    if not spec.root or not spec.root.path:
        raise ContainerError("the specification names no root file system (root.path)")
    if not spec.linux:
        raise ContainerError("the specification has no part for Linux (linux)")
    if not spec.process or not spec.process.args:
        raise ContainerError("the specification names no command (process.args)")
    if not spec.process.cwd.startswith("/"):
        raise ContainerError(f"the working directory {spec.process.cwd} is not an absolute path (process.cwd)")
    if spec.linux.rootfsPropagation and spec.linux.rootfsPropagation not in mounts.PROPAGATION:
        raise ContainerError(
            f"there is no propagation {spec.linux.rootfsPropagation!r} (linux.rootfsPropagation): the words "
            f"are {', '.join(mounts.PROPAGATION)}"
        )
    kinds = [namespace.type for namespace in spec.linux.namespaces]
    namespaces.flags(kinds)
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ContainerError(f"the specification has two namespaces of the kind {kind}")
    if spec.hostname and "uts" not in kinds:
        raise ContainerError("a host name needs a uts namespace: without one the host itself would be renamed")
    if "user" in namespaces.made(spec.linux.namespaces) and not (spec.linux.uidMappings and spec.linux.gidMappings):
        raise ContainerError("a user namespace needs uidMappings and gidMappings")
    for name in spec.linux.sysctl or {}:
        check_sysctl(name, kinds)


def check_sysctl(name: str, kinds: list[str]) -> None:
    """Only those sysctls that belong to one of the container's namespaces may be set; the others are the host's.

    Source: namespaces(7), ipc_namespaces(7), network_namespaces(7).
    """
    beginnings = {
        "network": ("net.",),
        "ipc": ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."),
        "uts": ("kernel.hostname", "kernel.domainname"),
    }
    kind = next((kind for kind, words in beginnings.items() if name.startswith(words)), None)
    if kind not in kinds or ".." in name or "/" in name:
        raise ContainerError(f"the sysctl {name} belongs to the host and not to a namespace of the container")


# What the ledger's kinds stand for, and how each is undone.  Every one may be undone twice, or without ever having been
# done: that is what makes a creator's death at any instant harmless.
UNDO: dict[str, Handler] = {
    "cgroup": lambda path: Cgroup(path).remove(),
    "directory": remove_tree,
}


def undo(ledger: list[tuple[str, str]], handlers: dict[str, Handler]) -> None:
    """Undo what a *ledger* holds, the last first.  Raises the first error, after all have been tried."""
    first = None
    for kind, value in reversed(ledger):
        try:
            handlers[kind](value)
        except (OSError, ContainerError) as error:
            first = first or error
    if first:
        raise first
