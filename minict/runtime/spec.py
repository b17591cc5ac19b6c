"""The OCI runtime specification: what a container is, written down before it exists.

The classes carry the names and the fields of the standard's ``config.json``, so that its text is
also the manual of this module: https://github.com/opencontainers/runtime-spec, config.md and
config-linux.md (version 1.2).  :meth:`Spec.load` reads such a file, :meth:`Spec.to_dict` makes one.

They are plain classes and not dataclasses, whose import alone (18 ms) would cost more than the
whole birth of a container.
"""

from __future__ import annotations


class Record:
    """A JSON object with known fields.

    A subclass lists its fields as annotations; the text of an annotation (``list[Mount]``) also
    says how a nested object is read.  A field that was not given has the class's default, which
    is None, or an empty value that nobody may change in place.
    """

    def __init__(self, **fields):
        for name, value in fields.items():
            if name not in self.__annotations__:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
            setattr(self, name, value)

    def __repr__(self):
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other):
        return type(self) is type(other) and self.to_dict() == other.to_dict()

    @classmethod
    def from_dict(cls, values: dict) -> Record:
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

    def to_dict(self) -> dict:
        """The JSON object, with only the fields that were given."""
        return {name: _plain(value) for name, value in vars(self).items() if value is not None}


def _read(kind: str, value: object, name: str) -> object:
    """*value* as the annotation *kind* says: ``Mount``, ``list[Mount]``, or as it is."""
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
    destination: str = None
    type: str = None
    source: str = None
    options: list = ()


class User(Record):
    uid: int = 0
    gid: int = 0
    umask: int = None
    additionalGids: list = ()
    username: str = None


class Box(Record):
    """The size of a terminal, in characters."""

    height: int = 0
    width: int = 0


class Capabilities(Record):
    """The five sets of capabilities(7), each a list of names such as ``CAP_CHOWN``."""

    effective: list = ()
    bounding: list = ()
    inheritable: list = ()
    permitted: list = ()
    ambient: list = ()


class Rlimit(Record):
    type: str = None
    soft: int = 0
    hard: int = 0


class Process(Record):
    terminal: bool = False
    consoleSize: Box = None
    cwd: str = "/"
    env: list = ()
    args: list = ()
    rlimits: list[Rlimit] = ()
    apparmorProfile: str = None
    capabilities: Capabilities = None
    noNewPrivileges: bool = False
    oomScoreAdj: int = None
    selinuxLabel: str = None
    user: User = User()


class Namespace(Record):
    """A namespace to be made, or, with a path, to be joined."""

    type: str = None
    path: str = None


class IDMapping(Record):
    containerID: int = 0
    hostID: int = 0
    size: int = 0


class TimeOffset(Record):
    secs: int = 0
    nanosecs: int = 0


class Device(Record):
    path: str = None
    type: str = None
    major: int = 0
    minor: int = 0
    fileMode: int = None
    uid: int = None
    gid: int = None


class DeviceCgroup(Record):
    """One rule of who may use which device: first matching from the end decides."""

    allow: bool = False
    type: str = None
    major: int = None
    minor: int = None
    access: str = None


class CPU(Record):
    """shares: weight, 2 to 262144; quota and period: microseconds; cpus and mems: lists such as ``0-3,5``."""

    shares: int = None
    quota: int = None
    burst: int = None
    period: int = None
    realtimeRuntime: int = None
    realtimePeriod: int = None
    cpus: str = None
    mems: str = None
    idle: int = None


class Memory(Record):
    """All in bytes; -1 is no limit.  swap is memory and swap together, as in cgroup v1."""

    limit: int = None
    reservation: int = None
    swap: int = None
    kernel: int = None
    kernelTCP: int = None
    swappiness: int = None
    disableOOMKiller: bool = None
    useHierarchy: bool = None
    checkBeforeUpdate: bool = None


class Pids(Record):
    limit: int = None


class ThrottleDevice(Record):
    """rate: bytes, or operations, a second."""

    major: int = 0
    minor: int = 0
    rate: int = 0


class WeightDevice(Record):
    major: int = 0
    minor: int = 0
    weight: int = None
    leafWeight: int = None


class BlockIO(Record):
    weight: int = None
    leafWeight: int = None
    weightDevice: list[WeightDevice] = ()
    throttleReadBpsDevice: list[ThrottleDevice] = ()
    throttleWriteBpsDevice: list[ThrottleDevice] = ()
    throttleReadIOPSDevice: list[ThrottleDevice] = ()
    throttleWriteIOPSDevice: list[ThrottleDevice] = ()


class HugepageLimit(Record):
    """pageSize such as ``2MB``; limit in bytes."""

    pageSize: str = None
    limit: int = 0


class Resources(Record):
    """What a container may use: the cgroup's part of the specification (config-linux.md, control groups)."""

    devices: list[DeviceCgroup] = ()
    memory: Memory = None
    cpu: CPU = None
    pids: Pids = None
    blockIO: BlockIO = None
    hugepageLimits: list[HugepageLimit] = ()
    unified: dict = None


class SyscallArg(Record):
    index: int = 0
    value: int = 0
    valueTwo: int = 0
    op: str = None


class Syscall(Record):
    names: list = ()
    action: str = None
    errnoRet: int = None
    args: list[SyscallArg] = ()


class Seccomp(Record):
    defaultAction: str = None
    defaultErrnoRet: int = None
    architectures: list = ()
    flags: list = ()
    listenerPath: str = None
    listenerMetadata: str = None
    syscalls: list[Syscall] = ()


class Linux(Record):
    namespaces: list[Namespace] = ()
    uidMappings: list[IDMapping] = ()
    gidMappings: list[IDMapping] = ()
    timeOffsets: dict = None
    devices: list[Device] = ()
    cgroupsPath: str = None
    resources: Resources = None
    rootfsPropagation: str = None
    seccomp: Seccomp = None
    sysctl: dict = None
    maskedPaths: list = ()
    readonlyPaths: list = ()
    mountLabel: str = None


class Hook(Record):
    path: str = None
    args: list = None
    env: list = None
    timeout: int = None


class Hooks(Record):
    prestart: list[Hook] = ()
    createRuntime: list[Hook] = ()
    createContainer: list[Hook] = ()
    startContainer: list[Hook] = ()
    poststart: list[Hook] = ()
    poststop: list[Hook] = ()


class Spec(Record):
    """A container: the whole ``config.json``."""

    ociVersion: str = "1.2.0"
    process: Process = None
    root: Root = None
    hostname: str = None
    domainname: str = None
    mounts: list[Mount] = ()
    linux: Linux = None
    hooks: Hooks = None
    annotations: dict = None

    def to_dict(self) -> dict:
        """The whole ``config.json``; its version is no field that may be left out."""
        return {"ociVersion": self.ociVersion, **super().to_dict()}

    @classmethod
    def load(cls, path: str) -> Spec:
        """Read a ``config.json``.  Raises :class:`OSError`, or :class:`ValueError` when it is none."""
        from . import jsonfile

        return cls.from_dict(jsonfile.read(path))
