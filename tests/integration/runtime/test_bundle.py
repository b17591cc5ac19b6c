"""The runtime alone: a bundle as ``runc spec`` makes it, its life cycle in two steps, and every supported field."""

from __future__ import annotations

import copy
import fcntl
import json
import os
import shutil
import signal
import socket
import time

import pytest

from minict.engine.containers import names
from minict.engine.images.image import Image
from minict.engine.system.prune import prune
from minict.kernel import mount
from minict.lab import host
from minict.runtime import namespaces, paths, terminal
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError
from minict.runtime.spec import Spec
from tests.support.command_line import wait_until
from tests.support.in_child import forked

KINDS = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
CONFIG = {
    "ociVersion": "1.2.0",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": ["PATH=/usr/bin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {
            kind: ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
            for kind in ("bounding", "effective", "permitted")
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "runc",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        },
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
        },
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in KINDS],
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/sys/firmware", "/proc/scsi"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
}


class Bundle:
    """A directory with ``rootfs`` and ``config.json``, and the containers that were made of it."""

    def __init__(self, path: str, layer: str):
        self.path, self.rootfs = path, f"{path}/rootfs"
        shutil.copytree(layer, self.rootfs, symlinks=True)
        for name in ("dev", "proc", "sys", "tmp", "data"):
            os.makedirs(f"{self.rootfs}/{name}", exist_ok=True)
        self.config = copy.deepcopy(CONFIG)
        self.process, self.linux = self.config["process"], self.config["linux"]
        self.made: list[RuntimeContainer] = []

    def load(self, *args: str) -> Spec:
        """The spec from the bundle's file, with *args* as the command."""
        if args:
            self.process["args"] = list(args)
        with open(f"{self.path}/config.json", "w") as file:
            json.dump(self.config, file)
        return Spec.load(f"{self.path}/config.json")

    def container(self) -> RuntimeContainer:
        self.made.append(RuntimeContainer(names.new_id()))
        return self.made[-1]

    def create(self, *args: str, **options) -> RuntimeContainer:
        container = self.container()
        container.create(self.load(*args), bundle=self.path, **options)
        return container

    def begin(self, *args: str, **options) -> RuntimeContainer:
        """A container that runs in the background."""
        container = self.container()
        container.run(self.load(*args), bundle=self.path, **{"streams": (-1, 2, 2), **options})
        return container

    def run(self, script: str, **options) -> str:
        """What the shell *script* writes inside; its exit status is :attr:`status`."""
        reader, writer = os.pipe()
        try:
            container = self.begin("sh", "-c", script, streams=(-1, writer, writer), **options)
        finally:
            os.close(writer)
            text = open(reader).read()
        self.status = container.wait()
        container.delete()
        return text.strip()

    def refused(self, *words: str, status: int = 125) -> ContainerError:
        """Check that the container can't be created, that the error contains all *words*, and that nothing is left."""
        container = self.container()
        with pytest.raises(ContainerError) as error:
            container.run(self.load(), bundle=self.path, streams=(-1, 2, 2))
        assert error.value.status == status and not [word for word in words if word not in str(error.value)], (
            error.value
        )
        assert "\n" not in str(error.value) and "Error:" not in str(error.value), error.value
        assert not os.path.exists(container.state.directory)
        return error.value


@pytest.fixture
def bundle(image, request):
    """A fresh bundle, in a place that another user may reach too."""
    path = f"{paths.data_root()}/bundles/{abs(hash(request.node.name))}"
    made = Bundle(path, Image.find(image).layers[0])
    yield made
    for container in made.made:
        container.delete(force=True)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    shutil.rmtree(os.path.dirname(path))


# ---- the life cycle ------------------------------------------------------------------------------------------------


def test_created_and_started_by_two_processes(bundle):
    reader, writer = os.pipe()
    container = bundle.create("sh", "-c", "echo begun; sleep 0.2; exit 7", streams=(-1, writer, writer))
    os.close(writer)
    assert container.state.status() == "created" and container.pid
    with open(f"/proc/{container.pid}/cmdline") as command:
        assert "begun" not in command.read(), "the command is not executed yet"
    forked(lambda: RuntimeContainer(container.id).start())
    assert open(reader).read() == "begun\n"
    assert container.wait() == 7 and container.state.status() == "stopped"
    forked(lambda: RuntimeContainer(container.id).delete())
    with pytest.raises(ContainerError, match="there is no container"):
        container.state.status()


