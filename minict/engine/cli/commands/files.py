"""Commands for the files of containers: cp, diff, commit, export."""

from __future__ import annotations

import os

from minict.engine.cli.parser import Command, Option, by_name
from minict.runtime.errors import ContainerError


def cp(fields: dict, arguments: list[str]) -> None:
    """Copy between a container and the host, or a standard stream."""
    import sys

    from minict.engine.archive import fsview, transfer
    from minict.engine.containers.store import Record
    from minict.engine.lifecycle import containerfs

    (source_name, source), (target_name, target) = map(_end, arguments)
    if bool(source_name) == bool(target_name):
        raise ContainerError(
            "cp: name exactly one CONTAINER:PATH, and a host path or '-' "
            "(begin a host path with a colon in it with ./ or /)"
        )
    record = Record.find(source_name or target_name)
    label = f"{source if source_name else target} in the container {record.name}"

    def work(files) -> int:
        if source_name:
            end = transfer.End(files, source, label)
            if target == "-":
                transfer.send(end, sys.stdout.fileno(), follow=fields.get("follow_link", False))
                return 0
            owner = None if fields.get("archive") else (os.geteuid(), os.getegid())
            return transfer.copy(
                end, transfer.End(fsview.Host(), target, target), follow=fields.get("follow_link", False), owner=owner
            )
        end = transfer.End(files, target, label)
        if source == "-":
            return transfer.receive(sys.stdin.buffer, end)
        return transfer.copy(transfer.End(fsview.Host(), source, source), end, follow=fields.get("follow_link", False))

    if target == "-" and sys.stdout.isatty():
        raise ContainerError("cp: refusing to write an archive to a terminal: redirect standard output")
    size = containerfs.with_files(record, work)
    if "-" not in (source, target) and not fields.get("quiet"):
        from minict.engine.util.table import size as words

        print(f"Successfully copied {words(size)} to {arguments[1]}", file=sys.stderr)


def _end(text: str) -> tuple[str, str]:
    """Split ``CONTAINER:PATH`` or a host path (with an empty container) into container and absolute path.

    A final ``/`` or ``/.`` stays, because it changes what is copied. Raises :class:`ContainerError`.
    """
    if text == "-":
        return "", "-"
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        container, path = "", text
    if not path or (colon and not container and not text.startswith(("/", "."))):
        raise ContainerError(f"cp: invalid path {text!r}: use CONTAINER:PATH, or a host path")
    whole = os.path.normpath("/" + path) if container else os.path.abspath(path)
    end = "/." if os.path.basename(path) == "." else "/" if path.endswith("/") else ""
    return container, "/" + (whole + end).lstrip("/")


def export(fields: dict, arguments: list[str]) -> None:
    import sys

    from minict.engine.archive import transfer
    from minict.engine.containers.store import Record
    from minict.engine.lifecycle import containerfs

    record = Record.find(arguments[0])
    path = fields.get("output")
    if not path and sys.stdout.isatty():
        raise ContainerError("export: refusing to write an archive to a terminal: use -o FILE")
    output = os.open(f"{path}.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600) if path else 1
    try:
        containerfs.with_files(
            record, lambda files: transfer.send(transfer.End(files, "/.", "/"), output, content_of=True), volumes=False
        )
        if path:
            os.rename(f"{path}.{os.getpid()}", path)
    except BaseException:
        if path:
            os.unlink(f"{path}.{os.getpid()}")
        raise


def diff(fields: dict, arguments: list[str]) -> None:
    from minict.engine.containers.store import Record
    from minict.engine.lifecycle import commit

    for kind, path in commit.changes(Record.find(arguments[0])):
        print(kind, path if path.isprintable() else repr(path))


def commit(fields: dict, arguments: list[str]) -> None:
    from minict.engine.containers.store import Record
    from minict.engine.lifecycle import commit

    name = arguments[1] if len(arguments) > 1 else None
    image = commit.commit(
        Record.find(arguments[0]),
        name,
        message=fields.get("message", ""),
        author=fields.get("author", ""),
        change=fields.get("change", []),
        pause=fields.get("pause", True),
    )
    print(f"sha256:{image.id}")


COMMANDS = by_name(
    Command(
        "cp",
        "[OPTION…] CONTAINER:PATH PATH|-  or  PATH|- CONTAINER:PATH",
        "Copy files between a container and the host.  '-' is a tar archive on STDIN or STDOUT.",
        "minict cp web:/etc/nginx/. ./nginx",
        cp,
        [
            Option("-a --archive", "Archive mode: copy user and group information"),
            Option("-L --follow-link", "Follow a symbolic link in the source"),
            Option("-q --quiet", "Suppress progress output"),
        ],
        (2, 2),
    ),
    Command(
        "diff",
        "CONTAINER",
        "Show changes to a container's filesystem: A added, C changed, D deleted.",
        "minict diff web",
        diff,
        arguments=(1, 1),
    ),
    Command(
        "commit",
        "[OPTION…] CONTAINER [NAME[:TAG]]",
        "Create an image from a container's changes, without its volumes.",
        "minict commit -m 'with nginx' -c 'CMD [\"nginx\"]' web my-nginx",
        commit,
        [
            Option("-m --message", "Commit message", "TEXT"),
            Option("-a --author", "Author of the image", "NAME"),
            Option("-c --change", "Apply a Dockerfile instruction: CMD, ENV, EXPOSE, USER…", "INSTRUCTION", many=True),
            Option("-p --pause", "Pause the container during the commit (true)"),
        ],
        (1, 2),
    ),
    Command(
        "export",
        "[OPTION…] CONTAINER",
        "Export a container's filesystem as a tar archive, without its volumes.",
        "minict export -o web.tar web",
        export,
        [Option("-o --output", "Write to a file instead of STDOUT", "FILE")],
        (1, 1),
    ),
)
