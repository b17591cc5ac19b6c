"""Starts of containers that a hostile image, or another hostile container, tries to delay or to mislead."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import threading

import pytest

from minict.kernel import mount
from minict.kernel.namespaces import CLONE_NEWNS, unshare
from minict.runtime import exec as runtime
from minict.runtime import launch, messages, mounts, process, procfs, zygote
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError
from minict.runtime.spec import Linux, Process, Spec
from minict.runtime.state import begin_time
from tests.integration.runtime.test_bundle import bundle  # noqa: F401  a fixture
from tests.support.command_line import wait_until
from tests.support.in_child import forked

# ---- files that never answer -----------------------------------------------------------------------------------


def executable(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, 0o755)


def test_a_fifo_as_interpreter_is_not_waited_for(bundle):
    os.mkfifo(f"{bundle.rootfs}/f", 0o755)
    executable(f"{bundle.rootfs}/x", b"#!/f\n")
    bundle.process["args"] = ["/x"]
    bundle.refused("cannot execute /x: permission denied", status=126)


def test_a_fifo_as_command_is_not_waited_for(bundle):
    os.mkfifo(f"{bundle.rootfs}/f", 0o755)
    bundle.process["args"] = ["/f"]
    bundle.refused("/f is not an executable file", status=126)


@pytest.mark.parametrize("interpreter", ["/proc/self/exe", "/link"])
def test_a_program_whose_loader_is_our_own_interpreter_is_refused(bundle, interpreter):
    """CVE-2019-5736 by PT_INTERP: the kernel would map the host's Python into the container."""
    os.symlink("/proc/self/exe", f"{bundle.rootfs}/link")
    name = interpreter.encode() + b"\0"
    header = bytearray(64)
    header[:6] = b"\x7fELF\2\1"
    header[32:40] = (64).to_bytes(8, "little")  # e_phoff
    header[54:58] = (56).to_bytes(2, "little") + (1).to_bytes(2, "little")  # e_phentsize, e_phnum
    entry = bytearray(56)
    entry[:4] = (3).to_bytes(4, "little")  # PT_INTERP
    entry[8:16] = (120).to_bytes(8, "little")
    entry[32:40] = len(name).to_bytes(8, "little")
    executable(f"{bundle.rootfs}/x", bytes(header + entry) + name)
    bundle.process["args"] = ["/x"]
    bundle.refused(f"leads through {interpreter}, a link out of the container", status=126)


@pytest.mark.parametrize("offset", [0, 1 << 40, (1 << 64) - 1])
def test_a_program_with_a_made_up_header_is_left_to_the_kernel(bundle, offset):
    header = bytearray(64)
    header[:6] = b"\x7fELF\2\1"
    header[32:40] = offset.to_bytes(8, "little")
    header[54:58] = b"\xff\xff\xff\xff"
    executable(f"{bundle.rootfs}/x", bytes(header))
    bundle.process["args"] = ["/x"]
    bundle.refused("cannot execute /x", status=126)


def test_a_program_with_a_lease_on_it_is_refused(bundle):
    """What is checked has to be what is executed, and a check that waits would let the holder exchange the file."""
    executable(f"{bundle.rootfs}/x", b"#!/proc/self/exe\n")
    bundle.process["args"] = ["/x"]
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # the kernel's signal to the holder, which would end it
    holder = os.open(f"{bundle.rootfs}/x", os.O_RDWR)
    try:
        fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        bundle.refused("/x", status=126)
    finally:
        os.close(holder)
        signal.signal(signal.SIGIO, before)


