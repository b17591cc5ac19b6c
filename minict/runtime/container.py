"""One container: from a spec to a process, and back to nothing.

The life cycle is that of the OCI runtime specification (runtime.md): create, start, kill, delete. After create
everything exists but the user's command; another process than the creator may call start.
:meth:`RuntimeContainer.run` does both in one step.
"""

from __future__ import annotations

import os

from ..kernel import process as kernel
from . import apparmor, devices, launch, messages, mounts, namespaces, paths, rootfs, seccomp
from . import birth as births
from .cgroup import Cgroup
from .cgroup.group import wait_until
from .errors import ContainerError
from .files import remove_tree
from .process import exit_status
from .spec import Fields, Resources, Spec
from .state import State
from .trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Handlers = dict[str, Callable[[str], object]]


class Options(Fields):
    """How to create a container, apart from its spec: what runc takes as command-line options. Source: runc-run(8)."""

    rootfs_path: str | None = None  # its root, if not the spec's
    bundle: str = "/"  # the spec's relative paths begin here
    prepare: Callable[[int], None] | None = None  # called with the pid, to connect the network
    streams: tuple[int, int, int] = (0, 1, 2)  # standard input (-1: read from /dev/null), output and error
    console: int = -1  # a Unix socket that gets the terminal
    seccomp_filter: bytes | None = None  # the compiled program, if it is not to be compiled from the spec
    init: bool = False  # run a small init as process 1
    die_with_parent: bool = False  # the kernel kills the container when this process ends
    trace: bool = False  # the child reports how long each of its steps took


