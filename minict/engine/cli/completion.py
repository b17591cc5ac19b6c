"""Shell completion: ``minict completion bash`` writes the script that the shell loads.

shtab makes that script from an :mod:`argparse` parser, which is built here from the tables of the command line. The
names of containers and images are looked up when the Tab key is pressed, by ``minict __complete containers``.
"""

from __future__ import annotations

import argparse

from minict.runtime.errors import ContainerError

from . import help, index
from .parser import Command

SHELLS = ("bash", "zsh", "fish")
PROGRAMS = ("minict", "mini-docker")
# Words in a usage line, or option values, that stand for something that exists.
_KINDS = {
    "CONTAINER": "containers",
    "IMAGE": "images",
    "NETWORK": "networks",
    "VOLUME": "volumes",
    "NAME|ID": "objects",
}
_FILES = {"FILE", "FILE.tar", "PATH", "DIRECTORY"}


def script(shell: str) -> str:
    """The completion script for *shell*.

    Raises :class:`ContainerError` when *shell* is not in :data:`SHELLS`, or when shtab is missing.
    """
    if shell not in SHELLS:
        raise ContainerError(f"no completion for {shell!r}: use one of {', '.join(SHELLS)}")
    try:
        import shtab
    except ImportError:
        raise ContainerError("shtab, which makes the completion scripts, is not installed: pip install shtab") from None
    text = shtab.complete(parser(shtab), shell, preamble=_PREAMBLE)
    first, second = PROGRAMS
    if shell == "zsh":
        text = text.replace(f"#compdef {first}\n", f"#compdef {first} {second}\n")
        return text.replace(f"-N {first}\n", f"-N {first} {second}\n")
    return text + {"bash": _BASH_END, "fish": f"complete -c {second} -w {first}\n"}[shell]


def parser(shtab) -> argparse.ArgumentParser:
    """All commands as an argparse parser. It only describes them: :meth:`Command.parse` parses what is typed."""
    top = argparse.ArgumentParser(PROGRAMS[0], add_help=False)
    commands = top.add_subparsers()
    groups = {}
    for group in sorted(index.groups()):
        words = f"commands about {help.subject(group)}"
        groups[group] = commands.add_parser(group, description=words, help=words, add_help=False).add_subparsers()
    for name in index.INDEX:
        group, _, verb = name.rpartition(" ")
        command = index.load(name)
        if not verb.startswith("_"):
            _add(groups[group] if group else commands, verb, command, shtab)
        for longer, names in index.LONGER.items():
            if name in names:
                _add(groups[longer], verb, command, shtab)
    return top


def _add(commands, verb: str, command: Command, shtab) -> None:
    words = _plain(command.help)
    added = commands.add_parser(verb, description=words, help=words, add_help=False)
    for option in command.options:
        if option.value is None:
            added.add_argument(*option.names, help=_plain(option.help), action="store_true")
        else:
            action = "append" if option.many else "store"
            argument = added.add_argument(*option.names, help=_plain(option.help), metavar=option.value, action=action)
            _complete(argument, option.value, shtab)
    for number, word in enumerate(_arguments(command.usage)):
        last = word.endswith("…")
        _complete(
            added.add_argument(f"argument_{number}", help=word.rstrip("…"), nargs="*" if last else "?"), word, shtab
        )
        if last:
            break


def _plain(text: str) -> str:
    """The first sentence, with nothing in it that argparse would replace."""
    return text.split(".  ", maxsplit=1)[0].split("\n", maxsplit=1)[0].replace("%", "%%")


def _arguments(usage: str) -> list[str]:
    """Turn ``[OPTION…] CONTAINER [COMMAND…]`` into ``CONTAINER`` and ``COMMAND…``."""
    words = (word.replace("[", "").replace("]", "") for word in usage.split())
    return [word for word in words if not word.startswith(("OPTION", "-"))]


def _complete(argument, word: str, shtab) -> None:
    """Tell shtab what can stand in the place of *word*."""
    word = word.rstrip("…").partition("[")[0].partition(":")[0]
    if word in _KINDS:
        kind = _KINDS[word]
        argument.complete = {"bash": f"_minict_{kind}", "zsh": f"_minict_{kind}", "fish": f"(minict __complete {kind})"}
    elif word in _FILES:
        argument.complete = shtab.FILE
    elif "|" in word:
        argument.choices = word.split("|")


def names(kind: str) -> list[str]:
    """The names of all objects of a *kind*: containers, images, networks, volumes, or objects, which is all four."""
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
    if kind == "networks":
        from minict.engine.networks.store import networks

        return [network.name for network in networks()]
    return []


_PREAMBLE = {
    "bash": "\n".join(
        f"""_minict_{kind}() {{ compgen -W "$(minict __complete {kind} 2>/dev/null)" -- "$1"; }}"""
        for kind in _KINDS.values()
    ),
    "zsh": "\n".join(
        f"""_minict_{kind}() {{ compadd -- ${{(f)"$(minict __complete {kind} 2>/dev/null)"}} }}"""
        for kind in _KINDS.values()
    ),
}

# shtab's bash script does not know three things: bash splits words at colons and equals signs, so nginx:1.2 has to be
# joined again; --name=value is two words; and of -it only -t counts, of -m64m nothing. The part that bash has already
# is removed from each match.
_BASH_END = r"""
_minict() {
  local joined=() number word
  for (( number = 0; number <= COMP_CWORD; number++ )); do
    word=${COMP_WORDS[number]}
    if (( number > 1 )) && [[ $word == [:=]* || ${joined[-1]} == *[:=] ]] && [[ $COMP_LINE == *"${joined[-1]}$word"* ]]; then
      joined[-1]+=$word
    else
      joined+=("$word")
    fi
  done
  local typed=${joined[-1]} words=()
  unset 'joined[-1]'
  [[ $typed == --*=* ]] && { joined+=("${typed%%=*}"); typed=${typed#*=}; }
  for word in "${joined[@]}"; do
    if [[ $word == --*=* ]]; then words+=("${word%%=*}" "${word#*=}")
    elif [[ $word =~ ^-[a-zA-Z]{2,}$ ]]; then words+=("-${word: -1}")
    elif [[ ! $word =~ ^-[a-zA-Z]. ]]; then words+=("$word")
    fi
  done
  COMP_WORDS=("${words[@]}" "$typed") COMP_CWORD=${#words[@]}
  _shtab_minict
  [[ $typed == *:* ]] && COMPREPLY=("${COMPREPLY[@]#"${typed%"${typed##*:}"}"}")
  return 0
}
complete -o bashdefault -o nosort -F _minict minict mini-docker
"""
