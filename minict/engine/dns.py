"""How a container finds machines by name: what stands in its /etc/resolv.conf and /etc/hosts.

Sources: resolv.conf(5), hosts(5).
"""
from __future__ import annotations

_HOST_FILE = "/etc/resolv.conf"

# A resolver on the host's own loopback knows the servers that it asks, and writes them down here.
_UPSTREAM_FILES = ("/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf")


def resolv_conf(own_network: bool = True) -> str:
    """The container's /etc/resolv.conf, made of the host's.

    With a network of its own (*own_network*), the container can't reach a server on the host's
    loopback, such as 127.0.0.53, which is another machine's loopback in there, nor one that has
    only an IPv6 address.  Such servers are replaced by those that systemd-resolved or
    NetworkManager ask in turn.  Where nobody knows any, the file names no server, and a look-up
    fails at once: a public server instead (Docker takes 8.8.8.8) would be told the names that this
    network keeps to itself, and in a room without Internet each look-up would hang for ten seconds.
    """
    text = _read(_HOST_FILE)
    if not own_network:
        return text
    servers = _reachable(text)
    for path in _UPSTREAM_FILES:
        servers = servers or _reachable(_read(path))
    kept = [line for line in text.splitlines() if line.startswith(("search", "domain", "options", "sortlist"))]
    if not servers:
        kept.insert(0, f"# minict: no name server in the host's {_HOST_FILE} can be reached from a container")
    return "".join(line + "\n" for line in kept + [f"nameserver {server}" for server in servers])


def hosts(hostname: str, address: str | None = None) -> str:
    """The container's /etc/hosts: *hostname* is at *address*, or, without a network, on its own loopback.

    (127.0.1.1 is Debian's choice for that: 127.0.0.1 remains "localhost" when it is asked for its name.)
    """
    return ("127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            f"{address or '127.0.1.1'}\t{hostname}\n")


def _reachable(text: str) -> list[str]:
    """The name servers in the text of a resolv.conf that a container can reach: IPv4, and not on the loopback."""
    words = [line.split() for line in text.splitlines()]
    servers = [line[1] for line in words if line[:1] == ["nameserver"] and len(line) > 1]
    return [server for server in servers if ":" not in server and not server.startswith(("127.", "0."))]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""
