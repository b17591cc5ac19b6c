"""The networks that exist: the default one, and those that users create.

A user-defined network is a file ``MINICT_ROOT/networks/NAME.json``, which survives a reboot. Its bridge need not: it is
made when a container needs it. Source: docker-network-create(1).
"""

from __future__ import annotations

import errno
import os

from minict.engine.containers import names
from minict.engine.util import events
from minict.runtime import jsonfile, paths
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in

from . import bridge, driveroptions
from . import ipam as addresses
from .bridge import Network

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

# Values of --network that do not name a stored network, and "default", Docker's other name for the default bridge.
RESERVED = ("bridge", "default", "host", "none")


def find(name: str) -> Network:
    """The network with this *name*, or whose id begins with it. Raises :class:`ContainerError`."""
    if name in ("bridge", "default"):
        return Network()
    if _is_name(name) and os.path.exists(_file(name)):
        return _load(name)
    found = [each for each in user_defined() if name and each.id.startswith(name)]
    if len(found) != 1:
        known = ", ".join(["bridge", *(each.name for each in user_defined()), "host", "none"])
        raise ContainerError(
            f"no such network: {name}; existing networks: {known}; 'minict network create' creates one",
            errno=None if found else errno.ENOENT,
        )
    return found[0]


def user_defined() -> list[Network]:
    """The user-defined networks, by name."""
    found = []
    for file in sorted(names_in(_directory())):
        if file.endswith(".json"):
            try:
                found.append(_load(file.removesuffix(".json")))
            except FileNotFoundError:
                pass  # it has just been removed
    return found


def networks() -> list[Network]:
    """All networks that have a bridge, or will get one: the default one and the user-defined ones."""
    return [Network(), *user_defined()]


def create(
    name: str,
    *,
    subnet: str | None = None,
    gateway: str | None = None,
    ip_range: str | None = None,
    internal: bool = False,
    labels: dict | None = None,
    driver: str = "bridge",
    options: Sequence[str] = (),
) -> Network:
    """Create a network; without *subnet* a free one is chosen. *options*: see :mod:`.driveroptions`.

    Raises :class:`ContainerError`.
    """
    if driver != "bridge":
        raise ContainerError(f"unknown network driver {driver!r}: use bridge")
    if not _is_name(name) or name in RESERVED:
        raise ContainerError(
            f"invalid network name {name!r}: begin with a letter or digit, go on with letters, "
            f"digits and _.- up to 64, and avoid {', '.join(RESERVED)}"
        )
    if subnet is None and (gateway or ip_range):
        raise ContainerError("--gateway and --ip-range need a subnet: add --subnet")
    asked = addresses.Subnet(subnet, gateway, ip_range, "--subnet") if subnet else None
    id, given = os.urandom(32).hex(), driveroptions.parse(list(options))
    interface = given.get(driveroptions.BRIDGE) or _bridge(id)
    with bridge.lock() as held:
        try:
            if os.path.exists(_file(name)):
                raise ContainerError(
                    f"network {name} already exists: choose another name, or remove it with 'minict network rm {name}'"
                )
            chosen = asked or addresses.Subnet(_choose_subnet())
            for other in networks():
                if chosen.overlaps(other.subnet.first, other.subnet.last):
                    raise ContainerError(
                        f"the subnet {chosen} overlaps {other.subnet} of the network {other.name}: "
                        "choose another one, or leave --subnet out"
                    )
                if other.bridge == interface:
                    raise ContainerError(
                        f"the bridge {interface} is that of the network {other.name}: choose another name"
                    )
            addresses.check_free(chosen, interface, "choose another one")
            made = Network(
                name, interface, chosen, internal=internal, id=id, labels=labels, created=_now(), options=given
            )
            paths.make_directory(_directory())
            jsonfile.write(_file(name), _to_dict(made))
            events.emit("network", "create", made.id, {"name": name, "type": "bridge"})
            return made
        finally:
            bridge.remove_lock_if_alone(held)


def remove(name: str) -> str:
    """Remove an unused network; return its name. Raises :class:`ContainerError`."""
    if name in RESERVED:
        raise ContainerError(f"{name} is a predefined network and cannot be removed")
    one = find(name)
    with bridge.lock() as held:
        try:
            addresses.release_orphans(one.key)
            users = sorted(set(addresses.holders(one.key).values()))
            if users:
                raise ContainerError(
                    f"the network {one.name} is in use by the container{'s' * (len(users) > 1)} "
                    f"{', '.join(id[:12] for id in users)}: stop or disconnect them first"
                )
            if one.remove_bridge() is None:
                raise ContainerError(
                    f"{one.bridge}, the bridge of the network {one.name}, has other ports: "
                    f"'ip link show master {one.bridge}' lists them"
                )
            _forget(one)  # last: whatever a killed process has removed before this is made again on demand
            events.emit("network", "destroy", one.id, {"name": one.name, "type": "bridge"})
            return one.name
        finally:
            bridge.remove_lock_if_alone(held)


