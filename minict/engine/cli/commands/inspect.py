"""Commands that show containers: ps, logs, inspect, stats, top, port."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, by_name

FILTER = Option("-f --filter", "Filter: status=exited, name=…, label=…", "KEY=VALUE", many=True)
FORMAT = Option(
    "--format", "Format output: json, a template such as '{{.Names}}', or 'table' and a template", "TEMPLATE"
)
NO_TRUNC = Option("--no-trunc", "Don't truncate output")


def number(text: str | None, option: str) -> int | None:
    """The value of an option as a number. Raises :class:`ContainerError`."""
    from minict.runtime.errors import ContainerError

    if text is None or text.isdecimal():
        return None if text is None else int(text)
    raise ContainerError(f"invalid {option} {text!r}: use a number")


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

    from minict.engine.containers.store import ACTIVE, Record
    from minict.engine.lifecycle import inspect as inspection
    from minict.engine.lifecycle.logreader import read
    from minict.engine.util import timestamps
    from minict.runtime.errors import ContainerError
    from minict.runtime.files import write_all

    record = Record.find(arguments[0])
    if record.settings.get("log_driver") == "none":
        raise ContainerError(f"the container {record.name} has no log: it was created with --log-driver none")
    tail, now = fields.get("tail", "all"), time.time_ns()
    since, until = (
        timestamps.moment_of(fields[key], f"--{key}", now) if key in fields else None for key in ("since", "until")
    )
    details = f"{inspection.log_details(record)} ".encode() if fields.get("details") else b""
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
        before += details if fresh[stream] else b""
        fresh[stream] = text.endswith(b"\n")
        write_all(1 if stream == "stdout" else 2, before + text)


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
        # redraw from the top left corner and clear what is left of each line and below: clearing the screen would
        # flicker
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
    ports = state.network_settings(record.id)["Ports"]
    wanted = [word if "/" in word else f"{word}/tcp" for word in arguments[1:]]
    for inside in wanted or sorted(ports, key=lambda port: (int(port.partition("/")[0]), port)):
        for each in ports.get(inside) or []:
            show(("" if wanted else f"{inside} -> ") + f"{address(each['HostIp'])}:{each['HostPort']}\n")
        if wanted and not ports.get(inside):
            raise ContainerError(
                f"no public port {inside} published for {record.name}: 'minict port {record.name}' "
                "lists its port mappings"
            )


def events(fields: dict, arguments: list[str]) -> None:
    import sys
    import time

    from minict.engine.system import events
    from minict.engine.util import timestamps

    now = time.time_ns()
    since, until = (
        timestamps.moment_of(fields[key], f"--{key}", now) if key in fields else None for key in ("since", "until")
    )
    show = events.shower(fields.get("format"))
    try:
        for event in events.select(fields.get("filter", ()), since, until):
            sys.stdout.write(f"{show(event)}\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass


COMMANDS = by_name(
    Command(
        "ps",
        "[OPTION…]",
        "List containers; with -a those that have exited, too.",
        "minict ps -a",
        ps,
        [
            Option("-a --all", "Show all containers (default shows just running)"),
            Option("-q --quiet", "Only display container IDs"),
            FILTER,
            FORMAT,
            NO_TRUNC,
            Option("-n --last", "Show the last created containers, in any state", "NUMBER"),
            Option("-l --latest", "Show the latest created container"),
            Option("-s --size", "Display total file sizes"),
        ],
    ),
    Command(
        "logs",
        "[OPTION…] CONTAINER",
        "Fetch the logs of a container.",
        "minict logs -f --tail 10 web",
        logs,
        [
            Option("-f --follow", "Follow log output"),
            Option("-n --tail", "Number of lines to show from the end, or all", "NUMBER"),
            Option("--since", "Show logs since a time: 2026-11-25T15:26:00Z, or 10m ago", "TIME"),
            Option("--until", "Show logs before a time", "TIME"),
            Option("-t --timestamps", "Show timestamps"),
            Option("--details", "Show the labels and variables that --log-opt names"),
        ],
        (1, 1),
    ),
    Command(
        "inspect",
        "[OPTION…] NAME|ID…",
        "Return detailed information on containers, images, networks or volumes.",
        "minict inspect --format '{{.State.Pid}}' web",
        inspect,
        [
            Option("-f --format", "Format output: a template, or json", "TEMPLATE"),
            Option("-s --size", "Display total file sizes"),
            Option("--type", "Only inspect objects of this type", "container|image|network|volume"),
        ],
        (1, None),
    ),
    Command(
        "container inspect",
        "[OPTION…] CONTAINER…",
        "Display detailed information on containers.",
        "minict container inspect web",
        inspect_container,
        [
            Option("-f --format", "Format output: a template, or json", "TEMPLATE"),
            Option("-s --size", "Display total file sizes"),
        ],
        (1, None),
    ),
    Command(
        "image inspect",
        "[OPTION…] IMAGE…",
        "Display detailed information on images.",
        "minict image inspect tiny",
        inspect_image,
        [Option("-f --format", "Format output: a template, or json", "TEMPLATE")],
        (1, None),
    ),
    Command(
        "stats",
        "[OPTION…] [CONTAINER…]",
        "Display a live stream of resource usage.  Ctrl-C ends it.",
        "minict stats --no-stream",
        stats,
        [
            Option("-a --all", "Show all containers (default shows just running)"),
            Option("--no-stream", "Disable streaming stats and only show the first result"),
            FORMAT,
            NO_TRUNC,
        ],
        (0, None),
    ),
    Command(
        "top",
        "CONTAINER [PS OPTION…]",
        "Display the processes of a container, as the host's ps sees them.",
        "minict top web -o pid,user,args",
        top,
        arguments=(1, None),
        words_follow=True,
    ),
    Command(
        "port",
        "CONTAINER [PORT[/udp]]",
        "List the port mappings of a container.",
        "minict port web 80",
        port,
        arguments=(1, 2),
    ),
    Command(
        "events",
        "[OPTION…]",
        "Show what happens to containers, images, volumes and networks, until Ctrl-C.",
        "minict events --filter type=container --since 10m",
        events,
        [
            Option(
                "-f --filter",
                "Filter: container=, event=, image=, label=, network=, type=, volume=",
                "KEY=VALUE",
                many=True,
            ),
            Option("--format", "Print with a Go template, or as json", "FORMAT"),
            Option("--since", "Show events since a time, such as 10m or 2026-11-28", "TIME"),
            Option("--until", "Show events until a time", "TIME"),
        ],
    ),
)
