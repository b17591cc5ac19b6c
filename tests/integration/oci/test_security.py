"""What a runtime must not do in silence: rights that nobody gave, other processes that die, a host that is renamed."""

from __future__ import annotations

import os
import subprocess

import pytest

from minict.kernel import mount
from minict.lab import host
from minict.runtime.cgroup import Cgroup
from tests.support.command_line import wait_until
from tests.support.oci import oci  # noqa: F401

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def test_without_a_list_of_capabilities_there_are_none(oci):
    del oci.process["capabilities"]
    lines = oci.run("grep Cap /proc/self/status").splitlines()
    assert lines == [f"{name}:\t{0:016x}" for name in SETS]


@pytest.mark.parametrize("field", ["hostname", "domainname"])
def test_the_host_is_not_renamed(oci, field):
    oci.config.pop("hostname")
    oci.config[field] = "changed"
    oci.linux["namespaces"] = [each for each in oci.linux["namespaces"] if each["type"] != "uts"]
    oci.bundle.load("true")
    before = os.uname().nodename, open("/proc/sys/kernel/domainname").read()
    oci.refused("run", "box", told="uts namespace")
    assert before == (os.uname().nodename, open("/proc/sys/kernel/domainname").read())


@pytest.mark.skipif(os.path.exists("/sys/fs/selinux/enforce"), reason="this kernel applies labels")
def test_a_label_without_selinux_is_refused(oci):
    oci.process["selinuxLabel"] = "system_u:system_r:svirt_lxc_net_t:s0:c124,c675"
    oci.bundle.load("true")
    oci.refused("run", "box", told="this kernel has no SELinux")
    del oci.process["selinuxLabel"]
    oci.linux["mountLabel"] = "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811"
    oci.bundle.load("true")
    oci.refused("run", "box", told="linux.mountLabel")


def test_a_cgroup_mount_without_a_cgroup_namespace_shows_the_containers_own_groups(oci):
    oci.linux["namespaces"] = [each for each in oci.linux["namespaces"] if each["type"] != "cgroup"]
    oci.linux["resources"]["pids"] = {"limit": 23}
    seen = oci.run(
        "cd /sys/fs/cgroup; find . -name pids.max | xargs cat; find . -name cgroup.procs | xargs cat | sort -u | wc -l"
    )
    assert seen.splitlines()[0] == "23"
    assert oci.run("find /sys/fs/cgroup -mindepth 2 -type d | head -1 | wc -l") == "0", "groups of others"
    assert oci.run("for each in /sys/fs/cgroup/*; do mkdir $each/x && echo made; done 2>/dev/null; true") == ""


def stranger(path: str) -> subprocess.Popen:
    """A process of somebody else in the group *path*."""
    group = Cgroup(path)
    directory = group.v2_directory() or group.directories["pids"]
    os.makedirs(directory)
    process = subprocess.Popen(["sleep", "1000"])
    with open(f"{directory}/cgroup.procs", "w") as file:
        file.write(str(process.pid))
    return process


def test_a_group_with_processes_of_others_is_refused(oci):
    path = oci.linux["cgroupsPath"]
    process = stranger(f"{path}/below")
    try:
        oci.bundle.load("true")
        oci.refused("run", "box", told=f"{path} is not empty: 1 processes")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        Cgroup(path).remove()


def test_delete_kills_no_process_that_came_later(oci):
    path = oci.linux["cgroupsPath"]
    oci.begin("sleep", "1000")
    process = stranger(f"{path}/below")
    try:
        oci.do("delete", "--force", "box")
        assert process.poll() is None and process.pid in Cgroup(path).processes()
    finally:
        process.kill()
        process.wait()
        Cgroup(path).remove()


def test_a_group_that_was_there_before_stays(oci):
    group = Cgroup(oci.linux["cgroupsPath"])
    group.create()
    oci.begin("sleep", "1000")
    oci.do("delete", "--force", "box")
    assert group.processes() == [] and all(os.path.isdir(each) for each in group.directories.values())
    group.remove()


def test_without_a_pid_namespace_all_processes_are_killed(oci):
    oci.linux["namespaces"] = [each for each in oci.linux["namespaces"] if each["type"] != "pid"]
    oci.begin("sh", "-c", "sleep 1000 & echo up; exec sleep 2000")
    wait_until(lambda: oci.output() == "up\n")
    group = Cgroup(oci.linux["cgroupsPath"])
    assert len(group.processes()) == 2
    oci.do("kill", "box", "KILL")
    wait_until(lambda: group.processes() == [])
    oci.stopped()


