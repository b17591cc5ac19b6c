"""The seam between a container and its networks: what it wishes, what it takes from the host, and what it gives back.

Everything else in the engine knows of networks only this: a :class:`Wiring` is made of the wish, and its
methods are called in the order in which they stand.
"""
from __future__ import annotations

from minict.runtime import spec
from minict.runtime.errors import ContainerError

from . import network


class Wiring:
    """The networks of the container *id*, as *settings* wish them.  To make the object takes nothing from the host.

    *hostname*: the name by which it knows itself.  *exposed*: the ports that its image names, such as ``80/tcp``.
    Raises :class:`ContainerError` for all that can be wrong with the wish.
    """

    def __init__(self, settings, id: str, hostname: str, exposed: list[str] = ()):
        self.id, self.hostname, self.mode = id, hostname, settings.network[-1]
        if self.mode not in ("bridge", "none", "host"):
            raise ContainerError(f"There is no network {self.mode!r}: --network takes bridge, none or host")
        self._network = network.Network() if self.mode == "bridge" else None
        self._address = None

    def namespaces(self) -> list[spec.Namespace]:
        """The network namespace for the specification: one to make, one to join, or none, which is the host's."""
        return [] if self.mode == "host" else [spec.Namespace(type="network")]

    @property
    def waits(self) -> bool:
        """Whether the child has to wait for :meth:`connect`."""
        return self._network is not None

    def ledger(self) -> list:
        """What :meth:`reserve` and :meth:`connect` are going to take, to be recorded before."""
        return self._network.ledger(self.id) if self._network else []

    def reserve(self) -> None:
        """Take addresses and ports, in the process that will look after the container.  Raises :class:`ContainerError`."""
        if self._network:
            self._address = self._network.reserve(self.id)

    def files(self) -> dict[str, str]:
        """The texts of the container's /etc/hosts and /etc/resolv.conf."""
        from . import dns
        return {"hosts": dns.hosts(self.hostname, self._address), "resolv.conf": dns.resolv_conf(self.mode != "host")}

    def connect(self, pid: int) -> None:
        """Give the process *pid*, which is in its new namespace, its interfaces.  Raises :class:`ContainerError`."""
        if self._network:
            self._network.ensure_bridge()
            self._network.connect(self.id, pid, self._address)

    def disconnect(self) -> None:
        """The container has ended: give back what it had.  May be repeated."""
        if self._network:
            self._network.disconnect(self.id)


# How the kinds of entries in :meth:`Wiring.ledger` are given back.
UNDO = {"address": lambda value: network.undo("address", value), "veth": lambda value: network.undo("veth", value)}
