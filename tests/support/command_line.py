"""The command ``minict`` as a user types it, and helpers for all tests about containers."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

import pytest

from minict.runtime import paths, terminal

MINICT = [sys.executable, "-m", "minict"]
PATIENCE = 120  # seconds after which a wait has failed, even on a busy emulated processor


@pytest.fixture(scope="session")
def image(tiny) -> str:
    """The default image, after its first container has filled the caches that all later ones use, such as the seccomp
    filter."""
    assert run(tiny, "true").returncode == 0
    return tiny


@pytest.fixture
def bridge():
    """For tests with ``--network bridge``: afterwards the bridge and its rules are removed, because they did not exist
    before."""
    yield
    assert minict("prune").returncode == 0


def minict_as_nobody(*words: str) -> subprocess.CompletedProcess:
    """Run ``minict WORDS…`` as a user without any rights.

    In a fork of this process, because the user "nobody" may be unable to execute a Python, or to read a checkout, in
    root's home.
    """
    from minict.engine.cli import main

    import_everything()  # read while we can
    streams = [os.memfd_create(name) for name in ("stdout", "stderr")]
    pid = os.fork()
    if pid == 0:
        try:
            for number, fd in enumerate(streams, 1):
                os.dup2(fd, number)
            sys.stdout = open(1, "w", closefd=False)
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            main.main(list(words))
        finally:
            os._exit(99)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    told = []
    for fd in streams:
        os.lseek(fd, 0, os.SEEK_SET)
        with open(fd, encoding="utf-8") as file:
            told.append(file.read())
    return subprocess.CompletedProcess(words, status, *told)


def import_everything() -> None:
    """Import all of minict except the lab, for a fork that then need not or cannot do it."""
    import importlib
    import pkgutil

    import minict.engine
    import minict.kernel
    import minict.runtime

    for package in (minict.kernel, minict.runtime, minict.engine):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def minict(*words: str, **options) -> subprocess.CompletedProcess:
    """Run ``minict WORDS…`` and wait for its end; output and error are text."""
    return subprocess.run([*MINICT, *words], **{"capture_output": True, "text": True, "timeout": PATIENCE, **options})


def run(
    image: str, *command: str, flags: list[str] = (), network: str = "none", **options
) -> subprocess.CompletedProcess:
    """Run ``minict run``: *flags* before the image, *command* after it."""
    return minict("run", "--rm", "--network", network, *flags, image, *command, **options)


def output(image: str, script: str, *flags: str, **options) -> str:
    """The output of the shell *script* in a container. It must succeed, and write nothing to standard error."""
    done = run(image, "sh", "-c", script, flags=list(flags), **options)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.strip()


def begin(*words: str, **options) -> subprocess.Popen:
    """Start ``minict WORDS…`` without waiting for its end."""
    return subprocess.Popen(
        [*MINICT, *words], **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    )


def wait_until(true, seconds: float = PATIENCE) -> None:
    """Wait until *true()* returns true. Raises AssertionError when that takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def comes_to_rest(look, seconds: float = 1.0) -> None:
    """Wait until *look()* has returned the same value for this long, so that nothing is under way any more."""
    seen, since = look(), time.monotonic()

    def rests() -> bool:
        nonlocal seen, since
        before, seen = seen, look()
        if seen != before:
            since = time.monotonic()
        return time.monotonic() - since > seconds

    wait_until(rests)


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal.  Source: SigCgt in proc_pid_status(5)."""
    with open(f"/proc/{pid}/status") as file:
        mask = next(line.split()[1] for line in file if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> number - 1 & 1)


def refused(done: subprocess.CompletedProcess, *words: str, status: int | None = None) -> None:
    """Check that *done* ended with *status* and one sentence that contains all *words*, and that it wrote nothing else.

    *status*: by default 125 for ``run`` and 1 for every other command, as Docker's.
    """
    assert done.returncode == ((125 if "run" in done.args else 1) if status is None else status), done
    assert done.stdout == "" and done.stderr.startswith("minict: ") and done.stderr.count("\n") == 1, done.stderr
    assert not [word for word in ("Traceback", "internal error", "Error:") if word in done.stderr], done.stderr
    assert not [word for word in words if word not in done.stderr], done.stderr


def containers() -> list[str]:
    """The ids of all containers that have a state directory or files."""
    holders = (f"{paths.run_root()}/containers", f"{paths.data_root()}/containers")
    return sorted({id for holder in holders if os.path.isdir(holder) for id in os.listdir(holder)})


class Terminal:
    """A terminal of *rows* by *columns* in which a user has typed ``minict WORDS…`` or another *command*."""

    def __init__(self, *words: str, rows: int = 30, columns: int = 100, command: list[str] = MINICT):
        self.keyboard, self.slave = pty.openpty()
        terminal.set_size(self.slave, rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = ""
        slave = self.slave

        def take_terminal():
            terminal.attach(os.dup(slave))
            # a shell that has put the tests into the background had it ignored
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        self.process = subprocess.Popen(
            [*command, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_terminal,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.slave)
        os.close(self.keyboard)

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    def expect(self, text: str, seconds: float = PATIENCE) -> str:
        """Wait until *text* is on the screen; return the output since the last call, up to and including *text*."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            ready = select.select([self.keyboard], [], [], max(0, end - time.monotonic()))[0]
            assert ready, f"{text!r} never came, but {self.seen!r}"
            self.seen += os.read(self.keyboard, 65536).decode(errors="replace")
        found, _, self.seen = self.seen.partition(text)
        return found + text

    def resize(self, rows: int, columns: int) -> None:
        terminal.set_size(self.keyboard, rows, columns)  # the kernel tells the foreground process by SIGWINCH

    def status(self) -> int:
        """The command's exit status. The terminal must be in the same state as before."""
        self._drain()
        assert termios.tcgetattr(self.slave) == self.before, "the terminal was not restored"
        return self.process.returncode

    def _drain(self) -> None:
        """Wait for the end, and keep reading meanwhile: a terminal without a reader blocks its writers."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, f"the command does not end; on the screen: {self.seen!r}"
            if select.select([self.keyboard], [], [], 0.02)[0]:
                self.seen += os.read(self.keyboard, 65536).decode(errors="replace")


def interrupted(process: subprocess.Popen, number: int = signal.SIGTERM) -> int:
    """Send *process* the signal *number*, and wait for its exit status."""
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    return process.returncode
