"""Every command, and the monitor, killed at each of its steps: ``ps`` tells the truth, ``prune`` cleans, what was kept is there.

Where a command has hundreds of steps, one of each name and a few more are taken, evenly.
"""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from command import PATIENCE, begin, bridge, image, interrupted, minict, wait_until  # noqa: F401
from consistency import contradictions, untrue
from doomed import Doomed, bury

from minict.engine import networks, store, volumes
from minict.engine import image as images
from minict.engine.build import cache
from minict.engine.prune import prune
from minict.engine.record import records
from minict.lab import host
from minict.runtime import files, paths

MOST = 8  # points of one command
ASLEEP = ("sleep", "1000")


def sample(points: list[list[str]]) -> list[list[str]]:
    """One point of each name, and some between them, in their order."""
    names = [name for _, name, _ in points]
    chosen = {names.index(name) for name in names}
    step = max(1, len(points) // MOST)
    chosen = sorted(chosen | set(range(0, len(points), step)))
    return [points[at] for at in chosen[::max(1, len(chosen) // MOST)]]


def type_(*words: str) -> None:
    done = minict(*words)
    assert done.returncode == 0, done


def tidy() -> None:
    """Remove what a scene has made."""
    if names := [record.name for record in records()]:
        removing = begin("rm", "-f", "-v", *names)
        while removing.poll() is None:
            bury()  # a pid namespace ends when the last of its zombies is buried, and some may be ours
            time.sleep(0.005)
        removing.communicate()
    if networks.made_by_people():
        minict("network", "rm", "doomed")
    for volume in volumes.volumes():
        if volume.name != "kept":
            volumes.remove(volume.name)
    for each in images.images():
        for name in each.names:
            if name.startswith("doomed"):
                images.remove(name)
    prune()
    bury()


# Each: what was there before, what is typed, and who is killed.
SCENES = {
    "create": ([], ["create", "--name", "doomed", "-v", "new:/etc", "{image}", "true"], "parent"),
    "run in the background": ([], ["run", "-d", "--name", "doomed", "-v", "kept:/data", "{image}", "true"], "parent"),
    "its monitor": ([], ["run", "-d", "--name", "doomed", "-v", "kept:/data", "{image}", "true"], "monitor"),
    "a monitor that removes": ([], ["run", "-d", "--rm", "--name", "doomed", "{image}", "true"], "monitor"),
    "a monitor that restarts": ([], ["run", "-d", "--restart", "on-failure:1", "--name", "doomed", "{image}", "false"], "monitor"),
    "start": ([["create", "--name", "doomed", "{image}", "true"]], ["start", "doomed"], "parent"),
    "its new monitor": ([["create", "--name", "doomed", "{image}", "true"]], ["start", "doomed"], "monitor"),
    "stop": ([["run", "-d", "--name", "doomed", "{image}", *ASLEEP]], ["stop", "-t", "0", "doomed"], "parent"),
    "rm": ([["run", "-d", "--name", "doomed", "-v", "kept:/data", "-v", "/any", "{image}", *ASLEEP]],
           ["rm", "-f", "-v", "doomed"], "parent"),
    "rename": ([["create", "--name", "doomed", "{image}", "true"]], ["rename", "doomed", "saved"], "parent"),
    "exec": ([["run", "-d", "--name", "doomed", "{image}", *ASLEEP]], ["exec", "doomed", "true"], "parent"),
    "commit": ([["run", "--name", "doomed", "{image}", "touch", "/etc/new"]], ["commit", "doomed", "doomed-image"], "parent"),
    "cp": ([["create", "--name", "doomed", "{image}", "true"]], ["cp", "doomed:/bin", "{directory}"], "parent"),
    "volume create": ([], ["volume", "create", "doomed"], "parent"),
    "volume rm": ([["volume", "create", "doomed"]], ["volume", "rm", "doomed"], "parent"),
    "network create": ([], ["network", "create", "doomed"], "parent"),
    "network rm": ([["network", "create", "doomed"]], ["network", "rm", "doomed"], "parent"),
    "network connect": ([["network", "create", "doomed"], ["run", "-d", "--network", "bridge", "--name", "doomed", "{image}", *ASLEEP]],
                        ["network", "connect", "doomed", "doomed"], "parent"),
    "load": ([["save", "-o", "{directory}/saved.tar", "{image}"], ["tag", "{image}", "spare"]],
             ["load", "-i", "{directory}/saved.tar"], "parent"),
    "import": ([["save", "-o", "{directory}/saved.tar", "{image}"]], ["import", "{directory}/saved.tar", "doomed"], "parent"),
    "build": ([], ["build", "-q", "--network", "none", "-t", "doomed", "{directory}"], "parent"),
    "from-host": ([], ["image", "from-host", "doomed", "true"], "parent"),
    "tag": ([], ["tag", "{image}", "doomed"], "parent"),
    "rmi": ([["tag", "{image}", "doomed"]], ["rmi", "doomed"], "parent"),
}
# What concerns a container that goes on running can't be pruned: there it must be possible to do it again.
REPEATED = ("network connect",)


@pytest.fixture
def kept(image):
    """A volume with a file, which must outlive everything; and afterwards only the images that were there before."""
    there = {each.id: each.names for each in images.images()}
    volumes.create("kept")
    type_("run", "--rm", "--network", "none", "-v", "kept:/data", image, "sh", "-c", "echo precious > /data/file")
    yield
    volumes.remove("kept")
    cache.forget()
    for each in images.images():
        for name in set(each.names) - set(there.get(each.id, ())):
            images.remove(name)
        if each.id not in there and each.id in store.ids():
            images.remove(each.id, force=True)


@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_any_of_its_steps(image, kept, scene, tmp_path):
    before_it, words, who = SCENES[scene]
    there = {each.id: each.names for each in images.images()}

    def prepare() -> None:
        for each in before_it:
            if each[0] != "save" or not os.path.exists(f"{tmp_path}/saved.tar"):
                type_(*fill(each, image, tmp_path))

    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nCOPY Dockerfile /etc/\nRUN touch /etc/new\n")
    tidy()
    before = host.snapshot()
    prepare()
    whole = Doomed("list", *fill(words, image, tmp_path))
    whole.end()
    points = sample([point for point in whole.points if point[0].startswith(who)])
    tidy()
    assert len(points) > 3, "the points have not been found"
    wrong = [f"without a fault: {left}" for left in host.settle(before, PATIENCE, bury)]
    for id, name, _ in points:
        prepare()
        one = Doomed(id, *fill(words, image, tmp_path))
        one.kill()
        bury()
        if scene in REPEATED:
            minict(*fill(words, image, tmp_path))
        wrong += [f"{id} {name}: {fault}" for fault in afterwards(there)]
        tidy()
        wrong += [f"{id} {name}: {left}" for left in host.settle(before, PATIENCE, bury)]
    assert wrong == []


def fill(words: list[str], image: str, directory) -> list[str]:
    """The words with the image's name, and without a network, which makes it quick."""
    filled = [word.format(image=image, directory=directory) for word in words]
    return [filled[0], "--network", "none", *filled[1:]] if filled[0] in ("run", "create") and "--network" not in filled \
        else filled


def afterwards(there: dict) -> list[str]:
    """What is wrong after a fault."""
    wrong = eventually_nothing(untrue)
    prune()
    wrong += eventually_nothing(contradictions)
    if again := prune():
        wrong.append(f"the second prune found {again}")
    if open(f"{volumes.directory()}/kept/_data/file").read() != "precious\n":
        wrong.append("the volume has lost its file")
    now = {each.id: each.names for each in images.images()}
    return wrong + [f"the image {id} has lost the name {name}" for id, names in there.items() for name in names
                    if name not in now.get(id, ())]


def eventually_nothing(look, seconds: float = PATIENCE) -> list[str]:
    """What *look* finds when all has settled: a killed process takes a moment to be gone, and its container with it."""
    end = time.monotonic() + seconds
    while (found := look()) and time.monotonic() < end:
        bury()
        time.sleep(0.02)
    return found


# ---- a reboot ------------------------------------------------------------------------------------------------------


def power_off() -> None:
    """What a reboot takes away: all processes, control groups, links and rules, and what is in /run."""
    for record in records():
        for pid in (record.monitor, record.pid):
            if pid:
                os.kill(pid, 9)
    wait_until(lambda: not any(record.monitor or record.pid for record in records()))
    bury()
    host.remove_cgroups([f"{tree}/{name}" for tree in host.cgroup_trees() for name in os.listdir(tree)
                         if os.path.isdir(f"{tree}/{name}")])
    for words in (["ip", "link", "del", "minict0"], ["nft", "delete", "table", "inet", "minict"]):
        subprocess.run(words, check=True)
    for name in os.listdir(paths.run_root()):
        files.remove_tree(f"{paths.run_root()}/{name}") if os.path.isdir(f"{paths.run_root()}/{name}") \
            else os.unlink(f"{paths.run_root()}/{name}")


def told(name: str) -> tuple[str, int]:
    """What ``inspect`` says of a container: its status and exit code."""
    status, code = minict("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout.split()
    return status, int(code)


def test_after_a_reboot_everything_is_known_and_can_be_started(image, kept, bridge):
    there = ["--name", "lasting", "-p", "8088:80", "-v", "kept:/data", "--hostname", "lasting"]
    type_("run", "-d", *there, image, "sh", "-c", "echo once more >> /count; exec sleep 1000")
    type_("run", "-d", "--rm", "--name", "passing", image, *ASLEEP)
    type_("run", "-d", "--restart", "always", "--name", "stubborn", image, *ASLEEP)
    type_("create", "--name", "never", image, "true")
    try:
        power_off()
        assert [told(name) for name in ("lasting", "stubborn", "never")] == [("exited", 137), ("exited", 137), ("created", 0)]
        assert "passing" not in minict("ps", "-q", "--format", "{{.Names}}").stdout
        assert minict("prune").stdout.count("container") == 1, "only the one that removes itself goes"
        assert minict("prune").stdout == ""
        type_("start", "lasting", "stubborn", "never")
        assert minict("exec", "lasting", "cat", "/count", "/data/file").stdout == "once more\nonce more\nprecious\n"
        assert minict("exec", "lasting", "hostname").stdout == "lasting\n"
        assert minict("port", "lasting").stdout.strip() == "80/tcp -> 0.0.0.0:8088"
        assert eventually_nothing(contradictions) == []
    finally:
        tidy()
