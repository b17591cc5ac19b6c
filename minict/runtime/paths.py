"""Where things lie on the host.  Functions and not constants: a test, or a class of students, may move them at any
time."""

from __future__ import annotations

import os


def data_root() -> str:
    """What survives a reboot: images, the containers' own layers, volumes."""
    return os.environ.get("MINICT_ROOT", "/var/lib/minict")


def run_root() -> str:
    """What a reboot may empty: the state of the containers that run now."""
    return os.environ.get("MINICT_RUN", "/run/minict")


def cgroup_parent() -> str:
    """The name of the cgroup below which every container gets its own."""
    return os.environ.get("MINICT_CGROUP", "minict")


def make_directory(path: str) -> None:
    """Make the directory *path* and those above it, which somebody else may be removing at the same time because they
    are empty."""
    while True:
        try:
            return os.makedirs(path, 0o711, exist_ok=True)
        except FileNotFoundError:
            pass


def container_state(id: str) -> str:
    """The directory of the container's state, such as its ``state.json``."""
    return f"{run_root()}/containers/{id}"


def container_data(id: str) -> str:
    """The directory of the container's own files: the upper layer of its root file system."""
    return f"{data_root()}/containers/{id}"
