"""The Python API, for notebooks and scripts: ``minict.run("tiny", "hostname")``.

It uses the terms of the command line.

================  ==================================================================================================
``minict.run``    run a command in a new container: a :class:`Finished`, which shows the output of the command
                  (with ``detach=True`` a :class:`Running`, which ends with this Python at the latest)
``.create``       create a :class:`Container` without starting it; it stays until it is removed
``.container``    the :class:`Container` with a name; ``.containers()`` all of them
``.image``        the image with a name; ``.images()`` all of them; ``.pull``, ``.build``, ``.push``
``.volumes()``    the volumes; ``.networks()`` the networks
================  ==================================================================================================
"""

from __future__ import annotations

import os
import threading

from minict.engine.containers.options import ContainerOptions
from minict.engine.containers.store import Record, records
from minict.engine.images.image import Image
from minict.runtime import namespaces
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError

from .lifecycle import create as creation
from .lifecycle import exec, operations, task
from .networks import sandbox

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

# Of fifty threads that start a container at the same moment, eight make progress at a time: more would only compete
# for the interpreter's lock (measured: fifty containers in 336 ms instead of 375).
_births = threading.BoundedSemaphore(8)
# their threads are gone
os.register_at_fork(after_in_child=lambda: globals().update(_births=threading.BoundedSemaphore(8)))


class Finished:
    """A container that has ended: its exit *status*, and its *output* (standard output and error, in their order)."""

    def __init__(self, status: int, output: str, traces: list):
        self.status, self.output, self._traces = status, output, traces

    def __repr__(self):
        return self.output.rstrip("\n") + (f"\n(exit status {self.status})" if self.status else "")

    @property
    def trace(self) -> str:
        """The steps of its start with their times, with ``trace=True``."""
        from minict.runtime.trace import format_traces

        return format_traces(self._traces)


def run(
    image: str,
    command: str | Sequence[str] = (),
    *,
    detach: bool = False,
    input: str | None = None,
    timeout: float | None = None,
    trace: bool = False,
    **options,
) -> Finished | Running:
    """Run *command* in a new container of *image*, and return the result.

    *command*: a list of words, or one text, which is split as a shell would. Further *options* have the names of
    ``minict run``'s, with ``_`` for ``-``: ``memory="128m"``, ``cpus=0.5``, ``volume=["/srv:/data:ro"]``,
    ``network="none"``. *input*: the standard input of the command. *timeout*: seconds after which the container is
    killed. With *detach* it runs in the background, until :meth:`Running.stop` or the end of this Python; with
    ``tty=True`` as well, it has a terminal of its own, whose other end is :attr:`Running.terminal`.

    Raises :class:`minict.runtime.errors.ContainerError` when the container does not start. A command that fails raises
    nothing: see :attr:`Finished.status`.
    """
    command = _words(command)
    if detach:
        return Running(image, command, ContainerOptions(**options), trace)
    if options.get("tty"):
        raise ContainerError("a terminal needs a user: use 'minict run -it' in a terminal, or add detach=True")
    import time

    from .util.streams import Relay

    data, stdin = bytearray(), _spool(input)
    try:
        with Relay(stdin, data.extend, data.extend) as relay:
            record, container = _bear(image, command, ContainerOptions(**options), relay.theirs, trace)
            relay.begun()
            try:
                if not relay.run(container.pidfd, end=None if timeout is None else time.monotonic() + timeout):
                    raise ContainerError(
                        f"{' '.join(command)!r} still ran after {timeout:g} s: the container was killed"
                    )
                status = container.wait()
            except BaseException:  # a KeyboardInterrupt leaves no zombie either
                container.kill(9)
                container.wait()
                raise
            finally:
                task.end(record, container, 137)
    finally:
        if stdin >= 0:
            os.close(stdin)
    return Finished(status, data.decode(errors="replace"), container.traces)


def _bear(
    image: str, command: list[str], settings: ContainerOptions, streams: tuple, trace: bool, console: int = -1
) -> tuple:
    """Create and start a container whose monitor is this Python; return its record and its runtime container.

    It is removed when it ends: the caller's object keeps the results. *console*: where to send its terminal. Raises
    :class:`ContainerError`.
    """
    settings.rm = True
    with _births:
        record = creation.create(image, command, settings, starting=True)
        try:
            record.write_last_run(program=True)
            container = task.begin(record, streams=streams, console=console, trace=trace)
            sandbox.serve_in_background(record.id)
            return record, container
        except BaseException:
            task.forget(record)
            raise
        finally:
            record.unlock()