def test_the_creator_may_be_gone_before_the_start(bundle):
    id = names.new_id()
    spec = bundle.load("sleep", "1000")
    forked(lambda: RuntimeContainer(id).create(spec, bundle=bundle.path, streams=(-1, 2, 2)))
    container = RuntimeContainer(id)
    bundle.made.append(container)
    assert container.state.status() == "created"
    assert prune() == [], "somebody is going to start it"
    container.start()
    assert container.state.status() == "running"
    assert prune() == [], "nobody said that it must not live alone"
    container.kill(signal.SIGKILL)
    wait_until(lambda: container.pid is None)
    assert container.state.status() == "stopped"


def test_an_error_after_start_is_reported_by_start(bundle):
    with open(f"{bundle.rootfs}/broken", "w") as file:
        file.write("this is not a program")
        os.fchmod(file.fileno(), 0o755)
    container = bundle.create("/broken")
    for _ in range(2):
        with pytest.raises(ContainerError) as error:
            container.start()
    assert container.state.status() == "stopped"
    other = bundle.create("/broken")
    with pytest.raises(ContainerError, match="/broken") as error:
        other.start()
    assert error.value.status == 126


def test_a_value_of_the_wrong_type_is_refused_when_it_is_read(bundle):
    bundle.linux["resources"] = {"pids": {"limit": "many"}}
    with pytest.raises(ContainerError, match="limit has .* must be a JSON integer, not 'many'"):
        bundle.load("true")


def test_an_error_before_start_is_reported_by_create(bundle):
    bundle.config["mounts"].append({"destination": "/data", "type": "no-such-file-system", "source": "none"})
    with pytest.raises(ContainerError, match="no-such-file-system on /data: No such device") as error:
        bundle.create("true")
    assert error.value.errno == 19 and error.value.step == "mount no-such-file-system on /data"
    assert not os.path.exists(bundle.made[0].state.directory)


def test_a_missing_command_is_reported_by_create(bundle):
    with pytest.raises(ContainerError, match="no-such-program") as error:
        bundle.create("no-such-program")
    assert error.value.status == 127
    bundle.process["cwd"] = "/etc/passwd"
    with pytest.raises(ContainerError, match="/etc/passwd"):
        bundle.create("true")


def test_only_a_created_container_can_be_started_and_only_once(bundle):
    container = bundle.create("sleep", "1000", streams=(-1, 2, 2))
    container.start()
    with pytest.raises(ContainerError, match="is running: only a created one"):
        container.start()
    with pytest.raises(ContainerError, match="there is no container"):
        RuntimeContainer("0123456789ab").start()


def test_a_running_container_is_not_deleted_unless_by_force(bundle):
    container = bundle.begin("sleep", "1000")
    with pytest.raises(ContainerError, match="is running"):
        container.delete()
    assert container.state.status() == "running"
    container.delete(force=True)
    container.delete()  # a missing container is not an error
    assert not os.path.exists(container.state.directory)


def test_a_created_container_can_be_killed_and_deleted(bundle):
    container = bundle.create("sh", "-c", "echo never")
    container.kill(signal.SIGKILL)
    wait_until(lambda: container.pid is None)
    with pytest.raises(ContainerError, match="is not running"):
        container.kill(signal.SIGTERM)
    with pytest.raises(ContainerError, match="stopped: only a created one"):
        container.start()
    container.delete()


def test_an_id_is_taken_once(bundle):
    container = bundle.begin("sleep", "1000")
    other = RuntimeContainer(container.id)
    with pytest.raises(ContainerError, match=f"the container {container.id} exists already"):
        other.create(bundle.load("true"), bundle=bundle.path)
    assert container.state.status() == "running", "and the first one is as it was"


def test_the_state_keeps_the_spec(bundle):
    container = bundle.begin("sleep", "1000")
    assert container.state.read_spec() == bundle.load()


# ---- namespaces ----------------------------------------------------------------------------------------------------


