"""The words application runs in three containers, by address and by name, and says which part does not answer."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import urllib.request

import pytest

import minict
from minict.engine.system.prune import prune
from minict.kernel.namespaces import CLONE_NEWNET, unshare
from minict.kernel.network import loopback_up
from minict.lab import words
from minict.runtime.process import spawn


@pytest.fixture
def boxes(tiny):
    """Three containers on one network."""
    with contextlib.ExitStack() as stack:
        stack.callback(prune)  # the bridge and the firewall's rules stay for the next container
        yield [stack.enter_context(minict.run("tiny", "sleep 100000", detach=True, name=name)) for name in "abc"]


def test_three_containers_make_one_page(boxes):
    database, middle, web = boxes
    with (
        words.start_database(database),
        words.start_words(middle, database.address),
        words.start_front(web, middle.address) as front,
    ):
        text = words.ask(web.address)
        assert text.splitlines()[0] == "a curious container knocks at port 80"
        assert f"front: {web.address}, asked by " in text
        assert f"words: {middle.address}\ndatabase: {database.address}\n" in text
        assert words.ask(web.address).splitlines()[0] == "a polite penguin listens to the kernel"
        assert words.ask("127.0.0.1", inside=web).startswith("a sleepy whale")
        assert f"asked by {database.address}" in words.ask(web.address, inside=database)
        page = words.ask(web.address, path="/")
        assert page.startswith("<!doctype html>") and "<h1>a tiny bridge waits for the world</h1>" in page
        assert words.ask(web.address, path="/favicon.ico") == "there is nothing here\n"
        assert repr(front) == "<front: listens on port 80>"
    with pytest.raises(ConnectionRefusedError):
        words.ask(web.address)


def test_a_browser_on_this_machine_opens_a_published_port(boxes):
    with (
        minict.run("tiny", "sleep 100000", detach=True, publish="8080:80") as web,
        words.start_front(web, boxes[0].address),
        words.start_words(boxes[0], boxes[1].address),
        words.start_database(boxes[1]),
        urllib.request.urlopen("http://127.0.0.1:8080/") as page,
    ):
        assert page.headers["Content-Type"].startswith("text/html")
        assert "<h1>a curious container knocks at port 80</h1>" in page.read().decode()


def test_a_server_finds_the_next_one_as_its_container_does(boxes):
    with (
        minict.run("tiny", "sleep 100000", detach=True, add_host=[f"db:{boxes[0].address}"]) as middle,
        words.start_database(boxes[0]),
        words.start_words(middle),
    ):
        assert words.ask("127.0.0.1", inside=middle).startswith("a curious container")


def test_the_page_names_the_part_that_does_not_answer(boxes):
    _, middle, web = boxes
    with words.start_front(web, middle.address), words.start_words(middle, "10.254.254.254:99"):
        refused = words.ask(web.address).splitlines()[0]
        assert refused.startswith("words cannot reach database at 10.254.254.254:99: ")
    with words.start_front(web, f"{middle.address}:81"):
        assert words.ask(web.address).startswith(f"front cannot reach words at {middle.address}:81: Connection refused")
        assert "Connection refused" in words.ask(web.address, path="/")


def test_a_server_ends_with_its_container_and_with_stop(boxes):
    server = words.start_database(boxes[0])
    inside = os.readlink(f"/proc/{server.pid}/ns/pid")
    assert inside == os.readlink(f"/proc/{boxes[0].pid}/ns/pid")
    boxes[0].stop(timeout=0)
    server.stop()
    assert not os.path.exists(f"/proc/{server.pid}") and repr(server) == "<database: stopped>"
    server.stop()


def test_a_port_is_taken_once_in_each_network(boxes):
    with words.start_database(boxes[0]), words.start_database(boxes[1]):
        with pytest.raises(OSError, match="database cannot listen on 0.0.0.0:3306") as error:
            words.start_database(boxes[0])
        assert error.value.errno == errno.EADDRINUSE
    words.start_database(boxes[0]).stop()  # the port is free again at once


def test_a_process_stands_for_its_network_namespace(network_namespace):
    with words.start_front(network_namespace, "127.0.0.1:1", listen="127.0.0.1", port=8080) as front:
        assert os.readlink(f"/proc/{front.pid}/ns/net") == os.readlink(f"/proc/{network_namespace}/ns/net")
        assert "Connection refused" in words.ask("127.0.0.1", 8080, inside=network_namespace)
        with pytest.raises(ConnectionRefusedError):
            words.ask("127.0.0.1", 8080)


@pytest.fixture
def network_namespace():
    """The number of a process in a network namespace of its own, whose loopback is up."""
    ready, told = os.pipe()

    def live():
        unshare(CLONE_NEWNET)
        loopback_up()
        os.write(told, b"!")
        signal.pause()

    pid = spawn(live)
    os.read(ready, 1)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