def prune(keep=(), wanted=lambda one: True) -> list[str]:
    """Remove the user-defined networks that no container references, except *keep*; return their names.

    *wanted*: a function that says whether a network may be removed.
    """
    removed = []
    for one in user_defined():
        if wanted(one) and one.name not in keep and one.id not in keep and not addresses.holders(one.key):
            try:
                removed.append(remove(one.name))
            except ContainerError:
                pass  # it has just been used, or removed
    return removed


def remove_unused_bridges() -> list[str]:
    """Remove unused bridges and files that a killed writer has left; return a line for each."""
    lines = []
    for one in networks():
        if one.remove_bridge_if_unused():
            lines.append("network bridge" if one.is_default else f"bridge of network {one.name}")
    for file in names_in(_directory()):
        if not file.endswith(".json"):  # left by a killed writer
            with bridge.lock() as held:
                try:
                    os.unlink(f"{_directory()}/{file}")
                except FileNotFoundError:
                    pass
                bridge.remove_lock_if_alone(held)
    _remove_directory()
    return lines


def still_there(one: Network) -> bool:
    """Whether a network found earlier still has its name now. Call it with the lock held."""
    try:
        return one.is_default or _load(one.name).id == one.id
    except FileNotFoundError:
        return False


# ---- presentation ------------------------------------------------------------------------------------------------


def inspect(one: Network) -> dict:
    """A network in the form of ``docker network inspect``."""
    from .state import read

    containers = {}
    for address, id in sorted(addresses.holders(one.key).items()):
        network_state = read(id)
        for endpoint in (endpoint for endpoint in network_state.get("endpoints", ()) if endpoint["key"] == one.key):
            containers[id] = {
                "Name": network_state["name"] or id,
                "EndpointID": bridge.host_end(id, endpoint["number"]),
                "MacAddress": endpoint["mac"],
                "IPv4Address": f"{address}/{one.subnet.prefix}",
                "IPv6Address": "",
            }
    config = {"Subnet": str(one.subnet), "Gateway": one.gateway}
    if one.subnet.ip_range:
        config["IPRange"] = one.subnet.ip_range
    return {
        **_words(one.name, one.id, "bridge", one.created),
        "Internal": one.internal,
        "IPAM": {"Driver": "default", "Options": {}, "Config": [config]},
        "Containers": containers,
        "Options": {driveroptions.BRIDGE: one.bridge, **one.options},
        "Labels": one.labels,
    }


def inspect_predefined(name: str) -> dict:
    """The same for ``host`` and ``none``, which ``network ls`` lists too."""
    return {
        **_words(name, "", {"none": "null"}.get(name, name), 0),
        "Internal": False,
        "IPAM": {"Driver": "default", "Options": {}, "Config": []},
        "Containers": {},
        "Options": {},
        "Labels": {},
    }


def _words(name: str, id: str, driver: str, created: float) -> dict:
    import hashlib

    from minict.engine.util.timestamps import stamp_of

    id = id or hashlib.sha256(name.encode()).hexdigest()  # predefined networks have none, and lists need one
    return {
        "Name": name,
        "Id": id,
        "Created": stamp_of(created),
        "created": created,
        "Scope": "local",
        "Driver": driver,
        "EnableIPv6": False,
    }


# ---- files -----------------------------------------------------------------------------------------------------


def _to_dict(one: Network) -> dict:
    return {
        "id": one.id,
        "created": one.created,
        "subnet": str(one.subnet),
        "gateway": one.gateway,
        "ip_range": one.subnet.ip_range,
        "internal": one.internal,
        "labels": one.labels,
        "options": one.options,
    }


def _load(name: str) -> Network:
    """Raises :class:`FileNotFoundError`, or :class:`ContainerError` for a file that is damaged."""
    try:
        read = jsonfile.read(_file(name))
        subnet = addresses.Subnet(read["subnet"], read["gateway"], read["ip_range"])
        return Network(
            name,
            read.get("options", {}).get(driveroptions.BRIDGE) or _bridge(read["id"]),
            subnet,
            internal=read["internal"],
            id=read["id"],
            labels=read["labels"],
            created=read["created"],
            options=read.get("options"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ContainerError):
        raise ContainerError(f"{_file(name)} is damaged: remove it, and make the network {name} again") from None


def _forget(one: Network) -> None:
    os.unlink(_file(one.name))
    _remove_directory()


def _remove_directory() -> None:
    """Remove the directory if it is empty."""
    try:
        os.rmdir(_directory())
    except OSError:
        pass


def _choose_subnet() -> str:
    taken = [(first, last) for _, first, last in addresses.routes()]
    return addresses.choose(taken + [(each.subnet.first, each.subnet.last) for each in networks()])


def _bridge(id: str) -> str:
    """The bridge's name: an interface's has 15 characters at most."""
    return f"br-{id[:12]}"


def _is_name(name: str) -> bool:
    try:
        names.check(name)
    except ContainerError:
        return False
    return len(name) <= 64


def _directory() -> str:
    return f"{paths.data_root()}/networks"


def _file(name: str) -> str:
    return f"{_directory()}/{name}.json"


def _now() -> float:
    import time

    return time.time()
