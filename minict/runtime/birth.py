"""The start of a container, seen from its first process.

Read :func:`become` first: it is everything that the child does before the user's command, from top to bottom, and each
step is a chapter of the course. The parent's side is :func:`.launch.create_process`. They talk over two pipes:

::

    parent (launch)                              child (become)
    ───────────────                              ──────────────
    clone3(CLONE_NEW…, CLONE_INTO_CGROUP)  ───►  begins inside its namespaces
    writes the id maps  ── ID_MAPS_WRITTEN ───►  becomes root of its user namespace
    connects the network                         builds the root file system
    runs the hooks     ◄── MOUNTED / HOOKS_RUN►  (if there are any) runs its own, pivots into the root
                      ── NETWORK_CONNECTED ───►  goes on
                                                 drops its privileges, executes the command
    reads until end of file    ◄─── report ────  execve closes the pipe: an empty report is success
                                                 otherwise: step, errno and message of the error

The child makes system calls only. It imports nothing (after pivot_root the standard library is out of reach), it
does not log, and it takes no locks, because the thread that holds one was not copied.
"""

from __future__ import annotations

import fcntl
import os
import stat

from ..kernel import process as kernel
from ..kernel.namespaces import CLONE_NEWCGROUP, setns, unshare
from ..kernel.network import loopback_up
from . import apparmor, capabilities, messages, mounts, namespaces, process, procfs, rootfs, seccomp
from .errors import OUR_ERROR
from .spec import EMPTY, Capabilities, Fields, Process, Spec
from .trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


_STREAMS = ("stdin", "stdout", "stderr")


class Descriptors(Fields):
    """The open files that the child needs, as numbers; -1 where there is none. Source: OCI runtime-spec, config.md."""

    stdin: int = 0  # -1: the container's /dev/null
    stdout: int = 1
    stderr: int = 2
    report: int = -1  # the two pipes of :mod:`.messages`
    gate: int = -1
    start: int = -1  # the two FIFOs of :mod:`.state`
    error: int = -1
    console: int = -1  # a Unix socket, to which the child sends its terminal
    join: int = -1  # exec: a pidfd of the process whose namespaces to enter
    cgroup_namespace: int = -1  # a cgroup namespace to enter

    def open(self) -> dict[str, int]:
        """Those that are open: name -> number. Source: open(2)."""
        return {name: getattr(self, name) for name in type(self).__annotations__ if getattr(self, name) >= 0}


