"""The pictures of chapter 09: which network namespace is connected with which, and who reaches whom.

=====================  ==========================================================================
:func:`network_map`    namespaces with their interfaces, the cables between them, and the switches
:func:`reach_map`      who reaches whom; where nobody is reached, the kernel's error
:func:`pull_cables`    both, for each cable that is pulled: a drawing for :func:`.figures.live`
:func:`message_map`    a message to the kernel, byte for byte
=====================  ==========================================================================

A *place* is a network namespace: that of a container, of the process with a number, or, with ``None``, the caller's.
Everything is read from the kernel when the function is called.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time

from minict.kernel import netlink
from minict.kernel.namespaces import inside
from minict.kernel.netlink import Rtnetlink, attribute, attributes, text

from .figures import CARD, FAINT, HOST, HUES, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet, _short

_GREEN, _BLUE, _RED, _GREY = "#059669", "#2563eb", "#b91c1c", "#64748b"
_IFLA_LINK, _IFLA_LINK_NETNSID = 5, 37  # linux/if_link.h: the peer's number, and the namespace that it is in
_RTM_GETNSID, _NETNSA_NSID, _NETNSA_FD = 90, 1, 3  # linux/rtnetlink.h, linux/net_namespace.h
_RTM_DELNEIGH, _RTM_GETNEIGH = 29, 30
_HEADER, _LINK = struct.Struct("=IHHII"), struct.Struct("=BxHiII")


class Interface:
    """A network interface: its *name*, *index* and *kind*, whether it is *up*, its *addresses*, the index of its bridge
    (*master*, or 0), and the *index* and the namespace of its peer."""

    def __init__(self, body: bytes, addresses: list[tuple[bytes, int]]):
        _, _, self.index, flags, _ = _LINK.unpack_from(body)
        parts = attributes(body[_LINK.size :])
        self.name = text(parts[netlink.IFLA_IFNAME])
        self.kind = text(attributes(parts.get(netlink.IFLA_LINKINFO, b"")).get(netlink.IFLA_INFO_KIND, b""))
        self.master = int.from_bytes(parts.get(netlink.IFLA_MASTER, b""), "little")
        self.up = bool(flags & netlink.IFF_UP)
        self.peer = int.from_bytes(parts.get(_IFLA_LINK, b""), "little")
        self.peers_namespace = parts.get(_IFLA_LINK_NETNSID)
        self.addresses = [f"{'.'.join(map(str, address))}/{prefix}" for address, prefix in addresses]

    def in_words(self) -> str:
        """Such as ``eth0: on, 10.9.0.2/24``."""
        return f"{self.name}: {'on' if self.up else 'off'}, {', '.join(self.addresses) or 'no address'}"


class Place:
    """A network namespace with a *name*: its *interfaces*, as they are now."""

    def __init__(self, name: str, where):
        self.name, self.fd = name, _open(where)
        with Rtnetlink(namespace=self.fd) as kernel:
            bodies = kernel.request(netlink.RTM_GETLINK, bytes(_LINK.size), netlink.NLM_F_DUMP)
            indexes = [_LINK.unpack_from(body)[2] for body in bodies]
            self.interfaces = [Interface(body, kernel.addresses(index)) for body, index in zip(bodies, indexes)]
        self.interfaces.sort(key=lambda each: each.index)

    def interface(self, index: int) -> Interface | None:
        """The one with this number."""
        return next((each for each in self.interfaces if each.index == index), None)

    @property
    def address(self) -> str | None:
        """The first address that others may know it by."""
        found = [address for each in self.interfaces if each.name != "lo" for address in each.addresses]
        return found[0].partition("/")[0] if found else None

    def knows_as(self, other: Place) -> bytes | None:
        """The number by which this namespace's kernel knows the *other* namespace, as IFLA_LINK_NETNSID has it."""
        with Rtnetlink(namespace=self.fd) as kernel:
            (body,) = kernel.request(_RTM_GETNSID, bytes(4) + attribute(_NETNSA_FD, other.fd))
        return attributes(body[4:]).get(_NETNSA_NSID)


