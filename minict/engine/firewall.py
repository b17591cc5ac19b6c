"""What the firewall lets through for a bridge of containers: its own chains, and a word to the firewalls of others.

All rules are in one table of ours, ``inet minict``; each bridge has two chains in it.  Tables do
not outvote each other: a packet must be accepted by every chain that sees it, and one drop is
final.  So our chains only drop what must not reach a container, and where another firewall drops
what is forwarded (Docker's, ufw's), two rules in *its* chain let the bridge's packets pass.

Sources: nft(8); https://docs.docker.com/engine/network/packet-filtering-firewalls/ (DOCKER-USER).
"""
from __future__ import annotations

from . import nft

# Where others decide about forwarded packets: Docker keeps the first for such rules, the second is everybody's.
_FOREIGN_CHAINS = ("DOCKER-USER", "FORWARD")

# What may stand in a rule of ours there, in the various ways of showing it, beside what it matches and numbers.
_PLAIN = {"counter", "packets", "bytes", "accept", "comment", '"minict"', "xt", "match", '"comment"'}


def _rules(bridge: str, subnet: str) -> dict[str, tuple[str, ...]]:
    """The rules of each chain, written just as nft shows them: so they can be found again."""
    from_world = f'iifname != "{bridge}" oifname "{bridge}"'
    return {
        # The world can't answer to a private address: what leaves the host carries the host's own.
        f"postrouting-{bridge}": (f'ip saddr {subnet} oifname != "{bridge}" masquerade',),
        f"forward-{bridge}": (
            # A tunnel on the way out (a VPN) takes smaller packets than the bridge does: tell both ends at once.
            f'iifname "{bridge}" oifname != "{bridge}" tcp flags syn tcp option maxseg size set rt mtu',
            # The host forwards packets now.  A neighbour must not use that to reach a container: only
            # answers, and what comes to a published port, go in.
            f"{from_world} ct state established,related accept",
            f"{from_world} ct status dnat accept",
            f"{from_world} drop",
        ),
    }


def open_for(bridge: str, subnet: str) -> None:
    """Let the containers on *bridge* reach the world; nothing is changed when all rules are there.

    Raises :class:`minict.runtime.errors.ContainerError`.
    """
    # Looking costs 0.2 ms.  To replace rules costs 10: the kernel waits until no packet uses the old ones.
    present = nft.listing("list table inet minict")
    if not all(rule in present for rules in _rules(bridge, subnet).values() for rule in rules):
        nft.apply(_transaction(bridge, subnet))
    for chain in _FOREIGN_CHAINS:
        present = nft.listing(f"list chain ip filter {chain}")
        if present:
            for way in ("iifname", "oifname"):
                if not _handles(present, f'{way} "{bridge}"'):
                    nft.apply(f'insert rule ip filter {chain} {way} "{bridge}" counter accept comment "minict"')
            break
    _legacy("-I", bridge)


def close_for(bridge: str) -> bool:
    """Undo :func:`open_for`; with the last bridge, our table goes.  Returns whether there was anything of ours."""
    present = nft.listing("list table inet minict")
    chains = [chain for chain in _rules(bridge, "") if f"chain {chain} {{" in present]
    if chains:
        nft.apply("\n".join(f"delete chain inet minict {chain}" for chain in chains))
    if present and "chain" not in nft.listing("list table inet minict"):
        nft.apply("delete table inet minict")
    for chain in _FOREIGN_CHAINS:
        present = nft.listing(f"list chain ip filter {chain}")
        for handle in _handles(present, f'iifname "{bridge}"') + _handles(present, f'oifname "{bridge}"'):
            nft.apply(f"delete rule ip filter {chain} handle {handle}")
    _legacy("-D", bridge)
    return bool(chains)


def _transaction(bridge: str, subnet: str) -> str:
    """The text that brings our chains into being, whatever is there of them."""
    lines = ["add table inet minict",
             f"add chain inet minict postrouting-{bridge} {{ type nat hook postrouting priority srcnat; }}",
             f"add chain inet minict forward-{bridge} {{ type filter hook forward priority filter; }}"]
    for chain, rules in _rules(bridge, subnet).items():
        lines.append(f"flush chain inet minict {chain}")
        lines.extend(f"add rule inet minict {chain} {rule}" for rule in rules)
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
