"""The Container Runtime Interface of containerd, through which a kubelet runs pods, with minict-oci beside runc: ``make test-cri``.

One containerd has a runtime handler for each of the two. A scene is what a kubelet does for one purpose; what it gets to know,
answers, logs, exit codes, is compared. The client is grpcio with ``cri.proto``, in a directory of the test's own.
"""

from __future__ import annotations

import contextlib
import glob
import importlib
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from minict.lab import host
from minict.lab.ociruntime import plain_program
from minict.runtime import paths
from tests.engines.comparison import PATIENCE, RUNTIMES, Undertaker, masked
from tests.support.command_line import minict
from tests.support.world import host_network

CLIENT = "grpcio-tools==1.85.1"  # brings grpcio, protobuf and a compiler for cri.proto
SANDBOX = "docker.io/library/sandbox:latest"
CONFIGURATION = """version = 2
root = "{place}/root"
state = "{place}/state"
oom_score = 0
[grpc]
address = "{place}/socket"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{sandbox}"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{place}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.minict]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.minict.options]
BinaryName = "{minict}"
"""
NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "type": "bridge",
    "bridge": "pods",
    "isGateway": True,
    "ipam": {"type": "host-local", "subnet": "10.88.0.0/24", "dataDir": "/run/addresses"},
}


