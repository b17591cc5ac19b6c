"""Commands about images."""

from __future__ import annotations

import sys

from minict.engine.cli.parser import Command, Option, by_name
from minict.runtime.errors import ContainerError

from .each import each
from .system import FORCE, NAMELESS_IMAGES, UNUSED_IMAGES, agreed, report


def images(fields: dict, arguments: list[str]) -> None:
    from minict.engine.images import listing
    from minict.engine.util.table import show

    rows = listing.rows(
        arguments[0] if arguments else None,
        filters=fields.get("filter", []),
        all=fields.get("all", False),
        whole_ids=fields.get("no_trunc", False),
    )
    if fields.get("quiet"):
        rows = list({row["ID"]: row for row in rows}.values())
    columns = ["Repository", "Tag", *["Digest"] * fields.get("digests", False), "ID", "CreatedSince", "Size"]
    print(show(rows, listing.HEADINGS, columns, fields.get("format"), "ID" if fields.get("quiet") else None), end="")


def history(fields: dict, arguments: list[str]) -> None:
    from minict.engine.images import listing
    from minict.engine.images.image import Image
    from minict.engine.util.table import show

    rows = listing.history_rows(
        Image.find(arguments[0]), human=fields.get("human", True), whole=fields.get("no_trunc", False)
    )
    print(
        show(
            rows,
            listing.HISTORY_HEADINGS,
            ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"],
            fields.get("format"),
            "ID" if fields.get("quiet") else None,
        ),
        end="",
    )


def tag(fields: dict, arguments: list[str]) -> None:
    from minict.engine.images import image

    image.tag(*arguments)


def from_host(fields: dict, arguments: list[str]) -> None:
    from minict.engine.images import importer

    name, *commands = arguments
    made = importer.from_host(name, commands)
    print(f"{name}: {made.id[:12]}")


def remove(fields: dict, arguments: list[str]) -> int:
    from minict.engine.images import image

    force = fields.get("force", False)
    return each(arguments, lambda name: "\n".join(image.remove(name, force)), missing_ok=force)


def prune(fields: dict, arguments: list[str]) -> None:
    from minict.engine.images import listing, prune, store
    from minict.engine.util.table import size

    everything, wanted = fields.get("all", False), listing.wanted(fields.get("filter", []))
    if not fields.get("force") and not agreed([UNUSED_IMAGES if everything else NAMELESS_IMAGES]):
        return
    before = store.size()
    report("Images", prune.remove_unused(everything, wanted))
    store.prune()
    print(f"Total reclaimed space: {size(max(0, before - store.size()))}")


def import_archive(fields: dict, arguments: list[str]) -> None:
    from minict.engine.images import importer

    source, *name = arguments
    made = importer.import_archive(
        source,
        name[0] if name else None,
        message=fields.get("message", f"Imported from {source}"),
        change=fields.get("change", []),
    )
    print(f"sha256:{made.id}")


def save(fields: dict, arguments: list[str]) -> None:
    from minict.engine.images import tarexport

    path = fields.get("output")
    if path is None and sys.stdout.isatty():
        raise ContainerError(
            "save: refusing to write an archive to a terminal: redirect standard output, or use -o FILE"
        )
    if path is None:
        return tarexport.save(arguments, sys.stdout.buffer)
    return tarexport.save_file(arguments, path)


def load(fields: dict, arguments: list[str]) -> None:
    from minict.engine.images import tarexport

    path = fields.get("input")
    if path is None and sys.stdin.isatty():
        raise ContainerError("load: standard input is a terminal: pipe an archive into it, or use -i FILE")
    try:
        file = sys.stdin.buffer if path is None else open(path, "rb")
    except OSError as error:
        raise ContainerError(f"cannot open {path}: {error.strerror}", errno=error.errno) from None

    def tell(image, names: list[str]) -> None:
        print(*([f"Loaded image: {name}" for name in names] or [f"Loaded image ID: sha256:{image.id}"]), sep="\n")

    with file:
        tarexport.load(file, path or "the archive on standard input", fields.get("platform"), tell)


