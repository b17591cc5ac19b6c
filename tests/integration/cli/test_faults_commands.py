"""Kill every command, the monitor, and the worker of a pull at each of their steps. Afterwards ``ps`` tells the truth,
``prune`` removes what is left, and what existed before still exists.

step_recorder.py defines a step, and kill_at_step.py selects among repeated steps: some of them by default, all with
``MINICT_TEST_EVERY_STEP=1`` in the environment.
"""

from __future__ import annotations

import glob
import os
import pathlib
import subprocess
import tarfile
import time

import pytest

from minict.engine.containers.store import Record, records
from minict.engine.images import buildcache, diff, store
from minict.engine.images import image as images
from minict.engine.images.image import Image
from minict.engine.networks import store as network_store
from minict.engine.system.prune import prune
from minict.engine.volumes import store as volume_store
from minict.lab import host
from minict.runtime import files, paths
from minict.runtime.files import names_in
from tests.support.command_line import PATIENCE, minict, wait_until
from tests.support.invariants import contradictions, untrue
from tests.support.kill_at_step import Doomed, bury, chosen, place_of, typed
from tests.support.registry_server import Layout

RUN = ("run", "-d", "--name", "doomed")
DOCKERFILES = {
    "copy": "FROM {image}\nCOPY hello /etc/made\nUSER nobody",
    "run": "FROM {image}\nRUN printf hello > /etc/made\nUSER nobody",
    "add": "FROM scratch\nADD --chown=1:1 small.tar /etc/\nUSER nobody",
    "workdir": "FROM {image}\nUSER nobody\nCOPY hello /etc/made\nWORKDIR /new/below",
    "stages": """
ARG BASE={image}
FROM $BASE AS maker
ARG WHAT=made
WORKDIR /work
COPY --chmod=640 hello small.tar /work/
RUN cat hello > $WHAT

FROM scratch AS little
ADD small.tar /
COPY --from=maker /work/made /kept/

FROM maker
ENV A=b
COPY --from=little /kept /etc/
USER nobody
CMD cat /etc/made
""",
}


def kill_monitor() -> None:
    """Kill the monitor, as a fault that the next command finds."""
    record = Record.find("doomed")
    os.kill(record.monitor, 9)
    wait_until(lambda: not (record.monitor or record.pid))
    bury()


class Scene:
    """*words* are run after those of *before*, and the process *who* is killed: ``parent`` is the command itself.

    *beside*: other scenes; their places are not visited again here.
    *again*: the command succeeds when it is run again afterwards. *back*: commands that restore the state before, which
    saves time; without them everything is removed and created again.
    """

    def __init__(self, *words: str, before=(), who: str = "parent", beside=(), again: bool = False, back=None):
        self.words, self.before, self.who, self.beside, self.again, self.back = words, before, who, beside, again, back