def test_a_relative_path_of_a_cgroup_is_always_the_same_and_systemds_notation_is_refused(oci):
    oci.linux["cgroupsPath"] = "some/where"
    found = {oci.run("grep -c some/where /proc/1/cgroup; true") for _ in range(2)}
    assert found == {"0"}, "in the cgroup namespace it is the root"
    oci.begin("sleep", "1000")
    with open(f"/proc/{oci.state()['pid']}/cgroup") as file:
        assert f"/{os.environ['MINICT_CGROUP']}/some/where\n" in file.read()
    oci.do("delete", "--force", "box")
    for directory in {
        os.path.dirname(each) for each in Cgroup(f"/{os.environ['MINICT_CGROUP']}/some/where").directories.values()
    }:
        os.rmdir(directory)
    oci.linux["cgroupsPath"] = "system.slice:docker:box"
    oci.bundle.load("true")
    oci.refused("run", "box", told="system.slice:docker:box")


def test_a_child_that_is_killed_before_its_execve_is_not_created(oci):
    script = """kill -9 "$(sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p')" """
    oci.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    oci.bundle.load("true")
    oci.refused("create", "box", told="killed before it could execute")
    assert oci.do("list", "-q") == ""


def test_a_filter_that_forbids_our_own_last_calls_does_not_hinder_us(oci):
    names = "close_range openat2 prctl capset setgroups setresuid setresgid seccomp"
    oci.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": names.split(), "action": "SCMP_ACT_ERRNO"}],
    }
    assert oci.run("grep Seccomp: /proc/self/status") == "Seccomp:\t2"


def test_mounts_have_the_propagation_that_podman_writes(oci):
    for each in oci.config["mounts"]:
        each.setdefault("options", []).append("rprivate")
    assert oci.run("echo up") == "up"


def test_a_copied_directory_has_the_files_beneath(oci):
    os.makedirs(f"{oci.bundle.rootfs}/data/deep")
    os.chmod(f"{oci.bundle.rootfs}/data", 0o1770)
    with open(f"{oci.bundle.rootfs}/data/deep/file", "w") as file:
        file.write("text")
        os.fchown(file.fileno(), 7, 8)
        os.fchmod(file.fileno(), 0o4755)
    os.symlink("/etc/passwd", f"{oci.bundle.rootfs}/data/link")
    os.mkfifo(f"{oci.bundle.rootfs}/data/pipe")
    oci.config["mounts"].append({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]})
    seen = oci.run(
        "cd /data; stat -c '%a %u %g' . deep/file; readlink link; test -p pipe && cat deep/file; echo; echo x > new; ls"
    )
    assert seen.split() == ["1770", "0", "0", "4755", "7", "8", "/etc/passwd", "text", "deep", "link", "new", "pipe"]
    assert not os.path.exists(f"{oci.bundle.rootfs}/data/new")


@pytest.mark.parametrize(
    "option", ["iversion", "noiversion", "silent", "loud", "symfollow", "acl", "noacl", "lazytime", "nolazytime"]
)
def test_every_option_of_the_specification_is_known(oci, option):
    oci.config["mounts"].append({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": [option]})
    assert oci.run("grep -c ' /data tmpfs ' /proc/mounts") == "1"


@pytest.mark.parametrize(
    "option,flags", [("rnoatime", "noatime"), ("rro", "ro"), ("rstrictatime", ""), ("rrelatime", "relatime")]
)
def test_recursive_options_reach_the_mounts_inside(oci, option, flags):
    source = f"{oci.place}/source"
    os.makedirs(f"{source}/inside")
    mount.mount("tmpfs", f"{source}/inside", "tmpfs")
    try:
        oci.config["mounts"].append(
            {"destination": "/data", "type": "bind", "source": source, "options": ["rbind", option]}
        )
        found = oci.run("grep ' /data' /proc/mounts").splitlines()
    finally:
        mount.umount2(f"{source}/inside")
    assert len(found) == 2
    words = [line.split()[3].split(",") for line in found]
    assert all(flags in each if flags else not {"relatime", "noatime"} & set(each) for each in words), found


def test_nothing_is_left_of_a_container_that_could_not_be_made(oci):
    before = host.snapshot()
    oci.config["mounts"].append({"destination": "/data", "type": "no-such", "source": "none"})
    oci.bundle.load("true")
    oci.refused("create", "box", told="no-such on /data")
    assert host.settle(before, 10, lambda: None) == []
