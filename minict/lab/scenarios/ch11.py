"""Chapter 11: a web server that may not write into its own volume."""

from __future__ import annotations

import os
import stat

from ..feedback import Feedback
from ..ordinary import ADA, FIRST, Account
from ..scenario import Scenario

_SERVER = 33  # the web server's user in the container; 1 is the first id of Ada's range
_WRITE = "echo '<h1>Hello</h1>' > /pages/index.html && echo written"


class Site:
    """Ada's web site: the directory *pages* of the host, which a container of hers has as ``/pages``."""

    def __init__(self):
        self.ada = Account()
        self.pages = f"{self.ada.home}/pages"
        os.mkdir(self.pages)
        os.chmod(self.pages, 0o755)
        os.chown(self.pages, ADA, ADA)
        self.ada.says("minict run --rm --network none tiny true")  # makes her image, which would be told in between

    def __repr__(self):
        return f"a site with the directory {self.pages}; its server is user {_SERVER} of a container of Ada's"

    def serve(self, command: str = _WRITE) -> None:
        """Print what the shell *command* says in a new container of Ada's, as the server's user, with the volume."""
        print(self.says(command))

    def says(self, command: str = _WRITE) -> str:
        """The same, as a text."""
        return self.ada.says(
            f"minict run --rm --network none --user {_SERVER} -v {self.pages}:/pages tiny sh -c '{_quoted(command)}'"
        )

    def ls(self) -> None:
        """Print the directory as the host sees it: mode, owner, group."""
        status = os.stat(self.pages)
        print(stat.filemode(status.st_mode), status.st_uid, status.st_gid, self.pages)


def _quoted(command: str) -> str:
    return command.replace("'", "'\\''")


def start() -> Site:
    """The site, with the directory as Ada has made it."""
    return Site()


def end(site: Site) -> None:
    """Her containers end, and her home goes."""
    site.ada.close()


def check(site: Site) -> None:
    """The server can write; the directory is still closed to all others of the machine, and open to the server's
    readers."""
    if not os.path.isdir(site.pages):
        raise Feedback(f"{site.pages} is gone. Start again.")
    status = os.stat(site.pages)
    if status.st_mode & stat.S_IWOTH:
        raise Feedback(
            f"The directory has mode {stat.S_IMODE(status.st_mode):o}: every user of this machine may write into "
            f"{site.pages}, the web server of the host as well as a guest. Only one id needs it."
        )
    said = site.says()
    if said != "written":
        whose = {0: "root of the host", ADA: "Ada, who is root in her containers", _SERVER: "user 33 of the host"}
        raise Feedback(
            f"The server says: {said.splitlines()[-1] if said else 'nothing'}. The directory belongs to "
            f"{status.st_uid} ({whose.get(status.st_uid, 'another user')}). "
            f"Which id is user {_SERVER} of her containers, out here?"
        )


def repair(site):
    """User 33 of a container of Ada's is 32 above the first id of her range, which is user 1."""
    os.chown(site.pages, FIRST + _SERVER - 1, FIRST + _SERVER - 1)


def _open_to_all(site):
    os.chmod(site.pages, 0o777)


def _by_the_number_inside(site):
    os.chown(site.pages, _SERVER, _SERVER)


def _to_root(site):
    os.chown(site.pages, 0, 0)


def _one_too_far(site):
    os.chown(site.pages, FIRST + _SERVER, FIRST + _SERVER)


Scenario(
    "shut-out",
    "Ada's web server runs in a container as user 33, and may not write into its own volume, /pages, although the "
    "directory is Ada's and so is the container.",
    minutes=8,
    start=start,
    check=check,
    clues=[
        'site.serve("id; ls -ldn /pages") shows the volume as the server sees it, site.ls() as the host does. Which '
        "user owns it, on each side?",
        "The container's map is `0 1815 1` and `1 300000 65536`: Ada is root in there, and not user 33. host_id() of "
        "the first exercise translates 33.",
        "os.chown(site.pages, id, id) with that id. Ada could do the same without root: minict unshare chown 33 pages.",
    ],
    solution=repair,
    wrong={
        "opens it to all": (_open_to_all, "every user of this machine may write"),
        "by the number inside": (_by_the_number_inside, "user 33 of the host"),
        "gives it to root": (_to_root, "root of the host"),
        "one too far": (_one_too_far, "another user"),
    },
    end=end,
)