def _words(command: str | Sequence[str]) -> list[str]:
    if not isinstance(command, str):
        return list(command)
    import shlex

    return shlex.split(command)


def _spool(text: str | None) -> int:
    """A descriptor from which *text* can be read, -1 for None. It is memory: a pipe would fill up before there is a
    reader.
    """
    if text is None:
        return -1
    fd = os.memfd_create("input", os.MFD_CLOEXEC)
    os.write(fd, text.encode())
    os.lseek(fd, 0, 0)
    return fd


class Container:
    """A container, running or not, by its :class:`.containers.store.Record`. All its methods raise
    :class:`ContainerError`.
    """

    def __init__(self, record: Record):
        self._record = record
        self.id, self.image, self.command = record.id, record.image_name, list(record.args)

    def __repr__(self):
        return f"<container {self.name} of {self.image}: {self.status}>"

    def _repr_html_(self):
        from minict.engine.util.table import html_object

        return html_object(
            {
                "image": self.image,
                "command": " ".join(self.command),
                "status": self.status,
                "network": ", ".join(self._record.settings_object().network),
            },
            f"container {self.name}",
        )

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def status(self) -> str:
        """``created``, ``running``, ``paused``, ``restarting`` or ``exited``."""
        return self._record.status

    @property
    def exit_code(self) -> int:
        """The exit code of its last run."""
        return self._record.exit_code

    @property
    def pid(self) -> int:
        """The pid of its first process on the host; inside it is number 1."""
        pid = self._record.pid
        if pid is None:
            raise ContainerError(f"the container {self.name} has ended")
        return pid

    @property
    def namespaces(self) -> dict[str, int]:
        """The inode number of its namespace of each kind."""
        return namespaces.identify(self.pid)

    @property
    def cgroups(self) -> dict[str, str]:
        """The directory with its limits, for each cgroup controller."""
        return dict(self._life.cgroup.directories)

    @property
    def root(self) -> str:
        """Its root directory as a path of the host: ``box.root + "/etc/hosts"`` is the file that it sees as /etc/hosts.

        Only for files that are not links: an absolute link in there leads to a file of the host. Source:
        proc_pid_root(5).
        """
        return f"/proc/{self.pid}/root"

    @property
    def address(self) -> str | None:
        """Its address on its first network; None without a network."""
        from minict.engine.networks.ipam import holders

        networks = [value.partition("/")[0] for kind, value in self._record.state.ledger() if kind == "address"]
        return next((address for each in networks for address, id in holders(each).items() if id == self.id), None)

    @property
    def capabilities(self) -> list[str]:
        """The capabilities of the container's first process, by their names in capabilities(7)."""
        from minict.kernel.capability import capget
        from minict.runtime.capabilities import names

        return names(capget(self.pid)[0])

    @property
    def _life(self) -> RuntimeContainer:
        return RuntimeContainer(self.id)

    def inspect(self) -> dict:
        """Everything known about it, under Docker's names."""
        from .lifecycle import inspect as inspection

        return inspection.container(self._record)

    def exec(self, command: str | list[str], *, user: str | None = None, workdir: str = "/") -> Finished:
        """Execute one more *command* inside, and return the result."""
        from minict.runtime.process import exit_status

        from .util.streams import Relay

        wanted = exec.process(self._record, _words(command), user=user, workdir=workdir)
        data = bytearray()
        with Relay(-1, data.extend, data.extend) as relay:
            pid, pidfd = exec.execute(self._record, wanted, streams=relay.theirs)
            try:
                relay.begun()
                relay.run(pidfd)
            finally:
                os.close(pidfd)
        return Finished(exit_status(os.waitpid(pid, 0)[1]), data.decode(errors="replace"), [])

    def logs(self, tail: int | None = None) -> str:
        """The output of its command; with *tail* only this number of last lines."""
        from .lifecycle import logreader

        return b"".join(text for _, _, text in logreader.read(self._record.data, tail=tail)).decode(errors="replace")

    def stats(self) -> dict:
        """Its resource usage now: see :meth:`minict.runtime.cgroup.Cgroup.stats`."""
        return self._life.cgroup.stats()

    def start(self) -> Container:
        """Start it, if it does not run."""
        # through the command: the monitor is a fork, and a fork of a large Python with threads would be large and
        # unsafe
        _command("start", self.id)
        return self

    def stop(self, timeout: float | None = None) -> int:
        """Ask it to stop, and kill it after *timeout* seconds (default: its own, or 10); return its exit status."""
        operations.stop(self._record, timeout)
        return self.exit_code

    def restart(self, timeout: float | None = None) -> Container:
        """Stop it and start it again."""
        self.stop(timeout)
        return self.start()

    def kill(self, signal: int | str = 9) -> None:
        """Send *signal* to its first process."""
        operations.kill(self._record, signal)

    def pause(self) -> None:
        """Freeze all its processes."""
        operations.pause(self._record)

    def unpause(self) -> None:
        operations.unpause(self._record)

    def wait(self) -> int:
        """Wait until it ends; return its exit status."""
        return operations.wait(self._record)

    def update(self, **limits) -> None:
        """Change its limits, such as ``memory="64m"``, while it runs: see ``minict update --help``."""
        operations.update(self._record, **limits)

    def rename(self, name: str) -> None:
        operations.rename(self._record, name)

    def commit(self, name: str | None = None, **options):
        """Make an image from it: see :func:`.lifecycle.commit.commit`."""
        from minict.engine.lifecycle.commit import commit

        return commit(self._record, name, **options)

    def diff(self) -> list[tuple[str, str]]:
        """Its changes to its image: ``[("A", "/new"), ...]``; A added, C changed, D deleted."""
        from minict.engine.lifecycle.commit import changes

        return changes(self._record)

    def remove(self, force: bool = False) -> None:
        """Remove it, with *force* even while it runs."""
        operations.remove(self._record, force=force, volumes=False)


