"""Volumes with real containers: what outlives them, how an image fills them, invalid options, and what a container
can't reach."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import tarfile

import pytest

from minict.engine.containers.store import Record
from minict.engine.images.image import Image
from minict.engine.images.importer import import_archive
from minict.engine.volumes import mounts, populate, store
from minict.kernel import mount
from minict.runtime.errors import ContainerError
from tests.support.command_line import (
    PATIENCE,
    begin,
    minict,
    output,
    refused,
    run,
    wait_until,
)


@pytest.fixture(autouse=True)
def no_volume_is_left():
    yield
    if ids := minict("ps", "-aq").stdout.split():
        minict("rm", "-f", "-v", *ids)  # those of a test that has failed
    minict("volume", "prune", "-a", "-f")
    assert minict("volume", "ls", "-q").stdout == ""


def data(name: str) -> str:
    """The content of a volume, as the host sees it."""
    return store.Volume.find(name).mountpoint


def made(name: str, image: str, *flags: str, command=("sleep", "1000")) -> str:
    """Make the container *name*; its id."""
    done = minict("create", "--network", "none", "--name", name, *flags, image, *command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def gone(*names: str, flags=("-v",)) -> None:
    assert minict("rm", "-f", *flags, *names).returncode == 0


@pytest.fixture(scope="session")
def rich(tiny) -> str:
    """An image whose /rich has one of each kind of file, owner, mode and attribute, and 200 files more."""
    base = Image.find(tiny).layers[0]
    buffer = io.BytesIO()
    with tarfile.open(mode="w", fileobj=buffer, format=tarfile.PAX_FORMAT) as tar:
        tar.add(base, ".")

        def add(name, type=tarfile.REGTYPE, content=b"", mode=0o644, uid=0, gid=0, link="", **headers):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid, member.gid, member.linkname = type, mode, uid, gid, link
            member.size, member.mtime, member.pax_headers = len(content), 1_000_000_000, headers
            tar.addfile(member, io.BytesIO(content))

        add("rich", tarfile.DIRTYPE, mode=0o1750, uid=70, gid=71, **{"SCHILY.xattr.user.root": "yes"})
        add("rich/file", content=b"content", mode=0o4751, uid=1000, gid=1001, **{"SCHILY.xattr.user.note": "kept"})
        add("rich/same", tarfile.LNKTYPE, link="rich/file")
        add("rich/link", tarfile.SYMTYPE, link="/etc/passwd", uid=5)
        add("rich/fifo", tarfile.FIFOTYPE, mode=0o600)
        add("rich/deep", tarfile.DIRTYPE, mode=0o700, uid=9)
        add("rich/deep/er", content=b"deeper")
        for number in range(200):
            add(f"rich/many-{number}", content=bytes(1000))
        add("way", tarfile.SYMTYPE, link="rich")
        add("plain", content=b"a file")
    buffer.seek(0)
    import_archive(buffer, "rich")
    return "rich"


FULL = 5 + 200  # what is directly in /rich


# ---- they outlive containers ---------------------------------------------------------------------------------------


def test_a_named_volume_outlives_its_containers(image):
    output(image, "echo kept > /data/file", "--rm", "-v", "keep:/data")
    assert output(image, "cat /other/file", "--rm", "-v", "keep:/other:ro") == "kept"
    assert minict("prune").returncode == 0
    assert output(image, "cat /data/file", "--rm", "--mount", "type=volume,source=keep,target=/data") == "kept"


def test_an_anonymous_volume_is_removed_with_its_container(image):
    made("one", image, "-v", "/data")
    names = minict("volume", "ls", "-q").stdout.split()
    assert len(names) == 1 and len(names[0]) == 64
    gone("one", flags=())
    assert minict("volume", "ls", "-q").stdout.split() == names  # as in Docker: rm alone leaves it
    assert minict("volume", "prune", "-f").stdout.startswith(f"Deleted Volumes:\n{names[0]}\n")
    made("one", image, "-v", "/data", "-v", "named:/named")
    gone("one", flags=("-v",))
    assert minict("volume", "ls", "-q").stdout == "named\n"
    output(image, "echo x > /data/x", "--rm", "-v", "/data")
    assert minict("volume", "ls", "-q").stdout == "named\n"


def test_a_volume_in_use_is_not_removed(image):
    made("holder", image, "-v", "held:/data")
    refused(minict("volume", "rm", "held"), "held", "used by")
    assert minict("start", "holder").returncode == 0
    refused(minict("volume", "rm", "-f", "held"), "held", "used by")
    assert minict("volume", "prune", "-a", "-f").stdout == "Total reclaimed space: 0B\n"
    assert minict("stop", "-t", "0", "holder").returncode == 0
    refused(minict("volume", "rm", "held"), "held", "used by")
    gone("holder")
    assert minict("volume", "rm", "held").stdout == "held\n"


def test_volumes_from(image):
    made("giver", image, "-v", "shared:/data", "-v", "/anonymous", "--tmpfs", "/memory", command=("true",))
    script = "echo hello > /data/x; echo y > /anonymous/y; test -e /memory || echo no memory; cat /data/x"
    assert output(image, script, "--rm", "--volumes-from", "giver") == "no memory\nhello"
    done = run(
        image,
        "sh",
        "-c",
        "cat /data/x; cat /anonymous/y; echo z > /data/z",
        flags=["--rm", "--volumes-from", "giver:ro"],
    )
    assert done.stdout == "hello\ny\n" and "Read-only" in done.stderr
    anonymous = next(each["name"] for each in Record.find("giver").mounts if each.get("anonymous"))
    assert os.listdir(data(anonymous)) == ["y"]  # the one that took it and was removed has left it to the other
    gone("giver")
    with pytest.raises(ContainerError):
        store.Volume.find(anonymous)
    refused(run(image, "true", flags=["--volumes-from", "nobody"]), "nobody")


# ---- an image fills them -------------------------------------------------------------------------------------------


def test_an_empty_volume_is_filled_from_the_image(rich):
    script = (
        "cd /rich; stat -c '%n %f %u %g %Y %h' . file same link fifo deep deep/er | tee /dev/stderr >/dev/null; "
        "ls | wc -l"
    )
    inside = run(rich, "sh", "-c", script, flags=["--rm"])
    volume = run(rich, "sh", "-c", script, flags=["--rm", "-v", "filled:/rich"])
    assert volume.stdout == inside.stdout == f"{FULL}\n"
    assert [line for line in volume.stderr.splitlines() if not line.startswith(". ")] == [
        line for line in inside.stderr.splitlines() if not line.startswith(". ")
    ]
    place = data("filled")
    top = os.stat(place)
    assert (stat.S_IMODE(top.st_mode), top.st_uid, top.st_gid) == (0o1750, 70, 71)
    assert os.getxattr(place, "user.root") == b"yes" and os.getxattr(f"{place}/file", "user.note") == b"kept"
    assert os.path.samefile(f"{place}/file", f"{place}/same") and os.readlink(f"{place}/link") == "/etc/passwd"
    assert sorted(os.listdir(os.path.dirname(place))) == ["_data", "volume.json"]


def test_only_an_empty_volume_is_filled_unless_nocopy_forbids_it(rich, image):
    output(image, "echo mine > /rich/mine", "--rm", "-v", "own:/rich")
    assert output(rich, "ls /rich", "--rm", "-v", "own:/rich") == "mine"
    for flags in (["-v", "bare:/rich:nocopy"], ["--mount", "type=volume,source=bare,target=/rich,volume-nocopy"]):
        assert output(rich, "ls /rich", "--rm", *flags) == ""
    # a link in the image is followed, in the image
    assert output(rich, "ls /way | wc -l", "--rm", "-v", "link:/way") == str(FULL)
    assert output(rich, "ls /nothing-there", "--rm", "-v", "none:/nothing-there") == ""
    refused(run(rich, "true", flags=["--rm", "-v", "file:/plain"]), "/plain")
    assert output(rich, "cat /rich/deep/er", "--rm", "-v", "/rich") == "deeper"


def test_containers_started_together_all_find_the_volume_filled(rich):
    for _ in range(3):
        started = [
            begin(
                "run",
                "--rm",
                "--network",
                "none",
                "-v",
                "race:/rich",
                rich,
                "sh",
                "-c",
                "ls /rich | wc -l; stat -c %u /rich",
            )
            for _ in range(6)
        ]
        answers = [process.communicate(timeout=PATIENCE) for process in started]
        assert answers == [(f"{FULL}\n70\n", "")] * 6
        assert minict("volume", "rm", "race").returncode == 0


def test_a_container_that_has_the_empty_volume_sees_it_fill(rich, image):
    """It is never replaced: a container that has it goes on with the same directory."""
    made("early", image, "-v", "later:/data")
    assert minict("start", "early").returncode == 0
    assert output(rich, "ls /rich | wc -l", "--rm", "-v", "later:/rich") == str(FULL)
    assert minict("exec", "early", "sh", "-c", "ls /data | wc -l").stdout == f"{FULL}\n"
    gone("early")


STEPS = ("mkdir", "rename", "chown", "rmdir", "listdir", "unlink")


def _killed_at(number: int, name: str, rich_image) -> bool:
    """Fill the volume *name* in a child that is killed at the *number*-th of the steps above; return whether it was
    killed."""
    pid = os.fork()
    if pid == 0:
        steps, filler = iter(range(number, -1, -1)), os.getpid()

        def counted(function):
            def step(*arguments, **options):
                if os.getpid() == filler and next(steps, 1) == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return step

        try:
            volume = store.create(name)
            for step in STEPS:
                setattr(os, step, counted(getattr(os, step)))
            populate.fill(volume, rich_image, "/rich")
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def test_a_killed_fill_leaves_an_empty_volume_or_one_that_the_next_completes(rich):
    """The fill is killed at each of its steps: the volume is then still empty, or the next fill completes it."""
    rich_image, number = Image.find(rich), 0
    points = [*range(14), 100, 150, *range(212, 222), 1000]
    seen = set()
    for number in points:
        killed = _killed_at(number, "broken", rich_image)
        volume = store.Volume.find("broken")
        there, waiting = len(os.listdir(volume.mountpoint)), os.path.isdir(f"{volume.directory}/filled")
        assert there in (0, FULL) or waiting, (number, there)
        seen.add((killed, there == FULL, waiting))
        done = run(
            rich,
            "sh",
            "-c",
            "ls /rich | wc -l; cat /rich/deep/er; stat -c '%a %u' /rich",
            flags=["--rm", "-v", "broken:/rich"],
        )
        assert done.stdout == f"{FULL}\ndeeper1750 70\n", (number, done)
        assert sorted(os.listdir(volume.directory)) == ["_data", "volume.json"]
        store.remove("broken")
    assert {(True, False, False), (True, False, True), (False, True, False)} <= seen, seen


def test_a_killed_command_leaves_a_volume_that_can_be_used(rich):
    for delay in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3):
        process = begin("run", "--rm", "--network", "none", "-v", "cut:/rich", rich, "true", start_new_session=True)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert output(rich, "ls /rich | wc -l", "--rm", "-v", "cut:/rich") == str(FULL)
        assert minict("prune").returncode == 0
        assert minict("volume", "rm", "cut").returncode == 0


def test_the_volumes_of_an_image(rich, image):
    """VOLUME in an image is an anonymous volume, unless something else is mounted there."""
    made("model", rich, command=("true",))
    assert minict("commit", "-c", "VOLUME /rich /empty", "model", "with-volumes").returncode == 0
    gone("model")
    try:
        made("user", "with-volumes", "-v", "named:/empty")
        assert [(each["destination"], bool(each.get("anonymous"))) for each in Record.find("user").mounts] == [
            ("/empty", False),
            ("/rich", True),
        ]
        assert minict("start", "user").returncode == 0
        assert minict("exec", "user", "sh", "-c", "ls /rich | wc -l").stdout == f"{FULL}\n"
        gone("user")
        assert minict("volume", "ls", "-q").stdout == "named\n"
    finally:
        assert minict("image", "rm", "with-volumes").returncode == 0


# ---- binds and files in memory -------------------------------------------------------------------------------------


def test_v_makes_a_missing_directory_and_mount_refuses(image, tmp_path):
    output(image, "echo x > /data/file", "--rm", "-v", f"{tmp_path}/new/dir:/data")
    assert (tmp_path / "new/dir/file").exists()
    refused(
        run(image, "true", flags=["--mount", f"type=bind,source={tmp_path}/other,target=/data"]),
        f"{tmp_path}/other",
        "-v",
    )
    assert not (tmp_path / "other").exists()
    output(image, "true", "--rm", "--mount", f"type=bind,source={tmp_path}/other,target=/data,bind-create-src")
    assert (tmp_path / "other").is_dir()
    made("later", image, "-v", f"{tmp_path}/other:/data", "--mount", f"type=bind,source={tmp_path}/new,target=/new")
    os.rmdir(tmp_path / "other")
    assert minict("start", "later").returncode == 0 and (tmp_path / "other").is_dir()
    assert minict("stop", "-t", "0", "later").returncode == 0
    os.rename(tmp_path / "new", tmp_path / "moved")
    refused(minict("start", "later"), f"{tmp_path}/new", status=1)
    gone("later")


def test_files_in_memory(image):
    seen = output(
        image,
        "grep -E ' /(a|b) ' /proc/mounts; stat -c '%a %u' /a /b",
        "--rm",
        "--tmpfs",
        "/a:size=64k,mode=700,exec,uid=7",
        "--mount",
        "type=tmpfs,target=/b,tmpfs-size=1m,tmpfs-mode=1750,readonly",
    )
    lines = seen.splitlines()
    a, b = (set(line.split()[3].split(",")) for line in sorted(lines[:2], key=lambda line: line.split()[1]))
    modes = lines[2:]
    assert {"rw", "nosuid", "nodev", "size=64k"} <= a and "noexec" not in a and {"ro", "noexec", "size=1024k"} <= b
    assert modes == ["700 7", "1750 0"]


def test_a_mount_inside_another_is_mounted_after_it(image, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").write_text("inner")
    flags = ["-v", f"{tmp_path}/inner:/data/a/b", "--tmpfs", "/data/a", "-v", "outer:/data"]
    assert output(image, "cat /data/a/b/file; ls /data", "--rm", *flags) == "innera"
    refused(run(image, "true", flags=["-v", "one:/data", "--tmpfs", "/data/"]), "/data", "two mounts")


def test_a_file_and_a_directory_do_not_cover_each_other(image, tmp_path):
    (tmp_path / "file").write_text("x")
    for flag in (f"{tmp_path}/file:/etc", f"{tmp_path}:/etc/passwd", "vol:/etc/passwd"):
        refused(run(image, "true", flags=["-v", flag]), flag.split(":")[1], "a file", "a directory", "choose another")


def test_standard_mounts_and_the_users_own(image, tmp_path):
    """/etc/hosts is seen in a volume on /etc; the user's own /dev/shm or /dev replaces the standard one, and no node is
    made in it."""
    assert "localhost" in output(image, "cat /etc/hosts", "--rm", "-v", "etc:/etc")
    assert os.stat(f"{data('etc')}/hosts").st_size == 0  # what is shown there did not go into the volume
    lines = output(image, "grep ' /dev/shm ' /proc/mounts", "--rm", "--tmpfs", "/dev/shm:size=64k").splitlines()
    assert len(lines) == 1 and "size=64k" in lines[0]
    (tmp_path / "hosts").write_text("mine")
    assert output(image, "cat /etc/hosts", "--rm", "-v", f"{tmp_path}/hosts:/etc/hosts") == "mine"
    made("device", image, "--mount", f"type=bind,source={tmp_path},target=/dev")
    minict("start", "device")
    assert os.listdir(tmp_path) == ["hosts"]
    gone("device")
    script = "test -c /dev/null && mount | grep -c ' /dev '"
    assert run(image, "sh", "-c", script, flags=["--rm", "-v", "/dev:/dev"]).stdout == "1\n"


@pytest.mark.parametrize(
    "flag", ["-v {}:/data:ro", "--mount type=bind,source={},target=/data,readonly", "-v ro-volume:/data:ro"]
)
def test_read_only_includes_the_mounts_inside(image, tmp_path, flag):
    flags = flag.format(tmp_path).split()
    place = tmp_path if "{}" in flag else data(store.create("ro-volume").name)
    os.mkdir(f"{place}/inner")
    mount.mount("inner", f"{place}/inner", "tmpfs")
    try:
        for where in ("/data", "/data/inner"):
            assert "Read-only" in run(image, "touch", f"{where}/x", flags=["--rm", *flags]).stderr
        if "type=bind" in flag:
            writable = flags[1] + ",bind-recursive=writable"
            assert run(image, "touch", "/data/inner/x", flags=["--rm", "--mount", writable]).returncode == 0
            alone = flags[1] + ",bind-recursive=disabled"
            assert output(image, "ls /data/inner", "--rm", "--mount", alone) == ""
    finally:
        mount.umount2(f"{place}/inner", mount.MNT_DETACH)


@pytest.mark.parametrize(
    "mode,inwards,outwards",
    [("rprivate", False, False), ("rslave", True, False), ("rshared", True, True), ("shared", True, True)],
)
@pytest.mark.parametrize("option", ["-v", "--mount"])
def test_propagation_of_later_mounts(image, tmp_path, mode, inwards, outwards, option):
    source = tmp_path / "source"
    for name in ("", "host", "inside"):
        (source / name).mkdir(exist_ok=True)
    mount.mount("source", str(source), "tmpfs")
    mount.mount(None, str(source), None, mount.MS_SHARED)
    try:
        for name in ("host", "inside"):
            (source / name).mkdir()
        flags = (
            ["-v", f"{source}:/data:{mode}"]
            if option == "-v"
            else ["--mount", f"type=bind,source={source},target=/data,bind-propagation={mode}"]
        )
        made("spread", image, *flags, "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
        assert minict("start", "spread").returncode == 0
        mount.mount("later", str(source / "host"), "tmpfs")
        assert ("/data/host" in minict("exec", "spread", "cat", "/proc/mounts").stdout) == inwards
        done = minict("exec", "spread", "mount", "-t", "tmpfs", "later", "/data/inside")
        assert done.returncode == 0, done.stderr
        with open("/proc/self/mountinfo") as table:
            assert (f"{source}/inside" in table.read()) == outwards
        gone("spread")
    finally:
        for name in ("inside", "host", ""):
            while os.path.ismount(source / name):
                mount.umount2(str(source / name), mount.MNT_DETACH)


def test_shared_needs_a_source_that_is_shared(image, tmp_path):
    refused(run(image, "true", flags=["--rm", "-v", f"{tmp_path}:/data:rshared"]), "rshared", "shared mount")


# ---- no path inside leads a mount outside --------------------------------------------------------------------------


TARGETS = ["{}", "../../../../../../../..{}", "/proc/1/root{}", "/proc/self/root{}", "/proc/self/cwd", "loop"]


@pytest.fixture(scope="session")
def hostile(tiny, tmp_path_factory):
    """An image full of links, ``/trap-N`` and ``/way/trap-N`` for each of TARGETS, and the directory of the host that
    they aim at."""
    victim = tmp_path_factory.mktemp("host") / "victim"
    (victim / "below").mkdir(parents=True)
    (victim / "secret").write_text("of the host")
    buffer = io.BytesIO()
    with tarfile.open(mode="w", fileobj=buffer) as tar:
        tar.add(Image.find(tiny).layers[0], ".")
        for number, target in enumerate(TARGETS):
            for name in (f"trap-{number}", f"way/trap-{number}"):
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, target.format(victim).replace("loop", f"trap-{number}")
                tar.addfile(link)
    buffer.seek(0)
    import_archive(buffer, "hostile")
    return "hostile", victim


@pytest.mark.parametrize("number", range(len(TARGETS)), ids=TARGETS)
@pytest.mark.parametrize(
    "option,place",
    [
        ("volume", "/trap-{}"),
        ("volume", "/trap-{}/below"),
        ("volume", "/way/trap-{}/x"),
        ("bind", "/trap-{}/below"),
        ("tmpfs", "/trap-{}"),
    ],
)
def test_a_link_of_the_image_does_not_lead_a_mount_to_the_host(hostile, tmp_path, option, place, number):
    """Whatever the image's links say, what is mounted, made or filled is inside; or there is no container."""
    name, victim = hostile
    place = place.format(number)
    (tmp_path / "source").mkdir()
    flags = {
        "volume": ["-v", f"caught:{place}"],
        "bind": ["-v", f"{tmp_path}/source:{place}"],
        "tmpfs": ["--tmpfs", place],
    }[option]
    before = sorted(os.listdir("/"))
    done = run(name, "sh", "-c", f"echo written > {place}/file; cat {place}/secret", flags=["--rm", *flags])
    assert "of the host" not in done.stdout + done.stderr
    assert done.returncode != 125 or (done.stderr.count("\n") == 1 and done.stderr.startswith("minict: "))
    assert sorted(os.listdir(victim)) == ["below", "secret"] and os.listdir(victim / "below") == []
    assert sorted(os.listdir("/")) == before and os.listdir(tmp_path) == ["source"]
    if "caught" in minict("volume", "ls", "-q").stdout:  # whatever was found to fill it with, it was not the host's
        assert set(os.listdir(data("caught"))) <= {"file"}


