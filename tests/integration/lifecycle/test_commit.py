"""``minict diff`` and ``minict commit``: what a container has changed, and the image that this makes."""

from __future__ import annotations

import json
import os
import signal

import pytest

from minict.engine.containers.store import Record
from minict.engine.images import config as image_config
from minict.engine.images import diff
from minict.engine.images.image import Image
from minict.engine.lifecycle import create
from minict.runtime.errors import ContainerError
from tests.support.command_line import PATIENCE, begin, minict, run, wait_until

SCRIPT = """echo new > /new; mkdir -p /made/deep; echo x > /made/deep/x; ln -s /new /made/link
            rm /etc/group; echo more >> /etc/passwd; rm -r /etc/terminfo; mkdir /etc/terminfo
            echo own > /etc/terminfo/own
            chmod 700 /root 2>/dev/null; echo v > /data/v; echo t > /memory/t; mkfifo /fifo; chown 12:34 /new
            chmod 4711 /new
            ln /new /same; touch "/odd
name" """


@pytest.fixture
def changed(image):
    """An ended container that has made various changes."""
    done = minict(
        "run", "--name", "changed", "--network", "none", "-v", "/data", "--tmpfs", "/memory", image, "sh", "-c", SCRIPT
    )
    assert done.returncode == 0, done.stderr
    yield "changed"
    assert minict("rm", "-f", "-v", "changed").returncode == 0


@pytest.fixture
def no_image_is_left():
    before = minict("images", "-q").stdout.split()
    yield
    for id in set(minict("images", "-q").stdout.split()) - set(before):
        assert minict("rmi", "-f", id).returncode == 0


def committed(*words: str) -> Image:
    done = minict("commit", *words)
    assert done.returncode == 0 and done.stdout.startswith("sha256:"), done
    return Image.find(done.stdout.strip())


def test_diff(changed):
    lines = minict("diff", changed).stdout.splitlines()
    paths = [line[2:] for line in lines if "odd" not in line]
    assert paths == sorted(paths)
    assert {
        "A /new",
        "A /same",
        "A /made",
        "A /made/deep",
        "A /made/deep/x",
        "A /made/link",
        "A /fifo",
        "C /etc",
        "C /etc/passwd",
        "D /etc/group",
        "A /etc/terminfo/own",
        "A '/odd\\nname'",
    } <= set(lines)
    assert [line for line in lines if line.split()[1].startswith(("/data", "/memory", "/proc", "/dev", "/sys"))] == []
    assert not {"C /etc/hosts", "C /etc/hostname", "C /etc/resolv.conf", "A /etc/hosts"} & set(lines)
    below = set(os.listdir(f"{Image.find('tiny').layers[0]}/etc/terminfo"))
    assert {line for line in lines if line.startswith("D /etc/terminfo/")} == {
        f"D /etc/terminfo/{name}" for name in below
    }


def test_diff_of_an_unchanged_and_of_a_running_container(image):
    assert minict("run", "-d", "--name", "busy", "--network", "none", image, "sleep", "1000").returncode == 0
    try:
        assert minict("diff", "busy").stdout == ""
        assert minict("exec", "busy", "touch", "/tmp/x", "/y").returncode == 0
        assert minict("diff", "busy").stdout == "C /tmp\nA /tmp/x\nA /y\n"
    finally:
        assert minict("rm", "-f", "busy").returncode == 0


def test_commit_keeps_what_was_changed(changed, no_image_is_left):
    made = committed(changed, "made:1")
    assert made.names == ["made:1"] and len(made.layers) == len(Image.find("tiny").layers) + 1
    script = """cat /new /made/deep/x; stat -c '%a %u %g %h' /new; readlink /made/link; ls /etc/terminfo
        ls /etc/group; tail -1 /etc/passwd
                test -p /fifo && echo fifo; ls -d /data /memory; ls /data /memory | wc -l"""
    done = minict("run", "--rm", "--network", "none", "made:1", "sh", "-c", script)
    lines = done.stdout.splitlines()
    assert lines[:7] == ["new", "x", "4711 12 34 2", "/new", "own", "more", "fifo"] and "/etc/group" in done.stderr
    assert not {"v", "t", "/data/v", "/memory/t"} & set(lines)  # what is in volumes is not part of an image
    # from the image a container is as the first one was
    assert minict("run", "--name", "again", "--network", "none", "made:1", "true").returncode == 0
    assert minict("diff", "again").stdout == ""
    assert minict("rm", "again").returncode == 0