def test_each_namespace_can_be_made(bundle):
    bundle.linux["namespaces"] = [{"type": kind} for kind in namespaces.FLAGS]
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 65536}]
    container = bundle.begin("sleep", "1000")
    ours = namespaces.identify()
    theirs = namespaces.identify(container.pid)
    assert set(theirs) == set(namespaces.FLAGS) and not [kind for kind in ours if ours[kind] == theirs[kind]]


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup", "time", "user", "mount"])
def test_each_namespace_can_be_joined_by_its_path(bundle, kind):
    if kind == "user":
        bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 65536}]
    if kind in ("time", "user"):
        bundle.linux["namespaces"].append({"type": kind})
    first = bundle.begin("sleep", "1000")
    for entry in bundle.linux["namespaces"]:
        if entry["type"] == kind:
            entry["path"] = f"/proc/{first.pid}/ns/{namespaces.FILES[kind]}"
    if kind == "uts":
        del bundle.config["hostname"]
    second = bundle.begin("sleep", "1000")
    one, other = namespaces.identify(first.pid), namespaces.identify(second.pid)
    ours = namespaces.identify()
    assert {each for each in one if one[each] == other[each]} - {each for each in ours if ours[each] == one[each]} == {
        kind
    }


@pytest.mark.parametrize("kind", KINDS)
def test_each_namespace_can_be_left_out(bundle, kind):
    bundle.linux["namespaces"] = [entry for entry in bundle.linux["namespaces"] if entry["type"] != kind]
    if kind == "uts":
        del bundle.config["hostname"]
    if kind == "mount":
        bundle.config["mounts"], bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"] = [], [], []
        bundle.config["root"]["readonly"] = False
        os.makedirs(f"{bundle.rootfs}/dev", exist_ok=True)
        open(f"{bundle.rootfs}/dev/null", "w").close()  # no device: /tmp may be mounted with nodev
    if kind == "network":  # sysfs belongs to the owner of the network namespace, here the host's root
        bundle.config["mounts"] = [each for each in bundle.config["mounts"] if each["type"] != "sysfs"]
    container = bundle.begin("sleep", "1000")
    assert namespaces.identify(container.pid)[kind] == namespaces.identify()[kind]
    assert os.readlink(f"/proc/{container.pid}/root") == ("/" if kind != "mount" else bundle.rootfs)


@pytest.mark.parametrize(
    "path,words",
    [
        ("/nowhere", ["/nowhere"]),
        ("/etc/passwd", ["/etc/passwd"]),
        ("/proc/self/ns/uts", ["network", "/proc/self/ns/uts"]),
    ],
)
def test_a_path_to_something_other_than_the_namespace_is_refused(bundle, path, words):
    next(each for each in bundle.linux["namespaces"] if each["type"] == "network")["path"] = path
    bundle.refused(*words)


def test_root_inside_is_another_user_outside(bundle):
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.linux["gidMappings"] = [{"containerID": 0, "hostID": 200000, "size": 65536}]
    bundle.config["root"]["readonly"] = False
    for directory, subdirectories, files in os.walk(bundle.rootfs):
        for name in [".", *files]:
            os.chown(os.path.join(directory, name), 100000, 200000, follow_symlinks=False)
    bundle.process["user"]["additionalGids"] = [7]
    assert bundle.run("id -u; id -G; touch /data/file; cat /proc/self/uid_map; ls /dev/null").split() == [
        "0",
        "0",
        "7",
        "0",
        "100000",
        "65536",
        "/dev/null",
    ]
    found = os.stat(f"{bundle.rootfs}/data/file")
    assert (found.st_uid, found.st_gid) == (100000, 200000)


def test_refused_id_maps_are_one_sentence(bundle):
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1}]
    bundle.linux["uidMappings"] = [
        {"containerID": 0, "hostID": 0, "size": 10},
        {"containerID": 5, "hostID": 100, "size": 10},
    ]
    bundle.refused("uid_map")


def test_clocks_can_be_set_forward(bundle):
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 86400 * 700}, "monotonic": {"secs": 5}}
    assert float(bundle.run("cat /proc/uptime").split()[0]) > 86400 * 700
    bundle.linux["timeOffsets"] = {"boottime": {"secs": -(10**9)}}
    bundle.refused("clock")


# ---- the process ---------------------------------------------------------------------------------------------------


