"""What is kept about a container from one call to the next, and the state document that is made of it.

The runtime's own state directory (:mod:`minict.runtime.state`) gets one more file, ``oci.json``. It is written before
the container takes anything, so that ``state`` and ``delete --force`` also work for an incomplete one.
"""

from __future__ import annotations

import os
import time

from minict.runtime import jsonfile, state
from minict.runtime.cgroup import freezer
from minict.runtime.errors import ContainerError
from minict.runtime.state import State

from .main import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minict.runtime.container import RuntimeContainer
    from minict.runtime.spec import Spec

_FILE = "oci.json"


def check_id(id: str) -> None:
    """Refuse an *id* that is not a file name of a few safe characters. Raises :class:`ContainerError`. Source: runc."""
    if not id or id in (".", "..") or len(id) > 255 or not all(each.isalnum() or each in "_+-." for each in id):
        raise ContainerError(f"invalid container id {id!r}: use letters, digits, '_', '+', '-' and '.'")


def find(id: str) -> State:
    """The state of the container *id*. Raises :class:`ContainerError` when there is none.

    Engines look for the words "does not exist". Source: go-runc, runc.go; runc.
    """
    check_id(id)
    container = State(id)
    if not os.path.isdir(container.directory):
        raise ContainerError(f"container {id} does not exist")
    return container


def find_whole(id: str) -> RuntimeContainer:
    """The container *id* with all that can be done to it. Raises as :func:`find`."""
    find(id)
    from minict.runtime.container import RuntimeContainer  # many times larger than what state, start and kill need

    return RuntimeContainer(id)


def keep(container: State, spec: Spec, bundle: str) -> None:
    """Write what only the creator knows into the state directory. Source: runtime.md, "State"."""
    now = time.time_ns()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9))
    values = {
        "bundle": bundle,
        "rootfs": os.path.normpath(os.path.join(bundle, spec.root.path)) if spec.root else "",
        "created": f"{seconds}.{now % 10**9:09}Z",
        "annotations": dict(spec.annotations or {}),
    }
    jsonfile.write(container.path(_FILE), values)


def status(container: State) -> str:
    """creating, created, running, paused or stopped; paused is runc's own word. Source: runtime.md, "State"."""
    word = container.status()
    if word not in ("running", "created"):
        return word
    ledger = dict(container.ledger())  # as delete.cgroup_path, which would load more than is needed here
    path = ledger.get("cgroup") or ledger.get("kept cgroup")
    return "paused" if path and freezer.is_frozen(path) else word


def document(container: State) -> dict[str, Any]:
    """The state of a container, as the specification defines it and with runc's additions.

    Raises :class:`ContainerError` when it has just been deleted. Source: runtime.md, "State"; runc-state(8).
    """
    try:
        kept = jsonfile.read(container.path(_FILE))
    except FileNotFoundError:
        kept = {"bundle": "", "rootfs": "", "created": "", "annotations": {}}
    word = status(container)
    annotations = kept.pop("annotations")
    return {
        "ociVersion": SPEC_VERSION,
        "id": container.id,
        "pid": container.pid() or 0,
        "status": word,
        **kept,
        **({"annotations": annotations} if annotations else {}),
        "owner": owner(container),
    }


def owner(container: State) -> str:
    """The name of the user who created the container, or the number of one without a name. Source: runc-list(8)."""
    import pwd

    user = os.stat(container.directory).st_uid
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def all_containers() -> list[State]:
    """All containers below ``--root``, in the order of their ids. Source: runc-list(8)."""
    return [State(id) for id in state.all_ids()]
