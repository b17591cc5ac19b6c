"""Registries that lie, stall, send us elsewhere or answer garbage: each is a real server on loopback.

The result must be one sentence, soon; the store has only partial blobs that the next pull resumes; and credentials go
to no other server.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time

import pytest

from minict.engine.builder import remote
from minict.engine.distribution import credentials, transport
from minict.engine.distribution import manifest as documents
from minict.engine.images import pull, store
from minict.engine.images.image import Image
from minict.kernel import mount
from minict.runtime.errors import ContainerError
from tests.integration.images.test_pull import noise, own_store, unfinished  # noqa: F401  a fixture
from tests.support.command_line import minict, refused
from tests.support.registry_server import PASSWORD, USER, Hostile, answer, archive, certificate


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """On loopback one second of silence is long enough, and there is no wait between two attempts."""
    monkeypatch.setenv("MINICT_REGISTRY_TIMEOUT", "1")
    monkeypatch.setattr(transport.random, "uniform", lambda *_: 0.01)


class Contents:
    """An image as a registry would have it: a test changes it as needed, and serves it by :meth:`answer`."""

    def __init__(self, *layers: bytes):
        self.layers = layers or (archive({"a": "1"}),)
        self.blobs = {documents.digest_of(layer): layer for layer in self.layers}
        self.config = {
            "architecture": documents.architecture(),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": list(self.blobs)},
        }
        self.manifest = {
            "schemaVersion": 2,
            "mediaType": documents.MANIFEST,
            "layers": [
                documents.Descriptor(documents.LAYER, digest, len(layer)).as_dict()
                for digest, layer in self.blobs.items()
            ],
        }
        self.describe_config()

    def describe_config(self) -> None:
        data = json.dumps(self.config).encode()
        self.blobs[documents.digest_of(data)] = data
        self.manifest["config"] = documents.Descriptor(documents.CONFIG, documents.digest_of(data), len(data)).as_dict()

    def answer(self, method: str, path: str, headers: dict) -> bytes:
        if "/manifests/" in path:
            return answer(self.manifest, Content_Type=documents.MANIFEST)
        if "/blobs/" in path and (blob := self.blobs.get(path.rpartition("/")[2])) is not None:
            offset = int(headers.get("range", "bytes=0-")[6:-1])
            if offset:
                return answer(
                    blob[offset:], "206 Partial Content", Content_Range=f"bytes {offset}-{len(blob) - 1}/{len(blob)}"
                )
            return answer(blob)
        return answer("", "404 Not Found") if path != "/v2/" else answer("{}")


def fails(server, *words: str, seconds: float = 20, left: bool = False) -> str:
    """Pull ``x`` from *server*: it must fail soon, with a sentence that contains all *words*, and leave nothing
    incomplete.

    *left*: partial blobs may remain for the next pull, which prune removes.
    """
    begin = time.monotonic()
    with pytest.raises(ContainerError) as caught:
        pull.pull(f"{server.address}/x")
    took, text = time.monotonic() - begin, str(caught.value)
    assert took < seconds, took
    assert all(word in text for word in words) and "\n" not in text and "\x1b" not in text and len(text) < 700, text
    if not left:
        assert unfinished() == []
    store.prune()
    assert unfinished() == [] and store.ids() == [] and store.names() == {}
    return text


def test_an_honest_one_works():
    """So each failure below has its own cause."""
    with Hostile(Contents(archive({"a": "1"}), archive({"b": "2"})).answer) as server:
        pull.pull(f"{server.address}/x")
        assert len(Image.find(f"{server.address}/x").layers) == 2


# ---- silence and floods --------------------------------------------------------------------------------------------


def forever(chunk: bytes, pause: float = 0):
    while True:
        yield chunk
        time.sleep(pause)


def slowly(data: bytes, pause: float):
    for number in range(len(data)):
        yield data[number : number + 1]
        time.sleep(pause)


class Silence:
    """A server that accepts connections and never answers."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._socket.close()


