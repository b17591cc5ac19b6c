"""For chapter 11: Ada, an ordinary user of this machine, with the rights that everybody has.

:func:`become_ada` makes the calling process hers. :func:`account` gives her what an administrator prepares for somebody
who starts containers without root: a home, a name, and a range of ids in ``/etc/subuid``. The machine's own files stay
as they are: each of her commands runs in a mount namespace in which a copy, with her line added, lies on top.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile

from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNS, unshare
from minict.kernel.process import PR_SET_DUMPABLE, prctl
from minict.runtime.place import in_user_namespace

from . import host
from .child import run_in_child, supervise

ADA = 1815  # her number, and that of her group
FIRST, COUNT = 300_000, 65_536  # the ids that she may give to users of her containers
_CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_SCRIPT = '#!/bin/sh\nexec "{}" -m minict "$@"\n'


def become_ada(groups: tuple[int, ...] | list[int] = ()) -> None:
    """Make the calling process one of user 1815, and of her group, with the further *groups*; it keeps no capability.

    The kernel hides a process that has changed its user from that user, until it executes a program. The last line
    stands in for that: without it she could not write to her own /proc/self. Source: prctl(2), PR_SET_DUMPABLE.
    """
    os.setgroups(list(groups))
    os.setresgid(ADA, ADA, ADA)
    os.setresuid(ADA, ADA, ADA)
    prctl(PR_SET_DUMPABLE, 1)


_accounts: list[Account] = []


def account() -> Account:
    """Ada's account, prepared for containers. It replaces an earlier one, whose containers end.

    Raises :class:`PermissionError` in a user namespace, where nobody can hand on ids that are not there.
    """
    if in_user_namespace():
        raise PermissionError("Ada's account needs the host's root: start the course with sudo make lab")
    close_all()
    _accounts.append(Account())
    return _accounts[-1]


def close_all() -> None:
    """Remove the accounts that this notebook has made."""
    while _accounts:
        _accounts[-1].close()


class Account:
    """A home for Ada in *directory*, a new one by default, and her shell: :meth:`sh`."""

    def __init__(self, directory: str = ""):
        self.directory = directory or tempfile.mkdtemp(prefix="minict-ada-", dir="/var/tmp")
        os.chmod(self.directory, 0o755)
        self.home = self._make("home", ADA)
        self.runtime = self._make("runtime", ADA)
        self._write("bin", "minict", _SCRIPT.format(os.path.realpath(sys.executable)))
        os.chmod(f"{self.directory}/bin/minict", 0o755)
        self._covers = {
            "passwd": f"ada:x:{ADA}:{ADA}::{self.home}:/bin/sh\n",
            "group": f"ada:x:{ADA}:\n",
            "subuid": f"ada:{FIRST}:{COUNT}\n",
            "subgid": f"ada:{FIRST}:{COUNT}\n",
        }
        for name, line in self._covers.items():
            self._write("etc", name, _text_of(f"/etc/{name}") + line)
        # The course may lie where only root may go, such as in root's home: she sees it here.
        self._shown = {_CHECKOUT: self._make("course"), _library(): self._make("library")}

    def __repr__(self):
        return f"<the account of Ada, user {ADA}, with the ids from {FIRST} to {FIRST + COUNT - 1}>"

    def _make(self, name: str, owner: int = 0) -> str:
        path = f"{self.directory}/{name}"
        os.makedirs(path, 0o700 if owner else 0o755, exist_ok=True)
        os.chown(path, owner, owner)
        return path

    def _write(self, directory: str, name: str, text: str) -> None:
        with open(f"{self._make(directory)}/{name}", "w") as file:
            file.write(text)

    def sh(self, line: str) -> None:
        """What Ada's shell writes when she types *line*."""
        run_in_child(lambda: self._execute(line), any_status=True)

    def says(self, line: str) -> str:
        """The same, as a text."""
        return supervise(lambda: self._execute(line), timeout=30).output.strip()

    def _execute(self, line: str) -> None:
        unshare(CLONE_NEWNS)
        k.mount(None, "/", None, k.MS_REC | k.MS_PRIVATE)
        for name in self._covers:
            if os.path.exists(f"/etc/{name}"):
                k.mount(f"{self.directory}/etc/{name}", f"/etc/{name}", None, k.MS_BIND)
        for source, place in self._shown.items():
            k.mount(source, place, None, k.MS_BIND)
        become_ada()
        os.chdir(self.home)
        os.execve("/bin/sh", ["sh", "-c", line], self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of her shell."""
        return {
            "HOME": self.home,
            "USER": "ada",
            "XDG_RUNTIME_DIR": self.runtime,
            "PATH": f"{self.directory}/bin:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": ":".join(self._shown.values()),
            "LC_ALL": "C.UTF-8",
        }

    def close(self) -> None:
        """End her containers and her namespaces, and remove her files."""
        if self in _accounts:
            _accounts.remove(self)
        if not os.path.isdir(self.directory):
            return
        self.says("minict rm -fv $(minict ps -aq); minict unshare --stop")
        for process in host.process_table().values():
            if self.runtime.encode() in process.read("environ"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


def end_account(directory: str) -> None:
    """End the account in this *directory*, of a notebook that was killed: see :mod:`.leftovers`."""
    if not in_user_namespace():
        Account(directory).close()


def _library() -> str:
    """The directory of the Python packages that minict depends on."""
    return os.path.dirname(os.path.dirname(importlib.util.find_spec("urllib3").origin))


def _text_of(path: str) -> str:
    try:
        with open(path) as file:
            return file.read() if not path.startswith("/etc/sub") else ""
    except FileNotFoundError:
        return ""


atexit.register(close_all)
