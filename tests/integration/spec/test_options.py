"""Every option of ``minict run`` that changes the container itself, seen from inside a real one.

(Other options have tests of their own: volumes, networks, names, the life cycle.)
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

import minict as package
from minict.engine.containers import env, policies
from minict.engine.containers.options import ContainerOptions
from minict.engine.spec import devices, security
from minict.engine.spec import resources as limits
from minict.engine.util import units
from minict.runtime import apparmor
from minict.runtime.cgroup import mode
from minict.runtime.errors import ContainerError
from minict.runtime.state import State
from tests.support.command_line import minict, output, refused, run, wait_until
from tests.support.registry_server import tool


@pytest.fixture
def partner(image):
    """The id of a container that runs meanwhile, and whose memory others may share."""
    script = ["sh", "-c", "echo here > /dev/shm/note; echo ready; exec sleep 100"]
    with package.run(image, script, network="none", hostname="partner", ipc="shareable", detach=True) as running:
        wait_until(lambda: "ready" in running.logs())
        yield running.id


def limit(image: str, v1: str, v2: str, *flags: str) -> str:
    """What stands in the file of the container's control group: *v1* as ``CONTROLLER/FILE`` there, *v2* here."""
    file = f"/sys/fs/cgroup/{v2}" if mode() == "v2" else f"/sys/fs/cgroup/{v1}"
    return output(image, f"cat {file}", *flags)


# ---- the object ----------------------------------------------------------------------------------------------------


def test_settings_are_a_json_object():
    settings = ContainerOptions(memory="64m", env="A=1", network=["none"], cpus=0.5, init=True)
    assert json.loads(json.dumps(settings.to_dict())) == settings.to_dict()
    assert ContainerOptions(**settings.to_dict()) == settings
    assert (settings.env, settings.publish, settings.network, ContainerOptions().network) == (
        ["A=1"],
        (),
        ["none"],
        ("bridge",),
    )


def test_numbers_are_accepted_as_texts_and_one_value_as_a_list():
    settings = ContainerOptions(user=0, health_interval=3, group_add=4, stop_timeout=5, label=[6, "a=b"], cpus=0.5)
    assert (settings.user, settings.health_interval, settings.group_add) == ("0", "3s", ["4"])
    assert (settings.stop_timeout, settings.label, settings.cpus) == ("5", ["6", "a=b"], "0.5")


@pytest.mark.parametrize("field", ["workdir", "env", "device", "env_file", "security_opt"])
def test_a_zero_byte_is_refused_wherever_it_stands(field):
    with pytest.raises(ContainerError, match="zero byte"):
        ContainerOptions(**{field: "/a\0b"})


def test_every_option_is_a_field_and_every_field_an_option():
    from minict.engine.cli.commands.run import SETTINGS

    assert sorted(option.field for option in SETTINGS) == sorted(ContainerOptions.__annotations__)
    assert [o.field for o in SETTINGS if ContainerOptions.__annotations__[o.field].startswith("list") != o.many] == []
    assert [
        o.field for o in SETTINGS if (ContainerOptions.__annotations__[o.field] == "bool") != (o.value is None)
    ] == []


def test_resolved_settings_mean_the_same_everywhere(tmp_path, monkeypatch):
    (tmp_path / "env").write_text("A=1\nFROM_HERE\n")
    (tmp_path / "labels").write_text("x=1\n")
    (tmp_path / "profile.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FROM_HERE", "yes")
    before = ContainerOptions(
        env_file="env",
        env=["B=2", "FROM_HERE", "NOWHERE"],
        label_file="labels",
        label="x=2",
        security_opt=["seccomp=profile.json", "no-new-privileges"],
    )
    after = before.resolved()
    monkeypatch.chdir("/")
    monkeypatch.delenv("FROM_HERE")
    assert after.env == ["A=1", "FROM_HERE=yes", "B=2", "FROM_HERE=yes", "NOWHERE"] and after.env_file == []
    assert env.labels(after, {"Labels": {"x": "0", "y": "0"}}) == {"x": "2", "y": "0"}
    assert after.security_opt == ['seccomp={"defaultAction": "SCMP_ACT_ALLOW"}', "no-new-privileges"]
    assert after.resolved() == after


# ---- variables, labels ---------------------------------------------------------------------------------------------