class Kubelet:
    """Calls one handler as a kubelet does. A method of the interface is called by its name: ``kubelet("Version")``."""

    def __init__(self, address: str, handler: str, place: str, image: str) -> None:
        self.grpc, self.json = importlib.import_module("grpc"), importlib.import_module("google.protobuf.json_format")
        self.messages = importlib.import_module("cri_pb2")
        self.channel = self.grpc.insecure_channel(f"unix://{address}")
        self.handler, self.place, self.image = handler, place, image
        self.pods: dict[str, dict] = {}

    def __call__(self, method: str, **request) -> dict:
        """The answer, as JSON; after a refusal, its code and text."""
        for service in self.messages.DESCRIPTOR.services_by_name.values():
            if method in service.methods_by_name:
                found = service.methods_by_name[method]
        types = [getattr(self.messages, kind.name) for kind in (found.input_type, found.output_type)]
        call = self.channel.unary_unary(
            f"/{found.containing_service.full_name}/{method}",
            request_serializer=types[0].SerializeToString,
            response_deserializer=types[1].FromString,
        )
        try:
            answer = call(self.json.ParseDict(request, types[0]()), timeout=PATIENCE)
        except self.grpc.RpcError as error:
            print(self.handler, method, error.details())
            return {"refused": error.code().name, "why": masked(error.details(), wording=True)}
        return self.json.MessageToDict(answer, preserving_proto_field_name=True)

    def must(self, method: str, **request) -> dict:
        answer = self(method, **request)
        assert "refused" not in answer, (self.handler, method, request, answer)
        return answer

    def until(self, wanted, method: str, **request) -> dict:
        """Call until *wanted* of the answer is true."""
        end = time.monotonic() + PATIENCE
        while not wanted(answer := self(method, **request)):
            assert time.monotonic() < end, (self.handler, method, request, answer)
            time.sleep(0.05)
        return answer

    # ---- pods

    def pod(self, name: str, context: dict | None = None, **linux) -> str:
        """Run a pod; its id."""
        config = {
            "metadata": {"name": name, "uid": f"uid-of-{name}", "namespace": "default"},
            "hostname": "" if "NODE" in str(context) else name,  # as a kubelet does
            "log_directory": f"{self.place}/logs/{self.handler}-{name}",
            "dns_config": {"servers": ["10.0.0.10"], "searches": ["svc.cluster.local"], "options": ["ndots:5"]},
            "labels": {"app": name},
            "annotations": {"note": "kept"},
            "linux": {
                "cgroup_parent": f"/{paths.cgroup_parent()}/{self.handler}-{name}",
                "security_context": {"namespace_options": {"pid": "CONTAINER"}, **(context or {})},
                **linux,
            },
        }
        shutil.rmtree(config["log_directory"], ignore_errors=True)  # of an earlier pod of that name
        id = self.must("RunPodSandbox", config=config, runtime_handler=self.handler)["pod_sandbox_id"]
        self.pods[id] = config
        return id

    def end(self, pod: str) -> list:
        """Stop and remove a pod, as a kubelet does: each twice."""
        calls = ["StopPodSandbox", "StopPodSandbox", "RemovePodSandbox", "RemovePodSandbox"]
        return [self.must(method, pod_sandbox_id=pod) for method in calls]

    @contextlib.contextmanager
    def running(self, name: str, context: dict | None = None, **linux):
        """``with kubelet.running("pod") as pod``: it is removed at the end."""
        pod = self.pod(name, context, **linux)
        try:
            yield pod
        finally:
            self.end(pod)

    # ---- containers

    def create(
        self, pod: str, *command: str, name: str = "main", attempt: int = 0, linux: dict | None = None, **config
    ):
        """Create a container; its id."""
        whole = {
            "metadata": {"name": name, "attempt": attempt},
            "image": {"image": self.image},
            "command": list(command),
            "log_path": f"{name}-{attempt}.log",
            "labels": {"container": name},
            "linux": linux or secured()["linux"],
            **config,
        }
        answer = self.must("CreateContainer", pod_sandbox_id=pod, config=whole, sandbox_config=self.pods[pod])
        return answer["container_id"]

    def begin(self, pod: str, *command: str, **config) -> str:
        """Create and start a container that writes ``up``, and wait for that; its id."""
        id = self.create(pod, *command, **config)
        self.must("StartContainer", container_id=id)
        end = time.monotonic() + PATIENCE
        while "up" not in str(self.log(pod, **config)):
            assert time.monotonic() < end, (self.handler, command, self.status(id))
            time.sleep(0.05)
        return id

    def status(self, id: str) -> dict:
        status = self.must("ContainerStatus", container_id=id)["status"]
        return {**status, "message": masked(status.get("message", ""), wording=True)}

    def exited(self, id: str) -> dict:
        """The status after its end."""
        self.until(
            lambda answer: answer["status"].get("state") == "CONTAINER_EXITED", "ContainerStatus", container_id=id
        )
        return self.status(id)

    def log(self, pod: str, name: str = "main", attempt: int = 0, **_) -> list[str]:
        """What a container has written, each line as ``stdout F text``; standard error, another pipe, comes first."""
        try:
            with open(f"{self.pods[pod]['log_directory']}/{name}-{attempt}.log") as file:
                lines = [masked(line.partition(" ")[2].rstrip("\n"), wording=False) for line in file]
            return sorted(lines, key=lambda line: line[:6])
        except FileNotFoundError:
            return []

    def run(self, pod: str, *command: str, **config) -> list:
        """A container from its beginning to its end: what it wrote, and its status."""
        id = self.create(pod, *command, **config)
        told = [self.status(id), self("StartContainer", container_id=id)]
        told += [self.exited(id), self.log(pod, **config), self.must("RemoveContainer", container_id=id)]
        return [*told, self("ContainerStatus", container_id=id)]

    def shell(self, script: str, pod_context: dict | None = None, pod_linux: dict | None = None, **config) -> list:
        """The shell *script* in a container, alone in its pod."""
        with self.running("pod", pod_context, **(pod_linux or {})) as pod:
            return self.run(pod, "sh", "-c", script, **config)

    def execute(self, id: str, script: str, timeout: int = 0) -> dict:
        return self("ExecSync", container_id=id, cmd=["sh", "-c", script], timeout=timeout)


# ---- scenes --------------------------------------------------------------------------------------------------------

LOOP = 'trap "exit 3" TERM; echo up; while :; do sleep 0.05; done'
SCENES = {}


def scene(function):
    SCENES[function.__name__] = function
    return function


def secured(**context) -> dict:
    """The words of a container's configuration for a security context."""
    return {"linux": {"security_context": {"namespace_options": {"pid": "CONTAINER"}, **context}}}


