"""The firewall of a bridge: chains of our own, and one rule in the firewalls of others.

All rules are in one table, ``inet minict``; each bridge has three chains in it, and all bridges share two that
translate published ports. Every chain that sees a packet must accept it, in whatever table it is: one drop is final. So
our chains only drop what must not reach a container, and where another firewall drops forwarded packets (Docker's,
ufw's, firewalld), a rule in *that* firewall lets the packets of the bridge pass.

Sources: nft(8); https://docs.docker.com/engine/network/packet-filtering-firewalls/ (DOCKER-USER); firewall-cmd(1).
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

from . import nftables

# The chains that decide about forwarded packets: Docker reserves the first for such rules, the second is common.
_FOREIGN_CHAINS = ("DOCKER-USER", "FORWARD")

# The words that minict's rules there may have, besides the match and the counters, in any of nft's notations.
_PLAIN = {"counter", "packets", "bytes", "accept", "comment", '"minict"', "xt", "match", '"comment"'}


# Published ports: (protocol, port) or (host address, protocol, port) -> (container address, port). The comment of an
# element is the id of the container.
_MAPS = {"ports": "inet_proto . inet_service", "ports-at": "ipv4_addr . inet_proto . inet_service"}
_TARGET = "ipv4_addr . inet_service"

# The two rules for published ports: one for ports at one address of the host, one for ports at all of them. "fib daddr
# type local" is true for packets that are addressed to the host itself.
TO_PORT_AT_ADDRESS = "meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @ports-at"
TO_PORT = "fib daddr type local meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @ports"

# Every rule here is written exactly as nft prints it, so that it is found again.


def port_chains() -> dict[str, tuple[str, tuple[str, ...]]]:
    """The chains that translate published ports, which all bridges share: name -> (hook, rules).

    No other machine may reach 127.0.0.1 (CVE-2020-8558): before routing, a packet from outside could claim that
    destination. Packets of the host itself begin at the output hook: the rules in prerouting are not asked about them.
    Source: nft(8), ADDRESS FAMILIES.
    """
    not_loopback = "ip daddr != 127.0.0.0/8"
    return {
        "prerouting-ports": (
            "type nat hook prerouting priority dstnat;",
            (f"{not_loopback} {TO_PORT_AT_ADDRESS}", f"{not_loopback} {TO_PORT}"),
        ),
        "output-ports": ("type nat hook output priority -100;", (TO_PORT_AT_ADDRESS, TO_PORT)),
    }


def masquerade(bridge: str, subnet: str) -> str:
    """The rule that gives packets from *subnet* the host's own address, unless they leave by *bridge*.

    The world cannot answer to a private address. Packets between containers keep theirs. Source: nft(8), NAT
    STATEMENTS.
    """
    return f'ip saddr {subnet} oifname != "{bridge}" masquerade'


def bridge_chains(
    bridge: str, subnet: str, internal: bool = False, masquerading: bool = True
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The chains of one bridge: their hooks and their rules, written exactly as nft prints them."""
    to_world, from_world = f'iifname "{bridge}" oifname != "{bridge}"', f'iifname != "{bridge}" oifname "{bridge}"'
    return {
        f"postrouting-{bridge}": (
            "type nat hook postrouting priority srcnat;",
            (
                *([masquerade(bridge, subnet)] if masquerading else []),
                # A container that is reached through a port of the host by another container would answer directly,
                # from an address that the client does not know.
                f'ip saddr {subnet} oifname "{bridge}" ct status dnat masquerade',
                f'ip saddr 127.0.0.0/8 oifname "{bridge}" ct status dnat masquerade',
            ),
        ),
        f"forward-{bridge}": (
            "type filter hook forward priority filter;",
            (
                f"{to_world} drop",
                f"{from_world} drop",
            )
            if internal
            else (
                # A tunnel on the way out (a VPN) takes smaller packets than the bridge: tell both ends at once.
                f"tcp flags syn {to_world} tcp option maxseg size set rt mtu",
                # Nearly every packet belongs to a conversation: it passes before interface names are compared.
                "ct state established,related accept",
                # The host forwards packets now. Other machines must not use that to reach a container: only answers
                # and published ports go in.
                f"{from_world} ct status dnat accept",
                f"{from_world} drop",
            ),
        ),
        # For a port on 127.0.0.1 the bridge has to let the address of the answers pass (see portmapper), but only for
        # answers.
        f"loopback-{bridge}": (
            "type filter hook prerouting priority raw;",
            (f'ip daddr 127.0.0.0/8 iifname "{bridge}" drop',),
        ),
    }


