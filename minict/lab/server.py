"""The course in the browser: JupyterLab on this machine's loopback address, behind a token.

``python -m minict.lab.server`` is the last step of ``make lab``.  It prints the address as soon as the server answers
there, and stays until Ctrl-C.  The server's log is ``.venv/lab.log``.  The server and its kernels are root's, because
containers are; an ordinary user's server is the user's, with kernels in the namespaces of :mod:`minict.engine.rootless`
and its log in the user's data.

It shows the learner's own copies of the notebooks (:mod:`.copies`), which are made here.

In a virtual machine the server is a service (vagrant/provision.sh) of an ordinary user, and the kernels alone are
root's. ``… server service`` becomes this server; ``… server address`` waits until it answers, and prints its address.

In a container of JupyterHub (docs/jupyterhub.md), ``… server hub`` becomes the server of one user.

Settings, as environment variables:

* ``MINICT_PORT``: the port (8888).  When it is taken, ``make lab`` takes the next free one
* ``MINICT_BIND``: the address at which the service listens (127.0.0.1)
* ``MINICT_ADDRESS``: what the service's address begins with as the browser sees it; empty: print none
* ``JUPYTER_TOKEN``: the token (a new one each time)
* ``LAB_BACKGROUND``: when set, the server of ``make lab`` goes on by itself

Anyone who has the token controls this machine.  So the server listens on loopback only, unless the machine is virtual;
only the owner can read its log; and its kernels use Unix sockets in a directory of their owner, because any user could
reach a kernel over TCP.
"""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from urllib.parse import quote

from jupyter_core.paths import jupyter_runtime_dir

from minict.engine.images import pull
from minict.engine.images.image import DEFAULT
from minict.engine.rootless import home
from minict.runtime import paths

from . import copies

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_EXTENSIONS = f"{os.path.dirname(os.path.abspath(__file__))}/labextension"  # the words that stand for pictures
_OPTIONS = [
    "--allow-root",
    "--KernelManager.transport=ipc",
    f"--LabApp.extra_labextensions_path={_EXTENSIONS}",
    f"--ServerApp.root_dir={CHECKOUT}",  # the notebooks, and the package's source beside them
]
_LAST_MOMENTS = 20  # seconds that the server may take to end
_LONGEST_SOCKET = 108  # bytes of a Unix socket's path, with the one that ends it
PATIENCE = 300  # seconds until the server must answer: a cold start on a slow, emulated machine takes two minutes


def main(words: list[str]) -> int:
    try:
        return {(): lab, ("service",): service, ("address",): address, ("hub",): hub}[tuple(words)]()
    except (ValueError, ChildProcessError, TimeoutError) as error:
        print(f"minict: {error}", file=sys.stderr)
        return 1


def lab() -> int:
    """``make lab``: start the server, print its address, and stay until Ctrl-C."""
    background = bool(os.environ.get("LAB_BACKGROUND"))
    # one that Jupyter makes itself, it would write to its log
    os.environ.setdefault("JUPYTER_TOKEN", secrets.token_hex(24))
    begin = port()
    prepare_copies()
    short = short_runtime_directory()
    try:
        server = start(begin)
        if not background:
            _end_with_us(server)
        print(f"\nThe course:  {wait_until_it_answers(server)}\n")
        if background:
            print(f"It goes on in the background; this ends it: kill {server.pid}", flush=True)
            short = None  # the server needs it
            return 0
        print("Open it in a browser on this machine.  Ctrl-C here ends the course.", flush=True)
        server.wait()
        return 0
    finally:
        if short:
            shutil.rmtree(short, ignore_errors=True)


def _end_with_us(server: subprocess.Popen) -> None:
    """From here on a signal that ends this process ends the *server*, which ends its kernels first.

    The server may wait forever for a kernel that is just being restarted: then it is killed, and its kernels notice.
    """

    def end(number, frame):
        server.terminate()
        signal.signal(signal.SIGALRM, lambda *_: server.kill())
        signal.alarm(_LAST_MOMENTS)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def prepare_copies() -> None:
    """Make the learner's copies of the chapters; name those whose chapter has changed since."""
    for copy in copies.prepare():
        number = f"{copy.number:02}"
        print(f"Chapter {number} has changed since your copy of it was made.  A new one: minict lab --reset {number}")


def short_runtime_directory() -> str | None:
    """Make sure that the paths of a kernel's sockets are short enough (unix(7)); return the directory made for this, or
    None."""
    if len(f"{jupyter_runtime_dir()}/kernel-{'x' * 36}-ipc-99") < _LONGEST_SOCKET:
        return None
    os.environ["JUPYTER_RUNTIME_DIR"] = directory = tempfile.mkdtemp(prefix="minict-lab-")
    return directory


def service() -> int:
    """Become the server, as systemd's child, at exactly this port."""
    os.chdir(CHECKOUT)
    prepare_copies()
    short_runtime_directory()
    # The user's own PATH, without our `minict` in front: in a terminal, the command must be the one that becomes root.
    os.execv(sys.executable, command(port(), os.environ.get("MINICT_BIND", "127.0.0.1"), retries=0))


