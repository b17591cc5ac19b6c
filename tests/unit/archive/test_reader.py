"""Every foreign archive is read by one reader, with limits on its memory and time."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile

import pytest

from minict.engine.archive import extract, reader
from minict.engine.images import tarexport
from minict.runtime.errors import ContainerError
from tests.support.paths import ROOT

_MEMORY = 1 << 30  # bytes of address space, in which a reader with limits has enough


def header(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    """A header of this *kind* with its *content*, to which a size of its own may be given."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, len(content) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def plain(name: str = "a", size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(size + -size % 512)


def record(key: bytes, value: bytes) -> bytes:
    """A record of a pax header, which begins with its own length."""
    length = 0
    while length != (whole := len(b"%d %s=%s\n" % (length, key, value))):
        length = whole
    return b"%d %s=%s\n" % (length, key, value)


END = bytes(1024)


HOSTILE = {
    "negative size": plain() + header(tarfile.REGTYPE, b"", -512) + END,
    "negative size of a pax header": plain() + header(tarfile.XHDTYPE, b"", -512) + plain("b") + END,
    "negative size of a long name": plain() + header(tarfile.GNUTYPE_LONGNAME, b"", -512) + plain("b") + END,
    "records that overlap": header(tarfile.XHDTYPE, b"2 " * (1 << 19) + b"a=b\n") + plain() + END,
    "a record without end": header(tarfile.XHDTYPE, b"9" * (1 << 20)) + plain() + END,
    "a long number": header(tarfile.XHDTYPE, record(b"comment", b"9" * (1 << 20))) + plain() + END,
    "many records": header(tarfile.XHDTYPE, record(b"a", b"b") * 200_000) + plain() + END,
    "headers for all files": b"".join(
        header(tarfile.XGLTYPE, record(b"key%d" % number, b"x" * 60_000)) + plain(str(number)) for number in range(60)
    )
    + END,
    "a size beyond all numbers": header(tarfile.XHDTYPE, record(b"size", b"9" * 40)) + plain() + END,
    "headers upon headers": header(tarfile.XHDTYPE, b"") * 2000 + plain() + END,
    "an endless map of holes": header(
        tarfile.XHDTYPE, record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    )
    + plain("holes", 512)
    + END,
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("read", ["members", "load"])
def test_dishonest_archives_are_refused(kind, read, tmp_path):
    """In a process with little memory, which is ended when it takes long."""
    (tmp_path / "archive").write_bytes(HOSTILE[kind])
    code = {
        "members": "list(reader.members(reader.Stream(open(path, 'rb', 0))))",
        "load": "tarexport.Archive(open(path, 'rb'), 'the archive')",
    }[read]
    script = (
        f"import sys, resource; sys.path.insert(0, {ROOT!r}); path = sys.argv[1]\n"
        "import tarfile; from minict.engine.archive import reader; from minict.engine.images import tarexport\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY}, {_MEMORY}))\n"
        f"try: {code}\n"
        "except (reader.Refused, tarfile.TarError, tarexport.ContainerError) as error: print(error)\n"
        "else: print('taken')"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "archive"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if kind != "a size beyond all numbers":  # it is the end of the archive to tarfile
        assert done.stdout.strip() != "taken" and "Traceback" not in done.stderr


def test_impossible_owners_and_times_are_one_sentence(tmp_path):
    for headers in ({"uid": "9" * 30}, {"mtime": "9" * 30}, {"mtime": "nan"}, {"path": "a\0b"}):
        info = tarfile.TarInfo("f")
        info.pax_headers = headers
        with pytest.raises(ContainerError) as told:
            extract.unpack(io.BytesIO(info.tobuf(tarfile.PAX_FORMAT) + END), str(tmp_path))
        assert "Error:" not in str(told.value)


def test_attributes_and_long_names_of_honest_archives_are_kept():
    info = tarfile.TarInfo("n" * 3000)
    info.pax_headers = {"SCHILY.xattr.user.a": "v" * 60_000, "comment": "1234567890" * 20}
    found = list(reader.members(reader.Stream(io.BytesIO(info.tobuf(tarfile.PAX_FORMAT) + END))))
    assert [(member.name, len(member.pax_headers["SCHILY.xattr.user.a"])) for member in found] == [("n" * 3000, 60_000)]


def test_an_image_listed_often_is_read_once(tmp_path, monkeypatch):
    with open(tmp_path / "archive", "wb") as file:
        file.write(plain("layer", 1000) + END)
    archive = tarexport.Archive(open(tmp_path / "archive", "rb"), "the archive")
    first = archive.described("layer")
    monkeypatch.setattr(archive, "part", None)
    assert archive.described("layer") is first
    archive.file.close()
