"""The monitor: the process that stays with a container from its start to its end.

It is the parent of the container's first process, keeps the output, and waits for the end. Where Docker has one daemon
for all containers and a shim for each, and Podman has conmon, minict has only this.

::

    container                        monitor                                clients (attach.py)
    ─────────                        ───────                                ───────────────────
    stdout, stderr or terminal  ──►  log (jsonlog.py), own screen       ──►  output
    stdin or terminal           ◄──                                     ◄──  input, window size, signals
    exit status                 ──►  life.json; restart?                ──►  exit status

For ``minict run -d`` and ``minict run -t`` the monitor is a process of its own, forked by the command (:func:`detach`).
``minict run`` without a terminal is its own monitor, and its screen is its first client.

A monitor may live for months beside hundreds of others, so it imports little: no asyncio, and the C modules beneath
socket and signal.
"""

from __future__ import annotations

import _socket
import os
import select

from minict.engine.containers import policies
from minict.engine.containers.store import Record, now
from minict.engine.images.image import Image
from minict.engine.networks import sandbox
from minict.engine.util.daemonize import (
    fork_away,
    hold_signals,
    release_signals,
    send,
    take_signals,
)
from minict.runtime.errors import OUR_ERROR, ContainerError
from minict.runtime.files import write_all

from . import task
from .jsonlog import MAX_FILE, MAX_SIZE, Log
from .protocol import END_OF_INPUT, ERR, EXIT, FREEZE, FROZEN, OUT, SIGNAL, SIZE, TYPED, Wake

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

_CHUNK = 65536
EPIPE = 32


_PATIENCE = 5.0  # seconds that a client may take to read while the container waits to write
_BACKOFF = 0.1  # seconds before the first restart; doubled each time, up to a minute, until a run has lasted
_LASTING = 10.0  # seconds after which a run counts as a success


