"""save and load: skopeo and podman read our archives, we read theirs, and an error in a hostile one is one sentence."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from minict.engine.distribution import manifest as documents
from minict.engine.distribution.manifest import Descriptor, Manifest
from minict.engine.images import image, tarexport
from minict.runtime.errors import ContainerError
from tests.integration.images.test_store import Layer, config_of, left


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICT_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))


def tar_of(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            if name in (links or {}):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, links[name]
                tar.addfile(info)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def layout(*manifests: tuple[Manifest, dict], blobs: list[bytes]) -> bytes:
    index = {
        "schemaVersion": 2,
        "manifests": [
            {"mediaType": manifest.media_type, "digest": manifest.digest, "size": len(manifest.data), **more}
            for manifest, more in manifests
        ],
    }
    everything = [*blobs, *(manifest.data for manifest, _ in manifests)]
    return tar_of(
        {
            "oci-layout": b"{}",
            "index.json": json.dumps(index).encode(),
            **{f"blobs/sha256/{documents.digest_of(blob)[7:]}": blob for blob in everything},
        }
    )


def manifest_of(part: Layer, config: bytes, **descriptor) -> Manifest:
    given = part.descriptor.as_dict() | descriptor
    return Manifest.of(
        Descriptor(documents.CONFIG, documents.digest_of(config), len(config)),
        [Descriptor(given["mediaType"], given["digest"], given["size"])],
    )


ZIPPED = Layer(a="1")


CONFIG = config_of(ZIPPED)


def test_a_blob_that_is_not_what_its_name_says_is_refused():
    manifest = manifest_of(ZIPPED, CONFIG)
    data = layout((manifest, {}), blobs=[CONFIG, ZIPPED.blob])
    for true, false in (
        (CONFIG, CONFIG.replace(b"linux", b"plan9")),
        (manifest.data, manifest.data.replace(b"schema", b"schemo")),
        (ZIPPED.blob, ZIPPED.blob[:-2] + b"xx"),
    ):
        assert true in data
        with pytest.raises(ContainerError, match="does not match its digest"):
            tarexport.load(io.BytesIO(data.replace(true, false)))
    assert image.images() == [] and left() == []
