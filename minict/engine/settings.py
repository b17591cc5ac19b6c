"""What a user asked of one container, and its translation into the language of the OCI specification.

``minict run --memory 128m -v /srv:/data:ro nginx`` speaks Docker's language.  The runtime below understands
only the specification.  This module is the dictionary: that is what Docker's daemon does for runc.
"""
from __future__ import annotations

import os

from minict.runtime import capabilities, process, spec
from minict.runtime.errors import ContainerError
from minict.runtime.state import State

from . import names, units

_HOST_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
LAST_ID = 2 ** 32 - 1  # ids have 32 bits
PERIOD = 100_000  # microseconds: the period in which --cpus is counted, as in Docker

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
# What tells of the host or changes it, and has no namespace (the same source).
MASKED = ["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
          "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
          "/sys/devices/virtual/powercap"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


class Settings(spec.Record):
    """What ``minict run`` takes: a field for each of its options, by the option's name.

    Values are as a person types them (``memory="128m"``), numbers may be numbers; an option that can be given several times
    is a list, for which one text will do.  What a text means is found where it is needed, and an error says so there.
    An object is also a JSON object: ``Settings(**settings.to_dict())``.  Raises :class:`TypeError` for a field that there is not.
    """

    # its command, and what it finds
    interactive: bool = False
    tty: bool = False
    entrypoint: str = None
    env: list = ()
    env_file: list = ()
    workdir: str = None
    user: str = None
    group_add: list = ()
    init: bool = False
    stop_signal: str = None
    stop_timeout: str = None
    # who it is
    name: str = None
    hostname: str = None
    domainname: str = None
    label: list = ()
    label_file: list = ()
    annotation: list = ()
    cidfile: str = None
    pull: str = None
    platform: str = None
    # how it lives and ends
    rm: bool = False
    restart: str = None
    health_cmd: str = None
    health_interval: str = None
    health_timeout: str = None
    health_retries: str = None
    health_start_period: str = None
    health_start_interval: str = None
    no_healthcheck: bool = False
    log_driver: str = None
    log_opt: list = ()
    # what it may use
    memory: str = None
    memory_swap: str = None
    memory_reservation: str = None
    memory_swappiness: str = None
    oom_kill_disable: bool = False
    oom_score_adj: str = None
    cpus: str = None
    cpu_shares: str = None
    cpu_quota: str = None
    cpu_period: str = None
    cpuset_cpus: str = None
    cpuset_mems: str = None
    pids_limit: str = None
    blkio_weight: str = None
    device_read_bps: list = ()
    device_write_bps: list = ()
    device_read_iops: list = ()
    device_write_iops: list = ()
    ulimit: list = ()
    shm_size: str = None
    # its files
    volume: list = ()
    mount: list = ()
    tmpfs: list = ()
    volumes_from: list = ()
    read_only: bool = False
    # its networks
    network: list = ("bridge",)
    network_alias: list = ()
    ip: str = None
    mac_address: str = None
    link: list = ()
    publish: list = ()
    publish_all: bool = False
    expose: list = ()
    dns: list = ()
    dns_search: list = ()
    dns_option: list = ()
    add_host: list = ()
    # what it shares with the host or with another container
    pid: str = None
    ipc: str = None
    uts: str = None
    userns: str = None
    cgroupns: str = None
    # its powers
    cap_add: list = ()
    cap_drop: list = ()
    privileged: bool = False
    security_opt: list = ()
    device: list = ()
    device_cgroup_rule: list = ()
    sysctl: list = ()

    def __init__(self, **fields):
        super().__init__(**fields)
        for name, value in fields.items():
            if self.__annotations__[name] == "list":
                setattr(self, name, [value] if isinstance(value, str) else list(value or ()))


def specify(settings: Settings, id: str, image, args: list[str], rootfs: str, root: spec.Mount,
            files: list[spec.Mount]) -> spec.Spec:
    """The specification of the container *id*: *settings* on top of what the *image* says.

    *args*: the user's command; without one the image's.  *rootfs*: the directory on which *root*, the
    root file system, is mounted.  *files*: mounts that the engine adds, such as /etc/hosts.
    Raises :class:`ContainerError`.
    """
    config = image.config
    names = capabilities.adjust(capabilities.DEFAULT, settings.cap_add, settings.cap_drop)
    user, home = find_user(settings.user or config.get("User") or "", image)
    hostname = host_name(settings, id)
    command = command_line(settings, config, args, image)
    directory = settings.workdir or config.get("WorkingDir") or "/"
    if not directory.startswith("/"):
        raise ContainerError(f"-w {directory}: the working directory is an absolute path, such as /{directory}")
    kinds = ["pid", "mount", "ipc", "cgroup"]  # that of the network is the Wiring's to add
    namespaces = [*(spec.Namespace(type=kind) for kind in kinds), *find_uts(settings.uts)]
    mounts = [spec.Mount(destination=destination, type=type, source=type, options=list(options))
              for destination, type, options in MOUNTS]
    return spec.Spec(
        root=spec.Root(path=rootfs, readonly=settings.read_only),
        hostname=None if settings.uts == "host" else hostname,
        process=spec.Process(
            args=command, cwd=directory, terminal=settings.tty, user=user,
            env=environment(settings, config, hostname, home),
            # root has them all by execve; another user has none, as in Docker, and can get at most these
            capabilities=spec.Capabilities(bounding=names, permitted=names if user.uid == 0 else [],
                                           effective=names if user.uid == 0 else [])),
        mounts=[root, *mounts, *files, *(bind_mount(volume) for volume in settings.volume)],
        linux=spec.Linux(
            namespaces=namespaces, maskedPaths=MASKED, readonlyPaths=READ_ONLY,
            resources=resources(settings)))


def find_uts(mode: str | None) -> list[spec.Namespace]:
    """What ``--uts MODE`` means: a namespace to make (``private``), none (``host``), or one to join (``container:NAME``).

    Raises :class:`ContainerError`.
    """
    if mode == "host":
        return []
    if mode in (None, "private"):
        return [spec.Namespace(type="uts")]
    return [spec.Namespace(type="uts", path=f"/proc/{find_partner(mode).pid()}/ns/uts")]


def find_partner(mode: str) -> State:
    """The running container of ``--uts container:NAME``; an id is a name too.  Raises :class:`ContainerError`."""
    kind, _, name = mode.partition(":")
    if kind != "container":
        raise ContainerError(f"--uts {mode}: write private, host or container:NAME")
    names.check(name)
    state = State(names.find(name) or name)
    if state.pid() is None:
        raise ContainerError(f"--uts {mode}: no container {name} is running")
    return state


def host_name(settings: Settings, id: str) -> str:
    """The name that the container *id* will find: its own, or that of those with whom it shares one.

    Raises :class:`ContainerError` when it is to have a name of its own and somebody else's.
    """
    if settings.hostname is not None and not set(settings.hostname).issubset(_HOST_NAME) or len(settings.hostname or id) > 64:
        # it also goes into /etc/hosts, where a newline would begin a line of its own
        raise ContainerError(f"--hostname {settings.hostname!r}: a host name has letters, digits, '-' and '.', at most 64 of them")
    if settings.uts in (None, "private"):
        return settings.hostname or id
    if settings.hostname:
        raise ContainerError(f"--hostname and --uts {settings.uts}: others have that host name too; leave one of the two out")
    partners = None if settings.uts == "host" else find_partner(settings.uts).read_spec().hostname
    return partners or os.uname().nodename  # a partner that has none shares the host's


def command_line(settings: Settings, config: dict, args: list[str], image) -> list[str]:
    """Entry point and command, by Docker's rules: a new entry point makes the image's command void.

    Raises :class:`ContainerError` when there is neither.
    """
    if settings.entrypoint is not None:
        return [settings.entrypoint, *args] if settings.entrypoint else list(args)
    command = [*(config.get("Entrypoint") or []), *(args or config.get("Cmd") or [])]
    if not command:
        raise ContainerError(f"the image {image.name} has no command of its own: say which one to run")
    return command


def environment(settings: Settings, config: dict, hostname: str, home: str) -> list[str]:
    """The variables: those that every container has, then the image's, then the user's; the last word counts."""
    variables = {"PATH": process.PATH, "HOSTNAME": hostname, "HOME": home}
    if settings.tty:
        variables["TERM"] = "xterm"
    for word in [*(config.get("Env") or []), *settings.env]:
        name, given, value = word.partition("=")
        if not name:
            raise ContainerError(f"-e {word!r}: a variable is written NAME=VALUE")
        if given:
            variables[name] = value
        elif name in os.environ:  # -e NAME hands on the caller's own
            variables[name] = os.environ[name]
    return [f"{name}={value}" for name, value in variables.items()]


def resources(settings: Settings) -> spec.Resources:
    """The limits.  Raises :class:`ContainerError` for a value that is none."""
    result = spec.Resources()
    if settings.memory is not None:
        limit = units.bytes_of(settings.memory, "--memory")
        if limit < 6 << 20:
            raise ContainerError(f"--memory: {settings.memory} is too little to start anything in: the least is 6m")
        # as in Docker: as much swap again as memory, where there is swap at all
        result.memory = spec.Memory(limit=limit)
    if settings.cpus is not None:
        result.cpu = spec.CPU(period=PERIOD, quota=units.microseconds_of_cpus(settings.cpus, PERIOD))
    if settings.pids_limit is not None:
        result.pids = spec.Pids(limit=units.whole(settings.pids_limit, "--pids-limit") or -1)
    return result


def bind_mount(volume: str) -> spec.Mount:
    """``SRC:DST[:OPTION,…]`` as a mount.  Raises :class:`ContainerError` for a text that is none, or a source that is missing."""
    source, colon, rest = volume.partition(":")
    destination, _, options = rest.partition(":")
    if not colon or not destination.startswith("/"):
        raise ContainerError(f"-v {volume}: write SOURCE:DESTINATION[:ro], with an absolute path as destination")
    if os.path.normpath(destination).strip("/") == "":
        raise ContainerError(f"-v {volume}: a volume can't take the place of the root directory: choose one below it")
    if "/" not in source:
        raise ContainerError(f"-v {volume}: the source is a path of the host, such as ./{source}")
    if not os.path.exists(source):
        raise ContainerError(f"-v {volume}: there is no {source} on the host")
    words = [word for word in options.split(",") if word]
    for word in words:
        if word not in ("ro", "rw", "z", "Z", "rprivate", "private", "rshared", "shared", "rslave", "slave"):
            raise ContainerError(f"-v {volume}: there is no option {word!r}; common ones are ro and rw")
    kept = [word for word in words if word not in ("z", "Z")]  # labels of SELinux, which is not used here
    if "ro" in kept:
        kept.append("rro")
    return spec.Mount(destination=destination, type="bind", source=os.path.realpath(source), options=["rbind", *kept])


def find_user(text: str, image) -> tuple[spec.User, str]:
    """``UID[:GID]`` or ``NAME[:GROUP]`` by the image's own /etc/passwd and /etc/group; and the home directory.

    A number needs no entry there; without one its group is 0 and its home ``/``, as in Docker.
    Raises :class:`ContainerError` for a name that the image does not know.
    """
    name, _, group = (text or "0").partition(":")
    passwd = next((line for line in table(image, "etc/passwd", 7) if name in (line[0], line[2])), None)
    if passwd is None and not name.isdecimal():
        raise ContainerError(f"the image {image.name} has no user {name!r}: see its /etc/passwd, or give a number")
    uid, gid, home = (int(passwd[2]), int(passwd[3]), passwd[5]) if passwd else (int(name), 0, "/")
    groups = table(image, "etc/group", 4)
    more = []
    if group:
        entry = next((line for line in groups if group in (line[0], line[2])), None)
        if entry is None and not group.isdecimal():
            raise ContainerError(f"the image {image.name} has no group {group!r}: see its /etc/group, or give a number")
        gid = int(entry[2]) if entry else int(group)
    elif passwd:
        more = sorted({int(line[2]) for line in groups if passwd[0] in line[3].split(",")} - {gid})
    for number in (uid, gid):
        if number >= LAST_ID:  # the last one means "as it is" to setresuid(2): root would stay root
            raise ContainerError(f"-u {text}: {number} is no id: the largest is {LAST_ID - 1}")
    return spec.User(uid=uid, gid=gid, additionalGids=more), home or "/"


def table(image, path: str, columns: int) -> list[list[str]]:
    """The lines of a file such as etc/passwd in the image's topmost layer that has it, with their numbers checked."""
    from minict.kernel import mount as k
    for layer in image.layers:
        directory = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # the image is somebody else's: its links must not lead to a file of the host
            file = k.openat2(directory, path, os.O_RDONLY | os.O_NONBLOCK, 0, k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS)
        except OSError:
            continue
        finally:
            os.close(directory)
        with open(file, encoding="utf-8", errors="replace") as lines:
            rows = [line.rstrip("\n").split(":") for line in lines.read(1 << 20).split("\n")]
        return [row for row in rows if len(row) >= columns and row[2].isdecimal() and (columns < 7 or row[3].isdecimal())]
    return []
