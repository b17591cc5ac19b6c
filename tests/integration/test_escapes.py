"""Containers that try the known escapes: each is shown to work where nothing stops it, as far as that is safe, and then
to fail.

The attacks are real, in attacks.c and in shell scripts.  "Where nothing stops it" is this test's own
mount and network namespace, or a container with the one capability that the attack needs.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import termios
import time

import pytest

import minict as package
from minict.engine.images.image import Image
from minict.kernel import mount
from minict.kernel.capability import capget
from minict.kernel.syscall import syscall
from minict.lab import attacks as compiled
from minict.runtime import capabilities, namespaces, paths
from minict.runtime.spec import Capabilities
from tests.support.command_line import PATIENCE, Terminal, begin, output, refused, run
from tests.support.in_child import forked


@pytest.fixture(scope="session")
def attacks(tmp_path_factory) -> str:
    """The program of all attacks: one file without libraries, so that it runs in any root file system."""
    return compiled.program(str(tmp_path_factory.mktemp("attacks")))


@pytest.fixture
def attack(image, attacks):
    """``attack(NAME, …)``: the output of the attack in a container with the default settings, or with additional
    *flags*."""

    def inside(*words: str, flags: list[str] = (), **options) -> str:
        done = run(image, "/attacks", *words, flags=["-v", f"{attacks}:/attacks:ro", *flags], **options)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout.strip()

    return inside


def outside(program: str, *words: str) -> str:
    """The output of an attack with all rights of the host's root, in namespaces where it does no harm."""
    words = ["unshare", "--mount", "--uts", "--ipc", "--net", "--propagation", "private", program, *words]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout.strip()


# ---- single system calls -------------------------------------------------------------------------------------------

# What is not refused by EPERM: clone3 "is not there", because a filter can't look at its arguments and libraries then
# take clone.
OTHERWISE = {"clone3_user": "ENOSYS", "be_more_important": "EACCES", "escape_the_oom_killer": "EACCES"}
# Attacks for which a machine that is itself a container may lack the right.
NEEDS = {"open_more_files": "CAP_SYS_RESOURCE", "escape_the_oom_killer": "CAP_SYS_RESOURCE"}


def calls(attacks: str) -> list[str]:
    return subprocess.run([attacks], capture_output=True, text=True, check=True).stdout.split()


def test_calls_that_reach_past_the_container_are_refused(attacks, attack):
    names = calls(attacks)
    said = dict(line.split() for line in attack(*names).splitlines())
    assert said == {name: OTHERWISE.get(name, "EPERM") for name in names} and len(names) > 60


def test_the_same_calls_are_open_to_the_hosts_root(attacks):
    """Otherwise the test above would prove nothing: these are the results without the filter."""
    ours = capabilities.names(capget()[0])
    locked = [
        name
        for name in calls(attacks)
        if NEEDS.get(name, "CAP_SYS_ADMIN") in ours and outside(attacks, name).split()[1] in ("EPERM", "EACCES")
    ]
    assert locked == []


def test_one_capability_opens_the_door(attack):
    """These are stopped by the missing capability, and by the filter rules that depend on it."""
    assert attack("mount_proc", "mount_sysfs", "unshare_mount", flags=["--cap-add", "SYS_ADMIN"]).split("\n") == [
        "mount_proc worked",
        "mount_sysfs worked",
        "unshare_mount worked",
    ]
    assert attack("delete_module", flags=["--cap-add", "SYS_MODULE"]) != "delete_module EPERM"
    assert attack("reboot", "swapon", flags=["--cap-add", "SYS_BOOT"]).split("\n") == ["reboot EINVAL", "swapon EPERM"]


def test_a_refused_call_is_explained(image):
    assert "Operation not permitted" in run(image, "unshare", "-Ur", "true").stderr
    assert "permission denied" in run(image, "mount", "-t", "tmpfs", "none", "/tmp").stderr.lower()


# ---- the root file system ------------------------------------------------------------------------------------------


