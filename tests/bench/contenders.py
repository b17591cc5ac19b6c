"""The contenders: how each is called and, for fairness, what each does.

All run ``true`` from the same root file system, without limits. They do not all do the same work: the text beside each
row says what it leaves out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from time import perf_counter

from minict.kernel import process as kernel

from .world import IMAGE, NAME, Failed, World

HERE = os.path.dirname(os.path.abspath(__file__))


class Program:
    """A contender that is started as a process.  ``{id}`` in its *words* becomes a new container id each time."""

    def __init__(self, name: str, does: str, words: list[str]):
        self.name, self.does, self.words = name, does, words
        self._started = 0
        self._errors = os.memfd_create("errors", os.MFD_CLOEXEC)

    def open(self) -> None:
        if not shutil.which(self.words[0]):
            raise Failed(f"there is no {self.words[0]} (make bench installs it)")

    def run(self, count: int = 1) -> tuple[float, list[str]]:
        """Run it *count* times at once; return the seconds that this took, and the errors."""
        os.truncate(self._errors, 0)
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0)
        actions = [null, (os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, self._errors, 2)]
        begin = perf_counter()
        children = [
            os.posix_spawnp(self.words[0], self._fresh_words(), os.environ, file_actions=actions) for _ in range(count)
        ]
        failed = [status for status in (os.waitpid(pid, 0)[1] for pid in children) if status]
        seconds = perf_counter() - begin
        told = os.pread(self._errors, 2000, 0).decode(errors="replace").strip()
        return seconds, [told or f"exit status {os.waitstatus_to_exitcode(status)}" for status in failed]

    def _fresh_words(self) -> list[str]:
        self._started += 1
        return [word.replace("{id}", f"{NAME}-{self._started}") for word in self.words]

    def close(self) -> None:
        os.close(self._errors)


class Call:
    """A contender that is a function call in a Python that is already running: see caller.py."""

    def __init__(self, name: str, does: str, megabytes: int, threads: int):
        self.name, self.does, self._size = name, does, [str(megabytes), str(threads)]

    def open(self) -> None:
        self._python = subprocess.Popen(
            [sys.executable, "-I", f"{HERE}/caller.py", IMAGE, *self._size],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.run()
        with open(f"/proc/{self._python.pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        self.does += f" (a Python of {int(status['VmRSS'].split()[0]) >> 10} MB, threads: {status['Threads'].strip()})"

    def run(self, count: int = 1) -> tuple[float, list[str]]:
        """As :meth:`Program.run`; the time is that of the calls, measured inside."""
        self._python.stdin.write(f"{count}\n")
        self._python.stdin.flush()
        return tuple(json.loads(self._python.stdout.readline()))

    def close(self) -> None:
        self._python.stdin.close()
        self._python.wait()


STEPS = ("create", "start", "state", "kill", "delete")


class Steps:
    """A life by a process for each step, as an engine calls a runtime; *timed* are the steps that count."""

    def __init__(self, name: str, does: str, words: list[str], bundle: str, timed: tuple[str, ...] = STEPS):
        self.name, self.does, self.words, self._bundle, self._timed = name, does, words, bundle, timed
        self._started = 0

    def open(self) -> None:
        if not shutil.which(self.words[0]):
            raise Failed(f"there is no {self.words[0]} (make bench installs it)")
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # the container becomes our child when its creator has ended

    def run(self, count: int = 1) -> tuple[float, list[str]]:
        """As :meth:`Program.run`, for one container at a time."""
        self._started += 1
        id = f"{NAME}-{self.words[0].rpartition('/')[2]}-{len(self._timed)}-{self._timed[0]}-{self._started}"
        pid_file, seconds, errors = f"{self._bundle}/pid", 0.0, []
        more = {"create": ["--bundle", self._bundle, "--pid-file", pid_file], "kill": [], "delete": []}
        for step in STEPS:
            words = [*self.words, step, *more.get(step, []), id, *(["KILL"] if step == "kill" else [])]
            begin = perf_counter()
            null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
            status = os.waitpid(os.posix_spawnp(words[0], words, os.environ, file_actions=null), 0)[1]
            seconds += (perf_counter() - begin) * (step in self._timed)
            errors += [f"{step}: exit status {os.waitstatus_to_exitcode(status)}"] if status else []
            if step == "kill" and not status:
                with open(pid_file) as file:
                    os.waitpid(int(file.read()), 0)
        return seconds, errors

    def close(self) -> None:
        pass


def steps(world: World) -> list[Steps]:
    """The five steps, and two of them alone: state and kill, which do the least."""
    found = []
    binaries = {"minict-oci": f"{os.path.dirname(sys.executable)}/minict-oci", "runc": "runc", "crun": "crun"}
    for name, binary in binaries.items():
        config = world.same_config()
        bundle = world.bundle(f"{name}-steps", config)
        config["process"]["args"] = ["sleep", "1000"]
        with open(f"{bundle}/config.json", "w") as file:
            json.dump(config, file)
        words = [binary, "--root", world.path(f"{name}-steps-state")]
        found.append(Steps(f"{name}, five steps", "create, start, state, kill, delete: five processes", words, bundle))
        found += [Steps(f"{name} {step}", "one process", words, bundle, (step,)) for step in ("state", "kill")]
    return found


def all_contenders(world: World, docker: list[str]) -> list:
    """All contenders, in the order of the table. *docker*: the command line of Docker, if it takes part."""
    minict = f"{os.path.dirname(sys.executable)}/minict"
    small, large = "minict.run, small", "minict.run, notebook"
    features = "6 namespaces, cgroups, overlay, masked paths, 14 capabilities, seccomp"
    return [
        Program("minict run", features, [minict, "run", "--rm", "--network", "none", IMAGE, "true"]),
        Program(
            "minict run, bridge", "the same, and veth, bridge, address, NAT", [minict, "run", "--rm", IMAGE, "true"]
        ),
        Call(small, features + ", output read", 0, 0),
        Call(large, "the same, through the zygote", 64, 12),
        *oci("runc", world),
        *oci("crun", world),
        Program(
            "bwrap",
            "6 namespaces, /proc and /dev; no cgroups, overlay, masked paths, seccomp",
            ["bwrap", "--unshare-all", "--bind", world.rootfs, "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"],
        ),
        Program(
            "unshare",
            "6 namespaces, chroot and /proc, nothing else",
            [
                "unshare",
                "--mount",
                "--pid",
                "--uts",
                "--ipc",
                "--net",
                "--cgroup",
                "--fork",
                "--mount-proc",
                f"--root={world.rootfs}",
                "/bin/true",
            ],
        ),
        *steps(world),
        *podman(world),
        *(
            [
                Program(
                    "docker run, bridge",
                    "the same, by a daemon that runs already",
                    [*docker, "run", "--rm", IMAGE, "true"],
                ),
                Program(
                    "docker run, minict",
                    "the same, with minict-oci as its runtime",
                    [*docker, "run", "--rm", "--runtime", "minict", IMAGE, "true"],
                ),
            ]
            if docker
            else []
        ),
        Program("python -IS", "no container: an interpreter that does nothing", [sys.executable, "-IS", "-c", "pass"]),
        Program("true", "no container: the command alone", [f"{world.rootfs}/bin/true"]),
    ]


def oci(runtime: str, world: World) -> list[Program]:
    """runc or crun, with its own default config.json and with the one that minict makes, which has the same features as
    minict's."""

    def run(bundle: str) -> list[str]:
        return [runtime, "--root", world.path(f"{runtime}-state"), "run", "--bundle", bundle, "{id}"]

    result = [Program(f"{runtime} run", "minict's own config.json; no overlay", run(world.path(f"{runtime}-same")))]
    if shutil.which(runtime):
        world.bundle(f"{runtime}-same", world.same_config())
        os.mkdir(world.path(f"{runtime}-made"))
        subprocess.run([runtime, "spec"], cwd=world.path(f"{runtime}-made"), check=True)
        with open(world.path(f"{runtime}-made/config.json")) as file:
            bundle = world.bundle(f"{runtime}-own", json.load(file))
        does = f"what '{runtime} spec' writes: no seccomp, 3 capabilities; no overlay"
        result.append(Program(f"{runtime} run, plain", does, run(bundle)))
    return result


