"""A registry: the server from which images are pulled and to which they are pushed, by the OCI distribution
specification.

::

    GET   /v2/NAME/manifests/TAG         the manifest of an image, or an index of manifests for several platforms
    GET   /v2/NAME/tags/list             the tags, page by page
    GET   /v2/NAME/blobs/sha256:…        the configuration or a layer; with Range a part of it
    HEAD  /v2/NAME/blobs/sha256:…        whether it exists
    POST  /v2/NAME/blobs/uploads/        begin an upload, or take the blob from another repository (mount)
    PATCH, PUT                           a piece of it; its end
    PUT   /v2/NAME/manifests/TAG         after all blobs: the image

The packages that speak this protocol, oras and python-dxf, never resume a layer, wait forever for a silent server, and
each brings three more.  So minict speaks it itself, over urllib3 (:mod:`minict.engine.distribution.transport`).

Sources: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md; the settings have the names of
Docker's daemon.json.
"""

from __future__ import annotations

import os
import ssl
from urllib.parse import quote, urlencode, urlsplit

from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError

from . import credentials
from . import manifest as documents
from .auth import Authorization
from .transport import (
    ATTEMPTS,
    Interrupted,
    RegistryError,
    Transport,
    default_context,
    is_loopback,
    joined,
    read_document,
    read_some,
    refusal,
)

_WITH_OTHER_ADDRESSES = {"docker.io": "registry-1.docker.io"}
_KINDS = ", ".join((*documents.INDEXES, *documents.MANIFESTS))
_PAGE = 1000  # tags per page
_PAGES = 100  # more pages than this are taken for an endless list
_CHUNK = 16 << 20  # larger blobs are sent in pieces of this many bytes, so that a break costs at most one
_PROGRESS = 1 << 20  # after so many bytes, earlier breaks no longer count


def servers(host: str, tls_verify: bool | None = None, say=None) -> list[Registry]:
    """The servers to ask for images of the registry *host*: its mirrors first, the registry itself last.

    *tls_verify*: None depends on the settings and the host, see :func:`insecure`.  *say* is called with a message
    before waiting.  Raises :class:`ContainerError`.
    """
    mirrors = settings("MINICT_MIRROR", "registry-mirrors") if host == "docker.io" else []
    return [*(_mirror(url, say) for url in mirrors), Registry(host, tls_verify, say)]