def test_a_registry_that_says_nothing():
    with Silence() as server:
        fails(server, server.address, "sent nothing for 1 seconds (MINICT_REGISTRY_TIMEOUT changes this limit)")


@pytest.mark.parametrize("text", ["x", "-1", "0", "nan", "1e9"])
def test_an_invalid_time_limit_is_refused(text, monkeypatch):
    monkeypatch.setenv("MINICT_REGISTRY_TIMEOUT", text)
    with pytest.raises(ContainerError, match="MINICT_REGISTRY_TIMEOUT"):
        pull.pull("127.0.0.1:9/x")


def test_headers_that_come_a_byte_at_a_time():
    """Each byte comes in time, and the last one never would."""
    with Hostile(lambda *_: slowly(answer("x" * 100000), 0.2)) as server:
        fails(server, "sent nothing")


def test_a_manifest_that_comes_a_byte_at_a_time():
    def script(method, path, headers):
        if path == "/v2/":
            return answer("{}")
        return _then(answer("", length=1000), slowly(b" " * 1000, 0.2))

    with Hostile(script) as server:
        fails(server, "sent nothing")


def _then(first: bytes, rest):
    yield first
    yield from rest


def test_a_layer_that_comes_a_byte_at_a_time():
    contents = Contents()

    def script(method, path, headers):
        if path.endswith(documents.digest_of(contents.layers[0])):
            return _then(answer("", length=len(contents.layers[0])), slowly(contents.layers[0], 0.3))
        return contents.answer(method, path, headers)

    with Hostile(script) as server:
        fails(server, "sent nothing", "5 times: pull again to resume", seconds=40, left=True)


def test_a_list_of_tags_comes_page_by_page():
    """Debian's docker-registry gives all at once."""
    tags = ["a", "b", "c"]

    def script(method, path, headers):
        last = path.partition("last=")[2]
        number = tags.index(last) + 1 if last else 0
        link = {"Link": f'</v2/app/tags/list?last={tags[number]}>; rel="next"'} if number < 2 else {}
        return answer({"name": "app", "tags": tags[number : number + 1]}, **link)

    with Hostile(script) as server:
        assert pull.all_tags(f"{server.address}/app") == [f"{server.address}/app:{tag}" for tag in tags]


def test_endless_and_invalid_lists_of_tags():
    def endless(*_):
        return answer({"tags": ["x"]}, Link='<https://elsewhere.example/v2/app/tags/list?n=1&last=x>; rel="next"')

    with Hostile(endless) as server:
        with pytest.raises(ContainerError, match="does not end after 100 pages"):
            pull.all_tags(f"{server.address}/app")
        assert {path.partition("?")[0] for _, path, _ in server.asked} <= {"/v2/", "/v2/app/tags/list"} and len(
            server.asked
        ) >= 100
    for tags in (["../x"], "x", [7], {"a": "b"}):
        with Hostile(lambda *_: answer({"tags": tags})) as server, pytest.raises(ContainerError, match="invalid tags"):
            pull.all_tags(f"{server.address}/app")


