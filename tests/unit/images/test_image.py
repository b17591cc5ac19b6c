"""The image store: fast to search, never incomplete, and shared by concurrent processes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile

import pytest

from minict.engine.images import image, importer, store
from minict.engine.images.image import Image
from minict.runtime.errors import ContainerError
from tests.support.command_line import PATIENCE
from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICT_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))


def archive(**files) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    buffer.seek(0)
    return buffer


def stored() -> list[str]:
    """All files in the store that concern images: no empty directories, no lock."""
    found = [os.path.join(parent, name) for parent, _, names in os.walk(store.store()) for name in names]
    return sorted(os.path.relpath(path, store.store()) for path in found if not path.endswith("/lock"))


def in_another_process(code: str, **options) -> subprocess.Popen:
    text = (
        f"import sys; sys.path.insert(0, {ROOT!r})\nfrom minict.engine.images import image, importer; from "
        "minict.engine.archive import extract as unpack\n" + code
    )
    return subprocess.Popen([sys.executable, "-c", text], start_new_session=True, **options)


def test_a_missing_image_is_one_sentence_with_the_remedy():
    for name in ("nothing", "abcdef", "quay.io/nobody/nothing:1"):
        with pytest.raises(ContainerError, match=f"no such image: {name}; ") as caught:
            Image.find(name)
        assert caught.value.status == 125


@pytest.mark.parametrize(
    "name, full",
    [
        ("tiny", "docker.io/library/tiny:latest"),
        ("tiny:1.0", "docker.io/library/tiny:1.0"),
        ("me/app", "docker.io/me/app:latest"),
        ("docker.io/tiny", "docker.io/library/tiny:latest"),
        ("localhost/app:x", "localhost/app:x"),
        ("localhost:5000/a/b:V_1-x", "localhost:5000/a/b:V_1-x"),
        ("ghcr.io/a_b/c__d.e---f", "ghcr.io/a_b/c__d.e---f:latest"),
        ("a" * 100, f"docker.io/library/{'a' * 100}:latest"),
    ],
)
def test_names_are_completed_as_docker_does(name, full):
    assert image.full_name(name) == full
    assert image.full_name(image.short_name(full)) == full


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../../x",
        "/etc/passwd",
        "a/../b",
        "..",
        ".",
        "a//b",
        "a/",
        "/a",
        "Tiny",
        "ti ny",
        "a\nb",
        "a:",
        "a:b:c",
        "a:-x",
        "a:" + "t" * 129,
        "a___b",
        "a..b",
        "a._b",
        "-a",
        "a-",
        "x@y",
        "ä",
        "a%2Fb",
        "a\0b",
        "ſ",
        "host.name:port/x",
        "host..x/y",
        "a" * 300,
        "a:²",
        "../x:1",
        "localhost/../x",
    ],
)
def test_other_names_are_refused_and_nothing_is_made(name):
    for function in (
        Image.find,
        image.remove,
        lambda name: importer.import_archive(archive(a="1"), name),
        lambda name: importer.from_host(name, ["sh"]),
    ):
        with pytest.raises(ContainerError, match="invalid image name") as caught:
            function(name)
        assert "\n" not in str(caught.value)
    assert stored() == []


def test_standard_input_that_is_a_terminal_is_refused():
    terminal, other = os.openpty()
    process = in_another_process(
        "try: importer.import_archive('-', 'x')\nexcept Exception as e: print(e)",
        stdin=other,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "is a terminal" in process.communicate(timeout=PATIENCE)[0]
    os.close(terminal)
    os.close(other)


def test_prune_without_a_store_makes_none():
    assert store.prune() == [] and image.images() == [] and not os.path.exists(store.store())
