"""IP address management: subnets, and one file for each address in use.

The file system is the referee. An address is a symbolic link ``$MINICT_RUN/networks/NETWORK/addresses/10.210.0.2 ->
../../../containers/ID``: creating a link either succeeds or finds one there, so two containers cannot take the same
address, and a link always has its text, which a file of a killed writer may lack. A link that leads nowhere is the
address of a container that is gone.
"""

from __future__ import annotations

import os

from minict.runtime import files, paths
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in

DEFAULT_SUBNET = "10.210.0.0/16"  # beside those of Docker (172.17 and up), Podman (10.88), libvirt and Kubernetes

_OTHERS = ("172.16.210.0/24", "192.168.210.0/24", "10.211.0.0/16")  # used, or suggested, if the default subnet is taken

# user-defined networks get 256 addresses each from these
_POOLS = ("10.211.0.0/16", "172.30.0.0/16", "192.168.192.0/18")
_NARROW = 8  # the shortest prefix of a route that counts as a network of its own


def to_number(address: str) -> int:
    """``10.0.0.1`` as a 32-bit number. Raises :class:`ValueError`.

    The module ipaddress does this and much more, for 4 ms at each start.
    """
    parts = address.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
        raise ValueError(f"invalid IPv4 address {address!r}")
    return int.from_bytes(bytes(map(int, parts)), "big")


def to_bytes(address: str) -> bytes:
    """``10.0.0.1`` as four bytes, as the kernel expects it. Raises :class:`ValueError`."""
    return to_number(address).to_bytes(4, "big")


def to_text(number: int) -> str:
    """The text of an address given as a 32-bit number."""
    return ".".join(map(str, number.to_bytes(4, "big")))


class Subnet:
    """A range of addresses such as ``10.210.0.0/16``: the first *prefix* bits name the network, the others a machine.

    *gateway*: the host's own address in it, the first one by default. *ip_range*: the part of it, written as a subnet
    too, from which containers get their addresses. *said*: the option that named it, for errors. Raises
    :class:`ContainerError` for an invalid subnet, or one too small for two machines.
    """

    def __init__(self, text: str, gateway: str | None = None, ip_range: str | None = None, said: str = "MINICT_SUBNET"):
        self.first, self.prefix, self.last = _range(text, said)
        if self.prefix > 29:
            raise ContainerError(
                f"the subnet {text} is too small: use a prefix of at most 29, as in 10.9.8.0/29 ({said})"
            )
        self.gateway = gateway or to_text(self.first + 1)
        self.ip_range, self.allotted = ip_range, (self.first, self.last)
        if not self.is_machine(self.gateway):
            raise ContainerError(
                f"invalid gateway {self.gateway}: use an address in {text}, but neither its first nor its last"
            )
        if ip_range:
            first, _, last = _range(ip_range, "--ip-range")
            if first < self.first or last > self.last:
                raise ContainerError(f"invalid --ip-range {ip_range}: use a part of the subnet {text}")
            self.allotted = (first, last)

    def __str__(self):
        return f"{to_text(self.first)}/{self.prefix}"

    def overlaps(self, first: int, last: int) -> bool:
        """Whether any address from *first* to *last* belongs to the subnet."""
        return first <= self.last and self.first <= last

    def is_machine(self, address: str) -> bool:
        """Whether a machine can have this *address*: not the first, which names the network, nor the last, which is
        broadcast.
        """
        try:
            return self.first < to_number(address) < self.last
        except ValueError:
            return False

    def after(self, number: int):
        """The numbers of all addresses for containers, each once, in a circle that begins after *number*."""
        low, high = max(self.allotted[0], self.first + 1), min(self.allotted[1], self.last - 1)
        size, gateway = high - low + 1, to_number(self.gateway)
        start = number + 1 - low if low <= number <= high else 0
        for step in range(size):
            one = low + (start + step) % size
            if one != gateway:
                yield one


