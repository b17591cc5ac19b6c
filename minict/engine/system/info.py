"""``minict info``: this machine and the objects on it, under the names of ``docker info``."""

from __future__ import annotations

import os


def info() -> dict:
    """All facts, by name. Source: the Docker Engine API, SystemInfo."""
    import minict
    from minict.engine.containers.store import records
    from minict.engine.images.image import images
    from minict.runtime import cgroup, paths, place

    statuses = [record.status for record in records()]
    mode = cgroup.mode() if cgroup.controllers() or not place.in_user_namespace() else "none"
    return {
        "Containers": len(statuses),
        "ContainersRunning": statuses.count("running"),
        "ContainersPaused": statuses.count("paused"),
        "ContainersStopped": sum(status not in ("running", "paused") for status in statuses),
        "Images": len(images()),
        "ServerVersion": minict.__version__,
        "Driver": "overlay",
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if mode == "v2" else "1",
        "CgroupMode": mode,
        "KernelVersion": os.uname().release,
        "OperatingSystem": operating_system(),
        "OSType": "linux",
        "Architecture": os.uname().machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "Name": os.uname().nodename,
        "DockerRootDir": paths.data_root(),
        "RunDir": paths.run_root(),
        "SecurityOptions": ["name=seccomp,profile=builtin"],
    }


def operating_system() -> str:
    """The distribution's own name.  Source: os-release(5)."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found = dict(line.rstrip("\n").partition("=")[::2] for line in file)
        except OSError:
            continue
        return found.get("PRETTY_NAME", found.get("NAME", "Linux")).strip("\"'")
    return "Linux"


def text(found: dict) -> str:
    """The facts as lines of text."""
    from minict.engine.util import table

    lines = [
        ("Containers", found["Containers"]),
        ("  running", found["ContainersRunning"]),
        ("  paused", found["ContainersPaused"]),
        ("  stopped", found["ContainersStopped"]),
        ("Images", found["Images"]),
        ("minict", found["ServerVersion"]),
        ("Storage driver", found["Driver"]),
        ("Control groups", f"version {found['CgroupVersion']} ({found['CgroupMode']})"),
        ("Kernel", found["KernelVersion"]),
        ("Operating system", found["OperatingSystem"]),
        ("Architecture", found["Architecture"]),
        ("Processors", found["NCPU"]),
        ("Memory", table.binary_size(found["MemTotal"])),
        ("Host name", found["Name"]),
        ("Data", found["DockerRootDir"]),
        ("State", found["RunDir"]),
    ]
    return "".join(f"{name + ':':<18} {value}\n" for name, value in lines)