def test_a_file_of_variables_is_read_as_docker_does(image, tmp_path):
    file = tmp_path / "env"
    file.write_bytes(
        b'\xef\xbb\xbf# a comment\n\n  INDENTED=1\nQUOTED="x"\nTRAILING=a \nHASH=a#b\nCR=1\r\nEMPTY=\nEQUAL=a=b\n'
        b"FROM_OUTSIDE\nNOWHERE\n"
    )
    inside = output(image, "env", "--env-file", str(file), "-e", "EMPTY=no", env={**os.environ, "FROM_OUTSIDE": "yes"})
    assert {
        "INDENTED=1",
        'QUOTED="x"',
        "TRAILING=a ",
        "HASH=a#b",
        "CR=1",
        "EMPTY=no",
        "EQUAL=a=b",
        "FROM_OUTSIDE=yes",
    } <= set(inside.splitlines())
    assert "NOWHERE" not in inside


def test_a_name_alone_removes_a_variable(image):
    outside = {name: os.environ[name] for name in os.environ if name != "HOSTNAME"}
    assert "HOSTNAME=" in output(image, "env") and "HOSTNAME=" not in output(
        image, "env", "-e", "HOSTNAME", env=outside
    )


@pytest.mark.parametrize(
    "content,words",
    [
        (b"A B=1\n", ["line 1", "blank"]),
        (b"A=1\n=x\n", ["line 2", "NAME=VALUE"]),
        (b"A=1\n\xff=2\n", ["line 2", "UTF-8"]),
        (b"A=\0\n", ["line 1"]),
    ],
)
def test_a_damaged_file_of_variables_is_refused(image, tmp_path, content, words):
    file = tmp_path / "env"
    file.write_bytes(content)
    refused(run(image, "true", flags=["--env-file", str(file)]), str(file), *words)


def test_labels_and_annotations_are_shown_by_inspect(image, tmp_path):
    (tmp_path / "labels").write_text("# mine\na=1\nb=2\n")
    flags = ["--label-file", str(tmp_path / "labels"), "-l", "b=3", "--label", "c", "--annotation", "org.example.x=y"]
    made = minict("create", *flags, image, "true")
    try:
        told = json.loads(minict("inspect", made.stdout.strip()).stdout)[0]["Config"]["Labels"]
        assert {name: told[name] for name in "abc"} == {"a": "1", "b": "3", "c": ""}
    finally:
        minict("rm", made.stdout.strip())
    settings = {"annotation": ["org.example.x=y"], "network": "none"}
    with package.run(image, "sleep 100", detach=True, **settings) as running:
        assert State(running.id).read_spec().annotations == {"org.example.x": "y"}


# ---- who it is -----------------------------------------------------------------------------------------------------


def test_the_domain_name_is_the_containers_own(image):
    assert output(image, "cat /proc/sys/kernel/domainname", "--domainname", "example.org") == "example.org"
    with open("/proc/sys/kernel/domainname") as file:
        assert file.read().strip() != "example.org"


def test_additional_groups_by_name_and_by_number(image):
    inside = output(image, "grep Groups /proc/self/status", "-u", "nobody", "--group-add", "tty", "--group-add", "4242")
    assert inside.split()[1:] == ["5", "4242", "65534"]


def test_the_primary_group_cannot_be_dropped(image):
    """CVE-2022-36109: it is among the further groups too."""
    assert output(image, "grep Groups /proc/self/status", "-u", "1000:1000").split()[1:] == ["1000"]
    assert output(image, "id -u; id -g", "-u", ":1000").split() == ["0", "1000"]


def test_with_the_hosts_network_it_has_the_hosts_name(image):
    assert output(image, "hostname", network="host") == os.uname().nodename


def test_its_id_is_written_into_a_new_file(image, tmp_path):
    file = tmp_path / "cid"
    name = output(image, "hostname", "--cidfile", str(file))
    assert file.read_text().startswith(name)
    refused(run(image, "true", flags=["--cidfile", str(file)]), str(file), "already")
    refused(run(image, "true", flags=["--cidfile", "/nowhere/cid"]), "/nowhere/cid")


def test_a_missing_image_is_pulled(image, registry, tmp_path):
    name, archive = f"{registry.address}/tiny", f"{tmp_path}/tiny.tar"
    assert minict("save", "-o", archive, image).returncode == 0
    tool("skopeo", "copy", "--dest-tls-verify=false", f"docker-archive:{archive}", f"docker://{name}")
    refused(run(name, "true", flags=["--pull", "never"]), name)
    try:
        for flags, said in (
            ([], "Unable to find image"),
            ([], ""),
            (["--pull", "always"], "Status: Image is up to date"),
        ):
            done = run(name, "echo", "hi", flags=flags)
            assert (done.returncode, done.stdout) == (0, "hi\n") and (
                said in done.stderr if said else done.stderr == ""
            )
    finally:
        minict("rmi", name)


