"""Bad input and bad machines: one clear sentence, the right exit status, nothing left behind."""

from __future__ import annotations

import os
import struct
import subprocess
import threading

import pytest

import minict as package
from minict.engine.images import overlay
from minict.engine.system.prune import prune
from minict.kernel import mount, namespaces, process
from minict.lab import host
from minict.runtime import paths
from tests.support.command_line import containers, minict, minict_as_nobody, refused, run
from tests.support.in_child import forked


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert containers() == [] and not os.path.isdir(f"{paths.data_root()}/names")


def in_own_mounts(prepare, *words: str, **options) -> subprocess.CompletedProcess:
    """Run ``minict WORDS…`` in a mount namespace of its own, after *prepare* has changed something in it."""

    def own():
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
        prepare()

    return minict(*words, preexec_fn=own, **options)


# ---- what was typed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["nowhere", "no/such/image", "../../etc", "/etc", "a b", "", "UPPER", "x" * 300, "tiny:1:2", "ti\nny", "\udcff"],
)
def test_a_missing_image(name):
    done = run(os.fsencode(name), "true", flags=["--pull", "never"])
    assert done.returncode == 125 and done.stdout == ""
    assert (
        done.stderr.startswith("minict: ") and "Traceback" not in done.stderr and "internal error" not in done.stderr
    ), done


def test_an_unknown_image_is_named_with_the_way_to_make_one():
    refused(run("nowhere", "true", flags=["--pull", "never"]), "nowhere", "minict pull")


def test_an_unknown_image_is_looked_for_at_its_registry():
    done = run("127.0.0.1:9/nowhere", "true")
    assert done.returncode == 125 and "127.0.0.1:9" in done.stderr.splitlines()[-1]
    assert done.stderr.startswith("Unable to find image '127.0.0.1:9/nowhere:latest' locally\n")


@pytest.mark.parametrize(
    "option,value,words",
    [
        ("--memory", "12q", ["12q", "128m"]),
        ("--memory", "1k", ["1k", "6m"]),
        ("--memory", "-5", ["-5"]),
        ("--memory", "", ["size"]),
        ("--memory", "9" * 400, ["--memory"]),
        ("--memory", "nan", ["nan"]),
        ("--memory", "0", ["0"]),
        ("--cpus", "0", ["0"]),
        ("--cpus", "abc", ["abc", "0.5"]),
        ("--cpus", "999", ["999"]),
        ("--cpus", "nan", ["nan"]),
        ("--cpus", "inf", ["inf"]),
        ("--cpus", "-1", ["-1"]),
        ("--pids-limit", "x", ["x"]),
        ("--pids-limit", "1.5", ["1.5"]),
        ("--pids-limit", "9" * 30, ["pids"]),
        ("--network", "brige", ["brige", "bridge"]),
        ("--network", "", ["bridge"]),
        ("--mount", "type=bind,src=/nowhere/at/all,dst=/data", ["/nowhere/at/all"]),
        ("-v", "/etc:data", ["data", "absolute"]),
        ("-v", ":/data", [":/data"]),
        ("-v", "/etc:", ["/etc:"]),
        ("-v", "/etc:/data:read-only", ["read-only", "ro"]),
        ("-v", "/etc:/", ["/etc:/"]),
        ("-v", "/etc:/..", ["/etc:/.."]),
        ("-e", "=x", ["=x", "NAME=VALUE"]),
        ("--cap-add", "FLY", ["FLY"]),
        ("--cap-drop", "", ["capability"]),
        ("-u", "stranger", ["stranger"]),
        ("-u", "99999999999999", ["99999999999999"]),
        ("-u", "1:99999999999999", ["99999999999999"]),
        ("-u", "4294967295", ["4294967294"]),
        ("-u", "0:4294967295", ["4294967294"]),
        ("-u", "²", ["²"]),
        ("--name", "a/b", ["a/b"]),
        ("--name", "-x", ["-x"]),
        ("--name", "..", [".."]),
        ("--name", "ä", ["ä"]),
        ("--name", "x" * 200, ["128"]),
        ("--name", "", ["name"]),
        ("-w", "relative", ["relative", "absolute"]),
        ("-w", "/bin/sh/below", ["/bin/sh/below"]),
        ("-w", "/bin/sh", ["/bin/sh"]),
        ("--hostname", "x" * 65, ["64"]),
        ("--hostname", "a b", ["a b"]),
        ("--hostname", "a\nb", ["--hostname"]),
        ("--hostname", "../x", ["../x"]),
    ],
)
def test_a_bad_value_is_named_with_what_would_be_right(image, option, value, words):
    refused(run(image, "true", flags=[option, value]), *words)