@pytest.fixture(scope="session")
def dangling(tiny, tmp_path_factory):
    """An image with links that lead to nothing, and no /etc/hosts but such a link."""
    path = tmp_path_factory.mktemp("dangling") / "links.tar"
    links = {
        "etc/localtime": "/usr/share/zoneinfo/UTC",
        "etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf",
        "etc/hosts": "../../../../../../made/hosts",
        "here/one": "two",
        "here/two": "../there/three",
        "there/three": "/four",
        "way": "/elsewhere",
        "loop": "pool",
        "pool": "loop",
    }
    with tarfile.open(path, "w") as archive:
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    assert minict("create", "--name", "links", tiny, "true").returncode == 0
    with open(path, "rb") as file:
        assert minict("cp", "-", "links:/", stdin=file).returncode == 0
    assert minict("commit", "links", "dangling").returncode == 0
    gone("links")
    yield "dangling"
    minict("rmi", "dangling")


@pytest.mark.parametrize(
    "place, made",
    [("/etc/localtime", "/usr/share/zoneinfo/UTC"), ("/here/one", "/four"), ("/way/file", "/elsewhere/file")],
)
def test_the_target_of_a_dangling_link_is_made_inside(dangling, tmp_path, place, made):
    (tmp_path / "file").write_text("mounted")
    told = output(
        dangling,
        f"cat {place} {made}; cat /etc/hosts /etc/resolv.conf >/dev/null; ls /made /run/systemd/resolve",
        "-v",
        f"{tmp_path}/file:{place}",
    )
    assert told == "mountedmounted/made:\nhosts\n\n/run/systemd/resolve:\nstub-resolv.conf"
    assert not [path for path in (made, "/made") if os.path.exists(path) and path != "/usr/share/zoneinfo/UTC"]


