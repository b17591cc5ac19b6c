"""A container's /etc/resolv.conf and /etc/hosts, made from real files in place of the host's."""

from __future__ import annotations

import os

import pytest

from minict.engine.networks import dns
from minict.kernel import mount, namespaces
from tests.support.in_child import forked

STUB = "# made by a program\nsearch school.example\noptions edns0\nnameserver 127.0.0.53\n"


def resolv_conf(files: dict[str, str], own_network: bool = True, **options) -> str:
    """What :func:`dns.resolv_conf` makes on a host that has these *files*."""

    def on_such_a_host():
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
        mount.mount("run", "/run", "tmpfs")
        mount.mount("etc", "/etc", "tmpfs")
        for path, text in files.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
        return dns.resolv_conf(own_network, **options)

    return forked(on_such_a_host)


def test_servers_that_can_be_reached_stay_with_all_that_belongs_to_them():
    text = "search a.example b.example\nnameserver 192.0.2.53\nnameserver 198.51.100.53\noptions ndots:2\n"
    assert sorted(resolv_conf({"/etc/resolv.conf": text}).splitlines()) == sorted(text.splitlines())


@pytest.mark.parametrize("path", ["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"])
def test_a_resolver_on_the_loopback_is_replaced_by_its_upstreams(path):
    asked = "nameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver 192.0.2.2\n"
    made = resolv_conf({"/etc/resolv.conf": STUB, path: asked})
    assert made == "search school.example\noptions edns0\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"


def test_a_server_beside_the_loopback_resolver_is_enough():
    made = resolv_conf(
        {
            "/etc/resolv.conf": STUB + "nameserver 192.0.2.9\n",
            "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.1\n",
        }
    )
    assert [line for line in made.splitlines() if line.startswith("nameserver")] == ["nameserver 192.0.2.9"]


@pytest.mark.parametrize("text", [STUB, "nameserver ::1\n", "nameserver fd00::53\n", "nameserver\n", ""])
def test_without_a_server_the_file_names_none_and_says_so(text):
    made = resolv_conf({"/etc/resolv.conf": text})
    assert not any(line.startswith("nameserver") for line in made.splitlines())
    assert made.startswith("# minict: no name server")


def test_a_host_without_the_file_is_not_an_error():
    assert resolv_conf({}).startswith("# minict: no name server")


def test_in_the_hosts_own_network_the_hosts_own_file_is_right():
    assert resolv_conf({"/etc/resolv.conf": STUB}, own_network=False) == STUB


def test_the_users_settings_replace_the_hosts():
    files = {"/etc/resolv.conf": STUB}
    assert dns_lines(files, servers=["192.0.2.7"]) == ["search school.example", "options edns0", "nameserver 192.0.2.7"]
    assert dns_lines(
        files, servers=["192.0.2.7"], search=["a.example", "b.example"], options=["ndots:2", "rotate"]
    ) == ["search a.example b.example", "options ndots:2 rotate", "nameserver 192.0.2.7"]
    assert dns_lines(files, servers=["192.0.2.7"], search=["."]) == ["options edns0", "nameserver 192.0.2.7"]
    assert dns_lines(files, own_network=False, search=["."]) == ["options edns0", "nameserver 127.0.0.53"]


def dns_lines(files: dict, **options) -> list[str]:
    return resolv_conf(files, **options).splitlines()


def test_hosts_names_the_container():
    lines = [
        line.split() for line in dns.hosts([("10.210.0.7", ["web", "abc"])], [("192.0.2.1", "added")]).splitlines()
    ]
    assert (
        ["127.0.0.1", "localhost"] in lines
        and ["10.210.0.7", "web", "abc"] in lines
        and ["192.0.2.1", "added"] in lines
    )


@pytest.fixture
def hosts_file(tmp_path):
    """A container's /etc/hosts, as it is at the beginning, and what changes it."""
    path = tmp_path / "hosts"
    path.write_text(dns.hosts([("10.0.0.2", ["web"])], [("192.0.2.1", "added")]))
    return path


def renew(path, *lines: tuple[str, list[str]]) -> list[str]:
    dns.rewrite_hosts(str(path), list(lines))
    return path.read_text().splitlines()


def test_other_containers_come_and_go_and_the_rest_of_hosts_stays(hosts_file):
    inode, before = hosts_file.stat().st_ino, hosts_file.read_text()
    with open(hosts_file, "a") as file:
        file.write("192.0.2.9\tmy-own")  # without a newline at its end
    lines = renew(hosts_file, ("10.0.0.2", ["web"]), ("10.0.0.3", ["db", "db", "data"]))
    assert "10.0.0.3\tdb data" in lines and "192.0.2.9\tmy-own" in lines and "192.0.2.1\tadded" in lines
    assert renew(hosts_file, ("10.0.0.2", ["web"])) == before.splitlines() + ["192.0.2.9\tmy-own"]
    assert not [line for line in renew(hosts_file) if "web" in line or line.startswith("# ")]
    assert "10.0.0.2\tweb" in renew(hosts_file, ("10.0.0.2", ["web"]))
    assert hosts_file.stat().st_ino == inode, "it is mounted in the container: another file would not be seen there"


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: "",
        lambda text: "192.0.2.9 own\n",
        lambda text: text.rpartition("# end")[0],
        lambda text: text.replace("# the containers", "# my containers"),
    ],
)
def test_whatever_a_container_does_to_its_hosts_the_others_are_in_it_once(hosts_file, edit):
    hosts_file.write_text(edit(hosts_file.read_text()))
    for _ in range(3):
        lines = renew(hosts_file, ("10.0.0.9", ["db"]))
    assert lines.count("10.0.0.9\tdb") == 1
    assert sum(line.startswith("192.0.2") for line in lines) == edit(
        dns.hosts([("10.0.0.2", ["web"])], [("192.0.2.1", "added")])
    ).count("192.0.2")


def test_a_huge_or_binary_hosts_file_does_no_harm(hosts_file):
    hosts_file.write_bytes(b"\xff\xfe own\n")
    dns.rewrite_hosts(str(hosts_file), [("10.0.0.9", ["db"])])
    assert hosts_file.read_bytes().startswith(b"\xff\xfe own\n") and b"10.0.0.9\tdb\n" in hosts_file.read_bytes()
    os.truncate(hosts_file, 2 << 20)
    dns.rewrite_hosts(str(hosts_file), [("10.0.0.8", ["other"])])
    assert hosts_file.stat().st_size == 2 << 20
    hosts_file.unlink()
    dns.rewrite_hosts(str(hosts_file), [("10.0.0.8", ["other"])])
    assert not hosts_file.exists()
