"""Fields of the specification that are one system call, or that are refused: what really happens for each."""

from __future__ import annotations

import array
import json
import os
import select
import socket
import subprocess

import pytest

from minict.kernel.netlink import Rtnetlink
from minict.runtime import apparmor
from tests.support.command_line import PATIENCE
from tests.support.oci import oci  # noqa: F401


def test_scheduler_and_io_priority(oci):
    oci.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7}
    oci.process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 3}
    assert oci.run("cut -d' ' -f19,41 /proc/self/stat; ionice -p $$") == "7 3\nidle"


def test_personality(oci):
    oci.linux["personality"] = {"domain": "LINUX32"}
    assert oci.run("cat /proc/self/personality") == "00000008"
    oci.begin("sleep", "1000")
    assert oci.do("exec", "box", "cat", "/proc/self/personality") == "00000008\n"


def test_memory_policy(oci):
    oci.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    if not os.path.exists("/proc/self/numa_maps"):  # a kernel for machines with one node
        oci.bundle.load("true")
        oci.refused("create", "box", told="linux.memoryPolicy cannot be applied: Function not implemented")
        return
    assert "bind=static:0" in oci.run("head -1 /proc/self/numa_maps")


def test_processors_of_a_process_that_joins(oci):
    oci.begin("sleep", "1000")
    with open(f"{oci.place}/process.json", "w") as file:
        affinity = {"initial": "0", "final": "1" if os.sysconf("SC_NPROCESSORS_CONF") > 1 else "0"}
        json.dump(
            {
                **oci.process,
                "args": ["grep", "Cpus_allowed_list", "/proc/self/status"],
                "cwd": "/",
                "execCPUAffinity": affinity,
            },
            file,
        )
    assert oci.do("exec", "--process", file.name, "box").split()[1] == affinity["final"]


def test_a_network_interface_moves_with_its_address(oci):
    subprocess.run(["ip", "link", "add", "moved0", "type", "veth", "peer", "name", "other0"], check=True)
    subprocess.run(["ip", "address", "add", "10.9.8.7/24", "dev", "moved0"], check=True)
    oci.linux["netDevices"] = {"moved0": {"name": "inside0"}}
    seen = oci.run("cat /sys/class/net/inside0/flags; grep -c 10.9.8.7 /proc/net/fib_trie; ls /sys/class/net")
    assert int(seen.split()[0], 16) & 1 and seen.split()[1] != "0" and "moved0" not in seen
    with Rtnetlink() as netlink:
        assert netlink.link("moved0") is None
    oci.bundle.load("true")
    oci.refused("run", "box", told="moved0")


def test_a_mount_with_id_maps_of_its_own(oci):
    source = f"{oci.place}/source"
    os.makedirs(source)
    os.chown(source, 1234, 1234)
    maps = [{"containerID": 1234, "hostID": 77, "size": 1}, {"containerID": 0, "hostID": 0, "size": 1}]
    oci.config["mounts"].append(
        {
            "destination": "/data",
            "type": "bind",
            "source": source,
            "options": ["rbind", "idmap"],
            "uidMappings": maps,
            "gidMappings": maps,
        }
    )
    assert oci.run("stat -c '%u %g' /data") == "77 77"


def test_a_seccomp_agent_gets_the_listener_and_the_state(oci):
    path = f"{oci.place}/agent"
    oci.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path,
        "listenerMetadata": "some text",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }
    oci.bundle.load("mkdir", "/tmp/new")
    oci.refused("create", "box", told=f"the seccomp agent at {path} cannot be asked")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        oci.begin("mkdir", "/tmp/new")
        with server.accept()[0] as channel:
            text, control, _, _ = channel.recvmsg(1 << 16, socket.CMSG_SPACE(4))
        document, listener = json.loads(text), array.array("i", control[0][2])[0]
        assert os.readlink(f"/proc/self/fd/{listener}") == "anon_inode:seccomp notify"
        assert (document["fds"], document["metadata"], document["pid"]) == (
            ["seccompFd"],
            "some text",
            oci.state()["pid"],
        )
        assert document["state"]["id"] == "box" and document["state"]["status"] == "creating"
        asked = select.poll()
        asked.register(listener, select.POLLIN)
        assert asked.poll(PATIENCE * 1000)
        os.close(listener)  # without an agent the call fails with ENOSYS
    oci.stopped()
    os.unlink(path)
    assert "not implemented" in oci.output()


