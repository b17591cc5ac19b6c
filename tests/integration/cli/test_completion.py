"""The Tab key, pressed in real shells."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time

import pytest

from tests.support.command_line import PATIENCE, minict, refused
from tests.support.paths import ROOT

START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
PREPARE = {
    "bash": "PS1='> '; bind 'set bell-style none'; bind 'set page-completions off'; source <(minict completion bash)",
    "zsh": "PS1='> '; unsetopt beep; autoload -U compinit; compinit -D -u; zstyle ':completion:*' insert-tab false; "
    'eval "$(minict completion zsh)"',
}


@pytest.fixture
def programs(tmp_path) -> dict:
    """An environment with minict and mini-docker on the path."""
    for name in ("minict", "mini-docker"):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m minict \"$@\"\n")
        file.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": ROOT,
        "TERM": "dumb",
        "HOME": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class Shell:
    """A shell at a terminal."""

    def __init__(self, name: str, environment: dict):
        if not shutil.which(name):
            pytest.fail(f"{name} is not installed: apt-get install {name}")
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            START[name],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            cwd=environment["HOME"],
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""
        self.type(PREPARE[name] + "; echo rea''dy\n")
        self.expect("ready")
        self.expect("> ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, text: str, seconds: float = PATIENCE) -> str:
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert select.select([self.master], [], [], max(0, end - time.monotonic()))[0], (
                f"no {text!r}, but {self.seen!r}"
            )
            self.seen += os.read(self.master, 65536).decode(errors="replace")
        found, _, self.seen = self.seen.partition(text)
        return found + text

    def completed(self, line: str, *, keys: str = "\t") -> str:
        """What *line* becomes when the key is pressed at its end: it is made the argument of an echo, which shows
        it."""
        # to the beginning: the quote makes the line a word of its own
        self.type(f"\x15{line}{keys}\x01echo '[\x05]'\n")
        return self.expect("]\r\n").rpartition("[")[2].removesuffix("]\r\n").rstrip(" ")


TYPED = {
    "minict doct": "minict doctor",
    "minict image from": "minict image from-host",
    "minict run --memory-res": "minict run --memory-reservation",
    "minict run -it ti": "minict run -it tiny",
    "minict run -m 64m -e A=b --rm ti": "minict run -m 64m -e A=b --rm tiny",
    "minict container ru": "minict container run",
    "minict run --pull al": "minict run --pull always",
    "minict completion ba": "minict completion bash",
    "mini-docker vers": "mini-docker version",
}


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_the_key_completes(name, programs, tiny):
    with Shell(name, programs) as shell:
        assert {typed: shell.completed(typed) for typed in TYPED} == TYPED


def test_bash_completes_behind_a_colon_and_an_equals_sign(programs, tiny):
    subprocess.run(
        [sys.executable, "-m", "minict", "image", "from-host", "tiny:one-two", "true"], check=True, capture_output=True
    )
    try:
        with Shell("bash", programs) as shell:
            assert shell.completed("minict run tiny:on") == "minict run tiny:one-two"
            assert shell.completed("minict run tiny:") == "minict run tiny:one-two"
            assert shell.completed("minict run --name=a:b -m64m --memory-swap=1g -it tiny:one") == (
                "minict run --name=a:b -m64m --memory-swap=1g -it tiny:one-two"
            )
    finally:
        assert minict("image", "rm", "tiny:one-two").returncode == 0


def test_the_names_of_containers_are_known(programs, tiny):
    assert minict("create", "--name", "completed-box", "--network", "none", tiny).returncode == 0
    try:
        for name in ("bash", "zsh"):
            with Shell(name, programs) as shell:
                assert shell.completed("minict rm -f compl") == "minict rm -f completed-box"
                assert shell.completed("minict inspect compl") == "minict inspect completed-box"
                assert shell.completed("minict container inspect compl") == "minict container inspect completed-box"
    finally:
        assert minict("rm", "completed-box").returncode == 0


def test_fish_completes(programs, tiny):
    """fish itself lists the completions (complete -C)."""
    script = minict("completion", "fish").stdout

    def offered(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"{script}\ncomplete -C '{line}'"],
            env=programs,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done
        return [found.partition("\t")[0] for found in done.stdout.splitlines()]

    assert "doctor" in offered("minict ") and offered("minict doct") == ["doctor"]
    assert offered("minict run ti") == ["tiny"] and offered("mini-docker vers") == ["version"]
    assert offered("minict run --memory-res") == ["--memory-reservation"]


def test_an_unknown_shell_is_answered_with_the_known_ones():
    refused(minict("completion", "ksh"), "'ksh'", "bash, zsh, fish")


def test_an_unknown_kind_has_no_names():
    done = minict("__complete", "ksh", "minict ru")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
