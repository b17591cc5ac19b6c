"""How to measure milliseconds on a machine that is also doing other work.

* Each contender runs once in each round: a busy minute then slows all of them, and the ratios stay. The order changes
  from round to round: the kernel cleans up after a container for some milliseconds, which slows the next contender.
* Wait for a calm moment before each sample, but not forever; count the samples for which there was none.
* Report medians, with the first quartile and the minimum beside them: a disturbance only ever makes a sample longer.
"""

from __future__ import annotations

import random
import statistics
import time


class Samples:
    """The seconds that one contender took, and what went wrong."""

    def __init__(self):
        self.seconds: list[float] = []
        self.errors: list[str] = []

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def quartile(self) -> float:
        return statistics.quantiles(self.seconds, n=4, method="inclusive")[0]

    @property
    def least(self) -> float:
        return min(self.seconds)


class Rounds:
    """Interleaved measurement; *restless* counts the samples for which there was no calm moment."""

    def __init__(self):
        self.samples = self.restless = 0

    def measure(self, contenders: list, rounds: int, count: int = 1) -> dict[str, Samples]:
        """Run each contender *rounds* times, *count* at once; the samples by its name."""
        result = {contender.name: Samples() for contender in contenders}
        for number in range(rounds):
            for contender in random.Random(number).sample(contenders, len(contenders)):
                self.samples += 1
                self.restless += not calm()
                seconds, errors = contender.run(count)
                result[contender.name].seconds.append(seconds)
                result[contender.name].errors += errors
        return result


def calm(patience: float = 0.3) -> bool:
    """Wait until, twice in a row, no other process wants a processor; False after *patience* seconds.

    It waits 40 ms in any case: the kernel takes a container's network namespace apart after its end, in the
    background.  Source: proc_loadavg(5), the fourth field.
    """
    end, quiet = time.monotonic() + patience, 0
    while quiet < 2:
        time.sleep(0.02)
        with open("/proc/loadavg") as file:
            running = int(file.read().split()[3].split("/")[0])
        quiet = quiet + 1 if running <= 1 else 0
        if time.monotonic() > end:
            return False
    return True
