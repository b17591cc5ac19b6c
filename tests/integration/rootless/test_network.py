"""The network of an ordinary user's containers: bridge and names, the way out, published ports, and who has them."""

from __future__ import annotations

import socket
import threading

import dnslib.server
import pytest

from minict.kernel import mount
from tests.support.command_line import wait_until
from tests.support.network_world import HOST, WORLD, sh
from tests.support.registry_server import RegistryServer, free_port

SERVE = "while :; do echo served | nc -l -p 80; done"


def ask(address: str, port: int) -> bytes:
    """What a server says. IPv4 or IPv6."""
    with socket.create_connection((address, port), timeout=30) as there:
        there.shutdown(socket.SHUT_WR)
        return there.recv(100)


def test_two_containers_find_each_other_by_name(ada):
    assert len(ada.output("network", "create", "back")) == 64
    ada.output("run", "-d", "--name", "db", "--network", "back", "tiny", "sh", "-c", SERVE)
    script = "until nc db 80 < /dev/null 2> /dev/null | grep served; do :; done"
    assert ada.run(script, "--network", "back") == "served"
    assert ada.output("rm", "-f", "db") == "db"
    assert ada.output("network", "rm", "back") == "back"


@pytest.fixture(params=["pasta", "slirp4netns"])
def way_out(request, ada):
    """Each of the two programs, alone."""
    hidden = {"pasta": ["/usr/bin/slirp4netns"], "slirp4netns": ["/usr/bin/pasta"]}[request.param]
    for path in hidden:
        mount.mount("/dev/null", path, None, mount.MS_BIND)
    yield request.param
    ada.stop()
    for path in hidden:
        mount.umount2(path, mount.MNT_DETACH)


def test_the_way_out(ada, uplink, way_out):
    """A container reaches the world, which sees the host; and services of the host at its address, not on loopback."""
    listener = uplink.do(lambda: socket.create_server((WORLD, 4000)))
    seen = []

    def serve():
        incoming, (source, _) = listener.accept()
        seen.append(source)
        incoming.recv(1000)
        incoming.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello\n")
        incoming.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ada.run(f"wget -q -O - http://{WORLD}:4000") == "hello"
    finally:
        thread.join(30)
        listener.close()
    assert seen == [HOST]
    with open(f"/proc/{ada.keeper}/task/{ada.keeper}/children") as children:
        names = [open(f"/proc/{pid}/comm").read().strip() for pid in children.read().split()]
    assert [name for name in names if name.startswith(way_out[:5].replace("pasta", "pas"))], names
    with socket.create_server((HOST, 0)) as service, socket.create_server(("127.0.0.1", 0)) as private:
        assert ada.run(f"nc -w 10 {HOST} {service.getsockname()[1]} -e echo && echo reached") == "reached"
        for gateway in ("10.0.2.2", "10.210.0.1"):
            done = ada.minict(
                "run", "--rm", "tiny", "nc", "-w", "2", gateway, str(private.getsockname()[1]), "-e", "echo"
            )
            assert done.returncode == 1, done


def test_without_a_program_for_it_there_is_no_way_out_and_a_sentence_says_so(ada):
    for path in ("/usr/bin/pasta", "/usr/bin/slirp4netns"):
        mount.mount("/dev/null", path, None, mount.MS_BIND)
    try:
        done = ada.minict("run", "--rm", "tiny", "hostname", "-i")
        assert done.returncode == 0 and done.stdout.startswith("10.210.")
        assert done.stderr == (
            "minict: the containers have no way out: an administrator installs passt (pasta) or slirp4netns\n"
        )
    finally:
        for path in ("/usr/bin/pasta", "/usr/bin/slirp4netns"):
            mount.umount2(path, mount.MNT_DETACH)


def test_a_published_port_is_the_hosts(ada, uplink):
    port = free_port()
    ada.output("run", "-d", "--name", "web", "-p", f"{port}:80", "tiny", "sh", "-c", SERVE)
    for address in ("127.0.0.1", "::1", HOST):
        wait_until(lambda address=address: ask(address, port) == b"served\n")
    wait_until(lambda: uplink.do(lambda: ask(HOST, port)) == b"served\n")
    assert ada.output("port", "web") == f"80/tcp -> 0.0.0.0:{port}"
    done = ada.minict("run", "--rm", "-p", f"{port}:80", "tiny", "true")
    assert done.returncode == 125 and f"host port {port}/tcp" in done.stderr, done
    assert ada.output("restart", "-t", "0", "web") == "web"
    wait_until(lambda: ask("127.0.0.1", port) == b"served\n")
    assert ada.output("rm", "-f", "web") == "web"
    with pytest.raises(ConnectionRefusedError):
        ask("127.0.0.1", port)


