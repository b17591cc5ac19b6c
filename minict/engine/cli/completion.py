"""Shell completion: ``minict completion bash`` writes a short script, and Python does the rest.

When the Tab key is pressed, the script calls ``minict __complete SHELL LINE`` with the line up to the cursor, and gets
the completions of its last word: commands, options, values of options, and the names of containers, images, networks
and volumes. The shell completes file names where minict offers nothing.
"""

from __future__ import annotations

from minict.runtime.errors import ContainerError

from . import help
from .commands import INDEX, LONGER, find, groups, load
from .parser import Command, Option

# Words in a usage line, or option values, that stand for existing objects.
_KINDS = {
    "CONTAINER": "containers",
    "IMAGE": "images",
    "NETWORK": "networks",
    "VOLUME": "volumes",
    "NAME|ID": "objects",
}

SCRIPTS = {
    "bash": """\
_minict() {
    mapfile -t COMPREPLY < <(minict __complete bash "${COMP_LINE:0:COMP_POINT}" 2> /dev/null)
}
complete -o default -o nosort -F _minict minict mini-docker
""",
    "zsh": """\
#compdef minict mini-docker
_minict() {
    local -a found
    found=(${(f)"$(minict __complete zsh "${(j: :)words[1,CURRENT-1]} $PREFIX" 2> /dev/null)"})
    if (( $#found )); then _describe minict found; else _files; fi
}
if [[ $funcstack[1] == _minict ]]; then _minict "$@"; else compdef _minict minict mini-docker; fi
""",
    "fish": """\
function __minict_complete
    set -l found (minict __complete fish (commandline -cp) 2> /dev/null)
    if set -q found[1]; printf '%s\\n' $found; else; __fish_complete_path (commandline -ct); end
end
complete -c minict -f -a '(__minict_complete)'
complete -c mini-docker -w minict
""",
}


def script(shell: str) -> str:
    """The completion script for *shell*. Raises :class:`ContainerError` when it is not in :data:`SCRIPTS`."""
    if shell not in SCRIPTS:
        raise ContainerError(f"no completion for {shell!r}: use one of {', '.join(SCRIPTS)}")
    return SCRIPTS[shell]


def complete(shell: str, line: str) -> list[str]:
    """The completions of the last word of *line*, one per line, as *shell* reads them: with or without a description.

    bash ends words at colons and equals signs too: it gets only the part behind the last of them.
    """
    typed, current = split(line)
    found = [(word, text) for word, text in candidates(typed, current) if word.startswith(current)]
    if shell == "bash":
        behind = max(current.rfind(":"), current.rfind("=")) + 1
        return [word[behind:] for word, _ in found]
    if shell == "zsh":
        return [word.replace(":", "\\:") + f":{text}" * bool(text) for word, text in found]
    return [f"{word}\t{text}" for word, text in found] if shell == "fish" else []


def split(line: str) -> tuple[list[str], str]:
    """The words of *line* after the program's name: the complete ones, and the one being typed."""
    import shlex

    try:
        words = shlex.split(line)[1:]
    except ValueError:  # inside of quotes
        return [], "\0"
    if line[-1:].isspace() or not words:
        words.append("")
    return words[:-1], words[-1]


def candidates(typed: list[str], current: str) -> list[tuple[str, str]]:
    """(word, description) for everything that can follow the words *typed*; options only if *current* begins one."""
    if not typed:
        commands = [(name, help.summary(name)) for name in INDEX if " " not in name and name[0] != "_"]
        return commands + [(group, f"Manage {help.subject(group)}") for group in sorted(groups())]
    try:
        name, words = find(typed)
    except ContainerError:
        if len(typed) > 1 or typed[0] not in groups():
            return []
        own = [(each.partition(" ")[2], each) for each in INDEX if each.startswith(f"{typed[0]} ")]
        longer = [(each, each) for each in LONGER.get(typed[0], ())]
        return [(word, help.summary(each)) for word, each in own + longer]
    command = load(name)
    pending, arguments = read(command, words)
    if pending:
        return values(pending.value or "")
    if arguments and command.words_follow:
        return []  # these words belong to the container
    if current.startswith("-"):
        option, equals, _ = current.partition("=")
        if equals:
            found = next((each for each in command.options if option in each.names and each.value), None)
            return [(f"{option}={word}", text) for word, text in values(found.value or "")] if found else []
        return [(each, option.help) for option in command.options for each in option.names]
    usage = [word.strip("[]") for word in command.usage.split() if not word.startswith(("[OPTION", "-"))]
    if not usage:
        return []
    return values(usage[min(arguments, len(usage) - 1)])


def read(command: Command, words: list[str]) -> tuple[Option | None, int]:
    """Read *words* as :meth:`Command.parse` does: (the option whose value comes next, the number of arguments)."""
    known = {name: option for option in command.options for name in option.names}
    pending, arguments = None, 0
    for word in words:
        if pending:
            pending = None
        elif word.startswith("--"):
            pending = known.get(word)
        elif word.startswith("-") and len(word) > 1:
            letters = word[1:]  # -it: of several letters the last may have a value, which may follow at once: -m64m
            while len(letters) > 1 and (first := known.get(f"-{letters[0]}")) and first.value is None:
                letters = letters[1:]
            pending = known.get(f"-{letters}")
        else:
            arguments += 1
        if pending and pending.value is None:
            pending = None
    return pending, arguments


def values(word: str) -> list[tuple[str, str]]:
    """The values for *word* of a usage line, or for an option's value: existing names, or one of several words."""
    word = word.rstrip("…").partition("[")[0].partition(":")[0]
    if word in _KINDS:
        return [(name, "") for name in names(_KINDS[word])]
    return [(each, "") for each in word.split("|")] if "|" in word and word.islower() else []


def names(kind: str) -> list[str]:
    """The names of all objects of a *kind*: containers, images, networks, volumes, or "objects" for all four."""
    if kind == "objects":
        return [name for each in ("containers", "images", "networks", "volumes") for name in names(each)]
    if kind == "containers":
        from minict.engine.containers.store import records

        return [record.name or record.id for record in records()]
    if kind == "images":
        from minict.engine.images.image import images

        return [name.removesuffix(":latest") for image in images() for name in image.names]
    if kind == "volumes":
        from minict.engine.volumes.store import volumes

        return [volume.name for volume in volumes()]
    from minict.engine.networks.store import networks

    return [network.name for network in networks()]