def _open(where) -> int:
    pid = "thread-self" if where is None else where if isinstance(where, int) else where.pid
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class look:
    """For ``with``: the *places* as they are now, a :class:`Place` for each."""

    def __init__(self, places: dict):
        self.found = []
        for name, where in places.items():
            self.found.append(Place(name, where))

    def __enter__(self) -> list[Place]:
        return self.found

    def __exit__(self, *_: object) -> None:
        for place in self.found:
            os.close(place.fd)


def interfaces(where=None) -> list[str]:
    """A line for each interface of a place: its name, whether it is on, its IPv4 addresses."""
    with look({"": where}) as (place,):
        return [each.in_words() for each in place.interfaces]


def _cables(places: list[Place]) -> list[tuple[Place, Interface, Place, Interface]]:
    """The veth pairs both of whose ends are in *places*, each once; the end in the earlier place comes first."""
    found = []
    for number, place in enumerate(places):
        names = {place.knows_as(other): other for other in places if other is not place}
        names.pop(b"\xff\xff\xff\xff", None)
        for end in (each for each in place.interfaces if each.kind == "veth"):
            other = place if end.peers_namespace is None else names.get(end.peers_namespace)
            peer = other and other.interface(end.peer)
            if peer and (places.index(other) > number or (other is place and end.index < peer.index)):
                found.append((place, end, other, peer))
    return found


# ---- the map of the network --------------------------------------------------------------------------------------

_WIDTH, _BOX, _GAP = 920, 196, 22
_DASHES = (0, (2, 1.4))


def network_map(places: dict) -> Picture:
    """Network *places* with their interfaces: the first one, mostly the host, below, the others above it.

    A green cable carries packets; a dashed one does not, because one of its ends is switched off.
    """
    with look(places) as found:
        cables = _cables(found)
        sheet = _Sheet(_WIDTH, _height(found, cables))
        _draw_map(sheet, found, cables, sheet.height)
        return sheet.picture(_map_in_words(found, cables))


def _map_in_words(places: list[Place], cables: list) -> str:
    words = [place.name for place in places]
    sentence = f"the network namespaces {', '.join(words)}; "
    if not cables:
        return sentence + "no cable between them"
    told = []
    for here, end, there, peer in cables:
        plugged = " through a switch" if end.master or peer.master else ""
        state = "" if end.up and peer.up else ", switched off"
        told.append(f"{here.name} and {there.name}{plugged}{state}")
    return sentence + "cables between " + "; ".join(told)


def _height(places: list[Place], cables: list) -> float:
    return 24 + _upper(places) + 66 + _lower(places, cables)


def _upper(places: list[Place]) -> float:
    lines = [len(_listed(place)) for place in places[1:]]
    return 48 + 22 * max(lines, default=1) if len(places) > 1 else -66


def _listed(place: Place) -> list[Interface]:
    """The interfaces that are written into the box of a place."""
    return [each for each in place.interfaces if each.kind != "bridge"][:5]


def _lower(places: list[Place], cables: list) -> float:
    bridges = _bridges(places[0], cables)
    mine = any(here is places[0] for here, *_ in cables)
    return 62 + 48 * mine + 52 * len(bridges)


def _bridges(host: Place, cables: list) -> list[Interface]:
    """The bridges of the host that a cable is plugged into; if there is none, those without a port."""
    bridges = [each for each in host.interfaces if each.kind == "bridge"]
    used = {end.master for here, end, *_ in cables if here is host and end.master}
    busy = {each.master for each in host.interfaces}
    return [each for each in bridges if each.index in used] or [each for each in bridges if each.index not in busy]


