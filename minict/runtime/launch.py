"""The start of a container, seen from its parent: create the first process and watch it until its execve succeeds.

A container's first process can come from three places, which do not differ in anything else:

=======================  =================================================================================
:func:`.stage.direct`    clone3 from this process: the command line, which is small and has one thread
:func:`.stage.staged`    fork first, clone3 from the copy: to join namespaces, or to run a learner's functions
:func:`.zygote.clone`    a small helper process clones: for a notebook kernel, which is large and has many threads;
                         and wherever the container could get at the program that this process executes
=======================  =================================================================================

A fork copies the page tables: 3 ms for a small Python, 10 for a notebook, 50 with a large array in it. And a
raw clone3 from a process with threads would copy locks that no thread of the copy ever releases.
"""

from __future__ import annotations

import os
import stat

from . import birth as births
from . import messages, namespaces, stage
from .errors import ContainerError
from .process import kill_child, reset_inherited
from .trace import Trace

_WITHOUT_PROGRAMS = {"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue"}  # their files are the kernel's
_EXITING, _FORKED_WITHOUT_EXECVE = 0x4, 0x40

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .spec import Mount

    Clone = Callable[[births.Birth], tuple[int, int]]
    Hook = Callable[[int], None]

#: Functions of this package that a learner has replaced in this process, such as ``minict.runtime.rootfs.pivot_root``.
#: While there is one, containers are forked from this very process, the only one that has the learner's function.
replaced: set[str] = set()


def choose(birth: births.Birth) -> Clone:
    """The function of the three above that fits the calling process and the container.

    A passed exercise has replaced a function in this process and nowhere else: then the container must come from
    this process. Source: clone(2), fork(2).
    """
    if replaced:
        return stage.staged
    if stage.has_threads() or birth.init or shares_programs(birth):
        from .zygote import clone  # few command lines need it

        return clone
    birth.programs_on_root = True
    return stage.staged if stage.needs_stage(birth) else stage.direct


def shares_programs(birth: births.Birth) -> bool:
    """Whether others may write where the container's programs are: on a mount, or in a mount namespace, of others.

    Before execve the runtime verifies that the command is not a link to ``/proc/self/exe``, nor a script for it. In a
    shared directory another container could exchange it after that. Then it must find the zygote's sealed interpreter
    and not the host's (CVE-2019-5736). Source: execve(2), proc_pid_exe(5).
    """
    joins_mounts = any(each.type == "mount" and each.path for each in birth.spec.linux.namespaces)
    return joins_mounts or any(may_hold_programs(mount, birth.bundle) for mount in birth.spec.mounts)


def may_hold_programs(mount: Mount, bundle: str) -> bool:
    """Whether a program could lie on this *mount*, which is not the root file system.

    A file that nobody may execute, such as the ``/etc/hosts`` of every engine, is none. Should it become one before the
    execve, then :func:`.process.refuse_mounted` finds it. Source: mount(2), MS_NOEXEC; execve(2), EACCES.
    """
    if mount.destination == "/" or "noexec" in mount.options or mount.type in _WITHOUT_PROGRAMS:
        return False
    if mount.type == "tmpfs":
        return "tmpcopyup" in mount.options
    if not mount.source or not (mount.type == "bind" or {"bind", "rbind"} & set(mount.options)):
        return True
    try:
        mode = os.stat(os.path.join(bundle, mount.source)).st_mode
    except OSError:
        return True
    return stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and mode & 0o111 != 0)


