"""The seccomp profile of a container: Docker's default, or a file that the user names.

``seccomp.json`` is Docker's own list, unchanged (see NOTICE). It is not an OCI object: its rules have conditions on
the container's capabilities, the processor and the kernel ("mount is allowed with CAP_SYS_ADMIN"). They
are resolved here, where the container's settings are known. The result is for :mod:`minict.runtime.seccomp`.

One deviation, in :func:`default`: 32-bit socketcall(2) fails with ENOSYS. It passes the address family through memory,
where a filter cannot see it, so AF_ALG and AF_VSOCK, which the profile closes for socket(2), would stay open to 32-bit
programs. Docker leaves that to AppArmor, which many machines lack. C libraries then use socket(2), Linux 4.3 and newer.
"""

from __future__ import annotations

import os

from minict.runtime import jsonfile
from minict.runtime import seccomp as filters
from minict.runtime.errors import ContainerError
from minict.runtime.spec import Seccomp, Syscall

from .security import security

DEFAULT_FILE = os.path.join(os.path.dirname(__file__), "seccomp.json")

_NO_SOCKETCALL = {"names": ["socketcall"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}  # ENOSYS

# The machine's own name, as uname(2) gives it -> its name in the conditions, and in libseccomp
_MACHINES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}


def default(capabilities: list[str]) -> Seccomp:
    """Docker's default profile for a container with the bounding set *capabilities*, without socketcall(2)."""
    result = from_file(DEFAULT_FILE, capabilities)
    for rule in result.syscalls:
        rule.names = [name for name in rule.names if name != "socketcall"]
    result.syscalls.append(Syscall.from_dict(_NO_SOCKETCALL))
    return result


def default_program(capabilities: list[str]) -> bytes:
    """The compiled filter of :func:`default`.  From the second time on the profile is not even read: 0.1 ms, not 25."""
    file = os.stat(DEFAULT_FILE)
    source = (DEFAULT_FILE, file.st_mtime_ns, file.st_size, sorted(capabilities), _NO_SOCKETCALL)
    return filters.remembered(source, lambda: filters.compile(default(capabilities)))


def profile(settings, capabilities: list[str]) -> Seccomp | None:
    """The profile of ``--security-opt seccomp=…`` for a container with the bounding set *capabilities*.

    None where there is none, and for the default, whose program is made without it.  Raises :class:`ContainerError`.
    """
    choice = security(settings).seccomp
    return None if choice in (None, "builtin", "unconfined") else from_file(choice, capabilities)


def program(settings, config) -> bytes:
    """The compiled filter for the processes of the specification *config*; empty for ``seccomp=unconfined``."""
    if config.linux.seccomp:
        return filters.cached(config.linux.seccomp)
    if security(settings).seccomp == "unconfined":
        return b""
    return default_program(config.process.capabilities.bounding)


def from_file(path: str, capabilities: list[str]) -> Seccomp:
    """The profile in the file *path*, as ``--security-opt seccomp=FILE`` takes it: Docker's form, or the OCI's.

    *path* may also be the text itself, which is how a container's record keeps it.
    Raises :class:`ContainerError` if the file can't be read or is not a profile.
    """
    is_text = path.startswith("{")
    try:
        return resolve(jsonfile.loads(path) if is_text else jsonfile.read(path), capabilities)
    except OSError as error:
        raise ContainerError(
            f"the seccomp profile {path} can't be read ({error.strerror}): name a file in JSON, or seccomp=unconfined",
            errno=error.errno,
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContainerError(
            f"{'the text' if is_text else path} is not a seccomp profile ({error}): see config-linux.md of the OCI "
            'runtime specification, "Seccomp"'
        ) from None


def resolve(profile: dict, capabilities: list[str]) -> Seccomp:
    """The OCI object for a *profile* in Docker's form: its conditions applied, and what only they need left out.

    Raises :class:`ValueError`, or what a value of a wrong type raises.
    """
    if not isinstance(profile, dict) or not isinstance(profile.get("defaultAction"), str):
        raise ValueError("it has no defaultAction")
    kernel = os.uname()
    architecture, token = _MACHINES.get(kernel.machine, (kernel.machine, None))
    rules = [
        {**rule, "names": rule.get("names") or [rule["name"]]}
        for rule in profile.get("syscalls") or ()
        if _applies(rule, capabilities, architecture, kernel.release)
    ]
    architectures = list(profile.get("architectures") or ())
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == token:
            architectures += [token, *(entry.get("subArchitectures") or ())]
    return Seccomp.from_dict({**profile, "architectures": architectures, "syscalls": rules})


def _applies(rule: dict, capabilities: list[str], architecture: str, release: str) -> bool:
    """Whether the *rule* is for this container: all of its ``includes`` are true, and none of its ``excludes``."""
    needs, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    return (
        all(name in capabilities for name in needs.get("caps") or ())
        and ("arches" not in needs or architecture in needs["arches"])
        and ("minKernel" not in needs or _version(release) >= _version(needs["minKernel"]))
        and not any(name in capabilities for name in excludes.get("caps") or ())
        and architecture not in (excludes.get("arches") or ())
        and ("minKernel" not in excludes or _version(release) < _version(excludes["minKernel"]))
    )


def _version(release: str) -> tuple[int, int]:
    """Major and minor number of a kernel's *release*, such as 6.1.0-28-amd64."""
    major, minor = release.split("-", maxsplit=1)[0].split(".")[:2]
    return int(major), int(minor)
