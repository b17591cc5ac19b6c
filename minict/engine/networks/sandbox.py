"""The network sandbox of a container: from its options to its interfaces, ports and names, and back.

The rest of the engine uses only this module. A :class:`Sandbox` is made from the options (:mod:`.options`), and its
methods are called in the order in which they stand. :mod:`.state` keeps the result in ``network.json`` in the
container's state, for ``inspect`` and for changes while the container runs (:mod:`.connect`).

A container without a network of its own loads none of the other modules of networks.
"""

from __future__ import annotations

import os

from minict.runtime import paths, spec
from minict.runtime.errors import ContainerError

from . import options
from .state import GUEST, network_settings, write

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_serving: dict = {}  # container's id -> the EventLoop with its services in this process


class Sandbox:
    """The networks of the container *id* as its *settings* ask for them. Making the object takes nothing from the host.

    *hostname* and *domain*: the container's own. *exposed*: the ports that its image exposes, such as ``80/tcp``.
    *name*: its name on the networks, if it differs from the settings'. Raises :class:`ContainerError` for every invalid
    option.
    """

    def __init__(
        self,
        settings,
        id: str,
        hostname: str,
        exposed: Sequence[str] = (),
        name: str | None = None,
        domain: str | None = None,
    ):
        self.id, self.hostname, self.domain, self.name = id, hostname, domain, name or settings.name
        self.mode = options.find_mode(settings.network)
        self.partner = options.find_partner(self.mode) if self.mode.startswith("container:") else None
        options.refuse_contradictions(settings, self.mode)
        self.endpoints = options.find_endpoints(settings) if self.mode == "bridge" else []
        self.ports = []
        if settings.publish or settings.publish_all or settings.expose:
            from . import portmapper

            default = self.endpoints[0].net.host_address if self.endpoints else portmapper.ANY
            self.ports = portmapper.mappings(settings.publish, settings.publish_all, settings.expose, exposed, default)
        self.exposed = [*exposed, *(settings.expose if self.ports or settings.expose else [])]
        self.links = [options.find_link(text) for text in settings.link]
        gateway = self.endpoints[0].net.gateway if self.endpoints else None
        self.added = [options.find_host(text, gateway) for text in settings.add_host]
        self.resolver = options.find_resolver(settings)
        if self.mode == "host":
            self.ports = []  # as in Docker: the container listens on the host's own ports
        if self.ports and self.endpoints and all(endpoint.net.internal for endpoint in self.endpoints):
            raise ContainerError(
                f"-p has no effect: the network {self.endpoints[0].net.name} is internal: "
                "add another network, or remove -p"
            )

    # ---- the calls for one container, in this order --------------------------------------------------------------

    def namespaces(self) -> list[spec.Namespace]:
        """The network namespace for the spec: a new one, one to join, or none, which means the host's."""
        if self.partner:
            pid = self.partner.pid()
            if pid is None:
                raise ContainerError(f"--network {self.mode}: the container is not running: start it first")
            return [spec.Namespace(type="network", path=f"/proc/{pid}/ns/net")]
        return [] if self.mode == "host" else [spec.Namespace(type="network")]

    @property
    def waits(self) -> bool:
        """Whether the container's process has to wait for :meth:`set_up`."""
        return self.mode == "bridge"

    def ledger(self) -> list:
        """What :meth:`reserve` and :meth:`set_up` will take, to be recorded first."""
        entries = [entry for endpoint in self.endpoints for entry in endpoint.net.ledger(self.id, endpoint.number)]
        return (
            entries
            + [["ports", self.id]] * bool(self.ports)
            + [["services", self.id]] * (self.has_resolver or bool(self.ports))
        )

    @property
    def has_resolver(self) -> bool:
        """Whether the container uses our DNS server: on the default network it does not, as in Docker."""
        return any(endpoint.net.id for endpoint in self.endpoints)

    def reserve(self) -> None:
        """Take ports and addresses, in the container's monitor. Raises :class:`ContainerError`."""
        if self.ports:
            from . import portmapper

            portmapper.hold(self.id, self.ports)
        if self.partner:
            self._share()
        if self.endpoints:
            from . import bridge, endpoints

            with bridge.lock():
                for endpoint in self.endpoints:
                    endpoints.reserve(self.id, endpoint)

    def files(self) -> dict[str, str]:
        """The texts of the container's /etc/hosts and /etc/resolv.conf, unless it shares another container's."""
        from . import dns

        if self.partner:
            return {}  # they exist already: see _share
        network_state = self._network_state()
        if self.endpoints:
            from . import endpoints

            text = dns.hosts(endpoints.hosts_lines(network_state), self.added)
        elif self.mode == "host":
            text = dns.hosts_of_the_host(dns.full_names(network_state), self.added)
        else:
            text = dns.hosts([], [("127.0.1.1", " ".join(dns.full_names(network_state))), *self.added])
        resolver = {**self.resolver, "servers": [dns.EMBEDDED]} if self.has_resolver else self.resolver
        return {"hosts": text, "resolv.conf": dns.resolv_conf(self.mode != "host", **resolver)}

    def variables(self) -> list[str]:
        """The environment variables of ``--link`` on the default network. Raises :class:`ContainerError`."""
        if not self.links or not any(not endpoint.net.id for endpoint in self.endpoints):
            return []
        from . import links

        return [
            word for linked, alias in self.links for word in links.variables(self.name or self.id[:12], linked, alias)
        ]

    def set_up(self, pid: int) -> None:
        """Give the process *pid*, which is in its new namespace, its interfaces, and publish its ports.

        Raises :class:`ContainerError`.
        """
        for endpoint in self.endpoints:
            endpoint.net.ensure_bridge()
            endpoint.net.add_interface(self.id, pid, endpoint.address, endpoint.number, endpoint.mac)
        network_state = self._network_state()
        if not self.endpoints:
            return write(self.id, network_state)
        from . import bridge, endpoints

        if self.has_resolver or self.ports:
            from minict.engine.util.eventloop import EventLoop
        if self.has_resolver:
            _serving[self.id] = EventLoop()
            endpoints.serve_names(_serving[self.id], self.id, pid, self.resolver["servers"])
        if self.ports:
            with bridge.lock():
                endpoints.publish(self.id, network_state)
            endpoints.forward(_serving.setdefault(self.id, EventLoop()), self.id)
        write(self.id, network_state)
        endpoints.introduce(self.id, network_state)
        for endpoint in self.endpoints:
            endpoints.emit("connect", self.id, endpoint.net.id, endpoint.net.name)
        return None

    def _network_state(self) -> dict:
        return {
            "name": self.name,
            "hostname": self.hostname,
            "domain": self.domain,
            "links": self.links,
            "ports": [[port.protocol, port.address, port.outside, port.inside] for port in self.ports],
            "exposed": self.exposed,
            "resolver": self.has_resolver,
            "endpoints": [endpoint.to_dict() for endpoint in self.endpoints],
        }

    def network_settings(self) -> dict:
        """See :func:`network_settings`."""
        return network_settings(self.id)

    def _share(self) -> None:
        """Link the partner's files into our state, so that both containers always see the same text."""
        try:
            assert self.partner
            for name in ("hosts", "resolv.conf"):
                own = f"{paths.container_data(self.id)}/{name}"
                if os.path.lexists(own):  # left by the last run
                    os.unlink(own)
                os.link(f"{paths.container_data(self.partner.id)}/{name}", own)
            open(self.partner.path(GUEST + self.id), "w").close()  # see endpoints
        except FileNotFoundError:
            raise ContainerError(f"--network {self.mode}: the container has just ended") from None


# ---- from its recorded state -----------------------------------------------------------------------------------------


# ---- services of this process ------------------------------------------------------------------------------------


def services(id: str):
    """The :class:`minict.engine.util.eventloop.EventLoop` with this process's services for the container *id*, such as
    its DNS server; or None.
    """
    return _serving.get(id)


def serve_in_background(id: str) -> None:
    """Run the services in a thread, for a process that is busy with something else."""
    if id in _serving:
        _serving[id].serve_in_background()


def _stop_serving(id: str) -> None:
    if loop := _serving.pop(id, None):
        loop.close()


# ---- the end -----------------------------------------------------------------------------------------------------


def _undo(kind: str, value: str) -> None:
    from . import endpoints

    endpoints.UNDO[kind](value)


# How each kind of entry in :meth:`Sandbox.ledger` is undone. The modules for it are loaded when they are needed.
UNDO: dict[str, Any] = {kind: lambda value, kind=kind: _undo(kind, value) for kind in ("address", "veth", "ports")}
UNDO["services"] = _stop_serving