def test_a_body_without_end():
    for script in (
        lambda *_: _then(b"HTTP/1.1 200 OK\r\n\r\n", forever(b"[" * 65536)),
        lambda *_: _then(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", forever(b"10000\r\n" + b"[" * 65536 + b"\r\n")
        ),
        lambda *_: _then(answer("", length=10**15), forever(b"[" * 65536)),
    ):
        with Hostile(script) as server:
            fails(server, "larger than 4 MiB")


def test_headers_without_end():
    for script in (
        lambda *_: _then(b"HTTP/1.1 200 OK\r\n", forever(b"X: " + b"y" * 65000 + b"\r\n")),
        lambda *_: _then(b"HTTP/1.1 200 OK\r\nX: ", forever(b"y" * 65000)),
        lambda *_: forever(b"z" * 65000),
        lambda *_: b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100000 + b"\r\n",
    ):
        with Hostile(script) as server:
            fails(server, "does not speak HTTP")


def test_an_invalid_chunk():
    with Hostile(lambda *_: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n") as server:
        fails(server)


# ---- documents that lie --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b'{"layers": 1}', b"{" * 100000, b'{"a":' * 50000, b"\xff\xfe", b"0" * 5000],
)
def test_an_invalid_manifest(body):
    with Hostile(lambda *_: answer(body)) as server:
        fails(server)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda it: it.manifest.update(mediaType="text/html"), ["text/html"]),
        (
            lambda it: it.manifest.update(
                schemaVersion=1, mediaType="application/vnd.docker.distribution.manifest.v1+json"
            ),
            ["schema 1"],
        ),
        (lambda it: it.manifest.update(config=None), ["config"]),
        (
            lambda it: it.manifest["config"].update(mediaType="application/vnd.cncf.helm.config.v1+json"),
            ["helm", "not an image"],
        ),
        (lambda it: it.manifest["config"].update(size=10**12), ["size"]),
        (lambda it: it.manifest["config"].update(size=5), ["size mismatch"]),
        (lambda it: it.manifest["config"].update(digest="sha256:" + "0" * 64), ["404"]),
        (lambda it: it.manifest["config"].update(digest="md5:0"), ["digest"]),
        (lambda it: it.manifest["config"].update(digest="sha256:../../../etc/passwd"), ["digest"]),
        (lambda it: it.manifest["layers"][0].update(size=-1), ["size"]),
        (lambda it: it.manifest["layers"][0].update(size=10**30), ["size"]),
        (lambda it: it.manifest["layers"][0].update(size=10), ["size mismatch"]),
        (lambda it: it.manifest["layers"][0].update(digest="sha256:" + "0" * 64), ["404"]),
        (
            lambda it: it.manifest["layers"][0].update(mediaType="application/x-executable"),
            ["application/x-executable"],
        ),
        (lambda it: it.manifest["layers"][0].update(urls=["file:///etc/shadow"], digest="sha256:" + "0" * 64), ["404"]),
        (lambda it: it.manifest.update(layers=it.manifest["layers"] * 2), ["2 layers in its manifest and 1"]),
        (lambda it: it.manifest.update(layers=it.manifest["layers"] * 600), ["600 layers"]),
        (
            lambda it: (it.config["rootfs"].update(diff_ids=["sha256:" + "1" * 64]), it.describe_config()),
            ["does not match the image's configuration"],
        ),
        (lambda it: (it.config.update(rootfs=None), it.describe_config()), ["diff_ids"]),
        (lambda it: (it.config.update(os="windows"), it.describe_config()), ["windows"]),
        (lambda it: (it.config.update(config={"Cmd": "rm -rf /"}), it.describe_config()), ["Cmd"]),
    ],
)
def test_a_manifest_that_lies(change, words):
    contents = Contents()
    change(contents)
    with Hostile(contents.answer) as server:
        fails(server, *words)


def test_an_image_for_which_there_is_no_room(tmp_path):
    """The download does not begin."""
    contents = Contents()
    contents.manifest["layers"][0].update(size=2**30)
    os.mkdir(tmp_path / "data")
    mount.mount("minict-test", str(tmp_path / "data"), "tmpfs", 0, "size=1m")
    try:
        with Hostile(contents.answer) as server:
            fails(
                server, "its layers have 1.1 GB", "has 0.0 GB free: free some space, or set MINICT_ROOT to another disk"
            )
            assert not [path for _, path, _ in server.asked if path.endswith(documents.digest_of(contents.layers[0]))]
    finally:
        mount.umount2(str(tmp_path / "data"))