def open_for(bridge: str, subnet: str, internal: bool = False, masquerading: bool = True) -> None:
    """Let the containers on *bridge* reach the world, or only each other if it is *internal*.

    Without *masquerading* the world sees the containers' own addresses, and must have a route to them.

    Changes nothing when all rules are there. Raises :class:`ContainerError`.
    """
    # Looking costs 0.2 ms. Replacing rules costs 10: the kernel waits until no packet uses the old ones.
    present = nftables.listing("list table inet minict")
    chains = {**port_chains(), **bridge_chains(bridge, subnet, internal, masquerading)}
    if not all(rule in present for _, rules in chains.values() for rule in rules):
        nftables.apply(transaction(chains))
    for chain in _FOREIGN_CHAINS:
        present = nftables.listing(f"list chain ip filter {chain}")
        if present:
            for way in ("iifname", "oifname"):
                if not _handles(present, f'{way} "{bridge}"'):
                    nftables.apply(f'insert rule ip filter {chain} {way} "{bridge}" counter accept comment "minict"')
            break
    _legacy("-I", bridge)
    _firewalld(bridge, True)


def close_for(bridge: str) -> bool:
    """Undo :func:`open_for`, and remove the table with the last bridge; return whether there was anything to remove."""
    present = nftables.listing("list table inet minict")
    chains = [chain for chain in bridge_chains(bridge, "") if f"chain {chain} {{" in present]
    if chains:
        nftables.apply("\n".join(f"delete chain inet minict {chain}" for chain in chains))
    others = [line.split()[1] for line in present.splitlines() if line.split()[:1] == ["chain"]]
    if present and not set(others) - {*chains, *port_chains()}:
        nftables.apply("delete table inet minict")
    for chain in _FOREIGN_CHAINS:
        present = nftables.listing(f"list chain ip filter {chain}")
        for handle in _handles(present, f'iifname "{bridge}"') + _handles(present, f'oifname "{bridge}"'):
            nftables.apply(f"delete rule ip filter {chain} handle {handle}")
    _legacy("-D", bridge)
    _firewalld(bridge, False)
    return bool(chains)


def transaction(chains: dict) -> str:
    """The commands that create our chains, whatever exists of them."""
    lines = ["add table inet minict"]
    lines += [f"add map inet minict {name} {{ type {key} : {_TARGET}; }}" for name, key in _MAPS.items()]
    for chain, (hook, rules) in chains.items():
        lines += [f"add chain inet minict {chain} {{ {hook} }}", f"flush chain inet minict {chain}"]
        lines += [f"add rule inet minict {chain} {rule}" for rule in rules]
    return "\n".join(lines)


def _handles(listing: str, match: str) -> list[str]:
    """The handles of the rules in *listing* that accept what *match* says without a further condition.

    Their comment cannot identify them: 'iptables-restore' turns it into another kind of comment, which nft shows in its
    own way, or not at all.
    """
    found = []
    for line in listing.splitlines():
        rule, _, handle = " ".join(line.split()).partition(" # handle ")
        rest = rule.removeprefix(match + " ").split()
        if rule.startswith(match + " ") and "accept" in rest and all(word.isdigit() or word in _PLAIN for word in rest):
            found.append(handle)
    return found


def _firewalld(bridge: str, join: bool) -> None:
    """Put *bridge* into firewalld's zone ``trusted``, or take it out: firewalld rejects interfaces without a zone.

    firewalld may rewrite its rules at any time, so minict has to ask it. A bridge that an administrator has put into
    another zone stays there. Raises :class:`ContainerError` when firewalld refuses.
    """
    present = nftables.listing("list chain inet firewalld filter_INPUT_ZONES")
    known = f'iifname "{bridge}" goto ' in present
    if not present or known == join or (not join and f'iifname "{bridge}" goto filter_IN_trusted' not in present):
        return
    import subprocess

    try:
        done = subprocess.run(
            ["firewall-cmd", "--zone=trusted", f"--{'change' if join else 'remove'}-interface={bridge}"],
            capture_output=True,
            text=True,
        )
        refusal = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        refusal = str(error)
    if refusal and join:
        raise ContainerError(
            f"firewalld rejects the containers' packets, and did not accept {bridge} in its zone trusted: "
            f"{' '.join(refusal.split())}; run 'firewall-cmd --zone=trusted --change-interface={bridge}'"
        )


def _legacy(operation: str, bridge: str) -> None:
    """The same two rules for a firewall that still uses the old iptables, which nftables does not show."""
    try:
        with open("/proc/net/ip_tables_names") as file:
            if "filter\n" not in file.readlines():
                return
    except (FileNotFoundError, PermissionError):  # a kernel without it, or a user namespace, where it is empty
        return
    import shutil
    import subprocess

    command = shutil.which("iptables-legacy") or shutil.which("iptables")

    def iptables(*words: str) -> bool:
        return subprocess.run([command or "iptables", "--wait", *words], capture_output=True).returncode == 0

    for chain in _FOREIGN_CHAINS if command else ():  # without the command, no such rules exist
        if not iptables("-n", "-L", chain):
            continue
        for way in ("-i", "-o"):
            rule = [chain, way, bridge, "-j", "ACCEPT", "-m", "comment", "--comment", "minict"]
            if operation == "-I" and not iptables("-C", *rule):
                iptables("-I", *rule)
            while operation == "-D" and iptables("-D", *rule):
                pass
        if operation == "-I":
            break
