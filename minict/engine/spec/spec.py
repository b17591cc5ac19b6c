"""Build the OCI runtime spec from the options.

``minict run --memory 128m -v /srv:/data:ro nginx`` uses Docker's options; the runtime below understands only the spec.
This module translates, as Docker's daemon does for runc.
"""

from __future__ import annotations

import os

from minict.engine.containers import env, policies
from minict.runtime import apparmor, place, spec
from minict.runtime.container import check_sysctl
from minict.runtime.errors import ContainerError

from . import namespaces, seccomp
from . import resources as limits
from . import security as security_options
from . import user as users

# Docker's standard mounts (moby, daemon/pkg/oci/defaults.go).
MOUNTS = (
    ("/proc", "proc", ("nosuid", "noexec", "nodev")),
    ("/dev", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/dev/pts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    ("/dev/shm", "tmpfs", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),
    ("/dev/mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ("/sys", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ("/sys/fs/cgroup", "cgroup", ("nosuid", "noexec", "nodev", "ro")),
)


def specify(
    settings, id: str, image, args: list[str], rootfs: str, root: spec.Mount, files: list[spec.Mount]
) -> spec.Spec:
    """The spec of the container *id*: *settings* on top of the configuration of *image*.

    *args*: the user's command; the image's if empty. *rootfs*: the directory on which *root*, the root file system, is
    mounted. *files*: mounts that the engine adds, such as /etc/hosts. Raises :class:`ContainerError` for invalid
    settings.
    """
    config = image.config
    policies.check(settings, config)
    env.labels(settings, config)
    names, security = security_options.bounding_set(settings), security_options.security(settings)
    user, home = users.find_user(settings.user or config.get("User") or "", image, settings.group_add)
    hostname = namespaces.host_name(settings, id)
    command = command_line(settings, config, args, image)
    nodes, rules, bound = devices(settings)
    resources = limits.resources(settings)
    resources.devices = rules
    return spec.Spec(
        root=spec.Root(path=rootfs, readonly=settings.read_only),
        # a name that is shared is not set again: somebody may have changed it meanwhile
        hostname=hostname if namespaces.mode(settings, "uts") == "private" else None,
        domainname=namespaces.domain_name(settings),
        process=spec.Process(
            args=command,
            cwd=working_directory(settings, config),
            terminal=settings.tty,
            user=user,
            env=env.environment(settings, config, hostname, home),
            rlimits=limits.rlimits(settings),
            oomScoreAdj=limits.oom_score(settings),
            noNewPrivileges=security.no_new_privileges,
            apparmorProfile=apparmor_profile(settings),
            # root gets them all by execve; another user has none, as in Docker, and can gain at most these
            capabilities=spec.Capabilities(
                bounding=names, permitted=names if user.uid == 0 else [], effective=names if user.uid == 0 else []
            ),
        ),
        mounts=[root, *standard_mounts(settings), *bound, *files],
        linux=spec.Linux(
            cgroupsPath=limits.cgroup_path(settings, id),
            namespaces=namespaces.namespaces(settings),
            maskedPaths=security.masked,
            readonlyPaths=security.read_only,
            resources=resources,
            devices=nodes,
            sysctl=sysctls(settings),
            seccomp=seccomp.profile(settings, names),
        ),
        annotations=env.pairs(settings.annotation, "--annotation"),
    )


def apparmor_profile(settings) -> str | None:
    """The AppArmor profile of the container, on kernels with AppArmor. Raises :class:`ContainerError`."""
    if not apparmor.is_enabled():
        return None
    from .apparmor import profile

    return profile(settings)


def command_line(settings, config: dict, args: list[str], image) -> list[str]:
    """Entry point and command by Docker's rules: a new entry point discards the image's command.

    Raises :class:`ContainerError` when there is neither.
    """
    if settings.entrypoint is not None:
        return [settings.entrypoint, *args] if settings.entrypoint else list(args)
    command = [*(config.get("Entrypoint") or []), *(args or config.get("Cmd") or [])]
    if not command:
        raise ContainerError(f"no command specified, and the image {image.name} has none: add one")
    return command


def working_directory(settings, config: dict) -> str:
    """The working directory of the command. Raises :class:`ContainerError`."""
    directory = settings.workdir or config.get("WorkingDir") or "/"
    if not directory.startswith("/"):
        raise ContainerError(f"invalid -w {directory}: use an absolute path, such as /{directory}")
    return directory


def standard_mounts(settings) -> list[spec.Mount]:
    """:data:`MOUNTS`, changed for ``--shm-size``, ``--ipc`` and ``--privileged``."""
    result = []
    for destination, type, options in MOUNTS:
        mount = spec.Mount(destination=destination, type=type, source=type, options=list(options))
        if destination in ("/sys", "/proc") and shares_with_the_host(settings, destination):
            mount.type, mount.source, mount.options = "bind", destination, ["rbind", "nosuid", "noexec", "nodev"]
            mount.options += ["rro"] * (destination == "/sys")
        elif settings.privileged and destination in ("/sys", "/sys/fs/cgroup"):
            mount.options.remove("ro")
        if destination == "/dev/pts" and place.last_group() < 5:
            mount.options.remove("gid=5")  # the group of terminals, tty, is not mapped for a user with one id
        if destination == "/dev/shm":
            mount.options[-1] = f"size={limits.shm_size(settings)}"
        wanted: spec.Mount | None = mount
        if destination in ("/dev/shm", "/dev/mqueue"):
            wanted = shared_memory(mount, namespaces.mode(settings, "ipc"))
        result += [wanted] if wanted else []
    return result


def shares_with_the_host(settings, destination: str) -> bool:
    """Whether only the host's own /sys or /proc can be shown: in a user namespace nobody may mount another one for the
    host's network, or for its processes. Source: sysfs(5), proc(5), user_namespaces(7).
    """
    if not place.in_user_namespace():
        return False
    if destination == "/sys":
        return settings.network[-1:] == ["host"]
    return settings.pid == "host"


def shared_memory(mount: spec.Mount, ipc: str) -> spec.Mount | None:
    """*mount*, on /dev/shm or /dev/mqueue, as ``--ipc`` asks for it: it belongs to the IPC namespace, and is shared
    with it.
    """
    if ipc == "none" and mount.destination == "/dev/shm":
        return None
    if ipc == "host":
        bound = spec.Mount(destination=mount.destination, type="bind", source=mount.destination, options=["rbind"])
        return bound if os.path.isdir(mount.destination) else None
    if ipc.startswith("container:") and mount.destination == "/dev/shm":
        source = f"/proc/{namespaces.find_partner('ipc', ipc).pid}/root{mount.destination}"
        return spec.Mount(destination=mount.destination, type="bind", source=source, options=["bind"])
    return mount


def devices(settings) -> tuple[list[spec.Device], list[spec.DeviceCgroup], list[spec.Mount]]:
    """The nodes to make, the rules, and the host's nodes to bind instead.

    In a user namespace no process may make a node. The runtime binds the host's node of the same path there; one with
    another path is bound here.
    """
    if not (settings.privileged or settings.device or settings.device_cgroup_rule):
        return [], [], []
    from . import devices as device_options

    nodes, rules, places = device_options.devices(settings)
    bound = []
    if namespaces.mode(settings, "userns") == "private" or place.in_user_namespace():
        bound = [
            spec.Mount(destination=node.path, type="bind", source=places[node.path], options=["bind"]) for node in nodes
        ]
        nodes = []
    return nodes, rules, bound


def sysctls(settings) -> dict[str, str]:
    """``--sysctl``, on top of Docker's two: in a network of its own every user may ping, and bind ports below 1024.

    The runtime checks that the container has the namespace of a parameter. Raises :class:`ContainerError` for a
    parameter of no namespace.
    """
    network = settings.network[-1] if settings.network else ""
    result = {}
    if network != "host" and not network.startswith("container:"):
        result["net.ipv4.ip_unprivileged_port_start"] = "0"
        if namespaces.mode(settings, "userns") == "host":  # its ids end earlier
            result["net.ipv4.ping_group_range"] = f"0 {min(place.last_group(), 2147483647)}"
    for word in settings.sysctl:
        name, given, value = word.partition("=")
        if not given:
            raise ContainerError(f"invalid --sysctl {word}: use NAME=VALUE, as in net.ipv4.ip_forward=1")
        try:
            check_sysctl(name, ["network", "ipc", "uts"])
        except ContainerError as error:
            raise ContainerError(f"--sysctl {word}: {error}") from None
        result[name] = value
    return result
