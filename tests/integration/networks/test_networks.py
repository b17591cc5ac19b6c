"""Networks created by users, and real containers on them: names, addresses, isolation, changes while they run.

The evidence is what a container itself sees, sockets opened inside its namespace, and pyroute2, which asks the kernel
directly.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from pyroute2 import IPRoute

from minict.engine.containers.store import Record, records
from minict.engine.networks import connect, endpoints, ipam, portmapper, state, store
from minict.runtime import paths
from minict.runtime.state import State
from tests.integration.networks.test_bridge import die_at_line
from tests.support.command_line import MINICT, PATIENCE, minict, refused, wait_until
from tests.support.in_child import exit_code
from tests.support.network_world import HOST, WORLD, Machine, reach, sh, unreachable


def done(*words: str, **options) -> str:
    """Run ``minict WORDS…``, which must succeed; return its output."""
    result = minict(*words, **options)
    assert (result.returncode, result.stderr) == (0, ""), result
    return result.stdout.strip()


class Box(Machine):
    """A container in the background, which sleeps."""

    def __init__(self, image: str, *flags: str):
        if "--dns" not in flags and not any(flag.startswith("container:") for flag in flags):
            flags = ("--dns", "127.0.0.1", *flags)  # no server: an unknown name is unknown at once
        self.id = done("run", "-d", *flags, image, "sleep", "1000")

    @property
    def pid(self) -> int:
        return State(self.id).pid()

    @property
    def ip(self) -> str:
        return self.on()["IPAddress"]

    def on(self, network: str = "") -> dict:
        """Its endpoint on a *network*, or its first."""
        found = state.network_settings(self.id)["Networks"]
        return found[network] if network else next(iter(found.values()))

    def says(self, *words: str) -> str:
        return done("exec", self.id, *words)

    def hosts(self) -> list[list[str]]:
        return [line.split() for line in self.says("cat", "/etc/hosts").splitlines()]

    def knows(self, name: str) -> str | None:
        """The address to which a program inside finds *name*."""
        answer = minict("exec", self.id, "ping", "-c", "1", "-W", "1", name).stdout
        return answer.partition("(")[2].partition(")")[0] or None

    def end(self):
        minict("rm", "-f", self.id)


@pytest.fixture
def boxes(world, image, bare):
    """A function that starts containers, which are removed at the end."""
    made = []

    def make(*flags: str) -> Box:
        made.append(Box(image, *flags))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.fixture
def bare(host):
    """A host without networks, and the proof that all networks can be removed again."""
    with IPRoute() as kernel:
        before = sorted(link.get("ifname") for link in kernel.get_links())
    yield
    minict("network", "prune", "-f")
    minict("prune")
    assert not os.path.exists(f"{paths.data_root()}/networks") and not os.path.exists(f"{paths.run_root()}/networks")
    assert sh("nft", "list", "tables") == ""

    def links() -> list[str]:
        with IPRoute() as kernel:
            return sorted(link.get("ifname") for link in kernel.get_links())

    wait_until(lambda: [name for name in links() if name not in ("uplink0", *before)] == [])


def bridges() -> dict[str, list[str]]:
    """What the kernel has, according to pyroute2: bridges with their addresses."""
    with IPRoute() as kernel:
        return {
            link.get("ifname"): [
                f"{each.get('IFA_ADDRESS')}/{each['prefixlen']}"
                for each in kernel.get_addr(index=link["index"], family=2)
            ]
            for link in kernel.get_links()
            if link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "bridge"
        }


# ---- made, listed, removed ---------------------------------------------------------------------------------------


def test_a_network_is_made_listed_inspected_and_removed(bare):
    id = done(
        "network",
        "create",
        "--subnet",
        "10.9.8.0/24",
        "--gateway",
        "10.9.8.9",
        "--ip-range",
        "10.9.8.128/25",
        "--internal",
        "--label",
        "class=3",
        "--label",
        "empty",
        "back",
    )
    assert len(id) == 64
    listed = [line.split() for line in done("network", "ls").splitlines()]
    assert listed[0] == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
    assert [(line[1], line[2]) for line in listed[1:]] == [
        ("back", "bridge"),
        ("bridge", "bridge"),
        ("host", "host"),
        ("none", "null"),
    ]
    assert listed[1][0] == id[:12]
    assert done("network", "ls", "-q", "--filter", "label=class=3", "--no-trunc") == id
    assert (
        done("network", "ls", "--filter", "name=b", "--filter", "driver=bridge", "--format", "{{.Name}}")
        == "back\nbridge"
    )
    assert done("network", "ls", "--filter", "label=class=4", "-q") == ""
    assert done("network", "ls", "--filter", "label=class=3", "--filter", "label=x", "-q") == ""
    (seen,) = json.loads(done("network", "inspect", id[:6]))
    assert (seen["Name"], seen["Id"], seen["Internal"], seen["Labels"]) == (
        "back",
        id,
        True,
        {"class": "3", "empty": ""},
    )
    assert seen["IPAM"]["Config"] == [{"Subnet": "10.9.8.0/24", "Gateway": "10.9.8.9", "IPRange": "10.9.8.128/25"}]
    assert done("network", "inspect", "-f", "{{.Driver}} {{.Containers}}", "none") == "null map[]"
    assert done("network", "rm", "back") == "back"
    refused(minict("network", "rm", "back"), "no such network: back", "bridge, host, none", status=1)


def test_a_network_without_a_subnet_gets_an_unused_one(world, bare):
    sh("ip", "route", "add", "10.211.0.0/23", "via", WORLD)
    for name in ("a", "b"):
        done("network", "create", name)
    subnets = [ipaddress.ip_network(str(each.subnet)) for each in store.networks()]
    assert [str(each) for each in subnets[1:]] == ["10.211.2.0/24", "10.211.3.0/24"]
    refused(minict("network", "create", "--subnet", "10.211.1.0/24", "c"), "uplink0", "10.211.1.0/24")
    refused(minict("network", "create", "--subnet", "10.211.2.128/25", "c"), "network a", "10.211.2.0/24")
    refused(minict("network", "create", "--subnet", "10.210.7.0/24", "c"), "network bridge")


def test_ten_at_once_get_ten_networks_with_ten_subnets_and_one_gets_the_name(bare):
    makers = [
        subprocess.Popen([*MINICT, "network", "create", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in [*"abcdefghi", "same", "same", "same"]
    ]
    outcomes = [(maker.communicate(), maker.returncode)[1] for maker in makers]
    assert outcomes[:9] == [0] * 9 and sorted(outcomes[9:]) == [0, 1, 1]
    found = [ipaddress.ip_network(str(each.subnet)) for each in store.networks()]
    assert len(found) == 11 and not [
        pair for pair in ((a, b) for a in found for b in found if a is not b) if pair[0].overlaps(pair[1])
    ]


@pytest.mark.parametrize(
    "words, told",
    [
        (["../x"], ["../x", "network name"]),
        (["a b"], ["network name"]),
        (["host"], ["'host'"]),
        (["default"], ["'default'"]),
        (["x" * 65], ["64"]),
        (["-d", "overlay", "n"], ["overlay", "bridge"]),
        (["--subnet", "10.9.8.0/30", "n"], ["too small", "--subnet"]),
        (["--subnet", "10.9.8.1/24", "n"], ["must be zero"]),
        (["--subnet", "fd00::/64", "n"], ["invalid subnet"]),
        (["--gateway", "10.9.8.1", "n"], ["--subnet"]),
        (["--subnet", "10.9.8.0/24", "--gateway", "10.9.9.1", "n"], ["10.9.9.1"]),
        (["--subnet", "10.9.8.0/24", "--gateway", "10.9.8.255", "n"], ["10.9.8.255"]),
        (["--subnet", "10.9.8.0/24", "--ip-range", "10.9.9.0/25", "n"], ["--ip-range", "10.9.8.0/24"]),
    ],
)
def test_an_invalid_network_is_refused_in_one_sentence(bare, words, told):
    refused(minict("network", "create", *words), *told)


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_a_predefined_network_cannot_be_removed(bare, name):
    refused(minict("network", "rm", name), name, "predefined network", status=1)


def test_a_damaged_file_is_named(image, bare):
    done("network", "create", "back")
    path = f"{paths.data_root()}/networks/back.json"
    try:
        for text in ('{"subnet": 7', "{}", '{"subnet": "x", "id": "abc"}', "[]"):
            with open(path, "w") as file:
                file.write(text)
            refused(minict("run", "--network", "back", image, "true"), path, "damaged")
            refused(minict("network", "create", "other"), path, "damaged")
    finally:
        os.unlink(path)


def test_a_network_in_use_stays_and_prune_takes_the_others(boxes):
    for name in ("used", "requested", "idle"):
        done("network", "create", name)
    one, two = boxes("--network", "used", "--name", "one"), boxes("--network", "requested")
    done("stop", "-t", "0", two.id)
    refused(minict("network", "rm", "used"), "used", f"container {one.id[:12]}:", status=1)
    done("network", "create", "--label", "keep=yes", "labelled")
    refused(minict("network", "prune", "-f", "--filter", "name=idle"), "label, label!, until", status=1)
    assert (
        done("network", "prune", "-f", "--filter", "until=1h")
        == ""
        == done("network", "prune", "-f", "--filter", "label=keep=no")
    )
    assert done("network", "prune", "-f", "--filter", "label!=keep").splitlines() == ["Deleted Networks:", "idle"]
    assert done("network", "prune", "-f").splitlines() == ["Deleted Networks:", "labelled"]
    assert (
        done("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}", "used")
        == f"one {one.ip}/24"
    )


def test_the_options_of_the_bridge_driver_are_obeyed(boxes, world):
    names = {
        "mtu": "com.docker.network.driver.mtu=1400",
        "bridge": "com.docker.network.bridge.name=mine0",
        "icc": "com.docker.network.bridge.enable_icc=false",
        "masquerade": "com.docker.network.bridge.enable_ip_masquerade=false",
        "address": f"com.docker.network.bridge.host_binding_ipv4={HOST}",
        "prefix": "com.docker.network.container_iface_prefix=lan",
    }
    done("network", "create", "--attachable", *(word for each in names.values() for word in ("-o", each)), "back")
    one, two = boxes("--network", "back", "--name", "one"), boxes("--network", "back", "-p", "8080:80")
    assert one.says("cat", "/sys/class/net/lan0/mtu") == "1400" and list(bridges()) == ["mine0"]
    assert unreachable(one, two, two.ip) and unreachable(two, one, one.ip)
    assert one.knows("one") == one.ip
    assert done("port", two.id) == f"80/tcp -> {HOST}:8080"
    assert unreachable(one, world, WORLD)  # the world sees an address to which it has no route
    world.sh("ip", "route", "add", f"{one.ip}/32", "via", HOST)
    assert reach(one, world, WORLD) == one.ip
    seen = json.loads(done("network", "inspect", "back"))[0]["Options"]
    assert seen == dict(each.split("=") for each in names.values())
    refused(minict("network", "create", "-o", names["bridge"], "front"), "mine0", "network back")
    done("restart", "-t", "0", one.id)
    assert unreachable(one, two, two.ip)


@pytest.mark.parametrize(
    "words, told",
    [
        (["-o", "com.docker.network.driver.mtu=many"], ["mtu=many", "68 to 65535"]),
        (["-o", "com.docker.network.bridge.enable_icc=perhaps"], ["true or false"]),
        (["-o", "com.docker.network.bridge.name=a name"], ["15 letters"]),
        (["-o", "colour=red"], ["colour", "com.docker.network.driver.mtu"]),
        (["--ipv6"], ["--ipv6", "IPv4"]),
        (["--scope", "swarm"], ["--scope", "local"]),
        (["--ipam-driver", "null"], ["--ipam-driver", "default"]),
    ],
)
def test_an_unsupported_option_is_refused_by_name(bare, words, told):
    refused(minict("network", "create", *words, "back"), *told)


# ---- who reaches whom --------------------------------------------------------------------------------------------


def test_containers_of_one_network_reach_each_other_and_the_world_and_no_other_network(boxes, world):
    for name in ("left", "right"):
        done("network", "create", name)
    a, b, c = boxes("--network", "left"), boxes("--network", "left"), boxes("--network", "right")
    default = boxes()
    assert reach(a, b, b.ip) == a.ip and reach(a, world, WORLD) == HOST == reach(c, world, WORLD)
    for one, other in ((a, c), (c, a), (a, default), (default, a)):
        assert unreachable(one, other, other.ip)
    with IPRoute() as kernel:
        ports = {
            link.get("ifname"): link.get("master")
            for link in kernel.get_links()
            if link.get("ifname").startswith("veth")
        }
        bridge = {link["index"]: link.get("ifname") for link in kernel.get_links()}
    assert {name: bridge[master] for name, master in ports.items()} == {
        f"veth{a.id[:8]}": store.find("left").bridge,
        f"veth{b.id[:8]}": store.find("left").bridge,
        f"veth{c.id[:8]}": store.find("right").bridge,
        f"veth{default.id[:8]}": "minict0",
    }


def test_an_internal_network_has_no_way_out_and_none_in(boxes, world):
    done("network", "create", "--internal", "--subnet", "10.9.8.0/24", "inside")
    a, b = boxes("--network", "inside"), boxes("--network", "inside")
    assert reach(a, b, b.ip) == a.ip
    assert "default" not in a.sh("ip", "route")
    a.sh("ip", "route", "add", "default", "via", "10.9.8.1")  # a container with enough rights can change it itself
    assert unreachable(a, world, WORLD)
    world.sh("ip", "route", "add", "10.9.8.0/24", "via", HOST)
    assert unreachable(world, a, a.ip)
    refused(minict("run", "-d", "--network", "inside", "-p", "8080:80", "tiny", "true"), "inside", "internal")


def test_a_container_on_two_networks_has_two_interfaces_and_one_way_out(boxes, world):
    done("network", "create", "--internal", "back")
    done("network", "create", "--subnet", "10.9.8.0/24", "front")
    one, db = (
        boxes("--network", "back", "--network", "name=front,ip=10.9.8.77,alias=www"),
        boxes("--network", "back", "--name", "db"),
    )

    def look():
        with IPRoute() as inside:
            names = {link["index"]: link.get("ifname") for link in inside.get_links()}
            return (
                {names[each["index"]]: each.get("IFA_ADDRESS") for each in inside.get_addr(family=2)},
                [names[route.get("oif")] for route in inside.get_default_routes(family=2)],
            )

    found, ways = one.do(look)
    assert found == {"lo": "127.0.0.1", "eth0": one.on("back")["IPAddress"], "eth1": "10.9.8.77"} and ways == ["eth1"]
    assert reach(one, db, db.ip) == one.on("back")["IPAddress"] and reach(one, world, WORLD) == HOST
    assert db.knows(one.id[:12]) == one.on("back")["IPAddress"] and db.knows("www") is None
    refused(minict("run", "--network", "back", "--network", "back", "tiny", "true"), "twice")
    refused(
        minict("run", "--network", "back", "--network", "front", "--ip", "10.9.8.5", "tiny", "true"), "several networks"
    )


def test_a_chosen_address(boxes):
    done("network", "create", "--subnet", "10.9.8.0/24", "--ip-range", "10.9.8.128/25", "net")
    one, two = (
        boxes("--network", "net", "--ip", "10.9.8.7", "--mac-address", "02:42:00:00:00:07"),
        boxes("--network", "net"),
    )
    assert (one.ip, two.ip) == ("10.9.8.7", "10.9.8.128")
    assert one.on()["MacAddress"] == "02:42:00:00:00:07" and "02:42:00:00:00:07" in one.sh("ip", "link", "show", "eth0")
    refused(
        minict("run", "--rm", "--network", "net", "--ip", "10.9.8.7", "tiny", "true"),
        "10.9.8.7",
        f"container {one.id[:12]}:",
    )
    for address in ("10.9.9.1", "10.9.8.1", "10.9.8.255", "10.9.8.0", "ten", ""):
        if address:
            refused(minict("run", "--network", "net", "--ip", address, "tiny", "true"), "--ip", "10.9.8.0/24")
    default = boxes("--ip", "10.210.77.7")
    assert default.ip == "10.210.77.7"
    for mac in ("zz:42:00:00:00:07", "03:42:00:00:00:07", "02:42", "02420000000007"):
        refused(minict("run", "--mac-address", mac, "tiny", "true"), "--mac-address", mac)


# ---- names -------------------------------------------------------------------------------------------------------


def test_containers_know_each_other_by_name_id_alias_and_host_name_as_long_as_they_live(boxes):
    done("network", "create", "back")
    one = boxes("--network", "back", "--name", "one")
    two = boxes(
        "--network",
        "back",
        "--name",
        "two",
        "--network-alias",
        "db",
        "--network-alias",
        "db.example",
        "-h",
        "mail.example",
    )
    for name in ("two", "TWO", two.id[:12], "db", "db.example", "mail.example", "mail", "two.back", "db.example.back"):
        assert one.knows(name) == two.ip, name
    for name in ("two.front", "back", two.id, two.id[:11], "example"):
        assert one.knows(name) is None, name
    assert two.knows("one") == one.ip and two.knows("mail") == two.ip == two.knows("db")
    done("rename", "two", "zwei")
    assert (one.knows("two"), one.knows("zwei"), two.knows("zwei")) == (None, two.ip, two.ip)
    one.says("sh", "-c", "echo 192.0.2.9 own >> /etc/hosts")
    done("restart", "-t", "0", "zwei")
    assert one.knows("zwei") == two.ip and ["192.0.2.9", "own"] in one.hosts()
    done("stop", "-t", "0", "zwei")
    assert one.knows("zwei") is one.knows("db") is None
    assert one.knows("one") == one.ip and ["192.0.2.9", "own"] in one.hosts()


def test_the_default_network_has_no_names_but_those_of_links(boxes):
    db = boxes("--name", "db")
    one = boxes("--name", "one", "--link", "db:database")
    assert one.knows("db") == one.knows("database") == db.ip and one.knows("one") is db.knows("one") is None
    assert one.knows(one.id[:12]) == one.ip, "its own host name"
    assert one.says("cat", "/etc/resolv.conf") == "nameserver 127.0.0.1"
    first = db.ip
    done("restart", "-t", "0", "db")
    assert first != db.ip == one.knows("database")
    done("stop", "-t", "0", "db")
    assert one.knows("database") is None


def test_names_of_another_network_are_unknown(boxes):
    done("network", "create", "back")
    one, two = boxes("--name", "one"), boxes("--name", "two", "--network", "back")
    assert one.knows("two") is two.knows("one") is None


def test_links_hosts_and_name_servers_of_the_user(boxes, image):
    db = boxes("--name", "db")
    one = boxes(
        "--link",
        "db:database",
        "--link",
        "db",
        "--add-host",
        "a.example:192.0.2.1",
        "--add-host",
        "six=2001:db8::1",
        "--add-host",
        "seven:[2001:db8::7]",
        "--add-host",
        "docker.host:host-gateway",
        "--dns",
        "192.0.2.53",
        "--dns-search",
        "school.example",
        "--dns-option",
        "ndots:3",
    )
    assert one.knows("database") == one.knows("db") == db.ip
    lines = one.hosts()
    assert (
        ["192.0.2.1", "a.example"] in lines
        and ["2001:db8::1", "six"] in lines
        and ["2001:db8::7", "seven"] in lines
        and ["10.210.0.1", "docker.host"] in lines
    )
    assert one.says("cat", "/etc/resolv.conf") == "search school.example\noptions ndots:3\nnameserver 192.0.2.53"
    done("restart", "-t", "0", one.id)
    assert one.knows("database") == db.ip and ["192.0.2.1", "a.example"] in one.hosts()


@pytest.mark.parametrize(
    "flags, told",
    [
        (["--add-host", "a b:1.2.3.4"], ["--add-host", "'a b'"]),
        (["--add-host", "x"], ["--add-host 'x'"]),
        (["--add-host", "x:1.2.3"], ["1.2.3"]),
        (["--add-host", "x\n:1.2.3.4"], ["--add-host"]),
        (["--add-host", "x:1:2"], ["'1:2'"]),
        (["--dns", "server"], ["--dns", "server"]),
        (["--dns", "1.2.3.4\nnameserver"], ["--dns"]),
        (["--dns-search", "a b"], ["--dns-search"]),
        (["--dns-option", "a\nb"], ["--dns-option"]),
        (["--network-alias", "a/b"], ["--network-alias"]),
        (["--network-alias", ""], ["--network-alias"]),
        (["--link", "nobody"], ["nobody"]),
        (["--network", "name=bridge,colour=red"], ["colour"]),
        (["--network", "ip=10.210.0.9"], ["name=NETWORK"]),
        (["--network", "container:nobody"], ["container:nobody"]),
        (["--network", "container:"], ["container:"]),
        (["--network", "none", "--network", "host"], ["combined"]),
    ],
)
def test_an_invalid_option_is_refused_before_anything_is_taken(image, bare, flags, told):
    refused(minict("run", *flags, image, "true"), *told)
    assert not os.path.exists(f"{paths.run_root()}/networks") and bridges() == {}


# ---- none, host, container:NAME ----------------------------------------------------------------------------------


def test_none_is_lo_alone_and_host_is_the_hosts(image, world, bare):
    assert (
        done(
            "run",
            "--rm",
            "--network",
            "none",
            image,
            "sh",
            "-c",
            "ip -o link | wc -l; cat /etc/hosts | grep -c 127.0.1.1",
        )
        == "1\n1"
    )
    ran = minict("run", "--rm", "--network", "host", "-p", "8080:80", image, "ip", "-o", "link")
    assert ran.returncode == 0 and "uplink0" in ran.stdout and "-p has no effect" in ran.stderr, ran
    assert done(
        "run", "--rm", "--network", "host", "--add-host", "x:192.0.2.1", image, "tail", "-2", "/etc/hosts"
    ).split()[:2] == ["192.0.2.1", "x"]
    for mode, flags in (
        ("none", ["-p", "80:80"]),
        ("none", ["-P"]),
        ("none", ["--ip", "10.210.0.9"]),
        ("host", ["--network-alias", "x"]),
        ("none", ["--link", "x"]),
        ("none", ["--add-host", "x:host-gateway"]),
    ):
        refused(minict("run", "--network", mode, *flags, image, "true"), flags[0])
    assert bridges() == {}


def test_a_container_joins_the_network_of_another(boxes, image, world):
    done("network", "create", "back")
    one = boxes("--name", "one", "-p", "8080:80", "--network", "back")
    guest, two = boxes("--network", "container:one"), boxes("--name", "two", "--network", "back")
    assert os.stat(f"/proc/{guest.pid}/ns/net").st_ino == os.stat(f"/proc/{one.pid}/ns/net").st_ino
    assert guest.knows("two") == two.ip and guest.says("cat", "/etc/hosts") == one.says("cat", "/etc/hosts")
    assert guest.says("hostname") == one.id[:12]
    assert reach(world, guest, HOST, 8080, inside=(one.ip, 80)) == WORLD
    for flags in (
        ["-p", "80:80"],
        ["-P"],
        ["--ip", "10.210.0.9"],
        ["--network-alias", "x"],
        ["--dns", "192.0.2.1"],
        ["--add-host", "x:192.0.2.1"],
        ["--expose", "80"],
        ["--link", "two"],
        ["--mac-address", "02:00:00:00:00:01"],
    ):
        refused(minict("run", "--network", "container:one", *flags, image, "true"), flags[0], "container:one")
    done("stop", "-t", "0", "two")
    assert guest.knows("two") is None
    done("stop", "-t", "0", "one")
    assert sh("ip", "-o", "link").count("veth") == 0, "nobody must keep an address that is free again"
    refused(minict("run", "--network", "container:one", image, "true"), "not running")


# ---- while they run, and across restarts -------------------------------------------------------------------------


def test_networks_come_and_go_while_a_container_runs(boxes, world):
    done("network", "create", "back")
    one, db = boxes("--name", "one", "-p", "8080:80"), boxes("--name", "db", "--network", "back")
    first = one.ip
    assert one.knows("db") is None
    done("network", "connect", "--alias", "web", "back", "one")
    assert one.knows("db") == db.ip and db.knows("web") == one.on("back")["IPAddress"] == reach(one, db, db.ip)
    refused(minict("network", "connect", "back", "one"), "already")
    assert reach(world, one, HOST, 8080, inside=(first, 80)) == WORLD
    done("network", "disconnect", "bridge", "one")
    assert first not in one.sh("ip", "address") and one.sh("ip", "route").startswith("default via")
    assert reach(one, world, WORLD) == HOST
    assert reach(world, one, HOST, 8080, inside=(one.on("back")["IPAddress"], 80)) == WORLD, "its port has gone with it"
    refused(minict("network", "disconnect", "bridge", "one"), "not connected to the network bridge")
    done("restart", "-t", "0", "one")
    assert list(state.network_settings(one.id)["Networks"]) == ["back"] and db.knows("web") == one.ip
    done("network", "disconnect", "back", "one")
    assert db.knows("one") is None and [line.split()[0] for line in one.sh("ip", "-br", "link").splitlines()] == ["lo"]
    done("network", "connect", "--ip", "10.210.9.9", "bridge", "one")
    assert one.ip == "10.210.9.9" and reach(world, one, HOST, 8080, inside=("10.210.9.9", 80)) == WORLD
    assert State(one.id).ledger()[-2:] == [("address", f"bridge/{one.id}"), ("veth", f"veth{one.id[:8]}")]


def test_networks_of_a_stopped_container_are_those_of_its_next_run(boxes):
    done("network", "create", "back")
    one = boxes("--name", "one")
    done("stop", "-t", "0", "one")
    done("network", "connect", "--alias", "web", "back", "one")
    done("network", "disconnect", "bridge", "one")
    assert Record.find("one").settings["network"] == ["name=back,alias=web"]
    done("start", "one")
    assert list(state.network_settings(one.id)["Networks"]) == ["back"] and one.on()["Aliases"] == ["web"]
    done("network", "disconnect", "back", "one")
    done("restart", "-t", "0", "one")
    assert state.network_settings(one.id)["Networks"] == {}
    assert minict("inspect", "-f", "{{.HostConfig.NetworkMode}}", "one").stdout == "none\n"
    done("network", "connect", "bridge", "one")
    assert one.ip.startswith("10.210.")


@pytest.mark.parametrize("change", [connect.connect, connect.disconnect])
def test_a_container_that_ends_while_its_networks_are_changed(boxes, monkeypatch, change):
    done("network", "create", "back")
    done("network", "create", "front")
    one, back = (
        boxes("--network", "front", *(["--network", "back"] if change is connect.disconnect else [])),
        connect.take_back,
    )

    def take_back_late(entries: list) -> None:
        os.kill(one.pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(State(one.id).directory))
        back(entries)

    monkeypatch.setattr(connect, "take_back", take_back_late)
    with Record.find(one.id) as record:
        change(record, "back")
    assert ("back" in str(Record.find(one.id).settings["network"])) == (change is connect.connect)
    assert ipam.holders(store.find("back").key) == {}


@pytest.mark.parametrize("mode", ["none", "host"])
def test_a_container_that_has_no_networks_of_its_own_gets_none(boxes, mode):
    one = boxes("--network", mode)
    refused(minict("network", "connect", "bridge", one.id), f"--network {mode}")
    refused(minict("network", "disconnect", "bridge", one.id), f"--network {mode}")


def test_after_a_reboot_a_network_is_made_again_when_it_is_needed(boxes, world):
    done("network", "create", "--subnet", "10.9.8.0/24", "back")
    one = boxes("--name", "one", "--network", "back", "-p", "8080:80")
    os.kill(Record.find("one").monitor, 9)
    os.kill(one.pid, 9) if one.pid else None
    wait_until(lambda: one.pid is None)
    shutil.rmtree(paths.run_root())
    sh("nft", "flush", "ruleset")
    for name in bridges():
        sh("ip", "link", "del", name)
    assert done("ps", "-a", "--format", "{{.Names}} {{.State}}") == "one exited"
    assert done("network", "ls", "--format", "{{.Name}}", "--filter", "name=back") == "back"
    done("start", "one")
    assert one.ip == "10.9.8.2" and bridges() == {store.find("back").bridge: ["10.9.8.1/24"]}
    assert reach(one, world, WORLD) == HOST and reach(world, one, HOST, 8080, inside=(one.ip, 80)) == WORLD


# ---- killed, and all at once -------------------------------------------------------------------------------------


def killed_at_every_line(function, after, step: int = 1) -> int:
    """Call *function* in a fork that is killed at its first line, its second (or *step* further), and so on, and then
    call *after*; return the number of lines."""
    number = 1
    while exit_code(die_at_line, number, function) == -signal.SIGKILL:
        after()
        number += step
    return number


def test_a_killed_create_or_rm_leaves_a_whole_network_or_none(bare):
    def either() -> None:
        for each in store.user_defined():
            store.remove(each.name)
        store.remove_unused_bridges()
        assert not os.path.exists(f"{paths.data_root()}/networks") and not os.path.exists(
            f"{paths.run_root()}/networks"
        )

    assert killed_at_every_line(lambda: store.create("net", subnet="10.9.8.0/24"), either) > 60
    either()

    def made() -> None:
        store.create("net", subnet="10.9.8.0/24").ensure_bridge()

    def removed() -> None:
        either()
        assert bridges() == {} and sh("nft", "list", "tables") == ""
        made()

    made()
    assert killed_at_every_line(lambda: store.remove("net"), removed) > 60


_OPERATIONS = """
import random, subprocess, sys
chance = random.Random(int(sys.argv[1]))
minict, image = sys.argv[2:5], sys.argv[5]
for _ in range(25):
    net, box = chance.choice("abc"), chance.choice("wxyz")
    words = chance.choice([
        ["network", "create", net], ["network", "rm", net], ["network", "prune", "-f"], ["prune"],
        ["rename", box, chance.choice("wxyz")],
        ["run", "-d", "--name", box, "--network", net, "-p", f"{chance.choice([8080, 8081])}:80", image, "sleep", "99"],
        ["run", "-d", "--name", box, "--network", net, "--network-alias", "web", image, "sleep", "1000"],
        ["run", "--rm", image, "true"], ["rm", "-f", box], ["restart", "-t", "0", box],
        ["network", "connect", net, box], ["network", "disconnect", net, box]])
    result = subprocess.run([*minict, *words], capture_output=True, text=True, timeout=120)
    if "internal error" in result.stderr or "Traceback" in result.stderr or result.returncode not in (0, 1, 125):
        print(words, result.returncode, result.stderr.strip(), flush=True)
