"""The course in the browser: JupyterLab on this machine's loopback address, behind a token.

``python -m minict.lab.server`` is the last step of ``make lab``.  It prints the address as soon as the server answers
there, and stays until Ctrl-C.  Settings, as environment variables:

* ``MINICT_PORT``: the port; when it is taken, the next free one (8888)
* ``JUPYTER_TOKEN``: the token (a new one each time)
* ``LAB_BACKGROUND``: when set, the server goes on by itself

The server's log is ``.venv/lab.log``.

The server and its kernels are root's, because containers are: whoever has the token has this machine.  Hence
loopback alone.
"""
from __future__ import annotations

import glob
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from urllib.parse import quote

from jupyter_core.paths import jupyter_runtime_dir

LOG = f"{sys.prefix}/lab.log"
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 120  # seconds until the server must answer: a cold start on a slow, emulated machine takes most of them


def main() -> int:
    background = bool(os.environ.get("LAB_BACKGROUND"))
    try:
        server = start(port())
        address = wait_until_it_answers(server)
    except (ValueError, ChildProcessError, TimeoutError) as error:
        print(f"minict: {error}", file=sys.stderr)
        return 1
    print(f"\nThe course:  {address}\n")
    if background:
        print(f"It goes on in the background; this ends it: kill {server.pid}", flush=True)
        return 0
    print("Open it in a browser on this machine.  Ctrl-C here ends the course.", flush=True)
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, lambda *_: server.terminate())  # it ends its kernels, and then itself
    server.wait()
    return 0


def port() -> int:
    """The port to try first.  Raises ValueError when MINICT_PORT is none."""
    text = os.environ.get("MINICT_PORT", "8888")
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"MINICT_PORT={text} is no port: give a number from 1 to 65535")
    return int(text)


def start(port: int) -> subprocess.Popen:
    """Start JupyterLab in a session of its own: it can outlive us, and a Ctrl-C reaches it through us alone."""
    # so that `!minict images` in a cell, and `minict run -it tiny` in a terminal of the lab, find the command
    environment = {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
    with open(LOG, "w") as log:
        return subprocess.Popen([
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=100",
            f"--ServerApp.root_dir={CHECKOUT}",  # the notebooks, and the package's source beside them
        ], cwd=CHECKOUT, env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


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
            urllib.request.urlopen(f"http://127.0.0.1:{info['port']}/api", timeout=5).close()
            return f"http://127.0.0.1:{info['port']}/lab{first_notebook()}?token={info['token']}"
        except (OSError, ValueError):  # not there yet, half written, or not answering yet
            time.sleep(0.1)
    server.kill()
    raise TimeoutError(f"JupyterLab did not answer for {PATIENCE} seconds, and wrote last:\n{last_words()}")


def last_words() -> str:
    with open(LOG, errors="replace") as file:
        return "".join(file.readlines()[-10:])


def first_notebook() -> str:
    """The path below ``/lab`` that opens the first chapter."""
    found = sorted(glob.glob(f"{CHECKOUT}/notebooks/[0-9][0-9]-*.ipynb"))
    return "/tree/" + quote(os.path.relpath(found[0], CHECKOUT)) if found else ""


if __name__ == "__main__":
    sys.exit(main())
