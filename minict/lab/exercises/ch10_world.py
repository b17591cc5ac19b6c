"""Chapter 10: packets that leave with the host's address, ports that are published everywhere, names that are found."""

from __future__ import annotations

import re

from minict.engine.networks import dns, firewall
from minict.runtime.errors import ContainerError

from ..challenge import Challenge
from ..exercise import Exercise
from ..feedback import Feedback
from ..machines import NO_ROUTE, REFUSED, RESET, SILENCE, Machine, three_machines

_NOBODY = (SILENCE, REFUSED, NO_ROUTE, RESET)
_SECONDS = 40  # a call without an answer takes one and a half, and a busy machine its time

# Other addresses and names than in the text: nothing that is typed there is right here.
_HOST, _WORLD, _SUBNET, _BRIDGE, _OUTWARD = "198.51.100.1", "198.51.100.9", "192.168.7", "shop0", "wan0"
_CHAINS = """
    add table ip lab
    add chain ip lab postrouting { type nat hook postrouting priority srcnat; }
"""


def _street(boxes: int = 1) -> list[Machine]:
    """World, host and boxes, with routes and forwarding, and somebody at port 80 of the world and of each box."""
    machines = three_machines(host=_HOST, world=_WORLD, subnet=_SUBNET, bridge=_BRIDGE, outward=_OUTWARD, boxes=boxes)
    world, host, *inner = machines
    host.setting("net.ipv4.ip_forward", 1)
    for where in ("all", _BRIDGE):
        host.setting(f"net.ipv4.conf.{where}.send_redirects", 0)
    world.serve(80)
    for box in inner:
        box.do(f"ip route add default via {_SUBNET}.1")
        box.serve(80)
    return machines


def _apply(host: Machine, commands: str, what: str) -> None:
    """Load the learner's rules.  Raises :class:`Feedback` with what nftables has against them."""
    try:
        host.nft(commands)
    except ContainerError as error:
        why = _complaint(error)
        where = f"  {_refused_line(host, commands, why)}\n" if "\n" in commands.strip() else ""
        raise Feedback(f"nftables refuses {what}\n{where}  {why}\n{_remedy(commands, why)}") from None


def _complaint(error: ContainerError) -> str:
    return str(error).partition("Error: ")[2].rpartition("; ")[0].partition(": add ")[0]


def _refused_line(host: Machine, commands: str, why: str) -> str:
    """The line that nftables does not like: it names none, so load one line more each time until it says the same."""
    lines = commands.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            host.nft("\n".join(lines[:number]))
        except ContainerError as error:
            if _complaint(error) == why:
                return line.strip()
    return lines[0].strip()


_NAMES = (
    r"subnet|bridge|address|outside|inside|foreign|to_box"  # of variables: an f before the quotes puts in their values
)


def _remedy(commands: str, why: str) -> str:
    """What to do about *commands* that nftables has refused with *why*."""
    if braces := re.search(r"\{\s*(" + _NAMES + r")\s*\}", commands):
        return f"{braces[0]} should be a value: without an f before its quotes, a text keeps its braces."
    if "add rule ip lab postrouting add rule" in commands:
        return "Return the rule alone: the cell below writes add rule … before it."
    if "not supported" in why and "dnat" in commands:
        return "The kernel gives a packet a new destination only at prerouting and at output: which hook is this?"
    if "No such file" in why:
        return "A rule needs its chain, and a chain its table: add them first, each under the name that you use below."
    if "priority" in why:
        return "At output nft does not know the name dstnat: write -100, which is the same."
    return "Compare it word by word with the tables in the text."


# ---- world-1 ---------------------------------------------------------------------------------------------------


def check_masquerade(masquerade):
    """A box calls the world, the host calls the world from its second address, a box calls a box through the host."""
    world, host, box, other = _street(boxes=2)
    rule = masquerade(_BRIDGE, f"{_SUBNET}.0/24")
    if not isinstance(rule, str):
        raise Feedback(
            f'masquerade("{_BRIDGE}", "{_SUBNET}.0/24") returned {rule!r}. It should return a rule: one text.'
        )
    host.nft(_CHAINS)
    _apply(host, f"add rule ip lab postrouting {rule}", f"the rule: {rule}")
    world.listen()
    seen = world_sees(box, world)
    if seen in _NOBODY:
        heard = [each.partition(" ")[0] for each in world.heard()]
        if box.address in heard:
            raise Feedback(
                f"a box calls the world, and hears nothing: {seen}. The world got its packet, with the address "
                f"{box.address} as the sender, and can't answer there.\n{_side_by_side(host, rule)}"
            )
        raise Feedback(
            f"a box calls the world: {seen}. The world has heard {', '.join(heard) or 'nobody'}: an answer to "
            f"that address does not come back. {_HOST} is the host's own address out there, and the kernel knows it: "
            "masquerade takes the address of the interface by which the packet leaves."
        )
    if seen != _HOST:
        raise Feedback(f"a box calls the world, which sees {seen}. It should see the host, {_HOST}.")
    host.do(f"ip address add 198.51.100.7/24 dev {_OUTWARD}")
    seen = host.call(_WORLD, source="198.51.100.7").rpartition(" ")[2]
    if seen != "198.51.100.7":
        raise Feedback(
            f"the host itself calls the world from its second address, 198.51.100.7, and the world sees {seen}: the "
            "rule also changes packets that do not come from the subnet. Match their source: ip saddr."
        )
    outsider = "192.0.2.77"  # its network is also behind the bridge, and the world knows the way there
    box.do(f"ip address add {outsider}/32 dev eth0")
    host.do(f"ip route add {outsider} dev {_BRIDGE}")
    world.do(f"ip route add {outsider} via {_HOST}")
    seen = box.call(_WORLD, source=outsider).rpartition(" ")[2]
    if seen != outsider:
        raise Feedback(
            f"a machine behind the bridge with an address outside of the subnet, {outsider}, calls the world, which "
            f"sees {seen}: the rule should match the source, ip saddr, and leave others alone."
        )
    box.do(f"ip route add {other.address} via {_SUBNET}.1")
    seen = box.call(other.address).rpartition(" ")[2]
    if seen != box.address:
        raise Feedback(
            f"a box calls another box, and the host passes the packet on: the other one sees {seen}, and should see "
            f"{box.address}. What goes out by the bridge stays among the containers: it needs no other sender. Match "
            "only what leaves by something else."
        )


