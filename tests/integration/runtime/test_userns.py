"""``--userns private``: a root without rights on the host, which nevertheless owns its files."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import minict as package
from minict.engine.spec import namespaces
from minict.engine.system.prune import prune
from minict.kernel import mount as k
from minict.runtime import idmap, paths
from minict.runtime.spec import IDMapping
from tests.support.command_line import (
    Terminal,
    begin,
    containers,
    minict,
    output,
    refused,
    run,
)
from tests.support.in_child import forked

PRIVATE = ("--userns", "private")


@pytest.fixture
def box(image):
    """A running container with users of its own."""
    with package.run(image, "sleep 100", network="none", userns="private", detach=True) as running:
        yield running


def first_id(pid: int) -> int:
    """The host's id of the container's user 0."""
    with open(f"/proc/{pid}/uid_map") as file:
        return int(file.read().split()[1])


def test_root_inside_is_another_user_outside(box):
    with open(f"/proc/{box.pid}/uid_map") as file:
        inside, outside, size = map(int, file.read().split())
    assert (inside, size) == (0, 65536) and outside >= 1 << 31
    with open(f"/proc/{box.pid}/status") as file:
        status = dict(line.split(":\t", 1) for line in file)
    assert status["Uid"].split() == status["Gid"].split() == [str(outside)] * 4
    program = os.stat(f"/proc/{box.pid}/exe")
    assert (program.st_uid, program.st_gid) == (outside, outside), "a file of the image, seen from outside"
    assert box.exec("id -u").output == "0\n" and box.exec("stat -c %u:%g /etc/passwd /").output == "0:0\n0:0\n"
    assert box.exec("stat -c %u:%g /etc/hosts").output == "0:0\n"


def test_its_files_have_its_own_ids_on_the_disk(box):
    assert box.exec(["sh", "-c", "echo x > /new; chown 33:44 /new; rm /etc/passwd; mkdir /srv/dir"]).status == 0
    upper = f"{paths.container_data(box.id)}/upper"
    new = os.stat(f"{upper}/new")
    assert (new.st_uid, new.st_gid) == (33, 44) and os.stat(f"{upper}/srv/dir").st_uid == 0
    gone = os.stat(f"{upper}/etc/passwd")
    assert gone.st_rdev == 0 and gone.st_mode & 0o170000 == 0o020000, "a whiteout, as in every other container"
    assert box.exec("stat -c %u:%g /new").output == "33:44\n"


def test_two_containers_share_no_ids(image, box):
    with package.run(image, "sleep 100", network="none", userns="auto", detach=True) as other:
        assert len({first_id(box.pid), first_id(other.pid)}) == 2 == len(os.listdir(f"{paths.run_root()}/ids"))
    assert len(os.listdir(f"{paths.run_root()}/ids")) == 1


def test_a_volume_belongs_to_the_containers_root(image, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "file").chmod(0o600)
    tmp_path.chmod(0o700)
    script = "cat /data/file; echo; stat -c %u /data/file; echo new > /data/new; chown 7 /data/new"
    assert output(image, script, *PRIVATE, "-v", f"{tmp_path}:/data").split() == ["mine", "0"]
    assert os.stat(tmp_path / "new").st_uid == 7
    done = run(image, "sh", "-c", "echo x > /data/file", flags=[*PRIVATE, "-v", f"{tmp_path}:/data:ro"])
    assert "Read-only" in done.stderr


def test_a_volume_on_a_file_system_without_idmaps_is_refused_with_the_reason(image):
    refused(run(image, "true", flags=[*PRIVATE, "-v", "/proc/sys:/data"]), "/proc/sys", "idmapped", "user namespace")


def test_a_file_system_without_idmaps_is_named_with_those_that_have_them():
    one = IDMapping(containerID=0, hostID=1 << 31, size=1)

    def refuse():
        users = idmap.user_namespace([one], [one])
        tree = k.open_tree(k.AT_FDCWD, "/proc", k.OPEN_TREE_CLONE)
        try:
            idmap.map_ids(tree, users, "/proc")
        except package.ContainerError as error:
            return str(error)

    assert "ext4" in forked(refuse)


def test_its_root_can_do_nothing_to_the_host(image):
    """Each attempt needs a right over the host, which the capabilities in the user namespace do not give; and each is
    harmless."""
    attempts = (
        "mknod /disk c 1 3",
        "tee /proc/sys/kernel/panic < /proc/sys/kernel/panic",
        "mount -t proc -o remount,rw none /proc/sys/fs",
        "nice -n -5 true",
        "head -c 1 /proc/kmsg",
    )
    script = "; ".join(f"{attempt} > /dev/null 2>&1 && echo '{attempt}'" for attempt in attempts)
    flags = ("--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined")
    assert output(image, f"({script}; true) 2>/dev/null", *PRIVATE, *flags).splitlines() == []


def test_with_all_capabilities_it_may_mount_for_itself(image):
    script = "mount -t tmpfs none /mnt && touch /mnt/x && umount /mnt && echo done"
    flags = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
    assert output(image, script, *PRIVATE, *flags) == "done"


@pytest.mark.parametrize("user", ["0", "1000:1000", "nobody"])
def test_the_command_is_the_user_inside(image, user):
    assert (
        output(image, "id -u; touch /tmp/x && stat -c %u /tmp/x", *PRIVATE, "-u", user).split()
        == [user.split(":")[0].replace("nobody", "65534")] * 2
    )


@pytest.mark.parametrize("userns", ["host", "private"])
@pytest.mark.parametrize("user", ["0", "1000"])
def test_a_pipe_can_be_opened_again(image, userns, user):
    done = run(
        image, "sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr", flags=["--userns", userns, "-u", user]
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")


def test_limits_devices_and_the_rest_are_as_usual(image):
    flags = [
        "-m",
        "64m",
        "--oom-score-adj",
        "300",
        "--read-only",
        "--init",
        "--device",
        "/dev/kmsg:/dev/log",
        "-h",
        "web",
    ]
    script = (
        "cat /proc/self/oom_score_adj; hostname; touch /x 2>&1 | grep -c Read-only; ls /dev/log; ls -d /sys/fs/cgroup; "
        "echo 1 > /dev/null && grep -c . /proc/interrupts || true"
    )
    assert output(image, script, *PRIVATE, *flags).split() == ["300", "web", "1", "/dev/log", "/sys/fs/cgroup", "0"]


def test_it_is_on_the_bridge(image, bridge):
    done = run(image, "sh", "-c", "ip addr show eth0 | grep -c 'inet '; id -u", flags=PRIVATE, network="bridge")
    assert (done.returncode, done.stdout) == (0, "1\n0\n")


def test_a_terminal(image):
    with Terminal("run", "-it", "--rm", "--network", "none", *PRIVATE, image, "sh") as screen:
        screen.expect("# ")
        screen.type("tty; id -u; echo to > /dev/tty\r")
        screen.expect("/dev/pts/0\r\n0\r\nto\r\n")
        screen.type("exit 3\r")
        assert screen.status() == 3


def test_ten_at_once_get_ten_ranges(image):
    def start(_):
        return package.run(image, "sleep 100", network="none", userns="private", detach=True)

    with ThreadPoolExecutor(10) as pool:
        running = list(pool.map(start, range(10)))
    try:
        firsts = {first_id(each.pid) for each in running}
        assert len(firsts) == 10 == len(os.listdir(f"{paths.run_root()}/ids"))
    finally:
        for each in running:
            each.stop(timeout=0)
    assert not os.path.exists(f"{paths.run_root()}/ids")


def test_the_range_of_a_killed_container_is_released(image):
    process = begin("run", "--rm", "--network", "none", *PRIVATE, image, "sh", "-c", "echo ready; sleep 100")
    assert process.stdout.readline() == "ready\n"
    assert len(os.listdir(f"{paths.run_root()}/ids")) == 1
    process.kill()
    process.communicate()
    prune()
    assert containers() == [] and not os.path.exists(f"{paths.run_root()}/ids")


def test_the_next_run_may_have_another_range(image):
    assert (
        minict(
            "create",
            "--name",
            "lives",
            "--network",
            "none",
            *PRIVATE,
            image,
            "sh",
            "-c",
            "cat /proc/self/uid_map; stat -c %u /mine || touch /mine; stat -c %u /etc/passwd",
        ).returncode
        == 0
    )
    try:
        first = minict("start", "-a", "lives").stdout.split()
        with package.run(image, "sleep 100", network="none", userns="private", detach=True):
            second = minict("start", "-a", "lives").stdout.split()
        assert (
            first[0::2] == ["0", "65536"] and first[3:] == ["0"] and second[3:] == ["0", "0"] and first[1] != second[1]
        )
    finally:
        assert minict("rm", "-f", "lives").returncode == 0


def test_where_the_image_was_copied_its_files_are_the_containers_too(image, monkeypatch, capfd):
    from minict.engine.images import overlay

    monkeypatch.setattr(overlay, "usable", lambda: False)
    assert package.run(image, "stat -c %u /etc/passwd /", network="none", userns="private").output == "0\n0\n"
    assert "are copied" in capfd.readouterr().err


def test_the_range_of_another_container_is_not_released():
    os.makedirs(f"{paths.run_root()}/ids")
    os.symlink("another", f"{paths.run_root()}/ids/{1 << 31}")
    namespaces.release_ids(f"{1 << 31}/me")
    assert os.listdir(f"{paths.run_root()}/ids") == [str(1 << 31)]
    namespaces.release_ids(f"{1 << 31}/another")
    namespaces.release_ids(f"{1 << 31}/another")
    assert not os.path.exists(f"{paths.run_root()}/ids")


def test_layers_are_told_apart_whatever_their_paths():
    assert idmap.split_layers(r"/a:/b\:c:/d\\:/e\,f") == ["/a", "/b:c", "/d\\", "/e,f"]


def test_from_a_program_with_threads(image):
    """There the container comes from a zygote."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        done = package.run(image, "stat -c %u /etc/passwd", network="none", userns="private")
        assert (done.status, done.output) == (0, "0\n")
    finally:
        stop.set()
        thread.join()