@pytest.mark.parametrize(
    "words,said",
    [
        (["fly"], ["fly", "--help"]),
        (["--fly"], ["--fly"]),
        (["run"], ["usage: minict run"]),
        (["run", "--fly", "tiny"], ["--fly", "--help"]),
        (["run", "-x", "tiny"], ["-x"]),
        (["run", "--memory"], ["--memory BYTES"]),
        (["run", "-it=5", "tiny"], ["-t", "5"]),
        (["run", "--init=maybe", "tiny"], ["--init"]),
        (["prune", "all"], ["usage: minict prune"]),
        (["image"], ["usage: minict image"]),
        (["image", "fly"], ["usage: minict image"]),
        (["image", "rm", "nowhere"], ["nowhere"]),
        (["import", "/nowhere.tar", "x"], ["/nowhere.tar"]),
        (["import", "/etc", "x"], ["/etc"]),
        (["import", "/etc/passwd", "x"], ["/etc/passwd"]),
        (["image", "from-host", "x", "no-such-program"], ["no-such-program"]),
    ],
)
def test_a_mistyped_command_is_answered_with_its_usage(words, said):
    refused(minict(*words), *said)


@pytest.mark.parametrize(
    "variable", ["A=" + "x" * 100_000, "A=x\ny", "A\nB=1", "LD_PRELOAD=/nowhere.so", "=", "A==", "\udcff=\udcff"]
)
def test_strange_variables_reach_the_command_or_are_refused(image, variable):
    done = run(image, "env", flags=["-e", os.fsencode(variable)], text=False)
    assert (
        done.returncode in (0, 125, 126) and b"Traceback" not in done.stderr and b"internal error" not in done.stderr
    ), done.stderr[-300:]
    if done.returncode == 0:
        assert os.fsencode(variable) + b"\n" in done.stdout
    else:
        assert done.stderr.count(b"\n") == 1, done.stderr[-300:]


def test_a_variable_too_long_for_the_kernel_is_a_sentence(image):
    with pytest.raises(package.ContainerError, match="Argument list too long") as error:
        package.run(image, "true", network="none", env=["A=" + "x" * 200_000])
    assert error.value.status == 126


def test_the_empty_command_is_not_found(image):
    refused(run(image, ""), "empty", status=127)


# ---- what cannot be executed ---------------------------------------------------------------------------------------


def elf(machine: int, interpreter: bytes = b"") -> bytes:
    """A program with a single instruction: only its header matters here.  Source: elf(5)."""
    segments = [struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 0x1000, 0x1000, 0x1000)]
    if interpreter:
        segments.insert(
            0, struct.pack("<IIQQQQQQ", 3, 4, 64 + 56 * 2, 0x4000B0, 0x4000B0, len(interpreter), len(interpreter), 1)
        )
    head = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x400000, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    )
    return (head + b"".join(segments) + interpreter).ljust(0x1000, b"\0")


HERE = {"x86_64": 62, "aarch64": 183}[os.uname().machine]


@pytest.mark.parametrize(
    "content,mode,status,words",
    [
        (b"#!/bin/sh\necho hi\n", 0o644, 126, ["not an executable"]),
        (elf(21), 0o755, 126, ["processor"]),
        (b"no program\n", 0o755, 126, ["#!"]),
        (b"", 0o755, 126, ["#!"]),
        (b"#!/no/such/interpreter\n", 0o755, 127, ["interpreter"]),
        (elf(HERE, b"/no/such/loader\0"), 0o755, 127, ["loader"]),
        (b"#!/proc/self/exe\n", 0o755, 126, ["/proc/self/exe"]),
    ],
    ids=["no permission", "another processor", "text", "empty", "interpreter", "loader", "magic link"],
)
def test_a_file_that_is_not_a_program(image, tmp_path, content, mode, status, words):
    file = tmp_path / "program"
    file.write_bytes(content)
    file.chmod(mode)
    refused(
        run(image, "/data/program", flags=["-v", f"{tmp_path}:/data"]),
        "/data/program" if b"proc" not in content else "",
        *words,
        status=status,
    )


