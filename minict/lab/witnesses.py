"""Twelve checks of a ``mini_docker.py``: each runs it, and looks at what the kernel shows.

::

    examination = examine(program.text)     # {name of a check: "" or why it has failed}
    examination.failed                      # ["exec", …]

All run in namespaces of their own, in which a program with a mistake can do no harm: the root is read-only there,
mounts are shared, as on a machine with systemd, so that a leak shows, and all processes end with the first one.
The containers are made of the image ``tiny``.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from minict.kernel import mount as k
from minict.kernel import namespaces
from minict.kernel.network import loopback_up
from minict.runtime import paths

from . import host
from .child import supervise
from .feedback import Feedback

TIME_LIMIT = 30  # seconds for one command of the program: then it has failed
_TOTAL = 300  # seconds for all checks
_FOREVER = "while :; do sleep 0.05; done"


class Examination(dict):
    """The name of each check, and why it has failed; an empty text where it has not."""

    @property
    def failed(self) -> list[str]:
        """The names of the checks that have failed, in the order of the checks."""
        return [name for name, why in self.items() if why]

    def __repr__(self):
        rows = [f"{'✗' if why else '●'} {name:<11} {why or CHECKS[name].__doc__}" for name, why in self.items()]
        return "\n".join([*rows, f"{len(self) - len(self.failed)} of {len(self)} checks pass"])


def examine(text: str, names: list[str] | None = None) -> Examination:
    """Run the checks *names*, or all of them, on the program *text*.  Nothing of it is left on the host."""
    place = tempfile.mkdtemp(prefix="minict-witness-")
    group = f"minict-witness-{os.path.basename(place)[-8:]}"
    try:
        with open(f"{place}/mini_docker.py", "w", encoding="utf-8") as file:
            file.write(text)
        os.makedirs(f"{paths.data_root()}/mini_docker", exist_ok=True)
        chosen = [name for name in CHECKS if names is None or name in names]
        outcome = supervise(lambda: _all(place, group, chosen), timeout=_TOTAL, apart=True)
        if not isinstance(outcome.value, dict):
            raise RuntimeError(f"the checks did not come to their end: {outcome.error_text or outcome.output}")
        return Examination(outcome.value)
    finally:
        points = {entry["point"] for entry in host.mount_table() if entry["type"] in ("cgroup", "cgroup2")}
        host.remove_cgroups([f"{point}/{group}" for point in points if os.path.isdir(f"{point}/{group}")])
        shutil.rmtree(place, ignore_errors=True)


def _all(place: str, group: str, names: list[str]) -> dict[str, str]:
    """In the child: make the room harmless, and call the checks."""
    namespaces.unshare(namespaces.CLONE_NEWUTS | namespaces.CLONE_NEWIPC | namespaces.CLONE_NEWNET)
    loopback_up()
    k.mount("tmpfs", f"{paths.data_root()}/mini_docker", "tmpfs")
    k.mount(None, "/", None, k.MS_BIND | k.MS_REMOUNT | k.MS_RDONLY)
    k.mount(None, "/", None, k.MS_SHARED | k.MS_REC)
    told = {}
    for name in names:
        try:
            CHECKS[name](_Mini(place, group))
            told[name] = ""
        except Feedback as why:
            told[name] = str(why)
        except (OSError, ValueError, KeyError, IndexError) as error:
            told[name] = f"{type(error).__name__}: {error}"
    return told


class _Mini:
    """The program, as a check calls it."""

    def __init__(self, place: str, group: str):
        self.file = f"{place}/mini_docker.py"
        self.environment = {**os.environ, "MINICT_CGROUP": group, "TERM": "dumb"}

    def __call__(self, *words: str) -> tuple[int, str]:
        """(exit status, output) of ``mini_docker.py`` with these *words*."""
        with tempfile.TemporaryFile(dir=f"{paths.data_root()}/mini_docker") as output:
            command = subprocess.Popen(
                [sys.executable, "-I", self.file, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=True,
            )
            try:
                status = command.wait(TIME_LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(command.pid, signal.SIGKILL)
                command.wait()
                raise Feedback(f"mini_docker.py {' '.join(words)[:60]} does not come to its end") from None
            output.seek(0)
            return status, output.read().decode(errors="replace")

    def sh(self, script: str, *options: str) -> str:
        """The output of a shell in a container of its own, which must end with status 0."""
        status, output = self("run", *options, "tiny", "sh", "-c", script)
        expect(status == 0, f"sh -c {script!r} in a container ended with {status}: {output.strip()[-300:]}")
        return output.strip()

    def start(self, name: str, script: str, *options: str) -> int:
        """Start a container in the background; the pid of its process 1."""
        status, output = self("run", "-d", "--name", name, *options, "tiny", "sh", "-c", script)
        expect(status == 0, f"run -d ended with {status}: {output.strip()[-300:]}")
        pid = self.row(name)[-1].strip(")")
        expect(
            os.path.exists(f"/proc/{pid}"),
            f"after run -d, the container has no process 1: {self('logs', name)[1][-300:]}",
        )
        return int(pid)

    def row(self, name: str) -> list[str]:
        """The words of the container's line in the output of ps."""
        output = self("ps")[1]
        rows = [line.split() for line in output.splitlines() if line.split()[:1] == [name]]
        expect(rows, f"ps does not list the container {name}: {output.strip()[-300:]}")
        return rows[0]

    def end(self, name: str) -> None:
        """Remove the container."""
        status, output = self("rm", name)
        expect(status == 0, f"rm ended with {status}: {output.strip()[-300:]}")


