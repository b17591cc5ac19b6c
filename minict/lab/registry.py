"""A registry for the notebooks: on loopback, in memory, and it shows who asked it for what.

::

    with Registry() as registry:
        minict.push("tiny", registry.name("tiny"))        # 127.0.0.1:PORT/tiny
        minict.pull(registry.name("tiny"))
        registry.requests                                 # [GET /v2/ 401, GET /token 200, …]

It speaks the OCI distribution specification as far as an image's way there and back needs it: manifests, blobs in
parts, mounting a blob of another repository, tags, and, like the large registries, a token for everybody who asks for
one.  Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import secrets
import threading
import urllib.parse

_OF_A_BLOB = re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>sha256:[0-9a-f]{64})$")
_OF_AN_UPLOAD = re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<upload>[0-9a-f]*)$")
_OF_A_MANIFEST = re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)$")
_OF_THE_TAGS = re.compile(r"/v2/(?P<name>.+)/tags/list$")


class Request:
    """One request that was answered: its *method*, its *path* without what is behind ?, and the *status* of the
    answer."""

    def __init__(self, method: str, path: str, status: int):
        self.method, self.path, self.status = method, path, status

    def __repr__(self):
        path = re.sub("(sha256:[0-9a-f]{8})[0-9a-f]+", r"\1…", self.path)
        return f"{self.method} {path} {self.status}"


class Registry:
    """A registry at a free port of 127.0.0.1, until :meth:`close` or the end of a ``with`` statement.

    *token*: whether it wants a token, which it gives to everybody, as Docker Hub does.
    """

    def __init__(self, token: bool = False):
        self.wants_token = token
        self.token = secrets.token_hex(8)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}  # (repository, tag or digest): media type, text
        self.uploads: dict[str, bytearray] = {}
        self.requests: list[Request] = []
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": self})
        )
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __repr__(self):
        names = sorted({repository for repository, _ in self.manifests})
        return f"<a registry with {', '.join(names) or 'no image'}>"

    def close(self) -> None:
        """Stop to listen."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def name(self, name: str) -> str:
        """*name* as an image of this registry: ``127.0.0.1:PORT/NAME``."""
        return f"{self.address}/{name}"

    def forget(self) -> None:
        """Empty the list of requests."""
        self.requests.clear()


class _Handler(http.server.BaseHTTPRequestHandler):
    registry: Registry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        """Nothing: the notebook shows the requests when it wants to."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_PUT = do_POST = do_PATCH = do_GET

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = dict(urllib.parse.parse_qsl(query))
        status, headers, data = self._decide(path, given, body)
        self.registry.requests.append(Request(self.command, path, status))
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _decide(self, path: str, given: dict, body: bytes) -> tuple[int, dict, bytes]:
        """Status, headers and body of the answer."""
        registry = self.registry
        if path == "/token":
            return 200, {}, json.dumps({"token": registry.token}).encode()
        if registry.wants_token and self.headers.get("Authorization") != f"Bearer {registry.token}":
            realm = f'Bearer realm="http://{registry.address}/token",service="lab"'
            return 401, {"WWW-Authenticate": realm}, _error("UNAUTHORIZED", "ask for a token where the header says")
        if path == "/v2/":
            return 200, {}, b"{}"
        for pattern, answer in (
            (_OF_AN_UPLOAD, self._upload),
            (_OF_A_BLOB, self._blob),
            (_OF_A_MANIFEST, self._manifest),
            (_OF_THE_TAGS, self._tags),
        ):
            if match := pattern.match(path):
                return answer(given, body, **match.groupdict())
        return 404, {}, _error("NAME_UNKNOWN", f"there is nothing at {path}")

    def _blob(self, given: dict, body: bytes, name: str, digest: str):
        data = self.registry.blobs.get(digest)
        if data is None:
            return 404, {}, _error("BLOB_UNKNOWN", digest)
        headers = {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        begin = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        if begin and int(begin[1]) < len(data):
            return (
                206,
                {**headers, "Content-Range": f"bytes {begin[1]}-{len(data) - 1}/{len(data)}"},
                data[int(begin[1]) :],
            )
        return 200, headers, data

    def _upload(self, given: dict, body: bytes, name: str, upload: str):
        registry = self.registry
        if self.command == "POST":
            if given.get("mount") in registry.blobs:
                return 201, {"Location": f"/v2/{name}/blobs/{given['mount']}"}, b""
            upload = secrets.token_hex(8)
            registry.uploads[upload] = bytearray()
        if upload not in registry.uploads:
            return 404, {}, _error("BLOB_UPLOAD_UNKNOWN", upload)
        data = registry.uploads[upload]
        data += body
        here = {"Location": f"/v2/{name}/blobs/uploads/{upload}", "Range": f"0-{max(0, len(data) - 1)}"}
        if self.command == "GET":
            return 204, here, b""
        if "digest" not in given:
            return 202, here, b""
        if given["digest"] != _digest(data):
            return 400, {}, _error("DIGEST_INVALID", f"what came has the digest {_digest(data)}")
        registry.blobs[given["digest"]] = bytes(registry.uploads.pop(upload))
        return 201, {"Location": f"/v2/{name}/blobs/{given['digest']}", "Docker-Content-Digest": given["digest"]}, b""

    def _manifest(self, given: dict, body: bytes, name: str, reference: str):
        registry = self.registry
        if self.command == "PUT":
            kept = self.headers.get("Content-Type", "application/vnd.oci.image.manifest.v1+json"), body
            registry.manifests[name, reference] = registry.manifests[name, _digest(body)] = kept
            return (
                201,
                {"Location": f"/v2/{name}/manifests/{_digest(body)}", "Docker-Content-Digest": _digest(body)},
                b"",
            )
        if (name, reference) not in registry.manifests:
            return 404, {}, _error("MANIFEST_UNKNOWN", f"{name}:{reference}")
        kind, text = registry.manifests[name, reference]
        return 200, {"Content-Type": kind, "Docker-Content-Digest": _digest(text)}, text

    def _tags(self, given: dict, body: bytes, name: str):
        tags = sorted(tag for repository, tag in self.registry.manifests if repository == name and ":" not in tag)
        if not tags:
            return 404, {}, _error("NAME_UNKNOWN", name)
        return 200, {}, json.dumps({"name": name, "tags": tags}).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _error(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()
