"""Control groups that systemd delegates to an ordinary user, whose shell is in a group of root's, as after ssh.

It makes the user, so it is for a machine that nobody else uses, that of ``make test-vm TESTS=…``.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from tests.support.command_line import PATIENCE
from tests.support.paths import ROOT

NAME = "ada"
LIMIT = 64 << 20


class Login:
    """What the user types in a shell that systemd has not started."""

    def __init__(self):
        self.entry = pwd.getpwnam(NAME)
        self.uid = self.entry.pw_uid

    def minict(self, *words: str) -> subprocess.CompletedProcess:
        # the mounts of this session are its own, and /run/user came later
        machine = ["nsenter", "--target=1", "--mount", "--net", f"--wdns={self.entry.pw_dir}"]
        user = ["setpriv", f"--reuid={self.uid}", f"--regid={self.entry.pw_gid}", "--init-groups", "--reset-env"]
        variables = [f"HOME={self.entry.pw_dir}", f"XDG_RUNTIME_DIR=/run/user/{self.uid}", f"PYTHONPATH={ROOT}"]
        words = (*machine, *user, "env", *variables, sys.executable, "-m", "minict", *words)
        return subprocess.run(words, capture_output=True, text=True, timeout=10 * PATIENCE)

    def output(self, *words: str) -> str:
        done = self.minict(*words)
        assert done.returncode == 0, done
        return done.stdout.strip()


@pytest.fixture
def login():
    with open("/proc/1/comm") as file:
        assert file.read() == "systemd\n", "systemd is not this machine's pid 1: use make test-vm"
    subprocess.run(["useradd", "--create-home", NAME], check=True)
    found = Login()
    subprocess.run(["systemctl", "start", f"user@{found.uid}"], check=True)
    yield found
    found.output("rm", "-f", "one")
    found.output("unshare", "--stop")
    subprocess.run(["systemctl", "stop", f"user@{found.uid}"], check=True)
    subprocess.run(["userdel", "--remove", NAME], check=True, capture_output=True)


def test_limits_work_although_the_login_is_in_a_group_of_roots(login):
    login.output("images")  # makes the namespaces, before anything asks for a group
    assert login.output("run", "-d", "--name", "one", "--network", "none", "-m", "64m", "tiny", "sleep", "1000")
    assert login.output("exec", "one", "cat", "/sys/fs/cgroup/memory.max") == str(LIMIT)
    pid = login.output("inspect", "--format", "{{.State.Pid}}", "one")
    with open(f"/proc/{pid}/cgroup") as file:
        group = file.read().strip().partition("::")[2]
    assert f"/user@{login.uid}.service/" in group and os.stat(f"/sys/fs/cgroup{group}").st_uid == login.uid
    assert "/ 64MiB" in login.output("stats", "--no-stream", "one")
    assert login.output("pause", "one") and "Paused" in login.output("ps") and login.output("unpause", "one")
    script = ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1"]
    assert login.minict("run", "--rm", "--network", "none", "-m", "16m", "tiny", *script).returncode == 137
    assert "limits work" in login.output("doctor")
