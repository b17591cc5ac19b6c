"""Archives: the content of an honest one is kept completely, and a hostile one changes nothing outside."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import random
import stat
import subprocess
import sys
import tarfile
import time

import pytest

from minict.engine.archive import compression, extract, reader
from minict.engine.images import diff
from minict.runtime.errors import ContainerError
from tests.support.paths import ROOT
from tests.unit.archive.test_extract import (  # noqa: F401  fixtures
    archive_of,
    attack,
    device,
    directory,
    file,
    member_with_size,
    open_up,
    outside,
    symlink,
    target,
    tree,
)

KILLS_FILE = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"  # cap_net_raw=ep


def hard_link(name, target):
    return {"name": name, "type": tarfile.LNKTYPE, "linkname": target}


@pytest.fixture
def everything(tmp_path):
    """A directory with one file of each kind, and the attributes that are easily lost."""
    top = tmp_path / "everything"
    (top / "dir/sub").mkdir(parents=True)
    (top / "dir/plain").write_bytes(b"plain")
    (top / "dir/sub/empty").touch()
    (top / ("long-" + "n" * 120) / ("m" * 200)).mkdir(parents=True)
    (top / ("long-" + "n" * 120) / ("m" * 200) / ("o" * 250)).write_bytes(b"far away")
    (top / "umläut ☃ and\nnewline").write_text("x")
    with open(os.fsencode(top) + b"/not-utf8-\xff\xfe", "wb") as odd:
        odd.write(b"bytes")
    (top / "relative").symlink_to("dir/plain")
    (top / "absolute").symlink_to("/etc/passwd")
    (top / "dangling").symlink_to("../../nowhere/" + "p" * 150)
    os.link(top / "dir/plain", top / "again")
    os.link(top / "relative", top / "relative-again")
    os.mkfifo(top / "fifo", 0o620)
    os.mknod(top / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(top / "disk", 0o660 | stat.S_IFBLK, os.makedev(259, 70000))
    with open(top / "holes", "wb") as holes:
        for place in (0, 3 << 20, 40 << 20):
            holes.seek(place)
            holes.write(b"data" * 1000)
        holes.truncate(64 << 20)
    (top / "capable").write_bytes(b"ping")
    (top / "suid").write_bytes(b"su")
    owners = {
        "capable": (0, 0, 0o755),
        "suid": (0, 5, 0o6755),
        "dir/plain": (1000, 100, 0o640),
        "dir": (12345678, 87654321, 0o2775),
        "dir/sub": (0, 0, 0o1555),
        "null": (33, 33, 0o600),
    }
    for name, (uid, gid, mode) in owners.items():
        os.chown(top / name, uid, gid)
        os.chmod(top / name, mode)
    os.chown(top / "relative", 77, 78, follow_symlinks=False)
    os.setxattr(top / "capable", "security.capability", KILLS_FILE)
    os.setxattr(top / "dir", "user.binary", bytes(range(256)))
    os.setxattr(top / "dir/plain", "user.text", "grün\n".encode())
    os.setxattr(top / "dir/plain", "trusted.mine", b"yes")
    for number, path in enumerate(list(top.rglob("*"))[::-1] + [top]):
        os.utime(path, ns=(1, 1_500_000_000_123_456_789 + number * 10**15), follow_symlinks=False)
    os.utime(top / "dir/sub/empty", ns=(1, -(10**9) * 86400))  # before 1970
    return top


@pytest.mark.parametrize(
    "options",
    [
        ["--format=pax"],
        ["--format=pax", "--sparse"],
        ["--format=gnu"],
        ["--format=pax", "--sparse", "--sparse-version=0.1"],
        ["--format=gnu", "--sparse"],
    ],
    ids=" ".join,
)
def test_unpack_agrees_with_gnu_tar(tmp_path, target, everything, options):
    xattrs = ["--xattrs", "--xattrs-include=*"] if "--format=pax" in options else []
    (tmp_path / "by-tar").mkdir()
    tar = ["tar", *xattrs, "--numeric-owner", "-f", tmp_path / "a.tar", "-C"]
    subprocess.run([*tar, everything, "-c", *options, "."], check=True)
    subprocess.run([*tar, tmp_path / "by-tar", "-xp", "--same-owner"], check=True)
    with open(tmp_path / "a.tar", "rb") as archive:
        contents = extract.unpack(archive, str(target))
    assert tree(target) == tree(tmp_path / "by-tar")
    if xattrs:
        assert tree(target) == tree(everything)
    assert contents.digest == hashlib.sha256((tmp_path / "a.tar").read_bytes()).hexdigest()
    assert contents.entries == len(tree(target))
    if "--sparse" in options:
        assert os.stat(target / "holes").st_blocks * 512 < 2 << 20


def test_pack_and_unpack_are_each_others_reverse(tmp_path, target, everything):
    first, second = io.BytesIO(), io.BytesIO()
    contents = diff.pack(str(everything), first)
    assert open_up(first.getvalue(), target) == contents
    assert tree(target) == tree(everything)
    assert diff.pack(str(target), second) == contents and second.getvalue() == first.getvalue()
    (tmp_path / "by-tar").mkdir()
    subprocess.run(
        [
            "tar",
            "--xattrs",
            "--xattrs-include=*",
            "-xpf",
            "-",
            "--same-owner",
            "--numeric-owner",
            "-C",
            tmp_path / "by-tar",
        ],
        input=first.getvalue(),
        check=True,
    )
    assert tree(tmp_path / "by-tar") == tree(everything)


def test_ustar_names_with_a_prefix(target):
    name = "/".join(["d" * 60] * 3)
    open_up(archive_of(file(name, b"1"), format=tarfile.USTAR_FORMAT), target)
    assert (target / name).read_bytes() == b"1"


SKIPPED = b"\x5a\x2a\x4d\x18\4\0\0\0four"  # RFC 8878, 3.1.2

COMPRESSIONS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: compression.zstd().compress(data),
    # a skippable frame before and after the data, as pzstd and zstd:chunked have them
    "zstd, skippable": lambda data: SKIPPED + compression.zstd().compress(data) + SKIPPED + SKIPPED,
}


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_compressions_are_recognized_and_a_truncated_one_is_noticed(target, compress):
    noise = random.Random(1).randbytes(300_000)
    data = archive_of(file("a", noise))
    packed = compress(data)
    assert open_up(packed, target).digest == hashlib.sha256(data).hexdigest()
    assert (target / "a").read_bytes() == noise
    for length in (len(packed) // 2, 250_000, 600):
        with pytest.raises(ContainerError, match="damaged or truncated"):
            open_up(packed[:length], target)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_a_flipped_bit_in_a_compressed_archive_is_noticed(target, compress):
    packed = bytearray(compress(archive_of(file("a", random.Random(2).randbytes(100_000)))))
    packed[len(packed) // 2] ^= 0x10
    with pytest.raises(ContainerError, match="damaged or truncated"):
        open_up(bytes(packed), target)


def test_a_plain_archive_cut_anywhere_is_noticed(target):
    data = archive_of(directory("d"), file("d/a", b"1" * 700), file("d/b"), symlink("c", "d"), file("e" * 150, b"2"))
    end = len(data.rstrip(b"\0"))
    end += -end % 512
    for length in range(0, end + 1, 256):
        with pytest.raises(ContainerError, match="damaged or truncated|not a tar archive"):
            open_up(data[:length], target)
    assert open_up(data[: end + 512], target).entries == 5


def test_a_layer_may_lack_the_end_mark_because_its_digest_tells_whether_it_is_whole(target):
    data = archive_of(file("a", b"1" * 512))[:1024]
    assert open_up(data, target, whiteouts=True).entries == 1
    with pytest.raises(ContainerError, match="its end is missing"):
        open_up(data, target)
    with pytest.raises(ContainerError, match="damaged or truncated"):
        open_up(data[:-1], target, whiteouts=True)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"#!/bin/sh\n" * 1000, b"PK\x03\x04" + bytes(5000), b"\xff" * 4096],
    ids=["empty", "short", "script", "zip", "ones"],
)
def test_something_other_than_an_archive_is_named_as_such(target, data):
    with pytest.raises(ContainerError, match="not a tar archive"):
        open_up(data, target)


# ---- attacks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../outside/secret",
        "../../../../../../../../etc/minict-attack",
        "a/../../outside/secret",
        "./../outside/secret",
        "..//..//outside/secret",
        "a/b/c/../../../../outside/new",
    ],
)
def test_dot_dot_ends_at_the_top(target, outside, name):
    assert attack(target, outside, file(name, b"evil")) == ""
    assert not os.path.exists("/etc/minict-attack")
    found = [path for path in target.rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in found] == [b"evil"]


def test_an_absolute_name_is_one_below_the_target(target, outside):
    assert attack(target, outside, file(f"{outside}/secret", b"evil"), file("//etc//minict-attack", b"evil")) == ""
    assert (target / f"{outside}/secret".lstrip("/")).read_bytes() == b"evil"
    assert (target / "etc/minict-attack").exists() and not os.path.exists("/etc/minict-attack")


def test_the_last_link_of_a_name_is_replaced_and_not_followed(target, outside):
    assert attack(target, outside, symlink("out", f"{outside}/secret"), file("out", b"mine")) == ""
    assert (target / "out").read_bytes() == b"mine" and not (target / "out").is_symlink()
    assert attack(target, outside, file("in", b"kept"), symlink("to-in", "in"), file("to-in", b"new")) == ""
    assert (target / "in").read_bytes() == b"kept" and (target / "to-in").read_bytes() == b"new"


def test_a_hard_link_can_not_reach_outside(target, outside):
    words = attack(target, outside, hard_link("stolen", f"{outside}/secret"), file("stolen", b"evil"))
    assert "hard link" in words and "not in it" in words
    assert "hard link" in attack(target, outside, hard_link("stolen", "../outside/secret"))
    attack(target, outside, symlink("out", str(outside)), hard_link("stolen", "out/secret"), file("stolen", b"evil"))
    assert os.stat(outside / "secret").st_nlink == 1


def test_a_hard_link_to_a_link_is_a_link_and_to_itself_is_refused(target, outside):
    attack(target, outside, symlink("out", f"{outside}/secret"), hard_link("two", "out"), file("two", b"evil"))
    assert (target / "two").read_bytes() == b"evil"
    assert "hard link to itself" in attack(target, outside, file("x", b"1"), hard_link("x", "x"))
    assert "not permitted" in attack(target, outside, hard_link("y", "."))


def test_nothing_is_written_into_a_device_or_a_pipe(target, outside):
    """The device is made, as tar does; the file of the same name then takes its place."""
    started = time.monotonic()
    assert (
        attack(
            target,
            outside,
            device("full", 1, 7),
            file("full", b"no error: not the device that is always full"),
            {"name": "pipe", "type": tarfile.FIFOTYPE},
            file("pipe", b"no waiting for a reader"),
        )
        == ""
    )
    assert (target / "full").is_file() and (target / "pipe").is_file() and time.monotonic() - started < 10


def test_a_file_in_the_place_of_a_directory_replaces_it_and_the_other_way_round(target, outside):
    assert attack(target, outside, file("d/e/f", b"1"), file("d", b"2"), file("g", b"3"), file("g/h", b"4")) == ""
    assert (target / "d").read_bytes() == b"2" and (target / "g/h").read_bytes() == b"4"


@pytest.mark.parametrize("name", [".", "/", "..", "a/..", "./"])
def test_the_root_directory_stays_one(target, outside, name):
    assert "root directory" in attack(target, outside, file(name, b"x"))
    assert "root directory" in attack(target, outside, symlink(name, str(outside)))
    assert attack(target, outside, directory(name, mode=0o750, uid=5)) == ""
    assert stat.S_IMODE(os.stat(target).st_mode) == 0o750 and os.stat(target).st_uid == 5


def test_absurd_names_are_one_sentence(target, outside):
    assert "too long" in attack(target, outside, file("n" * 256, b""))
    for members in (
        [file("a/" * 5000 + "b")],
        [file("x" * 100_000)],
        [symlink("s", "y" * 5000)],
        [symlink("s", "")],
        [symlink("l", "l"), file("l/x")],
    ):
        words = attack(target, outside, *members)
        assert words == "" or words.startswith("the archive can't be extracted: "), words


def test_overlayfs_attributes_in_an_archive_are_ignored(target, outside):
    headers = {
        f"SCHILY.xattr.{space}.overlay.{name}": value
        for space in ("trusted", "user")
        for name, value in (("redirect", "/etc"), ("opaque", "y"), ("metacopy", ""))
    }
    assert attack(target, outside, directory("d", pax_headers=headers | {"SCHILY.xattr.user.good": "1"})) == ""
    assert os.listxattr(target / "d") == ["user.good"]


# ---- bombs ---------------------------------------------------------------------------------------------------------


def test_too_many_bytes_are_refused_when_the_limit_is_reached(target):
    data = gzip.compress(archive_of(file("zeros", bytes(64 << 20))))
    with pytest.raises(ContainerError, match=f"more than {1 << 20} bytes"):
        open_up(data, target, max_bytes=1 << 20)
    assert sum(path.stat().st_size for path in target.rglob("*")) <= 1 << 20


def test_too_many_files_are_refused(target):
    with pytest.raises(ContainerError, match="more than 50 files"):
        open_up(archive_of(*[file(f"f{number}") for number in range(51)]), target, max_entries=50)
    assert len(os.listdir(target)) == 50


def test_a_hole_of_absurd_size_is_refused(target):
    headers = {"GNU.sparse.numblocks": "1", "GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 50)}
    with pytest.raises(ContainerError, match="bytes"):
        open_up(archive_of(file("holes", b"1", pax_headers=headers)), target)
    assert os.listdir(target) == []


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_of_absurd_size_is_refused_before_it_is_in_memory(target, kind):
    """The zeros that follow would be a gigabyte of name.  Newer tarfiles ask for it in pieces, so there are enough of
    them."""
    with pytest.raises(ContainerError, match="header of more than"):
        open_up(
            archive_of(file("a"))[:512] + member_with_size(kind, 1 << 30) + bytes(reader.MAX_HEADER + (1 << 20)),
            target,
        )


def test_a_negative_size_is_refused(target):
    with pytest.raises(ContainerError, match="size -|damaged|no tar"):
        open_up(archive_of(file("a"))[:512] + member_with_size(tarfile.REGTYPE, -512) + bytes(1024), target)


# ---- layers --------------------------------------------------------------------------------------------------------


def is_whiteout(path):
    status = os.lstat(path)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path):
    return "trusted.overlay.opaque" in os.listxattr(path) and os.getxattr(path, "trusted.overlay.opaque") == b"y"


def test_whiteouts_become_those_of_overlayfs(target):
    open_up(
        archive_of(
            directory("d"),
            file("d/.wh.gone"),
            file("o/.wh..wh..opq"),
            file("o/new", b"1"),
            file(".wh..wh.plnk"),
            file(".wh..wh.aufs"),
            file("deep/er/.wh.x"),
        ),
        target,
        whiteouts=True,
    )
    assert is_whiteout(target / "d/gone") and is_whiteout(target / "deep/er/x")
    assert is_opaque(target / "o") and not is_opaque(target / "d")
    assert not list(target.rglob(".wh.*"))


def test_without_the_option_they_are_ordinary_files(target):
    open_up(archive_of(file("d/.wh.gone", b"1")), target)
    assert (target / "d/.wh.gone").read_bytes() == b"1"


def test_a_name_deleted_below_and_created_again_hides_the_lower_one(target):
    open_up(
        archive_of(
            file(".wh.a"),
            directory("a"),
            directory("b"),
            file(".wh.b"),
            file("c", b"1"),
            file(".wh.c"),
            file(".wh.f"),
            file("f", b"2"),
        ),
        target,
        whiteouts=True,
    )
    assert is_opaque(target / "a") and is_opaque(target / "b")
    assert (target / "c").read_bytes() == b"1" and (target / "f").read_bytes() == b"2"


@pytest.mark.parametrize("name", [".wh...", ".wh..", ".wh.", "d/.wh...", "d/.wh.."])
def test_a_whiteout_of_dot_dot_is_refused(target, outside, name):
    with pytest.raises(ContainerError, match="deletes"):
        open_up(archive_of(directory("d"), file(name)), target, whiteouts=True)


def test_a_whiteout_through_a_link_stays_inside(target, outside):
    open_up(
        archive_of(
            symlink("out", str(outside)),
            file("out/.wh.secret"),
            file("out/.wh..wh..opq"),
            file("../outside/.wh.secret"),
        ),
        target,
        whiteouts=True,
    )


def test_overlayfs_sees_what_the_layers_say(tmp_path):
    from minict.kernel import mount

    layers = [
        [
            directory("d"),
            file("d/old", b"1"),
            file("gone", b"1"),
            directory("o"),
            file("o/old", b"1"),
            directory("again"),
            file("again/old", b"1"),
        ],
        [
            file(".wh.gone"),
            file("o/.wh..wh..opq"),
            file("o/new", b"2"),
            file("d/new", b"2"),
            file(".wh.again"),
            directory("again"),
            file("again/new", b"2"),
        ],
    ]
    for number, members in enumerate(layers):
        (tmp_path / str(number)).mkdir()
        open_up(archive_of(*members), tmp_path / str(number), whiteouts=True)
    (tmp_path / "merged").mkdir()
    mount.mount("overlay", str(tmp_path / "merged"), "overlay", 0, f"lowerdir={tmp_path}/1:{tmp_path}/0")
    try:
        paths = [path for path in (tmp_path / "merged").rglob("*") if path.is_file()]
        found = {str(path.relative_to(tmp_path / "merged")) for path in paths}
    finally:
        mount.umount2(str(tmp_path / "merged"))
    assert found == {"d/old", "d/new", "o/new", "again/new"}


# ---- the child -----------------------------------------------------------------------------------------------------


def test_a_fresh_interpreter_needs_no_module_after_chroot(tmp_path, target, everything):
    """The target has no library: a late import would fail."""
    with open(tmp_path / "a.tar", "wb") as archive:
        diff.pack(str(everything), archive)
    code = (
        f"import sys; sys.path.insert(0, {ROOT!r}); from minict.engine.archive import extract as unpack; "
        "print(unpack.unpack(sys.stdin.buffer, sys.argv[1]).entries)"
    )
    for extra in (b"", member_with_size(tarfile.REGTYPE, -512)):  # the way of an error as well
        data = (tmp_path / "a.tar").read_bytes()
        data = data[:-10240] + extra + bytes(10240) if extra else data
        result = subprocess.run([sys.executable, "-I", "-S", "-c", code, target], input=data, capture_output=True)
        assert b"ModuleNotFoundError" not in result.stderr
        if extra:
            assert b"extract.Failure" in result.stderr
        else:
            assert result.stdout.decode().strip() == str(len(tree(everything))), result.stderr.decode()


def test_a_locale_that_is_not_utf8_changes_no_name(tmp_path, target):
    data = archive_of(file("ä", b"1"))
    code = (
        f"import sys; sys.path.insert(0, {ROOT!r}); from minict.engine.archive import extract as unpack; "
        "unpack.unpack(sys.stdin.buffer, sys.argv[1])"
    )
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-S", "-c", code, target], input=data, env=environment, check=True)
    assert os.listdir(os.fsencode(target)) == ["ä".encode()]


SIGTERM_IN_A_HOOK = """
import io, os, signal, sys
from minict.engine.archive import extract

def end(*_):
    raise SystemExit(7)

signal.signal(signal.SIGTERM, end)
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
extract.unpack(io.BytesIO(sys.stdin.buffer.read()), sys.argv[1])
print("extracted, as if nobody had said anything")
"""


def test_sigterm_during_the_fork_is_not_swallowed(tmp_path):
    """Python prints and ignores exceptions in its hooks around a fork, which happened when one layer of several
    failed."""
    told = subprocess.run(
        [sys.executable, "-c", SIGTERM_IN_A_HOOK, str(tmp_path)],
        input=archive_of(file("note", b"x" * 100)),
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    assert (told.returncode, told.stdout, told.stderr) == (7, b"", b"")
