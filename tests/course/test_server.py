"""The last step of ``make lab``, and the first message that an ordinary user sees."""

from __future__ import annotations

import glob
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import pytest

from tests.support.paths import ROOT

SERVER = [sys.executable, "-m", "minict.lab.server"]
ADDRESS = r"The course:  (http://127\.0\.0\.1:(\d+)/lab\S*\?token=(\w{32,}))\n"


@pytest.fixture
def environment(tmp_path):
    """Jupyter's own files, away from the user's; its temporary ones where the paths of sockets are short enough."""
    with tempfile.TemporaryDirectory(prefix="t-") as short:
        yield {
            **os.environ,
            "MINICT_PORT": "8888",
            "PYTHONPATH": ROOT,
            "HOME": str(tmp_path),
            "MINICT_WORK": str(tmp_path / "work"),
            "TMPDIR": short,
        }


def listening(port: int) -> list[str]:
    """The addresses, in the kernel's hexadecimal notation, at which something listens on *port*."""
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        if os.path.exists(f"/proc/net/{name}")
        for line in open(f"/proc/net/{name}").readlines()[1:]
    ]
    return [row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port]


def test_the_course_is_at_the_next_free_port_on_loopback_behind_a_token_and_ctrl_c_ends_it(environment):
    with socket.create_server(("127.0.0.1", 8888)):
        server = subprocess.Popen(SERVER, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            words = next(line for line in server.stdout if line.startswith("The course:"))
            address, port, token = re.fullmatch(ADDRESS, words).groups()
            assert port != "8888" and listening(int(port)) == ["0100007F"]
            assert urllib.request.urlopen(address).status == 200
            contents = f"http://127.0.0.1:{port}/api/contents"
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(contents)
            with urllib.request.urlopen(f"{contents}?token={token}") as answer:
                assert b'"minict"' in answer.read(), "the package is beside the notebooks"
            log = f"{sys.prefix}/lab.log"
            assert stat.S_IMODE(os.stat(log).st_mode) == 0o600 and token not in open(log).read()
            start = urllib.request.Request(f"http://127.0.0.1:{port}/api/kernels?token={token}", b"{}", method="POST")
            kernel = json.load(urllib.request.urlopen(start))["id"]
            assert_nobody_else_reaches(kernel)
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=60)
    assert server.returncode == 0 and listening(int(port)) == []
    assert not glob.glob(f"{environment['TMPDIR']}/minict-lab-*"), "the sockets' directory goes with the server"


def assert_nobody_else_reaches(kernel: str) -> None:
    """Its channels are sockets in a directory that only their owner may enter, and none is one of TCP."""
    end = time.monotonic() + 120
    while not (pids := [pid for pid in filter(str.isdigit, os.listdir("/proc")) if kernel in command_of(pid)]):
        assert time.monotonic() < end, "there is no kernel"
        time.sleep(0.05)
    notes = next(word for word in command_of(pids[0]).split("\0") if word.endswith(".json"))
    with open(notes) as file:
        info = json.load(file)
    directory = os.path.dirname(info["ip"])
    assert info["transport"] == "ipc" and len(info["ip"]) < 104
    assert os.stat(directory).st_mode & 0o777 == 0o700 and os.stat(directory).st_uid == os.getuid()
    assert stat.S_IMODE(os.stat(notes).st_mode) == 0o600
    while not os.path.exists(f"{info['ip']}-{info['shell_port']}"):
        assert time.monotonic() < end, "there is no socket"
        time.sleep(0.05)


def command_of(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""


@pytest.mark.parametrize("port", ["70000", "0", "-1", "http", ""])
def test_an_invalid_port_is_named(environment, port):
    environment["MINICT_PORT"] = port
    done = subprocess.run(SERVER, env=environment, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"minict: invalid MINICT_PORT={port}: use a number from 1 to 65535\n"


def test_a_server_that_does_not_start_shows_its_last_output(environment, tmp_path):
    os.makedirs(tmp_path / ".jupyter")
    settings = tmp_path / ".jupyter/jupyter_server_config.py"
    settings.write_text("print('no, not today', flush=True)\nraise SystemExit(4)\n")
    done = subprocess.run(SERVER, env=environment, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("minict: JupyterLab ended with status 4") and "no, not today" in done.stderr


@pytest.mark.parametrize("target", ["test", "bench"])
def test_make_without_root_says_what_to_type(target):
    # in a user namespace: the same rights to read, and no root
    somebody = ["unshare", "--map-user=1000", "--map-group=1000"]
    done = subprocess.run([*somebody, "make", "--no-print-directory", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == f"Containers need root: run  sudo make {target}"
    assert done.stdout == ""
