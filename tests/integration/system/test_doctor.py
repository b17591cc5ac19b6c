"""minict doctor: its findings are true on this machine, and stay true when something is taken away."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from minict.engine.system import doctor
from minict.kernel import mount, namespaces
from tests.support.command_line import minict_as_nobody
from tests.support.paths import ROOT as REPOSITORY


def findings_after(change: str) -> dict[str, str]:
    """What doctor finds in a process that has first done *change* to a mount namespace of its own: {name: word}."""
    code = (
        "import os, sys; from minict.kernel import mount as k, namespaces as n; n.unshare(n.CLONE_NEWNS); "
        f"k.mount(None, '/', None, k.MS_PRIVATE | k.MS_REC)\n{change}\n"
        "from minict.engine.system import doctor\nfor each in doctor.checks(): print(each.name, each.word, sep='=')\n"
        "print('status', doctor.main(), sep='=')"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return dict(
        line.split("=") for line in result.stdout.splitlines() if line.count("=") == 1 and " " not in line.split("=")[1]
    )


def test_this_machine_can_run_containers(tiny, capsys):
    assert doctor.main() == 0
    told = capsys.readouterr().out
    assert "This machine can run containers." in told
    assert not [line for line in told.splitlines() if line.startswith(doctor.MISSING + " ")]


def test_every_finding_that_is_not_ok_has_a_remedy():
    assert all(finding.remedy for finding in doctor.checks() if finding.word != doctor.OK)


@pytest.mark.parametrize(
    "change, name",
    [
        (
            "while os.path.ismount('/sys/fs/cgroup') or any('cgroup' in l for l in open('/proc/mounts')):\n"
            "    k.umount2([l.split()[1] for l in open('/proc/mounts') if 'cgroup' in l][-1], k.MNT_DETACH)",
            "cgroups",
        ),
        ("k.mount('proc', 'PLACE', 'proc'); os.environ['MINICT_ROOT'] = 'PLACE/self'", "overlayfs"),
    ],
)
def test_a_missing_prerequisite_is_found(change, name, tmp_path):
    findings = findings_after(change.replace("PLACE", str(tmp_path)))
    assert findings[name] == doctor.MISSING and findings["status"] == "1"


def test_a_disk_that_can_not_show_other_owners_is_a_warning(tmp_path):
    findings = findings_after(f"k.mount('none', '{tmp_path}', 'ramfs'); os.environ['MINICT_ROOT'] = '{tmp_path}/data'")
    assert findings["idmapped layers"] == doctor.WARNING


def test_a_read_only_proc_is_a_warning():
    findings = findings_after("k.mount('proc', '/proc', 'proc', k.MS_RDONLY)")
    assert findings["/proc"] == doctor.WARNING and findings["status"] == "0"


def test_without_root_it_says_so_and_still_checks_the_rest():
    result = minict_as_nobody("doctor")
    assert result.returncode == 1 and "sudo" in result.stdout and "/proc" in result.stdout, result.stderr


def test_an_attempt_stays_in_its_child():
    before = os.readlink("/proc/self/ns/uts")
    assert doctor.attempt(lambda: namespaces.unshare(namespaces.CLONE_NEWUTS)) is None
    assert doctor.attempt(lambda: mount.umount2("/no/such/mount")) == "No such file or directory"
    assert os.readlink("/proc/self/ns/uts") == before


def test_in_a_notebook_the_findings_are_a_table():
    table = doctor.Findings([doctor.Finding("name", "ok", "a < b")])._repr_html_()
    assert table.count("<tr>") == 2 and "a &lt; b" in table
