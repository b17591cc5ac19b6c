"""The image store: fast to search, never incomplete, and shared by concurrent processes."""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from minict.engine.images import image, importer, ingest, prune, store
from minict.engine.images.image import Image
from minict.kernel import mount
from minict.runtime.errors import ContainerError
from tests.support.command_line import PATIENCE
from tests.support.paths import ROOT
from tests.unit.images.test_image import (
    archive,
    in_another_process,
    own_store,  # noqa: F401  fixtures
    stored,
)


def unfinished() -> list[str]:
    return os.listdir(f"{store.store()}/making")


# ---- finding -------------------------------------------------------------------------------------------------------


def test_an_image_has_a_configuration_and_layers():
    made = importer.import_archive(archive(hello="hello"), "greeting")
    found = Image.find("greeting")
    assert found.id == made.id and found.name == "greeting" and found.names == ["greeting:latest"]
    assert found.config["Cmd"] == ["/bin/sh"] and found.config["Env"][0].startswith("PATH=/")
    with open(f"{found.layers[0]}/hello") as file:
        assert file.read() == "hello"
    assert found.size == 5 and abs(found.created - time.time()) < 60
    for name in (
        "greeting:latest",
        "docker.io/library/greeting",
        "docker.io/greeting",
        found.id,
        found.id[:12],
        f"sha256:{found.id}",
    ):
        assert Image.find(name).id == found.id


def test_what_is_stored_is_content_addressed_as_the_standard_says():
    made = importer.import_archive(io.BytesIO(gzip.compress(archive(a="1").getvalue())), "x")
    descriptor, path = ingest.layer_blob(made.digests[0])
    with open(path, "rb") as file:
        blob = file.read()
    assert descriptor.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}" and descriptor.size == len(blob)
    data = gzip.decompress(blob)
    with open(f"{store.store()}/configs/{made.id}.json", "rb") as file:
        text = file.read()
    assert hashlib.sha256(text).hexdigest() == made.id
    document = json.loads(text)
    assert document["rootfs"] == {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}"]}
    assert document["os"] == "linux" and document["architecture"] in ("amd64", "arm64")


def test_a_layer_is_held_once_and_layers_are_given_top_first():
    first = importer.import_archive(archive(a="1"), "first")
    second = importer.import_archive(archive(a="1"), "second")
    assert first.id == second.id and Image.find("first").names == ["first:latest", "second:latest"]
    other = importer.import_archive(archive(b="2"), "other")
    assert len(os.listdir(f"{store.store()}/layers")) == 2
    document = {"rootfs": {"diff_ids": [f"sha256:{first.digests[0]}", f"sha256:{other.digests[0]}"]}}
    assert Image("0" * 64, document).layers == [other.layers[0], first.layers[0]]


def test_a_damaged_record_is_one_sentence():
    made = importer.import_archive(archive(a="1"), "x")
    for text in ("", "{", "[]", '{"rootfs": {}}', '{"rootfs": {"diff_ids": 7}}'):
        with open(f"{store.store()}/configs/{made.id}.json", "w") as file:
            file.write(text)
        with pytest.raises(ContainerError, match="is damaged"):
            Image.find("x")


def test_finding_an_image_imports_nothing_heavy():
    importer.import_archive(archive(a="1"), "x")
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        f"sys.path.insert(0, {ROOT!r})\nfrom minict.engine.images.image import Image\n"
        "found = Image.find('x')\nfound.config, found.layers\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    words = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True, env=os.environ
    ).stdout.split()
    assert set(words) <= {
        "__future__",
        "minict",
        "os",
        "posixpath",
        "genericpath",
        "stat",
        "_stat",
        "_json",
        "errno",
        "_collections_abc",
        "abc",
        "_abc",
    }


# ---- names ---------------------------------------------------------------------------------------------------------


# ---- making --------------------------------------------------------------------------------------------------------


def test_the_same_programs_make_the_same_image():
    first = importer.from_host("one", ["sh", "ls"])
    time.sleep(1.1)  # the times of recreated files must not matter
    second = importer.from_host("two", ["sh", "ls"])
    assert first.id == second.id and first.config["Cmd"] == ["/bin/sh"]
    assert os.stat(first.layers[0]).st_mode & 0o7777 == 0o755
    assert importer.from_host("three", ["ls"]).config["Cmd"] == ["ls"]


