"""``minict unshare``: a command in the namespaces of an ordinary user's containers."""

from __future__ import annotations

import os
import sys

from minict.engine.cli.parser import Command, Option, by_name
from minict.runtime.errors import NOT_FOUND, ContainerError


def unshare(fields: dict, arguments: list[str]) -> None:
    from minict.engine.rootless import enter, outside

    if not outside.is_inside():
        raise ContainerError("root needs no namespaces of its own: unshare is for ordinary users")
    if fields.get("stop"):
        if not enter.stop():
            raise ContainerError("containers still run in this user's namespaces: stop them first")
        return
    if fields.get("network"):
        outside.join_network()
        if told := outside.open_way_out():
            print(told, file=sys.stderr)
    words = arguments or [os.environ.get("SHELL") or "/bin/sh"]
    try:
        os.execvp(words[0], words)
    except OSError as error:
        raise ContainerError(f"cannot execute {words[0]}: {error.strerror}", status=NOT_FOUND) from None


COMMANDS = by_name(
    Command(
        "unshare",
        "[OPTION…] [COMMAND [ARG…]]",
        "Run a command in the user namespace of your containers, without root. The default is a shell.",
        "minict unshare ls -ln ~/.local/share/minict",
        unshare,
        [
            Option("--network", "Enter the network of the containers too, and open its way out"),
            Option("--stop", "End the namespaces, in which no container may run"),
        ],
        arguments=(0, None),
        words_follow=True,
    )
)
