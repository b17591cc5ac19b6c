"""The store: images of many layers arrive completely or not at all, also concurrently, in pieces, or from a hostile
source."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import threading

import pytest

from minict.engine.distribution import manifest as documents
from minict.engine.distribution.manifest import Descriptor
from minict.engine.images import diff, image, ingest, store
from minict.engine.images.export import make_manifest
from minict.kernel import mount
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in
from tests.support.command_line import PATIENCE


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICT_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))


class Layer:
    """A layer as a registry has it: its blob, and how often and from which offset it was downloaded."""

    def __init__(self, media_type=documents.LAYER_GZIP, compress=gzip.compress, **files):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, text in files.items():
                info = tarfile.TarInfo(name.replace("__", "/"))
                info.size, info.mode = len(text), 0o644
                tar.addfile(info, io.BytesIO(text if isinstance(text, bytes) else text.encode()))
        self.diff_id = f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}"
        self.blob = compress(buffer.getvalue())
        self.descriptor = Descriptor(media_type, documents.digest_of(self.blob), len(self.blob))
        self.fetched = []

    def fetch(self, offset: int):
        self.fetched.append(offset)
        return io.BytesIO(self.blob[offset:])


def config_of(*parts: Layer, **config) -> bytes:
    return json.dumps(
        {
            "os": "linux",
            "architecture": documents.architecture(),
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [part.diff_id for part in parts]},
        }
    ).encode()


def make(name: str, *parts: Layer) -> image.Image:
    with ingest.Making(image.full_name(name)) as making:
        for part in parts:
            making.layer(part.descriptor, part.diff_id, part.fetch)
        return making.finish(config_of(*parts))


def left() -> list[str]:
    """The files in the store that belong to no image."""
    return [f"{name}/{entry}" for name in ("making", "partial") for entry in names_in(f"{store.store()}/{name}")]


NOISE = os.urandom(3 << 20)


def test_an_image_of_many_layers_is_found_as_it_was_made():
    parts = [Layer(a="1", b="1"), Layer(b="2"), Layer(c="3")]
    made = make("three", *parts)
    found = image.Image.find("three")
    assert found.id == made.id == hashlib.sha256(config_of(*parts)).hexdigest()
    assert [sorted(os.listdir(layer)) for layer in found.layers] == [["c"], ["b"], ["a", "b"]]
    assert found.size == 4 and left() == []
    for part, digest in zip(parts, found.digests):
        with open(f"{store.layer_directory(digest)}/blob", "rb") as blob:
            assert blob.read() == part.blob
        record = store.layer_record(digest)
        assert record["digest"] == part.descriptor.digest and record["blob_size"] == len(part.blob)
        assert os.path.samefile(f"{store.store()}/links/{record['link']}", f"{store.layer_directory(digest)}/diff")


def test_a_layer_that_is_there_is_not_fetched_again():
    shared = Layer(a="1")
    make("one", shared)
    make("two", shared, Layer(b="2"))
    assert shared.fetched == [0] and len(os.listdir(f"{store.store()}/layers")) == 2


def test_an_interrupted_pull_resumes():
    part = Layer(noise=NOISE)

    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= 2 << 20:
                raise ConnectionResetError(104, "Connection reset by peer")
            return super().read(size)

    with pytest.raises(ContainerError, match="Connection reset by peer"), ingest.Making(image.full_name("x")) as making:
        making.layer(part.descriptor, part.diff_id, lambda offset: Broken(part.blob))
    assert left() == [f"partial/{part.descriptor.digest[7:]}"] and not store.has_layer(part.diff_id[7:])
    made = make("x", part)
    assert part.fetched == [2 << 20] and left() == []
    with open(f"{made.layers[0]}/noise", "rb") as file:
        assert file.read() == NOISE


def test_a_complete_blob_needs_no_registry():
    part = Layer(a="1")
    with store.Locked():
        pass
    with open(f"{store.store()}/partial/{part.descriptor.digest[7:]}", "wb") as file:
        file.write(part.blob)
    make("x", part)
    assert part.fetched == [] and left() == []


def test_damaged_remains_of_an_interrupted_pull_are_downloaded_again():
    part = Layer(noise=NOISE)
    with store.Locked():
        pass
    for remains in (part.blob[:5000] + b"x" + part.blob[5001:100_000], b"nonsense", part.blob + b"more"):
        with open(f"{store.store()}/partial/{part.descriptor.digest[7:]}", "wb") as file:
            file.write(remains)
        make("x", part)
        assert part.fetched[-1] == 0 and left() == []
        image.remove("x")


def test_a_stream_that_ends_too_early_is_kept_for_the_next_time():
    part = Layer(noise=NOISE)
    with (
        pytest.raises(ContainerError, match=f"ended after 1000 of {len(part.blob)} bytes"),
        ingest.Making(None) as making,
    ):
        making.layer(part.descriptor, part.diff_id, lambda offset: io.BytesIO(part.blob[:1000]))
    make("x", part)
    assert part.fetched == [1000]


@pytest.mark.parametrize(
    "lie, words",
    [
        (lambda part: setattr(part, "blob", part.blob[:-9] + b"x" + part.blob[-8:]), "does not match its digest"),
        (lambda part: setattr(part, "blob", Layer(a="2").blob), "does not match its digest|is longer than"),
        (lambda part: setattr(part, "blob", part.blob + b"x"), "is longer than its manifest says"),
        (lambda part: setattr(part, "blob", b"x" * len(part.blob)), "does not match its digest"),
        (lambda part: setattr(part, "diff_id", "sha256:" + "0" * 64), "does not match the image's configuration"),
    ],
    ids=["damaged", "another", "longer", "no archive", "DiffID"],
)
def test_a_wrong_digest_leaves_nothing(lie, words):
    part = Layer(a="1")
    lie(part)
    with pytest.raises(ContainerError, match=words) as caught:
        make("x", part)
    assert "\n" not in str(caught.value)
    assert left() == [] and names_in(f"{store.store()}/layers") == []


def test_a_layer_that_leaves_its_directory_leaves_nothing():
    for files, words in (({".wh...": ""}, "deletes '/' itself"), ({"a": bytes(9 << 20)}, "limit")):
        part = Layer(**files)
        with pytest.raises(ContainerError, match=words), ingest.Making(None) as making:
            making.layer(part.descriptor, part.diff_id, part.fetch, max_bytes=1 << 20)
        assert left() == [] and names_in(f"{store.store()}/layers") == []


def test_an_image_without_its_layers_is_not_created():
    with pytest.raises(ContainerError, match="its layer .* is missing"), ingest.Making(image.full_name("x")) as making:
        making.finish(config_of(Layer(a="1")))
    assert image.images() == [] and left() == []


def test_layers_come_in_parallel_and_two_pulls_at_once_fetch_each_layer_once():
    parts = [Layer(**{f"file{number}": NOISE[: 1 << 20] + bytes([number])}) for number in range(5)]
    errors = []

    def pull(name):
        try:
            with ingest.Making(image.full_name(name)) as making:
                threads = [
                    threading.Thread(target=making.layer, args=(part.descriptor, part.diff_id, part.fetch))
                    for part in parts
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                making.finish(config_of(*parts))
        except BaseException as error:
            errors.append(error)

    pulls = [threading.Thread(target=pull, args=(f"x{number}",)) for number in range(3)]
    for each in pulls:
        each.start()
    for each in pulls:
        each.join()
    assert errors == [] and [part.fetched for part in parts] == [[0]] * 5 and left() == []
    assert [each.names for each in image.images()] == [["x0:latest", "x1:latest", "x2:latest"]]


def test_stopping_ends_the_threads_that_fetch():
    part, reached, go_on = Layer(noise=NOISE), threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, size=-1):
            reached.set()
            go_on.wait(PATIENCE)
            return super().read(1000)

    caught = []

    def fetch():
        try:
            making.layer(part.descriptor, part.diff_id, lambda offset: Slow(part.blob))
        except ContainerError as error:
            caught.append(str(error))

    with ingest.Making(None) as making:
        thread = threading.Thread(target=fetch)
        thread.start()
        reached.wait(PATIENCE)
        making.stop()
        go_on.set()
        thread.join(PATIENCE)
    assert len(caught) == 1 and "another part of the image failed" in caught[0]


def test_prune_spares_the_layers_of_a_running_pull():
    part = Layer(a="1")
    with ingest.Making(image.full_name("x")) as making:
        making.layer(part.descriptor, part.diff_id, part.fetch)
        assert store.prune() == [] and store.has_layer(part.diff_id[7:])
        making.finish(config_of(part))
    with ingest.Making(None) as making:
        other = Layer(b="2")
        making.layer(other.descriptor, other.diff_id, other.fetch)
    assert store.has_layer(other.diff_id[7:])  # kept for the next time
    assert store.prune() == [f"layer {other.diff_id[7:19]}"]
    assert len(os.listdir(f"{store.store()}/links")) == 1


# ---- blobs ---------------------------------------------------------------------------------------------------------


def test_the_blob_of_a_local_layer_is_made_on_demand(tmp_path):
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper/file").write_bytes(NOISE)
    made = ingest.commit(None, str(tmp_path / "upper"), {}, {})
    assert not os.path.exists(f"{store.layer_directory(made.digests[0])}/blob")
    manifest = make_manifest(made)
    descriptor, path = ingest.layer_blob(made.digests[0])
    with open(path, "rb") as file:
        blob = file.read()
    assert documents.digest_of(blob) == descriptor.digest == manifest.layers[0].digest
    assert hashlib.sha256(gzip.decompress(blob)).hexdigest() == made.digests[0]
    assert documents.parse_manifest(manifest.data).config.digest == f"sha256:{made.id}" and left() == []
    (tmp_path / "upper/file").write_bytes(b"other")
    other = ingest.commit(None, str(tmp_path / "upper"), {}, {})
    with open(f"{other.layers[0]}/file", "ab") as file:
        file.write(b"!")
    with pytest.raises(ContainerError, match="something has changed the files"):
        make_manifest(other)
    assert left() == []


def test_a_layer_that_came_plain_is_kept_compressed(tmp_path):
    part = Layer(documents.LAYER, bytes, zeros=bytes(1 << 20))
    made = make("x", part)
    descriptor, path = ingest.layer_blob(made.digests[0])
    assert descriptor.size == os.path.getsize(path) < 20_000 and left() == []
    with open(path, "rb") as file:
        assert gzip.decompress(file.read()) == part.blob


def test_a_pulled_image_is_exported_with_its_manifest():
    part = Layer(a="1")
    config = config_of(part)
    manifest = documents.Manifest.of(
        Descriptor(documents.CONFIG, documents.digest_of(config), len(config)), [part.descriptor]
    )
    with ingest.Making(image.full_name("x")) as making:
        making.layer(part.descriptor, part.diff_id, part.fetch)
        made = making.finish(config, manifest, "sha256:" + "5" * 64)
    assert made.manifest.data == make_manifest(made).data == manifest.data
    assert made.repo_digests == ["x@sha256:" + "5" * 64] and made.names == ["x:latest"]
    assert image.Image.find("x@sha256:" + "5" * 64).id == made.id
    # the same files, another blob: the layer is there
    again = Layer(compress=lambda data: gzip.compress(data, 1), a="1")
    manifest = documents.Manifest.of(
        manifest.config, [Descriptor(documents.LAYER_GZIP, documents.digest_of(again.blob + b"x"), 9)]
    )
    with ingest.Making(image.full_name("y")) as making:
        making.finish(config, manifest)
    assert make_manifest(image.Image.find("y")).layers[0].digest == part.descriptor.digest


# ---- what an archive leaves out ------------------------------------------------------------------------------------


def tarred(*members: tarfile.TarInfo) -> Layer:
    """A layer of empty files, directories and links."""
    part, buffer = Layer(), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            tar.addfile(member)
    part.diff_id = f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}"
    part.blob = gzip.compress(buffer.getvalue())
    part.descriptor = Descriptor(documents.LAYER_GZIP, documents.digest_of(part.blob), len(part.blob))
    return part


def member(name: str, kind=tarfile.REGTYPE, **fields) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, 0o755, 1000
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def test_a_directory_that_an_archive_leaves_out_is_as_it_was_below():
    below = tarred(member("tmp", tarfile.DIRTYPE, mode=0o1777, uid=5, pax_headers={"SCHILY.xattr.user.mine": "1"}))
    made = make("x", below, tarred(member("tmp/new"), member("own/new")))
    found = os.stat(f"{made.layers[0]}/tmp")
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_mtime) == (0o1777, 5, 1000)
    assert os.getxattr(f"{made.layers[0]}/tmp", "user.mine") == b"1"
    assert stat.S_IMODE(os.stat(f"{made.layers[0]}/own").st_mode) == 0o755
    assert "implied" not in store.layer_record(made.digests[1])


def test_a_link_in_a_lower_layer_does_not_lead_to_the_hosts_files(tmp_path):
    """The owners and modes of the host's files are neither copied nor changed."""
    (tmp_path / "host/sub").mkdir(parents=True)
    os.chmod(tmp_path / "host/sub", 0o700)
    below = tarred(member("out", tarfile.SYMTYPE, linkname=str(tmp_path / "host")))
    made = make("x", below, tarred(member("out/sub/new")))
    assert stat.S_IMODE(os.stat(f"{made.layers[0]}/out/sub").st_mode) == 0o755
    above = tarred(member("d/sub/new"), member("d", tarfile.SYMTYPE, linkname=str(tmp_path / "host")))
    made = make("y", tarred(member("d/sub", tarfile.DIRTYPE, mode=0o777)), above)
    assert os.path.islink(f"{made.layers[0]}/d") and stat.S_IMODE(os.stat(tmp_path / "host/sub").st_mode) == 0o700


