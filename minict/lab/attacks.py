"""The known ways out of a container, as one program: ``attacks.c``, compiled when it is first needed.

::

    program = attacks.program()                                   # a file without libraries: it runs in any root
    attacks.names()                                               # ['mount_tmpfs', 'umount_proc', …]
    minict.run("tiny", ["/attacks", "mount_tmpfs"], volume=[f"{program}:/attacks:ro"])     # EPERM, or "worked"

Each attack is written so that it does no harm where it works: see the top of ``attacks.c``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess

SOURCE = f"{os.path.dirname(os.path.abspath(__file__))}/attacks.c"


def program(directory: str | None = None) -> str:
    """The path of the compiled program, in *directory*, or in ~/.cache/minict until its source changes.

    Raises :class:`FileNotFoundError` without a compiler, :class:`subprocess.CalledProcessError` when it fails.
    """
    with open(SOURCE, "rb") as file:
        name = f"attacks-{hashlib.sha256(file.read()).hexdigest()[:12]}"
    directory = directory or os.path.expanduser("~/.cache/minict")
    path = f"{directory}/{name}"
    if not os.path.exists(path):
        if not shutil.which("gcc"):
            raise FileNotFoundError("there is no C compiler: apt install gcc libc6-dev")
        os.makedirs(directory, exist_ok=True)
        unfinished = f"{path}.{os.getpid()}"
        subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-static", "-o", unfinished, SOURCE], check=True, timeout=300)
        os.replace(unfinished, path)
    return path


def names() -> list[str]:
    """The names of the attacks that are single system calls."""
    return subprocess.run([program()], capture_output=True, text=True, check=True).stdout.split()
