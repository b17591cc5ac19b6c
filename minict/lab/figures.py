"""The course's pictures, drawn from the state of the kernel when the cell runs.

=====================  ==========================================================================
:func:`runtime_map`    the whole runtime, with the part that this chapter builds lit: opens each chapter
:func:`process_tree`   processes below one, with their numbers on the host and in their own pid namespace
:func:`mount_tree`     what a process has mounted where, and how mounts propagate
:func:`namespace_map`  which of some processes share which namespaces
:func:`live`           a drawing that a slider moves
:func:`watch`          a value of the kernel, drawn while it changes
=====================  ==========================================================================

Pictures are PNG on a white card, so that they can be read on GitHub in its dark and its light mode; each has a sentence
as its alternative text.  The two that move are SVG in an ``ipywidgets.HTML``; only a sentence of them is saved, so a
still picture should follow.
"""

from __future__ import annotations

import base64
import html
import io
import os

from . import gone, host

INK, MUTED, LINE, CARD, FAINT = "#1e293b", "#64748b", "#cbd5e1", "#ffffff", "#f8fafc"
LIT, LIT_EDGE = "#ea580c", "#c2410c"
BUILT, BUILT_EDGE = "#dbeafe", "#93c5fd"
# One hue for each kind of thing, dark enough for white letters.
HUES = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#db2777", "#0891b2", "#ca8a04", "#4f46e5", "#65a30d", "#b91c1c")
HOST = "#b6c2d1"  # whatever is the host's
_MONO = "DejaVu Sans Mono"


class Picture:
    """A finished drawing: a PNG, and a sentence as its alternative text."""

    def __init__(self, figure, sentence: str, width: int):
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=_DOTS, facecolor="none", metadata={"Software": None})
        self.png, self.sentence, self.width = stream.getvalue(), sentence, width
        self.height = width * figure.get_figheight() / figure.get_figwidth()

    def __repr__(self):
        return f"[Picture: {self.sentence}]"

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": self.png, "text/plain": repr(self)}, {"image/png": {"width": self.width}}

    def as_html(self) -> str:
        """An ``<img>``, for :func:`live`."""
        words, data = html.escape(self.sentence, quote=True), base64.b64encode(self.png).decode()
        return f"<img width='{self.width}' alt='{words}' src='data:image/png;base64,{data}'>"


_LEAST = 11  # pixels: smaller letters can't be read by everybody
_DOTS = 200  # a sheet's units are hundredths of an inch, shown as pixels: two dots for each, sharp on fine screens


class _Sheet:
    """A white card of *width* x *height* units, the origin at its top left, with the few shapes that the pictures
    need."""

    def __init__(self, width: float, height: float):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / 100, height / 100))
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.axis("off")
        self.box(2, 2, width - 4, height - 4, CARD, LINE, radius=12, line=1)

    def box(self, x, y, width, height, face, edge="none", radius=6.0, line=1.0, style="-"):
        from matplotlib.patches import FancyBboxPatch

        self.axes.add_patch(
            FancyBboxPatch(
                (x + radius, y + radius),
                width - 2 * radius,
                height - 2 * radius,
                boxstyle=f"round,pad={radius}",
                facecolor=face,
                edgecolor=edge,
                linewidth=line,
                linestyle=style,
            )
        )

    def text(self, x, y, text, size=9.0, colour=INK, weight="normal", align="left", mono=False):
        size = max(size, _LEAST)
        # on the baseline: centred, a word with a g would stand higher than one without
        down = y + size * (0.36 - 0.6 * text.count("\n"))
        for line in text.split("\n"):
            self.axes.text(
                x,
                down,
                line,
                fontsize=size * 0.72,
                color=colour,
                fontweight=weight,
                ha=align,
                va="baseline",
                family=_MONO if mono else "DejaVu Sans",
            )
            down += 1.2 * size

    def line(self, points, colour=LINE, line=1.2, style="-"):
        self.axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=colour,
            linewidth=line,
            linestyle=style,
            solid_capstyle="round",
            solid_joinstyle="round",
            zorder=1,
        )

    def arrow(self, x, y, to_x, to_y, colour=MUTED):
        self.axes.annotate(
            "",
            (to_x, to_y),
            (x, y),
            arrowprops={
                "arrowstyle": "-|>",
                "color": colour,
                "lw": 1.1,
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 9,
            },
        )

    def dot(self, x, y, radius, colour):
        from matplotlib.patches import Circle

        self.axes.add_patch(Circle((x, y), radius, facecolor=colour, edgecolor=CARD, linewidth=1.2, zorder=3))

    def picture(self, sentence: str) -> Picture:
        return Picture(self.figure, sentence, int(self.width))


