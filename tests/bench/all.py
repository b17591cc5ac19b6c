"""Run all benchmarks, one after the other, and print all goals at the end: ``make bench``."""

from __future__ import annotations

import subprocess
import sys

MODULES = ("tests.bench", "tests.bench.engine", "tests.bench.pull", "tests.bench.ports", "tests.bench.rootless")


def main() -> None:
    goals, failed = [], []
    for module in MODULES:
        with subprocess.Popen([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                print(line, end="", flush=True)
                if line.rstrip().endswith(" reached"):  # and so does "not reached"
                    goals.append(line.rstrip())
        failed += [module] * bool(process.returncode)
        print(flush=True)
    print(f"All goals{'':<43}{'median':>8}")
    print("\n".join(goals))
    if failed:
        sys.exit(f"{', '.join(failed)} failed: see above")


main()