SLEEPING = (*RUN, "{image}", "sleep", "1000")
BUILD = ("build", "-q", "--network", "none", "-t", "doomed", "-f")  # and the name of a Dockerfile
NETWORK = ("network", "create", "doomed")
OTHER = ("run", "-d", "--network", "doomed", "--name", "other", "{image}", "sleep", "1000")
TWO_NETWORKS = (
    "--network",
    "bridge",
    "--network",
    "name=doomed,alias=db",
    "-p",
    "8086:80",
    "-p",
    "127.0.0.1:8087:81/udp",
)
CREATED = ("create", "--name", "doomed", "{image}", "true")
SCENES = {
    "run": Scene("run", "--rm", "--name", "doomed", "--memory", "64m", "{image}", "true"),
    "its child": Scene("run", "--rm", "--name", "doomed", "{image}", "true", who="child"),
    "run on networks": Scene(
        "run", "--name", "doomed", *TWO_NETWORKS, "{image}", "true", before=[NETWORK], beside=["run"]
    ),
    "run with users of its own": Scene(
        "run", "--rm", "--name", "doomed", "--userns", "private", "{image}", "true", beside=["run"]
    ),
    "run in the background": Scene(*RUN, "-v", "kept:/data", "{image}", "true"),
    "its monitor": Scene(*RUN, "-v", "kept:/data", "{image}", "true", who="monitor"),
    "a monitor that removes": Scene(
        *RUN, "--rm", "-v", "/any", "{image}", "true", who="monitor", beside=["its monitor"]
    ),
    "a monitor that restarts": Scene(
        *RUN, "--restart", "on-failure:1", "{image}", "false", who="monitor", beside=["its monitor"]
    ),
    "create": Scene("create", "--name", "doomed", "-v", "new:/etc", "{image}", "true"),
    "start": Scene("start", "doomed", before=[CREATED]),
    "start again": Scene(
        "start",
        "doomed",
        before=[("run", "--name", "doomed", "{image}", "true")],
        who="monitor",
        beside=["its monitor"],
    ),
    "start after a fault": Scene("start", "doomed", before=[SLEEPING, kill_monitor]),
    "stop": Scene("stop", "-t", "0", "doomed", before=[SLEEPING]),
    "kill": Scene("kill", "doomed", before=[SLEEPING]),
    "restart": Scene("restart", "-t", "0", "doomed", before=[SLEEPING]),
    "pause": Scene("pause", "doomed", before=[SLEEPING]),
    "unpause": Scene("unpause", "doomed", before=[SLEEPING, ("pause", "doomed")], back=("pause", "doomed")),
    "rm": Scene(
        "rm", "-f", "-v", "doomed", before=[(*RUN, "-v", "kept:/data", "-v", "/any", "{image}", "sleep", "1000")]
    ),
    "rename": Scene(
        "rename",
        "doomed",
        "saved",
        before=[NETWORK, OTHER, (*RUN, "--network", "doomed", "{image}", "sleep", "1000")],
        back=("rename", "saved", "doomed"),
    ),
    "update": Scene("update", "--memory", "64m", "doomed", before=[SLEEPING], back=()),
    "exec": Scene("exec", "doomed", "true", before=[SLEEPING], back=()),
    "commit": Scene(
        "commit",
        "doomed",
        "doomed-image",
        before=[("run", "--name", "doomed", "{image}", "touch", "/etc/new")],
        again=True,
    ),
    "cp": Scene("cp", "doomed:/bin", "{directory}", before=[CREATED], again=True),
    "cp into": Scene("cp", "{context}/hello", "doomed:/etc/hello", before=[CREATED], again=True),
    "volume create": Scene("volume", "create", "doomed", again=True),
    "volume rm": Scene("volume", "rm", "doomed", before=[("volume", "create", "doomed")]),
    "volume prune": Scene("volume", "prune", "-f", before=[("volume", "create")], again=True),
    "network create": Scene("network", "create", "doomed"),
    "network rm": Scene("network", "rm", "doomed", before=[NETWORK]),
    "network prune": Scene("network", "prune", "-f", before=[NETWORK], again=True),
    "network connect": Scene(
        "network",
        "connect",
        "--alias",
        "db",
        "doomed",
        "doomed",
        before=[NETWORK, OTHER, (*RUN, "--network", "bridge", "-p", "8087:80", "{image}", "sleep", "1000")],
    ),
    "network disconnect": Scene(
        "network",
        "disconnect",
        "doomed",
        "doomed",
        before=[
            NETWORK,
            OTHER,
            (*RUN, *TWO_NETWORKS[2:4], *TWO_NETWORKS[:2], "-p", "8087:80", "{image}", "sleep", "1000"),
        ],
    ),
    "save": Scene(
        "save", "-o", "{directory}/save", "doomed", before=[("image", "from-host", "doomed", "true")], again=True
    ),
    "load": Scene("load", "-i", "{directory}/saved.tar", again=True),
    "import": Scene("import", "{directory}/saved.tar", "doomed", again=True),
    "build: COPY": Scene(*BUILD, "copy", "{context}", again=True),
    "build: RUN": Scene(*BUILD, "run", "{context}", beside=["build: COPY"], again=True),
    "build: ADD to scratch": Scene(*BUILD, "add", "{context}", beside=["build: COPY"], again=True),
    "build: WORKDIR": Scene(*BUILD, "workdir", "{context}", beside=["build: COPY"], again=True),
    "build of stages": Scene(
        *BUILD,
        "stages",
        "{context}",
        again=True,
        beside=["build: COPY", "build: RUN", "build: ADD to scratch", "build: WORKDIR"],
    ),
    "build from the cache": Scene(
        *BUILD,
        "copy",
        "-t",
        "doomed:2",
        "--label",
        "a=b",
        "{context}",
        before=[(*BUILD, "copy", "{context}")],
        again=True,
    ),
    "builder prune": Scene("builder", "prune", "-f", before=[(*BUILD, "copy", "{context}")], again=True),
    "from-host": Scene("image", "from-host", "doomed", "true", again=True),
    "tag": Scene("tag", "{image}", "doomed", again=True),
    "rmi": Scene("rmi", "doomed", before=[("tag", "{image}", "doomed")]),
    "rmi of the last name": Scene("rmi", "doomed", before=[("image", "from-host", "doomed", "true")]),
    "pull": Scene("pull", "{registry}", again=True),
    "a worker of a pull": Scene("pull", "{registry}", who="worker", again=True),
    "push": Scene(
        "push", "{registry}-pushed", before=[("image", "from-host", "{registry}-pushed", "true")], again=True
    ),
    "container prune": Scene("container", "prune", "-f", before=[CREATED], again=True),
    "prune": Scene(
        "prune",
        before=[
            (*RUN, "-v", "kept:/data", *TWO_NETWORKS[:2], "-p", "8086:80", "{image}", "sleep", "1000"),
            kill_monitor,
        ],
        again=True,
    ),
}
places_of: dict[str, set] = {}  # the name of a scene -> all places in it


