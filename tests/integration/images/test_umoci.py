"""Layers, file by file as umoci has them: what it unpacks of an image equals what a container of minict sees, and vice
versa."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from minict.engine.images import image, ingest, tarexport
from minict.kernel import mount
from tests.integration.archive.test_extract import KILLS_FILE, everything, tree  # noqa: F401  # everything is a fixture
from tests.support.command_line import minict


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICT_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))


def call(*words) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def with_whiteouts(top):
    """The second layer of an image of *everything*: it deletes, empties, replaces and recreates."""
    for path in ("dir/sub", "umläut", "emptied"):
        (top / path).mkdir(parents=True)
    (top / "dir/.wh.plain").touch()  # and "again", its other name, stays
    (top / ".wh.fifo").touch()
    (top / ".wh.holes").touch()
    (top / ".wh.nothing of this name").touch()
    (top / "dir/sub/.wh..wh..opq").touch()
    (top / "dir/sub/instead").write_text("of what was there")
    (top / "relative").write_text("a file where a link was")
    (top / "suid").mkdir()  # a directory where a file was
    (top / "suid/inside").write_text("x")
    (top / "capable").write_bytes(b"another ping")
    os.chmod(top / "capable", 0o2711)
    os.setxattr(top / "capable", "security.capability", KILLS_FILE)
    os.setxattr(top / "umläut", "user.mine", b"\0\xff")
    os.mknod(top / "null", 0o622 | stat.S_IFCHR, os.makedev(5, 1))
    with open(top / "sparse", "wb") as holes:
        holes.truncate(32 << 20)
        holes.seek(16 << 20)
        holes.write(b"in the middle")
    for name in ("one", "emptied/two", "emptied/three"):
        os.link(top / "dir/sub/instead", top / name)
    os.chown(top / "dir", 7, 8)
    os.chmod(top / "dir", 0o3711)
    for number, path in enumerate([*top.rglob("*")][::-1]):
        os.utime(path, ns=(1, 1_600_000_000_987_654_321 + number * 10**12), follow_symlinks=False)
    return top


def tar(top, path, *options):
    call(
        "tar",
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "--format=pax",
        *options,
        "-cf",
        path,
        "-C",
        top,
        ".",
    )


@pytest.fixture
def layout(tmp_path, everything):
    """An OCI layout made by umoci, of two layers with all difficult cases."""
    os.mkdir(tmp_path / "second")
    tar(everything, tmp_path / "1.tar", "--sparse")
    tar(with_whiteouts(tmp_path / "second"), tmp_path / "2.tar", "--sparse")
    call("umoci", "init", "--layout", tmp_path / "oci")
    call("umoci", "new", "--image", f"{tmp_path}/oci:x")
    for number in (1, 2):
        call("umoci", "raw", "add-layer", "--image", f"{tmp_path}/oci:x", tmp_path / f"{number}.tar")
    return f"{tmp_path}/oci:x"


def unpacked_by_umoci(layout: str, place) -> dict:
    call("umoci", "unpack", "--image", layout, place)
    return contents(f"{place}/rootfs")


def seen_in_a_container(made: image.Image, place) -> dict:
    os.mkdir(place)
    mount.mount("overlay", str(place), "overlay", mount.MS_RDONLY, f"lowerdir={':'.join(made.layers)}")
    try:
        return contents(place)
    finally:
        mount.umount2(str(place))


def contents(top) -> dict:
    """All that can be known of all files.  The root directory's time is left out: umoci makes that directory itself."""
    found = tree(str(top))
    found["."].pop("time")
    return found


def differences(ours: dict, theirs: dict) -> list[str]:
    """The differences between two trees, in words: whole trees in an assertion would fill the screen."""
    return [
        f"{name[:60]}: {field}: {ours.get(name, {}).get(field)!r} and {theirs.get(name, {}).get(field)!r}"
        for name in sorted(ours.keys() | theirs.keys())
        for field in sorted(ours.get(name, {}).keys() | theirs.get(name, {}).keys())
        if ours.get(name, {}).get(field) != theirs.get(name, {}).get(field)
    ]