class Monitor:
    """The monitor of the container *record*.

    *screen*: descriptors for output and error when this process is the foreground command itself. *stdin*: the
    descriptor that is read for the command, -1 for none; None: the command reads what clients type. *starter*: the
    socket of a client that is there from the beginning. *size*: rows and columns of the terminal at the start.
    """

    def __init__(
        self,
        record: Record,
        *,
        screen: tuple[int, int] | None = None,
        stdin: int | None = -1,
        starter=None,
        size: tuple[int, int] | None = None,
        trace: bool = False,
    ):
        self.size = size
        self.record, self.screen, self.trace = record, screen, trace
        self.reads = stdin != -1  # whether the command has an input
        self.source = -1 if stdin is None else stdin  # the descriptor that is read for it
        self.source_ended = False
        self.settings = record.settings_object()
        self.log = _log(record, self.settings)
        self.clients = [_Client(starter, patient=True)] if starter else []
        self.container: Any = None  # the RuntimeContainer of the present run
        self.outputs: dict[int, bytes] = {}  # descriptor to which the container writes -> OUT or ERR
        self.input = -1  # descriptor from which the container reads
        self.typed = b""  # input for which it has no room yet
        self.input_ends = False  # the input has ended
        self.ends_with_client = starter is not None
        self.health: Any = None
        self.services: Any = None  # the event loop of other services of this process, such as DNS
        self.lost: OSError | None = None  # why the output did not reach the screen
        image = record.prepared[0] if record.prepared else Image.load(record.image)
        self.image_config = image.config

    # ---- one run -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the container. Raises :class:`ContainerError`."""
        if self.settings.tty:
            ours, theirs = _socket.socketpair()
            try:
                self.container = task.begin(
                    self.record, streams=(-1, 1, 2), console=theirs.fileno(), size=self.size, trace=self.trace
                )
                theirs.close()
                from minict.runtime import terminal  # a millisecond: only with a terminal

                self.input = terminal.receive(ours.fileno())
            finally:
                ours.close()
                theirs.close()
            self.outputs = {self.input: OUT}
        else:
            out, out_end = os.pipe2(os.O_CLOEXEC)
            err, err_end = os.pipe2(os.O_CLOEXEC)
            stdin_end, self.input = os.pipe2(os.O_CLOEXEC) if self.reads else (-1, -1)
            try:
                self.container = task.begin(self.record, streams=(stdin_end, out_end, err_end), trace=self.trace)
            except BaseException:
                for fd in {out, err, self.input} - {-1}:
                    os.close(fd)
                self.input = -1
                raise
            finally:
                for fd in {out_end, err_end, stdin_end} - {-1}:
                    os.close(fd)
            self.outputs = {out: OUT, err: ERR}
        if self.input >= 0:
            os.set_blocking(self.input, False)
        self.input_ends = self.source_ended
        self._pass_on()
        try:
            self.listener = _listen(self.record)
            self.health = self._health()
            self.services = sandbox.services(self.record.id)
        except BaseException:
            task.end(self.record, self.container, OUR_ERROR)
            raise

    def _health(self):
        """The health checker, or None."""
        if self.settings.health_cmd is None and not self.image_config.get("Healthcheck"):
            return None
        policy = policies.healthcheck(self.settings, self.image_config)
        if policy is None:
            return None
        from .healthcheck import Health

        return Health(self.record, policy, self.image_config.get("Shell"))

    def look_after(self) -> int:
        """Serve the container until its first process ends; return its exit status."""
        wake = Wake()
        try:
            while not self._serve(wake):
                pass
            self._drain()
        finally:
            wake.close()
            if self.health:
                self.health.stop()
        return self.container.wait()

    def _serve(self, wake: Wake) -> bool:
        """Wait for one event and handle it; return whether the container's first process has ended."""
        poll = select.poll()
        waiting = [client for client in self.clients if client.waiting]
        for fd in () if waiting else self.outputs:  # a container that writes faster than a client reads has to wait
            poll.register(fd, select.POLLIN)
        if self.typed:
            poll.register(
                self.input, select.POLLOUT | (select.POLLIN if self.input in self.outputs and not waiting else 0)
            )
        for client in self.clients:
            events = (0 if self.typed else select.POLLIN) | (select.POLLOUT if client.waiting else 0)
            poll.register(client.fileno, events)
        if self.source >= 0 and self.input >= 0 and not self.typed:
            poll.register(self.source, select.POLLIN)
        checks: list[int] = [self.health.fd] if self.health and self.health.fd >= 0 else []
        serving: list[int] = [self.services.fd] if self.services else []
        for fd in (self.container.pidfd, self.listener.fileno(), wake.fd, *checks, *serving):
            poll.register(fd, select.POLLIN)
        ready = dict(poll.poll(self._timeout(waiting)))
        if wake.fd in ready:
            wake.clear()  # Python has called the signal handler by now
        if self.listener.fileno() in ready:
            self.clients.append(_Client(_accept(self.listener)))
        if self.source in ready:
            self._read()
        for client in [client for client in self.clients if client.fileno in ready]:
            self._hear(client, ready[client.fileno])
        if self.typed and self.input in ready:
            self._pass_on()
        for fd in [fd for fd in self.outputs if ready.get(fd, 0) & ~select.POLLOUT]:
            self._copy(fd)
        self._lose_patience(waiting)
        if self.health:
            self.health.look(self.health.fd in ready)
        if self.services:
            self.services.look()
        return self.container.pidfd in ready

    def _timeout(self, waiting: list) -> float | None:
        """Milliseconds until something is due even without an event."""
        times = [_PATIENCE * 1000] * bool(waiting)
        if self.health and (time := self.health.timeout()) is not None:
            times.append(time)
        if self.services and (time := self.services.timeout()) is not None:
            times.append(time)
        return min(times, default=None)

    def _copy(self, fd: int) -> None:
        """Copy output from *fd* to the log and the clients; close *fd* at its end."""
        try:
            data = os.read(fd, _CHUNK)
        except OSError:  # EIO: the last process that had the terminal open has closed it
            data = b""
        kind = self.outputs[fd]
        if not data:
            return self._close(fd)
        if self.log:
            self.log.write("stdout" if kind == OUT else "stderr", data)
        if self.screen:
            try:
                write_all(self.screen[kind == ERR], data)
            except OSError as error:  # let the container notice, as it would without a monitor
                if error.errno != EPIPE:  # no reader is left
                    self.lost = error
                return self._close(fd)
        for client in list(self.clients):
            if not client.send(kind + data):
                self._forget(client)
        return None

    def _close(self, fd: int) -> None:
        del self.outputs[fd]
        if fd != self.input:
            os.close(fd)

    def _drain(self) -> None:
        """Copy what was written before the end; other processes that hold the pipes open are not waited for."""
        if self.settings.pid:  # it shares a pid namespace: the kernel has not ended the other processes with the first
            self.container.cgroup.kill()
        while ready := _readable(self.outputs):
            for fd in ready:
                self._copy(fd)
        for fd in list(self.outputs):
            self._close(fd)
        if self.input >= 0:
            os.close(self.input)
            self.input, self.typed = -1, b""

    # ---- clients

    def _hear(self, client: _Client, events: int) -> None:
        """Handle a message of a client."""
        if events & select.POLLOUT and not client.flush():
            return self._forget(client)
        if not events & ~select.POLLOUT:
            return None
        message = client.receive()
        kind, data = message[:1], message[1:]
        if kind == TYPED:
            self.typed += data if self.input >= 0 else b""
            self._pass_on()
        elif kind == END_OF_INPUT:
            self._end_input()
        elif kind == SIZE and self.settings.tty:
            rows, columns = map(int, data.split())
            from minict.runtime import terminal

            terminal.set_size(self.input, rows, columns)
        elif kind == SIGNAL:
            self.signal(int(data))
        elif kind == FREEZE:
            self._freeze(client)
        elif not kind:
            self._forget(client)
        return None

    def _freeze(self, client: _Client) -> None:
        """Freeze the container until *client* leaves, however it ends: ``commit`` may be killed."""
        from minict.engine.containers import freezer

        try:
            freezer.freeze(self.record.state)
            client.freezes = True
            client.send(FROZEN)
        except (ContainerError, OSError) as error:
            client.send(FROZEN + str(error).encode(errors="replace"))

    def _thaw(self) -> None:
        from minict.engine.containers import freezer

        try:
            freezer.thaw(self.record.state)
        except (ContainerError, OSError):
            pass  # another process has done it already, or a control group above is frozen

    def _read(self) -> None:
        """Read input for the container's command, which never gets one of our descriptors (see
        :mod:`minict.engine.util.streams`).
        """
        try:
            self.typed = os.read(self.source, _CHUNK)
        except OSError:  # a terminal that has hung up
            pass
        if not self.typed:
            self.source, self.source_ended, self.input_ends = -1, True, True
        self._pass_on()

    def _pass_on(self) -> None:
        """Write queued input to the container as far as there is room; the rest waits."""
        try:
            while self.typed:
                self.typed = self.typed[os.write(self.input, self.typed) :]
        except BlockingIOError:
            return
        except OSError:  # no process reads it any more
            self.typed = b""
            self.input_ends = self.input_ends or self.source >= 0
        if self.input_ends and self.input >= 0:
            os.close(self.input)
            self.input = -1

    def _end_input(self) -> None:
        """End the container's input after the client that started it has ended its own."""
        if self.settings.tty:
            self.typed += b"\x04"  # end of file, as a terminal sends it
        else:
            self.input_ends = self.ends_with_client
        self._pass_on()

    def _forget(self, client: _Client) -> None:
        if client in self.clients:
            self.clients.remove(client)
        if client.freezes and not any(other.freezes for other in self.clients):
            self._thaw()
        client.close()

    def _lose_patience(self, waiting: list) -> None:
        """Drop a client that has stopped or hangs: it must not block the container forever."""
        for client in waiting:
            if client.waiting and not client.patient and now() - client.since > _PATIENCE:
                self._forget(client)

    def signal(self, number: int) -> None:
        """Send a signal to the container's first process, if there is one now."""
        if self.container and self.container.pidfd >= 0:
            send(self.container.pidfd, number)

    # ---- all runs ------------------------------------------------------------------------------------------------

    def keep(self, born=lambda error: None) -> int:
        """Run the container as often as its restart policy says; return the last exit status.

        *born* is called when the command runs for the first time, or with the error that prevented it.
        """
        wait, restarts = _BACKOFF, 0
        while True:
            began = now()
            try:
                self.begin()
            except (ContainerError, OSError) as error:
                status = getattr(error, "status", OUR_ERROR)
                born(error)  # the process that waits for it releases the container's lock
                if not restarts or not self._again(status, restarts):
                    if self.record.removes_itself:
                        task.forget(self.record)
                    self._tell(status)
                    return status
            else:
                born(None)
                status = self.look_after()
                again = self._again(status, restarts)
                self.listener.close()
                task.end(self.record, self.container, status, restarting=again)
                self._tell(status)
                if not again:
                    return status
            wait = _BACKOFF if now() - began >= _LASTING else min(wait * 2, 60) if restarts else wait
            restarts += 1
            if not self._rest(wait):
                self.record.write_last_run(restarting=False)
                return status
            self.record.write_last_run(restarts=restarts)

    def _again(self, status: int, restarts: int) -> bool:
        """Whether the restart policy asks for another run after *restarts*: see ``--restart`` in docker-run(1)."""
        when, most = policies.restart(self.settings)
        if when == "no" or os.path.exists(f"{self.record.data}/stopped"):
            return False
        return when != "on-failure" or (status != 0 and (most is None or restarts < most))

    def _rest(self, seconds: float) -> bool:
        """Wait before the next run; return False if a user has stopped the container meanwhile, which wakes this
        process by SIGTERM."""
        wake = Wake()
        try:
            _readable([wake.fd], seconds)
            return not os.path.exists(f"{self.record.data}/stopped")
        finally:
            wake.close()

    def _tell(self, status: int) -> None:
        """Send the exit status to every client."""
        for client in self.clients:
            client.send(EXIT + str(status).encode())
            client.flush(wait=True)
            client.close()
        self.clients = []


