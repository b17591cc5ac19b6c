"""``minict search``: the repositories of a registry whose names or descriptions contain a word.

Source: Docker Registry v1 API, ``GET /v1/search``, which Docker Hub and few others answer.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from minict.engine.util import filters
from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError

from .registry import insecure
from .transport import Transport, default_context, read_document, refusal

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

HUB = "https://index.docker.io"
MOST = 100  # results that a registry returns at once
_KEYS = ("is-official", "is-automated", "stars")


def search(term: str, limit: int = 25, texts: Sequence[str] = ()) -> list[dict]:
    """The repositories for *term*, ``[REGISTRY/]WORD``, those with the most stars first, at most *limit*.

    Each has ``name``, ``description``, ``star_count`` and ``is_official``.  *texts*: filters.  Raises
    :class:`ContainerError`.
    """
    if not 1 <= limit <= MOST:
        raise ContainerError(f"--limit {limit}: use a number from 1 to {MOST}")
    given = filters.parse(list(texts), _KEYS)
    official, automated = filters.is_true(given, "is-official"), filters.is_true(given, "is-automated")
    stars = max((_number(text) for text in given.get("stars", [])), default=0)
    origin, word = _origin(term)
    server = Transport(origin, default_context())
    answer = server.request("GET", f"/v1/search?{urlencode({'q': word, 'n': limit})}", attempts=2)
    if answer.status != 200:
        raise refusal(answer, f"the search for {word}")
    found = [_checked(each, origin) for each in _results(read_document(answer, "the answer to the search"), origin)]
    return [
        each
        for each in sorted(found, key=lambda each: -each["star_count"])[:limit]
        if each["star_count"] >= stars
        and official in (None, each["is_official"])
        and automated in (None, each["is_automated"])
    ]


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ContainerError(f"--filter stars={text}: invalid number")
    return int(text)


def _origin(term: str) -> tuple[str, str]:
    """The server of a search, and what to search for there."""
    host, slash, word = term.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        return HUB, term
    if host in ("docker.io", "index.docker.io"):
        return HUB, word
    return f"{'http' if insecure(host) else 'https'}://{host}", word


def _results(body: bytes, origin: str) -> list:
    try:
        results = jsonfile.loads(body.decode()).get("results")
    except (ValueError, AttributeError):
        results = None
    if not isinstance(results, list):
        raise ContainerError(f"{urlsplit(origin).netloc} answers the search with something else: it may not offer one")
    return results


def _checked(result: object, origin: str) -> dict:
    """The relevant fields of one result; a missing one, or one of another type, is left empty."""
    known = {"name": str, "description": str, "star_count": int, "is_official": bool, "is_automated": bool}
    result = result if isinstance(result, dict) else {}
    return {name: result[name] if isinstance(result.get(name), kind) else kind() for name, kind in known.items()}
