"""The mounts of ``RUN --mount``: directories prepared on the host for the duration of one step.

Caches lie below ``MINICT_ROOT/images/mounts`` and stay until ``minict builder prune``.  Everything else is in a
directory of the store that is removed after the step.
"""

from __future__ import annotations

import hashlib
import os
import posixpath

from minict.engine.archive import fsview
from minict.engine.images import ingest, store
from minict.engine.images.image import Image
from minict.runtime import files as runtime_files
from minict.runtime import locks
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in

from . import copying, filesystem
from .destination import Destination
from .mounts import Mount


class Mounting:
    """The mounts of one step: use it in a ``with`` statement, which fills :attr:`settings` and :attr:`environment`.

    *mounts*: (Mount, its origin as a Context, an Image or None).  *secrets*: the values of --secret by their ids, as
    bytes.
    """

    def __init__(self, mounts: list[tuple[Mount, object]], script: tuple[str, str] | None, secrets: dict[str, bytes]):
        self.mounts, self.script, self.secrets = mounts, script, secrets
        self.settings: dict[str, list[str]] = {"mount": [], "tmpfs": []}
        self.environment: dict[str, str] = {}
        self._locks: list[int] = []

    def __enter__(self) -> Mounting:
        self._making = ingest.Making(None).__enter__()
        try:
            if self.script:
                name, text = self.script
                self._show(self._file(name, text.encode("utf-8", "surrogateescape"), 0o755), f"/dev/pipes/{name}")
            for mount, origin in self.mounts:
                getattr(self, f"add_{mount.type}")(mount, origin)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception) -> None:
        for lock in self._locks:
            os.close(lock)
        self._making.__exit__(None, None, None)

    def _show(self, source: str, target: str, read_only: bool = True) -> None:
        fields = ["type=bind", f"source={source}", f"target={target}", *["readonly"] * read_only]
        self.settings["mount"].append(
            ",".join(f'"{field}"' if "," in field or '"' in field else field for field in fields)
        )

    def _directory(self) -> str:
        path = f"{self._making.path}/{len(os.listdir(self._making.path))}"
        filesystem.make_directory(path)
        return path

    def _file(self, name: str, data: bytes, mode: int, owner: tuple[int, int] = (0, 0)) -> str:
        path = f"{self._directory()}/file"
        with open(path, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(data)
            os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
        return path

    def add_tmpfs(self, mount: Mount, origin) -> None:
        options = [f"size={mount.size}"] * bool(mount.size) + ["exec", "mode=1777"] + ["ro"] * mount.read_only
        self.settings["tmpfs"].append(f"{mount.target}:{','.join(options)}")

    def add_secret(self, mount: Mount, origin) -> None:
        id = mount.source or mount.id or posixpath.basename(mount.target)
        value = self.secrets.get(id)
        if value is None:
            if mount.required:
                raise ContainerError(f"the secret {id} is required but missing: use --secret id={id},src=FILE")
            return
        if mount.variable is not None:
            self.environment[mount.variable or id] = value.decode("utf-8", "surrogateescape")
        if mount.variable is None or mount.target:
            target = mount.target or f"/run/secrets/{posixpath.basename(id)}"
            mode = 0o400 if mount.mode is None else mount.mode
            self._show(self._file(id, value, mode, (mount.uid or 0, mount.gid or 0)), target)

    def add_bind(self, mount: Mount, origin) -> None:
        """Copy the source of the mount: what a command writes into it is discarded after the step."""
        place = self._directory()
        name = extract(mount.source, origin, place) if origin is not None else ""
        self._show(f"{place}/{name}" if name else place, mount.target, mount.read_only)

    def add_cache(self, mount: Mount, origin) -> None:
        directory = self._held(_cache_directory(mount.id or mount.target), mount)
        content = f"{directory}/content"
        if not os.path.isdir(content):
            unfinished = f"{directory}/making"
            runtime_files.remove_tree(unfinished)
            filesystem.make_directory(unfinished)
            if origin is not None:
                extract(mount.source, origin, unfinished)
            os.chown(unfinished, mount.uid or 0, mount.gid or 0)
            os.chmod(unfinished, 0o755 if mount.mode is None else mount.mode)
            os.rename(unfinished, content)
        self._show(content, mount.target, mount.read_only)

    def _held(self, directory: str, mount: Mount) -> str:
        """The cache's directory, locked as ``sharing`` demands: shared, held by one build at a time, or a private one
        for each."""
        number = 0
        while True:
            path = directory if number == 0 else f"{directory}.{number}"
            os.makedirs(path, 0o700, exist_ok=True)
            several = mount.sharing == "shared" and os.path.isdir(f"{path}/content")  # one process makes the content
            lock = locks.acquire(path, wait=mount.sharing != "private", shared=several)
            if lock >= 0:
                self._locks.append(lock)
                return path
            number += mount.sharing == "private"


def extract(source: str, origin, place: str) -> str:
    """Copy *source* of a Context or an Image into the empty directory *place*; its name when it is a file, else "".

    Raises :class:`ContainerError`.
    """
    with copying.collected_path(source, origin) as collected:

        def work() -> str:
            os.lseek(collected.file.fileno(), 0, os.SEEK_SET)
            with open(collected.file.fileno(), "rb", 0, closefd=False) as file:
                destination = Destination(file, "/place/", None, False)
                destination.run()
            return os.path.basename(destination.target) if destination.part == "file" else ""

        return filesystem.run(fsview.Directories({"place": place}, writable="place"), work, [collected.file.fileno()])


def key(mounts: list[tuple[Mount, object]]) -> list:
    """The mounts' part of a RUN step's cache key: what bind mounts show, but not the content of secrets and caches."""
    return [[*mount, digest(mount, origin)] for mount, origin in mounts]


def digest(mount: Mount, origin) -> str:
    """A digest of the files in a bind mount of a context, or the layers of an image."""
    if mount.type != "bind" or origin is None:
        return ""
    if isinstance(origin, Image):
        return " ".join(origin.digests)
    with copying.collected_path(mount.source, origin) as collected:
        return collected.digest


def _cache_directory(id: str) -> str:
    return f"{directory()}/{hashlib.sha256(id.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"


def directory() -> str:
    """The directory of the caches."""
    return f"{store.store()}/mounts"


def forget() -> int:
    """Remove the caches that no build is using; return their number."""
    removed = 0
    for name in names_in(directory()):
        path = f"{directory()}/{name}"
        removed += store.is_abandoned(path, runtime_files.remove_tree)
    return removed