# ---- the map of the runtime --------------------------------------------------------------------------------------

# floor -> parts: (chapter, its name, what it is to the kernel)
_FLOORS = (
    (
        "engine",
        "many containers, for people",
        (
            (6, "layers", "overlayfs"),
            (7, "images", "OCI, registries"),
            (9, "network", "veth, bridge"),
            (10, "the world", "NAT, DNS, ports"),
            (14, "life cycle", "ps, logs, stop"),
            (15, "volumes", "data that stays"),
            (17, "build", "Dockerfile"),
        ),
    ),
    (
        "runtime",
        "one container, from one specification",
        (
            (1, "process", "fork, exec, wait"),
            (2, "namespaces", "unshare, setns"),
            (3, "pid and init", "reap, signals"),
            ((4, 5), "root", "pivot_root"),
            (8, "limits", "cgroups v1, v2"),
            (11, "users", "id maps"),
            (12, "security", "capabilities, seccomp"),
            (13, "terminal", "pty, sessions"),
        ),
    ),
)
_ROOF = (16, "your own docker", "minict run -it --memory 128m -p 8080:80 ubuntu bash")
_REAL = (18, "real programs", "nginx, MariaDB"), (19, "real engines", "Podman, Docker")


class Map(Picture):
    """A picture whose parts are links in a running notebook: *areas* has their places, chapters and names."""

    areas: list[tuple]

    def _repr_mimebundle_(self, include=None, exclude=None):
        data, metadata = super()._repr_mimebundle_()
        try:
            import ipywidgets
        except ImportError:
            return data, metadata
        return {**ipywidgets.HTML(self._page())._repr_mimebundle_(), **data}, metadata

    def _page(self) -> str:
        from .course import chapters, link_attributes

        files, links = {chapter.number: chapter for chapter in chapters()}, []
        for x, y, width, height, number, name in self.areas:
            if number in files:
                words = html.escape(f"{name}: chapter {number:02}, {files[number].title}", quote=True)
                attributes = f"aria-label='{words}' title='{words}' {link_attributes(files[number].name)}"
                links.append(f"<a style='position:absolute;{self._place(x, y, width, height)}' {attributes}></a>")
        picture = f"{self.as_html()}{''.join(links)}"
        return f"<div class='minict-card' style='position:relative'>{picture}</div>{gone.STYLE}"

    def _place(self, x, y, width, height) -> str:
        """Where this rectangle is, in CSS, and in percent: a narrow page shrinks the picture."""
        across, down = self.width / 100, self.height / 100
        return f"left:{x / across:.2f}%;top:{y / down:.2f}%;width:{width / across:.2f}%;height:{height / down:.2f}%"


