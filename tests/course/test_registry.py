"""The registry of the notebooks, the attacks and the mutants: what chapters need, and tests use too."""

from __future__ import annotations

import ast
import hashlib
import json
import urllib.error
import urllib.request

import pytest

import minict
from minict.engine.images.pull import pull
from minict.engine.images.push import push
from minict.lab import attacks, mutants
from minict.lab.registry import Registry


@pytest.fixture(params=[False, True], ids=["open", "token"])
def registry(request):
    with Registry(token=request.param) as registry:
        yield registry


def test_an_image_goes_there_and_back(registry, tiny):
    from minict.engine.images import image

    name = registry.name("tools")
    original = image.Image.find(tiny)
    image.tag(tiny, name)
    digest = push(name)
    assert registry.manifests["tools", "latest"] == registry.manifests["tools", digest]
    image.remove(name)
    registry.forget()
    assert pull(name)
    assert image.Image.find(name).id == original.id
    words = list(map(repr, registry.requests))
    assert any(each.startswith("GET /v2/tools/manifests/latest 200") for each in words)
    assert ("GET /token 200" in words) is registry.wants_token
    image.remove(name)


def ask(registry, path: str, **headers: str):
    return urllib.request.urlopen(urllib.request.Request(f"http://{registry.address}{path}", headers=headers))


def test_what_is_asked_by_hand():
    with Registry() as registry:
        data = b"layer" * 100
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        registry.blobs[digest] = data
        assert ask(registry, "/v2/").status == 200
        assert ask(registry, f"/v2/x/blobs/{digest}").read() == data
        part = ask(registry, f"/v2/x/blobs/{digest}", Range="bytes=495-")
        assert (part.status, part.read()) == (206, b"layer")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(registry, "/v2/x/manifests/latest")
        registry.manifests["x", "one"] = ("application/json", b"{}")
        assert json.load(ask(registry, "/v2/x/tags/list")) == {"name": "x", "tags": ["one"]}
        assert repr(registry.requests[1]).startswith("GET /v2/x/blobs/sha256:") and "…" in repr(registry.requests[1])


def test_a_registry_that_wants_a_token_says_where_they_are():
    with Registry(token=True) as registry:
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(registry, "/v2/")
        assert f'realm="http://{registry.address}/token"' in refused.value.headers["WWW-Authenticate"]
        token = json.load(ask(registry, "/token"))["token"]
        assert ask(registry, "/v2/", Authorization=f"Bearer {token}").status == 200


def test_a_wrong_digest_is_refused():
    with Registry() as registry:
        begun = urllib.request.urlopen(
            urllib.request.Request(f"http://{registry.address}/v2/x/blobs/uploads/", b"", method="POST")
        )
        url = f"http://{registry.address}{begun.headers['Location']}?digest=sha256:{'0' * 64}"
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(urllib.request.Request(url, b"data", method="PUT"))


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