def test_the_image_must_be_of_the_platform(image):
    from minict.engine.distribution.manifest import architecture

    assert output(image, "echo hi", "--platform", f"linux/{architecture()}") == "hi"
    refused(
        run(image, "true", flags=["--platform", "linux/s390x", "--pull", "never"]),
        "linux/s390x",
        architecture(),
        "missing",
    )


# ---- limits --------------------------------------------------------------------------------------------------------


def test_by_default_swap_is_as_large_as_memory(image):
    def swap(*flags):
        return limit(image, "memory/memory.memsw.limit_in_bytes", "memory.swap.max", "-m", "64m", *flags)

    both = mode() != "v2"  # version 1 counts memory and swap together
    assert swap() == str((128 if both else 64) << 20)
    assert swap("--memory-swap", "64m") == str((64 if both else 0) << 20)
    assert swap("--memory-swap", "100m") == str((100 if both else 36) << 20)
    unlimited = swap("--memory-swap", "-1")
    assert unlimited == "max" or int(unlimited) > 1 << 60


def test_a_reservation_is_below_the_limit(image):
    flags = ("-m", "64m", "--memory-reservation", "32m")
    assert limit(image, "memory/memory.soft_limit_in_bytes", "memory.low", *flags) == str(32 << 20)


def test_shares_quota_and_period(image):
    weight = limit(image, "cpu/cpu.shares", "cpu.weight", "--cpu-shares", "512")
    assert weight == ("59" if mode() == "v2" else "512")
    flags = ("--cpu-quota", "20000", "--cpu-period", "40000")
    if mode() == "v2":
        assert limit(image, "", "cpu.max", *flags) == "20000 40000"
    else:
        assert output(image, "cd /sys/fs/cgroup/cpu; cat cpu.cfs_quota_us cpu.cfs_period_us", *flags).split() == [
            "20000",
            "40000",
        ]


def test_the_processors_and_memory_nodes_that_it_may_use(image):
    inside = output(image, "grep _allowed_list /proc/self/status", "--cpuset-cpus", "0", "--cpuset-mems", "0")
    assert inside.split() == ["Cpus_allowed_list:", "0", "Mems_allowed_list:", "0"]


def test_swappiness_is_of_version_1(image):
    done = run(image, "cat", "/sys/fs/cgroup/memory/memory.swappiness", flags=["--memory-swappiness", "0"])
    if mode() == "v2":
        refused(done, "memory.swappiness", "v1")
    else:
        assert done.stdout == "0\n"


def test_without_the_oom_killer_it_waits_for_memory(image):
    done = run(
        image, "head", "-1", "/sys/fs/cgroup/memory/memory.oom_control", flags=["-m", "64m", "--oom-kill-disable"]
    )
    if mode() == "v2":
        refused(done, "memory.disableOOMKiller", "v1")
    else:
        assert done.stdout == "oom_kill_disable 1\n"


def test_its_weight_at_disks_where_the_kernel_has_one(image):
    done = run(
        image, "sh", "-c", "cd /sys/fs/cgroup; cat blkio/blkio*.weight io*.weight", flags=["--blkio-weight", "300"]
    )
    if done.returncode == 125:
        refused(done, "blockIO.weight", "leave it out")
    else:
        assert {"300", "default 300", "default 2930"} & set(done.stdout.splitlines()), done


def test_the_oom_score_decides_which_process_is_killed(image):
    assert output(image, "cat /proc/self/oom_score_adj", "--oom-score-adj", "500") == "500"


def test_the_limits_of_each_process(image):
    flags = ("--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=1000:2000")
    inside = output(image, "cat /proc/self/limits", *flags)
    found = {line[:26].strip(): line[26:].split()[:2] for line in inside.splitlines()}
    assert found["Max open files"] == ["100", "200"] and found["Max core file size"] == ["0", "0"]
    assert found["Max processes"] == ["1000", "2000"]


def test_the_size_of_the_shared_memory(image):
    def kilobytes(*flags):
        return output(image, "df -k /dev/shm | tail -1", *flags).split()[1]

    assert kilobytes() == "65536" and kilobytes("--shm-size", "1m") == "1024"


@pytest.fixture
def disk(tmp_path) -> str:
    """A block device: an unused loop device if there is one, else any."""
    found = devices.nodes_below("/dev")
    return next(path for path in found if os.stat(path).st_mode & 0o170000 == 0o060000)