def test_limits_of_the_process(bundle):
    bundle.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    assert bundle.run("ulimit -n; ulimit -Hn; ulimit -c").split() == ["100", "200", "0"]
    bundle.process["rlimits"] = [{"type": "RLIMIT_FANTASY", "soft": 1, "hard": 1}]
    bundle.refused("RLIMIT_FANTASY")
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 300, "hard": 200}]
    bundle.refused("RLIMIT_NOFILE", "300:200")


def test_user_groups_umask_and_directory(bundle):
    bundle.process.update(user={"uid": 1000, "gid": 1001, "umask": 0o027, "additionalGids": [5, 1002]}, cwd="/tmp")
    assert bundle.run("id -u; id -g; id -G; umask; pwd").split() == [
        "1000",
        "1001",
        "1001",
        "5",
        "1002",
        "0027",
        "/tmp",
    ]


def test_capabilities_and_no_new_privileges(bundle):
    lines = dict(line.split() for line in bundle.run("grep -E 'Cap|NoNew' /proc/self/status").splitlines())
    assert {lines[f"Cap{kind}:"] for kind in ("Prm", "Eff", "Bnd")} == {f"{1 << 29 | 1 << 5 | 1 << 10:016x}"}
    assert lines["CapInh:"] == lines["CapAmb:"] == "0" * 16 and lines["NoNewPrivs:"] == "1"


def test_the_oom_score(bundle):
    bundle.process["oomScoreAdj"] = 500
    assert bundle.run("cat /proc/self/oom_score_adj") == "500"


def test_the_working_directory_must_be_absolute(bundle):
    bundle.process["cwd"] = "tmp"
    bundle.refused("tmp", "absolute")


@pytest.mark.parametrize(
    "command",
    ["/proc/self/exe", "/proc/thread-self/exe", "/proc/self/fd/../exe", "/script", "/link", "/two-steps", "/space"],
)
def test_a_command_that_is_our_own_interpreter_is_refused(bundle, command):
    for name, text in (
        ("script", "#!/proc/self/exe\n"),
        ("two-steps", "#!/script\n"),
        ("space", "#!   /proc/self/exe -c\n"),
    ):
        with open(f"{bundle.rootfs}/{name}", "w") as file:
            file.write(text)
        os.chmod(f"{bundle.rootfs}/{name}", 0o755)
    os.symlink("/proc/self/exe", f"{bundle.rootfs}/link")
    bundle.process["args"] = [command]
    bundle.refused("out of the container", status=126)


def test_with_a_writable_command_the_interpreter_is_a_sealed_copy(bundle, tmp_path):
    """The check of the command and its execution are two moments, and another, hostile container may share the
    volume."""

    def of_child() -> str:
        container = bundle.create("true")
        try:
            return os.readlink(f"/proc/{container.pid}/exe")
        finally:
            container.delete(force=True)

    def interpreter() -> str:
        return forked(of_child)  # as the command line, a process without threads

    assert interpreter() == os.path.realpath("/proc/self/exe")
    bundle.config["mounts"].append(
        {"destination": "/srv", "type": "bind", "source": str(tmp_path), "options": ["rbind", "noexec"]}
    )
    assert interpreter() == os.path.realpath("/proc/self/exe")
    bundle.config["mounts"][-1]["options"] = ["rbind", "ro"]
    assert "memfd:minict" in interpreter()
    with open(f"/proc/{bundle.create('true').pid}/exe", "rb") as file:
        assert fcntl.fcntl(file, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE


def test_the_console_goes_over_the_socket(bundle):
    bundle.process.update(terminal=True, consoleSize={"height": 11, "width": 222})
    ours, theirs = socket.socketpair()
    with ours, theirs:
        container = bundle.create(
            "sh", "-c", "tty; stty size; ls -l /dev/console; read line; echo got $line", console=theirs.fileno()
        )
        theirs.close()
        master = terminal.receive(ours.fileno())
        container.start()
        os.write(master, b"word\n")
        text = b""
        while b"got word" not in text:
            text += os.read(master, 1000)
        os.close(master)
    assert b"/dev/pts/0" in text and b"11 222" in text and b"crw" in text
    assert container.wait() == 0


def test_a_filter_of_system_calls(bundle):
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
    }
    assert "No space left" in bundle.run("mkdir /tmp/x")
    assert bundle.run("grep -w Seccomp: /proc/self/status").split()[1] == "2"
    bundle.linux["seccomp"]["defaultAction"] = "SCMP_ACT_FANTASY"
    bundle.refused("SCMP_ACT_FANTASY")