_FORMAT = Option("--format", "Format output: table, json, or a template such as '{{.ID}}'", "TEMPLATE")
_WHOLE = Option("--no-trunc", "Don't truncate output")
_IDS = Option("-q --quiet", "Only show image IDs")
_REMOVE = (
    "IMAGE…",
    "Remove tags from images; removing the last tag removes the image.",
    [Option("-f --force", "Force the removal, even of an ID with several tags or stopped containers")],
    (1, None),
)

COMMANDS = by_name(
    Command(
        "images",
        "[OPTION…] [REPOSITORY[:TAG]]",
        "List images.",
        "minict images --filter dangling=true -q",
        images,
        [
            Option("-a --all", "Show all images, intermediate ones too"),
            Option("--digests", "Show digests"),
            Option(
                "-f --filter",
                "Filter: dangling=true, label=KEY[=VALUE], reference=PATTERN, before=IMAGE, since=IMAGE",
                "KEY=VALUE",
                many=True,
            ),
            _FORMAT,
            _WHOLE,
            _IDS,
        ],
        (0, 1),
    ),
    Command(
        "history",
        "[OPTION…] IMAGE",
        "Show the history of an image.",
        "minict history --no-trunc debian",
        history,
        [_FORMAT, Option("-H --human", "Print sizes and dates in human readable format (default)"), _WHOLE, _IDS],
        (1, 1),
    ),
    Command(
        "tag",
        "IMAGE NAME[:TAG]",
        "Add a tag to an image.",
        "minict tag small registry.example:5000/small:1.0",
        tag,
        arguments=(2, 2),
    ),
    Command("rmi", "[OPTION…] " + _REMOVE[0], _REMOVE[1], "minict rmi small", remove, *_REMOVE[2:]),
    Command("image rm", "[OPTION…] " + _REMOVE[0], _REMOVE[1], "minict image rm small", remove, *_REMOVE[2:]),
    Command(
        "image prune",
        "[OPTION…]",
        "Remove unused images.",
        "minict image prune -f --filter until=24h",
        prune,
        [
            Option("-a --all", "Show all images, intermediate ones too"),
            FORCE,
            Option(
                "--filter",
                "Filter: until=TIME, label=KEY[=VALUE], label!=KEY",
                "KEY=VALUE",
                many=True,
            ),
        ],
    ),
    Command(
        "image from-host",
        "NAME COMMAND…",
        "Create an image from the host's own programs and the libraries that they need.",
        "minict image from-host small bash ls cat",
        from_host,
        arguments=(2, None),
    ),
    Command(
        "import",
        "[OPTION…] FILE.tar|- [NAME[:TAG]]",
        "Create an image from the archive of a root filesystem (- for STDIN).",
        "minict import debian.tar.gz debian",
        import_archive,
        [
            Option("-c --change", "Apply a Dockerfile instruction: CMD, ENV, EXPOSE, USER…", "INSTRUCTION", many=True),
            Option("-m --message", "Set the commit message of the imported image", "TEXT"),
        ],
        (1, 2),
    ),
    Command(
        "save",
        "[OPTION…] IMAGE…",
        "Save images to a tar archive, for minict, docker, podman or skopeo.",
        "minict save -o images.tar debian:12 small",
        save,
        [Option("-o --output", "Write to a file instead of STDOUT", "FILE")],
        (1, None),
    ),
    Command(
        "load",
        "[OPTION…]",
        "Load images from a tar archive of minict, docker, podman or skopeo.",
        "minict load -i images.tar",
        load,
        [
            Option("-i --input", "Read from a file instead of STDIN", "FILE"),
            Option("-q --quiet", "Only show image IDs"),
            Option("--platform", "Platform, when it is not this machine's", "OS/ARCH[/VARIANT]"),
        ],
    ),
)
