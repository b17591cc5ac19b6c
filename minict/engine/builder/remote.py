"""ADD of an address of the web.  Source: the Dockerfile reference, "ADD", and its option --checksum."""

from __future__ import annotations

import collections
import contextlib
import posixpath
import tempfile

from minict.runtime.errors import ContainerError

#: What was fetched: a *file* at its beginning, its *name*, its *size* in bytes, and the *time* that the server gives
#: it, or 0.
Fetched = collections.namedtuple("Fetched", "file name size time")

_MAX_BYTES = 4 << 30
_CHUNK = 1 << 20
_PATIENCE = 60  # seconds without an answer


def is_remote(source: str) -> bool:
    """Whether *source* is an address of the web."""
    return source.startswith(("http://", "https://"))


@contextlib.contextmanager
def fetched(address: str, checksum: str):
    """What is at *address*; it must have the *checksum*, ``sha256:…``, if there is one.  Raises
    :class:`ContainerError`."""
    import hashlib
    import http.client
    import urllib.parse
    import urllib.request

    digest = hashlib.sha256()
    with tempfile.TemporaryFile(prefix="minict-build-") as file:
        try:
            request = urllib.request.Request(address, headers={"User-Agent": "minict"})
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
                while chunk := answer.read(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
                    if file.tell() > _MAX_BYTES:
                        raise ContainerError(f"{address} is larger than {_MAX_BYTES >> 30} GiB: fetch it in a RUN step")
                time = _time(answer.headers.get("Last-Modified"))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ContainerError(f"cannot fetch {address}: {error}") from None
        if checksum and checksum != f"sha256:{digest.hexdigest()}":
            raise ContainerError(f"{address} has the checksum sha256:{digest.hexdigest()}, and not {checksum}")
        size = file.tell()
        file.seek(0)
        name = (
            posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(address).path.rstrip("/"))) or "__unnamed__"
        )
        yield Fetched(file, name, size, time)


def _time(text: str | None) -> float:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp() if text else 0
    except ValueError:
        return 0
