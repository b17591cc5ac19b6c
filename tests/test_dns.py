"""What a container's /etc/resolv.conf and /etc/hosts say, made of real files put in the place of the host's."""
from __future__ import annotations

import os

import pytest
from forked import forked

from minict.engine import dns
from minict.kernel import mount, namespaces

STUB = "# made by a program\nsearch school.example\noptions edns0\nnameserver 127.0.0.53\n"


def resolv_conf(files: dict[str, str], own_network: bool = True) -> str:
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
        return dns.resolv_conf(own_network)
    return forked(on_such_a_host)


def test_servers_that_can_be_reached_stay_with_all_that_belongs_to_them():
    text = "search a.example b.example\nnameserver 192.0.2.53\nnameserver 198.51.100.53\noptions ndots:2\n"
    assert sorted(resolv_conf({"/etc/resolv.conf": text}).splitlines()) == sorted(text.splitlines())


@pytest.mark.parametrize("path", ["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"])
def test_a_resolver_on_the_loopback_is_replaced_by_those_it_asks(path):
    asked = "nameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver 192.0.2.2\n"
    made = resolv_conf({"/etc/resolv.conf": STUB, path: asked})
    assert made == "search school.example\noptions edns0\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"


def test_a_server_beside_the_loopback_resolver_is_enough():
    made = resolv_conf({"/etc/resolv.conf": STUB + "nameserver 192.0.2.9\n",
                        "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.1\n"})
    assert [line for line in made.splitlines() if line.startswith("nameserver")] == ["nameserver 192.0.2.9"]


@pytest.mark.parametrize("text", [STUB, "nameserver ::1\n", "nameserver fd00::53\n", "nameserver\n", ""])
def test_without_any_server_the_file_names_none_and_says_so(text):
    made = resolv_conf({"/etc/resolv.conf": text})
    assert not any(line.startswith("nameserver") for line in made.splitlines())
    assert made.startswith("# minict: no name server")


def test_a_host_without_the_file_is_no_error():
    assert resolv_conf({}).startswith("# minict: no name server")


def test_in_the_hosts_own_network_the_hosts_own_file_is_right():
    assert resolv_conf({"/etc/resolv.conf": STUB}, own_network=False) == STUB


def test_hosts_names_the_container():
    lines = [line.split() for line in dns.hosts("web", "10.210.0.7").splitlines()]
    assert ["127.0.0.1", "localhost"] in lines and ["10.210.0.7", "web"] in lines
    assert ["127.0.1.1", "web"] in [line.split() for line in dns.hosts("web").splitlines()]
