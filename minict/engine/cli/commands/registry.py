"""Commands about registries: images come from there, and go there."""

from __future__ import annotations

import os

from minict.engine.cli.parser import Command, Option, table
from minict.runtime.errors import ContainerError

from . import each


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


def login(fields: dict, arguments: list[str]) -> None:
    import sys

    from minict.engine.distribution import credentials, login

    host = credentials.registry_name(*arguments)
    given = credentials.Login(*_ask(host, fields))
    kept = login.log_in(host, given, fields.get("tls_verify"))
    if os.path.isabs(kept):
        print(f"WARNING: the password is kept in {kept} as it is; a credential helper would hide it", file=sys.stderr)
    print("Login Succeeded")


def _ask(host: str, fields: dict) -> tuple[str, str]:
    """Name and password: as given, else from the person at the terminal."""
    import sys

    user, password = fields.get("username"), fields.get("password")
    if fields.get("password_stdin"):
        if password is not None or user is None:
            raise ContainerError("--password-stdin needs --username, and no --password")
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    elif password is not None:
        print("WARNING: --password can be seen by everybody on this machine: use --password-stdin", file=sys.stderr)
    if (user is None or password is None) and not sys.stdin.isatty():
        raise ContainerError("there is nobody to ask for name and password: give --username, and --password-stdin")
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


_TLS_VERIFY = Option("--tls-verify", "=false: http, or any certificate, will do, for a registry on this machine")
_QUIET = Option("-q --quiet", "say only the image's name")
_ALL_TAGS = Option("-a --all-tags", "all images of the repository, which is named without a tag")

COMMANDS = table(
    Command(
        "pull",
        "[OPTION…] NAME[:TAG|@DIGEST]",
        "Get an image from a registry, or what is missing of it.",
        "minict pull debian:12",
        pull,
        [_ALL_TAGS, _QUIET, Option("--platform", "another than this machine's", "OS/ARCH[/VARIANT]"), _TLS_VERIFY],
        (1, 1),
    ),
    Command(
        "push",
        "[OPTION…] NAME[:TAG]",
        "Bring an image to the registry in its name.",
        "minict push registry.example:5000/my-app:1.0",
        push,
        [_ALL_TAGS, _QUIET, _TLS_VERIFY],
        (1, 1),
    ),
    Command(
        "login",
        "[OPTION…] [REGISTRY]",
        "Say to a registry who you are, and keep it for later pulls and pushes.",
        "echo $PASSWORD | minict login -u me --password-stdin registry.example",
        login,
        [
            Option("-u --username", "your name there", "NAME"),
            Option("-p --password", "the password, which others can see", "PASSWORD"),
            Option("--password-stdin", "read the password from standard input"),
            _TLS_VERIFY,
        ],
        (0, 1),
        needs_root=False,
    ),
    Command(
        "logout",
        "[REGISTRY]",
        "Forget what login has kept.",
        "minict logout registry.example",
        logout,
        arguments=(0, 1),
        needs_root=False,
    ),
)
