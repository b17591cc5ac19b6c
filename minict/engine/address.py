"""Which IPv4 address a container gets: a subnet, and one file for each address that is in use.

The file system is the referee.  An address is a symbolic link
``$MINICT_RUN/networks/NETWORK/addresses/10.210.0.2 -> ../../../containers/ID``: making a link
either succeeds or finds one there, so two containers can't take the same address, and the link
is never there without its text, as a file could be whose writer was killed.  A link that leads
nowhere is the address of a container that is gone.
"""
from __future__ import annotations

import os
import sys

from minict.runtime import paths
from minict.runtime.errors import ContainerError

DEFAULT_SUBNET = "10.210.0.0/16"  # beside those of Docker (172.17 and up), Podman (10.88), libvirt and Kubernetes

_OTHERS = ("172.16.210.0/24", "192.168.210.0/24", "10.211.0.0/16")  # what to propose when a subnet is taken


def to_number(address: str) -> int:
    """``10.0.0.1`` as the 32-bit number that it is.  Raises :class:`ValueError`.

    (The module ipaddress does this and much more, for 4 ms at each start.)
    """
    parts = address.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
        raise ValueError(f"{address!r} is no IPv4 address")
    return int.from_bytes(bytes(map(int, parts)), "big")


def to_text(number: int) -> str:
    """The 32-bit number of an address as people write it."""
    return ".".join(map(str, number.to_bytes(4, "big")))


class Subnet:
    """A range of addresses such as ``10.210.0.0/16``: the first *prefix* bits are the network's, the rest a machine's.

    Raises :class:`ContainerError` for a text that is no subnet, or one too small for two machines.
    """

    def __init__(self, text: str):
        address, _, prefix = text.partition("/")
        try:
            self.prefix = int(prefix)
            self.mask = -1 << 32 - self.prefix & 0xFFFFFFFF
            self.first = to_number(address)
        except ValueError:
            raise ContainerError(f"{text!r} is no subnet: write one as {DEFAULT_SUBNET} (MINICT_SUBNET)") from None
        if not 1 <= self.prefix <= 29 or self.first & ~self.mask:
            raise ContainerError(f"The subnet {text} must have a prefix of 1 to 29 and zeros after it, as in "
                                 f"{DEFAULT_SUBNET} (MINICT_SUBNET)")
        self.last = self.first | ~self.mask & 0xFFFFFFFF

    def __str__(self):
        return f"{to_text(self.first)}/{self.prefix}"

    @property
    def gateway(self) -> str:
        """The host's own address in the subnet, through which a container reaches everything else: the first."""
        return to_text(self.first + 1)

    def overlaps(self, first: int, last: int) -> bool:
        """Whether any address from *first* to *last* belongs to the subnet."""
        return first <= self.last and self.first <= last

    def after(self, number: int):
        """The numbers of all addresses for containers, each once, in a circle from the one after *number*."""
        low, size = self.first + 2, self.last - self.first - 2  # not .0, the network, .1, the gateway, .255, broadcast
        start = number + 1 - low if low <= number <= self.last else 0
        for step in range(size):
            yield low + (start + step) % size


def default_subnet() -> Subnet:
    """The subnet of the default network; MINICT_SUBNET moves it.  Raises :class:`ContainerError`."""
    return Subnet(os.environ.get("MINICT_SUBNET", DEFAULT_SUBNET))


def routes() -> list[tuple[str, int, int]]:
    """What the host reaches, and how: (interface, first address, last address), without the default routes.

    Source: /proc/net/route, proc_pid_net(5); its numbers are in the byte order of the machine.
    """
    found = []
    with open("/proc/net/route") as table:
        for line in table.readlines()[1:]:
            words = line.split()
            first, mask = (int.from_bytes(int(words[column], 16).to_bytes(4, sys.byteorder), "big")
                           for column in (1, 7))
            if mask:
                found.append((words[0], first, first | ~mask & 0xFFFFFFFF))
    return found


def check_free(subnet: Subnet, bridge: str) -> None:
    """Make sure that nothing but *bridge* uses addresses of *subnet*: one of the two could not be reached.

    Raises :class:`ContainerError` with the route that is in the way and a subnet that is free.
    """
    taken = [route for route in routes() if route[0] != bridge]
    for interface, first, last in taken:
        if subnet.overlaps(first, last):
            free = [other for other in _OTHERS if not any(Subnet(other).overlaps(*route[1:]) for route in taken)]
            raise ContainerError(
                f"The containers' subnet {subnet} overlaps {to_text(first)} to {to_text(last)}, which the host reaches "
                f"through {interface}: set MINICT_SUBNET to a free one" + f", such as {free[0]}" * bool(free))


def network_state(network: str) -> str:
    """The directory of what is known of *network*."""
    return f"{paths.run_root()}/networks/{network}"


def reserve(network: str, id: str, subnet: Subnet | None = None) -> str:
    """Take an address of *network* for the container *id*, whose state directory must be there; return the address.

    Addresses are handed out in a circle: one that has just been given back comes last, so that
    whoever still talks to its former owner does not find a stranger.
    Raises :class:`ContainerError` when all are in use.
    """
    subnet = subnet or default_subnet()
    while True:
        try:
            return _take_next(network, id, subnet)
        except FileNotFoundError:
            os.makedirs(f"{network_state(network)}/addresses", exist_ok=True)  # new, or just removed: see forget()


def _take_next(network: str, id: str, subnet: Subnet) -> str:
    directory = network_state(network)
    last = os.open(f"{directory}/last", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        for number in subnet.after(int(os.pread(last, 10, 0) or 0)):
            try:
                os.symlink(f"../../../containers/{id}", f"{directory}/addresses/{to_text(number)}")
            except FileExistsError:
                continue
            os.pwrite(last, b"%010d" % number, 0)  # one write of one size: no reader can see a half
            return to_text(number)
    finally:
        os.close(last)
    raise ContainerError(f"All addresses of the network {network} ({subnet}) are in use: end some containers, run "
                         "'minict prune', or set MINICT_SUBNET to a larger subnet")


def holders(network: str) -> dict[str, str]:
    """Every address of *network* that is in use, with the id of its container."""
    directory = f"{network_state(network)}/addresses"
    found = {}
    for address in os.listdir(directory) if os.path.isdir(directory) else ():
        try:
            found[address] = os.path.basename(os.readlink(f"{directory}/{address}"))
        except FileNotFoundError:
            pass  # given back since the directory was read
    return found


def release(network: str, id: str) -> None:
    """Give back every address that the container *id* has in *network*; none is no error."""
    for address, holder in holders(network).items():
        if holder == id:
            _remove(network, address)


def release_orphans(network: str) -> None:
    """Take back the addresses of containers whose state directory is gone."""
    for address in holders(network):
        if not os.path.exists(f"{network_state(network)}/addresses/{address}"):  # the link leads nowhere
            _remove(network, address)


def forget(network: str) -> None:
    """Remove the directory of *network*, unless an address is in use; then it stays as it is."""
    directory = network_state(network)
    # The kernel refuses to remove a directory with a link in it, so nothing can be reserved in between.
    for remove, path in (os.rmdir, f"{directory}/addresses"), (os.unlink, f"{directory}/last"), (os.rmdir, directory):
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