def test_the_rate_of_a_disk(image, disk):
    number = os.stat(disk).st_rdev
    name = f"{os.major(number)}:{os.minor(number)}"
    if mode() == "v2":
        assert f"{name} rbps=1048576" in limit(image, "", "io.max", "--device-read-bps", f"{disk}:1m")
    else:
        for flag, file, rate in (("read-bps", "read_bps", "1m"), ("write-iops", "write_iops", "1048576")):
            inside = limit(image, f"blkio/blkio.throttle.{file}_device", "", f"--device-{flag}", f"{disk}:{rate}")
            assert inside == f"{name} 1048576"


def test_weights_become_those_of_the_specification(monkeypatch):
    settings = ContainerOptions(blkio_weight="300", pids_limit="-1", cpu_shares="2")
    resources = limits.resources(settings)
    assert (resources.blockIO.weight, resources.pids.limit, resources.cpu.shares) == (300, -1, 2)
    none = ContainerOptions(blkio_weight="0", cpu_shares="0")
    assert limits.resources(none).to_dict() == {"pids": {"limit": limits.DEFAULT_PIDS}}
    monkeypatch.setattr(limits, "grants", lambda name: False)
    assert limits.resources(none).to_dict() == {}


# ---- what is shared ------------------------------------------------------------------------------------------------


def test_the_processes_of_the_host(image):
    pids = output(image, "ls /proc", "--pid", "host").split()
    assert str(os.getpid()) in pids
    assert output(image, "echo $$") == "1"


def test_processes_started_in_the_hosts_pid_namespace_end_with_the_container(image):
    assert output(image, "sleep 543 & echo ok", "--pid", "host") == "ok"
    assert "543" not in subprocess.run(["pgrep", "-af", "^sleep 543"], capture_output=True, text=True).stdout


def test_the_processes_of_another_container(image, partner):
    inside = output(image, "ps", "--pid", f"container:{partner}")
    assert "sleep 100" in inside
    assert "sleep 100" not in output(image, "ps")


def test_the_memory_of_another_container(image, partner):
    script = "cat /dev/shm/note; readlink /proc/self/ns/ipc; echo more >> /dev/shm/note"
    note, own = output(image, script, "--ipc", f"container:{partner}").split()
    assert note == "here" and own != os.readlink("/proc/self/ns/ipc")
    assert output(image, "cat /dev/shm/note", "--ipc", f"container:{partner}").split() == ["here", "more"]
    assert output(image, "ls /dev/shm") == ""


def test_the_memory_of_a_private_container_is_not_shared(image):
    with package.run(image, "sleep 100", network="none", detach=True) as one:
        refused(run(image, "true", flags=["--ipc", f"container:{one.id}"]), "shareable", one.id)


def test_the_memory_of_the_host(image):
    name = f"minict-test-{os.getpid()}"
    with open(f"/dev/shm/{name}", "w"):
        try:
            inside = output(image, "readlink /proc/self/ns/ipc; ls /dev/shm", "--ipc", "host").split()
        finally:
            os.unlink(f"/dev/shm/{name}")
    assert inside[0] == os.readlink("/proc/self/ns/ipc") and name in inside


def test_no_shared_memory_at_all(image):
    assert run(image, "ls", "-d", "/dev/shm", flags=["--ipc", "none"]).returncode == 1


def test_the_cgroups_as_the_host_sees_them(image):
    own = {line.split(":")[2] for line in output(image, "cat /proc/self/cgroup").splitlines()}
    seen = {line.split(":")[2] for line in output(image, "cat /proc/self/cgroup", "--cgroupns", "host").splitlines()}
    assert own == {"/"} and all(path.count("/") >= 2 for path in seen if path != "/") and seen != own


# ---- powers --------------------------------------------------------------------------------------------------------


def test_no_new_privileges(image):
    def inside(*flags):
        return output(image, "grep NoNewPrivs /proc/self/status", *flags).split()[1]

    assert inside() == "0" and inside("--security-opt", "no-new-privileges") == "1"
    assert inside("--security-opt", "no-new-privileges:true") == "1"
    assert inside("--security-opt", "no-new-privileges=false") == "0"


def test_another_profile_or_none(image, tmp_path):
    file = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    file.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    done = run(image, "mkdir", "/x", flags=["--security-opt", f"seccomp={file}"])
    assert done.returncode == 1 and "No space left" in done.stderr
    script = "grep '^Seccomp:' /proc/self/status"
    assert output(image, script) == output(image, script, "--security-opt", "seccomp=builtin") == "Seccomp:\t2"
    assert output(image, script, "--security-opt", "seccomp=unconfined") == "Seccomp:\t0"