# ---- resources -----------------------------------------------------------------------------------------------------


def test_resources_are_files_of_the_cgroup(bundle):
    bundle.linux["resources"].update(
        {
            "pids": {"limit": 77},
            "cpu": {"shares": 512, "quota": 30000, "period": 100000, "cpus": "0"},
            "memory": {"limit": 64 << 20, "reservation": 32 << 20},
        }
    )
    container = bundle.begin("sleep", "1000")

    def value(controller, *names):
        for name in names:
            path = f"{container.cgroup.directories[controller]}/{name}"
            if os.path.exists(path):
                with open(path) as file:
                    return file.read().split()[0]

    assert value("pids", "pids.max") == "77"
    assert value("cpu", "cpu.cfs_quota_us", "cpu.max") == "30000"
    assert value("cpu", "cpu.shares", "cpu.weight") in ("512", "20", "59")  # the two known translations
    assert value("cpuset", "cpuset.cpus") == "0"
    assert value("memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert value("memory", "memory.soft_limit_in_bytes", "memory.low") == str(32 << 20)
    with open(f"/proc/{container.pid}/status") as file:
        assert "Cpus_allowed_list:\t0\n" in file.read()


@pytest.mark.parametrize(
    "resources,words",
    [
        ({"cpu": {"cpus": "999"}}, ["cpus", "999"]),
        ({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}, ["3MB"]),
        ({"memory": {"limit": -7}}, ["memory"]),
    ],
)
def test_unavailable_resources_are_refused(bundle, resources, words):
    bundle.linux["resources"].update(resources)
    bundle.refused(*words)


def test_huge_pages_are_limited_where_there_are_some(bundle):
    here = "/sys/kernel/mm/hugepages"
    sizes = os.listdir(here) if os.path.isdir(here) else ["hugepages-2048kB"]  # no such controller then either
    bundle.linux["resources"]["hugepageLimits"] = [
        {"pageSize": f"{int(size.split('-')[1].removesuffix('kB')) >> 10}MB", "limit": 0}
        for size in sizes
        if int(size.split("-")[1].removesuffix("kB")) < 1 << 20
    ]
    container = RuntimeContainer(names.new_id())
    bundle.made.append(container)
    try:
        container.run(bundle.load("sleep", "1000"), bundle=bundle.path, streams=(-1, 2, 2))
    except ContainerError as error:
        assert "hugetlb" in str(error), "a machine without the controller says so"


# ---- the file system -----------------------------------------------------------------------------------------------


def test_the_root_is_read_only_and_the_rest_is_as_the_spec_says(bundle):
    assert "Read-only" in bundle.run("touch /file")
    assert "Read-only" in bundle.run("echo x > /proc/sys/kernel/hostname")
    assert bundle.run("cat /proc/keys | wc -c; ls -A /sys/firmware | wc -l").split() == ["0", "0"]
    bundle.config["root"]["readonly"] = False
    assert bundle.run("touch /file && echo made") == "made"


def test_masked_and_read_only_paths_may_be_any(bundle):
    bundle.config["root"]["readonly"] = False
    os.makedirs(f"{bundle.rootfs}/secret/deep")
    with open(f"{bundle.rootfs}/data/file", "w") as file:
        file.write("plain")
    bundle.linux["maskedPaths"] = ["/secret", "/data/file", "/nowhere", "/data/file/below"]
    bundle.linux["readonlyPaths"] = ["/tmp", "/nowhere"]
    text = bundle.run("ls -A /secret | wc -l; cat /data/file; touch /tmp/x 2>&1; touch /data/y && echo ok")
    assert text.splitlines()[0] == "0" and "plain" not in text and "Read-only" in text and text.endswith("ok")


@pytest.mark.parametrize(
    "options,seen",
    [
        (["ro"], "ro"),
        (["nosuid", "nodev", "noexec"], "rw,nosuid,nodev,noexec"),
        (["rw", "noatime"], "rw,noatime"),
        (["nodiratime"], "nodiratime"),
        (["ro", "rw"], "rw"),
        (["nosymfollow"], "nosymfollow"),
    ],
)
def test_options_of_a_bind_mount(bundle, options, seen):
    os.mkdir(f"{bundle.path}/source")
    bundle.config["mounts"].append({"destination": "/data", "source": "source", "options": ["bind", *options]})
    line = bundle.run("grep ' /data ' /proc/self/mountinfo")
    assert set(seen.split(",")) <= set(line.split()[5].split(",")), line


def test_options_of_a_file_system(bundle):
    bundle.config["mounts"].append(
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "mode=700", "noexec"]}
    )
    assert bundle.run(
        "df -k /data | tail -1 | awk '{print $2}'; stat -c %a /data; grep -c ' /data .*noexec' /proc/mounts"
    ).split() == ["64", "700", "1"]