def create_process(
    birth: births.Birth,
    clone: Clone,
    *,
    created: Hook | None = None,
    prepare: Hook | None = None,
    mounted: Hook | None = None,
    step: Trace | None = None,
) -> tuple[int, int, Trace]:
    """Create the child and accompany it until its execve has succeeded (or until it waits for start).

    *clone*: what :func:`choose` returned. Three functions are called with the child's pid: *created* at once, to record
    it, *prepare* while the child builds its root, for what has to be done from outside, such as the network, and
    *mounted*, if the spec has hooks for that moment, when the root is built and not entered yet.
    Returns the pid, a pidfd, and the child's trace.
    Raises :class:`ContainerError` with the step that failed; then the child is gone.
    Source: OCI runtime-spec, runtime.md, "Lifecycle".
    """
    step = step or Trace("parent")
    own_pipes(birth)
    report, gate = open_pipes(birth)
    pid = pidfd = -1
    try:
        step("clone")
        pid, pidfd = clone(birth)
        close_child_ends(birth)  # or the end of file would never come
        if pid < 0:
            messages.read_report(report)
            raise ContainerError("the process that should have created the container has died: try again")
        if created:
            created(pid)
        if birth.creates("user"):
            step("write the id maps")
            namespaces.write_id_maps(pid, birth.spec.linux.uidMappings, birth.spec.linux.gidMappings)
            reset_inherited(pid)  # in a user namespace the child lacks the right to do it
            messages.send(gate, messages.ID_MAPS_WRITTEN)
        if birth.spec.linux.netDevices:
            step("move the network interfaces")
            from . import netdevices  # rarely needed

            netdevices.move(birth.spec.linux.netDevices, pid)
        if prepare:
            prepare(pid)
        if mounted and birth.waits_for_hooks():
            step("wait for the mounts")
            messages.read_report(report, until=messages.MOUNTED)
            refuse_the_dead(pid)
            step("run the hooks")
            mounted(pid)
            messages.send(gate, messages.HOOKS_RUN)
        if birth.wait_for_network:
            messages.send(gate, messages.NETWORK_CONNECTED)
        if birth.listens():
            step("send the seccomp listener")
            send_listener(birth, report, gate, pid, pidfd)
        step("wait for execve")
        trace = messages.read_report(report)
        if not birth.init:  # the small init never executes anything
            refuse_the_dead(pid)
        step(None)
        return pid, pidfd, trace
    except BaseException:
        if pid > 0:
            kill_child(pid, pidfd)
        raise
    finally:
        os.close(report)
        os.close(gate)
        close_child_ends(birth)


def send_listener(birth: births.Birth, report: int, gate: int, pid: int, pidfd: int) -> None:
    """Send the descriptor that the child has got with its filter to the agent. Raises :class:`ContainerError`.

    Source: config-linux.md, "The Container Process State".
    """
    found: list[int] = []
    messages.read_report(report, until=b"\n", listeners=found)
    refuse_the_dead(pid)
    profile = birth.spec.linux.seccomp
    if found and profile:
        status = "running" if birth.joins else "creating"
        from . import notify  # rarely needed

        notify.send(profile, pidfd, found[0], pid, {**birth.hook_state, "status": status, "pid": pid})
        messages.send(gate, messages.LISTENER_SENT)


def refuse_the_dead(pid: int) -> None:
    """Verify that our child *pid*, which has closed its report, was not killed before it could execute the command.

    The kernel notes in a process's flags whether it has called execve; a zombie keeps them until its parent waits for
    it. Raises :class:`ContainerError`. Source: proc_pid_stat(5), "flags"; linux/sched.h, PF_EXITING, PF_FORKNOEXEC.
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:  # it has ended, and another part of this process has waited for it
        return
    flags = int(fields[6])
    if flags & _EXITING and flags & _FORKED_WITHOUT_EXECVE:
        raise ContainerError(
            "the container's first process was killed before it could execute the command: is its memory limit too low?"
        )


def open_pipes(birth: births.Birth) -> tuple[int, int]:
    """Open the two pipes of :mod:`.messages`; the parent's ends, for the report and the gate.

    Raises :class:`OSError`, EMFILE when this process has too many open files. Source: pipe(2).
    """
    fds = birth.descriptors
    report, fds.report = os.pipe2(os.O_CLOEXEC)
    try:
        fds.gate, gate = os.pipe2(os.O_CLOEXEC)
    except OSError:
        os.close(report)
        close_child_ends(birth)
        raise
    return report, gate


def close_child_ends(birth: births.Birth) -> None:
    """Close the child's ends of the two pipes, if they are open here. Source: pipe(7)."""
    fds = birth.descriptors
    for fd in (fds.report, fds.gate):
        if fd >= 0:
            os.close(fd)
    fds.report = fds.gate = -1


def own_pipes(birth: births.Birth) -> None:
    """Make the command's user the owner of those of its standard streams that are pipes.

    A process may write to a pipe that it has inherited, regardless of the owner. But ``/dev/stdout``, to which many
    servers log, opens the pipe anew, and then the owner counts. Raises :class:`OSError`. Source: proc_pid_fd(5).
    """
    process, linux, fds = birth.spec.process, birth.spec.linux, birth.descriptors
    if "user" in birth.joins:
        return  # its id maps are unknown here
    owner = process.user.uid
    for each in linux.uidMappings:
        if each.containerID <= owner < each.containerID + each.size:
            owner += each.hostID - each.containerID
            break
    for fd in (fds.stdin, fds.stdout, fds.stderr):
        # a FIFO is a file with an owner of its own: readlink shows its path
        if fd >= 0 and owner and os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
            os.fchown(fd, owner, -1)
