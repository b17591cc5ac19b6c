"""Two hundred random operations by eight processes at once, after which everything is consistent.

The operations and the few names that they fight for are drawn from a seed.  Most of them fail, because another process
was faster; each must report that in a sentence, and none may leave anything incomplete behind.
"""

from __future__ import annotations

import random
import re
import subprocess
import threading
import time

import pytest

from minict.engine.images import image as images
from minict.lab import host
from tests.support.command_line import MINICT, PATIENCE, minict
from tests.support.invariants import contradictions
from tests.support.kill_at_step import bury

PROCESSES, OPERATIONS = 8, 200
CONTAINERS, VOLUMES = ["c1", "c2", "c3", "c4", "c5"], ["v1", "v2", "v3"]
NETWORKS, TAGS = ["n1", "n2"], ["t1", "t2", "t3"]


def operation(dice: random.Random, image: str) -> list[str]:
    """The words of one operation."""
    name, other = dice.sample(CONTAINERS, 2)
    volume, network, tag = dice.choice(VOLUMES), dice.choice(["none", "bridge", *NETWORKS]), dice.choice(TAGS)
    asleep = [image, "sleep", "1000"]
    choices = {
        6: [
            ["run", "--rm", "--network", network, "-v", f"{volume}:/data", image, "sh", "-c", "echo $$ >> /data/file"],
            ["run", "-d", "--name", name, "--network", network, *asleep],
            ["run", "-d", "--rm", "--name", name, "-v", f"{volume}:/data", "--network", network, *asleep],
        ],
        4: [["stop", "-t", "0", name], ["rm", "-f", name], ["start", name], ["kill", name], ["exec", name, "true"]],
        2: [
            ["create", "--name", name, "--network", network, *asleep],
            ["restart", "-t", "0", name],
            ["logs", name],
            ["rename", name, other],
            ["pause", name],
            ["unpause", name],
            ["commit", name, tag],
            ["rm", name],
            ["run", "-d", "--restart", "always", "--name", name, image, "sleep", "0.2"],
        ],
        1: [
            ["volume", "create", volume],
            ["volume", "rm", volume],
            ["network", "create", dice.choice(NETWORKS)],
            ["network", "rm", dice.choice(NETWORKS)],
            ["network", "connect", dice.choice(NETWORKS), name],
            ["network", "disconnect", dice.choice(NETWORKS), name],
            ["tag", image, tag],
            ["rmi", tag],
            ["prune"],
            ["ps", "-a"],
            ["run", "--rm", "--pull", "never", tag, "true"],
            ["inspect", name],
        ],
    }
    weights = [weight for weight, group in choices.items() for _ in group]
    return dice.choices([words for group in choices.values() for words in group], weights)[0]


def begin_all(seed: int, image: str, killed: bool) -> list[str]:
    """Let eight processes run their operations, one after the other; return what went wrong, a line each.

    *killed*: every fifth command is killed after a moment, and may leave something behind.
    """
    wrong, done = [], []

    def type_all(number: int) -> None:
        dice = random.Random(seed * 100 + number)
        for _ in range(OPERATIONS // PROCESSES // (1 + killed)):
            words = operation(dice, image)
            doomed = killed and dice.random() < 0.2
            command = subprocess.Popen(
                [*MINICT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
            )
            try:
                if doomed:
                    time.sleep(dice.random() * 0.4)
                    command.kill()
                _, error = command.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                command.kill()
                command.communicate()
                wrong.append(f"{' '.join(words)}: did not end")
                continue
            done.append(command.returncode == 0)
            if not doomed and (complaint := complain(words, command.returncode, error)):
                wrong.append(f"{' '.join(words)}: {complaint}")

    threads = [threading.Thread(target=type_all, args=[number]) for number in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong + ["most have failed: this does not test anything"] * (sum(done) < len(done) / 5)


def complain(words: list[str], status: int, error: str) -> str | None:
    """What is wrong with the end of a command, if anything: a failure must be reported in sentences, without other
    output."""
    if re.search("Traceback|internal error|Error:|Errno", error):
        return error.strip()
    if status < 0 or (status not in (0, 1) and status < 125):
        return f"exit status {status}: {error.strip()}"
    if status in (1, 125) and not error.startswith("minict: "):
        return f"exit status {status} without a message: {error.strip()!r}"
    return None


@pytest.mark.parametrize("seed, killed", [(1, False), (2, True)], ids=["undisturbed", "every fifth command killed"])
def test_two_hundred_operations_at_once(image, seed, killed):
    before, old = host.snapshot(), {each.id for each in images.images()}
    try:
        assert begin_all(seed, image, killed) == []
        if killed:
            minict("prune")
        time.sleep(0.5)  # what was killed is taken apart by the kernel
        assert contradictions() == []
        assert [
            each.names
            for each in images.images()
            if each.id not in old and minict("run", "--rm", "--network", "none", each.id, "true").returncode
        ] == []
    finally:
        clean_up()
    assert host.settle(before, PATIENCE, bury) == []
    assert minict("prune").stdout == ""


def clean_up() -> None:
    """Clean up with the commands that users have for it."""
    for _ in range(2):
        if ids := minict("ps", "-a", "-q").stdout.split():
            minict("rm", "-f", "-v", *ids)
    minict("prune")
    minict("network", "rm", *NETWORKS)
    minict("volume", "rm", *VOLUMES)
    minict("rmi", *TAGS)
    minict("prune")
