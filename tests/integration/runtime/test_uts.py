"""``minict run --uts``: which host name a container has."""

from __future__ import annotations

import os

import pytest

from minict.engine.containers import names
from minict.engine.containers.store import Record
from minict.kernel.namespaces import CLONE_NEWUTS, setns
from minict.kernel.process import sethostname
from minict.lab.child import run_in_child
from tests.support.command_line import begin, minict, output, refused, run, wait_until


@pytest.fixture
def box(image):
    """A running container with the name box and the host name boxer."""
    process = begin("run", "--rm", "--network", "none", "--name", "box", "--hostname", "boxer", image, "sleep", "60")
    wait_until(lambda: names.find("box") and run(image, "true", flags=["--uts", "container:box"]).returncode == 0)
    yield names.find("box")
    process.kill()  # and with it the container, whose first process dies with its creator
    process.wait()
    assert minict("prune").returncode == 0


def test_two_containers_share_a_host_name(image, box):
    for partner in ("box", box):
        words = "hostname; cat /etc/hostname; echo $HOSTNAME; grep -c boxer /etc/hosts"
        assert output(image, words, "--uts", f"container:{partner}").split() == ["boxer", "boxer", "boxer", "1"]
    assert output(image, "hostname") != "boxer"


def test_a_newcomer_does_not_rename_the_others(image, box):
    def rename():
        setns(os.open(f"/proc/{Record.find(box).pid}/ns/uts", os.O_RDONLY), CLONE_NEWUTS)
        sethostname("renamed")

    run_in_child(rename)
    assert output(image, "hostname", "--uts", "container:box").split() == ["renamed"]
    assert minict("exec", "box", "hostname").stdout.split() == ["renamed"]


def test_a_partner_of_a_partner_has_the_same_name(image, box):
    process = begin(
        "run", "--rm", "--network", "none", "--name", "second", "--uts", "container:box", image, "sleep", "60"
    )
    wait_until(lambda: names.find("second") and run(image, "true", flags=["--uts", "container:second"]).returncode == 0)
    assert output(image, "hostname; cat /etc/hostname", "--uts", "container:second").split() == ["boxer", "boxer"]
    process.kill()
    process.wait()


def test_the_hosts_name_is_shared_and_cannot_be_changed(image):
    host = os.uname().nodename
    words = "hostname; cat /etc/hostname; hostname other 2>/dev/null || hostname"
    assert output(image, words, "--uts", "host").split() == [host] * 3
    assert os.uname().nodename == host


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--uts", "theirs"], "use host, container:NAME or private"),
        (["--uts", "container:"], "container:NAME"),
        (["--uts", "container:../x"], "invalid container name"),
        (["--uts", "container:nobody"], "no such container: nobody"),
        (["--uts", "host", "--hostname", "x"], "conflicts with --uts host"),
    ],
)
def test_what_can_not_be(image, flags, words):
    refused(run(image, "true", flags=flags), words)
