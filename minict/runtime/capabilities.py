"""Capabilities: which of root's powers the container's processes have, and which they can ever get back.

Root is some forty separate powers (capabilities(7)), and every process carries five sets of them:

===========  ===============================================================================
effective    what the kernel looks at when it decides
permitted    what the process may put into effective at any time
inheritable  what it would hand on, with a file that agrees, at an execve
ambient      what stays through the execve of an ordinary program, for users other than root
bounding     the ceiling: what no execve can ever give, not to root, not by a set-uid program
===========  ===============================================================================

For root the last one decides: at its next execve, user 0 gets the whole bounding set as permitted
and effective.  So a container's init goes through these steps, in this order and no other:

1. :func:`drop_bounding`, while it still has CAP_SETPCAP, without which the ceiling can't be lowered;
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

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from .spec import Capabilities

# What Docker leaves to a container: enough for an ordinary server that starts as root and for a package
# manager, nothing that reaches past the container's own namespaces.
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
    """The bit mask of *names*.  A name that is not known is left out, as the OCI specification asks of a runtime."""
    return sum(1 << number for number in {_NUMBERS[name] for name in names if name in _NUMBERS})


def names(mask: int) -> list[str]:
    """The names of the bits that are set in *mask*, in the kernel's order."""
    return [name for number, name in enumerate(NAMES) if mask >> number & 1]


def known() -> list[str]:
    """The capabilities that this kernel knows.  Older kernels know fewer; CAP_CHECKPOINT_RESTORE came with 5.9."""
    return list(NAMES[: len(_bounding())])


def _bounding() -> list[bool]:
    """For each capability of this kernel, by number, whether the caller's bounding set has it.

    Asked of the kernel, and not read from /proc/sys/kernel/cap_last_cap: a container's init has no /proc to trust.
    It also counts what the kernel knows and :data:`~minict.kernel.capability.NAMES` does not yet.
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
    kernel knows, less *drop*; ``ALL`` dropped leaves what is added; what is both added and dropped is there.

    Raises :class:`ContainerError` for a name that this kernel does not know.
    """
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
    remedy = f"did you mean CAP_{near[0]}?" if near else "capabilities(7) lists them."
    raise ContainerError(f"{name!r} is no capability of this kernel: {remedy}")


def drop_bounding(capabilities: Capabilities) -> None:
    """Lower the ceiling of the caller and all its children to the *bounding* set of :class:`.spec.Capabilities`.

    What lies above it can't be got back by anything that the container executes.
    Raises :class:`OSError`, EPERM without CAP_SETPCAP when there is something to drop.  System calls only.
    Source: capabilities(7), "Capability bounding set"; OCI runtime-spec, config.md, "Linux Process".
    """
    keep = mask(capabilities.bounding)
    for number, held in enumerate(_bounding()):
        if held and not keep >> number & 1:
            prctl(PR_CAPBSET_DROP, number)


def apply(capabilities: Capabilities) -> None:
    """Give the caller the permitted, effective, inheritable and ambient sets of :class:`.spec.Capabilities`.

    To be called after the change of user, with PR_SET_KEEPCAPS set before it.  A capability that the caller has
    not got is left out: nobody can give what they have not got, and ``--privileged`` means "all that there is".
    Raises :class:`OSError`.  System calls only.  Source: capset(2), prctl(2) PR_CAP_AMBIENT.
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