"""


def test_two_hundred_operations_by_eight_processes_at_once_end_in_order(world, image, bare):
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _OPERATIONS, str(seed), *MINICT, image], stdout=subprocess.PIPE, text=True
        )
        for seed in range(8)
    ]
    assert [worker.communicate(timeout=8 * PATIENCE)[0] for worker in workers] == [""] * 8
    alive = {record.id: record for record in records() if record.status == "running"}
    held = {
        id: (key, ip)
        for key in ["bridge", *(each.key for each in store.user_defined())]
        for ip, id in ipam.holders(key).items()
    }
    assert set(held) <= set(alive), "an address whose container does not run"
    for id, record in alive.items():
        for endpoint in state.read(id)["endpoints"]:
            assert endpoint["address"] in sh(
                "nsenter", "-t", str(record.pid), "-n", "ip", "-o", "address", "show", f"eth{endpoint['number']}"
            )
            members = {other: state.read(other) for other in ipam.holders(endpoint["key"]).values()}
            for other, network_state in members.items():
                place = next(each for each in network_state["endpoints"] if each["key"] == endpoint["key"])
                known = endpoints.answer(id, network_state["name"], "A")
                assert place["address"] in known if endpoint["id"] else known is None, (id, other, known)
    ports_of = sorted((id, port[2]) for id in alive for port in state.read(id)["ports"] if state.read(id)["endpoints"])
    assert sorted((id, port.outside) for id, port, _ in portmapper.published()) == ports_of
    for id in [record.id for record in records()]:
        done("rm", "-f", id)
