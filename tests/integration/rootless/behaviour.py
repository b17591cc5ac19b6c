"""What Docker's users expect, as an ordinary user: the same test functions that root's session runs.

``make test-rootless`` runs all these files, ``SMOKE=1`` one. There are two kinds of sessions:

*outside*
    The session is the user's, as a shell is, and each ``minict WORDS…`` enters the user's namespaces.
*inside*
    For tests that call the package in their own process, or make machines: ``minict unshare`` makes the session root
    in the user's namespaces. It has mounts and a network of its own in there, as root's session has on the host.

What the user may not do is in tests/support/as_user.py, with the reason. Files that test another thing than what users
see have no place here: an archive, a manifest, the system calls of the runtime, a hostile registry.
"""

from __future__ import annotations

import contextlib
import os

import pytest

from minict.runtime import cgroup
from tests.support.command_line import PATIENCE

SMOKE = "system/test_events.py"
OUTSIDE = """
    archive/test_transfer.py cli/test_run.py lifecycle/test_healthcheck.py lifecycle/test_lifecycle.py
    lifecycle/test_listing.py system/test_events.py
""".split()
INSIDE = """
    builder/test_build.py lifecycle/test_commit.py networks/test_networks.py networks/test_portmapper.py
    networks/test_resolver.py test_api.py util/test_streams.py volumes/test_volumes.py
""".split()
ROOTS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _named(files: list[str]):
    return [pytest.param(file, id="smoke" if file == SMOKE else file) for file in files]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("file", _named(OUTSIDE))
def test_outside(ada, capsys, file):
    passes(ada, capsys, file)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("file", _named(INSIDE))
def test_inside(ada, capsys, file):
    passes(ada, capsys, file, *ada.program, "unshare", "env", f"PATH={ROOTS_PATH}")


def passes(ada, capsys, file: str, *start: str) -> None:
    """Run the tests in *file* in a session that *start* begins, and show their numbers."""
    place = f"{ada.home}/tmp"
    os.makedirs(place, exist_ok=True)
    os.chmod(place, 0o1777)
    settings = {"MINICT_WITHOUT_ROOT": "1", "TMPDIR": place, "MINICT_CGROUP": os.environ["MINICT_CGROUP"]}
    words = ["-m", "pytest", "-q", "-rfEX", "--tb=short", "-p", "no:cacheprovider", f"--timeout={PATIENCE}"]
    ada.environment |= settings
    words += ["tests/vm", f"tests/integration/{file}"]
    try:
        with ada.delegated_group() if cgroup.mode() == "v2" else contextlib.nullcontext():
            done = ada.execute(*start, ada.program[0], *words, cwd=ada.course, timeout=3600)
    finally:
        for name in settings:
            del ada.environment[name]
    with capsys.disabled():
        print(f"\n{file}: {done.stdout.splitlines()[-1] if done.stdout else done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