def load(layout: str, tmp_path, name: str = "x:1") -> image.Image:
    call("skopeo", "--insecure-policy", "copy", f"oci:{layout}", f"oci-archive:{tmp_path}/image.tar:{name}")
    with open(tmp_path / "image.tar", "rb") as file:
        return tarexport.load(file)[0]


def test_a_container_sees_what_umoci_unpacks(tmp_path, layout):
    theirs = unpacked_by_umoci(layout, tmp_path / "bundle")
    ours = seen_in_a_container(load(layout, tmp_path), tmp_path / "seen")
    assert differences(ours, theirs) == []
    assert len(ours) == 25 and "fifo" not in ours and os.path.join("dir", "sub", "instead") in ours
    assert ours["one"]["names"] == {"one", "emptied/two", "emptied/three", "dir/sub/instead"}
    assert ours["capable"]["xattrs"] == {"security.capability": KILLS_FILE} and ours["capable"]["mode"] == oct(0o102711)


def test_what_umoci_packs_again_is_what_a_container_sees(tmp_path, layout):
    """Here umoci itself writes the whiteouts: of files, of whole directories, and of what changed its kind."""
    call("umoci", "unpack", "--image", layout, tmp_path / "work")
    root = tmp_path / "work/rootfs"
    call("rm", "-r", root / "emptied", root / "suid", root / "again", root / "absolute")
    (root / "suid").symlink_to("/nowhere")
    (root / "absolute").mkdir()
    (root / "absolute/new").write_text("1")
    os.link(root / "absolute/new", root / "absolute/newer")
    os.chown(root / "dir", 55, 66)
    call("umoci", "repack", "--image", f"{layout}2", tmp_path / "work")
    ours = seen_in_a_container(load(f"{layout}2", tmp_path), tmp_path / "seen")
    assert differences(ours, unpacked_by_umoci(f"{layout}2", tmp_path / "bundle")) == []
    for known in [*ours.values(), *(packed := contents(root)).values()]:
        known.pop("time", None)  # umoci packs whole seconds
    assert differences(ours, packed) == []


def test_umoci_unpacks_what_a_container_has_left(tmp_path, layout):
    """The reverse: a container's own layer, with whiteouts made by overlayfs, committed and saved."""
    made = load(layout, tmp_path)
    for name in ("upper", "work", "merged"):
        os.mkdir(tmp_path / name)
    top = tmp_path / "merged"
    mount.mount(
        "overlay",
        str(top),
        "overlay",
        0,
        f"lowerdir={':'.join(made.layers)},upperdir={tmp_path}/upper,"
        f"workdir={tmp_path}/work,redirect_dir=off,metacopy=off,index=off",
    )
    try:
        call("rm", "-r", top / "emptied", top / "dir/sub", top / "one")
        (top / "dir/sub").mkdir()
        (top / "dir/sub/fresh").write_text("1")
        os.setxattr(top / "dir/sub", "user.mine", b"\xff")
        os.chmod(top / "capable", 0o700)
        os.rename(top / "again", top / "moved")
        os.mknod(top / "device", 0o600 | stat.S_IFBLK, os.makedev(7, 300))
        committed = ingest.commit(made, str(tmp_path / "upper"), {}, {}, "committed:1")
        wanted = contents(top)
    finally:
        mount.umount2(str(top))
    assert differences(seen_in_a_container(committed, tmp_path / "seen"), wanted) == []
    assert minict("save", "-o", str(tmp_path / "saved.tar"), "committed:1").returncode == 0
    call("skopeo", "--insecure-policy", "copy", f"oci-archive:{tmp_path}/saved.tar:1", f"oci:{tmp_path}/back:y")
    assert differences(unpacked_by_umoci(f"{tmp_path}/back:y", tmp_path / "bundle"), wanted) == []
