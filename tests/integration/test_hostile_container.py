"""What a hostile container can do to the host and to other containers from inside: nothing, and it delays no other
process."""

from __future__ import annotations

import os
import signal
import stat
import subprocess

import pytest

from minict.engine.containers.store import Record
from minict.engine.networks import dns
from minict.engine.util import diskusage
from minict.runtime import paths
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError
from tests.support.command_line import PATIENCE, begin, bridge, containers, image, minict, run, wait_until  # noqa: F401


@pytest.fixture(autouse=True)
def all_removed(image):
    yield
    for id in containers():
        minict("rm", "-f", id)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """A function that compiles a C program, statically, and returns its path."""
    directory = tmp_path_factory.mktemp("programs")

    def compile(name: str, source: str) -> str:
        path = f"{directory}/{name}"
        done = subprocess.run(
            ["gcc", "-static", "-O1", "-o", path, "-x", "c", "-"], input=source, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        return path

    return compile


# ---- files of the engine that it can write to --------------------------------------------------------------------


_LEASE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
int main() {
    signal(SIGIO, SIG_IGN);
    int fd = open("/etc/hosts", O_RDONLY);
    if (fd < 0 || fcntl(fd, F_SETLEASE, F_RDLCK)) return 1;
    open("/leased", O_CREAT | O_WRONLY, 0644);
    for (;;) pause();
}
"""


def test_a_lease_on_hosts_delays_no_command(image, bridge, compiled):
    lease = compiled("lease", _LEASE)
    minict("run", "-d", "--name", "holder", "-v", f"{lease}:/lease:ro", image, "/lease")
    wait_until(lambda: minict("exec", "holder", "ls", "/leased").returncode == 0)
    assert minict("run", "-d", "--name", "other", image, "sleep", "1000").returncode == 0
    hosts = f"{paths.container_data(Record.find('holder').id)}/hosts"
    fd = os.open(hosts, os.O_RDONLY | os.O_NONBLOCK)  # to read it is allowed
    assert b"other" not in os.read(fd, 4096), "the other container has waited until the kernel took the lease away"
    os.close(fd)
    minict("rm", "-f", "holder", "other")


def test_a_file_with_a_lease_is_left_alone(tmp_path):
    import fcntl
    import signal

    path = tmp_path / "hosts"
    path.write_text(dns.hosts([("10.0.0.2", ["web"])]))
    before = path.read_text()
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    with open(path) as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        dns.rewrite_hosts(str(path), [("10.0.0.9", ["db"])])
        assert path.read_text() == before


def test_what_a_container_writes_to_its_etc_takes_no_memory_of_run(image):
    """/run is memory, and holds the sockets of the whole machine."""
    minict("run", "-d", "--network", "none", "--name", "box", image, "sleep", "1000")

    def taken() -> int:
        return sum(
            status.st_blocks
            for top, _, names in os.walk(paths.run_root())
            for name in names
            if (status := os.lstat(os.path.join(top, name)))
        )

    before = taken()
    for name in ("hosts", "hostname", "resolv.conf"):
        assert minict("exec", "box", "dd", "if=/dev/zero", f"of=/etc/{name}", "bs=1M", "count=4").returncode == 0
    assert taken() < before + 100
    assert minict("restart", "-t", "0", "box").returncode == 0
    assert "localhost" in minict("exec", "box", "cat", "/etc/hosts").stdout, "a new life begins with new files"


def test_a_read_only_root_has_a_read_only_etc(image):
    done = run(
        image,
        "sh",
        "-c",
        "for name in hosts hostname resolv.conf; do echo x > /etc/$name || echo no; done",
        flags=["--read-only"],
    )
    assert done.stdout == "no\n" * 3


def test_only_root_can_see_the_networks_of_containers(image, bridge):
    minict("run", "-d", "--name", "box", image, "sleep", "1000")
    assert stat.S_IMODE(os.stat(f"{paths.run_root()}/networks").st_mode) == 0o700
    minict("rm", "-f", "box")


# ---- it does not cooperate ---------------------------------------------------------------------------------------


@pytest.fixture
def evil(image, tmp_path):
    """An image whose command is a script with a FIFO for an interpreter."""
    script = "mkfifo /f; chmod 755 /f; echo '#!/f' > /x; chmod 755 /x"
    (tmp_path / "Dockerfile").write_text(f'FROM {image}\nRUN {script}\nCMD ["/x"]\n')
    assert minict("build", "--network", "none", "-t", "evil", str(tmp_path)).returncode == 0
    yield "evil"
    minict("rmi", "-f", "evil")


def born(name: str) -> bool:
    """Whether there is a process of the container *name*."""
    try:
        return Record.find(name).pid is not None
    except ContainerError:
        return False


@pytest.mark.parametrize("options", [[], ["-d"], ["-t"]])
def test_a_start_that_hangs_is_ended_by_rm(evil, options):
    with begin("run", *options, "--network", "none", "--name", "box", evil, stdin=subprocess.DEVNULL) as process:
        wait_until(lambda: born("box") or process.poll() is not None)
        minict("rm", "-f", "box")
        process.communicate(timeout=PATIENCE)
    assert minict("rm", "-f", "box").returncode == 0 and containers() == []


def monitor_of(name: str) -> int:
    monitor = Record.find(name).monitor
    assert monitor is not None
    return monitor


def test_rm_ends_a_container_whose_monitor_is_stopped(image):
    minict("run", "-d", "--network", "none", "--name", "box", image, "sleep", "1000")
    os.kill(monitor_of("box"), signal.SIGSTOP)
    assert minict("rm", "-f", "box").returncode == 0 and containers() == []


def test_rm_ends_a_restarting_container_whose_monitor_is_stopped(image):
    minict("run", "-d", "--network", "none", "--restart", "always", "--name", "box", image, "false")
    wait_until(lambda: Record.find("box").status == "restarting")
    os.kill(monitor_of("box"), signal.SIGSTOP)
    assert minict("rm", "-f", "box").returncode == 0 and containers() == []


def test_rm_ends_a_container_that_another_program_has_frozen(image):
    minict("run", "-d", "--network", "none", "--name", "box", image, "sleep", "1000")
    RuntimeContainer(Record.find("box").id).cgroup.freeze()
    assert minict("rm", "-f", "box").returncode == 0 and containers() == []


def test_rm_ends_a_container_that_ignores_every_signal(image):
    minict("run", "-d", "--network", "none", "--name", "box", image, "sh", "-c", "trap '' TERM INT HUP; sleep 1000")
    assert minict("rm", "-f", "box").returncode == 0 and containers() == []


_STOPPER = """
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
int main() {
    close(open("/begun", O_CREAT | O_WRONLY, 0644));
    for (;;) {
        DIR *d = opendir("/proc");
        struct dirent *e;
        while ((e = readdir(d))) {
            int pid = atoi(e->d_name);
            if (pid > 1) kill(pid, SIGSTOP);
        }
        closedir(d);
    }
}
"""


@pytest.fixture
def stopper(image, compiled):
    """A container with a health check that stops each new process in it."""
    program = compiled("stopper", _STOPPER)
    flags = ["--health-cmd", "true", "--health-interval", "100ms", "--health-timeout", "100ms", "--health-retries", "1"]
    minict("run", "-d", "--network", "none", "--name", "stopper", *flags, "-v", f"{program}:/stop:ro", image, "/stop")
    wait_until(lambda: os.path.exists(f"{Record.find('stopper').data}/upper/begun"))
    return "stopper"


def test_a_container_that_stops_each_new_process_is_not_healthy(stopper):
    wait_until(lambda: Record.find(stopper).last_run["health"]["Status"] == "unhealthy")
    assert minict("rm", "-f", stopper).returncode == 0


@pytest.mark.parametrize("options", [[], ["-d"], ["-i"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_exec_that_is_stopped_can_be_interrupted(stopper, options, number):
    with begin("exec", *options, stopper, "true", stdin=subprocess.DEVNULL) as process:
        wait_until(lambda: process.poll() is not None or process.send_signal(number) or False)
        process.communicate()


@pytest.mark.parametrize("options", [[], ["-d"]])
def test_a_start_that_hangs_can_be_interrupted(evil, options):
    with begin("run", *options, "--network", "none", "--name", "box", evil, stdin=subprocess.DEVNULL) as process:
        wait_until(lambda: born("box") or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert minict("rm", "-f", "box").returncode == 0 and containers() == []


# ---- what it leaves behind ---------------------------------------------------------------------------------------

_DEEP = "n=$(printf %0200d 0); i=0; while [ $i -lt 40 ]; do mkdir $n; cd -P $n; i=$((i+1)); done; echo 12345 > file"


def test_a_tree_deeper_than_any_path_spoils_no_list(image):
    minict(
        "run", "-d", "--network", "none", "--name", "deep", image, "sh", "-c", f"{_DEEP}; touch /made; exec sleep 1000"
    )
    minict("run", "-d", "--network", "none", "--name", "other", image, "sleep", "1000")
    wait_until(lambda: os.path.exists(f"{Record.find('deep').data}/upper/made"))
    assert diskusage.usage(f"{Record.find('deep').data}/upper") == 6
    for command in (["ps", "-s"], ["system", "df"], ["system", "df", "-v"], ["inspect", "-s", "deep"]):
        done = minict(*command)
        assert (done.returncode, done.stderr) == (0, ""), done
    for command in (["diff", "deep"], ["commit", "deep", "deep"], ["export", "-o", "/dev/null", "deep"]):
        done = minict(*command)
        assert done.returncode == 0 or "File name too long" in done.stderr or "limit" in done.stderr, done
        assert "Traceback" not in done.stderr and "mistake" not in done.stderr
    minict("rmi", "-f", "deep")
    assert Record.find("deep").status == "running"
    assert minict("rm", "-f", "deep").returncode == 0


def test_a_copy_on_the_host_is_neither_a_set_user_id_program_nor_a_device(image, tmp_path):
    script = (
        "cp /bin/busybox /p && chown 1000:1000 /p && chmod 6755 /p; cp /p /q; chown 0:0 /q; chmod 4755 /q; "
        "mknod /d c 1 5"
    )
    minict("run", "--network", "none", "--name", "box", image, "sh", "-c", f"mkdir /t; cd /t; {script}; mv /p /q /d /t")
    done = minict("cp", "box:/t", str(tmp_path / "copy"))
    assert done.returncode == 0 and "a device" in done.stderr, done
    assert sorted(os.listdir(tmp_path / "copy")) == ["p", "q"]
    for name in ("p", "q"):
        status = os.stat(tmp_path / "copy" / name)
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o755, 0)


def test_a_fork_bomb_has_an_end_without_being_asked(image):
    form = "{{.HostConfig.PidsLimit}}"
    minict("create", "--network", "none", "--name", "box", image, "true")
    minict("create", "--network", "none", "--name", "free", "--pids-limit", "-1", image, "true")
    assert minict("inspect", "-f", form, "box", "free").stdout.split() == ["2048", "-1"]
    script = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"
    assert run(image, "sh", "-c", script).stdout == "2048\n"
    assert run(image, "sh", "-c", script, flags=["--pids-limit", "-1"]).stdout == "max\n"


_WRITE_LEASE = _LEASE.replace("O_RDONLY", "O_RDWR").replace("F_RDLCK", "F_WRLCK").replace("/etc/hosts", "/file")


def test_a_lease_is_waited_for_and_not_an_error(image, compiled, tmp_path):
    """The holder releases it when the kernel asks, or the kernel revokes it."""
    source = _WRITE_LEASE.replace("signal(SIGIO, SIG_IGN);", "").replace("for (;;) pause();", "pause(); return 0;")
    lease = compiled("write_lease", source)
    script = "echo content > /file; while :; do /lease; done"
    minict("run", "-d", "--network", "none", "--name", "box", "-v", f"{lease}:/lease:ro", image, "sh", "-c", script)
    wait_until(lambda: os.path.exists(f"{Record.find('box').data}/upper/leased"))
    assert minict("cp", "box:/file", str(tmp_path / "file")).stderr.startswith("Successfully")
    assert (tmp_path / "file").read_text() == "content\n"
