"""A bundle: a directory with the specification, ``config.json``, and usually the root file system beside it."""

from __future__ import annotations

import os

from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError
from minict.runtime.spec import Process, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .log import Log

CONFIG = "config.json"


def load(directory: str | None, config: str | None = None) -> tuple[str, Spec]:
    """The absolute path of the bundle *directory* (None: the working directory), and its specification.

    *config*: another file than its config.json.
    Raises :class:`ContainerError`, or :class:`ValueError` for a file that is not a specification.
    Source: OCI runtime-spec, bundle.md; config.md, "Specification version".
    """
    path = os.path.abspath(directory or ".")
    file = os.path.join(path, config or CONFIG)
    try:
        values = jsonfile.read(file)
        spec = Spec.from_dict(values)
        check_version(values.get("ociVersion"))
    except FileNotFoundError:
        raise ContainerError(f"the bundle {path} has no file {config or CONFIG}: no such file or directory") from None
    except ValueError as error:
        raise ContainerError(f"invalid {file}: {error}") from None
    return path, spec


def check_version(version: object) -> None:
    """Refuse a specification of another major *version* than 1. Raises :class:`ContainerError`.

    Source: config.md, "Specification version"; Semantic Versioning 2.0.0.
    """
    numbers = str(version).split("-")[0].split("+")[0].split(".")
    if len(numbers) != 3 or not all(each.isdigit() for each in numbers) or numbers[0] != "1":
        raise ContainerError(f"ociVersion is {version!r}: it must be a version 1, such as 1.3.0")


def load_process(path: str) -> Process:
    """The process in the JSON file *path*, as ``exec --process`` gets it. Raises :class:`ContainerError`.

    Source: config.md, "Process".
    """
    try:
        return Process.from_dict(jsonfile.read(path))
    except ValueError as error:
        raise ContainerError(f"invalid process in {path}: {error}") from None


# ---- spec ----------------------------------------------------------------------------------------------------------


def spec(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``spec``: write an example to config.json.

    Raises :class:`ContainerError` if there is one. Source: runc-spec(8).
    """
    path = os.path.join(options["bundle"] or ".", CONFIG)
    if os.path.exists(path):
        raise ContainerError(f"the file {path} exists: remove it first")
    values = example()
    if options["rootless"]:
        make_rootless(values)
    jsonfile.write(path, values)


def example() -> dict[str, Any]:
    """The specification that ``runc spec`` writes: a shell, alone in its namespaces. Source: runc, specconv.Example."""
    capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    quiet = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.3.0",
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "minict",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount("/dev/pts", "devpts", "devpts", *quiet[:2], "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
            _mount("/dev/shm", "tmpfs", "shm", *quiet, "mode=1777", "size=65536k"),
            _mount("/dev/mqueue", "mqueue", "mqueue", *quiet),
            _mount("/sys", "sysfs", "sysfs", *quiet, "ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", *quiet, "relatime", "ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }  # fmt: skip


def _mount(destination: str, type: str, source: str, *options: str) -> dict[str, Any]:
    mount = {"destination": destination, "type": type, "source": source}
    return {**mount, "options": list(options)} if options else mount


def make_rootless(values: dict[str, Any]) -> None:
    """Change an example so that an ordinary user can run it: a user namespace, and no network or cgroup.

    Source: runc, specconv.ToRootless.
    """
    linux = values["linux"]
    linux["namespaces"] = [each for each in linux["namespaces"] if each["type"] != "network"] + [{"type": "user"}]
    linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    del linux["resources"]
    for mount in values["mounts"]:
        mount["options"] = [each for each in mount.get("options", []) if not each.startswith(("uid=", "gid="))]
    places = [each["destination"] for each in values["mounts"]]
    values["mounts"][places.index("/sys")] = _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
    values["mounts"][:] = [each for each in values["mounts"] if each["type"] != "cgroup"]
