"""Chapter 09: addresses as numbers, a cable into a switch, and the bytes of a message to the kernel."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct

from minict.engine.networks import ipam
from minict.kernel import netlink
from minict.kernel.namespaces import CLONE_NEWNET, inside, unshare
from minict.kernel.netlink import Rtnetlink
from minict.runtime.process import spawn

from .. import switch, wires
from ..answers import edited
from ..challenge import Challenge
from ..exercise import Exercise
from ..feedback import Feedback

# ---- net-1: an address is a number -------------------------------------------------------------------------------

_ADDRESSES = ("10.9.0.2", "192.168.1.77", "203.0.113.254", "10.255.0.255", "100.64.3.9", "12.0.0.1")
_INVALID = ("10.9.0", "10.9.0.2.1", "10.9.0.256", "10.9.0.-1", "10.9.0.x", "10.9..2", "", "::1")


def check_to_number(to_number):
    """Give the number to ``lo`` as an address, and ask the kernel which address that is."""
    for text in _ADDRESSES:
        try:
            number = to_number(text)
        except ValueError as error:
            if text == _ADDRESSES[0]:
                raise
            raise Feedback(
                f"to_number({text!r}) raised ValueError: {error}. But it is an address: each part may be 0 to 255, and "
                "255 is allowed."
            ) from None
        if number is None:
            raise Feedback(f"to_number({text!r}) returned None: return the number.")
        if not isinstance(number, int) or isinstance(number, bool):
            raise Feedback(f"to_number({text!r}) returned {number!r}. Expected: one whole number.")
        if number == _without_parentheses(text):
            raise Feedback(
                f"to_number({text!r}) returned {number}. Python adds before it shifts: a << 24 + b is a << (24 + b). "
                "Put each shift in parentheses, or join the parts with | in place of +."
            )
        if not 0 <= number < 1 << 32:
            raise Feedback(
                f"to_number({text!r}) returned {number}, which has more than 32 bits. Each of the four parts has 8: "
                "the first is shifted to the left by 24 bits, the second by 16."
            )
        truth = _as_the_kernel_reads_it(number)
        if truth != text:
            back = ".".join(reversed(text.split(".")))
            cause = (
                "The parts are in the opposite order: the first one holds the highest bits."
                if truth == back
                else "Each part has 8 bits: shift what you have to the left by 8 (or multiply it by 256), then add "
                "the next part."
            )
            raise Feedback(
                f"to_number({text!r}) returned {number}. Given to the kernel as an address, that is {truth}. {cause}"
            )
    for text in _INVALID:
        _refuse(to_number, text)


def _without_parentheses(text: str) -> int:
    """What ``a << 24 + b << 16 + c << 8 + d`` is: + binds more tightly than <<."""
    a, b, c, d = map(int, text.split("."))
    return a << 24 + b << 16 + c << 8 + d


def _as_the_kernel_reads_it(number: int) -> str:
    """The address that ``lo`` has when it was given *number*: the kernel lists it."""
    with Rtnetlink() as kernel:
        lo = kernel.index("lo")
        before = set(kernel.addresses(lo))
        try:
            kernel.add_address(lo, number.to_bytes(4, "big"), 32)
        except OSError:  # no address of a machine, such as one that begins with 0
            return socket.inet_ntoa(number.to_bytes(4, "big"))
        new = set(kernel.addresses(lo)) - before
    return socket.inet_ntoa(new.pop()[0] if new else number.to_bytes(4, "big"))


def _refuse(to_number, text: str) -> None:
    try:
        number = to_number(text)
    except ValueError:
        return
    except (IndexError, TypeError, OSError, AssertionError) as error:
        raise Feedback(
            f"to_number({text!r}) raised {type(error).__name__}: {error}. It is right to refuse {text!r}, which is "
            "not an address, but the callers expect a ValueError."
        ) from None
    raise Feedback(
        f"to_number({text!r}) returned {number!r}, but {text!r} is not an address: an address has four parts, each "
        "a number from 0 to 255. Raise a ValueError for anything else."
    )


Exercise(
    "net-1",
    "An address is a number",
    minutes=7,
    difficulty=1,
    reference=ipam.to_number,
    check=check_to_number,
    starter='''
        def to_number(address):
            """10.0.0.1 as one number of 32 bits.  ValueError if the text is not such an address."""
            parts = address.split(".")
            ...    # four parts, each a number from 0 to 255? if not: raise ValueError(…)
            ...    # the first part is the highest 8 bits of the number, the last one the lowest
    ''',
    hints=[
        "Begin with number = 0. For each part: make room for 8 more bits on the right, and add the part.",
        "Room for 8 bits is number << 8, which is number * 256. int(part) raises ValueError by itself for what is not "
        "a number; too large, negative, or too many parts is for you to refuse.",
        "for part in parts: number = number << 8 | int(part). Before it: if len(parts) != 4 or any part is not between "
        "0 and 255: raise ValueError(address).",
    ],
    right={
        "by the socket module": """
            def to_number(address):
                import socket
                import struct
                if address.count(".") != 3:
                    raise ValueError(address)
                try:
                    return struct.unpack("!I", socket.inet_pton(socket.AF_INET, address))[0]
                except OSError as error:
                    raise ValueError(address) from error
        """,
        "by ipaddress": """
            def to_number(address):
                import ipaddress
                return int(ipaddress.IPv4Address(address))
        """,
        "in base 256": """
            def to_number(address):
                a, b, c, d = map(int, address.split("."))
                for part in (a, b, c, d):
                    if part not in range(256):
                        raise ValueError(f"{part} is out of range")
                return ((a * 256 + b) * 256 + c) * 256 + d
        """,
        "from hexadecimal digits": """
            def to_number(address):
                parts = [int(part) for part in address.split(".")]
                if len(parts) != 4 or min(parts) < 0 or max(parts) > 255:
                    raise ValueError(address)
                return int("".join(f"{part:02x}" for part in parts), 16)
        """,
    },
    wrong={
        "the wrong end first": (
            """
            def to_number(address):
                parts = address.split(".")
                if len(parts) != 4 or not all(part.isdigit() and int(part) < 256 for part in parts):
                    raise ValueError(address)
                return int.from_bytes(bytes(map(int, parts)), "little")
        """,
            "in the opposite order",
        ),
        "digits in a row": (
            """
            def to_number(address):
                parts = address.split(".")
                if len(parts) != 4 or not all(part.isdigit() and int(part) < 256 for part in parts):
                    raise ValueError(address)
                return int("".join(parts))
        """,
            "Each part has 8 bits",
        ),
        "in base 1000": (
            """
            def to_number(address):
                number = 0
                for part in address.split("."):
                    number = number * 1000 + int(part)
                return number
        """,
            "more than 32 bits",
        ),
        "a sum": (
            """
            def to_number(address):
                return sum(map(int, address.split(".")))
        """,
            "Each part has 8 bits",
        ),
        "bytes": (
            """
            def to_number(address):
                return bytes(map(int, address.split(".")))
        """,
            "one whole number",
        ),
        "does not count": (
            """
            def to_number(address):
                number = 0
                for part in address.split("."):
                    if not 0 <= int(part) < 256:
                        raise ValueError(part)
                    number = number << 8 | int(part)
                return number
        """,
            "to_number('10.9.0') returned",
        ),
        "too large": (
            """
            def to_number(address):
                a, b, c, d = (int(part) for part in address.split("."))
                return a << 24 | b << 16 | c << 8 | d
        """,
            "to_number('10.9.0.256') returned",
        ),
        "parts below 255 only": (
            """
            def to_number(address):
                a, b, c, d = (int(part) for part in address.split("."))
                if not all(0 <= part < 255 for part in (a, b, c, d)):
                    raise ValueError(address)
                return a << 24 | b << 16 | c << 8 | d
        """,
            "255 is allowed",
        ),
        "shifts without parentheses": (
            """
            def to_number(address):
                a, b, c, d = (int(part) for part in address.split("."))
                return a << 24 + b << 16 + c << 8 + d
        """,
            "Python adds before it shifts",
        ),
        "every kind of address": (
            """
            def to_number(address):
                import ipaddress
                return int(ipaddress.ip_address(address))
        """,
            "'::1' is not an address",
        ),
        "another exception": (
            """
            def to_number(address):
                a, b, c, d = (int(part) for part in address.split("."))
                for part in (a, b, c, d):
                    if part not in range(256):
                        raise IndexError(part)
                return a << 24 | b << 16 | c << 8 | d
        """,
            "expect a ValueError",
        ),
    },
)


# ---- net-2: plug it in -------------------------------------------------------------------------------------------


class _Guest:
    """A process in a network namespace of its own, where a server listens on port 80."""

    def __init__(self):
        ready, told = os.pipe()

        def live():
            unshare(CLONE_NEWNET)
            os.write(told, b"!")
            signal.pause()

        self.pid = spawn(live)
        os.close(told)
        os.read(ready, 1)
        os.close(ready)
        self.fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        with inside(self.fd):
            self.server = socket.create_server(("0.0.0.0", 80))

    def place(self) -> wires.Place:
        """Its interfaces, as they are now."""
        return wires.Place("the guest", self.pid)


def _bridge(name: str, address: str) -> None:
    with Rtnetlink() as host:
        host.add_bridge(name, "02:00:00:00:00:01")
        host.add_address(host.index(name), socket.inet_aton(address), 24)
        host.set_up(host.index(name))


def _explained(plug):
    """*plug*, with a reason in words for the errors that pyroute2 raises for an index that does not fit."""
    from pyroute2.netlink.exceptions import NetlinkError

    def call(*arguments):
        before = os.stat("/proc/thread-self/ns/net").st_ino
        try:
            plug(*arguments)
        except (struct.error, IndexError, NetlinkError) as error:
            code = getattr(error, "code", type(error))
            line = getattr(error, "learners_line", "")
            if code not in _REASONS or not line or (code == errno.EOPNOTSUPP and "master" not in line):
                raise
            raise Feedback(
                f"{error.learners_call} raised {type(error).__name__}: {error}\n  in your line: {line}"
                f"\n{_REASONS[code]}"
            ) from None
        if os.stat("/proc/thread-self/ns/net").st_ino != before:
            raise Feedback(
                "plug() moved its caller into another network namespace, and left it there. guest already speaks to "
                "the kernel in that namespace: no setns() is needed."
            )

    return call


_REASONS = {
    struct.error: "index= and master= take the index, which is a number, and not the name: link_lookup(ifname=…)[0].",
    IndexError: "link_lookup() found no such interface on this side: the cable and the bridge are the host's, eth0 is the "
    "guest's.",
    errno.ENODEV: "No interface on this side has that index: an index from host is of no use to guest, nor the reverse.",
    errno.EOPNOTSUPP: "On this side, the index in master= is not that of a bridge: the bridge and the cable are both "
    "the host's, and the cable is the one that gets a master.",
}


def check_plug(plug):
    """A host with two bridges, three guests: who reaches whom, and if somebody is not reached, why not."""
    plug = _explained(plug)
    _bridge("switch", "10.9.0.1")
    _bridge("second", "10.8.0.1")
    one, two, three = (_Guest() for _ in range(3))
    host = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    plug(one.pid, "cable1", "10.9.0.2")
    _look_into(one, "cable1", "10.9.0.2", "switch")
    plug(two.pid, "cable2", "10.9.0.3")
    plug(three.pid, "cable3", "10.8.0.2", "second")
    _look_into(three, "cable3", "10.8.0.2", "second")
    ways = {
        "from the host to the first guest": (host, "10.9.0.2"),
        "from the first guest to the second": (one.fd, "10.9.0.3"),
        "from the second guest to the first": (two.fd, "10.9.0.2"),
        "from the first guest to itself, at 127.0.0.1": (one.fd, "127.0.0.1"),
        "from the first guest to itself, at its own address": (one.fd, "10.9.0.2"),
    }
    answers = wires.knock_all(ways, seconds=5)
    failing = [f"{way}: {answer}" for way, answer in answers.items() if answer != "connected"]
    if failing:
        raise Feedback(f"two guests were plugged into the switch, but a connection fails {failing[0]}.")


def _look_into(guest: _Guest, cable: str, address: str, bridge: str) -> None:
    """What of the work is not done, in the order in which it is done."""
    call = f"after plug({guest.pid}, {cable!r}, {address!r}{', ' + repr(bridge) if bridge != 'switch' else ''})"
    host, there = wires.Place("the host", None), guest.place()
    near = next((each for each in host.interfaces if each.name == cable), None)
    master = next(each for each in host.interfaces if each.name == bridge)
    theirs = next((each for each in there.interfaces if each.name == "eth0"), None)
    lo = next(each for each in there.interfaces if each.name == "lo")
    elsewhere = [each.name for each in host.interfaces for known in each.addresses if known.startswith(address)]
    if near is None:
        raise Feedback(f"{call} the host has no interface {cable}: its name is the function's second argument.")
    if theirs is None:
        raise Feedback(
            f"{call} the guest has no eth0. The other end of the cable must be in its namespace: "
            'peer={"ifname": "eth0", "net_ns_pid": pid}.'
        )
    if not near.master:
        raise Feedback(
            f"{call} the interface {cable} is not a port of the bridge: what comes out of the cable goes nowhere. "
            'host.link("set", index=…, master=…), with the index of the bridge.'
        )
    if near.master != master.index:
        raise Feedback(
            f"{call} the interface {cable} is a port of another interface than {bridge}. The name of the bridge is the "
            "function's last argument, and master= wants its index."
        )
    if not near.up:
        raise Feedback(f'{call} the host\'s end, {cable}, is still off: an interface is born off. state="up".')
    if elsewhere:
        raise Feedback(
            f"{call} the address {address} is at {elsewhere[0]}, an interface of the host. It belongs to eth0 in the "
            "guest's namespace: ask through guest, and for guest's index."
        )
    if not theirs.addresses:
        raise Feedback(f'{call} the guest\'s eth0 has no address. guest.addr("add", index=…, address=…, prefixlen=24).')
    if not any(each.startswith(f"{address}/") for each in theirs.addresses):
        raise Feedback(
            f"{call} the guest's eth0 has {' and '.join(theirs.addresses)}. Expected: {address}/24. The address is the "
            "function's third argument."
        )
    if theirs.addresses != [f"{address}/24"]:
        raise Feedback(
            f"{call} the guest's eth0 has {' and '.join(theirs.addresses)}. Expected: {address}/24. From the prefix the "
            f"kernel knows who else is on this cable{': with /32 nobody is' * theirs.addresses[0].endswith('/32')}."
        )
    if not theirs.up:
        raise Feedback(f'{call} the guest\'s eth0 is still off: both ends of a cable must be on. state="up".')
    if not lo.up:
        raise Feedback(
            f"{call} the guest's lo is still off: it reaches others, but not itself. (In a new namespace lo has the "
            'index 1; guest.link_lookup(ifname="lo")[0] finds it anywhere.)'
        )


_PLUG = """
            def plug(pid, cable, address, bridge="switch"):
                with IPRoute() as host, IPRoute(netns=f"/proc/{pid}/ns/net") as guest:
                    host.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})
                    port = host.link_lookup(ifname=cable)[0]
                    host.link("set", index=port, master=host.link_lookup(ifname=bridge)[0], state="up")
                    eth0 = guest.link_lookup(ifname="eth0")[0]
                    guest.addr("add", index=eth0, address=address, prefixlen=24)
                    for index in (1, eth0):
                        guest.link("set", index=index, state="up")
