"""Commands for existing containers: start, stop, exec and others."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, by_name

from .each import AT_ONCE, each


def with_each(arguments: list[str], function, missing_ok: bool = False, at_once: int = 1, **options) -> int:
    """Call *function* with each container that *arguments* name and print its name; return the exit status.

    *at_once*: see :func:`minict.engine.cli.commands.each`.
    """
    from minict.engine.containers.store import Record

    def do(name: str) -> str:
        function(Record.find(name), **options)
        return name

    return each(arguments, do, missing_ok, at_once)


def patience(fields: dict) -> dict:
    """The options of ``stop`` and ``restart``. Raises :class:`minict.runtime.errors.ContainerError`."""
    from minict.engine.util import units

    text = fields.get("time")
    return {"timeout": None if text is None else float(units.whole(text, "--time")), "signal": fields.get("signal")}


def start(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    attach = fields.get("attach") or fields.get("interactive")
    if not attach:
        return with_each(arguments, operations.start)
    from minict.engine.containers.store import Record
    from minict.runtime.errors import ContainerError

    if len(arguments) > 1:
        raise ContainerError("start: -a and -i attach to one container only: name one")
    return operations.start(
        Record.find(arguments[0]),
        attach=True,
        interactive=bool(fields.get("interactive")),
        detach_keys=fields.get("detach_keys"),
    )


def stop(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    return with_each(arguments, operations.stop, at_once=AT_ONCE, **patience(fields))


def restart(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    return with_each(arguments, operations.restart, **patience(fields))


def kill(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    return with_each(arguments, operations.kill, at_once=AT_ONCE, signal=fields.get("signal", "KILL"))


def remove(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    force = fields.get("force", False)
    return with_each(
        arguments,
        operations.remove,
        missing_ok=force,
        at_once=AT_ONCE,
        force=force,
        volumes=fields.get("volumes", False),
    )


def pause(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    return with_each(arguments, operations.pause)


def unpause(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    return with_each(arguments, operations.unpause)


def wait(fields: dict, arguments: list[str]) -> int:
    from minict.engine.containers.store import Record
    from minict.engine.lifecycle import operations

    return each(arguments, lambda name: operations.wait(Record.find(name)))


def rename(fields: dict, arguments: list[str]) -> None:
    from minict.engine.containers.store import Record
    from minict.engine.lifecycle import operations

    operations.rename(Record.find(arguments[0]), arguments[1].removeprefix("/"))


def update(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations
    from minict.runtime.errors import ContainerError

    if not fields:
        raise ContainerError("update: no option given: 'minict update --help' lists them")
    return with_each(arguments, operations.update, **fields)


def attach(fields: dict, arguments: list[str]) -> int:
    import os

    from minict.engine.containers.store import Record
    from minict.engine.lifecycle import attach
    from minict.runtime.errors import ContainerError

    record = Record.find(arguments[0])
    if (
        record.settings.get("tty")
        and record.settings.get("interactive")
        and not fields.get("no_stdin")
        and not os.isatty(0)
    ):
        raise ContainerError(
            f"cannot attach standard input, which is not a terminal, to {record.name}, which has one: use --no-stdin"
        )
    return attach.attach_or_leave(
        attach.open_channel(record),
        tty=bool(record.settings.get("tty")),
        stdin=bool(record.settings.get("interactive")) and not fields.get("no_stdin"),
        signals=fields.get("sig_proxy", True),
        detach_keys=fields.get("detach_keys"),
    )


def execute(fields: dict, arguments: list[str]) -> int:
    import os

    from minict.engine.containers.store import Record
    from minict.engine.lifecycle import exec
    from minict.runtime.errors import ContainerError

    record = Record.find(arguments[0])
    interactive, tty, detach = (bool(fields.get(name)) for name in ("interactive", "tty", "detach"))
    if tty and interactive and not detach and not os.isatty(0):
        raise ContainerError("-t: standard input is not a terminal: leave -t out to read from a pipe")
    wanted = exec.process(
        record,
        arguments[1:],
        env=fields.get("env", ()),
        env_file=fields.get("env_file", ()),
        user=fields.get("user"),
        workdir=fields.get("workdir"),
        tty=tty and not detach,
        privileged=bool(fields.get("privileged")),
    )
    if not detach:
        return exec.attached(record, wanted, interactive, fields.get("detach_keys"))
    exec.in_background(record, wanted)
    return 0


STOP = [
    Option("-t --timeout --time", "Seconds to wait before killing the container (10; -1: forever)", "SECONDS"),
    Option("-s --signal", "Signal to send", "SIGNAL"),
]
KEYS = Option("--detach-keys", "Override the key sequence for detaching (ctrl-p,ctrl-q)", "KEYS")

COMMANDS = by_name(
    Command(
        "start",
        "[OPTION…] CONTAINER…",
        "Start stopped containers.",
        "minict start web",
        start,
        [
            Option("-a --attach", "Attach STDOUT and STDERR, and forward signals"),
            Option("-i --interactive", "Attach STDIN"),
            KEYS,
        ],
        (1, None),
    ),
    Command(
        "stop",
        "[OPTION…] CONTAINER…",
        "Stop running containers.",
        "minict stop -t 3 web",
        stop,
        STOP,
        (1, None),
    ),
    Command(
        "restart",
        "[OPTION…] CONTAINER…",
        "Restart containers.",
        "minict restart web",
        restart,
        STOP,
        (1, None),
    ),
    Command(
        "kill",
        "[OPTION…] CONTAINER…",
        "Kill running containers, or send them a signal.",
        "minict kill -s HUP web",
        kill,
        [Option("-s --signal", "Signal to send", "SIGNAL")],
        (1, None),
    ),
    Command(
        "rm",
        "[OPTION…] CONTAINER…",
        "Remove containers.",
        "minict rm -f web",
        remove,
        [
            Option("-f --force", "Kill a running container first; ignore a missing one"),
            Option("-v --volumes", "Remove its anonymous volumes too"),
        ],
        (1, None),
    ),
    Command(
        "pause", "CONTAINER…", "Pause all processes within containers.", "minict pause web", pause, arguments=(1, None)
    ),
    Command(
        "unpause",
        "CONTAINER…",
        "Unpause all processes within containers.",
        "minict unpause web",
        unpause,
        arguments=(1, None),
    ),
    Command(
        "wait",
        "CONTAINER…",
        "Block until containers stop, then print their exit codes.",
        "minict wait web",
        wait,
        arguments=(1, None),
    ),
    Command("rename", "CONTAINER NAME", "Rename a container.", "minict rename web shop", rename, arguments=(2, 2)),
    Command(
        "update",
        "[OPTION…] CONTAINER…",
        "Update the limits of containers.",
        "minict update --memory 64m web",
        update,
        [
            Option("-m --memory", "Memory limit, such as 128m", "BYTES"),
            Option("--memory-swap", "Swap limit equal to memory plus swap: -1 for unlimited swap", "BYTES"),
            Option("--memory-reservation", "Memory soft limit", "BYTES"),
            Option("--cpus", "Number of CPUs, such as 0.5", "NUMBER"),
            Option("--cpu-shares", "CPU shares (relative weight, 1024)", "NUMBER"),
            Option("--cpu-quota", "Limit CPU CFS quota", "MICROSECONDS"),
            Option("--cpu-period", "Limit CPU CFS period (100000)", "MICROSECONDS"),
            Option("--blkio-weight", "Block I/O (relative weight): 10 to 1000", "NUMBER"),
            Option("--cpuset-cpus", "CPUs in which to allow execution, such as 0-1,3", "LIST"),
            Option("--cpuset-mems", "Memory nodes in which to allow execution", "LIST"),
            Option("--pids-limit", "Limit processes and threads; -1 for unlimited", "NUMBER"),
            Option("--restart", "Restart policy: no, always, unless-stopped, on-failure[:N]", "POLICY"),
        ],
        (1, None),
    ),
    Command(
        "attach",
        "[OPTION…] CONTAINER",
        "Attach to a running container.  ctrl-p ctrl-q detaches.",
        "minict attach box",
        attach,
        [
            Option("--no-stdin", "Do not attach STDIN"),
            KEYS,
            Option("--sig-proxy", "Proxy received signals to the process (true)"),
        ],
        (1, 1),
    ),
    Command(
        "exec",
        "[OPTION…] CONTAINER COMMAND [ARGUMENT…]",
        "Execute a command in a running container.",
        "minict exec -it web sh",
        execute,
        [
            Option("-i --interactive", "Attach STDIN"),
            Option("-t --tty", "Allocate a pseudo-TTY"),
            Option("-d --detach", "Run the command in the background"),
            KEYS,
            Option(
                "-e --env", "Set an environment variable; NAME alone takes its current value", "NAME=VALUE", many=True
            ),
            Option("--env-file", "Read in a file of environment variables", "FILE", many=True),
            Option("-w --workdir", "Working directory of the command", "DIRECTORY"),
            Option("-u --user", "User name or UID, with :GROUP", "USER[:GROUP]"),
            Option("--privileged", "Give extended privileges to the command"),
        ],
        (2, None),
        words_follow=True,
    ),
)