def _side_by_side(host: Machine, rule: str) -> str:
    """Why the *rule* has left a box's packet to the world alone: the two beside each other."""
    if "masquerade" not in host.rules() and "snat" not in host.rules():
        return f"The rule {rule} has no verb that writes another sender: masquerade."
    return (
        f"Your rule:  {rule}\n"
        f"The packet: from {_SUBNET}.2 to {_WORLD}, in by {_BRIDGE}, out by {_OUTWARD}\n"
        f'The call:   masquerade("{_BRIDGE}", "{_SUBNET}.0/24")\n'
        "So the rule does not match the packets that leave. Which of its matches is false? Is it made of the two arguments?"
    )


def world_sees(caller: Machine, world: Machine) -> str:
    """The address that the world sees when *caller* calls it, or why it does not answer."""
    answer = caller.call(world.address)
    return answer if answer in _NOBODY else answer.rpartition(" ")[2]


Exercise(
    "world-1",
    "Leave with the host's address",
    minutes=8,
    difficulty=2,
    reference=firewall.masquerade,
    check=check_masquerade,
    seconds=_SECONDS,
    starter='''
        def masquerade(bridge, subnet):
            """The rule: what comes from subnet and does not leave by bridge gets the host's own address."""
            rule = ...    # two matches and a verb, as a text
            return rule
    ''',
    hints=[
        "A rule is read from left to right: first what it matches, then what it does. Here two matches and one verb.",
        "The first match is where the packet comes from, ip saddr; the second is where it goes out, oifname. And "
        "they are the function's arguments: {subnet}, {bridge}.",
        'ip saddr {subnet}, then oifname != "{bridge}", then masquerade. With double quotes inside, put single ones '
        "around the text.",
    ],
    right={
        "the matches the other way round, and a counter": """
            def masquerade(bridge, subnet):
                return 'oifname != "' + bridge + '" ip saddr ' + subnet + ' counter masquerade'
        """,
        "by the way in": """
            def masquerade(bridge, subnet):
                return f"ip saddr {{ {subnet} }} meta oifname != {bridge} masquerade random"
        """,
        "by where it goes": """
            def masquerade(bridge, subnet):
                return "ip saddr %s ip daddr != %s masquerade" % (subnet, subnet)
        """,
    },
    wrong={
        "out by the bridge": (
            """
            def masquerade(bridge, subnet):
                return f'ip saddr {subnet} oifname "{bridge}" masquerade'
        """,
            "the rule does not match the packets that leave",
        ),
        "the names of the text": (
            """
            def masquerade(bridge, subnet):
                return 'ip saddr 10.99.0.0/24 oifname != "br0" masquerade'
        """,
            "made of the two arguments",
        ),
        "everything that leaves": (
            """
            def masquerade(bridge, subnet):
                return f'oifname != "{bridge}" masquerade'
        """,
            "do not come from the subnet",
        ),
        "wherever it goes": (
            """
            def masquerade(bridge, subnet):
                return f"ip saddr {subnet} masquerade"
        """,
            "stays among the containers",
        ),
        "the way out of the text": (
            """
            def masquerade(bridge, subnet):
                return f'ip saddr {subnet} oifname "eth0" masquerade'
        """,
            "made of the two arguments",
        ),
        "the match without its family": (
            """
            def masquerade(bridge, subnet):
                return f'saddr {subnet} oifname != "{bridge}" masquerade'
        """,
            "word by word",
        ),
        "a fixed address": (
            """
            def masquerade(bridge, subnet):
                return f'ip saddr {subnet} oifname != "{bridge}" snat to 203.0.113.1'
        """,
            "masquerade takes the address of the interface",
        ),
        "the destination": (
            """
            def masquerade(bridge, subnet):
                return f'ip daddr {subnet} oifname != "{bridge}" masquerade'
        """,
            "the rule does not match the packets that leave",
        ),
        "a whole command": (
            """
            def masquerade(bridge, subnet):
                return f'add rule ip lab postrouting ip saddr {subnet} oifname != "{bridge}" masquerade'
        """,
            "Return the rule alone",
        ),
        "a verb too few": (
            """
            def masquerade(bridge, subnet):
                return f'ip saddr {subnet} oifname != "{bridge}"'
        """,
            "has no verb that writes another sender",
        ),
        "another verb": (
            """
            def masquerade(bridge, subnet):
                return f'ip saddr {subnet} oifname != "{bridge}" accept'
        """,
            "has no verb that writes another sender",
        ),
        "by the way in, without the subnet": (
            """
            def masquerade(bridge, subnet):
                return f'iifname "{bridge}" oifname != "{bridge}" masquerade'
        """,
            "an address outside of the subnet",
        ),
        "the f is missing": (
            """
            def masquerade(bridge, subnet):
                return 'ip saddr {subnet} oifname != "{bridge}" masquerade'
        """,
            "without an f before its quotes",
        ),
        "several rules": (
            """
            def masquerade(bridge, subnet):
                return [f'ip saddr {subnet} oifname != "{bridge}" masquerade']
        """,
            "one text",
        ),
    },
)


