"""The OCI runtime specification: the description of a container, as data.

The classes have the names and the fields of the standard's ``config.json``, so the standard is
also the manual of this module: https://github.com/opencontainers/runtime-spec, config.md and
config-linux.md (version 1.3). :meth:`Spec.load` reads such a file, :meth:`Spec.to_dict` returns its content.

They are plain classes: importing dataclasses takes 18 ms, longer than the kernel needs to start a container.
"""

from __future__ import annotations

from .errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

# Default values for the fields below. An empty list that cannot be changed in place; and None for fields that
# a container needs, which :func:`.container.check` verifies.
EMPTY: Any = ()
REQUIRED: Any = None


class InvalidSpec(ContainerError, ValueError):
    """A value of a specification has the wrong type."""

    def __init__(self, name: str, type: str, value: object) -> None:
        super().__init__(f"{name} has a value of the wrong type: it must be a JSON {type}, not {value!r}")


class Fields:
    """An object with known fields: the annotations of its class, with the class attributes as default values.

    Raises :class:`TypeError` for a field that the class does not have. (What dataclasses would do.)
    """

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            if name not in type(self).__annotations__:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
            setattr(self, name, value)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"


class SpecObject(Fields):
    """A JSON object of the standard. Source: OCI runtime-spec, config.md.

    The text of a field's annotation (``list[Mount]``) also says how a nested object is read.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpecObject) and type(self) is type(other) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read a JSON object. Fields that the standard does not know are ignored, as it demands.

        Raises :class:`InvalidSpec` for a value of another type than the standard's.
        Source: config.md, "Extensibility".
        """
        if not isinstance(values, dict):
            raise InvalidSpec(cls.__name__, "object", values)
        result = cls()
        for name, kind in cls.__annotations__.items():
            value = values.get(name.rstrip("_"))  # class_ is the field "class", a word of Python
            if value is not None:
                setattr(result, name, _read(kind.removesuffix(" | None"), value, name.rstrip("_")))
        return result

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, with only the fields that were given. Source: config.md."""
        return {name.rstrip("_"): _plain(value) for name, value in vars(self).items() if value is not None}


def _read(kind: str, value: object, name: str) -> object:
    """*value* as the annotation *kind* says: ``Mount``, ``list[Mount]``, ``dict[str, NetDevice]``, or unchanged."""
    if kind.startswith("list["):
        if not isinstance(value, list):
            raise InvalidSpec(name, "list", value)
        return [_read(kind[5:-1], item, name) for item in value]
    if kind.startswith("dict[str, "):
        if not isinstance(value, dict):
            raise InvalidSpec(name, "object", value)
        return {key: _read(kind[10:-1], item, f"{name}.{key}") for key, item in value.items()}
    if kind in _JSON:
        if not isinstance(value, _JSON[kind][0]) or (kind == "int" and isinstance(value, bool)):
            raise InvalidSpec(name, _JSON[kind][1], value)
        return value
    cls = globals().get(kind)
    return cls.from_dict(value) if cls else value


_JSON = {"str": (str, "string"), "int": (int, "integer"), "bool": (bool, "boolean")}


def _plain(value: object) -> object:
    if isinstance(value, SpecObject):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


class Root(SpecObject):
    path: str = "rootfs"
    readonly: bool = False


class IDMapping(SpecObject):
    containerID: int = 0
    hostID: int = 0
    size: int = 0


class Mount(SpecObject):
    destination: str = REQUIRED
    type: str | None = None
    source: str | None = None
    options: list[str] = EMPTY
    uidMappings: list[IDMapping] = EMPTY
    gidMappings: list[IDMapping] = EMPTY


class User(SpecObject):
    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additionalGids: list[int] = EMPTY
    username: str | None = None


class Box(SpecObject):
    """The size of a terminal, in characters (process.consoleSize)."""

    height: int = 0
    width: int = 0


class Capabilities(SpecObject):
    """The five sets of capabilities(7), each a list of names such as ``CAP_CHOWN``."""

    effective: list[str] = EMPTY
    bounding: list[str] = EMPTY
    inheritable: list[str] = EMPTY
    permitted: list[str] = EMPTY
    ambient: list[str] = EMPTY


class Rlimit(SpecObject):
    type: str = REQUIRED
    soft: int = 0
    hard: int = 0


class Scheduler(SpecObject):
    """The scheduling policy of sched(7): runtime, deadline and period in nanoseconds."""

    policy: str = REQUIRED
    nice: int | None = None
    priority: int | None = None
    flags: list[str] = EMPTY
    runtime: int | None = None
    deadline: int | None = None
    period: int | None = None


class IOPriority(SpecObject):
    """The priority of ioprio_set(2): a class and a number from 0, the highest, to 7."""

    class_: str = REQUIRED
    priority: int = 0


class ExecCPUAffinity(SpecObject):
    """Processors such as ``0-3,7`` for a process that joins: until it runs in the cgroup, and from its execve on."""

    initial: str | None = None
    final: str | None = None


class Process(SpecObject):
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
    scheduler: Scheduler | None = None
    ioPriority: IOPriority | None = None
    execCPUAffinity: ExecCPUAffinity | None = None
    user: User = User()


class Namespace(SpecObject):
    """A namespace to create, or, with a path, to join. Source: config-linux.md, "Namespaces"."""

    type: str = REQUIRED
    path: str | None = None


class Device(SpecObject):
    path: str = REQUIRED
    type: str = REQUIRED
    major: int = 0
    minor: int = 0
    fileMode: int | None = None
    uid: int | None = None
    gid: int | None = None


class DeviceCgroup(SpecObject):
    """One rule about access to devices; the last matching rule decides."""

    allow: bool = False
    type: str | None = None
    major: int | None = None
    minor: int | None = None
    access: str | None = None


class CPU(SpecObject):
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


class Memory(SpecObject):
    """All in bytes; -1 means unlimited. swap is the sum of memory and swap, as in cgroup v1."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernelTCP: int | None = None
    swappiness: int | None = None
    disableOOMKiller: bool | None = None
    useHierarchy: bool | None = None
    checkBeforeUpdate: bool | None = None