def test_links_in_a_circle_are_refused(dangling, tmp_path):
    refused(run(dangling, "true", flags=["-v", f"{tmp_path}:/loop/x"]), "/loop", "circle")


def test_a_second_container_on_the_volume_cannot_redirect_the_destination(image, tmp_path):
    """While one swaps a directory and links to the host in a shared volume, others are started with mounts below it."""
    victim = tmp_path / "victim"
    (victim / "x").mkdir(parents=True)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/mark").write_text("mark")
    script = f"""mkdir -p /data/in/x; ln -s {victim} /data/out; ln -s ../../../../../..{victim} /data/up
        touch /data/ready
                 while :; do mv -T /data/in /data/t; mv -T /data/out /data/in; mv -T /data/in /data/out
                 mv -T /data/up /data/in
                 mv -T /data/in /data/up; mv -T /data/t /data/in; done"""
    made("racer", image, "-v", "common:/data", command=("sh", "-c", script))
    assert minict("start", "racer").returncode == 0
    wait_until(lambda: os.path.exists(f"{data('common')}/ready"))
    worked = 0
    try:
        for _ in range(40):
            done = run(
                image,
                "sh",
                "-c",
                f"cat /data/in/x/mark; test -e {victim} && ls {victim}/x",
                flags=["--rm", "-v", "common:/data", "-v", f"{tmp_path}/source:/data/in/x"],
            )
            worked += "mark" in done.stdout
            assert os.listdir(victim) == ["x"] and os.listdir(victim / "x") == []
            assert done.returncode != 125 or done.stderr.count("\n") == 1, done.stderr
        assert worked
    finally:
        gone("racer")


