"""Real servers in containers, from a real registry: nginx published, MariaDB killed with its rows on a volume, and
both as one."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from minict.lab.applications import IMAGES
from tests.support.application_images import NAMES, make
from tests.support.command_line import minict
from tests.support.registry_server import RegistryServer, tool


def type_(*words: str) -> str:
    """Run ``minict WORDS…``, which must succeed; return its output."""
    done = minict(*words)
    assert done.returncode == 0, done
    return done.stdout.strip()


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> dict[str, str]:
    """The names of the images ``web`` and ``db``, pulled from a registry on this machine."""
    make(tmp_path_factory.mktemp("applications"))
    with RegistryServer(tmp_path_factory.mktemp("registry")) as registry:
        names = {name: registry.name(name) for name in NAMES}
        for name, full in names.items():
            type_("tag", name, full)
            type_("push", full)
            type_("rmi", name, full)
            type_("pull", full)
    yield names
    type_("rmi", *names.values(), *IMAGES)


@pytest.fixture
def tidy():
    """Afterwards nothing is left of what a test made; its names say what that can be."""
    yield
    if there := type_("ps", "-a", "-q").split():
        type_("rm", "-f", "-v", *there)
    for kind in ("network", "volume"):
        if {"shop", "rows"} & set(type_(kind, "ls", "-q", "--format", "{{.Name}}").split()):
            type_(kind, "rm", "shop" if kind == "network" else "rows")
    type_("prune")


@pytest.fixture
def elsewhere():
    """Another machine, with a cable to this one: here 192.0.2.1, there 192.0.2.2; a prefix of commands that run
    there."""
    with subprocess.Popen(["unshare", "--net", "sleep", "1000"]) as machine:
        try:
            there = ["nsenter", "--target", str(machine.pid), "--net"]
            wait_until_in_another_network(machine.pid)
            tool("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(machine.pid))
            for prefix, address in (([], "192.0.2.1/24"), (there, "192.0.2.2/24")):
                tool(*prefix, "ip", "address", "add", address, "dev", "cable")
                tool(*prefix, "ip", "link", "set", "cable", "up")
            yield there
        finally:
            machine.kill()
            subprocess.run(["ip", "link", "del", "cable"], stderr=subprocess.DEVNULL)


def wait_until_in_another_network(pid: int) -> None:
    while os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
        time.sleep(0.005)


def fetch(url: str, there: list[str] = ()) -> str | None:
    """The page at *url*, or None without an answer; *there*: from another machine."""
    done = subprocess.run(
        [*there, "timeout", "5", "busybox", "wget", "-q", "-O", "-", url], capture_output=True, text=True
    )
    return done.stdout if done.returncode == 0 else None


def eventually(function, *arguments, seconds: float = 20):
    """The first result of *function* that is one."""
    end = time.monotonic() + seconds
    while not (result := function(*arguments)):
        assert time.monotonic() < end, f"{function.__name__}{arguments} gave nothing for {seconds} s"
        time.sleep(0.05)
    return result


def sql(container: str, statement: str) -> str | None:
    """What MariaDB answers inside of *container*; None while it does not. By TCP: at its first start, a temporary
    server answers at the socket file."""
    words = ["mariadb", "--host", "127.0.0.1", "--user", "app", "--skip-ssl", "-N", "-e", statement]
    done = minict("exec", container, *words)
    return done.stdout if done.returncode == 0 else None


def answers(container: str) -> bool:
    return sql(container, "SELECT 1") == "1\n"


WORDS = (
    "CREATE TABLE shop.words (number INT PRIMARY KEY, word TEXT) ENGINE=InnoDB; "
    "INSERT INTO shop.words VALUES (1, 'rows'), (2, 'that'), (3, 'stay')"
)


def test_two_images_share_their_layers(images):
    listed = [type_("image", "inspect", "--format", "{{.RootFS.Layers}}", name) for name in images.values()]
    of_packages = [layers.strip("[]").split()[:2] for layers in listed]
    assert of_packages[0] == of_packages[1]


def test_nginx_answers_on_every_way_to_it_and_stops_when_it_stops(images, tidy, elsewhere):
    type_("run", "-d", "--name", "web", "-p", "8080:80", images["web"])
    page = "nginx in a container of minict\n"
    assert eventually(fetch, "http://127.0.0.1:8080/") == page
    assert fetch("http://localhost:8080/") == page
    assert fetch("http://192.0.2.1:8080/") == page, "by another address of this machine"
    assert fetch("http://192.0.2.1:8080/", elsewhere) == page, "from another machine"
    assert type_("port", "web", "80") == "0.0.0.0:8080"
    assert type_("logs", "web").count("GET / HTTP/1.1") == 4
    type_("stop", "-t", "5", "web")
    assert fetch("http://127.0.0.1:8080/") is None and fetch("http://192.0.2.1:8080/", elsewhere) is None
    type_("start", "web")
    assert eventually(fetch, "http://192.0.2.1:8080/", elsewhere) == page


def test_rows_outlive_a_database_that_was_killed(images, tidy):
    type_("volume", "create", "rows")
    start = ["run", "-d", "--name", "db", "-v", "rows:/var/lib/mysql", "--memory", "512m", images["db"]]
    type_(*start)
    eventually(answers, "db")
    assert sql("db", WORDS) == ""
    type_("kill", "-s", "KILL", "db")
    assert type_("wait", "db") == "137"
    type_("rm", "db")
    type_(*start)
    eventually(answers, "db")
    assert sql("db", "SELECT word FROM shop.words ORDER BY number") == "rows\nthat\nstay\n"
    assert "rows" in type_("volume", "ls", "-q").split()


def test_a_front_finds_its_database_by_name(images, tidy, elsewhere):
    type_("network", "create", "shop")
    database = ["run", "-d", "--name", "db", "--network", "shop", "-v", "rows:/var/lib/mysql", images["db"]]
    type_(*database)
    type_("run", "-d", "--name", "front", "--network", "shop", "-p", "8080:80", images["web"], "front")
    eventually(answers, "db")
    assert sql("db", WORDS) == ""
    page = "http://192.0.2.1:8080/cgi-bin/words"
    assert eventually(fetch, page, elsewhere) == "rows\nthat\nstay\n"
    type_("rm", "-f", "db")
    assert "rows" not in (fetch(page, elsewhere) or ""), "the name is gone with its container"
    type_(*database)
    eventually(answers, "db")
    assert eventually(fetch, page, elsewhere) == "rows\nthat\nstay\n", "its successor has the name and the rows"