def expect(holds, why: str) -> None:
    """Raise :class:`Feedback` with *why* unless *holds*."""
    if not holds:
        raise Feedback(why)


def _until(condition, why: str, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, why)
        time.sleep(0.01)


# ---- the checks ----------------------------------------------------------------------------------------------------


def _status(mini: _Mini) -> None:
    """the command's exit status comes back, as a shell would report it"""
    for words, wanted in (
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 137),
        (["no-such-command"], 127),
        (["/etc/passwd"], 126),
    ):
        status, output = mini("run", "tiny", *words)
        expect(status == wanted, f"{' '.join(words)} gave the status {status}, not {wanted}: {output.strip()[-200:]}")


def _namespaces(mini: _Mini) -> None:
    """it sees a host name of its own, and no process but its own"""
    ours = os.uname().nodename
    said = mini.sh("hostname; ls -d /proc/[0-9]* | wc -l; ls -l /proc/self/ns", "--name", "box").split("\n")
    expect(said[0] == "box", f"hostname says {said[0]}, not box")
    expect(os.uname().nodename == ours, f"the host itself is called {os.uname().nodename} now")
    expect(int(said[1]) <= 4, f"it sees {said[1]} processes")
    for kind in ("mnt", "pid", "net", "uts", "ipc", "cgroup"):
        number = os.readlink(f"/proc/self/ns/{kind}")
        expect(not any(number in line for line in said), f"it shares the {kind} namespace with the host")


def _process_1(mini: _Mini) -> None:
    """process 1 collects orphans, and passes signals on"""
    orphan = (
        '(sh -c "echo \\$\\$ > /tmp/p; exit 0" &); while [ ! -s /tmp/p ]; do sleep 0.01; done; p=$(cat /tmp/p); n=0; '
    )
    wait = "while [ -e /proc/$p ] && [ $n -lt 300 ]; do sleep 0.01; n=$((n+1)); done; [ ! -e /proc/$p ] || echo zombie"
    expect(not mini.sh(orphan + wait), "an orphan stays a zombie")
    mini.start("ends", f'trap "exit 7" TERM; echo ready; {_FOREVER}')
    _until(lambda: "ready" in mini("logs", "ends")[1], "the log stays empty")
    mini("stop", "ends")
    expect(
        mini.row("ends")[1:3] == ["exited", "7"],
        f"after stop, ps says: {' '.join(mini.row('ends')[1:3])}, not exited 7",
    )
    mini.end("ends")


def _root(mini: _Mini) -> None:
    """its root is the image's, and nothing of the host is mounted or within reach"""
    mounts = mini.sh("cat /proc/self/mounts")
    points = {line.split()[1] for line in mounts.splitlines()}
    strangers = [point for point in points if not point.startswith(("/proc", "/sys", "/dev")) and point != "/"]
    expect("/" in points and not strangers, f"mounted in it: {' '.join(sorted(points))}")
    expect(os.path.dirname(mini.file) not in mounts, "a path of the host is in its mount table")
    same = mini.sh("ls -di / | tr -dc 0-9").strip() == str(os.stat("/").st_ino) and "overlay / " not in mounts
    expect(not same, "its root is the host's")
    status, output = mini("/bin/sh", "-c", f"test ! -e {mini.file} && ls / && exit 3")
    expect(
        status == 3 and "bin" in output.split(), f"mini_docker.py /bin/sh ended with {status}: {output.strip()[-200:]}"
    )


