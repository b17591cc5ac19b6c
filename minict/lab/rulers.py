"""For chapter 11: what an id inside a user namespace is outside, and a picture of it, drawn from real files.

:func:`rulers` makes a file for each id of a small range, and lets a process in a new user namespace look at them.
"""

from __future__ import annotations

import os
import tempfile

from minict.kernel.namespaces import CLONE_NEWUSER, unshare
from minict.runtime import namespaces
from minict.runtime.process import spawn
from minict.runtime.spec import IDMapping

from .figures import CARD, FAINT, HOST, HUES, INK, LINE, MUTED, Picture, _Sheet

NOBODY = 65534  # how the kernel shows an owner who has no place in the map: /proc/sys/kernel/overflowuid
_COUNT = 16  # ids on each ruler
_LEFT, _CELL = 128, 41


class inside:
    """In a ``with`` statement: a child process in a new user namespace with *maps*, which calls ``function()`` when the
    maps are written.

    The function's result, a list of numbers, is ``numbers()``. Raises :class:`OSError` for maps that the kernel
    refuses.
    """

    def __init__(self, maps, function):
        self.maps, self.function = maps, function

    def __enter__(self) -> inside:
        begun, begins = os.pipe()
        waits, self.go = os.pipe()
        self.answer, answers = os.pipe()

        def live():
            for end in (begun, self.go, self.answer):
                os.close(end)
            unshare(CLONE_NEWUSER)
            os.write(begins, b"!")
            if os.read(waits, 1):
                os.write(answers, " ".join(map(str, self.function())).encode())

        self.pid = spawn(live)
        for end in (begins, waits, answers):
            os.close(end)
        ready = os.read(begun, 1)
        os.close(begun)
        text = "".join(f"{' '.join(map(str, line))}\n" for line in self.maps)
        try:
            if not ready:
                raise OSError("this kernel gives no user namespace")
            for file in ("uid_map", "gid_map"):
                with open(f"/proc/{self.pid}/{file}", "w") as map_file:
                    map_file.write(text)
        except BaseException:
            self.__exit__()
            raise
        return self

    def numbers(self) -> list[int]:
        os.write(self.go, b"!")
        text = b""
        while data := os.read(self.answer, 1 << 16):
            text += data
        return [int(word) for word in text.split()]

    def __exit__(self, *exception) -> None:
        for end in (self.go, self.answer):
            os.close(end)
        os.waitpid(self.pid, 0)


def shown_inside(maps, owners) -> list[int]:
    """The owners that a process in a user namespace with *maps* sees, of files that belong to *owners* on the host."""
    with tempfile.TemporaryDirectory(prefix="minict-rulers-") as directory:
        os.chmod(directory, 0o755)
        paths = [f"{directory}/{number}" for number in range(len(owners))]
        for path, owner in zip(paths, owners):
            with open(path, "w"):
                os.chown(path, owner, owner)
        with inside(maps, lambda: [os.stat(path).st_uid for path in paths]) as process:
            return process.numbers()


class Rulers:
    """Two rulers, the ids inside and those of the host, and between them a band for each line of *maps*."""

    def __init__(self, maps):
        self.maps = [tuple(line) for line in maps]
        self.mappings = [IDMapping(containerID=a, hostID=b, size=size) for a, b, size in self.maps]
        self.shown = shown_inside(self.maps, range(_COUNT))

    def __repr__(self):
        return repr(self.picture())

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture()._repr_mimebundle_()

    def picture(self) -> Picture:
        sheet = _Sheet(_LEFT + _CELL * _COUNT + 130, 300)
        top, bottom = 62, 204
        sheet.text(24, top + 19, "inside", 12.5, INK, "bold")
        sheet.text(24, bottom + 19, "on the host", 12.5, INK, "bold")
        for number, (first, host, size) in enumerate(self.maps):
            self._draw_band(sheet, first, host, size, top + 38, bottom, HUES[number])
        for id in range(_COUNT):
            host = namespaces.host_id(id, self.mappings)
            self._draw_id(sheet, id, top, self._hue(host))
            self._draw_id(sheet, id, bottom, self._hue(id))
        self._draw_files(sheet, top, bottom)
        text = "   ".join(" ".join(map(str, line)) for line in self.maps)
        sheet.text(24, 28, f"the map:  {text}", 12, INK, mono=True)
        words = "A dot is a file. On the host it has one owner; above is the owner that a process inside sees."
        sheet.text(24, 278, words, 11.5, MUTED)
        return sheet.picture(self.in_words())

    def _hue(self, host: int | None) -> str:
        """The colour of the line that maps the id *host*."""
        for number, (_, first, size) in enumerate(self.maps):
            if host is not None and first <= host < first + size:
                return HUES[number]
        return HOST

    @staticmethod
    def _draw_id(sheet, id: int, y: int, hue: str) -> None:
        x = _LEFT + _CELL * id
        sheet.box(x + 2, y, _CELL - 4, 38, CARD if hue != HOST else FAINT, hue if hue != HOST else LINE, 6, 1.6)
        sheet.text(x + _CELL / 2, y + 12, str(id), 11.5, INK if hue != HOST else MUTED, "bold", "center")

    @staticmethod
    def _draw_band(sheet, first, host, size, top, bottom, hue) -> None:
        from matplotlib.patches import Polygon

        above, below = ((_LEFT + _CELL * place + 3, _LEFT + _CELL * (place + size) - 3) for place in (first, host))
        corners = [(above[0], top), (above[1], top), (below[1], bottom), (below[0], bottom)]
        sheet.axes.add_patch(Polygon(corners, closed=True, facecolor=hue, alpha=0.16, edgecolor="none"))

    def _draw_files(self, sheet, top: int, bottom: int) -> None:
        nobodys = self.shown.count(NOBODY)
        x = _LEFT + _CELL * _COUNT + 14
        sheet.box(x, top - 16, 100, 70, FAINT, LINE, 8, 1.2, "--")
        sheet.text(x + 50, top - 2, str(NOBODY), 11.5, MUTED, "bold", "center")
        for number in range(nobodys):
            sheet.dot(x + 15 + 14 * (number % 6), top + 16 + 13 * (number // 6), 5, HOST)
        for id, seen in enumerate(self.shown):
            sheet.dot(_LEFT + _CELL * (id + 0.5), bottom + 27, 5, self._hue(id))
            if seen != NOBODY:
                sheet.dot(_LEFT + _CELL * (seen + 0.5), top + 27, 5, self._hue(id))

    def in_words(self) -> str:
        """What the picture shows, as text for a screen reader."""
        seen = [f"{id} is {shown} inside" for id, shown in enumerate(self.shown) if shown != NOBODY]
        return (
            f"{_COUNT} files with the owners 0 to {_COUNT - 1} of the host, seen from a user namespace: "
            f"{', '.join(seen)}; {self.shown.count(NOBODY)} others are shown as {NOBODY}"
        )

    def draw(self) -> str:
        """HTML: the picture, for :func:`minict.lab.live`."""
        return self.picture().as_html()


def rulers(maps) -> Rulers:
    """Make 16 files, of the owners 0 to 15, and look at them from a user namespace with *maps*.

    *maps*: lines as in /proc/PID/uid_map, (first id inside, first id outside, how many), with ids below 16.
    """
    return Rulers(maps)