def test_a_part_of_a_volume(image, tmp_path):
    """volume-subpath: what a container has put into the volume leads the mount to no other place."""
    (tmp_path / "secret").write_text("of the host")
    script = (
        f"mkdir -p /data/a/b; echo part > /data/a/b/x; ln -s {tmp_path} /data/abs; ln -s "
        f"../../../../../..{tmp_path} /data/up; ln -s a/b /data/in"
    )
    output(image, script, "--rm", "-v", "whole:/data")
    mounted = "type=volume,source=whole,target=/part,volume-subpath="
    assert output(image, "cat /part/x; echo y > /part/y", "--rm", "--mount", f"{mounted}a/b") == "part"
    assert output(image, "ls /part", "--rm", "--mount", f"{mounted}in,readonly") == "x\ny"
    assert run(image, "cat", "/part", flags=["--rm", "--mount", f"{mounted}a/b/x"]).stdout == "part\n"
    for part in ("abs", "up", "nothing"):
        refused(run(image, "ls", "/part", flags=["--rm", "--mount", mounted + part]), part, "create it first")


@pytest.mark.parametrize("path", ["/", "/proc", "/proc/sys", "relative", "/x/../.."])
def test_an_image_with_a_volume_in_an_invalid_place(path):
    class Hostile:
        name, config = "hostile", {"Volumes": {path: {}}}

    class Nothing:
        volume = mount = tmpfs = volumes_from = ()

    with pytest.raises(ContainerError, match="the image hostile wants a volume"):
        mounts.plan(Nothing, Hostile)


