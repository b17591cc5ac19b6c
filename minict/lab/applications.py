"""For chapter 18: images with real servers in them, nginx and MariaDB, from wherever they can be had.

::

    web, db = application_images()       # the names of the two images
    where_from()                         # a table: where this machine has each of them from

An image that is here is taken as it is, so that a machine which was prepared needs no network.  Else it is pulled: from
Docker Hub, or from a mirror of it.  Where neither answers, ``recipe/Dockerfile`` makes it from packages of this
machine's distribution, which apt fetches, or which were kept before.  The three have the same name, and their files and
settings are in the same places: the same cells work with each.

``vagrant/provision.sh`` calls ``python -m minict.lab.applications IMAGE`` for what it cannot pull, and
``… packages`` only to keep the packages.
"""

from __future__ import annotations

import glob
import html
import os
import shutil
import subprocess
import sys
import tempfile

from minict.engine.builder import builder
from minict.engine.images import pull
from minict.engine.images.image import Image
from minict.runtime import locks
from minict.runtime.errors import ContainerError

IMAGES = {"nginx:stable-alpine": "nginx", "mariadb:lts": "mariadb"}  # name -> stage of recipe/Dockerfile
PACKAGES = ("nginx-light", "mariadb-server-core", "mariadb-client-core", "busybox-static")
_RECIPE = f"{os.path.dirname(os.path.abspath(__file__))}/recipe"
_MADE = "minict.made-of"  # the label of an image that was made of packages
_NOT_NEEDED = ("doc", "man", "locale", "info", "lintian", "bash-completion")  # below /usr/share
_MERGED = ("bin", "sbin", "lib", "lib64")  # on distributions of today links to /usr


def application_images() -> list[str]:
    """The names of the images with nginx and MariaDB, which are pulled or made if they are not here.

    Raises :class:`ContainerError` when one is neither here nor to be pulled nor to be made.
    """
    failed = {}
    for name in IMAGES:
        try:
            Image.find(name)
        except ContainerError:
            try:
                pull.pull(name)
            except ContainerError as error:
                failed[name] = str(error)
    if failed:
        try:
            make(*failed)
        except ContainerError as error:
            name, reason = next(iter(failed.items()))
            raise ContainerError(
                f"{name} can't be pulled ({reason}), nor made of this machine's packages: {error}"
            ) from None
    return list(IMAGES)


def make(*names: str) -> None:
    """Make the images with these *names*, of :data:`IMAGES`, of packages.  Raises :class:`ContainerError`."""
    with tempfile.TemporaryDirectory(prefix="minict-recipe-") as directory:
        shutil.copytree(_RECIPE, directory, dirs_exist_ok=True)
        try:
            _unpack(packages(), f"{directory}/root")
        except subprocess.CalledProcessError as error:
            raise ContainerError((error.stderr or b"").decode(errors="replace").strip() or str(error)) from None
        except OSError as error:
            raise ContainerError(str(error)) from None
        for name in names:
            builder.build(
                directory,
                tag=[name],
                target=IMAGES[name],
                labels={_MADE: "packages of this machine's distribution"},
                settings={"network": ["none"]},
                say=lambda text: None,
            )


def packages() -> list[str]:
    """The paths of the archives of :data:`PACKAGES`, with all that they need: apt fetches them once.

    Raises :class:`OSError` without apt, :class:`subprocess.CalledProcessError` when it cannot fetch them.
    """
    kept = os.path.expanduser(f"~/.cache/minict/packages-{_release()}")
    os.makedirs(os.path.dirname(kept), exist_ok=True)
    with locks.Held(f"{kept}.lock", locks.FILE):
        if not os.path.isdir(kept):
            with tempfile.TemporaryDirectory(prefix=f"{kept}.") as new:
                os.mkdir(f"{new}/partial")
                # as if nothing was installed: an image needs the C library, too
                settings = (f"Dir::Cache::Archives={new}", "Dir::State::Status=/dev/null", "APT::Sandbox::User=root")
                options = [word for setting in settings for word in ("-o", setting)]
                command = ["apt-get", "-qq", "-y", *options, "install", "--no-install-recommends", "--download-only"]
                subprocess.run([*command, *PACKAGES], check=True, capture_output=True, timeout=900)
                os.rename(new, kept)
                os.mkdir(new)  # for TemporaryDirectory, which removes it
    return sorted(glob.glob(f"{kept}/*.deb"))


def _release() -> str:
    with open("/etc/os-release") as file:
        words = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
    return words.get("VERSION_CODENAME", words.get("ID", "unknown")).strip('"')


def _unpack(archives: list[str], root: str) -> None:
    """The files of the packages *archives* in the new directory *root*, without what their scripts would do."""
    for name in _MERGED:
        os.makedirs(f"{root}/usr/{name}")
        os.symlink(f"usr/{name}", f"{root}/{name}")
    for archive in archives:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as files:
            subprocess.run(
                ["tar", "-x", "--keep-directory-symlink", "-C", root],
                stdin=files.stdout, check=True, capture_output=True,
            )  # fmt: skip
        if files.returncode:
            raise subprocess.CalledProcessError(files.returncode, f"dpkg-deb {os.path.basename(archive)}")
    for name in _NOT_NEEDED:
        shutil.rmtree(f"{root}/usr/share/{name}", ignore_errors=True)


def where_from():
    """A table of :data:`IMAGES`: each one's size, and where this machine has it from."""
    from .course import Page

    rows, lines = [], []
    for name in IMAGES:
        image = Image.find(name)
        origin = (image.config.get("Labels") or {}).get(_MADE)
        words = name, f"{image.size / 1e6:.0f} MB", f"made of {origin}" if origin else "pulled from a registry"
        rows.append(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(each)}</td>" for each in words) + "</tr>"
        )
        lines.append("{:<22}{:>8}  {}".format(*words))
    return Page(f"<table>{''.join(rows)}</table>", "\n".join(lines), "Two images, and where this machine has each from")


def main(words: list[str]) -> None:
    """Make the images that are named; for the word ``packages`` only fetch the packages."""
    for word in words:
        if word == "packages":
            packages()
        elif word in IMAGES:
            make(word)
        else:
            sys.exit(f"there is no recipe for {word}: there are recipes for {', '.join(IMAGES)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ContainerError as error:
        sys.exit(str(error))
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
        sys.exit(f"apt could not fetch the packages: {said or error}")