# ---- world-2 ---------------------------------------------------------------------------------------------------

_FURTHER = "198.51.100.127"  # a second address of the world: not everything with 127 in it is a loopback
_FILES = {  # what a resolv.conf says, and the addresses that its lines with a name server have
    "the resolver of systemd": (
        "# This is /run/systemd/resolve/stub-resolv.conf\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n",
        ["127.0.0.53"],
    ),
    "two that answer": (f"search lan\nnameserver {_WORLD}\nnameserver {_SUBNET}.1\n", [_WORLD, f"{_SUBNET}.1"]),
    "comments": (f"#nameserver {_SUBNET}.1\n; nameserver {_SUBNET}.1\nnameserver\t{_WORLD}   # ours\n", [_WORLD]),
    "IPv6": (f"nameserver ::1\nnameserver 2001:db8::53\nnameserver {_HOST}\n", ["::1", "2001:db8::53", _HOST]),
    "other loopbacks": (
        f"nameserver 127.0.0.1\nnameserver 0.0.0.0\nnameserver 127.1.2.3\nnameserver {_FURTHER}\n",
        ["127.0.0.1", "0.0.0.0", "127.1.2.3", _FURTHER],
    ),
    "an unfinished line": ("nameserver\n\noptions nameserver rotate\n", []),
    "nothing": ("", []),
}


def check_reachable(reachable):
    """Name servers at several addresses; a box asks each one that a file names, and the kernel says which can be
    reached."""
    world, host, box = _street()
    host.nft(_CHAINS + f'add rule ip lab postrouting ip saddr {_SUBNET}.0/24 oifname != "{_BRIDGE}" masquerade')
    world.do(f"ip address add {_FURTHER}/24 dev eth0")
    names = {"shop.example": _WORLD}
    for address in (_WORLD, _FURTHER):
        world.serve_names(names, address)
    for address in ("127.0.0.53", "127.0.0.1", "127.1.2.3", _HOST, f"{_SUBNET}.1"):
        host.serve_names(names, address)
    for text, named in _FILES.values():
        told = {address: box.look_up("shop.example", address) for address in named}
        wanted = [address for address in named if told[address] == _WORLD]
        found = reachable(text)
        if found != wanted:
            raise Feedback(f"for\n{_indented(text)}reachable() returned {found!r}. {_difference(found, wanted, told)}")


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines()) or "    (an empty file)\n"


def _difference(found, wanted: list[str], told: dict[str, str]) -> str:
    if not isinstance(found, list):
        return f"It should return a list of texts: {wanted}."
    for address in found:
        if not isinstance(address, str):
            return f"It should return a list of texts: {wanted}."
        if address not in told:
            return f"{address!r} is not the address of a line that begins with the word nameserver."
        if address not in wanted:
            return f"A box asked the name server at {address}: {told[address]}. " + (
                "The box has no IPv6."
                if ":" in address
                else "To the box, that address is the box itself, not the host."
            )
    for address in wanted:
        if address not in found:
            return f"A box asked the name server at {address}, and got an answer: it belongs in the list."
    return f"The order should be that of the file, each once: {wanted}."


