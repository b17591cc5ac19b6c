"""``minict exec``: one more command in a running container."""

from __future__ import annotations

import os

from minict.engine.containers.store import Record
from minict.engine.images.image import Image
from minict.engine.spec import seccomp
from minict.runtime import capabilities, terminal
from minict.runtime import exec as runtime
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import NOT_EXECUTABLE, OUR_ERROR, ContainerError
from minict.runtime.process import exit_status
from minict.runtime.spec import Capabilities, Process

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def process(
    record: Record,
    command: list[str],
    *,
    env: Sequence[str] = (),
    env_file: Sequence[str] = (),
    user: str | None = None,
    workdir: str | None = None,
    tty: bool = False,
    privileged: bool = False,
) -> Process:
    """The process for *command*, with the container's own settings except for those given here.

    Raises :class:`ContainerError`.
    """
    from minict.engine.containers import env as words
    from minict.engine.containers.options import ContainerOptions
    from minict.engine.spec.user import find_user

    if record.pid is None:
        raise ContainerError(f"the container {record.name} is not running: start it first, or use 'minict run'")
    if record.status == "paused":
        raise ContainerError(
            f"the container {record.name} is paused: unpause it first with 'minict unpause {record.name}'"
        )
    first = record.state.read_spec().process
    variables = dict(word.split("=", 1) for word in first.env)
    if tty:
        variables.setdefault("TERM", "xterm")
    result = Process(
        args=list(command),
        cwd=workdir or first.cwd,
        terminal=tty,
        capabilities=first.capabilities,
        user=first.user,
        noNewPrivileges=first.noNewPrivileges,
        apparmorProfile=None if privileged else first.apparmorProfile,
        rlimits=first.rlimits,
    )
    if user is not None:
        result.user, variables["HOME"] = _asked(lambda: find_user(user, Image.load(record.image, record.image_name)))
        bounding = first.capabilities.bounding if first.capabilities else []
        held = bounding if result.user.uid == 0 else []
        result.capabilities = Capabilities(bounding=bounding, permitted=held, effective=held)
    if privileged:
        everything = capabilities.known()
        result.capabilities = Capabilities(bounding=everything, permitted=everything, effective=everything)
    for word in words.handed_on(ContainerOptions(env=list(env), env_file=list(env_file))):
        name, given, value = word.partition("=")
        if given:
            variables[name] = value
    result.env = [f"{name}={value}" for name, value in variables.items()]
    return result


def execute(record: Record, wanted: Process, *, streams: tuple = (0, 1, 2), console: int = -1) -> tuple[int, int]:
    """Execute the *wanted* process as our child; return (pid, pidfd). Raises :class:`ContainerError`."""
    for action in ("exec_create", "exec_start"):
        record.event(f"{action}: {' '.join(wanted.args)}")
    program = seccomp.program(record.settings_object(), record.state.read_spec())
    return _asked(
        lambda: runtime.execute(
            RuntimeContainer(record.id), wanted, streams=streams, console=console, seccomp_filter=program
        )
    )


def died(record: Record, wait_status: int) -> int:
    """Note in the journal that an executed process has ended; return its exit status."""
    status = exit_status(wait_status)
    record.event("exec_die", exitCode=status)
    return status


def _asked(ask):
    """Call *ask*; an error about the container, such as a missing user or directory, gets Docker's status 126."""
    try:
        return ask()
    except ContainerError as error:
        error.status = NOT_EXECUTABLE if error.status == OUR_ERROR else error.status
        raise


def attached(record: Record, wanted: Process, interactive: bool = False, detach_keys: str | None = None) -> int:
    """Execute *wanted* attached to our streams; return its exit status, or 0 when the user has detached.

    Raises :class:`ContainerError`.
    """
    from minict.engine.util import daemonize

    daemonize.hold_signals()
    if not wanted.terminal:
        return _relayed(record, wanted, interactive)
    import _socket

    from .attach import KILLED, Detached, DetachKeys

    keys = DetachKeys(detach_keys)
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    daemonize.fork_away(b"minict-exec", lambda told: _keep(record, wanted, theirs, told), keep=[theirs.fileno()])
    theirs.close()
    master, pidfd = (terminal.receive(ours.fileno()) for _ in range(2))
    daemonize.take_signals(lambda number: daemonize.send(pidfd, number))
    try:
        terminal.relay(master, pidfd, 0 if interactive else -1, typed=keys.typed)
    except Detached:
        ours.send(_LEFT)
        os.write(2, b"\r\n")
        return 0
    os.close(master)
    return int(ours.recv(16) or KILLED)


