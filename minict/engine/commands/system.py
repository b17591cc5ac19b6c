"""Commands about this machine as a whole."""
from __future__ import annotations

from ..options import Command, table


def doctor(fields: dict, arguments: list[str]) -> int:
    from .. import doctor
    return doctor.main()


def prune(fields: dict, arguments: list[str]) -> None:
    from ..prune import prune
    for line in prune():
        print(f"removed {line}")


def version(fields: dict, arguments: list[str]) -> None:
    import os
    import sys

    import minict
    print(f"minict {minict.__version__}, Python {sys.version.split()[0]}, Linux {os.uname().release}")


COMMANDS = table(
    Command("doctor", "", "Say what this machine can do for containers, and what to do about what it can't.",
            "minict doctor", doctor, needs_root=False),
    Command("prune", "", "Give back to the host what containers hold whose makers are gone.", "minict prune", prune),
    Command("version", "", "Say which version this is.", "minict version", version, needs_root=False),
)