def _places(mini: _Mini) -> None:
    """/proc, /sys and /dev are there, and what is not its business in them is hidden"""
    mini.sh(
        "echo gone > /dev/null && test -c /dev/null && head -c 3 /dev/zero > /dev/full 2>&1; echo said > /dev/stdout"
    )
    expect(mini.sh("head -c 3 /dev/zero | wc -c") == "3", "/dev/zero gives nothing")
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list"):
        expect(
            mini.sh(f"head -c 1 {path} 2> /dev/null | wc -c") == "0", f"{path} can be read, and should seem to be empty"
        )
    expect(mini.sh("ls /sys/firmware | wc -l") == "0", "/sys/firmware is not hidden")
    mini.sh("! touch /sys/kernel/new 2> /dev/null; ! echo 0 > /sys/kernel/mm/ksm/run; test -d /sys/kernel")
    expect(
        "localhost" in mini.sh("cat /etc/hosts; ls -l /dev/ptmx /dev/fd/0 > /dev/null"), "/etc/hosts lacks localhost"
    )


def _private(mini: _Mini) -> None:
    """the host's mount table stays as it was, while it lives and afterwards"""
    before = sorted(entry["point"] for entry in host.mount_table())
    mini.start("quiet", _FOREVER, "-v", "some:/some")
    during = sorted(entry["point"] for entry in host.mount_table())
    expect(during == before, f"on the host there is a new mount: {' '.join(set(during) - set(before)) or 'one twice'}")
    mini.end("quiet")


def _layers(mini: _Mini) -> None:
    """what it writes or deletes is its own: the next container finds the image as it was"""
    mini.sh("echo mine > /new && rm /etc/passwd && mkdir /etc/more && test -e /new")
    mini.sh("test ! -e /new && test -e /etc/passwd && test ! -e /etc/more")