@pytest.mark.parametrize(("mode", "sealed"), [(0o644, False), (0o755, True)])
def test_only_a_mount_with_programs_needs_the_sealed_interpreter(bundle, mode, sealed):
    """Every engine mounts its /etc/hosts, and a second interpreter at each create would cost more than the create."""
    executable(f"{bundle.path}/shared", b"#!/bin/sh\n")
    os.chmod(f"{bundle.path}/shared", mode)
    bundle.config["mounts"].append(
        {"destination": "/shared", "type": "bind", "source": f"{bundle.path}/shared", "options": ["bind"]}
    )

    def begun() -> str:  # in a process with one thread, as the command line is
        container = bundle.create("sleep", "1000")
        program = os.readlink(f"/proc/{container.pid}/exe")
        container.delete(force=True)
        container.wait()
        return program

    program = forked(begun)
    assert program == ("/memfd:minict (deleted)" if sealed else os.path.realpath("/proc/self/exe"))


@pytest.mark.parametrize("way", ["the command", "a link to it", "the interpreter of a script"])
def test_a_mounted_file_that_becomes_a_program_during_the_start_is_refused(bundle, monkeypatch, way):
    """CVE-2019-5736 by a race: the file could become a link to our interpreter between the check and execve."""
    executable(f"{bundle.path}/shared", b"#!/bin/sh\n")
    bundle.config["mounts"].append(
        {"destination": "/shared", "type": "bind", "source": f"{bundle.path}/shared", "options": ["bind"]}
    )
    os.symlink("/shared", f"{bundle.rootfs}/link")
    executable(f"{bundle.rootfs}/script", b"#!/link\n")
    bundle.process["args"] = [
        {"the command": "/shared", "a link to it": "/link", "the interpreter of a script": "/script"}[way]
    ]
    monkeypatch.setattr(launch, "may_hold_programs", lambda mount, bundle: False)  # as it was not executable yet

    def refused() -> str:
        return str(bundle.refused("became a program while the container started", status=126))

    assert "try again" in forked(refused)


def use_volume_as_dev(bundle) -> str:
    """A directory of the host on /dev, to which another container could write; return its path."""
    path = f"{bundle.path}/dev"
    os.makedirs(f"{path}/pts")
    for name in ("shm", "mqueue"):
        os.makedirs(f"{path}/{name}")
    for each in bundle.config["mounts"]:
        if each["destination"] == "/dev":
            each.update(type="bind", source=path, options=["rbind", "rw"])
    os.symlink("pts/ptmx", f"{path}/ptmx")
    return path


def terminal_refused(bundle, words: str) -> None:
    """The container cannot get a terminal, and this is why."""
    ours, theirs = socket.socketpair()
    bundle.process.update(terminal=True, args=["true"])
    with ours, theirs, pytest.raises(ContainerError, match=words):
        bundle.container().run(bundle.load(), bundle=bundle.path, console=theirs.fileno())


def test_a_fifo_as_console_is_not_waited_for(bundle):
    os.mkfifo(f"{use_volume_as_dev(bundle)}/console")
    terminal_refused(bundle, "/dev/console is neither a file nor a device")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: open(path, "w").close()], ids=["fifo", "file"])
def test_another_file_as_ptmx_is_refused(bundle, make):
    path = use_volume_as_dev(bundle)
    os.unlink(f"{path}/ptmx")
    make(f"{path}/ptmx")
    terminal_refused(bundle, "/dev/ptmx is not the device for new terminals")


def test_the_console_of_a_volume_as_dev_is_the_terminal(bundle):
    use_volume_as_dev(bundle)
    ours, theirs = socket.socketpair()
    bundle.process.update(terminal=True, args=["sh", "-c", "tty; exec ls -l /dev/console"])
    container = bundle.container()
    with theirs:
        container.run(bundle.load(), bundle=bundle.path, console=theirs.fileno())
    with ours:
        _, fds, _, _ = socket.recv_fds(ours, 64, 1)
    with open(fds[0], "rb", buffering=0) as master:
        text = b""
        try:
            while chunk := master.read(4096):
                text += chunk
        except OSError:
            pass  # EIO: the end of a terminal
    assert container.wait() == 0 and b"/dev/pts/0" in text and b"crw" in text, text


# ---- what is checked is what is used ---------------------------------------------------------------------------


