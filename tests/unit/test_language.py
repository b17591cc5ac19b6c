"""minict's text is plain English: none of the phrases listed in tests/support/language.py is in it."""

from __future__ import annotations

import os

import pytest

from tests.support import language


def test_plain_english():
    found = [
        f"{name}:{place}: {phrase!r}: rather {better}"
        for name in language.files()
        for place, phrase, better in language.found(os.path.join(language.ROOT, name))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "avoided"),
    [
        ("'x' is no signal", True),
        ("Whoever asks gets it", True),
        ("it goes on without a word", True),
        ("a quota below 0 is no limit", True),
        ("of C there is no value", True),
        ("what is no port is refused", True),
        ("# who comes late waits", True),
        ("a mistake is told of", True),
        ("the image is made anew", True),
        ("a person who comes late", False),
        ("who gets the address?", False),
        ("in the namespace of PID there is a file", False),
        ("there is no route to the host", False),
        ("the application that it starts", False),
        ("it is no longer there", False),
    ],
)
def test_the_list_spares_good_english(tmp_path, text, avoided):
    (tmp_path / "text.md").write_text(text + "\n")
    assert bool(language.found(str(tmp_path / "text.md"))) == avoided