def runtime_map(chapter: int) -> Map:
    """The map of the whole runtime.  What *chapter* builds is orange, what the learner has built already is blue.

    A part is built when all exercises of its chapters are solved on this machine.  Each part is a link to its chapter.
    """
    from . import copies, course

    course.open_chapter(chapter)
    if words := copies.warning(chapter):
        print(words)
    sheet, solved = _Sheet(920, 372), course.solved_chapters()
    lit, areas = [], []

    def part(x, y, width, height, numbers, name, detail, mono=False):
        numbers = numbers if isinstance(numbers, tuple) else (numbers,)
        now, done = chapter in numbers, solved.issuperset(numbers)
        areas.append((x, y, width, height, chapter if now else numbers[0], name))
        face, edge = (LIT, LIT_EDGE) if now else (BUILT, BUILT_EDGE) if done else (FAINT, LINE)
        sheet.box(x, y, width, height, face, edge, 7, 1.6 if now else 1)
        ink, second = (CARD, "#ffedd5") if now else (INK, MUTED)
        middle = x + width / 2
        sheet.text(middle, y + height / 2 - (8 if height > 50 else 6), name, 12, ink, "bold", "center")
        sheet.text(middle, y + height / 2 + 10, _break(detail, width), 9, second, "normal", "center", mono)
        sheet.text(x + width - 7, y + 9, "·".join(f"{number:02}" for number in numbers), 7.5, second, "normal", "right")
        if now:
            lit.append(name)

    sheet.text(26, 28, "what you type", 10, MUTED)
    sheet.text(26, 46, "and what runs", 10, MUTED)
    part(126, 14, 472, 46, *_ROOF, mono=True)
    for number, entry in enumerate(_REAL):
        part(606 + number * 151, 14, 143, 46, *entry)
    y = 74
    for floor, words, parts in _FLOORS:
        sheet.box(14, y, 892, 104, "#f1f5f9", "none", 9)
        sheet.text(28, y + 18, floor, 13, INK, "bold")
        sheet.text(28 + 9.2 * len(floor) + 8, y + 18.5, words, 10, MUTED)
        width = (892 - 24 - 8 * (len(parts) - 1)) / len(parts)
        for number, entry in enumerate(parts):
            part(26 + number * (width + 8), y + 34, width, 58, *entry)
        y += 114
    sheet.box(14, y, 892, 56, "#1e293b", "none", 9)
    sheet.text(28, y + 20, "the Linux kernel", 13, "#f8fafc", "bold")
    sheet.text(
        28,
        y + 39,
        "clone3  unshare  setns  mount  pivot_root  openat2  prctl  capset  seccomp  overlayfs  netlink  nftables  "
        "/proc  /sys/fs/cgroup",
        9.5,
        "#94a3b8",
        mono=True,
    )
    for x in (120, 460, 800):
        sheet.arrow(x, 178, x, 188)
        sheet.arrow(x, 292, x, 302)
    sheet.arrow(460, 60, 460, 73)
    here = f"this chapter's part is {' and '.join(lit)}" if lit else "no part of it is built yet"
    picture = Map(sheet.figure, f"the map of the runtime; {here}", int(sheet.width))
    picture.areas = areas
    return picture


def _break(text: str, width: float) -> str:
    """*text* in two lines when it is too long for one of *width* units."""
    if len(text) * 5.4 <= width or " " not in text:
        return text
    first, _, rest = text.partition(", ")
    return f"{first},\n{rest}" if rest else text


# ---- processes -------------------------------------------------------------------------------------------------


