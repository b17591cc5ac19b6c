"""What the firewall lets through for a bridge of containers: its own chains, and a word to the firewalls of others.

All rules are in one table of ours, ``inet minict``; each bridge has three chains in it, and all together share two
that translate what comes to a published port.  Tables do not outvote each other: a packet must be accepted by every
chain that sees it, and one drop is final.  So our chains only drop what must not reach a container, and where another
firewall drops what is forwarded (Docker's, ufw's, firewalld), a word to *it* lets the bridge's packets pass.

Sources: nft(8); https://docs.docker.com/engine/network/packet-filtering-firewalls/ (DOCKER-USER); firewall-cmd(1).
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

from . import nftables

# Where others decide about forwarded packets: Docker keeps the first for such rules, the second is everybody's.
_FOREIGN_CHAINS = ("DOCKER-USER", "FORWARD")

# What may stand in a rule of ours there, in the various ways of showing it, beside what it matches and numbers.
_PLAIN = {"counter", "packets", "bytes", "accept", "comment", '"minict"', "xt", "match", '"comment"'}


# Published ports: (protocol, port) or (host's address, protocol, port) -> (container's address, port).  An element's
# comment is the container's id.
_MAPS = {"ports": "inet_proto . inet_service", "ports-at": "ipv4_addr . inet_proto . inet_service"}
_TARGET = "ipv4_addr . inet_service"

# The chains of all bridges: what they hook into, and their rules, written just as nft shows them, so that they are
# found again. Nobody outside may reach 127.0.0.1 (CVE-2020-8558): before it is routed, a packet could claim that it is
# for there.
_SHARED = {
    "prerouting-ports": (
        "type nat hook prerouting priority dstnat;",
        (
            "ip daddr != 127.0.0.0/8 meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @ports-at",
            "ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @ports",
        ),
    ),
    "output-ports": (
        "type nat hook output priority -100;",
        (  # what the host itself sends does not come in
            "meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @ports-at",
            "fib daddr type local meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @ports",
        ),
    ),
}


def _chains(
    bridge: str, subnet: str, internal: bool = False, masquerade: bool = True
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The chains of one bridge: what they hook into, and their rules, written as nft shows them."""
    to_world, from_world = f'iifname "{bridge}" oifname != "{bridge}"', f'iifname != "{bridge}" oifname "{bridge}"'
    return {
        f"postrouting-{bridge}": (
            "type nat hook postrouting priority srcnat;",
            (
                # The world can't answer to a private address: what leaves the host carries the host's own.
                *([f'ip saddr {subnet} oifname != "{bridge}" masquerade'] if masquerade else []),
                # A neighbour that is reached through a port of the host would answer directly, and nobody would know the
                # answer.
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
                # A tunnel on the way out (a VPN) takes smaller packets than the bridge does: tell both ends at once.
                f"tcp flags syn {to_world} tcp option maxseg size set rt mtu",
                # What belongs to a conversation is nearly every packet: it passes before names of interfaces are compared.
                "ct state established,related accept",
                # The host forwards packets now.  A neighbour must not use that to reach a container: only
                # answers, and what comes to a published port, go in.
                f"{from_world} ct status dnat accept",
                f"{from_world} drop",
            ),
        ),
        # For a port on 127.0.0.1 the bridge has to let the answers' address pass (see ports.route_loopback): but only
        # answers.
        f"loopback-{bridge}": (
            "type filter hook prerouting priority raw;",
            (f'ip daddr 127.0.0.0/8 iifname "{bridge}" drop',),
        ),
    }


def open_for(bridge: str, subnet: str, internal: bool = False, masquerade: bool = True) -> None:
    """Let the containers on *bridge* reach the world, and each other alone if it is *internal*.

    Without *masquerade* the world sees the containers' own addresses, and must know a way to them.

    Nothing is changed when all rules are there.  Raises :class:`ContainerError`.
    """
    # Looking costs 0.2 ms.  To replace rules costs 10: the kernel waits until no packet uses the old ones.
    present = nftables.listing("list table inet minict")
    chains = {**_SHARED, **_chains(bridge, subnet, internal, masquerade)}
    if not all(rule in present for _, rules in chains.values() for rule in rules):
        nftables.apply(_transaction(chains))
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
    """Undo :func:`open_for`; with the last bridge, our table goes.  Returns whether there was anything of ours."""
    present = nftables.listing("list table inet minict")
    chains = [chain for chain in _chains(bridge, "") if f"chain {chain} {{" in present]
    if chains:
        nftables.apply("\n".join(f"delete chain inet minict {chain}" for chain in chains))
    others = [line.split()[1] for line in present.splitlines() if line.split()[:1] == ["chain"]]
    if present and not set(others) - {*chains, *_SHARED}:
        nftables.apply("delete table inet minict")
    for chain in _FOREIGN_CHAINS:
        present = nftables.listing(f"list chain ip filter {chain}")
        for handle in _handles(present, f'iifname "{bridge}"') + _handles(present, f'oifname "{bridge}"'):
            nftables.apply(f"delete rule ip filter {chain} handle {handle}")
    _legacy("-D", bridge)
    _firewalld(bridge, False)
    return bool(chains)


def _transaction(chains: dict) -> str:
    """The text that brings our chains into being, whatever is there of them."""
    lines = ["add table inet minict"]
    lines += [f"add map inet minict {name} {{ type {key} : {_TARGET}; }}" for name, key in _MAPS.items()]
    for chain, (hook, rules) in chains.items():
        lines += [f"add chain inet minict {chain} {{ {hook} }}", f"flush chain inet minict {chain}"]
        lines += [f"add rule inet minict {chain} {rule}" for rule in rules]
    return "\n".join(lines)


def _handles(listing: str, match: str) -> list[str]:
    """The numbers of the rules in *listing* that accept whatever *match* says, and have no further condition.

    They can't be looked for by their comment: 'iptables-restore', which others run, makes a comment
    of another kind of it, which nft shows in its own way, or not at all.
    """
    found = []
    for line in listing.splitlines():
        rule, _, handle = " ".join(line.split()).partition(" # handle ")
        rest = rule.removeprefix(match + " ").split()
        if rule.startswith(match + " ") and "accept" in rest and all(word.isdigit() or word in _PLAIN for word in rest):
            found.append(handle)
    return found


def _firewalld(bridge: str, join: bool) -> None:
    """firewalld rejects what comes from an interface that is in none of its zones: its zone ``trusted`` is for those
    like ours.

    Its rules are its alone, and made anew whenever it likes: it has to be told.  A bridge that somebody has put into
    another zone stays there.  Raises :class:`ContainerError` when it refuses.
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
            f"firewalld rejects the containers' packets, and did not take {bridge} into its zone trusted: "
            f"{' '.join(refusal.split())}; run 'firewall-cmd --zone=trusted --change-interface={bridge}'"
        )


def _legacy(operation: str, bridge: str) -> None:
    """The same two rules for a firewall that still is in the old iptables, which nftables does not show."""
    try:
        with open("/proc/net/ip_tables_names") as file:
            if "filter\n" not in file.readlines():
                return
    except FileNotFoundError:  # a kernel without the old iptables
        return
    import shutil
    import subprocess

    command = shutil.which("iptables-legacy") or shutil.which("iptables")

    def iptables(*words: str) -> bool:
        return subprocess.run([command, "--wait", *words], capture_output=True).returncode == 0

    for chain in _FOREIGN_CHAINS if command else ():  # without the command, nobody has written rules with it
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
