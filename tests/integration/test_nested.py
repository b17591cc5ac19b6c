"""minict inside a container: its own, Podman's, and what ``unshare`` makes; with all rights, and with few.

The inner minict is the same checkout, which the outer container sees together with the host's programs.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from minict.kernel import mount
from minict.lab import host
from minict.runtime import cgroup, paths
from tests.support.command_line import MINICT, PATIENCE, minict
from tests.support.paths import ROOT
from tests.support.registry_server import RegistryServer, archive, free_port

# what an outer container needs of the host to run this Python and its minict
SYSTEM = sorted({"/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ssl", ROOT, *map(os.path.realpath, sys.path[1:])})
SYSTEM = [path for path in [*SYSTEM, sys.prefix, sys.base_prefix] if os.path.isdir(path)]
HOME = "MINICT_ROOT=/var/lib/minict MINICT_RUN=/run/minict MINICT_CGROUP=inner"
INNER = f"env PYTHONPATH={ROOT} {HOME} {' '.join(MINICT)}"
FEW = ["--userns", "private", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"]
MEMORY = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
PIDS = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null"

# Limits, two containers on one bridge, and a build.
LIFE = f"""set -e
{INNER} run --rm --network none --memory 64m --pids-limit 50 tiny sh -c '{MEMORY}; {PIDS}; true'
{INNER} run -d --name server tiny sh -c 'while :; do echo served | nc -l -p 80; done' > /dev/null
address=$({INNER} inspect --format '{{{{.NetworkSettings.IPAddress}}}}' server)
{INNER} run --rm tiny sh -c "until nc $address 80 < /dev/null 2> /dev/null | grep served; do :; done"
{INNER} rm -f server
printf 'FROM tiny\\nRUN echo built > /word\\nCMD cat /word\\n' | {INNER} build -q -t mine - > /dev/null
{INNER} run --rm --network none mine
"""
LIVED = ["67108864", "50", "served", "server", "built"]


def system() -> list[str]:
    """The options that show the host's programs in a container."""
    return [word for path in dict.fromkeys(SYSTEM) for word in ("-v", f"{path}:{path}:ro")]


def inside(script: str, *flags: str, network: str = "none") -> subprocess.CompletedProcess:
    """What the shell *script* says in a container of minict with *flags*."""
    flags = ["--tmpfs", "/var/lib/minict", "--tmpfs", "/run", "--network", network, *system(), *flags]
    return minict("run", "--rm", *flags, "tiny", "sh", "-c", script, timeout=2 * PATIENCE)


def lived(done: subprocess.CompletedProcess) -> bool:
    """Whether LIFE went as it should, with at most a message about the image and the cgroups."""
    told = [line for line in done.stderr.splitlines() if "creating it from" not in line]
    moved = [line for line in told if "moved the" in line and "processes of this container's root cgroup" in line]
    assert (done.returncode, done.stdout.split()) == (0, LIVED), done.stderr
    assert told == moved and len(moved) == (cgroup.mode() == "v2"), told  # once: afterwards there is room
    return True


def test_in_a_privileged_container(image):
    assert lived(inside(LIFE, "--privileged"))


def test_in_a_privileged_container_of_podman(image, podman, tmp_path):
    minict("save", "-o", str(tmp_path / "tiny.tar"), "tiny", check=True)
    podman("load", "-i", str(tmp_path / "tiny.tar"))
    flags = [
        "--privileged",
        "--ulimit=nofile=1024:1024",
        "--ulimit=nproc=1024:1024",
        "--network",
        "none",
        "--cgroupns",
        "private",
        "--mount",
        "type=tmpfs,dst=/var/lib/minict",
    ]
    done = podman("run", "--rm", *flags, "--tmpfs", "/run", *system(), "tiny", "sh", "-c", LIFE, check=False)
    assert lived(done)


def unshared(script: str) -> subprocess.CompletedProcess:
    """What the shell *script* says in namespaces of its own: not a container, but root with the host's files.

    With cgroup v2 it is in a group of its own, as a service of systemd is, without the ``unshare`` that waits for it.
    """
    script = "mount -t tmpfs t /var/lib; mount -t tmpfs t /run; mkdir /var/lib/minict; ip link set lo up; " + script
    script = script.replace("MINICT_CGROUP=inner", f"MINICT_CGROUP={paths.cgroup_parent()}")
    scope = f"/sys/fs/cgroup/{paths.cgroup_parent()}"
    enter = f"mkdir {scope}; echo 0 > {scope}/cgroup.procs; " if cgroup.mode() == "v2" else ""
    words = ["unshare", "-mnpf", "--kill-child", "--mount-proc", "sh", "-c", f'{enter}exec unshare -C sh -c "$1"', "sh"]
    words.append(script)
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=2 * PATIENCE)
    finally:
        host.remove_cgroups(host.cgroup_trees())


