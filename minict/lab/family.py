"""Chapter 03's picture: a family of processes at four moments, watched from outside of its pid namespace."""

from __future__ import annotations

import os
import signal
import time

from minict.kernel.namespaces import CLONE_NEWPID, unshare
from minict.kernel.process import PR_SET_NAME, prctl
from minict.runtime.process import restore_signals, spawn

from . import host
from .child import ChildError, run_in_child
from .figures import CARD, FAINT, HUES, INK, LINE, LIT, LIT_EDGE, MUTED, Picture, _Sheet

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

_PATIENCE = 0.3  # seconds that number 1 has to notice a child's end: a thousand times what it needs
_LIMIT = 5.0  # seconds for anything else, on a very busy machine
_MORE = 5  # helpers after the first


class Person:
    """One process at one moment: its *number* in its own namespace, its parent's there, and whether it lives."""

    def __init__(self, number: int, name: str, parent: int, is_zombie: bool):
        self.number, self.name, self.parent, self.is_zombie = number, name, parent, is_zombie


def until_runs(program: str, pid: int) -> None:
    """Wait until a child of the process *pid* has become *program*: a shell needs a moment for its fork and exec."""
    _until(lambda: any(process.name == program and process.parent == pid for process in host.process_table().values()))


def zombies(pid: int) -> int:
    """How many children of the process *pid* have ended and were not waited for; looks until that number stands
    still."""
    seen, end = -1, time.monotonic() + _LIMIT
    while (count := _count_zombies(pid)) != seen and time.monotonic() < end:
        seen = count
        time.sleep(_PATIENCE / 2)
    return count


def _count_zombies(pid: int) -> int:
    return sum(process.state == "Z" and process.parent == pid for process in host.process_table().values())


def family_album(wait_for) -> Picture:
    """A process 1 that starts a command and then calls ``wait_for(pid)``, and what becomes of the command's orphans.

    All this happens when the cell runs, in a new pid namespace that ends with the last picture.  The command starts a
    worker, the worker starts a helper.  We end the worker, then the helper, and then do the same five times more.
    """
    try:
        return _draw(run_in_child(_live_through, wait_for))
    except ChildError as error:  # process 1 has printed the learner's mistake; our own traceback would not help
        raise ChildError(str(error).removeprefix("the child raised ChildError: ")) from None


# ---- the family ------------------------------------------------------------------------------------------------


def _live_through(wait_for) -> list[tuple[str, list[Person]]]:
    """In a child: (caption, all processes) at each of four moments."""
    orders, order = os.pipe()
    unshare(CLONE_NEWPID)
    first = spawn(lambda: _number_one(wait_for, orders))
    moments = []
    for round in range(1 + _MORE):
        os.write(order, b"!")
        worker = _until(lambda: _find(first, "worker"), first)
        helper = _until(lambda: _find(first, "helper"), first)
        if round == 0:
            moments.append(("A command starts a worker,\nthe worker a helper.", _family(first)))
        os.kill(worker, signal.SIGKILL)
        _until(lambda: not os.path.exists(f"/proc/{worker}"), first)  # the command has waited for it
        if round == 0:
            moments.append(("The worker has ended:\nits helper is an orphan.", _family(first)))
        os.kill(helper, signal.SIGKILL)
        _until(lambda: _find(first, "helper") is None, first)
        if round == 0:
            zombies(first)
            moments.append(("The helper has ended, too.\n", _family(first)))
    zombies(first)
    moments.append((f"The same again,\n{_MORE} times.", _family(first)))
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    return moments


def _number_one(wait_for, orders: int) -> None:
    _call_oneself("number 1")
    wait_for(spawn(lambda: _command(orders)))


def _command(orders: int) -> None:
    _call_oneself("command")
    while os.read(orders, 1):
        os.waitpid(spawn(_worker), 0)


def _worker() -> None:
    spawn(_helper)
    _call_oneself("worker")
    signal.pause()


def _helper() -> None:
    _call_oneself("helper")
    signal.pause()


def _call_oneself(name: str) -> None:
    import ctypes

    restore_signals()
    text = ctypes.create_string_buffer(name.encode())
    prctl(PR_SET_NAME, ctypes.addressof(text))