def test_an_index_that_lies():
    contents = Contents()
    manifest = json.dumps(contents.manifest).encode()
    platform = {"os": "linux", "architecture": documents.architecture()}

    def index(digest, size, kind=documents.MANIFEST):
        entry = {"mediaType": kind, "digest": digest, "size": size, "platform": platform}
        return {"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": [entry]}

    def serving(top):
        return lambda method, path, headers: (
            answer(top) if path.endswith("/latest") else contents.answer(method, path, headers)
        )

    for top, words in (
        (index(documents.digest_of(manifest), 5), "size mismatch"),
        (index("sha256:" + "0" * 64, len(manifest)), "not match its digest"),
        ({"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": []}, "no image for"),
        ({"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": "x"}, "no list of manifests"),
    ):
        with Hostile(serving(top)) as server:
            fails(server, words)
    deep = {documents.digest_of(manifest): manifest}
    inner = manifest
    for _ in range(10):
        inner = json.dumps(index(documents.digest_of(inner), len(inner), documents.INDEX)).encode()
        deep[documents.digest_of(inner)] = inner
    with Hostile(lambda method, path, headers: answer(deep.get(path.rpartition("/")[2], inner))) as server:
        fails(server, "index of indexes")


def test_a_digest_in_the_answers_head_that_is_wrong():
    with Hostile(lambda *_: answer(Contents().manifest, Docker_Content_Digest="sha256:" + "0" * 64)) as server:
        fails(server, "not match its digest")


def test_a_digest_names_exactly_its_content():
    with Hostile(Contents().answer) as server, pytest.raises(ContainerError, match="not match its digest"):
        pull.pull(f"{server.address}/x@sha256:{'0' * 64}")


# ---- blobs ---------------------------------------------------------------------------------------------------------


def changed(contents: Contents, change):
    """Serve *contents*; *change(blob, headers)* modifies the answers with the first layer."""
    digest = documents.digest_of(contents.layers[0])

    def script(method, path, headers):
        if path.endswith(digest):
            return change(contents.layers[0], headers)
        return contents.answer(method, path, headers)

    return script


@pytest.mark.parametrize(
    "change, words, left",
    [
        (lambda blob, _: answer(bytes(len(blob))), ["not match its digest"], False),
        (lambda blob, _: answer(blob[:-1] + b"x"), ["not match its digest"], False),
        (lambda blob, _: answer(blob + b"x"), ["size mismatch"], False),
        (lambda blob, _: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + blob + b"x", ["size mismatch"], True),
        (lambda blob, _: answer(blob[:100], length=len(blob)), ["5 times: pull again to resume"], True),
        (lambda blob, _: answer(blob[:100]), ["size mismatch"], False),
        (lambda blob, _: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + blob[:100], ["ended after"], True),
        (lambda blob, _: answer("no", "403 Forbidden"), ["403"], False),
        (
            lambda blob, _: answer(
                {"errors": [{"code": "X", "message": "\x1b[2Jgone\n\x07" + "y" * 10000}]}, "410 Gone"
            ),
            ["gone", "410"],
            False,
        ),
    ],
)
def test_a_layer_with_a_wrong_digest(change, words, left):
    with Hostile(changed(Contents(), change)) as server:
        fails(server, *words, left=left)


def test_an_unrequested_range():
    """The connection breaks, and the answer to the request for the rest begins elsewhere."""
    contents = Contents(archive({"a": noise(100_000)}))

    def change(blob, headers):
        if "range" not in headers:
            return answer(blob[:50_000], length=len(blob))
        return answer(blob[10:], "206 Partial Content", Content_Range=f"bytes 10-{len(blob) - 1}/{len(blob)}")

    with Hostile(changed(contents, change)) as server:
        fails(server, "sends the wrong part", left=True)


def test_a_server_without_range_sends_everything_again():
    contents = Contents(archive({"a": noise(100_000)}))

    def change(blob, headers):
        return answer(blob if "range" in headers else blob[:50_000], length=len(blob))

    with Hostile(changed(contents, change)) as server:
        pull.pull(f"{server.address}/x")
        with open(f"{Image.find(f'{server.address}/x').layers[0]}/a", "rb") as file:
            assert file.read() == noise(100_000)


def test_a_wrong_partial_download_is_fetched_again(tmp_path):
    """A power cut may have left blocks of zeros."""
    contents = Contents(archive({"a": noise(100_000)}))
    digest = documents.digest_of(contents.layers[0]).removeprefix("sha256:")
    os.makedirs(f"{store.store()}/partial")
    with open(f"{store.store()}/partial/{digest}", "wb") as file:
        file.write(bytes(50_000))
    with Hostile(contents.answer) as server:
        pull.pull(f"{server.address}/x")
        assert unfinished() == []


