"""JupyterLab as a service: run by an ordinary user, with kernels run by root, as vagrant/provision.sh sets it up.

The machine is this one, seen through an overlay: what provision.sh installs goes into memory, and disappears with the
test. It has no systemd, so the test does what the unit does: the same user, variables, capabilities and command.
"""

from __future__ import annotations

import glob
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error

import nbformat
import pytest

from minict.lab.applications import IMAGES
from tests.support.jupyter_client import Remote
from tests.support.paths import ROOT
from tests.support.registry_server import RegistryServer
from tests.support.world import WORLD

USER, TOKEN = "minict-learner", "a0b1c2d3e4f5"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# $1: a directory to work in, $2: the checkout, $3: this Python's environment, $4: the tests' images and state
_MACHINE = """set -e
mount -t tmpfs minict-test "$1"
mkdir "$1/root" "$1/opt"
for side in root opt; do mkdir "$1/$side-upper" "$1/$side-work"; done
mount -t overlay minict-test -o "lowerdir=/,upperdir=$1/root-upper,workdir=$1/root-work" "$1/root"
mkdir -p "$1/root/opt/minict" "$1/root/course" "$1/root$4"
mount -t overlay minict-test -o "lowerdir=$3,upperdir=$1/opt-upper,workdir=$1/opt-work" "$1/root/opt/minict"
mount -t proc proc "$1/root/proc"
for each in sys dev; do mount --rbind /$each "$1/root/$each"; done
for each in run tmp; do mount -t tmpfs minict-test "$1/root/$each"; done
mkdir -p "$1/root$4"
mount --rbind "$4" "$1/root$4"
cp -r "$2/minict" "$2/notebooks" "$2/vagrant" "$2/requirements.txt" "$1/root/course"
cat /proc/self/stat > "$1/root/run/inside"
exec sleep infinity
"""