def test_commit_keeps_the_containers_configuration(image, no_image_is_left):
    flags = ["-e", "A=b", "-w", "/tmp", "-u", "3", "--label", "l=m", "--expose", "80", "--stop-signal", "INT"]
    assert minict("create", "--name", "source", "--network", "none", *flags, image, "echo", "hello").returncode == 0
    try:
        made = committed("-m", "a message", "-a", "an author", "source")
        assert made.names == []
        config = made.config
        assert "A=b" in config["Env"] and config["Cmd"] == ["echo", "hello"] and config["WorkingDir"] == "/tmp"
        assert (config["User"], config["Labels"], config["StopSignal"]) == ("3", {"l": "m"}, "INT")
        assert config["ExposedPorts"] == {"80/tcp": {}} and "Hostname" not in config
        assert made.history[-1]["comment"] == "a message" and made.document["author"] == "an author"
        assert minict("run", "--rm", "--network", "none", made.id).stdout == "hello\n"
        changes = [
            'CMD ["echo", "other"]',
            "ENV A=c D='e f'",
            "EXPOSE 53/udp 8000-8001",
            "LABEL x=y",
            "USER root",
            "WORKDIR sub",
            "VOLUME /v",
            "ONBUILD RUN true",
            'ENTRYPOINT ["env"]',
        ]
        made = committed(*(word for change in changes for word in ("-c", change)), "source", "other")
        config = made.config
        assert (
            config["Cmd"] == ["echo", "other"]
            and config["Entrypoint"] == ["env"]
            and {"A=c", "D=e f"} <= set(config["Env"])
        )
        assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp", "8000/tcp", "8001/tcp"} and config["Labels"] == {
            "l": "m",
            "x": "y",
        }
        assert (config["User"], config["WorkingDir"], config["Volumes"], config["OnBuild"]) == (
            "root",
            "/tmp/sub",
            {"/v": {}},
            ["RUN true"],
        )
    finally:
        assert minict("rm", "source").returncode == 0


def test_a_running_container_is_frozen_for_the_moment(image, no_image_is_left):
    """Two files that are always written one after the other are never out of step in the image."""
    script = "n=0; while :; do n=$((n+1)); echo $n > /one; echo $n > /two; done"
    assert minict("run", "-d", "--name", "writer", "--network", "none", image, "sh", "-c", script).returncode == 0
    try:
        wait_until(lambda: minict("exec", "writer", "test", "-e", "/two").returncode == 0)
        for words in ([], ["--pause=false"], []):
            made = committed(*words, "writer")
            if not words:  # otherwise they may contain anything, even half a number
                one, two = (int(open(f"{made.layers[0]}/{name}").read() or 0) for name in ("one", "two"))
                assert 0 <= one - two <= 1 or one == 0 or two == 0
            assert Record.find("writer").status == "running"
        assert minict("pause", "writer").returncode == 0
        committed("writer")
        assert Record.find("writer").status == "paused"
        assert minict("unpause", "writer").returncode == 0
    finally:
        assert minict("rm", "-f", "writer").returncode == 0


@pytest.mark.parametrize(
    "words,said",
    [
        (["nobody"], ["nobody"]),
        (["changed", "Bad:Name"], ["Bad:Name"]),
        (["-c", "FROM x", "changed"], ["FROM", "CMD"]),
        (["-c", "CMD", "changed"], ["CMD needs"]),
        (["-c", "", "changed"], ["instruction"]),
        (["-c", "EXPOSE 99999", "changed"], ["99999"]),
        (["-c", "EXPOSE 80/icmp", "changed"], ["icmp"]),
        (["-c", "ENV x", "changed"], ["NAME=VALUE"]),
        (["-c", "ONBUILD FROM x", "changed"], ["FROM"]),
        (["-c", "LABEL 'x", "changed"], ["LABEL"]),
    ],
)
def test_an_error_is_one_sentence_and_leaves_nothing(changed, words, said):
    images = minict("images", "-aq").stdout
    done = minict("commit", *words)
    assert done.returncode and done.stdout == "" and done.stderr.count("\n") == 1
    assert [word for word in said if word not in done.stderr] == [], done.stderr
    assert minict("images", "-aq").stdout == images


def test_instructions():
    config = {"Env": ["PATH=/bin"], "Cmd": ["old"], "WorkingDir": "/a"}
    image_config.apply(
        config, ["cmd echo hi", "env PATH /usr/bin with blanks", "workdir ../b", 'volume ["/x y", "/z"]']
    )
    assert config == {
        "Env": ["PATH=/usr/bin with blanks"],
        "Cmd": ["/bin/sh", "-c", "echo hi"],
        "WorkingDir": "/b",
        "Volumes": {"/x y": {}, "/z": {}},
    }
    image_config.apply(config, ['ENTRYPOINT ["x"]'])
    assert config["Entrypoint"] == ["x"] and "Cmd" not in config  # its arguments were those of another program
    with pytest.raises(ContainerError):
        image_config.apply(config, ["COPY a b"])