# ---- elsewhere -----------------------------------------------------------------------------------------------------


@pytest.fixture
def other():
    """Another server, on another host, that must get no request, or no credentials."""
    with Hostile(Contents().answer, "127.0.0.2") as server:
        yield server


def redirecting(target: str):
    return lambda method, path, headers: (
        answer("{}") if path == "/v2/" else answer("", "307 Temporary Redirect", Location=target)
    )


@pytest.mark.parametrize(
    "target, words",
    [
        ("file:///etc/passwd", "which is not a web address"),
        ("ftp://127.0.0.1/x", "which is not a web address"),
        ("http://169.254.169.254/latest/meta-data/", "address of this machine's own link"),
        ("http://[fd00:ec2::254]/", "address of this machine's own link"),
        ("http://[fe80::1]/", "address of this machine's own link"),
        ("http://[::ffff:169.254.169.254]/", "address of this machine's own link"),
        ("http://user:word@127.0.0.1/", "not a web address"),
        ("http://127.0.0.1:99999999/", "which is not a URL"),
        ("http://[", "which is not a URL"),
        ("http://", "redirects endlessly"),
        ("/again", "redirects endlessly"),
        ("", "redirects endlessly"),
    ],
)
def test_a_redirect_to_a_forbidden_address(target, words):
    with Hostile(redirecting(target)) as server:
        fails(server, words)


def test_a_redirect_may_not_come_nearer():
    """What the rule compares; the next test shows that it applies to every connection."""
    near = {
        "93.184.216.34": 0,
        "2606:2800::1": 0,
        "10.1.2.3": 1,
        "192.168.1.1": 1,
        "fd12::1": 1,
        "127.0.0.1": 2,
        "::1": 2,
        "0.0.0.0": 2,
        "::ffff:127.0.0.1": 2,
        "169.254.1.1": 3,
        "100.100.100.200": 3,
        "fe80::1%eth0": 3,
        "100.64.1.1": 1,  # carrier-grade NAT, Tailscale
        "198.18.0.1": 1,
        "224.0.0.1": 1,
        "fec0::1": 1,
        "64:ff9b::8.8.8.8": 0,
        "64:ff9b::10.0.0.1": 1,
        "64:ff9b::169.254.169.254": 3,
        "64:ff9b:1::127.0.0.1": 2,
        "2002:7f00:1::": 2,  # 6to4 of 127.0.0.1
        "2002:a9fe:a9fe::1": 3,
        "::127.0.0.1": 2,
    }
    assert {address: transport.nearness(address) for address in near} == near
    transport.check_nearness("10.1.2.3", 1, "registry")
    for address, nearest in (("127.0.0.1", 1), ("127.0.0.1", 0), ("10.1.2.3", 0), ("169.254.1.1", 3)):
        with pytest.raises(transport.RegistryError, match="an address .*: refused"):
            transport.check_nearness(address, nearest, "registry")


def test_the_connection_itself_is_looked_at(other):
    """A name does not show where it leads: the address of the connection is checked before anything is sent."""
    with Hostile(redirecting(f"http://localhost:{other.address.partition(':')[2]}/v2/x/manifests/latest")) as server:
        far = transport.Transport(f"http://{server.address}", transport.default_context())
        far._arrived = lambda address: None  # as if the registry itself were anywhere: nearness 0
        far._connect()
        with Hostile(Contents().answer) as near:
            with pytest.raises(transport.RegistryError, match="on this machine: refused"):
                far.request("GET", f"http://127.0.0.1:{near.address.partition(':')[2]}/v2/")
            assert near.asked == []


def test_no_connection_is_made_to_an_address_that_is_refused(other):
    """A connection alone may have an effect, and reveals an open port."""
    with socket.create_server(("127.0.0.1", 0)) as near:
        far = transport.Transport(f"http://{other.address}", transport.default_context(), nearest=1)
        far.origin = f"http://localhost:{near.getsockname()[1]}"
        with pytest.raises(transport.RegistryError, match="an address on this machine: refused"):
            far.request("GET", "/v2/")
        assert not select.select([near], [], [], 0)[0]