class Birth(Fields):
    """Everything that the child has to know. Plain values and descriptors, because it may be sent to the zygote.

    Source: OCI runtime-spec, config.md and config-linux.md.
    """

    spec: Spec
    rootfs: str  # the directory that becomes the container's root
    bundle: str = "/"  # relative paths in the spec begin here
    cgroups: dict[str, str] = EMPTY  # controller -> the container's directory
    tasks: list[str] = EMPTY  # cgroup v1: the files into which the child writes itself
    cgroup_v2: str | None = None  # cgroup v2: the directory for clone3
    joins: list[str] = EMPTY  # exec: the kinds of namespaces of a running process to enter
    seccomp_filter: bytes = b""  # the compiled program
    seccomp_flags: int = 0
    wait_for_network: bool = False
    init: bool = False  # run a small init as process 1
    die_with_parent: bool = False  # the kernel kills the container when our process ends
    traced: bool = False  # report how long each step took
    programs_on_root: bool = False  # refuse a command on any other mount: see launch.shares_programs
    new_keyring: bool = True  # begin a session keyring
    preserved: list[int] = EMPTY  # descriptors of ours that the command gets as 3, 4, …
    hook_state: dict[str, Any] = EMPTY  # what hooks get on standard input, but for status and pid
    descriptors: Descriptors

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.cgroups = dict(self.cgroups)
        if "descriptors" not in values:
            self.descriptors = Descriptors()
        # Made here and not in the child, so that its errors are raised in the caller.
        self.operations: list[mounts.Operation] = []
        if not self.joins:
            self.operations = rootfs.operations(self.spec, self.bundle, self.cgroups, self.cgroup_v2)

    def creates(self, kind: str) -> bool:
        """Whether the container gets a new namespace of this *kind*. Source: config-linux.md, "Namespaces"."""
        return kind in namespaces.new_kinds(self.spec.linux.namespaces)

    def waits_for_hooks(self) -> bool:
        """Whether the child waits, with all mounts made, until hooks have run. Source: config.md, "createRuntime"."""
        before_pivot = "prestart", "createRuntime", "createContainer"
        return not self.joins and self.spec.hooks is not None and self.spec.hooks.has(*before_pivot)

    def listens(self) -> bool:
        """Whether an agent decides about some system calls: see :mod:`.notify`. Source: config-linux.md, "Seccomp"."""
        profile = self.spec.linux.seccomp
        return profile is not None and profile.asks_agent()

    def has_attributes(self) -> bool:
        """Whether the process has one of the attributes of :mod:`.attributes`. Source: config.md, "Linux Process"."""
        process, linux = self.spec.process, self.spec.linux
        rare = process.scheduler, process.ioPriority, process.execCPUAffinity, linux.memoryPolicy, linux.personality
        return any(rare)

    def to_wire(self) -> dict[str, Any]:
        """Everything but the descriptors, in types that :mod:`marshal` knows. Source: config.md."""
        values = {name: getattr(self, name) for name in type(self).__annotations__ if name != "descriptors"}
        values["tasks"], values["joins"], values["preserved"] = list(self.tasks), list(self.joins), []
        return {**values, "hook_state": dict(self.hook_state), "spec": self.spec.to_dict()}

    @classmethod
    def from_wire(cls, values: dict[str, Any], descriptors: dict[str, int], preserved: list[int]) -> Birth:
        """What :meth:`to_wire` returned in another process, and its descriptors here. Source: config.md."""
        absent = dict.fromkeys(_STREAMS, -1)  # what was not sent does not default to our own
        spec = Spec.from_dict(values["spec"])
        return cls(
            **{**values, "spec": spec, "preserved": preserved}, descriptors=Descriptors(**{**absent, **descriptors})
        )


# ---- the child ---------------------------------------------------------------------------------------------------


def become(birth: Birth, step: Trace) -> NoReturn:
    """Turn the calling process, which was created inside new namespaces, into the container's command.

    Source: OCI runtime-spec, runtime.md, "Lifecycle".
    """
    spec, user_process, fds = birth.spec, birth.spec.process, birth.descriptors

    step("join the cgroups")
    for tasks in birth.tasks:
        write(tasks, "0")  # "0" is the writer; tasks instead of cgroup.procs saves 5 to 10 ms: see Cgroup.join_files
    if user_process.oomScoreAdj is not None:
        step("set oom_score_adj")
        write("/proc/self/oom_score_adj", str(user_process.oomScoreAdj))  # while we still have the caller's rights
    step("begin a session")
    process.reset_inherited()
    arrange_descriptors(birth)
    os.setsid()
    if birth.new_keyring:
        kernel.begin_session_keyring()  # the caller's keys are not for the container; there are no namespaces of keys
    if birth.die_with_parent:
        die_with_parent(birth)
    if user_process.apparmorProfile:
        step(f"set the AppArmor profile {user_process.apparmorProfile}")
        apparmor.change_on_exec(user_process.apparmorProfile)
    if user_process.selinuxLabel:
        from . import selinux  # in memory since preload

        step(f"set the SELinux label {user_process.selinuxLabel}")
        selinux.change_on_exec(user_process.selinuxLabel)
    if birth.init:
        from . import init  # in memory since preload

        init.set_title(b"minict-init")
    if birth.creates("user"):
        step("wait for the id maps")
        messages.wait(fds.gate, messages.ID_MAPS_WRITTEN)
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    if birth.creates("cgroup"):
        step("unshare the cgroup namespace")  # not with clone3: its root is the cgroup in which the caller is now
        unshare(CLONE_NEWCGROUP)
    elif fds.cgroup_namespace >= 0:
        step("join the cgroup namespace")  # after joining the cgroup, whose path is out of reach from inside
        setns(fds.cgroup_namespace, CLONE_NEWCGROUP)

    if birth.creates("mount"):
        build_root(birth, step)
    else:
        if not birth.joins and not any(each.type == "mount" for each in spec.linux.namespaces):
            step("chroot")  # without a mount namespace nothing may be mounted, and there is no root to pivot
            os.chroot(birth.rootfs)
            os.chdir("/")
        set_sysctls(spec, step)
        run_hooks(birth, step)

    if (
        spec.hostname and spec.hostname != os.uname().nodename
    ):  # container.check demands a uts namespace, even a joined one
        step(f"set the host name {spec.hostname}")
        kernel.sethostname(spec.hostname)
    if spec.domainname:
        step("set the domain name")
        kernel.setdomainname(spec.domainname)
    if birth.creates("network"):
        step("bring the loopback device up")
        loopback_up()
    if birth.wait_for_network:
        step("wait for the network")
        messages.wait(fds.gate, messages.NETWORK_CONNECTED)

    if user_process.terminal:
        step("open the terminal")
        open_terminal(birth)
    elif fds.stdin < 0:
        step("open /dev/null")
        read_from_null()
    step("set limits and user")
    execute = prepare_process(birth, user_process, step)
    if fds.start >= 0:
        step("wait for start")
        wait_for_start(birth)
    if spec.hooks and spec.hooks.has("startContainer"):
        from . import hooks  # in memory since preload

        step("run the startContainer hooks")
        hooks.run(spec.hooks, "startContainer", birth.hook_state, "created", os.getpid())
    step(f"execve {user_process.args[0]}")
    if birth.traced:
        messages.report_trace(fds.report, step)
    if birth.init:
        init.run(lambda: guard(birth, step, execute))
    execute()


