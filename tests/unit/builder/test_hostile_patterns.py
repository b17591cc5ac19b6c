"""Patterns of a Dockerfile and a .dockerignore are matched in bounded time, whatever they contain."""

from __future__ import annotations

import itertools
import re

import pytest

from minict.engine.builder import patterns

LONG = "/".join("abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize(
    "pattern",
    ["**/" * 24 + "1", "*a" * 40 + "b", "**a" * 30 + "b", "[a-z]*" * 30 + "1", "**/*" * 20 + "1", "a**" * 30 + "1"],
)
@pytest.mark.parametrize("path", [LONG, "a" * 255, "a/" * 40 + "a"])
def test_a_pattern_of_many_wildcards_is_answered(pattern, path):
    assert not patterns.Matcher([pattern]).matches(path)
    if "**" not in pattern:
        assert not patterns.compile_match(pattern).fullmatch(path)


def test_the_simulation_and_the_module_re_agree():
    for parts in itertools.product(["[^/]*", ".*", "(?:.*/)?", "a", "/", "[^/]"], repeat=4):
        steps = [part if part in patterns._WILDCARDS else re.compile(part).fullmatch for part in parts]
        regex = re.compile("".join(parts))
        for path in ("", "a", "/", "aa", "a/a", "a//a", "b/a/a", "/a/", "ab/ba"):
            assert patterns._simulate(steps, path) == bool(regex.fullmatch(path)), (parts, path)
