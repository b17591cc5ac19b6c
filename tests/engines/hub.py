"""JupyterHub, whose DockerSpawner makes each learner a container with minict: ``make test-hub``.

The image and the configuration are those of docs/jupyterhub.md. Two learners run chapter 00 at the same time.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from traitlets.config.loader import PyFileConfigLoader

from minict.engine.images import tarexport
from minict.kernel import namespaces
from minict.lab import engines
from minict.lab.daemons import Enclosure
from minict.lab.ociruntime import plain_program
from minict.runtime import paths
from tests.support.command_line import MINICT, wait_until
from tests.support.jupyter_client import Kernel, Remote
from tests.support.paths import ROOT
from tests.support.world import host_network

PAGE = f"{ROOT}/docs/jupyterhub"
CONFIGURATION = PyFileConfigLoader("jupyterhub_config.py", PAGE).load_config()
LEARNERS = sorted(CONFIGURATION.Authenticator.allowed_users)
IMAGE = CONFIGURATION.DockerSpawner.image
with open(f"{PAGE}.md") as page:
    PROXY = re.search(r"configurable-http-proxy@[\d.]+", page.read())[0]
ADDRESS = "http://127.0.0.1:8000"  # JupyterHub's own choice
CHAPTER = "work/00-what-is-a-container.ipynb"
PATIENCE = 300  # seconds for a server to start, on a busy machine


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> str:
    """The PATH with JupyterHub, DockerSpawner and the proxy, in a directory of the test's own."""
    assert shutil.which("npm"), "the proxy of JupyterHub comes by npm: sudo apt install npm"
    place = tmp_path_factory.mktemp("hub")
    python = f"{place}/venv/bin/python"
    with host_network():
        for words in (
            [sys.executable, "-I", "-m", "venv", f"{place}/venv"],
            [python, "-I", "-m", "pip", "install", "--quiet", "--requirement", f"{PAGE}/requirements.txt"],
            ["npm", "install", "--silent", "--prefix", f"{place}/node", PROXY],
        ):
            subprocess.run(words, check=True)
    return f"{place}/venv/bin:{place}/node/node_modules/.bin:{os.environ['PATH']}"


@pytest.fixture(scope="session")
def course(tmp_path_factory) -> str:
    """The image of the course as minict builds it, on a Debian of packages; what this machine trusts is trusted there."""
    place = tmp_path_factory.mktemp("course")
    hooks = []
    if certificates := glob.glob("/usr/local/share/ca-certificates/*.crt"):
        copied = f"copy-in {' '.join(certificates)} /usr/local/share/ca-certificates"
        hooks += [f"--customize-hook={copied}", '--customize-hook=chroot "$1" update-ca-certificates']
    if os.path.exists("/etc/pip.conf"):
        hooks.append("--customize-hook=copy-in /etc/pip.conf /etc")
    words = ["unshare", "--mount", "mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates"]
    build = f'git archive HEAD | "$@" build --network host --tag {IMAGE} --file docs/jupyterhub/Dockerfile -'
    with host_network():
        subprocess.run([*words, *hooks, "trixie", f"{place}/debian.tar"], check=True)
        subprocess.run([*MINICT, "import", f"{place}/debian.tar", "debian:13"], check=True)
        subprocess.run(["sh", "-ec", build, "sh", *MINICT], cwd=ROOT, check=True)
    os.remove(f"{place}/debian.tar")
    return IMAGE


@contextlib.contextmanager
def network_of(pid: int):
    """In a ``with`` statement: this thread, and those that it starts, are in the network of the process *pid*."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    other = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.setns(other, namespaces.CLONE_NEWNET)
        yield
    finally:
        namespaces.setns(own, namespaces.CLONE_NEWNET)
        os.close(own)
        os.close(other)


class Hub:
    """JupyterHub beside a Docker in an enclosure."""

    def __init__(self, docker: engines.Docker, place: str) -> None:
        self.docker, self.log = docker, f"{place}/hub.log"
        command = f"cd {place} && exec jupyterhub --config {PAGE}/jupyterhub_config.py"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                docker.enclosure.words("sh", "-c", command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: value for name, value in docker.enclosure.environment().items() if name != "PYTHONPATH"},
                start_new_session=True,
            )

    def __call__(self, method: str, path: str, token: str = "", body: dict | None = None):
        """The answer of the hub's REST interface. Raises urllib.error.HTTPError."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"token {token}"} if token else {})}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{ADDRESS}/hub/api/{path}", data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            words = answer.read()
        return json.loads(words) if words else None

    def wait(self) -> None:
        """Wait until it answers."""
        end = time.monotonic() + PATIENCE
        while True:
            assert self.process.poll() is None and time.monotonic() < end, "JupyterHub does not start"
            with contextlib.suppress(OSError):
                return self("GET", "")
            time.sleep(0.2)


