"""The commands that show things, ps, logs, inspect, stats, top, info and system df, and those that prune."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from minict.engine import api
from minict.engine.containers.store import Record
from minict.engine.volumes import store
from tests.support.command_line import PATIENCE, Terminal, begin, minict, refused, wait_until

FOREVER = ("sleep", "1000")


@pytest.fixture
def boxes(tiny):
    """Makes containers in the background, and removes them all."""
    made = []

    def make(*command: str, flags: tuple = (), name: str = "") -> str:
        name = name or f"box{len(made)}"
        network = () if "--network" in flags else ("--network", "none")
        done = minict("run", "-d", *network, "--name", name, *flags, tiny, *(command or FOREVER))
        assert done.returncode == 0, done
        made.append(name)
        return done.stdout.strip()

    yield make
    for name in made:
        minict("rm", "-f", "-v", name)


def said(*words: str, **options) -> str:
    done = minict(*words, **options)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def ended(name: str) -> None:
    assert minict("wait", name).returncode == 0


# ---- ps ----------------------------------------------------------------------------------------------------------


def test_ps_of_nothing_is_a_heading():
    assert said("ps") == "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
    assert said("ps", "-aq") == said("ps", "--format", "{{.ID}}") == said("ps", "--format", "json") == ""


def test_ps_shows_what_runs_and_with_a_what_has_ended(boxes):
    id = boxes(name="one")
    boxes("sh", "-c", "exit 3", name="two")
    ended("two")
    heading, line = said("ps").splitlines()
    assert line.split()[:3] == [id[:12], "tiny", '"sleep'] and line.endswith(" one") and " Up " in line
    assert line.index("Up ") == heading.index("STATUS") and line.index('"sleep 1000"') == heading.index("COMMAND")
    both = said("ps", "-a").splitlines()[1:]
    assert [each.split()[-1] for each in both] == ["two", "one"] and "Exited (3)" in both[0] and "ago" in both[0]
    assert said("ps", "-q").split() == [id[:12]] == said("container", "ls", "-q").split()
    assert said("ps", "-q", "--no-trunc").split() == [id] and len(id) == 64
    assert said("ps", "-l", "--format", "{{.Names}}") == "two\n" == said("ps", "-n", "1", "--format", "{{.Names}}")
    assert json.loads(said("ps", "--format", "json"))["State"] == "running"
    assert json.loads(said("ps", "--format", "{{json .}}")).keys() == json.loads(said("ps", "--format", "json")).keys()
    states = said("ps", "-a", "--format", "table {{.Names}}\\t{{.State}}")
    assert states == "NAMES     STATE\ntwo       exited\none       running\n"


def test_ps_tells_the_truth_when_the_monitor_was_killed(boxes):
    boxes(name="orphan")
    record, follower = Record.find("orphan"), begin("logs", "-f", "orphan")
    os.kill(record.monitor, signal.SIGKILL)
    wait_until(lambda: record.pid is None)
    assert follower.communicate(timeout=PATIENCE) == ("", "") and follower.returncode == 0
    assert said("ps", "-q") == ""
    assert said("ps", "-a", "--format", "{{.State}}: {{.Status}}") == "exited: Exited (137)\n"
    assert said("inspect", "-f", "{{.State.Running}} {{.State.ExitCode}} {{.State.FinishedAt}}", "orphan").startswith(
        "false 137 0001-"
    )
    assert minict("prune").returncode == 0
    assert "second" in said("ps", "-a", "--format", "{{.Status}}")


def test_ps_names_the_image_only_as_long_as_the_name_means_it(tiny):
    try:
        assert minict("tag", tiny, "moving:1").returncode == 0
        assert minict("create", "--name", "still", "--network", "none", "moving:1").returncode == 0
        assert said("ps", "-a", "--format", "{{.Image}}") == "moving:1\n"
        assert minict("image", "from-host", "moving:1", "true").returncode == 0
        id = said("inspect", "-f", "{{.Image}}", "still").strip().removeprefix("sha256:")
        assert said("ps", "-a", "--format", "{{.Image}}") == f"{id[:12]}\n"
        assert said("ps", "-a", "--no-trunc", "--format", "{{.Image}}") == f"{id}\n"
    finally:
        minict("rm", "still")
        minict("rmi", "moving:1")


def test_ps_filters(boxes, tiny):
    boxes(name="front", flags=("--label", "tier=front", "--label", "a=b"))
    boxes(name="back", flags=("--label", "tier=back", "-v", "lookvolume:/data"))
    boxes("sh", "-c", "exit 7", name="done")
    ended("done")

    def names(*words: str) -> list[str]:
        return said("ps", "--format", "{{.Names}}", *(part for word in words for part in ("--filter", word))).split()

    try:
        assert names("name=fro") == ["front"] and names("name=^/back$") == ["back"]
        assert names("label=tier") == ["back", "front"] and names("label=tier=back") == ["back"]
        assert names("label=tier=front", "label=a=b") == ["front"] and names("label=tier=back", "label=a=b") == []
        assert names("status=exited") == ["done"] == names("exited=7") and names("exited=0") == []
        assert names("status=exited", "status=running") == ["done", "back", "front"]
        assert names(f"ancestor={tiny}") == ["back", "front"] and names("volume=lookvolume") == ["back"] == names(
            "volume=/data"
        )
        assert names("since=front") == ["back"] and names("before=back") == ["front"]
        assert names("network=none") == ["back", "front"] and names("network=bridge") == []
        assert names("health=none") == ["back", "front"] and names("health=healthy") == []
        assert names(f"id={said('ps', '-q', '--filter', 'name=front').strip()[:6]}") == ["front"]
        refused(minict("ps", "--filter", "colour=red"), "KEY=VALUE", "ancestor")
        refused(minict("ps", "--filter", "status=asleep"), "running", "exited")
        refused(minict("ps", "--filter", "exited=x"), "number")
        refused(minict("ps", "--filter", "name=("), "regular expression")
        refused(minict("ps", "--format", "{{.Colour}}"), "unknown field .Colour", "Names")
    finally:
        minict("rm", "-f", "back")
        store.remove("lookvolume")


def test_ps_shows_labels_sizes_and_a_command_that_would_move_the_cursor(boxes):
    boxes(
        "sh", "-c", "echo '\x1b[2J'; head -c 3000 /dev/zero > /file; sleep 1000", name="loud", flags=("--label", "x=y")
    )
    wait_until(lambda: said("ps", "-s", "--format", "{{.Size}}").startswith("3kB (virtual "))
    shown = said("ps", "--no-trunc")
    assert "\x1b" not in shown and "\\x1b[2J" in shown and 'sleep 1000"' in shown
    assert "…" in said("ps") and "sleep 1000" not in said("ps")
    assert said("ps", "--format", '{{.Labels}} {{.Label "x"}}{{.Label "none"}}|') == "x=y y|\n"


# ---- logs --------------------------------------------------------------------------------------------------------


def test_logs_show_what_was_written_where_it_was_written(boxes):
    boxes("sh", "-c", "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three; printf four", name="talker")
    ended("talker")
    done = minict("logs", "talker")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\nthree\nfour", "two\n")
    assert minict("logs", "--tail", "1", "talker").stdout == "four"
    assert minict("logs", "--tail", "0", "talker").stdout == ""
    line = minict("logs", "-t", "talker").stdout.splitlines()[0]
    stamp, _, text = line.partition(" ")
    assert text == "one" and len(stamp) == 30 and stamp[10] == "T" and stamp.endswith("Z")
    assert minict("logs", "--since", stamp, "talker").stdout.startswith("one")
    assert minict("logs", "--until", "1h", "talker").stdout == ""
    assert minict("logs", "--since", "1h", "talker").stdout == "one\nthree\nfour"
    refused(minict("logs", "--since", "yesterday", "talker"), "--since", "10m")
    refused(minict("logs", "--tail", "many", "talker"), "--tail")
    refused(minict("logs", "nobody"), "nobody")


def test_logs_follow_until_the_container_ends(boxes):
    boxes("sh", "-c", "echo one; while [ ! -e /go ]; do sleep 0.05; done; echo two", name="slow")
    follower = begin("logs", "-f", "slow")
    try:
        assert follower.stdout.readline() == "one\n"
        assert follower.poll() is None
        assert minict("exec", "slow", "touch", "/go").returncode == 0
        assert follower.communicate(timeout=PATIENCE) == ("two\n", "") and follower.returncode == 0
    finally:
        follower.kill()
        follower.wait()


def test_logs_of_a_container_without_a_log(boxes):
    boxes("echo", "unheard", name="mute", flags=("--log-driver", "none"))
    refused(minict("logs", "mute"), "--log-driver none")


# ---- inspect -----------------------------------------------------------------------------------------------------


def test_inspect_knows_a_container_that_runs(boxes, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    id = boxes(
        "sleep",
        "1000",
        name="known",
        flags=(
            "--label",
            "tier=front",
            "-e",
            "A=b",
            "-v",
            f"{tmp_path}:/host:ro",
            "--memory",
            "64m",
            "--cpus",
            "0.5",
            "-w",
            "/tmp",
            "--restart",
            "on-failure:3",
            "--cap-add",
            "NET_ADMIN",
            "--hostname",
            "heinz",
            "--mount",
            f"type=bind,source={tmp_path},target=/again",
        ),
    )
    [found] = json.loads(said("inspect", "known"))
    assert found["Id"] == id and found["Name"] == "/known" and found["Path"] == "sleep" and found["Args"] == ["1000"]
    state = found["State"]
    assert (
        state["Status"] == "running" and state["Running"] is True and state["ExitCode"] == 0 and not state["OOMKilled"]
    )
    assert os.readlink(f"/proc/{state['Pid']}/exe").endswith("sleep") or "busybox" in os.readlink(
        f"/proc/{state['Pid']}/exe"
    )
    assert state["StartedAt"].startswith(time.strftime("%Y-", time.gmtime())) and state["FinishedAt"].startswith(
        "0001-"
    )
    assert found["Image"] == json.loads(said("inspect", "--type", "image", tiny))[0]["Id"]
    config, host = found["Config"], found["HostConfig"]
    assert config["Labels"]["tier"] == "front" and "A=b" in config["Env"] and config["WorkingDir"] == "/tmp"
    assert config["Hostname"] == "heinz" and config["Image"] == tiny
    assert host["Memory"] == 64 << 20 and host["NanoCpus"] == 500_000_000 and host["CapAdd"] == ["CAP_NET_ADMIN"]
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3} and host["NetworkMode"] == "none"
    assert not {"Health", "Healthcheck", "ExposedPorts"} & {*state, *config}, "what it has not is left out"
    assert host["Mounts"] == [{"Type": "bind", "Source": str(tmp_path), "Target": "/again", "ReadOnly": False}]
    [mounted, _] = sorted(found["Mounts"], key=lambda each: each["RW"])
    assert (mounted["Type"], mounted["Source"], mounted["Destination"], mounted["RW"]) == (
        "bind",
        str(tmp_path),
        "/host",
        False,
    )
    assert mounted["Mode"] == "ro"
    assert os.path.isdir(found["GraphDriver"]["Data"]["UpperDir"]) and os.path.isfile(found["HostsPath"])
    asked = said("inspect", "-f", '{{.State.Pid}} {{index .Config.Labels "tier"}}', "known")
    assert asked.split() == [str(state["Pid"]), "front"]
    assert "SizeRw" not in found and json.loads(said("inspect", "-s", "known"))[0]["SizeRw"] >= 0
    assert said("inspect", "-f", "{{if .State.Health}}h{{else}}none{{end}}", "known") == "none\n"
    assert (
        said(
            "inspect",
            "-f",
            "{{range $name, $net := .NetworkSettings.Networks}}{{$name}}={{$net.IPAddress}}{{end}}",
            "known",
        )
        == "none=\n"
    )
    assert os.readlink(found["NetworkSettings"]["SandboxKey"]).startswith("net:[")


def test_inspect_knows_how_a_container_has_ended(boxes):
    boxes("sh", "-c", "echo last words; exit 5", name="over")
    ended("over")
    [found] = json.loads(said("container", "inspect", "over"))
    assert found["State"]["Status"] == "exited" and found["State"]["ExitCode"] == 5 and found["State"]["Pid"] == 0
    assert found["State"]["FinishedAt"] >= found["State"]["StartedAt"] > found["Created"][:4]
    with open(found["LogPath"]) as file:
        assert file.read().endswith(" stdout F last words\n")


def test_inspect_with_a_missing_object_shows_the_others(boxes):
    boxes(name="here")
    done = minict("inspect", "-f", "{{.Name}}", "nowhere", "here")
    assert (
        done.returncode == 1 and done.stdout == "/here\n" and "nowhere" in done.stderr and done.stderr.count("\n") == 1
    )
    refused(minict("inspect", "--type", "elephant", "here"), "container, image, network")
    assert minict("inspect", "--type", "image", "here").returncode == 1
    assert said("image", "inspect", "-f", "{{index .RepoTags 0}} {{.Os}}", "tiny") == "tiny:latest linux\n"
    refused(minict("inspect", "-f", "{{.Stat}}", "here"), "unknown field .Stat", "State")


# ---- stats and top -----------------------------------------------------------------------------------------------


def test_stats_are_the_kernels_numbers(boxes):
    boxes("sh", "-c", "while :; do :; done", name="busy", flags=("--memory", "64m", "--cpus", "0.3"))
    boxes(name="idle", flags=("--memory", "32m"))
    rows = {row["Name"]: row for row in map(json.loads, said("stats", "--no-stream", "--format", "json").splitlines())}
    assert set(rows) == {"busy", "idle"}
    assert 3 < float(rows["busy"]["CPUPerc"].rstrip("%")) < 60 and float(rows["idle"]["CPUPerc"].rstrip("%")) < 5
    assert rows["busy"]["MemUsage"].endswith(" / 64MiB") and rows["idle"]["MemUsage"].endswith(" / 32MiB")
    assert rows["busy"]["PIDs"] == "1" and 0 < float(rows["idle"]["MemPerc"].rstrip("%")) < 50
    heading, line = said("stats", "--no-stream", "idle").splitlines()
    assert (
        heading.split() == "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS".split()
        and "idle" in line
    )


def test_stats_without_a_limit_show_the_memory_of_the_host(boxes):
    boxes(name="free")
    usage = said("stats", "--no-stream", "--format", "{{.MemUsage}}", "free").strip()
    assert usage.endswith(("GiB", "MiB"))
    minict("stop", "-t", "0", "free")
    assert said("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.CPUPerc}}", "free") == "free 0 0.00%\n"
    assert said("stats", "--no-stream", "--format", "{{.Name}}") == ""
    assert said("stats", "-a", "--no-stream", "--format", "{{.Name}}") == "free\n"
    refused(minict("stats", "--no-stream", "nobody"), "nobody")


def test_stats_redraw_the_screen_until_ctrl_c(boxes):
    boxes(name="watched")
    with Terminal("stats") as terminal:
        first = terminal.expect("watched")
        assert "CONTAINER ID" in first
        assert "\x1b[H" in terminal.expect("watched")  # again, from the top of the screen
        boxes(name="late")
        terminal.expect("late")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.status() == 0


def test_top_shows_the_processes_of_the_container_alone(boxes):
    boxes("sh", "-c", "sleep 1001 & sleep 1002; true", name="family")
    wait_until(lambda: "1002" in said("top", "family"))
    heading, *lines = said("top", "family").splitlines()
    assert "PID" in heading and len(lines) == 3 and not any("pytest" in line for line in lines)
    rows = [line.split(None, 1) for line in said("top", "family", "-o", "pid,args").splitlines()[1:]]
    assert {"sleep 1001", "sleep 1002"} <= {args.strip() for _, args in rows}
    assert all(os.path.isdir(f"/proc/{pid}") for pid, _ in rows)
    refused(minict("top", "family", "-o", "args"), "PID")
    refused(minict("top", "family", "--colour"), "top: 'ps --colour' failed")
    minict("stop", "-t", "0", "family")
    refused(minict("top", "family"), "not running")


# ---- the machine -------------------------------------------------------------------------------------------------


def test_info_and_version(boxes):
    boxes(name="counted")
    assert said("info", "--format", "{{.ContainersRunning}} {{.NCPU}}").split() == ["1", str(os.cpu_count())]
    assert json.loads(said("info", "-f", "json"))["KernelVersion"] == os.uname().release
    assert "Containers:" in said("info") and os.uname().release in said("info")
    import minict as package

    assert said("version", "--format", "{{.Server.Version}}").strip() == package.__version__


def test_system_df_counts_what_is_shared_once(boxes, tiny):
    cached = json.loads(said("system", "df", "--format", "json").splitlines()[-1])["TotalCount"]  # by tests of builds
    boxes("sh", "-c", "head -c 5000 /dev/zero > /file; sleep 1000", name="writer", flags=("-v", "dfvolume:/data"))
    try:
        assert minict("exec", "writer", "sh", "-c", "head -c 7000 /dev/zero > /data/file").returncode == 0
        wait_until(lambda: '"5kB"' in said("system", "df", "--format", "json"))
        images, containers, kept, cache = map(json.loads, said("system", "df", "--format", "json").splitlines())
        assert (images["Type"], containers["TotalCount"], containers["Active"]) == ("Images", "1", "1")
        assert containers["Reclaimable"] == "0B (0%)" and kept["Size"] == "7kB" and kept["Reclaimable"] == "0B (0%)"
        assert cache["Type"] == "Build Cache" and cache["TotalCount"] == cached
        whole = said("system", "df", "-v")
        assert "dfvolume" in whole and "writer" in whole and "tiny:latest" in whole
        minict("stop", "-t", "0", "writer")
        assert json.loads(said("system", "df", "--format", "json").splitlines()[1])["Reclaimable"] == "5kB (100%)"
    finally:
        minict("rm", "-f", "writer")
        store.remove("dfvolume")


def test_system_df_counts_the_steps_of_builds_apart(tmp_path, monkeypatch, tiny):
    monkeypatch.setenv("MINICT_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))
    (tmp_path / "built").mkdir()
    (tmp_path / "built/file").write_bytes(bytes(3000))
    (tmp_path / "built/Dockerfile").write_text("FROM scratch\nCOPY file /one\nCOPY file /two\n")
    assert minict("build", "-t", "made", str(tmp_path / "built")).returncode == 0
    said("system", "df", "-v")
    images, *_, cache = map(json.loads, said("system", "df", "--format", "json").splitlines())
    # they are the image's layers
    assert images["TotalCount"] == "1" and int(cache["TotalCount"]) >= 1 and cache["Size"] == "0B"
    assert minict("rmi", "made").returncode == 0
    images, *_, cache = map(json.loads, said("system", "df", "--format", "json").splitlines())
    assert images["TotalCount"] == "0" == images["Size"][0] and cache["Size"] != "0B"
    said("system", "prune", "-af")
    assert json.loads(said("system", "df", "--format", "json").splitlines()[-1])["TotalCount"] == "0"


def test_prune_asks_and_removes_only_what_has_ended(boxes):
    boxes(name="alive")
    boxes("true", name="dead", flags=("--label", "x=y"))
    ended("dead")
    asked = minict("container", "prune", input="n\n")
    assert asked.returncode == 0 and "Are you sure?" in asked.stdout and "nothing was removed" in asked.stdout
    assert minict("container", "prune", input="").stdout.endswith(
        "nothing was removed; use -f to remove without a prompt\n"
    )
    assert "Deleted Containers" not in said("container", "prune", "-f", "--filter", "label=x=z")
    assert said("ps", "-a", "--format", "{{.Names}}").split() == ["dead", "alive"]
    removed = minict("container", "prune", input="y\n").stdout
    assert "Deleted Containers:" in removed and "Total reclaimed space:" in removed
    assert said("ps", "-a", "--format", "{{.Names}}").split() == ["alive"]


def test_system_prune_leaves_what_is_used(boxes, tmp_path, monkeypatch):
    # a store of its own: that of the session has images of others
    monkeypatch.setenv("MINICT_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("MINICT_RUN", str(tmp_path / "run"))
    for name in ("tiny", "unused"):
        assert minict("image", "from-host", name, "sleep" if name == "tiny" else "true").returncode == 0
    boxes(name="user")
    boxes("sleep", "0", name="gone", flags=("-v", "/anonymous"))
    ended("gone")
    said("system", "prune", "-f")
    assert "unused" in said("images")  # it has a name
    assert said("ps", "-a", "--format", "{{.Names}}") == "user\n"
    assert len(store.volumes()) == 1
    refused(minict("system", "prune", "-af", "--volumes", "--filter", "until=1h"), "until", "--volumes", status=1)
    said("system", "prune", "-af", "--volumes", "--filter", "label=nobody-has-it")
    assert "unused" in said("images") and len(store.volumes()) == 1
    said("system", "prune", "-a", "-f", "--volumes")
    assert "unused" not in said("images") and "tiny" in said("images") and store.volumes() == []
    minict("rm", "-f", "user")


@pytest.fixture
def bridge():
    yield
    assert minict("prune").returncode == 0


def test_a_created_container_is_listed_with_the_default_network(tiny):
    said("create", "--name", "later", tiny, "true")
    try:
        assert said("ps", "-a", "--format", "{{.Networks}}") == "bridge\n"
        assert "bridge" in api.containers()[0]._repr_html_()
    finally:
        said("rm", "later")


def test_published_ports_are_shown_everywhere(bridge, boxes, tiny):
    boxes(
        name="web", flags=("--network", "bridge", "-p", "127.0.0.1::80", "-p", "18080:90/udp", "--expose", "7000-7001")
    )
    port = said("port", "web", "80").strip()
    assert port.startswith("127.0.0.1:") and said("port", "web").splitlines() == [
        f"80/tcp -> {port}",
        "90/udp -> 0.0.0.0:18080",
    ]
    refused(minict("port", "web", "81"), "81/tcp", "minict port web")
    assert said("ps", "--format", "{{.Ports}}").strip() == f"{port}->80/tcp, 0.0.0.0:18080->90/udp, 7000-7001/tcp"
    [found] = json.loads(said("inspect", "web"))
    network = found["NetworkSettings"]
    assert network["Ports"]["7000/tcp"] is None and network["Ports"]["90/udp"] == [
        {"HostIp": "0.0.0.0", "HostPort": "18080"}
    ]
    assert network["Networks"]["bridge"]["IPAddress"] == network["IPAddress"] and network["IPAddress"].count(".") == 3
    assert found["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        "90/udp": [{"HostIp": "", "HostPort": "18080"}],
    }
    assert (
        said("ps", "-q", "--filter", "network=bridge") != "" and said("ps", "--format", "{{.Networks}}") == "bridge\n"
    )
    assert network["IPAddress"] in said("network", "inspect", "bridge")
    assert said("inspect", "--type", "network", "-f", "{{.Name}} {{.Driver}}", "bridge") == "bridge bridge\n"


def test_ports_that_follow_upon_each_other_are_a_range():
    from minict.engine.lifecycle.listing import ports

    def on(address: str, port: int) -> list[dict]:
        return [{"HostIp": address, "HostPort": str(port)}]

    assert ports({"80/tcp": on("0.0.0.0", 8080), "90/udp": None}) == "0.0.0.0:8080->80/tcp, 90/udp"
    many = {f"{port}/tcp": on("0.0.0.0", port + 1000) for port in range(8000, 8005)}
    assert ports({**many, "443/tcp": on("::", 443)}) == "[::]:443->443/tcp, 0.0.0.0:9000-9004->8000-8004/tcp"
    assert ports({"5/udp": None, "6/udp": None, "8/udp": None, "5/tcp": None}) == "5/tcp, 5-6/udp, 8/udp"


def test_ps_filters_by_ports_and_by_the_id_of_a_network(tiny):
    web = ["--name", "web", "-p", "18080:80", "-p", "18081:81/udp", "--expose", "90-91"]
    minict("create", "--network", "none", "--name", "other", tiny, "true")
    assert minict("run", "-d", *web, tiny, *FOREVER).returncode == 0

    def names(*words: str) -> list[str]:
        filters = [part for word in words for part in ("--filter", word)]
        return minict("ps", "-a", "--format", "{{.Names}}", *filters).stdout.split()

    try:
        for found in ("publish=18080", "publish=18000-18100/tcp", "publish=18081/udp", "expose=80", "expose=91/tcp"):
            assert names(found) == ["web"], found
        for missed in ("publish=80", "publish=18081", "expose=18080", "expose=1-70", "is-task=true"):
            assert names(missed) == [], missed
        assert names("publish=1", "expose=90") == ["web"] and names("is-task=false") == ["web", "other"]
        id = minict("network", "inspect", "-f", "{{.Id}}", "bridge").stdout.strip()
        assert names(f"network={id}") == names(f"network={id[:12]}") == ["web"]
        for wrong in ("publish=x", "publish=80/sctp", "expose=9-3", "is-task=perhaps"):
            refused(minict("ps", "--filter", wrong), wrong)
    finally:
        minict("rm", "-f", "web", "other")
        minict("prune")


def test_logs_show_the_details_that_log_opt_names(image):
    flags = ["--label", "tier=front & back", "--label", "other=x", "-e", "MODE=fast", "--log-opt", "labels=tier,none"]
    script = "echo one; printf two; echo three >&2"
    assert (
        minict(
            "run", "--network", "none", "--name", "web", *flags, "--log-opt", "env=MODE", image, "sh", "-c", script
        ).returncode
        == 0
    )
    try:
        done = minict("logs", "--details", "web")
        assert done.stdout == "MODE=fast,tier=front+%26+back one\nMODE=fast,tier=front+%26+back two"
        assert minict("logs", "web").stdout == "one\ntwo"
        last = minict("logs", "--details", "-t", "--tail", "1", "web").stderr
        assert last.split(" ", 1)[1] == "MODE=fast,tier=front+%26+back three\n"
        refused(minict("run", "--log-opt", "colour=red", image), "colour=red", "labels=NAMES")
    finally:
        minict("rm", "web")


def test_unset_fields_exist(boxes):
    """A template that asks for it must not fail: Docker has the field, with null, 0 or an empty text."""
    boxes(name="web")
    wanted = {
        "{{range .NetworkSettings.Networks}}{{.IPv6Gateway}}{{.GlobalIPv6PrefixLen}}{{end}}": "0",
        "{{.NetworkSettings.GlobalIPv6Address}}|{{.HostConfig.ContainerIDFile}}|{{.HostConfig.VolumeDriver}}": "||",
        "{{json .HostConfig.ConsoleSize}} {{json .HostConfig.Isolation}} {{json .HostConfig.Binds}}": '[0,0] "" null',
        "{{json .Config.StdinOnce}} {{json .HostConfig.PortBindings}}": "false {}",
    }
    for template, shown in wanted.items():
        assert said("inspect", "-f", template, "web") == f"{shown}\n", template