# ---- the commands --------------------------------------------------------------------------------------------------


def test_create_ls_inspect_rm(image):
    assert minict("volume", "create", "--label", "use=test", "--label", "odd", "one").stdout == "one\n"
    assert minict("volume", "create", "one").stdout == "one\n"  # as in Docker: an existing volume is not an error
    anonymous = minict("volume", "create").stdout.strip()
    made("user", image, "-v", "two:/data")
    assert minict("volume", "ls", "-q").stdout.split() == sorted([anonymous, "one", "two"])
    assert minict("volume", "ls").stdout.splitlines()[0].split() == ["DRIVER", "VOLUME", "NAME"]
    for text, names in (
        ("dangling=true", {"one", anonymous}),
        ("dangling=false", {"two"}),
        ("label=use", {"one"}),
        ("label=use=test", {"one"}),
        ("label=use=other", set()),
        ("name=w", {"two"}),
        ("driver=nfs", set()),
    ):
        assert set(minict("volume", "ls", "-q", "--filter", text).stdout.split()) == names, text
    assert (
        minict("volume", "ls", "--format", "{{.Name}} {{.Driver}} {{.Labels}}", "-f", "name=one").stdout
        == "one local use=test,odd=\n"
    )
    shown = json.loads(minict("volume", "inspect", "one", "two").stdout)
    assert [each["Name"] for each in shown] == ["one", "two"] and shown[0]["Labels"] == {"use": "test", "odd": ""}
    assert os.path.isdir(shown[0]["Mountpoint"]) and shown[0]["Driver"] == "local" and shown[0]["Scope"] == "local"
    assert minict("volume", "inspect", "--format", "{{.Mountpoint}}", "one").stdout == shown[0]["Mountpoint"] + "\n"
    done = minict("volume", "rm", "one", "nothing", anonymous)
    assert done.returncode == 1 and done.stdout == f"one\n{anonymous}\n" and "nothing" in done.stderr
    assert minict("volume", "rm", "-f", "nothing").returncode == 0
    for name in ("nothing", "../images"):
        done = minict("volume", "inspect", name)
        assert done.returncode == 1 and done.stdout == "[]\n" and name in done.stderr
    gone("user")


