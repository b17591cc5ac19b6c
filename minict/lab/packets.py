"""The way of a packet through the hooks of a host, recorded by the kernel, and drawn.

:func:`record` adds two chains of its own at each hook, one before the rules that translate addresses and one behind
them.  Each writes the addresses of the first packet that passes into a set.  So what is drawn is what the kernel has
seen, and the ports that change with each call are not a part of it.

==================  ===================================================================
:func:`machines`    the three machines of the chapter
:func:`hooks`       the idea: five places where a packet can be changed
:func:`record`      the ways of some calls through a :class:`.machines.Machine`
:class:`Travels`    what was recorded: a picture, and a drawing for :func:`.figures.live`
==================  ===================================================================
"""

from __future__ import annotations

import html

from .figures import BUILT, BUILT_EDGE, CARD, FAINT, HOST, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet
from .machines import Machine, elements

# hook -> the priorities of our chains before and behind those that translate addresses there: nft(8), PRIORITY.
# All are behind connection tracking (-200), which finds out whether a packet is the first of a connection.
_HOOKS = {
    "prerouting": (-150, -90),
    "input": (90, 110),
    "forward": (-10, 10),
    "output": (-150, -90),
    "postrouting": (90, 110),
}
_FIRST = "ct direction original tcp flags & (syn | ack) == syn"


class Stop:
    """A *hook* that a packet has passed, with its addresses *before* and *after*: (source, destination with port)."""

    def __init__(self, hook: str, before: tuple[str, str], after: tuple[str, str]):
        self.hook, self.before, self.after = hook, before, after


class Travel:
    """One call: a *title*, the *stops* of its first packet in their order, and the *answer* that the caller got."""

    def __init__(self, title: str, stops: list[Stop], answer: str):
        self.title, self.stops, self.answer = title, stops, answer

    def __str__(self):
        return " · ".join(f"{stop.hook} {stop.after[0]} → {stop.after[1]}" for stop in self.stops)


def record(host: Machine, calls: dict) -> Travels:
    """Make *calls*, a function for each title, one after the other, and record how their packets pass *host*."""
    host.nft("\n".join(_setup()))
    try:
        return Travels([_travel(host, title, call) for title, call in calls.items()])
    finally:
        host.nft("delete table inet witness")


def _setup():
    yield "add table inet witness"
    for hook, priorities in _HOOKS.items():
        for side, priority in zip(("before", "after"), priorities):
            name = f"{hook}-{side}"
            kind = "ipv4_addr . ipv4_addr . inet_service"
            yield f"add set inet witness {name} {{ type {kind}; flags dynamic; size 16; }}"
            yield f"add chain inet witness {name} {{ type filter hook {hook} priority {priority}; }}"
            yield f"add rule inet witness {name} {_FIRST} update @{name} {{ ip saddr . ip daddr . tcp dport }}"


def _travel(host: Machine, title: str, call) -> Travel:
    names = [f"{hook}-{side}" for hook in _HOOKS for side in ("before", "after")]
    host.nft("\n".join(f"flush set inet witness {name}" for name in names))
    answer = call()
    stops = []
    for hook in _HOOKS:
        seen = [elements(host.rules(f"inet witness {hook}-{side}", "set")) for side in ("before", "after")]
        if all(seen):
            stops.append(Stop(hook, *((each[0][0], f"{each[0][1]}:{each[0][2]}") for each in seen)))
    return Travel(title, stops, answer)


class Travels:
    """The ways of some calls.  Shown, it is a picture that stands still; :meth:`draw` draws one step of all for a
    slider."""

    def __init__(self, travels: list[Travel]):
        self.travels = travels
        self.steps = [(number, place) for number, travel in enumerate(travels) for place in range(len(travel.stops))]

    def __iter__(self):
        return iter(self.travels)

    def __len__(self):
        return len(self.steps)

    def picture(self) -> Picture:
        """A row for each call, a column for each hook, and in each place the addresses behind that hook."""
        left, step, row = 190, 150, 92
        sheet = _Sheet(left + step * len(_HOOKS) + 16, 66 + row * len(self.travels))
        for column, hook in enumerate(_HOOKS):
            sheet.text(left + step * (column + 0.5), 32, hook, 13, INK, "bold", "center")
        for number, travel in enumerate(self.travels):
            y = 60 + row * number
            sheet.text(24, y + 24, travel.title, 12, INK, "bold")
            sheet.text(24, y + 50, travel.answer, 11, MUTED)
            places = [left + step * (list(_HOOKS).index(stop.hook) + 0.5) for stop in travel.stops]
            if places:
                sheet.line([(places[0], y + 34), (places[-1], y + 34)], LIT, 2.4)
            for x, stop in zip(places, travel.stops):
                changed = stop.before != stop.after
                sheet.box(x - 68, y + 4, 136, 60, "#fff7ed" if changed else CARD, LIT if changed else HOST, 8, 1.6)
                for line, (was, now, sign) in enumerate(zip(stop.before, stop.after, ("from ", "to "))):
                    new = was != now
                    sheet.text(x - 60, y + 23 + 22 * line, sign, 11, MUTED)
                    sheet.text(
                        x + 62,
                        y + 23 + 22 * line,
                        now,
                        11,
                        LIT_EDGE if new else INK,
                        "bold" if new else "normal",
                        "right",
                    )
        sentence = "; ".join(f"{travel.title}: {travel}" for travel in self.travels)
        return sheet.picture(f"the way of a call's first packet through the host's hooks. {sentence}")

    def draw(self, step: int) -> str:
        """SVG: the five hooks with the packet at one of them, and what it carries there."""
        number, place = self.steps[step]
        travel = self.travels[number]
        stop, passed = travel.stops[place], {each.hook for each in travel.stops[: place + 1]}
        parts = [
            "<svg width='760' height='250' viewBox='0 0 760 250' font-family='sans-serif' font-size='13'>",
            f"<text x='20' y='28' font-size='15' font-weight='bold' fill='{INK}'>{html.escape(travel.title)}</text>",
        ]
        for column, hook in enumerate(_HOOKS):
            x, here = 20 + 145 * column, hook == stop.hook
            face, ink = (LIT, CARD) if here else (BUILT, INK) if hook in passed else (FAINT, MUTED)
            parts.append(
                f"<rect x='{x}' y='52' width='135' height='44' rx='8' fill='{face}' "
                f"stroke='{LIT_EDGE if here else BUILT_EDGE if hook in passed else LINE}'/>"
                f"<text x='{x + 67}' y='79' text-anchor='middle' font-weight='bold' fill='{ink}'>{hook}</text>"
            )
            if here:
                parts.append(f"<path d='M{x + 59} 100 h16 l-8 14 z' fill='{LIT}'/>")
        for line, (was, now, sign) in enumerate(zip(stop.before, stop.after, ("from", "to"))):
            y, new = 148 + 32 * line, was != now
            parts.append(f"<text x='40' y='{y}' fill='{MUTED}'>{sign}</text>")
            if new:
                parts.append(
                    f"<text x='90' y='{y}' fill='{MUTED}' text-decoration='line-through'>{was}</text>"
                    f"<text x='270' y='{y}' fill='{LIT_EDGE}' font-weight='bold'>→ {now}</text>"
                )
            else:
                parts.append(f"<text x='90' y='{y}' fill='{INK}' font-weight='bold'>{now}</text>")
        last = place == len(travel.stops) - 1
        parts.append(
            f"<text x='40' y='222' fill='{MUTED}'>"
            f"{'the answer: ' + html.escape(travel.answer) if last else 'on to the next hook'}</text></svg>"
        )
        return "".join(parts)


