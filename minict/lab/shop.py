"""For chapter 18: an application in two tiers behind nginx.

::

    browser ──> nginx :80 ──> app :8000 ──> MariaDB :3306

    start_app(container, database="db")      # inside a container of the image mariadb, which has the client

As in :mod:`.words`, the app is a child of the notebook that joins the container's namespaces; it asks the database by
the client program of the container's image.
"""

from __future__ import annotations

import re
import socket
import subprocess
import urllib.error
import urllib.request

from .words import Server, _http

_QUERY = "SELECT word FROM orders ORDER BY number"
_CLIENT = "mariadb --user=app --password=app --connect-timeout=3 --skip-column-names shop".split()
_PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def caller(request: str, peer: str) -> str:
    """The address of the visitor: what the header X-Real-IP of the *request* says, or else *peer*."""
    found = re.search(r"^X-Real-IP:\s*(\S+)", request, re.I | re.M)
    return found[1] if found else peer


def start_app(inside=None, database: str = "db", *, port: int = 8000, listen: str = "0.0.0.0") -> Server:
    """Start the app *inside* a container: it answers (HTTP) with the orders in the *database*, a host.

    Without the database it says so, with status 502.  Raises :class:`OSError`, such as EADDRINUSE.
    """

    def answer(request: str, here: str, peer: str) -> str:
        command = [*_CLIENT, f"--host={database}", f"--execute={_QUERY}"]
        done = subprocess.run(command, env=_PATH, capture_output=True, text=True)
        if done.returncode:
            return _http(f"the app gets nothing from the database: {done.stderr.strip()}\n", status=502)
        return _http(f"orders: {', '.join(done.stdout.split())}\nasked by address {caller(request, peer)}\n")

    return Server("app", answer, inside, listen, port)


def start_menu(inside=None, *, port: int = 8000, listen: str = "0.0.0.0") -> Server:
    """Start an app without a database *inside* a container: it answers each request with the menu."""
    return Server("app", lambda request, here, peer: _http("pie of the day\n"), inside, listen, port)


def visit(url: str) -> str:
    """The page at *url*, or the error with which somebody answers, or why nobody does, in a line."""
    try:
        with urllib.request.urlopen(url, timeout=30) as page:
            return page.read().decode(errors="replace").strip()
    except urllib.error.HTTPError as error:
        error.close()
        return f"{error.code} {error.reason}"
    except OSError as error:
        return f"no answer: {getattr(error, 'reason', error)}"


def listening(pid: int) -> list[tuple[str, int]]:
    """The addresses and ports at which programs listen in the network of the process *pid*. Source: proc_pid_net(5)."""
    with open(f"/proc/{pid}/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    places = [row[1].split(":") for row in rows if row[3] == "0A"]
    return [(socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)) for address, port in places]
