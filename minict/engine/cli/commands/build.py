"""``minict build``, and its cache."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, table

from .run import SETTINGS
from .system import FORCE, NAMELESS_IMAGES, agreed, report


def build(fields: dict, arguments: list[str]) -> None:
    import os
    import sys

    from minict.engine.builder import builder
    from minict.engine.containers import env

    quiet = fields.get("quiet", False)
    args = {}
    for word in fields.get("build_arg", ()):
        name, given, value = word.partition("=")
        if given or name in os.environ:
            args[name] = value if given else os.environ[name]
    sys.stdout.flush()
    null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    image = builder.build(
        arguments[0],
        file=fields.get("file"),
        tag=fields.get("tag", ()),
        args=args,
        labels=env.pairs(fields.get("label", ()), "--label"),
        target=fields.get("target"),
        use_cache=not fields.get("no_cache"),
        pull=fields.get("pull", False),
        settings={name: fields[name] for name in _OF_RUN if name in fields},
        say=(lambda line: None) if quiet else (lambda line: print(line, flush=True)),
        output=null if quiet else 1,
    )
    if fields.get("iidfile"):
        with open(fields["iidfile"], "w") as file:
            file.write(f"sha256:{image.id}")
    print(f"sha256:{image.id}" if quiet else f"built {image.id[:12]}{''.join(f', {name}' for name in image.names)}")


def prune(fields: dict, arguments: list[str]) -> None:
    from minict.engine.images import buildcache
    from minict.engine.images.image import remove_unused

    if fields.get("force") or agreed(["what the build cache remembers", NAMELESS_IMAGES]):
        print(f"forgot {buildcache.forget()} steps")
        report("Images", remove_unused())


# What the containers of RUN steps may be given, as those of `run`.
_OF_RUN = (
    "memory",
    "memory_swap",
    "cpu_shares",
    "cpu_quota",
    "cpu_period",
    "cpuset_cpus",
    "cpuset_mems",
    "ulimit",
    "shm_size",
    "cgroup_parent",
    "network",
    "add_host",
    "security_opt",
)

COMMANDS = table(
    Command(
        "build",
        "[OPTION…] DIRECTORY|-",
        "Make an image by the recipe in a Dockerfile.  With - that is the standard input.",
        "minict build -t my-app .",
        build,
        [
            Option("-t --tag", "a name for the image", "NAME[:TAG]", many=True),
            Option("-f --file", "the recipe (DIRECTORY/Dockerfile); - is standard input", "FILE"),
            Option("--build-arg", "the value of an ARG, or NAME for our own variable", "NAME=VALUE", many=True),
            Option("--target", "the stage to end with", "NAME"),
            Option("--label", "a label of the image", "NAME=VALUE", many=True),
            Option("--no-cache", "do each step anew"),
            Option("--pull", "fetch base images anew"),
            Option("--iidfile", "write the image's id into this file", "FILE"),
            Option("--force-rm --rm", "leave no container of a RUN step behind, as ever"),
            Option("-q --quiet", "print only the id"),
            *(option for option in SETTINGS if option.field in _OF_RUN),
        ],
        (1, 1),
    ),
    Command(
        "builder prune",
        "[OPTION…]",
        "Forget what the build cache remembers, and remove images without a name.",
        "minict builder prune -f",
        prune,
        [FORCE],
    ),
)
