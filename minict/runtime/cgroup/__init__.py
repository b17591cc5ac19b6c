"""Control groups: how much of the processors, the memory, the disks and the process table a container may use.

A control group (cgroup) is a directory in a virtual file system. ``mkdir`` creates a
group, a process number written into one of its files moves a process in, a number written into
another sets a limit, and ``rmdir`` removes the group once it is empty. The part of the kernel that counts and limits
one resource is a controller: ``cpu``, ``memory``, ``pids``... There are two versions:

==========  ==========================================================================================
cgroup v1   a tree for each controller: /sys/fs/cgroup/memory/minict/ID, /sys/fs/cgroup/pids/minict/ID...
cgroup v2   one tree for all: /sys/fs/cgroup/minict/ID; a group has the controllers that its parent hands down
hybrid      both are mounted; a controller works in one of the two versions at a time
==========  ==========================================================================================

==================  ===================================================================
:mod:`.hierarchy`   what this machine has, and where
:mod:`.group`       one group: create it, join it, freeze and kill its processes, remove it
:mod:`.delegation`  v2: how a group gets its controllers, also inside a container
:mod:`.limits`      from the specification to numbers in files
:mod:`.stats`       from files to numbers
==================  ===================================================================

Sources: cgroups(7); the kernel's Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst; OCI
runtime-spec, config-linux.md, Control groups.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .group import Cgroup
    from .hierarchy import controllers, mode

__all__ = ["Cgroup", "controllers", "mode"]


def __getattr__(name: str) -> object:
    """The names above are loaded when first asked for: whether a group is frozen can be told without them."""
    if name == "Cgroup":
        from .group import Cgroup

        return Cgroup
    if name in ("controllers", "mode"):
        from . import hierarchy

        return getattr(hierarchy, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
