"""A real registry for tests: Debian's docker-registry on loopback, with images that umoci made and skopeo brought.

Its fixtures are there for every test::

    def test_x(layout, registry):
        layout.image("app", [{"etc/motd": "hello"}], cmd="/bin/sh")      # each layer: {path: content}, or a tar archive
        registry.push(layout, "app")                                     # skopeo copy
        minict("pull", registry.name("app"))                             # 127.0.0.1:PORT/app

``debian("nginx-light")`` is the root file system of a Debian with these packages, as a tar archive, made by mmdebstrap
and kept in ~/.cache/minict for a week.  Making it needs the machine's network: ``with host_network(): …``, from
conftest.

:class:`RegistryServer` takes passwords, tokens, TLS, and the address of a registry of which it is a cache;
:class:`TokenServer` hands out tokens that it accepts.  :class:`Wire` is a slow connection to a server that counts bytes
and breaks; :class:`Hostile` is a server that gives any answer that a test needs.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import re
import socket
import ssl
import subprocess
import tarfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from minict.engine.distribution import manifest as documents

USER, PASSWORD = "learner", "very secret"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A registry without authentication, over http."""
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def layout(tmp_path):
    """An empty OCI image layout."""
    return Layout(tmp_path / "layout")


def tool(*words: str, **options) -> str:
    """Run a program, which must succeed; return its output."""
    done = subprocess.run(
        [str(word) for word in words], **{"capture_output": True, "text": True, "timeout": 120, **options}
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def free_port() -> int:
    """An unused port of the loopback device. The network namespace belongs to the test session."""
    with socket.create_server(("127.0.0.1", 0)) as any_socket:
        return any_socket.getsockname()[1]


class RegistryServer:
    """docker-registry in *directory*.  In a ``with`` statement.

    *auth*: None, or ``htpasswd``, where USER has PASSWORD, or a :class:`TokenServer`. *tls*: a certificate and its
    key, as paths.  *address*: another than a free port of 127.0.0.1.  *cache_of*: the URL of the registry that it is a
    mirror of.
    """

    def __init__(self, directory, auth=None, tls=None, address: str | None = None, cache_of: str | None = None):
        self.directory, self.address = directory, address or f"127.0.0.1:{free_port()}"
        self.url = f"{'https' if tls else 'http'}://{self.address}"
        self._authorization = {}
        self._config = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": f"{directory}/blobs"}, "delete": {"enabled": True}},
            "http": {"addr": self.address},
        }
        if auth == "htpasswd":
            passwords = tool("htpasswd", "-nbB", USER, PASSWORD)
            (directory / "htpasswd").write_text(passwords)
            self._config["auth"] = {"htpasswd": {"realm": "tests", "path": f"{directory}/htpasswd"}}
            self._authorization = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
        elif auth:
            self._config["auth"] = {"token": auth.config()}
        if tls:
            self._config["http"]["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
        if cache_of:
            self._config["proxy"] = {"remoteurl": cache_of}

    def __enter__(self) -> RegistryServer:
        (self.directory / "config.json").write_text(json.dumps(self._config))  # JSON is YAML
        self._log = open(self.directory / "log", "ab")
        self._process = subprocess.Popen(
            ["docker-registry", "serve", f"{self.directory}/config.json"], stdout=self._log, stderr=subprocess.STDOUT
        )
        host, _, port = self.address.partition(":")
        for _ in range(500):
            try:
                socket.create_connection((host, int(port))).close()
                return self
            except ConnectionRefusedError:
                time.sleep(0.02)
        self.__exit__()
        raise AssertionError((self.directory / "log").read_text())

    def __exit__(self, *exception) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def name(self, name: str) -> str:
        """*name* as an image of this registry."""
        return f"{self.address}/{name}"

    def push(self, layout: Layout, tag: str, name: str | None = None, *options: str) -> str:
        """Bring the image *tag* of *layout*, by skopeo; the full name."""
        credentials = ["--dest-creds", f"{USER}:{PASSWORD}"] if "auth" in self._config else []
        tool(
            "skopeo",
            "copy",
            "--dest-tls-verify=false",
            *credentials,
            *options,
            f"oci:{layout.directory}:{tag}",
            f"docker://{self.name(name or tag)}",
        )
        return self.name(name or tag)

    def get(self, path: str, **headers: str) -> bytes:
        """The content at *path*, such as ``/v2/app/manifests/latest``."""
        return self._ask(
            urllib.request.Request(
                self.url + path,
                headers={
                    "Accept": ", ".join((*documents.INDEXES, *documents.MANIFESTS)),
                    **self._authorization,
                    **headers,
                },
            )
        )

    def put_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> None:
        """Store a manifest or index, as it is."""
        self._ask(
            urllib.request.Request(
                f"{self.url}/v2/{repository}/manifests/{reference}",
                data,
                method="PUT",
                headers={"Content-Type": media_type, **self._authorization},
            )
        )

    def _ask(self, request) -> bytes:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def requests(self) -> list[tuple[str, str, int]]:
        """The method, path and status of each request so far."""
        self._log.flush()
        lines = (self.directory / "log").read_text()
        found = re.findall(r'"([A-Z]+) (\S+) HTTP/[0-9.]+" (\d+) ', lines)
        return [(method, path, int(status)) for method, path, status in found]


class Layout:
    """An OCI image layout in *directory*, in which umoci makes images."""

    def __init__(self, directory):
        self.directory = directory
        tool("umoci", "init", "--layout", directory)

    def image(self, tag: str, layers: list, **config: str) -> str:
        """Make the image *tag*: *layers*, the lowest first, are ``{path: content}`` or paths of tar archives.

        *config* are options of ``umoci config``, as ``cmd="/bin/sh"``; a list for one that comes several times.
        Returns the id that it must get.
        """
        image = f"{self.directory}:{tag}"
        tool("umoci", "new", "--image", image)
        for number, layer in enumerate(layers):
            path = layer
            if isinstance(layer, dict):
                path = f"{self.directory}/layer.tar"
                with open(path, "wb") as file:
                    file.write(archive(layer))
            tool("umoci", "raw", "add-layer", "--image", image, path)
        options = [
            f"--config.{key}={value}"
            for key, values in config.items()
            for value in (values if isinstance(values, list) else [values])
        ]
        if options:
            tool("umoci", "config", "--image", image, *options)
        return self.manifest(tag)["config"]["digest"].removeprefix("sha256:")

    def manifest(self, tag: str) -> dict:
        index = json.loads((self.directory / "index.json").read_text())
        digest = next(
            each["digest"]
            for each in index["manifests"]
            if each["annotations"]["org.opencontainers.image.ref.name"] == tag
        )
        return json.loads(self.blob(digest))

    def blob(self, digest: str) -> bytes:
        return (self.directory / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


def archive(files: dict) -> bytes:
    """A tar archive of *files*, {path: content}."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in files.items():
            content = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def debian(*packages: str, variant: str = "minbase") -> str:
    """The root file system of a Debian with *packages*, as the path of a tar archive; made by mmdebstrap, kept for a
    week.

    With the *variant* ``extract`` it is the packages' files, without what their scripts would do, and nothing else.
    """
    name = hashlib.sha256(" ".join([variant, *packages]).encode()).hexdigest()[:12]
    directory = os.path.expanduser("~/.cache/minict/tests")
    path = f"{directory}/debian-{name}.tar"
    os.makedirs(directory, exist_ok=True)
    if not os.path.exists(path) or time.time() - os.stat(path).st_mtime > 7 * 86400:
        tool(
            "mmdebstrap",
            "--quiet",
            f"--variant={variant}",
            "--format=tar",
            f"--include={','.join(packages)}",
            "bookworm",
            f"{path}.{os.getpid()}",
            timeout=900,
        )
        os.replace(f"{path}.{os.getpid()}", path)
    return path


def certificate(directory, *names: str, authority=None):
    """A certificate for the host *names*, and its key, as paths; signed by *authority*, such a pair, or by itself."""
    base = f"{directory}/{names[0]}"
    places = ",".join(f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in names)
    by = ["-CA", authority[0], "-CAkey", authority[1]] if authority else []
    kind, usage = ("CA:FALSE", "digitalSignature") if authority else ("CA:TRUE", "digitalSignature,keyCertSign")
    extensions = [
        "-addext",
        f"subjectAltName={places}",
        "-addext",
        f"basicConstraints=critical,{kind}",
        "-addext",
        f"keyUsage=critical,{usage}",
    ]
    tool(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={names[0]}",
        *extensions,
        *by,
        "-keyout",
        f"{base}.key",
        "-out",
        f"{base}.crt",
    )
    return f"{base}.crt", f"{base}.key"


# ---- tokens --------------------------------------------------------------------------------------------------------


class TokenServer:
    """The server to which a registry sends clients for a token. It signs tokens that docker-registry verifies.

    In a ``with`` statement. *lifetime* of a token, in seconds. ``asked`` has the scope and the user of each request.
    """

    def __init__(self, directory, lifetime: int = 300, address: str | None = None):
        self.directory, self.lifetime, self.asked = directory, lifetime, []
        self.certificate, self.key = certificate(directory, "token.example")
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        host, _, port = (address or "127.0.0.1:0").partition(":")
        self._server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
        self.url = f"http://{host}:{self._server.server_port}/token"

    def __enter__(self) -> TokenServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def config(self) -> dict:
        """The settings for docker-registry."""
        return {"realm": self.url, "service": "tests", "issuer": "tests", "rootcertbundle": self.certificate}

    def answer(self, request) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        scopes = " ".join(query.get("scope", [])).split()
        given = request.headers.get("Authorization", "")
        right = given == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        self.asked.append((USER if right else "", " ".join(scopes)))
        if given and not right:
            request.send_error(401)
            return
        body = json.dumps({"token": self.token(USER if right else "", scopes), "expires_in": self.lifetime}).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def token(self, user: str, scopes: list[str]) -> str:
        """A JSON Web Token (RFC 7519): all clients may read public repositories, and clients with the password
        everything."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            allowed = actions.split(",") if user else ["pull"] if name.startswith("public/") else []
            access.append({"type": kind, "name": name, "actions": allowed})
        with open(self.certificate) as file:
            chain = ["".join(file.read().split("-----")[2].split())]
        now = int(time.time())
        claims = {
            "iss": "tests",
            "sub": user,
            "aud": "tests",
            "iat": now,
            "nbf": now - 10,
            "exp": now + self.lifetime,
            "jti": os.urandom(8).hex(),
            "access": access,
        }
        text = f"{_base64url({'typ': 'JWT', 'alg': 'RS256', 'x5c': chain})}.{_base64url(claims)}"
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.key], input=text.encode(), capture_output=True, check=True
        ).stdout
        return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _base64url(value: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


# ---- bad connections and bad servers -------------------------------------------------------------------------------


class _Listener:
    """Connections on a free port of *host*, each served by a thread; all end with the ``with`` statement."""

    def __init__(self, host: str = "127.0.0.1"):
        self._socket = socket.create_server((host, 0))
        self.address = f"{host}:{self._socket.getsockname()[1]}"
        self._open, self._threads = [self._socket], []

    def __enter__(self):
        self._begin(self._accept)
        return self

    def __exit__(self, *exception) -> None:
        for each in self._open:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        for each in self._open:
            each.close()

    def _begin(self, function, *arguments) -> None:
        self._threads.append(threading.Thread(target=function, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(connection)
            self._begin(self._quietly, connection)

    def _quietly(self, connection) -> None:
        try:
            self.serve(connection)
        except OSError:  # the other side has left
            pass
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Wire(_Listener):
    """A way to the server at *target*: ``received`` counts what comes back through it, in bytes.

    *rate*: bytes in a second; None for all that is possible. *breaks*: after so many bytes each, connections are reset.
    ``sent`` and ``breaks_up`` are the same for what goes there.
    """

    def __init__(self, target: str, rate: int | None = None, breaks: list[int] = ()):
        super().__init__()
        self._target, self.rate, self.breaks, self.received = target, rate, list(breaks), 0
        self.breaks_up, self.sent = [], 0

    def serve(self, connection) -> None:
        host, _, port = self._target.partition(":")
        onward = socket.create_connection((host, int(port)))
        self._open.append(onward)
        self._begin(self._copy, connection, onward)
        left = self.breaks.pop(0) if self.breaks else None
        while chunk := onward.recv(16384 if self.rate else 1 << 20):
            self.received += len(chunk)
            if left is not None:
                left -= len(chunk)
                if left < 0:
                    return self._reset(connection, onward)
            connection.sendall(chunk)
            if self.rate:
                time.sleep(len(chunk) / self.rate)

    def _copy(self, connection, onward) -> None:
        left = self.breaks_up.pop(0) if self.breaks_up else None
        try:
            while chunk := connection.recv(1 << 16):
                self.sent += len(chunk)
                if left is not None:
                    left -= len(chunk)
                    if left < 0:
                        return self._reset(connection, onward)
                onward.sendall(chunk)
            onward.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _reset(self, connection, onward) -> None:
        """With SO_LINGER 0 a close is a reset."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        onward.shutdown(socket.SHUT_RDWR)
        connection.shutdown(socket.SHUT_RD)  # the other thread must not hold it
        connection.close()


class Hostile(_Listener):
    """A server that answers what *script(method, path, headers)* gives: bytes, or an iterator of bytes.

    *tls*: a certificate and its key, as paths.  ``asked`` are the requests, as (method, path, headers).
    """

    def __init__(self, script, host: str = "127.0.0.1", tls=None):
        super().__init__(host)
        self.script, self.asked, self._tls = script, [], None
        if tls:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(*tls)

    def serve(self, connection) -> None:
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                return
            data += chunk
            if data.startswith(b"\x16"):  # the begin of TLS, and this is http
                return connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        lines = data.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        method, path, *_ = lines[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        self.asked.append((method, path, headers))
        answer = self.script(method, path, headers)
        for chunk in [answer] if isinstance(answer, bytes) else answer:
            connection.sendall(chunk)


def answer(body: bytes | str | dict = b"", status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    """An HTTP answer; *length*: what it claims to have.  ``_`` in the names of *headers* becomes ``-``."""
    body = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