def _draw_map(sheet: _Sheet, places: list[Place], cables: list, bottom: float) -> None:
    top = 12
    host, others = places[0], places[1:]
    upper = _upper(places)
    span = len(others) * _BOX + (len(others) - 1) * _GAP
    left = {place.name: (_WIDTH - span) / 2 + number * (_BOX + _GAP) for number, place in enumerate(others)}
    for number, place in enumerate(others):
        x, colour = left[place.name], HUES[number % len(HUES)]
        sheet.box(x, top, _BOX, upper, FAINT, colour, 10, 1.8)
        sheet.text(x + 14, top + 20, _short(place.name, 18), 13, INK, "bold")
        _draw_interfaces(sheet, x + 14, top + 44, _listed(place))
    y = top + upper + 66
    sheet.box(14, y, _WIDTH - 28, bottom - y - 12, "#f1f5f9", HOST, 10, 1.8)
    plugs: dict[str, list] = {}
    for here, end, there, peer in cables:
        plugs.setdefault(there.name, []).append((here, end, there, peer))
    bridges = _bridges(host, cables)
    strips = {bridge.index: y + 76 + 52 * number for number, bridge in enumerate(bridges)}
    ports: dict[int, list[float]] = {}
    for name, ends in plugs.items():
        for number, (here, end, _, peer) in enumerate(ends):
            x = left.get(name, 100) + _BOX * (number + 1) / (len(ends) + 1)
            works = end.up and peer.up
            colour, style = (_GREEN, "-") if works else (MUTED, _DASHES)
            if here is not host:  # two boxes that are connected without the host
                other = left[here.name] + _BOX / 2
                down = top + upper
                sheet.line([(other, down), (other, down + 34), (x, down + 34), (x, down)], colour, 3, style)
                continue
            if name == host.name:
                continue
            sheet.line([(x, top + upper), (x, y + 12)], colour, 3, style)
            sheet.dot(x, top + upper, 6, colour)
            _draw_plug(sheet, x, y + 12, end)
            if end.master in strips:
                sheet.line(
                    [(x, y + 50), (x, strips[end.master])], _GREEN if end.up else MUTED, 3, "-" if end.up else style
                )
                ports.setdefault(end.master, []).append(x)
    _draw_own_cables(sheet, host, cables, y)
    for bridge in bridges:
        _draw_bridge(sheet, bridge, strips[bridge.index], ports.get(bridge.index, []))
    _draw_host(sheet, host, cables, bridges, bottom - 36)


def _draw_interfaces(sheet: _Sheet, x: float, y: float, shown: list[Interface]) -> None:
    for number, each in enumerate(shown):
        at = y + 22 * number
        sheet.dot(x + 4, at, 4, _GREEN if each.up else HOST)
        sheet.text(x + 14, at, _short(each.name, 8), 11, INK if each.up else MUTED, mono=True)
        words = each.addresses[0] if each.addresses else "" if each.up else "off"
        sheet.text(x + 64, at, words, 11, INK if each.up else MUTED, mono=True)


def _draw_plug(sheet: _Sheet, x: float, y: float, end: Interface) -> None:
    sheet.box(x - 62, y, 124, 38, CARD, _GREEN if end.up else HOST, 6, 1.6)
    words = end.addresses[0] if end.addresses else "on" if end.up else "off"
    sheet.text(x, y + 12, _short(end.name, 15), 11, INK, "bold", "center", mono=True)
    sheet.text(x, y + 27, words, 11, MUTED, align="center", mono=True)


def _draw_own_cables(sheet: _Sheet, host: Place, cables: list, y: float) -> None:
    """Pairs with both ends in the host."""
    for number, (_, end, _, peer) in enumerate([each for each in cables if each[0] is host and each[2] is host]):
        x = 110 + 340 * number
        works = end.up and peer.up
        sheet.line([(x + 62, y + 31), (x + 138, y + 31)], _GREEN if works else MUTED, 3, "-" if works else _DASHES)
        _draw_plug(sheet, x, y + 12, end)
        _draw_plug(sheet, x + 200, y + 12, peer)


