"""``minict inspect`` of a container: everything known about it, under Docker's names.

Scripts read this, so it leaves out what minict has no counterpart for. Source: the Docker Engine API, ContainerInspect.
"""

from __future__ import annotations

from minict.engine.containers import env, policies
from minict.engine.containers.options import ContainerOptions
from minict.engine.containers.store import Record
from minict.engine.images.image import Image
from minict.engine.networks import portmapper, state
from minict.engine.spec import namespaces, resources
from minict.engine.spec import spec as spec_builder
from minict.engine.util import diskusage
from minict.engine.util.timestamps import stamp_of
from minict.engine.volumes import options as volume_options
from minict.runtime import paths, spec
from minict.runtime.errors import ContainerError

from . import jsonlog


class Facts(dict):
    """Fields under Docker's names. Those that are *optional* are left out when empty.

    A template may still ask for them, ``{{if .State.Health}}``, as for a nil pointer in Go.
    """

    def __init__(self, fields: dict, optional: tuple[str, ...]):
        super().__init__({name: value for name, value in fields.items() if value or name not in optional})
        self.optional = optional


def container(record: Record, *, size: bool = False) -> dict:
    """Describe a container; with *size* also the disk space that it takes."""
    settings, image = record.settings_object(), image_of(record)
    command = command_of(record, image)
    data = record.data
    result = {
        "Id": record.id,
        "Created": stamp_of(record.created),
        "Path": command[0],
        "Args": command[1:],
        "State": state_of(record),
        "Image": f"sha256:{record.image}",
        "ResolvConfPath": f"{data}/resolv.conf",
        "HostnamePath": f"{data}/hostname",
        "HostsPath": f"{data}/hosts",
        "LogPath": "" if settings.log_driver == "none" else jsonlog.current(data),
        "Name": f"/{record.name}",
        "RestartCount": record.last_run.get("restarts") or 0,
        "Driver": "overlay",
        "Platform": "linux",
        "HostConfig": host_config(record, settings),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": ":".join(image.layers) if image else "",
                "MergedDir": f"{data}/root",
                "UpperDir": f"{data}/upper",
                "WorkDir": f"{data}/work",
            },
        },
        "Mounts": [mount(each) for each in record.mounts or []],
        "Config": config(record, settings, image),
        "NetworkSettings": network_settings(record, image),
    }
    if size:
        written, whole = sizes(record, image)
        result |= {"SizeRw": written, "SizeRootFs": whole}
    return result


def image_of(record: Record) -> Image | None:
    """The container's image; None if its file is missing or damaged: the rest is still shown."""
    try:
        return Image.load(record.image, record.image_name)
    except ContainerError:
        return None


def command_of(record: Record, image: Image | None) -> list[str]:
    """Entry point, command and arguments, as far as they are known without the image."""
    if image is None:
        return record.args or [""]
    return spec_builder.command_line(record.settings_object(), image.config, record.args, image)


def labels_of(record: Record, image: Image | None) -> dict[str, str]:
    """The labels of the image and of the container."""
    return env.labels(record.settings_object(), image.config if image else {})


def log_details(record: Record) -> str:
    """What ``logs --details`` shows before each line: the labels and variables that ``--log-opt`` names.

    Source: docker logs; https://docs.docker.com/engine/logging/drivers/json-file/, "labels" and "env".
    """
    from urllib.parse import quote_plus

    image, log = image_of(record), policies.log(record.settings_object())
    words = [*((image.config if image else {}).get("Env") or []), *(record.settings.get("env") or [])]
    labels = labels_of(record, image)
    variables = dict(word.partition("=")[::2] for word in words)
    shown = {name: labels[name] for name in log["labels"] if name in labels}
    shown |= {name: variables[name] for name in log["env"] if name in variables}
    return ",".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(shown.items()))


def state_of(record: Record) -> dict:
    """The state of the container, and how its last run went."""
    status, last_run = record.status, record.last_run
    found = {
        "Status": status,
        "Running": status in ("running", "paused"),
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": bool(last_run.get("oom_killed")),
        "Dead": False,
        "Pid": record.pid or 0,
        "ExitCode": 0 if status in ("running", "paused") else record.exit_code,
        "Error": last_run.get("error") or "",
        "StartedAt": stamp_of(last_run.get("started")),
        "FinishedAt": stamp_of(last_run.get("finished")),
    }
    return Facts({**found, "Health": last_run.get("health")}, optional=("Health",))