def _limits(mini: _Mini) -> None:
    """memory, processor time and processes are limited, for it and not for others"""
    pid = mini.start("small", _FOREVER, "-m", "64m", "--cpus", "0.5", "--pids", "20")
    for names, wanted in (
        (("memory.max", "memory.limit_in_bytes"), str(64 << 20)),
        (("cpu.max", "cpu.cfs_quota_us"), "50000"),
        (("pids.max",), "20"),
    ):
        found = [file for name in names for file in glob.glob(f"/sys/fs/cgroup/**/{name}", recursive=True)]
        found = [file for file in found if mini.environment["MINICT_CGROUP"] in file and "small" in file]
        expect(found, f"its control group has no {names[0]}")
        value, group = _read(found[0]).split()[0], os.path.dirname(found[0])
        expect(value == wanted, f"{os.path.basename(found[0])} says {value}, not {wanted}")
        expect(str(pid) in _read(f"{group}/cgroup.procs").split(), f"its process 1 is not in the group of {names[0]}")
        expect(str(os.getpid()) not in _read(f"{group}/cgroup.procs").split(), "the group limits its caller too")
    mini.end("small")
    _, output = mini("run", "--pids", "8", "tiny", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 3 & done; exit 0")
    expect("fork" in output, f"with --pids 8, it has made 9 more processes: {output.strip()[-200:]}")


def _network(mini: _Mini) -> None:
    """it reaches the host, a published port reaches it, and it knows a name server"""
    pid = mini.start("net", _FOREVER, "-p", "8080:80")
    with open(f"/proc/{pid}/ns/net") as namespace, namespaces.inside(namespace.fileno()):
        inner = socket.create_server(("0.0.0.0", 80))
        out = socket.socket()
        gateway = _gateway(f"/proc/{os.getpid()}/task/{os.getpid()}/net/route")
        socket.create_connection(("127.0.0.1", 80), 5).close()
    inner.accept()[0].close()
    expect(gateway, "it has no default route")
    with socket.create_server((gateway, 0)) as server:
        out.settimeout(5)
        out.connect(server.getsockname())
        out.close()
    inner.settimeout(5)
    for address in ("127.0.0.1", gateway):
        try:
            with socket.create_connection((address, 8080), 5):
                inner.accept()[0].close()
        except OSError as error:
            raise Feedback(f"port 8080 of {address} does not lead to its port 80: {error}") from None
    expect(_read("/proc/sys/net/ipv4/ip_forward").strip() == "1", "the host does not forward packets")
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout
    expect("masquerade" in rules, "no rule gives its packets the host's address")
    loopback = [line for line in rules.splitlines() if "dnat" in line and "@ports" in line]
    expect(any("127.0.0.0/8" in line for line in loopback), "other machines may claim to be on the loopback")
    inner.close()
    mini.end("net")
    expect("lo" in mini.sh("cat /proc/net/dev", "--network", "none"), "--network none: it has no lo")


def _gateway(route: str) -> str:
    for line in _read(route).splitlines()[1:]:
        _, destination, gateway, *_ = line.split()
        if destination == "00000000":
            return socket.inet_ntoa(bytes.fromhex(gateway)[::-1])
    return ""


def _volumes(mini: _Mini) -> None:
    """a volume outlives the container, :ro keeps it from writing, and no mount covers another"""
    outer, inner = (tempfile.mkdtemp(dir=f"{paths.data_root()}/mini_docker") for _ in range(2))
    for place, text in ((outer, "outer"), (inner, "inner")):
        with open(f"{place}/text", "w") as file:
            file.write(text)
    mini.sh("echo kept > /data/file", "-v", "store:/data")
    expect(mini.sh("cat /data/file", "-v", "store:/data") == "kept", "the volume has lost its file")
    said = mini.sh("cat /o/text /o/i/text", "-v", f"{inner}:/o/i", "-v", f"{outer}:/o")
    expect(said == "outerinner", f"of two volumes, /o/i and /o, it reads {said!r}, not 'outerinner'")
    mini.sh("! touch /o/new 2> /dev/null && cat /o/text", "-v", f"{outer}:/o:ro")
    mini.sh("touch /o/new", "-v", f"{outer}:/o")
    expect(os.path.exists(f"{outer}/new"), "what it writes into a directory of the host does not arrive there")


def _exec(mini: _Mini) -> None:
    """exec goes into the same namespaces and the same group; logs shows what was written"""
    pid = mini.start("home", f"echo hello from the log; {_FOREVER}")
    status, output = mini("exec", "home", "sh", "-c", "exit 5")
    expect(status == 5, f"exec … sh -c 'exit 5' ended with {status}: {output.strip()[-300:]}")
    output = mini("exec", "home", "sh", "-c", "hostname; ls -l /proc/self/ns; cat /proc/self/cgroup")[1]
    expect(output.startswith("home\n"), f"in exec, hostname says {output.partition(chr(10))[0]}")
    for kind in ("mnt", "pid", "net", "uts", "ipc", "cgroup"):
        number = os.readlink(f"/proc/{pid}/ns/{kind}")
        expect(number in output, f"exec is in another {kind} namespace")
    # the namespace shows paths from the container's own group on, which is / there
    outside = [line for line in output.splitlines() if re.match(r"\d+:.*:/.", line)]
    expect(not outside, f"exec is in another control group: {' '.join(outside)}")
    expect(
        mini("exec", "home", "no-such-command")[0] == 127, "exec of a command that is not there does not end with 127"
    )
    _until(lambda: "hello from the log" in mini("logs", "home")[1], "logs does not show what it has written")
    mini.end("home")
    expect(mini("exec", "home", "true")[0] == 125, "exec in a container that is gone does not end with 125")


def _clean(mini: _Mini) -> None:
    """when it has ended, or could not start, nothing of it is left on the host"""
    mini.start("short", _FOREVER, "-p", "8081:80", "-v", "some:/data")
    mini.start("second", _FOREVER)
    status, output = mini("run", "--name", "never", "--cpus", "0.001", "tiny", "true")
    expect(
        status == 125,
        f"with a limit that the kernel refuses, run ended with {status}, not 125: {output.strip()[-200:]}",
    )
    mini("stop", "second"), mini.end("second"), mini.end("short")
    mini.sh("true")
    table = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout.split()
    expect(not any("mini" in word for word in table), f"a table of rules is left: {' '.join(table)}")
    links = [name for _, name in socket.if_nameindex() if name != "lo"]
    expect(not links, f"interfaces are left: {' '.join(links)}")
    groups = glob.glob(f"/sys/fs/cgroup/**/{mini.environment['MINICT_CGROUP']}*/*/", recursive=True)
    expect(not groups, f"a control group is left: {' '.join(groups)}")
    left = os.listdir(f"{paths.data_root()}/mini_docker/containers")
    expect(not left, f"directories are left: {' '.join(left)}")
    running = [each for each in host.process_table().values() if b"mini_docker.py" in each.read("cmdline")]
    expect(not running, f"{len(running)} processes are left")


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


CHECKS = {
    "status": _status,
    "namespaces": _namespaces,
    "process 1": _process_1,
    "root": _root,
    "places": _places,
    "private": _private,
    "layers": _layers,
    "limits": _limits,
    "network": _network,
    "volumes": _volumes,
    "exec": _exec,
    "clean": _clean,
}
