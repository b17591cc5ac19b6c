"""One container: from a spec to a process, and back to nothing.

The life cycle is that of the OCI runtime specification (runtime.md): create, start, kill, delete. After create
everything exists but the user's command; another process than the creator may call start.
:meth:`RuntimeContainer.run` does both in one step.
"""

from __future__ import annotations

import os

from ..kernel import process as kernel
from . import apparmor, devices, jsonfile, launch, messages, mounts, namespaces, paths, procfs, rootfs, seccomp
from . import birth as births
from .cgroup import Cgroup
from .cgroup.group import wait_until
from .errors import ContainerError
from .files import remove_tree
from .process import exit_status
from .spec import EMPTY, Fields, Hooks, Resources, Spec
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
    new_keyring: bool = True  # begin a session keyring
    preserved: list[int] = EMPTY  # descriptors that the command gets as 3, 4, …
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
        self.child = -1  # the first process's pid, for the process that created it; it may have ended
        self.traces: list[Trace] = []
        self.notes: list[str] = []  # what was changed on this machine for its limits, in sentences
        self.warnings: list[str] = []  # what failed without consequences: a poststop hook

    @property
    def cgroup(self) -> Cgroup:
        """The control group in the container's ledger; before it is created, one below the common parent."""
        if self._cgroup is None:
            ledger = dict(self.state.ledger())
            found = ledger.get("cgroup") or ledger.get("kept cgroup")
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
        self._run_later_hooks("poststart", "running")

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
        self._run_later_hooks("poststart", "running")

    def _create(self, spec: Spec, options: Options, hold: bool) -> None:
        """Create the container of *spec*; if that fails, release what was taken for it. *hold*: wait for start."""
        step = Trace("parent")
        step("check the specification")
        check(spec)
        root = options.rootfs_path or os.path.join(options.bundle, spec.root.path)
        rootfs.check_rootfs(root)
        self._cgroup = self._choose_cgroup(spec)
        step("write the state")
        if self.state.lock_fd < 0:  # otherwise the engine has made the directory, for entries of its own
            self.state.make()
        fifos: dict[str, int] = {}
        try:
            kept = self.cgroup.refuse_foreign_processes()
            self.state.add_to_ledger([("kept cgroup" if kept else "cgroup", self.cgroup.path)])
            self.state.write_spec(spec)
            self._keep_later_hooks(spec, options)
            fifos = self._make_fifos() if hold else {}
            self._limit(spec, step)
            birth = self._birth(spec, root, options, fifos, step)
            self.child, self.pidfd, child = launch.create_process(
                birth,
                launch.choose(birth),
                created=self.state.write_pid,
                prepare=options.prepare,
                mounted=lambda pid: self._run_early_hooks(birth, pid),
                step=step,
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
            new_keyring=options.new_keyring,
            preserved=list(options.preserved),
            hook_state=self._hook_state(spec, options) if spec.hooks else {},
            traced=options.trace,
            descriptors=births.Descriptors(stdin=stdin, stdout=stdout, stderr=stderr, console=options.console, **fifos),
        )

    def _choose_cgroup(self, spec: Spec) -> Cgroup:
        """The group that the spec names; a relative path begins at the common parent, always.

        Raises :class:`ContainerError` for systemd's notation, ``SLICE:PREFIX:NAME``. Source: config-linux.md,
        "Cgroups Path"; runc(8), --systemd-cgroup.
        """
        path = spec.linux.cgroupsPath
        if not path:
            return self.cgroup
        if path.count(":") == 2:
            raise ContainerError(
                f"the cgroup {path} is to be created by systemd (linux.cgroupsPath): set the engine's cgroup manager "
                "to cgroupfs, or write a path that begins with /"
            )
        return Cgroup(path.rstrip("/") if path.startswith("/") else f"/{paths.cgroup_parent()}/{path.rstrip('/')}")

    # ---- hooks

    def _hook_state(self, spec: Spec, options: Options) -> dict[str, Any]:
        """What hooks get on standard input, but for status and pid. Source: runtime.md, "State"."""
        state = {"ociVersion": spec.ociVersion, "id": self.id, "bundle": os.path.abspath(options.bundle)}
        return {**state, "annotations": dict(spec.annotations or {})}

    def _run_early_hooks(self, birth: births.Birth, pid: int) -> None:
        from . import hooks  # few containers have any

        for kind in ("prestart", "createRuntime"):
            hooks.run(birth.spec.hooks, kind, birth.hook_state, "creating", pid)

    def _keep_later_hooks(self, spec: Spec, options: Options) -> None:
        """Write the hooks that later commands run into the state directory, if there are any."""
        if spec.hooks and spec.hooks.has("poststart", "poststop"):
            values = {"hooks": spec.hooks.to_dict(), "state": self._hook_state(spec, options)}
            jsonfile.write(self.state.path("hooks"), values)

    def _run_later_hooks(self, kind: str, status: str) -> None:
        """Run the hooks *poststart* or *poststop*. Raises :class:`ContainerError`; then the container is killed."""
        if not os.path.exists(self.state.path("hooks")):
            return
        from . import hooks

        values = jsonfile.read(self.state.path("hooks"))
        pid = (self.state.pid() or 0) if status == "running" else 0
        try:
            hooks.run(Hooks.from_dict(values["hooks"]), kind, values["state"], status, pid)
        except ContainerError:
            if status == "running":
                self.kill(9)
            raise

    # ---- while it runs

    @property
    def pid(self) -> int | None:
        """The first process, by its number on the host; None when it has ended."""
        return self.state.pid()

    def processes(self) -> list[int]:
        """All its processes, in any order; without a control group, those of its pid namespace. Source: cgroups(7)."""
        found = self.cgroup.processes()
        return found if found or self.pid is None else procfs.of_pid_namespace(self.pid)

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
        return exit_status(os.waitpid(self.child, 0)[1])

    # ---- delete

    def delete(self, force: bool = False) -> None:
        """Release everything that the container has taken from the host. With *force* a running one is killed.

        Does nothing when there is no such container. Raises :class:`ContainerError` for a running one, or the first
        error after everything has been tried.
        """
        if not force and self.state.pid() is not None:
            raise ContainerError(f"the container {self.id} is running: stop it first")
        try:
            handlers = dict(self.handlers)
            if self._end_own_processes():
                handlers["cgroup"] = lambda path: Cgroup(path).remove(kill=False)
            undo(self.state.ledger(), handlers)
            try:
                self._run_later_hooks("poststop", "stopped")
            except ContainerError as error:
                self.warnings.append(str(error))
            self.state.remove()
        finally:  # what could not be released is left to 'prune', which needs the lock
            self.close()
            self.state.unlock()

    def _end_own_processes(self) -> bool:
        """Kill the first process, and return whether all others of the container have ended with it.

        They have if it was process 1 of a pid namespace of the container's own. Then nobody else in its cgroup is to be
        killed: it is another container, or a program, that was given the same group. Source: pid_namespaces(7).
        """
        if not os.path.exists(self.state.path("pid")):
            return False
        try:
            self.kill(9)
            self.cgroup.thaw()  # on cgroup v1 a frozen process cannot even die
        except (ContainerError, ProcessLookupError):
            pass
        own = namespaces_of(self.state.path("config.json"))
        return wait_until(self.state.is_ending) and any(
            each.get("type") == "pid" and not each.get("path") for each in own
        )

    def close(self) -> None:
        """Close the handle of the first process."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def namespaces_of(path: str) -> list[dict[str, str]]:
    """The namespaces in the spec that the file *path* holds, without reading the rest into objects.

    Raises :class:`OSError`. Source: config-linux.md, "Namespaces".
    """
    found: list[dict[str, str]] = jsonfile.read(path).get("linux", {}).get("namespaces", [])
    return found


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
    if (spec.hostname or spec.domainname) and "uts" not in kinds:
        raise ContainerError("a host name needs a uts namespace: without one the host itself would be renamed")
    if "user" in namespaces.new_kinds(spec.linux.namespaces) and not (
        spec.linux.uidMappings and spec.linux.gidMappings
    ):
        raise ContainerError("a user namespace needs uidMappings and gidMappings: add them")
    apparmor.check(spec.process.apparmorProfile)
    if spec.process.selinuxLabel or spec.linux.mountLabel:
        from . import selinux

        selinux.check(spec.process.selinuxLabel, "process.selinuxLabel")
        selinux.check(spec.linux.mountLabel, "linux.mountLabel")
    if spec.hooks:
        from . import hooks

        hooks.check(spec.hooks)
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
    "kept cgroup": lambda path: None,  # it was there before the container
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