@pytest.fixture(scope="module")
def kept(image):
    """A volume with a file, which must outlive everything, as must all images: their ids and names."""
    volume_store.create("kept")
    assert (
        typed("run", "--rm", "--network", "none", "-v", "kept:/data", image, "sh", "-c", "echo precious > /data/file")
        == 0
    )
    there = {each.id: each.names for each in images.images()}
    yield there
    assert [digest for digest in names_in(f"{store.store()}/layers") if content_of(digest) != digest] == []
    volume_store.remove("kept")


@pytest.fixture(scope="module")
def remote(registry, tmp_path_factory) -> str:
    """The name of an image in a registry, with two layers."""
    layout = Layout(tmp_path_factory.mktemp("remote") / "layout")
    layout.image("doomed", [{"etc/made": "hello", "etc/other": "other"}, {"etc/new": "new"}])
    return registry.push(layout, "doomed")


@pytest.fixture(scope="module")
def places(image, kept, remote, tmp_path_factory) -> dict:
    """The values of the placeholders in the scenes."""
    directory = tmp_path_factory.mktemp("faults")
    context = directory / "context"
    context.mkdir()
    (context / "hello").write_text("hello")
    with tarfile.open(context / "small.tar", "w") as archive:
        archive.add(context / "hello", "made")
    for name, text in DOCKERFILES.items():
        (directory / name).write_text(text.replace("{image}", image))
    for words in (
        ("image", "from-host", "doomed", "true"),
        ("save", "-o", f"{directory}/saved.tar", "doomed"),
        ("rmi", "doomed"),
    ):
        assert typed(*words) == 0
    return {"image": image, "registry": remote, "directory": directory, "context": context}


