"""save and load: skopeo and podman read our archives, we read theirs, and an error in a hostile one is one sentence."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import subprocess

import pytest

from minict.engine.distribution import manifest as documents
from minict.engine.images import image, store, tarexport
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in
from tests.integration.images.test_store import Layer, config_of, left, make
from tests.support.command_line import minict, refused
from tests.unit.images.test_tarexport import (
    CONFIG,
    ZIPPED,
    layout,
    manifest_of,
    own_store,  # noqa: F401  fixtures
    tar_of,
)


def skopeo(*words: str) -> str:
    return subprocess.run(["skopeo", "--insecure-policy", *words], check=True, capture_output=True, text=True).stdout


def new_store(monkeypatch, tmp_path, name="other"):
    monkeypatch.setenv("MINICT_ROOT", str(tmp_path / name))


def two_images() -> tuple[image.Image, image.Image]:
    shared = Layer(etc__os="minict")
    first = make("app:1", shared, Layer(app="one"))
    image.tag("app:1", "registry.example:5000/team/app:new")
    return first, make("other", shared, Layer(other="two"))


def test_what_is_saved_is_loaded_as_it_was(tmp_path, monkeypatch):
    first, second = two_images()
    with open(tmp_path / "images.tar", "wb") as file:
        tarexport.save(["app:1", "registry.example:5000/team/app:new", "other"], file)
    new_store(monkeypatch, tmp_path)
    with open(tmp_path / "images.tar", "rb") as file:
        loaded = tarexport.load(file)
    assert [(each.id, each.names) for each in loaded] == [
        (first.id, ["app:1", "registry.example:5000/team/app:new"]),
        (second.id, ["other:latest"]),
    ]
    assert [open(f"{layer}/{name}").read() for layer, name in zip(loaded[0].layers, ("app", "etc/os"))] == [
        "one",
        "minict",
    ]
    assert len(os.listdir(f"{store.store()}/layers")) == 3 and left() == []


def test_with_a_name_only_that_name_is_saved_and_with_an_id_all(tmp_path, monkeypatch):
    first, _ = two_images()
    for asked, names in (("app:1", ["app:1"]), (first.id[:12], ["app:1", "registry.example:5000/team/app:new"])):
        file = io.BytesIO()
        tarexport.save([asked], file)
        file.seek(0)
        new_store(monkeypatch, tmp_path, f"store-{len(names)}")
        assert tarexport.load(file)[0].names == names
        new_store(monkeypatch, tmp_path, "data")


def test_with_a_repository_all_its_tags_are_saved(tmp_path, monkeypatch):
    first, second = two_images()
    image.tag(second.id, "app:2")
    image.tag(second.id, "app/other:1")
    file = io.BytesIO()
    tarexport.save(["app"], file)
    file.seek(0)
    new_store(monkeypatch, tmp_path)
    assert sorted((each.id, each.names) for each in tarexport.load(file)) == sorted(
        [(first.id, ["app:1"]), (second.id, ["app:2"])]
    )
    with pytest.raises(ContainerError, match="no such image: app/another"):
        tarexport.save(["app/another"], io.BytesIO())


def test_skopeo_reads_what_is_saved_in_both_ways(tmp_path):
    first, second = two_images()
    path = tmp_path / "images.tar"
    assert minict("save", "-o", str(path), "app:1", "other").returncode == 0
    for source in (f"docker-archive:{path}:docker.io/library/app:1", f"oci-archive:{path}:1"):
        raw = json.loads(skopeo("inspect", "--config", "--raw", source))
        assert raw == first.document
        skopeo("copy", source, f"dir:{tmp_path}/{source.partition(':')[0]}")  # every blob is verified
    assert minict("save", "-o", str(path), "other").returncode == 0
    assert json.loads(skopeo("inspect", "--config", "--raw", f"docker-archive:{path}")) == second.document


def test_podman_loads_what_is_saved(tmp_path, podman):
    first, _ = two_images()
    assert minict("save", "-o", str(tmp_path / "images.tar"), "app:1", "other").returncode == 0
    said = podman("load", "-i", str(tmp_path / "images.tar"))
    assert "docker.io/library/app:1" in said and "docker.io/library/other:latest" in said
    assert podman("image", "inspect", "--format", "{{.Id}}", "docker.io/library/app:1").strip() == first.id


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_what_skopeo_writes_is_loaded(tmp_path, monkeypatch, form):
    first, _ = two_images()
    assert minict("save", "-o", str(tmp_path / "ours.tar"), "app:1").returncode == 0
    skopeo("copy", f"oci-archive:{tmp_path}/ours.tar:1", f"{form}:{tmp_path}/theirs.tar:docker.io/library/theirs:2")
    new_store(monkeypatch, tmp_path)
    done = minict("load", "-i", str(tmp_path / "theirs.tar"))
    assert (done.returncode, done.stdout) == (0, "Loaded image: theirs:2\n"), done
    loaded = image.Image.find("theirs:2")
    assert loaded.digests == first.digests and loaded.config == first.config


def docker_archive(
    *parts: Layer, names=("x:1",), config: bytes | None = None, links: dict[str, str] | None = None, **changes
) -> bytes:
    """An archive as an old docker save writes it: plain layers in directories, and links to layers that were there
    before."""
    config = config_of(*parts) if config is None else config
    entry = {
        "Config": "c.json",
        "RepoTags": list(names),
        "Layers": [f"{number}/layer.tar" for number, _ in enumerate(parts)],
        **changes,
    }
    files = {f"{number}/layer.tar": part.blob for number, part in enumerate(parts)}
    return tar_of({"c.json": config, "manifest.json": json.dumps([entry]).encode(), **files}, links or {})


def test_an_archive_of_an_old_docker_with_links_is_loaded():
    part = Layer(documents.LAYER, bytes, a="1")
    same = docker_archive(part, part, names=["x:1", "y"], links={"1/layer.tar": "../0/layer.tar"})
    loaded = tarexport.load(io.BytesIO(same))
    assert [each.names for each in loaded] == [["x:1", "y:latest"]] and len(loaded[0].layers) == 1 and left() == []


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, bytes], ids=["gzip", "bzip2", "plain"])
def test_a_compressed_archive_and_one_from_a_pipe_are_loaded(tmp_path, compress):
    data = compress(docker_archive(Layer(documents.LAYER, bytes, a="1")))
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe:
        os.write(writer, data)
        os.close(writer)
        assert tarexport.load(pipe)[0].names == ["x:1"]
    (tmp_path / "file").write_bytes(data)
    with open(tmp_path / "file", "rb") as file:
        assert tarexport.load(file)[0].names == ["x:1"]
    assert left() == []


def test_of_an_image_for_several_machines_this_machines_is_loaded():
    ours, theirs = Layer(a="ours"), Layer(a="theirs")
    configs = [config_of(ours), config_of(theirs).replace(documents.architecture().encode(), b"s390x")]
    manifests = [manifest_of(part, config) for part, config in zip((ours, theirs), configs)]
    platforms = [{"os": "linux", "architecture": machine} for machine in (documents.architecture(), "s390x")]
    named = {"annotations": {"org.opencontainers.image.ref.name": "both:1"}}
    data = layout(
        *((manifest, {"platform": platform, **named}) for manifest, platform in zip(manifests, platforms)),
        blobs=[ours.blob, theirs.blob, *configs],
    )
    assert [each.digests for each in tarexport.load(io.BytesIO(data))] == [[ours.diff_id[7:]]]
    loaded = tarexport.load(io.BytesIO(data), platform="linux/s390x")
    assert [each.platform for each in loaded] == ["linux/s390x"] and image.Image.find("both:1").id == loaded[0].id
    with pytest.raises(ContainerError, match="has no image for linux/riscv64, only for .*linux/s390x"):
        tarexport.load(io.BytesIO(data), platform="riscv64")


# ---- liars ---------------------------------------------------------------------------------------------------------

PART = Layer(documents.LAYER, bytes, a="1")
DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "not an archive of images"),
        (b"hello" * 1000, "not an archive of images"),
        (gzip.compress(b"x" * 5000), "not an archive of images"),
        (gzip.compress(docker_archive(PART))[:-20], "damaged or truncated"),
        (docker_archive(PART)[:1500], "not an archive of images|is incomplete|truncated"),
        (tar_of({"bin/sh": b"x"}), "minict import"),
        (tar_of({"manifest.json": b"{"}), "is not JSON"),
        (tar_of({"manifest.json": DEEP}), "is not JSON"),
        (tar_of({"manifest.json": b"[{}]"}), "as docker save writes it"),
        (tar_of({"manifest.json": b'[{"Config": 7, "Layers": []}]'}), "as docker save writes it"),
        (tar_of({"manifest.json": b" " * (5 << 20)}), "the limit is"),
        (tar_of({"index.json": b"[]"}), "not a JSON object"),
        (tar_of({"index.json": b'{"manifests": []}'}), "has no image for"),
        (tar_of({"index.json": b'{"manifests": [{"mediaType": 7}]}'}), "mediaType is missing"),
        (docker_archive(PART, Config="../../../../etc/passwd"), "'../../../../etc/passwd' is missing"),
        (docker_archive(PART, Layers=["/etc/passwd"]), "'/etc/passwd' is missing"),
        (docker_archive(PART, Layers=[]), "1 layers in its configuration, and 0 in its manifest"),
        (docker_archive(PART, Layers=["0/layer.tar"] * 3), "1 layers in its configuration, and 3 in its manifest"),
        (docker_archive(PART, Layers=["0/layer.tar"] * 3000), "as docker save writes it"),
        (docker_archive(PART, names=["../../x"]), "invalid image name"),
        (docker_archive(PART, config=b"{}"), "no list of the layers' digests"),
        (
            docker_archive(PART, config=config_of(PART).replace(PART.diff_id[7:].encode(), b"../" * 20 + b"....")),
            "no list of the layers",
        ),
        (docker_archive(PART, config=config_of(Layer(a="2"))), "does not match the image's configuration"),
        (docker_archive(PART, links={"0/layer.tar": "/etc/passwd"}), "is missing"),
        (docker_archive(PART, links={"0/layer.tar": "layer.tar"}), "is missing"),
        (layout((manifest_of(ZIPPED, CONFIG), {}), blobs=[CONFIG]), "is missing"),
        (
            layout((manifest_of(ZIPPED, CONFIG, size=7), {}), blobs=[CONFIG, ZIPPED.blob]),
            "is longer than its manifest says",
        ),
        (layout((manifest_of(ZIPPED, CONFIG, size=10**6), {}), blobs=[CONFIG, ZIPPED.blob]), "ended after"),
        (
            layout((manifest_of(ZIPPED, CONFIG, mediaType="text/html"), {}), blobs=[CONFIG, ZIPPED.blob]),
            "unsupported type",
        ),
        (layout((manifest_of(ZIPPED, CONFIG, size=-1), {}), blobs=[CONFIG, ZIPPED.blob]), "its size is -1"),
        (layout((manifest_of(ZIPPED, CONFIG, size=1 << 60), {}), blobs=[CONFIG, ZIPPED.blob]), "its size is"),
    ],
    ids=range(31),
)
def test_an_invalid_archive_is_one_sentence_and_leaves_nothing(tmp_path, data, words):
    (tmp_path / "bad.tar").write_bytes(data)
    with open(tmp_path / "bad.tar", "rb") as file, pytest.raises(ContainerError, match=words) as caught:
        tarexport.load(file, "bad.tar")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert image.images() == [] and names_in(f"{store.store()}/layers") == []
    assert [each for each in left() if "partial" not in each or "ended after" not in words] == []


# ---- the commands --------------------------------------------------------------------------------------------------


def test_the_way_of_an_image_on_the_command_line(tmp_path):
    made = make("app:1", Layer(a="1"), Layer(b="22"))
    assert minict("tag", "app:1", "app:2").returncode == 0
    assert minict("images", "-q", "--no-trunc").stdout == f"sha256:{made.id}\n"
    listed = minict("images", "app").stdout.splitlines()
    assert listed[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert [line.split()[:3] for line in listed[1:]] == [["app", "1", made.id[:12]], ["app", "2", made.id[:12]]]
    assert listed[1].endswith(" 3B") and minict("images", "other").stdout.count("\n") == 1
    for words, lines in (
        (["app:2"], 1),
        (["a*:1"], 1),
        (["--filter", "reference=ap?:*"], 2),
        (["--filter", "dangling=true"], 0),
        (["--filter", "label=x"], 0),
        (["--filter", "before=app:1"], 0),
    ):
        assert minict("images", "--format", "{{.Repository}}:{{.Tag}}", *words).stdout.count("\n") == lines, words
    assert "DIGEST" in minict("images", "--digests").stdout
    refused(minict("images", "--filter", "colour=red"), "--filter colour=red", "reference")
    assert minict("history", "app:1", "--format", "{{.ID}} {{.Size}}").stdout == f"{made.id[:12]} 2B\n<missing> 1B\n"
    refused(minict("save", "-o", str(tmp_path / "out.tar"), "nothing"), "no such image: nothing")
    refused(minict("save", "-o", "/no/such/place", "app:1"), "/no/such/place", "can't be written")
    assert not (tmp_path / "out.tar").exists()
    assert minict("rmi", "app:1").stdout == "Untagged: app:1\n"
    assert minict("image", "prune", "-f").stdout == "Total reclaimed space: 0B\n"
    done = minict("image", "prune", "-af").stdout
    assert (
        done.startswith(f"Deleted Images:\nUntagged: app:2\nDeleted: sha256:{made.id}\n")
        and "reclaimed space: " in done
    )
    assert (
        image.images() == [] and names_in(f"{store.store()}/layers") == [] and names_in(f"{store.store()}/links") == []
    )