def _mirror(url: str, say) -> Registry:
    """The mirror at *url*; http:// in it means http."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise ContainerError(f"MINICT_MIRROR: invalid address {url!r}: use one such as http://cache.example:5000")
    return Registry(parts.netloc, None, say, origin=url)


def insecure(host: str, tls_verify: bool | None = None) -> bool:
    """Whether http, and https with any certificate, are allowed for the registry *host*.

    They are for this machine itself, as in Docker, and for the hosts in MINICT_INSECURE_REGISTRIES.  *tls_verify* True
    makes it strict for both.  False is refused for other hosts, because it is easily typed for the whole Internet.
    """
    named = settings("MINICT_INSECURE_REGISTRIES", "insecure-registries")
    known = host in named or is_loopback(urlsplit(f"//{host}").hostname or "")
    if tls_verify is False and not known:
        raise ContainerError(
            f"--tls-verify=false is for registries on this machine: if anybody on the way to {host} may read and "
            f"change the traffic, set MINICT_INSECURE_REGISTRIES={host}"
        )
    return known and tls_verify is not True


def settings(variable: str, key: str) -> list[str]:
    """The list in the environment's *variable*, separated by commas or blanks; else the list *key* of
    /etc/minict/config.json.

    MINICT_CONFIG names another file.  Raises :class:`ContainerError` if the file is damaged.
    """
    if variable in os.environ:
        return os.environ[variable].replace(",", " ").split()
    path = os.environ.get("MINICT_CONFIG", "/etc/minict/config.json")
    try:
        values = jsonfile.read(path).get(key, [])
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise ValueError(f"{path}: {key} is not a list of texts")
        return values
    except FileNotFoundError:
        return []
    except (ValueError, AttributeError) as error:
        raise ContainerError(f'{error}: fix it, as in {{"{key}": ["…"]}}') from None


class Registry:
    """The registry *host*, as in image references. *repository* is always the name without the host.

    All methods raise :class:`minict.engine.distribution.transport.RegistryError`.
    """

    def __init__(self, host: str, tls_verify: bool | None = None, say=None, origin: str | None = None, login=None):
        self.host, self.say = host, say
        address = _WITH_OTHER_ADDRESSES.get(host, host)
        self._may_be_http = origin is None and insecure(host, tls_verify)
        self._transport = Transport(origin or f"https://{address}", _context(address, self._may_be_http), self._say)
        self._authorization = Authorization(self._transport, login or credentials.find(host))

    def __repr__(self):
        return f"<Registry {self.host}>"

    def _say(self, text: str) -> None:
        if self.say:
            self.say(text)

    def wait(self, attempt: int, reason: str) -> None:
        """Wait before the next attempt, longer each time."""
        self._transport.wait(attempt, reason)

    def _request(
        self, method: str, url: str, scope: str, headers: dict | None = None, body=None, attempts: int = ATTEMPTS
    ):
        """Send a request; return the answer. A demand for authorization (401) is met once: the registry may reject
        every login."""
        self._find_scheme()
        answer = self._transport.request(
            method, url, {**(headers or {}), **self._authorization.headers(scope)}, body, attempts
        )
        if answer.status != 401:
            return answer
        answer.drain_conn()
        self._authorization.satisfy(answer, scope)
        return self._transport.request(
            method, url, {**(headers or {}), **self._authorization.headers(scope)}, body, attempts
        )

    def _find_scheme(self) -> None:
        """Where http is allowed, find out whether the registry speaks https."""
        if self._may_be_http:
            self._may_be_http = False
            try:
                self._transport.request("GET", "/v2/", attempts=1).drain_conn()
            except RegistryError:
                self._transport.origin = self._transport.origin.replace("https://", "http://", 1)

    def check_login(self) -> None:
        """Check that the registry accepts the login."""
        answer = self._request("GET", "/v2/", "")
        if answer.status in (401, 403):
            raise RegistryError(f"{self.host} rejects this user name or password: check both", answer.status)
        if answer.status != 200:
            raise refusal(answer, f"{self.host} does not work as a registry")
        answer.drain_conn()

    # ---- reading -------------------------------------------------------------------------------------------------

    def manifest(self, repository: str, reference: str) -> bytes:
        """The manifest or index for *reference*, a tag or a digest. A digest is verified."""
        name = f"{self.host}/{repository}{'@' if ':' in reference else ':'}{reference}"
        answer = self._request(
            "GET", f"/v2/{repository}/manifests/{reference}", pull_scope(repository), {"Accept": _KINDS}
        )
        if answer.status in (401, 403, 404):
            raise self._not_found(answer, name)
        if answer.status != 200:
            raise refusal(answer, f"the manifest of {name}")
        data = read_document(answer, f"the manifest of {name}")
        digest = reference if ":" in reference else answer.headers.get("Docker-Content-Digest", "")
        if digest.startswith("sha256:"):
            documents.verify(data, digest, f"the manifest of {name}")
        return data

    def _not_found(self, answer, name: str) -> RegistryError:
        reason = str(refusal(answer, name))
        login = "" if answer.status == 404 else f", or run  minict login {self.host}  if it is private"
        return RegistryError(f"{reason}: check the spelling of name and tag{login}", answer.status)

    def tags(self, repository: str) -> list[str]:
        """All tags of *repository*, in as many requests as needed."""
        found, query, name = [], f"?n={_PAGE}", f"the list of tags of {self.host}/{repository}"
        for _ in range(_PAGES):
            answer = self._request("GET", f"/v2/{repository}/tags/list{query}", pull_scope(repository))
            if answer.status in (401, 403, 404):
                raise self._not_found(answer, f"{self.host}/{repository}")
            if answer.status != 200:
                raise refusal(answer, name)
            found += documents.parse_tags(read_document(answer, name), name)
            # </v2/NAME/tags/list?n=…&last=…>; rel="next"
            link, _, relation = answer.headers.get("Link", "").partition(">")
            if "next" not in relation or "?" not in link:
                return found
            query = link[link.index("?") :]  # only the query: the rest of the address stays the registry's
        raise RegistryError(f"{name} does not end after {_PAGES} pages: pull the tags that you need one by one")

    def document(self, repository: str, descriptor, name: str) -> bytes:
        """The small blob *descriptor*, complete and verified: an image's configuration. *name* is how messages call
        it."""
        stream = Stream([self], repository, descriptor, name)
        data = b""
        while chunk := stream.read(documents.MAX_DOCUMENT):
            data += chunk
        documents.verify(data, descriptor.digest, name)
        return data

    def open_blob(self, repository: str, descriptor, name: str, offset: int):
        """The answer with the blob from *offset* on, and the number of bytes before that to skip."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        answer = self._request(
            "GET", f"/v2/{repository}/blobs/{descriptor.digest}", pull_scope(repository), headers, attempts=1
        )
        if answer.status not in (200, 206):
            raise refusal(answer, f"{name} from {self.host}")
        begin = offset if answer.status == 206 else 0
        if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            raise RegistryError(f"{self.host} sends the wrong part of {name}")
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) != descriptor.size - begin:
            answer.close()
            raise RegistryError(
                f"size mismatch: {name} has {int(length) + begin} bytes at {self.host}, and {descriptor.size} in the "
                "manifest"
            )
        return answer, offset - begin

    # ---- writing ------------------------------------------------------------------------------------------------

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether *repository* has the blob."""
        answer = self._request("HEAD", f"/v2/{repository}/blobs/{digest}", push_scope(repository))
        answer.drain_conn()
        return answer.status == 200

    def upload(self, repository: str, descriptor, file, sent=lambda count: None, mount_from: str | None = None) -> str:
        """Make sure that *repository* has the blob *descriptor*, whose content is *file*; returns ``there``,
        ``mounted`` or ``sent``.

        *mount_from*: another repository of this registry that may have it.  *sent* is called with the number of bytes
        sent so far.
        """
        if self.has_blob(repository, descriptor.digest):
            return "there"
        location = self._begin_upload(repository, descriptor, mount_from)
        if not location:
            return "mounted"
        upload = Upload(location)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._send(repository, descriptor, file, upload, sent)
                return "sent"
            except Interrupted as error:
                if attempt == ATTEMPTS:
                    raise
                self.wait(attempt, str(error))
                self._resume(repository, descriptor, upload)
        raise AssertionError("the last attempt returns or raises")

    def _begin_upload(self, repository: str, descriptor, mount_from: str | None) -> str:
        """The URL to send the blob to; empty if the registry has taken it from *mount_from*."""
        query = "?" + urlencode({"mount": descriptor.digest, "from": mount_from}) if mount_from else ""
        answer = self._request(
            "POST",
            f"/v2/{repository}/blobs/uploads/{query}",
            push_scope(repository, mount_from),
            {"Content-Length": "0"},
        )
        if answer.status == 201 and mount_from:
            answer.drain_conn()
            return ""
        if answer.status != 202:
            raise self._not_pushed(answer, repository)
        return self._location(answer, repository)

    def _not_pushed(self, answer, repository: str) -> RegistryError:
        error = refusal(answer, f"{self.host}/{repository} can't be written to")
        return RegistryError(
            f"{error}: minict login {self.host}" if answer.status in (401, 403) else str(error), answer.status
        )

    def _location(self, answer, repository: str) -> str:
        """The URL of the next request of an upload: it must be the registry's own, because what is sent may be
        secret."""
        answer.drain_conn()
        location = joined(
            f"{self._transport.origin}/v2/{repository}/blobs/uploads/", answer.headers.get("Location", "")
        )
        if urlsplit(location)[:2] != urlsplit(self._transport.origin)[:2]:
            raise RegistryError(f"{self.host} redirects the upload to {urlsplit(location).netloc!r}: refused")
        return location

    def _send(self, repository: str, descriptor, file, upload: Upload, sent) -> None:
        """Send the blob, or what is missing of it: a large one in pieces, the last one with the blob's digest."""
        scope, kind = push_scope(repository), {"Content-Type": "application/octet-stream"}
        while descriptor.size - upload.position > _CHUNK:
            chunk = _piece(file, upload.position)
            headers = {**kind, "Content-Range": f"{upload.position}-{upload.position + len(chunk) - 1}"}
            answer = self._request("PATCH", upload.location, scope, headers, chunk, attempts=1)
            if answer.status != 202:
                raise self._not_pushed(answer, repository)
            upload.location = self._location(answer, repository)
            upload.position += len(chunk)
            sent(upload.position)
        url = f"{upload.location}{'&' if '?' in upload.location else '?'}digest={quote(descriptor.digest)}"
        answer = self._request("PUT", url, scope, kind, _piece(file, upload.position), attempts=1)
        if answer.status != 201:
            raise self._not_pushed(answer, repository)
        answer.drain_conn()
        sent(descriptor.size)

    def _resume(self, repository: str, descriptor, upload: Upload) -> None:
        """Ask how much of a broken upload has arrived; begin again if the registry has forgotten it."""
        answer = self._request("GET", upload.location, push_scope(repository))
        last = answer.headers.get("Range", "").rpartition("-")[2]
        if answer.status == 204 and last.isdecimal():
            upload.location = self._location(answer, repository)
            upload.position = int(last) + 1 if int(last) else 0  # 0-0 means nothing
        else:
            answer.drain_conn()
            upload.location, upload.position = self._begin_upload(repository, descriptor, None), 0

    def put_manifest(self, repository: str, tag: str, data: bytes, media_type: str) -> None:
        """Store the manifest *data*, whose blobs are all there, as *tag*."""
        answer = self._request(
            "PUT", f"/v2/{repository}/manifests/{tag}", push_scope(repository), {"Content-Type": media_type}, data
        )
        if answer.status not in (200, 201):
            raise self._not_pushed(answer, repository)
        answer.drain_conn()