@pytest.mark.parametrize("name", SCENES)
def test_killed_at_each_of_its_steps(kept, places, name):
    scene, began = SCENES[name], time.monotonic()
    words = fill(scene.words, places)

    def prepare() -> None:
        for each in scene.before:
            assert not each() if callable(each) else typed(*fill(each, places)) == 0, each

    def back() -> None:
        if scene.back is None:
            tidy(kept)
        elif scene.back:
            typed(*scene.back)  # an error, if the step was not reached

    def look(then: host.Snapshot, stored: set[str]) -> list[str]:
        now = everything()
        return [
            *host.settle(then, PATIENCE, bury),
            *(f"the store has {path}" for path in now - stored),
            *(f"the store lacks {path}" for path in stored - now),
        ]

    tidy(kept)  # a prune would remove, once, what other tests have left
    clean = host.snapshot()
    prepare()
    whole = Doomed(scene.who, None, *words)
    whole.end()
    assert whole.status == 0
    tidy(kept)
    wrong = [f"without a fault: {left}" for left in host.settle(clean, PATIENCE, bury)]
    stored = everything()
    doomed = chosen(whole.points, set().union(*(places_of.get(other, ()) for other in scene.beside)))
    places_of[name] = {place_of(point) for point in whole.points}
    if scene.back is not None:
        prepare()
        clean, stored = host.snapshot(), everything()
    missed = []  # a process takes some steps only while it waits for a slow one, and may not reach them again
    for id, what, _ in doomed:
        for attempt in range(5):
            if scene.back is None:
                prepare()
            one = Doomed(scene.who, id, *words)
            one.kill()
            if one.points or not id.endswith(":0"):
                break
            back()
        else:
            missed.append(f"{id} {what}: it was never reached")
            continue
        bury()
        faults = afterwards(kept)
        if scene.again:
            faults += again(words)
        back()
        faults += look(clean, stored)
        wrong += [f"{id} {what}: {fault}" for fault in faults]
        if len(wrong) > 9:
            break  # each of those that follow would take its patience too
    tidy(kept)
    print(
        f"{name}: {len(whole.points)} steps at {len(places_of[name])} places, killed at {len(doomed)}, "
        f"{time.monotonic() - began:.0f} s"
    )
    assert len(whole.points) > 2 and wrong == []
    assert len(missed) <= 1 + len(doomed) // 20, missed


def fill(words: list[str], places: dict) -> list[str]:
    """Fill the placeholders in the words, and leave out the network, which saves time."""
    filled = [word.format(**places) for word in words]
    if filled[0] == "build":
        filled[filled.index("-f") + 1] = f"{places['directory']}/{filled[filled.index('-f') + 1]}"
    return (
        [filled[0], "--network", "none", *filled[1:]]
        if filled[0] in ("run", "create") and "--network" not in filled
        else filled
    )


def tidy(there: dict) -> None:
    """Remove what a scene has made."""
    if names := [record.name for record in records()]:
        assert typed("rm", "-f", "-v", *names) == 0
    for network in network_store.user_defined():
        network_store.remove(network.name)
    for volume in volume_store.volumes():
        if volume.name != "kept":
            volume_store.remove(volume.name)
    buildcache.forget()
    for each in images.images():
        for name in set(each.names) - set(there.get(each.id, ())):
            images.remove(name)
        if each.id not in there and each.id in store.ids():
            images.remove(each.id, force=True)
    prune()
    bury()


def everything() -> set[str]:
    """The files below MINICT_ROOT, without the content of layers and volumes, and those in MINICT_RUN that serve future
    containers."""
    found = set(glob.glob(f"{paths.run_root()}/seccomp/*"))
    for directory, directories, names in os.walk(paths.data_root()):
        found.update(f"{directory}/{name}" for name in (*names, *directories))
        directories[:] = set(directories) - {"diff", "_data"}
    return found


def content_of(digest: str) -> str:
    """The digest of a layer's present files."""
    with open("/dev/null", "wb") as nowhere:
        return diff.pack(f"{store.layer_directory(digest)}/diff", nowhere).digest


def afterwards(there: dict) -> list[str]:
    """Find what is wrong after a fault."""
    wrong = eventually_nothing(untrue)
    prune()
    wrong += eventually_nothing(contradictions)
    if again := prune():
        wrong.append(f"the second prune found {again}")
    with open(f"{volume_store.directory()}/kept/_data/file") as file:
        wrong += ["the volume has lost its file"] * (file.read() != "precious\n")
    now = {each.id: each.names for each in images.images()}
    return wrong + [
        f"the image {id} has lost the name {name}"
        for id, names in there.items()
        for name in names
        if name not in now.get(id, ())
    ]