def detach(record: Record, *, starter=None, trace: bool = False) -> str:
    """Fork the monitor of *record* and return when the container's command runs; return the trace of its start, if
    asked for.

    *starter*: the socket of its first client, which the monitor takes over. Raises :class:`ContainerError`.
    """
    size = None
    if record.settings.get("tty"):
        from minict.runtime import terminal

        size = terminal.size(fd) if (fd := terminal.screen()) >= 0 else None

    def work(told) -> None:
        record.forget_lock()  # the command takes it over
        hold_signals()
        monitor = Monitor(
            record, stdin=None if record.settings.get("interactive") else -1, starter=starter, size=size, trace=trace
        )

        def born(error: Exception | None) -> None:
            told(error, _trace(monitor) if not error else "")
            # To a process in the background these signals mean: end, and end your container with you.
            take_signals(lambda number: monitor.signal(15) if number in (1, 2, 3, 15) else None)

        monitor.keep(born)

    hold_signals()
    try:
        return fork_away(b"minict-monitor", work, keep=[starter.fileno()] if starter else [])
    finally:
        if starter:
            starter.close()
        release_signals()


def _log(record: Record, settings) -> Log | None:
    """The log of ``--log-driver`` and ``--log-opt``, or None."""
    policy = policies.log(settings)
    return (
        None
        if policy["driver"] == "none"
        else Log(record.data, policy["max_size"] or MAX_SIZE, policy["max_file"] or MAX_FILE)
    )


