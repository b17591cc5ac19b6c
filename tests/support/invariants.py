"""What must hold on a host, whatever was done to its containers: contradictions() returns a sentence for each
violation."""

from __future__ import annotations

import os
import re
import socket
import subprocess

from minict.engine.containers.names import directory as names_directory
from minict.engine.containers.store import Record, records
from minict.engine.images import image
from minict.engine.lifecycle import inspect
from minict.engine.networks import endpoints, options, portmapper, state
from minict.lab import host
from minict.runtime import paths


def contradictions() -> list[str]:
    """Find contradictions on this host. No command may be running meanwhile."""
    containers = [inspect.container(record) for record in records()]
    alive = [each for each in containers if each["State"]["Running"]]
    return [
        *untrue(),
        *names(containers),
        *addresses(alive),
        *connections(alive),
        *published_ports(alive),
        *mounts(),
        *groups(alive),
        *monitors(alive),
        *links(alive),
        *images(containers),
    ]


def untrue() -> list[str]:
    """A container that ``ps`` calls running must have a live process and a monitor, and the others must not."""
    wrong = []
    for record in records():
        pid, told = record.pid, record.status
        if (told in ("running", "paused")) != (pid is not None and os.path.exists(f"/proc/{pid}")):
            wrong.append(f"{record.name} is said to be {told}; its process: {pid}")
        if told in ("running", "paused", "restarting") and not record.monitor:
            wrong.append(f"{record.name} is {told}, and has no monitor")
    return wrong


def names(containers: list[dict]) -> list[str]:
    """Every name must lead to a container, and every container to its name."""
    told = [each["Name"].removeprefix("/") for each in containers]
    wrong = [f"two containers are called {name}" for name in set(told) if told.count(name) > 1]
    wrong += [
        f"the name {each['Name']} does not lead to {each['Id']}"
        for each in containers
        if Record.find(each["Name"]).id != each["Id"]
    ]
    there = os.listdir(names_directory()) if os.path.isdir(names_directory()) else ()
    return wrong + [f"the name {name} leads nowhere" for name in sorted(set(there) - set(told))]


def addresses(alive: list[dict]) -> list[str]:
    """No two containers may have the same address, and each must really have the one on record."""
    wrong, seen = [], {}
    for each in alive:
        told = {of["IPAddress"] for of in each["NetworkSettings"]["Networks"].values() if of["IPAddress"]}
        for address in told:
            if address in seen:
                wrong.append(f"{each['Id']} and {seen[address]} both have {address}")
            seen[address] = each["Id"]
        real = subprocess.run(
            ["nsenter", "-t", str(each["State"]["Pid"]), "-n", "ip", "-4", "-o", "address", "show", "scope", "global"],
            capture_output=True,
            text=True,
        )
        found = set(re.findall(r"inet ([0-9.]+)/", real.stdout))
        if each["HostConfig"]["NetworkMode"] != "host" and found != told:
            wrong.append(f"{each['Id']} says that it has {told}, and has {found}")
    return wrong


def connections(alive: list[dict]) -> list[str]:
    """A container must be on the networks of its options, its /etc/hosts must have its own addresses, and its DNS
    server must find the running containers on its user-defined networks and no others."""
    wrong = []
    for each in alive:
        told = each["NetworkSettings"]["Networks"]
        if each["HostConfig"]["NetworkMode"] in ("host", "none") or each["HostConfig"]["NetworkMode"].startswith(
            "container:"
        ):
            continue
        wanted = options.names_of_networks(Record.load(each["Id"]).settings_object().network)
        if sorted(told) != sorted(wanted):
            wrong.append(f"{each['Name']} should be on the networks {wanted}, and is on {list(told)}")
        own = {place["IPAddress"] for place in told.values()}
        with open(f"{paths.container_data(each['Id'])}/hosts") as file:
            lines = file.read().partition("minict:\n")[2].partition("# end")[0].splitlines()
        if {line.split()[0] for line in lines} != own:
            wrong.append(f"{each['Name']} has the addresses {own}, and /etc/hosts has {lines}")
        for record in records():
            networks = next((one["NetworkSettings"]["Networks"] for one in alive if one["Id"] == record.id), {})
            there = {networks[name]["IPAddress"] for name in networks if name in told and name != "bridge"}
            found = endpoints.addresses_of(each["Id"], state.read(each["Id"]), record.name.lower()) or []
            if set(found) != there:
                wrong.append(f"{each['Name']} finds {record.name} at {found}, which is at {there}")
    return wrong


def published_ports(alive: list[dict]) -> list[str]:
    """The kernel must forward exactly the ports that containers publish."""
    told = {
        (each["Id"], int(host_port["HostPort"]))
        for each in alive
        if each["NetworkSettings"]["Networks"]
        for bindings in each["NetworkSettings"]["Ports"].values()
        for host_port in bindings or ()
    }
    found = {(id, port.outside) for id, port, _ in portmapper.published()}
    return [] if told == found else [f"the ports of {told} are said to be published, and those of {found} are"]


def mounts() -> list[str]:
    """A container may mount only in a namespace of its own."""
    own = (f"{paths.data_root()}/", f"{paths.run_root()}/")
    return [f"there is a mount on {each['point']}" for each in host.mount_table() if each["point"].startswith(own)]


def groups(alive: list[dict]) -> list[str]:
    """Every control group must belong to a running container."""
    ids = {each["Id"] for each in alive}
    return [
        f"the control group {tree}/{name} is nobody's"
        for tree in host.cgroup_trees()
        for name in os.listdir(tree)
        if os.path.isdir(f"{tree}/{name}") and name not in ids
    ]


def monitors(alive: list[dict]) -> list[str]:
    """Every monitor must have a container that runs or will be restarted."""
    table, pids = host.process_table(), {each["State"]["Pid"] for each in alive}
    waiting = {record.monitor for record in records() if record.status == "restarting"}
    monitors = [pid for pid in host.descendants(table, os.getpid()) if table[pid].name == "minict-monitor"]
    return [
        f"the monitor {pid} has no container"
        for pid in monitors
        if table[pid].state != "Z"
        and pid not in waiting
        and not pids & {child.pid for child in table.values() if child.parent == pid}
    ]


def links(alive: list[dict]) -> list[str]:
    """The host must have as many ends of veth pairs as containers have networks."""
    there = [name for _, name in socket.if_nameindex() if re.match("mv|veth", name)]
    plugged = sum(bool(of["IPAddress"]) for each in alive for of in each["NetworkSettings"]["Networks"].values())
    return [] if len(there) == plugged else [f"{plugged} are plugged in, by {len(there)} cables: {there}"]


def images(containers: list[dict]) -> list[str]:
    """Every image must have its layers, and every container its image."""
    there = image.images()
    wrong = [
        f"the image {each.id} lacks the layer {layer}"
        for each in there
        for layer in each.layers
        if not os.path.isdir(layer)
    ]
    ids = {each.id.removeprefix("sha256:") for each in there}
    return wrong + [
        f"the image of {each['Name']} is gone"
        for each in containers
        if each["Image"].removeprefix("sha256:") not in ids
    ]
