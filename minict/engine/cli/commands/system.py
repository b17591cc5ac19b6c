"""Commands for the machine as a whole: doctor, info, prune, df."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, by_name


def doctor(fields: dict, arguments: list[str]) -> int:
    from minict.engine.system import doctor

    return doctor.main()


def lab(fields: dict, arguments: list[str]) -> None:
    """Execute ``python -m minict.lab``: the engine does not import the lab, and works where JupyterLab is missing."""
    import os
    import sys

    sys.stdout.flush()
    words = ["--reset", fields["reset"]] if "reset" in fields else []
    os.execv(sys.executable, [sys.executable, "-m", "minict.lab", *words])


def prune(fields: dict, arguments: list[str]) -> None:
    from minict.engine.system.prune import prune

    for line in prune():
        print(f"removed {line}")


def version(fields: dict, arguments: list[str]) -> None:
    import os
    import sys

    import minict

    python, system = sys.version.split()[0], os.uname()
    if "format" not in fields:
        print(f"minict {minict.__version__}, Python {python}, Linux {system.release}")
        return
    # client and server are one program: there is no daemon
    facts = {
        "Version": minict.__version__,
        "PythonVersion": python,
        "Os": "linux",
        "Arch": system.machine,
        "KernelVersion": system.release,
    }
    show({"Client": facts, "Server": facts}, fields["format"])


def show(facts: dict, format: str) -> None:
    """Print *facts* as ``--format`` says: JSON, or a template."""
    from minict.engine.util.gotemplate import Template

    print(Template("{{json .}}" if format == "json" else format).render(facts))


def info(fields: dict, arguments: list[str]) -> None:
    from minict.engine.system import info

    facts = info.info()
    if "format" in fields:
        show(facts, fields["format"])
    else:
        print(info.text(facts), end="")


def disk(fields: dict, arguments: list[str]) -> None:
    from minict.engine.system import df
    from minict.engine.util import table

    parts = df.parts()
    if not fields.get("verbose"):
        print(table.show([part.summary for part in parts], df.SUMMARY, list(df.SUMMARY), fields.get("format")), end="")
        return
    for part in parts:
        print(f"{part.name} space usage:\n\n{table.show(part.rows, part.columns, list(part.columns))}")


def prune_all(fields: dict, arguments: list[str]) -> None:
    from minict.engine.images import listing
    from minict.engine.images.prune import remove_unused
    from minict.engine.system import df, prune, prune_unused
    from minict.engine.util import filters, table
    from minict.runtime.errors import ContainerError

    whole, volumes, texts = fields.get("all", False), fields.get("volumes", False), fields.get("filter", ())
    given, wanted = filters.parse(texts, filters.PRUNE), listing.wanted(texts)
    if volumes and "until" in given:
        raise ContainerError(
            "--filter until cannot be combined with --volumes: the age of a volume does not show whether it is used"
        )
    doomed = [
        "all stopped containers",
        "all networks not used by at least one container",
        f"{UNUSED_IMAGES}, and the build cache" if whole else NAMELESS_IMAGES,
    ]
    doomed += ["all anonymous volumes not used by at least one container"] * volumes
    if not fields.get("force") and not agreed(doomed):
        return
    before = df.total()
    report("Containers", prune_unused.prune_containers(texts))
    report("Networks", prune_unused.prune_networks(given))
    report("Images", remove_unused(whole, wanted))
    if volumes:
        report("Volumes", prune_unused.prune_volumes(given))
    for line in prune.prune():
        print(f"removed {line}")
    print(f"Total reclaimed space: {table.size(max(0, before - df.total()))}")


def prune_containers(fields: dict, arguments: list[str]) -> None:
    from minict.engine.system import df, prune_unused
    from minict.engine.util import table

    if not fields.get("force") and not agreed(["all stopped containers"]):
        return
    before = df.total()
    report("Containers", prune_unused.prune_containers(fields.get("filter", ())))
    print(f"Total reclaimed space: {table.size(max(0, before - df.total()))}")


def agreed(doomed: list[str]) -> bool:
    """Ask whether to remove what *doomed* lists; without a terminal the answer is no, and -f is needed."""
    print(
        "WARNING! This will remove:\n" + "".join(f"  - {words}\n" for words in doomed) + "Are you sure? [y/N] ",
        end="",
        flush=True,
    )
    import sys

    answer = sys.stdin.readline() if sys.stdin else ""
    if not answer.endswith("\n"):
        print()
    if answer.strip().lower() in ("y", "yes"):
        return True
    print("nothing was removed; use -f to remove without a prompt")
    return False


def report(kind: str, removed: list[str]) -> None:
    if removed:
        print(f"Deleted {kind}:", *removed, "", sep="\n")


FORMAT = Option("-f --format", "Format output: json, or a template", "TEMPLATE")
FORCE = Option("-f --force", "Do not prompt for confirmation")
PRUNE_FILTER = Option("--filter", "Filter: label=KEY[=VALUE], label!=KEY, until=TIME", "KEY=VALUE", many=True)
UNUSED_IMAGES, NAMELESS_IMAGES = "all images without at least one container associated to them", "all dangling images"

COMMANDS = by_name(
    Command(
        "doctor",
        "",
        "Check whether this machine can run containers, and say what to do where it cannot.",
        "minict doctor",
        doctor,
        needs_root=False,
    ),
    Command(
        "lab",
        "[OPTION…]",
        "Open the course in the browser.",
        "minict lab --reset 02",
        lab,
        [Option("--reset", "Start a chapter afresh, and keep the old copy beside it", "CHAPTER")],
        needs_root=False,  # an ordinary user's server stays outside of the namespaces, in which its kernels are
    ),
    Command("prune", "", "Release resources left by crashed containers.", "minict prune", prune),
    Command(
        "version",
        "[OPTION…]",
        "Show the version.",
        "minict version --format '{{.Server.Version}}'",
        version,
        [FORMAT],
        needs_root=False,
    ),
    Command("info", "[OPTION…]", "Display system-wide information.", "minict info", info, [FORMAT]),
    Command(
        "system df",
        "[OPTION…]",
        "Show disk usage.",
        "minict system df -v",
        disk,
        [
            Option("-v --verbose", "Show detailed information on space usage"),
            Option("--format", "Format output: json, or a template", "TEMPLATE"),
        ],
    ),
    Command(
        "system prune",
        "[OPTION…]",
        "Remove unused data: stopped containers, networks, images.",
        "minict system prune -f",
        prune_all,
        [
            Option("-a --all", "Remove all unused images, not just dangling ones"),
            Option("--volumes", "Prune anonymous volumes"),
            FORCE,
            PRUNE_FILTER,
        ],
    ),
    Command(
        "container prune",
        "[OPTION…]",
        "Remove all stopped containers.",
        "minict container prune -f",
        prune_containers,
        [FORCE, PRUNE_FILTER],
    ),
)