@scene
def version_and_status(kubelet):
    return kubelet.must("Version"), kubelet.must("Status")


@scene
def life_of_a_pod(kubelet):
    pod = kubelet.pod("pod")
    status = kubelet.must("PodSandboxStatus", pod_sandbox_id=pod)["status"]
    told = [status.pop("network")["ip"].startswith("10.88.0."), status, kubelet.must("ListPodSandbox")]
    told.append(kubelet.must("StopPodSandbox", pod_sandbox_id=pod))
    told.append(kubelet.must("PodSandboxStatus", pod_sandbox_id=pod)["status"]["state"])
    told.append(kubelet.end(pod))
    return told, kubelet("PodSandboxStatus", pod_sandbox_id=pod), kubelet.must("ListPodSandbox")


@scene
def output_and_exit_code(kubelet):
    return kubelet.shell("echo hello; echo error >&2; id; pwd; hostname; printf incomplete; exit 5")


@scene
def command_arguments_environment_and_directory(kubelet):
    with kubelet.running("pod") as pod:
        envs = [{"key": "A", "value": "b c"}, {"key": "EMPTY", "value": ""}]
        return kubelet.run(
            pod, "sh", "-c", 'pwd; env | sort; echo "$1"', args=["sh", "last word"], working_dir="/new/dir", envs=envs
        )


@scene
def killed_by_a_signal(kubelet):
    return kubelet.shell("kill -9 $$")


@scene
def commands_that_cannot_run(kubelet):
    with kubelet.running("pod") as pod:
        commands = ["nosuch", "/no/such", "/etc/hosts", "/etc"]
        return [kubelet.run(pod, command, name=f"c{number}") for number, command in enumerate(commands)]


@scene
def restart_in_the_same_pod(kubelet):
    with kubelet.running("pod") as pod:
        return [kubelet.run(pod, "sh", "-c", f"echo {attempt}", attempt=attempt) for attempt in range(3)]


@scene
def network_names_and_resolver(kubelet):
    return kubelet.shell(
        "ls /sys/class/net | sort; cat /sys/class/net/eth0/operstate /etc/resolv.conf; hostname; cut -f2 /etc/hosts"
    )


@scene
def limits(kubelet):
    resources = {"cpu_period": 100000, "cpu_quota": 50000, "cpu_shares": 512, "memory_limit_in_bytes": 64 << 20}
    files = "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares"
    script = (
        f"cd /sys/fs/cgroup; cat {files} || cat memory.max cpu.max cpu.weight; grep Cpus_allowed_list /proc/self/status"
    )
    return kubelet.shell(
        script, linux={**secured()["linux"], "resources": {**resources, "cpuset_cpus": "0", "oom_score_adj": 500}}
    )


@scene
def out_of_memory(kubelet):
    script = "x=0123456789; while :; do x=$x$x; done"
    return kubelet.shell(script, linux={**secured()["linux"], "resources": {"memory_limit_in_bytes": 16 << 20}})


@scene
def user_and_groups(kubelet):
    user = {"run_as_user": {"value": 12}, "run_as_group": {"value": 13}, "supplemental_groups": [14, 15]}
    return kubelet.shell("id; echo $HOME", **secured(**user))


@scene
def read_only_root(kubelet):
    return kubelet.shell(
        "touch /x 2>/dev/null || echo no; touch /dev/shm/x && echo yes", **secured(readonly_rootfs=True)
    )


@scene
def capabilities(kubelet):
    chosen = {"add_capabilities": ["SYS_ADMIN"], "drop_capabilities": ["CHOWN", "NET_RAW"]}
    told = [kubelet.shell("grep Cap /proc/self/status")]
    told.append(kubelet.shell("grep Cap /proc/self/status", **secured(capabilities=chosen)))
    chosen = {"drop_capabilities": ["ALL"]}
    return [*told, kubelet.shell("grep Cap /proc/self/status", **secured(capabilities=chosen))]