def _draw_bridge(sheet: _Sheet, bridge: Interface, y: float, ports: list[float]) -> None:
    begin, end = (min(ports) - 80, max(ports) + 80) if ports else (330, 590)
    begin, end = min(begin, (begin + end) / 2 - 130), max(end, (begin + end) / 2 + 130)
    begin, end = max(begin, 30), min(end, _WIDTH - 30)
    sheet.box(begin, y, end - begin, 36, LIT if bridge.up else HOST, LIT_EDGE if bridge.up else MUTED, 7, 1.4)
    words = ", ".join(bridge.addresses) or "no address"
    sheet.text(
        (begin + end) / 2,
        y + 18,
        f"{bridge.name}   {words}{'' if bridge.up else '   off'}",
        11.5,
        CARD,
        "bold",
        "center",
        mono=True,
    )


def _draw_host(sheet: _Sheet, host: Place, cables: list, bridges: list[Interface], y: float) -> None:
    sheet.text(30, y, host.name, 13, INK, "bold")
    drawn = {id(each) for here, end, there, peer in cables for each in (end, peer)} | {id(each) for each in bridges}
    rest = [each for each in host.interfaces if id(each) not in drawn]
    x = 56 + 9 * len(host.name)
    for each in rest[:3]:
        words = f"{_short(each.name, 15)} {each.addresses[0] if each.addresses else 'on' if each.up else 'off'}"
        sheet.dot(x + 4, y, 4, _GREEN if each.up else HOST)
        sheet.text(x + 14, y, words, 11, INK if each.up else MUTED, mono=True)
        x += 40 + 7 * len(words)
    if len(rest) > 3:
        sheet.text(x, y, f"and {len(rest) - 3} more", 11, MUTED)


# ---- who reaches whom --------------------------------------------------------------------------------------------

_ANSWERS = {
    "connected": ("answers", _GREEN),
    "ECONNREFUSED": ("ECONNREFUSED", _BLUE),
    "EHOSTUNREACH": ("EHOSTUNREACH", _RED),
    "ENETUNREACH": ("ENETUNREACH", "#9333ea"),
    "time-out": ("time-out", "#ca8a04"),
}
_PATIENCE = 6  # seconds: the kernel needs three to find that nobody has an address


def reach(places: list[Place], port: int = 80, seconds: float = _PATIENCE) -> dict[tuple[str, str], str]:
    """From each place to the address of each: what :func:`knock_all` says, by the names of the two."""
    pairs = {(here.name, there.name): (here.fd, there.address) for here in places for there in places if there.address}
    return knock_all(pairs, port, seconds)