def test_in_an_empty_directory_nothing_more_is_deleted():
    """overlayfs would list the mark as a file that is not there."""
    for order in (("d/.wh.x", "d/.wh..wh..opq"), ("d/.wh..wh..opq", "d/.wh.x")):
        part = tarred(member("d", tarfile.DIRTYPE), *map(member, order), member("d/new"))
        assert os.listdir(f"{make('x', part).layers[0]}/d") == ["new"]


# ---- changes and commit --------------------------------------------------------------------------------------------


@pytest.fixture
def changed(tmp_path):
    """An image, and a container's own layer above it after some work: (image, upper, merged)."""
    base = make(
        "base", Layer(etc__a="1", etc__b="2", gone__x="3", gone__y="4", full__old="5"), Layer(etc__c="6", top="7")
    )
    upper, work, merged = (tmp_path / name for name in ("upper", "work", "merged"))
    for each in (upper, work, merged):
        each.mkdir()
    options = f"lowerdir={':'.join(base.layers)},upperdir={upper},workdir={work},redirect_dir=off,metacopy=off"
    mount.mount("overlay", str(merged), "overlay", 0, options)
    try:
        (merged / "etc/a").write_text("changed")
        (merged / "etc/b").unlink()
        (merged / "new").mkdir()
        (merged / "new/file").write_text("new")
        os.link(merged / "new/file", merged / "new/second")
        os.mknod(merged / "new/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.setxattr(merged / "new/file", "user.mine", b"\xff\0")
        for name in ("x", "y"):
            (merged / "gone" / name).unlink()
        (merged / "gone").rmdir()
        (merged / "full/old").unlink()
        (merged / "full").rmdir()
        (merged / "full").mkdir()
        (merged / "full/fresh").write_text("8")
        yield base, str(upper), str(merged)
    finally:
        mount.umount2(str(merged))


def test_changes_are_what_docker_diff_says(changed):
    base, upper, _ = changed
    assert sorted(diff.changes(upper, base.layers), key=lambda change: change[1]) == [
        ("C", "/etc"),
        ("C", "/etc/a"),
        ("D", "/etc/b"),
        ("C", "/full"),
        ("A", "/full/fresh"),
        ("D", "/full/old"),
        ("D", "/gone"),
        ("A", "/new"),
        ("A", "/new/file"),
        ("A", "/new/null"),
        ("A", "/new/second"),
    ]


def test_mount_points_are_not_changes(tmp_path):
    upper = tmp_path / "upper"
    for path in ("etc", "proc", "dev"):
        (upper / path).mkdir(parents=True)
    (upper / "etc/hosts").touch()
    base = make("base", Layer(etc__a="1"))
    ignore = frozenset({"/etc/hosts", "/proc", "/dev"})
    assert list(diff.changes(str(upper), base.layers, ignore)) == []
    (upper / "proc/1").touch()
    (upper / "etc/mine").touch()
    assert list(diff.changes(str(upper), base.layers, ignore)) == [
        ("C", "/etc"),
        ("A", "/etc/mine"),
        ("A", "/proc"),
        ("A", "/proc/1"),
    ]


def test_a_commit_is_the_container_as_it_was(changed, tmp_path):
    from tests.integration.archive.test_extract import tree

    base, upper, merged = changed
    made = ingest.commit(base, upper, {"Cmd": ["/new/file"]}, {"created_by": "by hand"}, "mine:1")
    again = tmp_path / "again"
    again.mkdir()
    mount.mount("overlay", str(again), "overlay", mount.MS_RDONLY, f"lowerdir={':'.join(made.layers)}")
    try:
        assert tree(str(again)) == tree(merged)
    finally:
        mount.umount2(str(again))
    assert image.Image.find("mine:1").config == {"Cmd": ["/new/file"]} and made.digests[:2] == base.digests
    assert (
        made.history[-1]["created_by"] == "by hand"
        and abs(made.created - os.stat(store.config_file(made.id)).st_mtime) < 60
    )
    packed = diff.pack(made.layers[0], open(os.devnull, "wb"))
    assert packed.digest == made.digests[-1]  # what push and save rely on: packed again, it is the same archive
    nothing = ingest.commit(made, None, {"Cmd": ["sh"]}, {"created_by": "CMD sh"})
    assert nothing.digests == made.digests and nothing.history[-1]["empty_layer"] is True and nothing.names == []


def test_a_file_with_the_name_of_a_whiteout_is_refused(tmp_path):
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper/.wh.x").touch()
    with pytest.raises(ContainerError, match="/.wh.x can't be part of a layer"):
        ingest.commit(None, str(tmp_path / "upper"), {}, {})
    assert left() == []
