"""Eight switches, one for each kind of namespace: a process is made with those that are on, and asked where it is."""

from __future__ import annotations

import html
import os

from minict.kernel.namespaces import unshare
from minict.kernel.process import sethostname
from minict.runtime import namespaces
from minict.runtime.namespaces import FILES

from .child import run_in_child, supervise
from .figures import CARD, HOST, HUES, INK, MUTED, _card, _Shown

# kind -> what is each namespace's own; in the order of their bits in the number
_WORDS = {
    "network": "interfaces",
    "pid": "processes",
    "user": "users",
    "ipc": "messages",
    "uts": "host name",
    "cgroup": "cgroups",
    "mount": "mounts",
    "time": "clocks",
}
_LEFT, _STEP, _HEIGHT = 118, 88, 170
_OWN = HUES[1]
_NAME = "box"


def switchboard() -> _Shown:
    """Eight switches to click on, and below them the number that they form and the namespaces of a process created with
    it."""
    import ipywidgets

    layout = ipywidgets.Layout(width=f"{_STEP - 4}px", margin="2px")
    switches = {kind: ipywidgets.ToggleButton(description=kind, layout=layout) for kind in _WORDS}
    page = ipywidgets.HTML()

    def show(change=None):
        on = [kind for kind, switch in switches.items() if switch.value]
        for switch in switches.values():
            switch.button_style = "warning" if switch.value else ""
        page.value = _card(draw(on), "the namespaces of this notebook, and of a new process")

    for switch in switches.values():
        switch.observe(show, "value")
    show()
    row = ipywidgets.HBox(list(switches.values()), layout=ipywidgets.Layout(margin=f"0 0 0 {_LEFT + 11}px"))
    return _Shown(
        ipywidgets.VBox([row, page]), "Eight switches: a process is made whose namespaces of these kinds are its own"
    )


def draw(kinds: list[str]) -> str:
    """SVG: this process, and a new one with namespaces of its own of these *kinds*, as the kernel tells of them."""
    mine, outcome = numbers(), supervise(lambda: trial(kinds))
    if not outcome.value:
        return (
            f"<pre style='color:{INK}'>{html.escape(outcome.error_text or 'the process ended without a message')}</pre>"
        )
    theirs, name = outcome.value
    width = _LEFT + _STEP * len(_WORDS)
    parts = [
        f"<svg width='{width}' height='{_HEIGHT}' viewBox='0 0 {width} {_HEIGHT}' font-family='sans-serif' "
        "font-size='12' style='display:block'>",
        _number(namespaces.flags(kinds), 140),
        _text(6, 60, "this notebook", INK, "bold"),
        _text(6, 104, "a new process", INK, "bold"),
    ]
    for column, (kind, words) in enumerate(_WORDS.items()):
        x, own = _LEFT + _STEP * (column + 0.5), theirs[kind] != mine[kind]
        parts += [
            _text(x, 10, kind, INK, "bold", "middle"),
            _text(x, 26, words, MUTED, "normal", "middle"),
            _shape(x, 40, 32 if own else 76, HOST),
            _text(x, 60 if own else 82, mine[kind], INK, "normal", "middle"),
        ]
        if own:
            parts += [_shape(x, 84, 32, _OWN), _text(x, 104, theirs[kind], CARD, "bold", "middle")]
    if "uts" in kinds:
        result = f"In there, sethostname has made {name} of the name; out here nothing has changed."
    else:
        result = "In there, sethostname was not called: without the switch uts it would rename your whole machine."
    return "".join([*parts, _text(6, 162, result, MUTED), "</svg>"])


def trial(kinds: list[str]) -> tuple[dict[str, int], str]:
    """In a child: unshare *kinds*, set a host name if that does no harm, and let the next child report its
    namespaces."""
    unshare(namespaces.flags(kinds))
    if "uts" in kinds:
        sethostname(_NAME)
    return run_in_child(numbers), os.uname().nodename


def numbers() -> dict[str, int]:
    return {kind: os.stat(f"/proc/self/ns/{file}").st_ino for kind, file in FILES.items()}


def _number(number: int, y: float) -> str:
    """The call, with each 1 of the number in the colour of its namespace."""
    bits = "".join(
        f"<tspan fill='{_OWN if bit == '1' else MUTED}' font-weight='{'bold' if bit == '1' else 'normal'}'>"
        f"{bit}</tspan>"
        for bit in f"{number:032b}"
    )
    return (
        f"<text x='6' y='{y}' font-family='monospace' font-size='13' fill='{INK}' xml:space='preserve'>"
        f"unshare(0b{bits})</text>"
    )


def _text(x, y, words, colour, weight="normal", anchor="start") -> str:
    size = 10 if isinstance(words, int) else 12
    return (
        f"<text x='{x}' y='{y}' fill='{colour}' font-weight='{weight}' text-anchor='{anchor}' font-size='{size}'>"
        f"{html.escape(str(words))}</text>"
    )


def _shape(x, y, height, colour) -> str:
    return f"<rect x='{x - 38}' y='{y}' width='76' height='{height}' rx='14' fill='{colour}'/>"