def podman_words(world: World) -> list[str]:
    """The command line of podman, with its storage in memory too."""
    return [
        "podman",
        "--root",
        world.path("podman"),
        "--runroot",
        world.path("podman-run"),
        "--tmpdir",
        world.path("podman-tmp"),
        "--cgroup-manager",
        "cgroupfs",
        "--events-backend",
        "none",
    ]


def podman(world: World) -> list[Program]:
    """Podman with its defaults. The limits are for machines that may not raise them."""
    common = podman_words(world)
    if shutil.which("podman"):
        subprocess.run([*common, "import", world.archive, IMAGE], check=True, capture_output=True)
    run = [
        *common,
        "run",
        "--rm",
        "--cgroup-parent",
        f"/{NAME}",
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1024:1024",
    ]
    does = "an engine's work: image store, conmon, crun or runc"
    return [
        Program("podman run", does, [*run, "--network", "none", IMAGE, "true"]),
        Program(
            "podman run, minict",
            "the same, with minict-oci as its runtime",
            [
                *run[:1],
                "--runtime",
                f"{os.path.dirname(sys.executable)}/minict-oci",
                *run[1:],
                "--network",
                "none",
                IMAGE,
                "true",
            ],
        ),
        Program(
            "podman run, runc",
            "the same, with runc",
            [*run[:1], "--runtime", "/usr/sbin/runc", *run[1:], "--network", "none", IMAGE, "true"],
        ),
        Program("podman run, bridge", "the same, and its default network", [*run, IMAGE, "true"]),
    ]
