"""A Python that is already running and calls ``minict.run``, as a notebook does.

``caller.py IMAGE MEGABYTES THREADS`` first grows to that size. Then, for each line of its input, a number N, it runs N
containers at once, and answers with a line: the seconds that this took, and the errors.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import minict

image, megabytes, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def run(_=None) -> str:
    """Run one container; return its error, or an empty string."""
    try:
        finished = minict.run(image, ["true"], network="none")
        return f"exit status {finished.status}: {finished.output}" if finished.status else ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def run_many(count: int) -> list[str]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


ballast = b"x" * (megabytes << 20)
for _ in range(threads):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
for line in sys.stdin:
    begin = perf_counter()
    errors = [run()] if int(line) == 1 else run_many(int(line))
    print(json.dumps([perf_counter() - begin, [error for error in errors if error]]), flush=True)