def test_add_follows_a_redirect_unless_it_leads_nearer(other):
    with (
        Hostile(redirecting("http://169.254.169.254/secrets")) as server,
        pytest.raises(ContainerError, match="of this machine's own link"),
        remote.fetched(f"http://{server.address}/file", ""),
    ):
        pass
    for address in (
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
    ):
        with pytest.raises(ContainerError, match="an address .*: refused"), remote.fetched(address, ""):
            pass


def test_from_https_never_to_http(tmp_path, other):
    with Hostile(
        redirecting(f"http://{other.address}/v2/x/manifests/latest"), tls=certificate(tmp_path, "127.0.0.1")
    ) as server:
        fails(server, f"from https to 'http://{other.address}/v2/x/manifests/latest'", "refused")
    assert other.asked == []
    with pytest.raises(transport.RegistryError, match="from https to .*: refused"):
        transport.check_step("https://registry.example/v2/", f"http://{other.address}/")
    transport.check_step("https://registry.example/v2/", "https://blobs.example/")
    transport.check_step("http://registry.example/v2/", "https://blobs.example/")


def test_credentials_stay_with_the_registry(other):
    """Layers may be on another server, as with most large registries; but requests there carry no password."""
    contents = Contents()

    def script(method, path, headers):
        if headers.get("authorization", "") == "":
            return answer("{}", "401 Unauthorized", WWW_Authenticate='Basic realm="x"')
        if "/blobs/" in path:
            return answer("", "307 Temporary Redirect", Location=f"http://{other.address}{path}")
        return contents.answer(method, path, headers)

    with Hostile(script) as server:
        credentials.store(server.address, credentials.Login(USER, PASSWORD))
        pull.pull(f"{server.address}/x")
        assert len(other.asked) == 2 and not [headers for _, _, headers in other.asked if "authorization" in headers]
        assert [headers for _, path, headers in server.asked if "/blobs/" in path and "authorization" in headers]


# ---- tokens --------------------------------------------------------------------------------------------------------


def demanding(realm: str, inner=None):
    """A registry that wants a token from *realm*, and takes any."""

    def script(method, path, headers):
        if headers.get("authorization", "").startswith("Bearer "):
            return (inner or Contents().answer)(method, path, headers)
        if path.startswith("/token"):
            return answer({"token": "good"})
        return answer("{}", "401 Unauthorized", WWW_Authenticate=f'Bearer realm="{realm}",service="x"')

    return script


def test_a_token_from_elsewhere_is_asked_for_without_the_password():
    with Hostile(lambda *_: answer({"token": "good"}), "127.0.0.2") as tokens:
        with Hostile(demanding(f"http://{tokens.address}/token")) as server:
            pull.pull(f"{server.address}/x")  # an arbitrary server, which any registry may name
            assert tokens.asked and "authorization" not in tokens.asked[0][2]
            del tokens.asked[:]
            credentials.store(server.address, credentials.Login(USER, PASSWORD))
            with pytest.raises(
                ContainerError, match=f"asks to send its password to {tokens.address}.*nothing was sent"
            ):
                pull.pull(f"{server.address}/x")
            assert tokens.asked == []
            credentials.store(tokens.address, credentials.Login("other", "word"))
            pull.pull(f"{server.address}/x")
            assert "authorization" in tokens.asked[0][2] and "account=other" in tokens.asked[0][1]


