"""The words application: three small servers, each in a container of its own, that make one page.

::

    browser ──> front :80 ──> words :80 ──> database :3306

    with (
        minict.run("tiny", "sleep 100000", detach=True) as db,
        minict.run("tiny", "sleep 100000", detach=True) as middle,
        minict.run("tiny", "sleep 100000", detach=True, publish="8080:80") as web,
        words.start_database(db),
        words.start_words(middle, database=db.address),
        words.start_front(web, words=middle.address),
    ):
        print(words.ask("127.0.0.1", 8080))

The database has lists of words, words makes a sentence of four of them, and front makes a page of the sentence.  A
container of the image ``tiny`` has no Python: each server is a child of this notebook that *joins* the container's
namespaces, as ``exec`` does.  So it has the container's addresses, routes, ``/etc/hosts`` and process numbers, and
it ends when the container ends.  It is not limited as the container is: it has no control group and no seccomp filter.

Where a server runs, its *inside*, is a container of :func:`minict.run`; or the number of a process, of which it joins
the network namespace alone; or ``None``, the notebook's own network.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401  getaddrinfo() needs it; in a container there is no standard library to import from
import html
import itertools
import os
import signal
import socket
import threading
import warnings

from minict.kernel import namespaces, process

from .child import run_in_child

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = {
    "adjective": ["curious", "polite", "sleepy", "brave", "tiny"],
    "noun": ["container", "penguin", "whale", "packet", "bridge"],
    "verb": ["knocks at", "listens to", "looks for", "writes to", "waits for"],
    "object": ["port 80", "the kernel", "another container", "a friend", "the world"],
}
_PATIENCE = 4  # seconds until a server gives up on the next one: the kernel itself needs 3 to find that nobody is there
_WHOLE_PATIENCE = 20  # seconds for all servers together


# ---- the three servers -----------------------------------------------------------------------------------------


def start_database(inside=None, *, port: int = 3306, listen: str = "0.0.0.0") -> Server:
    """Start the database *inside* a container: it answers ``noun`` with a noun, each time the next one of its list.

    *listen*: the address that it listens on.  Raises :class:`OSError`, such as EADDRINUSE.
    """
    lists = {kind: itertools.cycle(words) for kind, words in _WORDS.items()}

    def answer(request: str, here: str, peer: str) -> str:
        return next(lists.get(request.strip(), itertools.repeat("?"))) + "\n"

    return Server("database", answer, inside, listen, port)


def start_words(inside=None, database: str = "db", *, port: int = 80, listen: str = "0.0.0.0") -> Server:
    """Start words *inside* a container: it makes sentences (HTTP) of what it gets from *database*, a host or host:port.

    When the database does not answer, it says so, with the kernel's reason.  Raises :class:`OSError`.
    """

    def answer(request: str, here: str, peer: str) -> str:
        try:
            sentence = [_talk(database, 3306, f"{kind}\n", _PATIENCE)[0].strip() for kind in _WORDS]
            other = _talk(database, 3306, "\n", _PATIENCE)[1]
        except OSError as error:
            return _http(f"words cannot reach database at {database}: {_reason(error)}\nwords: {here}\n", status=502)
        return _http(f"a {' '.join(sentence)}\nwords: {here}\ndatabase: {other}\n")

    return Server("words", answer, inside, listen, port)


def start_front(inside=None, words: str = "words", *, port: int = 80, listen: str = "0.0.0.0") -> Server:
    """Start front *inside* a container: it makes a page of what it gets from *words*, a host or host:port.

    ``/text`` is the same as text: the sentence, and a line for each server that took part.  When words does not answer,
    the page says so, with the kernel's reason.  Raises :class:`OSError`.
    """

    def answer(request: str, here: str, peer: str) -> str:
        path = (request.split() + ["", ""])[1]
        if path not in ("/", "/text"):
            return _http("there is nothing here\n", status=404)
        try:
            status, text = _http_answer(_talk(words, 80, "GET / HTTP/1.0\r\n\r\n", _WHOLE_PATIENCE / 2)[0])
        except OSError as error:
            status, text = 502, f"front cannot reach words at {words}: {_reason(error)}\n"
        sentence, _, rest = text.partition("\n")
        text = f"{sentence}\nfront: {here}, asked by {peer}\n{rest}"
        return _http(text, status=status) if path == "/text" else _http(_page(text), status=status, kind="text/html")

    return Server("front", answer, inside, listen, port)


def ask(host: str, port: int = 80, *, inside=None, path: str = "/text") -> str:
    """The text that front, or words, at *host* gives to a program *inside* a container, or to one of this machine.

    The first line is the sentence, or why there is none.  Raises :class:`OSError` when nobody answers.
    """

    def get():
        try:
            _join(inside)
            return _talk(host, port, f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n", _WHOLE_PATIENCE)[0]
        except OSError as error:
            return error

    answer = run_in_child(get, timeout=_WHOLE_PATIENCE + 10)
    if isinstance(answer, OSError):
        raise answer
    return _http_answer(answer)[1]


class Server:
    """A server that runs, until :meth:`stop`, the end of a ``with`` statement, or the end of its container.

    *pid*: the server's number on this machine.  *tier*: ``front``, ``words`` or ``database``.  *answer*: gets what a
    client has sent, the address at which it came in, and the client's address; returns what the client gets.

    Raises :class:`OSError` when it cannot listen.
    """

    def __init__(self, tier: str, answer: Callable[[str, str, str], str], inside, listen: str, port: int):
        self.tier, self.port = tier, port
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork while there are threads
            self._helper = os.fork()
        if not self._helper:
            _helper(writer, answer, inside, listen, port)
        os.close(writer)
        with open(reader) as pipe:
            told = pipe.read().split("\n", 1)
        self.pid, error = int(told[0] or 0), int((told + [""])[1] or 0)
        self._pidfd = -1
        if error or not self.pid:
            os.waitpid(self._helper, 0)
            raise OSError(error, f"{tier} cannot listen on {listen}:{port}: {os.strerror(error)}")
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(self.pid)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{self.tier}: {'stopped' if not self._helper else f'listens on port {self.port}'}>"

    def stop(self) -> None:
        """End the server.  Nothing happens when it has ended already."""
        if not self._helper:
            return
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._helper, 0)
        self._helper = 0


# ---- the processes ---------------------------------------------------------------------------------------------


def _helper(writer: int, answer, inside, listen: str, port: int) -> None:
    """The forked child: it joins, and forks the server, because a process that joins a pid namespace stays outside.

    Through *writer* it tells the server's number, and the server an errno, 0 for success.  It never returns.
    """
    try:
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        signal.set_wakeup_fd(-1)  # else a signal here would wake the notebook's event loop
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for descriptor in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        os.closerange(3, writer)
        os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
        try:
            _join(inside)
        except OSError as error:
            os.write(writer, f"0\n{error.errno}".encode())
            return
        told, tell = os.pipe()
        server = os.fork()
        if not server:
            os.read(told, 1)  # the number comes before the errno
            _serve(writer, answer, listen, port)
        os.write(writer, f"{server}\n".encode())
        os.close(writer)
        os.write(tell, b"!")
        os.waitpid(server, 0)
    finally:
        os._exit(0)


def _join(inside) -> None:
    """Move this process into the namespaces of *inside*.  Raises :class:`OSError`, ESRCH when it has ended."""
    if inside is None:
        return
    pid, kinds = (inside, 0) if isinstance(inside, int) else (inside.pid, _OF_A_CONTAINER)
    if not pid:
        raise ProcessLookupError(3, os.strerror(3))
    pidfd = os.pidfd_open(pid)
    try:
        namespaces.setns(pidfd, kinds | namespaces.CLONE_NEWNET)
    finally:
        os.close(pidfd)


_OF_A_CONTAINER = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWPID | namespaces.CLONE_NEWUTS | namespaces.CLONE_NEWIPC


def _serve(writer: int, answer, listen: str, port: int) -> None:
    """Listen, tell that through *writer*, and answer each client in a thread of its own, forever."""
    try:
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            server = socket.create_server((listen, port), backlog=16)
        except OSError as error:
            os.write(writer, str(error.errno).encode())
            return
        os.write(writer, b"0")
        os.close(writer)
        while True:
            connection, peer = server.accept()
            threading.Thread(target=_attend, args=(connection, peer[0], answer), daemon=True).start()
    finally:
        os._exit(0)


def _attend(connection: socket.socket, peer: str, answer) -> None:
    """Read one request, which ends with an empty line or, at the database, with any line, and answer it."""
    with connection, contextlib.suppress(OSError):
        connection.settimeout(_WHOLE_PATIENCE)
        request = b""
        while not request.endswith((b"\r\n\r\n", b"\n\n")) and (request.startswith(b"GET ") or b"\n" not in request):
            data = connection.recv(4096)
            if not data or len(request) > 65536:
                return
            request += data
        connection.sendall(answer(request.decode(errors="replace"), connection.getsockname()[0], peer).encode())


def _talk(where: str, port: int, words: str, seconds: float) -> tuple[str, str]:
    """Send *words* to the server at *where*, a host or host:port; its answer, and its address."""
    host, _, given = where.partition(":")
    with socket.create_connection((host, int(given or port)), timeout=seconds) as connection:
        connection.sendall(words.encode())
        with connection.makefile("rb") as answer:
            return answer.read().decode(errors="replace"), connection.getpeername()[0]


def _reason(error: OSError) -> str:
    return error.strerror or ("timed out" if isinstance(error, TimeoutError) else str(error))


# ---- what is sent ----------------------------------------------------------------------------------------------


def _http(body: str, *, status: int = 200, kind: str = "text/plain") -> str:
    """An answer of HTTP/1.0.  Source: RFC 1945."""
    reason = {200: "OK", 404: "Not Found", 502: "Bad Gateway"}[status]
    head = f"Content-Type: {kind}; charset=utf-8\r\nContent-Length: {len(body.encode())}\r\nCache-Control: no-store"
    return f"HTTP/1.0 {status} {reason}\r\n{head}\r\n\r\n{body}"


def _http_answer(text: str) -> tuple[int, str]:
    """Status and body of an answer of HTTP.  Raises :class:`OSError` when it is none."""
    head, _, body = text.partition("\r\n\r\n")
    words = head.split(" ", 2)
    if len(words) < 3 or not words[1].isdecimal():
        raise ConnectionResetError(104, os.strerror(104))
    return int(words[1]), body


def _page(text: str) -> str:
    """*text*, a sentence and a line for each server, as a page."""
    sentence, *servers = [html.escape(line) for line in text.splitlines()]
    rows = "".join("<li><b>{}</b> {}</li>".format(*server.partition(": ")[::2]) for server in servers)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>words</title><style>
  body {{ font: 18px/1.5 sans-serif; margin: 12vh auto; max-width: 34em; padding: 0 1em; color: #1f2937 }}
  h1 {{ font-size: 2.2em; line-height: 1.2 }}
  ol {{ padding-left: 1.2em; color: #6b7280 }} b {{ color: #ea580c }}
</style></head><body><h1>{sentence}</h1><ol>{rows}</ol></body></html>
"""
