"""Commands for registries: pull, push, login, logout."""

from __future__ import annotations

import os

from minict.engine.cli.parser import Command, Option, by_name
from minict.runtime.errors import ContainerError

from .each import each


def pull(fields: dict, arguments: list[str]) -> int:
    from minict.engine.distribution import reference
    from minict.engine.images import pull as source
    from minict.engine.util.progress import Progress

    quiet, verify = fields.get("quiet", False), fields.get("tls_verify")

    def one(name: str) -> str:
        source.pull(name, platform=fields.get("platform"), tls_verify=verify, progress=Progress(quiet=quiet))
        return reference.full_name(name)

    if not fields.get("all_tags"):
        print(one(arguments[0]))
        return 0
    return each(source.all_tags(arguments[0], tls_verify=verify, progress=Progress(quiet=quiet)), one)


def push(fields: dict, arguments: list[str]) -> None:
    from minict.engine.distribution import reference
    from minict.engine.images import push as target
    from minict.engine.util.progress import Progress

    quiet = fields.get("quiet", False)
    for name in target.all_tags(arguments[0]) if fields.get("all_tags") else arguments:
        target.push(name, tls_verify=fields.get("tls_verify"), progress=Progress(quiet=quiet))
        if quiet:
            print(reference.full_name(name))


def search(fields: dict, arguments: list[str]) -> None:
    from minict.engine.distribution import search
    from minict.engine.util.progress import printable
    from minict.engine.util.table import shortened, show

    limit = fields.get("limit", "25")
    if not limit.isdecimal():
        raise ContainerError(f"--limit {limit}: invalid number")
    rows = []
    for found in search.search(arguments[0], int(limit), fields.get("filter", ())):
        text = printable(" ".join(found["description"].split()))
        rows.append(
            {
                "Name": printable(found["name"]),
                "Description": text if fields.get("no_trunc") else shortened(text, 45),
                "StarCount": str(found["star_count"]),
                "IsOfficial": "[OK]" if found["is_official"] else "",
                "IsAutomated": "[OK]" if found["is_automated"] else "",
            }
        )
    headings = {
        "Name": "NAME",
        "Description": "DESCRIPTION",
        "StarCount": "STARS",
        "IsOfficial": "OFFICIAL",
        "IsAutomated": "AUTOMATED",
    }
    print(show(rows, headings, ["Name", "Description", "StarCount", "IsOfficial"], fields.get("format")), end="")


def login(fields: dict, arguments: list[str]) -> None:
    import sys

    from minict.engine.distribution import credentials, login

    host = credentials.registry_name(*arguments)
    given = credentials.Login(*_ask(host, fields))
    kept = login.log_in(host, given, fields.get("tls_verify"))
    if os.path.isabs(kept):
        print(
            f"WARNING: your password is stored unencrypted in {kept}: configure a credential helper to hide it",
            file=sys.stderr,
        )
    print("Login Succeeded")


def _ask(host: str, fields: dict) -> tuple[str, str]:
    """The user name and password: from the options, or asked for at the terminal."""
    import sys

    user, password = fields.get("username"), fields.get("password")
    if fields.get("password_stdin"):
        if password is not None or user is None:
            raise ContainerError("--password-stdin needs --username, and excludes --password")
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    elif password is not None:
        print("WARNING: every user of this machine can see --password: use --password-stdin", file=sys.stderr)
    if (user is None or password is None) and not sys.stdin.isatty():
        raise ContainerError(
            "cannot ask for user name and password without a terminal: use --username and --password-stdin"
        )
    if user is None:
        user = input(f"Username for {host}: ")
    if password is None:
        import getpass

        password = getpass.getpass("Password: ")
    return user, password


def logout(fields: dict, arguments: list[str]) -> None:
    from minict.engine.distribution import credentials

    host = credentials.registry_name(*arguments)
    print(f"Removing login credentials for {host}" if credentials.forget(host) else f"Not logged in to {host}")


_TLS_VERIFY = Option("--tls-verify", "=false: allow http and any certificate, for a registry on this machine")
_QUIET = Option("-q --quiet", "Suppress verbose output")
_ALL_TAGS = Option("-a --all-tags", "All tags of the repository")

COMMANDS = by_name(
    Command(
        "pull",
        "[OPTION…] NAME[:TAG|@DIGEST]",
        "Download an image from a registry.",
        "minict pull debian:12",
        pull,
        [
            _ALL_TAGS,
            _QUIET,
            Option("--platform", "Platform, when it is not this machine's", "OS/ARCH[/VARIANT]"),
            _TLS_VERIFY,
        ],
        (1, 1),
    ),
    Command(
        "push",
        "[OPTION…] NAME[:TAG]",
        "Upload an image to a registry.",
        "minict push registry.example:5000/my-app:1.0",
        push,
        [_ALL_TAGS, _QUIET, _TLS_VERIFY],
        (1, 1),
    ),
    Command(
        "login",
        "[OPTION…] [REGISTRY]",
        "Log in to a registry.",
        "echo $PASSWORD | minict login -u me --password-stdin registry.example",
        login,
        [
            Option("-u --username", "Username", "NAME"),
            Option("-p --password", "Password; every user of this machine can see it", "PASSWORD"),
            Option("--password-stdin", "Take the password from STDIN"),
            _TLS_VERIFY,
        ],
        (0, 1),
        needs_root=False,
    ),
    Command(
        "logout",
        "[REGISTRY]",
        "Log out from a registry.",
        "minict logout registry.example",
        logout,
        arguments=(0, 1),
        needs_root=False,
    ),
    Command(
        "search",
        "[OPTION…] TERM",
        "Search Docker Hub, or another registry, for images.",
        "minict search --filter is-official=true nginx",
        search,
        [
            Option("-f --filter", "Filter: is-official=true, stars=NUMBER", "KEY=VALUE", many=True),
            Option("--format", "Print with a Go template, or as json", "FORMAT"),
            Option("--limit", "Show at most this number (25)", "NUMBER"),
            Option("--no-trunc", "Do not truncate the descriptions"),
        ],
        (1, 1),
        needs_root=False,
    ),
)
