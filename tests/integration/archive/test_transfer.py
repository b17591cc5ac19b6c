"""``minict cp`` and ``export``: Docker's rules about where things go, and a container that tries to send them
elsewhere."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile

import pytest

from minict.engine.containers.store import Record
from minict.runtime import paths
from tests.support.command_line import PATIENCE, minict, refused, wait_until


@pytest.fixture(params=["stopped", "running"])
def container(image, request):
    """A created container, or a running one."""
    name = f"copy-{request.param}"
    assert minict("create", "--network", "none", "--name", name, image, "sleep", "1000").returncode == 0
    if request.param == "running":
        assert minict("start", name).returncode == 0
    yield name
    assert minict("rm", "-f", "-v", name).returncode == 0


@pytest.fixture
def running(image):
    """A container that runs, with a volume that root of the host can look into."""
    name = "copy-target"
    assert (
        minict("run", "-d", "--network", "none", "--name", name, "-v", "/data", image, "sleep", "1000").returncode == 0
    )
    yield name
    assert minict("rm", "-f", "-v", name).returncode == 0


def cp(source, target, *flags: str, **options) -> subprocess.CompletedProcess:
    done = minict("cp", *flags, str(source), str(target), **options)
    assert done.returncode == 0, done.stderr
    return done


def archive(container: str, path: str, *flags: str) -> dict[str, tarfile.TarInfo]:
    """What ``minict cp CONTAINER:PATH -`` writes."""
    data = minict("cp", *flags, f"{container}:{path}", "-", text=False)
    assert data.returncode == 0, data.stderr
    with tarfile.open(fileobj=io.BytesIO(data.stdout)) as tar:
        return {member.name: member for member in tar}


def tree(path) -> list[str]:
    """Every path below *path*."""
    found = []
    for place, directories, files in os.walk(path):
        found += [os.path.relpath(f"{place}/{name}", path) for name in (*directories, *files)]
    return sorted(found)


def make_tree(path) -> None:
    os.makedirs(path / "dir/sub")
    (path / "dir/one").write_text("1")
    (path / "dir/sub/two").write_text("22")
    (path / "file").write_text("file")


# ---- where things go -----------------------------------------------------------------------------------------------

PLACES = [
    ("file", "new", ["new"]),
    ("file", "there/", ["there/file", "there/old"]),
    ("file", "there", ["there/file", "there/old"]),
    ("file", "there/.", ["there/file", "there/old"]),
    ("file", "there/old", ["there/old"]),
    ("dir", "new", ["new/one", "new/sub", "new/sub/two"]),
    ("dir/", "new", ["new/one", "new/sub", "new/sub/two"]),
    ("dir/.", "new", ["new/one", "new/sub", "new/sub/two"]),
    ("dir", "new/", ["new/one", "new/sub", "new/sub/two"]),
    ("dir", "there", ["there/dir", "there/dir/one", "there/dir/sub", "there/dir/sub/two", "there/old"]),
    ("dir/", "there", ["there/dir", "there/dir/one", "there/dir/sub", "there/dir/sub/two", "there/old"]),
    ("dir/.", "there", ["there/old", "there/one", "there/sub", "there/sub/two"]),
]


@pytest.mark.parametrize("source,target,expected", PLACES)
def test_into_a_container_and_out_of_it(container, tmp_path, source, target, expected):
    """The same rules both ways: Docker's, from the manual of docker cp."""
    make_tree(tmp_path / "source")
    (tmp_path / "there").mkdir()
    (tmp_path / "there/old").write_text("old")
    cp(tmp_path / "there", f"{container}:/there")
    cp(f"{tmp_path}/source/{source}", f"{container}:/{target}")
    root = target.split("/")[0]
    found = archive(container, f"/{root}")
    assert sorted(name for name in found if name != root) == [name for name in expected if name != root]

    cp(tmp_path / "source", f"{container}:/source")
    cp(f"{container}:/source/{source}", f"{tmp_path}/{target}")
    if os.path.isdir(tmp_path / root):
        assert [f"{root}/{name}" for name in tree(tmp_path / root)] == expected
    else:
        assert (tmp_path / root).read_text() == "file"