@pytest.mark.parametrize(
    "words,said",
    [
        (["create", "../x"], ["'../x'"]),
        (["create", "a/b"], ["'a/b'"]),
        (["create", "x"], ["2 to 255"]),
        (["create", "--label", "=x", "ok"], ["KEY=VALUE"]),
        (["create", "--driver", "nfs", "ok"], ["nfs", "local"]),
        (["create", "--opt", "type=nfs", "--opt", "o=addr=x", "ok"], ["type=nfs", "device="]),
        (["create", "--opt", "type=none", "--opt", "device=/", "ok"], ["o=bind"]),
        (["create", "--opt", "type=../x", "--opt", "device=/", "ok"], ["'../x'"]),
        (["create", "--opt", "colour=red", "ok"], ["'colour'", "type, o and device"]),
        (["create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device=/nowhere", "ok"], ["/nowhere"]),
        (["rm", "nothing"], ["no such volume"]),
        (["rm", ".."], ["'..'"]),
        (["ls", "--filter", "colour=red"], ["colour=red", "dangling"]),
        (["ls", "--filter", "dangling=maybe"], ["true or false"]),
        (["ls", "--format", "{{.Nothing}}"], ["Nothing"]),
    ],
)
def test_an_error_is_one_sentence(words, said):
    if words[0] == "ls":
        assert minict("volume", "create", "there").returncode == 0
    refused(minict("volume", *words), *said)


