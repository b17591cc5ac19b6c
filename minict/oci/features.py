"""``features``: what this runtime can do, for engines that ask before they rely on it."""

from __future__ import annotations

from minict.runtime import apparmor, capabilities, jsonfile, libseccomp, mounts, namespaces, selinux

from .main import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .log import Log


def features(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``features``: the document of the specification. Source: OCI runtime-spec, features.md."""
    print(jsonfile.dumps(document()))


def document() -> dict[str, Any]:
    """The feature document, made from the tables of the runtime. Source: features.md, features-linux.md."""
    recursive = [f"r{name}" for name in mounts.FLAGS if name not in ("defaults", "remount", "bind", "rbind")]
    options = [*mounts.FLAGS, *mounts.PROPAGATION, *recursive, "idmap", "ridmap", "tmpcopyup"]
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": sorted(set(options)),
        "linux": {
            "namespaces": sorted(namespaces.FLAGS),
            "capabilities": capabilities.known(),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": False, "rdma": False},
            "seccomp": {
                "enabled": True,
                "actions": sorted(libseccomp.ACTIONS),
                "operators": sorted(libseccomp.COMPARISONS),
                "archs": [f"SCMP_ARCH_{name}" for name in ("X86", "X86_64", "X32", "ARM", "AARCH64")],
                "knownFlags": sorted(libseccomp.FLAGS),
                "supportedFlags": sorted(libseccomp.FLAGS),
            },
            "apparmor": {"enabled": apparmor.is_enabled()},
            "selinux": {"enabled": selinux.is_enabled()},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {},
        "potentiallyUnsafeConfigAnnotations": [],
    }
