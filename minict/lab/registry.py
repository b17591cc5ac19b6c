"""A real registry for the notebooks: Debian's docker-registry on loopback, with a list of the requests that it gets.

::

    registry = open_registry()                            # one for each notebook; called again, the same
    minict.push("tiny", registry.name("tiny"))            # 127.0.0.1:PORT/tiny
    minict.pull(registry.name("tiny"))
    registry.requests                                     # [GET /v2/tiny/manifests/latest 401, GET /token 200, …]
    registry.close()

Like the large registries, it demands a token, and a second server gives one to every client. docker-registry's own log
does not show the order of requests to the two servers. So the lab puts a proxy in front of it, which records each
request before it passes the answer on.

Sources: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md;
https://distribution.github.io/distribution/spec/auth/jwt/ for the token.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

from minict.engine.distribution import manifest as documents
from minict.kernel import process
from minict.runtime.errors import ContainerError

_PATIENCE = 60  # seconds for docker-registry to listen, on a busy machine
_LIFETIME = 86400  # seconds that a token is valid: readers take breaks
_NOT_PASSED_ON = ("connection", "transfer-encoding", "keep-alive")

_opened: Registry | None = None  # this notebook's


def open_registry() -> Registry:
    """This notebook's registry, which demands a token. Another call returns the same registry, as long as it is
    open."""
    global _opened
    if _opened is None or _opened.closed:
        _opened = Registry(token=True)
    return _opened


class Request:
    """One request that was answered: its *method*, its *path* without what is behind ?, and the *status* of the
    answer."""

    def __init__(self, method: str, path: str, status: int):
        self.method, self.path, self.status = method, path, status

    def __repr__(self):
        path = re.sub("(sha256:[0-9a-f]{6})[0-9a-f]+", r"\1…", self.path)
        return f"{self.method} {path} {self.status}"


class Registry:
    """A registry at a free port of 127.0.0.1, until :meth:`close`, the end of a ``with`` statement, or of this process.

    *token*: whether it wants a token.  ``address``: ``127.0.0.1:PORT``.  ``requests``: all so far.  Raises
    :class:`ContainerError` where docker-registry is missing, or does not start.
    """

    def __init__(self, token: bool = False):
        if not (program := shutil.which("docker-registry")):
            raise ContainerError("there is no docker-registry on this machine: run  sudo apt install docker-registry")
        self._directory = tempfile.TemporaryDirectory(prefix="minict-registry-")
        self.requests: list[Request] = []
        self._servers: list[_Server] = []
        self._own_tokens: dict[str, str] = {}  # by repository: making one takes openssl 10 ms
        self.closed, self.token_giver = False, ""  # the address of the server that gives tokens
        self._behind = f"127.0.0.1:{_free_port()}"
        try:
            self._process = self._start(program, token)
            self.address = self._serve(_Door)
            self._wait()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __repr__(self):
        return f"<a registry with {', '.join(self.repositories()) or 'no image'}>"

    def _start(self, program: str, token: bool) -> subprocess.Popen:
        """Start docker-registry; its settings are its config.yml, and JSON is YAML."""
        place = self._directory.name
        settings = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": f"{place}/storage"}, "delete": {"enabled": True}},
            "http": {"addr": self._behind, "relativeurls": True},
        }
        if token:
            self._certificate, self._key = _certificate(place)
            self.token_giver = self._serve(_TokenGiver)
            settings["auth"] = {
                "token": {
                    "realm": f"http://{self.token_giver}/token",
                    "service": "registry.lab",
                    "issuer": "the lab",
                    "rootcertbundle": self._certificate,
                }
            }
        with open(f"{place}/config.yml", "w") as file:
            json.dump(settings, file)
        with open(f"{place}/log", "wb") as log:
            return subprocess.Popen(
                [program, "serve", f"{place}/config.yml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL),
            )

    def _serve(self, handler: type) -> str:
        """Let *handler* answer at a free port of 127.0.0.1; return the address."""
        self._servers.append(_Server(handler, self))
        return f"127.0.0.1:{self._servers[-1].server_port}"

    def _wait(self) -> None:
        """Wait until docker-registry listens."""
        end = time.monotonic() + _PATIENCE
        host, _, port = self._behind.partition(":")
        while self._process.poll() is None and time.monotonic() < end:
            try:
                return socket.create_connection((host, int(port))).close()
            except ConnectionRefusedError:
                time.sleep(0.01)
        with open(f"{self._directory.name}/log", errors="replace") as file:
            raise ContainerError(f"docker-registry does not start: {file.read()[-300:].strip() or 'it says nothing'}")

    def close(self) -> None:
        """Stop both servers, and remove everything stored."""
        self.closed = True
        if hasattr(self, "_process"):
            self._process.kill()
            self._process.wait()
        while self._servers:
            self._servers.pop().end()
        self._directory.cleanup()

    def name(self, name: str) -> str:
        """*name* as an image of this registry: ``127.0.0.1:PORT/NAME``."""
        return f"{self.address}/{name}"

    def forget(self) -> None:
        """Empty the list of requests."""
        self.requests.clear()

    def repositories(self) -> list[str]:
        """The names of all repositories."""
        place = f"{self._directory.name}/storage/docker/registry/v2/repositories"
        return sorted(
            os.path.relpath(directory, place) for directory, names, _ in os.walk(place) if "_manifests" in names
        )

    def file(self, digest: str) -> str:
        """Where the registry keeps the blob *digest* on its disk."""
        algorithm, _, number = digest.partition(":")
        return f"{self._directory.name}/storage/docker/registry/v2/blobs/{algorithm}/{number[:2]}/{number}/data"

    # ---- the registry owner's requests, which are not in the list ----------------------------------------

    def read(self, path: str) -> bytes:
        """What the registry has at *path*, such as ``/v2/app/manifests/latest``.  Raises :class:`ContainerError`."""
        return self._ask("GET", path, None, {"Accept": ", ".join(documents.INDEXES + documents.MANIFESTS)})[1]

    def put_blob(self, repository: str, data: bytes) -> None:
        """Store the blob *data*.  Raises :class:`ContainerError`."""
        location = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"", {})[0]["Location"]
        separator = "&" if "?" in location else "?"
        self._ask("PUT", f"{location}{separator}digest={documents.digest_of(data)}", data, {})

    def put_manifest(self, repository: str, reference: str, data: bytes) -> None:
        """Store the manifest or index *data* as *reference*, a tag or its digest.  Raises :class:`ContainerError`."""
        media_type = json.loads(data).get("mediaType", documents.MANIFEST)  # in a manifest it may be missing
        self._ask("PUT", f"/v2/{repository}/manifests/{reference}", data, {"Content-Type": media_type})

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict) -> tuple[http.client.HTTPMessage, bytes]:
        """The headers and the body of the answer."""
        repository = re.sub(r"^/v2/(.*?)/(manifests|blobs|tags)/.*$", r"\1", path)
        if self.token_giver:
            if repository not in self._own_tokens:
                given = {"type": "repository", "name": repository, "actions": ["pull", "push"]}
                self._own_tokens[repository] = self.token([given])
            headers = {**headers, "Authorization": f"Bearer {self._own_tokens[repository]}"}
        connection = http.client.HTTPConnection(self._behind, timeout=_PATIENCE)
        try:
            connection.request(method, path, body, headers)
            got = connection.getresponse()
            data = got.read()
        finally:
            connection.close()
        if got.status >= 300:
            raise ContainerError(f"{method} {path}: {got.status}: {data[:200].decode(errors='replace')}")
        return got.headers, data

    def token(self, access: list[dict]) -> str:
        """A token for *access*: a JSON Web Token (RFC 7519), signed with the key whose certificate docker-registry
        has."""
        with open(self._certificate) as file:
            chain = ["".join(file.read().split("-----")[2].split())]
        now = int(time.time())
        times = {"iat": now, "nbf": now - 10, "exp": now + _LIFETIME}
        claims = {"iss": "the lab", "sub": "", "aud": "registry.lab", **times, "jti": os.urandom(8).hex()}
        text = f"{_base64url({'typ': 'JWT', 'alg': 'RS256', 'x5c': chain})}.{_base64url({**claims, 'access': access})}"
        signature = _openssl("dgst", "-sha256", "-sign", self._key, input=text.encode())
        return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as any_socket:
        return any_socket.getsockname()[1]


def _certificate(directory: str) -> tuple[str, str]:
    """A new key and a certificate for it, as paths: (certificate, key)."""
    certificate, key = f"{directory}/token.crt", f"{directory}/token.key"
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=the lab"),
        *("-keyout", key, "-out", certificate),
    )
    return certificate, key


def _openssl(*words: str, input: bytes | None = None) -> bytes:
    try:
        return subprocess.run(["openssl", *words], input=input, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise ContainerError("there is no openssl on this machine: run  sudo apt install openssl") from None


def _base64url(value: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


# ---- the two servers -----------------------------------------------------------------------------------------------


class _Server(http.server.ThreadingHTTPServer):
    """A server in a thread, for one registry."""

    daemon_threads = True

    def __init__(self, handler: type, registry: Registry):
        self.registry = registry
        super().__init__(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request, client_address) -> None:
        """Write nothing into the notebook when a client has left."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        """Write nothing: the notebook shows the requests."""

    def reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Write the request down, then answer it."""
        self.server.registry.requests.append(Request(self.command, self.path.partition("?")[0], status))
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in (*_NOT_PASSED_ON, "date", "content-length"):
                self.send_header(name, value)
        length = len(body) if self.command != "HEAD" else {k.lower(): v for k, v in headers}["content-length"]
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)


class _Door(_Handler):
    """Passes each request on to docker-registry, and the answer back."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
        connection = http.client.HTTPConnection(self.server.registry._behind, timeout=_PATIENCE)
        try:
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            self.reply(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET


class _TokenGiver(_Handler):
    """Gives every client a token for any public repository; here all are public."""

    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        access = []
        for scope in " ".join(query.get("scope", [])).split():
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        body = json.dumps({"token": self.server.registry.token(access), "expires_in": _LIFETIME}).encode()
        self.reply(200, [("Content-Type", "application/json")], body)