def test_links_of_a_container_that_runs_lead_the_commit_nowhere(image, tmp_path, no_image_is_left):
    """While its files are read, the container, which is not frozen, keeps exchanging a directory and a link to the
    host's."""
    (tmp_path / "secret").write_text("of the host")
    script = f"""mkdir -p /w/real; echo mine > /w/real/mine; ln -s {tmp_path} /w/link; touch /w/ready
                 while :; do mv -T /w/real /w/x; mv -T /w/link /w/real; mv -T /w/real /w/link; mv -T /w/x /w/real
                 done"""
    assert minict("run", "-d", "--name", "swap", "--network", "none", image, "sh", "-c", script).returncode == 0
    try:
        wait_until(lambda: minict("exec", "swap", "test", "-e", "/w/ready").returncode == 0)
        for _ in range(5):
            done = minict("diff", "swap")
            assert done.returncode == 0 and "secret" not in done.stdout, done
            made = minict("commit", "--pause=false", "swap")
            if made.returncode == 0:
                layer = Image.find(made.stdout.strip()).layers[0]
                assert "secret" not in {name for _, _, files in os.walk(layer) for name in files}
    finally:
        assert minict("rm", "-f", "swap").returncode == 0


def test_the_committed_configuration_is_valid(changed, no_image_is_left):
    made = committed("-m", "why", changed, "shown")
    shown = json.loads(minict("image", "inspect", "shown").stdout)[0]
    assert shown["Comment"] == "why" and shown["Id"] == f"sha256:{made.id}"
    assert "why" in minict("history", "shown").stdout


# ---- what a container must not decide ------------------------------------------------------------------------------


def test_a_commit_that_is_killed_leaves_nothing_frozen(image):
    minict("run", "-d", "--network", "none", "--name", "box", image, "sh", "-c", "while :; do date >> /log; done")
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = begin("commit", "box", "copy", start_new_session=True)
        wait_until(lambda: Record.find("box").status == "paused" or process.poll() is not None)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        wait_until(lambda: Record.find("box").status == "running")
    minict("rmi", "-f", "copy")
    minict("rm", "-f", "box")
    minict("prune")  # the image that was never finished


def test_after_a_commit_the_container_goes_on(image):
    minict("run", "-d", "--network", "none", "--name", "box", image, "sleep", "1000")
    for _ in range(3):
        assert minict("commit", "box", "copy").returncode == 0
        assert minict("exec", "box", "true").returncode == 0
    minict("rm", "-f", "box")
    minict("rmi", "-f", "copy")


def test_holes_stay_holes_and_are_not_read(image):
    script = "truncate -s 100G /data; printf begin | dd of=/data conv=notrunc 2>/dev/null; printf end >> /data"
    minict("run", "--network", "none", "--name", "box", image, "sh", "-c", script)
    assert minict("commit", "box", "holes").returncode == 0
    script = "stat -c '%s %b' /data; head -c 5 /data; tail -c 3 /data"
    told = run("holes", "sh", "-c", script).stdout.split("\n")
    size, blocks = map(int, told[0].split())
    assert size == (100 << 30) + 3 and blocks * 512 < 1 << 20 and told[1] == "beginend"
    minict("rm", "-f", "box")
    minict("rmi", "-f", "holes")


def test_a_container_gets_an_mtab_that_is_not_a_change(tmp_path):
    top, below, upper = (tmp_path / name for name in ("top", "below", "upper"))
    for layer in (top, below):
        (layer / "etc").mkdir(parents=True)
    upper.mkdir()
    os.chmod(top / "etc", 0o750)
    os.chown(top / "etc", 7, 8)
    layers = [str(top), str(below)]
    create.link_mtab(layers, str(upper))
    assert os.readlink(upper / "etc/mtab") == "/proc/mounts"
    seen, wanted = os.stat(upper / "etc"), os.stat(top / "etc")
    assert (seen.st_mode, seen.st_uid, seen.st_mtime_ns) == (wanted.st_mode, 7, wanted.st_mtime_ns)
    ignored = frozenset({"/etc/mtab"})
    assert diff.changes_now(str(upper), layers, ignored) == []
    assert ("A", "/etc/mtab") in diff.changes_now(str(upper), layers)
    (upper / "etc/other").touch()
    assert ("A", "/etc/other") in diff.changes_now(str(upper), layers, ignored)


@pytest.mark.parametrize("number", [0, 1])
def test_an_image_with_an_mtab_keeps_it(tmp_path, number):
    layers = [str(tmp_path / "top"), str(tmp_path / "below")]
    for layer in layers:
        os.makedirs(f"{layer}/etc")
    os.symlink("anywhere", f"{layers[number]}/etc/mtab")
    os.mkdir(tmp_path / "upper")
    create.link_mtab(layers, str(tmp_path / "upper"))
    assert os.listdir(tmp_path / "upper") == []


def test_another_mode_of_etc_is_a_change(image, no_image_is_left):
    minict("run", "--network", "none", "--name", "source", image, "chmod", "700", "/etc")
    try:
        assert "C /etc\n" in minict("diff", "source").stdout
        committed("source", "made:2")
    finally:
        minict("rm", "source")
    assert minict("run", "--rm", "--network", "none", "made:2", "stat", "-c", "%a", "/etc").stdout == "700\n"