def test_in_namespaces_of_unshare():
    v2 = cgroup.mode() == "v2"
    assert lived(unshared("umount /sys/fs/cgroup; mount -t cgroup2 c /sys/fs/cgroup;" * v2 + LIFE))
    if v2:  # what unshare leaves mounted is the host's tree, in which no process of the namespace may move another
        done = unshared(f"{INNER} run --rm --network none tiny true")
        assert done.returncode == 125 and "lie outside of this cgroup namespace: umount /sys/fs/cgroup" in done.stderr


def test_with_the_proc_of_other_processes():
    words = ["unshare", "-mpfC", *MINICT, "run", "--rm", "tiny", "true"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 125 and done.stderr.count("\n") == 1, done
    assert "/proc shows the processes of another pid namespace: mount -t proc" in done.stderr


def test_pull_and_nat_through_two_networks(image, bridge, layout, tmp_path):
    """The inner container's packets leave through the inner bridge and the outer one, each with its own subnet."""
    (tmp_path / "registry").mkdir()
    port = free_port()
    with RegistryServer(tmp_path / "registry", address=f"0.0.0.0:{port}") as registry:
        (tmp_path / "layer.tar").write_bytes(archive({"word": "pulled\n"}))
        layout.image("app", [tmp_path / "layer.tar"], cmd="/word")
        registry.push(layout, "app")
        script = f"""set -e
        gateway=$(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p')
        MINICT_INSECURE_REGISTRIES=$gateway:{port} {INNER} pull -q $gateway:{port}/app
        {INNER} run --rm tiny sh -c "hostname -i; wget -q -O - http://$gateway:{port}/v2/_catalog"
        """
        done = inside(script, "--privileged", network="bridge")
    assert done.returncode == 0, done
    pulled, address, catalog = done.stdout.splitlines()
    assert pulled.endswith(f":{port}/app:latest")
    assert address.startswith("172.16.210.") and catalog == '{"repositories":["app"]}'


def test_with_few_rights(image):
    """In a user namespace: no limits, because no cgroups are delegated to it; all else works."""
    flags = [*FEW, "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"]
    life = LIFE.replace("--memory 64m --pids-limit 50", "").replace(f"{MEMORY}; {PIDS}; true", "echo no limits")
    done = inside(life, *flags)
    assert (done.returncode, done.stdout.split()) == (0, ["no", "limits", *LIVED[2:]]), done.stderr
    done = inside(f"{INNER} run --rm --network none --memory 64m tiny true", *flags)
    assert done.returncode == 125 and "memory, which is not delegated to this user" in done.stderr


@pytest.mark.parametrize(
    "flags, words",
    [
        ([], "minict lacks CAP_SYS_ADMIN, and runs inside a container: start the outer container with --privileged"),
        (FEW, "forbids pivot_root: start the outer container with --privileged, or with --userns private --cap-add"),
    ],
)
def test_a_missing_prerequisite_is_named(image, flags, words):
    done = inside(f"{INNER} run --rm --network none tiny true", *(flags or ["--userns", "private"]))
    assert done.returncode == 125 and words in done.stderr.splitlines()[-1], done


def test_a_data_directory_on_an_overlay_is_copied_and_the_remedy_is_named(image):
    script = f"{INNER} run --rm --network none tiny echo copied"
    done = minict("run", "--rm", "--privileged", "--network", "none", *system(), "tiny", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (0, "copied\n"), done
    assert "must be a volume or a tmpfs" in done.stderr and "-v minict:/var/lib/minict" in done.stderr


def test_in_a_chroot(tiny, tmp_path):
    """A plain directory as root: the place is named by ``run`` and by ``doctor``; bound to itself, it works."""
    root = tmp_path / "root"
    binds = "; ".join(
        f"mkdir -p {root}{path}; mount --rbind {path} {root}{path}" for path in [*SYSTEM, "/proc", "/sys"]
    )
    setup = f"mkdir {root}; BIND; mkdir -p {root}/var/lib/minict {root}/run {root}/tmp; {binds}"
    setup += f"; mkdir -p {root}/dev; mount --rbind /dev {root}/dev; mount -t tmpfs t {root}/var/lib/minict"
    script = (
        f"{INNER.replace('inner', paths.cgroup_parent())} run --rm --network none tiny echo it lives; {INNER} doctor"
    )

    def told(bind: str) -> str:
        words = ["unshare", "-mn", "sh", "-ec", f"{setup.replace('BIND', bind)}; chroot {root} sh -c '{script}' 2>&1"]
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE).stdout

    try:
        refusal = told(":")
        assert refusal.count("minict runs in a chroot whose root is not a mount: bind the directory") >= 3, refusal
        assert "initramfs" not in refusal and "it lives" not in refusal
        os.rename(root, tmp_path / "used")
        assert "it lives\n" in told(f"mount --bind {root} {root}")
    finally:
        for entry in reversed(host.mount_table()):
            assert not entry["point"].startswith(f"{tmp_path}/") or mount.umount2(entry["point"], mount.MNT_DETACH)
