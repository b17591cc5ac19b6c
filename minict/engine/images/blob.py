"""A layer's blob on its way into the store: downloaded, or resumed where an interrupted pull left it, and verified
as it streams."""

from __future__ import annotations

import hashlib
import os
import shutil

from minict.engine.archive import extract
from minict.runtime import locks
from minict.runtime.errors import ContainerError
from minict.runtime.files import write_all

_CHUNK = 1 << 20


class Blob:
    """The blob *descriptor*, as a file that is read once. It is kept in the store's ``partial``.

    In a ``with`` statement, entering waits until no other process works on the same blob.
    """

    def __init__(self, descriptor, making):
        from .store import store

        self.descriptor, self.making = descriptor, making
        self.path = f"{store()}/partial/{descriptor.digest.removeprefix('sha256:')}"
        self.name = f"the layer {descriptor.digest[7:19]}"
        self.kept = None
        self.done = False

    def __enter__(self) -> Blob:
        import time

        self._check_stopped()
        while (fd := locks.acquire(self.path, locks.FILE, wait=False)) < 0:  # another process downloads this blob
            time.sleep(0.05)
            self._check_stopped()
        self.kept = open(fd, "r+b", buffering=0)
        return self

    def __exit__(self, *exception) -> None:
        """Keep what has arrived, unless it is empty or already in its place."""
        if self.done or os.fstat(self.kept.fileno()).st_size == 0:
            os.unlink(self.path)
        self.kept.close()

    def unpack(self, fetch, directory: str, diff_id: str, **limits: int):
        """Download the rest of the blob, and extract all of it into *directory*/diff; return its Contents.

        Raises :class:`ContainerError`.  If the blob or the archive is wrong, nothing of the blob is kept.
        """
        had = os.fstat(self.kept.fileno()).st_size
        try:
            return self._unpack_once(fetch, f"{directory}/diff", diff_id, limits)
        except _Wrong as error:
            os.truncate(self.kept.fileno(), 0)
            if not had:
                raise ContainerError(str(error)) from None
        # the data kept from an earlier pull may be wrong: once more without them
        shutil.rmtree(f"{directory}/diff")
        os.mkdir(f"{directory}/diff", 0o755)
        return self.unpack(fetch, directory, diff_id, **limits)

    def _unpack_once(self, fetch, directory: str, diff_id: str, limits: dict):
        self._digest, self._position, self._source, self._fetch = hashlib.sha256(), 0, None, fetch
        self.kept.seek(0)
        try:
            try:
                contents = extract.unpack(self, directory, whiteouts=True, name=self.name, **limits)
            except extract.Failure as error:
                self._verify()  # it may have a better reason
                raise _Wrong(error) from None
            self._verify()
        finally:
            if self._source is not None:
                self._source.close()
        if contents.digest != diff_id:
            raise _Wrong(
                f"{self.name} does not match the image's configuration (sha256 {contents.digest[:12]}… and not "
                f"{diff_id[:12]}…): the image is broken or hostile"
            )
        return contents

    def read(self, size: int = _CHUNK) -> bytes:
        """The next piece; downloaded data are also written to ``partial``."""
        self._check_stopped()
        size = min(size, _CHUNK)
        if self._source is None:
            chunk = self.kept.read(size)
            if not chunk and self._position < self.descriptor.size:
                self._source = self._fetch(self._position)
        if self._source is not None:
            chunk = self._source.read(size)
            self._keep(chunk)
        self._digest.update(chunk)
        self._position += len(chunk)
        if self._position > self.descriptor.size:
            raise _Wrong(f"{self.name} is longer than its manifest says ({self.descriptor.size} bytes)")
        return chunk

    def _keep(self, chunk: bytes) -> None:
        write_all(self.kept.fileno(), chunk)

    def _verify(self) -> None:
        """Read to the end, and compare the digest."""
        while self.read():
            pass
        if self._position < self.descriptor.size:
            raise ContainerError(
                f"{self.name} ended after {self._position} of {self.descriptor.size} bytes: pull again to resume"
            )
        if f"sha256:{self._digest.hexdigest()}" != self.descriptor.digest:
            raise _Wrong(f"{self.name} does not match its digest: it was changed on the way; try again")

    def _check_stopped(self) -> None:
        if self.making.stopped:
            raise ContainerError(f"{self.name} is incomplete, because another part of the image failed")

    def keep(self, path: str) -> None:
        """The blob is complete and part of a layer. Its old name is the lock, and is removed when the layer is in
        its place."""
        os.link(self.path, path)
        self.done = True

    def copy(self, file) -> None:
        """Write the whole blob to *file*, for a layer that keeps something else made from it."""
        self.kept.seek(0)
        shutil.copyfileobj(self.kept, file, _CHUNK)
        self.done = True


class _Wrong(Exception):
    """The blob is wrong: no part of it may be kept."""