class RuntimeContainer:
    """A container by its id. Making the object changes nothing: :meth:`create` and :meth:`run` make the container.

    *handlers*: how to release each kind of entry in the container's ledger; :data:`UNDO` has the runtime's own kinds.
    Source: OCI runtime-spec, runtime.md, "Operations".
    """

    def __init__(self, id: str, handlers: Handlers | None = None) -> None:
        self.id = id
        self.handlers = handlers or UNDO
        self.state = State(id)
        self._cgroup: Cgroup | None = None
        self.pidfd = -1
        self._child = -1  # the first process's pid, for the process that created it
        self.traces: list[Trace] = []
        self.notes: list[str] = []  # what was changed on this machine for its limits, in sentences

    @property
    def cgroup(self) -> Cgroup:
        """The control group in the container's ledger; before it is created, one below the common parent."""
        if self._cgroup is None:
            found = dict(self.state.ledger()).get("cgroup")
            if found is None:
                return Cgroup(f"/{paths.cgroup_parent()}/{self.id}")
            self._cgroup = Cgroup(found)
        return self._cgroup

    # ---- create, start

    def run(self, spec: Spec, **options: Any) -> None:
        """Create the container and execute its command. Returns as soon as the command runs.

        *options*: those of :class:`Options`. Raises :class:`ContainerError`.
        """
        self._create(spec, Options(**options), hold=False)

    def create(self, spec: Spec, **options: Any) -> None:
        """Create the container; only its command is not executed yet.

        *options*: those of :class:`Options`. Raises :class:`ContainerError`.
        """
        self._create(spec, Options(**options), hold=True)
        self.state.unlock()

    def start(self) -> None:
        """Let a created container execute its command. Raises :class:`ContainerError`, also when that fails."""
        if self.state.status() != "created":
            raise ContainerError(f"the container {self.id} is {self.state.status()}: only a created one can be started")
        error = os.open(self.state.path("error"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            pid = self.state.pid()
            try:
                go = os.open(self.state.path("start"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:  # it has no reader any more
                raise ContainerError(f"the container {self.id} has just been started, or has just ended") from None
            os.write(go, b"!")
            os.close(go)
            os.unlink(self.state.path("start"))  # it is not "created" any more, whether this succeeds or not
            os.set_blocking(error, True)
            try:
                messages.read_report(error)  # until execve closes the child's end
            except ContainerError:
                wait_until(lambda: not pid or self.state.pid() != pid)  # it has reported its error and is about to end
                raise
        finally:
            os.close(error)

    def _create(self, spec: Spec, options: Options, hold: bool) -> None:
        """Create the container of *spec*; if that fails, release what was taken for it. *hold*: wait for start."""
        step = Trace("parent")
        step("check the specification")
        check(spec)
        root = options.rootfs_path or os.path.join(options.bundle, spec.root.path)
        rootfs.check_rootfs(root)
        path = spec.linux.cgroupsPath or ""  # absolute, or in systemd's notation, which we do not use
        self._cgroup = Cgroup(path) if path.startswith("/") else self.cgroup
        step("write the state")
        if self.state.lock_fd < 0:  # otherwise the engine has made the directory, for entries of its own
            self.state.make()
        fifos: dict[str, int] = {}
        try:
            self.state.add_to_ledger([("cgroup", self.cgroup.path)])
            self.state.write_spec(spec)
            fifos = self._make_fifos() if hold else {}
            self._limit(spec, step)
            birth = self._birth(spec, root, options, fifos, step)
            self._child, self.pidfd, child = launch.create_process(
                birth, launch.choose(birth), created=self.state.write_pid, prepare=options.prepare, step=step
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

    def _limit(self, spec: Spec, step: Trace) -> None:
        """Create the cgroup, with its limits, before a process is in it."""
        step("create the cgroup")
        self.cgroup.create()
        resources = spec.linux.resources or Resources()
        step("set its limits")
        self.notes = list(filter(None, [self.cgroup.limit(resources)]))
        step("set its devices")
        devices.limit(self.cgroup, devices.with_defaults(resources.devices))

    def _birth(self, spec: Spec, root: str, options: Options, fifos: dict[str, int], step: Trace) -> births.Birth:
        """What the child has to know."""
        filter, profile = options.seccomp_filter, spec.linux.seccomp
        if filter is None and profile:
            step("compile the seccomp filter")
            filter = seccomp.cached(profile)
        stdin, stdout, stderr = options.streams
        return births.Birth(
            spec=spec,
            rootfs=root,
            bundle=options.bundle,
            cgroups=self.cgroup.directories,
            tasks=self.cgroup.join_files(),
            cgroup_v2=self.cgroup.v2_directory(),
            seccomp_filter=filter or b"",
            seccomp_flags=seccomp.flags(profile) if profile else 0,
            wait_for_network=options.prepare is not None,
            init=options.init,
            die_with_parent=options.die_with_parent,
            traced=options.trace,
            descriptors=births.Descriptors(stdin=stdin, stdout=stdout, stderr=stderr, console=options.console, **fifos),
        )

    # ---- while it runs

    @property
    def pid(self) -> int | None:
        """The first process, by its number on the host; None when it has ended."""
        return self.state.pid()

    def kill(self, signal: int) -> None:
        """Send *signal* to the first process. Raises :class:`ContainerError` when there is none."""
        pid = self.state.pid()
        if pid is None:
            raise ContainerError(f"the container {self.id} is not running: start it first")
        pidfd = kernel.pidfd_open(pid)
        try:
            if self.state.pid() == pid:  # the handle refers to this process, not to a later one with its number
                kernel.pidfd_send_signal(pidfd, signal)
        finally:
            os.close(pidfd)

    def wait(self) -> int:
        """Wait until the first process, our child, has ended; its exit status, 128 + n for signal n."""
        return exit_status(os.waitpid(self._child, 0)[1])

    # ---- delete

    def delete(self, force: bool = False) -> None:
        """Release everything that the container has taken from the host. With *force* a running one is killed.

        Does nothing when there is no such container. Raises :class:`ContainerError` for a running one, or the first
        error after everything has been tried.
        """
        if not force and self.state.pid() is not None:
            raise ContainerError(f"the container {self.id} is running: stop it first")
        try:
            undo(self.state.ledger(), self.handlers)
            self.state.remove()
        finally:  # what could not be released is left to 'prune', which needs the lock
            self.close()
            self.state.unlock()

    def close(self) -> None:
        """Close the handle of the first process."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def check(spec: Spec) -> None:
    """Verify that *spec* has what a container needs. Raises :class:`ContainerError`.

    Source: OCI runtime-spec, config.md, config-linux.md.
    """
    if not spec.root or not spec.root.path:
        raise ContainerError("the specification lacks a root file system: add root.path")
    if not spec.linux:
        raise ContainerError("the specification lacks the section for Linux: add linux")
    if not spec.process or not spec.process.args:
        raise ContainerError("the specification lacks a command: add process.args")
    if not spec.process.cwd.startswith("/"):
        raise ContainerError(
            f"the working directory {spec.process.cwd} is not an absolute path: write one that begins with / "
            "(process.cwd)"
        )
    if spec.linux.rootfsPropagation and spec.linux.rootfsPropagation not in mounts.PROPAGATION:
        raise ContainerError(
            f"unknown propagation {spec.linux.rootfsPropagation!r} (linux.rootfsPropagation): use one of "
            f"{', '.join(mounts.PROPAGATION)}"
        )
    kinds = [namespace.type for namespace in spec.linux.namespaces]
    namespaces.flags(kinds)
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ContainerError(f"the specification has two namespaces of the kind {kind}: leave one out")
    if spec.hostname and "uts" not in kinds:
        raise ContainerError("a host name needs a uts namespace: without one the host itself would be renamed")
    if "user" in namespaces.new_kinds(spec.linux.namespaces) and not (
        spec.linux.uidMappings and spec.linux.gidMappings
    ):
        raise ContainerError("a user namespace needs uidMappings and gidMappings: add them")
    apparmor.check(spec.process.apparmorProfile)
    for name in spec.linux.sysctl or {}:
        check_sysctl(name, kinds)


def check_sysctl(name: str, kinds: list[str]) -> None:
    """Verify that the sysctl *name* belongs to a namespace of one of these *kinds*, and not to the host.

    Raises :class:`ContainerError`. Source: namespaces(7), ipc_namespaces(7), network_namespaces(7).
    """
    prefixes = {
        "network": ("net.",),
        "ipc": ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."),
        "uts": ("kernel.hostname", "kernel.domainname"),
    }
    kind = next((kind for kind, beginnings in prefixes.items() if name.startswith(beginnings)), None)
    if kind not in kinds or ".." in name or "/" in name:
        raise ContainerError(f"the sysctl {name} belongs to the host and not to a namespace of the container")


# How to release each kind of entry in a ledger. Each may be released twice, or without ever having been taken: so a
# creator may be killed at any instant.
UNDO: Handlers = {
    "cgroup": lambda path: Cgroup(path).remove(),
    "directory": remove_tree,
}


def undo(ledger: list[tuple[str, str]], handlers: Handlers) -> None:
    """Release the entries of a *ledger*, the last first. Raises the first error, after all have been tried.

    Source: OCI runtime-spec, runtime.md, "Delete".
    """
    first: OSError | ContainerError | None = None
    for kind, value in reversed(ledger):
        try:
            handlers[kind](value)
        except (OSError, ContainerError) as error:
            first = first or error
    if first:
        raise first
