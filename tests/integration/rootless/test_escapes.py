"""A hostile container of an ordinary user is no more than that user: what it tries on the host, the user may not do."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from minict.lab import attacks as compiled
from tests.support.ordinary_user import FIRST, UID


@pytest.fixture
def secret(tmp_path):
    """A file of root's, where everybody may go."""
    path = f"/tmp/minict-secret-{os.getpid()}"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("root's alone")
    yield path
    os.unlink(path)


# With all of the host's files and processes, and all capabilities that there are: nothing more can be given away.
EVERYTHING = ["--privileged", "--network", "none", "--pid", "host", "-v", "/:/host"]


def test_the_hosts_files_are_as_closed_as_to_the_user(ada, secret):
    said = ada.run(
        f"cat /host{secret} 2>&1; echo x 2>&1 >> /host{secret}; chmod 777 /host{secret} 2>&1; true", *EVERYTHING
    )
    assert "root's alone" not in said and said.count("Permission denied") + said.count("not permitted") >= 3, said
    assert os.stat(secret).st_mode & 0o777 == 0o600
    said = ada.run("{ cat /host/etc/shadow; echo >> /host/etc/passwd; } 2>&1; true", *EVERYTHING)
    assert said.count("Permission denied") == 2


def test_the_hosts_processes_are_as_safe_as_from_the_user(ada):
    victim = subprocess.Popen(["sleep", "1000"])
    try:
        said = ada.run(f"kill -9 {victim.pid} 2>&1; cat /proc/{victim.pid}/environ 2>&1; true", *EVERYTHING)
        assert said.count("not permitted") + said.count("denied") == 2 and victim.poll() is None
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.wait()


def test_devices_can_neither_be_made_nor_opened(ada):
    said = ada.run("{ mknod /disk b 254 0; mknod /mem c 1 1; } 2>&1; true", *EVERYTHING)
    assert said.count("Operation not permitted") == 2
    disk = next((f"/dev/{name}" for name in os.listdir("/sys/block") if os.path.exists(f"/dev/{name}")), "/dev/kmsg")
    assert "denied" in ada.run(f"head -c 1 {disk} 2>&1; true", *EVERYTHING)


def test_the_kernel_is_not_the_containers(ada):
    """Sysctls of the whole machine, and its name: root of a user namespace has no say in them. (Each try changes
    nothing, should it succeed.)"""
    tries = ("echo $(cat /proc/sys/kernel/panic) > /proc/sys/kernel/panic", "hostname $(hostname)", "umount /host/proc")
    for each in tries:
        done = ada.minict("run", "--rm", *EVERYTHING, "--uts", "host", "tiny", "sh", "-c", each)
        assert done.returncode == 1 and ("ermi" in done.stderr or "nvalid" in done.stderr), done


def test_a_set_user_id_program_is_the_containers_root_and_nobody_elses(ada):
    """What the container leaves in a directory of the user has the user's id on the host, and no more."""
    ada.run("cp /bin/busybox /home/su; chmod 4755 /home/su; cp /bin/busybox /home/other; chown 1 /home/other;"
            " chmod 4755 /home/other", "--network", "none", "-v", f"{ada.home}:/home")  # fmt: skip
    assert (os.stat(f"{ada.home}/su").st_uid, os.stat(f"{ada.home}/other").st_uid) == (UID, FIRST)


@pytest.mark.parametrize("attack", ["chroot_and_climb"])
def test_the_attack_out_of_a_chroot(ada, secret, tmp_path_factory, attack):
    program = compiled.program(str(tmp_path_factory.mktemp("attacks")))
    os.makedirs(f"{ada.home}/attacks", exist_ok=True)
    place = f"{ada.home}/attacks/program"
    with open(program, "rb") as source, open(place, "wb") as target:
        target.write(source.read())
    os.chmod(place, 0o755)
    assert ada.output(
        "run", "--rm", "--network", "none", "-v", f"{place}:/attacks:ro", "tiny", "/attacks", attack, secret
    ) == ("ENOENT")


def test_containers_do_not_see_the_keeper(ada):
    ada.output("run", "-d", "--name", "one", "tiny", "sleep", "1000")
    assert ada.run("ls /proc | grep -c '^[0-9]'") in ("2", "3", "4", "5")
    assert ada.run("ls /run/minict 2>&1 || true", "--network", "none").endswith("No such file or directory")
