"""A session of tests that is an ordinary user: the same test functions, with the user's own ``minict``.

The session is outside, as the user's shell is. Each ``minict WORDS…`` enters the user's namespaces, in which it is root
(:mod:`minict.engine.rootless`). tests/integration/rootless/behaviour.py starts such sessions. What a test leaves in the
user's namespaces is compared, too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

from minict.engine.rootless import enter, home, outside
from minict.kernel import process
from minict.lab import host
from tests.support.in_child import forked

_STAYING = r"\d+ (minict-keeper|\S*/slirp4netns|\S*/pasta\S*) ?"


def begin() -> str:
    """Start the user's namespaces with all that the first containers make; return the directory of the user's data."""
    process.prctl(process.PR_SET_CHILD_SUBREAPER, 1)  # the keeper and the monitors are this session's
    home.settle(os.getuid())
    for words in (["run", "--rm", "tiny", "true"], ["prune"]):
        subprocess.run([sys.executable, "-m", "minict", *words], check=True, capture_output=True)
    return os.environ["MINICT_ROOT"]


def snapshot() -> host.Snapshot:
    """Processes, control groups and files as the user sees them; mounts, links and rules of the user's namespaces.

    A test with a MINICT_RUN of its own has a keeper of its own, which stays until the session ends.
    """
    kinds = {**host.snapshot().kinds, **{kind: Counter(found) for kind, found in forked(_inside).items()}}
    kinds["processes"] = Counter(words for words in kinds["processes"] if not re.match(_STAYING, words))
    return host.Snapshot(**kinds)


def _inside() -> dict[str, dict[str, int]]:
    enter.enter()
    outside.join_network()
    kinds = host.snapshot().kinds
    return {kind: dict(kinds[kind]) for kind in ("mounts", "links", "rules")}
