"""Commands about this machine as a whole."""

from __future__ import annotations

from minict.engine.cli.parser import Command, Option, table


def doctor(fields: dict, arguments: list[str]) -> int:
    from minict.engine.system import doctor

    return doctor.main()


def lab(fields: dict, arguments: list[str]) -> None:
    """Become ``python -m minict.lab``: the engine needs nothing of the lab, and works where JupyterLab is not
    installed."""
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
    # one program is both: there is no daemon
    facts = {
        "Version": minict.__version__,
        "PythonVersion": python,
        "Os": "linux",
        "Arch": system.machine,
        "KernelVersion": system.release,
    }
    show({"Client": facts, "Server": facts}, fields["format"])


def show(facts: dict, format: str) -> None:
    """Print *facts* as ``--format`` says: json, or a template."""
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
            "--filter until and --volumes: a volume's age says nothing about its use; leave one of the two out"
        )
    doomed = [
        "all containers that do not run",
        "all networks that no container has",
        f"{UNUSED_IMAGES}, and the build cache" if whole else NAMELESS_IMAGES,
    ]
    doomed += ["all volumes without a name that no container has"] * volumes
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

    if not fields.get("force") and not agreed(["all containers that do not run"]):
        return
    before = df.total()
    report("Containers", prune_unused.prune_containers(fields.get("filter", ())))
    print(f"Total reclaimed space: {table.size(max(0, before - df.total()))}")


def agreed(doomed: list[str]) -> bool:
    """Ask the person whether to remove what is named.  Who is not there to be asked has to say -f."""
    print("This removes\n" + "".join(f"  - {words}\n" for words in doomed) + "Are you sure? [y/N] ", end="", flush=True)
    import sys

    answer = sys.stdin.readline() if sys.stdin else ""
    if not answer.endswith("\n"):
        print()
    if answer.strip().lower() in ("y", "yes"):
        return True
    print("nothing was removed; -f does not ask")
    return False


def report(kind: str, removed: list[str]) -> None:
    if removed:
        print(f"Deleted {kind}:", *removed, "", sep="\n")


FORMAT = Option("-f --format", "json, or a template", "TEMPLATE")
FORCE = Option("-f --force", "do not ask")
PRUNE_FILTER = Option(
    "--filter", "only those that match: label=KEY[=VALUE], label!=KEY, until=TIME", "KEY=VALUE", many=True
)
UNUSED_IMAGES, NAMELESS_IMAGES = "all images that no container has", "all images without a name that no container has"

COMMANDS = table(
    Command(
        "doctor",
        "",
        "Say what this machine can do for containers, and what to do about what it can't.",
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
        [Option("--reset", "make your copy of a chapter anew, and keep the old one beside it", "CHAPTER")],
    ),
    Command("prune", "", "Give back to the host what containers hold whose makers are gone.", "minict prune", prune),
    Command(
        "version",
        "[OPTION…]",
        "Say which version this is.",
        "minict version --format '{{.Server.Version}}'",
        version,
        [FORMAT],
        needs_root=False,
    ),
    Command("info", "[OPTION…]", "Say what this machine is, and what minict has on it.", "minict info", info, [FORMAT]),
    Command(
        "system df",
        "[OPTION…]",
        "Show how much of the disk images, containers and volumes take.",
        "minict system df -v",
        disk,
        [Option("-v --verbose", "each of them"), Option("--format", "json, or a template", "TEMPLATE")],
    ),
    Command(
        "system prune",
        "[OPTION…]",
        "Remove what nobody uses: containers that do not run, networks, images.",
        "minict system prune -f",
        prune_all,
        [
            Option("-a --all", "all images that no container has, named or not"),
            Option("--volumes", "volumes without a name, too"),
            FORCE,
            PRUNE_FILTER,
        ],
    ),
    Command(
        "container prune",
        "[OPTION…]",
        "Remove all containers that do not run.",
        "minict container prune -f",
        prune_containers,
        [FORCE, PRUNE_FILTER],
    ),
)