def test_the_default_image_is_called_tiny():
    made = importer.default_image()
    assert Image.find("tiny").id == Image.find(image.DEFAULT).id == made.id
    assert os.path.lexists(f"{made.layers[0]}/bin/sh") and 500_000 < made.size < 50_000_000


def test_an_unknown_program_leaves_nothing():
    with pytest.raises(ContainerError, match="no-such-program"):
        importer.from_host("x", ["sh", "no-such-program"])
    assert stored() == [] and unfinished() == []


def test_an_archive_comes_from_a_file_or_from_standard_input(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(archive(a="1").getvalue()))
    assert importer.import_archive(str(tmp_path / "a.tar.gz"), "file").size == 1
    with open(tmp_path / "a.tar.gz", "rb") as stdin:
        assert in_another_process("importer.import_archive('-', 'stdin')", stdin=stdin).wait() == 0
    assert Image.find("stdin").id == Image.find("file").id


@pytest.mark.parametrize(
    "source, words",
    [
        ("/no/such/file", "can't be opened: No such file"),
        ("/etc", "Is a directory"),
        ("/etc/passwd", "not a tar archive"),
        ("/dev/null", "not a tar archive"),
    ],
)
def test_something_other_than_an_archive_leaves_nothing(source, words):
    with pytest.raises(ContainerError, match=words) as caught:
        importer.import_archive(source, "x")
    assert str(caught.value).startswith(source)
    assert stored() == [] and (not os.path.exists(store.store()) or unfinished() == [])


@pytest.mark.parametrize(
    "data",
    [archive(a="1" * 2000).getvalue()[:1500], gzip.compress(archive(a="1").getvalue())[:-9], bytes(10240)],
    ids=["cut", "cut gzip", "empty"],
)
def test_a_bad_archive_leaves_nothing_and_the_old_image_in_its_place(data):
    old = importer.import_archive(archive(a="old"), "x")
    before = stored()
    with pytest.raises(ContainerError):
        importer.import_archive(io.BytesIO(data), "x")
    assert stored() == before and unfinished() == [] and Image.find("x").id == old.id


def test_a_bomb_leaves_nothing():
    data = gzip.compress(archive(zeros="0" * (8 << 20)).getvalue())
    for limits in ({"max_bytes": 1 << 20}, {"max_entries": 0}):
        with pytest.raises(ContainerError, match="limit"):
            importer.import_archive(io.BytesIO(data), "x", **limits)
        assert stored() == [] and unfinished() == []


def test_only_root_may_look_into_the_store():
    importer.import_archive(archive(a="1"), "x")
    assert os.stat(store.store()).st_mode & 0o777 == 0o700


