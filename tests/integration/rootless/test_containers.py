"""An ordinary user's containers: run, images, volumes, exec, build, limits; and what is refused by name."""

from __future__ import annotations

import errno
import glob
import os
import stat

import pytest

from minict.kernel import mount
from minict.runtime import cgroup
from tests.support.command_line import Terminal, wait_until
from tests.support.ordinary_user import COUNT, FIRST, UID
from tests.support.seccomp_filter import fail_every_mount


def refused(done, *words: str) -> None:
    """Check that *done* failed with one sentence, which has all *words* in it."""
    assert done.returncode and done.stdout == "" and done.stderr.count("\n") == 1, done
    assert not [word for word in words if word not in done.stderr], done.stderr


def test_root_inside_is_the_user_outside(ada):
    script = "id -u; cat /proc/self/uid_map; touch /home/mine; sleep 1000 & exit 7"
    done = ada.minict(
        "run", "--name", "first", "--network", "none", "-v", f"{ada.home}:/home", "tiny", "sh", "-c", script
    )
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.split() == ["0", "0", str(UID), "1", "1", str(FIRST), str(COUNT)]
    assert os.stat(f"{ada.home}/mine").st_uid == UID
    assert "first" in ada.output("ps", "-a") and "Exited (7)" in ada.output("ps", "-a")


def test_other_users_are_ids_of_the_range(ada):
    name = f"{ada.home}/others"
    os.mkdir(name)
    os.chown(name, UID, UID)
    ada.run("chown 33 /home/others; su -s /bin/sh nobody -c 'id -u'", "--network", "none", "-v", f"{ada.home}:/home")
    assert os.stat(name).st_uid == FIRST + 32  # 1 is the first of the range
    assert ada.output("unshare", "stat", "-c", "%u", name) == "33"


def test_the_namespaces_are_entered_and_not_made_again(ada):
    first = ada.output("unshare", "readlink", "/proc/self/ns/user", "/proc/self/ns/mnt")
    keeper = ada.keeper
    assert ada.output("unshare", "readlink", "/proc/self/ns/user", "/proc/self/ns/mnt") == first
    assert ada.keeper == keeper
    assert first.split()[0] != os.readlink("/proc/self/ns/user")


def test_a_container_of_a_python_ends_without_a_cgroup_to_thaw(ada):
    code = 'import minict; print(minict.run("tiny", "sleep 100000", network="none", detach=True).stop(timeout=0))'
    done = ada.execute(*ada.program, "unshare", ada.program[0], "-c", code)
    assert (done.stdout, done.stderr) == ("137\n", "")


def test_a_container_in_the_background_with_exec_and_a_terminal(ada):
    id = ada.output("run", "-d", "--name", "web", "tiny", "sh", "-c", "echo ready; exec sleep 1000")
    wait_until(lambda: ada.output("logs", "web") == "ready")
    assert ada.output("exec", "web", "hostname") == id[:12]
    assert "sleep 1000" in ada.output("top", "web")
    with Terminal(command=ada.words(*ada.program, "exec", "-it", "web", "sh")) as terminal:
        terminal.type("tty; exit 3\n")
        terminal.expect("/dev/pts/0")
        assert terminal.status() == 3
    assert ada.output("restart", "-t", "0", "web") == "web"
    wait_until(lambda: ada.output("logs", "web") == "ready\nready")
    assert ada.output("stop", "-t", "0", "web") == "web"
    assert ada.output("rm", "web") == "web"


def test_relative_paths_begin_where_the_user_is(ada):
    os.makedirs(f"{ada.home}/project")
    with open(f"{ada.home}/project/Dockerfile", "w") as file:
        file.write("FROM tiny\nCOPY Dockerfile /copied\n")
    os.chmod(f"{ada.home}/project", 0o755)
    assert ada.output("unshare", "pwd", cwd=f"{ada.home}/project") == f"{ada.home}/project"
    assert ada.run("ls /here", "--network", "none", "-v", "./project:/here") == "Dockerfile"
    ada.output("build", "-q", "-t", "copied", ".", cwd=f"{ada.home}/project")
    assert ada.run("ls /copied", "--network", "none", image="copied") == "/copied"


def test_volumes_belong_to_the_user(ada):
    assert ada.output("volume", "create", "data") == "data"
    ada.run("echo kept > /data/word", "--network", "none", "-v", "data:/data")
    assert ada.run("cat /data/word", "--network", "none", "-v", "data:/data:ro") == "kept"
    assert ada.run("df /mem | grep -c tmpfs", "--network", "none", "--tmpfs", "/mem") == "1"
    place = ada.output("volume", "inspect", "--format", "{{.Mountpoint}}", "data")
    assert place.startswith(f"{ada.home}/.local/share/minict/") and os.stat(place).st_uid == UID
    assert ada.output("volume", "rm", "data") == "data"


def test_build_diff_and_commit(ada):
    text = "FROM tiny\nRUN mkdir /etc/new && rm -r /home && echo built > /etc/new/word\nCMD cat /etc/new/word\n"
    ada.output("build", "-q", "-t", "mine", "-", input=text)
    assert ada.output("run", "--rm", "--network", "none", "mine") == "built"
    assert ada.run("ls -d /home 2>&1 || true", "--network", "none", image="mine").endswith("No such file or directory")
    ada.minict(
        "run", "--name", "changed", "--network", "none", "tiny", "sh", "-c", "rm -r /root; mkdir /root; echo > /root/a"
    )
    assert {"C /root", "A /root/a"} <= set(ada.output("diff", "changed").splitlines())
    ada.output("commit", "changed", "committed")
    assert ada.run("ls -A /root", "--network", "none", image="committed") == "a"