Exercise(
    "world-2",
    "Whom can a container ask?",
    minutes=7,
    difficulty=1,
    reference=dns.reachable,
    check=check_reachable,
    seconds=_SECONDS,
    starter='''
        def reachable(text):
            """The addresses of the name servers in a resolv.conf that a container can ask, in their order."""
            servers = []
            for line in text.splitlines():
                words = line.split()
                ...    # is it a line with a name server? can a container reach it?
            return servers
    ''',
    hints=[
        'A line with a name server has two words or more, and the first is "nameserver". The second is the address.',
        "Three kinds cannot be reached: the loopback, 127 and anything; 0.0.0.0, which means this machine itself; and "
        "IPv6, which has colons.",
        'if words[:1] == ["nameserver"] and len(words) > 1, then ask words[1].startswith(("127.", "0.")) and ":" in '
        "words[1].",
    ],
    right={
        "with the module ipaddress": """
            def reachable(text):
                import ipaddress
                servers = []
                for line in text.splitlines():
                    words = line.split()
                    if len(words) >= 2 and words[0] == "nameserver":
                        address = ipaddress.ip_address(words[1])
                        if address.version == 4 and not address.is_loopback and not address.is_unspecified:
                            servers.append(words[1])
                return servers
        """,
        "with a pattern": """
            def reachable(text):
                import re
                return re.findall(r"^nameserver[ \\t]+(?!127\\.|0\\.)([0-9.]+)(?![0-9.:])", text, re.M)
        """,
        "in one line": """
            def reachable(text):
                lines = [each.split() for each in text.splitlines() if each.startswith("nameserver")]
                return [w[1] for w in lines if len(w) > 1 and w[1].split(".")[0] not in ("127", "0") and ":" not in w[1]]
        """,
    },
    wrong={
        "all of them": (
            """
            def reachable(text):
                lines = [line.split() for line in text.splitlines()]
                return [line[1] for line in lines if line[:1] == ["nameserver"] and len(line) > 1]
        """,
            "that address is the box itself",
        ),
        "the one of systemd": (
            """
            def reachable(text):
                lines = [line.split() for line in text.splitlines()]
                found = [line[1] for line in lines if line[:1] == ["nameserver"] and len(line) > 1]
                return [each for each in found if each != "127.0.0.53" and ":" not in each]
        """,
            "asked the name server at 127.0.0.1: refused",
        ),
        "IPv6 too": (
            """
            def reachable(text):
                lines = [line.split() for line in text.splitlines()]
                found = [line[1] for line in lines if line[:1] == ["nameserver"] and len(line) > 1]
                return [each for each in found if not each.startswith(("127.", "0."))]
        """,
            "The box has no IPv6",
        ),
        "whatever has a 127 in it": (
            """
            def reachable(text):
                lines = [line.split() for line in text.splitlines()]
                found = [line[1] for line in lines if line[:1] == ["nameserver"] and len(line) > 1]
                return [each for each in found if "127" not in each and ":" not in each and each != "0.0.0.0"]
        """,
            "it belongs in the list",
        ),
        "comments too": (
            """
            def reachable(text):
                found = [line.split()[-1] for line in text.splitlines() if "nameserver" in line]
                return [each for each in found if not each.startswith(("127.", "0.")) and ":" not in each]
        """,
            "begins with the word nameserver",
        ),
        "an unfinished line": (
            """
            def reachable(text):
                found = [line.split()[1] for line in text.splitlines() if line.startswith("nameserver")]
                return [each for each in found if not each.startswith(("127.", "0.")) and ":" not in each]
        """,
            "raised IndexError",
        ),
        "one text": (
            """
            def reachable(text):
                lines = [line.split() for line in text.splitlines()]
                found = [line[1] for line in lines if line[:1] == ["nameserver"] and len(line) > 1]
                return " ".join(each for each in found if not each.startswith(("127.", "0.")) and ":" not in each)
        """,
            "a list of texts",
        ),
        "sorted": (
            """
            def reachable(text):
                lines = [line.split() for line in text.splitlines()]
                found = {line[1] for line in lines if line[:1] == ["nameserver"] and len(line) > 1}
                return sorted(each for each in found if not each.startswith(("127.", "0.")) and ":" not in each)
        """,
            "The order should be that of the file",
        ),
    },
)


# ---- world-3 ---------------------------------------------------------------------------------------------------

_PORTS = f"""
    add element inet minict ports {{ tcp . 8080 : {_SUBNET}.2 . 80 }}
    add element inet minict ports-at {{ {_HOST} . tcp . 8081 : {_SUBNET}.2 . 80 }}
"""


