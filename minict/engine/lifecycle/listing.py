"""The list of containers, ``minict ps``: its filters and its rows.

A row has the field names of Docker's ``--format``. A field that needs the disk, the image or the network is a function,
called when it is shown; what only such a field needs is imported there.
"""

from __future__ import annotations

from minict.engine.containers.store import ACTIVE, Record, records
from minict.engine.util import table
from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

HEADINGS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Size": "SIZE",
    "State": "STATE",
    "Labels": "LABELS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "Label": str.upper,
}
COLUMNS = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]
STATUSES = ("created", *ACTIVE, "exited", "removing")
HEALTHS = ("starting", "healthy", "unhealthy", "none")


# ---- filters -----------------------------------------------------------------------------------------------------


def select(filters: Sequence[str] = (), *, ended_too: bool = False, newest: int | None = None) -> list[Record]:
    """The containers that match all *filters*, the newest first: the active ones, or with *ended_too* all of them.

    A filter is ``KEY=VALUE`` with a key of :data:`FILTERS`. Several values of one key are alternatives, but all labels
    and times must match. *newest*: only this number of containers, active or not. Raises :class:`ContainerError` for an
    invalid filter.
    """
    tests: dict[str, list] = {}
    for word in filters:
        key, given, value = word.partition("=")
        if key not in FILTERS or not given:
            raise ContainerError(f"invalid --filter {word}: use KEY=VALUE with one of the keys {', '.join(FILTERS)}")
        tests.setdefault("port" if key in ("publish", "expose") else key, []).append(FILTERS[key](value))
    found = records()
    if not (ended_too or newest is not None or {"status", "exited"} & set(tests)):
        found = [record for record in found if record.status in ACTIVE]
    for key, each in tests.items():
        among = all if key in ("label", "label!", "until") else any
        found = [record for record in found if among(test(record) for test in each)]
    return found[:newest]


def _by_name(value: str):
    import re

    try:
        pattern = re.compile(value)
    except re.error as error:
        raise ContainerError(f"--filter name={value}: invalid regular expression: {error}") from None
    return lambda record: pattern.search(record.name) or pattern.search(f"/{record.name}")


def _by_word(key: str, words: tuple, found):
    def test(value: str):
        if value not in words:
            raise ContainerError(f"invalid --filter {key}={value}: use one of {', '.join(words)}")
        return lambda record: found(record) == value

    return test


def _by_exit(value: str):
    if not value.isdecimal():
        raise ContainerError(f"invalid --filter exited={value}: use a number")
    return lambda record: record.status == "exited" and record.exit_code == int(value)


def _by_label(wanted: bool):
    def of(value: str):
        from minict.engine.util.filters import has_label

        return lambda record: has_label(_labels_of(record), value) == wanted

    return of


def _by_moment(value: str):
    from minict.engine.util.filters import until

    moment = until({"until": [value]})
    return lambda record: record.created < moment


def _by_image(value: str):
    """Containers of an image, or of one built on it."""
    from minict.engine.images.image import Image

    below = Image.find(value)

    def test(record: Record) -> bool:
        image = _image_of(record)
        return record.image == below.id or (bool(image) and image.digests[: len(below.digests)] == below.digests)

    return test


def _by_age(sign: int):
    def of(value: str):
        other = Record.find(value)
        return lambda record: record.id != other.id and sign * (record.created - other.created) > 0

    return of


def _by_network(value: str):
    from minict.engine.networks import store

    known = [store.inspect(one) for one in store.networks()] + [
        store.inspect_predefined(name) for name in ("host", "none")
    ]
    names = [one["Name"] for one in known if one["Id"].startswith(value)]
    return lambda record: value in _networks_of(record) or any(name in names for name in _networks_of(record))


def _by_port(key: str):
    """``publish``: a port of the host; ``expose``: one of the container; both as PORT[-LAST][/udp], as in Docker."""

    def of(value: str):
        from minict.engine.networks import portmapper

        try:
            wanted = {(port.inside, port.protocol) for port in portmapper.parse_exposed(value)}
        except ContainerError:
            raise ContainerError(f"--filter {key}={value}: use PORT[-LAST][/udp]") from None

        def test(record: Record) -> bool:
            for inside, hosts in _ports_of(record).items():
                number, _, protocol = inside.partition("/")
                numbers = [number] if key == "expose" else [each["HostPort"] for each in hosts or []]
                if any((int(each), protocol) in wanted for each in numbers):
                    return True
            return False

        return test

    return of


