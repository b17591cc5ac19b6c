"""Images: root file systems that containers begin with, kept by the digest of what is in them.

Below ``MINICT_ROOT/images``:

=====================  ===========================================================================================
``names/NAME``         the id of the image that has this name; ``/`` in it is written ``%2F``
``configs/ID.json``    an image: its configuration and the digests of its layers, as the OCI image-spec has it
                       (config.md).  ID is the sha256 of this very file
``layers/DIGEST/``     a layer, held once however many images share it: ``diff``, its files, and ``layer.json``, its
                       size.  DIGEST is the sha256 of the layer as a tar archive (the standard's DiffID)
``making/X/``          what is not finished yet; its maker holds a lock (flock) on the directory as long as it lives
``lock``               held for the moment of a change
=====================  ===========================================================================================

A thing is made in ``making`` and then renamed to its place, the layers first and the name last.  So whoever
finds a name finds all of the image; whoever is killed leaves a directory without a lock, which :func:`prune` removes.

Nothing but root may look into the store (mode 0700): layers hold set-user-ID programs and devices of anyone's making.
"""
from __future__ import annotations

import os

from ..runtime import jsonfile, paths
from ..runtime.errors import ContainerError

DEFAULT = "tiny"  # the embedded image, made of the host's own programs

_SMALL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_HEX = frozenset("0123456789abcdef")
_WORD = _SMALL | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")


class Image:
    """An image of the store.

    ``id``: 64 hex digits; ``name``: what it was asked for by; ``names``: all that it has; ``config``: what it says of
    the containers made from it (``Env``, ``Cmd``, ``Entrypoint``, ``WorkingDir``, ``User``: the ``config`` of the
    image-spec); ``layers``: the directories of its files, the top one first, as overlayfs wants them; ``size`` of
    all files of all layers, in bytes; ``created``: when it came into the store, in seconds since 1970.
    """

    def __init__(self, id: str, document: dict, name: str = ""):
        self.id = id
        self.name = name or id[:12]
        self.config = document.get("config") or {}
        self.digests = [digest.removeprefix("sha256:") for digest in document["rootfs"]["diff_ids"]]
        self.layers = [f"{store()}/layers/{digest}/diff" for digest in reversed(self.digests)]

    def __repr__(self):
        return f"<Image {', '.join(self.names) or 'without a name'}: {self.id[:12]}>"

    @classmethod
    def find(cls, name: str) -> Image:
        """The image that is called *name*, or whose id begins with it.

        Raises :class:`ContainerError` when there is none.
        """
        try:
            with open(_name_file(full_name(name)), encoding="utf-8") as file:
                return cls.load(file.read(), name)
        except FileNotFoundError:
            pass
        start = name.removeprefix("sha256:")
        ids = [id for id in _ids() if id.startswith(start)] if len(start) >= 4 and _HEX.issuperset(start) else []
        if len(ids) != 1:
            many = "more than one image has an id that begins so" if ids else "see minict image ls"
            raise ContainerError(f"no image {name}: make it with minict import or minict image from-host, or {many}")
        return cls.load(ids[0], name)

    @classmethod
    def load(cls, id: str, name: str = "") -> Image:
        """The image with this whole *id*.  Raises :class:`ContainerError` when it is not there or not readable."""
        try:
            return cls(id, jsonfile.read(_config_file(id)), name)
        except FileNotFoundError:
            raise ContainerError(f"the image {id[:12]} has been removed: make it again") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ContainerError(f"{_config_file(id)} is damaged: remove this file and make the image again") from None

    @property
    def names(self) -> list[str]:
        return _names().get(self.id, [])

    @property
    def size(self) -> int:
        return sum(jsonfile.read(f"{os.path.dirname(layer)}/layer.json")["size"] for layer in self.layers)

    @property
    def created(self) -> float:
        return os.stat(_config_file(self.id)).st_mtime


# ---- what the commands do ------------------------------------------------------------------------------------------

def from_host(name: str, commands: list[str] = ()) -> Image:
    """Make the image *name* of the host's own programs *commands*; without any, of a shell and the usual small tools.

    The same programs make the same image, to the last bit of its id.  Raises :class:`ContainerError`.
    """
    from . import fromhost, unpack
    commands = list(commands) or fromhost.default_commands()
    with _Making(full_name(name)) as making:
        fromhost.make_rootfs(making.diff, commands)
        with open(os.devnull, "wb") as nowhere:
            contents = unpack.pack(making.diff, nowhere)
        shell = "/bin/sh" if os.path.lexists(f"{making.diff}/bin/sh") else os.path.basename(commands[0])
        return making.finish(contents, {"Env": [f"PATH={fromhost.ROOT_PATH}"], "Cmd": [shell]})


def default_image(name: str = DEFAULT) -> Image:
    """Make the embedded image.  Raises :class:`ContainerError`."""
    return from_host(name)


