"""What a user asked of one container: a field for each option of ``minict run``.

What the fields mean to the kernel is said where they are translated: :mod:`minict.engine.spec.spec` has the
specification as a whole, :mod:`minict.engine.spec.resources`, :mod:`minict.engine.spec.user`, :mod:`.env`,
:mod:`minict.engine.spec.namespaces`, :mod:`minict.engine.spec.security` and :mod:`minict.engine.spec.devices` its
parts, and :mod:`.policies` what the specification does not speak of, such as restarts.
"""

from __future__ import annotations

from minict.runtime import spec
from minict.runtime.errors import ContainerError

_TIMES = ("health_interval", "health_timeout", "health_start_period", "health_start_interval")


class Settings(spec.Record):
    """What ``minict run`` takes: a field for each of its options, by the option's name.

    Values are texts as a person types them (``memory="128m"``), for which numbers will do (those of times are
    seconds); an option that can be given several times is a list, for which one value will do.  What a text means is
    found where it is needed, and an error says so there.  An object is also a JSON object:
    ``Settings(**settings.to_dict())``. Raises :class:`TypeError` for a field that there is not, and
    :class:`ContainerError` for a text with a zero byte in it.
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
    cgroup_parent: str = None
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
                values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
                setattr(self, name, [_text(name, each) for each in values])
            elif self.__annotations__[name] == "str" and value is not None:
                setattr(self, name, _text(name, value))

    def resolved(self) -> Settings:
        """A copy that means the same wherever and by whomever it is read: files are read, and what was the caller's is
        named.

        For the record of a container, which is started again from another directory, with other variables.
        Raises :class:`ContainerError`.
        """
        from . import env as variables

        changes = {}
        if self.env or self.env_file:
            changes.update(env=variables.handed_on(self), env_file=[])
        if self.label_file:
            given = [word for path in self.label_file for word in variables.read(path, "--label-file")]
            changes.update(label=[*given, *self.label], label_file=[])
        if self.security_opt:
            changes.update(security_opt=[_read_profile(word) for word in self.security_opt])
        return Settings(**{**self.to_dict(), **changes})


def _text(name: str, value: object) -> object:
    """*value* as a person types it.  Raises :class:`ContainerError`: the kernel would take a zero byte for the end."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value}s" if name in _TIMES else str(value)
    if isinstance(value, str) and "\0" in value:
        raise ContainerError(f"--{name.replace('_', '-')}: {value!r} has a zero byte in it")
    return value


def _read_profile(word: str) -> str:
    """``seccomp=FILE`` with the file's text in the place of its name, as Docker remembers it; other words as they
    are."""
    name, given, path = word.partition("=")
    if name != "seccomp" or not given or path in ("", "unconfined", "builtin") or path.startswith("{"):
        return word
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read().strip()
    except OSError as error:
        raise ContainerError(
            f"--security-opt {word}: {path}: {error.strerror}; name a file in JSON, or seccomp=unconfined",
            errno=error.errno,
        ) from None
    if not text.startswith("{"):
        raise ContainerError(f"--security-opt {word}: {path} is no seccomp profile, which is an object in JSON")
    return f"seccomp={text}"
