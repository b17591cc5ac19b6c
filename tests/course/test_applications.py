"""Chapter 18's images, from each place where they can be had, and its experiments."""

from __future__ import annotations

import os
import socket

import pytest

import minict
from minict.engine.images import image as images
from minict.engine.volumes import store as volumes
from minict.lab import applications, lost, readiness, shop
from minict.runtime.errors import ContainerError
from tests.support.command_line import minict as command
from tests.support.registry_server import RegistryServer
from tests.support.world import host_network

WEB, DB = applications.IMAGES


@pytest.fixture(scope="module")
def made(tiny):
    """Both images, made of packages in a world without a network."""
    with host_network():
        applications.packages()
    assert applications.application_images() == [WEB, DB]


def forget():
    for name in (WEB, DB):
        images.remove(name)


def test_without_a_network_the_images_are_made_of_packages(made):
    assert str(applications.where_from()).count("made of packages of this machine's distribution") == 2
    assert minict.image(WEB).config["Cmd"] == ["nginx", "-g", "daemon off;"]
    for name, program in ((WEB, "nginx"), (DB, "mariadb")):
        assert program in minict.run(name, [program, "-V"], network="none").output
    assert minict.image(WEB).digests[0] == minict.image(DB).digests[0], "they share the packages"


def test_a_mirror_of_docker_hub_is_asked_before(made, tmp_path, monkeypatch):
    ids = [minict.image(name).id for name in (WEB, DB)]
    with RegistryServer(tmp_path) as registry:
        for name in (WEB, DB):
            full = registry.name(f"library/{name}")
            assert command("tag", name, full).returncode == 0
            assert command("push", full).returncode == 0
            images.remove(full)
        forget()
        monkeypatch.setenv("MINICT_MIRROR", registry.url)
        applications.application_images()
        pulled = [path for method, path, _ in registry.requests() if method == "GET" and "/blobs/" in path]
        assert len(pulled) >= 2, "at least the configurations: layers may be known here from the build"
        assert [minict.image(name).id for name in (WEB, DB)] == ids
        before = len(registry.requests())
        applications.application_images()
        assert len(registry.requests()) == before, "what is here is not asked for again"


def test_without_anything_the_reason_is_said(made, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    forget()
    with pytest.raises(ContainerError, match=r"can't be pulled \(.*\), nor made of this machine's packages: .*apt-get"):
        applications.application_images()
    monkeypatch.undo()
    applications.application_images()


def test_the_recipes_of_unknown_images():
    with pytest.raises(SystemExit, match="there is no recipe for apache"):
        applications.main(["apache"])


@pytest.fixture
def start(made, tmp_path):
    """A function that starts MariaDB on one volume; the volume goes afterwards."""

    def start(exchange=None):
        (tmp_path / "shop.sql").write_text("CREATE TABLE orders (word TEXT); INSERT INTO orders VALUES ('soup')")
        tmp_path.chmod(0o755)
        names = ["DATABASE=shop", "USER=app", "PASSWORD=app", "ALLOW_EMPTY_ROOT_PASSWORD=1"]
        volume = ["test-rows:/var/lib/mysql", f"{tmp_path}:/docker-entrypoint-initdb.d:ro"]
        return minict.run(
            DB,
            ["mariadbd", "--innodb-buffer-pool-size=16M"],
            detach=True,
            env=[f"MARIADB_{name}" for name in names],
            volume=[*volume, f"{exchange}:/exchange"] if exchange else volume,
            network="none",
        )

    yield start
    volumes.remove("test-rows")


@pytest.mark.parametrize("flush, broken", [(0, True), (1, False), (2, False)])
def test_a_kill_breaks_promises_that_only_the_process_knows(start, flush, broken):
    with start() as box:
        assert lost.answer(box, "SELECT word FROM orders") == "soup"
    shot = lost.shoot(start, flush, promises=100)
    assert shot.promised >= 100 and (shot.lost > 0) is broken
    assert shot.found <= shot.promised + 1, "one row may be committed without anybody knowing"


def test_the_first_start_needs_a_word_about_the_password(made):
    finished = minict.run(DB, network="none", tmpfs=["/var/lib/mysql"])
    assert finished.status == 1 and "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD" in finished.output


def test_the_entry_point_runs_other_programs(made):
    assert minict.run(DB, "echo hello", network="none", tmpfs=["/var/lib/mysql"]).output == "hello\n"


def test_pages_that_only_memory_has():
    path = f"/var/tmp/minict-test-{os.getpid()}"
    try:
        with open(path, "w") as file:
            assert lost.unsaved(path) == lost._look_up(file.fileno()) == 0
            file.write("x" * 10_000)
            file.flush()
            with open(path) as again:
                assert lost.unsaved(path) == lost._look_up(again.fileno()) == 3
            os.fsync(file.fileno())
            with open(path) as again:
                assert lost.unsaved(path) == lost._look_up(again.fileno()) == 0
    finally:
        os.remove(path)


def test_lanes_say_what_was_answered_when():
    count = iter(range(1000))
    flickering = [False, True, True, False] + [True] * 100
    seen = readiness.lanes({"steady": lambda: True, "flickers": lambda: flickering[next(count)]})
    assert seen.sentence.endswith("to each question: steady, flickers")
    (first, second), (third, _) = seen.spans("flickers")
    assert 0 < first < second < third and len(seen.asked) == 7
    assert len(seen.moments) == 20 and "steady, flickers" in seen.draw(seen.moments[3])


def test_lanes_end_where_nothing_ever_answers():
    assert "never: quiet" in readiness.lanes({"quiet": lambda: False}, seconds=0.1).sentence


def test_the_doctor_writes_into_the_record_of_the_container(tiny):
    with minict.run(tiny, "sleep 1000", network="none", detach=True) as box:
        doctor = readiness.Doctor(box, "exit 3", retries=2)
        assert doctor.examine() == "exit status 3, failures in a row: 1: starting"
        assert doctor.examine() == "exit status 3, failures in a row: 2: unhealthy"
        assert box.inspect()["State"]["Health"]["FailingStreak"] == 2


def test_who_asks():
    assert shop.caller("GET / HTTP/1.1\r\nx-real-ip: 192.0.2.7\r\n\r\n", "10.0.0.1") == "192.0.2.7"
    assert shop.caller("GET / HTTP/1.1\r\n\r\n", "10.0.0.1") == "10.0.0.1"


def test_where_somebody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert server.getsockname() in shop.listening(os.getpid())
    assert shop.visit("http://127.0.0.1:9/") == "no answer: [Errno 111] Connection refused"
