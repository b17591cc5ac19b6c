"""Addresses: subnets, and the proof that no two containers can have the same address."""

from __future__ import annotations

import ipaddress
import os

import pytest

from minict.engine.networks import ipam
from minict.engine.networks.ipam import Subnet
from minict.runtime import paths
from minict.runtime.errors import ContainerError

SMALL = "10.9.8.0/29"  # six machines: the host, and containers .2 to .6


@pytest.fixture(autouse=True)
def fresh_state(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICT_RUN", str(tmp_path))


def container(number: int) -> str:
    """The id of a container that has its state directory."""
    id = f"{number:012x}"
    os.makedirs(paths.container_state(id), exist_ok=True)
    return id


@pytest.mark.parametrize("text", ["10.210.0.0/16", "192.168.4.0/24", "172.16.240.0/20", "128.0.0.0/1", SMALL])
def test_a_subnet_is_what_the_standard_library_says(text):
    ours, theirs = Subnet(text), ipaddress.ip_network(text)
    assert (str(ours), ours.first, ours.last) == (text, int(theirs[0]), int(theirs[-1]))
    assert ours.gateway == str(theirs[1])


def test_numbers_and_texts_of_addresses_agree_with_the_standard_library():
    for text in ("0.0.0.0", "10.210.0.1", "127.0.0.53", "255.255.255.255"):
        assert ipam.to_number(text) == int(ipaddress.ip_address(text))
        assert ipam.to_text(ipam.to_number(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.0",
        "10.0.0/8",
        "10.0.0.0/x",
        "10.0.0.256/24",
        "10.0.0.0/33",
        "10.0.0.0/30",
        "10.0.0.0/0",
        "10.0.0.1/24",
        "10.0.0.-1/24",
        "fd00::/64",
        "١٠.0.0.0/8",
        "10.0.0.0/99",
    ],
)
def test_an_invalid_subnet_is_refused_in_one_sentence(text, monkeypatch):
    monkeypatch.setenv("MINICT_SUBNET", text)
    with pytest.raises(ContainerError, match="MINICT_SUBNET") as refusal:
        ipam.default_subnet()
    assert text in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_container_gets_an_address_between_the_gateway_and_the_broadcast():
    subnet = Subnet(SMALL)
    got = [ipam.reserve("n", container(number), subnet) for number in range(5)]
    assert got == ["10.9.8.2", "10.9.8.3", "10.9.8.4", "10.9.8.5", "10.9.8.6"]
    with pytest.raises(ContainerError, match="in use"):
        ipam.reserve("n", container(5), subnet)


def test_the_default_subnet_is_used_when_none_is_given(monkeypatch):
    monkeypatch.setenv("MINICT_SUBNET", "10.77.0.0/24")
    assert ipam.reserve("n", container(1)) == "10.77.0.2"


def test_a_released_address_is_the_last_to_be_reused():
    subnet = Subnet(SMALL)
    first, second = container(1), container(2)
    assert [ipam.reserve("n", id, subnet) for id in (first, second)] == ["10.9.8.2", "10.9.8.3"]
    ipam.release("n", first)
    got = [ipam.reserve("n", container(3), subnet) for _ in range(4)]
    assert got == ["10.9.8.4", "10.9.8.5", "10.9.8.6", "10.9.8.2"]


def test_another_subnet_begins_at_its_own_first_address():
    ipam.reserve("n", container(1), Subnet("10.200.0.0/24"))
    assert ipam.reserve("n", container(2), Subnet(SMALL)) == "10.9.8.2"


def test_release_takes_only_what_belongs_to_the_container_and_may_be_repeated():
    subnet = Subnet(SMALL)
    mine, other = container(1), container(2)
    ipam.reserve("n", mine, subnet)
    ipam.reserve("n", mine, subnet)
    ipam.reserve("n", other, subnet)
    assert ipam.holders("n") == {"10.9.8.2": mine, "10.9.8.3": mine, "10.9.8.4": other}
    for _ in range(2):
        ipam.release("n", mine)
        assert ipam.holders("n") == {"10.9.8.4": other}
    ipam.release("a network that never was", mine)


def test_networks_do_not_share_addresses():
    id, subnet = container(1), Subnet(SMALL)
    assert ipam.reserve("a", id, subnet) == ipam.reserve("b", id, subnet) == "10.9.8.2"
    ipam.release("a", id)
    assert (ipam.holders("a"), ipam.holders("b")) == ({}, {"10.9.8.2": id})


def test_the_address_of_a_container_without_state_is_released():
    subnet = Subnet(SMALL)
    alive, dead = container(1), container(2)
    ipam.reserve("n", alive, subnet)
    ipam.reserve("n", dead, subnet)
    os.rmdir(paths.container_state(dead))
    ipam.release_orphans("n")
    assert ipam.holders("n") == {"10.9.8.2": alive}


def test_thirty_processes_at_once_get_thirty_addresses():
    subnet = Subnet("10.9.0.0/24")
    ids = [container(number) for number in range(30)]
    gate, open_gate = os.pipe()
    children = []
    for id in ids:
        pid = os.fork()
        if pid == 0:
            try:
                os.close(open_gate)
                os.read(gate, 1)  # all wait here for the end of the file, and go on together
                ipam.reserve("n", id, subnet)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    os.close(gate)
    os.close(open_gate)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 30
    held = ipam.holders("n")
    assert len(held) == 30 and sorted(held.values()) == sorted(ids)
    assert all(ipaddress.ip_address(one) in ipaddress.ip_network(str(subnet)) for one in held)


def test_a_network_is_forgotten_only_when_no_address_is_in_use():
    id = container(1)
    ipam.reserve("n", id, Subnet(SMALL))
    ipam.forget("n")
    assert ipam.holders("n") == {"10.9.8.2": id}
    ipam.release("n", id)
    for _ in range(2):
        ipam.forget("n")
        assert not os.path.exists(ipam.network_state("n"))
    assert ipam.reserve("n", id, Subnet(SMALL)) == "10.9.8.2"
