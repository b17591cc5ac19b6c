"""``make lab`` without root: JupyterLab is the user's, and its kernels are root in the user's namespaces."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

from tests.support.command_line import wait_until
from tests.support.ordinary_user import UID


def command_line(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""


def test_the_server_is_outside_and_its_kernels_are_inside(ada):
    ada.environment["MINICT_WORK"] = f"{ada.home}/work"
    words = ada.words(sys.executable, "-m", "minict.lab.server")
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ada.home)
    try:
        line = next((line for line in server.stdout if line.startswith("The course:")), None)
        assert line, server.stderr.read()
        port, token = re.search(r"127\.0\.0\.1:(\d+)/.*token=(\w+)", line).groups()
        start = urllib.request.Request(f"http://127.0.0.1:{port}/api/kernels?token={token}", b"{}", method="POST")
        kernel = json.load(urllib.request.urlopen(start))["id"]

        def found() -> list[int]:
            here = os.stat("/proc/self/ns/user").st_ino
            mine = [pid for pid in ada.processes() if kernel in command_line(pid)]
            return [pid for pid in mine if os.stat(f"/proc/{pid}/ns/user").st_ino != here]

        wait_until(found)
        assert os.stat(f"/proc/{found()[0]}").st_uid == UID
        file = next(word for word in command_line(found()[0]).split("\0") if word.endswith(".json"))
        with open(file) as text:
            channels = json.load(text)
        assert channels["transport"] == "ipc"
        wait_until(lambda: all(os.path.exists(f"{channels['ip']}-{number}") for number in range(1, 6)))
        assert os.stat(f"{ada.home}/.local/share/minict/lab.log").st_uid == UID
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
        del ada.environment["MINICT_WORK"]
    wait_until(lambda: not [pid for pid in ada.processes() if "ipykernel" in command_line(pid)])
