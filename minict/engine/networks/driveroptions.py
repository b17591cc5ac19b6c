"""The driver options of ``network create -o``, under the names of Docker's bridge driver.

Source: https://docs.docker.com/engine/network/drivers/bridge/, "Options".
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

from . import ipam

_TRUE, _FALSE = ("true", "1", "t", "T", "TRUE", "True"), ("false", "0", "f", "F", "FALSE", "False")
BRIDGE = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"
ICC = "com.docker.network.bridge.enable_icc"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
HOST_ADDRESS = "com.docker.network.bridge.host_binding_ipv4"
PREFIX = "com.docker.network.container_iface_prefix"


def parse(words: list[str]) -> dict[str, str]:
    """Parse *words*, each ``NAME=VALUE``. Raises :class:`ContainerError` for an unknown or invalid one."""
    options = {}
    for word in words:
        name, given, value = word.partition("=")
        if name not in _CHECKS:
            raise ContainerError(
                f"-o {word}: unknown option {name!r} of the bridge driver: use one of {', '.join(sorted(_CHECKS))}"
            )
        wrong = _CHECKS[name](value if given else "true")
        if wrong:
            raise ContainerError(f"-o {word}: {wrong}")
        options[name] = value if given else "true"
    return options


def is_on(options: dict[str, str], name: str) -> bool:
    """Whether an option that is on by default is on."""
    return options.get(name, "true") in _TRUE


def _switch(value: str) -> str:
    return "" if value in (*_TRUE, *_FALSE) else "write true or false"


def _mtu(value: str) -> str:
    return "" if value.isdecimal() and 68 <= int(value) <= 65535 else "use a number of bytes from 68 to 65535"


def _address(value: str) -> str:
    try:
        ipam.to_number(value)
        return ""
    except ValueError:
        return "use an IPv4 address of the host"


def _interface(value: str) -> str:
    good = value.isascii() and value.replace("-", "").replace("_", "").isalnum()
    return "" if good and len(value) < 16 else "use 1 to 15 letters, digits and '-'"


def _prefix(value: str) -> str:
    return _interface(value + "000")


_CHECKS = {
    BRIDGE: _interface,
    MTU: _mtu,
    ICC: _switch,
    MASQUERADE: _switch,
    HOST_ADDRESS: _address,
    PREFIX: _prefix,
}
