"""Commands about images."""
from __future__ import annotations

from ..options import Command, table


def images(fields: dict, arguments: list[str]) -> None:
    from .. import image
    rows = [("NAME", "ID", "SIZE")]
    rows += [(", ".join(each.names), each.id[:12], f"{each.size / 1e6:.1f} MB") for each in image.images()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip())


def from_host(fields: dict, arguments: list[str]) -> None:
    from .. import image
    name, *commands = arguments
    made = image.from_host(name, commands)
    print(f"{name}: {made.id[:12]}")


def remove(fields: dict, arguments: list[str]) -> None:
    from .. import image
    for name in arguments:
        for line in image.remove(name):
            print(f"removed {line}")


def import_archive(fields: dict, arguments: list[str]) -> None:
    from .. import image
    source, name = arguments
    made = image.import_archive(source, name)
    print(f"{name}: {made.id[:12]}")


COMMANDS = table(
    Command("images", "", "List the images.", "minict images", images),
    Command("image from-host", "NAME COMMAND…", "Make an image of the host's own programs, with exactly the libraries that they need.",
            "minict image from-host small bash ls cat", from_host, arguments=(2, None)),
    Command("image rm", "NAME…", "Remove images.", "minict image rm small", remove, arguments=(1, None)),
    Command("import", "FILE.tar NAME", "Make an image of the archive of a root file system (- for standard input).",
            "minict import debian.tar.gz debian", import_archive, arguments=(2, 2)),
)
