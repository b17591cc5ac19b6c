"""The benchmark's own environment: namespaces, memory in place of a disk, and the same root file system for all.

On a disk the benchmark would also measure what other processes write to it, so everything lies in a tmpfs. It is
mounted in the benchmark's own mount namespace, and disappears with it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile

from minict.engine.containers.options import ContainerOptions
from minict.engine.images import importer
from minict.engine.networks.sandbox import Sandbox
from minict.engine.spec import seccomp
from minict.engine.spec.spec import specify
from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNET, CLONE_NEWNS, unshare
from minict.kernel.network import loopback_up
from minict.lab import host
from minict.runtime import devices

NAME = f"minict-bench-{os.getpid()}"  # of every cgroup that is made here
IMAGE = "bench"
_UNIFIED = "/sys/fs/cgroup/unified"


class Failed(Exception):
    """Why a contender can't take part."""


class World:
    """``with World() as world:`` enters it; ``world.path("x")`` is a path in its tmpfs."""

    def path(self, name: str) -> str:
        return f"{self._directory}/{name}"

    def __enter__(self) -> World:
        unshare(CLONE_NEWNS | CLONE_NEWNET)
        k.mount(None, "/", None, k.MS_REC | k.MS_PRIVATE)
        loopback_up()
        self._directory = tempfile.mkdtemp(prefix=NAME)
        k.mount("bench", self._directory, "tmpfs", 0, "mode=755")
        for directory in ("/run", "/var/lib"):
            self._cover(directory)
        if os.path.ismount(_UNIFIED):
            # crun refuses a machine with both cgroup versions: so all contenders see only v1
            k.umount2(_UNIFIED, k.MNT_DETACH)
            k.mount("bench", _UNIFIED, "tmpfs")
        for variable, name in (("MINICT_ROOT", "data"), ("MINICT_RUN", "state")):
            os.makedirs(self.path(name))
            os.environ[variable] = self.path(name)
        os.environ.update(MINICT_CGROUP=NAME, MINICT_BRIDGE="bench0")
        self._make_root()
        return self

    def __exit__(self, *exception) -> None:
        k.umount2(self._directory, k.MNT_DETACH)
        os.rmdir(self._directory)
        with open("/proc/self/mounts") as file:
            mounts = [line.split() for line in file]
        hierarchies = [point for _, point, kind, *_ in mounts if kind.startswith("cgroup")]
        # the monitors of the last containers may still be ending
        host.remove_cgroups(
            [
                f"{hierarchy}/{name}"
                for hierarchy in hierarchies
                for name in os.listdir(hierarchy)
                if name.startswith(NAME)
            ]
        )

    def _cover(self, directory: str) -> None:
        """Mount an overlay on *directory*: it takes what podman writes there in spite of its options."""
        upper, work = (self.path(directory.strip("/").replace("/", "-") + suffix) for suffix in ("-upper", "-work"))
        os.mkdir(upper, 0o755)
        os.mkdir(work)
        k.mount("bench", directory, "overlay", 0, f"lowerdir={directory},upperdir={upper},workdir={work}")

    def _make_root(self) -> None:
        """The default image of minict, and the same files as a plain directory and as an archive for the others."""
        self.image = importer.default_image(IMAGE)
        self.rootfs = self.path("rootfs")
        shutil.copytree(self.image.layers[0], self.rootfs, symlinks=True)
        self.archive = shutil.make_archive(self.path("rootfs"), "tar", self.rootfs)

    def bundle(self, name: str, config: dict) -> str:
        """Make a bundle, as runc and crun take it: a directory with a config.json; return its path."""
        config["process"].update(args=["true"], terminal=False)
        config["root"] = {"path": self.rootfs}
        os.mkdir(self.path(name))
        with open(self.path(f"{name}/config.json"), "w") as file:
            json.dump(config, file, indent=2)
        return self.path(name)

    def same_config(self) -> dict:
        """The specification that ``minict run`` makes of its defaults, for other runtimes."""
        spec = specify(ContainerOptions(network="none"), "bench", self.image, ["true"], self.rootfs, None, [])
        spec.linux.namespaces += Sandbox(ContainerOptions(network="none"), "bench", "bench").namespaces()
        spec.mounts = spec.mounts[1:]  # without the overlay: for the others the root is a plain directory
        spec.linux.seccomp = seccomp.default(spec.process.capabilities.bounding)
        spec.linux.resources.devices = devices.with_defaults([])
        return {**spec.to_dict(), "ociVersion": "1.0.2"}  # the crun of Debian 12 takes no later one