def process_tree(pid: int | None = None, names: dict[int, str] | None = None) -> Picture:
    """The process *pid* (default: this one) and its descendants, with their numbers outside and inside.

    Processes of one pid namespace have one colour.  *names* replaces the kernel's names of some.
    """
    top = os.getpid() if pid is None else pid
    table = host.process_table()
    rows = _rows_of_family(table, top)
    depth = max(level for level, _ in rows)
    sheet = _Sheet(560 + 34 * depth, 66 + 38 * len(rows))
    right = sheet.width - 24
    sheet.text(right - 150, 26, "number on\nthe host", 9, MUTED, align="center")
    sheet.text(right - 50, 26, "number in its\npid namespace", 9, MUTED, align="center")
    colours, last_at = _Colours(_namespace("self", "pid")), {}
    for number, (level, process) in enumerate(rows):
        x, y = 24 + 34 * level, 50 + 38 * number
        if level:
            above = last_at[level - 1]
            sheet.line([(x - 20, above + 30), (x - 20, y + 15), (x - 3, y + 15)], LINE, 1.6)
        last_at[level] = y
        colour = colours.of(_namespace(process.pid, "pid"))
        zombie = process.state == "Z"
        sheet.box(x, y, right - 220 - x, 30, FAINT if zombie else CARD, colour, 6, 1.6, "--" if zombie else "-")
        sheet.dot(x + 16, y + 15, 5, colour)
        name = (names or {}).get(process.pid, _command_of(process))
        sheet.text(x + 30, y + 15, _short(name, (right - 260 - x) / 7), 11, MUTED if zombie else INK, "bold")
        if zombie:
            sheet.text(right - 232, y + 15, "zombie", 9, MUTED, align="right")
        numbers = host.numbers(process)
        sheet.text(right - 150, y + 15, str(process.pid), 11, INK, align="center", mono=True)
        sheet.text(
            right - 50, y + 15, str(numbers[-1]), 11, MUTED if colour == HOST else colour, "bold", "center", mono=True
        )
    words = ", ".join((names or {}).get(process.pid, _command_of(process).split(" ")[0]) for _, process in rows[1:])
    return sheet.picture(
        f"a tree of processes: below the first one {words}" if words else "one process without children"
    )


def _rows_of_family(table: dict, top: int) -> list[tuple]:
    """(level, process) of *top* and of its descendants, each below its parent, in the order of their numbers."""
    rows = []

    def add(pid, level):
        rows.append((level, table[pid]))
        for child in sorted(process.pid for process in table.values() if process.parent == pid):
            if not host.is_servant(table[child]):
                add(child, level + 1)

    add(top, 0)
    return rows


def _command_of(process) -> str:
    if process.name == "minict-init":
        return process.name  # its command line is still that of the process that made the container
    words = [word for word in process.read("cmdline").decode(errors="replace").split("\0") if word]
    if "ipykernel_launcher" in words or any(word.endswith("/lab/kernel.py") for word in words):
        return "this notebook"
    return " ".join([os.path.basename(words[0]), *words[1:]]) if words else process.name


def _namespace(pid: int | str, file: str) -> str:
    """What stands for the namespace: ``pid:[4026531836]``; a zombie has none any more."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{file}")
    except OSError:
        return ""


def _short(text: str, length: float) -> str:
    return text if len(text) <= length else text[: int(length) - 1] + "…"


class _Colours:
    """A colour for each thing, in the order of appearance; the first is the host's and is grey."""

    def __init__(self, first: str):
        self.known = {"": HOST, first: HOST}

    def of(self, thing: str) -> str:
        return self.known.setdefault(thing, HUES[(len(self.known) - 2) % len(HUES)])


# ---- namespaces ------------------------------------------------------------------------------------------------

_KINDS = (
    ("uts", "host name"),
    ("mnt", "mounts"),
    ("pid", "processes"),
    ("net", "network"),
    ("ipc", "messages"),
    ("user", "users"),
    ("cgroup", "cgroups"),
    ("time", "clocks"),
)


