"""What minict copies from Docker equals Docker's: ``upstream.json`` records it, with the commits.

After a change upstream, read the files that it names again, and change both sides.
"""

from __future__ import annotations

import hashlib
import json
import os

from minict.engine.spec import seccomp, security
from minict.runtime import capabilities

with open(os.path.join(os.path.dirname(__file__), "upstream.json"), encoding="utf-8") as _file:
    UPSTREAM = json.load(_file)
# What minict adds: root in any namespace could have the kernel fill the host's log, or change its caches.
MORE_READ_ONLY = {"/proc/dynamic_debug", "/proc/mtrr"}


def test_the_seccomp_profile_is_mobys_unchanged():
    with open(seccomp.DEFAULT_FILE, "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == UPSTREAM["seccomp_sha256"]
    commit = UPSTREAM["sources"]["seccomp"].split("commit ")[1].split()[0]
    with open(os.path.join(os.path.dirname(seccomp.DEFAULT_FILE), "..", "NOTICE"), encoding="utf-8") as notice:
        assert commit in notice.read()


def test_masked_paths_are_mobys():
    assert sorted(security.MASKED) == UPSTREAM["masked"]
    assert security._THERMAL.replace("{}", "%d") == UPSTREAM["masked_for_each_processor"]


def test_read_only_paths_are_mobys_and_two_more():
    assert set(security.READ_ONLY) == {*UPSTREAM["read_only"], *MORE_READ_ONLY}


def test_the_default_capabilities_are_mobys():
    assert sorted(capabilities.DEFAULT) == UPSTREAM["capabilities"]


def test_the_one_deviation_is_socketcall():
    """Everything else of the default profile is what the file says."""
    ours, file = (
        {(name, rule.action, repr(rule.args)) for rule in profile.syscalls for name in rule.names}
        for profile in (
            seccomp.default(list(capabilities.DEFAULT)),
            seccomp.from_file(seccomp.DEFAULT_FILE, list(capabilities.DEFAULT)),
        )
    )
    assert ours - file == {("socketcall", "SCMP_ACT_ERRNO", "()")}
    assert file - ours == {("socketcall", "SCMP_ACT_ALLOW", "()")}
