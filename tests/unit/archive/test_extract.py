"""Archives: the content of an honest one is kept completely, and a hostile one changes nothing outside."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile

import pytest

from minict.engine.archive import extract
from minict.runtime.errors import ContainerError


def archive_of(*members, format=tarfile.PAX_FORMAT):
    """A tar archive as bytes.  A member: a name with what it contains, or a dict of TarInfo's fields."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for fields in members:
            data = fields.pop("data", b"")
            info = tarfile.TarInfo(fields.pop("name"))
            info.size = len(data)
            for key, value in fields.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def file(name, data=b"", **fields):
    return {"name": name, "data": data, "mode": 0o644, **fields}


def directory(name, **fields):
    return {"name": name, "type": tarfile.DIRTYPE, "mode": 0o755, **fields}


def symlink(name, target):
    return {"name": name, "type": tarfile.SYMTYPE, "linkname": target}


def device(name, major, minor, kind=tarfile.CHRTYPE):
    return {"name": name, "type": kind, "devmajor": major, "devminor": minor, "mode": 0o666}


def open_up(data, target, **options):
    return extract.unpack(io.BytesIO(data), str(target), **options)


def tree(top):
    """All that can be known of the files below *top*, by their names."""
    files, inodes = {}, {}
    for parent, directories, names in os.walk(top):
        for path in [parent] * (parent == str(top)) + [f"{parent}/{name}" for name in directories + names]:
            status = os.lstat(path)
            known = {
                "mode": oct(status.st_mode),
                "owner": (status.st_uid, status.st_gid),
                "time": status.st_mtime_ns,
                "xattrs": {
                    name: os.getxattr(path, name, follow_symlinks=False)
                    for name in os.listxattr(path, follow_symlinks=False)
                },
            }
            inodes.setdefault(status.st_ino, set()).add(os.path.relpath(path, top))
            known["names"] = inodes[status.st_ino]  # one set for all names of a file, complete at the end
            if stat.S_ISLNK(status.st_mode):
                known["target"] = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as content:
                    known["content"] = hashlib.sha256(content.read()).hexdigest()
            elif not stat.S_ISDIR(status.st_mode):
                known["device"] = status.st_rdev
            files[os.path.relpath(path, top)] = known
    return files


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@pytest.fixture
def outside(tmp_path):
    """The file that every attack aims at, and the proof that none has changed it."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text("untouched")
    before = tree(path)
    yield path
    assert tree(path) == before
    assert sorted(os.listdir(tmp_path)) == ["outside", "target"]


def test_a_damaged_header_in_the_middle_is_noticed(target):
    data = bytearray(archive_of(file("a", b"1"), file("b", b"2")))
    data[1024 + 5] ^= 1
    with pytest.raises(ContainerError, match="damaged"):
        open_up(bytes(data), target)


def attack(target, outside, *members):
    """Unpack the archive; it may be refused or not: the fixture *outside* checks the result."""
    try:
        open_up(archive_of(*members), target)
    except ContainerError as error:
        return str(error)
    return ""


def test_a_symbolic_link_does_not_lead_out(target, outside):
    links = {"direct": str(outside), "relative": "../outside", "root": "/", "up": "../../../../.."}
    for name, to in links.items():
        attack(
            target,
            outside,
            symlink(name, to),
            file(f"{name}/secret", b"evil"),
            file(f"{name}/{str(outside).lstrip('/')}/secret", b"evil"),
        )


def test_a_chain_of_symbolic_links_does_not_lead_out(target, outside):
    attack(
        target,
        outside,
        symlink("a", "."),
        symlink("a/b", ".."),
        symlink("a/b/c", ".."),
        symlink("d", "a/b/c/.."),
        symlink("e", "d/outside"),
        file("e/secret", b"evil"),
        file("d/outside/secret", b"evil"),
    )


def test_a_directory_in_the_place_of_a_link_does_not_change_what_the_link_led_to(target, outside):
    attack(target, outside, symlink("out", str(outside)), directory("out", mode=0o777, uid=666))
    attack(target, outside, symlink("later", str(outside)), directory("d"), directory("d/later", mode=0o777))


@pytest.mark.parametrize(
    "fields",
    [
        {"uid": 1 << 40},
        {"gid": 1 << 33},
        {"mtime": 1 << 80},
        {"devmajor": 1 << 20},
        {"pax_headers": {"mtime": "nan"}},
        {"pax_headers": {"mtime": "9" * 6000}},
        {"pax_headers": {"SCHILY.xattr.nonsense": "1"}},
        {"pax_headers": {"SCHILY.xattr.user." + "n" * 300: "1"}},
        {"pax_headers": {"SCHILY.xattr.security.capability": "short"}},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_absurd_attributes_are_one_sentence_without_a_traceback(target, outside, fields):
    words = attack(target, outside, device("d", 1, 3) | fields if "devmajor" in fields else file("f", b"1") | fields)
    assert words == "" or words.startswith("the archive can't be extracted: "), words


def test_bytes_after_the_end_count_too(target):
    with pytest.raises(ContainerError, match="bytes"):
        open_up(gzip.compress(archive_of(file("a")) + bytes(8 << 20)), target, max_bytes=1 << 20)


@pytest.mark.parametrize("map", ["-5,1", "0,99999999", "0,1,5", "0,-7", "9223372036854775807,1", "x,y"])
def test_a_false_map_of_holes_is_one_sentence(target, map):
    headers = {"GNU.sparse.numblocks": "1", "GNU.sparse.map": map, "GNU.sparse.size": "1000"}
    try:
        open_up(archive_of(file("holes", b"1", pax_headers=headers), file("after", b"2")), target)
    except ContainerError as error:
        assert str(error).startswith("the archive ")
    assert sum(path.stat().st_size for path in target.rglob("*")) < 1 << 20


def member_with_size(kind, size):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def test_headers_upon_headers_are_refused(target):
    with pytest.raises(ContainerError):
        open_up(member_with_size(tarfile.XHDTYPE, 0) * 5000 + archive_of(file("a")), target)


def test_no_descriptor_and_no_process_is_left(target):
    def belongings():
        with open(f"/proc/self/task/{os.getpid()}/children") as children:
            return sorted(os.listdir("/proc/self/fd")), children.read()

    before = belongings()
    for data in (archive_of(file("a")), b"no archive", gzip.compress(archive_of(file("b")))[:-5]):
        try:
            open_up(data, target)
        except ContainerError:
            pass
    assert belongings() == before