def test_a_published_port_at_one_address_and_of_udp(ada, uplink):
    port, other = free_port(), free_port()
    flags = ["-p", f"127.0.0.1:{port}:80", "-p", f"{other}:81/udp"]
    python = (
        "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.bind(('', 81))\nwhile 1: s.sendto(*s.recvfrom(99))"
    )
    system = [word for path in ("/usr", "/lib", "/lib64") for word in ("-v", f"{path}:{path}:ro")]
    script = f'/usr/bin/python3 -c "{python}" & {SERVE.replace("nc", "busybox nc")}'
    ada.output("run", "-d", "--name", "web", *flags, *system, "tiny", "sh", "-c", script)
    wait_until(lambda: ask("127.0.0.1", port) == b"served\n")
    with pytest.raises(ConnectionRefusedError):
        uplink.do(lambda: ask(HOST, port))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0.5)

        def echoed() -> bool:
            sender.sendto(b"hello", ("127.0.0.1", other))
            try:
                return sender.recv(100) == b"hello"
            except OSError:
                return False

        wait_until(echoed)


def test_a_restart_policy_keeps_the_port(ada):
    """The monitor makes its sockets anew, when it has long been behind the bridge."""
    port = free_port()
    script = "echo run >> /runs; [ $(wc -l < /runs) -gt 1 ] || exit 1; " + SERVE
    ada.output("run", "-d", "--name", "web", "--restart", "always", "-p", f"{port}:80", "tiny", "sh", "-c", script)

    def answers() -> bool:
        try:
            return ask("127.0.0.1", port) == b"served\n"
        except OSError:
            return False

    wait_until(answers)


def test_the_users_network_is_not_the_hosts(ada):
    ada.output("run", "-d", "--name", "one", "tiny", "sleep", "1000")
    assert "minict0" not in sh("ip", "-br", "link")
    assert "minict0" in ada.output("unshare", "--network", "ip", "-br", "link")
    assert ada.run("ip -o link | grep -c minict0 || true", "--network", "host") == "0"


class Names(dnslib.server.BaseResolver):
    """A server that knows the registry, and nothing else."""

    def resolve(self, request, handler):
        reply = request.reply()
        if str(request.q.qname) == "registry.test." and request.q.qtype == dnslib.QTYPE.A:
            reply.add_answer(dnslib.RR("registry.test", rdata=dnslib.A(HOST)))
        return reply


def test_a_kernel_pulls_where_the_name_server_is_on_the_hosts_loopback(ada, layout, tmp_path):
    """As systemd-resolved is, which alone knows the name."""
    server, file, port = "127.0.0.53", tmp_path / "resolv.conf", free_port()
    file.write_text(f"nameserver {server}\n")
    quiet = dnslib.server.DNSLogger("-log")
    serving = [dnslib.server.DNSServer(Names(), server, 53, tcp=tcp, logger=quiet) for tcp in (False, True)]
    layout.image("app", [{"word": "pulled"}])
    name = f"registry.test:{port}/app"
    kernel = ["unshare", "--network", "env", f"MINICT_INSECURE_REGISTRIES=registry.test:{port}"]
    by_tcp = f"import dnslib; print(dnslib.DNSRecord.question('registry.test').send('{server}', tcp=True)[12:].hex())"
    mount.mount(str(file), "/etc/resolv.conf", None, mount.MS_BIND)
    try:
        for each in serving:
            each.start_thread()
        with RegistryServer(tmp_path, address=f"{HOST}:{port}") as registry:
            registry.push(layout, "app")
            assert ada.output(*kernel, *ada.program, "pull", "-q", name) == f"{name}:latest"
        assert ada.output(*kernel, ada.program[0], "-c", by_tcp).endswith(socket.inet_aton(HOST).hex())
        assert "nameserver" not in ada.run("cat /etc/resolv.conf")  # a container has a loopback of its own
    finally:
        mount.umount2("/etc/resolv.conf", mount.MNT_DETACH)
        for each in serving:
            each.stop()
            each.server.server_close()
