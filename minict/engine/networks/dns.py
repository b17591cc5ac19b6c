"""How a container finds machines by name: its /etc/resolv.conf and /etc/hosts.

Sources: resolv.conf(5), hosts(5).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence

EMBEDDED = "127.0.0.11"  # where a container on a user-defined network finds minict's own DNS server: see resolver

_HOST_FILE = "/etc/resolv.conf"

# A resolver on the host's loopback writes the servers that it asks into these files.
_UPSTREAM_FILES = ("/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf")


# minict keeps the lines between these two; the rest of the file belongs to the container.
_BEGIN = "# its own addresses and those of --link, kept up to date by minict:\n"
_END = "# end of the containers\n"
_LARGEST = 1 << 20  # bytes: minict does not touch a larger /etc/hosts


def resolv_conf(
    own_network: bool = True, servers: Sequence[str] = (), search: Sequence[str] = (), options: Sequence[str] = ()
) -> str:
    """The container's /etc/resolv.conf: the host's, with the user's *servers*, *search* and *options* instead where
    given.

    With a network of its own (*own_network*), the container can reach neither a server on the host's loopback, such as
    127.0.0.53, nor one that has only an IPv6 address. The servers that systemd-resolved or NetworkManager ask take
    their place. If none is known, the file names no server and a look-up fails at once: a public server (Docker takes
    8.8.8.8) would learn the names of a private network, and without Internet each look-up would hang for ten seconds.
    """
    text = _read(_HOST_FILE)
    if not own_network and not (servers or search or options):
        return text
    kept = [line for line in text.splitlines() if line.startswith(("search", "domain", "options", "sortlist"))]
    if search:
        kept = [line for line in kept if not line.startswith(("search", "domain"))]
        # as in Docker: a dot stands for an empty search list
        kept += [f"search {' '.join(search)}"] if list(search) != ["."] else []
    if options:
        kept = [line for line in kept if not line.startswith("options")] + [f"options {' '.join(options)}"]
    found = list(servers) or _servers(text, own_network)
    if found == [EMBEDDED] and not any("ndots:" in line for line in kept if line.startswith("options")):
        # as in Docker: a name without a dot is first looked up as a container's name, then in the search domains
        given = next((line for line in kept if line.startswith("options")), "options")
        kept = [line for line in kept if line != given] + [f"{given} ndots:0"]
    if not found:
        kept.insert(0, f"# minict: no name server in the host's {_HOST_FILE} can be reached from a container")
    return "".join(line + "\n" for line in kept + [f"nameserver {server}" for server in found])


def upstreams() -> list[str]:
    """The name servers of this host that a container can reach."""
    return _servers(_read(_HOST_FILE), True)


def full_names(network_state: dict) -> list[str]:
    """The host name with its domain, then without: hostname(1) takes the first for ``-f``."""
    full = network_state["hostname"] + (f".{network_state['domain']}" if network_state.get("domain") else "")
    return [full, full.partition(".")[0]] if "." in full else [full]


def _servers(text: str, own_network: bool) -> list[str]:
    if not own_network:
        lines = [line.split() for line in text.splitlines()]
        return [words[1] for words in lines if words[:1] == ["nameserver"] and len(words) > 1]
    found = reachable(text)
    for path in _UPSTREAM_FILES:
        found = found or reachable(_read(path))
    return found


def hosts(own: list[tuple[str, list[str]]], added: Sequence[tuple[str, str]] = ()) -> str:
    """The container's /etc/hosts: its *own* addresses with their names, and what the user *added*, as (address, name).

    127.0.1.1 is Debian's choice for a machine without a network: 127.0.0.1 keeps the name "localhost".
    """
    return (
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        + "".join(f"{address}\t{name}\n" for address, name in added)
        + _block(own)
    )


def hosts_of_the_host(names: list[str], added: Sequence[tuple[str, str]] = ()) -> str:
    """/etc/hosts for a container in the host's network: the host's file, and the container's own *names*."""
    lines = [f"{address}\t{name}\n" for address, name in [*added, ("127.0.1.1", " ".join(names))]]
    text = _read("/etc/hosts")
    return text + "\n" * (not text.endswith("\n")) + "".join(lines)


def rewrite_hosts(path: str, lines: list[tuple[str, list[str]]]) -> None:
    """Replace minict's lines in a mounted /etc/hosts with *lines*, as (address, names).

    The rest of the file stays, because the container may have written it. minict leaves a file alone that the container
    has made unreadable, immutable or huge, or on which it holds a lease (fcntl(2), F_SETLEASE): opening a leased file
    would wait 45 seconds or more for the container, with the lock of all networks held.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "r+b", buffering=0) as file:
            old = file.read(_LARGEST)
            new = _renewed(old.decode("utf-8", "surrogateescape"), lines).encode("utf-8", "surrogateescape")
            if len(old) < _LARGEST and new != old:
                os.pwrite(file.fileno(), new, 0)  # one write, then truncate: a reader hardly ever sees half of it
                os.ftruncate(file.fileno(), len(new))
    except OSError:
        pass


def replace(path: str, old: str, new: str) -> None:
    """Write *new* into the file if it still says *old*; otherwise the container has changed it."""
    try:
        with open(path, "r+b", buffering=0) as file:
            if file.read(_LARGEST) == old.encode():
                os.pwrite(file.fileno(), new.encode(), 0)
                os.ftruncate(file.fileno(), len(new.encode()))
    except OSError:
        pass


def _renewed(text: str, lines: list[tuple[str, list[str]]]) -> str:
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if begin and not end:  # an editor has removed minict's last line: the rest belongs to the container
        before, after = before + rest, ""
    return before + "\n" * (before[-1:] not in ("", "\n")) + _block(lines) + after


def _block(lines: list[tuple[str, list[str]]]) -> str:
    if not lines:
        return ""
    return _BEGIN + "".join(f"{address}\t{' '.join(dict.fromkeys(names))}\n" for address, names in lines) + _END


def reachable(text: str) -> list[str]:
    """The name servers in the text of a resolv.conf that a container can reach: IPv4, and not on the loopback."""
    servers = []
    for line in text.splitlines():
        words = line.split()
        address = words[1] if words[:1] == ["nameserver"] and len(words) > 1 else ""
        if address and ":" not in address and not address.startswith(("127.", "0.")):
            servers.append(address)
    return servers


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""
