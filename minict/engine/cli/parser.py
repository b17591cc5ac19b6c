"""The options of the command line: one table makes the parser, the help and the shell completion.

argparse would add 10 ms to every start.
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Sequence


class Option:
    """One option.

    *names*: such as ``-m --memory``. *value*: the word for its argument in the help; None for a switch. *many*: it may
    be given several times. *heading*: its group in the help, see :func:`under`. *often*: the short help explains it
    although it belongs to a group, see :mod:`.help`.
    """

    def __init__(self, names: str, help: str, value: str | None = None, many: bool = False, often: bool = False):
        self.names, self.help, self.value, self.many, self.often = names.split(), help, value, many, often
        self.heading = ""

    @property
    def field(self) -> str:
        return self.names[-1].lstrip("-").replace("-", "_")


class Command:
    """One command: its name, usage, purpose, example, options, and the function that runs it.

    *arguments*: the smallest and the largest number of arguments (None: any number). *function* gets the options, as a
    dictionary by field, and the list of arguments; it returns the exit status, None for 0. *words_follow*: the options
    end at the first argument, because the rest belongs to the container. *needs_root*: only root may run it.
    """

    def __init__(
        self,
        name: str,
        usage: str,
        help: str,
        example: str,
        function,
        options: Sequence[Option] = (),
        arguments: tuple[int, int | None] = (0, 0),
        words_follow: bool = False,
        needs_root: bool = True,
    ):
        self.name, self.usage, self.help, self.example, self.function = name, usage, help, example, function
        self.options, self.arguments, self.words_follow, self.needs_root = (
            list(options),
            arguments,
            words_follow,
            needs_root,
        )
        taken = {name for option in self.options for name in option.names}
        self.options.append(Option("--help" if "-h" in taken else "-h --help", "Show this help"))

    def parse(self, words: list[str]) -> tuple[dict, list[str]]:
        """Split *words* into options and arguments; ``--`` ends the options.

        Raises :class:`ContainerError` for an unknown option or a wrong number of arguments.
        """
        known = {name: option for option in self.options for name in option.names}
        fields: dict = {}
        words, arguments = list(words), []
        while words:
            word = words.pop(0)
            if word == "--":
                arguments += words
                break
            if not word.startswith("-") or word == "-":
                arguments.append(word)
                if self.words_follow:
                    arguments += words
                    break
                continue
            name, given, value = word.partition("=")
            if not word.startswith("--"):  # -it, -m128m, -m=128m: letters, the last of which may have a value
                name, value = word[:2], word[2:]
                given = value
                if name in known and known[name].value is None and value and value[0] != "=":
                    words.insert(0, "-" + value)
                    value = given = ""
                value = value.removeprefix("=")
            if name not in known:
                raise ContainerError(f"{self.name}: unknown option {name}: see 'minict {self.name} --help'")
            option = known[name]
            if option.value is None:
                if given and value not in ("true", "false"):
                    raise ContainerError(
                        f"{self.name}: invalid value {value!r} for {name}: use true or false, or leave it out"
                    )
                if option.field == "help":  # --help all shows every option
                    return {"help": words[:1] == ["all"]}, []
                fields[option.field] = value != "false"
                continue
            if not given:
                if not words:
                    raise ContainerError(f"{self.name}: {name} needs a value: {name} {option.value}")
                value = words.pop(0)
            if option.many:
                fields.setdefault(option.field, []).append(value)
            else:
                fields[option.field] = value
        least, most = self.arguments
        if len(arguments) < least or (most is not None and len(arguments) > most):
            raise ContainerError(f"usage: minict {self.name} {self.usage}")
        return fields, arguments


def under(heading: str, *options: Option) -> list[Option]:
    """Put *options* into the group *heading* of the help."""
    for option in options:
        option.heading = heading
    return list(options)


def by_name(*commands: Command) -> dict[str, Command]:
    """Index the commands of a module by name."""
    return {command.name: command for command in commands}
