"""The instructions that only change an image's configuration: CMD, ENV, LABEL and the like.

Each function changes the stage's ``config`` and returns the text for the history. Source: the Dockerfile reference;
the OCI image-spec, config.md; moby's docker-image-spec.
"""

from __future__ import annotations

import json

from minict.engine.util import units
from minict.runtime.errors import ContainerError

from .dockerfile import Instruction, trigger_text

_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def apply(stage, each: Instruction) -> str:
    """Apply the instruction *each* to the planned *stage*; return the entry for the history.  Raises
    :class:`ContainerError`."""
    return _ALL[each.name](stage, stage.config, each)


def shell_command(config: dict, each: Instruction) -> list[str]:
    """A list unchanged, or a text for the shell."""
    return each.args if each.is_list else [*(config.get("Shell") or ["/bin/sh", "-c"]), *each.args]


def _arg(stage, config: dict, each: Instruction) -> str:
    said = []
    for name, default in each.args:
        name = stage.scope.expand(name)
        value = stage.scope.declare(name, default)
        said.append(name if value is None else f"{name}={value}")
    return f"ARG {' '.join(said)}"


def _env(stage, config: dict, each: Instruction) -> str:
    pairs = _expanded(stage, each)
    for name, _ in pairs:
        if "=" in name or not name:
            raise ContainerError(f"invalid variable name {name!r}")
    for name, value in pairs:
        stage.scope.set(name, value)
        variables = {word.partition("=")[0]: word for word in config.get("Env") or []}
        config["Env"] = list({**variables, name: f"{name}={value}"}.values())
    return f"ENV {' '.join(f'{name}={value}' for name, value in pairs)}"


def _expanded(stage, each: Instruction) -> list[tuple[str, str]]:
    """Names and values, expanded with the variables from before this instruction."""
    return [(stage.scope.expand(name), stage.scope.expand(value)) for name, value in each.args]


def _label(stage, config: dict, each: Instruction) -> str:
    pairs = _expanded(stage, each)
    config["Labels"] = {**(config.get("Labels") or {}), **dict(pairs)}
    return f"LABEL {' '.join(f'{name}={value}' for name, value in pairs)}"


def _cmd(stage, config: dict, each: Instruction) -> str:
    config["Cmd"] = shell_command(config, each)
    stage.has_cmd = True
    return f"CMD {json.dumps(config['Cmd'])}"


def _entrypoint(stage, config: dict, each: Instruction) -> str:
    """Discard the CMD of the base image, whose arguments were for another program. A CMD of this stage stays."""
    config["Entrypoint"] = shell_command(config, each) or None
    if not stage.has_cmd:
        config.pop("Cmd", None)
    return f"ENTRYPOINT {json.dumps(config['Entrypoint'])}"


def _expose(stage, config: dict, each: Instruction) -> str:
    found = [port for word in sorted(each.args) for text in stage.scope.split(word) for port in ports(text)]
    config["ExposedPorts"] = {**(config.get("ExposedPorts") or {}), **{port: {} for port in found}}
    return f"EXPOSE {' '.join(found)}"


def ports(text: str) -> list[str]:
    """``80``, ``53/udp`` or ``8000-8010`` as ``80/tcp`` and so on.  Raises :class:`ContainerError`."""
    # a host address and a host port before it have no meaning here
    numbers, _, protocol = text.rpartition(":")[2].partition("/")
    first, _, last = numbers.partition("-")
    last, protocol = last or first, (protocol or "tcp").lower()
    if not all(
        each.isascii() and each.isdecimal() and len(each) < 9 and int(each) < 65536 for each in (first, last)
    ) or int(first) > int(last):
        raise ContainerError(f"invalid port {text!r}: use a number up to 65535, such as 80, 53/udp or 8000-8010")
    if protocol not in ("tcp", "udp", "sctp"):
        raise ContainerError(f"invalid port {text!r}: unknown protocol {protocol!r}: use tcp, udp or sctp")
    return [f"{number}/{protocol}" for number in range(int(first), int(last) + 1)]


def _user(stage, config: dict, each: Instruction) -> str:
    config["User"] = stage.scope.expand(each.args[0])
    return f"USER {config['User']}"


def _volume(stage, config: dict, each: Instruction) -> str:
    paths = [stage.scope.expand(path.strip()) for path in each.args]
    if not all(paths):
        raise ContainerError("VOLUME: a path is empty: name a directory")
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}
    return f"VOLUME {json.dumps(paths)}"


def _stopsignal(stage, config: dict, each: Instruction) -> str:
    signal = stage.scope.expand(each.args[0])
    units.signal_of(signal, "STOPSIGNAL")
    config["StopSignal"] = signal
    return f"STOPSIGNAL {signal}"


def _shell(stage, config: dict, each: Instruction) -> str:
    config["Shell"] = list(each.args)
    return f"SHELL {json.dumps(each.args)}"


def _maintainer(stage, config: dict, each: Instruction) -> str:
    stage.author = each.args[0]
    return f"MAINTAINER {stage.author}"


def _onbuild(stage, config: dict, each: Instruction) -> str:
    config["OnBuild"] = [*(config.get("OnBuild") or []), trigger_text(each)]
    return f"ONBUILD {each.args[0]}"


def _healthcheck(stage, config: dict, each: Instruction) -> str:
    kind, *command = each.args
    test = ["NONE"] if kind == "NONE" else ["CMD" if each.is_list else "CMD-SHELL", *command]
    times = {_TIMES[key]: units.nanoseconds(value, f"--{key}") for key, value in each.flags.items() if key in _TIMES}
    retries = {"Retries": int(each.flags["retries"])} if "retries" in each.flags else {}
    config["Healthcheck"] = {"Test": test, **{key: value for key, value in {**times, **retries}.items() if value}}
    options = "".join(f"--{key}={value} " for key, value in each.flags.items())
    return f"HEALTHCHECK {options}{kind} {' '.join(command)}".rstrip()


_ALL = {
    "ARG": _arg,
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
}