def check_port_chains(port_chains):
    """One port published everywhere, one at one address; then those who may reach them, and somebody who may not."""
    world, host, box = _street()
    chains = port_chains()
    _check_form(chains)
    _try_each(host, chains)
    host.nft(firewall.transaction({**chains, **firewall.bridge_chains(_BRIDGE, f"{_SUBNET}.0/24")}))
    host.nft(_PORTS)
    host.setting(f"net.ipv4.conf.{_BRIDGE}.route_localnet", 1)
    arriving = (
        f"Packets from outside pass the hook prerouting: is there a chain, and do its rules match what goes to {_HOST}?"
    )
    if len(chains) == 1:
        arriving = f"There is one chain, {next(iter(chains))!r}: of two entries with the same name a dictionary keeps the last."
    _reaches(world, _HOST, 8080, _WORLD, arriving)
    _reaches(world, _HOST, 8081, _WORLD, "This port is published at one address. There are two rules: use both.")
    own = "What the host itself sends does not arrive from outside, and the rules in prerouting are not asked. At which hook does it begin?"
    _reaches(host, _HOST, 8080, _HOST, own)
    _reaches(host, _HOST, 8081, _HOST, "This port is published at one address. There are two rules: use both.")
    _reaches(
        host,
        "127.0.0.1",
        8080,
        f"{_SUBNET}.1",
        "It is the host's own packet, to 127.0.0.1: in the output chain such a packet is welcome.",
    )
    _reaches(box, _HOST, 8080, f"{_SUBNET}.1", "The box calls its own published port, by the host's address.")
    world.serve(8080)
    answer = box.call(_WORLD, 8080)
    if not answer.startswith("world"):
        raise Feedback(
            f"a box calls port 8080 of the world, and the answer is: {answer}. The rules must only match packets that "
            "are addressed to the host itself: that is what fib daddr type local says in the rules above."
        )
    world.do("ip address flush dev lo")  # a machine to which 127.0.0.1 is somebody else
    world.setting("net.ipv4.conf.eth0.route_localnet", 1)
    world.do(f"ip route add 127.0.0.0/8 via {_HOST}")
    answer = world.call("127.5.5.5", 8080)
    if answer not in _NOBODY:
        raise Feedback(
            f"another machine has sent the host a packet that is addressed to 127.5.5.5, and got an answer: {answer}. "
            "All addresses that begin with 127 mean the host itself. What the host publishes for itself alone would be open to every machine of its network (CVE-2020-8558). In prerouting, "
            "translate nothing that is addressed to 127.0.0.0/8."
        )


def _check_form(chains) -> None:
    form = "It should return a dictionary: name of a chain -> (hook, rules)"
    if not isinstance(chains, dict):
        raise Feedback(f"port_chains() returned {chains!r}. {form}.")
    for name, value in chains.items():
        if not (isinstance(value, (tuple, list)) and len(value) == 2):
            raise Feedback(f"for the chain {name!r} there is {value!r}. {form}.")
        hook, rules = value
        if not isinstance(hook, str):
            raise Feedback(f"the hook of the chain {name!r} is {hook!r}, and should be a text that ends with ;.")
        if not isinstance(rules, (tuple, list)) or not all(isinstance(rule, str) for rule in rules):
            raise Feedback(
                f"the rules of the chain {name!r} are {rules!r}, and should be several texts: a tuple or a list. (A "
                "tuple of one has a comma: (rule,).)"
            )


def _try_each(host: Machine, chains: dict) -> None:
    """Load one chain and one rule after the other, so that the feedback can name what nftables refuses."""
    host.nft(firewall.transaction({}))
    for name, (hook, rules) in chains.items():
        _apply(host, f"add chain inet minict try {{ {hook} }}", f"the hook of the chain {name!r}: {hook}")
        for rule in rules:
            _apply(host, f"add rule inet minict try {rule}", f"this rule of the chain {name!r}: {rule}")
        host.nft("delete chain inet minict try")
    host.nft("delete table inet minict")


def _under_their_names(port_chains):
    """The learner's chains under the package's names, which removes chains by name: those at one hook become one."""
    named = {}
    for name, (hook, rules) in port_chains().items():
        where = next((f"{each}-ports" for each in ("prerouting", "output") if f"hook {each} " in hook), name)
        named[where] = (hook, (*named.get(where, ("", ()))[1], *rules))
    return named


def _reaches(caller: Machine, address: str, port: int, sees: str, why: str) -> None:
    answer = caller.call(address, port)
    if answer != f"box sees {sees}":
        raise Feedback(
            f"port {port} is published; {caller.name} calls {address}:{port}: {answer}. "
            f"It should be: box sees {sees}. {why}"
        )


