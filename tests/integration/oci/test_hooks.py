"""Hooks: when and where they run, what they get, and what follows when they fail."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.command_line import wait_until
from tests.support.oci import oci  # noqa: F401

KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
HOST = [kind for kind in KINDS if kind != "startContainer"]


def hook(oci, script: str, **more) -> dict:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], **more}


def record(oci, kind: str) -> dict:
    """A hook that appends its kind and the state to a file; inside the container it writes to a volume."""
    place = "/data" if kind == "startContainer" else oci.place
    return hook(
        oci,
        f"echo '{kind}' >> {place}/order; cat > {place}/{kind}.json; readlink /proc/self/ns/uts > {place}/{kind}.ns",
    )


@pytest.fixture
def recorded(oci):
    oci.config["mounts"].append({"destination": "/data", "type": "bind", "source": oci.place})
    oci.config["hooks"] = {kind: [record(oci, kind)] for kind in KINDS}
    oci.config["annotations"] = {"a.key": "a value"}
    return oci


def order(oci) -> list[str]:
    return open(f"{oci.place}/order").read().split()


def test_all_six_kinds_in_their_order_with_the_state(recorded):
    oci = recorded
    oci.create("sh", "-c", "echo command >> /data/order; sleep 1000")
    assert order(oci) == KINDS[:3]
    pid = oci.state()["pid"]
    inside = os.readlink(f"/proc/{pid}/ns/uts")
    oci.do("start", "box")
    wait_until(lambda: len(order(oci)) == 6)
    assert order(oci)[3] == "startContainer" and set(order(oci)[4:]) == {"command", "poststart"}
    oci.do("delete", "--force", "box")
    assert order(oci)[6:] == ["poststop"]
    expected = {
        "prestart": ("creating", pid), "createRuntime": ("creating", pid), "createContainer": ("creating", 1),
        "startContainer": ("created", 1), "poststart": ("running", pid), "poststop": ("stopped", None),
    }  # fmt: skip
    for kind, (status, number) in expected.items():
        state = json.load(open(f"{oci.place}/{kind}.json"))
        assert (state["id"], state["status"], state.get("pid")) == ("box", status, number), kind
        assert (state["bundle"], state["annotations"]) == (oci.bundle.path, {"a.key": "a value"})
        where = open(f"{oci.place}/{kind}.ns").read().strip()
        assert (where == inside) == (kind in ("createContainer", "startContainer")), kind


@pytest.mark.parametrize("kind", KINDS[:3])
def test_a_hook_that_fails_before_the_start_ends_the_container(recorded, kind):
    oci = recorded
    oci.config["hooks"][kind] = [hook(oci, "echo too bad; exit 3"), record(oci, "never")]
    oci.bundle.load("true")
    told = oci.refused("create", "box", told=f"{kind} hook 0 (/bin/sh) failed: exit status 3, output: too bad")
    assert "never" not in order(oci) and order(oci)[-1] == "poststop" and told
    assert oci.do("list", "-q") == ""


def test_a_hook_that_fails_at_the_start_ends_the_container(recorded):
    oci = recorded
    oci.config["hooks"]["startContainer"] = [hook(oci, "exit 4")]
    oci.create("sleep", "1000")
    oci.refused("start", "box", told="startContainer hook 0 (/bin/sh) failed: exit status 4")
    oci.stopped()
    oci.do("delete", "box")
    assert order(oci) == [*KINDS[:3], "poststop"]


def test_a_hook_that_fails_after_the_start_ends_the_container(recorded):
    oci = recorded
    oci.config["hooks"]["poststart"] = [hook(oci, "exit 5")]
    oci.create("sleep", "1000")
    oci.refused("start", "box", told="poststart hook 0 (/bin/sh) failed: exit status 5")
    assert oci.do("list", "-q") == "" and order(oci)[-1] == "poststop"


def test_a_hook_that_fails_after_the_end_is_a_warning(recorded):
    oci = recorded
    oci.config["hooks"]["poststop"] = [hook(oci, "exit 6"), record(oci, "poststop")]
    oci.create("sleep", "1000")
    done = oci("delete", "--force", "box")
    assert done.returncode == 0 and "poststop hook 0 (/bin/sh) failed: exit status 6" in done.stderr
    assert oci.do("list", "-q") == ""


def test_a_hook_that_does_not_end_is_killed(oci):
    oci.config["hooks"] = {"createRuntime": [hook(oci, "exec sleep 1000", timeout=1)]}
    oci.bundle.load("true")
    oci.refused("create", "box", told="has not ended within its timeout of 1 s")


@pytest.mark.parametrize(
    "change,told",
    [
        ({"path": "bin/sh"}, "not absolute"),
        ({"timeout": 0}, "above 0"),
        ({"path": "/no/such"}, "No such file"),
        ({"args": "x"}, "JSON list"),
    ],
)
def test_a_wrong_hook_is_refused(oci, change, told):
    oci.config["hooks"] = {"createRuntime": [{**hook(oci, "true"), **change}]}
    with open(f"{oci.bundle.path}/config.json", "w") as file:
        json.dump(oci.config, file)
    oci.refused("create", "box", told=told)


def test_the_childs_own_error_is_told_and_not_that_of_the_hook(oci):
    oci.config["hooks"] = {"createRuntime": [record(oci, "createRuntime")]}
    oci.config["mounts"].append({"destination": "/data", "type": "no-such", "source": "none"})
    oci.bundle.load("true")
    oci.refused("create", "box", told="no-such on /data")
    assert not os.path.exists(f"{oci.place}/order")


def test_a_hook_starts_in_the_bundle_with_the_variables_of_the_runtime(oci, monkeypatch):
    monkeypatch.setenv("OUTSIDE", "seen")
    script = f"pwd > {oci.place}/seen; echo $OUTSIDE >> {oci.place}/seen; test -e rootfs/proc/self"
    oci.config["hooks"] = {"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    oci.bundle.load("true")
    oci.do("run", "box")
    assert open(f"{oci.place}/seen").read() == f"{oci.bundle.path}\nseen\n"


def test_a_hook_of_the_container_sees_the_host_and_can_change_the_root(oci):
    script = f"echo made > {oci.bundle.rootfs}/tmp/by-the-hook; test -e {oci.place}"
    oci.config["hooks"] = {"createContainer": [hook(oci, script)]}
    assert oci.run("cat /tmp/by-the-hook") == "made"