def build_root(birth: Birth, step: Trace) -> None:
    """Build the root file system of a new mount namespace and pivot into it. Raises :class:`OSError`.

    Everything is done before pivot_root, while /proc and /dev are the host's: in the container's own a hostile image,
    or another container that shares a volume, could exchange them. Source: mount_namespaces(7), pivot_root(2).
    """
    step("stop mount propagation")
    propagation = mounts.PROPAGATION[birth.spec.linux.rootfsPropagation or "rslave"]
    mounts.isolate(propagation, birth.operations)
    step("mount the root file system")
    rootfs.enter_root(birth.spec, birth.rootfs)
    root = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for operation in birth.operations:
        step(operation.describe())
        operation.execute(root)
    step("make the working directory")  # as Docker does when the image lacks it
    os.close(mounts.open_in_root(root, birth.spec.process.cwd, make="directory"))
    set_sysctls(birth.spec, step, root)
    run_hooks(birth, step)
    for operation in rootfs.protections(birth.spec):
        step(operation.describe())
        operation.execute(root)
    os.close(root)
    step("pivot_root")
    rootfs.pivot_root(birth.rootfs)
    mounts.share(propagation)


def run_hooks(birth: Birth, step: Trace) -> None:
    """Let the parent run its hooks, then run those that belong into the container's namespaces, if there are any.

    Raises :class:`ContainerError`. Source: config.md, "createRuntime Hooks", "createContainer Hooks".
    """
    if birth.waits_for_hooks():
        from . import hooks  # in memory since preload

        step("wait for the hooks")
        messages.report_mounted(birth.descriptors.report)
        messages.wait(birth.descriptors.gate, messages.HOOKS_RUN)
        step("run the createContainer hooks")
        hooks.run(birth.spec.hooks, "createContainer", birth.hook_state, "creating", os.getpid())


def set_sysctls(spec: Spec, step: Trace, root: int = -1) -> None:
    """Set the sysctls of the container's namespaces, through the /proc of the tree *root* (-1: of ``/``).

    Raises :class:`OSError`, :class:`.errors.ContainerError`. Source: proc_sys(5); config-linux.md, "Sysctl".
    """
    if not spec.linux.sysctl:
        return
    own = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if root < 0 else root
    proc = procfs.open_root(own)
    for name, value in spec.linux.sysctl.items():
        step(f"sysctl {name}")
        procfs.write(proc, "sys/" + sysctl_path(name), value)
    os.close(proc)
    if root < 0:
        os.close(own)


