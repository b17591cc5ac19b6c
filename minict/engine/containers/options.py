"""The options of a container: a field for each option of ``minict run``.

The meaning of the fields is documented where they are translated: :mod:`minict.engine.spec.spec` for the specification
as a whole, :mod:`minict.engine.spec.resources`, :mod:`minict.engine.spec.user`, :mod:`.env`,
:mod:`minict.engine.spec.namespaces`, :mod:`minict.engine.spec.security` and :mod:`minict.engine.spec.devices` for its
parts, and :mod:`.policies` for what the specification does not cover, such as restarts.
"""

from __future__ import annotations

from minict.runtime import spec
from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: typing takes 12 ms to import
if TYPE_CHECKING:
    from typing import Any

_DEFAULT_NETWORK: Any = ("bridge",)
_TIMES = ("health_interval", "health_timeout", "health_start_period", "health_start_interval")


class ContainerOptions(spec.SpecObject):
    """The options of ``minict run``: a field for each option, by its name.

    Values are texts as users type them (``memory="128m"``); numbers are accepted too (seconds for times).  An option
    that can be given several times is a list, for which a single value is accepted.  Texts are parsed where they are
    needed, and errors are raised there.  An object is also a JSON object: ``ContainerOptions(**options.to_dict())``.

    Raises :class:`TypeError` for an unknown field, and :class:`ContainerError` for a text with a zero byte.
    """

    # the command and its environment
    interactive: bool = False
    tty: bool = False
    entrypoint: str | None = None
    env: list[str] = spec.EMPTY
    env_file: list[str] = spec.EMPTY
    workdir: str | None = None
    user: str | None = None
    group_add: list[str] = spec.EMPTY
    init: bool = False
    stop_signal: str | None = None
    stop_timeout: str | None = None
    # identity
    name: str | None = None
    hostname: str | None = None
    domainname: str | None = None
    label: list[str] = spec.EMPTY
    label_file: list[str] = spec.EMPTY
    annotation: list[str] = spec.EMPTY
    cidfile: str | None = None
    pull: str | None = None
    platform: str | None = None
    # lifecycle
    rm: bool = False
    restart: str | None = None
    health_cmd: str | None = None
    health_interval: str | None = None
    health_timeout: str | None = None
    health_retries: str | None = None
    health_start_period: str | None = None
    health_start_interval: str | None = None
    no_healthcheck: bool = False
    log_driver: str | None = None
    log_opt: list[str] = spec.EMPTY
    # resources
    memory: str | None = None
    memory_swap: str | None = None
    memory_reservation: str | None = None
    memory_swappiness: str | None = None
    oom_kill_disable: bool = False
    oom_score_adj: str | None = None
    cpus: str | None = None
    cpu_shares: str | None = None
    cpu_quota: str | None = None
    cpu_period: str | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids_limit: str | None = None
    blkio_weight: str | None = None
    device_read_bps: list[str] = spec.EMPTY
    device_write_bps: list[str] = spec.EMPTY
    device_read_iops: list[str] = spec.EMPTY
    device_write_iops: list[str] = spec.EMPTY
    ulimit: list[str] = spec.EMPTY
    shm_size: str | None = None
    cgroup_parent: str | None = None
    # file system
    volume: list[str] = spec.EMPTY
    mount: list[str] = spec.EMPTY
    tmpfs: list[str] = spec.EMPTY
    volumes_from: list[str] = spec.EMPTY
    read_only: bool = False
    # networking
    network: list[str] = _DEFAULT_NETWORK
    network_alias: list[str] = spec.EMPTY
    ip: str | None = None
    mac_address: str | None = None
    link: list[str] = spec.EMPTY
    publish: list[str] = spec.EMPTY
    publish_all: bool = False
    expose: list[str] = spec.EMPTY
    dns: list[str] = spec.EMPTY
    dns_search: list[str] = spec.EMPTY
    dns_option: list[str] = spec.EMPTY
    add_host: list[str] = spec.EMPTY
    # namespaces
    pid: str | None = None
    ipc: str | None = None
    uts: str | None = None
    userns: str | None = None
    cgroupns: str | None = None
    # security
    cap_add: list[str] = spec.EMPTY
    cap_drop: list[str] = spec.EMPTY
    privileged: bool = False
    security_opt: list[str] = spec.EMPTY
    device: list[str] = spec.EMPTY
    device_cgroup_rule: list[str] = spec.EMPTY
    sysctl: list[str] = spec.EMPTY

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        for name, value in fields.items():
            if self.__annotations__[name].startswith("list"):
                values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
                setattr(self, name, [_text(name, each) for each in values])
            elif self.__annotations__[name].startswith("str") and value is not None:
                setattr(self, name, _text(name, value))

    def resolved(self) -> ContainerOptions:
        """A copy that does not depend on the caller: files are read, and variables of the caller are copied.

        For the record of a container, which may be started from another directory with other variables. Raises
        :class:`ContainerError`.
        """
        from . import env as variables

        changes: dict[str, list[str]] = {}
        if self.env or self.env_file:
            changes.update(env=variables.handed_on(self), env_file=[])
        if self.label_file:
            given = [word for path in self.label_file for word in variables.read(path, "--label-file")]
            changes.update(label=[*given, *self.label], label_file=[])
        if self.security_opt:
            changes.update(security_opt=[_read_profile(word) for word in self.security_opt])
        return ContainerOptions(**{**self.to_dict(), **changes})


def _text(name: str, value: object) -> object:
    """*value* as text. Raises :class:`ContainerError` for a zero byte, which the kernel would take for the end."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value}s" if name in _TIMES else str(value)
    if isinstance(value, str) and "\0" in value:
        raise ContainerError(f"--{name.replace('_', '-')}: {value!r} contains a zero byte")
    return value


def _read_profile(word: str) -> str:
    """``seccomp=FILE`` with the content of the file, as Docker stores it; other words unchanged."""
    name, given, path = word.partition("=")
    if name != "seccomp" or not given or path in ("", "unconfined", "builtin") or path.startswith("{"):
        return word
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read().strip()
    except OSError as error:
        raise ContainerError(
            f"--security-opt {word}: {path}: {error.strerror}; use a file with a JSON profile, or seccomp=unconfined",
            errno=error.errno,
        ) from None
    if not text.startswith("{"):
        raise ContainerError(f"--security-opt {word}: {path} is not a seccomp profile (a JSON object)")
    return f"seccomp={text}"
