"""Commands about volumes."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, table
from minict.runtime.errors import ContainerError

from . import each
from .system import FORCE, agreed, report


def create(fields: dict, arguments: list[str]) -> None:
    from minict.engine.volumes import options, store

    if fields.get("driver", "local") != "local":
        raise ContainerError(f"there is no driver {fields['driver']!r} for volumes: the only one is local")
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
    described = volume.describe()
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
    """What ``--filter KEY=VALUE`` says, as a function that takes a volume.  The same key twice: one of the two must be
    so, but of labels all.  Raises :class:`ContainerError`."""
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
        ["all volumes that no container has" if everything else "all volumes without a name that no container has"]
    ):
        return
    before = _size()
    report("Volumes", [volume.name for volume in store.prune(everything, wanted)])
    print(f"Total reclaimed space: {size(max(0, before - _size()))}")


def _size() -> int:
    """The bytes of all files in all volumes."""
    from minict.engine.util import diskusage
    from minict.engine.volumes import store

    return sum(diskusage.usage(volume.mountpoint) for volume in store.volumes())


_FILTER = Option(
    "-f --filter", "only those that match: dangling=true, label=KEY[=VALUE], name=PART", "KEY=VALUE", many=True
)
_FORMAT = Option("--format", "json, or a template such as '{{.Name}}'", "TEMPLATE")

COMMANDS = table(
    Command(
        "volume create",
        "[OPTION…] [NAME]",
        "Make a volume: a directory that outlives containers.",
        "minict volume create --label use=test db",
        create,
        [
            Option("--label", "a label", "KEY=VALUE", many=True),
            Option("-d --driver", "local, the only one", "NAME"),
            Option(
                "-o --opt", "type=none, o=bind and device=/path make it a name for that path", "KEY=VALUE", many=True
            ),
        ],
        (0, 1),
    ),
    Command(
        "volume ls",
        "[OPTION…]",
        "List the volumes.",
        "minict volume ls --filter dangling=true -q",
        ls,
        [_FILTER, Option("-q --quiet", "the names alone"), _FORMAT],
    ),
    Command(
        "volume inspect",
        "[OPTION…] VOLUME…",
        "Show all that is known of volumes.",
        "minict volume inspect --format '{{.Mountpoint}}' db",
        inspect,
        [Option("-f --format", _FORMAT.help, "TEMPLATE")],
        (1, None),
    ),
    Command(
        "volume rm",
        "[OPTION…] VOLUME…",
        "Remove volumes with all that is in them, unless a container has them.",
        "minict volume rm db",
        remove,
        [Option("-f --force", "one that is not there is no error")],
        (1, None),
    ),
    Command(
        "volume prune",
        "[OPTION…]",
        "Remove the volumes without a name of their own that no container has.",
        "minict volume prune -a -f",
        prune,
        [
            Option("-a --all", "those with a name too"),
            FORCE,
            Option("--filter", "only those that match: label=KEY[=VALUE], label!=KEY", "KEY=VALUE", many=True),
        ],
    ),
)