@scene
def seccomp_and_no_new_privileges(kubelet):
    script = "grep -e Seccomp: -e NoNew /proc/self/status"
    told = [kubelet.shell(script, **secured(seccomp={"profile_type": "RuntimeDefault"}, no_new_privs=True))]
    return [*told, kubelet.shell(script, **secured(seccomp={"profile_type": "Unconfined"}))]


@scene
def masked_and_read_only_paths(kubelet):
    paths_ = {"masked_paths": ["/proc/kcore", "/sys/firmware"], "readonly_paths": ["/proc/sys"]}
    script = (
        "cat /proc/kcore | wc -c; ls -A /sys/firmware | wc -l; echo x 2>/dev/null >/proc/sys/kernel/hostname || echo no"
    )
    return kubelet.shell(script, **secured(**paths_))


@scene
def privileged(kubelet):
    script = 'grep CapEff /proc/self/status; test -e /dev/loop-control -o -e /dev/fuse -o -e /dev/kmsg && echo devices; mount | grep -c "sysfs (rw"'
    return kubelet.shell(script, pod_context={"privileged": True}, **secured(privileged=True))


@scene
def sysctls_of_a_pod(kubelet):
    sysctls = {"kernel.shmmax": "12345", "net.ipv4.ip_unprivileged_port_start": "80"}
    script = "cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_unprivileged_port_start"
    return kubelet.shell(script, pod_linux={"sysctls": sysctls})


@scene
def mounts(kubelet):
    volume = f"{kubelet.place}/volume-{kubelet.handler}"
    os.makedirs(volume)
    both = [
        {"container_path": "/volume", "host_path": volume},
        {"container_path": "/fixed", "host_path": "/usr/share/misc", "readonly": True},
    ]
    told = kubelet.shell("echo text >/volume/file; touch /fixed/x 2>/dev/null || echo no; ls -A /fixed", mounts=both)
    with open(f"{volume}/file") as file:
        return told, file.read()


@scene
def the_mount_table(kubelet):
    return kubelet.shell(
        "cut -d' ' -f2,3 /proc/mounts | grep -v -e '^/sys/fs/cgroup' -e /proc/ | sort; ls /dev; ls /proc/self/fd"
    )


@scene
def a_device(kubelet):
    device = {"container_path": "/dev/mine", "host_path": "/dev/full", "permissions": "rwm"}
    return kubelet.shell("stat -c %t:%T /dev/mine; echo x 2>/dev/null >/dev/mine || echo full", devices=[device])


@scene
def a_terminal(kubelet):
    return kubelet.shell("tty; echo done", tty=True)


@scene
def the_nodes_namespaces(kubelet):
    options = {"namespace_options": {"network": "NODE", "pid": "NODE", "ipc": "NODE"}}
    script = "ls /sys/class/net | grep -c ^pods$; echo $$ | grep -c '^1$'; test -e /proc/1/ns/pid && echo host"
    return kubelet.shell(script, pod_context=options, **secured(**options))


@scene
def processes_shared_in_a_pod(kubelet):
    options = {"namespace_options": {"pid": "POD"}}
    with kubelet.running("pod", options) as pod:
        first = kubelet.begin(pod, "sh", "-c", LOOP, **secured(**options))
        seen = "tr '\\0' ' ' </proc/1/cmdline; echo; ls -d /proc/[0-9]* | wc -l | grep -c -v -e '^1$' -e '^2$'"
        told = kubelet.run(pod, "sh", "-c", seen, name="second", **secured(**options))
        return told, kubelet.must("StopContainer", container_id=first, timeout=10), kubelet.exited(first)


@scene
def a_debugging_container_joins_its_target(kubelet):
    with kubelet.running("pod") as pod:
        first = kubelet.begin(pod, "sh", "-c", LOOP)
        options = {"namespace_options": {"pid": "TARGET", "target_id": first}}
        told = kubelet.run(pod, "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline", name="second", **secured(**options))
        alone = kubelet.run(pod, "sh", "-c", "echo $$", name="third")
        return told, alone, kubelet.must("StopContainer", container_id=first, timeout=10)