def test_masked_paths_can_be_unmasked_and_others_masked(image):
    count = "grep -c . /proc/interrupts || true"
    assert output(image, count) == "0"
    for option in ("systempaths=unconfined", "unmask=ALL", "unmask=/proc/interrupts"):
        assert int(output(image, count, "--security-opt", option)) > 0
    assert output(image, "cat /proc/version", "--security-opt", "mask=/proc/version:/etc") == ""
    assert output(image, "ls /etc", "--security-opt", "mask=/etc") == ""
    assert (
        output(
            image,
            "echo x > /proc/sys/kernel/domainname; cat /proc/sys/kernel/domainname",
            "--security-opt",
            "unmask=/proc/sys",
        )
        == "x"
    )


def test_options_of_security_modules_without_effect_are_reported(image):
    done = run(image, "echo", "hi", flags=["--security-opt", "apparmor=unconfined", "--security-opt", "label=disable"])
    assert (done.returncode, done.stdout) == (0, "hi\n")
    expected = ["minict: --security-opt label=disable has no effect: minict does not use SELinux"]
    if not apparmor.is_enabled():
        expected.insert(0, "minict: --security-opt apparmor=unconfined has no effect: this kernel has no AppArmor")
    assert done.stderr.splitlines() == expected


def test_the_masks_hide_what_they_name_by_default(image):
    """Each path of the two lists that this kernel has: empty, or not to be written to."""
    script = "".join(f"[ -d {path} ] && ls -A {path} || cat {path} 2>/dev/null;" for path in security.default_masked())
    assert output(image, f"{script} true") == ""
    mounts = output(image, "cat /proc/mounts")
    options = {line.split()[1]: line.split()[3].split(",") for line in mounts.splitlines()}
    assert [path for path in security.READ_ONLY if os.path.exists(path) and "ro" not in options.get(path, ["ro"])] == []
    assert "ro" in options["/sys"] and "ro" in options["/sys/fs/cgroup"]
    assert "Read-only" in run(image, "sh", "-c", "echo 1 > /proc/sys/kernel/panic").stderr


def test_a_privileged_container_is_the_hosts_root(image):
    script = (
        "grep -E '^(CapEff|Seccomp):' /proc/self/status; mount -t tmpfs none /mnt && echo mounted; "
        "touch /sys/kernel/x 2>&1 | grep -c Read-only; ls -d /dev/kmsg; : > /dev/kmsg && echo written; "
        "mkdir $(ls -d /sys/fs/cgroup/pids 2>/dev/null || echo /sys/fs/cgroup)/below && echo made"
    )
    words = output(image, script, "--privileged").split()
    with open("/proc/self/status") as file:
        bounding = next(line.split()[1] for line in file if line.startswith("CapBnd"))
    assert words == ["CapEff:", bounding, "Seccomp:", "0", "mounted", "0", "/dev/kmsg", "written", "made"]
    assert output(image, "grep CapEff /proc/self/status", "--privileged", "--cap-drop", "ALL").split()[1] == "0" * 16


def test_without_privileges_a_device_of_the_host_can_not_be_used(image):
    done = run(image, "sh", "-c", "mknod /kmsg c 1 11 && : > /kmsg")
    assert done.returncode != 0 and "not permitted" in done.stderr


def test_a_device_is_there_and_can_be_used(image):
    script = "ls -l /dev/kmsg | cut -c1; : > /dev/kmsg && echo opened"
    assert output(image, script, "--device", "/dev/kmsg").split() == ["c", "opened"]
    assert output(image, ": > /dev/log/x && echo opened", "--device", "/dev/kmsg:/dev/log/x:w") == "opened"
    done = run(image, "sh", "-c", ": > /dev/kmsg", flags=["--device", "/dev/kmsg:r"])
    assert done.returncode != 0 and "not permitted" in done.stderr


def test_a_directory_of_devices(image, tmp_path):
    os.mkdir(tmp_path / "below")
    os.mknod(tmp_path / "below" / "log", 0o020660, os.makedev(1, 11))
    os.chmod(tmp_path / "below" / "log", 0o660)
    os.mknod(tmp_path / "null", 0o020666, os.makedev(1, 3))
    os.symlink("null", tmp_path / "link")
    nodes, rules, _ = devices.devices(ContainerOptions(device=[f"{tmp_path}:/dev/there:w"]))
    assert [(node.path, node.minor) for node in nodes] == [("/dev/there/below/log", 11), ("/dev/there/null", 3)]
    assert [(rule.type, rule.minor, rule.access) for rule in rules] == [("c", 11, "w"), ("c", 3, "w")]
    script = ": > /dev/there/below/log && ls -l /dev/there/below/log | cut -d' ' -f1"
    assert output(image, script, "--device", f"{tmp_path}:/dev/there") == "crw-rw----"


