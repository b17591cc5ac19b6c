"""Images to a real registry, and back: docker-registry on loopback, looked at by skopeo and umoci."""

from __future__ import annotations

import json
import time

import pytest

from minict.engine.distribution import manifest, transport
from minict.engine.distribution.registry import Registry
from minict.engine.distribution.transport import RegistryError
from minict.engine.images import image, importer, push
from minict.engine.images.image import Image
from tests.integration.images.test_pull import noise, own_store  # noqa: F401  a fixture
from tests.support.command_line import minict, refused
from tests.support.registry_server import (
    PASSWORD,
    USER,
    Hostile,
    RegistryServer,
    TokenServer,
    Wire,
    answer,
    tool,
)


def test_a_pulled_image_is_pushed_bit_for_bit(layout, registry, tmp_path):
    layout.image("app", [{"a": "1"}, {"b": noise(100_000)}], cmd="/a")
    with RegistryServer(tmp_path) as other:
        came = registry.push(layout, "app", "from/here")
        assert minict("pull", "-q", came).returncode == 0
        image.tag(came, other.name("to/there:1"))
        done = minict("push", other.name("to/there:1"))
        assert (done.returncode, done.stderr) == (0, ""), done
        assert (
            f"The push refers to repository [{other.address}/to/there]" in done.stdout
            and done.stdout.count(": Pushed\n") == 2
        )
        data = registry.get("/v2/from/here/manifests/latest")
        assert other.get("/v2/to/there/manifests/1") == data
        assert done.stdout.endswith(f"1: digest: {manifest.digest_of(data)} size: {len(data)}\n")
        again = minict("push", other.name("to/there:1"))
        assert (
            again.returncode == 0 and again.stdout.count("Layer already exists") == 2 and "Pushed" not in again.stdout
        )


def test_other_tools_read_an_image_made_here(registry, tiny, tmp_path):
    """skopeo copies it, umoci unpacks it, and podman's own library finds every digest right."""
    made = importer.default_image("mine")
    image.tag("mine", registry.name("mine"))
    done = minict("push", "-q", registry.name("mine"))
    assert (done.returncode, done.stdout) == (0, registry.name("mine") + ":latest\n"), done
    tool("skopeo", "copy", "--src-tls-verify=false", f"docker://{registry.name('mine')}", f"oci:{tmp_path}/out:mine")
    tool("umoci", "unpack", "--image", f"{tmp_path}/out:mine", tmp_path / "unpacked")
    listing = tool("find", ".", "-printf", "%P %y %m %s %l\n", cwd=made.layers[0]).splitlines()
    theirs = tool("find", ".", "-printf", "%P %y %m %s %l\n", cwd=tmp_path / "unpacked/rootfs").splitlines()
    no_directories = [sorted(line for line in lines if " d " not in line) for lines in (listing, theirs)]
    assert no_directories[0] == no_directories[1] and len(listing) > 20
    seen = json.loads(tool("skopeo", "inspect", "--tls-verify=false", "--config", f"docker://{registry.name('mine')}"))
    assert seen["config"]["Cmd"] == ["/bin/sh"]


def test_there_and_back_is_the_same_image(registry):
    made = importer.default_image("mine")
    image.tag("mine", registry.name("back"))
    digest = push.push(registry.name("back"))
    image.remove("mine")
    image.remove(registry.name("back"))
    assert minict("pull", "-q", f"{registry.name('back')}@{digest}").returncode == 0
    assert Image.find(made.id).layers == made.layers


def test_a_layer_of_another_repository_is_mounted(layout, registry):
    layout.image("base", [{"base": noise(200_000)}])
    assert minict("pull", "-q", registry.push(layout, "base", "a/base")).returncode == 0
    image.tag(registry.name("a/base"), registry.name("b/other"))
    before = len(registry.requests())
    done = minict("push", registry.name("b/other"))
    assert done.returncode == 0 and ": Mounted from a/base\n" in done.stdout, done
    assert not [method for method, _, _ in registry.requests()[before:] if method == "PATCH"]
    image.remove(Image.find(registry.name("b/other")).id, force=True)
    assert minict("pull", "-q", registry.name("b/other")).returncode == 0


def test_a_push_needs_authorization(layout, tmp_path):
    with TokenServer(tmp_path) as tokens, RegistryServer(tmp_path, auth=tokens) as server:
        importer.default_image("mine")
        image.tag("mine", server.name("public/mine"))
        refused(
            minict("push", "-q", server.name("public/mine")), "can't be written to", f"minict login {server.address}"
        )
        assert minict("login", "-u", USER, "--password-stdin", server.address, input=PASSWORD).returncode == 0
        assert minict("push", "-q", server.name("public/mine")).returncode == 0
        image.tag("mine", server.name("public/other"))
        del tokens.asked[:]
        done = minict("push", server.name("public/other"))
        assert "Mounted from" in done.stdout or "Pushed" in done.stdout, done
        assert ("learner", "repository:public/other:pull,push") in tokens.asked


