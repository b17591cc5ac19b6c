"""The scoreboard of chapter 12: which attacks get through when a container lacks one of its walls.

==========================  ======================================================================
:func:`ten_cells`           ten cells of the board to predict, with a button for each answer
:func:`scoreboard`          runs a dozen attacks against eight containers, and draws what came of it
:func:`wall_switches`       six switches, one a wall: a container with exactly those walls is attacked
:func:`opened_by_each`      what each capability opens by itself, where no filter stands before it
==========================  ======================================================================

The attacks are those of :mod:`.attacks`: each is made so that nothing is harmed where it gets through.
"""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import tempfile

from minict.kernel import mount, namespaces
from minict.runtime import apparmor, capabilities

from . import attacks
from .child import run_in_child
from .figures import BUILT, BUILT_EDGE, CARD, HUES, INK, LIT, LIT_EDGE, MUTED, Picture, _card, _Sheet, _Shown

# attack -> in words; in the order of the rows
ATTACKS = {
    "mount_tmpfs": "mount a file system",
    "sethostname": "set the host name",
    "reboot": "ask for a reboot",
    "be_more_important": "push ahead of all others",
    "link_down": "switch an interface off",
    "unshare_user": "make a user namespace",
    "personality": "switch off random addresses",
    "become_root": "become root by a set-uid program",
    "leave_a_program": "leave a program in /bin",
    "open_a_setting": "open a setting of the kernel",
    "count_interrupts": "read a masked file",
    "open_a_device": "open a device of the host",
}
# wall -> in words; in the order of the columns
WALLS = {
    "capabilities": "capa-\nbilities",
    "filter": "seccomp\nfilter",
    "no_new_privs": "no_new_\nprivs",
    "read_only": "read-only\nroot",
    "masks": "masked\npaths",
    "devices": "device\nrules",
}
_WITH_SETUID = "/var/tmp"  # where set-uid programs work: /tmp and /run are often mounted without
_COLUMNS = ("", *WALLS, "all")  # which wall is missing
_REFUSALS = ("EPERM", "EACCES", "ENOSYS", "EROFS", "ENODATA")

# (attack, missing wall): the cells that are predicted
TEN = (
    ("be_more_important", "capabilities"),
    ("be_more_important", "filter"),
    ("mount_tmpfs", "capabilities"),
    ("mount_tmpfs", "filter"),
    ("unshare_user", "filter"),
    ("become_root", "no_new_privs"),
    ("leave_a_program", "capabilities"),
    ("count_interrupts", "capabilities"),
    ("open_a_device", "devices"),
    ("open_a_device", "all"),
)
_predicted: dict[tuple[str, str], str] = {}  # cell -> STOPPED or THROUGH
STOPPED, THROUGH = "is stopped", "gets through"


# ---- the attacks ---------------------------------------------------------------------------------------------------


class Arsenal:
    """The program of the attacks, owned by root and set-uid, in a directory that only root can enter; and a filter."""

    def __enter__(self) -> Arsenal:
        self.directory = tempfile.mkdtemp(prefix="minict-attacks-", dir=_WITH_SETUID)
        self.program = shutil.copy(attacks.program(), f"{self.directory}/attacks")
        os.chmod(self.program, 0o4755)
        self.profile = f"{self.directory}/profile.json"
        with open(self.profile, "w") as file:
            json.dump(_default_profile(), file)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory)

    def attack(self, missing: set[str]) -> dict[str, str]:
        """What each attack says in a container without the *missing* walls: ``worked``, or the kernel's errno."""
        import minict

        told = minict.run("tiny", ["/attacks", *ATTACKS], **self.options(missing)).output
        return dict(line.split(None, 1) for line in told.splitlines())

    def options(self, missing: set[str]) -> dict:
        """The options of ``minict.run`` for a container that lacks the *missing* walls and has all others."""
        security = ["apparmor=unconfined"] * apparmor.is_enabled()  # a wall that not every machine has
        security += ["no-new-privileges"] * ("no_new_privs" not in missing)
        security += ["systempaths=unconfined"] * ("masks" in missing)
        # The default filter goes by the capabilities: with all of them it would open as well.
        security += ["seccomp=unconfined" if "filter" in missing else f"seccomp={self.profile}"]
        return {
            "network": "none",
            "volume": [f"{self.program}:/attacks:ro"],
            "security_opt": security,
            "read_only": "read_only" not in missing,
            "cap_add": ["ALL"] * ("capabilities" in missing),
            "device_cgroup_rule": ["a *:* rwm"] * ("devices" in missing),
        }


def _default_profile() -> dict:
    """The default filter as for a container with the default capabilities, in the form of the specification."""
    from minict.engine.spec import seccomp

    return _plain(seccomp.default(list(capabilities.DEFAULT)))