def test_a_rule_for_devices_that_are_not_there_yet(image):
    assert (
        output(image, "mknod /kmsg c 1 11 && : > /kmsg && echo opened", "--device-cgroup-rule", "c 1:* w") == "opened"
    )


def test_a_sysctl_of_its_own_namespaces(image):
    flags = ("--sysctl", "kernel.msgmax=4096", "--sysctl", "net.ipv4.ip_default_ttl=33")
    script = "cd /proc/sys; cat kernel/msgmax net/ipv4/ip_default_ttl"
    assert output(image, script, *flags).split() == ["4096", "33"]
    assert output(image, script).split() != ["4096", "33"]


def test_ports_and_pings_are_for_every_user(image):
    script = "cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start ping_group_range"
    assert output(image, script).split() == ["0", "0", "2147483647"]
    assert output(image, script, "--sysctl", "net.ipv4.ip_unprivileged_port_start=80").split()[0] == "80"


@pytest.mark.parametrize(
    "network,flags,words",
    [
        ("host", ["--sysctl", "net.ipv4.ip_forward=0"], ["net.ipv4.ip_forward"]),
        ("none", ["--ipc", "host", "--sysctl", "kernel.msgmax=4096"], ["kernel.msgmax"]),
    ],
)
def test_a_sysctl_of_the_host_is_refused(image, network, flags, words):
    refused(run(image, "true", flags=flags, network=network), "host", *words)


@pytest.mark.parametrize("fake", ["link", "file", "zero"])
def test_a_fake_null_device_masks_nothing(image, tmp_path, fake):
    """CVE-2025-31133: a masked file is covered by the host's /dev/null, whatever a volume puts in its place."""
    null = tmp_path / "null"
    if fake == "link":
        null.symlink_to("/proc/sys/kernel/core_pattern")
    elif fake == "file":
        null.write_text("")
    else:
        os.mknod(null, 0o020666, os.makedev(1, 5))
    pattern = open("/proc/sys/kernel/core_pattern").read()
    done = run(image, "sh", "-c", "head -c 100 /proc/interrupts", flags=["-v", f"{tmp_path}:/dev"])
    assert (done.returncode, done.stdout) == (0, ""), done
    assert open("/proc/sys/kernel/core_pattern").read() == pattern


# ---- how it lives and ends -----------------------------------------------------------------------------------------


def test_the_restart_policy():
    def read(text, **more):
        return policies.restart(ContainerOptions(restart=text, **more))

    assert read(None) == read("no", rm=True) == ("no", None)
    assert (read("always"), read("unless-stopped")) == (("always", None), ("unless-stopped", None))
    assert (read("on-failure"), read("on-failure:3"), read("on-failure:0")) == (
        ("on-failure", None),
        ("on-failure", 3),
        ("on-failure", None),
    )


def test_the_stop_signal_and_timeout():
    assert (
        policies.stop_signal(ContainerOptions(), {}) == 15
        and policies.stop_signal(ContainerOptions(), {"StopSignal": "SIGQUIT"}) == 3
    )
    assert policies.stop_signal(ContainerOptions(stop_signal="int"), {"StopSignal": "SIGQUIT"}) == 2
    assert [units.signal_of(text, "") for text in ("9", 9, "sigkill", "RTMIN+3", "SIGRTMIN")] == [9, 9, 9, 37, 34]
    assert (
        policies.stop_timeout(ContainerOptions()) == 10
        and policies.stop_timeout(ContainerOptions(stop_timeout="-1")) == -1
    )


def test_the_health_check_is_the_users_on_top_of_the_images():
    own = {"Test": ["CMD", "true"], "Interval": 1_000_000_000, "Retries": 5}
    assert (
        policies.healthcheck(ContainerOptions(), {})
        is None
        is policies.healthcheck(ContainerOptions(health_interval="1s"), {})
    )
    assert policies.healthcheck(ContainerOptions(), {"Healthcheck": own}) == {
        "Test": ["CMD", "true"],
        "Interval": 1_000_000_000,
        "Timeout": 30_000_000_000,
        "StartPeriod": 0,
        "StartInterval": 5_000_000_000,
        "Retries": 5,
    }
    asked = ContainerOptions(
        health_cmd="curl -f localhost", health_interval="1m30s", health_timeout="500ms", health_retries=2
    )
    found = policies.healthcheck(asked, {"Healthcheck": own})
    assert found["Test"] == ["CMD-SHELL", "curl -f localhost"] and found["Retries"] == 2
    assert (found["Interval"], found["Timeout"]) == (90_000_000_000, 500_000_000)
    assert policies.healthcheck(ContainerOptions(no_healthcheck=True), {"Healthcheck": own}) is None
    assert policies.healthcheck(ContainerOptions(), {"Healthcheck": {"Test": ["NONE"]}}) is None


