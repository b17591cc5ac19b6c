"""Control groups that were given to this user.

systemd gives each user a group, ``user@UID.service``, in which the user's own service manager makes others. minict uses
the highest group above this process that the user may write to, as if it were the root of the tree. A process can move
another one only inside of that; so one outside, as in a login by ssh, first asks for a scope (:mod:`.scope`).

Source: cgroup-v2.rst, "Delegation"; systemd, docs/CGROUP_DELEGATION.md.
"""

from __future__ import annotations

import os

from minict.kernel import mount as k

TREE = "/sys/fs/cgroup"


def root(tree: str = TREE) -> str:
    """The path below *tree*, a mount of cgroup v2, of the highest group above this process that is the user's; or an
    empty string.
    """
    with open("/proc/self/cgroup") as lines:
        own = next((line.rstrip("\n").partition("::")[2] for line in lines if line.startswith("0::")), "/")
    found = ""
    while own not in ("/", "") and "/.." not in own and is_ours(tree + own):
        found, own = own, os.path.dirname(own)
    return found


def is_ours(directory: str) -> bool:
    """Whether this user may make groups in *directory*, move processes into it, and hand out its controllers."""
    return all(os.access(f"{directory}/{file}", os.W_OK) for file in ("", "cgroup.procs", "cgroup.subtree_control"))


def show(group: str) -> None:
    """In the user's mount namespace: let *group*, a path below the tree, appear as the root of the tree.

    Nothing happens when it does so already, or when it is empty. Raises :class:`OSError`. Source: mount(2), MS_BIND.
    """
    if not group:
        return
    if not os.path.exists(f"{TREE}/cgroup.procs"):
        k.umount2(TREE, k.MNT_DETACH)  # the group of a service manager that has ended
    if os.path.isdir(TREE + group):
        k.mount(TREE + group, TREE, None, k.MS_BIND)