def test_chroot_leads_out_of_a_chroot_but_not_of_a_container(attacks, attack, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    room = tmp_path / "room"
    (room / "etc").mkdir(parents=True)
    shutil.copy(attacks, room / "attacks")
    assert outside("chroot", str(room), "/attacks", "chroot_and_climb", str(secret)) == "worked: the host's"
    assert attack("chroot_and_climb", str(secret)) == "ENOENT"


def test_nothing_in_proc_leads_out(image, tmp_path):
    """/proc has links to the root and the working directory of each process, and to its open files."""
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    script = (
        f"for way in /proc/*/root /proc/*/cwd /proc/*/fd/* /proc/*/task/*/root; do for up in '' /.. /../..; do "
        f"if [ -e $way$up{secret} ]; then echo $way$up; fi; done; done; [ -e /proc/1/root/etc ] && echo looked"
    )
    assert output(image, script) == "looked"


def test_a_handle_that_was_guessed_opens_no_file_of_the_host(attack, tmp_path):
    """Shocker: open_by_handle_at passes by all mounts, to wherever the file system has a file with that number."""
    mount.mount("none", str(tmp_path), "tmpfs")
    try:
        (tmp_path / "shared").mkdir()
        (tmp_path / "secret").write_text("the host's")
        words = ["open_by_handle", "/shared", *handle_of(f"{tmp_path}/secret")]
        volume = ["-v", f"{tmp_path}/shared:/shared"]
        assert attack(*words, flags=[*volume, "--cap-add", "DAC_READ_SEARCH"]) == "worked: the host's"
        assert attack(*words, flags=volume) == "EPERM"
    finally:
        mount.umount2(str(tmp_path))


def handle_of(path: str) -> tuple[str, str]:
    """The type of a file's handle, and the handle in hexadecimal.  Source: name_to_handle_at(2)."""
    handle = ctypes.create_string_buffer(136)
    ctypes.memmove(handle, (128).to_bytes(4, sys.byteorder), 4)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.name_to_handle_at(-100, path.encode(), handle, ctypes.byref(ctypes.c_int()), 0) == 0, ctypes.get_errno()
    size, kind = (int.from_bytes(handle.raw[at : at + 4], sys.byteorder) for at in (0, 4))
    return str(kind), handle.raw[8 : 8 + size].hex()


def test_a_link_that_changes_while_a_volume_is_mounted_leads_nowhere(image, attacks, tmp_path):
    """CVE-2021-30465: an accomplice exchanges the mount point with a link to / all the time."""
    for name in ("volume/place", "precious"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "precious" / "mine").write_text("")
    os.symlink("/", tmp_path / "volume" / "link")
    shared = ["-v", f"{tmp_path}/volume:/volume"]
    accomplice = begin(
        "run",
        "--rm",
        "--network",
        "none",
        "--init",
        *shared,
        "-v",
        f"{attacks}:/attacks:ro",
        image,
        "/attacks",
        "exchange",
        "60",
        "/volume/place",
        "/volume/link",
    )
    try:
        assert accomplice.stdout.readline() == "ready\n"
        told = set()
        for _ in range(30):
            script = f"[ ! -e {tmp_path} ] || echo out; ls -d /mine /volume/*/mine 2>/dev/null || true"
            done = run(image, "sh", "-c", script, flags=[*shared, "-v", f"{tmp_path}/precious:/volume/place"])
            assert done.returncode in (0, 125) and "out" not in done.stdout, done
            told.add(done.stdout or done.stderr)
        assert sorted(os.listdir(tmp_path)) == ["precious", "volume"] and os.listdir(tmp_path / "precious") == ["mine"]
    finally:
        accomplice.terminate()
        accomplice.communicate(timeout=PATIENCE)
    assert len(told) > 1, "there was no race"


# ---- /proc and /sys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["/proc", "/proc/sys", "/proc/1/attr", "/volume/way", "/volume/way/self"])
def test_no_volume_covers_a_part_of_proc(image, place, tmp_path):
    """CVE-2019-16884: with files of their own in /proc an image and its volumes could deceive the runtime."""
    (tmp_path / "made-up").mkdir()
    os.symlink("/proc", tmp_path / "way")
    flags = ["-v", f"{tmp_path}:/volume", "-v", f"{tmp_path}/made-up:{place}"]
    refused(run(image, "true", flags=flags), place, "kernel")


def test_a_file_may_stand_in_for_one_of_proc(image, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    os.symlink("/proc", tmp_path / "way")
    flags = ["-v", f"{tmp_path}:/volume", "-v", f"{tmp_path}/meminfo:/volume/way/meminfo"]
    assert output(image, "cat /proc/meminfo", *flags) == "MemTotal: 1 kB"


@pytest.mark.parametrize("powers", [[], ["--cap-add", "ALL"]], ids=["default", "all capabilities"])
def test_no_file_of_the_host_in_proc_and_sys_can_be_written(attack, powers):
    """The whole tree: core_pattern, sysrq-trigger, modprobe, uevent_helper, release_agent, devices.allow and all the
    others.

    The exception only asks for a notification: "tell me when the processors are busy" (the kernel's Documentation,
    psi.rst).
    """
    written = (
        attack("writable_files", "/proc", flags=powers).split() + attack("writable_files", "/sys", flags=powers).split()
    )
    assert [path for path in written if not path.startswith("/proc/pressure/")] == []


def test_the_host_could_write_there(attacks):
    written = subprocess.run(
        [attacks, "writable_files", "/proc"], capture_output=True, text=True, timeout=PATIENCE
    ).stdout.split()
    assert {"/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/printk"} <= set(written)


def test_the_agent_of_a_control_group_is_out_of_reach(image):
    """CVE-2022-0492: release_agent names a program that the kernel starts on the host, with all rights."""
    script = (
        "for each in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $each/x; echo /bin/x > $each/release_agent; "
        "echo 1 > $each/notify_on_release; echo 0 > $each/cgroup.procs; done; "
        "unshare -Ur mount -t cgroup -o memory cgroup /tmp; mount -t cgroup -o none,name=x cgroup /tmp; echo tried"
    )
    done = run(image, "sh", "-c", script)
    assert done.stdout == "tried\n"
    lines = [
        line
        for line in done.stderr.splitlines()
        if not re.search(
            "Read-only|Permission denied|permission denied|not permitted|File exists|nonexistent|Not a directory", line
        )
    ]
    assert lines == []


# ---- devices -------------------------------------------------------------------------------------------------------


def test_of_all_devices_only_the_harmless_ones_open(attack):
    """Memory, ports, the kernel's log, disks, consoles, tun: any node can be made, but only these can be opened."""
    harmless = {"c 1:3", "c 1:5", "c 1:7", "c 1:8", "c 1:9", "c 5:0", "c 5:2"}
    assert set(attack("open_devices").splitlines()) <= harmless
    assert set(attack("open_devices", "read", flags=["--cap-add", "ALL"]).splitlines()) <= harmless


def test_a_node_that_the_host_can_read_is_dead_inside(image, tmp_path):
    """The kernel's log, which can be read on every host without harm."""
    mount.mount("none", str(tmp_path), "tmpfs")  # where /tmp is mounted with nodev, no node of the host's works either
    try:
        os.mknod(tmp_path / "log", 0o020600, os.makedev(1, 11))
        os.close(os.open(tmp_path / "log", os.O_RDONLY))
        done = run(image, "cat", "/volume/log", flags=["-v", f"{tmp_path}:/volume", "--cap-add", "ALL"])
        assert done.returncode == 1 and "Operation not permitted" in done.stderr
    finally:
        mount.umount2(str(tmp_path))


# ---- who enters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [*(f"/proc/self/fd/{number}" for number in (0, 3, 5, 7, 9)), "/proc/self/cwd", "/proc/1/root/etc", "/volume/link"],
)
def test_a_working_directory_leads_not_through_a_descriptor(image, where, tmp_path):
    """CVE-2024-21626: a descriptor of a host's directory that was left open."""
    leaked = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaked, True)
    os.symlink(f"/proc/self/fd/{leaked}", tmp_path / "link")
    try:
        done = run(image, "pwd", flags=["-w", where, "-v", f"{tmp_path}:/volume"], close_fds=False)
        refused(done, "working directory")
        assert re.search(
            "leads through a link of /proc, .*: write the path without the link|No such file|has no target", done.stderr
        )
    finally:
        os.close(leaked)


