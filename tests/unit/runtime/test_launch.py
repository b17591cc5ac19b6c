"""Which process may create a container: the one that asks, or a zygote."""

from __future__ import annotations

import os

import pytest

from minict.runtime.launch import may_hold_programs
from minict.runtime.spec import Mount


@pytest.mark.parametrize(
    ("name", "type", "options", "holds"),
    [
        ("directory", "bind", ["rbind"], True),
        ("directory", "none", ["rbind", "ro"], True),
        ("directory", "bind", ["rbind", "noexec"], False),
        ("program", "bind", ["bind", "ro"], True),
        ("text", "bind", ["bind"], False),
        ("link to the program", "bind", ["bind"], True),
        ("fifo", "bind", ["bind"], False),
        ("missing", "bind", ["bind"], True),
        ("/dev/null", "bind", ["bind"], False),
        ("proc", "proc", [], False),
        ("tmpfs", "tmpfs", ["nosuid"], False),
        ("tmpfs", "tmpfs", ["tmpcopyup"], True),
        ("server:/share", "nfs", [], True),
    ],
)
def test_mounts_that_may_hold_programs(tmp_path, name, type, options, holds):
    os.mkdir(tmp_path / "directory")
    (tmp_path / "program").write_text("#!/bin/sh\n")
    os.chmod(tmp_path / "program", 0o755)
    (tmp_path / "text").write_text("127.0.0.1 localhost\n")
    os.symlink("program", tmp_path / "link to the program")
    os.mkfifo(tmp_path / "fifo")
    mount = Mount(destination="/data", type=type, source=name, options=options)
    assert may_hold_programs(mount, str(tmp_path)) == holds
    assert not may_hold_programs(Mount(destination="/", type=type, source=name, options=options), str(tmp_path))