Exercise(
    "world-3",
    "Publish a port, for everybody",
    minutes=10,
    difficulty=3,
    reference=firewall.port_chains,
    check=check_port_chains,
    seconds=_SECONDS,
    imports="from minict.engine.networks.firewall import TO_PORT, TO_PORT_AT_ADDRESS",
    adapt=_under_their_names,
    starter='''
        def port_chains():
            """The chains for published ports: a name -> (its hook, its rules)."""
            foreign = ...    # a match: not addressed to this machine's own loopback
            return {
                "prerouting-ports": (
                    "type nat hook prerouting priority dstnat;",
                    (f"{foreign} {TO_PORT_AT_ADDRESS}", f"{foreign} {TO_PORT}"),
                ),
                ...: ...,    # and for what the host itself sends
            }
    ''',
    hints=[
        "Look at the picture of the hooks: what does a packet pass first that a program of the host sends?",
        'The second chain has both rules, and no further match: "output-ports": (its hook, (TO_PORT_AT_ADDRESS, '
        "TO_PORT)). Its hook has the priority -100, which is what dstnat means in prerouting.",
        'The match compares the destination: "ip daddr != 127.0.0.0/8".',
    ],
    right={
        "match and rule": """
            def port_chains():
                chains = {}
                for hook, match in (("prerouting", "ip daddr != 127.0.0.0/8 "), ("output", "")):
                    chains[hook] = (f"type nat hook {hook} priority -100;", [match + TO_PORT_AT_ADDRESS, match + TO_PORT])
                return chains
        """,
        "a loop over the hooks": """
            def port_chains():
                chains = {}
                for hook, match in (("prerouting", "ip daddr != 127.0.0.0/8 "), ("output", "")):
                    rules = [match + rule for rule in (TO_PORT_AT_ADDRESS, TO_PORT)]
                    chains[hook] = (f"type nat hook {hook} priority -100;", rules)
                return chains
        """,
        "what is for the loopback leaves the chain": """
            def port_chains():
                rules = [TO_PORT_AT_ADDRESS, TO_PORT]
                return {
                    "prerouting-ports": (
                        "type nat hook prerouting priority dstnat; policy accept;",
                        ["ip daddr 127.0.0.0/8 return", *rules],
                    ),
                    "output-ports": ("type nat hook output priority -100; policy accept;", rules),
                }
        """,
        "by where the packet came in": """
            def port_chains():
                rules = (TO_PORT_AT_ADDRESS, TO_PORT)
                return {
                    "in": (
                        "type nat hook prerouting priority -101;",
                        tuple("ip daddr != { 127.0.0.0-127.255.255.255 } " + rule for rule in rules),
                    ),
                    "own": ("type nat hook output priority -99;", rules),
                }
        """,
    },
    wrong={
        "prerouting alone": (
            """
            def port_chains():
                foreign = "ip daddr != 127.0.0.0/8"
                return {
                    "prerouting-ports": (
                        "type nat hook prerouting priority dstnat;",
                        (f"{foreign} {TO_PORT_AT_ADDRESS}", f"{foreign} {TO_PORT}"),
                    ),
                }
        """,
            "At which hook does it begin?",
        ),
        "inverted": (
            """
            def port_chains():
                foreign = "ip daddr 127.0.0.0/8"
                return {
                    "prerouting-ports": (
                        "type nat hook prerouting priority dstnat;",
                        (f"{foreign} {TO_PORT_AT_ADDRESS}", f"{foreign} {TO_PORT}"),
                    ),
                    "output-ports": ("type nat hook output priority -100;", (TO_PORT_AT_ADDRESS, TO_PORT)),
                }
        """,
            "do its rules match what goes to 198.51.100.1",
        ),
        "one name for both": (
            """
            def port_chains():
                foreign = "ip daddr != 127.0.0.0/8"
                return {
                    "prerouting-ports": ("type nat hook prerouting priority dstnat;", (f"{foreign} {TO_PORT}",)),
                    "prerouting-ports": ("type nat hook output priority -100;", (TO_PORT_AT_ADDRESS, TO_PORT)),
                }
        """,
            "a dictionary keeps the last",
        ),
        "the name of the priority": (
            """
            def port_chains():
                foreign = "ip daddr != 127.0.0.0/8"
                rules = (f"{foreign} {TO_PORT_AT_ADDRESS}", f"{foreign} {TO_PORT}")
                return {
                    "prerouting-ports": ("type nat hook prerouting priority dstnat;", rules),
                    "output-ports": ("type nat hook output priority dstnat;", (TO_PORT_AT_ADDRESS, TO_PORT)),
                }
        """,
            "write -100",
        ),
        "input": (
            """
            def port_chains():
                foreign = "ip daddr != 127.0.0.0/8"
                return {
                    "prerouting-ports": (
                        "type nat hook prerouting priority dstnat;",
                        (f"{foreign} {TO_PORT_AT_ADDRESS}", f"{foreign} {TO_PORT}"),
                    ),
                    "input-ports": ("type nat hook input priority 100;", (TO_PORT_AT_ADDRESS, TO_PORT)),
                }
        """,
            "only at prerouting and at output",
        ),
        "the loopback is left out twice": (
            """
            def port_chains():
                foreign = "ip daddr != 127.0.0.0/8"
                rules = (f"{foreign} {TO_PORT_AT_ADDRESS}", f"{foreign} {TO_PORT}")
                return {
                    "prerouting-ports": ("type nat hook prerouting priority dstnat;", rules),
                    "output-ports": ("type nat hook output priority -100;", rules),
                }
        """,
            "in the output chain such a packet is welcome",
        ),
        "anybody may call the loopback": (
            """
            def port_chains():
                rules = (TO_PORT_AT_ADDRESS, TO_PORT)
                return {
                    "prerouting-ports": ("type nat hook prerouting priority dstnat;", rules),
                    "output-ports": ("type nat hook output priority -100;", rules),
                }
        """,
            "CVE-2020-8558",
        ),
        "one loopback address of many": (
            """
            def port_chains():
                foreign = "ip daddr != 127.0.0.1"
                return {
                    "prerouting-ports": (
                        "type nat hook prerouting priority dstnat;",
                        (f"{foreign} {TO_PORT_AT_ADDRESS}", f"{foreign} {TO_PORT}"),
                    ),
                    "output-ports": ("type nat hook output priority -100;", (TO_PORT_AT_ADDRESS, TO_PORT)),
                }
        """,
            "All addresses that begin with 127",
        ),
        "half a match": (
            """
            def port_chains():
                foreign = "!= 127.0.0.0/8"
                return {
                    "prerouting-ports": (
                        "type nat hook prerouting priority dstnat;",
                        (f"{foreign} {TO_PORT_AT_ADDRESS}", f"{foreign} {TO_PORT}"),
                    ),
                    "output-ports": ("type nat hook output priority -100;", (TO_PORT_AT_ADDRESS, TO_PORT)),
                }
        """,
            "this rule of the chain 'prerouting-ports': != 127.0.0.0/8",
        ),
        "one rule": (
            """
            def port_chains():
                foreign = "ip daddr != 127.0.0.0/8"
                return {
                    "prerouting-ports": ("type nat hook prerouting priority dstnat;", (f"{foreign} {TO_PORT}",)),
                    "output-ports": ("type nat hook output priority -100;", (TO_PORT,)),
                }
        """,
            "There are two rules",
        ),
        "a text where a tuple belongs": (
            """
            def port_chains():
                foreign = "ip daddr != 127.0.0.0/8"
                return {
                    "prerouting-ports": ("type nat hook prerouting priority dstnat;", f"{foreign} {TO_PORT}"),
                    "output-ports": ("type nat hook output priority -100;", (TO_PORT,)),
                }
        """,
            "has a comma",
        ),
        "whatever is sent to that port of any machine": (
            """
            def port_chains():
                everything = "meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @ports"
                foreign = "ip daddr != 127.0.0.0/8"
                return {
                    "prerouting-ports": (
                        "type nat hook prerouting priority dstnat;",
                        (f"{foreign} {TO_PORT_AT_ADDRESS}", f"{foreign} {everything}"),
                    ),
                    "output-ports": ("type nat hook output priority -100;", (TO_PORT_AT_ADDRESS, TO_PORT)),
                }
        """,
            "addressed to the host itself",
        ),
    },
)