def test_a_mask_is_the_hosts_null_device_whatever_the_containers_dev_says(bundle):
    """CVE-2025-31133: a link in the place of /dev/null would mount core_pattern, writable, over a masked file."""
    path = use_volume_as_dev(bundle)
    os.symlink("/proc/sys/kernel/core_pattern", f"{path}/null")
    text = bundle.run("cat /proc/self/mountinfo; stat -c '%F %t:%T' /proc/keys")
    assert "core_pattern" not in text and text.endswith("character special file 1:3"), text


def test_root_cannot_change_the_mode_of_the_hosts_null_device_through_a_mask(bundle):
    before = os.stat("/dev/null").st_mode
    capabilities = ["CAP_FOWNER", "CAP_DAC_OVERRIDE", "CAP_CHOWN"]
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), capabilities)
    text = bundle.run("chmod 600 /proc/keys 2>&1; chmod 600 /proc/self/fd/0 2>&1; echo x > /proc/keys && echo writable")
    assert "Read-only file system" in text and text.endswith("writable"), text
    assert os.stat("/dev/null").st_mode == before and stat.S_IMODE(before) == 0o666


def in_own_mounts(function):
    """Call *function* in a child with a mount namespace of its own."""

    def child():
        unshare(CLONE_NEWNS)
        mounts.make_private()
        return function()

    return forked(child)


def root() -> int:
    return os.open("/", os.O_PATH | os.O_DIRECTORY)


def test_a_proc_that_is_not_the_kernels_is_refused():
    """CVE-2025-52881: what we write for the container must reach the kernel."""

    def refused():
        mount.mount("fake", "/proc", "tmpfs")
        with pytest.raises(ContainerError, match="/proc is not the kernel's"):
            procfs.open_root(root())
        return True

    assert in_own_mounts(refused)


def test_a_subdirectory_of_proc_is_refused_as_proc():
    def refused():
        mount.mount("/proc/sys", "/proc", None, mount.MS_BIND)
        with pytest.raises(ContainerError, match="/proc is not the kernel's"):
            procfs.open_root(root())
        return True

    assert in_own_mounts(refused)


def test_nothing_is_written_to_what_is_mounted_over_a_part_of_proc():
    def refused():
        mount.mount("/dev/null", "/proc/sys/kernel/hostname", None, mount.MS_BIND)
        proc = procfs.open_root(root())
        with pytest.raises(ContainerError, match="mounted over the container's /proc/sys/kernel/hostname"):
            procfs.write(proc, "sys/kernel/hostname", "x")
        procfs.write(proc, "self/oom_score_adj", "7")
        with open("/proc/self/oom_score_adj") as file:
            return int(file.read())

    assert in_own_mounts(refused) == 7


def test_a_mount_that_leads_to_the_root_is_refused(bundle):
    os.symlink("/", f"{bundle.rootfs}/data/link")
    bundle.config["mounts"].append(
        {"destination": "/data/link", "type": "bind", "source": bundle.path, "options": ["rbind"]}
    )
    bundle.refused("/data/link leads to the container's root")


# ---- processes that stop us ------------------------------------------------------------------------------------


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def test_a_start_whose_child_is_stopped_is_given_up(bundle, monkeypatch):
    monkeypatch.setattr(messages, "PATIENCE", 0.5)
    container = bundle.container()
    with pytest.raises(ContainerError, match="did not start within"):
        container.run(bundle.load("true"), bundle=bundle.path, prepare=stop)
    assert not os.path.exists(container.state.directory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_blocked_signal_ends_the_wait(bundle, monkeypatch, number):
    monkeypatch.setattr(messages, "_OBEDIENCE", 0.2)

    def interrupted():
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})

        def prepare(pid: int) -> None:
            stop(pid)
            os.kill(os.getpid(), number)

        container = RuntimeContainer(bundle.container().id)
        try:
            container.run(bundle.load("true"), bundle=bundle.path, prepare=prepare)
        except ContainerError as error:
            return str(error), error.status, os.path.exists(container.state.directory)
        return None

    assert forked(interrupted) == (f"signal {number:d} arrived before the container's start", 128 + number, False)


