"""Compressed archives: gzip, bzip2, xz and zstd, told apart by their first bytes; what they are called matters to
nobody.

A compressed stream is a chain of *members*, each whole by itself, and a few bytes may stand for gigabytes: nothing here
ever makes more than it is asked for.  Source: RFC 1952 (gzip), RFC 8878 (zstd).
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

_CHUNK = 1 << 20
# How much memory a stream may make a decompressor take: xz -9 takes 65 MiB, zstd without --ultra at most 8, with it 128.
MAX_MEMORY = 256 << 20
MAX_WINDOW = 128 << 20


def decompressor(start: bytes, name: str = "the archive"):
    """What makes decompressors for a stream that begins with *start*; None when it is not compressed.

    One is good for one member, and has the methods and fields of :class:`bz2.BZ2Decompressor`.
    Raises :class:`ContainerError` when this Python lacks the module.
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


def _zstd(module):
    limits = {module.DecompressionParameter.window_log_max: MAX_WINDOW.bit_length() - 1}
    return lambda: module.ZstdDecompressor(options=limits)


def _gzip():
    """Intel's library, which is three times as fast, where the package isal is installed; else zlib's own."""
    try:
        from isal import igzip_lib

        return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    except ImportError:
        import zlib

        return lambda: _Zlib(zlib.decompressobj(31))


def gzip_into(path: str):
    """A file whose content is gzipped into the new file *path*, the same for the same content: *mtime* is 0.  Close
    it."""
    file = open(path, "xb")
    try:
        from isal import igzip

        return _Closing(igzip.IGzipFile(filename="", mode="wb", fileobj=file, compresslevel=3, mtime=0), file)
    except ImportError:
        import gzip

        return _Closing(gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0), file)


class _Closing:
    """A compressor, and the file below it, which it does not close by itself."""

    def __init__(self, compressor, file):
        self.write, self._files = compressor.write, (compressor, file)

    def __enter__(self) -> _Closing:
        return self

    def __exit__(self, *exception) -> None:
        for file in self._files:
            file.close()


def zstd(name: str = "the archive"):
    """The module for zstd: part of Python from 3.14 on, and before that the same code as a package."""
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise ContainerError(
                f"{name} is compressed with zstd, which this Python can't read: pip install backports.zstd"
            ) from None
    return zstd


class _Zlib:
    """zlib's decompressor with the manners of the others: it keeps for itself what it has not come to yet."""

    def __init__(self, inner):
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


def decompressed(read, make):
    """Yield the plain pieces, of at most 1 MiB, of what *read(size)* gives; *make*: see :func:`decompressor`.

    Raises :class:`EOFError` when it was cut short, and whatever the decompressor raises when it is damaged.
    """
    if make is None:
        while chunk := read(_CHUNK):
            yield chunk
        return
    member, data = make(), b""
    while True:
        if not data and member.needs_input and not (data := read(_CHUNK)):
            raise EOFError("it ends in the middle")
        chunk = member.decompress(data, _CHUNK)
        data = b""
        if chunk:
            yield chunk
        if member.eof:
            data = member.unused_data or read(_CHUNK)
            if not data.strip(b"\0"):  # zeros may follow, as a tape would have them
                while more := read(_CHUNK):
                    if more.strip(b"\0"):
                        raise EOFError("something else follows its end")
                return
            member = make()
