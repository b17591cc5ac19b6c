"""Images from a real registry: docker-registry on loopback, images made by umoci, brought there by skopeo."""
from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from command import Terminal, begin, minict, refused, run, wait_until
from minict.engine import compression, documents, image, pull, store
from minict.engine.image import Image
from minict.runtime.errors import ContainerError
from registryserver import (PASSWORD, USER, RegistryServer, TokenServer, Wire, archive, certificate, debian, layout,  # noqa: F401
                            registry)


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
    """What lies in the store that is part of no image."""
    return [f"{place}/{name}" for place in ("making", "partial") for name in store.entries(f"{store.store()}/{place}")]


def test_an_image_is_pulled_and_is_the_same(layout, registry):
    made = layout.image("app", [{"etc/motd": "hello", "bin/x": "one"}, {"bin/x": "two"}], **{"cmd": "/bin/x", "env": "A=b"})
    name = registry.push(layout, "app")
    done = minict("pull", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "latest: Pulling from app" and done.stdout.splitlines()[-1] == f"{name}:latest"
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
    assert not [path for _, path, _ in registry.requests()[before:] if layout.manifest("again")["layers"][0]["digest"] in path]


def test_a_layer_that_is_here_is_not_fetched_again(layout, registry):
    layout.image("one", [{"base": noise(50_000)}, {"top": "one"}])
    layout.image("two", [{"base": noise(50_000)}, {"top": "two"}])
    assert minict("pull", registry.push(layout, "one")).returncode == 0
    done = minict("pull", registry.push(layout, "two"))
    assert done.stdout.count("Already exists") == 1 and done.stdout.count("Pull complete") == 1
    one, two = Image.find(registry.name("one")), Image.find(registry.name("two"))
    assert one.layers[1] == two.layers[1] and one.layers[0] != two.layers[0]
    assert content(registry.name("two"), "top") == "two"


@pytest.mark.parametrize("options, kind", [((), documents.LAYER_GZIP), (("--format", "v2s2"), documents.DOCKER_LAYER_GZIP)])
def test_manifests_are_the_standards_or_dockers(layout, registry, options, kind):
    layout.image("kind", [{"file": "hello" * 1000}])
    name = registry.push(layout, "kind", "kinds/" + kind.rpartition(".")[2].replace("+", "-"), *options)
    manifest = json.loads(registry.get(f"/v2/{name.partition('/')[2]}/manifests/latest"))
    assert [layer["mediaType"] for layer in manifest["layers"]] == [kind]
    assert minict("pull", "-q", name).stdout == f"{name}:latest\n"
    assert content(name, "file") == "hello" * 1000


def put_image(registry, repository: str, plain: bytes, media_type: str = documents.LAYER, compress=bytes, **config) -> bytes:
    """Store an image of one layer, the archive *plain*, that umoci can't make; its manifest."""
    diff_id, layer = documents.digest_of(plain), compress(plain)
    document = json.dumps({"architecture": documents.architecture(), "os": "linux",
                           "rootfs": {"type": "layers", "diff_ids": [diff_id]}, **config}).encode()
    for data in (layer, document):
        put_blob(registry, repository, data)
    manifest = json.dumps({"schemaVersion": 2, "mediaType": documents.MANIFEST,
                           "config": documents.Descriptor(documents.CONFIG, documents.digest_of(document), len(document)).as_dict(),
                           "layers": [documents.Descriptor(media_type, documents.digest_of(layer), len(layer)).as_dict()]}).encode()
    registry.put_manifest(repository, documents.digest_of(manifest), manifest, documents.MANIFEST)
    return manifest


def put_blob(registry, repository: str, data: bytes) -> None:
    first = urllib.request.Request(f"{registry.url}/v2/{repository}/blobs/uploads/", b"", method="POST")
    with urllib.request.urlopen(first, timeout=10) as place:
        url = f"{place.headers['Location']}&digest={documents.digest_of(data)}"
    kind = {"Content-Type": "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(url, data, method="PUT", headers=kind), timeout=10).close()


@pytest.mark.parametrize("kind, compress", [(documents.LAYER, bytes), (documents.LAYER_GZIP, gzip.compress),
                                            (documents.LAYER_ZSTD, lambda data: compression.zstd().compress(data))])
def test_how_a_layer_is_compressed(registry, kind, compress):
    manifest = put_image(registry, "packed", archive({"a": "plain" * 1000}), kind, compress)
    name = registry.name(f"packed@{documents.digest_of(manifest)}")
    assert minict("pull", name).returncode == 0
    assert content(name, "a") == "plain" * 1000


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
    index = put_index(registry, "many", [{"os": "windows", "architecture": here}, {"os": "linux", "architecture": "s390x"},
                                         {"os": "linux", "architecture": "arm", "variant": "v6"},
                                         {"os": "linux", "architecture": "arm", "variant": "v7"},
                                         {"os": "linux", "architecture": here}])
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
    refused(minict("pull", "--platform", "a b", name), "is no platform")


def test_the_digest_of_an_index_is_a_name_too(registry):
    index = put_index(registry, "byindex", [{"os": "linux", "architecture": documents.architecture()}])
    name = registry.name(f"byindex@{documents.digest_of(index)}")
    assert minict("pull", name).returncode == 0
    assert content(name, "for") == f"linux/{documents.architecture()}"


def test_an_image_for_another_machine_is_told_of(registry):
    manifest = put_image(registry, "foreign", archive({"a": "b"}), architecture="s390x")
    registry.put_manifest("foreign", "latest", manifest, documents.MANIFEST)
    done = minict("pull", registry.name("foreign"))
    assert done.returncode == 0 and "WARNING: " in done.stdout and "is for linux/s390x, and this machine is" in done.stdout
    refused(minict("pull", "-q", "--platform", "linux/arm64/v8", registry.name("foreign")),
            "is for linux/s390x and not for linux/arm64/v8")


def test_what_is_not_there_is_told_in_a_sentence(layout, registry):
    layout.image("there", [{"a": "b"}])
    name = registry.push(layout, "there")
    for wrong in (registry.name("nowhere"), f"{name}:other", f"{name}@sha256:{'0' * 64}"):
        refused(minict("pull", "-q", wrong), wrong.rpartition("/")[2], "unknown", "look at how name and tag are spelled")
    refused(minict("pull", "-q", f"127.0.0.1:{1}/x"), "127.0.0.1:1 can't be reached (Connection refused)")
    refused(minict("pull", "-q", "nowhere.invalid/x"), "nowhere.invalid", "no host of this name")
    refused(minict("pull", "UPPER"), "is no name for an image")
    refused(minict("pull"), "usage: minict pull")


# ---- who may -------------------------------------------------------------------------------------------------------

def test_a_registry_with_passwords(layout, tmp_path):
    layout.image("secret", [{"a": "secret"}])
    with RegistryServer(tmp_path, auth="htpasswd") as server:
        name = server.push(layout, "secret")
        refused(minict("pull", "-q", name), "wants a name and a password", f"minict login {server.address}")
        wrong = minict("login", "-u", USER, "--password-stdin", server.address, input="wrong")
        refused(wrong, f"{server.address} does not accept this name with this password")
        assert not os.path.exists(tmp_path / "docker/config.json")
        done = minict("login", "-u", USER, "--password-stdin", server.address, input=f"{PASSWORD}\n")
        assert (done.returncode, done.stdout) == (0, "Login Succeeded\n") and "WARNING: the password is kept in" in done.stderr
        assert os.stat(tmp_path / "docker/config.json").st_mode & 0o777 == 0o600
        assert minict("pull", "-q", name).returncode == 0
        assert content(name, "a") == "secret"
        assert minict("logout", server.address).stdout == f"Removing login credentials for {server.address}\n"
        refused(minict("pull", "-q", name), "wants a name and a password")


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
        assert minict("pull", "-q", server.name("public/app")).returncode == 0  # nobody in particular may do that
        refused(minict("pull", "-q", server.name("private/other")), "private/other", f"minict login {server.address}")
        refused(minict("login", "-u", USER, "--password-stdin", server.address, input="wrong"), "does not accept the name 'learner'")