def import_archive(source, name: str, **limits: int) -> Image:
    """Make the image *name* of a root file system's tar archive: a path, ``-`` for standard input, or an open file.

    *limits* are ``max_bytes`` and ``max_entries`` of :func:`minict.engine.unpack.unpack`.
    Raises :class:`ContainerError`; nothing is then left behind.
    """
    from . import fromhost, unpack
    full = full_name(name)
    archive, label = _open_archive(source)
    try:
        with _Making(full) as making:
            contents = unpack.unpack(archive, making.diff, name=label, **limits)
            if contents.entries == 0:
                raise ContainerError(f"{label} holds no files: a root file system has at least a program")
            return making.finish(contents, {"Env": [f"PATH={fromhost.ROOT_PATH}"], "Cmd": ["/bin/sh"]})
    finally:
        if isinstance(source, str) and source != "-":
            archive.close()


def _open_archive(source) -> tuple:
    """The archive as a binary file, and what messages call it."""
    if not isinstance(source, str):
        return source, "the archive"
    if source == "-":
        import sys
        if sys.stdin.isatty():
            raise ContainerError("standard input is a terminal: pipe an archive into it, or name a file")
        return sys.stdin.buffer, "the archive on standard input"
    try:
        return open(source, "rb"), source
    except OSError as error:
        raise ContainerError(f"{source} can't be opened: {error.strerror}", errno=error.errno) from None


def images() -> list[Image]:
    """All images, by name; those without one at the end."""
    names = _names()
    return [Image.load(id) for id in sorted(_ids(), key=lambda id: (id not in names, names.get(id), id))]


def remove(name: str) -> list[str]:
    """Take the name away from an image, and with its last name the image; return what was removed, as words.

    With an id all names go.  Raises :class:`ContainerError` when there is no such image, or a container uses it.
    """
    with _Locked():
        image = Image.find(name)
        names = [full_name(each) for each in image.names]
        if full_name(name) in names and len(names) > 1:
            os.unlink(_name_file(full_name(name)))
            return [f"name {short_name(full_name(name))}"]
        _refuse_if_used(image)
        for each in names:
            os.unlink(_name_file(each))
        os.unlink(_config_file(image.id))
        doomed = _set_aside_unused_layers()
    _delete(doomed)
    return [f"name {short_name(each)}" for each in names] + [f"image {image.id[:12]}"] + _described(doomed)


def prune() -> list[str]:
    """Remove what makers left that were killed: directories half made, and layers of no image.  Return them, as words.

    What a living process works at is left alone.  Raises :class:`ContainerError`, :class:`OSError`.
    """
    if not os.path.isdir(store()):
        return []
    with _Locked():
        layers = _set_aside_unused_layers()
        unfinished = {f"{store()}/making/{name}": name for name in os.listdir(f"{store()}/making")}
        abandoned = {path: name for path, name in unfinished.items() if path not in layers and _is_abandoned(path)}
    _delete([*layers, *abandoned])
    return _described(layers) + [f"unfinished image {name}" for name in abandoned.values()]


def _is_abandoned(path: str) -> bool:
    """Whether nobody holds the lock of the directory *path*: who made it has ended, as nobody takes such a lock twice."""
    import fcntl
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:  # finished in this moment
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.exists(path)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


# ---- names ---------------------------------------------------------------------------------------------------------

def full_name(name: str) -> str:
    """*name* as Docker completes it: ``tiny`` is ``docker.io/library/tiny:latest``.

    Raises :class:`ContainerError` when it is no name by the grammar of the OCI distribution-spec: words of lower case
    letters and digits, with ``.``, ``_``, ``__`` or dashes within, separated by ``/``; then perhaps ``:`` and a tag.
    """
    path, tag = name, "latest"
    if ":" in name.rpartition("/")[2]:
        path, _, tag = name.rpartition(":")
    host, slash, rest = path.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, rest = "docker.io", path
    if host == "docker.io" and "/" not in rest:
        rest = f"library/{rest}"
    if not (_is_host(host) and all(map(_is_component, rest.split("/"))) and _is_tag(tag) and len(rest) <= 255):
        raise ContainerError(f"{name!r} is no name for an image: take lower case letters and digits, as in my-app:1.0")
    return f"{host}/{rest}:{tag}"


def short_name(full: str) -> str:
    """The way a person says it: ``docker.io/library/tiny:latest`` is ``tiny:latest``."""
    return full.removeprefix("docker.io/").removeprefix("library/")


def _is_component(word: str) -> bool:
    """Each separator becomes one dot; then nothing between two dots may be empty."""
    word = word.replace("__", ".").replace("_", ".")
    while "--" in word:
        word = word.replace("--", "-")
    return all(part and _SMALL.issuperset(part) for part in word.replace("-", ".").split("."))


def _is_tag(tag: str) -> bool:
    return 0 < len(tag) <= 128 and tag[0] in _WORD and _WORD.issuperset(tag.replace("-", "").replace(".", ""))