# ---- the challenge -----------------------------------------------------------------------------------------------


def check_publish(publish):
    """The whole ladder at once: who reaches the port, what the box sees, and who is left alone."""
    world, host, box = _street()
    host.nft(_CHAINS + f'add rule ip lab postrouting ip saddr {_SUBNET}.0/24 oifname != "{_BRIDGE}" masquerade')
    host.setting(f"net.ipv4.conf.{_BRIDGE}.route_localnet", 1)
    commands = publish(8443, box.address, 80, _BRIDGE)
    if not isinstance(commands, str):
        raise Feedback(f"publish(…) returned {commands!r}. It should return the commands for nft: one text.")
    _apply(host, commands, "the commands")
    if f"{_SUBNET}.0/24" not in host.rules():
        raise Feedback(
            "after publish(…) the rules that were there before are gone, and the boxes no longer reach the world: "
            "other tables belong to others. Flush and delete nothing that you have not added."
        )
    gateway = f"{_SUBNET}.1"
    if world.call(_HOST, 8443) == f"box sees {gateway}":
        raise Feedback(
            f"world calls {_HOST}:8443: box sees {gateway}. It should be: box sees {_WORLD}. The call arrives, but its sender "
            "was changed on the way, and the server would take all callers for one. Masquerade only what comes from "
            "127.0.0.0/8, and what the box sends to itself."
        )
    _published(
        world,
        _HOST,
        _WORLD,
        f"From outside: translate the destination in prerouting, from port 8443 to {box.address}:80, the arguments.",
    )
    _published(host, _HOST, (_HOST, gateway), "The host's own packets begin at output, and not at prerouting.")
    _published(
        host,
        "127.0.0.1",
        gateway,
        "The packet leaves by the bridge with 127.0.0.1 as its sender, which in the box means the box itself, and the box drops "
        "it: give it the host's address on the way out.",
    )
    _published(
        box,
        _HOST,
        gateway,
        "The box calls itself through the host: it gets a packet that comes from its own address, and drops it. Give "
        "it the host's address as well.",
    )
    world.serve(8443)
    answer = box.call(_WORLD, 8443)
    if not answer.startswith("world"):
        raise Feedback(
            f"a box calls port 8443 of the world, and the answer is: {answer}. Match what is addressed to the host "
            "alone: fib daddr type local."
        )
    answer = world.call(_HOST, 8444)
    if answer != REFUSED:
        raise Feedback(
            f"the world calls port 8444 of the host, which nobody has published: {answer}, and not {REFUSED}."
        )


def _published(caller: Machine, address: str, sees: str | tuple[str, ...], why: str) -> None:
    answer, wanted = caller.call(address, 8443), (sees,) if isinstance(sees, str) else sees
    if answer not in [f"box sees {each}" for each in wanted]:
        raise Feedback(
            f"publish(8443, …, 80, …) was loaded; {caller.name} calls {address}:8443: {answer}. It should be: box sees "
            f"{wanted[0]}. {why}"
        )


