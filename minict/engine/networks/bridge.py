"""A container's network: a bridge, which is a switch inside the kernel, and a virtual cable from it into the container.

::

    the container's network namespace      the host's
    +---------------------------+          +------------------------------------------------+
    |  eth0   10.210.0.2/16     |   veth   |  vethID --- minict0  10.210.0.1/16             |
    |  default via 10.210.0.1   |==========|             (bridge)    | forwarded, with the   |
    |  lo     127.0.0.1/8       |          |                         v host's own address    |
    +---------------------------+          |                       eth0 --- the world       |
                                           +------------------------------------------------+

A cable is a veth pair: what is sent into one end comes out of the other.  One end is created as eth0 inside the
container's namespace, the other as a port of the bridge.

Sources: ip-link(8), veth(4), network_namespaces(7), rtnetlink(7).
"""

from __future__ import annotations

import errno
import os
import time

from minict.engine.rootless import outside
from minict.kernel.namespaces import inside
from minict.kernel.netlink import Rtnetlink
from minict.runtime import locks, paths
from minict.runtime.errors import ContainerError

from . import driveroptions, firewall
from . import ipam as addresses

_IP_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_PATIENCE = 100  # times 1 ms: how long the kernel may take to report that both ends of a veth pair are up


class Network:
    """A bridge with its subnet. The default one is ``Network("bridge")``; MINICT_BRIDGE and MINICT_SUBNET move it.

    *internal*: containers reach each other and the host, and nothing else. *id*, *labels*, *created* (seconds since
    1970) and *options* (:mod:`.driveroptions`) belong to user-defined networks: see :mod:`.store`.

    The order of calls for one container:

    1. :meth:`ledger` lists what will be taken, for the container's state;
    2. :meth:`reserve` takes an address, :meth:`ensure_bridge` makes the bridge;
    3. :meth:`add_interface` runs once the new namespace has a process;
    4. :func:`undo` runs for each entry of the ledger at the end. The veth pair disappears with the namespace.
    """

    def __init__(
        self,
        name: str = "bridge",
        bridge: str | None = None,
        subnet: addresses.Subnet | None = None,
        *,
        internal: bool = False,
        id: str = "",
        labels: dict | None = None,
        created: float = 0,
        options: dict | None = None,
    ):
        outside.join_network()
        self.options = options or {}
        self.name, self.internal, self.id, self.labels, self.created = name, internal, id, labels or {}, created
        self.bridge = bridge or os.environ.get("MINICT_BRIDGE", "minict0")
        self.subnet = subnet or addresses.default_subnet(self.bridge)
        if not 0 < len(self.bridge) < 16 or not self.bridge.isascii() or not self.bridge.replace("-", "").isalnum():
            raise ContainerError(
                f"invalid bridge name {self.bridge!r}: use 1 to 15 letters, digits and '-' (MINICT_BRIDGE)"
            )

    def _repr_html_(self):
        from minict.engine.util import table

        return table.html_object(
            {
                "driver": "bridge",
                "subnet": self.subnet,
                "gateway": self.gateway,
                "bridge": self.bridge,
                "reaches the world": "no" if self.internal else "yes",
            },
            f"network {self.name}",
        )

    @property
    def is_default(self) -> bool:
        return not self.id

    @property
    def key(self) -> str:
        """The name under which addresses are kept: a network created again under an old name starts afresh."""
        return self.id[:12] or self.name

    @property
    def gateway(self) -> str:
        return self.subnet.gateway

    @property
    def mtu(self) -> int:
        """The largest packet in bytes; 0 for the kernel's default."""
        return int(self.options.get(driveroptions.MTU, 0)) if self.options else 0

    @property
    def host_address(self) -> str:
        """The address of the host at which ports are published when none is named."""
        return self.options.get(driveroptions.HOST_ADDRESS, "0.0.0.0") if self.options else "0.0.0.0"

    def interface(self, number: int) -> str:
        """The name of a container's interface with this *number*."""
        return f"{self.options.get(driveroptions.PREFIX, 'eth') if self.options else 'eth'}{number}"

    def ledger(self, id: str, number: int = 0) -> list[list[str]]:
        """What the container *id* will take from the host, as [kind, value] pairs for :func:`undo`."""
        return [["address", f"{self.key}/{id}"], ["veth", host_end(id, number)]]

    def reserve(self, id: str, wanted: str | None = None) -> str:
        """Take an address for the container *id*: the *wanted* one, or the next free one. Return it.

        Raises :class:`ContainerError`.
        """
        return addresses.reserve(self.key, id, self.subnet, wanted)

    def ensure_bridge(self) -> None:
        """Make the bridge and everything its containers need to reach the world, or as much of it as is missing.

        It looks into the kernel each time: if an administrator flushes the firewall, the network of the next container
        works again. Raises :class:`ContainerError`.
        """
        with lock(), _asking_the_kernel(f"the bridge {self.bridge}"):
            remedy = (
                "set MINICT_SUBNET to a free one"
                if self.is_default
                else (f"remove the network {self.name} and create it again with another --subnet")
            )
            addresses.check_free(self.subnet, self.bridge, remedy)
            _forward_packets()
            # The kernel has this route exactly as long as the bridge exists, is up, and has its address.
            if (self.bridge, self.subnet.first, self.subnet.last) not in addresses.routes():
                self._make_bridge()
            masquerade = not self.options or driveroptions.is_on(self.options, driveroptions.MASQUERADE)
            firewall.open_for(self.bridge, str(self.subnet), self.internal, masquerade)
        if not self.internal and (why := outside.open_way_out()):
            os.write(2, f"minict: {why}\n".encode())

    def _make_bridge(self) -> None:
        with Rtnetlink() as host:
            if not host.link(self.bridge):
                # A fixed Ethernet address: a bridge without one takes the address of a port, and changes it as ports
                # come and go while the containers still send to the old one.
                host.add_bridge(self.bridge, mac(self.gateway), self.mtu)
            bridge = host.link(self.bridge)
            assert bridge
            if bridge.kind != "bridge":
                raise ContainerError(
                    f"the interface {self.bridge} exists and is not a bridge: set MINICT_BRIDGE to another name"
                )
            present = [addresses.to_text(int.from_bytes(address, "big")) for address, _ in host.addresses(bridge.index)]
            if present and present != [self.gateway]:
                raise ContainerError(
                    f"the bridge {self.bridge} has the address {present[0]} instead of {self.gateway}: "
                    "stop its containers and run 'minict prune', or set MINICT_SUBNET back"
                )
            if not present:
                host.add_address(bridge.index, addresses.to_bytes(self.gateway), self.subnet.prefix)
            _refuse_router_advertisements(self.bridge)
            host.set_up(bridge.index)

    def add_interface(self, id: str, pid: int, address: str, number: int = 0, ethernet: str | None = None) -> None:
        """Give the process *pid* of the container *id* the interface eth*number* on this bridge, with *address*, and
        lo.

        *ethernet*: its Ethernet address, if it should differ from the one derived from the IPv4 address. The first
        interface with a way to the world gets the default route. Raises :class:`ContainerError`; the caller then undoes
        the ledger.
        """
        namespace = open_namespace(id, pid)
        try:
            with _asking_the_kernel(f"the network of container {id[:12]}"):
                with Rtnetlink() as host:
                    bridge = host.index(self.bridge)
                    mine, theirs = host_end(id, number), self.interface(number)
                    cable = (mine, theirs, ethernet or mac(address), namespace, bridge, self.mtu)
                    try:
                        host.add_veth(*cable)
                    except FileExistsError:  # the kernel still takes apart the last namespace
                        remove_cable(host, mine)
                        host.add_veth(*cable)
                    _drop_loopback(host.index(mine))
                    if self.options and not driveroptions.is_on(self.options, driveroptions.ICC):
                        host.isolate(host.index(mine))
                _switch_ipv6_off(namespace, theirs)
                with Rtnetlink(namespace=namespace) as container:
                    container.set_up(container.index("lo"))
                    eth = container.index(theirs)
                    container.add_address(eth, addresses.to_bytes(address), self.subnet.prefix)
                    container.set_up(eth)
                    if not self.internal and all(route.prefix for route in container.routes()):
                        container.add_default_route(addresses.to_bytes(self.gateway))
                    wait_for_carrier(container, theirs)
                with Rtnetlink() as host:
                    wait_for_carrier(host, mine)
        finally:
            os.close(namespace)

    def route_through(self, id: str, pid: int) -> None:
        """Make this network the default route of a running container that has lost its own, or has none."""
        namespace = open_namespace(id, pid)
        try:
            with _asking_the_kernel(f"the route of container {id[:12]}"), Rtnetlink(namespace=namespace) as container:
                if all(route.prefix for route in container.routes()):
                    container.add_default_route(addresses.to_bytes(self.gateway))
        finally:
            os.close(namespace)

    def remove_bridge_if_unused(self) -> bool:
        """Undo :meth:`ensure_bridge`, unless a container uses the network; return whether something was removed.

        A network with a reserved address, or with anything plugged in, is in use. Raises :class:`ContainerError`.
        """
        with lock() as held:
            addresses.release_orphans(self.key)
            if addresses.holders(self.key):
                return False
            removed = self.remove_bridge()
            remove_lock_if_alone(held)
        return bool(removed)

    def remove_bridge(self) -> bool | None:
        """The same for a caller that holds the lock and knows that no address is in use; None if an interface is
        plugged in.
        """
        with _asking_the_kernel(f"the removal of the bridge {self.bridge}"):
            with Rtnetlink() as host:
                bridge = host.link(self.bridge)
                if bridge and not _remove_when_empty(host, bridge):
                    return None
            rules = firewall.close_for(self.bridge)
            forwarding = _restore_forwarding()
            addresses.forget(self.key)
        return bool(bridge or rules or forwarding)