def _is_host(host: str) -> bool:
    host, _, port = host.partition(":")
    return all(part.isascii() and part.replace("-", "").isalnum() for part in host.split(".")) and (
        not port or port.isdecimal())


# ---- the store -----------------------------------------------------------------------------------------------------

def store() -> str:
    """The directory of all images."""
    return f"{paths.data_root()}/images"


def _name_file(full: str) -> str:
    return f"{store()}/names/{full.replace('/', '%2F')}"


def _config_file(id: str) -> str:
    return f"{store()}/configs/{id}.json"


def _ids() -> list[str]:
    return [name.removesuffix(".json") for name in _list(f"{store()}/configs")]


def _names() -> dict[str, list[str]]:
    """The short names of every image that has one, by its id."""
    names = {}
    for name in sorted(_list(f"{store()}/names")):
        with open(f"{store()}/names/{name}", encoding="utf-8") as file:
            names.setdefault(file.read(), []).append(short_name(name.replace("%2F", "/")))
    return names


def _list(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


class _Locked:
    """The store's lock, for the moment in which several of its files change together."""

    def __enter__(self):
        import fcntl
        for name in ("names", "configs", "layers", "making"):
            os.makedirs(f"{store()}/{name}", exist_ok=True)
        os.chmod(store(), 0o700)
        self._fd = os.open(f"{store()}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *exception):
        os.close(self._fd)


class _Making:
    """The directory of an image of one layer that is being made: it becomes the image *full*, or it goes."""

    def __init__(self, full: str):
        self.full = full
        self.path = f"{store()}/making/{os.urandom(6).hex()}"
        self.diff = f"{self.path}/layer/diff"
        self._fd = -1

    def __enter__(self) -> _Making:
        import fcntl
        try:
            with _Locked():  # so that prune can't come between the directory and its lock
                os.mkdir(self.path, 0o700)
                self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(self._fd, fcntl.LOCK_EX)
            os.makedirs(self.diff)
            os.chmod(self.diff, 0o755)
        except OSError as error:
            self._remove()
            raise self._explained(error) from error
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._remove()
        if isinstance(error, OSError):
            raise self._explained(error) from error

    def _remove(self) -> None:
        import shutil
        shutil.rmtree(self.path, ignore_errors=True)
        if self._fd >= 0:
            os.close(self._fd)

    def _explained(self, error: OSError) -> ContainerError:
        import errno
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            text = f"the disk that holds {store()} is full: free some space there (minict prune) and do it again"
        else:
            text = f"{error.filename or store()}: {error.strerror}"
        return ContainerError(f"the image {short_name(self.full)} can't be made: {text}", errno=error.errno)

    def finish(self, contents, config: dict) -> Image:
        """Put all in its place, the name last.  *contents* says what is in ``diff``."""
        import hashlib
        document = {"architecture": architecture(), "os": "linux", "config": config,
                    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{contents.digest}"]}}
        text = jsonfile.dumps(document)
        id = hashlib.sha256(text.encode()).hexdigest()
        jsonfile.write(f"{self.path}/layer/layer.json", {"size": contents.size, "entries": contents.entries})
        self._write("config", text)
        self._write("name", id)
        with _Locked():
            if not os.path.exists(f"{store()}/layers/{contents.digest}"):
                os.rename(f"{self.path}/layer", f"{store()}/layers/{contents.digest}")
            os.replace(f"{self.path}/config", _config_file(id))
            os.replace(f"{self.path}/name", _name_file(self.full))
        return Image(id, document, short_name(self.full))

    def _write(self, name: str, text: str) -> None:
        with open(f"{self.path}/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def architecture() -> str:
    """This machine's processor by the name that images use (the names of the Go language)."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _set_aside_unused_layers() -> dict[str, str]:
    """Move the layers of no image to ``making``, to be deleted once the lock is free: {path there: digest}."""
    used = {digest for id in _ids() for digest in Image.load(id).digests}
    moved = {}
    for digest in set(os.listdir(f"{store()}/layers")) - used:
        path = f"{store()}/making/{os.urandom(6).hex()}"
        os.rename(f"{store()}/layers/{digest}", path)
        moved[path] = digest
    return moved


def _described(layers: dict[str, str]) -> list[str]:
    return [f"layer {digest[:12]}" for digest in layers.values()]


def _delete(directories) -> None:
    import shutil
    for path in directories:
        shutil.rmtree(path, ignore_errors=True)


def _refuse_if_used(image: Image) -> None:
    """A container's spec names the layers that its root file system stands on: they must not go while it is there."""
    containers = f"{paths.run_root()}/containers"
    for id in _list(containers):
        try:
            with open(f"{containers}/{id}/config.json", encoding="utf-8") as file:
                spec = file.read()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if any(digest in spec for digest in image.digests):
            raise ContainerError(f"the image {image.id[:12]} is used by the container {id}: remove that first")