def again(words: list[str]) -> list[str]:
    """Find what is wrong when the same command is run again."""
    if status := typed(*words):
        return [f"once more, it ends with the status {status}"]
    wrong = eventually_nothing(contradictions)
    if words[0] == "build":
        made = Image.find("doomed")
        text = [
            pathlib.Path(f"{layer}/etc/made").read_text()
            for layer in made.layers
            if os.path.exists(f"{layer}/etc/made")
        ]
        if made.config["User"] != "nobody" or text != ["hello"]:
            wrong.append("the image that was built is not what it should be")
    return wrong


def eventually_nothing(look, seconds: float = PATIENCE) -> list[str]:
    """What *look* finds when all has settled: a killed process takes a moment to be gone, and its container with it.
    A file that vanishes while *look* runs means that a process is still at work."""
    end = time.monotonic() + seconds

    def find() -> list[str]:
        try:
            return look()
        except FileNotFoundError as error:
            return [str(error)]

    while (found := find()) and time.monotonic() < end:
        bury()
        time.sleep(0.02)
    return found


# ---- a reboot ------------------------------------------------------------------------------------------------------


def power_off() -> None:
    """Simulate a reboot, which removes all processes, control groups, links and rules, and the content of /run."""
    for record in records():
        for pid in (record.monitor, record.pid):
            if pid:
                os.kill(pid, 9)
    wait_until(lambda: not any(record.monitor or record.pid for record in records()))
    bury()
    host.remove_cgroups(
        [
            f"{tree}/{name}"
            for tree in host.cgroup_trees()
            for name in os.listdir(tree)
            if os.path.isdir(f"{tree}/{name}")
        ]
    )
    for words in (["ip", "link", "del", "minict0"], ["nft", "delete", "table", "inet", "minict"]):
        subprocess.run(words, check=True)
    for name in os.listdir(paths.run_root()):
        files.remove_tree(f"{paths.run_root()}/{name}") if os.path.isdir(f"{paths.run_root()}/{name}") else os.unlink(
            f"{paths.run_root()}/{name}"
        )


def told(name: str) -> tuple[str, int]:
    """What ``inspect`` says of a container: its status and exit code."""
    status, code = minict("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout.split()
    return status, int(code)


def done(*words: str) -> None:
    assert minict(*words).returncode == 0, words


def test_containers_survive_a_reboot_and_can_be_started(image, kept, bridge):
    there = ["--name", "lasting", "-p", "8088:80", "-v", "kept:/data", "--hostname", "lasting"]
    done("run", "-d", *there, image, "sh", "-c", "echo once more >> /count; exec sleep 1000")
    done("run", "-d", "--rm", "--name", "passing", image, "sleep", "1000")
    done("run", "-d", "--restart", "always", "--name", "stubborn", image, "sleep", "1000")
    done("create", "--name", "never", image, "true")
    try:
        power_off()
        assert [told(name) for name in ("lasting", "stubborn", "never")] == [
            ("exited", 137),
            ("exited", 137),
            ("created", 0),
        ]
        assert "passing" not in minict("ps", "-q", "--format", "{{.Names}}").stdout
        assert minict("prune").stdout.count("container") == 1, "only the one that removes itself goes"
        assert minict("prune").stdout == ""
        done("start", "lasting", "stubborn", "never")
        assert minict("exec", "lasting", "cat", "/count", "/data/file").stdout == "once more\nonce more\nprecious\n"
        assert minict("exec", "lasting", "hostname").stdout == "lasting\n"
        assert minict("port", "lasting").stdout.strip() == "80/tcp -> 0.0.0.0:8088"
        assert eventually_nothing(contradictions) == []
    finally:
        tidy(kept)