@pytest.mark.parametrize("size", ["256k", "5m"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, size):
    """With 256k the programs do not fit; with 5m they do, and a large archive does not."""
    os.mkdir(tmp_path / "data")
    mount.mount("small", str(tmp_path / "data"), "tmpfs", 0, f"size={size}")
    try:
        large = archive(noise="x" * (6 << 20))
        for make in (lambda: importer.import_archive(large, "x"), lambda: importer.from_host("x", ["bash", "python3"])):
            with pytest.raises(ContainerError) as caught:
                make()
            words = str(caught.value)
            assert "disk" in words and "free some space" in words and "\n" not in words
            assert stored() == [] and unfinished() == []
        assert importer.import_archive(archive(a="1"), "x").size == 1  # it works as before
    finally:
        mount.umount2(str(tmp_path / "data"))


def test_a_disk_without_inodes_is_full_as_well(tmp_path):
    os.mkdir(tmp_path / "data")
    mount.mount("small", str(tmp_path / "data"), "tmpfs", 0, "nr_inodes=30")
    try:
        with pytest.raises(ContainerError, match="disk"):
            importer.import_archive(archive(**{f"file{number}": "" for number in range(40)}), "x")
        assert stored() == [] and unfinished() == []
    finally:
        mount.umount2(str(tmp_path / "data"))


def test_a_read_only_store_is_one_sentence(tmp_path):
    os.mkdir(tmp_path / "data")
    mount.mount("fixed", str(tmp_path / "data"), "tmpfs", mount.MS_RDONLY)
    try:
        with pytest.raises(ContainerError, match="the image x:latest can't be made: .*Read-only file system"):
            importer.import_archive(archive(a="1"), "x")
    finally:
        mount.umount2(str(tmp_path / "data"))


# ---- several at once, and those who are killed ---------------------------------------------------------------------


def test_two_imports_of_one_name_at_once_are_both_whole(tmp_path):
    for number in (1, 2):
        files = {f"file{n}": f"{number}" * 2000 for n in range(300)}
        (tmp_path / f"{number}.tar").write_bytes(archive(**files).getvalue())
    for _ in range(3):
        processes = [
            in_another_process(f"importer.import_archive({str(tmp_path / f'{number}.tar')!r}, 'x')")
            for number in (1, 2, 1, 2)
        ]
        assert [process.wait() for process in processes] == [0, 0, 0, 0]
        found = Image.find("x")
        assert len(os.listdir(found.layers[0])) == 300
        with open(f"{found.layers[0]}/file299") as file:
            assert file.read() in ("1" * 2000, "2" * 2000)
        assert unfinished() == [] and len(image.images()) == 2
    assert sorted(each.names for each in image.images()) == [[], ["x:latest"]]


def half_an_import(name: str) -> tuple[subprocess.Popen, str]:
    """A process that is in the middle of an import and will wait there; and the directory in which it works."""
    process = in_another_process(f"importer.import_archive(sys.stdin.buffer, {name!r})", stdin=subprocess.PIPE)
    data = archive(first="1" * 3000, second="2" * (4 << 20)).getvalue()
    process.stdin.write(data[: 3 << 20])
    process.stdin.flush()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for directory in os.listdir(f"{store.store()}/making") if os.path.isdir(store.store()) else []:
            if glob.glob(f"{store.store()}/making/{directory}/*/diff/second"):
                return process, directory
        time.sleep(0.02)
    raise AssertionError("the import did not begin")


def test_a_killed_import_leaves_only_what_prune_removes():
    importer.import_archive(archive(a="1"), "kept")
    before = stored()
    process, directory = half_an_import("x")
    assert store.prune() == [] and unfinished() == [directory]  # while it lives no other process touches its work
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    assert unfinished() == [directory]
    with pytest.raises(ContainerError, match="no such image: x"):
        Image.find("x")
    removed, deadline = [], time.monotonic() + PATIENCE
    while not removed and time.monotonic() < deadline:  # the unpacking child dies with its parent, a moment later
        removed = store.prune()
    assert removed == [f"unfinished image {directory}"]
    assert unfinished() == [] and stored() == before and store.prune() == []


def test_an_interrupted_import_cleans_up_itself():
    process, _ = half_an_import("x")
    process.send_signal(signal.SIGINT)
    process.stdin.close()
    process.wait(PATIENCE)
    assert unfinished() == [] and stored() == []


def test_killed_between_layer_and_name_leaves_a_layer_that_prune_removes():
    """The process dies after it has put the layer in place, and before the image refers to it."""
    code = (
        "import os\nreplace = os.replace\n"
        "os.replace = lambda a, b: os.kill(os.getpid(), 9) if '/configs/' in b else replace(a, b)\n"
        "importer.import_archive(sys.stdin.buffer, 'x')"
    )
    process = in_another_process(code, stdin=subprocess.PIPE)
    process.communicate(archive(a="1").getvalue())
    assert process.returncode == -signal.SIGKILL
    assert len(os.listdir(f"{store.store()}/layers")) == 1 and image.images() == []
    assert sorted(word.split()[0] for word in store.prune()) == ["layer", "unfinished"]
    assert stored() == [] and unfinished() == []


def test_prune_and_imports_at_once_never_take_anything_from_each_other():
    stop, removed = threading.Event(), []

    def prune_always():
        try:
            while not stop.is_set():
                removed.extend(store.prune())
        except Exception as error:
            removed.append(repr(error))

    pruner = threading.Thread(target=prune_always)
    pruner.start()
    try:
        for number in range(25):
            assert os.listdir(importer.import_archive(archive(a=str(number)), f"x{number}").layers[0]) == ["a"]
    finally:
        stop.set()
        pruner.join()
    assert removed == [] and len(image.images()) == 25 and unfinished() == []


# ---- removing ------------------------------------------------------------------------------------------------------


def test_images_are_listed_by_name():
    assert image.images() == []
    for name, text in (("b", "1"), ("a:2", "2"), ("a:1", "2"), ("c", "3"), ("c", "4")):
        importer.import_archive(archive(a=text), name)
    assert [each.names for each in image.images()] == [["a:1", "a:2"], ["b:latest"], ["c:latest"], []]


def test_the_last_name_takes_the_image_with_it_but_not_what_others_share():
    one, two = importer.import_archive(archive(a="1"), "one"), importer.import_archive(archive(a="1"), "two")
    other = importer.import_archive(archive(b="2"), "other")
    assert image.remove("one") == ["Untagged: one:latest"] and Image.find("two").id == one.id
    assert image.remove("two") == [
        "Untagged: two:latest",
        f"Deleted: sha256:{two.id}",
        f"Deleted: sha256:{two.digests[0]}",
    ]
    assert not os.path.exists(two.layers[0]) and os.path.exists(other.layers[0])
    with pytest.raises(ContainerError, match="no such image: two"):
        image.remove("two")
    importer.import_archive(archive(b="2"), "again")
    with pytest.raises(ContainerError, match="has 2 names, again:latest, other:latest"):
        image.remove(other.id[:8])
    image.remove(other.id[:8], force=True)  # by its id: with all names
    assert stored() == [] and unfinished() == []


def container_of(made: Image, id: str = "0123456789ab", running: bool = False) -> None:
    os.makedirs(f"{os.environ['MINICT_ROOT']}/containers/{id}")
    with open(f"{os.environ['MINICT_ROOT']}/containers/{id}/container.json", "w") as file:
        json.dump({"image": made.id}, file)
    if running:
        os.makedirs(f"{os.environ['MINICT_RUN']}/containers/{id}")


def test_an_image_used_by_a_container_is_not_removed():
    made = importer.import_archive(archive(a="1"), "x")
    container_of(made)
    with pytest.raises(ContainerError, match="used by the container 0123456789ab"):
        image.remove("x")
    assert Image.find("x").layers == made.layers and os.path.exists(made.layers[0])
    assert image.remove("x", force=True) == ["Untagged: x:latest"]
    assert Image.find(made.id).names == [] and os.path.exists(made.layers[0])


def test_force_keeps_the_names_of_an_image_in_use_by_a_running_container():
    container_of(importer.import_archive(archive(a="1"), "x"), running=True)
    with pytest.raises(ContainerError, match="used by the container 0123456789ab"):
        image.remove("x", force=True)
    assert Image.find("x").names == ["x:latest"]


def test_a_digest_goes_with_the_last_tag_of_its_repository():
    made, digest = importer.import_archive(archive(a="1"), "x:1"), "sha256:" + "7" * 64
    image.tag("x:1", "x:2")
    image.tag("x:1", "y")
    with store.Locked():
        store.write_name(image.full_name(f"x@{digest}"), made.id)
    with pytest.raises(ContainerError, match="is a digest"):
        image.tag("x:1", f"z@{digest}")
    assert image.remove("x:1") == ["Untagged: x:1"] and Image.find("x:2").repo_digests == [f"x@{digest}"]
    assert image.remove("x:2") == ["Untagged: x:2", f"Untagged: x@{digest}"]
    assert Image.find("y").names == ["y:latest"] and Image.find("y").repo_digests == []


def test_unused_images_are_removed_and_no_others():
    for text, name in (("1", "old"), ("2", "old"), ("3", "used"), ("4", "used"), ("5", "kept")):
        made = importer.import_archive(archive(a=text), name)
        if text == "3":
            container_of(made)
    assert len(image.images()) == 5
    # the first "old", and its layer
    assert [line.split()[0] for line in prune.remove_unused()] == ["Deleted:", "Deleted:"]
    assert sorted(each.names for each in image.images()) == [[], ["kept:latest"], ["old:latest"], ["used:latest"]]
    prune.remove_unused(named_too=True, wanted=lambda each: each.names != ["kept:latest"])
    # the one of the container, and the unwanted
    assert sorted(each.names for each in image.images()) == [[], ["kept:latest"]]


def test_import_takes_instructions_and_a_message():
    made = importer.import_archive(archive(a="1"), "x", change=['CMD ["/a", "b"]', "ENV C=d", "EXPOSE 80"])
    assert (
        made.config["Cmd"] == ["/a", "b"]
        and "C=d" in made.config["Env"]
        and made.config["ExposedPorts"] == {"80/tcp": {}}
    )
    with pytest.raises(ContainerError, match="invalid instruction .FLY"):
        importer.import_archive(archive(a="1"), "y", change=["FLY away"])
    assert [each.id for each in image.images()] == [made.id]