def _remove_when_empty(host: Rtnetlink, bridge) -> bool:
    """Remove the *bridge*, none of whose addresses is in use; False when it has ports that minict did not make.

    The kernel takes apart the network namespace of a container that has ended in the background, and a process that has
    joined the namespace may keep it even longer. So the veth pairs of such containers are removed here.
    """
    plugged = [link.name for link in host.links() if link.master == bridge.index]
    for name in filter(_is_host_end, plugged):
        remove_cable(host, name)
    if not all(map(_is_host_end, plugged)):
        return False
    host.remove_link(bridge.name)
    return True


def undo(kind: str, value: str) -> None:
    """Take back what an entry of :meth:`Network.ledger` names; harmless if the thing was never taken."""
    if kind == "address":
        network, _, id = value.partition("/")
        addresses.release(network, id)
    elif kind == "veth":
        outside.join_network()
        with _asking_the_kernel(f"the removal of {value}"), Rtnetlink() as host:
            remove_cable(host, value)


def wait_for_carrier(namespace: Rtnetlink, name: str) -> None:
    """Wait until the kernel reports, some milliseconds later, that both ends of a veth pair are up.

    Until then it drops what the bridge sends to the container, and a client waits a second before it asks again.
    """
    for _ in range(_PATIENCE):
        link = namespace.link(name)
        if link is None or link.running:
            return
        time.sleep(0.001)


