"""Podman, with a storage that leaves nothing on this machine."""

from __future__ import annotations

import os
import subprocess
import tempfile

import pytest

from minict.kernel import mount


@pytest.fixture
def podman(tmp_path):
    """Calls podman with its storage in memory, as are the files that it keeps in /var/lib and /run regardless of its
    options.  It must succeed, and the result is its output; without *check*, the result is that of subprocess.run."""
    mounted = [
        directory for directory in ("/var/lib/containers", "/run/containers", "/run/libpod") if os.path.isdir(directory)
    ]
    short = tempfile.mkdtemp(prefix="pod")  # it takes no path of more than 50 letters
    for directory in (*mounted, short):
        mount.mount("podman", directory, "tmpfs")

    # crun refuses a machine whose cgroup v2 has a controller while others are v1's
    only_v1 = 'umount /sys/fs/cgroup/unified 2> /dev/null; exec podman "$@"'

    def call(*words: str, check: bool = True) -> str | subprocess.CompletedProcess:
        done = subprocess.run(
            [
                *("unshare", "--mount", "sh", "-c", only_v1),
                "podman",
                "--root",
                f"{short}/root",
                "--runroot",
                f"{short}/run",
                "--tmpdir",
                f"{short}/tmp",
                "--storage-driver=vfs",
                "--events-backend=none",
                *words,
            ],
            capture_output=True,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        if not check:
            return done
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield call
    for directory in (*mounted, short):
        mount.umount2(directory, mount.MNT_DETACH)
    os.rmdir(short)
