"""Capabilities: which of root's rights the container's processes have, and which they can ever regain.

Root's rights are some forty separate capabilities (capabilities(7)), and every process has five sets of them:

===========  ===============================================================================
effective    what the kernel checks
permitted    what the process may put into effective at any time
inheritable  what it passes on at an execve of a file that has the same capabilities
ambient      what survives the execve of an ordinary program, for users other than root
bounding     the limit: no execve can give more, not even to root or by a set-uid program
===========  ===============================================================================

For root the last one decides: at its next execve, user 0 gets the whole bounding set as permitted
and effective. So a container's first process takes these steps, in this order:

1. :func:`drop_bounding`, while it has CAP_SETPCAP, without which the bounding set cannot be lowered;
2. ``prctl(PR_SET_KEEPCAPS, 1)``, or the change to another user would empty permitted and ambient;
3. setgroups, setgid, setuid, in this order: after setuid the other two are forbidden;
4. :func:`apply`: permitted, effective and inheritable by one capset, then the ambient set, whose members must
   already be both permitted and inheritable.
"""

from __future__ import annotations

from ..kernel.capability import NAMES, capget, capset
from ..kernel.process import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
    prctl,
)
from .errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .spec import Capabilities

# Docker's default: enough for an ordinary server that starts as root and for a package manager, and nothing
# that reaches beyond the container's own namespaces. Source: moby, oci/caps/defaults.go.
DEFAULT: tuple[str, ...] = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_MKNOD",
    "CAP_AUDIT_WRITE",
    "CAP_SETFCAP",
)

_NUMBERS = {name: number for number, name in enumerate(NAMES)}


def mask(names: list[str] | tuple[str, ...]) -> int:
    """The bit mask of *names*. Unknown names are ignored. Source: config.md, "Linux Process", capabilities."""
    return sum(1 << number for number in {_NUMBERS[name] for name in names if name in _NUMBERS})


def names(mask: int) -> list[str]:
    """The names of the bits in *mask*, in the kernel's order. Source: capabilities(7)."""
    return [name for number, name in enumerate(NAMES) if mask >> number & 1]


def known() -> list[str]:
    """The capabilities of this kernel. CAP_CHECKPOINT_RESTORE came with Linux 5.9. Source: capabilities(7)."""
    return list(NAMES[: len(_bounding())])


def _bounding() -> list[bool]:
    """For each capability of this kernel, by number, whether the caller's bounding set has it.

    Not read from /proc/sys/kernel/cap_last_cap: the container's /proc is not to be trusted.
    It includes capabilities of newer kernels that are missing in :data:`~minict.kernel.capability.NAMES`.
    """
    held = []
    try:
        for number in range(64):
            held.append(bool(prctl(PR_CAPBSET_READ, number)))
    except OSError:  # EINVAL: no capability has this number
        pass
    return held


def adjust(
    base: list[str] | tuple[str, ...], add: list[str] | tuple[str, ...], drop: list[str] | tuple[str, ...]
) -> list[str]:
    """The capabilities *base*, changed as ``--cap-add`` and ``--cap-drop`` say.

    Docker's rules: a name may lack ``CAP_`` and may be in any case; ``ALL`` added means everything that this
    kernel has, except *drop*; ``ALL`` dropped leaves only *add*; a capability in both lists is added.

    Raises :class:`ContainerError` for a name that this kernel does not know. Source: docker-run(1), --cap-add.
    """
    if not add and not drop:
        return names(mask(base))
    everything = known()
    added = [_full_name(name, everything) for name in add]
    dropped = [_full_name(name, everything) for name in drop]
    if "ALL" in added:
        kept = [name for name in everything if name not in dropped]
    elif "ALL" in dropped:
        kept = added
    else:
        kept = [name for name in base if name not in dropped] + added
    return names(mask(kept))


def _full_name(name: str, everything: list[str]) -> str:
    full = name.upper()
    if full == "ALL":
        return full
    full = full if full.startswith("CAP_") else "CAP_" + full
    if full in everything:
        return full
    from difflib import get_close_matches

    near = get_close_matches(full[4:], [name[4:] for name in everything], n=1)
    remedy = f"did you mean CAP_{near[0]}?" if near else "capabilities(7) lists those of this kernel"
    raise ContainerError(f"unknown capability {name!r}: {remedy}")


def drop_bounding(capabilities: Capabilities) -> None:
    """Lower the bounding set of the caller and its children to that of :class:`.spec.Capabilities`.

    No program that the container executes can regain the rest.
    Raises :class:`OSError`, EPERM without CAP_SETPCAP when there is something to drop. System calls only.
    Source: capabilities(7), "Capability bounding set"; OCI runtime-spec, config.md, "Linux Process".
    """
    keep = mask(capabilities.bounding)
    for number in range(64):
        if keep >> number & 1:
            continue
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError:
            held = _bounding()
            if number >= len(held):  # this kernel does not know the capability, nor those after it
                return
            if held[number]:
                raise


def apply(capabilities: Capabilities) -> None:
    """Give the caller the permitted, effective, inheritable and ambient sets of :class:`.spec.Capabilities`.

    To be called after the change of user, with PR_SET_KEEPCAPS set before it. A capability that the caller lacks
    is left out: a process cannot give more than it has, and ``--privileged`` means "everything available".
    Raises :class:`OSError`. System calls only. Source: capset(2), prctl(2) PR_CAP_AMBIENT.
    """
    _, own, _ = capget()
    permitted = mask(capabilities.permitted) & own
    inheritable = mask(capabilities.inheritable) & own
    capset(mask(capabilities.effective) & permitted, permitted, inheritable)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    ambient = mask(capabilities.ambient) & permitted & inheritable
    for number in range(ambient.bit_length()):
        if ambient >> number & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
