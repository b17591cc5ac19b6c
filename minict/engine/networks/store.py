"""The networks that there are: the default one, and those that people make.

A network that somebody made is a file ``MINICT_ROOT/networks/NAME.json``, which survives a reboot.  Its bridge does not
have to: it is made when a container comes that needs it.  Sources: docker-network-create(1).
"""

from __future__ import annotations

import errno
import os

from minict.engine.containers import names
from minict.runtime import jsonfile, paths
from minict.runtime.errors import ContainerError

from . import bridge, driveroptions
from . import ipam as addresses
from .bridge import Network

# Words of --network that are no name of a network of ours, and "default", Docker's other word for the default bridge.
RESERVED = ("bridge", "default", "host", "none")


def find(name: str) -> Network:
    """The network that is called *name*, or whose id begins with it.  Raises :class:`ContainerError`."""
    if name in ("bridge", "default"):
        return Network()
    if _is_name(name) and os.path.exists(_file(name)):
        return _load(name)
    found = [each for each in made_by_people() if name and each.id.startswith(name)]
    if len(found) != 1:
        known = ", ".join(["bridge", *(each.name for each in made_by_people()), "host", "none"])
        raise ContainerError(
            f"no such network: {name}; there are {known}; 'minict network create' makes one",
            errno=None if found else errno.ENOENT,
        )
    return found[0]


def made_by_people() -> list[Network]:
    """The networks that were made by ``network create``, by their names."""
    try:
        files = sorted(os.listdir(_directory()))
    except FileNotFoundError:
        return []
    found = []
    for file in files:
        if file.endswith(".json"):
            try:
                found.append(_load(file.removesuffix(".json")))
            except FileNotFoundError:
                pass  # it has just been removed
    return found


def everyone() -> list[Network]:
    """All networks that have a bridge, or get one: the default one and those that people made."""
    return [Network(), *made_by_people()]


def create(
    name: str,
    *,
    subnet: str | None = None,
    gateway: str | None = None,
    ip_range: str | None = None,
    internal: bool = False,
    labels: dict | None = None,
    driver: str = "bridge",
    options: list[str] = (),
) -> Network:
    """Make a network; without *subnet* it gets one that nobody uses.  *options*: see :mod:`.driveroptions`.

    Raises :class:`ContainerError`.
    """
    if driver != "bridge":
        raise ContainerError(f"--driver {driver}: the only kind of network that can be made is a bridge")
    if not _is_name(name) or name in RESERVED:
        raise ContainerError(
            f"{name!r} can't be a network's name: it begins with a letter or a digit, goes on with letters, "
            f"digits and _.- up to 64, and is none of {', '.join(RESERVED)}"
        )
    if subnet is None and (gateway or ip_range):
        raise ContainerError("--gateway and --ip-range are parts of a subnet: say which one with --subnet")
    asked = addresses.Subnet(subnet, gateway, ip_range, "--subnet") if subnet else None
    id, given = os.urandom(32).hex(), driveroptions.parse(options)
    interface = given.get(driveroptions.BRIDGE) or _bridge(id)
    with bridge.lock() as held:
        try:
            if os.path.exists(_file(name)):
                raise ContainerError(
                    f"there is a network {name} already: choose another name, or remove it with "
                    f"'minict network rm {name}'"
                )
            chosen = asked or addresses.Subnet(_choose_subnet())
            for other in everyone():
                if chosen.overlaps(other.subnet.first, other.subnet.last):
                    raise ContainerError(
                        f"the subnet {chosen} overlaps {other.subnet}, that of the network {other.name}: "
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
            return made
        finally:
            bridge.remove_lock_if_alone(held)


def remove(name: str) -> str:
    """Remove a network that nobody uses; its name.  Raises :class:`ContainerError`."""
    if name in RESERVED:
        raise ContainerError(f"the network {name} is always there: it can't be removed")
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
                    f"something is plugged into {one.bridge}, the bridge of the network {one.name}: "
                    f"'ip link show master {one.bridge}' shows what"
                )
            _forget(one)  # last: whoever is killed before that has removed nothing but what is made again at need
            return one.name
        finally:
            bridge.remove_lock_if_alone(held)


def prune(keep=(), wanted=lambda one: True) -> list[str]:
    """Remove the networks made by people that no container is on, nor wishes to be on (*keep*); the names of those
    removed.

    *wanted*: a function that says of a network whether it may go.
    """
    removed = []
    for one in made_by_people():
        if wanted(one) and one.name not in keep and one.id not in keep and not addresses.holders(one.key):
            try:
                removed.append(remove(one.name))
            except ContainerError:
                pass  # somebody has just begun to use it, or has removed it
    return removed


def remove_unused_bridges() -> list[str]:
    """Take down the bridges that no container is on, and what was written half; a line for each."""
    lines = []
    for one in everyone():
        if one.remove_bridge_if_unused():
            lines.append("network bridge" if one.is_default else f"bridge of network {one.name}")
    for file in os.listdir(_directory()) if os.path.isdir(_directory()) else ():
        if not file.endswith(".json"):  # a writer was killed
            with bridge.lock() as held:
                try:
                    os.unlink(f"{_directory()}/{file}")
                except FileNotFoundError:
                    pass
                bridge.remove_lock_if_alone(held)
    _remove_directory()
    return lines


def still_there(one: Network) -> bool:
    """Whether a network that was found is the one that has this name now.  To be asked under the lock."""
    try:
        return one.is_default or _load(one.name).id == one.id
    except FileNotFoundError:
        return False


# ---- for people ------------------------------------------------------------------------------------------------


def describe(one: Network) -> dict:
    """All that is known of a network, in the words of ``docker network inspect``."""
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


def describe_special(name: str) -> dict:
    """The same for ``host`` and ``none``, which are networks to whoever lists them."""
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

    id = id or hashlib.sha256(name.encode()).hexdigest()  # those that are always there have none; lists want one
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
    """An empty one is left by nobody."""
    try:
        os.rmdir(_directory())
    except OSError:
        pass


def _choose_subnet() -> str:
    taken = [(first, last) for _, first, last in addresses.routes()]
    return addresses.choose(taken + [(each.subnet.first, each.subnet.last) for each in everyone()])


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