def _trace(monitor: Monitor) -> str:
    from minict.runtime.trace import format_traces

    return format_traces(monitor.container.traces) if monitor.trace else ""


class _Client:
    """A client behind a socket. *patient*: the container waits for it, however long that takes."""

    def __init__(self, channel, patient: bool = False):
        self._channel, self.patient = channel, patient
        self.fileno = channel.fileno()
        self.freezes = False  # whether the container is frozen for it
        self.waiting: list[bytes] = []  # messages for which its socket had no room
        self.since = 0.0  # when the first of them began to wait
        channel.setblocking(False)

    def send(self, message: bytes) -> bool:
        """Send *message*; False when the client has left."""
        self.since = self.since if self.waiting else now()
        self.waiting.append(message)
        return self.flush()

    def flush(self, wait: bool = False) -> bool:
        if wait:
            self._channel.settimeout(_PATIENCE)
        try:
            while self.waiting:
                self._channel.send(self.waiting[0])
                del self.waiting[0]
                self.since = now()
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def receive(self) -> bytes:
        """The next message, which must be there; empty when the client has left."""
        try:
            return self._channel.recv(_CHUNK + 1)
        except OSError:
            return b""

    def close(self) -> None:
        self._channel.close()


def _listen(record: Record):
    """Open the socket at which clients reach the monitor.

    The address of a Unix socket has at most 107 bytes (unix(7)), so it goes through a descriptor, however long the path
    is.
    """
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    directory = os.open(record.state.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{directory}/attach")
    finally:
        os.close(directory)
    listener.listen(16)
    return listener


def _accept(listener):
    fd, _ = listener._accept()
    return _socket.socket(fileno=fd)


def _readable(fds, seconds: float = 0) -> list[int]:
    """Those of *fds* that can be read within *seconds*."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(seconds * 1000)] if fds else []