"""

Exercise(
    "net-2",
    "Plug it in",
    minutes=10,
    difficulty=3,
    reference=switch.plug,
    check=check_plug,
    imports="import os\nfrom pyroute2 import IPRoute",
    starter='''
        def plug(pid, cable, address, bridge="switch"):
            """Connect the network of process pid with the bridge: `cable` here, eth0 with address/24 there."""
            with IPRoute() as host, IPRoute(netns=f"/proc/{pid}/ns/net") as guest:
                host.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})
                ...    # here, the cable: make it a port of the bridge, and switch it on
                ...    # there, eth0: give it the address, and switch it on
                ...    # there, lo: switch it on
    ''',
    hints=[
        "Everything but the names works by index. Through which of the two, host or guest, can you ask for the index of "
        "the cable, of the bridge, of eth0, of lo?",
        'host.link_lookup(ifname=cable)[0] is the index of our end. host.link("set", index=…, master=…, state="up") '
        "makes it a port of the bridge and switches it on, in one request.",
        'In the guest: guest.addr("add", index=eth0, address=address, prefixlen=24), then guest.link("set", '
        'index=eth0, state="up"), and the same for lo.',
    ],
    right={
        "the command ip": """
            def plug(pid, cable, address, bridge="switch"):
                import subprocess
                def ip(*words, there=False):
                    inside = ["nsenter", "-t", str(pid), "-n"] if there else []
                    subprocess.run([*inside, "ip", *words], check=True)
                ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
                ip("link", "set", cable, "master", bridge, "up")
                ip("address", "add", f"{address}/24", "dev", "eth0", there=True)
                for name in ("eth0", "lo"):
                    ip("link", "set", name, "up", there=True)
        """,
        "moved and renamed": """
            def plug(pid, cable, address, bridge="switch"):
                with IPRoute() as host, IPRoute(netns=f"/proc/{pid}/ns/net") as guest:
                    host.link("add", ifname=cable, kind="veth", peer=f"{cable}-far")
                    far = host.link_lookup(ifname=f"{cable}-far")[0]
                    host.link("set", index=far, net_ns_pid=pid)
                    far = guest.link_lookup(ifname=f"{cable}-far")[0]
                    guest.link("set", index=far, ifname="eth0")
                    guest.link("set", index=1, state="up")
                    guest.link("set", index=far, state="up")
                    guest.addr("add", index=far, address=address, mask=24)
                    near = host.link_lookup(ifname=cable)[0]
                    host.link("set", index=near, state="up")
                    host.link("set", index=near, master=host.link_lookup(ifname=bridge)[0])
        """,
        "the package's own netlink": """
            def plug(pid, cable, address, bridge="switch"):
                import socket
                from minict.kernel.netlink import Rtnetlink
                namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
                with Rtnetlink() as host, Rtnetlink(namespace=namespace) as guest:
                    host.add_veth(cable, "eth0", "02:00:" + socket.inet_aton(address).hex(":"), namespace,
                                  host.index(bridge))
                    guest.add_address(guest.index("eth0"), socket.inet_aton(address), 24)
                    for name in ("lo", "eth0"):
                        guest.set_up(guest.index(name))
                os.close(namespace)
        """,
    },
    wrong={
        "stops after the first line": (
            """
            def plug(pid, cable, address, bridge="switch"):
                with IPRoute() as host, IPRoute(netns=f"/proc/{pid}/ns/net") as guest:
                    host.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})
        """,
            "not a port of the bridge",
        ),
        "its own pid, as in the snippet": (
            """
            def plug(pid, cable, address, bridge="switch"):
                with IPRoute() as host, IPRoute(netns=f"/proc/{pid}/ns/net") as guest:
                    host.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_pid": os.getpid()})
                    port = host.link_lookup(ifname=cable)[0]
                    host.link("set", index=port, master=host.link_lookup(ifname=bridge)[0], state="up")
        """,
            "must be in its namespace",
        ),
        "our end stays off": (
            edited(_PLUG, ('[0], state="up")', "[0])")),
            "the host's end, cable1, is still off",
        ),
        "the address on the host's side": (
            """
            def plug(pid, cable, address, bridge="switch"):
                with IPRoute() as host, IPRoute(netns=f"/proc/{pid}/ns/net") as guest:
                    host.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})
                    port = host.link_lookup(ifname=cable)[0]
                    host.link("set", index=port, master=host.link_lookup(ifname=bridge)[0], state="up")
                    host.addr("add", index=port, address=address, prefixlen=24)
                    for name in ("lo", "eth0"):
                        guest.link("set", index=guest.link_lookup(ifname=name)[0], state="up")
        """,
            "an interface of the host",
        ),
        "alone with its prefix": (
            edited(_PLUG, ("address=address, prefixlen=24", "address=address")),
            "with /32 nobody is",
        ),
        "eth0 stays off": (
            edited(_PLUG, ("in (1, eth0)", "in (1,)")),
            "both ends of a cable must be on",
        ),
        "forgets lo": (
            edited(_PLUG, ("in (1, eth0)", "in (eth0,)")),
            "but not itself",
        ),
        "always the same bridge": (
            edited(_PLUG, ("ifname=bridge", 'ifname="switch"')),
            "the function's last argument",
        ),
        "asks the wrong side": (
            """
            def plug(pid, cable, address, bridge="switch"):
                with IPRoute() as host, IPRoute(netns=f"/proc/{pid}/ns/net") as guest:
                    host.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})
                    port = host.link_lookup(ifname=cable)[0]
                    host.link("set", index=port, master=host.link_lookup(ifname=bridge)[0], state="up")
                    eth0 = host.link_lookup(ifname="eth0")[0]
        """,
            "eth0 is the guest's",
        ),
        "a name for the index": (
            edited(_PLUG, ("master=host.link_lookup(ifname=bridge)[0]", "master=bridge")),
            "take the index",
        ),
        "an index of the other side": (
            edited(_PLUG, ('eth0 = guest.link_lookup(ifname="eth0")[0]', "eth0 = port")),
            "No interface on this side has that index",
        ),
        "the guest's end as a port": (
            edited(
                _PLUG,
                ('host.link("set", index=port, master', 'guest.link("set", index=1, master'),
            ),
            "not that of a bridge",
        ),
        "always the same address": (
            edited(_PLUG, ("address=address", 'address="10.9.0.2"')),
            "third argument",
        ),
        "goes there itself": (
            """
            def plug(pid, cable, address, bridge="switch"):
                from minict.kernel.namespaces import CLONE_NEWNET, setns
                with IPRoute() as host:
                    host.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})
                setns(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY), CLONE_NEWNET)
        """,
            "moved its caller",
        ),
        "a coroutine": (
            """
            async def plug(pid, cable, address, bridge="switch"):
                from pyroute2 import AsyncIPRoute
                async with AsyncIPRoute() as host:
                    await host.link("add", ifname=cable, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})
        """,
            "nobody awaits it",
        ),
    },
)


# ---- net-3: one attribute ----------------------------------------------------------------------------------------


def check_attribute(attribute):
    """Make bridges, and compare with the bytes in which the kernel tells their names and sizes; then ask for one."""
    for number, name in enumerate(("a", "ab", "abc", "abcd", "switch", "fifteen-letters")):
        _compare(attribute, netlink.IFLA_IFNAME, name, name, 1400 + number)
        _compare(attribute, netlink.IFLA_MTU, 1400 + number, name, 1400 + number)
    nested = attribute(netlink.IFLA_LINKINFO, b"\x08\0\1\0veth")
    if nested != b"\x0c\0\x12\0\x08\0\1\0veth":
        raise Feedback(
            f"attribute(18, b'\\x08\\x00\\x01\\x00veth') returned {_shown(nested)}. What is bytes already goes into the "
            "attribute as it is: so one attribute can hold others."
        )
    body = (
        bytes(16)
        + attribute(netlink.IFLA_IFNAME, "made")
        + attribute(netlink.IFLA_MTU, 1234)
        + attribute(netlink.IFLA_LINKINFO, attribute(netlink.IFLA_INFO_KIND, "bridge"))
    )
    with Rtnetlink() as kernel:
        kernel.request(netlink.RTM_NEWLINK, body, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, "make a bridge")
        if not kernel.link("made"):
            raise Feedback("the kernel took a message that was made with attribute(), and made nothing of it.")


def _compare(attribute, kind: int, value, name: str, mtu: int) -> None:
    """Compare with how the kernel itself tells the *value* of the bridge *name*."""
    with Rtnetlink() as kernel:
        if not kernel.link(name):
            kernel.add_bridge(name, "02:00:00:00:00:01", mtu)
        (body,) = kernel.request(
            netlink.RTM_GETLINK, struct.pack("=BxHiII", 0, 0, kernel.index(name), 0, 0), what="look"
        )
    expected, place = b"", 16
    while not expected:
        length, found = struct.unpack_from("=HH", body, place)
        if found == kind:
            expected = body[place : place + length + -length % 4]
        place += length + -length % 4
    got = attribute(kind, value)
    if got == expected:
        return
    call = f"attribute({kind}, {value!r})"
    if got is None:
        raise Feedback(f"{call} returned None: return the bytes.")
    if not isinstance(got, (bytes, bytearray)):
        raise Feedback(f"{call} returned {got!r}. Expected: bytes.")
    raise Feedback(f"{call} returned {_shown(got)}. The kernel itself sends {_shown(expected)}. {_why(got, expected)}")


def _shown(data) -> str:
    return bytes(data).hex(" ") if isinstance(data, (bytes, bytearray)) else repr(data)


def _why(got: bytes, expected: bytes) -> str:
    """What is the matter with the bytes *got*."""
    length, kind = struct.unpack_from("=HH", expected)
    if len(got) < 4:
        return "It begins with four bytes: length and kind."
    found = struct.unpack_from("=HH", got)
    if found == (kind, length):
        return "The length comes first, then the kind."
    if len(got) >= 8 and struct.unpack_from("=I", got, 4) == (kind,):
        return 'Length and kind have 16 bits each: that is "=HH".'
    if struct.unpack_from(">HH", got) == (length, kind):
        return 'The bytes of the numbers are in the other order: "=HH" is the order of this machine.'
    if found[1] != kind:
        return "The two bytes behind the length are the kind."
    if len(expected) > length == found[0] and len(got) == length:
        return "The zeros at the end are missing: the next attribute would begin in the middle of four bytes."
    if found[0] == length - 4:
        return "The length counts the four bytes of length and kind as well."
    if found[0] == len(expected) > length:
        return "The length does not count the zeros that fill up the last four bytes."
    if isinstance(got, bytes) and b"\0" in expected[4:length] and found[0] == length - 1:
        return "A text ends with one zero byte, and the length counts that byte."
    if len(got) % 4:
        return "Zeros fill it up to a multiple of 4 bytes."
    if found[0] == length and len(got) > len(expected):
        return "There are too many zeros at the end: -len(value) % 4 says how many are missing to a multiple of 4."
    if len(got) == 8 == len(expected) and got[4:] == expected[:3:-1]:
        return 'The bytes of the value are in the other order: "=I" is the order of this machine.'
    if found[0] == length + 1:
        if kind == netlink.IFLA_MTU:
            return "A number has four bytes and no zero byte behind them: that one is for texts."
        return "One zero byte behind a text is enough."
    if sorted(got) == sorted(expected):
        return "The right bytes, in another order: the zeros come behind the value."
    return "Compare the two byte by byte."


Exercise(
    "net-3",
    "One attribute",
    minutes=7,
    difficulty=2,
    reference=netlink.attribute,
    check=check_attribute,
    imports="import struct",
    starter='''
        def attribute(kind, value):
            """One attribute: its length and kind, the value, and zeros up to a multiple of 4 bytes."""
            if isinstance(value, int):
                value = struct.pack("=I", value)    # a number: 32 bits
            elif isinstance(value, str):
                ...    # a text: its bytes, and a zero byte behind them
            ...    # struct.pack("=HH", length, kind), the value, the zeros
    ''',
    hints=[
        "Look at the picture: at byte 32, 0b 00 03 00 is the length 11 and the kind 3. Count: which bytes belong to the "
        "11?",
        "The length is 4 + len(value): with its own four bytes, without the zeros at the end. -len(value) % 4 is the "
        "number of those zeros.",
        'value.encode() + b"\\0" for a text; then struct.pack("=HH", 4 + len(value), kind) + value + bytes(…): bytes(3) '
        "is three zero bytes.",
    ],
    right={
        "with ljust": """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = value.to_bytes(4, "little")
                elif isinstance(value, str):
                    value = value.encode("ascii") + bytes(1)
                whole = struct.pack("=HH", len(value) + 4, kind) + value
                return whole.ljust((len(whole) + 3) // 4 * 4, b"\\0")
        """,
        "in a loop": """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = struct.pack("=I", value)
                elif isinstance(value, str):
                    value = bytes([*map(ord, value), 0])
                result = bytearray(struct.pack("=HH", 4 + len(value), kind))
                result += value
                while len(result) % 4:
                    result.append(0)
                return bytes(result)
        """,
        "by one format": """
            def attribute(kind, value):
                if isinstance(value, int):
                    return struct.pack("=HHI", 8, kind, value)
                if isinstance(value, str):
                    value = f"{value}\\0".encode()
                return struct.pack(f"=HH{len(value)}s{-len(value) % 4}x", 4 + len(value), kind, value)
        """,
    },
    wrong={
        "the length of the value alone": (
            """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = struct.pack("=I", value)
                elif isinstance(value, str):
                    value = value.encode() + b"\\0"
                return struct.pack("=HH", len(value), kind) + value + bytes(-len(value) % 4)
        """,
            "counts the four bytes of length and kind",
        ),
        "counts the padding": (
            """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = struct.pack("=I", value)
                elif isinstance(value, str):
                    value = value.encode() + b"\\0"
                value += bytes(-len(value) % 4)
                return struct.pack("=HH", 4 + len(value), kind) + value
        """,
            "does not count the zeros",
        ),
        "no zero behind a text": (
            """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = struct.pack("=I", value)
                elif isinstance(value, str):
                    value = value.encode()
                return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
        """,
            "ends with one zero byte",
        ),
        "a zero byte behind numbers, too": (
            """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = struct.pack("=I", value)
                elif isinstance(value, str):
                    value = value.encode()
                value += b"\\0"
                return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
        """,
            "no zero byte behind them",
        ),
        "32 bits for length and kind": (
            """
            def attribute(kind, value):
                value = value.encode() + b"\\0" if isinstance(value, str) else value
                return struct.pack("=II", 8 + len(value), kind) + value + bytes(-len(value) % 4)
        """,
            "16 bits each",
        ),
        "no padding": (
            """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = struct.pack("=I", value)
                elif isinstance(value, str):
                    value = value.encode() + b"\\0"
                return struct.pack("=HH", 4 + len(value), kind) + value
        """,
            "zeros at the end are missing",
        ),
        "always pads": (
            """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = struct.pack("=I", value)
                elif isinstance(value, str):
                    value = value.encode() + b"\\0"
                return struct.pack("=HH", 4 + len(value), kind) + value + bytes(4 - len(value) % 4)
        """,
            "too many zeros",
        ),
        "kind first": (
            """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = struct.pack("=I", value)
                elif isinstance(value, str):
                    value = value.encode() + b"\\0"
                return struct.pack("=HH", kind, 4 + len(value)) + value + bytes(-len(value) % 4)
        """,
            "The length comes first",
        ),
        "the network's byte order": (
            """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = struct.pack("!I", value)
                elif isinstance(value, str):
                    value = value.encode() + b"\\0"
                return struct.pack("!HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
        """,
            "in the other order",
        ),
        "a number in the network's byte order": (
            """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = value.to_bytes(4, "big")
                elif isinstance(value, str):
                    value = value.encode() + b"\\0"
                return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
        """,
            "The bytes of the value are in the other order",
        ),
        "text where bytes are": (
            """
            def attribute(kind, value):
                if isinstance(value, int):
                    value = struct.pack("=I", value)
                else:
                    value = str(value).encode() + b"\\0"
                return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
        """,
            "bytes already goes into the attribute as it is",
        ),
    },
)


# ---- the challenge -----------------------------------------------------------------------------------------------


def check_string(string):
    """Two guests without a host: they reach each other, and nothing stays here."""
    with Rtnetlink() as host:
        before = [link.name for link in host.links()]
    one, two = _Guest(), _Guest()
    string(one.pid, two.pid)
    with Rtnetlink() as host:
        left = [link.name for link in host.links() if link.name not in before]
    if left:
        raise Feedback(
            f"after string(…) the caller's own namespace has a new interface: {', '.join(left)}. Both ends belong to "
            "the two processes, and the caller has none."
        )
    both = {"first": (one, "10.8.0.1"), "second": (two, "10.8.0.2")}
    ends = {
        name: [each for each in guest.place().interfaces if each.kind == "veth"] for name, (guest, _) in both.items()
    }
    for name in both:
        if not ends[name]:
            raise Feedback(f"after string(…) the {name} process has no end of a veth pair in its namespace.")
    for name, (_, address) in both.items():
        (end,) = ends[name]
        if not any(each.startswith(f"{address}/") for each in end.addresses):
            raise Feedback(f"the {name} process should have the address {address}. {end.in_words()}.")
        if not end.up:
            raise Feedback(f"the end of the {name} process is still off. {end.in_words()}.")
    answers = wires.knock_all(
        {"first to the second": (one.fd, "10.8.0.2"), "second to the first": (two.fd, "10.8.0.1")}, seconds=5
    )
    for way, answer in answers.items():
        if answer != "connected":
            raise Feedback(
                f"a connection from the {way} process fails: {answer}. Does the prefix of each "
                "address include the other one?"
            )


Challenge(
    "tin-cans",
    "Two tin cans and a string",
    name="string",
    minutes=9,
    difficulty=2,
    check=check_string,
    imports="import os\nfrom pyroute2 import IPRoute",
    hints=[
        "A veth pair needs no host: each end can be created in the namespace where it belongs.",
        'IPRoute(netns=f"/proc/{one}/ns/net") speaks in the namespace of the first process. There, link("add", …) with '
        "a peer that has net_ns_pid=two makes both ends in their places.",
        "Then the same for each of the two: look up the index, add the address (10.8.0.1 and 10.8.0.2, prefixlen=24), "
        'state="up".',
    ],
    solution="""
        def string(one, two):
            with IPRoute(netns=f"/proc/{one}/ns/net") as first, IPRoute(netns=f"/proc/{two}/ns/net") as second:
                first.link("add", ifname="can", kind="veth", peer={"ifname": "can", "net_ns_pid": two})
                for place, address in ((first, "10.8.0.1"), (second, "10.8.0.2")):
                    can = place.link_lookup(ifname="can")[0]
                    place.addr("add", index=can, address=address, prefixlen=24)
                    place.link("set", index=can, state="up")
    """,
    right={
        "moves both ends": """
            def string(one, two):
                with IPRoute() as here:
                    here.link("add", ifname="left", kind="veth", peer="right")
                    for name, pid, number in (("left", one, 1), ("right", two, 2)):
                        here.link("set", index=here.link_lookup(ifname=name)[0], net_ns_pid=pid)
                        with IPRoute(netns=f"/proc/{pid}/ns/net") as there:
                            index = there.link_lookup(ifname=name)[0]
                            there.addr("add", index=index, address=f"10.8.0.{number}", prefixlen=30)
                            there.link("set", index=index, state="up")
        """,
        "by the command ip": """
            def string(one, two):
                for line in (f"ip link add can netns {one} type veth peer name can netns {two}",
                             f"nsenter -t {one} -n ip address add 10.8.0.1/24 dev can",
                             f"nsenter -t {two} -n ip address add 10.8.0.2/24 dev can",
                             f"nsenter -t {one} -n ip link set can up", f"nsenter -t {two} -n ip link set can up"):
                    assert os.system(line) == 0, line
        """,
        "addresses with a peer": """
            def string(one, two):
                for line in (f"ip link add can netns {one} type veth peer name tin netns {two}",
                             f"nsenter -t {one} -n ip address add 10.8.0.1 peer 10.8.0.2 dev can",
                             f"nsenter -t {two} -n ip address add 10.8.0.2 peer 10.8.0.1 dev tin",
                             f"nsenter -t {one} -n ip link set can up", f"nsenter -t {two} -n ip link set tin up"):
                    assert os.system(line) == 0, line
        """,
    },
    wrong={
        "keeps an end": (
            """
            def string(one, two):
                with IPRoute() as here:
                    here.link("add", ifname="left", kind="veth", peer={"ifname": "right", "net_ns_pid": two})
        """,
            "the caller has none",
        ),
        "a coroutine": (
            """
            async def string(one, two):
                pass
        """,
            "nobody awaits it",
        ),
        "stays off": (
            """
            def string(one, two):
                with IPRoute(netns=f"/proc/{one}/ns/net") as first, IPRoute(netns=f"/proc/{two}/ns/net") as second:
                    first.link("add", ifname="can", kind="veth", peer={"ifname": "can", "net_ns_pid": two})
                    for place, address in ((first, "10.8.0.1"), (second, "10.8.0.2")):
                        can = place.link_lookup(ifname="can")[0]
                        place.addr("add", index=can, address=address, prefixlen=24)
        """,
            "is still off",
        ),
        "alone with its prefix": (
            """
            def string(one, two):
                with IPRoute(netns=f"/proc/{one}/ns/net") as first, IPRoute(netns=f"/proc/{two}/ns/net") as second:
                    first.link("add", ifname="can", kind="veth", peer={"ifname": "can", "net_ns_pid": two})
                    for place, address in ((first, "10.8.0.1"), (second, "10.8.0.2")):
                        can = place.link_lookup(ifname="can")[0]
                        place.addr("add", index=can, address=address)
                        place.link("set", index=can, state="up")
        """,
            "Does the prefix of each",
        ),
        "both to one process": (
            """
            def string(one, two):
                with IPRoute(netns=f"/proc/{one}/ns/net") as first:
                    first.link("add", ifname="can", kind="veth", peer={"ifname": "tin", "net_ns_pid": one})
                    for name, address in (("can", "10.8.0.1"), ("tin", "10.8.0.2")):
                        index = first.link_lookup(ifname=name)[0]
                        first.addr("add", index=index, address=address, prefixlen=24)
                        first.link("set", index=index, state="up")
        """,
            "the second process has no end",
        ),
    },
)