@pytest.mark.parametrize("word,outside_is_seen", [("rslave", True), ("rprivate", False)])
def test_later_mounts_of_the_host(bundle, word, outside_is_seen):
    source = f"{bundle.path}/shared"
    os.mkdir(source)
    mount.mount("shared", source, "tmpfs")
    mount.mount(None, source, None, mount.MS_SHARED)
    try:
        os.mkdir(f"{source}/later")
        bundle.linux["rootfsPropagation"] = "rslave"
        bundle.config["mounts"].append({"destination": "/data", "source": source, "options": ["rbind", word]})
        container = bundle.begin("sleep", "1000")
        mount.mount("later", f"{source}/later", "tmpfs")
        with open(f"/proc/{container.pid}/mountinfo") as file:
            assert ("/data/later" in file.read()) == outside_is_seen
        container.delete(force=True)
        assert [each["point"] for each in host.mount_table() if each["point"].startswith(source)] == [
            source,
            f"{source}/later",
        ]
    finally:
        for point in (f"{source}/later", source):
            if os.path.ismount(point):
                mount.umount2(point, mount.MNT_DETACH)


def test_an_unknown_propagation_is_refused(bundle):
    bundle.linux["rootfsPropagation"] = "everywhere"
    bundle.refused("everywhere")


@pytest.mark.parametrize(
    "link,target",
    [
        ("data", "/etc"),
        ("data", "../../../../../../../../etc"),
        ("deep/er", "/"),
        ("loop", "loop"),
        ("data", "/proc/self/root/etc"),
        ("data", "/proc/1/cwd"),
        ("data", "/nowhere/at/all"),
    ],
)
@pytest.mark.parametrize("kind", ["tmpfs", "bind", "file", "device", "mask", "cwd"])
def test_a_link_of_the_image_does_not_lead_to_the_host(bundle, link, target, kind):
    """Whatever is made or mounted through it is made below the container's root, or refused; the host is as it was."""
    bundle.config["root"]["readonly"] = False
    place = f"{bundle.rootfs}/{link}"
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.isdir(place):
        os.rmdir(place)
    os.symlink(target, place)
    os.makedirs(f"{bundle.path}/source")
    with open(f"{bundle.path}/file", "w") as file:
        file.write("from the bundle")
    destination = f"/{link}/hostile"
    if kind == "tmpfs":
        bundle.config["mounts"].append({"destination": destination, "type": "tmpfs", "source": "tmpfs"})
    elif kind in ("bind", "file"):
        bundle.config["mounts"].append(
            {"destination": destination, "source": {"bind": "source", "file": "file"}[kind], "options": ["bind"]}
        )
    elif kind == "device":
        bundle.linux["devices"] = [{"path": destination, "type": "c", "major": 1, "minor": 3}]
    elif kind == "mask":
        bundle.linux["maskedPaths"].append(f"/{link}/passwd")
    else:
        bundle.process["cwd"] = destination
    before = sorted(os.listdir("/etc")), sorted(os.listdir("/")), os.stat("/etc/passwd"), os.getcwd()
    try:
        bundle.run("true")
    except ContainerError as error:
        assert "\n" not in str(error)
    with open("/etc/passwd") as file:
        assert "root" in file.read()
    assert before == (sorted(os.listdir("/etc")), sorted(os.listdir("/")), os.stat("/etc/passwd"), os.getcwd())
    assert not os.path.lexists("/nowhere")