def knock_all(pairs: dict, port: int = 80, seconds: float = _PATIENCE) -> dict:
    """Connect from a network namespace (a descriptor) to an address, for each of *pairs*, all at the same time.

    For each: "connected", the name of the kernel's error, or "time-out" after *seconds*.
    """
    attempts, result, poll = {}, {}, select.poll()
    for key, (fd, address) in pairs.items():
        with inside(fd):
            knock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        attempts[knock.fileno()] = key, knock
        error = knock.connect_ex((address, port))
        if error in (0, errno.EINPROGRESS):
            poll.register(knock.fileno(), select.POLLOUT)
        else:
            result[key] = errno.errorcode[error]
    end = time.monotonic() + seconds
    while len(result) < len(attempts) and (left := end - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            key, knock = attempts[fd]
            error = knock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            result[key] = errno.errorcode[error] if error else "connected"
            poll.unregister(fd)
    for key, knock in attempts.values():
        result.setdefault(key, "time-out")
        knock.close()
    return {key: result[key] for key in pairs}


def reach_map(places: dict, port: int = 80) -> Picture:
    """Who reaches whom: a row for each place that knocks, a column for each address, at *port*."""
    with look(places) as found:
        answers = reach(found, port)
        sheet = _Sheet(_WIDTH, 72 + 40 * len(found))
        _draw_reach(sheet, found, answers, 12, port)
        return sheet.picture(_reach_in_words(found, answers))


def _draw_reach(sheet: _Sheet, places: list[Place], answers: dict, top: float, port: int) -> None:
    columns = [place for place in places if place.address]
    left, step = 190, (_WIDTH - 190 - 24) / max(1, len(columns))
    sheet.text(28, top + 26, f"knocks at port {port} of", 11, MUTED)
    for number, there in enumerate(columns):
        x = left + step * (number + 0.5)
        sheet.text(x, top + 17, _short(there.name, 16), 12, INK, "bold", "center")
        sheet.text(x, top + 34, there.address, 11, MUTED, align="center", mono=True)
    for row, here in enumerate(places):
        y = top + 48 + 40 * row
        sheet.text(28, y + 16, _short(here.name, 18), 12, INK, "bold")
        for number, there in enumerate(columns):
            words, colour = _ANSWERS.get(answers[here.name, there.name], (answers[here.name, there.name], _GREY))
            sheet.box(left + step * number + 4, y, step - 8, 32, colour, "none", 6)
            sheet.text(left + step * (number + 0.5), y + 16, words, 11, CARD, "bold", "center")


def _reach_in_words(places: list[Place], answers: dict) -> str:
    told = []
    for here in places:
        row = [
            f"{there.name} {answers[here.name, there.name]}" for there in places if (here.name, there.name) in answers
        ]
        told.append(f"{here.name}: {', '.join(row)}")
    return "who reaches whom. " + "; ".join(told)


# ---- a cable is pulled -------------------------------------------------------------------------------------------


class Pulled:
    """What became of a network when one cable after the other was pulled: *answers* has those of :func:`reach`, by the
    name of the place whose cable that was."""

    def __init__(self):
        self.answers: dict[str, dict] = {}
        self._sheets: dict[str, tuple[_Sheet, str]] = {}

    @property
    def names(self) -> list[str]:
        """The places, in order; "none" comes first."""
        return list(self.answers)

    def draw(self, name: str) -> str:
        """SVG: the network, and who reaches whom, while the cable of *name* is pulled."""
        return _svg(self._sheets[name][0])

    def picture(self, name: str) -> Picture:
        """The same, standing still."""
        sheet, sentence = self._sheets[name]
        return sheet.picture(sentence)

    def look(self, name: str, places: dict, port: int) -> None:
        """Remember how things are now, while the cable of *name* is pulled."""
        with look(places) as found:
            for place in found:
                _forget_neighbours(place)
            cables = _cables(found)
            answers = self.answers[name] = reach(found, port, seconds=4)
            top = _height(found, cables)
            sheet = _Sheet(_WIDTH, top + 66 + 40 * len(found))
            _draw_map(sheet, found, cables, top)
            _draw_reach(sheet, found, answers, top + 4, port)
            self._sheets[name] = sheet, f"{_map_in_words(found, cables)}; {_reach_in_words(found, answers)}"


def pull_cables(places: dict, port: int = 80) -> Pulled:
    """Switch off the first place's end of each of its cables, one at a time, and look; afterwards all are on again.

    So that nobody has to wait, each kernel here gives up on an address after one second, and not after three.
    """
    pulled = Pulled()
    with look(places) as found:
        hurry(found)
        ends = [(there.name, end.index) for here, end, there, _ in _cables(found) if here is found[0]]
    pulled.look("none", places, port)
    for name, index in ends:
        with look(places) as found:
            _switch(found[0], index, on=False)
        try:
            pulled.look(name, places, port)
        finally:
            with look(places) as found:
                _switch(found[0], index, on=True)
    return pulled


def _svg(sheet: _Sheet) -> str:
    """The drawing of *sheet* without its card: :func:`live` puts it on one."""
    import io

    import matplotlib

    stream, card = io.StringIO(), sheet.axes.patches[0]
    card.set_visible(False)
    try:
        with matplotlib.rc_context({"svg.fonttype": "none"}):
            sheet.figure.savefig(stream, format="svg", facecolor="none", metadata={"Date": None})
    finally:
        card.set_visible(True)
    drawing = stream.getvalue()
    head, rest = drawing[drawing.index("<svg") :].split(">", 1)
    box = head[head.index("viewBox") :].split('"')[1]
    return f"<svg width='{sheet.width}' height='{sheet.height}' viewBox='{box}'>{rest}"


def _switch(place: Place, index: int, on: bool) -> None:
    with Rtnetlink(namespace=place.fd) as kernel:
        kernel.request(netlink.RTM_NEWLINK, _LINK.pack(0, 0, index, int(on), netlink.IFF_UP))


def hurry(places: list[Place]) -> None:
    """Let the kernel ask three times within one second, and not three, who has an address.  Source: arp(7)."""
    for place in places:
        with inside(place.fd):
            for each in place.interfaces:
                path = f"/proc/sys/net/ipv4/neigh/{each.name}/retrans_time_ms"
                if each.name != "lo" and each.addresses and os.path.exists(path):
                    with open(path, "w") as file:
                        file.write("333")


def _forget_neighbours(place: Place) -> None:
    """Empty the table of Ethernet addresses: who is there has to be asked again."""
    with Rtnetlink(namespace=place.fd) as kernel:
        for body in kernel.request(_RTM_GETNEIGH, bytes(12), netlink.NLM_F_DUMP):
            try:
                kernel.request(_RTM_DELNEIGH, body)
            except OSError:
                pass  # it has gone by itself, or is none that can be removed


# ---- a message, byte for byte ------------------------------------------------------------------------------------


def message_map(message: bytes) -> Picture:
    """A netlink *message* about an interface in rows of four bytes, as the kernel reads it: header, then attributes."""
    rows = list(_rows_of_message(message))
    sheet = _Sheet(_WIDTH, 44 + 26 * len(rows))
    sheet.text(30, 24, "byte", 11, MUTED)
    for number, (place, words, detail, colour, padding) in enumerate(rows):
        y = 38 + 26 * number
        sheet.text(60, y + 11, str(place), 11, MUTED, align="right")
        for column, byte in enumerate(message[place : place + 4]):
            is_padding = column >= 4 - padding
            sheet.box(74 + 58 * column, y, 54, 22, FAINT if is_padding else colour, LINE if is_padding else "none", 4)
            shown = f"{byte:02x}"
            if 32 <= byte < 127 and detail == "text":
                shown += f" {chr(byte)}"
            sheet.text(101 + 58 * column, y + 11, shown, 11, MUTED if is_padding else CARD, align="center", mono=True)
        sheet.text(322, y + 11, words, 11.5, INK)
    return sheet.picture("a message to the kernel in rows of four bytes: a header, the interface, and attributes")


def _rows_of_message(message: bytes):
    """(place, words, "text" or "", colour, bytes of padding at its end) for each row of four bytes."""
    length, kind, flags, _, _ = _HEADER.unpack_from(message)
    for place, words in (
        (0, f"length of the whole message: {length}"),
        (
            4,
            f"kind {kind}: RTM_NEWLINK, and flags {flags:#x}: create it, and confirm" if kind == 16 else f"kind {kind}",
        ),
        (8, "number of the message: the answer has the same"),
        (12, "the sender's number"),
        (16, "struct ifinfomsg: family and type of the interface; 0: whatever"),
        (20, "its index; 0: a new one"),
        (24, "its flags, such as IFF_UP"),
        (28, "which flags to change"),
    ):
        yield place, words, "", _GREY if place < 16 else _BLUE, 0
    yield from _rows_of_attributes(message, 32, min(length, len(message)), {3: "IFLA_IFNAME", 18: "IFLA_LINKINFO"}, 0)


def _rows_of_attributes(message: bytes, place: int, end: int, names: dict, depth: int):
    colour = (LIT, "#9333ea")[depth]
    while place + 4 <= end:
        length, kind = struct.unpack_from("=HH", message, place)
        name = names.get(kind & 0x3FFF, "")
        inner = " in it" if depth else ""
        yield place, f"attribute{inner}: length {length}, kind {kind & 0x3FFF} {name}", "", colour, 0
        if kind & 0x3FFF == 18 and not depth:
            yield from _rows_of_attributes(message, place + 4, place + length, {1: "IFLA_INFO_KIND"}, 1)
        else:
            for row in range(place + 4, place + length, 4):
                padding = max(0, row + 4 - (place + length))
                words = "" if not padding else f"{padding} of padding: the next attribute begins at a multiple of 4"
                yield row, words, "text", colour, padding
        place += length + -length % 4