@pytest.mark.parametrize(
    "own",
    [
        [],
        "x",
        {"Test": "true"},
        {"Test": ["RUN", "x"]},
        {"Test": ["CMD"]},
        {"Test": [1]},
        {"Test": ["CMD", "x"], "Interval": -1},
        {"Test": ["CMD", "x"], "Retries": "3"},
    ],
)
def test_an_invalid_health_check_is_named(own):
    if own == []:
        assert policies.healthcheck(ContainerOptions(), {"Healthcheck": own}) is None
        return
    with pytest.raises(ContainerError, match="--no-healthcheck"):
        policies.healthcheck(ContainerOptions(), {"Healthcheck": own})


def test_the_log_and_its_size():
    other = {"labels": [], "env": []}
    assert policies.log(ContainerOptions()) == {"driver": "json-file", "max_size": None, "max_file": None, **other}
    wanted = ContainerOptions(log_driver="json-file", log_opt=["max-size=10m", "max-file=3"])
    assert policies.log(wanted) == {"driver": "json-file", "max_size": 10 << 20, "max_file": 3, **other}


# ---- wrong values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option,value,words",
    [
        ("--env-file", "/nowhere", ["/nowhere"]),
        ("--env-file", "/etc", ["/etc", "directory"]),
        ("--label", "=x", ["NAME=VALUE"]),
        ("--label-file", "/nowhere", ["/nowhere"]),
        ("--annotation", "=x", ["--annotation", "NAME=VALUE"]),
        ("--group-add", "strangers", ["strangers", "/etc/group"]),
        ("--group-add", "-1", ["-1"]),
        ("--group-add", "4294967295", ["4294967294"]),
        ("--domainname", "a b", ["a b"]),
        ("--domainname", "x" * 65, ["64"]),
        ("--memory-swap", "64m", ["add --memory"]),
        ("--memory-swap", "x", ["x", "128m"]),
        ("--memory-reservation", "x", ["x"]),
        ("--memory-swappiness", "101", ["0 to 100"]),
        ("--oom-score-adj", "1001", ["-1000 to 1000"]),
        ("--cpu-shares", "1", ["2 to 262144"]),
        ("--cpu-shares", "many", ["many"]),
        ("--cpu-period", "999", ["1000 to 1000000"]),
        ("--cpu-quota", "999", ["1000"]),
        ("--cpu-quota", "-2", ["-2"]),
        ("--cpuset-cpus", "99", ["99", "this machine has"]),
        ("--cpuset-cpus", "1-0", ["1-0"]),
        ("--cpuset-cpus", "a", ["a", "0-1,3"]),
        ("--cpuset-cpus", "", ["0-1,3"]),
        ("--cpuset-mems", "77", ["77"]),
        ("--pids-limit", "-2", ["-2"]),
        ("--blkio-weight", "9", ["10 to 1000"]),
        ("--device-read-bps", "/dev/null:1m", ["/dev/null", "block"]),
        ("--device-read-bps", "/dev/nowhere:1m", ["/dev/nowhere"]),
        ("--device-read-bps", "/dev/sda", ["/dev/sda:1m"]),
        ("--device-write-iops", "1m", ["/dev/sda:100"]),
        ("--ulimit", "files=1", ["files", "nofile"]),
        ("--ulimit", "nofile", ["nofile=1024:4096"]),
        ("--ulimit", "nofile=2:1", ["soft", "hard"]),
        ("--ulimit", "nofile=x", ["x"]),
        ("--ulimit", "nofile=-1:5", ["soft"]),
        ("--ulimit", "nofile=99999999999999", ["RLIMIT_NOFILE"]),
        ("--shm-size", "0", ["64m"]),
        ("--shm-size", "x", ["x"]),
        ("--pid", "hots", ["hots", "host", "container:NAME"]),
        ("--pid", "container:", ["container:NAME"]),
        ("--pid", "container:nowhere", ["nowhere"]),
        ("--pid", "container:../x", ["../x"]),
        ("--ipc", "shared", ["shared", "shareable"]),
        ("--ipc", "container:nowhere", ["nowhere"]),
        ("--uts", "hots", ["hots"]),
        ("--userns", "mine", ["mine", "private"]),
        ("--userns", "container:x", ["private"]),
        ("--cgroupns", "mine", ["mine", "private"]),
        ("--cgroup-parent", "/a/../b", ["/a/../b", "'..'"]),
        ("--cgroup-parent", "/", ["empty name"]),
        ("--security-opt", "seccomp=/nowhere", ["/nowhere", "unconfined"]),
        ("--security-opt", "seccomp=/etc/hostname", ["/etc/hostname"]),
        ("--security-opt", "seccomp=", ["seccomp=FILE"]),
        ("--security-opt", "seccomp={}", ["defaultAction"]),
        ("--security-opt", "no-new-privileges=maybe", ["maybe"]),
        ("--security-opt", "mask=etc", ["mask=PATH"]),
        ("--security-opt", "fly", ["fly", "no-new-privileges"]),
        ("--device", "/dev/nowhere", ["/dev/nowhere"]),
        ("--device", "/etc/passwd", ["/etc/passwd", "-v"]),
        ("--device", "/etc", ["no device"]),
        ("--device", "null", ["absolute"]),
        ("--device", "/dev/null:x", ["HOST"]),
        ("--device", "/dev/null:/x:rq", ["rwm"]),
        ("--device-cgroup-rule", "c 1:3", ["'c 188:* rw'"]),
        ("--device-cgroup-rule", "x 1:3 r", ["x 1:3"]),
        ("--device-cgroup-rule", "c 1 r", ["c 1 r"]),
        ("--device-cgroup-rule", "c 1:99999999999 r", ["c 1"]),
        ("--sysctl", "vm.swappiness=1", ["vm.swappiness", "host"]),
        ("--sysctl", "net.ipv4.ip_forward", ["net.ipv4.ip_forward"]),
        ("--sysctl", "net.ipv4.ip_forward=x", ["net.ipv4.ip_forward"]),
        ("--sysctl", "net.nowhere=1", ["net.nowhere"]),
        ("--sysctl", "net/../vm/swappiness=1", ["swappiness"]),
        ("--sysctl", "net..=1", ["net.."]),
        ("--restart", "sometimes", ["sometimes", "unless-stopped"]),
        ("--restart", "always:3", ["on-failure"]),
        ("--restart", "on-failure:x", ["x"]),
        ("--restart", "on-failure:-1", ["-1"]),
        ("--stop-signal", "SIGFLY", ["SIGFLY", "SIGTERM"]),
        ("--stop-signal", "65", ["65"]),
        ("--stop-signal", "0", ["0"]),
        ("--stop-timeout", "x", ["x"]),
        ("--stop-timeout", "-2", ["-2"]),
        ("--health-interval", "30", ["30", "30s"]),
        ("--health-interval", "-1s", ["-1s"]),
        ("--health-timeout", "1us", ["1ms"]),
        ("--health-retries", "-1", ["-1"]),
        ("--log-driver", "syslog", ["syslog", "json-file"]),
        ("--log-opt", "colour=red", ["colour", "max-size"]),
        ("--log-opt", "max-size=x", ["max-size", "128m"]),
        ("--log-opt", "max-file=0", ["max-file"]),
        ("--pull", "often", ["often", "missing"]),
        ("--platform", "windows/amd64", ["windows", "Linux"]),
    ],
)
def test_a_bad_value_is_named_with_what_would_be_right(image, option, value, words):
    refused(run(image, "true", flags=[option, value]), *words)