def _command(*words: str) -> str:
    """Run ``minict WORDS…`` in a process of its own; return its output. Raises :class:`ContainerError`."""
    import subprocess
    import sys

    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(
        [sys.executable, "-m", "minict", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": package},
    )
    if done.returncode:
        raise ContainerError(done.stderr.strip().removeprefix("minict: "), status=done.returncode)
    return done.stdout


def create(image: str, command: str | Sequence[str] = (), **options) -> Container:
    """Create a container without starting it; *options* as for :func:`run`. Raises :class:`ContainerError`."""
    return Container(creation.create(image, _words(command), ContainerOptions(**options)))


def container(name: str) -> Container:
    """The container with this name, or whose id begins with it. Raises :class:`ContainerError`."""
    return _handle(Record.find(name))


def _handle(record: Record) -> Container:
    """For a container whose monitor is this Python: the object that :func:`run` has returned, which sees its end."""
    return next((each for each in tuple(running) if each.id == record.id), None) or Container(record)


class List(list):
    """A list that a notebook shows as a table."""

    def _repr_html_(self):
        from minict.engine.util.table import html

        return html([_row(each) for each in self])


def _row(thing) -> dict:
    """The row of a container, an image, a volume or a network in such a table."""
    from .util import table

    if isinstance(thing, Container):
        return {
            "name": thing.name,
            "image": thing.image,
            "command": " ".join(thing.command),
            "status": thing.status,
            "id": thing.id[:12],
        }
    if isinstance(thing, Image):
        return {
            "name": ", ".join(thing.names),
            "id": thing.id[:12],
            "created": table.ago(thing.created),
            "size": table.size(thing.size),
        }
    return {"name": thing.name, **({"subnet": str(thing.subnet)} if hasattr(thing, "subnet") else {})}


def containers(all: bool = True) -> List:
    """The containers, the newest first; only the running ones unless *all*."""
    return List(_handle(record) for record in records() if all or record.pid is not None)


def images() -> List:
    """The images that have a name."""
    from minict.engine.images.image import images

    return List(image for image in images() if image.names)


def image(name: str) -> Image:
    """The image with this name, or whose id begins with it. Raises :class:`ContainerError`."""
    return Image.find(name)


def volumes() -> List:
    """The volumes."""
    from minict.engine.volumes.store import volumes

    return List(volumes())


def networks() -> List:
    """The networks."""
    from minict.engine.networks.store import networks

    return List(networks())


running: set[Running] = set()  # those of this Python that have not been stopped or waited for


class Running(Container):
    """A container in the background whose monitor is this Python: it ends with this Python, and is then removed.

    *terminal*: with ``tty=True``, a descriptor of the other end of its terminal, until :meth:`wait` or :meth:`stop`;
    what is written there is typed, and what the container shows is read there. Otherwise -1.
    """

    def __init__(self, image: str, command: list[str], settings: ContainerOptions, trace: bool):
        self._log, self._last_words = os.memfd_create("log", os.MFD_CLOEXEC), ""
        self._exit_status: int | None = None  # once somebody has waited for it
        self.terminal = -1
        try:
            record, self._container = self._bear(image, command, settings, trace)
        except BaseException:
            os.close(self._log)
            raise
        super().__init__(record)
        running.add(self)

    def _bear(self, image: str, command: list[str], settings: ContainerOptions, trace: bool) -> tuple:
        streams = (-1, self._log, self._log)
        if not settings.tty:
            return _bear(image, command, settings, streams, trace)
        import socket

        from minict.runtime import terminal

        ours, theirs = socket.socketpair()
        with ours, theirs:
            born = _bear(image, command, settings, streams, trace, theirs.fileno())
            self.terminal = terminal.receive(ours.fileno())
            return born

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(timeout=0)

    @property
    def _life(self) -> RuntimeContainer:
        return self._container

    @property
    def status(self) -> str:
        return "running" if self._container.pid else "ended"

    def logs(self, tail: int | None = None) -> str:
        """The output of its command so far; with *tail* only this number of last lines."""
        text = self._last_words
        if self._log >= 0:
            text = os.pread(self._log, os.fstat(self._log).st_size, 0).decode(errors="replace")
        return text if tail is None else "".join(text.splitlines(keepends=True)[-tail:])

    def kill(self, signal: int = 9) -> None:  # type: ignore[override]  # by number only
        """Send *signal* to its first process; :meth:`wait` sees the end."""
        self._container.kill(signal)

    def wait(self) -> int:
        """Wait until it ends, and release what it held; return its exit status."""
        if self._exit_status is not None:
            return self._exit_status
        self._ends()
        self._exit_status = status = self._container.wait()
        running.discard(self)
        self._last_words = self.logs()
        for fd in {self._log, self.terminal} - {-1}:
            os.close(fd)
        self._log = self.terminal = -1
        task.end(self._record, self._container, status)
        return status

    def restart(self, timeout: float | None = None) -> Container:
        """Raises :class:`ContainerError`: such a container is removed when it stops."""
        raise ContainerError(
            f"cannot restart {self.name}: minict.run(…, detach=True) makes containers that are removed when they stop; "
            "make one that stays with minict.create(…).start()"
        )

    def stop(self, timeout: float | None = None) -> int | None:  # type: ignore[override]  # None: stopped before
        """Ask it to stop (SIGTERM), kill it after *timeout* seconds (default: 10), and release what it held.

        Returns its exit status.

        As process 1, a program that does not handle SIGTERM is not ended by it (pid_namespaces(7)): then it takes the
        whole time. After ``with minict.run(…, detach=True) as container:`` the timeout is 0.
        """
        if not os.path.isdir(self._container.state.directory):
            return None  # stopped before
        try:
            self._container.kill(15)
            self._container.cgroup.thaw_quietly()  # a paused process gets no signal
            if not self._ends(10 if timeout is None else timeout):
                self._container.kill(9)
        except ContainerError:
            pass  # it has just ended
        return self.wait()

    def _ends(self, seconds: float | None = None) -> bool:
        """Wait for the end, for at most *seconds*; return whether it came.

        A process 1 ends only after its parents have collected the other processes of its namespace: those of the
        containers that have joined it are our children, and are collected here. Source: pid_namespaces(7).
        """
        import select
        import time

        guests = {each._container.pidfd: each for each in running if each._joins(self)}
        deadline, poll = None if seconds is None else time.monotonic() + seconds, select.poll()
        for fd in (self._container.pidfd, *guests):
            poll.register(fd, select.POLLIN)
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ended = [fd for fd, _ in poll.poll(None if left is None else left * 1000)]
            if self._container.pidfd in ended:
                return True
            if not ended:
                return False
            for fd in ended:
                poll.unregister(fd)
                guests.pop(fd).wait()

    def _joins(self, owner: Running) -> bool:
        """Whether it has joined the pid namespace of *owner*."""
        kind, _, name = (self._record.settings.get("pid") or "").partition(":")
        try:
            return kind == "container" and Record.find(name).id == owner.id
        except ContainerError:
            return False

    def remove(self, force: bool = False) -> None:
        """Remove it: with *force* it is killed first. Raises :class:`ContainerError` for one that runs, without that.

        Its end removes it; and only this Python, its monitor, can see that end.
        """
        if self._container.pid and not force:
            raise ContainerError(f"cannot remove {self.name}, which is running: stop it first, or use force=True")
        self.stop(timeout=0)
