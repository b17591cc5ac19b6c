"""Each make target on a fresh system installs all that it needs.

For each release there is a root of the smallest kind that apt can live in, with make, and for each target a fresh copy
of it.  There the target's installation step runs, with the network of this machine, and then, without a network, what
shows that nothing is missing.

No part of the suite, since it downloads gigabytes; as root::

    make test-install
    make test-install TESTS="-k 'trixie and bench'"
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import tempfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# a Debian has no keys of Ubuntu's; nothing of these roots is ever used elsewhere
UBUNTU = "deb [trusted=yes] http://archive.ubuntu.com/ubuntu noble{} main universe"
RELEASES = {"bookworm": [], "trixie": [], "noble": [UBUNTU.format(""), UBUNTU.format("-updates")]}

TOOLS = "for tool in {}; do command -v $tool > /dev/null || {{ echo missing: $tool; exit 1; }}; done"
TARGETS = {
    "lab": TOOLS.format("podman runc crun dockerd docker containerd ctr")
    + " && make lab LAB_BACKGROUND=1 && minict run --rm tiny true",
    "vm": TOOLS.format("qemu-system-x86_64 mmdebstrap mke2fs setpriv"),
    "test": "make test TESTS='tests/unit tests/integration/runtime/test_uts.py tests/integration/images/test_push.py'",
    "test-v2": TOOLS.format("gcc make flex bison bc perl patch xz mmdebstrap mke2fs")
    + " && echo 'int main(void) { return 0; }' | gcc -static -x c - -o /tmp/static",
    "test-vm": TOOLS.format("qemu-system-x86_64 mmdebstrap mke2fs setpriv"),
    "lint": TOOLS.format(".venv/bin/ruff .venv/bin/mypy") + " && .venv/bin/ruff --version && .venv/bin/mypy --version",
    "docs": "make docs",
    "bench": TOOLS.format("runc crun bwrap podman docker-registry skopeo umoci")
    + " && .venv/bin/python -m tests.bench.ports --rounds 2",
    "notebooks": ".venv/bin/python -m tests.support.execute_notebooks",
}

# The root is an overlay of the fresh one.  Containers need other file systems: an overlay can't lie on another.
ENTER = """
set -e
mount --make-rprivate /
mount -t overlay overlay -o lowerdir=$FRESH,upperdir=$HERE/upper,workdir=$HERE/work $HERE/root
cd $HERE/root
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
for folder in run tmp var/lib/minict; do mkdir -p $folder; mount -t tmpfs tmpfs $folder; done
mkdir -p var/cache/apt/archives root/.cache
mount --bind $CACHE/apt var/cache/apt/archives
mount --bind $CACHE/pip root/.cache
cp /etc/resolv.conf etc/resolv.conf
if [ -e /etc/pip.conf ]; then cp /etc/pip.conf etc/pip.conf; fi
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec env -i HOME=/root PATH=$PATH $SETTINGS chroot . sh -c "$SCRIPT"
"""


@pytest.fixture(scope="session")
def folder():
    with tempfile.TemporaryDirectory(prefix="minict-install-", dir="/var/tmp") as folder:
        for name in ("cache/apt/partial", "cache/pip"):
            os.makedirs(f"{folder}/{name}")
        yield folder


@pytest.fixture(scope="session", params=RELEASES)
def fresh(request, folder):
    """The fresh root of a release, with this checkout in /course."""
    release, root = request.param, f"{folder}/{request.param}"
    words = ["unshare", "--mount", "mmdebstrap", "--quiet", "--variant=minbase", "--include=apt,make,ca-certificates"]
    made = subprocess.run([*words, release, root, *RELEASES[release]], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"{release} can't be had here: {made.stderr.strip().splitlines()[-1]}")
    files = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True).stdout
    os.mkdir(f"{root}/course")
    subprocess.run(
        ["rsync", "-a", "--from0", "--files-from=-", "--ignore-missing-args", f"{ROOT}/", f"{root}/course"],
        input=files,
        check=True,
    )
    certificates = glob.glob("/usr/local/share/ca-certificates/*.crt")
    os.mkdir(f"{root}/certificates")
    for path in certificates:
        shutil.copy(path, f"{root}/certificates")
    yield root, "MINICT_CA=/certificates" if certificates else ""
    shutil.rmtree(root)


def enter(here: str, fresh: tuple[str, str], script: str, network: bool) -> subprocess.CompletedProcess:
    """Run the *script* in the copy of the *fresh* root that is in the folder *here*; output and error are one text."""
    names = ["--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"])]
    folder = os.path.dirname(fresh[0])
    environment = {"FRESH": fresh[0], "HERE": here, "CACHE": f"{folder}/cache", "SETTINGS": fresh[1], "SCRIPT": script}
    return subprocess.run(
        ["unshare", *names, "sh", "-c", ENTER],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_installs_what_it_needs(fresh, folder, target):
    with tempfile.TemporaryDirectory(dir=folder) as here:
        for name in ("upper", "work", "root"):
            os.mkdir(f"{here}/{name}")
        script = f"cd /course; set -e; make -n {target} | grep 'vagrant/provision.sh' | head -n 1 > /step; sh -e /step"
        installed = enter(here, fresh, script, network=True)
        if "there is no Chromium for the tests" in installed.stdout:
            pytest.skip("Playwright's Chromium, which Ubuntu needs, can't be had here")
        assert installed.returncode == 0, installed.stdout[-3000:]
        checked = enter(here, fresh, f"cd /course; ip link set lo up; {TARGETS[target]}", network=False)
        assert checked.returncode == 0, f"{installed.stdout[-1000:]}\n----\n{checked.stdout[-3000:]}"
