"""The variables of ``--link``, which programs of Docker's first years read: ``DB_PORT_3306_TCP_ADDR=10.210.0.2``.

Source: https://docs.docker.com/engine/network/links/, "Environment variables".
"""

from __future__ import annotations

from . import portmapper
from .state import read

_OWN = ("HOME", "PATH", "HOSTNAME", "TERM")  # a container's variables that mean nothing to another one


def variables(name: str, linked: str, alias: str) -> list[str]:
    """The variables that tell the container *name* about the container *linked* (an id), to which it is linked as
    *alias*.
    """
    from minict.engine.containers.store import Record
    from minict.engine.images.image import Image

    network_state = read(linked)
    address = next((endpoint["address"] for endpoint in network_state.get("endpoints", ()) if not endpoint["id"]), None)
    if address is None:
        return []
    record = Record.load(linked)
    word = alias.upper().replace("-", "_")
    found = sorted(
        {(port.inside, port.protocol) for text in network_state["exposed"] for port in portmapper.parse_exposed(text)}
        | {(inside, protocol) for protocol, _, _, inside in network_state["ports"]},
        key=lambda each: (each[1] != "tcp", each[0]),
    )
    result = [f"{word}_NAME=/{name}/{alias}"]
    result += [f"{word}_PORT={protocol}://{address}:{number}" for number, protocol in found[:1]]
    for number, protocol in found:
        prefix = f"{word}_PORT_{number}_{protocol.upper()}"
        result += [
            f"{prefix}={protocol}://{address}:{number}",
            f"{prefix}_ADDR={address}",
            f"{prefix}_PORT={number}",
            f"{prefix}_PROTO={protocol}",
        ]
    given = [*(Image.load(record.image).config.get("Env") or []), *(record.settings.get("env") or [])]
    pairs = dict(each.partition("=")[::2] for each in given if "=" in each)
    return result + [f"{word}_ENV_{key}={value}" for key, value in pairs.items() if key not in _OWN]
