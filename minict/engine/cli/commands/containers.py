"""Commands about containers that are there."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, table

from . import each


def with_each(arguments: list[str], function, missing_ok: bool = False, **options) -> int:
    """Do something with each container that *arguments* name, and say its name when it is done; the exit status."""
    from minict.engine.containers.store import Record

    def do(name: str) -> str:
        function(Record.find(name), **options)
        return name

    return each(arguments, do, missing_ok)


def patience(fields: dict) -> dict:
    """How to stop a container, as it was typed.  Raises :class:`minict.runtime.errors.ContainerError`."""
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
        raise ContainerError("start: -a and -i join one container to this terminal: name one")
    return operations.start(
        Record.find(arguments[0]),
        attach=True,
        interactive=bool(fields.get("interactive")),
        detach_keys=fields.get("detach_keys"),
    )


def stop(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    return with_each(arguments, operations.stop, **patience(fields))


def restart(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    return with_each(arguments, operations.restart, **patience(fields))


def kill(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    return with_each(arguments, operations.kill, signal=fields.get("signal", "KILL"))


def remove(fields: dict, arguments: list[str]) -> int:
    from minict.engine.lifecycle import operations

    force = fields.get("force", False)
    return with_each(arguments, operations.remove, missing_ok=force, force=force, volumes=fields.get("volumes", False))


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
        raise ContainerError("update: say what to change: 'minict update --help' lists what can be")
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
            f"the container {record.name} has a terminal, and the input is none: --no-stdin only looks on"
        )
    return attach.attach_or_leave(
        attach.connect(record),
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
        raise ContainerError("-t: the input is not a terminal: leave -t out to feed a command from a pipe")
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
    Option("-t --timeout --time", "seconds until it is killed (its --stop-timeout, or 10; -1: never)", "SECONDS"),
    Option("-s --signal", "what asks it to end (its --stop-signal)", "SIGNAL"),
]
KEYS = Option("--detach-keys", "the keys that leave it alone (ctrl-p,ctrl-q)", "KEYS")

COMMANDS = table(
    Command(
        "start",
        "[OPTION…] CONTAINER…",
        "Start containers that do not run.",
        "minict start web",
        start,
        [
            Option("-a --attach", "join its output to ours, and end with its exit status"),
            Option("-i --interactive", "join its input too"),
            KEYS,
        ],
        (1, None),
    ),
    Command(
        "stop",
        "[OPTION…] CONTAINER…",
        "Ask containers to end, and kill those that do not.",
        "minict stop -t 3 web",
        stop,
        STOP,
        (1, None),
    ),
    Command(
        "restart",
        "[OPTION…] CONTAINER…",
        "Stop containers, and start them again.",
        "minict restart web",
        restart,
        STOP,
        (1, None),
    ),
    Command(
        "kill",
        "[OPTION…] CONTAINER…",
        "Send a signal to containers.",
        "minict kill -s HUP web",
        kill,
        [Option("-s --signal", "its name or number (KILL)", "SIGNAL")],
        (1, None),
    ),
    Command(
        "rm",
        "[OPTION…] CONTAINER…",
        "Remove containers.",
        "minict rm -f web",
        remove,
        [
            Option("-f --force", "kill it first if it runs; that there is none is no error"),
            Option("-v --volumes", "and its anonymous volumes"),
        ],
        (1, None),
    ),
    Command(
        "pause", "CONTAINER…", "Freeze all processes of containers.", "minict pause web", pause, arguments=(1, None)
    ),
    Command("unpause", "CONTAINER…", "Let them go on.", "minict unpause web", unpause, arguments=(1, None)),
    Command(
        "wait",
        "CONTAINER…",
        "Wait until containers end, and print their exit statuses.",
        "minict wait web",
        wait,
        arguments=(1, None),
    ),
    Command(
        "rename", "CONTAINER NAME", "Give a container another name.", "minict rename web shop", rename, arguments=(2, 2)
    ),
    Command(
        "update",
        "[OPTION…] CONTAINER…",
        "Change the limits of containers.",
        "minict update --memory 64m web",
        update,
        [
            Option("-m --memory", "memory, such as 128m", "BYTES"),
            Option("--memory-swap", "memory and swap together; -1 for any amount of swap", "BYTES"),
            Option("--memory-reservation", "what it keeps when memory is short", "BYTES"),
            Option("--cpus", "processors, such as 0.5", "NUMBER"),
            Option("--cpu-shares", "its weight among others (1024)", "NUMBER"),
            Option("--cpu-quota", "processor time in each period", "MICROSECONDS"),
            Option("--cpu-period", "the length of the period (100000)", "MICROSECONDS"),
            Option("--blkio-weight", "its weight at disks: 10 to 1000", "NUMBER"),
            Option("--cpuset-cpus", "on which processors it may run, such as 0-2,5", "LIST"),
            Option("--cpuset-mems", "from which memory nodes it may take", "LIST"),
            Option("--pids-limit", "processes; 0 for any number", "NUMBER"),
            Option("--restart", "no, always, unless-stopped or on-failure[:N]", "POLICY"),
        ],
        (1, None),
    ),
    Command(
        "attach",
        "[OPTION…] CONTAINER",
        "Join our terminal to a container that runs.  ctrl-p ctrl-q leaves it alone.",
        "minict attach box",
        attach,
        [
            Option("--no-stdin", "only look on"),
            KEYS,
            Option("--sig-proxy", "hand our signals on to it (true; --sig-proxy=false)"),
        ],
        (1, 1),
    ),
    Command(
        "exec",
        "[OPTION…] CONTAINER COMMAND [ARGUMENT…]",
        "Execute a further command in a container that runs.",
        "minict exec -it web sh",
        execute,
        [
            Option("-i --interactive", "the command reads our standard input"),
            Option("-t --tty", "it gets a terminal, joined to ours"),
            Option("-d --detach", "in the background"),
            KEYS,
            Option("-e --env", "a variable: NAME=VALUE, or NAME for our own", "NAME=VALUE", many=True),
            Option("--env-file", "a file with a variable in each line", "FILE", many=True),
            Option("-w --workdir", "where it begins", "DIRECTORY"),
            Option("-u --user", "who it runs as: UID or NAME, and :GID", "USER[:GROUP]"),
            Option("--privileged", "with all capabilities"),
        ],
        (2, None),
        words_follow=True,
    ),
)
