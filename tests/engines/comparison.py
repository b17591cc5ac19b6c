"""A list of commands for an engine, run once with runc and once with minict-oci; what both print is compared.

A script is a text with one command a line, as a person types it after the engine's name. ``UPPERCASE`` words that the
engine defines are replaced. A line that begins with

=======  ===========================================================================================
``~``    is an error that the two runtimes word differently: only exit status and the engine's part count
``*``    is repeated until its exit status is 0: it waits for a state
``%``    is done, but not compared: what it prints differs from run to run
``$``    is a line for the shell, and not for the engine
=======  ===========================================================================================
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import threading
import time

PATIENCE = 60  # seconds for one command, and for a state to come
RUNTIMES = ("runc", "minict")

# What differs from run to run, or by the name of the runtime.
_MASKS = [
    (r"[0-9a-f]{64}", "ID"),
    (r"\b[0-9a-f]{12}\b", "ID12"),
    (r"\b[a-z0-9]{25}\b", "ID25"),  # Swarm's
    (r"\b[A-Z0-9]{26}\b", "LAYER"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^ \"]*", "TIME"),
    (r"\b\d\d:\d\d(:\d\d)?\b", "TIME"),
    (r"\b[0-9.]+(ms|µs|s)\b", "DURATION"),
    (r"(Less than a|[0-9]+|About a) (second|minute)s?( ago)?", "AGO"),
    (r"\S*/(runc|minict-oci)\b", "RUNTIME"),
    (r'^time="TIME" level=error msg="error waiting for container: context canceled"\n', ""),  # Docker says it or not
]
_WORDING = [(r"(RUNTIME|OCI runtime[a-z ]*): .*?(: (OCI|unknown|container) .*)?$", r"\1: …\3")]


def titles(script: str) -> list[str]:
    """The lines of a script that are compared."""
    return [line for line in lines(script) if line[0] != "%"]


def lines(script: str) -> list[str]:
    return [line.strip() for line in script.splitlines() if line.strip() and line.strip()[0] != "#"]


def masked(text: str, wording: bool) -> str:
    for pattern, word in _MASKS + (_WORDING if wording else []):
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text


class Undertaker(threading.Thread):
    """Waits for the orphans that this process inherits, as the machine's process 1 would: engines wait for their end.

    Children of our own process group are left to those who have started them.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.end = threading.Event()

    def run(self) -> None:
        while not self.end.wait(0.02):
            for pid in self.children():
                try:
                    if os.getpgid(pid) != os.getpgrp():
                        os.waitpid(pid, os.WNOHANG)
                except (ProcessLookupError, ChildProcessError):
                    pass

    @staticmethod
    def children() -> list[int]:
        found = []
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{task}/children") as file:
                found += map(int, file.read().split())  # unless the thread has just ended
        return found

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self.join()


class Session:
    """One run of a script: *engine* is how the engine is called, *words* are those that stand for others."""

    def __init__(self, engine: list[str], words: dict[str, str], environment: dict[str, str] | None = None) -> None:
        self.engine, self.words, self.environment = engine, words, {**os.environ, **(environment or {})}

    def call(self, line: str) -> tuple[int, str]:
        """One line; its exit status, and what it printed on both streams."""
        for name, value in self.words.items():
            line = line.replace(name, value)
        command = line.lstrip("~*% ")
        words = ["sh", "-c", command[1:]] if command[0] == "$" else [*self.engine, *shlex.split(command)]
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def run(self, script: str) -> dict[str, tuple[int, str]]:
        """The whole *script*: line -> (exit status, masked output)."""
        with Undertaker():
            return self._run(script)

    def _run(self, script: str) -> dict[str, tuple[int, str]]:
        found = {}
        for line in lines(script):
            begin = time.monotonic()
            status, text = self.call(line)
            end = begin + PATIENCE
            while line[0] == "*" and status and time.monotonic() < end:
                time.sleep(0.05)
                status, text = self.call(line)
            print(f"{time.monotonic() - begin:6.2f} s, {status:3}: {line}", flush=True)  # pytest -s shows it at once
            if line[0] != "%":
                assert line not in found, f"{line} occurs twice: no test would look at the first"
                found[line] = status, masked(text, line[0] == "~")
        return found