def config(record: Record, settings: ContainerOptions, image: Image | None) -> dict:
    """The portable part of the configuration, which does not depend on the host."""
    given = image.config if image else {}
    entrypoint, cmd = given.get("Entrypoint"), record.args or given.get("Cmd")
    if settings.entrypoint is not None:  # a new entry point discards the image's command
        entrypoint, cmd = [settings.entrypoint] if settings.entrypoint else None, record.args or None
    hostname = host_name(record, settings)
    return Facts(
        {
            "Hostname": hostname,
            "Domainname": settings.domainname or "",
            "User": settings.user or given.get("User") or "",
            "ExposedPorts": {port: {} for port in exposed(settings, image)} or None,
            "Tty": settings.tty,
            "OpenStdin": settings.interactive,
            "StdinOnce": settings.interactive,
            "Env": _env(settings, given),
            "Cmd": cmd,
            "Image": record.image_name,
            "Volumes": given.get("Volumes") or None,
            "WorkingDir": settings.workdir or given.get("WorkingDir") or "",
            "Entrypoint": entrypoint,
            "Labels": labels_of(record, image),
            "Healthcheck": policies.healthcheck(settings, given),
            "StopSignal": str(settings.stop_signal or given.get("StopSignal") or "SIGTERM"),
            "StopTimeout": int(policies.stop_timeout(settings)),
        },
        optional=("ExposedPorts", "Healthcheck"),
    )


def _env(settings: ContainerOptions, given: dict) -> list[str]:
    """The variables of the image and the user, without those that depend on the host name and the user id."""
    words = [*(given.get("Env") or []), *env.handed_on(settings)]
    found = {word.partition("=")[0]: word for word in words}
    return [word for word in found.values() if "=" in word]


def host_name(record: Record, settings: ContainerOptions) -> str:
    """The host name that the container has, or had; empty when it shared that of a container that has ended."""
    try:
        return namespaces.host_name(settings, record.id)
    except ContainerError:
        return ""


def host_config(record: Record, settings: ContainerOptions) -> dict:
    """The part of the configuration that depends on the host."""
    wanted = resources.resources(settings)
    memory, cpu, disks = wanted.memory or spec.Memory(), wanted.cpu or spec.CPU(), wanted.blockIO or spec.BlockIO()
    name, most = policies.restart(settings)
    return {
        "Binds": settings.volume or None,
        "Mounts": _requested_mounts(record, settings) or None,
        "Tmpfs": _tmpfs(record) or None,
        "VolumesFrom": settings.volumes_from or None,
        "ReadonlyRootfs": settings.read_only,
        "ShmSize": resources.shm_size(settings),
        "NetworkMode": (settings.network or ["none"])[0],
        "PortBindings": port_bindings(settings),
        "PublishAllPorts": settings.publish_all,
        "Dns": settings.dns,
        "DnsOptions": settings.dns_option,
        "DnsSearch": settings.dns_search,
        "ExtraHosts": settings.add_host or None,
        "Links": settings.link or None,
        "AutoRemove": settings.rm,
        "RestartPolicy": {"Name": name, "MaximumRetryCount": most or 0},
        "Init": settings.init,
        "LogConfig": {"Type": settings.log_driver or "json-file", "Config": _pairs(settings.log_opt)},
        "PidMode": settings.pid or "",
        "IpcMode": settings.ipc or "private",
        "UTSMode": settings.uts or "",
        "UsernsMode": settings.userns or "",
        "CgroupnsMode": settings.cgroupns or "private",
        "CapAdd": _capabilities(settings.cap_add),
        "CapDrop": _capabilities(settings.cap_drop),
        "Privileged": settings.privileged,
        "SecurityOpt": settings.security_opt or None,
        "GroupAdd": settings.group_add or None,
        "Sysctls": _pairs(settings.sysctl),
        "Devices": settings.device,
        "DeviceCgroupRules": settings.device_cgroup_rule or None,
        "Ulimits": [
            {"Name": each.type.removeprefix("RLIMIT_").lower(), "Soft": each.soft, "Hard": each.hard}
            for each in resources.rlimits(settings)
        ],
        "Memory": memory.limit or 0,
        "MemorySwap": memory.swap or 0,
        "MemoryReservation": memory.reservation or 0,
        "MemorySwappiness": memory.swappiness,
        "OomKillDisable": settings.oom_kill_disable,
        "OomScoreAdj": resources.oom_score(settings) or 0,
        "PidsLimit": wanted.pids.limit if wanted.pids else None,
        "NanoCpus": int(float(settings.cpus or 0) * 1e9),
        "CpuShares": cpu.shares or 0,
        "CpuPeriod": cpu.period or 0,
        "CpuQuota": cpu.quota or 0,
        "CpusetCpus": cpu.cpus or "",
        "CpusetMems": cpu.mems or "",
        "BlkioWeight": disks.weight or 0,
        "Cgroup": "",
        "ConsoleSize": [0, 0],
        "ContainerIDFile": settings.cidfile or "",
        "Isolation": "",
        "VolumeDriver": "",
        "CgroupParent": settings.cgroup_parent or f"/{paths.cgroup_parent()}",
    }