class Upload:
    """An upload in progress: *location* is the URL of the next request, ``position`` the number of bytes sent."""

    def __init__(self, location: str):
        self.location, self.position = location, 0


def _piece(file, position: int) -> bytes:
    file.seek(position)
    return file.read(_CHUNK)


class Stream:
    """A blob, or the rest of it from *offset* on, as a file that is read once. A broken download is resumed.

    *servers*: the registries to ask, one after the other if one does not have it.
    """

    def __init__(self, servers: list[Registry], repository: str, descriptor, name: str, offset: int = 0):
        self._servers, self._repository, self._descriptor, self._name = list(servers), repository, descriptor, name
        self._position = self._forgiven = offset
        self._answer, self._attempt = None, 0

    def read(self, size: int) -> bytes:
        """Up to *size* bytes; empty at the end. Raises :class:`RegistryError`."""
        while True:
            try:
                return self._read(size)
            except Interrupted as error:
                self.close()
                if self._position - self._forgiven >= _PROGRESS:
                    self._forgiven, self._attempt = self._position, 0
                self._attempt += 1
                if self._attempt == ATTEMPTS:
                    raise Interrupted(f"{error}, {ATTEMPTS} times: pull again to resume") from None
                self._servers[0].wait(self._attempt, str(error))
            except RegistryError:
                self.close()
                if len(self._servers) == 1:
                    raise
                self._servers.pop(0)

    def _read(self, size: int) -> bytes:
        left = self._descriptor.size - self._position
        if self._answer is None and left:
            self._open()
        if not left:
            return self._end()
        chunk = self._body(min(size, left))
        if not chunk:
            raise Interrupted(f"{self._name} ended after {self._position} of {self._descriptor.size} bytes")
        self._position += len(chunk)
        return chunk

    def _open(self) -> None:
        self._answer, skip = self._servers[0].open_blob(self._repository, self._descriptor, self._name, self._position)
        while skip:  # a server without Range sends everything again
            chunk = self._body(min(skip, 1 << 20))
            if not chunk:
                raise Interrupted(f"{self._name} ended before the point to resume at")
            skip -= len(chunk)

    def _body(self, size: int) -> bytes:
        return read_some(self._answer, size, self._servers[0].host)

    def _end(self) -> bytes:
        """Check that nothing follows. An empty blob is not requested at all."""
        if self._answer is not None:
            if self._body(1):
                raise RegistryError(
                    f"size mismatch: {self._name} has more than the {self._descriptor.size} bytes in the manifest"
                )
            self._answer.release_conn()
            self._answer = None
        return b""

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None


def pull_scope(repository: str) -> str:
    """The scope of a token for reading *repository*."""
    return f"repository:{repository}:pull"


def push_scope(repository: str, mount_from: str | None = None) -> str:
    """The scope of a token for writing to *repository*, and for taking blobs from another one."""
    return f"repository:{repository}:pull,push" + (f" {pull_scope(mount_from)}" if mount_from else "")


def _context(host: str, any_certificate: bool) -> ssl.SSLContext:
    """TLS settings: the machine's certificate authorities, and those in Docker's directory for this registry."""
    context = default_context()
    if any_certificate:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif os.path.isfile(authority := f"/etc/docker/certs.d/{host}/ca.crt"):
        try:
            context.load_verify_locations(authority)
        except ssl.SSLError:
            raise ContainerError(
                f"{authority} is not a certificate: replace it with one in PEM format, or remove it"
            ) from None
    return context
