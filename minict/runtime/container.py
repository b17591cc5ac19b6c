"""One container: from a spec to a process, and back to nothing.

The life cycle is that of the OCI runtime specification (runtime.md): create, start, kill, delete. After create
everything exists but the user's command; another process than the creator may call start.
:meth:`RuntimeContainer.run` does both in one step.
"""

from __future__ import annotations

import os

from . import (
    apparmor,
    capabilities,
    delete,
    devices,
    jsonfile,
    launch,
    mounts,
    namespaces,
    paths,
    procfs,
    rootfs,
    seccomp,
    start,
)
from . import birth as births
from .cgroup import Cgroup
from .errors import ContainerError
from .process import exit_status
from .spec import EMPTY, Fields, Resources, Spec
from .state import State
from .trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .delete import Handlers
    from .systemd import Scope


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
    systemd_cgroup: bool = False  # let systemd create the cgroup, a scope
    trace: bool = False  # the child reports how long each of its steps took


class RuntimeContainer:
    """A container by its id. Making the object changes nothing: :meth:`create` and :meth:`run` make the container.

    *handlers*: how to release each kind of entry in the ledger; :data:`.delete.UNDO` has the runtime's own kinds.
    Source: OCI runtime-spec, runtime.md, "Operations".
    """

    def __init__(self, id: str, handlers: Handlers | None = None) -> None:
        self.id = id
        self.handlers = handlers or delete.UNDO
        self.state = State(id)
        self._cgroup: Cgroup | None = None
        self._scope: Scope | None = None  # the unit of systemd that the cgroup is, if any
        self.pidfd = -1
        self.child = -1  # the first process's pid, for the process that created it; it may have ended
        self.traces: list[Trace] = []
        self.notes: list[str] = []  # what was changed on this machine for its limits, in sentences
        self.warnings: list[str] = []  # what failed without consequences: a poststop hook

    @property
    def cgroup(self) -> Cgroup:
        """The control group in the container's ledger; before it is created, one below the common parent."""
        if self._cgroup is None:
            found = delete.cgroup_path(self.state)
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
        start.run_later_hooks(self.state, "poststart", "running")

    def create(self, spec: Spec, **options: Any) -> None:
        """Create the container; only its command is not executed yet.

        *options*: those of :class:`Options`. Raises :class:`ContainerError`.
        """
        self._create(spec, Options(**options), hold=True)
        self.state.unlock()

    def start(self) -> None:
        """Let a created container execute its command: see :func:`.start.start`. Raises :class:`ContainerError`."""
        start.start(self.state)

    def _create(self, spec: Spec, options: Options, hold: bool) -> None:
        """Create the container of *spec*; if that fails, release what was taken for it. *hold*: wait for start."""
        step = Trace("parent")
        step("check the specification")
        check(spec)
        self.warnings += [f"unknown capability {name}: it is ignored" for name in unknown_capabilities(spec)]
        root = options.rootfs_path or os.path.join(options.bundle, spec.root.path)
        rootfs.check_rootfs(root)
        self._cgroup = self._choose_cgroup(spec, options)
        step("write the state")
        if self.state.lock_fd < 0:  # otherwise the engine has made the directory, for entries of its own
            self.state.make()
        fifos: dict[str, int] = {}
        try:
            existed = self.cgroup.refuse_foreign_processes()
            kept = existed and spec.linux.cgroupsPath  # else it is named after the id, and left of an earlier run
            scope = [("scope", self._scope.path)] if self._scope else []
            self.state.add_to_ledger([*scope, ("kept cgroup" if kept else "cgroup", self.cgroup.path)])
            self.state.write_spec(spec)
            self._keep_later_hooks(spec, options)
            fifos = self._make_fifos() if hold else {}
            self._limit(spec, step)
            birth = self._birth(spec, root, options, fifos, step)
            self.child, self.pidfd, child = launch.create_process(
                birth,
                launch.choose(birth),
                created=self.state.write_pid,
                prepare=self._prepare(spec, options),
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
            if self._scope:
                self._scope.release()

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
        if self._scope:
            self._scope.start()
        self.cgroup.create()
        resources = spec.linux.resources or Resources()
        step("set its limits")
        # a scope has one more process now: see _prepare
        now = resources
        if self._scope:
            now = Resources.from_dict({name: each for name, each in resources.to_dict().items() if name != "pids"})
        self.notes = list(filter(None, [self.cgroup.limit(now)]))
        step("set its devices")
        devices.limit(self.cgroup, devices.with_defaults(resources.devices))

    def _prepare(self, spec: Spec, options: Options) -> Callable[[int], None] | None:
        """What to do while the first process waits; it gets the pid."""
        scope, prepare = self._scope, options.prepare
        if scope is None:
            return prepare

        def hand_over(pid: int) -> None:
            """The first process is in the scope: end the one that kept it, and tell systemd the limits."""
            from . import systemd

            scope.release()
            if spec.linux.resources and spec.linux.resources.pids:
                self.cgroup.limit(Resources(pids=spec.linux.resources.pids))
            systemd.keep_limits(self.cgroup)
            if prepare:
                prepare(pid)

        return hand_over

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
            wait_for_network=bool(options.prepare or self._scope or spec.linux.netDevices),
            init=options.init,
            die_with_parent=options.die_with_parent,
            new_keyring=options.new_keyring,
            preserved=list(options.preserved),
            hook_state=self.hook_state(spec, options.bundle),
            traced=options.trace,
            descriptors=births.Descriptors(stdin=stdin, stdout=stdout, stderr=stderr, console=options.console, **fifos),
        )

    def _choose_cgroup(self, spec: Spec, options: Options) -> Cgroup:
        """The group that the spec names; a relative path begins at the common parent, always.

        Raises :class:`ContainerError` for systemd's notation, ``SLICE:PREFIX:NAME``, without the option for it.
        Source: config-linux.md, "Cgroups Path"; runc(8), --systemd-cgroup.
        """
        path = spec.linux.cgroupsPath
        if options.systemd_cgroup:
            from .systemd import Scope

            self._scope = Scope(path or "", self.id)
            return Cgroup(self._scope.path)
        if not path:
            return self.cgroup
        if path.count(":") == 2:
            raise ContainerError(
                f"the cgroup {path} is to be created by systemd (linux.cgroupsPath): add --systemd-cgroup, or write "
                "a path that begins with /"
            )
        return Cgroup(path.rstrip("/") if path.startswith("/") else f"/{paths.cgroup_parent()}/{path.rstrip('/')}")

    # ---- hooks

    def hook_state(self, spec: Spec, bundle: str) -> dict[str, Any]:
        """What hooks get on standard input, but for status and pid. Source: runtime.md, "State"."""
        state = {"ociVersion": spec.ociVersion, "id": self.id, "bundle": os.path.abspath(bundle)}
        return {**state, "annotations": dict(spec.annotations or {})}

    def _run_early_hooks(self, birth: births.Birth, pid: int) -> None:
        from . import hooks  # few containers have any

        for kind in ("prestart", "createRuntime"):
            hooks.run(birth.spec.hooks, kind, birth.hook_state, "creating", pid)

    def _keep_later_hooks(self, spec: Spec, options: Options) -> None:
        """Write the hooks that later commands run into the state directory, if there are any."""
        if spec.hooks and spec.hooks.has("poststart", "poststop"):
            values = {"hooks": spec.hooks.to_dict(), "state": self.hook_state(spec, options.bundle)}
            jsonfile.write(self.state.path("hooks"), values)

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
        """Send *signal* to the first process: see :func:`.start.kill`. Raises :class:`ContainerError`."""
        start.kill(self.state, signal)

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
            self.warnings += delete.release(self.state, self.handlers)
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
    check_rare(spec)
    refuse(spec)
    for name in ("hostname", "domainname"):
        if getattr(spec, name) and (spec.linux.sysctl or {}).get(f"kernel.{name}", getattr(spec, name)) != getattr(
            spec, name
        ):
            raise ContainerError(f"the specification has {name} and another sysctl kernel.{name}: leave one out")
    for name in spec.linux.sysctl or {}:
        check_sysctl(name, kinds)


