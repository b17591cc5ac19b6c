"""Wait for a state that the kernel does not announce."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 10.0  # seconds for the kernel to freeze or end processes: it takes milliseconds, unless a device hangs


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Poll, less and less often, until *condition* holds; return whether it did in time. Source: nanosleep(2)."""
    deadline, pause = time.monotonic() + seconds, 0.0005
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True
