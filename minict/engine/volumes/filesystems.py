"""Volumes that are file systems of their own: ``volume create -o type=nfs -o device=:/export -o o=addr=192.0.2.1,rw``.

Such a file system is mounted on the host, on the volume's ``_data``, as long as a container that has the volume runs:
so several containers see the same one, also when it is in memory.  Each of these containers has the mount in its
ledger; the last one to end, or ``minict prune`` after it, unmounts it.

Source: docker volume create, "Driver-specific options"; moby, volume/local/local_unix.go.
"""

from __future__ import annotations

import os

from minict.kernel import mount as kernel
from minict.runtime import state
from minict.runtime.errors import ContainerError
from minict.runtime.mounts import Options

from .store import Locked, Volume, directory

_NETWORK = ("nfs", "nfs4", "cifs")  # whose data name the server by its address


def ledger(mounts: list[dict], id: str) -> list[tuple[str, str]]:
    """The entries for the volumes among the *mounts* of the container *id* that :func:`mount` mounts."""
    names = {each["name"] for each in mounts if each["type"] == "volume"}
    return [("volume", f"{name}/{id}") for name in sorted(names) if Volume.find(name).file_system]


def mount(entries: list[tuple[str, str]]) -> None:
    """Mount the volumes of the *entries*, which are in the ledger already.  Raises :class:`ContainerError`."""
    for _, value in entries:
        volume = Volume.find(value.partition("/")[0])
        with Locked():
            if not os.path.ismount(volume.mountpoint):
                _mount(volume)


def _mount(volume: Volume) -> None:
    kind, device = volume.file_system, volume.options.get("device", "")
    options = Options([word for word in volume.options.get("o", "").split(",") if word])
    try:
        data = _with_address(options.data) if kind in _NETWORK else options.data
        kernel.mount(device or kind, volume.mountpoint, kind, options.set, data or None)
    except OSError as error:
        shown = " ".join(f"{name}={value}" for name, value in volume.options.items())
        raise ContainerError(
            f"cannot mount the volume {volume.name} ({shown}): {error.strerror}; 'dmesg' may say more",
            errno=error.errno,
        ) from None


def _with_address(data: str) -> str:
    """Resolve names for the kernel: ``addr=server`` becomes ``addr=192.0.2.1``.  Raises :class:`OSError`."""
    import socket

    words = data.split(",")
    for number, word in enumerate(words):
        if word.startswith("addr="):
            try:
                words[number] = f"addr={socket.gethostbyname(word[5:])}"
            except OSError as error:
                raise OSError(error.errno, f"the server {word[5:]} is not known") from None
    return ",".join(words)


def unmount(value: str) -> None:
    """Undo :func:`mount` for one container, in any process; the mount stays while another running container uses it."""
    name, _, id = value.partition("/")
    path = f"{directory()}/{name}/_data"
    if not os.path.ismount(path):
        return
    with Locked():
        others = (each for other in state.all_ids() if other != id for each in state.State(other).ledger())
        if not any(kind == "volume" and entry.startswith(f"{name}/") for kind, entry in others) and os.path.ismount(
            path
        ):
            kernel.umount2(path, kernel.MNT_DETACH)