def test_the_standard_places_may_be_links_too(bundle):
    """An image whose /dev, /proc or /sys is a link: what is mounted there is mounted inside, or refused."""
    for name in ("dev", "proc", "sys"):
        shutil.rmtree(f"{bundle.rootfs}/{name}")
        os.symlink(f"/../../../{name}", f"{bundle.rootfs}/{name}")
        try:
            bundle.run("true")
        except ContainerError as error:
            assert name in str(error)
        os.unlink(f"{bundle.rootfs}/{name}")
        os.mkdir(f"{bundle.rootfs}/{name}")


def test_devices_of_the_spec(bundle):
    bundle.linux["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 7, "gid": 8},
        {"path": "/dev/deep/pipe", "type": "p"},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3},
    ]
    found = bundle.run("stat -c '%F %t:%T %a %u %g' /dev/fuse /dev/deep/pipe; echo x > /dev/null && echo ok")
    assert found.splitlines() == ["character special file a:e5 600 7 8", "fifo 0:0 666 0 0", "ok"]


def test_a_device_is_usable_only_when_the_resources_allow_it(bundle):
    bundle.linux["devices"] = [{"path": "/dev/thing", "type": "c", "major": 10, "minor": 254}]  # which no driver serves
    assert "not permitted" in bundle.run("head -c 1 /dev/thing")
    bundle.linux["resources"]["devices"].append({"allow": True, "type": "c", "major": 10, "minor": 254, "access": "r"})
    assert "No such device" in bundle.run("head -c 1 /dev/thing")
    assert "not permitted" in bundle.run("echo x > /dev/thing")


def test_sysctls_of_its_own_namespaces_only(bundle):
    bundle.linux["sysctl"] = {
        "net.ipv4.ip_forward": "1",
        "kernel.shmmax": "12345678",
        "net.ipv4.conf.lo.forwarding": "1",
    }
    assert bundle.run("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax").split() == ["1", "12345678"]
    for name in (
        "kernel.core_pattern",
        "vm.swappiness",
        "kernel.panic",
        "net/../kernel/panic",
        "net.ipv4../../kernel/panic",
        "fs.file-max",
    ):
        bundle.linux["sysctl"] = {name: "1"}
        bundle.refused(name, "host")
    bundle.linux["sysctl"] = {"net.no.such": "1"}
    bundle.refused("net.no.such")


def test_a_sysctl_of_a_shared_namespace_is_the_hosts(bundle):
    bundle.linux["namespaces"] = [each for each in bundle.linux["namespaces"] if each["type"] != "network"]
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    bundle.refused("net.ipv4.ip_forward", "host")


@pytest.mark.parametrize(
    "where,value,words",
    [
        (("root", "path"), "nowhere", ["nowhere", "not a directory"]),
        (("root", "path"), "config.json", ["not a directory"]),
        (("process", "args"), [], ["process.args"]),
        (("process",), None, ["process.args"]),
        (("linux",), None, ["linux"]),
        (("root",), None, ["root"]),
        (("linux", "namespaces"), [{"type": "moon"}], ["moon"]),
        (("linux", "namespaces"), [{"type": "pid"}, {"type": "pid"}, {"type": "uts"}], ["two", "pid"]),
        (("linux", "namespaces"), [{"type": "mount"}], ["host name", "uts"]),
        (("linux", "namespaces"), [{"type": "mount"}, {"type": "uts"}, {"type": "user"}], ["uidMappings"]),
        (("mounts",), [{"type": "tmpfs"}], ["destination"]),
        (("mounts",), [{"destination": "/data"}], ["/data", "type"]),
    ],
)
def test_an_incomplete_or_invalid_spec_is_refused(bundle, where, value, words):
    target = bundle.config
    for name in where[:-1]:
        target = target[name]
    target[where[-1]] = value
    bundle.process = bundle.config.get("process") or {}
    bundle.refused(*words)


def test_a_bundle_without_a_readable_spec(tmp_path):
    with pytest.raises(FileNotFoundError):
        Spec.load(f"{tmp_path}/config.json")
    for text in ("", "[]", "{", '{"mounts": 5}', '{"process": "sh"}'):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError):
            Spec.load(f"{tmp_path}/config.json")


def test_created_containers_are_cheap_to_wait(bundle):
    """Between create and start no process runs, and no CPU time is used."""
    container = bundle.create("sleep", "1000", streams=(-1, 2, 2))

    def used():
        with open(f"/proc/{container.pid}/stat") as file:
            return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))

    before = used()
    time.sleep(0.3)
    assert used() - before <= 1