def test_without_a_rule_that_asks_the_agent_its_path_has_no_meaning(oci):
    oci.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/such", "listenerMetadata": "x"}
    assert oci.run("echo up") == "up"


@pytest.mark.skipif(apparmor.is_enabled(), reason="this kernel applies profiles")
def test_a_profile_without_apparmor_is_refused(oci):
    oci.process["apparmorProfile"] = "docker-default"
    oci.bundle.load("true")
    oci.refused("create", "box", told="this kernel has no AppArmor")


REFUSED = {
    "process.rlimits": ([{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2, "two limits of one type"),
    "process.scheduler": ({"policy": "SCHED_NONE"}, "unknown value 'SCHED_NONE'"),
    "process.scheduler ": ({"policy": "SCHED_OTHER", "priority": 3}, "priority is for SCHED_FIFO"),
    "process.scheduler  ": ({"policy": "SCHED_FIFO", "priority": 3, "runtime": 5}, "not for SCHED_FIFO"),
    "process.ioPriority": ({"class": "IOPRIO_CLASS_BE", "priority": 9}, "0 to 7"),
    "process.execCPUAffinity": ({"initial": "a-b"}, "write numbers as in"),
    "linux.memoryPolicy": ({"mode": "MPOL_NONE"}, "unknown value 'MPOL_NONE'"),
    "linux.personality": ({"domain": "HPUX"}, "unknown value 'HPUX'"),
    "linux.intelRdt": ({"closID": "guaranteed"}, "linux.intelRdt"),
    "linux.netDevices": ({"lo/": {}}, "invalid name 'lo/'"),
    "linux.netDevices ": ({"nowhere0": {}}, "nowhere0 cannot be moved"),
    "linux.devices": ([{"path": "/dev/x", "type": "x", "major": 1, "minor": 3}], "unknown type 'x'"),
    "linux.devices ": ([{"path": "/dev/zero", "type": "c", "major": 1, "minor": 3}], "another file"),
    "linux.rootfsPropagation": ("somehow", "unknown propagation"),
    "linux.cgroupsPath": ("a.slice:b:c", "systemd"),
    "linux.resources": ({"rdma": {"mlx5_1": {"hcaHandles": 3}}}, "rdma"),
    "linux.resources ": ({"network": {"classID": 1048577}}, "net_cls"),
    "linux.resources  ": ({"blockIO": {"leafWeight": 100}}, "leafWeight"),
    "linux.seccomp": ({"defaultAction": "SCMP_ACT_NOTIFY"}, "default action"),
    "linux.seccomp ": ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}, "no listenerPath"),
    "mounts": ([{"destination": "/data", "type": "tmpfs", "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}], "only a bind mount"),
}  # fmt: skip


@pytest.mark.parametrize("field", REFUSED)
def test_what_cannot_be_obeyed_is_refused_by_name(oci, field):
    section, _, name = field.strip().rpartition(".")
    if field.startswith("linux.resources") and os.path.isdir("/sys/fs/cgroup/rdma"):
        pytest.skip("this machine has the controller")
    value, told = REFUSED[field]
    target = oci.config[section] if section else oci.config
    target[name] = [*target.get(name, []), *value] if name == "mounts" else value
    oci.bundle.load("true")
    oci.refused("create", "box", told=told)
    assert oci.do("list", "-q") == ""


def test_a_sysctl_with_slashes(oci):
    oci.linux["sysctl"] = {"net/ipv4/ip_forward": "1", "kernel.shmmax": "12345"}
    assert oci.run("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax") == "1\n12345"


def test_unknown_capabilities_are_a_warning(oci):
    oci.process["capabilities"]["bounding"] = ["CAP_NO_SUCH"]
    oci.bundle.load("true")
    done = oci("run", "box")
    assert done.returncode == 0 and "CAP_NO_SUCH" in done.stderr
