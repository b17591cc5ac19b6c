"""Phrases that minict's text avoids, and where they are: ``python tests/support/language.py [FILE...]``.

minict is written in plain, modern English.  An earlier version had a dialect of its own: private words for things that
have a name in the field, inverted sentences, pronouns without a referent.  This list keeps the dialect from coming
back.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A phrase as a regular expression, and what to write instead.  Whole phrases: "there is no route" is good English.
PHRASES = {
    r"(?<!there )(?<!here )(?<!There )\b(?:is|are|was) no (?!longer\b|more than\b|less\b|doubt\b|different\b|matter\b|one\b)": "is not a …, means unlimited",
    r"\b[Ww]ish(?:es|ed|ing)?\b(?! you)": "ask for, request, want, option",
    r"\b[Ww]ho(?:m)?ever\b": "anyone who, the process that",
    r"(?:^|[.:;(] +|\"\"\"|# )Who (?:\w+ )?(?:is|has|knows|may|does|reads|asks|joins|makes|starts|wants|was|will)\b[^?]*$": "If you …, a process that …",
    r"\bwho(?:m)? (?:is|are|was|will be) to\b": "that should, who should",
    r"\b[Gg]ladly\b": "readily",
    r"\bmight(?:y|ier|iest)\b": "powerful, more privileged",
    r"\b[Nn]eighbours?\b": "other containers, endpoints",
    r"\b(?:its|their|root's|more|less|all|Linux|of) powers\b": "capabilities",
    r"\b[Jj]oints?\b": "endpoint",
    r"\b[Rr]?e?[Ww]iring\b": "sandbox, connection",
    r"\b[Ll]ook(?:s|ed|ing)? after\b": "supervise, monitor",
    r"\b(?:gives?|given|gave|giving|give) (?:\w+ )?back\b": "release, return",
    r"\bmade whole\b|\bhalf[- ]made\b": "completed, incomplete",
    r"\bsee(?:s|n)? to it\b": "makes sure",
    r"\bwithout a word\b|\ba word on\b|\bby a sentence\b": "silently, explained, with a message",
    r"\bmistakes? of (?:minict's|ours|its own)\b": "internal error, bug",
    r"\bwhat there is\b|\bof whom\b|\bfor whom\b|\bto whom\b": "name the thing or the person",
    r"\bthe one that is ours\b|\b(?:is|are|not) ours\b": "minict's",
    r"\bclass room\b": "classroom",
    r"\bbad days\b": "troubleshooting",
    r"\btabulator key\b": "Tab key",
    r"\bfor ever\b": "forever",
    r"(?:^|[.:;\"] ?)[Oo]f \w+ there (?:is|are)\b": "… has",
    r"\b(?:what|all that|everything that) (?:it|he|she|they|one) (?:is|are) told\b": "name the orders",
    r"\b(?:is|are) as good as\b": "counts as, equals",
    r"\b[Ww]hat is no \w+\b": "an invalid …, something other than a …",
    r"(?:^|[.:;(] +|\"\"\"|# )[Ww]ho (?:comes?|calls?|came|types?|gets?|takes?|waits?|closes?|enters?|ever)\b[^?]*$": "a process that …, a user who …",
    r"\b(?:is|are|was|were) (?:told|known) of\b|\bis told so\b": "is reported",
    r"\bsays? of (?:its|itself|containers)\b": "the configuration of",
    r"\b(?:made|fetched|created|opened|written|downloaded) anew\b": "again, recreated",
    r"\ball that there (?:is|are)\b": "name the things",
    r"\b(?:goes|gone) with the (?:step|test|child|container)\b": "is removed with",
    r"\bas it was (?:asked|wished) for\b": "as requested",
    r"\bknows? no (?:names?|holes|way|types)\b": "does not have, does not support",
    r"\b(?:one|thing) that is ours\b|\bnobody's but\b": "minict's, name the owner",
    r"\bin the (?:sense|words) in which\b": "as",
    r"\b(?:of|by) the one who\b": "of the person who",
}
_COMPILED = {re.compile(pattern): better for pattern, better in PHRASES.items()}

TEXTS = (".py", ".md", ".sh", ".rst", ".toml", ".txt", ".yml", ".yaml", ".ipynb", "Makefile", "Vagrantfile")
_OWN = ("language.py", "test_language.py", "dockerfile_cases.json")  # they quote the phrases, or are data


def files() -> list[str]:
    """The project's committed files with text that people read.  Without git, as in a copy of the tree, there are none."""
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return [
        name
        for name in listed.stdout.splitlines()
        if name.endswith(TEXTS) and os.path.basename(name) not in _OWN and os.path.exists(os.path.join(ROOT, name))
    ]


def lines(path: str) -> list[tuple[str, str]]:
    """(place, line) for each line of the file at *path*: of a notebook the sources of its cells."""
    with open(path) as file:
        if not path.endswith(".ipynb"):
            return [(str(number), line.rstrip("\n")) for number, line in enumerate(file, 1)]
        cells = json.load(file)["cells"]
    return [(cell["id"], line) for cell in cells for line in "".join(cell["source"]).splitlines()]


def found(path: str) -> list[tuple[str, str, str]]:
    """(place, phrase, what to write instead) for each phrase in the file at *path*."""
    return [
        (place, match.group().strip(), better)
        for place, line in lines(path)
        for pattern, better in _COMPILED.items()
        for match in pattern.finditer(line)
    ]


def main() -> int:
    names = sys.argv[1:] or [os.path.join(ROOT, name) for name in files()]
    total = 0
    for name in names:
        for place, phrase, better in found(name):
            print(f"{os.path.relpath(name, ROOT)}:{place}: {phrase!r}: {better}")
            total += 1
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