_SOLUTION = """
    def publish(outside, address, inside, bridge):
        to_box = f"fib daddr type local tcp dport {outside} dnat to {address}:{inside}"
        return f'''
            add table ip mine
            add chain ip mine arriving {{ type nat hook prerouting priority dstnat; }}
            add chain ip mine own {{ type nat hook output priority -100; }}
            add chain ip mine leaving {{ type nat hook postrouting priority srcnat; }}
            add rule ip mine arriving {to_box}
            add rule ip mine own {to_box}
            add rule ip mine leaving ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
            add rule ip mine leaving ip saddr {address} oifname "{bridge}" ct status dnat masquerade
        '''
"""


def _without(line: str) -> str:
    assert line in _SOLUTION
    return _SOLUTION.replace(line, "")


Challenge(
    "publish",
    "Publish a port, from an empty cell",
    name="publish",
    minutes=12,
    difficulty=3,
    check=check_publish,
    seconds=_SECONDS,
    hints=[
        "Three chains of type nat: at prerouting (priority dstnat), at output (-100), at postrouting (srcnat). The first "
        "two get the same rule.",
        "That rule: fib daddr type local tcp dport {outside} dnat to {address}:{inside}. At postrouting there are two: "
        "for senders in 127.0.0.0/8, and for the box itself, when they go out by the bridge.",
        "In an f-string a brace that should stay is written twice: {{ type nat hook output priority -100; }}.",
    ],
    solution=_SOLUTION,
    right={
        "a table of another family, and one rule for both senders": """
            def publish(outside, address, inside, bridge):
                lines = ["add table inet p"]
                hooks = {"prerouting": -100, "output": -100, "postrouting": 100}
                for hook, priority in hooks.items():
                    lines.append(f"add chain inet p {hook} {{ type nat hook {hook} priority {priority}; }}")
                for hook in ("prerouting", "output"):
                    lines.append(
                        f"add rule inet p {hook} fib daddr type local tcp dport {outside} dnat ip to {address}:{inside}"
                    )
                lines.append(
                    f"add rule inet p postrouting oifname {bridge} ip saddr {{ 127.0.0.1, {address} }} masquerade"
                )
                return "; ".join(lines)
        """,
        "as one block": """
            def publish(outside, address, inside, bridge):
                return '''table ip block {
                    chain a { type nat hook prerouting priority dstnat; fib daddr type local tcp dport OUT dnat to BOX; }
                    chain b { type nat hook output priority -100; fib daddr type local tcp dport OUT dnat to BOX; }
                    chain c {
                        type nat hook postrouting priority srcnat;
                        oifname "BRIDGE" ct status dnat fib saddr type local masquerade
                        oifname "BRIDGE" iifname "BRIDGE" ct status dnat masquerade
                    }
                }'''.replace("OUT", str(outside)).replace("BOX", f"{address}:{inside}").replace("BRIDGE", bridge)
        """,
        "with a map": """
            def publish(outside, address, inside, bridge):
                chain = "add chain ip m {0} {{ type nat hook {0} priority {1}; }}"
                rule = f"fib daddr type local dnat ip to tcp dport map {{ {outside} : {address} . {inside} }}"
                return "\\n".join([
                    "add table ip m",
                    chain.format("prerouting", "dstnat"), chain.format("output", "-100"),
                    chain.format("postrouting", "srcnat"),
                    f"add rule ip m prerouting {rule}", f"add rule ip m output {rule}",
                    f"add rule ip m postrouting ip saddr 127.0.0.0/8 oifname {bridge} masquerade",
                    f"add rule ip m postrouting ip saddr {address} ip daddr {address} masquerade",
                ])
        """,
    },
    wrong={
        "not for the host itself": (_without("add rule ip mine own {to_box}"), "begin at output"),
        "not for localhost": (
            _without('add rule ip mine leaving ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade'),
            "means the box itself",
        ),
        "not for the box itself": (
            _without('add rule ip mine leaving ip saddr {address} oifname "{bridge}" ct status dnat masquerade'),
            "The box calls itself through the host",
        ),
        "that port of any machine": (_without("fib daddr type local "), "addressed to the host"),
        "every port": (_SOLUTION.replace("tcp dport {outside}", "meta l4proto tcp"), "which nobody has published"),
        "the port of the text": (_SOLUTION.replace("{outside}", "8080"), "From outside"),
        "all senders": (
            _SOLUTION.replace("ip saddr 127.0.0.0/8 oifname", "oifname"),
            "its sender was changed on the way",
        ),
        "empties the host": (
            _SOLUTION.replace("add table ip mine", "flush ruleset; add table ip mine"),
            "belong to others",
        ),
        "no table": (_without("add table ip mine"), "a chain its table"),
        "no protocol": (
            _SOLUTION.replace("tcp dport", "dport"),
            "add rule ip mine arriving fib daddr type local dport 8443 dnat to 192.168.7.2:80",
        ),
        "prints it": (
            _SOLUTION.replace("return f'''", "print(f'''").replace("        '''\n", "        ''')\n"),
            "print",
        ),
    },
)
