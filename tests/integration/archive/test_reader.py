"""Every archive of a stranger is read by one reader, whose memory and time the archive does not choose."""

from __future__ import annotations

import io
import lzma
import os
import subprocess
import sys
import tarfile

import pytest

from minict.engine.archive import compression, extract, reader
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
def test_what_no_honest_archive_has_is_refused(kind, read, tmp_path):
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


def refuses(data: bytes, target, words: str) -> None:
    with pytest.raises(ContainerError, match=words):
        extract.unpack(io.BytesIO(data), str(target))


def named(name: str) -> bytes:
    info = tarfile.TarInfo(name)
    return info.tobuf(tarfile.PAX_FORMAT) + END


def test_a_path_that_is_too_long_or_too_deep_is_refused(tmp_path):
    refuses(named("/".join(["x" * 200] * 30)), tmp_path, "the limit for a path is")
    refuses(named("d/" * 1200 + "f"), tmp_path, "directories: the limit")
    assert os.listdir(tmp_path) == []


def test_a_deep_path_is_made_and_replaced(tmp_path):
    info = tarfile.TarInfo("d")
    extract.unpack(io.BytesIO(named("d/" * 900 + "f")[:-1024] + info.tobuf() + END), str(tmp_path))
    assert (tmp_path / "d").is_file()


def test_impossible_owners_and_times_get_a_sentence(tmp_path):
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


def test_xz_takes_only_so_much_memory(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    refuses(lzma.compress(plain(size=1 << 20) + END, filters=filters), tmp_path, "damaged")
    filters[0]["dict_size"] = 64 << 20  # xz -9
    extract.unpack(io.BytesIO(lzma.compress(plain() + END, filters=filters)), str(tmp_path))


def test_zstd_takes_only_so_much_memory(tmp_path):
    zstd = compression.zstd()
    options = {zstd.CompressionParameter.window_log: 30, zstd.CompressionParameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=options)
    data = compressor.compress(plain(size=1 << 20) + END) + compressor.flush()  # of a size that is not told before
    refuses(data, tmp_path, "damaged")
    extract.unpack(io.BytesIO(zstd.compress(plain() + END, level=19)), str(tmp_path))


def test_an_image_listed_often_is_read_once(tmp_path, monkeypatch):
    with open(tmp_path / "archive", "wb") as file:
        file.write(plain("layer", 1000) + END)
    archive = tarexport.Archive(open(tmp_path / "archive", "rb"), "the archive")
    first = archive.described("layer")
    monkeypatch.setattr(archive, "part", None)
    assert archive.described("layer") is first
    archive.file.close()
