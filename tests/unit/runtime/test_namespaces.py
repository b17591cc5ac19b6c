"""The id map of a user namespace, read as the kernel reads it."""

from __future__ import annotations

import pytest

from minict.runtime import idmap
from minict.runtime.namespaces import host_id
from minict.runtime.spec import IDMapping

MAP = [
    IDMapping(containerID=5, hostID=700, size=3),
    IDMapping(containerID=0, hostID=1815, size=1),
    IDMapping(containerID=10, hostID=300_000, size=65_536),
]


@pytest.mark.parametrize(
    "id, outside",
    [(0, 1815), (1, None), (4, None), (5, 700), (7, 702), (8, None), (10, 300_000), (65_545, 365_535), (65_546, None)],
)
def test_the_id_outside(id, outside):
    assert host_id(id, MAP) == outside and host_id(id, []) is None


def test_the_owner_of_an_overlay_is_root_of_the_container_in_whatever_line_it_is():
    assert idmap._root_of(MAP) == 1815
    assert idmap._root_of(MAP[:1]) == 700