def _range(text: str, said: str) -> tuple[int, int, int]:
    """(first address, prefix, last address) of ``ADDRESS/PREFIX``.  Raises :class:`ContainerError`."""
    address, _, prefix = text.partition("/")
    try:
        first, bits = to_number(address), int(prefix) if prefix.isascii() and prefix.isdigit() else -1
    except ValueError:
        first, bits = 0, -1
    if not 1 <= bits <= 32:
        raise ContainerError(f"invalid subnet {text!r}: write it as in {DEFAULT_SUBNET} ({said})")
    last = first | (1 << 32 - bits) - 1
    if first & (1 << 32 - bits) - 1:
        raise ContainerError(
            f"invalid subnet {text}: the bits after its prefix must be zero, as in {DEFAULT_SUBNET} ({said})"
        )
    return first, bits, last


def default_subnet(bridge: str = "") -> Subnet:
    """The subnet of the default network, whose bridge has this name; MINICT_SUBNET moves it.

    It is the one that the bridge has, or else the first that the host has no route to: inside a container of minict,
    the outer network already has :data:`DEFAULT_SUBNET`.  Raises :class:`ContainerError`.
    """
    if (text := os.environ.get("MINICT_SUBNET")) is not None:
        return Subnet(text)
    known = routes()
    choices = [Subnet(text) for text in (DEFAULT_SUBNET, *_OTHERS)]
    own = [each for each in choices if (bridge, each.first, each.last) in known]
    free = (each for each in choices if not any(each.overlaps(*route[1:]) for route in known if route[0] != bridge))
    return own[0] if own else next(free, choices[0])


def routes() -> list[tuple[str, int, int]]:
    """The routes of the host: (interface, first address, last address).

    Without the default route, and without the routes for half of all addresses with which a VPN overrides it: our own,
    narrower route takes precedence over them.
    """
    from minict.engine.rootless.outside import join_network
    from minict.kernel.netlink import Rtnetlink

    join_network()
    with Rtnetlink() as host:
        found = [
            (_interface(route.index), int.from_bytes(route.destination, "big"), route.prefix) for route in host.routes()
        ]
    return [(name, first, first | (1 << 32 - prefix) - 1) for name, first, prefix in found if prefix >= _NARROW]


def _interface(index: int) -> str:
    """The name of an interface; listing all of them would take longer with each container."""
    import _socket

    try:
        return _socket.if_indextoname(index)
    except OSError:
        return "several interfaces"


def check_free(subnet: Subnet, bridge: str, remedy: str = "set MINICT_SUBNET to a free one") -> None:
    """Check that only *bridge* uses addresses of *subnet*: otherwise one of the two networks could not be reached.

    Raises :class:`ContainerError` with the conflicting route, the *remedy*, and a free subnet.
    """
    taken = [route for route in routes() if route[0] != bridge]
    for interface, first, last in taken:
        if subnet.overlaps(first, last):
            free = [other for other in _OTHERS if not any(Subnet(other).overlaps(*route[1:]) for route in taken)]
            raise ContainerError(
                f"the containers' subnet {subnet} overlaps {to_text(first)} to {to_text(last)}, which the host reaches "
                f"through {interface}: {remedy}" + f", such as {free[0]}" * bool(free)
            )


def choose(taken: list[tuple[int, int]]) -> str:
    """Choose a subnet of 254 addresses that overlaps none of *taken*, pairs of first and last address.

    Raises :class:`ContainerError` when all are in use.
    """
    for pool in _POOLS:
        first, _, last = _range(pool, "_POOLS")
        for start in range(first, last, 256):
            if not any(low <= start + 255 and start <= high for low, high in taken):
                return f"{to_text(start)}/24"
    raise ContainerError(
        f"all predefined subnets of {' and '.join(_POOLS)} are in use: choose one with --subnet, or remove networks "
        "with 'minict network prune'"
    )


def make_private_directory() -> None:
    """Make the directory of all networks, which only root may read."""
    paths.make_directory(paths.run_root())
    try:
        os.mkdir(f"{paths.run_root()}/networks", 0o700)
    except FileExistsError:
        pass