class Pids(SpecObject):
    limit: int | None = None


class ThrottleDevice(SpecObject):
    """rate: bytes, or operations, per second."""

    major: int = 0
    minor: int = 0
    rate: int = 0


class WeightDevice(SpecObject):
    major: int = 0
    minor: int = 0
    weight: int | None = None
    leafWeight: int | None = None


class BlockIO(SpecObject):
    weight: int | None = None
    leafWeight: int | None = None
    weightDevice: list[WeightDevice] = EMPTY
    throttleReadBpsDevice: list[ThrottleDevice] = EMPTY
    throttleWriteBpsDevice: list[ThrottleDevice] = EMPTY
    throttleReadIOPSDevice: list[ThrottleDevice] = EMPTY
    throttleWriteIOPSDevice: list[ThrottleDevice] = EMPTY


class HugepageLimit(SpecObject):
    """pageSize such as ``2MB``; limit in bytes."""

    pageSize: str = REQUIRED
    limit: int = 0


class InterfacePriority(SpecObject):
    name: str = REQUIRED
    priority: int = 0


class Network(SpecObject):
    """classID marks the packets for tc(8); priorities are those of the packets on each interface. cgroup v1 only."""

    classID: int | None = None
    priorities: list[InterfacePriority] = EMPTY


class Rdma(SpecObject):
    hcaHandles: int | None = None
    hcaObjects: int | None = None


class Resources(SpecObject):
    """What a container may use (config-linux.md, "Control groups")."""

    devices: list[DeviceCgroup] = EMPTY
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    blockIO: BlockIO | None = None
    hugepageLimits: list[HugepageLimit] = EMPTY
    network: Network | None = None
    rdma: dict[str, Rdma] | None = None
    unified: dict[str, str] | None = None


