"""The root file system: overlayfs with as many layers as an image may have, and a copy where there is no overlayfs."""

from __future__ import annotations

import os
import subprocess

import pytest

from minict.engine.distribution import manifest
from minict.engine.images import diff, image, importer, ingest, overlay, store
from minict.kernel import mount
from minict.runtime.errors import ContainerError
from tests.integration.archive.test_extract import tree
from tests.integration.images.test_store import Layer, config_of
from tests.support.command_line import MINICT, minict, refused
from tests.support.seccomp_filter import fail_mount_without_flags
from tests.support.world import TINY


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICT_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))


def on_top_of_tiny(name: str, parts: list[Layer]) -> image.Image:
    """The image *name*: the host's shell, and *parts* above it."""
    tiny = importer.default_image(TINY)
    with ingest.Making(image.full_name(name)) as making:
        making.use(tiny.digests[0])
        for part in parts:
            making.layer(part.descriptor, part.diff_id, part.fetch)
        base = Layer()
        base.diff_id = f"sha256:{tiny.digests[0]}"
        return making.finish(config_of(base, *parts, Env=["PATH=/bin:/usr/bin"]))


@pytest.mark.parametrize("number", [30, 200])
def test_a_container_has_more_layers_than_their_paths_fit_on_a_page(number):
    parts = [Layer(**{f"many__{each}": str(each), "top": str(each)}) for each in range(number)]
    made = on_top_of_tiny("high", parts)
    assert len(made.layers) == number + 1 and len(":".join(made.layers)) > number * 100
    done = minict(
        "run",
        "--rm",
        "--network",
        "none",
        "high",
        "sh",
        "-c",
        "cat /top; echo; ls /many | wc -l; echo x > /many/0; cat /many/0",
    )
    assert (done.returncode, done.stdout.split()) == (0, [str(number - 1), str(number), "x"]), done


def test_too_many_layers_are_one_sentence():
    parts = [Layer(a=str(each)) for each in range(401)]
    with pytest.raises(ContainerError, match="401 layers: the limit is 400"):
        manifest.parse_config(config_of(*parts))


