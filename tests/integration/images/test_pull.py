"""Images from a real registry: docker-registry on loopback, images made by umoci, brought there by skopeo."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request

import pytest

import minict as minict_package
from minict.engine.archive import compression
from minict.engine.distribution import credentials
from minict.engine.distribution import manifest as documents
from minict.engine.images import importer, pull, store
from minict.engine.images.image import Image
from minict.kernel import mount
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in
from tests.support.command_line import PATIENCE, Terminal, begin, minict, refused, run, wait_until
from tests.support.paths import ROOT
from tests.support.registry_server import (
    PASSWORD,
    USER,
    Hostile,
    RegistryServer,
    TokenServer,
    Wire,
    answer,
    archive,
    certificate,
    debian,
)
from tests.support.world import host_network


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICT_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("MINICT_CONFIG", str(tmp_path / "config.json"))


def noise(size: int, seed: str = "") -> bytes:
    """*size* bytes that can't be compressed, the same each time."""
    return hashlib.shake_128(seed.encode()).digest(size)


def content(name: str, path: str) -> str:
    """What the image *name* has at *path*, in its uppermost layer that has it."""
    for layer in Image.find(name).layers:
        if os.path.exists(f"{layer}/{path}"):
            with open(f"{layer}/{path}") as file:
                return file.read()
    raise AssertionError(path)


def unfinished() -> list[str]:
    """The files in the store that belong to no image."""
    return [f"{place}/{name}" for place in ("making", "partial") for name in names_in(f"{store.store()}/{place}")]


def test_an_image_is_pulled_and_is_the_same(layout, registry):
    made = layout.image("app", [{"etc/motd": "hello", "bin/x": "one"}, {"bin/x": "two"}], cmd="/bin/x", env="A=b")
    name = registry.push(layout, "app")
    done = minict("pull", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout.splitlines()[0] == "latest: Pulling from app" and done.stdout.splitlines()[-1] == f"{name}:latest"
    )
    assert f"Status: Downloaded newer image for {name}:latest" in done.stdout
    found = Image.find(name)
    assert found.id == made and found.config["Cmd"] == ["/bin/x"] and "A=b" in found.config["Env"]
    assert (content(name, "etc/motd"), content(name, "bin/x")) == ("hello", "two")
    assert unfinished() == []


def test_the_same_again_fetches_nothing(layout, registry):
    name = registry.push(layout, layout.image("again", [{"a": "1"}, {"b": "2"}]) and "again")
    assert minict("pull", name).returncode == 0
    before = len(registry.requests())
    done = minict("pull", name)
    assert done.stdout.count("Already exists") == 2 and f"Status: Image is up to date for {name}:latest" in done.stdout
    assert not [
        path for _, path, _ in registry.requests()[before:] if layout.manifest("again")["layers"][0]["digest"] in path
    ]


def test_a_layer_that_is_here_is_not_fetched_again(layout, registry):
    layout.image("one", [{"base": noise(50_000)}, {"top": "one"}])
    layout.image("two", [{"base": noise(50_000)}, {"top": "two"}])
    assert minict("pull", registry.push(layout, "one")).returncode == 0
    done = minict("pull", registry.push(layout, "two"))
    assert done.stdout.count("Already exists") == 1 and done.stdout.count("Pull complete") == 1
    one, two = Image.find(registry.name("one")), Image.find(registry.name("two"))
    assert one.layers[1] == two.layers[1] and one.layers[0] != two.layers[0]
    assert content(registry.name("two"), "top") == "two"


