"""The birth of a container: one process makes another that is already inside.

Read :func:`become` first: it is the whole life of the child before the user's command, top to bottom, and each
line of it is a chapter of the course.  :func:`bear` is the parent's side.  The two talk over two pipes:

::

    parent (bear)                               child (become)
    ─────────────                               ──────────────
    clone3(CLONE_NEW…, CLONE_INTO_CGROUP)  ──►  begins inside its namespaces
    writes the id maps         ── gate: "u" ──►  becomes root of its user namespace
    connects the network                        builds the root file system, pivots into it
                               ── gate: "n" ──►  goes on
                                                drops its powers, executes the command
    reads until end of file    ◄── report ────  execve closes the pipe: nothing in it, all is well
                                                or: step, errno and message of what failed

The child does system calls only.  It imports nothing (after pivot_root the standard library is gone), it
does not log, and it takes no lock, because a thread that held one was not copied.
"""

from __future__ import annotations

import os
import stat

from ..kernel import mount as k
from ..kernel import process as kernel
from ..kernel.keyring import begin_session_keyring
from ..kernel.namespaces import CLONE_NEWCGROUP, setns, unshare
from ..kernel.network import loopback_up
from . import capabilities, init, mounts, namespaces, process, rootfs, seccomp
from .errors import OUR_ERROR, ContainerError
from .spec import Spec
from .trace import Trace

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .spec import Process


class Birth:
    """All that the child has to know.  Plain values and descriptors: it may have to travel to another process.

    *descriptors*: ``stdin``, ``stdout``, ``stderr`` (stdin -1: nothing to read), ``report`` and ``gate`` (the pipes
    above), ``start`` and ``error`` (the FIFOs of :mod:`.state`, or -1), ``console`` (where to send the terminal, or
    -1), ``join`` (a pidfd of the process whose namespaces to enter, or -1), ``cgroup_namespace`` (one to enter, or
    -1).
    """

    def __init__(
        self,
        spec: Spec,
        rootfs_path: str,
        *,
        bundle: str = "/",
        cgroups: dict[str, str] | None = None,
        tasks: Sequence[str] = (),
        cgroup_v2: str | None = None,
        joins: Sequence[str] = (),
        seccomp_filter: bytes = b"",
        seccomp_flags: int = 0,
        wait_for_network: bool = False,
        init: bool = False,
        die_with_parent: bool = False,
        traced: bool = False,
        descriptors: dict[str, int] | None = None,
    ):
        self.spec = spec
        self.rootfs = rootfs_path
        self.bundle = bundle
        self.cgroups = cgroups or {}  # controller -> the container's directory
        self.tasks = list(tasks)  # v1: the files that the child writes itself into
        self.cgroup_v2 = cgroup_v2  # v2: the directory that clone3 puts it in
        self.joins = list(joins)  # exec: the kinds of namespaces of a running process to enter
        self.seccomp_filter = seccomp_filter  # the compiled program
        self.seccomp_flags = seccomp_flags
        self.wait_for_network = wait_for_network
        self.init = init
        self.die_with_parent = die_with_parent
        self.traced = traced
        self.descriptors = {
            "stdin": 0,
            "stdout": 1,
            "stderr": 2,
            "report": -1,
            "gate": -1,
            "start": -1,
            "error": -1,
            "console": -1,
            "join": -1,
            "cgroup_namespace": -1,
            **(descriptors or {}),
        }
        # made here and not in the child, so that its errors are the caller's
        self.table = [] if self.joins else rootfs.table(spec, bundle, self.cgroups, cgroup_v2)

    def makes(self, kind: str) -> bool:
        """Whether the container gets a new namespace of this *kind*."""
        return kind in namespaces.made(self.spec.linux.namespaces)

    def to_wire(self) -> dict[str, Any]:
        """Everything but the descriptors, in types that :mod:`marshal` can carry."""
        values = {name: value for name, value in vars(self).items() if name not in ("rootfs", "descriptors", "table")}
        return {**values, "rootfs_path": self.rootfs, "spec": self.spec.to_dict()}

    @classmethod
    def from_wire(cls, values: dict[str, Any], descriptors: dict[str, int]) -> Birth:
        # what was not sent is not there: our own is not meant
        absent = dict.fromkeys(("stdin", "stdout", "stderr"), -1)
        return cls(**{**values, "spec": Spec.from_dict(values["spec"])}, descriptors={**absent, **descriptors})


# ---- the child ---------------------------------------------------------------------------------------------------