@pytest.mark.parametrize(
    "command", ["/proc/self/exe", "/proc/1/exe", "/proc/self/fd/3", "/proc/self/root/proc/self/exe"]
)
def test_a_link_to_our_own_interpreter_is_not_executed(image, command):
    done = run(image, command, "-c", "print(1)")
    assert done.returncode in (126, 127) and done.stdout == "" and done.stderr.count("\n") == 1, done


# ---- a machine that lacks something --------------------------------------------------------------------------------


def test_without_root_one_sentence_names_the_remedy(image):
    for words in (["run", "--rm", image, "true"], ["prune"], ["images"]):
        refused(minict_as_nobody(*words), "root", "sudo")
    assert minict_as_nobody("--help").returncode == 0 == minict_as_nobody("version").returncode


def test_root_without_capabilities_is_refused_in_a_sentence(image):
    """As in a container: uid 0, but no CAP_SYS_ADMIN."""

    def powerless():
        for number in range(64):
            try:
                process.prctl(process.PR_CAPBSET_DROP, number)
            except OSError:
                break
        process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)

    refused(run(image, "true", preexec_fn=powerless), "root")


def unmount_cgroups() -> None:
    for entry in reversed(host.mount_table()):
        if entry["point"].startswith("/sys/fs/cgroup"):
            mount.umount2(entry["point"], mount.MNT_DETACH)


def test_without_any_cgroup_a_limit_is_refused(image):
    refused(
        in_own_mounts(unmount_cgroups, "run", "--rm", "--network", "none", "--memory", "64m", image, "true"), "cgroup"
    )


def test_without_the_cgroup_controller_the_limit_is_refused_and_nothing_else(image):
    points = [
        entry["point"]
        for entry in host.mount_table()
        if entry["type"] == "cgroup" and "memory" in entry["superoptions"].split(",")
    ]
    if points:  # version 1: the hierarchy is gone

        def without():
            mount.umount2(points[0], mount.MNT_DETACH)

        refused(in_own_mounts(without, "run", "--rm", "--network", "none", "--memory", "64m", image, "true"), "memory")
        assert in_own_mounts(without, "run", "--rm", "--network", "none", image, "echo", "hi").stdout == "hi\n"
    else:  # version 2: its list of controllers reads empty

        def without():
            mount.mount("/dev/null", "/sys/fs/cgroup/cgroup.controllers", None, mount.MS_BIND)

        refused(in_own_mounts(without, "run", "--rm", "--network", "none", "--memory", "64m", image, "true"), "memory")


def small(place: str, size: str):
    """For in_own_mounts: a tiny disk at *place*."""
    return lambda: mount.mount("small", place, "tmpfs", 0, f"size={size},mode=755")


def test_a_full_disk_for_the_state_is_a_sentence(image):
    def full():
        small(paths.run_root(), "8k")()

    refused(in_own_mounts(full, "run", "--rm", "--network", "none", image, "true"), "No space left", "MINICT_RUN")


def test_a_full_disk_for_the_files_is_a_sentence(image, tmp_path):
    def full():
        data = f"{paths.data_root()}/containers"
        os.makedirs(data, exist_ok=True)
        mount.mount("small", data, "tmpfs", 0, "nr_inodes=2,mode=755")

    try:
        refused(in_own_mounts(full, "run", "--rm", "--network", "none", image, "true"), "No space left", "MINICT_ROOT")
    finally:
        os.rmdir(f"{paths.data_root()}/containers")


def test_a_read_only_disk_is_a_sentence(image):
    def read_only():
        mount.mount(paths.run_root(), paths.run_root(), None, mount.MS_BIND)
        mount.mount(None, paths.run_root(), None, mount.MS_BIND | mount.MS_REMOUNT | mount.MS_RDONLY)

    refused(in_own_mounts(read_only, "run", "--rm", "--network", "none", image, "true"), "Read-only", "MINICT_RUN")


@pytest.mark.parametrize(
    "errno,words", [(19, ["overlay"]), (22, ["overlay"])], ids=["not in the kernel", "not on this file system"]
)
def test_a_kernel_without_overlayfs_is_a_sentence(image, errno, words):
    """A real refusal by the kernel: a filter makes mount(2) fail as it does without the module.

    A filter sees no strings, and so not the type; but an overlay is mounted with options and without MS_… flags.
    """
    from tests.support.seccomp_filter import fail_mount_without_flags

    assert overlay.usable()  # overlayfs worked until now: otherwise the image is copied
    refused(run(image, "true", preexec_fn=lambda: fail_mount_without_flags(errno)), *words)


