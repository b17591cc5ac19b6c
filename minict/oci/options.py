"""Options: a table of them for each command, and the words of a command line read by it."""

from __future__ import annotations

from minict.runtime.errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class UsageError(ContainerError):
    """The words of the command line do not fit the command."""


class Option:
    """``Option("bundle b", "DIR", "…")``: its names, the name of its value (empty: a switch), and its description."""

    def __init__(self, names: str, value: str, help: str, many: bool = False) -> None:
        self.names, self.value, self.help, self.many = names.split(), value, help, many
        self.key = self.names[0].replace("-", "_")


class Command:
    """A command: the function ``MODULE:NAME`` that gets a dictionary of options and a list of operands.

    *least* and *most* are the numbers of operands. *stops*: the first operand ends the options, because what follows is
    another program's command line.
    """

    def __init__(self, function: str, usage: str, help: str, options: list[Option], *, stops: bool = False) -> None:
        self.function, self.usage, self.help, self.options, self.stops = function, usage, help, options, stops
        self.least = sum(not word.startswith("[") for word in usage.split())
        self.most = 1000 if "..." in usage else len(usage.split())

    def check(self, name: str, operands: list[str]) -> None:
        """Raises :class:`UsageError` for a wrong number of *operands*. Source: runc, checkArgs."""
        if not self.least <= len(operands) <= self.most:
            raise UsageError(f"{name} takes {self.usage or 'no operand'}: {len(operands)} given")


def read(options: list[Option], words: list[str], stops: bool) -> tuple[dict[str, Any], list[str]]:
    """The *words* as (option's key -> value, operands). One dash counts as two, and ``--`` ends the options.

    Each option has a key: None, False or a list if it is not given. Raises :class:`UsageError`. Source: runc(8).
    """
    known = {name: option for option in options for name in option.names}
    values: dict[str, Any] = {each.key: [] if each.many else None if each.value else False for each in options}
    operands: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return values, operands + rest
        if len(word) < 2 or word[0] != "-":
            operands.append(word)
            if stops:
                return values, operands + rest
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if name not in known and not word.startswith("--") and set(name) <= set(known) and not equals:
            rest[:0] = [f"-{letter}" for letter in name]  # -it is -i -t
            continue
        if name not in known:
            raise UsageError(f"unknown option {word}: see --help")
        _take(values, known[name], word, value if equals else None, rest)
    return values, operands


def _take(values: dict[str, Any], option: Option, word: str, value: str | None, rest: list[str]) -> None:
    if not option.value:
        if value not in (None, "true", "false"):
            raise UsageError(f"{word}: the value of a switch is true or false")
        values[option.key] = value != "false"
        return
    if value is None:
        if not rest:
            raise UsageError(f"{word} needs a value, {option.value}")
        value = rest.pop(0)
    if option.many:
        values[option.key].append(value)
    else:
        values[option.key] = value