def hub() -> int:
    """Become the server of one user of JupyterHub, whose environment variables say where it listens."""
    os.chdir(CHECKOUT)
    prepare_copies()
    pull.ensure(DEFAULT)  # made now, in the learner's own volume
    os.environ.update(environment())
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub.singleuser", *_OPTIONS])


def address() -> int:
    """Wait until the service answers; print its address.  Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while not answers(port()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"JupyterLab did not answer at port {port()} for {PATIENCE} seconds")
        time.sleep(0.2)
    begin = os.environ.get("MINICT_ADDRESS", f"http://127.0.0.1:{port()}")
    if begin:
        print(f"\nThe course:  {first_page(begin, os.environ['JUPYTER_TOKEN'])}\n")
    return 0


def port() -> int:
    """The port to try first. Raises ValueError when MINICT_PORT is not a port."""
    text = os.environ.get("MINICT_PORT", "8888")
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"invalid MINICT_PORT={text}: use a number from 1 to 65535")
    return int(text)


def command(port: int, listen: str, retries: int) -> list[str]:
    """JupyterLab at *port* of the address *listen*, or at one of the *retries* next ones."""
    place = [f"--ServerApp.ip={listen}", f"--ServerApp.port={port}", f"--ServerApp.port_retries={retries}"]
    return [sys.executable, "-m", "jupyterlab", "--no-browser", *place, *_OPTIONS]


def environment() -> dict[str, str]:
    """So that `!minict images` in a cell, and `minict run -it tiny` in a terminal of the lab, find the command."""
    kernels = {} if os.geteuid() == 0 else {"JUPYTER_PATH": users_kernel()}
    return {**os.environ, **kernels, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}


def log_file() -> str:
    """Where the server's words go: beside the Python packages, or, without root, into the user's own data."""
    if os.geteuid() == 0:
        return f"{sys.prefix}/lab.log"
    home.settle(os.getuid())
    return f"{paths.data_root()}/lab.log"


def users_kernel() -> str:
    """For an ordinary user: the directory of a kernel that is inside the user's namespaces, where it is root.

    The server stays outside. The two talk through Unix sockets, which belong to the user on both sides. The kernel is
    in the network of the user's containers, whose links and firewall it may change.
    """
    home.settle(os.getuid())
    directory = f"{paths.data_root()}/jupyter"
    inside = [sys.executable, "-m", "minict", "unshare", "--network"]
    specification = {
        "display_name": "Python 3, as root of your namespaces",
        "language": "python",
        "argv": [*inside, sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "interrupt_mode": "message",
        "metadata": {"debugger": True},
    }
    os.makedirs(f"{directory}/kernels/python3", exist_ok=True)
    with open(f"{directory}/kernels/python3/kernel.json", "w") as file:
        json.dump(specification, file)
    return directory


def start(port: int) -> subprocess.Popen:
    """Start JupyterLab in a session of its own: it can outlive this process, and Ctrl-C reaches it only through this
    process."""
    with private_file(log_file()) as log:
        return subprocess.Popen(
            command(port, "127.0.0.1", retries=100),
            cwd=CHECKOUT,
            env=environment(),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def private_file(path: str):
    """Create the file *path* for writing, new, empty, and readable only by its owner.  Raises :class:`OSError`."""
    if os.path.lexists(path):
        os.remove(path)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w")


def wait_until_it_answers(server: subprocess.Popen) -> str:
    """Return the address of the course's first notebook on *server*.

    Raises ChildProcessError when the server has ended, TimeoutError when it does not answer within ``PATIENCE``.
    """
    notes = f"{jupyter_runtime_dir()}/jpserver-{server.pid}.json"  # where the server writes its port and its token
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ChildProcessError(f"JupyterLab ended with status {server.returncode}, and wrote:\n{last_words()}")
        try:
            with open(notes) as file:
                info = json.load(file)
        except (OSError, ValueError):  # not there yet, or half written
            info = None
        if info and answers(info["port"]):
            return first_page(f"http://127.0.0.1:{info['port']}", info["token"])
        time.sleep(0.1)
    server.kill()
    raise TimeoutError(f"JupyterLab did not answer for {PATIENCE} seconds, and wrote last:\n{last_words()}")


def answers(port: int) -> bool:
    """Whether JupyterLab answers at *port* of this machine."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
        return True
    except OSError:
        return False


def last_words() -> str:
    with open(log_file(), errors="replace") as file:
        return "".join(file.readlines()[-10:])


def first_page(begin: str, token: str) -> str:
    """The address of the first chapter on the server whose address begins with *begin*."""
    found = sorted(glob.glob(f"{copies.folder()}/[0-9][0-9]-*.ipynb"))
    place = os.path.relpath(found[0], CHECKOUT) if found else ".."
    path = "" if place.startswith("..") else "/tree/" + quote(place)
    return f"{begin}/lab{path}?token={token}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