def _until(condition, first: int = 0):
    """Wait until ``condition()`` is true; its value.  Raises :class:`ChildError` when the child *first* has ended."""
    end = time.monotonic() + _LIMIT
    while not (value := condition()):
        if first and os.waitid(os.P_PID, first, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            raise ChildError("number 1 has ended, and its family with it: what it printed stands above")
        if time.monotonic() > end:
            raise TimeoutError(f"nothing came of it within {_LIMIT:g} s: has number 1 ended?")
        time.sleep(0.002)
    return value


def _members(first: int) -> list[host.Process]:
    table = host.process_table()
    return [table[pid] for pid in sorted({first} | host.descendants(table, first)) if pid in table]


def _find(first: int, name: str) -> int | None:
    """The host's pid of the living process with this *name*."""
    return next((each.pid for each in _members(first) if each.name == name and each.state not in "ZX"), None)


def _family(first: int) -> list[Person]:
    members = _members(first)
    numbers = {each.pid: host.numbers(each)[-1] for each in members}
    return [Person(numbers[each.pid], each.name, numbers.get(each.parent, 0), each.state == "Z") for each in members]


# ---- the picture -----------------------------------------------------------------------------------------------

_COLOURS = {"number 1": LIT, "command": HUES[0], "worker": HUES[3], "helper": HUES[2]}
_ROW, _STEP = 34, 20


def _draw(moments: list[tuple[str, list[Person]]]) -> Picture:
    rows = max(len(family) for _, family in moments)
    sheet = _Sheet(920, 124 + _ROW * rows)
    width = (920 - 28) / len(moments)
    for number, (caption, family) in enumerate(moments):
        x = 14 + width * number
        if number:
            sheet.line([(x, 20), (x, sheet.height - 20)], LINE, 1)
        _draw_moment(sheet, x + 16, width - 32, number + 1, caption, family)
    counts = [sum(person.is_zombie for person in family) for _, family in moments]
    return sheet.picture(
        "a family of processes at four moments: an orphan comes to number 1; zombies: " + ", ".join(map(str, counts))
    )


def _draw_moment(sheet: _Sheet, x: float, width: float, number: int, caption: str, family: list[Person]) -> None:
    sheet.dot(x + 9, 33, 11, INK)
    sheet.axes.text(
        x + 9, 36.4, str(number), fontsize=7.6, color=CARD, fontweight="bold", ha="center", va="baseline", zorder=4
    )
    sheet.text(x + 28, 33, caption, 10.5, INK)
    at: dict[str, Any] = {}

    def place(person, level):
        y = 68 + _ROW * len(at)
        at[person.number] = (x + _STEP * level, y)
        _draw_person(sheet, person, x + _STEP * level, y, width - _STEP * level, at.get(person.parent))
        for child in family:
            if child.parent == person.number:
                place(child, level + 1)

    place(family[0], 0)
    count = sum(person.is_zombie for person in family)
    sheet.text(
        x + width / 2,
        sheet.height - 28,
        "no zombie" if not count else "1 zombie" if count == 1 else f"{count} zombies",
        12,
        LIT_EDGE if count else MUTED,
        "bold",
        "center",
    )


def _draw_person(sheet: _Sheet, person: Person, x: float, y: float, width: float, parent) -> None:
    """A row: a chip with the pid inside the namespace, and the name; an adopted process hangs on an orange line."""
    adopted = person.name == "helper" and person.parent == 1
    if parent:
        left = parent[0] + 9
        sheet.line(
            [(left, parent[1] + 27), (left, y + 13), (x - 1, y + 13)], LIT if adopted else LINE, 2 if adopted else 1.6
        )
    colour = _COLOURS.get(person.name, MUTED)
    sheet.box(
        x,
        y,
        width,
        26,
        FAINT if person.is_zombie else CARD,
        MUTED if person.is_zombie else colour,
        6,
        1.4,
        "--" if person.is_zombie else "-",
    )
    sheet.box(x + 4, y + 4, 24, 18, LINE if person.is_zombie else colour, radius=4)
    sheet.text(x + 16, y + 13, str(person.number), 10, INK if person.is_zombie else CARD, "bold", "center", True)
    sheet.text(x + 36, y + 13, person.name, 11, MUTED if person.is_zombie else INK, "bold")
    words = "zombie" if person.is_zombie else "adopted" if adopted else ""
    sheet.text(x + width - 8, y + 13, words, 9, MUTED if person.is_zombie else LIT_EDGE, align="right")
