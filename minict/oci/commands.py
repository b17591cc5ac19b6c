"""The commands of ``minict-oci`` and their options: runc's, so that every engine can use it without knowing it."""

from __future__ import annotations

from .options import Command, Option

GLOBAL = [
    Option("root", "DIR", "where the state of containers is kept"),
    Option("log", "FILE", "append errors and warnings to FILE, too"),
    Option("log-format", "FORMAT", "the format of the log: text or json"),
    Option("debug", "", "log more, and the place in the source where an internal error happened"),
    Option("systemd-cgroup", "", "let systemd create the control group: cgroupsPath is SLICE:PREFIX:NAME"),
    Option("rootless", "auto|true|false", "ignore errors of control groups that an ordinary user may not change"),
    Option("criu", "FILE", "not used"),
    Option("cgroup-manager", "NAME", "as crun has it: cgroupfs, systemd or disabled"),
    Option("version v", "", "print the version"),
    Option("help h", "", "print this list"),
]

_BUNDLE = Option("bundle b", "DIR", "the directory with config.json (default: the working directory)")
_PID_FILE = Option("pid-file", "FILE", "write the number of the new process to FILE")
_PRESERVE = Option("preserve-fds", "N", "leave N descriptors from 3 on open for the container")
_CONSOLE = Option("console-socket", "SOCKET", "send the terminal to this Unix socket")
_PIDFD = Option("pidfd-socket", "SOCKET", "send a pidfd of the new process to this Unix socket")
_DETACH = Option("detach d", "", "do not wait for the end of the process")
_SUBREAPER = Option("no-subreaper", "", "do not become the parent of the container's orphans")
_CREATE = [
    _BUNDLE,
    Option("config f", "FILE", "the specification, if it is not the bundle's config.json (crun's option)"),
    _PID_FILE,
    _CONSOLE,
    _PIDFD,
    _PRESERVE,
    Option("no-pivot", "", "refused: chroot instead of pivot_root would let root out of the container"),
    Option("no-new-keyring", "", "keep the caller's session keyring"),
]

_LIMITS = [
    ("blkio-weight", "N", "share of the disks, 10 to 1000"),
    ("cpu-period", "N", "microseconds in which the quota counts"),
    ("cpu-quota", "N", "microseconds of processor time in each period"),
    ("cpu-burst", "N", "microseconds that may be saved up for later periods"),
    ("cpu-rt-period", "N", "the same for processes with a real-time policy"),
    ("cpu-rt-runtime", "N", "the same for processes with a real-time policy"),
    ("cpu-share", "N", "share of the processors, 2 to 262144"),
    ("cpu-idle", "N", "1: run only when nobody else wants to"),
    ("cpuset-cpus", "LIST", "processors, such as 0-3,5"),
    ("cpuset-mems", "LIST", "memory nodes, such as 0"),
    ("kernel-memory", "BYTES", "ignored, as the specification allows"),
    ("kernel-memory-tcp", "BYTES", "memory for TCP buffers"),
    ("memory m", "BYTES", "memory, such as 64m; -1 for no limit"),
    ("memory-reservation", "BYTES", "memory that is left when it becomes scarce"),
    ("memory-swap", "BYTES", "memory and swap together; -1 for no limit"),
    ("pids-limit", "N", "processes; -1 for no limit"),
    ("l3-cache-schema", "SCHEMA", "the share of the cache (Intel RDT)"),
    ("mem-bw-schema", "SCHEMA", "the share of the memory bandwidth (Intel RDT)"),
]

COMMANDS = {
    "create": Command(
        "create:create", "CONTAINER", "create a container: all but its command, which waits for start", _CREATE
    ),
    "start": Command("lifecycle:start", "CONTAINER", "execute the command of a created container", []),
    "run": Command(
        "create:run",
        "CONTAINER",
        "create, start, wait and delete in one step",
        [*_CREATE, _DETACH, Option("keep", "", "do not delete the container after its end"), _SUBREAPER],
    ),
    "state": Command("inspect:state", "CONTAINER", "print the state of a container as JSON", []),
    "kill": Command(
        "lifecycle:kill",
        "CONTAINER [SIGNAL]",
        "send a signal to a container's first process (default: SIGTERM)",
        [Option("all a", "", "send it to all of its processes")],
    ),
    "delete": Command(
        "lifecycle:delete",
        "CONTAINER",
        "release what a stopped container has taken from the host",
        [Option("force f", "", "kill it first; do not complain if it does not exist")],
    ),
    "exec": Command(
        "process:execute",
        "CONTAINER [COMMAND] [ARG...]",
        "execute a further process in a container",
        [
            _CONSOLE,
            _PIDFD,
            Option("cwd", "DIR", "its working directory"),
            Option("env e", "NAME=VALUE", "set an environment variable", many=True),
            Option("tty t", "", "give it a terminal"),
            Option("interactive i", "", "ignored: standard input is always passed on"),
            Option("user u", "UID[:GID]", "its user and group"),
            Option("additional-gids g", "GID", "a further group", many=True),
            Option("process p", "FILE", "the process as JSON, instead of the command and these options"),
            _DETACH,
            _PID_FILE,
            Option("process-label", "LABEL", "its SELinux label"),
            Option("apparmor", "PROFILE", "its AppArmor profile"),
            Option("no-new-privs", "", "no program that it executes can gain privileges"),
            Option("cap c", "CAPABILITY", "give it a capability", many=True),
            _SUBREAPER,
            _PRESERVE,
            Option("cgroup", "PATH", "a group below the container's", many=True),
            Option("ignore-paused", "", "do not refuse a paused container: the process runs after resume"),
        ],
        stops=True,
    ),
    "pause": Command("lifecycle:pause", "CONTAINER", "stop all processes of a container without their notice", []),
    "resume": Command("lifecycle:resume", "CONTAINER", "let them go on", []),
    "update": Command(
        "update:update",
        "CONTAINER",
        "change the limits of a container",
        [
            Option(
                "resources r", "FILE", "the limits as JSON, - for standard input; the other options are then ignored"
            ),
            *(Option(*words) for words in _LIMITS),
            Option("memory-check-before-update", "", "refuse a limit of the memory that is below the current usage"),
        ],
    ),
    "list": Command(
        "inspect:list_all",
        "",
        "list all containers",
        [
            Option("format f", "FORMAT", "table or json"),
            Option("quiet q", "", "print only the ids"),
        ],
    ),
    "ps": Command(
        "inspect:ps",
        "CONTAINER [OPTION...]",
        "list the processes of a container, by ps(1) with these options (default: -ef)",
        [Option("format f", "FORMAT", "table or json")],
        stops=True,
    ),
    "events": Command(
        "events:events",
        "CONTAINER",
        "print what a container uses, and when its memory runs out, as lines of JSON",
        [
            Option("interval", "TIME", "the time between two lines, such as 5s"),
            Option("stats", "", "print one and end"),
        ],
    ),
    "spec": Command(
        "bundle:spec",
        "",
        "write an example of a specification to config.json",
        [_BUNDLE, Option("rootless", "", "for a user without privileges")],
    ),
    "features": Command("features:features", "", "print what this runtime can do as JSON", []),
    "checkpoint": Command(
        "lifecycle:refuse",
        "[CONTAINER] [OPTION...]",
        "refused: minict does not freeze containers to disk",
        [],
        stops=True,
    ),
    "restore": Command("lifecycle:refuse", "[CONTAINER] [OPTION...]", "refused, as checkpoint", [], stops=True),
}
