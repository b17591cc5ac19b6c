"""The registry of the notebooks, the attacks and the mutants: what chapters need, and tests use too."""

from __future__ import annotations

import ast
import contextlib
import glob
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import pytest

import minict
from minict.engine.distribution import auth
from minict.engine.distribution import manifest as documents
from minict.engine.images import image
from minict.engine.images.pull import pull
from minict.engine.images.push import push
from minict.lab import attacks, mutants, postcard
from minict.lab.registry import Registry
from tests.support.paths import ROOT


@pytest.fixture(scope="module", params=[False, True], ids=["open", "token"])
def registry(request):
    with Registry(token=request.param) as registry:
        yield registry


def test_an_image_goes_there_and_back(registry, tiny):
    name = registry.name("tools")
    original = image.Image.find(tiny)
    image.tag(tiny, name)
    push(name)
    assert registry.repositories() == ["tools"]
    image.remove(name)
    registry.forget()
    assert pull(name).id == original.id
    words = list(map(repr, registry.requests))
    assert words[-1].startswith("GET /v2/tools/blobs/sha256:") and words[-1].endswith("… 200")
    asked = "GET /v2/tools/manifests/latest"
    assert words[:3] == [f"{asked} 401", "GET /token 200", f"{asked} 200"] or not registry.token_giver
    image.remove(name)


def ask(registry, path: str, **headers: str):
    return urllib.request.urlopen(urllib.request.Request(f"http://{registry.address}{path}", headers=headers))


def test_what_is_asked_by_hand(registry):
    registry.put_blob("x", b"layer" * 100)
    digest = f"sha256:{hashlib.sha256(b'layer' * 100).hexdigest()}"
    headers = {}
    registry.forget()
    if registry.token_giver:
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            ask(registry, f"/v2/x/blobs/{digest}")
        demand = auth.challenges(refused.value.headers["WWW-Authenticate"])["bearer"]
        with urllib.request.urlopen(f"{demand['realm']}?scope={demand['scope']}") as answer:
            headers = {"Authorization": f"Bearer {json.load(answer)['token']}"}
    with ask(registry, f"/v2/x/blobs/{digest}", **headers) as answer:
        assert answer.read() == b"layer" * 100
    with ask(registry, f"/v2/x/blobs/{digest}", Range="bytes=495-", **headers) as answer:
        assert (answer.status, answer.read()) == (206, b"layer")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(registry, "/v2/x/manifests/latest", **headers)
    assert repr(registry.requests[-1]) == "GET /v2/x/manifests/latest 404"
    with open(registry.file(digest), "rb") as file:
        assert file.read() == b"layer" * 100


def test_a_closed_registry_leaves_nothing():
    before = set(glob.glob(f"{tempfile.gettempdir()}/minict-registry-*"))
    with Registry() as registry:
        port = int(registry.address.partition(":")[2])
        assert len(set(glob.glob(f"{tempfile.gettempdir()}/minict-registry-*")) - before) == 1
    assert set(glob.glob(f"{tempfile.gettempdir()}/minict-registry-*")) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    registry.close()


def test_a_registry_ends_with_the_process_that_opened_it():
    code = "from minict.lab.registry import Registry\nprint(Registry()._process.pid, flush=True)\nimport time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True) as owner:
        pid = int(owner.stdout.readline())
        assert os.path.exists(f"/proc/{pid}")
        owner.kill()
    end = time.monotonic() + 60
    while os.path.exists(f"/proc/{pid}/exe") and time.monotonic() < end:
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{pid}/exe")
    with contextlib.suppress(ChildProcessError):  # it is this process's to wait for, where that is pid 1
        os.waitpid(pid, 0)


def test_without_docker_registry_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(minict.ContainerError, match="sudo apt install docker-registry"):
        Registry()


def test_a_registry_that_does_not_start_says_why(monkeypatch, tmp_path):
    (tmp_path / "docker-registry").write_text("#!/bin/sh\necho out of order\nexit 1\n")
    (tmp_path / "docker-registry").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(minict.ContainerError, match="out of order"):
        Registry()


def test_the_postcard_is_the_same_on_every_machine_and_greets_on_this_one(registry, tiny):
    postcard.publish(registry)
    name = registry.name("library/postcard")
    assert pull(name).repo_digests[0].partition("@sha256:")[2].startswith("306b4eb0408a")
    assert minict.run(name, network="none").output == postcard.SUMMER
    registry.forget()
    pull(f"{name}:winter")
    assert minict.run(f"{name}:winter", network="none").output == postcard.WINTER
    assert sum("/blobs/" in request.path for request in registry.requests) == 2, "the program is here already"
    other = next(each for each in postcard.PROCESSORS if each != documents.architecture())
    pull(name, platform=f"linux/{other}")
    with pytest.raises(minict.ContainerError, match="neither a program for this processor"):
        minict.run(name, network="none")
    postcard.remove_postcards()


def test_a_second_visit_to_the_postcard_fetches_everything_again(registry, tiny):
    postcard.publish(registry)
    repository = registry.name("library/postcard")
    other = next(each for each in postcard.PROCESSORS if each != documents.architecture())
    kept = [each.id for each in minict.images()]
    fetched = []
    for _ in range(2):
        registry.forget()
        for tag in ("latest", "winter"):
            pull(f"{repository}:{tag}")
        fetched.append(sum("/blobs/" in request.path for request in registry.requests))
        pull(f"{repository}:latest", platform=f"linux/{other}")  # the first one has no tag any more
        postcard.remove_postcards()
        assert [each.id for each in minict.images()] == kept, "the others stay"
    assert fetched == [5, 5], "two configs, the program, two cards"


def test_the_attacks_are_compiled_once(tmp_path, tiny):
    program = attacks.program(str(tmp_path))
    assert attacks.program(str(tmp_path)) == program
    told = minict.run(tiny, ["/attacks", "mount_tmpfs"], volume=[f"{program}:/attacks:ro"], network="none")
    assert (told.status, told.output.split()[-1]) == (0, "EPERM"), told


def test_a_mutant_has_one_fault():
    source = "def f(x):\n    y = x + 1\n    if y == 2:\n        return 'a'\n    return A | B\n"
    made = dict(mutants.mutants(source))
    assert len(made) >= 6 and all(ast.parse(text) for text in made.values())
    assert sum("opposite" in name for name in made) == 1 and sum("one flag less" in name for name in made) == 1