def test_a_path_with_separators_of_mount_options(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICT_ROOT", str(tmp_path / "a:b,c\\d e"))
    importer.default_image(TINY)
    assert minict("run", "--rm", "--network", "none", TINY, "echo", "fine").stdout == "fine\n"


def without_overlayfs(*words: str) -> subprocess.CompletedProcess:
    """minict on a kernel where mount(2) refuses overlayfs, as if the module were missing."""
    return subprocess.run(
        [*MINICT, *words], capture_output=True, text=True, preexec_fn=lambda: fail_mount_without_flags(19)
    )


def test_without_overlayfs_the_image_is_copied_with_one_message():
    on_top_of_tiny("x", [Layer(my__a="1", my__b="2"), Layer(**{"my__.wh.b": "", "my__c": "3"})])
    work = "ls /my; cat /my/a && rm /my/a; echo new > /my/new"
    done = without_overlayfs("run", "--name", "copied", "--network", "none", "x", "sh", "-c", work)
    assert done.returncode == 0 and done.stdout.split() == ["a", "c", "1"], done
    assert done.stderr.count("\n") == 1 and "overlayfs can't be used" in done.stderr
    again = without_overlayfs("start", "-a", "copied")
    # its own files are still there
    assert again.stdout.split() == ["c", "new"] and "overlayfs" not in again.stderr, again
    assert without_overlayfs("rm", "copied").returncode == 0


def test_overlayfs_is_tried_until_it_works_and_that_is_remembered(monkeypatch):
    with store.Locked():
        pass
    tried = []
    for works, found in ((False, False), (False, False), (True, True), (False, True)):
        monkeypatch.setattr(overlay, "_try", lambda works=works: tried.append(works) or works)
        assert overlay.usable() is found
    assert tried == [False, False, True]


# ---- the copy ------------------------------------------------------------------------------------------------------

LAYERS = [
    dict(keep__a="1", keep__b="2", gone__x="3", full__old="4", full__older="5", over="file", turn__in="dir"),
    {
        "keep__.wh.b": "",
        ".wh.gone": "",
        "full__.wh..wh..opq": "",
        "full__fresh": "6",
        "turn": "file now",
        ".wh.over": "",
        "over__inside": "dir now",
    },
    {"keep__b": "again", "full__.wh.nothing": ""},
]


@pytest.fixture
def merged(tmp_path):
    """An image with all kinds of whiteouts, and what overlayfs itself shows of it, writable: (image, upper, merged)."""
    parts = [Layer(**files) for files in LAYERS]
    with ingest.Making(image.full_name("x")) as making:
        for part in parts:
            making.layer(part.descriptor, part.diff_id, part.fetch)
        made = making.finish(config_of(*parts))
    for name in ("upper", "work", "merged"):
        (tmp_path / name).mkdir()
    os.chmod(tmp_path / "upper", 0o755)
    mount.mount(
        "overlay",
        str(tmp_path / "merged"),
        "overlay",
        0,
        f"lowerdir={':'.join(made.layers)},upperdir={tmp_path}/upper,workdir={tmp_path}/work,redirect_dir=off,metacopy=off",
    )
    yield made, tmp_path / "upper", tmp_path / "merged"
    mount.umount2(str(tmp_path / "merged"))


def contents(top) -> dict:
    """tree() without the root directory's own time, which is when it was made."""
    return {name: known for name, known in tree(str(top)).items() if name != "."}


def test_the_copy_is_what_overlayfs_shows(merged, tmp_path):
    made, _, shown = merged
    (tmp_path / "copy").mkdir()
    diff.copy_merged(made.layers, str(tmp_path / "copy"))
    assert contents(tmp_path / "copy") == contents(shown)
    assert sorted(os.listdir(shown)) == ["full", "keep", "over", "turn"] and os.listdir(shown / "full") == ["fresh"]


def test_changes_in_the_copy_equal_those_of_overlayfs(merged, tmp_path):
    made, upper, shown = merged
    os.mkdir(tmp_path / "copy")
    diff.copy_merged(made.layers, str(tmp_path / "copy"))
    for top in (shown, tmp_path / "copy"):
        (top / "keep/a").write_text("changed")
        (top / "keep/b").unlink()
        os.rename(top / "over/inside", top / "moved")
        (top / "full/fresh").chmod(0o600)
        (top / "new").mkdir()
        (top / "new/one").write_text("1")
        os.link(top / "new/one", top / "new/two")
        (top / "turn").unlink()
        (top / "turn").mkdir()
        os.chown(top / "full", 5, 6)
    with overlay.Changes(made, str(tmp_path)) as compared:
        assert sorted(diff.changes(compared, made.layers)) == sorted(diff.changes(str(upper), made.layers))
        one, two = (ingest.commit(made, each, {}, {}) for each in (compared, str(upper)))
    assert not os.path.exists(compared)
    for number, result in enumerate((one, two)):
        os.mkdir(tmp_path / f"result{number}")
        diff.copy_merged(result.layers, str(tmp_path / f"result{number}"))
    results = [
        {
            name: {key: value for key, value in known.items() if key != "time"}
            for name, known in contents(tmp_path / f"result{number}").items()
        }
        for number in (0, 1)
    ]
    assert results[0] == results[1]


def test_with_overlayfs_the_changes_are_the_upper_layer(tmp_path):
    with overlay.Changes(None, str(tmp_path)) as upper:
        assert upper == f"{tmp_path}/upper"


def test_an_overlay_that_fails_in_the_end_is_one_sentence(tmp_path):
    importer.default_image(TINY)
    assert overlay.usable()
    refused(without_overlayfs("run", "--rm", "--network", "none", TINY, "true"), "overlay")


def test_on_another_overlay_a_deletion_is_refused_in_one_sentence(tmp_path):
    """overlayfs refuses its own marks for deleted files on a directory that lies on an overlay itself."""
    for name in ("lower", "upper", "work", "root"):
        os.mkdir(tmp_path / name)
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    mount.mount("overlay", str(tmp_path / "root"), "overlay", 0, options)
    try:
        for name in ("layer", "copy", "changes"):
            os.mkdir(tmp_path / "root" / name)
        (tmp_path / "root/layer/gone").write_text("here")
        with pytest.raises(ContainerError, match="'gone' cannot be marked as deleted: .* set MINICT_ROOT to a volume"):
            diff.compare(f"{tmp_path}/root/copy", [f"{tmp_path}/root/layer"], f"{tmp_path}/root/changes")
    finally:
        mount.umount2(str(tmp_path / "root"), 0)