def check_rare(spec: Spec) -> None:
    """Verify what few containers have; the modules for it are loaded only for them. Raises :class:`ContainerError`.

    Source: OCI runtime-spec, config.md, config-linux.md.
    """
    process, linux = spec.process, spec.linux
    if any((process.scheduler, process.ioPriority, process.execCPUAffinity, linux.memoryPolicy, linux.personality)):
        from . import attributes

        attributes.check(process, linux)
    if linux.netDevices:
        from . import netdevices

        netdevices.check(spec)
    if linux.seccomp and (linux.seccomp.listenerPath or linux.seccomp.asks_agent()):
        from . import notify

        notify.check(linux.seccomp)


def refuse(spec: Spec) -> None:
    """Refuse what minict cannot do, instead of ignoring it. Raises :class:`ContainerError`.

    Source: runtime.md, "Errors"; config-linux.md, "IntelRdt", "Devices".
    """
    if spec.linux.intelRdt:
        raise ContainerError(
            "linux.intelRdt asks for a share of the processor's cache, which minict does not manage: leave it out, and "
            "write to /sys/fs/resctrl yourself"
        )
    for device in spec.linux.devices:
        if device.type not in ("c", "u", "b", "p"):
            raise ContainerError(f"the device {device.path} has the unknown type {device.type!r}: use c, u, b or p")
    for mount in spec.mounts:
        if (mount.uidMappings or mount.gidMappings) and not mounts.is_bind(mount):
            raise ContainerError(
                f"the mount on {mount.destination} has uidMappings, which only a bind mount can have: leave them out"
            )
        if bool(mount.uidMappings) != bool(mount.gidMappings):
            raise ContainerError(f"the mount on {mount.destination} needs both uidMappings and gidMappings")


def unknown_capabilities(spec: Spec) -> list[str]:
    """The capabilities in *spec* that this kernel does not know. Source: config.md, "capabilities"."""
    wanted = spec.process.capabilities
    return sorted(set(wanted.bounding) - set(capabilities.known())) if wanted else []


def check_sysctl(name: str, kinds: list[str]) -> None:
    """Verify that the sysctl *name* belongs to a namespace of one of these *kinds*, and not to the host.

    Raises :class:`ContainerError`. Source: namespaces(7), ipc_namespaces(7), network_namespaces(7).
    """
    prefixes = {
        "network": ("net.",),
        "ipc": ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."),
        "uts": ("kernel.hostname", "kernel.domainname"),
    }
    dotted = name.replace("/", ".")
    kind = next((kind for kind, beginnings in prefixes.items() if dotted.startswith(beginnings)), None)
    if kind not in kinds or ".." in dotted:
        raise ContainerError(f"the sysctl {name} belongs to the host and not to a namespace of the container")
