"""The picture of chapter 07: an image in a registry as a tree of digests, and which of them change with one byte.

::

    tree = ImageTree(registry, "library/postcard")
    tree                                               # as it is
    tree.changed("a file of the top layer")            # what gets another digest then, computed
    live(tree.draw, "What changes:", tree.changes)     # the same, moved by a slider
"""

from __future__ import annotations

import gzip
import html
import json
import zlib

from minict.engine.distribution.manifest import architecture, digest_of

from .figures import CARD, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet

_BLUE, _GREEN, _VIOLET = "#2563eb", "#059669", "#9333ea"
_COLOURS = {
    "tag": MUTED,
    "index": _VIOLET,
    "manifest": _BLUE,
    "config": _GREEN,
    "layer": "#0891b2",
    "archive": "#475569",
}
_WIDTH, _HEIGHT = 148, 48


class ImageTree:
    """The image *name* of *registry*, a repository with or without a tag: all its documents and layers.

    ``changes`` are what :meth:`changed` and :meth:`draw` know.
    """

    changes = (
        "nothing",
        "a file of the top layer",
        "how hard the top layer is compressed",
        "the command in the config",
        "the image for another processor",
        "which index the tag names",
    )

    def __init__(self, registry, name: str):
        self.name, _, tag = name.partition(":")
        self.tag = tag or "latest"
        self._data: dict[str, bytes] = {"index": registry.read(f"/v2/{self.name}/manifests/{self.tag}")}
        for each in json.loads(self._data["index"])["manifests"]:
            processor = each["platform"]["architecture"]
            key = "manifest" if processor == architecture() else f"manifest {processor}"
            self._data[key] = registry.read(f"/v2/{self.name}/manifests/{each['digest']}")
        manifest = json.loads(self._data["manifest"])
        self._data["config"] = registry.read(f"/v2/{self.name}/blobs/{manifest['config']['digest']}")
        self.layers = range(1, len(manifest["layers"]) + 1)
        for number, each in zip(self.layers, manifest["layers"]):
            self._data[f"layer {number}"] = registry.read(f"/v2/{self.name}/blobs/{each['digest']}")
            self._data[f"archive {number}"] = gzip.decompress(self._data[f"layer {number}"])

    def digests(self, change: str = "nothing") -> dict[str, str]:
        """The digest of each part after *change*: each document is written again with the new digests in it."""
        old = {name: digest_of(data) for name, data in self._data.items()}
        data, top = dict(self._data), self.layers[-1]
        if change == self.changes[1]:
            archive = bytearray(data[f"archive {top}"])
            archive[512] ^= 1  # the first byte of its first file
            data[f"archive {top}"] = bytes(archive)
            data[f"layer {top}"] = zlib.compress(archive, 9, wbits=31)
        elif change == self.changes[2]:
            data[f"layer {top}"] = zlib.compress(data[f"archive {top}"], 1, wbits=31)
        elif change == self.changes[3]:
            data["config"] = data["config"].replace(b"greet", b"Greet")
        elif change == self.changes[4]:
            other = next(name for name in data if name.startswith("manifest "))
            data[other] = data[other].replace(b'"size"', b'"Size"')
        holders = {"config": ("archive",), "manifest": ("config", "layer"), "index": ("manifest",)}
        for holder, kinds in holders.items():
            for name, part in list(data.items()):
                if name.startswith(kinds):
                    data[holder] = data[holder].replace(old[name].encode(), digest_of(part).encode())
        return {name: digest_of(each) for name, each in data.items()}

    def renamed(self, change: str) -> list[str]:
        """The parts that have another digest after *change*, the root of the tree first."""
        before, after = self.digests(), self.digests(change)
        lit = [name for name in before if before[name] != after[name]]
        return ["the tag", *lit] if change == self.changes[5] else lit

    def changed(self, change: str) -> Picture:
        """The tree after *change*: what gets another digest is lit."""
        sheet = _Sheet(920, self._height)
        self._paint(sheet, change)
        lit = ", ".join(self.renamed(change)) or "nothing"
        about = "" if change == "nothing" else f"; with {change}, what changes is: {lit}"
        return sheet.picture(
            f"the image {self.name}:{self.tag} as a tree: the tag names an index, the index a manifest for each "
            f"processor, a manifest one config and the layers, and the config the uncompressed archives{about}"
        )

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.changed("nothing")._repr_mimebundle_()

    def draw(self, change: str) -> str:
        """SVG of the tree after *change*."""
        page = _Svg(920, self._height)
        self._paint(page, change)
        return page.svg()

    @property
    def _height(self) -> int:
        return 164 + 62 * len(self.layers)

    def _paint(self, sheet, change: str) -> None:
        digests, lit = self.digests(change), self.renamed(change)
        middle = 62 + 62 * (len(self.layers) + 1) / 2 - _HEIGHT / 2
        others = [name for name in digests if name.startswith("manifest ")]
        places = {"index": (204, middle), "manifest": (384, middle), "config": (564, 62)}
        for row, name in enumerate(others, 1):
            places[name] = (384, middle + 62 * row)
        for number in self.layers:
            places[f"layer {number}"] = (564, 62 + 62 * number)
            places[f"archive {number}"] = (744, 62 + 62 * number)
        for x, words in (
            (24, "a tag"),
            (204, "an index"),
            (384, "manifests"),
            (564, "what is fetched"),
            (744, "and unpacked"),
        ):
            sheet.text(x, 34, words, 11, MUTED)
        self._lines(sheet, places, others)
        self._block(sheet, 24, middle, f":{self.tag}", "a name, not a digest", "tag", "the tag" in lit)
        for name, (x, y) in places.items():
            self._block(sheet, x, y, self._title(name), digests[name][7:19], name.split()[0], name in lit)
        sheet.text(
            24,
            self._height - 22,
            "Solid lines: “has this digest in it”. Orange: another digest than before.",
            11,
            MUTED,
        )

    def _title(self, name: str) -> str:
        if name.startswith("manifest"):
            return f"manifest, {name.partition(' ')[2] or architecture()}"
        return name

    def _lines(self, sheet, places: dict, others: list[str]) -> None:
        def join(one, other, style="-", colour=LINE):
            (x, y), (to_x, to_y) = one, places[other]
            half = (x + _WIDTH + to_x) / 2
            points = [(x + _WIDTH, y), (half, y), (half, to_y + _HEIGHT / 2), (to_x, to_y + _HEIGHT / 2)]
            sheet.line(points, colour, 1.6, style)

        def side(name):
            return places[name][0], places[name][1] + _HEIGHT / 2

        join((24, side("index")[1]), "index", ":")
        for name in ("manifest", *others):
            join(side("index"), name)
        for name in ("config", *(f"layer {number}" for number in self.layers)):
            join(side("manifest"), name)
        for number in self.layers:
            x, y = side("config")
            join((x, y), f"archive {number}", "-", "#a7d7c5")
            join(side(f"layer {number}"), f"archive {number}", ":")

    def _block(self, sheet, x: float, y: float, title: str, words: str, kind: str, lit: bool) -> None:
        sheet.box(x, y, _WIDTH, _HEIGHT, LIT if lit else CARD, LIT_EDGE if lit else _COLOURS[kind], 7, 1.6)
        sheet.text(x + 12, y + 16, title, 11.5, CARD if lit else INK, "bold")
        sheet.text(x + 12, y + 34, words, 11, "#ffedd5" if lit else MUTED, mono=kind != "tag")


class _Svg:
    """What :class:`.figures._Sheet` can, as SVG: for drawings that move."""

    def __init__(self, width: float, height: float):
        self.width, self.height, self._parts = width, height, []

    def box(self, x, y, width, height, face, edge="none", radius=6.0, line=1.0, style="-"):
        self._parts.append(
            f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='{radius}' fill='{face}' stroke='{edge}' "
            f"stroke-width='{line}'/>"
        )

    def text(self, x, y, text, size=11.0, colour=INK, weight="normal", align="left", mono=False):
        family = "monospace" if mono else "sans-serif"
        self._parts.append(
            f"<text x='{x}' y='{y + size * 0.36:.1f}' font-size='{size}' font-family='{family}' font-weight='{weight}' "
            f"fill='{colour}'>{html.escape(text)}</text>"
        )

    def line(self, points, colour=LINE, line=1.2, style="-"):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = "" if style == "-" else " stroke-dasharray='2 4'"
        self._parts.insert(
            0, f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='{line}'{dashes}/>"
        )

    def svg(self) -> str:
        return (
            f"<svg width='{self.width}' height='{self.height}' viewBox='0 0 {self.width} {self.height}'>"
            f"{''.join(self._parts)}</svg>"
        )