def test_an_image_with_many_owners_is_pulled_from_a_registry_on_loopback(ada, registry, layout):
    layout.image("app", [{"etc/word": "pulled\n"}, {"deep/.wh..wh..opq": "", "deep/new": "x"}], cmd="/word")
    name = registry.push(layout, "app")
    assert ada.output("pull", "-q", name).endswith("/app:latest")
    assert ada.output("images", "--format", "{{.Repository}}", name)


def test_an_image_with_other_owners_is_refused_to_a_user_with_one_id(lonely, registry, layout, tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "layer.tar", "w") as tar:
        entry = tarfile.TarInfo("srv/file")
        entry.uid = entry.gid = 33
        tar.addfile(entry)
    layout.image("owned", [tmp_path / "layer.tar"], cmd="/word")
    name = registry.push(layout, "owned")
    done = lonely.minict("pull", "-q", name)
    refused(done, "srv/file", "33:33", "uidmap", "usermod --add-subuids", "ada", "minict unshare --stop")
    assert lonely.run("id -u; cat /proc/self/uid_map").split() == ["0", "0", str(UID), "1"]


def test_host_network_and_host_processes(ada):
    assert ada.run("ip -o link | grep -c uplink0", "--network", "host") == "1"
    assert str(os.getpid()) in ada.run("ls /proc", "--pid", "host", "--network", "none").split()


def test_devices_are_the_hosts_with_the_users_rights(ada):
    assert ada.run("echo > /dev/null && head -c 3 /dev/zero | wc -c", "--network", "none") == "3"
    assert (
        ada.run("cat /dev/net/tun 2>&1 | grep -c 'bad state'", "--device", "/dev/net/tun", "--network", "none") == "1"
    )
    assert ada.run("mknod /x c 1 3 2>&1 || true", "--privileged", "--network", "none").endswith(
        "Operation not permitted"
    )


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--userns", "private"], ["--userns private needs root"]),
        (["--device-cgroup-rule", "c 188:* rw"], ["--device-cgroup-rule needs root"]),
        (["-p", "80:80"], ["80/tcp needs root", "ip_unprivileged_port_start=80"]),
    ],
)
def test_what_needs_root_is_refused_by_name(ada, flags, words):
    refused(ada.minict("run", "--rm", *flags, "tiny", "true"), *words)


def test_limits_without_delegation_are_refused_with_the_remedy(ada):
    """Each user of these tests is in a control group of root's."""
    for flags in (["--memory", "64m"], ["--pids-limit", "9"], ["--cpus", "1"]):
        refused(ada.minict("run", "--rm", "--network", "none", *flags, "tiny", "true"), "not delegated", "loginctl")
    ada.output("run", "-d", "--name", "one", "--network", "none", "tiny", "sleep", "1000")
    refused(ada.minict("pause", "one"), "not delegated")
    assert not glob.glob(f"{ada.runtime}/minict/containers/*/paused")  # its health goes on being checked
    refused(ada.minict("stats", "--no-stream"), "not delegated")


def test_doctor_of_an_ordinary_user(ada, lonely_account):
    done = ada.minict("doctor")
    assert done.returncode == 0 and "This machine can run containers." in done.stdout, done
    assert "ok   way out" in done.stdout and "containers, images, volumes and networks work" in done.stdout


@pytest.fixture
def ubuntu():
    """Ubuntu's restriction: its setting, and a user namespace in which nothing may be mounted. The kernel of the tests
    need not have it."""
    setting = "apparmor_restrict_unprivileged_userns"
    files = {name: open(f"/proc/sys/kernel/{name}").read() for name in ("cap_last_cap", "pid_max", "ngroups_max")}
    mount.mount("ubuntu", "/proc/sys/kernel", "tmpfs", 0, "mode=755")
    for name, text in {**files, setting: "1\n"}.items():
        with open(f"/proc/sys/kernel/{name}", "w") as file:
            file.write(text)
    yield {"preexec_fn": lambda: fail_every_mount(errno.EPERM)}
    mount.umount2("/proc/sys/kernel", mount.MNT_DETACH)


def test_ubuntus_restriction_is_named_with_its_remedy(ada, ubuntu):
    remedy = "an administrator runs sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    refused(ada.minict("run", "--rm", "tiny", "true", **ubuntu), "AppArmor forbids user namespaces", remedy)
    done = ada.minict("doctor", **ubuntu)
    line = next(line for line in done.stdout.splitlines() if line.startswith("no   root"))
    assert done.returncode == 1 and "AppArmor" in line and remedy in line, done


def test_what_is_on_the_disk_is_the_users_own(ada):
    """No directory of the data is open to others."""
    for path in (f"{ada.home}/.local/share/minict", f"{ada.runtime}/minict"):
        assert os.stat(path).st_uid == UID and stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert not os.path.exists("/var/lib/minict/containers") or UID not in {
        os.stat(f"/var/lib/minict/containers/{name}").st_uid for name in os.listdir("/var/lib/minict/containers")
    }


def test_limits_where_a_group_is_delegated(ada):
    if cgroup.mode() != "v2":
        return
    with ada.delegated_group():
        script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"
        assert ada.run(script, "--network", "none", "--memory", "64m").split() == ["67108864", "2048"]