def test_a_process_that_joins_a_frozen_container_is_given_up(bundle, monkeypatch):
    monkeypatch.setattr(messages, "PATIENCE", 0.5)
    monkeypatch.setattr(process, "_LAST_BREATH", 0.5)
    container = bundle.begin("sleep", "1000")
    container.cgroup.freeze()
    true = Process(args=["true"], env=["PATH=/bin:/usr/bin"])
    with pytest.raises(ContainerError, match="is frozen: thaw it first"):
        runtime.execute(container, true, streams=(-1, 2, 2))
    monkeypatch.setattr(type(container.cgroup), "frozen", False)  # frozen in the instant after that look
    with pytest.raises(ContainerError, match="did not (start|clone) within"):
        runtime.execute(container, true, streams=(-1, 2, 2))
    container.cgroup.thaw()
    wait_until(lambda: container.cgroup.processes() == [container.pid])


def test_a_zygote_that_does_not_answer_is_ended(bundle, monkeypatch):
    """Its late answer must not be taken for the one to the next request."""
    monkeypatch.setattr(messages, "PATIENCE", 0.5)
    helper = zygote.Zygote()
    stop(helper.pid)
    birth = launch.births.Birth(spec=Spec(process=Process(args=["true"]), linux=Linux()), rootfs="/", joins=["uts"])
    with pytest.raises(ContainerError, match="did not clone within"):
        helper.ask(birth)
    assert helper.is_dead() and begin_time(helper.pid) is None


# ---- what the container sees of us -----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [False, True])
def test_init_shows_neither_our_environment_nor_our_program(bundle, monkeypatch, threads):
    monkeypatch.setenv("OPERATOR_SECRET", "hunter2")
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    if threads:
        thread.start()
    try:
        container = bundle.begin("sleep", "1000", init=True)
    finally:
        done.set()
    if threads:
        thread.join()
    shown = {}
    for name in ("environ", "cmdline"):
        with open(f"/proc/{container.pid}/{name}", "rb") as file:
            shown[name] = file.read().strip(b"\0")
    assert shown == {"environ": b"", "cmdline": b"minict-init"}
    assert os.readlink(f"/proc/{container.pid}/exe") == "/memfd:minict (deleted)"
    with open(f"/proc/{container.pid}/maps") as maps, open(f"/proc/{container.pid}/mem", "rb") as memory:
        for line in maps:
            place, rights, *_ = line.split()
            if rights.startswith("rw") and "[vvar" not in line:
                begin, end = (int(each, 16) for each in place.split("-"))
                memory.seek(begin)
                assert b"hunter2" not in memory.read(end - begin), line


def test_a_container_has_not_the_callers_scheduling_and_umask(bundle):
    """Docker's containers are children of a daemon, and not of the caller's shell."""

    def inherited():
        os.nice(5)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.umask(0o077)
        container = RuntimeContainer(bundle.container().id)
        bundle.process["user"].pop("umask", None)
        container.run(bundle.load("sleep", "1000"), bundle=bundle.path, streams=(-1, 2, 2))
        with open(f"/proc/{container.pid}/status") as file:
            umask = next(line.split()[1] for line in file if line.startswith("Umask:"))
        seen = os.getpriority(os.PRIO_PROCESS, container.pid), len(os.sched_getaffinity(container.pid)), umask
        mode = stat.S_IMODE(os.stat(f"/proc/{container.pid}/root/tmp/made").st_mode)
        container.delete(force=True)
        container.wait()
        return *seen, mode

    bundle.config["mounts"].append(
        {"destination": "/tmp/made", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}
    )
    assert forked(inherited) == (0, len(os.sched_getaffinity(0)), "0022", 0o755)
