"""minict.runtime.capabilities: names and masks, Docker's rules, and what the kernel then lets a process do."""

from __future__ import annotations

import pytest

from minict.kernel.capability import NAMES
from minict.runtime import capabilities
from minict.runtime.errors import ContainerError


def test_the_default_is_dockers():
    assert len(capabilities.DEFAULT) == 14
    assert capabilities.mask(capabilities.DEFAULT) == 0xA80425FB  # what /proc/1/status shows in a Docker container


def test_mask_and_names_are_each_others_inverse():
    assert capabilities.names(capabilities.mask(NAMES)) == list(NAMES)
    assert capabilities.mask(["CAP_KILL", "CAP_CHOWN", "CAP_KILL"]) == 0b100001
    assert capabilities.names(0) == [] and capabilities.mask([]) == 0


def test_a_name_that_no_kernel_knows_is_left_out_of_a_mask():
    assert capabilities.mask(["CAP_CHOWN", "CAP_FLY", "chown"]) == 1


def test_known_is_what_this_kernel_says():
    with open("/proc/sys/kernel/cap_last_cap") as file:
        assert len(capabilities.known()) == min(int(file.read()) + 1, len(NAMES))


@pytest.mark.parametrize(
    "add, drop, expected",
    [
        ([], [], ["CAP_CHOWN", "CAP_KILL"]),
        (["net_admin"], [], ["CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN"]),
        (["Cap_Net_Admin", "NET_ADMIN"], ["chown"], ["CAP_KILL", "CAP_NET_ADMIN"]),
        ([], ["all"], []),
        (["SYS_TIME"], ["ALL"], ["CAP_SYS_TIME"]),
        (["KILL"], ["KILL"], ["CAP_CHOWN", "CAP_KILL"]),
        (["ALL"], [], capabilities.known()),
        (["ALL"], ["SYS_ADMIN"], [name for name in capabilities.known() if name != "CAP_SYS_ADMIN"]),
        (["ALL"], ["ALL"], capabilities.known()),
    ],
)
def test_adjust_follows_docker(add, drop, expected):
    assert capabilities.adjust(["CAP_CHOWN", "CAP_KILL"], add, drop) == expected


@pytest.mark.parametrize("word, near", [("NET_ADMN", "CAP_NET_ADMIN"), ("cap_sysadmin", "CAP_SYS_ADMIN")])
def test_an_unknown_name_is_refused_with_the_nearest(word, near):
    for add, drop in (([word], []), ([], [word])):
        with pytest.raises(ContainerError, match=f"{word}.*{near}"):
            capabilities.adjust([], add, drop)


def test_a_name_like_no_other_is_refused_with_the_manual():
    with pytest.raises(ContainerError, match=r"'42'.*capabilities\(7\)"):
        capabilities.adjust([], ["42"], [])