def _plain(value):
    if isinstance(value, (str, int, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return {name: _plain(each) for name, each in vars(value).items() if each is not None}


def is_through(told: str) -> bool:
    """Whether the answer of an attack says that no wall has stopped it: a call that makes no sense ends with another
    errno than a refusal."""
    return told not in _REFUSALS


# ---- the board -----------------------------------------------------------------------------------------------------


def ten_cells() -> _Shown:
    """Ten cells of the board: for each, two buttons.  What is chosen is marked in the board that is drawn later."""
    import ipywidgets

    _predicted.clear()
    rows = []
    for cell in TEN:
        attack, wall = cell
        missing = "without any wall (--privileged)" if wall == "all" else f"without {_wall(wall)}"
        label = ipywidgets.HTML(f"{html.escape(ATTACKS[attack])}, <b>{missing}</b>", layout={"width": "31em"})
        buttons = ipywidgets.ToggleButtons(options=["?", STOPPED, THROUGH], style={"button_width": "9.5em"})
        buttons.observe(lambda change, cell=cell: _choose(cell, change["new"]), "value")
        rows.append(ipywidgets.HBox([label, buttons]))
    return _Shown(ipywidgets.VBox(rows), f"{len(TEN)} cells of the board to predict, with buttons")


def _choose(cell: tuple[str, str], value: str) -> None:
    if value == "?":
        _predicted.pop(cell, None)
    else:
        _predicted[cell] = value


def _wall(wall: str) -> str:
    """The name of a wall, as a sentence has it."""
    return {"filter": "the filter", "capabilities": "the limit on capabilities", "read_only": "the read-only root"}.get(
        wall, {"masks": "masked paths", "devices": "device rules"}.get(wall, wall)
    )


class Board:
    """What came of each attack, in the container that lacks no wall, each one of them, and all."""

    def __init__(self, told: dict[str, dict[str, str]]):
        self.told = told

    def __repr__(self):
        return repr(self.picture())

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture()._repr_mimebundle_()

    def through(self, missing: str) -> list[str]:
        """The attacks that get through without the wall *missing*: ``""`` for none, ``"all"`` for all of them."""
        return [attack for attack in ATTACKS if is_through(self.told[missing][attack])]

    def score(self) -> tuple[int, int]:
        """How many of the predictions were right, and how many there are."""
        right = [_is_right(cell, self.told) for cell in _predicted]
        return sum(right), len(right)

    def picture(self) -> Picture:
        """The board: a row for each attack, a column for each container."""
        left, width, height, top = 262, 79, 30, 74
        sheet = _Sheet(left + width * len(_COLUMNS) + 16, top + height * len(ATTACKS) + 50)
        sheet.text(24, 30, "the container lacks", 12, MUTED)
        for column, wall in enumerate(_COLUMNS):
            words = WALLS.get(wall, "all of\nthem" if wall else "no wall")
            for line, part in enumerate(words.split("\n")):
                sheet.text(left + width * (column + 0.5), 34 + 17 * line, part, 11.5, INK, "bold", "center")
        for row, (attack, words) in enumerate(ATTACKS.items()):
            y = top + height * row
            sheet.text(24, y + height / 2 - 2, words, 12, INK)
            for column, wall in enumerate(_COLUMNS):
                self._draw_cell(sheet, attack, wall, left + width * column + 3, y, width - 6, height - 5)
        self._draw_legend(sheet, top + height * len(ATTACKS) + 20)
        return sheet.picture(self.in_words())

    def _draw_cell(self, sheet: _Sheet, attack: str, wall: str, x, y, width, height) -> None:
        told = self.told[wall][attack]
        face, ink, words = (LIT, CARD, "through") if is_through(told) else (BUILT, INK, told)
        sheet.box(x, y, width, height, face, "none" if is_through(told) else BUILT_EDGE, 5)
        sheet.text(x + width / 2, y + height / 2, words, 11, ink, "bold" if is_through(told) else "normal", "center")
        if (attack, wall) in _predicted:
            right = _is_right((attack, wall), self.told)
            sheet.dot(x + width - 7, y + 7, 6, HUES[2] if right else HUES[9])

    def _draw_legend(self, sheet: _Sheet, y: float) -> None:
        sheet.box(24, y - 8, 24, 16, LIT, radius=4)
        sheet.text(56, y, "gets through", 11, MUTED)
        sheet.box(160, y - 8, 24, 16, BUILT, BUILT_EDGE, 4)
        sheet.text(192, y, "is stopped, and with which error", 11, MUTED)
        right, all = self.score()
        if all:
            sheet.text(470, y, f"your predictions: {right} of {all} right (green dots)", 11.5, LIT_EDGE, "bold")

    def in_words(self) -> str:
        """What the picture says, for those who do not see it."""
        told = [f"lacking {'all walls' if wall == 'all' else _wall(wall) if wall else 'no wall'}, "
                + (", ".join(ATTACKS[attack] for attack in self.through(wall)) or "nothing")
                for wall in _COLUMNS]  # fmt: skip
        return "what gets through: " + "; ".join(told)


def _is_right(cell: tuple[str, str], told: dict[str, dict[str, str]]) -> bool:
    attack, wall = cell
    return (_predicted[cell] == THROUGH) == is_through(told[wall][attack])


def scoreboard() -> Board:
    """Attack eight containers: one that has all walls, six that lack one, and one that has none."""
    with Arsenal() as arsenal:
        return Board({wall: arsenal.attack(set(WALLS) if wall == "all" else {wall} - {""}) for wall in _COLUMNS})


# ---- switches ------------------------------------------------------------------------------------------------------


def wall_switches() -> _Shown:
    """Six switches, one for each wall.  At each click a container with exactly these walls is attacked."""
    import ipywidgets

    layout, switches = ipywidgets.Layout(width="132px", margin="2px"), {}
    for wall, words in WALLS.items():
        name = words.replace("-\nb", "b").replace("_\n", "_").replace("\n", " ")
        switches[wall] = ipywidgets.ToggleButton(True, description=name, layout=layout)
    page = ipywidgets.HTML()

    def show(change=None):
        for switch in switches.values():
            switch.button_style = "success" if switch.value else "danger"
        missing = {wall for wall, switch in switches.items() if not switch.value}
        page.value = _card(draw(missing), "the attacks that get through with these walls")

    for switch in switches.values():
        switch.observe(show, "value")
    show()
    return _Shown(
        ipywidgets.VBox([ipywidgets.HBox(list(switches.values())), page]),
        "Six switches: a container with these walls is attacked",
    )


def draw(missing: set[str]) -> str:
    """SVG: each attack, and what came of it in a container without the *missing* walls."""
    with Arsenal() as arsenal:
        told = arsenal.attack(missing)
    parts = ["<svg width='880' height='196' viewBox='0 0 880 196' font-family='sans-serif' font-size='12'>"]
    for number, (attack, words) in enumerate(ATTACKS.items()):
        x, y, open = 6 + 292 * (number // 4), 8 + 40 * (number % 4), is_through(told[attack])
        parts.append(
            f"<rect x='{x}' y='{y}' width='282' height='32' rx='6' fill='{LIT if open else BUILT}'/>"
            f"<text x='{x + 10}' y='{y + 20}' fill='{CARD if open else INK}'>{html.escape(words)}: "
            f"{'through' if open else told[attack]}</text>"
        )
    count = sum(map(is_through, told.values()))
    parts.append(f"<text x='6' y='188' fill='{MUTED}'>{count} of {len(told)} get through</text>")
    return "".join([*parts, "</svg>"])


# ---- one capability at a time --------------------------------------------------------------------------------------


class Opened:
    """Which single calls each capability opens by itself: ``opened["CAP_SYS_ADMIN"]`` is a list of their names."""

    def __init__(self, calls: dict[str, list[str]]):
        self.calls = calls

    def __getitem__(self, name: str) -> list[str]:
        return self.calls[name]

    def __repr__(self):
        return repr(self.picture())

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture()._repr_mimebundle_()

    def picture(self) -> Picture:
        """A bar for each capability that opens something, the longest one first."""
        bars = sorted(((len(calls), name) for name, calls in self.calls.items() if calls), key=lambda bar: -bar[0])
        sheet = _Sheet(920, 74 + 25 * len(bars))
        sheet.text(
            24,
            28,
            "how many more of the calls get through with this one capability, where no filter stands in the way",
            12,
            MUTED,
        )
        longest = bars[0][0]
        for row, (count, name) in enumerate(bars):
            y = 50 + 25 * row
            sheet.text(24, y + 9, name, 11.5, INK)
            sheet.box(190, y, 640 * count / longest, 18, LIT, radius=4)
            sheet.text(200 + 640 * count / longest, y + 9, str(count), 11.5, INK)
        return sheet.picture(f"{bars[0][1]} opens more calls than any other capability")


def opened_by_each() -> Opened:
    """Make all single calls of the attacks with one capability at a time, in namespaces where they harm nobody.

    What a set of capabilities does not open, none of its members does: so halves of the set are tried first.
    """
    program, names = attacks.program(), attacks.names()
    return Opened(_search(program, set(names) - _open_with(program, names, []), capabilities.known()))


def _search(program: str, calls: set[str], kept: list[str]) -> dict[str, list[str]]:
    """What of *calls* each of the capabilities *kept* opens by itself."""
    opened = _open_with(program, sorted(calls), kept)
    if len(kept) == 1:
        return {kept[0]: sorted(opened)}
    if not opened:
        return {name: [] for name in kept}
    half = len(kept) // 2
    return {**_search(program, opened, kept[:half]), **_search(program, opened, kept[half:])}


def _open_with(program: str, names: list[str], kept: list[str]) -> set[str]:
    def attack() -> str:
        namespaces.unshare(
            namespaces.CLONE_NEWNS | namespaces.CLONE_NEWUTS | namespaces.CLONE_NEWIPC | namespaces.CLONE_NEWNET
        )
        mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
        from minict.runtime.spec import Capabilities

        capabilities.drop_bounding(Capabilities(bounding=kept))
        return subprocess.run([program, *names], capture_output=True, text=True, check=True).stdout

    told = dict(line.split(None, 1) for line in run_in_child(attack).splitlines())
    return {name for name in names if is_through(told[name])}
