"""The options for a container's volumes, and the invalid ones, refused in one sentence."""

from __future__ import annotations

import os

import pytest

from minict.engine.volumes import options
from minict.runtime.errors import ContainerError


@pytest.mark.parametrize(
    "text,mount",
    [
        ("/data", {"type": "volume", "destination": "/data", "anonymous": True, "copy": True}),
        ("db:/data", {"type": "volume", "destination": "/data", "name": "db", "copy": True}),
        ("db:/data/:ro", {"type": "volume", "destination": "/data", "name": "db", "copy": True, "read_only": True}),
        ("db:/data:nocopy,z", {"type": "volume", "destination": "/data", "name": "db", "copy": False}),
        ("/srv:/data", {"type": "bind", "destination": "/data", "source": "/srv", "create": True}),
        ("/srv:/a/../b//c:rw,cached", {"type": "bind", "destination": "/b/c", "source": "/srv", "create": True}),
        (
            "/srv:/data:rslave,ro,Z",
            {
                "type": "bind",
                "destination": "/data",
                "source": "/srv",
                "create": True,
                "options": ["rslave"],
                "read_only": True,
            },
        ),
    ],
)
def test_v(text, mount):
    assert options.volume(text) == mount


def test_a_relative_source_is_the_callers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text, source in (("./x", tmp_path / "x"), (".", tmp_path), ("..", tmp_path.parent), ("a/b", tmp_path / "a/b")):
        assert options.volume(f"{text}:/data")["source"] == str(source)
    assert options.mount("type=bind,source=x,target=/data")["source"] == str(tmp_path / "x")


@pytest.mark.parametrize(
    "text,words",
    [
        ("", ["SOURCE:DESTINATION"]),
        (":/data", ["SOURCE:DESTINATION"]),
        ("/etc:", ["SOURCE:DESTINATION"]),
        ("/a:/b:ro:x", ["SOURCE:DESTINATION", "--mount"]),
        ("data", ["absolute", "/data"]),
        ("/etc:data", ["absolute"]),
        ("/etc:/", ["root directory"]),
        ("/etc:/..", ["root directory"]),
        ("/proc", ["/proc"]),
        ("/etc:/proc/sys/kernel", ["/proc"]),
        ("/etc:/x/../proc/1", ["/proc"]),
        ("/etc:/data:read-only", ["'read-only'", "ro and rw"]),
        ("/etc:/data:ro,rw", ["exclude each other"]),
        ("/etc:/data:shared,rslave", ["exclude each other"]),
        ("/etc:/data:nocopy", ["nocopy"]),
        ("db:/data:rslave", ["rslave"]),
        ("x:/data", ["'x'", "2 to 255"]),
        ("-db:/data", ["'-db'"]),
        ("a b:/data", ["'a b'"]),
        ("dä:/data", ["'dä'"]),
        ("x" * 256 + ":/data", ["255"]),
        ("/etc:/a\0b", ["zero byte"]),
    ],
)
def test_v_refused(text, words):
    _refused(options.volume, text, words)


def _refused(read, text, words):
    with pytest.raises(ContainerError) as error:
        read(text)
    said = str(error.value)
    assert [word for word in words if word not in said] == [] and "\n" not in said, said