@scene
def network_and_ipc_shared_in_a_pod(kubelet):
    with kubelet.running("pod") as pod:
        begin = kubelet.begin(
            pod,
            "sh",
            "-c",
            f"echo from first >/dev/shm/file; cat /sys/class/net/eth0/address >/dev/shm/address; {LOOP}",
        )
        told = kubelet.run(
            pod,
            "sh",
            "-c",
            'cat /dev/shm/file; test "$(cat /sys/class/net/eth0/address)" = "$(cat /dev/shm/address)" && echo same',
            name="second",
        )
        return told, kubelet.must("StopContainer", container_id=begin, timeout=10)


@scene
def life_of_a_container_that_runs(kubelet):
    with kubelet.running("pod") as pod:
        id = kubelet.begin(pod, "sh", "-c", LOOP)
        told = [kubelet.status(id), kubelet.must("ListContainers")]
        told += [
            kubelet.execute(id, "echo in; echo error >&2; id; exit 4"),
            kubelet.execute(id, "kill -0 1 && echo seen"),
        ]
        told += [kubelet("ExecSync", container_id=id, cmd=["nosuch"]), kubelet.execute(id, "sleep 1000", timeout=1)]
        update = {"memory_limit_in_bytes": 70 << 20, "cpu_shares": 700}
        told.append(kubelet.must("UpdateContainerResources", container_id=id, linux=update))
        files = "memory/memory.limit_in_bytes cpu/cpu.shares"
        told.append(kubelet.execute(id, f"cd /sys/fs/cgroup; cat {files} || cat memory.max cpu.weight"))
        stats = kubelet.must("ContainerStats", container_id=id)["stats"]
        told.append({name: bool(stats.pop(name)) for name in ("cpu", "memory")})
        told += [stats, kubelet("RemoveContainer", container_id="nosuch"), kubelet("StartContainer", container_id=id)]
        told.append(kubelet.must("StopContainer", container_id=id, timeout=10))
        told += [kubelet.exited(id), kubelet.must("StopContainer", container_id=id, timeout=10)]
        told += [kubelet.execute(id, "true"), kubelet.must("RemoveContainer", container_id=id)]
        return [*told, kubelet.must("ListContainers")]


@scene
def a_container_that_ignores_the_signal(kubelet):
    with kubelet.running("pod") as pod:
        id = kubelet.begin(pod, "sh", "-c", 'trap "" TERM; echo up; while :; do sleep 0.05; done')
        return kubelet.must("StopContainer", container_id=id, timeout=1), kubelet.exited(id)


@scene
def one_that_ignores_the_signal_beside_others(kubelet):
    options = {"namespace_options": {"pid": "POD"}}
    with kubelet.running("pod", options) as pod:
        id = kubelet.begin(pod, "sh", "-c", 'trap "" TERM; echo up; while :; do sleep 0.05; done', **secured(**options))
        return kubelet.must("StopContainer", container_id=id, timeout=1), kubelet.exited(id)


