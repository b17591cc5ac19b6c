"""``minict run``."""
from __future__ import annotations

from ..options import Command, Option, table


def run(fields: dict, arguments: list[str]) -> int:
    import gc
    gc.disable()  # to look for garbage in modules that are just being loaded takes 1 ms, and finds none
    from ..foreground import run_attached
    from ..settings import Settings
    trace = fields.pop("trace", False)
    image, *command = arguments
    return run_attached(image, command, Settings(**fields), trace=trace)


# What `run` and `create` take alike: the fields of minict.engine.settings.Settings.
SETTINGS = [
    Option("-i --interactive", "the command reads our standard input"),
    Option("-t --tty", "the container gets a terminal, joined to ours"),
    Option("--name", "give the container a name", "NAME"),
    Option("-h --hostname", "its host name (else its id)", "NAME"),
    Option("-m --memory", "limit of memory, such as 128m", "BYTES"),
    Option("--cpus", "limit of processors, such as 0.5", "NUMBER"),
    Option("--pids-limit", "limit of processes; 0 for none", "NUMBER"),
    Option("-v --volume", "a directory of the host inside: SRC:DST[:ro]", "SRC:DST", many=True),
    Option("-e --env", "a variable: NAME=VALUE, or NAME for our own", "NAME=VALUE", many=True),
    Option("-w --workdir", "where the command begins", "DIRECTORY"),
    Option("-u --user", "who it runs as: UID or NAME, and :GID", "USER[:GROUP]"),
    Option("--entrypoint", "run this instead of the image's entry point", "COMMAND"),
    Option("--network", "bridge (the default), none or host", "MODE"),
    Option("--uts", "whose host name: private (the default), host or container:NAME", "MODE"),
    Option("--read-only", "the root file system can't be written to"),
    Option("--cap-add", "give it a capability, or ALL", "NAME", many=True),
    Option("--cap-drop", "take a capability from it, or ALL", "NAME", many=True),
    Option("--init", "a tiny init as process 1, which reaps and hands on signals"),
    Option("--rm", "remove it at its end"),
]

COMMANDS = table(
    Command("run", "[OPTION…] IMAGE [COMMAND [ARGUMENT…]]", "Run a command in a new container of an image.",
            "minict run -it --rm --memory 128m tiny sh", run,
            [*SETTINGS, Option("--trace", "show the steps of its birth, with their times")], (1, None), words_follow=True),
)
