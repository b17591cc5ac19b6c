"""Compressed archives: gzip, bzip2, xz and zstd, recognized by their first bytes; file names do not matter.

A compressed stream is a chain of *members*, each complete by itself.  A few bytes may stand for gigabytes, so nothing
here ever decompresses more than it is asked for.  Sources: RFC 1952 (gzip), RFC 8878 (zstd).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minict.runtime.errors import ContainerError

Maker = Callable[[], Any]  # makes a decompressor

_CHUNK = 1 << 20
# The memory that a stream may make a decompressor use: xz -9 uses 65 MiB, zstd at most 8, with --ultra 128.
MAX_MEMORY = 256 << 20
MAX_WINDOW = 128 << 20


def decompressor(start: bytes, name: str = "the archive") -> Maker | None:
    """A function that makes decompressors for a stream that begins with *start*; None if it is not compressed.

    Each decompressor is good for one member, and has the interface of :class:`bz2.BZ2Decompressor`. Raises
    :class:`ContainerError` if this Python lacks the module.
    """
    if start.startswith(b"\x1f\x8b"):
        return _gzip()
    if start.startswith(b"BZh"):
        import bz2

        return bz2.BZ2Decompressor
    if start.startswith(b"\xfd7zXZ\0"):
        import lzma

        return lambda: lzma.LZMADecompressor(memlimit=MAX_MEMORY)
    # pzstd begins with a skippable frame, and zstd:chunked ends with some (RFC 8878, 3.1.2)
    if start.startswith(b"\x28\xb5\x2f\xfd") or (start[1:4] == b"\x2a\x4d\x18" and start[0] >> 4 == 5):
        return _zstd(zstd(name))
    return None


def _zstd(module: Any) -> Maker:
    limits = {module.DecompressionParameter.window_log_max: MAX_WINDOW.bit_length() - 1}
    return lambda: module.ZstdDecompressor(options=limits)


def _gzip() -> Maker:
    """The decompressor of Intel's ISA-L, which is three times as fast, if the package isal is installed; else
    zlib's."""
    try:
        from isal import igzip_lib

        return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    except ImportError:
        import zlib

        return lambda: _Zlib(zlib.decompressobj(31))


def gzip_into(path: str) -> _Closing:
    """Open the new file *path* for writing with gzip. The same content gives the same file, because *mtime* is 0."""
    file = open(path, "xb")
    try:
        from isal import igzip

        return _Closing(igzip.IGzipFile(filename="", mode="wb", fileobj=file, compresslevel=3, mtime=0), file)
    except ImportError:
        import gzip

        return _Closing(gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0), file)


class _Closing:
    """A compressor that also closes the file below it."""

    def __init__(self, compressor: Any, file: Any):
        self.write, self._files = compressor.write, (compressor, file)

    def __enter__(self) -> _Closing:
        return self

    def __exit__(self, *exception: object) -> None:
        for file in self._files:
            file.close()


def zstd(name: str = "the archive") -> Any:
    """The module for zstd: part of Python from 3.14 on, before that the package backports.zstd."""
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise ContainerError(
                f"{name} is compressed with zstd, which this Python can't read: run  pip install backports.zstd"
            ) from None
    return zstd


class _Zlib:
    """zlib's decompressor with the interface of the others: it keeps the input that it has not processed yet."""

    def __init__(self, inner: Any):
        self._inner = inner

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def decompressed(read: Callable[[int], bytes], make: Maker | None) -> Iterator[bytes]:
    """Yield the decompressed data of *read(size)* in pieces of at most 1 MiB; *make*: see :func:`decompressor`.

    Raises :class:`EOFError` for truncated data, and the decompressor's own exception for damaged data.
    """
    if make is None:
        while chunk := read(_CHUNK):
            yield chunk
        return
    member, data = make(), b""
    while True:
        if not data and member.needs_input and not (data := read(_CHUNK)):
            raise EOFError("it is truncated")
        chunk = member.decompress(data, _CHUNK)
        data = b""
        if chunk:
            yield chunk
        if member.eof:
            data = member.unused_data or read(_CHUNK)
            if not data.strip(b"\0"):  # zeros may follow, as on a tape
                while more := read(_CHUNK):
                    if more.strip(b"\0"):
                        raise EOFError("other data follow its end")
                return
            member = make()