class Machine:
    """This machine's files under an overlay, in mount and process namespaces that end with it.  To be used with
    ``with``."""

    def __init__(self, directory):
        self.directory = str(directory)

    def __enter__(self):
        self.life = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig=KILL",
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-c",
                _MACHINE,
                "sh",
                self.directory,
                ROOT,
                sys.prefix,
                WORLD,
            ],
            start_new_session=True,
        )
        children = f"/proc/{self.life.pid}/task/{self.life.pid}/children"
        while True:
            assert self.life.poll() is None
            with open(children) as file:
                self.pid = file.read().strip()
            if self.pid and os.path.exists(f"/proc/{self.pid}/root{self.directory}/root/run/inside"):
                return self
            time.sleep(0.02)

    def __exit__(self, *exception):
        self.life.kill()
        self.life.wait()

    def words(self, *command: str, **variables: str) -> list[str]:
        """The command line that runs *command* in it, with only these *variables*."""
        settings = [f"{name}={value}" for name, value in {"PATH": PATH, "LANG": "C.UTF-8", **variables}.items()]
        return [
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--pid",
            "chroot",
            f"{self.directory}/root",
            "env",
            "-i",
            *settings,
            *command,
        ]

    def do(self, *command: str, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(self.words(*command, **variables), capture_output=True, text=True, timeout=120)

    def provision(self, *steps: str, **variables: str) -> subprocess.CompletedProcess:
        return self.do("sh", "/course/vagrant/provision.sh", *steps, MINICT_USER=USER, **variables)

    def path(self, path: str) -> str:
        """The path on the host of the machine's *path*."""
        return f"/proc/{self.pid}/root{self.directory}/root{path}"

    def read(self, path: str) -> str:
        with open(self.path(path)) as file:
            return file.read()

    def files(self) -> dict[str, tuple]:
        """The files written so far, all those in the overlays: path to owner, mode, size and time."""
        found = {}
        for side in ("root-upper", "opt-upper"):
            for place, _, names in os.walk(f"/proc/{self.pid}/root{self.directory}/{side}"):
                for path in (place, *(f"{place}/{name}" for name in names)):
                    entry = os.lstat(path)
                    found[path] = (entry.st_uid, entry.st_mode, entry.st_size, entry.st_mtime_ns)
        return found


@pytest.fixture
def machine(tmp_path):
    with Machine(tmp_path) as machine:
        assert machine.do("useradd", "--create-home", "--shell", "/bin/bash", USER).returncode == 0
        assert machine.do("chown", "-R", USER, "/course").returncode == 0
        assert (
            machine.do(
                "sh",
                "-c",
                "echo /course > $(/opt/minict/bin/python -Ic "
                "'import sysconfig; print(sysconfig.get_path(\"purelib\"))')/minict.pth",
            ).returncode
            == 0
        )
        yield machine


@pytest.fixture
def lab(machine, tiny):
    """The service, started as its unit says."""
    done = machine.provision("commands", "service")
    assert done.returncode == 0, done.stderr
    unit = dict(
        re.findall(
            r"^(\w+)=(.*)$", machine.read("/etc/systemd/system/minict-lab.service").split("[Service]")[1], re.MULTILINE
        )
    )
    assert (unit["User"], unit["AmbientCapabilities"]) == (USER, "CAP_KILL")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables = {
        **dict(each.split("=", 1) for each in unit["Environment"].split()),
        "HOME": f"/home/{USER}",
        "SHELL": "/bin/bash",
        "MINICT_PORT": port,
        "JUPYTER_TOKEN": TOKEN,
        **{name: os.environ[name] for name in ("MINICT_ROOT", "MINICT_RUN", "MINICT_CGROUP")},
    }
    server = subprocess.Popen(
        machine.words(
            "setpriv",
            f"--reuid={USER}",
            f"--regid={USER}",
            "--init-groups",
            "--inh-caps=+kill",
            "--ambient-caps=+kill",
            *unit["ExecStart"].split(),
            **variables,
        ),
        start_new_session=True,
    )
    lab = Remote(f"http://127.0.0.1:{port}", TOKEN)
    lab.wait()
    yield lab
    server.kill()
    server.wait()


def test_what_a_second_run_finds_done_it_leaves_alone(machine):
    first = machine.provision("commands", "service")
    assert first.returncode == 0, first.stderr
    assert machine.do("visudo", "--check", "--quiet").returncode == 0
    assert "MINICT_TOKEN" not in machine.read("/etc/systemd/system/minict-lab.service")
    assert not os.path.exists(machine.path("/etc/minict/lab.env")), "a token for all machines of an image"
    before = machine.files()
    assert machine.provision("commands", "service").returncode == 0
    assert machine.files() == before


def test_uninstall_takes_away_what_the_service_needed(machine, tiny):
    assert machine.provision("commands", "service").returncode == 0
    made = [
        "/usr/local/bin/minict",
        "/usr/local/bin/mini-docker",
        "/etc/sudoers.d/minict",
        "/etc/systemd/system/minict-lab.service",
    ]
    assert machine.do("ls", *made).returncode == 0
    assert machine.do("umount", "/opt/minict").returncode == 0  # a mount point can't be removed
    done = machine.do("sh", "/course/vagrant/uninstall.sh")
    assert done.returncode == 0, done.stderr
    assert machine.do("sh", "-c", f"ls -d {' '.join(made)} /opt/minict /etc/minict /var/lib/minict").stdout == ""


@pytest.mark.parametrize(
    "variables, sentence",
    [
        ({"MINICT_USER": "root"}, "MINICT_USER=root: name an ordinary user"),
        ({"MINICT_USER": "nobody"}, "nobody can't write to /course/work, so notebooks could not be saved"),
        ({"MINICT_OFFLINE": "1", "MINICT_CACHE": "/no/folder"}, "MINICT_OFFLINE is set, but /no/folder/debs/"),
        ({"MINICT_VENV": "/my course"}, "the path /course/my course/course/vagrant/cache contains a blank"),
        ({"MINICT_CA": "/no/folder"}, "MINICT_CA=/no/folder: there are no .crt files in this folder"),
        ({"MINICT_PYTHON": "/etc"}, "MINICT_PYTHON=/etc: not an executable file"),
    ],
)
def test_an_impossible_request_is_one_sentence(machine, variables, sentence):
    if "MINICT_OFFLINE" in variables:
        assert machine.do("dpkg", "--remove", "--force-depends", "busybox-static").returncode == 0
    done = machine.do(
        "sh",
        "/course/vagrant/provision.sh",
        "check_machine",
        "extra_certificates",
        "system_packages",
        "service",
        **variables,
    )
    assert done.returncode == 1
    assert sentence in done.stderr.splitlines()[-1]


def test_an_unknown_step_is_named(machine):
    done = machine.provision("comands")
    assert done.returncode == 1 and done.stderr.startswith("minict: unknown step 'comands': use some of check_machine ")


def test_the_address_of_no_service(machine):
    done = machine.provision("address")
    assert (done.returncode, done.stderr) == (
        1,
        "minict: the service minict-lab is not installed: run provision.sh with MINICT_USER=name.\n",
    )


def test_images_of_chapters_are_kept_and_loaded_without_a_registry(machine, layout, tmp_path_factory):
    def images(root: str, **variables: str) -> subprocess.CompletedProcess:
        done = machine.provision("commands", "chapter_images", MINICT_ROOT=root, **variables)
        assert done.returncode == 0, done.stderr
        return done

    def run(root: str) -> str:
        return machine.do(
            "/opt/minict/bin/minict", "image", "inspect", "--format", "{{.Config.Cmd}}", name, MINICT_ROOT=root
        ).stdout

    with RegistryServer(tmp_path_factory.mktemp("registry")) as registry:
        layout.image("app", [{"etc/motd": "hello"}], cmd="/bin/hello")
        registry.push(layout, "app")
        name = registry.name("app")
        with open(machine.path("/course/vagrant/images.txt"), "w") as file:
            file.write(f"# what the chapters use\n\n{name}  07 and 18  # an example\n")
        images("/run/one", MINICT_WITH_CACHE="1")
        assert "/bin/hello" in run("/run/one")
    assert "hello" not in run("/run/two")
    images("/run/two", MINICT_OFFLINE="1")
    assert "/bin/hello" in run("/run/two")
    assert (
        f"{name} is not in /empty/images: chapter 07 and 18 needs a network"
        in images("/run/three", MINICT_OFFLINE="1", MINICT_CACHE="/empty").stderr
    )
    assert f"could not pull {name}, which chapter 07 and 18 needs" in images("/run/three", MINICT_CACHE="/empty").stderr


def test_the_list_of_images_names_what_the_notebooks_use():
    with open(f"{ROOT}/vagrant/images.txt") as file:
        named = {line.split()[0] for line in file if line.split("#")[0].strip()}
    used = set()
    for path in glob.glob(f"{ROOT}/notebooks/*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        if any("open_registry()" in cell.source for cell in cells):
            continue  # it pulls from the lab's own registry
        for cell in cells:
            if cell.cell_type == "code":
                used |= set(IMAGES) if "application_images()" in cell.source else set()
                used |= set(
                    re.findall(r"""(?:minict pull |pull\(["'])((?!127\.|localhost)[a-z][\w./:-]*)""", cell.source)
                )
    assert used == named


def test_the_kernel_is_root_and_the_rest_is_not(lab):
    with pytest.raises(urllib.error.HTTPError, match="403"):
        Remote(lab.address, "another token")("GET", "kernels")
    kernel = lab.kernel()
    kernel.run("import ctypes, os, time")
    parent = kernel.run(
        "print(open(f'/proc/{os.getppid()}/cmdline').read().split(chr(0))[1:3], "
        "os.stat(f'/proc/{os.getppid()}').st_uid != 0)"
    )
    assert parent == "['-m', 'jupyterlab'] True\n", "nothing stands between JupyterLab and its kernel"
    path = kernel.run(
        "print(*[each for each in open(f'/proc/{os.getppid()}/environ').read().split(chr(0)) if each[:5] == 'PATH='])"
    )
    assert path == f"PATH={PATH}\n", (
        "a terminal has to find the minict that becomes root, and no login shell need set its path"
    )
    assert (
        kernel.run("print(os.getuid(), os.environ['HOME'], open('/proc/self/oom_score_adj').read())")
        == "0 /root 300\n\n"
    )
    assert kernel.run("!minict run --rm --network none tiny echo hello") == "hello\r\n"

    running = kernel.start("time.sleep(600)")
    kernel.interrupt()
    assert kernel.finish(running) == "KeyboardInterrupt"
    assert kernel.run("print(6 * 7)") == "42\n"

    kernel.start(
        "time.sleep(0.5); ctypes.PyDLL(None).sleep(3600)  # holds the interpreter's lock: nothing but a signal ends it"
    )
    time.sleep(1)
    kernel.restart()
    assert kernel.run("print(6 * 7)") == "42\n"
    kernel.end()


def test_a_terminal_is_the_users_and_minict_in_it_is_roots(lab):
    terminal = lab.terminal()
    terminal.type(
        "echo I am $(id -u); minict run -it --rm --network none tiny sh -c 'tty; id -u; stty size'; echo status $?"
    )
    assert terminal.wait_for(r"I am (\d+)")[1] != "0"
    assert terminal.wait_for(r"(/dev/\S+)\r\n0\r\n(\d+ \d+)\r\nstatus 0")
    terminal.end()


def test_when_the_server_is_killed_its_kernel_ends(lab, machine):
    kernel = lab.kernel()
    kernel.run("import os, signal, time")
    kernel.start("time.sleep(1); os.kill(os.getppid(), signal.SIGKILL)")
    end = time.monotonic() + 60
    while machine.do("pgrep", "-f", "lab/kernel.py").returncode == 0:
        assert time.monotonic() < end, "the kernel lives on without a server"
        time.sleep(0.2)
