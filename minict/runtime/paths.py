"""Where minict keeps its files. Functions and not constants: a test, or a class of students, may move them."""

from __future__ import annotations

import os


def data_root() -> str:
    """What survives a reboot: images, the containers' own layers, volumes. Source: hier(7), /var/lib."""
    return os.environ.get("MINICT_ROOT", "/var/lib/minict")


def run_root() -> str:
    """What a reboot removes: the state of running containers. Source: hier(7), /run."""
    return os.environ.get("MINICT_RUN", "/run/minict")


def cgroup_parent() -> str:
    """The name of the cgroup that holds one cgroup for each container. Source: cgroups(7)."""
    return os.environ.get("MINICT_CGROUP", "minict")


def make_directory(path: str) -> None:
    """Create the directory *path* and its parents, also while another process removes them because they are empty.

    Raises :class:`OSError`. Source: mkdir(2).
    """
    while True:
        try:
            return os.makedirs(path, 0o711, exist_ok=True)
        except FileNotFoundError:
            pass


def container_state(id: str) -> str:
    """The directory with the container's state: see :mod:`.state`. Source: OCI runtime-spec, runtime.md, "State"."""
    return f"{run_root()}/containers/{id}"


def container_data(id: str) -> str:
    """The directory with the container's own files: the upper layer of its root file system. Source: hier(7)."""
    return f"{data_root()}/containers/{id}"
