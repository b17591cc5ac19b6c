"""The configuration of an image, and the file that it has as /etc/passwd, may be hostile: errors are one sentence."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile

import pytest

from minict.engine.spec import user
from tests.support.command_line import image, minict  # noqa: F401


def layer(*members: tuple[str, bytes | tuple[int, int]]) -> bytes:
    """A layer with files, or devices with the given numbers, by their names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(content, tuple):
                info.type, (info.devmajor, info.devminor) = tarfile.CHRTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def load(name: str, config: dict, *layers: bytes) -> None:
    """Load an image with this *config* as *name*, without minict's own checks of what it writes."""
    diff_ids = ["sha256:" + hashlib.sha256(each).hexdigest() for each in layers]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sh", "-c", "true"], **config},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = [{"Config": "c.json", "RepoTags": [name], "Layers": [f"{number}.tar" for number in range(len(layers))]}]
    files = {
        "c.json": json.dumps(document).encode(),
        **{f"{number}.tar": each for number, each in enumerate(layers)},
        "manifest.json": json.dumps(manifest).encode(),
    }
    archive = layer(*files.items())
    done = minict("load", input=archive, text=False)
    assert b"Traceback" not in done.stderr and b"mistake" not in done.stderr, done.stderr


SHELL = layer(("bin/sh", b"#!/none\n"))
ODD = {
    "a signal of many digits": {"StopSignal": "9" * 5000},
    "a real-time signal of many digits": {"StopSignal": "RTMIN+" + "9" * 5000},
    "a user of many digits": {"User": "9" * 6000},
    "a group of many digits": {"User": "0:" + "9" * 6000},
    "a user of other digits": {"User": "\u00b2\u0663"},
    "a health check in a thousand years": {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 10**30}},
    "a variable without a name": {"Env": ["=x"]},
    "half a character": {"Env": ["A=\ud800"]},
    "a zero byte": {"Env": ["A=\0"]},
    "a huge environment": {"Env": ["A=" + "x" * (1 << 20)] * 4},
    "a directory of half a character": {"WorkingDir": "/\ud800"},
    "a long directory": {"WorkingDir": "/x" * 5000},
    "a command of half a character": {"Cmd": ["/bin/sh", "\ud800"]},
    "ports": {"ExposedPorts": {"99999999999999999999": {}, "x/y/z": {}}},
    "volumes": {"Volumes": {"/../../x": {}, "": {}}},
}


@pytest.mark.parametrize("kind", ODD)
def test_an_invalid_config_is_one_sentence(image, kind):
    load("odd:1", ODD[kind], SHELL)
    done = minict("run", "--rm", "--pull", "never", "--network", "none", "odd:1", errors="replace")
    minict("rmi", "-f", "odd:1")
    assert "Error:" not in done.stderr and "internal error" not in done.stderr, done.stderr
    assert done.stderr.count("\n") <= 2


def test_a_passwd_with_ids_of_many_digits(image):
    load(
        "odd:1",
        {"User": "root"},
        layer(("bin/sh", b""), ("etc/passwd", b"root:x:" + b"1" * 5000 + b":0:r:/:/bin/sh\n")),
    )
    done = minict("run", "--rm", "--network", "none", "odd:1")
    minict("rmi", "-f", "odd:1")
    assert "unable to find user 'root'" in done.stderr


class Layers:
    """What :func:`minict.engine.spec.user.entries` asks of an image."""

    name = "the image"

    def __init__(self, *layers: str):
        self.layers = [str(each) for each in layers]


def test_a_device_of_an_image_is_never_opened(tmp_path):
    """Opening /dev/zero would show in the data read; opening other devices, such as a watchdog, resets the machine."""
    (tmp_path / "etc").mkdir()
    os.mknod(tmp_path / "etc/passwd", 0o666 | 0o020000, os.makedev(1, 5))
    opened = []
    real = os.open

    def watched(path, flags, *more, **options):
        fd = real(path, flags, *more, **options)
        if not flags & os.O_PATH:
            opened.append(os.fstat(fd).st_mode & 0o170000)
        return fd

    os.open = watched
    try:
        assert user.entries(Layers(tmp_path), "etc/passwd", 7) == []
    finally:
        os.open = real
    assert 0o020000 not in opened


def test_a_link_in_an_image_leads_to_a_file_of_the_image(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/users").write_text("root:x:5:5::/:/bin/sh\n")
    (tmp_path / "etc/passwd").symlink_to("/usr/users")
    assert user.entries(Layers(tmp_path), "etc/passwd", 7)[0][2] == "5"
    (tmp_path / "usr/users").unlink()
    os.mkfifo(tmp_path / "usr/users")
    assert user.entries(Layers(tmp_path), "etc/passwd", 7) == []


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.mknod(path, 0o020000, 0), os.mkdir])
def test_a_passwd_that_is_not_a_file_has_no_users_and_hides_those_below(tmp_path, make):
    for name in ("upper", "lower"):
        (tmp_path / name / "etc").mkdir(parents=True)
    (tmp_path / "lower/etc/passwd").write_text("root:x:5:5::/:/bin/sh\n")
    make(tmp_path / "upper/etc/passwd")
    assert user.entries(Layers(tmp_path / "upper", tmp_path / "lower"), "etc/passwd", 7) == []
    assert user.entries(Layers(tmp_path / "lower"), "etc/passwd", 7)[0][2] == "5"