@pytest.mark.parametrize(
    "source,target,words",
    [
        ("dir", "there/old", ["is a file, and can't be replaced by a directory"]),
        ("file/", "new", ["not a directory"]),
        ("file", "new/", ["no such directory"]),
        ("file", "no/where", ["parent directory"]),
        ("file", "there/old/below", ["parent directory"]),
        ("nothing", "there", ["no such file", "nothing"]),
        ("no/thing", "there", ["No such file"]),
    ],
)
def test_what_is_refused(container, tmp_path, source, target, words):
    make_tree(tmp_path / "source")
    (tmp_path / "there").mkdir()
    (tmp_path / "there/old").write_text("old")
    cp(tmp_path / "there", f"{container}:/there")
    refused(minict("cp", f"{tmp_path}/source/{source}", f"{container}:/{target}"), *words)
    cp(tmp_path / "source", f"{container}:/source")
    refused(minict("cp", f"{container}:/source/{source}", f"{tmp_path}/{target}"), *words)
    assert (tmp_path / "there/old").read_text() == "old"
    assert set(archive(container, "/there")) == {"there", "there/old"}


def test_a_directory_and_a_file_do_not_replace_each_other(container, tmp_path):
    make_tree(tmp_path / "source")
    os.makedirs(tmp_path / "other/dir/one/deep")
    (tmp_path / "other/dir/sub").write_text("a file")
    cp(tmp_path / "source", f"{container}:/x")
    refused(minict("cp", f"{tmp_path}/other/.", f"{container}:/x"), "remove it first")
    assert archive(container, "/x/dir/one")["one"].isreg()
    refused(minict("cp", f"{container}:/x/.", f"{tmp_path}/other"), "remove it first")
    assert (tmp_path / "other/dir/sub").read_text() == "a file" and (tmp_path / "other/dir/one/deep").is_dir()


@pytest.mark.parametrize(
    "words",
    [
        ["a", "b"],
        ["x:/a", "y:/b"],
        ["-", "-"],
        ["copy-stopped:", "/tmp"],
        [":/a", "/tmp"],
        ["nobody:/a", "/tmp"],
        ["/a", "nobody:/a"],
    ],
)
def test_one_end_is_a_container(image, words):
    refused(minict("cp", *words))