def test_a_failed_push_is_one_sentence(registry):
    refused(minict("push", "-q", registry.name("nothing")), "no such image")
    refused(minict("push", "-q", registry.name("x@sha256:" + "0" * 64)), "push the image by a name with a tag")
    importer.default_image("mine")
    image.tag("mine", "127.0.0.1:1/mine")
    refused(minict("push", "-q", "127.0.0.1:1/mine"), "127.0.0.1:1 can't be reached")


# ---- large blobs ---------------------------------------------------------------------------------------------------

BIG = 40_000_000


def big_blob(tmp_path) -> tuple:
    with open(tmp_path / "blob", "wb") as file:
        file.write(noise(BIG))
    return manifest.Descriptor(manifest.LAYER, manifest.digest_of(noise(BIG)), BIG), open(tmp_path / "blob", "rb")


def test_a_large_blob_is_sent_in_pieces(registry, tmp_path):
    descriptor, file = big_blob(tmp_path)
    before, told = len(registry.requests()), []
    with file:
        assert Registry(registry.address).upload("large", descriptor, file, told.append) == "sent"
        assert Registry(registry.address).upload("large", descriptor, file) == "there"
    assert told == [16 << 20, 32 << 20, BIG]
    assert [method for method, _, _ in registry.requests()[before:] if method in ("PATCH", "PUT")] == [
        "PATCH",
        "PATCH",
        "PUT",
    ]
    assert registry.get(f"/v2/large/blobs/{descriptor.digest}") == noise(BIG)


@pytest.mark.parametrize("after, at_most", [((16 << 20) + 3000, BIG + 1_000_000), (20_000_000, 2 * BIG)])
def test_a_broken_upload_resumes(registry, tmp_path, after, at_most):
    """The connection is reset at the beginning of the second piece: the first is not sent again. In the middle of a
    piece, docker-registry discards the whole upload; then everything is sent again.
    """
    descriptor, file = big_blob(tmp_path)
    said = []
    with Wire(registry.address) as wire, file:
        wire.breaks_up = [10**9, after]
        server = Registry(wire.address, say=said.append)
        assert server.upload(f"broken{after}", descriptor, file) == "sent"
        assert wire.sent < at_most and wire.breaks_up == []
    assert len(said) == 1 and "retrying in" in said[0], said
    assert registry.get(f"/v2/broken{after}/blobs/{descriptor.digest}") == noise(BIG)


# ---- hostile -------------------------------------------------------------------------------------------------------


def uploads_to(location: str):
    """A registry that directs uploads to *location*."""

    def script(method, path, headers):
        if method == "POST":
            return answer("", "202 Accepted", Location=location)
        return answer("", "404 Not Found") if method == "HEAD" else answer("", "201 Created")

    return script


def test_a_registry_that_rejects_the_upload(tmp_path, monkeypatch):
    """It answers until the blob comes, and then reads no more."""
    monkeypatch.setenv("MINICT_REGISTRY_TIMEOUT", "0.5")
    monkeypatch.setattr(transport.random, "uniform", lambda *_: 0.01)

    def script(method, path, headers):
        if method in ("PATCH", "PUT"):
            time.sleep(1.5)
        if method == "POST":
            return answer("", "202 Accepted", Location=f"http://{headers['host']}/upload")
        return answer("", "404 Not Found") if method == "HEAD" else answer("", "204 No Content", Range="0-0")

    descriptor, file = big_blob(tmp_path)
    with Hostile(script) as server, file:
        with pytest.raises(RegistryError, match="sent nothing|the connection to .* broke"):
            Registry(server.address).upload("x", descriptor, file)
        assert len([method for method, _, _ in server.asked if method == "PATCH"]) == transport.ATTEMPTS


def test_an_upload_goes_only_to_the_registry(tmp_path):
    with open(tmp_path / "blob", "w+b") as file:
        file.write(b"secret")
        descriptor = manifest.Descriptor(manifest.LAYER, manifest.digest_of(b"secret"), 6)
        with Hostile(lambda *_: answer("", "201 Created"), "127.0.0.2") as other:
            for location in (f"http://{other.address}/upload", f"//{other.address}/upload", "file:///etc/passwd"):
                with Hostile(uploads_to(location)) as server:
                    with pytest.raises(RegistryError, match="redirects the upload to .*: refused"):
                        Registry(server.address).upload("x", descriptor, file)
                    assert {method for method, _, _ in server.asked} <= {"GET", "HEAD", "POST"}
            with (
                Hostile(
                    lambda method, *_: (
                        answer("", "307 Temporary Redirect", Location=f"http://{other.address}/x")
                        if method == "POST"
                        else answer("", "404 Not Found")
                    )
                ) as server,
                pytest.raises(RegistryError, match="redirects an upload"),
            ):
                Registry(server.address).upload("x", descriptor, file)
            assert other.asked == []