def namespace_map(processes: dict[str, int]) -> Picture:
    """Which of *processes* (a name for each pid) share which namespaces.

    Each shape is one namespace.  It has the colour of the process above all others in it: what is grey is the host's.
    """
    kinds = [kind for kind in _KINDS if os.path.exists(f"/proc/self/ns/{kind[0]}")]
    homes = {name: {file: _namespace(pid, file) for file, _ in kinds} for name, pid in processes.items()}
    colours = _colours_of_rows(homes, {file: _namespace("self", file) for file, _ in kinds})
    left, step = 190, 86
    sheet = _Sheet(left + step * len(kinds) + 14, 96 + 46 * len(processes))
    for column, (file, words) in enumerate(kinds):
        x = left + step * (column + 0.5)
        sheet.text(x, 26, file, 12, INK, "bold", "center", mono=True)
        sheet.text(x, 43, words, 9, MUTED, align="center")
        places: dict[str, list[float]] = {}
        for row, home in enumerate(homes.values()):
            places.setdefault(home[file], []).append(76 + 46 * row)
        for thing, rows in places.items():
            colour = colours[thing]
            # one shape around adjacent rows that share, and a thread between those that are apart
            sheet.line([(x, rows[0]), (x, rows[-1])], colour, 2.4)
            for begin, end in _runs(rows, 46):
                sheet.box(x - 36, begin - 16, 72, end - begin + 32, colour, radius=15)
                sheet.text(
                    x,
                    (begin + end) / 2,
                    thing.strip("abcdefghijklmnopqrstuvwxyz:[]_"),
                    9,
                    INK if colour == HOST else CARD,
                    align="center",
                    mono=True,
                )
    for row, name in enumerate(processes):
        sheet.text(24, 76 + 46 * row, _short(name, 22), 12, INK, "bold")
    sheet.text(
        24,
        96 + 46 * len(processes) - 24,
        "Each shape is one namespace, with its number. Grey: the host's, where this notebook is.",
        9.5,
        MUTED,
    )
    return sheet.picture("; ".join(_sharing_in_words(name, homes) for name in homes))


def _colours_of_rows(homes: dict[str, dict[str, str]], hosts: dict[str, str]) -> dict[str, str]:
    """A colour for each namespace: grey for the host's, else that of the first process in it, one for each process."""
    colours, used = dict.fromkeys(hosts.values(), HOST), 0
    for home in homes.values():
        new = [thing for thing in home.values() if thing not in colours]
        colours.update(dict.fromkeys(new, HUES[used % len(HUES)]))
        used += bool(new)
    return colours


def _runs(rows: list[float], step: float) -> list[tuple[float, float]]:
    """The stretches of adjacent *rows*: (first, last)."""
    runs = []
    for row in rows:
        if runs and row - runs[-1][1] == step:
            runs[-1] = (runs[-1][0], row)
        else:
            runs.append((row, row))
    return runs


def _sharing_in_words(name: str, homes: dict[str, dict[str, str]]) -> str:
    """What *name* has of its own, and what it shares with a process above it.

    For example ``mate: its own mnt, pid; with box uts``.
    """
    above = [each for each in homes if list(homes).index(each) < list(homes).index(name)]
    shared: dict[str, list[str]] = {}
    for file, thing in homes[name].items():
        if thing != _namespace("self", file):
            partner = next((each for each in above if homes[each][file] == thing), "")
            shared.setdefault(partner, []).append(file)
    own = [f"its own {', '.join(shared.pop(''))}"] if "" in shared else []
    words = own + [f"with {partner} {', '.join(files)}" for partner, files in shared.items()]
    return f"{name}: " + (" and ".join(words) or "the host's namespaces")


# ---- mounts ----------------------------------------------------------------------------------------------------

_TYPES = {
    "overlay": "#ea580c",
    "proc": "#9333ea",
    "sysfs": "#9333ea",
    "tmpfs": "#0891b2",
    "devpts": "#0891b2",
    "devtmpfs": "#0891b2",
    "mqueue": "#0891b2",
    "cgroup": "#059669",
    "cgroup2": "#059669",
}


