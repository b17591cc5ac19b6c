"""Network interfaces of the host that move into a container: a card of its own, a VLAN, one end of a veth pair.

An interface is in one network namespace at a time. Moving it switches it off and takes its addresses away: both are
restored inside. When the container's namespace ends, a real card returns to the host, and a virtual interface is
removed.
"""

from __future__ import annotations

import os

from .errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .spec import NetDevice, Spec

_LONGEST = 15  # linux/if.h, IFNAMSIZ - 1


def check(spec: Spec) -> None:
    """Verify the interfaces of *spec*. Raises :class:`ContainerError`. Source: config-linux.md, "Network devices"."""
    devices = spec.linux.netDevices or {}
    if devices and not any(each.type == "network" for each in spec.linux.namespaces):
        raise ContainerError("linux.netDevices needs a network namespace: add one")
    inside = [device.name or name for name, device in devices.items()]
    for name in [*devices, *inside]:
        if not name or len(name) > _LONGEST or name in (".", "..") or set(name) & set("/: \t\n%"):
            raise ContainerError(f"linux.netDevices has the invalid name {name!r}: see ip-link(8)")
    if len(set(inside)) < len(inside):
        raise ContainerError(f"linux.netDevices gives two interfaces the same name: {', '.join(sorted(inside))}")


def move(devices: dict[str, NetDevice], pid: int) -> None:
    """Move *devices* into the network namespace of the process *pid*, with their IPv4 addresses, switched on.

    Raises :class:`ContainerError`. Source: config-linux.md, "Network devices"; rtnetlink(7), network_namespaces(7).
    """
    from ..kernel.netlink import Rtnetlink  # few containers have such interfaces

    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with Rtnetlink() as here, Rtnetlink(namespace=namespace) as there:
            for name, device in devices.items():
                try:
                    index = here.index(name)
                    addresses = here.addresses(index)
                    here.move_link(index, namespace, device.name or name)
                    index = there.index(device.name or name)
                    for address, prefix in addresses:
                        there.add_address(index, address, prefix)
                    there.set_up(index)
                except OSError as error:
                    raise ContainerError(
                        f"the network interface {name} cannot be moved into the container: {error.strerror}",
                        errno=error.errno,
                    ) from None
    finally:
        os.close(namespace)