def _capabilities(words: list[str]) -> list[str] | None:
    """Capabilities by their full names."""
    names = [word.upper().removeprefix("CAP_") for word in words]
    return [name if name == "ALL" else f"CAP_{name}" for name in names] or None


def _requested_mounts(record: Record, settings: ContainerOptions) -> list[dict]:
    """The values of ``--mount``."""
    places = {volume_options.mount(word)["destination"] for word in settings.mount}
    return [
        {
            "Type": each["type"],
            "Source": each.get("source") or each.get("name") or "",
            "Target": each["destination"],
            "ReadOnly": bool(each.get("read_only")),
        }
        for each in record.mounts or []
        if each["destination"] in places
    ]


def _pairs(words: list[str]) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in words)


def _tmpfs(record: Record) -> dict[str, str]:
    return {
        each["destination"]: ",".join(each.get("options", ()))
        for each in record.mounts or []
        if each["type"] == "tmpfs"
    }


def mount(each: dict) -> dict:
    """One mount of the container (:func:`minict.engine.volumes.mounts.plan`) as Docker shows it."""
    options = list(each.get("options", ()))
    propagation = [word for word in options if word.lstrip("r") in ("private", "slave", "shared")]
    result = {
        "Type": each["type"],
        "Source": each.get("source", ""),
        "Destination": each["destination"],
        "Mode": ",".join([*options, *["ro"] * bool(each.get("read_only"))]),
        "RW": not each.get("read_only"),
        "Propagation": propagation[0] if propagation else "rprivate" if each["type"] == "bind" else "",
    }
    if each["type"] != "volume":
        return result
    from minict.engine.volumes.store import Volume

    try:
        source = Volume.find(each["name"]).source
    except ContainerError:  # the volume, or its target, has been removed
        source = ""
    return {**result, "Name": each["name"], "Source": source, "Driver": "local"}


def exposed(settings: ContainerOptions, image: Image | None) -> list[str]:
    """The ports that the image and the user expose, each as ``80/tcp``."""
    words = [*((image.config.get("ExposedPorts") or {}) if image else {}), *settings.expose]
    found = {(port.inside, port.protocol) for word in words for port in portmapper.parse_exposed(word)}
    return [f"{number}/{protocol}" for number, protocol in sorted(found)]


def port_bindings(settings: ContainerOptions) -> dict[str, list[dict]]:
    """The port mappings of ``-p``: for each port of the container the requested ports of the host."""
    found: dict[str, list[dict]] = {}
    for port in (port for word in settings.publish for port in portmapper.parse(word)):
        first, last = port.choices
        found.setdefault(f"{port.inside}/{port.protocol}", []).append(
            {
                "HostIp": "" if port.address == portmapper.ANY else port.address,
                "HostPort": "" if not first else str(first) if first == last else f"{first}-{last}",
            }
        )
    return found


def network_settings(record: Record, image: Image | None) -> dict:
    """The container's networks, of its next run when it is stopped, and its ports; exposed ports have no port of the
    host.
    """
    found = state.network_settings(record.id)
    nothing = {"IPAddress": "", "IPPrefixLen": 0, "Gateway": "", "MacAddress": "", "Aliases": None, "NetworkID": ""}
    nothing |= state.UNSET_ENDPOINT
    networks = found["Networks"] or {
        name: dict(nothing) for name in networks_of(record) if not name.startswith("container:")
    }
    found |= {"GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "IPv6Gateway": "", "HairpinMode": False, "Bridge": ""}
    found |= {"Networks": networks, "SandboxKey": f"/proc/{record.pid}/ns/net" if record.pid else ""}
    return {**found, "Ports": {**dict.fromkeys(exposed(record.settings_object(), image)), **found["Ports"]}}


def sizes(record: Record, image: Image | None) -> tuple[int, int]:
    """The bytes that the container has written, and the bytes of all its files."""
    written = diskusage.usage(f"{record.data}/upper")
    return written, written + (image.size if image else 0)


# ---- an image ----------------------------------------------------------------------------------------------------


def networks_of(record: Record) -> list[str]:
    """The names of the networks that the container has, or will have when it starts."""
    from minict.engine.networks.options import names_of_networks

    wanted = record.settings_object().network
    return list(state.network_settings(record.id)["Networks"]) or names_of_networks(wanted) or list(wanted)