@pytest.mark.parametrize(
    "realm, words",
    [
        ("file:///etc/passwd", "not a web address"),
        ("", "not a web address"),
        ("http://169.254.169.254/token", "this machine's own link"),
        ("x" * 5000, "not a web address"),
        ("http://127.0.0.1:9/token", "can't be reached"),
    ],
)
def test_a_realm_at_a_forbidden_address(realm, words):
    with Hostile(demanding(realm)) as server:
        fails(server, words)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic", "Negotiate abc", 'Bearer realm="', "Bearer " + "a=b," * 10000, "=", '"' * 5000]
)
def test_a_demand_that_makes_no_sense(header):
    with Hostile(lambda *_: answer("{}", "401 Unauthorized", WWW_Authenticate=header)) as server:
        fails(server)
        assert len(server.asked) < 10


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": 5}',
        b'{"token": "a\\r\\nX: y"}',
        b'{"token": ' + b"[" * 100000,
        b"\xff" * 5_000_000,
    ],
)
def test_an_invalid_token(body):
    with Hostile(
        lambda method, path, headers: (
            answer(body)
            if path.startswith("/token")
            else answer("{}", "401 Unauthorized", WWW_Authenticate=f'Bearer realm="http://{headers["host"]}/token"')
        )
    ) as server:
        fails(server, "token")


def test_a_token_that_never_satisfies():
    """It is requested once, and not again and again."""
    with Hostile(
        lambda method, path, headers: (
            answer({"token": "bad"})
            if path.startswith("/token")
            else answer("{}", "401 Unauthorized", WWW_Authenticate=f'Bearer realm="http://{headers["host"]}/token"')
        )
    ) as server:
        fails(server, "401")
        assert len([path for _, path, _ in server.asked if path.startswith("/token")]) == 1


def test_a_token_that_has_expired_is_renewed():
    """Each is good for three requests: a pull of four layers takes more."""
    contents, used = Contents(*(archive({name: name}) for name in "abcd")), {}

    def script(method, path, headers):
        if path.startswith("/token"):
            used[f"Bearer t{len(used)}"] = 0
            return answer({"token": f"t{len(used) - 1}"})
        token = headers.get("authorization")
        if token in used and used[token] < 3:
            used[token] += 1
            return contents.answer(method, path, headers)
        return answer("{}", "401 Unauthorized", WWW_Authenticate=f'Bearer realm="http://{headers["host"]}/token"')

    with Hostile(script) as server:
        pull.pull(f"{server.address}/x")
        assert len(used) > 1 and len(Image.find(f"{server.address}/x").layers) == 4


# ---- too many, too busy --------------------------------------------------------------------------------------------


def test_a_retry_after_is_obeyed(monkeypatch):
    contents = Contents()
    answers = [
        ("429 Too Many Requests", {"Retry-After": "1"}),
        ("503 Service Unavailable", {}),
        ("502 Bad Gateway", {}),
    ]

    def script(method, path, headers):
        if answers and path != "/v2/":
            status, more = answers.pop(0)
            return answer("{}", status, **more)
        return contents.answer(method, path, headers)

    with Hostile(script) as server:
        begin = time.monotonic()
        pull.pull(f"{server.address}/x")
        assert 1 <= time.monotonic() - begin < 10 and answers == []


@pytest.mark.parametrize(
    "wait, words",
    [
        ("3600", "asks us to wait 3600"),
        ("9" * 400, "asks us to wait"),
        ("-5", "429"),
        ("x", "429"),
        ("Fri, 31 Dec 2999 23:59:59 GMT", "asks us to wait"),
        ("nan", "429"),
    ],
)
def test_a_retry_after_that_is_too_long_is_reported(wait, words):
    with Hostile(lambda method, path, headers: answer("{}", "429 Too Many Requests", Retry_After=wait)) as server:
        fails(server, words)


def test_control_characters_of_a_registry_do_not_reach_the_terminal():
    contents = Contents()
    contents.config["architecture"] = "\x1b]0;title\x07"
    contents.describe_config()
    for script in (contents.answer, lambda *_: answer("", "404 \x1b[2Jgone")):
        with Hostile(script) as server:
            done = minict("pull", f"{server.address}/x")
            assert "\x1b" not in done.stdout + done.stderr and "\x07" not in done.stdout + done.stderr, done
    assert "gone" in done.stderr


def test_the_command_says_it_in_a_sentence():
    with Hostile(redirecting("http://169.254.169.254/")) as server:
        refused(minict("pull", "-q", f"{server.address}/x"), "169.254.169.254", ": refused")