@pytest.mark.parametrize(
    "flags,words",
    [
        (["-m", "64m", "--memory-swap", "32m"], ["--memory-swap", "-1"]),
        (["-m", "64m", "--memory-reservation", "65m"], ["--memory-reservation"]),
        (["--cpus", "1", "--cpu-quota", "5000"], ["--cpus", "--cpu-quota"]),
        (["--cpus", "1", "--cpu-period", "5000"], ["--cpus", "--cpu-period"]),
        (["--rm", "--restart", "always"], ["--rm", "--restart"]),
        (["--no-healthcheck", "--health-cmd", "true"], ["--no-healthcheck"]),
        (["--uts", "host", "--domainname", "x"], ["--domainname"]),
        (["--privileged", "--userns", "private"], ["--privileged", "--userns"]),
        (["--pid", "host", "--userns", "private"], ["--pid", "--userns"]),
        (["--ipc", "host", "--userns", "private"], ["--ipc", "--userns"]),
        (["--cgroupns", "host", "--userns", "private"], ["--cgroupns", "--userns"]),
    ],
)
def test_two_options_that_contradict_each_other(image, flags, words):
    refused(run(image, "true", flags=flags), *words)


def test_users_of_its_own_have_no_rights_in_the_hosts_network(image):
    refused(run(image, "true", flags=["--userns", "private"], network="host"), "--network", "--userns")
