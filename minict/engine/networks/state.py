"""The networks of a running container as recorded in its state: ``network.json``."""

from __future__ import annotations

from minict.runtime import jsonfile
from minict.runtime.state import State

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

# followed by an id: a file in a container's state for each container that has joined its network namespace
GUEST = "guest-"


# What Docker has of an endpoint, and is never set here.
UNSET_ENDPOINT: dict = {
    "IPAMConfig": None,
    "Links": None,
    "DriverOpts": None,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
}


def network_settings(id: str) -> dict:
    """The container's networks and ports in the form of Docker's NetworkSettings.

    Both are empty when it does not run, or has no network of its own.
    """
    network_state = read(id)
    networks = {
        endpoint["network"]: {
            "IPAddress": endpoint["address"],
            "IPPrefixLen": endpoint["prefix"],
            "Gateway": endpoint["gateway"],
            "MacAddress": endpoint["mac"],
            "Aliases": endpoint["aliases"],
            "NetworkID": endpoint["id"],
            **UNSET_ENDPOINT,
        }
        for endpoint in network_state.get("endpoints", ())
    }
    published: dict[str, Any] = {}
    for protocol, address, outside, inside in network_state.get("ports", ()):
        published.setdefault(f"{inside}/{protocol}", []).append({"HostIp": address, "HostPort": str(outside)})
    first = next(iter(networks.values()), {})
    return {
        "Networks": networks,
        "Ports": published,
        "IPAddress": first.get("IPAddress", ""),
        "IPPrefixLen": first.get("IPPrefixLen", 0),
        "Gateway": first.get("Gateway", ""),
        "MacAddress": first.get("MacAddress", ""),
    }


def read(id: str) -> dict:
    """The recorded state of the container *id*; empty when there is none."""
    try:
        return jsonfile.read(State(id).path("network.json"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}


def write(id: str, network_state: dict) -> None:
    jsonfile.write(State(id).path("network.json"), network_state)
