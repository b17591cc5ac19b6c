"""The containers' way out: a program that carries packets between their network and the host's, without any right.

It reads packets from a tap device in the user's network namespace, and does with the host's sockets what they ask for.
pasta is faster; slirp4netns is what older systems have. The keeper is its parent, and takes it along.

Source: pasta(1), slirp4netns(1).
"""

from __future__ import annotations

import os
import time

from minict.kernel import namespaces as ns
from minict.kernel import process as kernel
from minict.runtime.process import spawn

from . import home, names
from .idmaps import find

_PATIENCE = 20.0  # seconds that the program may take until the network has a route to the world
MISSING = "the containers have no way out: an administrator installs passt (pasta) or slirp4netns"


def command() -> list[str]:
    """The program and its options; empty when there is none. Neither lets a container reach the host's loopback.

    A pasta of 2023, as in Debian 12, loses the answers to a client that has ended its own side of a connection: there
    slirp4netns goes first.
    """
    pasta, slirp = find("pasta"), find("slirp4netns")
    if pasta and (not slirp or _is_recent(pasta)):
        closed = [word for flag in "tuTU" for word in (f"-{flag}", "none")]
        # an address that is not the host's own, or the containers could not reach the host's services at that one
        address = ["-4", "-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2", "-I", "tap0"]
        options = ["--quiet", "--foreground", "--config-net", "--no-map-gw", *closed, *address]
        return [pasta, *options, "--netns", home.path("net")]
    if slirp:
        options = ["--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path"]
        return [slirp, *options, home.path("net"), "tap0"]
    return []


def _is_recent(pasta: str) -> bool:
    """Whether this pasta is of August 2024 or later. Its version has no common form, but its help shows its options."""
    import subprocess

    return "--map-guest-addr" in subprocess.run([pasta, "--help"], capture_output=True, text=True).stdout


class WayOut:
    """The program, as a child of this process."""

    def __init__(self) -> None:
        self._pid = 0
        self._servers: list[int] = []  # the processes of names

    def open(self) -> str:
        """Start the program unless it runs; return a sentence when there is no way out."""
        if self._pid and os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            return ""
        self._pid = 0
        words = command()
        if not words:
            return MISSING
        said = os.memfd_create("said")
        self.close()
        self._pid = spawn(lambda: _execute(words, said))
        try:
            why = self._wait()
            os.lseek(said, 0, os.SEEK_SET)
            last = os.read(said, 4096).decode(errors="replace").strip().splitlines()[-1:] if why else []
        finally:
            os.close(said)
        if not why:
            self._servers = names.begin()
        return f"the containers have no way out: {' '.join([os.path.basename(words[0]), why, *last])}" if why else ""

    def _wait(self) -> str:
        """Wait until the network has a route to the world; return why it gets none."""
        end, pause = time.monotonic() + _PATIENCE, 0.002
        while not _has_route():
            if os.waitpid(self._pid, os.WNOHANG) != (0, 0):
                self._pid = 0
                return "has ended:"
            if time.monotonic() > end:
                self.close()
                return "does not find the host's route"
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)
        return ""

    def close(self) -> None:
        """End the program and those beside it. Source: kill(2)."""
        for pid in [self._pid, *self._servers]:
            if pid:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
        self._pid, self._servers = 0, []


def _execute(words: list[str], said: int) -> None:
    os.dup2(said, 2)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    os.execv(words[0], words)


def _has_route() -> bool:
    """Whether the containers' network has a default route."""

    def look() -> None:
        fd = os.open(home.path("net"), os.O_RDONLY | os.O_CLOEXEC)
        ns.setns(fd, ns.CLONE_NEWNET)
        with open("/proc/self/net/route") as lines:
            os._exit(not any(line.split()[1] == "00000000" for line in lines))

    return os.waitpid(spawn(look), 0)[1] == 0
