"""Run tests in two halves side by side, on two processors: ``side_by_side.py LIST TEST… -- COMMAND…``.

Each half is the arguments of its own COMMAND.  The output of the first one is streamed, that of the second one is shown
when both have ended.  The exit status is the first one that is not 0.  Both commands end with this process, however it
ends.

LIST is a file with a line for each test or pattern of tests: the seconds that it takes, and its name.  What pytest
measured in earlier runs on this machine counts more, and is kept in the cache.  A test that neither knows takes as long
as their median.  A folder stands for the files of tests in it.  With an option among the tests, such as ``-k``,
they are not split.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter


def measured() -> str:
    """Return the path of the list of what tests took here: in the cache that the tests' virtual machines have too."""
    cache = os.environ.get("MINICT_VM_CACHE") or os.path.expanduser("~/.cache/minict")
    return os.path.join(cache, "test-seconds.txt")


def keep(found: dict[str, float]) -> None:
    """Add what was *found* to the list of :func:`measured`.  Another process may do so at the same time."""
    if found:
        os.makedirs(os.path.dirname(measured()), exist_ok=True)
        with open(f"{measured()}.{os.getpid()}", "w", encoding="utf-8") as file:
            file.writelines(f"{seconds} {name}\n" for name, seconds in {**read_list(measured()), **found}.items())
        os.replace(file.name, measured())


def read_list(path: str) -> dict[str, float]:
    """Read the patterns of the list at *path* and their seconds, in their order; a list that is missing is empty."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        lines = [line.split("#")[0].split() for line in file]
    return {name: float(seconds) for seconds, name in filter(None, lines)}


def files(test: str) -> list[str]:
    """Find the files of tests that *test*, a file, a folder, a pattern or a node id, stands for."""
    if not os.path.isdir(test):
        return sorted(glob.glob(test)) or [test]
    names = [f"{folder}/{name}" for folder, _, names in os.walk(test) for name in names]
    return sorted(name for name in names if is_test(os.path.basename(name)) and ".ipynb_checkpoints" not in name)


def is_test(name: str) -> bool:
    return name.endswith(".ipynb") or (name.startswith("test_") and name.endswith(".py"))


def weight(test: str, weights: dict[str, float]) -> float:
    """Return how many seconds *test* takes: its own, or else those of the first pattern that fits it or its file."""
    names = (test, test.partition("::")[0])
    patterns = [*filter(weights.__contains__, names), *weights]
    fitting = (pattern for pattern in patterns if any(fnmatch.fnmatchcase(name, pattern) for name in names))
    return next((weights[pattern] for pattern in fitting), statistics.median(weights.values()))


def halves(tests: list[str], weights: dict[str, float]) -> tuple[list[str], list[str]]:
    """Split *tests*: the longest first, each to the half that has less to do.  Each half keeps their order."""
    sums, sides = [0.0, 0.0], {}
    for test in sorted(tests, key=lambda test: -weight(test, weights)):
        sides[test] = side = sums.index(min(sums))
        sums[side] += weight(test, weights)
    return [test for test in tests if sides[test] == 0], [test for test in tests if sides[test] == 1]


def run(command: list[str], tests: tuple[list[str], list[str]]) -> int:
    """Run *command* with each half of the *tests*; return the first exit status that is not 0."""
    command = ["setpriv", "--pdeathsig", "KILL", *command]
    if not tests[1]:
        return subprocess.call([*command, *tests[0]])
    began = time.monotonic()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as took1, tempfile.TemporaryFile() as took2:
        # files without a name: nothing is left of them, however this process ends
        lists = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (took1, took2)]
        environments = [{**os.environ, "MINICT_TEST_SECONDS": path} for path in lists]
        second = subprocess.Popen([*command, *tests[1]], env=environments[1], stdout=output, stderr=output)
        status = subprocess.call([*command, *tests[0]], env=environments[0])
        first_took = time.monotonic() - began
        status = second.wait() or status
        print(f"\n---- at the same time: {' '.join(tests[1])}", flush=True)
        output.seek(0)
        shutil.copyfileobj(output, sys.stdout.buffer)
        print(f"---- first half {first_took:.0f} s, both {time.monotonic() - began:.0f} s", flush=True)
        keep(Counter(read_list(lists[0])) + Counter(read_list(lists[1])))
    return status


def main(path: str, *words: str) -> int:
    end = words.index("--")
    tests, command = words[:end], list(words[end + 1 :])
    if any(test.startswith("-") for test in tests):
        return run(command, (list(tests), []))
    found = dict.fromkeys(file for test in tests for file in files(test))
    return run(command, halves(list(found), {**read_list(path), **read_list(measured())}))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