def test_all_tags_of_a_repository_are_pulled_and_pushed(layout, registry):
    for tag in ("one", "two", "three"):
        layout.image(tag, [{"a": tag}])
        registry.push(layout, tag, f"many:{tag}")
    name = registry.name("many")
    done = minict("pull", "-q", "-a", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == [f"{name}:{tag}" for tag in ("one", "three", "two")]
    assert content(f"{name}:two", "a") == "two"
    assert (
        minict("tag", f"{name}:one", registry.name("others:1")).returncode
        == 0
        == minict("tag", f"{name}:two", registry.name("others:2")).returncode
    )
    pushed = minict("push", "-q", "--all-tags", registry.name("others"))
    assert pushed.stdout.split() == [registry.name("others:1"), registry.name("others:2")]
    assert sorted(json.loads(registry.get("/v2/others/tags/list"))["tags"]) == ["1", "2"]
    for words in (["pull", "-a", f"{name}:one"], ["push", "-a", f"{name}:one"]):
        refused(minict(*words), "has a tag", status=1)
    refused(minict("push", "-a", registry.name("nothing")), "no such image", status=1)
    refused(minict("pull", "-a", registry.name("nothing")), "nothing", "spelling", status=1)


@pytest.mark.parametrize(
    "options, kind", [((), documents.LAYER_GZIP), (("--format", "v2s2"), documents.DOCKER_LAYER_GZIP)]
)
def test_manifests_are_the_standards_or_dockers(layout, registry, options, kind):
    layout.image("kind", [{"file": "hello" * 1000}])
    name = registry.push(layout, "kind", "kinds/" + kind.rpartition(".")[2].replace("+", "-"), *options)
    manifest = json.loads(registry.get(f"/v2/{name.partition('/')[2]}/manifests/latest"))
    assert [layer["mediaType"] for layer in manifest["layers"]] == [kind]
    assert minict("pull", "-q", name).stdout == f"{name}:latest\n"
    assert content(name, "file") == "hello" * 1000


def put_image(
    registry, repository: str, plain: bytes, media_type: str = documents.LAYER, compress=bytes, **config
) -> bytes:
    """Store an image of one layer, the archive *plain*, that umoci can't make; its manifest."""
    diff_id, layer = documents.digest_of(plain), compress(plain)
    document = json.dumps(
        {
            "architecture": documents.architecture(),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            **config,
        }
    ).encode()
    for data in (layer, document):
        put_blob(registry, repository, data)
    made = documents.Manifest.of(
        documents.Descriptor(documents.CONFIG, documents.digest_of(document), len(document)),
        [documents.Descriptor(media_type, documents.digest_of(layer), len(layer))],
    )
    registry.put_manifest(repository, made.digest, made.data, made.media_type)
    return made.data


def put_blob(registry, repository: str, data: bytes) -> None:
    first = urllib.request.Request(f"{registry.url}/v2/{repository}/blobs/uploads/", b"", method="POST")
    with urllib.request.urlopen(first, timeout=10) as place:
        url = f"{place.headers['Location']}&digest={documents.digest_of(data)}"
    kind = {"Content-Type": "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(url, data, method="PUT", headers=kind), timeout=10).close()


@pytest.mark.parametrize(
    "kind, compress",
    [
        (documents.LAYER, bytes),
        (documents.LAYER_GZIP, gzip.compress),
        (documents.LAYER_ZSTD, lambda data: compression.zstd().compress(data)),
    ],
)
def test_how_a_layer_is_compressed(registry, kind, compress):
    manifest = put_image(registry, "packed", archive({"a": "plain" * 1000}), kind, compress)
    name = registry.name(f"packed@{documents.digest_of(manifest)}")
    assert minict("pull", name).returncode == 0
    assert content(name, "a") == "plain" * 1000


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/html"])
def test_an_image_of_docker_1_10_is_pulled(registry, kind):
    """python:3.5.1-alpine is one: its configuration has no type of its own."""
    manifest = json.loads(put_image(registry, "old", archive({"a": "old"})))
    manifest["config"]["mediaType"] = kind
    registry.put_manifest("old", "latest", json.dumps(manifest).encode(), manifest["mediaType"])
    assert minict("pull", registry.name("old")).returncode == 0
    assert content(registry.name("old"), "a") == "old"


def put_index(registry, repository: str, platforms: list[dict]) -> bytes:
    """An index with an image for each of *platforms*, in which the file ``for`` says which; the index is ``latest``."""
    entries = []
    for platform in platforms:
        words = "/".join(platform.values())
        manifest = put_image(registry, repository, archive({"for": words}), **platform)
        descriptor = documents.Descriptor(documents.MANIFEST, documents.digest_of(manifest), len(manifest))
        entries.append({**descriptor.as_dict(), "platform": platform})
    index = json.dumps({"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": entries}).encode()
    registry.put_manifest(repository, "latest", index, documents.INDEX)
    return index


def test_of_an_index_this_machines_image_is_taken(registry):
    here = documents.architecture()
    index = put_index(
        registry,
        "many",
        [
            {"os": "windows", "architecture": here},
            {"os": "linux", "architecture": "s390x"},
            {"os": "linux", "architecture": "arm", "variant": "v6"},
            {"os": "linux", "architecture": "arm", "variant": "v7"},
            {"os": "linux", "architecture": here},
        ],
    )
    name = registry.name("many")
    done = minict("pull", name)
    assert done.returncode == 0 and f"Digest: {documents.digest_of(index)}" in done.stdout, done
    assert content(name, "for") == f"linux/{here}"
    assert Image.find(name).repo_digests == [f"{name}@{documents.digest_of(index)}"]
    for platform in ("linux/s390x", "linux/arm/v7", "linux/arm/v6"):
        assert minict("pull", "--platform", platform, name).returncode == 0
        assert content(name, "for") == platform
    done = minict("pull", "-q", "--platform", "linux/mips", name)
    refused(done, "no image for linux/mips", "linux/s390x", "windows/")
    refused(minict("pull", "--platform", "a b", name), "invalid platform")


def test_the_digest_of_an_index_is_a_name_too(registry):
    index = put_index(registry, "byindex", [{"os": "linux", "architecture": documents.architecture()}])
    name = registry.name(f"byindex@{documents.digest_of(index)}")
    assert minict("pull", name).returncode == 0
    assert content(name, "for") == f"linux/{documents.architecture()}"


def test_an_image_for_another_machine_is_reported(registry):
    manifest = put_image(registry, "foreign", archive({"a": "b"}), architecture="s390x")
    registry.put_manifest("foreign", "latest", manifest, documents.MANIFEST)
    done = minict("pull", registry.name("foreign"))
    assert (
        done.returncode == 0 and "WARNING: " in done.stdout and "is for linux/s390x, and this machine is" in done.stdout
    )
    refused(
        minict("pull", "-q", "--platform", "linux/arm64/v8", registry.name("foreign")),
        "is for linux/s390x and not for linux/arm64/v8",
    )


def test_a_missing_image_is_one_sentence(layout, registry):
    layout.image("there", [{"a": "b"}])
    name = registry.push(layout, "there")
    for wrong in (registry.name("nowhere"), f"{name}:other", f"{name}@sha256:{'0' * 64}"):
        refused(minict("pull", "-q", wrong), wrong.rpartition("/")[2], "unknown", "check the spelling of name and tag")
    refused(minict("pull", "-q", f"127.0.0.1:{1}/x"), "127.0.0.1:1 can't be reached (Connection refused)")
    refused(minict("pull", "-q", "nowhere.invalid/x"), "nowhere.invalid", "unknown host")
    refused(minict("pull", "UPPER"), "invalid image name")
    refused(minict("pull"), "usage: minict pull")


# ---- who may -------------------------------------------------------------------------------------------------------


def test_a_registry_with_passwords(layout, tmp_path):
    layout.image("secret", [{"a": "secret"}])
    with RegistryServer(tmp_path, auth="htpasswd") as server:
        name = server.push(layout, "secret")
        refused(minict("pull", "-q", name), "requires a login", f"minict login {server.address}")
        wrong = minict("login", "-u", USER, "--password-stdin", server.address, input="wrong")
        refused(wrong, f"{server.address} rejects this user name or password")
        assert not os.path.exists(tmp_path / "docker/config.json")
        done = minict("login", "-u", USER, "--password-stdin", server.address, input=f"{PASSWORD}\n")
        assert (done.returncode, done.stdout) == (
            0,
            "Login Succeeded\n",
        ) and "WARNING: your password is stored unencrypted in" in done.stderr
        assert os.stat(tmp_path / "docker/config.json").st_mode & 0o777 == 0o600
        assert minict("pull", "-q", name).returncode == 0
        assert content(name, "a") == "secret"
        assert minict("logout", server.address).stdout == f"Removing login credentials for {server.address}\n"
        refused(minict("pull", "-q", name), "requires a login")


def test_a_registry_with_tokens(layout, tmp_path):
    layout.image("app", [{"a": "1"}, {"b": "2"}])
    with TokenServer(tmp_path) as tokens, RegistryServer(tmp_path, auth=tokens) as server:
        assert minict("login", "-u", USER, "-p", PASSWORD, server.address).returncode == 0
        for name in ("public/app", "private/app"):
            server.push(layout, "app", name)
        del tokens.asked[:]
        assert minict("pull", "-q", server.name("private/app")).returncode == 0
        assert set(tokens.asked) == {(USER, "repository:private/app:pull")} and len(tokens.asked) == 1
        assert minict("logout", server.address).returncode == 0
        assert minict("pull", "-q", server.name("public/app")).returncode == 0  # no ordinary host may do that
        refused(minict("pull", "-q", server.name("private/other")), "private/other", f"minict login {server.address}")
        refused(
            minict("login", "-u", USER, "--password-stdin", server.address, input="wrong"),
            "rejects the user name 'learner'",
        )


# ---- TLS, and Docker's own registry --------------------------------------------------------------------------------


def test_a_certificate_is_verified_unless_the_user_forbids_it(layout, tmp_path):
    layout.image("app", [{"a": "b"}])
    with RegistryServer(tmp_path, tls=certificate(tmp_path, "127.0.0.1")) as server:
        name = server.push(layout, "app")
        refused(
            minict("pull", "-q", "--tls-verify=true", name),
            "certificate",
            "self-signed",
            "/etc/docker/certs.d/127.0.0.1:",
        )
        trusting = {**os.environ, "SSL_CERT_FILE": f"{tmp_path}/127.0.0.1.crt"}
        assert minict("pull", "-q", "--tls-verify=true", name, env=trusting).returncode == 0
        for flags in (["--tls-verify=false"], []):  # as Docker has it for this machine itself
            done = minict("pull", "-q", *flags, name)
            assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}:latest\n", "")
        other = name.replace("127.0.0.1", "localhost")
        refused(minict("pull", "-q", "--tls-verify=true", other, env=trusting), "certificate", "localhost")


@pytest.fixture
def dockers_registry(tmp_path):
    """docker.io's real name, on this machine: its registry with TLS, its token server, an authority for both, and
    /etc/hosts."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 registry-1.docker.io auth.docker.io registry.example\n")
    mount.mount(str(hosts), "/etc/hosts", None, mount.MS_BIND)
    authority = certificate(tmp_path, "authority.example")
    directory = tmp_path / "origin"
    directory.mkdir()
    try:
        with RegistryServer(
            directory, tls=certificate(tmp_path, "registry-1.docker.io", authority=authority), address="127.0.0.1:443"
        ) as server:
            server.environment = {**os.environ, "SSL_CERT_FILE": authority[0]}
            yield server
    finally:
        mount.umount2("/etc/hosts")


def test_a_short_name_is_one_of_docker_io(layout, dockers_registry):
    layout.image("app", [{"a": "short"}])
    dockers_registry.push(layout, "app", "library/app:latest")
    refused(minict("pull", "-q", "app"), "the certificate of registry-1.docker.io can't be trusted")
    done = minict("pull", "app", env=dockers_registry.environment)
    assert done.returncode == 0 and done.stdout.startswith("latest: Pulling from library/app\n"), done
    assert done.stdout.endswith("docker.io/library/app:latest\n")
    assert content("app", "a") == "short"


def test_other_machines_need_https(layout, registry, dockers_registry):
    """registry.example is 127.0.0.1 as well, but its name does not show that."""
    layout.image("app", [{"a": "b"}])
    registry.push(layout, "app", "example")
    name = f"registry.example:{registry.address.partition(':')[2]}/example"
    refused(minict("pull", "-q", name), "speaks http and not https", "MINICT_INSECURE_REGISTRIES")
    host = name.partition("/")[0]
    refused(minict("pull", "-q", "--tls-verify=false", name), f"set MINICT_INSECURE_REGISTRIES={host}")
    assert minict("pull", "-q", name, env={**os.environ, "MINICT_INSECURE_REGISTRIES": f"other,{host}"}).returncode == 0
    with open(os.environ["MINICT_CONFIG"], "w") as file:
        json.dump({"insecure-registries": [host]}, file)
    assert minict("pull", "-q", name).returncode == 0
    refused(minict("pull", "-q", "--tls-verify=true", name), "speaks http and not https")
    with open(os.environ["MINICT_CONFIG"], "w") as file:
        file.write('{"insecure-registries": "x"}')
    refused(minict("pull", "-q", name), os.environ["MINICT_CONFIG"], "is not a list of texts")


# ---- mirrors -------------------------------------------------------------------------------------------------------


def test_a_class_uses_one_cache(layout, dockers_registry, tmp_path):
    """A real pull-through cache: the second learner's pull asks docker.io for nothing."""
    layout.image("app", [{"a": "cached"}, {"b": noise(100_000).hex()}])
    dockers_registry.push(layout, "app", "library/app:latest")
    os.mkdir(tmp_path / "cache")
    cache = RegistryServer(
        tmp_path / "cache", cache_of=dockers_registry.url.replace("127.0.0.1", "registry-1.docker.io")
    )
    os.environ["SSL_CERT_FILE"] = dockers_registry.environment["SSL_CERT_FILE"]
    try:
        with cache:
            environment = {**os.environ, "MINICT_MIRROR": cache.url}
            for number in (1, 2):
                before = len(dockers_registry.requests())
                done = minict("pull", "-q", "app", env={**environment, "MINICT_ROOT": f"{tmp_path}/learner{number}"})
                assert (done.returncode, done.stderr) == (0, "")
                asked = {path for method, path, _ in dockers_registry.requests()[before:] if method == "GET"}
                assert len([path for path in asked if "/blobs/" in path]) == (3 if number == 1 else 0), asked
                # with the manifest
                wait_until(lambda: len(list((tmp_path / "cache").glob("blobs/**/sha256/*/*/data"))) == 4)
    finally:
        del os.environ["SSL_CERT_FILE"]


def test_without_its_mirror_docker_io_is_asked_itself(layout, registry, dockers_registry):
    layout.image("app", [{"a": "from the origin"}])
    dockers_registry.push(layout, "app", "library/app:latest")
    with open(os.environ["MINICT_CONFIG"], "w") as file:
        # one is down, the other does not have it
        json.dump({"registry-mirrors": ["http://127.0.0.1:9", registry.url]}, file)
    done = minict("pull", "app", env=dockers_registry.environment)
    assert done.returncode == 0 and content("app", "a") == "from the origin"
    assert (
        "127.0.0.1:9 can't be reached (Connection refused)" in done.stdout
        and f"; asking {registry.address}" in done.stdout
    )
    assert "; asking docker.io" in done.stdout
    refused(
        minict("pull", "-q", "app", env={**os.environ, "MINICT_MIRROR": "cache.example"}),
        "MINICT_MIRROR",
        "invalid address",
    )


def test_a_mirror_does_not_get_the_password(layout, dockers_registry):
    layout.image("app", [{"a": "b"}])
    dockers_registry.push(layout, "app", "library/app:latest")
    credentials.store("docker.io", credentials.Login(USER, PASSWORD))
    with Hostile(
        lambda method, path, headers: answer("{}", "401 Unauthorized", WWW_Authenticate='Basic realm="x"')
    ) as mirror:
        done = minict(
            "pull", "-q", "app", env={**dockers_registry.environment, "MINICT_MIRROR": f"http://{mirror.address}"}
        )
        assert done.returncode == 0
        assert mirror.asked and not [headers for _, _, headers in mirror.asked if "authorization" in headers]


def test_a_proxy_is_asked_where_the_environment_names_one(layout, registry):
    """The proxy alone knows registry.example; the name means nothing here."""
    layout.image("app", [{"a": "by proxy"}])
    registry.push(layout, "app", "proxied")
    with Wire(registry.address) as proxy:  # docker-registry takes requests as proxies get them
        environment = {
            **os.environ,
            "http_proxy": f"http://{proxy.address}",
            "https_proxy": f"http://{proxy.address}",
            "MINICT_INSECURE_REGISTRIES": "registry.example:5000",
        }
        assert minict("pull", "-q", "registry.example:5000/proxied", env=environment).returncode == 0
        assert content("registry.example:5000/proxied", "a") == "by proxy" and proxy.received > 0
        refused(
            minict("pull", "-q", "registry.example:5000/proxied", env={**environment, "no_proxy": "registry.example"}),
            "unknown host",
        )
        proxy.received = 0
        assert minict("pull", "-q", registry.name("proxied"), env=environment).returncode == 0 and proxy.received == 0


# ---- interrupted ---------------------------------------------------------------------------------------------------

SIZE = 3_000_000


@pytest.fixture
def big(layout, registry):
    """The name of an image with three layers of 3 MB each, which can't be compressed."""
    layout.image("big", [{f"file{number}": noise(SIZE, str(number))} for number in range(3)])
    return registry.push(layout, "big")


def test_a_killed_pull_resumes(big, registry):
    """The test counts the bytes received: both pulls together get hardly more than one image."""
    with Wire(registry.address, rate=6_000_000) as wire:
        name = big.replace(registry.address, wire.address)
        killed = begin("pull", name, start_new_session=True)
        wait_until(lambda: wire.received > SIZE)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        first, wire.rate = wire.received, None
        assert first < 3 * SIZE and [name for name in unfinished() if name.startswith("partial/")]
        done = minict("pull", name)
        assert done.returncode == 0, done
        # what was on its way when the first one died
        assert wire.received < 3 * SIZE + 1_500_000, (first, wire.received)
        for number in range(3):
            path = next(
                f"{layer}/file{number}" for layer in Image.find(name).layers if os.path.exists(f"{layer}/file{number}")
            )
            with open(path, "rb") as file:
                assert file.read() == noise(SIZE, str(number))
        minict("prune")
        assert unfinished() == []


def test_a_pull_killed_again_and_again_succeeds_in_the_end(big):
    """At any instant: nothing is incomplete, and each pull resumes where the previous one stopped."""
    for number in range(12):
        killed = begin("pull", "-q", big, start_new_session=True)
        time.sleep(0.1 + 0.05 * number)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
    assert minict("pull", "-q", big).returncode == 0
    for number, layer in enumerate(reversed(Image.find(big).layers)):
        with open(f"{layer}/file{number}", "rb") as file:
            assert file.read() == noise(SIZE, str(number))
    assert minict("prune").returncode == 0 and unfinished() == []


def test_only_the_command_is_killed_and_its_workers_end_too(big, registry):
    with Wire(registry.address, rate=2_000_000) as wire:
        killed = begin("pull", big.replace(registry.address, wire.address), start_new_session=True)
        wait_until(lambda: wire.received > 300_000)
        killed.kill()
        killed.wait()
        done = minict("prune")
        assert done.returncode == 0 and "part of layer" in done.stdout, done
        wait_until(lambda: minict("prune").returncode == 0 and unfinished() == [])
        killed.communicate()


def test_ctrl_c_ends_a_pull_at_once_and_loses_nothing(big, registry):
    with Wire(registry.address, rate=2_000_000) as wire:
        name = big.replace(registry.address, wire.address)
        stopped = begin("pull", name, start_new_session=True)
        wait_until(lambda: wire.received > 1_000_000)
        wire.rate = 20_000  # waiting for the end of the layers would take minutes
        os.killpg(stopped.pid, signal.SIGINT)
        output, error = stopped.communicate(timeout=PATIENCE)
        assert stopped.returncode == 130, (stopped.returncode, output, error)
        assert "Traceback" not in error
        assert [place for place in unfinished() if place.startswith("making/")] == []
        assert [place for place in unfinished() if place.startswith("partial/")] != []
        wire.rate, received = None, wire.received
        assert minict("pull", "-q", name).returncode == 0
        assert wire.received < 3 * SIZE + 1_500_000, (received, wire.received)


def test_a_reset_connection_is_resumed(big, registry):
    with Wire(registry.address, rate=4_000_000, breaks=[10**9, 1_000_000, 2_000_000, 1_500_000, 500_000]) as wire:
        name = big.replace(registry.address, wire.address)
        done = minict("pull", name)
        assert (done.returncode, done.stderr) == (0, "") and "Connection reset by peer" in done.stdout, done
        assert done.stdout.count("; retrying in 0.") == 3
        assert wire.breaks == [] and wire.received < 3 * SIZE + 1_500_000


def test_two_pulls_of_one_image_at_once_fetch_it_once(big, registry):
    with Wire(registry.address, rate=10_000_000) as wire:
        name = big.replace(registry.address, wire.address)
        both = [begin("pull", "-q", name) for _ in range(2)]
        assert [each.communicate(timeout=PATIENCE) for each in both] == [(f"{name}:latest\n", "")] * 2
        assert wire.received < 3 * SIZE + 200_000
    assert len(Image.find(name).layers) == 3 and unfinished() == []


def test_the_other_goes_on_when_the_first_is_killed(big, registry):
    with Wire(registry.address, rate=5_000_000) as wire:
        name = big.replace(registry.address, wire.address)
        first = begin("pull", "-q", name, start_new_session=True)
        wait_until(lambda: wire.received > 500_000)
        second = begin("pull", "-q", name)
        wait_until(lambda: wire.received > SIZE)
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        assert second.communicate(timeout=PATIENCE) == (f"{name}:latest\n", "")
        assert wire.received < 3 * SIZE + 2_000_000
    assert Image.find(name)


# ---- what is seen --------------------------------------------------------------------------------------------------


def test_on_a_terminal_each_layer_has_a_bar(big, registry):
    with Wire(registry.address, rate=3_000_000) as wire:
        name = big.replace(registry.address, wire.address)
        with Terminal("pull", name, columns=60) as terminal:
            seen = terminal.expect("Digest: sha256:", 30)
            assert terminal.status() == 0
    assert "Downloading [=" in seen and ">" in seen and "of 3.0 MB" in seen and seen.count("Pull complete") >= 3
    assert "\x1b[3F\x1b[J" in seen  # back over three lines
    lines = [line for line in seen.replace("\x1b[J", "\n").split("\n") if "MB" in line]
    assert all(len(line.strip("\r")) < 60 for line in lines)


def test_quiet_says_the_name_alone(layout, registry):
    layout.image("app", [{"a": "b"}])
    name = registry.push(layout, "app")
    assert minict("pull", "--quiet", name).stdout == f"{name}:latest\n"


# ---- for run -------------------------------------------------------------------------------------------------------


def test_ensure_pulls_what_is_missing(layout, registry, capfd):
    layout.image("app", [{"a": "1"}])
    name = registry.push(layout, "app", "ensured")
    with pytest.raises(ContainerError, match="no such image"):
        pull.ensure(name, "never")
    first = pull.ensure(name)
    assert content(name, "a") == "1"
    output, error = capfd.readouterr()
    assert output == "" and error.startswith(
        f"Unable to find image '{name}:latest' locally\nlatest: Pulling from ensured\n"
    )
    layout.image("app2", [{"a": "2"}])
    registry.push(layout, "app2", "ensured")
    assert pull.ensure(name).id == pull.ensure(name, "never").id == first.id  # it is here
    assert capfd.readouterr() == ("", "")
    assert pull.ensure(name, "always", quiet=True).id != first.id and content(name, "a") == "2"
    assert pull.ensure(first.id[:12], "always").id == first.id  # an id is in no registry
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ContainerError, match="the image .* is not here and can't be pulled: .* unknown"):
        pull.ensure(registry.name("nowhere"), quiet=True)
    with pytest.raises(ContainerError, match="no such image"):
        pull.ensure("0" * 64)