def test_an_overlay_on_an_overlay_is_a_sentence(image, tmp_path):
    """MINICT_ROOT on a file system that can't hold an upper layer, as inside another container."""

    def stacked():
        for name in ("lower", "upper", "work", "merged"):
            (tmp_path / name).mkdir(exist_ok=True)
        os.makedirs(f"{paths.data_root()}/containers", exist_ok=True)
        mount.mount("none", f"{paths.data_root()}/containers", "ramfs")
        mount.mount("proc", f"{paths.data_root()}/containers", "proc")

    try:
        refused(
            in_own_mounts(stacked, "run", "--rm", "--network", "none", image, "true"), f"{paths.data_root()}/containers"
        )
    finally:
        os.rmdir(f"{paths.data_root()}/containers")


@pytest.mark.parametrize(
    "forwards,words", [("0", ["/proc/sys/net/ipv4/ip_forward", "--network none"]), ("1", ["Read-only"])]
)
def test_a_read_only_proc_is_a_sentence_where_it_is_an_obstacle(image, bridge, forwards, words):
    with open("/proc/sys/net/ipv4/ip_forward") as file:
        before = file.read()
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write(forwards)

    def read_only():
        mount.mount("/proc", "/proc", None, mount.MS_BIND | mount.MS_REC)
        mount.mount(None, "/proc", None, mount.MS_BIND | mount.MS_REMOUNT | mount.MS_RDONLY)

    done = in_own_mounts(read_only, "run", "--rm", "--network", "none", image, "echo", "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")
    refused(in_own_mounts(read_only, "run", "--rm", "--network", "bridge", image, "echo", "hi"), *words)
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write(before)


def test_without_proc_it_says_so(image):
    def without():
        mount.mount("empty", "/proc", "tmpfs")

    refused(in_own_mounts(without, "run", "--rm", "--network", "none", image, "true"), "/proc")


def test_an_image_that_is_damaged_is_a_sentence(image):
    from minict.engine.images.image import Image

    found = Image.find(image)

    def damaged():
        mount.mount("/dev/null", f"{paths.data_root()}/images/configs/{found.id}.json", None, mount.MS_BIND)

    refused(in_own_mounts(damaged, "run", "--rm", "--network", "none", image, "true"), "damaged", f"{found.id}.json")

    def without_layer():
        mount.mount("empty", os.path.dirname(found.layers[0]), "tmpfs")

    refused(in_own_mounts(without_layer, "run", "--rm", "--network", "none", image, "true"), found.layers[0])


def test_a_debug_run_shows_where_it_was(image):
    done = minict("--debug", "run", "--memory", "12q", image)
    assert done.returncode != 0 and "Traceback" in done.stderr


# ---- the same from Python ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"memory": "12q"},
        {"cpus": 999},
        {"mount": ["type=bind,src=/nowhere,dst=/x"]},
        {"name": "a/b"},
        {"user": "stranger"},
        {"network": "brige"},
        {"memory": True},
        {"cpus": None, "pids_limit": "x"},
    ],
)
def test_a_bad_value_is_a_container_error_in_python_too(image, options):
    with pytest.raises(package.ContainerError) as error:
        package.run(image, "true", **{"network": "none", **options})
    assert error.value.status == 125 and "\n" not in str(error.value)


def test_too_few_descriptors_are_an_error_and_leave_no_partial_container(image):
    """Every number of free descriptors, until there are enough."""
    import resource

    def starved():
        results = []
        for free in range(40):
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + free, 4096))
            try:
                results.append(package.run(image, "true", network="none").status)
                break
            except (package.ContainerError, OSError, ImportError) as error:
                results.append(str(error))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        prune()  # what could not be released without a descriptor
        return [results[-1], containers()]

    assert forked(starved) == [0, []]


def test_an_error_in_one_thread_does_not_disturb_others(image):
    errors = []

    def nonsense():
        for _ in range(5):
            try:
                package.run(image, "nowhere", network="none")
            except package.ContainerError as error:
                errors.append(error.status)

    others = [threading.Thread(target=nonsense) for _ in range(3)]
    for each in others:
        each.start()
    assert [package.run(image, "echo hi", network="none").output for _ in range(5)] == ["hi\n"] * 5
    for each in others:
        each.join()
    assert errors == [127] * 15