def become(birth: Birth, step: Trace) -> None:
    """Turn the calling process, which was born inside new namespaces, into the container's command.  Does not
    return."""
    spec, linux, user_process = birth.spec, birth.spec.linux, birth.spec.process

    step("join the cgroups")
    for tasks in birth.tasks:
        # "0" is whoever writes; into tasks and not cgroup.procs, which waits 5 to 10 ms: Cgroup.join_files
        write(tasks, "0")
    if user_process.oomScoreAdj is not None:
        write("/proc/self/oom_score_adj", str(user_process.oomScoreAdj))  # while we still are who made us
    step("begin a session")
    take_descriptors(birth)
    os.setsid()
    begin_session_keyring()  # the keys of who started us are not the container's: there is no namespace of keys
    if birth.die_with_parent:
        die_with_parent(birth)
    if birth.makes("user"):
        step("wait for the id maps")
        wait(birth, b"u")
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    if birth.makes("cgroup"):
        step("unshare the cgroup namespace")  # not by clone3: the root of its view is where the caller is now
        unshare(CLONE_NEWCGROUP)
    elif birth.descriptors["cgroup_namespace"] >= 0:
        step("join the cgroup namespace")  # not before the cgroup: from inside, ours could not be named any more
        setns(birth.descriptors["cgroup_namespace"], CLONE_NEWCGROUP)

    if birth.makes("mount"):
        build_root(birth, step)
    elif not birth.joins and not any(each.type == "mount" for each in linux.namespaces):
        step("chroot")  # without a mount namespace there is no root to pivot, and nothing may be mounted
        os.chroot(birth.rootfs)
        os.chdir("/")

    if birth.makes("uts") and spec.hostname:
        step(f"set the host name {spec.hostname}")
        kernel.sethostname(spec.hostname)
    if spec.domainname:
        step("set the domain name")
        kernel.setdomainname(spec.domainname)
    if birth.makes("network"):
        step("bring the loopback device up")
        loopback_up()
    for name, value in (linux.sysctl or {}).items():
        step(f"sysctl {name}")
        write("/proc/sys/" + name.replace(".", "/"), value)
    if birth.makes("mount"):
        close_root(spec, step)
    if birth.wait_for_network:
        step("wait for the network")
        wait(birth, b"n")

    if user_process.terminal:
        step("open the terminal")
        open_terminal(birth)
    elif birth.descriptors["stdin"] < 0:
        step("open /dev/null")
        take_empty_input()
    if birth.descriptors["start"] >= 0:
        step("wait for start")
        wait_for_start(birth)
    step("set limits and user")
    execute = prepare_process(birth, user_process, step)
    step(f"execve {user_process.args[0]}")
    if birth.traced:
        report_trace(birth, step)
    if birth.init:
        init.run(lambda: guard(birth, step, execute))
    execute()


def build_root(birth: Birth, step: Trace) -> None:
    """The mount namespace's own root file system, from the table of operations, and the step into it."""
    step("stop mount propagation")
    propagation = mounts.PROPAGATION[birth.spec.linux.rootfsPropagation or "rslave"]
    mounts.isolate(propagation, birth.table)
    step("mount the root file system")
    rootfs.enter_root(birth.spec, birth.rootfs)
    root = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for operation in birth.table:
        step(operation.describe())
        operation.execute(root)
    step("make the working directory")
    # Docker's habit, when the image has none
    os.close(mounts.open_in_root(root, birth.spec.process.cwd, make="directory"))
    os.close(root)
    step("pivot_root")
    rootfs.pivot_root(birth.rootfs)
    mounts.share(propagation)