def test_a_path_of_the_host_may_have_a_colon(container, tmp_path):
    (tmp_path / "a:b").write_text("colon")
    cp("./a:b", f"{container}:/", cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert "a:b" in archive(container, "/a:b")


def test_what_it_says(container, tmp_path):
    (tmp_path / "file").write_text("x" * 1500)
    assert cp(tmp_path / "file", f"{container}:/").stderr == f"Successfully copied 1.5kB to {container}:/\n"
    assert cp(tmp_path / "file", f"{container}:/", "-q").stderr == ""


# ---- links, owners, kinds ------------------------------------------------------------------------------------------


def test_links_are_copied_as_links_unless_asked(container, tmp_path):
    make_tree(tmp_path / "source")
    os.symlink("file", tmp_path / "source/link")
    os.symlink("dir", tmp_path / "source/way")
    cp(tmp_path / "source", f"{container}:/s")
    assert archive(container, "/s/link")["link"].linkname == "file"
    assert archive(container, "/s/link", "-L")["link"].isreg()
    assert archive(container, "/s/way")["way"].issym()
    assert set(archive(container, "/s/way/.")) == {"way", "way/one", "way/sub", "way/sub/two"}
    assert set(archive(container, "/s/way", "-L")) == {"way", "way/one", "way/sub", "way/sub/two"}
    cp(tmp_path / "source/link", f"{container}:/as-link")
    cp(tmp_path / "source/link", f"{container}:/as-file", "-L")
    assert archive(container, "/as-link")["as-link"].issym() and archive(container, "/as-file")["as-file"].isreg()
    # a destination is followed: Docker writes to where the link leads
    cp(tmp_path / "source/file", f"{container}:/s/way")
    assert "dir/file" in archive(container, "/s/dir")


def test_everything_of_a_file_is_kept(container, tmp_path):
    source = tmp_path / "source"
    source.mkdir(mode=0o2751)
    os.chmod(source, 0o2751)
    (source / "program").write_text("#!/bin/sh")
    os.chown(source / "program", 1234, 5678)
    os.chmod(source / "program", 0o4755)
    os.link(source / "program", source / "same")
    os.setxattr(source / "program", "user.note", b"\x00\xff")
    os.mkfifo(source / "fifo", 0o600)
    os.symlink("/nowhere", source / "link")
    os.mknod(source / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mkdir(source / "empty")
    (source / "na\udcffme\n").write_text("no UTF-8")
    os.utime(source / "program", ns=(1_000_000_000_123_456_789,) * 2)
    os.utime(source, ns=(987_654_321,) * 2)
    cp(source, f"{container}:/kept")
    assert minict("cp", "-a", f"{container}:/kept", str(tmp_path / "back")).returncode == 0
    os.unlink(source / "null")  # a container's device is not made on the host
    os.utime(source, ns=(987_654_321,) * 2)
    assert tree(tmp_path / "back") == tree(source)
    for name in ("", *tree(source)):
        one, two = os.lstat(source / name), os.lstat(tmp_path / "back" / name)
        kept = (
            "st_mode",
            "st_uid",
            "st_gid",
            "st_mtime_ns",
            "st_rdev",
            *([] if stat.S_ISDIR(one.st_mode) else ["st_size", "st_nlink"]),
        )
        assert {key: getattr(one, key) for key in kept} == {key: getattr(two, key) for key in kept}, name
    assert os.getxattr(tmp_path / "back/program", "user.note") == b"\x00\xff"
    assert os.path.samefile(tmp_path / "back/program", tmp_path / "back/same")
    cp(f"{container}:/kept/program", tmp_path / "mine")
    assert os.stat(tmp_path / "mine").st_uid == os.getuid()


def test_an_archive_comes_from_standard_input(container, tmp_path):
    make_tree(tmp_path / "source")
    for mode in ("w", "w:gz", "w:xz", "w:bz2"):
        data = io.BytesIO()
        with tarfile.open(mode=mode, fileobj=data) as tar:
            tar.add(tmp_path / "source", "a")
        done = minict("cp", "-", f"{container}:/tmp", input=data.getvalue(), text=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert {"tmp/a/dir/sub/two", "tmp/a/file"} <= set(archive(container, "/tmp"))
        done = minict("cp", "-", f"{container}:/nowhere", input=data.getvalue(), text=False)
        assert done.returncode == 1 and done.stderr.count(b"\n") == 1
        half = data.getvalue()[: len(data.getvalue()) // 2]
        done = minict("cp", "-", f"{container}:/tmp", input=half, text=False)
        assert done.returncode == 1 and done.stderr.count(b"\n") == 1, (mode, done.stderr)
    done = minict("cp", "-", f"{container}:/tmp", input=b"no archive" * 100, text=False)
    assert done.returncode == 1 and b"not an archive" in done.stderr


def test_a_reader_that_stops_early_is_not_an_error(container):
    done = subprocess.run(
        f"{os.sys.executable} -m minict export {container} | head -c 100 | wc -c; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout.split() == ["100", "141"] and done.stderr == ""


def test_export_is_the_root_file_system_without_volumes(image, tmp_path):
    flags = ["-v", "/data", "--tmpfs", "/tmp", "--network", "none"]
    script = "echo root > /made; echo volume > /data/made; echo memory > /tmp/made; sleep 1000"
    assert minict("run", "-d", "--name", "export", *flags, image, "sh", "-c", script).returncode == 0
    wait_until(
        lambda: (
            "made" in archive("export", "/tmp/made") if minict("cp", "export:/tmp/made", "-").returncode == 0 else False
        )
    )
    try:
        assert minict("export", "-o", f"{tmp_path}/file.tar", "export").returncode == 0
        with tarfile.open(tmp_path / "file.tar") as tar:
            names = tar.getnames()
        assert {"made", "etc/passwd", "data", "proc", "tmp"} <= set(names) and not {"data/made", "tmp/made"} & set(
            names
        )
        assert minict("import", f"{tmp_path}/file.tar", "exported").returncode == 0
        done = minict("run", "--rm", "--network", "none", "exported", "cat", "/made")
        assert done.stdout == "root\n", done
        assert minict("image", "rm", "exported").returncode == 0
        refused(minict("export", "-o", "/nowhere/x.tar", "export"), "/nowhere")
    finally:
        assert minict("rm", "-f", "-v", "export").returncode == 0


def test_volumes_and_files_in_memory_are_reached(image, tmp_path):
    (tmp_path / "host").mkdir()
    (tmp_path / "file").write_text("to and fro")
    flags = ["-v", f"{tmp_path}/host:/bind", "-v", "cp-volume:/volume", "--tmpfs", "/memory", "--network", "none"]
    assert minict("run", "-d", "--name", "mounted", *flags, image, "sleep", "1000").returncode == 0
    try:
        for place in ("bind", "volume", "memory"):
            cp(tmp_path / "file", f"mounted:/{place}/sent")
            assert minict("exec", "mounted", "cat", f"/{place}/sent").stdout == "to and fro"
            cp(f"mounted:/{place}/sent", tmp_path / f"back-{place}")
        assert (tmp_path / "host/sent").read_text() == "to and fro"
        assert minict("stop", "-t", "0", "mounted").returncode == 0
        cp(tmp_path / "file", "mounted:/volume/stopped")
        cp("mounted:/bind/sent", tmp_path / "back-stopped")
        assert sorted(os.listdir(f"{paths.data_root()}/volumes/cp-volume/_data")) == ["sent", "stopped"]
    finally:
        assert minict("rm", "-f", "mounted").returncode == 0
        assert minict("volume", "rm", "cp-volume").returncode == 0


def test_a_read_only_root_is_one_for_cp_too(image, tmp_path):
    (tmp_path / "file").write_text("x")
    assert (
        minict(
            "create",
            "--name",
            "read-only",
            "--read-only",
            "-v",
            f"{tmp_path}:/data:ro",
            "-v",
            "/open",
            "--network",
            "none",
            image,
            "sleep",
            "1000",
        ).returncode
        == 0
    )
    try:
        for _ in range(2):
            refused(minict("cp", f"{tmp_path}/file", "read-only:/etc/x"), "Read-only file system")
            refused(minict("cp", f"{tmp_path}/file", "read-only:/data/x"), "Read-only file system")
            cp(tmp_path / "file", "read-only:/open/x")
            assert minict("start", "read-only").returncode == 0
    finally:
        assert minict("rm", "-f", "-v", "read-only").returncode == 0


def test_an_id_is_the_one_that_the_container_knows(image, tmp_path):
    """With users of its own, too, whether it runs or not: the mounts of one that runs translate."""
    (tmp_path / "file").write_text("x")
    os.chown(tmp_path / "file", 12, 34)
    assert (
        minict(
            "run",
            "-d",
            "--name",
            "users",
            "--userns",
            "private",
            "-v",
            "/v",
            "--network",
            "none",
            image,
            "sleep",
            "1000",
        ).returncode
        == 0
    )
    try:
        for place in ("/one", "/v/one"):
            cp(tmp_path / "file", f"users:{place}")
            assert minict("exec", "users", "stat", "-c", "%u %g", place).stdout == "12 34\n"
            assert (archive("users", place)["one"].uid, archive("users", place)["one"].gid) == (12, 34)
        assert minict("stop", "-t", "0", "users").returncode == 0
        assert archive("users", "/one")["one"].uid == archive("users", "/v/one")["one"].uid == 12
        cp(tmp_path / "file", "users:/two")
        assert minict("start", "users").returncode == 0
        assert minict("exec", "users", "stat", "-c", "%u %g", "/two").stdout == "12 34\n"
    finally:
        assert minict("rm", "-f", "-v", "users").returncode == 0


# ---- hostile containers --------------------------------------------------------------------------------------------


def test_links_of_a_container_lead_nowhere_outside(container, tmp_path):
    """A host path in a link means the path in the container, for the source and for the destination."""
    (tmp_path / "secret").write_text("of the host")
    (tmp_path / "file").write_text("sent")
    trap = tmp_path / "trap"
    trap.mkdir()
    for name, target in (
        ("abs", str(tmp_path)),
        ("up", "../../../../../../.." + str(tmp_path)),
        ("root", "/proc/1/root"),
        ("loop", "loop"),
        ("self", "/proc/self/root" + str(tmp_path)),
        ("file", f"{tmp_path}/secret"),
    ):
        os.symlink(target, trap / name)
    cp(trap, f"{container}:/trap")
    for path in ("abs/secret", "up/secret", "file", "self/secret", "root/etc/shadow", "loop/x", "loop"):
        refused(minict("cp", "-L", f"{container}:/trap/{path}", f"{tmp_path}/stolen"))
        assert not (tmp_path / "stolen").exists()
    for path in ("abs/new", "up/new", "self/new", "root/new", "loop/new", "loop"):
        refused(minict("cp", f"{tmp_path}/file", f"{container}:/trap/{path}"))
    refused(minict("cp", f"{tmp_path}/file", f"{container}:/trap/file"))  # its directory is not in the container
    assert (tmp_path / "secret").read_text() == "of the host" and sorted(os.listdir(tmp_path)) == [
        "file",
        "secret",
        "trap",
    ]
    # now the container has a directory of the same name: it is used, and not the host's
    os.makedirs(tmp_path / "same/name")
    inner = io.BytesIO()
    with tarfile.open(mode="w", fileobj=inner) as tar:
        member = tarfile.TarInfo(str(tmp_path).lstrip("/"))
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
    assert minict("cp", "-", f"{container}:/", input=inner.getvalue(), text=False).returncode == 0
    cp(tmp_path / "file", f"{container}:/trap/abs/new")
    assert not (tmp_path / "new").exists() and f"{tmp_path.name}/new" in archive(container, str(tmp_path))


def test_a_container_that_swaps_a_directory_and_a_link_gains_nothing(image, tmp_path):
    """CVE-2018-15664: while cp runs, the container keeps exchanging a directory and a link to the host's."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("of the host")
    (tmp_path / "file").write_text("sent")
    script = f"""mkdir -p /data/real; ln -s {outside} /data/link; echo mine > /data/real/secret; touch /data/ready
                 while :; do mv -T /data/real /data/x; mv -T /data/link /data/real
                 mv -T /data/real /data/link; mv -T /data/x /data/real; done"""
    flags = ["-d", "--network", "none", "--name", "swapper", "-v", "/data"]
    assert minict("run", *flags, image, "sh", "-c", script).returncode == 0
    volume = f"{paths.data_root()}/volumes/{Record.find('swapper').mounts[0]['name']}/_data"
    wait_until(lambda: os.path.exists(f"{volume}/ready"))
    got = sent = 0
    try:
        for number in range(30):
            target = tmp_path / f"got-{number}"
            done = minict("cp", "swapper:/data/real/secret", str(target))
            if done.returncode == 0:
                got += 1
                assert target.is_symlink() or target.read_text() == "mine\n"
            sent += minict("cp", str(tmp_path / "file"), "swapper:/data/real/planted").returncode == 0
            assert sorted(os.listdir(outside)) == ["secret"] and (outside / "secret").read_text() == "of the host"
        assert got and sent  # both have been seen to work now and then
    finally:
        assert minict("rm", "-f", "-v", "swapper").returncode == 0


def test_no_library_of_a_container_is_loaded(running, tmp_path):
    """CVE-2019-14271: a process that has entered a container's root may open only the files to copy.

    The test checks the children's system calls after pivot_root: it names each file that they may open.
    """
    make_tree(tmp_path / "source")
    for words in (
        ["cp", str(tmp_path / "source"), f"{running}:/data/in"],
        ["cp", f"{running}:/data/in", str(tmp_path / "out")],
        ["export", running, "-o", str(tmp_path / "x.tar")],
    ):
        subprocess.run(
            [
                "strace",
                "-ff",
                "-qq",
                "-e",
                "trace=pivot_root,setns,openat,open,openat2,execve,mmap",
                "-o",
                str(tmp_path / "trace"),
                os.sys.executable,
                "-m",
                "minict",
                *words,
            ],
            check=True,
            timeout=PATIENCE,
            capture_output=True,
        )
        seen = 0
        for name in [name for name in os.listdir(tmp_path) if name.startswith("trace.")]:
            lines = (tmp_path / name).read_text().splitlines()
            entered = next((n for n, line in enumerate(lines) if line.startswith(("pivot_root", "setns"))), None)
            if entered is not None:
                seen += 1
                loaded = [
                    line
                    for line in lines[entered:]
                    if "execve" in line
                    or "PROT_EXEC" in line
                    or ".py" in line
                    or (".so" in line and "O_PATH" not in line and words[0] != "export")
                ]
                assert loaded == []
            os.unlink(tmp_path / name)
        assert seen == 1


def test_a_fifo_and_a_device_do_not_stop_it(container, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "fifo")
    os.mknod(source / "tape", 0o666 | stat.S_IFCHR, os.makedev(9, 0))
    (source / "z").write_text("after them")
    cp(source, f"{container}:/odd")
    found = archive(container, "/odd")
    assert found["odd/fifo"].isfifo() and found["odd/tape"].ischr() and found["odd/z"].size == 10


def test_a_stopped_container_can_be_started_afterwards(image, tmp_path):
    (tmp_path / "greeting").write_text("hello from outside")
    assert minict("create", "--network", "none", "--name", "later", image, "cat", "/greeting").returncode == 0
    cp(tmp_path / "greeting", "later:/")
    done = minict("start", "-a", "later")
    assert (done.returncode, done.stdout) == (0, "hello from outside")
    cp("later:/greeting", tmp_path / "again")
    assert minict("rm", "later").returncode == 0


@pytest.mark.parametrize("delay", [0.2, 0.35])
def test_a_copy_may_be_killed(container, tmp_path, delay):
    """Its children end with it, nothing stays mounted, and the next copy succeeds."""
    (tmp_path / "big").mkdir()
    for number in range(20):
        (tmp_path / f"big/{number}").write_bytes(os.urandom(1 << 20))
    process = subprocess.Popen(
        [os.sys.executable, "-m", "minict", "cp", str(tmp_path / "big"), f"{container}:/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    cp(tmp_path / "big", f"{container}:/")
    cp(f"{container}:/big", tmp_path / "back")
    assert tree(tmp_path / "back") == tree(tmp_path / "big")
    assert all(
        (tmp_path / f"back/{number}").read_bytes() == (tmp_path / f"big/{number}").read_bytes() for number in range(20)
    )
