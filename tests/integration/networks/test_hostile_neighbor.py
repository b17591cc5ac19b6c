"""What a container can do to others on its network, and to the host through it: not more than send packets."""

from __future__ import annotations

import os
import select
import socket
import subprocess

import pytest

from minict.kernel.netlink import Rtnetlink
from tests.support.command_line import bridge, containers, image, minict, wait_until  # noqa: F401


@pytest.fixture(autouse=True)
def all_removed(bridge, image):
    yield
    for id in containers():
        minict("rm", "-f", id)


def compiled(directory, source: str) -> str:
    path = f"{directory}/program"
    done = subprocess.run(
        ["gcc", "-static", "-O1", "-o", path, "-x", "c", "-"], input=source, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return path


_TO_LOOPBACK = """
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
/* program SOURCE PORT GATEWAY: a datagram to 127.0.0.1 in a frame for the gateway, from SOURCE */
int main(int argc, char **argv) {
    unsigned char p[30] = {0x45, 0, 0, 30, 0, 1, 0, 0, 64, 17}, mac[6] = {2, 0};
    unsigned long sum = 0;
    *(unsigned *)(p + 12) = inet_addr(argv[1]);
    *(unsigned *)(p + 16) = inet_addr("127.0.0.1");
    for (int i = 0; i < 20; i += 2) sum += p[i] << 8 | p[i + 1];
    sum = (sum & 0xffff) + (sum >> 16); sum = ~((sum & 0xffff) + (sum >> 16));
    p[10] = sum >> 8; p[11] = sum;
    *(unsigned short *)(p + 20) = htons(4242); *(unsigned short *)(p + 22) = htons(atoi(argv[2]));
    p[25] = 10; p[28] = 'h'; p[29] = 'i';
    *(unsigned *)(mac + 2) = inet_addr(argv[3]);
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = 6,
                             .sll_ifindex = if_nametoindex("eth0")};
    memcpy(to.sll_addr, mac, 6);
    return sendto(socket(AF_PACKET, SOCK_DGRAM, 0), p, 30, 0, (void *)&to, sizeof to) != 30;
}
"""


def test_no_container_reaches_the_hosts_loopback_although_all_rules_are_flushed(image, tmp_path):
    """A published port makes the kernel route 127.0.0.1, and ``systemctl restart nftables`` flushes all rules."""
    program = compiled(tmp_path, _TO_LOOPBACK)
    minict("run", "-d", "--name", "box", "-p", "127.0.0.1::80", "-v", f"{program}:/send:ro", image, "sleep", "1000")
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    form = "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}"
    told = minict("inspect", "-f", form, "box")
    assert told.stdout, told
    own, gateway = told.stdout.split()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as local:
        local.bind(("127.0.0.1", 0))

        def arrives() -> bool:
            port = str(local.getsockname()[1])
            assert minict("exec", "box", "/send", own, port, gateway).returncode == 0
            return bool(select.select([local], [], [], 0.5)[0])

        assert not arrives()
        with Rtnetlink() as links:
            name = next(link.name for link in links.links() if link.kind == "veth")
        subprocess.run(["tc", "qdisc", "del", "dev", name, "clsact"], check=True)
        wait_until(arrives)  # the filter alone has kept it out
    minict("rm", "-f", "box")


_ADVERTISEMENT = """
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main() {
    int s = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), hops = 255;
    setsockopt(s, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
    unsigned char p[48] = {134, 0, 0, 0, 64, 0, 7, 8}, *o = p + 16;
    memcpy(o, "\\3\\4\\100\\300\\377\\377\\377\\377\\377\\377\\377\\377\\0\\0\\0\\0\\40\\1\\15\\270", 20);
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_scope_id = if_nametoindex("eth0")};
    memcpy(&to.sin6_addr, "\\377\\2\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\1", 16);
    for (int k = 0; k < 3; k++) { sendto(s, p, 48, 0, (void *)&to, sizeof to); usleep(200000); }
    return 0;
}
"""


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="a kernel without IPv6")
def test_no_container_makes_itself_the_router_of_another(image, tmp_path):
    program = compiled(tmp_path, _ADVERTISEMENT)
    minict("run", "-d", "--name", "victim", image, "sleep", "1000")
    # one that has switched IPv6 on for itself, as only a privileged one can
    script = (
        "mount -o remount,rw /proc/sys 2>/dev/null; echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6; sleep 2; /ra"
    )
    minict("run", "--rm", "--privileged", "-v", f"{program}:/ra:ro", image, "sh", "-c", script)
    read = minict("exec", "victim", "cat", "/proc/net/ipv6_route", "/proc/net/if_inet6").stdout
    assert not [line for line in read.splitlines() if "eth0" in line and not line.startswith("ff")], read
    minict("rm", "-f", "victim")