def _relayed(record: Record, wanted: Process, interactive: bool) -> int:
    """Execute *wanted* with pipes to our streams, forward our signals to it, and return its exit status."""
    from minict.engine.util import daemonize, streams

    from . import protocol

    with streams.Relay(0 if interactive else -1) as relay:
        pid, pidfd = execute(record, wanted, streams=relay.theirs)
        relay.begun()
        wake = protocol.Wake()
        daemonize.take_signals(lambda number: _hand_on(pid, pidfd, number))
        relay.run(pidfd, wake)
        status = died(record, os.waitpid(pid, 0)[1])
        if relay.open:  # it has left background processes

            def read_on(told: Any) -> None:
                told(None)
                streams.discard(relay.fds)

            daemonize.fork_away(b"minict-exec", read_on, keep=relay.fds)
    if relay.lost and not status:
        raise ContainerError(
            f"cannot write the output of {wanted.args[0]}: {relay.lost.strerror}", errno=relay.lost.errno
        )
    return status


def _hand_on(pid: int, pidfd: int, number: int) -> None:
    """Send a signal to our child; kill it if it is stopped.

    A stopped process would not act on the signal: a container may stop its processes, but the user must be able to
    leave.
    """
    from minict.engine.util import daemonize

    from . import insist

    daemonize.send(pidfd, number)
    if number in _ENDING and insist.is_stopped(pid):
        daemonize.send(pidfd, 9)


_ENDING = (1, 2, 3, 15)


_LEFT = b"left"


def _keep(record: Record, wanted: Process, channel, told) -> None:
    """Keep the terminal and wait for the command, in a process of its own: the user can detach while the command goes
    on.

    The *channel* carries the terminal, the command's pidfd, and at the end its exit status. The answer is
    :data:`_LEFT`, or nothing when the user's window was closed: then the terminal hangs up, as a terminal does.
    """
    import _socket
    import select

    from minict.engine.util import daemonize

    console, theirs = _socket.socketpair()
    daemonize.hold_signals()  # so a process that was stopped during its start is ended, and not left behind
    try:
        pid, pidfd = execute(record, wanted, console=theirs.fileno())
    except (ContainerError, OSError) as error:
        return told(error)
    master = terminal.receive(console.fileno())
    daemonize.release_signals()
    for fd in (master, pidfd):
        terminal.send(channel.fileno(), fd)
    told(None)
    poll = select.poll()
    for fd in (pidfd, channel.fileno()):
        poll.register(fd, select.POLLIN)
    while pidfd not in (ready := dict(poll.poll())):
        if channel.fileno() in ready:
            poll.unregister(channel.fileno())
            if channel.recv(16) == _LEFT:
                poll.register(master, select.POLLIN)
            else:
                os.close(master)
        elif not terminal.pass_on(master, -1):  # without a reader the output is discarded: the command must not wait
            poll.unregister(master)
    try:
        channel.send(str(died(record, os.waitpid(pid, 0)[1])).encode())
    except OSError:
        pass  # the user has detached


def in_background(record: Record, wanted: Process) -> None:
    """Execute *wanted* in the background. Raises :class:`ContainerError`.

    A process of minict waits for it: the kernel takes a pid namespace apart only when all of its processes have been
    waited for, and not every process 1, which inherits orphans, does that. It also reads and discards the output of the
    command: /dev/null of the host would be one of our descriptors, and root inside could change its mode.
    """
    from minict.engine.util import daemonize, streams

    def work(told) -> None:
        daemonize.hold_signals()
        with streams.Relay(stdout=-1, stderr=-1) as relay:
            try:
                pid, pidfd = execute(record, wanted, streams=relay.theirs)
            except (ContainerError, OSError) as error:
                return told(error)
            daemonize.release_signals()
            told(None)
            relay.begun()
            relay.run(pidfd)
            died(record, os.waitpid(pid, 0)[1])
            streams.discard(relay.fds)

    daemonize.fork_away(b"minict-exec", work)
