"""Whether a group is frozen, without the rest of what is known about groups: engines ask often."""

from __future__ import annotations

from . import files
from .hierarchy import find_hierarchies


def is_frozen(path: str) -> bool:
    """Whether the processes of the group *path* are frozen, or are being frozen.

    Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst, "cgroup.freeze".
    """
    found, unified = find_hierarchies()
    if "freezer" in found:
        state = files.read_if_there(f"{found['freezer']}{path}/freezer.state") or ""
        return state.strip() in ("FROZEN", "FREEZING")
    return bool(unified) and (files.read_if_there(f"{unified}{path}/cgroup.freeze") or "").strip() == "1"
