"""``--help``: one screen a command, with an example."""

from __future__ import annotations

import pytest

from minict.engine.cli import commands, help, main
from tests.support.command_line import minict

TYPED = sorted(
    {
        *commands.INDEX,
        *(f"{group} {name}" for group, names in commands.LONGER.items() for name in names),
        *(name for name in commands.ALIASES if name[0] != "-"),
        *commands.groups(),
        "",
    }
    - {"__complete"}
)


def page(*words: str, capsys) -> str:
    assert main.dispatch(list(words)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("typed", TYPED)
def test_a_screen_with_an_example(typed, capsys):
    lines = page(*typed.split(), "--help", capsys=capsys).splitlines()
    assert lines[0].startswith("usage: minict ")
    assert len(lines) <= 50 and max(map(len, lines)) <= 100
    assert lines[-1].startswith("example: ") and "minict " in lines[-1]
    assert lines == page("help", *typed.split(), capsys=capsys).splitlines()
    assert lines == page("--help", *typed.split(), capsys=capsys).splitlines()


@pytest.mark.parametrize("name", sorted({*commands.INDEX} - {"__complete"}))
def test_each_option_is_named_and_explained_in_the_whole(name, capsys):
    short, whole = (page(*name.split(), "--help", *words, capsys=capsys) for words in ([], ["all"]))
    assert max(map(len, whole.splitlines())) <= 100
    for option in commands.load(name).options:
        assert option.names[-1] in short.replace(",", " ").split()
        assert f"{', '.join(option.names)}" in whole and " ".join(option.help.split()) in " ".join(whole.split())


def test_each_command_is_named_and_explained_in_the_whole(capsys):
    short, whole = (" ".join(page("--help", *words, capsys=capsys).split()) for words in ([], ["all"]))
    for name in {*commands.INDEX} - {"__complete"}:
        assert (
            name in short
            and " ".join(commands.load(name).help.split(".  ")[0].split("\n")[0].rstrip(".").split()) in whole
        )
    assert set(help.OFTEN) <= set(commands.INDEX) and list(help.GROUPS) == list(commands.MODULES)


def test_the_help_of_what_runs_words_is_not_run():
    assert minict("--help", "run", "tiny", "false").stdout == minict("run", "--help").stdout != ""
    assert "unknown command 'fly'" in minict("help", "fly").stderr