def remove_cable(host: Rtnetlink, name: str) -> None:
    """Remove a veth pair by its end on the host; harmless when it is gone."""
    try:
        host.remove_link(name)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def open_namespace(id: str, pid: int) -> int:
    """Open the network namespace of *pid*, which must not be the host's. Raises :class:`ContainerError`."""
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ContainerError(f"the container {id[:12]} ended before its network was ready", errno=error.errno) from None
    if os.path.samestat(os.fstat(namespace), os.stat("/proc/thread-self/ns/net")):
        os.close(namespace)
        raise ContainerError(f"the process {pid} is in the host's network namespace: it cannot get an eth0 of its own")
    return namespace


def host_end(id: str, number: int = 0) -> str:
    """The name of the host's end of a container's veth pair, derived from its id so that it can always be found.

    A name has at most 15 characters: three are left for the *number* of a second and third network.
    """
    return f"veth{id[:8]}.{number}" if number else f"veth{id[:8]}"


def _is_host_end(name: str) -> bool:
    """Whether *name* is one that :func:`host_end` gives."""
    id, dot, number = name.removeprefix("veth").partition(".")
    return (
        name.startswith("veth")
        and len(id) == 8
        and set(id) <= set("0123456789abcdef")
        and (not dot or number.isdigit())
    )


