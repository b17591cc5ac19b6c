"""Commands about volumes."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, by_name
from minict.runtime.errors import ContainerError

from .each import each
from .system import FORCE, agreed, report


def create(fields: dict, arguments: list[str]) -> None:
    from minict.engine.volumes import options, store

    if fields.get("driver", "local") != "local":
        raise ContainerError(f"unknown volume driver {fields['driver']!r}: use local")
    made = store.create(
        arguments[0] if arguments else None,
        labels=options.labels(fields.get("label", []), "--label"),
        options=options.labels(fields.get("opt", []), "--opt"),
    )
    print(made.name)


HEADINGS = {
    "Driver": "DRIVER",
    "Name": "VOLUME NAME",
    "Availability": "AVAILABILITY",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT",
    "Scope": "SCOPE",
    "Size": "SIZE",
    "Group": "GROUP",
    "Status": "STATUS",
}


def ls(fields: dict, arguments: list[str]) -> None:
    from minict.engine.util.table import show
    from minict.engine.volumes import store

    wanted = _filter(fields.get("filter", []), ("dangling", "driver", "label", "name"))
    print(
        show(
            [_row(volume) for volume in store.volumes() if wanted(volume)],
            HEADINGS,
            ["Driver", "Name"],
            format=fields.get("format"),
            quiet="Name" if fields.get("quiet") else None,
        ),
        end="",
    )


def _row(volume) -> dict:
    described = volume.inspect()
    labels = described["Labels"] or {}
    return {
        **described,
        "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "Availability": "N/A",
        "Links": "N/A",
        "Size": "N/A",
        "Group": "N/A",
        "Status": "N/A",
        "Label": lambda key: labels.get(key, ""),
    }


def _filter(texts: list[str], known: tuple):
    """``--filter KEY=VALUE`` as a function that takes a volume.

    Several values of one key are alternatives; all labels must match. Raises :class:`ContainerError`.
    """
    from minict.engine.util import filters

    given = filters.parse(texts, known)
    dangling = filters.is_true(given, "dangling")

    def wanted(volume) -> bool:
        return (
            filters.labelled(volume.labels, given)
            and any(text in volume.name for text in given.get("name", [volume.name]))
            and any(text == "local" for text in given.get("driver", ["local"]))
            and (dangling is None or dangling == (not volume.users()))
        )

    return wanted


def inspect(fields: dict, arguments: list[str]) -> None:
    from minict.engine.cli import inspect as inspection

    inspection.show(arguments, ["volume"], format=fields.get("format"))


def remove(fields: dict, arguments: list[str]) -> int:
    from minict.engine.volumes import store

    def do(name: str) -> str:
        try:
            store.remove(name)
        except ContainerError as error:
            if not (fields.get("force") and error.errno == 2):
                raise
        return name

    return each(arguments, do)


def prune(fields: dict, arguments: list[str]) -> None:
    from minict.engine.util.table import size
    from minict.engine.volumes import store

    wanted, everything = _filter(fields.get("filter", []), ("label", "label!")), fields.get("all", False)
    if not fields.get("force") and not agreed(
        [
            "all volumes not used by at least one container"
            if everything
            else "all anonymous volumes not used by at least one container"
        ]
    ):
        return
    before = _size()
    report("Volumes", [volume.name for volume in store.prune(everything, wanted)])
    print(f"Total reclaimed space: {size(max(0, before - _size()))}")


def _size() -> int:
    """The size of all files in all volumes, in bytes."""
    from minict.engine.util import diskusage
    from minict.engine.volumes import store

    return sum(diskusage.usage(volume.mountpoint) for volume in store.volumes())


_FILTER = Option("-f --filter", "Filter: dangling=true, label=KEY[=VALUE], name=PART", "KEY=VALUE", many=True)
_FORMAT = Option("--format", "Format output: json, or a template such as '{{.Name}}'", "TEMPLATE")

COMMANDS = by_name(
    Command(
        "volume create",
        "[OPTION…] [NAME]",
        "Create a volume.",
        "minict volume create --label use=test db",
        create,
        [
            Option("--label", "Set metadata on the volume", "KEY=VALUE", many=True),
            Option("-d --driver", "Volume driver: local", "NAME"),
            Option(
                "-o --opt",
                "Driver options: type=none, o=bind and device=/path bind a host directory",
                "KEY=VALUE",
                many=True,
            ),
        ],
        (0, 1),
    ),
    Command(
        "volume ls",
        "[OPTION…]",
        "List volumes.",
        "minict volume ls --filter dangling=true -q",
        ls,
        [_FILTER, Option("-q --quiet", "Only display volume names"), _FORMAT],
    ),
    Command(
        "volume inspect",
        "[OPTION…] VOLUME…",
        "Display detailed information on volumes.",
        "minict volume inspect --format '{{.Mountpoint}}' db",
        inspect,
        [Option("-f --format", _FORMAT.help, "TEMPLATE")],
        (1, None),
    ),
    Command(
        "volume rm",
        "[OPTION…] VOLUME…",
        "Remove volumes.",
        "minict volume rm db",
        remove,
        [Option("-f --force", "Ignore a missing volume")],
        (1, None),
    ),
    Command(
        "volume prune",
        "[OPTION…]",
        "Remove unused anonymous volumes.",
        "minict volume prune -a -f",
        prune,
        [
            Option("-a --all", "Remove all unused volumes, not just anonymous ones"),
            FORCE,
            Option("--filter", "Filter: label=KEY[=VALUE], label!=KEY", "KEY=VALUE", many=True),
        ],
    ),
)
