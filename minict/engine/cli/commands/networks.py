"""Commands about networks: ``minict network …``."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, by_name

from .each import each
from .system import FORCE, PRUNE_FILTER, agreed, report

_HEADINGS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Subnet": "SUBNET",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}


def create(fields: dict, arguments: list[str]) -> None:
    from minict.engine.networks import store

    refuse(fields)
    made = store.create(
        arguments[0],
        subnet=fields.get("subnet"),
        gateway=fields.get("gateway"),
        ip_range=fields.get("ip_range"),
        internal=fields.get("internal", False),
        labels=_labels(fields.get("label", ())),
        driver=fields.get("driver", "bridge"),
        options=fields.get("opt", ()),
    )
    print(made.id)


def refuse(fields: dict) -> None:
    """Refuse Docker's options that are not supported here.  Raises :class:`ContainerError`."""
    from minict.runtime.errors import ContainerError

    if fields.get("ipv6"):
        raise ContainerError("--ipv6: the containers' networks have IPv4 alone: leave it out")
    for name, only in (("scope", "local"), ("ipam_driver", "default")):
        if fields.get(name, only) != only:
            raise ContainerError(f"--{name.replace('_', '-')} {fields[name]}: there is only {only}")


def _labels(words: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def ls(fields: dict, arguments: list[str]) -> None:
    from minict.engine.util.table import date, show

    rows = [
        {
            "ID": each["Id"] if fields.get("no_trunc") else each["Id"][:12],
            "Name": each["Name"],
            "Driver": each["Driver"],
            "Scope": each["Scope"],
            "Subnet": ", ".join(part["Subnet"] for part in each["IPAM"]["Config"]),
            "Internal": str(each["Internal"]).lower(),
            "Labels": ",".join(f"{name}={value}" for name, value in each["Labels"].items()),
            "CreatedAt": date(each["created"]),
        }
        for each in _all()
        if _passes(each, fields.get("filter", ()))
    ]
    quiet = "ID" if fields.get("quiet") else None
    print(show(rows, _HEADINGS, ["ID", "Name", "Driver", "Scope"], fields.get("format"), quiet), end="")


def _passes(one: dict, texts: list[str]) -> bool:
    """Whether a network matches ``name=PART``, ``driver=WORD``, ``label=NAME[=VALUE]`` and ``id=PREFIX``.

    Several filters of one kind are alternatives; all labels must match.
    """
    from minict.engine.util import filters

    tests = {
        "driver": lambda value: value == one["Driver"],
        "id": lambda value: one["Id"].startswith(value),
        "label": lambda value: filters.has_label(one["Labels"], value),
        "name": lambda value: value in one["Name"],
    }
    given = filters.parse(texts, tests)
    return all((all if key == "label" else any)(map(tests[key], values)) for key, values in given.items())


def inspect(fields: dict, arguments: list[str]) -> None:
    from minict.engine.cli.inspect import show

    show(arguments, ["network"], format=fields.get("format"))


def _all() -> list[dict]:
    """All networks by name, each as ``docker network inspect`` shows it."""
    from minict.engine.networks import store

    found = [store.inspect(each) for each in store.networks()]
    found += [store.inspect_predefined(name) for name in ("host", "none")]
    return sorted(found, key=lambda each: each["Name"])


def rm(fields: dict, arguments: list[str]) -> int:
    from minict.engine.networks import store

    return each(arguments, store.remove, missing_ok=fields.get("force", False))


def prune(fields: dict, arguments: list[str]) -> None:
    from minict.engine.system import prune_unused
    from minict.engine.util import filters

    given = filters.parse(fields.get("filter", ()), filters.PRUNE)
    filters.until(given)
    if fields.get("force") or agreed(["all networks not used by at least one container"]):
        report("Networks", prune_unused.prune_networks(given))


def connect(fields: dict, arguments: list[str]) -> None:
    from minict.engine.containers.store import Record
    from minict.engine.networks import connect as network_connect

    network, name = arguments
    with Record.find(name) as record:
        network_connect.connect(record, network, fields.get("ip"), fields.get("alias", []))


def disconnect(fields: dict, arguments: list[str]) -> None:
    from minict.engine.containers.store import Record
    from minict.engine.networks import connect as network_connect

    network, name = arguments
    with Record.find(name) as record:
        network_connect.disconnect(record, network)


COMMANDS = by_name(
    Command(
        "network create",
        "[OPTION…] NAME",
        "Create a network, on which containers find each other by name.",
        "minict network create --subnet 10.9.8.0/24 web",
        create,
        [
            Option("-d --driver", "Driver of the network: bridge", "DRIVER"),
            Option("--subnet", "Subnet in CIDR format", "ADDRESS/PREFIX"),
            Option("--gateway", "IPv4 gateway of the subnet (its first address)", "ADDRESS"),
            Option("--ip-range", "Allocate container addresses from a sub-range", "ADDRESS/PREFIX"),
            Option("--internal", "Restrict external access to the network"),
            Option("-o --opt", "Driver options, such as com.docker.network.driver.mtu=1400", "NAME=VALUE", many=True),
            Option("--attachable", "Accepted for Docker's sake; has no effect"),
            Option("--ipv6", "Refused: networks are IPv4 only"),
            Option("--scope", "Scope of the network: local", "SCOPE"),
            Option("--ipam-driver", "IP address management driver: default", "DRIVER"),
            Option("--label", "Set metadata on the network", "LABEL", many=True),
        ],
        (1, 1),
    ),
    Command(
        "network ls",
        "[OPTION…]",
        "List networks.",
        "minict network ls",
        ls,
        [
            Option("-q --quiet", "Only display network IDs"),
            Option("--no-trunc", "Don't truncate output"),
            Option("--format", "Format output: json, table, or a template such as '{{.Name}} {{.Subnet}}'", "FORMAT"),
            Option("-f --filter", "Filter: name=, driver=, label=, id=", "FILTER", many=True),
        ],
    ),
    Command(
        "network inspect",
        "[OPTION…] NETWORK…",
        "Display detailed information on networks.",
        "minict network inspect bridge",
        inspect,
        [Option("-f --format", "Format output with a template such as '{{.IPAM.Config}}'", "FORMAT")],
        (1, None),
    ),
    Command(
        "network rm",
        "[OPTION…] NETWORK…",
        "Remove networks.",
        "minict network rm web",
        rm,
        [Option("-f --force", "Ignore a missing network")],
        (1, None),
    ),
    Command(
        "network prune",
        "[OPTION…]",
        "Remove all unused networks.",
        "minict network prune -f",
        prune,
        [FORCE, PRUNE_FILTER],
    ),
    Command(
        "network connect",
        "[OPTION…] NETWORK CONTAINER",
        "Connect a container to a network.",
        "minict network connect --alias db back postgres",
        connect,
        [Option("--ip", "IPv4 address", "ADDRESS"), Option("--alias", "Add a network-scoped alias", "NAME", many=True)],
        (2, 2),
    ),
    Command(
        "network disconnect",
        "[OPTION…] NETWORK CONTAINER",
        "Disconnect a container from a network.",
        "minict network disconnect back postgres",
        disconnect,
        [Option("-f --force", "Accepted for Docker's sake; has no effect")],
        (2, 2),
    ),
)