@scene
def a_log_is_reopened_after_rotation(kubelet):
    with kubelet.running("pod") as pod:
        id = kubelet.begin(pod, "sh", "-c", 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.05; done')
        path = f"{kubelet.pods[pod]['log_directory']}/main-0.log"
        os.rename(path, f"{path}.1")
        told = [kubelet.must("ReopenContainerLog", container_id=id), kubelet.log(pod)]
        kubelet.must("StopContainer", container_id=id, timeout=10)
        return told, kubelet.exited(id), kubelet.log(pod)


@scene
def a_pod_ends_with_containers_that_run(kubelet):
    pod = kubelet.pod("pod")
    id = kubelet.begin(pod, "sh", "-c", LOOP)
    kubelet.create(pod, "sh", "-c", "echo never", name="created")
    told = [kubelet.must("StopPodSandbox", pod_sandbox_id=pod), kubelet.exited(id)]
    return told, kubelet.end(pod), kubelet.must("ListContainers")


@scene
def nothing_is_left(kubelet):
    states = os.listdir("/run/containerd/runc/k8s.io") if os.path.isdir("/run/containerd/runc/k8s.io") else []
    trees = [f"{tree}/{kubelet.handler}-pod" for tree in host.cgroup_trees()]
    groups = [entry.name for tree in trees if os.path.isdir(tree) for entry in os.scandir(tree) if entry.is_dir()]
    return states, groups


# ---- the tests -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def daemon(place: str, configuration: str):
    """``with daemon(…) as words``: the *words* call ctr. containerd is in *place* and in a /run of its own."""
    words = ["ctr", "--address", f"{place}/socket"]
    with open(f"{place}/config.toml", "w") as file:
        file.write(configuration)
    subprocess.run(["mount", "-t", "tmpfs", "containerd", "/run"], check=True)
    with open(f"{place}/log", "w") as log, Undertaker():
        process = subprocess.Popen(
            ["containerd", "--config", f"{place}/config.toml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            end = time.monotonic() + PATIENCE
            while subprocess.run([*words, "version"], capture_output=True).returncode:
                assert process.poll() is None and time.monotonic() < end, open(f"{place}/log").read()[-3000:]
                time.sleep(0.1)
            yield words
        finally:
            process.terminate()
            process.wait()
            subprocess.run(["umount", "-R", "-l", "/run"], check=True)
            subprocess.run(f"umount -R -l {place}/root {place}/state 2>/dev/null", shell=True)


@pytest.fixture(scope="module")
def kubelets(image, tmp_path_factory):
    """A kubelet for each handler of one containerd."""
    client = str(tmp_path_factory.mktemp("client"))
    with host_network():
        words = [sys.executable, "-m", "pip", "install", "--quiet", "--target", client, CLIENT]
        subprocess.run(words, check=True, capture_output=True)
        words = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "containernetworking-plugins"]
        subprocess.run(words, cwd=client, check=True, capture_output=True)
    subprocess.run(["dpkg-deb", "--extract", *glob.glob(f"{client}/*.deb"), client], check=True)
    here = os.path.dirname(__file__)
    words = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={here}", f"--python_out={client}", "cri.proto"]
    subprocess.run(words, env={**os.environ, "PYTHONPATH": client}, check=True)

    place = f"{paths.data_root()}/cri"
    os.makedirs(f"{place}/cni")
    with open(f"{place}/cni/pods.conf", "w") as file:
        json.dump(NETWORK, file)
    with open(f"{place}/Dockerfile", "w") as file:
        file.write(f'FROM {image}\nCMD ["sleep", "infinity"]\n')
    for words in (["build", "--tag", "sandbox", place], ["save", "--output", f"{place}/images.tar", image, "sandbox"]):
        done = minict(*words)
        assert done.returncode == 0, done
    configuration = CONFIGURATION.format(
        sandbox=SANDBOX, plugins=f"{client}/usr/lib/cni", place=place, minict=plain_program(place)
    )
    sys.path.insert(0, client)
    try:
        with daemon(place, configuration) as words:
            subprocess.run([*words, "--namespace", "k8s.io", "images", "import", f"{place}/images.tar"], check=True)
            both = {
                each: Kubelet(f"{place}/socket", each, place, f"docker.io/library/{image}:latest") for each in RUNTIMES
            }
            for name in (SANDBOX, both["runc"].image):
                both["runc"].until(lambda answer: "image" in answer, "ImageStatus", image={"image": name})
            both["runc"].until(
                lambda answer: all(each.get("status") for each in answer["status"]["conditions"]), "Status"
            )
            for each in both.values():
                each.end(each.pod("pod"))  # makes the bridge, and the pod's groups, which belong to the kubelet
            yield both
            for each in both.values():
                each.channel.close()
    finally:
        sys.path.remove(client)
        minict("rmi", "sandbox")
        subprocess.run(["ip", "link", "delete", "pods"], capture_output=True)
        shutil.rmtree(place)
        host.remove_cgroups(host.cgroup_trees())


@pytest.mark.parametrize("name", SCENES)
def test_a_kubelet_gets_to_know_the_same(kubelets, name):
    assert SCENES[name](kubelets["minict"]) == SCENES[name](kubelets["runc"])
