"""A container's network: a bridge, which is a switch inside the kernel, and a cable from it into the container.

::

    the container's network namespace      the host's
    +---------------------------+          +------------------------------------------------+
    |  eth0   10.210.0.2/16     |   veth   |  vethID --- minict0  10.210.0.1/16             |
    |  default via 10.210.0.1   |==========|             (bridge)    | forwarded, with the   |
    |  lo     127.0.0.1/8       |          |                         v host's own address    |
    +---------------------------+          |                       eth0 --- the world       |
                                           +------------------------------------------------+

A cable is a veth pair: what is sent into one end comes out of the other.  One end is born as eth0
inside the container's namespace, the other as a port of the bridge.

Sources: ip-link(8), veth(4), network_namespaces(7), rtnetlink(7).
"""
from __future__ import annotations

import fcntl
import os

from minict.kernel import namespaces
from minict.runtime import paths
from minict.runtime.errors import ContainerError

from . import address as addresses
from . import firewall

_IP_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_PATIENCE = 100  # times 10 ms: how long the cable of a container that has just ended may take to go


def find(mode: str) -> Network | None:
    """What ``--network MODE`` means: a :class:`Network`, or None for a container that is put on no bridge.

    ``none`` is a namespace of the container's own with nothing but lo, ``host`` is the host's namespace.
    Raises :class:`ContainerError` for any other word.
    """
    if mode == "bridge":
        return Network(mode)
    if mode in ("none", "host"):
        return None
    raise ContainerError(f"There is no network {mode!r}: --network takes bridge, none or host")


