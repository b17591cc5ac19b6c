"""The commands of ``minict-oci``: what an engine types, and what it reads."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess

import pytest

from minict.runtime import terminal
from minict.runtime.cgroup import hierarchy
from tests.support.command_line import wait_until
from tests.support.oci import oci  # noqa: F401


def test_the_life_cycle_by_a_process_for_each_step(oci):
    pid_file = f"{oci.place}/pid"
    oci.create("sh", "-c", "echo begun; sleep 1000", options=("--pid-file", pid_file))
    state = oci.state()
    assert state["status"] == "created" and open(pid_file).read() == str(state["pid"]) and oci.output() == ""
    assert (state["id"], state["bundle"], state["rootfs"]) == ("box", oci.bundle.path, oci.bundle.rootfs)
    assert os.readlink(f"/proc/{state['pid']}/root") == "/" and open(f"/proc/{state['pid']}/comm").read() != "sh\n"
    oci.do("start", "box")
    wait_until(lambda: oci.output() == "begun\n")
    assert oci.state()["status"] == "running"
    oci.refused("start", "box", told="running")
    oci.refused("delete", "box", told="cannot delete container box that is not stopped: running")
    oci.refused("create", "box", told="exists already")
    oci.do("kill", "box", "KILL")
    oci.stopped()
    assert oci.state()["pid"] == 0
    oci.refused("kill", "box", "9", told="container not running")
    oci.do("kill", "--all", "box", "9")
    oci.do("delete", "box")
    oci.refused("state", "box", told="does not exist")
    oci.refused("delete", "box", told="does not exist")
    oci.do("delete", "--force", "box")


@pytest.mark.parametrize("word,number", [("9", 9), ("SIGTERM", 15), ("usr1", 10), ("RTMIN+3", 37), ("", 15)])
def test_a_signal_by_any_spelling(oci, word, number):
    script = f"trap 'echo got {number}; exit 3' {number}; echo up; while :; do sleep 0.1; done"
    oci.begin("sh", "-c", script)
    wait_until(lambda: "up" in oci.output())
    oci.do("kill", "box", *([word] if word else []))
    oci.stopped()
    assert (f"got {number}" in oci.output()) == (number != 9)


def test_words_in_any_order_and_with_one_dash(oci):
    oci.bundle.load("sleep", "1000")
    place = f"{oci.place}/elsewhere"
    os.makedirs(place)
    oci.do("create", "box", "-bundle", oci.bundle.path, f"--pid-file={place}/pid", cwd=place, capture_output=False)
    assert os.listdir(place) == ["pid"]
    oci.do("kill", "-a", "box", "KILL")


@pytest.mark.parametrize(
    "words,told,status",
    [
        (["no-such-command"], "no command 'no-such-command'", 3),
        (["create"], "0 given", 1),
        (["create", "a", "b"], "2 given", 1),
        (["create", "--no-such-option", "a"], "unknown option --no-such-option", 1),
        (["create", "--bundle"], "needs a value", 1),
        (["create", "--bundle", "/nowhere", "a"], "no such file or directory", 1),
        (["create", "../a"], "invalid container id", 1),
        (["create", "--no-pivot", "a"], "--no-pivot is refused", 1),
        (["--systemd-cgroup", "create", "a"], "is not named as systemd needs it", 1),
        (["--cgroup-manager", "disabled", "create", "a"], "unknown cgroup manager", 1),
        (["create", "--preserve-fds", "1", "a"], "not open", 1),
        (["state", ".."], "invalid container id", 1),
        (["state", "nobody"], "does not exist", 1),
        (["kill", "nobody", "9"], "does not exist", 1),
        (["exec", "nobody", "true"], "does not exist", 255),
        (["list", "--format", "yaml"], "invalid format", 1),
        (["checkpoint", "a"], "cannot checkpoint", 1),
        (["restore", "a"], "cannot checkpoint", 1),
        (["spec"], "exists: remove it first", 1),
    ],
)  # fmt: skip
def test_a_wrong_call_is_refused_in_a_sentence(oci, words, told, status):
    oci.bundle.load("true")
    oci.refused(*words, told=told, status=status)
    assert oci.do("list", "-q") == ""


@pytest.mark.parametrize("version", [None, "2.0.0", "foo", "1.3", "0.9.0"])
def test_a_specification_of_another_version_is_refused(oci, version):
    oci.config["ociVersion"] = version
    oci.bundle.load("true")
    oci.refused("create", "box", told="ociVersion")


@pytest.mark.parametrize(
    "args,cwd,told",
    [
        (["no-such-program"], "/", "executable file not found in $PATH"),
        (["/no/such/program"], "/", "no such file or directory"),
        (["/etc/passwd"], "/", "permission denied"),
        (["true"], "/etc/passwd", "Not a directory"),
    ],
)
def test_an_error_of_the_command_is_told_to_create_in_the_words_that_engines_seek(oci, args, cwd, told):
    oci.process["cwd"] = cwd
    open(f"{oci.bundle.rootfs}/etc/passwd", "a").close()
    oci.bundle.load(*args)
    assert args[0] in oci.refused("create", "box", told=told) or cwd != "/"
    assert oci.do("list", "-q") == ""


def test_exec(oci):
    oci.begin("sleep", "1000")
    done = oci(
        "exec",
        "-e",
        "A=b",
        "--cwd",
        "/tmp",
        "-u",
        "12:13",
        "-g",
        "14",
        "box",
        "sh",
        "-c",
        "pwd; id -u; id -G; echo $A; exit 5",
    )
    assert (done.returncode, done.stdout, done.stderr) == (5, "/tmp\n12\n13 14\nb\n", "")
    assert "executable file not found in $PATH" in oci.refused("exec", "box", "no-such", told="no-such", status=255)
    with open(f"{oci.place}/process.json", "w") as file:
        json.dump({**oci.process, "args": ["sh", "-c", "echo $0; exit 4", "by file"], "cwd": "/"}, file)
    done = oci("exec", "--process", file.name, "box")
    assert (done.returncode, done.stdout) == (4, "by file\n")
    oci.do("exec", "-d", "--pid-file", f"{oci.place}/pid", "box", "sleep", "1000", capture_output=False)
    pids = json.loads(oci.do("ps", "--format", "json", "box"))
    assert int(open(f"{oci.place}/pid").read()) in pids and len(pids) == 2
    assert len(oci.do("ps", "box", "-eo", "pid,args").splitlines()) == 3
    oci.do("pause", "box")
    oci.refused("exec", "box", "true", told="cannot exec in a paused container", status=255)
    oci.refused("pause", "box", told="container not running")
    assert oci.state()["status"] == "paused"
    oci.do("resume", "box")
    oci.refused("resume", "box", told="container not paused")


def test_capabilities_of_exec(oci):
    oci.begin("sleep", "1000")
    caps = "grep -e CapEff -e NoNewPrivs /proc/self/status"
    assert oci.do("exec", "box", "sh", "-c", caps).split()[1] == f"{1 << 29 | 1 << 5 | 1 << 10:016x}"
    found = oci.do("exec", "--cap", "CAP_SYS_ADMIN", "--no-new-privs", "box", "sh", "-c", caps).split()
    assert found[1] == f"{1 << 29 | 1 << 21 | 1 << 5 | 1 << 10:016x}" and found[3] == "1"


def test_a_frozen_container_can_be_killed(oci):
    oci.begin("sleep", "1000")
    oci.do("pause", "box")
    oci.do("kill", "box", "KILL")
    oci.stopped()


def test_list(oci):
    assert oci.do("list", "-f", "json") == "null\n"
    oci.create("true", id="one")
    oci.config["annotations"] = {"a.b": "c"}
    oci.linux["cgroupsPath"] += "2"
    oci.create("true", id="two")
    head, *lines = oci.do("list").splitlines()
    assert head.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert [line.split()[0] for line in lines] == ["one", "two"] == oci.do("list", "-q").split()
    assert [line.index("created") for line in lines] == [head.index("STATUS")] * 2
    found = json.loads(oci.do("list", "--format=json"))
    assert found == [oci.state("one"), oci.state("two")] and found[1]["annotations"] == {"a.b": "c"}


def test_update_by_options_and_by_a_file(oci):
    oci.begin("sleep", "1000")

    def limit(*names: str) -> str:
        for controller in ("memory", "pids"):
            for name in names:
                path = f"/sys/fs/cgroup/{controller}{oci.linux['cgroupsPath']}/{name}"
                if os.path.exists(path):
                    return open(path).read().strip()
        return open(f"/sys/fs/cgroup{oci.linux['cgroupsPath']}/{names[-1]}").read().strip()

    oci.do("update", "-m", "64m", "--pids-limit", "17", "box")
    assert (limit("memory.limit_in_bytes", "memory.max"), limit("pids.max")) == (str(64 << 20), "17")
    oci.do("update", "--resources", "-", "box", input='{"pids": {"limit": 18}}', stdin=None)
    assert limit("pids.max") == "18"
    oci.refused("update", "--memory", "lots", "box", told="invalid value --memory 'lots'")
    oci.refused(
        "update", "--resources", "-", "box", told="must be a JSON integer", input='{"pids": {"limit": "x"}}', stdin=None
    )


def test_events(oci):
    oci.begin("sleep", "1000")
    event = json.loads(oci.do("events", "--stats", "box"))
    assert (event["type"], event["id"], event["data"]["pids"]["current"]) == ("stats", "box", 1)
    assert event["data"]["memory"]["usage"]["usage"] > 0 and event["data"]["cpu"]["usage"]["total"] > 0
    with subprocess.Popen([*oci.words, "events", "--interval", "20ms", "box"], stdout=subprocess.PIPE) as stream:
        assert [json.loads(stream.stdout.readline())["type"] for _ in range(3)] == ["stats"] * 3
        oci.do("kill", "box", "KILL")
        stream.communicate()
    oci.refused("events", "--interval", "soon", "box", told="invalid duration")


def test_a_terminal_is_sent_to_the_console_socket(oci):
    oci.process["terminal"] = True
    oci.process["consoleSize"] = {"height": 20, "width": 77}
    oci.bundle.load("true")
    oci.refused("create", "box", told="without --console-socket")
    path = f"{oci.place}/socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        oci.begin("sh", "-c", "tty; stty size; read x; echo $x", options=("--console-socket", path))
        with server.accept()[0] as channel:
            master = terminal.receive(channel.fileno())
    with open(master, "r+b", buffering=0) as file:
        text = b""
        while b"77\r\n" not in text:
            text += file.read(4096)
        file.write(b"typed\n")
        while text.count(b"typed") < 2:
            text += file.read(4096)
    assert text.split()[:3] == [b"/dev/pts/0", b"20", b"77"]
    os.unlink(path)


def test_run_at_a_terminal(oci):
    oci.process["terminal"] = True
    oci.bundle.load("sh", "-c", "read x; echo got $x; exit 6")
    master, slave = pty.openpty()
    with subprocess.Popen([*oci.words, "run", "box"], stdin=slave, stdout=slave, cwd=oci.bundle.path) as process:
        os.close(slave)
        os.write(master, b"a word\n")
        assert process.wait() == 6
    assert b"got a word" in os.read(master, 4096)
    os.close(master)
    assert oci.do("list", "-q") == ""


def test_run_passes_on_signals_and_keeps_what_is_to_be_kept(oci):
    oci.bundle.load("sh", "-c", "trap 'echo term; exit 9' TERM; echo up; while :; do sleep 0.1; done")
    process = subprocess.Popen(
        [*oci.words, "run", "--keep", "box"], stdout=subprocess.PIPE, cwd=oci.bundle.path, text=True
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[0] == "term\n" and process.returncode == 9
    assert oci.state()["status"] == "stopped"


def test_descriptors_from_three_on(oci):
    three, four = f"{oci.place}/three", f"{oci.place}/four"
    # A shell of its own opens 3 and 4, and 5, which is not to be passed on: the numbers here belong to pytest.
    script = 'exec 3>>"$0" 4>>"$1" 5</dev/null; shift; exec "$@"'
    oci.bundle.load("sh", "-c", "echo three >&3; echo four >&4; ls /proc/self/fd; echo $LISTEN_FDS")
    for bind in (False, True):  # by a clone of this process, and by the zygote
        if bind:
            oci.config["mounts"].append({"destination": "/data", "type": "bind", "source": oci.place})
            oci.bundle.load(*oci.process["args"])
        done = subprocess.run(
            ["bash", "-c", script, three, four, *oci.words, "run", "--preserve-fds", "2", "box"],
            cwd=oci.bundle.path, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stdout.split()) == (0, ["0", "1", "2", "3", "4", "5"]), done
    with open(three) as file, open(four) as other:
        assert (file.read(), other.read()) == ("three\nthree\n", "four\nfour\n")


def test_a_service_says_that_it_is_ready(oci, monkeypatch):
    path = f"{oci.place}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        assert oci.run("echo $NOTIFY_SOCKET; test -S $NOTIFY_SOCKET && echo yes") == "/run/notify/notify.sock\nyes"
    os.unlink(path)


def test_descriptors_of_socket_activation(oci):
    oci.bundle.load("sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd; cat <&3")
    with open(f"{oci.place}/passed", "w") as file:
        file.write("passed")
    script = 'exec 3<"$0"; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, file.name, *oci.words, "run", "box"],
        cwd=oci.bundle.path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["1", "1", "0", "1", "2", "3", "4", "passed"]), done


def test_exec_into_a_container_whose_init_has_made_groups_of_its_own(oci):
    unified = hierarchy.find_hierarchies()[1]
    if not unified or not open(f"{unified}/cgroup.controllers").read().split():
        pytest.skip("no controller works in a v2 tree of this machine")
    for each in oci.config["mounts"]:
        if each["type"] == "cgroup":
            each["options"] = ["nosuid", "noexec", "nodev"]
    script = """
        for place in /sys/fs/cgroup /sys/fs/cgroup/unified; do [ -e $place/cgroup.procs ] && [ -e $place/cgroup.subtree_control ] && cd $place; done
        mkdir init && echo 1 > init/cgroup.procs && for each in $(cat cgroup.controllers); do echo +$each > cgroup.subtree_control; done
        echo up; exec sleep 1000"""
    oci.begin("sh", "-c", script)
    wait_until(lambda: "up" in oci.output())
    assert "/init\n" in oci.do("exec", "box", "cat", "/proc/self/cgroup")


def test_home_is_that_of_the_containers_passwd(oci):
    with open(f"{oci.bundle.rootfs}/etc/passwd", "w") as file:
        file.write("root:x:0:0::/the/root:/bin/sh\nu:x:7:7::/the/seventh:/bin/sh\n")
    for uid, home in ((0, "/the/root"), (7, "/the/seventh"), (8, "/")):
        oci.process["user"] = {"uid": uid, "gid": 0}
        assert oci.run("echo $HOME") == home
    oci.process["env"].append("HOME=/mine")
    assert oci.run("echo $HOME") == "/mine"


def test_version_help_features_and_spec(oci):
    assert oci.do("--version").startswith("minict-oci version ") and "spec: 1.3" in oci.do("-v")
    assert "create a container" in oci.do("--help") and "--pid-file" in oci.do("create", "--help")
    features = json.loads(oci.do("features"))
    assert {"rro", "rbind", "tmpcopyup"} <= set(features["mountOptions"]) and len(features["hooks"]) == 6
    os.unlink(f"{oci.bundle.path}/config.json") if os.path.exists(f"{oci.bundle.path}/config.json") else None
    for flags in ([], ["--rootless"]):
        oci.do("spec", *flags)
        with open(f"{oci.bundle.path}/config.json") as file:
            values = json.load(file)
        values["process"].update(terminal=False, args=["sh", "-c", "id -u; hostname"])
        with open(f"{oci.bundle.path}/config.json", "w") as file:
            json.dump(values, file)
        assert oci.do("run", "box").split() == ["0", "minict"]
        os.unlink(f"{oci.bundle.path}/config.json")
