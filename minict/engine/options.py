"""The command line's options, as a table from which both the parser and the help are made.

(argparse would take 10 ms of every start; the table is also what shell completion will need.)
"""
from __future__ import annotations

from minict.runtime.errors import ContainerError


class Option:
    """One option.  *names* such as ``-m --memory``; *value* what stands for its argument in the help, None for a switch;
    *many* when it may be given several times."""

    def __init__(self, names: str, help: str, value: str | None = None, many: bool = False):
        self.names, self.help, self.value, self.many = names.split(), help, value, many

    @property
    def field(self) -> str:
        return self.names[-1].lstrip("-").replace("-", "_")


class Command:
    """One command: what it is called, what follows it, what it is good for, an example, and its options."""

    def __init__(self, name: str, usage: str, help: str, example: str, options: list[Option] = (),
                 arguments: tuple[int, int | None] = (0, 0)):
        self.name, self.usage, self.help, self.example = name, usage, help, example
        self.options, self.arguments = list(options), arguments

    def parse(self, words: list[str]) -> tuple[dict, list[str]]:
        """Options and arguments.  Options end at the first argument, or at ``--``: what follows belongs to the container.

        Raises :class:`ContainerError` with a sentence for whatever can't be understood.
        """
        known = {name: option for option in self.options for name in option.names}
        fields: dict = {}
        words = list(words)
        while words and words[0].startswith("-") and words[0] != "-":
            word = words.pop(0)
            if word == "--":
                break
            name, given, value = word.partition("=")
            if not word.startswith("--"):  # -it, -m128m, -m=128m: letters, of which the last may have a value
                name, value = word[:2], word[2:]
                given = value
                if name in known and known[name].value is None and value:
                    words.insert(0, "-" + value)
                    value = given = ""
                value = value.removeprefix("=")
            if name not in known:
                raise ContainerError(f"{self.name}: there is no option {name}: see 'minict {self.name} --help'")
            option = known[name]
            if option.value is None:
                if given and value not in ("true", "false"):
                    raise ContainerError(f"{self.name}: {name} takes no value")
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
        if len(words) < least or most is not None and len(words) > most:
            raise ContainerError(f"usage: minict {self.name} {self.usage}")
        return fields, words

    def describe(self) -> str:
        """The help: one screen, with an example."""
        lines = [f"usage: minict {self.name} {self.usage}", "", self.help, ""]
        rows = [(", ".join(option.names) + (f" {option.value}" if option.value else ""), option.help) for option in self.options]
        width = max((len(left) for left, _ in rows), default=0)
        lines += [f"  {left:<{width}}  {right}" for left, right in rows] + ([""] if rows else [])
        return "\n".join(lines + [f"example: {self.example}"])
