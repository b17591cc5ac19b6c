"""Every foreign archive is read by one reader, with limits on its memory and time."""

from __future__ import annotations

import io
import lzma
import os
import tarfile

import pytest

from minict.engine.archive import compression, extract
from minict.runtime.errors import ContainerError
from tests.unit.archive.test_reader import END, plain


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