def mount_tree(pid: int | str = "self", at_most: int = 24) -> Picture:
    """What the process *pid* has mounted where: the type, read-only or not, and whom the mount tells of changes.

    More than *at_most* rows are not shown, but counted.
    """
    table = host.mount_table(pid)
    rows = _rows_of_mounts(table)
    shown = rows[:at_most]
    depth = max(level for level, _ in shown)
    sheet = _Sheet(640 + 22 * depth, 62 + 30 * len(shown) + (24 if len(rows) > len(shown) else 0))
    right = sheet.width - 24
    for x, words in ((right - 250, "type"), (right - 150, "may write"), (right - 50, "tells")):
        sheet.text(x, 26, words, 9, MUTED, align="center")
    last_at = {}
    for number, (level, entry) in enumerate(shown):
        x, y = 24 + 22 * level, 44 + 30 * number
        if level:
            sheet.line([(x - 12, last_at[level - 1] + 22), (x - 12, y + 12), (x - 2, y + 12)], LINE, 1.4)
        last_at[level] = y
        colour = _TYPES.get(entry["type"], MUTED)
        sheet.dot(x + 6, y + 12, 5, colour)
        sheet.text(
            x + 18,
            y + 12,
            _short(entry["point"], (right - 320 - x) / 7.2),
            11,
            INK,
            "bold" if level < 1 else "normal",
            mono=True,
        )
        sheet.box(right - 292, y + 2, 84, 20, colour, radius=9)
        sheet.text(right - 250, y + 12, entry["type"], 9, CARD, "bold", "center")
        writable = "rw" in entry["options"].split(",")
        sheet.text(
            right - 150, y + 12, "yes" if writable else "read-only", 10, INK if writable else LIT_EDGE, align="center"
        )
        tells = _propagation(entry)
        sheet.text(right - 50, y + 12, tells, 10, MUTED if tells == "nobody" else LIT_EDGE, align="center")
    if len(rows) > len(shown):
        sheet.text(24, sheet.height - 20, f"… and {len(rows) - len(shown)} more", 10, MUTED)
    return sheet.picture("what a process has mounted where, a row for each mount")


def _propagation(entry: dict) -> str:
    """Where a change below this mount propagates.  Source: mount_namespaces(7), shared subtrees."""
    tags = {tag.partition(":")[0] for tag in entry["tags"]}
    return "its peers" if "shared" in tags else "nobody"


def _rows_of_mounts(table: list[dict]) -> list[tuple[int, dict]]:
    ids = {entry["id"] for entry in table}
    rows = []

    def add(entry, level):
        rows.append((level, entry))
        for child in sorted(
            (each for each in table if each["parent"] == entry["id"] and each is not entry), key=lambda e: e["point"]
        ):
            add(child, level + 1)

    for entry in table:
        if entry["parent"] not in ids or entry["parent"] == entry["id"]:
            add(entry, 0)
    return rows


# ---- drawings that move --------------------------------------------------------------------------------------------


class _Shown:
    """A widget with a sentence as its alternative text."""

    def __init__(self, widget, sentence: str):
        self.widget, self.sentence = widget, sentence
        widget.add_class(gone.CLASS)

    def __repr__(self):
        return f"[{self.sentence}]"

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {**self.widget._repr_mimebundle_(), "text/plain": repr(self)}


def live(draw, label: str, values: range | list, start=None, play: float | None = None) -> _Shown:
    """A drawing that a slider moves: ``draw(value)`` returns SVG, for each of *values*.

    *play*: adds a button that moves the slider on every so many seconds.  *draw* must not print.
    """
    import ipywidgets

    values = list(values)
    first = values.index(start) if start is not None else 0
    page = ipywidgets.HTML(_card(draw(values[first]), label))
    slider = ipywidgets.SelectionSlider(
        options=[(str(value), value) for value in values],
        index=first,
        description=label,
        continuous_update=True,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="30em"),
    )

    def moved(change):
        page.value = _card(draw(change["new"]), label)

    slider.observe(moved, "value")
    controls = [slider]
    if play:
        button = ipywidgets.Play(
            min=0,
            max=len(values) - 1,
            value=first,
            interval=int(play * 1000),
            layout=ipywidgets.Layout(margin="2px 8px"),
        )
        ipywidgets.jslink((button, "value"), (slider, "index"))
        controls.insert(0, button)
    return _Shown(ipywidgets.VBox([ipywidgets.HBox(controls), page]), f"A drawing with a slider: {label}")


