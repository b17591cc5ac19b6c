"""The OCI runtime specification: what a container is, written down before it exists.

The classes carry the names and the fields of the standard's ``config.json``, so that its text is
also the manual of this module: https://github.com/opencontainers/runtime-spec, config.md and
config-linux.md (version 1.2).  :meth:`Spec.load` reads such a file, :meth:`Spec.to_dict` makes one.

They are plain classes and not dataclasses, whose import alone (18 ms) would cost more than the
whole birth of a container.
"""

from __future__ import annotations

TYPE_CHECKING = False  # true for type checkers only: typing takes 12 ms to import
if TYPE_CHECKING:
    from typing import Any, Self

REQUIRED: Any = None  # the default of a field without which an object has no meaning
EMPTY: Any = ()  # the default of a list: a tuple, because all objects share it


class Record:
    """A JSON object with known fields.

    A subclass lists its fields as annotations; the text of an annotation (``list[Mount]``) also
    says how a nested object is read.  A field that was not given has the class's default, which
    is None, or an empty value that nobody may change in place.
    """

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            if name not in self.__annotations__:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
            setattr(self, name, value)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and type(self) is type(other) and self.to_dict() == other.to_dict()

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Read a JSON object.  Fields that the standard does not know are left out, as it demands.

        Raises :class:`ValueError` when a nested value is no object or list where one belongs.
        """
        if not isinstance(values, dict):
            raise ValueError(f"{cls.__name__} must be a JSON object, not {values!r}")
        record = cls()
        for name, kind in cls.__annotations__.items():
            value = values.get(name)
            if value is not None:
                setattr(record, name, _read(kind, value, name))
        return record

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, with only the fields that were given."""
        return {name: _plain(value) for name, value in vars(self).items() if value is not None}


def _read(kind: str, value: object, name: str) -> object:
    """*value* as the annotation *kind* says: ``Mount``, ``list[Mount]``, or as it is."""
    kind = kind.removesuffix(" | None")
    if kind.startswith("list["):
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a JSON list, not {value!r}")
        inner = globals().get(kind[5:-1])
        return [inner.from_dict(item) for item in value] if inner else value
    record = globals().get(kind)
    return record.from_dict(value) if record else value


def _plain(value: object) -> object:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


class Root(Record):
    path: str = "rootfs"
    readonly: bool = False


class Mount(Record):
    destination: str = REQUIRED
    type: str | None = None
    source: str | None = None
    options: list[str] = EMPTY


class User(Record):
    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additionalGids: list[int] = EMPTY
    username: str | None = None


class Box(Record):
    """The size of a terminal, in characters."""

    height: int = 0
    width: int = 0


class Capabilities(Record):
    """The five sets of capabilities(7), each a list of names such as ``CAP_CHOWN``."""

    effective: list[str] = EMPTY
    bounding: list[str] = EMPTY
    inheritable: list[str] = EMPTY
    permitted: list[str] = EMPTY
    ambient: list[str] = EMPTY


class Rlimit(Record):
    type: str = REQUIRED
    soft: int = 0
    hard: int = 0


class Process(Record):
    terminal: bool = False
    consoleSize: Box | None = None
    cwd: str = "/"
    env: list[str] = EMPTY
    args: list[str] = EMPTY
    rlimits: list[Rlimit] = EMPTY
    apparmorProfile: str | None = None
    capabilities: Capabilities | None = None
    noNewPrivileges: bool = False
    oomScoreAdj: int | None = None
    selinuxLabel: str | None = None
    user: User = User()


class Namespace(Record):
    """A namespace to be made, or, with a path, to be joined."""

    type: str = REQUIRED
    path: str | None = None


class IDMapping(Record):
    containerID: int = 0
    hostID: int = 0
    size: int = 0


class Device(Record):
    path: str = REQUIRED
    type: str = REQUIRED
    major: int = 0
    minor: int = 0
    fileMode: int | None = None
    uid: int | None = None
    gid: int | None = None


class DeviceCgroup(Record):
    """One rule of who may use which device: first matching from the end decides."""

    allow: bool = False
    type: str | None = None
    major: int | None = None
    minor: int | None = None
    access: str | None = None