def test_an_image_for_another_platform_is_missing(registry):
    put_index(
        registry, "platforms", [{"os": "linux", "architecture": name} for name in (documents.architecture(), "s390x")]
    )
    name = registry.name("platforms")
    here = pull.ensure(name, quiet=True)
    assert pull.ensure(name, platform="linux/s390x", quiet=True).platform == "linux/s390x"
    assert pull.ensure(name, "never").platform == "linux/s390x" and pull.ensure(here.id).platform == here.platform


def test_run_pulls_what_is_missing(layout, registry, tiny, own_store):
    """Messages go to standard error: standard output belongs to the container."""
    with tarfile.open(layout.directory / "tiny.tar", "w") as tar:
        tar.add(importer.from_host("shell", ["sh", "echo"]).layers[0], arcname=".")
    layout.image("shell", [str(layout.directory / "tiny.tar")], cmd=["/bin/sh", "-c", "echo hello"])
    name = registry.push(layout, "shell", "forrun")
    done = run(name)
    assert (
        (done.returncode, done.stdout) == (0, "hello\n")
        and "Unable to find image" in done.stderr
        and "Digest: " in done.stderr
    )
    assert (run(name).returncode, run(name).stderr) == (0, "")
    assert run(name, flags=["--pull", "always"]).stderr.startswith("latest: Pulling from forrun\n")
    refused(run(registry.name("nowhere"), flags=["--pull", "never"]), "no such image")