@pytest.mark.parametrize(
    "text,mount",
    [
        ("target=/data", {"type": "volume", "destination": "/data", "anonymous": True, "copy": True}),
        (
            "type=volume,source=db,dst=/data,ro",
            {"type": "volume", "destination": "/data", "read_only": True, "copy": True, "name": "db"},
        ),
        (
            "type=volume,src=db,destination=/data,readonly=false,volume-nocopy=1,volume-label=a=b=c,volume-label=d",
            {"type": "volume", "destination": "/data", "copy": False, "name": "db", "labels": {"a": "b=c", "d": ""}},
        ),
        (
            "type=volume,source=db,target=/data,volume-driver=local,volume-opt=type=none,volume-opt=o=bind",
            {
                "type": "volume",
                "destination": "/data",
                "copy": True,
                "name": "db",
                "driver_opts": {"type": "none", "o": "bind"},
            },
        ),
        (
            "type=volume,source=db,target=/data,volume-subpath=a/b",
            {"type": "volume", "destination": "/data", "copy": False, "name": "db", "subpath": "a/b"},
        ),
        ("type=bind,source=/srv,target=/data", {"type": "bind", "destination": "/data", "source": "/srv"}),
        (
            '"type=bind","source=/a,b",target=/data,bind-propagation=rshared',
            {"type": "bind", "destination": "/data", "source": "/a,b", "options": ["rshared"]},
        ),
        (
            "type=bind,source=/srv,target=/data,bind-create-src,bind-recursive=disabled,consistency=cached",
            {"type": "bind", "destination": "/data", "source": "/srv", "create": True, "alone": True},
        ),
        (
            "type=bind,source=/srv,target=/data,readonly,bind-recursive=writable",
            {"type": "bind", "destination": "/data", "source": "/srv", "read_only": True, "writable_inside": True},
        ),
        (
            "type=tmpfs,target=/data,tmpfs-size=64m,tmpfs-mode=1770",
            {
                "type": "tmpfs",
                "destination": "/data",
                "options": ["nosuid", "nodev", "noexec", "size=67108864", "mode=1770"],
            },
        ),
    ],
)
def test_mount(text, mount):
    assert options.mount(text) == mount


@pytest.mark.parametrize(
    "text,words",
    [
        ("", ["KEY=VALUE"]),
        ("type=bind,source=/srv", ["target"]),
        ("type=bind,target=/data", ["source"]),
        ("type=cluster,target=/data", ["'cluster'", "tmpfs"]),
        ("type=tmpfs,source=/srv,target=/data", ["source", "type=bind"]),
        ("type=bind,source=/srv,target=/data,tmpfs-size=1m", ["tmpfs-size", "type=tmpfs"]),
        ("type=bind,source=/srv,target=/data,colour=red", ["colour", "not a key"]),
        ("type=bind,source=/srv,target=/data,readonly=maybe", ["readonly=maybe", "true or false"]),
        ("type=bind,source=/srv,target=/data,bind-propagation=everywhere", ["everywhere", "rslave"]),
        ("type=bind,source=/srv,target=/data,bind-recursive=perhaps", ["perhaps"]),
        ("type=volume,source=/srv,target=/data", ["/srv", "name"]),
        ("type=volume,source=db,target=/data,volume-driver=nfs", ["nfs", "local"]),
        ("type=volume,source=db,target=/data,volume-label==x", ["KEY=VALUE"]),
        ("type=volume,source=db,target=/data,volume-subpath=/a", ["volume-subpath"]),
        ("type=volume,source=db,target=/data,volume-subpath=a/../../b", ["volume-subpath"]),
        ("type=tmpfs,target=/data,tmpfs-size=much", ["much"]),
        ("type=tmpfs,target=/data,tmpfs-mode=999", ["999"]),
        ("type=tmpfs,target=/data,tmpfs-mode=777777", ["777777"]),
        ("type=tmpfs,target=data", ["absolute"]),
    ],
)
def test_mount_refused(text, words):
    _refused(options.mount, text, words)


def test_tmpfs():
    assert options.tmpfs("/run") == {
        "type": "tmpfs",
        "destination": "/run",
        "options": ["nosuid", "nodev", "noexec"],
    }
    assert options.tmpfs("/run:rw,exec,size=64m,mode=700,uid=3")["options"][3:] == [
        "rw",
        "exec",
        "size=64m",
        "mode=700",
        "uid=3",
    ]


@pytest.mark.parametrize(
    "text,words",
    [
        ("run", ["absolute"]),
        ("/", ["root directory"]),
        ("/run:size=", ["'size='"]),
        ("/run:size=many", ["'size=many'"]),
        ("/run:lowerdir=/etc", ["'lowerdir=/etc'"]),
        ("/run:bind", ["'bind'"]),
        ("/run:sometimes", ["'sometimes'"]),
    ],
)
def test_tmpfs_refused(text, words):
    _refused(options.tmpfs, text, words)


def test_no_name_of_a_volume_is_a_path():
    for name in ("..", "../x", "a/b", ".hidden", "x\0y", "", "a\n"):
        _refused(options.check_name, name, [])
    assert options.check_name("My_volume-1.0") == "My_volume-1.0"
    assert os.sep not in options.check_name("x" * 255)