FILTERS = {
    "id": lambda value: lambda record: record.id.startswith(value),
    "name": _by_name,
    "label": _by_label(True),
    "label!": _by_label(False),
    "status": _by_word("status", STATUSES, lambda record: record.status),
    "exited": _by_exit,
    "ancestor": _by_image,
    "before": _by_age(-1),
    "since": _by_age(1),
    "until": _by_moment,
    "network": _by_network,
    "publish": _by_port("publish"),
    "expose": _by_port("expose"),
    "is-task": _by_word("is-task", ("true", "false"), lambda record: "false"),  # Swarm's, without a meaning here
    "volume": lambda value: (
        lambda record: any(value in (each.get("name"), each["destination"]) for each in record.mounts or [])
    ),
    "health": _by_word("health", HEALTHS, lambda record: health_of(record)),
}


# ---- rows --------------------------------------------------------------------------------------------------------


def row(record: Record, *, whole: bool = False) -> dict:
    """The row of one container; *whole* truncates nothing (``--no-trunc``)."""
    status, last_run, mounts = record.status, record.last_run, record.mounts or []

    def cut(text: str, length: int) -> str:
        return text if whole else table.shortened(text, length)

    def command() -> str:
        from .inspect import command_of

        return table.quoted(cut(" ".join(command_of(record, _image_of(record))), 20))

    def size() -> str:
        from .inspect import sizes

        written, all_files = sizes(record, _image_of(record))
        return f"{table.size(written)} (virtual {table.size(all_files)})"

    return {
        "ID": record.id if whole else record.id[:12],
        "Image": lambda: image_name(record, whole),
        "Command": command,
        "CreatedAt": table.date(record.created),
        "RunningFor": table.ago(record.created),
        "State": status,
        "Names": record.name,
        "Size": size,
        "Status": table.status(
            status,
            started=last_run.get("started") or 0,
            finished=last_run.get("finished") or 0,
            exit_code=record.exit_code,
            health=health_of(record),
        ),
        "Ports": lambda: ports(_ports_of(record)) if record.pid else "",
        "Labels": lambda: ",".join(f"{key}={value}" for key, value in _labels_of(record).items()),
        "Label": lambda name: _labels_of(record).get(name, ""),
        "Mounts": ",".join(cut(each.get("name") or each.get("source", ""), 15) for each in mounts),
        "LocalVolumes": str(sum(each["type"] == "volume" for each in mounts)),
        "Networks": lambda: ",".join(_networks_of(record)),
    }


def image_name(record: Record, whole: bool = False) -> str:
    """The image as requested, while that name still means this image; otherwise its id."""
    from minict.engine.distribution.reference import full_name
    from minict.engine.images.store import name_file

    asked = record.image_name
    try:
        if not record.image.startswith(asked.removeprefix("sha256:")):
            with open(name_file(full_name(asked)), encoding="utf-8") as file:
                if file.read() == record.image:
                    return asked
    except (OSError, ContainerError):  # no image has that name any more
        pass
    return record.image if whole else record.image[:12]


def health_of(record: Record) -> str:
    """``starting``, ``healthy``, ``unhealthy``, or ``none`` for a container without health checks."""
    return (record.last_run.get("health") or {}).get("Status") or "none"


def _image_of(record: Record):
    from .inspect import image_of

    return image_of(record)


def _networks_of(record: Record) -> list[str]:
    from .inspect import networks_of

    return networks_of(record)


def _labels_of(record: Record) -> dict[str, str]:
    from .inspect import labels_of

    return labels_of(record, _image_of(record))


def _ports_of(record: Record) -> dict:
    from .inspect import network_settings

    return network_settings(record, _image_of(record))["Ports"]


def ports(found: dict) -> str:
    """Port mappings as text: ``0.0.0.0:8080->80/tcp, 90/udp``; exposed ports stand alone.

    *found*: by port of the container, as inspect has them. Consecutive ports are shown as a range.
    """
    spans: list[list] = []  # address, protocol, first and last port of the host (0: none), first and last inside
    single = sorted(
        (int(inside.partition("/")[0]), inside.partition("/")[2], each["HostIp"], int(each["HostPort"]))
        for inside, holders in found.items()
        for each in holders or [{"HostIp": "", "HostPort": 0}]
    )
    for inside, protocol, host, outside in single:
        for span in spans:
            if (
                span[:2] == [host, protocol]
                and span[5] + 1 == inside
                and (span[3] + 1 == outside or (not span[3] and not outside))
            ):
                span[3], span[5] = outside, inside
                break
        else:
            spans.append([host, protocol, outside, outside, inside, inside])
    return ", ".join(_span(*span) for span in spans)


def _span(host: str, protocol: str, first: int, last: int, first_inside: int, last_inside: int) -> str:
    outside = f"{address(host)}:{_range(first, last)}->" if first else ""
    return f"{outside}{_range(first_inside, last_inside)}/{protocol}"


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def address(text: str) -> str:
    """An address of the host, ready to be followed by a colon and a port."""
    return f"[{text}]" if ":" in text else text