def test_the_working_directory_of_exec_leads_not_through_a_descriptor(image):
    with package.run(image, "sleep 1000", detach=True, network="none") as box:
        for number in range(3, 13):
            with pytest.raises(package.ContainerError, match=r"leads through a link of /proc|No such file"):
                box.exec("true", workdir=f"/proc/self/fd/{number}")
        with pytest.raises(package.ContainerError, match=r"/proc/self/cwd leads through a link of /proc"):
            box.exec("true", workdir="/proc/self/cwd")


def test_an_open_descriptor_would_lead_to_the_host(tmp_path):
    (tmp_path / "secret").write_text("the host's")
    leaked = os.open(tmp_path, os.O_RDONLY)
    try:
        words = ["sh", "-c", f"cd /proc/self/fd/{leaked} && cat secret"]
        assert subprocess.run(words, capture_output=True, pass_fds=[leaked]).stdout == b"the host's"
    finally:
        os.close(leaked)


def lying_in_wait(image, attacks, *words: str):
    return package.run(
        image, ["/attacks", "lie_in_wait", *words], detach=True, network="none", volume=[f"{attacks}:/attacks:ro"]
    )


def test_a_careless_exec_has_its_program_overwritten(image, attacks, tmp_path):
    """CVE-2019-5736 at work, on a disposable copy of a program."""
    victim = str(tmp_path / "victim")
    shutil.copy("/bin/sleep", victim)
    with lying_in_wait(image, attacks, "/", "victim") as box:
        wait_for_words(box, "ready")
        end = time.monotonic() + PATIENCE
        while "held" not in box.logs() and time.monotonic() < end:
            enter_carelessly(box, [victim, "0.3"])
        box.kill(15)
        wait_for_words(box, "refused")
        assert "worked" in box.logs(), box.logs()
    with open(victim, "rb") as file:
        assert file.read().endswith(b"owned")