def test_prune_asks_and_takes_the_anonymous_ones(image):
    named, anonymous = minict("volume", "create", "named").stdout, minict("volume", "create").stdout
    output(image, "head -c 100000 /dev/zero > /data/x", "--rm", "-v", f"{anonymous.strip()}:/data")
    done = minict("volume", "prune", input="n\n")
    assert (
        "[y/N]" in done.stdout
        and "nothing was removed" in done.stdout
        and sorted(minict("volume", "ls", "-q").stdout.split()) == sorted([named.strip(), anonymous.strip()])
    )
    done = minict("volume", "prune", input="y\n")
    assert anonymous.strip() in done.stdout and "100kB" in done.stdout
    assert minict("volume", "prune", "-f").stdout == "Total reclaimed space: 0B\n"
    assert minict("volume", "prune", "-a", "-f", "--filter", "label=x").stdout == "Total reclaimed space: 0B\n"
    assert minict("volume", "prune", "-a", "-f").stdout.startswith("Deleted Volumes:\nnamed\n")


def test_a_name_for_a_path_of_the_host(image, tmp_path):
    (tmp_path / "file").write_text("of the host")
    options = [word for option in ("type=none", "o=bind", f"device={tmp_path}") for word in ("--opt", option)]
    assert minict("volume", "create", *options, "alias").stdout == "alias\n"
    assert output(image, "cat /data/file; echo x > /data/made", "--rm", "-v", "alias:/data") == "of the host"
    assert minict("volume", "rm", "alias").returncode == 0
    assert (tmp_path / "made").exists()  # the name is gone, and nothing else