class Learner:
    """A learner *name* of *hub*, who has logged in."""

    def __init__(self, hub: Hub, name: str) -> None:
        password = CONFIGURATION.SharedPasswordAuthenticator.user_password
        entry = {"auth": {"username": name, "password": password}}
        self.hub, self.name = hub, name
        self.token = hub("POST", f"users/{name}/tokens", body=entry)["token"]
        self.lab = Remote(f"{ADDRESS}/user/{name}", self.token)

    def start(self) -> None:
        """Start the learner's server, and wait until it answers."""
        self.hub("POST", f"users/{self.name}/server", self.token, {})
        end = time.monotonic() + PATIENCE
        while not (servers := self.hub("GET", f"users/{self.name}", self.token)["servers"]) or not servers[""]["ready"]:
            assert servers and time.monotonic() < end, f"the server of {self.name} does not start"
            time.sleep(0.2)
        self.lab.wait()

    def stop(self) -> None:
        """End the learner's server, and wait until Docker has no container of it."""
        self.hub("DELETE", f"users/{self.name}/server", self.token)
        wait_until(lambda: self.name not in self.hub.docker("ps -a --format {{.Names}}").output, PATIENCE)

    def kernel(self) -> Kernel:
        """A kernel as the page in the browser begins it for the chapter."""
        session = {"path": CHAPTER, "name": CHAPTER, "type": "notebook", "kernel": {"name": "python3"}}
        return Kernel(self.lab, self.lab("POST", "sessions", session)["kernel"]["id"])

    def run_chapter(self) -> list[tuple[str, str]]:
        """Run the chapter from its first cell to its last; those with an error that is not meant, and the errors."""
        cells = self.lab("GET", f"contents/{CHAPTER}")["content"]["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert len(code) > 30
        kernel, wrong, told = self.kernel(), [], ""
        for cell in code:
            printed, error = kernel.cell(cell["source"])
            told += printed
            if bool(error) != ("raises-exception" in cell["metadata"].get("tags", ())):
                wrong.append((cell["source"], printed + error))
        kernel.end()
        assert "This notebook left no trace on the host." in told
        return wrong

    def shell(self, line: str) -> list[str]:
        """The words that the *line* prints in a shell of the learner's notebook."""
        kernel = self.kernel()
        printed, error = kernel.cell(f"%%sh\n{line}")
        kernel.end()
        assert not error, printed + error
        return printed.split()


@pytest.fixture
def hub(programs, course):
    place = f"{paths.data_root()}/hub"
    archive = f"{place}/course.tar"
    os.makedirs(place)
    try:
        with Enclosure(programs) as enclosure:
            engines.containerd(enclosure)
            docker = engines.dockerd(enclosure, {"minict": plain_program(place)}, firewall=True)
            tarexport.save_file([course], archive)
            docker.run("load", "--quiet", "--input", archive, timeout=PATIENCE, check=True)
            os.remove(archive)
            running = Hub(docker, place)
            with network_of(enclosure.init):
                running.wait()
                yield running
        running.process.wait()
        with open(running.log) as log:
            print(log.read()[-20000:])  # pytest shows it when a test has failed
    finally:
        shutil.rmtree(place)


def traces(docker: engines.Docker) -> list[str]:
    """What containers leave where they leave something: processes, links, mounts, control groups."""
    groups = f"find /sys/fs/cgroup -path '*/{docker.enclosure.group}/*' -type d"
    script = f"ls /proc | grep -c '^[0-9]'; ls /sys/class/net; cut -d' ' -f2 /proc/mounts; {groups}"
    return sorted(docker.enclosure.run("sh", "-c", script, stdout=subprocess.PIPE, text=True).stdout.splitlines())


def test_two_learners_run_chapter_00_in_containers_of_minict(hub):
    before = traces(hub.docker)
    with ThreadPoolExecutor() as threads:
        learners = list(threads.map(lambda name: Learner(hub, name), LEARNERS))
        list(threads.map(Learner.start, learners))
        containers = hub.docker("ps -q").output.split()
        told = hub.docker("inspect --format {{.HostConfig.Runtime}} " + " ".join(containers)).output.split()
        assert told == ["minict"] * len(LEARNERS)
        assert list(threads.map(Learner.run_chapter, learners)) == [[]] * len(LEARNERS)
    for learner in learners:
        learner.shell(f"minict run -d --name box-of-{learner.name} tiny sleep 100000")
    for learner in learners:
        told = learner.shell("minict ps --format '{{.Names}}'")
        assert told == [f"box-of-{learner.name}"], told
    for learner in learners:
        learner.stop()
    wait_until(lambda: traces(hub.docker) == before, PATIENCE)
    learners[0].start()  # in a new container, with the volumes of the first
    assert learners[0].shell("minict ps -a --format '{{.Names}}'") == [f"box-of-{learners[0].name}"]
    learners[0].stop()
    wait_until(lambda: traces(hub.docker) == before, PATIENCE)