def enter_carelessly(box, command: list[str]) -> None:
    """Execute a program of the host in the pid namespace of *box*, with a container's capabilities."""
    pid = os.fork()
    if pid == 0:
        try:
            namespaces.enter(f"/proc/{box.pid}/ns/pid", "pid")
            child = os.fork()
            if child == 0:
                capabilities.drop_bounding(Capabilities(bounding=list(capabilities.DEFAULT)))
                os.execv(command[0], command)
            os.waitpid(child, 0)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def wait_for_words(box, words: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while words not in box.logs():
        assert time.monotonic() < end, box.logs()
        time.sleep(0.01)


def test_a_process_entering_by_exec_can_be_neither_seen_nor_traced(image, attacks):
    with lying_in_wait(image, attacks, "/usr/bin/") as box:
        wait_for_words(box, "ready")
        for _ in range(25):
            box.exec("true")
        saw_nothing(box)


def saw_nothing(box) -> None:
    """End the lurking process: it must have met at least one process, and have been refused each time."""
    box.kill(15)
    wait_for_words(box, "refused")
    lines = box.logs().split()
    assert int(lines[-1]) > 0, "it never met one who entered"
    assert lines[:-1] == ["ready", "refused"], lines


def test_a_process_joining_another_pid_namespace_can_be_neither_seen_nor_traced(image, attacks):
    with lying_in_wait(image, attacks, "/usr/bin/") as box:
        wait_for_words(box, "ready")
        for _ in range(12):
            assert run(image, "true", flags=["--pid", f"container:{box.id}"]).returncode == 0
        saw_nothing(box)


def test_the_init_is_a_program_that_no_process_inside_can_open(attack):
    """With --init process 1 is minict itself: /proc/1/exe leads to the host's Python."""
    assert attack("hold", "1", flags=["--init"]) == "EACCES"
    assert attack("hold", "self", flags=["--init"]) == "worked"


@pytest.mark.parametrize(
    "command", ["/proc/self/exe", "/proc/thread-self/exe", "/proc/1/exe", "/volume/script", "/volume/link"]
)
def test_an_entry_point_that_is_minict_itself_is_refused(image, command, tmp_path):
    (tmp_path / "script").write_text("#!/proc/self/exe\n")
    (tmp_path / "script").chmod(0o755)
    os.symlink("/proc/self/exe", tmp_path / "link")
    done = run(image, "-c", "print(1)", flags=["--entrypoint", command, "-v", f"{tmp_path}:/volume"])
    refused(done, "out of the container", status=126)


# ---- what has no namespace, or one of its own ----------------------------------------------------------------------


def test_no_process_of_the_host_can_be_reached(attack):
    assert attack("reach_processes", str(os.getpid() + 1000)) == ""


def test_names_of_sockets_belong_to_the_network(attack):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0minict-test-abstract")
        listener.listen()
        assert attack("connect_abstract", "minict-test-abstract", network="host") == "worked"
        assert attack("connect_abstract", "minict-test-abstract") == "ECONNREFUSED"


def test_a_container_does_not_get_the_callers_keys(attacks, attack):
    """Keys have no namespace: what keeps them apart is the filter, and a session of keys for each container."""
    JOIN, UNLINK, SESSION = 1, 9, -3
    syscall("keyctl", JOIN, None)  # this process's own session: what it had stays as it was
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
    key = libc.syscall(number, b"user", b"minict-test", b"secret", ctypes.c_size_t(6), SESSION)
    assert key > 0
    try:
        assert (
            subprocess.run([attacks, "read_key", "0", "minict-test"], capture_output=True).stdout == b"worked: secret\n"
        )
        assert attack("read_key", str(key)) == "EPERM"
        unfiltered = ["--security-opt", "seccomp=unconfined"]
        assert attack("read_key", str(key), flags=unfiltered) == "EACCES"
        assert attack("read_key", "0", "minict-test", flags=unfiltered) in ("EINVAL", "ENOKEY")
    finally:
        syscall("keyctl", UNLINK, key, SESSION)


# ---- the person's terminal -----------------------------------------------------------------------------------------


def test_a_program_can_type_into_its_own_terminal(attacks):
    pid, keyboard = pty.fork()
    if pid == 0:
        os.execv(attacks, [attacks, "type_into", "0"])
    said = b""
    try:
        while chunk := os.read(keyboard, 1000):
            said += chunk
    except OSError:
        pass  # a terminal whose other end is closed
    os.close(keyboard)
    os.waitpid(pid, 0)
    assert b"worked" in said


@pytest.mark.parametrize(
    "flags, descriptor, answers",
    [
        ([], "1", ("EPERM", "EIO", "ENOTTY")),
        ([], "2", ("EPERM", "EIO", "ENOTTY")),
        (["-i"], "0", ("EPERM", "EIO", "ENOTTY")),
        (["-i", "-t"], "0", ("owned", "worked", "EIO")),  # its own terminal: the user's is on the other side
    ],
    ids=["output", "error", "input", "its own"],
)
def test_nothing_is_typed_into_the_persons_terminal(image, attacks, flags, descriptor, answers):
    """TIOCSTI: what a container types there would be executed by the person's shell after its end."""
    words = [
        "run",
        "--rm",
        "--network",
        "none",
        *flags,
        "-v",
        f"{attacks}:/attacks:ro",
        image,
        "/attacks",
        "type_into",
        descriptor,
    ]
    with Terminal(*words) as terminal:
        said = terminal.expect("\n")
        terminal.process.wait(timeout=PATIENCE)
        waiting = int.from_bytes(fcntl.ioctl(terminal.slave, termios.FIONREAD, bytes(4)), sys.byteorder)
        assert terminal.status() == 0 and waiting == 0 and said.split()[-1] in answers, said


# ---- users of the host ---------------------------------------------------------------------------------------------


def test_a_user_of_the_host_cannot_execute_what_a_container_left(image):
    """CVE-2021-41091: a set-uid program in a container would make root of anyone who can reach its file."""
    with package.run(
        image,
        ["sh", "-c", "cp /bin/sh /tmp/sh && chmod 4755 /tmp/sh && echo ready && sleep 1000"],
        detach=True,
        network="none",
    ) as box:
        wait_for_words(box, "ready")
        upper = f"{paths.container_data(box.id)}/upper/tmp/sh"
        layer = Image.find(image).layers[0]
        assert os.stat(upper).st_mode & 0o4000

        def as_nobody(path):
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            return os.access(path, os.F_OK)

        assert not forked(as_nobody, upper)
        assert not forked(as_nobody, f"{layer}/bin/sh")
        assert forked(as_nobody, "/bin/sh")
