"""ADD with a URL.  Source: the Dockerfile reference, "ADD", and its option --checksum."""

from __future__ import annotations

import collections
import contextlib
import posixpath
import tempfile

from minict.runtime.errors import ContainerError

#: A downloaded file: *file*, positioned at its beginning, its *name*, its *size* in bytes, and the *time* from the
#: server, or 0.
Fetched = collections.namedtuple("Fetched", "file name size time")

_MAX_BYTES = 4 << 30
_CHUNK = 1 << 20


def is_remote(source: str) -> bool:
    """Whether *source* is a URL."""
    return source.startswith(("http://", "https://"))


@contextlib.contextmanager
def fetched(address: str, checksum: str):
    """Download *address*; if a *checksum*, ``sha256:…``, is given, the file must have it.  Raises
    :class:`ContainerError`."""
    import hashlib
    import urllib.parse

    from minict.engine.distribution import transport

    host = transport.host_of(address)
    # like a registry, the server may be near, but not a cloud's metadata server; and its redirects may not lead nearer
    # than the server itself
    server = transport.Transport(_origin(address), transport.default_context(), nearest=transport.THIS_MACHINE)
    digest = hashlib.sha256()
    with tempfile.TemporaryFile(prefix="minict-build-") as file:
        answer = server.request("GET", address, attempts=2)
        try:
            if answer.status != 200:
                raise ContainerError(f"cannot fetch {address}: {host} answers HTTP {answer.status}")
            while chunk := transport.read_some(answer, _CHUNK, host):
                digest.update(chunk)
                file.write(chunk)
                if file.tell() > _MAX_BYTES:
                    raise ContainerError(f"{address} is larger than {_MAX_BYTES >> 30} GiB: fetch it in a RUN step")
            time = _time(answer.headers.get("Last-Modified"))
        finally:
            answer.close()
        if checksum and checksum != f"sha256:{digest.hexdigest()}":
            raise ContainerError(f"{address}: checksum mismatch: it is sha256:{digest.hexdigest()}, not {checksum}")
        size = file.tell()
        file.seek(0)
        name = (
            posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(address).path.rstrip("/"))) or "__unnamed__"
        )
        yield Fetched(file, name, size, time)


def _origin(address: str) -> str:
    """Scheme, host and port of *address*.  Raises :class:`ContainerError`."""
    import urllib.parse

    try:
        parts = urllib.parse.urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise ContainerError(f"cannot fetch {address}: {error}") from None
    if not parts.hostname or "@" in parts.netloc:
        raise ContainerError(f"cannot fetch {address}: write http://HOST/PATH or https://HOST/PATH")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def _time(text: str | None) -> float:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp() if text else 0
    except ValueError:
        return 0