def test_python_pulls_too(layout, registry):
    layout.image("app", [{"a": "b"}])
    assert minict_package.pull(registry.push(layout, "app", "api")).names == [registry.name("api:latest")]


def test_a_damaged_image_is_not_pulled_over(layout, registry):
    layout.image("app", [{"a": "1"}])
    name = registry.push(layout, "app", "damaged")
    made = pull.pull(name)
    with open(store.config_file(made.id), "w") as file:
        file.write("{")
    with pytest.raises(ContainerError, match="is damaged"):
        pull.ensure(name)


def test_a_local_image_loads_no_network_modules(tiny):
    code = (
        "import sys; from minict.engine.images import importer, pull; importer.default_image('here'); "
        "pull.ensure('here')\n"
        "print(*{'urllib3', 'ssl', 'socket', 'minict.engine.distribution.registry', 'minict.engine.util.progress'} & "
        "set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {ROOT!r})\n{code}"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "\n"), done


def test_without_urllib3_the_error_names_the_remedy():
    code = "import sys; sys.modules['urllib3'] = None; from minict.engine.cli.main import main; main(['pull', 'app'])"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {ROOT!r})\n{code}"],
        capture_output=True,
        text=True,
    )
    refused(done, "needs the package urllib3: run  pip install urllib3")


# ---- a real application --------------------------------------------------------------------------------------------


def test_nginx_of_a_debian_is_pulled_and_answers(layout, registry):
    """A Debian made by mmdebstrap, an image by umoci, brought by skopeo, pulled and run by minict."""
    with host_network():
        root = debian("nginx-light")
    script = "nginx && exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
    layout.image(
        "nginx", [root, {"var/www/html/index.html": "served from a container\n"}], cmd=["/bin/bash", "-c", script]
    )
    name = registry.push(layout, "nginx")
    done = minict("pull", "--tls-verify=false", name, timeout=PATIENCE)
    assert done.returncode == 0, done
    done = run(name)
    assert (
        done.returncode == 0 and "HTTP/1.1 200 OK" in done.stdout and done.stdout.endswith("served from a container\n")
    ), done