def sysctl_path(name: str) -> str:
    """The file of a sysctl below /proc/sys. Where the first separator is a slash, a dot is a part of a name.

    Source: sysctl(8); sysctl.d(5): ``net.ipv4.conf.all.forwarding`` is ``net/ipv4/conf/all/forwarding``.
    """
    return name if "/" in name and "." not in name.partition("/")[0] else name.replace(".", "/")


def prepare_process(birth: Birth, user_process: Process, step: Trace) -> Callable[[], NoReturn]:
    """Give up what the command must not have, in the only order that works; return a function that executes it.

    The bounding set can be lowered only with privileges, groups change before the user, the user before the
    capabilities, and seccomp comes last, because it may forbid all of these. (Without no_new_privs only a
    privileged process may install a filter: then it has to come first.) Source: credentials(7), capabilities(7),
    seccomp(2). Raises :class:`OSError`, :class:`.errors.ContainerError`.
    """
    process.set_rlimits(user_process.rlimits)
    if birth.has_attributes():
        from . import attributes  # in memory since preload

        attributes.apply(user_process, birth.spec.linux)
        if birth.joins and user_process.execCPUAffinity:
            attributes.run_on(user_process.execCPUAffinity.final, "process.execCPUAffinity.final")
    process.enter_directory(user_process.cwd)
    command = process.find(user_process.args[0], user_process.env)
    process.refuse_magic_link(command, birth.programs_on_root)
    environment = process.with_home(user_process.env, user_process.user.uid)
    allowed = user_process.capabilities or Capabilities()  # absent: none, as with runc and crun
    kernel.close_range(3 + len(birth.preserved), flags=kernel.CLOSE_RANGE_CLOEXEC)  # no descriptor of the host leaks in
    step("drop capabilities")
    capabilities.drop_bounding(allowed)
    if birth.seccomp_filter and not user_process.noNewPrivileges:
        step("install the seccomp filter")
        install_filter(birth)
    step(f"become user {user_process.user.uid}:{user_process.user.gid}")
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    process.set_user(user_process.user)
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 0)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # with no more rights than they have, we must hide from processes inside
    capabilities.apply(allowed)
    if user_process.noNewPrivileges:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if birth.die_with_parent:
        die_with_parent(birth)  # again: the change of user has cleared it
    os.umask(0o022 if user_process.user.umask is None else user_process.user.umask)
    process.restore_signals()
    if birth.seccomp_filter and user_process.noNewPrivileges:
        step("install the seccomp filter")
        install_filter(birth)

    def execute() -> NoReturn:
        process.execute(command, list(user_process.args), environment)

    return execute


def install_filter(birth: Birth) -> None:
    """Install the seccomp filter; if an agent decides about some calls, wait until it can. Raises :class:`OSError`.

    Source: seccomp(2), seccomp_unotify(2).
    """
    listen = birth.listens()
    listener = seccomp.install(birth.seccomp_filter, birth.seccomp_flags, listen)
    if listen:
        messages.report_listener(birth.descriptors.report, listener)
        messages.wait(birth.descriptors.gate, messages.LISTENER_SENT)
        os.close(listener)


def open_terminal(birth: Birth) -> None:
    """Make a terminal from the container's /dev/pts our standard streams, and send its other end to the runtime.

    Raises :class:`OSError`, :class:`.errors.ContainerError`. Source: pty(7); config.md, "process.terminal".
    """
    from . import terminal  # in memory since preload

    master, slave = terminal.open_pair()
    size = birth.spec.process.consoleSize
    if size and size.height:
        terminal.set_size(master, size.height, size.width)
    if birth.creates("mount"):
        mounts.mount_console(slave)
    os.fchown(slave, birth.spec.process.user.uid, -1)
    terminal.send(birth.descriptors.console, master)
    os.close(master)
    os.close(birth.descriptors.console)
    terminal.attach(slave)