class CPU(Record):
    """shares: weight, 2 to 262144; quota and period: microseconds; cpus and mems: lists such as ``0-3,5``."""

    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtimeRuntime: int | None = None
    realtimePeriod: int | None = None
    cpus: str | None = None
    mems: str | None = None
    idle: int | None = None


class Memory(Record):
    """All in bytes; -1 is no limit.  swap is memory and swap together, as in cgroup v1."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernelTCP: int | None = None
    swappiness: int | None = None
    disableOOMKiller: bool | None = None
    useHierarchy: bool | None = None
    checkBeforeUpdate: bool | None = None


class Pids(Record):
    limit: int | None = None


class ThrottleDevice(Record):
    """rate: bytes, or operations, a second."""

    major: int = 0
    minor: int = 0
    rate: int = 0


class WeightDevice(Record):
    major: int = 0
    minor: int = 0
    weight: int | None = None
    leafWeight: int | None = None


class BlockIO(Record):
    weight: int | None = None
    leafWeight: int | None = None
    weightDevice: list[WeightDevice] = EMPTY
    throttleReadBpsDevice: list[ThrottleDevice] = EMPTY
    throttleWriteBpsDevice: list[ThrottleDevice] = EMPTY
    throttleReadIOPSDevice: list[ThrottleDevice] = EMPTY
    throttleWriteIOPSDevice: list[ThrottleDevice] = EMPTY


class HugepageLimit(Record):
    """pageSize such as ``2MB``; limit in bytes."""

    pageSize: str = REQUIRED
    limit: int = 0


class Resources(Record):
    """What a container may use: the cgroup's part of the specification (config-linux.md, control groups)."""

    devices: list[DeviceCgroup] = EMPTY
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    blockIO: BlockIO | None = None
    hugepageLimits: list[HugepageLimit] = EMPTY
    unified: dict[str, Any] | None = None


class SyscallArg(Record):
    index: int = 0
    value: int = 0
    valueTwo: int = 0
    op: str = REQUIRED


class Syscall(Record):
    names: list[str] = EMPTY
    action: str = REQUIRED
    errnoRet: int | None = None
    args: list[SyscallArg] = EMPTY


class Seccomp(Record):
    defaultAction: str = REQUIRED
    defaultErrnoRet: int | None = None
    architectures: list[str] = EMPTY
    flags: list[str] = EMPTY
    listenerPath: str | None = None
    listenerMetadata: str | None = None
    syscalls: list[Syscall] = EMPTY


class Linux(Record):
    namespaces: list[Namespace] = EMPTY
    uidMappings: list[IDMapping] = EMPTY
    gidMappings: list[IDMapping] = EMPTY
    timeOffsets: dict[str, Any] | None = None
    devices: list[Device] = EMPTY
    cgroupsPath: str | None = None
    resources: Resources | None = None
    rootfsPropagation: str | None = None
    seccomp: Seccomp | None = None
    sysctl: dict[str, str] | None = None
    maskedPaths: list[str] = EMPTY
    readonlyPaths: list[str] = EMPTY
    mountLabel: str | None = None


class Hook(Record):
    path: str = REQUIRED
    args: list[str] | None = None
    env: list[str] | None = None
    timeout: int | None = None


class Hooks(Record):
    prestart: list[Hook] = EMPTY
    createRuntime: list[Hook] = EMPTY
    createContainer: list[Hook] = EMPTY
    startContainer: list[Hook] = EMPTY
    poststart: list[Hook] = EMPTY
    poststop: list[Hook] = EMPTY


class Spec(Record):
    """A container: the whole ``config.json``."""

    ociVersion: str = "1.2.0"
    process: Process = REQUIRED
    root: Root = REQUIRED
    hostname: str | None = None
    domainname: str | None = None
    mounts: list[Mount] = EMPTY
    linux: Linux = REQUIRED
    hooks: Hooks | None = None
    annotations: dict[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The whole ``config.json``; its version is no field that may be left out."""
        return {"ociVersion": self.ociVersion, **super().to_dict()}

    @classmethod
    def load(cls, path: str) -> Spec:
        """Read a ``config.json``.  Raises :class:`OSError`, or :class:`ValueError` when it is none."""
        from . import jsonfile

        return cls.from_dict(jsonfile.read(path))
