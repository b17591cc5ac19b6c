"""``minict search``: what a registry reports about its repositories."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.parse

import pytest

from tests.support.command_line import minict, refused

RESULTS = [
    {
        "name": "nginx",
        "description": "Official build of\nNginx. " + "x" * 60,
        "star_count": 100,
        "is_official": True,
        "is_automated": False,
    },
    {"name": "me/nginx", "description": "\x1b[31mred", "star_count": 200, "is_official": False, "is_automated": True},
    {"name": "odd", "star_count": "many"},
    "nothing",
]


class Hub(http.server.BaseHTTPRequestHandler):
    answer = (200, json.dumps({"num_results": 3, "results": RESULTS}).encode())
    asked: list[str] = []  # noqa: RUF012  shared by all requests

    def do_GET(self):
        self.asked.append(self.path)
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture
def hub():
    """The address of a registry that answers searches; its class is the handler's."""
    handler = type("Handler", (Hub,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()


def test_what_is_found_is_listed_by_its_stars(hub):
    address, handler = hub
    done = minict("search", "--limit", "7", f"{address}/web server")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert lines[1].split() == ["me/nginx", "?[31mred", "200"]
    assert lines[2].startswith("nginx      Official build of Nginx. ") and lines[2].split()[-2:] == ["100", "[OK]"]
    assert "…" in lines[2] and len(lines) == 5
    (path,) = handler.asked
    assert urllib.parse.parse_qs(path.partition("?")[2]) == {"q": ["web server"], "n": ["7"]}
    assert path.startswith("/v1/search?")


@pytest.mark.parametrize(
    "flags, names",
    [
        (["--filter", "is-official=true"], "nginx"),
        (["--filter", "is-official=false", "--filter", "stars=1"], "me/nginx"),
        (["--filter", "stars=150"], "me/nginx"),
        (["--limit", "1"], "me/nginx"),
    ],
)
def test_filters_and_a_limit(hub, flags, names):
    done = minict("search", "--format", "{{.Name}}", *flags, f"{hub[0]}/nginx")
    assert done.stdout.split() == names.split()


@pytest.mark.parametrize(
    "answer, told",
    [
        ((404, b"none here"), ["404"]),
        ((200, b"<html>"), ["something else"]),
        ((200, b'{"results": {}}'), ["something else"]),
    ],
)
def test_a_registry_without_a_search_is_reported(hub, answer, told):
    hub[1].answer = answer
    refused(minict("search", f"{hub[0]}/nginx"), *told)


@pytest.mark.parametrize(
    "words, told",
    [
        (["nginx"], ["index.docker.io"]),  # there is no network here
        (["--limit", "0", "nginx"], ["--limit 0", "1 to 100"]),
        (["--limit", "x", "nginx"], ["--limit x"]),
        (["--filter", "colour=red", "nginx"], ["colour"]),
        (["--filter", "stars=many", "nginx"], ["stars=many"]),
        (["127.0.0.1:1/nginx"], ["127.0.0.1:1"]),
    ],
)
def test_an_error_or_a_missing_network_is_one_sentence(words, told):
    refused(minict("search", *words), *told)