def mac(address: str) -> str:
    """The Ethernet address that belongs to an IPv4 *address*, so that no other container can remember a wrong one.

    The leading 02 means: not assigned by a manufacturer (IEEE 802, locally administered).
    """
    return "02:00:" + addresses.to_bytes(address).hex(":")


def lock() -> locks.Held:
    """For ``with``: only one process at a time changes the networks, the firewall and the endpoints."""
    outside.join_network()
    return locks.Held(f"{paths.run_root()}/networks/lock", locks.FILE, make=addresses.make_private_directory)


def remove_lock_if_alone(held: locks.Held) -> None:
    """Remove the file of the lock that is *held*, and its directory, when nothing else is in it."""
    if os.listdir(os.path.dirname(held.path)) == ["lock"]:
        os.unlink(held.path)
        try:
            os.rmdir(os.path.dirname(held.path))
        except OSError:
            pass


class _asking_the_kernel:
    """For ``with``: an :class:`OSError` of the kernel becomes a :class:`ContainerError` that says *what* was
    refused."""

    def __init__(self, what: str):
        self.what = what

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, OSError):
            if error.errno == errno.EROFS:
                raise ContainerError(
                    f"the kernel refused {self.what}: {error.strerror} (/proc/sys, as in a container): start the "
                    "outer container with --security-opt systempaths=unconfined or --privileged, or use --network none",
                    errno=error.errno,
                ) from error
            raise ContainerError(f"the kernel refused {self.what}: {error.strerror}", errno=error.errno) from error
        return False


def _forward_packets() -> None:
    """Switch on IP forwarding on the host; a file that is written first remembers that it was off."""
    with open(_IP_FORWARD) as file:
        if file.read().strip() == "1":
            return
    open(f"{paths.run_root()}/networks/ip_forward", "w").close()
    try:
        with open(_IP_FORWARD, "w") as file:
            file.write("1")
    except OSError as error:
        raise ContainerError(
            f"cannot forward the containers' packets: setting {_IP_FORWARD} to 1 failed: "
            f"{error.strerror}; set it yourself, or use --network none",
            errno=error.errno,
        ) from None


def _restore_forwarding() -> bool:
    """Switch off the host's forwarding if minict switched it on and no other bridge may need it.

    Another bridge belongs to minict, Docker or a virtual machine that found forwarding switched on.
    """
    memory = f"{paths.run_root()}/networks/ip_forward"
    if not os.path.exists(memory) or _bridges():
        return False
    with open(_IP_FORWARD, "w") as file:
        file.write("0")
    os.unlink(memory)
    return True


def _bridges() -> list[str]:
    """The names of all bridges of the host."""
    with Rtnetlink() as host:
        return [link.name for link in host.links() if link.kind == "bridge"]


def _drop_loopback(index: int) -> None:
    """Let the host's end of a veth pair drop what the container sends to 127.0.0.1.

    A published port makes the kernel route that address (:mod:`.portmapper`). The rule of the firewall that drops such
    packets goes with ``nft flush ruleset``, and this filter does not. Without kernel support the rule has to do.
    """
    from minict.kernel.traffic_control import drop_loopback

    try:
        drop_loopback(index)
    except OSError:
        pass


def _switch_ipv6_off(namespace: int, interface: str) -> None:
    """Leave a container's *interface* without IPv6, as Docker does on networks that have none: otherwise each container
    could make itself the IPv6 router of the others (CVE-2020-10749)."""
    with inside(namespace):
        for name, value in (("accept_ra", "0"), ("accept_redirects", "0"), ("disable_ipv6", "1")):
            _write_if_there(f"/proc/sys/net/ipv6/conf/{interface}/{name}", value)


def _refuse_router_advertisements(bridge: str) -> None:
    """Do not let a container become the host's IPv6 router (CVE-2020-10749, CVE-2020-13401)."""
    _write_if_there(f"/proc/sys/net/ipv6/conf/{bridge}/accept_ra", "0")


def _write_if_there(path: str, value: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(value)
    except FileNotFoundError:
        pass  # a kernel without IPv6