def read_from_null() -> None:
    """Read standard input from the container's /dev/null, or from an empty pipe if that is another file.

    Not from the host's: root in the container could change the mode of that through the descriptor. The file is opened
    without waiting, because with a volume on /dev it is the container's. Raises :class:`OSError`. Source: null(4).
    """
    try:
        fd = os.open("/dev/null", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        status = os.fstat(fd)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(1, 3):
            raise OSError
        os.set_blocking(fd, True)
    except OSError:
        fd, writer = os.pipe2(os.O_CLOEXEC)
        os.close(writer)
    os.dup2(fd, 0)
    if fd > 0:
        os.close(fd)


def arrange_descriptors(birth: Birth) -> None:
    """Move the standard streams to 0, 1 and 2, and close everything that the child does not need.

    An inherited descriptor keeps pipes and locks alive: the child would not notice the parent's death if it had the
    parent's end of the gate, and a reader of the parent's output would also wait for the child.
    Raises :class:`OSError`. Source: dup(2), close_range(2).
    """
    fds = birth.descriptors
    streams = [fds.stdin, fds.stdout, fds.stderr]
    if streams != [0, 1, 2]:
        copies = [fd if fd < 0 else os.dup(fd) for fd in streams]  # first copy all: one may be at another's number
        for number, fd in enumerate(copies):
            if fd >= 0:
                os.dup2(fd, number)
                os.close(fd)
    binds = [operation for operation in birth.operations if isinstance(operation, mounts.Bind)]
    first = 3 + len(birth.preserved)
    for place, name in [(fds, name) for name in fds.open() if name not in _STREAMS] + [
        (each, "tree") for each in binds
    ]:
        if 3 <= getattr(place, name) < first:  # a number that one of the preserved will get
            setattr(place, name, move_up(getattr(place, name), first))
    preserved = [move_up(fd, first) for fd in birth.preserved]
    for number, fd in enumerate(preserved, 3):
        os.dup2(fd, number)
    others = [fd for name, fd in fds.open().items() if name not in _STREAMS]
    process.close_all_except([*others, *(each.tree for each in binds), *range(3, first)])


def move_up(fd: int, lowest: int) -> int:
    """Duplicate *fd* at a number of at least *lowest*, closed on exec. Raises :class:`OSError`. Source: fcntl(2)."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)


def wait_for_start(birth: Birth) -> None:
    """Tell the creator that everything is ready, and wait until a process writes into the FIFO ``start``.

    The FIFO is open for reading and writing, so that it has no end of file while it has no writer. From here on
    an error goes to the process that calls start. Source: fifo(7); OCI runtime-spec, runtime.md, "Start".
    """
    fds = birth.descriptors
    os.close(fds.report)
    fds.report = fds.error
    os.read(fds.start, 1)
    os.close(fds.start)


def die_with_parent(birth: Birth) -> None:
    """Let the kernel kill this process when its parent ends; end now if the parent has already died.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    try:
        os.write(birth.descriptors.report, b"\n")
    except BrokenPipeError:
        os._exit(1)


def write(path: str, text: str) -> None:
    """Write *text* to a file of the host, such as one of a cgroup. Raises :class:`OSError`. Source: cgroups(7)."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def preload(birth: Birth) -> None:
    """Import the modules that only some children need, while the standard library is still in reach.

    Source: path_resolution(7): after pivot_root the same paths lead into the container.
    """
    if birth.init:
        from . import init  # noqa: F401
    if birth.spec.process.terminal:
        import _socket  # noqa: F401

        from . import terminal  # noqa: F401
    if birth.spec.process.rlimits:
        import resource  # noqa: F401
    if birth.has_attributes():
        from . import attributes  # noqa: F401
    if birth.spec.process.selinuxLabel:
        from . import selinux  # noqa: F401
    if birth.spec.hooks:
        import _json  # noqa: F401

        from . import hooks  # noqa: F401


def child(birth: Birth) -> NoReturn:
    """Become the container's command, or report why not. Source: OCI runtime-spec, runtime.md, "Lifecycle"."""
    step = Trace("child")
    guard(birth, step, lambda: become(birth, step))


def guard(birth: Birth, step: Trace, function: Callable[[], NoReturn]) -> NoReturn:
    """Call *function*, which ends in execve, and report its error. The child has no caller to return to.

    Source: _exit(2).
    """
    try:
        function()
    except BaseException as error:
        try:
            messages.report_error(birth.descriptors.report, step.step, error)
        except OSError:
            pass  # the reader is gone
    finally:
        os._exit(OUR_ERROR)