class Network:
    """A bridge with its subnet.  The default one is ``Network("bridge")``; MINICT_BRIDGE and MINICT_SUBNET move it.

    A container's way through it, in order:

    1. :meth:`ledger`, what it is going to take, goes into its state;
    2. :meth:`reserve` gives it an address, :meth:`ensure_bridge` makes sure of the bridge;
    3. :meth:`connect`, as soon as there is a process in the new namespace;
    4. :meth:`disconnect` at its end; or, when nobody was left to do that, :func:`undo` for each entry of the ledger.
    """

    def __init__(self, name: str = "bridge", bridge: str | None = None, subnet: addresses.Subnet | None = None):
        self.name = name
        self.bridge = bridge or os.environ.get("MINICT_BRIDGE", "minict0")
        self.subnet = subnet or addresses.default_subnet()
        if not 0 < len(self.bridge) < 16 or not self.bridge.isascii() or not self.bridge.replace("-", "").isalnum():
            raise ContainerError(f"{self.bridge!r} can't be a bridge's name: it takes 1 to 15 letters, digits and '-' "
                                 "(MINICT_BRIDGE)")

    @property
    def gateway(self) -> str:
        return self.subnet.gateway

    def ledger(self, id: str) -> list[list[str]]:
        """What the container *id* is going to take from the host, as [kind, value] pairs for :func:`undo`."""
        return [["address", f"{self.name}/{id}"], ["veth", host_end(id)]]

    def reserve(self, id: str) -> str:
        """Take an address for the container *id* and return it.  Raises :class:`ContainerError`."""
        return addresses.reserve(self.name, id, self.subnet)

    def ensure_bridge(self) -> None:
        """Make the bridge and all that its containers need to reach the world, or as much of it as is missing.

        It is looked for in the kernel each time, not remembered: whoever flushes the firewall
        breaks the running containers' network, but not the next one's.
        Raises :class:`ContainerError`.
        """
        with _lock():
            addresses.check_free(self.subnet, self.bridge)
            _forward_packets()
            # The kernel has this route exactly as long as the bridge is there, is up and has its address.
            if (self.bridge, self.subnet.first, self.subnet.last) not in addresses.routes():
                _by_netlink(f"the bridge {self.bridge}", self._make_bridge)
            firewall.open_for(self.bridge, str(self.subnet))

    def _make_bridge(self) -> None:
        from pyroute2 import IPRoute
        with IPRoute() as host:
            if not _index(self.bridge):
                # An address of its own choice: a bridge without one takes that of a port, and changes it as ports
                # come and go, while the containers still send to the old one.
                host.link("add", ifname=self.bridge, kind="bridge", address=mac(self.gateway))
            index = _index(self.bridge)
            if host.get_links(index)[0].get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") != "bridge":
                raise ContainerError(f"There is an interface {self.bridge}, but it is no bridge: set "
                                     "MINICT_BRIDGE to another name")
            present = [entry.get_attr("IFA_ADDRESS") for entry in host.get_addr(index=index, family=2)]
            if present and present != [self.gateway]:
                raise ContainerError(f"The bridge {self.bridge} has the address {present[0]} and not {self.gateway}: "
                                     "end its containers and run 'minict prune', or set MINICT_SUBNET back")
            if not present:
                host.addr("add", index=index, address=self.gateway, prefixlen=self.subnet.prefix)
            _refuse_router_advertisements(self.bridge)
            host.link("set", index=index, state="up")

    def connect(self, id: str, pid: int, address: str) -> None:
        """Give the network namespace of the process *pid* an interface eth0 on this bridge, with *address*, and lo.

        Raises :class:`ContainerError`; the caller then undoes the ledger.
        """
        try:
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ContainerError(f"The container {id} ended before it had its network", errno=error.errno) from None
        try:
            if os.path.samestat(os.fstat(namespace), os.stat("/proc/self/ns/net")):
                raise ContainerError(f"The process {pid} is in the host's network namespace: "
                                     "it can't get an eth0 of its own")
            _by_netlink(f"the network of container {id}", self._plug_in, id, namespace, address)
        finally:
            os.close(namespace)

    def _plug_in(self, id: str, namespace: int, address: str) -> None:
        """Runs in a thread of its own: it enters the container's namespace and does not come back."""
        from pyroute2 import IPRoute
        with IPRoute() as host:
            # One request: both ends are born where they belong, so nothing half-made can be left behind.
            host.link("add", ifname=host_end(id), kind="veth", master=_index(self.bridge), state="up",
                      peer={"ifname": "eth0", "address": mac(address), "net_ns_fd": namespace})
        namespaces.setns(namespace, namespaces.CLONE_NEWNET)
        with IPRoute() as container:
            container.link("set", index=_index("lo"), state="up")
            container.addr("add", index=_index("eth0"), address=address, prefixlen=self.subnet.prefix)
            container.link("set", index=_index("eth0"), state="up")
            container.route("add", dst="default", gateway=self.gateway)

    def disconnect(self, id: str) -> None:
        """The container *id* has ended: give its address back.

        Its cable goes by itself, with the namespace that holds its other end; to remove it by hand
        would only mean to wait for the kernel, 7 to 19 ms.
        """
        addresses.release(self.name, id)

    def remove_bridge_if_unused(self) -> bool:
        """Leave the host as it was before :meth:`ensure_bridge`, unless a container uses the network.

        A network with an address that is reserved, or with anything plugged in, is used.  Returns
        whether there was something to remove, and it is removed.  Raises :class:`ContainerError`.
        """
        with _lock() as lock:
            addresses.release_orphans(self.name)
            bridge = _index(self.bridge)
            if addresses.holders(self.name):
                return False
            if bridge and not _by_netlink(f"the removal of the bridge {self.bridge}", self._remove_bridge):
                return False
            rules = firewall.close_for(self.bridge)
            forwarding = _restore_forwarding()
            addresses.forget(self.name)
            _remove_lock(lock)
        return bool(bridge or rules or forwarding)

    def _remove_bridge(self) -> bool:
        import time

        from pyroute2 import IPRoute
        with IPRoute() as host:
            index = _index(self.bridge)
            for _ in range(_PATIENCE):
                if not any(link.get_attr("IFLA_MASTER") == index for link in host.get_links()):
                    host.link("del", index=index)
                    return True
                time.sleep(0.01)
        return False


def undo(kind: str, value: str) -> None:
    """Take back what an entry of :meth:`Network.ledger` names; what was never taken is no error."""
    if kind == "address":
        network, _, id = value.partition("/")
        addresses.release(network, id)
    elif kind == "veth" and _index(value):
        _by_netlink(f"the removal of {value}", _remove_link, value)


def _remove_link(name: str) -> None:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError
    with IPRoute() as host:
        try:
            host.link("del", ifname=name)
        except NetlinkError:
            if _index(name):  # else it went by itself, just now
                raise


def host_end(id: str) -> str:
    """The name of the host's end of a container's cable: from its id, so that it can be found when all else is lost.

    A name has at most 15 characters: three are left for a second and third network.
    """
    return f"veth{id[:8]}"


