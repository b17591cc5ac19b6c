"""The Vagrantfile's settings: which hosts can reach a machine, and that a learner's notebooks are safe."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from tests.support.paths import ROOT

VAGRANTFILE = os.path.join(ROOT, "vagrant", "Vagrantfile")


def read(notes, **variables: str) -> list[dict]:
    """The Vagrantfile's result for these settings, with its notes in the directory *notes*."""
    done = subprocess.run(
        ["ruby", f"{ROOT}/tests/support/vagrantfile.rb", VAGRANTFILE],
        text=True,
        capture_output=True,
        env={**os.environ, "VAGRANT_DOTFILE_PATH": str(notes), **variables},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def machines(asked: list[dict]) -> dict[str, list[dict]]:
    return {each["arguments"][0]: each["inner"][0] for each in asked if each["name"] == "define"}


def calls(asked: list[dict], name: str) -> list[dict]:
    return [each for each in asked if each["name"] == name]


def environment(machine: list[dict]) -> dict:
    [provision] = calls(machine, "provision")
    assert provision["options"]["path"] == "provision.sh" and provision["options"]["run"] == "always"
    return provision["options"]["env"]


def test_only_this_computer_reaches_the_lab_and_only_with_the_token_that_is_kept(tmp_path):
    asked = read(tmp_path)
    [(name, machine)] = machines(asked).items()
    assert name == "minict"
    [forward] = calls(machine, "network")
    assert forward["arguments"] == ["forwarded_port"]
    assert forward["options"] == {
        "guest": 8888,
        "host": 8888,
        "host_ip": "127.0.0.1",
        "id": "jupyter",
        "auto_correct": True,
    }
    token = environment(machine)["MINICT_TOKEN"]
    assert re.fullmatch("[0-9a-f]{48}", token)
    assert os.stat(tmp_path / "minict/minict.token").st_mode & 0o777 == 0o600
    assert environment(machines(read(tmp_path))["minict"])["MINICT_TOKEN"] == token


def test_each_student_has_a_port_and_a_token(tmp_path):
    class_ = machines(read(tmp_path, MINICT_STUDENTS="12", MINICT_PORT="9000"))
    assert list(class_) == [f"student{number:02}" for number in range(1, 13)]
    assert [calls(machine, "network")[0]["options"]["host"] for machine in class_.values()] == list(range(9000, 9012))
    assert len({environment(machine)["MINICT_TOKEN"] for machine in class_.values()}) == 12
    assert [environment(machine)["MINICT_HOSTNAME"] for machine in class_.values()] == list(class_)


def test_no_copy_into_the_machine_loses_a_learners_notebook(tmp_path):
    asked = read(tmp_path)
    assert calls(asked, "synced_folder")[0]["options"] == {"disabled": True}, (
        "Vagrant's own share, of this folder at /vagrant"
    )
    machine = machines(asked)["minict"]
    assert calls(machine, "synced_folder")[0] == {
        "name": "synced_folder",
        "arguments": [ROOT, "/course"],
        "options": {},
        "inner": [],
    }
    copies = {
        each["arguments"][0]: calls(each["inner"][1], "synced_folder")[0]["options"]
        for each in calls(machine, "provider")
    }
    assert list(copies) == ["libvirt", "qemu", "utm"]
    for options in copies.values():
        assert options["type"] == "rsync"
        assert {"--update", "--backup"} < set(options["rsync__args"]) and "--delete" not in options["rsync__args"]
        assert ".overwritten/" in options["rsync__exclude"]


def test_rsync_as_the_vagrantfile_calls_it(tmp_path):
    machine = machines(read(tmp_path))["minict"]
    options = calls(calls(machine, "provider")[0]["inner"][1], "synced_folder")[0]["options"]
    here, inside = tmp_path / "here", tmp_path / "inside"
    for folder in (here, inside):
        folder.mkdir()

    def copy():
        excluded = [f"--exclude={each}" for each in options["rsync__exclude"]]
        subprocess.run(["rsync", *options["rsync__args"], *excluded, f"{here}/", f"{inside}/"], check=True)

    def write(path, words, time):
        path.write_text(words)
        os.utime(path, (time, time))

    write(here / "00.ipynb", "first", 1000)
    write(here / "01.ipynb", "first", 1000)
    copy()
    write(inside / "00.ipynb", "the learner's", 2000)
    write(inside / "mine.ipynb", "the learner's", 2000)
    write(inside / "01.ipynb", "the learner's", 2000)
    write(here / "01.ipynb", "a newer edition", 3000)
    copy()
    assert (inside / "00.ipynb").read_text() == "the learner's"
    assert (inside / "mine.ipynb").read_text() == "the learner's"
    assert (inside / "01.ipynb").read_text() == "a newer edition"
    assert (inside / ".overwritten/01.ipynb").read_text() == "the learner's"


def test_each_provider_has_a_box_and_the_same_size(tmp_path):
    asked = read(tmp_path, MINICT_MEMORY="3000", MINICT_CPUS="4")
    boxes = {
        each["arguments"][0]: [call["arguments"][0] for call in each["inner"][-1] if call["name"] == "box="]
        for each in calls(asked, "provider")
    }
    assert boxes == {
        "virtualbox": [],
        "libvirt": ["cloud-image/debian-13"],
        "qemu": ["cloud-image/debian-13"],
        "utm": ["bento/ubuntu-24.04"],
        "vmware_desktop": [],
        "parallels": [],
    }
    assert calls(asked, "box=")[0]["arguments"] == ["bento/debian-13"]
    for each in calls(asked, "provider"):
        sizes = {call["name"]: call["arguments"][0] for call in each["inner"][0]}
        assert sizes["memory="] in (3000, "3000M") and sizes.get("cpus=", sizes.get("smp=")) in (4, "4")


@pytest.mark.parametrize(
    "variables, sentence",
    [
        ({"MINICT_STUDENTS": "many"}, "minict: invalid MINICT_STUDENTS=many: use a number of at least 1.\n"),
        ({"MINICT_MEMORY": "512"}, "minict: invalid MINICT_MEMORY=512: use a number of at least 1024.\n"),
        ({"MINICT_PORT": "-1"}, "minict: invalid MINICT_PORT=-1: use a number of at least 1.\n"),
    ],
)
def test_an_invalid_setting_is_named(tmp_path, variables, sentence):
    done = subprocess.run(
        ["ruby", f"{ROOT}/tests/support/vagrantfile.rb", VAGRANTFILE],
        text=True,
        capture_output=True,
        env={**os.environ, "VAGRANT_DOTFILE_PATH": str(tmp_path), **variables},
    )
    assert (done.returncode, done.stderr) == (1, sentence)