class SyscallArg(SpecObject):
    index: int = 0
    value: int = 0
    valueTwo: int = 0
    op: str = REQUIRED


class Syscall(SpecObject):
    names: list[str] = EMPTY
    action: str = REQUIRED
    errnoRet: int | None = None
    args: list[SyscallArg] = EMPTY


class Seccomp(SpecObject):
    defaultAction: str = REQUIRED
    defaultErrnoRet: int | None = None
    architectures: list[str] = EMPTY
    flags: list[str] = EMPTY
    listenerPath: str | None = None
    listenerMetadata: str | None = None
    syscalls: list[Syscall] = EMPTY

    def asks_agent(self) -> bool:
        """Whether a rule asks an agent, who needs listenerPath then. Source: config-linux.md, "Seccomp"."""
        return any(rule.action == "SCMP_ACT_NOTIFY" for rule in self.syscalls)


class NetDevice(SpecObject):
    """A network interface of the host to move into the container; name: what it is called there."""

    name: str | None = None


class IntelRdt(SpecObject):
    """Shares of the processor's cache and memory bandwidth: the kernel's Documentation/arch/x86/resctrl.rst."""

    closID: str | None = None
    schemata: list[str] = EMPTY
    l3CacheSchema: str | None = None
    memBwSchema: str | None = None
    enableMonitoring: bool = False
    enableCMT: bool = False
    enableMBM: bool = False


class MemoryPolicy(SpecObject):
    """The memory nodes, such as ``0-1``, of set_mempolicy(2)."""

    mode: str = REQUIRED
    nodes: str | None = None
    flags: list[str] = EMPTY


class Personality(SpecObject):
    """The execution domain of personality(2): LINUX, or LINUX32, in which uname(2) names a 32-bit machine."""

    domain: str = REQUIRED
    flags: list[str] = EMPTY


class Linux(SpecObject):
    namespaces: list[Namespace] = EMPTY
    uidMappings: list[IDMapping] = EMPTY
    gidMappings: list[IDMapping] = EMPTY
    timeOffsets: dict[str, dict[str, int]] | None = None
    devices: list[Device] = EMPTY
    netDevices: dict[str, NetDevice] | None = None
    cgroupsPath: str | None = None
    resources: Resources | None = None
    rootfsPropagation: str | None = None
    seccomp: Seccomp | None = None
    sysctl: dict[str, str] | None = None
    maskedPaths: list[str] = EMPTY
    readonlyPaths: list[str] = EMPTY
    mountLabel: str | None = None
    intelRdt: IntelRdt | None = None
    memoryPolicy: MemoryPolicy | None = None
    personality: Personality | None = None


class Hook(SpecObject):
    path: str | None = None
    args: list[str] | None = None
    env: list[str] | None = None
    timeout: int | None = None


class Hooks(SpecObject):
    prestart: list[Hook] = EMPTY
    createRuntime: list[Hook] = EMPTY
    createContainer: list[Hook] = EMPTY
    startContainer: list[Hook] = EMPTY
    poststart: list[Hook] = EMPTY
    poststop: list[Hook] = EMPTY

    def has(self, *kinds: str) -> bool:
        """Whether there are hooks of one of these *kinds*. Source: config.md, "POSIX-platform Hooks"."""
        return any(getattr(self, kind) for kind in kinds)


class Spec(SpecObject):
    """A container: the whole ``config.json``. Source: config.md."""

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
        """The whole ``config.json``; the field ociVersion is mandatory. Source: config.md, "Specification version"."""
        return {"ociVersion": self.ociVersion, **super().to_dict()}

    @classmethod
    def load(cls, path: str) -> Self:
        """Read a ``config.json``. Raises :class:`OSError`, or :class:`ValueError` for an invalid file.

        Source: config.md.
        """
        from . import jsonfile

        return cls.from_dict(jsonfile.read(path))
