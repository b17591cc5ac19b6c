"""``delete``: release everything that a container has taken from the host, by its state directory alone.

An engine calls a process of its own for it: so this module needs little of the rest.
"""

from __future__ import annotations

import os

from . import start
from .cgroup.group import Cgroup
from .errors import ContainerError
from .files import remove_tree
from .wait import wait_until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .state import State

    Handlers = dict[str, Callable[[str], object]]

# How to release each kind of entry in a ledger. Each may be released twice, or without ever having been taken: so a
# creator may be killed at any instant.
UNDO: Handlers = {
    "cgroup": lambda path: Cgroup(path).remove(),
    "kept cgroup": lambda path: None,  # it was there before the container
    "scope": lambda path: _stop_scope(path),
    "directory": remove_tree,
}


def release(state: State, handlers: Handlers) -> list[str]:
    """Kill what still runs, undo the ledger, run the poststop hooks, and remove the *state*; return warnings.

    Raises the first error after everything has been tried; then the state stays.
    Source: OCI runtime-spec, runtime.md, "Delete".
    """
    warnings = []
    handlers = dict(handlers)
    if end_own_processes(state):
        handlers["cgroup"] = lambda path: Cgroup(path).remove(kill=False)
    undo(state.ledger(), handlers)
    try:
        start.run_later_hooks(state, "poststop", "stopped")
    except ContainerError as error:
        warnings.append(str(error))
    state.remove()
    return warnings


def end_own_processes(state: State) -> bool:
    """Kill the first process, and return whether all others of the container have ended with it.

    They have if it was process 1 of a pid namespace of the container's own. Then nobody else in its cgroup is to be
    killed: it is another container, or a program, that was given the same group. Source: pid_namespaces(7).
    """
    if not os.path.exists(state.path("pid")):
        return False
    try:
        start.kill(state, 9)
        Cgroup(cgroup_path(state) or "").thaw()  # on cgroup v1 a frozen process cannot even die
    except (ContainerError, ProcessLookupError):
        pass
    return wait_until(state.is_ending) and state.has_pid_namespace()


def _stop_scope(path: str) -> None:
    from . import systemd  # few containers are in a scope

    systemd.stop(path)


def cgroup_path(state: State) -> str | None:
    """The path of the container's cgroup, by its ledger. Source: config-linux.md, "Cgroups Path"."""
    ledger = dict(state.ledger())
    return ledger.get("cgroup") or ledger.get("kept cgroup")


def undo(ledger: list[tuple[str, str]], handlers: Handlers) -> None:
    """Release the entries of a *ledger*, the last first. Raises the first error, after all have been tried.

    Source: OCI runtime-spec, runtime.md, "Delete".
    """
    first: OSError | ContainerError | None = None
    for kind, value in reversed(ledger):
        try:
            handlers[kind](value)
        except (OSError, ContainerError) as error:
            first = first or error
    if first:
        raise first