def test_a_volume_in_memory_is_shared_and_goes_with_its_last_container(image):
    options = [
        word for option in ("type=tmpfs", "device=tmpfs", "o=size=1m,uid=1000,noexec") for word in ("--opt", option)
    ]
    assert minict("volume", "create", *options, "memory").stdout == "memory\n"
    path = data("memory")
    made("one", image, "-v", "memory:/data")
    made("two", image, "-v", "memory:/data:ro")
    for name in ("one", "two"):
        assert minict("start", name).returncode == 0
    assert minict(
        "exec", "one", "sh", "-c", "stat -c %u /data; df -k /data | tail -1; echo shared >/data/x"
    ).stdout.split()[:3] == [
        "1000",
        "tmpfs",
        "1024",
    ]
    assert minict("exec", "two", "cat", "/data/x").stdout == "shared\n"
    assert minict("exec", "one", "sh", "-c", "printf true >/data/run; chmod 755 /data/run; /data/run").returncode == 126
    assert minict("stop", "-t", "0", "one").returncode == 0
    assert os.path.ismount(path) and minict("exec", "two", "cat", "/data/x").stdout == "shared\n"
    os.kill(Record.find("two").monitor, signal.SIGKILL)
    wait_until(lambda: Record.find("two").pid is None)
    assert minict("prune").returncode == 0
    assert not os.path.ismount(path) and os.listdir(path) == []
    gone("one", "two")


@pytest.mark.parametrize(
    "words",
    [
        ["type=nosuchfs", "device=x"],
        ["type=tmpfs", "o=colour=red"],
        ["type=nfs", "device=:/x", "o=addr=no.such.invalid"],
    ],
)
def test_a_file_system_that_cannot_be_mounted_is_an_error(image, words):
    options = [word for option in words for word in ("--opt", option)]
    assert minict("volume", "create", *options, "bad").returncode == 0
    refused(run(image, "true", flags=["-v", "bad:/data"]), "volume bad", words[0])


def test_create_may_be_killed_before_the_volumes_exist(rich):
    """At each step between the record and the volume: the next start makes what is missing, and fills it."""
    id = made("half", rich, "-v", "lost:/rich", command=("sh", "-c", "ls /rich | wc -l"))
    store.remove("lost", but=id)
    done = minict("start", "-a", "half")
    assert done.stdout == f"{FULL}\n", done
    gone("half")


def test_containers_and_rm_at_once(image):
    """A volume given to a container at the moment of its removal exists nevertheless."""
    remover = subprocess.Popen(
        ["sh", "-c", f"while :; do {os.sys.executable} -m minict volume rm contested; done"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(12):
            assert output(image, "echo x > /data/x && cat /data/x", "--rm", "-v", "contested:/data") == "x"
    finally:
        os.killpg(remover.pid, signal.SIGKILL)
        remover.wait()
        wait_until(lambda: minict("volume", "ls", "-q").returncode == 0)


def test_many_at_once(image):
    """Many processes create and remove volumes at once: each finds a complete volume or none."""
    script = (
        "for n in 1 2 3 4 5 6; do {0} volume create same; {0} volume rm same; {0} volume ls; {0} volume prune "
        "-a -f; done"
    )
    shells = [
        subprocess.Popen(
            ["sh", "-c", script.format(f"{os.sys.executable} -m minict")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for shell in shells:
        _, errors = shell.communicate(timeout=PATIENCE)
        assert [line for line in errors.splitlines() if "no such volume" not in line] == []
    assert os.listdir(store.directory()) in (["same"], [])


def test_leftovers_of_a_killed_process_are_removed(image):
    minict("volume", "create", "there")
    os.makedirs(f"{store.directory()}/.0123456789ab/_data")
    assert minict("volume", "prune", "-f").returncode == 0
    assert os.listdir(store.directory()) == ["there"]
