"""The eight switches of chapter 02, with real processes behind them."""

from __future__ import annotations

import os
import re

import pytest

from minict.lab import switchboard
from minict.runtime.namespaces import FLAGS

KINDS = list(FLAGS)


def shapes(svg: str, colour: str) -> int:
    return len(re.findall(f"<rect [^>]*fill='{colour}'", svg))


@pytest.mark.parametrize("kinds", [[], ["uts"], ["pid", "time"], ["user", "network"], KINDS], ids=len)
def test_the_new_process_has_of_its_own_what_is_on(kinds):
    name = os.uname().nodename
    svg = switchboard.draw(kinds)
    assert shapes(svg, switchboard._OWN) == len(kinds) and shapes(svg, switchboard.HOST) == 8
    assert f"unshare(0b{sum(FLAGS[kind] for kind in kinds):032b})" in re.sub("<[^>]*>", "", svg)
    assert ("sethostname has made box of the name" in svg) == ("uts" in kinds)
    assert os.uname().nodename == name


def test_a_refusal_of_the_kernel_is_shown(monkeypatch):
    monkeypatch.setattr(switchboard.namespaces, "flags", lambda kinds: 1)
    assert "Invalid argument: unshare(1)" in switchboard.draw(["uts"])


def test_a_click_makes_a_process():
    shown = switchboard.switchboard()
    row, page = shown.widget.children
    before = page.value
    row.children[4].value = True
    assert row.children[4].description == "uts" and row.children[4].button_style == "warning"
    assert shapes(before, switchboard._OWN) == 0 and shapes(page.value, switchboard._OWN) == 1
    assert repr(shown) == "[Eight switches: a process is made whose namespaces of these kinds are its own]"