def machines() -> Picture:
    """The world, the host and the box of :mod:`.machines`, with their cables and addresses."""
    sheet = _Sheet(920, 220)
    for x, width, name, says in (
        (24, 190, "world", "a machine on the internet"),
        (300, 330, "host", "where containers run"),
        (716, 180, "box", "a container"),
    ):
        sheet.box(x, 24, width, 172, "#fff7ed" if name == "box" else FAINT, LIT if name == "box" else HOST, 12, 2)
        sheet.text(x + 18, 50, name, 15, INK, "bold")
        sheet.text(x + 18, 72, says, 11, MUTED)
    for x, width, interface, address in (
        (42, 154, "eth0", "203.0.113.9"),
        (318, 136, "eth0", "203.0.113.1"),
        (476, 136, "br0, the bridge", "10.99.0.1"),
        (734, 144, "eth0", "10.99.0.2"),
    ):
        sheet.box(x, 110, width, 58, CARD, MUTED, 8, 1.4)
        sheet.text(x + width / 2, 128, interface, 11, MUTED, align="center")
        sheet.text(x + width / 2, 150, address, 12.5, INK, "bold", "center", True)
    for x, to in ((196, 318), (612, 734)):
        sheet.line([(x, 139), (to, 139)], LIT, 3)
        sheet.box((x + to) / 2 - 26, 128, 52, 22, CARD, LIT, 6)
        sheet.text((x + to) / 2, 139, "veth", 11, LIT_EDGE, "bold", "center")
    return sheet.picture(
        "three machines: the world at 203.0.113.9 has a cable to the host at 203.0.113.1; the host's bridge at "
        "10.99.0.1 has one to the box at 10.99.0.2"
    )


def hooks() -> Picture:
    """The five hooks, and who passes which: packets that arrive, that pass through, that the host itself sends."""
    sheet = _Sheet(920, 300)
    sheet.box(150, 20, 620, 262, FAINT, HOST, 12, 2)
    sheet.text(168, 44, "the host's kernel", 12, MUTED, "bold")
    places = {
        "prerouting": (180, 206),
        "forward": (390, 206),
        "postrouting": (610, 206),
        "input": (290, 126),
        "output": (500, 126),
    }
    for name, (x, y) in places.items():
        lit = name in ("prerouting", "postrouting", "output")
        sheet.box(x, y, 130, 40, LIT if lit else CARD, LIT_EDGE if lit else MUTED, 8, 1.6)
        sheet.text(x + 65, y + 20, name, 12.5, CARD if lit else INK, "bold", "center")
    sheet.box(366, 46, 188, 40, BUILT, BUILT_EDGE, 8)
    sheet.text(460, 66, "programs of the host", 12, INK, "bold", "center")
    for begin, end in (
        ((112, 226), (178, 226)),
        ((312, 226), (388, 226)),
        ((522, 226), (608, 226)),
        ((742, 226), (808, 226)),
        ((330, 204), (350, 170)),
        ((372, 124), (400, 90)),
        ((520, 90), (548, 124)),
        ((580, 170), (640, 204)),
    ):
        sheet.arrow(*begin, *end, INK)
    sheet.text(24, 218, "a packet", 11, MUTED)
    sheet.text(24, 234, "arrives", 11, MUTED)
    sheet.text(816, 218, "a packet", 11, MUTED)
    sheet.text(816, 234, "leaves", 11, MUTED)
    sheet.text(455, 264, "orange: here your rules will translate addresses", 11, LIT_EDGE, "bold", "center")
    return sheet.picture(
        "a packet that arrives passes prerouting, then input when it is for the host, or forward and postrouting when "
        "it passes through; a packet of the host itself begins at output and then passes postrouting"
    )