def watch(
    sample, label: str, unit: str = "", seconds: float = 20, every: float = 0.25, top: float | None = None
) -> _Shown:
    """Draw the value of ``sample()`` while it changes, every *every* seconds for *seconds* seconds; then it stands
    still.

    It goes on while no cell runs.  *sample* must be quick and must not print; where it raises, the drawing ends.
    *top*: a line that the values should be compared with, such as a limit.
    """
    import asyncio

    import ipywidgets

    page = ipywidgets.HTML(_card(_curve([], label, unit, seconds, top), label))

    async def sample_for_a_while():
        loop, points = asyncio.get_running_loop(), []
        begin = loop.time()
        while loop.time() - begin < seconds:
            try:
                points.append((loop.time() - begin, float(sample())))
            except Exception:
                break  # what was watched is gone
            page.value = _card(_curve(points, label, unit, seconds, top), label)
            await asyncio.sleep(every)

    shown = _Shown(page, f"A curve that moves: {label}")
    try:
        shown.task = asyncio.ensure_future(sample_for_a_while())
    except RuntimeError:
        pass  # no event loop: not in a notebook
    return shown


def _card(drawing: str, title: str) -> str:
    """HTML: an SVG on a white card, where *title* is what a screen reader says; a picture is a card already.

    Either is at most as wide as the page (:mod:`.gone`).
    """
    if drawing.startswith("<img"):
        return f"<div class='minict-card'>{drawing}</div>{gone.STYLE}"
    if drawing.startswith("<svg"):
        begin, rest = drawing.split(">", 1)
        drawing = f"{begin} role='img'><title>{html.escape(title)}</title>{rest}"
    look = f"background:{CARD};border:1px solid {LINE};border-radius:12px;padding:10px"
    return f"<div class='minict-card' style='{look}'>{drawing}</div>{gone.STYLE}"


def _curve(points: list[tuple[float, float]], label: str, unit: str, seconds: float, top: float | None) -> str:
    """SVG: a curve of (seconds, value) with its last value in words."""
    width, height, left, foot = 620, 200, 58, 26
    highest = max([value for _, value in points] + [top or 0, 1e-9]) * 1.15

    def place(at, value):
        return left + at / seconds * (width - left - 12), height - foot - value / highest * (height - foot - 34)

    parts = [
        f"<svg width='{width}' height='{height}' viewBox='0 0 {width} {height}' "
        "font-family='sans-serif' font-size='12'>",
        f"<text x='{left}' y='16' fill='{INK}' font-weight='bold'>{html.escape(label)}</text>",
    ]
    for part in (0, 0.5, 1):
        _, y = place(0, highest / 1.15 * part)
        parts.append(
            f"<line x1='{left}' x2='{width - 12}' y1='{y:.1f}' y2='{y:.1f}' stroke='{LINE}' stroke-width='1'/>"
            f"<text x='{left - 8}' y='{y + 4:.1f}' fill='{MUTED}' text-anchor='end'>{highest / 1.15 * part:.3g}</text>"
        )
    if top:
        _, y = place(0, top)
        parts.append(
            f"<line x1='{left}' x2='{width - 12}' y1='{y:.1f}' y2='{y:.1f}' stroke='{LIT}' stroke-width='1.5' "
            "stroke-dasharray='5 4'/>"
        )
    if points:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        x, y = place(*points[-1])
        parts.append(
            f"<polyline points='{line}' fill='none' stroke='{HUES[0]}' stroke-width='2' stroke-linejoin='round'/>"
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4' fill='{HUES[0]}'/>"
            f"<text x='{width - 12}' y='16' fill='{HUES[0]}' text-anchor='end' font-weight='bold'>"
            f"{points[-1][1]:.3g} {html.escape(unit)}</text>"
        )
    parts.append(
        f"<text x='{left}' y='{height - 6}' fill='{MUTED}'>0 s</text>"
        f"<text x='{width - 12}' y='{height - 6}' fill='{MUTED}' text-anchor='end'>{seconds:g} s</text></svg>"
    )
    return "".join(parts)
