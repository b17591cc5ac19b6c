"""Every feature of public Dockerfiles is in the table of docs/dockerfile.md: supported, or refused by name."""

from __future__ import annotations

import os
import re

from minict.engine.builder import dockerfile
from tests.bench import public_dockerfiles

DOCUMENT = os.path.join(os.path.dirname(__file__), "../../../docs/dockerfile.md")


def documented() -> set[str]:
    with open(DOCUMENT, encoding="utf-8") as file:
        rows = [line.split("|")[1:3] for line in file if line.startswith("| ")]
    return {
        name
        for row in rows
        for name in [row[0].strip(), *re.findall(r"`([^`]+)`", row[0])]
        if row[1].strip() in ("yes", "read over", "refused by name")
    }


def test_all_that_occurs_is_in_the_table():
    facts = public_dockerfiles.facts()
    assert len(facts) >= 150 and len({fact["sha256"] for fact in facts}) == len(facts)
    occurring = {feature for fact in facts for feature in fact["features"]}
    assert not occurring - documented()


def test_all_instructions_and_options_are_in_the_table():
    options = {
        f"{name} --{flag}" for name, flags in dockerfile.FLAGS.items() for flag in flags if name != "HEALTHCHECK"
    }
    assert not {*dockerfile.NAMES, *options} - documented()