def mac(address: str) -> str:
    """The Ethernet address that goes with an IPv4 *address*: no neighbour can then remember a wrong one.

    The leading 02 means: not given by a manufacturer (IEEE 802, locally administered).
    """
    return "02:00:" + addresses.to_number(address).to_bytes(4, "big").hex(":")


def _index(interface: str) -> int:
    """The number of *interface* in the present network namespace; 0 when it is not there."""
    import socket
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0


def _lock():
    """For ``with``: one process at a time may change the bridges, the firewall and the host's forwarding."""
    directory = f"{paths.run_root()}/networks"
    while True:
        try:
            lock = open(f"{directory}/lock", "a")
            fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when the file is closed, or its process killed
            if os.fstat(lock.fileno()).st_nlink:
                return lock
            lock.close()  # whoever had it before has removed the file: a lock on it keeps nobody out
        except FileNotFoundError:
            os.makedirs(directory, exist_ok=True)


def _remove_lock(lock) -> None:
    """Remove the file of the lock that is held, and its directory, if there is nothing else in it."""
    os.unlink(lock.name)
    try:
        os.rmdir(os.path.dirname(lock.name))
    except OSError:
        pass


def _by_netlink(what: str, function, *arguments):
    """Call *function*, which uses pyroute2, in a thread, and return what it returned.

    The thread may enter another network namespace and takes that with it when it ends; and it has
    no event loop, whereas pyroute2 refuses to work in a thread whose loop is running, such as a
    notebook's.  Raises :class:`ContainerError`.
    """
    import threading
    try:
        from pyroute2.netlink.exceptions import NetlinkError
    except ImportError:
        raise ContainerError("The Python package pyroute2, which makes a container's network, is missing: "
                             "'pip install pyroute2', or use --network none") from None
    outcome = []

    def work():
        try:
            outcome.append((function(*arguments), None))
        except Exception as error:
            outcome.append((None, error))
    thread = threading.Thread(target=work)
    thread.start()
    try:
        thread.join()
    finally:  # also when the user interrupts: the work takes a few milliseconds, and nobody else can end it
        thread.join()
    # Python is done with the thread, the kernel perhaps not yet; and a process with threads must not be cloned.
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        os.sched_yield()
    result, error = outcome[0]
    if isinstance(error, (NetlinkError, OSError)):
        errno = getattr(error, "code", None) or error.errno
        raise ContainerError(f"The kernel refused {what}: {os.strerror(errno)}", errno=errno) from error
    if error:
        raise error
    return result


def _forward_packets() -> None:
    """Make a router of the host; a file that is written before remembers that it was none."""
    with open(_IP_FORWARD) as file:
        if file.read().strip() == "1":
            return
    open(f"{paths.run_root()}/networks/ip_forward", "w").close()
    try:
        with open(_IP_FORWARD, "w") as file:
            file.write("1")
    except OSError as error:
        raise ContainerError(f"The host can't forward the containers' packets, for {_IP_FORWARD} can't be set to 1: "
                             f"{error.strerror}; set it yourself, or use --network none", errno=error.errno) from None


def _restore_forwarding() -> bool:
    """Switch the host's forwarding off, when it was us who switched it on, and nobody has come to need it since.

    Another bridge is one of ours, or Docker's or a virtual machine's, whose maker found it switched on.
    """
    memory = f"{paths.run_root()}/networks/ip_forward"
    if not os.path.exists(memory) or _by_netlink("a look at the bridges", _bridges):
        return False
    with open(_IP_FORWARD, "w") as file:
        file.write("0")
    os.unlink(memory)
    return True


def _bridges() -> list[str]:
    """The names of the host's bridges, whoever made them."""
    from pyroute2 import IPRoute
    with IPRoute() as host:
        return [link.get_attr("IFLA_IFNAME") for link in host.get_links()
                if link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "bridge"]


def _refuse_router_advertisements(bridge: str) -> None:
    """Don't let a container appoint itself the host's IPv6 router (CVE-2020-10749, CVE-2020-13401)."""
    try:
        with open(f"/proc/sys/net/ipv6/conf/{bridge}/accept_ra", "w") as file:
            file.write("0")
    except FileNotFoundError:
        pass  # a kernel without IPv6