def network_state(network: str) -> str:
    """The directory with the state of *network*."""
    return f"{paths.run_root()}/networks/{network}"


def reserve(network: str, id: str, subnet: Subnet | None = None, wanted: str | None = None) -> str:
    """Take an address of *network* for the container *id*, whose state directory must exist; return the address.

    Addresses are handed out in a circle: one that has just been released comes last, so that its former peers do not
    reach a stranger. *wanted*: the address to take. Raises :class:`ContainerError` when it is in use, or all are.
    """
    subnet = subnet or default_subnet()
    while True:
        try:
            return _take(network, id, wanted) if wanted else _take_next(network, id, subnet)
        except FileNotFoundError:
            make_private_directory()
            os.makedirs(f"{network_state(network)}/addresses", exist_ok=True)  # new, or just removed: see forget()


def _take(network: str, id: str, wanted: str) -> str:
    try:
        os.symlink(f"../../../containers/{id}", f"{network_state(network)}/addresses/{wanted}")
    except FileExistsError:
        raise ContainerError(
            f"the address {wanted} of the network {network} is in use by the container "
            f"{holders(network).get(wanted, '')[:12] or 'that has just ended'}: choose another one with --ip"
        ) from None
    return wanted


def _take_next(network: str, id: str, subnet: Subnet) -> str:
    directory = network_state(network)
    last = os.open(f"{directory}/last", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        for number in subnet.after(int(os.pread(last, 10, 0) or 0)):
            try:
                os.symlink(f"../../../containers/{id}", f"{directory}/addresses/{to_text(number)}")
            except FileExistsError:
                continue
            os.pwrite(last, b"%010d" % number, 0)  # one write of a fixed size: no reader sees half of it
            return to_text(number)
    finally:
        os.close(last)
    raise ContainerError(
        f"all addresses of the network {network} ({subnet}) are in use: stop some containers, run "
        "'minict prune', or use a larger subnet (MINICT_SUBNET, --subnet)"
    )


def holders(network: str) -> dict[str, str]:
    """Every address of *network* that is in use, with the id of its container."""
    directory = f"{network_state(network)}/addresses"
    found = {}
    for address in names_in(directory):
        try:
            found[address] = os.path.basename(os.readlink(f"{directory}/{address}"))
        except FileNotFoundError:
            pass  # released since the directory was read
    return found


def holder(network: str, address: str) -> str | None:
    """The id of the container that has the *address* of *network*."""
    try:
        return os.path.basename(os.readlink(f"{network_state(network)}/addresses/{address}"))
    except OSError:
        return None


def release(network: str, id: str, known: str | None = None) -> None:
    """Give back every address of the container *id* in *network*; harmless when it has none.

    *known*: its address, which saves looking through all of them.
    """
    if known and holder(network, known) == id:
        _remove(network, known)
    else:
        for address, other in holders(network).items():
            if other == id:
                _remove(network, address)


def release_orphans(network: str) -> None:
    """Take back the addresses of containers whose state directory is gone."""
    for address in holders(network):
        if not os.path.exists(f"{network_state(network)}/addresses/{address}"):  # the link leads nowhere
            _remove(network, address)


def forget(network: str) -> None:
    """Remove the directory of *network*, unless an address is in use."""
    directory = network_state(network)
    # The kernel refuses to remove a directory that contains a link, so no address can be reserved in between.
    for remove, path in (
        (os.rmdir, f"{directory}/addresses"),
        (files.remove_tree, f"{directory}/names"),
        (os.unlink, f"{directory}/last"),
        (os.rmdir, directory),
    ):
        try:
            remove(path)
        except FileNotFoundError:
            pass
        except OSError:
            return


def _remove(network: str, address: str) -> None:
    try:
        os.unlink(f"{network_state(network)}/addresses/{address}")
    except FileNotFoundError:
        pass
