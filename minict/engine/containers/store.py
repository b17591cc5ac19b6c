"""The record of a container, from ``create`` to ``rm``, whether it runs or not.

Below ``MINICT_ROOT/containers/ID``, which survives a reboot:

===================  =======================================================================================
``container.json``   what was requested: the image, the arguments, the options; without it, no container
``life.json``        what happened: start, end, exit status, restarts, health, and the monitor
``stopped``          exists after ``stop``, so that the restart policy does not apply
``log``              the output (:mod:`minict.engine.lifecycle.jsonlog`)
``upper work root``  the container's own layer, and the mount point of its root file system
===================  =======================================================================================

The directory itself is a lock (flock(2)): the process that starts, removes or renames the container holds it, so that
no two commands do so at once.  While the container runs, it has another directory in ``MINICT_RUN``: see
:mod:`minict.runtime.state`.
"""

from __future__ import annotations

import errno
import os
import time

from minict.engine.util import events
from minict.runtime import jsonfile, locks, paths
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in
from minict.runtime.state import State, begin_time

from . import names

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

    from .options import ContainerOptions

_FIELDS = ("name", "image", "image_name", "created", "args", "settings", "mounts")


class Record:
    """One container.

    ``id``; ``name``; ``image``, the image's id, and ``image_name``, as it was requested; ``created``, in seconds since
    1970; ``args``, the command as the user gave it; ``settings``, a dictionary with the fields of
    :class:`.options.ContainerOptions`; ``mounts``, the result of :func:`minict.engine.volumes.mounts.plan`.
    """

    name: str
    image: str
    image_name: str
    created: float
    args: list[str]
    settings: dict[str, Any]
    mounts: list[dict[str, Any]]

    def __init__(self, id: str, **fields: Any) -> None:
        self.id = id
        self.data = paths.container_data(id)
        self.state = State(id)
        self._lock = -1
        # If the container starts right after its creation: its image, the two results of
        # :func:`minict.engine.lifecycle.bundle.prepare`, and the process that has called :meth:`start_run`.
        self.prepared: Any = None
        for name in _FIELDS:
            setattr(self, name, fields.get(name))

    def __repr__(self) -> str:
        return f"<Record {self.name} ({self.id[:12]}): {self.status}>"

    @classmethod
    def load(cls, id: str) -> Record:
        """The container with this full *id*. Raises :class:`ContainerError` if there is none."""
        try:
            return cls(id, **jsonfile.read(f"{paths.container_data(id)}/container.json"))
        except (FileNotFoundError, NotADirectoryError):
            raise ContainerError(f"no such container: {id}", errno=errno.ENOENT) from None
        except (ValueError, TypeError):
            raise ContainerError(
                f"{paths.container_data(id)}/container.json is damaged: 'minict rm -f {id}' removes the container"
            ) from None

    @classmethod
    def find(cls, name: str) -> Record:
        """The container with the name *name*, or whose id begins with it. Raises :class:`ContainerError`."""
        id = names.find(name.removeprefix("/")) if name and "/" not in name[1:] else None
        if id and os.path.exists(f"{paths.container_data(id)}/container.json"):
            return cls.load(id)
        ids = [id for id in all_ids() if name and id.startswith(name)]
        if len(ids) > 1:
            raise ContainerError(f"several container ids begin with {name}: write more digits")
        if not ids:
            raise ContainerError(f"no such container: {name}; 'minict ps -a' lists all containers", errno=errno.ENOENT)
        return cls.load(ids[0])

    def save(self) -> None:
        """Write ``container.json``: from the first time on, the container exists."""
        jsonfile.write(f"{self.data}/container.json", {name: getattr(self, name) for name in _FIELDS})

    def settings_object(self) -> ContainerOptions:
        """The :class:`.options.ContainerOptions` that it was created with, as updated since."""
        from .options import ContainerOptions

        return ContainerOptions(**self.settings)

    # ---- state

    @property
    def last_run(self) -> dict[str, Any]:
        """The last run: ``started`` and ``finished`` (seconds since 1970), ``exit_code``, ``oom_killed``,
        ``error``, ``restarts``, ``health`` (State.Health in inspect), ``monitor`` (its pid and start time),
        ``program`` (see :attr:`belongs_to_program`). Empty before the first start."""
        try:
            found: dict[str, Any] = jsonfile.read(f"{self.data}/life.json")
            return found
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}

    def write_last_run(self, **changes: Any) -> dict[str, Any]:
        """Change some fields of :attr:`last_run`, and return all of them. Only the monitor may do this, which holds the
        lock of the running container."""
        fields = {**self.last_run, **changes}
        jsonfile.write(f"{self.data}/life.json", fields)
        return fields

    def start_run(self) -> None:
        """Write that a run begins, with this process as the monitor."""
        self.write_last_run(
            started=now(),
            finished=None,
            exit_code=None,
            oom_killed=False,
            error="",
            restarting=False,
            monitor=[os.getpid(), begin_time(os.getpid())],
        )

    def event(self, action: str, **attributes: object) -> None:
        """Note in the journal that *action* has happened to the container; *attributes* say more about it."""
        labels = (word.partition("=") for word in (self.settings or {}).get("label") or [])
        about = {name: value for name, _, value in labels}
        about |= {"image": self.image_name or "", "name": self.name or ""}
        about |= {name: str(value) for name, value in attributes.items()}
        events.emit("container", action, self.id, about)

    @property
    def pid(self) -> int | None:
        """The first process, by its pid on the host; None if the container is not running."""
        return self.state.pid()

    @property
    def status(self) -> str:
        """``created``, ``running``, ``paused``, ``restarting``, ``exited``, or ``removing``."""
        if self.state.pid() is not None:
            return "paused" if self.paused else "running"
        if not os.path.exists(f"{self.data}/container.json"):
            return "removing"
        last_run = self.last_run
        if not last_run.get("started"):
            return "created"
        if (last_run.get("restarting") or not last_run.get("finished")) and self.monitor:  # it is about to start
            return "restarting" if last_run.get("restarts") or last_run.get("restarting") else "created"
        return "exited"

    @property
    def paused(self) -> bool:
        from . import freezer

        if not freezer.is_marked(self.state):
            return False
        from minict.runtime.container import RuntimeContainer

        return RuntimeContainer(self.id).cgroup.frozen

    @property
    def monitor(self) -> int | None:
        """The pid of the container's monitor, if it is alive."""
        pid, begin = self.last_run.get("monitor") or (0, None)
        return pid if pid and begin_time(pid) == begin else None

    @property
    def belongs_to_program(self) -> bool:
        """Whether the monitor is a Python program that uses minict, such as a notebook's kernel.

        It releases the container when it asks for the end (:meth:`minict.engine.api.Running.wait`), perhaps much later.
        """
        return bool(self.last_run.get("program"))

    @property
    def exit_code(self) -> int:
        """The exit status of the last run. If the monitor was killed, it is 137: the kernel then ended the container
        with SIGKILL."""
        last_run = self.last_run
        return last_run["exit_code"] if last_run.get("finished") else (137 if last_run.get("started") else 0)

    @property
    def removes_itself(self) -> bool:
        """Whether it is removed when it ends (``--rm``)."""
        return bool((self.settings or {}).get("rm"))

    # ---- the lock

    def lock(self, wait: bool = True) -> bool:
        """Hold the lock until :meth:`unlock` or the end of this process; False if it is held elsewhere, or the
        container is gone.

        ``with record:`` does the same; it waits, and raises :class:`ContainerError` if the container is gone.
        """
        self._lock = locks.acquire(self.data, wait=wait)
        return self._lock >= 0

    @property
    def locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock >= 0

    def unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def forget_lock(self) -> None:
        """In a forked process: the lock is the parent's, and its descriptor is closed."""
        self._lock = -1

    def __enter__(self) -> Record:
        if not self.lock() or not os.path.exists(f"{self.data}/container.json"):
            self.unlock()
            raise ContainerError(f"no such container: {self.name or self.id}; it has just been removed")
        return self

    def __exit__(self, *exception: object) -> None:
        self.unlock()

    # ---- creation and removal

    def make(self) -> None:
        """Make the directory and lock it: ``prune`` ignores a locked directory that has no ``container.json`` yet."""
        for attempt in range(1000):
            paths.make_directory(os.path.dirname(self.data))
            try:
                os.mkdir(self.data, 0o710)
            except FileNotFoundError:  # another process has just removed the directory with the last container
                if attempt == 999:  # a file system that behaves in a strange way
                    raise
                continue
            if self.lock():
                break

    def remove(self) -> None:
        """Remove the container. It must not run, and its lock must be held.

        The order matters: a directory without ``container.json`` is garbage, whatever is still in it.
        """
        from minict.runtime.files import remove_tree

        for name in ("container.json", "life.json"):
            try:
                os.unlink(f"{self.data}/{name}")
            except FileNotFoundError:
                pass
        names.release_all(self.id, self.name)
        remove_tree(self.data)
        self.unlock()
        for directory in (os.path.dirname(self.data), f"{paths.data_root()}/names", paths.data_root()):
            try:
                os.rmdir(directory)  # empty directories are removed
            except OSError:
                pass


def all_ids() -> list[str]:
    """The ids of all containers."""
    directory = f"{paths.data_root()}/containers"
    return [id for id in names_in(directory) if os.path.exists(f"{directory}/{id}/container.json")]


def records() -> list[Record]:
    """All containers, the newest first."""
    found = []
    for id in all_ids():
        try:
            found.append(Record.load(id))
        except ContainerError:
            pass  # just removed, or damaged: `rm` reports that
    return sorted(found, key=lambda record: record.created, reverse=True)


ACTIVE = ("running", "paused", "restarting")  # the statuses of a container with a process, now or soon


def now() -> float:
    return time.time()
