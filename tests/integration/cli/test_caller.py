"""A container does not depend on process attributes that the caller's shell has set."""

from __future__ import annotations

import os
import resource
import stat

import pytest

from minict.kernel import process, scheduling
from tests.support.command_line import MINICT, image, minict  # noqa: F401

PR_SET_TIMERSLACK = 29
SHOW = (
    "umask; stat -c %a / /etc/hosts /etc/resolv.conf /etc/hostname; cat /proc/self/oom_score_adj; cat "
    "/proc/self/limits;"
    "grep -e Cpus_allowed_list /proc/self/status; cut -d' ' -f19 /proc/self/stat;"
    "cat /proc/self/timerslack_ns /proc/self/personality; ionice; test ! -e /proc/self/numa_maps ||"
    "head -1 /proc/self/numa_maps | cut -d' ' -f2"
)


def hostile() -> None:
    """Attributes that a caller's shell may have set."""
    os.umask(0o077)
    os.nice(7)
    scheduling.ioprio_set(io_class=3, priority=0)
    if os.path.exists("/proc/self/numa_maps"):
        scheduling.set_mempolicy(mode=3, nodes=1)
    scheduling.personality(0x0040000)
    process.prctl(PR_SET_TIMERSLACK, 9_000_000)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("400")
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (1 << 20, resource.getrlimit(kind)[1]))


@pytest.mark.parametrize("kind", ["run", "exec"])
def test_nothing_of_the_caller_is_inherited(image, kind):
    words = ["run", "--rm", "--network", "none", image, "sh", "-c", SHOW]
    if kind == "exec":
        assert minict("run", "-d", "--network", "none", "--name", "box", image, "sleep", "1000").returncode == 0
        words = ["exec", "box", "sh", "-c", SHOW]
    try:
        plain, other = minict(*words), minict(*words, preexec_fn=hostile)
    finally:
        minict("rm", "-f", "box")
    assert (other.returncode, other.stderr, other.stdout) == (0, "", plain.stdout)
    assert plain.stdout.split()[:6] == ["0022", "755", "644", "644", "644", "0"]


def test_a_user_without_rights_can_look_at_the_files_whatever_the_umask(image):
    flags = ["--network", "none", "-u", "1000"]
    done = minict("run", "--rm", *flags, image, "cat", "/etc/hosts", preexec_fn=lambda: os.umask(0o077))
    assert (done.returncode, done.stderr) == (0, "")


def test_only_its_owner_can_read_a_saved_image(image, tmp_path):
    assert minict("save", "-o", str(tmp_path / "image.tar"), image).returncode == 0
    assert stat.S_IMODE(os.stat(tmp_path / "image.tar").st_mode) == 0o600
