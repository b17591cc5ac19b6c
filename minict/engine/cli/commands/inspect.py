"""Commands that show what there is, and what it does."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, table

FILTER = Option("-f --filter", "only those that match: status=exited, name=…, label=…", "KEY=VALUE", many=True)
FORMAT = Option("--format", "json, or a template such as '{{.Names}}'; with 'table' before it, columns", "TEMPLATE")
NO_TRUNC = Option("--no-trunc", "cut nothing off")


def number(text: str | None, option: str) -> int | None:
    """The value of an option that counts.  Raises :class:`ContainerError`."""
    from minict.runtime.errors import ContainerError

    if text is None or text.isdecimal():
        return None if text is None else int(text)
    raise ContainerError(f"{option}: {text!r} is no number")


def show(text: str) -> None:
    print(text, end="", flush=True)


# ---- containers ----------------------------------------------------------------------------------------------------


def ps(fields: dict, arguments: list[str]) -> None:
    from minict.engine.lifecycle import listing
    from minict.engine.util.table import show as shown

    newest = 1 if fields.get("latest") else number(fields.get("last"), "--last")
    found = listing.select(fields.get("filter", ()), ended_too=fields.get("all", False), newest=newest)
    columns = [*listing.COLUMNS, *(["Size"] if fields.get("size") else [])]
    rows = [listing.row(record, whole=fields.get("no_trunc", False)) for record in found]
    show(shown(rows, listing.HEADINGS, columns, fields.get("format"), quiet="ID" if fields.get("quiet") else None))


def logs(fields: dict, arguments: list[str]) -> None:
    import time

    from minict.engine.containers.store import Record
    from minict.engine.lifecycle.jsonlog import read
    from minict.engine.lifecycle.listing import ACTIVE
    from minict.engine.util import timestamps
    from minict.runtime.errors import ContainerError

    record = Record.find(arguments[0])
    if record.settings.get("log_driver") == "none":
        raise ContainerError(
            f"the container {record.name} was made with --log-driver none: nobody has kept what it writes"
        )
    tail, now = fields.get("tail", "all"), time.time_ns()
    since, until = (
        timestamps.moment_of(fields[key], f"--{key}", now) if key in fields else None for key in ("since", "until")
    )
    fresh = {"stdout": True, "stderr": True}  # whether the stream is at the beginning of a line
    for moment, stream, text in read(
        record.data,
        follow=fields.get("follow", False),
        since=since,
        until=until,
        tail=None if tail in ("all", "-1") else number(tail, "--tail"),
        ended=lambda: record.status not in ACTIVE,
    ):
        before = f"{moment} ".encode() if fields.get("timestamps") and fresh[stream] else b""
        fresh[stream] = text.endswith(b"\n")
        write(1 if stream == "stdout" else 2, before + text)


def write(fd: int, data: bytes) -> None:
    """Write all of it: a pipe may take only a part at a time."""
    import os

    while data:
        data = data[os.write(fd, data) :]


def inspect(fields: dict, arguments: list[str]) -> None:
    from minict.engine.cli import inspect as inspection

    kinds = [fields["type"]] if "type" in fields else None
    inspection.show(arguments, kinds, format=fields.get("format"), size=fields.get("size", False))


def inspect_container(fields: dict, arguments: list[str]) -> None:
    inspect({**fields, "type": "container"}, arguments)


def inspect_image(fields: dict, arguments: list[str]) -> None:
    inspect({**fields, "type": "image"}, arguments)


def stats(fields: dict, arguments: list[str]) -> None:
    from minict.engine.containers.store import Record
    from minict.engine.lifecycle import listing
    from minict.engine.lifecycle import stats as usage
    from minict.engine.util.table import show as shown

    once = fields.get("no_stream", False)
    whole_screen = not once and not fields.get("format") and is_terminal()

    def find() -> list[Record]:
        if arguments:
            return [Record.find(name) for name in arguments]
        return listing.select(ended_too=fields.get("all", False))

    def draw(rows: list[dict]) -> None:
        text = shown(rows, usage.HEADINGS, usage.COLUMNS, fields.get("format"))
        # to the top left corner, each line to its end, and what is below: no flicker, as a cleared screen would
        show("\x1b[H" + text.replace("\n", "\x1b[K\n") + "\x1b[J" if whole_screen else text)

    if whole_screen:
        show("\x1b[2J")
    try:
        usage.follow(find, draw, once=once, whole=fields.get("no_trunc", False))
    except KeyboardInterrupt:
        pass


def is_terminal() -> bool:
    import os

    return os.isatty(1)


def top(fields: dict, arguments: list[str]) -> None:
    from minict.engine.containers.store import Record
    from minict.engine.lifecycle.stats import processes

    name, *options = arguments
    show(processes(Record.find(name), options))


def port(fields: dict, arguments: list[str]) -> None:
    from minict.engine.containers.store import Record
    from minict.engine.lifecycle.listing import address
    from minict.engine.networks import state
    from minict.runtime.errors import ContainerError

    record = Record.find(arguments[0])
    ports = state.describe(record.id)["Ports"]
    wanted = [word if "/" in word else f"{word}/tcp" for word in arguments[1:]]
    for inside in wanted or sorted(ports, key=lambda port: (int(port.partition("/")[0]), port)):
        for each in ports.get(inside) or []:
            show(("" if wanted else f"{inside} -> ") + f"{address(each['HostIp'])}:{each['HostPort']}\n")
        if wanted and not ports.get(inside):
            raise ContainerError(
                f"the container {record.name} has no published port {inside}: 'minict port {record.name}' "
                "lists those that it has"
            )


COMMANDS = table(
    Command(
        "ps",
        "[OPTION…]",
        "List the containers that run; with -a those that have ended, too.",
        "minict ps -a",
        ps,
        [
            Option("-a --all", "those that have ended, too"),
            Option("-q --quiet", "only the ids"),
            FILTER,
            FORMAT,
            NO_TRUNC,
            Option("-n --last", "the newest ones, whether they run or not", "NUMBER"),
            Option("-l --latest", "the newest one"),
            Option("-s --size", "how much of the disk they take"),
        ],
    ),
    Command(
        "logs",
        "[OPTION…] CONTAINER",
        "Show what a container has written.",
        "minict logs -f --tail 10 web",
        logs,
        [
            Option("-f --follow", "go on with what it writes, until it ends"),
            Option("-n --tail", "only so many of the last lines, or all", "NUMBER"),
            Option("--since", "from a time on: 2026-11-25T15:26:00Z, or 10m ago", "TIME"),
            Option("--until", "up to a time", "TIME"),
            Option("-t --timestamps", "with the time of each line"),
        ],
        (1, 1),
    ),
    Command(
        "inspect",
        "[OPTION…] NAME|ID…",
        "Show all that is known of containers, images, networks or volumes.",
        "minict inspect --format '{{.State.Pid}}' web",
        inspect,
        [
            Option("-f --format", "a template, or json", "TEMPLATE"),
            Option("-s --size", "how much of the disk containers take"),
            Option("--type", "only these", "container|image|network|volume"),
        ],
        (1, None),
    ),
    Command(
        "container inspect",
        "[OPTION…] CONTAINER…",
        "Show all that is known of containers.",
        "minict container inspect web",
        inspect_container,
        [
            Option("-f --format", "a template, or json", "TEMPLATE"),
            Option("-s --size", "how much of the disk they take"),
        ],
        (1, None),
    ),
    Command(
        "image inspect",
        "[OPTION…] IMAGE…",
        "Show all that is known of images.",
        "minict image inspect tiny",
        inspect_image,
        [Option("-f --format", "a template, or json", "TEMPLATE")],
        (1, None),
    ),
    Command(
        "stats",
        "[OPTION…] [CONTAINER…]",
        "Show what containers use, again and again.  Ctrl-C ends it.",
        "minict stats --no-stream",
        stats,
        [Option("-a --all", "those that do not run, too"), Option("--no-stream", "only once"), FORMAT, NO_TRUNC],
        (0, None),
    ),
    Command(
        "top",
        "CONTAINER [PS OPTION…]",
        "Show the processes of a container, as the host's ps sees them.",
        "minict top web -o pid,user,args",
        top,
        arguments=(1, None),
        words_follow=True,
    ),
    Command(
        "port",
        "CONTAINER [PORT[/udp]]",
        "Show the published ports of a container.",
        "minict port web 80",
        port,
        arguments=(1, 2),
    ),
)