def close_root(spec: Spec, step: Trace) -> None:
    """Mask and protect, when nothing has to be made or written any more."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for operation in rootfs.closing(spec):
        step(operation.describe())
        operation.execute(root)
    os.close(root)


def prepare_process(birth: Birth, user_process: Process, step: Trace) -> Callable[[], None]:
    """Give up what the command must not have, in the one order that works; return what executes it.

    The bounding set can be lowered only while we are privileged, groups change before the user, the user before the
    capabilities, and seccomp comes last, because it may forbid all of these.  (Without no_new_privs only a
    privileged process may install a filter: then it has to come first.)
    """
    process.set_rlimits(user_process.rlimits)
    process.enter_directory(user_process.cwd)
    command = process.find(user_process.args[0], user_process.env)
    process.refuse_magic_link(command)
    if user_process.capabilities:
        step("drop capabilities")
        capabilities.drop_bounding(user_process.capabilities)
    if birth.seccomp_filter and not user_process.noNewPrivileges:
        step("install the seccomp filter")
        seccomp.install(birth.seccomp_filter, birth.seccomp_flags)
    step(f"become user {user_process.user.uid}:{user_process.user.gid}")
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    process.set_user(user_process.user)
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 0)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # nobody inside may look at us, now that we are no mightier than they
    if user_process.capabilities:
        capabilities.apply(user_process.capabilities)
    if user_process.noNewPrivileges:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if birth.die_with_parent:
        die_with_parent(birth)  # again: the change of user has switched it off
    os.umask(0o022 if user_process.user.umask is None else user_process.user.umask)
    process.restore_signals()
    if birth.seccomp_filter and user_process.noNewPrivileges:
        step("install the seccomp filter")
        seccomp.install(birth.seccomp_filter, birth.seccomp_flags)

    def execute() -> None:
        kernel.close_range(3, flags=kernel.CLOSE_RANGE_CLOEXEC)  # nothing of the host leaks in (CVE-2024-21626)
        process.execute(command, list(user_process.args), list(user_process.env))

    return execute


def open_terminal(birth: Birth) -> None:
    from . import terminal  # in memory since preload

    master, slave = terminal.open_pair()
    size = birth.spec.process.consoleSize
    if size and size.height:
        terminal.set_size(master, size.height, size.width)
    if birth.makes("mount"):
        os.close(os.open("/dev/console", os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        k.mount(os.ttyname(slave), "/dev/console", None, k.MS_BIND)
    os.fchown(slave, birth.spec.process.user.uid, -1)
    terminal.send(birth.descriptors["console"], master)
    os.close(master)
    os.close(birth.descriptors["console"])
    terminal.attach(slave)


def take_empty_input() -> None:
    """Make the container's own /dev/null the standard input; an empty pipe, when the container has something else in
    that place: to open a FIFO would be to wait for its writer.  Nothing of the caller's stays: a descriptor of the
    host's /dev/null would let root in the container change the mode of that."""

    try:
        fd = os.open("/dev/null", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
        status = os.fstat(fd)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(1, 3):
            raise OSError
        os.set_blocking(fd, True)
    except OSError:
        fd, end = os.pipe()
        os.close(end)
    os.dup2(fd, 0)
    if fd > 0:
        os.close(fd)


def take_descriptors(birth: Birth) -> None:
    """Put the standard streams into their places, and close all that the birth does not need.

    What is inherited keeps pipes and locks alive: we would not notice the parent's death with its end of ours open, and
    who waits for the end of the parent's output would wait for us, between create and start for hours.
    """
    streams = [birth.descriptors[name] for name in ("stdin", "stdout", "stderr")]
    if streams != [0, 1, 2]:
        copies = [fd if fd < 0 else os.dup(fd) for fd in streams]  # first copy all: one may lie in another's place
        for number, fd in enumerate(copies):
            if fd >= 0:
                os.dup2(fd, number)
                os.close(fd)
    lowest = 3
    for fd in sorted(
        fd for name, fd in birth.descriptors.items() if name not in ("stdin", "stdout", "stderr") and fd > 2
    ):
        if fd > lowest:
            kernel.close_range(lowest, fd - 1)
        lowest = fd + 1
    kernel.close_range(lowest)


def wait(birth: Birth, expected: bytes) -> None:
    """Wait for the parent's byte; when it has died instead, so do we."""
    if os.read(birth.descriptors["gate"], 1) != expected:
        os._exit(1)


def wait_for_start(birth: Birth) -> None:
    """Tell the creator that all is ready, and wait until somebody writes into the FIFO ``start``.

    It is open for reading and writing, so that it has no end of file while nobody is there.  From here on an error
    goes to whoever starts us.
    """
    os.close(birth.descriptors["report"])
    birth.descriptors["report"] = birth.descriptors["error"]
    os.read(birth.descriptors["start"], 1)
    os.close(birth.descriptors["start"])


def die_with_parent(birth: Birth) -> None:
    """Be killed when the parent ends (prctl(2), PR_SET_PDEATHSIG); if it already has, nobody reads our report."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    try:
        os.write(birth.descriptors["report"], b"\n")
    except BrokenPipeError:
        os._exit(1)


def write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def preload(birth: Birth) -> None:
    """Import what only some children need, while the standard library can still be found."""
    if birth.spec.process.terminal:
        import _socket  # noqa: F401

        from . import terminal  # noqa: F401
    if birth.spec.process.rlimits:
        import resource  # noqa: F401


def child(birth: Birth) -> None:
    """Become the container's command, or report why not.  Does not return."""
    step = Trace("child")
    guard(birth, step, lambda: become(birth, step))


def guard(birth: Birth, step: Trace, function: Callable[[], object]) -> None:
    """Call *function*, which ends in execve, and report its error.  Never returns: there is nobody to return to."""
    try:
        function()
    except BaseException as error:
        try:
            report_error(birth, step.step, error)
        except OSError:
            pass  # nobody listens any more
    finally:
        os._exit(OUR_ERROR)


def report_error(birth: Birth, step: str | None, error: BaseException) -> None:
    if isinstance(error, OSError):
        number, status = error.errno or 0, OUR_ERROR
        named = error.filename and str(error.filename) not in (error.strerror or "")
        message = f"{error.strerror} ({error.filename})" if named else error.strerror or str(error)
    else:
        number, status = getattr(error, "errno", None) or 0, getattr(error, "status", OUR_ERROR)
        message = str(error) if isinstance(error, ContainerError) else f"{type(error).__name__}: {error}"
    line = "\t".join(["error", step or "", str(number), str(status), message.replace("\n", " ")])
    os.write(birth.descriptors["report"], line.encode(errors="replace") + b"\n")


def report_trace(birth: Birth, step: Trace) -> None:
    step(None)
    lines = [f"step\t{name}\t{begin}\t{end}\n" for name, begin, end in step.steps]
    os.write(birth.descriptors["report"], "".join(lines).encode())


# ---- the parent --------------------------------------------------------------------------------------------------


def bear(
    birth: Birth,
    launch: Callable[[Birth], tuple[int, int]],
    prepare: Callable[[int], object] | None = None,
    step: Trace | None = None,
    born: Callable[[int], object] | None = None,
) -> tuple[int, int, Trace]:
    """Make the child and accompany it until its execve has succeeded (or until it waits for start).

    *launch* makes the process: one of the functions of :mod:`.launch`.  *born* is told the pid, to write it down.
    *prepare*, called with the child's pid, does what only somebody outside can do, such as connecting its network;
    meanwhile the child builds its root.
    Returns the pid, a pidfd, and the child's trace.
    Raises :class:`ContainerError` with the step that failed; then the child is gone.
    """
    step = step or Trace("parent")
    give_pipes(birth)
    report, birth.descriptors["report"] = os.pipe2(os.O_CLOEXEC)
    try:
        birth.descriptors["gate"], gate = os.pipe2(os.O_CLOEXEC)
    except OSError:  # too many open files
        os.close(report)
        os.close(birth.descriptors["report"])
        raise
    pid = -1
    try:
        step("clone")
        pid, pidfd = launch(birth)
        for name in ("report", "gate"):  # our copies, or the end of file would never come
            os.close(birth.descriptors.pop(name))
        if pid < 0:
            read_report(report)
            raise ContainerError("the process that should have made the container has died")
        if born:
            born(pid)
        if birth.makes("user"):
            step("write the id maps")
            namespaces.write_id_maps(pid, birth.spec.linux.uidMappings, birth.spec.linux.gidMappings)
            let_go_on(gate, b"u")
        if prepare:
            prepare(pid)
            let_go_on(gate, b"n")
        step("wait for execve")
        trace = read_report(report)
        step(None)
        return pid, pidfd, trace
    except BaseException:
        if pid > 0:
            end(pid, pidfd)
        raise
    finally:
        os.close(report)
        os.close(gate)
        for name in ("report", "gate"):
            if name in birth.descriptors:
                os.close(birth.descriptors[name])


def give_pipes(birth: Birth) -> None:
    """Make the command's user the owner of those of its standard streams that are pipes.

    A process may write to a pipe that it has got, whoever owns it.  But to open ``/dev/stdout``, as the log of a
    server does, is to open the pipe anew, and then the owner counts.
    """
    process, linux = birth.spec.process, birth.spec.linux
    if "user" in birth.joins:
        return  # whose ids we do not know here
    owner = process.user.uid
    for each in linux.uidMappings:
        if each.containerID <= owner < each.containerID + each.size:
            owner += each.hostID - each.containerID
            break
    for name in ("stdin", "stdout", "stderr"):
        fd = birth.descriptors[name]
        if fd >= 0 and owner and os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):  # and no FIFO, which is a file
            os.fchown(fd, owner, -1)


def let_go_on(gate: int, byte: bytes) -> None:
    """Write the *byte* that the child waits for.  If somebody has killed it meanwhile, whoever waits for it will learn
    that."""
    try:
        os.write(gate, byte)
    except BrokenPipeError:
        pass


def read_report(report: int) -> Trace:
    """Read the child's report to its end.  Raises :class:`ContainerError` when it tells of an error."""
    data = b""
    while chunk := os.read(report, 65536):
        data += chunk
    trace = Trace("child")
    for line in data.decode().split("\n"):
        kind, *fields = line.split("\t")
        if kind == "step":
            trace.steps.append((fields[0], int(fields[1]), int(fields[2])))
        elif kind == "error":
            step, number, status, message = fields
            told = message if int(status) != OUR_ERROR or not step else f"{step}: {message}"
            raise ContainerError(told, step=step, errno=int(number) or None, status=int(status))
    return trace


def end(pid: int, pidfd: int) -> None:
    """Kill a child that must not live, and wait until it is gone."""
    try:
        kernel.pidfd_send_signal(pidfd, 9)
    except ProcessLookupError:
        pass
    os.close(pidfd)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # somebody else, such as an event loop, has waited for it
