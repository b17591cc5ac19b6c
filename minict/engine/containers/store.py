"""The record of a container, from ``create`` to ``rm``, whether it runs or not.

Below ``MINICT_ROOT/containers/ID``, which survives a reboot:

===================  =======================================================================================
``container.json``   what was asked for: the image, the arguments, the options; without it, no container
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

from minict.runtime import jsonfile, paths
from minict.runtime.errors import ContainerError
from minict.runtime.files import lock_directory, remove_tree
from minict.runtime.state import State, begin_time

from . import names

_FIELDS = ("name", "image", "image_name", "created", "args", "settings", "mounts")


class Record:
    """One container.

    ``id``; ``name``; ``image``, the image's id, and ``image_name``, as it was asked for; ``created``, in seconds since
    1970; ``args``, the command as the user gave it; ``settings``, a dictionary of the fields of
    :class:`.options.ContainerOptions`; ``mounts``, what :func:`minict.engine.volumes.mounts.plan` made of its volumes.
    """

    def __init__(self, id: str, **fields):
        self.id = id
        self.data = paths.container_data(id)
        self.state = State(id)
        self._lock = -1
        # what :func:`minict.engine.lifecycle.bundle.prepare` has made of it, when it is made to be started at once
        self.prepared = None
        for name in _FIELDS:
            setattr(self, name, fields.get(name))

    def __repr__(self):
        return f"<Record {self.name} ({self.id[:12]}): {self.status}>"

    @classmethod
    def load(cls, id: str) -> Record:
        """The container with this whole *id*.  Raises :class:`ContainerError` when there is none."""
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
        """The container that is called *name*, or whose id begins with it.  Raises :class:`ContainerError`."""
        id = names.find(name.removeprefix("/")) if name and "/" not in name[1:] else None
        if id and os.path.exists(f"{paths.container_data(id)}/container.json"):
            return cls.load(id)
        ids = [id for id in all_ids() if name and id.startswith(name)]
        if len(ids) > 1:
            raise ContainerError(f"more than one container has an id that begins with {name}: write more of it")
        if not ids:
            raise ContainerError(
                f"no such container: {name}; 'minict ps -a' lists those that are there", errno=errno.ENOENT
            )
        return cls.load(ids[0])

    def save(self) -> None:
        """Write ``container.json``: from the first time on the container exists."""
        jsonfile.write(f"{self.data}/container.json", {name: getattr(self, name) for name in _FIELDS})

    def settings_object(self):
        """The :class:`.options.ContainerOptions` that it was made with, and updated to since."""
        from .options import ContainerOptions

        return ContainerOptions(**self.settings)

    # ---- its life

    @property
    def last_run(self) -> dict:
        """What became of it: ``started`` and ``finished`` (seconds since 1970), ``exit_code``, ``oom_killed``,
        ``error``, ``restarts``, ``health`` (what inspect shows as State.Health), ``monitor`` (its pid, and when that
        began).  Empty before its first start."""
        try:
            return jsonfile.read(f"{self.data}/life.json")
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}

    def write_last_run(self, **changes) -> None:
        """Change some fields of :attr:`life`.  Only who holds the life's lock does that: its monitor."""
        jsonfile.write(f"{self.data}/life.json", {**self.last_run, **changes})

    @property
    def pid(self) -> int | None:
        """The first process, as the host numbers it; None when it does not run."""
        return self.state.pid()

    @property
    def status(self) -> str:
        """``created``, ``running``, ``paused``, ``restarting``, ``exited``, or ``removing`` when it is just going
        away."""
        if self.state.pid() is not None:
            return "paused" if self.paused else "running"
        if not os.path.exists(f"{self.data}/container.json"):
            return "removing"
        last_run = self.last_run
        if not last_run.get("started"):
            return "created"
        if (last_run.get("restarting") or not last_run.get("finished")) and self.monitor:  # it is about to begin
            return "restarting" if last_run.get("restarts") or last_run.get("restarting") else "created"
        return "exited"

    @property
    def paused(self) -> bool:
        from minict.runtime.container import Container

        return os.path.exists(self.state.path("paused")) and Container(self.id).cgroup.frozen

    @property
    def monitor(self) -> int | None:
        """The pid of the process that looks after it, if that still lives."""
        pid, begin = self.last_run.get("monitor") or (0, None)
        return pid if pid and begin_time(pid) == begin else None

    @property
    def exit_code(self) -> int:
        """Of its last life.  A life whose monitor was killed has ended by SIGKILL: nobody saw it, and the kernel did
        that."""
        last_run = self.last_run
        return last_run["exit_code"] if last_run.get("finished") else (137 if last_run.get("started") else 0)

    @property
    def removes_itself(self) -> bool:
        """Whether it goes with the end of its life (``--rm``)."""
        return bool((self.settings or {}).get("rm"))

    # ---- the lock

    def lock(self, wait: bool = True) -> bool:
        """Hold the lock until :meth:`unlock`, or the end of this process; False when somebody has it, or it is gone.

        Also usable as ``with record:``, which waits, and raises :class:`ContainerError` when the container is gone.
        """
        self._lock = lock_directory(self.data, wait)
        return self._lock >= 0

    @property
    def locked(self) -> bool:
        """Whether this very object holds the lock."""
        return self._lock >= 0

    def unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def forget_lock(self) -> None:
        """In a fork: the lock is the parent's, and its descriptor is closed."""
        self._lock = -1

    def __enter__(self) -> Record:
        if not self.lock() or not os.path.exists(f"{self.data}/container.json"):
            self.unlock()
            raise ContainerError(f"no such container: {self.name or self.id}; it has just been removed")
        return self

    def __exit__(self, *exception) -> None:
        self.unlock()

    # ---- its beginning and its end

    def make(self) -> None:
        """Make the directory, locked: until ``container.json`` is there, ``prune`` leaves alone what somebody works
        at."""
        for attempt in range(1000):
            paths.make_directory(os.path.dirname(self.data))
            try:
                os.mkdir(self.data, 0o710)
            except FileNotFoundError:  # the last container has just been removed, and the directory of all with it
                if attempt == 999:  # or it is a strange file system that is mounted there
                    raise
                continue
            if self.lock():
                break

    def remove(self) -> None:
        """Forget the container.  Its life must have ended, and its lock be held.

        The order counts: a directory without ``container.json`` is rubbish to everybody, whatever is still in it.
        """
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
                os.rmdir(directory)  # an empty one is left by nobody
            except OSError:
                pass


def all_ids() -> list[str]:
    """The ids of all containers."""
    directory = f"{paths.data_root()}/containers"
    try:
        return [id for id in os.listdir(directory) if os.path.exists(f"{directory}/{id}/container.json")]
    except FileNotFoundError:
        return []


def records() -> list[Record]:
    """All containers, the newest first."""
    found = []
    for id in all_ids():
        try:
            found.append(Record.load(id))
        except ContainerError:
            pass  # it has just been removed, or is damaged: `rm` has words for that
    return sorted(found, key=lambda record: record.created, reverse=True)


def now() -> float:
    return time.time()
