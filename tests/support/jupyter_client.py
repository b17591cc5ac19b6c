"""JupyterLab as a program sees it: its kernels and its terminals, over HTTP and web sockets, as the page in the
browser does.

::

    lab = Remote("http://127.0.0.1:8888", token)
    kernel = lab.kernel()
    assert kernel.run("print(6 * 7)") == "42\\n"
    lab.terminal().ask("minict run tiny echo hello", "hello")
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
import uuid

import websocket

PATIENCE = 300  # seconds that an answer may take on a slow, emulated machine


class Died(Exception):
    """The process behind a kernel has ended; the server starts another one by itself."""


class Remote:
    """The server at *address* (``http://HOST:PORT``), with the right *token* or another one."""

    def __init__(self, address: str, token: str):
        self.address, self.token = address, token

    def __call__(self, method: str, path: str, body: dict | None = None):
        """The answer to a request of the server's REST interface.  Raises urllib.error.HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.address}/api/{path}",
            data,
            method=method,
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            words = answer.read()
        return json.loads(words) if words else None

    def wait(self) -> None:
        """Wait until the server answers. Raises TimeoutError."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                return self("GET", "status")
            except OSError:
                time.sleep(0.2)
        raise TimeoutError(f"no JupyterLab answers at {self.address}")

    def socket(self, path: str) -> websocket.WebSocket:
        url = f"{self.address.replace('http', 'ws', 1)}/{path}"
        return websocket.create_connection(url, header=[f"Authorization: token {self.token}"], timeout=PATIENCE)

    @staticmethod
    def receive(stream: websocket.WebSocket, end: float):
        """The next message of *stream*, when it comes before *end* (of time.monotonic).  Raises TimeoutError.

        The library's own recv() would wait forever: the server's ping, every 30 seconds, restarts its timeout.
        """
        while (left := end - time.monotonic()) > 0:
            stream.settimeout(left)
            try:
                kind, frame = stream.recv_data_frame(control_frame=True)
            except websocket.WebSocketTimeoutException:
                break
            if kind == websocket.ABNF.OPCODE_TEXT:
                return json.loads(frame.data)
            if kind == websocket.ABNF.OPCODE_CLOSE:
                raise ConnectionError("the server has closed the web socket")
        raise TimeoutError("nothing came over the web socket")

    def kernel(self) -> Kernel:
        """A new kernel, of the kind that the course's notebooks ask for."""
        return Kernel(self, self("POST", "kernels", {"name": "python3"})["id"])

    def terminal(self) -> Terminal:
        return Terminal(self, self("POST", "terminals")["name"])


class Kernel:
    """A kernel of *lab*."""

    def __init__(self, lab: Remote, id: str):
        self.lab, self.id = lab, id
        self._connect()

    def _connect(self) -> None:
        """Open the channels.  They are open before the server listens at the kernel for what it prints, and what comes
        before that is lost: so ask for a small thing until it is answered, as the page in the browser does."""
        self.channels = self.lab.socket(f"api/kernels/{self.id}/channels")
        end = time.monotonic() + PATIENCE
        while True:
            number = self._send("kernel_info_request", {})
            try:
                while self._next(number, patience=1)[0] != "status":
                    pass
                return
            except TimeoutError:
                if time.monotonic() > end:
                    raise

    def _send(self, kind: str, content: dict) -> str:
        """Send a request; its number."""
        number = uuid.uuid4().hex
        header = {"msg_id": number, "msg_type": kind, "username": "", "session": "test", "date": "", "version": "5.4"}
        self.channels.send(
            json.dumps(
                {
                    "header": header,
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "channel": "shell",
                    "buffers": [],
                }
            )
        )
        return number

    def start(self, code: str) -> str:
        """Send *code* to be run; the number of the request.  The code runs when this returns."""
        begun = r"print('begun\n', end='', flush=True)"  # one write, so that it comes in one message
        number = self._send(
            "execute_request",
            {
                "code": f"{begun}\n{code}",
                "silent": False,
                "store_history": False,
                "user_expressions": {},
                "allow_stdin": False,
            },
        )
        # the status "busy" is not enough: an interrupt would come before the code
        while self._next(number)[0] != "stream":
            pass
        return number

    def finish(self, number: str) -> str:
        """Wait until the request is done; what it has printed, and the name of its exception."""
        printed = ""
        while True:
            kind, content = self._next(number)
            if kind == "stream":
                printed += content["text"]
            elif kind == "error":
                printed += content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                return printed

    def run(self, code: str) -> str:
        return self.finish(self.start(code))

    def cell(self, code: str) -> tuple[str, str]:
        """Run a cell as the page does, with its magics; what it has printed, and its exception, or an empty text."""
        printed, error = "", ""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        number = self._send("execute_request", content)
        while True:
            kind, content = self._next(number)
            if kind == "stream":
                printed += content["text"]
            elif kind == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif kind == "status" and content["execution_state"] == "idle":
                return printed, error

    def interrupt(self) -> None:
        self.lab("POST", f"kernels/{self.id}/interrupt")

    def restart(self) -> None:
        self.lab("POST", f"kernels/{self.id}/restart")
        self.channels.close()
        self._connect()

    def end(self) -> None:
        self.channels.close()
        self.lab("DELETE", f"kernels/{self.id}")

    def _next(self, number: str, patience: float = PATIENCE) -> tuple[str, dict]:
        """The next message that answers the request *number*.  Raises Died, TimeoutError."""
        end = time.monotonic() + patience
        while True:
            message = self.lab.receive(self.channels, end)
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] in ("restarting", "dead"):
                raise Died
            if message["parent_header"].get("msg_id") == number:
                return kind, content


class Terminal:
    """A terminal of *lab*, with the shell of the user who runs it."""

    def __init__(self, lab: Remote, name: str):
        self.lab, self.name, self.shown = lab, name, ""
        self.stream = lab.socket(f"terminals/websocket/{name}")

    def type(self, line: str) -> None:
        self.stream.send(json.dumps(["stdin", line + "\r"]))

    def wait_for(self, pattern: str) -> re.Match:
        """Wait until the shown text matches the regular expression *pattern*; what comes before the match is
        forgotten."""
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.shown)):
            kind, *words = self.lab.receive(self.stream, end)
            self.shown += words[0] if kind == "stdout" else ""
        self.shown = self.shown[found.end() :]
        return found

    def end(self) -> None:
        self.stream.close()
        self.lab("DELETE", f"terminals/{self.name}")
